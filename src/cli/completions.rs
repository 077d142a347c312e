//! `riskshare completions`.

use crate::cli::terminal;
use crate::cli::{Cli, Ran};
use clap::{Args, CommandFactory};
use clap_complete::Shell;

/// Print a script that lets a shell complete the commands and flags of riskshare.
#[derive(Args, Debug)]
#[command(after_help = "Put it where the shell looks for such scripts, and open a new shell:\n\n    \
                        riskshare completions bash > ~/.local/share/bash-completion/completions/riskshare\n    \
                        riskshare completions zsh  > \"${fpath[1]}/_riskshare\"\n    \
                        riskshare completions fish > ~/.config/fish/completions/riskshare.fish")]
pub struct Completions {
    /// For this shell.
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    /// Prints it.
    pub fn run(self) -> Ran {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "riskshare", &mut script);
        terminal::say(&String::from_utf8(script)?)
    }
}

//! `riskshare completions`.

use crate::cli::terminal;
use crate::cli::{Cli, Ran};
use clap::{Args, CommandFactory};
use clap_complete::Shell;

/// Print a script that lets a shell complete the commands and flags of riskshare
///
/// Put it where the shell looks for such scripts, and open a new shell:
///
///     riskshare completions bash > ~/.local/share/bash-completion/completions/riskshare
///     riskshare completions zsh  > "${fpath[1]}/_riskshare"
///     riskshare completions fish > ~/.config/fish/completions/riskshare.fish
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
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

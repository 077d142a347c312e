//! `riskshare man`.

use crate::cli::terminal;
use crate::cli::{Cli, Ran};
use anyhow::Context;
use clap::{Args, CommandFactory};
use clap_mangen::Man;
use std::path::PathBuf;

/// Print the manual page, or write one for each command.
///
/// Without --directory the page of riskshare is printed, in roff: `riskshare man | man -l -` shows it. With it a page for
/// each command is written there, such as riskshare-serve.1, which `man riskshare-serve` finds in a folder named man1
/// on its path.
#[derive(Args, Debug)]
pub struct ManPages {
    /// Write a page for each command into this folder; made when absent.
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

impl ManPages {
    /// Prints it, or writes them.
    pub fn run(self) -> Ran {
        let Some(directory) = self.directory else {
            let mut page = Vec::new();
            Man::new(Cli::command()).render(&mut page)?;
            return terminal::say(&String::from_utf8(page)?);
        };
        let into = || format!("cannot write to {}", directory.display());
        std::fs::create_dir_all(&directory).with_context(into)?;
        clap_mangen::generate_to(Cli::command(), &directory).with_context(into)?;
        terminal::say("")
    }
}

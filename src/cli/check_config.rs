//! `riskshare check-config`.

use crate::cli::Ran;
use crate::cli::failure::Failure;
use crate::cli::flags::SettingFlags;
use crate::cli::terminal;
use crate::cli::terminal::visible;
use crate::config::{Loaded, reference};
use crate::server;
use clap::Args;
use std::process::ExitCode;

/// Check the settings that `serve` would have, and print each with where it comes from.
///
/// Reads flags, RISKSHARE_* variables and the file exactly as `serve` does, so give it the same. Prints one line for each
/// key: its value, and after # whether that is the default or which flag, variable or file has set it. Passwords are
/// hidden.
///
/// Then reads the files that the settings name: certificates, keys, principals, authorities. It opens no data, connects
/// to nobody and listens nowhere; `riskshare doctor` looks at those. What is wrong is on stderr in the words of `serve`,
/// and the exit code is 1.
#[derive(Args, Debug)]
pub struct CheckConfig {
    #[command(flatten)]
    settings: SettingFlags,
    /// Print every key with its default, its bounds and its reason, as Markdown, and check nothing.
    #[arg(long)]
    reference: bool,
}

impl CheckConfig {
    /// Checks.
    pub fn run(self) -> Ran {
        if self.reference {
            return terminal::say(&reference());
        }
        let loaded = self.settings.sources().load_with_origins()?;
        terminal::say(&listed(&loaded))?;
        let wrong = server::check(&loaded.config);
        let code = if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        for fault in wrong {
            eprintln!("{}", Failure::from(fault));
        }
        Ok(code)
    }
}

/// Returns a line for each key.
fn listed(loaded: &Loaded) -> String {
    let line = |(key, value): (&str, String)| {
        let setting = visible(&format!("{key} = {value}"));
        let origin = visible(&loaded.origin(key).to_string());
        format!("{setting:<60}  # {origin}\n")
    };
    loaded.config.shown().into_iter().map(line).collect()
}

//! `riskshare doctor`: looks at everything that a server needs, and says what to do. One file for each kind of thing.

mod certificates;
mod database;
mod finding;
mod folder;
mod machine;

use crate::auth::mode::AuthError;
use crate::cli::Ran;
use crate::cli::flags::SettingFlags;
use crate::cli::terminal;
use crate::cli::terminal::Paint;
use crate::clock::{Clock, SystemClock};
use crate::config::{KEYS, Loaded, Origin};
use crate::server;
use crate::server::StartError;
use clap::Args;
use finding::{Finding, Verdict, report};
use std::process::ExitCode;

/// Check a set-up before a server starts, and say in plain words what is wrong and what to do.
///
/// Give it the flags, the RISKSHARE_* variables and the file that `serve` will have. It looks at the settings and the
/// files that they name; the data folder, its lock and the free disk space, or the database, its schema, how durable a
/// commit is there and its clock; how long certificates hold; who can read the secrets; ports; file descriptors; and
/// whether strangers could call.
///
/// Each check is ok, a warning (it works, and you should know something) or a failure (a server would not start, or
/// not keep what it promises); the exit code is 1 after a failure. A server that runs with these settings has the ports
/// and the folder: ask that one with `riskshare healthcheck`. It changes nothing, connects to nobody but the database,
/// and prints no password and nobody's name.
#[derive(Args, Debug)]
pub struct Doctor {
    #[command(flatten)]
    settings: SettingFlags,
}

impl Doctor {
    /// Looks.
    pub async fn run(self) -> Ran {
        let findings = match self.settings.sources().load_with_origins() {
            Ok(loaded) => examine(&loaded, &SystemClock).await,
            Err(cause) => {
                let advice = "put it right; docs/configuration.md has every key with its bounds";
                vec![Finding::failure("settings", cause.to_string(), advice)]
            }
        };
        terminal::say(&report(&findings, Paint::for_stdout()))?;
        let fails = findings.iter().any(|finding| finding.verdict == Verdict::Failure);
        Ok(if fails { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

async fn examine(loaded: &Loaded, clock: &dyn Clock) -> Vec<Finding> {
    let config = &loaded.config;
    let mut findings = vec![settings(loaded)];
    findings.extend(server::check(config).iter().map(unusable));
    if config.postgres.is_used() {
        findings.extend(database::findings(&config.postgres, clock).await);
    } else {
        findings.extend(folder::findings(&config.data_dir));
    }
    findings.extend(certificates::findings(config, clock.now()));
    findings.extend(machine::findings(config));
    findings
}

fn settings(loaded: &Loaded) -> Finding {
    let set = KEYS.iter().filter(|key| *loaded.origin(key.name) != Origin::Default).count();
    Finding::ok(
        "settings",
        format!("hold; {set} of {} are set (riskshare check-config lists them)", KEYS.len()),
    )
}

/// Says why a start would fail. What is wrong in the file of principals may hold their names.
fn unusable(cause: &StartError) -> Finding {
    let (text, advice) = match cause {
        StartError::Auth(AuthError::Principals { path, .. }) => {
            let text = format!("auth.principals_file {}: does not hold", path.display());
            (text, "`riskshare check-config` says why")
        }
        cause => (
            cause.to_string(),
            "see that the file is there, whole and readable for this account, or name another",
        ),
    };
    Finding::failure("files", text, advice)
}

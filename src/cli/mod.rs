//! What a person types. One file a command; those that ask and tell talk to a server as any caller
//! would, through the public API; `serve`, `demo`, `migrate` and those that look at a set-up do not. `docs/cli.md` shows each.

mod alert_view;
mod audit;
mod check_config;
mod completions;
mod connection;
mod demo;
mod doctor;
mod enrich;
mod export;
mod failure;
mod feed;
mod flags;
mod healthcheck;
mod ingest;
mod input;
mod json;
mod man;
mod migrate;
mod migrate_store;
mod reload;
mod serve;
mod settings;
mod sparkline;
mod terminal;
mod version;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use failure::Failure;
use std::ffi::OsString;
use std::process::ExitCode;

/// The arguments cannot be understood (`EX_USAGE` of sysexits). Not 2, which asks a script to try again.
const USAGE: u8 = 64;

/// Shares insider risk severity with DLP alert queues and Defender incidents, behind a tenant's data-sharing switch.
#[derive(Parser, Debug)]
#[command(
    name = "riskshare",
    version,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "Begin with `riskshare demo`: it starts a server with made-up tenants and shows what it answers.\n\n\
                  Exit codes: 0 done; 1 refused, or something in the input was; 2 the server cannot be reached \
                  or cannot answer now; 64 the arguments cannot be understood."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Serve(Box<serve::Serve>),
    Demo(demo::Demo),
    Ingest(ingest::Ingest),
    Enrich(enrich::Enrich),
    #[command(subcommand)]
    Settings(settings::SettingsCommand),
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    Export(export::Export),
    Migrate(migrate::Migrate),
    MigrateStore(Box<migrate_store::MigrateStore>),
    Healthcheck(healthcheck::Healthcheck),
    Doctor(Box<doctor::Doctor>),
    CheckConfig(Box<check_config::CheckConfig>),
    Completions(completions::Completions),
    Man(man::ManPages),
    Version(version::Version),
}

/// Runs the program with these arguments, the first of which is its name, and returns its exit code. What went
/// wrong is on stderr.
pub async fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let ran = match cli.command {
        Command::Serve(serve) => serve.run().await,
        Command::Demo(demo) => demo.run().await,
        Command::Ingest(ingest) => ingest.run().await,
        Command::Enrich(enrich) => enrich.run().await,
        Command::Settings(settings) => settings.run().await,
        Command::Audit(audit) => audit.run().await,
        Command::Export(export) => export.run().await,
        Command::Migrate(migrate) => migrate.run().await,
        Command::MigrateStore(migrate) => migrate.run().await,
        Command::Doctor(doctor) => doctor.run().await,
        Command::CheckConfig(check) => check.run(),
        Command::Healthcheck(healthcheck) => healthcheck.run().await,
        Command::Completions(completions) => completions.run(),
        Command::Man(pages) => pages.run(),
        Command::Version(version) => version.run(),
    };
    ran.unwrap_or_else(|failure| {
        eprintln!("{failure}");
        failure.exit_code()
    })
}

/// Prints help, or what is wrong with the arguments.
fn usage(error: &clap::Error) -> ExitCode {
    // There is nothing to do about a terminal that is gone.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
        _ => ExitCode::from(USAGE),
    }
}

/// What a command comes to: its exit code, or why it could not do its work.
type Ran = Result<ExitCode, Failure>;

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_fit_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_and_every_flag_is_explained() {
        fn check(command: &clap::Command) {
            let name = command.get_name();
            assert!(command.get_about().is_some(), "{name}");
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{name} {}", argument.get_id());
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }
}

//! The PostgreSQL database.

use super::finding::Finding;
use crate::clock::Clock;
use crate::config::Postgres;
use crate::store::database_state::DatabaseState;
use crate::store::postgres::{OpenError, PostgresStore, SCHEMA_VERSION};
use chrono::{DateTime, TimeDelta, Utc};

const DATABASE: &str = "database";
const SCHEMA: &str = "schema";
const COMMITS: &str = "commits";
const CLOCKS: &str = "clocks";

/// Clocks that differ by more are worth a look.
const SKEW_NOTED: TimeDelta = TimeDelta::seconds(2);
/// Facts that are dated further ahead are refused, so whoever asks a replica that is so late is refused facts of now.
const SKEW_MAX: TimeDelta = TimeDelta::minutes(5);
/// Connections that the database keeps for its superusers and for others: a migration, a backup, a person.
const OTHERS: i64 = 10;

/// Looks at the database.
pub async fn findings(settings: &Postgres, clock: &dyn Clock) -> Vec<Finding> {
    let Ok(address) = settings.address() else { return Vec::new() }; // The file was looked at before.
    let mut findings = vec![opened(PostgresStore::open(&address).await.err())];
    let before = clock.now();
    match DatabaseState::of(&address).await {
        Ok(state) => {
            let now = before + (clock.now() - before) / 2;
            findings.extend(judged(&state, settings.connections, now));
        }
        Err(cause) if findings[0].about == SCHEMA => {
            let advice = "look at the database's own log";
            findings.push(Finding::failure(DATABASE, cause.to_string(), advice));
        }
        Err(_) => {} // Why it cannot be reached was said.
    }
    findings
}

/// Says whether a server could open it.
fn opened(cause: Option<OpenError>) -> Finding {
    match cause {
        None => Finding::ok(SCHEMA, format!("has version {SCHEMA_VERSION}, which this program needs")),
        Some(OpenError::Schema { found, needed }) if found > needed => Finding::failure(
            SCHEMA,
            format!("has version {found}, this program needs {needed}"),
            "use the newer program that migrated it, or restore a backup",
        ),
        Some(OpenError::Schema { found, needed }) => Finding::failure(
            SCHEMA,
            format!("has version {found}, this program needs {needed}"),
            "make a backup, stop the replicas, run `riskshare migrate`",
        ),
        Some(cause @ OpenError::Database(_)) => Finding::failure(
            DATABASE,
            cause.to_string(),
            "check host, port, user, password and database in postgres.url, that it runs, and that pg_hba.conf lets this \
             machine in",
        ),
        Some(cause @ (OpenError::Moved | OpenError::Unfinished)) => {
            Finding::failure(SCHEMA, cause.to_string(), "docs/postgres.md says how a store is moved")
        }
        Some(cause) => Finding::failure(DATABASE, cause.to_string(), "put the setting right"),
    }
}

fn judged(state: &DatabaseState, connections: usize, now: DateTime<Utc>) -> Vec<Finding> {
    let mut findings = vec![place(state), commits(state), clocks(state.time - now)];
    if !state.syncs || !state.mends_pages {
        let text = "fsync or full_page_writes is off: a power cut can destroy the database";
        findings.push(Finding::failure(COMMITS, text, "turn both on in postgresql.conf"));
    }
    let connections = i64::try_from(connections).unwrap_or(i64::MAX);
    if connections.saturating_add(OTHERS) > state.connections_max {
        let text =
            format!("takes {} connections, this replica alone uses {connections}", state.connections_max);
        let advice =
            "raise max_connections there above the sum over all replicas, or lower postgres.connections";
        findings.push(Finding::warning(DATABASE, text, advice));
    }
    findings
}

/// Says whether it is the right one to speak to, and whether others can listen.
fn place(state: &DatabaseState) -> Finding {
    if state.is_standby || state.is_read_only {
        let text = if state.is_standby { "is a standby, which takes no writes" } else { "is read-only" };
        return Finding::failure(
            DATABASE,
            text,
            "name the primary, or several hosts with target_session_attrs=read-write",
        );
    }
    if state.is_in_clear {
        let text = "is spoken to without TLS, and not on this machine: users' facts and the password can be read on the way";
        return Finding::warning(
            DATABASE,
            text,
            "set postgres.ca to the authority that signed its certificate",
        );
    }
    Finding::ok(DATABASE, "answers, and takes writes")
}

/// Says what is known to be kept once a commit has returned.
fn commits(state: &DatabaseState) -> Finding {
    let level = state.synchronous_commit.as_str();
    if level == "off" {
        let text = "synchronous_commit is off: facts that were acknowledged, audit lines and an \"off\" can be lost in a crash";
        return Finding::failure(
            COMMITS,
            text,
            "set synchronous_commit = remote_apply, or on without a standby",
        );
    }
    if state.synchronous_standby_names.is_empty() {
        let text = "are on one machine alone (synchronous_standby_names is empty): what it acknowledged is lost with it";
        return Finding::warning(COMMITS, text, "run it with a synchronous standby (docs/postgres.md)");
    }
    match level {
        "local" | "remote_write" => {
            let text = format!("do not wait until a standby has them on disk (synchronous_commit = {level})");
            Finding::warning(COMMITS, text, "set synchronous_commit = remote_apply")
        }
        level => Finding::ok(
            COMMITS,
            format!("are on two machines when they return (synchronous_commit = {level})"),
        ),
    }
}

fn clocks(skew: TimeDelta) -> Finding {
    let direction = if skew < TimeDelta::zero() { "behind" } else { "ahead of" };
    let text = format!("the database's is {}.{:03} s {direction} this one", skew.abs().num_seconds(), {
        skew.abs().num_milliseconds() % 1_000
    });
    let advice = "let both machines follow one source of time (NTP)";
    match skew.abs() {
        skew if skew > SKEW_MAX => Finding::failure(CLOCKS, text, advice),
        skew if skew > SKEW_NOTED => Finding::warning(CLOCKS, text, advice),
        _ => Finding::ok(CLOCKS, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Verdict;

    fn sound() -> DatabaseState {
        DatabaseState {
            synchronous_commit: "remote_apply".to_owned(),
            synchronous_standby_names: "standby".to_owned(),
            syncs: true,
            mends_pages: true,
            is_standby: false,
            is_read_only: false,
            connections_max: 42,
            time: DateTime::UNIX_EPOCH,
            is_in_clear: false,
        }
    }

    /// Returns what is not ok: about what, and how bad it is.
    fn wrong(change: impl FnOnce(&mut DatabaseState)) -> Vec<(&'static str, Verdict)> {
        let mut state = sound();
        change(&mut state);
        let findings = judged(&state, 32, DateTime::UNIX_EPOCH).into_iter();
        findings.map(|one| (one.about, one.verdict)).filter(|(_, verdict)| *verdict != Verdict::Ok).collect()
    }

    #[test]
    fn a_database_is_judged_by_what_it_would_lose() {
        assert_eq!(wrong(|_| {}), []);
        assert_eq!(wrong(|state| state.synchronous_commit = "on".to_owned()), []);
        assert_eq!(wrong(|state| state.synchronous_commit = "off".to_owned()), [(COMMITS, Verdict::Failure)]);
        assert_eq!(
            wrong(|state| state.synchronous_commit = "local".to_owned()),
            [(COMMITS, Verdict::Warning)]
        );
        assert_eq!(wrong(|state| state.synchronous_standby_names.clear()), [(COMMITS, Verdict::Warning)]);
        assert_eq!(wrong(|state| state.syncs = false), [(COMMITS, Verdict::Failure)]);
        assert_eq!(wrong(|state| state.mends_pages = false), [(COMMITS, Verdict::Failure)]);
        assert_eq!(wrong(|state| state.is_standby = true), [(DATABASE, Verdict::Failure)]);
        assert_eq!(wrong(|state| state.is_read_only = true), [(DATABASE, Verdict::Failure)]);
        assert_eq!(wrong(|state| state.is_in_clear = true), [(DATABASE, Verdict::Warning)]);
        assert_eq!(wrong(|state| state.connections_max = 41), [(DATABASE, Verdict::Warning)]);
    }

    #[test]
    fn clocks_may_differ_a_little_in_both_directions() {
        let verdict = |seconds| clocks(TimeDelta::seconds(seconds)).verdict;
        assert_eq!([-2, 0, 2].map(verdict), [Verdict::Ok; 3]);
        assert_eq!([-300, -3, 3, 300].map(verdict), [Verdict::Warning; 4]);
        assert_eq!([-301, 301].map(verdict), [Verdict::Failure; 2]);
        let text = clocks(TimeDelta::milliseconds(-1_500)).text;
        assert_eq!(text, "the database's is 1.500 s behind this one");
    }
}

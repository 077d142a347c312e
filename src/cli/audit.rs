//! `riskshare audit`.

use crate::cli::Ran;
use crate::cli::connection::{ServerAddress, Target};
use crate::cli::failure::Failure;
use crate::cli::json;
use crate::cli::terminal;
use crate::cli::terminal::visible;
use crate::domain::audit::{ChainHead, LineHash};
use crate::domain::ids::TenantId;
use crate::domain::time::UtcDay;
use crate::grpc::audit;
use crate::pb;
use crate::pb::audit_service_client::AuditServiceClient;
use crate::pb::pseudonym_service_client::PseudonymServiceClient;
use crate::pb::{AuditFaultKind, AuditOutcome};
use crate::store::embedded::verify_folder;
use anyhow::Context;
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand, ValueEnum};
use prost_types::Timestamp;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use uuid::Uuid;

/// How many events are asked for at once.
const PAGE: i32 = 1_000;

/// Show or check who asked for what.
#[derive(Subcommand, Debug)]
pub enum AuditCommand {
    List(List),
    Verify(Verify),
    Who(Who),
}

/// Print a tenant's audit events, the oldest first.
///
/// Users are named by number, never by name. Reading the log is itself written down in it.
#[derive(Args, Debug)]
pub struct List {
    #[command(flatten)]
    target: Target,
    /// Print events from here on: a day (2026-11-24) or an instant (2026-11-24T12:00:00Z).
    #[arg(long, value_name = "TIME", value_parser = instant)]
    since: Option<DateTime<Utc>>,
    /// Print events before this day or instant.
    #[arg(long, value_name = "TIME", value_parser = instant)]
    until: Option<DateTime<Utc>>,
    /// Print events of this principal.
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    principal: String,
    /// Print events of this RPC, such as EnrichAlert.
    #[arg(long, value_name = "RPC", default_value = "", hide_default_value = true)]
    action: String,
    /// Print events with this outcome.
    #[arg(long, value_name = "OUTCOME")]
    outcome: Option<Outcome>,
    /// Print events that may have read this user.
    #[arg(long, value_name = "NUMBER")]
    user: Option<u32>,
    /// Print events that may be about this alert.
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    alert: String,
    /// Print so many events at most.
    #[arg(long, value_name = "COUNT", default_value_t = 1_000)]
    limit: usize,
    /// Print a ListAuditEventsResponse as proto JSON.
    #[arg(long)]
    json: bool,
}

/// Check that no audit line was changed, put in, left out or moved.
///
/// Asks a server about one tenant, or with --data-dir reads the folder of a server that is stopped: all tenants, or
/// one. Exits with 1 when anything is wrong. Whoever can write to the folder can write the whole log anew: keep the
/// head that this prints elsewhere, and give it to --expect the next time.
#[derive(Args, Debug)]
pub struct Verify {
    #[command(flatten)]
    server: ServerAddress,
    /// The tenant's id.
    #[arg(long, value_name = "UUID", required_unless_present = "data_dir", value_parser = uuid)]
    tenant: Option<Uuid>,
    /// Read this folder of a stopped server instead of asking one.
    #[arg(long, value_name = "DIRECTORY", conflicts_with_all = ["server", "ca", "cert"])]
    data_dir: Option<PathBuf>,
    /// Demand that the log holds this line: its number, a colon, its hash.
    #[arg(long, value_name = "NUMBER:HASH", value_parser = head, requires = "tenant")]
    expect: Option<ChainHead>,
    /// Print a VerifyAuditLogResponse as proto JSON.
    #[arg(long, conflicts_with = "data_dir")]
    json: bool,
}

/// Say who users are whom the audit log names by number.
///
/// Refused while the tenant does not share. Who asked about whom, and why, is itself written down in the audit log.
#[derive(Args, Debug)]
pub struct Who {
    #[command(flatten)]
    target: Target,
    /// Say why. Kept in the audit log: name no person.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// The users' numbers.
    #[arg(required = true, value_name = "NUMBER")]
    numbers: Vec<u32>,
    /// Print a ResolveUsersResponse as proto JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Outcome {
    Disclosed,
    Refused,
    SharingOff,
    PermissionMissing,
    TenantMismatch,
    Changed,
    Failed,
}

impl AuditCommand {
    /// Shows or checks it.
    pub async fn run(self) -> Ran {
        match self {
            Self::List(list) => list.run().await,
            Self::Verify(verify) => verify.run().await,
            Self::Who(who) => who.run().await,
        }
    }
}

impl List {
    async fn run(self) -> Ran {
        let (events, users) = self.ask().await?;
        if self.json {
            let answer = pb::ListAuditEventsResponse { events, users, next_page_token: String::new() };
            return terminal::say(&json::canonical("riskshare.v1.ListAuditEventsResponse", &answer)?);
        }
        terminal::say(&events.iter().map(|event| row(event, &users) + "\n").collect::<String>())
    }

    async fn ask(&self) -> Result<(Vec<pb::AuditEvent>, Vec<pb::AuditedUser>), Failure> {
        let mut client = AuditServiceClient::new(self.target.connect()?);
        let mut request = self.request();
        let (mut events, mut users) = (Vec::new(), BTreeMap::new());
        loop {
            let answer = client.list_audit_events(request.clone()).await;
            let answer = answer.map_err(|status| self.target.failure(status))?.into_inner();
            events.extend(answer.events);
            users.extend(answer.users.into_iter().map(|user| (user.number, user)));
            if answer.next_page_token.is_empty() || events.len() >= self.limit {
                events.truncate(self.limit);
                return Ok((events, users.into_values().collect()));
            }
            request.page_token = answer.next_page_token;
        }
    }

    fn request(&self) -> pb::ListAuditEventsRequest {
        let outcome = self.outcome.map_or(AuditOutcome::Unspecified, Outcome::on_the_wire);
        pb::ListAuditEventsRequest {
            tenant_id: self.target.tenant.clone(),
            start_time: self.since.map(timestamp),
            end_time: self.until.map(timestamp),
            principal: self.principal.clone(),
            action: self.action.clone(),
            outcome: outcome.into(),
            user_number: self.user,
            alert_id: self.alert.clone(),
            page_size: i32::try_from(self.limit).unwrap_or(PAGE).clamp(1, PAGE),
            page_token: String::new(),
        }
    }
}

impl Who {
    async fn run(self) -> Ran {
        let request = pb::ResolveUsersRequest {
            tenant_id: self.target.tenant.clone(),
            user_numbers: self.numbers,
            reason: self.reason,
        };
        let answer = PseudonymServiceClient::new(self.target.connect()?).resolve_users(request).await;
        let answer = answer.map_err(|status| self.target.failure(status))?.into_inner();
        if self.json {
            return terminal::say(&json::canonical("riskshare.v1.ResolveUsersResponse", &answer)?);
        }
        terminal::say(&answer.users.iter().map(|user| who(user) + "\n").collect::<String>())
    }
}

/// Returns who a user is as a line of text: every name, the telling ones first.
fn who(resolved: &pb::ResolvedUser) -> String {
    let user = resolved.user.clone().unwrap_or_default();
    let Some(now) = resolved.current_number else {
        return format!("{:>7}  nobody known", resolved.number);
    };
    let moved = if now == resolved.number { String::new() } else { format!(" (now {now})") };
    let names = [&user.display_name, &user.upn, &user.account_name, &user.sid, &user.entra_object_id];
    let names = names.into_iter().chain(&user.smtp_addresses).filter(|name| !name.is_empty());
    let names: Vec<String> = names.map(|name| visible(name)).collect();
    format!("{:>7}{moved}  {}  {}", resolved.number, visible(&resolved.pseudonym), names.join("  "))
}

impl Outcome {
    fn on_the_wire(self) -> AuditOutcome {
        match self {
            Self::Disclosed => AuditOutcome::Disclosed,
            Self::Refused => AuditOutcome::Refused,
            Self::SharingOff => AuditOutcome::SharingOff,
            Self::PermissionMissing => AuditOutcome::PermissionMissing,
            Self::TenantMismatch => AuditOutcome::TenantMismatch,
            Self::Changed => AuditOutcome::Changed,
            Self::Failed => AuditOutcome::Failed,
        }
    }
}

/// Returns an event as a line of text. `known` are the users who are still known, by number.
fn row(event: &pb::AuditEvent, known: &[pb::AuditedUser]) -> String {
    let at = event.occurred_at.and_then(|at| DateTime::from_timestamp(at.seconds, at.nanos.try_into().ok()?));
    let at = at.map(|at| at.format("%Y-%m-%d %H:%M:%S").to_string()).unwrap_or_default();
    let outcome = event.outcome().as_str_name().trim_start_matches("AUDIT_OUTCOME_").to_lowercase();
    let (action, principal) = (visible(&event.action), visible(&event.principal));
    let head = format!("{:>7}  {at}  {outcome:<18} {action:<18} {principal}", event.sequence);
    let pseudonym = |number: &u32| {
        let user = known.iter().find(|user| user.number == *number);
        user.map_or_else(|| number.to_string(), |user| format!("{number}={}", visible(&user.pseudonym)))
    };
    let users: Vec<String> = event.user_numbers.iter().map(pseudonym).collect();
    let change = |change: &pb::AuditChange| format!("{}={}", change.field, change.value);
    let changes: Vec<String> = event.changes.iter().map(change).collect();
    let unknown = if event.unknown_users > 0 { event.unknown_users.to_string() } else { String::new() };
    let parts = [
        part("tenant", &filled(&event.asked_tenant_id), 0),
        part("incident", &filled(&event.incident_id), 0),
        part("alerts", &event.alert_ids, event.more_alerts),
        part("users", &users, event.more_users),
        part("unknown", &filled(&unknown), 0),
        part("set", &changes, 0),
        part("because", &filled(&event.reason), 0),
    ];
    head + &parts.concat()
}

/// Returns a part of a row, nothing for an empty list.
fn part(name: &str, list: &[String], more: u32) -> String {
    match (list, more) {
        ([], _) => String::new(),
        (list, 0) => format!("  {name} {}", visible(&list.join(","))),
        (list, more) => format!("  {name} {} and {more} more", visible(&list.join(","))),
    }
}

fn filled(text: &str) -> Vec<String> {
    if text.is_empty() { Vec::new() } else { vec![text.to_owned()] }
}

impl Verify {
    async fn run(self) -> Ran {
        match &self.data_dir {
            Some(folder) => self.read(folder),
            None => self.ask().await,
        }
    }

    async fn ask(&self) -> Ran {
        let tenant = self.tenant.unwrap_or_default();
        let expected = self
            .expect
            .map(|head| pb::AuditChainHead { sequence: head.sequence, hash: head.hash.to_string() });
        let request = pb::VerifyAuditLogRequest { tenant_id: tenant.to_string(), expected };
        let answer = AuditServiceClient::new(self.server.connect()?).verify_audit_log(request).await;
        let answer = answer.map_err(|status| self.server.failure(status))?.into_inner();
        let code = judged(answer.valid);
        if self.json {
            terminal::say(&json::canonical("riskshare.v1.VerifyAuditLogResponse", &answer)?)?;
        } else {
            terminal::say(&told(&tenant.to_string(), &answer))?;
        }
        Ok(code)
    }

    fn read(&self, folder: &Path) -> Ran {
        let tenant = self.tenant.map(TenantId::new);
        let verdict =
            verify_folder(folder, tenant, self.expect).with_context(|| folder.display().to_string())?;
        let mut texts = Vec::new();
        let mut is_valid = verdict.strays.is_empty();
        for (tenant, verdict) in verdict.tenants {
            let found = audit::found(verdict);
            is_valid &= found.valid;
            texts.push(told(&tenant.to_string(), &found));
        }
        let stray = |place: &str| format!("FAULT   {place}: no line of any tenant\n");
        texts.extend(verdict.strays.iter().map(|fault| stray(&fault.place)));
        if verdict.is_cut {
            texts.push(
                "The last line has no end: a crash cut it off, before its caller was answered.\n".to_owned(),
            );
        }
        terminal::say(&texts.concat())?;
        Ok(judged(is_valid))
    }
}

fn judged(is_valid: bool) -> ExitCode {
    if is_valid { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Returns what was found as text.
fn told(tenant: &str, found: &pb::VerifyAuditLogResponse) -> String {
    let word = if found.valid { "valid" } else { "BROKEN" };
    let mut lines = vec![format!("tenant  {tenant}"), format!("lines   {}, {word}", found.lines)];
    for (name, head) in [("anchor", &found.anchor), ("head", &found.head)] {
        let head = head.as_ref().filter(|head| head.sequence > 0);
        lines.extend(head.map(|head| format!("{name:<7} {}:{}", head.sequence, head.hash)));
    }
    let fault = |fault: &pb::AuditFault| format!("FAULT   {}: {}", visible(&fault.place), spoken(fault));
    lines.extend(found.faults.iter().map(fault));
    if found.more_faults > 0 {
        lines.push(format!("FAULT   and {} more", found.more_faults));
    }
    lines.join("\n") + "\n"
}

fn spoken(fault: &pb::AuditFault) -> String {
    let number = fault.sequence;
    match fault.kind() {
        AuditFaultKind::Unreadable => format!("cannot be read; line {number} should be there"),
        AuditFaultKind::Altered => format!("line {number} was changed"),
        AuditFaultKind::Unlinked => format!("line {number} does not follow the line before it"),
        AuditFaultKind::Missing => format!("lines from {number} on are missing before it"),
        AuditFaultKind::OutOfOrder => format!("line {number} stands behind later lines, or twice"),
        AuditFaultKind::Truncated => format!("lines from {number} on are missing"),
        AuditFaultKind::Rewritten => format!("line {number} is not the one that was expected"),
        AuditFaultKind::Expired => {
            format!("line {number} is older than what is kept, so it cannot be looked for")
        }
        AuditFaultKind::Unspecified => {
            format!("line {number} is wrong in a way that this program does not know")
        }
    }
}

fn timestamp(at: DateTime<Utc>) -> Timestamp {
    Timestamp { seconds: at.timestamp(), nanos: 0 }
}

fn instant(text: &str) -> Result<DateTime<Utc>, &'static str> {
    let day = UtcDay::parse(text).map(UtcDay::start);
    day.or_else(|| text.parse().ok()).ok_or("must be of the form 2026-11-24 or 2026-11-24T12:00:00Z")
}

fn uuid(text: &str) -> Result<Uuid, &'static str> {
    Uuid::try_parse(text).map_err(|_| "must be a UUID")
}

fn head(text: &str) -> Result<ChainHead, &'static str> {
    let head = text.split_once(':').and_then(|(sequence, hash)| {
        Some(ChainHead { sequence: sequence.parse().ok()?, hash: LineHash::parse(hash)? })
    });
    head.ok_or("must be a line's number, a colon, and its hash of 64 hexadecimal digits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_day_or_an_instant() {
        assert_eq!(instant("2026-11-24"), Ok("2026-11-24T00:00:00Z".parse().unwrap()));
        assert_eq!(instant("2026-11-24T12:00:00Z"), Ok("2026-11-24T12:00:00Z".parse().unwrap()));
        assert!(instant("yesterday").is_err());
    }

    #[test]
    fn an_event_is_one_line_of_what_it_has() {
        let event = pb::AuditEvent {
            sequence: 7,
            occurred_at: Some(timestamp("2026-11-24T12:00:00Z".parse().unwrap())),
            principal: "svc\u{1b}".to_owned(),
            action: "EnrichAlert".to_owned(),
            outcome: AuditOutcome::Disclosed.into(),
            alert_ids: vec!["da-1".to_owned()],
            user_numbers: vec![1, 2],
            more_users: 3,
            ..Default::default()
        };
        let expected = "      7  2026-11-24 12:00:00  disclosed          EnrichAlert        svc\u{FFFD}  alerts da-1  \
                        users 1,2=AnonAB1-234 and 3 more";
        let pseudonym = "AnonAB1-234".to_owned();
        let known = pb::AuditedUser { number: 2, current_number: 2, pseudonym };
        assert_eq!(row(&event, &[known]), expected);
    }

    #[test]
    fn who_somebody_is_is_one_line_of_every_name() {
        let user = pb::UserIdentity {
            upn: "john@contoso.com".to_owned(),
            smtp_addresses: vec!["j@contoso.com".to_owned()],
            display_name: "John".to_owned(),
            ..Default::default()
        };
        let known = pb::ResolvedUser {
            number: 3,
            current_number: Some(2),
            pseudonym: "AnonAB1-234".to_owned(),
            user: Some(user),
        };
        assert_eq!(who(&known), "      3 (now 2)  AnonAB1-234  John  john@contoso.com  j@contoso.com");
        assert_eq!(who(&pb::ResolvedUser { number: 4, ..Default::default() }), "      4  nobody known");
    }

    #[test]
    fn a_verdict_names_each_fault_in_words() {
        let hash = "0".repeat(64);
        let fault = |kind: AuditFaultKind| pb::AuditFault {
            kind: kind.into(),
            sequence: 3,
            place: "2026-11-24.jsonl line 3".to_owned(),
        };
        let found = pb::VerifyAuditLogResponse {
            valid: false,
            head: Some(pb::AuditChainHead { sequence: 4, hash: hash.clone() }),
            lines: 4,
            faults: vec![fault(AuditFaultKind::Altered)],
            more_faults: 1,
            ..Default::default()
        };
        let expected = format!(
            "tenant  t\nlines   4, BROKEN\nhead    4:{hash}\nFAULT   2026-11-24.jsonl line 3: line 3 was changed\n\
             FAULT   and 1 more\n"
        );
        assert_eq!(told("t", &found), expected);
        assert_eq!(head(&format!("4:{hash}")).unwrap().sequence, 4);
        assert!(head(&hash).is_err());
    }
}

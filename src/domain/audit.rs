//! The audit log: what is written down about those who ask, and how one tenant's lines hang together.
//!
//! Each line holds the hash of the line before it, so that nothing can be changed, left out, put in or put elsewhere
//! without a trace, as long as somebody remembers the last line. A line names users by number only, never by name;
//! what a number means is known to the store alone, and erased with the user. `docs/audit.md` explains the format.

use crate::domain::ids::TenantId;
use crate::domain::user::UserNo;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::Arc;
use uuid::Uuid;

/// The chain for what belongs to no tenant's: refusals of callers that have none, and questions about tenants that
/// nobody knows. It is the nil UUID, so no other tenant should have that.
pub const SERVER_CHAIN: TenantId = TenantId::new(Uuid::nil());
/// The longest principal that a line names, in bytes.
pub const PRINCIPAL_BYTES_MAX: usize = 512;
/// The most alerts that a line names; of more, it says how many.
pub const ALERTS_MAX: usize = 500;
/// The most users that a line names; of more, it says how many.
pub const USERS_MAX: usize = 5_000;
/// The longest reason that a line holds, in bytes.
pub const REASON_BYTES_MAX: usize = 256;
/// The most faults that a check names; of more, it says how many.
pub const FAULTS_MAX: usize = 20;

/// What somebody asked for, and what came of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AuditEvent {
    /// When.
    pub at: DateTime<Utc>,
    /// Who, as authentication named them.
    pub principal: String,
    /// What, by the name of the RPC.
    pub action: String,
    /// What came of it.
    pub outcome: AuditOutcome,
    /// The tenant that was asked about, when the line stands in another chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<TenantId>,
    /// The incident, as the caller named it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub incident: String,
    /// The alerts, as the caller named them: at most [`ALERTS_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<Arc<str>>,
    /// How many more alerts there were.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_alerts: u32,
    /// The known users who were read, each once: at most [`USERS_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<UserNo>,
    /// How many more users were read.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_users: u32,
    /// How many mentions of users were of nobody known.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unknown: u32,
    /// What was changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<AuditChange>,
    /// Why it was asked, as the caller said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

impl AuditEvent {
    /// Returns an event that names nothing but who, what and when. The principal is cut to
    /// [`PRINCIPAL_BYTES_MAX`] bytes.
    #[must_use]
    pub fn new(at: DateTime<Utc>, principal: &str, action: &str, outcome: AuditOutcome) -> Self {
        let end = principal.floor_char_boundary(PRINCIPAL_BYTES_MAX);
        Self {
            at,
            principal: principal[..end].to_owned(),
            action: action.to_owned(),
            outcome,
            asked: None,
            incident: String::new(),
            alerts: Vec::new(),
            more_alerts: 0,
            users: Vec::new(),
            more_users: 0,
            unknown: 0,
            changes: Vec::new(),
            reason: String::new(),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// What came of a question or a change.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditOutcome {
    /// The answer was released. It may still have been cut off on its way.
    Disclosed,
    /// Refused, for a reason that depends on users: such as keys of two people.
    Refused,
    /// Refused: the tenant does not share.
    SharingOff,
    /// Refused: no role of the caller's allows it.
    PermissionMissing,
    /// Refused: the tenant is not one of the caller's.
    TenantMismatch,
    /// The change was allowed, and made unless a line after it says that it failed.
    Changed,
    /// What was allowed could not be done.
    Failed,
}

impl AuditOutcome {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Disclosed,
        Self::Refused,
        Self::SharingOff,
        Self::PermissionMissing,
        Self::TenantMismatch,
        Self::Changed,
        Self::Failed,
    ];
}

/// One thing that was changed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AuditChange {
    /// What: a field of the settings, or `policy_id`.
    pub field: String,
    /// Its value from then on.
    pub value: String,
}

/// The SHA-256 of a line.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LineHash([u8; 32]);

impl LineHash {
    fn of(body: &str) -> Self {
        Self(Sha256::digest(body.as_bytes()).into())
    }

    /// Reads 64 lowercase hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        let mut hash = [0; 32];
        if digits.len() != 64 {
            return None;
        }
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(hash))
    }
}

fn digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for LineHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for LineHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<LineHash> for String {
    fn from(hash: LineHash) -> Self {
        hash.to_string()
    }
}

impl TryFrom<String> for LineHash {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("must be 64 lowercase hexadecimal digits")
    }
}

/// A line of a chain, by number and hash. Whoever keeps one elsewhere can tell later whether the log still holds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ChainHead {
    /// 1 for a tenant's first line, and one more for each after it. 0 before the first.
    pub sequence: u64,
    /// The line's hash. All zero before the first.
    pub hash: LineHash,
}

/// A line of a tenant's chain.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct AuditLine {
    /// Whose.
    pub tenant: TenantId,
    /// Its number.
    pub sequence: u64,
    /// The hash of the line before it.
    pub previous: LineHash,
    /// What happened.
    pub event: AuditEvent,
    /// The SHA-256 of all of that as [`AuditLine::text`] has it.
    pub hash: LineHash,
}

/// What a line's hash is of.
#[derive(Serialize)]
struct Body<'l> {
    tenant: TenantId,
    sequence: u64,
    previous: LineHash,
    event: &'l AuditEvent,
}

impl AuditLine {
    /// Returns the text of the line after `head`, and the head that it is.
    #[must_use]
    pub fn text_after(head: ChainHead, tenant: TenantId, event: &AuditEvent) -> (String, ChainHead) {
        let (sequence, previous) = (head.sequence.saturating_add(1), head.hash);
        let body = Body { tenant, sequence, previous, event }.text();
        let hash = LineHash::of(&body);
        (whole(body, hash), ChainHead { sequence, hash })
    }

    /// Reads a line, without its end, in the one way in which it is written.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let line: Self = serde_json::from_str(text).ok()?;
        (line.text() == text).then_some(line)
    }

    /// Writes it as one line of JSON, without the end.
    #[must_use]
    pub fn text(&self) -> String {
        whole(self.body(), self.hash)
    }

    /// Returns how the text of every line of a tenant begins.
    #[must_use]
    pub fn beginning(tenant: TenantId) -> String {
        format!("{{\"tenant\":\"{tenant}\",")
    }

    /// Returns whose the line is by its beginning, of one that may be damaged behind that.
    #[must_use]
    pub fn tenant_of(text: &[u8]) -> Option<TenantId> {
        let id = text.strip_prefix(b"{\"tenant\":\"")?.split_at_checked(36)?.0;
        Uuid::try_parse_ascii(id).ok().map(TenantId::new)
    }

    /// Says whether the hash is that of the rest.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.computed() == self.hash
    }

    /// Returns it as the head of its chain.
    #[must_use]
    pub fn head(&self) -> ChainHead {
        ChainHead { sequence: self.sequence, hash: self.hash }
    }

    fn computed(&self) -> LineHash {
        LineHash::of(&self.body())
    }

    fn body(&self) -> String {
        let Self { tenant, sequence, previous, event, hash: _ } = self;
        Body { tenant: *tenant, sequence: *sequence, previous: *previous, event }.text()
    }
}

impl Body<'_> {
    fn text(&self) -> String {
        serde_json::to_string(self).expect("a line holds texts, numbers and lists of them")
    }
}

/// Returns a line of JSON, without the end: the body, and before its last brace the body's hash.
fn whole(mut body: String, hash: LineHash) -> String {
    body.pop();
    body + ",\"hash\":\"" + &hash.to_string() + "\"}"
}

/// Which lines are wanted. What is not set does not matter.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AuditQuery {
    /// From this instant on.
    pub from: Option<DateTime<Utc>>,
    /// Before this instant.
    pub until: Option<DateTime<Utc>>,
    /// By this principal.
    pub principal: Option<String>,
    /// Of this RPC.
    pub action: Option<String>,
    /// With this outcome.
    pub outcome: Option<AuditOutcome>,
    /// Which name this user.
    pub user: Option<UserNo>,
    /// Which name this alert.
    pub alert: Option<String>,
}

impl AuditQuery {
    /// Says whether an event is wanted. A line that names only the first of very many users or alerts is wanted if it
    /// could be about the one.
    #[must_use]
    pub fn wants(&self, event: &AuditEvent) -> bool {
        let has_alert =
            |alert: &String| event.alerts.iter().any(|named| **named == **alert) || event.more_alerts > 0;
        self.from.is_none_or(|from| event.at >= from)
            && self.until.is_none_or(|until| event.at < until)
            && self.principal.as_ref().is_none_or(|principal| event.principal == *principal)
            && self.action.as_ref().is_none_or(|action| event.action == *action)
            && self.outcome.is_none_or(|outcome| event.outcome == outcome)
            && self.user.is_none_or(|user| event.users.contains(&user) || event.more_users > 0)
            && self.alert.as_ref().is_none_or(has_alert)
    }
}

/// How a chain is broken at one place.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FaultKind {
    /// The text there is no line.
    Unreadable,
    /// The line is not what was written: its hash is not that of its content.
    Altered,
    /// The line before it is another than when it was written.
    Unlinked,
    /// Lines are missing before this place.
    Missing,
    /// The line stands behind later ones, or twice.
    OutOfOrder,
    /// Lines that were written are missing at the end.
    Truncated,
    /// The line of that number is another than the one that was kept elsewhere.
    Rewritten,
    /// The line that was kept elsewhere is older than what is retained, so it cannot be looked for.
    Expired,
}

/// One place at which a chain is broken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChainFault {
    /// How.
    pub kind: FaultKind,
    /// The number of the line that should stand there.
    pub sequence: u64,
    /// Where, as a person finds it: the file and the line in it.
    pub place: String,
}

/// What a check of a chain found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AuditVerdict {
    /// The last line that was removed because of its age; number 0 when none was.
    pub anchor: ChainHead,
    /// The last line.
    pub head: ChainHead,
    /// How many lines there are.
    pub lines: u64,
    /// The first faults, in the order of the log: at most [`FAULTS_MAX`]. None when the chain is whole.
    pub faults: Vec<ChainFault>,
    /// How many more faults there are.
    pub more_faults: u64,
}

/// Follows a tenant's chain line by line. After a fault it goes on behind it, so that an old wound hides no new one.
#[derive(Debug)]
pub struct ChainCheck {
    verdict: AuditVerdict,
    /// The number that the next line should have.
    next: u64,
    /// The hash that the next line should name; unknown behind a damaged line.
    link: Option<LineHash>,
    /// Lines that must be there.
    kept: Vec<ChainHead>,
}

impl ChainCheck {
    /// Begins behind `anchor`. `kept` are lines of which somebody knows that they were written.
    #[must_use]
    pub fn new(anchor: ChainHead, kept: Vec<ChainHead>) -> Self {
        let verdict = AuditVerdict { anchor, head: anchor, ..AuditVerdict::default() };
        Self { verdict, next: anchor.sequence.saturating_add(1), link: Some(anchor.hash), kept }
    }

    /// Takes the next text that begins like a line of the tenant.
    pub fn take(&mut self, place: &dyn fmt::Display, text: &[u8]) {
        self.verdict.lines += 1;
        let line = str::from_utf8(text).ok().and_then(AuditLine::read);
        match line {
            None => self.skip(FaultKind::Unreadable, place),
            Some(line) if !line.is_whole() => self.skip(FaultKind::Altered, place),
            Some(line) => self.follow(place, &line),
        }
    }

    fn skip(&mut self, kind: FaultKind, place: &dyn fmt::Display) {
        self.fault(kind, self.next, place);
        self.next = self.next.saturating_add(1);
        self.link = None;
    }

    fn follow(&mut self, place: &dyn fmt::Display, line: &AuditLine) {
        if line.sequence < self.next {
            return self.fault(FaultKind::OutOfOrder, line.sequence, place);
        }
        if line.sequence > self.next {
            self.fault(FaultKind::Missing, self.next, place);
        } else if self.link.is_some_and(|link| link != line.previous) {
            self.fault(FaultKind::Unlinked, line.sequence, place);
        }
        if self.kept.iter().any(|kept| kept.sequence == line.sequence && kept.hash != line.hash) {
            self.fault(FaultKind::Rewritten, line.sequence, place);
        }
        self.next = line.sequence.saturating_add(1);
        self.link = Some(line.hash);
        self.verdict.head = line.head();
    }

    /// Looks for what must be there behind the last line and before the first.
    #[must_use]
    pub fn finish(mut self) -> AuditVerdict {
        let anchor = self.verdict.anchor;
        for kept in std::mem::take(&mut self.kept) {
            if kept.sequence >= self.next {
                self.fault(FaultKind::Truncated, self.next, &"the end of the log");
            } else if kept.sequence == anchor.sequence && kept.hash != anchor.hash {
                self.fault(FaultKind::Rewritten, kept.sequence, &"the anchor");
            } else if kept.sequence < anchor.sequence {
                self.fault(FaultKind::Expired, kept.sequence, &"the anchor");
            }
        }
        self.verdict
    }

    fn fault(&mut self, kind: FaultKind, sequence: u64, place: &dyn fmt::Display) {
        let is_told = self.verdict.faults.iter().any(|told| told.kind == kind && told.sequence == sequence);
        if self.verdict.faults.len() < FAULTS_MAX && !is_told {
            self.verdict.faults.push(ChainFault { kind, sequence, place: place.to_string() });
        } else if !is_told {
            self.verdict.more_faults += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant() -> TenantId {
        TenantId::new(Uuid::from_u128(7))
    }

    fn event(number: u32) -> AuditEvent {
        let at = "2026-11-24T12:00:00.25Z".parse().unwrap();
        AuditEvent {
            alerts: vec![format!("alert-{number}").into()],
            users: vec![UserNo(number)],
            unknown: 1,
            ..AuditEvent::new(at, "queue \"one\"", "EnrichAlert", AuditOutcome::Disclosed)
        }
    }

    fn line_after(head: ChainHead, tenant: TenantId, event: &AuditEvent) -> AuditLine {
        AuditLine::read(&AuditLine::text_after(head, tenant, event).0).unwrap()
    }

    fn chain(count: u32) -> Vec<AuditLine> {
        let mut head = ChainHead::default();
        let line = |number| {
            let line = line_after(head, tenant(), &event(number));
            head = line.head();
            line
        };
        (1..=count).map(line).collect()
    }

    fn texts(count: u32) -> Vec<Vec<u8>> {
        chain(count).iter().map(|line| line.text().into_bytes()).collect()
    }

    fn check(lines: &[Vec<u8>], kept: Vec<ChainHead>) -> Vec<(FaultKind, u64, String)> {
        let mut check = ChainCheck::new(ChainHead::default(), kept);
        for (line, number) in lines.iter().zip(1..) {
            check.take(&format_args!("line {number}"), line);
        }
        let faults = check.finish().faults;
        faults.into_iter().map(|fault| (fault.kind, fault.sequence, fault.place)).collect()
    }

    fn fault(kind: FaultKind, sequence: u64, place: &str) -> (FaultKind, u64, String) {
        (kind, sequence, place.to_owned())
    }

    #[test]
    fn a_line_is_json_whose_hash_anybody_can_compute() {
        let line = &chain(1)[0];
        let text = line.text();
        let next = AuditLine::text_after(
            ChainHead { sequence: line.sequence - 1, hash: line.previous },
            line.tenant,
            &line.event,
        );
        assert_eq!(next, (text.clone(), line.head()));
        let zeros = "0".repeat(64);
        let body = format!(
            "{{\"tenant\":\"00000000-0000-0000-0000-000000000007\",\"sequence\":1,\"previous\":\"{zeros}\",\
             \"event\":{{\"at\":\"2026-11-24T12:00:00.250Z\",\"principal\":\"queue \\\"one\\\"\",\
             \"action\":\"EnrichAlert\",\"outcome\":\"disclosed\",\"alerts\":[\"alert-1\"],\"users\":[1],\
             \"unknown\":1}}"
        );
        let hash = LineHash(Sha256::digest(format!("{body}}}")).into());
        assert_eq!(text, format!("{body},\"hash\":\"{hash}\"}}"));
        assert_eq!(AuditLine::read(&text).as_ref(), Some(line));
        assert_eq!(AuditLine::read(&text.replace("\":", "\": ")), None);
        assert!(text.starts_with(&AuditLine::beginning(tenant())));
        assert_eq!(AuditLine::tenant_of(text.as_bytes()), Some(tenant()));
    }

    #[test]
    fn a_whole_chain_has_no_fault() {
        let head = chain(5)[4].head();
        assert_eq!(check(&texts(5), vec![head, chain(5)[1].head()]), []);
        assert_eq!(check(&[], vec![]), []);
    }

    #[test]
    fn every_changed_byte_is_found_at_its_line() {
        let whole = texts(3);
        for at in 0..whole[1].len() {
            for flip in [0x01, 0x20, 0x80] {
                let mut lines = whole.clone();
                lines[1][at] ^= flip;
                let found = check(&lines, vec![chain(3)[2].head()]);
                assert_eq!((found[0].1, found[0].2.as_str()), (2, "line 2"), "byte {at}: {found:?}");
                assert_eq!(found.len(), 1, "byte {at}");
            }
        }
    }

    #[test]
    fn a_line_that_is_missing_twice_there_or_elsewhere_is_found_with_its_place() {
        let whole = texts(4);
        let of = |order: &[usize]| order.iter().map(|at| whole[at - 1].clone()).collect::<Vec<_>>();
        let head = vec![chain(4)[3].head()];
        assert_eq!(check(&of(&[1, 3, 4]), head.clone()), [fault(FaultKind::Missing, 2, "line 2")]);
        assert_eq!(check(&of(&[2, 3, 4]), head.clone()), [fault(FaultKind::Missing, 1, "line 1")]);
        assert_eq!(check(&of(&[1, 2, 2, 3, 4]), head.clone()), [fault(FaultKind::OutOfOrder, 2, "line 3")]);
        let swapped = check(&of(&[1, 3, 2, 4]), head.clone());
        let expected = [fault(FaultKind::Missing, 2, "line 2"), fault(FaultKind::OutOfOrder, 2, "line 3")];
        assert_eq!(swapped, expected);
        let end = "the end of the log";
        assert_eq!(check(&of(&[1, 2]), head.clone()), [fault(FaultKind::Truncated, 3, end)]);
        assert_eq!(check(&[], head), [fault(FaultKind::Truncated, 1, end)]);
    }

    #[test]
    fn a_line_put_in_with_a_hash_of_its_own_is_found_behind_it() {
        let mut lines = chain(4);
        lines[1] = line_after(lines[0].head(), tenant(), &event(9));
        let texts: Vec<_> = lines.iter().map(|line| line.text().into_bytes()).collect();
        assert_eq!(check(&texts, vec![]), [fault(FaultKind::Unlinked, 3, "line 3")]);
    }

    #[test]
    fn a_log_written_anew_is_found_by_whoever_kept_a_line() {
        let mut head = ChainHead::default();
        let mut forged = Vec::new();
        for number in [1, 9, 3, 4] {
            let line = line_after(head, tenant(), &event(number));
            head = line.head();
            forged.push(line.text().into_bytes());
        }
        assert_eq!(check(&forged, vec![]), []);
        let kept = vec![chain(4)[2].head()];
        assert_eq!(check(&forged, kept), [fault(FaultKind::Rewritten, 3, "line 3")]);
    }

    #[test]
    fn a_check_begins_behind_the_anchor_and_knows_nothing_older() {
        let lines = chain(5);
        let run = |kept| {
            let mut check = ChainCheck::new(lines[2].head(), vec![kept]);
            for line in &lines[3..] {
                check.take(&"there", line.text().as_bytes());
            }
            let verdict = check.finish();
            assert_eq!((verdict.head, verdict.lines), (lines[4].head(), 2));
            verdict.faults
        };
        assert_eq!(run(lines[4].head()), []);
        assert_eq!(run(lines[2].head()), []);
        assert_eq!(run(ChainHead { hash: lines[1].hash, ..lines[2].head() })[0].kind, FaultKind::Rewritten);
        assert_eq!(run(lines[1].head())[0].kind, FaultKind::Expired);
    }

    #[test]
    fn faults_are_counted_when_there_are_too_many_to_name() {
        let mut check = ChainCheck::new(ChainHead::default(), vec![]);
        for _ in 0..30 {
            check.take(&"there", b"no line");
        }
        let verdict = check.finish();
        assert_eq!((verdict.faults.len(), verdict.more_faults), (FAULTS_MAX, 10));
    }

    #[test]
    fn a_query_wants_what_it_names_and_what_could_be_it() {
        let event = event(3);
        let wants = |change: fn(&mut AuditQuery)| {
            let mut query = AuditQuery::default();
            change(&mut query);
            query.wants(&event)
        };
        assert!(wants(|_| {}));
        assert!(wants(|query| query.user = Some(UserNo(3))));
        assert!(!wants(|query| query.user = Some(UserNo(4))));
        assert!(wants(|query| query.alert = Some("alert-3".to_owned())));
        assert!(!wants(|query| query.action = Some("GetUserRisk".to_owned())));
        assert!(!wants(|query| query.until = Some("2026-11-24T12:00:00.25Z".parse().unwrap())));
        assert!(wants(|query| query.from = Some("2026-11-24T12:00:00.25Z".parse().unwrap())));
        let many = AuditEvent { more_users: 1, ..event.clone() };
        assert!(AuditQuery { user: Some(UserNo(4)), ..AuditQuery::default() }.wants(&many));
    }
}

//! Page tokens: where a timeline, a list of risk alerts or of audit events goes on, authenticated, and good for nothing but the same
//! question.

use crate::domain::decision::RiskAlertQuery;
use crate::domain::ids::{RiskAlertId, TenantId};
use crate::domain::time::UtcDay;
use crate::domain::user::UserNo;
use crate::engine::alerts::AlertCursor;
use crate::engine::audit_log::{AuditCursor, AuditQuery};
use crate::engine::reading::{Cursor, TimelineQuery};
use crate::gate::caller::Caller;
use crate::grpc::status::Invalid;
use crate::pb::ErrorReason;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

const VERSION: u8 = 1;
const MAC_BYTES: usize = 32;
const CURSOR_BYTES: usize = 1 + 8 + 4;
const ALERT_VERSION: u8 = 3;
const AUDIT_VERSION: u8 = 2;
const AUDIT_CURSOR_BYTES: usize = 1 + 8 + 8 + 4 + 8;

/// Makes and opens page tokens.
pub struct PageTokens([u8; 32]);

/// What a token is bound to. It opens for the very same and nothing else.
#[derive(Clone, Copy)]
pub struct Bound<'a> {
    /// Who asked.
    pub caller: &'a Caller,
    /// The tenant.
    pub tenant: TenantId,
    /// How often the tenant's sharing switch had moved: a token does not outlive a time without sharing.
    pub epoch: u64,
    /// The person.
    pub user: UserNo,
    /// The question.
    pub query: &'a TimelineQuery,
}

/// What a token of audit events is bound to.
#[derive(Clone, Copy)]
pub struct AuditBound<'a> {
    /// Who asked.
    pub caller: &'a Caller,
    /// The tenant.
    pub tenant: TenantId,
    /// The question.
    pub query: &'a AuditQuery,
}

/// What a token of risk alerts is bound to.
#[derive(Clone, Copy)]
pub struct AlertBound<'a> {
    /// Who asked.
    pub caller: &'a Caller,
    /// The tenant.
    pub tenant: TenantId,
    /// How often the tenant's sharing switch had moved.
    pub epoch: u64,
    /// The question.
    pub query: &'a RiskAlertQuery,
}

impl PageTokens {
    /// Returns the tokens of a key, which the store keeps.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// Makes a token.
    #[must_use]
    pub fn issue(&self, bound: Bound<'_>, cursor: &Cursor) -> String {
        let mut token = vec![VERSION];
        token.extend(instant_bytes(cursor.at));
        token.extend(cursor.activity_id.as_bytes());
        let mac = self.mac(bound, &token);
        sealed(token, mac)
    }

    /// Makes a token of audit events.
    #[must_use]
    pub fn issue_audit(&self, bound: AuditBound<'_>, cursor: AuditCursor) -> String {
        let mut token = vec![AUDIT_VERSION];
        token.extend(cursor.sequence.to_be_bytes());
        token.extend(cursor.last.to_be_bytes());
        token.extend(cursor.day.number().to_be_bytes());
        token.extend(cursor.offset.to_be_bytes());
        let mac = self.audit_mac(bound, &token);
        sealed(token, mac)
    }

    /// Opens a token of audit events.
    ///
    /// # Errors
    /// When it was not made here for the very same; why is not said.
    pub fn open_audit(&self, bound: AuditBound<'_>, token: &str) -> Result<AuditCursor, Invalid> {
        self.read_audit(bound, token).ok_or_else(refusal)
    }

    fn read_audit(&self, bound: AuditBound<'_>, token: &str) -> Option<AuditCursor> {
        let token = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (cursor, mac) = token.split_at_checked(AUDIT_CURSOR_BYTES)?;
        self.audit_mac(bound, cursor).verify_slice(mac).ok()?;
        Some(AuditCursor {
            sequence: u64::from_be_bytes(cursor[1..9].try_into().ok()?),
            last: u64::from_be_bytes(cursor[9..17].try_into().ok()?),
            day: UtcDay::from_number(i32::from_be_bytes(cursor[17..21].try_into().ok()?)),
            offset: u64::from_be_bytes(cursor[21..].try_into().ok()?),
        })
    }

    /// Makes a token of risk alerts.
    #[must_use]
    pub fn issue_alerts(&self, bound: AlertBound<'_>, cursor: &AlertCursor) -> String {
        let mut token = vec![ALERT_VERSION];
        token.extend(instant_bytes(cursor.created_at));
        token.extend(cursor.id.as_str().as_bytes());
        let mac = self.alert_mac(bound, &token);
        sealed(token, mac)
    }

    /// Opens a token of risk alerts.
    ///
    /// # Errors
    /// When it was not made here for the very same; why is not said.
    pub fn open_alerts(&self, bound: AlertBound<'_>, token: &str) -> Result<AlertCursor, Invalid> {
        self.read_alerts(bound, token).ok_or_else(refusal)
    }

    fn read_alerts(&self, bound: AlertBound<'_>, token: &str) -> Option<AlertCursor> {
        let token = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (cursor, mac) = token.split_at_checked(token.len().checked_sub(MAC_BYTES)?)?;
        self.alert_mac(bound, cursor).verify_slice(mac).ok()?;
        let (head, id) = cursor.split_at_checked(CURSOR_BYTES)?;
        let id = RiskAlertId::new(std::str::from_utf8(id).ok()?).ok()?;
        Some(AlertCursor { created_at: instant(head)?, id })
    }

    /// Opens a token.
    ///
    /// # Errors
    /// When it was not made here for the very same; why is not said.
    pub fn open(&self, bound: Bound<'_>, token: &str) -> Result<Cursor, Invalid> {
        self.read(bound, token).ok_or_else(refusal)
    }

    fn read(&self, bound: Bound<'_>, token: &str) -> Option<Cursor> {
        let token = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (cursor, mac) = token.split_at_checked(token.len().checked_sub(MAC_BYTES)?)?;
        self.mac(bound, cursor).verify_slice(mac).ok()?;
        let (head, id) = cursor.split_at_checked(CURSOR_BYTES)?;
        Some(Cursor { at: instant(head)?, activity_id: String::from_utf8(id.to_vec()).ok()? })
    }

    fn mac(&self, bound: Bound<'_>, cursor: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.mac_of(VERSION, bound.caller, bound.tenant);
        mac.update(&bound.epoch.to_be_bytes());
        mac.update(&bound.user.0.to_be_bytes());
        let query = bound.query;
        for day in [query.first, query.last] {
            mac.update(&day.map_or(i64::MIN, |day| day.number().into()).to_be_bytes());
        }
        mac.update(&[u8::from(query.oldest_first)]);
        mac.update(&(query.indicators.len() as u64).to_be_bytes());
        for indicator in &query.indicators {
            update_text(&mut mac, indicator.name());
        }
        mac.update(cursor);
        mac
    }

    fn alert_mac(&self, bound: AlertBound<'_>, cursor: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.mac_of(ALERT_VERSION, bound.caller, bound.tenant);
        mac.update(&bound.epoch.to_be_bytes());
        // Every field's value in quotes or as a word: no two questions look alike.
        update_text(&mut mac, &format!("{:?}", bound.query));
        mac.update(cursor);
        mac
    }

    fn audit_mac(&self, bound: AuditBound<'_>, cursor: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.mac_of(AUDIT_VERSION, bound.caller, bound.tenant);
        // Every field's value in quotes or as a word: no two questions look alike.
        update_text(&mut mac, &format!("{:?}", bound.query));
        mac.update(cursor);
        mac
    }

    fn mac_of(&self, version: u8, caller: &Caller, tenant: TenantId) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of every length");
        mac.update(&[version]);
        update_text(&mut mac, caller.principal());
        // Whoever has other roles than before begins anew.
        mac.update(&(caller.roles().len() as u64).to_be_bytes());
        for role in caller.roles() {
            update_text(&mut mac, role.name());
        }
        mac.update(tenant.uuid().as_bytes());
        mac
    }
}

fn instant_bytes(at: DateTime<Utc>) -> impl Iterator<Item = u8> {
    at.timestamp().to_be_bytes().into_iter().chain(at.timestamp_subsec_nanos().to_be_bytes())
}

/// Reads the instant behind the version of a cursor of [`CURSOR_BYTES`] at least.
fn instant(cursor: &[u8]) -> Option<DateTime<Utc>> {
    let seconds = i64::from_be_bytes(cursor.get(1..9)?.try_into().ok()?);
    let nanos = u32::from_be_bytes(cursor.get(9..CURSOR_BYTES)?.try_into().ok()?);
    DateTime::from_timestamp(seconds, nanos)
}

fn sealed(mut token: Vec<u8>, mac: Hmac<Sha256>) -> String {
    token.extend(mac.finalize().into_bytes());
    URL_SAFE_NO_PAD.encode(token)
}

/// Takes a text with its length, so that no two lists look alike.
fn update_text(mac: &mut Hmac<Sha256>, text: &str) {
    mac.update(&(text.len() as u64).to_be_bytes());
    mac.update(text.as_bytes());
}

/// The refusal of every token that does not open.
#[must_use]
pub fn refusal() -> Invalid {
    let rule = "must be the next_page_token of an answer to the same question; ask for the first page again";
    Invalid::one(ErrorReason::PageTokenInvalid, "page_token", rule)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the test is the authentication")]
mod tests {
    use super::*;
    use crate::domain::indicator::Indicator;
    use crate::gate::caller::Tenants;
    use crate::gate::rights::Role;
    use std::collections::BTreeSet;
    use uuid::Uuid;

    fn caller(principal: &str, roles: &[Role]) -> Caller {
        let roles: BTreeSet<Role> = roles.iter().copied().collect();
        Caller::authenticated(principal.to_owned(), roles, Tenants::All, None)
    }

    fn cursor() -> Cursor {
        Cursor { at: "2026-11-24T08:00:00.5Z".parse().unwrap(), activity_id: "a-1".to_owned() }
    }

    #[test]
    fn a_token_opens_for_the_same_question_and_for_no_other() {
        let tokens = PageTokens::new([7; 32]);
        let query = TimelineQuery::default();
        let ann = caller("ann", &[Role::DlpAlertReader]);
        let bound = Bound {
            caller: &ann,
            tenant: TenantId::new(Uuid::nil()),
            epoch: 1,
            user: UserNo(1),
            query: &query,
        };
        let token = tokens.issue(bound, &cursor());
        assert_eq!(tokens.open(bound, &token), Ok(cursor()));
        let narrowed = TimelineQuery { indicators: vec![Indicator::named("Print")], ..query.clone() };
        let earlier = TimelineQuery { last: Some(UtcDay::from_number(20_000)), ..query.clone() };
        let bob = caller("bob", &[Role::DlpAlertReader]);
        let promoted = caller("ann", &[Role::DlpAlertReader, Role::SecurityReader]);
        let others = [
            Bound { caller: &bob, ..bound },
            Bound { caller: &promoted, ..bound },
            Bound { tenant: TenantId::new(Uuid::max()), ..bound },
            Bound { epoch: 2, ..bound },
            Bound { user: UserNo(2), ..bound },
            Bound { query: &narrowed, ..bound },
            Bound { query: &earlier, ..bound },
        ];
        for other in others {
            assert_eq!(tokens.open(other, &token), Err(refusal()));
        }
        assert_eq!(PageTokens::new([8; 32]).open(bound, &token), Err(refusal()));
    }

    #[test]
    fn a_token_of_audit_events_opens_for_the_same_question_and_for_no_other() {
        let tokens = PageTokens::new([7; 32]);
        let (ann, bob) = (caller("ann", &[Role::Auditor]), caller("bob", &[Role::Auditor]));
        let query = AuditQuery { principal: Some("x".to_owned()), ..AuditQuery::default() };
        let bound = AuditBound { caller: &ann, tenant: TenantId::new(Uuid::nil()), query: &query };
        let cursor = AuditCursor { sequence: 7, last: 9, day: UtcDay::from_number(-1), offset: u64::MAX };
        let token = tokens.issue_audit(bound, cursor);
        assert_eq!(tokens.open_audit(bound, &token), Ok(cursor));
        let wider = AuditQuery::default();
        let other = AuditQuery { action: Some("x".to_owned()), ..AuditQuery::default() };
        let others = [
            AuditBound { caller: &bob, ..bound },
            AuditBound { tenant: TenantId::new(Uuid::max()), ..bound },
            AuditBound { query: &wider, ..bound },
            AuditBound { query: &other, ..bound },
        ];
        for other in others {
            assert_eq!(tokens.open_audit(other, &token), Err(refusal()));
        }
        for cut in 0..token.len() {
            assert_eq!(tokens.open_audit(bound, &token[..cut]), Err(refusal()));
        }
    }

    #[test]
    fn a_token_with_any_changed_character_is_refused() {
        let tokens = PageTokens::new([7; 32]);
        let query = TimelineQuery::default();
        let ann = caller("ann", &[Role::DlpAlertReader]);
        let bound = Bound {
            caller: &ann,
            tenant: TenantId::new(Uuid::nil()),
            epoch: 1,
            user: UserNo(1),
            query: &query,
        };
        let token = tokens.issue(bound, &cursor());
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(tokens.open(bound, &changed), Err(refusal()), "character {at}");
            assert_eq!(tokens.open(bound, &token[..at]), Err(refusal()), "first {at}");
        }
    }
}

//! Page tokens: where a timeline goes on, authenticated, and good for nothing but the same question.

use crate::domain::ids::TenantId;
use crate::domain::user::UserNo;
use crate::engine::reading::{Cursor, TimelineQuery};
use crate::gate::caller::Caller;
use crate::grpc::status::Invalid;
use crate::pb::ErrorReason;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::DateTime;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

const VERSION: u8 = 1;
const MAC_BYTES: usize = 32;
const CURSOR_BYTES: usize = 1 + 8 + 4;

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
        token.extend(cursor.at.timestamp().to_be_bytes());
        token.extend(cursor.at.timestamp_subsec_nanos().to_be_bytes());
        token.extend(cursor.activity_id.as_bytes());
        let mac = self.mac(bound, &token).finalize().into_bytes();
        token.extend(mac);
        URL_SAFE_NO_PAD.encode(token)
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
        let seconds = i64::from_be_bytes(head[1..9].try_into().ok()?);
        let nanos = u32::from_be_bytes(head[9..].try_into().ok()?);
        let at = DateTime::from_timestamp(seconds, nanos)?;
        Some(Cursor { at, activity_id: String::from_utf8(id.to_vec()).ok()? })
    }

    fn mac(&self, bound: Bound<'_>, cursor: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of every length");
        update_text(&mut mac, bound.caller.principal());
        // Whoever has other roles than before begins anew.
        mac.update(&(bound.caller.roles().len() as u64).to_be_bytes());
        for role in bound.caller.roles() {
            update_text(&mut mac, role.name());
        }
        mac.update(bound.tenant.uuid().as_bytes());
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
    use crate::domain::time::UtcDay;
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

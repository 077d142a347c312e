//! The bytes of what is known now, for engines that keep that instead of each change.

use super::change::{Change, read_activity, read_alert, write_activity, write_alert, write_key};
use super::codec::{Decoder, Encoder, Malformed};
use super::reviews::Review;
use crate::domain::activity::Activity;
use crate::domain::content::Due;
use crate::domain::decision::AlertChange;
use crate::domain::facts::UserFacts;
use crate::domain::risk_alert::RiskAlert;
use crate::domain::time::UtcDay;
use crate::domain::user::{IdentityKey, UserNo};

/// Writes all that is known of a user but the activities.
pub fn write_facts(facts: &UserFacts) -> Vec<u8> {
    let (mut out, no) = (Encoder::default(), facts.user.no);
    Change::User(facts.user.clone()).write(&mut out);
    for (policy, intervals) in &facts.memberships {
        let (policy, intervals) = (policy.clone(), intervals.clone());
        Change::Membership { user: no, policy, intervals }.write(&mut out);
    }
    for trigger in &facts.triggers {
        Change::Trigger { user: no, trigger: trigger.clone() }.write(&mut out);
    }
    for alert in facts.alerts.values() {
        Change::Alert { user: no, alert: alert.clone() }.write(&mut out);
    }
    out.finish()
}

/// Reads it.
pub fn read_facts(bytes: &[u8]) -> Result<UserFacts, Malformed> {
    let mut from = Decoder::new(bytes);
    let Change::User(user) = Change::read(&mut from)? else { return Err(Malformed) };
    let mut facts = UserFacts::of(user);
    while !from.is_empty() {
        match Change::read(&mut from)? {
            Change::Membership { policy, intervals, .. } => drop(facts.memberships.insert(policy, intervals)),
            Change::Trigger { trigger, .. } => drop(facts.triggers.insert(trigger)),
            Change::Alert { alert, .. } => drop(facts.alerts.insert(alert.id.clone(), alert)),
            _ => return Err(Malformed),
        }
    }
    Ok(facts)
}

/// Writes one change.
pub fn write_change(change: &Change) -> Vec<u8> {
    let mut out = Encoder::default();
    change.write(&mut out);
    out.finish()
}

/// Reads one.
pub fn read_change(bytes: &[u8]) -> Result<Change, Malformed> {
    Change::read(&mut Decoder::new(bytes))
}

/// Writes a key so that the same key has the same bytes.
pub fn key_bytes(key: &IdentityKey) -> Vec<u8> {
    let mut out = Encoder::default();
    write_key(&mut out, key);
    out.finish()
}

/// Writes an activity.
pub fn activity_bytes(user: UserNo, activity: &Activity) -> Vec<u8> {
    let mut out = Encoder::default();
    write_activity(&mut out, user, activity);
    out.finish()
}

/// Reads one of a day. Whose it is stands elsewhere, for numbers join.
pub fn read_one_activity(day: UtcDay, bytes: &[u8]) -> Result<Activity, Malformed> {
    read_activity(&mut Decoder::new(bytes), day).map(|(_, activity)| activity)
}

/// Writes a risk alert with its history.
pub fn review_bytes(alert: &RiskAlert, review: &Review) -> Vec<u8> {
    let mut out = Encoder::default();
    write_alert(&mut out, alert);
    out.count(review.history.len());
    for change in &review.history {
        let AlertChange { at, status, severity, score, by, comment } = change;
        let then = RiskAlert {
            status: *status,
            severity: *severity,
            score: *score,
            updated_at: *at,
            ..alert.clone()
        };
        write_alert(&mut out, &then);
        out.option(by.as_deref(), Encoder::text);
        out.text(comment);
    }
    out.finish()
}

/// Reads one.
pub fn read_review(bytes: &[u8], user: UserNo, exported: bool) -> Result<(RiskAlert, Review), Malformed> {
    let mut from = Decoder::new(bytes);
    let alert = read_alert(&mut from)?;
    let history = from.several(|from| {
        let change = AlertChange::of(&read_alert(from)?);
        let by = from.option(Decoder::text)?.map(|by| by.to_string());
        Ok(AlertChange { by, comment: from.text()?.to_string(), ..change })
    })?;
    let review = Review { user, created_at: alert.created_at, history, exported };
    Ok((alert, review))
}

/// Writes what is due.
pub fn due_bytes(due: &Due) -> Vec<u8> {
    let mut out = Encoder::default();
    write_alert(&mut out, &due.alert);
    out.count(due.change);
    out.finish()
}

/// Reads it.
pub fn read_due(bytes: &[u8], user: UserNo) -> Result<Due, Malformed> {
    let mut from = Decoder::new(bytes);
    Ok(Due { alert: read_alert(&mut from)?, user, change: from.small()? })
}

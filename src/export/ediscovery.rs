//! A risk alert with all that is known of it and its user's clear names, as one line of JSON: for investigations.

use crate::domain::decision::AlertChange;
use crate::domain::ids::TenantId;
use crate::domain::pseudonym::Pseudonym;
use crate::domain::risk_alert::{Origin, RiskAlert};
use crate::domain::user::{Identity, IdentityKey, Personal};
use crate::export::csv::word;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

/// An alert with what is beside it.
pub struct Row<'a> {
    /// Whose it is.
    pub tenant: TenantId,
    /// The alert.
    pub alert: &'a RiskAlert,
    /// The states that it was in.
    pub history: &'a [AlertChange],
    /// The policy's name; empty when nobody declared the policy.
    pub policy: &'a str,
    /// The user's names.
    pub user: &'a Identity,
    /// The user's pseudonym, by which other exports name the same user.
    pub pseudonym: Pseudonym,
}

#[derive(Serialize)]
struct Line<'a> {
    tenant_id: String,
    alert_id: &'a str,
    policy_id: &'a str,
    policy_name: &'a str,
    user: User<'a>,
    severity: &'static str,
    score: i32,
    status: &'static str,
    raised_by: &'static str,
    created_at: String,
    updated_at: String,
    closed_at: Option<String>,
    history: Vec<Change<'a>>,
}

#[derive(Serialize, Default)]
struct User<'a> {
    pseudonym: String,
    entra_object_id: Option<String>,
    upn: Option<&'a str>,
    display_name: Option<&'a str>,
    sids: Vec<&'a str>,
    addresses: Vec<&'a str>,
    accounts: Vec<&'a str>,
}

#[derive(Serialize)]
struct Change<'a> {
    changed_at: String,
    status: &'static str,
    severity: &'static str,
    score: i32,
    changed_by: Option<&'a str>,
    comment: &'a str,
}

/// Returns a row, ended by LF.
#[must_use]
pub fn line(row: &Row<'_>) -> String {
    let RiskAlert { id, policy, severity, score, status, origin, created_at, updated_at, closed_at } =
        row.alert;
    let line = Line {
        tenant_id: row.tenant.to_string(),
        alert_id: id.as_str(),
        policy_id: policy.as_str(),
        policy_name: row.policy,
        user: user(row.user, row.pseudonym),
        severity: severity.word(),
        score: *score,
        status: word(*status),
        raised_by: if *origin == Origin::Engine { "riskshare" } else { "import" },
        created_at: written(*created_at),
        updated_at: written(*updated_at),
        closed_at: closed_at.map(written),
        history: row.history.iter().map(change).collect(),
    };
    serde_json::to_string(&line).expect("it has neither maps nor floats") + "\n"
}

fn user(identity: &Identity, pseudonym: Pseudonym) -> User<'_> {
    let mut user = User {
        pseudonym: pseudonym.to_string(),
        upn: identity.upn().map(spelled),
        display_name: identity.display_name.as_ref().map(spelled),
        ..User::default()
    };
    for key in identity.keys() {
        match key {
            IdentityKey::ObjectId(id) => user.entra_object_id = Some(id.to_string()),
            IdentityKey::Sid(sid) => user.sids.push(spelled(sid)),
            IdentityKey::Address(address) => user.addresses.push(spelled(address)),
            IdentityKey::Account(account) => user.accounts.push(spelled(account)),
        }
    }
    user
}

#[expect(clippy::disallowed_methods, reason = "the format has clear names")]
fn spelled(name: &Personal) -> &str {
    name.spell()
}

fn change(change: &AlertChange) -> Change<'_> {
    Change {
        changed_at: written(change.at),
        status: word(change.status),
        severity: change.severity.word(),
        score: change.score,
        changed_by: change.by.as_deref(),
        comment: &change.comment,
    }
}

fn written(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

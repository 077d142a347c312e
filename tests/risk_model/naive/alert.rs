//! Section 5, risk alerts.

use super::{age, score, severity};
use chrono::{DateTime, NaiveDate, Utc};
use riskshare::domain::facts::{TenantRules, UserFacts};
use riskshare::domain::ids::RiskAlertId;
use riskshare::domain::risk_alert::{Origin, RiskAlert, Status};

pub fn is_open(alert: &RiskAlert, today: NaiveDate) -> bool {
    match alert.status {
        Status::NeedsReview => age(alert.created_at, today) < 120,
        Status::Confirmed => true,
        Status::Resolved | Status::Dismissed => false,
    }
}

/// The alerts that open or rise. An alert that opens gets any id that is free.
pub fn evaluate(facts: &UserFacts, rules: &TenantRules, now: DateTime<Utc>) -> Vec<RiskAlert> {
    let mut changed = Vec::new();
    if facts.user.guest {
        return changed; // Guests cannot be in a policy (`domain.md` 1.3).
    }
    for policy in rules.policies.values() {
        let Some(scored) = score::of_policy(facts, &rules.settings, policy, now) else { continue };
        let score = i32::try_from(scored.score).unwrap();
        let open: Vec<&RiskAlert> =
            facts.alerts.values().filter(|a| a.policy == policy.id && is_open(a, now.date_naive())).collect();
        if open.is_empty() && score >= policy.alert_threshold {
            changed.push(RiskAlert {
                id: RiskAlertId::new(&format!("naive {} {now}", policy.id.as_str())).unwrap(),
                policy: policy.id.clone(),
                severity: severity(scored.score),
                score,
                status: Status::NeedsReview,
                origin: Origin::Engine,
                created_at: now,
                updated_at: now,
                closed_at: None,
            });
        }
        for alert in open {
            if alert.origin == Origin::Engine && score > alert.score {
                let severity = severity(scored.score);
                changed.push(RiskAlert { severity, score, updated_at: now, ..alert.clone() });
            }
        }
    }
    changed
}

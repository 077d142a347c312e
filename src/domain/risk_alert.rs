//! Risk alerts: raised here, or imported (`risk-model.md` 5).

use crate::domain::facts::{TenantRules, UserFacts};
use crate::domain::ids::{PolicyId, RiskAlertId, TenantId};
use crate::domain::policy::Policy;
use crate::domain::score;
use crate::domain::score::{Evidence, InScope};
use crate::domain::severity::Severity;
use crate::domain::time::UtcDay;
use crate::domain::user::UserNo;
use chrono::{DateTime, Utc};
use std::cmp::Reverse;
use uuid::Uuid;

/// The state of a risk alert. Of two states at one instant the one that is further down counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Status {
    /// Nobody has decided yet.
    NeedsReview,
    /// Confirmed to a case.
    Confirmed,
    /// Its case was resolved.
    Resolved,
    /// Dismissed.
    Dismissed,
}

impl Status {
    /// Says whether an alert in this state is closed, for good.
    #[must_use]
    pub fn is_closed(self) -> bool {
        matches!(self, Self::Resolved | Self::Dismissed)
    }
}

/// Who raised an alert.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Origin {
    /// This service.
    Engine,
    /// Insider risk management; `exfiltration` says that exfiltration activity raised it.
    Imported {
        /// Exfiltration activity raised it.
        exfiltration: bool,
    },
}

/// A risk alert of one user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RiskAlert {
    /// Its id, stable over its life.
    pub id: RiskAlertId,
    /// The policy that it belongs to.
    pub policy: PolicyId,
    /// Low, Medium or High.
    pub severity: Severity,
    /// 1 to 100; the cut of the severity when imported.
    pub score: i32,
    /// Its state.
    pub status: Status,
    /// Who raised it.
    pub origin: Origin,
    /// When it was raised.
    pub created_at: DateTime<Utc>,
    /// When this state of it was true.
    pub updated_at: DateTime<Utc>,
    /// When it was closed.
    pub closed_at: Option<DateTime<Utc>>,
}

impl RiskAlert {
    /// Says whether it is open on that day: confirmed, or in need of review and raised less than 120 days before.
    #[must_use]
    pub fn is_open(&self, today: UtcDay) -> bool {
        match self.status {
            Status::NeedsReview => UtcDay::of(self.created_at) >= today.horizon_start(),
            Status::Confirmed => true,
            Status::Resolved | Status::Dismissed => false,
        }
    }

    /// Says whether exfiltration activity raised it elsewhere, which counts when that activity is not known here.
    #[must_use]
    pub fn is_imported_exfiltration(&self) -> bool {
        matches!(self.origin, Origin::Imported { exfiltration: true })
    }

    /// Returns what it adds to the user's score: its own score, or the cut of its severity when imported
    /// (`risk-model.md` 6).
    #[must_use]
    pub fn weight(&self) -> i32 {
        match self.origin {
            Origin::Engine => self.score,
            Origin::Imported { .. } => self.severity.cut(),
        }
    }

    /// Returns an imported alert after another record of it, or nothing when that record tells nothing new. The later
    /// state counts, whatever the order in which the records arrive; of several at one instant a closed one, then the
    /// most severe. The earliest record says when it was raised: some sources know the time of each record only.
    #[must_use]
    pub fn updated(&self, record: &Self) -> Option<Self> {
        let latest = if record.precedence() > self.precedence() { record } else { self };
        let updated = Self { created_at: self.created_at.min(record.created_at), ..latest.clone() };
        (updated != *self).then_some(updated)
    }

    /// Orders the records of one alert: by all that they say, so that no two different ones are equal.
    fn precedence(&self) -> impl Ord + '_ {
        let state = (self.status.is_closed(), self.severity, self.status, self.score);
        (self.updated_at, state, self.origin, self.closed_at, &self.policy)
    }

    /// Returns the alert with a higher score, or nothing when the score is not higher: it only rises. An imported
    /// one stays as it came.
    fn raised(&self, score: i32, now: DateTime<Utc>) -> Option<Self> {
        (self.origin == Origin::Engine && score > self.score).then(|| Self {
            score,
            severity: self.severity.max(Severity::of_score(score)),
            updated_at: now,
            ..self.clone()
        })
    }
}

/// Returns the alerts that are new or have risen now that facts of the user or of the rules have changed. The
/// caller keeps each under its id, in place of the one before, if any.
///
/// Depends on nothing but its arguments, the ids too: a replay of the same commits gives the same alerts. A guest
/// and the implicit policy of user analytics never have one. While an imported alert of a policy is open, none is
/// opened beside it: one open alert for each policy and user.
#[must_use]
pub fn evaluate(
    tenant: TenantId,
    facts: &UserFacts,
    rules: &TenantRules,
    now: DateTime<Utc>,
) -> Vec<RiskAlert> {
    let scopes = score::in_scope(facts, rules, now);
    if scopes.is_empty() {
        return Vec::new();
    }
    let evidence = Evidence::of(facts, &rules.settings, UtcDay::of(now));
    let changed = |scope: InScope<'_>| match open_alert(facts, &scope.policy.id, UtcDay::of(now)) {
        Some(open) => open.raised(evidence.score(scope), now),
        None => opened(tenant, facts.user.no, scope.policy, evidence.score(scope), now),
    };
    scopes.into_iter().filter_map(changed).collect()
}

/// Returns the open alert of a policy. Two people who turn out to be one, or an import, can leave several: then
/// ours with the highest score, so that the same one goes on rising.
fn open_alert<'a>(facts: &'a UserFacts, policy: &PolicyId, today: UtcDay) -> Option<&'a RiskAlert> {
    facts
        .alerts
        .values()
        .filter(|alert| alert.policy == *policy && alert.is_open(today))
        .max_by_key(|alert| (alert.origin == Origin::Engine, alert.score, Reverse(&alert.id)))
}

fn opened(
    tenant: TenantId,
    user: UserNo,
    policy: &Policy,
    score: i32,
    now: DateTime<Utc>,
) -> Option<RiskAlert> {
    if score < policy.alert_threshold {
        return None;
    }
    Some(RiskAlert {
        id: alert_id(tenant, user, &policy.id, now),
        policy: policy.id.clone(),
        severity: Severity::of_score(score),
        score,
        status: Status::NeedsReview,
        origin: Origin::Engine,
        created_at: now,
        updated_at: now,
        closed_at: None,
    })
}

/// Makes an id of what makes an alert one of its kind: a user cannot have two of a policy at one instant. The
/// user's number tells nothing about who it is.
fn alert_id(tenant: TenantId, user: UserNo, policy: &PolicyId, created: DateTime<Utc>) -> RiskAlertId {
    let name = format!("{}/{}/{}", user.0, created.timestamp_micros(), policy.as_str());
    let id = Uuid::new_v5(&tenant.uuid(), name.as_bytes());
    RiskAlertId::new(&id.to_string()).expect("a UUID is short and visible")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::example::{Example, POLICY};
    use chrono::TimeDelta;

    const IMPORTED: Origin = Origin::Imported { exfiltration: true };

    fn evaluated(example: &Example) -> Vec<RiskAlert> {
        evaluate(Example::tenant(), &example.facts, &example.rules, example.now)
    }

    /// Keeps what is new, as a store does.
    fn kept(example: Example) -> Example {
        let new = evaluated(&example);
        example.with(|example| {
            example.facts.alerts.extend(new.into_iter().map(|alert| (alert.id.clone(), alert)));
        })
    }

    #[test]
    fn records_of_an_imported_alert_tell_the_same_story_in_any_order() {
        let record = |hour: i64, status: Status| {
            let at = DateTime::from_timestamp(hour * 3600, 0).unwrap();
            RiskAlert {
                id: RiskAlertId::new("risk-1").unwrap(),
                policy: PolicyId::new(POLICY).unwrap(),
                severity: Severity::High,
                score: 67,
                status,
                origin: IMPORTED,
                created_at: at,
                updated_at: at,
                closed_at: None,
            }
        };
        let (first, last) = (record(1, Status::NeedsReview), record(2, Status::Confirmed));
        let story = RiskAlert { created_at: first.created_at, ..last.clone() };
        assert_eq!(first.updated(&last), Some(story.clone()));
        assert_eq!(last.updated(&first), Some(story.clone()));
        assert_eq!(story.updated(&first), None);
        assert_eq!(story.updated(&last), None);
    }

    #[test]
    fn an_alert_opens_when_the_score_reaches_the_threshold() {
        assert_eq!(evaluated(&Example::in_scope().did("Print", 0, 19)), []);
        let example =
            Example::in_scope().did("Print", 1, 19).policy(POLICY, |policy| policy.volume_cutoff = 99);
        assert_eq!(evaluated(&example), []);
        let [alert] = &evaluated(&example.clone().policy(POLICY, |policy| policy.alert_threshold = 31))[..]
        else {
            panic!("one alert")
        };
        assert_eq!((alert.score, alert.severity), (31, Severity::Low));
        assert_eq!((alert.status, alert.origin), (Status::NeedsReview, Origin::Engine));
        assert_eq!((alert.created_at, alert.updated_at, alert.closed_at), (example.now, example.now, None));
        assert_eq!(alert.policy.as_str(), POLICY);
        assert_eq!(evaluated(&example.policy(POLICY, |policy| policy.alert_threshold = 32)), []);
    }

    #[test]
    fn an_open_alert_only_rises_and_stays_the_same_alert() {
        let opened = kept(Example::in_scope().did("Print", 1, 20));
        let before = opened.facts.alerts.values().next().unwrap().clone();
        assert_eq!((before.score, before.severity), (54, Severity::Medium));
        assert_eq!(evaluated(&opened), []);
        let later = opened.with(|example| example.now += TimeDelta::hours(1));
        let more = later.clone().did("Print", 1, 9);
        let expected =
            RiskAlert { score: 62 + 20, severity: Severity::High, updated_at: more.now, ..before.clone() };
        assert_eq!(evaluated(&more), [expected]);
        let less = later.policy(POLICY, |policy| policy.volume_cutoff = 99);
        assert_eq!(evaluated(&less), []);
    }

    #[test]
    fn a_confirmed_alert_rises_too() {
        let confirmed = kept(Example::in_scope().did("Print", 1, 20)).with(|example| {
            example.facts.alerts.values_mut().for_each(|alert| alert.status = Status::Confirmed);
        });
        let risen = evaluated(&confirmed.did("Print", 0, 20));
        assert_eq!(risen[0].status, Status::Confirmed);
        assert_eq!(risen.len(), 1);
    }

    #[test]
    fn a_closed_alert_never_reopens_but_new_days_may_open_another() {
        let opened = kept(Example::in_scope().did("Print", 1, 20));
        let id = opened.facts.alerts.keys().next().unwrap().as_str().to_owned();
        let closed = opened.dismissed(&id, 0);
        assert_eq!(evaluated(&closed.clone().did("Print", 0, 50)), []);
        let tomorrow = closed.with(|example| example.now += TimeDelta::days(1));
        assert_eq!(evaluated(&tomorrow), []);
        let again = evaluated(&tomorrow.did("Print", 0, 20));
        assert_eq!(again.len(), 1);
        assert_ne!(again[0].id.as_str(), id);
    }

    #[test]
    fn an_alert_that_nobody_reviewed_is_open_for_120_days_and_a_confirmed_one_until_closed() {
        let open = |status, days_ago| {
            let example = Example::new().alert("a", IMPORTED, Severity::Low, days_ago, status);
            example.facts.alerts.values().all(|alert| alert.is_open(example.day(0)))
        };
        assert!(open(Status::NeedsReview, 119));
        assert!(!open(Status::NeedsReview, 120));
        assert!(open(Status::Confirmed, 500));
        assert!(!open(Status::Resolved, 0));
        assert!(!open(Status::Dismissed, 0));
    }

    #[test]
    fn an_alert_that_has_aged_makes_way_for_a_new_one() {
        let example = Example::in_scope().did("Print", 0, 20);
        let aged =
            |days| example.clone().alert("a", Origin::Engine, Severity::High, days, Status::NeedsReview);
        assert_eq!(evaluated(&aged(119)), []);
        assert_eq!(evaluated(&aged(120)).len(), 1);
    }

    #[test]
    fn an_imported_alert_is_never_changed_and_while_open_the_policy_opens_none() {
        let example = Example::in_scope().did("Print", 0, 29);
        let imported = example.clone().alert("a", IMPORTED, Severity::Low, 1, Status::NeedsReview);
        assert_eq!(evaluated(&imported), []);
        assert_eq!(evaluated(&imported.dismissed("a", 1)).len(), 1);
        // One that is opened here before goes on rising beside an import.
        let both = example.alert("a", IMPORTED, Severity::High, 1, Status::NeedsReview).alert(
            "b",
            Origin::Engine,
            Severity::Low,
            1,
            Status::NeedsReview,
        );
        let risen = evaluated(&both);
        assert_eq!(risen.len(), 1);
        assert_eq!((risen[0].id.as_str(), risen[0].score), ("b", 62 + 20));
    }

    #[test]
    fn a_guest_and_the_implicit_policy_have_no_alerts() {
        let example = Example::in_scope().did("Print", 0, 30);
        assert_eq!(evaluated(&example).len(), 1);
        assert_eq!(evaluated(&example.with(|example| example.facts.user.guest = true)), []);
        let implicit = Example::new().did("Print", 0, 30);
        assert_eq!(evaluated(&implicit.with(|example| example.rules.settings.user_analytics = true)), []);
    }

    #[test]
    fn each_policy_has_its_own_alert() {
        let example = Example::in_scope().did("Print", 0, 30).policy("other", |policy| {
            policy.trigger_rule = crate::domain::policy::TriggerRule::ExfiltrationActivity;
        });
        let from = example.at(9);
        let policies: Vec<String> = evaluated(&example.member_of("other", from, None))
            .into_iter()
            .map(|alert| alert.policy.as_str().to_owned())
            .collect();
        assert_eq!(policies, [POLICY, "other"]);
    }

    #[test]
    fn a_replay_gives_the_same_id_and_anything_else_another() {
        let example = Example::in_scope().did("Print", 0, 30);
        let id = |tenant: u128, example: &Example| {
            let tenant = TenantId::new(Uuid::from_u128(tenant));
            evaluate(tenant, &example.facts, &example.rules, example.now)[0].id.clone()
        };
        let later = example.clone().with(|example| example.now += TimeDelta::microseconds(1));
        let other = example.clone().with(|example| example.facts.user.no = UserNo(8));
        assert_eq!(id(1, &example), id(1, &example));
        assert_ne!(id(1, &example), id(2, &example));
        assert_ne!(id(1, &example), id(1, &later));
        assert_ne!(id(1, &example), id(1, &other));
    }
}

//! The score that a policy gives to a user (`risk-model.md` 4), and the policy of user analytics (6, last paragraph).

use crate::domain::cumulative;
use crate::domain::cumulative::CumulativeInsight;
use crate::domain::facts::{TenantRules, UserFacts};
use crate::domain::ids::PolicyId;
use crate::domain::insight::{SCORE_MAX, Tally, UserBoosters};
use crate::domain::policy::{Interval, Policy, Scope, Trigger, TriggerRule};
use crate::domain::risk_alert::RiskAlert;
use crate::domain::sequence;
use crate::domain::sequence::SequenceInsight;
use crate::domain::settings::Settings;
use crate::domain::time::{UtcDay, Window};
use chrono::{DateTime, Utc};
use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

/// How many insights a score is made of.
const INSIGHTS_MAX: usize = 10;
/// What each of them adds to the highest, in sixteenths: the highest itself counts whole.
const WEIGHTS: [i32; INSIGHTS_MAX] = [16, 4, 3, 2, 1, 1, 1, 1, 1, 1];

/// A policy that scores a user today, and the days that it scores.
#[derive(Clone, Copy, Debug)]
pub struct InScope<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// The days; may be empty, when an alert was closed today.
    pub days: Window,
}

/// Returns the declared policies in whose scope the user is, by id. None for a guest.
#[must_use]
pub fn in_scope<'a>(facts: &UserFacts, rules: &'a TenantRules, now: DateTime<Utc>) -> Vec<InScope<'a>> {
    if facts.user.guest {
        return Vec::new();
    }
    facts
        .memberships
        .iter()
        .filter_map(|(id, intervals)| declared(facts, rules, id, intervals, now))
        .collect()
}

fn declared<'a>(
    facts: &UserFacts,
    rules: &'a TenantRules,
    id: &PolicyId,
    intervals: &[Interval],
    now: DateTime<Utc>,
) -> Option<InScope<'a>> {
    let policy = rules.policies.get(id)?;
    let member_from = member_from(intervals, now)?;
    let first_live = first_live_day(policy, now);
    let recorded = recorded_trigger(&facts.triggers, id, first_live.start(), now);
    let exfiltration = exfiltration_trigger(facts, &rules.settings, policy, member_from, now);
    let trigger = recorded.into_iter().chain(exfiltration).min()?;
    let closed = last_closing(facts.alerts.values(), id);
    Some(InScope { policy, days: scored_days(policy, trigger, closed, UtcDay::of(now)) })
}

/// Returns the implicit policy of user analytics, when the tenant has it on and the user is in its scope. It has no
/// id of its own: no recorded trigger and no alert is ever looked up for it.
#[must_use]
pub fn user_analytics(
    facts: &UserFacts,
    settings: &Settings,
    now: DateTime<Utc>,
) -> Option<InScope<'static>> {
    if !settings.user_analytics || facts.user.guest {
        return None;
    }
    let policy: &'static Policy = &USER_ANALYTICS;
    let trigger = exfiltration_trigger(facts, settings, policy, DateTime::<Utc>::MIN_UTC, now)?;
    Some(InScope { policy, days: scored_days(policy, trigger, None, UtcDay::of(now)) })
}

static USER_ANALYTICS: LazyLock<Policy> = LazyLock::new(|| Policy {
    id: PolicyId::new("user analytics").expect("it is short and visible"),
    name: "User analytics".into(),
    scope: Scope::Every,
    trigger_rule: TriggerRule::ExfiltrationActivity,
    past_days: Policy::PAST_DAYS,
    activation_days: Policy::ACTIVATION_DAYS,
    alert_threshold: Policy::ALERT_THRESHOLD,
    volume_cutoff: Policy::VOLUME_CUTOFF,
    priority_users: BTreeSet::new(),
});

/// Returns since when the user has been a member, if now.
fn member_from(intervals: &[Interval], now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    intervals.iter().filter(|interval| interval.contains(now)).map(|interval| interval.from).min()
}

/// Returns the first day on which a trigger is still live.
fn first_live_day(policy: &Policy, now: DateTime<Utc>) -> UtcDay {
    UtcDay::of(now).plus(-policy.activation_days)
}

/// Returns the earliest recorded trigger from an instant on, up to now.
fn recorded_trigger(
    triggers: &BTreeSet<Trigger>,
    policy: &PolicyId,
    from: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let lowest = Trigger { policy: policy.clone(), at: from, kind: Arc::from("") };
    let first = triggers.range(lowest..).next()?;
    (first.policy == *policy && first.at <= now).then_some(first.at)
}

/// Returns the earliest live exfiltration activity of a member, when the policy takes it for a trigger.
fn exfiltration_trigger(
    facts: &UserFacts,
    settings: &Settings,
    policy: &Policy,
    member_from: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    if policy.trigger_rule != TriggerRule::ExfiltrationActivity {
        return None;
    }
    let first = first_live_day(policy, now).max(UtcDay::of(member_from));
    facts
        .activities
        .days(Window { first, last: UtcDay::of(now) })
        .flat_map(|(_, rows)| rows)
        .skip_while(|activity| activity.at < member_from)
        .take_while(|activity| activity.at <= now)
        .find(|activity| settings.shares(&activity.indicator))
        .map(|activity| activity.at)
}

/// Returns the day on which the latest alert of a policy was closed.
fn last_closing<'a>(alerts: impl Iterator<Item = &'a RiskAlert>, policy: &PolicyId) -> Option<UtcDay> {
    alerts
        .filter(|alert| alert.policy == *policy && alert.status.is_closed())
        .filter_map(|alert| alert.closed_at)
        .max()
        .map(UtcDay::of)
}

/// Returns the scored days, given the earliest live trigger. Every live trigger's days include today, so together
/// they are one window that begins with the earliest one's.
fn scored_days(policy: &Policy, trigger: DateTime<Utc>, closed: Option<UtcDay>, today: UtcDay) -> Window {
    let first = UtcDay::of(trigger).plus(-policy.past_days).max(today.horizon_start());
    Window { first: closed.map_or(first, |closed| first.max(closed.plus(1))), last: today }
}

/// What a user's scores are made of: counted once, for all policies.
pub struct Evidence<'a> {
    facts: &'a UserFacts,
    settings: &'a Settings,
    tally: Tally<'a>,
    /// Computed when the first policy needs them.
    derived: OnceCell<(Vec<CumulativeInsight>, Vec<SequenceInsight>)>,
}

impl<'a> Evidence<'a> {
    /// Counts what the user did in the horizon that ends with `today`.
    #[must_use]
    pub fn of(facts: &'a UserFacts, settings: &'a Settings, today: UtcDay) -> Self {
        let tally = Tally::of(&facts.activities, today);
        Self { facts, settings, tally, derived: OnceCell::new() }
    }

    /// Returns the score that a policy gives: 0 to 100.
    #[must_use]
    pub fn score(&self, scope: InScope<'_>) -> i32 {
        let mut top = TopTen::default();
        self.add_daily(scope, &mut top);
        if self.scores_exfiltration(&scope.policy.scope) {
            let (cumulative, sequences) = self.derived();
            let days = scope.days;
            let cumulative = cumulative.iter().filter(|one| days.contains(one.day)).map(|one| one.score);
            top.add(cumulative.max().unwrap_or(0));
            sequences.iter().filter(|one| days.contains(one.day)).for_each(|one| top.add(one.score));
        }
        top.score()
    }

    fn add_daily(&self, scope: InScope<'_>, top: &mut TopTen) {
        let user = UserBoosters::of(&self.facts.user, scope.policy);
        for row in self.tally.rows() {
            let Some(thresholds) = scope.policy.scope.thresholds(row.indicator) else { continue };
            for day in row.days(scope.days) {
                top.add(day.score(thresholds, scope.policy.volume_cutoff, user));
            }
        }
    }

    /// Says whether the policy scores a shared indicator. User analytics scores every one; should the tenant share
    /// none of them, nothing is derived either.
    fn scores_exfiltration(&self, scope: &Scope) -> bool {
        match scope {
            Scope::Listed(listed) => listed.keys().any(|indicator| self.settings.shares(indicator)),
            Scope::Every => true,
        }
    }

    fn derived(&self) -> &(Vec<CumulativeInsight>, Vec<SequenceInsight>) {
        self.derived.get_or_init(|| {
            let sequences = sequence::insights(&self.facts.activities, self.settings, self.tally.horizon());
            (cumulative::insights(&self.tally, self.settings), sequences)
        })
    }
}

/// The ten highest scores, highest first; missing ones are 0.
#[derive(Default)]
struct TopTen([i32; INSIGHTS_MAX]);

impl TopTen {
    fn add(&mut self, score: i32) {
        let at = self.0.partition_point(|kept| *kept >= score);
        if at < INSIGHTS_MAX {
            self.0[at..].rotate_right(1);
            self.0[at] = score;
        }
    }

    fn score(&self) -> i32 {
        let sixteenths: i32 = self.0.iter().zip(WEIGHTS).map(|(score, weight)| score * weight).sum();
        (sixteenths / 16).min(SCORE_MAX)
    }
}

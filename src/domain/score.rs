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
    let trigger = trigger(facts, &rules.settings, policy, Some(member_from), now)?;
    let closed = last_closing(facts.alerts.values(), id);
    Some(InScope { policy, days: scored_days(policy, trigger, closed, UtcDay::of(now)) })
}

/// Returns when the user was triggered into a policy, as of that instant: the earliest trigger that was live then. Of
/// somebody who was no member, as where a policy is known by imported alerts alone, recorded triggers tell.
#[must_use]
pub fn triggered_at(
    facts: &UserFacts,
    rules: &TenantRules,
    policy: &PolicyId,
    at: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let member_from = facts.memberships.get(policy).and_then(|intervals| member_from(intervals, at));
    match rules.policies.get(policy) {
        Some(policy) => trigger(facts, &rules.settings, policy, member_from, at),
        None => recorded_trigger(&facts.triggers, policy, DateTime::<Utc>::MIN_UTC, at),
    }
}

/// Returns the earliest trigger of a policy that is live.
fn trigger(
    facts: &UserFacts,
    settings: &Settings,
    policy: &Policy,
    member_from: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let first_live = first_live_day(policy, now);
    let recorded = recorded_trigger(&facts.triggers, &policy.id, first_live.start(), now);
    let exfiltration = member_from.and_then(|from| exfiltration_trigger(facts, settings, policy, from, now));
    recorded.into_iter().chain(exfiltration).min()
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
    priority_reviewers: BTreeSet::new(),
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
        .within(Window { first, last: UtcDay::of(now) })
        .skip_while(|activity| activity.at < member_from)
        .take_while(|activity| activity.at <= now)
        .find(|activity| settings.shares(activity.indicator))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::example::{Example, POLICY};
    use crate::domain::indicator::Indicator;
    use crate::domain::risk_alert::{Origin, Status};
    use crate::domain::severity::Severity;
    use chrono::TimeDelta;

    /// The first scored day, in days ago, and the score; nothing when out of scope.
    fn scored(example: &Example) -> Option<(i32, i32)> {
        let scopes = in_scope(&example.facts, &example.rules, example.now);
        scopes.into_iter().next().map(|scope| outcome(example, scope))
    }

    fn analytics(example: &Example) -> Option<(i32, i32)> {
        user_analytics(&example.facts, &example.rules.settings, example.now)
            .map(|scope| outcome(example, scope))
    }

    fn outcome(example: &Example, scope: InScope<'_>) -> (i32, i32) {
        assert_eq!(scope.days.last, example.day(0));
        let evidence = Evidence::of(&example.facts, &example.rules.settings, example.day(0));
        (example.day(0).since(scope.days.first), evidence.score(scope))
    }

    fn with_exfiltration_trigger(example: Example) -> Example {
        example.policy(POLICY, |policy| policy.trigger_rule = TriggerRule::ExfiltrationActivity)
    }

    #[test]
    fn the_ten_highest_count_the_first_whole_and_the_others_less_and_less() {
        let score = |scores: &[i32]| {
            let mut top = TopTen::default();
            for score in scores {
                top.add(*score);
            }
            top.score()
        };
        assert_eq!(score(&[]), 0);
        assert_eq!(score(&[40]), 40);
        assert_eq!(score(&[16, 40]), 40 + 16 * 4 / 16);
        // 64 + 48 + 32 + 6 * 16 = 240 sixteenths; an eleventh adds nothing.
        assert_eq!(score(&[16; 10]), 16 + 15);
        assert_eq!(score(&[16; 11]), 16 + 15);
        // Rounded down once: 15 sixteenths are nothing.
        assert_eq!(score(&[5, 3, 1, 0, 0]), 5);
        assert_eq!(score(&[5, 3, 1, 1, 0]), 5 + 1);
        assert_eq!(score(&[90, 67, 40]), 100);
    }

    #[test]
    fn without_membership_policy_or_trigger_nobody_is_in_scope() {
        let did = Example::new().did("Print", 0, 30);
        assert_eq!(scored(&did.clone().member(10).trigger(0)), Some((90, 100)));
        assert_eq!(scored(&did.clone().trigger(0)), None);
        assert_eq!(scored(&did.clone().member(10)), None);
        let undeclared = did.member(10).trigger(0).with(|example| example.rules.policies.clear());
        assert_eq!(scored(&undeclared), None);
    }

    #[test]
    fn a_membership_is_current_from_its_first_instant_to_before_its_end() {
        let example = Example::new().trigger(0);
        let (now, moment) = (example.now, TimeDelta::nanoseconds(1));
        let member = |from, until| scored(&example.clone().member_of(POLICY, from, until)).is_some();
        assert!(member(now, None));
        assert!(!member(now + moment, None));
        assert!(member(now, Some(now + moment)));
        assert!(!member(now - moment, Some(now)));
    }

    #[test]
    fn a_recorded_trigger_is_live_up_to_its_last_activation_day() {
        let example = Example::new().member(730).policy(POLICY, |policy| policy.activation_days = 5);
        assert_eq!(scored(&example.clone().trigger(5)), Some((95, 0)));
        assert_eq!(scored(&example.clone().trigger(6)), None);
        let now = example.now;
        assert!(scored(&example.clone().trigger_at(now)).is_some());
        assert_eq!(scored(&example.trigger_at(now + TimeDelta::nanoseconds(1))), None);
    }

    #[test]
    fn a_trigger_of_another_policy_or_before_the_membership_is_told_apart() {
        let other = Example::new().member(730).policy("other", |_| ()).with(|example| {
            let policy = PolicyId::new("other").unwrap();
            example.facts.triggers.insert(Trigger { policy, at: example.now, kind: "hr".into() });
        });
        assert_eq!(scored(&other), None);
        // A recorded trigger counts although the membership began later.
        assert_eq!(scored(&Example::new().member(1).trigger(3)), Some((93, 0)));
    }

    #[test]
    fn an_exfiltration_activity_of_a_member_triggers_where_the_policy_says_so() {
        let did = Example::new().did("CopyToUSB", 3, 1);
        assert_eq!(scored(&did.clone().member(730)), None);
        let did = with_exfiltration_trigger(did);
        assert_eq!(scored(&did.clone().member(730)), Some((93, 0)));
        // From the membership's first instant on.
        assert_eq!(scored(&did.clone().member(3)), Some((93, 0)));
        assert_eq!(scored(&did.clone().member(2)), None);
        let late = did.at(3) + TimeDelta::seconds(1);
        assert_eq!(scored(&did.clone().member_of(POLICY, late, None)), None);
        // Only exfiltration, up to now, and live.
        let hidden = with_exfiltration_trigger(Example::new().member(730).did("SpoDownload", 0, 1));
        assert_eq!(scored(&hidden), None);
        let now = hidden.now;
        let to_come = hidden.did_at("Print", now + TimeDelta::nanoseconds(1), |_| ());
        assert_eq!(scored(&to_come), None);
        let old = |days| with_exfiltration_trigger(Example::new().member(730).did("EmailExternal", days, 1));
        assert_eq!(scored(&old(30)), Some((119, 0)));
        assert_eq!(scored(&old(31)), None);
    }

    #[test]
    fn the_days_before_the_earliest_live_trigger_are_scored_as_far_as_the_policy_says() {
        let example = Example::new()
            .member(730)
            .policy(POLICY, |policy| policy.past_days = 2)
            .did("Print", 8, 10)
            .did("Print", 7, 10)
            .trigger(40)
            .trigger(5)
            .trigger(1);
        assert_eq!(scored(&example), Some((7, 16)));
        let all = example.policy(POLICY, |policy| policy.past_days = 3);
        assert_eq!(scored(&all), Some((8, 16 + 4)));
        // Never before the horizon.
        assert_eq!(scored(&Example::new().member(730).trigger(30)), Some((119, 0)));
    }

    #[test]
    fn the_days_up_to_the_closing_of_the_latest_alert_are_not_scored() {
        let example = Example::in_scope()
            .did("Print", 4, 10)
            .did("Print", 3, 10)
            .alert("a", Origin::Engine, Severity::Low, 9, Status::NeedsReview)
            .alert("b", Origin::Imported { exfiltration: false }, Severity::Low, 8, Status::NeedsReview);
        assert_eq!(scored(&example), Some((90, 16 + 4)));
        let closed = example.dismissed("a", 9).dismissed("b", 4);
        assert_eq!(scored(&closed), Some((3, 16)));
        let today = closed.dismissed("a", 0);
        assert_eq!(scored(&today), Some((-1, 0)));
        let elsewhere = today.with(|example| {
            for alert in example.facts.alerts.values_mut() {
                alert.policy = PolicyId::new("other").unwrap();
            }
        });
        assert_eq!(scored(&elsewhere), Some((90, 16 + 4)));
    }

    #[test]
    fn a_policy_scores_its_own_indicators_of_every_type() {
        let example = Example::in_scope().did("PhysicalAccess", 0, 10).did("EmailExternal", 0, 10);
        assert_eq!(scored(&example), Some((90, 0)));
        assert_eq!(scored(&example.scores(&["PhysicalAccess"])), Some((90, 16)));
    }

    #[test]
    fn derived_insights_need_a_shared_indicator_in_the_policy_and_a_scored_day() {
        let example = Example::in_scope().did("EmailExternal", 1, 30);
        assert_eq!(scored(&example), Some((90, 64)));
        let hidden_only = example.clone().with(|example| {
            example.rules.settings.overrides.insert(Indicator::named("Print"), false);
        });
        assert_eq!(scored(&hidden_only), Some((90, 0)));
        let today_only = example.policy(POLICY, |policy| policy.past_days = 0);
        assert_eq!(scored(&today_only), Some((0, 0)));
    }

    #[test]
    fn of_the_cumulative_insights_the_highest_counts_and_of_the_sequences_all() {
        let cumulative = Example::in_scope().did("EmailExternal", 2, 30).did("EmailExternal", 1, 1);
        assert_eq!(scored(&cumulative), Some((90, 65)));
        let example = Example::in_scope();
        let (one, two) = (example.at(2), example.at(1));
        let sequences = example.touched("SpoDownload", one, "a").touched("EmailExternal", one, "a").touched(
            "EmailExternal",
            two,
            "a",
        );
        assert_eq!(scored(&sequences), Some((90, 40 + 10)));
    }

    #[test]
    fn user_analytics_scores_everybody_but_guests_who_exfiltrated() {
        let example = Example::new().did("CopyToUSB", 3, 3).did("PhysicalAccess", 3, 10);
        assert_eq!(analytics(&example), None);
        let on = example.with(|example| example.rules.settings.user_analytics = true);
        assert_eq!(analytics(&on), Some((93, 34 + 4)));
        assert_eq!(scored(&on), None);
        let guest = on.clone().with(|example| example.facts.user.guest = true);
        assert_eq!(analytics(&guest), None);
        let idle = Example::new().did("PhysicalAccess", 3, 10);
        assert_eq!(analytics(&idle.with(|example| example.rules.settings.user_analytics = true)), None);
    }

    #[test]
    fn user_analytics_knows_no_recorded_trigger_and_no_closing() {
        let example = Example::new().with(|example| {
            example.rules.settings.user_analytics = true;
            let policy = USER_ANALYTICS.id.clone();
            example.facts.triggers.insert(Trigger { policy, at: example.now, kind: "hr".into() });
        });
        assert_eq!(analytics(&example), None);
        let closed = example
            .did("Print", 1, 10)
            .alert("a", Origin::Engine, Severity::Low, 0, Status::NeedsReview)
            .dismissed("a", 0)
            .with(|example| {
                for alert in example.facts.alerts.values_mut() {
                    alert.policy = USER_ANALYTICS.id.clone();
                }
            });
        assert_eq!(analytics(&closed), Some((91, 16)));
    }
}

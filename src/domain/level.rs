//! The level and the score of a user, and how long they hold (`risk-model.md` 6, 9).

use crate::domain::facts::{TenantRules, UserFacts};
use crate::domain::risk_alert::RiskAlert;
use crate::domain::score;
use crate::domain::score::{Evidence, InScope};
use crate::domain::settings::Settings;
use crate::domain::severity::Severity;
use crate::domain::time::{UtcDay, Window};
use crate::domain::timeline;
use chrono::{DateTime, Utc};
use std::iter;

/// What is true of a user from `as_of` until `valid_until`, as long as no new fact comes in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Assessment {
    /// The level.
    pub level: Severity,
    /// 1 to 100, and 0 when the level is None.
    pub score: i32,
    /// The instant for which it was made.
    pub as_of: DateTime<Utc>,
    /// The first instant at which it may no longer be true: after `as_of`, and at the latest the next UTC midnight.
    pub valid_until: DateTime<Utc>,
    /// The latest exfiltration activity in the lookback, whatever the level. Orders the users of an alert.
    pub latest_exfiltration: Option<DateTime<Utc>>,
}

/// Judges a user as of `now`. The level does not change within `as_of <= t < valid_until` unless a fact comes in.
#[must_use]
pub fn assess(facts: &UserFacts, rules: &TenantRules, now: DateTime<Utc>) -> Assessment {
    let latest_exfiltration = latest_exfiltration(facts, &rules.settings, now);
    let standing = if facts.user.guest { None } else { standing(facts, rules, latest_exfiltration, now) };
    let (level, score) = standing.unwrap_or((Severity::None, 0));
    let valid_until = valid_until(facts, &rules.settings, now);
    Assessment { level, score, as_of: now, valid_until, latest_exfiltration }
}

/// Returns the assessment of a user whom nobody knows: None, until the next UTC midnight.
#[must_use]
pub fn unknown(now: DateTime<Utc>) -> Assessment {
    Assessment {
        level: Severity::None,
        score: 0,
        as_of: now,
        valid_until: midnight(now),
        latest_exfiltration: None,
    }
}

/// Returns level and score of a user who is no guest, or nothing when the level is None.
fn standing(
    facts: &UserFacts,
    rules: &TenantRules,
    latest_exfiltration: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Option<(Severity, i32)> {
    let today = UtcDay::of(now);
    let open: Vec<&RiskAlert> = facts.alerts.values().filter(|alert| alert.is_open(today)).collect();
    if latest_exfiltration.is_none() && !open.iter().any(|alert| alert.is_imported_exfiltration()) {
        return None; // Beats every alert.
    }
    let mut scopes = score::in_scope(facts, rules, now);
    scopes.extend(score::user_analytics(facts, &rules.settings, now));
    if scopes.is_empty() && open.is_empty() {
        return None;
    }
    let scores = scores(facts, rules, &scopes, today);
    let of_scores = scores.iter().map(|score| (Severity::of_score(*score), *score));
    let of_alerts = open.iter().map(|alert| (alert.severity, alert.weight()));
    let (levels, scores): (Vec<_>, Vec<_>) = of_scores.chain(of_alerts).unzip();
    let level = levels.into_iter().max().unwrap_or(Severity::Low).max(Severity::Low);
    Some((level, scores.into_iter().max().unwrap_or(1).max(1)))
}

fn scores(facts: &UserFacts, rules: &TenantRules, scopes: &[InScope<'_>], today: UtcDay) -> Vec<i32> {
    if scopes.is_empty() {
        return Vec::new(); // Spares the counting.
    }
    let evidence = Evidence::of(facts, &rules.settings, today);
    scopes.iter().map(|scope| evidence.score(*scope)).collect()
}

fn latest_exfiltration(facts: &UserFacts, settings: &Settings, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let lookback = settings.lookback.window(UtcDay::of(now));
    timeline::exfiltration(facts, settings, lookback).next_back().map(|row| row.activity().at)
}

/// Returns the next instant at which the same facts may give another level: midnight, the edge of a membership, or,
/// as facts may be dated some minutes ahead, the instant of a trigger or of an exfiltration activity, which may be
/// one.
fn valid_until(facts: &UserFacts, settings: &Settings, now: DateTime<Utc>) -> DateTime<Utc> {
    let edges = facts.memberships.values().flatten().flat_map(|one| iter::once(one.from).chain(one.until));
    let triggers = facts.triggers.iter().map(|trigger| trigger.at);
    let today = UtcDay::of(now);
    let exfiltration = timeline::exfiltration(facts, settings, Window { first: today, last: today })
        .rev()
        .map(|row| row.activity().at)
        .take_while(|at| *at > now);
    let coming = edges.chain(triggers).chain(exfiltration).filter(|at| *at > now);
    coming.fold(midnight(now), DateTime::min)
}

fn midnight(now: DateTime<Utc>) -> DateTime<Utc> {
    UtcDay::of(now).plus(1).start()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::activity::Sensitivity;
    use crate::domain::cumulative;
    use crate::domain::example::{Example, POLICY};
    use crate::domain::indicator::Indicator;
    use crate::domain::insight::{Tally, UserBoosters};
    use crate::domain::policy::TriggerRule;
    use crate::domain::reason;
    use crate::domain::risk_alert;
    use crate::domain::risk_alert::{Origin, Status};
    use crate::domain::sequence;
    use crate::domain::sequence::SequenceInsight;
    use crate::domain::time::Lookback;
    use crate::domain::user::Personal;
    use Severity::{High, Low, Medium};
    use Status::{Confirmed, NeedsReview};
    use chrono::TimeDelta;
    use proptest::prelude::*;

    const NONE: (Severity, i32) = (Severity::None, 0);
    const IMPORTED: Origin = Origin::Imported { exfiltration: true };
    const IMPORTED_OTHER: Origin = Origin::Imported { exfiltration: false };

    fn assessed(example: &Example) -> Assessment {
        assess(&example.facts, &example.rules, example.now)
    }

    fn level(example: &Example) -> (Severity, i32) {
        let assessment = assessed(example);
        (assessment.level, assessment.score)
    }

    #[test]
    fn a_guest_is_none_whatever_else() {
        let example = Example::in_scope().did("Print", 0, 30).alert("a", IMPORTED, High, 1, Confirmed);
        assert_eq!(level(&example).0, High);
        let analytics = example.with(|example| {
            example.rules.settings.user_analytics = true;
            example.facts.user.guest = true;
        });
        assert_eq!(level(&analytics), NONE);
    }

    #[test]
    fn a_user_of_no_policy_and_without_an_open_alert_is_none() {
        let example = Example::new().did("Print", 0, 30);
        assert_eq!(level(&example), NONE);
        let aged = example.clone().alert("a", IMPORTED, High, 120, NeedsReview);
        assert_eq!(level(&aged), NONE);
        assert_eq!(level(&example.alert("a", IMPORTED, High, 119, NeedsReview)), (High, 67));
    }

    #[test]
    fn without_exfiltration_the_level_is_none_and_no_alert_or_score_changes_that() {
        let hidden = Example::in_scope()
            .scores(&["PhysicalAccess"])
            .did("PhysicalAccess", 0, 60)
            .alert("a", Origin::Engine, High, 1, Confirmed)
            .alert("b", IMPORTED_OTHER, High, 1, Confirmed);
        assert_eq!(level(&hidden), NONE);
        assert_eq!(level(&hidden.did("EmailExternal", 0, 1)).0, High);
    }

    #[test]
    fn exfiltration_counts_within_the_lookback_only() {
        let example = Example::in_scope().did("EmailExternal", 90, 1).with(|example| {
            example.rules.settings.lookback = Lookback::new(90).unwrap();
        });
        assert_eq!(level(&example), NONE);
        let longer = example.clone().with(|example| {
            example.rules.settings.lookback = Lookback::new(91).unwrap();
        });
        assert_eq!(level(&longer), (Low, 1));
        assert_eq!(level(&example.did("EmailExternal", 89, 1)), (Low, 1));
    }

    #[test]
    fn what_the_tenant_does_not_share_is_no_exfiltration() {
        let shares = |name, shared| {
            Example::in_scope().did(name, 0, 1).with(|example| {
                example.rules.settings.overrides.insert(Indicator::named(name), shared);
            })
        };
        assert_eq!(level(&shares("EmailExternal", false)), NONE);
        assert_eq!(level(&shares("SpoDownload", true)), (Low, 1));
        assert_eq!(level(&shares("PhysicalAccess", true)), NONE);
    }

    #[test]
    fn an_open_imported_alert_that_exfiltration_raised_stands_for_unknown_exfiltration() {
        let alert = |origin, status| Example::new().alert("a", origin, Medium, 1, status);
        assert_eq!(level(&alert(IMPORTED, Confirmed)), (Medium, 34));
        assert_eq!(level(&alert(IMPORTED, Status::Resolved)), NONE);
        assert_eq!(level(&alert(IMPORTED_OTHER, Confirmed)), NONE);
        assert_eq!(level(&alert(Origin::Engine, Confirmed)), NONE);
        assert_eq!(assessed(&alert(IMPORTED, Confirmed)).latest_exfiltration, None);
    }

    #[test]
    fn in_scope_with_exfiltration_is_at_least_low() {
        assert_eq!(level(&Example::in_scope().did("EmailExternal", 0, 1)), (Low, 1));
    }

    #[test]
    fn the_highest_of_alerts_and_scores_wins() {
        let example = Example::in_scope().did("Print", 0, 20); // 34 + 20
        assert_eq!(level(&example), (Medium, 54));
        assert_eq!(level(&example.clone().alert("a", IMPORTED, Low, 1, Confirmed)), (Medium, 54));
        assert_eq!(level(&example.clone().alert("a", IMPORTED, Medium, 1, Confirmed)), (Medium, 54));
        assert_eq!(level(&example.clone().alert("a", IMPORTED, High, 1, Confirmed)), (High, 67));
        let engine = example.alert("a", Origin::Engine, High, 1, Confirmed).with(|example| {
            example.facts.alerts.values_mut().for_each(|alert| alert.score = 91);
        });
        assert_eq!(level(&engine), (High, 91));
    }

    #[test]
    fn the_highest_policy_wins() {
        let example = Example::in_scope().did("Print", 0, 10).policy("other", |policy| {
            policy.trigger_rule = TriggerRule::ExfiltrationActivity;
            policy.volume_cutoff = 10;
        });
        assert_eq!(level(&example), (Low, 16));
        let from = example.at(1);
        assert_eq!(level(&example.member_of("other", from, None)), (Medium, 36));
    }

    #[test]
    fn with_user_analytics_everybody_is_in_scope() {
        let example = Example::new().did("CopyToUSB", 0, 3);
        assert_eq!(level(&example), NONE);
        let on = example.with(|example| example.rules.settings.user_analytics = true);
        assert_eq!(level(&on), (Medium, 34));
        // Thirty days after the last activity nothing is live any more.
        let later = |days| on.clone().with(|example| example.now += TimeDelta::days(days));
        assert_eq!(level(&later(30)), (Medium, 34));
        assert_eq!(level(&later(31)), NONE);
    }

    #[test]
    fn the_level_of_an_idle_user_decays_day_by_day() {
        let example = Example::new()
            .member(730)
            .policy(POLICY, |policy| (policy.past_days, policy.activation_days) = (0, 30))
            .did("EmailExternal", 0, 1)
            .did("Print", 5, 30)
            .trigger(5)
            .trigger(0);
        let later = |days| level(&example.clone().with(|example| example.now += TimeDelta::days(days)));
        assert_eq!(later(0).0, High);
        assert_eq!(later(25).0, High);
        // The trigger of five days ago is over, and with it the days before the other one.
        assert_eq!(later(26), (Medium, 65));
        assert_eq!(later(29), (Medium, 65));
        // Nor is there a cumulative insight of a day thirty days ago.
        assert_eq!(later(30), (Low, 1));
        assert_eq!(later(31), NONE);
    }

    #[test]
    fn the_latest_exfiltration_is_told_whatever_the_level() {
        let example = Example::new().did("Print", 3, 2).did("PhysicalAccess", 0, 1);
        let latest = example.at(3) + TimeDelta::seconds(1);
        assert_eq!(assessed(&example).latest_exfiltration, Some(latest));
        assert_eq!(level(&example), NONE);
    }

    #[test]
    fn an_assessment_holds_until_midnight_or_the_edge_of_a_membership() {
        let example = Example::in_scope();
        let (now, midnight) = (example.now, example.day(-1).start());
        assert_eq!((assessed(&example).as_of, assessed(&example).valid_until), (now, midnight));
        let hour = TimeDelta::hours(1);
        let with = |from, until| assessed(&example.clone().member_of(POLICY, from, until)).valid_until;
        assert_eq!(with(now + hour, None), now + hour);
        assert_eq!(with(now - hour, Some(now + hour)), now + hour);
        assert_eq!(with(now - hour, Some(now)), midnight);
        assert_eq!(with(now, None), midnight);
        assert_eq!(with(midnight + hour, None), midnight);
    }

    #[test]
    fn the_instant_of_a_coming_trigger_ends_an_assessment() {
        let example = Example::new().member(730).did("EmailExternal", 0, 1);
        let (now, soon) = (example.now, example.now + TimeDelta::minutes(5));
        let trigger = example.clone().trigger_at(soon);
        assert_eq!((level(&trigger), assessed(&trigger).valid_until), (NONE, soon));
        assert_eq!(level(&trigger.with(|example| example.now = soon)), (Low, 1));
        let activity = example
            .policy(POLICY, |policy| policy.trigger_rule = TriggerRule::ExfiltrationActivity)
            .with(|example| example.facts.activities = std::iter::empty().collect())
            .did_at("EmailExternal", soon, |_| ())
            .did_at("EmailExternal", soon + TimeDelta::minutes(1), |_| ())
            .did_at("PhysicalAccess", now + TimeDelta::minutes(1), |_| ());
        assert_eq!((level(&activity), assessed(&activity).valid_until), (NONE, soon));
        assert_eq!(level(&activity.with(|example| example.now = soon)), (Low, 1));
    }

    #[test]
    fn a_last_instant_of_a_day_is_followed_by_the_next_day() {
        let last = Example::in_scope().with(|example| {
            example.now = example.day(-1).start() - TimeDelta::nanoseconds(1);
        });
        assert_eq!(assessed(&last).valid_until, last.day(-1).start());
        assert_eq!(unknown(last.now).valid_until, last.day(-1).start());
        let next = last.day(-1).start();
        assert_eq!(unknown(next).valid_until, last.day(-2).start());
        assert_eq!((unknown(next).level, unknown(next).score), NONE);
    }

    /// The example of `docs/risk-model.md`.
    fn dana() -> Example {
        let mut dana = Example::new()
            .scores(&["CopyToUSB"])
            .policy(POLICY, |policy| policy.past_days = 10)
            .member(365)
            .trigger(5)
            .did("Print", 3, 24)
            .did("CopyToUSB", 2, 4);
        for days_ago in 11..=89 {
            dana = dana.did("Print", days_ago, 1);
        }
        let at = [0, 30, 60].map(|minutes| dana.at(2) + TimeDelta::minutes(minutes));
        dana.touched("SpoDownload", at[0], "plan.docx")
            .did_at("CopyToUSB", at[1], |activity| {
                activity.object_name = Personal::new("E:\\Plan.docx");
                activity.unallowed_destination = true;
                activity.sensitivity = Sensitivity::General;
            })
            .touched("EpoFileDeleted", at[2], "plan.docx")
    }

    /// The scores of the days of a policy, highest first.
    fn daily_scores(example: &Example, scope: InScope<'_>) -> Vec<i32> {
        let tally = Tally::of(&example.facts.activities, example.day(0));
        let user = UserBoosters::of(&example.facts.user, scope.policy);
        let mut scores = Vec::new();
        for row in tally.rows() {
            let Some(thresholds) = scope.policy.scope.thresholds(row.indicator) else { continue };
            let days = row.days(scope.days).iter();
            scores.extend(days.map(|day| day.score(thresholds, scope.policy.volume_cutoff, user)));
        }
        scores.sort_unstable_by(|a, b| b.cmp(a));
        scores
    }

    #[test]
    fn dana_leaves_with_a_stick() {
        let dana = dana();
        let scope = score::in_scope(&dana.facts, &dana.rules, dana.now)[0];
        let day = |text| UtcDay::parse(text).unwrap();
        assert_eq!(scope.days, Window { first: day("2026-04-16"), last: day("2026-05-01") });
        assert_eq!(daily_scores(&dana, scope), [66, 53, 1, 1, 1, 1, 1]);
        let tally = Tally::of(&dana.facts.activities, dana.day(0));
        assert_eq!(cumulative::insights(&tally, &dana.rules.settings), []);
        let sequences = sequence::insights(&dana.facts.activities, &dana.rules.settings, tally.horizon());
        assert_eq!(sequences, [SequenceInsight { day: day("2026-04-29"), score: 67 }]);
        assert_eq!(level(&dana), (High, 93));
        let alerts = risk_alert::evaluate(Example::tenant(), &dana.facts, &dana.rules, dana.now);
        assert_eq!(alerts.iter().map(|alert| alert.score).collect::<Vec<_>>(), [93]);
    }

    #[test]
    fn dana_leaves_with_a_stick_for_these_reasons() {
        let dana = dana();
        let reasons: Vec<String> = reason::reasons(&dana.facts, &dana.rules.settings, dana.now)
            .iter()
            .map(|one| format!("{} {} {} {}", one.indicator.name(), one.day, one.count, one.score))
            .collect();
        let expected = [
            "Print 2026-04-28 24 46",
            "CopyToUSB 2026-04-29 5 43",
            "Print 2026-04-20 1 1",
            "Print 2026-04-19 1 1",
            "Print 2026-04-18 1 1",
        ];
        assert_eq!(reasons, expected);
    }

    /// What happened, so many minutes before now, or after it when negative.
    #[derive(Clone, Copy, Debug)]
    enum Event {
        Did(&'static str, i64),
        Trigger(i64),
        Member(i64, i64),
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let indicator = prop::sample::select(vec!["Print", "CopyToUSB", "SpoDownload", "PhysicalAccess"]);
        // Around now, and around the edges of activation, of the 30 days and of the horizon.
        let days = prop::sample::select(vec![0_i64, 0, 0, 1, 29, 30, 31, 89, 119]);
        let minutes = (days, -6_i64..12).prop_map(|(days, minutes)| days * 24 * 60 + minutes);
        let event = prop_oneof![
            6 => (indicator, minutes.clone()).prop_map(|(indicator, at)| Event::Did(indicator, at)),
            1 => minutes.clone().prop_map(Event::Trigger),
            1 => (minutes.clone(), minutes).prop_map(|(from, until)| Event::Member(from, until)),
        ];
        prop::collection::vec(event, 0..60)
    }

    fn lived(events: &[Event], rule: TriggerRule, analytics: bool, minute_of_day: i64) -> Example {
        let mut example = Example::new().scores(&["CopyToUSB"]).with(|example| {
            example.now = example.day(0).start() + TimeDelta::minutes(minute_of_day);
            example.rules.settings.user_analytics = analytics;
        });
        example = example.policy(POLICY, |policy| policy.trigger_rule = rule);
        let now = example.now;
        let at = |minutes: i64| now - TimeDelta::minutes(minutes);
        for event in events {
            example = match *event {
                Event::Did(indicator, ago) => example.touched(indicator, at(ago), "plan.docx"),
                Event::Trigger(ago) => example.trigger_at(at(ago)),
                Event::Member(from, until) => {
                    let until = (until < from).then(|| at(until));
                    example.member_of(POLICY, at(from), until)
                }
            };
        }
        example
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn nothing_changes_while_an_assessment_holds(
            events in events(),
            recorded in any::<bool>(),
            analytics in any::<bool>(),
            minute_of_day in prop_oneof![Just(0_i64), 1430_i64..1440, 0_i64..1440],
            then in 0_i64..1_000,
        ) {
            let rule =
                if recorded { TriggerRule::Recorded } else { TriggerRule::ExfiltrationActivity };
            let example = lived(&events, rule, analytics, minute_of_day);
            let first = assessed(&example);
            prop_assert!(first.as_of < first.valid_until);
            prop_assert_eq!((first.level, first.score == 0), (Severity::of_score(first.score), first.level == Severity::None));
            let nanos = (first.valid_until - first.as_of).num_nanoseconds().unwrap();
            for at in [nanos - 1, nanos / 1_000 * then] {
                let later = example.clone().with(|example| example.now += TimeDelta::nanoseconds(at));
                let later = Assessment { as_of: first.as_of, ..assessed(&later) };
                prop_assert_eq!(&later, &first);
            }
        }
    }
}

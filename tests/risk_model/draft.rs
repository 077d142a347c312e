//! Random facts and rules, aimed at the edges of the model: drafts in words that shrink well, and what they become.

use chrono::{DateTime, Duration, NaiveDate, Utc};
use proptest::collection::{SizeRange, vec};
use proptest::prelude::*;
use proptest::sample::select;
use riskshare::domain::activity::{Activity, Sensitivity};
use riskshare::domain::facts::{TenantRules, UserFacts};
use riskshare::domain::ids::{ActivityId, PolicyId, RiskAlertId};
use riskshare::domain::indicator::Indicator;
use riskshare::domain::policy::{Interval, Policy, Scope, Thresholds, Trigger, TriggerRule};
use riskshare::domain::risk_alert::{Origin, RiskAlert, Status};
use riskshare::domain::settings::Settings;
use riskshare::domain::time::Lookback;
use riskshare::domain::user::{Identity, IdentityKey, Personal, User, UserNo};

/// Shared by default, then configurable, then custom or unknown, then hidden.
pub const INDICATORS: [&str; 20] = [
    "CopyToUSB",
    "EmailExternal",
    "Print",
    "NetworkUploadFile",
    "LakehouseExternalDataShareCreated",
    "SpoDownload",
    "EpoFileArchived",
    "TeamsMemberAddedExternal",
    "BadgeDump",
    "Unheard",
    "EpoFileDownloadedFromEnterpriseDomain",
    "EpoFileRenamed",
    "SpoFileLabelRemoved",
    "EpoFileDeleted",
    "SpoFileDeleted",
    "PhysicalAccess",
    "EpoBrowseToLlmSites",
    "SpoFileAccessed",
    "CopyToPersonalCloud",
    "EpoFileCopiedToRemoteDesktopSession",
];

/// Days before today at which a rule of the model begins or ends.
const EDGES: [i64; 30] = [
    0, 1, 2, 3, 6, 7, 8, 13, 14, 15, 28, 29, 30, 31, 32, 58, 59, 60, 88, 89, 90, 91, 92, 104, 105, 106, 118,
    119, 120, 121,
];

/// An instant relative to `now`.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Days before today; -1 is tomorrow.
    pub ago: i64,
    pub time: Time,
}

/// A time of day.
#[derive(Clone, Copy, Debug)]
pub enum Time {
    At(i64),
    /// Seconds after the time of day of `now`.
    Near(i64),
}

impl Moment {
    pub fn instant(self, now: DateTime<Utc>) -> DateTime<Utc> {
        let instant = match self.time {
            Time::At(second) => midnight(now) + Duration::seconds(second),
            Time::Near(seconds) => now + Duration::seconds(seconds),
        };
        instant - Duration::days(self.ago)
    }
}

pub fn midnight(now: DateTime<Utc>) -> DateTime<Utc> {
    now.date_naive().and_hms_opt(0, 0, 0).unwrap().and_utc()
}

/// Some activities.
#[derive(Clone, Debug)]
pub enum Episode {
    /// Many of one indicator on one day.
    Burst { indicator: usize, when: Moment, count: i64, sensitivity: usize, unallowed: bool, object: usize },
    /// The same count on each of several days.
    Habit { indicator: usize, last_ago: i64, days: i64, each: i64 },
    /// A day that is just unusual for its indicator, or just not: so many a day for as long as the baseline reaches
    /// would be a third of it.
    Spike { indicator: usize, ago: i64, count: i64, more: i64, on_first_day: i64, before_it: i64 },
    /// One object that is collected, taken out, and more.
    Story {
        collection: usize,
        exfiltration: usize,
        start: Moment,
        exfiltrated_after: i64,
        obfuscated_after: Option<i64>,
        deleted_after: Option<i64>,
        objects: [usize; 4],
    },
}

/// Ways to spell the names of two objects, and of none.
const OBJECTS: [&str; 8] = [
    "plan.xlsx",
    "C:\\work\\PLAN.xlsx ",
    "https://x.example/a/Plan.xlsx",
    "other.docx",
    "b/other.docx",
    "",
    "folder/",
    "a\\ ",
];

impl Episode {
    /// Returns the activities, with ids that begin with `prefix`.
    pub fn activities(&self, prefix: &str, now: DateTime<Utc>) -> Vec<Activity> {
        let mut all = Vec::new();
        let mut add =
            |indicator: usize, at: DateTime<Utc>, object: usize, sensitivity: usize, unallowed: bool| {
                all.push(Activity {
                    id: ActivityId::new(&format!("{prefix}-{}", all.len())).unwrap(),
                    at,
                    indicator: Indicator::named(INDICATORS[indicator]),
                    operation: "".into(),
                    object_name: Personal::new(OBJECTS[object]),
                    destination: Personal::default(),
                    sensitivity: SENSITIVITIES[sensitivity],
                    unallowed_destination: unallowed,
                });
            };
        match *self {
            Self::Burst { indicator, when, count, sensitivity, unallowed, object } => {
                for nth in 0..count {
                    let at = when.instant(now) + Duration::milliseconds(nth % 3);
                    let sensitivity = if nth == 0 { sensitivity } else { 0 };
                    add(indicator, at, object, sensitivity, unallowed && nth == 1.min(count - 1));
                }
            }
            Self::Habit { indicator, last_ago, days, each } => {
                for nth in 0..days * each {
                    let ago = last_ago + nth / each;
                    add(indicator, midnight(now) - Duration::days(ago) + Duration::hours(9), 5, 0, false);
                }
            }
            Self::Spike { indicator, ago, count, more, on_first_day, before_it } => {
                let mut add_on = |ago: i64, count: i64| {
                    for _ in 0..count {
                        let at = midnight(now) - Duration::days(ago) + Duration::hours(15);
                        add(indicator, at, 5, 0, false);
                    }
                };
                let days = (119 - ago).clamp(1, 90);
                let count = if days > 20 { count.min(3) } else { count };
                add_on(ago, count);
                add_on(ago + days, on_first_day);
                add_on(ago + days + 1, before_it);
                for nth in 0..(count * days / 3 + more - on_first_day).max(0) {
                    add_on(ago + 1 + nth * 7 % days, 1);
                }
            }
            Self::Story {
                collection,
                exfiltration,
                start,
                exfiltrated_after,
                obfuscated_after,
                deleted_after,
                objects,
            } => {
                let after = |seconds| start.instant(now) + Duration::seconds(seconds);
                add(collection, after(0), objects[0], 0, false);
                add(exfiltration, after(exfiltrated_after), objects[1], 0, false);
                if let Some(seconds) = obfuscated_after {
                    add(12, after(seconds), objects[2], 0, false);
                }
                if let Some(seconds) = deleted_after {
                    add(14, after(seconds), objects[3], 0, false);
                }
            }
        }
        all
    }
}

const SENSITIVITIES: [Sensitivity; 4] =
    [Sensitivity::None, Sensitivity::General, Sensitivity::Confidential, Sensitivity::HighlyConfidential];

/// A policy of the tenant.
#[derive(Clone, Debug)]
pub struct PolicyDraft {
    pub indicators: Vec<(usize, (i32, i32, i32))>,
    pub by_exfiltration: bool,
    pub past_days: i32,
    pub activation_days: i32,
    pub alert_threshold: i32,
    pub volume_cutoff: i32,
    pub priority: bool,
}

/// What a tenant has decided.
#[derive(Clone, Debug)]
pub struct RulesDraft {
    pub analytics: bool,
    pub lookback: i32,
    pub overrides: Vec<(usize, bool)>,
    pub custom: Vec<usize>,
    pub policies: Vec<PolicyDraft>,
}

impl RulesDraft {
    pub fn rules(&self) -> TenantRules {
        let named = |index: usize| Indicator::named(INDICATORS[index]);
        let settings = Settings {
            data_sharing: true,
            user_analytics: self.analytics,
            lookback: Lookback::new(self.lookback).unwrap(),
            overrides: self.overrides.iter().map(|(index, on)| (named(*index), *on)).collect(),
            custom: self.custom.iter().map(|index| named(*index)).collect(),
            ..Settings::default()
        };
        let policies = self.policies.iter().enumerate().map(|(index, draft)| {
            let thresholds = |(t1, t2, t3)| Thresholds::new(t1, t2, t3).unwrap();
            let listed = draft.indicators.iter().map(|(index, t)| (named(*index), thresholds(*t)));
            let policy = Policy {
                id: policy_id(index),
                name: "".into(),
                scope: Scope::Listed(listed.collect()),
                trigger_rule: if draft.by_exfiltration {
                    TriggerRule::ExfiltrationActivity
                } else {
                    TriggerRule::Recorded
                },
                past_days: draft.past_days,
                activation_days: draft.activation_days,
                alert_threshold: draft.alert_threshold,
                volume_cutoff: draft.volume_cutoff,
                priority_users: draft.priority.then(key).into_iter().collect(),
                priority_reviewers: [].into(),
            };
            (policy.id.clone(), policy)
        });
        TenantRules { policies: policies.collect(), settings }
    }
}

pub fn policy_id(index: usize) -> PolicyId {
    PolicyId::new(&format!("policy {index}")).unwrap()
}

fn key() -> IdentityKey {
    IdentityKey::address("john@contoso.com").unwrap()
}

/// A risk alert.
#[derive(Clone, Debug)]
pub struct AlertDraft {
    pub policy: usize,
    /// `None` is the engine's.
    pub imported: Option<bool>,
    pub score: i32,
    pub status: usize,
    pub created: Moment,
    pub closed_after: i64,
}

impl AlertDraft {
    pub fn alert(&self, id: &str, now: DateTime<Utc>) -> RiskAlert {
        let statuses = [Status::NeedsReview, Status::Confirmed, Status::Resolved, Status::Dismissed];
        let created_at = self.created.instant(now);
        let closed_at = (self.status > 1).then(|| (created_at + Duration::hours(self.closed_after)).min(now));
        let severity = super::naive::severity(self.score.into());
        let cut = [0, 1, 34, 67][severity as usize];
        RiskAlert {
            id: RiskAlertId::new(id).unwrap(),
            policy: policy_id(self.policy),
            severity,
            score: if self.imported.is_some() { cut } else { self.score },
            status: statuses[self.status],
            origin: self.imported.map_or(Origin::Engine, |exfiltration| Origin::Imported { exfiltration }),
            created_at,
            updated_at: closed_at.unwrap_or(created_at),
            closed_at,
        }
    }
}

/// What is known of a user.
#[derive(Clone, Debug)]
pub struct FactsDraft {
    pub guest: bool,
    pub high_impact: bool,
    pub violation: bool,
    /// Policy, from, until.
    pub memberships: Vec<(usize, Moment, Option<Moment>)>,
    pub triggers: Vec<(usize, Moment)>,
    pub alerts: Vec<AlertDraft>,
    pub episodes: Vec<Episode>,
}

impl FactsDraft {
    pub fn facts(&self, now: DateTime<Utc>) -> UserFacts {
        let mut facts = UserFacts::of(User {
            guest: self.guest,
            potential_high_impact: self.high_impact,
            confirmed_violation_before: self.violation,
            ..User::named(UserNo(7), Identity::default().with(key()))
        });
        self.add_to(&mut facts, "a", now);
        facts
    }

    /// Adds all but the flags; the ids begin with `prefix`.
    pub fn add_to(&self, facts: &mut UserFacts, prefix: &str, now: DateTime<Utc>) {
        for (policy, from, until) in &self.memberships {
            let interval = Interval { from: from.instant(now), until: until.map(|until| until.instant(now)) };
            facts.memberships.entry(policy_id(*policy)).or_default().push(interval);
        }
        for (policy, at) in &self.triggers {
            let trigger = Trigger { policy: policy_id(*policy), at: at.instant(now), kind: "hr".into() };
            facts.triggers.insert(trigger);
        }
        for (index, draft) in self.alerts.iter().enumerate() {
            let alert = draft.alert(&format!("{prefix}-{index}"), now);
            facts.alerts.insert(alert.id.clone(), alert);
        }
        for (index, episode) in self.episodes.iter().enumerate() {
            for activity in episode.activities(&format!("{prefix}-{index}"), now) {
                facts.activities.insert(&activity);
            }
        }
    }
}

/// An instant to judge at: any day of some years, often at the first or last second of it.
pub fn now() -> impl Strategy<Value = DateTime<Utc>> {
    let second = prop_oneof![1 => Just(0), 1 => Just(86_399), 1 => 86_100_i64..86_400, 5 => 0_i64..86_400];
    (0_i64..1_200, second, 0_i64..1_000_000_000).prop_map(|(day, second, nanos)| {
        let first = NaiveDate::from_ymd_opt(2025, 11, 1).unwrap().and_hms_opt(0, 0, 0).unwrap().and_utc();
        let nanos = if second == 0 { 0 } else { nanos };
        first + Duration::days(day) + Duration::seconds(second) + Duration::nanoseconds(nanos)
    })
}

pub fn ago() -> impl Strategy<Value = i64> {
    prop_oneof![4 => 0_i64..32, 4 => select(EDGES.to_vec()), 2 => 0_i64..123]
}

fn time() -> impl Strategy<Value = Time> {
    prop_oneof![
        1 => Just(Time::At(0)),
        1 => Just(Time::At(86_399)),
        3 => (0_i64..86_400).prop_map(Time::At),
        2 => (-300_i64..=300).prop_map(Time::Near),
    ]
}

pub fn moment() -> impl Strategy<Value = Moment> {
    let ago = prop_oneof![30 => ago(), 1 => Just(-1)];
    (ago, time()).prop_map(|(ago, time)| Moment { ago, time })
}

pub fn indicator() -> impl Strategy<Value = usize> {
    prop_oneof![5 => 0_usize..5, 4 => 5_usize..10, 3 => 10..INDICATORS.len()]
}

fn thresholds() -> impl Strategy<Value = (i32, i32, i32)> {
    select(vec![(20, 31, 45), (1, 2, 3), (1, 3, 10), (2, 5, 9), (4, 6, 7), (3, 7, 20), (10, 20, 30)])
}

pub fn episode(indicator: impl Strategy<Value = usize> + Clone) -> impl Strategy<Value = Episode> {
    let few = select(vec![1_i64, 1, 1, 2, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    let many = select(vec![12_i64, 18, 19, 20, 20, 21, 24, 29, 30, 31, 31, 32, 36, 61]);
    let count = prop_oneof![5 => few, 2 => many];
    let sensitivity = select(vec![0_usize, 0, 0, 1, 2, 2, 3, 3]);
    let burst =
        (indicator.clone(), moment(), count, sensitivity, prop::bool::weighted(0.2), 0..OBJECTS.len())
            .prop_map(|(indicator, when, count, sensitivity, unallowed, object)| Episode::Burst {
                indicator,
                when,
                count,
                sensitivity,
                unallowed,
                object,
            });
    let ago_of_spike =
        prop_oneof![3 => 0_i64..32, 1 => select(vec![28_i64, 29, 30, 102, 104, 105, 105, 106])];
    let count_of_spike = select(vec![1_i64, 1, 2, 3, 19, 20, 20, 21]);
    let spike = (indicator.clone(), ago_of_spike, count_of_spike, -2_i64..=2, 0_i64..4, 0_i64..4).prop_map(
        |(indicator, ago, count, more, on_first_day, before_it)| Episode::Spike {
            indicator,
            ago,
            count,
            more,
            on_first_day,
            before_it,
        },
    );
    let habit = (indicator, ago(), 1_i64..40, 1_i64..4)
        .prop_map(|(indicator, last_ago, days, each)| Episode::Habit { indicator, last_ago, days, each });
    prop_oneof![16 => burst, 2 => habit, 2 => spike, 6 => story()]
}

fn story() -> impl Strategy<Value = Episode> {
    const WEEK: i64 = 7 * 86_400;
    let early = select(vec![0, 60, 3 * 86_400, WEEK - 1, WEEK, WEEK + 1, -1]);
    let between = prop::option::weighted(0.5, select(vec![0, 30, 60, 3 * 86_400, WEEK, -1, WEEK + 1]));
    let late = prop::option::weighted(0.5, select(vec![60, 59, 0, 3 * 86_400, 4 * 86_400, WEEK, WEEK + 1]));
    let exfiltration = prop_oneof![6 => 0_usize..4, 2 => 5_usize..10];
    let collection = select(vec![5_usize, 6, 10, 10]);
    let objects = [same_object(), same_object(), same_object(), same_object()];
    (collection, exfiltration, moment(), early, between, late, objects).prop_map(
        |(collection, exfiltration, start, exfiltrated_after, obfuscated_after, deleted_after, objects)| {
            Episode::Story {
                collection,
                exfiltration,
                start,
                exfiltrated_after,
                obfuscated_after,
                deleted_after,
                objects,
            }
        },
    )
}

fn same_object() -> impl Strategy<Value = usize> + Clone {
    prop_oneof![20 => 0_usize..3, 1 => 3..OBJECTS.len()]
}

fn policy() -> impl Strategy<Value = PolicyDraft> {
    (
        vec((indicator(), thresholds()), 1..7),
        prop::bool::weighted(0.65),
        select(vec![0, 1, 13, 30, 89, 90, 90]),
        select(vec![1, 2, 7, 29, 30, 30]),
        select(vec![1, 20, 34, 34, 50, 67, 100]),
        select(vec![1, 2, 5, 20]),
        prop::bool::weighted(0.25),
    )
        .prop_map(
            |(
                indicators,
                by_exfiltration,
                past_days,
                activation_days,
                alert_threshold,
                volume_cutoff,
                priority,
            )| {
                PolicyDraft {
                    indicators,
                    by_exfiltration,
                    past_days,
                    activation_days,
                    alert_threshold,
                    volume_cutoff,
                    priority,
                }
            },
        )
}

pub fn rules() -> impl Strategy<Value = RulesDraft> {
    let lookback = prop_oneof![select(vec![90, 91, 119, 120]), 90..=120];
    (
        prop::bool::weighted(0.15),
        lookback,
        vec((0..INDICATORS.len(), any::<bool>()), 0..4),
        vec(8_usize..16, 0..2),
        prop_oneof![1 => Just(vec![]), 12 => vec(policy(), 1..4)],
    )
        .prop_map(|(analytics, lookback, overrides, custom, policies)| RulesDraft {
            analytics,
            lookback,
            overrides,
            custom,
            policies,
        })
}

/// One of up to three policies, often the first; the fourth is never known.
fn policy_index() -> impl Strategy<Value = usize> {
    prop_oneof![2 => Just(0), 3 => 0_usize..4]
}

fn membership() -> impl Strategy<Value = (usize, Moment, Option<Moment>)> {
    let ago = prop_oneof![5 => Just(300_i64), 2 => ago(), 1 => Just(0_i64)];
    let from = (ago, time()).prop_map(|(ago, time)| Moment { ago, time });
    let until = (select(vec![-40_i64, -1, 0, 0, 1, 5]), time()).prop_map(|(ago, time)| Moment { ago, time });
    (policy_index(), from, prop::option::weighted(0.25, until))
}

fn trigger() -> impl Strategy<Value = (usize, Moment)> {
    let ago = select(vec![-1_i64, 0, 0, 1, 2, 3, 7, 8, 10, 20, 28, 29, 30, 30, 31, 32, 60]);
    (policy_index(), (ago, time()).prop_map(|(ago, time)| Moment { ago, time }))
}

pub fn alert() -> impl Strategy<Value = AlertDraft> {
    let score = prop_oneof![select(vec![1, 33, 34, 66, 67, 100]), 1..=100];
    (
        policy_index(),
        prop::option::of(any::<bool>()),
        score,
        0_usize..4,
        moment(),
        select(vec![0_i64, 1, 24, 100, 900]),
    )
        .prop_map(|(policy, imported, score, status, created, closed_after)| AlertDraft {
            policy,
            imported,
            score,
            status,
            created: Moment { ago: created.ago.max(0), ..created },
            closed_after,
        })
}

pub fn facts(
    memberships: impl Into<SizeRange>,
    alerts: impl Strategy<Value = Vec<AlertDraft>>,
    episodes: usize,
) -> impl Strategy<Value = FactsDraft> {
    let weighted = prop::bool::weighted;
    (
        (weighted(0.04), weighted(0.2), weighted(0.2)),
        vec(membership(), memberships),
        vec(trigger(), 0..4),
        alerts,
        vec(episode(indicator().boxed()), 0..=episodes),
    )
        .prop_map(|((guest, high_impact, violation), memberships, triggers, alerts, episodes)| {
            FactsDraft { guest, high_impact, violation, memberships, triggers, alerts, episodes }
        })
}

/// Facts as they may be found at any time.
pub fn any_facts() -> impl Strategy<Value = FactsDraft> {
    facts(0..=6, prop_oneof![3 => Just(vec![]), 2 => vec(alert(), 1..4)], 12)
}

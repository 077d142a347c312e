//! The risk model once more, written from `docs/risk-model.md` alone and as simple-minded as possible: lists, loops
//! over them, and days counted as "so many days ago". It uses the domain's data types to read facts from, and the
//! taxonomy's table, but none of its rules.

pub mod alert;
pub mod derived;
pub mod insight;
pub mod level;
pub mod person;
pub mod score;
pub mod shown;

use chrono::{DateTime, NaiveDate, Utc};
use riskshare::domain::activity::Sensitivity;
use riskshare::domain::facts::UserFacts;
use riskshare::domain::indicator::{ActivityType, Indicator, Sharing};
use riskshare::domain::settings::Settings;
use riskshare::domain::severity::Severity;

/// An activity that the model sees.
#[derive(Clone)]
pub struct Seen {
    pub at: DateTime<Utc>,
    /// Days before today: 0 is today, 119 the first day of the horizon.
    pub age: i64,
    pub indicator: Indicator,
    pub shared: bool,
    pub object: String,
    pub sensitivity: Sensitivity,
    pub unallowed: bool,
}

impl Seen {
    pub fn kind(&self) -> ActivityType {
        self.indicator.activity_type()
    }
}

/// How many days before `today` an instant's day is; negative when later.
pub fn age(at: DateTime<Utc>, today: NaiveDate) -> i64 {
    (today - at.date_naive()).num_days()
}

/// Words: the activities whose day is one of the 120 that end with today.
pub fn seen(facts: &UserFacts, settings: &Settings, today: NaiveDate) -> Vec<Seen> {
    let mut seen = Vec::new();
    for activity in facts.activities.iter() {
        let age = age(activity.at, today);
        if !(0..=119).contains(&age) {
            continue;
        }
        seen.push(Seen {
            at: activity.at,
            age,
            indicator: activity.indicator.clone(),
            shared: is_shared(activity.indicator, settings),
            object: derived::object_of(activity.object_name()),
            sensitivity: activity.sensitivity,
            unallowed: activity.unallowed_destination,
        });
    }
    seen
}

/// Words: "shared".
pub fn is_shared(indicator: &Indicator, settings: &Settings) -> bool {
    let mut turned_on = None;
    for (name, on) in &settings.overrides {
        if name.name() == indicator.name() {
            turned_on = Some(*on);
        }
    }
    match indicator.sharing() {
        Sharing::Yes => turned_on != Some(false),
        Sharing::Configurable => turned_on == Some(true),
        Sharing::No => false,
        Sharing::Unknown => settings.custom.iter().any(|custom| custom.name() == indicator.name()),
    }
}

/// Section 4: severity of a score.
pub fn severity(score: i64) -> Severity {
    if score >= 67 {
        Severity::High
    } else if score >= 34 {
        Severity::Medium
    } else if score >= 1 {
        Severity::Low
    } else {
        Severity::None
    }
}

/// Section 1: default thresholds.
pub fn default_thresholds(indicator: &Indicator) -> [i64; 3] {
    let few = [
        "CopyToUSB",
        "CopyToPersonalCloud",
        "EpoFileCopiedToRemoteDesktopSession",
        "LakehouseExternalDataShareCreated",
    ];
    if few.contains(&indicator.name()) { [1, 3, 10] } else { [10, 20, 30] }
}

//! Subscriptions of the Management Activity API: which content a tenant's SIEM follows, and where it is told of it
//! (`domain.md` 5).

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// So many notifications in a row may fail; then the webhook is disabled until it is started again.
pub const FAILURES_MAX: u32 = 12;
/// How many notifications are remembered for a subscription.
pub const NOTIFICATIONS_MAX: usize = 500;

/// A kind of content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum ContentType {
    /// Audit.AzureActiveDirectory: always empty here.
    #[serde(rename = "Audit.AzureActiveDirectory")]
    AzureActiveDirectory,
    /// Audit.Exchange: always empty here.
    #[serde(rename = "Audit.Exchange")]
    Exchange,
    /// Audit.SharePoint: always empty here.
    #[serde(rename = "Audit.SharePoint")]
    SharePoint,
    /// Audit.General: insider risk alerts.
    #[serde(rename = "Audit.General")]
    General,
    /// DLP.All: always empty here.
    #[serde(rename = "DLP.All")]
    Dlp,
}

impl ContentType {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::AzureActiveDirectory, Self::Exchange, Self::SharePoint, Self::General, Self::Dlp];

    /// Returns its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AzureActiveDirectory => "Audit.AzureActiveDirectory",
            Self::Exchange => "Audit.Exchange",
            Self::SharePoint => "Audit.SharePoint",
            Self::General => "Audit.General",
            Self::Dlp => "DLP.All",
        }
    }

    /// Returns the kind of that name, in any case.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name().eq_ignore_ascii_case(name))
    }
}

/// A subscription to a kind of content.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Subscription {
    /// The kind.
    pub content_type: ContentType,
    /// It was not stopped.
    pub enabled: bool,
    /// Since when. What was made before cannot be had.
    pub since: DateTime<Utc>,
    /// Where somebody is told of new content.
    pub webhook: Option<Webhook>,
}

/// Where somebody is told of new content, and how that goes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Webhook {
    /// An https URL.
    pub address: String,
    /// What the receiver knows the sender by.
    pub auth_id: Option<String>,
    /// When it ends by itself.
    pub expiration: Option<DateTime<Utc>>,
    /// The application that asked for it, as authentication named it.
    pub client: String,
    /// It was not disabled because of failures.
    pub enabled: bool,
    /// How many notifications failed since the last that did not.
    pub failures: u32,
    /// Before this instant none is tried again.
    pub retry_at: Option<DateTime<Utc>>,
    /// The number of the last content of which it was told.
    pub told: u64,
}

/// A notification that was tried.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Notification {
    /// The number of the content.
    pub number: u64,
    /// When the content was made.
    pub created: DateTime<Utc>,
    /// When it was last tried.
    pub sent: DateTime<Utc>,
    /// It was taken.
    pub succeeded: bool,
}

impl Webhook {
    /// Says whether it is past its end.
    #[must_use]
    pub fn has_expired(&self, now: DateTime<Utc>) -> bool {
        self.expiration.is_some_and(|expiration| expiration <= now)
    }

    /// Says whether a notification may be tried now.
    #[must_use]
    pub fn is_due(&self, now: DateTime<Utc>) -> bool {
        self.enabled && !self.has_expired(now) && self.retry_at.is_none_or(|at| at <= now)
    }

    /// Notes that the receiver knows of all content up to that number.
    pub fn succeed(&mut self, number: u64) {
        (self.told, self.failures, self.retry_at) = (number, 0, None);
    }

    /// Notes that a notification failed: the next is tried after a minute, then two, then four, at most an hour later.
    pub fn fail(&mut self, now: DateTime<Utc>) {
        let minutes = 1_i64 << self.failures.min(6);
        self.failures += 1;
        self.retry_at = now.checked_add_signed(TimeDelta::minutes(minutes.min(60)));
        self.enabled = self.failures < FAILURES_MAX;
    }
}

/// Returns subscriptions after one of them was started: it is new, or has another webhook, or none.
#[must_use]
pub fn started(
    mut all: Vec<Subscription>,
    content_type: ContentType,
    webhook: Option<Webhook>,
    now: DateTime<Utc>,
) -> Vec<Subscription> {
    match all.iter_mut().find(|one| one.content_type == content_type) {
        Some(one) => {
            let since = if one.enabled { one.since } else { now };
            *one = Subscription { content_type, enabled: true, since, webhook };
        }
        None => all.push(Subscription { content_type, enabled: true, since: now, webhook }),
    }
    all
}

/// Returns subscriptions after one of them was stopped, or nothing when there is none that goes.
#[must_use]
pub fn stopped(mut all: Vec<Subscription>, content_type: ContentType) -> Option<Vec<Subscription>> {
    let one = all.iter_mut().find(|one| one.content_type == content_type && one.enabled)?;
    one.enabled = false;
    one.webhook = None;
    Some(all)
}

/// Returns the notifications that are remembered once some more were tried: one for each content, with its last try.
#[must_use]
pub fn noted(mut all: Vec<Notification>, tried: &[Notification]) -> Vec<Notification> {
    all.retain(|one| !tried.iter().any(|again| again.number == one.number));
    all.extend_from_slice(tried);
    let surplus = all.len().saturating_sub(NOTIFICATIONS_MAX);
    all.drain(..surplus);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn webhook() -> Webhook {
        Webhook {
            address: "https://siem.contoso.com/".to_owned(),
            auth_id: None,
            expiration: None,
            client: "siem".to_owned(),
            enabled: true,
            failures: 0,
            retry_at: None,
            told: 0,
        }
    }

    #[test]
    fn a_subscription_that_goes_on_keeps_its_beginning_and_a_stopped_one_begins_anew() {
        let (first, second) = (at("2026-11-24T10:00:00Z"), at("2026-11-24T11:00:00Z"));
        let all = started(Vec::new(), ContentType::General, Some(webhook()), first);
        let again = started(all.clone(), ContentType::General, None, second);
        assert_eq!((again[0].since, again[0].webhook.as_ref()), (first, None));
        assert_eq!(stopped(all.clone(), ContentType::Dlp), None);
        let stopped_one = stopped(all, ContentType::General).unwrap();
        assert!(!stopped_one[0].enabled && stopped_one[0].webhook.is_none());
        assert_eq!(stopped(stopped_one.clone(), ContentType::General), None);
        assert_eq!(started(stopped_one, ContentType::General, None, second)[0].since, second);
    }

    #[test]
    fn a_webhook_that_fails_is_tried_less_and_less_often_and_then_no_more() {
        let (mut webhook, mut now) = (webhook(), at("2026-11-24T10:00:00Z"));
        let mut waits = Vec::new();
        while webhook.enabled {
            webhook.fail(now);
            let next = webhook.retry_at.unwrap();
            assert!(!webhook.is_due(now));
            waits.push((next - now).num_minutes());
            now = next;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60, 60]);
        assert!(!webhook.is_due(now));
        webhook.enabled = true;
        webhook.succeed(7);
        assert!(webhook.is_due(now) && webhook.told == 7);
        webhook.expiration = Some(now);
        assert!(!webhook.is_due(now));
    }

    #[test]
    fn a_kind_is_found_by_its_name_in_any_case() {
        for kind in ContentType::ALL {
            assert_eq!(ContentType::named(&kind.name().to_uppercase()), Some(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
        assert_eq!(ContentType::named("Audit.Teams"), None);
    }
}

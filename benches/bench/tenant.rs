//! A tenant's people and what they did, told through the public API. Numbers make everything: the same in each run.

use crate::bench::program::Program;
use anyhow::{Context, Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use prost_types::{FieldMask, Timestamp};
use riskshare::clock::{Clock, SystemClock};
use riskshare::domain::time::UtcDay;
use riskshare::pb;
use riskshare::pb::alert_enrichment_service_client::AlertEnrichmentServiceClient;
use riskshare::pb::ingest_service_client::IngestServiceClient;
use riskshare::pb::settings_service_client::SettingsServiceClient;
use std::ops::Range;
use std::time::Instant;
use tonic::transport::Channel;
use uuid::Uuid;

/// The most items of an ingest call.
const ITEMS_MAX: usize = 10_000;
const POLICY: &str = "leaks";
/// What people do: exfiltration, all of it shared by default.
const DEEDS: [(&str, &str); 5] = [
    ("CopyToUSB", "FileCopiedToRemovableMedia"),
    ("EmailExternal", "Send"),
    ("Print", "FilePrinted"),
    ("NetworkUploadFile", "FileUploadedToCloud"),
    ("CopyToPersonalCloud", "FileUploadedToCloud"),
];

/// The path of `EnrichAlert`.
pub const ENRICH_ALERT: &str = "/riskshare.v1.AlertEnrichmentService/EnrichAlert";
/// The path of `BatchEnrichAlerts`.
pub const BATCH_ENRICH_ALERTS: &str = "/riskshare.v1.AlertEnrichmentService/BatchEnrichAlerts";
/// The path of `IngestActivities`.
pub const INGEST_ACTIVITIES: &str = "/riskshare.v1.IngestService/IngestActivities";

/// The alerts of a queue page.
pub const ALERTS: usize = 500;
/// The people whom an alert of a queue page mentions.
pub const INVOLVED: usize = 2;
/// What somebody does who does much, in so many bursts over 100 days.
pub const BURSTS: usize = 10;
/// The activities of a burst.
pub const BURST: usize = 5;

/// A tenant that shares, of a server that is measured.
pub struct Tenant {
    channel: Channel,
    /// Its id.
    pub id: String,
}

impl Tenant {
    /// Returns the tenant of that number, after it has turned sharing on. It has a policy that scores all that people
    /// do here, and nobody is a member of it yet.
    pub async fn sharing(server: &Program, number: u128) -> Result<Self> {
        let channel = Channel::from_shared(format!("http://{}", server.address()))?.connect().await?;
        let tenant = Self { channel, id: Uuid::from_u128(number).to_string() };
        let on = pb::Settings { data_sharing_enabled: true, ..Default::default() };
        tenant.set("data_sharing_enabled", on).await?;
        let policy = pb::PolicyRecord {
            policy_id: POLICY.to_owned(),
            name: "Data leaks".to_owned(),
            indicators: DEEDS.iter().map(|(indicator, _)| scored(indicator)).collect(),
            trigger_kind: pb::TriggerKind::ExfiltrationActivity.into(),
            ..Default::default()
        };
        let request = pb::UpsertPoliciesRequest { tenant_id: tenant.id.clone(), policies: vec![policy] };
        accepted(tenant.ingest().upsert_policies(request).await?.into_inner().counts, 1)?;
        Ok(tenant)
    }

    /// Changes a setting that no answer depends on, so that no level that was found before holds any more.
    pub async fn forget_levels(&self, round: usize) -> Result<()> {
        let anonymization_enabled = !round.is_multiple_of(2);
        self.set("anonymization_enabled", pb::Settings { anonymization_enabled, ..Default::default() }).await
    }

    /// Declares people.
    pub async fn declare(&self, people: Range<usize>) -> Result<()> {
        let (begun, count) = (Instant::now(), people.len());
        for some in calls_of(people) {
            let (tenant_id, users) = (self.id.clone(), some.clone().map(declared).collect());
            let request = pb::UpsertUsersRequest { tenant_id, users };
            accepted(self.ingest().upsert_users(request).await?.into_inner().counts, some.len())?;
        }
        println!("declared {count} people in {:.1} s", begun.elapsed().as_secs_f64());
        Ok(())
    }

    /// Makes people members of the policy.
    pub async fn enlist(&self, people: impl ExactSizeIterator<Item = usize>) -> Result<()> {
        let (begun, people) = (Instant::now(), people.collect::<Vec<_>>());
        for some in people.chunks(ITEMS_MAX) {
            let (tenant_id, memberships) = (self.id.clone(), some.iter().copied().map(member).collect());
            let request = pb::SetMembershipsRequest { tenant_id, memberships };
            accepted(self.ingest().set_memberships(request).await?.into_inner().counts, some.len())?;
        }
        println!("enlisted {} people in {:.1} s", people.len(), begun.elapsed().as_secs_f64());
        Ok(())
    }

    /// Records activities.
    pub async fn record(&self, activities: Vec<pb::ActivityRecord>) -> Result<()> {
        let mut activities = activities.into_iter();
        while activities.len() > 0 {
            let some: Vec<_> = activities.by_ref().take(ITEMS_MAX).collect();
            let count = some.len();
            let request = self.batch(some);
            accepted(self.ingest().ingest_activities(request).await?.into_inner().counts, count)?;
        }
        Ok(())
    }

    /// Returns the request that records activities.
    pub fn batch(&self, activities: Vec<pb::ActivityRecord>) -> pb::IngestActivitiesRequest {
        pb::IngestActivitiesRequest { tenant_id: self.id.clone(), activities, raw_records: Vec::new() }
    }

    /// Returns the question about an alert that involves people, in full.
    pub fn alert(&self, people: Range<usize>) -> pb::EnrichAlertRequest {
        let alert = pb::DlpAlert {
            alert_id: format!("da-{:08}", people.start),
            involved_users: people.map(named).collect(),
            ..Default::default()
        };
        pb::EnrichAlertRequest {
            tenant_id: self.id.clone(),
            alert: Some(alert),
            view: pb::EnrichmentView::Full.into(),
            activity_page_size: 0,
        }
    }

    /// Returns the question about the queue page of that number, the column only. `person` says who each mention is, by its
    /// number over all pages.
    pub fn page(&self, page: usize, person: impl Fn(usize) -> usize) -> pb::BatchEnrichAlertsRequest {
        let alerts = (page * ALERTS..(page + 1) * ALERTS).map(|n| pb::DlpAlert {
            alert_id: format!("da-{n:08}"),
            involved_users: (n * INVOLVED..(n + 1) * INVOLVED).map(|n| named(person(n))).collect(),
            ..Default::default()
        });
        pb::BatchEnrichAlertsRequest {
            tenant_id: self.id.clone(),
            alerts: alerts.collect(),
            view: pb::EnrichmentView::Severity.into(),
            activity_page_size: 0,
        }
    }

    /// Asks about an alert that involves people, in full.
    pub async fn enriched(&self, people: Range<usize>) -> Result<pb::EnrichedAlert> {
        let mut enrichment = AlertEnrichmentServiceClient::new(self.channel.clone());
        let answer = enrichment.enrich_alert(self.alert(people)).await?.into_inner();
        answer.alert.context("an answer without an alert")
    }

    async fn set(&self, field: &str, settings: pb::Settings) -> Result<()> {
        let request = pb::UpdateSettingsRequest {
            tenant_id: self.id.clone(),
            settings: Some(settings),
            update_mask: Some(FieldMask { paths: vec![field.to_owned()] }),
            etag: String::new(),
        };
        SettingsServiceClient::new(self.channel.clone()).update_settings(request).await?;
        Ok(())
    }

    fn ingest(&self) -> IngestServiceClient<Channel> {
        IngestServiceClient::new(self.channel.clone())
    }
}

/// Checks that a call's items were all accepted.
pub fn accepted(counts: Option<pb::IngestCounts>, items: usize) -> Result<()> {
    let counts = counts.context("no counts")?;
    ensure!(usize::try_from(counts.accepted)? == items, "of {items} items: {counts:?}");
    Ok(())
}

/// Returns how an alert names a person.
pub fn named(person: usize) -> pb::UserIdentity {
    pb::UserIdentity { upn: upn(person), ..Default::default() }
}

/// Returns the activity of that number, of a person at an instant. On one day a person does things of one kind.
pub fn activity(number: usize, person: usize, at: DateTime<Utc>) -> pb::ActivityRecord {
    let dice = mix(number as u64);
    let day = usize::try_from(at.timestamp() / 86_400).unwrap_or(0);
    let (indicator, operation) = DEEDS[somebody(person + day, DEEDS.len())];
    pb::ActivityRecord {
        activity_id: Uuid::from_u64_pair(dice, number as u64).to_string(),
        user: Some(named(person)),
        occurred_at: Some(timestamp(at)),
        indicator: indicator.to_owned(),
        operation: operation.to_owned(),
        object_name: format!("C:\\Users\\person{person:07}\\Documents\\project\\plan-{:02}.docx", dice % 30),
        destination: format!("https://destination{:03}.example.com/", dice % 200),
        sensitivity: pb::Sensitivity::General.into(),
        unallowed_destination: false,
    }
}

/// Returns a burst of a person who does much.
pub fn burst(person: usize, burst: usize) -> impl Iterator<Item = pb::ActivityRecord> {
    (0..BURST).map(move |n| {
        let number = (person * BURSTS + burst) * BURST + n;
        activity(number, person, on_day(10 * (BURSTS - burst), person + 600 * n))
    })
}

/// Returns an instant of the day that was so many days ago.
pub fn on_day(days_ago: usize, seconds: usize) -> DateTime<Utc> {
    let ago = i32::try_from(days_ago).unwrap_or(i32::MAX);
    let within = TimeDelta::seconds(i64::try_from(seconds % 86_400).unwrap_or(0));
    UtcDay::of(SystemClock.now()).plus(-ago).start() + within
}

/// Returns one of `people` as if at random, the same for the same number.
pub fn somebody(number: usize, people: usize) -> usize {
    usize::try_from(mix(number as u64) >> 32).expect("32 bits are an index") % people
}

/// Returns one of `people`, from all over, and none twice before everybody was returned once: the product of two numbers
/// without a common factor hits everybody.
pub fn somebody_else(number: usize, people: usize) -> usize {
    const STRIDE: usize = 618_033;
    number * STRIDE % people
}

fn declared(person: usize) -> pb::UserRecord {
    let user = pb::UserIdentity {
        entra_object_id: Uuid::from_u64_pair(mix(person as u64), person as u64).to_string(),
        upn: upn(person),
        display_name: format!("Person {person:07}"),
        ..Default::default()
    };
    pb::UserRecord { user: Some(user), ..Default::default() }
}

fn member(person: usize) -> pb::MembershipRecord {
    let from = Some(timestamp(on_day(365, 0)));
    pb::MembershipRecord {
        policy_id: POLICY.to_owned(),
        user: Some(named(person)),
        intervals: vec![pb::MembershipInterval { from, until: None }],
    }
}

fn scored(indicator: &str) -> pb::PolicyIndicator {
    pb::PolicyIndicator { indicator: indicator.to_owned(), daily_thresholds: Vec::new() }
}

fn upn(person: usize) -> String {
    format!("person{person:07}@contoso.com")
}

fn timestamp(at: DateTime<Utc>) -> Timestamp {
    Timestamp { seconds: at.timestamp(), nanos: 0 }
}

/// Cuts people into the largest calls.
fn calls_of(people: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let end = people.end;
    people.step_by(ITEMS_MAX).map(move |first| first..end.min(first + ITEMS_MAX))
}

/// Scatters numbers (SplitMix64).
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

//! The made-up tenant of every kept folder: what is told of it, and what must be known of it ever after.

use chrono::{DateTime, TimeDelta, Utc};
use prost_types::{FieldMask, Timestamp};
use riskshare::pb;
use riskshare::pb::alert_enrichment_service_client::AlertEnrichmentServiceClient;
use riskshare::pb::audit_service_client::AuditServiceClient;
use riskshare::pb::incident_service_client::IncidentServiceClient;
use riskshare::pb::ingest_service_client::IngestServiceClient;
use riskshare::pb::pseudonym_service_client::PseudonymServiceClient;
use riskshare::pb::risk_alert_service_client::RiskAlertServiceClient;
use riskshare::pb::settings_service_client::SettingsServiceClient;
use std::collections::BTreeSet;
use tonic::transport::Channel;
use tonic_types::StatusExt;

const TENANT: &str = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";
/// Has users and never turned sharing on.
const SILENT: &str = "7d444840-9dc0-11d1-b245-5ffdce74fad2";
const JOHN: &str = "john@contoso.com";
const LEAVER: &str = "leaver@contoso.com";

/// A story told to a server, and asked of one.
pub struct Story {
    channel: Channel,
    /// Noon of the day on which it was told. All that happened did so in the days before.
    told: DateTime<Utc>,
}

impl Story {
    pub fn new(channel: Channel, told: DateTime<Utc>) -> Self {
        Self { channel, told }
    }

    #[expect(clippy::unnecessary_wraps, reason = "messages in protobuf may be absent")]
    fn days_ago(&self, days: i64) -> Option<Timestamp> {
        Some(Timestamp { seconds: (self.told - TimeDelta::days(days)).timestamp(), nanos: 0 })
    }

    /// Tells it by calls that the very first version has.
    pub async fn tell(&self) {
        let channel = &self.channel;
        let paths = ["data_sharing_enabled", "anonymization_enabled", "lookback_days", "indicator_overrides"];
        let paths = paths.into_iter().chain(["custom_exfiltration_indicators"]).map(str::to_owned).collect();
        let request = pb::UpdateSettingsRequest {
            tenant_id: TENANT.to_owned(),
            settings: Some(settings()),
            update_mask: Some(FieldMask { paths }),
            etag: String::new(),
        };
        SettingsServiceClient::new(channel.clone()).update_settings(request).await.unwrap();
        let mut ingest = IngestServiceClient::new(channel.clone());
        let guest =
            pb::UserRecord { user: Some(upn("visitor@fabrikam.com")), guest: true, ..Default::default() };
        let dana =
            pb::UserRecord { user: Some(dana()), confirmed_violation_before: true, ..Default::default() };
        let request = pb::UpsertUsersRequest { tenant_id: TENANT.to_owned(), users: vec![dana, guest] };
        assert_eq!(ingest.upsert_users(request).await.unwrap().into_inner().results, []);
        let request = pb::UpsertPoliciesRequest { tenant_id: TENANT.to_owned(), policies: policies() };
        assert_eq!(ingest.upsert_policies(request).await.unwrap().into_inner().results, []);
        let member = |policy: &str, user: pb::UserIdentity| pb::MembershipRecord {
            policy_id: policy.to_owned(),
            user: Some(user),
            intervals: vec![pb::MembershipInterval { from: self.days_ago(300), until: None }],
        };
        let memberships = vec![member("departing", dana_by_sid()), member("leaks", upn(JOHN))];
        let request = pb::SetMembershipsRequest { tenant_id: TENANT.to_owned(), memberships };
        assert_eq!(ingest.set_memberships(request).await.unwrap().into_inner().results, []);
        let trigger = pb::TriggerRecord {
            policy_id: "departing".to_owned(),
            user: Some(dana_by_sid()),
            occurred_at: self.days_ago(5),
            kind: "hr".to_owned(),
        };
        let request = pb::RecordTriggersRequest { tenant_id: TENANT.to_owned(), triggers: vec![trigger] };
        assert_eq!(ingest.record_triggers(request).await.unwrap().into_inner().results, []);
        for (tenant, activities) in [(TENANT, self.activities()), (SILENT, self.copies(JOHN, 3))] {
            let answer = self.record(tenant, activities).await;
            assert_eq!(answer.results, []);
        }
        let request = pb::ImportRiskAlertsRequest {
            tenant_id: TENANT.to_owned(),
            alerts: self.risk_alerts(),
            raw_records: vec![],
        };
        assert_eq!(ingest.import_risk_alerts(request).await.unwrap().into_inner().results, []);
        let involved_users = vec![dana_by_sid(), upn(JOHN)];
        let alert = pb::DlpAlert { alert_id: "da-1".to_owned(), involved_users, ..Default::default() };
        let request =
            pb::EnrichAlertRequest { tenant_id: TENANT.to_owned(), alert: Some(alert), ..Default::default() };
        AlertEnrichmentServiceClient::new(channel.clone()).enrich_alert(request).await.unwrap();
        // Last, for it writes the log anew.
        let request = pb::DeleteUserRequest { tenant_id: TENANT.to_owned(), user: Some(upn(LEAVER)) };
        assert_eq!(ingest.delete_user(request).await.unwrap().into_inner().erased_users, 1);
    }

    /// Asks for all of it.
    pub async fn is_known(&self) {
        self.settings_are_known().await;
        self.people_are_known().await;
        self.silence_is_kept().await;
        self.risk_alerts_are_known().await;
        self.audit_log_is_whole().await;
    }

    /// Adds to it: one more activity, and a decision.
    pub async fn goes_on(&self) {
        let more = pb::ActivityRecord { activity_id: "later".to_owned(), ..self.usb_copy(0, 0) };
        assert_eq!(self.record(TENANT, vec![more]).await.results, []);
        let known = self.record(TENANT, self.activities()).await.counts.unwrap();
        assert_eq!((known.accepted, known.duplicate), (1, 25), "what is known is not taken twice: {known:?}");
        let request = pb::UpdateRiskAlertStatusRequest {
            tenant_id: TENANT.to_owned(),
            alert_id: "ra-1".to_owned(),
            status: pb::RiskAlertStatus::Resolved.into(),
            comment: "talked to him".to_owned(),
            etag: String::new(),
        };
        RiskAlertServiceClient::new(self.channel.clone()).update_risk_alert_status(request).await.unwrap();
    }

    /// Asks for what was added.
    pub async fn went_on(&self) {
        let timeline = self.timeline(dana_by_sid()).await;
        assert_eq!((timeline.len(), timeline[0].activity_id.as_str()), (17, "later"));
        let alert = self.risk_alert("ra-1").await;
        assert_eq!(alert.status(), pb::RiskAlertStatus::Resolved);
        assert_eq!(alert.history.last().unwrap().comment, "talked to him");
        assert!(self.verify(None).await.valid);
    }

    async fn settings_are_known(&self) {
        let request = pb::GetSettingsRequest { tenant_id: TENANT.to_owned() };
        let mut client = SettingsServiceClient::new(self.channel.clone());
        let known = client.get_settings(request).await.unwrap().into_inner().settings.unwrap();
        assert_ne!(known.etag, "");
        assert_eq!(pb::Settings { etag: String::new(), ..known }, settings());
    }

    async fn people_are_known(&self) {
        let by_key = [
            pb::UserIdentity { entra_object_id: dana().entra_object_id, ..Default::default() },
            dana_by_sid(),
            upn(&dana().upn),
            pb::UserIdentity { smtp_addresses: dana().smtp_addresses, ..Default::default() },
            pb::UserIdentity { account_name: dana().account_name, ..Default::default() },
        ];
        for key in by_key {
            let actor = self.actor(key).await;
            assert_eq!(actor.user, Some(dana()));
            // The policy's own threshold of 9 a day is met, and only by what is shared.
            assert_eq!((actor.severity_text.as_str(), actor.ambiguous), ("High", false));
            assert_eq!(actor.summary.unwrap().total, 16);
        }
        let timeline = self.timeline(dana_by_sid()).await;
        let ids: BTreeSet<_> = timeline.iter().map(|activity| activity.activity_id.clone()).collect();
        let told = self.activities_of_dana().into_iter().map(|activity| activity.activity_id);
        assert_eq!(ids, told.filter(|id| id != "hidden").collect());
        let usb = timeline.iter().find(|activity| activity.activity_id == "usb-3").unwrap();
        let was = self.usb_copy(3, 3);
        let expected = pb::Activity {
            activity_id: was.activity_id,
            occurred_at: was.occurred_at,
            indicator: was.indicator,
            operation: was.operation,
            object_name: was.object_name,
            destination: was.destination,
            sensitivity: was.sensitivity,
            unallowed_destination: was.unallowed_destination,
            activity_type: pb::ActivityType::Exfiltration.into(),
        };
        assert_eq!(*usb, expected);
        assert_eq!(self.actor(upn(JOHN)).await.severity_text, "High");
        assert_eq!(self.actor(upn("visitor@fabrikam.com")).await.severity_text, "None", "a guest");
        assert_eq!(self.actor(upn(LEAVER)).await.severity_text, "None", "erased");
        assert_eq!(self.timeline(upn(LEAVER)).await, []);
    }

    async fn silence_is_kept(&self) {
        let request = user_risk(SILENT, upn(JOHN));
        let refusal =
            IncidentServiceClient::new(self.channel.clone()).get_user_risk(request).await.unwrap_err();
        assert_eq!(refusal.get_details_error_info().unwrap().reason, "DATA_SHARING_OFF");
    }

    async fn risk_alerts_are_known(&self) {
        let confirmed = self.risk_alert("ra-1").await;
        assert_eq!(confirmed.status(), pb::RiskAlertStatus::Confirmed);
        assert_eq!((confirmed.severity(), confirmed.imported), (pb::Severity::Medium, true));
        assert_eq!(confirmed.user.unwrap().smtp_addresses, [JOHN], "of whom no more is known than that");
        assert_eq!((confirmed.policy_name.as_str(), confirmed.created_at), ("Data leaks", self.days_ago(2)));
        let dismissed = self.risk_alert("ra-2").await;
        assert_eq!(dismissed.status(), pb::RiskAlertStatus::Dismissed);
        assert!(dismissed.closed_at.is_some());
        let request = pb::ListRiskAlertsRequest { tenant_id: TENANT.to_owned(), ..Default::default() };
        let mut client = RiskAlertServiceClient::new(self.channel.clone());
        let all = client.list_risk_alerts(request).await.unwrap().into_inner().alerts;
        let raised: BTreeSet<_> =
            all.iter().filter(|alert| !alert.imported).map(|alert| &alert.policy_name).collect();
        assert!(raised.contains(&"Leaving the company".to_owned()), "raised here, for dana: {all:?}");
        assert!(all.iter().all(|alert| !alert.user_pseudonym.is_empty()));
    }

    async fn audit_log_is_whole(&self) {
        let request = pb::ListAuditEventsRequest { tenant_id: TENANT.to_owned(), ..Default::default() };
        let mut client = AuditServiceClient::new(self.channel.clone());
        let events = client.list_audit_events(request).await.unwrap().into_inner().events;
        let mut actions: Vec<_> = events.iter().map(|event| event.action.as_str()).collect();
        actions.dedup();
        assert_eq!(actions[..4], ["UpdateSettings", "UpsertPolicies", "EnrichAlert", "DeleteUser"]);
        let asked = events.iter().find(|event| event.action == "EnrichAlert").unwrap();
        assert_eq!(
            (&asked.alert_ids[..], asked.outcome()),
            (&["da-1".to_owned()][..], pb::AuditOutcome::Disclosed)
        );
        let line = pb::AuditChainHead { sequence: asked.sequence, hash: asked.hash.clone() };
        let verdict = self.verify(Some(line)).await;
        assert!(verdict.valid && verdict.lines > 4, "{verdict:?}");
        let request = pb::ResolveUsersRequest {
            tenant_id: TENANT.to_owned(),
            user_numbers: asked.user_numbers.clone(),
            reason: "a test".to_owned(),
        };
        let mut client = PseudonymServiceClient::new(self.channel.clone());
        let users = client.resolve_users(request).await.unwrap().into_inner().users;
        let names: BTreeSet<_> = users.into_iter().map(|user| user.user.unwrap().display_name).collect();
        assert_eq!(
            names,
            BTreeSet::from([dana().display_name, String::new()]),
            "john is known by his address alone"
        );
    }

    async fn verify(&self, expected: Option<pb::AuditChainHead>) -> pb::VerifyAuditLogResponse {
        let request = pb::VerifyAuditLogRequest { tenant_id: TENANT.to_owned(), expected };
        AuditServiceClient::new(self.channel.clone()).verify_audit_log(request).await.unwrap().into_inner()
    }

    async fn actor(&self, user: pb::UserIdentity) -> pb::Actor {
        let mut client = IncidentServiceClient::new(self.channel.clone());
        client.get_user_risk(user_risk(TENANT, user)).await.unwrap().into_inner().actor.unwrap()
    }

    async fn timeline(&self, user: pb::UserIdentity) -> Vec<pb::Activity> {
        let request = pb::ListUserActivitiesRequest {
            tenant_id: TENANT.to_owned(),
            user: Some(user),
            ..Default::default()
        };
        let mut client = AlertEnrichmentServiceClient::new(self.channel.clone());
        client.list_user_activities(request).await.unwrap().into_inner().activities
    }

    async fn risk_alert(&self, id: &str) -> pb::RiskAlert {
        let request = pb::GetRiskAlertRequest { tenant_id: TENANT.to_owned(), alert_id: id.to_owned() };
        let mut client = RiskAlertServiceClient::new(self.channel.clone());
        client.get_risk_alert(request).await.unwrap().into_inner().alert.unwrap()
    }

    async fn record(
        &self,
        tenant: &str,
        activities: Vec<pb::ActivityRecord>,
    ) -> pb::IngestActivitiesResponse {
        let request =
            pb::IngestActivitiesRequest { tenant_id: tenant.to_owned(), activities, raw_records: vec![] };
        IngestServiceClient::new(self.channel.clone()).ingest_activities(request).await.unwrap().into_inner()
    }

    fn activities(&self) -> Vec<pb::ActivityRecord> {
        let erased = pb::ActivityRecord {
            activity_id: "erased".to_owned(),
            user: Some(upn(LEAVER)),
            ..self.usb_copy(0, 2)
        };
        self.activities_of_dana().into_iter().chain(self.copies(JOHN, 8)).chain([erased]).collect()
    }

    /// Some are shared by the taxonomy, one by an override, one as the tenant's own; one is hidden by an override.
    fn activities_of_dana(&self) -> Vec<pb::ActivityRecord> {
        let other = |id: &str, indicator: &str, days: i64| pb::ActivityRecord {
            activity_id: id.to_owned(),
            user: Some(dana_by_sid()),
            occurred_at: self.days_ago(days),
            indicator: indicator.to_owned(),
            ..Default::default()
        };
        let others = [
            other("shared", "SpoDownload", 4),
            other("own", "BadgeCloned", 4),
            other("hidden", "Print", 4),
            other("old", "EmailExternal", 40),
            other("older", "EmailExternal", 90),
        ];
        (0..12).map(|n| self.usb_copy(n, 3)).chain(others).collect()
    }

    fn usb_copy(&self, number: usize, days_ago: i64) -> pb::ActivityRecord {
        pb::ActivityRecord {
            activity_id: format!("usb-{number}"),
            user: Some(dana_by_sid()),
            occurred_at: self.days_ago(days_ago),
            indicator: "CopyToUSB".to_owned(),
            operation: "FileCopiedToRemovableMedia".to_owned(),
            object_name: format!("C:\\plans\\plan {number} – Entwürfe.docx"),
            destination: "E:".to_owned(),
            sensitivity: pb::Sensitivity::HighlyConfidential.into(),
            unallowed_destination: number % 2 == 1,
        }
    }

    fn copies(&self, user: &str, count: usize) -> Vec<pb::ActivityRecord> {
        let copy = |number| pb::ActivityRecord {
            activity_id: format!("copy-{number}"),
            user: Some(upn(user)),
            ..self.usb_copy(number, 2)
        };
        (0..count).map(copy).collect()
    }

    /// One that was confirmed after it was raised, and one that was dismissed.
    fn risk_alerts(&self) -> Vec<pb::ImportedRiskAlert> {
        let raised = pb::ImportedRiskAlert {
            alert_id: "ra-1".to_owned(),
            policy_id: "leaks".to_owned(),
            user: Some(upn(JOHN)),
            severity: pb::Severity::Medium.into(),
            status: pb::RiskAlertStatus::NeedsReview.into(),
            created_at: self.days_ago(2),
            updated_at: self.days_ago(2),
            exfiltration: true,
        };
        let status = pb::RiskAlertStatus::Confirmed.into();
        let confirmed = pb::ImportedRiskAlert { status, updated_at: self.days_ago(1), ..raised.clone() };
        let dismissed = pb::ImportedRiskAlert {
            alert_id: "ra-2".to_owned(),
            severity: pb::Severity::Low.into(),
            status: pb::RiskAlertStatus::Dismissed.into(),
            ..raised.clone()
        };
        vec![raised, confirmed, dismissed]
    }
}

fn user_risk(tenant: &str, user: pb::UserIdentity) -> pb::GetUserRiskRequest {
    pb::GetUserRiskRequest { tenant_id: tenant.to_owned(), user: Some(user), activity_page_size: 0 }
}

fn upn(upn: &str) -> pb::UserIdentity {
    pb::UserIdentity { upn: upn.to_owned(), ..Default::default() }
}

/// Has a key of every kind.
fn dana() -> pb::UserIdentity {
    pb::UserIdentity {
        entra_object_id: "0f8fad5b-d9cb-469f-a165-70867728950e".to_owned(),
        sid: "S-1-5-21-1004336348-1177238915-682003330-512".to_owned(),
        upn: "dana@contoso.com".to_owned(),
        smtp_addresses: vec!["dana.smith@contoso.com".to_owned()],
        account_name: "contoso\\dana".to_owned(),
        display_name: "Dana Smith".to_owned(),
    }
}

fn dana_by_sid() -> pb::UserIdentity {
    pb::UserIdentity { sid: dana().sid, ..Default::default() }
}

/// Nothing but user analytics and the export is as it is by default.
fn settings() -> pb::Settings {
    let departs = |indicator: &str, shared| pb::IndicatorOverride { indicator: indicator.to_owned(), shared };
    pb::Settings {
        data_sharing_enabled: true,
        alert_export_enabled: false,
        anonymization_enabled: false,
        user_analytics_enabled: false,
        lookback_days: 100,
        indicator_overrides: vec![departs("Print", false), departs("SpoDownload", true)],
        custom_exfiltration_indicators: vec!["BadgeCloned".to_owned()],
        etag: String::new(),
    }
}

/// One with everything set, and one with nothing but what it needs.
fn policies() -> Vec<pb::PolicyRecord> {
    let scores =
        |daily_thresholds| pb::PolicyIndicator { indicator: "CopyToUSB".to_owned(), daily_thresholds };
    let departing = pb::PolicyRecord {
        policy_id: "departing".to_owned(),
        name: "Leaving the company".to_owned(),
        indicators: vec![scores(vec![2, 5, 9])],
        trigger_kind: pb::TriggerKind::Recorded.into(),
        past_days: Some(60),
        activation_days: Some(20),
        alert_threshold: Some(50),
        volume_cutoff: Some(5),
        priority_users: vec![dana_by_sid()],
        priority_reviewers: vec![],
    };
    let leaks = pb::PolicyRecord {
        policy_id: "leaks".to_owned(),
        name: "Data leaks".to_owned(),
        indicators: vec![scores(vec![])],
        trigger_kind: pb::TriggerKind::ExfiltrationActivity.into(),
        ..Default::default()
    };
    vec![departing, leaks]
}

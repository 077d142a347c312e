//! Who the demo is about, what they did, and which DLP alerts that raised. Told relative to today, so that it is
//! always recent.

use crate::cli::demo::alerts::{self, Case, system_process_evidence, user_evidence};
use crate::cli::demo::records::{Person, audit_time};
use crate::domain::time::UtcDay;
use crate::pb;
use chrono::{DateTime, TimeDelta, Utc};
use prost_types::Timestamp;
use serde_json::{Value, json};
use uuid::{Uuid, uuid};

/// A tenant, all that a server must be told of it, and its alert queue.
pub struct Tenant {
    /// Its name.
    pub name: &'static str,
    /// Its id.
    pub id: Uuid,
    /// What it has decided: its two switches.
    pub settings: pb::Settings,
    /// Its directory.
    pub users: Vec<pb::UserRecord>,
    /// Its policies of insider risk management.
    pub policies: Vec<pb::PolicyRecord>,
    /// Who is in them.
    pub memberships: Vec<pb::MembershipRecord>,
    /// What started their scoring.
    pub triggers: Vec<pb::TriggerRecord>,
    /// Raw audit records.
    pub audit: Vec<Value>,
    /// Raw risk alerts.
    pub risk_alerts: Vec<Value>,
    /// Its DLP alert queue.
    pub queue: Vec<QueuedAlert>,
}

/// A raw DLP alert.
pub struct QueuedAlert {
    /// Its format.
    pub format: &'static str,
    /// The JSON.
    pub raw: Value,
    /// What to see in its row.
    pub shows: &'static str,
}

impl Tenant {
    fn new(name: &'static str, id: Uuid) -> Self {
        Self {
            name,
            id,
            settings: pb::Settings::default(),
            users: Vec::new(),
            policies: Vec::new(),
            memberships: Vec::new(),
            triggers: Vec::new(),
            audit: Vec::new(),
            risk_alerts: Vec::new(),
            queue: Vec::new(),
        }
    }

    fn queue(&mut self, format: &'static str, raw: Value, shows: &'static str) {
        self.queue.push(QueuedAlert { format, raw, shows });
    }
}

/// The three tenants, as of `now`.
#[must_use]
pub fn tenants(now: DateTime<Utc>) -> Vec<Tenant> {
    let calendar = Calendar(now);
    vec![contoso(calendar), fabrikam(calendar), northwind(calendar)]
}

/// Tells times.
#[derive(Clone, Copy)]
struct Calendar(DateTime<Utc>);

impl Calendar {
    /// Returns a time of an earlier day. Only whole days back, so that no day's activities are cut by midnight.
    fn days_ago(self, days: i32, hour: i64, minute: i64) -> DateTime<Utc> {
        UtcDay::of(self.0).plus(-days).start() + TimeDelta::hours(hour) + TimeDelta::minutes(minute)
    }
}

const SITE: &str = "https://contoso.sharepoint.com/sites/falcon";
const DATA_LEAKS: &str = "data-leaks";
const SECURITY_VIOLATIONS: &str = "security-violations";

const ADA: Person = Person {
    name: "Ada Lindqvist",
    upn: "ada.lindqvist@contoso.com",
    object_id: uuid!("3b1d3f5e-0c7a-4a52-9a43-6a3c0b8f1d01"),
    rid: 1101,
};
const BRUNO: Person = Person {
    name: "Bruno Keller",
    upn: "bruno.keller@contoso.com",
    object_id: uuid!("3b1d3f5e-0c7a-4a52-9a43-6a3c0b8f1d02"),
    rid: 1102,
};
const CHIARA: Person = Person {
    name: "Chiara Rossi",
    upn: "chiara.rossi@contoso.com",
    object_id: uuid!("3b1d3f5e-0c7a-4a52-9a43-6a3c0b8f1d03"),
    rid: 1103,
};
const DAVID: Person = Person {
    name: "David Okafor",
    upn: "david.okafor@contoso.com",
    object_id: uuid!("3b1d3f5e-0c7a-4a52-9a43-6a3c0b8f1d04"),
    rid: 1104,
};
/// Deletes files before she leaves.
pub const ELIF: Person = Person {
    name: "Elif Demir",
    upn: "elif.demir@contoso.com",
    object_id: uuid!("3b1d3f5e-0c7a-4a52-9a43-6a3c0b8f1d05"),
    rid: 1105,
};
const FARID: Person = Person {
    name: "Farid Haddad",
    upn: "farid.haddad@contoso.com",
    object_id: uuid!("3b1d3f5e-0c7a-4a52-9a43-6a3c0b8f1d06"),
    rid: 1106,
};
const GINA: Person = Person {
    name: "Gina Weber (guest)",
    upn: "gina.weber_example.org#EXT#@contoso.onmicrosoft.com",
    object_id: uuid!("3b1d3f5e-0c7a-4a52-9a43-6a3c0b8f1d07"),
    rid: 1107,
};
const HANA: Person = Person {
    name: "Hana Sato",
    upn: "hana.sato@fabrikam.com",
    object_id: uuid!("3b1d3f5e-0c7a-4a52-9a43-6a3c0b8f1d08"),
    rid: 1108,
};
const JONAS: Person = Person {
    name: "Jonas Berg",
    upn: "jonas.berg@northwindtraders.com",
    object_id: uuid!("3b1d3f5e-0c7a-4a52-9a43-6a3c0b8f1d09"),
    rid: 1109,
};
const KIRA: Person = Person {
    name: "Kira Petrova",
    upn: "kira.petrova@northwindtraders.com",
    object_id: uuid!("3b1d3f5e-0c7a-4a52-9a43-6a3c0b8f1d0a"),
    rid: 1110,
};

/// Shares, and has policies: most of what can happen happens here.
fn contoso(calendar: Calendar) -> Tenant {
    let mut tenant = Tenant::new("Contoso", uuid!("c0170500-0000-4000-8000-000000000001"));
    tenant.settings = pb::Settings { data_sharing_enabled: true, ..Default::default() };
    tenant.users = [ADA, BRUNO, CHIARA, DAVID, ELIF, FARID, GINA].map(in_directory).into();
    tenant.policies = vec![data_leaks(), security_violations()];
    let leakers = [ADA, BRUNO, CHIARA, DAVID, FARID, GINA].map(|person| member(calendar, DATA_LEAKS, person));
    tenant.memberships = leakers.into();
    copies_project_files(calendar, &mut tenant);
    mails_offers(calendar, &mut tenant);
    upload_alike(calendar, &mut tenant);
    deletes_before_leaving(calendar, &mut tenant);
    prints_twice(calendar, &mut tenant);
    involve_nobody_known(calendar, &mut tenant);
    tenant
}

/// Ada takes files from a site, then two dozen of them to a stick in one day, uploads two, deletes some: High. The alert
/// also names a guest, who is never rated, and a process of the system, which is nobody.
fn copies_project_files(calendar: Calendar, tenant: &mut Tenant) {
    let file = |n: i64| format!("Falcon-{n:02}.docx");
    for (days, n) in [(103, 1), (82, 2), (61, 3), (45, 4), (30, 5)] {
        tenant.audit.push(ADA.copies_to_usb(calendar.days_ago(days, 9, 20), &file(n)));
    }
    for n in 1..=26 {
        tenant.audit.push(ADA.downloads(calendar.days_ago(2, 8, n), SITE, &file(n)));
    }
    for n in 1..=24 {
        tenant.audit.push(ADA.copies_to_usb(calendar.days_ago(1, 16, n), &file(n)));
    }
    for n in 1..=2 {
        tenant.audit.push(ADA.uploads(calendar.days_ago(1, 18, n), &file(n)));
    }
    tenant.audit.push(ADA.shares_with_anybody(calendar.days_ago(12, 15, 0), SITE, &file(6)));
    for n in 1..=3 {
        tenant.audit.push(ADA.deletes_on_device(calendar.days_ago(1, 19, n), &file(n)));
    }
    for n in 1..=6 {
        tenant.audit.push(GINA.shares_with_anybody(calendar.days_ago(4, 11, n), SITE, &file(n)));
    }
    let ada = json!({"userPrincipalName": ADA.upn.to_uppercase(), "azureAdUserId": ADA.object_id,
        "displayName": ADA.name});
    let gina = json!({"userPrincipalName": GINA.upn, "displayName": GINA.name});
    let case = Case { id: "da-falcon-usb", policy: "Project Falcon", at: calendar.days_ago(1, 16, 30) };
    let evidence = [user_evidence(&ada), user_evidence(&gina), system_process_evidence()];
    let shows = "a spike of USB copies; a guest is not rated";
    tenant.queue(alerts::GRAPH, case.graph(&evidence), shows);
}

/// Bruno mails two dozen attachments outside: Medium. The alert knows him by his alias only.
fn mails_offers(calendar: Calendar, tenant: &mut Tenant) {
    for days in [40, 33, 12] {
        tenant.audit.push(BRUNO.mails(calendar.days_ago(days, 10, 0), "Offer.pdf", "sales@example.org"));
    }
    for n in 1..=22 {
        let file = format!("Offer-{n:02}.pdf");
        tenant.audit.push(BRUNO.mails(calendar.days_ago(1, 14, n), &file, "sales@example.org"));
    }
    let case = Case { id: "dlp-mail-0417", policy: "Customer offers", at: calendar.days_ago(1, 14, 23) };
    tenant.queue(alerts::EXCHANGE, case.exchange(&alias(BRUNO)), "named by an SMTP alias");
}

/// Chiara and David upload the same number of files: a tie. One is named by SID, the other by account name.
fn upload_alike(calendar: Calendar, tenant: &mut Tenant) {
    for n in 1..=5 {
        tenant.audit.push(CHIARA.uploads(calendar.days_ago(1, 15, n), &format!("Plan-{n}.xlsx")));
        tenant.audit.push(DAVID.uploads(calendar.days_ago(1, 10, n), &format!("Draft-{n}.xlsx")));
    }
    let case = Case { id: "da-plans-cloud", policy: "Plans", at: calendar.days_ago(1, 15, 10) };
    let chiara = json!({"userSid": CHIARA.sid()});
    let david = json!({"accountName": DAVID.account(), "domainName": "CONTOSO"});
    let evidence = [user_evidence(&david), user_evidence(&chiara)];
    tenant.queue(alerts::GRAPH, case.graph(&evidence), "two users tie, named by SID and by account");
}

/// Elif has resigned and deletes files: High in insider risk management, through nothing that may be shared.
fn deletes_before_leaving(calendar: Calendar, tenant: &mut Tenant) {
    tenant.memberships.push(member(calendar, SECURITY_VIOLATIONS, ELIF));
    tenant.triggers.push(pb::TriggerRecord {
        policy_id: SECURITY_VIOLATIONS.to_owned(),
        user: Some(by_upn(ELIF)),
        occurred_at: Some(timestamp(calendar.days_ago(6, 9, 0))),
        kind: "hr".to_owned(),
    });
    for n in 1..=40 {
        let file = format!("Minutes-{n:02}.docx");
        tenant.audit.push(ELIF.deletes_on_site(calendar.days_ago(2, 18, n), SITE, &file));
    }
    tenant.risk_alerts.push(high_risk_alert(calendar.days_ago(1, 6, 0), ELIF));
    let case = Case { id: "dlp-site-2291", policy: "Board papers", at: calendar.days_ago(2, 18, 50) };
    let raw = case.sharepoint(ELIF, SITE, "Minutes-40.docx");
    tenant.queue(alerts::SHAREPOINT, raw, "High inside, through deletions only");
}

/// Farid prints two pages: Low.
fn prints_twice(calendar: Calendar, tenant: &mut Tenant) {
    for n in 1..=2 {
        tenant.audit.push(FARID.prints(calendar.days_ago(3, 11, n), &format!("Invoice-{n}.pdf")));
    }
    let case = Case { id: "dlp-print-0032", policy: "Invoices", at: calendar.days_ago(3, 11, 2) };
    let raw = case.endpoint(FARID, "FilePrinted", "Invoice-2.pdf");
    tenant.queue(alerts::ENDPOINT, raw, "two pages printed");
}

/// One alert names somebody of whom nothing is known, another only a service.
fn involve_nobody_known(calendar: Calendar, tenant: &mut Tenant) {
    let case = Case { id: "a-5521", policy: "Source code", at: calendar.days_ago(2, 13, 0) };
    let raw = case.security_alert("ivan.novak@contoso.com");
    tenant.queue(alerts::SECURITY_ALERT, raw, "a user whom nobody knows");
    let case = Case { id: "ocsf-7781", policy: "Backups", at: calendar.days_ago(2, 3, 0) };
    let service = json!({"name": "NT AUTHORITY\\SYSTEM", "type_id": 4, "type": "Service"});
    tenant.queue(alerts::OCSF, case.ocsf(&service), "a service account is no user");
}

/// Has not turned sharing on. Hana would be High.
fn fabrikam(calendar: Calendar) -> Tenant {
    let mut tenant = Tenant::new("Fabrikam", uuid!("fab01ca0-0000-4000-8000-000000000002"));
    tenant.users = vec![in_directory(HANA)];
    tenant.policies = vec![data_leaks()];
    tenant.memberships = vec![member(calendar, DATA_LEAKS, HANA)];
    for n in 1..=12 {
        tenant.audit.push(HANA.copies_to_usb(calendar.days_ago(1, 12, n), &format!("Design-{n:02}.dwg")));
    }
    let case = Case { id: "da-design-usb", policy: "Designs", at: calendar.days_ago(1, 12, 30) };
    let account = json!({"userPrincipalName": HANA.upn, "azureAdUserId": HANA.object_id});
    let raw = case.graph(&[user_evidence(&account)]);
    tenant.queue(alerts::GRAPH, raw, "the tenant does not share");
    tenant
}

/// Has no policy, and scores everybody with user analytics.
fn northwind(calendar: Calendar) -> Tenant {
    let mut tenant = Tenant::new("Northwind", uuid!("90274e1d-0000-4000-8000-000000000003"));
    tenant.settings =
        pb::Settings { data_sharing_enabled: true, user_analytics_enabled: true, ..Default::default() };
    tenant.users = [JONAS, KIRA].map(in_directory).into();
    for n in 1..=4 {
        tenant.audit.push(JONAS.uploads(calendar.days_ago(5, 19, n), &format!("Prices-{n}.csv")));
    }
    let site = "https://northwindtraders.sharepoint.com/sites/prices";
    for n in 1..=3 {
        tenant.audit.push(KIRA.opens(calendar.days_ago(5, 9, n), site, &format!("Prices-{n}.csv")));
    }
    let case = Case { id: "ocsf-0915", policy: "Price lists", at: calendar.days_ago(5, 19, 5) };
    let jonas = json!({"email_addr": JONAS.upn, "full_name": JONAS.name, "type_id": 1});
    tenant.queue(alerts::OCSF, case.ocsf(&jonas), "in no policy, rated by user analytics");
    let case = Case { id: "da-prices-open", policy: "Price lists", at: calendar.days_ago(5, 9, 5) };
    let kira = json!({"userPrincipalName": KIRA.upn, "displayName": KIRA.name});
    tenant.queue(alerts::GRAPH, case.graph(&[user_evidence(&kira)]), "no exfiltration activity");
    tenant
}

/// Scores what takes data out, from the first sign on.
fn data_leaks() -> pb::PolicyRecord {
    let indicators =
        ["CopyToUSB", "CopyToPersonalCloud", "EmailExternal", "SpoFileSharing", "Print", "SpoDownload"];
    pb::PolicyRecord {
        policy_id: DATA_LEAKS.to_owned(),
        name: "Data leaks".to_owned(),
        indicators: indicators.map(scored).into(),
        trigger_kind: pb::TriggerKind::ExfiltrationActivity.into(),
        ..Default::default()
    }
}

/// Scores what takes no data out, once an event such as a resignation was recorded.
fn security_violations() -> pb::PolicyRecord {
    pb::PolicyRecord {
        policy_id: SECURITY_VIOLATIONS.to_owned(),
        name: "Security policy violations".to_owned(),
        indicators: ["SpoFileDeleted", "SpoFileLabelRemoved", "EpoFileRenamed"].map(scored).into(),
        trigger_kind: pb::TriggerKind::Recorded.into(),
        ..Default::default()
    }
}

fn scored(indicator: &str) -> pb::PolicyIndicator {
    pb::PolicyIndicator { indicator: indicator.to_owned(), daily_thresholds: Vec::new() }
}

fn member(calendar: Calendar, policy: &str, person: Person) -> pb::MembershipRecord {
    let from = Some(timestamp(calendar.days_ago(200, 0, 0)));
    pb::MembershipRecord {
        policy_id: policy.to_owned(),
        user: Some(by_upn(person)),
        intervals: vec![pb::MembershipInterval { from, until: None }],
    }
}

/// Returns a directory's entry, with every key.
fn in_directory(person: Person) -> pb::UserRecord {
    let user = pb::UserIdentity {
        entra_object_id: person.object_id.to_string(),
        sid: person.sid(),
        upn: person.upn.to_owned(),
        smtp_addresses: vec![person.upn.to_owned(), alias(person)],
        account_name: person.account_name(),
        display_name: person.name.to_owned(),
    };
    let guest = person.upn.contains("#EXT#");
    pb::UserRecord { user: Some(user), guest, ..Default::default() }
}

/// Returns the short address: the initial, a dot, the family name.
fn alias(person: Person) -> String {
    let (first, rest) = person.upn.split_at(1);
    let family = rest.split_once('.').map_or(rest, |(_, family)| family);
    format!("{first}.{family}")
}

fn by_upn(person: Person) -> pb::UserIdentity {
    pb::UserIdentity { upn: person.upn.to_owned(), ..Default::default() }
}

/// Returns an alert of insider risk management as the Management API exports it.
fn high_risk_alert(at: DateTime<Utc>, person: Person) -> Value {
    let data = json!({"UserPrincipalName": person.upn, "UserId": person.object_id});
    json!({
        "Id": Uuid::new_v5(&person.object_id, b"risk alert"), "AlertId": "irm-0815", "RecordType": 40,
        "CreationTime": audit_time(at), "Operation": "AlertTriggered", "Category": "InsiderRiskManagement",
        "Severity": "High", "Status": "Active", "Name": "Security policy violations",
        "PolicyId": SECURITY_VIOLATIONS, "UserId": "SecurityComplianceAlerts", "UserType": 4,
        "UserKey": "SecurityComplianceAlerts", "Workload": "SecurityComplianceCenter",
        "Data": data.to_string(),
    })
}

fn timestamp(at: DateTime<Utc>) -> Timestamp {
    Timestamp { seconds: at.timestamp(), nanos: 0 }
}

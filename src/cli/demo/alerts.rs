//! DLP alerts as the systems that raise them write them, one function a format (`docs/formats.md`).

use crate::cli::demo::records::{Person, audit_time};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

/// Microsoft Graph `security/alerts_v2`.
pub const GRAPH: &str = "Graph alerts_v2";
/// Management API, RecordType 13.
pub const EXCHANGE: &str = "Exchange DLP record";
/// Management API, RecordType 11.
pub const SHAREPOINT: &str = "SharePoint DLP record";
/// Management API, RecordType 63.
pub const ENDPOINT: &str = "endpoint DLP record";
/// Management API, RecordType 40.
pub const SECURITY_ALERT: &str = "RecordType 40 alert";
/// OCSF Data Security Finding.
pub const OCSF: &str = "OCSF 2006";

/// What the alerts of all formats say.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The alert's id.
    pub id: &'static str,
    /// The DLP policy that matched.
    pub policy: &'static str,
    /// When.
    pub at: DateTime<Utc>,
}

impl Case {
    /// Writes it as Graph does.
    #[must_use]
    pub fn graph(self, evidence: &[Value]) -> Value {
        let at = self.at.format("%Y-%m-%dT%H:%M:%S.0000000Z").to_string();
        json!({
            "@odata.type": "#microsoft.graph.security.alert",
            "id": self.id, "providerAlertId": self.id, "status": "new", "severity": "high",
            "serviceSource": "dataLossPrevention", "detectionSource": "microsoftDataLossPrevention",
            "title": format!("DLP policy ({}) matched", self.policy), "category": "Exfiltration",
            "createdDateTime": at, "lastUpdateDateTime": at, "evidence": evidence,
        })
    }

    /// Writes it as the record of a mail that matched. `from` is an address of the sender.
    #[must_use]
    pub fn exchange(self, from: &str) -> Value {
        json!({
            "Id": self.id, "CreationTime": audit_time(self.at), "RecordType": 13, "Operation": "DlpRuleMatch",
            "UserId": "DlpAgent", "UserKey": "DlpAgent", "UserType": 4, "Workload": "Exchange",
            "ExchangeMetaData": {"From": from, "To": ["sales@example.org"], "Subject": "As discussed"},
            "PolicyDetails": self.policy_details("Medium"), "SensitiveInfoDetectionIsIncluded": true,
        })
    }

    /// Writes it as the record of a file on a site that matched.
    #[must_use]
    pub fn sharepoint(self, person: Person, site: &str, file: &str) -> Value {
        json!({
            "Id": self.id, "CreationTime": audit_time(self.at), "RecordType": 11, "Operation": "DLPRuleMatch",
            "UserId": person.upn, "UserKey": "app@sharepoint", "UserType": 0, "Workload": "SharePoint",
            "SharePointMetaData": {"From": person.upn, "FileName": file, "SiteCollectionUrl": site},
            "PolicyDetails": self.policy_details("High"), "SensitiveInfoDetectionIsIncluded": true,
        })
    }

    /// Writes it as the record of a device that matched.
    #[must_use]
    pub fn endpoint(self, person: Person, operation: &str, file: &str) -> Value {
        json!({
            "Id": self.id, "CreationTime": audit_time(self.at), "RecordType": 63, "Operation": operation,
            "UserId": person.upn, "UserKey": person.object_id, "UserType": 0, "Workload": "Endpoint",
            "ObjectId": format!("C:\\Users\\{}\\Documents\\{file}", person.account()),
            "PolicyMatchInfo": {"PolicyName": self.policy, "RuleName": "Audit on devices"},
        })
    }

    /// Writes it as an alert of the Management API: its users stand in JSON inside a string.
    #[must_use]
    pub fn security_alert(self, upn: &str) -> Value {
        let data =
            json!({"f3u": upn, "op": "DlpRuleMatch", "wl": "OneDrive", "dpn": self.policy, "sev": "Medium"});
        json!({
            "Id": self.id, "AlertId": self.id, "CreationTime": audit_time(self.at), "RecordType": 40,
            "Operation": "AlertTriggered", "Category": "DataLossPrevention", "Severity": "Medium",
            "Status": "Active", "Name": format!("DLP policy ({}) matched", self.policy),
            "UserId": "SecurityComplianceAlerts", "UserKey": "SecurityComplianceAlerts", "UserType": 4,
            "Workload": "SecurityComplianceCenter", "Data": data.to_string(),
        })
    }

    /// Writes it as OCSF does.
    #[must_use]
    pub fn ocsf(self, user: &Value) -> Value {
        let at = self.at.timestamp_millis();
        json!({
            "class_uid": 2006, "category_uid": 2, "activity_id": 1, "type_uid": 200_601, "severity_id": 4,
            "time": at, "actor": {"user": user}, "data_security": {"policy": {"name": self.policy}},
            "finding_info": {"uid": self.id, "title": format!("DLP policy ({}) matched", self.policy),
                "created_time": at},
            "metadata": {"version": "1.5.0", "product": {"name": "DLP", "vendor_name": "Example"}},
        })
    }

    fn policy_details(self, severity: &str) -> Value {
        let rule = json!({"RuleName": "Any content", "Severity": severity, "Actions": ["NotifyUser"]});
        json!([{"PolicyName": self.policy, "Rules": [rule]}])
    }
}

/// Graph's evidence of a user.
#[must_use]
pub fn user_evidence(account: &Value) -> Value {
    json!({"@odata.type": "#microsoft.graph.security.userEvidence", "roles": ["policyViolator"],
        "verdict": "unknown", "userAccount": account})
}

/// Graph's evidence of a program that the system itself ran.
#[must_use]
pub fn system_process_evidence() -> Value {
    let account = json!({"accountName": "SYSTEM", "domainName": "NT AUTHORITY", "userSid": "S-1-5-18"});
    json!({"@odata.type": "#microsoft.graph.security.processEvidence", "processId": 4, "userAccount": account})
}

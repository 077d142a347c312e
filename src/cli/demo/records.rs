//! Office 365 Management Activity API audit records of made-up people, in the shape that the real ones have
//! (`docs/formats.md`).

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

/// A made-up person with the names that systems know them by.
#[derive(Clone, Copy, Debug)]
pub struct Person {
    /// What people call them.
    pub name: &'static str,
    /// Their UPN.
    pub upn: &'static str,
    /// Their Entra object id.
    pub object_id: Uuid,
    /// The last number of their SID.
    pub rid: u32,
}

const ENDPOINT: u32 = 63;
const SHAREPOINT_FILE: u32 = 6;
const SHAREPOINT_SHARING: u32 = 14;
const MAILBOX_ITEM: u32 = 2;

/// Returns the time in the form that audit records have: UTC, without saying so.
#[must_use]
pub fn audit_time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%S").to_string()
}

impl Person {
    /// Returns their SID.
    #[must_use]
    pub fn sid(self) -> String {
        format!("S-1-5-21-1004336348-1177238915-682003330-{}", self.rid)
    }

    /// Returns the part of the UPN before the `@`.
    #[must_use]
    pub fn account(self) -> &'static str {
        self.upn.split_once('@').map_or(self.upn, |(account, _)| account)
    }

    /// Returns their Windows name, `DOMAIN\\account`.
    #[must_use]
    pub fn account_name(self) -> String {
        let domain = self.upn.rsplit('@').next().and_then(|domain| domain.split('.').next());
        format!("{}\\{}", domain.unwrap_or_default().to_uppercase(), self.account())
    }

    /// Copies a file to a USB stick.
    #[must_use]
    pub fn copies_to_usb(self, at: DateTime<Utc>, file: &str) -> Value {
        let stick =
            json!({"Manufacturer": "Generic", "Model": "Flash Disk", "SerialNumber": "4C530001230612104195"});
        let target = format!("E:\\{file}");
        let more = json!({"TargetFilePath": target, "RemovableMediaDeviceAttributes": stick});
        self.on_device(at, "FileCopiedToRemovableMedia", file, &more)
    }

    /// Uploads a file to a cloud storage of their own.
    #[must_use]
    pub fn uploads(self, at: DateTime<Utc>, file: &str) -> Value {
        let more = json!({"TargetDomain": "drive.example.net", "Application": "msedge.exe"});
        self.on_device(at, "FileUploadedToCloud", file, &more)
    }

    /// Prints a file.
    #[must_use]
    pub fn prints(self, at: DateTime<Utc>, file: &str) -> Value {
        self.on_device(at, "FilePrinted", file, &json!({"TargetPrinterName": "Floor 3, left"}))
    }

    /// Deletes a file of the device.
    #[must_use]
    pub fn deletes_on_device(self, at: DateTime<Utc>, file: &str) -> Value {
        self.on_device(at, "FileDeleted", file, &json!({}))
    }

    /// Downloads a file of a SharePoint site.
    #[must_use]
    pub fn downloads(self, at: DateTime<Utc>, site: &str, file: &str) -> Value {
        self.on_site(at, "FileDownloaded", site, file)
    }

    /// Opens a file of a SharePoint site.
    #[must_use]
    pub fn opens(self, at: DateTime<Utc>, site: &str, file: &str) -> Value {
        self.on_site(at, "FileAccessed", site, file)
    }

    /// Deletes a file of a SharePoint site.
    #[must_use]
    pub fn deletes_on_site(self, at: DateTime<Utc>, site: &str, file: &str) -> Value {
        self.on_site(at, "FileDeleted", site, file)
    }

    /// Makes a link with which anybody can open a file.
    #[must_use]
    pub fn shares_with_anybody(self, at: DateTime<Utc>, site: &str, file: &str) -> Value {
        let more = json!({
            "Workload": "SharePoint", "ItemType": "File", "SiteUrl": site,
            "ObjectId": format!("{site}/Shared Documents/{file}"), "SourceFileName": file,
            "EventData": "<Type>View</Type>",
        });
        self.record(at, SHAREPOINT_SHARING, "AnonymousLinkCreated", file, &more)
    }

    /// Sends a mail with an attachment to somebody outside.
    #[must_use]
    pub fn mails(self, at: DateTime<Utc>, file: &str, to: &str) -> Value {
        let more = json!({
            "Workload": "Exchange", "MailboxOwnerUPN": self.upn, "ResultStatus": "Succeeded",
            "recipientList": [{"Address": to}],
            "Item": {"Subject": "As discussed", "Attachments": format!("{file} (48211b)"), "SizeInBytes": 51_004},
        });
        self.record(at, MAILBOX_ITEM, "Send", file, &more)
    }

    fn on_device(self, at: DateTime<Utc>, operation: &str, file: &str, more: &Value) -> Value {
        let device = json!({
            "Workload": "Endpoint", "ObjectId": format!("C:\\Users\\{}\\Downloads\\{file}", self.account()),
            "DeviceName": format!("{}-laptop", self.account()), "FileType": "Other", "EnforcementMode": 1,
            "MDATPDeviceId": self.object_id.simple().to_string(),
        });
        self.record(at, ENDPOINT, operation, file, &merged(device, more))
    }

    fn on_site(self, at: DateTime<Utc>, operation: &str, site: &str, file: &str) -> Value {
        let more = json!({
            "Workload": "SharePoint", "ItemType": "File", "SiteUrl": site, "SourceRelativeUrl": "Shared Documents",
            "SourceFileName": file, "ObjectId": format!("{site}/Shared Documents/{file}"),
        });
        self.record(at, SHAREPOINT_FILE, operation, file, &more)
    }

    /// Returns a record. Its id is always the same for the same act, so a demo over the same day is the same demo.
    fn record(self, at: DateTime<Utc>, record_type: u32, operation: &str, file: &str, more: &Value) -> Value {
        let at = audit_time(at);
        let id = Uuid::new_v5(&self.object_id, format!("{operation} {at} {file}").as_bytes());
        let common = json!({
            "Id": id, "CreationTime": at, "RecordType": record_type, "Operation": operation, "Version": 1,
            "UserId": self.upn, "UserKey": self.object_id, "UserType": 0,
        });
        merged(common, more)
    }
}

/// Returns an object with the fields of both.
#[must_use]
pub fn merged(mut object: Value, more: &Value) -> Value {
    if let (Some(object), Some(more)) = (object.as_object_mut(), more.as_object()) {
        object.extend(more.clone());
    }
    object
}

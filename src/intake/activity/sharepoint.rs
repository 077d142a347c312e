//! SharePoint and OneDrive: files (RecordType 6), sharing (14) and labels.

use crate::intake::activity::{Found, Sign, first_text};
use crate::intake::error::FieldError;
use crate::intake::field::Field;
use crate::intake::management_record::{Common, SHAREPOINT_FILE, SHAREPOINT_SHARING};

pub(super) fn sign(record: Field<'_>, common: &Common<'_>) -> Found {
    let found = match common.record_type {
        SHAREPOINT_FILE => file(record, &common.operation)?,
        SHAREPOINT_SHARING => sharing(record, &common.operation)?,
        _ => None,
    };
    // With which record types these come is not sure, so the operation alone decides (`domain.md` section 4).
    let found = match found {
        None => membership(record, &common.operation)?.or(label(record, &common.operation)?),
        found => found,
    };
    let Some((operation, indicator)) = found else { return Ok(None) };
    Ok(Some(Sign {
        indicator,
        operation,
        object_name: first_text(record, &["ObjectId", "SourceRelativeUrl", "SourceFileName"])?,
        destination: first_text(record, &["TargetUserOrGroupName"])?,
    }))
}

type Row = Option<(&'static str, &'static str)>;

#[rustfmt::skip]
const FILE_OPERATIONS: &[(&str, &str)] = &[
    ("FileAccessed", "SpoFileAccessed"),
    ("FilePreviewed", "SpoFileAccessed"),
    ("FileDeleted", "SpoFileDeleted"),
    ("FileRecycled", "SpoFileDeleted"),
    ("FileDeletedFirstStageRecycleBin", "SpoFileDeletedFromFirstStageRecycleBin"),
    ("FileDeletedSecondStageRecycleBin", "SpoFileDeletedFromSecondStageRecycleBin"),
    ("FolderDeleted", "SpoFolderDeleted"),
    ("FolderRecycled", "SpoFolderDeleted"),
    ("FolderDeletedFirstStageRecycleBin", "SpoFolderDeletedFromFirstStageRecycleBin"),
    ("FolderDeletedSecondStageRecycleBin", "SpoFolderDeletedFromSecondStageRecycleBin"),
];

fn file(record: Field<'_>, operation: &str) -> Result<Row, FieldError> {
    let (operation, sharepoint, onedrive) = match operation {
        "filedownloaded" => ("FileDownloaded", "SpoDownload", "OdbDownload"),
        "filesyncdownloadedfull" => ("FileSyncDownloadedFull", "SpoSyncDownload", "OdbSyncDownload"),
        _ => return Ok(row(FILE_OPERATIONS, operation)),
    };
    let workload = record.get("Workload");
    match workload.required_text()?.to_ascii_lowercase().as_str() {
        "sharepoint" => Ok(Some((operation, sharepoint))),
        "onedrive" => Ok(Some((operation, onedrive))),
        _ => Err(workload.fault("must be SharePoint or OneDrive")),
    }
}

fn row(rows: &'static [(&str, &str)], operation: &str) -> Row {
    rows.iter().find(|(name, _)| name.eq_ignore_ascii_case(operation)).copied()
}

fn sharing(record: Field<'_>, operation: &str) -> Result<Row, FieldError> {
    let (operation, leaves) = match operation {
        "anonymouslinkcreated" => ("AnonymousLinkCreated", true),
        "anonymouslinkupdated" => ("AnonymousLinkUpdated", true),
        "sharinginvitationcreated" => ("SharingInvitationCreated", true),
        // A secure link as such is for nobody yet: the records of the people added to it follow.
        "securelinkcreated" if record.get("TargetUserOrGroupType").is_absent() => return Ok(None),
        "securelinkcreated" => ("SecureLinkCreated", target(record)? == Target::Guest),
        "addedtosecurelink" => ("AddedToSecureLink", target(record)? == Target::Guest),
        "sharingset" => ("SharingSet", target(record)? != Target::Inside),
        "accessrequestcreated" => return Ok(Some(("AccessRequestCreated", "SpoAccessRequest"))),
        "accessrequestaccepted" => return Ok(Some(("AccessRequestAccepted", "SpoApprovedAccess"))),
        _ => return Ok(None), // CompanyLinkCreated among them: its link is for members only.
    };
    if leaves { Ok(Some((operation, shared(record.get("ItemType"))?))) } else { Ok(None) }
}

/// What was shared. Kinds beside file, folder, web and site are put with what they hold [I].
fn shared(item_type: Field<'_>) -> Result<&'static str, FieldError> {
    match item_type.required_text()?.to_ascii_lowercase().as_str() {
        "file" | "page" | "listitem" => Ok("SpoFileSharing"),
        "folder" | "documentlibrary" | "list" => Ok("SpoFolderSharing"),
        "web" | "site" => Ok("SpoSiteSharing"),
        _ => Err(item_type.fault("must be File, Page, ListItem, Folder, DocumentLibrary, List, Web or Site")),
    }
}

#[derive(PartialEq, Eq)]
enum Target {
    Inside,
    Guest,
    Partner,
}

fn target(record: Field<'_>) -> Result<Target, FieldError> {
    let field = record.get("TargetUserOrGroupType");
    match field.required_text()?.to_ascii_lowercase().as_str() {
        "member" | "group" | "sharepointgroup" | "securitygroup" => Ok(Target::Inside),
        "guest" => Ok(Target::Guest),
        "partner" => Ok(Target::Partner),
        _ => Err(field.fault("must be Member, Guest, Group, SharePointGroup, SecurityGroup or Partner")),
    }
}

fn membership(record: Field<'_>, operation: &str) -> Result<Row, FieldError> {
    let operation = match operation {
        "addedtogroup" => "AddedToGroup",
        "sitecollectionadminadded" => "SiteCollectionAdminAdded",
        _ => return Ok(None),
    };
    Ok(Some(match target(record)? {
        Target::Inside => (operation, "SpoSiteInternalUserAdded"),
        Target::Guest | Target::Partner => (operation, "SpoSiteExternalUserAdded"),
    }))
}

/// The number that says that a label gave way to a less restrictive one (Microsoft's LabelEventType).
const LABEL_DOWNGRADED: i64 = 2;

/// A label that was raised, or replaced by an equal, hides nothing. Where the record does not say, nothing is
/// assumed against the user.
fn label(record: Field<'_>, operation: &str) -> Result<Row, FieldError> {
    match operation {
        "sensitivitylabelremoved" => Ok(Some(("SensitivityLabelRemoved", "SpoFileLabelRemoved"))),
        "sensitivitylabelupdated" => {
            let field = record.get("SensitivityLabelEventData").get("LabelEventType");
            match field.integer()? {
                Some(LABEL_DOWNGRADED) => Ok(Some(("SensitivityLabelUpdated", "SpoFileLabelDowngraded"))),
                None | Some(0..=4) => Ok(None),
                Some(_) => Err(field.fault("must be 0 to 4")),
            }
        }
        _ => Ok(None),
    }
}

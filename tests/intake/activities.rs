//! Audit records: each row of the mapping, and each trap of the format.

use crate::outcome::{activity, with};
use serde_json::{Value, json};

fn base(record_type: i64, operation: &str) -> Value {
    json!({
        "Id": "a1", "CreationTime": "2026-05-04T12:30:00", "RecordType": record_type, "Operation": operation,
        "UserId": "alex@contoso.com", "UserKey": "x", "UserType": 0, "Workload": "SharePoint",
    })
}

/// The indicator that a record shows, or what else came of it.
fn indicator(record_type: i64, operation: &str, changes: &Value) -> String {
    let shown = activity(&with(&base(record_type, operation), changes));
    shown.split(" | ").next().unwrap_or_default().to_owned()
}

#[test]
fn files_of_sharepoint_and_onedrive() {
    for (operation, sharepoint, onedrive) in [
        ("FileDownloaded", "SpoDownload", "OdbDownload"),
        ("FileSyncDownloadedFull", "SpoSyncDownload", "OdbSyncDownload"),
        ("FileAccessed", "SpoFileAccessed", "SpoFileAccessed"),
        ("FilePreviewed", "SpoFileAccessed", "SpoFileAccessed"),
        ("FileDeleted", "SpoFileDeleted", "SpoFileDeleted"),
        ("FileRecycled", "SpoFileDeleted", "SpoFileDeleted"),
        (
            "FileDeletedFirstStageRecycleBin",
            "SpoFileDeletedFromFirstStageRecycleBin",
            "SpoFileDeletedFromFirstStageRecycleBin",
        ),
        (
            "FileDeletedSecondStageRecycleBin",
            "SpoFileDeletedFromSecondStageRecycleBin",
            "SpoFileDeletedFromSecondStageRecycleBin",
        ),
        ("FolderDeleted", "SpoFolderDeleted", "SpoFolderDeleted"),
        ("FolderRecycled", "SpoFolderDeleted", "SpoFolderDeleted"),
        (
            "FolderDeletedFirstStageRecycleBin",
            "SpoFolderDeletedFromFirstStageRecycleBin",
            "SpoFolderDeletedFromFirstStageRecycleBin",
        ),
        (
            "FolderDeletedSecondStageRecycleBin",
            "SpoFolderDeletedFromSecondStageRecycleBin",
            "SpoFolderDeletedFromSecondStageRecycleBin",
        ),
        ("FileUploaded", "ignored", "ignored"),
    ] {
        assert_eq!(indicator(6, operation, &json!({})), sharepoint, "{operation}");
        assert_eq!(indicator(6, operation, &json!({"Workload": "OneDrive"})), onedrive, "{operation}");
    }
    let elsewhere = indicator(6, "FileDownloaded", &json!({"Workload": "Yammer"}));
    assert_eq!(elsewhere, "! Workload must be SharePoint or OneDrive");
    assert_eq!(indicator(6, "FileDownloaded", &json!({"Workload": null})), "! Workload is missing");
}

#[test]
fn sharing_counts_when_it_leaves_the_organisation() {
    let target = |kind: &str| json!({"ItemType": "File", "TargetUserOrGroupType": kind});
    for operation in ["AnonymousLinkCreated", "AnonymousLinkUpdated", "SharingInvitationCreated"] {
        assert_eq!(indicator(14, operation, &json!({"ItemType": "File"})), "SpoFileSharing", "{operation}");
    }
    for operation in ["SecureLinkCreated", "AddedToSecureLink"] {
        assert_eq!(indicator(14, operation, &target("Guest")), "SpoFileSharing", "{operation}");
        assert_eq!(indicator(14, operation, &target("Partner")), "ignored", "{operation}");
        assert_eq!(indicator(14, operation, &target("Member")), "ignored", "{operation}");
    }
    for (kind, expected) in [
        ("Guest", "SpoFileSharing"),
        ("Partner", "SpoFileSharing"),
        ("Member", "ignored"),
        ("Group", "ignored"),
        ("SharePointGroup", "ignored"),
        ("SecurityGroup", "ignored"),
        (
            "Anybody",
            "! TargetUserOrGroupType must be Member, Guest, Group, SharePointGroup, SecurityGroup or Partner",
        ),
    ] {
        assert_eq!(indicator(14, "SharingSet", &target(kind)), expected, "{kind}");
    }
    assert_eq!(indicator(14, "SecureLinkCreated", &json!({})), "ignored");
    assert_eq!(indicator(14, "SharingSet", &json!({})), "! TargetUserOrGroupType is missing");
    assert_eq!(indicator(14, "CompanyLinkCreated", &json!({"ItemType": "File"})), "ignored");
    assert_eq!(indicator(14, "AccessRequestCreated", &json!({})), "SpoAccessRequest");
    assert_eq!(indicator(14, "AccessRequestAccepted", &json!({})), "SpoApprovedAccess");
}

#[test]
fn what_was_shared_decides_the_indicator_of_sharing() {
    for (kind, expected) in [
        ("File", "SpoFileSharing"),
        ("Page", "SpoFileSharing"),
        ("ListItem", "SpoFileSharing"),
        ("Folder", "SpoFolderSharing"),
        ("DocumentLibrary", "SpoFolderSharing"),
        ("List", "SpoFolderSharing"),
        ("Web", "SpoSiteSharing"),
        ("Site", "SpoSiteSharing"),
        ("Star", "! ItemType must be File, Page, ListItem, Folder, DocumentLibrary, List, Web or Site"),
    ] {
        assert_eq!(indicator(14, "AnonymousLinkCreated", &json!({"ItemType": kind})), expected, "{kind}");
    }
    assert_eq!(indicator(14, "AnonymousLinkCreated", &json!({})), "! ItemType is missing");
}

#[test]
fn people_who_are_let_into_a_site_are_told_apart_by_where_they_belong() {
    for operation in ["AddedToGroup", "SiteCollectionAdminAdded"] {
        for record_type in [4, 14] {
            let kind =
                |kind: &str| indicator(record_type, operation, &json!({"TargetUserOrGroupType": kind}));
            assert_eq!(kind("Guest"), "SpoSiteExternalUserAdded");
            assert_eq!(kind("Partner"), "SpoSiteExternalUserAdded");
            assert_eq!(kind("Member"), "SpoSiteInternalUserAdded");
            assert_eq!(kind("SecurityGroup"), "SpoSiteInternalUserAdded");
        }
    }
}

#[test]
fn labels_count_when_they_are_lowered_or_removed() {
    let event = |kind: i64| json!({"SensitivityLabelEventData": {"LabelEventType": kind}});
    assert_eq!(indicator(83, "SensitivityLabelRemoved", &json!({})), "SpoFileLabelRemoved");
    assert_eq!(indicator(83, "SensitivityLabelUpdated", &event(2)), "SpoFileLabelDowngraded");
    assert_eq!(indicator(83, "SensitivityLabelUpdated", &event(1)), "ignored");
    assert_eq!(indicator(83, "SensitivityLabelUpdated", &event(4)), "ignored");
    assert_eq!(indicator(83, "SensitivityLabelUpdated", &json!({})), "ignored");
    let unknown = indicator(83, "SensitivityLabelUpdated", &event(9));
    assert_eq!(unknown, "! SensitivityLabelEventData.LabelEventType must be 0 to 4");
}

#[test]
fn devices() {
    for (operation, expected) in [
        ("FileCopiedToRemovableMedia", "CopyToUSB"),
        ("FileCreatedOnRemovableMedia", "CopyToUSB"),
        ("FileUploadedToCloud", "CopyToPersonalCloud"),
        ("FileCopiedToNetworkShare", "EpoCopyToNetworkShare"),
        ("FileCreatedOnNetworkShare", "EpoCopyToNetworkShare"),
        ("FileCopiedToRemoteDesktopSession", "EpoFileCopiedToRemoteDesktopSession"),
        ("FileCopiedToClipboard", "EpoCopyToClipboardFromSensitiveFile"),
        ("FilePrinted", "Print"),
        ("FileTransferredByBluetooth", "EpoFileTransferredByBluetooth"),
        ("FileAccessedByUnallowedApp", "ignored"),
        ("FileArchived", "EpoFileArchived"),
        ("FileRenamed", "EpoFileRenamed"),
        ("FileDeleted", "EpoFileDeleted"),
        ("FileRead", "EpoSensitiveFileRead"),
        ("FileCreated", "ignored"),
        ("FileModified", "ignored"),
        ("FileMoved", "ignored"),
        ("FileDownloadedFromBrowser", "EpoFileDownloadedFromEnterpriseDomain"),
        ("RemovableMediaMount", "EpoRemovableMediaMount"),
        ("RemovableMediaUnlockedmount", "EpoRemovableMediaMount"),
        ("DLPRuleMatch", "ignored"),
    ] {
        assert_eq!(indicator(63, operation, &json!({"Workload": "Endpoint"})), expected, "{operation}");
    }
}

#[test]
fn a_device_record_says_what_went_where() {
    for (operation, changes, expected) in [
        (
            "FileCopiedToRemovableMedia",
            json!({"TargetFilePath": "E:\\plan.docx"}),
            "CopyToUSB | FileCopiedToRemovableMedia | C:\\plan.docx | E:\\plan.docx | None | alex@contoso.com",
        ),
        (
            "FileUploadedToCloud",
            json!({"TargetDomain": "drive.fabrikam.com", "TargetUrl": "https://drive.fabrikam.com/x"}),
            "CopyToPersonalCloud | FileUploadedToCloud | C:\\plan.docx | drive.fabrikam.com | None | alex@contoso.com",
        ),
        (
            "fileuploadedtocloud",
            json!({"TargetUrl": "https://drive.fabrikam.com/x", "SensitivityLabelEventData": {"SensitivityLabelId": "l"}}),
            "CopyToPersonalCloud | FileUploadedToCloud | C:\\plan.docx | https://drive.fabrikam.com/x | General | alex@contoso.com",
        ),
        (
            "FilePrinted",
            json!({"TargetPrinterName": "Lobby"}),
            "Print | FilePrinted | C:\\plan.docx | Lobby | None | alex@contoso.com",
        ),
        (
            "FileRenamed",
            json!({"UserId": "CONTOSO\\alex"}),
            "EpoFileRenamed | FileRenamed | C:\\plan.docx |  | None | contoso\\alex",
        ),
    ] {
        let mut base = base(63, operation);
        base["ObjectId"] = json!("C:\\plan.docx");
        assert_eq!(activity(&with(&base, &changes)), expected);
    }
}

#[test]
fn mail_counts_when_an_attachment_goes_outside() {
    let mail = |attachments: &str, to: &[&str]| {
        let list: Vec<_> = to.iter().map(|to| json!({"Address": to, "Name": "x"})).collect();
        json!({"Item": {"Subject": "s", "Attachments": attachments}, "recipientList": list})
    };
    let both = mail("plan.docx (12345b)", &["kim@fabrikam.com", "sam@contoso.com"]);
    for operation in ["Send", "SendAs", "SendOnBehalf"] {
        for record_type in [2, 3, 50] {
            assert_eq!(
                activity(&with(&base(record_type, operation), &both)),
                format!(
                    "EmailExternal | {operation} | plan.docx | kim@fabrikam.com | None | alex@contoso.com"
                )
            );
        }
        let named = with(&both, &json!({"RecordType": "ExchangeItemAggregated"}));
        assert!(activity(&with(&base(2, operation), &named.parse().unwrap())).starts_with("EmailExternal"));
        assert_eq!(indicator(99, operation, &both), "ignored", "no mailbox audit");
    }
    assert_eq!(indicator(2, "Send", &mail("plan.docx (1b)", &["sam@contoso.com"])), "ignored");
    assert_eq!(indicator(2, "Send", &mail("", &["kim@fabrikam.com"])), "ignored");
    assert_eq!(indicator(2, "Send", &json!({"Item": {"Attachments": "plan.docx (1b)"}})), "ignored");
    let inside_item = json!({"Item": {
        "Attachments": "a (1).docx (3b); b.txt (4b)", "RecipientList": [{"Address": "kim@fabrikam.com"}],
    }});
    assert_eq!(
        activity(&with(&base(2, "Send"), &inside_item)),
        "EmailExternal | Send | a (1).docx; b.txt | kim@fabrikam.com | None | alex@contoso.com"
    );
    let nameless = json!({"Item": {"Attachments": "a"}, "recipientList": [{"Name": "Kim"}]});
    assert_eq!(indicator(2, "Send", &nameless), "! recipientList[0].Address is missing");
    assert_eq!(indicator(43, "MipLabel", &json!({"Receivers": ["kim@fabrikam.com"]})), "ignored");
}

#[test]
fn forwarding_counts_when_it_leads_outside() {
    let parameter = |name: &str, value: &str| json!({"Parameters": [{"Name": name, "Value": value}]});
    for operation in ["New-InboxRule", "Set-Mailbox"] {
        for name in ["ForwardTo", "ForwardAsAttachmentTo", "ForwardingSmtpAddress", "RedirectTo"] {
            let record = parameter(name, "smtp:kim@fabrikam.com");
            assert_eq!(indicator(1, operation, &record), "MailForwardingRuleExternal", "{operation} {name}");
        }
        assert_eq!(indicator(1, operation, &parameter("ForwardTo", "sam@contoso.com")), "ignored");
        assert_eq!(indicator(1, operation, &parameter("ForwardTo", "")), "ignored");
        assert_eq!(indicator(1, operation, &parameter("MoveToFolder", "kim@fabrikam.com")), "ignored");
    }
    assert_eq!(
        indicator(1, "Set-CalendarProcessing", &parameter("ForwardTo", "kim@fabrikam.com")),
        "ignored"
    );
}

#[test]
fn teams_counts_when_somebody_outside_takes_part() {
    let members = |upn: &str| json!({"Members": [{"UPN": "alex@contoso.com"}, {"UPN": upn}]});
    let foreign = json!({"ParticipantInfo": {"HasForeignTenantUsers": true}, "ChannelType": "Shared"});
    assert_eq!(indicator(25, "ChatCreated", &members("kim@fabrikam.com")), "TeamsChatFileSharedExternal");
    assert_eq!(indicator(25, "ChatCreated", &members("sam@contoso.com")), "ignored");
    assert_eq!(indicator(25, "MessageCreatedHasLink", &foreign), "TeamsChannelFileSharedExternal");
    assert_eq!(
        activity(&with(&base(25, "MessageCreatedHasLink"), &members("kim@fabrikam.com"))),
        "TeamsChatFileSharedExternal | MessageCreatedHasLink |  | kim@fabrikam.com | None | alex@contoso.com"
    );
}

#[test]
fn power_bi_and_generative_ai() {
    assert_eq!(indicator(20, "ExportReport", &json!({})), "PowerBIReportsExported");
    assert_eq!(indicator(20, "DownloadReport", &json!({})), "PowerBIReportsDownloaded");
    assert_eq!(indicator(20, "ViewReport", &json!({})), "PowerBIReportsViewed");
    for (record_type, operation) in
        [(261, "CopilotInteraction"), (284, "AIAppInteraction"), (328, "ConnectedAIAppInteraction")]
    {
        assert_eq!(indicator(record_type, operation, &json!({})), "ignored");
    }
}

#[test]
fn the_traps_of_the_format_are_read_through() {
    let read = "SpoDownload";
    for changes in [
        json!({"RecordType": "6", "UserType": "0", "Version": "1"}),
        json!({"RecordType": "SharePointFileOperation", "UserType": "Regular"}),
        json!({"CreationTime": "2026-05-04 12:30:00"}),
        json!({"CreationTime": "2026-05-04T12:30:00.1234567Z"}),
        json!({"Operation": "FILEDOWNLOADED"}),
        json!({"Unknown": {"Deep": [1.5e300, {"x": null}]}, "UserType": null}),
        json!({"UserType": 10}),
        json!({"UserId": "6f1f3c1e-2b4a-4d5e-8f90-123456789abc"}),
    ] {
        assert_eq!(indicator(6, "FileDownloaded", &changes), read, "{changes}");
    }
    let lower_case = with(&base(6, "FileDownloaded"), &json!({})).replace("\"RecordType\"", "\"recordtype\"");
    assert!(activity(&lower_case.replace("\"UserId\"", "\"userid\"")).starts_with(read));
    assert!(activity(&format!("\u{FEFF}{lower_case}")).starts_with(read));
}

#[test]
fn services_are_nobody_and_what_they_did_is_ignored() {
    for user in ["app@sharepoint", "SHAREPOINT\\system", "NT AUTHORITY\\SYSTEM (w3wp)", "DlpAgent"] {
        assert_eq!(indicator(6, "FileDownloaded", &json!({"UserId": user})), "ignored", "{user}");
    }
    for kind in 3..=8 {
        assert_eq!(indicator(6, "FileDownloaded", &json!({"UserType": kind})), "ignored", "{kind}");
    }
    assert_eq!(indicator(6, "FileDownloaded", &json!({"UserType": "System"})), "ignored");
    for kind in [0, 1, 2, 9, 10] {
        assert_eq!(indicator(6, "FileDownloaded", &json!({"UserType": kind})), "SpoDownload", "{kind}");
    }
}

#[test]
fn what_a_record_must_have_is_asked_for_by_name_all_at_once() {
    for (changes, expected) in [
        (json!({"Id": null}), "! Id is missing"),
        (json!({"Id": "a\u{200b}"}), "! Id must not hold control, bidirectional or zero-width characters"),
        (json!({"CreationTime": null}), "! CreationTime is missing"),
        (json!({"UserId": "  "}), "! UserId is missing"),
        (
            json!({"UserId": "alex"}),
            "! UserId is not of the form user@domain, a GUID, S-1-... or domain\\account",
        ),
        (
            json!({"UserId": "\u{212a}im@contoso.com"}),
            "! UserId holds a character that no account name may hold",
        ),
        (json!({"RecordType": [6]}), "! RecordType must be a number or a name"),
        (json!({"UserType": 11}), "! UserType must be one of the user types 0 to 10"),
        (json!({"UserType": "Robot"}), "! UserType must be one of the user types 0 to 10"),
        (
            json!({"Id": null, "RecordType": null, "UserId": null}),
            "! Id is missing; RecordType is missing; UserId is missing",
        ),
        (json!({"Id": "x".repeat(129)}), "! Id must be at most 128 bytes"),
        (json!({"ID": "b"}), "! Id stands twice"),
    ] {
        assert_eq!(activity(&with(&base(6, "FileDownloaded"), &changes)), expected);
    }
    let late = activity(&with(&base(6, "FileDownloaded"), &json!({"CreationTime": "yesterday"})));
    assert!(late.starts_with("! CreationTime must be a UTC time such as"), "{late}");
    assert_eq!(activity("{\"a\":1}"), "unknown format");
    assert_eq!(activity("[]"), "unknown format");
    assert_eq!(activity("{\"a\":"), "not JSON");
}

#[test]
fn a_long_object_keeps_its_file_name_and_a_long_destination_its_start() {
    let long = format!("https://contoso.sharepoint.com/{}/plan.docx", "é".repeat(9_000));
    let changes = json!({"ItemType": "File", "ObjectId": long, "TargetUserOrGroupName": "k".repeat(9_000)});
    let shown = activity(&with(&base(14, "AnonymousLinkCreated"), &changes));
    let parts: Vec<_> = shown.split(" | ").collect();
    assert!(parts[2].ends_with("é/plan.docx") && (4095..=4096).contains(&parts[2].len()));
    assert_eq!(parts[3].len(), 2048);
}

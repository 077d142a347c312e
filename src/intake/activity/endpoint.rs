//! Devices: RecordType 63.

use crate::intake::activity::{Found, Sign, first_text};
use crate::intake::field::Field;

/// Operation, indicator, and where the record says that the data went.
#[rustfmt::skip]
const OPERATIONS: &[(&str, &str, &[&str])] = &[
    ("FileCopiedToRemovableMedia", "CopyToUSB", &["TargetFilePath"]),
    ("FileCreatedOnRemovableMedia", "CopyToUSB", &["TargetFilePath"]),
    ("FileUploadedToCloud", "CopyToPersonalCloud", &["TargetDomain", "TargetUrl"]),
    ("FileCopiedToNetworkShare", "EpoCopyToNetworkShare", &["TargetFilePath"]),
    ("FileCreatedOnNetworkShare", "EpoCopyToNetworkShare", &["TargetFilePath"]),
    ("FileCopiedToRemoteDesktopSession", "EpoFileCopiedToRemoteDesktopSession", &["TargetFilePath"]),
    ("FileCopiedToClipboard", "EpoCopyToClipboardFromSensitiveFile", &["Application"]),
    ("FilePrinted", "Print", &["TargetPrinterName"]),
    ("FileTransferredByBluetooth", "EpoFileTransferredByBluetooth", &["TargetFilePath"]),
    ("FileArchived", "EpoFileArchived", &["TargetFilePath"]),
    ("FileRenamed", "EpoFileRenamed", &[]),
    ("FileDeleted", "EpoFileDeleted", &[]),
    ("FileRead", "EpoSensitiveFileRead", &[]),
    // The record does not say that the organisation disallows the domain, which would be ...BlacklistedDomain [I].
    ("FileDownloadedFromBrowser", "EpoFileDownloadedFromEnterpriseDomain", &[]),
    ("RemovableMediaMount", "EpoRemovableMediaMount", &[]),
    ("RemovableMediaUnlockedmount", "EpoRemovableMediaMount", &[]),
];

pub(super) fn sign(record: Field<'_>, operation: &str) -> Found {
    let row = OPERATIONS.iter().find(|(name, ..)| name.eq_ignore_ascii_case(operation));
    let Some(&(operation, indicator, destination)) = row else { return Ok(None) };
    let destination = if destination.is_empty() { String::new() } else { first_text(record, destination)? };
    let object_name = first_text(record, &["ObjectId"])?;
    Ok(Some(Sign { indicator, operation, object_name, destination }))
}

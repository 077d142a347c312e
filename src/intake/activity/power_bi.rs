//! Power BI reports. With which record type the first two come is not sure, so the operation alone decides.

use crate::intake::activity::{Found, Sign, first_text};
use crate::intake::field::Field;
use crate::intake::management_record::Common;

const OPERATIONS: [(&str, &str); 3] = [
    ("ExportReport", "PowerBIReportsExported"),
    ("DownloadReport", "PowerBIReportsDownloaded"),
    ("ViewReport", "PowerBIReportsViewed"),
];

pub(super) fn sign(record: Field<'_>, common: &Common<'_>) -> Found {
    let row = OPERATIONS.iter().find(|(name, _)| name.eq_ignore_ascii_case(&common.operation));
    let Some(&(operation, indicator)) = row else { return Ok(None) };
    let object_name = first_text(record, &["ReportName", "ObjectId"])?;
    Ok(Some(Sign { indicator, operation, object_name, destination: String::new() }))
}

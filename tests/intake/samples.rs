//! Every collected sample, and what comes of each of its records. `tests/samples/SOURCES.txt` says where they are
//! from.

use crate::outcome;
use riskshare::intake;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

/// File, records, and the outcome of each record as a DLP alert, as an activity and as a risk alert.
struct Row(&'static str, std::ops::Range<usize>, &'static str, &'static str, &'static str);

const UNKNOWN: &str = "unknown format";
const NO_DLP_RECORD: &str = "! RecordType must be of a DLP record: 11, 13, 40, 63 or 108";
const NOT_40: &str = "! RecordType must be 40";
const NO_TYPE: &str = "! RecordType is missing";
const OTHER_THAN_DLP: &str = "! serviceSource must be dataLossPrevention or microsoftDataLossPrevention";
const OTHER_THAN_IRM: &str = "! serviceSource must be microsoftInsiderRiskManagement";

const ADVANCED_HUNTING: &str = "advanced-hunting-alertinfo-alertevidence.json";
const NO_UPN: &str = "demisto-alerts-v2-no-upn.json";
const INCIDENTS: &str = "demisto-incidents-list-dlp.json";
const DUPLICATES: &str = "demisto-management-activity-duplicates.json";
const IDENTITY: &str = "graph-alerts-v2-identity.json";
const SETTINGS: &str = "irm-tenant-settings.json";
const BLOB: &str = "management-api-content-blob.json";
const FORWARDING: &str = "o365-exchange-admin-forwarding-recordtype1.json";
const SHARING: &str = "o365-sharepoint-sharing-recordtype14.json";

#[rustfmt::skip]
const TABLE: &[Row] = &[
    // Streaming envelopes, not alerts.
    Row(ADVANCED_HUNTING, 0..2, UNKNOWN, UNKNOWN, UNKNOWN),
    // Defender for Endpoint.
    Row(NO_UPN, 0..1, OTHER_THAN_DLP, UNKNOWN, OTHER_THAN_IRM),
    // Incidents, not alerts.
    Row(INCIDENTS, 0..2, UNKNOWN, UNKNOWN, UNKNOWN),
    // Without RecordType nobody can say whether SharePoint or a device deleted a file.
    Row(DUPLICATES, 0..5, NO_TYPE, NO_TYPE, NO_TYPE),
    // Defender for Identity and for Cloud.
    Row(IDENTITY, 0..4, OTHER_THAN_DLP, UNKNOWN, OTHER_THAN_IRM),
    Row(SETTINGS, 0..1, UNKNOWN, UNKNOWN, UNKNOWN),
    // Sign-ins and directory changes: well formed, of no indicator.
    Row(BLOB, 0..3, NO_DLP_RECORD, "ignored", NOT_40),
    Row(FORWARDING, 0..1, NO_DLP_RECORD, "MailForwardingRuleExternal | Set-Mailbox | homer.simpson@simpsons.onmicrosoft.com | peter.griffin@familyguy.com | None | homer.simpson@simpsons.onmicrosoft.com", NOT_40),
    // To the user's own domain.
    Row(FORWARDING, 1..2, NO_DLP_RECORD, "ignored", NOT_40),
    Row(FORWARDING, 2..3, NO_DLP_RECORD, "MailForwardingRuleExternal | New-InboxRule | Delete and Forward Rule | external@example.com | None | homer.simpson@simpsons.onmicrosoft.com", NOT_40),
    Row(FORWARDING, 3..4, NO_DLP_RECORD, "MailForwardingRuleExternal | New-InboxRule | Multiple Forward Rule | external1@example.com; external2@example.com; external3@example.com | None | homer.simpson@simpsons.onmicrosoft.com", NOT_40),
    Row(FORWARDING, 4..5, NO_DLP_RECORD, "MailForwardingRuleExternal | Set-Mailbox | Invalid/Path/Format | hello@familyguy.com | None | homer.simpson@simpsons.onmicrosoft.com", NOT_40),
    Row(FORWARDING, 5..6, NO_DLP_RECORD, "MailForwardingRuleExternal | Set-Mailbox | ABC1.prod.outlook.com/Microsoft Exchange Hosted Organizations/simpsons.onmicrosoft.com/homer.simpson | hello@familyguy.com | None | homer.simpson@simpsons.onmicrosoft.com", NOT_40),
    // To a subdomain of the user's.
    Row(FORWARDING, 6..7, NO_DLP_RECORD, "ignored", NOT_40),
    Row(FORWARDING, 7..8, NO_DLP_RECORD, "MailForwardingRuleExternal | Set-Mailbox | homer.simpson@simpsons.onmicrosoft.com | evil@simpsons2.com | None | homer.simpson@simpsons.com", NOT_40),
    // To the user's own domain; then a rule that forwards nothing.
    Row(FORWARDING, 8..10, NO_DLP_RECORD, "ignored", NOT_40),
    Row(SHARING, 0..1, NO_DLP_RECORD, "SpoFileSharing | AddedToSecureLink | https://yourorg.sharepoint.com/personal/user_yourorg/Documents/importantsecrets.docx | OUTSIDER@ALLOWEDDOMAIN.COM | None | my.user@yourorg.onmicrosoft.com", NOT_40),
    Row(SHARING, 1..2, NO_DLP_RECORD, "SpoFileSharing | AddedToSecureLink | https://yourorg.sharepoint.com/personal/user_yourorg/Documents/External/public.docx | MARKETING@SAAS.COM | None | my.user@yourorg.onmicrosoft.com", NOT_40),
    Row(SHARING, 2..3, NO_DLP_RECORD, "SpoFileSharing | AddedToSecureLink | https://yourorg.sharepoint.com/personal/user_yourorg/Documents/importantsecrets.docx | EXCEPTION@OUTSIDER.COM | None | my.user@yourorg.onmicrosoft.com", NOT_40),
    Row(SHARING, 3..4, NO_DLP_RECORD, "SpoFileSharing | AddedToSecureLink | https://yourorg.sharepoint.com/personal/user_yourorg/Documents/importantsecrets.docx | OUTSIDER@EXTERNAL.IO | None | my.user@yourorg.onmicrosoft.com", NOT_40),
    // `NotGuest` is no type that Microsoft has.
    Row(SHARING, 4..5, NO_DLP_RECORD, "! TargetUserOrGroupType must be Member, Guest, Group, SharePointGroup, SecurityGroup or Partner", NOT_40),
];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/samples")
}

#[test]
fn every_sample_is_in_the_table_and_nothing_else_is() {
    let paths = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let samples = paths.filter(|path| path.extension().is_none_or(|extension| extension != "txt"));
    let files: BTreeSet<_> =
        samples.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    let listed: BTreeSet<_> = TABLE.iter().map(|row| row.0.to_owned()).collect();
    assert_eq!(files, listed);
}

#[test]
fn every_record_of_every_sample_is_read_or_refused_as_the_table_says() {
    for name in TABLE.iter().map(|row| row.0).collect::<BTreeSet<_>>() {
        let file = fs::read(folder().join(name)).unwrap();
        let records = intake::records(&file).unwrap();
        let mut next = 0;
        for Row(_, range, dlp_alert, activity, risk_alert) in TABLE.iter().filter(|row| row.0 == name) {
            assert_eq!(range.start, next, "{name}: the table is in order and has no gap");
            next = range.end;
            for (at, record) in records.iter().enumerate().take(range.end).skip(range.start) {
                let json = record.as_ref().unwrap();
                assert_eq!(outcome::dlp_alert(json), *dlp_alert, "{name}[{at}] as a DLP alert");
                assert_eq!(outcome::activity(json), *activity, "{name}[{at}] as an activity");
                assert_eq!(outcome::risk_alert(json), *risk_alert, "{name}[{at}] as a risk alert");
            }
        }
        assert_eq!(next, records.len(), "{name}: the table covers every record");
    }
}

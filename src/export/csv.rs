//! Risk alerts as comma-separated values (RFC 4180), for spreadsheets. The columns are stable: new ones come last.

use crate::domain::risk_alert::{Origin, RiskAlert, Status};
use chrono::{DateTime, SecondsFormat, Utc};
use csv::{Terminator, WriterBuilder};
use std::borrow::Cow;

/// The columns.
pub const COLUMNS: [&str; 11] = [
    "Alert ID",
    "User",
    "Policy ID",
    "Policy",
    "Severity",
    "Score",
    "Status",
    "Raised by",
    "Time detected (UTC)",
    "Last updated (UTC)",
    "Time closed (UTC)",
];

/// An alert with what is beside it in a row.
pub struct Row<'a> {
    /// The alert.
    pub alert: &'a RiskAlert,
    /// The user, as may be shown.
    pub user: String,
    /// The policy's name.
    pub policy: &'a str,
}

/// Returns rows as text, behind the names of the columns if `with_columns`.
#[must_use]
pub fn text<'a>(rows: impl IntoIterator<Item = Row<'a>>, with_columns: bool) -> String {
    let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(Vec::new());
    if with_columns {
        writer.write_record(COLUMNS).expect("memory takes everything");
    }
    for row in rows {
        writer.write_record(cells(&row).iter().map(|cell| inert(cell).into_owned())).expect("as above");
    }
    let bytes = writer.into_inner().expect("nothing is left to be written that could fail");
    String::from_utf8(bytes).expect("texts were written")
}

fn cells(row: &Row<'_>) -> [String; COLUMNS.len()] {
    let RiskAlert { id, policy, severity, score, status, origin, created_at, updated_at, closed_at } =
        row.alert;
    [
        id.as_str().to_owned(),
        row.user.clone(),
        policy.as_str().to_owned(),
        row.policy.to_owned(),
        severity.word().to_owned(),
        score.to_string(),
        word(*status).to_owned(),
        if *origin == Origin::Engine { "riskshare" } else { "import" }.to_owned(),
        second(*created_at),
        second(*updated_at),
        closed_at.map(second).unwrap_or_default(),
    ]
}

/// Returns the state in the product's words (`domain.md` 1.2).
pub(super) fn word(status: Status) -> &'static str {
    match status {
        Status::NeedsReview => "Needs review",
        Status::Confirmed => "Confirmed",
        Status::Resolved => "Resolved",
        Status::Dismissed => "Dismissed",
    }
}

fn second(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Keeps a spreadsheet from taking a text for a formula: what begins like one gets an apostrophe in front, which
/// spreadsheets do not show.
fn inert(text: &str) -> Cow<'_, str> {
    let is_formula = text.trim_start().starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠'])
        || text.starts_with(['\t', '\r', '\n']);
    if is_formula { Cow::Owned(format!("'{text}")) } else { Cow::Borrowed(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{PolicyId, RiskAlertId};
    use crate::domain::severity::Severity;

    fn alert(id: &str) -> RiskAlert {
        RiskAlert {
            id: RiskAlertId::new(id).unwrap(),
            policy: PolicyId::new("leaks").unwrap(),
            severity: Severity::High,
            score: 81,
            status: Status::NeedsReview,
            origin: Origin::Engine,
            created_at: "2026-11-24T10:00:00.25Z".parse().unwrap(),
            updated_at: "2026-11-24T11:00:00Z".parse().unwrap(),
            closed_at: None,
        }
    }

    fn row<'a>(alert: &'a RiskAlert, policy: &'a str) -> Row<'a> {
        Row { alert, user: "AnonAB1-234".to_owned(), policy }
    }

    #[test]
    fn a_row_is_what_a_spreadsheet_reads() {
        let closed = RiskAlert {
            status: Status::Dismissed,
            origin: Origin::Imported { exfiltration: true },
            closed_at: "2026-11-24T12:00:00Z".parse().ok(),
            ..alert("b")
        };
        let open = alert("a");
        let expected = "Alert ID,User,Policy ID,Policy,Severity,Score,Status,Raised by,Time detected (UTC),\
                        Last updated (UTC),Time closed (UTC)\r\n\
                        a,AnonAB1-234,leaks,\"Leaks, all\",High,81,Needs review,riskshare,2026-11-24T10:00:00Z,\
                        2026-11-24T11:00:00Z,\r\n\
                        b,AnonAB1-234,leaks,\"The \"\"big\"\" one\",High,81,Dismissed,import,2026-11-24T10:00:00Z,\
                        2026-11-24T11:00:00Z,2026-11-24T12:00:00Z\r\n";
        assert_eq!(text([row(&open, "Leaks, all"), row(&closed, "The \"big\" one")], true), expected);
        assert_eq!(text([], false), "");
    }

    #[test]
    fn a_text_that_begins_like_a_formula_is_none() {
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\t=1", "＝1", "\n=1"] {
            let alert = alert("a");
            let text = text([row(&alert, formula)], false);
            assert!(text.contains(&format!("'{formula}")), "{text:?}");
        }
        let alert = alert("a");
        assert!(!text([row(&alert, "a=1")], false).contains('\''));
    }
}

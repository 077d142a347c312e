//! An enriched alert as a person reads it.

use crate::cli::sparkline::sparkline;
use crate::cli::terminal::{Paint, cell, path_cell, visible};
use crate::domain::dlp_alert::DlpAlert;
use crate::pb;
use chrono::{DateTime, Utc};
use prost_types::Timestamp;

/// Where the text beside a label begins.
const LABEL: usize = 11;
const INDICATOR: usize = 24;
const OBJECT: usize = 48;
const DESTINATION: usize = 32;

/// Draws alerts.
#[derive(Clone, Copy, Debug)]
pub struct AlertView {
    /// With which colours.
    pub paint: Paint,
    /// At most so many activities of each actor.
    pub activities: usize,
}

impl AlertView {
    /// Draws an alert: its own facts as far as this side can read them, the column, and the actors.
    #[must_use]
    pub fn draw(self, own: Option<&DlpAlert>, alert: &pb::EnrichedAlert) -> String {
        let mut lines = vec![self.paint.heading(&format!("DLP alert {}", visible(&alert.alert_id)))];
        lines.extend(own.into_iter().flat_map(facts));
        let column = self.paint.severity(&visible(&alert.severity_text));
        lines.push(format!("  Insider risk severity: {column}"));
        lines.extend(validity(alert).map(|line| self.paint.aside(&line)));
        for (number, actor) in (1..).zip(&alert.actors) {
            lines.push(String::new());
            lines.extend(self.actor(number, actor));
        }
        lines.join("\n") + "\n"
    }

    fn actor(self, number: usize, actor: &pb::Actor) -> Vec<String> {
        let name = visible(&actor.user.as_ref().map(name).unwrap_or_default());
        let severity = self.paint.severity(&format!("{:<8}", visible(&actor.severity_text)));
        let score = if actor.score > 0 { format!("score {}", actor.score) } else { String::new() };
        let mut lines = vec![format!("  {number}. {severity}{score:<11}{}", self.paint.heading(&name))];
        if actor.ambiguous {
            lines.push(labelled(
                "Note",
                "the alert's keys fit several known people: the highest level is shown",
            ));
        }
        if actor.truncated {
            lines.push(labelled(
                "Note",
                "reasons and activities are left out: the alert involves too many users",
            ));
        }
        lines.extend(block("Why", actor.reasons.iter().map(|reason| visible(&reason.text))));
        lines.extend(actor.summary.iter().flat_map(summary));
        lines.extend(block("Latest", self.latest(actor)));
        lines
    }

    fn latest(self, actor: &pb::Actor) -> impl Iterator<Item = String> {
        let shown = actor.activities.iter().take(self.activities).map(activity);
        let total = actor.summary.as_ref().map_or(0, |summary| summary.total);
        let older = usize::try_from(total).unwrap_or_default().saturating_sub(shown.len());
        let rest = (older > 0 && shown.len() > 0).then(|| self.paint.aside(&format!("and {older} older")));
        shown.chain(rest)
    }
}

/// Returns what the alert says of itself.
fn facts(own: &DlpAlert) -> Vec<String> {
    let severity = own.severity.map(|severity| format!("{severity:?}"));
    let raised = own.created_at.map(|at| at.format("%Y-%m-%d %H:%M UTC").to_string());
    let facts = [
        ("Title", Some(visible(&own.title))),
        ("Policy", Some(visible(&own.policy_name))),
        ("Raised", raised),
        ("Severity", severity.map(|severity| severity + " (the alert's own)")),
    ];
    let known = facts.into_iter().filter_map(|(label, fact)| Some((label, fact?)));
    known.filter(|(_, fact)| !fact.is_empty()).map(|(label, fact)| format!("  {label:<9} {fact}")).collect()
}

fn validity(alert: &pb::EnrichedAlert) -> Option<String> {
    let (as_of, until) = (instant(alert.as_of.as_ref())?, instant(alert.valid_until.as_ref())?);
    Some(format!("  as of {as_of}, at the latest until {until} (UTC)"))
}

fn summary(summary: &pb::ActivitySummary) -> Vec<String> {
    let window = summary.window.clone().unwrap_or_default();
    let of = if summary.total == 1 { "activity" } else { "activities" };
    let mut total = format!(
        "{} exfiltration {of} in the {} days to {}",
        summary.total,
        window.days,
        visible(&window.end_day)
    );
    if summary.unusual_total > 0 {
        let unusual = format!(", {} on unusual days", summary.unusual_total);
        total.push_str(&unusual);
    }
    let by_indicator =
        summary.by_indicator.iter().map(|total| format!("{} {}", visible(&total.indicator), total.count));
    let by_indicator = by_indicator.collect::<Vec<_>>().join(", ");
    let lines = [Some(total), Some(by_indicator).filter(|text| !text.is_empty())];
    let mut lines = block("Activity", lines.into_iter().flatten());
    lines.extend(sparkline(summary).map(|drawn| labelled("Timeline", &drawn)));
    lines
}

fn activity(activity: &pb::Activity) -> String {
    let mut line = format!(
        "{}  {:<INDICATOR$} {}",
        instant(activity.occurred_at.as_ref()).unwrap_or_default(),
        cell(&activity.indicator, INDICATOR),
        path_cell(&activity.object_name, OBJECT),
    );
    if !activity.destination.is_empty() {
        let destination = format!(" -> {}", cell(&activity.destination, DESTINATION));
        line.push_str(&destination);
    }
    line
}

/// Returns the name of a user to show, and one key.
#[must_use]
pub fn name(user: &pb::UserIdentity) -> String {
    let first_address = user.smtp_addresses.first().cloned().unwrap_or_default();
    let keys = [&user.upn, &first_address, &user.account_name, &user.sid, &user.entra_object_id];
    let key = keys.into_iter().find(|key| !key.is_empty()).cloned().unwrap_or_default();
    if user.display_name.is_empty() { key } else { format!("{} <{key}>", user.display_name) }
}

/// Returns the lines, the first with a label.
fn block(label: &str, lines: impl IntoIterator<Item = String>) -> Vec<String> {
    let labels = std::iter::once(label).chain(std::iter::repeat(""));
    labels.zip(lines).map(|(label, line)| labelled(label, &line)).collect()
}

fn labelled(label: &str, line: &str) -> String {
    format!("     {label:<LABEL$}{line}")
}

fn instant(at: Option<&Timestamp>) -> Option<String> {
    let at = at?;
    let at: DateTime<Utc> = DateTime::from_timestamp(at.seconds, u32::try_from(at.nanos).ok()?)?;
    Some(at.format("%Y-%m-%d %H:%M").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> AlertView {
        AlertView { paint: Paint::plain(), activities: 1 }
    }

    #[test]
    fn an_alert_of_a_tenant_that_does_not_share_shows_the_column_alone() {
        let alert = pb::EnrichedAlert {
            alert_id: "da-1".to_owned(),
            severity_text: "User data is not available".to_owned(),
            ..Default::default()
        };
        assert_eq!(
            view().draw(None, &alert),
            "DLP alert da-1\n  Insider risk severity: User data is not available\n"
        );
    }

    #[test]
    fn an_actor_whose_details_are_left_out_says_so() {
        let actor = pb::Actor { severity_text: "High".to_owned(), truncated: true, ..Default::default() };
        let alert = pb::EnrichedAlert { actors: vec![actor], ..Default::default() };
        let drawn = view().draw(None, &alert);
        assert!(drawn.contains("reasons and activities are left out: the alert involves too many users"));
    }

    #[test]
    fn an_actor_is_shown_with_reasons_summary_timeline_and_latest_activities() {
        let noon = |day: i64| Some(Timestamp { seconds: (20_780 + day) * 86_400 + 43_200, nanos: 0 });
        let window = pb::ActivityWindow {
            start_day: "2026-07-28".to_owned(),
            end_day: "2026-11-24".to_owned(),
            days: 120,
        };
        let summary = pb::ActivitySummary {
            window: Some(window),
            total: 3,
            unusual_total: 2,
            by_indicator: vec![pb::IndicatorTotal {
                indicator: "CopyToUSB".to_owned(),
                count: 3,
                ..Default::default()
            }],
            by_day: vec![pb::DayTotal { day: "2026-11-23".to_owned(), count: 3, unusual_count: 2 }],
        };
        let copy = |day, name: &str| pb::Activity {
            occurred_at: noon(day),
            indicator: "CopyToUSB".to_owned(),
            object_name: name.to_owned(),
            destination: "E:\\".to_owned(),
            ..Default::default()
        };
        let actor = pb::Actor {
            user: Some(pb::UserIdentity {
                upn: "alex@contoso.com".to_owned(),
                display_name: "Alex\u{1b} Smith".to_owned(),
                ..Default::default()
            }),
            severity_text: "Medium".to_owned(),
            score: 34,
            reasons: vec![pb::Reason {
                text: "3 activities of CopyToUSB on 2026-11-23 (Medium)".to_owned(),
                ..Default::default()
            }],
            summary: Some(summary),
            activities: vec![copy(1, "C:\\b.docx"), copy(0, "C:\\a.docx")],
            ..Default::default()
        };
        let alert = pb::EnrichedAlert {
            alert_id: "da-1".to_owned(),
            severity_text: "Medium".to_owned(),
            as_of: noon(2),
            valid_until: noon(3),
            actors: vec![actor],
            ..Default::default()
        };
        let drawn = view().draw(None, &alert);
        assert_eq!(
            drawn.lines().collect::<Vec<_>>(),
            [
                "DLP alert da-1",
                "  Insider risk severity: Medium",
                "  as of 2026-11-25 12:00, at the latest until 2026-11-26 12:00 (UTC)",
                "",
                "  1. Medium  score 34   Alex\u{FFFD} Smith <alex@contoso.com>",
                "     Why        3 activities of CopyToUSB on 2026-11-23 (Medium)",
                "     Activity   3 exfiltration activities in the 120 days to 2026-11-24, 2 on unusual days",
                "                CopyToUSB 3",
                "     Timeline   2026-10-28 ··························█· 2026-11-24  by day, at most 3",
                "     Latest     2026-11-24 12:00  CopyToUSB                C:\\b.docx -> E:\\",
                "                and 2 older",
            ]
        );
    }
}

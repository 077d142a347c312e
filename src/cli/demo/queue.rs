//! The demo's alert queue as a table.

use crate::cli::demo::story::{QueuedAlert, Tenant};
use crate::cli::terminal::{Paint, cell, visible};
use crate::intake;
use crate::pb;
use crate::pb::enrich_alert_result;

const HEADINGS: [&str; 5] = ["TENANT", "DLP ALERT", "READ FROM", "INSIDER RISK SEVERITY", "WHAT TO SEE"];
const TITLE: usize = 40;

/// One row: a cell for each heading.
type Row = [String; 5];

/// A queue that grows tenant by tenant.
#[derive(Default)]
pub struct Queue(Vec<Row>);

impl Queue {
    /// Adds the alerts of a tenant and what the server answered for each.
    pub fn add(&mut self, tenant: &Tenant, results: &[pb::EnrichAlertResult]) {
        for (alert, result) in tenant.queue.iter().zip(results) {
            self.0.push([
                tenant.name.to_owned(),
                cell(&title(alert), TITLE),
                alert.format.to_owned(),
                column(result),
                alert.shows.to_owned(),
            ]);
        }
    }

    /// Draws it.
    #[must_use]
    pub fn draw(&self, paint: Paint) -> String {
        let width = |column: usize| {
            let cells = self.0.iter().map(|row| &*row[column]).chain([HEADINGS[column]]);
            cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
        };
        let widths = [0, 1, 2, 3, 4].map(width);
        let padded = |row: [&str; 5]| {
            let cells = row.into_iter().zip(widths);
            cells.map(|(cell, width)| format!("{cell:<width$}")).collect::<Vec<_>>()
        };
        let mut text = paint.heading(padded(HEADINGS).join("  ").trim_end()) + "\n";
        for row in &self.0 {
            let mut cells = padded([&row[0], &row[1], &row[2], &row[3], &row[4]]);
            cells[3] = paint.severity(&cells[3]);
            cells[4] = paint.aside(row[4].trim_end());
            text.push_str(cells.join("  ").trim_end());
            text.push('\n');
        }
        text
    }
}

/// Returns the alert's title as its own JSON has it; a record of a match has the policy's name only.
fn title(alert: &QueuedAlert) -> String {
    match intake::dlp_alert(&alert.raw.to_string()) {
        Ok(own) if own.title.is_empty() => format!("DLP match: {}", own.policy_name),
        Ok(own) => own.title,
        Err(_) => String::new(),
    }
}

fn column(result: &pb::EnrichAlertResult) -> String {
    match &result.result {
        Some(enrich_alert_result::Result::Alert(alert)) => visible(&alert.severity_text),
        Some(enrich_alert_result::Result::Refusal(refusal)) => visible(&refusal.message),
        None => String::new(),
    }
}

//! `riskshare ingest`.

use crate::cli::Ran;
use crate::cli::connection::Target;
use crate::cli::failure::Failure;
use crate::cli::feed::{Feed, batches};
use crate::cli::input::Input;
use crate::cli::terminal;
use crate::cli::terminal::visible;
use crate::intake;
use crate::pb;
use crate::pb::IngestOutcome;
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::process::ExitCode;

/// Ingest audit records from files.
///
/// Reads Office 365 Management Activity API audit records: a JSON array, a list in `value`, JSON Lines or a single
/// record; docs/formats.md says which fields are read. Sends them in batches of up to 1,000 and prints what became
/// of them. Records that the server knows already are counted as duplicates, so it is safe to run it again.
///
/// Lists each record that was rejected, or contradicts what is known, on stderr: the file, the record's index
/// counted from 0, the field and the reason. Then the exit code is 1.
#[derive(Args, Debug)]
pub struct Ingest {
    /// Files to read; - is stdin.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<Input>,
    #[command(flatten)]
    target: Target,
    /// Repeat a call at most so many times while the server cannot be reached or is overloaded.
    #[arg(long, value_name = "COUNT", default_value_t = 5, value_parser = clap::value_parser!(u32).range(..=20))]
    retries: u32,
}

impl Ingest {
    /// Ingests the files one after the other.
    pub async fn run(self) -> Ran {
        let mut feed = Feed::new(self.target.connect()?, self.target.tenant.clone(), self.retries);
        let mut report = Report::default();
        for file in &self.files {
            if let Err(failure) = report.ingest(&mut feed, file, &self.target).await {
                terminal::say(&report.counts())?;
                return Err(failure);
            }
        }
        terminal::say(&report.counts())?;
        Ok(if report.all_taken() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// What became of the records so far.
#[derive(Default)]
struct Report {
    files: usize,
    unreadable: usize,
    total: pb::IngestCounts,
}

/// A record of a file, and its index there.
type Numbered<'f> = (usize, &'f str);

impl Report {
    /// Ingests one file. A file that cannot be read is a line of the report; the others are still taken.
    async fn ingest(&mut self, feed: &mut Feed, file: &Input, target: &Target) -> Result<(), Failure> {
        self.files += 1;
        let bytes = match file.read(intake::FILE_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(failure) => {
                self.leave_out(&failure.to_string());
                return Ok(());
            }
        };
        let records = match intake::records(&bytes) {
            Ok(records) => records,
            Err(error) => {
                self.leave_out(&format!("riskshare: {file}: {error}"));
                return Ok(());
            }
        };
        let bar = progress_bar(file, records.len());
        let mut readable: Vec<Numbered<'_>> = Vec::with_capacity(records.len());
        for (index, record) in records.into_iter().enumerate() {
            match record {
                Ok(record) => readable.push((index, record)),
                Err(error) => self.reject(&bar, file, index, &error.to_string()),
            }
        }
        let sent = self.send(feed, file, &readable, &bar).await;
        bar.finish_and_clear();
        sent.map_err(|status| target.failure(status))
    }

    async fn send(
        &mut self,
        feed: &mut Feed,
        file: &Input,
        records: &[Numbered<'_>],
        bar: &ProgressBar,
    ) -> Result<(), tonic::Status> {
        let sizes: Vec<_> = records.iter().map(|(_, record)| record.len()).collect();
        for range in batches(&sizes) {
            let batch = &records[range];
            let texts: Vec<_> = batch.iter().map(|(_, record)| *record).collect();
            let answer = feed.send(&texts).await?;
            self.add(&answer.counts.unwrap_or_default());
            bar.suspend(|| list(file, batch, &answer.results));
            bar.inc(batch.len() as u64);
        }
        Ok(())
    }

    fn leave_out(&mut self, why: &str) {
        self.unreadable += 1;
        eprintln!("{why}");
    }

    /// Notes a record that never became a record.
    fn reject(&mut self, bar: &ProgressBar, file: &Input, index: usize, why: &str) {
        self.total.rejected += 1;
        bar.suspend(|| eprintln!("{file}[{index}]: {why}"));
        bar.inc(1);
    }

    fn add(&mut self, counts: &pb::IngestCounts) {
        let total = &mut self.total;
        total.accepted += counts.accepted;
        total.duplicate += counts.duplicate;
        total.conflict += counts.conflict;
        total.outside_window += counts.outside_window;
        total.ignored += counts.ignored;
        total.rejected += counts.rejected;
    }

    fn all_taken(&self) -> bool {
        self.unreadable == 0 && self.total.rejected == 0 && self.total.conflict == 0
    }

    fn counts(&self) -> String {
        let total = &self.total;
        let lines = [
            ("accepted", total.accepted, ""),
            ("duplicate", total.duplicate, "known already"),
            ("outside window", total.outside_window, "before the 120-day horizon, not kept"),
            ("ignored", total.ignored, "no activity of a person"),
            ("conflict", total.conflict, "contradicts what is known, not kept"),
            ("rejected", total.rejected, "cannot be read, not kept"),
        ];
        let mut text = String::new();
        for (label, count, meaning) in lines {
            text.push_str(format!("{label:<15} {count:>9}  {meaning}").trim_end());
            text.push('\n');
        }
        if self.unreadable > 0 {
            let unreadable = format!("{} of {} files could not be read\n", self.unreadable, self.files);
            text.push_str(&unreadable);
        }
        text
    }
}

/// Lists the records of a batch that a person should look at.
fn list(file: &Input, batch: &[Numbered<'_>], results: &[pb::IngestResult]) {
    for result in results {
        let kind = match result.outcome() {
            IngestOutcome::Rejected => "",
            IngestOutcome::Conflict => "conflict: ",
            _ => continue,
        };
        let record = usize::try_from(result.index).ok().and_then(|index| batch.get(index));
        let index = record.map_or_else(|| "?".to_owned(), |(index, _)| index.to_string());
        let field = if result.field.is_empty() { String::new() } else { format!("{}: ", result.field) };
        eprintln!("{file}[{index}]: {kind}{}{}", visible(&field), visible(&result.description));
    }
}

/// Returns a bar for a person at a terminal; elsewhere it draws nothing.
fn progress_bar(file: &Input, records: usize) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(records as u64), ProgressDrawTarget::stderr());
    let style =
        ProgressStyle::with_template("{prefix} [{bar:30}] {human_pos} of {human_len} records, {eta} left");
    if let Ok(style) = style {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_prefix(file.to_string());
    bar
}

//! `riskshare migrate-store`.

use crate::cli::Ran;
use crate::cli::terminal;
use crate::config::{Config, Sources};
use crate::store::embedded::{EmbeddedSource, EmbeddedTarget};
use crate::store::moving::{Counts, Kind, Part, Source, Target, abandon, move_all};
use crate::store::postgres::{PostgresSource, PostgresTarget};
use anyhow::anyhow;
use clap::{Args, ValueEnum};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

/// Move everything from the embedded store to PostgreSQL, or back.
///
/// Takes facts, settings, risk alerts, what is due for export, what was exported, notes and the audit log to the byte.
/// Stop the server first, and run `riskshare migrate` on a new database. The target must be empty. A move that was cut
/// off goes on where it was when it is run again; at the end everything is counted in both.
///
/// From its beginning on the source is not served any more, and the target not before the end: `serve` refuses. The
/// source is left as it is. --abandon gives it back, whether the move has ended or not, and makes the target useless;
/// what was written there since is lost.
#[derive(Args, Debug)]
pub struct MigrateStore {
    /// Where everything is.
    #[arg(long, value_name = "ENGINE")]
    from: Engine,
    /// Where it goes.
    #[arg(long, value_name = "ENGINE")]
    to: Engine,
    /// Give the source back instead.
    #[arg(long)]
    abandon: bool,
    /// Read settings from this TOML file; RISKSHARE_CONFIG without it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder of the embedded store.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// The database: postgres://user:password@host/database.
    #[arg(long, value_name = "URL")]
    postgres_url: Option<String>,
    /// Read that from this file.
    #[arg(long, value_name = "FILE")]
    postgres_url_file: Option<String>,
    /// Speak TLS with the server, whose certificate an authority in this PEM file signed.
    #[arg(long, value_name = "FILE")]
    postgres_ca: Option<String>,
}

/// Where a store is kept.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
enum Engine {
    /// The folder `data_dir`.
    Embedded,
    /// The database of `postgres.url`.
    Postgres,
}

impl Engine {
    fn name(self) -> &'static str {
        match self {
            Self::Embedded => "the embedded store",
            Self::Postgres => "PostgreSQL",
        }
    }

    async fn source(self, config: &Config) -> anyhow::Result<Box<dyn Source>> {
        Ok(match self {
            Self::Embedded => Box::new(EmbeddedSource::open(&config.data_dir)?),
            Self::Postgres => Box::new(PostgresSource::open(&config.postgres.address()?).await?),
        })
    }

    async fn target(self, config: &Config) -> anyhow::Result<Box<dyn Target>> {
        Ok(match self {
            Self::Embedded => Box::new(EmbeddedTarget::open(&config.data_dir)?),
            Self::Postgres => Box::new(PostgresTarget::open(&config.postgres.address()?).await?),
        })
    }
}

impl MigrateStore {
    /// Moves a store, or gives it back.
    pub async fn run(self) -> Ran {
        let (from, to) = (self.from, self.to);
        if from == to {
            return Err(anyhow!("--from and --to must be different").into());
        }
        let give_back = self.abandon;
        let config = self.config()?;
        if !config.postgres.is_used() {
            return Err(anyhow!("no database is named: set postgres.url or postgres.url_file").into());
        }
        let (mut source, mut target) = (from.source(&config).await?, to.target(&config).await?);
        if give_back {
            abandon(&mut *source, &mut *target).await.map_err(anyhow::Error::from)?;
            terminal::say(&format!("{} can be served again, and {} cannot\n", from.name(), to.name()))?;
            return Ok(ExitCode::SUCCESS);
        }
        let progress = Progress::of(&source.counts().await.map_err(anyhow::Error::from)?);
        let moved = move_all(&mut *source, &mut *target, &mut |part, size| progress.add(part, size)).await;
        progress.end();
        terminal::say(&report(&moved.map_err(anyhow::Error::from)?, to))?;
        Ok(ExitCode::SUCCESS)
    }

    fn config(self) -> Result<Config, anyhow::Error> {
        let flags = [
            ("data_dir", self.data_dir),
            ("postgres.url", self.postgres_url),
            ("postgres.url_file", self.postgres_url_file),
            ("postgres.ca", self.postgres_ca),
        ];
        let flags = flags.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
        Ok(Sources::of_process(flags, self.config).load()?)
    }
}

/// Says what is there now.
fn report(counts: &Counts, to: Engine) -> String {
    let mut text = format!("{} holds everything now; the counts are those of the source:\n", to.name());
    for kind in Kind::ALL {
        let line = format!("  {:<24} {:>12}\n", kind, counts.get(kind));
        text.push_str(&line);
    }
    text
}

/// Bars for a person at a terminal; elsewhere they draw nothing.
struct Progress(BTreeMap<Part, ProgressBar>);

impl Progress {
    fn of(there: &Counts) -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let bar = |part: Part| {
            let bar = all.add(ProgressBar::new(there.of_part(part)));
            let style =
                ProgressStyle::with_template("{prefix:8} [{bar:30}] {human_pos} of {human_len}, {eta} left");
            if let Ok(style) = style {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.set_prefix(part.name());
            (part, bar)
        };
        Self(Part::ALL.into_iter().filter(|part| there.of_part(*part) > 0).map(bar).collect())
    }

    fn add(&self, part: Part, size: u64) {
        if let Some(bar) = self.0.get(&part) {
            bar.inc(size);
        }
    }

    fn end(&self) {
        self.0.values().for_each(ProgressBar::finish_and_clear);
    }
}

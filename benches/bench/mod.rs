//! What the benches share: real programs as children, a closed loop of calls, and tables of medians.
//!
//! Each bench runs `riskshare serve` and an echo of the same message sizes in one run, in turn, and reports the ratio:
//! on a machine that does other things as well, it says more than either figure.
#![allow(dead_code, reason = "each bench uses its part")]

pub mod echo;
pub mod issuer;
pub mod load;
pub mod plot;
pub mod program;
pub mod secure;
pub mod table;
pub mod tenant;

use anyhow::Result;
use clap::Parser;
use load::Load;
use secure::Security;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use tokio::runtime::Builder;

/// The echo has the server's allocator, so that ratios are of what calls do.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How much is measured, and where.
#[derive(Parser, Debug)]
pub struct Options {
    /// Measure a twentieth in one round: only shows that it works.
    #[arg(long)]
    quick: bool,
    /// Measure so many rounds [default: 5].
    #[arg(long, value_name = "COUNT")]
    rounds: Option<NonZeroUsize>,
    /// Ask for answers over so many connections [default: the bench's own].
    #[arg(long, value_name = "COUNT")]
    connections: Option<NonZeroUsize>,
    /// Keep so many calls in flight on each of them [default: the bench's own].
    #[arg(long, value_name = "COUNT")]
    in_flight: Option<NonZeroUsize>,
    /// Keep data in this folder, on the disk that is to be measured; cleared up at the end.
    #[arg(long, value_name = "FOLDER", default_value = env!("CARGO_TARGET_TMPDIR"))]
    pub folder: PathBuf,
    /// Measure the PostgreSQL engine over this database, which is empty but for the schema.
    #[arg(long, value_name = "URL")]
    pub postgres_url: Option<String>,
    /// Speak TLS, with tokens, and have the server measure itself: the two benches of reading.
    #[arg(long)]
    secured: bool,
    /// Draw what is measured into this folder, as SVG: the bench of curves.
    #[arg(long, value_name = "FOLDER")]
    pub draw: Option<PathBuf>,
    /// Find the services that are compared with in this folder, to which `benches/peers/prepare` has put them.
    #[arg(long, value_name = "FOLDER", default_value = concat!(env!("CARGO_TARGET_TMPDIR"), "/../peers"))]
    pub peers: PathBuf,
    /// Is given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
    /// Be the echo.
    #[arg(long, hide = true)]
    echo: Option<echo::Echoes>,
    /// Speak TLS as the echo, with this certificate and the private key beside it.
    #[arg(long, hide = true)]
    certificate: Option<PathBuf>,
}

impl Options {
    /// Returns how often everything is measured.
    pub fn rounds(&self) -> usize {
        self.rounds.map_or(if self.quick { 1 } else { 5 }, NonZeroUsize::get)
    }

    /// Returns how many calls are made at once.
    pub fn load(&self, usual: Load) -> Load {
        Load {
            connections: self.connections.map_or(usual.connections, NonZeroUsize::get),
            in_flight: self.in_flight.map_or(usual.in_flight, NonZeroUsize::get),
        }
    }

    /// Returns what secures callers of a tenant, if anything is to.
    pub async fn security(&self, tenant: &str) -> Result<Option<Security>> {
        if self.secured { Ok(Some(Security::new(tenant).await?)) } else { Ok(None) }
    }

    /// Says whether this only shows that it works.
    pub fn is_quick(&self) -> bool {
        self.quick
    }

    /// Returns how many of `full` there are.
    pub fn scale(&self, full: usize) -> usize {
        if self.quick { full.div_ceil(20) } else { full }
    }
}

/// Runs a bench, or the echo that it has started. Does nothing under `cargo test`: a debug build measures nothing.
pub fn main(measure: impl AsyncFnOnce(&Options) -> Result<()>) -> Result<()> {
    let options = Options::parse();
    if let Some(echoes) = options.echo {
        return echo::serve(echoes, options.certificate.as_deref());
    }
    if !options.bench {
        println!("measures only when `cargo bench` runs it");
        return Ok(());
    }
    // One thread, so that a core is left for what is measured.
    Builder::new_current_thread().enable_all().build()?.block_on(measure(&options))
}

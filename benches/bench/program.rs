//! The programs that are measured, each a process of its own, so that its CPU time can be told from the caller's.

use crate::bench::Options;
use crate::bench::secure::Security;
use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// The unit of CPU time in `/proc`, the same on all of Linux.
const TICK: Duration = Duration::from_millis(10);

/// A server on a free port of this machine. Killed when dropped.
pub struct Program {
    child: Child,
    address: SocketAddr,
    data: Option<TempDir>,
}

impl Program {
    /// Starts `riskshare serve` over no data, with its defaults.
    pub fn riskshare(options: &Options) -> Result<Self> {
        let data = TempDir::new_in(&options.folder)?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_riskshare"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data.path().join("data"));
        if let Some(url) = &options.postgres_url {
            command.args(["--postgres-url", url]);
        }
        Self::start(command, Some(data)).context("riskshare did not start")
    }

    /// Asks the server to end, waits for that, and starts it anew over the same data, with more flags.
    pub fn again(mut self, flags: &[String]) -> Result<Self> {
        self.end()?;
        self.anew(flags)
    }

    /// Asks the server to end, and waits for that.
    pub fn end(&mut self) -> Result<()> {
        let id = Pid::from_child(&self.child);
        kill_process(id, Signal::TERM)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "it ended with {status}");
        Ok(())
    }

    /// Kills the server if it has not ended, and starts it anew.
    pub fn anew(mut self, flags: &[String]) -> Result<Self> {
        let data = self.data.take().context("it has no data")?;
        drop(self);
        let mut command = Command::new(env!("CARGO_BIN_EXE_riskshare"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data.path().join("data"));
        command.args(flags);
        Self::start(command, Some(data)).context("riskshare did not start anew")
    }

    /// Starts `riskshare serve` over a database, with its defaults.
    pub fn replica(url: &str) -> Result<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_riskshare"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--postgres-url", url]);
        Self::start(command, None).context("a replica did not start")
    }

    /// Starts another program, which says where it listens as `riskshare serve` does.
    pub fn other(command: Command) -> Result<Self> {
        Self::start(command, None)
    }

    /// Returns the server and an echo, both of them secured if that is given: then the server is started anew.
    pub fn beside_echo(self, security: Option<&Security>) -> Result<(Self, Self)> {
        match security {
            None => Ok((self, Self::echo()?)),
            Some(security) => Ok((self.again(&security.flags())?, Self::secured_echo(security)?)),
        }
    }

    /// Starts the echo with the runtime and transport of `riskshare serve`.
    pub fn echo() -> Result<Self> {
        Self::echo_of("ours")
    }

    /// Starts the echo as tonic sets it up.
    pub fn plain_echo() -> Result<Self> {
        Self::echo_of("tonic")
    }

    /// Starts the echo with the runtime and transport of `riskshare serve`, which speaks TLS.
    fn secured_echo(security: &Security) -> Result<Self> {
        let [certificate, _] = security.files();
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--echo", "ours", "--certificate"]).arg(certificate);
        Self::start(command, None).context("the echo did not start")
    }

    fn echo_of(echoes: &str) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--echo", echoes]);
        Self::start(command, None).context("the echo did not start")
    }

    fn start(mut command: Command, data: Option<TempDir>) -> Result<Self> {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        let said = child.stdout.take();
        let mut program = Self { child, address: SocketAddr::from(([0, 0, 0, 0], 0)), data };
        let mut line = String::new();
        BufReader::new(said.context("no stdout")?).read_line(&mut line)?;
        let (_, address) = line.trim().rsplit_once("://").context("it does not say where it listens")?;
        program.address = address.parse()?;
        Ok(program)
    }

    /// Returns its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns where its data are.
    pub fn data(&self) -> Option<&Path> {
        self.data.as_ref().map(TempDir::path)
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the CPU time of all its threads up to now, in user and kernel.
    pub fn cpu(&self) -> Result<Duration> {
        cpu_of(self.child.id())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the CPU time of a process up to now, by Linux.
pub fn cpu_of(process: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name of the program is in brackets and may hold anything.
    let (_, fields) = stat.rsplit_once(')').context("no CPU time")?;
    let mut ticks = fields.split_whitespace().skip(11);
    let user: u32 = ticks.next().context("no CPU time")?.parse()?;
    let kernel: u32 = ticks.next().context("no CPU time")?.parse()?;
    Ok(TICK * (user + kernel))
}

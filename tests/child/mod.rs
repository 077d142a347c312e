//! The real program as a child process.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tonic::transport::Channel;

/// A `riskshare serve` on a free port. Killed when dropped.
pub struct Server {
    child: Child,
    address: String,
}

impl Server {
    /// Starts it over the data in a folder, and returns when it says where it listens.
    pub fn start(data: &Path) -> Self {
        Self::start_at(data, "127.0.0.1:0")
    }

    /// Starts it at a given address.
    pub fn start_at(data: &Path, listen: &str) -> Self {
        Self::start_with(data, listen, &[])
    }

    /// Starts it at a given address with further arguments.
    pub fn start_with(data: &Path, listen: &str, arguments: &[&str]) -> Self {
        Self::start_in(data, listen, arguments, &[])
    }

    /// Starts it with more in its environment.
    pub fn start_in(data: &Path, listen: &str, arguments: &[&str], environment: &[(&str, &Path)]) -> Self {
        Self::start_logging(data, listen, arguments, environment, Stdio::null())
    }

    /// Starts it with its log going to `log`.
    pub fn start_logging(
        data: &Path,
        listen: &str,
        arguments: &[&str],
        environment: &[(&str, &Path)],
        log: Stdio,
    ) -> Self {
        Self::start_program(program(), data, listen, arguments, environment, log)
    }

    /// Starts a build of the program that may be another one.
    pub fn start_program(
        mut program: Command,
        data: &Path,
        listen: &str,
        arguments: &[&str],
        environment: &[(&str, &Path)],
        log: Stdio,
    ) -> Self {
        let mut child = program
            .args(["serve", "--listen", listen, "--data-dir"])
            .arg(data.join("data"))
            .args(arguments)
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split_whitespace().last().expect("the server says where it listens").to_owned();
        Self { child, address }
    }

    /// Returns its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns where it serves, as a URL.
    pub fn address(&self) -> &str {
        &self.address
    }

    pub async fn connect(&self) -> Channel {
        Channel::from_shared(self.address.clone()).unwrap().connect().await.unwrap()
    }

    /// Ends it with SIGTERM, which it must take as an orderly end.
    pub fn stop(&mut self) {
        let id = self.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }

    /// Ends it with SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the program, which would refuse the variables of longer runs.
pub fn program() -> Command {
    program_at(Path::new(env!("CARGO_BIN_EXE_riskshare")))
}

/// Returns a build of the program, likewise.
pub fn program_at(path: &Path) -> Command {
    let mut command = Command::new(path);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("RISKSHARE_TEST_") {
            command.env_remove(name);
        }
    }
    command
}

/// Reads a number from the environment.
#[expect(clippy::disallowed_methods, reason = "the size of a longer run")]
pub fn number_from(variable: &str) -> Option<usize> {
    std::env::var(variable).ok()?.parse().ok()
}

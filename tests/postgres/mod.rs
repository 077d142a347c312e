//! A PostgreSQL server of the tests' own: in a temporary folder, on a socket there, and gone with the process.
#![allow(dead_code, reason = "each test binary uses its part")]

pub mod link;
pub mod pair;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;

/// A server in a folder, which ends with this process.
pub struct Server {
    folder: PathBuf,
    /// Whoever runs the server waits for this pipe to close.
    runner: Child,
}

static SERVER: LazyLock<(Server, TempDir)> = LazyLock::new(|| {
    let folder = folder();
    initdb(folder.path());
    (Server::start(folder.path(), "-c fsync=off -c max_connections=300 -c shared_buffers=64MB"), folder)
});

/// Returns a folder in which the server's user can write.
pub fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    assert!(Command::new("chmod").arg("777").arg(folder.path()).status().unwrap().success());
    folder
}

/// Makes an empty cluster in a folder.
pub fn initdb(folder: &Path) {
    let data = folder.join("data");
    let made = as_postgres(&program("initdb"))
        .arg("--pgdata")
        .arg(data)
        .args(["--auth=trust", "--username=postgres", "--no-sync", "--encoding=UTF8", "--locale=C"])
        .output()
        .expect("initdb runs: install PostgreSQL");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// PostgreSQL refuses to run as root, as containers do.
fn as_postgres(program: &Path) -> Command {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
    if !is_root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]).arg(program);
    command
}

/// Finds a program of the server, which distributions keep off the path.
fn program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> =
        versions.map(|version| version.path().join("bin").join(name)).filter(|path| path.is_file()).collect();
    found.sort();
    found.pop().unwrap_or_else(|| PathBuf::from(name))
}

impl Server {
    /// Starts the server of a folder with further options, and returns once it answers.
    pub fn start(folder: &Path, options: &str) -> Self {
        let serve = format!(
            "\"$1\" -D \"$2/data\" -k \"$2\" -c listen_addresses= {options} >>\"$2/log\" 2>&1 & server=$!; \
             cat >/dev/null; kill -INT $server"
        );
        let runner = as_postgres(Path::new("sh"))
            .args(["-c", &serve, "sh"])
            .arg(program("postgres"))
            .arg(folder)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let server = Self { folder: folder.to_owned(), runner };
        while !server.run("SELECT 1") {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        server
    }

    /// Runs a statement, and says whether that went well.
    pub fn run(&self, sql: &str) -> bool {
        self.ask(sql).is_some()
    }

    /// Runs a statement and returns what it prints, if it went well.
    pub fn ask(&self, sql: &str) -> Option<String> {
        self.ask_in("postgres", sql)
    }

    /// Runs a statement in a database and returns what it prints, if it went well.
    pub fn ask_in(&self, database: &str, sql: &str) -> Option<String> {
        let mut command = Command::new("psql");
        command.arg("-h").arg(&self.folder).args(["-U", "postgres", "-d", database, "-qtAc", sql]);
        let output = command.output().unwrap();
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Returns the id of the process that begins all others.
    #[must_use]
    pub fn pid(&self) -> String {
        let pid = std::fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap();
        pid.lines().next().unwrap().to_owned()
    }

    /// Lets it do nothing any more, though its connections stay.
    pub fn freeze(&self) {
        let pid = self.pid();
        assert!(Command::new("kill").args(["-STOP", &pid]).status().unwrap().success());
        let _ = Command::new("pkill").args(["-STOP", "-P", &pid]).status().unwrap();
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        let pid = self.pid();
        let _ = Command::new("pkill").args(["-CONT", "-P", &pid]).status().unwrap();
        assert!(Command::new("kill").args(["-CONT", &pid]).status().unwrap().success());
    }

    /// Ends it and all its processes at once, as a power cut would.
    pub fn kill(mut self) {
        let pid = self.pid();
        assert!(Command::new("kill").args(["-STOP", &pid]).status().unwrap().success());
        let _ = Command::new("pkill").args(["-KILL", "-P", &pid]).status().unwrap();
        assert!(Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
        let _ = self.runner.kill();
        let _ = self.runner.wait();
        // Where nobody buries the dead, the server's id goes on existing, and its lock with it.
        let _ = std::fs::remove_file(self.folder.join(".s.PGSQL.5432.lock"));
        let _ = std::fs::remove_file(self.folder.join("data/postmaster.pid"));
    }

    /// Makes a standby of it, in the place of whatever is in the folder.
    pub fn make_standby(&self, folder: &Path) {
        let data = folder.join("data");
        assert!(Command::new("rm").arg("-rf").arg(&data).status().unwrap().success());
        let from = format!("host={} user=postgres application_name=standby", self.folder.display());
        let copied = as_postgres(&program("pg_basebackup"))
            .args(["--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync"])
            .args(["--dbname", &from, "--pgdata"])
            .arg(data)
            .output()
            .unwrap();
        assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
    }
}

/// A database of its own, which goes when it is dropped.
pub struct Database(String);

impl Database {
    /// Makes an empty one, or one like another.
    #[must_use]
    pub fn like(template: Option<&Self>) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let template = template.map_or("template0", |template| &template.0);
        assert!(SERVER.0.run(&format!("CREATE DATABASE {name} TEMPLATE {template}")));
        Self(name)
    }

    /// Returns where it is.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_by(&Self::folder().display().to_string())
    }

    /// Returns where it is by another way to the server.
    #[must_use]
    pub fn url_by(&self, folder: &str) -> String {
        format!("host={folder} user=postgres dbname={}", self.0)
    }

    /// Returns the folder of the server's socket.
    #[must_use]
    pub fn folder() -> PathBuf {
        SERVER.0.folder.clone()
    }
}

impl Database {
    /// Runs a statement in it and returns what it prints, if it went well.
    #[must_use]
    pub fn ask(&self, sql: &str) -> Option<String> {
        SERVER.0.ask_in(&self.0, sql)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        SERVER.0.run(&format!("DROP DATABASE {} WITH (FORCE)", self.0));
    }
}

//! A PostgreSQL server of the tests' own: in a temporary folder, on a socket there, and gone with the process.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;

/// A server in a folder of its own, which ends with this process.
struct Server {
    folder: TempDir,
    /// Whoever runs the server waits for this pipe to close.
    _runner: Child,
}

static SERVER: LazyLock<Server> = LazyLock::new(Server::start);

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
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap().to_owned();
        // The server's user must be able to write there.
        assert!(Command::new("chmod").args(["777", &path]).status().unwrap().success());
        let initdb = as_postgres(&program("initdb"))
            .args(["--pgdata", &format!("{path}/data"), "--auth=trust", "--username=postgres", "--no-sync"])
            .args(["--encoding=UTF8", "--locale=C"])
            .output()
            .expect("initdb runs: install PostgreSQL");
        assert!(initdb.status.success(), "{}", String::from_utf8_lossy(&initdb.stderr));
        let serve = "\"$1\" -D \"$2/data\" -k \"$2\" -c listen_addresses= -c fsync=off -c max_connections=300 \
                     -c shared_buffers=64MB >\"$2/log\" 2>&1 & server=$!; cat >/dev/null; kill -INT $server";
        let runner = as_postgres(Path::new("sh"))
            .args(["-c", serve, "sh"])
            .arg(program("postgres"))
            .arg(&path)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let server = Self { folder, _runner: runner };
        while !server.run("SELECT 1") {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        server
    }

    fn run(&self, sql: &str) -> bool {
        let mut command = Command::new("psql");
        command.args(["-h", self.folder.path().to_str().unwrap(), "-U", "postgres", "-qc", sql]);
        command.output().unwrap().status.success()
    }

    fn url(&self, database: &str) -> String {
        format!("host={} user=postgres dbname={database}", self.folder.path().display())
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
        assert!(SERVER.run(&format!("CREATE DATABASE {name} TEMPLATE {template}")));
        Self(name)
    }

    /// Returns where it is.
    #[must_use]
    pub fn url(&self) -> String {
        SERVER.url(&self.0)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        SERVER.run(&format!("DROP DATABASE {} WITH (FORCE)", self.0));
    }
}

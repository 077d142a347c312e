//! The suite of all engines over this one, with a database server of the tests' own.

use super::{Address, PostgresStore, migrate};
use crate::domain::risk_alert::evaluate;
use crate::store::Store;
use crate::store::conformance::Place;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
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
        assert!(server.run("CREATE DATABASE template"));
        let address = server.address("template");
        std::thread::spawn(move || block_on(async { migrate(&address).await.unwrap() })).join().unwrap();
        server
    }

    fn run(&self, sql: &str) -> bool {
        let mut command = Command::new("psql");
        command.args(["-h", self.folder.path().to_str().unwrap(), "-U", "postgres", "-qc", sql]);
        command.output().unwrap().status.success()
    }

    fn address(&self, database: &str) -> Address {
        let folder = self.folder.path().display();
        let url = format!("host={folder} user=postgres dbname={database}");
        Address { url, ca: None, connections: 16 }
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A database of one test.
struct There(String);

impl Place for There {
    const PAUSED: bool = false;

    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        assert!(SERVER.run(&format!("CREATE DATABASE {name} TEMPLATE template")));
        Self(name)
    }

    fn open(&self) -> Arc<dyn Store> {
        Arc::new(PostgresStore::lazy(&SERVER.address(&self.0), evaluate).unwrap())
    }
}

impl Drop for There {
    fn drop(&mut self) {
        SERVER.run(&format!("DROP DATABASE {} WITH (FORCE)", self.0));
    }
}

crate::conformance!(There, paused = false);

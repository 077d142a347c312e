//! A primary and its synchronous standby, which takes its place when it is killed.

use super::{Server, folder, initdb};
use std::time::Duration;

const OPTIONS: &str =
    "-c fsync=off -c max_connections=100 -c shared_buffers=64MB -c synchronous_commit=remote_apply";

/// The two.
pub struct Pair {
    folders: [tempfile::TempDir; 2],
    /// Which of the folders is the primary's.
    primary: usize,
    servers: [Option<Server>; 2],
}

impl Pair {
    /// Starts them, with a database `riskshare`.
    pub fn start() -> Self {
        let folders = [folder(), folder()];
        initdb(folders[0].path());
        let primary = Server::start(folders[0].path(), OPTIONS);
        assert!(primary.run("CREATE DATABASE riskshare"));
        let mut pair = Self { folders, primary: 0, servers: [Some(primary), None] };
        pair.add_standby();
        pair
    }

    fn primary(&self) -> &Server {
        self.servers[self.primary].as_ref().unwrap()
    }

    /// Makes a standby of the primary in the place of the server that is gone.
    pub fn add_standby(&mut self) {
        let other = 1 - self.primary;
        self.primary().make_standby(self.folders[other].path());
        self.servers[other] = Some(Server::start(self.folders[other].path(), OPTIONS));
        // ALTER SYSTEM commits nothing, so it does not wait for the standby that it names.
        assert!(self.primary().run("ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 (standby)'"));
        assert!(self.primary().run("SELECT pg_reload_conf()"));
        let is_sync = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        while self.primary().ask(is_sync).as_deref() != Some("1") {
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Kills the primary and promotes the standby.
    pub fn fail_over(&mut self) {
        self.servers[self.primary].take().unwrap().kill();
        self.primary = 1 - self.primary;
        assert!(self.primary().run("SELECT pg_promote()"));
    }

    /// Returns where the primary is, whichever it is.
    pub fn url(&self) -> String {
        let [one, other] = &self.folders;
        let hosts = format!("{},{}", one.path().display(), other.path().display());
        format!(
            "host={hosts} user=postgres dbname=riskshare target_session_attrs=read-write connect_timeout=2"
        )
    }
}

//! What health says: which services can answer at the moment, on the port of all services and on one of its own.
//! `docs/security.md` says what it tells whom.

use super::{Auditing, Enriching, IncidentPages, Ingesting, Resolving, Reviewing, SettingsOf};
use crate::store::{Condition, Store};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::server::NamedService;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

/// How often the store is asked what it can do.
const PERIOD: Duration = Duration::from_secs(1);

/// Every service, and the empty name, which stands for all of them together.
const NAMES: [&str; 8] = [
    Enriching::NAME,
    IncidentPages::NAME,
    Reviewing::NAME,
    Ingesting::NAME,
    SettingsOf::NAME,
    Auditing::NAME,
    Resolving::NAME,
    "",
];

/// The process: serving for as long as there is one, whatever the store can do and also while it drains. A restart, which
/// is what orchestrators do to a process that is not alive, would mend neither.
const LIVE: &str = "live";

/// The largest request of health, in bytes: a name.
pub const MESSAGE_BYTES_MAX: usize = 4 * 1_024;

/// What both ports say.
#[derive(Clone)]
pub struct Reporters {
    /// The port of all services.
    shared: HealthReporter,
    /// The port of health alone. It goes on when the other closes.
    own: HealthReporter,
}

impl Reporters {
    /// Says that the process lives, and that nothing serves yet.
    pub async fn begin() -> Self {
        let reporters = Self { shared: HealthReporter::new(), own: HealthReporter::new() };
        reporters.set(LIVE, ServingStatus::Serving).await;
        reporters.nothing_serves().await;
        reporters
    }

    /// Returns the service for the port of all services.
    pub fn shared(&self) -> HealthServer<HealthService> {
        service(&self.shared)
    }

    /// Returns the service for the port of health alone.
    pub fn own(&self) -> HealthServer<HealthService> {
        service(&self.own)
    }

    async fn set(&self, name: &str, status: ServingStatus) {
        self.shared.set_service_status(name, status).await;
        self.own.set_service_status(name, status).await;
    }

    async fn nothing_serves(&self) {
        for name in NAMES {
            self.set(name, ServingStatus::NotServing).await;
        }
    }
}

fn service(reporter: &HealthReporter) -> HealthServer<HealthService> {
    let service = HealthService::from_health_reporter(reporter.clone());
    HealthServer::new(service).max_decoding_message_size(MESSAGE_BYTES_MAX)
}

async fn let_go(reporter: &mut HealthReporter) {
    for name in NAMES.into_iter().chain([LIVE]) {
        reporter.clear_service_status(name).await;
    }
}

/// Says for each service whether it can answer, and follows what the store can do.
pub struct Health {
    reporters: Reporters,
    stop: watch::Sender<bool>,
    following: JoinHandle<()>,
}

impl Health {
    /// Says what a store can do from now on.
    pub async fn follow(reporters: Reporters, store: Arc<dyn Store>) -> Self {
        let condition = store.condition().await;
        say(&reporters, condition).await;
        let (stop, stopped) = watch::channel(false);
        let following = tokio::spawn(follow(reporters.clone(), store, condition, stopped));
        Self { reporters, stop, following }
    }

    /// Says from now on that no service serves; the process lives.
    pub async fn end(&mut self) {
        self.stop.send_replace(true);
        // What it said last must not come after what is said here.
        let _ = (&mut self.following).await;
        self.reporters.nothing_serves().await;
    }

    /// Lets go of whoever watches on the port of all services, so that it can close.
    pub async fn clear_shared(&mut self) {
        let_go(&mut self.reporters.shared).await;
    }

    /// Lets go of whoever watches on the port of health alone.
    pub async fn clear_own(mut self) {
        let_go(&mut self.reporters.own).await;
    }
}

async fn follow(
    reporters: Reporters,
    store: Arc<dyn Store>,
    mut said: Condition,
    mut stopped: watch::Receiver<bool>,
) {
    let mut period = tokio::time::interval(PERIOD);
    loop {
        tokio::select! {
            _ = period.tick() => {
                let condition = store.condition().await;
                if condition != said {
                    tracing::warn!(?condition, "what the store can do has changed");
                    say(&reporters, condition).await;
                    said = condition;
                }
            }
            _ = stopped.changed() => return, // It changes once.
        }
    }
}

async fn say(reporters: &Reporters, condition: Condition) {
    for name in NAMES {
        let status = if serves(name, condition) { ServingStatus::Serving } else { ServingStatus::NotServing };
        reporters.set(name, status).await;
    }
}

/// Says whether a service can do what it is for. Whoever reads users is written down, so nobody reads without the audit
/// log; facts come in without it.
fn serves(name: &str, Condition { reads, commits, audits }: Condition) -> bool {
    match name {
        Enriching::NAME | IncidentPages::NAME | Reviewing::NAME | Resolving::NAME => reads && audits,
        Ingesting::NAME => commits,
        SettingsOf::NAME => commits && audits,
        Auditing::NAME => audits,
        _ => reads && commits && audits,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serving(condition: Condition) -> Vec<&'static str> {
        NAMES.into_iter().filter(|name| serves(name, condition)).collect()
    }

    #[test]
    fn a_service_serves_while_the_store_can_do_what_it_needs() {
        let sound = Condition { reads: true, commits: true, audits: true };
        assert_eq!(serving(sound), NAMES);
        let readers =
            [Enriching::NAME, IncidentPages::NAME, Reviewing::NAME, Auditing::NAME, Resolving::NAME];
        assert_eq!(serving(Condition { commits: false, ..sound }), readers);
        assert_eq!(serving(Condition { audits: false, ..sound }), [Ingesting::NAME]);
        let writers = [Ingesting::NAME, SettingsOf::NAME, Auditing::NAME];
        assert_eq!(serving(Condition { reads: false, ..sound }), writers);
    }
}

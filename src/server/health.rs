//! What health says: which services can answer at the moment. `docs/security.md` says what it tells whom.

use super::{Auditing, Enriching, IncidentPages, Ingesting, Resolving, Reviewing, SettingsOf};
use crate::store::{Condition, Store};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::server::NamedService;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

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

/// Says for each service whether it can answer, and follows what the store can do.
pub struct Health {
    reporter: HealthReporter,
    stop: watch::Sender<bool>,
    following: JoinHandle<()>,
}

impl Health {
    /// Says what a store can do from now on.
    pub async fn follow(reporter: HealthReporter, store: Arc<dyn Store>) -> Self {
        let condition = store.condition().await;
        say(&reporter, condition).await;
        let (stop, stopped) = watch::channel(false);
        let following = tokio::spawn(follow(reporter.clone(), store, condition, stopped));
        Self { reporter, stop, following }
    }

    /// Says from now on that nothing serves.
    pub async fn end(&mut self) {
        self.stop.send_replace(true);
        // What it said last must not come after what is said here.
        let _ = (&mut self.following).await;
        for name in NAMES {
            self.reporter.set_service_status(name, ServingStatus::NotServing).await;
        }
    }

    /// Lets go of whoever watches.
    pub async fn clear(mut self) {
        for name in NAMES {
            self.reporter.clear_service_status(name).await;
        }
    }
}

async fn follow(
    reporter: HealthReporter,
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
                    say(&reporter, condition).await;
                    said = condition;
                }
            }
            _ = stopped.changed() => return, // It changes once.
        }
    }
}

async fn say(reporter: &HealthReporter, condition: Condition) {
    for name in NAMES {
        let status = if serves(name, condition) { ServingStatus::Serving } else { ServingStatus::NotServing };
        reporter.set_service_status(name, status).await;
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

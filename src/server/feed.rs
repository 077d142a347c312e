//! The parts of the feed of exported risk alerts: the API that SIEMs ask, and what is sent by itself.

use super::{StartError, bind};
use crate::auth::mode::authenticator;
use crate::clock::Clock;
use crate::config::Config;
use crate::delivery::Deliveries;
use crate::delivery::file::File;
use crate::delivery::sender::{Receiver, Sender};
use crate::delivery::syslog::{Syslog, Tls};
use crate::delivery::webhook::{Client, Webhooks};
use crate::engine::feed::Feed;
use crate::gate::admission::Gate;
use crate::gate::export::ExportGate;
use crate::http::management_api::{Api, rate, router};
use crate::store::Store;
use crate::transport;
use crate::transport::tls::Identity;
use crate::transport::{Protocol, Serving, Workers};
use chrono::TimeDelta;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// What all parts share.
pub struct FeedParts {
    feed: Arc<Feed>,
    gate: ExportGate,
    webhooks: Client,
}

impl FeedParts {
    /// Makes them.
    pub fn new(config: &Config, store: &Arc<dyn Store>, clock: &Arc<dyn Clock>) -> Result<Self, StartError> {
        let period = TimeDelta::minutes(config.export.cycle_minutes.into());
        let api = &config.management_api;
        Ok(Self {
            feed: Arc::new(Feed::new(Arc::clone(store), Arc::clone(clock), period)),
            gate: ExportGate::new(Arc::clone(store), Arc::clone(clock)),
            webhooks: Client::new(api.hosts(), api.authorities())?,
        })
    }

    /// Serves the API, if the configuration says so.
    pub async fn serve(
        &self,
        config: &Config,
        store: &Arc<dyn Store>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Option<(SocketAddr, Serving)>, StartError> {
        let settings = &config.management_api;
        let Some(address) = settings.address() else { return Ok(None) };
        let files = settings.tls(&config.tls, &config.auth);
        let identity = files.map(|files| Identity::load(files, Protocol::Http1)).transpose()?;
        let denials = config.limits.denials_per_minute;
        let gate = Gate::new(Arc::clone(store), Arc::clone(clock)).with_denials_a_minute(denials);
        let api = Api {
            authenticator: authenticator(&settings.auth(&config.auth), clock)?,
            gate,
            export: self.gate.clone(),
            feed: Arc::clone(&self.feed),
            webhooks: self.webhooks.clone(),
            clock: Arc::clone(clock),
            public_url: settings.public_url.clone(),
            tls: identity.is_some(),
            rate: rate(settings.requests_per_minute),
            time: Duration::from_secs(config.limits.query_seconds),
        };
        let listener = bind(address).await?;
        let address = listener.local_addr().map_err(|cause| StartError::Listen { address, cause })?;
        let (connections, workers) = (config.connections(), Workers::none());
        let serving =
            transport::serve(listener, Protocol::Http1, identity, connections, workers, router(api));
        tracing::info!(%address, "serving the Management Activity API");
        Ok(Some((address, serving)))
    }

    /// Returns what is sent by itself.
    pub fn deliveries(&self, config: &Config, clock: &Arc<dyn Clock>) -> Result<Deliveries, StartError> {
        let sender = |to| Sender { feed: Arc::clone(&self.feed), gate: self.gate.clone(), to };
        Ok(Deliveries {
            feed: Arc::clone(&self.feed),
            clock: Arc::clone(clock),
            webhooks: Webhooks {
                client: self.webhooks.clone(),
                feed: Arc::clone(&self.feed),
                gate: self.gate.clone(),
                clock: Arc::clone(clock),
                public_url: config.management_api.public_url.clone(),
                waiting: BTreeSet::new(),
                seen: 0,
            },
            senders: receivers(config)?.into_iter().map(sender).collect(),
            backlog_bytes: config.export.backlog_bytes,
        })
    }
}

/// Returns to whom risk alerts are sent.
pub fn receivers(config: &Config) -> Result<Vec<Box<dyn Receiver>>, StartError> {
    let mut receivers: Vec<Box<dyn Receiver>> = Vec::new();
    let export = &config.export;
    if let Some(place) = export.syslog.place() {
        let tls = place.tls.then(|| Tls::new(&place.host, &export.syslog.ca)).transpose()?;
        receivers.push(Box::new(Syslog { address: place.address, tls, format: export.syslog.format }));
    }
    if let Some(path) = export.file.place() {
        receivers.push(Box::new(File { path: path.to_owned(), format: export.file.format }));
    }
    Ok(receivers)
}

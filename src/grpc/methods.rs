//! What the transport must know of a method before its messages are read: whether messages stream, and how long a
//! call may take.

use crate::telemetry::CallOf;
use prost_reflect::{DescriptorError, DescriptorPool, MethodDescriptor};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// The service whose calls may take longer: it waits for the disk.
const INGEST: &str = "IngestService";

/// What metrics call services and methods that are not there: whoever makes names up makes no new series.
const UNKNOWN: &str = "unknown";

/// How long calls may take.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// A call of any service but ingest.
    pub query: Duration,
    /// A call of the ingest service.
    pub ingest: Duration,
    /// From one message of a stream to the next.
    pub idle: Duration,
}

/// What is known of a method.
#[derive(Clone, Debug)]
pub struct Method {
    /// What metrics call it.
    pub named: Arc<CallOf>,
    /// The caller sends any number of messages, not one.
    pub takes_a_stream: bool,
    /// The answer has any number of messages, not one.
    pub gives_a_stream: bool,
    /// How long it may take, or for a stream, how long until the answer begins.
    pub time_max: Duration,
}

/// Every method of the server.
pub struct Methods {
    by_path: HashMap<String, Method>,
    unknown: Method,
}

impl Methods {
    /// Reads them from the descriptors of services.
    ///
    /// # Errors
    /// When these cannot be read.
    pub fn of(descriptors: &[&[u8]], times: &Times) -> Result<Self, DescriptorError> {
        let mut pool = DescriptorPool::new();
        for set in descriptors {
            pool.decode_file_descriptor_set(*set)?;
        }
        let one = |method: MethodDescriptor| {
            let service = method.parent_service();
            let path = format!("/{}/{}", service.full_name(), method.name());
            let (takes, gives) = (method.is_client_streaming(), method.is_server_streaming());
            let method = Method {
                named: named(service.full_name(), method.name(), takes, gives),
                takes_a_stream: takes,
                gives_a_stream: gives,
                time_max: if service.name() == INGEST { times.ingest } else { times.query },
            };
            (path, method)
        };
        let methods = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
        let nobody = named(UNKNOWN, UNKNOWN, false, false);
        let unknown =
            Method { named: nobody, takes_a_stream: false, gives_a_stream: false, time_max: times.query };
        Ok(Self { by_path: methods.map(one).collect(), unknown })
    }

    /// Returns the method of a path. One that does not exist is like a query: it is refused soon enough.
    #[must_use]
    pub fn get(&self, path: &str) -> Method {
        self.by_path.get(path).unwrap_or(&self.unknown).clone()
    }
}

fn named(service: &str, method: &str, takes_a_stream: bool, gives_a_stream: bool) -> Arc<CallOf> {
    let grpc_type = match (takes_a_stream, gives_a_stream) {
        (false, false) => "unary",
        (true, false) => "client_stream",
        (false, true) => "server_stream",
        (true, true) => "bidi_stream",
    };
    Arc::new(CallOf { grpc_type, grpc_service: service.into(), grpc_method: method.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb;

    #[test]
    fn a_method_is_what_its_proto_says() {
        let seconds = Duration::from_secs;
        let times = Times { query: seconds(1), ingest: seconds(2), idle: seconds(3) };
        let methods = Methods::of(&[pb::DESCRIPTORS, tonic_health::pb::FILE_DESCRIPTOR_SET], &times).unwrap();
        let of = |path: &str| {
            let method = methods.get(path);
            (method.takes_a_stream, method.gives_a_stream, method.time_max)
        };
        assert_eq!(of("/riskshare.v1.AlertEnrichmentService/EnrichAlert"), (false, false, seconds(1)));
        assert_eq!(of("/riskshare.v1.IngestService/StreamActivities"), (true, true, seconds(2)));
        assert_eq!(of("/grpc.health.v1.Health/Watch"), (false, true, seconds(1)));
        assert_eq!(of("/nobody/Knows"), (false, false, seconds(1)));
    }
}

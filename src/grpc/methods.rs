//! What the transport must know of a method before its messages are read: whether messages stream, and how long a
//! call may take.

use prost_reflect::{DescriptorError, DescriptorPool, MethodDescriptor};
use std::collections::HashMap;
use std::time::Duration;

/// The service whose calls may take longer: it waits for the disk.
const INGEST: &str = "IngestService";

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
#[derive(Clone, Copy, Debug)]
pub struct Method {
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
    query: Duration,
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
            let method = Method {
                takes_a_stream: method.is_client_streaming(),
                gives_a_stream: method.is_server_streaming(),
                time_max: if service.name() == INGEST { times.ingest } else { times.query },
            };
            (path, method)
        };
        let methods = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
        Ok(Self { by_path: methods.map(one).collect(), query: times.query })
    }

    /// Returns the method of a path. One that does not exist is like a query: it is refused soon enough.
    #[must_use]
    pub fn get(&self, path: &str) -> Method {
        let unknown = Method { takes_a_stream: false, gives_a_stream: false, time_max: self.query };
        self.by_path.get(path).copied().unwrap_or(unknown)
    }
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

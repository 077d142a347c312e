//! What one peer, and all of them together, may take up.

use std::time::Duration;

/// The bounds that depend on where the server runs. Those that never should are constants beside their use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Connections in all. One more is closed at once.
    pub connections: usize,
    /// Connections of one address: an IPv4 address, or the /64 network of an IPv6 one.
    pub connections_per_address: usize,
    /// Streams of one connection at a time. One more is refused.
    pub streams: u32,
    /// How long a TLS handshake may take.
    pub handshake: Duration,
    /// How long a peer may take to begin its first request once the connection is secured.
    pub first_request: Duration,
    /// How long the bytes of a reply may wait for the peer to take them. Then its connection ends.
    pub reply: Duration,
    /// How old a connection becomes before the peer is asked to make a new one; some only half as old, so that not
    /// all come back at once.
    pub age: Duration,
    /// How long calls in progress may go on after that.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1_000,
            connections_per_address: 100,
            streams: 128,
            handshake: Duration::from_secs(5),
            first_request: Duration::from_secs(10),
            reply: Duration::from_mins(1),
            age: Duration::from_mins(10),
            grace: Duration::from_secs(30),
        }
    }
}

//! What a port speaks. One only: what nobody needs cannot be attacked.

/// A protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// HTTP/2, of gRPC.
    Http2,
    /// HTTP/1.1, of SIEM connectors.
    Http1,
}

impl Protocol {
    /// Returns its name in a TLS handshake.
    pub(super) fn alpn(self) -> &'static [u8] {
        match self {
            Self::Http2 => b"h2",
            Self::Http1 => b"http/1.1",
        }
    }

    /// Says whether the peer wants it. Clients that know nothing newer than HTTP/1.1 ask for nothing.
    pub(super) fn is_asked_for(self, chosen: Option<&[u8]>) -> bool {
        chosen.map_or(self == Self::Http1, |chosen| chosen == self.alpn())
    }
}

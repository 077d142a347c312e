//! Connections: accepts them, secures them, bounds what one peer can do with them, and ends them. Knows HTTP and
//! TLS, and nothing of gRPC or of risk. `docs/security.md` gives each bound with its reason.

mod accept;
mod connection;
mod frames;
mod http1;
mod places;
mod protocol;
mod workers;

pub mod fence;
pub mod limits;
pub mod peer;
pub mod tls;

pub use accept::{Serving, serve};
pub use protocol::Protocol;
pub use workers::Workers;

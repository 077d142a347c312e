//! Connections: accepts them, secures them, bounds what one peer can do with them, and ends them. Knows HTTP/2 and
//! TLS, and nothing of gRPC or of risk. `docs/security.md` gives each bound with its reason.

mod accept;
mod connection;
mod frames;
mod places;

pub mod limits;
pub mod peer;
pub mod tls;

pub use accept::{Serving, serve};

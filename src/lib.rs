//! riskshare answers a DLP alert queue's "Insider risk severity" column and guards it.
//!
//! The modules are the floors of the house, from the ground up: a module may use only itself and the modules
//! declared above it. `tests/house.rs` checks this. `ARCHITECTURE.md` draws it.

pub mod domain;
pub mod clock;
pub mod telemetry;
pub mod transport;
pub mod intake;
pub mod export;
pub mod store;
pub mod gate;
pub mod auth;
pub mod engine;
pub mod delivery;
pub mod pb;
pub mod grpc;
pub mod http;
pub mod config;
pub mod server;
pub mod cli;

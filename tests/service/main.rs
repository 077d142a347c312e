//! What callers see, over gRPC, against a real server on a free port.

mod bad_input;
mod catalogue;
mod connections;
mod drain;
mod durable;
mod exfiltration_only;
mod identity;
mod ingest;
mod off_is_off;
mod off_while_reading;
mod raw;
mod readings;
mod reflection;
mod samples;
mod settings;
mod tenants;
mod tls;
mod timelines;
mod wire;
mod world;

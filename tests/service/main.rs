//! What callers see, over gRPC, against a real server on a free port.

mod answer_size;
mod bad_input;
mod catalogue;
mod connections;
mod drain;
mod durable;
mod erasure;
mod exfiltration_only;
mod identity;
mod ingest;
mod off_is_off;
mod off_while_reading;
mod raw;
mod readings;
mod reasons;
mod reflection;
mod samples;
mod settings;
mod tampered;
mod tenants;
mod tls;
mod timelines;
mod unavailable;
mod wire;
mod world;

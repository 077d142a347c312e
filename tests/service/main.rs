//! What callers see, over gRPC, against a real server on a free port.

mod answer_size;
mod audit;
mod audit_refusals;
mod audit_unwritable;
mod bad_input;
mod durable;
mod erasure;
mod exfiltration_only;
mod identity;
mod ingest;
mod off_is_off;
mod off_while_reading;
mod readings;
mod reasons;
mod reflection;
mod samples;
mod settings;
mod tampered;
mod tenants;
mod timelines;
mod unavailable;
mod wire;
mod world;

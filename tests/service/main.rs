//! What callers see, over gRPC, against a real server on a free port.

#[path = "../postgres/mod.rs"]
mod postgres;

mod answer_size;
mod audit;
mod audit_refusals;
mod audit_unwritable;
mod bad_input;
mod catalogue;
mod connections;
mod deliveries;
mod drain;
mod durable;
mod erasure;
mod exfiltration_only;
mod health_port;
mod identity;
mod ingest;
mod issuer;
mod management_api;
mod metrics;
mod mutual_tls;
mod off_is_off;
mod off_while_reading;
mod pseudonyms;
mod raw;
mod risk_alerts;
mod readings;
mod reasons;
mod reflection;
mod roles;
mod samples;
mod settings;
mod sheets;
mod summaries;
mod tampered;
mod tenants;
mod tls;
mod timelines;
mod tokens;
mod unavailable;
mod webhooks;
mod wire;
mod world;

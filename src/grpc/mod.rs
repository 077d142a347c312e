//! The services: parse, admit, ask, render; nothing else.

pub mod status;
pub mod room;
pub mod reply;
pub mod elements;
pub mod codec;
pub mod handover;
pub mod limits;
pub mod form;
pub mod deadline;
pub mod methods;
pub mod upload;
pub mod download;
pub mod rate;
pub mod entrance;
pub mod parse;
pub mod auth;
pub mod page;
pub mod render;
pub mod enrichment;
pub mod incidents;
pub mod records;
pub mod ingest;
pub mod settings;
pub mod audit;
pub mod pseudonyms;

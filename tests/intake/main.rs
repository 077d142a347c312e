//! The intake floor through its public functions: records of the outside, made up and collected, and what comes of
//! them.
#![allow(clippy::disallowed_methods, reason = "a test spells what the parsers read, to compare it")]

mod activities;
mod dlp_alerts;
mod hostile;
mod outcome;
mod risk_alerts;
mod samples;

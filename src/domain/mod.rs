//! The rules, pure: given facts and a time, what is true. No I/O, no clock, no async, no wire types.
//!
//! The files follow `docs/risk-model.md`: `insight` (section 2), `cumulative` and `sequence` (3), `score` (4),
//! `risk_alert` (5), `level` (6, 9), `dlp_alert` (7), `reason` (8). `timeline` is
//! what may be shown of a user, `content` what is exported, `audit` what is written down about those who looked. The others hold the words they
//! speak in.

pub mod ids;
pub mod time;
pub mod severity;
pub mod indicator;
pub mod sorted_set;
pub mod user;
pub mod pseudonym;
pub mod activity;
pub mod activities;
pub mod policy;
pub mod settings;
pub mod risk_alert;
pub mod decision;
pub mod facts;
pub mod dlp_alert;
pub mod insight;
pub mod cumulative;
pub mod sequence;
pub mod score;
pub mod level;
pub mod known_facts;
pub mod reason;
pub mod timeline;
pub mod content;
pub mod subscription;
pub mod audit;
#[cfg(test)]
mod example;

//! Compares the risk model with a second, deliberately naive implementation of `docs/risk-model.md`, over random
//! facts and random times.

mod alerts;
mod draft;
mod identity;
mod levels;
mod naive;
mod run;
mod shown;
mod taxonomy;
mod validity;

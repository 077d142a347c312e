//! The book of a tenant: judges facts, and shows what is known after each commit. Every engine writes down what the book
//! says, each in its own way, so no engine has a rule of its own.
//!
//! `plan` judges the facts of a batch on the drafts of the `ledger`; `tenant` and `people` are what readers see, `reviews` what
//! reviewers see of risk alerts, `switch` who may pass; `change`, `content` and `codec` are the bytes in which facts are
//! kept, `erasure` what is left of them when somebody is forgotten, `person` all of a user in one piece, `image` all of
//! a tenant.

pub mod change;
pub mod codec;
pub mod content;
pub mod doers;
pub mod erasure;
pub mod image;
pub mod ledger;
pub mod people;
pub mod person;
pub mod plan;
pub mod reviews;
pub mod state;
pub mod switch;
pub mod tenant;

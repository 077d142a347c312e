//! The gate: who may learn what. A reader of user data needs a [`SharingGrant`](admission::SharingGrant), which
//! only [`Gate::admit`](admission::Gate::admit) makes; what it computes leaves as
//! [`Disclosed`](admission::Disclosed), which only a grant makes.

pub mod admission;

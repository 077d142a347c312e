//! The gate: who may learn what. A caller whose role and tenant fit has [`Access`](caller::Access). A reader of user
//! data needs a [`SharingGrant`](admission::SharingGrant), which only [`Gate::admit`](admission::Gate::admit) makes
//! out of that; what it computes leaves as [`Disclosed`](admission::Disclosed), which only a grant makes,
//! and only after it was written down durably. What goes to SIEMs has a gate and a switch of its own, [`export`].

pub mod rate;
pub mod rights;
pub mod caller;
pub mod audit;
pub mod admission;
pub mod export;

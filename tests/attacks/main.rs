//! What one unauthenticated peer does to a server on the network, each attack bounded and on loopback: the real
//! program as a child, whose memory is read while a client with manners is answered. `docs/security.md` has the
//! figures.

#[path = "../child/mod.rs"]
mod child;
mod peer;
mod floods;
mod slow;

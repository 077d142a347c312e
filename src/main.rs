//! The riskshare command.
fn main() {}

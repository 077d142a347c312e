//! The score that a policy gives to a user (`risk-model.md` 4).

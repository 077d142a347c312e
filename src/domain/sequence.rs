//! Sequences: collected, perhaps disguised, exfiltrated, perhaps deleted (`risk-model.md` 3).

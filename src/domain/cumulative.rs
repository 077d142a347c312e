//! Cumulative exfiltration: much more of it in 30 days than in the 60 days before (`risk-model.md` 3).

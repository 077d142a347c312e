//! Daily insights: what one user did on one day with one indicator, and how much it weighs (`risk-model.md` 2).

//! What is known of a user, as readers share it, with the level that was last found from it.

use crate::domain::facts::{TenantRules, UserFacts};
use crate::domain::level;
use crate::domain::level::Assessment;
use crate::domain::user::UserNo;
use chrono::{DateTime, Utc};
use std::any::Any;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Everything known about a user at one instant, shared.
pub type SharedFacts = Arc<KnownFacts>;

/// Facts that do not change any more: a commit makes new ones. It remembers how they were judged, so that a queue page does
/// not judge the same people again and again. What is remembered goes with the facts, and so with the user.
///
/// What a queue page needs of somebody stands together, at the beginning: the rest need not be fetched from memory.
#[repr(C)]
pub struct KnownFacts {
    judged: Mutex<Option<Judged>>,
    no: UserNo,
    derived: Mutex<Option<Derived>>,
    facts: UserFacts,
}

/// What a floor above made of the facts.
pub type Derived = Arc<dyn Any + Send + Sync>;

/// An assessment, and the rules by which it was made. It holds for those very values only.
struct Judged {
    rules: Weak<TenantRules>,
    assessment: Assessment,
}

impl KnownFacts {
    /// Shares facts.
    #[must_use]
    pub fn new(facts: UserFacts) -> SharedFacts {
        Arc::new(Self { judged: Mutex::default(), no: facts.user.no, derived: Mutex::default(), facts })
    }

    /// Returns the user's number.
    #[must_use]
    pub fn no(&self) -> UserNo {
        self.no
    }

    /// Returns the assessment of the user at `now`, remembered or new (`risk-model.md` 6, 9).
    #[must_use]
    pub fn assess(&self, rules: &Arc<TenantRules>, now: DateTime<Utc>) -> Assessment {
        let remembered = || self.judged.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(judged) = remembered().as_ref().filter(|judged| judged.holds(rules, now)) {
            return judged.assessment.clone();
        }
        let assessment = level::assess(&self.facts, rules, now); // Takes its time, so not under the lock.
        *remembered() = Some(Judged { rules: Arc::downgrade(rules), assessment: assessment.clone() });
        assessment
    }

    /// Returns what a floor above has put here.
    #[must_use]
    pub fn derived(&self) -> Option<Derived> {
        self.derived.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts something here that was made of the facts, or nothing, and returns what was here. It goes with the facts.
    pub fn derive(&self, derived: Option<Derived>) -> Option<Derived> {
        std::mem::replace(&mut *self.derived.lock().unwrap_or_else(PoisonError::into_inner), derived)
    }
}

impl Judged {
    fn holds(&self, rules: &Arc<TenantRules>, now: DateTime<Utc>) -> bool {
        std::ptr::eq(self.rules.as_ptr(), Arc::as_ptr(rules))
            && self.assessment.as_of <= now
            && now < self.assessment.valid_until
    }
}

impl Deref for KnownFacts {
    type Target = UserFacts;

    fn deref(&self) -> &UserFacts {
        &self.facts
    }
}

impl PartialEq for KnownFacts {
    fn eq(&self, other: &Self) -> bool {
        self.facts == other.facts
    }
}

impl Eq for KnownFacts {}

impl fmt::Debug for KnownFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.facts.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::example::Example;
    use chrono::TimeDelta;

    #[test]
    fn what_is_remembered_is_what_would_be_found_anew() {
        let example = Example::new().did("CopyToUSB", 3, 9).did("Print", 29, 26);
        let known = KnownFacts::new(example.facts.clone());
        let (one, other) = (Arc::new(example.rules.clone()), Arc::new(TenantRules::default()));
        let minute = TimeDelta::minutes(1);
        for later in [0, 1, 1, 60 * 24, 60 * 24 * 40, 2, 0] {
            for rules in [&one, &other, &one] {
                let now = example.now + minute * later;
                let (found, anew) = (known.assess(rules, now), level::assess(&example.facts, rules, now));
                assert_eq!(Assessment { as_of: now, ..found }, anew);
            }
        }
    }
}

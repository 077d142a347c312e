//! Keeps assessments as long as they hold, so that a queue page does not judge the same people again and again.

use crate::domain::facts::{SharedFacts, TenantRules};
use crate::domain::ids::TenantId;
use crate::domain::level;
use crate::domain::level::Assessment;
use crate::domain::user::UserNo;
use chrono::{DateTime, Utc};
use dashmap::DashMap;
use std::sync::{Arc, Weak};

/// How many assessments are kept. Beyond it the cache starts over: about 100 bytes each.
const KEPT_MAX: usize = 1_000_000;

/// Judges users, and remembers.
#[derive(Default)]
pub struct Assessor {
    kept: DashMap<(TenantId, UserNo), Kept>,
}

/// An assessment with the facts and rules that it was made from. It holds for those very values only: a commit makes
/// new ones.
struct Kept {
    facts: Weak<crate::domain::facts::UserFacts>,
    rules: Weak<TenantRules>,
    assessment: Assessment,
}

impl Assessor {
    /// Returns the assessment of a user at `now`, kept or new (`risk-model.md` 6, 9).
    pub fn assess(
        &self,
        tenant: TenantId,
        facts: &SharedFacts,
        rules: &Arc<TenantRules>,
        now: DateTime<Utc>,
    ) -> Assessment {
        let key = (tenant, facts.user.no);
        if let Some(kept) = self.kept.get(&key).filter(|kept| kept.holds_for(facts, rules, now)) {
            return kept.assessment.clone();
        }
        let assessment = level::assess(facts, rules, now);
        if self.kept.len() >= KEPT_MAX {
            self.kept.clear();
        }
        let kept = Kept {
            facts: Arc::downgrade(facts),
            rules: Arc::downgrade(rules),
            assessment: assessment.clone(),
        };
        self.kept.insert(key, kept);
        assessment
    }
}

impl Kept {
    fn holds_for(&self, facts: &SharedFacts, rules: &Arc<TenantRules>, now: DateTime<Utc>) -> bool {
        std::ptr::eq(self.facts.as_ptr(), Arc::as_ptr(facts))
            && std::ptr::eq(self.rules.as_ptr(), Arc::as_ptr(rules))
            && self.assessment.as_of <= now
            && now < self.assessment.valid_until
    }
}

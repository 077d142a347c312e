//! Judges the facts of a batch one by one and says what they change. Each fact sees the ones before it.

use super::change::Change;
use super::codec::Malformed;
use super::ledger::Ledger;
use crate::domain::activity::Activity;
use crate::domain::facts::{Batch, Conflict, Declaration, Fact, Outcome, TenantRules, UserFacts};
use crate::domain::ids::{PolicyId, TenantId};
use crate::domain::policy::{Interval, Policy, Trigger};
use crate::domain::risk_alert::RiskAlert;
use crate::domain::user::{Identity, Join, User, UserNo};
use chrono::{DateTime, Utc};
use std::collections::BTreeSet;

/// The rule that raises risk alerts: `domain::risk_alert::evaluate`.
pub type Evaluate = fn(TenantId, &UserFacts, &TenantRules, DateTime<Utc>) -> Vec<RiskAlert>;

/// Takes down what is to be written, in order.
pub trait Writing {
    /// Takes a change.
    fn change(&mut self, change: &Change);
    /// Takes an activity.
    fn activity(&mut self, user: UserNo, activity: &Activity);
}

/// Applies a batch to a tenant's book, whose drafts are shown once what was taken down is durable. Returns what became
/// of each fact.
///
/// # Errors
/// When the book contradicts itself, which is a bug: the store must stop.
pub fn plan(
    ledger: &mut Ledger,
    batch: Batch,
    evaluate: Evaluate,
    writing: &mut dyn Writing,
) -> Result<Vec<Outcome>, Malformed> {
    let mut planner = Planner { tenant: batch.tenant, ledger, writing, touched: BTreeSet::new() };
    let outcomes = batch.facts.into_iter().map(|fact| planner.judge(fact)).collect::<Result<_, _>>()?;
    planner.raise_alerts(evaluate, batch.at)?;
    Ok(outcomes)
}

struct Planner<'a> {
    tenant: TenantId,
    ledger: &'a mut Ledger,
    writing: &'a mut dyn Writing,
    touched: BTreeSet<UserNo>,
}

/// Who a fact is about, once it is known that the fact will be recorded.
enum Person {
    /// Nobody is known by any of the keys.
    New,
    /// These, who are one.
    Known(Vec<UserNo>),
}

type Judged = Result<Outcome, Malformed>;

const CONFLICT: Outcome = Outcome::Conflict(Conflict::Identity);

impl Planner<'_> {
    fn judge(&mut self, fact: Fact) -> Judged {
        match fact {
            Fact::Activity { user, activity } => self.activity(&user, &activity),
            Fact::User(declaration) => self.declaration(declaration),
            Fact::Policy(policy) => self.policy(policy),
            Fact::Membership { user, policy, intervals } => self.membership(&user, policy, intervals),
            Fact::Trigger { user, trigger } => self.trigger(&user, trigger),
            Fact::RiskAlert { user, alert } => self.alert(&user, &alert),
        }
    }

    /// An activity that was recorded is a duplicate as long as the record still names its user. Where the name is
    /// somebody else's by now, or nobody's, it contradicts what is known.
    fn activity(&mut self, identity: &Identity, activity: &Activity) -> Judged {
        if let Some(doer) = self.ledger.doer(activity.at, &activity.id) {
            let same = |facts: &UserFacts| {
                facts.activities.find(activity.at, &activity.id).is_some_and(|kept| kept == *activity)
            };
            let is_same =
                self.ledger.look(doer, same).unwrap_or(false) && self.ledger.hits(identity).contains(&doer);
            return Ok(if is_same { Outcome::Duplicate } else { Outcome::Conflict(Conflict::ActivityId) });
        }
        let Some(person) = self.find(identity) else { return Ok(CONFLICT) };
        let (user, _) = self.meet(person, identity)?;
        self.writing.activity(user, activity);
        self.touched.insert(user);
        self.ledger.add_activity(user, activity)?;
        Ok(Outcome::Accepted)
    }

    fn declaration(&mut self, declaration: Declaration) -> Judged {
        let Some(person) = self.find(&declaration.identity) else { return Ok(CONFLICT) };
        if let Person::Known(users) = &person {
            // Only the first of them can have been declared.
            let first = users.first().ok_or(Malformed)?;
            let may_be = |facts: &UserFacts| declaration.may_be_of(&facts.user);
            if !self.ledger.look(*first, may_be).ok_or(Malformed)? {
                return Ok(CONFLICT);
            }
        }
        let (no, mut is_changed) = self.meet(person, &declaration.identity)?;
        let known = self.ledger.look(no, |facts| facts.user.clone()).ok_or(Malformed)?;
        let declared = declaration.applied_to(&known);
        if declared != known {
            self.change(Change::User(declared))?;
            is_changed = true;
        }
        Ok(self.outcome(no, is_changed))
    }

    fn policy(&mut self, policy: Policy) -> Judged {
        if self.ledger.rules().policies.get(&policy.id) == Some(&policy) {
            return Ok(Outcome::Duplicate);
        }
        let members: Vec<UserNo> = self.ledger.members(&policy.id).collect();
        self.touched.extend(members);
        self.change(Change::Policy(policy))?;
        Ok(Outcome::Accepted)
    }

    fn membership(&mut self, identity: &Identity, policy: PolicyId, intervals: Vec<Interval>) -> Judged {
        let Some(person) = self.find(identity) else { return Ok(CONFLICT) };
        let (user, mut is_changed) = self.meet(person, identity)?;
        let same = |facts: &UserFacts| {
            facts.memberships.get(&policy).map_or(&[] as &[Interval], Vec::as_slice) == intervals
        };
        if !self.ledger.look(user, same).ok_or(Malformed)? {
            self.change(Change::Membership { user, policy, intervals })?;
            is_changed = true;
        }
        Ok(self.outcome(user, is_changed))
    }

    fn trigger(&mut self, identity: &Identity, trigger: Trigger) -> Judged {
        let Some(person) = self.find(identity) else { return Ok(CONFLICT) };
        let (user, mut is_changed) = self.meet(person, identity)?;
        if !self.ledger.look(user, |facts| facts.triggers.contains(&trigger)).ok_or(Malformed)? {
            self.change(Change::Trigger { user, trigger })?;
            is_changed = true;
        }
        Ok(self.outcome(user, is_changed))
    }

    /// A newer state of an alert replaces an older one, never the other way round.
    fn alert(&mut self, identity: &Identity, alert: &RiskAlert) -> Judged {
        let Some(person) = self.find(identity) else { return Ok(CONFLICT) };
        let owns = |owner| matches!(&person, Person::Known(users) if users.contains(&owner));
        if self.ledger.alerted(&alert.id).is_some_and(|owner| !owns(owner)) {
            return Ok(Outcome::Conflict(Conflict::RiskAlertId));
        }
        let (user, mut is_changed) = self.meet(person, identity)?;
        let next = |facts: &UserFacts| match facts.alerts.get(&alert.id) {
            Some(known) => known.updated(alert),
            None => Some(alert.clone()),
        };
        if let Some(alert) = self.ledger.look(user, next).ok_or(Malformed)? {
            self.change(Change::Alert { user, alert })?;
            is_changed = true;
        }
        Ok(self.outcome(user, is_changed))
    }

    /// Finds whom a record is about, or nobody when its keys point at people who cannot be one.
    fn find(&self, identity: &Identity) -> Option<Person> {
        match self.ledger.join(identity) {
            Join::New => Some(Person::New),
            Join::Same(users) => Some(Person::Known(users)),
            Join::Conflict => None,
        }
    }

    /// Makes the person one user who has all keys of the record. Says whether that changed anything.
    fn meet(&mut self, person: Person, identity: &Identity) -> Result<(UserNo, bool), Malformed> {
        let (no, is_changed) = match person {
            Person::New => {
                let no = self.ledger.next_user();
                self.change(Change::User(User::named(no, identity.clone())))?;
                let pseudonym = self.ledger.draw_pseudonym()?;
                self.change(Change::Pseudonym { user: no, pseudonym })?;
                (no, true)
            }
            Person::Known(users) => self.unite(&users, identity)?,
        };
        Ok((no, is_changed))
    }

    fn unite(&mut self, users: &[UserNo], identity: &Identity) -> Result<(UserNo, bool), Malformed> {
        let (into, others) = users.split_first().ok_or(Malformed)?;
        for from in others {
            self.change(Change::Absorbed { from: *from, into: *into })?;
        }
        let learn = |facts: &UserFacts| {
            let learns = facts.user.would_learn(identity);
            learns.then(|| facts.user.clone())
        };
        let known = self.ledger.look(*into, learn).ok_or(Malformed)?;
        let is_new = known.is_some();
        if let Some(mut user) = known {
            user.learn(identity);
            self.change(Change::User(user))?;
        }
        Ok((*into, is_new || !others.is_empty()))
    }

    fn outcome(&mut self, user: UserNo, is_changed: bool) -> Outcome {
        if is_changed {
            self.touched.insert(user);
            Outcome::Accepted
        } else {
            Outcome::Duplicate
        }
    }

    fn raise_alerts(&mut self, evaluate: Evaluate, now: DateTime<Utc>) -> Result<(), Malformed> {
        let touched: BTreeSet<UserNo> =
            std::mem::take(&mut self.touched).into_iter().map(|user| self.ledger.resolve(user)).collect();
        for user in touched {
            let (tenant, rules) = (self.tenant, self.ledger.rules());
            let raised = self.ledger.look(user, |facts| {
                let mut raised = evaluate(tenant, facts, rules, now);
                raised.retain(|alert| facts.alerts.get(&alert.id) != Some(alert));
                raised
            });
            for alert in raised.ok_or(Malformed)? {
                self.change(Change::Alert { user, alert })?;
            }
        }
        Ok(())
    }

    fn change(&mut self, change: Change) -> Result<(), Malformed> {
        self.writing.change(&change);
        self.ledger.apply(change)
    }
}

//! The store's behaviour in the simplest words: lists that are searched from end to end. Random stories must go the
//! same way in the model and in an engine.

use super::{Place, address, copied, decided, member, noon, policy, sid, tenant, today};
use crate::domain::activity::Activity;
use crate::domain::facts::{Batch, Conflict, Declaration, Fact, Outcome, TenantRules, UserFacts};
use crate::domain::ids::{PolicyId, RiskAlertId, TenantId};
use crate::domain::policy::{Policy, Trigger};
use crate::domain::risk_alert::{Origin, RiskAlert, Status, evaluate};
use crate::domain::settings::Settings;
use crate::domain::severity::Severity;
use crate::domain::time::UtcDay;
use crate::domain::user::{Identity, IdentityKey, Join, Personal, User, UserNo, join};
use crate::store::{Store, StoreError, VersionedSettings};
use chrono::{DateTime, TimeDelta, Utc};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::test_runner::{Config, TestRunner};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A tenant, simply.
#[derive(Default)]
struct Tenant {
    users: Vec<UserFacts>,
    numbers: u32,
    rules: TenantRules,
    version: u64,
    epoch: u64,
}

impl Tenant {
    fn commit(&mut self, id: TenantId, at: DateTime<Utc>, facts: Vec<Fact>) -> Vec<Outcome> {
        let mut touched = BTreeSet::new();
        let outcomes = facts.into_iter().map(|fact| self.judge(fact, &mut touched)).collect();
        for user in self.users.iter_mut().filter(|user| touched.contains(&user.user.no)) {
            for alert in evaluate(id, user, &self.rules, at) {
                user.alerts.insert(alert.id.clone(), alert);
            }
        }
        outcomes
    }

    fn judge(&mut self, fact: Fact, touched: &mut BTreeSet<UserNo>) -> Outcome {
        if let Fact::Policy(policy) = fact {
            let id = policy.id.clone();
            if self.rules.policies.insert(id.clone(), policy.clone()) == Some(policy) {
                return Outcome::Duplicate;
            }
            let members = self.users.iter().filter(|user| user.memberships.contains_key(&id));
            touched.extend(members.map(|user| user.user.no));
            return Outcome::Accepted;
        }
        let identity = match &fact {
            Fact::Activity { user, .. }
            | Fact::Membership { user, .. }
            | Fact::Trigger { user, .. }
            | Fact::RiskAlert { user, .. } => user.clone(),
            Fact::User(declaration) => declaration.identity.clone(),
            Fact::Policy(_) => unreachable!("was handled above"),
        };
        if let Fact::Activity { activity, .. } = &fact {
            let doer = self.users.iter().find(|user| user.activities.has(&activity.id));
            if let Some(doer) = doer {
                let is_named = identity.keys().any(|key| doer.user.identity.has(key));
                let is_same = is_named && doer.activities.iter().any(|a| a == *activity);
                return if is_same { Outcome::Duplicate } else { Outcome::Conflict(Conflict::ActivityId) };
            }
        }
        let hits = self.users.iter().map(|facts| &facts.user);
        let hits = hits.filter(|user| identity.keys().any(|key| user.identity.has(key)));
        let people = match join(&identity, hits) {
            Join::Conflict => return Outcome::Conflict(Conflict::Identity),
            Join::New => Vec::new(),
            Join::Same(people) => people,
        };
        let declared = self.users.iter().find(|user| user.user.declared && people.contains(&user.user.no));
        if let (Fact::User(declaration), Some(known)) = (&fact, declared)
            && !is_one_account(&declaration.identity, &known.user)
        {
            return Outcome::Conflict(Conflict::Identity);
        }
        if let Fact::RiskAlert { alert, .. } = &fact {
            let owner = self.users.iter().find(|user| user.alerts.contains_key(&alert.id));
            if owner.is_some_and(|owner| !people.contains(&owner.user.no)) {
                return Outcome::Conflict(Conflict::RiskAlertId);
            }
        }
        let (no, met) = self.meet(&people, &identity);
        let user = self.users.iter_mut().find(|user| user.user.no == no).unwrap();
        if met | told(user, fact) {
            touched.insert(no);
            Outcome::Accepted
        } else {
            Outcome::Duplicate
        }
    }

    fn meet(&mut self, people: &[UserNo], identity: &Identity) -> (UserNo, bool) {
        let Some((&first, others)) = people.split_first() else {
            self.numbers += 1;
            let no = UserNo(self.numbers);
            let mut user = User::named(no, Identity::default());
            learn(&mut user, identity);
            self.users.push(UserFacts::of(user));
            return (no, true);
        };
        let mut whole = self.users.iter().find(|user| user.user.no == first).unwrap().clone();
        let before = whole.clone();
        for other in others {
            let at = self.users.iter().position(|user| user.user.no == *other).unwrap();
            let other = self.users.remove(at);
            learn(&mut whole.user, &other.user.identity);
            whole.absorb(&other);
        }
        learn(&mut whole.user, identity);
        let is_changed = whole != before;
        *self.users.iter_mut().find(|user| user.user.no == first).unwrap() = whole;
        (first, is_changed)
    }

    fn expire(&mut self, first: UtcDay) -> u64 {
        self.users.iter_mut().map(|user| user.activities.expire_before(first) as u64).sum()
    }

    fn decide(&mut self, settings: Settings) {
        self.epoch += u64::from(settings.data_sharing != self.rules.settings.data_sharing);
        self.version += 1;
        self.rules.settings = settings;
    }

    fn found(&self, identity: &Identity) -> Vec<Seen> {
        let is_hit = |user: &&UserFacts| identity.keys().any(|key| user.user.identity.has(key));
        sorted(self.users.iter().filter(is_hit).map(seen).collect())
    }
}

/// Tells a user's record a fact, and says whether it was news.
fn told(user: &mut UserFacts, fact: Fact) -> bool {
    let before = user.clone();
    match fact {
        Fact::Activity { activity, .. } => user.activities.insert(&activity),
        Fact::User(declaration) => declare(&mut user.user, declaration),
        Fact::Membership { policy, intervals, .. } if intervals.is_empty() => {
            user.memberships.remove(&policy);
        }
        Fact::Membership { policy, intervals, .. } => {
            user.memberships.insert(policy, intervals);
        }
        Fact::Trigger { trigger, .. } => {
            user.triggers.insert(trigger);
        }
        Fact::RiskAlert { alert, .. } => {
            // Later beats earlier, closed beats open, then what is worse; all of the model's are of one policy.
            let order = |alert: &RiskAlert| {
                let is_exfiltration = alert.is_imported_exfiltration();
                (alert.updated_at, alert.closed_at.is_some(), alert.score, is_exfiltration)
            };
            let known = user.alerts.get(&alert.id);
            if known.is_none_or(|known| order(known) < order(&alert)) {
                user.alerts.insert(alert.id.clone(), alert);
            }
        }
        Fact::Policy(_) => unreachable!("is about no user"),
    }
    *user != before
}

/// A declaration is of somebody declared before if it says the same object id, SID or UPN, or without one the same
/// first name of the others.
fn is_one_account(declaration: &Identity, known: &User) -> bool {
    let own: Vec<&IdentityKey> = known.identity.keys().filter(|key| !known.learned.contains(key)).collect();
    let is_name = |key: &&&IdentityKey| matches!(key, IdentityKey::Address(_) | IdentityKey::Account(_));
    let upn = |identity: &Identity| identity.upn().cloned().map(IdentityKey::Address);
    let name = upn(declaration).or_else(|| declaration.keys().find(|key| is_name(&key)).cloned());
    let known_name = upn(&known.identity).or_else(|| own.iter().find(is_name).copied().cloned());
    let is_common = |key: &&&IdentityKey| !is_name(key) && declaration.has(key);
    own.iter().any(|key| is_common(&key)) || (name.is_some() && name == known_name)
}

/// Records teach keys and no name to show; what they teach a declared person is marked.
fn learn(user: &mut User, record: &Identity) {
    for key in record.keys() {
        if user.declared && !user.identity.has(key) {
            user.learned.insert(key.clone());
        }
        user.identity = user.identity.clone().with(key.clone());
    }
    user.guest |= user.identity.is_guest_name();
}

/// A first declaration adds names; a later one says all names but those that are for ever.
fn declare(user: &mut User, declaration: Declaration) {
    let is_for_ever = |key: &IdentityKey| matches!(key, IdentityKey::ObjectId(_) | IdentityKey::Sid(_));
    let said = declaration.identity;
    let mut identity = said.clone();
    let mut learned = BTreeSet::new();
    for key in user.identity.keys().filter(|key| !said.has(key)) {
        if user.declared && !is_for_ever(key) {
            continue;
        }
        identity = identity.with(key.clone());
        if !user.declared || user.learned.contains(key) {
            learned.insert(key.clone());
        }
    }
    identity.display_name = identity.display_name.or(user.identity.display_name.take());
    user.identity = identity;
    user.learned = learned;
    user.declared = true;
    user.guest = declaration.guest || user.identity.is_guest_name();
    user.potential_high_impact = declaration.potential_high_impact;
    user.confirmed_violation_before = declaration.confirmed_violation_before;
}

/// A user as both sides can agree on: numbers are the engine's own, and so are the ids made from them.
type Seen = (String, UserFacts, Vec<RiskAlert>);

fn seen(user: &UserFacts) -> Seen {
    let mut user = user.clone();
    user.user.no = UserNo(0);
    let alerts = std::mem::take(&mut user.alerts).into_values().map(|alert| match alert.origin {
        Origin::Engine => RiskAlert { id: RiskAlertId::new("ours").unwrap(), ..alert },
        Origin::Imported { .. } => alert,
    });
    let mut alerts: Vec<RiskAlert> = alerts.collect();
    alerts.sort_by_key(|alert| (alert.id.clone(), alert.policy.clone(), alert.created_at));
    (order(&user), user, alerts)
}

#[expect(clippy::disallowed_methods, reason = "tests sort people")]
fn order(user: &UserFacts) -> String {
    let keys = user.user.identity.keys().map(|key| match key {
        IdentityKey::ObjectId(id) => id.to_string(),
        IdentityKey::Sid(name) | IdentityKey::Address(name) | IdentityKey::Account(name) => {
            name.spell().to_owned()
        }
    });
    keys.collect::<Vec<_>>().join(" ")
}

fn sorted(mut seen: Vec<Seen>) -> Vec<Seen> {
    seen.sort_by(|a, b| a.0.cmp(&b.0));
    seen
}

/// What happens in a story.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Commit(u128, i64, Vec<Fact>),
    Settings(u128, u64, Settings),
    Expire(i32),
    Reopen,
}

pub(super) fn all_keys() -> Vec<IdentityKey> {
    let addresses = ["a", "b", "c", "d"].map(address);
    let ids = [1, 2].map(|n| IdentityKey::ObjectId(uuid::Uuid::from_u128(n)));
    addresses.into_iter().chain([1, 2].map(sid)).chain(ids).collect()
}

fn identity() -> impl Strategy<Value = Identity> {
    let keys = subsequence(all_keys(), 1..=2).prop_shuffle();
    let name = proptest::option::of(select(vec!["Ann", "Bob"]));
    (keys, any::<bool>(), name).prop_map(|(keys, upn, name)| {
        let mut identity = keys.into_iter().fold(Identity::default(), |identity, key| match key {
            IdentityKey::Address(_) if upn => identity.with_upn(key),
            _ => identity.with(key),
        });
        identity.display_name = name.map(Personal::new);
        identity
    })
}

fn activity() -> impl Strategy<Value = Activity> {
    let indicator = select(vec!["CopyToUSB", "Print", "SpoDownload", "Unheard"]);
    let days_ago = prop_oneof![0..30_i32, 110..130_i32];
    (0..40_u8, days_ago, 0..3_i64, indicator).prop_map(|(id, days_ago, nanos, indicator)| {
        let activity = copied(&id.to_string(), days_ago);
        let at = activity.at + TimeDelta::nanoseconds(nanos);
        Activity { at, indicator: crate::domain::indicator::Indicator::named(indicator), ..activity }
    })
}

fn a_policy() -> impl Strategy<Value = Policy> {
    (select(vec!["p", "q"]), select(vec![1, 34, 60]), 0..3)
        .prop_map(|(id, alert_threshold, past_days)| Policy { past_days, alert_threshold, ..policy(id) })
}

fn alert() -> impl Strategy<Value = RiskAlert> {
    (0..3, 1..=100, 0..4_i64, any::<bool>()).prop_map(|(id, score, hour, exfiltration)| RiskAlert {
        id: RiskAlertId::new(&format!("alert{id}")).unwrap(),
        policy: PolicyId::new("p").unwrap(),
        severity: Severity::of_score(score),
        score,
        status: if score > 90 { Status::Dismissed } else { Status::Confirmed },
        origin: Origin::Imported { exfiltration },
        created_at: noon(),
        updated_at: noon() + TimeDelta::hours(hour),
        closed_at: (score > 90).then(noon),
    })
}

fn fact() -> impl Strategy<Value = Fact> {
    let flags = any::<(bool, bool, bool)>();
    prop_oneof![
        8 => (identity(), activity()).prop_map(|(user, activity)| Fact::Activity { user, activity }),
        2 => (identity(), flags).prop_map(|(identity, (guest, high, before))| Fact::User(Declaration {
            identity, guest, potential_high_impact: high, confirmed_violation_before: before,
        })),
        2 => a_policy().prop_map(Fact::Policy),
        3 => (identity(), select(vec!["p", "q"]), any::<bool>()).prop_map(|(user, id, stays)| {
            match member(user, id) {
                Fact::Membership { user, policy, .. } if !stays =>
                    Fact::Membership { user, policy, intervals: vec![] },
                other => other,
            }
        }),
        1 => (identity(), 0..3_i64).prop_map(|(user, days)| Fact::Trigger {
            user,
            trigger: Trigger {
                policy: PolicyId::new("p").unwrap(),
                at: noon() - TimeDelta::days(days),
                kind: "hr".into(),
            },
        }),
        1 => (identity(), alert()).prop_map(|(user, alert)| Fact::RiskAlert { user, alert }),
    ]
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let settings = any::<(bool, bool)>().prop_map(|(data_sharing, user_analytics)| Settings {
        data_sharing,
        user_analytics,
        ..Settings::default()
    });
    prop_oneof![
        8 => (0..2_u128, 0..48_i64, vec(fact(), 1..8)).prop_map(|(t, hour, facts)| Step::Commit(t, hour, facts)),
        2 => (0..2_u128, 0..4_u64, settings).prop_map(|(t, version, s)| Step::Settings(t, version, s)),
        1 => (-10..12).prop_map(Step::Expire),
        2 => Just(Step::Reopen),
    ]
}

/// Tells random stories to the model and to an engine.
pub fn agrees_with_the_model<P: Place>() {
    let config = Config { cases: 64, failure_persistence: None, ..Config::default() };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(P::PAUSED).build().unwrap();
    let ran =
        TestRunner::new(config).run(&vec(step(), 1..40), |story| runtime.block_on(tell(&P::new(), story)));
    if let Err(error) = ran {
        panic!("{error}");
    }
}

async fn tell(place: &impl Place, story: Vec<Step>) -> Result<(), TestCaseError> {
    let mut model: BTreeMap<u128, Tenant> = BTreeMap::new();
    let mut store = Some(place.open());
    for step in story {
        match step {
            Step::Commit(t, hour, facts) => {
                let at = noon() + TimeDelta::hours(hour);
                let batch = Batch { tenant: tenant(t), at, facts: facts.clone() };
                let outcomes = store.as_ref().unwrap().commit(batch).await.unwrap();
                prop_assert_eq!(outcomes, model.entry(t).or_default().commit(tenant(t), at, facts));
            }
            Step::Settings(t, version, settings) => {
                let known = model.entry(t).or_default();
                let changed = store
                    .as_ref()
                    .unwrap()
                    .change_settings(tenant(t), version, settings.clone(), decided())
                    .await;
                if version == known.version {
                    known.decide(settings.clone());
                    let expected = VersionedSettings { settings, version: version + 1 };
                    prop_assert_eq!(changed.unwrap().settings, expected);
                } else {
                    prop_assert!(matches!(changed, Err(StoreError::SettingsChanged)));
                }
            }
            Step::Expire(days) => {
                let today = today().plus(days);
                let forgotten: u64 =
                    model.values_mut().map(|tenant| tenant.expire(today.horizon_start())).sum();
                prop_assert_eq!(store.as_ref().unwrap().expire(today).await.unwrap(), forgotten);
            }
            Step::Reopen => {
                drop(store.take());
                store = Some(place.open());
            }
        }
        compare(store.as_ref().unwrap(), &model).await?;
    }
    Ok(())
}

async fn compare(store: &Arc<dyn Store>, model: &BTreeMap<u128, Tenant>) -> Result<(), TestCaseError> {
    let everybody: Vec<Identity> = all_keys().into_iter().map(|key| Identity::default().with(key)).collect();
    for (t, known) in model {
        let hold = store.hold(tenant(*t)).await.unwrap();
        prop_assert_eq!((hold.is_sharing(), hold.epoch()), (known.rules.settings.data_sharing, known.epoch));
        prop_assert_eq!(store.settings(tenant(*t)).await.unwrap().version, known.version);
        let snapshot = store.read(&hold, &everybody.iter().collect::<Vec<_>>()).await.unwrap();
        prop_assert_eq!(&*snapshot.rules, &known.rules);
        for (person, found) in everybody.iter().zip(snapshot.found) {
            let found = sorted(found.iter().map(|user| seen(user)).collect());
            prop_assert_eq!(found, known.found(person));
        }
    }
    Ok(())
}

//! The committer's book of one tenant: what it needs to judge facts, and the drafts that the next commit shows.
//!
//! Replay and commit change it through the same two functions, [`Ledger::apply`] and [`Ledger::add_activities`].

use super::change::Change;
use super::codec::Malformed;
use super::doers::Doers;
use super::erasure::Erasure;
use super::image::Image;
use super::person::Person;
use super::reviews::Review;
use super::tenant::{Decided, Shown, Tenant};
use crate::domain::activities::RowId;
use crate::domain::activity::Activity;
use crate::domain::content::{AlertRecord, Due};
use crate::domain::facts::{TenantRules, UserFacts};
use crate::domain::ids::{ActivityId, PolicyId, RiskAlertId};
use crate::domain::known_facts::KnownFacts;
use crate::domain::pseudonym::Pseudonym;
use crate::domain::risk_alert::RiskAlert;
use crate::domain::time::UtcDay;
use crate::domain::user::{Identity, IdentityKey, Join, User, UserNo, join};
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// The book.
pub struct Ledger {
    tenant: Arc<Tenant>,
    /// Who did which activity. The number may have gone into another since.
    doers: Doers,
    /// The same of those that are not in this part of the book.
    activities: HashMap<ActivityId, UserNo>,
    alerts: HashMap<RiskAlertId, UserNo>,
    members: HashMap<PolicyId, BTreeSet<UserNo>>,
    /// Where numbers went that turned out to be somebody else.
    absorbed: HashMap<UserNo, UserNo>,
    next: u32,
    decided: Decided,
    /// Not shown yet.
    users: HashMap<UserNo, UserFacts>,
    /// Whom keys point at from now on, if at anybody.
    keys: HashMap<IdentityKey, Option<UserNo>>,
    gone: Vec<UserNo>,
    /// All that were ever drawn and not erased.
    drawn: HashSet<Pseudonym>,
    pseudonyms: HashMap<UserNo, Pseudonym>,
    new_pseudonyms: Vec<(UserNo, Pseudonym)>,
    moved: Vec<(UserNo, UserNo)>,
    erased: Vec<UserNo>,
    reviews: HashMap<RiskAlertId, Review>,
    unreviewed: Vec<RiskAlertId>,
    /// What the next cycle exports, in the order in which it happened.
    due: Vec<Due>,
    /// Pseudonyms that nobody has, to be drawn first.
    offered: Vec<Pseudonym>,
    rules: Option<TenantRules>,
}

/// What is known of a tenant beside what it shows, as far as a batch can touch it.
#[derive(Default)]
pub struct Part {
    /// The number that the next new user gets.
    pub next: u32,
    /// Who did which activity.
    pub activities: HashMap<ActivityId, UserNo>,
    /// Whose each risk alert is.
    pub alerts: HashMap<RiskAlertId, UserNo>,
    /// The members of policies.
    pub members: HashMap<PolicyId, BTreeSet<UserNo>>,
    /// Pseudonyms that nobody has.
    pub offered: Vec<Pseudonym>,
}

impl Ledger {
    /// Returns the book of a tenant of which nothing is known.
    pub fn new(tenant: Arc<Tenant>) -> Self {
        Self {
            tenant,
            doers: Doers::default(),
            activities: HashMap::new(),
            alerts: HashMap::new(),
            members: HashMap::new(),
            absorbed: HashMap::new(),
            next: 1,
            decided: Decided::default(),
            users: HashMap::new(),
            keys: HashMap::new(),
            gone: Vec::new(),
            drawn: HashSet::new(),
            pseudonyms: HashMap::new(),
            new_pseudonyms: Vec::new(),
            moved: Vec::new(),
            erased: Vec::new(),
            reviews: HashMap::new(),
            unreviewed: Vec::new(),
            due: Vec::new(),
            offered: Vec::new(),
            rules: None,
        }
    }

    /// Returns the book of a tenant of whom a part is known here: what a batch can touch. What the tenant shows is that
    /// part.
    pub fn of_part(tenant: Arc<Tenant>, part: Part) -> Self {
        let Part { next, activities, alerts, members, offered } = part;
        let decided = tenant.decided();
        Self { activities, alerts, members, next, decided, offered, ..Self::new(tenant) }
    }

    /// Returns all that is shown of the tenant, and what is due.
    pub fn image(&self) -> Image {
        let mut former: BTreeMap<UserNo, Vec<UserNo>> = BTreeMap::new();
        for from in self.absorbed.keys() {
            former.entry(self.resolve(*from)).or_default().push(*from);
        }
        for numbers in former.values_mut() {
            numbers.sort_unstable();
        }
        Image {
            tenant: self.tenant.id,
            settings: self.tenant.settings(),
            epoch: self.tenant.switch.epoch().number(),
            next: self.next_user(),
            rules: self.tenant.decided().rules,
            due: self.due.iter().map(|due| Due { user: self.resolve(due.user), ..due.clone() }).collect(),
            users: self.tenant.everybody(),
            former,
            pseudonyms: self.pseudonyms.clone(),
            reviews: self.tenant.reviews.all(),
        }
    }

    /// Takes out what became due for export.
    pub fn take_due(&mut self) -> Vec<Due> {
        std::mem::take(&mut self.due)
    }

    /// Returns the tenant.
    pub fn tenant(&self) -> &Arc<Tenant> {
        &self.tenant
    }

    /// Shows everything from here on in that tenant, in which nothing has been shown yet.
    pub fn move_to(&mut self, tenant: Arc<Tenant>) {
        self.tenant = tenant;
    }

    /// Returns the number that the next new user gets.
    pub fn next_user(&self) -> UserNo {
        UserNo(self.next)
    }

    /// Returns the number under which a user is kept now.
    pub fn resolve(&self, user: UserNo) -> UserNo {
        resolved(&self.absorbed, user)
    }

    /// Returns the users whom keys point at, each once.
    pub fn hits(&self, identity: &Identity) -> Vec<UserNo> {
        let of = |key| match self.keys.get(key) {
            Some(user) => *user,
            None => self.tenant.user_of(key),
        };
        let mut users: Vec<UserNo> = identity.keys().filter_map(of).collect();
        users.sort_unstable();
        users.dedup();
        users
    }

    /// Finds whom a record is about.
    pub fn join(&self, record: &Identity) -> Join {
        match self.hits(record).as_slice() {
            [one] => self.look(*one, |facts| join(record, [&facts.user])).unwrap_or(Join::New),
            several => {
                let users = several.iter().filter_map(|user| self.look(*user, |facts| facts.user.clone()));
                join(record, &users.collect::<Vec<User>>())
            }
        }
    }

    /// Looks at what is known of a user, drafts first.
    pub fn look<T>(&self, user: UserNo, see: impl FnOnce(&UserFacts) -> T) -> Option<T> {
        match self.users.get(&user) {
            Some(draft) => Some(see(draft)),
            None => self.tenant.facts(user).map(|facts| see(&facts)),
        }
    }

    /// Looks at the rules.
    pub fn rules(&self) -> &TenantRules {
        self.rules.as_ref().unwrap_or(&self.decided.rules)
    }

    /// Returns who did the activity of that id, as kept now.
    ///
    /// It looks at the instant first: what is told twice is mostly told the same.
    pub fn doer(&self, at: DateTime<Utc>, id: &ActivityId) -> Option<UserNo> {
        if let Some(user) = self.activities.get(id) {
            return Some(self.resolve(*user));
        }
        let did = |facts: &UserFacts| facts.activities.find(at, id).is_some() || facts.activities.has(id);
        let mut users = self.doers.of(id).map(|user| self.resolve(user));
        users.find(|user| self.look(*user, did).unwrap_or(false))
    }

    /// Returns whose risk alert has that id.
    pub fn alerted(&self, id: &RiskAlertId) -> Option<UserNo> {
        self.alerts.get(id).map(|user| self.resolve(*user))
    }

    /// Returns the users who have a time of membership in a policy, past or to come.
    pub fn members(&self, policy: &PolicyId) -> impl Iterator<Item = UserNo> {
        self.members.get(policy).into_iter().flatten().copied()
    }

    /// Applies a change.
    pub fn apply(&mut self, change: Change) -> Result<(), Malformed> {
        match change {
            Change::User(user) => self.know(user),
            Change::Absorbed { from, into } => self.absorb(from, into),
            Change::Policy(policy) => {
                let policies = &mut self.rules_mut().policies;
                policies.insert(policy.id.clone(), policy);
                Ok(())
            }
            Change::Membership { user, policy, intervals } => {
                let members = self.members.entry(policy.clone()).or_default();
                if intervals.is_empty() {
                    members.remove(&user);
                    self.draft(user)?.memberships.remove(&policy);
                } else {
                    members.insert(user);
                    self.draft(user)?.memberships.insert(policy, intervals);
                }
                Ok(())
            }
            Change::Trigger { user, trigger } => {
                self.draft(user)?.triggers.insert(trigger);
                Ok(())
            }
            Change::Alert { user, alert } => self.review(user, alert, None, String::new()),
            Change::Decided { user, alert, by, comment } => self.review(user, alert, Some(by), comment),
            Change::Settings { settings, epoch: _ } => {
                if !settings.settings.alert_export {
                    self.due.clear();
                }
                self.rules_mut().settings = settings.settings;
                self.decided.version = settings.version;
                Ok(())
            }
            Change::Pseudonym { user, pseudonym } => {
                self.drawn.insert(pseudonym);
                self.pseudonyms.insert(user, pseudonym);
                self.new_pseudonyms.push((user, pseudonym));
                Ok(())
            }
            Change::Erased(users) => self.erase(&users),
            Change::Brought(person) => self.bring(*person),
            Change::Next(user) => {
                self.next = self.next.max(user.0);
                Ok(())
            }
            Change::Due(due) => {
                self.due.push(due);
                Ok(())
            }
            Change::Published(_) => {
                for due in std::mem::take(&mut self.due) {
                    if let Some(review) = self.review_of(&due.alert.id) {
                        review.exported = true;
                    }
                }
                Ok(())
            }
        }
    }

    /// Takes over a user with everything that the user did, and the hashes of its ids ([`doers::hash`]).
    pub fn bring_all(&mut self, person: Person, ids: Vec<u32>) -> Result<(), Malformed> {
        let user = person.facts.user.no;
        for id in ids {
            self.doers.add_hashed(id, user);
        }
        self.bring(person)
    }

    /// Takes over a user whom another store kept.
    fn bring(&mut self, person: Person) -> Result<(), Malformed> {
        let Person { facts, pseudonym, former, reviews } = person;
        let no = facts.user.no;
        for key in facts.user.identity.keys() {
            self.keys.insert(key.clone(), Some(no));
        }
        for policy in facts.memberships.keys() {
            self.members.entry(policy.clone()).or_default().insert(no);
        }
        for (from, _) in &former {
            self.absorbed.insert(*from, no);
            self.moved.push((*from, no));
        }
        let pseudonyms = former.into_iter().filter_map(|(from, one)| Some((from, one?)));
        for (user, pseudonym) in pseudonyms.chain([(no, pseudonym)]) {
            self.apply(Change::Pseudonym { user, pseudonym })?;
        }
        for (alert, review) in reviews {
            self.alerts.insert(alert.clone(), no);
            self.reviews.insert(alert, review);
        }
        self.next = self.next.max(no.0.checked_add(1).ok_or(Malformed)?);
        self.users.insert(no, facts);
        Ok(())
    }

    /// Takes the new state of a risk alert.
    fn review(
        &mut self,
        user: UserNo,
        alert: RiskAlert,
        by: Option<String>,
        comment: String,
    ) -> Result<(), Malformed> {
        let id = alert.id.clone();
        if self.review_of(&id).is_none() {
            self.reviews.insert(id.clone(), Review::of(user, &alert));
        }
        let review = self.review_of(&id).ok_or(Malformed)?;
        review.user = user;
        let (is_new, change) = (review.note(&alert, by, comment), review.history.len() - 1);
        if is_new && self.rules().settings.alert_export {
            self.due.push(Due { alert: alert.clone(), user, change });
        }
        self.alerts.insert(id.clone(), user);
        self.draft(user)?.alerts.insert(id, alert);
        Ok(())
    }

    /// Returns the draft of what is kept of an alert, if anything is.
    fn review_of(&mut self, id: &RiskAlertId) -> Option<&mut Review> {
        if !self.reviews.contains_key(id) {
            let shown = self.tenant.reviews.get(id)?;
            self.reviews.insert(id.clone(), (*shown).clone());
        }
        self.reviews.get_mut(id)
    }

    /// Returns the records of what is due for export.
    pub fn due(&self) -> Vec<AlertRecord> {
        let (mut seen, mut records) = (HashSet::new(), Vec::new());
        for due in &self.due {
            let is_first = seen.insert(&due.alert.id) && !self.was_exported(&due.alert.id);
            let record = |facts: &UserFacts| due.record(self.tenant.id, facts, self.rules(), is_first);
            records.extend(self.look(self.resolve(due.user), record));
        }
        records
    }

    fn was_exported(&self, id: &RiskAlertId) -> bool {
        match self.reviews.get(id) {
            Some(draft) => draft.exported,
            None => self.tenant.reviews.get(id).is_some_and(|review| review.exported),
        }
    }

    /// Adds one activity.
    pub fn add_activity(&mut self, user: UserNo, activity: &Activity) -> Result<(), Malformed> {
        self.doers.add(RowId::of(&activity.id), user);
        self.draft(user)?.activities.insert(activity);
        Ok(())
    }

    /// Adds many activities of a user at once. The number may have gone into another since they were recorded.
    pub fn add_activities(&mut self, user: UserNo, activities: Vec<Activity>) -> Result<(), Malformed> {
        let user = self.resolve(user);
        for activity in &activities {
            self.doers.add(RowId::of(&activity.id), user);
        }
        self.draft(user)?.activities.extend(activities);
        Ok(())
    }

    /// Forgets activities of days before `first`, and returns how many.
    pub fn expire_before(&mut self, first: UtcDay) -> u64 {
        let is_old = |facts: &UserFacts| facts.activities.first_day().is_some_and(|day| day < first);
        let drafts = self.users.values().filter(|facts| is_old(facts)).map(|facts| facts.user.no);
        let mut old: BTreeSet<UserNo> = drafts.collect();
        old.extend(self.tenant.users_of(|facts| is_old(facts)));
        let mut forgotten = 0;
        for user in old {
            let Ok(facts) = self.draft(user) else { continue };
            let before = facts.activities.clone();
            forgotten += facts.activities.expire_before(first) as u64;
            let (doers, absorbed) = (&mut self.doers, &self.absorbed);
            for row in before.iter().take_while(|row| row.day() < first) {
                doers.remove(row.id, |doer| resolved(absorbed, doer) == user);
            }
        }
        forgotten
    }

    /// Shows all drafts to readers.
    pub fn show(&mut self) {
        if let Some(rules) = self.rules.take() {
            self.decided.rules = Arc::new(rules);
        }
        self.tenant.show(Shown {
            decided: Some(self.decided.clone()),
            keys: std::mem::take(&mut self.keys).into_iter().collect(),
            users: std::mem::take(&mut self.users).into_values().map(KnownFacts::new).collect(),
            gone: std::mem::take(&mut self.gone),
            pseudonyms: std::mem::take(&mut self.new_pseudonyms),
            moved: std::mem::take(&mut self.moved),
            erased: std::mem::take(&mut self.erased),
            reviews: std::mem::take(&mut self.reviews).into_iter().collect(),
            unreviewed: std::mem::take(&mut self.unreviewed),
        });
    }

    fn know(&mut self, user: User) -> Result<(), Malformed> {
        let no = user.no;
        let lost = |facts: &UserFacts| {
            let keys = facts.user.identity.keys();
            keys.filter(|key| !user.identity.has(key)).cloned().collect::<Vec<_>>()
        };
        for key in self.look(no, lost).unwrap_or_default() {
            self.keys.insert(key, None);
        }
        for key in user.identity.keys() {
            self.keys.insert(key.clone(), Some(no));
        }
        if no.0 >= self.next {
            self.next = no.0.checked_add(1).ok_or(Malformed)?;
            self.users.insert(no, UserFacts::of(user));
        } else {
            self.draft(no)?.user = user;
        }
        Ok(())
    }

    fn absorb(&mut self, from: UserNo, into: UserNo) -> Result<(), Malformed> {
        if from == into {
            return Err(Malformed);
        }
        let other = self.take(from)?;
        for key in other.user.identity.keys() {
            self.keys.insert(key.clone(), Some(into));
        }
        for policy in other.memberships.keys() {
            let members = self.members.entry(policy.clone()).or_default();
            members.remove(&from);
            members.insert(into);
        }
        self.draft(into)?.absorb(&other);
        self.absorbed.insert(from, into);
        self.moved.push((from, into));
        self.gone.push(from);
        Ok(())
    }

    /// Returns who is to be erased when these users are: all numbers that they ever had, and all their keys.
    pub fn erasure_of(&self, users: &[UserNo]) -> Erasure {
        let is_theirs = |from: &UserNo| users.contains(&self.resolve(*from));
        let mut erasure = Erasure::default();
        erasure.numbers.extend(self.absorbed.keys().copied().filter(is_theirs));
        erasure.numbers.extend(users);
        for user in users {
            let keys = self.look(*user, |facts| facts.user.identity.keys().cloned().collect::<Vec<_>>());
            erasure.keys.extend(keys.unwrap_or_default());
        }
        erasure
    }

    /// Draws a pseudonym that no user of the tenant has, blindly as long as that is likely to find one.
    pub fn draw_pseudonym(&mut self) -> Result<Pseudonym, Malformed> {
        if let Some(offered) = self.offered.pop() {
            return Ok(offered);
        }
        let mut bytes = [0; 4];
        getrandom::fill(&mut bytes).map_err(|_| Malformed)?;
        let begin = u32::from_le_bytes(bytes) % Pseudonym::COUNT;
        let all = (begin..Pseudonym::COUNT).chain(0..begin).filter_map(Pseudonym::numbered);
        let first_free = all.into_iter().find(|one| !self.drawn.contains(one));
        // When all are taken, which 46 million users would do, two share one.
        first_free.or_else(|| Pseudonym::numbered(begin)).ok_or(Malformed)
    }

    /// Takes people out of the book. On replay nothing but their numbers is there.
    fn erase(&mut self, users: &BTreeSet<UserNo>) -> Result<(), Malformed> {
        let last = users.last().copied().unwrap_or_default();
        self.next = self.next.max(last.0.checked_add(1).ok_or(Malformed)?);
        for user in users {
            if let Ok(facts) = self.take(*user) {
                self.forget(*user, &facts);
            }
        }
        for user in users {
            self.absorbed.remove(user);
            if let Some(pseudonym) = self.pseudonyms.remove(user) {
                self.drawn.remove(&pseudonym);
            }
            self.erased.push(*user);
        }
        Ok(())
    }

    fn forget(&mut self, user: UserNo, facts: &UserFacts) {
        for key in facts.user.identity.keys() {
            self.keys.insert(key.clone(), None);
            let is_priority = self.rules().policies.values().any(|p| p.priority_users.contains(key));
            if is_priority {
                self.rules_mut().policies.values_mut().for_each(|policy| {
                    policy.priority_users.remove(key);
                });
            }
        }
        for row in facts.activities.iter() {
            self.doers.remove(row.id, |doer| resolved(&self.absorbed, doer) == user);
        }
        self.due.retain(|due| !facts.alerts.contains_key(&due.alert.id));
        for alert in facts.alerts.keys() {
            self.alerts.remove(alert);
            self.reviews.remove(alert);
            self.unreviewed.push(alert.clone());
        }
        for members in self.members.values_mut() {
            members.remove(&user);
        }
    }

    /// Takes a user out.
    fn take(&mut self, user: UserNo) -> Result<UserFacts, Malformed> {
        self.draft(user)?;
        self.users.remove(&user).ok_or(Malformed)
    }

    /// Returns the draft of a user; what is shown is copied into it first, and shares all days of activity.
    fn draft(&mut self, user: UserNo) -> Result<&mut UserFacts, Malformed> {
        if !self.users.contains_key(&user) {
            let shown = if self.absorbed.contains_key(&user) { None } else { self.tenant.facts(user) };
            let shown = shown.ok_or(Malformed)?;
            self.users.insert(user, (*shown).clone());
        }
        self.users.get_mut(&user).ok_or(Malformed)
    }

    fn rules_mut(&mut self) -> &mut TenantRules {
        self.rules.get_or_insert_with(|| (*self.decided.rules).clone())
    }
}

/// Returns where a number went that turned out to be somebody else.
fn resolved(absorbed: &HashMap<UserNo, UserNo>, mut user: UserNo) -> UserNo {
    while let Some(into) = absorbed.get(&user) {
        user = *into;
    }
    user
}

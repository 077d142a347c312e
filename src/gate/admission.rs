//! The sharing gate: the doors on the way from stored user data to the wire.
//!
//! This file is a leaf: it has no child modules, so nothing else can see its private fields. The mint and the coin
//! live together.

use crate::clock::Clock;
use crate::domain::audit::{AuditChange, AuditEvent, AuditOutcome, SERVER_CHAIN};
use crate::domain::decision::{Decision, RiskAlertQuery, Undecided};
use crate::domain::ids::{RiskAlertId, TenantId};
use crate::domain::risk_alert::Status;
use crate::domain::user::{Identity, PersonalText, User, UserNo};
use crate::gate::audit;
use crate::gate::audit::{About, Trail};
use crate::gate::caller::{Access, Caller, Denied, Entry, Tenants};
use crate::gate::rate::Rate;
use crate::gate::rights::Right;
use crate::store;
use crate::store::{AlertCursor, AlertPage, Hold, Named, Snapshot, Store, StoreError};
use crate::telemetry::METRICS;
use chrono::{DateTime, Utc};
use governor::Quota;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Decides who may learn what, before anything is looked up.
#[derive(Clone)]
pub struct Gate {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    denials: Rate<String>,
}

/// The tenant does not share its users' risk, or stopped while the answer was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("User data is not available")]
pub struct SharingOff(());

/// The store cannot answer now. Holds the cause, for the log alone.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the store is unavailable: {0}")]
pub struct Unavailable(pub String);

impl From<StoreError> for Unavailable {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(cause) => Self(cause),
            other @ (StoreError::SettingsChanged | StoreError::AuditUnavailable(_)) => {
                Self(other.to_string())
            }
        }
    }
}

/// What was asked cannot be written down, so it is not done. Holds the cause, for the log alone.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the audit log is unavailable: {0}")]
pub struct AuditUnavailable(pub String);

/// Why a caller was not let in.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The caller may not do that.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The caller may not do that, and was told so too often to be told and written down once more. Holds the time
    /// after which it can be.
    #[error("the caller is refused too often")]
    DeniedTooOften(Duration),
    /// The tenant does not share.
    #[error(transparent)]
    SharingOff(#[from] SharingOff),
    /// The switch could not be read. In doubt, refuse.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// It cannot be written down.
    #[error(transparent)]
    AuditUnavailable(#[from] AuditUnavailable),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::AuditUnavailable(cause) => AuditUnavailable(cause).into(),
            other => Unavailable::from(other).into(),
        }
    }
}

/// The first door: proof that the tenant shared its data when the request was admitted. It is the tenant and the
/// instant of the answer, so that no reader can take them from elsewhere.
///
/// Nobody else can make one:
///
/// ```compile_fail,E0451
/// let forged: riskshare::gate::admission::SharingGrant =
///     riskshare::gate::admission::SharingGrant { ..todo!() };
/// ```
///
/// ```no_run
/// let forged: riskshare::gate::admission::SharingGrant =
///     todo!();
/// ```
#[must_use]
pub struct SharingGrant {
    access: Access,
    hold: Arc<Hold>,
    as_of: DateTime<Utc>,
    store: Arc<dyn Store>,
    about: About,
    trail: Trail,
}

/// Proof that the audit log holds what is read under a grant, without which nothing is disclosed.
///
/// ```compile_fail,E0451
/// let forged: riskshare::gate::admission::WrittenDown<'_> =
///     riskshare::gate::admission::WrittenDown { hold: todo!(), grant: todo!() };
/// ```
///
/// ```no_run
/// let forged: riskshare::gate::admission::WrittenDown<'_> =
///     todo!();
/// ```
///
/// As long as it lives, nobody else is read under the grant:
///
/// ```compile_fail,E0502
/// # async fn more(grant: &mut riskshare::gate::admission::SharingGrant) {
/// let Ok(written) = grant.write_down().await else { return };
/// let read = grant.look_up(&[]).await;
/// let disclosed = written.disclose(read).await;
/// # drop(disclosed); }
/// ```
///
/// ```
/// # async fn first(grant: &mut riskshare::gate::admission::SharingGrant) {
/// let read = grant.look_up(&[]).await;
/// let Ok(written) = grant.write_down().await else { return };
/// let disclosed = written.disclose(read).await;
/// # drop(disclosed); }
/// ```
#[must_use]
pub struct WrittenDown<'g> {
    hold: Arc<Hold>,
    grant: &'g SharingGrant,
}

/// The second door: a value that may leave as long as the switch has not moved, and of which the audit log says who
/// has it.
///
/// ```compile_fail,E0451
/// let forged: riskshare::gate::admission::Disclosed<u8> =
///     riskshare::gate::admission::Disclosed { ..todo!() };
/// ```
///
/// ```no_run
/// let forged: riskshare::gate::admission::Disclosed<u8> =
///     todo!();
/// ```
#[must_use]
pub struct Disclosed<T> {
    value: T,
    seal: Seal,
}

/// The third door: what every piece of a disclosed value asks before the transport may have it.
#[derive(Clone)]
pub struct Seal(Arc<Hold>);

/// Leave to hand one piece to the transport, which drops it when it has taken the piece.
#[must_use]
pub struct Pass(store::Pass);

impl Pass {
    /// Returns by when the piece must have left the process, if it matters.
    #[must_use]
    pub fn ends(&self) -> Option<Instant> {
        self.0.ends()
    }
}

/// Leave to read a tenant's audit log, which has been written down in it. Sharing does not matter: the log names users
/// by number, for auditors.
///
/// ```compile_fail,E0451
/// let forged: riskshare::gate::admission::AuditGrant =
///     riskshare::gate::admission::AuditGrant { ..todo!() };
/// ```
///
/// ```no_run
/// let forged: riskshare::gate::admission::AuditGrant =
///     todo!();
/// ```
#[must_use]
#[derive(Debug)]
pub struct AuditGrant(Permit);

/// Leave to change a tenant's facts or settings. Tells nothing about anybody.
#[must_use]
#[derive(Clone, Debug)]
pub struct Permit {
    access: Access,
    at: DateTime<Utc>,
}

impl Gate {
    /// Returns the gate of a store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, denials: Rate::new(None) }
    }

    /// Bounds how many refusals of a principal are written down a minute, and at once. 0 is no bound: each costs a line
    /// that is kept for months.
    #[must_use]
    pub fn with_denials_a_minute(self, count: u32) -> Self {
        Self { denials: Rate::new(NonZeroU32::new(count).map(Quota::per_minute)), ..self }
    }

    /// Looks at the caller's roles.
    ///
    /// # Errors
    /// When none has the right, which is written down.
    pub async fn authorise(&self, caller: &Caller, right: Right) -> Result<Entry, Refusal> {
        counted(self.authorised(caller, right).await)
    }

    async fn authorised(&self, caller: &Caller, right: Right) -> Result<Entry, Refusal> {
        match caller.entry(right, self.clock.now()) {
            Ok(entry) => Ok(entry),
            Err(denied) => Err(self.deny(caller, right, None, denied).await),
        }
    }

    /// Looks at the caller's tenants.
    ///
    /// # Errors
    /// When this is none of them, whether it exists or not, which is written down.
    pub async fn enter(&self, entry: &Entry, tenant: TenantId) -> Result<Access, Refusal> {
        counted(self.entered(entry, tenant).await)
    }

    async fn entered(&self, entry: &Entry, tenant: TenantId) -> Result<Access, Refusal> {
        match entry.access(tenant, self.clock.now()) {
            Ok(access) => Ok(access),
            Err(denied) => Err(self.deny(entry.caller(), entry.right(), Some(tenant), denied).await),
        }
    }

    /// Looks at the caller's credentials again, while a stream waits for its next message.
    ///
    /// # Errors
    /// When they have lapsed.
    pub fn still(&self, entry: &Entry) -> Result<(), Refusal> {
        Ok(entry.still(self.clock.now())?)
    }

    /// Decides, before anything about a user is looked up. An unknown tenant and one that never decided are refused
    /// like one that does not share. What the question is about goes into the audit log.
    ///
    /// # Errors
    /// When the tenant does not share, or when that cannot be found out or written down.
    pub async fn admit(&self, access: Access, about: About) -> Result<SharingGrant, Refusal> {
        let hold = self.store.hold(access.tenant()).await;
        counted(self.let_in(hold, access, about).await)
    }

    /// Does the same for a question about these people, whom the store may then read in the same breath.
    ///
    /// # Errors
    /// Like those of [`Gate::admit`].
    pub async fn admit_to_read(
        &self,
        access: Access,
        about: About,
        people: &[&Identity],
    ) -> Result<SharingGrant, Refusal> {
        let hold = self.store.hold_to_read(access.tenant(), people).await;
        counted(self.let_in(hold, access, about).await)
    }

    async fn let_in(
        &self,
        hold: Result<Hold, StoreError>,
        access: Access,
        about: About,
    ) -> Result<SharingGrant, Refusal> {
        let hold = hold.map_err(Unavailable::from)?;
        let (as_of, trail) = (self.clock.now(), Trail::default());
        if !hold.is_sharing() {
            let event = audit::event(&access, as_of, AuditOutcome::SharingOff, about, &trail);
            self.record(&access, event).await?;
            return Err(SharingOff(()).into());
        }
        Ok(SharingGrant { access, hold: Arc::new(hold), as_of, store: Arc::clone(&self.store), about, trail })
    }

    /// Lets facts of a tenant be recorded, and settings be looked at or changed, whether it shares or not. A change of
    /// settings, and an erasure, is written down by the store that makes it.
    pub fn permit(&self, access: Access) -> Permit {
        Permit { access, at: self.clock.now() }
    }

    /// Lets a tenant's policies be changed after that was written down.
    ///
    /// # Errors
    /// When it cannot be.
    pub async fn permit_change(
        &self,
        access: Access,
        changes: Vec<AuditChange>,
    ) -> Result<Permit, AuditUnavailable> {
        let permit = self.permit(access);
        // The change makes the tenant known.
        write_down(&*self.store, permit.tenant(), permit.change(changes)).await?;
        Ok(permit)
    }

    /// Lets a tenant's audit log be read, after that was written down in it.
    ///
    /// # Errors
    /// When it cannot be.
    pub async fn inspect(&self, access: Access) -> Result<AuditGrant, Refusal> {
        let permit = self.permit(access);
        let access = &permit.access;
        let event =
            audit::event(access, permit.at, AuditOutcome::Disclosed, About::default(), &Trail::default());
        self.record(access, event).await?;
        Ok(AuditGrant(permit))
    }

    /// Writes a refusal down in the chain of the caller's own first tenant, never in that of the tenant asked for:
    /// nobody writes into somebody else's log. Credentials that lapsed are nobody's. A principal who is refused too often
    /// is not told why any more: what is told is written down.
    async fn deny(&self, caller: &Caller, right: Right, asked: Option<TenantId>, denied: Denied) -> Refusal {
        let outcome = match denied {
            Denied::Lapsed => return denied.into(),
            Denied::PermissionMissing => AuditOutcome::PermissionMissing,
            Denied::TenantMismatch => AuditOutcome::TenantMismatch,
        };
        if let Err(wait) = self.denials.count(&caller.principal().to_owned()) {
            return Refusal::DeniedTooOften(wait);
        }
        let own = match caller.tenants() {
            Tenants::All => None,
            Tenants::These(tenants) => tenants.first().copied(),
        };
        let event = AuditEvent::new(self.clock.now(), caller.principal(), right.name(), outcome);
        let event = AuditEvent { asked, ..event };
        match write_down(&*self.store, own.unwrap_or(SERVER_CHAIN), event).await {
            Ok(()) => denied.into(),
            Err(unavailable) => unavailable.into(),
        }
    }

    /// Writes down what was asked about a tenant.
    async fn record(&self, access: &Access, mut event: AuditEvent) -> Result<(), Refusal> {
        let tenant = access.tenant();
        let chain = self.chain(access).await?;
        event.asked = (chain != tenant).then_some(tenant);
        Ok(write_down(&*self.store, chain, event).await?)
    }

    /// Returns the tenant's chain. But a tenant that nobody knows gets none just because somebody, who may ask about
    /// all, made its name up: else each name would cost memory for ever.
    async fn chain(&self, access: &Access) -> Result<TenantId, Refusal> {
        let tenant = access.tenant();
        let is_known = match access.caller().tenants() {
            Tenants::These(_) => true,
            Tenants::All => self.store.knows(tenant).await?,
        };
        Ok(if is_known { tenant } else { SERVER_CHAIN })
    }
}

/// Counts a refusal.
fn counted<T>(result: Result<T, Refusal>) -> Result<T, Refusal> {
    if let Err(refusal) = &result {
        METRICS.refused(match refusal {
            Refusal::Denied(Denied::PermissionMissing) => "permission_missing",
            Refusal::Denied(Denied::TenantMismatch) => "tenant_mismatch",
            Refusal::Denied(Denied::Lapsed) => "credentials_lapsed",
            Refusal::DeniedTooOften(_) => "denied_too_often",
            Refusal::SharingOff(_) => "sharing_off",
            Refusal::Unavailable(_) => "store_unavailable",
            Refusal::AuditUnavailable(_) => "audit_unavailable",
        });
    }
    result
}

async fn write_down(store: &dyn Store, chain: TenantId, event: AuditEvent) -> Result<(), AuditUnavailable> {
    store.record(chain, event).await.map_err(|error| match error {
        StoreError::AuditUnavailable(cause) => AuditUnavailable(cause),
        other => AuditUnavailable(other.to_string()),
    })
}

impl SharingGrant {
    /// Returns the tenant.
    #[must_use]
    pub fn tenant(&self) -> TenantId {
        self.hold.tenant()
    }

    /// Returns who asks.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        self.access.caller()
    }

    /// Returns the instant for which the answer holds.
    #[must_use]
    pub fn as_of(&self) -> DateTime<Utc> {
        self.as_of
    }

    /// Returns how often the switch had moved. Bound into page tokens.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.hold.epoch()
    }

    /// Reads people, all as of one instant, and notes for the audit log who they are: there is no other way. Whom a
    /// policy keeps from the caller is nobody (`domain.md` 7). Nobody is read any more once that was written down.
    ///
    /// # Errors
    /// When the store cannot answer, which is written down.
    pub async fn look_up(&mut self, people: &[&Identity]) -> Result<Snapshot, Refusal> {
        match self.store.read(&self.hold, people).await {
            Ok(mut snapshot) => {
                self.hide(&mut snapshot);
                self.trail.note(&snapshot);
                Ok(snapshot)
            }
            Err(error) => {
                self.record(AuditOutcome::Failed).await?;
                Err(error.into())
            }
        }
    }

    /// Looks up who users are by their numbers, and notes for the audit log who they are. Whom a policy keeps from the
    /// caller is nobody.
    ///
    /// # Errors
    /// When the store cannot answer, which is written down.
    pub async fn resolve(&mut self, users: &[UserNo]) -> Result<Vec<Option<Named>>, Refusal> {
        match self.named(users).await {
            Ok(named) => {
                self.trail.note_named(&named);
                Ok(named)
            }
            Err(error) => {
                self.record(AuditOutcome::Failed).await?;
                Err(error.into())
            }
        }
    }

    /// Reads a page of risk alerts, and notes for the audit log whose they are. Those of users whom a policy keeps from
    /// the caller are left out.
    ///
    /// # Errors
    /// When the store cannot answer, which is written down.
    pub async fn risk_alerts(
        &mut self,
        query: &RiskAlertQuery,
        after: Option<&AlertCursor>,
        size: usize,
    ) -> Result<AlertPage, Refusal> {
        let page = self.store.risk_alerts(&self.hold, query, after, size).await;
        self.reviewed(page).await
    }

    /// Reads one risk alert, a page of at most one, like [`SharingGrant::risk_alerts`].
    ///
    /// # Errors
    /// Like those of [`SharingGrant::risk_alerts`].
    pub async fn risk_alert(&mut self, alert: &RiskAlertId) -> Result<AlertPage, Refusal> {
        let page = self.store.risk_alert(&self.hold, alert).await;
        self.reviewed(page).await
    }

    async fn reviewed(&mut self, page: Result<AlertPage, StoreError>) -> Result<AlertPage, Refusal> {
        match page {
            Ok(mut page) => {
                let (rules, principal) = (Arc::clone(&page.rules), self.caller().principal());
                page.alerts.retain(|one| !rules.hides(&named_user(&one.user), principal));
                self.trail.note_alerts(&page);
                Ok(page)
            }
            Err(error) => {
                self.record(AuditOutcome::Failed).await?;
                Err(error.into())
            }
        }
    }

    /// Takes the caller's decision about a risk alert, which is written down before it holds. An alert of a user whom a
    /// policy keeps from the caller is one that nobody knows.
    ///
    /// # Errors
    /// When it cannot be written down, or the store cannot answer: the decision may then hold.
    pub async fn decide(
        &mut self,
        alert: &RiskAlertId,
        status: Status,
        expected: Option<String>,
        comment: String,
    ) -> Result<Result<(), Undecided>, Refusal> {
        if self.risk_alert(alert).await?.alerts.is_empty() {
            return Ok(Err(Undecided::Unknown));
        }
        let by = self.caller().principal().to_owned();
        let decision = Decision { alert: alert.clone(), status, expected, by, comment, at: self.as_of };
        let changes = vec![AuditChange { field: "status".to_owned(), value: format!("{status:?}") }];
        let event = audit::event(
            &self.access,
            self.as_of,
            AuditOutcome::Changed,
            self.about.clone(),
            &Trail::default(),
        );
        let event = AuditEvent { changes, ..event };
        Ok(self.store.decide(self.tenant(), decision, event).await?)
    }

    async fn named(&self, users: &[UserNo]) -> Result<Vec<Option<Named>>, StoreError> {
        let named = self.store.named(self.tenant(), users).await?;
        let rules = self.store.read(&self.hold, &[]).await?.rules;
        let principal = self.caller().principal();
        let is_shown = |named: &Named| !rules.hides(&named_user(named), principal);
        Ok(named.into_iter().map(|one| one.filter(is_shown)).collect())
    }

    /// Spells a name. Names leave in clear here, as the product's alert pages show them (`domain.md` 9, reading 10).
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "a grant is what it takes to spell a name")]
    pub fn spell<'n>(&self, name: PersonalText<'n>) -> &'n str {
        name.spell()
    }

    fn hide(&self, snapshot: &mut Snapshot) {
        let principal = self.caller().principal();
        if snapshot.rules.hides_anybody(principal) {
            for found in &mut snapshot.found {
                found.retain(|facts| !snapshot.rules.hides(&facts.user, principal));
            }
        }
    }

    /// Writes down who was read for whom, and returns once that is durable. Nothing that is to be disclosed need be
    /// made before: it would only wait in memory.
    ///
    /// # Errors
    /// When the switch has moved since the first door, or when nothing can be written down.
    pub async fn write_down(&self) -> Result<WrittenDown<'_>, Refusal> {
        self.write(AuditOutcome::Disclosed).await
    }

    /// Writes down that a refusal is given which depends on what is known of users.
    ///
    /// # Errors
    /// Like those of [`SharingGrant::write_down`].
    pub async fn write_down_refusal(&self) -> Result<WrittenDown<'_>, Refusal> {
        self.write(AuditOutcome::Refused).await
    }

    async fn write(&self, outcome: AuditOutcome) -> Result<WrittenDown<'_>, Refusal> {
        counted(self.written(outcome).await)
    }

    async fn written(&self, outcome: AuditOutcome) -> Result<WrittenDown<'_>, Refusal> {
        let held = self.still_held(Arc::clone(&self.hold)).await;
        self.record(if held.is_ok() { outcome } else { AuditOutcome::SharingOff }).await?;
        Ok(WrittenDown { hold: held?, grant: self })
    }

    /// Returns a hold under which something may be handed over: that one, or, where an answer took longer than its engine
    /// lets a hold last, another one of the same epoch. The switch has not moved between the two.
    async fn still_held(&self, hold: Arc<Hold>) -> Result<Arc<Hold>, Refusal> {
        if hold.pass().is_ok() {
            return Ok(hold);
        }
        let epoch = hold.epoch();
        // Else the other one could wait behind a switch that waits for this one.
        hold.release().await;
        let again = self.store.hold(self.tenant()).await?;
        if again.epoch() == epoch && again.pass().is_ok() {
            return Ok(Arc::new(again));
        }
        Err(SharingOff(()).into())
    }

    /// A tenant that shares is known, so the line goes into its chain.
    async fn record(&self, outcome: AuditOutcome) -> Result<(), AuditUnavailable> {
        let event = audit::event(&self.access, self.as_of, outcome, self.about.clone(), &self.trail);
        write_down(&*self.store, self.access.tenant(), event).await
    }
}

fn named_user(named: &Named) -> User {
    User::named(named.user, named.identity.clone())
}

impl WrittenDown<'_> {
    /// Opens the second door unless the switch has moved since the first.
    ///
    /// # Errors
    /// When it has, or the store cannot say.
    pub async fn disclose<T>(self, value: T) -> Result<Disclosed<T>, Refusal> {
        let hold = counted(self.grant.still_held(self.hold).await)?; // It took time to write, and to make the value.
        Ok(Disclosed { value, seal: Seal(hold) })
    }
}

impl<T> Disclosed<T> {
    /// Returns the value with the seal that goes with it to the transport.
    pub fn leave(self) -> (T, Seal) {
        (self.value, self.seal)
    }
}

impl Seal {
    /// Lets one piece be handed to the transport, which drops the pass when it has taken it.
    ///
    /// # Errors
    /// When the switch has moved.
    pub fn pass(&self) -> Result<Pass, SharingOff> {
        self.0.pass().map(Pass).map_err(|_| SharingOff(()))
    }
}

impl Permit {
    /// Returns the tenant.
    #[must_use]
    pub fn tenant(&self) -> TenantId {
        self.access.tenant()
    }

    /// Returns the instant of the change.
    #[must_use]
    pub fn at(&self) -> DateTime<Utc> {
        self.at
    }

    /// Returns what is written down of a change under it.
    #[must_use]
    pub fn change(&self, changes: Vec<AuditChange>) -> AuditEvent {
        let (caller, right) = (self.access.caller(), self.access.right());
        let event = AuditEvent::new(self.at, caller.principal(), right.name(), AuditOutcome::Changed);
        AuditEvent { changes, ..event }
    }
}

impl AuditGrant {
    /// Returns the tenant.
    #[must_use]
    pub fn tenant(&self) -> TenantId {
        self.0.tenant()
    }

    /// Returns who asks.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        self.0.access.caller()
    }
}

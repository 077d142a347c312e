//! What every engine must do, as one suite: `conformance!(place)` makes a test of each promise. An engine's own tests
//! are about its disk alone.

#![allow(missing_docs, reason = "a promise is named by what it promises")]

mod audit;
mod content;
mod erasure;
mod facts;
mod model;
#[cfg(has_postgres)]
mod moves;
mod people;
mod reviews;
mod switch;
#[cfg(has_postgres)]
mod twins;

pub use model::agrees_with_the_model;
#[cfg(has_postgres)]
pub use moves::{
    Movable, a_move_that_is_given_up_leaves_the_source_as_it_was,
    a_store_that_was_moved_goes_on_as_if_it_was_not,
};
#[cfg(has_postgres)]
pub use twins::two_engines_say_the_same;

use crate::domain::activity::{Activity, Sensitivity};
use crate::domain::audit::{AuditEvent, AuditOutcome};
use crate::domain::facts::{Batch, Fact, Outcome};
use crate::domain::ids::{ActivityId, PolicyId, TenantId};
use crate::domain::indicator::Indicator;
use crate::domain::known_facts::SharedFacts;
use crate::domain::policy::{Interval, Policy, Scope, Thresholds, TriggerRule};
use crate::domain::settings::Settings;
use crate::domain::time::UtcDay;
use crate::domain::user::{Identity, IdentityKey, Personal};
use crate::store::Store;
use chrono::{DateTime, TimeDelta, Utc};
use std::sync::Arc;
use uuid::Uuid;

pub use audit::*;
pub use content::*;
pub use erasure::*;
pub use facts::*;
pub use people::*;
pub use reviews::*;
pub use switch::*;

/// Where an engine keeps a store. Opening it again, after the store was dropped, finds what was there.
pub trait Place {
    /// Stories about time need not wait for it. Not where something outside this process answers: its answers would seem
    /// to take for ever.
    const PAUSED: bool = true;
    /// Returns a new, empty place.
    fn new() -> Self;
    /// Opens the store in it.
    fn open(&self) -> Arc<dyn Store>;
}

/// Makes a test of each promise for the engine of a [`Place`].
#[macro_export]
macro_rules! conformance {
    ($place:ty, paused = $paused:tt) => {
        $crate::conformance! { $place, $paused:
            an_unknown_tenant_shares_nothing_and_looking_leaves_no_trace,
            off_ends_every_hold_for_good_and_on_gives_new_ones_only,
            off_says_whether_all_passes_were_dropped_within_two_seconds,
            settings_change_by_version_and_survive_a_restart,
            an_activity_is_recorded_once_whatever_is_repeated,
            tenants_never_meet,
            facts_that_are_repeated_change_nothing,
            an_imported_alert_follows_its_newest_state_and_its_user,
            risk_alerts_are_raised_in_the_commit_that_gives_cause,
            expiry_forgets_whole_days_and_frees_their_ids,
            the_token_key_is_made_once,
            people_join_when_a_record_names_both,
            declared_people_never_join,
            a_declaration_replaces_the_one_before,
            a_declaration_never_takes_over_somebody_of_another_account,
            an_erased_person_is_nowhere_and_everybody_else_is_as_before,
            whoever_cannot_be_one_person_is_not_erased,
            a_pseudonym_is_kept_for_ever_and_is_nobody_elses,
            risk_alerts_are_listed_newest_first_and_pages_join_without_gap,
            a_decision_holds_at_once_and_is_kept_with_who_and_why,
            an_alert_that_rises_is_kept_with_each_severity_that_it_had,
            what_changes_while_export_is_on_is_exported_once,
            a_raised_alert_is_exported_with_its_trigger_and_each_rise,
            what_is_due_of_two_who_turn_out_to_be_one_is_exported,
            many_changes_make_several_blobs_that_are_read_in_order,
            nothing_of_an_erased_person_is_exported_any_more,
            a_note_is_replaced_by_whoever_knows_what_it_says,
            what_was_written_down_is_read_in_order_and_survives_a_restart,
            pages_join_without_gap_and_end_though_the_log_grows,
            a_line_that_somebody_kept_is_found_or_missed,
            old_days_go_and_their_anchor_stays,
            a_change_of_settings_is_written_down_once_and_one_that_is_not_made_never,
            lines_of_many_callers_are_all_there_and_in_one_chain,
        }
        #[test]
        fn agrees_with_the_model_whatever_happens() {
            $crate::store::conformance::agrees_with_the_model::<$place>();
        }
        #[test]
        fn what_is_exported_is_the_history() {
            $crate::store::conformance::what_is_exported_is_the_history::<$place>();
        }
        #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        async fn a_read_is_of_one_instant_between_commits() {
            $crate::store::conformance::a_read_is_of_one_instant_between_commits(<$place as $crate::store::conformance::Place>::new()).await;
        }
        #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        async fn commits_of_many_callers_are_all_kept() {
            $crate::store::conformance::commits_of_many_callers_are_all_kept(<$place as $crate::store::conformance::Place>::new()).await;
        }
    };
    ($place:ty, $paused:tt: $($promise:ident,)*) => {
        $(#[tokio::test(start_paused = $paused)]
        async fn $promise() {
            $crate::store::conformance::$promise(<$place as $crate::store::conformance::Place>::new()).await;
        })*
    };
}

/// The instant at which the suite's stories happen.
pub fn noon() -> DateTime<Utc> {
    "2026-05-01T12:00:00Z".parse().unwrap()
}

/// Today, in the suite's stories.
pub fn today() -> UtcDay {
    UtcDay::of(noon())
}

/// One of the suite's tenants.
pub fn tenant(number: u128) -> TenantId {
    TenantId::new(Uuid::from_u128(number + 1))
}

/// A person with that address.
pub fn person(name: &str) -> Identity {
    Identity::default().with(address(name))
}

/// The key of that address.
pub fn address(name: &str) -> IdentityKey {
    IdentityKey::address(&format!("{name}@contoso.com")).unwrap()
}

/// The key of a SID.
pub fn sid(number: u32) -> IdentityKey {
    IdentityKey::sid(&format!("S-1-5-21-{number}")).unwrap()
}

/// A copy to a USB stick so many days before today.
pub fn copied(id: &str, days_ago: i32) -> Activity {
    Activity {
        id: ActivityId::new(id).unwrap(),
        at: noon() - TimeDelta::days(days_ago.into()),
        indicator: Indicator::named("CopyToUSB"),
        operation: "FileCopiedToRemovableMedia".into(),
        object_name: Personal::new("C:\\plans\\plan.docx"),
        destination: Personal::new("E:\\"),
        sensitivity: Sensitivity::Confidential,
        unallowed_destination: true,
    }
}

/// The fact that a person did something.
pub fn did(user: Identity, activity: Activity) -> Fact {
    Fact::Activity { user, activity }
}

/// A policy that scores copies to USB sticks of its members.
pub fn policy(id: &str) -> Policy {
    let usb = Indicator::named("CopyToUSB");
    let thresholds = Thresholds::default_of(&usb);
    Policy {
        id: PolicyId::new(id).unwrap(),
        name: "Data leaks".into(),
        scope: Scope::Listed([(usb, thresholds)].into()),
        trigger_rule: TriggerRule::ExfiltrationActivity,
        past_days: 90,
        activation_days: 30,
        alert_threshold: 34,
        volume_cutoff: 20,
        priority_users: [address("ceo")].into(),
        priority_reviewers: [].into(),
    }
}

/// The fact that a person is a member of a policy since a year before.
pub fn member(user: Identity, policy: &str) -> Fact {
    let policy = PolicyId::new(policy).unwrap();
    let since = Interval { from: noon() - TimeDelta::days(365), until: None };
    Fact::Membership { user, policy, intervals: vec![since] }
}

/// Settings that share.
pub fn sharing() -> Settings {
    Settings { data_sharing: true, ..Settings::default() }
}

/// The line of a change of settings.
pub fn decided() -> AuditEvent {
    asked("UpdateSettings", AuditOutcome::Changed)
}

/// What somebody asked at noon.
pub fn asked(action: &str, outcome: AuditOutcome) -> AuditEvent {
    AuditEvent::new(noon(), "somebody", action, outcome)
}

/// Commits facts of a tenant at noon.
pub async fn commit(store: &Arc<dyn Store>, tenant: TenantId, facts: Vec<Fact>) -> Vec<Outcome> {
    store.commit(Batch { tenant, at: noon(), facts }).await.unwrap()
}

/// Reads whom an identity's keys point at.
pub async fn found(store: &Arc<dyn Store>, tenant: TenantId, person: Identity) -> Vec<SharedFacts> {
    let hold = store.hold(tenant).await.unwrap();
    store.read(&hold, &[&person]).await.unwrap().found.remove(0).into_vec()
}

/// Reads the one person whom an identity's keys point at.
pub async fn known(store: &Arc<dyn Store>, tenant: TenantId, person: Identity) -> SharedFacts {
    let mut found = found(store, tenant, person).await;
    assert_eq!(found.len(), 1);
    found.remove(0)
}

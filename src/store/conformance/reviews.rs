//! Promises about risk alerts as reviewers see them.

use super::{Place, asked, commit, copied, did, known, member, noon, person, policy, tenant};
use crate::domain::audit::{AuditOutcome, AuditQuery};
use crate::domain::decision::{Decision, RiskAlertQuery, Undecided};
use crate::domain::facts::Fact;
use crate::domain::ids::{PolicyId, RiskAlertId};
use crate::domain::risk_alert::{Origin, RiskAlert, Status};
use crate::domain::severity::Severity;
use crate::store::{AlertPage, ReviewedAlert, Store};
use chrono::TimeDelta;
use std::sync::Arc;

pub(super) fn imported(id: &str, hours_ago: i64, severity: Severity) -> RiskAlert {
    let at = noon() - TimeDelta::hours(hours_ago);
    RiskAlert {
        id: RiskAlertId::new(id).unwrap(),
        policy: PolicyId::new("p").unwrap(),
        severity,
        score: severity.cut(),
        status: Status::NeedsReview,
        origin: Origin::Imported { exfiltration: true },
        created_at: at,
        updated_at: at,
        closed_at: None,
    }
}

pub(super) fn raised(name: &str, alert: RiskAlert) -> Fact {
    Fact::RiskAlert { user: person(name), alert }
}

fn ids(page: &AlertPage) -> Vec<&str> {
    page.alerts.iter().map(|one| one.alert.id.as_str()).collect()
}

async fn page(store: &Arc<dyn Store>, query: &RiskAlertQuery, size: usize) -> Vec<Vec<String>> {
    let hold = store.hold(tenant(0)).await.unwrap();
    let (mut pages, mut after) = (Vec::new(), None);
    loop {
        let page = store.risk_alerts(&hold, query, after.as_ref(), size).await.unwrap();
        pages.push(ids(&page).into_iter().map(str::to_owned).collect());
        after = page.next;
        if after.is_none() {
            return pages;
        }
    }
}

async fn one(store: &Arc<dyn Store>, id: &str) -> Option<ReviewedAlert> {
    let hold = store.hold(tenant(0)).await.unwrap();
    let page = store.risk_alert(&hold, &RiskAlertId::new(id).unwrap()).await.unwrap();
    page.alerts.into_iter().next()
}

pub(super) fn decision(id: &str, status: Status) -> Decision {
    Decision {
        alert: RiskAlertId::new(id).unwrap(),
        status,
        expected: None,
        by: "ann".to_owned(),
        comment: format!("{status:?}"),
        at: noon() + TimeDelta::hours(1),
    }
}

pub async fn risk_alerts_are_listed_newest_first_and_pages_join_without_gap(place: impl Place) {
    let store = place.open();
    let any = RiskAlertQuery::default();
    assert_eq!(page(&store, &any, 2).await, [[""; 0]]);
    let facts = vec![
        raised("ann", imported("old", 9, Severity::Low)),
        raised("bob", imported("b", 2, Severity::High)),
        raised("bob", imported("a", 2, Severity::Low)),
        raised("cid", imported("new", 1, Severity::Medium)),
    ];
    commit(&store, tenant(0), facts).await;
    commit(&store, tenant(1), vec![raised("ann", imported("elsewhere", 1, Severity::High))]).await;
    // Two who turn out to be one keep their alerts, and an earlier record moves an alert back.
    let both = person("bob").with(super::address("cid"));
    commit(&store, tenant(0), vec![did(both, copied("joins", 1))]).await;
    commit(&store, tenant(0), vec![raised("bob", imported("b", 5, Severity::High))]).await;
    drop(store);
    let store = place.open();
    assert_eq!(page(&store, &any, 3).await, [vec!["new", "a", "b"], vec!["old"]]);
    assert_eq!(page(&store, &any, 4).await, [["new", "a", "b", "old"]]);
    let of_low = RiskAlertQuery { severities: [Severity::Low].into(), ..any.clone() };
    assert_eq!(page(&store, &of_low, 1).await, [vec!["a"], vec!["old"]]);
    let oldest_first = RiskAlertQuery { oldest_first: true, ..any.clone() };
    assert_eq!(page(&store, &oldest_first, 3).await, [vec!["old", "b", "a"], vec!["new"]]);
    let since = RiskAlertQuery { from: Some(noon() - TimeDelta::hours(2)), ..any.clone() };
    assert_eq!(page(&store, &since, 9).await, [["new", "a"]]);
    let cid = known(&store, tenant(0), person("cid")).await.user.no;
    for oldest_first in [false, true] {
        let of_one = RiskAlertQuery { users: Some([cid].into()), oldest_first, ..any.clone() };
        let pages = if oldest_first { [vec!["b", "a"], vec!["new"]] } else { [vec!["new", "a"], vec!["b"]] };
        assert_eq!(page(&store, &of_one, 2).await, pages);
    }
    assert_eq!(page(&store, &RiskAlertQuery { users: Some([].into()), ..any.clone() }, 2).await, [[""; 0]]);
    let pseudonym = Some(one(&store, "old").await.unwrap().user.pseudonym);
    assert_eq!(page(&store, &RiskAlertQuery { pseudonym, ..any.clone() }, 9).await, [["old"]]);
    let new = one(&store, "new").await.unwrap();
    assert_eq!(new.user.user, known(&store, tenant(0), person("bob")).await.user.no);
    assert!(one(&store, "elsewhere").await.is_none());
}

pub async fn a_decision_holds_at_once_and_is_kept_with_who_and_why(place: impl Place) {
    let store = place.open();
    commit(
        &store,
        tenant(0),
        vec![Fact::Policy(policy("p")), raised("ann", imported("a", 9, Severity::Low))],
    )
    .await;
    let event = || asked("UpdateRiskAlertStatus", AuditOutcome::Changed);
    let decide =
        async |store: &Arc<dyn Store>, decision| store.decide(tenant(0), decision, event()).await.unwrap();
    let seen = one(&store, "a").await.unwrap();
    assert_eq!(decide(&store, decision("b", Status::Confirmed)).await, Err(Undecided::Unknown));
    let stale = Decision { expected: Some("0-0-0".to_owned()), ..decision("a", Status::Confirmed) };
    assert_eq!(decide(&store, stale).await, Err(Undecided::Changed));
    let illegal = Err(Undecided::Illegal { from: Status::NeedsReview, to: Status::Resolved });
    assert_eq!(decide(&store, decision("a", Status::Resolved)).await, illegal);
    let lines = store.audit_page(tenant(0), AuditQuery::default(), None, 9).await.unwrap().lines;
    assert_eq!(lines.len(), 0, "nothing was changed");
    let expecting = Decision { expected: Some(seen.alert.version()), ..decision("a", Status::Confirmed) };
    assert_eq!(decide(&store, expecting).await, Ok(()));
    let facts = known(&store, tenant(0), person("ann")).await;
    assert_eq!(facts.alerts[&seen.alert.id].status, Status::Confirmed);
    // An import of before the decision does not undo it.
    commit(&store, tenant(0), vec![raised("ann", imported("a", 8, Severity::Low))]).await;
    drop(store);

    let store = place.open();
    assert_eq!(decide(&store, decision("a", Status::Dismissed)).await, Ok(()));
    let closed = one(&store, "a").await.unwrap();
    assert_eq!(closed.alert.closed_at, Some(noon() + TimeDelta::hours(1)));
    let told: Vec<_> =
        closed.history.iter().map(|one| (one.status, one.by.as_deref(), one.comment.as_str())).collect();
    let by_ann = Some("ann");
    let expected = [
        (Status::NeedsReview, None, ""),
        (Status::Confirmed, by_ann, "Confirmed"),
        (Status::Dismissed, by_ann, "Dismissed"),
    ];
    assert_eq!(told, expected);
    let lines = store.audit_page(tenant(0), AuditQuery::default(), None, 9).await.unwrap().lines;
    let told: Vec<_> = lines.iter().map(|line| (line.event.outcome, line.event.users.clone())).collect();
    let ann = vec![facts.user.no];
    assert_eq!(told, [(AuditOutcome::Changed, ann.clone()), (AuditOutcome::Changed, ann)]);
    store.erase(tenant(0), &person("ann"), asked("DeleteUser", AuditOutcome::Changed)).await.unwrap();
    assert!(one(&store, "a").await.is_none());
    assert_eq!(page(&store, &RiskAlertQuery::default(), 9).await, [[""; 0]]);
    drop(store);
    assert!(one(&place.open(), "a").await.is_none());
}

pub async fn an_alert_that_rises_is_kept_with_each_severity_that_it_had(place: impl Place) {
    let store = place.open();
    let copies = |from: usize, to: usize| (from..to).map(|n| did(person("ann"), copied(&n.to_string(), 1)));
    commit(&store, tenant(0), vec![Fact::Policy(policy("p")), member(person("ann"), "p")]).await;
    for (from, to) in [(0, 5), (5, 6), (6, 40)] {
        commit(&store, tenant(0), copies(from, to).collect()).await;
    }
    let facts = known(&store, tenant(0), person("ann")).await;
    let (id, alert) = facts.alerts.first_key_value().expect("an alert was raised");
    let reviewed = one(&store, id.as_str()).await.unwrap();
    assert_eq!((facts.alerts.len(), &reviewed.alert), (1, alert));
    let severities: Vec<Severity> = reviewed.history.iter().map(|one| one.severity).collect();
    assert_eq!(severities, [Severity::Medium, Severity::High]);
    assert!(reviewed.history[1].score <= alert.score, "the score rises on within a severity");
}

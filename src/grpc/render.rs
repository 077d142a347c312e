//! Domain values to wire messages, under the grant that names may be spelled with.

use crate::domain::activity::{Activity, Sensitivity};
use crate::domain::dlp_alert::DlpAlert;
use crate::domain::indicator::CUMULATIVE;
use crate::domain::reason::Reason;
use crate::domain::risk_alert::Status;
use crate::domain::severity::Severity;
use crate::domain::time::Window;
use crate::domain::timeline::Summary;
use crate::domain::user::{ADDRESSES_MAX, Identity, IdentityKey};
use crate::engine::reading::{Cursor, Involved, Queue, Reading, TimelineQuery};
use crate::gate::admission::SharingGrant;
use crate::grpc::page::{Bound, PageTokens};
use crate::grpc::room::Room;
use crate::pb;
use chrono::{DateTime, Utc};
use prost_types::Timestamp;

/// How much of the actors an answer holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum View {
    /// Nothing.
    Severity,
    /// Summaries and reasons.
    Summary,
    /// Also the first page, of so many activities, of each timeline.
    Full(usize),
}

/// Renders what one reading holds.
pub struct Renderer<'a> {
    /// What is read.
    pub reading: &'a Reading<'a>,
    /// What page tokens are made with.
    pub tokens: &'a PageTokens,
    /// How much.
    pub view: View,
}

impl Renderer<'_> {
    /// Renders the alerts of one answer, each with the people whom it involves. Of the answer's room, what all of
    /// them are comes first, then reasons and summaries, then timelines, each in the order of the alerts and the
    /// highest risk first.
    #[must_use]
    pub fn alerts(&self, queues: &[(&DlpAlert, Queue)]) -> Vec<pb::EnrichedAlert> {
        let mut alerts: Vec<_> = queues.iter().map(|(alert, queue)| self.alert(alert, queue)).collect();
        let mut room = Room::default();
        for alert in &alerts {
            room.take(alert);
        }
        let involved = queues.iter().map(|(_, queue)| &queue.involved);
        let mut actors: Vec<(&mut pb::Actor, &Involved)> =
            alerts.iter_mut().zip(involved).flat_map(|(alert, of)| alert.actors.iter_mut().zip(of)).collect();
        for (actor, involved) in &mut actors {
            self.sum_up(actor, involved, &mut room);
        }
        for (actor, involved) in &mut actors {
            self.begin_timeline(actor, involved, &mut room);
        }
        alerts
    }

    /// Renders an alert without what may have to be left out.
    fn alert(&self, alert: &DlpAlert, queue: &Queue) -> pb::EnrichedAlert {
        let actors = match self.view {
            View::Severity => Vec::new(),
            View::Summary | View::Full(_) => queue.involved.iter().map(|one| self.bare(one)).collect(),
        };
        pb::EnrichedAlert {
            alert_id: alert.id.clone(),
            severity: severity(queue.level()).into(),
            severity_text: queue.level().word().to_owned(),
            highest_risk_user: actors.first().and_then(|actor: &pb::Actor| actor.user.clone()),
            actors,
            as_of: Some(timestamp(self.reading.as_of())),
            valid_until: Some(timestamp(queue.valid_until)),
        }
    }

    /// Renders the one person of an answer.
    #[must_use]
    pub fn actor(&self, involved: &Involved) -> pb::Actor {
        let mut actor = self.bare(involved);
        let mut room = Room::default();
        room.take(&actor);
        self.sum_up(&mut actor, involved, &mut room);
        self.begin_timeline(&mut actor, involved, &mut room);
        actor
    }

    /// Renders who a person is, and their level.
    #[must_use]
    pub fn bare(&self, involved: &Involved) -> pb::Actor {
        let assessment = &involved.assessment;
        let latest = assessment.latest_exfiltration.filter(|_| involved.number().is_some());
        pb::Actor {
            user: Some(self.identity(&involved.identity)),
            severity: severity(assessment.level).into(),
            severity_text: assessment.level.word().to_owned(),
            score: assessment.score,
            ambiguous: involved.ambiguous,
            latest_exfiltration_at: latest.map(timestamp),
            ..pb::Actor::default()
        }
    }

    /// Adds a person's reasons and summary, or says that there is no room for them.
    fn sum_up(&self, actor: &mut pb::Actor, involved: &Involved, room: &mut Room) {
        if involved.number().is_none() {
            return; // Nothing of them is shown.
        }
        if !room.is_full() {
            let reasons = self.reading.reasons(involved).iter().map(reason).collect();
            let summary = self.reading.summary(involved).as_ref().map(summary);
            let part = pb::Actor { reasons, summary, ..pb::Actor::default() };
            if room.fits(&part) {
                (actor.reasons, actor.summary) = (part.reasons, part.summary);
                return;
            }
        }
        actor.truncated = true;
    }

    /// Adds the first page of a person's timeline, as far as there is room, if the view has it.
    fn begin_timeline(&self, actor: &mut pb::Actor, involved: &Involved, room: &mut Room) {
        if let View::Full(size) = self.view {
            (actor.activities, actor.next_page_token) =
                self.page(involved, &TimelineQuery::default(), None, size, room);
        }
    }

    /// Renders a page of a person's timeline and the token of the next one. The page ends early where there is no
    /// more room, and the next one begins there.
    #[must_use]
    pub fn page(
        &self,
        involved: &Involved,
        query: &TimelineQuery,
        after: Option<&Cursor>,
        size: usize,
        room: &mut Room,
    ) -> (Vec<pb::Activity>, String) {
        let page = self.reading.timeline(involved, query, after, size);
        let rows = page.rows.iter().map(|row| self.activity(row.activity()));
        let rows: Vec<_> = rows.take_while(|row| room.fits(row)).collect();
        let next = if rows.len() == page.rows.len() {
            page.next
        } else {
            let last = rows.len().checked_sub(1).map(|last| behind(page.rows[last].activity()));
            last.or_else(|| after.cloned()).or_else(|| Some(start(query)))
        };
        let next = next.and_then(|cursor| Some(self.tokens.issue(self.bound(involved, query)?, &cursor)));
        (rows, next.unwrap_or_default())
    }

    /// Returns what page tokens of a person's timeline are bound to; nothing for a person who shows none.
    #[must_use]
    pub fn bound<'q>(&'q self, involved: &Involved, query: &'q TimelineQuery) -> Option<Bound<'q>> {
        let user = involved.number()?;
        let grant = self.reading.grant();
        let (caller, tenant) = (grant.caller(), grant.tenant());
        Some(Bound { caller, tenant, epoch: grant.epoch(), user, query })
    }

    fn activity(&self, activity: &Activity) -> pb::Activity {
        pb::Activity {
            activity_id: activity.id.as_str().to_owned(),
            occurred_at: Some(timestamp(activity.at)),
            indicator: activity.indicator.name().to_owned(),
            operation: activity.operation.to_string(),
            object_name: self.reading.grant().spell(&activity.object_name),
            destination: self.reading.grant().spell(&activity.destination),
            sensitivity: sensitivity(activity.sensitivity).into(),
            unallowed_destination: activity.unallowed_destination,
            activity_type: pb::ActivityType::Exfiltration.into(),
        }
    }

    /// Renders all names of a person.
    #[must_use]
    pub fn identity(&self, identity: &Identity) -> pb::UserIdentity {
        self::identity(self.reading.grant(), identity)
    }

    /// Renders the impacted users of an incident: a severity for High and Medium only. Low and None look alike, in
    /// their order too.
    #[must_use]
    pub fn impacted(&self, queue: &Queue) -> Vec<pb::ImpactedAsset> {
        let is_shown = |one: &&Involved| one.assessment.level >= Severity::Medium;
        let mut others: Vec<&Involved> = queue.involved.iter().filter(|one| !is_shown(one)).collect();
        others.sort_by(|a, b| a.identity.canonical().cmp(&b.identity.canonical()));
        queue.involved.iter().filter(is_shown).chain(others).map(|one| self.asset(one)).collect()
    }

    fn asset(&self, one: &Involved) -> pb::ImpactedAsset {
        let shown = Some(one.assessment.level).filter(|level| *level >= Severity::Medium);
        pb::ImpactedAsset {
            user: Some(self.identity(&one.identity)),
            severity: shown.map(|level| severity(level).into()),
            severity_text: shown.map(|level| level.word().to_owned()),
        }
    }
}

/// Renders all names of a person.
#[must_use]
pub fn identity(grant: &SharingGrant, identity: &Identity) -> pb::UserIdentity {
    let spell = |name| grant.spell(name);
    let mut user = pb::UserIdentity {
        upn: identity.upn().map(spell).unwrap_or_default(),
        display_name: identity.display_name.as_ref().map(spell).unwrap_or_default(),
        ..pb::UserIdentity::default()
    };
    for key in identity.keys() {
        match key {
            IdentityKey::ObjectId(id) => user.entra_object_id = id.to_string(),
            IdentityKey::Sid(sid) => user.sid = spell(sid),
            IdentityKey::Address(address) if Some(address) == identity.upn() => {}
            IdentityKey::Address(address) if user.smtp_addresses.len() < ADDRESSES_MAX => {
                user.smtp_addresses.push(spell(address));
            }
            IdentityKey::Account(account) if user.account_name.is_empty() => {
                user.account_name = spell(account);
            }
            // As many as a request may hold: twenty addresses, one account name. The keys are sorted.
            IdentityKey::Address(_) | IdentityKey::Account(_) => {}
        }
    }
    user
}

/// Returns where a timeline goes on behind an activity.
fn behind(activity: &Activity) -> Cursor {
    Cursor { at: activity.at, activity_id: activity.id.as_str().to_owned() }
}

/// Returns where a timeline begins.
fn start(query: &TimelineQuery) -> Cursor {
    let at = if query.oldest_first { DateTime::<Utc>::MIN_UTC } else { DateTime::<Utc>::MAX_UTC };
    Cursor { at, activity_id: String::new() }
}

/// Renders an instant.
#[must_use]
pub fn timestamp(at: DateTime<Utc>) -> Timestamp {
    let nanos = i32::try_from(at.timestamp_subsec_nanos()).unwrap_or(0).min(999_999_999); // A leap second's are more.
    Timestamp { seconds: at.timestamp(), nanos }
}

/// Renders a range of days.
#[must_use]
pub fn window(window: Window) -> pb::ActivityWindow {
    pb::ActivityWindow {
        start_day: window.first.to_string(),
        end_day: window.last.to_string(),
        days: window.days(),
    }
}

/// Renders a level.
#[must_use]
pub fn severity(level: Severity) -> pb::Severity {
    match level {
        Severity::None => pb::Severity::None,
        Severity::Low => pb::Severity::Low,
        Severity::Medium => pb::Severity::Medium,
        Severity::High => pb::Severity::High,
    }
}

/// Renders the state of a risk alert.
#[must_use]
pub fn alert_status(status: Status) -> pb::RiskAlertStatus {
    match status {
        Status::NeedsReview => pb::RiskAlertStatus::NeedsReview,
        Status::Confirmed => pb::RiskAlertStatus::Confirmed,
        Status::Resolved => pb::RiskAlertStatus::Resolved,
        Status::Dismissed => pb::RiskAlertStatus::Dismissed,
    }
}

fn sensitivity(sensitivity: Sensitivity) -> pb::Sensitivity {
    match sensitivity {
        Sensitivity::None => pb::Sensitivity::None,
        Sensitivity::General => pb::Sensitivity::General,
        Sensitivity::Confidential => pb::Sensitivity::Confidential,
        Sensitivity::HighlyConfidential => pb::Sensitivity::HighlyConfidential,
    }
}

fn reason(reason: &Reason) -> pb::Reason {
    let Reason { indicator, day, count, score, severity: level } = reason;
    let word = level.word();
    let text = if indicator.name() == CUMULATIVE {
        format!(
            "{count} exfiltration activities in the 30 days to {day}, more than the 60 days before let expect ({word})"
        )
    } else {
        let activities = if *count == 1 { "activity" } else { "activities" };
        format!("{count} {activities} of {} on {day} ({word})", indicator.name())
    };
    pb::Reason {
        indicator: indicator.name().to_owned(),
        day: day.to_string(),
        count: *count,
        score: *score,
        severity: severity(*level).into(),
        text,
    }
}

/// Renders a summary.
#[must_use]
pub fn summary(summary: &Summary) -> pb::ActivitySummary {
    let by_indicator = summary.by_indicator.iter().map(|total| pb::IndicatorTotal {
        indicator: total.indicator.name().to_owned(),
        count: total.count,
        unusual_count: total.unusual_count,
        first_at: Some(timestamp(total.first_at)),
        last_at: Some(timestamp(total.last_at)),
    });
    let by_day = summary.by_day.iter().map(|total| pb::DayTotal {
        day: total.day.to_string(),
        count: total.count,
        unusual_count: total.unusual_count,
    });
    pb::ActivitySummary {
        window: Some(window(summary.window)),
        total: summary.total,
        unusual_total: summary.unusual_total,
        by_indicator: by_indicator.collect(),
        by_day: by_day.collect(),
    }
}

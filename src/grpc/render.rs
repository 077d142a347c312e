//! Domain values to wire messages, under the grant that names may be spelled with.

use crate::domain::activities::Row;
use crate::domain::activity::Sensitivity;
use crate::domain::dlp_alert::{DlpAlert, involved};
use crate::domain::indicator::CUMULATIVE;
use crate::domain::reason::Reason;
use crate::domain::risk_alert::Status;
use crate::domain::severity::Severity;
use crate::domain::time::Window;
use crate::domain::timeline::Summary;
use crate::domain::user::{ADDRESSES_MAX, Identity, IdentityKey, Personal};
use crate::engine::reading::{Column, Cursor, Involved, Queue, Reading, Shelf, TimelineQuery};
use crate::gate::admission::SharingGrant;
use crate::grpc::page::{Bound, PageTokens};
use crate::grpc::room::Room;
use crate::grpc::sheet::{Sheet, SheetWriter, SheetedAlert};
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
    /// Renders the alerts of one answer, whose people were read in their order.
    #[must_use]
    pub fn enriched(&self, alerts: &[&DlpAlert], shelf: &Shelf) -> Vec<SheetedAlert> {
        let mut next = 0;
        let places = alerts.iter().map(|alert| {
            let at = next;
            next += alert.involved.len();
            (*alert, at)
        });
        if self.view == View::Severity {
            // Who is whom does not matter to the column alone.
            let column = |(alert, at): (&DlpAlert, _)| {
                column(self.reading, alert, self.reading.column(alert.involved.len(), at)).into()
            };
            return places.map(column).collect();
        }
        let queues: Vec<_> =
            places.map(|(alert, at)| (alert, self.reading.queue(&involved([alert]), at))).collect();
        let whole = self.whole(&queues, shelf);
        // Where not all of it fits, parts are left out.
        whole.unwrap_or_else(|| self.alerts(&queues).into_iter().map(SheetedAlert::from).collect())
    }

    /// Renders alerts with all that the view has, unless that is too much for one answer.
    fn whole(&self, queues: &[(&DlpAlert, Queue)], shelf: &Shelf) -> Option<Vec<SheetedAlert>> {
        let mut room = Room::default();
        let sheeted = queues.iter().map(|(alert, queue)| self.sheeted(alert, queue, shelf));
        sheeted.map(|alert| room.fits_bytes(alert.encoded_len()).then_some(alert)).collect()
    }

    /// Renders an alert with all that the view has.
    fn sheeted(&self, alert: &DlpAlert, queue: &Queue, shelf: &Shelf) -> SheetedAlert {
        let size = match self.view {
            View::Full(size) => Some(size),
            View::Severity | View::Summary => None,
        };
        let mut sheeted = SheetedAlert::from(self.alert(alert, queue));
        for ((actor, sheet), involved) in sheeted.actors_mut().zip(&queue.involved) {
            let make = || {
                let sheet = self.sheet(involved, size);
                let bytes = sheet.bytes.len();
                (sheet, bytes)
            };
            *sheet = self.reading.derived(involved, shelf, |sheet: &Sheet| sheet.size == size, make);
            let next = sheet.as_ref().and_then(|sheet| sheet.next.as_ref());
            let token = next.and_then(|next| self.token(involved, &TimelineQuery::default(), next));
            actor.next_page_token = token.unwrap_or_default();
        }
        sheeted
    }

    /// Renders what is shown of a person, with at most so many activities.
    fn sheet(&self, involved: &Involved, size: Option<usize>) -> Sheet {
        let mut sheet = SheetWriter::new(self.reading.grant(), &self.summed_up(involved));
        let page = size.map(|size| self.reading.timeline(involved, &TimelineQuery::default(), None, size));
        for row in page.iter().flat_map(|page| &page.rows) {
            sheet.add(&row.activity());
        }
        sheet.finish(size, page.and_then(|page| page.next))
    }

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
        let actors: Vec<pb::Actor> = queue.involved.iter().map(|one| self.bare(one)).collect();
        pb::EnrichedAlert {
            highest_risk_user: actors.first().and_then(|actor| actor.user.clone()),
            actors,
            ..column(self.reading, alert, queue.column())
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
            let part = self.summed_up(involved);
            if room.fits(&part) {
                (actor.reasons, actor.summary) = (part.reasons, part.summary);
                return;
            }
        }
        actor.truncated = true;
    }

    /// Renders a person's reasons and summary.
    fn summed_up(&self, involved: &Involved) -> pb::Actor {
        let (reasons, sum) = self.reading.summed_up(involved).unzip();
        let reasons = reasons.iter().flatten().map(reason).collect();
        pb::Actor { reasons, summary: sum.as_ref().map(summary), ..pb::Actor::default() }
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
        let grant = self.reading.grant();
        let rows = page.rows.iter().map(|row| {
            let row = row.activity();
            activity(&row, grant.spell(row.object_name()), grant.spell(row.destination()))
        });
        let rows: Vec<_> = rows.take_while(|row| room.fits(row)).collect();
        let next = if rows.len() == page.rows.len() {
            page.next
        } else {
            let last = rows.len().checked_sub(1).map(|last| behind(&page.rows[last].activity()));
            last.or_else(|| after.cloned()).or_else(|| Some(start(query)))
        };
        let next = next.and_then(|cursor| self.token(involved, query, &cursor));
        (rows, next.unwrap_or_default())
    }

    /// Returns the token of the page behind a cursor.
    fn token(&self, involved: &Involved, query: &TimelineQuery, next: &Cursor) -> Option<String> {
        Some(self.tokens.issue(self.bound(involved, query)?, next))
    }

    /// Returns what page tokens of a person's timeline are bound to; nothing for a person who shows none.
    #[must_use]
    pub fn bound<'q>(&'q self, involved: &Involved, query: &'q TimelineQuery) -> Option<Bound<'q>> {
        let user = involved.number()?;
        let grant = self.reading.grant();
        let (caller, tenant) = (grant.caller(), grant.tenant());
        Some(Bound { caller, tenant, epoch: grant.epoch(), user, query })
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

/// Renders the column of an alert.
fn column(reading: &Reading<'_>, alert: &DlpAlert, column: Column) -> pb::EnrichedAlert {
    pb::EnrichedAlert {
        alert_id: alert.id.as_ref().to_owned(),
        severity: severity(column.level).into(),
        severity_text: column.level.word().to_owned(),
        as_of: Some(timestamp(reading.as_of())),
        valid_until: Some(timestamp(column.valid_until)),
        ..pb::EnrichedAlert::default()
    }
}

/// Renders all names of a person.
#[must_use]
pub fn identity(grant: &SharingGrant, identity: &Identity) -> pb::UserIdentity {
    let spell = |name: &Personal| grant.spell(name.borrowed()).to_owned();
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

/// Renders an activity whose names have been spelled.
#[must_use]
pub fn activity(activity: &Row<'_>, object_name: &str, destination: &str) -> pb::Activity {
    pb::Activity {
        activity_id: activity.id.text(),
        occurred_at: Some(timestamp(activity.at)),
        indicator: activity.indicator.name().to_owned(),
        operation: activity.operation().to_owned(),
        object_name: object_name.to_owned(),
        destination: destination.to_owned(),
        sensitivity: sensitivity(activity.sensitivity).into(),
        unallowed_destination: activity.unallowed_destination,
        activity_type: pb::ActivityType::Exfiltration.into(),
    }
}

/// Returns where a timeline goes on behind an activity.
fn behind(activity: &Row<'_>) -> Cursor {
    Cursor { at: activity.at, activity_id: activity.id.text() }
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

/// Renders a sensitivity.
#[must_use]
pub fn sensitivity(sensitivity: Sensitivity) -> pb::Sensitivity {
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

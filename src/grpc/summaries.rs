//! What copilots ask of alerts: a summary, and which of several comes first.

use crate::domain::dlp_alert::{DlpAlert, involved};
use crate::domain::time::UtcDay;
use crate::engine::reading::{Queue, Reading, TimelineQuery};
use crate::gate::admission::Refusal;
use crate::gate::audit::About;
use crate::gate::caller::Access;
use crate::grpc::enrichment::Enrichment;
use crate::grpc::parse;
use crate::grpc::parse::Fields;
use crate::grpc::prose;
use crate::grpc::render;
use crate::grpc::render::{Renderer, View};
use crate::grpc::reply::Reply;
use crate::grpc::status::Invalid;
use crate::pb;
use std::cmp::Reverse;
use tonic::Response;

/// The most users of whom a summary tells more than that they have a level.
const TOLD_MAX: usize = 10;
/// The longest time that can be asked about, in days: the longest lookback.
const DAYS_MAX: usize = 120;

/// What `SummarizeAlert` asks for.
pub struct Question {
    alert: DlpAlert,
    /// How many days back; the tenant's lookback when 0.
    days: usize,
}

impl Question {
    /// Reads a request.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(request: &pb::SummarizeAlertRequest) -> Result<Self, Invalid> {
        let mut fields = Fields::default();
        let days = fields.size(format_args!("recent_days"), request.recent_days, 0, DAYS_MAX);
        let alert = fields.part(parse::dlp_alert(format_args!("alert"), request.alert.as_ref()));
        fields.finish(alert.map(|alert| Self { alert, days }))
    }

    fn window(&self, reading: &Reading<'_>) -> TimelineQuery {
        let days = i32::try_from(self.days).unwrap_or(0);
        let first = (days > 0).then(|| UtcDay::of(reading.as_of()).plus(1 - days));
        TimelineQuery { first, ..TimelineQuery::default() }
    }
}

impl Enrichment {
    /// Summarises one alert.
    ///
    /// # Errors
    /// When the gate refuses.
    pub async fn summarize(
        &self,
        access: Access,
        asked: &Question,
    ) -> Result<Response<Reply<pb::SummarizeAlertResponse>>, Refusal> {
        let (about, people) = (About::alerts([&asked.alert.id]), involved([&asked.alert]));
        let mut grant = self.gate.admit_to_read(access, about, &people).await?;
        let reading = Reading::open(&mut grant, &people).await?;
        let written = reading.grant().write_down().await?;
        let queue = reading.queue(&people, 0);
        let renderer = Renderer { reading: &reading, tokens: &self.tokens, view: View::Summary };
        let users = answers(&renderer, &queue, &asked.window(&reading));
        let with_level = queue.involved.iter().filter(|one| one.assessment.score > 0).count();
        let column = queue.column().level.word();
        let more = with_level - users.len();
        let text = prose::alert(&asked.alert, column, queue.involved.len(), &users, more);
        let alert = renderer.alerts(&[(&asked.alert, queue)]).pop();
        Reply::disclose(written, pb::SummarizeAlertResponse { text, alert, users }).await
    }

    /// Puts alerts in order.
    ///
    /// # Errors
    /// When the gate refuses.
    pub async fn rank(
        &self,
        access: Access,
        alerts: &[DlpAlert],
    ) -> Result<Response<Reply<pb::RankAlertsResponse>>, Refusal> {
        let about = About::alerts(alerts.iter().map(|alert| &alert.id));
        let people = involved(alerts);
        let mut grant = self.gate.admit_to_read(access, about, &people).await?;
        let reading = Reading::open(&mut grant, &people).await?;
        let written = reading.grant().write_down().await?;
        let renderer = Renderer { reading: &reading, tokens: &self.tokens, view: View::Severity };
        let ranked = in_order(&reading, alerts);
        let valid_until = ranked.iter().map(|(_, queue)| queue.valid_until).min();
        let ranked = ranked.iter().zip(1..).map(|((alert, queue), place)| {
            let highest = queue.involved.first().map(|one| renderer.bare(one));
            let column = queue.column().level;
            pb::RankedAlert {
                alert_id: alert.id.as_ref().to_owned(),
                severity: render::severity(column).into(),
                severity_text: column.word().to_owned(),
                score: highest.as_ref().map_or(0, |actor| actor.score),
                text: prose::rank(place, alert, column.word(), highest.as_ref()),
                highest_risk_user: highest.and_then(|actor| actor.user),
            }
        });
        let answer = pb::RankAlertsResponse {
            alerts: ranked.collect(),
            as_of: Some(render::timestamp(reading.as_of())),
            valid_until: valid_until.map(render::timestamp),
        };
        Reply::disclose(written, answer).await
    }
}

/// Answers the usual questions about those who have a level, the highest risk first.
fn answers(renderer: &Renderer<'_>, queue: &Queue, window: &TimelineQuery) -> Vec<pb::UserAnswer> {
    let with_level = queue.involved.iter().filter(|one| one.assessment.score > 0);
    let answer = |one| {
        let actor = renderer.actor(one);
        let recent = renderer.reading.summary_of(one, window).as_ref().map(render::summary);
        pb::UserAnswer {
            level: prose::level(&actor),
            why: prose::why(&actor),
            exfiltration: prose::exfiltration(recent.as_ref()),
            user: actor.user,
            recent,
        }
    };
    with_level.take(TOLD_MAX).map(answer).collect()
}

/// Puts the highest insider risk first; of equal ones the highest DLP severity, then the newest, then by id.
fn in_order<'a>(reading: &Reading<'_>, alerts: &'a [DlpAlert]) -> Vec<(&'a DlpAlert, Queue)> {
    let mut at = 0;
    let queues = alerts.iter().map(|alert| {
        let queue = reading.queue(&involved([alert]), at);
        at += alert.involved.len();
        (alert, queue)
    });
    let mut queues: Vec<_> = queues.collect();
    let order = |(alert, queue): &(&'a DlpAlert, Queue)| {
        let highest = queue.involved.first().map(|one| &one.assessment);
        let risk = highest.map(|one| (one.level, one.score, one.latest_exfiltration));
        (Reverse(risk), Reverse(alert.severity), Reverse(alert.created_at))
    };
    queues.sort_by(|a, b| order(a).cmp(&order(b)).then_with(|| a.0.id.cmp(&b.0.id)));
    queues
}

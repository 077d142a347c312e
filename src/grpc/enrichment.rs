//! `AlertEnrichmentService`: the queue's column, the actors of an alert, and a user's timeline.

use crate::domain::dlp_alert::{DlpAlert, involved};
use crate::domain::indicator::{Indicator, NAME_BYTES_MAX};
use crate::domain::user::Identity;
use crate::engine::reading::{Cursor, Involved, Reading, Shelf, TimelineQuery};
use crate::gate::admission::{Gate, Refusal};
use crate::gate::audit::About;
use crate::gate::caller::Access;
use crate::gate::rights::Right;
use crate::grpc::auth;
use crate::grpc::page;
use crate::grpc::page::PageTokens;
use crate::grpc::parse;
use crate::grpc::parse::Fields;
use crate::grpc::render;
use crate::grpc::render::{Renderer, View};
use crate::grpc::reply::Reply;
use crate::grpc::room::Room;
use crate::grpc::sheet::SheetedPage;
use crate::grpc::status;
use crate::grpc::status::Invalid;
use crate::grpc::summaries::Question;
use crate::grpc::unread::{AlertView, UnreadPage};
use crate::pb;
use crate::pb::alert_enrichment_service_server::AlertEnrichmentService;
use crate::pb::{ActivityOrder, EnrichmentView, ErrorReason};
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The activities of an actor when the caller does not say how many.
pub const ACTIVITIES_DEFAULT: usize = 50;
/// The most activities of an actor.
pub const ACTIVITIES_MAX: usize = 200;
/// The most activities that an alert, or a page of alerts, can ask for: involved users times activities of each.
const PAGE_ACTIVITIES_MAX: usize = 50_000;
const TIMELINE_DEFAULT: usize = 100;
const TIMELINE_MAX: usize = 1_000;
const INDICATORS_MAX: usize = 100;

/// Answers a DLP alert queue.
pub struct Enrichment {
    /// Decides before anything is looked up.
    pub gate: Gate,
    /// Makes page tokens.
    pub tokens: Arc<PageTokens>,
    /// Keeps what was made of people.
    pub shelf: Arc<Shelf>,
}

#[tonic::async_trait]
impl AlertEnrichmentService for Enrichment {
    async fn enrich_alert(
        &self,
        request: Request<pb::EnrichAlertRequest>,
    ) -> Result<Response<Reply<pb::EnrichAlertResponse>>, Status> {
        let (access, request) = auth::access(&self.gate, request, Right::EnrichAlert).await?;
        let (alert, view) = one_alert(&request)?;
        match self.enrich(access, &alert, view).await {
            Err(Refusal::SharingOff(off)) => {
                Ok(Reply::<pb::EnrichAlertResponse>::not_available(off, &alert.id))
            }
            answer => answer.map_err(status::refused),
        }
    }

    async fn batch_enrich_alerts(
        &self,
        request: Request<UnreadPage>,
    ) -> Result<Response<Reply<pb::BatchEnrichAlertsResponse>>, Status> {
        let (access, request) = auth::access(&self.gate, request, Right::BatchEnrichAlerts).await?;
        let (alerts, view) = request.read(|alerts| alert_page(&request, alerts))??;
        match self.enrich_page(access, &alerts, view).await {
            Err(Refusal::SharingOff(off)) => {
                let ids =
                    alerts.into_iter().map(|one| one.map(|alert| alert.id).map_err(Invalid::into_refusal));
                Ok(Reply::<pb::BatchEnrichAlertsResponse>::not_available(off, ids.collect()))
            }
            answer => answer.map_err(status::refused),
        }
    }

    async fn list_user_activities(
        &self,
        request: Request<pb::ListUserActivitiesRequest>,
    ) -> Result<Response<Reply<pb::ListUserActivitiesResponse>>, Status> {
        let (access, request) = auth::access(&self.gate, request, Right::ListUserActivities).await?;
        let asked = Timeline::parse(request)?;
        self.list(access, &asked).await.map_err(status::refused)
    }

    async fn summarize_alert(
        &self,
        request: Request<pb::SummarizeAlertRequest>,
    ) -> Result<Response<Reply<pb::SummarizeAlertResponse>>, Status> {
        let (access, request) = auth::access(&self.gate, request, Right::SummarizeAlert).await?;
        let asked = Question::parse(&request)?;
        self.summarize(access, &asked).await.map_err(status::refused)
    }

    async fn rank_alerts(
        &self,
        request: Request<pb::RankAlertsRequest>,
    ) -> Result<Response<Reply<pb::RankAlertsResponse>>, Status> {
        let (access, request) = auth::access(&self.gate, request, Right::RankAlerts).await?;
        let alerts = parse::incident_alerts(&request.alerts)?;
        self.rank(access, &alerts).await.map_err(status::refused)
    }
}

impl Enrichment {
    async fn enrich(
        &self,
        access: Access,
        alert: &DlpAlert,
        view: View,
    ) -> Result<Response<Reply<pb::EnrichAlertResponse>>, Refusal> {
        let about = About::alerts([&alert.id]);
        let people = involved([alert]);
        let mut grant = self.gate.admit_to_read(access, about, &people).await?;
        let reading = Reading::open(&mut grant, &people).await?;
        let written = reading.grant().write_down().await?;
        let alert = self.renderer(&reading, view).enriched(&[alert], &self.shelf).swap_remove(0);
        Reply::disclose(written, alert).await
    }

    async fn enrich_page(
        &self,
        access: Access,
        alerts: &[Result<DlpAlert, Invalid>],
        view: View,
    ) -> Result<Response<Reply<pb::BatchEnrichAlertsResponse>>, Refusal> {
        let about = About::alerts(alerts.iter().flatten().map(|alert| &alert.id));
        let people = involved(alerts.iter().flatten());
        let mut grant = self.gate.admit_to_read(access, about, &people).await?;
        let reading = Reading::open(&mut grant, &people).await?;
        let written = reading.grant().write_down().await?;
        let read: Vec<&DlpAlert> = alerts.iter().flatten().collect();
        let mut enriched = self.renderer(&reading, view).enriched(&read, &self.shelf).into_iter();
        let results = alerts.iter().filter_map(|alert| match alert {
            Ok(_) => enriched.next().map(Ok),
            Err(invalid) => Some(Err(invalid.clone().into_refusal())),
        });
        let page = SheetedPage(results.collect());
        Reply::disclose(written, page).await
    }

    async fn list(
        &self,
        access: Access,
        asked: &Timeline,
    ) -> Result<Response<Reply<pb::ListUserActivitiesResponse>>, Refusal> {
        let user = &[&asked.user];
        let mut grant = self.gate.admit_to_read(access, About::default(), user).await?;
        let reading = Reading::open(&mut grant, user).await?;
        let involved = reading.person(&asked.user, 0);
        let renderer = self.renderer(&reading, View::Severity);
        let after = match self.cursor(&renderer, &involved, asked) {
            Ok(after) => after,
            Err(invalid) => return Reply::withhold(reading.grant(), invalid.into()).await,
        };
        let written = reading.grant().write_down().await?;
        let (activities, next_page_token) =
            renderer.page(&involved, &asked.query, after.as_ref(), asked.size, &mut Room::default());
        let window = reading.window(&asked.query).map(render::window);
        Reply::disclose(written, pb::ListUserActivitiesResponse { activities, next_page_token, window }).await
    }

    /// Returns behind what the page begins.
    fn cursor(
        &self,
        renderer: &Renderer<'_>,
        involved: &Involved,
        asked: &Timeline,
    ) -> Result<Option<Cursor>, Invalid> {
        if involved.ambiguous {
            return Err(names_two_people());
        }
        match (asked.page_token.as_str(), renderer.bound(involved, &asked.query)) {
            ("", _) => Ok(None),
            (token, Some(bound)) => self.tokens.open(bound, token).map(Some),
            (_, None) => Err(page::refusal()),
        }
    }

    fn renderer<'a>(&'a self, reading: &'a Reading<'a>, view: View) -> Renderer<'a> {
        Renderer { reading, tokens: &self.tokens, view }
    }
}

/// The refusal of a user whose keys point at several known people.
#[must_use]
pub fn names_two_people() -> Invalid {
    Invalid::one(ErrorReason::InvalidField, "user", "has keys of two or more people; name one of them")
}

fn one_alert(request: &pb::EnrichAlertRequest) -> Result<(DlpAlert, View), Invalid> {
    let mut fields = Fields::default();
    let view = view(&mut fields, request.view, request.activity_page_size, EnrichmentView::Summary);
    let alert = fields.part(parse::dlp_alert(format_args!("alert"), request.alert.as_ref()));
    let alert = fields.finish(alert)?;
    bound_activities(view, alert.involved.len())?;
    Ok((alert, view))
}

type AlertPage = (Vec<Result<DlpAlert, Invalid>>, View);

fn alert_page(request: &UnreadPage, alerts: &[AlertView<'_>]) -> Result<AlertPage, Invalid> {
    let mut fields = Fields::default();
    let view = view(&mut fields, request.view, request.activity_page_size, EnrichmentView::Severity);
    let alerts = fields.part(parse::alert_page(alerts));
    let alerts = fields.finish(alerts)?;
    let involved: usize = alerts.iter().flatten().map(|alert| alert.involved.len()).sum();
    bound_activities(view, involved)?;
    Ok((alerts, view))
}

/// Bounds how much is looked through for one answer.
fn bound_activities(view: View, involved: usize) -> Result<(), Invalid> {
    match view {
        View::Full(size) if size * involved > PAGE_ACTIVITIES_MAX => {
            let bound = "times the involved users must be at most 50000; ask for fewer activities or alerts";
            Err(Invalid::one(ErrorReason::BatchTooLarge, "activity_page_size", bound))
        }
        _ => Ok(()),
    }
}

fn view(fields: &mut Fields, view: i32, size: i32, unset: EnrichmentView) -> View {
    let size = fields.size(format_args!("activity_page_size"), size, ACTIVITIES_DEFAULT, ACTIVITIES_MAX);
    let view = match fields.known(format_args!("view"), view) {
        Some(EnrichmentView::Unspecified) | None => unset,
        Some(view) => view,
    };
    match view {
        EnrichmentView::Unspecified | EnrichmentView::Severity => View::Severity,
        EnrichmentView::Summary => View::Summary,
        EnrichmentView::Full => View::Full(size),
    }
}

/// What `ListUserActivities` asks for.
struct Timeline {
    user: Identity,
    query: TimelineQuery,
    size: usize,
    page_token: String,
}

impl Timeline {
    fn parse(request: pb::ListUserActivitiesRequest) -> Result<Self, Invalid> {
        let mut fields = Fields::default();
        let user = fields.person(format_args!("user"), request.user.as_ref());
        let query = query(&mut fields, &request);
        let size = request.page_size.min(TIMELINE_MAX.try_into().unwrap_or(i32::MAX));
        let size = fields.size(format_args!("page_size"), size, TIMELINE_DEFAULT, TIMELINE_MAX);
        let page_token = request.page_token;
        fields.finish(user.map(|user| Self { user, query, size, page_token }))
    }
}

fn query(fields: &mut Fields, request: &pb::ListUserActivitiesRequest) -> TimelineQuery {
    let window = request.window.clone().unwrap_or_default();
    let first = fields.day(format_args!("window.start_day"), &window.start_day);
    let last = fields.day(format_args!("window.end_day"), &window.end_day);
    let in_order = first.zip(last).is_none_or(|(first, last)| first <= last);
    fields.demand(in_order, format_args!("window.start_day"), "must not be after end_day");
    let names = &request.indicators;
    fields.demand(names.len() <= INDICATORS_MAX, format_args!("indicators"), "must be at most 100");
    for (i, name) in names.iter().take(INDICATORS_MAX).enumerate() {
        fields.text(format_args!("indicators[{i}]"), name, NAME_BYTES_MAX);
    }
    let order = fields.known(format_args!("order"), request.order);
    TimelineQuery {
        first,
        last,
        indicators: names.iter().map(|name| Indicator::named(name)).collect(),
        oldest_first: order == Some(ActivityOrder::OldestFirst),
    }
}

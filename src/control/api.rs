//! The calls of the control socket; `control`'s own page lists them.

use super::{
    bounce::{self, Bounced},
    canary,
    decision::{self, Decided, Decision, Ids},
    error::{ApiError, ErrorKind},
    facts::Known,
    filter::Filter,
    listing::Listing,
    load::{LoadOrder, LoadView},
    log::Log,
    orders::{PauseOrder, ReleaseOrder},
    rail::rail,
    rewind::{self, RewindOrder, Rewound},
    server::Api,
    stream,
    view::{
        DomainEventView, DomainView, EventView, FsckView, Live, MessageView, MovedView, MoverView,
        RepairView, StatusView, Whose,
    },
};
use crate::{
    ledger::Checked,
    mail::{QueueId, REPORTS_DOMAIN},
    spool::{Cause, DomainCommand, DomainStatus, SpoolError, StoredMessage},
};
use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::{Method, StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::de::DeserializeOwned;
use std::time::Instant;

type Answered<T> = Result<T, ApiError>;

pub(super) fn router(api: Api) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/mover", get(mover))
        .route("/v1/checks", get(checks))
        .route("/v1/domains/{name}", get(domain))
        .route("/v1/domains/{name}/events", get(domain_events))
        .route("/v1/domains/{name}/hold", post(hold))
        .route("/v1/domains/{name}/release", post(release))
        .route("/v1/domains/{name}/open", post(open))
        .route("/v1/domains/{name}/canary", get(canary))
        .route("/v1/domains/{name}/rewind", post(rewind))
        .route("/v1/domains/{name}/pause", post(pause))
        .route("/v1/domains/{name}/resume", post(resume))
        .route("/v1/domains/{name}/load", get(load).put(set_load))
        .route("/v1/log", get(log))
        .route("/v1/messages", get(messages))
        .route("/v1/messages/{id}", get(message))
        .route("/v1/messages/{id}/events", get(events))
        .route("/v1/messages/{id}/raw", get(raw))
        .route("/v1/deliveries/retry", post(retry))
        .route("/v1/deliveries/park", post(park))
        .route("/v1/deliveries/drop", post(drop))
        .route("/v1/deliveries/bounce", post(bounce))
        .route("/v1/fsck", get(fsck))
        .route("/v1/fsck/repair", post(repair))
        .fallback(no_such_call)
        .method_not_allowed_fallback(no_such_method)
        .with_state(api)
}

async fn status(State(api): State<Api>) -> Answered<Json<StatusView>> {
    Ok(Json(status_view(&api).await?))
}

pub(super) async fn status_view(api: &Api) -> Result<StatusView, SpoolError> {
    let seen = Seen::now(api);
    let mut domains = Vec::new();
    for domain in api.spool.domains() {
        domains.push(domain_view(api, &domain, &seen).await?);
    }
    Ok(StatusView {
        version: env!("CARGO_PKG_VERSION").into(),
        now_ms: now_ms(),
        refusing: api.spool.admit(0).err().map(|error| error.to_string()),
        given_up: api.spool.measures().given_up.get(),
        cutover: seen.known.cutover.as_deref().cloned(),
        checked: seen.known.unwell(&domains),
        domains,
    })
}

async fn mover(State(api): State<Api>) -> Json<Option<MovedView>> {
    Json(api.moved())
}

async fn checks(State(api): State<Api>) -> Json<Option<Checked>> {
    Json(api.facts.now().checked.as_deref().cloned())
}

async fn domain(State(api): State<Api>, Path(name): Path<String>) -> Answered<Json<DomainView>> {
    let name = name.to_lowercase();
    let domain = api.spool.domain(&name);
    let domain = domain.ok_or(SpoolError::UnknownDomain(name))?;
    Ok(Json(domain_view(&api, &domain, &Seen::now(&api)).await?))
}

async fn domain_view(
    api: &Api,
    domain: &DomainStatus,
    seen: &Seen,
) -> Result<DomainView, SpoolError> {
    let mover = seen.mover(domain);
    let oldest_ms = match api.spool.oldest(domain.name.clone()).await {
        // The spool is being opened again, of which its status must be able to tell.
        Err(SpoolError::Failed { .. }) => None,
        oldest_ms => oldest_ms?,
    };
    let live = Live {
        oldest_ms,
        release: (api.live)(&domain.name),
        speed: api.speeds.of(domain, Instant::now()),
        rail: rail(domain, mover.as_ref(), &seen.known),
        mover,
        gate_waits: (api.gate_waits)(&domain.name),
    };
    Ok(DomainView::of(domain, live, now_ms()))
}

/// What was known when somebody asked how things stand.
struct Seen {
    known: Known,
    /// How many domains there are, that of reports left out.
    domains: usize,
}

impl Seen {
    fn now(api: &Api) -> Self {
        let domains = api.spool.domains();
        let moving = domains.iter().filter(|one| one.name != REPORTS_DOMAIN);
        Self {
            known: api.facts.now(),
            domains: moving.count(),
        }
    }

    /// The mover's accounts of a domain: all of them, where there is no other domain.
    fn mover(&self, domain: &DomainStatus) -> Option<MoverView> {
        let moved = self.known.moved.as_ref()?;
        if domain.name == REPORTS_DOMAIN {
            return None;
        }
        let whose = match self.domains {
            0 | 1 => Whose::All,
            _ => Whose::Of(&domain.name),
        };
        MoverView::of(moved, whose)
    }
}

async fn domain_events(State(api): State<Api>, Path(name): Path<String>) -> Answered<Response> {
    let name = name.to_lowercase();
    if api.spool.domain(&name).is_none() {
        return Err(SpoolError::UnknownDomain(name).into());
    }
    let events = api.spool.domain_events(name).await?;
    Ok(stream::lines(events.iter().map(DomainEventView::from)))
}

async fn hold(State(api): State<Api>, Path(name): Path<String>) -> Answered<Json<DomainView>> {
    command(&api, name, DomainCommand::Hold, "hold").await
}

async fn release(
    State(api): State<Api>,
    Path(name): Path<String>,
    body: Bytes,
) -> Answered<Json<DomainView>> {
    let order: ReleaseOrder = parse_or_default(&body)?;
    agreed(&api, &name, &order).await?;
    command(&api, name, order.try_into()?, "release").await
}

async fn canary(State(api): State<Api>, Path(name): Path<String>) -> Answered<Response> {
    let messages = canary::messages(&*api.spool, &name.to_lowercase()).await?;
    Ok(stream::lines(messages))
}

async fn rewind(
    State(api): State<Api>,
    Path(name): Path<String>,
    body: Bytes,
) -> Answered<Json<Rewound>> {
    let order: RewindOrder = parse(&body)?;
    let done = rewind::rewind(&*api.spool, &name.to_lowercase(), &order, now_ms()).await?;
    Ok(Json(done))
}

async fn open(State(api): State<Api>, Path(name): Path<String>) -> Answered<Json<DomainView>> {
    command(&api, name, DomainCommand::Open, "open").await
}

/// Whether everybody agrees who is to be asked.
async fn agreed(api: &Api, name: &str, order: &ReleaseOrder) -> Answered<()> {
    let Some(veto) = &api.veto else {
        return Ok(());
    };
    let name = name.to_lowercase();
    let status = api.spool.domain(&name);
    let status = status.ok_or(SpoolError::UnknownDomain(name))?;
    let asked = veto.may_release(&status, order).await;
    asked.map_err(|detail| ApiError {
        error: ErrorKind::Vetoed,
        detail,
    })
}

async fn pause(
    State(api): State<Api>,
    Path(name): Path<String>,
    body: Bytes,
) -> Answered<Json<DomainView>> {
    let order: PauseOrder = parse_or_default(&body)?;
    command(&api, name, order.try_into()?, "pause").await
}

async fn resume(State(api): State<Api>, Path(name): Path<String>) -> Answered<Json<DomainView>> {
    command(&api, name, DomainCommand::Resume, "resume").await
}

async fn load(State(api): State<Api>, Path(name): Path<String>) -> Answered<Json<LoadView>> {
    let name = name.to_lowercase();
    let domain = api.spool.domain(&name);
    let domain = domain.ok_or(SpoolError::UnknownDomain(name))?;
    Ok(Json(LoadView::of((api.loads)(&domain.name), domain.load)))
}

async fn set_load(
    State(api): State<Api>,
    Path(name): Path<String>,
    body: Bytes,
) -> Answered<Json<LoadView>> {
    let order: LoadOrder = parse(&body)?;
    let command = DomainCommand::Limit(order.try_into()?);
    let cause = Cause::Operator("set".into());
    let domain = (api.spool).command(name.to_lowercase(), command, cause);
    let domain = domain.await?;
    Ok(Json(LoadView::of((api.loads)(&domain.name), domain.load)))
}

async fn command(
    api: &Api,
    name: String,
    command: DomainCommand,
    word: &str,
) -> Answered<Json<DomainView>> {
    let cause = Cause::Operator(word.into());
    let name = name.to_lowercase();
    let domain = api.spool.command(name, command, cause).await?;
    Ok(Json(domain_view(api, &domain, &Seen::now(api)).await?))
}

async fn messages(
    State(api): State<Api>,
    filter: Result<Query<Filter>, QueryRejection>,
) -> Answered<Response> {
    let Query(filter) = filter.map_err(|error| ApiError::bad_request(error.body_text()))?;
    if let Some(domain) = &filter.domain
        && api.spool.domain(&domain.to_lowercase()).is_none()
    {
        return Err(SpoolError::UnknownDomain(domain.clone()).into());
    }
    let listing = Listing::new(api.spool, filter)
        .map_err(|error| ApiError::bad_request(error.to_string()))?;
    Ok(stream::walk(listing).await?)
}

async fn log(State(api): State<Api>) -> Answered<Response> {
    Ok(stream::walk(Log::new(api.spool)).await?)
}

async fn message(State(api): State<Api>, Path(id): Path<String>) -> Answered<Json<MessageView>> {
    let message = find(&api, &id).await?;
    let deliveries = api.spool.deliveries(message.id).await?;
    Ok(Json(MessageView::of(&message, &deliveries)))
}

async fn events(State(api): State<Api>, Path(id): Path<String>) -> Answered<Response> {
    let message = find(&api, &id).await?;
    let events = api.spool.events(message.id).await?;
    let views = events.iter().map(|event| EventView::of(&message, event));
    Ok(stream::lines(views))
}

async fn raw(State(api): State<Api>, Path(id): Path<String>) -> Answered<Response> {
    let message = find(&api, &id).await?;
    Ok(stream::raw(api.spool.body(message.id).await?))
}

async fn find(api: &Api, id: &str) -> Answered<StoredMessage> {
    let id: QueueId = id
        .parse()
        .map_err(|error: crate::mail::QueueIdError| ApiError::bad_request(error.to_string()))?;
    let message = api.spool.message(id).await?;
    Ok(message.ok_or(SpoolError::UnknownMessage(id))?)
}

async fn retry(state: State<Api>, body: Bytes) -> Answered<Json<Decided>> {
    decide(&state, Decision::Retry, &body).await
}

async fn park(state: State<Api>, body: Bytes) -> Answered<Json<Decided>> {
    decide(&state, Decision::Park, &body).await
}

async fn drop(state: State<Api>, body: Bytes) -> Answered<Json<Decided>> {
    decide(&state, Decision::Drop, &body).await
}

async fn bounce(State(api): State<Api>, body: Bytes) -> Answered<Json<Bounced>> {
    let ids: Ids = parse(&body)?;
    let reporter = api.reporter.as_deref();
    let bounced = bounce::bounce(&*api.spool, reporter, &ids, now_ms()).await?;
    Ok(Json(bounced))
}

async fn decide(api: &Api, decision: Decision, body: &[u8]) -> Answered<Json<Decided>> {
    let ids: Ids = parse(body)?;
    let decided = decision::decide(&*api.spool, decision, &ids, now_ms()).await?;
    Ok(Json(decided))
}

async fn fsck(State(api): State<Api>) -> Answered<Json<FsckView>> {
    // Every body is read, and every digest computed.
    let verify_bodies = true;
    Ok(Json(api.spool.recount(verify_bodies).await?.into()))
}

async fn repair(State(api): State<Api>) -> Answered<Json<RepairView>> {
    let repaired = api.spool.repair().await?;
    Ok(Json(RepairView { repaired }))
}

async fn no_such_call(method: Method, uri: Uri) -> Response {
    ApiError {
        error: ErrorKind::NoSuchCall,
        detail: format!("there is no call {method} {}", uri.path()),
    }
    .into_response()
}

async fn no_such_method(method: Method, uri: Uri) -> Response {
    let error = ApiError {
        error: ErrorKind::NoSuchCall,
        detail: format!("{} is not called with {method}", uri.path()),
    };
    (StatusCode::METHOD_NOT_ALLOWED, Json(error)).into_response()
}

/// curl sends what it is given under a form's content type, so that one is not looked at.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Answered<T> {
    serde_json::from_slice(body)
        .map_err(|error| ApiError::bad_request(format!("the body is not as documented: {error}")))
}

fn parse_or_default<T: DeserializeOwned + Default>(body: &[u8]) -> Answered<T> {
    if body.is_empty() {
        Ok(T::default())
    } else {
        parse(body)
    }
}

fn now_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0)
}

//! Signalling by one HTTP request (WHIP, RFC 9725, and WHEP): `POST /whip/echo` for the echo peer, `/whip/STREAM` to publish,
//! `/whep/STREAM` to play.
//!
//! `POST` takes an offer and gives `201`, the answer with all candidates, a `Location` and an `ETag`; `PATCH` on the
//! location adds candidates or restarts ICE, `DELETE` ends the session. Open to other origins.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::rejection::StringRejection;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use peerline::{ConnectionState, Error, PeerConnection, SessionDescription};
use tower_http::cors::{AllowHeaders, Any, CorsLayer};

use super::MAX_BODY;
use super::reply::{self, Refused};
use super::stream::Streams;
use super::stream::publisher::{self, Publisher};
use super::stream::viewer::{self, Seat, Viewer};
use super::visitors::{Attendant, Role, Visitor, Visitors};

mod fragment;

const SDP: &str = "application/sdp";
const SDP_FRAGMENT: &str = peerline_sdp::Fragment::CONTENT_TYPE;
const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");
const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");

/// A link to where a viewer chooses its layer of simulcast.
const LAYER: &str = "urn:ietf:params:whep:ext:core:layer";

/// Gathering takes as long as binding sockets: much less than this.
const GATHERING: Duration = Duration::from_secs(5);
/// How long browsers may remember that other origins are welcome.
const REMEMBERED: Duration = Duration::from_secs(3600);

/// The endpoints and their sessions. `token` is what publishing and playing streams takes, if anything.
pub(super) fn router(visitors: Visitors, token: Option<&str>) -> Router {
    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([
            Method::GET,
            Method::POST,
            Method::PATCH,
            Method::DELETE,
            Method::OPTIONS,
        ])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([
            header::LOCATION,
            header::ETAG,
            header::LINK,
            header::RETRY_AFTER,
            ACCEPT_POST,
            ACCEPT_PATCH,
        ])
        .max_age(REMEMBERED);
    let session = || get(look).patch(update).delete(end);
    let streams = Router::new()
        .route("/whip/{stream}", get(nothing_to_get).post(publish))
        .route("/whip/{stream}/{session}", session())
        .route("/whep/{stream}", get(announce).post(play))
        .route("/whep/{stream}/{session}", session())
        .route("/whep/{stream}/{session}/layer", get(layers).post(choose_layer))
        .route_layer(from_fn_with_state(token.map(Arc::from), authorize));
    let path = visitors.role().path();
    let peer = Router::new()
        .route(path, get(nothing_to_get).post(echo))
        .route(&format!("{path}/{{session}}"), session());
    let router = match visitors.role() {
        Role::Echo => peer.merge(streams),
        Role::Play(_) | Role::Record(_) => peer,
    };
    router
        .method_not_allowed_fallback(reply::method_not_allowed)
        .layer(cors)
        .layer(from_fn(say_what_is_accepted))
        .with_state(Whip {
            visitors,
            sessions: Sessions::default(),
            streams: Streams::default(),
        })
}

#[derive(Clone)]
struct Whip {
    visitors: Visitors,
    sessions: Sessions,
    streams: Streams,
}

/// The sessions under way, by their locations.
#[derive(Clone, Default)]
struct Sessions(Arc<Mutex<HashMap<String, Arc<Session>>>>);

struct Session {
    pc: PeerConnection,
    /// A viewer's place in its stream.
    seat: Option<Seat>,
    /// Held while a `PATCH` is done: "the WHIP client MAY send overlapping HTTP PATCH requests" (RFC 9725 §4.3.1).
    patching: tokio::sync::Mutex<()>,
}

impl Sessions {
    fn with<T>(&self, use_them: impl FnOnce(&mut HashMap<String, Arc<Session>>) -> T) -> T {
        use_them(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn find(&self, location: &str) -> Result<Arc<Session>, Refused> {
        self.with(|sessions| sessions.get(location).cloned())
            .ok_or_else(no_session)
    }
}

fn no_session() -> Refused {
    Refused::new(StatusCode::NOT_FOUND, "no such session: it ended, or never was")
}

/// "WHIP endpoints and sessions MAY require the HTTP request to be authenticated using an HTTP Authorization header field with a
/// Bearer token" (RFC 9725 §4.7).
async fn authorize(State(token): State<Option<Arc<str>>>, request: Request, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION);
    let given = given.and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, given) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| given.trim())
    });
    let is_right = |token: &str| given.is_some_and(|given| is_same(given.as_bytes(), token.as_bytes()));
    if request.method() == Method::OPTIONS || token.as_deref().is_none_or(is_right) {
        return next.run(request).await;
    }
    let text = "this needs the header Authorization: Bearer TOKEN, with the token that the program was started with";
    Refused::new(StatusCode::UNAUTHORIZED, text).into_response()
}

/// Takes as long wherever they differ.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let differing = one
        .iter()
        .zip(other)
        .fold(0, |differing, (one, other)| differing | (one ^ other));
    one.len() == other.len() && differing == 0
}

/// "The '200 OK' response to any OPTIONS request SHOULD include an 'Accept-Post' header" (RFC 9725 §4.2).
async fn say_what_is_accepted(request: Request, next: Next) -> Response {
    let asks = request.method() == Method::OPTIONS;
    let mut response = next.run(request).await;
    if asks {
        let headers = response.headers_mut();
        headers.insert(ACCEPT_POST, HeaderValue::from_static(SDP));
        headers.insert(ACCEPT_PATCH, HeaderValue::from_static(SDP_FRAGMENT));
    }
    response
}

/// "WHIP endpoints and sessions MUST return a 2XX successful response with no content when a GET request is received"
/// (RFC 9725 §4.1).
async fn nothing_to_get() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// "it SHOULD respond with a '200 OK' status code and include a Content-Type header field with the value application/sdp" (WHEP
/// draft, on HEAD).
async fn announce(method: Method) -> Response {
    match method {
        Method::HEAD => (StatusCode::OK, [(header::CONTENT_TYPE, SDP)]).into_response(),
        _ => StatusCode::NO_CONTENT.into_response(),
    }
}

async fn look(State(whip): State<Whip>, location: Uri) -> Result<StatusCode, Refused> {
    whip.sessions.find(location.path()).map(|_| StatusCode::NO_CONTENT)
}

/// `POST /whip/echo`, and what is in its place when the program plays or records.
async fn echo(
    State(whip): State<Whip>,
    headers: HeaderMap,
    body: Result<String, StringRejection>,
) -> Result<Response, Refused> {
    let offer = text(&headers, SDP, body)?;
    let (visitor, answer) = whip.begin(whip.visitors.attendant(), offer).await?;
    whip.created(visitor, &answer, whip.visitors.role().path(), None)
}

/// `POST /whip/STREAM`
async fn publish(
    State(whip): State<Whip>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Result<String, StringRejection>,
) -> Result<Response, Refused> {
    let offer = text(&headers, SDP, body)?;
    publisher::check_offer(&offer)?;
    let publisher = Publisher::new(&whip.streams, &name)?;
    let claim = publisher.claim();
    let (visitor, answer) = whip.begin(Box::new(publisher), offer).await?;
    claim.take(&visitor.pc)?;
    whip.created(visitor, &answer, &format!("/whip/{name}"), None)
}

/// `POST /whep/STREAM`
async fn play(
    State(whip): State<Whip>,
    Path(name): Path<String>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
    body: Result<String, StringRejection>,
) -> Result<Response, Refused> {
    let offer = text(&headers, SDP, body)?;
    viewer::check_offer(&offer)?;
    let viewer = Viewer::new(&whip.streams, &name, wanted.layer.as_deref())?;
    let seat = viewer.seat();
    let (visitor, answer) = whip.begin(Box::new(viewer), offer).await?;
    seat.check()?;
    whip.created(visitor, &answer, &format!("/whep/{name}"), Some(seat))
}

/// The layer of simulcast that a viewer wants.
#[derive(serde::Deserialize)]
struct Wanted {
    #[serde(alias = "encodingId")]
    layer: Option<String>,
}

/// `GET …/layer`
async fn layers(State(whip): State<Whip>, location: Uri) -> Result<Response, Refused> {
    let (layers, present) = whip.seat(&location)?.layers();
    let layers: Vec<&str> = layers.iter().map(|layer| &**layer).collect();
    Ok(Json(serde_json::json!({ "layers": layers, "present": present })).into_response())
}

/// `POST …/layer`
async fn choose_layer(
    State(whip): State<Whip>,
    location: Uri,
    headers: HeaderMap,
    body: Result<String, StringRejection>,
) -> Result<StatusCode, Refused> {
    let seat = whip.seat(&location)?;
    let body = text(&headers, "application/json", body)?;
    let wanted: Wanted = serde_json::from_str(&body).map_err(|error| {
        let text =
            format!("expected {{\"encodingId\": \"RID\"}}, or null for the best layer that your path takes: {error}");
        Refused::new(StatusCode::BAD_REQUEST, text)
    })?;
    seat.choose_layer(wanted.layer.as_deref())?;
    Ok(StatusCode::OK)
}

impl Whip {
    /// A peer for a visitor, and the complete answer to its offer.
    async fn begin(&self, attendant: Box<dyn Attendant>, offer: String) -> Result<(Visitor, Answer), Refused> {
        let admitted = self.visitors.admit(attendant).await;
        let mut visitor = admitted.map_err(|refusal| Refused::unavailable(refusal.to_string()))?;
        let answered = visitor.answer(SessionDescription::offer(offer));
        answered.map_err(|error| refusal(&visitor.pc, &error))?;
        let answer = complete_answer(&visitor.pc).await?;
        let parsed = parse(&answer)?;
        let Some(media) = parsed.media.iter().find(|media| !media.is_rejected()) else {
            let text =
                "nothing in the offer can be served: the codecs are unknown, or the media descriptions are rejected";
            return Err(Refused::new(StatusCode::UNPROCESSABLE_ENTITY, text));
        };
        if media.candidates().next().is_none() {
            return Err(Refused::unavailable("no UDP socket could be opened for this session"));
        }
        let etag = fragment::etag(&parsed);
        Ok((visitor, Answer { sdp: answer.sdp, etag }))
    }

    /// `201`: the session lives at a location below `endpoint` until its peer ends.
    fn created(
        &self,
        visitor: Visitor,
        answer: &Answer,
        endpoint: &str,
        seat: Option<Seat>,
    ) -> Result<Response, Refused> {
        // 128 random bits: whoever knows a session's location may change and end it.
        let location = format!("{endpoint}/{:032x}", rand::random::<u128>());
        let mut response = (StatusCode::CREATED, answer.sdp.clone()).into_response();
        let headers = response.headers_mut();
        let value = |text: &str| HeaderValue::from_str(text).map_err(|_| no_session());
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(SDP));
        headers.insert(header::LOCATION, value(&location)?);
        headers.insert(header::ETAG, value(&answer.etag)?);
        if seat.is_some() {
            headers.insert(header::LINK, value(&format!("<{location}/layer>; rel=\"{LAYER}\""))?);
        }
        let session = Session {
            pc: visitor.pc.clone(),
            seat,
            patching: tokio::sync::Mutex::default(),
        };
        self.sessions
            .with(|sessions| sessions.insert(location.clone(), Arc::new(session)));
        let sessions = self.sessions.clone();
        tokio::spawn(async move {
            visitor.serve_alone().await;
            sessions.with(|sessions| sessions.remove(&location));
        });
        Ok(response)
    }

    /// The viewer whose layers `location` is about.
    fn seat(&self, location: &Uri) -> Result<Seat, Refused> {
        let session = location.path().trim_end_matches("/layer");
        self.sessions.find(session)?.seat.clone().ok_or_else(no_session)
    }
}

/// An answer with all candidates, and the entity-tag of its ICE session.
struct Answer {
    sdp: String,
    etag: String,
}

async fn update(
    State(whip): State<Whip>,
    location: Uri,
    headers: HeaderMap,
    body: Result<String, StringRejection>,
) -> Result<Response, Refused> {
    let session = whip.sessions.find(location.path())?;
    let body = text(&headers, SDP_FRAGMENT, body)?;
    let Session { pc, patching, .. } = &*session;
    let _turn = patching.lock().await;
    let offer = parse(&pc.remote_description().ok_or_else(no_session)?)?;
    let answer = parse(&pc.local_description().ok_or_else(no_session)?)?;
    let update = fragment::Update::parse(&body, &offer).map_err(|text| Refused::new(StatusCode::BAD_REQUEST, text))?;
    check_precondition(&headers, &fragment::etag(&answer))?;
    let Some(restarted) = &update.restarted_offer else {
        add_candidates(pc, &update);
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    restart(pc, SessionDescription::offer(restarted.to_string())).map_err(|error| refusal(pc, &error))?;
    add_candidates(pc, &update);
    let answer = parse(&complete_answer(pc).await?)?;
    let headers = [
        (header::CONTENT_TYPE, SDP_FRAGMENT.to_owned()),
        (header::ETAG, fragment::etag(&answer)),
    ];
    Ok((StatusCode::OK, headers, fragment::describe(&answer)).into_response())
}

/// Answers an offer that has changed nothing but ICE.
fn restart(pc: &PeerConnection, offer: SessionDescription) -> Result<(), Error> {
    pc.set_remote_description(offer)?;
    pc.set_local_description(pc.create_answer()?)
}

/// "A '428 Precondition Required' response for a missing entity tag, and a '412 Precondition Failed' response for a
/// non-matching entity tag" (RFC 9725 §4.3.1). `*` matches every session (RFC 9110 §13.1.1).
fn check_precondition(headers: &HeaderMap, current: &str) -> Result<(), Refused> {
    let mut given = headers.get_all(header::IF_MATCH).iter().peekable();
    if given.peek().is_none() {
        let text = "give the session's ETag in If-Match, or * to restart ICE";
        return Err(Refused::new(StatusCode::PRECONDITION_REQUIRED, text));
    }
    let matches = given
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|tag| matches!(tag.trim(), tag if tag == "*" || tag == current));
    if !matches {
        let text = "the ETag in If-Match is not the session's: ICE was restarted since";
        return Err(Refused::new(StatusCode::PRECONDITION_FAILED, text));
    }
    Ok(())
}

/// "If the WHIP session does not support a candidate transport or is not able to resolve the connection address, it MUST
/// silently discard the candidate and continue processing the rest of the request normally" (RFC 9725 §4.3.2).
fn add_candidates(pc: &PeerConnection, update: &fragment::Update) {
    for candidate in &update.candidates {
        if let Err(error) = pc.add_ice_candidate(candidate.clone()) {
            tracing::debug!("a candidate was discarded: {error}");
        }
    }
}

async fn end(State(whip): State<Whip>, location: Uri) -> Result<Response, Refused> {
    let session = whip
        .sessions
        .with(|sessions| sessions.remove(location.path()))
        .ok_or_else(no_session)?;
    session.pc.close();
    Ok(StatusCode::OK.into_response())
}

/// The answer with every candidate: "the WHIP endpoint SHALL gather all the ICE candidates for the media server before
/// responding to the client request" (RFC 9725 §4.3.2).
async fn complete_answer(pc: &PeerConnection) -> Result<SessionDescription, Refused> {
    let _ = tokio::time::timeout(GATHERING, pc.gathering_complete()).await;
    pc.local_description().ok_or_else(no_session)
}

/// A description of our own, or one that was accepted.
fn parse(description: &SessionDescription) -> Result<peerline_sdp::SessionDescription, Refused> {
    peerline_sdp::SessionDescription::parse(&description.sdp)
        .map_err(|error| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

/// What the peer says to an offer is the client's to mend, unless the peer has ended.
fn refusal(pc: &PeerConnection, error: &Error) -> Refused {
    match pc.connection_state() {
        ConnectionState::Closed => no_session(),
        _ => Refused::new(StatusCode::BAD_REQUEST, error.to_string()),
    }
}

/// The body, if it is text of the expected type.
fn text(headers: &HeaderMap, expected: &str, body: Result<String, StringRejection>) -> Result<String, Refused> {
    let given = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("missing");
    let media_type = given.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case(expected) {
        let text = format!("the Content-Type must be {expected}, but is {given}");
        return Err(Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    }
    let body = body.map_err(|rejection| Refused::body(&rejection))?;
    if body.len() > MAX_BODY {
        return Err(Refused::too_large());
    }
    Ok(body)
}

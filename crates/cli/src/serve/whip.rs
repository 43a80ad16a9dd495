//! `POST /whip/echo`: signalling by one HTTP request (RFC 9725), for clients without a WebSocket.
//!
//! `POST` takes an offer and gives `201`, the answer with all candidates, a `Location` and an `ETag`; `PATCH` on the
//! location adds candidates or restarts ICE, `DELETE` ends the session. Open to other origins.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::rejection::StringRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use peerline::{ConnectionState, Error, PeerConnection, SessionDescription};
use tower_http::cors::{AllowHeaders, Any, CorsLayer};

use super::MAX_BODY;
use super::echo::EchoPeer;
use super::reply::{self, Refused};
use super::visitors::{Visitor, Visitors};

mod fragment;

const SDP: &str = "application/sdp";
const SDP_FRAGMENT: &str = peerline_sdp::Fragment::CONTENT_TYPE;
const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");
const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");

/// Gathering takes as long as binding sockets: much less than this.
const GATHERING: Duration = Duration::from_secs(5);
/// How long browsers may remember that other origins are welcome.
const REMEMBERED: Duration = Duration::from_secs(3600);

/// The WHIP endpoint and its sessions.
pub(super) fn router(visitors: Visitors) -> Router {
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
            header::RETRY_AFTER,
            ACCEPT_POST,
            ACCEPT_PATCH,
        ])
        .max_age(REMEMBERED);
    Router::new()
        .route("/whip/echo", get(nothing_to_get).post(create))
        .route("/whip/echo/{session}", get(look).patch(update).delete(end))
        .method_not_allowed_fallback(reply::method_not_allowed)
        .layer(cors)
        .layer(from_fn(say_what_is_accepted))
        .with_state(Whip {
            visitors,
            sessions: Sessions::default(),
        })
}

#[derive(Clone)]
struct Whip {
    visitors: Visitors,
    sessions: Sessions,
}

/// The sessions under way, by the last segment of their location.
#[derive(Clone, Default)]
struct Sessions(Arc<Mutex<HashMap<String, Arc<Session>>>>);

struct Session {
    pc: PeerConnection,
    /// Held while a `PATCH` is done: "the WHIP client MAY send overlapping HTTP PATCH requests" (RFC 9725 §4.3.1).
    patching: tokio::sync::Mutex<()>,
}

impl Sessions {
    fn with<T>(&self, use_them: impl FnOnce(&mut HashMap<String, Arc<Session>>) -> T) -> T {
        use_them(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn find(&self, id: &str) -> Result<Arc<Session>, Refused> {
        self.with(|sessions| sessions.get(id).cloned()).ok_or_else(no_session)
    }
}

fn no_session() -> Refused {
    Refused::new(StatusCode::NOT_FOUND, "no such session: it ended, or never was")
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

async fn look(State(whip): State<Whip>, Path(id): Path<String>) -> Result<StatusCode, Refused> {
    whip.sessions.find(&id).map(|_| StatusCode::NO_CONTENT)
}

async fn create(
    State(whip): State<Whip>,
    headers: HeaderMap,
    body: Result<String, StringRejection>,
) -> Result<Response, Refused> {
    let offer = text(&headers, SDP, body)?;
    let mut visitor = whip
        .visitors
        .admit(EchoPeer::default())
        .await
        .map_err(|refusal| Refused::unavailable(refusal.to_string()))?;
    let answered = visitor.answer(SessionDescription::offer(offer));
    answered.map_err(|error| refusal(&visitor.pc, &error))?;
    let answer = complete_answer(&visitor.pc).await?;
    let parsed = parse(&answer)?;
    let Some(media) = parsed.media.iter().find(|media| !media.is_rejected()) else {
        let text = "nothing in the offer can be served: the codecs are unknown, or the media descriptions are rejected";
        return Err(Refused::new(StatusCode::UNPROCESSABLE_ENTITY, text));
    };
    if media.candidates().next().is_none() {
        return Err(Refused::unavailable("no UDP socket could be opened for this session"));
    }
    let etag = fragment::etag(&parsed);
    let id = register(&whip.sessions, visitor);
    let headers = [
        (header::CONTENT_TYPE, SDP.to_owned()),
        (header::LOCATION, format!("/whip/echo/{id}")),
        (header::ETAG, etag),
    ];
    Ok((StatusCode::CREATED, headers, answer.sdp).into_response())
}

/// Gives the session a name, under which it can be found until its peer ends.
fn register(sessions: &Sessions, visitor: Visitor) -> String {
    // 128 random bits: whoever knows a session's location may change and end it.
    let id = format!("{:032x}", rand::random::<u128>());
    let session = Session {
        pc: visitor.pc.clone(),
        patching: tokio::sync::Mutex::default(),
    };
    sessions.with(|sessions| sessions.insert(id.clone(), Arc::new(session)));
    tokio::spawn({
        let (sessions, id) = (sessions.clone(), id.clone());
        async move {
            visitor.serve_alone().await;
            sessions.with(|sessions| sessions.remove(&id));
        }
    });
    id
}

async fn update(
    State(whip): State<Whip>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Result<String, StringRejection>,
) -> Result<Response, Refused> {
    let session = whip.sessions.find(&id)?;
    let body = text(&headers, SDP_FRAGMENT, body)?;
    let Session { pc, patching } = &*session;
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

async fn end(State(whip): State<Whip>, Path(id): Path<String>) -> Result<Response, Refused> {
    let session = whip
        .sessions
        .with(|sessions| sessions.remove(&id))
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

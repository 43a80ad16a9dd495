//! `POST /whip/echo`: signalling by one HTTP request (RFC 9725), for clients without a WebSocket.
//!
//! `POST` takes an offer and gives `201`, the answer with all candidates, a `Location` and an `ETag`; `PATCH` on the
//! location adds candidates, `DELETE` ends the session. Open to other origins.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{patch, post};
use peerline::{IceCandidate, PeerConnection, SessionDescription};
use peerline_sdp::attribute::{Candidate, EndOfCandidates, IcePwd, IceUfrag};
use peerline_sdp::{Fragment, Section as _};
use tower_http::cors::{Any, CorsLayer};

use super::{SDP, SDP_FRAGMENT, echo, has_content_type, reply};

/// Sessions served at once; beyond it `503` asks to come back later.
const MAX_SESSIONS: usize = 10_000;
/// Gathering takes as long as binding sockets: much less than this.
const GATHERING: Duration = Duration::from_secs(5);

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The sessions under way, by the last segment of their location.
#[derive(Clone, Default)]
struct Sessions(Arc<Mutex<HashMap<String, PeerConnection>>>);

impl Sessions {
    fn with<T>(&self, use_them: impl FnOnce(&mut HashMap<String, PeerConnection>) -> T) -> T {
        use_them(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn find(&self, id: &str) -> Result<PeerConnection, Response> {
        self.with(|sessions| sessions.get(id).cloned())
            .ok_or_else(|| reply::error(StatusCode::NOT_FOUND, "no such session: it ended, or never was"))
    }
}

/// The WHIP endpoint and its sessions.
pub(super) fn router() -> Router {
    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::POST, Method::PATCH, Method::DELETE, Method::OPTIONS])
        .allow_headers([header::CONTENT_TYPE, header::IF_MATCH, header::AUTHORIZATION])
        .expose_headers([header::LOCATION, header::ETAG]);
    Router::new()
        .route("/whip/echo", post(create))
        .route("/whip/echo/{session}", patch(trickle).delete(end))
        .layer(cors)
        .with_state(Sessions::default())
}

async fn create(State(sessions): State<Sessions>, headers: HeaderMap, body: String) -> Response {
    if !has_content_type(&headers, SDP) {
        return reply::error(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("the offer's Content-Type must be {SDP}"),
        );
    }
    if sessions.with(|sessions| sessions.len() >= MAX_SESSIONS) {
        return reply::error(StatusCode::SERVICE_UNAVAILABLE, "too many sessions: try again later");
    }
    match begin(&sessions, body).await {
        Ok((id, answer)) => (
            StatusCode::CREATED,
            [
                (header::CONTENT_TYPE, SDP.to_owned()),
                (header::LOCATION, format!("/whip/echo/{id}")),
                (header::ETAG, etag(&answer)),
            ],
            answer.sdp,
        )
            .into_response(),
        Err(error) => reply::error(StatusCode::BAD_REQUEST, error),
    }
}

/// Answers the offer and registers the session, which leaves the table when its peer ends.
async fn begin(sessions: &Sessions, offer: String) -> Result<(String, SessionDescription), Failure> {
    let pc = echo::new_peer().await?;
    echo::answer(&pc, SessionDescription::offer(offer))?;
    // "The WHIP endpoint SHALL gather all the ICE candidates for the media server before responding" (RFC 9725 §4.3.2).
    let _ = tokio::time::timeout(GATHERING, pc.gathering_complete()).await;
    let answer = pc.local_description().ok_or("the session has ended")?;
    let id = session_id();
    sessions.with(|sessions| sessions.insert(id.clone(), pc.clone()));
    tokio::spawn({
        let (sessions, id) = (sessions.clone(), id.clone());
        async move {
            echo::serve_alone(&pc).await;
            pc.close();
            sessions.with(|sessions| sessions.remove(&id));
        }
    });
    Ok((id, answer))
}

/// 128 random bits: whoever knows a session's location may change and end it.
fn session_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// A strong entity-tag for the ICE generation: its username fragment is unique (RFC 9725 §4.3.1).
fn etag(answer: &SessionDescription) -> String {
    let ufrag = answer
        .sdp
        .lines()
        .find_map(|line| line.strip_prefix("a=ice-ufrag:"))
        .unwrap_or_default();
    format!("\"{ufrag}\"")
}

async fn trickle(
    State(sessions): State<Sessions>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: String,
) -> Result<Response, Response> {
    let pc = sessions.find(&id)?;
    if !has_content_type(&headers, SDP_FRAGMENT) {
        let text = format!("the fragment's Content-Type must be {SDP_FRAGMENT}");
        return Err(reply::error(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    }
    // "428 Precondition Required" for a missing entity tag, and "412 Precondition Failed" for a non-matching one (§4.3.1).
    let current = pc.local_description().map(|answer| etag(&answer)).unwrap_or_default();
    let Some(tag) = headers.get(header::IF_MATCH).and_then(|tag| tag.to_str().ok()) else {
        return Err(reply::error(
            StatusCode::PRECONDITION_REQUIRED,
            "give the session's ETag in If-Match",
        ));
    };
    let fragment = Fragment::parse(&body).map_err(|error| {
        reply::error(
            StatusCode::BAD_REQUEST,
            format!("the fragment cannot be parsed: {error}"),
        )
    })?;
    // "any WHIP session receiving an updated ice-pwd and ice-ufrag … MUST consider the request as performing an ICE restart",
    // which "MUST contain an If-Match header field with a field-value *" (RFC 9725 §4.3.3).
    if tag == "*" {
        return restart(&pc, &fragment)
            .await
            .map_err(|error| reply::error(StatusCode::BAD_REQUEST, error));
    }
    if tag != current {
        return Err(reply::error(
            StatusCode::PRECONDITION_FAILED,
            "the ETag in If-Match is not the session's",
        ));
    }
    add_candidates(&pc, &fragment).map_err(|error| reply::error(StatusCode::BAD_REQUEST, error))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Adds what a fragment trickles.
fn add_candidates(pc: &PeerConnection, fragment: &Fragment) -> Result<(), peerline::Error> {
    for (mid, candidate) in fragment.candidates() {
        // "If the WHIP session does not support a candidate …, it MUST silently discard the candidate" (RFC 9725 §4.3.2).
        let Ok(candidate) = candidate else { continue };
        pc.add_ice_candidate(Some(IceCandidate {
            candidate: format!("candidate:{candidate}"),
            sdp_mid: mid.map(str::to_owned),
            sdp_m_line_index: mid.is_none().then_some(0),
            username_fragment: None,
        }))?;
    }
    if fragment.has::<EndOfCandidates>() || fragment.media.iter().any(|media| media.has::<EndOfCandidates>()) {
        pc.add_ice_candidate(None)?;
    }
    Ok(())
}

/// Restarts ICE: the client's offer stands, with the fragment's credentials and candidates in it.
async fn restart(pc: &PeerConnection, fragment: &Fragment) -> Result<Response, Failure> {
    let pseudo = fragment.media.first().ok_or("the fragment has no m= section")?;
    let ice = fragment
        .ice_parameters(pseudo)?
        .ok_or("a restart needs a new ice-ufrag and ice-pwd")?;
    let offer = pc.remote_description().ok_or("the session has ended")?;
    let mut offer = peerline_sdp::SessionDescription::parse(&offer.sdp)?;
    for media in offer.media.iter_mut().filter(|media| media.has::<IceUfrag>()) {
        media.set(&IceUfrag::new(&ice.ufrag)).set(&IcePwd::new(&ice.pwd));
        media.remove::<Candidate>();
        media.remove::<EndOfCandidates>();
    }
    echo::answer(pc, SessionDescription::offer(offer.to_string()))?;
    add_candidates(pc, fragment)?;
    let _ = tokio::time::timeout(GATHERING, pc.gathering_complete()).await;
    let answer = pc.local_description().ok_or("the session has ended")?;
    let parsed = peerline_sdp::SessionDescription::parse(&answer.sdp)?;
    let media = parsed
        .media
        .iter()
        .find(|media| !media.is_rejected())
        .ok_or("nothing is left in the session")?;
    let mut reply = Fragment::about(&parsed, media);
    for candidate in media.candidates() {
        reply.media[0].push(&candidate?);
    }
    reply.media[0].push(&EndOfCandidates);
    let headers = [
        (header::CONTENT_TYPE, SDP_FRAGMENT.to_owned()),
        (header::ETAG, etag(&answer)),
    ];
    Ok((StatusCode::OK, headers, reply.to_string()).into_response())
}

async fn end(State(sessions): State<Sessions>, Path(id): Path<String>) -> Result<Response, Response> {
    let pc = sessions.find(&id)?;
    pc.close();
    sessions.with(|sessions| sessions.remove(&id));
    Ok(StatusCode::OK.into_response())
}

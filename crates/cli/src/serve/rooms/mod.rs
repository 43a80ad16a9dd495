//! `/r/NAME`, where two browsers meet, and `/rooms/NAME`, where two of anything do: what one says in a room, the other hears.
//!
//! `POST /rooms/NAME` joins and gives a session; `…/SESSION/ws`, `…/SESSION/events` (server-sent events) and
//! `…/SESSION/messages?after=N` (long polling) are three ways to listen, between which a member changes without missing
//! anything. `POST …/SESSION/messages` says something, `DELETE …/SESSION` leaves.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{FromRequestParts, Path, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use futures_util::stream::unfold;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{interval, timeout};

use super::reply::{self, Refused};
use super::{MAX_BODY, MAX_READ};
use crate::host::now;
use hub::{Hub, Listener, NoEntry, NotTaken};

pub(crate) use hub::RoomName;

mod hub;

/// How often a listener is told that all is well, and asked whether it is still there.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a request waits for something to hear.
const LONG_POLL: Duration = Duration::from_secs(20);
/// A member that does not read for this long is not there any more.
const SENDING: Duration = Duration::from_secs(10);
/// Messages in one request.
const MAX_MESSAGES: usize = 64;
/// How often it is looked for who is not there any more.
const SWEEP: Duration = Duration::from_secs(1);

/// The rooms of a server.
#[derive(Clone)]
pub(crate) struct Rooms {
    hub: Arc<Hub>,
    /// The only room that there may be.
    only: Option<RoomName>,
}

impl Rooms {
    /// Any room that somebody wants, or `only` one.
    pub(crate) fn new(only: Option<RoomName>) -> Self {
        let hub = Arc::new(Hub::default());
        let watched = Arc::downgrade(&hub);
        tokio::spawn(async move {
            let mut ticks = interval(SWEEP);
            loop {
                ticks.tick().await;
                let Some(hub) = watched.upgrade() else { return };
                hub.sweep(now());
            }
        });
        Self { hub, only }
    }

    /// Ends all connections that listen.
    pub(crate) fn end(&self) {
        self.hub.end();
    }

    /// The routes of the API.
    pub(crate) fn router(&self) -> Router {
        Router::new()
            .route("/rooms/{name}", post(join))
            .route("/rooms/{name}/{session}", delete(leave))
            .route("/rooms/{name}/{session}/ws", get(upgrade))
            .route("/rooms/{name}/{session}/events", get(events))
            .route("/rooms/{name}/{session}/messages", get(poll).post(say))
            .method_not_allowed_fallback(reply::method_not_allowed)
            .layer(from_fn(same_origin))
            .with_state(self.clone())
    }

    fn room(&self, name: &str) -> Result<RoomName, Refused> {
        let name = RoomName::new(name).ok_or_else(|| {
            let text = "a room's name has 1 to 64 letters, digits and -_.~, and not dots alone";
            Refused::new(StatusCode::BAD_REQUEST, text)
        })?;
        match &self.only {
            Some(only) if *only != name => Err(nobody()),
            Some(_) | None => Ok(name),
        }
    }
}

/// A page of another origin would act with the addresses of whom it shows itself to: rooms are for our own page, and for
/// programs, which send no `Origin`. `X-Forwarded-Host` is that of a proxy: no page can set it without being asked first.
async fn same_origin(request: Request, next: Next) -> Response {
    if is_of_our_page(request.headers()) {
        return next.run(request).await;
    }
    Refused::new(StatusCode::FORBIDDEN, "rooms are not open to pages of other origins").into_response()
}

fn is_of_our_page(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return true;
    };
    let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    let Some((_, authority)) = authority else { return false };
    let ours = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    [ours("host"), ours("x-forwarded-host")]
        .into_iter()
        .flatten()
        .any(|host| host.eq_ignore_ascii_case(authority))
}

/// `{"create": false}` joins only a room in which somebody is.
#[derive(Deserialize)]
#[serde(default)]
struct Join {
    create: bool,
}

impl Default for Join {
    fn default() -> Self {
        Self { create: true }
    }
}

async fn join(
    State(rooms): State<Rooms>,
    Path(name): Path<String>,
    join: Result<Json<Join>, JsonRejection>,
) -> Result<Response, Refused> {
    let Json(join) = join.map_err(|rejection| Refused::new(rejection.status(), rejection.body_text()))?;
    let name = rooms.room(&name)?;
    let session = rooms.hub.join(&name, join.create, now()).map_err(|why| match why {
        NoEntry::RoomFull => {
            let text = "two are in this room already: try again when one has left, or choose another room";
            Refused::new(StatusCode::CONFLICT, text).retry_after(2)
        }
        NoEntry::Nobody => nobody(),
        NoEntry::TooManyRooms => Refused::unavailable("there are too many rooms now"),
    })?;
    Ok((
        StatusCode::CREATED,
        Json(json!({ "session": format!("{session:032x}") })),
    )
        .into_response())
}

fn nobody() -> Refused {
    Refused::new(StatusCode::NOT_FOUND, "nobody is in this room")
}

fn not_a_member() -> Refused {
    Refused::new(StatusCode::NOT_FOUND, "this session is over: join again")
}

/// The room and the session of a path.
struct Membership {
    rooms: Rooms,
    name: RoomName,
    session: u128,
}

impl FromRequestParts<Rooms> for Membership {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, rooms: &Rooms) -> Result<Self, Refused> {
        let path: Result<Path<(String, String)>, PathRejection> = Path::from_request_parts(parts, rooms).await;
        let Ok(Path((name, session))) = path else {
            return Err(not_a_member());
        };
        let name = rooms.room(&name)?;
        let session = u128::from_str_radix(&session, 16).map_err(|_| not_a_member())?;
        Ok(Self {
            rooms: rooms.clone(),
            name,
            session,
        })
    }
}

impl Membership {
    fn listen(&self, after: &After) -> Result<Ear, Refused> {
        let Ok(Query(Position { after, .. })) = *after else {
            let text = "\"after\" is the number of the last event that arrived, \"wait\" is in seconds";
            return Err(Refused::new(StatusCode::BAD_REQUEST, text));
        };
        let listener = self.rooms.hub.listen(&self.name, self.session, after, now());
        listener.map(Ear).ok_or_else(not_a_member)
    }
}

/// From where on to listen.
#[derive(Deserialize)]
struct Position {
    /// The number of the last event that arrived; 0 at first.
    #[serde(default)]
    after: u64,
    /// How long a request waits, in seconds, for something to hear.
    #[serde(default = "long")]
    wait: u64,
}

fn long() -> u64 {
    LONG_POLL.as_secs()
}

type After = Result<Query<Position>, QueryRejection>;

/// A listener that ceases when its connection does.
struct Ear(Listener);

impl Ear {
    async fn next(&mut self) -> Option<String> {
        self.0.next(now).await
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.0.cease(now());
    }
}

async fn leave(membership: Membership) -> Result<StatusCode, Refused> {
    let left = membership.rooms.hub.leave(&membership.name, membership.session);
    left.map(|()| StatusCode::NO_CONTENT).ok_or_else(not_a_member)
}

/// A JSON array of messages. An empty one just says that the member is there.
async fn say(membership: Membership, messages: Result<Json<Vec<Value>>, JsonRejection>) -> Result<StatusCode, Refused> {
    let Json(messages) = messages.map_err(|rejection| Refused::new(rejection.status(), rejection.body_text()))?;
    if let Some(text) = is_too_much(messages.len(), 0) {
        return Err(Refused::new(StatusCode::PAYLOAD_TOO_LARGE, text));
    }
    let said = membership
        .rooms
        .hub
        .say(&membership.name, membership.session, &messages, now());
    said.map(|()| StatusCode::NO_CONTENT).map_err(|why| match why {
        NotTaken::NotAMember => not_a_member(),
        why @ (NotTaken::Alone | NotTaken::Full) => Refused::new(StatusCode::CONFLICT, complaint(why)),
    })
}

fn complaint(why: NotTaken) -> &'static str {
    match why {
        NotTaken::NotAMember => "this session is over: join again",
        NotTaken::Alone => "nobody else is in this room",
        NotTaken::Full => "the other one does not listen fast enough",
    }
}

fn is_too_much(messages: usize, bytes: usize) -> Option<String> {
    (messages > MAX_MESSAGES || bytes > MAX_BODY)
        .then(|| format!("at once there may be {MAX_MESSAGES} messages in {MAX_BODY} bytes"))
}

/// Long polling: waits a while for events.
async fn poll(membership: Membership, after: After) -> Result<Response, Refused> {
    let wait = after.as_ref().map_or(0, |position| position.wait).min(long());
    let mut ear = membership.listen(&after)?;
    let events = match timeout(Duration::from_secs(wait), ear.next()).await {
        Ok(events) => events.ok_or_else(not_a_member)?,
        Err(_) => "[]".to_owned(),
    };
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, events).into_response())
}

/// Server-sent events: each is an array of events, the first one an empty one, which shows that nobody in between waits
/// until there is more to send.
async fn events(membership: Membership, after: After) -> Result<Response, Refused> {
    let ear = membership.listen(&after)?;
    let stream = unfold((ear, true), |(mut ear, is_first)| async move {
        let events = if is_first {
            "[]".to_owned()
        } else {
            timeout(HEARTBEAT, ear.next())
                .await
                .unwrap_or_else(|_| Some("[]".into()))?
        };
        Some((Ok::<_, Infallible>(Event::default().data(events)), (ear, false)))
    });
    let headers = [(header::CACHE_CONTROL, "no-store"), (X_ACCEL_BUFFERING, "no")];
    Ok((headers, Sse::new(stream)).into_response())
}

/// What asks nginx not to keep events back.
const X_ACCEL_BUFFERING: header::HeaderName = header::HeaderName::from_static("x-accel-buffering");

/// A WebSocket: arrays of events one way, as of the others, and arrays of messages the other.
async fn upgrade(
    membership: Membership,
    after: After,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Refused> {
    let upgrade = upgrade.map_err(|rejection| {
        let text = format!("this is a WebSocket: {}", rejection.body_text());
        Refused::new(rejection.status(), text)
    })?;
    let ear = membership.listen(&after)?;
    let upgrade = upgrade.max_message_size(MAX_READ).max_frame_size(MAX_READ);
    Ok(upgrade.on_upgrade(|socket| converse(socket, ear)))
}

async fn converse(mut socket: WebSocket, mut ear: Ear) {
    let mut heartbeat = interval(HEARTBEAT);
    loop {
        let text = tokio::select! {
            events = ear.next() => match events {
                Some(events) => events,
                None => break,
            },
            // At once, and from then on now and then.
            _ = heartbeat.tick() => "[]".to_owned(),
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => match hear(&ear, &text) {
                    Ok(()) => continue,
                    Err(text) => reply::error_json(&text).to_string(),
                },
                Some(Ok(Message::Binary(_))) => reply::error_json("this is binary: send JSON as text").to_string(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                None | Some(Ok(Message::Close(_)) | Err(_)) => return,
            },
        };
        let Ok(Ok(())) = timeout(SENDING, socket.send(Message::Text(text.into()))).await else {
            return;
        };
    }
    let frame = CloseFrame {
        code: close_code::AWAY,
        reason: "the session is over, continues elsewhere, or the program ends".into(),
    };
    let _ = timeout(SENDING, socket.send(Message::Close(Some(frame)))).await;
}

fn hear(ear: &Ear, text: &str) -> Result<(), String> {
    if let Some(text) = is_too_much(0, text.len()) {
        return Err(text);
    }
    let messages: Vec<Value> =
        serde_json::from_str(text).map_err(|error| format!("this is no JSON array of messages: {error}"))?;
    if let Some(text) = is_too_much(messages.len(), 0) {
        return Err(text);
    }
    ear.0.say(&messages, now()).map_err(|why| complaint(why).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn pages_of_other_origins_are_told_from_ours() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            let pairs = pairs.iter().map(|(name, value)| {
                let name = header::HeaderName::from_static(name);
                (name, HeaderValue::from_static(value))
            });
            pairs.collect::<HeaderMap>()
        };
        let host = ("host", "call.example:8080");
        for (origin, is_ours) in [
            ("http://call.example:8080", true),
            ("https://CALL.example:8080", true),
            ("http://call.example", false),
            ("http://evil.example", false),
            ("http://call.example:8080.evil.example", false),
            ("null", false),
        ] {
            assert_eq!(
                is_of_our_page(&headers(&[host, ("origin", origin)])),
                is_ours,
                "{origin}"
            );
        }
        assert!(is_of_our_page(&headers(&[host])));
        let proxied = [host, ("origin", "https://x.example"), ("x-forwarded-host", "x.example")];
        assert!(is_of_our_page(&headers(&proxied)));
    }
}

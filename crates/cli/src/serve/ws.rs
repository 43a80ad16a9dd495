//! `GET /ws`: signalling over a WebSocket, in the JSON of browsers.
//!
//! Both ways: `{"description": RTCSessionDescriptionInit}` and `{"candidate": RTCIceCandidateInit | null}`; from the
//! server also `{"error": "…"}`, after which the conversation goes on.

use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use peerline::{ConnectionState, IceCandidate, PeerConnection, PeerEvent, SdpType, SessionDescription};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::reply::{self, Refused};
use super::visitors::{End, Visitor, Visitors};
use super::{MAX_BODY, MAX_READ};

/// A visitor that does not read for this long is not there any more.
const SENDING: Duration = Duration::from_secs(10);

/// Upgrades to a WebSocket and serves it.
pub(super) async fn upgrade(
    State(visitors): State<Visitors>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Refused> {
    let upgrade = upgrade.map_err(|rejection| {
        let text = format!("this is a WebSocket: {}", rejection.body_text());
        Refused::new(rejection.status(), text)
    })?;
    let visitor = visitors.admit(visitors.attendant()).await;
    let visitor = visitor.map_err(|refusal| Refused::unavailable(refusal.to_string()))?;
    let upgrade = upgrade.max_message_size(MAX_READ).max_frame_size(MAX_READ);
    Ok(upgrade.on_upgrade(|socket| serve(socket, visitor)))
}

/// Serves a visitor until its peer ends, also after it has left the WebSocket.
async fn serve(mut socket: WebSocket, mut visitor: Visitor) {
    match converse(&mut socket, &mut visitor).await {
        Leaving::Socket => {
            drop(socket);
            // Nobody can describe a connection any more that was never begun.
            if visitor.pc.connection_state() == ConnectionState::New {
                visitor.leave().await;
            } else {
                visitor.serve_alone().await;
            }
        }
        Leaving::Peer(end) => {
            let _ = timeout(SENDING, say_goodbye(&mut socket, end)).await;
            drop(socket);
            visitor.leave().await;
        }
    }
}

/// What came first.
enum Leaving {
    /// The signalling ended.
    Socket,
    /// The peer ended.
    Peer(End),
}

async fn converse(socket: &mut WebSocket, visitor: &mut Visitor) -> Leaving {
    loop {
        let reply = tokio::select! {
            event = visitor.next() => match event {
                Ok(PeerEvent::IceCandidate(candidate)) => Some(json!({ "candidate": candidate })),
                Ok(_) => None,
                Err(end) => return Leaving::Peer(end),
            },
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => match handle(visitor, &text) {
                    Ok(reply) => reply,
                    Err(text) => Some(reply::error_json(&text)),
                },
                Some(Ok(Message::Binary(_))) => Some(reply::error_json("this is binary: send JSON as text")),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => None,
                None | Some(Ok(Message::Close(_)) | Err(_)) => return Leaving::Socket,
            },
        };
        let Some(reply) = reply else { continue };
        // While this waits nobody reads: the visitor's own pace limits what is done for it.
        let sending = socket.send(Message::Text(reply.to_string().into()));
        let Ok(Ok(())) = timeout(SENDING, sending).await else {
            return Leaving::Socket;
        };
    }
}

/// Tells why the peer ended, unless the visitor itself closed it, and closes the WebSocket.
async fn say_goodbye(socket: &mut WebSocket, end: End) -> Result<(), axum::Error> {
    let code = match end {
        End::Closed => close_code::NORMAL,
        End::ProgramEnds => close_code::AWAY,
        End::Failed | End::NotConnected => {
            let text = reply::error_json(&end.to_string()).to_string();
            socket.send(Message::Text(text.into())).await?;
            close_code::POLICY
        }
    };
    let frame = CloseFrame {
        code,
        reason: end.to_string().into(),
    };
    socket.send(Message::Close(Some(frame))).await
}

/// One message of the visitor: the reply to it, if it wants one, or what was wrong with it.
fn handle(visitor: &mut Visitor, text: &str) -> Result<Option<Value>, String> {
    if text.len() > MAX_BODY {
        return Err(format!("the message is larger than {MAX_BODY} bytes"));
    }
    let message: Value = serde_json::from_str(text).map_err(|error| format!("this is not JSON: {error}"))?;
    let Value::Object(mut message) = message else {
        return Err("expected an object with \"description\" or \"candidate\"".into());
    };
    match (message.remove("description"), message.remove("candidate")) {
        (Some(description), None) => describe(visitor, description),
        (None, Some(candidate)) => add_candidate(&visitor.pc, candidate).map(|()| None),
        (Some(_), Some(_)) => Err("send \"description\" and \"candidate\" one after the other".into()),
        (None, None) => Err("expected \"description\" or \"candidate\"".into()),
    }
}

/// `{"description": …}`: an offer is answered.
fn describe(visitor: &mut Visitor, description: Value) -> Result<Option<Value>, String> {
    let description: SessionDescription = serde_json::from_value(description)
        .map_err(|error| format!("\"description\" is no RTCSessionDescriptionInit: {error}"))?;
    if description.kind == SdpType::Offer {
        let answer = visitor.answer(description).map_err(|error| error.to_string())?;
        return Ok(Some(json!({ "description": answer })));
    }
    visitor
        .pc
        .set_remote_description(description)
        .map_err(|error| error.to_string())?;
    Ok(None)
}

/// `{"candidate": …}`, where `null` says that there are no more.
fn add_candidate(pc: &PeerConnection, candidate: Value) -> Result<(), String> {
    let candidate: Option<IceCandidate> = serde_json::from_value(candidate)
        .map_err(|error| format!("\"candidate\" is no RTCIceCandidateInit: {error}"))?;
    pc.add_ice_candidate(candidate).map_err(|error| error.to_string())
}

//! `GET /ws`: signalling over a WebSocket, in the JSON of browsers.
//!
//! Both ways: `{"description": RTCSessionDescriptionInit}` and `{"candidate": RTCIceCandidateInit | null}`; from the
//! server also `{"error": "…"}`, after which the conversation goes on.

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use peerline::{IceCandidate, PeerConnection, PeerEvent, SdpType, SessionDescription};
use serde_json::{Value, json};

use super::{MAX_BODY, echo};

/// Upgrades to a WebSocket and serves it.
pub(super) async fn upgrade(upgrade: WebSocketUpgrade) -> Response {
    upgrade.max_message_size(MAX_BODY).on_upgrade(|socket| async {
        if let Err(error) = converse(socket).await {
            tracing::warn!("a visitor could not be served: {error}");
        }
    })
}

/// Signals until either side hangs up; then serves the peer until it ends by itself.
async fn converse(mut socket: WebSocket) -> Result<(), peerline::Error> {
    let pc = echo::new_peer().await?;
    loop {
        tokio::select! {
            event = pc.next_event() => match echo::handle(event) {
                echo::Outcome::Ended => return Ok(()),
                echo::Outcome::Goes(Some(PeerEvent::IceCandidate(candidate))) => {
                    if send(&mut socket, &json!({ "candidate": candidate })).await.is_err() {
                        break;
                    }
                }
                echo::Outcome::Goes(_) => {}
            },
            message = socket.recv() => {
                let text = match message {
                    Some(Ok(Message::Text(text))) => text,
                    Some(Ok(Message::Binary(_))) => "".into(),
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                    None | Some(Ok(Message::Close(_)) | Err(_)) => break,
                };
                let reply = match handle(&pc, &text) {
                    Ok(None) => continue,
                    Ok(Some(reply)) => reply,
                    Err(text) => json!({ "error": text }),
                };
                if send(&mut socket, &reply).await.is_err() {
                    break;
                }
            }
        }
    }
    echo::serve_alone(&pc).await;
    Ok(())
}

async fn send(socket: &mut WebSocket, message: &Value) -> Result<(), axum::Error> {
    socket.send(Message::Text(message.to_string().into())).await
}

/// One message of the visitor: the reply to it, if it wants one, or what was wrong with it.
fn handle(pc: &PeerConnection, text: &str) -> Result<Option<Value>, String> {
    let message: Value = serde_json::from_str(text).map_err(|error| format!("this is not JSON: {error}"))?;
    let Value::Object(mut message) = message else {
        return Err("expected an object with \"description\" or \"candidate\"".into());
    };
    if let Some(description) = message.remove("description") {
        let description: SessionDescription = serde_json::from_value(description)
            .map_err(|error| format!("this is no RTCSessionDescriptionInit: {error}"))?;
        return match description.kind {
            SdpType::Offer => {
                let answer = echo::answer(pc, description).map_err(|error| error.to_string())?;
                Ok(Some(json!({ "description": answer })))
            }
            _ => pc
                .set_remote_description(description)
                .map(|()| None)
                .map_err(|error| error.to_string()),
        };
    }
    if let Some(candidate) = message.remove("candidate") {
        let candidate: Option<IceCandidate> =
            serde_json::from_value(candidate).map_err(|error| format!("this is no RTCIceCandidateInit: {error}"))?;
        return pc
            .add_ice_candidate(candidate)
            .map(|()| None)
            .map_err(|error| error.to_string());
    }
    Err("expected \"description\" or \"candidate\"".into())
}

//! The echo peer: answers an offer, and sends each message back on its channel with the same type.

use std::time::Duration;

use peerline::{Configuration, ConnectionState, DataChannel, Error, PeerConnection, PeerEvent, SessionDescription};

/// A peer that never connects is closed after this long, so that abandoned offers cost nothing.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection for one visitor. Loopback addresses are offered too: the visitor is often on this machine.
pub(super) async fn new_peer() -> Result<PeerConnection, Error> {
    PeerConnection::new(Configuration {
        loopback: true,
        ..Configuration::default()
    })
    .await
}

/// Applies an offer and returns the answer to it, with the candidates that are known so far.
pub(super) fn answer(pc: &PeerConnection, offer: SessionDescription) -> Result<SessionDescription, Error> {
    pc.set_remote_description(offer)?;
    let answer = pc.create_answer()?;
    pc.set_local_description(answer.clone())?;
    Ok(pc.local_description().unwrap_or(answer))
}

/// What became of an event of the peer.
pub(super) enum Outcome {
    /// The peer goes on; the event, if it is for signalling.
    Goes(Option<PeerEvent>),
    /// The peer is closed or has failed for good.
    Ended,
}

/// The echo peer's part in each event: new channels are echoed, and the end is noticed.
pub(super) fn handle(event: Option<PeerEvent>) -> Outcome {
    match event {
        Some(PeerEvent::DataChannel(channel)) => {
            tokio::spawn(echo(channel));
            Outcome::Goes(None)
        }
        None | Some(PeerEvent::ConnectionState(ConnectionState::Failed | ConnectionState::Closed)) => Outcome::Ended,
        Some(event) => Outcome::Goes(Some(event)),
    }
}

/// Serves a peer whose signalling has ended, until it closes, fails, or has not connected in time.
pub(super) async fn serve_alone(pc: &PeerConnection) {
    let deadline = tokio::time::sleep(PATIENCE);
    tokio::pin!(deadline);
    loop {
        tokio::select! {
            event = pc.next_event() => {
                if let Outcome::Ended = handle(event) {
                    return;
                }
            }
            () = &mut deadline, if pc.connection_state() != ConnectionState::Connected => {
                if matches!(pc.connection_state(), ConnectionState::New | ConnectionState::Connecting) {
                    return;
                }
                // Once connected, ICE's own consent decides when the peer is gone.
                deadline.as_mut().reset(tokio::time::Instant::now() + PATIENCE);
            }
        }
    }
}

/// Sends back what comes until the channel closes. Not reading while a send waits is the back-pressure.
async fn echo(channel: DataChannel) {
    while let Some(message) = channel.recv().await {
        if channel.send(message).await.is_err() {
            return;
        }
    }
}

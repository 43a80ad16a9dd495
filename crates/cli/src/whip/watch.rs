//! `peerline record DIR --from URL`: what a server plays by WHEP is recorded.

use std::sync::Arc;
use std::time::Duration;

use peerline::{
    Configuration, ConnectionState, MediaKind, PeerConnection, PeerEvent, TransceiverDirection, TransceiverInit,
};

use super::{Endpoint, Error, Session};
use crate::host::Interruption;
use crate::insight::Insight;
use crate::progress::say;
use crate::recording::{Archive, Recording};

/// The longest pause between two questions whether there is something to be played.
const MAX_PAUSE: u64 = 30;

/// Records until the server ends it, or until interrupted.
pub(crate) async fn run(
    archive: &Arc<Archive>,
    endpoint: &Endpoint,
    insight: &Insight,
) -> Result<(), Box<dyn std::error::Error>> {
    let interruption = Interruption::listen();
    let mut pause = 0;
    loop {
        let pc = PeerConnection::new(Configuration {
            loopback: endpoint.is_local(),
            ..insight.configuration()
        })
        .await?;
        for kind in [MediaKind::Audio, MediaKind::Video] {
            let init = TransceiverInit {
                direction: TransceiverDirection::RecvOnly,
                ..TransceiverInit::default()
            };
            pc.add_transceiver(kind, init)?;
        }
        match Session::begin(endpoint, &pc).await {
            Ok(session) => {
                let outcome = watch_over(&session, archive, &interruption).await;
                session.end().await;
                return outcome.map_err(Into::into);
            }
            // "WHEP players MAY periodically try to connect to the WHEP session with exponential backoff period with an initial
            // value of the Retry-After header value" (WHEP draft).
            Err(Error::Refused {
                by,
                complaint,
                retry_after: Some(seconds),
            }) => {
                pause = (pause * 2).max(seconds.max(1)).min(MAX_PAUSE);
                say(&format!("{by}: {complaint}; trying again in {pause} s"));
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_secs(pause)) => {}
                    () = interruption.happened() => return Ok(()),
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

async fn watch_over(session: &Session<'_>, archive: &Arc<Archive>, interruption: &Interruption) -> Result<(), Error> {
    let mut recording = Recording::new(archive);
    loop {
        tokio::select! {
            () = interruption.happened() => return Ok(()),
            event = session.next_event() => match event? {
                Some(PeerEvent::Track(track)) => recording.add(track),
                Some(PeerEvent::ConnectionState(ConnectionState::Connected)) => {
                    say(&format!("Recording {}. Ctrl-C ends it.", session.endpoint.url));
                }
                Some(_) => {}
                None => return Ok(()),
            },
        }
    }
}

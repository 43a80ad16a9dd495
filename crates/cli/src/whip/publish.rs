//! `peerline play FILE --to URL`: files are published by WHIP.

use peerline::{
    Configuration, ConnectionState, MediaClock, MediaKind, PeerConnection, PeerEvent, RtpCodec, TransceiverDirection,
    TransceiverInit,
};

use tokio::task::JoinSet;

use super::{Endpoint, Session};
use crate::film::{self, Film, Program};
use crate::host::Interruption;
use crate::insight::Insight;
use crate::progress::say;

/// Plays the program to the server until its end, or until interrupted.
pub(crate) async fn run(
    program: &Program,
    endpoint: &Endpoint,
    insight: &Insight,
) -> Result<(), Box<dyn std::error::Error>> {
    let pc = PeerConnection::new(Configuration {
        loopback: endpoint.is_local(),
        ..insight.configuration()
    })
    .await?;
    let films = program.open(MediaClock::start())?;
    for film in &films {
        add(&pc, film)?;
    }
    let interruption = Interruption::listen();
    // Who interrupts this waits for its end: a session that begins has to be ended.
    let session = Session::begin(endpoint, &pc).await?;
    let outcome = watch_over(&session, &pc, program, films, &interruption).await;
    session.end().await;
    outcome
}

/// A transceiver that sends the film, in its codec only.
fn add(pc: &PeerConnection, film: &Film) -> Result<(), peerline::Error> {
    let init = TransceiverInit {
        direction: TransceiverDirection::SendOnly,
        // "all m= sections MUST contain a msid attribute with the same value" (RFC 9725 §4.4.2).
        streams: vec![film::STREAM.into()],
        ..TransceiverInit::default()
    };
    let transceiver = pc.add_transceiver(film.source.track(), init)?;
    let mut codecs = pc.capabilities(transceiver.kind()).codecs;
    codecs.retain(|codec| is_named(codec, &film.mime_type) || is_named(codec, "video/rtx"));
    transceiver.set_codec_preferences(&codecs)
}

fn is_named(codec: &RtpCodec, mime_type: &str) -> bool {
    codec.mime_type.eq_ignore_ascii_case(mime_type)
}

async fn watch_over(
    session: &Session<'_>,
    pc: &PeerConnection,
    program: &Program,
    films: Vec<Film>,
    interruption: &Interruption,
) -> Result<(), Box<dyn std::error::Error>> {
    for transceiver in pc.transceivers() {
        if transceiver.current_direction() != Some(TransceiverDirection::SendOnly) {
            let what = match transceiver.kind() {
                MediaKind::Audio => "sound",
                MediaKind::Video => "pictures",
            };
            return Err(format!("the server does not take the {what}: it may not know their codec").into());
        }
    }
    let screening = program.screening();
    films.iter().for_each(|_| screening.announce());
    let mut played = JoinSet::new();
    for film in films {
        played.spawn(screening.clone().play(pc.clone(), film));
    }
    let progress = program.show_progress();
    tokio::pin!(progress);
    loop {
        tokio::select! {
            outcome = played.join_next() => match outcome {
                Some(outcome) => outcome??,
                None => return Ok(()),
            },
            () = interruption.happened() => return Ok(()),
            () = &mut progress => {}
            event = session.next_event() => match event? {
                Some(PeerEvent::ConnectionState(ConnectionState::Connected)) => {
                    say(&format!("Playing to {}. Ctrl-C ends it.", session.endpoint.url));
                }
                Some(_) => {}
                // So do we, after the last frame.
                None if screening.is_over() => {
                    while let Some(outcome) = played.join_next().await {
                        outcome??;
                    }
                    return Ok(());
                }
                None => return Err("the server ended the session".into()),
            },
        }
    }
}

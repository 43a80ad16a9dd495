//! [`Publisher`]: who publishes a stream.

use std::sync::Arc;

use axum::http::StatusCode;
use peerline::{Error, MediaKind, PeerConnection, PeerEvent};
use peerline_sdp::SessionDescription;
use peerline_sdp::attribute::Direction;

use super::{Stream, Streams, next_id};
use crate::serve::reply::Refused;
use crate::serve::visitors::Attendant;

/// The attendant of a publisher. Dropping it ends what it publishes.
pub(in crate::serve) struct Publisher(Claim);

/// A publisher's place in its stream.
#[derive(Clone)]
pub(in crate::serve) struct Claim {
    id: u64,
    stream: Arc<Stream>,
}

impl Publisher {
    /// A publisher for a name that is free.
    pub(in crate::serve) fn new(streams: &Streams, name: &str) -> Result<Self, Refused> {
        let stream = streams.open(name)?;
        stream.ensure_free()?;
        let id = next_id();
        Ok(Self(Claim { id, stream }))
    }

    pub(in crate::serve) fn claim(&self) -> Claim {
        self.0.clone()
    }
}

impl Claim {
    /// The offer was fine: the stream is this publisher's.
    pub(in crate::serve) fn take(&self, pc: &PeerConnection) -> Result<(), Refused> {
        self.stream.take_over(self.id, pc.clone())
    }
}

impl Attendant for Publisher {
    /// Sound comes without redundancy (RFC 2198): its packets name formats by numbers, which are others for each viewer.
    fn prepare(&mut self, pc: &PeerConnection) -> Result<(), Error> {
        for transceiver in pc.transceivers() {
            if transceiver.kind() == MediaKind::Audio {
                let mut codecs = pc.capabilities(MediaKind::Audio).codecs;
                codecs.retain(|codec| !codec.mime_type.eq_ignore_ascii_case("audio/red"));
                transceiver.set_codec_preferences(&codecs)?;
            }
        }
        Ok(())
    }

    fn attend(&mut self, _pc: &PeerConnection, event: PeerEvent) {
        if let PeerEvent::Track(track) = event {
            self.0.stream.begin(self.0.id, track.receiver);
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.0.stream.leave(self.0.id);
    }
}

/// "reject the HTTP POST request with a '422 Unprocessable Content' or '400 Bad Request' error response to prevent having partially
/// successful ingest sessions" (RFC 9725 §4.4.3).
pub(in crate::serve) fn check_offer(offer: &str) -> Result<(), Refused> {
    check(offer, "publish", |direction| match direction {
        Direction::SendOnly | Direction::SendRecv => true,
        Direction::RecvOnly | Direction::Inactive => false,
    })
}

/// One audio and one video at most, of which one at least, each in a direction that `is_fit`.
pub(super) fn check(offer: &str, verb: &str, is_fit: fn(Direction) -> bool) -> Result<(), Refused> {
    let offer = SessionDescription::parse(offer).map_err(|error| {
        let text = format!("the session description cannot be parsed: {error}");
        Refused::new(StatusCode::BAD_REQUEST, text)
    })?;
    let unfit = |text: String| Err(Refused::new(StatusCode::UNPROCESSABLE_ENTITY, text));
    let of_kind = |kind| {
        let media = offer.media.iter();
        media.filter(move |media| media.kind() == kind && !media.is_rejected())
    };
    for kind in ["audio", "video"] {
        if of_kind(kind).count() > 1 {
            return unfit(format!("a stream has one {kind} track: offer one m={kind}"));
        }
    }
    let mut offered = of_kind("audio").chain(of_kind("video")).peekable();
    if offered.peek().is_none() {
        return unfit(format!(
            "there is nothing to {verb} in the offer: it needs m=audio or m=video"
        ));
    }
    if let Some(media) = offered.find(|media| !is_fit(offer.direction(media))) {
        let direction = offer.direction(media);
        return unfit(format!("m={} is {direction:?}, which does not {verb}", media.kind()));
    }
    Ok(())
}

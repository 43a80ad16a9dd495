//! [`Viewer`]: who plays a stream.

use std::sync::Arc;

use axum::http::StatusCode;
use peerline::{Error, MediaKind, PeerConnection, PeerEvent, RtpSender, SenderEvent, TransceiverDirection};
use peerline_sdp::attribute::Direction;

use super::publisher::check;
use super::{Stream, Streams, next_id};
use crate::serve::reply::Refused;
use crate::serve::visitors::Attendant;

/// The attendant of a viewer. Dropping it ends what it is sent.
pub(in crate::serve) struct Viewer {
    seat: Seat,
    layer: Option<Arc<str>>,
    /// The kinds of media that it is sent.
    kinds: Vec<MediaKind>,
}

/// A viewer's place in its stream.
#[derive(Clone)]
pub(in crate::serve) struct Seat {
    id: u64,
    stream: Arc<Stream>,
}

impl Viewer {
    /// A viewer of a stream that is being published, of this layer of simulcast or of the best that its path takes.
    pub(in crate::serve) fn new(streams: &Streams, name: &str, layer: Option<&str>) -> Result<Self, Refused> {
        let stream = streams.live(name)?;
        let id = next_id();
        Ok(Self {
            seat: Seat { id, stream },
            layer: layer.map(Arc::from),
            kinds: Vec::new(),
        })
    }

    pub(in crate::serve) fn seat(&self) -> Seat {
        self.seat.clone()
    }
}

impl Seat {
    /// The offer was answered: something of the stream has to be in it that can be played.
    pub(in crate::serve) fn check(&self) -> Result<(), Refused> {
        if self.stream.is_taken_by(self.id) {
            return Ok(());
        }
        let codecs = [MediaKind::Audio, MediaKind::Video].map(|kind| self.stream.codec(kind));
        let names: Vec<_> = codecs.into_iter().flatten().map(|codec| codec.mime_type).collect();
        let text = format!("the offer has no codec of the stream, which is {}", names.join(" and "));
        Err(Refused::new(StatusCode::UNPROCESSABLE_ENTITY, text))
    }

    /// Chooses the layer of simulcast; `None` for the best that its path takes.
    pub(in crate::serve) fn choose_layer(&self, layer: Option<&str>) -> Result<(), Refused> {
        self.stream.choose_layer(self.id, layer)
    }

    /// The layers that come, the best first, and the one that is sent.
    pub(in crate::serve) fn layers(&self) -> (Vec<Arc<str>>, Option<String>) {
        self.stream.layers(self.id)
    }
}

impl Attendant for Viewer {
    /// "it MUST use 'sendonly' attribute in the SDP answer" (WHEP draft). What the publisher sends now comes first, and what
    /// another may send later can follow.
    fn prepare(&mut self, pc: &PeerConnection) -> Result<(), Error> {
        let Seat { id, stream } = &self.seat;
        for transceiver in pc.transceivers() {
            let kind = transceiver.kind();
            if self.kinds.contains(&kind) {
                continue;
            }
            self.kinds.push(kind);
            transceiver.set_direction(TransceiverDirection::SendOnly)?;
            let sender = transceiver.sender();
            sender.set_streams(&[&stream.name])?;
            let present = stream.codec(kind);
            let mut codecs = pc.capabilities(kind).codecs;
            codecs.retain(|codec| !codec.mime_type.eq_ignore_ascii_case("audio/red"));
            // The sort is stable: the others stay in their order.
            codecs.sort_by_key(|codec| !present.as_ref().is_some_and(|present| codec.is_compatible(present)));
            transceiver.set_codec_preferences(&codecs)?;
            stream.add_outlet(*id, pc, sender.clone(), self.layer.clone());
            tokio::spawn(pass_requests(self.seat(), sender));
        }
        Ok(())
    }

    fn attend(&mut self, _pc: &PeerConnection, _event: PeerEvent) {}
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.seat.stream.remove_viewer(self.seat.id);
    }
}

/// Passes the viewer's requests for keyframes to the publisher.
async fn pass_requests(seat: Seat, sender: RtpSender) {
    while let Some(SenderEvent::KeyframeRequest { .. }) = sender.next_event().await {
        seat.stream.request_keyframe(seat.id, sender.kind());
    }
}

/// "it SHOULD use 'recvonly' attribute but MAY use the 'sendrecv' attribute instead" (WHEP draft).
pub(in crate::serve) fn check_offer(offer: &str) -> Result<(), Refused> {
    check(offer, "play", |direction| match direction {
        Direction::RecvOnly | Direction::SendRecv => true,
        Direction::SendOnly | Direction::Inactive => false,
    })
}

//! Transceivers and the sections they are bound to: what applying a description does to them (RFC 8829 §5.9 to §5.11,
//! webrtc-pc §4.4.1.5).

use peerline_sdp as sdp;
use peerline_sdp::MediaDescription;
use peerline_sdp::attribute::Direction;

use super::applied::Created;
use super::codecs;
use super::extmap;
use super::media_section::{media_kind, sources, streams, track_id};
use super::signaling_state::Side;
use super::simulcast::{self, Whose};
use crate::Connection;
use crate::description::SdpType;
use crate::event::Event;
use crate::media::capabilities;
use crate::media::parameters::RtpEncodingParameters;
use crate::transceiver::{Origin, TransceiverId, TransceiverSlots, is_msid};

impl Connection {
    /// Binds the transceivers that an offer of ours was written for to its sections.
    pub(super) fn associate_local(&mut self, offer: &Created) {
        let parsed = offer.applied.parsed();
        for (index, (media, owner)) in parsed.media.iter().zip(&offer.owners).enumerate() {
            // Its section may be another's in this offer: the offer under way before bound it.
            if let Some(bound) = self.transceivers.at_mut(index).filter(|bound| Some(bound.id) != *owner)
                && media.mid() != bound.mid.as_deref()
            {
                bound.unbind();
            }
            let Some(transceiver) = owner.and_then(|id| self.transceivers.get_mut(id)) else {
                continue;
            };
            transceiver.mid = media.mid().map(str::to_owned);
            transceiver.index = Some(index);
        }
    }

    /// What our description makes of the transceivers.
    pub(super) fn apply_local_media(&mut self, kind: SdpType, parsed: &sdp::SessionDescription) {
        for (index, media) in parsed.media.iter().enumerate() {
            let Some(transceiver) = self.transceivers.at_mut(index).filter(|owner| !owner.stopped) else {
                continue;
            };
            let id = transceiver.id;
            let is_rejected = media.is_rejected();
            let direction = if is_rejected {
                Direction::Inactive
            } else {
                parsed.direction(media)
            };
            transceiver.receptive = direction.receives() && !transceiver.stopping;
            if kind == SdpType::Offer {
                continue;
            }
            transceiver.agree_on(direction);
            if !direction.receives() {
                self.process_remote_track(id, direction, Vec::new());
            } else if let Some(transceiver) = self.transceivers.get_mut(id) {
                transceiver.fired_direction = Some(direction);
            }
            if is_rejected && kind == SdpType::Answer {
                self.stop_for_both(id);
            }
        }
    }

    /// What the peer's description makes of the transceivers.
    pub(super) fn apply_remote_media(&mut self, kind: SdpType, parsed: &sdp::SessionDescription) {
        self.avoid_collisions(parsed);
        for (index, media) in parsed.media.iter().enumerate() {
            if kind == SdpType::Offer {
                self.associate_remote(parsed, index, media);
            }
            let Some(transceiver) = self.transceivers.at_mut(index).filter(|owner| !owner.stopped) else {
                continue;
            };
            let id = transceiver.id;
            let is_rejected = media.is_rejected() || (kind != SdpType::Offer && self.negotiation.has_rejected(index));
            // "with the send and receive directions reversed to represent this peer's point of view. If the media description
            // is rejected, set direction to "inactive"" (webrtc-pc §4.4.1.5).
            let mut direction = if is_rejected {
                Direction::Inactive
            } else {
                parsed.direction(media).reversed()
            };
            if kind != SdpType::Offer {
                // An answer cannot widen what was offered (RFC 3264 §6.1).
                direction = direction.intersection(self.negotiation.offered_direction(index));
                if let Some(transceiver) = self.transceivers.get_mut(id) {
                    transceiver.agree_on(direction);
                    // A provisional answer may have said otherwise.
                    transceiver.receptive = direction.receives() && !transceiver.stopping;
                    let has_rid = extmap::read(parsed, media)
                        .iter()
                        .any(|extension| extension.uri == capabilities::RID);
                    restrict_layers(transceiver, media, has_rid);
                }
            }
            let streams = if direction.receives() {
                streams(media)
            } else {
                Vec::new()
            };
            self.process_remote_track(id, direction, streams);
            if is_rejected && kind != SdpType::Pranswer {
                self.stop_for_both(id);
            }
        }
    }

    /// Streams of ours get other SSRCs if the peer has theirs.
    fn avoid_collisions(&mut self, parsed: &sdp::SessionDescription) {
        if self.transceivers.all.is_empty() {
            return;
        }
        let sections = parsed.media.iter().filter(|media| media_kind(media).is_some());
        let theirs = sections.flat_map(sources);
        let theirs = theirs
            .flat_map(|(ssrc, repeat)| std::iter::once(ssrc).chain(repeat))
            .collect();
        self.transceivers.avoid_ssrcs(&theirs);
    }

    /// Finds or makes the transceiver of an offered section (RFC 8829 §5.10).
    fn associate_remote(&mut self, parsed: &sdp::SessionDescription, index: usize, media: &MediaDescription) {
        let kind = media_kind(media);
        if let Some(bound) = self.transceivers.at_mut(index) {
            let is_its = Some(bound.kind) == kind && (media.mid().is_none() || media.mid() == bound.mid.as_deref());
            if is_its {
                return;
            }
            // "If the "m=" section is being recycled …, disassociate the currently associated RtpTransceiver."
            bound.unbind();
        }
        // For what will be rejected no transceiver is made.
        let shares = self.negotiation.offered.as_ref().is_some_and(|parameters| {
            let transport = &parsed.media[parameters.index];
            super::remote::share_transport(parsed, transport, media)
        });
        let Some(kind) = kind.filter(|_| !media.is_rejected() && shares && self.accepts_offered(parsed, index, media))
        else {
            return;
        };
        let mid = media.mid().map_or_else(|| self.generated_mid(parsed), str::to_owned);
        // "If the "m=" section is sendrecv or recvonly, and there are RtpTransceivers of the same type that were added to the
        // PeerConnection by addTrack and are not associated with any "m=" section and are not stopped, find the first."
        let may_bind = parsed.direction(media).receives();
        let found = self.transceivers.all.iter().find(|transceiver| {
            may_bind
                && transceiver.kind == kind
                && transceiver.origin == Origin::AddTrack
                && transceiver.index.is_none()
                && !transceiver.stopping
        });
        let id = match found.map(|found| found.id) {
            Some(id) => id,
            // "If no RtpTransceiver was found in the previous step, create one with a recvonly direction."
            None => {
                let made = self.transceivers.add(kind, Direction::RecvOnly, Origin::Offered);
                if let Some(track_id) = track_id(media).filter(|id| is_msid(id)) {
                    made.receiver.track_id = track_id;
                }
                made.id
            }
        };
        let transceiver = self.transceivers.get_mut(id).expect("it was found or made");
        transceiver.mid = Some(mid);
        transceiver.index = Some(index);
        self.propose_layers(id, media);
    }

    /// "If the description is of type "offer" and contains a request to receive simulcast", its layers become the encodings of
    /// a sender that has none of its own (webrtc-pc §4.4.1.5).
    fn propose_layers(&mut self, id: TransceiverId, media: &MediaDescription) {
        let most = self.config.max_simulcast_layers;
        let asked = simulcast::read(Whose::Theirs, media, most).receive;
        let Some(transceiver) = self.transceivers.get(id) else {
            return;
        };
        let is_plain = matches!(&transceiver.sender.encodings[..], [only] if only.parameters.rid.is_empty());
        if asked.len() < 2 || most < 2 || !is_plain {
            return;
        }
        let mut encodings = Vec::new();
        for (index, layer) in asked.iter().enumerate() {
            let smaller = i32::try_from(asked.len() - index - 1).unwrap_or(0);
            encodings.push(self.transceivers.encoding(RtpEncodingParameters {
                rid: layer.rid.clone(),
                scale_resolution_down_by: Some(2f64.powi(smaller)),
                ..RtpEncodingParameters::default()
            }));
        }
        let sender = &mut self.transceivers.get_mut(id).expect("it was there").sender;
        // The first goes on under the SSRC that it had.
        (encodings[0].ssrc, encodings[0].rtx_ssrc) = (sender.encodings[0].ssrc, sender.encodings[0].rtx_ssrc);
        sender.encodings = encodings;
        sender.read = None;
    }

    /// A mid for a section that has none: "generate a value for the RtpTransceiver mid property" (RFC 8829 §5.10).
    fn generated_mid(&self, parsed: &sdp::SessionDescription) -> String {
        let is_free = |mid: &String| {
            parsed.media_by_mid(mid).is_none()
                && !self
                    .transceivers
                    .all
                    .iter()
                    .any(|other| other.mid.as_ref() == Some(mid))
        };
        (0u32..)
            .map(|number| format!("g{number}"))
            .find(is_free)
            .expect("there are more numbers than sections")
    }

    /// "Process remote tracks" (webrtc-pc §5.1.1).
    pub(super) fn process_remote_track(&mut self, id: TransceiverId, direction: Direction, streams: Vec<String>) {
        let Some(transceiver) = self.transceivers.get_mut(id) else {
            return;
        };
        let before = std::mem::replace(&mut transceiver.receiver.streams, streams.clone());
        let removed: Vec<_> = before.iter().filter(|own| !streams.contains(own)).cloned().collect();
        let has_more = streams.iter().any(|own| !before.contains(own));
        let received = transceiver.fired_direction.is_some_and(Direction::receives);
        transceiver.fired_direction = Some(direction);
        if !direction.receives() {
            transceiver.receptive = false;
        }
        if !removed.is_empty() {
            self.events.push_back(Event::TrackRemoved {
                transceiver: id,
                streams: removed,
            });
        }
        if direction.receives() && (!received || has_more) {
            self.events.push_back(Event::Track {
                transceiver: id,
                streams,
            });
        } else if !direction.receives() && received {
            self.events.push_back(Event::TrackMuted(id));
        }
    }

    /// "Stop the RTCRtpTransceiver": both sides know that it is stopped.
    pub(super) fn stop_for_both(&mut self, id: TransceiverId) {
        let Some(transceiver) = self.transceivers.get_mut(id) else {
            return;
        };
        if !transceiver.stopping {
            self.events.push_back(Event::TrackEnded(id));
        }
        transceiver.stop();
    }

    /// After an exchange: what was stopped before any description named it is stopped for both, for nobody has to be told.
    pub(super) fn stop_unbound(&mut self) {
        let all = self.transceivers.all.iter_mut();
        all.filter(|transceiver| transceiver.stopping && transceiver.index.is_none())
            .for_each(TransceiverSlots::stop);
    }

    /// Once stable: those that are stopped for both sides are gone.
    pub(super) fn remove_stopped(&mut self) {
        let negotiation = &self.negotiation;
        // "If transceiver is stopped, associated with an m= section and the associated m= section is rejected in
        // [[CurrentLocalDescription]] or [[CurrentRemoteDescription]], remove the transceiver" (webrtc-pc §4.4.1.5).
        let is_over = |transceiver: &TransceiverSlots| {
            transceiver.stopped && transceiver.index.is_none_or(|index| negotiation.is_recyclable(index))
        };
        self.transceivers.all.retain(|transceiver| !is_over(transceiver));
    }

    /// The numbers of a description, ours or the peer's, stand from now on.
    pub(super) fn learn_numbers(&mut self, parsed: &sdp::SessionDescription, side: Side) {
        let numbers = &mut self.negotiation.numbers;
        for media in parsed.media.iter().filter(|media| !media.is_rejected()) {
            let Some(kind) = media_kind(media) else { continue };
            let codecs = codecs::read(media, kind);
            match side {
                Side::Local => numbers.learn_local(&codecs),
                Side::Remote => numbers.learn_remote(&codecs),
            }
            let extensions = extmap::read(parsed, media);
            numbers.learn_extensions(extensions.iter().map(|own| (u16::from(own.id), &*own.uri)));
        }
    }
}

impl TransceiverSlots {
    pub(super) fn unbind(&mut self) {
        self.mid = None;
        self.index = None;
    }

    /// An answer, provisional or not, has set the direction.
    fn agree_on(&mut self, direction: Direction) {
        self.current_direction = Some(direction);
        self.has_sent |= direction.sends();
        // "Set transceiver.[[Sender]].[[LastReturnedParameters]] to null" (webrtc-pc §4.4.1.5).
        self.sender.read = None;
    }
}

/// What an answer leaves of our simulcast (webrtc-pc §4.4.1.5): the layers that it takes, or the first encoding alone.
fn restrict_layers(transceiver: &mut TransceiverSlots, media: &MediaDescription, has_rid: bool) {
    let encodings = &mut transceiver.sender.encodings;
    if encodings.len() < 2 || media.is_rejected() {
        return;
    }
    let mut taken = simulcast::read(Whose::Theirs, media, usize::MAX).receive;
    // "If the answer contains any restrictions that were not present in the offer, then the offerer SHALL discard the "a=rid" line",
    // so too a "pt=" (RFC 8851 §6.4): ours have neither.
    taken.retain(simulcast::Layer::is_plain);
    let is_taken = |rid: &str| taken.iter().find(|layer| layer.rid == rid);
    if !has_rid || !encodings.iter().any(|own| is_taken(&own.parameters.rid).is_some()) {
        encodings.truncate(1);
        encodings[0].paused = false;
        return;
    }
    encodings.retain_mut(|own| match is_taken(&own.parameters.rid) {
        Some(layer) => {
            own.paused = layer.paused;
            true
        }
        None => false,
    });
}

//! The methods about tracks and transceivers (webrtc-pc §5.1, §5.2 and §5.4).

use std::time::Instant;

use peerline_sdp::attribute::Direction;

use super::{Origin, Track, TrackOrKind, Transceiver, TransceiverId, TransceiverInit, TransceiverSlots, is_msid};
use crate::Connection;
use crate::error::{Error, MediaFault};
use crate::event::Event;
use crate::jsep::is_same_codec;
use crate::media::capabilities;
use crate::media::parameters::{MediaKind, RtpCapabilities, RtpCodec};
use crate::state::TransceiverDirection;

impl Connection {
    /// `addTransceiver()`: a media section to be in the next offer.
    ///
    /// # Errors
    /// [`Error::Media`] with what is wrong with the encodings or the streams' ids; [`Error::Closed`].
    pub fn add_transceiver(
        &mut self,
        now: Instant,
        what: impl Into<TrackOrKind>,
        init: TransceiverInit,
    ) -> Result<TransceiverId, Error> {
        self.ensure_open()?;
        let (kind, track) = match what.into() {
            TrackOrKind::Track(track) => (track.kind, Some(track)),
            TrackOrKind::Kind(kind) => (kind, None),
        };
        let direction = to_sdp(init.direction)?;
        let streams = checked_streams(&init.streams)?;
        let encodings = self.checked_encodings(kind, init.send_encodings)?;
        self.ensure_room()?;
        let encodings: Vec<_> = encodings
            .into_iter()
            .map(|parameters| self.transceivers.encoding(parameters))
            .collect();
        let track_id = track.as_ref().and_then(|track| self.free_track_id(track));
        let added = self.transceivers.add(kind, direction, Origin::AddTransceiver);
        let id = added.id;
        added.sender.track_id = track_id.unwrap_or_else(|| std::mem::take(&mut added.sender.track_id));
        added.sender.track = track;
        added.sender.streams = streams;
        added.sender.encodings = encodings;
        self.after_media_change(now);
        Ok(id)
    }

    /// `addTrack()`: sends a track through a transceiver that has not sent yet, or else through a new one.
    ///
    /// # Errors
    /// [`Error::Media`]: the track is being sent already, or a stream's id cannot be; [`Error::Closed`].
    pub fn add_track(&mut self, now: Instant, track: Track, streams: &[String]) -> Result<TransceiverId, Error> {
        self.ensure_open()?;
        let streams = checked_streams(streams)?;
        let is_sent =
            |transceiver: &TransceiverSlots| transceiver.sender.track.as_ref().is_some_and(|own| own.id == track.id);
        if self.transceivers.all.iter().any(is_sent) {
            return Err(Error::Media(MediaFault::TrackInUse));
        }
        let track_id = self.free_track_id(&track);
        // "If … the sender's track is null, the transceiver kind … matches kind, … [[Stopping]] is false, the sender has never
        // been used to send" (webrtc-pc §5.1).
        let unused = |transceiver: &&mut TransceiverSlots| {
            transceiver.sender.track.is_none()
                && transceiver.kind == track.kind
                && !transceiver.stopping
                && !transceiver.has_sent
        };
        let reused = self.transceivers.all.iter_mut().find(unused).map(|transceiver| {
            let receives = transceiver.direction.receives();
            transceiver.direction = Direction::new(true, receives);
            transceiver.id
        });
        let id = match reused {
            Some(id) => id,
            None => {
                self.ensure_room()?;
                self.transceivers
                    .add(track.kind, Direction::SendRecv, Origin::AddTrack)
                    .id
            }
        };
        let transceiver = self.transceivers.get_mut(id).expect("it was found or added");
        transceiver.track_added = true;
        if let Some(track_id) = track_id {
            transceiver.sender.track_id = track_id;
        }
        transceiver.sender.track = Some(track);
        transceiver.sender.streams = streams;
        self.after_media_change(now);
        Ok(id)
    }

    /// `removeTrack()`: stops sending the transceiver's track; its media section goes on to receive.
    ///
    /// # Errors
    /// [`Error::Media`] if there is no such transceiver; [`Error::Closed`].
    pub fn remove_track(&mut self, now: Instant, id: TransceiverId) -> Result<(), Error> {
        self.ensure_open()?;
        let transceiver = self.known_transceiver(id)?;
        if transceiver.stopped || transceiver.sender.track.take().is_none() {
            return Ok(());
        }
        transceiver.direction = Direction::new(false, transceiver.direction.receives());
        self.after_media_change(now);
        Ok(())
    }

    /// Sets `direction`: which way media is wanted to flow, from the next exchange on.
    ///
    /// # Errors
    /// [`Error::Media`]: there is no such transceiver, it is stopping, or the direction is
    /// [`Stopped`](TransceiverDirection::Stopped), which is [`stop_transceiver`](Self::stop_transceiver)'s to set;
    /// [`Error::Closed`].
    pub fn set_direction(
        &mut self,
        now: Instant,
        id: TransceiverId,
        direction: TransceiverDirection,
    ) -> Result<(), Error> {
        self.ensure_open()?;
        let direction = to_sdp(direction)?;
        let transceiver = self.running_transceiver(id)?;
        if transceiver.direction != direction {
            transceiver.direction = direction;
            self.after_media_change(now);
        }
        Ok(())
    }

    /// `transceiver.stop()`: nothing flows any more, and the next exchange gives the section up.
    ///
    /// # Errors
    /// [`Error::Media`] if there is no such transceiver; [`Error::Closed`].
    pub fn stop_transceiver(&mut self, now: Instant, id: TransceiverId) -> Result<(), Error> {
        self.ensure_open()?;
        let transceiver = self.known_transceiver(id)?;
        if transceiver.stopping {
            return Ok(());
        }
        transceiver.begin_stop();
        self.events.push_back(Event::TrackEnded(id));
        self.after_media_change(now);
        Ok(())
    }

    /// `sender.replaceTrack()`: sends another track, or none, without a new exchange.
    ///
    /// # Errors
    /// [`Error::Media`]: there is no such transceiver, it is stopping, or the track is of the other kind; [`Error::Closed`].
    pub fn replace_track(&mut self, now: Instant, id: TransceiverId, track: Option<Track>) -> Result<(), Error> {
        self.ensure_open()?;
        let transceiver = self.running_transceiver(id)?;
        if track.as_ref().is_some_and(|track| track.kind != transceiver.kind) {
            return Err(Error::Media(MediaFault::KindMismatch));
        }
        transceiver.sender.track = track;
        self.settle(now);
        Ok(())
    }

    /// `sender.setStreams()`: the streams that the sender's track belongs to, by their ids.
    ///
    /// # Errors
    /// [`Error::Media`]: there is no such transceiver, or an id cannot be sent; [`Error::Closed`].
    pub fn set_streams(&mut self, now: Instant, id: TransceiverId, streams: &[String]) -> Result<(), Error> {
        self.ensure_open()?;
        let streams = checked_streams(streams)?;
        self.known_transceiver(id)?.sender.streams = streams;
        self.after_media_change(now);
        Ok(())
    }

    /// `transceiver.setCodecPreferences()`: which codecs later offers and answers may name, and in which order. Empty for the
    /// connection's own. Without `rtx` among them nothing is retransmitted by it.
    ///
    /// # Errors
    /// [`Error::Media`]: there is no such transceiver, or a codec is not among the [`capabilities`](Self::capabilities), or
    /// they are all such as only accompany others; [`Error::Closed`].
    pub fn set_codec_preferences(&mut self, id: TransceiverId, codecs: &[RtpCodec]) -> Result<(), Error> {
        self.ensure_open()?;
        let kind = self.known_transceiver(id)?.kind;
        let capable = self.capabilities(kind).codecs;
        let mut preferences: Vec<RtpCodec> = Vec::new();
        for codec in codecs {
            // "throw InvalidModificationError if codecs contains codecs … not in codecCapabilities" (webrtc-pc §5.4.2).
            let Some(own) = capable.iter().find(|own| is_same_codec(own, codec)) else {
                return Err(Error::Media(MediaFault::UnknownCodec));
            };
            if !preferences.contains(own) {
                preferences.push(own.clone());
            }
        }
        if !preferences.is_empty() && preferences.iter().all(RtpCodec::is_auxiliary) {
            return Err(Error::Media(MediaFault::NoPrimaryCodec));
        }
        self.known_transceiver(id)?.preferences = preferences;
        Ok(())
    }

    /// `RTCRtpSender.getCapabilities(kind)`, which `RTCRtpReceiver.getCapabilities(kind)` is as well: what
    /// [`Config`](crate::Config) allows.
    #[must_use]
    pub fn capabilities(&self, kind: MediaKind) -> RtpCapabilities {
        capabilities::capabilities(&self.config.codecs, &self.config.header_extensions, kind)
    }

    /// `getTransceivers()`, in the order in which they were added. Those that are stopped for both sides are gone.
    pub fn transceivers(&self) -> impl Iterator<Item = Transceiver<'_>> {
        self.transceivers.all.iter().map(TransceiverSlots::view)
    }

    /// One transceiver, until it is stopped for both sides.
    #[must_use]
    pub fn transceiver(&self, id: TransceiverId) -> Option<Transceiver<'_>> {
        self.transceivers.get(id).map(TransceiverSlots::view)
    }

    // --- what the commands share

    pub(super) fn known_transceiver(&mut self, id: TransceiverId) -> Result<&mut TransceiverSlots, Error> {
        self.transceivers
            .get_mut(id)
            .ok_or(Error::Media(MediaFault::UnknownTransceiver))
    }

    pub(super) fn running_transceiver(&mut self, id: TransceiverId) -> Result<&mut TransceiverSlots, Error> {
        let transceiver = self.known_transceiver(id)?;
        if transceiver.stopping {
            return Err(Error::Media(MediaFault::Stopped));
        }
        Ok(transceiver)
    }

    /// More transceivers than media sections could never be offered.
    fn ensure_room(&self) -> Result<(), Error> {
        if self.transceivers.all.len() < self.config.max_media_sections {
            Ok(())
        } else {
            Err(Error::Media(MediaFault::TooManyTransceivers))
        }
    }

    /// The track's id, if `a=msid` can carry it and no other sender's has it.
    fn free_track_id(&self, track: &Track) -> Option<String> {
        let is_used = self
            .transceivers
            .all
            .iter()
            .any(|other| other.sender.track_id == track.id);
        (is_msid(&track.id) && !is_used).then(|| track.id.clone())
    }

    fn after_media_change(&mut self, now: Instant) {
        self.agree_on_media(now);
        self.update_negotiation_needed();
        self.settle(now);
    }
}

fn to_sdp(direction: TransceiverDirection) -> Result<Direction, Error> {
    Ok(match direction {
        TransceiverDirection::SendRecv => Direction::SendRecv,
        TransceiverDirection::SendOnly => Direction::SendOnly,
        TransceiverDirection::RecvOnly => Direction::RecvOnly,
        TransceiverDirection::Inactive => Direction::Inactive,
        TransceiverDirection::Stopped => return Err(Error::Media(MediaFault::DirectionStopped)),
    })
}

/// The streams' ids, each once: "if stream.id is not already in" (webrtc-pc §5.2, `setStreams`).
fn checked_streams(streams: &[String]) -> Result<Vec<String>, Error> {
    let mut checked: Vec<String> = Vec::new();
    for stream in streams {
        // `-` stands for no stream (RFC 8830 §2).
        if !is_msid(stream) || stream == "-" {
            return Err(Error::Media(MediaFault::BadStreamId));
        }
        if !checked.contains(stream) {
            checked.push(stream.clone());
        }
    }
    Ok(checked)
}

//! [`Connection`]'s methods for media itself: frames and packets, out and in.

use std::time::{Duration, Instant};

use peerline_srtp as srtp;

use super::dtmf::{Dtmf, DtmfError};
use super::packet::{IncomingFrame, IncomingPacket, OutgoingFrame, OutgoingPacket, ReceiveMode, SendMediaError};
use super::parameters::MediaKind;
use super::sender::Room;
use super::statistics::TrackIds;
use super::{MAX_QUEUED, Media, Queued, What};
use crate::Connection;
use crate::transceiver::TransceiverId;
use crate::upper::Layers;

impl Connection {
    /// Sends an encoded frame. It is cut into packets, which leave by [`poll_transmit`](Self::poll_transmit).
    ///
    /// # Errors
    /// [`SendMediaError`]; then nothing is sent of it.
    pub fn send_frame(
        &mut self,
        now: Instant,
        transceiver: TransceiverId,
        frame: OutgoingFrame,
    ) -> Result<(), SendMediaError> {
        let media = self.upper.media_mut().ok_or(SendMediaError::NotSending)?;
        media.send_frame(now, transceiver, frame)
    }

    /// Sends an RTP packet as it is, such as one that is forwarded. Its SSRC is that of the encoding.
    ///
    /// # Errors
    /// [`SendMediaError`]; then it is not sent.
    pub fn send_packet(
        &mut self,
        now: Instant,
        transceiver: TransceiverId,
        packet: OutgoingPacket,
    ) -> Result<(), SendMediaError> {
        let media = self.upper.media_mut().ok_or(SendMediaError::NotSending)?;
        media.send_packet(now, transceiver, packet)
    }

    /// The next frame that has been received, if the receiver gives [`ReceiveMode::Frames`].
    pub fn recv_frame(&mut self, transceiver: TransceiverId) -> Option<IncomingFrame> {
        let (_, section) = self.upper.media_mut()?.section_of(transceiver)?;
        section.receiver.recv_frame()
    }

    /// The next packet that has been received, if the receiver gives [`ReceiveMode::Packets`].
    pub fn recv_packet(&mut self, transceiver: TransceiverId) -> Option<IncomingPacket> {
        let (_, section) = self.upper.media_mut()?.section_of(transceiver)?;
        section.receiver.recv_packet()
    }

    /// Sets how the receiver gives what it receives, from now on or from when it begins. What waits in another form is
    /// dropped.
    pub fn set_receive_mode(&mut self, transceiver: TransceiverId, mode: ReceiveMode) {
        let mut all = self.transceivers.all.iter_mut();
        if let Some(found) = all.find(|found| found.id == transceiver) {
            found.receiver.mode = mode;
        }
        let media = self.upper.media_mut();
        if let Some((_, section)) = media.and_then(|media| media.section_of(transceiver)) {
            section.receiver.set_mode(mode);
        }
    }

    /// Asks the peer for a keyframe of what this transceiver receives; of the layer `rid`, or of all.
    pub fn request_keyframe(&mut self, now: Instant, transceiver: TransceiverId, rid: Option<&str>) {
        if let Some(media) = self.upper.media_mut() {
            media.request_keyframe(transceiver, rid);
            media.handle_timeout(now);
        }
    }

    /// Tells the peer how much all that it sends together may take, in bits a second (REMB); `None` to say nothing any more.
    /// It is told of streams whose codec has `goog-remb` agreed on; of others nothing is said.
    pub fn set_max_receive_bitrate(&mut self, now: Instant, bitrate: Option<u64>) {
        if let Some(media) = self.upper.media_mut() {
            media.set_max_receive_bitrate(now, bitrate);
        }
    }

    /// What this transceiver may send at present, in bits a second, all its encodings together: its part of what the path takes (see
    /// [`Event::BandwidthEstimate`](crate::Event::BandwidthEstimate)), and no more than the peer allows (`b=`, `a=rid`) or `max_bitrate`
    /// of its [parameters](Self::set_send_parameters). None while nothing is known, or it does not send.
    #[must_use]
    pub fn target_bitrate(&self, transceiver: TransceiverId) -> Option<u64> {
        self.upper.media.as_ref()?.target_bitrate(transceiver)
    }

    /// Sets what this transceiver would send if the path took it, in bits a second, such as the rate of a better layer that waits; `None`
    /// if it is content. While it sends clearly less than [`target_bitrate`](Self::target_bitrate), which is lower than this, the path is
    /// probed by short trains of padding, in a stream of retransmissions (RFC 4588); without one there are no probes. What is spent on
    /// those that do not pass is less than a hundredth of what the path takes.
    pub fn set_desired_bitrate(&mut self, transceiver: TransceiverId, bitrate: Option<u64>) {
        let mut all = self.transceivers.all.iter_mut();
        if let Some(found) = all.find(|found| found.id == transceiver) {
            found.sender.desired_bitrate = bitrate;
        }
        if let Some(media) = self.upper.media_mut() {
            media.set_desired_bitrate(transceiver, bitrate);
        }
    }

    /// `insertDTMF()`: plays `tones` to the peer in the place of sound, each for `duration` (40 ms to 6 s, commonly 100 ms) and
    /// with `gap` between them (30 ms to 6 s, commonly 70 ms). It replaces what is still to be played; an empty string ends it.
    ///
    /// # Errors
    /// [`DtmfError`].
    pub fn insert_dtmf(
        &mut self,
        now: Instant,
        transceiver: TransceiverId,
        tones: &str,
        duration: Duration,
        gap: Duration,
    ) -> Result<(), DtmfError> {
        let media = self.upper.media_mut().filter(|media| !media.closed);
        let media = media.ok_or(DtmfError::CannotInsert)?;
        let found = media.section_of(transceiver);
        let (_, section) = found
            .filter(|(_, section)| section.agreed.send.is_some() && !section.sender.streams.is_empty())
            .ok_or(DtmfError::CannotInsert)?;
        section.sender.insert_dtmf(now, tones, duration, gap)?;
        media.handle_timeout(now);
        self.settle(now);
        Ok(())
    }

    /// `canInsertDTMF`: the transceiver sends sound, and the peer takes tones with its clock.
    #[must_use]
    pub fn can_insert_dtmf(&self, transceiver: TransceiverId) -> bool {
        let media = self.upper.media.as_ref();
        let mut sections = media.into_iter().flat_map(|media| media.sections.iter().flatten());
        sections.any(|section| {
            section.agreed.transceiver == transceiver
                && section.agreed.send.is_some()
                && section.sender.tone_codec().is_some()
        })
    }

    /// `toneBuffer`: the tones that are still to be played.
    pub fn tone_buffer(&mut self, transceiver: TransceiverId) -> String {
        let section = self.upper.media_mut().and_then(|media| media.section_of(transceiver));
        let dtmf = section.and_then(|(_, section)| section.sender.dtmf.as_ref());
        dtmf.map(Dtmf::tone_buffer).unwrap_or_default()
    }

    /// The tracks of a transceiver, for statistics.
    pub(crate) fn track_ids(&self, transceiver: TransceiverId) -> TrackIds {
        let mut transceivers = self.transceivers.all.iter();
        let found = transceivers.find(|found| found.id == transceiver);
        TrackIds {
            sent: found.and_then(|found| Some(found.sender.track.as_ref()?.id.clone())),
            received: found.map(|found| found.receiver.track_id.clone()).unwrap_or_default(),
        }
    }

    /// What is in force has changed: the engine obeys.
    pub(crate) fn configure_media(&mut self, now: Instant) {
        if self.agreed.is_empty() && self.upper.media.is_none() {
            return;
        }
        let media = match &mut self.upper.media {
            Some(media) => media,
            None => self
                .upper
                .media
                .insert(Box::new(Media::new(now, &self.config, self.media_seed))),
        };
        media.configure(self.agreed.clone());
        for transceiver in &self.transceivers.all {
            if let Some((_, section)) = media.section_of(transceiver.id) {
                section.receiver.set_mode(transceiver.receiver.mode);
                section.desired = transceiver.sender.desired_bitrate;
            }
        }
        media.choose_probes();
        self.connect_media(now);
    }

    /// Gives the engine its keys, once there are both.
    pub(crate) fn connect_media(&mut self, now: Instant) {
        let Layers { media, dtls, .. } = &mut *self.upper;
        let (Some(media), Some(dtls)) = (media, dtls) else {
            return;
        };
        if media.is_connected() || !dtls.is_connected() {
            return;
        }
        let Some(profile) = dtls
            .srtp_profile()
            .and_then(|profile| srtp::Profile::from_number(profile.0))
        else {
            return;
        };
        let mut exported = vec![0; profile.keying_material_len()];
        let label = srtp::KeyingMaterial::EXPORTER_LABEL;
        if dtls.export_keying_material(label, None, &mut exported).is_err() {
            return;
        }
        let Ok(keys) = srtp::KeyingMaterial::from_exporter(profile, &exported) else {
            return;
        };
        match dtls.role() {
            peerline_dtls::Role::Client => media.connect(now, &keys.client, &keys.server),
            peerline_dtls::Role::Server => media.connect(now, &keys.server, &keys.client),
        }
    }
}

/// What is to leave at a pace.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pacing {
    /// What a source gives all at once.
    Pictures,
    Nothing,
}

impl Media {
    pub(super) fn send_frame(
        &mut self,
        now: Instant,
        transceiver: TransceiverId,
        frame: OutgoingFrame,
    ) -> Result<(), SendMediaError> {
        let datagram = self.mtu;
        self.send(transceiver, Pacing::Pictures, |section, queue| {
            let mid = &section.agreed.mid;
            section.sender.send_frame(now, frame, Room { datagram, mid }, queue)
        })
    }

    pub(super) fn send_packet(
        &mut self,
        now: Instant,
        transceiver: TransceiverId,
        packet: OutgoingPacket,
    ) -> Result<(), SendMediaError> {
        let datagram = self.max_mtu;
        self.send(transceiver, Pacing::Nothing, |section, queue| {
            let mid = &section.agreed.mid;
            section.sender.send_packet(now, packet, Room { datagram, mid }, queue)
        })
    }

    /// Lets `make` put packets of a section in line, if it may send.
    fn send(
        &mut self,
        transceiver: TransceiverId,
        pacing: Pacing,
        make: impl FnOnce(&mut super::Section, &mut dyn FnMut(usize, super::Outgoing)) -> Result<(), SendMediaError>,
    ) -> Result<(), SendMediaError> {
        if self.srtp.is_none() || self.closed {
            return Err(SendMediaError::NotConnected);
        }
        if self.line.bytes() > MAX_QUEUED {
            return Err(SendMediaError::QueueFull);
        }
        let Self { sections, line, .. } = self;
        let mut sections = sections.iter_mut().enumerate();
        let (index, section) = sections
            .find_map(|(index, section)| {
                let section = section.as_mut()?;
                (section.agreed.transceiver == transceiver && section.agreed.send.is_some()).then_some((index, section))
            })
            .ok_or(SendMediaError::NotSending)?;
        let paced = section.agreed.kind == MediaKind::Video && pacing == Pacing::Pictures;
        make(section, &mut |stream, packet| {
            line.push(Queued {
                section: index,
                stream,
                paced,
                what: What::First(packet),
            });
        })
    }

    pub(super) fn set_max_receive_bitrate(&mut self, now: Instant, bitrate: Option<u64>) {
        self.max_receive_bitrate = bitrate;
        if self.srtp.is_some() && !self.closed && bitrate.is_some() {
            self.report(now);
        }
    }

    pub(super) fn request_keyframe(&mut self, transceiver: TransceiverId, rid: Option<&str>) {
        let Some((_, section)) = self.section_of(transceiver) else {
            return;
        };
        if section.agreed.receive.is_none() {
            return;
        }
        for stream in &mut section.receiver.streams {
            if rid.is_none() || stream.rid.as_deref() == rid {
                stream.want_keyframe();
                stream.keyframe_request.insists = true;
            }
        }
    }
}

//! [`Slot`]: what a connection keeps for the handles on each of its transceivers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Instant;

use peerline_connection::{
    MediaKind, OutgoingFrame, OutgoingPacket, ReceiveMode, SendMediaError, TransceiverDirection, TransceiverId,
};
use tokio::sync::Notify;

use super::clock::ticks;
use super::source::MediaFrame;
use super::track::Track;
use crate::driver;
use crate::shared::{Phase, Shared, State, Wakes};

/// All transceivers that handles know, or events have told of.
pub(crate) struct Slots {
    all: BTreeMap<TransceiverId, Slot>,
    /// What timestamps of sources are counted from, so that all of a connection have the same clock.
    epoch: Instant,
}

/// What a track's media is sent as.
#[derive(Clone, Copy)]
struct Format {
    /// The payload type of the track's codec, which its packets have.
    packets: u8,
    /// That of what its frames are put in: the same, or that of redundant packets.
    frames: u8,
    /// Ticks a second.
    clock_rate: u32,
}

/// One transceiver's.
struct Slot {
    kind: MediaKind,
    signals: Arc<MediaSignals>,
    /// What its sender sends.
    track: Option<Arc<Track>>,
    /// The payload type and the clock rate for the track's frames, if it sends them.
    format: Option<Format>,
    /// Layers of which the peer wants keyframes, and the application has not been told.
    requests: Vec<Option<Arc<str>>>,
    /// Tones that have begun to be sent, and the application has not been told.
    tones: VecDeque<Option<char>>,
    /// How the application wants to receive.
    mode: ReceiveMode,
    /// How the engine was told to.
    applied: ReceiveMode,
    /// Handles on the receiver, and unread news that will be some. Without any, nothing is kept.
    readers: usize,
    muted: bool,
    ended: bool,
}

/// Who waits for something of a transceiver. Any number of tasks may.
#[derive(Debug, Default)]
pub(crate) struct MediaSignals {
    /// There is something to receive, or never will be.
    pub(crate) readable: Notify,
    /// There is news about what is sent.
    pub(crate) sender: Notify,
    /// The received track is muted or not, or has ended.
    pub(crate) changed: Notify,
}

impl MediaSignals {
    pub(crate) fn wake_all(&self) {
        self.readable.notify_waiters();
        self.sender.notify_waiters();
        self.changed.notify_waiters();
    }
}

/// Unread tones beyond this number are history.
const MAX_TONES: usize = 256;

impl Slots {
    pub(crate) fn new() -> Self {
        Self {
            all: BTreeMap::new(),
            epoch: driver::now(),
        }
    }

    pub(crate) fn everyone(&self) -> impl Iterator<Item = Arc<MediaSignals>> {
        self.all.values().map(|slot| Arc::clone(&slot.signals))
    }
}

impl Slot {
    fn new(kind: MediaKind) -> Self {
        Self {
            kind,
            signals: Arc::default(),
            track: None,
            format: None,
            requests: Vec::new(),
            tones: VecDeque::new(),
            mode: ReceiveMode::default(),
            applied: ReceiveMode::default(),
            readers: 0,
            muted: true,
            ended: false,
        }
    }
}

impl State {
    /// The kind and the signals of a transceiver, if there is such.
    pub(crate) fn transceiver_signals(&mut self, id: TransceiverId) -> Option<(MediaKind, Arc<MediaSignals>)> {
        let slot = self.slot(id)?;
        Some((slot.kind, Arc::clone(&slot.signals)))
    }

    fn slot(&mut self, id: TransceiverId) -> Option<&mut Slot> {
        if !self.slots.all.contains_key(&id) {
            let kind = self.connection.transceiver(id)?.kind();
            self.slots.all.insert(id, Slot::new(kind));
        }
        self.slots.all.get_mut(&id)
    }

    /// What was agreed on, or the state of the connection, has changed: sources and the engine hear of it.
    pub(crate) fn refresh_media(&mut self, wakes: &mut Wakes) {
        let Self {
            connection,
            slots,
            phase,
            own,
            ..
        } = self;
        slots.all.retain(|id, slot| {
            if connection.transceiver(*id).is_some() {
                return true;
            }
            slot.detach(own, *id);
            wakes.media_all(&slot.signals);
            false
        });
        for (id, slot) in &mut slots.all {
            slot.format = None;
            let Some(track) = slot.track.as_ref().filter(|_| *phase == Phase::Running) else {
                continue;
            };
            let mut encodings = connection.send_encodings(*id);
            let codecs = connection.send_codecs(*id);
            // An encoding may have chosen a codec of those; the source's own is what it is.
            let chosen = encodings.first().and_then(|encoding| encoding.codec.as_ref());
            let chosen = chosen.and_then(|chosen| codecs.iter().find(|codec| codec.codec == *chosen));
            let codec = chosen
                .filter(|_| track.codec.is_none())
                .or_else(|| track.choose_codec(codecs));
            match codec {
                Some(codec) => {
                    // Redundant packets (RFC 2198) carry its frames where those are preferred.
                    let preferred = codecs
                        .iter()
                        .take_while(|other| other.payload_type != codec.payload_type);
                    let mut redundancy = preferred.filter(|other| other.is_redundancy_of(codec.payload_type));
                    slot.format = Some(Format {
                        packets: codec.payload_type,
                        frames: redundancy.next().unwrap_or(codec).payload_type,
                        clock_rate: codec.codec.clock_rate,
                    });
                    for encoding in &mut encodings {
                        encoding.codec.get_or_insert_with(|| codec.codec.clone());
                    }
                }
                None => encodings.clear(),
            }
            track.set_outlet(own, *id, encodings);
        }
        let ids: Vec<_> = slots.all.keys().copied().collect();
        ids.into_iter().for_each(|id| self.apply_mode(id));
        self.aim_media();
    }

    /// What the path takes has changed: sources are told.
    pub(crate) fn aim_media(&self) {
        for (id, slot) in &self.slots.all {
            if let Some(track) = &slot.track {
                track.set_target(&self.own, *id, self.connection.target_bitrate(*id));
            }
        }
    }

    /// Nothing is sent any more.
    pub(crate) fn detach_tracks(&mut self) {
        for (id, slot) in &mut self.slots.all {
            slot.detach(&self.own, *id);
        }
    }

    /// The sender has this track from now on.
    pub(crate) fn attach_track(&mut self, id: TransceiverId, track: Option<Arc<Track>>) {
        let own = Weak::clone(&self.own);
        if let Some(slot) = self.slot(id) {
            slot.detach(&own, id);
            slot.track = track;
        }
    }

    /// The sender's track.
    pub(crate) fn track_of(&self, id: TransceiverId) -> Option<Arc<Track>> {
        self.slots.all.get(&id)?.track.clone()
    }

    // --- out

    /// Sends a frame of `track`, unless the sender has another by now.
    pub(super) fn send_track_frame(
        &mut self,
        id: TransceiverId,
        track: &Arc<Track>,
        frame: &MediaFrame,
        captured: Instant,
    ) -> bool {
        let Some(format) = self.format_of(id, track) else {
            return false;
        };
        let now = self.recently();
        let frame = OutgoingFrame {
            payload: frame.payload.clone(),
            timestamp: ticks(self.slots.epoch, captured, format.clock_rate),
            captured: Some(captured),
            rid: frame.rid.clone(),
            // Without a codec of its own it is what each encoding has chosen.
            payload_type: track.codec.is_some().then_some(format.frames),
            extensions: frame.extensions.clone(),
        };
        self.connection.send_frame(now, id, frame).is_ok()
    }

    /// Sends packets of `track`, unless the sender has another by now.
    pub(super) fn send_track_packets(
        &mut self,
        id: TransceiverId,
        track: &Arc<Track>,
        packets: &[OutgoingPacket],
    ) -> bool {
        let Some(format) = self.format_of(id, track) else {
            return false;
        };
        let now = self.recently();
        let mut sent = false;
        for packet in packets {
            let mut packet = packet.clone();
            if track.codec.is_some() {
                packet.payload_type = format.packets;
            }
            sent |= self.connection.send_packet(now, id, packet).is_ok();
        }
        sent
    }

    fn format_of(&self, id: TransceiverId, track: &Arc<Track>) -> Option<Format> {
        let slot = self.slots.all.get(&id)?;
        let own = slot.track.as_ref().filter(|_| self.phase == Phase::Running)?;
        slot.format.filter(|_| Arc::ptr_eq(own, track))
    }

    /// Sends a frame as it is.
    pub(super) fn send_frame(&mut self, id: TransceiverId, frame: OutgoingFrame) -> Result<(), SendMediaError> {
        if self.phase != Phase::Running {
            return Err(SendMediaError::NotConnected);
        }
        let now = self.recently();
        self.connection.send_frame(now, id, frame)
    }

    /// Sends a packet as it is.
    pub(super) fn send_packet(&mut self, id: TransceiverId, packet: OutgoingPacket) -> Result<(), SendMediaError> {
        if self.phase != Phase::Running {
            return Err(SendMediaError::NotConnected);
        }
        let now = self.recently();
        self.connection.send_packet(now, id, packet)
    }

    /// The peer needs a keyframe.
    pub(crate) fn on_keyframe_request(&mut self, id: TransceiverId, rid: Option<Arc<str>>, wakes: &mut Wakes) {
        let Some(slot) = self.slot(id) else { return };
        if let Some(track) = &slot.track {
            track.request_keyframe(rid.as_ref());
        }
        if !slot.requests.contains(&rid) {
            slot.requests.push(rid);
        }
        wakes.media_sender(&slot.signals);
    }

    pub(super) fn next_keyframe_request(&mut self, id: TransceiverId) -> Option<Option<Arc<str>>> {
        let slot = self.slots.all.get_mut(&id)?;
        (!slot.requests.is_empty()).then(|| slot.requests.remove(0))
    }

    /// A tone begins to be sent, or all have been.
    pub(crate) fn on_tone_change(&mut self, id: TransceiverId, tone: Option<char>, wakes: &mut Wakes) {
        let Some(slot) = self.slot(id) else { return };
        if slot.tones.len() >= MAX_TONES {
            slot.tones.pop_front();
        }
        slot.tones.push_back(tone);
        wakes.media_sender(&slot.signals);
    }

    pub(super) fn next_tone(&mut self, id: TransceiverId) -> Option<Option<char>> {
        self.slots.all.get_mut(&id)?.tones.pop_front()
    }

    // --- in

    /// There is one more handle on the receiver.
    pub(crate) fn add_reader(&mut self, id: TransceiverId) {
        if let Some(slot) = self.slot(id) {
            slot.readers += 1;
            self.apply_mode(id);
        }
    }

    /// There is one less.
    pub(crate) fn remove_reader(&mut self, id: TransceiverId) {
        if let Some(slot) = self.slots.all.get_mut(&id) {
            slot.readers = slot.readers.saturating_sub(1);
            self.apply_mode(id);
        }
    }

    pub(super) fn set_mode(&mut self, id: TransceiverId, mode: ReceiveMode) {
        if let Some(slot) = self.slot(id) {
            slot.mode = mode;
            self.apply_mode(id);
        }
    }

    /// Tells the engine how to receive. It forgets when a section begins anew, so it is told again and again.
    fn apply_mode(&mut self, id: TransceiverId) {
        let Some(slot) = self.slots.all.get_mut(&id) else {
            return;
        };
        let mode = if slot.readers == 0 {
            ReceiveMode::Nothing
        } else {
            slot.mode
        };
        let before = std::mem::replace(&mut slot.applied, mode);
        let begins = before == ReceiveMode::Nothing && mode != ReceiveMode::Nothing;
        let needs_keyframe = begins && slot.kind == MediaKind::Video;
        if self.phase != Phase::Running {
            return;
        }
        self.connection.set_receive_mode(id, mode);
        if needs_keyframe {
            self.connection.request_keyframe(driver::now(), id, None);
        }
    }

    /// There is something to receive; true if the track was mute until now.
    pub(crate) fn on_media_readable(&mut self, id: TransceiverId, wakes: &mut Wakes) -> bool {
        let Some(slot) = self.slot(id) else { return false };
        wakes.media_readable(&slot.signals);
        let unmuted = std::mem::take(&mut slot.muted);
        if unmuted {
            wakes.media_all(&slot.signals);
        }
        unmuted
    }

    pub(crate) fn on_track_muted(&mut self, id: TransceiverId, wakes: &mut Wakes) {
        let Some(slot) = self.slot(id) else { return };
        slot.muted = true;
        wakes.media_all(&slot.signals);
    }

    pub(crate) fn on_track_ended(&mut self, id: TransceiverId, wakes: &mut Wakes) {
        let Some(slot) = self.slot(id) else { return };
        slot.ended = true;
        slot.muted = true;
        wakes.media_all(&slot.signals);
    }

    pub(super) fn is_muted(&self, id: TransceiverId) -> bool {
        self.slots.all.get(&id).is_none_or(|slot| slot.muted)
    }

    /// Nothing will ever be received again.
    pub(super) fn has_track_ended(&self, id: TransceiverId) -> bool {
        self.phase != Phase::Running || self.slots.all.get(&id).is_none_or(|slot| slot.ended)
    }

    /// Which way media is wanted to flow.
    pub(super) fn direction(&self, id: TransceiverId) -> TransceiverDirection {
        let transceiver = self.connection.transceiver(id);
        transceiver.map_or(TransceiverDirection::Stopped, |transceiver| transceiver.direction())
    }
}

impl Slot {
    fn detach(&mut self, connection: &Weak<Shared>, id: TransceiverId) {
        self.format = None;
        if let Some(track) = self.track.take() {
            track.remove_outlet(connection, id);
        }
    }
}

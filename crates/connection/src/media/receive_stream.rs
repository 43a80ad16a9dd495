//! [`ReceiveStream`]: one stream of packets that we receive, put in order and made frames again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use peerline_rtp::NtpTime;
use peerline_rtp::payload::red::{Recovered, RedDepacketizer};
use peerline_rtp::payload::telephone_event::{EventReceiver, News};
use peerline_rtp::payload::{AnyDepacketizer, Depacketizer as _, Format, Frame, MAX_FRAME_SIZE};

use super::codecs::{Codecs, Purpose};
use super::extensions::Extensions;
use super::frame_rate::FrameRate;
use super::missing::{Arrival, Missing};
use super::packet::{IncomingFrame, IncomingPacket};
use super::parameters::MediaKind;
use super::reception::Reception;
use super::reorder::{Ordered, Reorder};
use super::sequence::{Seen, Sight, Unwrapper};

/// One stream of a receiver.
#[derive(Debug)]
pub(super) struct ReceiveStream {
    pub(super) ssrc: u32,
    pub(super) rid: Option<Arc<str>>,
    /// The stream that repeats it, once known.
    pub(super) rtx_ssrc: Option<u32>,
    kind: MediaKind,
    pub(super) unwrapper: Unwrapper,
    seen: Seen,
    pub(super) reception: Reception,
    missing: Missing,
    reorder: Reorder<IncomingPacket>,
    depacketizer: Option<(u8, AnyDepacketizer)>,
    red: RedDepacketizer,
    /// What a redundant packet has just given.
    recovered: VecDeque<Recovered>,
    events: EventReceiver,
    /// So many packets were lost, but the next may repeat them.
    lost: u64,
    /// Frames were dropped that nobody fetched: the next follows a gap.
    pub(super) dropped: bool,
    assembly: Assembly,
    /// What the depacketizer has just completed.
    completed: VecDeque<Frame>,
    /// The payload type of the latest packet.
    pub(super) payload_type: u8,
    /// How loud the latest packet says it is, in -dBov.
    pub(super) level: Option<u8>,
    pub(super) sender_report: Option<SenderReport>,
    pub(super) keyframe_request: KeyframeRequest,
    pub(super) got: Got,
}

/// The latest sender report on the stream (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug)]
pub(super) struct SenderReport {
    /// When it came.
    pub(super) at: Instant,
    /// The sender's wall clock, and the RTP time of the same instant.
    pub(super) ntp: NtpTime,
    pub(super) timestamp: u32,
    pub(super) packets: u32,
    pub(super) bytes: u32,
    /// How many there have been.
    pub(super) count: u64,
}

impl SenderReport {
    /// The sender's wall clock when its timestamp was, or will be, this: the time since 1970.
    fn time_of(&self, timestamp: u32, clock_rate: u32) -> Option<Duration> {
        let ticks = timestamp.wrapping_sub(self.timestamp).cast_signed();
        let apart = Duration::from_secs(ticks.unsigned_abs().into()).checked_div(clock_rate)?;
        let reported = self.ntp.to_unix();
        if ticks < 0 {
            reported.checked_sub(apart)
        } else {
            reported.checked_add(apart)
        }
    }
}

/// Asking for a keyframe, and not too often.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KeyframeRequest {
    /// One is wanted, and none has come since.
    pub(super) wanted: bool,
    /// When the latest request was sent; at first, when the stream began.
    pub(super) sent: Option<Instant>,
    /// The application wants it, though the sender may be silent.
    pub(super) insists: bool,
    /// The number of the latest FIR command (RFC 5104 §4.3.1.1).
    fir_command: u8,
    /// No keyframe has come since that command.
    fir_is_open: bool,
}

impl KeyframeRequest {
    /// A keyframe has come, or none is wanted any more.
    pub(super) fn settle(&mut self) {
        (self.wanted, self.fir_is_open) = (false, false);
    }

    /// The number to demand a keyframe by: "increased by 1 modulo 256 for each new command. A repetition SHALL NOT increase the sequence
    /// number" (RFC 5104 §4.3.1.1).
    pub(super) fn take_fir_command(&mut self) -> u8 {
        if !std::mem::replace(&mut self.fir_is_open, true) {
            self.fir_command = self.fir_command.wrapping_add(1);
        }
        self.fir_command
    }
}

/// What has come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Got {
    /// Of payload, without headers and padding.
    pub(super) bytes: u64,
    pub(super) header_bytes: u64,
    pub(super) retransmitted_packets: u64,
    pub(super) retransmitted_bytes: u64,
    /// Packets too late to be of use.
    pub(super) discarded: u64,
    pub(super) frames: u64,
    pub(super) keyframes: u64,
    pub(super) frames_dropped: u64,
    /// Frames of more than one packet, and how long it took from the first packet of each to the last.
    pub(super) assembled: u64,
    pub(super) assembly_time: Duration,
    pub(super) rate: FrameRate,
    pub(super) nacks: u64,
    pub(super) plis: u64,
    pub(super) firs: u64,
}

/// The packets of the frame that is being put together.
#[derive(Clone, Copy, Debug, Default)]
struct Assembly {
    timestamp: u32,
    packets: u32,
    /// When the first and the last of them came.
    span: Option<(Instant, Instant)>,
}

impl Assembly {
    fn on_packet(&mut self, packet: &IncomingPacket) {
        let at = packet.received;
        match self.span.filter(|_| self.timestamp == packet.timestamp) {
            Some((first, last)) => {
                self.packets += 1;
                self.span = Some((first.min(at), last.max(at)));
            }
            None => {
                *self = Self {
                    timestamp: packet.timestamp,
                    packets: 1,
                    span: Some((at, at)),
                };
            }
        }
    }

    /// How long it took to get a frame, if that was of more than one packet.
    fn took(&self, timestamp: u32) -> Option<Duration> {
        let (first, last) = self.span.filter(|_| self.packets > 1 && self.timestamp == timestamp)?;
        Some(last.saturating_duration_since(first))
    }
}

/// How long a gap is waited for: where lost packets come again, and where they do not.
const PATIENCE_WITH_NACK: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_millis(60);

/// A keyframe that was asked for is asked for again after so long.
const KEYFRAME_INTERVAL: Duration = Duration::from_millis(500);

/// A sender that has been silent for so long has stopped: it is not asked.
const SILENCE: Duration = Duration::from_secs(10);

impl ReceiveStream {
    pub(super) fn new(now: Instant, ssrc: u32, rid: Option<Arc<str>>, kind: MediaKind) -> Self {
        Self {
            ssrc,
            rid,
            rtx_ssrc: None,
            kind,
            unwrapper: Unwrapper::default(),
            seen: Seen::default(),
            reception: Reception::default(),
            missing: Missing::default(),
            reorder: Reorder::default(),
            depacketizer: None,
            red: RedDepacketizer::new(),
            recovered: VecDeque::new(),
            events: EventReceiver::new(),
            lost: 0,
            dropped: false,
            assembly: Assembly::default(),
            completed: VecDeque::new(),
            payload_type: 0,
            level: None,
            sender_report: None,
            // Encoders begin with a keyframe: it is asked for if it does not come.
            keyframe_request: KeyframeRequest {
                wanted: kind == MediaKind::Video,
                sent: Some(now),
                insists: false,
                fir_command: 0,
                fir_is_open: false,
            },
            got: Got::default(),
        }
    }

    /// Counts a packet, original or `repeated`; false if it has come before.
    pub(super) fn admit(&mut self, now: Instant, packet: &IncomingPacket, codecs: &Codecs, repeated: bool) -> bool {
        let codec = codecs.get(packet.payload_type);
        // What was lost on the way stays lost in the reports, though it came again in another stream. But "the number of packets
        // received includes any which are late or duplicates" (RFC 3550 §6.4.1): an original that its retransmission has overtaken
        // is not lost. Of what comes twice in one stream, SRTP lets the first pass.
        if let Some(codec) = codec.filter(|_| !repeated) {
            self.unwrapper.accept(packet.sequence_number);
            self.reception
                .on_packet(now, packet.sequence_number, packet.timestamp, codec.clock_rate);
        }
        match self.seen.insert(packet.sequence_number) {
            Sight::New => {}
            Sight::Again => return false,
            Sight::TooOld => {
                self.got.discarded += 1;
                return false;
            }
        }
        let Some(codec) = codec else { return true };
        self.payload_type = packet.payload_type;
        if codec.nack && self.missing.on_packet(now, packet.sequence_number) == Arrival::TooMany {
            self.want_keyframe();
            self.reorder.restart();
            self.lost = u64::MAX;
        }
        true
    }

    /// Begins anew with the next packet: nothing before it is waited for or asked for.
    pub(super) fn restart(&mut self) {
        self.reorder.restart();
        self.missing = Missing::default();
        self.lost = u64::MAX;
    }

    /// Takes an admitted packet to make frames of it, and appends those that are complete.
    pub(super) fn push(
        &mut self,
        now: Instant,
        packet: IncomingPacket,
        codecs: &Codecs,
        out: &mut VecDeque<IncomingFrame>,
    ) {
        if !self.reorder.push(now, packet.sequence_number, packet) {
            self.got.discarded += 1;
        }
        self.drain(now, codecs, out);
    }

    /// Appends the frames that are complete by now.
    pub(super) fn drain(&mut self, now: Instant, codecs: &Codecs, out: &mut VecDeque<IncomingFrame>) {
        while let Some(ordered) = self.reorder.pop(now, self.patience(codecs)) {
            match ordered {
                Ordered::Packet(packet) => self.depacketize(&packet, codecs, out),
                Ordered::Gap(packets) => {
                    self.lost = self.lost.saturating_add(packets);
                    self.want_keyframe();
                }
            }
        }
        if let Some(next) = self.reorder.next() {
            self.missing.give_up_before(next);
        }
    }

    fn patience(&self, codecs: &Codecs) -> Duration {
        match codecs.get(self.payload_type) {
            Some(codec) if codec.nack => PATIENCE_WITH_NACK,
            _ => PATIENCE,
        }
    }

    fn depacketize(&mut self, packet: &IncomingPacket, codecs: &Codecs, out: &mut VecDeque<IncomingFrame>) {
        match codecs.get(packet.payload_type).map(|codec| codec.purpose) {
            Some(Purpose::Media(format)) => {
                self.assembly.on_packet(packet);
                self.on_payload(
                    format,
                    packet.payload.clone(),
                    packet.payload_type,
                    packet.timestamp,
                    packet.marker,
                );
            }
            Some(Purpose::Red(_)) => self.on_redundant(packet, codecs),
            // Those are told as events, and others are for those who take packets.
            Some(Purpose::TelephoneEvent | Purpose::Rtx(_) | Purpose::Other) | None => {}
        }
        let payload_type = self
            .depacketizer
            .as_ref()
            .map_or(packet.payload_type, |(inside, _)| *inside);
        let clock_rate = codecs.get(payload_type).map_or(0, |codec| codec.clock_rate);
        for frame in self.completed.drain(..) {
            self.got.frames += 1;
            self.got.rate.on_frame(packet.received);
            if let Some(took) = self.assembly.took(frame.timestamp) {
                self.got.assembled += 1;
                self.got.assembly_time += took;
            }
            if frame.keyframe {
                self.got.keyframes += 1;
                self.keyframe_request.settle();
            }
            let is_last = frame.timestamp == packet.timestamp;
            out.push_back(IncomingFrame {
                payload: frame.data,
                timestamp: frame.timestamp,
                ssrc: self.ssrc,
                rid: self.rid.clone(),
                payload_type,
                keyframe: frame.keyframe,
                follows_gap: frame.follows_gap | std::mem::take(&mut self.dropped),
                extensions: if is_last {
                    packet.extensions.clone()
                } else {
                    Extensions::new()
                },
                received: packet.received,
                sampled: self
                    .sender_report
                    .and_then(|report| report.time_of(frame.timestamp, clock_rate)),
            });
        }
    }

    /// What is in a redundant packet (RFC 2198), in order: perhaps what was lost before it.
    fn on_redundant(&mut self, packet: &IncomingPacket, codecs: &Codecs) {
        let mut recovered = std::mem::take(&mut self.recovered);
        let goes_on = self.red.goes_on_in(&packet.payload, packet.timestamp);
        let _ = self.red.push(&packet.payload, packet.timestamp, &mut recovered);
        let again = recovered.iter().filter(|payload| payload.redundant).count() as u64;
        if goes_on || self.lost <= again {
            self.lost = 0;
        }
        for Recovered {
            payload_type,
            timestamp,
            data,
            redundant,
        } in recovered.drain(..)
        {
            if let Some(Purpose::Media(format)) = codecs.get(payload_type.0).map(|codec| codec.purpose) {
                self.on_payload(format, data, payload_type.0, timestamp, packet.marker && !redundant);
            }
        }
        self.recovered = recovered;
    }

    fn on_payload(&mut self, format: Format, payload: Bytes, payload_type: u8, timestamp: u32, marker: bool) {
        if self
            .depacketizer
            .as_ref()
            .is_none_or(|(before, _)| *before != payload_type)
        {
            self.depacketizer = Some((payload_type, format.depacketizer(MAX_FRAME_SIZE)));
        }
        let Some((_, depacketizer)) = &mut self.depacketizer else {
            return;
        };
        if std::mem::take(&mut self.lost) > 0 {
            depacketizer.gap();
        }
        if depacketizer
            .push(payload, timestamp, marker, &mut self.completed)
            .is_err()
        {
            self.got.frames_dropped += 1;
            self.want_keyframe();
        }
    }

    /// Takes a report of keys that are pressed (RFC 4733); those that were released, for how many ticks.
    pub(super) fn on_telephone_event(&mut self, packet: &IncomingPacket) -> Option<(char, u32)> {
        let mut news = VecDeque::new();
        let _ = self.events.push(&packet.payload, packet.timestamp, &mut news);
        news.into_iter().find_map(|news| match news {
            News::Ended { event, duration } => Some((event.key()?, duration)),
            News::Started { .. } => None,
        })
    }

    /// Takes an admitted packet that goes on as it is: what was asked for may have come.
    pub(super) fn pass(&mut self, packet: &IncomingPacket, codecs: &Codecs) {
        if let Some(Purpose::Media(format)) = codecs.get(packet.payload_type).map(|codec| codec.purpose)
            && format.is_keyframe(&packet.payload)
        {
            self.keyframe_request.settle();
        }
    }

    // --- what is asked of the sender

    /// The picture cannot go on without a keyframe.
    pub(super) fn want_keyframe(&mut self) {
        self.keyframe_request.wanted |= self.kind == MediaKind::Video;
    }

    /// When something is to be asked for, or a gap to be given up.
    pub(super) fn poll_timeout(&self, codecs: &Codecs) -> Option<Instant> {
        let gap = self.reorder.poll_timeout(self.patience(codecs));
        [gap, self.missing.poll_timeout(), self.keyframe_due()]
            .into_iter()
            .flatten()
            .min()
    }

    /// When a keyframe is to be asked for (again); a time long past for at once.
    fn keyframe_due(&self) -> Option<Instant> {
        let request = self.keyframe_request;
        let latest = self.reception.latest()?;
        let due = request.sent.map_or(latest, |sent| sent + KEYFRAME_INTERVAL);
        (request.wanted && (request.insists || due < latest + SILENCE)).then_some(due)
    }

    /// True if a keyframe is to be asked for now; then it counts as asked for.
    pub(super) fn take_keyframe_request(&mut self, now: Instant) -> bool {
        let is_due = self.keyframe_due().is_some_and(|due| due <= now);
        if is_due {
            self.keyframe_request.sent = Some(now);
            self.keyframe_request.insists = false;
        }
        is_due
    }

    /// Appends the sequence numbers to be asked for now.
    pub(super) fn take_missing(&mut self, now: Instant, round_trip: Duration, missing: &mut Vec<u16>) {
        let before = missing.len();
        if self.missing.take_due(now, round_trip, missing) {
            self.want_keyframe();
        }
        if missing.len() > before {
            self.got.nacks += 1;
        }
    }
}

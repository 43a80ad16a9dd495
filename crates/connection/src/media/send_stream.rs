//! [`SendStream`]: one stream of packets that we send, and what has become of it.

use std::time::{Duration, Instant};

use peerline_rtp::payload::red::RedPacketizer;
use peerline_rtp::payload::{AnyPacketizer, Format, Payload};
use peerline_rtp::{PayloadType, Serial16};
use peerline_wire::ReplayWindow;

use super::agreed::SendEncoding;
use super::codecs::Codecs;
use super::extensions::ExtensionIds;
use super::frame_rate::FrameRate;
use super::history::History;
use super::outgoing::{Hop, Outgoing, Rtx};
use super::sequence::Unwrapper;
use super::template::Template;

/// One encoding of a sender.
#[derive(Debug)]
pub(super) struct SendStream {
    pub(super) encoding: SendEncoding,
    numbers: Numbers,
    /// The next packet of the stream of retransmissions.
    pub(super) next_rtx: Serial16,
    /// "The initial value of the timestamp SHOULD be random" (RFC 3550 §5.1): what frames' timestamps are counted from.
    pub(super) timestamp_offset: u32,
    first_picture_id: u16,
    /// Made when it is needed first.
    template: Option<Template>,
    packetizer: Option<(u8, AnyPacketizer)>,
    red: Option<(u8, RedPacketizer)>,
    pub(super) history: History,
    /// The peer has reported on it: it knows whose packets these are.
    pub(super) is_known: bool,
    /// When the latest packet was sampled, and its timestamp: what sender reports extrapolate from.
    pub(super) latest: Option<Latest>,
    /// When the application was last asked for a keyframe.
    pub(super) keyframe_asked: Option<Instant>,
    /// The command number of the latest FIR (RFC 5104 §4.3.1.1).
    pub(super) fir_command: Option<u8>,
    pub(super) sent: Sent,
    /// How many packets the two latest sender reports counted, the newer first.
    pub(super) reported: [u64; 2],
    pub(super) remote: RemoteReport,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Latest {
    pub(super) at: Instant,
    pub(super) timestamp: u32,
    pub(super) clock_rate: u32,
    pub(super) payload_type: u8,
}

/// Which sequence numbers were given out.
#[derive(Debug)]
struct Numbers {
    next: Serial16,
    /// The first that was given out.
    first: Option<Serial16>,
    unwrapper: Unwrapper,
    /// SRTP's nonce is made of them: none may be used twice.
    used: ReplayWindow,
}

/// What was sent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sent {
    pub(super) packets: u64,
    /// Of payload, without headers and padding.
    pub(super) bytes: u64,
    pub(super) header_bytes: u64,
    pub(super) frames: u64,
    pub(super) keyframes: u64,
    pub(super) rate: FrameRate,
    pub(super) retransmitted_packets: u64,
    pub(super) retransmitted_bytes: u64,
    /// Of those, what went in the stream of retransmissions.
    pub(super) rtx_packets: u64,
    pub(super) rtx_bytes: u64,
    pub(super) nacks: u64,
    pub(super) plis: u64,
    pub(super) firs: u64,
}

impl Sent {
    /// Counts a packet that leaves, with so many bytes of payload in it.
    pub(super) fn count(&mut self, datagram_len: usize, payload_len: usize) {
        self.packets += 1;
        self.bytes += payload_len as u64;
        self.header_bytes += (datagram_len - payload_len) as u64;
    }
}

/// What the peer's receiver reports say of the stream.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RemoteReport {
    pub(super) at: Option<Instant>,
    /// "The low 16 bits contain the highest sequence number received", the others how often it has wrapped (RFC 3550 §6.4.1).
    pub(super) highest: u32,
    pub(super) packets_lost: i64,
    /// Of the latest interval, 0 to 1.
    pub(super) fraction_lost: f64,
    /// In ticks of the codec's clock.
    pub(super) jitter: u32,
    pub(super) round_trip: Option<Duration>,
    pub(super) total_round_trip: Duration,
    pub(super) measurements: u64,
}

/// How many payloads a redundant packet repeats: what browsers do.
const GENERATIONS: usize = 1;

impl SendStream {
    pub(super) fn new(encoding: SendEncoding, random: [u16; 4]) -> Self {
        Self {
            encoding,
            numbers: Numbers {
                // Numbers in the lower half: the first wrap is far (RFC 3711 §3.3.1 has trouble with a loss right at it).
                next: Serial16(random[0] >> 1),
                first: None,
                unwrapper: Unwrapper::default(),
                used: ReplayWindow::new(),
            },
            next_rtx: Serial16(random[1] >> 1),
            timestamp_offset: u32::from(random[2]) << 16 | u32::from(random[3]),
            first_picture_id: random[2],
            template: None,
            packetizer: None,
            red: None,
            history: History::default(),
            is_known: false,
            latest: None,
            keyframe_asked: None,
            fir_command: None,
            sent: Sent::default(),
            reported: [0; 2],
            remote: RemoteReport::default(),
        }
    }

    /// Obeys what was agreed on, which may be other header extensions, too.
    pub(super) fn configure(&mut self, encoding: &SendEncoding) {
        self.encoding.clone_from(encoding);
        self.template = None;
    }

    /// The next packet of the stream of retransmissions (RFC 4588 §4), for one with this payload type or for padding. `None` if that
    /// has none.
    pub(super) fn take_rtx(&mut self, codecs: &Codecs, payload_type: u8) -> Option<Rtx> {
        let (ssrc, payload_type) = self.encoding.rtx_ssrc.zip(codecs.rtx_of(payload_type))?;
        let sequence_number = self.next_rtx;
        self.next_rtx = sequence_number.next();
        Some(Rtx {
            ssrc,
            payload_type,
            sequence_number,
        })
    }

    /// Appends a packet as it is sent first.
    pub(super) fn write(&mut self, out: &mut Vec<u8>, packet: &Outgoing, ids: &ExtensionIds, mid: &str, hop: Hop) {
        let ssrc = self.encoding.ssrc;
        let names = self.encoding.names(mid);
        if packet.is_plain() {
            self.template.take_if(|template| template.named != hop.named);
            let template = self
                .template
                .get_or_insert_with(|| Template::new(ssrc, ids, names, hop.named));
            template.write(out, packet, hop);
        } else {
            packet.write_header(out, ssrc, ids, names, hop);
        }
        packet.payload.write(out);
    }

    /// The packetizer for `payload_type`; made anew when the codec changes.
    pub(super) fn packetizer(&mut self, payload_type: u8, format: Format) -> &mut AnyPacketizer {
        if self
            .packetizer
            .as_ref()
            .is_none_or(|(before, _)| *before != payload_type)
        {
            self.packetizer = None;
        }
        let picture_id = self.first_picture_id;
        let (_, packetizer) = self
            .packetizer
            .get_or_insert_with(|| (payload_type, format.packetizer(picture_id)));
        packetizer
    }

    /// A payload that repeats those before it; of `payload`, which has the payload type `primary`.
    pub(super) fn redundant(&mut self, primary: u8, payload: &Payload, timestamp: u32, max_payload: usize) -> Payload {
        if self.red.as_ref().is_none_or(|(before, _)| *before != primary) {
            self.red = None;
        }
        let (_, red) = self
            .red
            .get_or_insert_with(|| (primary, RedPacketizer::new(PayloadType(primary), GENERATIONS)));
        red.wrap(&payload.to_bytes(), timestamp, max_payload)
            .with_marker(payload.marker())
    }

    /// The sequence number of the next packet, or the one that is asked for if it is free.
    pub(super) fn take_number(&mut self, wanted: Option<u16>) -> Option<Serial16> {
        let numbers = &mut self.numbers;
        let number = wanted.map_or(numbers.next, Serial16);
        let extended = numbers.unwrapper.extend(number);
        if !numbers.used.is_fresh(extended) {
            return None;
        }
        numbers.unwrapper.accept(extended);
        numbers.used.accept(extended);
        numbers.first.get_or_insert(number);
        if !number.precedes(numbers.next) {
            numbers.next = number.next();
        }
        Some(number)
    }

    /// How many packets the peer has received, estimated from what it reports, "to mirror what is discussed in Appendix A.3 in [RFC3550],
    /// but for the sender side" (webrtc-stats, `packetsReceived`): those from our first to the highest that it knows, but for the lost ones.
    pub(super) fn received_by_peer(&self) -> u64 {
        let first = self.numbers.first.map_or(0, |first| i64::from(first.0));
        let expected = i64::from(self.remote.highest) - first + 1;
        u64::try_from(expected - self.remote.packets_lost).unwrap_or(0)
    }

    /// True if no later number was taken.
    pub(super) fn is_newest(&self, number: Serial16) -> bool {
        self.numbers.next == number.next()
    }

    /// It is not sent any more, or not yet again: nothing is repeated, and the peer may forget whose it is.
    pub(super) fn pause(&mut self) {
        self.history = History::default();
        self.is_known = false;
        self.keyframe_asked = None;
    }

    /// The timestamp that the stream has at `now`, extrapolated (RFC 3550 §6.4.1).
    pub(super) fn timestamp_at(&self, now: Instant) -> Option<u32> {
        let latest = self.latest?;
        let ticks = |span: Duration| (span.as_micros() * u128::from(latest.clock_rate) / 1_000_000) as u32;
        Some(match now.checked_duration_since(latest.at) {
            Some(since) => latest.timestamp.wrapping_add(ticks(since)),
            None => latest.timestamp.wrapping_sub(ticks(latest.at - now)),
        })
    }
}

//! [`Sender`]: what a transceiver sends: one stream of packets, or one a layer of simulcast.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use peerline_rtp::payload::{Packetizer as _, Payload};
use peerline_rtp::{Csrcs, Ssrc};
use rand::RngExt;
use rand::rngs::StdRng;

use super::agreed::Sending;
use super::codecs::{Codec, Codecs, Purpose};
use super::dtmf::{Dtmf, DtmfError, Due};
use super::extensions::{ExtensionIds, Extensions};
use super::outgoing::{Outgoing, header_len};
use super::packet::{OutgoingFrame, OutgoingPacket, SendMediaError};
use super::send_stream::{Latest, SendStream};

/// One transceiver's sender.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) cname: String,
    pub(super) codecs: Codecs,
    pub(super) ids: ExtensionIds,
    pub(super) streams: Vec<SendStream>,
    /// Those that are not sent at present, such as layers that the peer no longer takes: should one come back, its numbers go on
    /// from where they were. SRTP lets none be used again.
    retired: Vec<SendStream>,
    pub(super) dtmf: Option<Dtmf>,
    /// What the packetizer has just made; kept for its memory.
    payloads: VecDeque<Payload>,
}

/// What packets have to fit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room<'a> {
    /// The largest datagram, in bytes.
    pub(super) datagram: usize,
    /// The section's name, which packets may carry.
    pub(super) mid: &'a str,
}

/// The tag of SRTP, at most, and the number in front of a retransmitted payload.
const MAX_TRAILER: usize = 16 + 2;

impl Sender {
    pub(super) fn new() -> Self {
        Self {
            cname: String::new(),
            codecs: Codecs::default(),
            ids: ExtensionIds::default(),
            streams: Vec::new(),
            retired: Vec::new(),
            dtmf: None,
            payloads: VecDeque::new(),
        }
    }

    /// Obeys what was agreed on. Streams that go on keep their numbers; the SSRCs of those that end are returned.
    pub(super) fn configure(&mut self, sending: &Sending, rng: &mut StdRng) -> Vec<u32> {
        self.cname.clone_from(&sending.cname);
        self.codecs = Codecs::new(&sending.codecs);
        self.ids = ExtensionIds::to_send(&sending.extensions, sending.mixed_extensions);
        let mut before = std::mem::take(&mut self.streams);
        for encoding in &sending.encodings {
            let take = |streams: &mut Vec<SendStream>| {
                let known = streams.iter().position(|stream| stream.encoding.ssrc == encoding.ssrc);
                known.map(|index| streams.swap_remove(index))
            };
            let stream = match take(&mut before).or_else(|| take(&mut self.retired)) {
                Some(mut stream) => {
                    stream.configure(encoding);
                    stream
                }
                None => SendStream::new(encoding.clone(), rng.random()),
            };
            self.streams.push(stream);
        }
        // Who never sent anything says no goodbye (RFC 3550 §6.3.7).
        let ended = before.iter().filter(|stream| stream.sent.packets > 0);
        let ended = ended.map(|stream| stream.encoding.ssrc).collect();
        before.iter_mut().for_each(SendStream::pause);
        self.retired.append(&mut before);
        let plays = |dtmf: &Dtmf| {
            let codec = self.codecs.get(dtmf.payload_type);
            codec.is_some_and(|codec| codec.purpose == Purpose::TelephoneEvent) && !self.streams.is_empty()
        };
        self.dtmf = self.dtmf.take().filter(plays);
        ended
    }

    /// Nothing is sent any more, or not yet again.
    pub(super) fn pause(&mut self) {
        self.streams.iter_mut().for_each(SendStream::pause);
        self.dtmf = None;
    }

    /// The SSRCs of its streams, in their order.
    pub(super) fn ssrcs(&self) -> Vec<u32> {
        self.streams.iter().map(|stream| stream.encoding.ssrc).collect()
    }

    /// The encoding called `rid`, or the first.
    fn stream(&self, rid: Option<&str>) -> Result<usize, SendMediaError> {
        let index = match rid {
            None => 0,
            Some(rid) => self
                .streams
                .iter()
                .position(|stream| stream.encoding.rid.as_deref() == Some(rid))
                .ok_or(SendMediaError::UnknownRid)?,
        };
        match self.streams.get(index) {
            Some(stream) if stream.encoding.active => Ok(index),
            _ => Err(SendMediaError::NotSending),
        }
    }

    /// The codec asked for, else the one that the encoding sends.
    fn codec(&self, stream: usize, payload_type: Option<u8>) -> Result<Codec, SendMediaError> {
        let chosen = payload_type.or(self.streams[stream].encoding.payload_type);
        let codec = match chosen {
            Some(payload_type) => self.codecs.get(payload_type),
            None => self.codecs.first(),
        };
        codec.copied().ok_or(SendMediaError::UnknownPayloadType)
    }

    /// Makes packets of a frame and hands them to `queue`, with the index of their stream.
    pub(super) fn send_frame(
        &mut self,
        now: Instant,
        frame: OutgoingFrame,
        room: Room<'_>,
        mut queue: impl FnMut(usize, Outgoing),
    ) -> Result<(), SendMediaError> {
        let index = self.stream(frame.rid.as_deref())?;
        let codec = self.codec(index, frame.payload_type)?;
        // What is inside redundant packets (RFC 2198) is made first.
        let (inside, format) = match codec.purpose {
            Purpose::Media(format) => (codec.payload_type, format),
            Purpose::Red(primary) => match self.codecs.get(primary).map(|codec| codec.purpose) {
                Some(Purpose::Media(format)) => (primary, format),
                _ => return Err(SendMediaError::UnknownPayloadType),
            },
            _ => return Err(SendMediaError::UnknownPayloadType),
        };
        let stream = &mut self.streams[index];
        let timestamp = frame.timestamp.wrapping_add(stream.timestamp_offset);
        let names = stream.encoding.names(room.mid);
        let around = header_len(&self.ids, names, &frame.extensions) + MAX_TRAILER;
        let room = room.datagram.saturating_sub(around);
        // "The last (final) block comprises only a zero F bit, and the block payload type" (RFC 2198 §3): one byte.
        let inner = room.saturating_sub(usize::from(inside != codec.payload_type));
        self.payloads.clear();
        let packetized = stream
            .packetizer(inside, format)
            .packetize(&frame.payload, inner, &mut self.payloads)
            .map_err(|_| SendMediaError::NotAFrame)?;
        stream.sent.frames += 1;
        stream.sent.rate.on_frame(now);
        stream.sent.keyframes += u64::from(packetized.keyframe);
        stream.latest = Some(Latest {
            at: frame.captured.unwrap_or(now),
            timestamp,
            clock_rate: codec.clock_rate,
            payload_type: codec.payload_type,
        });
        let mut extensions = Some(frame.extensions);
        while let Some(payload) = self.payloads.pop_front() {
            let Some(sequence_number) = stream.take_number(None) else {
                continue;
            };
            let is_last = self.payloads.is_empty();
            let payload = match codec.purpose {
                Purpose::Red(primary) => stream.redundant(primary, &payload, timestamp, room),
                _ => payload,
            };
            queue(
                index,
                Outgoing {
                    payload_type: codec.payload_type,
                    sequence_number,
                    timestamp,
                    csrcs: None,
                    payload,
                    extensions: extensions.take_if(|_| is_last).unwrap_or_default(),
                },
            );
        }
        Ok(())
    }

    /// Hands a packet to `queue` as it is.
    pub(super) fn send_packet(
        &mut self,
        now: Instant,
        packet: OutgoingPacket,
        room: Room<'_>,
        queue: impl FnOnce(usize, Outgoing),
    ) -> Result<(), SendMediaError> {
        let index = self.stream(packet.rid.as_deref())?;
        let codec = self.codec(index, Some(packet.payload_type))?;
        let stream = &mut self.streams[index];
        let names = stream.encoding.names(room.mid);
        if packet.csrcs.len() > Csrcs::MAX {
            return Err(SendMediaError::TooManySources);
        }
        let header = header_len(&self.ids, names, &packet.extensions) + 4 * packet.csrcs.len();
        if header + packet.payload.len() + MAX_TRAILER > room.datagram {
            return Err(SendMediaError::TooLarge);
        }
        let sequence_number = stream
            .take_number(packet.sequence_number)
            .ok_or(SendMediaError::RepeatedSequenceNumber)?;
        // Packets of one picture share a timestamp: the first of them tells best when that was. Late ones say nothing.
        let is_later = |latest: Latest| latest.timestamp != packet.timestamp && stream.is_newest(sequence_number);
        if stream.latest.is_none_or(is_later) {
            stream.latest = Some(Latest {
                at: now,
                timestamp: packet.timestamp,
                clock_rate: codec.clock_rate,
                payload_type: codec.payload_type,
            });
        }
        if packet.marker {
            stream.sent.frames += 1;
            stream.sent.rate.on_frame(now);
        }
        let csrcs = (!packet.csrcs.is_empty()).then(|| Box::new(packet.csrcs.into_iter().map(Ssrc).collect()));
        queue(
            index,
            Outgoing {
                payload_type: packet.payload_type,
                sequence_number,
                timestamp: packet.timestamp,
                csrcs,
                payload: Payload::from(packet.payload).with_marker(packet.marker),
                extensions: packet.extensions,
            },
        );
        Ok(())
    }

    /// What tones are sent as: one stream has one clock (RFC 4733 §2.4.1), that of its sound.
    pub(super) fn tone_codec(&self) -> Option<&Codec> {
        let stream = self.streams.first()?;
        let clock_rate = match &stream.latest {
            Some(latest) => latest.clock_rate,
            None => self.codecs.first()?.clock_rate,
        };
        self.codecs.telephone_event(clock_rate)
    }

    /// Tones to be sent in the place of sound.
    pub(super) fn insert_dtmf(
        &mut self,
        now: Instant,
        tones: &str,
        duration: Duration,
        gap: Duration,
    ) -> Result<(), DtmfError> {
        let codec = *self.tone_codec().ok_or(DtmfError::CannotInsert)?;
        let stream = self.streams.first().ok_or(DtmfError::CannotInsert)?;
        let timestamp = stream.timestamp_at(now).unwrap_or(stream.timestamp_offset);
        let is_same = |dtmf: &Dtmf| dtmf.payload_type == codec.payload_type;
        if !self.dtmf.as_ref().is_some_and(is_same) {
            self.dtmf = Some(Dtmf::new(codec.payload_type, codec.clock_rate, now, timestamp));
        }
        self.dtmf
            .as_mut()
            .map_or(Ok(()), |dtmf| dtmf.insert(now, tones, duration, gap))
    }

    /// Hands the packets of tones that are due to `queue`, and the tones that begin to `tell`.
    pub(super) fn play_dtmf(
        &mut self,
        now: Instant,
        mut queue: impl FnMut(Outgoing),
        mut tell: impl FnMut(Option<char>),
    ) {
        let (Some(dtmf), Some(stream)) = (&mut self.dtmf, self.streams.first_mut()) else {
            return;
        };
        while let Some(due) = dtmf.poll(now) {
            let packet = match due {
                Due::Packet(packet) => packet,
                Due::Tone(tone) => {
                    tell(tone);
                    continue;
                }
            };
            if let Some(sequence_number) = stream.take_number(None) {
                queue(Outgoing {
                    payload_type: dtmf.payload_type,
                    sequence_number,
                    timestamp: packet.timestamp,
                    csrcs: None,
                    payload: packet.payload,
                    extensions: Extensions::new(),
                });
            }
        }
    }
}

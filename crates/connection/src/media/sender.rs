//! [`Sender`]: what a transceiver sends: one stream of packets, or one a layer of simulcast.

use std::collections::VecDeque;
use std::time::Instant;

use peerline_rtp::payload::{Packetizer as _, Payload};
use rand::RngExt;
use rand::rngs::StdRng;

use super::agreed::Sending;
use super::codecs::{Codec, Codecs, Purpose};
use super::extensions::ExtensionIds;
use super::outgoing::Outgoing;
use super::packet::{OutgoingFrame, OutgoingPacket, SendMediaError};
use super::send_stream::{Latest, SendStream};

/// One transceiver's sender.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) cname: String,
    pub(super) codecs: Codecs,
    pub(super) ids: ExtensionIds,
    pub(super) streams: Vec<SendStream>,
    /// What the packetizer has just made; kept for its memory.
    payloads: VecDeque<Payload>,
}

impl Sender {
    pub(super) fn new() -> Self {
        Self {
            cname: String::new(),
            codecs: Codecs::default(),
            ids: ExtensionIds::default(),
            streams: Vec::new(),
            payloads: VecDeque::new(),
        }
    }

    /// Obeys what was agreed on. Streams that go on keep their numbers; the SSRCs of those that end are returned.
    pub(super) fn configure(&mut self, sending: &Sending, rng: &mut StdRng) -> Vec<u32> {
        self.cname.clone_from(&sending.cname);
        self.codecs = Codecs::new(&sending.codecs);
        self.ids = ExtensionIds::new(&sending.extensions);
        let mut before = std::mem::take(&mut self.streams);
        for encoding in &sending.encodings {
            let known = before.iter().position(|stream| stream.encoding.ssrc == encoding.ssrc);
            let stream = match known.map(|index| before.swap_remove(index)) {
                Some(mut stream) => {
                    stream.encoding = encoding.clone();
                    stream
                }
                None => SendStream::new(encoding.clone(), rng.random()),
            };
            self.streams.push(stream);
        }
        before.iter().map(|stream| stream.encoding.ssrc).collect()
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
        max_payload: usize,
        mut queue: impl FnMut(usize, Outgoing),
    ) -> Result<(), SendMediaError> {
        let index = self.stream(frame.rid.as_deref())?;
        let codec = self.codec(index, frame.payload_type)?;
        let Purpose::Media(format) = codec.purpose else {
            return Err(SendMediaError::UnknownPayloadType);
        };
        let stream = &mut self.streams[index];
        let timestamp = frame.timestamp.wrapping_add(stream.timestamp_offset);
        let room = max_payload.saturating_sub(frame.extensions.max_len());
        let packetized = stream
            .packetizer(codec.payload_type, format)
            .packetize(&frame.payload, room, &mut self.payloads)
            .map_err(|_| SendMediaError::NotAFrame)?;
        stream.sent.frames += 1;
        stream.sent.keyframes += u64::from(packetized.keyframe);
        stream.latest = Some(Latest {
            at: now,
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
            queue(
                index,
                Outgoing {
                    payload_type: codec.payload_type,
                    sequence_number,
                    timestamp,
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
        max_payload: usize,
        queue: impl FnOnce(usize, Outgoing),
    ) -> Result<(), SendMediaError> {
        let index = self.stream(packet.rid.as_deref())?;
        let codec = self.codec(index, Some(packet.payload_type))?;
        if packet.payload.len() + packet.extensions.max_len() > max_payload {
            return Err(SendMediaError::TooLarge);
        }
        let stream = &mut self.streams[index];
        let sequence_number = stream
            .take_number(packet.sequence_number)
            .ok_or(SendMediaError::RepeatedSequenceNumber)?;
        if packet.marker || stream.latest.is_none() {
            stream.latest = Some(Latest {
                at: now,
                timestamp: packet.timestamp,
                clock_rate: codec.clock_rate,
                payload_type: codec.payload_type,
            });
        }
        stream.sent.frames += u64::from(packet.marker);
        queue(
            index,
            Outgoing {
                payload_type: packet.payload_type,
                sequence_number,
                timestamp: packet.timestamp,
                payload: Payload::new(&[], packet.payload).with_marker(packet.marker),
                extensions: packet.extensions,
            },
        );
        Ok(())
    }
}

//! Reads feedback: the chunks are counted once, and looked at when they are asked for.

use peerline_wire::{Reader, Serial16};

use super::chunk::{CHUNK_LEN, Chunk, Status};
use super::{ArrivalTime, Entries, FIXED_LEN, ParseError, Reception, TransportFeedback};
use crate::Ssrc;
use crate::rtcp::Entry;

impl<'a> TransportFeedback<'a> {
    /// Takes time in proportion to the packet's length, however many statuses a run stands for.
    pub(in crate::rtcp) fn parse(contents: &'a [u8]) -> Result<Self, ParseError> {
        let mut r = Reader::new(contents);
        let mut feedback = Self {
            sender: Ssrc(r.u32()?),
            media: Ssrc(r.u32()?),
            base_sequence_number: Serial16(r.u16()?),
            packet_status_count: r.u16()?,
            reference_time: r.u24()?,
            feedback_count: r.u8()?,
            chunks: &[],
            deltas: None,
        };
        let mut left = feedback.packet_status_count;
        let mut deltas = 0;
        while left > 0 {
            let chunk = Chunk::read(r.array()?);
            let count = chunk.len().min(left);
            left -= count;
            deltas += match chunk {
                Chunk::Run { status, .. } => usize::from(count) * status.delta_len(),
                Chunk::OneBit(_) | Chunk::TwoBit(_) => chunk.statuses(count).map(Status::delta_len).sum(),
            };
        }
        feedback.chunks = &contents[FIXED_LEN..contents.len() - r.remaining()];
        // Who was asked for no times writes no deltas at all.
        feedback.deltas = match r.bytes(deltas) {
            Ok(deltas) => Some(deltas),
            Err(_) if r.remaining() < 4 && r.rest().iter().all(|byte| *byte == 0) => None,
            Err(truncated) => return Err(truncated.into()),
        };
        Ok(feedback)
    }

    /// Each packet and how it fared, in the order of the sequence numbers: up to 65,535 for a few bytes, so the caller bounds
    /// what it does.
    pub fn packets(&self) -> impl Iterator<Item = (Serial16, Reception)> + Clone + use<'a> {
        let mut left = self.packet_status_count;
        let chunks = Entries::<Chunk>::new(self.chunks).iter().flat_map(move |chunk| {
            let count = chunk.len().min(left);
            left -= count;
            (0..count).map(move |index| chunk.status(index))
        });
        let mut deltas = self.deltas.map(Reader::new);
        let mut time = self.reference_time();
        let mut number = self.base_sequence_number;
        chunks.map(move |status| {
            let this = number;
            number = number.next();
            (this, reception(status, &mut deltas, &mut time))
        })
    }

    /// The packets that came, in the order of their sequence numbers. Those that did not come cost nothing.
    pub fn received(&self) -> impl Iterator<Item = (Serial16, Reception)> + Clone + use<'a> {
        let mut left = self.packet_status_count;
        let mut next = self.base_sequence_number;
        let chunks = Entries::<Chunk>::new(self.chunks).iter().flat_map(move |chunk| {
            let count = chunk.len().min(left);
            let first = next;
            left -= count;
            next = next.add(count);
            let none = matches!(
                chunk,
                Chunk::Run {
                    status: Status::NotReceived,
                    ..
                }
            );
            let came = if none { 0 } else { count };
            (0..came).map(move |index| (first.add(index), chunk.status(index)))
        });
        let mut deltas = self.deltas.map(Reader::new);
        let mut time = self.reference_time();
        chunks
            .filter(|(_, status)| *status != Status::NotReceived)
            .map(move |(number, status)| (number, reception(status, &mut deltas, &mut time)))
    }
}

/// Takes the next delta, if the status has one, and moves the time by it.
fn reception(status: Status, deltas: &mut Option<Reader<'_>>, time: &mut ArrivalTime) -> Reception {
    if status == Status::NotReceived {
        return Reception::NotReceived;
    }
    let Some(deltas) = deltas else {
        return Reception::Untimed;
    };
    let delta = match status {
        Status::SmallDelta => deltas.u8().map(i32::from),
        Status::LargeDelta => deltas.u16().map(|delta| i32::from(delta as i16)),
        Status::NotReceived | Status::Untimed => return Reception::Untimed,
    };
    // Parse counted the deltas: there is one.
    let Ok(delta) = delta else { return Reception::Untimed };
    time.0 = time.0.wrapping_add_signed(delta);
    Reception::At(*time)
}

impl Entry for Chunk {
    const LEN: usize = CHUNK_LEN;

    fn read(bytes: &[u8]) -> Self {
        Self::read([bytes[0], bytes[1]])
    }

    fn write(&self, out: &mut Vec<u8>) {
        let bits = match *self {
            Self::Run { status, len } => (status as u16) << 13 | len,
            Self::OneBit(bits) | Self::TwoBit(bits) => bits,
        };
        out.extend_from_slice(&bits.to_be_bytes());
    }
}

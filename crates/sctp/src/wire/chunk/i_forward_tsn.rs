//! I-FORWARD-TSN: what the sender of I-DATA has given up.
//!
//! [RFC 8260 §2.3.1](https://www.rfc-editor.org/rfc/rfc8260#section-2.3.1)
//!
//! ```text
//! |   Type = 194  | Flags = 0x00  |      Length = Variable        |
//! |                       New Cumulative TSN                      |
//! |       Stream Identifier       |          Reserved           |U|
//! |                      Message Identifier                       |
//! |                               …                               |
//! ```

use peerline_wire::{Reader, Serial32, Writer};

use super::{ChunkType, ParseError, write_chunk};
use crate::StreamId;

/// A stream on which messages, ordered or unordered, have been given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SkippedMessages {
    /// The stream.
    pub stream: StreamId,
    /// Which of its two counters `mid` belongs to.
    pub unordered: bool,
    /// The largest number (MID) given up.
    pub mid: Serial32,
}

/// An I-FORWARD-TSN. Two that differ only in what is reserved are equal.
#[derive(Clone, Copy, Debug)]
pub struct IForwardTsn<'a> {
    /// The receiver is to behave as if everything up to this TSN had arrived.
    pub new_cumulative_tsn: Serial32,
    skipped: &'a [[u8; 8]],
}

impl<'a> IForwardTsn<'a> {
    /// The streams on which messages have been given up.
    pub fn skipped(&self) -> impl ExactSizeIterator<Item = SkippedMessages> + use<'a> {
        self.skipped.iter().map(|&[a, b, _, u, mid @ ..]| SkippedMessages {
            stream: StreamId(u16::from_be_bytes([a, b])),
            unordered: u & 1 != 0,
            mid: Serial32(u32::from_be_bytes(mid)),
        })
    }

    pub(crate) fn decode(value: &'a [u8]) -> Result<Self, ParseError> {
        let mut r = Reader::new(value);
        let new_cumulative_tsn = Serial32(r.u32()?);
        let (skipped, rest) = r.rest().as_chunks();
        if rest.is_empty() {
            Ok(Self {
                new_cumulative_tsn,
                skipped,
            })
        } else {
            Err(ParseError::BadLength)
        }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        Self::write(out, self.new_cumulative_tsn, self.skipped());
    }

    /// Appends an I-FORWARD-TSN made of what an iterator yields.
    ///
    /// # Panics
    /// If it yields more than fits a 16-bit length: the caller bounds it.
    pub fn write(out: &mut Vec<u8>, new_cumulative_tsn: Serial32, skipped: impl Iterator<Item = SkippedMessages>) {
        write_chunk(out, ChunkType::I_FORWARD_TSN, 0, |out| {
            let mut w = Writer::new(out);
            w.u32(new_cumulative_tsn.0);
            for skipped in skipped {
                w.u16(skipped.stream.0);
                w.u16(skipped.unordered.into());
                w.u32(skipped.mid.0);
            }
        });
    }
}

impl PartialEq for IForwardTsn<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.new_cumulative_tsn == other.new_cumulative_tsn && self.skipped().eq(other.skipped())
    }
}

impl Eq for IForwardTsn<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_come_with_a_counter_and_its_number() {
        let value = [0, 0, 0, 9, 0, 1, 0, 1, 0, 0, 0, 2, 0, 1, 0, 0, 0, 0, 1, 0];
        let forward = IForwardTsn::decode(&value).unwrap();
        let skipped = |unordered, mid| SkippedMessages {
            stream: StreamId(1),
            unordered,
            mid: Serial32(mid),
        };
        assert!(forward.skipped().eq([skipped(true, 2), skipped(false, 256)]));
        let mut out = Vec::new();
        forward.encode(&mut out);
        assert_eq!(out[4..], value);
        for end in 0..value.len() {
            assert_eq!(IForwardTsn::decode(&value[..end]).is_ok(), end == 4 || end == 12);
        }
    }
}

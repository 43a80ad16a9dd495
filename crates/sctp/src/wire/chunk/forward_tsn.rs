//! FORWARD TSN: what the sender has given up.
//!
//! [RFC 3758 §3.2](https://www.rfc-editor.org/rfc/rfc3758#section-3.2)
//!
//! ```text
//! |   Type = 192  |  Flags = 0x00 |        Length = Variable      |
//! |                      New Cumulative TSN                       |
//! |         Stream-1              |       Stream Sequence-1       |
//! |                            …                                  |
//! ```

use peerline_wire::{Reader, Serial16, Serial32, Writer};

use super::{ChunkType, ParseError, write_chunk};
use crate::StreamId;

/// A stream on which ordered messages have been given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SkippedStream {
    /// The stream.
    pub stream: StreamId,
    /// The last sequence number given up on it.
    pub ssn: Serial16,
}

/// A FORWARD TSN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForwardTsn<'a> {
    /// The receiver is to behave as if everything up to this TSN had arrived.
    pub new_cumulative_tsn: Serial32,
    skipped: &'a [[u8; 4]],
}

impl<'a> ForwardTsn<'a> {
    /// The streams on which ordered messages have been given up.
    pub fn skipped(&self) -> impl ExactSizeIterator<Item = SkippedStream> + use<'a> {
        self.skipped.iter().map(|&[a, b, c, d]| SkippedStream {
            stream: StreamId(u16::from_be_bytes([a, b])),
            ssn: Serial16(u16::from_be_bytes([c, d])),
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

    /// Appends a FORWARD TSN made of what an iterator yields.
    ///
    /// # Panics
    /// If it yields more than fits a 16-bit length: the caller bounds it.
    pub fn write(out: &mut Vec<u8>, new_cumulative_tsn: Serial32, skipped: impl Iterator<Item = SkippedStream>) {
        write_chunk(out, ChunkType::FORWARD_TSN, 0, |out| {
            let mut w = Writer::new(out);
            w.u32(new_cumulative_tsn.0);
            for skipped in skipped {
                w.u16(skipped.stream.0);
                w.u16(skipped.ssn.0);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_come_in_pairs_of_numbers() {
        let value = [0, 0, 0, 9, 0, 1, 0, 2];
        let forward = ForwardTsn::decode(&value).unwrap();
        assert!(forward.skipped().eq([SkippedStream {
            stream: StreamId(1),
            ssn: Serial16(2)
        }]));
        let mut out = Vec::new();
        forward.encode(&mut out);
        assert_eq!(out[4..], value);
        assert!(ForwardTsn::decode(&value[..6]).is_err());
    }
}

//! SACK: what has arrived.
//!
//! [RFC 9260 §3.3.4](https://www.rfc-editor.org/rfc/rfc9260#section-3.3.4)
//!
//! ```text
//! |   Type = 3    |  Chunk Flags  |         Chunk Length          |
//! |                      Cumulative TSN Ack                       |
//! |          Advertised Receiver Window Credit (a_rwnd)           |
//! | Number of Gap Ack Blocks = N  |  Number of Duplicate TSNs = M |
//! |    Gap Ack Block #1 Start     |     Gap Ack Block #1 End      |
//! |                            …                                  |
//! |                       Duplicate TSN 1                         |
//! |                            …                                  |
//! ```

use peerline_wire::{Reader, Serial32, Writer};

use super::{ChunkType, ParseError, write_chunk};

/// TSNs that have arrived behind a gap, as offsets from the cumulative TSN, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GapBlock {
    /// The first.
    pub start: u16,
    /// The last.
    pub end: u16,
}

/// A SACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sack<'a> {
    /// The last TSN before the first gap.
    pub cumulative_tsn: Serial32,
    /// The receive window left, in bytes.
    pub a_rwnd: u32,
    gap_blocks: &'a [[u8; 4]],
    duplicates: &'a [[u8; 4]],
}

impl<'a> Sack<'a> {
    /// Bytes of a SACK without gap blocks and duplicates.
    pub const MIN_LEN: usize = 16;

    /// The gap blocks, as they came: nothing is promised about their order.
    pub fn gap_blocks(&self) -> impl ExactSizeIterator<Item = GapBlock> + Clone + use<'a> {
        self.gap_blocks.iter().map(|&[a, b, c, d]| GapBlock {
            start: u16::from_be_bytes([a, b]),
            end: u16::from_be_bytes([c, d]),
        })
    }

    /// The TSNs that arrived more than once since the SACK before.
    pub fn duplicates(&self) -> impl ExactSizeIterator<Item = Serial32> + Clone + use<'a> {
        self.duplicates.iter().map(|&tsn| Serial32(u32::from_be_bytes(tsn)))
    }

    pub(crate) fn decode(value: &'a [u8]) -> Result<Self, ParseError> {
        let mut r = Reader::new(value);
        let (cumulative_tsn, a_rwnd) = (Serial32(r.u32()?), r.u32()?);
        let (gap_blocks, duplicates) = (usize::from(r.u16()?), usize::from(r.u16()?));
        let (gap_blocks, _) = r.bytes(gap_blocks * 4)?.as_chunks();
        let (duplicates, _) = r.bytes(duplicates * 4)?.as_chunks();
        Ok(Self {
            cumulative_tsn,
            a_rwnd,
            gap_blocks,
            duplicates,
        })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        Self::write(
            out,
            self.cumulative_tsn,
            self.a_rwnd,
            self.gap_blocks(),
            self.duplicates(),
        );
    }

    /// Appends a SACK made of what iterators yield.
    ///
    /// # Panics
    /// If they yield more than fits a 16-bit length: the caller bounds it.
    pub fn write(
        out: &mut Vec<u8>,
        cumulative_tsn: Serial32,
        a_rwnd: u32,
        gap_blocks: impl ExactSizeIterator<Item = GapBlock>,
        duplicates: impl ExactSizeIterator<Item = Serial32>,
    ) {
        write_chunk(out, ChunkType::SACK, 0, |out| {
            let mut w = Writer::new(out);
            w.u32(cumulative_tsn.0);
            w.u32(a_rwnd);
            w.u16(gap_blocks.len() as u16);
            w.u16(duplicates.len() as u16);
            for block in gap_blocks {
                w.u16(block.start);
                w.u16(block.end);
            }
            for tsn in duplicates {
                w.u32(tsn.0);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::one_chunk;
    use super::*;
    use crate::wire::Chunk;

    /// From Firefox 153 to Chromium 156.
    #[test]
    fn a_browsers_sack() {
        let bytes = b"\x13\x88\x13\x88\x45\x49\xca\xa9\x4c\x9d\x17\x76\x03\x00\x00\x10\x2a\x63\x8f\x6d\x00\xe6\x66\x66\
            \x00\x00\x00\x00";
        let (_, chunk) = one_chunk(bytes);
        let Chunk::Sack(sack) = chunk else { panic!("{chunk:?}") };
        assert_eq!((sack.cumulative_tsn, sack.a_rwnd), (Serial32(0x2a63_8f6d), 15_099_494));
    }

    #[test]
    fn gaps_and_duplicates() {
        let value = [0, 0, 0, 9, 0, 0, 1, 0, 0, 2, 0, 1, 0, 2, 0, 3, 0, 5, 0, 5, 0, 0, 0, 8];
        let sack = Sack::decode(&value).unwrap();
        assert!(
            sack.gap_blocks()
                .eq([GapBlock { start: 2, end: 3 }, GapBlock { start: 5, end: 5 }])
        );
        assert!(sack.duplicates().eq([Serial32(8)]));
        let mut out = Vec::new();
        sack.encode(&mut out);
        assert_eq!(out[4..], value);
        for end in 0..value.len() {
            assert!(Sack::decode(&value[..end]).is_err());
        }
    }
}

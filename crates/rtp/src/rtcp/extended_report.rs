//! [`ExtendedReport`]: what lets one who sends nothing measure the round-trip time (RFC 3611), and other blocks as they are.

use peerline_wire::Reader;

use super::ParseError;
use super::entries::{Entries, Entry, u32_at};
use super::frame::{self, MAX_CONTENTS, PacketType};
use crate::{NtpShort, NtpTime, Ssrc};

/// XR: blocks of several kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtendedReport<'a> {
    /// Who sent it.
    pub ssrc: Ssrc,
    /// The blocks, each of which was walked through once.
    blocks: &'a [u8],
}

/// What kind of block (RFC 3611 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReportBlockType(pub u8);

impl ReportBlockType {
    /// RRTR (RFC 3611 §4.4).
    pub const RECEIVER_REFERENCE_TIME: Self = Self(4);
    /// DLRR (RFC 3611 §4.5).
    pub const DLRR: Self = Self(5);
}

/// A block of an extended report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XrBlock<'a> {
    /// RRTR: when the report was sent, for a DLRR in reply.
    ReceiverReferenceTime(NtpTime),
    /// DLRR: the replies.
    Dlrr(Entries<'a, DelaySinceLastRr>),
    /// Any other.
    Unknown {
        /// What kind of block.
        block_type: ReportBlockType,
        /// Its second byte.
        type_specific: u8,
        /// What follows its length: whole words.
        contents: &'a [u8],
    },
}

/// A reply to a receiver's reference time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DelaySinceLastRr {
    /// Whose.
    pub ssrc: Ssrc,
    /// LRR: the reference time that came last; 0 if none did.
    pub last_rr: NtpShort,
    /// DLRR: how long ago that came.
    pub delay: NtpShort,
}

/// Type, type-specific byte, length.
const BLOCK_HEADER_LEN: usize = 4;

impl<'a> ExtendedReport<'a> {
    pub(super) fn parse(contents: &'a [u8]) -> Result<Self, ParseError> {
        let mut r = Reader::new(contents);
        let ssrc = Ssrc(r.u32()?);
        let blocks = r.peek();
        while !r.is_empty() {
            read_block(&mut r)?;
        }
        Ok(Self { ssrc, blocks })
    }

    /// The blocks, in the packet's order.
    #[must_use]
    pub fn blocks(&self) -> XrBlocks<'a> {
        XrBlocks {
            r: Reader::new(self.blocks),
        }
    }
}

/// Iterates over the blocks of a report; made by [`ExtendedReport::blocks`].
#[derive(Clone, Debug)]
pub struct XrBlocks<'a> {
    r: Reader<'a>,
}

impl<'a> Iterator for XrBlocks<'a> {
    type Item = XrBlock<'a>;

    fn next(&mut self) -> Option<XrBlock<'a>> {
        // The end is all that can be an error: parse saw each block.
        read_block(&mut self.r).ok()
    }
}

fn read_block<'a>(r: &mut Reader<'a>) -> Result<XrBlock<'a>, ParseError> {
    let (block_type, type_specific) = (ReportBlockType(r.u8()?), r.u8()?);
    let len = 4 * usize::from(r.u16()?);
    let contents = r.bytes(len)?;
    Ok(match block_type {
        ReportBlockType::RECEIVER_REFERENCE_TIME => {
            XrBlock::ReceiverReferenceTime(NtpTime(Reader::new(contents).u64()?))
        }
        ReportBlockType::DLRR => XrBlock::Dlrr(Entries::new(contents)),
        _ => XrBlock::Unknown {
            block_type,
            type_specific,
            contents,
        },
    })
}

/// Appends the blocks of a report; given out by [`ExtendedReport::write`].
#[derive(Debug)]
pub struct ExtendedReportWriter<'a> {
    out: &'a mut Vec<u8>,
}

impl ExtendedReport<'_> {
    /// Appends a packet with the blocks that `fill` adds.
    ///
    /// # Panics
    /// If it gets longer than 262,140 bytes.
    pub fn write(out: &mut Vec<u8>, ssrc: Ssrc, fill: impl FnOnce(&mut ExtendedReportWriter<'_>)) {
        frame::write(out, PacketType::EXTENDED_REPORT, 0, |out| {
            ssrc.write(out);
            fill(&mut ExtendedReportWriter { out });
        });
    }
}

impl ExtendedReportWriter<'_> {
    /// RRTR: the time at which the report is sent.
    pub fn receiver_reference_time(&mut self, now: NtpTime) -> &mut Self {
        self.block(ReportBlockType::RECEIVER_REFERENCE_TIME, 0, |out| {
            out.extend_from_slice(&now.0.to_be_bytes());
        })
    }

    /// DLRR: replies.
    pub fn dlrr(&mut self, replies: &[DelaySinceLastRr]) -> &mut Self {
        self.block(ReportBlockType::DLRR, 0, |out| {
            replies.iter().for_each(|reply| reply.write(out));
        })
    }

    /// A block of any kind, padded to whole words.
    pub fn raw(&mut self, block_type: ReportBlockType, type_specific: u8, contents: &[u8]) -> &mut Self {
        self.block(block_type, type_specific, |out| out.extend_from_slice(contents))
    }

    fn block(&mut self, block_type: ReportBlockType, type_specific: u8, fill: impl FnOnce(&mut Vec<u8>)) -> &mut Self {
        let start = self.out.len();
        self.out.extend_from_slice(&[block_type.0, type_specific, 0, 0]);
        fill(self.out);
        let contents = (self.out.len() - start - BLOCK_HEADER_LEN).next_multiple_of(4);
        self.out.resize(start + BLOCK_HEADER_LEN + contents, 0);
        assert!(contents <= MAX_CONTENTS, "the block fits its length field");
        self.out[start + 2..start + 4].copy_from_slice(&((contents / 4) as u16).to_be_bytes());
        self
    }
}

impl Entry for DelaySinceLastRr {
    const LEN: usize = 12;

    fn read(bytes: &[u8]) -> Self {
        Self {
            ssrc: Ssrc(u32_at(bytes, 0)),
            last_rr: NtpShort(u32_at(bytes, 4)),
            delay: NtpShort(u32_at(bytes, 8)),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        self.ssrc.write(out);
        out.extend_from_slice(&self.last_rr.0.to_be_bytes());
        out.extend_from_slice(&self.delay.0.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtcp::{Packet, packets};

    #[test]
    fn all_blocks_survive() {
        let replies = [1, 2].map(|n| DelaySinceLastRr {
            ssrc: Ssrc(n),
            last_rr: NtpShort(3 * n),
            delay: NtpShort(5 * n),
        });
        let mut out = Vec::new();
        ExtendedReport::write(&mut out, Ssrc(9), |w| {
            w.receiver_reference_time(NtpTime(0x0102_0304_0506_0708)).dlrr(&replies);
            w.raw(ReportBlockType(7), 0xaa, &[1, 2, 3, 4]);
        });
        assert_eq!(out[8..12], [4, 0, 0, 2]);
        let Some(Ok(Packet::ExtendedReport(report))) = packets(&out).next() else {
            panic!()
        };
        assert_eq!(report.ssrc, Ssrc(9));
        let blocks: Vec<_> = report.blocks().collect();
        assert_eq!(
            blocks[0],
            XrBlock::ReceiverReferenceTime(NtpTime(0x0102_0304_0506_0708))
        );
        assert!(matches!(blocks[1], XrBlock::Dlrr(read) if read.iter().eq(replies)));
        let unknown = XrBlock::Unknown {
            block_type: ReportBlockType(7),
            type_specific: 0xaa,
            contents: &[1, 2, 3, 4],
        };
        assert_eq!(blocks[2..], [unknown]);
    }

    #[test]
    fn a_block_that_is_too_short_or_runs_past_the_end_is_an_error() {
        for block in [[4, 0, 0, 0], [7, 0, 0, 1], [5, 0, 0xff, 0xff]] {
            let bytes = [&[0x80, 207, 0, 2, 0, 0, 0, 1][..], &block].concat();
            assert_eq!(packets(&bytes).next(), Some(Err(ParseError::ContentsTruncated)));
        }
    }
}

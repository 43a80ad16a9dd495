//! [`SenderReport`] and [`ReceiverReport`]: who sent how much, and what of it came (RFC 3550 §6.4).

use peerline_wire::Reader;

use super::ParseError;
use super::entries::{Entries, Entry, u32_at};
use super::frame::{self, MAX_COUNT, PacketType};
use crate::{NtpShort, NtpTime, Ssrc};

/// SR: what a sender sent, and what it received.
///
/// ```text
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |V=2|P|    RC   |   PT=SR=200   |             length            |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                         SSRC of sender                        |
/// +=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+
/// |                         NTP timestamp                         |
/// |                            (64 bits)                          |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                         RTP timestamp                         |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                     sender's packet count                     |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                      sender's octet count                     |
/// +=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+
/// |                 report blocks, RC of them                     |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderReport<'a> {
    /// Who sent it.
    pub ssrc: Ssrc,
    /// What it sent.
    pub info: SenderInfo,
    /// What it received, a block a source.
    pub reports: Entries<'a, ReportBlock>,
}

/// What a sender has sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SenderInfo {
    /// When the report was sent.
    pub ntp_time: NtpTime,
    /// The same time by the clock of the stream's timestamps.
    pub rtp_timestamp: u32,
    /// How many packets were sent since the stream began; it wraps.
    pub packet_count: u32,
    /// How many octets of payload were in them, without padding; it wraps.
    pub octet_count: u32,
}

impl<'a> SenderReport<'a> {
    pub(super) fn parse(count: u8, contents: &'a [u8]) -> Result<Self, ParseError> {
        let mut r = Reader::new(contents);
        Ok(Self {
            ssrc: Ssrc(r.u32()?),
            info: SenderInfo {
                ntp_time: NtpTime(r.u64()?),
                rtp_timestamp: r.u32()?,
                packet_count: r.u32()?,
                octet_count: r.u32()?,
            },
            reports: report_blocks(&mut r, count)?,
        })
    }

    /// Appends a report. It has room for 31 blocks: the others follow in receiver reports.
    pub fn write(out: &mut Vec<u8>, ssrc: Ssrc, info: &SenderInfo, reports: &[ReportBlock]) {
        let (first, others) = reports.split_at(reports.len().min(MAX_COUNT));
        frame::write(out, PacketType::SENDER_REPORT, first.len() as u8, |out| {
            out.extend_from_slice(&ssrc.0.to_be_bytes());
            out.extend_from_slice(&info.ntp_time.0.to_be_bytes());
            out.extend_from_slice(&info.rtp_timestamp.to_be_bytes());
            out.extend_from_slice(&info.packet_count.to_be_bytes());
            out.extend_from_slice(&info.octet_count.to_be_bytes());
            first.iter().for_each(|block| block.write(out));
        });
        if !others.is_empty() {
            ReceiverReport::write(out, ssrc, others);
        }
    }
}

/// RR: what one who sends nothing received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiverReport<'a> {
    /// Who sent it.
    pub ssrc: Ssrc,
    /// What it received, a block a source.
    pub reports: Entries<'a, ReportBlock>,
}

impl<'a> ReceiverReport<'a> {
    pub(super) fn parse(count: u8, contents: &'a [u8]) -> Result<Self, ParseError> {
        let mut r = Reader::new(contents);
        Ok(Self {
            ssrc: Ssrc(r.u32()?),
            reports: report_blocks(&mut r, count)?,
        })
    }

    /// Appends a report, or as many as it takes for all blocks, 31 in each; an empty one if there are none.
    ///
    /// > If there are more than 31 sources […] additional RR packets SHOULD be placed after (RFC 3550 §6.1)
    pub fn write(out: &mut Vec<u8>, ssrc: Ssrc, reports: &[ReportBlock]) {
        let mut rest = reports;
        loop {
            let (first, others) = rest.split_at(rest.len().min(MAX_COUNT));
            frame::write(out, PacketType::RECEIVER_REPORT, first.len() as u8, |out| {
                out.extend_from_slice(&ssrc.0.to_be_bytes());
                first.iter().for_each(|block| block.write(out));
            });
            if others.is_empty() {
                return;
            }
            rest = others;
        }
    }
}

/// What follows the blocks is a profile's extension, which WebRTC has none of.
fn report_blocks<'a>(r: &mut Reader<'a>, count: u8) -> Result<Entries<'a, ReportBlock>, ParseError> {
    Ok(Entries::new(r.bytes(usize::from(count) * ReportBlock::LEN)?))
}

/// What came of one source's packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ReportBlock {
    /// Whose packets.
    pub ssrc: Ssrc,
    /// How many of those since the last report were lost, in 256ths.
    pub fraction_lost: u8,
    /// How many were lost since the beginning, less duplicates: 24 bits with a sign; what does not fit is written as the
    /// nearest that does.
    pub cumulative_lost: i32,
    /// The highest sequence number that came, with the number of its wraps in the high 16 bits.
    pub extended_highest_sequence_number: u32,
    /// How much the time between arrivals varies, in ticks of the stream's clock (RFC 3550 §6.4.1, appendix A.8).
    pub jitter: u32,
    /// LSR: when the last SR of this source was sent; 0 if none came.
    pub last_sr: NtpShort,
    /// DLSR: how long ago that SR came; 0 if none did.
    pub delay_since_last_sr: NtpShort,
}

impl Entry for ReportBlock {
    const LEN: usize = 24;

    fn read(bytes: &[u8]) -> Self {
        let lost = u32_at(bytes, 4);
        Self {
            ssrc: Ssrc(u32_at(bytes, 0)),
            fraction_lost: (lost >> 24) as u8,
            // The shifts carry the sign down.
            cumulative_lost: (lost << 8) as i32 >> 8,
            extended_highest_sequence_number: u32_at(bytes, 8),
            jitter: u32_at(bytes, 12),
            last_sr: NtpShort(u32_at(bytes, 16)),
            delay_since_last_sr: NtpShort(u32_at(bytes, 20)),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        let lost = self.cumulative_lost.clamp(-0x80_0000, 0x7f_ffff);
        out.extend_from_slice(&self.ssrc.0.to_be_bytes());
        out.push(self.fraction_lost);
        out.extend_from_slice(&lost.to_be_bytes()[1..]);
        out.extend_from_slice(&self.extended_highest_sequence_number.to_be_bytes());
        out.extend_from_slice(&self.jitter.to_be_bytes());
        out.extend_from_slice(&self.last_sr.0.to_be_bytes());
        out.extend_from_slice(&self.delay_since_last_sr.0.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtcp::{Packet, packets};

    #[test]
    fn more_than_31_blocks_take_more_reports() {
        let block = |n: u32| ReportBlock {
            ssrc: Ssrc(n),
            cumulative_lost: -(n as i32),
            ..ReportBlock::default()
        };
        let blocks: Vec<_> = (0..70).map(block).collect();
        let mut out = Vec::new();
        SenderReport::write(&mut out, Ssrc(9), &SenderInfo::default(), &blocks);
        let mut read = Vec::new();
        let mut sizes = Vec::new();
        for packet in packets(&out) {
            let reports = match packet.unwrap() {
                Packet::SenderReport(report) => report.reports,
                Packet::ReceiverReport(report) => report.reports,
                other => panic!("{other:?}"),
            };
            sizes.push(reports.len());
            read.extend(reports.iter());
        }
        assert_eq!(sizes, [31, 31, 8]);
        assert_eq!(read, blocks);
    }

    #[test]
    fn losses_have_24_bits() {
        for (lost, bits) in [(i32::MAX, 0x7f_ffff), (i32::MIN, -0x80_0000), (-1, -1)] {
            let mut out = Vec::new();
            ReportBlock {
                cumulative_lost: lost,
                ..ReportBlock::default()
            }
            .write(&mut out);
            assert_eq!(ReportBlock::read(&out).cumulative_lost, bits);
        }
    }

    #[test]
    fn missing_blocks_are_an_error() {
        let mut out = Vec::new();
        ReceiverReport::write(&mut out, Ssrc(1), &[ReportBlock::default()]);
        out[0] += 1;
        assert_eq!(packets(&out).next(), Some(Err(ParseError::ContentsTruncated)));
    }
}

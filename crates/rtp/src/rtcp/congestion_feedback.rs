//! [`CongestionFeedback`]: when each packet of each stream came, and with which ECN mark (RFC 8888 §3.1).

use std::time::Duration;

use peerline_wire::{Ecn, Reader, Serial16};

use super::ParseError;
use super::entries::{Entries, Entry};
use super::frame::{self, PacketType, feedback_format};
use crate::{NtpShort, Ssrc};

/// CCFB: for each stream a range of sequence numbers, and for each of these whether, when and how marked it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CongestionFeedback<'a> {
    /// Who received the packets.
    pub sender: Ssrc,
    /// The time that arrivals count back from.
    pub report_timestamp: NtpShort,
    /// The blocks, each of which was walked through once.
    blocks: &'a [u8],
}

/// What came of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamFeedback<'a> {
    /// Of which one.
    pub ssrc: Ssrc,
    /// The sequence number of the first metric.
    pub begin_sequence_number: Serial16,
    metrics: Entries<'a, Metric>,
}

/// How a packet came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PacketMetric {
    /// Its ECN mark; of duplicates, CE if any had it.
    pub ecn: Option<Ecn>,
    /// When it came.
    pub arrival: ArrivalOffset,
}

/// How long before the report's timestamp a packet came: 13 bits, in units of 1/1,024 s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ArrivalOffset(pub u16);

impl ArrivalOffset {
    /// Longer ago than 8,189/1,024 s.
    pub const OVER_RANGE: Self = Self(0x1ffe);
    /// Not known, or after the timestamp.
    pub const UNAVAILABLE: Self = Self(0x1fff);

    /// Of a packet that came so long before the report's timestamp.
    #[must_use]
    pub fn from_duration(before: Duration) -> Self {
        let units = (u128::from(before.as_secs()) << 10) + (u128::from(before.subsec_nanos()) << 10) / 1_000_000_000;
        // "If the measured value is greater than 8189/1024 seconds (the value that would be coded as 0x1FFD), the value 0x1FFE
        // MUST be reported".
        u16::try_from(units)
            .ok()
            .filter(|units| *units < Self::OVER_RANGE.0)
            .map_or(Self::OVER_RANGE, Self)
    }

    /// How long before the report's timestamp; `None` if that is not known.
    #[must_use]
    pub fn to_duration(self) -> Option<Duration> {
        (self.0 < Self::OVER_RANGE.0).then(|| Duration::from_nanos((u64::from(self.0) * 1_000_000_000) >> 10))
    }
}

/// "Each report block MUST NOT include more than 16384 packet metric blocks".
const MAX_METRICS: usize = 16_384;

impl<'a> CongestionFeedback<'a> {
    pub(super) fn parse(contents: &'a [u8]) -> Result<Self, ParseError> {
        let (rest, timestamp) = contents.split_last_chunk().ok_or(ParseError::ContentsTruncated)?;
        let mut r = Reader::new(rest);
        let sender = Ssrc(r.u32()?);
        let blocks = r.peek();
        while !r.is_empty() {
            read_block(&mut r)?;
        }
        Ok(Self {
            sender,
            report_timestamp: NtpShort(u32::from_be_bytes(*timestamp)),
            blocks,
        })
    }

    /// The streams, in the packet's order.
    pub fn streams(&self) -> impl Iterator<Item = StreamFeedback<'a>> + Clone + use<'a> {
        let mut r = Reader::new(self.blocks);
        std::iter::from_fn(move || read_block(&mut r).ok())
    }
}

impl<'a> StreamFeedback<'a> {
    /// How many packets are reported on.
    #[must_use]
    pub fn len(&self) -> usize {
        self.metrics.len()
    }

    /// True if nothing came since the last report.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.metrics.is_empty()
    }

    /// Each packet, and how it came; `None` if it did not.
    pub fn metrics(&self) -> impl ExactSizeIterator<Item = (Serial16, Option<PacketMetric>)> + Clone + use<'a> {
        let begin = self.begin_sequence_number;
        let metrics = self.metrics.iter().enumerate();
        metrics.map(move |(i, metric)| (begin.add(i as u16), metric.0))
    }
}

fn read_block<'a>(r: &mut Reader<'a>) -> Result<StreamFeedback<'a>, ParseError> {
    let (ssrc, begin) = (Ssrc(r.u32()?), Serial16(r.u16()?));
    let count = usize::from(r.u16()?);
    if count > MAX_METRICS {
        return Err(ParseError::OutOfRange);
    }
    let metrics = Entries::new(r.bytes(count * Metric::LEN)?);
    if count % 2 == 1 {
        r.u16()?;
    }
    Ok(StreamFeedback {
        ssrc,
        begin_sequence_number: begin,
        metrics,
    })
}

/// `|R|ECN|  Arrival time offset    |`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Metric(Option<PacketMetric>);

impl Entry for Metric {
    const LEN: usize = 2;

    fn read(bytes: &[u8]) -> Self {
        let bits = u16::from_be_bytes([bytes[0], bytes[1]]);
        Self((bits >> 15 == 1).then(|| PacketMetric {
            ecn: Ecn::from_bits((bits >> 13) as u8),
            arrival: ArrivalOffset(bits & 0x1fff),
        }))
    }

    fn write(&self, out: &mut Vec<u8>) {
        let bits = self.0.map_or(0, |PacketMetric { ecn, arrival }| {
            1 << 15 | ecn.map_or(0, |ecn| ecn as u16) << 13 | arrival.0 & 0x1fff
        });
        out.extend_from_slice(&bits.to_be_bytes());
    }
}

/// Appends the streams of a packet; given out by [`CongestionFeedback::write`].
#[derive(Debug)]
pub struct CongestionFeedbackWriter<'a> {
    out: &'a mut Vec<u8>,
}

impl CongestionFeedback<'_> {
    /// Appends a packet with the streams that `fill` adds. The caller sees to its size: two bytes a packet and eight a stream.
    ///
    /// # Panics
    /// If it gets longer than 262,140 bytes.
    pub fn write(
        out: &mut Vec<u8>,
        sender: Ssrc,
        report_timestamp: NtpShort,
        fill: impl FnOnce(&mut CongestionFeedbackWriter<'_>),
    ) {
        frame::write(
            out,
            PacketType::TRANSPORT_FEEDBACK,
            feedback_format::CONGESTION_FEEDBACK,
            |out| {
                sender.write(out);
                fill(&mut CongestionFeedbackWriter { out });
                out.extend_from_slice(&report_timestamp.0.to_be_bytes());
            },
        );
    }
}

impl CongestionFeedbackWriter<'_> {
    /// Adds a stream with what came of the packets from `begin` on; the first 16,384 count.
    pub fn stream(
        &mut self,
        ssrc: Ssrc,
        begin: Serial16,
        metrics: impl IntoIterator<Item = Option<PacketMetric>>,
    ) -> &mut Self {
        ssrc.write(self.out);
        self.out.extend_from_slice(&begin.0.to_be_bytes());
        let count_at = self.out.len();
        self.out.extend_from_slice(&[0, 0]);
        let mut count = 0u16;
        for metric in metrics.into_iter().take(MAX_METRICS) {
            Metric(metric).write(self.out);
            count += 1;
        }
        if count % 2 == 1 {
            self.out.extend_from_slice(&[0, 0]);
        }
        self.out[count_at..count_at + 2].copy_from_slice(&count.to_be_bytes());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtcp::{Packet, packets};

    fn metric(ecn: Option<Ecn>, offset: u16) -> Option<PacketMetric> {
        Some(PacketMetric {
            ecn,
            arrival: ArrivalOffset(offset),
        })
    }

    #[test]
    fn streams_of_odd_even_and_no_length_survive() {
        let first = [metric(Some(Ecn::Ce), 512), None, metric(None, 0x1fff)];
        let second = [metric(Some(Ecn::Ect1), 1), metric(Some(Ecn::Ect0), 0)];
        let mut out = Vec::new();
        CongestionFeedback::write(&mut out, Ssrc(1), NtpShort(0xabcd_ef01), |w| {
            w.stream(Ssrc(2), Serial16(65535), first);
            w.stream(Ssrc(3), Serial16(7), second).stream(Ssrc(4), Serial16(9), []);
        });
        // R, ECN 11 and 512; not received; R and no arrival; padding.
        assert_eq!(out[16..24], [0xe2, 0, 0, 0, 0x9f, 0xff, 0, 0]);
        let Some(Ok(Packet::CongestionFeedback(feedback))) = packets(&out).next() else {
            panic!()
        };
        assert_eq!(
            (feedback.sender, feedback.report_timestamp),
            (Ssrc(1), NtpShort(0xabcd_ef01))
        );
        let streams: Vec<_> = feedback.streams().collect();
        assert_eq!(
            streams.iter().map(|s| (s.ssrc.0, s.len())).collect::<Vec<_>>(),
            [(2, 3), (3, 2), (4, 0)]
        );
        assert!(
            streams[0]
                .metrics()
                .eq([65535, 0, 1].map(Serial16).into_iter().zip(first))
        );
        assert!(streams[1].metrics().map(|(_, metric)| metric).eq(second));
    }

    #[test]
    fn offsets_have_a_range() {
        let offset = |micros| ArrivalOffset::from_duration(Duration::from_micros(micros));
        assert_eq!(offset(500_000), ArrivalOffset(512));
        assert_eq!(offset(500_000).to_duration(), Some(Duration::from_millis(500)));
        assert_eq!(offset(7_997_071), ArrivalOffset(0x1ffd));
        assert_eq!(offset(9_000_000), ArrivalOffset::OVER_RANGE);
        assert_eq!(ArrivalOffset::from_duration(Duration::MAX).to_duration(), None);
    }

    #[test]
    fn blocks_that_run_past_the_end_or_are_too_long_are_errors() {
        let mut out = Vec::new();
        CongestionFeedback::write(&mut out, Ssrc(1), NtpShort(0), |w| {
            w.stream(Ssrc(2), Serial16(0), [None; 2]);
        });
        out[15] = 3;
        assert_eq!(packets(&out).next(), Some(Err(ParseError::ContentsTruncated)));
        out[14] = 0x40;
        assert_eq!(packets(&out).next(), Some(Err(ParseError::OutOfRange)));
        assert_eq!(
            packets(&[0x8b, 205, 0, 1, 0, 0, 0, 1]).next(),
            Some(Err(ParseError::ContentsTruncated))
        );
    }
}

//! Feedback on streams and their sequence numbers (RFC 8888): which packets came, and when, told to the peer and told by it.
//!
//! Where both descriptions of all sections have `ack ccfb` and none has `transport-cc`, this is what the estimate of the bandwidth is made
//! of. libwebrtc, which speaks it behind a field trial, does the same with what it agrees on; where an offer has both it answers with
//! `transport-cc` alone or with `ccfb` alone, as the trial says, and ours answers with `transport-cc`.

use std::time::Instant;

use peerline_rtp::rtcp::{ArrivalOffset, CongestionFeedback, PacketMetric};
use peerline_rtp::{NtpShort, Ssrc};
use peerline_wire::Serial16;

use super::arrivals::Arrivals;
use super::departures::Arrival;
use super::parameters::{RtcpFeedback, RtpCodecParameters};
use super::report::MAX_RTCP_TRAILER;
use super::{Media, Section};
use crate::jsep::speaks;

/// What has come of each stream since it was told.
#[derive(Debug, Default)]
pub(super) struct StreamArrivals {
    streams: Vec<(u32, Arrivals)>,
}

/// Streams that are told of at a time: one who makes up SSRCs has the others forgotten, no more.
const MAX_STREAMS: usize = 32;

/// A report has a header, the sender's SSRC and a timestamp; a stream in it an SSRC, a sequence number and a count; a packet two bytes.
const REPORT_LEN: usize = 4 + 4 + 4;
const STREAM_LEN: usize = 8;
const METRIC_LEN: usize = 2;

/// Units of a report's timestamp in one of an arrival's offset: 1/65,536 s and 1/1,024 s.
const UNITS: i64 = 64;

impl StreamArrivals {
    /// A packet has come.
    pub(super) fn on_packet(&mut self, now: Instant, ssrc: u32, number: Serial16) {
        let index = self
            .streams
            .iter()
            .position(|(own, _)| *own == ssrc)
            .unwrap_or_else(|| {
                if self.streams.len() >= MAX_STREAMS {
                    let idle = self
                        .streams
                        .iter()
                        .position(|(_, arrivals)| arrivals.poll_timeout().is_none());
                    self.streams.swap_remove(idle.unwrap_or(0));
                }
                self.streams.push((ssrc, Arrivals::default()));
                self.streams.len() - 1
            });
        self.streams[index].1.on_packet(now, number);
    }

    /// When the next report is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.streams
            .iter()
            .filter_map(|(_, arrivals)| arrivals.poll_timeout())
            .min()
    }

    /// Appends a report of no more than `room` bytes; false if that is too few.
    fn write(&mut self, out: &mut Vec<u8>, sender: Ssrc, now: Instant, time: NtpShort, room: usize) -> bool {
        let mut room = room.saturating_sub(REPORT_LEN);
        let whole = room;
        CongestionFeedback::write(out, sender, time, |report| {
            for (ssrc, arrivals) in &mut self.streams {
                // With its padding.
                let most = room.saturating_sub(STREAM_LEN) / (2 * METRIC_LEN) * 2;
                let Some((begin, times)) = arrivals.collected() else {
                    continue;
                };
                let count = times.len().min(most);
                if count == 0 {
                    continue;
                }
                let metrics = times[..count].iter().map(|at| at.map(|at| metric(now, at)));
                report.stream(Ssrc(*ssrc), begin, metrics);
                room -= STREAM_LEN + METRIC_LEN * count.next_multiple_of(2);
                arrivals.told(count);
            }
        });
        room < whole
    }
}

/// "ECN … set to 00 if … not used": no datagram's mark is known here.
fn metric(now: Instant, at: Instant) -> PacketMetric {
    let before = now.checked_duration_since(at);
    PacketMetric {
        ecn: None,
        arrival: before.map_or(ArrivalOffset::UNAVAILABLE, ArrivalOffset::from_duration),
    }
}

impl Media {
    /// Chooses what the peer is told of packets by, and by what it tells of ours.
    pub(super) fn choose_feedback(&mut self) {
        let agreed = self.sections.iter().flatten().map(|section| &section.agreed);
        let sent = is_by_streams(agreed.clone().filter_map(|agreed| Some(&*agreed.send.as_ref()?.codecs)));
        let received = is_by_streams(agreed.filter_map(|agreed| Some(&*agreed.receive.as_ref()?.codecs)));
        let live = |section: &Section, ssrc| {
            let mut streams = section.sender.streams.iter().map(|stream| &stream.encoding);
            streams.any(|encoding| encoding.ssrc == ssrc || encoding.rtx_ssrc == Some(ssrc))
        };
        let sections = &self.sections;
        self.departures.set_streams(sent, |ssrc| {
            sections.iter().flatten().any(|section| live(section, ssrc))
        });
        if sent {
            // The number in the transport says nothing to this peer.
            let senders = self.sections.iter_mut().flatten().map(|section| &mut section.sender);
            senders.for_each(|sender| sender.ids.transport_number = None);
        }
        match received {
            true => drop(self.stream_arrivals.get_or_insert_default()),
            false => self.stream_arrivals = None,
        }
    }

    /// Tells when packets came, by their streams, if that is due.
    pub(super) fn tell_streams(&mut self, now: Instant) {
        let is_due = |media: &Self| {
            let due = media
                .stream_arrivals
                .as_ref()
                .and_then(|arrivals| arrivals.poll_timeout());
            due.is_some_and(|due| due <= now)
        };
        let reduced_size = self
            .sections
            .iter()
            .flatten()
            .all(|section| section.agreed.reduced_size);
        let time = self.clock.ntp(now).short();
        while is_due(self) {
            let sender = self.speaker();
            let mut out = self.begin_feedback(reduced_size);
            let room = self.mtu.saturating_sub(out.len() + MAX_RTCP_TRAILER);
            let Some(arrivals) = &mut self.stream_arrivals else {
                return;
            };
            if !arrivals.write(&mut out, sender, now, time, room) {
                **arrivals = StreamArrivals::default();
                return;
            }
            self.counters.ccfb_sent += 1;
            self.send_control(out);
        }
    }

    /// What the peer tells of our packets: no more than `most` streams and packets of it are looked at. How many were is returned.
    pub(super) fn on_congestion_feedback(
        &mut self,
        now: Instant,
        feedback: &CongestionFeedback<'_>,
        most: usize,
    ) -> usize {
        let report = self.departures.unwrap_timestamp(feedback.report_timestamp);
        let arrival = move |metric: Option<PacketMetric>| match metric.map(|metric| metric.arrival) {
            None => Arrival::Lost,
            // After the report's timestamp, or too long ago.
            Some(offset) if offset.0 >= ArrivalOffset::OVER_RANGE.0 => Arrival::Untimed,
            Some(offset) => {
                let units = report.saturating_sub(i64::from(offset.0) * UNITS);
                Arrival::At(units.saturating_mul(1_000_000 / UNITS) / (65_536 / UNITS))
            }
        };
        let looked = std::cell::Cell::new(0);
        let streams = feedback.streams().map_while(|stream| {
            let left = most.checked_sub(looked.get() + 1)?;
            let count = stream.len().min(left);
            looked.set(looked.get() + 1 + count);
            let metrics = stream
                .metrics()
                .take(count)
                .map(move |(number, metric)| (number, arrival(metric)));
            Some((stream.ssrc.0, metrics))
        });
        self.departures.on_streams(streams);
        self.estimate(now);
        looked.get()
    }
}

/// True if streams are what is told of, in sections with these codecs.
fn is_by_streams<'a>(mut sections: impl Iterator<Item = &'a [RtpCodecParameters]>) -> bool {
    let mut is_agreed = false;
    let is_only = |codecs: &[RtpCodecParameters]| {
        is_agreed |= speaks(codecs, RtcpFeedback::AckCcfb);
        !speaks(codecs, RtcpFeedback::TransportCc)
    };
    sections.all(is_only) && is_agreed
}

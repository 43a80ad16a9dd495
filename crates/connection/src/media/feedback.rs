//! RTCP that we receive: reports, and requests about what we send.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use peerline_rtp::rtcp::{Nack, Packet, Reception, ReportBlock, SenderReport, TransportFeedback, XrBlock, packets};
use peerline_rtp::{NtpShort, Ssrc, round_trip_time};

use super::bandwidth::{Bounds, Estimator};
use super::departures::{self, Arrival};
use super::history::Again;
use super::receive_stream::SenderReport as Remembered;
use super::report::{DEFAULT_ROUND_TRIP, MAX_REFERENCES, MAX_ROUND_TRIP, Reference};
use super::send_stream::SendStream;
use super::{MAX_QUEUED, Media, Queued, What};
use crate::capture::Tap;
use crate::event::Event;

/// A stream's keyframe requests within this are one.
const KEYFRAME_PAUSE: Duration = Duration::from_millis(100);

/// An estimate of the bandwidth is told when it differs by more than this part from the one before.
const NOISE: u64 = 50;

/// A packet is sent again at most once within this; no path is faster by much.
const MIN_REPEAT_PAUSE: Duration = Duration::from_millis(10);

impl Media {
    /// Takes an SRTCP packet. What is not authentic, or makes no sense, is counted and dropped.
    pub(crate) fn handle_rtcp(&mut self, now: Instant, mut datagram: BytesMut) {
        let Some(srtp) = self.srtp.as_mut().filter(|_| !self.closed) else {
            self.counters.without_keys += 1;
            return;
        };
        if srtp.inbound.unprotect_rtcp(&mut datagram).is_err() {
            self.counters.unprotect_failures += 1;
            return;
        }
        self.tap.see(Tap::RTCP, &datagram);
        // A run of thousands is told in two bytes: no more is looked at in one datagram than is remembered.
        let mut statuses = departures::CAPACITY;
        for packet in packets(&datagram).flatten() {
            match packet {
                Packet::SenderReport(report) => {
                    self.on_sender_report(now, &report);
                    report
                        .reports
                        .iter()
                        .for_each(|block| self.on_report_block(now, &block));
                }
                Packet::ReceiverReport(report) => {
                    report
                        .reports
                        .iter()
                        .for_each(|block| self.on_report_block(now, &block));
                }
                Packet::ExtendedReport(report) => {
                    report
                        .blocks()
                        .for_each(|block| self.on_extended_block(now, report.ssrc, block));
                }
                Packet::Nack(nack) => self.on_nack(now, &nack),
                Packet::PictureLossIndication(pli) => {
                    self.on_keyframe_request(now, pli.media, |stream| stream.sent.plis += 1);
                }
                Packet::FullIntraRequest(request) => {
                    for entry in request.entries.iter() {
                        self.on_fir(now, entry.ssrc, entry.sequence_number);
                    }
                }
                Packet::TransportFeedback(feedback) => {
                    self.on_transport_feedback(now, &feedback, statuses);
                    statuses = statuses.saturating_sub(feedback.packet_status_count.into());
                }
                Packet::ReceiverEstimatedMaxBitrate(remb) => self.remb = Some(remb.bitrate),
                Packet::Bye(bye) => bye.sources.iter().for_each(|ssrc| self.on_bye(ssrc)),
                Packet::CongestionFeedback(feedback) => {
                    self.counters.ccfb_received += 1;
                    statuses -= self.on_congestion_feedback(now, &feedback, statuses);
                }
                Packet::SourceDescription(_) | Packet::App(_) | Packet::Unknown(_) => {}
            }
        }
        self.tell_bandwidth();
    }

    /// How much the path takes has changed, by more than noise.
    pub(super) fn tell_bandwidth(&mut self) {
        let Some(bitrate) = self.available_outgoing_bitrate() else {
            return;
        };
        let told = self.told_bandwidth.unwrap_or(0);
        if self.told_bandwidth.is_none() || bitrate.abs_diff(told) > told / NOISE {
            self.told_bandwidth = Some(bitrate);
            self.events.push_back(Event::BandwidthEstimate(bitrate));
        }
    }

    fn on_sender_report(&mut self, now: Instant, report: &SenderReport<'_>) {
        let sections = self.sections.iter_mut().flatten();
        let mut streams = sections.flat_map(|section| &mut section.receiver.streams);
        if let Some(stream) = streams.find(|stream| stream.ssrc == report.ssrc.0) {
            stream.sender_report = Some(Remembered {
                at: now,
                ntp: report.info.ntp_time,
                timestamp: report.info.rtp_timestamp,
                packets: report.info.packet_count,
                bytes: report.info.octet_count,
                count: stream.sender_report.map_or(0, |before| before.count) + 1,
            });
        }
    }

    /// What the peer says of a stream of ours.
    fn on_report_block(&mut self, now: Instant, block: &ReportBlock) {
        let ntp = self.clock.ntp(now).short();
        let Some((.., stream)) = self.send_stream(block.ssrc) else {
            return;
        };
        // It knows whose packets these are: they need not say it any more.
        stream.is_known = true;
        stream.remote.at = Some(now);
        stream.remote.highest = block.extended_highest_sequence_number;
        stream.remote.packets_lost = block.cumulative_lost.into();
        stream.remote.fraction_lost = f64::from(block.fraction_lost) / 256.0;
        stream.remote.jitter = block.jitter;
        if let Some(round_trip) = round_trip_time(ntp, block.last_sr, block.delay_since_last_sr) {
            stream.remote.round_trip = Some(round_trip);
            stream.remote.total_round_trip += round_trip;
            stream.remote.measurements += 1;
            self.round_trip = Some(round_trip);
        }
    }

    fn on_extended_block(&mut self, now: Instant, ssrc: Ssrc, block: XrBlock<'_>) {
        match block {
            XrBlock::ReceiverReferenceTime(time) => {
                let references = &mut self.schedule.references;
                references.retain(|reference| reference.ssrc != ssrc);
                if references.len() < MAX_REFERENCES {
                    references.push(Reference {
                        ssrc,
                        time: time.short(),
                        at: now,
                    });
                }
            }
            XrBlock::Dlrr(replies) => {
                let ntp: NtpShort = self.clock.ntp(now).short();
                // Whoever of us asked: the clock is the same.
                let measured = replies
                    .iter()
                    .find_map(|reply| round_trip_time(ntp, reply.last_rr, reply.delay));
                if let Some(measured) = measured {
                    self.round_trip = Some(measured);
                    self.round_trips.latest = Some(measured);
                    self.round_trips.total += measured;
                    self.round_trips.count += 1;
                }
            }
            XrBlock::Unknown { .. } => {}
        }
    }

    /// Puts what is asked for in line again, if it is still there.
    fn on_nack(&mut self, now: Instant, nack: &Nack<'_>) {
        let pause = self.round_trip.unwrap_or_default().max(MIN_REPEAT_PAUSE);
        let is_full = self.line.bytes() > MAX_QUEUED;
        let now = self.clock.moment(now);
        let mut again = Vec::new();
        let Some((section, index, stream)) = self.active_stream(nack.media) else {
            return;
        };
        stream.sent.nacks += 1;
        if is_full {
            return;
        }
        for number in nack.lost() {
            again.extend(stream.history.repeat(now, number.0, pause).cloned());
        }
        for packet in again {
            self.line.push(Queued {
                section,
                stream: index,
                paced: false,
                what: match packet {
                    Again::Packet(packet) => What::Rtx(packet),
                    Again::Datagram(repeat) => What::Repeat(repeat),
                },
            });
        }
    }

    fn on_fir(&mut self, now: Instant, ssrc: Ssrc, command: u8) {
        let round_trip = self
            .round_trip
            .map_or(DEFAULT_ROUND_TRIP, |time| time.min(MAX_ROUND_TRIP));
        let Some((.., stream)) = self.active_stream(ssrc) else {
            return;
        };
        // "If it receives repetitions of the FIR more than 2*RTT after it has sent a decoder refresh point, it shall send a new decoder
        // refresh point" (RFC 5104 §3.5.1.1). When it was asked for is no later.
        let is_answered = |asked| now.saturating_duration_since(asked) <= 2 * round_trip;
        if stream.fir_command == Some(command) && stream.keyframe_asked.is_some_and(is_answered) {
            return;
        }
        stream.fir_command = Some(command);
        self.on_keyframe_request(now, ssrc, |stream| stream.sent.firs += 1);
    }

    fn on_keyframe_request(&mut self, now: Instant, ssrc: Ssrc, count: impl FnOnce(&mut SendStream)) {
        let Some((section, _, stream)) = self.active_stream(ssrc) else {
            return;
        };
        count(stream);
        let is_repeated = |before| now.saturating_duration_since(before) < KEYFRAME_PAUSE;
        if stream.keyframe_asked.is_some_and(is_repeated) {
            return;
        }
        stream.keyframe_asked = Some(now);
        let rid = stream.encoding.rid.as_deref().map(Into::into);
        if let Some(Some(section)) = self.sections.get(section) {
            self.events
                .push_back(Event::KeyframeRequest(section.agreed.transceiver, rid));
        }
    }

    fn on_transport_feedback(&mut self, now: Instant, feedback: &TransportFeedback<'_>, most: usize) {
        let reference = feedback.reference_time();
        let reference_micros = self.departures.unwrap_arrival(reference);
        let arrivals = feedback.packets().take(most).map(|(_, reception)| match reception {
            Reception::NotReceived => Arrival::Lost,
            Reception::Untimed => Arrival::Untimed,
            Reception::At(time) => Arrival::At(reference_micros.saturating_add(time.micros_since(reference))),
        });
        self.departures.on_feedback(feedback.base_sequence_number, arrivals);
        self.estimate(now);
    }

    /// Makes an estimate and a pace of what the peer told first.
    pub(super) fn estimate(&mut self, now: Instant) {
        let reports = self.departures.take_reports();
        if reports.len() == 0 {
            return;
        }
        let make = || Box::new(Estimator::new(self.born, Bounds::DEFAULT));
        let estimator = self.estimator.get_or_insert_with(make);
        let round_trip = self.round_trip.unwrap_or_default();
        match &mut self.prober {
            Some(prober) => estimator.on_probed_report(now, round_trip, reports, prober),
            None => estimator.on_report(now, round_trip, reports),
        }
        self.line.set_bitrate(estimator.target());
    }

    /// The peer's stream has ended.
    fn on_bye(&mut self, ssrc: Ssrc) {
        let mut receivers = self.sections.iter_mut().flatten().map(|section| &mut section.receiver);
        let ended = receivers.find_map(|receiver| receiver.end_stream(ssrc.0));
        let (rid, rtx_ssrc) = ended.map_or((None, None), |ended| (ended.rid, ended.rtx_ssrc));
        self.routes.end(ssrc.0, rid, rtx_ssrc);
        self.retire_inbound(&[ssrc.0]);
        self.retire_inbound(rtx_ssrc.as_slice());
    }

    /// The same, if it is to send: what asks for more of one that has stopped came late.
    fn active_stream(&mut self, ssrc: Ssrc) -> Option<(usize, usize, &mut SendStream)> {
        let (section, ..) = self.send_stream(ssrc)?;
        let sends = |section: &super::Section| section.agreed.send.is_some();
        self.sections[section].as_ref().filter(|section| sends(section))?;
        self.send_stream(ssrc).filter(|(.., stream)| stream.encoding.active)
    }

    /// A stream of ours, with the index of its section and its own.
    fn send_stream(&mut self, ssrc: Ssrc) -> Option<(usize, usize, &mut SendStream)> {
        let sections = self.sections.iter_mut().enumerate();
        sections
            .filter_map(|(index, section)| Some((index, section.as_mut()?)))
            .find_map(|(section, found)| {
                let mut streams = found.sender.streams.iter_mut().enumerate();
                let (index, stream) = streams.find(|(_, stream)| stream.encoding.ssrc == ssrc.0)?;
                Some((section, index, stream))
            })
    }
}

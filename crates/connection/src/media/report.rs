//! RTCP that we send: reports on a schedule (RFC 3550 §6), requests when they are due (RFC 4585).

use std::time::{Duration, Instant};

use peerline_rtp::rtcp::{
    ArrivalTime, Bye, DelaySinceLastRr, ExtendedReport, FirEntry, FullIntraRequest, Nack, PictureLossIndication,
    ReceiverEstimatedMaxBitrate, ReceiverReport, ReportBlock, SenderInfo, SenderReport, SourceDescription,
    TransportFeedback,
};
use peerline_rtp::{NtpShort, Serial16, Ssrc};
use rand::RngExt;
use rand::rngs::StdRng;

use super::dtmf::Dtmf;
use super::outgoing::Outgoing;
use super::packet::ReceiveMode;
use super::receive_stream::ReceiveStream;
use super::{Media, Queued, Section, What};
use crate::event::Event;

/// When reports are due, and what they reply to.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    due: Option<Instant>,
    /// Receivers' reference times, to be replied to in the next report (RFC 3611 §4.4).
    pub(super) references: Vec<Reference>,
}

/// A receiver's reference time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reference {
    pub(super) ssrc: Ssrc,
    pub(super) time: NtpShort,
    pub(super) at: Instant,
}

/// Between two reports, on average. RFC 3550 §6.2 has 5 s as the least for two; with RFC 4585's profile there is none, and
/// browsers report on video each second.
const INTERVAL: Duration = Duration::from_secs(1);

/// What is taken for the round-trip time until one was measured.
pub(super) const DEFAULT_ROUND_TRIP: Duration = Duration::from_millis(100);

/// Nobody waits longer for a packet to come again: what was measured may be nonsense.
pub(super) const MAX_ROUND_TRIP: Duration = Duration::from_secs(1);

/// Blocks in one report, and senders in one datagram: so that both fit.
const MAX_BLOCKS: usize = 20;
const MAX_SENDERS: usize = 4;
/// References replied to: more would be the work of one who makes up SSRCs.
pub(super) const MAX_REFERENCES: usize = 16;
/// Sequence numbers in one request.
const MAX_LOST: usize = 250;
/// Streams that an estimate of the bandwidth names.
const MAX_ESTIMATED: usize = 64;
/// RTCP packets that wait to be sent.
const MAX_CONTROL: usize = 64;
/// Streams named in one goodbye.
const MAX_GOODBYES: usize = 31;

impl Schedule {
    /// Reports begin.
    pub(super) fn begin(&mut self, now: Instant, rng: &mut StdRng) {
        self.due = Some(now + INTERVAL.mul_f64(rng.random_range(0.25..0.5)));
    }

    /// True if a report is due; then the next is in the future. "The interval … is varied randomly over the range [0.5,1.5]
    /// times the calculated interval" (RFC 3550 §6.2).
    fn take_due(&mut self, now: Instant, rng: &mut StdRng) -> bool {
        let is_due = self.due.is_some_and(|due| due <= now);
        if is_due {
            self.due = Some(now + INTERVAL.mul_f64(rng.random_range(0.5..1.5)));
        }
        is_due
    }
}

impl Media {
    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.srtp.as_ref().filter(|_| !self.closed)?;
        let receivers = self.sections.iter().flatten();
        receivers
            .flat_map(|section| {
                let dtmf = section.sender.dtmf.as_ref().and_then(Dtmf::poll_timeout);
                [section.receiver.poll_timeout(), dtmf]
            })
            .flatten()
            .chain(self.arrivals.poll_timeout())
            .chain(
                self.stream_arrivals
                    .as_ref()
                    .and_then(|arrivals| arrivals.poll_timeout()),
            )
            .chain(self.line.poll_timeout())
            .chain(self.prober.as_ref().and_then(|prober| prober.poll_timeout()))
            .chain(self.schedule.due)
            .min()
    }

    /// Gives up what has been waited for long enough, and writes the RTCP that is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.srtp.is_none() || self.closed {
            return;
        }
        for index in 0..self.sections.len() {
            let Some(section) = &mut self.sections[index] else {
                continue;
            };
            if section.receiver.handle_timeout(now) {
                self.events.push_back(Event::MediaReadable(section.agreed.transceiver));
            }
            self.play_dtmf(now, index);
            self.request(now, index);
        }
        self.line.handle_timeout(now);
        if let Some(prober) = &mut self.prober {
            prober.handle_timeout(now);
        }
        while self.tell_arrivals(now) {}
        self.tell_streams(now);
        if self.schedule.take_due(now, &mut self.rng) {
            self.report(now);
        }
    }

    /// Puts the tones of a section in line that are due.
    fn play_dtmf(&mut self, now: Instant, index: usize) {
        let Self {
            sections, line, events, ..
        } = self;
        let Some(Some(section)) = sections.get_mut(index) else {
            return;
        };
        let transceiver = section.agreed.transceiver;
        let enqueue = |packet: Outgoing| {
            line.push(Queued {
                section: index,
                stream: 0,
                paced: false,
                what: What::First(packet),
            });
        };
        let tell = |tone| events.push_back(Event::ToneChange(transceiver, tone));
        section.sender.play_dtmf(now, enqueue, tell);
    }

    /// Who speaks in RTCP: a stream of ours if there is one.
    pub(super) fn speaker(&self) -> Ssrc {
        let sections = self.sections.iter().flatten();
        sections
            .filter(|section| section.agreed.send.is_some())
            .flat_map(|section| &section.sender.streams)
            .find(|stream| stream.latest.is_some())
            .map_or(self.reporter, |stream| Ssrc(stream.encoding.ssrc))
    }

    /// What a feedback packet begins with, where reduced size was not agreed on: "all RTCP packets MUST be sent in a compound
    /// packet of at least two individual packets" (RFC 3550 §6.1).
    pub(super) fn begin_feedback(&self, reduced_size: bool) -> Vec<u8> {
        let mut out = Vec::new();
        if !reduced_size {
            ReceiverReport::write(&mut out, self.speaker(), &[]);
            SourceDescription::write_cname(&mut out, self.speaker(), self.cname());
        }
        out
    }

    fn cname(&self) -> &str {
        let senders = self.sections.iter().flatten().map(|section| &*section.sender.cname);
        senders
            .into_iter()
            .find(|cname| !cname.is_empty())
            .unwrap_or("peerline")
    }

    /// Asks for what a section's streams miss: packets, and keyframes.
    fn request(&mut self, now: Instant, index: usize) {
        let sender = self.speaker();
        let round_trip = self
            .round_trip
            .map_or(DEFAULT_ROUND_TRIP, |time| time.min(MAX_ROUND_TRIP));
        let mut written = Vec::new();
        let Some(section) = self.sections.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        let Section { agreed, receiver, .. } = section;
        let mut lost = Vec::new();
        if receiver.mode == ReceiveMode::Nothing {
            return;
        }
        for stream in &mut receiver.streams {
            let media = Ssrc(stream.ssrc);
            stream.take_missing(now, round_trip, &mut lost);
            for lost in lost.chunks(MAX_LOST) {
                let mut out = Vec::new();
                Nack::write(&mut out, sender, media, lost.iter().copied().map(Serial16));
                written.push(out);
            }
            lost.clear();
            if !stream.take_keyframe_request(now) {
                continue;
            }
            let mut out = Vec::new();
            match receiver.codecs.get(stream.payload_type) {
                Some(codec) if codec.fir && !codec.pli => {
                    stream.got.firs += 1;
                    let entry = FirEntry {
                        ssrc: media,
                        sequence_number: stream.keyframe_request.take_fir_command(),
                    };
                    FullIntraRequest::write(&mut out, sender, &[entry]);
                }
                Some(codec) if codec.pli => {
                    stream.got.plis += 1;
                    PictureLossIndication { sender, media }.write(&mut out);
                }
                _ => continue,
            }
            written.push(out);
        }
        let reduced_size = agreed.reduced_size;
        for request in written {
            let mut out = self.begin_feedback(reduced_size);
            out.extend_from_slice(&request);
            self.send_control(out);
        }
    }

    /// Tells when packets came, by their numbers in the transport; false if nothing was due.
    fn tell_arrivals(&mut self, now: Instant) -> bool {
        if self.arrivals.poll_timeout().is_none_or(|due| due > now) {
            return false;
        }
        let sender = self.speaker();
        let sections = || self.sections.iter().flatten();
        let reduced_size = sections().all(|section| section.agreed.reduced_size);
        let media = sections()
            .flat_map(|section| &section.receiver.streams)
            .next()
            .map_or(Ssrc(0), |stream| Ssrc(stream.ssrc));
        let mut out = self.begin_feedback(reduced_size);
        let room = self.mtu.saturating_sub(out.len() + MAX_RTCP_TRAILER);
        let born = self.born;
        let count = self.arrivals.count;
        let Some((base, times)) = self.arrivals.due(now) else {
            return false;
        };
        let arrival = |at: Instant| ArrivalTime::from_duration(at.saturating_duration_since(born) + BEFORE_BIRTH);
        let packets = (0u16..)
            .zip(times)
            .map(|(offset, at)| (base.add(offset), at.map(arrival)));
        match TransportFeedback::write(&mut out, sender, media, count, base, room, packets) {
            Some(written) => {
                self.arrivals.told(written.next.0.wrapping_sub(base.0).into());
                self.send_control(out);
            }
            // It has room for one at least: nothing came.
            None => {
                let nothing = times.len();
                self.arrivals.forget(nothing);
            }
        }
        true
    }

    /// Puts RTCP in line. While nothing can be sent, the oldest of it makes room: it would say what is no longer so.
    pub(super) fn send_control(&mut self, packet: Vec<u8>) {
        if self.control.len() >= MAX_CONTROL {
            self.control.pop_front();
        }
        self.control.push_back(packet);
    }

    /// Writes a report on everything: what each stream of ours has sent, and what came of the peer's.
    pub(super) fn report(&mut self, now: Instant) {
        let blocks = self.report_blocks(now);
        let senders = self.sender_infos(now);
        let speaker = self.speaker();
        let cname = self.cname().to_owned();
        let mut blocks = blocks.chunks(MAX_BLOCKS);
        let mut senders = senders.chunks(MAX_SENDERS);
        let mut is_first = true;
        loop {
            let (blocks, senders) = (blocks.next(), senders.next());
            if blocks.is_none() && senders.is_none() && !is_first {
                return;
            }
            let mut out = Vec::new();
            let blocks = blocks.unwrap_or_default();
            match senders.unwrap_or_default() {
                [] => {
                    ReceiverReport::write(&mut out, speaker, blocks);
                    SourceDescription::write_cname(&mut out, speaker, &cname);
                }
                [(ssrc, info), others @ ..] => {
                    SenderReport::write(&mut out, *ssrc, info, blocks);
                    SourceDescription::write_cname(&mut out, *ssrc, &cname);
                    for (ssrc, info) in others {
                        SenderReport::write(&mut out, *ssrc, info, &[]);
                        SourceDescription::write_cname(&mut out, *ssrc, &cname);
                    }
                }
            }
            if is_first {
                self.write_extended(now, &mut out, speaker);
                self.tell_estimate(&mut out, speaker);
            }
            is_first = false;
            self.send_control(out);
        }
    }

    /// Our reference time, by whose replies one who only receives knows the round trip, and replies to the peer's.
    fn write_extended(&mut self, now: Instant, out: &mut Vec<u8>, speaker: Ssrc) {
        let time = self.clock.ntp(now);
        let replies: Vec<_> = self
            .schedule
            .references
            .drain(..)
            .map(|reference| DelaySinceLastRr {
                ssrc: reference.ssrc,
                last_rr: reference.time,
                delay: NtpShort::from_duration(now.saturating_duration_since(reference.at)),
            })
            .collect();
        ExtendedReport::write(out, speaker, |blocks| {
            blocks.receiver_reference_time(time);
            if !replies.is_empty() {
                blocks.dlrr(&replies);
            }
        });
    }

    /// What the peer may send at most, of all its streams together that were agreed to go by it: in the report `out`, or, if that is
    /// too long, beside it.
    fn tell_estimate(&mut self, out: &mut Vec<u8>, speaker: Ssrc) {
        let Some(bitrate) = self.max_receive_bitrate else {
            return;
        };
        let receivers = self.sections.iter().flatten().map(|section| &section.receiver);
        let streams = receivers.flat_map(|receiver| {
            let codec = |stream: &ReceiveStream| receiver.codecs.get(stream.payload_type);
            let goes_by_it = move |stream: &&ReceiveStream| codec(stream).is_some_and(|codec| codec.remb);
            receiver.streams.iter().filter(goes_by_it)
        });
        let sources: Vec<_> = streams.map(|stream| Ssrc(stream.ssrc)).take(MAX_ESTIMATED).collect();
        if sources.is_empty() {
            return;
        }
        let report_len = out.len();
        ReceiverEstimatedMaxBitrate::write(out, speaker, bitrate, &sources);
        if out.len() + MAX_RTCP_TRAILER > self.mtu {
            let estimate = out.split_off(report_len);
            let mut beside = self.begin_feedback(false);
            beside.extend_from_slice(&estimate);
            self.send_control(beside);
        }
    }

    /// What came of each stream of the peer's since the report before.
    fn report_blocks(&mut self, now: Instant) -> Vec<ReportBlock> {
        let sections = self.sections.iter_mut().flatten();
        let streams = sections.flat_map(|section| &mut section.receiver.streams);
        let heard = streams.filter(|stream| stream.reception.has_news());
        heard
            .map(|stream| {
                let loss = stream.reception.report();
                let sender_report = stream.sender_report;
                let delay = sender_report.map(|report| now.saturating_duration_since(report.at));
                ReportBlock {
                    ssrc: Ssrc(stream.ssrc),
                    fraction_lost: loss.fraction,
                    cumulative_lost: loss.cumulative.clamp(i32::MIN.into(), i32::MAX.into()) as i32,
                    extended_highest_sequence_number: stream.reception.extended_highest(),
                    jitter: stream.reception.jitter(),
                    last_sr: sender_report.map_or(NtpShort(0), |report| report.ntp.short()),
                    delay_since_last_sr: delay.map_or(NtpShort(0), NtpShort::from_duration),
                }
            })
            .collect()
    }

    /// What each stream of ours has sent.
    fn sender_infos(&mut self, now: Instant) -> Vec<(Ssrc, SenderInfo)> {
        let sections = self.sections.iter_mut().flatten();
        let streams = sections
            .filter(|section| section.agreed.send.is_some())
            .flat_map(|section| &mut section.sender.streams);
        let ntp_time = self.clock.ntp(now);
        streams
            .filter_map(|stream| {
                // "The SR is issued if a site has sent any data packets during the interval since issuing the last report or the
                // previous one, otherwise the RR is issued" (RFC 3550 §6.4).
                let sent = stream.sent.packets;
                let [last, previous] = stream.reported;
                stream.reported = [sent, last];
                if sent == previous {
                    return None;
                }
                let info = SenderInfo {
                    ntp_time,
                    rtp_timestamp: stream.timestamp_at(now)?,
                    // The stream of retransmissions is another.
                    packet_count: (sent - stream.sent.rtx_packets) as u32,
                    octet_count: (stream.sent.bytes - stream.sent.rtx_bytes) as u32,
                };
                Some((Ssrc(stream.encoding.ssrc), info))
            })
            .collect()
    }

    /// Streams of ours have ended (RFC 3550 §6.6).
    pub(super) fn say_goodbye(&mut self, ended: &[u32]) {
        for ended in ended.chunks(MAX_GOODBYES) {
            let ended: Vec<_> = ended.iter().copied().map(Ssrc).collect();
            let mut out = self.begin_feedback(false);
            Bye::write(&mut out, &ended, None);
            self.send_control(out);
        }
    }
}

/// SRTCP's index and tag, at most.
pub(super) const MAX_RTCP_TRAILER: usize = 4 + 16;

/// Arrival times are told from a little before the first, so that none is zero.
const BEFORE_BIRTH: Duration = Duration::from_millis(64);

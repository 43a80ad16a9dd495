//! Audio and video: the engine that sends and receives what JSEP has agreed on.
//!
//! [`agreed`] is the contract with JSEP, [`parameters`] the W3C's words. [`Media`] holds a [`Section`] for each media section
//! in force: a [`sender`] of [`send_stream`]s, each with a [`history`] for retransmissions, and a [`receiver`] of
//! [`receive_stream`]s, each with a [`reorder`] buffer. [`demux`] finds the stream of a packet
//! by its [`routes`]; [`report`] writes RTCP and
//! [`feedback`] reads it; [`arrivals`] and [`departures`] are the two ends of transport-wide feedback, or of that on streams
//! ([`congestion_feedback`]), of which [`bandwidth`] makes an estimate and [`line`] a pace.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use peerline_rtp::Ssrc;
use peerline_srtp as srtp;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::capture::Tap;
use crate::event::Event;
use crate::transceiver::TransceiverId;
use agreed::Agreed;
use arrivals::Arrivals;
use bandwidth::{Estimator, Prober};
use clock::Clock;
use congestion_feedback::StreamArrivals;
use departures::Departures;
use history::{Again, Repeat};
use line::Line;
use outgoing::{Hop, Outgoing};
use receiver::Receiver;
use routes::Routes;
use sender::Sender;

pub(crate) mod agreed;
mod api;
mod arrivals;
mod bandwidth;
pub(crate) mod capabilities;
mod clock;
mod codecs;
mod congestion_feedback;
mod demux;
mod departures;
pub(crate) mod dtmf;
pub(crate) mod extensions;
mod feedback;
mod frame_rate;
mod history;
mod line;
mod missing;
mod outgoing;
pub(crate) mod packet;
mod padding;
pub(crate) mod parameters;
mod receive_stream;
mod receiver;
mod reception;
mod reorder;
mod report;
mod routes;
mod send_stream;
mod sender;
mod sequence;
pub(crate) mod sources;
pub(crate) mod statistics;
mod template;

/// What one connection sends and receives as RTP.
pub(crate) struct Media {
    /// By index; places of sections that are gone are used again.
    sections: Vec<Option<Section>>,
    routes: Routes,
    srtp: Option<Srtp>,
    /// The largest datagram that is made here, in bytes of UDP payload.
    mtu: usize,
    /// The largest datagram of a packet that was made elsewhere: it may have grown by a tag and an extension on its way, which is
    /// no reason to lose it.
    max_mtu: usize,
    /// Packets to be sent.
    line: Line,
    /// RTCP to be sent, before them.
    control: VecDeque<Vec<u8>>,
    arrivals: Arrivals,
    /// Where they are told by their streams.
    stream_arrivals: Option<Box<StreamArrivals>>,
    departures: Departures,
    /// How much the path takes, once the peer tells what became of packets.
    estimator: Option<Box<Estimator>>,
    /// What probes for more, if the application wants more.
    prober: Option<Box<Prober>>,
    /// The estimate that was told last.
    told_bandwidth: Option<u64>,
    schedule: report::Schedule,
    clock: Clock,
    /// The latest round trip that was measured.
    round_trip: Option<Duration>,
    /// What the peer's replies to our extended reports told.
    round_trips: RoundTrips,
    /// The peer's latest estimate of the bandwidth, in bits a second.
    remb: Option<u64>,
    /// What the peer is told to send at most, in bits a second.
    max_receive_bitrate: Option<u64>,
    born: Instant,
    /// Nothing more is received or sent but goodbyes.
    closed: bool,
    /// The sender of reports while nothing is sent (RFC 3550 §6.4.2).
    reporter: Ssrc,
    rng: StdRng,
    events: VecDeque<Event>,
    pub(crate) tap: Tap,
    counters: Counters,
}

/// One media section in force.
pub(super) struct Section {
    agreed: Agreed,
    sender: Sender,
    receiver: Receiver,
    /// What the application would send if the path took it, in bits a second.
    desired: Option<u64>,
}

/// Both directions of SRTP, once DTLS has made keys.
struct Srtp {
    outbound: srtp::Outbound,
    inbound: srtp::Inbound,
}

/// A packet that waits to be sent.
struct Queued {
    section: usize,
    stream: usize,
    /// It is of a picture, and leaves when the pace allows.
    paced: bool,
    what: What,
}

enum What {
    /// A packet for the first time.
    First(Outgoing),
    /// A packet again, in the stream of retransmissions.
    Rtx(Outgoing),
    /// A datagram again, as it was.
    Repeat(Repeat),
    /// Padding alone, in the stream of retransmissions.
    Padding,
}

/// Round trips that were measured.
#[derive(Clone, Copy, Debug, Default)]
struct RoundTrips {
    latest: Option<Duration>,
    total: Duration,
    count: u64,
}

/// What was dropped, and why; and what else is counted of no stream.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counters {
    /// Came before there were keys, or after the end.
    pub(crate) without_keys: u64,
    /// Not authentic, replayed, or no RTP or RTCP at all.
    pub(crate) unprotect_failures: u64,
    /// Authentic, but of no stream that was agreed on.
    pub(crate) unknown_streams: u64,
    /// Packets of congestion control feedback (RFC 8888).
    pub(crate) ccfb_sent: u64,
    pub(crate) ccfb_received: u64,
}

/// What waits to be sent is no more than this, in bytes of payload.
const MAX_QUEUED: usize = 16 << 20;

impl Media {
    pub(crate) fn new(now: Instant, config: &crate::Config, seed: [u8; 32]) -> Self {
        let mut rng = StdRng::from_seed(seed);
        Self {
            sections: Vec::new(),
            routes: Routes::default(),
            srtp: None,
            mtu: config.mtu,
            max_mtu: config.mtu.max(config.max_mtu),
            line: Line::default(),
            control: VecDeque::new(),
            arrivals: Arrivals::default(),
            stream_arrivals: None,
            departures: Departures::default(),
            estimator: None,
            prober: None,
            told_bandwidth: None,
            schedule: report::Schedule::default(),
            clock: Clock::new(config.wall_clock, now),
            round_trip: None,
            round_trips: RoundTrips::default(),
            remb: None,
            max_receive_bitrate: None,
            tap: Tap::new(config.capture.as_ref()),
            born: now,
            closed: false,
            reporter: Ssrc(rng.random()),
            rng,
            events: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// Obeys what was agreed on: all sections in force. Those that go on keep their streams.
    pub(crate) fn configure(&mut self, agreed: Vec<Agreed>) {
        let mut ended = Vec::new();
        for index in 0..self.sections.len() {
            let goes_on = |section: &Section| agreed.iter().any(|new| new.transceiver == section.agreed.transceiver);
            if self.sections[index].as_ref().is_some_and(|section| !goes_on(section))
                && let Some(section) = self.sections[index].take()
            {
                ended.extend(section.sender.ssrcs());
                self.line.retain(|queued| queued.section != index);
                // Another section may take its place.
                let theirs = self.routes.forget_section(index);
                self.retire_inbound(&theirs);
            }
        }
        for agreed in agreed {
            ended.extend(self.configure_section(agreed));
        }
        self.routes.configure(&self.sections);
        self.choose_feedback();
        self.choose_probes();
        self.retire_outbound(&ended);
        if self.srtp.is_some() && !ended.is_empty() {
            self.say_goodbye(&ended);
        }
    }

    /// Obeys for one section; the SSRCs of its streams that end.
    fn configure_section(&mut self, agreed: Agreed) -> Vec<u32> {
        let is_same = |section: &Option<Section>| {
            section
                .as_ref()
                .is_some_and(|section| section.agreed.transceiver == agreed.transceiver)
        };
        let index = self.sections.iter().position(is_same).unwrap_or_else(|| {
            let section = Some(Section {
                agreed: agreed.clone(),
                sender: Sender::new(),
                receiver: Receiver::new(agreed.kind),
                desired: None,
            });
            match self.sections.iter().position(Option::is_none) {
                Some(free) => {
                    self.sections[free] = section;
                    free
                }
                None => {
                    self.sections.push(section);
                    self.sections.len() - 1
                }
            }
        });
        let Some(section) = &mut self.sections[index] else {
            return Vec::new();
        };
        let before = section.sender.ssrcs();
        let ended = match &agreed.send {
            Some(sending) => section.sender.configure(sending, &mut self.rng),
            // It may send again: its streams keep their numbers, and say nothing meanwhile.
            None => {
                section.sender.pause();
                Vec::new()
            }
        };
        match &agreed.receive {
            Some(receiving) => section.receiver.configure(receiving),
            None => section.receiver.pause(),
        }
        section.agreed = agreed;
        let after = section.sender.ssrcs();
        let Section { agreed, sender, .. } = section;
        let sends = agreed.send.is_some();
        self.line.retain(|queued| {
            let is_agreed = match &queued.what {
                What::First(packet) => sender.codecs.get(packet.payload_type).is_some(),
                What::Rtx(_) | What::Repeat(_) | What::Padding => true,
            };
            // Streams have other places if there are others.
            queued.section != index || (sends && before == after && is_agreed)
        });
        ended
    }

    /// DTLS has made keys.
    pub(crate) fn connect(&mut self, now: Instant, ours: &srtp::MasterKey, theirs: &srtp::MasterKey) {
        self.srtp = Some(Srtp {
            outbound: srtp::Outbound::new(ours, srtp::Config::default()),
            inbound: srtp::Inbound::new(theirs, srtp::Config::default()),
        });
        self.schedule.begin(now, &mut self.rng);
    }

    /// Protects a packet that was made elsewhere as one of ours; false if it cannot be.
    pub(crate) fn protect(&mut self, packet: &mut Vec<u8>, is_rtcp: bool) -> bool {
        let protected = self.srtp.as_mut().map(|srtp| match is_rtcp {
            true => srtp.outbound.protect_rtcp(packet, 0),
            false => srtp.outbound.protect_rtp(packet, 0),
        });
        protected.is_some_and(|protected| protected.is_ok())
    }

    /// Packets take another path from now on. What was known of how much the one before takes says nothing about it.
    pub(crate) fn path_changed(&mut self, now: Instant) {
        self.departures.path_changed();
        if let Some(prober) = &mut self.prober {
            prober.path_changed();
        }
        if let Some(estimator) = &mut self.estimator {
            estimator.path_changed(now);
            self.line.set_bitrate(estimator.target());
            self.tell_bandwidth();
        }
    }

    /// The connection closes: what waits is dropped, the streams that have begun end with a goodbye, and nothing follows. "When a
    /// participant wishes to leave a session, a BYE packet is transmitted to inform the other participants of the event"
    /// (RFC 3550 §6.3.7); those that never sent anything must not.
    pub(crate) fn close(&mut self) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        self.line.clear();
        self.control.clear();
        self.events.clear();
        let sections = self.sections.iter().flatten();
        let streams = sections.flat_map(|section| &section.sender.streams);
        let sent = streams.filter(|stream| stream.sent.packets > 0);
        let ended: Vec<_> = sent.map(|stream| stream.encoding.ssrc).collect();
        if self.srtp.is_some() {
            self.say_goodbye(&ended);
        }
    }

    /// Streams of the peer's have ended, though they may come back: SRTP keeps what makes replays of them fail (RFC 3711 §3.3.2), and
    /// no more.
    fn retire_inbound(&mut self, ended: &[u32]) {
        if let Some(srtp) = &mut self.srtp {
            ended.iter().for_each(|ssrc| srtp.inbound.retire(*ssrc));
        }
    }

    /// Streams of ours have ended, though they may come back: SRTP keeps what makes each index serve once (RFC 3711 §9.1), and no
    /// more.
    fn retire_outbound(&mut self, ended: &[u32]) {
        if let Some(srtp) = &mut self.srtp {
            ended.iter().for_each(|ssrc| srtp.outbound.retire(*ssrc));
        }
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.srtp.is_some()
    }

    fn section_of(&mut self, transceiver: TransceiverId) -> Option<(usize, &mut Section)> {
        let sections = self.sections.iter_mut().enumerate();
        sections
            .filter_map(|(index, section)| Some((index, section.as_mut()?)))
            .find(|(_, section)| section.agreed.transceiver == transceiver)
    }

    // --- out

    /// Appends one datagram: RTCP first, then packets in their order.
    pub(crate) fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<usize> {
        let start = out.len();
        let srtp = self.srtp.as_mut()?;
        while let Some(control) = self.control.pop_front() {
            out.extend_from_slice(&control);
            self.tap.see(Tap::RTCP, &control);
            if srtp.outbound.protect_rtcp(out, start).is_ok() {
                return Some(out.len() - start);
            }
        }
        while let Some(queued) = self.line.pop(now) {
            if self.transmit(now, queued, out, start) {
                return Some(out.len() - start);
            }
        }
        self.transmit_padding(now, out, start)
    }

    /// Appends a packet, protected; false and nothing appended if its stream is gone or its key has been used up.
    fn transmit(&mut self, now: Instant, queued: Queued, out: &mut Vec<u8>, start: usize) -> bool {
        let (Some(srtp), Some(section)) = (
            &mut self.srtp,
            self.sections.get_mut(queued.section).and_then(Option::as_mut),
        ) else {
            return false;
        };
        let Section { agreed, sender, .. } = section;
        let Sender {
            codecs, ids, streams, ..
        } = sender;
        let Some(stream) = streams.get_mut(queued.stream) else {
            return false;
        };
        let now = self.clock.moment(now);
        let hop = Hop {
            named: !stream.is_known,
            abs_send_time: now.abs_send_time,
            transport_number: self.departures.next(),
        };
        let payload_len = match queued.what {
            What::Repeat(Repeat { datagram, payload_len }) => {
                // It has its number in the transport from before.
                stream.sent.count(datagram.len(), payload_len);
                stream.sent.retransmitted_packets += 1;
                stream.sent.retransmitted_bytes += payload_len as u64;
                out.extend_from_slice(&datagram);
                return true;
            }
            What::Rtx(packet) => {
                let Some(rtx) = stream.take_rtx(codecs, packet.payload_type) else {
                    return false;
                };
                packet.write_rtx(out, rtx, ids, stream.encoding.names(&agreed.mid), hop);
                self.tap.see(Tap::RTP, &out[start..]);
                if srtp.outbound.protect_rtp(out, start).is_err() {
                    return false;
                }
                stream.sent.retransmitted_packets += 1;
                stream.sent.retransmitted_bytes += packet.payload.len() as u64;
                stream.sent.rtx_packets += 1;
                stream.sent.rtx_bytes += packet.payload.len() as u64;
                packet.payload.len()
            }
            What::Padding => {
                let Some(latest) = stream.latest else {
                    return false;
                };
                let Some(rtx) = stream.take_rtx(codecs, latest.payload_type) else {
                    return false;
                };
                outgoing::write_padding(out, rtx, latest.timestamp, ids, stream.encoding.names(&agreed.mid), hop);
                self.tap.see(Tap::RTP, &out[start..]);
                if srtp.outbound.protect_rtp(out, start).is_err() {
                    return false;
                }
                stream.sent.rtx_packets += 1;
                0
            }
            What::First(packet) => {
                stream.write(out, &packet, ids, &agreed.mid, hop);
                self.tap.see(Tap::RTP, &out[start..]);
                if srtp.outbound.protect_rtp(out, start).is_err() {
                    return false;
                }
                let len = packet.payload.len();
                if codecs.get(packet.payload_type).is_some_and(|codec| codec.nack) {
                    let number = packet.sequence_number.0;
                    let has_rtx = stream.encoding.rtx_ssrc.is_some() && codecs.rtx_of(packet.payload_type).is_some();
                    let again = if has_rtx {
                        Again::Packet(packet)
                    } else {
                        Again::Datagram(Repeat {
                            datagram: bytes::Bytes::copy_from_slice(&out[start..]),
                            payload_len: len,
                        })
                    };
                    stream.history.keep(now, number, again);
                }
                len
            }
        };
        let datagram_len = out.len() - start;
        stream.sent.count(datagram_len, payload_len);
        if ids.transport_number.is_some() {
            self.departures.on_sent(now.at, datagram_len);
        } else {
            self.departures.on_stream_sent(now.at, &out[start..]);
        }
        true
    }
}

#[cfg(test)]
pub(crate) mod tests;

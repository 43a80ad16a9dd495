//! What comes in as RTP: unprotected, and brought to its stream (RFC 9143 §9.2, RFC 8852 §3).

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use peerline_rtp::{Packet, Serial16};

use super::codecs::Purpose;
use super::dtmf::DtmfTone;
use super::extensions::{ExtensionIds, Extensions};
use super::packet::IncomingPacket;
use super::parameters::MediaKind;
use super::receiver::Receiver;
use super::{Media, Section, sources};
use crate::capture::Tap;
use crate::event::Event;

impl Media {
    /// Takes an SRTP packet. What is not authentic, or belongs nowhere, is counted and dropped.
    pub(crate) fn handle_rtp(&mut self, now: Instant, mut datagram: BytesMut) {
        let Some(srtp) = self.srtp.as_mut().filter(|_| !self.closed) else {
            self.counters.without_keys += 1;
            return;
        };
        if srtp.inbound.unprotect_rtp(&mut datagram).is_err() {
            self.counters.unprotect_failures += 1;
            return;
        }
        self.tap.see(Tap::RTP, &datagram);
        let bytes = datagram.freeze();
        let Ok(packet) = Packet::parse(&*bytes) else {
            self.counters.unprotect_failures += 1;
            return;
        };
        if self.stream_arrivals.is_none()
            && let Some(number) = self.routes.ids.read_transport_number(&packet)
        {
            self.arrivals.on_packet(now, number);
        }
        let Some((section, is_rtx)) = self.route(&packet) else {
            self.counters.unknown_streams += 1;
            return;
        };
        if let Some(arrivals) = &mut self.stream_arrivals {
            arrivals.on_packet(now, packet.ssrc().0, packet.sequence_number());
        }
        if is_rtx {
            self.on_rtx(now, section, &packet, &bytes);
        } else {
            self.on_media(now, section, &packet, &bytes);
        }
    }

    /// The section that the packet is for, and whether it repeats another packet.
    fn route(&mut self, packet: &Packet<&[u8]>) -> Option<(usize, bool)> {
        let ssrc = packet.ssrc().0;
        let mid = ExtensionIds::read_name(packet, self.routes.ids.mid);
        if let Some(route) = self.routes.of(ssrc) {
            let section = self.sections.get(route.section).and_then(Option::as_ref);
            // A stream may move: what a packet says of itself counts (RFC 9143 §9.2).
            if mid.is_none() || section.is_some_and(|section| Some(&*section.agreed.mid) == mid) {
                return Some((route.section, route.is_rtx));
            }
        }
        let payload_type = packet.payload_type().0;
        let takes = |section: &Option<Section>| {
            section.as_ref().is_some_and(|section| {
                section.agreed.receive.is_some() && section.receiver.codecs.get(payload_type).is_some()
            })
        };
        // "If the packet has a MID and it is in the table mapping MID to media section" it decides alone; without one, the
        // payload type does, if only one section has it (RFC 9143 §9.2).
        let section = match mid {
            Some(mid) => self.sections.iter().position(|section| {
                takes(section) && section.as_ref().is_some_and(|section| section.agreed.mid == mid)
            })?,
            None => {
                let mut takers = (0..self.sections.len()).filter(|index| takes(&self.sections[*index]));
                let only = takers.next()?;
                if takers.next().is_some() {
                    return None;
                }
                only
            }
        };
        let receiver = &self.sections[section].as_ref()?.receiver;
        let is_rtx = matches!(receiver.codecs.get(payload_type)?.purpose, Purpose::Rtx(_));
        let sections = &self.sections;
        let is_live = |section: usize, ssrc| {
            let section = sections.get(section).and_then(Option::as_ref);
            section.is_some_and(|section| {
                section.receiver.find(ssrc).is_some() || section.receiver.find_repeated(ssrc).is_some()
            })
        };
        self.routes.learn(ssrc, section, is_rtx, is_live);
        Some((section, is_rtx))
    }

    fn on_media(&mut self, now: Instant, index: usize, packet: &Packet<&[u8]>, bytes: &Bytes) {
        let Self {
            sections, routes, srtp, ..
        } = self;
        let Some(section) = sections.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        let receiver = &mut section.receiver;
        // It may have been agreed on since that nothing comes, or under other numbers.
        if section.agreed.receive.is_none() || receiver.codecs.get(packet.payload_type().0).is_none() {
            self.counters.unknown_streams += 1;
            return;
        }
        let ssrc = packet.ssrc().0;
        let stream = receiver.find(ssrc).unwrap_or_else(|| {
            let (before_rid, before_rtx) = routes.resume(ssrc, index);
            let rid = ExtensionIds::read_name(packet, routes.ids.rid).map(Arc::from);
            let rid = rid.or(before_rid);
            if let Some(ended) = receiver.begin_stream(now, ssrc, rid) {
                for ssrc in [Some(ended.ssrc), ended.rtx_ssrc].into_iter().flatten() {
                    routes.forget(ssrc);
                    if let Some(srtp) = srtp {
                        srtp.inbound.retire(ssrc);
                    }
                }
            }
            let stream = receiver.streams.len() - 1;
            receiver.streams[stream].rtx_ssrc = named_rtx(receiver, ssrc).or(before_rtx);
            stream
        });
        let stream_state = &mut receiver.streams[stream];
        if stream_state.rid.is_none() && !receiver.agreed.rids.is_empty() {
            // The packet that said it may be late, or lost.
            stream_state.rid = ExtensionIds::read_name(packet, routes.ids.rid).map(Into::into);
        }
        let payload = bytes.slice(packet.payload_range());
        stream_state.got.bytes += payload.len() as u64;
        stream_state.got.header_bytes += (bytes.len() - payload.len()) as u64;
        let incoming = IncomingPacket {
            payload,
            marker: packet.marker(),
            payload_type: packet.payload_type().0,
            sequence_number: stream_state.unwrapper.extend(packet.sequence_number()),
            timestamp: packet.timestamp(),
            ssrc,
            csrcs: packet.csrcs().map(|source| source.0).collect(),
            rid: stream_state.rid.clone(),
            extensions: Extensions::read(packet, bytes, &routes.ids),
            received: now,
        };
        if section.agreed.kind == MediaKind::Audio {
            stream_state.level = sources::level(&incoming.extensions);
        }
        if !incoming.csrcs.is_empty() {
            let mixed = incoming.csrcs.iter().copied();
            receiver
                .contributors
                .on_packet(now, incoming.timestamp, mixed, &incoming.extensions);
        }
        let transceiver = section.agreed.transceiver;
        let codec = receiver.codecs.get(incoming.payload_type).copied();
        if let Some(codec) = codec.filter(|codec| codec.purpose == Purpose::TelephoneEvent)
            && let Some((tone, ticks)) = receiver.streams[stream].on_telephone_event(&incoming)
        {
            let duration = Duration::from_secs_f64(f64::from(ticks) / f64::from(codec.clock_rate.max(1)));
            self.events
                .push_back(Event::DtmfTone(transceiver, DtmfTone { tone, duration }));
        }
        if receiver.on_packet(now, stream, incoming, false) {
            self.events.push_back(Event::MediaReadable(transceiver));
        }
    }

    /// A retransmission: the payload has the original's number in front (RFC 4588 §4).
    fn on_rtx(&mut self, now: Instant, index: usize, packet: &Packet<&[u8]>, bytes: &Bytes) {
        let Self { sections, routes, .. } = self;
        let Some(section) = sections.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        let receiver = &mut section.receiver;
        let rtx_ssrc = packet.ssrc().0;
        let purpose = receiver.codecs.get(packet.payload_type().0).map(|codec| codec.purpose);
        let (Some(Purpose::Rtx(payload_type)), Some(number)) = (purpose, packet.payload().first_chunk()) else {
            // Padding that probes the bandwidth, for one.
            return;
        };
        let repaired = ExtensionIds::read_name(packet, routes.ids.repaired_rid);
        let Some(stream) = repeated_stream(receiver, rtx_ssrc, repaired) else {
            return;
        };
        let stream_state = &mut receiver.streams[stream];
        stream_state.rtx_ssrc = Some(rtx_ssrc);
        let payload = bytes.slice(packet.payload_range()).slice(2..);
        stream_state.got.retransmitted_packets += 1;
        stream_state.got.retransmitted_bytes += payload.len() as u64;
        stream_state.got.bytes += payload.len() as u64;
        stream_state.got.header_bytes += (bytes.len() - payload.len()) as u64;
        let incoming = IncomingPacket {
            payload,
            marker: packet.marker(),
            payload_type,
            sequence_number: stream_state.unwrapper.extend(Serial16(u16::from_be_bytes(*number))),
            timestamp: packet.timestamp(),
            ssrc: stream_state.ssrc,
            csrcs: packet.csrcs().map(|source| source.0).collect(),
            rid: stream_state.rid.clone(),
            extensions: Extensions::read(packet, bytes, &routes.ids),
            received: now,
        };
        if receiver.on_packet(now, stream, incoming, true) {
            self.events.push_back(Event::MediaReadable(section.agreed.transceiver));
        }
    }
}

/// The stream that the description says repeats `ssrc`.
fn named_rtx(receiver: &Receiver, ssrc: u32) -> Option<u32> {
    let named = receiver.agreed.streams.iter().find(|(named, _)| *named == ssrc);
    named.and_then(|(_, rtx)| *rtx)
}

/// The stream that `rtx_ssrc` repeats: that of the description, that of its layer, or the only one without.
fn repeated_stream(receiver: &Receiver, rtx_ssrc: u32, rid: Option<&str>) -> Option<usize> {
    receiver.find_repeated(rtx_ssrc).or_else(|| match rid {
        Some(rid) => receiver
            .streams
            .iter()
            // The latest: an earlier one of the layer has ended.
            .rposition(|stream| stream.rid.as_deref() == Some(rid)),
        None => {
            let mut without = (0..receiver.streams.len()).filter(|index| receiver.streams[*index].rtx_ssrc.is_none());
            without.next().filter(|_| without.next().is_none())
        }
    })
}

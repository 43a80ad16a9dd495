//! What leaves: one packet at a time, control chunks first, then a SACK, then DATA (RFC 9260 §6.10).

use std::time::Instant;

use peerline_wire::Serial16;

use crate::association::{Association, CookieEchoed, Open, State};
use crate::shutdown::{Phase, T2};
use crate::tcb::Tcb;
use crate::tx::abandon::Abandoned;
use crate::tx::congestion::delivery::Stamp;
use crate::tx::outstanding::data_header_len;
use crate::tx::send_queue::{News, Room};
use crate::wire::{
    Chunk, CookieEcho, ForwardTsn, Header, IForwardTsn, Packet, Sack, Shutdown, SkippedStream, write_checksum,
    write_header,
};

/// A packet being written at the end of the caller's buffer.
struct Builder<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    /// The most bytes it may have.
    limit: usize,
}

impl<'a> Builder<'a> {
    fn new(out: &'a mut Vec<u8>, header: Header, limit: usize) -> Self {
        let start = out.len();
        write_header(out, header);
        Self { out, start, limit }
    }

    fn room(&self) -> usize {
        self.limit.saturating_sub(self.out.len() - self.start)
    }

    fn is_empty(&self) -> bool {
        self.out.len() - self.start == Header::LEN
    }

    /// Finishes the packet, with its checksum if it must have one. `None`, and nothing left of it, if it has no chunks.
    fn finish(self, zero_checksum: bool) -> Option<usize> {
        if self.is_empty() {
            self.out.truncate(self.start);
            return None;
        }
        if !zero_checksum && let Some(packet) = self.out.get_mut(self.start..) {
            write_checksum(packet);
        }
        Some(self.out.len() - self.start)
    }
}

impl Association {
    pub(crate) fn transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<usize> {
        let sent = self.transmit_reply(out).or_else(|| match &mut self.state {
            State::Closed | State::Ended => None,
            State::CookieWait(_) => self.transmit_init(now, out),
            State::CookieEchoed(echoed) if !echoed.t1.due => None,
            State::CookieEchoed(_) | State::Open(_) => self.transmit_packet(now, out),
        })?;
        self.stats.packets_sent += 1;
        self.stats.bytes_sent += sent as u64;
        Some(sent)
    }

    fn transmit_reply(&mut self, out: &mut Vec<u8>) -> Option<usize> {
        let packet = self.replies.pop_front()?;
        out.extend_from_slice(&packet);
        Some(packet.len())
    }

    fn transmit_init(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<usize> {
        let State::CookieWait(wait) = &mut self.state else {
            return None;
        };
        if !wait.t1.due {
            return None;
        }
        wait.t1.on_sent(now);
        let local = wait.local;
        let parameters = self.parameters();
        let streams = (self.config.outgoing_streams, self.config.incoming_streams);
        let init = Chunk::Init(self.init(local, streams, &parameters));
        let start = out.len();
        Packet::encode(out, self.header(0), &[init]);
        Some(out.len() - start)
    }

    /// A packet that asks whether the path takes its size (RFC 8899 §4.1).
    fn transmit_probe(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<usize> {
        let tcb = self.state.tcb()?;
        let (size, agreement) = (tcb.pmtu.due()?, tcb.agreement);
        let nonce = self.heartbeat_nonce();
        let packet = Builder::new(out, self.header(agreement.peer.tag), size);
        self.state.tcb_mut()?.pmtu.write(now, nonce, packet.out);
        packet.finish(self.config.zero_checksum && agreement.peer_can.zero_checksum)
    }

    fn transmit_packet(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<usize> {
        if matches!(self.state, State::Open(_))
            && let Some(len) = self.transmit_probe(now, out)
        {
            return Some(len);
        }
        self.begin_reset_request();
        self.abandon_expired(now);
        // What has been dropped may have been the last.
        self.advance_shutdown();
        let nonce = match self.state.tcb() {
            Some(tcb) if tcb.heartbeats.due => self.heartbeat_nonce(),
            _ => 0,
        };
        let agreement = self.state.tcb()?.agreement;
        let mut packet = Builder::new(out, self.header(agreement.peer.tag), self.packet_size);
        let mut zero_checksum = self.config.zero_checksum && agreement.peer_can.zero_checksum;
        let echoing = matches!(self.state, State::CookieEchoed(_));
        if let State::CookieEchoed(echoed) = &mut self.state {
            let CookieEchoed { cookie, t1, .. } = &mut **echoed;
            // §5.1.3: COOKIE ECHO comes first. RFC 9653 §5.2: and has a checksum.
            Chunk::CookieEcho(CookieEcho { cookie }).encode(packet.out);
            t1.on_sent(now);
            zero_checksum = false;
        }
        self.write_control(now, nonce, &mut packet);
        let sends_data = match &self.state {
            State::Open(open) => open.phase.sends_data(),
            _ => true,
        };
        // §5.1: in COOKIE-ECHOED nothing is acknowledged yet; DATA may go with the COOKIE ECHO.
        if !echoing {
            let has_data = sends_data && self.has_data_to_send(now, &packet);
            self.write_sack(has_data, &mut packet);
        }
        if sends_data {
            self.write_forward_tsn(now, &mut packet);
            // Only what is sent again if it is lost may go into a packet that the path might take no more.
            packet.limit = self.state.tcb()?.pmtu.current();
            self.write_data(now, !echoing, &mut packet);
        }
        packet.finish(zero_checksum)
    }

    /// A message that is sent in part and has run out of time is given up with its first fragments.
    fn abandon_expired(&mut self, now: Instant) {
        loop {
            let mut news = News {
                events: &mut self.events,
                sent: &mut self.stats.messages_sent,
                abandoned: &mut self.stats.messages_abandoned,
            };
            let Some(message) = self.queue.expired(now, &mut news) else {
                return;
            };
            let Some(tcb) = self.state.tcb_mut() else { return };
            let abandoned = tcb.outstanding.abandon_unfinished(message);
            self.settle_abandoned(&abandoned);
        }
    }

    /// Everything that is neither SACK nor DATA.
    fn write_control(&mut self, now: Instant, nonce: u64, packet: &mut Builder<'_>) {
        let Some(tcb) = self.state.tcb_mut() else { return };
        let rto = tcb.rto.current();
        if tcb.control.len() <= packet.room() {
            packet.out.append(&mut tcb.control);
        }
        if tcb.reconfig.due_len().is_some_and(|len| len <= packet.room()) {
            tcb.reconfig.write(now, &tcb.rto, packet.out);
        }
        if tcb.heartbeats.due && packet.room() >= 16 {
            tcb.heartbeats.write(now, rto, nonce, packet.out);
        }
        let State::Open(open) = &mut self.state else { return };
        let Open { tcb, phase, .. } = &mut **open;
        let chunk = match phase {
            Phase::ShutdownSent(T2 { due: true, .. }) => Chunk::Shutdown(Shutdown {
                cumulative_tsn: tcb.tracker.cumulative(),
            }),
            Phase::ShutdownAckSent(T2 { due: true, .. }) => Chunk::ShutdownAck,
            _ => return,
        };
        if let Some(t2) = phase.t2()
            && packet.room() >= 8
        {
            chunk.encode(packet.out);
            *t2 = T2 {
                due: false,
                deadline: now.checked_add(rto),
            };
        }
    }

    /// Would `write_data` write something? Then a SACK that may be delayed goes along (§6.2).
    fn has_data_to_send(&mut self, now: Instant, packet: &Builder<'_>) -> bool {
        let Some(tcb) = self.state.tcb_mut() else { return false };
        if !tcb.ack.is_owed() || tcb.ack.now {
            return false;
        }
        let in_flight = tcb.outstanding.in_flight();
        let may_send = tcb.congestion.may_send(now, in_flight);
        if tcb.tail.due || tcb.outstanding.has_lost() && (may_send || tcb.congestion.must_retransmit()) {
            return true;
        }
        if !may_send {
            return false;
        }
        let header = tcb.data_header_len();
        let full = packet.limit - Header::LEN - header;
        let left = packet.room().saturating_sub(header + Sack::MIN_LEN);
        let room = Room {
            all: left,
            even: left,
            full,
            began: None,
        };
        let mut news = News {
            events: &mut self.events,
            sent: &mut self.stats.messages_sent,
            abandoned: &mut self.stats.messages_abandoned,
        };
        let size = self.queue.peek(now, room, &mut news);
        size.is_some_and(|size| tcb.window_takes(size))
    }

    fn write_sack(&mut self, has_data: bool, packet: &mut Builder<'_>) {
        let window = (self.config.receive_window as usize).saturating_sub(self.reassembly.allocated());
        let Some(tcb) = self.state.tcb_mut() else { return };
        if !(tcb.ack.now || has_data && tcb.ack.is_owed()) || packet.room() < Sack::MIN_LEN {
            return;
        }
        let items = (packet.room() - Sack::MIN_LEN) / 4;
        let gap_blocks = tcb.tracker.gap_blocks(items);
        let duplicates = tcb.tracker.duplicates();
        let duplicates = &duplicates[..duplicates.len().min(items - gap_blocks.len())];
        let cumulative = tcb.tracker.cumulative();
        Sack::write(
            packet.out,
            cumulative,
            window as u32,
            gap_blocks,
            duplicates.iter().copied(),
        );
        tcb.tracker.clear_duplicates();
        tcb.ack.on_sent(window);
    }

    fn write_forward_tsn(&mut self, now: Instant, packet: &mut Builder<'_>) {
        let Some(tcb) = self.state.tcb_mut() else { return };
        if !tcb.forward_tsn.due || packet.room() < 64 {
            return;
        }
        tcb.forward_tsn.due = false;
        if !tcb.outstanding.owes_forward_tsn() {
            return;
        }
        let room = packet.room() - 8;
        if tcb.agreement.peer_can.interleaving {
            let (tsn, skipped) = tcb.outstanding.forward_tsn(room / 8);
            IForwardTsn::write(packet.out, tsn, skipped.into_iter());
        } else {
            let (tsn, skipped) = tcb.outstanding.forward_tsn(room / 4);
            let skipped = skipped.into_iter().map(|skipped| SkippedStream {
                stream: skipped.stream,
                ssn: Serial16(skipped.mid.0 as u16),
            });
            ForwardTsn::write(packet.out, tsn, skipped);
        }
        tcb.forward_tsn.sent = Some(now);
        // RFC 3758 §3.5 C5: "If a FORWARD TSN is sent, the sender MUST assure that at least one T3-rtx timer is running."
        if tcb.t3.is_none() {
            tcb.restart_t3(now);
        }
    }

    /// Lost fragments first, then new ones, as long as the windows, the pace and the packet have room.
    fn write_data(&mut self, now: Instant, timed: bool, packet: &mut Builder<'_>) {
        let Some(tcb) = self.state.tcb_mut() else { return };
        let before = tcb.outstanding.in_flight();
        let is_probe = std::mem::take(&mut tcb.tail.due);
        // RFC 8985 §7.3: a probe is sent whatever the congestion window says, too.
        let forced = is_probe || tcb.congestion.must_retransmit();
        let waiting = tcb.outstanding.has_lost() || !self.queue.is_empty();
        if !forced && !tcb.congestion.may_send(now, before) {
            let waiting = waiting && tcb.congestion.has_room(before);
            return tcb.congestion.wait_for_release(now, waiting);
        }
        if !waiting && !is_probe {
            // An application that waits for room in the send buffer would send more.
            if !self.send_refused {
                tcb.congestion.on_app_limited(before);
            }
            return;
        }
        let stamp = tcb.congestion.stamp(now, before, tcb.rto.current());
        let mut abandoned = Abandoned::default();
        let mut last = tcb.write_lost(&stamp, forced, packet, &mut abandoned);
        let mut repeated = last.map_or(0, |(_, count)| count);
        let mut new = 0;
        self.settle_abandoned(&abandoned);
        if last.is_none() {
            // All that was to be sent again has been given up meanwhile: nothing else may leave that calls for an answer.
            self.write_forward_tsn(now, packet);
        }
        let Some(tcb) = self.state.tcb_mut() else { return };
        // What does not fit stays first in line, ahead of what is new.
        let only_lost = tcb.outstanding.has_lost() || forced && repeated > 0;
        if !only_lost {
            let mut news = News {
                events: &mut self.events,
                sent: &mut self.stats.messages_sent,
                abandoned: &mut self.stats.messages_abandoned,
            };
            let header = tcb.data_header_len();
            // However large the packet, a fragment fits the smallest.
            let full = self.packet_size - Header::LEN - header;
            // What is beyond the full fragments that the packet takes.
            let beyond = packet.limit.saturating_sub(Header::LEN) % (header + full);
            let mut began = None;
            while is_probe || tcb.congestion.has_room(tcb.outstanding.in_flight()) {
                let room = Room {
                    all: packet.room().saturating_sub(header),
                    even: packet.room().saturating_sub(beyond + header),
                    full,
                    began,
                };
                let Some(size) = self.queue.peek(now, room, &mut news) else {
                    break;
                };
                if size == 0 || !tcb.window_takes(size) {
                    break;
                }
                let Some(fragment) = self.queue.take(size, &mut news) else {
                    break;
                };
                new += 1;
                if fragment.beginning {
                    began = Some(fragment.stream);
                }
                tcb.probing |= tcb.window_left() < header + size.next_multiple_of(4);
                last = Some((packet.out.len(), 0));
                tcb.outstanding.push(&stamp, fragment).encode(packet.out);
            }
            if new > 0 && !self.queue.is_empty() && tcb.rto.smoothed().is_some() {
                tcb.pmtu.on_demand();
            }
        }
        if is_probe && last.is_none() {
            let room = packet.room().saturating_sub(tcb.data_header_len());
            let at = packet.out.len();
            if let Some(data) = tcb.outstanding.probe(&stamp, room) {
                data.encode(packet.out);
                repeated += 1;
                last = Some((at, 1));
            }
            // What goes ahead of it in this packet may have left too little room.
            tcb.tail.due = last.is_none() && !packet.is_empty();
        }
        self.stats.data_chunks_sent += repeated + new;
        self.stats.retransmissions += repeated;
        if last.is_some() {
            let in_flight = tcb.outstanding.in_flight();
            tcb.congestion.on_packet_sent(now, before, in_flight);
            // §6.3.2 R1; and a retransmission starts the clock anew (§7.2.4 (4)).
            if timed && (tcb.t3.is_none() || repeated > 0 || is_probe) {
                tcb.restart_t3(now);
            }
            // §6.1: the I bit, since nothing can follow before this is acknowledged, or nothing will: then the peer should
            // not wait for it. (A packet that is alone may be answered by a message that takes its SACK along; but while the
            // round trip is known by hearsay, a probe that is early costs less than a timeout that is late.)
            let drained = self.queue.is_empty() && in_flight > tcb.outstanding.packet();
            let first = self.queue.is_empty() && tcb.rto.is_supposed();
            let stalled = is_probe || first || drained || tcb.window_left() == 0 || tcb.congestion.is_last(in_flight);
            if let Some((at, _)) = last
                && stalled
                && let Some(flags) = packet.out.get_mut(at + 1)
            {
                *flags |= 8;
            }
            tcb.tail.asked = stalled;
            if is_probe {
                let highest = tcb.outstanding.next_tsn().sub(1);
                tcb.tail.on_sent(now, highest, repeated > 0);
            } else if timed {
                tcb.arm_tail_probe(now);
            }
        }
    }
}

/// A fragment sent again so many times may have been in packets that are too large (RFC 8899 §4.3).
const BLACK_HOLE: u32 = 3;

impl Tcb {
    /// Bytes of a chunk of data before its payload.
    fn data_header_len(&self) -> usize {
        data_header_len(self.agreement.peer_can.interleaving)
    }

    /// True if the peer's window takes a chunk with this much payload.
    ///
    /// §6.1 A: "regardless of the value of rwnd (including if it is 0), the data sender can always have one DATA chunk in
    /// flight to the receiver if allowed by cwnd".
    pub(crate) fn window_takes(&self, payload: usize) -> bool {
        self.outstanding.in_flight() == 0 || self.data_header_len() + payload.next_multiple_of(4) <= self.window_left()
    }

    /// Writes lost fragments again. Returns where the last one begins, and how many there are.
    fn write_lost(
        &mut self,
        stamp: &Stamp,
        forced: bool,
        packet: &mut Builder<'_>,
        abandoned: &mut Abandoned,
    ) -> Option<(usize, u64)> {
        let mut last = None;
        let mut count = 0;
        let mut gets_lost = false;
        while self.outstanding.has_lost() && (forced || self.congestion.has_room(self.outstanding.in_flight())) {
            // The peer had a place for it when it was first sent; a closed window takes one at a time all the same.
            if self.peer_window == 0 && self.outstanding.in_flight() > 0 {
                break;
            }
            let room = packet.room().saturating_sub(self.data_header_len());
            let at = packet.out.len();
            self.probing |= self.peer_window == 0;
            let Some(data) = self.outstanding.retransmit(stamp, room, abandoned) else {
                break;
            };
            data.encode(packet.out);
            gets_lost |= data.retransmits() >= BLACK_HOLE;
            count += 1;
            last = Some((at, count));
        }
        if gets_lost {
            self.pmtu.on_black_hole();
        }
        last
    }
}

//! What arrives: packets are checked (RFC 9260 §8.5), taken apart, and their chunks handed to those who know them.

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use peerline_wire::Serial32;

use crate::CloseReason;
use crate::association::{Association, State};
use crate::rx::fragments::{Fragment, Violation};
use crate::rx::reassembly::Skipped;
use crate::rx::tsn_tracker::Arrival;
use crate::shutdown::{Phase, T2};
use crate::tx::abandon::Abandoned;
use crate::tx::acknowledge::{Changes, ImpossibleSack, Losses};
use crate::tx::send_queue::News;
use crate::tx::tail::TailProbe;
use crate::wire::{
    Cause, CauseCode, Causes, Chunk, ChunkType, Errors, Header, Packet, RawChunk, Sack, verify_checksum, write_cause,
};

/// What a packet has brought so far, for the SACK that may follow.
#[derive(Default)]
struct Arrived {
    data: bool,
    /// The SACK must not be delayed.
    immediate: bool,
}

impl Association {
    pub(crate) fn receive(&mut self, now: Instant, datagram: BytesMut) {
        self.stats.packets_received += 1;
        self.stats.bytes_received += datagram.len() as u64;
        let datagram = datagram.freeze();
        let Ok(packet) = Packet::decode(&datagram) else {
            self.stats.malformed += 1;
            return;
        };
        // RFC 9653 §5.3: who has announced that it accepts a zero checksum does so; otherwise RFC 9260 §6.8.
        let unchecked = packet.checksum == 0 && self.config.zero_checksum;
        if !unchecked && !verify_checksum(&datagram) {
            self.stats.bad_checksums += 1;
            return;
        }
        let Header {
            source_port,
            destination_port,
            ..
        } = packet.header;
        if (source_port, destination_port) != (self.config.remote_port, self.config.local_port) {
            self.stats.bad_tags += 1;
            return;
        }
        let Some(Ok(first)) = packet.chunks().next() else {
            self.stats.malformed += 1;
            return;
        };
        if !self.tag_is_good(packet.header, first, packet.body) {
            self.stats.bad_tags += 1;
            return;
        }
        let mut arrived = Arrived::default();
        for raw in packet.chunks() {
            let goes_on = match raw.and_then(Chunk::decode) {
                Ok(chunk) => self.on_chunk(now, packet.header, chunk, &datagram, &mut arrived),
                Err(_) => {
                    self.stats.malformed += 1;
                    false
                }
            };
            if !goes_on {
                break;
            }
        }
        self.after_packet(now, &arrived);
    }

    /// §8.5, §8.5.1: which verification tag a packet must have depends on its first chunk.
    fn tag_is_good(&self, header: Header, first: RawChunk<'_>, body: &[u8]) -> bool {
        let tag = header.verification_tag;
        let tcb = self.state.tcb();
        let (local, peer) = match (&self.state, tcb) {
            (State::CookieWait(wait), _) => (Some(wait.local.tag), None),
            (_, Some(tcb)) => (Some(tcb.agreement.local.tag), Some(tcb.agreement.peer.tag)),
            _ => (None, None),
        };
        match first.kind {
            // A: "When an endpoint receives an SCTP packet with the Verification Tag set to 0, it SHOULD verify that the
            // packet contains only an INIT chunk."
            ChunkType::INIT => tag == 0 && body.len() <= (first.value.len() + 4).next_multiple_of(4),
            // B, C: with the T bit, the tag is the one that we use towards the peer.
            ChunkType::ABORT | ChunkType::SHUTDOWN_COMPLETE => {
                let expected = if first.flags & 1 == 0 { local } else { peer };
                expected == Some(tag)
            }
            // D: the tag is compared with the cookie, later.
            ChunkType::COOKIE_ECHO => true,
            // E: without an association, it is answered with the tag that came.
            ChunkType::SHUTDOWN_ACK if tcb.is_none() => true,
            _ => local == Some(tag),
        }
    }

    /// `true`: go on with the next chunk.
    fn on_chunk(
        &mut self,
        now: Instant,
        header: Header,
        chunk: Chunk<'_>,
        datagram: &Bytes,
        arrived: &mut Arrived,
    ) -> bool {
        match chunk {
            Chunk::Init(init) => self.on_init(now, &init),
            Chunk::InitAck(ack) => self.on_init_ack(now, &ack),
            Chunk::CookieEcho(echo) => return self.on_cookie_echo(now, header, &echo),
            Chunk::CookieAck => self.on_cookie_ack(now),
            Chunk::ShutdownAck => self.on_shutdown_ack(header),
            _ if self.state.tcb().is_none() => {
                // §8.4: out of the blue. Only an ABORT means something to an association that has no TCB yet.
                match (chunk, &self.state) {
                    (Chunk::Abort(abort), State::CookieWait(_)) => self.on_abort(&abort),
                    _ => self.stats.malformed += 1,
                }
                return false;
            }
            Chunk::Data(data) => return self.on_data(&Fragment::from(&data), datagram, arrived),
            Chunk::IData(data) => return self.on_data(&Fragment::from(&data), datagram, arrived),
            Chunk::Sack(sack) => self.on_sack(now, &sack),
            Chunk::ForwardTsn(forward) => {
                let skipped = forward.skipped().map(Skipped::from);
                return self.on_forward_tsn(false, forward.new_cumulative_tsn, skipped, arrived);
            }
            Chunk::IForwardTsn(forward) => {
                let skipped = forward.skipped().map(Skipped::from);
                return self.on_forward_tsn(true, forward.new_cumulative_tsn, skipped, arrived);
            }
            Chunk::Heartbeat(heartbeat) => self.on_heartbeat(&heartbeat),
            Chunk::HeartbeatAck(heartbeat) => self.on_heartbeat_ack(now, &heartbeat),
            Chunk::Abort(abort) => self.on_abort(&abort),
            Chunk::Shutdown(shutdown) => self.on_shutdown(now, shutdown),
            Chunk::ShutdownComplete { .. } => self.on_shutdown_complete(),
            Chunk::Error(errors) => self.on_error(now, &errors),
            Chunk::ReConfig(re_config) => self.on_re_config(now, &re_config),
            Chunk::Pad(_) => {}
            Chunk::Unknown(raw) => return self.on_unknown(raw),
        }
        true
    }

    fn on_unknown(&mut self, raw: RawChunk<'_>) -> bool {
        self.stats.malformed += 1;
        let action = raw.kind.unknown_action();
        if action.report {
            // The beginning is enough to recognize it by.
            let mut causes = Vec::new();
            let mut chunk = vec![raw.kind.0, raw.flags];
            chunk.extend_from_slice(&(raw.value.len() as u16).saturating_add(4).to_be_bytes());
            chunk.extend_from_slice(&raw.value[..raw.value.len().min(MAX_REPORTED)]);
            write_cause(&mut causes, CauseCode::UNRECOGNIZED_CHUNK, &chunk);
            self.report(&causes);
        }
        action.skip
    }

    /// Queues an ERROR chunk.
    fn report(&mut self, causes: &[u8]) {
        let limit = self.control_limit();
        if let Some(tcb) = self.state.tcb_mut() {
            let causes = Causes::decode(causes).unwrap_or_default();
            tcb.push_control(limit, |out| Chunk::Error(Errors { causes }).encode(out));
        }
    }

    fn on_error(&mut self, now: Instant, errors: &Errors<'_>) {
        if errors
            .causes
            .iter()
            .any(|Cause { code, .. }| code == CauseCode::STALE_COOKIE)
        {
            self.on_stale_cookie(now);
        }
    }

    // --- DATA and FORWARD TSN, I-DATA and I-FORWARD-TSN

    /// The peer has done what cannot be skipped.
    pub(crate) fn end_with_violation(&mut self, text: &[u8]) {
        let reason = CloseReason::ProtocolViolation(CauseCode::PROTOCOL_VIOLATION);
        self.end_with_abort(reason, CauseCode::PROTOCOL_VIOLATION, text);
    }

    fn interleaves(&self) -> bool {
        self.state.tcb().is_some_and(|tcb| tcb.agreement.peer_can.interleaving)
    }

    fn on_data(&mut self, data: &Fragment<'_>, datagram: &Bytes, arrived: &mut Arrived) -> bool {
        // §6: DATA is accepted in ESTABLISHED, SHUTDOWN-PENDING and SHUTDOWN-SENT. A peer that sends it to COOKIE-ECHOED
        // has our cookie; only its COOKIE ACK is late.
        if let State::Open(open) = &self.state
            && !open.phase.receives_data()
        {
            return true;
        }
        // RFC 8260 §2.2.3: "If I-DATA support has been negotiated for an association, the reception of a DATA chunk is a
        // violation of the above rules and therefore the receiver of the DATA chunk MUST abort the association […]. The
        // same applies if I-DATA support has not been negotiated for an association and an I-DATA chunk is received."
        match (self.interleaves(), data.fsn) {
            (true, None) => {
                self.end_with_violation(b"DATA where I-DATA was agreed");
                return false;
            }
            (false, Some(_)) => {
                self.end_with_violation(b"I-DATA that was not agreed");
                return false;
            }
            (true, Some(_)) | (false, None) => {}
        }
        if data.payload.is_empty() {
            // §6.2: "an endpoint MUST discard the chunk and respond with an ABORT chunk with a 'No User Data' cause".
            let tsn = data.tsn.0.to_be_bytes();
            let reason = CloseReason::ProtocolViolation(CauseCode::NO_USER_DATA);
            self.end_with_abort(reason, CauseCode::NO_USER_DATA, &tsn);
            return false;
        }
        self.stats.data_chunks_received += 1;
        let window = self.config.receive_window as usize;
        let Some(tcb) = self.state.tcb_mut() else { return false };
        arrived.data = true;
        arrived.immediate |= data.immediate;
        let number = match tcb.tracker.check(data.tsn) {
            Arrival::New(number) => number,
            Arrival::Duplicate => {
                // §6.2: "If the DATA chunk is a duplicate […] the receiver SHOULD send an immediate SACK chunk".
                self.stats.duplicates_received += 1;
                arrived.immediate = true;
                return true;
            }
            Arrival::Refused => {
                self.stats.data_chunks_refused += 1;
                arrived.immediate = true;
                return true;
            }
        };
        let in_order = number == tcb.tracker.cumulative_extended() + 1;
        let fills_gap = number < tcb.tracker.highest();
        let is_wanted = in_order && !self.reassembly.has_readable();
        if is_wanted && self.reassembly.allocated() >= window.saturating_add(self.config.max_message_size) {
            // The peer has begun more messages than the window holds, or sends them in crumbs: nothing of it can be read
            // before much more has come (RFC 8260 §6: the receiver "has to protect itself").
            let reason = CloseReason::ProtocolViolation(CauseCode::OUT_OF_RESOURCE);
            self.end_with_abort(reason, CauseCode::OUT_OF_RESOURCE, &[]);
            return false;
        }
        if !is_wanted && !has_room(self.reassembly.allocated(), window, in_order, fills_gap) {
            self.stats.data_chunks_refused += 1;
            arrived.immediate = true;
            return true;
        }
        if data.stream.0 >= tcb.agreement.incoming_streams {
            // §6.5: acknowledged, reported, and thrown away.
            tcb.tracker.insert(number);
            let mut causes = Vec::new();
            let [high, low] = data.stream.0.to_be_bytes();
            write_cause(&mut causes, CauseCode::INVALID_STREAM, &[high, low, 0, 0]);
            self.report(&causes);
            return true;
        }
        let had_gaps = tcb.tracker.has_gaps();
        match self.reassembly.push(number, in_order, data, datagram, &mut self.events) {
            Ok(messages) => self.stats.messages_received += messages,
            Err(violation) => {
                let text: &[u8] = match violation {
                    Violation::TooLarge => b"message too large",
                    Violation::Inconsistent => b"inconsistent fragments",
                };
                self.end_with_violation(text);
                return false;
            }
        }
        tcb.tracker.insert(number);
        // §6.7: a SACK for every packet from when a gap opens to when it is filled.
        arrived.immediate |= had_gaps || tcb.tracker.has_gaps();
        true
    }

    /// `interleaved`: it is an I-FORWARD-TSN.
    fn on_forward_tsn(
        &mut self,
        interleaved: bool,
        new_cumulative_tsn: Serial32,
        skipped: impl Iterator<Item = Skipped>,
        arrived: &mut Arrived,
    ) -> bool {
        // RFC 8260 §2.3.1: "The FORWARD-TSN chunk MUST be used in combination with the DATA chunk and MUST NOT be used in
        // combination with the I-DATA chunk", and the other way round; "the receiver […] MUST abort the association".
        if interleaved != self.interleaves() {
            self.end_with_violation(b"the wrong kind of FORWARD-TSN");
            return false;
        }
        let Some(tcb) = self.state.tcb_mut() else { return false };
        arrived.data = true;
        let number = tcb.tracker.extend(new_cumulative_tsn);
        let incoming = tcb.agreement.incoming_streams;
        // RFC 3758 §3.6: an old one is answered with a SACK, since ours may have been lost.
        if !tcb.tracker.forward(number) {
            arrived.immediate = true;
            return true;
        }
        arrived.immediate |= tcb.tracker.has_gaps();
        let skipped = skipped.filter(|skipped| skipped.stream.0 < incoming);
        self.stats.messages_received += self.reassembly.forward(number, skipped, &mut self.events);
        true
    }

    fn after_packet(&mut self, now: Instant, arrived: &Arrived) {
        if arrived.data {
            self.perform_deferred_reset();
            let delay = self.config.delayed_ack;
            if let Some(tcb) = self.state.tcb_mut() {
                tcb.ack.on_packet(now, arrived.immediate, delay);
            }
            // §9.2: in SHUTDOWN-SENT, "it MUST immediately respond to each received packet containing one or more DATA
            // chunks with a SHUTDOWN chunk and restart the T2-shutdown timer."
            if let State::Open(open) = &mut self.state
                && matches!(open.phase, Phase::ShutdownSent(_))
            {
                open.tcb.ack.now = true;
                open.phase = Phase::ShutdownSent(T2::DUE);
            }
        }
        self.advance_shutdown();
    }

    // --- SACK

    fn on_sack(&mut self, now: Instant, sack: &Sack<'_>) {
        let Some(tcb) = self.state.tcb_mut() else { return };
        let recovering = tcb.congestion.in_recovery();
        let window_before = tcb.peer_window;
        if !sack.cumulative_tsn.precedes(tcb.outstanding.cumulative()) {
            tcb.peer_window = sack.a_rwnd as usize;
            // §6.1 A: with the window closed, a probe that is dropped but answered shows that the peer is there.
            if sack.a_rwnd == 0 {
                tcb.errors = 0;
            }
        }
        let opened = tcb.probing && tcb.peer_window > 0;
        let Ok(changes) = tcb.outstanding.on_sack(now, sack, recovering) else {
            return self.refuse_sack();
        };
        let nothing_new = !changes.advanced && changes.newly_acked == 0;
        if nothing_new && tcb.peer_window > window_before {
            // What is in flight, a probe too, may have been thrown away while the window was closed.
            tcb.tail.repeat();
        }
        let answered = tcb.tail.may_be_answered(now, tcb.outstanding.rack.min_rtt());
        let refused = nothing_new && (opened || answered && tcb.peer_window > 0 && sack.duplicates().len() == 0);
        self.on_changes(now, &changes);
        self.on_tail_probe(now, sack);
        if let Some(tcb) = self.state.tcb_mut() {
            tcb.probing &= !opened;
            if refused {
                // The window opened, or a probe was answered, and still nothing in flight has arrived: the peer has thrown
                // it away. No use to wait for T3, which may have become long.
                tcb.t3 = None;
                tcb.tail = TailProbe::default();
                let abandoned = tcb.outstanding.on_timeout(now);
                // A FORWARD TSN may have been thrown away with it.
                tcb.forward_tsn.due |= tcb.outstanding.owes_forward_tsn();
                self.settle_abandoned(&abandoned);
            }
        }
    }

    /// Has a tail loss probe repaired what it was to find?
    fn on_tail_probe(&mut self, now: Instant, sack: &Sack<'_>) {
        let Some(tcb) = self.state.tcb_mut() else { return };
        if tcb
            .tail
            .on_sack(tcb.outstanding.cumulative(), sack.duplicates().len() > 0)
        {
            let losses = Losses {
                chunks: 1,
                bytes: tcb.outstanding.packet(),
                newest: None,
            };
            tcb.congestion.on_losses(now, &losses, tcb.outstanding.flight());
        }
    }

    /// A cumulative TSN has arrived by other means than a SACK.
    pub(crate) fn on_cumulative_tsn(&mut self, now: Instant, tsn: Serial32) {
        let Some(tcb) = self.state.tcb_mut() else { return };
        match tcb.outstanding.on_cumulative(now, tsn) {
            Ok(changes) => self.on_changes(now, &changes),
            Err(ImpossibleSack) => self.refuse_sack(),
        }
    }

    /// What has never been sent has been acknowledged.
    fn refuse_sack(&mut self) {
        self.end_with_violation(b"TSN acknowledged that was not sent");
    }

    pub(crate) fn on_changes(&mut self, now: Instant, changes: &Changes) {
        let Some(tcb) = self.state.tcb_mut() else { return };
        if let Some(rtt) = changes.rtt {
            tcb.rto.sample(now, rtt);
        }
        if changes.newly_acked > 0 || changes.advanced {
            tcb.on_alive(now);
        }
        self.stats.fast_retransmits += changes.losses.chunks;
        let flight = tcb.outstanding.flight();
        let (smoothed, min_rtt) = (tcb.rto.smoothed(), tcb.outstanding.rack.min_rtt());
        if tcb.congestion.on_sack(now, changes, flight, smoothed, min_rtt) {
            tcb.outstanding.rack.on_recovered();
        }
        // §6.3.2 R2, R3: all acknowledged, off; the earliest acknowledged, from the start.
        if tcb.outstanding.is_empty() {
            tcb.t3 = None;
        } else if changes.advanced && tcb.t3.is_some() {
            tcb.restart_t3(now);
        }
        // R4: "Whenever a SACK chunk is received missing a TSN that was previously acknowledged via a Gap Ack Block, start
        // the T3-rtx […] if it is not already running."
        if tcb.outstanding.in_flight() > 0 && tcb.t3.is_none() {
            tcb.restart_t3(now);
        }
        tcb.arm_tail_probe(now);
        self.settle_abandoned(&changes.abandoned);
        let Some(tcb) = self.state.tcb_mut() else { return };
        // RFC 3758 §3.5 C3: as long as the SACK lags behind what is abandoned, the peer is told again, but not more than
        // once a round trip (F2).
        let patience = tcb.rto.smoothed().unwrap_or_else(|| tcb.rto.current());
        if tcb.outstanding.owes_forward_tsn()
            && tcb
                .forward_tsn
                .sent
                .is_none_or(|sent| now.saturating_duration_since(sent) >= patience)
        {
            tcb.forward_tsn.due = true;
        }
    }

    /// Messages have been given up: drops the unsent rest of the last, and prepares to tell the peer.
    pub(crate) fn settle_abandoned(&mut self, abandoned: &Abandoned) {
        self.stats.messages_abandoned += abandoned.messages;
        let mut news = News {
            events: &mut self.events,
            sent: &mut self.stats.messages_sent,
            abandoned: &mut self.stats.messages_abandoned,
        };
        for &stream in &abandoned.unfinished {
            self.queue.drop_started(stream, &mut news);
        }
        let Some(tcb) = self.state.tcb_mut() else { return };
        if tcb.outstanding.advance_over_abandoned() {
            tcb.forward_tsn.due = true;
        }
    }
}

/// May a fragment be kept? What comes beyond a gap may fill three quarters of the window, so that there is always room for
/// what fills the gap. With the window closed, only the next TSN may come in, and only if the application has nothing to
/// read: then more data is the only way to open the window again.
fn has_room(allocated: usize, window: usize, in_order: bool, fills_gap: bool) -> bool {
    allocated < if in_order || fills_gap { window } else { window / 4 * 3 }
}

/// Bytes of an unknown chunk that are sent back.
const MAX_REPORTED: usize = 64;

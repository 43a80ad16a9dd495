//! [`Association`]: one SCTP association, its states, and its verbs.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::cookie::{CookieKey, Side};
use crate::handshake::{T1, new_side};
use crate::rx::reassembly::Reassembly;
use crate::shutdown::Phase;
use crate::tcb::Tcb;
use crate::tx::outstanding::Outstanding;
use crate::tx::send_queue::{MESSAGE_OVERHEAD, Reset, SendQueue};
use crate::tx::tail::TailProbe;
use crate::wire::{CauseCode, Header};
use crate::{CloseReason, Config, Event, Message, ResetError, SendError, SendOptions, Stats, StreamId};

/// One end of an SCTP association (RFC 9260) as WebRTC uses it, inside DTLS (RFC 8261): one path, no addresses, no
/// clock and no I/O.
///
/// There are four kinds of methods:
///
/// - the five verbs: [`handle_datagram`](Self::handle_datagram) and [`handle_timeout`](Self::handle_timeout) tell the
///   association what happens, [`poll_transmit`](Self::poll_transmit), [`poll_timeout`](Self::poll_timeout) and
///   [`poll_event`](Self::poll_event) ask what it wants. Poll after telling, in any order;
/// - [`recv`](Self::recv) pulls messages;
/// - commands: [`connect`](Self::connect) or [`connect_signalled`](Self::connect_signalled), [`send`](Self::send), [`reset_stream`](Self::reset_stream),
///   [`shutdown`](Self::shutdown), [`abort`](Self::abort) and the setters;
/// - getters, whose answers may change with every call of the others.
///
/// Whatever a peer sends, nothing panics and nothing fails: what is wrong is counted in [`Stats`] and dropped, and the end
/// is one event, [`Event::Closed`].
#[derive(Debug)]
pub struct Association {
    /// Its seed changes with what is drawn: see [`rng`](Self::rng).
    pub(crate) config: Config,
    pub(crate) packet_size: usize,
    /// What somebody else has measured.
    pub(crate) round_trip: Option<Duration>,
    pub(crate) cookie_key: CookieKey,
    /// Our tag and first TSN as long as there has been no association: the same whether the peer asks first or we do, so that a
    /// cookie made before `connect` is good after it.
    pub(crate) local: Side,
    /// The first time heard, and the latest.
    clock: Option<(Instant, Instant)>,
    pub(crate) state: State,
    pub(crate) queue: SendQueue,
    pub(crate) reassembly: Reassembly,
    pub(crate) events: VecDeque<Event>,
    /// Whole packets that belong to no TCB: INIT ACK, the last ABORT, answers to strays.
    pub(crate) replies: VecDeque<Vec<u8>>,
    pub(crate) stats: Stats,
    /// The last message did not fit the send buffer.
    pub(crate) send_refused: bool,
}

/// RFC 9260 §4. The states in which a TCB exists own it.
#[derive(Debug)]
pub(crate) enum State {
    Closed,
    CookieWait(Box<CookieWait>),
    CookieEchoed(Box<CookieEchoed>),
    Open(Box<Open>),
    /// It has been closed, and cannot be opened again.
    Ended,
}

/// INIT has been sent.
#[derive(Debug)]
pub(crate) struct CookieWait {
    pub(crate) local: Side,
    pub(crate) t1: T1,
    /// What went with the cookie of an earlier attempt that turned out to be stale.
    pub(crate) sent: Option<Outstanding>,
}

/// COOKIE ECHO has been sent.
#[derive(Debug)]
pub(crate) struct CookieEchoed {
    pub(crate) tcb: Tcb,
    pub(crate) cookie: Vec<u8>,
    pub(crate) t1: T1,
    /// `shutdown` has been called.
    pub(crate) then_shutdown: bool,
}

/// ESTABLISHED, or shutting down.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) tcb: Tcb,
    pub(crate) phase: Phase,
    /// T5-shutdown-guard.
    pub(crate) guard: Option<Instant>,
}

impl State {
    pub(crate) fn tcb(&self) -> Option<&Tcb> {
        match self {
            Self::CookieEchoed(echoed) => Some(&echoed.tcb),
            Self::Open(open) => Some(&open.tcb),
            Self::Closed | Self::CookieWait(_) | Self::Ended => None,
        }
    }

    pub(crate) fn tcb_mut(&mut self) -> Option<&mut Tcb> {
        match self {
            Self::CookieEchoed(echoed) => Some(&mut echoed.tcb),
            Self::Open(open) => Some(&mut open.tcb),
            Self::Closed | Self::CookieWait(_) | Self::Ended => None,
        }
    }
}

impl Association {
    /// An association that has not begun. It answers a peer that connects, and connects itself with
    /// [`connect`](Self::connect).
    #[must_use]
    pub fn new(mut config: Config) -> Self {
        let mut rng = StdRng::from_seed(config.rng_seed);
        let mut cookie_key = CookieKey([0; 32]);
        rng.fill_bytes(&mut cookie_key.0);
        let local = new_side(&mut rng);
        rng.fill_bytes(&mut config.rng_seed);
        let packet_size = config.packet_size();
        Self {
            cookie_key,
            local,
            clock: None,
            state: State::Closed,
            queue: SendQueue::default(),
            reassembly: Reassembly::new(config.max_message_size),
            events: VecDeque::new(),
            replies: VecDeque::new(),
            stats: Stats {
                rto: config.rto_initial,
                mtu: packet_size,
                ..Stats::default()
            },
            send_refused: false,
            packet_size,
            round_trip: None,
            config,
        }
    }

    /// A generator for what is drawn now; the next one is another. What is kept between two is the seed alone: a generator is ten
    /// times as large, and little is drawn after the handshake.
    pub(crate) fn rng(&mut self) -> StdRng {
        let mut rng = StdRng::from_seed(self.config.rng_seed);
        rng.fill_bytes(&mut self.config.rng_seed);
        rng
    }

    // --- the verbs

    /// Takes one SCTP packet, as it came out of DTLS. Anything wrong with it is counted, and it is dropped.
    ///
    /// Slices of `datagram` are kept for as long as messages wait in it: its allocation should not be much larger.
    pub fn handle_datagram(&mut self, now: Instant, datagram: BytesMut) {
        let now = self.tick(now);
        self.receive(now, datagram);
    }

    /// Lets the timers that are due expire.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.tick(now);
        self.on_handshake_timeout(now);
        self.on_t3_timeout(now);
        self.on_loss_timeout(now);
        self.on_ack_timeout(now);
        self.on_reconfig_timeout(now);
        self.on_heartbeat_timeout(now);
        self.on_pmtu_timeout(now);
        self.on_shutdown_timeout(now);
    }

    /// Appends one SCTP packet of at most [`Config::max_mtu`] bytes to `out` and returns its length, or `None` and leaves
    /// `out` as it is.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<usize> {
        let now = self.tick(now);
        self.transmit(now, out)
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called; may change with every call of a `&mut` method.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Closed | State::Ended => None,
            State::CookieWait(wait) => wait.t1.deadline,
            // T1-cookie stands for the timers of everything that went with the cookie.
            State::CookieEchoed(echoed) => echoed.t1.deadline,
            State::Open(open) => {
                let t2 = match open.phase {
                    Phase::ShutdownSent(t2) | Phase::ShutdownAckSent(t2) => t2.deadline,
                    Phase::Established | Phase::ShutdownPending | Phase::ShutdownReceived => None,
                };
                [open.tcb.next_timeout(), t2, open.guard].into_iter().flatten().min()
            }
        }
    }

    /// The next piece of news.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        match event {
            Event::Readable(stream) => self.reassembly.readable_taken(stream),
            Event::BufferedAmountLow(stream) => self.queue.low_taken(stream),
            Event::IncomingStreamReset(stream) => self.reassembly.reset_taken(stream, &mut self.events),
            Event::Connected | Event::Restarted | Event::OutgoingStreamReset(..) | Event::Closed(_) => {}
        }
        Some(event)
    }

    /// As if [`recv`](Self::recv) had returned `None`: for who starts anew after a reset without having read to the end.
    pub(crate) fn announce_anew(&mut self, stream: StreamId) {
        self.reassembly.announce_anew(stream, &mut self.events);
    }

    /// A stream that the peer has reset behind messages that have not been read, and the sizes of these. Each is told once.
    pub(crate) fn next_reset_behind(&mut self) -> Option<(StreamId, impl Iterator<Item = usize>)> {
        self.reassembly.next_reset_behind()
    }

    // --- payload

    /// The next message of a stream. What is left unread closes the receive window. Messages that had arrived can be read
    /// after the association has ended.
    pub fn recv(&mut self, stream: StreamId) -> Option<Message> {
        let message = self.reassembly.recv(stream, &mut self.events)?;
        self.update_window();
        Some(message)
    }

    /// Queues one message; also before the association is connected.
    ///
    /// # Errors
    /// [`SendError`], and then nothing was queued.
    pub fn send(
        &mut self,
        now: Instant,
        stream: StreamId,
        message: Message,
        options: SendOptions,
    ) -> Result<(), SendError> {
        let now = self.tick(now);
        let open = match &self.state {
            State::Ended => false,
            State::Open(open) => open.phase.takes_messages(),
            State::CookieEchoed(echoed) => !echoed.then_shutdown,
            State::Closed | State::CookieWait(_) => true,
        };
        if !open {
            return Err(SendError::Closed);
        }
        let size = message.payload.len();
        if size == 0 {
            return Err(SendError::Empty);
        }
        if size > self.config.max_send_message_size {
            return Err(SendError::TooLarge);
        }
        let outstanding = self.state.tcb().map(|tcb| &tcb.outstanding);
        let streams = self
            .state
            .tcb()
            .map_or(self.config.outgoing_streams, |tcb| tcb.agreement.outgoing_streams);
        if stream.0 >= streams {
            return Err(SendError::InvalidStream);
        }
        if self.queue.reset_state(stream) != Reset::None {
            return Err(SendError::Resetting);
        }
        let limit = self.config.send_buffer;
        let held = self.queue.cost() + outstanding.map_or(0, |outstanding| outstanding.cost(limit));
        self.send_refused = held > 0 && held.saturating_add(size) + MESSAGE_OVERHEAD > limit;
        if self.send_refused {
            return Err(SendError::BufferFull);
        }
        self.queue.push(now, stream, message, options);
        Ok(())
    }

    // --- commands

    /// Starts the handshake. Both ends of a WebRTC session call it, and the two INITs may cross (RFC 9260 §5.2.1). Does
    /// nothing if the peer has already connected, or the association has ended.
    pub fn connect(&mut self, now: Instant) {
        self.tick(now);
        self.begin_handshake();
    }

    /// How long a round trip takes, as somebody has measured it who knows the path: what timers begin with in place of
    /// [`Config::rto_initial`], until there is a measurement of the association's own.
    pub fn set_round_trip_time(&mut self, round_trip: Duration) {
        self.round_trip = Some(round_trip);
        if let Some(tcb) = self.state.tcb_mut() {
            tcb.rto.suppose(round_trip);
        }
    }

    /// Gives back the room that packets and messages took which are gone: for an association that carries none for a while.
    pub fn shrink_to_fit(&mut self) {
        self.events.shrink_to_fit();
        self.replies.shrink_to_fit();
        self.queue.shrink_to_fit();
        self.reassembly.shrink_to_fit();
        if let State::Open(open) = &mut self.state {
            open.tcb.control.shrink_to_fit();
            open.tcb.outstanding.shrink_to_fit();
        }
    }

    /// Resets our outgoing side of a stream once what is queued on it has been sent (RFC 6525 §5.1.2).
    /// [`Event::OutgoingStreamReset`] tells how it ended; until then the stream takes no messages, and afterwards it has
    /// neither state nor priority nor threshold left.
    ///
    /// # Errors
    /// [`ResetError`], and then nothing is done.
    pub fn reset_stream(&mut self, stream: StreamId) -> Result<(), ResetError> {
        self.begin_stream_reset(stream)
    }

    /// Ends the association once everything sent has arrived (RFC 9260 §9.2); at once if it has not begun.
    pub fn shutdown(&mut self, now: Instant) {
        let now = self.tick(now);
        self.begin_shutdown(now);
    }

    /// Ends the association at once; the peer is told `reason`, of which it gets at most 256 bytes, in an ABORT with cause
    /// 12 (RFC 9260 §9.1). Keep polling for transmits: the ABORT leaves that way.
    pub fn abort(&mut self, now: Instant, reason: &str) {
        self.tick(now);
        self.end_with_abort(CloseReason::Aborted, CauseCode::USER_INITIATED, reason.as_bytes());
    }

    /// The share of a stream when several have messages waiting: twice the priority, twice the bytes (RFC 8831 §6.4:
    /// 128 below normal, 256 normal (the default), 512 high, 1024 extra high). 0 counts as 1.
    pub fn set_priority(&mut self, stream: StreamId, priority: u16) {
        self.queue.set_priority(stream, priority);
    }

    /// When [`Event::BufferedAmountLow`] comes, in bytes. Default 0.
    pub fn set_buffered_amount_low_threshold(&mut self, stream: StreamId, threshold: usize) {
        self.queue.set_low_threshold(stream, threshold);
    }

    /// The largest message that `send` takes from now on, in bytes: the peer's `a=max-message-size` (`usize::MAX` for
    /// its 0, no limit).
    pub fn set_max_send_message_size(&mut self, size: usize) {
        self.config.max_send_message_size = size;
    }

    /// The peer's port, `a=sctp-port` of its description (RFC 8841 §5), for when it is known only after `new`. Call it before
    /// [`connect`](Self::connect): packets from another port are dropped.
    pub fn set_remote_port(&mut self, port: u16) {
        self.config.remote_port = port;
    }

    // --- getters

    /// True from [`Event::Connected`] until the end begins.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        matches!(&self.state, State::Open(open) if open.phase == Phase::Established)
    }

    /// True once the association has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// How many streams there are towards the peer and from it, once negotiated. Messages queued earlier on streams
    /// beyond the first number are dropped.
    #[must_use]
    pub fn streams(&self) -> Option<(u16, u16)> {
        let agreement = self.state.tcb()?.agreement;
        Some((agreement.outgoing_streams, agreement.incoming_streams))
    }

    /// The largest message that `send` takes, in bytes.
    #[must_use]
    pub fn max_send_message_size(&self) -> usize {
        self.config.max_send_message_size
    }

    /// Payload bytes queued on a stream and not yet sent for the first time.
    #[must_use]
    pub fn buffered_amount(&self, stream: StreamId) -> usize {
        self.queue.buffered(stream)
    }

    /// The threshold set with [`set_buffered_amount_low_threshold`](Self::set_buffered_amount_low_threshold).
    #[must_use]
    pub fn buffered_amount_low_threshold(&self, stream: StreamId) -> usize {
        self.queue.low_threshold(stream)
    }

    /// Bytes that received messages and fragments occupy, as counted against [`Config::receive_window`].
    #[must_use]
    pub fn receive_buffer(&self) -> usize {
        self.reassembly.allocated()
    }

    /// The counters so far. After the end, the figures are those of the last moment.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = self.stats.clone();
        if let Some(tcb) = self.state.tcb() {
            stats.smoothed_rtt = tcb.rto.smoothed();
            stats.rto = tcb.rto.current();
            stats.congestion_window = tcb.congestion.window();
            stats.receiver_window = tcb.window_left();
            stats.bytes_in_flight = tcb.outstanding.in_flight();
            stats.unacked_data = tcb.outstanding.chunks_in_flight();
            stats.mtu = tcb.pmtu.current();
        }
        stats
    }

    // --- inside

    /// A backwards `now` counts as the latest seen.
    pub(crate) fn tick(&mut self, now: Instant) -> Instant {
        let (first, latest) = self.clock.unwrap_or((now, now));
        let now = latest.max(now);
        self.clock = Some((first, now));
        now
    }

    /// Milliseconds since the first time heard.
    pub(crate) fn age(&self, now: Instant) -> u64 {
        let first = self.clock.map_or(now, |(first, _)| first);
        u64::try_from(now.saturating_duration_since(first).as_millis()).unwrap_or(u64::MAX)
    }

    pub(crate) fn header(&self, verification_tag: u32) -> Header {
        Header {
            source_port: self.config.local_port,
            destination_port: self.config.remote_port,
            verification_tag,
        }
    }

    /// Bytes of control chunks that one packet can take.
    pub(crate) fn control_limit(&self) -> usize {
        self.packet_size - Header::LEN
    }

    pub(crate) fn remember_figures(&mut self) {
        self.stats = Stats {
            bytes_in_flight: 0,
            unacked_data: 0,
            ..self.stats()
        };
    }

    /// The application has read: if the peer might be waiting for that, it is told (RFC 9260 §6.2: a window update; not
    /// for every crumb).
    fn update_window(&mut self) {
        let full = self.config.receive_window as usize;
        let window = full.saturating_sub(self.reassembly.allocated());
        let Some(tcb) = self.state.tcb_mut() else { return };
        let grown = window.saturating_sub(tcb.ack.advertised);
        let stalled = tcb.ack.advertised < (16 * self.packet_size).min(full / 2);
        if stalled && grown >= (2 * self.packet_size).min(full / 4)
            || tcb.ack.advertised < full / 2 && grown >= full / 4
        {
            tcb.ack.now = true;
            tcb.ack.deadline = None;
        }
    }

    /// A timer of the peer's silence has expired once more (§8.1).
    pub(crate) fn count_error(&mut self) {
        let Some(tcb) = self.state.tcb_mut() else { return };
        tcb.errors += 1;
        if tcb.errors > self.config.max_retransmits {
            let reason = CloseReason::TooManyRetransmissions;
            self.end_with_abort(reason, CauseCode::PROTOCOL_VIOLATION, b"too many retransmissions");
        }
    }

    /// Packets go another way from now on. What the old one did to the time-out and to the count of errors says nothing about the
    /// new one, and what waits for a time-out that has been doubled is lost: it is sent again at once (RFC 9260 §6.4.1: "when its
    /// peer is multi-homed, [...] retransmit a chunk that timed out to an active destination transport address that is
    /// different from the last").
    pub fn path_changed(&mut self, now: Instant) {
        let now = self.tick(now);
        let Some(tcb) = self.state.tcb_mut() else { return };
        let waits = tcb.errors > 0;
        tcb.errors = 0;
        tcb.rto.forgive();
        if !waits {
            return;
        }
        if tcb.t3.is_some() {
            tcb.t3 = Some(now);
            self.on_t3_timeout(now);
            if let Some(tcb) = self.state.tcb_mut() {
                tcb.errors = 0;
                tcb.rto.forgive();
            }
        }
    }

    fn on_t3_timeout(&mut self, now: Instant) {
        // In COOKIE-ECHOED, T1-cookie watches over the DATA.
        let State::Open(open) = &mut self.state else { return };
        let tcb = &mut open.tcb;
        if tcb.t3.is_none_or(|deadline| now < deadline) {
            return;
        }
        tcb.t3 = None;
        self.stats.timeouts += 1;
        tcb.rto.back_off();
        // §6.1 A: "Zero window probing does not affect the calculation of cwnd."
        if tcb.peer_window > 0 {
            tcb.congestion.on_timeout();
        }
        tcb.tail = TailProbe::default();
        tcb.pmtu.on_black_hole();
        let abandoned = tcb.outstanding.on_timeout(now);
        self.settle_abandoned(&abandoned);
        if let Some(tcb) = self.state.tcb_mut() {
            tcb.forward_tsn.due = tcb.outstanding.owes_forward_tsn();
        }
        self.count_error();
    }

    /// The timers before T3-rtx: something has had its time (RFC 8985 §6), nothing is acknowledged any more (§7), the pace
    /// lets more leave.
    fn on_loss_timeout(&mut self, now: Instant) {
        let State::Open(open) = &mut self.state else { return };
        let tcb = &mut open.tcb;
        tcb.congestion.on_tick(now);
        tcb.tail.on_timeout(now);
        if tcb.outstanding.rack.deadline.is_some_and(|deadline| now >= deadline) {
            let recovering = tcb.congestion.in_recovery();
            let changes = tcb.outstanding.on_reordering_timeout(now, recovering);
            self.on_changes(now, &changes);
        }
    }

    fn on_pmtu_timeout(&mut self, now: Instant) {
        if let Some(tcb) = self.state.tcb_mut() {
            tcb.pmtu.on_timeout(now);
        }
    }

    fn on_ack_timeout(&mut self, now: Instant) {
        let Some(tcb) = self.state.tcb_mut() else { return };
        if tcb.ack.deadline.is_some_and(|deadline| now >= deadline) {
            tcb.ack.deadline = None;
            tcb.ack.now = true;
        }
    }

    fn on_shutdown_timeout(&mut self, now: Instant) {
        let State::Open(open) = &mut self.state else { return };
        if open.guard.is_some_and(|guard| now >= guard) {
            let reason = CloseReason::TooManyRetransmissions;
            return self.end_with_abort(reason, CauseCode::PROTOCOL_VIOLATION, b"shutdown takes too long");
        }
        let Open { tcb, phase, .. } = &mut **open;
        let Some(t2) = phase.t2() else { return };
        if t2.deadline.is_some_and(|deadline| now >= deadline) {
            *t2 = crate::shutdown::T2::DUE;
            tcb.rto.back_off();
            self.count_error();
        }
    }
}

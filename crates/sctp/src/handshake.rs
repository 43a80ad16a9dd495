//! The handshake (RFC 9260 §5): four messages, no state at the side that answers until a cookie comes back, and both sides
//! may begin at once.
//!
//! ```text
//!   connect()                                              INIT arrives, in any state
//!  ┌────────┐ INIT ──▶ ┌─────────────┐                      ──▶ INIT ACK with a cookie, no change of state
//!  │ closed │ ───────▶ │ COOKIE-WAIT │
//!  └────────┘          └─────────────┘
//!       │               INIT ACK │ COOKIE ECHO ──▶
//!       │               ┌───────────────┐
//!       │               │ COOKIE-ECHOED │
//!       │               └───────────────┘
//!       │ good cookie    COOKIE ACK, or │ good cookie
//!       ▼                               ▼
//!      ┌──────────────────────────────────┐
//!      │            ESTABLISHED           │
//!      └──────────────────────────────────┘
//! ```

use std::time::{Duration, Instant};

use peerline_wire::Serial32;
use rand::Rng;
use rand::rngs::StdRng;

use crate::association::{Association, CookieEchoed, CookieWait, Open, State};
use crate::cookie::{Agreement, Capabilities, Cookie, Side};
use crate::shutdown::{Phase, T2};
use crate::tcb::Tcb;
use crate::tx::outstanding::Outstanding;
use crate::tx::send_queue::News;
use crate::wire::{
    CauseCode, Causes, Chunk, ChunkType, CookieEcho, Errors, Header, Init, ParameterType, Parameters, write_cause,
    write_parameter,
};
use crate::{CloseReason, Config, Event};

/// How long our first INIT waits for the COOKIE ECHO of a peer whose INIT came before it left: long enough for a round trip on
/// most paths, short enough that a lost INIT ACK costs little.
const COURTESY: Duration = Duration::from_millis(100);

/// The peer may be busy for so long.
const LEAST: Duration = Duration::from_millis(50);

/// The T1-init and T1-cookie timers (§4, §5.1).
#[derive(Debug)]
pub(crate) struct T1 {
    /// To be sent now.
    pub(crate) due: bool,
    /// It has been sent.
    begun: bool,
    pub(crate) deadline: Option<Instant>,
    rto: Duration,
    /// How long doubling makes it, if the round trip is known. There is no data that could congest the path.
    longest: Option<Duration>,
    retransmits: u32,
}

impl T1 {
    /// `round_trip`: what somebody else has measured. Whoever answers does so at once, so this is RFC 9260 §6.3.1 C2 as it stands.
    fn new(config: &Config, round_trip: Option<Duration>) -> Self {
        let rto = round_trip
            .map_or(config.rto_initial, |rtt| rtt.saturating_mul(3).max(LEAST))
            .clamp(Duration::from_millis(1), config.rto_max.max(Duration::from_millis(1)));
        Self {
            due: true,
            begun: false,
            deadline: None,
            rto,
            longest: round_trip.map(|_| (rto * 2).max(Duration::from_millis(500))),
            retransmits: 0,
        }
    }

    /// It leaves now.
    pub(crate) fn on_sent(&mut self, now: Instant) {
        self.due = false;
        self.begun = true;
        self.deadline = now.checked_add(self.rto);
    }

    /// The first one can wait: the peer has begun.
    fn give_way(&mut self, now: Instant) {
        if self.due && !self.begun {
            self.due = false;
            self.deadline = now.checked_add(COURTESY.min(self.rto));
        }
    }

    fn has_expired(&mut self, now: Instant) -> bool {
        let expired = self.deadline.is_some_and(|deadline| now >= deadline);
        if expired {
            self.deadline = None;
        }
        expired
    }

    /// False if there have been enough attempts.
    fn retry(&mut self, config: &Config) -> bool {
        self.due = true;
        if !self.begun {
            return true;
        }
        self.retransmits += 1;
        self.rto = config.backed_off(self.rto);
        self.rto = self.longest.map_or(self.rto, |longest| self.rto.min(longest));
        self.retransmits <= config.max_init_retransmits
    }
}

/// A tag and a first TSN.
pub(crate) fn new_side(rng: &mut StdRng) -> Side {
    // §5.3.1: "The Initiate Tag MUST NOT be 0", so that no packet but an INIT has that tag.
    Side {
        tag: rng.next_u32().max(1),
        initial_tsn: Serial32(rng.next_u32()),
    }
}

impl Association {
    pub(crate) fn begin_handshake(&mut self) {
        if matches!(self.state, State::Closed) {
            self.state = State::CookieWait(Box::new(CookieWait {
                local: self.local,
                t1: T1::new(&self.config, self.round_trip),
                sent: None,
            }));
        }
    }

    pub(crate) fn on_handshake_timeout(&mut self, now: Instant) {
        let t1 = match &mut self.state {
            State::CookieWait(wait) => &mut wait.t1,
            State::CookieEchoed(echoed) => &mut echoed.t1,
            _ => return,
        };
        if !t1.has_expired(now) {
            return;
        }
        if !t1.retry(&self.config) {
            return self.end(CloseReason::HandshakeTimeout);
        }
        // The DATA that went with the COOKIE ECHO goes with it again.
        if let State::CookieEchoed(echoed) = &mut self.state {
            let abandoned = echoed.tcb.outstanding.on_timeout(now);
            self.settle_abandoned(&abandoned);
        }
    }

    // --- what we offer

    /// Writes an INIT or an INIT ACK without its cookie.
    pub(crate) fn init<'a>(&self, local: Side, streams: (u16, u16), parameters: &'a [u8]) -> Init<'a> {
        Init {
            initiate_tag: local.tag,
            a_rwnd: self.config.receive_window,
            outgoing_streams: streams.0,
            incoming_streams: streams.1,
            initial_tsn: local.initial_tsn,
            parameters: Parameters::decode(parameters).unwrap_or_default(),
        }
    }

    pub(crate) fn parameters(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write_parameter(&mut out, ParameterType::FORWARD_TSN, &[]);
        let mut extensions = vec![ChunkType::RE_CONFIG.0, ChunkType::FORWARD_TSN.0];
        if self.config.interleaving {
            extensions.extend([ChunkType::I_DATA.0, ChunkType::I_FORWARD_TSN.0]);
        }
        write_parameter(&mut out, ParameterType::SUPPORTED_EXTENSIONS, &extensions);
        if self.config.zero_checksum {
            write_parameter(&mut out, ParameterType::ZERO_CHECKSUM, &DTLS_ERROR_DETECTION);
        }
        out
    }

    // --- INIT

    /// §5.1 B, §5.2.1, §5.2.2: an INIT is answered in every state, and changes none.
    pub(crate) fn on_init(&mut self, now: Instant, init: &Init<'_>) {
        let local = match &mut self.state {
            // §5.2.1: "Upon receipt of an INIT chunk in the COOKIE-WAIT state, an endpoint MUST respond with an INIT ACK
            // chunk using the same parameters it sent in its original INIT chunk (including its Initiate Tag, unchanged)."
            State::CookieWait(wait) => wait.local,
            State::CookieEchoed(echoed) => echoed.tcb.agreement.local,
            // §9.2: "If an endpoint is in the SHUTDOWN-ACK-SENT state and receives an INIT chunk […] it SHOULD discard the
            // INIT chunk and retransmit the SHUTDOWN ACK chunk."
            State::Open(open) if matches!(open.phase, Phase::ShutdownAckSent(_)) => {
                open.phase = Phase::ShutdownAckSent(T2::DUE);
                return;
            }
            State::Closed => self.local,
            State::Open(_) => new_side(&mut self.rng()),
            State::Ended => return,
        };
        if !is_acceptable(init) {
            self.stats.malformed += 1;
            return;
        }
        let tie_tags = match self.state.tcb() {
            Some(tcb) => (tcb.agreement.local.tag, tcb.agreement.peer.tag),
            None => (0, 0),
        };
        let agreement = self.agree(local, init);
        let cookie = Cookie {
            created: self.age(now),
            agreement,
            tie_tags,
        }
        .seal(&self.cookie_key);
        let mut parameters = Vec::new();
        write_parameter(&mut parameters, ParameterType::STATE_COOKIE, &cookie);
        parameters.extend_from_slice(&self.parameters());
        for unknown in unrecognized(&init.parameters) {
            write_parameter(&mut parameters, ParameterType::UNRECOGNIZED, &unknown);
        }
        let streams = (agreement.outgoing_streams, self.config.incoming_streams);
        let ack = Chunk::InitAck(self.init(local, streams, &parameters));
        self.reply(init.initiate_tag, &[ack]);
        // Both sides of a WebRTC session begin, and one is often ahead: its COOKIE ECHO will do for both (§5.2.4, action B).
        // Two crossing handshakes are two packets more at each side's expense.
        if let State::CookieWait(wait) = &mut self.state {
            wait.t1.give_way(now);
        }
    }

    /// What both sides can do.
    pub(crate) fn agree(&self, local: Side, init: &Init<'_>) -> Agreement {
        Agreement {
            local,
            peer: Side {
                tag: init.initiate_tag,
                initial_tsn: init.initial_tsn,
            },
            peer_window: init.a_rwnd,
            // §5.1.1: each side uses no more streams than the other accepts.
            outgoing_streams: self.config.outgoing_streams.min(init.incoming_streams),
            incoming_streams: self.config.incoming_streams.min(init.outgoing_streams),
            peer_can: self.capabilities(&init.parameters),
        }
    }

    // --- INIT ACK

    pub(crate) fn on_init_ack(&mut self, now: Instant, ack: &Init<'_>) {
        // §5.2.3: "If an INIT ACK chunk is received by an endpoint in any state other than the COOKIE-WAIT or CLOSED
        // state, the endpoint SHOULD discard the INIT ACK chunk."
        let State::CookieWait(wait) = &mut self.state else {
            return;
        };
        let limit = self.packet_size - Header::LEN - 4;
        let cookie = ack.parameters.find(ParameterType::STATE_COOKIE);
        let cookie = cookie.filter(|cookie| !cookie.is_empty() && cookie.len() <= limit);
        let (Some(cookie), true) = (cookie, is_acceptable(ack)) else {
            self.stats.malformed += 1;
            return;
        };
        let (local, sent) = (wait.local, wait.sent.take());
        let agreement = self.agree(local, ack);
        let mut tcb = Tcb::new(&self.config, self.round_trip, agreement, now);
        if let Some(sent) = sent {
            tcb.outstanding = sent;
        }
        // §3.2.2: unknown parameters of an INIT ACK are reported in an ERROR behind the COOKIE ECHO.
        let mut causes = Vec::new();
        for unknown in unrecognized(&ack.parameters) {
            write_cause(&mut causes, CauseCode::UNRECOGNIZED_PARAMETERS, &unknown);
        }
        if !causes.is_empty() && causes.len() + cookie.len() + 8 <= self.control_limit() {
            let causes = Causes::decode(&causes).unwrap_or_default();
            Chunk::Error(Errors { causes }).encode(&mut tcb.control);
        }
        self.state = State::CookieEchoed(Box::new(CookieEchoed {
            tcb,
            cookie: cookie.to_vec(),
            t1: T1::new(&self.config, self.round_trip),
            then_shutdown: false,
        }));
        self.adopt(&agreement);
    }

    /// The send queue learns what the peer accepts.
    fn adopt(&mut self, agreement: &Agreement) {
        let mut news = News {
            events: &mut self.events,
            sent: &mut self.stats.messages_sent,
            abandoned: &mut self.stats.messages_abandoned,
        };
        self.queue.truncate_streams(agreement.outgoing_streams, &mut news);
        self.queue.adopt(agreement);
    }

    // --- COOKIE ECHO

    /// §5.1.5, §5.2.4. `true`: what follows in the packet may be looked at.
    pub(crate) fn on_cookie_echo(&mut self, now: Instant, header: Header, echo: &CookieEcho<'_>) -> bool {
        let Some(cookie) = Cookie::open(echo.cookie, &self.cookie_key) else {
            self.stats.cookies_refused += 1;
            return false;
        };
        let Agreement { local, peer, .. } = cookie.agreement;
        // §5.1.5 (3): the tag of the packet must be the one in the cookie.
        if header.verification_tag != local.tag {
            self.stats.bad_tags += 1;
            return false;
        }
        let known = match &self.state {
            State::CookieWait(wait) => Some((wait.local.tag, 0)),
            State::Closed => None,
            State::Ended => return false,
            State::CookieEchoed(_) | State::Open(_) => self
                .state
                .tcb()
                .map(|tcb| (tcb.agreement.local.tag, tcb.agreement.peer.tag)),
        };
        // §5.2.4 (3): stale, unless both tags are those of this association.
        let age = self.age(now).saturating_sub(cookie.created);
        let stale = Duration::from_millis(age).saturating_sub(self.config.cookie_lifetime);
        if !stale.is_zero() && known != Some((local.tag, peer.tag)) {
            self.stats.cookies_refused += 1;
            let staleness = u32::try_from(stale.as_micros()).unwrap_or(u32::MAX).to_be_bytes();
            let mut causes = Vec::new();
            write_cause(&mut causes, CauseCode::STALE_COOKIE, &staleness);
            let causes = Causes::decode(&causes).unwrap_or_default();
            self.reply(peer.tag, &[Chunk::Error(Errors { causes })]);
            return false;
        }
        match known {
            None => self.establish(now, cookie.agreement),
            // Table 12, action D: both tags match.
            Some(tags) if tags == (local.tag, peer.tag) => self.on_cookie_matched(now),
            // Action B: the peer began at the same time, and has taken another tag since.
            Some((tag, _)) if tag == local.tag => self.establish(now, cookie.agreement),
            // Action A: neither matches, but the cookie knows the association: the peer has restarted.
            Some(tags) if tags.1 != peer.tag && tags == cookie.tie_tags => {
                return self.on_restart(now, cookie.agreement);
            }
            // Action C and everything else.
            Some(_) => {
                self.stats.cookies_refused += 1;
                return false;
            }
        }
        self.send_cookie_ack();
        true
    }

    /// A cookie says all that is needed: ESTABLISHED, from any state before it, or with a peer that changed its tag.
    pub(crate) fn establish(&mut self, now: Instant, agreement: Agreement) {
        // What has been sent with the COOKIE ECHO went as what was agreed then.
        let interleaving = agreement.peer_can.interleaving;
        if self
            .state
            .tcb()
            .is_some_and(|tcb| tcb.agreement.peer_can.interleaving != interleaving)
        {
            return self.end_with_violation(b"a change of mind about I-DATA");
        }
        let (news, then_shutdown) = match &self.state {
            State::Open(open) if open.tcb.agreement.peer.initial_tsn == agreement.peer.initial_tsn => {
                if let State::Open(open) = &mut self.state {
                    open.tcb.agreement = agreement;
                }
                return;
            }
            State::Open(_) => (false, false),
            State::CookieEchoed(echoed) => (true, echoed.then_shutdown),
            _ => (true, false),
        };
        let mut tcb = Tcb::new(&self.config, self.round_trip, agreement, now);
        // What was sent with our own COOKIE ECHO keeps its TSNs.
        let sent = match &mut self.state {
            State::CookieWait(wait) => wait.sent.take(),
            state => state
                .tcb_mut()
                .map(|old| std::mem::replace(&mut old.outstanding, Outstanding::new(Serial32(0), false, 1))),
        };
        if let Some(sent) = sent {
            tcb.outstanding = sent;
            if !tcb.outstanding.is_empty() {
                tcb.restart_t3(now);
            }
        }
        self.state = State::Open(Box::new(Open {
            tcb,
            phase: Phase::Established,
            guard: None,
        }));
        self.adopt(&agreement);
        if news {
            self.events.push_back(Event::Connected);
        }
        if then_shutdown {
            self.begin_shutdown(now);
        }
    }

    fn on_cookie_matched(&mut self, now: Instant) {
        if let State::CookieEchoed(_) = self.state {
            self.open(now);
        }
    }

    /// COOKIE-ECHOED → ESTABLISHED.
    fn open(&mut self, now: Instant) {
        let State::CookieEchoed(echoed) = std::mem::replace(&mut self.state, State::Ended) else {
            return;
        };
        let CookieEchoed {
            mut tcb, then_shutdown, ..
        } = *echoed;
        // T1-cookie watched over the DATA until now.
        if !tcb.outstanding.is_empty() {
            tcb.restart_t3(now);
        }
        tcb.heartbeats.postpone(now);
        self.state = State::Open(Box::new(Open {
            tcb,
            phase: Phase::Established,
            guard: None,
        }));
        self.events.push_back(Event::Connected);
        if then_shutdown {
            self.begin_shutdown(now);
        }
    }

    fn on_restart(&mut self, now: Instant, agreement: Agreement) -> bool {
        if let State::Open(open) = &mut self.state
            && matches!(open.phase, Phase::ShutdownAckSent(_))
        {
            // "it MUST NOT set up a new association but instead resend the SHUTDOWN ACK chunk and send an ERROR chunk with
            // a 'Cookie Received While Shutting Down' error cause to its peer."
            open.phase = Phase::ShutdownAckSent(T2::DUE);
            let mut causes = Vec::new();
            write_cause(&mut causes, CauseCode::COOKIE_WHILE_SHUTTING_DOWN, &[]);
            let causes = Causes::decode(&causes).unwrap_or_default();
            self.reply(agreement.peer.tag, &[Chunk::Error(Errors { causes })]);
            return false;
        }
        let was_connected = matches!(self.state, State::Open(_));
        let tcb = Tcb::new(&self.config, self.round_trip, agreement, now);
        self.state = State::Open(Box::new(Open {
            tcb,
            phase: Phase::Established,
            guard: None,
        }));
        self.queue.restart();
        self.queue.adopt(&agreement);
        self.reassembly.restart();
        let event = if was_connected {
            Event::Restarted
        } else {
            Event::Connected
        };
        // Twice is no more news than once.
        if self.events.back() != Some(&event) {
            self.events.push_back(event);
        }
        self.send_cookie_ack();
        true
    }

    fn send_cookie_ack(&mut self) {
        let limit = self.control_limit();
        if let Some(tcb) = self.state.tcb_mut() {
            tcb.push_control(limit, |out| Chunk::CookieAck.encode(out));
        }
    }

    // --- COOKIE ACK

    /// §5.2.5: "At any state other than COOKIE-ECHOED, an endpoint SHOULD silently discard a received COOKIE ACK chunk."
    pub(crate) fn on_cookie_ack(&mut self, now: Instant) {
        if let State::CookieEchoed(echoed) = &mut self.state {
            echoed.tcb.errors = 0;
            self.open(now);
        }
    }

    /// §5.2.6: our cookie was too old when it came back: begin again.
    pub(crate) fn on_stale_cookie(&mut self, now: Instant) {
        let State::CookieEchoed(echoed) = &mut self.state else {
            return;
        };
        if !echoed.t1.retry(&self.config) {
            return self.end(CloseReason::HandshakeTimeout);
        }
        // What went with the COOKIE ECHO was not looked at, but cannot be unsent: the new handshake has the same tag and
        // the same initial TSN, and the DATA goes with the next cookie.
        let (local, retransmits) = (echoed.tcb.agreement.local, echoed.t1.retransmits);
        let abandoned = echoed.tcb.outstanding.on_timeout(now);
        self.settle_abandoned(&abandoned);
        let State::CookieEchoed(echoed) = std::mem::replace(&mut self.state, State::Ended) else {
            return;
        };
        let t1 = T1 {
            retransmits,
            ..T1::new(&self.config, self.round_trip)
        };
        self.state = State::CookieWait(Box::new(CookieWait {
            local,
            t1,
            sent: Some(echoed.tcb.outstanding),
        }));
    }
}

/// §3.3.2: no tag of zero, and at least one stream each way.
pub(crate) fn is_acceptable(init: &Init<'_>) -> bool {
    init.initiate_tag != 0 && init.outgoing_streams != 0 && init.incoming_streams != 0
}

/// RFC 9653 §4: error detection method 1 is DTLS.
const DTLS_ERROR_DETECTION: [u8; 4] = 1u32.to_be_bytes();

impl Association {
    fn capabilities(&self, parameters: &Parameters<'_>) -> Capabilities {
        let extensions = parameters.find(ParameterType::SUPPORTED_EXTENSIONS).unwrap_or_default();
        let supports = |kind: ChunkType| extensions.contains(&kind.0);
        // RFC 8260 §2.2.1: "User message interleaving has been negotiated for an association if both endpoints have
        // indicated I-DATA support."
        let interleaving = self.config.interleaving && supports(ChunkType::I_DATA);
        Capabilities {
            interleaving,
            // RFC 8260 §2.3.1: "The partial reliability extension is negotiated and can be used in combination with user
            // message interleaving only if both endpoints indicated their support of user message interleaving and the
            // I-FORWARD-TSN chunk."
            forward_tsn: if interleaving {
                supports(ChunkType::I_FORWARD_TSN)
            } else {
                parameters.find(ParameterType::FORWARD_TSN).is_some() || supports(ChunkType::FORWARD_TSN)
            },
            re_config: supports(ChunkType::RE_CONFIG),
            zero_checksum: parameters.find(ParameterType::ZERO_CHECKSUM) == Some(&DTLS_ERROR_DETECTION[..]),
        }
    }
}

/// The parameters that are unknown and ask to be reported (§3.2.1), whole; a few short ones, since an answer must not be
/// much longer than its question.
fn unrecognized(parameters: &Parameters<'_>) -> Vec<Vec<u8>> {
    const KNOWN: [ParameterType; 10] = [
        ParameterType::IPV4_ADDRESS,
        ParameterType::IPV6_ADDRESS,
        ParameterType::STATE_COOKIE,
        ParameterType::UNRECOGNIZED,
        ParameterType::COOKIE_PRESERVATIVE,
        ParameterType::SUPPORTED_ADDRESS_TYPES,
        ParameterType::ECN_CAPABLE,
        ParameterType::ZERO_CHECKSUM,
        ParameterType::SUPPORTED_EXTENSIONS,
        ParameterType::FORWARD_TSN,
    ];
    let mut reported = Vec::new();
    for parameter in parameters.iter().filter(|parameter| !KNOWN.contains(&parameter.kind)) {
        let action = parameter.kind.unknown_action();
        if action.report && parameter.value.len() <= 64 && reported.len() < 4 {
            let mut whole = Vec::new();
            write_parameter(&mut whole, parameter.kind, parameter.value);
            reported.push(whole);
        }
        if !action.skip {
            break;
        }
    }
    reported
}

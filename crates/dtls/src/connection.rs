//! [`Connection`]: one DTLS connection, from the first hello to the last alert.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use peerline_wire::{Reader, Writer};

use crate::certificate::{Certificate, Fingerprint};
use crate::config::{Config, Role};
use crate::dtls12::client::Client;
use crate::dtls12::server::Server;
use crate::dtls12::{Context, Progress, Session};
use crate::error::{ExportError, Fault};
use crate::event::{CloseReason, Event};
use crate::flight::Expiry;
use crate::reassembly::{Message, Outcome};
use crate::record_layer::{Discard, Epoch};
use crate::stats::Stats;
use crate::wire::alert::{Alert, AlertDescription, AlertLevel};
use crate::wire::handshake::{Fragment, HandshakeType};
use crate::wire::record::{ContentType, Record, RecordHeader};
use crate::wire::{CipherSuite, ProtocolVersion, SrtpProfile};

/// One DTLS connection. It is told the time and the datagrams, and does no I/O itself.
///
/// - *In*: [`handle_datagram`](Self::handle_datagram), [`handle_timeout`](Self::handle_timeout).
/// - *Out*: [`poll_transmit`](Self::poll_transmit) for the handshake and alerts, [`poll_timeout`](Self::poll_timeout),
///   [`poll_event`](Self::poll_event). They may be called in any order, and any call may change what they return.
/// - *Payload*: [`enclose`](Self::enclose) out, [`recv`](Self::recv) in.
/// - *Commands*: [`set_remote_fingerprints`](Self::set_remote_fingerprints), [`close`](Self::close),
///   [`shrink_to_fit`](Self::shrink_to_fit).
/// - The rest are getters. What the handshake negotiates is `None` until [`Event::Connected`], and, but for the
///   certificates, again after [`Event::Closed`].
pub struct Connection {
    role: Role,
    cx: Context,
    state: State,
    now: Option<Instant>,
    /// Protected records that came before their keys, or before the Finished that makes them trustworthy.
    early: VecDeque<Record>,
    /// Early records have a chance now.
    retry_early: bool,
    unread: VecDeque<BytesMut>,
    news: News,
    alert: Option<Alert>,
    doubt: Option<Doubt>,
    farewell: Option<Farewell>,
    /// The peer's certificate has been vouched for and the handshake completed.
    verified: bool,
    stats: Stats,
}

enum State {
    Client(Client),
    Server(Server),
    Connected(Session),
    Closed,
}

/// Events that have not been polled, each at most once.
#[derive(Default)]
struct News {
    connected: bool,
    readable: bool,
    closed: Option<CloseReason>,
    /// `Readable` was announced, and `recv` has not returned `None` since.
    announced: bool,
}

/// A fatal alert that may be forged.
struct Doubt {
    alert: AlertDescription,
    deadline: Instant,
}

/// The last alert sent: sent again, a few times, to a peer that seems to have missed it.
struct Farewell {
    alert: Alert,
    repeats_left: u8,
}

/// How often the last alert is repeated.
const FAREWELL_REPEATS: u8 = 8;

impl Connection {
    /// The most that [`overhead`](Self::overhead) can be: the record header, GCM's explicit nonce and its tag.
    pub const MAX_OVERHEAD: usize = RecordHeader::LEN + 8 + 16;

    /// A connection at its start. A client has its first flight ready; a server waits for one.
    #[must_use]
    pub fn new(mut config: Config, role: Role) -> Self {
        config.mtu = config.mtu.max(Config::MIN_MTU);
        let mut cx = Context::new(config);
        let state = match role {
            Role::Client => Client::start(&mut cx).map(State::Client),
            Role::Server => Server::start(&cx).map(State::Server),
        };
        let mut connection = Self {
            role,
            cx,
            state: State::Closed,
            now: None,
            early: VecDeque::new(),
            retry_early: false,
            unread: VecDeque::new(),
            news: News::default(),
            alert: None,
            doubt: None,
            farewell: None,
            verified: false,
            stats: Stats::default(),
        };
        match state {
            Ok(state) => connection.state = state,
            Err(fault) => connection.end(CloseReason::Failed(fault), None),
        }
        connection
    }

    // Getters.

    /// Which side this is.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// True between [`Event::Connected`] and [`Event::Closed`].
    #[must_use]
    pub fn is_connected(&self) -> bool {
        matches!(self.state, State::Connected(_))
    }

    /// True once the connection has ended. It still has its last alert to transmit, and perhaps data to be read.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// The version negotiated.
    #[must_use]
    pub fn version(&self) -> Option<ProtocolVersion> {
        self.session().map(|_| ProtocolVersion::DTLS_1_2)
    }

    /// The cipher suite negotiated.
    #[must_use]
    pub fn cipher_suite(&self) -> Option<CipherSuite> {
        self.session().map(|session| session.keys.suite.id)
    }

    /// The SRTP profile negotiated, if the peer has one in common.
    #[must_use]
    pub fn srtp_profile(&self) -> Option<SrtpProfile> {
        self.session().and_then(|session| session.srtp_profile)
    }

    /// The peer's certificate in DER, once it has been vouched for and the handshake is complete.
    #[must_use]
    pub fn peer_certificate_der(&self) -> Option<&[u8]> {
        self.cx.peer_certificate().filter(|_| self.verified)
    }

    /// This side's certificate.
    #[must_use]
    pub fn local_certificate(&self) -> &Arc<Certificate> {
        &self.cx.config.certificate
    }

    /// The fingerprints of which one has to match the peer's certificate.
    #[must_use]
    pub fn remote_fingerprints(&self) -> &[Fingerprint] {
        &self.cx.config.remote_fingerprints
    }

    /// What has been counted so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// By how many bytes [`enclose`](Self::enclose) outgrows what it encloses: at most 37. Before the handshake is
    /// complete it is the most it can be.
    #[must_use]
    pub fn overhead(&self) -> usize {
        match self.state {
            State::Connected(_) => self.cx.records.overhead(Epoch::Protected),
            _ => Self::MAX_OVERHEAD,
        }
    }

    /// Keying material that only the two sides of this connection know (RFC 5705), for SRTP (RFC 5764 §4.2) with the
    /// label `EXTRACTOR-dtls_srtp` and no context. An empty context is another than none.
    ///
    /// # Errors
    /// [`ExportError`] if the connection is not connected, or label or context are not to be had.
    pub fn export_keying_material(
        &self,
        label: &str,
        context: Option<&[u8]>,
        out: &mut [u8],
    ) -> Result<(), ExportError> {
        self.session()
            .ok_or(ExportError::NotConnected)?
            .keys
            .export(label.as_bytes(), context, out)
    }

    fn session(&self) -> Option<&Session> {
        match &self.state {
            State::Connected(session) => Some(session),
            State::Client(_) | State::Server(_) | State::Closed => None,
        }
    }

    // Commands.

    /// The fingerprints signalled for the peer's certificate; they replace those before. A handshake that held for
    /// want of them goes on, or fails if none matches. Once the connection is connected, they have no effect: a new
    /// certificate takes a new connection (RFC 8842 §4).
    pub fn set_remote_fingerprints(&mut self, now: Instant, fingerprints: Vec<Fingerprint>) {
        let now = self.advance_clock(now);
        if self.is_connected() || self.is_closed() {
            return;
        }
        self.cx.config.remote_fingerprints = fingerprints;
        let progress = match self.take_state() {
            State::Client(client) => client
                .on_fingerprints(&mut self.cx)
                .map(|client| Progress::Next(State::Client(client))),
            State::Server(server) => server.on_fingerprints(&mut self.cx).map(|progress| match progress {
                Progress::Next(server) => Progress::Next(State::Server(server)),
                Progress::Connected(session) => Progress::Connected(session),
            }),
            state @ (State::Connected(_) | State::Closed) => Ok(Progress::Next(state)),
        };
        self.on_progress(progress);
        self.settle(now);
    }

    /// Ends the connection: `close_notify` is transmitted, nothing more is received.
    pub fn close(&mut self, now: Instant) {
        self.advance_clock(now);
        if !self.is_closed() {
            self.end(CloseReason::Local, Some(Alert::warning(AlertDescription::CLOSE_NOTIFY)));
        }
    }

    /// Gives back the room that data took which has been read: for a connection that carries none for a while.
    pub fn shrink_to_fit(&mut self) {
        self.early.shrink_to_fit();
        self.unread.shrink_to_fit();
    }

    // In.

    /// Takes in a datagram, which is decrypted in place. Whatever is wrong with it is counted and dropped.
    pub fn handle_datagram(&mut self, now: Instant, mut datagram: BytesMut) {
        let now = self.advance_clock(now);
        self.stats.datagrams_received += 1;
        self.stats.bytes_received += datagram.len() as u64;
        if self.is_closed() {
            self.repeat_farewell();
            return;
        }
        while !datagram.is_empty() && !self.is_closed() {
            let Ok(record) = Record::split_off(&mut datagram) else {
                self.stats.records_malformed += 1;
                return;
            };
            self.on_record(now, record);
            self.settle(now);
        }
    }

    /// Tells the time; to be called when [`poll_timeout`](Self::poll_timeout) has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.advance_clock(now);
        match self.cx.flight.handle_timeout(now, &self.cx.config) {
            Expiry::NotYet => {}
            Expiry::Retransmit => self.stats.retransmissions += 1,
            Expiry::GiveUp => self.end(CloseReason::Timeout, None),
        }
        if let Some(doubt) = self.doubt.take_if(|doubt| doubt.deadline <= now) {
            self.end(CloseReason::PeerAlert(doubt.alert), None);
        }
    }

    // Out.

    /// Appends the next datagram of the handshake, or an alert. `None` if there is none: `out` is as before.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<usize> {
        let now = self.advance_clock(now);
        let Context {
            flight,
            records,
            config,
            write_epoch,
            ..
        } = &mut self.cx;
        let len = flight.poll_transmit(now, config.mtu, records, out).or_else(|| {
            let alert = self.alert.take()?;
            records.enclose(*write_epoch, ContentType::ALERT, out, |out| {
                alert.encode(&mut Writer::new(out));
                Some(2)
            })
        })?;
        self.stats.count_sent(len);
        Some(len)
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let doubt = self.doubt.as_ref().map(|doubt| doubt.deadline);
        self.cx.flight.deadline().into_iter().chain(doubt).min()
    }

    /// The next news.
    pub fn poll_event(&mut self) -> Option<Event> {
        if std::mem::take(&mut self.news.connected) {
            return Some(Event::Connected);
        }
        if std::mem::take(&mut self.news.readable) {
            return Some(Event::Readable);
        }
        self.news.closed.take().map(Event::Closed)
    }

    /// The payload of the next record received.
    pub fn recv(&mut self) -> Option<BytesMut> {
        let payload = self.unread.pop_front();
        if payload.is_none() {
            self.news.announced = false;
        }
        payload
    }

    /// Appends one datagram, a record around what `fill` appends. `None`, and `out` as before, if the connection is
    /// not connected (`fill` is then not called), or if `fill` returns `None`, appends nothing or more than the 16,384
    /// bytes that a record holds. To keep a datagram to the MTU is up to `fill`: see [`overhead`](Self::overhead).
    pub fn enclose(&mut self, out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>) -> Option<usize>) -> Option<usize> {
        if !self.is_connected() {
            return None;
        }
        let len = self
            .cx
            .records
            .enclose(Epoch::Protected, ContentType::APPLICATION_DATA, out, fill)?;
        self.stats.count_sent(len);
        Some(len)
    }

    // Records.

    fn on_record(&mut self, now: Instant, record: Record) {
        // RFC 6347 §4.1: every version of DTLS has 254 in its first byte. Which one it is does not matter: before the
        // ServerHello it says little, and after it the AEAD covers it.
        if record.header.version.0 >> 8 != 0xfe {
            self.stats.records_malformed += 1;
            return;
        }
        match Epoch::from_number(record.header.epoch) {
            Some(Epoch::Plain) => self.on_plaintext(now, &record),
            Some(Epoch::Protected) => self.on_protected(now, record),
            None => self.stats.records_unexpected += 1,
        }
    }

    /// Anyone can send plaintext, so once the handshake is complete none of it counts.
    fn on_plaintext(&mut self, now: Instant, record: &Record) {
        match record.header.content_type {
            _ if self.is_connected() => self.stats.records_unexpected += 1,
            ContentType::HANDSHAKE => self.on_fragments(now, Epoch::Plain, &record.payload),
            ContentType::ALERT => self.on_doubtful_alert(now, &record.payload),
            // What a ChangeCipherSpec says, the epoch of the records after it says as well, and reliably: it may be
            // lost or come early without harm. Only a Finished completes a handshake.
            ContentType::CHANGE_CIPHER_SPEC => {}
            _ => self.stats.records_unexpected += 1,
        }
    }

    fn on_protected(&mut self, now: Instant, record: Record) {
        let content_type = record.header.content_type;
        let trusted = self.is_connected() || content_type != ContentType::APPLICATION_DATA;
        if !trusted || !self.cx.records.can_open() {
            // RFC 6347 §4.1: records of the next epoch may come before the handshake message that leads to it; they
            // may be kept.
            if self.early.len() < self.cx.config.max_early_records {
                self.early.push_back(record);
            } else {
                self.stats.records_unexpected += 1;
            }
            return;
        }
        let payload = match self.cx.records.open(record) {
            Ok(payload) => payload,
            Err(Discard::Replayed) => return self.stats.records_replayed += 1,
            Err(Discard::Forged) => return self.stats.records_forged += 1,
        };
        match content_type {
            ContentType::APPLICATION_DATA => self.deliver(payload),
            ContentType::ALERT => self.on_alert(&payload),
            ContentType::HANDSHAKE if self.is_connected() => self.on_late_fragments(now, &payload),
            ContentType::HANDSHAKE => self.on_fragments(now, Epoch::Protected, &payload),
            _ => self.stats.records_unexpected += 1,
        }
    }

    fn deliver(&mut self, payload: BytesMut) {
        // RFC 5246 §6.2.1 allows empty records; they mean nothing.
        if payload.is_empty() {
            return;
        }
        if self.unread.len() >= self.cx.config.max_unread_records {
            self.stats.unread_dropped += 1;
            return;
        }
        self.unread.push_back(payload);
        if !self.news.announced {
            self.news.announced = true;
            self.news.readable = true;
        }
    }

    // Alerts.

    /// An alert under the handshake's keys: the peer's own word.
    fn on_alert(&mut self, payload: &[u8]) {
        match Alert::decode(payload) {
            // RFC 5246 §7.2.1: "The other party MUST respond with a close_notify alert of its own and close down the
            // connection immediately".
            Ok(Alert {
                description: AlertDescription::CLOSE_NOTIFY,
                ..
            }) => {
                self.end(
                    CloseReason::CloseNotify,
                    Some(Alert::warning(AlertDescription::CLOSE_NOTIFY)),
                );
            }
            Ok(Alert {
                level: AlertLevel::FATAL,
                description,
            }) => self.end(CloseReason::PeerAlert(description), None),
            Ok(_) => self.stats.alerts_ignored += 1,
            Err(_) => self.stats.records_malformed += 1,
        }
    }

    /// An alert in plaintext, during the handshake. It may be all that a peer who refuses us can say, or forged: so
    /// it ends the handshake only if the handshake gets no further for a while.
    fn on_doubtful_alert(&mut self, now: Instant, payload: &[u8]) {
        let Ok(alert) = Alert::decode(payload) else {
            self.stats.records_malformed += 1;
            return;
        };
        self.stats.alerts_ignored += 1;
        let held = match &self.state {
            State::Client(client) => client.is_held(),
            State::Server(server) => server.is_held() || server.awaits_client_hello(),
            State::Connected(_) | State::Closed => true,
        };
        let ends = alert.level == AlertLevel::FATAL || alert.description == AlertDescription::CLOSE_NOTIFY;
        if ends && !held && self.doubt.is_none() {
            self.doubt = now.checked_add(self.cx.config.alert_patience).map(|deadline| Doubt {
                alert: alert.description,
                deadline,
            });
        }
    }

    // The handshake.

    fn on_fragments(&mut self, now: Instant, epoch: Epoch, payload: &[u8]) {
        let mut r = Reader::new(payload);
        while !r.is_empty() {
            let Ok(fragment) = Fragment::decode(&mut r) else {
                self.stats.fragments_dropped += 1;
                return;
            };
            match self.cx.reassembly.insert(epoch, &fragment) {
                Outcome::Kept => {}
                Outcome::Old => self.on_old_fragment(now, &fragment),
                Outcome::Dropped => self.stats.fragments_dropped += 1,
            }
        }
    }

    /// RFC 6347 §4.2.4: "when in the WAITING state, [if] the implementation reads a retransmitted flight from the
    /// peer: the implementation transitions to the SENDING state, where it retransmits the flight".
    fn on_old_fragment(&mut self, now: Instant, fragment: &Fragment<'_>) {
        let asks_again = Some(fragment.header.message_seq) == self.cx.answers && fragment.ends_message();
        if asks_again && self.cx.flight.on_peer_retransmission(now, &self.cx.config) {
            self.stats.retransmissions += 1;
        }
    }

    /// Handshake messages after the handshake.
    fn on_late_fragments(&mut self, now: Instant, payload: &[u8]) {
        let mut r = Reader::new(payload);
        while !r.is_empty() {
            let Ok(fragment) = Fragment::decode(&mut r) else {
                self.stats.fragments_dropped += 1;
                return;
            };
            match (self.role, fragment.header.kind) {
                // RFC 6347 §4.2.4: the side with the last flight answers a retransmitted Finished with that flight.
                (_, HandshakeType::FINISHED) => self.on_old_fragment(now, &fragment),
                // RFC 5246 §7.2.2: a peer that does not renegotiate says so in a warning, and goes on.
                (Role::Server, HandshakeType::CLIENT_HELLO) if self.alert.is_none() => {
                    self.alert = Some(Alert::warning(AlertDescription::NO_RENEGOTIATION));
                }
                // RFC 5246 §7.4.1.1: a HelloRequest "MAY be ignored by the client if it does not wish to renegotiate".
                _ => self.stats.fragments_dropped += 1,
            }
        }
    }

    /// Carries news between the layers until all are quiet.
    fn settle(&mut self, now: Instant) {
        self.advance_handshake();
        // Twice at most: once the keys are there, and once the handshake is complete.
        while std::mem::take(&mut self.retry_early) {
            for record in std::mem::take(&mut self.early) {
                self.on_protected(now, record);
                self.advance_handshake();
            }
        }
    }

    fn advance_handshake(&mut self) {
        while let Some(message) = self.next_message() {
            let could_open = self.cx.records.can_open();
            let progress = match self.take_state() {
                State::Client(client) => client.handle(&mut self.cx, &message).map(|progress| match progress {
                    Progress::Next(client) => Progress::Next(State::Client(client)),
                    Progress::Connected(session) => Progress::Connected(session),
                }),
                State::Server(server) => server.handle(&mut self.cx, &message).map(|progress| match progress {
                    Progress::Next(server) => Progress::Next(State::Server(server)),
                    Progress::Connected(session) => Progress::Connected(session),
                }),
                state @ (State::Connected(_) | State::Closed) => Ok(Progress::Next(state)),
            };
            self.retry_early |= !could_open && self.cx.records.can_open();
            self.on_progress(progress);
        }
    }

    fn next_message(&mut self) -> Option<Message> {
        let message = match &self.state {
            State::Connected(_) | State::Closed => return None,
            State::Server(server) if server.awaits_client_hello() => return self.cx.reassembly.pop_any(),
            State::Client(_) | State::Server(_) => self.cx.reassembly.pop()?,
        };
        // Finished is protected, and nothing else is.
        if (message.kind == HandshakeType::FINISHED) != (message.epoch == Epoch::Protected) {
            self.fail(Fault::UnexpectedMessage);
            return None;
        }
        // The peer goes on with the handshake, so it did not send that alert.
        self.doubt = None;
        Some(message)
    }

    fn on_progress(&mut self, progress: Result<Progress<State>, Fault>) {
        match progress {
            Ok(Progress::Next(state)) => self.state = state,
            Ok(Progress::Connected(session)) => {
                self.state = State::Connected(session);
                self.verified = true;
                self.doubt = None;
                self.news.connected = true;
                self.retry_early = true;
            }
            Err(fault) => self.fail(fault),
        }
    }

    fn fail(&mut self, fault: Fault) {
        self.cx.flight.finish();
        self.end(CloseReason::Failed(fault), Some(Alert::fatal(fault.alert())));
    }

    fn take_state(&mut self) -> State {
        std::mem::replace(&mut self.state, State::Closed)
    }

    // The end.

    /// Ends the connection, freeing everything but what is still to be sent and read.
    fn end(&mut self, reason: CloseReason, alert: Option<Alert>) {
        // A last flight that is still on its way leaves before the alert: the peer needs it to read the alert.
        if !self.is_connected() {
            self.cx.flight.finish();
        }
        self.state = State::Closed;
        self.cx.reassembly.clear();
        self.early.clear();
        self.doubt = None;
        self.alert = alert;
        self.farewell = alert.map(|alert| Farewell {
            alert,
            repeats_left: FAREWELL_REPEATS,
        });
        self.news.closed = Some(reason);
    }

    /// The peer still talks: perhaps it missed the last alert.
    fn repeat_farewell(&mut self) {
        if let Some(farewell) = &mut self.farewell
            && let Some(left) = farewell.repeats_left.checked_sub(1)
        {
            farewell.repeats_left = left;
            self.alert = Some(farewell.alert);
        }
    }

    /// How many bytes a peer has made this connection keep.
    pub(crate) fn kept(&self) -> usize {
        let early: usize = self.early.iter().map(|record| record.payload.len()).sum();
        let unread: usize = self.unread.iter().map(BytesMut::len).sum();
        early + unread + self.cx.reassembly.kept()
    }

    /// A backwards `now` counts as the latest seen.
    fn advance_clock(&mut self, now: Instant) -> Instant {
        *self.now.insert(self.now.map_or(now, |latest| latest.max(now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::HashAlgorithm;
    use crate::wire::handshake::HandshakeHeader;
    use peerline_sim::epoch;

    fn pair() -> [Connection; 2] {
        let provider = rustls::crypto::ring::default_provider();
        let certificate =
            Arc::new(Certificate::generate(&provider, std::time::SystemTime::UNIX_EPOCH).expect("randomness"));
        let mut config = Config::new(Arc::clone(&certificate));
        config.remote_fingerprints = vec![certificate.fingerprint(HashAlgorithm::Sha256)];
        [
            Connection::new(config.clone(), Role::Client),
            Connection::new(config, Role::Server),
        ]
    }

    fn connected() -> [Connection; 2] {
        let [mut client, mut server] = pair();
        for _ in 0..3 {
            exchange(&mut client, &mut server);
            exchange(&mut server, &mut client);
        }
        assert_eq!([client.poll_event(), server.poll_event()], [Some(Event::Connected); 2]);
        [client, server]
    }

    fn exchange(from: &mut Connection, to: &mut Connection) -> usize {
        let mut datagram = Vec::new();
        let mut count = 0;
        while from.poll_transmit(epoch(), &mut datagram).is_some() {
            to.handle_datagram(epoch(), std::mem::take(&mut datagram)[..].into());
            count += 1;
        }
        count
    }

    /// One protected record of any type.
    fn send(from: &mut Connection, to: &mut Connection, content_type: ContentType, payload: &[u8]) {
        let mut datagram = Vec::new();
        let fill = |out: &mut Vec<u8>| {
            out.extend_from_slice(payload);
            Some(payload.len())
        };
        from.cx
            .records
            .enclose(Epoch::Protected, content_type, &mut datagram, fill)
            .expect("a record");
        to.handle_datagram(epoch(), datagram[..].into());
    }

    fn handshake_message(kind: HandshakeType, message_seq: u16) -> Vec<u8> {
        let header = HandshakeHeader {
            kind,
            length: 0,
            message_seq,
            fragment_offset: 0,
            fragment_length: 0,
        };
        let mut bytes = Vec::new();
        header.encode(&mut Writer::new(&mut bytes));
        bytes
    }

    #[test]
    fn a_finished_that_does_not_match_ends_the_handshake() {
        let failed = Some(Event::Closed(CloseReason::Failed(Fault::BadFinished)));
        let [mut client, mut server] = pair();
        exchange(&mut client, &mut server);
        exchange(&mut server, &mut client);
        client.cx.flight.spoil();
        exchange(&mut client, &mut server);
        assert_eq!(server.poll_event(), failed);
        assert!(!server.is_connected());

        let [mut client, mut server] = pair();
        exchange(&mut client, &mut server);
        exchange(&mut server, &mut client);
        exchange(&mut client, &mut server);
        server.cx.flight.spoil();
        exchange(&mut server, &mut client);
        assert_eq!(client.poll_event(), failed);
        assert!(!client.is_connected());
    }

    #[test]
    fn a_client_that_wants_to_renegotiate_is_refused_and_goes_on() {
        let [mut client, mut server] = connected();
        for _ in 0..3 {
            let hello = handshake_message(HandshakeType::CLIENT_HELLO, 5);
            send(&mut client, &mut server, ContentType::HANDSHAKE, &hello);
        }
        assert_eq!(exchange(&mut server, &mut client), 1, "one warning");
        assert_eq!(client.stats().alerts_ignored, 1);
        assert!(client.is_connected() && server.is_connected());
    }

    #[test]
    fn a_hello_request_is_ignored() {
        let [mut client, mut server] = connected();
        let request = handshake_message(HandshakeType::HELLO_REQUEST, 7);
        send(&mut server, &mut client, ContentType::HANDSHAKE, &request);
        assert_eq!(exchange(&mut client, &mut server), 0);
        assert!(client.is_connected());
    }

    #[test]
    fn protected_records_that_make_no_sense_are_dropped() {
        let [mut client, mut server] = connected();
        for content_type in [19, 20, 21, 22, 24, 255].map(ContentType) {
            for payload in [&b"\x01"[..], b"\x01\x5a", b"\x01\x5a\x00", &[0xff; 40]] {
                send(&mut client, &mut server, content_type, payload);
            }
        }
        assert!(server.is_connected());
        assert_eq!(server.poll_event(), None);
        assert_eq!(exchange(&mut server, &mut client), 0);
    }

    #[test]
    fn a_fatal_alert_from_the_peer_itself_ends_the_connection() {
        let [mut client, mut server] = connected();
        send(&mut client, &mut server, ContentType::ALERT, &[2, 80]);
        let reason = CloseReason::PeerAlert(AlertDescription::INTERNAL_ERROR);
        assert_eq!(server.poll_event(), Some(Event::Closed(reason)));
        assert_eq!(exchange(&mut server, &mut client), 0);
    }
}

//! [`Connection`]: one DTLS connection, from the first hello to the last alert.

mod acks;
mod alerts;
#[cfg(test)]
mod faults;
mod handshaking;
mod paths;
mod records;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests13;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use peerline_wire::Writer;

use alerts::{Doubt, Farewell};
use records::Early;

use crate::certificate::{Certificate, Fingerprint};
use crate::config::{Config, Role};
use crate::context::{Context, Progress, Session};
use crate::error::ExportError;
use crate::event::{CloseReason, Event};
use crate::flight::Expiry;
use crate::handshake::Handshake;
use crate::paths::{PathId, Paths};
use crate::record_layer::Epoch;
use crate::stats::Stats;
use crate::wire::ack::{Ack, RecordNumber};
use crate::wire::alert::{Alert, AlertDescription};
use crate::wire::connection_id::ConnectionId;
use crate::wire::record::{ContentType, Record, RecordHeader};
use crate::wire::unified::{Ciphertext, UnifiedHeader};
use crate::wire::{CipherSuite, NamedGroup, ProtocolVersion, SrtpProfile};

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
    early: VecDeque<Early>,
    /// Early records have a chance now.
    retry_early: bool,
    unread: VecDeque<BytesMut>,
    news: News,
    alert: Option<Alert>,
    doubt: Option<Doubt>,
    farewell: Option<Farewell>,
    /// The peer's certificate has been vouched for and the handshake completed.
    verified: bool,
    paths: Paths,
    /// The path of the datagram at hand, and its length.
    arriving: Option<(PathId, usize)>,
    /// When the peer's last flight will have been repeated for the last time.
    retire_at: Option<Instant>,
    stats: Stats,
}

enum State {
    Handshaking(Handshake),
    Connected(Session),
    Closed,
}

/// Events that have not been polled, each at most once.
#[derive(Default)]
struct News {
    connected: bool,
    readable: bool,
    closed: Option<CloseReason>,
    path_seen: Option<PathId>,
    path_changed: Option<PathId>,
    connection_ids_wanted: Option<u8>,
    /// `Readable` was announced, and `recv` has not returned `None` since.
    announced: bool,
}

impl Connection {
    /// The most that [`overhead`](Self::overhead) can be without connection IDs: in DTLS 1.2, the record header, GCM's explicit nonce and
    /// its tag.
    pub const MAX_OVERHEAD: usize = RecordHeader::LEN + 8 + 16;

    /// A connection at its start. A client has its first flight ready; a server waits for one.
    #[must_use]
    pub fn new(mut config: Config, role: Role) -> Self {
        config.mtu = config.mtu.max(Config::MIN_MTU);
        let mut cx = Context::new(config);
        let state = Handshake::start(role, &mut cx);
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
            paths: Paths::default(),
            arriving: None,
            retire_at: None,
            stats: Stats::default(),
        };
        match state {
            Ok(handshake) => connection.state = State::Handshaking(handshake),
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

    /// True if messages of the handshake wait for [`poll_transmit`](Self::poll_transmit). In DTLS 1.3 a client is connected
    /// before its last flight has left.
    #[must_use]
    pub fn has_flight_to_send(&self) -> bool {
        self.cx.flight.has_more()
    }

    /// The version negotiated.
    #[must_use]
    pub fn version(&self) -> Option<ProtocolVersion> {
        self.session().map(Session::version)
    }

    /// The cipher suite negotiated.
    #[must_use]
    pub fn cipher_suite(&self) -> Option<CipherSuite> {
        self.session().map(Session::cipher_suite)
    }

    /// The group of the key exchange: with [`NamedGroup::X25519MLKEM768`], recorded traffic does not fall to a quantum computer.
    #[must_use]
    pub fn key_exchange_group(&self) -> Option<NamedGroup> {
        self.session().and(self.cx.key_exchange_group)
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
    /// complete it is the most it can be. With connection IDs, up to 256 more: it may change with each that the peer gives.
    #[must_use]
    pub fn overhead(&self) -> usize {
        match self.state {
            State::Connected(_) => self.cx.records.overhead(self.cx.write_epoch),
            _ if self.cx.config.connection_id.is_some() => Self::MAX_OVERHEAD + ConnectionId::MAX_LEN + 1,
            _ => Self::MAX_OVERHEAD,
        }
    }

    /// Keying material that only the two sides of this connection know (RFC 5705; RFC 8446 §7.5), for SRTP (RFC 5764 §4.2) with
    /// the label `EXTRACTOR-dtls_srtp` and no context. In DTLS 1.2 an empty context is another than none.
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
            .export(label.as_bytes(), context, out)
    }

    fn session(&self) -> Option<&Session> {
        match &self.state {
            State::Connected(session) => Some(session),
            State::Handshaking(_) | State::Closed => None,
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
            State::Handshaking(handshake) => handshake
                .on_fingerprints(&mut self.cx)
                .map(|progress| progress.map(State::Handshaking)),
            state @ (State::Connected(_) | State::Closed) => Ok(Progress::Next(state)),
        };
        self.on_progress(progress);
        self.settle(now);
    }

    /// The flight that was polled last is in the hands of somebody who repeats it until it arrives, as ICE's checks do
    /// (draft-hancke-webrtc-sped): the timer stands still until [`take_flight_back`](Self::take_flight_back).
    pub fn entrust_flight(&mut self) {
        self.cx.flight.entrust();
    }

    /// Nobody else repeats the flight any more: the timer starts, as if it had left now. Without effect if it was never stopped.
    pub fn take_flight_back(&mut self, now: Instant) {
        let now = self.advance_clock(now);
        self.cx.flight.take_back(now);
    }

    /// How long a round trip takes, as somebody has measured it who knows the path. The retransmission timer then starts at a quarter more
    /// and 10 ms for what the peer computes, but not under 50 ms, and at most at 1 s (RFC 6347 §4.2.4.1, RFC 9147 §5.8.2). It doubles
    /// twice, or up to 1 s if that is longer, and no further: "because retransmission is for the handshake and not dataflow, the effect on
    /// congestion of shorter timeouts is smaller than in generic protocols". A peer that is silent is given up as late as before. Whoever
    /// never calls this has [`Config::initial_timeout`] and [`Config::max_timeout`].
    pub fn set_round_trip_time(&mut self, round_trip: Duration) {
        const LEAST: Duration = Duration::from_millis(50);
        const MOST: Duration = Duration::from_secs(1);
        const SLACK: Duration = Duration::from_millis(10);
        let timeout = (round_trip.saturating_mul(5) / 4 + SLACK).clamp(LEAST, MOST);
        self.cx.config.initial_timeout = timeout;
        self.cx.flight.set_round_trip(timeout, (timeout * 4).max(MOST / 2));
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
        self.retire(now);
        if self.is_closed() {
            self.repeat_farewell();
            return;
        }
        let id_len = self.cx.config.connection_id.as_ref().map_or(0, ConnectionId::len);
        let mut follows = false;
        while let Some(first) = datagram.first()
            && !self.is_closed()
        {
            if UnifiedHeader::begins_with(*first) {
                let Ok(record) = Ciphertext::split_off_with(&mut datagram, id_len) else {
                    self.stats.records_malformed += 1;
                    return;
                };
                // RFC 9147 §4: with another's connection ID, "the rest of the datagram MUST be discarded."
                if self.cx.records.epochs.is_some() && !self.is_addressed(&record, follows) {
                    self.stats.records_unexpected += 1;
                    return;
                }
                let is_identified = record.connection_id.is_some();
                self.on_ciphertext(now, record, follows);
                follows |= is_identified;
            } else {
                let Ok(record) = Record::split_off_with(&mut datagram, id_len) else {
                    self.stats.records_malformed += 1;
                    return;
                };
                self.on_record(now, record);
            }
            self.settle(now);
        }
        self.schedule_ack(now);
    }

    /// Tells the time; to be called when [`poll_timeout`](Self::poll_timeout) has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.advance_clock(now);
        self.retire(now);
        self.paths.handle_timeout(now, self.cx.config.routability_patience);
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
            acks,
            ..
        } = &mut self.cx;
        let len = flight.poll_transmit(now, config.mtu, records, out).or_else(|| {
            let numbers = acks.take(now, max_acked(config, records.overhead(*write_epoch)))?;
            // Afterwards each record is acknowledged once (RFC 9147 §7); during the handshake, with those of its flight.
            if *write_epoch >= Epoch::APPLICATION {
                acks.clear();
            }
            records.enclose(*write_epoch, ContentType::ACK, out, |out| {
                let ack = Ack {
                    record_numbers: numbers,
                };
                ack.encode(&mut Writer::new(out));
                Some(Ack::LEN + ack.record_numbers.len() * RecordNumber::LEN)
            })
        });
        let len = len.or_else(|| {
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
        let acks = self.cx.acks.due();
        let path = self.paths.deadline().filter(|_| self.is_connected());
        let deadlines = self
            .cx
            .flight
            .deadline()
            .into_iter()
            .chain(doubt)
            .chain(acks)
            .chain(path);
        deadlines.min()
    }

    /// The next news.
    pub fn poll_event(&mut self) -> Option<Event> {
        if std::mem::take(&mut self.news.connected) {
            return Some(Event::Connected);
        }
        if std::mem::take(&mut self.news.readable) {
            return Some(Event::Readable);
        }
        let news = &mut self.news;
        let seen = news.path_seen.take().map(Event::PathSeen);
        seen.or_else(|| news.path_changed.take().map(Event::PathChanged))
            .or_else(|| news.connection_ids_wanted.take().map(Event::ConnectionIdsWanted))
            .or_else(|| news.closed.take().map(Event::Closed))
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
            .enclose(self.cx.write_epoch, ContentType::APPLICATION_DATA, out, fill)?;
        self.stats.count_sent(len);
        if self.cx.records.written() >= self.cx.config.max_records_per_key {
            self.update_keys();
        }
        Some(len)
    }

    /// How many bytes a peer has made this connection keep.
    pub(crate) fn kept(&self) -> usize {
        let early: usize = self.early.iter().map(Early::len).sum();
        let unread: usize = self.unread.iter().map(BytesMut::len).sum();
        early + unread + self.cx.reassembly.kept()
    }

    /// A backwards `now` counts as the latest seen.
    fn advance_clock(&mut self, now: Instant) -> Instant {
        *self.now.insert(self.now.map_or(now, |latest| latest.max(now)))
    }
}

/// How many records an ACK can name that is as long as a datagram may be.
fn max_acked(config: &Config, overhead: usize) -> usize {
    config.mtu.saturating_sub(overhead + Ack::LEN) / RecordNumber::LEN
}

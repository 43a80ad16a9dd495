//! Connection IDs after the handshake, and the paths of a peer that moves (RFC 9146 §6, RFC 9147 §9, RFC 9853).

use std::time::Instant;

use bytes::BytesMut;
use peerline_wire::Writer;

use super::{Connection, State};
use crate::config::RoutabilityCheck;
use crate::context::Keys;
use crate::dtls13::session::Session13;
use crate::error::ConnectionIdError;
use crate::paths::{Outcome, PathId};
use crate::wire::ack::RecordNumber;
use crate::wire::connection_id::{ConnectionId, ConnectionIdUsage, NewConnectionId};
use crate::wire::record::ContentType;
use crate::wire::routability::RoutabilityMessage;

impl Connection {
    /// The path by which everything is to be sent, but for what [`poll_path_transmit`](Self::poll_path_transmit) appends. It is
    /// `PathId(0)` at first.
    #[must_use]
    pub fn path(&self) -> PathId {
        self.paths.current
    }

    /// What this side writes into its records, if connection IDs are negotiated.
    #[must_use]
    pub fn remote_connection_id(&self) -> Option<&[u8]> {
        self.cx.records.connection_ids.as_ref().map(|ids| ids.peer())
    }

    /// True if both sides prove a new address of the other by the return routability check.
    #[must_use]
    pub fn checks_paths(&self) -> bool {
        self.cx.checks_paths
    }

    /// This side has moved, or has proved in its own way that the peer has: from now on everything is sent by this path, with another
    /// connection ID if the peer has given one in reserve.
    pub fn set_path(&mut self, path: PathId) {
        if path != self.paths.current {
            self.paths.change(path);
            self.renew_connection_id();
        }
    }

    /// Gives the peer more connection IDs for its records (DTLS 1.3 only): to be used at once, or in reserve, as for paths to come. Each
    /// is as long as the first. The last 16 that it was given are recognised. This is also the answer to
    /// [`Event::ConnectionIdsWanted`](crate::Event::ConnectionIdsWanted), which may be no IDs at all.
    ///
    /// # Errors
    /// [`ConnectionIdError`] if there is none of that, or the last ones are still on their way.
    pub fn offer_connection_ids(
        &mut self,
        now: Instant,
        ids: &[ConnectionId],
        usage: ConnectionIdUsage,
    ) -> Result<(), ConnectionIdError> {
        self.advance_clock(now);
        let offer = NewConnectionId {
            connection_ids: ids.to_vec(),
            usage,
        };
        let (session, cx) = self.session13().ok_or(ConnectionIdError::NotConnected)?;
        session.offer_connection_ids(cx, &offer)
    }

    /// Asks the peer for so many connection IDs in reserve (DTLS 1.3 only), one of which is used whenever the path changes.
    ///
    /// # Errors
    /// [`ConnectionIdError`] if there is none of that, or the peer has not answered the last time yet.
    pub fn request_connection_ids(&mut self, now: Instant, count: u8) -> Result<(), ConnectionIdError> {
        self.advance_clock(now);
        let (session, cx) = self.session13().ok_or(ConnectionIdError::NotConnected)?;
        session.request_connection_ids(cx, count)
    }

    fn session13(&mut self) -> Option<(&mut Session13, &mut crate::context::Context)> {
        match &mut self.state {
            State::Connected(session) => match &mut session.keys {
                Keys::Dtls13(keys) => Some((keys, &mut self.cx)),
                Keys::Dtls12(_) => None,
            },
            State::Handshaking(_) | State::Closed => None,
        }
    }

    /// Takes in a datagram that came by this path; otherwise as [`handle_datagram`](Self::handle_datagram), which is told of none and
    /// moves none.
    pub fn handle_datagram_from(&mut self, now: Instant, path: PathId, datagram: BytesMut) {
        self.arriving = Some((path, datagram.len()));
        self.handle_datagram(now, datagram);
        self.arriving = None;
    }

    /// Appends the next datagram that goes by a path of its own: a message of the return routability check. `None` if there is none.
    /// Whoever calls [`handle_datagram_from`](Self::handle_datagram_from) calls this beside [`poll_transmit`](Self::poll_transmit).
    pub fn poll_path_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<(PathId, usize)> {
        let now = self.advance_clock(now);
        if !self.is_connected() {
            return None;
        }
        let cx = &mut self.cx;
        let patience = cx.config.routability_patience;
        let record_len = cx.records.overhead(cx.write_epoch) + RoutabilityMessage::LEN;
        let random = &cx.config.provider.secure_random;
        let (path, message) = self.paths.poll(now, patience, record_len, || {
            let mut cookie = [0; 8];
            random.fill(&mut cookie).ok().map(|()| cookie)
        })?;
        let kind = ContentType::RETURN_ROUTABILITY_CHECK;
        let len = cx.records.enclose(cx.write_epoch, kind, out, |out| {
            message.encode(&mut Writer::new(out));
            Some(RoutabilityMessage::LEN)
        })?;
        self.stats.count_sent(len);
        Some((path, len))
    }

    /// A record has proved to be the peer's.
    pub(super) fn on_authentic(&mut self, now: Instant, number: RecordNumber) {
        let is_newest = self.paths.is_newest(number);
        let Some((path, len)) = self.arriving else {
            return;
        };
        // A datagram counts once, whatever its number of records.
        self.arriving = Some((path, 0));
        let identifies = |ids: &crate::connection_ids::ConnectionIds| ids.identify_own();
        let is_identified = self.cx.records.connection_ids.as_deref().is_some_and(identifies);
        if path == self.paths.current {
            self.paths.seen = None;
            return;
        }
        if !is_newest || !is_identified || !self.is_connected() {
            return;
        }
        if !self.cx.checks_paths {
            if self.paths.seen.replace(path) != Some(path) {
                self.news.path_seen = Some(path);
            }
            return;
        }
        let config = &self.cx.config;
        let (kind, patience) = (config.routability_check, config.routability_patience);
        self.paths.on_other(now, path, len, kind, patience);
    }

    /// A message of the return routability check.
    pub(super) fn on_routability_message(&mut self, now: Instant, payload: &[u8]) {
        let Ok(message) = RoutabilityMessage::decode(payload) else {
            self.stats.records_malformed += 1;
            return;
        };
        let path = self.arriving.map_or(self.paths.current, |(path, _)| path);
        if !self.cx.checks_paths || self.cx.config.routability_check == RoutabilityCheck::Off {
            self.stats.records_unexpected += 1;
            return;
        }
        let patience = self.cx.config.routability_patience;
        match self.paths.on_message(now, path, message, patience) {
            Outcome::Nothing => {}
            Outcome::Changed => {
                self.news.path_changed = Some(path);
                self.renew_connection_id();
            }
            Outcome::Invalid => self.stats.records_unexpected += 1,
        }
    }

    fn renew_connection_id(&mut self) {
        if let Some(ids) = &mut self.cx.records.connection_ids {
            ids.renew();
        }
    }
}

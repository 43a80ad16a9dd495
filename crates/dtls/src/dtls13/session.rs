//! What goes on after the handshake: new keys (RFC 8446 §4.6.3, RFC 9147 §8), more connection IDs (RFC 9147 §9), and tickets that nobody
//! redeems.

use peerline_wire::Writer;

use super::key_schedule::{ApplicationSecrets, Exporter, Secret, Suite};
use crate::config::Role;
use crate::connection_ids::ConnectionIds;
use crate::context::Context;
use crate::error::{ConnectionIdError, Fault};
use crate::flight::Answer;
use crate::reassembly::Message;
use crate::record_layer::Epoch;
use crate::wire::connection_id::{ConnectionIdUsage, NewConnectionId, RequestConnectionId};
use crate::wire::handshake::HandshakeType;
use crate::wire::handshake::dtls13::{KeyUpdate, KeyUpdateRequest};

/// The secrets of a connection.
pub(crate) struct Session13 {
    pub(crate) suite: Suite,
    pub(crate) exporter: Exporter,
    role: Role,
    write: Secret,
    read: Secret,
    update: Update,
    /// Connection IDs for the peer, not sent or not acknowledged yet.
    offer: Option<Post>,
    /// This side wants connection IDs, and has not got them yet.
    request: Option<Post>,
    /// The peer wants so many, and has not got them yet.
    pub(crate) wanted: Option<u8>,
}

/// A message after the handshake.
enum Post {
    /// It waits for another to be acknowledged.
    Waiting(Vec<u8>),
    /// It is on its way.
    Sent,
    /// It has arrived, and is to be answered.
    Arrived,
}

/// How far this side's next keys are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Update {
    None,
    /// The peer has asked for it, and something else is still to be acknowledged.
    Wanted,
    /// The KeyUpdate is on its way.
    Sent,
}

impl Session13 {
    pub(crate) fn new(suite: Suite, role: Role, secrets: ApplicationSecrets) -> Self {
        let (write, read) = secrets.traffic.of(role);
        Self {
            suite,
            role,
            write: write.clone(),
            read: read.clone(),
            update: Update::None,
            offer: None,
            request: None,
            wanted: None,
            exporter: secrets.exporter,
        }
    }

    /// Goes on with a message.
    pub(crate) fn handle(&mut self, cx: &mut Context, message: &Message) -> Result<(), Fault> {
        match (self.role, message.kind) {
            (_, HandshakeType::KEY_UPDATE) => self.on_key_update(cx, message),
            (_, HandshakeType::NEW_CONNECTION_ID) => self.on_new_connection_id(cx, message),
            (_, HandshakeType::REQUEST_CONNECTION_ID) => self.on_request_connection_id(cx, message),
            // A session is not resumed.
            (Role::Client, HandshakeType::NEW_SESSION_TICKET) => Ok(()),
            _ => Err(Fault::UnexpectedMessage),
        }
    }

    fn on_key_update(&mut self, cx: &mut Context, message: &Message) -> Result<(), Fault> {
        let update = KeyUpdate::decode(&message.body)?;
        let epochs = cx.records.epochs.as_mut().ok_or(Fault::UnexpectedMessage)?;
        let epoch = epochs.read_epoch();
        // RFC 9147 §8: no second KeyUpdate before the first has been acknowledged and its keys are used.
        if message.epoch != epoch {
            return Err(Fault::UnexpectedMessage);
        }
        self.read = self.suite.next_secret(&self.read);
        epochs.read_with(epoch.next(), &self.read).ok_or(Fault::CryptoFailed)?;
        match update.request {
            KeyUpdateRequest::UPDATE_NOT_REQUESTED => {}
            KeyUpdateRequest::UPDATE_REQUESTED => {
                if self.update == Update::None {
                    self.update = Update::Wanted;
                }
                self.go_on(cx);
            }
            _ => return Err(Fault::IllegalParameter),
        }
        Ok(())
    }

    fn on_new_connection_id(&mut self, cx: &mut Context, message: &Message) -> Result<(), Fault> {
        // RFC 9147 §9: no such message from a peer that receives none.
        let ids = cx.records.connection_ids.as_mut().filter(|ids| !ids.peer().is_empty());
        ids.ok_or(Fault::UnexpectedMessage)?
            .take(NewConnectionId::decode(&message.body)?, &cx.config)?;
        self.request = None;
        Ok(())
    }

    fn on_request_connection_id(&mut self, cx: &mut Context, message: &Message) -> Result<(), Fault> {
        let ids = cx.records.connection_ids.as_ref();
        if !ids.is_some_and(|ids| ids.identify_own()) {
            return Err(Fault::UnexpectedMessage);
        }
        // "Endpoints MUST NOT send a RequestConnectionId message when an existing request is still unfulfilled".
        if self.wanted.is_some() {
            return Err(Fault::TooManyConnectionIds);
        }
        self.wanted = Some(RequestConnectionId::decode(&message.body)?.count);
        Ok(())
    }

    /// Gives the peer more connection IDs.
    pub(crate) fn offer_connection_ids(
        &mut self,
        cx: &mut Context,
        offer: &NewConnectionId,
    ) -> Result<(), ConnectionIdError> {
        let ids = cx.records.connection_ids.as_mut().filter(|ids| ids.identify_own());
        let ids = ids.ok_or(ConnectionIdError::NotNegotiated)?;
        // RFC 9147 §9: "Endpoints MUST NOT have more than one NewConnectionId message outstanding."
        if self.offer.is_some() {
            return Err(ConnectionIdError::Busy);
        }
        let (new, length) = (&offer.connection_ids, ids.own_len());
        let is_empty = new.is_empty() && offer.usage == ConnectionIdUsage::IMMEDIATE;
        if is_empty || new.len() >= ConnectionIds::MAX_OWN || new.iter().any(|id| id.len() != length) {
            return Err(ConnectionIdError::BadLength);
        }
        ids.give(new);
        let mut body = Vec::new();
        offer.encode(&mut Writer::new(&mut body));
        self.offer = Some(Post::Waiting(body));
        self.wanted = None;
        self.go_on(cx);
        Ok(())
    }

    /// Asks the peer for connection IDs.
    pub(crate) fn request_connection_ids(&mut self, cx: &mut Context, count: u8) -> Result<(), ConnectionIdError> {
        let ids = cx.records.connection_ids.as_ref().filter(|ids| !ids.peer().is_empty());
        ids.ok_or(ConnectionIdError::NotNegotiated)?;
        if self.request.is_some() {
            return Err(ConnectionIdError::Busy);
        }
        self.request = Some(Post::Waiting(vec![count]));
        self.go_on(cx);
        Ok(())
    }

    /// So many records have been protected by the current keys that new ones are due.
    pub(crate) fn on_keys_worn(&mut self, cx: &mut Context) {
        if self.update == Update::None {
            self.update = Update::Wanted;
            self.go_on(cx);
        }
    }

    /// Sends what waits, once nothing else is on its way.
    fn go_on(&mut self, cx: &mut Context) {
        self.update_keys(cx);
        for (kind, post) in [
            (HandshakeType::NEW_CONNECTION_ID, &mut self.offer),
            (HandshakeType::REQUEST_CONNECTION_ID, &mut self.request),
        ] {
            if let Some(Post::Waiting(body)) = post
                && cx.flight.is_finished()
            {
                let body = std::mem::take(body);
                *post = Some(Post::Sent);
                tell(cx, kind, body);
            }
        }
    }

    fn update_keys(&mut self, cx: &mut Context) {
        /// RFC 9147 §8: "sending implementations MUST NOT allow the epoch to exceed 2^48-1".
        const LAST: Epoch = Epoch((1 << 48) - 1);
        if self.update != Update::Wanted || !cx.flight.is_finished() || cx.write_epoch >= LAST {
            return;
        }
        let mut body = Vec::new();
        let request = KeyUpdateRequest::UPDATE_NOT_REQUESTED;
        KeyUpdate { request }.encode(&mut Writer::new(&mut body));
        tell(cx, HandshakeType::KEY_UPDATE, body);
        self.update = Update::Sent;
    }

    /// The flight has been acknowledged, every byte of it: the last of the handshake, or what came after.
    pub(crate) fn on_flight_acknowledged(&mut self, cx: &mut Context) -> Result<(), Fault> {
        let epochs = cx.records.epochs.as_mut().ok_or(Fault::UnexpectedMessage)?;
        if self.update == Update::Sent {
            // RFC 9147 §8: "implementations MUST NOT send records with the new keys … until the previous KeyUpdate has been
            // acknowledged".
            self.write = self.suite.next_secret(&self.write);
            cx.write_epoch = cx.write_epoch.next();
            epochs
                .write_with(cx.write_epoch, &self.write)
                .ok_or(Fault::CryptoFailed)?;
            self.update = Update::None;
        } else if let Some(Post::Sent) = self.offer {
            self.offer = None;
        } else if let Some(Post::Sent) = self.request {
            self.request = Some(Post::Arrived);
        } else {
            epochs.retire_handshake_write();
            epochs.retire_handshake_read();
        }
        self.go_on(cx);
        Ok(())
    }
}

/// A message that is a flight of its own. Nothing covers it as Finished covers the handshake.
fn tell(cx: &mut Context, kind: HandshakeType, body: Vec<u8>) {
    cx.flight.begin(Answer::Expected, &cx.config);
    cx.flight.track_records();
    let message_seq = cx.next_message_seq;
    cx.next_message_seq = message_seq.saturating_add(1);
    cx.flight.push_message(cx.write_epoch, kind, message_seq, body);
}

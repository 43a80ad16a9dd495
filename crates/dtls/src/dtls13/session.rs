//! What goes on after the handshake: new keys (RFC 8446 §4.6.3, RFC 9147 §8), and tickets that nobody redeems.

use super::key_schedule::{ApplicationSecrets, Exporter, Secret, Suite};
use crate::config::Role;
use crate::context::Context;
use crate::error::Fault;
use crate::flight::Answer;
use crate::reassembly::Message;
use crate::record_layer::Epoch;
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
            exporter: secrets.exporter,
        }
    }

    /// Goes on with a message.
    pub(crate) fn handle(&mut self, cx: &mut Context, message: &Message) -> Result<(), Fault> {
        match (self.role, message.kind) {
            (_, HandshakeType::KEY_UPDATE) => self.on_key_update(cx, message),
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

    /// So many records have been protected by the current keys that new ones are due.
    pub(crate) fn on_keys_worn(&mut self, cx: &mut Context) {
        if self.update == Update::None {
            self.update = Update::Wanted;
            self.go_on(cx);
        }
    }

    /// Sends a KeyUpdate that is wanted, once nothing else is on its way.
    fn go_on(&mut self, cx: &mut Context) {
        /// RFC 9147 §8: "sending implementations MUST NOT allow the epoch to exceed 2^48-1".
        const LAST: Epoch = Epoch((1 << 48) - 1);
        if self.update != Update::Wanted || !cx.flight.is_finished() || cx.write_epoch >= LAST {
            return;
        }
        cx.flight.begin(Answer::Expected, &cx.config);
        cx.flight.track_records();
        cx.say(HandshakeType::KEY_UPDATE, |w| {
            let request = KeyUpdateRequest::UPDATE_NOT_REQUESTED;
            KeyUpdate { request }.encode(w);
        });
        self.update = Update::Sent;
    }

    /// The flight has been acknowledged, every byte of it: the last of the handshake, or a KeyUpdate.
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
        } else {
            epochs.retire_handshake_write();
            epochs.retire_handshake_read();
        }
        self.go_on(cx);
        Ok(())
    }
}

//! [`ConnectionIds`]: what both sides' records are known by, once that is negotiated (RFC 9146 §3, RFC 9147 §9).

use std::collections::VecDeque;

use crate::config::{Config, RoutabilityCheck};
use crate::context::Context;
use crate::error::Fault;
use crate::wire::connection_id::{ConnectionId, ConnectionIdUsage, NewConnectionId};
use crate::wire::extension::{Extension, ExtensionType};

/// The connection IDs of both directions. Each may be empty: records of that direction then have none.
pub(crate) struct ConnectionIds {
    /// What the peer writes: all it was given, the last few of them, of one length.
    own: VecDeque<ConnectionId>,
    /// What this side writes.
    peer: ConnectionId,
    /// What it may write later.
    spare: VecDeque<ConnectionId>,
}

impl ConnectionIds {
    /// How many of this side's own are recognised: the latest.
    pub(crate) const MAX_OWN: usize = 16;

    /// What a record needs beside a connection ID for its other fields and a piece of a handshake message.
    const LEAST_ROOM: usize = 96;

    /// What this side offers, or answers to an offer.
    pub(crate) fn extensions(config: &Config) -> impl Iterator<Item = Extension> {
        let connection_id = config.connection_id.as_ref().map(Extension::connection_id);
        let checks = connection_id.is_some() && config.routability_check != RoutabilityCheck::Off;
        connection_id
            .into_iter()
            .chain(checks.then(Extension::return_routability_check))
    }

    /// Those of a session whose secrets are known from a key log: the reader's own, which the records have.
    #[cfg(test)]
    pub(crate) fn from_key_log(own: &[u8]) -> Self {
        Self {
            own: ConnectionId::new(own).into_iter().collect(),
            peer: ConnectionId::new(&[]).expect("short"),
            spare: VecDeque::new(),
        }
    }

    /// What the peer's hello says to that: it has offered the same, or answered.
    pub(crate) fn negotiate(extensions: &[Extension], cx: &mut Context) -> Result<(), Fault> {
        let peer = Extension::find(extensions, ExtensionType::CONNECTION_ID);
        let check = Extension::find(extensions, ExtensionType::RETURN_ROUTABILITY_CHECK);
        if check.is_some_and(|body| !body.is_empty()) {
            return Err(Fault::IllegalParameter);
        }
        let (Some(own), Some(peer)) = (&cx.config.connection_id, peer) else {
            return Ok(());
        };
        let peer = ConnectionId::decode(peer)?;
        if !fits(&peer, &cx.config) {
            return Err(Fault::IllegalParameter);
        }
        cx.checks_paths = check.is_some() && cx.config.routability_check != RoutabilityCheck::Off;
        cx.records.connection_ids = Some(Box::new(Self {
            own: VecDeque::from([own.clone()]),
            peer,
            spare: VecDeque::new(),
        }));
        Ok(())
    }

    /// What of it a server answers: nothing that the client has not offered.
    pub(crate) fn answers(cx: &Context) -> impl Iterator<Item = Extension> {
        let count = usize::from(cx.records.connection_ids.is_some()) + usize::from(cx.checks_paths);
        Self::extensions(&cx.config).take(count)
    }

    /// What this side writes into its records.
    pub(crate) fn peer(&self) -> &[u8] {
        self.peer.as_bytes()
    }

    /// True if the peer's records have connection IDs.
    pub(crate) fn identify_own(&self) -> bool {
        self.own.iter().any(|id| !id.is_empty())
    }

    /// How long all that the peer was given are.
    pub(crate) fn own_len(&self) -> usize {
        self.own.front().map_or(0, ConnectionId::len)
    }

    /// True if the peer was given this one.
    pub(crate) fn is_own(&self, id: &[u8]) -> bool {
        self.own.iter().any(|own| own.as_bytes() == id)
    }

    /// The peer is given more.
    pub(crate) fn give(&mut self, ids: &[ConnectionId]) {
        self.own.extend(ids.iter().cloned());
        let excess = self.own.len().saturating_sub(Self::MAX_OWN);
        self.own.drain(..excess);
    }

    /// The peer has sent more.
    pub(crate) fn take(&mut self, message: NewConnectionId, config: &Config) -> Result<(), Fault> {
        let NewConnectionId { connection_ids, usage } = message;
        if connection_ids.iter().any(|id| id.is_empty() || !fits(id, config)) {
            return Err(Fault::IllegalParameter);
        }
        match usage {
            // RFC 9147 §9: "one of the new CIDs MUST be used immediately for all future records."
            ConnectionIdUsage::IMMEDIATE => {
                let mut ids = connection_ids.into_iter();
                self.peer = ids.next().ok_or(Fault::IllegalParameter)?;
                self.spare = ids.collect();
            }
            ConnectionIdUsage::SPARE => self.spare.extend(connection_ids),
            _ => return Err(Fault::IllegalParameter),
        }
        // "Implementations which receive more spare CIDs than they wish to maintain MAY simply discard any extra CIDs."
        self.spare.truncate(config.max_spare_connection_ids);
        self.spare.shrink_to_fit();
        Ok(())
    }

    /// RFC 9147 §9: "Implementations SHOULD use a new CID whenever sending on a new path".
    pub(crate) fn renew(&mut self) {
        if let Some(id) = self.spare.pop_front() {
            self.peer = id;
        }
    }
}

/// A peer must not make records outgrow the datagrams of a handshake.
fn fits(id: &ConnectionId, config: &Config) -> bool {
    id.is_empty() || id.len() + ConnectionIds::LEAST_ROOM <= config.mtu
}

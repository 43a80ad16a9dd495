//! TCP to peers (RFC 6062 §5.2 to §5.5): connections are made and named here; their bytes are the driver's to carry.

use std::net::SocketAddr;
use std::time::Instant;

use peerline_stun::attribute::{ConnectionId, ErrorCode, XorPeerAddress};
use peerline_stun::{Class, Message, MessageBuilder, Method, TransactionId};
use peerline_wire::{FiveTuple, Transport};
use rand::RngExt;

use super::allocation::Identity;
use super::auth::{Refused, Request};
use super::event::Event;
use super::relay::Owner;
use super::slab::Slot;
use super::{RelayId, Server, Timer};

/// A connection to or from a peer.
pub(super) struct Connection {
    allocation: Slot,
    peer: SocketAddr,
    state: State,
    expires: Instant,
}

#[derive(Clone, Copy)]
enum State {
    /// The driver connects, for this request.
    Connecting(TransactionId),
    /// It waits for the client's ConnectionBind.
    Pending,
    Joined,
}

impl Server {
    pub(super) fn on_connect(&mut self, now: Instant, slot: Slot, message: &Message<'_>) -> Result<(), Refused> {
        let allocation = self.allocations.get(slot).ok_or(Refused::MISMATCH)?;
        let Ok(Some(XorPeerAddress(peer))) = message.get::<XorPeerAddress>() else {
            return Err(Refused::BAD_REQUEST);
        };
        if allocation.transport != Transport::Tcp || peer.port() == 0 {
            return Err(Refused::BAD_REQUEST);
        }
        self.check_family(slot, peer.ip())?;
        self.check_peer(peer.ip())?;
        let allocation = self.allocations.get(slot).ok_or(Refused::MISMATCH)?;
        let relay = allocation.relay(peer.ip()).ok_or(Refused::MISMATCH)?;
        let to_same = |connection: &&ConnectionId| {
            let connection = self.connections.get(&connection.0);
            connection.is_some_and(|connection| connection.peer == peer)
        };
        if let Some(same) = allocation.connections.iter().find(to_same) {
            // The request itself, come again, is answered once.
            let same = self.connections.get(&same.0).map(|connection| connection.state);
            return match same {
                Some(State::Connecting(id)) if id == message.transaction_id() => Ok(()),
                Some(_) | None => Err(Refused::malformed(ErrorCode::CONNECTION_ALREADY_EXISTS)),
            };
        }
        if allocation.connections.len() >= self.config.limits.max_connections {
            return Err(Refused::FULL);
        }
        let connection = self.insert_connection(now, slot, peer, State::Connecting(message.transaction_id()));
        self.commands.push_back(Event::Connect {
            connection,
            relay,
            peer,
        });
        Ok(())
    }

    pub(super) fn on_peer_connected(&mut self, now: Instant, connection: ConnectionId) {
        let until = now + self.config.timings.connection;
        let Some(entry) = self.connections.get_mut(&connection.0) else {
            return self.commands.push_back(Event::CloseConnection(connection));
        };
        let State::Connecting(transaction_id) = entry.state else {
            return;
        };
        entry.state = State::Pending;
        let slot = entry.allocation;
        self.timers.remove(&(entry.expires, Timer::Connection(connection.0)));
        entry.expires = until;
        self.timers.insert((until, Timer::Connection(connection.0)));
        if let Some(allocation) = self.allocations.get(slot) {
            let (client, identity) = (allocation.client, allocation.identity.clone());
            let request = Request {
                method: Method::CONNECT,
                transaction_id,
            };
            self.succeed(client, &identity, &request, |response| {
                response.attribute(connection);
            });
        }
    }

    pub(super) fn on_peer_connect_failed(&mut self, connection: ConnectionId) {
        let Some(entry) = self.forget_connection(connection) else {
            return;
        };
        if let (State::Connecting(transaction_id), Some(allocation)) =
            (entry.state, self.allocations.get(entry.allocation))
        {
            let (client, identity) = (allocation.client, allocation.identity.clone());
            let request = Request {
                method: Method::CONNECT,
                transaction_id,
            };
            let refused = Refused::malformed(ErrorCode::CONNECTION_TIMEOUT_OR_FAILURE);
            self.refuse(client, &identity, &request, refused);
        }
    }

    /// "If no permission for this peer has been installed for this allocation, the server MUST close the connection [...].
    /// Otherwise, the server sends a ConnectionAttempt indication to the client over the control connection." (§5.3)
    pub(super) fn on_peer_accepted(&mut self, now: Instant, relay: RelayId, peer: SocketAddr) -> Option<ConnectionId> {
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let Owner::Allocation(slot) = self.relays.get(relay.0)?.owner else {
            return None;
        };
        let allocation = self.allocations.get(slot)?;
        let client = allocation.client;
        if allocation.transport != Transport::Tcp
            || !allocation.permissions.allows(peer.ip(), now)
            || allocation.connections.len() >= self.config.limits.max_connections
        {
            self.stats.unpermitted += 1;
            return None;
        }
        if !self.has_room_for_response() {
            return None;
        }
        let connection = self.insert_connection(now, slot, peer, State::Pending);
        let id = TransactionId(self.rng.random());
        self.outbox.respond(client, |out| {
            MessageBuilder::new(out, Class::Indication, Method::CONNECTION_ATTEMPT, id)
                .attribute(connection)
                .attribute(XorPeerAddress(peer));
        });
        Some(connection)
    }

    /// RFC 6062 §5.4
    pub(super) fn on_connection_bind(
        &mut self,
        client: FiveTuple,
        identity: &Identity,
        message: &Message<'_>,
    ) -> Result<(), Refused> {
        let Ok(Some(connection)) = message.get::<ConnectionId>() else {
            return Err(Refused::BAD_REQUEST);
        };
        let entry = self.connections.get_mut(&connection.0).ok_or(Refused::BAD_REQUEST)?;
        let owner = self.allocations.get(entry.allocation).ok_or(Refused::BAD_REQUEST)?;
        let is_pending = matches!(entry.state, State::Pending);
        if !is_pending
            || client.transport != Transport::Tcp
            || owner.identity.user != identity.user
            || self.by_client.contains_key(&client)
        {
            return Err(Refused::BAD_REQUEST);
        }
        entry.state = State::Joined;
        self.timers.remove(&(entry.expires, Timer::Connection(connection.0)));
        self.succeed(client, identity, &Request::of(message), |_| ());
        self.commands.push_back(Event::Join { connection, client });
        Ok(())
    }

    /// The allocation of the connection that a request names: "Authentication of the client by the server MUST use the same
    /// method and credentials as for the control connection" (§4.3).
    pub(super) fn slot_of_connection(&self, request: &Message<'_>) -> Option<Slot> {
        let connection = request.get::<ConnectionId>().ok().flatten()?;
        Some(self.connections.get(&connection.0)?.allocation)
    }

    pub(super) fn on_connection_expired(&mut self, connection: u32) {
        let connection = ConnectionId(connection);
        self.on_peer_connect_failed(connection);
        self.commands.push_back(Event::CloseConnection(connection));
    }

    fn insert_connection(&mut self, now: Instant, allocation: Slot, peer: SocketAddr, state: State) -> ConnectionId {
        let expires = now + self.config.timings.connection;
        let id = loop {
            let id = self.rng.random();
            if !self.connections.contains_key(&id) {
                break id;
            }
        };
        self.connections.insert(
            id,
            Connection {
                allocation,
                peer,
                state,
                expires,
            },
        );
        self.timers.insert((expires, Timer::Connection(id)));
        if let Some(allocation) = self.allocations.get_mut(allocation) {
            allocation.connections.push(ConnectionId(id));
        }
        ConnectionId(id)
    }

    pub(super) fn forget_connection(&mut self, connection: ConnectionId) -> Option<Connection> {
        let entry = self.connections.remove(&connection.0)?;
        self.timers.remove(&(entry.expires, Timer::Connection(connection.0)));
        if let Some(allocation) = self.allocations.get_mut(entry.allocation) {
            allocation.connections.retain(|&other| other != connection);
        }
        Some(entry)
    }

    /// "If the allocation associated with a data connection expires, the data connection MUST be closed." (§5.5)
    pub(super) fn close_connection(&mut self, connection: ConnectionId) {
        if self.forget_connection(connection).is_some() {
            self.commands.push_back(Event::CloseConnection(connection));
        }
    }
}

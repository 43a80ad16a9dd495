//! CreatePermission and ChannelBind (RFC 8656 §10.2, §12.2).

use std::net::IpAddr;
use std::time::Instant;

use peerline_stun::attribute::{ErrorCode, XorPeerAddress};
use peerline_stun::{ChannelNumber, Message};
use peerline_wire::Transport;

use super::Server;
use super::allocation::{Bind, Identity};
use super::auth::{Refused, Request};
use super::slab::Slot;

impl Server {
    pub(super) fn on_create_permission(
        &mut self,
        now: Instant,
        slot: Slot,
        identity: &Identity,
        message: &Message<'_>,
    ) -> Result<(), Refused> {
        let max = self.config.limits.max_permissions;
        // "If no such attribute exists, or if any of these attributes are invalid, then a 400 (Bad Request) error is
        // returned."
        let mut peers: Vec<IpAddr> = Vec::new();
        for peer in message.get_all::<XorPeerAddress>() {
            let XorPeerAddress(peer) = peer.map_err(|_| Refused::BAD_REQUEST)?;
            if peers.len() >= max {
                return Err(Refused::FULL);
            }
            peers.push(peer.ip());
        }
        if peers.is_empty() {
            return Err(Refused::BAD_REQUEST);
        }
        for &peer in &peers {
            self.check_family(slot, peer)?;
            self.check_peer(peer)?;
        }
        let until = now + self.config.timings.permission_lifetime;
        let allocation = self.allocations.get_mut(slot).ok_or(Refused::MISMATCH)?;
        if !allocation.permissions.has_room(&peers, now, max) {
            return Err(Refused::FULL);
        }
        for peer in peers {
            allocation.permissions.install(peer, until);
        }
        let client = allocation.client;
        self.succeed(client, identity, &Request::of(message), |_| ());
        Ok(())
    }

    pub(super) fn on_channel_bind(
        &mut self,
        now: Instant,
        slot: Slot,
        identity: &Identity,
        message: &Message<'_>,
    ) -> Result<(), Refused> {
        let (Ok(Some(number)), Ok(Some(XorPeerAddress(peer)))) =
            (message.get::<ChannelNumber>(), message.get::<XorPeerAddress>())
        else {
            return Err(Refused::BAD_REQUEST);
        };
        let limits = self.config.limits;
        let timings = self.config.timings;
        let allocation = self.allocations.get_mut(slot).ok_or(Refused::MISMATCH)?;
        // Channels carry datagrams: "ChannelBind requests [...] do not apply" to TCP (RFC 6062 §1).
        let is_valid = number.is_valid() || self.config.rfc5766_channels && number.is_valid_in_rfc5766();
        if !is_valid || peer.port() == 0 || allocation.transport != Transport::Udp {
            return Err(Refused::BAD_REQUEST);
        }
        self.check_family(slot, peer.ip())?;
        self.check_peer(peer.ip())?;
        let allocation = self.allocations.get_mut(slot).ok_or(Refused::MISMATCH)?;
        match allocation.channels.check(number, peer, now, limits.max_channels) {
            Bind::Bound
                if allocation
                    .permissions
                    .has_room(&[peer.ip()], now, limits.max_permissions) => {}
            Bind::Bound | Bind::Full => return Err(Refused::FULL),
            Bind::Conflict => return Err(Refused::BAD_REQUEST),
        }
        allocation.channels.bind(number, peer, now + timings.channel_lifetime);
        allocation
            .permissions
            .install(peer.ip(), now + timings.permission_lifetime);
        let client = allocation.client;
        self.succeed(client, identity, &Request::of(message), |_| ());
        Ok(())
    }

    /// "If an XOR-PEER-ADDRESS attribute contains an address of an address family that is not the same as that of a relayed
    /// transport address for the allocation, the server MUST generate an error response with the 443".
    pub(super) fn check_family(&self, slot: Slot, peer: IpAddr) -> Result<(), Refused> {
        let allocation = self.allocations.get(slot).ok_or(Refused::MISMATCH)?;
        match allocation.relay(peer) {
            Some(_) => Ok(()),
            None => Err(Refused::malformed(ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH)),
        }
    }
}

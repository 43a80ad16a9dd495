//! Allocate and Refresh (RFC 8656 §7.2, §8.2; RFC 6062 §5.1), and the end of allocations.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use peerline_stun::attribute::{
    AdditionalAddressFamily, AddressErrorCode, AddressFamily, ErrorCode, EvenPort, Lifetime, RequestedAddressFamily,
    RequestedTransport, ReservationToken, XorMappedAddress, XorRelayedAddress,
};
use peerline_stun::{AttributeType, Message, Method};
use peerline_wire::{FiveTuple, Transport};
use rand::RngExt;

use super::allocation::{Allocation, Channels, Identity, Permissions, Phase};
use super::auth::{Refused, Request};
use super::bucket::Bucket;
use super::event::{Event, Log, OpenRelay, RefusalReason, RelayPort, ReleaseReason, Traffic};
use super::relay::{Owner, Relay};
use super::slab::Slot;
use super::{RelayId, Server, Timer};

/// What an Allocate request asks for.
struct Wish {
    transport: Transport,
    ipv4: bool,
    ipv6: bool,
    /// Why there will be no address of the other family.
    missing: Option<ErrorCode>,
    port: PortWish,
    lifetime: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum PortWish {
    Any,
    Even,
    EvenWithNext,
    Reserved([u8; 8]),
}

impl Server {
    pub(super) fn on_allocate(
        &mut self,
        now: Instant,
        client: FiveTuple,
        identity: &Identity,
        message: &Message<'_>,
        existing: Option<Slot>,
    ) -> Result<(), Refused> {
        if let Some(slot) = existing {
            return self.on_allocate_again(now, slot, identity, message);
        }
        let wish = self.wish(client, message)?;
        if self.redirects(client) {
            return Err(Refused::new(ErrorCode::TRY_ALTERNATE, RefusalReason::Redirected));
        }
        if self.refuses_new {
            return Err(Refused::new(
                ErrorCode::INSUFFICIENT_CAPACITY,
                RefusalReason::ShuttingDown,
            ));
        }
        if self.allocations.len() >= self.config.limits.max_allocations {
            return Err(Refused::FULL);
        }
        let of_user = self.allocations_of.get(&identity.user).copied().unwrap_or_default();
        if of_user >= self.config.limits.max_allocations_per_user {
            return Err(Refused::new(
                ErrorCode::ALLOCATION_QUOTA_REACHED,
                RefusalReason::UserQuota,
            ));
        }
        let reservations = self.reservations.len();
        if wish.port == PortWish::EvenWithNext && reservations >= self.config.limits.max_reservations {
            return Err(Refused::FULL);
        }
        if let PortWish::Reserved(token) = wish.port
            && !self.reservations.contains_key(&token)
        {
            return Err(Refused::FULL);
        }
        self.allocate(now, client, identity, message, &wish);
        Ok(())
    }

    /// "At any point, the server MAY choose to reject the request with a 300 (Try Alternate) error if it wishes to redirect the client
    /// to a different server." (RFC 8656 §7.2)
    fn redirects(&self, client: FiveTuple) -> bool {
        let Some(redirect) = &self.config.redirect else {
            return false;
        };
        let has_no_place = self.refuses_new || self.allocations.len() >= redirect.from_allocations;
        has_no_place && redirect.to.iter().any(|to| to.is_ipv4() == client.remote.is_ipv4())
    }

    /// "The server checks if the 5-tuple is currently in use by an existing allocation. If yes, the server rejects the request
    /// with a 437", unless it is the request that made it, come again.
    fn on_allocate_again(
        &mut self,
        now: Instant,
        slot: Slot,
        identity: &Identity,
        message: &Message<'_>,
    ) -> Result<(), Refused> {
        let allocation = self.allocations.get(slot).ok_or(Refused::MISMATCH)?;
        if allocation.transaction_id != message.transaction_id() || allocation.identity.user != identity.user {
            return Err(Refused::MISMATCH);
        }
        if allocation.phase == Phase::Open {
            self.answer_allocated(now, slot);
        }
        Ok(())
    }

    /// The checks of RFC 8656 §7.2, in their order, but for those of capacity.
    fn wish(&self, client: FiveTuple, message: &Message<'_>) -> Result<Wish, Refused> {
        const BAD: Refused = Refused::BAD_REQUEST;
        let has = |kind| message.contains(kind);
        let Ok(Some(transport)) = message.get::<RequestedTransport>() else {
            return Err(BAD);
        };
        let transport = match transport {
            RequestedTransport::UDP => Transport::Udp,
            RequestedTransport::TCP if self.config.tcp_relays => Transport::Tcp,
            RequestedTransport(_) => return Err(Refused::malformed(ErrorCode::UNSUPPORTED_TRANSPORT_PROTOCOL)),
        };
        let for_udp = [
            AttributeType::DONT_FRAGMENT,
            AttributeType::EVEN_PORT,
            AttributeType::RESERVATION_TOKEN,
        ];
        if transport == Transport::Tcp && (client.transport != Transport::Tcp || for_udp.into_iter().any(has)) {
            return Err(BAD); // RFC 6062 §5.1
        }
        let family = message.get::<RequestedAddressFamily>().map_err(|_| BAD)?;
        let additional = message.get::<AdditionalAddressFamily>().map_err(|_| BAD)?;
        let even = message.get::<EvenPort>().map_err(|_| BAD)?;
        let token = message.get::<ReservationToken>().map_err(|_| BAD)?;
        let lifetime = self.lifetime(message)?.max(self.config.timings.default_lifetime);
        if let Some(ReservationToken(token)) = token {
            if family.is_some() || additional.is_some() || even.is_some() {
                return Err(BAD);
            }
            return Ok(Wish {
                transport,
                ipv4: false,
                ipv6: false,
                missing: None,
                port: PortWish::Reserved(token),
                lifetime,
            });
        }
        let port = match even {
            None => PortWish::Any,
            Some(EvenPort { reserve_next: false }) => PortWish::Even,
            Some(EvenPort { reserve_next: true }) => PortWish::EvenWithNext,
        };
        let (ipv4, ipv6) = match (family, additional) {
            (Some(_), Some(_)) => return Err(BAD),
            (None, None) | (Some(RequestedAddressFamily(AddressFamily::IPV4)), None) => (true, false),
            (Some(RequestedAddressFamily(AddressFamily::IPV6)), None) => (false, true),
            (Some(RequestedAddressFamily(_)), None) => {
                return Err(Refused::malformed(ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED));
            }
            (None, Some(AdditionalAddressFamily(AddressFamily::IPV6))) if port != PortWish::EvenWithNext => {
                (true, true)
            }
            (None, Some(_)) => return Err(BAD),
        };
        let ours = self.config.families;
        let granted = (ipv4 && ours.ipv4, ipv6 && ours.ipv6);
        if granted == (false, false) {
            return Err(Refused::malformed(ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED));
        }
        Ok(Wish {
            transport,
            ipv4: granted.0,
            ipv6: granted.1,
            missing: (granted != (ipv4, ipv6)).then_some(ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED),
            port,
            lifetime,
        })
    }

    /// What LIFETIME asks for, at most [`max_lifetime`](super::Timings::max_lifetime); the default without it.
    fn lifetime(&self, message: &Message<'_>) -> Result<Duration, Refused> {
        let timings = &self.config.timings;
        match message.get::<Lifetime>() {
            Ok(Some(Lifetime(seconds))) => Ok(Duration::from_secs(seconds.into()).min(timings.max_lifetime)),
            Ok(None) => Ok(timings.default_lifetime),
            Err(_) => Err(Refused::BAD_REQUEST),
        }
    }

    fn allocate(&mut self, now: Instant, client: FiveTuple, identity: &Identity, message: &Message<'_>, wish: &Wish) {
        let full = self.config.bandwidth.map(|limit| Bucket::full(now, limit));
        let expires = now + self.config.timings.opening;
        let slot = self.allocations.insert(Allocation {
            client,
            identity: identity.clone(),
            transaction_id: message.transaction_id(),
            phase: Phase::Opening {
                awaited: 0,
                lifetime: wish.lifetime,
            },
            expires,
            transport: wish.transport,
            ipv4: None,
            ipv6: None,
            reservation: None,
            missing: wish.missing,
            permissions: Permissions::new(self.hasher.clone()),
            channels: Channels::new(self.hasher.clone()),
            connections: Vec::new(),
            upstream: full,
            downstream: full,
            traffic: Traffic::default(),
        });
        self.by_client.insert(client, slot);
        *self.allocations_of.entry(identity.user.clone()).or_default() += 1;
        self.timers.insert((expires, Timer::Allocation(slot)));
        if let PortWish::Reserved(token) = wish.port {
            self.adopt(slot, token);
        } else {
            self.open_relays(slot, wish);
        }
        self.open_if_complete(now, slot);
    }

    /// Gives a port that was set aside to an allocation.
    fn adopt(&mut self, slot: Slot, token: [u8; 8]) {
        let Some((relay, until)) = self.reservations.remove(&token) else {
            return;
        };
        self.timers.remove(&(until, Timer::Reservation(token)));
        let reserved = self.relays.get_mut(relay.0).map(|entry| {
            entry.owner = Owner::Allocation(slot);
            entry.address
        });
        if let (Some(Some(address)), Some(allocation)) = (reserved, self.allocations.get_mut(slot)) {
            match address {
                SocketAddr::V4(_) => allocation.ipv4 = Some(relay),
                SocketAddr::V6(_) => allocation.ipv6 = Some(relay),
            }
        }
    }

    fn open_relays(&mut self, slot: Slot, wish: &Wish) {
        let mut awaited = 0;
        for ipv4 in [true, false] {
            if !(if ipv4 { wish.ipv4 } else { wish.ipv6 }) {
                continue;
            }
            let port = match wish.port {
                PortWish::Any | PortWish::Reserved(_) => RelayPort::Any,
                PortWish::Even => RelayPort::Even,
                PortWish::EvenWithNext => {
                    let token = self.rng.random();
                    let next = self.insert_relay(slot);
                    awaited += 1;
                    if let Some(allocation) = self.allocations.get_mut(slot) {
                        allocation.reservation = Some((next, token));
                    }
                    RelayPort::EvenWithNext(next)
                }
            };
            let relay = self.insert_relay(slot);
            awaited += 1;
            if let Some(allocation) = self.allocations.get_mut(slot) {
                match ipv4 {
                    true => allocation.ipv4 = Some(relay),
                    false => allocation.ipv6 = Some(relay),
                }
            }
            self.commands.push_back(Event::OpenRelay(OpenRelay {
                relay,
                transport: wish.transport,
                ipv4,
                port,
            }));
        }
        if let Some(Phase::Opening { awaited: count, .. }) = self.allocations.get_mut(slot).map(|a| &mut a.phase) {
            *count = awaited;
        }
    }

    fn insert_relay(&mut self, slot: Slot) -> RelayId {
        let owner = Owner::Allocation(slot);
        RelayId(self.relays.insert(Relay { owner, address: None }))
    }

    pub(super) fn on_relay_opened(&mut self, now: Instant, relay: RelayId, address: SocketAddr) {
        let Some(entry) = self.relays.get_mut(relay.0) else {
            // Its allocation did not wait for it.
            return self.commands.push_back(Event::CloseRelay(relay));
        };
        if entry.address.replace(address).is_none()
            && let Owner::Allocation(slot) = entry.owner
        {
            self.relay_answered(now, slot);
        }
    }

    pub(super) fn on_relay_failed(&mut self, now: Instant, relay: RelayId) {
        let Some(entry) = self.relays.get(relay.0) else {
            return;
        };
        let Owner::Allocation(slot) = entry.owner else {
            return;
        };
        if entry.address.is_some() {
            return;
        }
        self.relays.remove(relay.0);
        if let Some(allocation) = self.allocations.get_mut(slot) {
            allocation.missing = Some(ErrorCode::INSUFFICIENT_CAPACITY);
            for ours in [&mut allocation.ipv4, &mut allocation.ipv6] {
                ours.take_if(|ours| *ours == relay);
            }
        }
        self.relay_answered(now, slot);
    }

    fn relay_answered(&mut self, now: Instant, slot: Slot) {
        if let Some(Phase::Opening { awaited, .. }) = self.allocations.get_mut(slot).map(|found| &mut found.phase) {
            *awaited = awaited.saturating_sub(1);
            self.open_if_complete(now, slot);
        }
    }

    /// Answers the client once the driver has told of all sockets.
    fn open_if_complete(&mut self, now: Instant, slot: Slot) {
        let Some(allocation) = self.allocations.get(slot) else {
            return;
        };
        let Phase::Opening { awaited: 0, lifetime } = allocation.phase else {
            return;
        };
        let lost_next = allocation
            .reservation
            .is_some_and(|(next, _)| self.relays.get(next.0).is_none());
        if allocation.relays().next().is_none() || lost_next {
            let (client, identity) = (allocation.client, allocation.identity.clone());
            let request = Request {
                method: Method::ALLOCATE,
                transaction_id: allocation.transaction_id,
            };
            self.release(slot, ReleaseReason::Failed);
            return self.refuse(client, &identity, &request, Refused::FULL);
        }
        self.set_aside(now, slot);
        self.set_expiry(slot, now + lifetime);
        let relayed = self.relayed(slot);
        if let Some(allocation) = self.allocations.get_mut(slot) {
            allocation.phase = Phase::Open;
            let (client, user) = (allocation.client, allocation.identity.user.clone());
            self.stats.allocations_made += 1;
            self.log(Log::Allocated { client, user, relayed });
        }
        self.answer_allocated(now, slot);
    }

    /// "The server MUST hold this reservation for at least 30 seconds".
    fn set_aside(&mut self, now: Instant, slot: Slot) {
        let Some((next, token)) = self.allocations.get(slot).and_then(|allocation| allocation.reservation) else {
            return;
        };
        let until = now + self.config.timings.reservation;
        if let Some(entry) = self.relays.get_mut(next.0) {
            entry.owner = Owner::Nobody;
            self.reservations.insert(token, (next, until));
            self.timers.insert((until, Timer::Reservation(token)));
        }
    }

    pub(super) fn on_reservation_expired(&mut self, token: [u8; 8]) {
        if let Some((relay, until)) = self.reservations.remove(&token) {
            self.timers.remove(&(until, Timer::Reservation(token)));
            self.close_relay(relay);
        }
    }

    fn relayed(&self, slot: Slot) -> Vec<SocketAddr> {
        let relays = self.allocations.get(slot).into_iter().flat_map(Allocation::relays);
        relays.filter_map(|relay| self.relays.get(relay.0)?.address).collect()
    }

    fn answer_allocated(&mut self, now: Instant, slot: Slot) {
        let relayed = self.relayed(slot);
        let Some(allocation) = self.allocations.get(slot) else {
            return;
        };
        let (client, identity) = (allocation.client, allocation.identity.clone());
        let request = Request {
            method: Method::ALLOCATE,
            transaction_id: allocation.transaction_id,
        };
        let lifetime = allocation.expires.saturating_duration_since(now).as_secs();
        let reservation = allocation.reservation;
        let missing = allocation.missing.map(|code| AddressErrorCode {
            family: if allocation.ipv4.is_none() {
                AddressFamily::IPV4
            } else {
                AddressFamily::IPV6
            },
            code,
            reason: code.reason(),
        });
        self.succeed(client, &identity, &request, |response| {
            for address in relayed {
                response.attribute(XorRelayedAddress(address));
            }
            response
                .attribute(Lifetime(u32::try_from(lifetime).unwrap_or(u32::MAX)))
                .attribute(XorMappedAddress(client.remote));
            if let Some((_, token)) = reservation {
                response.attribute(ReservationToken(token));
            }
            if let Some(missing) = missing {
                response.attribute(missing);
            }
        });
    }

    pub(super) fn on_refresh(
        &mut self,
        now: Instant,
        slot: Slot,
        identity: &Identity,
        message: &Message<'_>,
    ) -> Result<(), Refused> {
        let family = message
            .get::<RequestedAddressFamily>()
            .map_err(|_| Refused::BAD_REQUEST)?;
        let wanted = self.lifetime(message)?;
        let allocation = self.allocations.get_mut(slot).ok_or(Refused::MISMATCH)?;
        let client = allocation.client;
        let (has_ipv4, has_ipv6) = (allocation.ipv4.is_some(), allocation.ipv6.is_some());
        // "If the server receives a Refresh Request with a REQUESTED-ADDRESS-FAMILY attribute and the attribute value does not
        // match the address family of the allocation, the server MUST reply with a 443".
        let family = match family {
            None => None,
            Some(RequestedAddressFamily(AddressFamily::IPV4)) if has_ipv4 => Some(true),
            Some(RequestedAddressFamily(AddressFamily::IPV6)) if has_ipv6 => Some(false),
            Some(_) => return Err(Refused::malformed(ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH)),
        };
        let lifetime = if wanted.is_zero() {
            match family {
                Some(ipv4) if has_ipv4 && has_ipv6 => {
                    let relay = allocation.delete_family(ipv4);
                    relay.into_iter().for_each(|relay| self.close_relay(relay));
                }
                Some(_) | None => self.release(slot, ReleaseReason::Deleted),
            }
            Duration::ZERO
        } else {
            let lifetime = wanted.max(self.config.timings.default_lifetime);
            self.set_expiry(slot, now + lifetime);
            lifetime
        };
        self.succeed(client, identity, &Request::of(message), |response| {
            response.attribute(Lifetime(u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX)));
        });
        Ok(())
    }

    fn set_expiry(&mut self, slot: Slot, expires: Instant) {
        if let Some(allocation) = self.allocations.get_mut(slot) {
            self.timers.remove(&(allocation.expires, Timer::Allocation(slot)));
            allocation.expires = expires;
            self.timers.insert((expires, Timer::Allocation(slot)));
        }
    }

    pub(super) fn on_expired(&mut self, slot: Slot) {
        let Some(allocation) = self.allocations.get(slot) else {
            return;
        };
        if allocation.phase == Phase::Open {
            return self.release(slot, ReleaseReason::Expired);
        }
        // The driver has not opened its sockets in time.
        let (client, identity) = (allocation.client, allocation.identity.clone());
        let request = Request {
            method: Method::ALLOCATE,
            transaction_id: allocation.transaction_id,
        };
        self.release(slot, ReleaseReason::Failed);
        self.refuse(client, &identity, &request, Refused::FULL);
    }

    /// The end of an allocation, and of all that belongs to it.
    pub(super) fn release(&mut self, slot: Slot, reason: ReleaseReason) {
        let Some(allocation) = self.allocations.remove(slot) else {
            return;
        };
        self.timers.remove(&(allocation.expires, Timer::Allocation(slot)));
        self.by_client.remove(&allocation.client);
        let user = allocation.identity.user.clone();
        if let Some(count) = self.allocations_of.get_mut(&user) {
            *count -= 1;
            if *count == 0 {
                self.allocations_of.remove(&user);
            }
        }
        allocation.relays().for_each(|relay| self.close_relay(relay));
        if let (Phase::Opening { .. }, Some((next, _))) = (allocation.phase, allocation.reservation) {
            self.close_relay(next);
        }
        for &connection in &allocation.connections {
            self.close_connection(connection);
        }
        let (client, traffic) = (allocation.client, allocation.traffic);
        self.log(Log::Released {
            client,
            user,
            reason,
            traffic,
        });
    }

    fn close_relay(&mut self, relay: RelayId) {
        if self.relays.remove(relay.0).is_some() {
            self.commands.push_back(Event::CloseRelay(relay));
        }
    }
}

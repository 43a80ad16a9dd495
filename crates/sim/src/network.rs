//! [`Network`]: any number of hosts with addresses, and a link between each two addresses.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use peerline_wire::{Datagram, Ecn, FiveTuple};

use crate::gateway::{Gateway, Translator};
use crate::link::{Link, LinkStats, Wire};
use crate::machine::Machine;
use crate::time::epoch;

/// A host of a [`Network`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostId(usize);

/// A gateway of a [`Network`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GatewayId(usize);

/// Where addresses mean the same: the public network (`None`), or the network behind a gateway.
type Realm = Option<GatewayId>;

/// Hosts, each a machine with addresses, and the links between them. Where machines differ in type, use an enum or
/// `Box<dyn Machine<Event = …>>`.
///
/// A datagram goes to the host that has the address it is sent to, whatever the port, and is dropped (and counted) if
/// no host has it or if its sender does not have the address it claims. Hosts may live behind [`Gateway`]s, and gateways
/// behind others; two networks behind different gateways may use the same addresses.
pub struct Network<M: Machine> {
    hosts: Vec<Host<M>>,
    gateways: Vec<Site>,
    owners: HashMap<(Realm, IpAddr), Owner>,
    wires: HashMap<(IpAddr, IpAddr), Wire>,
    /// Routes that use the link of another route.
    shared: HashMap<(IpAddr, IpAddr), (IpAddr, IpAddr)>,
    default_link: Link,
    seed: u64,
    now: Instant,
    in_flight: BTreeMap<(Instant, u64), Arriving>,
    arrivals: u64,
    unroutable: u64,
    refused: u64,
}

struct Host<M: Machine> {
    machine: M,
    realm: Realm,
    events: Vec<M::Event>,
}

/// A gateway and the network on its outside.
struct Site {
    translator: Translator,
    outside: Realm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Host(HostId),
    Gateway(GatewayId),
}

struct Arriving {
    /// Where its addresses are meant.
    realm: Realm,
    /// As the receiver's side names the path.
    five_tuple: FiveTuple,
    ecn: Option<Ecn>,
    payload: BytesMut,
}

impl<M: Machine> Network<M> {
    /// A network without hosts, at [`epoch`]; `link` joins each two addresses until [`set_link`](Self::set_link).
    #[must_use]
    pub fn new(seed: u64, link: Link) -> Self {
        Self {
            hosts: Vec::new(),
            gateways: Vec::new(),
            owners: HashMap::new(),
            wires: HashMap::new(),
            shared: HashMap::new(),
            default_link: link,
            seed,
            now: epoch(),
            in_flight: BTreeMap::new(),
            arrivals: 0,
            unroutable: 0,
            refused: 0,
        }
    }

    /// Adds a host to the public network.
    ///
    /// # Panics
    /// If another host has one of the addresses.
    pub fn add(&mut self, machine: M, addresses: impl IntoIterator<Item = IpAddr>) -> HostId {
        self.add_host(None, machine, addresses)
    }

    /// Adds a host behind a gateway.
    ///
    /// # Panics
    /// If another host behind the gateway has one of the addresses.
    pub fn add_behind(
        &mut self,
        gateway: GatewayId,
        machine: M,
        addresses: impl IntoIterator<Item = IpAddr>,
    ) -> HostId {
        self.add_host(Some(gateway), machine, addresses)
    }

    fn add_host(&mut self, realm: Realm, machine: M, addresses: impl IntoIterator<Item = IpAddr>) -> HostId {
        let id = HostId(self.hosts.len());
        self.hosts.push(Host {
            machine,
            realm,
            events: Vec::new(),
        });
        for address in addresses {
            self.add_address(id, address);
        }
        id
    }

    /// Adds a gateway to the public network, with its addresses there (at most one a family; none for a firewall).
    ///
    /// # Panics
    /// If one of the addresses is taken.
    pub fn add_gateway(&mut self, gateway: Gateway, external: impl IntoIterator<Item = IpAddr>) -> GatewayId {
        self.add_site(None, gateway, external)
    }

    /// Adds a gateway behind another: a home behind a provider's translator.
    ///
    /// # Panics
    /// If one of the addresses is taken.
    pub fn add_gateway_behind(
        &mut self,
        outer: GatewayId,
        gateway: Gateway,
        external: impl IntoIterator<Item = IpAddr>,
    ) -> GatewayId {
        self.add_site(Some(outer), gateway, external)
    }

    fn add_site(&mut self, outside: Realm, gateway: Gateway, external: impl IntoIterator<Item = IpAddr>) -> GatewayId {
        let id = GatewayId(self.gateways.len());
        let external: Vec<IpAddr> = external.into_iter().collect();
        for &address in &external {
            self.own(outside, address, Owner::Gateway(id));
        }
        let translator = Translator::new(gateway, external);
        self.gateways.push(Site { translator, outside });
        id
    }

    /// Restarts a gateway: its mappings are gone, and its external addresses are these.
    ///
    /// # Panics
    /// If one of the addresses is taken by another.
    pub fn restart_gateway(&mut self, gateway: GatewayId, external: impl IntoIterator<Item = IpAddr>) {
        let site = &self.gateways[gateway.0];
        let outside = site.outside;
        for address in site.translator.external().to_vec() {
            self.owners.remove(&(outside, address));
        }
        let external: Vec<IpAddr> = external.into_iter().collect();
        for &address in &external {
            self.own(outside, address, Owner::Gateway(gateway));
        }
        self.gateways[gateway.0].translator.restart(external);
    }

    /// Changes how a gateway behaves from now on; its mappings stay.
    pub fn set_gateway(&mut self, gateway: GatewayId, behaviour: Gateway) {
        self.gateways[gateway.0].translator.gateway = behaviour;
    }

    /// Gives a host another address.
    ///
    /// # Panics
    /// If another host has it.
    pub fn add_address(&mut self, host: HostId, address: IpAddr) {
        let mut realm = self.hosts[host.0].realm;
        self.own(realm, address, Owner::Host(host));
        // An address that a gateway passes as it is, is known on its outside.
        while let Some(gateway) = realm {
            let site = &self.gateways[gateway.0];
            if !site.translator.passes_untranslated(address) {
                return;
            }
            realm = site.outside;
            self.own(realm, address, Owner::Gateway(gateway));
        }
    }

    fn own(&mut self, realm: Realm, address: IpAddr, owner: Owner) {
        let previous = self.owners.insert((realm, address), owner);
        assert!(
            previous.is_none_or(|previous| previous == owner),
            "{address} belongs to {previous:?}"
        );
    }

    /// Takes an address from its host: an interface goes down.
    pub fn remove_address(&mut self, host: HostId, address: IpAddr) {
        let mut realm = self.hosts[host.0].realm;
        if self.owners.get(&(realm, address)) != Some(&Owner::Host(host)) {
            return;
        }
        self.owners.remove(&(realm, address));
        while let Some(gateway) = realm {
            realm = self.gateways[gateway.0].outside;
            if self.owners.get(&(realm, address)) == Some(&Owner::Gateway(gateway)) {
                self.owners.remove(&(realm, address));
            }
        }
    }

    /// True if the host has this address now.
    #[must_use]
    pub fn has_address(&self, host: HostId, address: IpAddr) -> bool {
        let realm = self.hosts[host.0].realm;
        self.owners.get(&(realm, address)) == Some(&Owner::Host(host))
    }

    /// Moves a host to another network, behind a gateway or the public one, where it has these addresses and no other.
    ///
    /// # Panics
    /// If one of the addresses is taken there.
    pub fn move_host(&mut self, host: HostId, gateway: Option<GatewayId>, addresses: impl IntoIterator<Item = IpAddr>) {
        let realm = self.hosts[host.0].realm;
        let owned = self.owners.iter();
        let old: Vec<IpAddr> = owned
            .filter(|&(&(at, _), &owner)| at == realm && owner == Owner::Host(host))
            .map(|(&(_, address), _)| address)
            .collect();
        for address in old {
            self.remove_address(host, address);
        }
        self.hosts[host.0].realm = gateway;
        for address in addresses {
            self.add_address(host, address);
        }
    }

    /// What happens to datagrams from one address to another, from now on. Addresses are those of the outermost network
    /// that a datagram crosses: behind a translator, its external ones.
    pub fn set_link(&mut self, from: IpAddr, to: IpAddr, link: Link) {
        self.wire(from, to).link = link;
    }

    /// The same link both ways.
    pub fn set_links(&mut self, one: IpAddr, other: IpAddr, link: &Link) {
        self.set_link(one, other, link.clone());
        self.set_link(other, one, link.clone());
    }

    /// From now on, datagrams of `route` (from an address to another) go over the link of `with`, and queue up with those that
    /// go there: a bottleneck that several hosts share. `with` must not share another route's link itself.
    pub fn share_link(&mut self, route: (IpAddr, IpAddr), with: (IpAddr, IpAddr)) {
        self.shared.insert(route, with);
    }

    /// What happened on the link from one address to another.
    #[must_use]
    pub fn stats(&self, from: IpAddr, to: IpAddr) -> LinkStats {
        self.wires.get(&(from, to)).map(Wire::stats).unwrap_or_default()
    }

    /// How many datagrams had no way to go.
    #[must_use]
    pub fn unroutable(&self) -> u64 {
        self.unroutable
    }

    /// How many datagrams gateways have refused.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// The machine of a host.
    #[must_use]
    pub fn host(&self, host: HostId) -> &M {
        &self.hosts[host.0].machine
    }

    /// The machine of a host, to give it commands.
    pub fn host_mut(&mut self, host: HostId) -> &mut M {
        &mut self.hosts[host.0].machine
    }

    /// What a host has reported since the last call.
    pub fn take_events(&mut self, host: HostId) -> Vec<M::Event> {
        self.collect_events();
        std::mem::take(&mut self.hosts[host.0].events)
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// How much time has passed.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.now - epoch()
    }

    /// Lets time run until `done` holds; `false` if it does not within `limit`, or nothing would ever happen again.
    #[must_use = "false means that it did not happen"]
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.now + limit;
        loop {
            self.exchange();
            if done(self) {
                return true;
            }
            // `done` may have given the machines commands.
            self.exchange();
            if !self.step(end) {
                return done(self);
            }
        }
    }

    /// Lets this much time pass.
    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        self.exchange();
        while self.step(end) {}
        self.now = end;
        self.fire();
        self.exchange();
    }

    /// Advances to the next arrival or timeout, but not beyond `end`, and lets all hosts react. `false`, and the time
    /// unchanged, if nothing is due until then.
    ///
    /// # Panics
    /// If a machine keeps asking for a time that has come (law 5: no spinning).
    pub fn step(&mut self, end: Instant) -> bool {
        let arrival = self.in_flight.first_key_value().map(|(&(at, _), _)| at);
        let timeouts = self.hosts.iter().filter_map(|host| host.machine.poll_timeout());
        let Some(next) = timeouts.chain(arrival).min() else {
            return false;
        };
        if next > end {
            return false;
        }
        self.now = self.now.max(next);
        while let Some(entry) = self.in_flight.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            let Arriving {
                realm,
                five_tuple,
                ecn,
                payload,
            } = entry.remove();
            let Some((to, five_tuple)) = self.descend(realm, five_tuple) else {
                continue;
            };
            self.hosts[to.0].machine.handle_datagram(
                self.now,
                Datagram {
                    five_tuple,
                    ecn,
                    payload,
                },
            );
        }
        self.fire();
        self.exchange();
        for (index, host) in self.hosts.iter().enumerate() {
            let spins = host.machine.poll_timeout().is_some_and(|at| at <= self.now);
            assert!(!spins, "law 5: host {index} spins at {:?}", self.elapsed());
        }
        true
    }

    /// Sends what the machines want to send now, without letting time pass.
    pub fn exchange(&mut self) {
        let mut out = Vec::new();
        for index in 0..self.hosts.len() {
            for count in 0.. {
                assert!(
                    count < 1_000_000,
                    "host {index} sends without end at {:?}",
                    self.elapsed()
                );
                out.clear();
                let Some(transmit) = self.hosts[index].machine.poll_transmit(self.now, &mut out) else {
                    break;
                };
                assert_eq!(transmit.len, out.len(), "law 3: the length is what was appended");
                self.route(HostId(index), transmit.five_tuple, transmit.ecn, &out);
            }
        }
        self.collect_events();
    }

    /// A datagram that a host's machine did not send by itself, as data is sent that lies outside of its verbs.
    pub fn inject(&mut self, from: HostId, five_tuple: FiveTuple, payload: &[u8]) {
        self.route(from, five_tuple, None, payload);
    }

    /// Takes a datagram from its sender to the network of its destination, and onto the link there.
    fn route(&mut self, from: HostId, five_tuple: FiveTuple, ecn: Option<Ecn>, payload: &[u8]) {
        let realm = self.hosts[from.0].realm;
        if self.owners.get(&(realm, five_tuple.local.ip())) != Some(&Owner::Host(from)) {
            self.unroutable += 1;
            return;
        }
        let Some((realm, five_tuple)) = self.ascend(realm, five_tuple) else {
            return;
        };
        let now = self.now;
        for (at, payload) in self
            .wire(five_tuple.local.ip(), five_tuple.remote.ip())
            .send(now, payload)
        {
            let arriving = Arriving {
                realm,
                five_tuple: five_tuple.reversed(),
                ecn,
                payload,
            };
            self.in_flight.insert((at, self.arrivals), arriving);
            self.arrivals += 1;
        }
    }

    /// Outwards through gateways until somebody has the destination's address; what is refused or goes nowhere is counted.
    fn ascend(&mut self, mut realm: Realm, mut five_tuple: FiveTuple) -> Option<(Realm, FiveTuple)> {
        while !self.owners.contains_key(&(realm, five_tuple.remote.ip())) {
            let Some(gateway) = realm else {
                self.unroutable += 1;
                return None;
            };
            let site = &mut self.gateways[gateway.0];
            let Some(outside) = site.translator.outbound(self.now, five_tuple) else {
                self.refused += 1;
                return None;
            };
            (realm, five_tuple) = (site.outside, outside);
        }
        Some((realm, five_tuple))
    }

    /// Inwards through gateways to the host, when a datagram arrives: a filter knows by then whom the inside has sent to.
    fn descend(&mut self, mut realm: Realm, mut five_tuple: FiveTuple) -> Option<(HostId, FiveTuple)> {
        loop {
            let gateway = match self.owners.get(&(realm, five_tuple.local.ip())) {
                Some(&Owner::Host(host)) => return Some((host, five_tuple)),
                Some(&Owner::Gateway(gateway)) => gateway,
                None => {
                    self.unroutable += 1;
                    return None;
                }
            };
            let Some(inside) = self.gateways[gateway.0].translator.inbound(self.now, five_tuple) else {
                self.refused += 1;
                return None;
            };
            (realm, five_tuple) = (Some(gateway), inside);
        }
    }

    fn wire(&mut self, from: IpAddr, to: IpAddr) -> &mut Wire {
        let (from, to) = self.shared.get(&(from, to)).copied().unwrap_or((from, to));
        // A number for each link that does not depend on the order in which links come into use.
        let (
            Self {
                wires,
                default_link,
                seed,
                ..
            },
            bits,
        ) = (self, |address: IpAddr| match address {
            IpAddr::V4(address) => u128::from(address.to_bits()),
            IpAddr::V6(address) => address.to_bits(),
        });
        wires.entry((from, to)).or_insert_with(|| {
            let mixed = bits(from).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835) ^ bits(to);
            Wire::new(default_link.clone(), *seed ^ (mixed as u64) ^ ((mixed >> 64) as u64))
        })
    }

    fn fire(&mut self) {
        for host in &mut self.hosts {
            if host.machine.poll_timeout().is_some_and(|at| at <= self.now) {
                host.machine.handle_timeout(self.now);
            }
        }
    }

    fn collect_events(&mut self) {
        for host in &mut self.hosts {
            host.events.extend(std::iter::from_fn(|| host.machine.poll_event()));
        }
    }
}

//! [`Network`]: any number of hosts with addresses, and a link between each two addresses.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use peerline_wire::{Datagram, Ecn, FiveTuple};

use crate::link::{Link, LinkStats, Wire};
use crate::machine::Machine;
use crate::time::epoch;

/// A host of a [`Network`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostId(usize);

/// Hosts, each a machine with addresses, and the links between them. Where machines differ in type, use an enum or
/// `Box<dyn Machine<Event = …>>`.
///
/// A datagram goes to the host that has the address it is sent to, whatever the port, and is dropped (and counted) if
/// no host has it or if its sender does not have the address it claims.
pub struct Network<M: Machine> {
    hosts: Vec<Host<M>>,
    owners: HashMap<IpAddr, HostId>,
    wires: HashMap<(IpAddr, IpAddr), Wire>,
    /// Routes that use the link of another route.
    shared: HashMap<(IpAddr, IpAddr), (IpAddr, IpAddr)>,
    default_link: Link,
    seed: u64,
    now: Instant,
    in_flight: BTreeMap<(Instant, u64), Arriving>,
    arrivals: u64,
    unroutable: u64,
}

struct Host<M: Machine> {
    machine: M,
    events: Vec<M::Event>,
}

struct Arriving {
    to: HostId,
    /// As the receiver names the path.
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
            owners: HashMap::new(),
            wires: HashMap::new(),
            shared: HashMap::new(),
            default_link: link,
            seed,
            now: epoch(),
            in_flight: BTreeMap::new(),
            arrivals: 0,
            unroutable: 0,
        }
    }

    /// Adds a host.
    ///
    /// # Panics
    /// If another host has one of the addresses.
    pub fn add(&mut self, machine: M, addresses: impl IntoIterator<Item = IpAddr>) -> HostId {
        let id = HostId(self.hosts.len());
        self.hosts.push(Host {
            machine,
            events: Vec::new(),
        });
        for address in addresses {
            self.add_address(id, address);
        }
        id
    }

    /// Gives a host another address.
    ///
    /// # Panics
    /// If another host has it.
    pub fn add_address(&mut self, host: HostId, address: IpAddr) {
        let previous = self.owners.insert(address, host);
        assert!(
            previous.is_none_or(|owner| owner == host),
            "{address} belongs to {previous:?}"
        );
    }

    /// Takes an address from its host: an interface goes down.
    pub fn remove_address(&mut self, address: IpAddr) {
        self.owners.remove(&address);
    }

    /// What happens to datagrams from one address to another, from now on.
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
                to,
                five_tuple,
                ecn,
                payload,
            } = entry.remove();
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

    /// The one place that decides where a datagram goes. Translators of addresses belong here.
    fn route(&mut self, from: HostId, five_tuple: FiveTuple, ecn: Option<Ecn>, payload: &[u8]) {
        let (source, destination) = (five_tuple.local.ip(), five_tuple.remote.ip());
        let to = self
            .owners
            .get(&destination)
            .copied()
            .filter(|_| self.owners.get(&source) == Some(&from));
        let Some(to) = to else {
            self.unroutable += 1;
            return;
        };
        let now = self.now;
        for (at, payload) in self.wire(source, destination).send(now, payload) {
            let arriving = Arriving {
                to,
                five_tuple: five_tuple.reversed(),
                ecn,
                payload,
            };
            self.in_flight.insert((at, self.arrivals), arriving);
            self.arrivals += 1;
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

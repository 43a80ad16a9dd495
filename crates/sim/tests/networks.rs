//! Pairs and networks deliver what they should, when they should.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use peerline_sim::{Direction, Link, Network, Pair, epoch, every_loss, many_paths};
use peerline_wire::{Datagram, FiveTuple, Transmit};

/// Sends what it is told to, and keeps what arrives.
#[derive(Default)]
struct Postbox {
    outbox: Vec<(FiveTuple, &'static str)>,
    inbox: Vec<(Duration, FiveTuple, String)>,
    alarm: Option<Instant>,
}

impl Postbox {
    #[allow(clippy::needless_pass_by_value)] // The verbs take datagrams owned.
    fn handle_datagram(&mut self, now: Instant, datagram: Datagram) {
        let text = String::from_utf8_lossy(&datagram.payload).into_owned();
        self.inbox.push((now - epoch(), datagram.five_tuple, text));
    }
    fn handle_timeout(&mut self, now: Instant) {
        if self.alarm.is_some_and(|at| at <= now) {
            self.alarm = None;
        }
    }
    fn poll_transmit(&mut self, _now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        let (five_tuple, text) = if self.outbox.is_empty() {
            None
        } else {
            Some(self.outbox.remove(0))
        }?;
        out.extend_from_slice(text.as_bytes());
        Some(Transmit {
            five_tuple,
            ecn: None,
            len: text.len(),
        })
    }
    fn poll_timeout(&self) -> Option<Instant> {
        self.alarm
    }
    fn poll_event(&mut self) -> Option<()> {
        None
    }
}

many_paths! { #[derive(Default)] struct Host(Postbox) -> (); }

const MS: Duration = Duration::from_millis(1);

fn path(local: &str, remote: &str) -> FiveTuple {
    let address = |text: &str| -> SocketAddr { text.parse().expect("an address") };
    FiveTuple::udp(address(local), address(remote))
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[test]
fn a_pair_delivers_both_ways_after_the_delay_and_shows_it_to_the_tap() {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let tapped = Rc::clone(&seen);
    let mut pair = Pair::new(0, Host::default(), Host::default())
        .links(&Link::delay(20 * MS))
        .tap(move |it| tapped.borrow_mut().push((it.at, it.direction, it.payload.to_vec())));
    let there = path("10.0.0.1:1", "10.0.0.2:2");
    pair.a.outbox = vec![(there, "ping"), (there, "again")];
    assert!(pair.run_until(Duration::from_secs(1), |pair| pair.b.inbox.len() == 2));
    assert_eq!(pair.b.inbox[0], (20 * MS, there.reversed(), "ping".to_owned()));
    pair.b.outbox = vec![(there.reversed(), "pong")];
    pair.run_for(100 * MS);
    assert_eq!(pair.a.inbox, [(40 * MS, there, "pong".to_owned())]);
    assert_eq!(pair.elapsed(), 120 * MS);
    let seen = seen.borrow();
    assert_eq!(seen.len() as u64, pair.datagrams_sent());
    assert_eq!(seen[2], (20 * MS, Direction::BToA, b"pong".to_vec()));
}

#[test]
fn a_pair_loses_exactly_what_it_is_told_to() {
    let there = path("10.0.0.1:1", "10.0.0.2:2");
    for lost in every_loss(2, 4) {
        let mut pair = Pair::new(0, Host::default(), Host::default()).lose(lost.clone());
        pair.a.outbox = vec![(there, "0"), (there, "1"), (there, "2"), (there, "3")];
        pair.run_for(MS);
        let arrived: Vec<u64> = pair
            .b
            .inbox
            .iter()
            .map(|(_, _, text)| text.parse().expect("a number"))
            .collect();
        let expected: Vec<u64> = (0..4).filter(|index| !lost.contains(index)).collect();
        assert_eq!(arrived, expected);
        assert_eq!(pair.stats().0.lost as usize, lost.len());
    }
}

#[test]
fn time_stands_still_when_nothing_is_due_and_stops_at_timeouts() {
    let mut pair = Pair::new(0, Host::default(), Host::default());
    assert!(!pair.run_until(Duration::from_secs(9), |_| false));
    assert_eq!(pair.elapsed(), Duration::ZERO);
    pair.b.alarm = Some(epoch() + 30 * MS);
    assert!(pair.run_until(Duration::from_secs(9), |pair| pair.b.alarm.is_none()));
    assert_eq!(pair.elapsed(), 30 * MS);
}

#[test]
fn a_network_routes_by_address_and_counts_what_has_no_way() {
    let mut network = Network::new(0, Link::delay(MS));
    let one = network.add(Host::default(), [ip("10.0.0.1"), ip("fd00::1")]);
    let two = network.add(Host::default(), [ip("10.0.0.2")]);
    let three = network.add(Host::default(), [ip("fd00::3")]);
    network.set_links(ip("10.0.0.1"), ip("10.0.0.2"), &Link::delay(7 * MS));
    network.host_mut(one).outbox = vec![
        (path("10.0.0.1:1", "10.0.0.2:2"), "to two"),
        (path("[fd00::1]:1", "[fd00::3]:3"), "to three"),
        (path("10.0.0.1:1", "10.0.0.9:9"), "to nobody"),
        (path("10.0.0.2:1", "[fd00::3]:3"), "from an address that another has"),
    ];
    network.run_for(10 * MS);
    assert_eq!(
        network.host(two).inbox,
        [(7 * MS, path("10.0.0.2:2", "10.0.0.1:1"), "to two".to_owned())]
    );
    assert_eq!(
        network.host(three).inbox,
        [(MS, path("[fd00::3]:3", "[fd00::1]:1"), "to three".to_owned())]
    );
    assert_eq!(network.unroutable(), 2);
    assert_eq!(network.stats(ip("10.0.0.1"), ip("10.0.0.2")).delivered, 1);

    network.remove_address(two, ip("10.0.0.2"));
    network.host_mut(one).outbox = vec![(path("10.0.0.1:1", "10.0.0.2:2"), "too late")];
    network.run_for(10 * MS);
    assert_eq!((network.host(two).inbox.len(), network.unroutable()), (1, 3));
    assert_eq!(network.elapsed(), 20 * MS);
}

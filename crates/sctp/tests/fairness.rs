//! Flows of all controllers that share a bottleneck, in virtual time: a table that is checked in.
//!
//! Set `UPDATE_FAIRNESS=1` to write the table anew.

mod common;
use common::*;
use peerline_sctp::CongestionControl;
use peerline_sim::{Machine, Network};
use peerline_wire::{Datagram, FiveTuple, Transmit};
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fairness.txt");
const RTT: Duration = Duration::from_millis(50);
const RATE: u64 = 50_000_000;

/// An association at an address.
struct Host {
    sctp: Association,
    five_tuple: FiveTuple,
}

impl Machine for Host {
    type Event = Event;
    fn handle_datagram(&mut self, now: Instant, datagram: Datagram) {
        self.sctp.handle_datagram(now, datagram.payload);
    }
    fn handle_timeout(&mut self, now: Instant) {
        self.sctp.handle_timeout(now);
    }
    fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        let len = self.sctp.poll_transmit(now, out)?;
        let five_tuple = self.five_tuple;
        Some(Transmit {
            five_tuple,
            ecn: None,
            len,
        })
    }
    fn poll_timeout(&self) -> Option<Instant> {
        self.sctp.poll_timeout()
    }
    fn poll_event(&mut self) -> Option<Event> {
        self.sctp.poll_event()
    }
}

/// A sender that begins at a time, and its receiver.
struct Flow {
    control: CongestionControl,
    begins: Duration,
}

/// Mbit/s of payload of each flow, in each second, over a bottleneck with a queue of so many round trips.
fn compete(flows: &[Flow], queue: f64, seconds: usize, seed: u64) -> Vec<Vec<f64>> {
    let product = RATE as f64 / 8.0 * RTT.as_secs_f64();
    let link = Link {
        delay: RTT / 2,
        rate: Some(RATE),
        queue: (product * queue) as usize,
        ..Link::default()
    };
    let mut network = Network::new(seed, Link::delay(RTT / 2));
    let address = |side, index| IpAddr::V4(Ipv4Addr::new(10, 0, side, index as u8));
    let mut hosts = Vec::new();
    for (index, flow) in flows.iter().enumerate() {
        let (here, there) = (address(0, index), address(1, index));
        let add = |network: &mut Network<Host>, from: IpAddr, to: IpAddr, who: u64| {
            let config = Config {
                congestion_control: flow.control,
                ..config(seed, who)
            };
            let sctp = Association::new(config);
            let five_tuple = FiveTuple::udp(SocketAddr::from((from, 9)), SocketAddr::from((to, 9)));
            network.add(Host { sctp, five_tuple }, [from])
        };
        let sender = add(&mut network, here, there, 2 * index as u64);
        let receiver = add(&mut network, there, here, 2 * index as u64 + 1);
        network.share_link((here, there), (address(0, 0), address(1, 0)));
        hosts.push((sender, receiver));
    }
    network.set_link(address(0, 0), address(1, 0), link);
    let payload = Bytes::from(vec![7; 16_384]);
    let mut received = vec![vec![0.0; seconds]; flows.len()];
    let start = network.elapsed();
    while let Some(second) = Some((network.elapsed() - start).as_secs() as usize).filter(|&second| second < seconds) {
        for (flow, &(sender, receiver)) in hosts.iter().enumerate() {
            let now = network.now();
            while let Some(message) = network.host_mut(receiver).sctp.recv(StreamId(1)) {
                received[flow][second] += message.payload.len() as f64 * 8e-6;
            }
            if network.elapsed() - start < flows[flow].begins {
                continue;
            }
            let sctp = &mut network.host_mut(sender).sctp;
            sctp.connect(now);
            while sctp.buffered_amount(StreamId(1)) < 1 << 20 {
                let message = Message::new(Ppid::BINARY, payload.clone());
                sctp.send(now, StreamId(1), message, SendOptions::default()).unwrap();
            }
        }
        network.run_for(10 * MS);
    }
    received
}

/// What each has after half a minute, in the mean.
fn later(rates: &[Vec<f64>]) -> Vec<f64> {
    rates.iter().map(|rates| mean(rates[30..].iter().copied())).collect()
}

/// Jain's index: one if all have the same, one over their number if one has everything.
fn jain(rates: &[f64]) -> f64 {
    let sum: f64 = rates.iter().sum();
    let squares: f64 = rates.iter().map(|rate| rate * rate).sum();
    sum * sum / (rates.len() as f64 * squares)
}

#[test]
fn the_table_is_as_checked_in() {
    use CongestionControl::{Cubic, ModelBased, NewReno};
    let mut table = String::from(
        "Two flows over a bottleneck of 50 Mbit/s, 50 ms round trip, by the bottleneck's queue in parts of what fills the path.\n\
         The second flow begins three seconds after the first. Mbit/s of each between the 30th and the 60th second, and\n\
         Jain's index: in the mean of three seeds, and the least index of them. Written by tests/fairness.rs.\n\n",
    );
    writeln!(
        table,
        "{:>6} {:>10} {:>10} {:>8} {:>8} {:>6} {:>6}",
        "queue", "first", "second", "first", "second", "index", "least"
    )
    .unwrap();
    for queue in [0.2, 1.0, 4.0] {
        for (first, second) in [
            (ModelBased, ModelBased),
            (ModelBased, Cubic),
            (Cubic, ModelBased),
            (ModelBased, NewReno),
            (NewReno, ModelBased),
            (Cubic, Cubic),
            (Cubic, NewReno),
            (NewReno, NewReno),
        ] {
            let flow = |control, begins| Flow { control, begins };
            let flows = [flow(first, Duration::ZERO), flow(second, 3 * SECOND)];
            // The other controllers draw nothing.
            let seeds = if [first, second].contains(&ModelBased) { 3 } else { 1 };
            let runs = for_seeds(seeds, |seed| later(&compete(&flows, queue, 60, seed)));
            let means = [0, 1].map(|flow| mean(runs.iter().map(|rates| rates[flow])));
            let index = mean(runs.iter().map(|rates| jain(rates)));
            let least = runs.iter().map(|rates| jain(rates)).fold(1.0, f64::min);
            writeln!(
                table,
                "{queue:>6} {:>10} {:>10} {:>8.1} {:>8.1} {index:>6.3} {least:>6.3}",
                format!("{first:?}"),
                format!("{second:?}"),
                means[0],
                means[1]
            )
            .unwrap();
            assert!(means[0] + means[1] > 40.0, "the bottleneck is used: {means:?}");
            if (first, second) == (ModelBased, ModelBased) {
                assert!(index > 0.9, "the default is fair to itself: {means:?}");
            } else if first == ModelBased || second == ModelBased {
                // A queue that is too shallow to be seen in the round trip is nobody's: who minds losses least has more.
                let least = if queue < 1.0 { 0.6 } else { 0.85 };
                assert!(index > least, "and to others: {means:?}");
            }
        }
    }
    if std::env::var_os("UPDATE_FAIRNESS").is_some() {
        std::fs::write(TABLE, &table).unwrap();
    }
    let expected = std::fs::read_to_string(TABLE).unwrap();
    assert_eq!(table, expected, "run with UPDATE_FAIRNESS=1 and look at the difference");
}

#[test]
fn four_flows_of_the_default_share_evenly() {
    let flows: Vec<Flow> = (0..4)
        .map(|index| Flow {
            control: CongestionControl::ModelBased,
            begins: index * 2 * SECOND,
        })
        .collect();
    let means = later(&compete(&flows, 0.5, 60, 1));
    assert!(jain(&means) > 0.9, "{means:?}");
}

//! The laws that every machine obeys, for the client and the server together.

mod common;

use std::time::Instant;

use common::*;
use peerline_sim::laws::{Hostile, Laws};
use peerline_sim::{Machine, seed_bytes};
use peerline_turn::client::{Config, Families, Port};
use peerline_turn::{Credentials, server};
use peerline_wire::{Datagram, Transmit};
use rand::RngExt;
use rand::rngs::StdRng;

enum End {
    Client(Box<ClientEnd>),
    Server(Box<ServerEnd>),
}

impl Machine for End {
    type Event = String;

    fn handle_datagram(&mut self, now: Instant, datagram: Datagram) {
        match self {
            Self::Client(end) => end.handle_datagram(now, datagram),
            Self::Server(end) => end.handle_datagram(now, datagram),
        }
    }
    fn handle_timeout(&mut self, now: Instant) {
        match self {
            Self::Client(end) => end.handle_timeout(now),
            Self::Server(end) => end.handle_timeout(now),
        }
    }
    fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        match self {
            Self::Client(end) => end.poll_transmit(now, out),
            Self::Server(end) => end.poll_transmit(now, out),
        }
    }
    fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Client(end) => end.poll_timeout(),
            Self::Server(end) => end.poll_timeout(),
        }
    }
    fn poll_event(&mut self) -> Option<String> {
        match self {
            Self::Client(end) => end.poll_event().map(|event| format!("{event:?}")),
            Self::Server(end) => {
                if end.events.is_empty() {
                    return None;
                }
                Some(format!("{:?}", end.events.remove(0)))
            }
        }
    }
}

fn introduced(now: Instant, seed: u64, config: Config) -> (End, End) {
    let rng_seed = seed_bytes(seed, 1);
    let mut client = ClientEnd::new(Config { rng_seed, ..config });
    client
        .client
        .create_permission(now, addr(ECHO).ip())
        .expect("room for one");
    let server = ServerEnd::new(server_config(seed));
    (End::Client(Box::new(client)), End::Server(Box::new(server)))
}

fn is_up(end: &End) -> bool {
    match end {
        End::Client(end) => end.client.relayed().next().is_some() && end.client.is_permitted(addr(ECHO).ip()),
        End::Server(_) => true,
    }
}

fn is_bounded(end: &End) {
    if let End::Server(end) = end {
        let limits = server::Limits::default();
        assert!(end.server.stats().allocations <= limits.max_allocations as u64);
        assert!(end.sockets.len() <= 2 * limits.max_allocations + limits.max_reservations);
    }
}

/// What an application does while it has an allocation.
fn command(now: Instant, rng: &mut StdRng, end: &mut End) {
    let End::Client(end) = end else { return };
    let peer = match rng.random_range(0..3) {
        0 => addr(SILENT),
        1 => addr("[2606:4700::1111]:7"),
        _ => addr(ECHO),
    };
    match rng.random_range(0..6) {
        0 => end.client.create_permission(now, peer.ip()).expect("it is open"),
        1 => end.client.bind_channel(now, peer).expect("it is open"),
        2 if peer != addr(ECHO) => end.client.remove_permission(peer.ip()),
        3 => end.client.set_credentials(now, Credentials::new(USER, PASSWORD)),
        _ => end.send(peer, &[0x80; 100][..rng.random_range(0..100)]),
    }
}

fn check(config: &Config, commands: bool) {
    // Before there is a key, whoever sees a request may answer it.
    let before = Hostile {
        forgeries: false,
        ..Hostile::ALL
    };
    let laws = Laws::new(|now, seed| introduced(now, seed, config.clone()))
        .established(is_up)
        .invariant(is_bounded)
        .hostile(before, Hostile::ALL)
        .closed(|event| event.starts_with("Closed"));
    match commands {
        true => laws.commands(command).check(),
        false => laws.check(),
    }
}

#[test]
fn client_and_server_obey_the_laws() {
    check(&config(), false);
}

#[test]
fn they_obey_whatever_the_application_does() {
    check(
        &Config {
            families: Families::Both,
            ..config()
        },
        true,
    );
}

#[test]
fn they_obey_with_ports_set_aside() {
    check(
        &Config {
            port: Port::EvenReservingNext,
            ..config()
        },
        true,
    );
}

#[test]
fn the_machines_can_be_sent_to_other_threads() {
    fn is_send<T: Send>() {}
    is_send::<peerline_turn::Client>();
    is_send::<peerline_turn::Server>();
}

//! The laws of every machine, under random calls, a bad network and an attacker.

mod common;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use common::{CERTIFICATES, config, deterministic};
use peerline_dtls::{Config, Connection, ConnectionId, Event, ProtocolVersion, Role};
use peerline_sim::laws::{Hostile, Laws};
use peerline_sim::one_path;
use rand::RngExt;

/// A connection and the application above it, which has datagrams to send.
struct Talker {
    dtls: Connection,
    to_send: VecDeque<Vec<u8>>,
    mtu: usize,
}

impl Talker {
    fn new(seed: u64, role: Role) -> Self {
        let c = &*CERTIFICATES;
        let mtu = if seed.is_multiple_of(3) { 256 } else { 1200 };
        // In 1.3, signatures by RSA are random.
        let (max_version, certificate) = match seed / 2 % 2 {
            0 => (ProtocolVersion::DTLS_1_2, &c.rsa),
            _ => (ProtocolVersion::DTLS_1_3, &c.ed25519),
        };
        let config = Config {
            provider: deterministic::provider(seed * 2 + u64::from(role == Role::Server)),
            hello_verify_request: seed.is_multiple_of(2),
            mtu,
            max_unread_records: 50,
            max_version,
            max_records_per_key: 40,
            connection_id: ConnectionId::new(&[7; 5]).filter(|_| seed / 4 % 2 == 1),
            ..config(certificate, certificate)
        };
        Self {
            dtls: Connection::new(config, role),
            to_send: VecDeque::new(),
            mtu,
        }
    }

    fn handle_datagram(&mut self, now: Instant, datagram: BytesMut) {
        self.dtls.handle_datagram(now, datagram);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.dtls.handle_timeout(now);
    }

    fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<usize> {
        let Self { dtls, to_send, .. } = self;
        dtls.poll_transmit(now, out).or_else(|| {
            dtls.enclose(out, |out| {
                let payload = to_send.pop_front()?;
                out.extend_from_slice(&payload);
                Some(payload.len())
            })
        })
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.dtls.poll_timeout()
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.dtls.poll_event()
    }
}

one_path! { struct Machine(Talker) -> Event; }

#[test]
fn a_connection_keeps_the_laws() {
    Laws::new(|_, seed| {
        (
            Machine(Talker::new(seed, Role::Client)),
            Machine(Talker::new(seed, Role::Server)),
        )
    })
    .mtu(1200)
    .established(|talker| talker.dtls.is_connected())
    .closed(|event| matches!(event, Event::Closed(_)))
    // A handshake is not authenticated until it is complete: what is forged in it makes it fail.
    .hostile(
        Hostile {
            forgeries: false,
            ..Hostile::ALL
        },
        Hostile::ALL,
    )
    .commands(|now, rng, talker| match rng.random_range(0..3) {
        0 => {
            let fingerprints = talker.dtls.remote_fingerprints().to_vec();
            talker.dtls.set_remote_fingerprints(now, fingerprints);
        }
        _ if talker.to_send.len() < 20 => {
            let longest = talker.mtu.saturating_sub(talker.dtls.overhead()).max(1);
            let len = rng.random_range(1..=longest);
            talker.to_send.push_back(vec![7; len]);
        }
        _ => {}
    })
    .payload(
        |event| matches!(event, Event::Readable).then_some(0),
        |talker, _| talker.dtls.recv().is_some(),
    )
    .check();
}

#[test]
fn what_is_random_comes_from_the_provider() {
    let hello = |seed| {
        let mut out = Vec::new();
        Talker::new(seed, Role::Client).poll_transmit(peerline_sim::epoch(), &mut out);
        out
    };
    assert_eq!(hello(1), hello(1));
    assert_ne!(hello(1), hello(5));
    let strong = Arc::strong_count(&CERTIFICATES.rsa);
    drop(Talker::new(1, Role::Server));
    assert_eq!(
        Arc::strong_count(&CERTIFICATES.rsa),
        strong,
        "a connection leaves nothing behind"
    );
}

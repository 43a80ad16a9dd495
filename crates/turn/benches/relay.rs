//! A datagram through each machine, beside what it cannot do without: its bytes in a buffer of their own, and moved once.
//! `cargo bench -p peerline-turn`.

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Instant, SystemTime};

use bytes::BytesMut;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use peerline_turn::server::{Event, RelayId, StaticUsers};
use peerline_turn::{Client, Credentials, Server, client, server};
use peerline_wire::{Datagram, FiveTuple};

const LEN: usize = 1_200;

/// A client with a channel, and its server.
struct Lab {
    now: Instant,
    client: Client,
    server: Server,
    relay: RelayId,
    peer: SocketAddr,
}

impl Lab {
    /// With so many other allocations at the server.
    #[allow(clippy::disallowed_methods)]
    fn new(others: u16) -> Self {
        let now = Instant::now();
        let mut config = server::Config::new("example.org", (now, SystemTime::UNIX_EPOCH));
        config.limits.max_allocations_per_user = usize::MAX;
        config.limits.strangers = None;
        let alice = Credentials::new("alice", "wonderland");
        let mut server = Server::new(config, StaticUsers::new([alice.clone()]));
        let peer = "9.9.9.9:7".parse().expect("an address");
        let mut made = None;
        for port in 0..=others {
            let local = SocketAddr::from(([198, 51, 100, 7], 5_000 + port));
            let path = FiveTuple::udp(local, "192.0.2.1:3478".parse().expect("an address"));
            let mut client = Client::new(client::Config::new(path, alice.clone()));
            client.bind_channel(now, peer).expect("it is open");
            let relay = connect(now, &mut client, &mut server, peer);
            made = Some((client, relay));
        }
        let (client, relay) = made.expect("one at least");
        Self {
            now,
            client,
            server,
            relay,
            peer,
        }
    }
}

fn connect(now: Instant, client: &mut Client, server: &mut Server, peer: SocketAddr) -> RelayId {
    let (mut out, mut relay) = (Vec::new(), None);
    while !client.has_channel(peer) {
        while let Some(sent) = client.poll_transmit(now, &mut out) {
            server.handle_datagram(now, datagram(sent.five_tuple.reversed(), &out));
            out.clear();
        }
        while let Some(event) = server.poll_event() {
            if let Event::OpenRelay(open) = event {
                relay = Some(open.relay);
                server.relay_opened(now, open.relay, "203.0.113.5:50000".parse().expect("an address"));
            }
        }
        while let Some(sent) = server.poll_transmit(now, &mut out) {
            client.handle_datagram(now, datagram(sent.five_tuple.reversed(), &out));
            out.clear();
        }
    }
    relay.expect("it was opened")
}

fn datagram(five_tuple: FiveTuple, bytes: &[u8]) -> Datagram {
    Datagram {
        five_tuple,
        ecn: None,
        payload: BytesMut::from(bytes),
    }
}

fn relay(c: &mut Criterion) {
    let mut group = c.benchmark_group("1200 bytes on a channel");
    group.throughput(Throughput::Elements(1));
    let payload = [0x80; LEN];
    let mut out = Vec::with_capacity(2 * LEN);
    group.bench_function("floor: a buffer, and a copy", |b| {
        b.iter(|| {
            out.clear();
            out.extend_from_slice(&BytesMut::from(black_box(&payload[..])));
        });
    });
    for others in [0, 5_000] {
        let Lab {
            now,
            mut client,
            mut server,
            relay,
            peer,
        } = Lab::new(others);
        let mut sent = Vec::new();
        let fill = |out: &mut Vec<u8>| {
            out.extend_from_slice(black_box(&payload));
            Some(LEN)
        };
        let transmit = client.enclose(&mut sent, peer, fill).expect("a channel");
        let path = transmit.five_tuple.reversed();
        group.bench_function(format!("server: from the client, {others} others"), |b| {
            b.iter(|| {
                out.clear();
                server.handle_datagram(now, datagram(path, black_box(&sent)));
                server.poll_relayed(now, &mut out)
            });
        });
        group.bench_function(format!("server: to the client, {others} others"), |b| {
            b.iter(|| {
                out.clear();
                server.handle_relayed(now, relay, peer, None, BytesMut::from(black_box(&payload[..])));
                server.poll_transmit(now, &mut out)
            });
        });
        if others == 0 {
            group.bench_function("client: to the server", |b| {
                b.iter(|| {
                    out.clear();
                    client.enclose(&mut out, peer, fill)
                });
            });
            group.bench_function("client: from the server", |b| {
                b.iter(|| client.handle_datagram(now, datagram(transmit.five_tuple, black_box(&sent))));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, relay);
criterion_main!(benches);

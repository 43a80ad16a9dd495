//! Who does the server harm, over real sockets: others are served, and nothing grows.

// Sockets live in real time.
#![allow(clippy::disallowed_methods)]

mod common;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::*;
use peerline_sim::resident_memory;
use peerline_stun::attribute::{ErrorCode, RequestedTransport, Software, XorMappedAddress};
use peerline_stun::{Message, MessageBuilder, Method, TransactionId};
use peerline_turn::client::{CloseReason, Event};
use peerline_turn::server::{Log, RefusalReason};
use peerline_turn::{Credentials, Refusal};
use peerline_turn_server::{Stats, TlsConfig, TurnServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls;

fn request(method: Method, number: u32) -> Vec<u8> {
    let mut out = Vec::new();
    let mut request = MessageBuilder::request(&mut out, method, transaction(number));
    if method == Method::ALLOCATE {
        request.attribute(RequestedTransport::UDP);
    }
    out
}

fn request_as_long_as_its_answer(number: u32) -> Vec<u8> {
    let mut out = Vec::new();
    MessageBuilder::request(&mut out, Method::BINDING, transaction(number)).attribute(Software("a client"));
    out
}

fn transaction(number: u32) -> TransactionId {
    let mut id = [0; 12];
    id[..4].copy_from_slice(&number.to_be_bytes());
    TransactionId(id)
}

async fn stats(server: &TurnServer) -> Stats {
    server.stats().await.expect("it runs")
}

/// Until the server has counted what is expected.
async fn counted(server: &TurnServer, what: impl Fn(&Stats) -> bool) {
    let counting = async {
        while !what(&stats(server).await) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let done = timeout(PATIENCE, counting).await;
    assert!(done.is_ok(), "{:?}", stats(server).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_strangers_gets_little_more_than_it_sent_and_others_are_served() {
    let server = server(|_| ());
    let address = server.addresses()[0];
    meet(address).await;
    let before = resident_memory();
    let begun = Instant::now();
    // Its address is another than that of those who are served.
    let flood = tokio::task::spawn_blocking(move || {
        let socket = std::net::UdpSocket::bind("127.0.0.2:0").unwrap();
        socket.connect(address).unwrap();
        socket.set_nonblocking(true).unwrap();
        let (mut sent, mut received, mut buffer) = (0, 0, [0; 2048]);
        for number in 0..20_000 {
            let request = request(Method::ALLOCATE, number);
            sent += if socket.send(&request).is_ok() {
                request.len()
            } else {
                0
            };
            while let Ok(len) = socket.recv(&mut buffer) {
                received += len;
            }
        }
        (sent, received)
    });
    meet(address).await;
    let (sent, received) = flood.await.unwrap();
    let extra = 8_000 + 2_000 * (begun.elapsed().as_secs() as usize + 1);
    assert!(received <= sent + extra, "{received} for {sent}");
    let stats = stats(&server).await;
    assert!(stats.turn.withheld > 0 && stats.turn.challenges > 1_000, "{stats:?}");
    meet(address).await;
    let grown = resident_memory().saturating_sub(before);
    assert!(grown < 4 << 20, "{grown} bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_bindings_are_answered_and_kept_nowhere() {
    /// Addresses that ask, and how often each.
    const ADDRESSES: u32 = 250;
    const TIMES: u32 = 400;

    let server = server(|_| ());
    let address = server.addresses()[0];
    let ask = move |times: std::ops::Range<u32>| {
        let sockets: Vec<_> = (0..ADDRESSES)
            .map(|index| {
                let ip = Ipv4Addr::from_bits(Ipv4Addr::new(127, 1, 0, 0).to_bits() + index);
                let socket = std::net::UdpSocket::bind((ip, 0)).unwrap();
                socket.connect(address).unwrap();
                socket.set_read_timeout(Some(PATIENCE)).unwrap();
                socket
            })
            .collect();
        let mut buffer = [0; 256];
        for number in times {
            // As long as its answer: what strangers may be sent beyond that is shared by addresses that fall on one place.
            let request = request_as_long_as_its_answer(number);
            // No more at a time than a socket's buffer holds, however late the server reads it.
            for sockets in sockets.chunks(25) {
                for socket in sockets {
                    socket.send(&request).unwrap();
                }
                for socket in sockets {
                    let len = socket.recv(&mut buffer).expect("an answer");
                    let answer = Message::parse(&buffer[..len]).unwrap();
                    assert_eq!(answer.get(), Ok(Some(XorMappedAddress(socket.local_addr().unwrap()))));
                }
            }
        }
    };
    // Whatever is allocated once is allocated now.
    tokio::task::spawn_blocking(move || ask(0..10)).await.unwrap();
    let before = resident_memory();
    tokio::task::spawn_blocking(move || ask(10..TIMES)).await.unwrap();
    let grown = resident_memory().saturating_sub(before);
    assert_eq!(stats(&server).await.turn.bindings, u64::from(ADDRESSES * TIMES));
    assert!(grown < 4 << 20, "{grown} bytes");
    meet(address).await;
}

#[tokio::test]
async fn forbidden_peers_are_refused_and_the_log_says_why() {
    let server = server(|_| ());
    let mut client = TurnClient::by_udp(server.addresses()[0]).await.allocated().await;
    for peer in ["169.254.169.254", "10.0.0.1", "224.0.0.1", "127.0.0.5"] {
        let ip: IpAddr = peer.parse().unwrap();
        client.client.create_permission(Instant::now(), ip).unwrap();
        let refused = timeout(PATIENCE, async {
            loop {
                client.run_until(|_| true).await;
                tokio::select! {
                    news = server.next_log() => if let Some(Log::Refused { user, reason: RefusalReason::Peer(peer, why), .. }) = news {
                        return (user, peer, why);
                    },
                    () = client.run_until(|_| false) => {}
                }
            }
        });
        let (user, refused, why) = refused.await.expect("it is refused");
        assert_eq!((user.as_deref(), refused), (Some("alice"), ip));
        assert_ne!(why, Refusal::Denied);
        assert!(why.to_string().len() > 3);
    }
    assert_eq!(stats(&server).await.turn.peers_refused, 4);
}

/// Relays are on the address of the host: what else listens there is not reached.
#[tokio::test]
async fn a_relay_on_the_host_reaches_other_relays_alone() {
    let server = server(|_| ());
    let service = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    service.set_nonblocking(true).unwrap();
    let mut client = TurnClient::by_udp(server.addresses()[0]).await.allocated().await;
    client.permit(Ipv4Addr::LOCALHOST.into()).await;
    client.send(service.local_addr().unwrap(), b"let me in").await;
    counted(&server, |stats| stats.host_refused == 1).await;
    assert!(service.recv(&mut [0; 99]).is_err());
    meet(server.addresses()[0]).await;
}

#[tokio::test]
async fn allocations_run_out_and_come_back() {
    let server = server(|config| config.turn.limits.max_allocations = 3);
    let address = server.addresses()[0];
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(TurnClient::by_tcp(address).await.allocated().await);
    }
    let late = TurnClient::by_udp(address).await.allocated().await;
    let is_full = |event: &Event| {
        let Event::Closed(CloseReason::Refused { code, .. }) = event else {
            return false;
        };
        *code == ErrorCode::INSUFFICIENT_CAPACITY
    };
    assert!(late.events.iter().any(is_full), "{:?}", late.events);
    // A connection that ends takes its allocation with it, and its relay.
    clients.clear();
    counted(&server, |stats| stats.turn.allocations == 0 && stats.relays == 0).await;
    meet(address).await;
}

#[tokio::test]
async fn connections_are_limited_and_silent_ones_are_closed() {
    let server = server(|config| {
        config.streams.max_connections_per_address = 10;
        config.streams.idle = Duration::from_millis(400);
    });
    let address = server.addresses()[0];
    let mut busy = TurnClient::by_tcp(address).await.allocated().await;
    let mut silent = Vec::new();
    for _ in 0..30 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    // Some say a part of a message.
    for stream in silent.iter_mut().take(5) {
        let _ = stream.write_all(&request(Method::BINDING, 1)[..13]).await;
    }
    for stream in &mut silent {
        let closed = timeout(PATIENCE, stream.read(&mut [0; 9])).await.expect("it is closed");
        assert!(matches!(closed, Ok(0) | Err(_)));
    }
    counted(&server, |stats| {
        stats.connections == 1 && stats.connections_refused == 21
    })
    .await;
    assert_eq!(stats(&server).await.connections_idle, 9);
    // Who has an allocation stays, and there is room again.
    busy.permit("9.9.9.9".parse().unwrap()).await;
    meet(address).await;
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// A server's side of TLS, and its certificate.
fn tls() -> (Arc<TlsConfig>, rustls::pki_types::CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let tls = TlsConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap();
    let tls = tls.with_no_client_auth();
    let tls = tls.with_single_cert(vec![certificate.clone()], key).unwrap();
    (Arc::new(tls), certificate)
}

/// Connections that are never whole: a message over TCP of which most is lacking, and a handshake of TLS that does not go on. There
/// are more than the server takes, from addresses enough that no one has too many.
#[tokio::test]
async fn half_open_connections_and_slow_handshakes_take_little_and_leave_nothing() {
    const TAKEN: usize = 400;
    const FROM_EACH: u8 = 50;

    let server = server(|config| {
        config.listen_tls = vec!["127.0.0.1:0".parse().unwrap()];
        config.tls = Some(tls().0);
        config.streams.max_connections = TAKEN;
        config.streams.handshake = Duration::from_secs(2);
        config.streams.idle = Duration::from_secs(2);
    });
    // A Binding request of 65,532 bytes, of which 1,000 come; a record of TLS of 16 KiB, of which 1,000 come.
    let mut half = b"\x00\x01\xff\xfc\x21\x12\xa4\x42".to_vec();
    half.resize(1_000, 0);
    let mut slow = vec![22, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc, 3, 3];
    slow.resize(1_000, 0);
    meet(server.addresses()[0]).await;
    let before = resident_memory();
    for round in 1..=3u64 {
        let mut open = Vec::new();
        for address in 0..12 {
            for number in 0..FROM_EACH {
                let (to, bytes) = match number % 2 {
                    0 => (server.addresses()[0], &half),
                    _ => (server.tls_addresses()[0], &slow),
                };
                let socket = TcpSocket::new_v4().unwrap();
                socket.bind((Ipv4Addr::new(127, 2, 0, address), 0).into()).unwrap();
                let mut stream = socket.connect(to).await.unwrap();
                // Beyond what the server takes it is closed at once.
                let _ = stream.write_all(bytes).await;
                open.push(stream);
            }
        }
        let held = resident_memory().saturating_sub(before);
        assert!(held < (TAKEN as u64) * (64 << 10), "{held} bytes in round {round}");
        for stream in &mut open {
            let mut rest = Vec::new();
            let closed = timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
            assert!(closed.is_ok(), "it is not closed");
        }
        counted(&server, |stats| stats.connections == 0).await;
        let ended = |stats: &Stats| stats.connections_refused + stats.connections_idle + stats.handshakes_failed;
        counted(&server, |stats| ended(stats) >= round * 12 * u64::from(FROM_EACH)).await;
    }
    let kept = resident_memory().saturating_sub(before);
    assert!(kept < (TAKEN as u64) * (64 << 10), "{kept} bytes");
    meet(server.addresses()[0]).await;
}

#[tokio::test]
async fn slow_handshakes_of_tls_end_and_others_are_served() {
    let (tls, certificate) = tls();
    let server = server(|config| {
        config.listen_tls = vec!["127.0.0.1:0".parse().unwrap()];
        config.tls = Some(tls);
        config.streams.handshake = Duration::from_millis(300);
    });
    let address: SocketAddr = server.tls_addresses()[0];
    let mut slow = Vec::new();
    for _ in 0..50 {
        slow.push(TcpStream::connect(address).await.unwrap());
    }
    // The first bytes of a handshake, and then nothing.
    for stream in slow.iter_mut().take(10) {
        stream.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
    }
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap();
    let client = client.with_root_certificates(roots).with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(client));
    let tcp = TcpStream::connect(address).await.unwrap();
    let mut stream = connector
        .connect("localhost".try_into().unwrap(), tcp)
        .await
        .expect("a handshake");
    stream.write_all(&request(Method::BINDING, 7)).await.unwrap();
    let mut answer = [0; 32];
    timeout(PATIENCE, stream.read_exact(&mut answer))
        .await
        .expect("in time")
        .unwrap();
    assert!(Message::parse(&answer).is_ok());
    for stream in &mut slow {
        let mut rest = Vec::new();
        let closed = timeout(PATIENCE, stream.read_to_end(&mut rest))
            .await
            .expect("it is closed");
        assert!(matches!(closed, Ok(0) | Err(_)));
    }
    counted(&server, |stats| stats.handshakes_failed == 50 && stats.connections == 1).await;
    meet(server.addresses()[0]).await;
}

#[tokio::test]
async fn wrong_credentials_are_in_the_log() {
    let server = server(|_| ());
    let mut stranger = TurnClient::by_udp(server.addresses()[0]).await;
    stranger
        .client
        .set_credentials(Instant::now(), Credentials::new("alice", "wrong"));
    let stranger = stranger.allocated().await;
    assert!(stranger.relayed().is_none());
    let news = timeout(PATIENCE, server.next_log()).await.expect("news");
    assert!(
        matches!(
            news,
            Some(Log::Refused {
                user: None,
                reason: RefusalReason::WrongCredentials,
                ..
            })
        ),
        "{news:?}"
    );
}

#[tokio::test]
async fn shutting_down_waits_for_those_who_are_served_and_no_longer() {
    let server = Arc::new(server(|_| ()));
    let address = server.addresses()[0];
    let mut client = TurnClient::by_tcp(address).await.allocated().await;
    let ending = tokio::spawn({
        let server = Arc::clone(&server);
        async move { server.shut_down(Duration::from_secs(60)).await }
    });
    // The new are refused, who is here goes on.
    counted(&server, |_| true).await;
    let late = TurnClient::by_udp(address).await.allocated().await;
    assert!(late.relayed().is_none(), "{:?}", late.events);
    client.permit("9.9.9.9".parse().unwrap()).await;
    assert!(!ending.is_finished());
    drop(client);
    timeout(PATIENCE, ending)
        .await
        .expect("it ends when the last has gone")
        .unwrap();
    assert_eq!(server.stats().await, None);
}

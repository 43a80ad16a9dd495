//! TURN with coturn: our client at its server, its client at our server, and peers that meet there.

// A test of another program waits for it.
#![allow(clippy::disallowed_methods)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use peerline::{
    AddressFilter, Configuration, DataChannelInit, IceServer, IceTransportPolicy, Message, PeerConnection, PeerEvent,
    TlsConfig,
};
use peerline_native::coturn::{Echo, PASSWORD, REALM, SECRET, Turnserver, USER, uclient};
use peerline_native::turn::{TurnClient, TurnServer};
use peerline_stun::attribute::{ErrorCode, RequestedTransport};
use peerline_turn::client::{CloseReason, Event, Port};
use peerline_turn::server::{Bandwidth, Log, StaticUsers, Stats};
use peerline_turn::{Credentials, client};
use peerline_wire::Transport;

fn credentials() -> Credentials {
    Credentials::new(USER, PASSWORD)
}

fn allocated(server: &Turnserver, transport: Transport, adjust: impl FnOnce(&mut client::Config)) -> TurnClient {
    let mut ours = TurnClient::new(server.address, transport, credentials(), adjust);
    ours.run_until("an answer", |ours| !ours.events.is_empty());
    assert!(
        ours.client.relayed().next().is_some(),
        "{:?}\n{}",
        ours.events,
        server.output()
    );
    ours
}

fn end(ours: &mut TurnClient) -> CloseReason {
    ours.run_until("the end", |ours| ours.client.is_closed());
    ours.run_until("its event", |ours| matches!(ours.events.last(), Some(Event::Closed(_))));
    match ours.events.pop() {
        Some(Event::Closed(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn our_client_relays_through_coturn() {
    let server = Turnserver::with_user(&[]);
    let echo = Echo::start();
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut ours = allocated(&server, transport, |config| config.dont_fragment = true);
        ours.client
            .create_permission(Instant::now(), echo.address.ip())
            .expect("it is open");
        ours.run_until("a permission", |ours| ours.client.is_permitted(echo.address.ip()));
        // Indications first, then a channel; every length that padding can meet.
        for len in 0..64 {
            let payload = vec![len; usize::from(len)];
            assert!(ours.send(echo.address, &payload));
            ours.run_until("the echo", |ours| {
                ours.received.pop() == Some((echo.address, payload.clone()))
            });
        }
        assert!(
            ours.client.has_channel(echo.address),
            "{transport:?}: {:?}",
            ours.events
        );
        // A peer without permission is not heard.
        let relayed = ours.client.relayed().next().expect("an address");
        assert!(ours.client.mapped() == Some(ours.client.five_tuple().local) && relayed.port() != 0);
        ours.client.close(Instant::now());
        assert_eq!(end(&mut ours), CloseReason::Closed, "{}", server.output());
    }
}

#[test]
fn our_client_keeps_what_coturn_gives() {
    // Coturn's shortest nonces, and refreshes every second or so.
    let server = Turnserver::with_user(&["--stale-nonce=1"]);
    let echo = Echo::start();
    let mut ours = allocated(&server, Transport::Udp, |config| {
        config.timings.permission_refresh = Duration::from_millis(700);
        config.timings.channel_refresh = Duration::from_millis(900);
        config.timings.refresh_margin = Duration::from_secs(598);
    });
    ours.client
        .bind_channel(Instant::now(), echo.address)
        .expect("it is open");
    ours.run_until("a channel", |ours| ours.client.has_channel(echo.address));
    let (begin, mut count) = (Instant::now(), 0);
    while begin.elapsed() < Duration::from_secs(5) {
        count += 1;
        let payload = format!("{count}").into_bytes();
        assert!(ours.send(echo.address, &payload));
        ours.run_until("the echo", |ours| {
            ours.received.pop() == Some((echo.address, payload.clone()))
        });
    }
    assert!(!ours.client.is_closed(), "{:?}\n{}", ours.events, server.output());
    assert!(ours.client.stats().requests_sent > 12, "{:?}", ours.client.stats());
}

#[test]
fn coturn_refuses_our_client_for_reasons_that_it_tells() {
    let server = Turnserver::with_user(&["--user-quota", "1"]);
    let wrong = Credentials::new(USER, "wrong");
    let mut ours = TurnClient::new(server.address, Transport::Udp, wrong, |_| ());
    let CloseReason::Refused { code, .. } = end(&mut ours) else {
        panic!("refused")
    };
    assert_eq!(code, ErrorCode::UNAUTHENTICATED);
    let _first = allocated(&server, Transport::Udp, |_| ());
    let mut second = TurnClient::new(server.address, Transport::Udp, credentials(), |_| ());
    let CloseReason::Refused { code, .. } = end(&mut second) else {
        panic!("refused")
    };
    assert_eq!(code, ErrorCode::ALLOCATION_QUOTA_REACHED);
}

#[test]
fn coturn_keeps_an_allocation_whose_client_tries_another_user() {
    let server = Turnserver::with_user(&["--user", "bob:builder"]);
    let echo = Echo::start();
    let mut ours = allocated(&server, Transport::Udp, |_| ());
    ours.client
        .set_credentials(Instant::now(), Credentials::new("bob", "builder"));
    ours.run_until("the refusal", |ours| {
        let is_refusal = |event: &Event| matches!(event, Event::CredentialsRefused(_));
        ours.events.iter().any(is_refusal)
    });
    ours.client
        .create_permission(Instant::now(), echo.address.ip())
        .expect("it is open");
    ours.run_until("a permission", |ours| ours.client.is_permitted(echo.address.ip()));
}

#[test]
fn coturn_sets_a_port_aside_for_our_client() {
    let server = Turnserver::with_user(&[]);
    let first = allocated(&server, Transport::Udp, |config| config.port = Port::EvenReservingNext);
    let first_port = first.client.relayed().next().expect("an address").port();
    let token = first.events.iter().find_map(|event| match event {
        Event::Allocated(allocated) => allocated.reservation_token,
        _ => None,
    });
    let second = allocated(&server, Transport::Udp, |config| {
        config.port = Port::Reserved(token.expect("a token"));
    });
    let second_port = second.client.relayed().next().expect("an address").port();
    assert_eq!((first_port % 2, second_port), (0, first_port + 1));
}

#[test]
fn credentials_of_limited_time_are_those_that_coturn_knows() {
    let server = Turnserver::with_secret(&[]);
    let echo = Echo::start();
    let end = SystemTime::now() + Duration::from_secs(600);
    let limited = |user| Credentials::time_limited(SECRET.as_bytes(), user, end);
    let mut ours = TurnClient::new(server.address, Transport::Udp, limited("carol"), |_| ());
    ours.run_until("an allocation", |ours| ours.client.relayed().next().is_some());
    // Another name of the same user.
    let later = Credentials::time_limited(SECRET.as_bytes(), "carol", end + Duration::from_secs(600));
    let before = ours.client.stats().responses_received;
    ours.client.set_credentials(Instant::now(), later);
    ours.run_until("the answer", |ours| ours.client.stats().responses_received > before);
    ours.client
        .create_permission(Instant::now(), echo.address.ip())
        .expect("it is open");
    ours.run_until("a permission", |ours| ours.client.is_permitted(echo.address.ip()));
    let over = Credentials::time_limited(SECRET.as_bytes(), "carol", SystemTime::now() - Duration::from_secs(600));
    let mut late = TurnClient::new(server.address, Transport::Udp, over, |_| ());
    assert!(matches!(
        self::end(&mut late),
        CloseReason::Refused {
            code: ErrorCode::UNAUTHENTICATED,
            ..
        }
    ));
}

#[test]
fn our_client_has_coturn_connect_it_with_peers_by_tcp() {
    let server = Turnserver::with_user(&[]);
    let mut ours = allocated(&server, Transport::Tcp, |config| {
        config.requested_transport = RequestedTransport::TCP;
    });
    let relayed = ours.client.relayed().next().expect("an address");

    // To a peer.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let peer = listener.local_addr().expect("an address");
    ours.client.connect(Instant::now(), peer).expect("it is open");
    let connected = |event: &Event| match event {
        Event::Connected { connection, .. } => Some(*connection),
        _ => None,
    };
    ours.run_until("a connection", |ours| {
        ours.events.iter().any(|event| connected(event).is_some())
    });
    let connection = ours.events.iter().find_map(connected).expect("just seen");
    let (theirs, _) = listener.accept().expect("a connection");
    meet(ours.take_connection(connection), theirs);

    // From a peer.
    ours.client
        .create_permission(Instant::now(), peer.ip())
        .expect("it is open");
    ours.run_until("a permission", |ours| ours.client.is_permitted(peer.ip()));
    let theirs = TcpStream::connect(relayed).expect("a connection");
    let attempted = |event: &Event| match event {
        Event::ConnectionAttempt { connection, .. } => Some(*connection),
        _ => None,
    };
    ours.run_until("an attempt", |ours| {
        ours.events.iter().any(|event| attempted(event).is_some())
    });
    let connection = ours.events.iter().find_map(attempted).expect("just seen");
    meet(ours.take_connection(connection), theirs);
}

/// Says something in each direction.
fn meet(mut one: TcpStream, mut other: TcpStream) {
    for _ in 0..2 {
        one.write_all(b"how do you do?").expect("an open stream");
        let mut heard = [0; 14];
        other.read_exact(&mut heard).expect("an open stream");
        assert_eq!(&heard, b"how do you do?");
        std::mem::swap(&mut one, &mut other);
    }
}

/// Coturn's client with these arguments at our server; what the server counted.
fn serve_uclient(arguments: &[&str]) -> Stats {
    let stats = run_uclient(arguments);
    let relayed = stats.relayed;
    assert!(relayed.sent >= 40 && relayed.received >= 40, "{stats:?}");
    stats
}

fn run_uclient(arguments: &[&str]) -> Stats {
    let server = TurnServer::start(REALM, StaticUsers::new([credentials()]), |config| {
        config.filter = config.filter.clone().allow("127.0.0.0/8".parse().expect("a block"));
        config.tcp_relays = true;
        config.bandwidth = Some(Bandwidth {
            bytes_per_second: 100_000_000,
            burst: 10_000_000,
        });
    });
    let printed = uclient(server.address, arguments);
    let (stats, logs) = server.stop();
    let lost = printed.lines().rfind(|line| line.contains("Total lost packets"));
    assert!(
        lost.is_some_and(|line| line.contains("Total lost packets 0 ")),
        "{printed}\n{stats:?}\n{logs:?}"
    );
    // With `-G` it asks for permissions of the other family as well.
    let is_mismatch = |code| code == ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH && arguments.contains(&"-G");
    let refused = |log: &&Log| matches!(log, Log::Refused { code, .. } if !is_mismatch(*code));
    let refused: Vec<_> = logs.iter().filter(refused).collect();
    assert!(refused.is_empty(), "{refused:?}\n{printed}");
    stats
}

#[test]
fn coturns_client_binds_channels_at_our_server() {
    for transport in [&["-c"][..], &["-t", "-c"]] {
        let stats = serve_uclient(&[transport, &["-n", "40", "-m", "3", "-z", "5", "-l", "170"]].concat());
        assert!(stats.allocations_made >= 3);
    }
}

#[test]
fn coturns_client_sends_indications_and_extra_requests_to_our_server() {
    serve_uclient(&["-s", "-n", "40", "-m", "2", "-z", "5", "-G", "-c"]);
}

#[test]
fn coturns_client_has_ports_set_aside_for_rtcp() {
    let stats = serve_uclient(&["-n", "40", "-m", "1", "-z", "5"]);
    assert!(stats.allocations_made >= 2);
}

#[test]
fn two_of_coturns_clients_are_connected_by_our_server() {
    let stats = run_uclient(&["-T", "-n", "40", "-m", "2", "-z", "5"]);
    assert!(stats.allocations_made >= 2 && stats.relayed.sent == 0, "{stats:?}");
}

#[test]
fn two_of_coturns_clients_meet_at_our_server() {
    serve_uclient(&["-y", "-c", "-n", "40", "-m", "2", "-z", "5"]);
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// A certificate for `localhost` and its key, in PEM, and whom to trust for it.
fn certificate() -> (String, String, Arc<TlsConfig>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let pem = |label: &str, der: &[u8]| {
        let text = STANDARD.encode(der);
        let lines = text.as_bytes().chunks(64).map(String::from_utf8_lossy);
        let body: String = lines.map(|line| format!("{line}\n")).collect();
        format!("-----BEGIN {label}-----\n{body}-----END {label}-----\n")
    };
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("a root");
    let builder = TlsConfig::builder_with_provider(peerline_dtls::default_provider());
    let builder = builder.with_safe_default_protocol_versions().expect("versions");
    let tls = Arc::new(builder.with_root_certificates(roots).with_no_client_auth());
    let certificate = pem("CERTIFICATE", made.cert.der());
    (certificate, pem("PRIVATE KEY", &made.signing_key.serialize_der()), tls)
}

/// Peers that may use nothing but the server.
fn relayed(url: &str, tls: &Arc<TlsConfig>) -> Configuration {
    Configuration {
        ice_servers: vec![IceServer::turn(url, USER, PASSWORD)],
        ice_transport_policy: IceTransportPolicy::Relay,
        turn_tls: Some(Arc::clone(tls)),
        loopback: true,
        address_filter: Some(AddressFilter::only(["127.0.0.1".parse().expect("an address")])),
        ..Configuration::default()
    }
}

/// Two of them connect, and a large message goes through.
async fn meet_through(url: &str, tls: &Arc<TlsConfig>) {
    let configuration = || relayed(url, tls);
    let alice = PeerConnection::new(configuration()).await.expect("a connection");
    let bob = PeerConnection::new(configuration()).await.expect("a connection");
    let channel = alice
        .create_data_channel("", DataChannelInit::default())
        .expect("a channel");
    alice
        .set_local_description(alice.create_offer().expect("an offer"))
        .expect("it is set");
    alice.gathering_complete().await;
    let offer = alice.local_description().expect("an offer");
    assert!(offer.sdp.contains(" typ relay "), "{url}: {}", offer.sdp);
    bob.set_remote_description(offer).expect("it is taken");
    bob.set_local_description(bob.create_answer().expect("an answer"))
        .expect("it is set");
    bob.gathering_complete().await;
    alice
        .set_remote_description(bob.local_description().expect("an answer"))
        .expect("it is taken");
    channel.opened().await.expect("it opens");
    let message: Vec<u8> = (0..200_000_u32).map(|index| index as u8).collect();
    channel.send(message.clone()).await.expect("it is sent");
    let received = loop {
        if let PeerEvent::DataChannel(channel) = bob.next_event().await.expect("news") {
            break channel.recv().await.expect("a message");
        }
    };
    assert!(matches!(received, Message::Binary(bytes) if bytes == message), "{url}");
    let pair = alice
        .sctp()
        .and_then(|sctp| sctp.transport().ice_transport().selected_candidate_pair());
    let pair = pair.expect("a pair");
    assert!(pair.local.candidate.contains(" typ relay "), "{url}: {pair:?}");
}

#[tokio::test]
async fn peers_meet_through_coturn_by_udp_tcp_and_tls() {
    let (certificate, key, tls) = certificate();
    let tls_port = free_port();
    let server = Turnserver::with_tls(tls_port, &certificate, &key, &[]);
    let address = server.address;
    for url in [
        format!("turn:{address}"),
        format!("turn:{address}?transport=tcp"),
        format!("turns:localhost:{tls_port}"),
    ] {
        let met = tokio::time::timeout(Duration::from_secs(30), meet_through(&url, &tls)).await;
        assert!(met.is_ok(), "{url}: too long\n{}", server.output());
    }
}

#[tokio::test]
async fn peers_go_where_coturn_sends_them_by_udp_tcp_and_tls() {
    let (certificate, key, tls) = certificate();
    let [first_port, second_port] = [(); 2].map(|()| free_port());
    let second = Turnserver::with_tls(second_port, &certificate, &key, &[]);
    let (plain, secured) = (second.address.to_string(), format!("127.0.0.1:{second_port}"));
    let elsewhere = ["--alternate-server", &plain, "--tls-alternate-server", &secured];
    let first = Turnserver::with_tls(first_port, &certificate, &key, &elsewhere);
    for url in [
        format!("turn:{}", first.address),
        format!("turn:{}?transport=tcp", first.address),
        format!("turns:localhost:{first_port}"),
    ] {
        let met = tokio::time::timeout(Duration::from_secs(30), meet_through(&url, &tls)).await;
        assert!(met.is_ok(), "{url}: too long\n{}\n{}", first.output(), second.output());
    }
    let allocated = "ALLOCATE processed, success";
    let count = |server: &Turnserver| server.output().matches(allocated).count();
    assert_eq!((count(&first), count(&second)), (0, 6), "{}", first.output());
}

/// What these peers send goes through in spite of a server that is started anew: each connects to it again, asks for another relayed
/// address and tells the other.
async fn outlive(server: &mut Turnserver, url: &str, tls: &Arc<TlsConfig>) {
    let alice = PeerConnection::new(relayed(url, tls)).await.expect("a connection");
    let bob = PeerConnection::new(relayed(url, tls)).await.expect("a connection");
    let channel = alice
        .create_data_channel("", DataChannelInit::default())
        .expect("a channel");
    alice.set_local_description(None).expect("it is set");
    bob.set_remote_description(alice.local_description().expect("an offer"))
        .expect("it is taken");
    bob.set_local_description(None).expect("it is set");
    alice
        .set_remote_description(bob.local_description().expect("an answer"))
        .expect("it is taken");
    let trickle = async |from: &PeerConnection, to: &PeerConnection| {
        while let Some(event) = from.next_event().await {
            match event {
                PeerEvent::IceCandidate(candidate) => to.add_ice_candidate(candidate).expect("a candidate"),
                PeerEvent::DataChannel(channel) => {
                    tokio::spawn(async move {
                        while let Some(message) = channel.recv().await {
                            channel.send(message).await.expect("it goes back");
                        }
                    });
                }
                _ => {}
            }
        }
    };
    let talk = async {
        channel.opened().await.expect("it opens");
        for _ in 0..2 {
            channel.send("over there").await.expect("it is sent");
            assert!(channel.recv().await.is_some(), "the way back");
            server.start_anew();
        }
        channel.send("and again").await.expect("it is sent");
        assert!(channel.recv().await.is_some(), "the way back");
    };
    tokio::select! {
        () = talk => {}
        ((), ()) = async { tokio::join!(trickle(&alice, &bob), trickle(&bob, &alice)) } => panic!("they are closed"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_outlive_a_coturn_that_is_started_anew() {
    let (certificate, key, tls) = certificate();
    let tls_port = free_port();
    let mut server = Turnserver::with_tls(tls_port, &certificate, &key, &[]);
    let by_tcp = format!("turn:{}?transport=tcp", server.address);
    for url in [by_tcp, format!("turns:localhost:{tls_port}")] {
        let outlived = tokio::time::timeout(Duration::from_secs(60), outlive(&mut server, &url, &tls)).await;
        assert!(outlived.is_ok(), "{url}: too long\n{}", server.output());
    }
}

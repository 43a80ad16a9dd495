//! One port for many connections, over real sockets on the loopback interface.

mod common;

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{PATIENCE, Pair, configuration, have_answered, negotiate, next_channel, noise, pair_with, soon};
use peerline::{
    Configuration, ConnectionState, DataChannelInit, Endpoint, Error, ExternalAddress, IceServer, IceTcp, Message,
    OfferOptions, PeerConnection,
};
use peerline_stun::attribute::{IceControlling, Priority, Username, XorMappedAddress};
use peerline_stun::{Class, Key, Message as Stun, MessageBuilder, Method, TransactionId};
use tokio::runtime::Builder;
use tokio::task::JoinSet;

const LOCALHOST: &str = "127.0.0.1:0";

fn bind(address: &str) -> Endpoint {
    Endpoint::bind(address.parse().unwrap()).unwrap()
}

fn port(endpoint: &Endpoint) -> u16 {
    endpoint.local_addrs().next().unwrap().port()
}

fn at(endpoint: &Endpoint) -> Configuration {
    Configuration {
        endpoint: Some(endpoint.clone()),
        ..configuration()
    }
}

fn lite_at(endpoint: &Endpoint) -> Configuration {
    Configuration {
        ice_lite: true,
        ..at(endpoint)
    }
}

/// A message there and one back.
async fn exchange(pair: &Pair, text: &str) {
    pair.a.send(text).await.unwrap();
    assert_eq!(soon("a message", pair.b.recv()).await, Some(Message::from(text)));
    pair.b.send(text).await.unwrap();
    assert_eq!(soon("a reply", pair.a.recv()).await, Some(Message::from(text)));
}

/// Waits until the endpoint has this many connections.
async fn connections(endpoint: &Endpoint, count: usize) {
    soon("connections come and go", async {
        while endpoint.stats().connections != count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn hundreds_of_connections_share_a_port_and_leave_nothing() {
    const COUNT: usize = 200;
    let server = bind(LOCALHOST);
    let mut pairs = Vec::new();
    while pairs.len() < COUNT {
        let mut batch: JoinSet<_> = (0..20)
            .map(|i| {
                // Each role in turn.
                let (a, b) = match i % 2 {
                    0 => (at(&server), configuration()),
                    _ => (configuration(), at(&server)),
                };
                pair_with(a, b, DataChannelInit::default())
            })
            .collect();
        while let Some(pair) = batch.join_next().await {
            pairs.push(pair.unwrap());
        }
    }
    assert_eq!(server.stats().connections, COUNT);
    let mut all: JoinSet<_> = pairs
        .into_iter()
        .enumerate()
        .map(|(i, pair)| async move {
            let bytes = noise(20_000, i as u64);
            pair.a.send(bytes.clone()).await.unwrap();
            assert_eq!(soon("its own bytes", pair.b.recv()).await, Some(Message::from(bytes)));
            exchange(&pair, &format!("number {i}")).await;
            pair
        })
        .collect();
    let mut pairs = Vec::new();
    while let Some(pair) = all.join_next().await {
        pairs.push(pair.unwrap());
    }
    let stats = server.stats();
    assert_eq!((stats.connections, stats.overflows), (COUNT, 0));
    let local = format!(" {} typ host", port(&server));
    let offered = |pair: &Pair| {
        [&pair.alice, &pair.bob]
            .iter()
            .any(|peer| peer.local_description().unwrap().sdp.contains(&local))
    };
    assert!(pairs.iter().all(offered), "all use the one port");

    drop(pairs);
    connections(&server, 0).await;
    let again = pair_with(configuration(), at(&server), DataChannelInit::default()).await;
    exchange(&again, "after all the others").await;
}

#[tokio::test]
async fn both_sides_may_share_ports_in_both_roles_full_or_lite() {
    let (one, other) = (bind(LOCALHOST), bind(LOCALHOST));
    for (a, b) in [
        (at(&one), at(&other)),
        (at(&other), at(&one)),
        (at(&one), lite_at(&other)),
        (lite_at(&one), at(&other)),
        (lite_at(&one), configuration()),
    ] {
        let pair = pair_with(a, b, DataChannelInit::default()).await;
        exchange(&pair, "hello").await;
        pair.alice.close();
        soon("the other side is told", pair.bob.closed()).await;
        connections(&one, 0).await;
        connections(&other, 0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn megabytes_cross_on_several_connections_at_once() {
    let server = bind(LOCALHOST);
    let mut transfers = JoinSet::new();
    for i in 0..4_u64 {
        let pair = pair_with(configuration(), at(&server), DataChannelInit::default()).await;
        transfers.spawn(async move {
            let sent = noise(64 << 10, i);
            let (a, message) = (pair.a.clone(), sent.clone());
            let sender = tokio::spawn(async move {
                for _ in 0..64 {
                    a.send(message.clone()).await.unwrap();
                }
            });
            for _ in 0..64 {
                assert_eq!(
                    soon("a message", pair.b.recv()).await,
                    Some(Message::from(sent.clone()))
                );
            }
            sender.await.unwrap();
        });
    }
    while let Some(transfer) = transfers.join_next().await {
        transfer.unwrap();
    }
}

#[tokio::test]
async fn several_addresses_are_offered_as_they_are() {
    let server = Endpoint::bind_all(&[LOCALHOST.parse().unwrap(), "[::1]:0".parse().unwrap()]).unwrap();
    let ports: Vec<u16> = server.local_addrs().map(|address| address.port()).collect();
    let any = Configuration {
        address_filter: None,
        ..configuration()
    };
    let pair = pair_with(any, at(&server), DataChannelInit::default()).await;
    exchange(&pair, "hello").await;
    let sdp = pair.bob.local_description().unwrap().sdp;
    assert!(sdp.contains(&format!(" 127.0.0.1 {} typ host", ports[0])), "{sdp}");
    assert!(sdp.contains(&format!(" ::1 {} typ host", ports[1])), "{sdp}");
}

/// A program that starts again, from the same port, while its old connection still seems to live.
#[test]
fn a_client_that_comes_back_from_its_port_is_a_new_connection() {
    for server_configuration in [at, lite_at] {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let server = runtime.block_on(async { bind(LOCALHOST) });
        let mut old = Vec::new();
        let mut client_address = LOCALHOST.to_owned();
        for life in 0..3 {
            let client_runtime = Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .unwrap();
            let client = client_runtime.block_on(async { bind(&client_address) });
            client_address = format!("127.0.0.1:{}", port(&client));
            let alice = client_runtime.block_on(PeerConnection::new(at(&client))).unwrap();
            let (bob, b, a) = runtime.block_on(async {
                let bob = PeerConnection::new(server_configuration(&server)).await.unwrap();
                let a = alice.create_data_channel("life", DataChannelInit::default()).unwrap();
                negotiate(&alice, &bob).await;
                soon("it opens", a.opened()).await.unwrap();
                let b = next_channel(&bob).await;
                let pair = Pair { alice, bob, a, b };
                exchange(&pair, &format!("life {life}")).await;
                (pair.bob, pair.b, pair.a)
            });
            assert_eq!(bob.connection_state(), ConnectionState::Connected);
            old.push((bob, b));
            // It ends without a word.
            client_runtime.shutdown_timeout(PATIENCE);
            drop((a, client));
        }
        assert_eq!(server.stats().connections, 3, "the old ones have not ended yet");
    }
}

#[tokio::test]
async fn ice_restarts_reach_their_connection_by_both_generations() {
    let (one, other) = (bind(LOCALHOST), bind(LOCALHOST));
    let pair = pair_with(at(&one), at(&other), DataChannelInit::default()).await;
    let bystander = pair_with(configuration(), at(&other), DataChannelInit::default()).await;
    for restart in 0..3 {
        let offer = pair
            .alice
            .create_offer_with(OfferOptions { ice_restart: true })
            .unwrap();
        pair.alice.set_local_description(offer).unwrap();
        // The session before goes on meanwhile.
        exchange(&pair, "between the sessions").await;
        have_answered(&pair.alice, &pair.bob).await;
        // Another path counts as selected once its check has been answered.
        soon("the new session is selected", async {
            let changes = |peer: &PeerConnection| peer.stats().transport().unwrap().selected_candidate_pair_changes;
            let selected = |peer: &PeerConnection| peer.stats().selected_candidate_pair().is_some();
            while !(selected(&pair.alice) && selected(&pair.bob) && changes(&pair.alice) > 0) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        exchange(&pair, &format!("after restart {restart}")).await;
    }
    exchange(&bystander, "undisturbed").await;
}

/// What a connection's description tells: username fragment, password.
fn credentials(peer: &PeerConnection) -> (String, String) {
    let sdp = peer.local_description().unwrap().sdp;
    let value = |name: &str| sdp.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
    (value("a=ice-ufrag:"), value("a=ice-pwd:"))
}

/// A connectivity check, as whoever knows this password would send it.
fn check(username: &str, pwd: &str, transaction: u8) -> Vec<u8> {
    let mut out = Vec::new();
    MessageBuilder::request(&mut out, Method::BINDING, TransactionId([transaction; 12]))
        .attribute(Username(username))
        .attribute(Priority(1))
        .attribute(IceControlling(1))
        .integrity(&Key::short_term(pwd))
        .fingerprint();
    out
}

#[tokio::test]
async fn hostile_datagrams_are_counted_and_change_nothing() {
    let server = bind(LOCALHOST);
    let address = SocketAddr::from(([127, 0, 0, 1], port(&server)));
    let client = bind(LOCALHOST);
    let pair = pair_with(at(&client), at(&server), DataChannelInit::default()).await;
    let (ufrag, _) = credentials(&pair.bob);
    let stranger = UdpSocket::bind(LOCALHOST).unwrap();
    let before = server.stats();
    for i in 0..100_u8 {
        let check = check(&format!("{ufrag}:x"), "not its password at all", i);
        for datagram in [
            &check[..],
            &check[..check.len() - 1],
            &b"\x16\xfe\xfd garbage"[..],
            &[0; 20],
            &[],
            &[i; 200],
        ] {
            stranger.send_to(datagram, address).unwrap();
        }
        // A goodbye, a handshake and a check with nobody's name.
        stranger
            .send_to(&[21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0], address)
            .unwrap();
        stranger.send_to(&check_of_nobody(i), address).unwrap();
    }
    exchange(&pair, "unharmed").await;
    soon("all is counted", async {
        while server.stats().unknown_checks < before.unknown_checks + 100 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    let after = server.stats();
    assert!(after.unknown_datagrams >= before.unknown_datagrams + 200, "{after:?}");
    assert_eq!((after.connections, after.overflows), (1, 0));
    assert_eq!(pair.bob.connection_state(), ConnectionState::Connected);
    exchange(&pair, "still unharmed").await;
}

fn check_of_nobody(transaction: u8) -> Vec<u8> {
    check("nobody:x", "no password", transaction)
}

/// One peer names another one's address as its own candidate: that connection's checks go there, and take nothing away.
#[tokio::test]
async fn a_peer_that_names_anothers_address_gets_nothing() {
    let server = bind(LOCALHOST);
    let victim_endpoint = bind(LOCALHOST);
    let victim = pair_with(at(&victim_endpoint), at(&server), DataChannelInit::default()).await;

    let thief = PeerConnection::new(configuration()).await.unwrap();
    let deceived = PeerConnection::new(at(&server)).await.unwrap();
    let channel = thief.create_data_channel("theft", DataChannelInit::default()).unwrap();
    thief.set_local_description(thief.create_offer().unwrap()).unwrap();
    thief.gathering_complete().await;
    let mut offer = thief.local_description().unwrap();
    let own = offer
        .sdp
        .lines()
        .find(|line| line.starts_with("a=candidate:"))
        .unwrap()
        .to_owned();
    let own_port = own.split(' ').nth(5).unwrap();
    let stolen = own.replace(&format!(" {own_port} "), &format!(" {} ", port(&victim_endpoint)));
    offer.sdp = offer.sdp.replace(&own, &stolen);
    deceived.set_remote_description(offer).unwrap();
    deceived.set_local_description(None).unwrap();
    deceived.gathering_complete().await;
    for i in 0..20 {
        exchange(&victim, &format!("not stolen {i}")).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Once the thief is honest, it is served as well.
    thief
        .set_remote_description(deceived.local_description().unwrap())
        .unwrap();
    soon("it opens", channel.opened()).await.unwrap();
    exchange(&victim, "at the same time").await;
}

#[tokio::test]
async fn a_wildcard_answers_only_where_it_offers() {
    let server = bind("0.0.0.0:0");
    let pair = pair_with(configuration(), at(&server), DataChannelInit::default()).await;
    exchange(&pair, "hello").await;
    let (ufrag, pwd) = credentials(&pair.bob);
    let (theirs, _) = credentials(&pair.alice);
    let request = check(&format!("{ufrag}:{theirs}"), &pwd, 1);
    let ask = |host: [u8; 4]| {
        let client = UdpSocket::bind(LOCALHOST).unwrap();
        client
            .send_to(&request, SocketAddr::from((host, port(&server))))
            .unwrap();
        client
    };
    // 127.0.0.5 leads to the same socket, but nobody offered it.
    let (astray, right) = (ask([127, 0, 0, 5]), ask([127, 0, 0, 1]));
    let mut buffer = [0; 200];
    right.set_nonblocking(true).unwrap();
    let len = soon("the answer", async {
        loop {
            match right.recv(&mut buffer) {
                Ok(len) => return len,
                Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    })
    .await;
    let answer = Stun::parse(&buffer[..len]).unwrap();
    assert_eq!(answer.class(), Class::SuccessResponse);
    astray.set_nonblocking(true).unwrap();
    assert!(
        astray.recv(&mut buffer).is_err(),
        "the one asked first has not answered"
    );
    exchange(&pair, "still here").await;
}

#[tokio::test]
async fn an_endpoint_is_bound_until_its_last_user_goes() {
    let server = bind(LOCALHOST);
    let address = server.local_addrs().next().unwrap();
    let error = Endpoint::bind(address).unwrap_err();
    assert!(matches!(error, Error::Bind { address: refused, .. } if refused == address));
    assert_eq!(error.name(), "OperationError");
    assert!(error.to_string().contains(&address.to_string()), "{error}");

    let pair = pair_with(configuration(), at(&server), DataChannelInit::default()).await;
    drop(server);
    exchange(&pair, "the connection keeps it").await;
    assert!(Endpoint::bind(address).is_err());
    drop(pair);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while Endpoint::bind(address).is_err() {
        assert!(tokio::time::Instant::now() < deadline, "the port is never free");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A STUN server that sees everybody at one address, and how often it was asked.
async fn stun_server(mapped: &str) -> (IceServer, Arc<AtomicUsize>) {
    let mapped = mapped.parse().unwrap();
    let socket = tokio::net::UdpSocket::bind(LOCALHOST).await.unwrap();
    let server = IceServer::stun(format!("stun:{}", socket.local_addr().unwrap()));
    let asked = Arc::new(AtomicUsize::new(0));
    tokio::spawn({
        let asked = Arc::clone(&asked);
        async move {
            let mut buffer = [0; 1500];
            while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
                asked.fetch_add(1, Ordering::Relaxed);
                let request = Stun::parse(&buffer[..len]).unwrap();
                let mut answer = Vec::new();
                MessageBuilder::success(&mut answer, &request).attribute(XorMappedAddress(mapped));
                socket.send_to(&answer, from).await.unwrap();
            }
        }
    });
    (server, asked)
}

/// The candidates of a connection that has gathered.
async fn candidates(configuration: Configuration) -> (PeerConnection, Vec<String>) {
    let pc = PeerConnection::new(configuration).await.unwrap();
    pc.create_data_channel("", DataChannelInit::default()).unwrap();
    pc.set_local_description(None).unwrap();
    soon("candidates", pc.gathering_complete()).await;
    let sdp = pc.local_description().unwrap().sdp;
    let candidates = sdp.lines().filter(|line| line.starts_with("a=candidate:"));
    let candidates = candidates.map(str::to_owned).collect();
    (pc, candidates)
}

#[tokio::test]
async fn a_stun_server_is_asked_once_for_all_of_a_port() {
    let (server, asked) = stun_server("203.0.113.7:4321").await;
    let endpoint = bind(LOCALHOST);
    let configuration = Configuration {
        ice_servers: vec![server],
        ..at(&endpoint)
    };
    let mut connections = Vec::new();
    for _ in 0..3 {
        let (pc, told) = candidates(configuration.clone()).await;
        let [host, reflexive] = &told[..] else {
            panic!("{told:?}")
        };
        assert!(
            host.contains(&format!(" 127.0.0.1 {} typ host", port(&endpoint))),
            "{host}"
        );
        assert!(
            reflexive.contains(" 203.0.113.7 4321 typ srflx raddr 127.0.0.1 "),
            "{reflexive}"
        );
        connections.push(pc);
    }
    // On a slow machine it may have been asked for the second time, to keep the answer alive.
    assert!(asked.load(Ordering::Relaxed) <= 2, "{asked:?}");
    assert_eq!(endpoint.stats().unknown_datagrams, 0);
    // "A lite implementation [...] only host candidates".
    let (_pc, told) = candidates(Configuration {
        ice_lite: true,
        ..configuration
    })
    .await;
    assert_eq!(told.len(), 1, "{told:?}");
}

#[tokio::test]
async fn external_addresses_take_the_place_of_local_ones_or_stand_beside_them() {
    let endpoint = bind(LOCALHOST);
    let external: ExternalAddress = "127.0.0.1=203.0.113.7".parse().unwrap();
    let beside = ExternalAddress {
        keeps_local: true,
        ..external
    };
    for (external, ice_lite, expected) in [
        (external, false, &["203.0.113.7 host"][..]),
        (external, true, &["203.0.113.7 host"]),
        (beside, false, &["127.0.0.1 host", "203.0.113.7 srflx"]),
        (beside, true, &["127.0.0.1 host", "203.0.113.7 host"]),
    ] {
        for shared in [Some(endpoint.clone()), None] {
            let port = shared.as_ref().map(port);
            let (_pc, told) = candidates(Configuration {
                external_addresses: vec![external],
                ice_lite,
                endpoint: shared,
                ice_tcp: IceTcp::Off,
                ..configuration()
            })
            .await;
            let words = told.iter().map(|line| line.split(' ').collect::<Vec<_>>());
            let told: Vec<_> = words
                .map(|words| {
                    assert!(port.is_none_or(|port| words[5] == port.to_string()), "{words:?}");
                    format!("{} {}", words[4], words[7])
                })
                .collect();
            assert_eq!(told, expected);
        }
    }
    let wrong = Configuration {
        external_addresses: vec![ExternalAddress::new("0.0.0.0".parse().unwrap())],
        ..configuration()
    };
    let error = PeerConnection::new(wrong).await.unwrap_err();
    assert_eq!(error.name(), "InvalidAccessError");
    assert!(
        error.to_string().contains("name the address that peers send to"),
        "{error}"
    );
}

#[test]
fn outside_of_a_runtime_nothing_is_bound() {
    assert_eq!(
        Endpoint::bind(LOCALHOST.parse().unwrap()).unwrap_err(),
        Error::NoRuntime
    );
}

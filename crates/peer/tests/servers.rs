//! ICE servers are found, asked, and reported when they give nothing.

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use common::{configuration, soon};
use peerline::{
    Certificate, Configuration, DataChannelInit, Error, IceCandidateError, IceGatheringState, IceServer, IceTcp,
    IceTransportPolicy, PeerConnection, PeerEvent, default_provider,
};
use peerline_stun::attribute::XorMappedAddress;
use peerline_stun::{Message, MessageBuilder};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, UdpSocket};

/// What gathering came to.
#[derive(Debug, Default)]
struct Gathered {
    candidates: Vec<String>,
    errors: Vec<IceCandidateError>,
}

async fn gather(configuration: Configuration) -> Gathered {
    let pc = PeerConnection::new(configuration).await.expect("a connection");
    pc.create_data_channel("", DataChannelInit::default())
        .expect("a channel");
    pc.set_local_description(pc.create_offer().expect("an offer"))
        .expect("it is set");
    let mut gathered = Gathered::default();
    loop {
        let event = soon("gathering", pc.next_event()).await.expect("an event");
        match event {
            PeerEvent::IceCandidate(Some(candidate)) => gathered.candidates.push(candidate.candidate),
            PeerEvent::IceCandidateError(error) => gathered.errors.push(error),
            PeerEvent::IceGatheringState(IceGatheringState::Complete) => return gathered,
            _ => {}
        }
    }
}

fn local(ice_servers: Vec<IceServer>) -> Configuration {
    Configuration {
        ice_servers,
        ice_tcp: IceTcp::Off,
        ..configuration()
    }
}

/// A STUN server that sees everybody at one address.
async fn stun_server(mapped: SocketAddr) -> SocketAddr {
    counting_stun_server(mapped).await.0
}

/// The same, and how often it was asked.
async fn counting_stun_server(mapped: SocketAddr) -> (SocketAddr, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let address = socket.local_addr().expect("an address");
    tokio::spawn(async move {
        let mut buffer = [0; 1500];
        while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
            count.fetch_add(1, Ordering::Relaxed);
            let request = Message::parse(&buffer[..len]).expect("a STUN message");
            let mut answer = Vec::new();
            MessageBuilder::success(&mut answer, &request).attribute(XorMappedAddress(mapped));
            socket.send_to(&answer, from).await.expect("it is sent");
        }
    });
    (address, asked)
}

#[tokio::test]
async fn a_stun_server_reveals_a_candidate_by_address_and_by_name() {
    let mapped = "203.0.113.7:4321".parse().expect("an address");
    let server = stun_server(mapped).await;
    for host in ["127.0.0.1", "localhost"] {
        let gathered = gather(local(vec![IceServer::stun(format!("stun:{host}:{}", server.port()))])).await;
        let [host, reflexive] = &gathered.candidates[..] else {
            panic!("{gathered:?}");
        };
        assert!(host.contains(" 127.0.0.1 ") && host.contains(" typ host"), "{host}");
        assert!(
            reflexive.contains(" 203.0.113.7 4321 typ srflx raddr 127.0.0.1 rport "),
            "{reflexive}"
        );
    }
}

fn candidates(pc: &PeerConnection) -> Vec<String> {
    let sdp = pc.local_description().expect("it was set").sdp;
    let candidates = sdp.lines().filter(|line| line.starts_with("a=candidate:"));
    candidates.map(str::to_owned).collect()
}

#[tokio::test]
async fn a_pool_is_gathered_ahead_and_used_by_the_first_description() {
    let (server, asked) = counting_stun_server("203.0.113.7:4321".parse().expect("an address")).await;
    let with_pool = |size| Configuration {
        ice_candidate_pool_size: size,
        ..local(vec![IceServer::stun(format!("stun:{server}"))])
    };
    for early in [true, false] {
        let before = asked.load(Ordering::Relaxed);
        let pc = PeerConnection::new(with_pool(u8::from(early)))
            .await
            .expect("a connection");
        if !early {
            pc.set_configuration(&with_pool(3)).expect("nothing was described");
        }
        soon("a question", async {
            while asked.load(Ordering::Relaxed) == before {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        pc.create_data_channel("", DataChannelInit::default())
            .expect("a channel");
        assert_eq!(pc.ice_gathering_state(), IceGatheringState::New, "nobody was told");
        pc.set_local_description(None).expect("an offer");
        soon("candidates", pc.gathering_complete()).await;
        let told = candidates(&pc);
        assert!(
            told.len() == 2 && told[1].contains(" 203.0.113.7 4321 typ srflx "),
            "{told:?}"
        );
        let error = pc.set_configuration(&with_pool(0)).expect_err("the pool is in use");
        assert_eq!(error.name(), "InvalidModificationError");
        assert!(error.to_string().contains("set its size before"), "{error}");
    }
}

#[tokio::test]
async fn servers_that_are_named_later_are_asked_with_an_ice_restart_that_the_next_offer_brings() {
    let server = stun_server("203.0.113.7:4321".parse().expect("an address")).await;
    let pc = PeerConnection::new(local(Vec::new())).await.expect("a connection");
    pc.create_data_channel("", DataChannelInit::default())
        .expect("a channel");
    pc.set_local_description(None).expect("an offer");
    soon("candidates", pc.gathering_complete()).await;
    let alone = candidates(&pc);
    assert_eq!(alone.len(), 1, "{alone:?}");
    let answerer = PeerConnection::new(local(Vec::new())).await.expect("a connection");
    answerer
        .set_remote_description(pc.local_description().expect("an offer"))
        .expect("it is set");
    answerer.set_local_description(None).expect("an answer");
    pc.set_remote_description(answerer.local_description().expect("an answer"))
        .expect("it is set");

    pc.set_configuration(&local(vec![IceServer::stun(format!("stun:{server}"))]))
        .expect("good servers");
    let error = pc
        .set_configuration(&local(vec![IceServer::stun("nonsense")]))
        .expect_err("bad servers");
    assert_eq!(error.name(), "SyntaxError");
    pc.set_local_description(pc.create_offer().expect("an offer"))
        .expect("it is set");
    soon("another candidate", async {
        while candidates(&pc).len() < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    let told = candidates(&pc);
    let port = |line: &str| line.split(' ').nth(5).map(str::to_owned);
    assert_eq!(port(&told[0]), port(&alone[0]), "the socket is the same");
    assert!(told[1].contains(" 203.0.113.7 4321 typ srflx "), "{told:?}");
    pc.close();
    let error = pc.set_configuration(&local(Vec::new())).expect_err("it is closed");
    assert_eq!(error.name(), "InvalidStateError");
}

/// "Any changes to the STUN/TURN servers [...] will cause the next call to createOffer to generate new ICE credentials" (RFC 8829
/// §4.1.18), and what is no change does not.
#[tokio::test]
async fn other_servers_restart_ice_with_the_next_offer_and_the_same_do_not() {
    let server = stun_server("203.0.113.7:4321".parse().expect("an address")).await;
    let with = |urls: &[String]| local(urls.iter().map(IceServer::stun).collect());
    let one = format!("stun:{server}");
    let pc = PeerConnection::new(with(&[])).await.expect("a connection");
    let answerer = PeerConnection::new(local(Vec::new())).await.expect("a connection");
    pc.create_data_channel("", DataChannelInit::default())
        .expect("a channel");
    // Before the first description, gathering has not begun.
    pc.set_configuration(&with(std::slice::from_ref(&one)))
        .expect("good servers");
    let mut ufrags: Vec<String> = Vec::new();
    for (urls, restarts) in [
        (None, true),
        (Some(vec![one.clone()]), false),
        (Some(Vec::new()), true),
        (None, false),
        (Some(vec![one.clone()]), true),
    ] {
        if let Some(urls) = &urls {
            pc.set_configuration(&with(urls)).expect("good servers");
        }
        pc.set_local_description(None).expect("an offer");
        soon("candidates", pc.gathering_complete()).await;
        let offer = pc.local_description().expect("an offer");
        let ufrag = offer.sdp.lines().find(|line| line.starts_with("a=ice-ufrag"));
        let ufrag = ufrag.expect("there is one").to_owned();
        assert_eq!(ufrags.last() != Some(&ufrag), restarts, "{urls:?} after {ufrags:?}");
        ufrags.push(ufrag);
        answerer.set_remote_description(offer).expect("it is set");
        answerer.set_local_description(None).expect("an answer");
        pc.set_remote_description(answerer.local_description().expect("an answer"))
            .expect("it is set");
    }
}

/// There is no server, so that nothing is left but what was told before.
#[tokio::test]
async fn another_transport_policy_counts_with_the_next_description() {
    let with = |ice_transport_policy| Configuration {
        ice_transport_policy,
        ice_candidate_pool_size: 1,
        ..local(Vec::new())
    };
    let (all, relay) = (with(IceTransportPolicy::All), with(IceTransportPolicy::Relay));
    let early = PeerConnection::new(all.clone()).await.expect("a connection");
    early
        .create_data_channel("", DataChannelInit::default())
        .expect("a channel");
    early.set_configuration(&relay).expect("it is another policy");
    early.set_local_description(None).expect("an offer");
    soon("candidates", early.gathering_complete()).await;
    assert_eq!(candidates(&early), [""; 0]);

    let pc = PeerConnection::new(all.clone()).await.expect("a connection");
    let answerer = PeerConnection::new(all.clone()).await.expect("a connection");
    pc.create_data_channel("", DataChannelInit::default())
        .expect("a channel");
    let ufrag = |pc: &PeerConnection| {
        let sdp = pc.local_description().expect("it was set").sdp;
        sdp.lines()
            .find(|line| line.starts_with("a=ice-ufrag"))
            .map(str::to_owned)
    };
    let mut ufrags = Vec::new();
    for (policy, count) in [(&all, 1), (&relay, 0), (&relay, 0), (&all, 1)] {
        let before = pc.local_description().map(|_| candidates(&pc));
        pc.set_configuration(policy).expect("it is another policy");
        assert_eq!(pc.local_description().map(|_| candidates(&pc)), before, "not at once");
        pc.set_local_description(pc.create_offer().expect("an offer"))
            .expect("it is set");
        soon("candidates", pc.gathering_complete()).await;
        assert_eq!(candidates(&pc).len(), count);
        ufrags.push(ufrag(&pc));
        let offer = pc.local_description().expect("an offer");
        answerer.set_remote_description(offer).expect("it is set");
        answerer.set_local_description(None).expect("an answer");
        pc.set_remote_description(answerer.local_description().expect("an answer"))
            .expect("it is set");
    }
    ufrags.dedup();
    assert_eq!(ufrags.len(), 3, "ICE restarts where the policy changes: {ufrags:?}");
}

#[tokio::test]
async fn a_connection_keeps_its_certificate() {
    let certificate = || {
        let made = Certificate::generate(&default_provider(), SystemTime::UNIX_EPOCH);
        Some(Arc::new(made.expect("a certificate")))
    };
    let with = |certificate| Configuration {
        certificate,
        ..local(Vec::new())
    };
    let ours = with(certificate());
    let pc = PeerConnection::new(ours.clone()).await.expect("a connection");
    for same in [&ours, &with(None)] {
        pc.set_configuration(same).expect("nothing changes");
    }
    let error = pc.set_configuration(&with(certificate())).expect_err("another one");
    assert_eq!(error.name(), "InvalidModificationError");
    assert!(error.to_string().contains("leave it out"), "{error}");
}

#[tokio::test]
async fn the_configuration_is_told_as_it_was_set() {
    let servers = |urls: &[&str]| urls.iter().map(|url| IceServer::stun(*url)).collect::<Vec<_>>();
    let first = Configuration {
        ice_transport_policy: IceTransportPolicy::Relay,
        max_message_size: 1234,
        ..local(servers(&["stun:127.0.0.1:1"]))
    };
    let pc = PeerConnection::new(first.clone()).await.expect("a connection");
    let told = |pc: &PeerConnection| format!("{:?}", pc.configuration());
    assert_eq!(told(&pc), format!("{first:?}"));

    let other = Configuration {
        ice_candidate_pool_size: 2,
        ..local(servers(&["stun:127.0.0.1:2", "stun:127.0.0.1:3"]))
    };
    pc.set_configuration(&other).expect("good servers");
    // The rest of it is fixed.
    let changed = Configuration {
        ice_servers: other.ice_servers,
        ice_candidate_pool_size: 2,
        ice_transport_policy: other.ice_transport_policy,
        ..first
    };
    assert_eq!(told(&pc), format!("{changed:?}"));
    pc.set_configuration(&local(servers(&["nonsense"])))
        .expect_err("bad servers");
    assert_eq!(told(&pc), format!("{changed:?}"), "nothing is changed");
    pc.set_configuration(&pc.configuration()).expect("it is the same");
    assert_eq!(told(&pc), format!("{changed:?}"));
}

#[tokio::test]
async fn servers_that_give_nothing_are_reported_and_end_gathering() {
    // One hangs up at once; nobody listens at the other.
    let rude = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
    let rude_port = rude.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = rude.accept().await {
            let mut request = [0; 20];
            stream.read_exact(&mut request).await.expect("a request");
        }
    });
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
    let free_port = free.local_addr().expect("an address").port();
    drop(free);
    let turn = |url: String| IceServer::turn(url, "user", "password");
    let servers = vec![
        turn(format!("turn:127.0.0.1:{rude_port}?transport=tcp")),
        turn(format!("turn:127.0.0.1:{free_port}?transport=tcp")),
        turn(format!("turns:127.0.0.1:{free_port}?transport=udp")),
    ];
    let gathered = gather(local(servers.clone())).await;
    assert_eq!(gathered.candidates.len(), 1, "{gathered:?}");
    let mut errors = gathered.errors;
    assert!(
        errors.iter().all(|error| error.code == IceCandidateError::UNREACHABLE),
        "{errors:?}"
    );
    errors.sort_by_key(|error| servers.iter().position(|server| server.urls[0] == error.url));
    let texts: Vec<&str> = errors.iter().map(|error| &*error.text).collect();
    let [lost, refused, unknown] = texts[..] else {
        panic!("{texts:?}")
    };
    assert!(lost.contains("connection to the server was lost"), "{lost}");
    assert!(refused.contains("no connection to it"), "{refused}");
    assert!(unknown.contains("?transport=tcp"), "{unknown}");
}

#[tokio::test]
async fn relays_alone_without_a_relay_give_nothing_away() {
    let configuration = Configuration {
        ice_transport_policy: IceTransportPolicy::Relay,
        ..local(vec![])
    };
    let gathered = gather(configuration).await;
    assert!(gathered.candidates.is_empty(), "{gathered:?}");
}

#[tokio::test]
async fn servers_that_cannot_be_used_are_refused_with_a_reason() {
    let wrong = |server| async {
        let configuration = local(vec![server]);
        PeerConnection::new(configuration).await.expect_err("it cannot be used")
    };
    let error = wrong(IceServer::stun("stun.example.org")).await;
    assert_eq!(
        (error.name(), matches!(error, Error::IceServer(_))),
        ("SyntaxError", true)
    );
    assert!(error.to_string().contains("write stun:"), "{error}");
    let error = wrong(IceServer::stun("turn:turn.example.org")).await;
    assert_eq!(error.name(), "InvalidAccessError");
}

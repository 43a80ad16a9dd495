//! ICE servers are found, asked, and reported when they give nothing.

mod common;

use std::net::SocketAddr;

use common::{configuration, soon};
use peerline::{
    Configuration, DataChannelInit, Error, IceCandidateError, IceGatheringState, IceServer, IceTcp, IceTransportPolicy,
    PeerConnection, PeerEvent,
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
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let address = socket.local_addr().expect("an address");
    tokio::spawn(async move {
        let mut buffer = [0; 1500];
        while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
            let request = Message::parse(&buffer[..len]).expect("a STUN message");
            let mut answer = Vec::new();
            MessageBuilder::success(&mut answer, &request).attribute(XorMappedAddress(mapped));
            socket.send_to(&answer, from).await.expect("it is sent");
        }
    });
    address
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

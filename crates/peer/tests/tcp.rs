//! ICE over TCP between two peers, over the loopback interface, with no candidates over UDP.

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::{configuration, next_channel, soon};
use peerline::{
    Configuration, DataChannelInit, Endpoint, IceTcp, Message, PeerConnection, SessionDescription, Stats, StatsKind,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn over(ice_tcp: IceTcp) -> Configuration {
    Configuration {
        ice_tcp,
        ..configuration()
    }
}

/// The description without its candidates over UDP.
fn without_udp(description: Option<SessionDescription>) -> SessionDescription {
    let description = description.expect("it was set");
    let lines = description.sdp.lines().filter(|line| !line.contains(" udp "));
    let sdp = lines.fold(String::new(), |sdp, line| sdp + line + "\r\n");
    SessionDescription { sdp, ..description }
}

async fn negotiate(offerer: &PeerConnection, answerer: &PeerConnection) {
    offerer.set_local_description(offerer.create_offer().unwrap()).unwrap();
    soon("gathering", offerer.gathering_complete()).await;
    answerer
        .set_remote_description(without_udp(offerer.local_description()))
        .unwrap();
    answerer
        .set_local_description(answerer.create_answer().unwrap())
        .unwrap();
    soon("gathering", answerer.gathering_complete()).await;
    offerer
        .set_remote_description(without_udp(answerer.local_description()))
        .unwrap();
}

fn find<'s, T>(stats: &'s [Stats], pick: impl Fn(&'s StatsKind) -> Option<T>) -> Vec<T> {
    stats.iter().filter_map(|stats| pick(&stats.kind)).collect()
}

/// Words and then a megabyte each way, and both know what they go over.
async fn talk(alice: &PeerConnection, bob: &PeerConnection) {
    let chat = alice.create_data_channel("chat", DataChannelInit::default()).unwrap();
    negotiate(alice, bob).await;
    soon("the channel opens", chat.opened()).await.unwrap();
    let other = next_channel(bob).await;
    for (from, to) in [(&chat, &other), (&other, &chat)] {
        for len in [5, 1 << 20] {
            let message = vec![7; len];
            for part in message.chunks(64 * 1024) {
                from.send(part.to_vec()).await.unwrap();
            }
            let mut received = 0;
            while received < len {
                let Some(Message::Binary(part)) = soon("a message", to.recv()).await else {
                    panic!("the channel is closed");
                };
                received += part.len();
            }
        }
    }
    for peer in [alice, bob] {
        let stats = peer.stats();
        let pairs = find(&stats.stats, |kind| match kind {
            StatsKind::CandidatePair(pair) if pair.selected => {
                Some((&pair.local_candidate_id, &pair.remote_candidate_id))
            }
            _ => None,
        });
        assert_eq!(pairs.len(), 1);
        let types = [pairs[0].0, pairs[0].1].map(|id| {
            let candidate = stats
                .stats
                .iter()
                .find(|stats| stats.id == *id)
                .expect("it is in the report");
            let (StatsKind::LocalCandidate(candidate) | StatsKind::RemoteCandidate(candidate)) = &candidate.kind else {
                panic!("{candidate:?} is no candidate");
            };
            (candidate.protocol, candidate.tcp_type.expect("it says who connects"))
        });
        assert!(
            matches!(
                types,
                [("tcp", "active"), ("tcp", "passive")]
                    | [("tcp", "passive"), ("tcp", "active")]
                    | [("tcp", "so"), ("tcp", "so")]
            ),
            "{types:?}"
        );
    }
}

async fn peer(configuration: Configuration) -> PeerConnection {
    PeerConnection::new(configuration).await.unwrap()
}

#[tokio::test]
async fn whoever_offers_a_connection_is_made() {
    for [one, other] in [
        [IceTcp::Active, IceTcp::Passive],
        [IceTcp::Passive, IceTcp::Active],
        [IceTcp::ActiveAndPassive, IceTcp::ActiveAndPassive],
        [IceTcp::All, IceTcp::Passive],
        [IceTcp::All, IceTcp::All],
    ] {
        talk(&peer(over(one)).await, &peer(over(other)).await).await;
    }
}

#[tokio::test]
async fn many_connect_to_one_port() {
    let endpoint = Endpoint::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let at = endpoint.listen_tcp(endpoint.local_addrs().next().unwrap()).unwrap();
    let server = |ice_lite| Configuration {
        endpoint: Some(endpoint.clone()),
        ice_lite,
        ..configuration()
    };
    let mut peers = Vec::new();
    for ice_lite in [false, true, false] {
        let (alice, bob) = (peer(configuration()).await, peer(server(ice_lite)).await);
        talk(&alice, &bob).await;
        assert!(
            bob.local_description()
                .unwrap()
                .sdp
                .contains(&format!("{} typ host tcptype passive", at.port()))
        );
        peers.push((alice, bob));
    }
}

#[tokio::test]
async fn who_wants_none_has_none() {
    for (ice_tcp, types) in [
        (IceTcp::Off, [false, false]),
        (IceTcp::Active, [false, false]),
        (IceTcp::Passive, [false, true]),
        (IceTcp::ActiveAndPassive, [false, true]),
    ] {
        let alice = peer(over(ice_tcp)).await;
        alice.create_data_channel("chat", DataChannelInit::default()).unwrap();
        alice.set_local_description(alice.create_offer().unwrap()).unwrap();
        soon("gathering", alice.gathering_complete()).await;
        let sdp = alice.local_description().unwrap().sdp;
        assert_eq!(
            ["tcptype active", "tcptype passive"].map(|tcp_type| sdp.contains(tcp_type)),
            types,
            "{sdp}"
        );
    }
}

/// Whoever knows of a listener says from where it connects.
#[tokio::test]
async fn who_connects_is_named_once_somebody_listens() {
    let (alice, bob) = (peer(over(IceTcp::ActiveAndPassive)).await, peer(configuration()).await);
    alice.create_data_channel("chat", DataChannelInit::default()).unwrap();
    negotiate(&alice, &bob).await;
    let answer = bob.local_description().unwrap().sdp;
    assert!(answer.contains("tcptype active"), "{answer}");
    let (alice, bob) = (peer(configuration()).await, peer(over(IceTcp::Passive)).await);
    alice.create_data_channel("chat", DataChannelInit::default()).unwrap();
    negotiate(&alice, &bob).await;
    let named = async {
        while !alice.local_description().unwrap().sdp.contains("tcptype active") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        alice.gathering_complete().await;
    };
    soon("the candidate after the answer", named).await;
}

/// A connection to a listener, with this on it.
async fn stranger(at: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

#[tokio::test]
async fn strangers_do_not_keep_anybody_out() {
    let endpoint = Endpoint::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let at = endpoint.listen_tcp("127.0.0.1:0".parse().unwrap()).unwrap();
    // Those that say nothing; more than are heard at a time.
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(stranger(at, &[]).await);
    }
    // Nonsense, lengths of nothing and of far too much, and a check that names nobody.
    let mut check = vec![0, 28, 0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42];
    check.extend([1; 12]);
    check.extend([0, 6, 0, 3, b'a', b':', b'b', 0]);
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0, 0], &[0xff; 2], &check] {
        let mut stream = stranger(at, bytes).await;
        let end = soon("the end of the stranger", stream.read(&mut [0; 9])).await;
        assert!(!matches!(end, Ok(1..)), "{bytes:?}");
    }
    let bob = Configuration {
        endpoint: Some(endpoint.clone()),
        ..configuration()
    };
    let (alice, bob) = (peer(configuration()).await, peer(bob).await);
    talk(&alice, &bob).await;
    drop(silent);
}

#[tokio::test]
async fn the_end_of_one_is_noticed_by_the_other() {
    let (alice, bob) = (peer(over(IceTcp::Active)).await, peer(over(IceTcp::Passive)).await);
    talk(&alice, &bob).await;
    alice.close();
    let closed = async {
        while bob.connection_state() != peerline::ConnectionState::Closed {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon("the other hears of it", closed).await;
}

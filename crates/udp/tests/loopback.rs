//! Real sockets over loopback: what is sent arrives whole, in order and with its codepoint.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use peerline_udp::{Inbox, Outbox, Socket};
use peerline_wire::{Datagram, Ecn, FiveTuple, Transmit};

fn bind(addr: &str) -> Socket {
    Socket::bind(addr.parse().unwrap()).unwrap()
}

fn push(outbox: &mut Outbox, five_tuple: FiveTuple, ecn: Option<Ecn>, payload: &[u8]) {
    assert!(outbox.push(|out| {
        out.extend_from_slice(payload);
        Some(Transmit {
            five_tuple,
            ecn,
            len: payload.len(),
        })
    }));
}

async fn receive(socket: &Socket, inbox: &mut Inbox, count: usize) -> Vec<Datagram> {
    let mut got = Vec::new();
    let all = async {
        while got.len() < count {
            socket.readable().await.unwrap();
            if let Ok(batch) = inbox.recv(socket) {
                got.extend(batch);
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), all)
        .await
        .expect("the datagrams arrive");
    got
}

/// A payload that says which datagram it is.
fn numbered(number: usize, len: usize) -> Vec<u8> {
    let mut payload = vec![number as u8; len];
    payload[..4].copy_from_slice(&(number as u32).to_be_bytes());
    payload
}

#[tokio::test]
async fn batches_arrive_whole_and_in_order() {
    let (a, b) = (bind("127.0.0.1:0"), bind("127.0.0.1:0"));
    let path = FiveTuple::udp(a.local_addr(), b.local_addr());
    let (mut outbox, mut inbox) = (Outbox::new(), Inbox::new());
    // Runs of full datagrams, ended by shorter ones: what bulk transfer looks like. The buffer default holds them all.
    let sent: Vec<_> = (0..150)
        .map(|i| numbered(i, if i % 37 == 36 { 700 } else { 1200 }))
        .collect();
    for payload in &sent {
        push(&mut outbox, path, None, payload);
    }
    assert!(outbox.flush(|local| (local == a.local_addr()).then_some(&a)));
    let got = receive(&b, &mut inbox, sent.len()).await;
    assert_eq!(got.len(), sent.len());
    for (got, sent) in got.iter().zip(&sent) {
        assert_eq!(got.payload, sent[..]);
        assert_eq!(got.five_tuple, path.reversed());
        assert_eq!(got.ecn, None);
    }
    let counters = outbox.counters();
    assert_eq!((counters.sent, counters.dropped), (150, 0));
    if a.max_segments() > 1 {
        assert!(counters.calls <= 8, "{counters:?}");
    }
}

#[tokio::test]
async fn mixed_sizes_and_destinations() {
    let a = bind("127.0.0.1:0");
    let others = [bind("127.0.0.1:0"), bind("127.0.0.1:0"), bind("127.0.0.1:0")];
    let (mut outbox, mut inbox) = (Outbox::new(), Inbox::new());
    let mut expected: BTreeMap<SocketAddr, Vec<Vec<u8>>> = BTreeMap::new();
    for i in 0..120 {
        let to = others[(i / 3) % 3].local_addr();
        let payload = numbered(i, 4 + (i * 7919) % 1196);
        push(&mut outbox, FiveTuple::udp(a.local_addr(), to), None, &payload);
        expected.entry(to).or_default().push(payload);
    }
    assert!(outbox.flush(|_| Some(&a)));
    for socket in &others {
        let expected = &expected[&socket.local_addr()];
        let got = receive(socket, &mut inbox, expected.len()).await;
        assert!(
            got.iter()
                .map(|datagram| &datagram.payload[..])
                .eq(expected.iter().map(|payload| &payload[..]))
        );
    }
}

/// Also from a socket with a choice of addresses to send from, and past a destination that the system refuses.
#[tokio::test]
async fn what_goes_to_many_places_leaves_together() {
    for (bound, local) in [
        ("127.0.0.1:0", "127.0.0.1"),
        ("0.0.0.0:0", "127.0.0.2"),
        ("[::1]:0", "::1"),
        ("[::]:0", "::1"),
    ] {
        let a = bind(bound);
        let local = SocketAddr::new(local.parse().unwrap(), a.local_addr().port());
        let others: Vec<_> = (0..30)
            .map(|_| bind(&SocketAddr::new(local.ip(), 0).to_string()))
            .collect();
        let (mut outbox, mut inbox) = (Outbox::new(), Inbox::new());
        for (i, other) in others.iter().enumerate() {
            push(
                &mut outbox,
                FiveTuple::udp(local, other.local_addr()),
                None,
                &numbered(i, 50 + i),
            );
            if i == 9 {
                let nowhere = SocketAddr::new(local.ip(), 0);
                push(&mut outbox, FiveTuple::udp(local, nowhere), None, &numbered(i, 50));
            }
        }
        assert!(outbox.flush(|_| Some(&a)));
        for (i, other) in others.iter().enumerate() {
            let got = receive(other, &mut inbox, 1).await;
            assert_eq!(got[0].payload, numbered(i, 50 + i));
            assert_eq!(got[0].five_tuple, FiveTuple::udp(other.local_addr(), local));
        }
        let counters = outbox.counters();
        assert_eq!((counters.sent, counters.dropped), (30, 1));
        if cfg!(target_os = "linux") {
            assert_eq!(counters.calls, 2, "before and after the one that was refused");
        }
    }
}

#[tokio::test]
async fn ipv6_and_codepoints() {
    for addr in ["[::1]:0", "127.0.0.1:0"] {
        let (a, b) = (bind(addr), bind(addr));
        let path = FiveTuple::udp(a.local_addr(), b.local_addr());
        let (mut outbox, mut inbox) = (Outbox::new(), Inbox::new());
        let codepoints = [
            None,
            Some(Ecn::Ect0),
            Some(Ecn::Ect0),
            Some(Ecn::Ect1),
            Some(Ecn::Ce),
            None,
        ];
        for (i, ecn) in codepoints.into_iter().enumerate() {
            push(&mut outbox, path, ecn, &numbered(i, 100));
        }
        assert!(outbox.flush(|_| Some(&a)));
        let got = receive(&b, &mut inbox, codepoints.len()).await;
        assert_eq!(got.iter().map(|datagram| datagram.ecn).collect::<Vec<_>>(), codepoints);
        assert!(got.iter().all(|datagram| datagram.five_tuple == path.reversed()));
        assert!(
            got.iter()
                .enumerate()
                .all(|(i, datagram)| datagram.payload == numbered(i, 100)[..])
        );
    }
}

#[tokio::test]
async fn empty_and_largest_datagrams() {
    let (a, b) = (bind("127.0.0.1:0"), bind("127.0.0.1:0"));
    let path = FiveTuple::udp(a.local_addr(), b.local_addr());
    let (mut outbox, mut inbox) = (Outbox::new(), Inbox::new());
    let largest = numbered(1, 65_507);
    for payload in [&[][..], &largest, b"x", &[], &[]] {
        push(&mut outbox, path, None, payload);
    }
    assert!(outbox.flush(|_| Some(&a)));
    let got = receive(&b, &mut inbox, 5).await;
    assert_eq!(
        got.iter().map(|datagram| datagram.payload.len()).collect::<Vec<_>>(),
        [0, 65_507, 1, 0, 0]
    );
    assert_eq!(got[1].payload, largest[..]);
}

#[tokio::test]
async fn a_wildcard_socket_names_and_uses_the_address_that_was_spoken_to() {
    for (wildcard, host) in [("0.0.0.0:0", "127.0.0.1:0"), ("[::]:0", "[::1]:0")] {
        let (server, client) = (bind(wildcard), bind(host));
        let mut reached = client.local_addr();
        reached.set_port(server.local_addr().port());
        let path = FiveTuple::udp(client.local_addr(), reached);
        let (mut outbox, mut inbox) = (Outbox::new(), Inbox::new());
        push(&mut outbox, path, None, b"who are you?");
        assert!(outbox.flush(|_| Some(&client)));
        let got = receive(&server, &mut inbox, 1).await.remove(0);
        assert_eq!(got.five_tuple, path.reversed());
        push(&mut outbox, got.five_tuple, None, b"the one you asked");
        assert!(outbox.flush(|_| Some(&server)));
        assert_eq!(receive(&client, &mut inbox, 1).await.remove(0).five_tuple, path);
    }
}

#[tokio::test]
async fn what_cannot_be_sent_is_dropped_and_the_rest_goes_on() {
    let (a, b) = (bind("127.0.0.1:0"), bind("127.0.0.1:0"));
    let path = FiveTuple::udp(a.local_addr(), b.local_addr());
    let (mut outbox, mut inbox) = (Outbox::new(), Inbox::new());
    push(&mut outbox, path, None, b"first");
    // The wrong family; port 0; longer than UDP can carry, several together and alone; nobody listening.
    push(
        &mut outbox,
        FiveTuple::udp(a.local_addr(), "[2001:db8::1]:9".parse().unwrap()),
        None,
        b"astray",
    );
    push(
        &mut outbox,
        FiveTuple::udp(a.local_addr(), "127.0.0.1:0".parse().unwrap()),
        None,
        b"nowhere",
    );
    push(&mut outbox, path, None, &vec![0; 65_508]);
    let deserted = bind("127.0.0.1:0").local_addr();
    push(&mut outbox, FiveTuple::udp(a.local_addr(), deserted), None, b"anyone?");
    push(&mut outbox, FiveTuple::udp(a.local_addr(), deserted), None, b"anyone?");
    push(&mut outbox, path, None, b"last");
    assert!(outbox.flush(|_| Some(&a)));
    let got = receive(&b, &mut inbox, 2).await;
    assert_eq!(
        got.iter().map(|datagram| &datagram.payload[..]).collect::<Vec<_>>(),
        [&b"first"[..], b"last"]
    );
    assert!((3..=5).contains(&outbox.counters().dropped), "{:?}", outbox.counters());
    assert_eq!(outbox.counters().dropped + outbox.counters().sent, 7);
}

/// A peer may name candidates to which no datagram can leave: that must cost others neither their offloads nor their codepoints.
#[tokio::test]
async fn a_hopeless_path_spoils_nothing_for_others() {
    let (server, client) = (bind("0.0.0.0:0"), bind("127.0.0.1:0"));
    let segments = server.max_segments();
    let local = SocketAddr::from(([127, 0, 0, 1], server.local_addr().port()));
    let (mut outbox, mut inbox) = (Outbox::new(), Inbox::new());
    // From loopback to the world (an address of documentation), alone and in a run; then as if nothing had happened.
    let hopeless = FiveTuple::udp(local, "203.0.113.1:9".parse().unwrap());
    for ecn in [None, Some(Ecn::Ect0)] {
        push(&mut outbox, hopeless, ecn, b"check");
        push(&mut outbox, hopeless, ecn, b"check");
        assert!(outbox.flush(|_| Some(&server)));
    }
    assert_eq!(server.max_segments(), segments);
    for ecn in [None, Some(Ecn::Ect0)] {
        push(&mut outbox, FiveTuple::udp(local, client.local_addr()), ecn, b"hello");
        assert!(outbox.flush(|_| Some(&server)));
        let got = &receive(&client, &mut inbox, 1).await[0];
        assert_eq!((&got.payload[..], got.ecn), (&b"hello"[..], ecn));
    }
}

#[tokio::test]
async fn larger_buffers_are_asked_for() {
    let plain = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let before = socket2::SockRef::from(&plain).recv_buffer_size().unwrap();
    let (receive, send) = bind("127.0.0.1:0").buffer_sizes().unwrap();
    assert!(receive >= before && send > 0, "{receive} {send} {before}");
}

#[test]
fn all_can_be_sent_to_other_threads() {
    fn send<T: Send>() {}
    send::<Socket>();
    send::<Inbox>();
    send::<Outbox>();
}

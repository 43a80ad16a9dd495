//! Quotas, floods, and what forged addresses come to.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::BytesMut;
use peerline_sim::{Machine, epoch, resident_memory};
use peerline_stun::attribute::{
    Data, DontFragment, ErrorCode, Lifetime, Nonce, Realm, RequestedTransport, Software, Username, XorMappedAddress,
    XorPeerAddress,
};
use peerline_stun::{AttributeType, Class, Key, Message, MessageBuilder, Method, TransactionId};
use peerline_turn::server::{self, Limits};
use peerline_wire::{Datagram, FiveTuple, Transport};
use proptest::prelude::*;

use crate::common::*;
use crate::{Form, Lab, Who, outcome, quiet, send_indication};

#[test]
fn quotas_hold() {
    let limits = Limits {
        max_allocations: 5,
        max_allocations_per_user: 3,
        max_permissions: 4,
        max_channels: 2,
        ..Limits::default()
    };
    let mut lab = Lab::new(quiet(limits));
    for port in 5000..5003 {
        let who = lab.client(port);
        lab.allocate(&who).expect("an allocation");
    }
    let fourth = lab.client(5003);
    assert_eq!(lab.allocate(&fourth), Err(ErrorCode::ALLOCATION_QUOTA_REACHED));
    for (port, expected) in [(6000, true), (6001, true), (6002, false)] {
        let bob = Who {
            username: "bob".into(),
            key: Key::long_term_md5("bob", REALM, "builder"),
            ..lab.client(port)
        };
        assert_eq!(
            lab.allocate(&bob).err(),
            (!expected).then_some(ErrorCode::INSUFFICIENT_CAPACITY)
        );
    }
    // One that ends makes room.
    let first = lab.client(5000);
    lab.ask(&first, Method::REFRESH, |m| {
        m.attribute(Lifetime(0));
    })
    .expect("an end");
    lab.allocate(&fourth).expect("room");
    for last in 1..=4 {
        lab.permit(&fourth, &format!("9.9.9.{last}:1")).expect("room");
    }
    assert_eq!(lab.permit(&fourth, "9.9.9.5:1"), Err(ErrorCode::INSUFFICIENT_CAPACITY));
    lab.permit(&fourth, "9.9.9.4:2").expect("it is there");
    lab.bind(&fourth, 0x4000, "9.9.9.1:1").expect("room");
    lab.bind(&fourth, 0x4001, "9.9.9.1:2").expect("room");
    assert_eq!(
        lab.bind(&fourth, 0x4002, "9.9.9.1:3"),
        Err(ErrorCode::INSUFFICIENT_CAPACITY)
    );
    // What has expired makes room as well.
    lab.now += Duration::from_secs(301);
    lab.permit(&fourth, "9.9.9.5:1").expect("room");
}

#[test]
fn a_flood_from_forged_addresses_is_not_amplified() {
    let mut lab = Lab::new(server_config(1));
    let strangers = server::Strangers::default();
    let mut bare = Vec::new();
    MessageBuilder::request(&mut bare, Method::ALLOCATE, TransactionId([1; 12]));
    let mut binding = Vec::new();
    MessageBuilder::request(&mut binding, Method::BINDING, TransactionId([1; 12]));
    // A minute of 10,000 requests a second with the address of one victim, and its ports.
    let (mut received, mut sent) = (0, 0);
    for count in 0..600_000u32 {
        lab.now = epoch() + Duration::from_micros(100) * count;
        let mut path = path().reversed();
        path.remote.set_port(1 + (count % 65_535) as u16);
        let request = if count % 2 == 0 { &bare } else { &binding };
        received += request.len();
        sent += lab.answer(path, request).map_or(0, |answer| answer.len());
    }
    let excess = strangers.burst as usize + 60 * strangers.bytes_per_second as usize;
    assert!(sent <= received + excess, "{sent} for {received}");
    assert!(sent < received / 5, "most of it is not answered: {sent} for {received}");
    assert!(lab.end.server.stats().withheld > 500_000);
    // Nothing of it is remembered, and others are served.
    assert_eq!(lab.end.server.poll_timeout(), None);
    let other = FiveTuple::udp(addr("192.0.2.1:3478"), addr("198.51.100.77:5000"));
    let who = lab.client_at(other);
    lab.allocate(&who).expect("an allocation");
}

#[test]
fn a_hundred_thousand_bindings_are_answered_and_cost_nothing() {
    let mut lab = Lab::new(server_config(1));
    let mut request = Vec::new();
    MessageBuilder::request(&mut request, Method::BINDING, TransactionId([1; 12]));
    for count in 0..100_000u32 {
        let from = SocketAddr::new(IpAddr::V4((0x0b00_0000 + count).into()), 5_000);
        let path = FiveTuple::udp(addr("192.0.2.1:3478"), from);
        let answer = lab.answer(path, &request).expect("an answer");
        assert_eq!(Message::parse(&answer).unwrap().get(), Ok(Some(XorMappedAddress(from))));
    }
    assert_eq!(lab.end.server.stats().bindings, 100_000);
    assert_eq!(lab.end.server.poll_timeout(), None);
}

/// A request for an allocation is shorter than its challenge, so that strangers are given a little in advance; without that, nobody can
/// have anything longer than what he sent go anywhere.
#[test]
fn with_nothing_in_advance_no_answer_is_longer_than_its_request() {
    let limits = Limits {
        strangers: Some(server::Strangers {
            burst: 0,
            bytes_per_second: 0,
            ..server::Strangers::default()
        }),
        ..Limits::default()
    };
    let mut lab = Lab::new(quiet(limits));
    for (offset, method) in [(0, Method::BINDING), (1, Method::ALLOCATE), (2, Method::REFRESH)] {
        let (mut answered, mut withheld) = (0, 0);
        for len in 0..300u32 {
            let software = "s".repeat(len as usize);
            let mut request = Vec::new();
            MessageBuilder::request(&mut request, method, lab.id())
                .attribute(RequestedTransport::UDP)
                .attribute(Software(&software));
            // Each time another address, of which nothing is known.
            let from = SocketAddr::new(IpAddr::V4((0x0b00_0000 + 1_000 * offset + len).into()), 5_000);
            let path = FiveTuple::udp(addr("192.0.2.1:3478"), from);
            match lab.answer(path, &request) {
                Some(answer) => {
                    assert!(answer.len() <= request.len(), "{} for {}", answer.len(), request.len());
                    answered += 1;
                }
                None => withheld += 1,
            }
        }
        assert!(answered > 100 && withheld > 0, "{method:?}: {answered}, {withheld}");
    }
}

/// Does it often, after a tenth as often: whatever is allocated once is allocated by then. What the test itself keeps is forgotten.
#[cfg(target_os = "linux")]
fn takes_no_memory(what: &str, times: u32, lab: &mut Lab, mut once: impl FnMut(&mut Lab, u32)) {
    let mut run = |lab: &mut Lab, range: std::ops::Range<u32>| {
        for count in range {
            once(lab, count);
            lab.end.events.clear();
        }
    };
    run(lab, 0..times / 10);
    let before = resident_memory();
    run(lab, times / 10..times);
    let grown = resident_memory().saturating_sub(before);
    assert!(grown < 1 << 20, "{what}: {grown} bytes");
}

#[cfg(target_os = "linux")]
#[test]
fn no_abuse_makes_the_server_grow() {
    // Strangers, each at another address.
    let mut lab = Lab::new(server_config(1));
    let mut bare = Vec::new();
    MessageBuilder::request(&mut bare, Method::ALLOCATE, TransactionId([1; 12])).attribute(RequestedTransport::UDP);
    let mut binding = Vec::new();
    MessageBuilder::request(&mut binding, Method::BINDING, TransactionId([1; 12]));
    let from = |count: u32| {
        let from = SocketAddr::new(IpAddr::V4((0x0b00_0000 + count).into()), 5_000);
        FiveTuple::udp(addr("192.0.2.1:3478"), from)
    };
    takes_no_memory("strangers", 400_000, &mut lab, |lab, count| {
        lab.answer(from(count), &bare);
        lab.answer(from(count), &binding);
    });
    let stats = lab.end.server.stats();
    assert_eq!(
        (stats.bindings > 100_000, stats.challenges > 100_000),
        (true, true),
        "{stats:?}"
    );

    // Wrong credentials, and right ones for more than there may be.
    let limits = Limits {
        max_allocations: 10,
        ..Limits::default()
    };
    let mut lab = Lab::new(quiet(limits));
    let stranger = lab.client(1);
    let wrong = Who {
        key: Key::long_term_md5(USER, REALM, "guess"),
        ..stranger
    };
    takes_no_memory("wrong credentials", 50_000, &mut lab, |lab, _| {
        let request = lab.request(&wrong, Method::ALLOCATE, |m| {
            m.attribute(RequestedTransport::UDP);
        });
        let answer = lab.answer(wrong.path, &request).expect("a refusal");
        assert_eq!(outcome(&answer), Err(ErrorCode::UNAUTHENTICATED));
    });
    for port in 1..=10 {
        let who = lab.client(port);
        lab.allocate(&who).expect("an allocation");
    }
    takes_no_memory("allocation exhaustion", 50_000, &mut lab, |lab, count| {
        let who = lab.client_at(from(count));
        assert_eq!(lab.allocate(&who), Err(ErrorCode::INSUFFICIENT_CAPACITY));
    });
    assert_eq!(lab.end.server.stats().allocations, 10);

    // Peers that are forbidden, each another one; and more that are not than there may be.
    let who = lab.client(1);
    takes_no_memory("forbidden peers", 50_000, &mut lab, |lab, count| {
        let peer = SocketAddr::new(IpAddr::V4((0x0a00_0000 + count).into()), 7_000);
        let request = lab.request(&who, Method::CREATE_PERMISSION, |m| {
            m.attribute(XorPeerAddress(peer));
        });
        let answer = lab.answer(who.path, &request).expect("a refusal");
        assert_eq!(outcome(&answer), Err(ErrorCode::FORBIDDEN));
    });
    let mut refused = 0;
    takes_no_memory("permissions", 50_000, &mut lab, |lab, count| {
        let peer = SocketAddr::new(IpAddr::V4((0x0900_0000 + count).into()), 7_000);
        let request = lab.request(&who, Method::CREATE_PERMISSION, |m| {
            m.attribute(XorPeerAddress(peer));
        });
        let answer = lab.answer(who.path, &request).expect("an answer");
        refused += u32::from(outcome(&answer).is_err());
    });
    assert!(refused > 40_000, "{refused}");
}

#[test]
fn who_has_proved_an_address_is_answered_there() {
    let limits = Limits {
        strangers: Some(server::Strangers {
            burst: 1_000,
            bytes_per_second: 0,
            addresses: 16,
        }),
        ..Limits::default()
    };
    let mut lab = Lab::new(quiet(limits));
    for port in 1..100 {
        // Each is one challenge and one authentic request.
        let who = lab.client(port);
        lab.allocate(&who).expect("an allocation");
    }
    // Over TCP the handshake is the proof.
    let mut bare = Vec::new();
    MessageBuilder::request(&mut bare, Method::ALLOCATE, TransactionId([1; 12]));
    let mut answered = [0, 0];
    for count in 0..100 {
        for transport in [Transport::Udp, Transport::Tcp] {
            let remote = SocketAddr::new(addr("198.51.100.9:1").ip(), 1 + count);
            let path = FiveTuple {
                remote,
                transport,
                ..path().reversed()
            };
            answered[usize::from(transport == Transport::Tcp)] += usize::from(lab.answer(path, &bare).is_some());
        }
    }
    assert_eq!(answered[1], 100);
    assert!(answered[0] < 20, "{answered:?}");
}

#[test]
fn a_queue_that_nobody_empties_stays_short() {
    let limits = Limits {
        max_queued: 10,
        max_log: 20,
        ..Limits::default()
    };
    let mut lab = Lab::new(quiet(limits));
    let who = lab.client(5000);
    let relayed = lab.allocate(&who).expect("an allocation");
    lab.permit(&who, SILENT).expect("a permission");
    let refused = lab.request(&who, Method::CREATE_PERMISSION, |m| {
        m.attribute(XorPeerAddress(addr("127.0.0.1:1")));
    });
    let indication = send_indication(SILENT, b"x");
    let relay = lab.end.sockets[&relayed];
    for _ in 0..1_000 {
        for bytes in [&refused, &indication] {
            let datagram = Datagram {
                five_tuple: who.path,
                ecn: None,
                payload: BytesMut::from(&bytes[..]),
            };
            lab.end.server.handle_datagram(lab.now, datagram);
        }
        lab.end
            .server
            .handle_relayed(lab.now, relay, addr(SILENT), None, BytesMut::from(&b"y"[..]));
    }
    let stats = lab.end.server.stats();
    assert_eq!(stats.relayed.sent, 10);
    assert!(stats.overflowed >= 2_900 && stats.log_lost >= 900, "{stats:?}");
    assert_eq!(lab.sent().len(), 10);
}

#[test]
fn send_indications_that_make_no_sense_are_dropped() {
    let mut lab = Lab::new(server_config(1));
    let who = lab.client(5000);
    lab.allocate(&who).expect("an allocation");
    lab.permit(&who, SILENT).expect("a permission");
    let good = send_indication(SILENT, b"");
    assert_eq!(lab.relayed(&who, &good), [(addr(SILENT), vec![])]);
    let forms: [Form<'_>; 5] = [
        &|_| (),
        &|m| {
            m.attribute(XorPeerAddress(addr(SILENT)));
        },
        &|m| {
            m.attribute(Data(b"x"));
        },
        &|m| {
            m.attribute(XorPeerAddress(addr("9.9.9.8:0"))).attribute(Data(b"x"));
        },
        &|m| {
            m.attribute(XorPeerAddress(addr(SILENT)))
                .attribute(Data(b"x"))
                .attribute(DontFragment);
        },
    ];
    for form in forms {
        let mut out = Vec::new();
        form(&mut MessageBuilder::indication(
            &mut out,
            Method::SEND,
            TransactionId([1; 12]),
        ));
        assert!(lab.relayed(&who, &out).is_empty());
    }
    // From another five-tuple there is no allocation.
    let stranger = lab.client(5001);
    assert!(lab.relayed(&stranger, &good).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn any_message_of_a_stranger_allocates_nothing(
        class in prop::sample::select(vec![Class::Request, Class::Indication, Class::SuccessResponse, Class::ErrorResponse]),
        method in prop::sample::select(vec![
            Method::BINDING, Method::ALLOCATE, Method::REFRESH, Method::SEND, Method::DATA, Method::CREATE_PERMISSION,
            Method::CHANNEL_BIND, Method::CONNECT, Method::CONNECTION_BIND,
        ]),
        attributes in prop::collection::vec(
            (prop_oneof![0u16..0x30, any::<u16>()], prop::collection::vec(any::<u8>(), 0..40)), 0..8),
        password in prop::option::of("[a-z]{1,30}"),
        known in any::<bool>(),
    ) {
        let mut lab = Lab::new(server_config(1));
        let who = lab.client(5000);
        let mut out = Vec::new();
        let mut message = MessageBuilder::new(&mut out, class, method, TransactionId([1; 12]));
        if known {
            message.attribute(Username(USER)).attribute(Realm(REALM)).attribute(Nonce(&who.nonce));
        }
        for (kind, value) in &attributes {
            message.raw(peerline_stun::RawAttribute { kind: AttributeType(*kind), value });
        }
        if let Some(password) = password {
            message.integrity(&Key::long_term_md5(USER, REALM, &password));
        }
        let answer = lab.answer(who.path, &out);
        if let Some(answer) = answer {
            prop_assert!(answer.len() <= out.len().max(20) + 200);
            prop_assert!(method == Method::BINDING || outcome(&answer).is_err());
        }
        prop_assert_eq!(lab.end.server.stats().allocations, 0);
        prop_assert!(lab.end.sockets.is_empty());
        prop_assert_eq!(lab.end.server.poll_timeout(), None);
    }

    /// Whoever has credentials can do no harm by requests of any form either.
    #[test]
    fn any_authentic_request_is_survived(
        requests in prop::collection::vec((
            prop::sample::select(vec![
                Method::ALLOCATE, Method::REFRESH, Method::CREATE_PERMISSION, Method::CHANNEL_BIND, Method::CONNECT,
                Method::CONNECTION_BIND,
            ]),
            prop::collection::vec((
                prop::sample::select(vec![0x0cu16, 0x0d, 0x12, 0x17, 0x18, 0x19, 0x1a, 0x22, 0x2a, 0x8000]),
                prop::collection::vec(any::<u8>(), 0..9),
            ), 0..5),
        ), 0..20),
    ) {
        let mut lab = Lab::new(server::Config { tcp_relays: true, dont_fragment: true, ..server_config(1) });
        let who = lab.client(5000);
        lab.allocate(&who).expect("an allocation");
        for (method, attributes) in requests {
            let request = lab.request(&who, method, |message| {
                for (kind, value) in &attributes {
                    message.raw(peerline_stun::RawAttribute { kind: AttributeType(*kind), value });
                }
            });
            let answer = lab.answer(who.path, &request);
            prop_assert!(answer.is_none_or(|answer| Message::parse(&answer).unwrap().verify(&who.key).is_ok()));
            lab.now += Duration::from_secs(7);
        }
        lab.now += Duration::from_secs(4_000);
        let now = lab.now;
        lab.end.handle_timeout(now);
        lab.end.work(now);
        prop_assert_eq!(lab.end.server.stats().allocations, 0);
        prop_assert!(lab.end.sockets.is_empty());
    }
}

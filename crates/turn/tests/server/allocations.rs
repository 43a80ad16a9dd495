//! Allocations, permissions and channels, and requests for them that make no sense.

use std::time::Duration;

use peerline_stun::attribute::{
    AddressFamily, Data, DontFragment, ErrorCode, EvenPort, Icmp, Lifetime, RequestedAddressFamily, RequestedTransport,
    Software, UnknownAttributes, XorPeerAddress,
};
use peerline_stun::{Attribute, ChannelData, ChannelNumber, Class, Integrity, Key, Message, Method};
use peerline_turn::server::{self, Log, RefusalReason};

use crate::common::*;
use crate::{Form, Lab, Who, send_indication};

#[test]
fn allocate_requests_that_make_no_sense() {
    let both = RequestedAddressFamily(AddressFamily::IPV6);
    let forms: [(Form<'_>, ErrorCode); 7] = [
        (&|_| (), ErrorCode::BAD_REQUEST),
        (
            &|m| {
                m.attribute(RequestedTransport(33));
            },
            ErrorCode::UNSUPPORTED_TRANSPORT_PROTOCOL,
        ),
        (
            &|m| {
                m.attribute(RequestedTransport::TCP);
            },
            ErrorCode::UNSUPPORTED_TRANSPORT_PROTOCOL,
        ),
        (
            &|m| {
                m.attribute(RequestedTransport::UDP).attribute(DontFragment);
            },
            ErrorCode::UNKNOWN_ATTRIBUTE,
        ),
        (
            &|m| {
                m.attribute(RequestedTransport::UDP)
                    .attribute(peerline_stun::attribute::ReservationToken([1; 8]))
                    .attribute(EvenPort { reserve_next: false });
            },
            ErrorCode::BAD_REQUEST,
        ),
        (
            &|m| {
                m.attribute(RequestedTransport::UDP)
                    .attribute(both)
                    .attribute(peerline_stun::attribute::AdditionalAddressFamily(AddressFamily::IPV6));
            },
            ErrorCode::BAD_REQUEST,
        ),
        (
            &|m| {
                m.attribute(RequestedTransport::UDP)
                    .attribute(peerline_stun::attribute::ReservationToken([1; 8]));
            },
            ErrorCode::INSUFFICIENT_CAPACITY,
        ),
    ];
    let mut lab = Lab::new(server_config(1));
    let who = lab.client(5000);
    for (form, expected) in forms {
        let asked = lab.ask(&who, Method::ALLOCATE, |request| form(request));
        assert_eq!(asked, Err(expected));
    }
    // The response to an unknown attribute names it.
    let request = lab.request(&who, Method::ALLOCATE, |m| {
        m.attribute(RequestedTransport::UDP).attribute(DontFragment);
    });
    let answer = lab.answer(who.path, &request).expect("an answer");
    let unknown = Message::parse(&answer)
        .unwrap()
        .get::<UnknownAttributes<'_>>()
        .unwrap()
        .expect("a list");
    assert!(unknown.iter().eq([DontFragment::TYPE]));
}

#[test]
fn a_five_tuple_has_one_allocation_and_a_request_come_again_is_the_same() {
    let mut lab = Lab::new(server::Config {
        software: Some("peerline".into()),
        ..server_config(1)
    });
    let who = lab.client(5000);
    assert_eq!(lab.permit(&who, SILENT), Err(ErrorCode::ALLOCATION_MISMATCH));
    let request = lab.request(&who, Method::ALLOCATE, |request| {
        request.attribute(RequestedTransport::UDP).attribute(Lifetime(100));
    });
    let first = lab.answer(who.path, &request).expect("an answer");
    let again = lab.answer(who.path, &request).expect("an answer");
    assert_eq!(first, again);
    let message = Message::parse(&first).unwrap();
    assert_eq!(message.verify(&who.key), Ok(Integrity::Sha1));
    assert_eq!(message.get(), Ok(Some(Software("peerline"))));
    // Less than the default is the default; more than the most is the most.
    assert_eq!(message.get(), Ok(Some(Lifetime(600))));
    assert_eq!(lab.allocate(&who), Err(ErrorCode::ALLOCATION_MISMATCH));
    let refreshed = lab
        .ask(&who, Method::REFRESH, |m| {
            m.attribute(Lifetime(u32::MAX));
        })
        .expect("a success");
    assert_eq!(Message::parse(&refreshed).unwrap().get(), Ok(Some(Lifetime(3_600))));
    let family = RequestedAddressFamily(AddressFamily::IPV6);
    let mismatched = lab.ask(&who, Method::REFRESH, |m| {
        m.attribute(family);
    });
    assert_eq!(mismatched, Err(ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH));
    // Another user on the same five-tuple does not get hold of it.
    let thief = Who {
        username: "bob".into(),
        key: Key::long_term_md5("bob", REALM, "builder"),
        ..who.clone()
    };
    let stolen = lab.ask(&thief, Method::REFRESH, |m| {
        m.attribute(Lifetime(0));
    });
    assert_eq!(stolen, Err(ErrorCode::WRONG_CREDENTIALS));
    let deleted = lab
        .ask(&who, Method::REFRESH, |m| {
            m.attribute(Lifetime(0));
        })
        .expect("a success");
    assert_eq!(Message::parse(&deleted).unwrap().get(), Ok(Some(Lifetime(0))));
    assert_eq!(
        lab.ask(&who, Method::REFRESH, |_| ()),
        Err(ErrorCode::ALLOCATION_MISMATCH)
    );
}

#[test]
fn forbidden_peers_are_refused_in_every_disguise() {
    let mut lab = Lab::new(server_config(1));
    let who = lab.client(5000);
    let asked = lab.ask(&who, Method::ALLOCATE, |m| {
        m.attribute(RequestedTransport::UDP)
            .attribute(peerline_stun::attribute::AdditionalAddressFamily(AddressFamily::IPV6));
    });
    asked.expect("both families");
    let forbidden = [
        "127.0.0.1:80",
        "0.0.0.0:80",
        "10.0.0.1:80",
        "172.20.0.1:80",
        "192.168.1.1:80",
        "169.254.169.254:80",
        "169.254.1.1:80",
        "100.64.0.1:80",
        "224.0.0.1:80",
        "255.255.255.255:80",
        "[::]:80",
        "[::1]:80",
        "[fe80::1]:80",
        "[fd00:ec2::254]:80",
        "[fc00::1]:80",
        "[ff02::1]:80",
        "[::ffff:127.0.0.1]:80",
        "[::ffff:8.8.8.8]:80",
        "[64:ff9b::7f00:1]:80",
        "[64:ff9b::a9fe:a9fe]:80",
        "[64:ff9b:1::1]:80",
        "[2002:7f00:1::]:80",
        "[::7f00:1]:80",
    ];
    for (count, peer) in forbidden.into_iter().enumerate() {
        assert_eq!(lab.permit(&who, peer), Err(ErrorCode::FORBIDDEN), "{peer}");
        let number = 0x4000 + u16::try_from(count).unwrap();
        assert_eq!(lab.bind(&who, number, peer), Err(ErrorCode::FORBIDDEN), "{peer}");
        // Among others that are not.
        let together = lab.ask(&who, Method::CREATE_PERMISSION, |m| {
            m.attribute(XorPeerAddress(addr(SILENT)))
                .attribute(XorPeerAddress(addr(peer)));
        });
        assert_eq!(together, Err(ErrorCode::FORBIDDEN));
        assert!(lab.relayed(&who, &send_indication(peer, b"GET /")).is_empty(), "{peer}");
    }
    // None of them left a permission, nor what was asked for together with them.
    assert!(lab.relayed(&who, &send_indication(SILENT, b"x")).is_empty());
    let stats = lab.end.server.stats();
    assert_eq!(stats.peers_refused, 3 * forbidden.len() as u64);
    assert_eq!(stats.relayed.sent, 0);
    let reasons = lab.end.logs().filter(|log| {
        matches!(
            log,
            Log::Refused {
                reason: RefusalReason::Peer(..),
                ..
            }
        )
    });
    assert_eq!(reasons.count(), 3 * forbidden.len());
}

#[test]
fn channels_do_not_change_their_peer_nor_peers_their_channel() {
    let mut lab = Lab::new(server::Config {
        rfc5766_channels: false,
        ..server_config(1)
    });
    let who = lab.client(5000);
    lab.allocate(&who).expect("an allocation");
    assert_eq!(lab.bind(&who, 0x4000, SILENT), Ok(()));
    assert_eq!(lab.bind(&who, 0x4000, SILENT), Ok(()));
    assert_eq!(lab.bind(&who, 0x4000, "9.9.9.7:9"), Err(ErrorCode::BAD_REQUEST));
    assert_eq!(lab.bind(&who, 0x4001, SILENT), Err(ErrorCode::BAD_REQUEST));
    // The same address with another port is another peer.
    assert_eq!(lab.bind(&who, 0x4001, "9.9.9.8:10"), Ok(()));
    for number in [0x3FFF, 0x5000, 0x7FFF, 0xFFFF] {
        assert_eq!(lab.bind(&who, number, "9.9.9.7:9"), Err(ErrorCode::BAD_REQUEST));
    }
    assert_eq!(lab.bind(&who, 0x4002, "9.9.9.7:0"), Err(ErrorCode::BAD_REQUEST));
    let mut data = Vec::new();
    ChannelData {
        channel: ChannelNumber(0x4001),
        data: b"hello",
    }
    .encode(&mut data);
    assert_eq!(lab.relayed(&who, &data), [(addr("9.9.9.8:10"), b"hello".to_vec())]);
    data[1] = 2;
    assert!(lab.relayed(&who, &data).is_empty());
    // Once expired, they may.
    lab.now += Duration::from_secs(590);
    lab.ask(&who, Method::REFRESH, |_| ()).expect("a refresh");
    lab.now += Duration::from_secs(11);
    data[1] = 1;
    assert!(lab.relayed(&who, &data).is_empty());
    assert_eq!(lab.bind(&who, 0x4000, "9.9.9.8:10"), Ok(()));
    assert_eq!(lab.bind(&who, 0x4001, SILENT), Ok(()));
    data[1] = 0;
    assert_eq!(lab.relayed(&who, &data), [(addr("9.9.9.8:10"), b"hello".to_vec())]);
}

#[test]
fn clients_from_before_rfc_8656_may_take_other_numbers() {
    let mut lab = Lab::new(server_config(1));
    let who = lab.client(5000);
    lab.allocate(&who).expect("an allocation");
    assert_eq!(lab.bind(&who, 0x7FFF, SILENT), Ok(()));
    let relayed = lab.relayed(&who, b"\x7f\xff\x00\x05hello");
    assert_eq!(relayed, [(addr(SILENT), b"hello".to_vec())]);
    for number in [0x3FFF, 0x8000, 0xFFFF] {
        assert_eq!(lab.bind(&who, number, "9.9.9.7:9"), Err(ErrorCode::BAD_REQUEST));
    }
}

#[test]
fn peers_are_heard_while_they_are_permitted_and_no_longer() {
    let mut lab = Lab::new(server_config(1));
    let who = lab.client(5000);
    let relayed = lab.allocate(&who).expect("an allocation");
    let heard = |lab: &mut Lab, from: &str, payload: &[u8]| {
        let now = lab.now;
        lab.end.peer_sends(now, addr(from), relayed, payload);
        lab.sent().pop().map(|(_, bytes)| bytes)
    };
    assert_eq!(heard(&mut lab, SILENT, b"x"), None);
    lab.permit(&who, SILENT).expect("a permission");
    // Addresses are permitted, not ports.
    let indication = heard(&mut lab, "9.9.9.8:1000", b"hello").expect("an indication");
    let message = Message::parse(&indication).unwrap();
    assert_eq!((message.class(), message.method()), (Class::Indication, Method::DATA));
    assert_eq!(message.get(), Ok(Some(XorPeerAddress(addr("9.9.9.8:1000")))));
    assert_eq!(message.get(), Ok(Some(Data(b"hello"))));
    lab.bind(&who, 0x4007, SILENT).expect("a channel");
    assert_eq!(
        heard(&mut lab, SILENT, b"hello"),
        Some(b"\x40\x07\x00\x05hello".to_vec())
    );
    assert_eq!(heard(&mut lab, SILENT, b""), Some(b"\x40\x07\x00\x00".to_vec()));
    // What routers say comes as an indication even so.
    let (now, relay) = (lab.now, lab.end.sockets[&relayed]);
    for (kind, interesting) in [(3, true), (11, true), (5, false), (8, false)] {
        let icmp = Icmp {
            kind,
            code: 4,
            data: 1_300,
        };
        lab.end.server.handle_icmp(now, relay, addr(SILENT), icmp);
        lab.end.server.handle_icmp(now, relay, addr("9.9.9.7:1"), icmp);
        let sent = lab.sent();
        assert_eq!(sent.len(), usize::from(interesting));
        if let Some((_, bytes)) = sent.first() {
            assert_eq!(Message::parse(bytes).unwrap().get(), Ok(Some(icmp)));
        }
    }
    lab.now += Duration::from_secs(299);
    assert!(heard(&mut lab, SILENT, b"hello").is_some());
    lab.now += Duration::from_secs(1);
    assert_eq!(heard(&mut lab, SILENT, b"hello"), None);
}

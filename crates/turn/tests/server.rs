//! The server under requests made by hand: what is wrong with them, and what abuse comes to.

mod common;

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use common::*;
use peerline_sim::{Machine, epoch};
use peerline_stun::attribute::{AddressFamily, DontFragment};
use peerline_stun::attribute::{
    AlternateDomain, AlternateServer, ChangeRequest, Data, ErrorCode, EvenPort, Icmp, Lifetime, Nonce,
    PasswordAlgorithm, PasswordAlgorithms, Realm, RequestedAddressFamily, RequestedTransport, Software,
    UnknownAttributes, Username, XorMappedAddress, XorPeerAddress, XorRelayedAddress,
};
use peerline_stun::{
    Attribute, AttributeType, ChannelData, ChannelNumber, Class, Integrity, Key, Message, MessageBuilder, Method,
    TransactionId,
};
use peerline_turn::server::{self, Limits, Log, RefusalReason};
use peerline_wire::{Datagram, FiveTuple, Transport};
use proptest::prelude::*;

/// What is added to a message.
type Form<'f> = &'f dyn Fn(&mut MessageBuilder<'_>);

/// A server, and clients whose messages the test writes.
struct Lab {
    end: ServerEnd,
    now: Instant,
    next_id: u64,
}

/// A client as its requests show it.
#[derive(Clone)]
struct Who {
    path: FiveTuple,
    username: String,
    key: Key,
    nonce: Vec<u8>,
}

impl Lab {
    fn new(config: server::Config) -> Self {
        Self {
            end: ServerEnd::new(config),
            now: epoch(),
            next_id: 0,
        }
    }

    fn id(&mut self) -> TransactionId {
        self.next_id += 1;
        let mut id = [0; 12];
        id[4..].copy_from_slice(&self.next_id.to_be_bytes());
        TransactionId(id)
    }

    /// What the server sends, by the path it is sent on.
    fn sent(&mut self) -> Vec<(FiveTuple, Vec<u8>)> {
        let mut sent = Vec::new();
        let mut out = Vec::new();
        while let Some(transmit) = self.end.poll_transmit(self.now, &mut out) {
            sent.push((transmit.five_tuple, std::mem::take(&mut out)));
        }
        sent
    }

    /// The only answer to this message.
    fn answer(&mut self, path: FiveTuple, bytes: &[u8]) -> Option<Vec<u8>> {
        let payload = BytesMut::from(bytes);
        let datagram = Datagram {
            five_tuple: path,
            ecn: None,
            payload,
        };
        self.end.handle_datagram(self.now, datagram);
        let mut sent = self.sent();
        assert!(sent.len() <= 1);
        let (to, answer) = sent.pop()?;
        assert_eq!(to, path);
        Some(answer)
    }

    /// A client at this port that knows the nonce.
    fn client(&mut self, port: u16) -> Who {
        let mut path = path().reversed();
        path.remote.set_port(port);
        self.client_at(path)
    }

    fn client_at(&mut self, path: FiveTuple) -> Who {
        let mut out = Vec::new();
        MessageBuilder::request(&mut out, Method::ALLOCATE, self.id()).attribute(RequestedTransport::UDP);
        let answer = self.answer(path, &out).expect("a challenge");
        let message = Message::parse(&answer).expect("a message");
        let Ok(Some(Nonce(nonce))) = message.get() else {
            panic!("a nonce")
        };
        Who {
            path,
            username: USER.to_owned(),
            key: Key::long_term_md5(USER, REALM, PASSWORD),
            nonce: nonce.to_vec(),
        }
    }

    fn request(&mut self, who: &Who, method: Method, fill: impl FnOnce(&mut MessageBuilder<'_>)) -> Vec<u8> {
        let mut out = Vec::new();
        let mut request = MessageBuilder::request(&mut out, method, self.id());
        fill(&mut request);
        request
            .attribute(Username(&who.username))
            .attribute(Realm(REALM))
            .attribute(Nonce(&who.nonce))
            .integrity(&who.key);
        out
    }

    /// Asks, and says what came of it.
    fn ask(
        &mut self,
        who: &Who,
        method: Method,
        fill: impl FnOnce(&mut MessageBuilder<'_>),
    ) -> Result<Vec<u8>, ErrorCode> {
        let request = self.request(who, method, fill);
        let answer = self.answer(who.path, &request).expect("an answer");
        outcome(&answer)
    }

    fn allocate(&mut self, who: &Who) -> Result<SocketAddr, ErrorCode> {
        let answer = self.ask(who, Method::ALLOCATE, |request| {
            request.attribute(RequestedTransport::UDP);
        })?;
        let Ok(Some(XorRelayedAddress(relayed))) = Message::parse(&answer).expect("a message").get() else {
            panic!("a relayed address")
        };
        Ok(relayed)
    }

    fn permit(&mut self, who: &Who, peer: &str) -> Result<(), ErrorCode> {
        let peer = addr(peer);
        let asked = self.ask(who, Method::CREATE_PERMISSION, |request| {
            request.attribute(XorPeerAddress(peer));
        });
        asked.map(|_| ())
    }

    fn bind(&mut self, who: &Who, number: u16, peer: &str) -> Result<(), ErrorCode> {
        let peer = addr(peer);
        let asked = self.ask(who, Method::CHANNEL_BIND, |request| {
            request.attribute(ChannelNumber(number)).attribute(XorPeerAddress(peer));
        });
        asked.map(|_| ())
    }

    /// What peers are sent because of this message.
    fn relayed(&mut self, who: &Who, bytes: &[u8]) -> Vec<(SocketAddr, Vec<u8>)> {
        assert_eq!(self.answer(who.path, bytes), None);
        self.end.work(self.now);
        let delivered = std::mem::take(&mut self.end.delivered);
        delivered.into_iter().map(|(_, to, payload)| (to, payload)).collect()
    }
}

fn outcome(answer: &[u8]) -> Result<Vec<u8>, ErrorCode> {
    let message = Message::parse(answer).expect("a message");
    match message.class() {
        Class::SuccessResponse => Ok(answer.to_vec()),
        _ => Err(message.error().expect("an error").code),
    }
}

fn send_indication(peer: &str, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    MessageBuilder::indication(&mut out, Method::SEND, TransactionId([9; 12]))
        .attribute(XorPeerAddress(addr(peer)))
        .attribute(Data(data));
    out
}

fn quiet(limits: Limits) -> server::Config {
    server::Config {
        limits,
        ..server_config(1)
    }
}

#[test]
fn binding_requests_are_answered() {
    let mut lab = Lab::new(server_config(1));
    for (path, mapped) in [
        (path().reversed(), "198.51.100.7:5000"),
        (
            FiveTuple::udp(addr("[2001:db8::1]:3478"), addr("[2001:db8::2]:5000")),
            "[2001:db8::2]:5000",
        ),
        (tcp_path().reversed(), "198.51.100.7:5000"),
    ] {
        let mut out = Vec::new();
        MessageBuilder::request(&mut out, Method::BINDING, TransactionId([1; 12]));
        let answer = lab.answer(path, &out).expect("an answer");
        let message = Message::parse(&answer).unwrap();
        assert!(message.answers(&Message::parse(&out).unwrap()));
        assert_eq!(message.get(), Ok(Some(XorMappedAddress(addr(mapped)))));
        assert!(!message.contains(AttributeType::FINGERPRINT));
    }
    let mut out = Vec::new();
    MessageBuilder::request(&mut out, Method::BINDING, TransactionId([1; 12])).fingerprint();
    let answer = lab.answer(path().reversed(), &out).expect("an answer");
    assert!(Message::parse(&answer).unwrap().verify_fingerprint().is_ok());
    out[24] ^= 1;
    assert_eq!(lab.answer(path().reversed(), &out), None);
    // Behaviour discovery is not offered.
    let mut out = Vec::new();
    MessageBuilder::request(&mut out, Method::BINDING, TransactionId([1; 12])).attribute(ChangeRequest {
        change_ip: true,
        change_port: false,
    });
    let answer = lab.answer(path().reversed(), &out).expect("an answer");
    let message = Message::parse(&answer).unwrap();
    assert_eq!(
        message.error().map(|error| error.code),
        Some(ErrorCode::UNKNOWN_ATTRIBUTE)
    );
    assert_eq!(lab.end.server.stats().bindings, 4);
}

#[test]
fn requests_without_all_of_a_credential_are_told_what_is_missing() {
    let mut lab = Lab::new(server_config(1));
    let who = lab.client(5000);
    let forms: [(Form<'_>, ErrorCode); 6] = [
        (&|_| (), ErrorCode::UNAUTHENTICATED),
        (
            &|m| {
                m.attribute(Username(USER)).attribute(Realm(REALM)).integrity(&who.key);
            },
            ErrorCode::BAD_REQUEST,
        ),
        (
            &|m| {
                m.attribute(Username(USER))
                    .attribute(Nonce(&who.nonce))
                    .integrity(&who.key);
            },
            ErrorCode::BAD_REQUEST,
        ),
        (
            &|m| {
                m.attribute(Realm(REALM))
                    .attribute(Nonce(&who.nonce))
                    .integrity(&who.key);
            },
            ErrorCode::BAD_REQUEST,
        ),
        (
            &|m| {
                m.attribute(Username(USER))
                    .attribute(Realm("elsewhere"))
                    .attribute(Nonce(&who.nonce))
                    .integrity(&who.key);
            },
            ErrorCode::UNAUTHENTICATED,
        ),
        (
            &|m| {
                m.attribute(Username(USER))
                    .attribute(Realm(REALM))
                    .attribute(Nonce(b"made up"))
                    .integrity(&who.key);
            },
            ErrorCode::STALE_NONCE,
        ),
    ];
    for (form, expected) in forms {
        let id = lab.id();
        let mut out = Vec::new();
        let mut request = MessageBuilder::request(&mut out, Method::ALLOCATE, id);
        request.attribute(RequestedTransport::UDP);
        form(&mut request);
        let answer = lab.answer(who.path, &out).expect("an answer");
        assert_eq!(outcome(&answer), Err(expected));
        let message = Message::parse(&answer).unwrap();
        assert_eq!(
            message.contains(AttributeType::NONCE),
            expected != ErrorCode::BAD_REQUEST
        );
        assert!(!message.contains(AttributeType::SOFTWARE) && !message.contains(AttributeType::MESSAGE_INTEGRITY));
    }
    assert_eq!(lab.end.server.stats().allocations, 0);
}

#[test]
fn clients_beyond_the_first_are_sent_to_another_server() {
    let elsewhere = addr("192.0.2.2:3478");
    let redirect = server::Redirect {
        to: vec![elsewhere, addr("[2001:db8::2]:3478")],
        domain: Some("other.example.org".to_owned()),
        from_allocations: 1,
    };
    let mut lab = Lab::new(server::Config {
        redirect: Some(redirect),
        ..server_config(1)
    });
    let (first, second) = (lab.client(5000), lab.client(5001));
    assert!(lab.allocate(&first).is_ok());
    let request = lab.request(&second, Method::ALLOCATE, |request| {
        request.attribute(RequestedTransport::UDP);
    });
    let answer = lab.answer(second.path, &request).expect("an answer");
    let message = Message::parse(&answer).unwrap();
    assert_eq!(outcome(&answer), Err(ErrorCode::TRY_ALTERNATE));
    assert!(message.verify(&second.key).is_ok());
    assert_eq!(message.get(), Ok(Some(AlternateServer(elsewhere))));
    assert_eq!(
        message.get_all::<AlternateServer>().count(),
        1,
        "of its own family alone"
    );
    assert_eq!(message.get(), Ok(Some(AlternateDomain("other.example.org"))));
    // Who is here stays.
    assert!(lab.permit(&first, "9.9.9.9:7").is_ok());
}

#[test]
fn a_nonce_of_another_client_is_stale() {
    let mut lab = Lab::new(server_config(1));
    let (one, other) = (lab.client(5000), lab.client(5001));
    let thief = Who {
        nonce: other.nonce,
        ..one
    };
    assert_eq!(lab.allocate(&thief), Err(ErrorCode::STALE_NONCE));
}

#[test]
fn algorithms_that_were_tampered_with_are_refused() {
    let mut lab = Lab::new(server_config(1));
    let who = lab.client(5000);
    let key = Key::long_term_sha256(USER, REALM, PASSWORD);
    let ours = [PasswordAlgorithm::SHA256, PasswordAlgorithm::MD5];
    let forms: [(&[PasswordAlgorithm<'_>], Option<PasswordAlgorithm<'_>>); 4] = [
        (&ours, None),
        (&ours[1..], Some(PasswordAlgorithm::MD5)),
        (
            &[PasswordAlgorithm::MD5, PasswordAlgorithm::SHA256],
            Some(PasswordAlgorithm::SHA256),
        ),
        (&ours, Some(PasswordAlgorithm::SHA256)),
    ];
    for (count, (list, chosen)) in forms.into_iter().enumerate() {
        let id = lab.id();
        let mut out = Vec::new();
        let mut request = MessageBuilder::request(&mut out, Method::ALLOCATE, id);
        request
            .attribute(RequestedTransport::UDP)
            .attribute(Username(USER))
            .attribute(Realm(REALM));
        request
            .attribute(Nonce(&who.nonce))
            .attribute(PasswordAlgorithms::new(list));
        if let Some(chosen) = chosen {
            request.attribute(chosen);
        }
        request.integrity_sha256(&key);
        let answer = lab.answer(who.path, &out).expect("an answer");
        match count {
            3 => assert_eq!(Message::parse(&answer).unwrap().verify(&key), Ok(Integrity::Sha256)),
            _ => assert_eq!(outcome(&answer), Err(ErrorCode::BAD_REQUEST)),
        }
    }
}

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

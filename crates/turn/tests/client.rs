//! The client against a server that the test plays by hand.

mod common;

use common::*;
use peerline_stun::attribute::{
    AdditionalAddressFamily, AddressFamily, AlternateServer, ConnectionId, Data, DontFragment, ErrorCode, Icmp,
    Lifetime, Nonce, PasswordAlgorithm, PasswordAlgorithms, Realm, RequestedAddressFamily, RequestedTransport,
    SecurityFeatures, UnknownAttributes, UserHash, Username, XorMappedAddress, XorPeerAddress, XorRelayedAddress,
};
use peerline_stun::{
    Attribute, AttributeType, ChannelNumber, Integrity, Key, Message, MessageBuilder, Method, TransactionId,
};
use peerline_turn::client::{Allocated, CloseReason, Config, Event, Failure, Families, Retry};
use peerline_turn::{CommandError, Credentials};

const RELAYED: &str = "203.0.113.5:50000";
const MAPPED: &str = "198.51.100.99:1234";
const PEER: &str = "192.0.2.200:7000";

fn allocated(config: Config) -> Puppet {
    let mut puppet = Puppet::new(config);
    let first = puppet.request();
    puppet.challenge(&first, ErrorCode::UNAUTHENTICATED, "nonce");
    let request = puppet.request();
    puppet.succeed(&request, grant);
    assert!(matches!(puppet.events()[..], [Event::Allocated(_)]));
    puppet
}

fn grant(response: &mut MessageBuilder<'_>) {
    response
        .attribute(XorRelayedAddress(addr(RELAYED)))
        .attribute(XorMappedAddress(addr(MAPPED)))
        .attribute(Lifetime(600));
}

/// An allocation with a permission for the peer.
fn permitted() -> Puppet {
    let mut puppet = allocated(config());
    puppet.client.create_permission(puppet.now, addr(PEER).ip()).unwrap();
    let request = puppet.request();
    puppet.succeed(&request, |_| ());
    assert_eq!(puppet.events(), [Event::PermissionCreated(addr(PEER).ip())]);
    puppet
}

fn method(bytes: &[u8]) -> Method {
    Message::parse(bytes).expect("a message").method()
}

#[test]
fn an_allocation_is_made_with_the_credentials_that_the_server_asks_for() {
    let mut puppet = Puppet::new(config());
    let first = puppet.request();
    let message = Message::parse(&first).unwrap();
    assert_eq!(message.method(), Method::ALLOCATE);
    assert_eq!(message.get(), Ok(Some(RequestedTransport::UDP)));
    assert!(!message.contains(AttributeType::USERNAME) && !message.contains(AttributeType::MESSAGE_INTEGRITY));
    puppet.challenge(&first, ErrorCode::UNAUTHENTICATED, "a nonce");

    let second = puppet.request();
    let message = Message::parse(&second).unwrap();
    assert_ne!(
        message.transaction_id(),
        Message::parse(&first).unwrap().transaction_id()
    );
    assert_eq!(message.get(), Ok(Some(Username(USER))));
    assert_eq!(message.get(), Ok(Some(Realm(REALM))));
    assert_eq!(message.get(), Ok(Some(Nonce(b"a nonce"))));
    assert_eq!(message.verify(&puppet.key), Ok(Integrity::Sha1));
    puppet.succeed(&second, grant);
    assert_eq!(
        puppet.events(),
        [Event::Allocated(Allocated {
            relayed: vec![addr(RELAYED)],
            mapped: addr(MAPPED),
            lifetime: seconds(600),
            reservation_token: None,
            missing_family: None,
            dont_fragment: false,
        })]
    );
}

#[test]
fn the_first_algorithm_that_both_know_makes_the_key() {
    let list = [
        PasswordAlgorithm {
            algorithm: peerline_stun::Algorithm(7),
            parameters: b"?",
        },
        PasswordAlgorithm::SHA256,
        PasswordAlgorithm::MD5,
    ];
    for (features, names_hashed) in [
        (SecurityFeatures::PASSWORD_ALGORITHMS, false),
        (
            SecurityFeatures::PASSWORD_ALGORITHMS.union(SecurityFeatures::USERNAME_ANONYMITY),
            true,
        ),
    ] {
        let mut puppet = Puppet::new(config());
        let first = puppet.request();
        let mut out = Vec::new();
        MessageBuilder::error(&mut out, &Message::parse(&first).unwrap(), ErrorCode::UNAUTHENTICATED)
            .attribute(Realm(REALM))
            .attribute(Nonce(&features.cookie()))
            .attribute(PasswordAlgorithms::new(&list));
        puppet.receive(&out);

        let second = puppet.request();
        let message = Message::parse(&second).unwrap();
        assert_eq!(message.get(), Ok(Some(PasswordAlgorithms::new(&list))));
        assert_eq!(message.get(), Ok(Some(PasswordAlgorithm::SHA256)));
        let key = Key::long_term_sha256(USER, REALM, PASSWORD);
        assert_eq!(message.verify(&key), Ok(Integrity::Sha256));
        assert_eq!(message.contains(AttributeType::USERNAME), !names_hashed);
        let hash = names_hashed.then(|| UserHash::new(USER, REALM));
        assert_eq!(message.get(), Ok(hash));

        // A response with the weaker integrity is none.
        puppet.key = key.clone();
        puppet.succeed(&second, grant);
        assert_eq!((puppet.events(), puppet.client.stats().unauthenticated), (vec![], 1));
        let mut out = Vec::new();
        let mut response = MessageBuilder::success(&mut out, &message);
        grant(&mut response);
        response.integrity_sha256(&key);
        puppet.receive(&out);
        assert!(matches!(puppet.events()[..], [Event::Allocated(_)]));
    }
}

#[test]
fn a_challenge_from_which_the_algorithms_were_taken_is_not_met() {
    let mut puppet = Puppet::new(config());
    let first = puppet.request();
    let nonce = SecurityFeatures::PASSWORD_ALGORITHMS.cookie();
    puppet.challenge(&first, ErrorCode::UNAUTHENTICATED, std::str::from_utf8(&nonce).unwrap());
    assert_eq!(puppet.events(), [Event::Closed(CloseReason::BadResponse)]);
    assert!(puppet.sent().is_empty() && puppet.client.poll_timeout().is_none());
}

#[test]
fn requests_are_sent_seven_times_over_udp_and_once_over_a_stream() {
    let mut puppet = Puppet::new(config());
    let begin = puppet.now;
    let mut times = Vec::new();
    while !puppet.client.is_closed() {
        times.extend(puppet.sent().iter().map(|_| (puppet.now - begin).as_millis()));
        puppet.now = puppet.client.poll_timeout().unwrap_or(puppet.now);
    }
    assert_eq!(times, [0, 500, 1_500, 3_500, 7_500, 15_500, 31_500]);
    assert_eq!((puppet.now - begin).as_millis(), 39_500);
    assert_eq!(puppet.events(), [Event::Closed(CloseReason::TimedOut)]);
    assert_eq!(CloseReason::TimedOut.retry(), Retry::Otherwise);

    let mut puppet = Puppet::new(Config::new(tcp_path(), credentials()));
    puppet.request();
    assert_eq!(
        puppet.client.poll_timeout(),
        Some(puppet.now + std::time::Duration::from_millis(39_500))
    );
}

#[test]
fn refusals_say_what_to_do_next() {
    for (code, retry) in [
        (ErrorCode::ALLOCATION_MISMATCH, Retry::FreshPort),
        (ErrorCode::ALLOCATION_QUOTA_REACHED, Retry::After(seconds(60))),
        (ErrorCode::INSUFFICIENT_CAPACITY, Retry::After(seconds(60))),
        (ErrorCode::UNSUPPORTED_TRANSPORT_PROTOCOL, Retry::Never),
        (ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED, Retry::Never),
        (ErrorCode::FORBIDDEN, Retry::Never),
    ] {
        let mut puppet = Puppet::new(config());
        let first = puppet.request();
        puppet.challenge(&first, ErrorCode::UNAUTHENTICATED, "nonce");
        let second = puppet.request();
        puppet.fail(&second, code);
        let [Event::Closed(reason)] = &puppet.events()[..] else {
            panic!("{code:?}");
        };
        assert_eq!(
            reason,
            &CloseReason::Refused {
                code,
                reason: code.reason().into()
            }
        );
        assert_eq!(reason.retry(), retry);
        assert!(puppet.sent().is_empty());
    }
    // Wrong credentials: refused twice, not asked a third time.
    let mut puppet = Puppet::new(config());
    for _ in 0..2 {
        let request = puppet.request();
        puppet.challenge(&request, ErrorCode::UNAUTHENTICATED, "nonce");
    }
    assert!(matches!(
        puppet.events()[..],
        [Event::Closed(CloseReason::Refused {
            code: ErrorCode::UNAUTHENTICATED,
            ..
        })]
    ));
}

#[test]
fn a_server_may_name_another() {
    let mut puppet = Puppet::new(config());
    let first = puppet.request();
    let mut out = Vec::new();
    MessageBuilder::error(&mut out, &Message::parse(&first).unwrap(), ErrorCode::TRY_ALTERNATE)
        .attribute(AlternateServer(addr("[2001:db8::9]:3478")))
        .attribute(AlternateServer(addr("192.0.2.9:3478")));
    puppet.receive(&out);
    let server = addr("192.0.2.9:3478");
    assert_eq!(
        puppet.events(),
        [Event::Closed(CloseReason::TryAlternate { server, domain: None })]
    );
}

/// What an Allocate request asks for.
fn asked_families(request: &[u8]) -> Families {
    let message = Message::parse(request).unwrap();
    let requested = message.get::<RequestedAddressFamily>().unwrap();
    let additional = message.get::<AdditionalAddressFamily>().unwrap();
    match (requested, additional) {
        (None, None) => Families::Ipv4,
        (Some(RequestedAddressFamily(AddressFamily::IPV6)), None) => Families::Ipv6,
        (None, Some(AdditionalAddressFamily(AddressFamily::IPV6))) => Families::Both,
        other => panic!("{other:?}"),
    }
}

/// Such a server MUST answer 440, whatever else was asked for besides (RFC 8656 §7.2).
#[test]
fn a_server_that_refuses_both_families_is_asked_for_each() {
    for (families, granted, expected) in [
        (
            Families::Both,
            Some(Families::Ipv6),
            &[Families::Both, Families::Ipv6][..],
        ),
        (
            Families::Both,
            Some(Families::Ipv4),
            &[Families::Both, Families::Ipv6, Families::Ipv4],
        ),
        (Families::Both, None, &[Families::Both, Families::Ipv6, Families::Ipv4]),
        (Families::Ipv6, Some(Families::Ipv4), &[Families::Ipv6]),
        (Families::Ipv4, Some(Families::Ipv6), &[Families::Ipv4]),
    ] {
        let mut puppet = Puppet::new(Config { families, ..config() });
        let first = puppet.request();
        assert_eq!(asked_families(&first), families);
        puppet.challenge(&first, ErrorCode::UNAUTHENTICATED, "nonce");
        let mut asked = Vec::new();
        while let Some(request) = puppet.sent().pop() {
            let message = Message::parse(&request).unwrap();
            assert_eq!(message.verify(&puppet.key), Ok(Integrity::Sha1), "no second challenge");
            asked.push(asked_families(&request));
            let relayed = match asked.last().filter(|asked| granted == Some(**asked)) {
                Some(Families::Ipv6) => addr("[2001:db8::5]:50000"),
                Some(_) => addr(RELAYED),
                None => {
                    puppet.fail(&request, ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED);
                    continue;
                }
            };
            puppet.succeed(&request, |response| {
                response
                    // So does coturn.
                    .attribute(XorRelayedAddress(addr("0.0.0.0:0")))
                    .attribute(XorRelayedAddress(relayed))
                    .attribute(XorMappedAddress(addr(MAPPED)))
                    .attribute(Lifetime(600));
            });
        }
        assert_eq!(asked, expected, "{families:?}");
        match (&puppet.events()[..], granted.filter(|granted| asked.contains(granted))) {
            ([Event::Allocated(allocated)], Some(granted)) => {
                assert_eq!(allocated.relayed.len(), 1);
                assert_eq!(allocated.relayed[0].is_ipv4(), granted == Families::Ipv4);
                let missing = (families == Families::Both).then_some(ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED);
                assert_eq!(allocated.missing_family, missing);
            }
            ([Event::Closed(CloseReason::Refused { code, .. })], None) => {
                assert_eq!(*code, ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn dont_fragment_is_dropped_where_it_is_unknown() {
    let mut puppet = Puppet::new(Config {
        dont_fragment: true,
        ..config()
    });
    let first = puppet.request();
    assert!(Message::parse(&first).unwrap().contains(DontFragment::TYPE));
    let mut out = Vec::new();
    MessageBuilder::error(&mut out, &Message::parse(&first).unwrap(), ErrorCode::UNKNOWN_ATTRIBUTE)
        .attribute(UnknownAttributes::new(&[DontFragment::TYPE]));
    puppet.receive(&out);
    let second = puppet.request();
    assert!(!Message::parse(&second).unwrap().contains(DontFragment::TYPE));
}

#[test]
fn an_answer_of_another_family_is_given_back() {
    let mut puppet = Puppet::new(Config {
        families: Families::Ipv6,
        ..config()
    });
    let first = puppet.request();
    puppet.challenge(&first, ErrorCode::UNAUTHENTICATED, "nonce");
    let second = puppet.request();
    puppet.succeed(&second, grant);
    assert!(puppet.events().is_empty());
    let delete = puppet.request();
    assert_eq!(Message::parse(&delete).unwrap().get(), Ok(Some(Lifetime(0))));
    puppet.succeed(&delete, |_| ());
    assert_eq!(puppet.events(), [Event::Closed(CloseReason::BadResponse)]);
}

#[test]
fn a_stale_nonce_is_renewed_and_a_storm_of_them_ends() {
    let mut puppet = allocated(config());
    puppet.pass(seconds(540));
    let refresh = puppet.request();
    assert_eq!(method(&refresh), Method::REFRESH);
    puppet.challenge(&refresh, ErrorCode::STALE_NONCE, "newer");
    let again = puppet.request();
    assert_eq!(Message::parse(&again).unwrap().get(), Ok(Some(Nonce(b"newer"))));
    puppet.succeed(&again, |response| {
        response.attribute(Lifetime(600));
    });
    assert!(puppet.sent().is_empty() && puppet.events().is_empty());

    puppet.pass(seconds(540));
    let mut count = 0;
    while let Some(request) = puppet.sent().pop() {
        puppet.challenge(&request, ErrorCode::STALE_NONCE, &format!("nonce {count}"));
        count += 1;
        assert!(count < 20);
    }
    assert!(matches!(
        puppet.events()[..],
        [Event::Closed(CloseReason::Refused {
            code: ErrorCode::STALE_NONCE,
            ..
        })]
    ));
}

#[test]
fn data_are_written_in_place_and_read_in_place() {
    let mut puppet = permitted();
    let peer = addr(PEER);
    let fill = |out: &mut Vec<u8>| {
        out.extend_from_slice(b"hello");
        Some(5)
    };
    // Four indications, then a channel is bound on demand.
    let mut out = vec![7];
    for _ in 0..4 {
        out.truncate(1);
        let transmit = puppet.client.enclose(&mut out, peer, fill).unwrap();
        assert_eq!((transmit.len, transmit.five_tuple, out[0]), (out.len() - 1, path(), 7));
        let message = Message::parse(&out[1..]).unwrap();
        assert_eq!(message.method(), Method::SEND);
        assert_eq!(message.get(), Ok(Some(XorPeerAddress(peer))));
        assert_eq!(message.get(), Ok(Some(Data(b"hello"))));
    }
    let bind = puppet.request();
    let message = Message::parse(&bind).unwrap();
    assert_eq!(message.method(), Method::CHANNEL_BIND);
    assert_eq!(message.get(), Ok(Some(ChannelNumber(0x4000))));
    assert_eq!(message.get(), Ok(Some(XorPeerAddress(peer))));
    puppet.succeed(&bind, |_| ());
    assert_eq!(puppet.events(), [Event::ChannelBound(peer)]);
    out.truncate(1);
    assert_eq!(
        puppet.client.enclose(&mut out, peer, fill).map(|transmit| transmit.len),
        Some(9)
    );
    assert_eq!(out, b"\x07\x40\x00\x00\x05hello");

    let received = puppet.receive(b"\x40\x00\x00\x05world\0\0\0").unwrap();
    assert_eq!(
        (received.five_tuple.local, received.five_tuple.remote),
        (addr(RELAYED), peer)
    );
    assert_eq!(received.payload, b"world"[..]);
    out.clear();
    MessageBuilder::indication(&mut out, Method::DATA, TransactionId([1; 12]))
        .attribute(XorPeerAddress(addr("192.0.2.200:1")))
        .attribute(Data(b"indeed"));
    assert_eq!(puppet.receive(&out).unwrap().payload, b"indeed"[..]);
    let stats = puppet.client.stats();
    assert_eq!((stats.datagrams_sent, stats.bytes_sent), (5, 25));
    assert_eq!((stats.datagrams_received, stats.bytes_received), (2, 11));
}

#[test]
fn strangers_are_neither_sent_to_nor_heard() {
    let mut puppet = permitted();
    let mut out = vec![7];
    assert_eq!(
        puppet
            .client
            .enclose(&mut out, addr("192.0.2.201:7000"), |_| panic!("not called")),
        None
    );
    assert_eq!(out, [7]);
    // What appends nothing leaves nothing.
    assert_eq!(puppet.client.enclose(&mut out, addr(PEER), |_| None), None);
    assert_eq!(out, [7]);
    out.clear();
    MessageBuilder::indication(&mut out, Method::DATA, TransactionId([1; 12]))
        .attribute(XorPeerAddress(addr("192.0.2.201:1")))
        .attribute(Data(b"evil"));
    assert!(puppet.receive(&out).is_none());
    assert!(puppet.receive(b"\x40\x00\x00\x01a").is_none());
    assert_eq!(puppet.client.stats().unpermitted, 2);
}

#[test]
fn one_forbidden_address_does_not_spoil_the_others() {
    let mut puppet = allocated(config());
    let peers = [addr(PEER).ip(), addr("127.0.0.1:0").ip(), addr("192.0.2.201:0").ip()];
    for peer in peers {
        puppet.client.create_permission(puppet.now, peer).unwrap();
    }
    let together = puppet.request();
    assert_eq!(
        Message::parse(&together).unwrap().get_all::<XorPeerAddress>().count(),
        3
    );
    puppet.fail(&together, ErrorCode::FORBIDDEN);
    let alone = puppet.sent();
    assert_eq!(alone.len(), 3);
    for request in alone {
        let Ok(Some(XorPeerAddress(peer))) = Message::parse(&request).unwrap().get() else {
            panic!("a peer");
        };
        match peer.ip().is_loopback() {
            true => puppet.fail(&request, ErrorCode::FORBIDDEN),
            false => puppet.succeed(&request, |_| ()),
        }
    }
    let events = puppet.events();
    assert_eq!(events.len(), 3);
    let failure = Failure::Refused(ErrorCode::FORBIDDEN);
    assert!(events.contains(&Event::PermissionRefused {
        peer: peers[1],
        failure
    }));
    assert!(
        events.contains(&Event::PermissionCreated(peers[0])) && events.contains(&Event::PermissionCreated(peers[2]))
    );
}

#[test]
fn permissions_channels_and_the_allocation_are_refreshed_in_time() {
    let mut puppet = permitted();
    puppet.client.bind_channel(puppet.now, addr(PEER)).unwrap();
    let bind = puppet.request();
    puppet.succeed(&bind, |_| ());
    puppet.events();
    let begin = puppet.now;
    let mut asked = Vec::new();
    while puppet.now < begin + seconds(1_000) {
        puppet.now = puppet.client.poll_timeout().unwrap();
        for request in puppet.sent() {
            asked.push(((puppet.now - begin).as_secs(), method(&request)));
            puppet.succeed(&request, |response| {
                response.attribute(Lifetime(600));
            });
        }
        assert!(puppet.client.is_permitted(addr(PEER).ip()) && puppet.client.has_channel(addr(PEER)));
    }
    let (permission, channel, refresh) = (Method::CREATE_PERMISSION, Method::CHANNEL_BIND, Method::REFRESH);
    let expected = [
        (240, permission),
        (480, permission),
        (540, refresh),
        (540, channel),
        (720, permission),
        (960, permission),
        (1080, refresh),
        (1080, channel),
    ];
    assert_eq!(asked, expected);
    assert!(puppet.events().is_empty());
}

#[test]
fn a_server_that_was_started_anew_ends_it() {
    // As RFC 8656 §5 has it, and as coturn does it.
    for code in [ErrorCode::ALLOCATION_MISMATCH, ErrorCode::BAD_REQUEST] {
        let mut puppet = permitted();
        puppet.pass(seconds(240));
        let request = puppet.request();
        puppet.challenge(&request, ErrorCode::STALE_NONCE, "of the new server");
        let request = puppet.request();
        puppet.fail(&request, code);
        assert_eq!(puppet.events(), [Event::Closed(CloseReason::Lost)]);
        ends_with(&mut puppet);
    }
    // A request that is bad with a nonce that is good says nothing of the allocation.
    let mut puppet = permitted();
    puppet.pass(seconds(240));
    let request = puppet.request();
    puppet.fail(&request, ErrorCode::BAD_REQUEST);
    assert!(matches!(puppet.events()[..], [Event::PermissionRefused { .. }]));
    // Who has doubts asks.
    puppet.client.refresh(puppet.now);
    let request = puppet.request();
    assert_eq!(method(&request), Method::REFRESH);
    puppet.fail(&request, ErrorCode::ALLOCATION_MISMATCH);
    assert_eq!(puppet.events(), [Event::Closed(CloseReason::Lost)]);
}

fn ends_with(puppet: &mut Puppet) {
    assert_eq!(CloseReason::Lost.retry(), Retry::FreshPort);
    assert_eq!(puppet.client.relayed().count(), 0);
    assert_eq!(
        puppet.client.create_permission(puppet.now, addr(PEER).ip()),
        Err(CommandError::Closed)
    );
}

#[test]
fn credentials_change_without_losing_the_allocation() {
    // The same name with another password.
    let mut puppet = allocated(config());
    puppet
        .client
        .set_credentials(puppet.now, Credentials::new(USER, "looking glass"));
    let refresh = puppet.request();
    puppet.key = Key::long_term_md5(USER, REALM, "looking glass");
    assert!(Message::parse(&refresh).unwrap().verify(&puppet.key).is_ok());
    puppet.succeed(&refresh, |response| {
        response.attribute(Lifetime(600));
    });
    assert!(puppet.events().is_empty() && puppet.sent().is_empty());

    // A server that says so without integrity, as coturn does.
    let old = puppet.key.clone();
    puppet
        .client
        .set_credentials(puppet.now, Credentials::new("bob", "builder"));
    let refresh = puppet.request();
    let mut out = Vec::new();
    MessageBuilder::error(
        &mut out,
        &Message::parse(&refresh).unwrap(),
        ErrorCode::WRONG_CREDENTIALS,
    );
    puppet.receive(&out);
    assert_eq!(
        puppet.events(),
        [Event::CredentialsRefused(ErrorCode::WRONG_CREDENTIALS)]
    );
    let again = puppet.request();
    assert!(Message::parse(&again).unwrap().verify(&old).is_ok());
    puppet.succeed(&again, |response| {
        response.attribute(Lifetime(600));
    });

    // Another name, which the server refuses: the earlier one goes on.
    for code in [ErrorCode::WRONG_CREDENTIALS, ErrorCode::UNAUTHENTICATED] {
        let old = puppet.key.clone();
        puppet
            .client
            .set_credentials(puppet.now, Credentials::new("bob", "builder"));
        let refresh = puppet.request();
        assert_eq!(Message::parse(&refresh).unwrap().get(), Ok(Some(Username("bob"))));
        puppet.key = Key::long_term_md5("bob", REALM, "builder");
        match code {
            ErrorCode::UNAUTHENTICATED => puppet.challenge(&refresh, code, "nonce"),
            _ => puppet.fail(&refresh, code),
        }
        assert_eq!(puppet.events(), [Event::CredentialsRefused(code)]);
        let again = puppet.request();
        assert_eq!(Message::parse(&again).unwrap().get(), Ok(Some(Username(USER))));
        puppet.key = old;
        puppet.succeed(&again, |response| {
            response.attribute(Lifetime(600));
        });
        assert!(puppet.events().is_empty() && !puppet.client.is_closed());
    }
}

#[test]
fn closing_deletes_the_allocation() {
    let mut puppet = permitted();
    puppet.client.close(puppet.now);
    let delete = puppet.request();
    assert_eq!(Message::parse(&delete).unwrap().get(), Ok(Some(Lifetime(0))));
    puppet.fail(&delete, ErrorCode::ALLOCATION_MISMATCH);
    assert_eq!(puppet.events(), [Event::Closed(CloseReason::Closed)]);
    puppet.client.close(puppet.now);
    assert!(puppet.events().is_empty() && puppet.client.poll_timeout().is_none());
}

/// Its answer is lost, or late: without this the server would keep the allocation for ten minutes.
#[test]
fn closing_deletes_an_allocation_that_is_just_being_made() {
    let mut puppet = Puppet::new(config());
    let first = puppet.request();
    puppet.challenge(&first, ErrorCode::UNAUTHENTICATED, "nonce");
    let allocate = puppet.request();
    puppet.client.close(puppet.now);
    let delete = puppet.request();
    let request = Message::parse(&delete).unwrap();
    assert_eq!(
        (request.method(), request.get()),
        (Method::REFRESH, Ok(Some(Lifetime(0))))
    );
    // The answer to what was asked before comes late: it is not taken for an allocation.
    puppet.succeed(&allocate, grant);
    assert!(puppet.events().is_empty() && puppet.client.relayed().next().is_none());
    puppet.succeed(&delete, |response| {
        response.attribute(Lifetime(0));
    });
    assert_eq!(puppet.events(), [Event::Closed(CloseReason::Closed)]);

    // Who was asked without credentials has given nothing.
    let mut puppet = Puppet::new(config());
    puppet.request();
    puppet.client.close(puppet.now);
    assert_eq!(puppet.events(), [Event::Closed(CloseReason::Closed)]);
    assert!(puppet.sent().is_empty());
}

#[test]
fn what_routers_say_is_reported() {
    let mut puppet = permitted();
    let mut out = Vec::new();
    let icmp = Icmp {
        kind: 3,
        code: 4,
        data: 1300,
    };
    MessageBuilder::indication(&mut out, Method::DATA, TransactionId([1; 12]))
        .attribute(XorPeerAddress(addr(PEER)))
        .attribute(icmp);
    assert!(puppet.receive(&out).is_none());
    assert_eq!(puppet.events(), [Event::PeerUnreachable { peer: addr(PEER), icmp }]);
}

#[test]
fn connections_to_peers_are_made_and_bound() {
    let mut puppet = allocated(Config {
        requested_transport: RequestedTransport::TCP,
        ..Config::new(tcp_path(), credentials())
    });
    puppet.client.connect(puppet.now, addr(PEER)).unwrap();
    puppet.client.connect(puppet.now, addr(PEER)).unwrap();
    let request = puppet.request();
    assert_eq!(method(&request), Method::CONNECT);
    puppet.succeed(&request, |response| {
        response.attribute(ConnectionId(77));
    });
    assert_eq!(
        puppet.events(),
        [Event::Connected {
            connection: ConnectionId(77),
            peer: addr(PEER)
        }]
    );

    let mut data_path = tcp_path();
    data_path.local.set_port(5001);
    puppet
        .client
        .bind_connection(puppet.now, data_path, ConnectionId(77))
        .unwrap();
    let mut out = Vec::new();
    let transmit = puppet.client.poll_transmit(puppet.now, &mut out).unwrap();
    assert_eq!(
        (transmit.five_tuple, method(&out)),
        (data_path, Method::CONNECTION_BIND)
    );
    let mut response = Vec::new();
    MessageBuilder::success(&mut response, &Message::parse(&out).unwrap()).integrity(&puppet.key);
    let payload = bytes::BytesMut::from(&response[..]);
    let datagram = peerline_wire::Datagram {
        five_tuple: data_path,
        ecn: None,
        payload,
    };
    puppet.client.handle_datagram(puppet.now, datagram);
    assert_eq!(puppet.events(), [Event::ConnectionBound(data_path)]);

    puppet.client.create_permission(puppet.now, addr(PEER).ip()).unwrap();
    let mut out = Vec::new();
    MessageBuilder::indication(&mut out, Method::CONNECTION_ATTEMPT, TransactionId([1; 12]))
        .attribute(XorPeerAddress(addr(PEER)))
        .attribute(ConnectionId(78));
    puppet.receive(&out);
    assert_eq!(
        puppet.events(),
        [Event::ConnectionAttempt {
            connection: ConnectionId(78),
            peer: addr(PEER)
        }]
    );
    assert_eq!(
        allocated(config()).client.connect(puppet.now, addr(PEER)),
        Err(CommandError::WrongTransport)
    );
}

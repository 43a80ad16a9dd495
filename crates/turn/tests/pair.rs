//! The client against the server in virtual time.

mod common;

use std::time::Duration;

use common::*;
use peerline_sim::{Link, Pair, epoch, every_loss, for_each_seed, seed_bytes};
use peerline_stun::attribute::{ErrorCode, RequestedTransport};
use peerline_turn::client::{CloseReason, Config, Event, Failure, Families, Port, Timings};
use peerline_turn::server::{self, Log, RefusalReason, ReleaseReason};
use peerline_turn::{Credentials, PeerFilter, Refusal};

type Both = Pair<ClientEnd, ServerEnd>;

fn pair(config: Config, server: server::Config) -> Both {
    Pair::new(7, ClientEnd::new(config), ServerEnd::new(server))
}

fn allocated(config: Config, server: server::Config) -> Both {
    let mut pair = pair(config, server);
    pair.expect("an allocation", seconds(60), |pair| pair.a.allocated.is_some());
    pair
}

fn permit(pair: &mut Both, peer: &str) {
    let now = pair.now();
    pair.a
        .client
        .create_permission(now, addr(peer).ip())
        .expect("it is open");
    pair.expect("a permission", seconds(60), |pair| {
        pair.a.client.is_permitted(addr(peer).ip())
    });
}

/// What the client has heard of, its closing if that came.
fn closed(pair: &mut Both) -> CloseReason {
    pair.expect("the end", seconds(4_000), |pair| pair.a.client.is_closed());
    let events = pair.take_events_a();
    let Some(Event::Closed(reason)) = events.last() else {
        panic!("{events:?}");
    };
    reason.clone()
}

#[test]
fn data_go_to_a_peer_and_back_by_indication_and_by_channel() {
    for (path, name) in [(path(), "UDP"), (tcp_path(), "TCP")] {
        let mut pair = allocated(Config::new(path, credentials()), server_config(1));
        permit(&mut pair, ECHO);
        for round in 0..10 {
            pair.a.send(addr(ECHO), &[round; 33]);
            pair.run_for(seconds(1));
        }
        assert!(pair.a.client.has_channel(addr(ECHO)), "{name}");
        let relayed = pair.a.allocated.as_ref().expect("an allocation").relayed[0];
        let expected: Vec<_> = (0..10).map(|round| (addr(ECHO), relayed, vec![round; 33])).collect();
        assert_eq!(pair.a.received, expected);
        let traffic = pair.b.server.stats().relayed;
        assert_eq!(
            (traffic.sent, traffic.sent_bytes, traffic.received_bytes),
            (10, 330, 330)
        );
    }
}

#[test]
fn an_allocation_is_made_whatever_two_datagrams_are_lost() {
    for lost in every_loss(2, 8) {
        let mut pair = pair(config(), server_config(1)).lose(lost.clone());
        pair.a
            .client
            .create_permission(epoch(), addr(ECHO).ip())
            .expect("it is open");
        pair.expect(&format!("a permission without {lost:?}"), seconds(60), |pair| {
            pair.a.client.is_permitted(addr(ECHO).ip())
        });
        // One allocation, however often it was asked for.
        assert_eq!(pair.b.server.stats().allocations_made, 1, "{lost:?}");
    }
}

#[test]
fn a_bad_network_costs_time_alone() {
    let link = Link {
        delay: Duration::from_millis(40),
        jitter: Duration::from_millis(30),
        loss: 0.2,
        ..Link::default()
    };
    for_each_seed(0..20, |seed| {
        let config = Config {
            rng_seed: seed_bytes(seed, 1),
            ..config()
        };
        let mut pair = Pair::new(seed, ClientEnd::new(config), ServerEnd::new(server_config(seed))).links(&link);
        pair.a.client.bind_channel(epoch(), addr(ECHO)).expect("it is open");
        pair.expect("a channel", seconds(120), |pair| pair.a.client.has_channel(addr(ECHO)));
        for _ in 0..120 {
            pair.a.send(addr(ECHO), b"are you there?");
            pair.run_for(seconds(60));
            assert!(!pair.a.client.is_closed());
        }
        assert!(pair.a.received.len() > 40, "{}", pair.a.received.len());
    });
}

#[test]
fn an_allocation_lives_for_hours_over_nonces_that_do_not() {
    let timings = server::Timings {
        nonce_lifetime: seconds(100),
        ..server::Timings::default()
    };
    let mut pair = allocated(
        config(),
        server::Config {
            timings,
            ..server_config(1)
        },
    );
    permit(&mut pair, ECHO);
    for _ in 0..600 {
        pair.run_for(seconds(60));
        pair.a.send(addr(ECHO), b"still there?");
    }
    pair.run_for(seconds(1));
    assert_eq!(pair.a.received.len(), 600);
    assert!(pair.b.server.stats().challenges > 100);
    assert_eq!(pair.b.server.stats().allocations_made, 1);
}

#[test]
fn without_refreshes_all_of_it_ends() {
    let mut pair = allocated(config(), server_config(1));
    permit(&mut pair, ECHO);
    pair.a_to_b.link.loss = 1.0;
    assert_eq!(closed(&mut pair), CloseReason::TimedOut);
    pair.run_for(seconds(1));
    assert!(pair.b.sockets.is_empty());
    assert_eq!(pair.b.server.stats().allocations, 0);
    let released = pair.b.logs().any(|log| {
        matches!(
            log,
            Log::Released {
                reason: ReleaseReason::Expired,
                ..
            }
        )
    });
    assert!(released);
    assert_eq!(pair.b.server.poll_timeout(), None);
}

#[test]
fn closing_frees_everything_at_once() {
    let mut pair = allocated(config(), server_config(1));
    permit(&mut pair, ECHO);
    let now = pair.now();
    pair.a.client.close(now);
    assert_eq!(closed(&mut pair), CloseReason::Closed);
    assert!(pair.b.sockets.is_empty());
    assert_eq!(pair.b.server.poll_timeout(), None);
}

#[test]
fn a_server_that_was_started_anew_is_noticed() {
    let mut pair = allocated(config(), server_config(1));
    permit(&mut pair, ECHO);
    pair.b = ServerEnd::new(server_config(2));
    assert_eq!(closed(&mut pair), CloseReason::Lost);
    assert!(pair.elapsed() < seconds(245), "by the refresh of the permission");
}

#[test]
fn wrong_credentials_are_told() {
    for wrong in [
        Credentials::new(USER, "wrong"),
        Credentials::new("nobody", PASSWORD),
        Credentials::default(),
    ] {
        let mut pair = pair(Config::new(path(), wrong), server_config(1));
        let CloseReason::Refused { code, .. } = closed(&mut pair) else {
            panic!("refused");
        };
        assert_eq!(code, ErrorCode::UNAUTHENTICATED);
        assert_eq!(pair.b.server.stats().wrong_credentials, 1);
        assert_eq!(pair.b.server.stats().allocations, 0);
    }
}

#[test]
fn credentials_of_limited_time_are_good_until_then_and_may_be_replaced() {
    let end = |after| Credentials::time_limited(SECRET, "carol", wall_clock() + seconds(after));
    let mut pair = allocated(Config::new(path(), end(900)), server_config(1));
    permit(&mut pair, ECHO);
    // Long after their end, the allocation goes on.
    pair.run_for(seconds(3_000));
    assert!(pair.a.client.is_permitted(addr(ECHO).ip()));
    // New ones have another name, of the same user.
    let now = pair.now();
    pair.a.client.set_credentials(now, end(6_000));
    pair.run_for(seconds(3_000));
    assert!(pair.a.client.is_permitted(addr(ECHO).ip()) && !pair.a.client.is_closed());
    assert!(
        !pair
            .events_a()
            .iter()
            .any(|event| matches!(event, Event::CredentialsRefused(_)))
    );
    // Another user's do not take it over, nor lose it.
    let now = pair.now();
    pair.a.client.set_credentials(now, Credentials::new("bob", "builder"));
    pair.run_for(seconds(1));
    assert!(
        pair.events_a()
            .contains(&Event::CredentialsRefused(ErrorCode::WRONG_CREDENTIALS))
    );
    pair.run_for(seconds(1_000));
    assert!(!pair.a.client.is_closed());

    // A new allocation with those that have ended is refused.
    let mut late = self::pair(Config::new(path(), end(0)), server_config(1));
    assert!(matches!(
        closed(&mut late),
        CloseReason::Refused {
            code: ErrorCode::UNAUTHENTICATED,
            ..
        }
    ));
}

#[test]
fn either_family_and_both() {
    for (families, of_server, expected) in [
        (Families::Ipv4, (true, true), Ok("4")),
        (Families::Ipv6, (true, true), Ok("6")),
        (Families::Both, (true, true), Ok("46")),
        (Families::Both, (true, false), Ok("4?")),
        (Families::Both, (false, true), Ok("6?")),
        (
            Families::Ipv6,
            (true, false),
            Err(ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED),
        ),
        (
            Families::Ipv4,
            (false, true),
            Err(ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED),
        ),
    ] {
        let of_server = server::Families {
            ipv4: of_server.0,
            ipv6: of_server.1,
        };
        let server = server::Config {
            families: of_server,
            ..server_config(1)
        };
        let mut pair = pair(Config { families, ..config() }, server);
        pair.run_for(seconds(2));
        let outcome = match pair.take_events_a().pop() {
            Some(Event::Allocated(allocated)) => {
                let family = |address: &std::net::SocketAddr| if address.is_ipv4() { '4' } else { '6' };
                let mut text: String = allocated.relayed.iter().map(family).collect();
                text.extend(allocated.missing_family.map(|_| '?'));
                Ok(text)
            }
            Some(Event::Closed(CloseReason::Refused { code, .. })) => Err(code),
            other => panic!("{other:?}"),
        };
        assert_eq!(outcome, expected.map(str::to_owned), "{families:?} at {of_server:?}");
    }
}

#[test]
fn each_family_of_two_is_relayed_to_from_its_own_address() {
    let mut pair = allocated(
        Config {
            families: Families::Both,
            ..config()
        },
        server_config(1),
    );
    let peer = "[2606:4700::1111]:53";
    permit(&mut pair, peer);
    permit(&mut pair, SILENT);
    pair.a.send(addr(peer), b"six");
    pair.a.send(addr(SILENT), b"four");
    pair.run_for(seconds(1));
    let [ipv4, ipv6] = pair.a.allocated.as_ref().expect("an allocation").relayed[..] else {
        panic!("two addresses");
    };
    let delivered = [
        (ipv6, addr(peer), b"six".to_vec()),
        (ipv4, addr(SILENT), b"four".to_vec()),
    ];
    assert_eq!(pair.b.delivered, delivered);
}

#[test]
fn a_peer_of_a_family_that_was_not_allocated_is_refused() {
    let mut pair = allocated(config(), server_config(1));
    let peer = addr("[2606:4700::1111]:53").ip();
    let now = pair.now();
    pair.a.client.create_permission(now, peer).expect("it is open");
    pair.run_for(seconds(1));
    let failure = Failure::Refused(ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH);
    assert!(pair.events_a().contains(&Event::PermissionRefused { peer, failure }));
}

#[test]
fn a_port_is_set_aside_for_whoever_has_the_token() {
    let mut pair = allocated(
        Config {
            port: Port::EvenReservingNext,
            ..config()
        },
        server_config(1),
    );
    let first = pair.a.allocated.take().expect("an allocation");
    let token = first.reservation_token.expect("a token");
    assert_eq!(first.relayed[0].port() % 2, 0);
    let mut other = path();
    other.local.set_port(5001);
    let config = move |seed| Config {
        port: Port::Reserved(token),
        rng_seed: seed_bytes(seed, 8),
        ..Config::new(other, credentials())
    };
    pair.a = ClientEnd::new(config(1));
    pair.expect("the reserved port", seconds(5), |pair| pair.a.allocated.is_some());
    let second = pair.a.allocated.take().expect("an allocation");
    assert_eq!(second.relayed[0].port(), first.relayed[0].port() + 1);
    // It is given once.
    other.local.set_port(5002);
    pair.a = ClientEnd::new(Config {
        five_tuple: other,
        ..config(2)
    });
    assert!(matches!(
        closed(&mut pair),
        CloseReason::Refused {
            code: ErrorCode::INSUFFICIENT_CAPACITY,
            ..
        }
    ));
}

#[test]
fn a_port_set_aside_in_vain_is_closed() {
    let mut pair = allocated(
        Config {
            port: Port::EvenReservingNext,
            ..config()
        },
        server_config(1),
    );
    assert_eq!(pair.b.sockets.len(), 2);
    pair.run_for(seconds(31));
    assert_eq!(pair.b.sockets.len(), 1);
}

#[test]
fn a_server_without_sockets_says_so() {
    let mut pair = pair(config(), server_config(1));
    pair.b.opens = false;
    assert!(matches!(
        closed(&mut pair),
        CloseReason::Refused {
            code: ErrorCode::INSUFFICIENT_CAPACITY,
            ..
        }
    ));
    assert_eq!(
        (pair.b.server.stats().allocations, pair.b.server.poll_timeout()),
        (0, None)
    );
}

#[test]
fn dont_fragment_is_offered_by_drivers_that_can() {
    for can in [true, false] {
        let server = server::Config {
            dont_fragment: can,
            ..server_config(1)
        };
        let pair = allocated(
            Config {
                dont_fragment: true,
                ..config()
            },
            server,
        );
        assert_eq!(pair.a.allocated.expect("an allocation").dont_fragment, can);
    }
}

#[test]
fn tcp_to_peers_is_offered_where_it_is_wanted() {
    let tcp = |path| Config {
        requested_transport: RequestedTransport::TCP,
        ..Config::new(path, credentials())
    };
    let offering = || server::Config {
        tcp_relays: true,
        ..server_config(1)
    };
    for (config, server, code) in [
        (
            tcp(tcp_path()),
            server_config(1),
            ErrorCode::UNSUPPORTED_TRANSPORT_PROTOCOL,
        ),
        (tcp(path()), offering(), ErrorCode::BAD_REQUEST),
    ] {
        let mut pair = pair(config, server);
        assert!(matches!(closed(&mut pair), CloseReason::Refused { code: told, .. } if told == code));
    }

    let mut pair = allocated(tcp(tcp_path()), offering());
    let now = pair.now();
    pair.a.client.connect(now, addr(ECHO)).expect("it is open");
    pair.run_for(seconds(1));
    let connects = |pair: &Both| {
        let connect = |event: &server::Event| match event {
            server::Event::Connect { connection, .. } => Some(*connection),
            _ => None,
        };
        pair.b.events.iter().filter_map(connect).collect::<Vec<_>>()
    };
    let connection = connects(&pair)[0];
    let now = pair.now();
    pair.b.server.peer_connected(now, connection);
    pair.run_for(seconds(1));
    assert!(pair.events_a().contains(&Event::Connected {
        connection,
        peer: addr(ECHO)
    }));
    let mut data_path = tcp_path();
    data_path.local.set_port(5009);
    let now = pair.now();
    pair.a
        .client
        .bind_connection(now, data_path, connection)
        .expect("it is open");
    pair.run_for(seconds(1));
    assert!(pair.events_a().contains(&Event::ConnectionBound(data_path)));
    let joined = server::Event::Join {
        connection,
        client: data_path.reversed(),
    };
    assert!(pair.b.events.contains(&joined));

    // One that nobody answers, and one that nobody takes.
    let now = pair.now();
    pair.a.client.connect(now, addr(SILENT)).expect("it is open");
    pair.run_for(seconds(31));
    let failure = Failure::Refused(ErrorCode::CONNECTION_TIMEOUT_OR_FAILURE);
    assert!(pair.events_a().contains(&Event::ConnectRefused {
        peer: addr(SILENT),
        failure
    }));
    permit(&mut pair, SILENT);
    let relay = *pair.b.addresses.keys().next().expect("a relay");
    let now = pair.now();
    assert_eq!(pair.b.server.peer_accepted(now, relay, addr("9.9.9.7:1")), None);
    let accepted = pair
        .b
        .server
        .peer_accepted(now, relay, addr(SILENT))
        .expect("a permission");
    pair.run_for(seconds(1));
    assert!(pair.events_a().contains(&Event::ConnectionAttempt {
        connection: accepted,
        peer: addr(SILENT)
    }));
    pair.run_for(seconds(31));
    assert!(pair.b.events.contains(&server::Event::CloseConnection(accepted)));

    // The control connection takes all of it along.
    let now = pair.now();
    pair.b.server.client_closed(now, tcp_path().reversed());
    pair.run_for(seconds(1));
    assert!(pair.b.events.contains(&server::Event::CloseConnection(connection)));
    assert!(pair.b.sockets.is_empty());
}

#[test]
fn a_forbidden_peer_is_refused_and_the_log_says_why() {
    let mut pair = allocated(config(), server_config(1));
    let peer = addr("169.254.169.254:80").ip();
    let now = pair.now();
    pair.a.client.create_permission(now, peer).expect("it is open");
    pair.run_for(seconds(1));
    let failure = Failure::Refused(ErrorCode::FORBIDDEN);
    assert!(pair.events_a().contains(&Event::PermissionRefused { peer, failure }));
    let reason = RefusalReason::Peer(peer, Refusal::CloudMetadata);
    let logged = pair
        .b
        .logs()
        .any(|log| matches!(log, Log::Refused { reason: found, .. } if *found == reason));
    assert!(logged);
    assert_eq!(
        reason.to_string(),
        "peer 169.254.169.254 is not relayed to: a cloud's metadata service"
    );
    assert_eq!(pair.b.server.stats().peers_refused, 1);
}

#[test]
fn two_clients_of_one_server_reach_each_other() {
    let filter = PeerFilter::new().allow("203.0.113.0/24".parse().expect("a block"));
    let mut pair = allocated(
        config(),
        server::Config {
            filter,
            ..server_config(1)
        },
    );
    let first = pair.a.allocated.clone().expect("an allocation").relayed[0];
    let mut other = path();
    other.local.set_port(5001);
    let second_client = ClientEnd::new(Config {
        rng_seed: [3; 32],
        ..Config::new(other, credentials())
    });
    let first_client = std::mem::replace(&mut pair.a, second_client);
    pair.expect("an allocation", seconds(5), |pair| pair.a.allocated.is_some());
    let second = pair.a.allocated.clone().expect("an allocation").relayed[0];
    permit(&mut pair, &first.to_string());
    let second_client = std::mem::replace(&mut pair.a, first_client);
    permit(&mut pair, &second.to_string());
    pair.a.send(second, b"hello");
    let first_client = {
        pair.exchange();
        std::mem::replace(&mut pair.a, second_client)
    };
    pair.run_for(seconds(1));
    assert_eq!(pair.a.received, [(first, second, b"hello".to_vec())]);
    assert!(first_client.received.is_empty());
}

#[test]
fn what_is_over_the_bandwidth_is_dropped() {
    let bandwidth = Some(server::Bandwidth {
        bytes_per_second: 10_000,
        burst: 5_000,
    });
    let mut pair = allocated(
        config(),
        server::Config {
            bandwidth,
            ..server_config(1)
        },
    );
    permit(&mut pair, SILENT);
    for _ in 0..100 {
        for _ in 0..10 {
            pair.a.send(addr(SILENT), &[1; 1_000]);
        }
        pair.run_for(Duration::from_millis(100));
    }
    let delivered = pair.b.delivered.len();
    assert!((100..=106).contains(&delivered), "{delivered}");
    let traffic = pair.b.server.stats().relayed;
    assert_eq!(traffic.over_bandwidth + traffic.sent, 1_000);
}

#[test]
fn shutting_down_refuses_the_new_and_then_ends_the_rest() {
    let mut pair = allocated(config(), server_config(1));
    pair.b.server.refuse_new();
    pair.run_for(seconds(2_000));
    assert!(!pair.a.client.is_closed());
    let mut other = path();
    other.local.set_port(5001);
    let fresh = ClientEnd::new(Config {
        rng_seed: [3; 32],
        ..Config::new(other, credentials())
    });
    let first = std::mem::replace(&mut pair.a, fresh);
    assert!(matches!(
        closed(&mut pair),
        CloseReason::Refused {
            code: ErrorCode::INSUFFICIENT_CAPACITY,
            ..
        }
    ));
    pair.a = first;
    let now = pair.now();
    pair.b.server.shut_down(now);
    pair.run_for(seconds(1));
    assert!(pair.b.sockets.is_empty() && pair.b.server.poll_timeout().is_none());
    assert_eq!(closed(&mut pair), CloseReason::Lost);
}

#[test]
fn channels_are_bound_only_when_asked_for_if_so_configured() {
    let timings = Timings {
        channel_after: None,
        ..Timings::default()
    };
    let mut pair = allocated(Config { timings, ..config() }, server_config(1));
    permit(&mut pair, ECHO);
    for _ in 0..20 {
        pair.a.send(addr(ECHO), b"x");
    }
    pair.run_for(seconds(5));
    assert!(!pair.a.client.has_channel(addr(ECHO)));
    assert_eq!(pair.a.received.len(), 20);
    let now = pair.now();
    pair.a.client.bind_channel(now, addr(ECHO)).expect("it is open");
    pair.run_for(seconds(1));
    assert!(pair.a.client.has_channel(addr(ECHO)));
}

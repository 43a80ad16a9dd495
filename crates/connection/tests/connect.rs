//! Two connections in virtual time: they connect, talk, negotiate again, and part.

mod common;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use common::{Lab, config};
use peerline_connection::{
    Config, ConnectionState, DataChannelInit, DataChannelState, DtlsTransportState, Error, Event, IceConnectionState,
    IceGatheringState, Message, OfferOptions, SctpTransportState, SdpType, SessionDescription, SignalingState,
    StatsKind,
};
use peerline_dtls::{self as dtls, ProtocolVersion};
use peerline_sim::{Link, every_loss, for_each_seed};
use peerline_wire::{Datagram, FiveTuple};

fn path() -> Link {
    Link::delay(Duration::from_millis(10))
}

#[test]
fn a_channel_opens_and_carries_messages_both_ways() {
    let (mut lab, [near, far]) = Lab::connected(1, path());
    assert_eq!(lab.peer(1).channel(far).expect("open").label(), "chat");
    for message in [
        Message::from("text"),
        Message::from(""),
        Message::from(vec![1, 2, 3]),
        Message::from(Vec::new()),
        Message::from(vec![7; 200_000]),
    ] {
        lab.send(0, near, message.clone());
        assert_eq!(lab.expect_message(1, far), message);
        lab.send(1, far, message.clone());
        assert_eq!(lab.expect_message(0, near), message);
    }
}

#[test]
fn states_and_events_come_in_the_w3c_order() {
    let mut lab = Lab::new(2, path());
    let id = lab.open(0, "chat", DataChannelInit::default());
    assert_eq!(lab.events[0], [Event::NegotiationNeeded]);
    lab.offer(0, OfferOptions::default());
    lab.expect_event(0, &Event::ChannelOpen(id));
    lab.run_for(Duration::from_secs(1));
    assert_eq!(
        lab.events[0],
        [
            Event::NegotiationNeeded,
            Event::SignalingStateChange(SignalingState::HaveLocalOffer),
            Event::IceGatheringStateChange(IceGatheringState::Gathering),
            Event::IceGatheringStateChange(IceGatheringState::Complete),
            Event::SignalingStateChange(SignalingState::Stable),
            Event::IceConnectionStateChange(IceConnectionState::Checking),
            Event::ConnectionStateChange(ConnectionState::Connecting),
            Event::SelectedCandidatePairChange,
            Event::DtlsTransportStateChange(DtlsTransportState::Connecting),
            Event::IceConnectionStateChange(IceConnectionState::Connected),
            // DTLS went with the checks, and is done before a path is chosen for good.
            Event::DtlsTransportStateChange(DtlsTransportState::Connected),
            Event::ConnectionStateChange(ConnectionState::Connected),
            Event::ChannelOpen(id),
            Event::SctpTransportStateChange(SctpTransportState::Connected),
            Event::IceConnectionStateChange(IceConnectionState::Completed),
        ]
    );
}

#[test]
fn descriptions_that_hold_all_candidates_are_enough() {
    let mut lab = Lab::new(3, path());
    lab.trickle = false;
    let near = lab.open(0, "chat", DataChannelInit::default());
    lab.offer(0, OfferOptions::default());
    let offer = lab.peer(0).local_description().expect("it was set").sdp;
    assert_eq!(offer.matches("a=candidate:").count(), 2, "{offer}");
    assert!(offer.contains("a=end-of-candidates\r\n"), "{offer}");
    lab.expect_event(0, &Event::ChannelOpen(near));
}

#[test]
fn set_up_takes_six_round_trips_and_no_timer() {
    let mut lab = Lab::new(4, Link::delay(Duration::from_millis(50)));
    let started = lab.now();
    let near = lab.open(0, "chat", DataChannelInit::default());
    lab.offer(0, OfferOptions::default());
    lab.expect_event(0, &Event::ChannelOpen(near));
    let took = lab.now() - started;
    assert!(took <= Duration::from_millis(550), "set-up took {took:?}");
}

#[test]
fn a_handshake_that_overtakes_the_answer_is_kept() {
    let mut lab = Lab::new(5, Link::delay(Duration::from_millis(5)));
    let near = lab.open(0, "chat", DataChannelInit::default());
    // The answer takes far longer than the checks and the ClientHello that it lets loose.
    lab.signalling = Duration::from_millis(400);
    lab.offer(0, OfferOptions::default());
    lab.expect("the answer", |lab| {
        lab.peer(0).signaling_state() == SignalingState::Stable && lab.peer(0).remote_description().is_some()
    });
    let answered = lab.now();
    lab.expect_event(0, &Event::ChannelOpen(near));
    let took = lab.now() - answered;
    assert!(
        took <= Duration::from_millis(60),
        "six round trips of 10 ms would be the most, not {took:?}"
    );
}

#[test]
fn every_choice_of_two_lost_datagrams_still_connects() {
    for lost in every_loss(2, 14) {
        let drop_these = lost.clone();
        let mut lab = Lab::new(
            6,
            Link::delay(Duration::from_millis(10)).dropping(move |index| drop_these.contains(&index)),
        );
        let near = lab.open(0, "chat", DataChannelInit::default());
        lab.offer(0, OfferOptions::default());
        lab.expect(&format!("the channel to open without the datagrams {lost:?}"), |lab| {
            lab.events[0].contains(&Event::ChannelOpen(near))
        });
    }
}

#[test]
fn a_bad_path_delivers_everything_in_order() {
    let link = Link {
        loss: 0.1,
        duplicate: 0.02,
        reorder: 0.05,
        corrupt: 0.02,
        ..path()
    };
    for_each_seed(0..4, |seed| {
        let (mut lab, [near, far]) = Lab::connected(seed, link.clone());
        for number in 0..200u32 {
            lab.send(
                0,
                near,
                Bytes::from(number.to_be_bytes().repeat(1 + 50 * (number as usize % 7))),
            );
        }
        for number in 0..200u32 {
            let Message::Binary(bytes) = lab.expect_message(1, far) else {
                panic!("binary was sent")
            };
            assert_eq!(bytes[..4], number.to_be_bytes());
        }
    });
}

#[test]
fn ice_restarts_from_either_side_while_data_flows() {
    let (mut lab, [near, far]) = Lab::connected(7, path());
    for side in [0, 1, 0] {
        let before: Vec<_> = (0..2).map(|who| lab.peer(who).local_description()).collect();
        lab.with_peer(side, |peer, _| peer.restart_ice());
        assert!(lab.events[side].contains(&Event::NegotiationNeeded));
        lab.send(0, near, "before");
        lab.offer(side, OfferOptions::default());
        lab.send(1, far, "while");
        assert_eq!(lab.expect_message(1, far), "before".into());
        assert_eq!(lab.expect_message(0, near), "while".into());
        lab.expect("both to be done", |lab| {
            (0..2).all(|who| {
                lab.peer(who).ice_connection_state() == IceConnectionState::Completed
                    && lab.peer(who).signaling_state() == SignalingState::Stable
            })
        });
        for (who, before) in before.iter().enumerate() {
            let ufrag = |description: &Option<SessionDescription>| {
                let sdp = &description.as_ref().expect("it was set").sdp;
                sdp.lines()
                    .find(|line| line.starts_with("a=ice-ufrag:"))
                    .expect("it is there")
                    .to_owned()
            };
            assert_ne!(
                ufrag(before),
                ufrag(&lab.peer(who).local_description()),
                "peer {who} has new credentials"
            );
        }
        lab.send(0, near, "after");
        assert_eq!(lab.expect_message(1, far), "after".into());
        lab.events = [Vec::new(), Vec::new()];
    }
}

/// ICE asks every few seconds whether the peer is there; SCTP, each time by two datagrams a side that have to be sealed, seldom, and
/// of connections that were made together each at its own time.
#[test]
fn sctp_seldom_asks_who_is_there() {
    let data_sent = |lab: &Lab, who: usize| -> u64 {
        let stats = lab.peer(who).stats(lab.now()).stats;
        let pairs = stats.iter().filter_map(|stats| match &stats.kind {
            StatsKind::CandidatePair(pair) => Some(pair.packets_sent),
            _ => None,
        });
        pairs.sum()
    };
    let both = |lab: &Lab| data_sent(lab, 0) + data_sent(lab, 1);
    let mut first: BTreeSet<u64> = BTreeSet::new();
    for seed in 0..6 {
        let (mut lab, [near, far]) = Lab::connected(seed, path());
        lab.run_for(Duration::from_secs(30));
        let (start, before) = (lab.now(), both(&lab));
        assert!(!lab.run_until(Duration::from_secs(200), |lab| both(lab) > before));
        assert!(lab.run_until(Duration::from_secs(160), |lab| both(lab) > before));
        first.insert((lab.now() - start).as_secs());
        lab.run_for(Duration::from_secs(1_440));
        // Two a question and an answer, of each side every 4 to 6 minutes; and the path is asked for larger datagrams twice.
        let sent = both(&lab) - before;
        assert!((10..=32).contains(&sent), "{sent}");
        lab.send(0, near, "still here");
        assert_eq!(lab.expect_message(1, far), "still here".into());
    }
    assert!(first.len() >= 4, "{first:?}");
}

#[test]
fn negotiating_again_changes_nothing_by_itself() {
    let (mut lab, [near, far]) = Lab::connected(8, path());
    for side in [1, 0, 1] {
        lab.offer(side, OfferOptions::default());
        lab.expect("the answer", |lab| {
            (0..2).all(|who| lab.peer(who).signaling_state() == SignalingState::Stable)
        });
        lab.send(0, near, "still here");
        assert_eq!(lab.expect_message(1, far), "still here".into());
    }
    let second = lab.open(1, "second", DataChannelInit::default());
    lab.expect_event(1, &Event::ChannelOpen(second));
    assert!(
        !lab.events[1].contains(&Event::NegotiationNeeded),
        "the data section is there already"
    );
}

#[test]
fn offers_that_meet_end_in_one_connection() {
    let mut lab = Lab::new(9, path());
    let ids = [
        lab.open(0, "zero", DataChannelInit::default()),
        lab.open(1, "one", DataChannelInit::default()),
    ];
    // Both offer at once. Peer 1 is polite: the offer of 0 takes its own back; peer 0 ignores that of 1.
    let polite = lab.with_peer(1, |peer, now| {
        peer.set_local_description(now, None).expect("an offer");
        peer.signaling_state()
    });
    assert_eq!(polite, SignalingState::HaveLocalOffer);
    lab.offer(0, OfferOptions::default());
    for (who, id) in ids.into_iter().enumerate() {
        lab.expect_event(who, &Event::ChannelOpen(id));
    }
}

#[test]
fn a_rollback_takes_an_offer_back() {
    let mut lab = Lab::new(10, path());
    lab.open(0, "chat", DataChannelInit::default());
    lab.with_peer(0, |peer, now| {
        peer.set_local_description(now, None).expect("an offer");
        assert!(peer.pending_local_description().is_some());
        peer.set_local_description(now, SessionDescription::rollback())
            .expect("the offer is taken back");
        assert_eq!(peer.signaling_state(), SignalingState::Stable);
        assert_eq!(peer.local_description(), None);
    });
    // It is needed again, and works.
    assert_eq!(
        lab.events[0]
            .iter()
            .filter(|event| **event == Event::NegotiationNeeded)
            .count(),
        2
    );
    lab.offer(0, OfferOptions::default());
    lab.expect_incoming(1);

    // Also of an ICE restart, without a trace.
    let before = lab.peer(0).local_description();
    lab.with_peer(0, |peer, now| {
        let offer = peer.create_offer(OfferOptions { ice_restart: true }).expect("an offer");
        peer.set_local_description(now, offer).expect("it is ours");
        peer.set_local_description(now, SessionDescription::rollback())
            .expect("the offer is taken back");
    });
    assert_eq!(lab.peer(0).local_description(), before);
    let second = lab.open(0, "second", DataChannelInit::default());
    lab.expect_event(0, &Event::ChannelOpen(second));
}

#[test]
fn closing_tells_the_other_side() {
    for side in 0..2 {
        let (mut lab, channels) = Lab::connected(11, path());
        lab.with_peer(side, |peer, now| peer.close(now));
        assert_eq!(lab.peer(side).connection_state(), ConnectionState::Closed);
        assert_eq!(lab.peer(side).signaling_state(), SignalingState::Closed);
        assert!(lab.peer(side).is_drained(), "everything was sent");
        let other = 1 - side;
        lab.expect_event(other, &Event::ConnectionStateChange(ConnectionState::Closed));
        assert!(
            lab.events[other].contains(&Event::ChannelClosed(channels[other])),
            "{:?}",
            lab.events[other]
        );
        let refused = lab.with_peer(other, |peer, now| {
            peer.create_data_channel(now, "late", DataChannelInit::default())
        });
        assert_eq!(refused, Err(Error::Closed));
        lab.run_for(Duration::from_secs(60));
        assert_eq!(
            lab.peer(side).poll_timeout(),
            None,
            "a closed connection asks for nothing"
        );
    }
}

#[test]
fn a_peer_that_vanishes_is_noticed() {
    let (mut lab, _) = Lab::connected(12, path());
    let vanished = Link { loss: 1.0, ..path() };
    for (one, other) in [("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2")] {
        lab.network.set_links(
            one.parse().expect("an address"),
            other.parse().expect("an address"),
            &vanished,
        );
    }
    let gone = lab.now();
    lab.expect_event(0, &Event::ConnectionStateChange(ConnectionState::Disconnected));
    assert!(lab.now() - gone <= Duration::from_secs(13), "{:?}", lab.now() - gone);
    lab.expect_event(0, &Event::ConnectionStateChange(ConnectionState::Failed));
    assert!(
        lab.now() - gone <= Duration::from_secs(40),
        "RFC 7675: 30 s after the last response"
    );
}

#[test]
fn a_certificate_that_was_not_announced_is_refused() {
    let mut lab = Lab::new(13, path());
    lab.open(0, "chat", DataChannelInit::default());
    let offer = lab.with_peer(0, |peer, now| {
        peer.set_local_description(now, None).expect("an offer");
        peer.local_description().expect("it was set")
    });
    // Somebody in the middle of signalling changes one byte of the fingerprint.
    let at = offer.sdp.find("a=fingerprint:sha-256 ").expect("it is there") + 22;
    let mut forged = offer.sdp;
    let byte = if &forged[at..at + 2] == "00" { "01" } else { "00" };
    forged.replace_range(at..at + 2, byte);
    let answer = lab.with_peer(1, |peer, now| {
        peer.set_remote_description(now, SessionDescription::offer(forged))
            .expect("it parses");
        peer.set_local_description(now, None).expect("an answer");
        peer.local_description().expect("it was set")
    });
    lab.with_peer(0, |peer, now| {
        peer.set_remote_description(now, answer).expect("the answer fits");
    });
    lab.expect_event(1, &Event::ConnectionStateChange(ConnectionState::Failed));
    assert_eq!(lab.peer(1).dtls_transport_state(), DtlsTransportState::Failed);
    lab.expect_event(0, &Event::ConnectionStateChange(ConnectionState::Failed));
    // The alert that one sent is the other's.
    let alerts = |events: &[Event]| {
        let mut reasons = events.iter().filter_map(|event| match event {
            Event::DtlsTransportError(reason) => Some(*reason),
            _ => None,
        });
        let reason = reasons.next().expect("an error");
        assert_eq!(reasons.next(), None);
        assert!(events.contains(&Event::DtlsTransportStateChange(DtlsTransportState::Failed)));
        (reason.sent_alert(), reason.received_alert())
    };
    let (far, near) = (alerts(&lab.events[1]), alerts(&lab.events[0]));
    assert!(far.0.is_some() && far.0 == near.1, "{far:?} and {near:?}");
}

#[test]
fn one_side_may_be_ice_lite() {
    for lite in 0..2 {
        let mut configs = [config(14, 0), config(14, 1)];
        configs[lite].ice_lite = true;
        let mut lab = Lab::with(14, path(), configs);
        let near = lab.open(0, "chat", DataChannelInit::default());
        lab.offer(0, OfferOptions::default());
        lab.expect_event(0, &Event::ChannelOpen(near));
        let offer = lab.peer(lite).local_description().expect("it was set").sdp;
        assert!(offer.contains("a=ice-lite\r\n"));
    }
}

#[test]
fn a_cookie_may_be_asked_for() {
    let mut configs = [config(15, 0), config(15, 1)];
    configs[0].hello_verify_request = true;
    let mut lab = Lab::with(15, path(), configs);
    let near = lab.open(0, "chat", DataChannelInit::default());
    lab.offer(0, OfferOptions::default());
    lab.expect_event(0, &Event::ChannelOpen(near));
}

#[test]
fn channels_have_the_properties_they_were_given() {
    let (mut lab, _) = Lab::connected(16, path());
    let init = DataChannelInit {
        ordered: false,
        max_retransmits: Some(3),
        protocol: "протокол".into(),
        ..DataChannelInit::default()
    };
    let near = lab.open(0, "наклейка 🏷", init);
    let far = lab.expect_incoming(1);
    let channel = lab.peer(1).channel(far).expect("it is open");
    assert_eq!((channel.label(), channel.protocol()), ("наклейка 🏷", "протокол"));
    assert_eq!(
        (
            channel.ordered(),
            channel.max_retransmits(),
            channel.max_packet_life_time()
        ),
        (false, Some(3), None)
    );
    assert_eq!(channel.id(), lab.peer(0).channel(near).expect("it is open").id());

    lab.with_peer(0, |peer, now| peer.close_channel(now, near));
    lab.expect_event(1, &Event::ChannelClosed(far));
    lab.expect_event(0, &Event::ChannelClosed(near));
    assert_eq!(
        lab.peer(0).channel(near).expect("it is remembered").ready_state(),
        DataChannelState::Closed
    );
    assert!(lab.with_peer(0, |peer, _| peer.forget_channel(near)));
    assert!(lab.peer(0).channel(near).is_none());
}

#[test]
fn statistics_have_the_w3c_objects() {
    let (mut lab, [near, far]) = Lab::connected(17, path());
    lab.send(0, near, "12345");
    lab.expect_message(1, far);
    lab.run_for(Duration::from_secs(6));
    let report = lab.peer(0).stats(lab.now());
    let pair = report.selected_candidate_pair().expect("one is selected");
    assert_eq!((pair.state, pair.nominated), ("succeeded", true));
    assert_eq!(pair.current_round_trip_time, Some(0.02));
    assert!(pair.bytes_sent > 0 && pair.bytes_received > 0 && pair.responses_received > 0);
    assert!(report.get(&pair.local_candidate_id).is_some() && report.get(&pair.remote_candidate_id).is_some());
    let transport = report.transport().expect("there is one");
    assert_eq!(
        (transport.tls_version.as_deref(), transport.ice_role),
        (Some("FEFC"), "controlling")
    );
    assert_eq!(transport.dtls_cipher.as_deref(), Some("TLS_AES_128_GCM_SHA256"));
    let channel = report.data_channels().next().expect("there is one");
    assert_eq!(
        (channel.messages_sent, channel.bytes_sent, channel.label.as_str()),
        (1, 5, "chat")
    );
    let far_report = lab.peer(1).stats(lab.now());
    let channel = far_report.data_channels().next().expect("there is one");
    assert_eq!((channel.messages_received, channel.bytes_received), (1, 5));
}

#[test]
fn the_peer_may_use_another_sctp_port() {
    // Our own stack always says 5000; a peer that says otherwise is spoken to where it listens.
    let mut lab = Lab::new(18, path());
    lab.open(0, "chat", DataChannelInit::default());
    let offer = lab.with_peer(0, |peer, now| {
        peer.set_local_description(now, None).expect("an offer");
        peer.local_description().expect("it was set")
    });
    let moved = offer.sdp.replace("a=sctp-port:5000", "a=sctp-port:5001");
    let answer = lab.with_peer(1, |peer, now| {
        peer.set_remote_description(now, SessionDescription::offer(moved))
            .expect("it parses");
        peer.set_local_description(now, None).expect("an answer");
        peer.local_description().expect("it was set")
    });
    lab.with_peer(0, |peer, now| {
        peer.set_remote_description(now, answer).expect("the answer fits");
    });
    // DTLS comes up, but nobody listens on the port that was announced.
    lab.expect_event(1, &Event::ConnectionStateChange(ConnectionState::Connected));
    lab.run_for(Duration::from_secs(2));
    assert!(
        !lab.events[1].iter().any(|event| matches!(event, Event::DataChannel(_))),
        "{:?}",
        lab.events[1]
    );
}

#[test]
fn an_offer_in_place_of_another_restarts_ice_once() {
    let (mut lab, [near, far]) = Lab::connected(20, path());
    // Long enough for both to have given back what the first exchange needed.
    lab.run_for(Duration::from_secs(20));
    let ufrag = |lab: &Lab| {
        let report = lab.peer(1).stats(lab.now());
        report
            .transport()
            .expect("every report has one")
            .ice_local_username_fragment
            .clone()
    };
    let before = ufrag(&lab);
    let restart = |lab: &mut Lab| {
        lab.with_peer(0, |peer, now| {
            let offer = peer.create_offer(OfferOptions { ice_restart: true }).expect("an offer");
            peer.set_local_description(now, offer.clone()).expect("it is ours");
            peer.set_local_description(now, SessionDescription::rollback())
                .expect("an offer is pending");
            offer
        })
    };
    let (first, second) = (restart(&mut lab), restart(&mut lab));
    lab.with_peer(1, |peer, now| {
        peer.set_remote_description(now, first).expect("an offer");
        let answer = peer.create_answer().expect("an answer");
        peer.set_remote_description(now, second).expect("another offer");
        assert_eq!(
            peer.set_local_description(now, answer),
            Err(Error::ModifiedDescription(SdpType::Answer)),
            "it answers another offer"
        );
    });
    assert_ne!(ufrag(&lab), before);
    lab.with_peer(1, |peer, now| {
        // What takes back an offer of the peer is the peer's.
        peer.set_remote_description(now, SessionDescription::rollback())
            .expect("an offer is pending");
    });
    assert_eq!(ufrag(&lab), before, "nothing is left of either restart");
    lab.send(0, near, "still here?");
    assert_eq!(lab.expect_message(1, far), Message::from("still here?"));
}

/// A handshake belongs to the path that ICE has verified: a ClientHello from anywhere else never reaches it, before, in between or after.
#[test]
fn a_client_hello_from_another_address_comes_to_nothing() {
    let sockets = {
        let (lab, _) = Lab::connected(77, path());
        [0, 1].map(|who| {
            let pair = lab.peer(who).selected_ice_candidate_pair().expect("it is connected");
            let fields: Vec<_> = pair.local.candidate.split(' ').collect();
            let address: IpAddr = fields[4].parse().expect("an address");
            SocketAddr::new(address, fields[5].parse().expect("a port"))
        })
    };
    let stranger = |local: SocketAddr| match local.ip() {
        IpAddr::V4(_) => SocketAddr::from(([203, 0, 113, 9], 999)),
        IpAddr::V6(_) => SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 9, 9], 999)),
    };
    for version in [ProtocolVersion::DTLS_1_2, ProtocolVersion::DTLS_1_3] {
        let config = |who| Config {
            max_dtls_version: version,
            ..config(77, who)
        };
        let mut lab = Lab::with(77, path(), [config(0), config(1)]);
        let near = lab.open(0, "chat", DataChannelInit::default());
        lab.offer(0, OfferOptions::default());
        let attack = |lab: &mut Lab| {
            let intruder = dtls::Config {
                max_version: version,
                ..dtls::Config::new(common::certificate(0))
            };
            let (mut intruder, mut hello) = (dtls::Connection::new(intruder, dtls::Role::Client), Vec::new());
            let now = lab.now();
            while intruder.poll_transmit(now, &mut hello).is_some() {
                for who in [0, 1] {
                    let datagram = Datagram {
                        five_tuple: FiveTuple::udp(sockets[who], stranger(sockets[who])),
                        ecn: None,
                        payload: hello[..].into(),
                    };
                    lab.with_peer(who, |peer, now| peer.handle_datagram(now, datagram));
                }
                hello.clear();
            }
        };
        for _ in 0..30 {
            attack(&mut lab);
            lab.run_for(Duration::from_millis(4));
        }
        lab.expect_event(0, &Event::ChannelOpen(near));
        let far = lab.expect_incoming(1);
        attack(&mut lab);
        // All of them came to nothing, the first of a peer that knows no path included.
        for who in [0, 1] {
            let now = lab.now();
            let stats = lab.peer(who).stats(now);
            let dropped = stats.stats.iter().find_map(|stats| match &stats.kind {
                StatsKind::Transport(transport) => Some(transport.packets_discarded),
                _ => None,
            });
            assert!(dropped.is_some_and(|dropped| dropped >= 31), "{dropped:?}");
        }
        lab.send(0, near, "still here");
        assert_eq!(lab.expect_message(1, far), Message::from("still here"));
    }
}

//! Opening, sending, reading: what both ends see.

use std::time::Duration;

use bytes::Bytes;
use peerline_sctp::datachannel::{ChannelInit, Channels, Config, Event, Message, OpenError, Role, SendError, State};
use peerline_sim::{Link, Pair, epoch, every_loss, for_each_seed};

use crate::{LIMIT, bad_link, config, connected, open, pair, pair_with, peer, read_all, state, stream};

const MS: Duration = Duration::from_millis(1);

#[test]
fn a_channel_opens_and_carries_messages_both_ways() {
    let mut pair = pair(0, &Link::delay(10 * MS));
    let now = pair.now();
    let init = ChannelInit {
        protocol: "json".to_owned(),
        ..ChannelInit::new("chat")
    };
    let chat = pair.a.open(now, init).expect("a channel");
    assert_eq!(pair.a.send(now, chat, "too early"), Err(SendError::NotOpen));
    pair.expect("the channel", LIMIT, |pair| pair.events_b().len() == 2);
    assert_eq!(pair.take_events_a(), [Event::AssociationConnected, Event::Opened(chat)]);
    let (theirs, _) = pair.b.iter().next().expect("the peer's channel");
    assert_eq!(
        pair.take_events_b(),
        [Event::AssociationConnected, Event::Incoming(theirs)]
    );

    let channel = pair.b.channel(theirs).expect("it exists");
    assert_eq!(
        (channel.label(), channel.protocol(), channel.id()),
        ("chat", "json", Some(0))
    );
    assert_eq!(
        (channel.ordered(), channel.negotiated(), channel.priority()),
        (true, false, 256)
    );
    assert_eq!(
        (channel.max_retransmits(), channel.max_packet_life_time()),
        (None, None)
    );

    let now = pair.now();
    pair.b.send(now, theirs, "h\u{e9}llo").expect("it is open");
    pair.a.send(now, chat, vec![1, 2, 3]).expect("it is open");
    pair.expect("news", LIMIT, |pair| {
        pair.events_a().contains(&Event::Readable(chat)) && pair.events_b().contains(&Event::Readable(theirs))
    });
    let readable = |event: &Event| matches!(event, Event::Readable(_));
    assert_eq!(
        pair.take_events_a().into_iter().filter(readable).collect::<Vec<_>>(),
        [Event::Readable(chat)]
    );
    assert_eq!(read_all(&mut pair.a, chat), ["h\u{e9}llo".into()]);
    assert_eq!(read_all(&mut pair.b, theirs), [vec![1, 2, 3].into()]);
    let stats = pair.a.channel(chat).expect("it exists").stats();
    assert_eq!((stats.messages_sent, stats.bytes_sent), (1, 3));
    assert_eq!((stats.messages_received, stats.bytes_received), (1, 6));
}

#[test]
fn data_follows_the_open_without_waiting_for_the_acknowledgement() {
    let mut pair = connected(1, &Link::delay(50 * MS));
    let began = pair.elapsed();
    let now = pair.now();
    let chat = pair.a.open(now, ChannelInit::new("chat")).expect("a channel");
    pair.a.send(now, chat, "already").expect("the OPEN is queued");
    pair.expect("the message", LIMIT, |pair| pair.events_b().len() == 2);
    assert_eq!(pair.elapsed() - began, 50 * MS);
    let (theirs, _) = pair.b.iter().next().expect("the peer's channel");
    assert_eq!(pair.take_events_b(), [Event::Incoming(theirs), Event::Readable(theirs)]);
    assert_eq!(pair.b.recv(theirs), Some("already".into()));
}

#[test]
fn an_open_goes_with_the_cookie_and_the_channel_is_open_when_the_association_is() {
    let mut pair = Pair::new(1, peer(config(1, 0)), peer(config(1, 1))).links(&Link::delay(50 * MS));
    let now = pair.now();
    pair.a.set_role(now, Role::Client);
    pair.b.set_role(now, Role::Server);
    let ours = pair.a.open(now, ChannelInit::new("chat")).expect("a channel");
    let agreed = pair
        .a
        .open(
            now,
            ChannelInit {
                negotiated: Some(8),
                ..ChannelInit::default()
            },
        )
        .expect("a channel");
    pair.a.connect(now);
    pair.expect("the channel", LIMIT, |pair| pair.b.iter().next().is_some());
    assert_eq!(pair.elapsed(), 150 * MS, "INIT, INIT ACK, COOKIE ECHO");
    assert_eq!(state(&pair.a, ours), Some(State::Connecting));
    let (theirs, _) = pair.b.iter().next().expect("it was found");
    let now = pair.now();
    pair.b.send(now, theirs, "at once").expect("it is open there");
    pair.expect("the acknowledgement", LIMIT, |pair| {
        state(&pair.a, ours) == Some(State::Open)
    });
    assert_eq!(pair.elapsed(), 200 * MS);
    assert_eq!(
        pair.take_events_a(),
        [
            Event::AssociationConnected,
            Event::Opened(ours),
            Event::Opened(agreed),
            Event::Readable(ours)
        ]
    );
    assert_eq!(pair.a.recv(ours), Some("at once".into()));
    assert_eq!(pair.a.stats().opened, 2);
}

#[test]
fn every_kind_of_channel_arrives_as_it_was_made() {
    let mut pair = connected(2, &Link::default());
    let long = "\u{20ac}".repeat(10_000);
    for (ordered, max_retransmits, max_packet_life_time, priority) in [
        (true, None, None, 256),
        (false, None, None, 128),
        (true, Some(0), None, 512),
        (false, Some(u16::MAX), None, 1024),
        (true, None, Some(500), 256),
        (false, None, Some(u16::MAX), 0),
    ] {
        let (label, protocol) = (long.clone(), "\u{1f980}".to_owned());
        let init = ChannelInit {
            label,
            protocol,
            ordered,
            max_retransmits,
            max_packet_life_time,
            negotiated: None,
            priority,
        };
        let (ours, theirs) = open(&mut pair, init.clone());
        for channel in [pair.a.channel(ours), pair.b.channel(theirs)] {
            let channel = channel.expect("it exists");
            assert_eq!(
                (channel.label(), channel.protocol()),
                (&init.label[..], &init.protocol[..])
            );
            assert_eq!((channel.ordered(), channel.priority()), (ordered, priority));
            assert_eq!(channel.max_retransmits(), max_retransmits);
            assert_eq!(channel.max_packet_life_time(), max_packet_life_time);
        }
    }
}

#[test]
fn messages_keep_their_kind_and_their_bytes_at_every_size() {
    let mut pair = connected(
        3,
        &Link {
            rate: Some(100_000_000),
            ..Link::delay(MS)
        },
    );
    pair.a.set_max_send_message_size(262_144);
    let (ours, theirs) = open(&mut pair, ChannelInit::new("sizes"));
    let sent: Vec<Message> = [0, 1, 2, 1000, 1171, 1172, 1173, 16_384, 65_536, 262_144]
        .into_iter()
        .flat_map(|len| [Message::Binary(vec![7; len].into()), Message::Text("x".repeat(len))])
        .collect();
    let now = pair.now();
    for message in &sent {
        pair.a.send(now, ours, message.clone()).expect("it is open");
    }
    assert_eq!(pair.a.send(now, ours, vec![0; 262_145]), Err(SendError::TooLarge));
    let mut arrived = Vec::new();
    pair.expect("all of them", LIMIT, |pair| {
        arrived.extend(read_all(&mut pair.b, theirs));
        arrived.len() == sent.len()
    });
    assert_eq!(arrived, sent);
}

#[test]
fn channels_made_before_the_role_and_the_association_open_in_order() {
    let mut pair = Pair::new(4, peer(config(4, 0)), peer(config(4, 1)));
    let now = pair.now();
    let made: Vec<_> = ["one", "two", "three"]
        .map(|label| pair.b.open(now, ChannelInit::new(label)).expect(label))
        .into();
    assert_eq!(
        made.iter().map(|&id| stream(&pair.b, id)).collect::<Vec<_>>(),
        [None; 3]
    );
    pair.a.connect(now);
    pair.b.connect(now);
    pair.run_for(100 * MS);
    assert_eq!(pair.take_events_b(), [Event::AssociationConnected]);
    let now = pair.now();
    pair.b.set_role(now, Role::Server);
    pair.a.set_role(now, Role::Client);
    assert_eq!(
        made.iter().map(|&id| stream(&pair.b, id)).collect::<Vec<_>>(),
        [Some(1), Some(3), Some(5)]
    );
    pair.expect("the channels", LIMIT, |pair| pair.a.iter().count() == 3);
    assert_eq!(
        pair.take_events_b(),
        made.iter().map(|&id| Event::Opened(id)).collect::<Vec<_>>()
    );
    assert_eq!(
        pair.a.iter().map(|(_, channel)| channel.label()).collect::<Vec<_>>(),
        ["one", "two", "three"]
    );
    assert_eq!(
        pair.a.open(now, ChannelInit::default()).map(|id| stream(&pair.a, id)),
        Ok(Some(0))
    );
}

#[test]
fn a_negotiated_channel_needs_no_open_and_gets_what_came_before_it_was_made() {
    let mut pair = connected(5, &Link::default());
    let before = pair.datagrams_sent();
    let init = |id| ChannelInit {
        negotiated: Some(id),
        ..ChannelInit::new("agreed")
    };
    let now = pair.now();
    let ours = pair.a.open(now, init(65_534)).expect("a channel");
    assert_eq!(state(&pair.a, ours), Some(State::Open));
    pair.run_for(MS);
    assert_eq!(pair.datagrams_sent(), before, "nothing is sent for it");
    pair.a.send(now, ours, "early").expect("it is open");
    pair.a.send(now, ours, "bird").expect("it is open");
    pair.run_for(300 * MS);
    assert_eq!(pair.take_events_b(), [], "nobody knows the channel yet");
    let now = pair.now();
    let theirs = pair.b.open(now, init(65_534)).expect("a channel");
    assert_eq!(pair.take_events_b(), [Event::Opened(theirs), Event::Readable(theirs)]);
    assert_eq!(read_all(&mut pair.b, theirs), ["early".into(), "bird".into()]);
    pair.b.send(now, theirs, "worm").expect("it is open");
    pair.expect("the answer", LIMIT, |pair| pair.a.recv(ours) == Some("worm".into()));
    assert!(pair.a.channel(ours).is_some_and(|channel| channel.negotiated()));
}

#[test]
fn what_cannot_be_opened_is_refused() {
    let mut channels = Channels::new(Config {
        max_channels: 2,
        ..config(6, 0)
    });
    let now = epoch();
    let base = ChannelInit::default();
    let long = "x".repeat(65_536);
    let negotiated = |id| ChannelInit {
        negotiated: Some(id),
        ..ChannelInit::default()
    };
    for (init, error) in [
        (
            ChannelInit {
                label: long.clone(),
                ..base.clone()
            },
            OpenError::LabelTooLong,
        ),
        (
            ChannelInit {
                protocol: long,
                ..base.clone()
            },
            OpenError::ProtocolTooLong,
        ),
        (
            ChannelInit {
                max_retransmits: Some(0),
                max_packet_life_time: Some(0),
                ..base
            },
            OpenError::TwoLimits,
        ),
        (negotiated(65_535), OpenError::InvalidId),
    ] {
        assert_eq!(channels.open(now, init), Err(error));
    }
    channels.open(now, negotiated(7)).expect("a channel");
    assert_eq!(channels.open(now, negotiated(7)), Err(OpenError::IdInUse));
    channels.open(now, negotiated(8)).expect("a channel");
    assert_eq!(channels.open(now, negotiated(9)), Err(OpenError::TooManyChannels));
}

#[test]
fn ids_skip_those_that_are_in_use() {
    let mut pair = connected(7, &Link::default());
    let now = pair.now();
    for (init, expected) in [
        (
            ChannelInit {
                negotiated: Some(2),
                ..ChannelInit::default()
            },
            2,
        ),
        (ChannelInit::default(), 0),
        (ChannelInit::default(), 4),
    ] {
        let id = pair.a.open(now, init).expect("a channel");
        assert_eq!(stream(&pair.a, id), Some(expected));
    }
}

#[test]
fn a_hundred_channels_at_once_open_and_echo_on_a_bad_network() {
    for_each_seed(0..2, |seed| {
        let mut pair = pair(seed, &bad_link());
        let now = pair.now();
        let made: Vec<_> = (0..100)
            .map(|index| {
                let init = ChannelInit {
                    ordered: index % 2 == 0,
                    ..ChannelInit::new(format!("channel {index}"))
                };
                let peer = if index % 3 == 0 { &mut pair.b } else { &mut pair.a };
                peer.open(now, init).expect("a channel")
            })
            .collect();
        pair.expect("200 ends", LIMIT, |pair| {
            let open = |peer: &Channels| {
                peer.iter()
                    .filter(|(_, channel)| channel.state() == State::Open)
                    .count()
            };
            open(&pair.a) == 100 && open(&pair.b) == 100
        });
        assert_eq!(made.len(), 100);
        let now = pair.now();
        let ids: Vec<_> = pair
            .a
            .iter()
            .map(|(id, channel)| (id, channel.label().to_owned()))
            .collect();
        for (id, label) in &ids {
            pair.a.send(now, *id, label.clone()).expect("it is open");
        }
        let mut echoed = 0;
        pair.expect("100 echoes", LIMIT, |pair| {
            let now = pair.now();
            let theirs: Vec<_> = pair
                .b
                .iter()
                .map(|(id, channel)| (id, channel.label().to_owned()))
                .collect();
            for (id, label) in theirs {
                while let Some(message) = pair.b.recv(id) {
                    assert_eq!(message, label.clone().into());
                    pair.b.send(now, id, message).expect("it is open");
                }
            }
            for (id, label) in &ids {
                while let Some(message) = pair.a.recv(*id) {
                    assert_eq!(message, label.clone().into());
                    echoed += 1;
                }
            }
            if pair.elapsed() > MS * 310 {
                eprintln!(
                    "{:?} echoed {echoed} {:?} {:?} {:?} {:?}",
                    pair.elapsed(),
                    pair.a.association().stats(),
                    pair.b.association().stats(),
                    pair.a.poll_timeout(),
                    pair.b.poll_timeout()
                );
            }
            echoed == 100
        });
    });
}

#[test]
fn the_handshake_of_everything_survives_any_two_losses() {
    for lost in every_loss(2, 9) {
        let mut pair = pair(8, &Link::delay(20 * MS)).lose(lost.clone());
        let now = pair.now();
        let ours = pair.a.open(now, ChannelInit::new("a")).expect("a channel");
        let theirs = pair.b.open(now, ChannelInit::new("b")).expect("a channel");
        pair.expect(&format!("four ends without {lost:?}"), LIMIT, |pair| {
            let open = |peer: &Channels| {
                peer.iter()
                    .filter(|(_, channel)| channel.state() == State::Open)
                    .count()
            };
            open(&pair.a) == 2 && open(&pair.b) == 2
        });
        assert_eq!((stream(&pair.a, ours), stream(&pair.b, theirs)), (Some(0), Some(1)));
    }
}

#[test]
fn unordered_messages_go_in_order_until_the_peer_has_answered() {
    let mut pair = connected(9, &Link::delay(20 * MS));
    let now = pair.now();
    let init = ChannelInit {
        ordered: false,
        ..ChannelInit::new("loose")
    };
    let ours = pair.a.open(now, init).expect("a channel");
    // The packet with the OPEN is lost. The message in the next one must not be delivered before it.
    pair.a_to_b.link.loss = 1.0;
    pair.exchange();
    pair.a_to_b.link.loss = 0.0;
    pair.a.send(now, ours, "first").expect("it is open");
    pair.a.send(now, ours, "second").expect("it is open");
    pair.run_for(30 * MS);
    assert_eq!(pair.take_events_b(), [], "held back behind the OPEN");
    let mut arrived = Vec::new();
    pair.expect("both", LIMIT, |pair| {
        let theirs = pair.b.iter().next().map(|(id, _)| id);
        if let Some(theirs) = theirs {
            arrived.extend(read_all(&mut pair.b, theirs));
        }
        arrived.len() == 2
    });
    assert_eq!(arrived, ["first".into(), "second".into()]);

    // The ACK has come. Now a lost message does not hold back the next one.
    pair.run_for(100 * MS);
    let (theirs, _) = pair.b.iter().next().expect("the peer's channel");
    let now = pair.now();
    pair.a_to_b.link.loss = 1.0;
    pair.a.send(now, ours, "lost at first").expect("it is open");
    pair.exchange();
    pair.a_to_b.link.loss = 0.0;
    pair.a.send(now, ours, "not held back").expect("it is open");
    pair.expect("the second", LIMIT, |pair| {
        pair.b.recv(theirs) == Some("not held back".into())
    });
    pair.expect("the first", LIMIT, |pair| {
        pair.b.recv(theirs) == Some("lost at first".into())
    });
}

#[test]
fn the_buffered_amount_counts_what_the_application_sent_and_says_when_it_is_low() {
    let mut pair = connected(
        10,
        &Link {
            rate: Some(8_000_000),
            ..Link::delay(10 * MS)
        },
    );
    let (ours, theirs) = open(&mut pair, ChannelInit::new("bulk"));
    pair.run_for(100 * MS);
    assert_eq!(
        pair.take_events_a(),
        [Event::Opened(ours)],
        "an OPEN that was sent is no news"
    );
    pair.a.set_buffered_amount_low_threshold(ours, 100_000);
    let now = pair.now();
    pair.a.send(now, ours, "").expect("it is open");
    assert_eq!(pair.a.buffered_amount(ours), 0);
    for _ in 0..10 {
        pair.a.send(now, ours, vec![0; 50_000]).expect("it is open");
    }
    assert_eq!(pair.a.buffered_amount(ours), 500_000);
    let mut read = 0;
    pair.expect("it to be low", LIMIT, |pair| {
        read += read_all(&mut pair.b, theirs).len();
        !pair.events_a().is_empty()
    });
    assert_eq!(pair.take_events_a(), [Event::BufferedAmountLow(ours)]);
    let low = pair.a.buffered_amount(ours);
    assert!((90_000..=100_000).contains(&low), "{low}");
    pair.expect("nothing to be left", LIMIT, |pair| {
        read += read_all(&mut pair.b, theirs).len();
        read == 11
    });
    assert_eq!(pair.a.buffered_amount(ours), 0);
    assert_eq!(pair.take_events_a(), [], "said once");
    let stats = pair.b.channel(theirs).expect("it exists").stats();
    assert_eq!((stats.messages_received, stats.bytes_received), (11, 500_000));
}

#[test]
fn what_is_not_read_stops_the_sender_and_reading_starts_it_again() {
    let narrow = |who| {
        let mut config = config(11, who);
        config.sctp.receive_window = 200_000;
        config
    };
    let mut pair = pair_with(11, narrow(0), narrow(1), &Link::delay(5 * MS));
    let (ours, theirs) = open(&mut pair, ChannelInit::new("bulk"));
    let now = pair.now();
    for index in 0..100_u8 {
        pair.a.send(now, ours, vec![index; 10_000]).expect("it is open");
    }
    pair.run_for(Duration::from_secs(20));
    let waiting = pair.a.buffered_amount(ours);
    assert!(
        waiting > 700_000,
        "the window is closed: {waiting} of 1,000,000 bytes wait"
    );
    let mut arrived = Vec::new();
    pair.expect("the rest", LIMIT, |pair| {
        arrived.extend(read_all(&mut pair.b, theirs));
        arrived.len() == 100
    });
    let expected: Vec<Message> = (0..100).map(|index| Bytes::from(vec![index; 10_000]).into()).collect();
    assert_eq!(arrived, expected);
}

#[test]
fn without_room_to_look_ahead_the_application_finds_the_acknowledgement() {
    let blind = |who| Config {
        max_early: 0,
        ..config(12, who)
    };
    let mut pair = pair_with(12, blind(0), blind(1), &Link::delay(10 * MS));
    let (ours, theirs) = open(
        &mut pair,
        ChannelInit {
            ordered: false,
            ..ChannelInit::new("blind")
        },
    );
    pair.expect("something to read", LIMIT, |pair| {
        pair.events_a().contains(&Event::Readable(ours))
    });
    assert_eq!(pair.a.recv(ours), None);
    let now = pair.now();
    pair.a_to_b.link.loss = 1.0;
    pair.a.send(now, ours, "lost at first").expect("it is open");
    pair.exchange();
    pair.a_to_b.link.loss = 0.0;
    pair.a.send(now, ours, "not held back").expect("it is open");
    let mut first = None;
    pair.expect("a message", LIMIT, |pair| {
        first = pair.b.recv(theirs);
        first.is_some()
    });
    assert_eq!(first, Some("not held back".into()));
}

#[test]
fn the_share_of_a_channel_follows_its_priority() {
    let mut pair = connected(
        13,
        &Link {
            rate: Some(8_000_000),
            ..Link::delay(5 * MS)
        },
    );
    let made = [128, 256, 1024].map(|priority| {
        open(
            &mut pair,
            ChannelInit {
                priority,
                ..ChannelInit::default()
            },
        )
    });
    let now = pair.now();
    for (ours, _) in made {
        for _ in 0..50 {
            pair.a.send(now, ours, vec![0; 10_000]).expect("it is open");
        }
    }
    pair.run_for(400 * MS);
    let sent = made.map(|(ours, _)| 500_000 - pair.a.buffered_amount(ours));
    assert!(sent[0] > 10_000 && sent[2] < 500_000, "{sent:?}");
    let ratio = |more: usize, less: usize| more as f64 / less as f64;
    assert!((1.5..2.5).contains(&ratio(sent[1], sent[0])), "{sent:?}");
    assert!((3.0..5.0).contains(&ratio(sent[2], sent[1])), "{sent:?}");
}

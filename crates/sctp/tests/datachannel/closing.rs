//! Closing by either side, by both, by the association; numbers that are used again.

use std::time::Duration;

use peerline_sctp::CloseReason;
use peerline_sctp::datachannel::{
    ChannelError, ChannelId, ChannelInit, Event, Message, OpenError, Role, SendError, State,
};
use peerline_sim::{Link, Pair, for_each_seed};

use crate::{LIMIT, bad_link, config, connected, open, peer, read_all, state, stream};

const MS: Duration = Duration::from_millis(1);

#[test]
fn closing_sends_what_is_queued_and_ends_at_both_sides() {
    let mut pair = connected(
        0,
        &Link {
            rate: Some(10_000_000),
            ..Link::delay(10 * MS)
        },
    );
    let (ours, theirs) = open(&mut pair, ChannelInit::new("bulk"));
    pair.run_for(100 * MS);
    pair.take_events_a();
    pair.take_events_b();
    let now = pair.now();
    for index in 0..20_u8 {
        pair.a.send(now, ours, vec![index; 20_000]).expect("it is open");
    }
    pair.a.close(now, ours);
    assert_eq!(state(&pair.a, ours), Some(State::Closing));
    assert_eq!(pair.a.send(now, ours, "too late"), Err(SendError::NotOpen));
    pair.a.close(now, ours);

    let mut arrived = Vec::new();
    pair.expect("both to be closed", LIMIT, |pair| {
        arrived.extend(read_all(&mut pair.b, theirs));
        state(&pair.a, ours) == Some(State::Closed) && state(&pair.b, theirs) == Some(State::Closed)
    });
    assert_eq!(arrived.len(), 20, "nothing that was queued is lost");
    let events = pair.take_events_a();
    assert!(!events.contains(&Event::Closing(ours)), "we closed it ourselves");
    assert_eq!(events.last(), Some(&Event::Closed(ours)));
    let events: Vec<_> = pair
        .take_events_b()
        .into_iter()
        .filter(|event| *event != Event::Readable(theirs))
        .collect();
    assert_eq!(events, [Event::Closing(theirs), Event::Closed(theirs)]);
    assert_eq!((pair.a.streams_in_use(), pair.b.streams_in_use()), (0, 0));

    assert!(pair.a.channel(ours).is_some(), "properties stay");
    assert!(pair.a.remove(ours) && pair.b.remove(theirs));
    assert!(!pair.a.remove(ours));
    assert_eq!((pair.a.iter().count(), pair.a.recv(ours)), (0, None));
}

#[test]
fn a_peer_that_has_not_read_keeps_its_end_until_it_has() {
    let mut pair = connected(1, &Link::delay(10 * MS));
    let (ours, theirs) = open(&mut pair, ChannelInit::new("slow reader"));
    let now = pair.now();
    for text in ["one", "two", "three"] {
        pair.a.send(now, ours, text).expect("it is open");
    }
    pair.a.close(now, ours);
    pair.run_for(Duration::from_secs(5));
    assert_eq!(state(&pair.b, theirs), Some(State::Open));
    assert_eq!(state(&pair.a, ours), Some(State::Closed));
    assert_eq!(
        read_all(&mut pair.b, theirs),
        ["one".into(), "two".into(), "three".into()]
    );
    pair.expect("both to be closed", LIMIT, |pair| {
        state(&pair.a, ours) == Some(State::Closed) && state(&pair.b, theirs) == Some(State::Closed)
    });
}

#[test]
fn a_side_that_closes_without_reading_is_not_held_up_by_what_comes() {
    let mut pair = connected(2, &Link::delay(10 * MS));
    let (ours, theirs) = open(&mut pair, ChannelInit::new("deaf"));
    let now = pair.now();
    for _ in 0..100 {
        pair.a.send(now, ours, vec![0; 10_000]).expect("it is open");
    }
    pair.run_for(20 * MS);
    let now = pair.now();
    pair.b.close(now, theirs);
    assert_eq!(pair.b.recv(theirs), None);
    pair.expect("both to be closed", LIMIT, |pair| {
        state(&pair.a, ours) == Some(State::Closed) && state(&pair.b, theirs) == Some(State::Closed)
    });
    assert_eq!((pair.a.streams_in_use(), pair.b.streams_in_use()), (0, 0));
}

#[test]
fn both_sides_may_close_at_once() {
    for_each_seed(0..5, |seed| {
        let mut pair = connected(seed, &bad_link());
        let (ours, theirs) = open(&mut pair, ChannelInit::new("both"));
        let now = pair.now();
        pair.a.close(now, ours);
        pair.b.close(now, theirs);
        pair.expect("both to be closed", LIMIT, |pair| {
            state(&pair.a, ours) == Some(State::Closed) && state(&pair.b, theirs) == Some(State::Closed)
        });
        assert!(!pair.take_events_a().contains(&Event::Closing(ours)));
        assert_eq!((pair.a.streams_in_use(), pair.b.streams_in_use()), (0, 0));
    });
}

#[test]
fn a_number_is_used_again_only_when_both_directions_are_reset() {
    for_each_seed(0..10, |seed| {
        let mut pair = connected(seed, &bad_link());
        let mut names = Vec::new();
        for round in 0..5 {
            let label = format!("round {round}");
            let (ours, theirs) = open(&mut pair, ChannelInit::new(label.clone()));
            assert_eq!(stream(&pair.a, ours), Some(0));
            assert_eq!(pair.b.channel(theirs).map(|channel| channel.label()), Some(&label[..]));
            let now = pair.now();
            pair.a.send(now, ours, label.clone()).expect("it is open");
            pair.expect("the message", LIMIT, |pair| {
                pair.b.recv(theirs) == Some(label.clone().into())
            });
            let now = pair.now();
            if round % 2 == 0 {
                pair.a.close(now, ours);
            } else {
                pair.b.close(now, theirs);
            }
            if round == 0 {
                let next = pair.a.open(now, ChannelInit::new("meanwhile")).expect("a channel");
                assert_eq!(stream(&pair.a, next), Some(2), "0 is still closing");
            }
            // At once when we know, which may be before the peer does.
            pair.expect("our end to be closed", LIMIT, |pair| {
                state(&pair.a, ours) == Some(State::Closed)
            });
            names.extend([ours, theirs]);
        }
        assert_eq!(names.len(), 10);
    });
}

#[test]
fn a_channel_that_never_opened_closes_at_once() {
    let mut pair = connected(3, &Link::default());
    let mut alone = crate::peer(crate::config(3, 9));
    let now = pair.now();
    let id = alone.open(now, ChannelInit::new("nobody")).expect("a channel");
    alone.close(now, id);
    assert_eq!(alone.poll_event(), Some(Event::Closed(id)));
    assert_eq!(alone.poll_event(), None);
    assert_eq!((alone.stats().opened, alone.stats().closed), (0, 0));

    let ours = pair.a.open(now, ChannelInit::new("short")).expect("a channel");
    pair.a.close(now, ours);
    pair.expect("it to be closed", LIMIT, |pair| {
        state(&pair.a, ours) == Some(State::Closed)
    });
    pair.run_for(Duration::from_secs(5));
    assert_eq!((pair.a.streams_in_use(), pair.b.streams_in_use()), (0, 0));
}

#[test]
fn a_channel_that_is_closed_after_its_open_left_with_the_cookie_closes_at_the_peer_as_well() {
    let mut pair = Pair::new(4, peer(config(4, 0)), peer(config(4, 1))).links(&Link::delay(20 * MS));
    let now = pair.now();
    pair.a.set_role(now, Role::Client);
    pair.b.set_role(now, Role::Server);
    let ours = pair.a.open(now, ChannelInit::new("short")).expect("a channel");
    pair.a.connect(now);
    // The COOKIE ECHO has just left.
    pair.run_for(50 * MS);
    assert!(!pair.a.association().is_connected());
    let now = pair.now();
    pair.a.close(now, ours);
    assert_eq!(state(&pair.a, ours), Some(State::Closing));
    pair.expect("both ends to close", LIMIT, |pair| {
        let theirs = pair.b.iter().next().map(|(_, channel)| channel.state());
        state(&pair.a, ours) == Some(State::Closed) && theirs == Some(State::Closed)
    });
    pair.run_for(Duration::from_secs(5));
    assert_eq!(pair.take_events_a(), [Event::AssociationConnected, Event::Closed(ours)]);
    assert_eq!((pair.a.streams_in_use(), pair.b.streams_in_use()), (0, 0));
    let stats = pair.a.stats();
    assert_eq!((stats.opened, stats.closed), (1, 1));
}

#[test]
fn the_end_of_the_association_closes_every_channel() {
    for how in ["shutdown", "abort"] {
        let mut pair = connected(4, &Link::delay(10 * MS));
        let channels: Vec<_> = (0..5).map(|_| open(&mut pair, ChannelInit::default())).collect();
        let now = pair.now();
        let unread = channels[0];
        pair.b.send(now, unread.1, "unread").expect("it is open");
        pair.run_for(200 * MS);
        pair.take_events_a();
        pair.take_events_b();
        let now = pair.now();
        match how {
            "shutdown" => pair.a.shutdown(now),
            _ => pair.a.abort(now, "Close called"),
        }
        pair.expect("both to know", LIMIT, |pair| {
            pair.a.association().is_closed() && pair.b.association().is_closed()
        });
        let (a, b) = (pair.take_events_a(), pair.take_events_b());
        let closed = |ids: Vec<ChannelId>| ids.into_iter().map(Event::Closed).collect::<Vec<_>>();
        assert_eq!(
            a[..a.len() - 1],
            closed(channels.iter().map(|it| it.0).collect()),
            "{how}"
        );
        assert_eq!(
            b[..b.len() - 1],
            closed(channels.iter().map(|it| it.1).collect()),
            "{how}"
        );
        match (how, a.last(), b.last()) {
            ("shutdown", Some(Event::AssociationClosed(one)), Some(Event::AssociationClosed(other))) => {
                assert_eq!((one, other), (&CloseReason::Shutdown, &CloseReason::Shutdown));
            }
            (_, Some(Event::AssociationClosed(one)), Some(Event::AssociationClosed(other))) => {
                assert_eq!(one, &CloseReason::Aborted);
                assert!(matches!(other, CloseReason::AbortedByPeer { reason, .. } if reason == "Close called"));
            }
            other => panic!("{other:?}"),
        }
        let now = pair.now();
        assert_eq!(pair.a.open(now, ChannelInit::default()), Err(OpenError::Closed));
        assert_eq!(pair.a.send(now, channels[1].0, "late"), Err(SendError::NotOpen));
        assert!(channels.iter().all(|&(ours, _)| pair.a.remove(ours)));
    }
}

#[test]
fn a_failed_association_is_an_error_of_each_channel() {
    let mut pair = connected(5, &Link::delay(10 * MS));
    let (ours, _) = open(&mut pair, ChannelInit::default());
    pair.run_for(Duration::from_secs(1));
    pair.take_events_a();
    pair.a_to_b.link.loss = 1.0;
    pair.b_to_a.link.loss = 1.0;
    let now = pair.now();
    pair.a.send(now, ours, "into the void").expect("it is open");
    pair.expect("the end", Duration::from_secs(3600), |pair| {
        pair.a.association().is_closed()
    });
    let events = pair.take_events_a();
    let end = [
        Event::Error(ours, ChannelError::AssociationFailed),
        Event::Closed(ours),
        Event::AssociationClosed(CloseReason::TooManyRetransmissions),
    ];
    assert!(events.ends_with(&end), "{events:?}");
}

#[test]
fn messages_that_came_before_the_end_can_still_be_read() {
    let mut pair = connected(6, &Link::delay(10 * MS));
    let (ours, theirs) = open(&mut pair, ChannelInit::default());
    let now = pair.now();
    pair.b.send(now, theirs, "last words").expect("it is open");
    pair.run_for(200 * MS);
    let now = pair.now();
    pair.b.abort(now, "bye");
    pair.expect("the end", LIMIT, |pair| pair.a.association().is_closed());
    assert_eq!(read_all(&mut pair.a, ours), [Message::from("last words")]);
}

#[test]
fn a_channel_that_is_opened_used_and_closed_at_once_can_still_be_read() {
    let mut pair = connected(7, &Link::delay(10 * MS));
    let now = pair.now();
    let ours = pair.a.open(now, ChannelInit::new("one shot")).expect("a channel");
    pair.a.send(now, ours, "bang").expect("it is open");
    pair.a.close(now, ours);
    pair.run_for(Duration::from_secs(1));
    let theirs = pair.b.iter().next().map(|(id, _)| id).expect("the peer's channel");
    assert_eq!(pair.take_events_b(), [Event::Incoming(theirs), Event::Readable(theirs)]);
    assert_eq!(read_all(&mut pair.b, theirs), ["bang".into()]);
    pair.expect("both to be closed", LIMIT, |pair| {
        state(&pair.a, ours) == Some(State::Closed) && state(&pair.b, theirs) == Some(State::Closed)
    });
    assert_eq!(pair.take_events_b(), [Event::Closing(theirs), Event::Closed(theirs)]);
}

#[test]
fn the_peer_does_not_wait_for_what_is_unread() {
    let mut pair = connected(8, &Link::delay(10 * MS));
    let (ours, theirs) = open(&mut pair, ChannelInit::default());
    pair.take_events_b();
    let now = pair.now();
    let sent: Vec<Message> = (0..5).map(|i| format!("{i}").repeat(20_000).into()).collect();
    for message in &sent {
        pair.a.send(now, ours, message.clone()).expect("it is open");
    }
    pair.a.close(now, ours);
    pair.run_for(Duration::from_secs(1));
    assert_eq!(state(&pair.a, ours), Some(State::Closed));
    assert_eq!((pair.a.streams_in_use(), pair.b.streams_in_use()), (0, 0));
    assert_eq!(
        pair.take_events_b(),
        [Event::Readable(theirs)],
        "the rest when it is read"
    );
    let now = pair.now();
    assert_eq!(pair.b.send(now, theirs, "too late"), Err(SendError::NotOpen));
    assert_eq!(pair.b.buffered_amount(theirs), 0);

    // The number is free, and what goes on there now is not mixed up with what is unread.
    let (next, far) = open(&mut pair, ChannelInit::new("next"));
    assert_eq!(stream(&pair.a, next), Some(0));
    pair.take_events_b();
    let now = pair.now();
    pair.a.send(now, next, "new").expect("it is open");
    pair.run_for(200 * MS);
    assert_eq!(pair.take_events_b(), [Event::Readable(far)]);
    assert_eq!(read_all(&mut pair.b, theirs), sent);
    assert_eq!(pair.take_events_b(), [Event::Closing(theirs), Event::Closed(theirs)]);
    assert_eq!(read_all(&mut pair.b, far), ["new".into()]);
    assert_eq!(state(&pair.b, far), Some(State::Open));
}

#[test]
fn what_is_unread_and_too_much_to_keep_holds_the_closing_up() {
    let mut pair = connected(8, &Link::delay(10 * MS));
    let (ours, theirs) = open(&mut pair, ChannelInit::default());
    let now = pair.now();
    for _ in 0..8 {
        pair.a.send(now, ours, "x".repeat(60_000)).expect("it is open");
    }
    pair.a.close(now, ours);
    pair.run_for(Duration::from_secs(2));
    assert_eq!(state(&pair.a, ours), Some(State::Closing));
    assert!(pair.b.association().receive_buffer() >= 480_000, "it closes the window");
    assert_eq!(read_all(&mut pair.b, theirs).len(), 8);
    pair.expect("both to be closed", LIMIT, |pair| {
        state(&pair.a, ours) == Some(State::Closed) && state(&pair.b, theirs) == Some(State::Closed)
    });
}

#[test]
fn a_channel_that_the_peer_has_closed_can_be_closed_unread() {
    let mut pair = connected(8, &Link::delay(10 * MS));
    let now = pair.now();
    let ours = pair.a.open(now, ChannelInit::new("unheard")).expect("a channel");
    pair.a.send(now, ours, "bang").expect("it is open");
    pair.a.close(now, ours);
    pair.run_for(Duration::from_secs(1));
    let theirs = pair.b.iter().next().map(|(id, _)| id).expect("the peer's channel");
    let now = pair.now();
    pair.b.close(now, theirs);
    assert_eq!(pair.b.recv(theirs), None);
    pair.expect("both to be closed", LIMIT, |pair| {
        state(&pair.a, ours) == Some(State::Closed) && state(&pair.b, theirs) == Some(State::Closed)
    });
    assert_eq!((pair.a.streams_in_use(), pair.b.streams_in_use()), (0, 0));
}

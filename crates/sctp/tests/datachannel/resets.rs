//! Resets that end in other ways than usual: denied, not supported, asked for by the peer; and an association that the
//! peer starts anew.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use peerline_sctp::datachannel::{ChannelError, ChannelId, ChannelInit, Channels, Event, Role, State};
use peerline_sctp::wire::write_checksum;
use peerline_sim::{Direction, Link, Machine, Pair};
use peerline_wire::{Datagram, Transmit};

use crate::{LIMIT, Peer, config, connected, open, peer, read_all, state};

/// A peer whose packets are changed before they leave.
struct Tampered {
    peer: Peer,
    tamper: fn(&mut [u8]),
}

impl Machine for Tampered {
    type Event = Event;
    fn handle_datagram(&mut self, now: Instant, datagram: Datagram) {
        self.peer.handle_datagram(now, datagram);
    }
    fn handle_timeout(&mut self, now: Instant) {
        self.peer.handle_timeout(now);
    }
    fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        let start = out.len();
        let transmit = self.peer.poll_transmit(now, out)?;
        (self.tamper)(&mut out[start..]);
        write_checksum(&mut out[start..]);
        Some(transmit)
    }
    fn poll_timeout(&self) -> Option<Instant> {
        self.peer.poll_timeout()
    }
    fn poll_event(&mut self) -> Option<Event> {
        self.peer.poll_event()
    }
}

/// Writes `new` over each `old` of the same length.
fn replace(packet: &mut [u8], old: &[u8], new: &[u8]) {
    let found: Vec<usize> = packet
        .windows(old.len())
        .enumerate()
        .filter(|(_, it)| *it == old)
        .map(|it| it.0)
        .collect();
    for at in found {
        packet[at..at + new.len()].copy_from_slice(new);
    }
}

fn against(tamper: fn(&mut [u8])) -> (Pair<Tampered, Peer>, ChannelId) {
    let tampered = Tampered {
        peer: peer(config(1, 0)),
        tamper,
    };
    let mut pair = Pair::new(0, tampered, peer(config(1, 1))).links(&Link::delay(Duration::from_millis(5)));
    let now = pair.now();
    pair.a.peer.set_role(now, Role::Server);
    pair.b.set_role(now, Role::Client);
    // Only `a` begins, so that one handshake and not two are tampered with.
    pair.a.peer.connect(now);
    let ours = pair.b.open(now, ChannelInit::new("ours")).expect("a channel");
    pair.expect("the channel", LIMIT, |pair| {
        state(&pair.b, ours) == Some(State::Open) && pair.a.peer.iter().count() == 1
    });
    pair.run_for(Duration::from_secs(1));
    pair.take_events_b();
    (pair, ours)
}

/// The number is lost, the channel is not stuck, and others go on.
fn assert_given_up(pair: &mut Pair<Tampered, Peer>, ours: ChannelId) {
    let now = pair.now();
    pair.b.send(now, ours, "last words").expect("it is open");
    pair.b.close(now, ours);
    pair.expect("it to be closed", LIMIT, |pair| {
        state(&pair.b, ours) == Some(State::Closed)
    });
    assert_eq!(pair.take_events_b().last(), Some(&Event::Closed(ours)));
    pair.run_for(Duration::from_secs(1));
    assert_eq!(pair.b.streams_in_use(), 1);
    // What still comes on the stream is thrown away.
    let theirs = pair.a.peer.iter().next().map(|(id, _)| id).expect("the peer's end");
    let now = pair.now();
    // Where it knows nothing of the closing.
    if pair.a.peer.send(now, theirs, "to nobody").is_ok() {
        pair.run_for(Duration::from_secs(1));
        assert!(pair.b.stats().discarded > 0);
    }
    let now = pair.now();
    let other = pair.b.open(now, ChannelInit::new("other")).expect("a channel");
    assert_eq!(pair.b.channel(other).and_then(|channel| channel.id()), Some(2));
    pair.b.send(now, other, "still here").expect("it is open");
    pair.expect("the message", LIMIT, |pair| {
        let ids: Vec<_> = pair.a.peer.iter().map(|(id, _)| id).collect();
        ids.into_iter()
            .any(|id| pair.a.peer.recv(id) == Some("still here".into()))
    });
}

#[test]
fn with_a_peer_that_cannot_reset_streams_channels_still_close() {
    // Supported Extensions: RE-CONFIG, FORWARD TSN and two more; instead of the first, another FORWARD TSN.
    let (mut pair, ours) = against(|packet| replace(packet, &[0x80, 8, 0, 8, 130, 192], &[0x80, 8, 0, 8, 192, 192]));
    assert_given_up(&mut pair, ours);
}

#[test]
fn with_a_peer_that_denies_resets_channels_still_close() {
    // Re-configuration Response, "Success - Performed" (1): instead, "Denied" (2). RFC 6525 §4.4.
    let (mut pair, ours) = against(|packet| {
        if packet.get(12) == Some(&130) {
            replace(packet, &[0, 0, 0, 1], &[0, 0, 0, 2]);
        }
    });
    assert_given_up(&mut pair, ours);
}

#[test]
fn a_peer_may_ask_for_our_direction_to_be_reset_first() {
    let sent = Rc::new(RefCell::new(Vec::new()));
    let tapped = Rc::clone(&sent);
    let mut pair = Pair::new(0, peer(config(2, 0)), peer(config(2, 1))).tap(move |it| {
        if it.direction == Direction::AToB {
            tapped.borrow_mut().push(it.payload.to_vec());
        }
    });
    let now = pair.now();
    pair.b.set_role(now, Role::Client);
    pair.a.connect(now);
    let ours = pair
        .b
        .open(
            now,
            ChannelInit {
                negotiated: Some(7),
                ..ChannelInit::default()
            },
        )
        .expect("a channel");
    pair.expect("the channel", LIMIT, |pair| state(&pair.b, ours) == Some(State::Open));
    pair.run_for(Duration::from_secs(1));
    pair.take_events_b();

    // `a` has sent no data, so its next TSN and its next request number are its initial TSN.
    let (header, initial_tsn) = {
        let sent = sent.borrow();
        let init = sent.iter().find(|packet| packet[12] == 1).expect("an INIT");
        let tsn = u32::from_be_bytes(init[28..32].try_into().expect("four bytes"));
        let other = sent.iter().find(|packet| packet[12] != 1).expect("another packet");
        (other[..12].to_vec(), tsn)
    };
    let re_config = |parameter: &[u8]| {
        let len = u16::try_from(4 + parameter.len()).expect("short");
        let mut packet = [&header[..], &[130, 0], &len.to_be_bytes(), parameter].concat();
        packet.resize(packet.len().next_multiple_of(4), 0);
        write_checksum(&mut packet);
        BytesMut::from(&packet[..])
    };
    // Incoming SSN Reset Request (RFC 6525 §4.2): "reset your stream 7".
    let ask = [&[0, 14, 0, 10][..], &initial_tsn.to_be_bytes(), &[0, 7]].concat();
    let now = pair.now();
    pair.b.0.handle_datagram(now, re_config(&ask));
    assert!(pair.b.send(now, ours, "too late").is_err());
    // The peer sees our direction reset, and resets its own.
    pair.expect("it to be closed", LIMIT, |pair| {
        state(&pair.b, ours) == Some(State::Closed)
    });
    assert_eq!(pair.take_events_b(), [Event::Closing(ours), Event::Closed(ours)]);
    assert_eq!(pair.b.streams_in_use(), 0);
}

#[test]
fn a_peer_that_starts_anew_has_lost_every_channel_and_can_make_others() {
    let mut pair = connected(3, &Link::delay(Duration::from_millis(5)));
    let (_, theirs) = open(&mut pair, ChannelInit::new("before"));
    let now = pair.now();
    let waiting = pair.b.open(now, ChannelInit::new("also before")).expect("a channel");
    pair.run_for(Duration::from_millis(100));
    pair.take_events_b();

    // The same roles and addresses, nothing remembered.
    pair.a = peer(config(3, 7));
    let now = pair.now();
    pair.a.set_role(now, Role::Client);
    pair.a.connect(now);
    let again = pair.a.open(now, ChannelInit::new("after")).expect("a channel");
    pair.expect("the new channel", LIMIT, |pair| {
        state(&pair.a, again) == Some(State::Open)
            && pair
                .b
                .iter()
                .any(|(_, it)| it.label() == "after" && it.state() == State::Open)
    });
    let events = pair.take_events_b();
    for id in [theirs, waiting] {
        assert!(
            events.contains(&Event::Error(id, ChannelError::AssociationFailed)),
            "{events:?}"
        );
        assert!(events.contains(&Event::Closed(id)), "{events:?}");
    }
    assert_eq!(pair.b.stats().closed, 2);
    let new = pair
        .b
        .iter()
        .find(|(_, it)| it.label() == "after")
        .map(|(id, _)| id)
        .expect("it came");
    let now = pair.now();
    pair.b.send(now, new, "welcome back").expect("it is open");
    let mut arrived = Vec::new();
    pair.expect("the message", LIMIT, |pair| {
        arrived.extend(read_all(&mut pair.a, again));
        !arrived.is_empty()
    });
    assert_eq!(arrived, ["welcome back".into()]);
    let numbers = |peer: &Channels| peer.streams_in_use();
    assert_eq!((numbers(&pair.a), numbers(&pair.b)), (1, 1));
}

//! The laws of all machines, for channels.

use std::time::Instant;

use peerline_sctp::datachannel::{ChannelInit, Channels, Event, Role, State};
use peerline_sim::laws::Laws;
use rand::RngExt;
use rand::rngs::StdRng;

use crate::{Peer, config, peer};

fn make(now: Instant, seed: u64, who: u64, role: Role) -> Peer {
    let mut peer = peer(config(seed, who));
    peer.set_role(now, role);
    peer.connect(now);
    peer
}

fn command(now: Instant, rng: &mut StdRng, peer: &mut Peer) {
    let ids: Vec<_> = peer.iter().map(|(id, _)| id).collect();
    let any = (!ids.is_empty()).then(|| ids[rng.random_range(0..ids.len().max(1))]);
    match (rng.random_range(0..10), any) {
        (0..2, _) | (_, None) => {
            let init = ChannelInit {
                ordered: rng.random(),
                max_retransmits: rng.random_bool(0.3).then_some(1),
                negotiated: rng.random_bool(0.2).then(|| rng.random_range(100..110)),
                ..ChannelInit::new("x".repeat(rng.random_range(0..2000)))
            };
            // Refused if the number is in use.
            let _ = peer.open(now, init);
        }
        (2, Some(id)) => peer.close(now, id),
        (3, Some(id)) => {
            peer.remove(id);
        }
        (4, Some(id)) => peer.set_buffered_amount_low_threshold(id, rng.random_range(0..5000)),
        (_, Some(id)) => {
            // Refused unless the channel is open.
            let _ = peer.send(now, id, vec![0; rng.random_range(0..20_000)]);
        }
    }
}

fn recv(peer: &mut Peer, key: u64) -> bool {
    let id = peer.iter().map(|(id, _)| id).find(|id| u64::from(id.as_u32()) == key);
    id.is_some_and(|id| peer.recv(id).is_some())
}

fn consistent(peer: &Peer) {
    for (id, channel) in peer.iter() {
        if channel.state() == State::Open {
            assert!(channel.id().is_some());
        } else if channel.state() != State::Closing {
            assert_eq!(peer.buffered_amount(id), 0);
        }
    }
}

#[test]
fn channels_obey_the_laws() {
    Laws::new(|now, seed| (make(now, seed, 0, Role::Client), make(now, seed, 1, Role::Server)))
        .mtu(peerline_sctp::Config::default().max_mtu)
        .commands(command)
        .established(|peer| peer.association().is_connected())
        .closed(|event| matches!(event, Event::AssociationClosed(_)))
        .invariant(consistent)
        .payload(
            |event| match event {
                Event::Readable(id) => Some(id.as_u32().into()),
                _ => None,
            },
            recv,
        )
        .check();
}

#[test]
fn channels_are_send() {
    fn assert_send<T: Send>() {}
    assert_send::<Channels>();
}

//! The laws that every machine obeys, for a whole connection.

mod common;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{Peer, config};
use peerline_connection::{
    Connection, ConnectionState, DataChannelInit, Event, MediaKind, OutgoingFrame, ReceiveMode, Track,
};
use peerline_sim::laws::{Hostile, Laws};
use peerline_sim::only_path;
use peerline_wire::Transport;
use rand::RngExt;

/// DTLS's handshake is not authenticated until it is complete: what is forged in it, on the path that ICE has verified, makes it
/// fail.
const UNPROVED: Hostile = Hostile {
    forgeries: false,
    ..Hostile::ALL
};

/// Two peers that have exchanged everything by signalling. They share one address, which is all that the laws' pair knows.
fn peers(now: Instant, seed: u64) -> (Peer, Peer) {
    let mut peers = [0, 1].map(|who| Connection::new(now, config(seed, who)));
    for peer in &mut peers {
        peer.add_local_address(now, address(), Transport::Udp);
        peer.finish_gathering(now);
    }
    let [offerer, answerer] = &mut peers;
    connect(now, offerer, answerer);
    let [offerer, answerer] = peers;
    (Peer(offerer), Peer(answerer))
}

/// The same with pictures and sound in both directions.
fn callers(now: Instant, seed: u64) -> (Peer, Peer) {
    let (Peer(mut offerer), Peer(mut answerer)) = peers(now, seed);
    for peer in [&mut offerer, &mut answerer] {
        for (id, kind) in [("camera", MediaKind::Video), ("voice", MediaKind::Audio)] {
            let track = Track { id: id.into(), kind };
            peer.add_track(now, track, &[]).expect("it is added");
        }
    }
    exchange(now, &mut offerer, &mut answerer);
    (Peer(offerer), Peer(answerer))
}

fn connect(now: Instant, offerer: &mut Connection, answerer: &mut Connection) {
    let init = DataChannelInit {
        negotiated: true,
        id: Some(0),
        ..DataChannelInit::default()
    };
    offerer
        .create_data_channel(now, "laws", init.clone())
        .expect("a channel");
    answerer.create_data_channel(now, "laws", init).expect("a channel");
    exchange(now, offerer, answerer);
}

fn exchange(now: Instant, offerer: &mut Connection, answerer: &mut Connection) {
    offerer.set_local_description(now, None).expect("an offer");
    answerer
        .set_remote_description(now, offerer.local_description().expect("it was set"))
        .expect("it fits");
    answerer.set_local_description(now, None).expect("an answer");
    offerer
        .set_remote_description(now, answerer.local_description().expect("it was set"))
        .expect("it fits");
}

fn address() -> SocketAddr {
    only_path().local
}

#[test]
fn a_connection_obeys_the_laws() {
    // Handshakes use the provider's own randomness, so two runs never have the same bytes.
    Laws::new(peers)
        .mtu(1452)
        .nondeterministic()
        .seeds(0..6)
        .established(|peer| peer.connection_state() == ConnectionState::Connected)
        .closed(|event| {
            matches!(
                event,
                Event::ConnectionStateChange(ConnectionState::Closed | ConnectionState::Failed)
            )
        })
        .hostile(UNPROVED, Hostile::ALL)
        .commands(|now, rng, peer| {
            let channel = peer.channels().next();
            if let Some(id) = channel.filter(|_| rng.random_bool(0.3)) {
                drop(peer.send(now, id, Bytes::from(vec![7; rng.random_range(0..5000)])));
            }
        })
        .check();
}

#[test]
fn a_call_obeys_the_laws() {
    Laws::new(callers)
        .mtu(1452)
        .nondeterministic()
        .seeds(0..6)
        .established(|peer| peer.connection_state() == ConnectionState::Connected)
        .closed(|event| {
            matches!(
                event,
                Event::ConnectionStateChange(ConnectionState::Closed | ConnectionState::Failed)
            )
        })
        .hostile(UNPROVED, Hostile::ALL)
        .commands(|now, rng, peer| {
            let ids: Vec<_> = peer.transceivers().map(|transceiver| transceiver.id()).collect();
            let id = ids[rng.random_range(0..ids.len())];
            match rng.random_range(0..10) {
                0..5 => {
                    let frame = OutgoingFrame {
                        payload: vec![0x10; rng.random_range(1..5000)].into(),
                        timestamp: rng.random(),
                        ..OutgoingFrame::default()
                    };
                    let _ = peer.send_frame(now, id, frame);
                }
                5 => peer.request_keyframe(now, id, None),
                6 => _ = peer.insert_dtmf(now, id, "12", Duration::from_millis(50), Duration::from_millis(30)),
                7 => {
                    let modes = [ReceiveMode::Frames, ReceiveMode::Packets, ReceiveMode::Nothing];
                    peer.set_receive_mode(id, modes[rng.random_range(0..3)]);
                }
                _ => while peer.recv_frame(id).is_some() || peer.recv_packet(id).is_some() {},
            }
        })
        .check();
}

#[test]
fn a_connection_can_move_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<Connection>();
}

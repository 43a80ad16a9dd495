//! When an offer is asked for: once for each need, and never without one (webrtc-pc §4.7.3).

mod common;

use std::time::Instant;

use common::config;
use peerline_connection::{
    Connection, DataChannelInit, Event, MediaKind, OfferOptions, SdpType, SessionDescription, Track,
    TransceiverDirection, TransceiverId, TransceiverInit,
};
use peerline_sim::epoch;

/// Two connections that have agreed on sound and pictures both ways.
struct Pair {
    now: Instant,
    peers: [Connection; 2],
    /// What the first sends its pictures with.
    camera: TransceiverId,
}

/// Something that is done to the first.
type Change = fn(&mut Pair);

fn streams(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn track(id: &str, kind: MediaKind) -> Track {
    Track { id: id.into(), kind }
}

impl Pair {
    fn new() -> Self {
        let now = epoch();
        let mut peers = [0, 1].map(|who| Connection::new(now, config(1, who)));
        let [one, other] = &mut peers;
        let add = |peer: &mut Connection, name, kind| {
            peer.add_track(now, track(name, kind), &streams(&["film", "again"]))
                .expect("it is added")
        };
        add(one, "voice", MediaKind::Audio);
        let camera = add(one, "camera", MediaKind::Video);
        add(other, "voice", MediaKind::Audio);
        add(other, "camera", MediaKind::Video);
        let mut pair = Self { now, peers, camera };
        assert_eq!(pair.told(), [1, 1], "two tracks are one need");
        pair.exchange();
        assert_eq!(pair.told(), [0, 0]);
        pair
    }

    fn one(&mut self) -> &mut Connection {
        &mut self.peers[0]
    }

    /// How often each was told to negotiate since it was asked last.
    fn told(&mut self) -> [usize; 2] {
        self.peers.each_mut().map(|peer| {
            let events = std::iter::from_fn(|| peer.poll_event());
            events.filter(|event| *event == Event::NegotiationNeeded).count()
        })
    }

    fn offer(&mut self) -> SessionDescription {
        let now = self.now;
        let offer = self.one().create_offer(OfferOptions::default()).expect("an offer");
        self.one()
            .set_local_description(now, offer.clone())
            .expect("it is ours");
        offer
    }

    /// The second has the offer and answers it.
    fn answer(&mut self, offer: SessionDescription) {
        let now = self.now;
        let [one, other] = &mut self.peers;
        other.set_remote_description(now, offer).expect("the offer fits");
        other.set_local_description(now, None).expect("an answer");
        let answer = other.local_description().expect("it was set");
        assert_eq!(answer.kind, SdpType::Answer);
        one.set_remote_description(now, answer).expect("the answer fits");
    }

    fn exchange(&mut self) {
        let offer = self.offer();
        self.answer(offer);
    }

    fn set_direction(&mut self, direction: TransceiverDirection) {
        let (now, camera) = (self.now, self.camera);
        self.one().set_direction(now, camera, direction).expect("it is there");
    }

    fn set_streams(&mut self, names: &[&str]) {
        let (now, camera) = (self.now, self.camera);
        self.one()
            .set_streams(now, camera, &streams(names))
            .expect("it is there");
    }

    fn replace_track(&mut self, track: Option<Track>) {
        let (now, camera) = (self.now, self.camera);
        self.one().replace_track(now, camera, track).expect("it is there");
    }

    fn create_data_channel(&mut self) {
        let now = self.now;
        self.one()
            .create_data_channel(now, "data", DataChannelInit::default())
            .expect("a channel");
    }
}

const NEEDS: [(&str, Change); 9] = [
    ("addTrack", |pair| {
        let now = pair.now;
        let screen = track("screen", MediaKind::Video);
        pair.one().add_track(now, screen, &[]).expect("it is added");
    }),
    ("addTransceiver", |pair| {
        let now = pair.now;
        let init = TransceiverInit {
            direction: TransceiverDirection::Inactive,
            ..TransceiverInit::default()
        };
        pair.one()
            .add_transceiver(now, MediaKind::Audio, init)
            .expect("it is added");
    }),
    ("removeTrack", |pair| {
        let (now, camera) = (pair.now, pair.camera);
        pair.one().remove_track(now, camera).expect("it is there");
    }),
    ("another direction", |pair| {
        pair.set_direction(TransceiverDirection::SendOnly);
    }),
    ("stop", |pair| {
        let (now, camera) = (pair.now, pair.camera);
        pair.one().stop_transceiver(now, camera).expect("it is there");
        pair.one().stop_transceiver(now, camera).expect("it does nothing");
    }),
    ("other streams", |pair| pair.set_streams(&["film"])),
    ("a first data channel", |pair| {
        pair.create_data_channel();
        pair.create_data_channel();
    }),
    ("restartIce", |pair| {
        pair.one().restart_ice();
        pair.one().restart_ice();
    }),
    ("many at once", |pair| {
        pair.set_direction(TransceiverDirection::RecvOnly);
        pair.set_streams(&[]);
        pair.create_data_channel();
        pair.one().restart_ice();
    }),
];

#[test]
fn each_need_is_told_once() {
    for (what, change) in NEEDS {
        let mut pair = Pair::new();
        change(&mut pair);
        assert_eq!(pair.told(), [1, 0], "{what}");
        pair.exchange();
        assert_eq!(pair.told(), [0, 0], "{what}: it was agreed on");
    }
}

/// "If connection.[[SignalingState]] is not "stable", abort … the check will be made again" once it is.
#[test]
fn what_changes_while_an_offer_is_under_way_is_told_afterwards() {
    for (what, change) in NEEDS {
        let mut pair = Pair::new();
        let offer = pair.offer();
        change(&mut pair);
        assert_eq!(pair.told(), [0, 0], "{what}: not in the midst of it");
        pair.answer(offer);
        assert_eq!(pair.told(), [1, 0], "{what}");
        pair.exchange();
        assert_eq!(pair.told(), [0, 0], "{what}: it was agreed on");
    }
}

#[test]
fn a_rollback_brings_back_the_need_of_what_was_offered() {
    for (what, change) in NEEDS {
        let mut pair = Pair::new();
        change(&mut pair);
        pair.told();
        pair.offer();
        let now = pair.now;
        pair.one()
            .set_local_description(now, SessionDescription::rollback())
            .expect("it is taken back");
        assert_eq!(pair.told(), [1, 0], "{what}");
        pair.exchange();
        assert_eq!(pair.told(), [0, 0], "{what}: it was agreed on");
    }
}

#[test]
fn what_needs_no_offer_asks_for_none() {
    const NO_NEEDS: [(&str, Change); 11] = [
        // "without … renegotiation" (webrtc-pc §5.2).
        ("replaceTrack", |pair| {
            pair.replace_track(Some(track("other", MediaKind::Video)));
        }),
        ("replaceTrack with none", |pair| pair.replace_track(None)),
        ("setParameters", |pair| {
            let (now, camera) = (pair.now, pair.camera);
            let mut parameters = pair.one().send_parameters(camera).expect("it lives");
            parameters.encodings[0].active = false;
            parameters.encodings[0].max_bitrate = Some(100_000);
            parameters.encodings[0].codec = Some(parameters.codecs[0].codec.clone());
            pair.one()
                .set_send_parameters(now, camera, parameters)
                .expect("they fit");
        }),
        // It is for "subsequent" exchanges (§5.4): nothing in it checks whether negotiation is needed.
        ("setCodecPreferences", |pair| {
            let camera = pair.camera;
            let mut codecs = pair.one().capabilities(MediaKind::Video).codecs;
            codecs.reverse();
            pair.one()
                .set_codec_preferences(camera, &codecs)
                .expect("they are ours");
        }),
        ("the same direction", |pair| {
            pair.set_direction(TransceiverDirection::SendRecv);
        }),
        ("the same streams", |pair| pair.set_streams(&["again", "film"])),
        ("a track is removed that was removed before", |pair| {
            let (now, camera) = (pair.now, pair.camera);
            pair.one().remove_track(now, camera).expect("it is there");
            pair.exchange();
            pair.told();
            pair.one().remove_track(now, camera).expect("it does nothing");
        }),
        ("a rollback", |pair| {
            let now = pair.now;
            pair.offer();
            pair.one()
                .set_local_description(now, SessionDescription::rollback())
                .expect("it is taken back");
        }),
        ("the rollback of the other's offer", |pair| {
            let now = pair.now;
            let offer = pair.offer();
            let [one, other] = &mut pair.peers;
            other.set_remote_description(now, offer).expect("the offer fits");
            for peer in [one, other] {
                let rollback = SessionDescription::rollback();
                match peer.pending_local_description() {
                    Some(_) => peer.set_local_description(now, rollback),
                    None => peer.set_remote_description(now, rollback),
                }
                .expect("it is taken back");
            }
        }),
        ("an exchange that changes nothing", Pair::exchange),
        ("what the answer says already", |pair| {
            let now = pair.now;
            let offer = pair.offer();
            let [one, other] = &mut pair.peers;
            other.set_remote_description(now, offer).expect("the offer fits");
            let ids: Vec<_> = other.transceivers().map(|own| own.id()).collect();
            for id in ids {
                other
                    .set_direction(now, id, TransceiverDirection::RecvOnly)
                    .expect("it is there");
            }
            other.set_local_description(now, None).expect("an answer");
            let answer = other.local_description().expect("it was set");
            one.set_remote_description(now, answer).expect("the answer fits");
        }),
    ];
    for (what, change) in NO_NEEDS {
        let mut pair = Pair::new();
        change(&mut pair);
        assert_eq!(pair.told(), [0, 0], "{what}");
    }
}

/// A need that is gone before it was met is none; the next one is told again.
#[test]
fn a_change_that_is_undone_and_done_again_is_told_twice() {
    let mut pair = Pair::new();
    for _ in 0..2 {
        pair.set_direction(TransceiverDirection::RecvOnly);
        assert_eq!(pair.told(), [1, 0]);
        pair.set_direction(TransceiverDirection::SendRecv);
        assert_eq!(pair.told(), [0, 0]);
    }
}

#[test]
fn a_second_data_channel_needs_no_offer() {
    let mut pair = Pair::new();
    pair.create_data_channel();
    pair.exchange();
    assert_eq!(pair.told(), [1, 0]);
    pair.create_data_channel();
    let now = pair.now;
    pair.peers[1]
        .create_data_channel(now, "theirs", DataChannelInit::default())
        .expect("a channel");
    assert_eq!(pair.told(), [0, 0]);
}

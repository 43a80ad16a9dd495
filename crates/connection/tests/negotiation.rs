//! Two connections that do whatever applications may do agree after each exchange, and come to rest.

mod common;

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use common::config;
use peerline_connection::{
    CodecSupport, Config, Connection, DataChannelInit, Event, MediaKind, OfferOptions, RtpCodec, RtpEncodingParameters,
    SdpType, SessionDescription, SignalingState, Track, TransceiverDirection, TransceiverId, TransceiverInit,
};
use peerline_sdp::attribute::{ExtMap, Fmtp, RtpMap};
use peerline_sdp::{MediaDescription, Section as _};
use peerline_sim::{epoch, for_each_seed, rng};
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};

/// What travels between the two.
enum Signal {
    Description(SessionDescription),
    /// The offer was taken back by who got it, and is to be taken back by who made it.
    Refused,
}

struct World {
    now: Instant,
    rng: StdRng,
    peers: [Connection; 2],
    needs: [bool; 2],
    /// To each of the two, in order.
    inbox: [VecDeque<Signal>; 2],
    tracks: u32,
    channels: u32,
    /// What each payload type has stood for, in what each side receives.
    payload_types: [BTreeMap<u8, String>; 2],
    extensions: BTreeMap<u16, String>,
    counts: Counts,
}

#[derive(Default, Debug)]
struct Counts {
    exchanges: u32,
    collisions: u32,
    rollbacks: u32,
    pranswers: u32,
    recycled: u32,
    simulcasts: u32,
    tracks: u32,
    /// How often each operation was done, and took effect.
    operations: BTreeMap<&'static str, u32>,
}

/// What the random sequences are made of: each of it occurs.
const OPERATIONS: [&str; 26] = [
    "add_track",
    "add_transceiver",
    "add_transceiver for simulcast",
    "remove_track",
    "set_direction",
    "stop",
    "replace_track",
    "replace_track with none",
    "set_streams",
    "set_codec_preferences",
    "reset of codec preferences",
    "set_parameters",
    "create_data_channel",
    "restart_ice",
    "offer",
    "explicit rollback of an offer",
    "explicit rollback of a remote offer",
    "explicit rollback of a provisional answer",
    "implicit rollback",
    "offer ignored",
    "offer in place of an offer",
    "pranswer",
    "answer",
    "change between an offer and its answer",
    "change while an offer is under way",
    "refusal heard",
];

const KINDS: [MediaKind; 2] = [MediaKind::Audio, MediaKind::Video];
const DIRECTIONS: [TransceiverDirection; 4] = [
    TransceiverDirection::SendRecv,
    TransceiverDirection::SendOnly,
    TransceiverDirection::RecvOnly,
    TransceiverDirection::Inactive,
];
/// What both always speak, so that not every section ends for want of a codec.
const COMMON: [&str; 2] = ["audio/PCMU", "video/VP8"];
const SEEDS: u64 = 60;
/// It ignores the other's offer when both have one under way.
const IMPOLITE: usize = 0;

impl World {
    fn new(seed: u64) -> Self {
        let now = epoch();
        Self {
            now,
            rng: rng(seed),
            peers: [0, 1].map(|who| Connection::new(now, some_config(seed, who))),
            needs: [false; 2],
            inbox: [VecDeque::new(), VecDeque::new()],
            tracks: 0,
            channels: 0,
            payload_types: [BTreeMap::new(), BTreeMap::new()],
            extensions: BTreeMap::new(),
            counts: Counts::default(),
        }
    }

    // --- what applications do

    fn operate(&mut self) {
        let who = self.rng.random_range(0..2);
        match self.rng.random_range(0..20) {
            0..=4 => self.change(who),
            5 | 6 => self.offer(who),
            7 => self.offer_and_roll_back(who),
            _ => self.deliver(who),
        }
        self.read();
        self.check_if_quiet();
    }

    fn count(&mut self, operation: &'static str) {
        assert!(OPERATIONS.contains(&operation), "{operation}");
        *self.counts.operations.entry(operation).or_default() += 1;
    }

    /// One call of the media model, whatever the state.
    fn change(&mut self, who: usize) {
        let now = self.now;
        match self.peers[who].signaling_state() {
            SignalingState::HaveLocalOffer | SignalingState::HaveRemotePranswer => {
                self.count("change while an offer is under way");
            }
            SignalingState::HaveRemoteOffer | SignalingState::HaveLocalPranswer => {
                self.count("change between an offer and its answer");
            }
            SignalingState::Stable | SignalingState::Closed => {}
        }
        let kind = *KINDS.choose(&mut self.rng).expect("some");
        let direction = *DIRECTIONS.choose(&mut self.rng).expect("some");
        let streams: Vec<String> = (0..self.rng.random_range(0..3))
            .map(|stream| format!("stream-{stream}"))
            .collect();
        let some = self.some_transceiver(who);
        let choice = self.rng.random_range(0..24);
        let track = self.track(kind);
        let peer = &mut self.peers[who];
        let full = peer.transceivers().count() >= 6;
        let done = match (choice, some) {
            (0..=3, _) if !full => {
                peer.add_track(now, track, &streams).expect("a new track");
                "add_track"
            }
            (4 | 5, _) if !full => {
                let rids = if choice == 5 && kind == MediaKind::Video { 3 } else { 0 };
                let init = TransceiverInit {
                    direction,
                    streams,
                    send_encodings: ["h", "m", "l"][..rids].iter().map(|rid| encoding(rid)).collect(),
                };
                peer.add_transceiver(now, kind, init).expect("it is in order");
                if rids > 0 {
                    "add_transceiver for simulcast"
                } else {
                    "add_transceiver"
                }
            }
            (6 | 7, Some(id)) => {
                peer.remove_track(now, id).expect("it is there");
                "remove_track"
            }
            (8..=11, Some(id)) if peer.set_direction(now, id, direction).is_ok() => "set_direction",
            (12 | 13, Some(id)) => {
                peer.stop_transceiver(now, id).expect("it is there");
                "stop"
            }
            (14, Some(id)) if peer.replace_track(now, id, Some(track)).is_ok() => "replace_track",
            (15, Some(id)) if peer.replace_track(now, id, None).is_ok() => "replace_track with none",
            (16 | 17, Some(id)) => {
                peer.set_streams(now, id, &streams).expect("it is there");
                "set_streams"
            }
            (18 | 19, Some(id)) => return self.prefer(who, id),
            (20, Some(id)) => return self.set_parameters(who, id),
            (21, _) if self.channels < 5 => {
                self.channels += 1;
                // A connection whose data channels were refused refuses more.
                match peer.create_data_channel(now, "data", DataChannelInit::default()) {
                    Ok(_) => "create_data_channel",
                    Err(_) => return,
                }
            }
            (22, _) => {
                peer.restart_ice();
                "restart_ice"
            }
            _ => return,
        };
        self.count(done);
    }

    fn track(&mut self, kind: MediaKind) -> Track {
        self.tracks += 1;
        Track {
            id: format!("track-{}", self.tracks),
            kind,
        }
    }

    fn some_transceiver(&mut self, who: usize) -> Option<TransceiverId> {
        let ids: Vec<_> = self.peers[who]
            .transceivers()
            .map(|transceiver| transceiver.id())
            .collect();
        ids.choose(&mut self.rng).copied()
    }

    /// A random choice and order of codecs, or the connection's own again.
    fn prefer(&mut self, who: usize, id: TransceiverId) {
        let kind = self.peers[who].transceiver(id).expect("it is there").kind();
        let mut codecs = self.peers[who].capabilities(kind).codecs;
        codecs.shuffle(&mut self.rng);
        let common = |codec: &RtpCodec| COMMON.contains(&&*codec.mime_type);
        let keep = self.rng.random_range(0..=codecs.len());
        let mut index = 0;
        codecs.retain(|codec| {
            index += 1;
            index <= keep || common(codec)
        });
        if self.rng.random_bool(0.2) {
            codecs.clear();
        }
        self.count(match codecs.is_empty() {
            true => "reset of codec preferences",
            false => "set_codec_preferences",
        });
        self.peers[who]
            .set_codec_preferences(id, &codecs)
            .expect("they are capabilities");
    }

    fn set_parameters(&mut self, who: usize, id: TransceiverId) {
        let now = self.now;
        let peer = &mut self.peers[who];
        let mut parameters = peer.send_parameters(id).expect("it is there");
        for encoding in &mut parameters.encodings {
            encoding.active = self.rng.random_bool(0.7);
            let primary = parameters
                .codecs
                .iter()
                .map(|codec| &codec.codec)
                .find(|codec| codec.mime_type.ends_with("PCMU") || codec.mime_type.ends_with("VP8"));
            encoding.codec = primary.filter(|_| self.rng.random_bool(0.5)).cloned();
        }
        match peer.set_send_parameters(now, id, parameters) {
            Ok(()) => self.count("set_parameters"),
            Err(error) => assert_eq!(error.name(), "InvalidStateError", "only a stopped one refuses: {error}"),
        }
    }

    // --- perfect negotiation

    fn offer(&mut self, who: usize) {
        let now = self.now;
        let peer = &mut self.peers[who];
        if !self.inbox[1 - who].is_empty() || peer.signaling_state() != SignalingState::Stable {
            return;
        }
        self.needs[who] = false;
        let offer = peer.create_offer(OfferOptions::default()).expect("an offer");
        peer.set_local_description(now, offer.clone()).expect("it is ours");
        self.inbox[1 - who].push_back(Signal::Description(offer));
        self.count("offer");
    }

    /// An offer that nobody hears of, after which everything is as before.
    fn offer_and_roll_back(&mut self, who: usize) {
        let now = self.now;
        let peer = &mut self.peers[who];
        if peer.signaling_state() != SignalingState::Stable {
            return;
        }
        let before = state(peer);
        peer.set_local_description(now, None).expect("an offer");
        peer.set_local_description(now, SessionDescription::rollback())
            .expect("it is taken back");
        assert_eq!(state(peer), before, "a rollback brings back what was");
        self.counts.rollbacks += 1;
        self.count("explicit rollback of an offer");
    }

    fn deliver(&mut self, to: usize) {
        let Some(signal) = self.inbox[to].pop_front() else {
            return;
        };
        let now = self.now;
        let peer = &mut self.peers[to];
        match signal {
            Signal::Refused => {
                if matches!(
                    peer.signaling_state(),
                    SignalingState::HaveLocalOffer | SignalingState::HaveRemotePranswer
                ) {
                    let rollback = SessionDescription::rollback();
                    match peer.signaling_state() {
                        SignalingState::HaveLocalOffer => peer.set_local_description(now, rollback),
                        _ => peer.set_remote_description(now, rollback),
                    }
                    .expect("it is taken back");
                    self.count("refusal heard");
                }
            }
            Signal::Description(description) if description.kind == SdpType::Offer => {
                let mut implicit = false;
                if peer.signaling_state() != SignalingState::Stable {
                    self.counts.collisions += 1;
                    if to == IMPOLITE {
                        return self.count("offer ignored");
                    }
                    // Its own offer is taken back for this one (webrtc-pc §4.4.1.5).
                    implicit = true;
                }
                peer.set_remote_description(now, description.clone())
                    .unwrap_or_else(|error| panic!("{error}\n{}", description.sdp));
                if implicit {
                    self.count("implicit rollback");
                }
                self.answer(to, &description);
            }
            Signal::Description(description) => {
                peer.set_remote_description(now, description.clone())
                    .unwrap_or_else(|error| panic!("{error}\n{}", description.sdp));
                self.counts.exchanges += u32::from(description.kind == SdpType::Answer);
            }
        }
    }

    /// Answers an offer, perhaps provisionally first, or takes it back; perhaps after some changes.
    fn answer(&mut self, who: usize, offer: &SessionDescription) {
        let now = self.now;
        for _ in 0..self.rng.random_range(0..3) {
            self.change(who);
        }
        if self.rng.random_bool(0.1) {
            // The same offer again takes the place of the first.
            let before = self.peers[who].transceivers().count();
            self.peers[who]
                .set_remote_description(now, offer.clone())
                .expect("it fitted before");
            assert_eq!(self.peers[who].transceivers().count(), before);
            self.count("offer in place of an offer");
        }
        if self.rng.random_bool(0.1) {
            self.peers[who]
                .set_remote_description(now, SessionDescription::rollback())
                .expect("it is taken back");
            self.inbox[1 - who].push_back(Signal::Refused);
            self.counts.rollbacks += 1;
            return self.count("explicit rollback of a remote offer");
        }
        if self.rng.random_bool(0.2) {
            let answer = self.peers[who].create_answer().expect("an answer");
            let provisional = SessionDescription {
                kind: SdpType::Pranswer,
                ..answer
            };
            self.peers[who]
                .set_local_description(now, provisional.clone())
                .expect("it is ours");
            self.inbox[1 - who].push_back(Signal::Description(provisional));
            self.counts.pranswers += 1;
            self.count("pranswer");
            self.change(who);
            if self.rng.random_bool(0.4) {
                self.peers[who]
                    .set_local_description(now, SessionDescription::rollback())
                    .expect("it is taken back");
                self.inbox[1 - who].push_back(Signal::Refused);
                return self.count("explicit rollback of a provisional answer");
            }
        }
        let answer = self.peers[who].create_answer().expect("an answer");
        self.peers[who]
            .set_local_description(now, answer.clone())
            .expect("it is ours");
        self.inbox[1 - who].push_back(Signal::Description(answer));
        self.count("answer");
    }

    fn read(&mut self) {
        for who in 0..2 {
            while let Some(event) = self.peers[who].poll_event() {
                match event {
                    Event::NegotiationNeeded => {
                        assert!(!self.needs[who] || self.peers[who].signaling_state() == SignalingState::Stable);
                        self.needs[who] = true;
                    }
                    Event::Track { .. } => self.counts.tracks += 1,
                    _ => {}
                }
            }
        }
    }

    /// Whoever needs to offers, until nobody does.
    fn come_to_rest(&mut self) {
        for round in 0.. {
            assert!(round < 200, "negotiation never ends");
            self.read();
            self.check_if_quiet();
            let who = self.rng.random_range(0..2);
            if !self.inbox[who].is_empty() {
                self.deliver_quietly(who);
            } else if self.needs[who] {
                self.offer(who);
            } else if self.inbox.iter().all(VecDeque::is_empty) && !self.needs[1 - who] {
                return;
            }
        }
    }

    fn deliver_quietly(&mut self, to: usize) {
        let now = self.now;
        let is_offer =
            matches!(&self.inbox[to][0], Signal::Description(description) if description.kind == SdpType::Offer);
        if !is_offer {
            return self.deliver(to);
        }
        let Some(Signal::Description(offer)) = self.inbox[to].pop_front() else {
            return;
        };
        let peer = &mut self.peers[to];
        if peer.signaling_state() != SignalingState::Stable && to == IMPOLITE {
            return;
        }
        peer.set_remote_description(now, offer).expect("it fits");
        let answer = peer.create_answer().expect("an answer");
        peer.set_local_description(now, answer.clone()).expect("it is ours");
        self.inbox[1 - to].push_back(Signal::Description(answer));
    }

    // --- what has to hold

    fn check_if_quiet(&mut self) {
        let is_stable = |peer: &Connection| peer.signaling_state() == SignalingState::Stable;
        if self.inbox.iter().all(VecDeque::is_empty) && self.peers.iter().all(is_stable) {
            self.check();
        }
    }

    /// After an exchange both ends agree.
    fn check(&mut self) {
        let descriptions = [0, 1].map(|who| {
            let peer = &self.peers[who];
            peer.current_local_description()
                .zip(peer.current_remote_description())
                .map(|(local, remote)| [parse(&local), parse(&remote)])
        });
        let [Some([near, _]), Some([far, _])] = &descriptions else {
            assert!(descriptions.iter().all(Option::is_none), "both have one or none");
            return;
        };
        assert_eq!(near.media.len(), far.media.len());
        for (index, (near, far)) in near.media.iter().zip(&far.media).enumerate() {
            assert_eq!((near.kind(), near.mid()), (far.kind(), far.mid()), "section {index}");
        }
        for (who, description) in [(0, near), (1, far)] {
            self.check_numbers(who, description);
        }
        for who in 0..2 {
            for transceiver in self.peers[who].transceivers() {
                let Some(mid) = transceiver.mid() else {
                    assert_eq!(transceiver.current_direction(), None, "it is bound to nothing");
                    continue;
                };
                let mut others = self.peers[1 - who].transceivers();
                let other = others
                    .find(|other| other.mid() == Some(mid))
                    .unwrap_or_else(|| panic!("{mid} is at {who} alone"));
                assert_eq!(transceiver.kind(), other.kind(), "{mid}");
                if transceiver.stopped() || other.stopped() {
                    // It was rejected in an offer that was taken back: that stops it, and another offer will say so.
                    continue;
                }
                assert_eq!(
                    transceiver.current_direction().map(mirrored),
                    other.current_direction(),
                    "{mid}"
                );
            }
        }
        for who in 0..2 {
            self.check_parameters(who);
        }
    }

    /// No payload type and no extension id ever means something else.
    fn check_numbers(&mut self, who: usize, description: &peerline_sdp::SessionDescription) {
        for media in description
            .media
            .iter()
            .filter(|media| media.is_rtp() && !media.is_rejected())
        {
            for (number, meaning) in meanings(media) {
                let known = self.payload_types[who].entry(number).or_insert_with(|| meaning.clone());
                assert_eq!(*known, meaning, "payload type {number} at {who}");
            }
            for extension in media.attributes::<ExtMap>() {
                let extension = extension.expect("it is ours");
                let known = self
                    .extensions
                    .entry(extension.id)
                    .or_insert_with(|| extension.uri.clone());
                assert_eq!(*known, extension.uri, "extension {}", extension.id);
            }
        }
    }

    /// What one sends the other can read.
    fn check_parameters(&mut self, who: usize) {
        let ids: Vec<_> = self.peers[who]
            .transceivers()
            .filter_map(|transceiver| Some((transceiver.id(), transceiver.mid()?.to_owned(), transceiver.stopping())))
            .collect();
        for (id, mid, stopping) in ids {
            let sends = matches!(
                self.peers[who]
                    .transceiver(id)
                    .expect("it is there")
                    .current_direction(),
                Some(TransceiverDirection::SendRecv | TransceiverDirection::SendOnly)
            );
            let sent = self.peers[who].send_parameters(id).expect("it is there");
            let other = self.peers[1 - who]
                .transceivers()
                .find(|other| other.mid() == Some(&*mid))
                .expect("it was found before");
            assert_eq!(
                !sent.codecs.is_empty(),
                sends && !stopping,
                "{mid}: a sender has codecs"
            );
            if other.stopping() || sent.codecs.is_empty() {
                continue;
            }
            self.counts.simulcasts += u32::from(sent.encodings.len() > 1);
            let received = self.peers[1 - who].receive_parameters(other.id()).expect("it is there");
            for codec in &sent.codecs {
                let same = received
                    .codecs
                    .iter()
                    .find(|other| other.payload_type == codec.payload_type);
                let same = same.unwrap_or_else(|| panic!("{mid}: {codec:?} is not received"));
                assert!(
                    same.codec.mime_type.eq_ignore_ascii_case(&codec.codec.mime_type),
                    "{mid}"
                );
            }
            for extension in &sent.header_extensions {
                assert!(received.header_extensions.contains(extension), "{mid}: {extension:?}");
            }
        }
    }

    /// Once nobody needs anything, everybody has what it wants.
    fn check_satisfied(&self) {
        for who in 0..2 {
            for transceiver in self.peers[who].transceivers() {
                assert!(!transceiver.stopping(), "what is stopped is gone");
                let mid = transceiver.mid().expect("every transceiver is bound");
                let other = self.peers[1 - who]
                    .transceivers()
                    .find(|other| other.mid() == Some(mid));
                let other = other.expect("both have it");
                let wanted = intersection(transceiver.direction(), mirrored(other.direction()));
                assert_eq!(transceiver.current_direction(), Some(wanted), "{mid}");
                if matches!(wanted, TransceiverDirection::SendRecv | TransceiverDirection::RecvOnly) {
                    let (mut told, mut meant) =
                        (transceiver.receiver_streams().to_vec(), other.sender_streams().to_vec());
                    told.sort();
                    meant.sort();
                    assert_eq!(told, meant, "{mid}");
                }
            }
        }
    }
}

/// Codecs and extensions of its own, under numbers of its own, so that those of the two collide.
fn some_config(seed: u64, who: usize) -> Config {
    let mut config = config(seed, who);
    let mut rng = rng(2 * seed + who as u64);
    if seed.is_multiple_of(4) {
        return config;
    }
    let mut numbers: Vec<u8> = (96..=127).chain(35..=63).collect();
    numbers.shuffle(&mut rng);
    if seed.is_multiple_of(2) {
        // Few numbers, so that they are soon used up.
        numbers = (96..=103).cycle().take(61).collect();
    }
    let mut codecs = config.codecs.to_vec();
    let is_kept = |codec: &CodecSupport| COMMON.contains(&&*codec.codec.mime_type);
    codecs.retain(|codec| is_kept(codec) || rng.random_bool(0.7));
    codecs.shuffle(&mut rng);
    for codec in &mut codecs {
        if codec.payload_type >= 35 {
            codec.payload_type = numbers.pop().expect("there are enough");
        }
        codec.rtx = codec.rtx.and_then(|_| numbers.pop()).filter(|_| rng.random_bool(0.8));
    }
    config.codecs = codecs.into();
    let mut extensions = config.header_extensions.to_vec();
    extensions.retain(|_| rng.random_bool(0.9));
    extensions.shuffle(&mut rng);
    config.header_extensions = extensions.into();
    config
}

fn encoding(rid: &str) -> RtpEncodingParameters {
    RtpEncodingParameters {
        rid: rid.into(),
        ..RtpEncodingParameters::default()
    }
}

fn parse(description: &SessionDescription) -> peerline_sdp::SessionDescription {
    let parsed = peerline_sdp::SessionDescription::parse(&description.sdp).expect("it parses");
    parsed.check().expect("all attributes are in order");
    parsed
}

/// What an application can see of transceivers and descriptions.
fn state(peer: &Connection) -> Vec<String> {
    let mut state: Vec<_> = peer
        .transceivers()
        .map(|own| {
            format!(
                "{:?} {:?} {} {:?} {:?}",
                own.id(),
                own.mid(),
                own.direction(),
                own.current_direction(),
                own.receiver_streams()
            )
        })
        .collect();
    state.push(format!(
        "{:?} {:?}",
        peer.pending_local_description(),
        peer.pending_remote_description()
    ));
    state
}

/// Each payload type of a section with what it stands for, as far as that may not change.
fn meanings(media: &MediaDescription) -> Vec<(u8, String)> {
    let fmtps: Vec<Fmtp> = media.attributes().filter_map(Result::ok).collect();
    let maps = media.attributes::<RtpMap>().map(|map| map.expect("it is ours"));
    maps.map(|map| {
        let number = map.payload_type.get();
        let fmtp = fmtps.iter().find(|fmtp| fmtp.format == number.to_string());
        let parameter = |name: &str| {
            fmtp.and_then(|fmtp| fmtp.parameter(name))
                .unwrap_or_default()
                .to_owned()
        };
        let names: &[&str] = match map.encoding.as_str() {
            "H264" => &["packetization-mode", "profile-level-id"],
            "VP9" => &["profile-id"],
            "AV1" => &["profile"],
            "rtx" => &["apt"],
            _ => &[],
        };
        let parameters: Vec<_> = names.iter().map(|name| parameter(name)).collect();
        let red = fmtp.filter(|_| map.encoding == "red").map(|fmtp| &fmtp.text);
        (
            number,
            format!("{}/{} {parameters:?} {red:?}", map.encoding, map.clock_rate),
        )
    })
    .collect()
}

fn mirrored(direction: TransceiverDirection) -> TransceiverDirection {
    match direction {
        TransceiverDirection::SendOnly => TransceiverDirection::RecvOnly,
        TransceiverDirection::RecvOnly => TransceiverDirection::SendOnly,
        other => other,
    }
}

fn intersection(one: TransceiverDirection, other: TransceiverDirection) -> TransceiverDirection {
    use TransceiverDirection::{Inactive, RecvOnly, SendOnly, SendRecv};
    let sends = |direction| matches!(direction, SendRecv | SendOnly);
    let receives = |direction| matches!(direction, SendRecv | RecvOnly);
    match (sends(one) && sends(other), receives(one) && receives(other)) {
        (true, true) => SendRecv,
        (true, false) => SendOnly,
        (false, true) => RecvOnly,
        (false, false) => Inactive,
    }
}

#[test]
fn both_ends_agree_after_random_negotiations() {
    let mut total = Counts::default();
    for_each_seed(0..SEEDS, |seed| {
        let mut world = World::new(seed);
        for _ in 0..120 {
            world.operate();
        }
        world.come_to_rest();
        world.check_satisfied();
        // From rest, each change by itself is enough to be told to negotiate.
        for _ in 0..20 {
            let who = world.rng.random_range(0..2);
            world.change(who);
            world.come_to_rest();
            world.check_satisfied();
        }
        let counts = &world.counts;
        total.exchanges += counts.exchanges;
        total.collisions += counts.collisions;
        total.rollbacks += counts.rollbacks;
        total.pranswers += counts.pranswers;
        total.simulcasts += counts.simulcasts;
        total.tracks += counts.tracks;
        for (operation, count) in &counts.operations {
            *total.operations.entry(operation).or_default() += count;
        }
        for who in 0..2 {
            let description = world.peers[who].current_local_description();
            let sections = description
                .map(|description| parse(&description).media.len())
                .unwrap_or(0);
            let mids = world.peers[who]
                .transceivers()
                .filter_map(|own| own.mid()?.parse::<usize>().ok());
            total.recycled += u32::from(mids.max().is_some_and(|last| last >= sections));
        }
    });
    println!("{total:#?}");
    for operation in OPERATIONS {
        let count = total.operations.get(operation).copied().unwrap_or(0);
        assert!(count >= 15, "{operation} occurred {count} times in {SEEDS} sequences");
    }
    assert!(
        total.exchanges > 300 && total.collisions > 60 && total.rollbacks > 200 && total.pranswers > 40,
        "{total:?}"
    );
    assert!(
        total.recycled > 40 && total.simulcasts > 50 && total.tracks > 200,
        "{total:?}"
    );
}

//! How much a path takes, as one peer learns of it by the other's feedback: an encoder that obeys, on links in virtual time.

mod common;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use common::Lab;
use peerline_connection::{
    CodecSupport, Event, MediaKind, OfferOptions, OutgoingFrame, RtcpFeedback, StatsKind, Track, TransceiverId,
};
use peerline_sim::Link;

/// A link of so many kilobits a second, with a queue of a quarter of a second.
fn link(kbits: u64) -> Link {
    Link {
        delay: Duration::from_millis(20),
        rate: Some(kbits * 1000),
        queue: (kbits * 1000 / 8 / 4) as usize,
        ..Link::default()
    }
}

/// A camera at one peer, and who watches it.
struct Film {
    lab: Lab,
    camera: TransceiverId,
    watched: TransceiverId,
    /// When each frame left.
    sent: Vec<Instant>,
}

/// What came of a while.
#[derive(Debug)]
struct Played {
    /// What the encoder was to make on average, in kbit/s.
    target: u64,
    /// How many frames left, and how many came.
    sent: u32,
    came: u32,
    /// How long a frame took on average.
    took: Duration,
}

impl Film {
    fn new(seed: u64, link: Link) -> Self {
        Self::of(Lab::new(seed, link))
    }

    fn of(mut lab: Lab) -> Self {
        let track = Track {
            id: "camera".into(),
            kind: MediaKind::Video,
        };
        let camera = lab.with_peer(0, |peer, now| peer.add_track(now, track, &[]).expect("it is added"));
        lab.offer(0, OfferOptions::default());
        lab.run_for(Duration::from_secs(2));
        let watched = lab.events[1].iter().find_map(|event| match event {
            Event::Track { transceiver, .. } => Some(*transceiver),
            _ => None,
        });
        Self {
            lab,
            camera,
            watched: watched.expect("a track"),
            sent: Vec::new(),
        }
    }

    /// From now on, the link has this rate.
    fn narrow(&mut self, link: &Link) {
        for [one, other] in self.lab.routes() {
            self.lab.network.set_links(one, other, link);
        }
    }

    /// Sends frames of the size that is asked for; each thirtieth is four times as long.
    fn play(&mut self, seconds: u64) -> Played {
        self.play_at_most(u64::MAX, seconds)
    }

    /// The same, though the camera makes no more than so many bits a second.
    fn play_at_most(&mut self, most: u64, seconds: u64) -> Played {
        let (mut sum, mut sent, mut came, mut took) = (0, 0, 0, Duration::ZERO);
        let end = self.lab.now() + Duration::from_secs(seconds);
        while self.lab.now() < end {
            let (camera, watched) = (self.camera, self.watched);
            let number = self.sent.len() as u32;
            self.sent.push(self.lab.now());
            sent += 1;
            sum += self.lab.with_peer(0, |peer, now| {
                let target = peer.target_bitrate(camera).unwrap_or(300_000);
                // A tenth goes for headers.
                let size = (target.min(most) * 9 / 10 / 8 / 30) as usize;
                let is_key = number.is_multiple_of(30);
                let size = if is_key { size * 4 } else { size * 26 / 29 };
                let mut payload = vec![u8::from(!is_key) | 0x10, 0, 0, 0x9d, 0x01, 0x2a, 64, 0, 64, 0];
                payload.extend(number.to_be_bytes());
                payload.resize(size.max(100), 1);
                let frame = OutgoingFrame {
                    payload: payload.into(),
                    timestamp: number * 3000,
                    ..OutgoingFrame::default()
                };
                peer.send_frame(now, camera, frame).expect("it is sent");
                target
            });
            self.lab.run_for(Duration::from_micros(33_333));
            while let Some(frame) = self.lab.with_peer(1, |peer, _| peer.recv_frame(watched)) {
                let number = u32::from_be_bytes(frame.payload[10..14].try_into().expect("four bytes"));
                came += 1;
                took += frame.received - self.sent[number as usize];
            }
        }
        Played {
            target: sum / u64::from(sent) / 1000,
            sent,
            came,
            took: took / came.max(1),
        }
    }
}

#[test]
fn an_encoder_that_obeys_fills_the_link_and_not_its_queue() {
    let mut film = Film::new(1, link(1000));
    film.play(15);
    let played = film.play(15);
    assert!((750..1020).contains(&played.target), "{played:?}");
    assert!(played.came + 2 >= played.sent, "{played:?}");
    assert!(played.took < Duration::from_millis(130), "{played:?}");
    // JavaScript sees it in the statistics, the application by events.
    let told = film.lab.events[0].iter().rev().find_map(|event| match event {
        Event::BandwidthEstimate(bitrate) => Some(*bitrate as f64),
        _ => None,
    });
    let told = told.expect("an event");
    let stats = film.lab.with_peer(0, |peer, now| peer.stats(now));
    let available = stats.stats.iter().find_map(|stats| match &stats.kind {
        StatsKind::CandidatePair(pair) => pair.available_outgoing_bitrate,
        _ => None,
    });
    let available = available.expect("a pair with an estimate");
    assert!((0.97..1.03).contains(&(told / available)), "{told} and {available}");
}

#[test]
fn loss_by_chance_does_not_starve_the_encoder() {
    let mut film = Film::new(
        2,
        Link {
            loss: 0.05,
            ..link(1000)
        },
    );
    film.play(20);
    let played = film.play(20);
    assert!((600..1020).contains(&played.target), "{played:?}");
    assert!(played.came + 30 >= played.sent, "{played:?}");
}

#[test]
fn a_link_that_becomes_narrow_is_obeyed_and_filled_again() {
    let mut film = Film::new(3, link(2000));
    film.play(20);
    let before = film.play(5);
    film.narrow(&link(500));
    let first = film.play(3);
    let narrow = film.play(10);
    film.narrow(&link(2000));
    film.play(25);
    let after = film.play(5);
    assert!(before.target > 1400 && after.target > 1200, "{before:?} {after:?}");
    assert!((280..520).contains(&narrow.target), "{narrow:?}");
    assert!(narrow.took < Duration::from_millis(180), "{narrow:?}");
    assert!(narrow.came + 5 >= narrow.sent, "{narrow:?} after {first:?}");
}

/// `maxBitrate` of the encoding is for the source as the path is.
#[test]
fn an_encoder_is_asked_for_no_more_than_its_parameters_allow() {
    let mut film = Film::new(10, link(1000));
    film.play(15);
    let free = target(&film);
    assert!(free > 700_000, "{free}");
    let set = |film: &mut Film, most| {
        let camera = film.camera;
        film.lab.with_peer(0, |peer, now| {
            let mut parameters = peer.send_parameters(camera).expect("it lives");
            parameters.encodings[0].max_bitrate = most;
            peer.set_send_parameters(now, camera, parameters).expect("they fit");
        });
    };
    set(&mut film, Some(200_000));
    assert_eq!(target(&film), 200_000);
    assert_eq!(film.play(2).target, 200);
    set(&mut film, Some(u64::MAX));
    assert!(target(&film) > 400_000, "{}", target(&film));
    set(&mut film, None);
    let after = film.play(10).target;
    assert!((600..1020).contains(&after), "{after}");
}

/// The estimate of one path says nothing about another: neither is a narrow one flooded, nor does a wide one wait for what was too
/// much elsewhere to be forgotten.
#[test]
fn another_path_is_measured_anew() {
    for [before, after] in [[2000, 200], [200, 2000]] {
        let mut film = Film::new(4, link(before));
        let [four, six] = film.lab.routes()[..] else {
            panic!("two routes")
        };
        let pair = film.lab.peer(0).selected_ice_candidate_pair().expect("a path");
        let (used, other) = match pair.local.candidate.contains(&six[0].to_string()) {
            true => (six, four),
            false => (four, six),
        };
        film.lab.network.set_links(other[0], other[1], &link(after));
        film.play(20);
        let played = film.play(2);
        assert!(
            (before * 6 / 10..before * 11 / 10).contains(&played.target),
            "{played:?}"
        );

        let hosts = film.lab.hosts;
        film.lab.network.remove_address(hosts[0], used[0]);
        let address = SocketAddr::new(used[0], if used == four { 5000 } else { 5001 });
        film.lab
            .with_peer(0, |peer, now| peer.remove_local_address(now, address));
        film.lab.run_for(Duration::from_millis(300));
        let target = film.lab.peer(0).target_bitrate(film.camera).expect("an estimate");
        assert!(target <= 300_000, "{target}");
        let first = film.play(8);
        let then = film.play(4);
        assert!(
            (after * 6 / 10..after * 11 / 10).contains(&then.target),
            "{then:?} after {first:?}"
        );
        assert!(first.took < Duration::from_millis(200), "{first:?}");
    }
}

/// One of both speaks RFC 8888 and nothing else, whoever offers.
#[test]
fn an_encoder_is_told_of_its_streams_as_well() {
    for who in 0..2 {
        let mut configs = [0, 1].map(|peer| common::config(7, peer));
        configs[who].codecs = configs[who].codecs.iter().map(told_by_streams).collect();
        let mut film = Film::of(Lab::with(7, link(1000), configs));
        let local = film.lab.peer(0).local_description().expect("an offer");
        let answer = film.lab.peer(1).local_description().expect("an answer");
        assert_eq!(
            local.sdp.matches("a=rtcp-fb:* ack ccfb\r\n").count(),
            1,
            "{}",
            local.sdp
        );
        assert_eq!(
            answer.sdp.matches("a=rtcp-fb:* ack ccfb\r\n").count(),
            1,
            "{}",
            answer.sdp
        );
        assert!(!answer.sdp.contains("transport-"), "{}", answer.sdp);
        film.play(15);
        let played = film.play(15);
        assert!((750..1020).contains(&played.target), "{played:?}");
        assert!(played.came + 2 >= played.sent, "{played:?}");
        assert!(played.took < Duration::from_millis(130), "{played:?}");
        let counts = [0, 1].map(|peer| {
            let report = film.lab.with_peer(peer, |peer, now| peer.stats(now));
            let transport = report.transport().expect("it is there");
            let told = transport.feedback.as_ref().map_or(0, |told| told.packets_received);
            (
                transport.ccfb_messages_sent,
                transport.ccfb_messages_received,
                told > 500,
            )
        });
        let [(0, received, true), (sent, 0, false)] = counts else {
            panic!("{counts:?}")
        };
        assert!((100..=sent).contains(&received), "{counts:?}");
    }
}

/// "The answering party SHOULD include only one of the offered congestion control feedback mechanisms" (RFC 8888 §6).
#[test]
fn of_two_kinds_of_feedback_one_is_answered() {
    let film = Film::new(8, link(1000));
    let local = film.lab.peer(0).local_description().expect("an offer");
    let answer = film.lab.peer(1).local_description().expect("an answer");
    assert!(local.sdp.contains("a=rtcp-fb:* ack ccfb\r\n") && local.sdp.contains("a=rtcp-fb:96 transport-cc\r\n"));
    assert!(!answer.sdp.contains("ccfb") && answer.sdp.contains("a=rtcp-fb:96 transport-cc\r\n"));
}

fn told_by_streams(support: &CodecSupport) -> CodecSupport {
    let mut support = support.clone();
    support.rtcp_feedback.retain(|kind| *kind != RtcpFeedback::TransportCc);
    support
}

/// Bytes that the camera's peer has sent, all in all.
fn spent(film: &mut Film) -> u64 {
    let stats = film.lab.with_peer(0, |peer, now| peer.stats(now));
    let pairs = stats.stats.iter().filter_map(|stats| match &stats.kind {
        StatsKind::CandidatePair(pair) => Some(pair.bytes_sent),
        _ => None,
    });
    pairs.sum()
}

fn target(film: &Film) -> u64 {
    film.lab.peer(0).target_bitrate(film.camera).expect("an estimate")
}

/// What a source of 150 kbit/s that has more to send spends on a path of 300 kbit/s in a minute, and what its pictures meet there.
fn narrow(streams: bool, desired: Option<u64>) -> (Film, u64, Played) {
    let mut configs = [0, 1].map(|peer| common::config(9, peer));
    if streams {
        configs[1].codecs = configs[1].codecs.iter().map(told_by_streams).collect();
    }
    let mut film = Film::of(Lab::with(9, link(300), configs));
    let camera = film.camera;
    film.lab
        .with_peer(0, |peer, _| peer.set_desired_bitrate(camera, desired));
    film.play_at_most(150_000, 10);
    let before = spent(&mut film);
    let played = film.play_at_most(150_000, 60);
    let spent = spent(&mut film) - before;
    (film, spent, played)
}

#[test]
fn a_path_that_widens_is_found_by_probes_and_one_that_does_not_is_left_alone() {
    for streams in [false, true] {
        let (mut unasked, without, calm) = narrow(streams, None);
        let (mut film, with, played) = narrow(streams, Some(2_500_000));
        println!(
            "by streams: {streams}; {without} and {with} bytes, {calm:?} and {played:?}; {}",
            target(&film)
        );
        assert!(with > without, "it is probed");
        assert!(with - without < without / 20, "{with} and {without}");
        assert!((200_000..360_000).contains(&target(&film)), "{}", target(&film));
        assert!(played.came + 1 >= played.sent, "{played:?}");
        assert!(
            played.took < calm.took + Duration::from_millis(15),
            "{played:?} and {calm:?}"
        );

        for film in [&mut unasked, &mut film] {
            film.narrow(&link(3000));
            film.play_at_most(150_000, 8);
        }
        println!("{} and {}", target(&unasked), target(&film));
        assert!(target(&unasked) < 400_000, "{}", target(&unasked));
        assert!(target(&film) > 2_300_000, "{}", target(&film));
        // It is content, and the camera may follow at once.
        let before = spent(&mut film);
        film.play_at_most(150_000, 20);
        let after = spent(&mut film) - before;
        assert!(after < without / 3 * 11 / 10, "{after}");
        let played = film.play_at_most(2_000_000, 5);
        assert!(played.target > 2_000 && played.came + 1 >= played.sent, "{played:?}");
        assert!(played.took < Duration::from_millis(100), "{played:?}");
    }
}

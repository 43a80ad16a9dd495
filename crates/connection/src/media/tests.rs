//! Two engines over a path in virtual time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use peerline_srtp::{KeyingMaterial, Profile};

use super::Media;
use super::agreed::{Agreed, Receiving, SendEncoding, Sending};
use super::extensions::{MID, RID, TRANSPORT_NUMBER};
use super::packet::{IncomingFrame, OutgoingFrame};
use super::parameters::{MediaKind, RtcpFeedback, RtpCodec, RtpCodecParameters, RtpHeaderExtensionParameters};
use crate::Event;
use crate::transceiver::TransceiverId;

mod changes;
mod control;
mod counts;
mod floods;
mod hostile;
mod sources;
mod streams_told;

/// Some instant to begin at.
#[expect(clippy::disallowed_methods, reason = "tests are in virtual time from here on")]
pub(crate) fn start() -> Instant {
    Instant::now()
}

const VIDEO: TransceiverId = TransceiverId(1);

fn codec(payload_type: u8, mime_type: &str, fmtp: &str) -> RtpCodecParameters {
    RtpCodecParameters {
        payload_type,
        codec: RtpCodec {
            mime_type: mime_type.into(),
            clock_rate: 90_000,
            channels: None,
            sdp_fmtp_line: fmtp.into(),
        },
        rtcp_feedback: vec![
            RtcpFeedback::Nack,
            RtcpFeedback::NackPli,
            RtcpFeedback::CcmFir,
            RtcpFeedback::GoogRemb,
        ],
    }
}

fn extensions() -> Vec<RtpHeaderExtensionParameters> {
    [(1, MID), (2, RID), (3, TRANSPORT_NUMBER)]
        .map(|(id, uri)| RtpHeaderExtensionParameters { uri: uri.into(), id })
        .into()
}

fn video(ssrc: u32, rtx: bool) -> Agreed {
    let mut codecs = vec![codec(96, "video/VP8", "")];
    if rtx {
        codecs.push(codec(97, "video/rtx", "apt=96"));
    }
    Agreed {
        transceiver: VIDEO,
        kind: MediaKind::Video,
        mid: "0".into(),
        send: Some(Sending {
            codecs: codecs.clone(),
            extensions: extensions(),
            mixed_extensions: false,
            encodings: vec![SendEncoding {
                rid: None,
                ssrc,
                rtx_ssrc: rtx.then_some(ssrc + 1),
                active: true,
                payload_type: None,
                max_bitrate: None,
                max_framerate: None,
            }],
            cname: "test".into(),
            max_bitrate: None,
        }),
        receive: Some(Receiving {
            codecs,
            extensions: extensions(),
            streams: Vec::new(),
            rids: Vec::new(),
        }),
        reduced_size: true,
    }
}

/// Sound, in the place of the pictures.
fn audio(ssrc: u32) -> Agreed {
    let codec = |payload_type, mime_type: &str, fmtp: &str| RtpCodecParameters {
        payload_type,
        codec: RtpCodec {
            mime_type: mime_type.into(),
            clock_rate: 48_000,
            channels: Some(2),
            sdp_fmtp_line: fmtp.into(),
        },
        rtcp_feedback: Vec::new(),
    };
    let codecs = vec![
        codec(111, "audio/opus", ""),
        codec(63, "audio/red", "111/111"),
        codec(110, "audio/telephone-event", ""),
    ];
    let mut agreed = video(ssrc, false);
    agreed.kind = MediaKind::Audio;
    agreed.send.as_mut().unwrap().codecs.clone_from(&codecs);
    agreed.receive.as_mut().unwrap().codecs = codecs;
    agreed
}

pub(crate) fn config() -> crate::Config {
    let certificate = peerline_dtls::Certificate::generate(
        &peerline_dtls::default_provider(),
        std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 30),
    );
    crate::Config::new(std::sync::Arc::new(certificate.unwrap()))
}

/// Alice sends to Bob, and what Bob says of it comes back, each 20 ms later.
struct Path {
    start: Instant,
    now: Instant,
    ends: [Media; 2],
    flying: VecDeque<(Instant, usize, BytesMut)>,
    /// Of the datagrams that Alice sends, by their count, the time since the start and the payload type, those that are lost.
    loses: Box<dyn FnMut(u64, Duration, u8) -> bool>,
    sent: u64,
    /// How often each datagram of Alice's arrives.
    copies: usize,
    frames: Vec<IncomingFrame>,
    events: Vec<Event>,
    /// The RTCP of both, before it was protected.
    control: [Vec<Vec<u8>>; 2],
}

impl Path {
    fn new(rtx: bool, profile: Profile, loses: impl FnMut(u64, Duration, u8) -> bool + 'static) -> Self {
        let now = start();
        let keys = KeyingMaterial::from_exporter(profile, &vec![7; profile.keying_material_len()]).unwrap();
        let config = config();
        let end = |seed, ours, theirs| {
            let mut media = Media::new(now, &config, [seed; 32]);
            media.configure(vec![video(u32::from(seed) * 100, rtx)]);
            media.connect(now, ours, theirs);
            media
        };
        Self {
            start: now,
            now,
            ends: [end(1, &keys.client, &keys.server), end(2, &keys.server, &keys.client)],
            flying: VecDeque::new(),
            loses: Box::new(loses),
            sent: 0,
            copies: 1,
            frames: Vec::new(),
            events: Vec::new(),
            control: [Vec::new(), Vec::new()],
        }
    }

    fn flush(&mut self) {
        for from in 0..2 {
            let mut out = Vec::new();
            self.control[from].extend(self.ends[from].control.iter().cloned());
            while let Some(len) = self.ends[from].poll_transmit(self.now, &mut out) {
                assert!(len <= 1200, "{len} bytes");
                assert_eq!(len, out.len());
                self.sent += u64::from(from == 0);
                if from == 1 || !(self.loses)(self.sent, self.now - self.start, out[1] & 0x7f) {
                    let at = self.now + Duration::from_millis(20);
                    let copies = if from == 0 { self.copies } else { 1 };
                    for _ in 0..copies {
                        self.flying.push_back((at, 1 - from, out.as_slice().into()));
                    }
                }
                out.clear();
            }
        }
    }

    /// Lets time pass.
    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            self.flush();
            while let Some(frame) = self.bob_frame() {
                self.frames.push(frame);
            }
            for end in &mut self.ends {
                while let Some(event) = end.poll_event() {
                    self.events.push(event);
                }
            }
            let timers = self.ends.iter().filter_map(Media::poll_timeout);
            let arrival = self.flying.front().map(|(at, ..)| *at);
            let next = timers.chain(arrival).min().unwrap_or(end).max(self.now);
            if next > end {
                self.now = end;
                return;
            }
            self.now = next;
            while self.flying.front().is_some_and(|(at, ..)| *at <= self.now) {
                let (_, to, datagram) = self.flying.pop_front().unwrap();
                if (192..=223).contains(&datagram[1]) {
                    self.ends[to].handle_rtcp(self.now, datagram);
                } else {
                    self.ends[to].handle_rtp(self.now, datagram);
                }
            }
            for end in &mut self.ends {
                end.handle_timeout(self.now);
            }
            if self.now == end && self.flying.is_empty() {
                return;
            }
        }
    }

    fn bob_frame(&mut self) -> Option<IncomingFrame> {
        self.ends[1].section_of(VIDEO).unwrap().1.receiver.recv_frame()
    }

    fn send(&mut self, number: u32, payload: Bytes) {
        let frame = OutgoingFrame {
            payload,
            timestamp: number * 3000,
            ..OutgoingFrame::default()
        };
        self.ends[0].send_frame(self.now, VIDEO, frame).unwrap();
    }

    /// Sends so many frames, 33 ms apart, each of a few packets.
    fn play(&mut self, frames: u32) {
        for number in 0..frames {
            self.send(number, picture(number));
            self.run(Duration::from_millis(33));
        }
        self.run(Duration::from_secs(1));
    }
}

/// A VP8 frame with its number in it; the first is a keyframe (RFC 6386 §9.1).
fn picture(number: u32) -> Bytes {
    let mut frame = vec![u8::from(number != 0) | 0x10, 0, 0, 0x9d, 0x01, 0x2a, 64, 0, 64, 0];
    frame.resize(4000, number as u8);
    frame.into()
}

#[test]
fn frames_arrive_whole_and_in_order() {
    let mut path = Path::new(true, Profile::AeadAes128Gcm, |_, _, _| false);
    path.play(30);
    assert_eq!(path.frames.len(), 30);
    for (number, frame) in (0u32..).zip(&path.frames) {
        assert_eq!(frame.payload, picture(number));
        assert_eq!(frame.keyframe, number == 0);
        assert_eq!(frame.timestamp.wrapping_sub(path.frames[0].timestamp), number * 3000);
        assert!(!frame.follows_gap || number == 0);
    }
    // Alice's clock is that of her birth, in 1970; she reports before half a second is over.
    let sampled = path.frames[20].sampled.unwrap().as_millis();
    // Timestamps run a third of a millisecond a frame faster than the test sends.
    assert!(sampled.abs_diff(20 * 33) <= 7, "{sampled}");
}

#[test]
fn who_closes_says_goodbye() {
    let mut path = Path::new(true, Profile::AeadAes128Gcm, |_, _, _| false);
    path.play(3);
    let streams = |path: &mut Path| path.ends[1].section_of(VIDEO).unwrap().1.receiver.streams.len();
    assert_eq!(streams(&mut path), 1);
    path.send(3, picture(3));
    path.ends[0].close();
    path.run(Duration::from_millis(100));
    assert_eq!(streams(&mut path), 0);
    // What waited is not sent any more.
    assert_eq!(path.frames.len(), 3);
}

#[test]
fn what_is_lost_comes_again() {
    for profile in [Profile::AeadAes128Gcm, Profile::Aes128CmHmacSha1_80] {
        for rtx in [true, false] {
            let mut path = Path::new(rtx, profile, |count, at, _| {
                // One in eight, in no order; but nothing comes after the last frames to tell that they are missing.
                (count as u32).wrapping_mul(2_654_435_761) >> 16 & 7 == 3 && at < Duration::from_millis(33 * 58)
            });
            path.play(60);
            let numbers: Vec<_> = path.frames.iter().map(|frame| frame.payload[20]).collect();
            assert_eq!(numbers, (0..60).collect::<Vec<_>>(), "{profile:?}, with rtx: {rtx}");
            for (number, frame) in (0u32..).zip(&path.frames) {
                assert_eq!(frame.payload, picture(number));
                assert!(!frame.follows_gap || number == 0);
            }
        }
    }
}

#[test]
fn what_is_lost_for_good_leaves_a_gap_and_asks_for_a_keyframe() {
    // Frames, and all their retransmissions.
    let mut path = Path::new(true, Profile::AeadAes128Gcm, |_, at, payload_type| {
        (300..340).contains(&at.as_millis()) || payload_type == 97
    });
    path.play(90);
    assert!(
        path.frames.len() > 60 && path.frames.len() < 90,
        "{}",
        path.frames.len()
    );
    assert_eq!(path.frames.iter().skip(1).filter(|frame| frame.follows_gap).count(), 1);
    let asked = |event: &&Event| matches!(event, Event::KeyframeRequest(VIDEO, None));
    assert!(path.events.iter().filter(asked).count() >= 1);
}

#[test]
fn keys_are_heard_at_the_other_end() {
    let mut path = Path::new(true, Profile::AeadAes128Gcm, |_, _, _| false);
    let mut agreed = audio(100);
    path.ends[0].configure(vec![agreed.clone()]);
    agreed.send.as_mut().unwrap().encodings[0].ssrc = 200;
    path.ends[1].configure(vec![agreed]);
    let section = path.ends[0].section_of(VIDEO).unwrap().1;
    let millis = Duration::from_millis;
    section
        .sender
        .insert_dtmf(path.now, "1x", millis(100), millis(70))
        .unwrap_err();
    section
        .sender
        .insert_dtmf(path.now, "1,d", millis(100), millis(70))
        .unwrap();
    path.run(Duration::from_secs(5));
    let heard = path.events.iter().filter(|event| matches!(event, Event::DtmfTone(..)));
    let tone = |tone| {
        Event::DtmfTone(
            VIDEO,
            crate::DtmfTone {
                tone,
                duration: millis(100),
            },
        )
    };
    assert_eq!(heard.cloned().collect::<Vec<_>>(), [tone('1'), tone('D')]);
    let told = path.events.iter().filter_map(|event| match event {
        Event::ToneChange(VIDEO, tone) => Some(tone.unwrap_or('.')),
        _ => None,
    });
    assert_eq!(told.collect::<String>(), "1,D.");
}

#[test]
fn redundant_packets_make_up_for_lost_ones() {
    let mut path = Path::new(true, Profile::AeadAes128Gcm, |count, _, payload_type| {
        payload_type == 63 && count % 3 == 1
    });
    let mut agreed = audio(100);
    path.ends[0].configure(vec![agreed.clone()]);
    agreed.send.as_mut().unwrap().encodings[0].ssrc = 200;
    path.ends[1].configure(vec![agreed]);
    for number in 0..60u32 {
        let frame = OutgoingFrame {
            payload: vec![number as u8; 80].into(),
            timestamp: number * 960,
            payload_type: Some(63),
            ..OutgoingFrame::default()
        };
        path.ends[0].send_frame(path.now, VIDEO, frame).unwrap();
        path.run(Duration::from_millis(20));
    }
    path.run(Duration::from_secs(1));
    let numbers: Vec<_> = path.frames.iter().map(|frame| frame.payload[0]).collect();
    let first = numbers[0];
    assert!(first <= 1);
    assert_eq!(numbers, (first..first + numbers.len() as u8).collect::<Vec<_>>());
    assert!(numbers.len() >= 58);
}

//! Calls in virtual time: what is sent at one end comes out at the other.

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::Lab;
use peerline_connection::{
    Connection, ConnectionState, DataChannelInit, Event, IncomingFrame, MediaKind, OfferOptions, OutgoingFrame,
    OutgoingPacket, ReceiveMode, RtpEncodingParameters, SendMediaError, StatsKind, Track, TransceiverId,
    TransceiverInit,
};
use peerline_sim::Link;

/// A VP8 frame with its number in it; every thirtieth is a keyframe (RFC 6386 §9.1).
fn picture(number: u32) -> Bytes {
    let mut frame = vec![
        u8::from(!number.is_multiple_of(30)) | 0x10,
        0,
        0,
        0x9d,
        0x01,
        0x2a,
        64,
        0,
        64,
        0,
    ];
    frame.resize(3000, number as u8);
    frame.into()
}

fn link(loss: f64) -> Link {
    Link {
        delay: Duration::from_millis(30),
        loss,
        ..Link::default()
    }
}

/// Two peers, of which the first sends a picture and a voice to the other; the other's transceivers.
fn call(seed: u64, loss: f64) -> (Lab, [TransceiverId; 2], [TransceiverId; 2]) {
    call_over(seed, link(loss))
}

fn call_over(seed: u64, link: Link) -> (Lab, [TransceiverId; 2], [TransceiverId; 2]) {
    let mut lab = Lab::new(seed, link);
    let streams = ["stream".to_owned()];
    let sent = lab.with_peer(0, |peer, now| {
        [("camera", MediaKind::Video), ("voice", MediaKind::Audio)].map(|(id, kind)| {
            let track = Track { id: id.into(), kind };
            peer.add_track(now, track, &streams).expect("it is added")
        })
    });
    lab.offer(0, OfferOptions::default());
    lab.run_for(Duration::from_secs(2));
    let tracks: Vec<_> = lab.events[1]
        .iter()
        .filter_map(|event| match event {
            Event::Track { transceiver, streams } => {
                assert_eq!(streams, &["stream"]);
                Some(*transceiver)
            }
            _ => None,
        })
        .collect();
    let received = tracks.try_into().expect("two tracks");
    (lab, sent, received)
}

fn play(lab: &mut Lab, sender: TransceiverId, receiver: TransceiverId, frames: u32) -> Vec<IncomingFrame> {
    let mut received = Vec::new();
    for number in 0..frames {
        lab.with_peer(0, |peer, now| {
            let frame = OutgoingFrame {
                payload: picture(number),
                timestamp: number * 3000,
                ..OutgoingFrame::default()
            };
            peer.send_frame(now, sender, frame).expect("it is sent");
        });
        lab.run_for(Duration::from_millis(33));
        lab.with_peer(1, |peer, _| {
            received.extend(std::iter::from_fn(|| peer.recv_frame(receiver)));
        });
    }
    lab.run_for(Duration::from_secs(1));
    lab.with_peer(1, |peer, _| {
        received.extend(std::iter::from_fn(|| peer.recv_frame(receiver)));
    });
    received
}

#[test]
fn pictures_and_sound_arrive() {
    let (mut lab, [camera, voice], [picture_in, sound_in]) = call(1, 0.0);
    for number in 0..50u32 {
        lab.with_peer(0, |peer, now| {
            let frame = OutgoingFrame {
                payload: vec![number as u8; 100].into(),
                timestamp: number * 960,
                ..OutgoingFrame::default()
            };
            peer.send_frame(now, voice, frame).expect("it is sent");
        });
        lab.run_for(Duration::from_millis(20));
    }
    let sound: Vec<_> = lab.with_peer(1, |peer, _| std::iter::from_fn(|| peer.recv_frame(sound_in)).collect());
    assert!(sound.len() >= 48, "{}", sound.len());
    assert!(
        sound
            .iter()
            .zip(0..)
            .all(|(frame, number)| frame.payload[..] == [number; 100])
    );

    let pictures = play(&mut lab, camera, picture_in, 60);
    assert_eq!(pictures.len(), 60);
    for (number, frame) in (0..).zip(&pictures) {
        assert_eq!(frame.payload, picture(number));
        assert_eq!(frame.keyframe, number % 30 == 0);
    }
}

#[test]
fn a_lossy_path_loses_no_picture() {
    for loss in [0.05, 0.15] {
        let (mut lab, [camera, _], [receiver, _]) = call(2, loss);
        let pictures = play(&mut lab, camera, receiver, 300);
        let numbers: Vec<_> = pictures.iter().map(|frame| frame.payload[20]).collect();
        // Nothing tells that the tail of the last frame is missing.
        assert!(numbers.len() >= 299, "{loss}: {} pictures", numbers.len());
        assert!(
            numbers
                .iter()
                .zip(0..300u32)
                .all(|(number, expected)| *number == expected as u8)
        );
    }
}

/// As a forwarder sends: each packet as it is, under the number that it came with, which wraps on the way.
#[test]
fn a_lossy_path_loses_no_picture_that_is_forwarded() {
    for loss in [0.05, 0.15] {
        let (mut lab, [camera, _], [receiver, _]) = call(10, loss);
        let payload_type = lab.with_peer(0, |peer, _| {
            let parameters = peer.send_parameters(camera).expect("it sends");
            parameters.codecs[0].payload_type
        });
        let mut sequence_number = 65_000_u16;
        let mut pictures = Vec::new();
        for number in 0..300u32 {
            let picture = picture(number);
            let parts: Vec<_> = picture.chunks(1000).collect();
            for (index, part) in parts.iter().enumerate() {
                // "Start of VP8 partition" (RFC 7741 §4.2).
                let descriptor = if index == 0 { 0x10 } else { 0 };
                let packet = OutgoingPacket {
                    payload: [&[descriptor], *part].concat().into(),
                    marker: index + 1 == parts.len(),
                    payload_type,
                    sequence_number: Some(sequence_number),
                    timestamp: number * 3000,
                    ..OutgoingPacket::default()
                };
                sequence_number = sequence_number.wrapping_add(1);
                lab.with_peer(0, |peer, now| peer.send_packet(now, camera, packet))
                    .expect("it is sent");
            }
            lab.run_for(Duration::from_millis(33));
            lab.with_peer(1, |peer, _| {
                pictures.extend(std::iter::from_fn(|| peer.recv_frame(receiver)));
            });
        }
        lab.run_for(Duration::from_secs(1));
        lab.with_peer(1, |peer, _| {
            pictures.extend(std::iter::from_fn(|| peer.recv_frame(receiver)));
        });
        // Nothing tells that the tail of the last frame is missing.
        assert!(pictures.len() >= 299, "{loss}: {} pictures", pictures.len());
        for (number, frame) in (0..).zip(&pictures) {
            assert_eq!(frame.payload, picture(number), "{loss}: {number}");
            assert!(!frame.follows_gap || number == 0);
        }
        let report = lab.peer(0).stats(lab.now());
        let repeated = report.stats.iter().find_map(|stats| match &stats.kind {
            StatsKind::OutboundRtp(outbound) if outbound.kind == MediaKind::Video => {
                Some(outbound.retransmitted_packets_sent)
            }
            _ => None,
        });
        let repeated = repeated.expect("a stream is sent") as f64;
        // What is repeated may be lost as well; not all that is asked for had been lost.
        assert!(
            (900.0 * loss * 0.6..900.0 * loss * 3.0).contains(&repeated),
            "{loss}: {repeated}"
        );
    }
}

/// `encodings[].codec` (webrtc-extensions) says which of the codecs agreed on is sent.
#[test]
fn an_encoding_sends_the_codec_that_is_chosen_for_it() {
    let (mut lab, senders, receivers) = call(11, 0.0);
    // A VP9 keyframe begins so (its bitstream specification, §6.2): the frame marker, then the sync code.
    let vp9 = [&[0x82, 0x49, 0x83, 0x42][..], &[0; 100]].concat();
    let frames = [
        ("video/VP9", Bytes::from(vp9)),
        ("audio/PCMU", Bytes::from(vec![0xff; 160])),
    ];
    for (index, (mime_type, payload)) in frames.into_iter().enumerate() {
        let (sender, receiver) = (senders[index], receivers[index]);
        let mut timestamp = 0;
        for chosen in [false, true, false] {
            let parameters = lab.with_peer(0, |peer, now| {
                let mut parameters = peer.send_parameters(sender).expect("it lives");
                let codecs = &parameters.codecs;
                let found = codecs.iter().find(|codec| codec.codec.mime_type == mime_type);
                let other = found.expect("it was agreed on").clone();
                let first = codecs[0].payload_type;
                assert_ne!(first, other.payload_type);
                parameters.encodings[0].codec = chosen.then(|| other.codec.clone());
                peer.set_send_parameters(now, sender, parameters).expect("they fit");
                [first, other.payload_type]
            });
            timestamp += 9000;
            let payload = if chosen {
                payload.clone()
            } else {
                picture(0).slice(..1000)
            };
            lab.with_peer(0, |peer, now| {
                let frame = OutgoingFrame {
                    payload: payload.clone(),
                    timestamp,
                    ..OutgoingFrame::default()
                };
                peer.send_frame(now, sender, frame).expect("it is sent");
            });
            lab.run_for(Duration::from_millis(500));
            let frame = lab.with_peer(1, |peer, _| peer.recv_frame(receiver)).expect("it comes");
            assert_eq!(
                frame.payload_type,
                parameters[usize::from(chosen)],
                "{mime_type}: {chosen}"
            );
            assert_eq!(frame.payload, payload, "{mime_type}: {chosen}");
        }
    }
}

#[test]
fn both_ends_count_the_same() {
    let (mut lab, [camera, _], [receiver, _]) = call(3, 0.02);
    play(&mut lab, camera, receiver, 150);
    lab.run_for(Duration::from_secs(2));
    let now = lab.now();
    let (ours, theirs) = (lab.peer(0).stats(now), lab.peer(1).stats(now));
    let outbound = ours
        .stats
        .iter()
        .find_map(|stats| match &stats.kind {
            StatsKind::OutboundRtp(outbound) if outbound.kind == MediaKind::Video => Some(outbound),
            _ => None,
        })
        .expect("a stream is sent");
    let inbound = theirs
        .stats
        .iter()
        .find_map(|stats| match &stats.kind {
            StatsKind::InboundRtp(inbound) if inbound.ssrc == outbound.ssrc => Some(inbound),
            _ => None,
        })
        .expect("it is received");
    assert_eq!(outbound.frames_sent, Some(150));
    assert_eq!(outbound.mid, inbound.mid);
    assert!(outbound.retransmitted_packets_sent > 0);
    let originals = outbound.packets_sent - outbound.retransmitted_packets_sent;
    // What came again is among what came, but it was lost (webrtc-stats, RFC 3550 §6.4.1).
    let again = inbound.retransmitted_packets_received.expect("it was agreed on");
    assert!(again > 0);
    let first = (inbound.packets_received - again) as i64;
    assert_eq!(originals as i64, first + inbound.packets_lost);
    assert!(inbound.packets_lost > 0);
    let codec = ours
        .get(outbound.codec_id.as_ref().expect("a codec"))
        .expect("it is there");
    assert!(matches!(&codec.kind, StatsKind::Codec(codec) if codec.mime_type == "video/VP8"));
    let report = ours
        .get(outbound.remote_id.as_ref().expect("a report"))
        .expect("it is there");
    let StatsKind::RemoteInboundRtp(report) = &report.kind else {
        panic!("{report:?}");
    };
    let round_trip = report.round_trip_time.expect("it was measured");
    assert!((0.059..0.075).contains(&round_trip), "{round_trip}");
    assert!(report.packets_lost > 0);
    assert_eq!(
        (report.packets_received as i64, report.packets_lost),
        (first, inbound.packets_lost)
    );

    // What the last sender report told: of originals alone, since what is repeated has a stream of its own. And who only receives
    // knows the round trip by extended reports and the replies to them (RFC 3611 §4.4, §4.5).
    let report = theirs
        .get(inbound.remote_id.as_ref().expect("a report"))
        .expect("it is there");
    let StatsKind::RemoteOutboundRtp(report) = &report.kind else {
        panic!("{report:?}");
    };
    assert_eq!(report.packets_sent, originals);
    assert_eq!(
        report.bytes_sent,
        outbound.bytes_sent - outbound.retransmitted_bytes_sent
    );
    assert!(report.reports_sent > 2);
    assert!(report.round_trip_time_measurements > 2);
    let round_trip = report.round_trip_time.expect("it was measured");
    assert!((0.059..0.075).contains(&round_trip), "{round_trip}");
    let total = report.total_round_trip_time / report.round_trip_time_measurements as f64;
    assert!((0.059..0.075).contains(&total), "{total}");

    // The peer's transport-wide feedback tells the same, of retransmissions as well; some of it is lost, too.
    let transport = ours.transport().expect("it is there");
    let feedback = transport.feedback.as_ref().expect("the peer tells of what has come");
    assert!(feedback.packets_lost > 0);
    let told = feedback.packets_received + feedback.packets_lost;
    assert!(
        (outbound.packets_sent / 10 * 9..=outbound.packets_sent).contains(&told),
        "{feedback:?}"
    );
    let theirs = theirs.transport().expect("it is there");
    assert_eq!(theirs.feedback, None, "it has sent no packets");
    assert_eq!((theirs.srtp_packets_discarded, theirs.unknown_stream_packets), (0, 0));
}

#[test]
fn what_comes_twice_is_counted() {
    let twice = Link {
        duplicate: 0.5,
        ..link(0.0)
    };
    let (mut lab, [camera, _], [receiver, _]) = call_over(8, twice);
    assert_eq!(play(&mut lab, camera, receiver, 30).len(), 30);
    let now = lab.now();
    let [ours, theirs] = [0, 1].map(|who| lab.peer(who).stats(now));
    let transport = theirs.transport().expect("it is there");
    let sent = ours.transport().expect("it is there").feedback.as_ref();
    let sent = sent.expect("the peer tells of what has come").packets_received;
    assert!(
        (sent / 4..sent).contains(&transport.srtp_packets_discarded),
        "{transport:?}"
    );
    assert_eq!(transport.unknown_stream_packets, 0);
}

#[test]
fn a_keyframe_is_asked_for_and_the_source_hears_of_it() {
    let (mut lab, [camera, _], [receiver, _]) = call(4, 0.0);
    play(&mut lab, camera, receiver, 5);
    lab.events[0].clear();
    lab.with_peer(1, |peer, now| peer.request_keyframe(now, receiver, None));
    lab.expect_event(0, &Event::KeyframeRequest(camera, None));
}

#[test]
fn the_sender_is_told_how_much_it_may_send() {
    let (mut lab, [camera, _], [receiver, _]) = call(7, 0.0);
    play(&mut lab, camera, receiver, 5);
    lab.with_peer(1, |peer, now| peer.set_max_receive_bitrate(now, Some(100_000)));
    lab.expect_event(0, &Event::BandwidthEstimate(100_000));
}

#[test]
fn layers_of_simulcast_arrive_apart() {
    let mut lab = Lab::new(5, link(0.01));
    let camera = lab.with_peer(0, |peer, now| {
        let encoding = |rid: &str| RtpEncodingParameters {
            rid: rid.into(),
            ..RtpEncodingParameters::default()
        };
        let init = TransceiverInit {
            send_encodings: ["q", "h", "f"].map(encoding).into(),
            ..TransceiverInit::default()
        };
        peer.add_transceiver(now, MediaKind::Video, init).expect("it is added")
    });
    lab.offer(0, OfferOptions::default());
    lab.run_for(Duration::from_secs(2));
    let receiver = lab.events[1]
        .iter()
        .find_map(|event| match event {
            Event::Track { transceiver, .. } => Some(*transceiver),
            _ => None,
        })
        .expect("a track");
    let mut received = Vec::new();
    for number in 0..90u32 {
        for rid in ["q", "h", "f"] {
            lab.with_peer(0, |peer, now| {
                let frame = OutgoingFrame {
                    payload: picture(number),
                    timestamp: number * 3000,
                    rid: Some(rid.into()),
                    ..OutgoingFrame::default()
                };
                peer.send_frame(now, camera, frame)
                    .unwrap_or_else(|error| panic!("{rid}: {error}"));
            });
        }
        lab.run_for(Duration::from_millis(33));
        lab.with_peer(1, |peer, _| {
            received.extend(std::iter::from_fn(|| peer.recv_frame(receiver)));
        });
    }
    lab.run_for(Duration::from_secs(1));
    lab.with_peer(1, |peer, _| {
        received.extend(std::iter::from_fn(|| peer.recv_frame(receiver)));
    });
    for rid in ["q", "h", "f"] {
        let numbers: Vec<_> = received
            .iter()
            .filter(|frame| frame.rid.as_deref() == Some(rid))
            .map(|frame| frame.payload[20])
            .collect();
        assert!(numbers.len() >= 89, "{rid}: {numbers:?}");
    }
}

#[test]
fn packets_are_forwarded_as_they_came() {
    let (mut lab, [camera, _], [receiver, _]) = call(6, 0.0);
    lab.with_peer(1, |peer, _| peer.set_receive_mode(receiver, ReceiveMode::Packets));
    let payload_type = lab.with_peer(0, |peer, _| {
        let parameters = peer.send_parameters(camera).expect("it sends");
        parameters.codecs[0].payload_type
    });
    for number in [7u16, 8, 10, 9] {
        lab.with_peer(0, |peer, now| {
            let packet = OutgoingPacket {
                payload: vec![0x10, number as u8].into(),
                payload_type,
                sequence_number: Some(number),
                timestamp: 1234,
                csrcs: (0..u32::from(number)).collect(),
                ..OutgoingPacket::default()
            };
            let crowd = OutgoingPacket {
                csrcs: vec![1; 16],
                ..packet.clone()
            };
            let refused = peer.send_packet(now, camera, crowd);
            assert_eq!(refused, Err(SendMediaError::TooManySources));
            peer.send_packet(now, camera, packet.clone()).expect("it is sent");
            peer.send_packet(now, camera, packet).expect_err("not twice");
        });
    }
    lab.run_for(Duration::from_millis(100));
    let packets: Vec<_> = lab.with_peer(1, |peer, _| std::iter::from_fn(|| peer.recv_packet(receiver)).collect());
    let numbers: Vec<_> = packets.iter().map(|packet| packet.sequence_number as u16).collect();
    assert_eq!(numbers, [7, 8, 10, 9]);
    assert!(packets.iter().all(|packet| packet.timestamp == 1234
        && packet.payload[0] == 0x10
        && packet.csrcs.len() == usize::from(packet.payload[1])));
}

#[test]
fn sound_and_pictures_are_in_sync_however_long_they_took_to_encode() {
    let (mut lab, [camera, voice], [picture_in, sound_in]) = call(7, 0.0);
    let start = lab.now();
    // Pictures leave 200 ms after they were captured, sound 20 ms after.
    let ways = [(camera, 200, 90_000), (voice, 20, 48_000)];
    let mut sampled = [None, None];
    for number in 0..150u32 {
        lab.with_peer(0, |peer, now| {
            for (sender, late, clock_rate) in ways {
                let captured = now - Duration::from_millis(late);
                let since = captured + Duration::from_secs(1) - start;
                let frame = OutgoingFrame {
                    payload: picture(number),
                    timestamp: (since.as_micros() * clock_rate / 1_000_000) as u32,
                    captured: Some(captured),
                    ..OutgoingFrame::default()
                };
                // Opus frames of that size do not fit into a packet.
                let payload = frame.payload.slice(..frame.payload.len().min(1000));
                let frame = if sender == voice {
                    OutgoingFrame { payload, ..frame }
                } else {
                    frame
                };
                peer.send_frame(now, sender, frame).expect("it is sent");
            }
        });
        lab.run_for(Duration::from_millis(100));
        lab.with_peer(1, |peer, _| {
            for (sampled, receiver) in sampled.iter_mut().zip([picture_in, sound_in]) {
                let latest = std::iter::from_fn(|| peer.recv_frame(receiver)).last();
                *sampled = latest.and_then(|frame| frame.sampled).or(*sampled);
            }
        });
    }
    let [Some(pictures), Some(sounds)] = sampled else {
        panic!("no sender report came: {sampled:?}");
    };
    let apart = sounds.as_secs_f64() - pictures.as_secs_f64();
    assert!((apart - 0.18).abs() < 0.002, "{apart}");
}

#[test]
fn nothing_follows_the_end() {
    let (mut lab, [camera, voice], [receiver, _]) = call(7, 0.0);
    play(&mut lab, camera, receiver, 5);
    lab.with_peer(0, |peer, now| {
        let long = Duration::from_millis(500);
        peer.insert_dtmf(now, voice, "123", long, long).expect("it plays");
        for number in 5..10 {
            let frame = OutgoingFrame {
                payload: picture(number),
                timestamp: number * 3000,
                ..OutgoingFrame::default()
            };
            peer.send_frame(now, camera, frame).expect("it is sent");
        }
    });
    // What was sent is on its way to one who has closed.
    lab.with_peer(1, Connection::close);
    lab.run_for(Duration::from_secs(10));
    for who in [0, 1] {
        let end = Event::ConnectionStateChange(ConnectionState::Closed);
        assert_eq!(lab.events[who].last(), Some(&end), "{:?}", lab.events[who]);
        let now = lab.now();
        assert!(
            lab.with_peer(who, |peer, _| peer.poll_timeout())
                .is_none_or(|due| due > now)
        );
        let frame = OutgoingFrame::default();
        lab.with_peer(who, |peer, now| peer.send_frame(now, camera, frame))
            .expect_err("it is closed");
    }
}

/// Bob offers again, with `lines` in the section of this kind, and Alice answers: what she says.
fn reoffer(lab: &mut Lab, kind: &str, lines: &str) -> String {
    let mut offer = lab.with_peer(1, |peer, now| {
        peer.set_local_description(now, None).expect("an offer");
        peer.local_description().expect("it was set")
    });
    let section = offer.sdp.find(&format!("m={kind}")).expect("it is there");
    let end = section + offer.sdp[section..].find("a=mid").expect("it has one");
    offer.sdp.insert_str(end, lines);
    let answer = lab.with_peer(0, |peer, now| {
        peer.set_remote_description(now, offer).expect("the offer fits");
        peer.set_local_description(now, None).expect("an answer");
        peer.local_description().expect("it was set")
    });
    let sdp = answer.sdp.clone();
    lab.with_peer(1, |peer, now| {
        peer.set_remote_description(now, answer).expect("the answer fits");
    });
    sdp
}

/// "It MUST send an RTCP BYE packet for the old identifier and choose another random one" (RFC 3550 §8.2).
#[test]
fn an_ssrc_that_the_peer_has_too_is_changed() {
    let (mut lab, [camera, _], [picture_in, _]) = call(5, 0.0);
    let before = play(&mut lab, camera, picture_in, 10);
    assert_eq!(before.len(), 10);
    let old = before[0].ssrc;
    let answer = reoffer(&mut lab, "video", &format!("a=ssrc:{old} cname:bob\r\n"));
    assert!(
        answer.contains("a=ssrc:") && !answer.contains(&format!("a=ssrc:{old} ")),
        "{answer}"
    );
    let after = play(&mut lab, camera, picture_in, 10);
    assert_eq!(after.len(), 10);
    let new = after[0].ssrc;
    assert!(new != old && answer.contains(&format!("a=ssrc:{new} ")));
    let received = lab.peer(1).stats(lab.now());
    let streams = received.stats.iter().filter_map(|stats| match &stats.kind {
        StatsKind::InboundRtp(stats) if stats.kind == MediaKind::Video => Some(stats.ssrc),
        _ => None,
    });
    assert_eq!(streams.collect::<Vec<_>>(), [new], "the old one has said goodbye");
    // Not for ever.
    let mut changes = 0;
    let mut last = new;
    for _ in 0..100 {
        let answer = reoffer(&mut lab, "video", &format!("a=ssrc:{last} cname:bob\r\n"));
        let section = &answer[answer.find("m=video").expect("it is there")..];
        let named = section
            .lines()
            .find_map(|line| line.strip_prefix("a=ssrc:")?.split(' ').next());
        let named = named.and_then(|named| named.parse().ok()).expect("it is named");
        changes += u32::from(named != last);
        last = named;
    }
    assert_eq!(changes, 63);
}

#[test]
fn what_the_peer_takes_at_most_limits_the_encodings() {
    let (mut lab, [camera, voice], _) = call(6, 0.0);
    let limits = |lab: &mut Lab| [camera, voice].map(|id| lab.peer(0).send_encodings(id)[0].max_bitrate);
    assert_eq!(limits(&mut lab), [None, None]);
    reoffer(&mut lab, "video", "b=AS:300\r\n");
    assert_eq!(limits(&mut lab), [Some(300_000), None]);
    reoffer(&mut lab, "audio", "b=AS:300\r\nb=TIAS:24000\r\n");
    assert_eq!(limits(&mut lab), [None, Some(24_000)]);
    lab.with_peer(0, |peer, now| {
        let mut parameters = peer.send_parameters(camera).expect("it lives");
        parameters.encodings[0].max_bitrate = Some(500_000);
        peer.set_send_parameters(now, camera, parameters).expect("they fit");
    });
    assert_eq!(limits(&mut lab), [Some(500_000), Some(24_000)]);
    reoffer(&mut lab, "video", "b=TIAS:400000\r\n");
    assert_eq!(limits(&mut lab), [Some(400_000), None]);
    let parameters = lab.with_peer(0, |peer, _| peer.send_parameters(camera).expect("it lives"));
    assert_eq!(
        parameters.encodings[0].max_bitrate,
        Some(500_000),
        "what was set is told"
    );
}

/// Packet times (RFC 8866 §6.4), an `a=rid` without `a=simulcast` (RFC 8851 §6.2).
#[test]
fn what_is_not_used_does_no_harm() {
    let (mut lab, [camera, _], [picture_in, _]) = call(7, 0.0);
    let answer = reoffer(&mut lab, "audio", "a=ptime:20\r\na=maxptime:60\r\nb=RS:0\r\n");
    assert!(!answer.contains("a=ptime") && !answer.contains("b=RS"));
    let answer = reoffer(
        &mut lab,
        "video",
        "a=rid:hi send pt=96;max-width=1280;max-br=1000000\r\n",
    );
    assert!(!answer.contains("a=rid") && !answer.contains("a=simulcast"), "{answer}");
    assert_eq!(play(&mut lab, camera, picture_in, 5).len(), 5);
}

#[test]
fn who_is_heard_is_told_for_ten_seconds() {
    let (mut lab, [camera, _], [picture_in, sound_in]) = call(8, 0.0);
    let frames = play(&mut lab, camera, picture_in, 5);
    let sources = |lab: &Lab, id| lab.peer(1).synchronization_sources(lab.now(), id);
    let heard = sources(&lab, picture_in);
    assert_eq!(heard.len(), 1);
    assert_eq!(heard[0].source, frames[0].ssrc);
    assert_eq!(heard[0].rtp_timestamp, frames[4].timestamp);
    assert_eq!(heard[0].audio_level, None);
    assert!(sources(&lab, sound_in).is_empty());
    assert!(lab.peer(1).contributing_sources(lab.now(), picture_in).is_empty());
    lab.run_for(Duration::from_secs(11));
    assert!(sources(&lab, picture_in).is_empty());
}

/// How long a message takes, or a picture, whose packets are all lost once, while the other kind is sent beside it, or not.
fn after_loss(lost: Kind, beside: bool) -> Duration {
    let (mut lab, [camera, _], [watched, _]) = call(9, 0.0);
    let channel = lab.open(0, "chat", DataChannelInit::default());
    lab.offer(0, OfferOptions::default());
    let far = lab.expect_incoming(1);
    let mut number = 0;
    let mut send = |lab: &mut Lab, kind: Kind| {
        number += 1;
        lab.with_peer(0, |peer, now| match kind {
            Kind::Message => peer.send(now, channel, vec![1; 100]).expect("it is sent"),
            Kind::Picture => {
                let frame = OutgoingFrame {
                    payload: picture(number),
                    timestamp: number * 90,
                    ..OutgoingFrame::default()
                };
                peer.send_frame(now, camera, frame).expect("it is sent");
            }
        });
    };
    let recv = |lab: &mut Lab| {
        lab.with_peer(1, |peer, now| {
            let message = peer.recv(now, far).map(|_| Kind::Message);
            let picture = peer.recv_frame(watched).map(|_| Kind::Picture);
            [message, picture].contains(&Some(lost))
        })
    };
    let set_loss = |lab: &mut Lab, loss| {
        for [one, other] in lab.routes() {
            lab.network.set_links(one, other, &link(loss));
        }
    };
    let other = match lost {
        Kind::Message => Kind::Picture,
        Kind::Picture => Kind::Message,
    };
    for _ in 0..100 {
        send(&mut lab, lost);
        send(&mut lab, other);
        lab.run_for(Duration::from_millis(20));
        recv(&mut lab);
    }
    lab.run_for(Duration::from_millis(500));
    while recv(&mut lab) {}
    let sent = lab.now();
    set_loss(&mut lab, 1.0);
    send(&mut lab, lost);
    lab.run_for(Duration::from_millis(1));
    set_loss(&mut lab, 0.0);
    // What follows shows the peer that a picture is missing.
    if lost == Kind::Picture {
        send(&mut lab, lost);
    }
    while lab.now() < sent + Duration::from_secs(2) {
        if beside {
            send(&mut lab, other);
        }
        lab.run_for(Duration::from_millis(1));
        if recv(&mut lab) {
            return lab.now() - sent;
        }
    }
    panic!("it never came");
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Message,
    Picture,
}

/// DTLS and data channels rest while media alone are sent: none of their timers is late for it. Nor are those of media for messages.
#[test]
fn what_is_lost_is_repeated_in_time_whatever_else_is_sent() {
    for lost in [Kind::Message, Kind::Picture] {
        let alone = after_loss(lost, false);
        assert!(alone < Duration::from_millis(500), "{lost:?} after {alone:?}");
        assert_eq!(after_loss(lost, true), alone, "{lost:?}");
    }
}

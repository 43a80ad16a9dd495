//! Whose packets these are.

use super::*;
use crate::media::extensions::{ExtensionKind, Extensions};
use crate::media::sources::Contributors;

/// A packet of Alice's, as she would protect it.
fn hand_in(path: &mut Path, mut packet: Vec<u8>) {
    let srtp = path.ends[0].srtp.as_mut().unwrap();
    srtp.outbound.protect_rtp(&mut packet, 0).unwrap();
    path.ends[1].handle_rtp(path.now, packet.as_slice().into());
}

/// A packet of the stream 100 with an extension of one byte a header, whose MID is `mid`.
fn packet(number: u8, ssrc: u8, mid: Option<u8>) -> Vec<u8> {
    let mut packet = vec![0x80, 96, 0, number, 0, 0, 0, 1, 0, 0, 0, ssrc];
    if let Some(mid) = mid {
        packet[0] |= 0x10;
        packet.extend([0xbe, 0xde, 0, 1, 0x10, mid, 0, 0]);
    }
    packet.extend([0x10, 0, 0, 0x9d, 0x01, 0x2a, 64, 0, 64, 0]);
    packet
}

#[test]
fn what_two_sections_name_is_told_by_mid_alone() {
    let mut path = Path::new(true, Profile::AeadAes128Gcm, |_, _, _| false);
    let [mut first, mut second] = [video(200, true), video(300, true)];
    second.mid = "1".into();
    second.transceiver = TransceiverId(2);
    for section in [&mut first, &mut second] {
        section.receive.as_mut().unwrap().streams = vec![(77, None), (78, Some(79))];
    }
    first.receive.as_mut().unwrap().streams.push((80, None));
    path.ends[1].configure(vec![first.clone(), second]);
    let streams = |path: &Path| -> Vec<Vec<u32>> {
        let sections = path.ends[1].sections.iter().flatten();
        let ssrcs = sections.map(|section| section.receiver.streams.iter().map(|stream| stream.ssrc).collect());
        ssrcs.collect()
    };
    hand_in(&mut path, packet(1, 77, None));
    assert_eq!(streams(&path), [[0; 0]; 2]);
    assert_eq!(path.ends[1].counters.unknown_streams, 1);
    hand_in(&mut path, packet(2, 77, Some(b'1')));
    hand_in(&mut path, packet(3, 77, None));
    hand_in(&mut path, packet(4, 80, None));
    assert_eq!(streams(&path), [[80], [77]]);
    // One section names it from now on.
    path.ends[1].configure(vec![first]);
    hand_in(&mut path, packet(5, 78, None));
    assert_eq!(streams(&path), [[80, 78]]);
}

#[test]
fn a_stream_of_the_peer_may_have_an_ssrc_of_ours() {
    let mut path = Path::new(true, Profile::AeadAes128Gcm, |_, _, _| false);
    // 200 is what Bob sends.
    hand_in(&mut path, packet(1, 200, Some(b'0')));
    path.run(Duration::from_secs(3));
    let section = path.ends[1].section_of(VIDEO).unwrap().1;
    assert_eq!(section.receiver.streams[0].ssrc, 200);
    assert_eq!(section.receiver.streams[0].reception.received(), 1);
    assert_eq!(section.sender.streams[0].sent.packets, 0);
}

#[test]
fn contributors_come_with_their_packets() {
    let mut path = Path::new(true, Profile::AeadAes128Gcm, |_, _, _| false);
    path.ends[1]
        .section_of(VIDEO)
        .unwrap()
        .1
        .receiver
        .set_mode(crate::media::packet::ReceiveMode::Packets);
    let mut mixed = packet(1, 100, None);
    mixed[0] |= 2;
    mixed.splice(12..12, [0, 0, 0, 5, 0, 0, 0, 6]);
    hand_in(&mut path, mixed);
    let receiver = &mut path.ends[1].section_of(VIDEO).unwrap().1.receiver;
    assert_eq!(receiver.recv_packet().unwrap().csrcs, [5, 6]);
    assert_eq!(receiver.contributors.latest(), [(5, None), (6, None)]);
}

#[test]
fn contributors_are_bounded_and_have_their_levels() {
    let now = start();
    let mut contributors = Contributors::default();
    for second in 0..1000 {
        let sources = second * 15..(second + 1) * 15;
        let at = now + Duration::from_secs(second.into());
        contributors.on_packet(at, second, sources, &Extensions::new());
    }
    assert_eq!(contributors.latest().len(), 64);
    let mut extensions = Extensions::new();
    extensions.set(ExtensionKind::CsrcAudioLevel, vec![20, 127]);
    let latest = now + Duration::from_secs(2000);
    contributors.on_packet(latest, 0, [7, 8, 9].into_iter(), &extensions);
    let latest = contributors.latest();
    assert_eq!(latest.len(), 64);
    for expected in [(7, Some(20)), (8, Some(127)), (9, None)] {
        assert!(latest.contains(&expected));
    }
}

#[test]
fn sound_goes_in_redundant_packets_if_those_are_preferred() {
    let types = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let seen = types.clone();
    let mut path = Path::new(true, Profile::AeadAes128Gcm, move |_, _, payload_type| {
        // Reports have others.
        seen.borrow_mut()
            .extend((!(72..=80).contains(&payload_type)).then_some(payload_type));
        false
    });
    let mut agreed = audio(100);
    agreed.send.as_mut().unwrap().codecs.swap(0, 1);
    path.ends[0].configure(vec![agreed.clone()]);
    agreed.send.as_mut().unwrap().encodings[0].ssrc = 200;
    path.ends[1].configure(vec![agreed]);
    for number in 0..20u32 {
        let frame = OutgoingFrame {
            payload: vec![number as u8; 80].into(),
            timestamp: number * 960,
            ..OutgoingFrame::default()
        };
        path.ends[0].send_frame(path.now, VIDEO, frame).unwrap();
        path.run(Duration::from_millis(20));
    }
    path.run(Duration::from_secs(1));
    assert_eq!(*types.borrow(), [63; 20]);
    let numbers: Vec<_> = path.frames.iter().map(|frame| frame.payload[0]).collect();
    assert_eq!(numbers, (0..20).collect::<Vec<_>>());
    // What the frames are in is what was in the packets.
    assert!(path.frames.iter().all(|frame| frame.payload_type == 111));
}

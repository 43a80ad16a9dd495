//! More than anybody has a use for, from a peer that is authentic; and what is not.

use super::*;
use peerline_rtp::rtcp::{
    Bye, ExtendedReport, FirEntry, FullIntraRequest, Nack, PictureLossIndication, ReceiverEstimatedMaxBitrate,
    ReceiverReport, ReportBlock,
};
use peerline_rtp::{NtpTime, Ssrc};

const PICTURES: Ssrc = Ssrc(100);
const PEER: Ssrc = Ssrc(200);

fn path() -> Path {
    Path::new(true, Profile::AeadAes128Gcm, |_, _, _| false)
}

/// Alice gets this from Bob, now.
fn control(path: &mut Path, compound: &[u8]) {
    let mut datagram = compound.to_vec();
    let srtp = path.ends[1].srtp.as_mut().unwrap();
    srtp.outbound.protect_rtcp(&mut datagram, 0).unwrap();
    path.ends[0].handle_rtcp(path.now, datagram.as_slice().into());
}

/// The same as RTP, without extensions.
fn packet(payload_type: u8, number: u16, ssrc: u32, timestamp: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, payload_type];
    packet.extend(number.to_be_bytes());
    packet.extend(timestamp.to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend(payload);
    packet
}

fn media(path: &mut Path, mut packet: Vec<u8>) {
    let srtp = path.ends[1].srtp.as_mut().unwrap();
    srtp.outbound.protect_rtp(&mut packet, 0).unwrap();
    path.ends[0].handle_rtp(path.now, packet.as_slice().into());
}

fn alices_pictures(path: &mut Path) -> &mut super::super::Section {
    let index = path.ends[0].section_of(VIDEO).unwrap().0;
    path.ends[0].sections[index].as_mut().unwrap()
}

fn events(path: &mut Path) -> Vec<Event> {
    std::iter::from_fn(|| path.ends[0].poll_event()).collect()
}

#[test]
fn compounds_of_thousands_of_reports_do_what_one_does() {
    let mut path = path();
    path.play(10);
    let next = alices_pictures(&mut path).sender.streams[0].take_number(None).unwrap();
    let sent = path.sent as usize;
    let mut compound = Vec::new();
    let mut count = 0_u32;
    while compound.len() < 60_000 {
        count += 1;
        let everything = (1..=1000).rev().map(|back| next.sub(back));
        Nack::write(&mut compound, PEER, PICTURES, everything);
        let pli = PictureLossIndication {
            sender: PEER,
            media: PICTURES,
        };
        pli.write(&mut compound);
        let entry = FirEntry {
            ssrc: PICTURES,
            sequence_number: count as u8,
        };
        FullIntraRequest::write(&mut compound, PEER, &[entry; 20]);
        ReceiverEstimatedMaxBitrate::write(&mut compound, PEER, 100_000 + u64::from(count), &[PICTURES; 20]);
        ExtendedReport::write(&mut compound, Ssrc(count), |blocks| {
            for _ in 0..20 {
                blocks.receiver_reference_time(NtpTime(u64::from(count) << 32));
            }
        });
        let block = ReportBlock {
            ssrc: PICTURES,
            ..ReportBlock::default()
        };
        ReceiverReport::write(&mut compound, PEER, &[block; 31]);
        let strangers: Vec<_> = (0..31).map(|ssrc| Ssrc(90_000 + ssrc)).collect();
        Bye::write(&mut compound, &strangers, Some("who?"));
    }
    for _ in 0..50 {
        control(&mut path, &compound);
    }
    // Each packet in line once, one event of a kind a compound.
    assert!(path.ends[0].line.len() <= sent, "{} of {sent}", path.ends[0].line.len());
    assert!(path.ends[0].schedule.references.len() <= super::super::report::MAX_REFERENCES);
    let events = events(&mut path);
    let requests = events
        .iter()
        .filter(|event| matches!(event, Event::KeyframeRequest(..)));
    assert_eq!(requests.count(), 1);
    assert!(events.len() <= 2, "{events:?}");
    // And the call goes on.
    let before = path.frames.len();
    path.play(5);
    assert_eq!(path.frames.len(), before + 5);
}

#[test]
fn keyframes_are_asked_for_ten_times_a_second_at_most() {
    let mut path = path();
    path.play(3);
    path.events.clear();
    for count in 0..1000_u32 {
        let mut compound = Vec::new();
        let pli = PictureLossIndication {
            sender: PEER,
            media: PICTURES,
        };
        pli.write(&mut compound);
        let entry = FirEntry {
            ssrc: PICTURES,
            sequence_number: count as u8,
        };
        FullIntraRequest::write(&mut compound, PEER, &[entry]);
        control(&mut path, &compound);
        path.run(Duration::from_millis(1));
    }
    let requests = path
        .events
        .iter()
        .filter(|event| matches!(event, Event::KeyframeRequest(..)));
    assert!((8..=11).contains(&requests.count()));
    let sent = alices_pictures(&mut path).sender.streams[0].sent;
    assert_eq!((sent.plis, sent.firs), (1000, 1000), "but all are counted");
}

#[test]
fn streams_without_end_give_way_to_each_other() {
    const COUNT: u32 = 6000;
    let mut path = path();
    // One of many goes on, and is silent now and then.
    let faithful = 77;
    let mut first = packet(96, 1, 5000, 0, &picture(0)[..100]);
    let srtp = path.ends[1].srtp.as_mut().unwrap();
    srtp.outbound.protect_rtp(&mut first, 0).unwrap();
    path.ends[0].handle_rtp(path.now, first.as_slice().into());
    for ssrc in 5001..5001 + COUNT {
        path.now += Duration::from_millis(1);
        media(&mut path, packet(96, 1, ssrc, 0, &picture(0)[..100]));
        media(&mut path, packet(97, 1, ssrc + 100_000, 0, &[0, 1, 0x10]));
        if ssrc % 8 == 1 {
            let number = ((ssrc - 5001) / 8) as u16;
            media(&mut path, packet(96, number, faithful, 0, &picture(0)[..100]));
        }
    }
    let receiver = &alices_pictures(&mut path).receiver;
    assert_eq!(receiver.streams.len(), super::super::receiver::MAX_STREAMS);
    let latest = receiver.streams.iter().map(|stream| stream.ssrc).max();
    assert_eq!(latest, Some(5000 + COUNT));
    let kept = receiver.streams.iter().find(|stream| stream.ssrc == faithful).unwrap();
    assert_eq!(kept.reception.extended_highest(), (COUNT - 1) / 8);
    let alice = &mut path.ends[0];
    // All are known to SRTP, so that nothing of theirs can be replayed.
    let inbound = &alice.srtp.as_ref().unwrap().inbound;
    assert_eq!(inbound.streams().count(), 2 + 2 * COUNT as usize);
    assert_eq!(alice.counters.unprotect_failures, 0);
    alice.handle_rtp(path.now, first.as_slice().into());
    assert_eq!(alice.counters.unprotect_failures, 1);
    // Their packets know where to go, though they do not say it.
    assert!(
        [faithful, 5000 + COUNT, 105_000 + COUNT]
            .iter()
            .all(|ssrc| alice.routes.of(*ssrc).is_some())
    );
    assert!(alice.routes.of(5000).is_none() && alice.routes.of(105_001).is_none());
}

#[test]
fn a_stream_that_said_goodbye_is_not_replayed() {
    let mut path = path();
    let mut early = packet(96, 10, 300, 0, &picture(0)[..100]);
    let srtp = path.ends[1].srtp.as_mut().unwrap();
    srtp.outbound.protect_rtp(&mut early, 0).unwrap();
    path.ends[0].handle_rtp(path.now, early.as_slice().into());
    let mut bye = Vec::new();
    Bye::write(&mut bye, &[Ssrc(300)], None);
    control(&mut path, &bye);
    path.ends[0].handle_rtp(path.now, early.as_slice().into());
    assert_eq!(path.ends[0].counters.unprotect_failures, 1);
    assert!(alices_pictures(&mut path).receiver.streams.is_empty());
    // It goes on: with what is new.
    media(&mut path, packet(96, 11, 300, 0, &picture(0)[..100]));
    assert_eq!(alices_pictures(&mut path).receiver.streams.len(), 1);
}

/// What we sent under an SSRC goes on when that is sent again (RFC 3711 §9.1).
#[test]
fn a_stream_of_ours_that_ended_goes_on_under_its_numbers() {
    let mut path = path();
    path.play(5);
    let state = |path: &Path| path.ends[0].srtp.as_ref().unwrap().outbound.stream(PICTURES.0).unwrap();
    let before = state(&path);
    let mut without = video(PICTURES.0, false);
    without.send.as_mut().unwrap().encodings.clear();
    path.ends[0].configure(vec![without]);
    path.run(Duration::from_millis(100));
    assert_eq!(state(&path).sequence_number, before.sequence_number);
    path.ends[0].configure(vec![video(PICTURES.0, false)]);
    path.play(5);
    assert!(state(&path).sequence_number > before.sequence_number);
    assert_eq!(path.frames.len(), 10);
}

#[test]
fn what_is_not_authentic_leaves_nothing() {
    let mut path = path();
    path.play(3);
    let before = path.ends[1].counters;
    let mut forged = 0;
    for ssrc in 0..10_000_u32 {
        let bytes = packet(96, 1, ssrc, 0, &picture(0)[..100]);
        path.ends[1].handle_rtp(path.now, bytes.as_slice().into());
        let mut bye = Vec::new();
        Bye::write(&mut bye, &[PICTURES], None);
        bye.extend(ssrc.to_be_bytes().repeat(5));
        path.ends[1].handle_rtcp(path.now, bye.as_slice().into());
        forged += 2;
    }
    assert_eq!(
        path.ends[1].counters.unprotect_failures - before.unprotect_failures,
        forged
    );
    assert_eq!(path.ends[1].section_of(VIDEO).unwrap().1.receiver.streams.len(), 1);
    path.play(3);
    assert_eq!(path.frames.len(), 6);
    assert!(path.frames.iter().all(|frame| !frame.follows_gap));
}

#[test]
fn what_comes_twice_is_taken_once() {
    let mut path = path();
    path.copies = 5;
    for number in 0..10 {
        path.send(number, picture(number));
        path.run(Duration::from_millis(33));
    }
    path.run(Duration::from_secs(1));
    assert_eq!(path.frames.len(), 10);
    assert!(path.ends[1].counters.unprotect_failures >= 4 * 10 * 4);
    let got = path.ends[1].section_of(VIDEO).unwrap().1.receiver.streams[0].got;
    assert_eq!(got.discarded, 0, "SRTP has seen to it");
}

/// Packets of one picture for ever, and packets behind a gap that never closes.
#[test]
fn a_picture_without_an_end_is_dropped() {
    let mut path = path();
    let body = [&[0x10_u8][..], &[0; 1100]].concat();
    let mut number = 0_u16;
    for round in 0..12_000_u32 {
        // In the end, each other packet is missing.
        number = number.wrapping_add(if round < 9000 { 1 } else { 2 });
        let payload = if round == 0 {
            &body[..]
        } else {
            &[&[0_u8][..], &body[1..]].concat()
        };
        media(&mut path, packet(96, number, 200, 7, payload));
        path.now += Duration::from_micros(50);
        path.ends[0].handle_timeout(path.now);
        while path.ends[0].poll_transmit(path.now, &mut Vec::new()).is_some() {}
    }
    let receiver = &alices_pictures(&mut path).receiver;
    // At 8 MiB.
    assert!(
        (1..=10).contains(&receiver.streams[0].got.frames_dropped),
        "{:?}",
        receiver.streams[0].got
    );
    // What comes next in order is a picture again.
    path.run(Duration::from_secs(1));
    media(
        &mut path,
        packet(0x80 | 96, number.wrapping_add(1), 200, 9000, &picture(0)),
    );
    path.run(Duration::from_secs(1));
    assert!(std::iter::from_fn(|| path.ends[0].section_of(VIDEO).unwrap().1.receiver.recv_frame()).count() > 0);
}

#[test]
fn feedback_about_what_never_left_counts_for_nothing() {
    let mut path = path();
    path.play(10);
    let before = path.ends[0].departures.totals;
    let sent = u64::from(path.ends[0].departures.next());
    let feedback = |base: u16, count: u16, chunks: &[u8], deltas: &[u8]| {
        let mut bytes = vec![0x8f, 205, 0, 0];
        bytes.extend(PEER.0.to_be_bytes());
        bytes.extend(PICTURES.0.to_be_bytes());
        bytes.extend(base.to_be_bytes());
        bytes.extend(count.to_be_bytes());
        // The reference time and the count of feedback packets.
        bytes.extend([0x7f, 0xff, 0xff, 0]);
        bytes.extend(chunks);
        bytes.extend(deltas);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        let words = (bytes.len() / 4 - 1) as u16;
        bytes[2..4].copy_from_slice(&words.to_be_bytes());
        bytes
    };
    for base in [0, 1, 30, 1000, 0x7fff, 0x8000, 0xfff0, 0xffff] {
        // Runs of 8191 received, large deltas that go back and forth.
        control(
            &mut path,
            &feedback(
                base,
                0xffff,
                &[0x5f, 0xff].repeat(9),
                &[0x80, 0, 0x7f, 0xff].repeat(2000),
            ),
        );
        // All lost, and nothing said at all.
        control(&mut path, &feedback(base, 0xffff, &[0x1f, 0xff].repeat(9), &[]));
        control(&mut path, &feedback(base, 0, &[], &[]));
        control(&mut path, &feedback(base, 0xffff, &[0xff, 0xff], &[]));
        // Reserved symbols.
        control(&mut path, &feedback(base, 7, &[0x7f, 0xff], &[]));
    }
    let totals = path.ends[0].departures.totals;
    assert!(
        totals.packets_arrived + totals.packets_lost <= sent,
        "{totals:?} of {sent}; before {before:?}"
    );
    path.play(5);
    let after = path.ends[0].departures.totals;
    assert!(after.packets_arrived > totals.packets_arrived, "it goes on");
}

#[test]
fn an_extension_that_runs_past_the_packet_is_no_packet() {
    let mut path = path();
    let mut bytes = packet(96, 1, 200, 0, &[]);
    bytes[0] |= 0x10;
    bytes.extend([0xbe, 0xde, 0, 4, 0x10, 0x30]);
    let srtp = path.ends[1].srtp.as_mut().unwrap();
    assert!(srtp.outbound.protect_rtp(&mut bytes.clone(), 0).is_err());
    for len in [0, 1, 0x7fff, 0xffff_u16] {
        bytes[14..16].copy_from_slice(&len.to_be_bytes());
        let before = path.ends[0].counters.unprotect_failures;
        path.ends[0].handle_rtp(path.now, bytes.as_slice().into());
        assert_eq!(path.ends[0].counters.unprotect_failures, before + 1);
    }
    // One inside: an element longer than the extension ends it, and the packet is taken.
    let mut bytes = packet(96, 2, 200, 0, &[]);
    bytes[0] |= 0x10;
    bytes.extend([0xbe, 0xde, 0, 1, 0x1f, b'0', 0, 0]);
    bytes.extend(picture(0));
    media(&mut path, bytes);
    assert_eq!(alices_pictures(&mut path).receiver.streams.len(), 1);
}

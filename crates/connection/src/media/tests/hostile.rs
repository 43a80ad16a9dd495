//! A peer that is authentic, and means no good; and what only looks so.

use super::*;
use peerline_rtp::rtcp::Nack;
use peerline_rtp::{Serial16, Ssrc};

#[test]
fn a_flood_of_requests_is_answered_so_often() {
    for rtx in [true, false] {
        let mut path = Path::new(rtx, Profile::AeadAes128Gcm, |_, _, _| false);
        for number in 0..10 {
            path.send(number, picture(number));
        }
        path.run(Duration::from_millis(50));
        let before = path.sent;
        let stream = &mut path.ends[0].section_of(VIDEO).unwrap().1.sender.streams[0];
        let next = stream.take_number(None).unwrap();
        for _ in 0..280 {
            let mut request = Vec::new();
            let numbers = (1..=before as u16).rev().map(|back| next.sub(back));
            Nack::write(&mut request, Ssrc(200), Ssrc(100), numbers);
            path.ends[1].control.push_back(request);
            path.run(Duration::from_millis(10));
        }
        let again = path.sent - before;
        // And a few reports.
        assert!((before * 9..=before * 10 + 10).contains(&again), "{again} for {before}");
    }
}

#[test]
fn what_waits_to_be_sent_again_is_bounded() {
    let mut path = Path::new(true, Profile::AeadAes128Gcm, |_, _, _| false);
    path.play(3);
    let next = path.ends[0].section_of(VIDEO).unwrap().1.sender.streams[0].take_number(None);
    let much = super::super::history::Repeat {
        datagram: vec![0; super::super::MAX_QUEUED + 1].into(),
        payload_len: 0,
    };
    path.ends[0].line.push(super::super::Queued {
        section: usize::MAX,
        stream: 0,
        paced: false,
        what: super::super::What::Repeat(much),
    });
    let mut request = Vec::new();
    Nack::write(&mut request, Ssrc(200), Ssrc(100), [next.unwrap().sub(1)]);
    let srtp = path.ends[1].srtp.as_mut().unwrap();
    srtp.outbound.protect_rtcp(&mut request, 0).unwrap();
    path.ends[0].handle_rtcp(path.now, request.as_slice().into());
    assert_eq!(path.ends[0].line.len(), 1);
}

#[test]
fn padding_is_no_picture() {
    let mut path = Path::new(true, Profile::AeadAes128Gcm, |_, _, _| false);
    path.play(3);
    let section = path.ends[0].section_of(VIDEO).unwrap().1;
    let number = section.sender.streams[0].take_number(None).unwrap();
    let [high, low] = number.0.to_be_bytes();
    let mut packet = vec![0xa0, 96, high, low, 0, 0, 0, 0, 0, 0, 0, 100];
    packet.extend([0; 199]);
    packet.push(200);
    let srtp = path.ends[0].srtp.as_mut().unwrap();
    srtp.outbound.protect_rtp(&mut packet, 0).unwrap();
    path.ends[1].handle_rtp(path.now, packet.as_slice().into());
    path.play(3);
    assert_eq!(path.frames.len(), 6);
    assert!(path.frames.iter().skip(1).all(|frame| !frame.follows_gap));
    let got = path.ends[1].section_of(VIDEO).unwrap().1.receiver.streams[0].got;
    assert_eq!((got.frames_dropped, got.plis), (0, 0));
}

#[test]
fn reports_are_those_of_one_who_sends() {
    let mut path = Path::new(true, Profile::AeadAes128Gcm, |count, at, payload_type| {
        payload_type == 96 && count % 8 == 3 && at < Duration::from_millis(33 * 55)
    });
    path.play(60);
    path.run(Duration::from_secs(4));
    let report = |path: &mut Path| {
        let receiver = &path.ends[1].section_of(VIDEO).unwrap().1.receiver;
        receiver.streams[0].sender_report.unwrap()
    };
    let latest = report(&mut path);
    path.run(Duration::from_secs(10));
    assert_eq!(report(&mut path).count, latest.count, "nothing was sent since");
    let sent = path.ends[0].section_of(VIDEO).unwrap().1.sender.streams[0].sent;
    assert!(sent.retransmitted_packets > 10);
    // The stream of retransmissions is another (RFC 4588 §4).
    assert_eq!(u64::from(latest.packets), sent.packets - sent.retransmitted_packets);
    assert_eq!(u64::from(latest.bytes), sent.bytes - sent.retransmitted_bytes);
    // It reports again when it sends again.
    path.send(60, picture(60));
    path.run(Duration::from_secs(3));
    assert!(report(&mut path).count > latest.count);
}

#[test]
fn redundancy_that_does_not_close_the_gap_leaves_one() {
    let mut path = Path::new(true, Profile::AeadAes128Gcm, |_, at, payload_type| {
        payload_type == 63 && (190..250).contains(&at.as_millis())
    });
    let mut agreed = audio(100);
    path.ends[0].configure(vec![agreed.clone()]);
    agreed.send.as_mut().unwrap().encodings[0].ssrc = 200;
    path.ends[1].configure(vec![agreed]);
    for number in 0..30u32 {
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
    // Three were lost, of which the next packet repeats the last.
    assert_eq!(path.frames.len(), 28);
    let gaps = path.frames.iter().skip(1).filter(|frame| frame.follows_gap);
    assert_eq!(gaps.map(|frame| frame.payload[0]).collect::<Vec<_>>(), [12]);
}

#[test]
fn numbers_wrap_everywhere() {
    let mut path = Path::new(true, Profile::AeadAes128Gcm, |count, at, _| {
        count % 9 == 4 && at < Duration::from_millis(33 * 55)
    });
    let stream = &mut path.ends[0].section_of(VIDEO).unwrap().1.sender.streams[0];
    for number in [16_000, 32_000, 48_000, 65_430] {
        stream.take_number(Some(number)).unwrap();
    }
    stream.next_rtx = Serial16(65_530);
    stream.timestamp_offset = u32::MAX - 90_000;
    path.ends[0].departures.skip_to(65_400);
    path.play(60);
    let numbers: Vec<_> = path.frames.iter().map(|frame| frame.payload[20]).collect();
    let first = numbers[0];
    assert!(first <= 1, "{first}");
    assert_eq!(numbers, (first..60).collect::<Vec<_>>());
    let stream = &path.ends[1].section_of(VIDEO).unwrap().1.receiver.streams[0];
    assert!((1 << 16..(1 << 16) + 400).contains(&stream.reception.extended_highest()));
    assert!(path.ends[0].departures.totals.packets_arrived > 200);
    assert!(path.ends[0].departures.totals.packets_lost > 5);
}

#[test]
fn the_longest_report_fits() {
    use peerline_rtp::NtpTime;
    use peerline_rtp::rtcp::ExtendedReport;

    let mut path = Path::new(true, Profile::AeadAes128Gcm, |_, _, _| false);
    let now = path.now;
    let [alice, bob] = &mut path.ends;
    let sections = (0..30).map(|id| Agreed {
        transceiver: TransceiverId(id),
        mid: id.to_string(),
        ..video(1000 + 2 * id, true)
    });
    let mut sections: Vec<_> = sections.collect();
    for section in &mut sections {
        section.send.as_mut().unwrap().cname = "4a1c3f52-8e0b-4d6f-9a77-0123456789ab".into();
        section.receive.as_mut().unwrap().extensions.truncate(1);
    }
    alice.configure(sections);
    for id in 0..30 {
        let frame = OutgoingFrame {
            payload: picture(0),
            ..OutgoingFrame::default()
        };
        alice.send_frame(now, TransceiverId(id), frame).unwrap();
    }
    let mut out = Vec::new();
    while alice.poll_transmit(now, &mut out).is_some() {}
    let bob = bob.srtp.as_mut().unwrap();
    for ssrc in 5000..5090u32 {
        let mut packet = vec![0x90, 96, 0, 1, 0, 0, 0, 0];
        packet.extend(ssrc.to_be_bytes());
        let mid = (ssrc % 30).to_string();
        packet.extend([0xbe, 0xde, 0, 1, 0x10 | (mid.len() as u8 - 1)]);
        packet.extend(mid.as_bytes());
        packet.resize(20, 0);
        packet.extend([0x10, 0, 0, 0]);
        bob.outbound.protect_rtp(&mut packet, 0).unwrap();
        alice.handle_rtp(now, packet.as_slice().into());
        let mut reference = Vec::new();
        ExtendedReport::write(&mut reference, Ssrc(ssrc), |blocks| {
            blocks.receiver_reference_time(NtpTime(1 << 40));
        });
        bob.outbound.protect_rtcp(&mut reference, 0).unwrap();
        alice.handle_rtcp(now, reference.as_slice().into());
    }
    assert_eq!(alice.counters.unknown_streams, 0);
    alice.max_receive_bitrate = Some(1_000_000);
    alice.handle_timeout(now + Duration::from_secs(1));
    let mut longest = 0;
    out.clear();
    while let Some(len) = alice.poll_transmit(now, &mut out) {
        longest = longest.max(len);
    }
    assert!((1000..=1200).contains(&longest), "{longest}");
}

//! Feedback on streams and their sequence numbers (RFC 8888), told and taken.

use super::*;
use peerline_rtp::rtcp::{ArrivalOffset, CongestionFeedback, Packet, PacketMetric, packets};
use peerline_rtp::{NtpShort, Serial16, Ssrc};

fn agreed(ssrc: u32, kinds: &[RtcpFeedback]) -> Agreed {
    let mut agreed = video(ssrc, true);
    let (send, receive) = (agreed.send.as_mut().unwrap(), agreed.receive.as_mut().unwrap());
    for codec in send.codecs.iter_mut().chain(&mut receive.codecs) {
        codec.rtcp_feedback.extend(kinds);
    }
    agreed
}

fn path(kinds: &[RtcpFeedback], loses: impl FnMut(u64, Duration, u8) -> bool + 'static) -> Path {
    let mut path = Path::new(true, Profile::AeadAes128Gcm, loses);
    for (end, ssrc) in path.ends.iter_mut().zip([100, 200]) {
        end.configure(vec![agreed(ssrc, kinds)]);
    }
    path
}

/// Alice gets this from Bob, now.
fn control(path: &mut Path, compound: &[u8]) {
    let mut datagram = compound.to_vec();
    let srtp = path.ends[1].srtp.as_mut().unwrap();
    srtp.outbound.protect_rtcp(&mut datagram, 0).unwrap();
    path.ends[0].handle_rtcp(path.now, datagram.as_slice().into());
}

fn at(offset: u16) -> Option<PacketMetric> {
    Some(PacketMetric {
        ecn: None,
        arrival: ArrivalOffset(offset),
    })
}

#[test]
fn what_is_told_of_streams_makes_the_estimate() {
    let mut path = path(&[RtcpFeedback::AckCcfb], |count, at, _| {
        count % 9 == 4 && at < Duration::from_millis(33 * 55)
    });
    let stream = &mut path.ends[0].section_of(VIDEO).unwrap().1.sender.streams[0];
    stream.take_number(Some(20_000)).unwrap();
    stream.take_number(Some(50_000)).unwrap();
    stream.take_number(Some(65_500)).unwrap();
    stream.next_rtx = Serial16(65_530);
    path.play(60);
    let [alice, bob] = &path.ends;
    assert!(
        alice.sections[0]
            .as_ref()
            .unwrap()
            .sender
            .ids
            .transport_number
            .is_none()
    );
    assert_eq!(bob.arrivals.count, 0, "nothing is told of the transport");
    let totals = alice.departures.totals;
    let stream = &alice.sections[0].as_ref().unwrap().sender.streams[0];
    assert!(stream.sent.rtx_packets > 10);
    // Of retransmissions, too. What is lost at the very end of a stream is never told.
    assert!(
        stream.sent.packets - (totals.packets_arrived + totals.packets_lost) <= 2,
        "{totals:?}"
    );
    assert!((15..60).contains(&totals.packets_lost), "{totals:?}");
    assert!(alice.available_outgoing_bitrate().is_some());
    assert!(
        path.events
            .iter()
            .any(|event| matches!(event, Event::BandwidthEstimate(_)))
    );
}

#[test]
fn of_two_kinds_of_feedback_one_is_in_use() {
    let mut path = path(&[RtcpFeedback::AckCcfb, RtcpFeedback::TransportCc], |_, _, _| false);
    path.play(30);
    assert!(path.ends[1].arrivals.count > 5);
    assert!(path.ends[1].stream_arrivals.is_none());
    assert!(path.ends[0].departures.totals.packets_arrived > 100);
    // A report on streams says nothing then, nor where nothing was agreed on.
    let totals = path.ends[0].departures.totals;
    let mut out = Vec::new();
    CongestionFeedback::write(&mut out, Ssrc(200), NtpShort(1 << 20), |report| {
        report.stream(Ssrc(100), Serial16(0), (0..9000).map(|_| at(3)));
    });
    control(&mut path, &out);
    assert_eq!(path.ends[0].departures.totals, totals);
}

/// What Bob says of so many packets of each of these streams, in the words of RFC 8888 §3.1.
#[test]
fn reports_are_as_the_standard_draws_them() {
    let mut path = path(&[RtcpFeedback::AckCcfb], |_, _, _| false);
    path.play(1);
    let bob = &mut path.ends[1];
    let now = path.now;
    let arrivals = bob.stream_arrivals.as_mut().unwrap();
    let ago = |millis| now.checked_sub(Duration::from_millis(millis)).unwrap();
    arrivals.on_packet(ago(500), 7, Serial16(65_535));
    arrivals.on_packet(ago(250), 7, Serial16(1));
    // A copy of it.
    arrivals.on_packet(ago(125), 7, Serial16(1));
    arrivals.on_packet(ago(125), 8, Serial16(9));
    bob.control.clear();
    bob.handle_timeout(now);
    let report = bob.control.iter().find(|packet| packet[..2] == [0x8b, 205]).unwrap();
    let body = &report[8..report.len() - 4];
    let expected = [
        [0, 0, 0, 7],
        [0xff, 0xff, 0, 3],
        [0x82, 0, 0, 0],
        [0x81, 0, 0, 0],
        [0, 0, 0, 8],
        [0, 9, 0, 1],
        [0x80, 0x80, 0, 0],
    ];
    assert_eq!(body, expected.concat());
    assert_eq!(usize::from(report[3]), report.len() / 4 - 1);
    let time = u32::from_be_bytes(*report.last_chunk().unwrap());
    assert_eq!(NtpShort(time), bob.clock.ntp(now).short());
}

#[test]
fn reports_on_much_are_cut_to_fit() {
    let mut path = path(&[RtcpFeedback::AckCcfb], |_, _, _| false);
    path.play(1);
    let bob = &mut path.ends[1];
    let arrivals = bob.stream_arrivals.as_mut().unwrap();
    // More streams than anybody has, and jumps.
    for ssrc in 0..2000 {
        arrivals.on_packet(path.now, ssrc, Serial16(0));
    }
    for ssrc in 1990..2000 {
        for number in 1..300_u16 {
            arrivals.on_packet(path.now, ssrc, Serial16(number.wrapping_mul(3)));
        }
        arrivals.on_packet(path.now, ssrc, Serial16(40_000));
    }
    bob.control.clear();
    path.now += Duration::from_millis(50);
    bob.handle_timeout(path.now);
    let reports: Vec<_> = bob.control.iter().filter(|packet| packet[..2] == [0x8b, 205]).collect();
    assert!((2..40).contains(&reports.len()), "{}", reports.len());
    for report in reports {
        assert!(report.len() <= 1200 - 20, "{}", report.len());
        assert!(matches!(
            packets(report).next(),
            Some(Ok(Packet::CongestionFeedback(_)))
        ));
    }
    assert!(bob.stream_arrivals.as_ref().unwrap().poll_timeout().is_none());
}

#[test]
fn reports_on_what_never_left_count_for_nothing() {
    let mut path = path(&[RtcpFeedback::AckCcfb], |_, _, _| false);
    path.play(10);
    let sent = path.ends[0].section_of(VIDEO).unwrap().1.sender.streams[0].sent.packets;
    let next = path.ends[0].section_of(VIDEO).unwrap().1.sender.streams[0]
        .take_number(None)
        .unwrap();
    for time in [0, 1, 1 << 31, u32::MAX, 0x1234_5678] {
        for ssrc in [0, 100, 101, 200, u32::MAX] {
            for begin in [0, 1, 0x7fff, 0xffff, next.0, next.0.wrapping_sub(2000)] {
                let mut out = Vec::new();
                CongestionFeedback::write(&mut out, Ssrc(200), NtpShort(time), |report| {
                    let range =
                        (0..16_384).map(|n: u16| at(n.wrapping_mul(77) & 0x1fff).filter(|_| !n.is_multiple_of(3)));
                    report.stream(Ssrc(ssrc), Serial16(begin), range);
                });
                control(&mut path, &out);
            }
        }
        // Thousands of blocks without a packet.
        let mut out = Vec::new();
        CongestionFeedback::write(&mut out, Ssrc(200), NtpShort(time), |report| {
            for ssrc in 0..7000 {
                report.stream(Ssrc(ssrc), Serial16(0), []);
            }
        });
        control(&mut path, &out);
    }
    let totals = path.ends[0].departures.totals;
    assert!(
        totals.packets_arrived + totals.packets_lost <= sent,
        "{totals:?} of {sent}"
    );
    path.play(5);
    assert!(
        path.ends[0].departures.totals.packets_arrived > totals.packets_arrived,
        "it goes on"
    );
}

//! What is asked and told by RTCP, as it was agreed.

use std::time::Duration;

use peerline_rtp::rtcp::{FirEntry, FullIntraRequest, Packet, packets};
use peerline_srtp::Profile;

use super::super::agreed::Agreed;
use super::super::parameters::RtcpFeedback;
use super::{Path, VIDEO, picture, video};
use crate::Event;

/// Alice sends pictures to Bob, after both have agreed on what `change` makes of it.
fn path(loses: impl FnMut(u64, Duration, u8) -> bool + 'static, change: impl Fn(&mut Agreed)) -> Path {
    let mut path = Path::new(true, Profile::AeadAes128Gcm, loses);
    for (end, ssrc) in path.ends.iter_mut().zip([100, 200]) {
        let mut agreed = video(ssrc, true);
        change(&mut agreed);
        end.configure(vec![agreed]);
    }
    path
}

fn with_feedback(feedback: &[RtcpFeedback]) -> Path {
    path(
        |_, _, _| false,
        |agreed| {
            for codec in &mut agreed.receive.as_mut().unwrap().codecs {
                codec.rtcp_feedback = feedback.to_vec();
            }
        },
    )
}

fn commands(datagram: &[u8]) -> Vec<FirEntry> {
    let commands = packets(datagram).filter_map(|packet| match packet.unwrap() {
        Packet::FullIntraRequest(request) => Some(request.entries.iter().collect::<Vec<_>>()),
        _ => None,
    });
    commands.flatten().collect()
}

/// Where there is `ccm fir` and no `nack pli`, keyframes are demanded, each time with the next number (RFC 5104 §4.3.1.1).
#[test]
fn keyframes_are_demanded_where_they_cannot_be_asked_for() {
    let mut path = with_feedback(&[RtcpFeedback::CcmFir]);
    path.play(3);
    path.events.clear();
    path.control[1].clear();
    for count in 1..=2_u8 {
        let now = path.now;
        path.ends[1].request_keyframe(VIDEO, None);
        path.ends[1].handle_timeout(now);
        path.run(Duration::from_millis(100));
        let asked = path
            .events
            .iter()
            .filter(|event| matches!(event, Event::KeyframeRequest(VIDEO, None)));
        assert_eq!(asked.count(), usize::from(count));
        let [alice, bob] = &mut path.ends;
        let got = bob.section_of(VIDEO).unwrap().1.receiver.streams[0].got;
        assert_eq!((got.firs, got.plis), (count.into(), 0));
        let sent = alice.section_of(VIDEO).unwrap().1.sender.streams[0].sent;
        assert_eq!((sent.firs, sent.plis), (count.into(), 0));
        path.send(u32::from(count) * 100, picture(0));
        path.run(Duration::from_secs(1));
    }
    let demanded: Vec<_> = path.control[1].iter().flat_map(|datagram| commands(datagram)).collect();
    let ssrcs: Vec<_> = demanded.iter().map(|entry| entry.ssrc.0).collect();
    assert_eq!(ssrcs, [100, 100]);
    assert_eq!(demanded[1].sequence_number, demanded[0].sequence_number.wrapping_add(1));
}

/// "A repetition SHALL NOT increase the sequence number" (RFC 5104 §4.3.1.1).
#[test]
fn a_demand_that_is_repeated_keeps_its_number() {
    let mut path = with_feedback(&[RtcpFeedback::CcmFir]);
    path.play(3);
    let mut number = None;
    for _ in 0..2 {
        path.control[1].clear();
        path.events.clear();
        let now = path.now;
        path.ends[1].request_keyframe(VIDEO, None);
        path.ends[1].handle_timeout(now);
        // Pictures come, and none is a keyframe.
        for picture_number in 1..60 {
            path.send(1000 + picture_number, picture(picture_number));
            path.run(Duration::from_millis(33));
        }
        let demanded: Vec<_> = path.control[1].iter().flat_map(|datagram| commands(datagram)).collect();
        assert!(demanded.len() > 2, "{demanded:?}");
        let numbers: Vec<_> = demanded.iter().map(|entry| entry.sequence_number).collect();
        assert!(numbers.iter().all(|other| *other == numbers[0]), "{numbers:?}");
        assert!(number.is_none_or(|before: u8| numbers[0] == before.wrapping_add(1)));
        number = Some(numbers[0]);
        // Each comes long after the one before, and is listened to.
        let asked = |event: &&Event| matches!(event, Event::KeyframeRequest(..));
        assert_eq!(path.events.iter().filter(asked).count(), demanded.len());
        // The keyframe ends the demand.
        path.send(2000, picture(0));
        path.run(Duration::from_secs(1));
    }
}

/// Whoever gets a repetition has answered already, unless it comes so late that the keyframe must have been lost (RFC 5104 §3.5.1.1).
#[test]
fn a_repeated_demand_is_answered_again_if_it_comes_late() {
    let mut path = with_feedback(&[RtcpFeedback::CcmFir]);
    path.play(3);
    path.events.clear();
    let mut demand = Vec::new();
    let entry = FirEntry {
        ssrc: peerline_rtp::Ssrc(100),
        sequence_number: 7,
    };
    FullIntraRequest::write(&mut demand, peerline_rtp::Ssrc(200), &[entry]);
    for (pause, expected) in [(0, 1), (10, 1), (1000, 2), (10, 2), (1000, 3)] {
        path.run(Duration::from_millis(pause));
        path.ends[1].send_control(demand.clone());
        path.run(Duration::from_millis(30));
        let asked = |event: &&Event| matches!(event, Event::KeyframeRequest(..));
        assert_eq!(path.events.iter().filter(asked).count(), expected, "after {pause} ms");
        let sent = path.ends[0].section_of(VIDEO).unwrap().1.sender.streams[0].sent;
        assert_eq!(sent.firs, expected as u64, "after {pause} ms");
    }
}

/// "All RTCP packets MUST be sent in a compound packet of at least two individual packets", of which the first is a report, and one
/// tells the CNAME (RFC 3550 §6.1); unless `a=rtcp-rsize` was agreed on (RFC 5506).
#[test]
fn every_datagram_begins_with_a_report_unless_reduced_size_was_agreed_on() {
    for reduced_size in [false, true] {
        let mut path = path(
            |count, _, _| count % 7 == 3,
            |agreed| agreed.reduced_size = reduced_size,
        );
        path.play(20);
        let now = path.now;
        path.ends[1].request_keyframe(VIDEO, None);
        path.ends[1].handle_timeout(now);
        path.ends[1].set_max_receive_bitrate(now, Some(1_000_000));
        path.run(Duration::from_secs(1));
        path.ends[0].close();
        path.run(Duration::from_millis(100));
        let all: Vec<_> = path.control.iter().flatten().collect();
        let count = |is: fn(&Packet<'_>) -> bool| {
            let packets = all.iter().flat_map(|datagram| packets(datagram));
            packets.filter(|packet| is(packet.as_ref().unwrap())).count()
        };
        assert!(count(|packet| matches!(packet, Packet::Nack(_))) > 5);
        assert!(count(|packet| matches!(packet, Packet::PictureLossIndication(_))) > 0);
        assert!(count(|packet| matches!(packet, Packet::TransportFeedback(_))) > 5);
        assert!(count(|packet| matches!(packet, Packet::ExtendedReport(_))) > 1);
        assert!(count(|packet| matches!(packet, Packet::ReceiverEstimatedMaxBitrate(_))) > 0);
        assert!(count(|packet| matches!(packet, Packet::SenderReport(_))) > 0);
        assert_eq!(count(|packet| matches!(packet, Packet::Bye(_))), 1);
        let short = all.iter().filter(|datagram| {
            let mut packets = packets(datagram).map(Result::unwrap);
            let is_report = matches!(
                packets.next(),
                Some(Packet::SenderReport(_) | Packet::ReceiverReport(_))
            );
            !is_report || !matches!(packets.next(), Some(Packet::SourceDescription(_)))
        });
        let short = short.count();
        assert!(
            if reduced_size { short > 10 } else { short == 0 },
            "{short} of {}",
            all.len()
        );
    }
}

#[test]
fn estimates_are_told_of_streams_that_go_by_them() {
    for agreed in [true, false] {
        let feedback = [RtcpFeedback::NackPli, RtcpFeedback::GoogRemb];
        let mut path = with_feedback(&feedback[..1 + usize::from(agreed)]);
        path.play(3);
        let now = path.now;
        path.ends[1].set_max_receive_bitrate(now, Some(100_000));
        path.run(Duration::from_secs(1));
        let told = path.control[1].iter().flat_map(|datagram| packets(datagram));
        let told = told.filter_map(|packet| match packet.unwrap() {
            Packet::ReceiverEstimatedMaxBitrate(estimate) => Some(estimate),
            _ => None,
        });
        let mut count = 0;
        for estimate in told {
            assert!(estimate.bitrate.abs_diff(100_000) < 10);
            assert_eq!(estimate.sources.iter().map(|ssrc| ssrc.0).collect::<Vec<_>>(), [100]);
            count += 1;
        }
        assert_eq!(count > 0, agreed);
        let heard = Event::BandwidthEstimate(100_000);
        assert_eq!(path.events.contains(&heard), agreed);
    }
}

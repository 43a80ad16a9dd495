//! What is told of packets that come late, twice, or again (RFC 3550 §6.4.1, webrtc-stats).

use super::*;
use crate::stats::{InboundRtpStats, RemoteInboundRtpStats, StatsKind};
use peerline_rtp::rtcp::{ReceiverReport, ReportBlock};
use peerline_rtp::{NtpShort, Ssrc};

/// Bob gets this from Alice, now: a packet of her stream, or one that repeats another in the stream beside it.
fn hand_in(path: &mut Path, payload_type: u8, ssrc: u32, number: u16, payload: &[u8]) {
    let mut packet = vec![0x80, payload_type];
    packet.extend(number.to_be_bytes());
    packet.extend([0; 4]);
    packet.extend(ssrc.to_be_bytes());
    packet.extend(payload);
    let srtp = path.ends[0].srtp.as_mut().unwrap();
    srtp.outbound.protect_rtp(&mut packet, 0).unwrap();
    path.ends[1].handle_rtp(path.now, packet.as_slice().into());
}

fn original(path: &mut Path, number: u16) {
    hand_in(path, 96, 300, number, &picture(1)[..100]);
}

fn repeat(path: &mut Path, number: u16, of: u16) {
    let payload = [&of.to_be_bytes()[..], &picture(1)[..100]].concat();
    hand_in(path, 97, 301, number, &payload);
}

fn told<T>(path: &Path, end: usize, pick: impl Fn(StatsKind) -> Option<T>) -> Option<T> {
    let mut told = None;
    let tracks = |_| super::super::statistics::TrackIds {
        sent: None,
        received: String::new(),
    };
    path.ends[end].stats(
        path.now,
        tracks,
        |_| 0.0,
        |_, kind| told = told.take().or_else(|| pick(kind)),
    );
    told
}

fn inbound(path: &Path) -> InboundRtpStats {
    let pick = |kind| match kind {
        StatsKind::InboundRtp(stats) => Some(stats),
        _ => None,
    };
    told(path, 1, pick).expect("a stream comes")
}

#[test]
fn what_comes_again_was_lost_and_what_is_overtaken_was_not() {
    let mut path = Path::new(true, Profile::AeadAes128Gcm, |_, _, _| false);
    [1, 2, 5].into_iter().for_each(|number| original(&mut path, number));
    let stats = inbound(&path);
    assert_eq!((stats.packets_received, stats.packets_lost), (3, 2));
    // Two come again: they were lost on the way all the same.
    repeat(&mut path, 1, 3);
    repeat(&mut path, 2, 4);
    let stats = inbound(&path);
    assert_eq!((stats.packets_received, stats.packets_lost), (5, 2));
    assert_eq!(stats.retransmitted_packets_received, Some(2));
    assert_eq!(
        (stats.retransmitted_bytes_received, stats.bytes_received),
        (Some(200), 500)
    );
    // One of them was only late.
    original(&mut path, 4);
    let stats = inbound(&path);
    assert_eq!((stats.packets_received, stats.packets_lost), (6, 1));
    // What was here is repeated; neither that nor the late one is thrown away because of its time.
    repeat(&mut path, 3, 5);
    let stats = inbound(&path);
    assert_eq!((stats.packets_received, stats.packets_lost), (7, 1));
    assert_eq!(stats.packets_discarded, 0);
    // The same in the next report.
    let loss = path.ends[1].section_of(VIDEO).unwrap().1.receiver.streams[0]
        .reception
        .report();
    assert_eq!((loss.cumulative, loss.fraction), (1, (256 / 5) as u8));

    // Its gap has been given up.
    original(&mut path, 7);
    path.run(Duration::from_secs(1));
    original(&mut path, 6);
    let stats = inbound(&path);
    assert_eq!((stats.packets_discarded, stats.packets_lost), (1, 1));
    // Nobody can know whether this has come.
    original(&mut path, 4000);
    repeat(&mut path, 4, 8);
    assert_eq!(inbound(&path).packets_discarded, 2);
}

#[test]
fn without_a_stream_for_it_nothing_is_said_of_what_comes_again() {
    let mut path = Path::new(false, Profile::AeadAes128Gcm, |_, _, _| false);
    [1, 3, 2].into_iter().for_each(|number| original(&mut path, number));
    let stats = inbound(&path);
    assert_eq!((stats.packets_received, stats.packets_lost), (3, 0));
    assert_eq!(stats.retransmitted_packets_received, None);
    assert_eq!(stats.retransmitted_bytes_received, None);
}

#[test]
fn what_the_peer_reports_is_told() {
    let mut path = Path::new(true, Profile::AeadAes128Gcm, |_, _, _| false);
    path.play(3);
    let section = path.ends[0].section_of(VIDEO).unwrap().1;
    let first = section.sender.streams[0].take_number(None).unwrap().0 - 12;
    let report = |path: &mut Path, highest: u32, lost: i32| -> RemoteInboundRtpStats {
        let block = ReportBlock {
            ssrc: Ssrc(100),
            fraction_lost: 64,
            cumulative_lost: lost,
            extended_highest_sequence_number: highest,
            jitter: 900,
            last_sr: NtpShort(0),
            delay_since_last_sr: NtpShort(0),
        };
        let mut compound = Vec::new();
        ReceiverReport::write(&mut compound, Ssrc(200), &[block]);
        let srtp = path.ends[1].srtp.as_mut().unwrap();
        srtp.outbound.protect_rtcp(&mut compound, 0).unwrap();
        path.ends[0].handle_rtcp(path.now, compound.as_slice().into());
        let pick = |kind| match kind {
            StatsKind::RemoteInboundRtp(stats) => Some(stats),
            _ => None,
        };
        told(path, 0, pick).expect("it was reported")
    };
    let first = u32::from(first);
    let stats = report(&mut path, first + 9, 2);
    assert_eq!((stats.packets_received, stats.packets_lost), (8, 2));
    assert_eq!((stats.fraction_lost, stats.jitter), (0.25, 0.01));
    // More came than were sent; and the number has wrapped.
    let stats = report(&mut path, first + (1 << 16), -3);
    assert_eq!((stats.packets_received, stats.packets_lost), ((1 << 16) + 4, -3));
    // Nonsense is no number of packets.
    assert_eq!(report(&mut path, 0, i32::from(i16::MAX)).packets_received, 0);
    assert_eq!(report(&mut path, u32::MAX, -8_388_608).packets_lost, -8_388_608);
}

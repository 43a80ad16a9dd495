//! Whatever is lost: each frame that comes out is one that went in, and the loss costs no more than it must.

use crate::samples::{Packet, Sample, samples};
use peerline_rtp::payload::{Depacketizer, Format, Kind, MAX_FRAME_SIZE, Packetizer};
use proptest::prelude::*;
use std::collections::VecDeque;

/// A sample's frames in packets of `max` bytes.
fn packets(sample: &Sample, max: usize) -> Vec<Packet> {
    let (mut packetizer, mut payloads, mut packets) = (sample.format.packetizer(0), VecDeque::new(), Vec::new());
    for (timestamp, _, frame) in &sample.frames {
        packetizer.packetize(frame, max, &mut payloads).unwrap();
        packets.extend(payloads.drain(..).map(|payload| Packet {
            payload: payload.to_bytes(),
            timestamp: *timestamp,
            marker: payload.marker(),
        }));
    }
    packets
}

fn check(sample: &Sample, packets: &[Packet], lost: &[bool]) -> Result<(), TestCaseError> {
    let (mut depacketizer, mut out) = (sample.format.depacketizer(MAX_FRAME_SIZE), VecDeque::new());
    let (mut gap, mut damaged) = (false, Vec::new());
    for (packet, &lost) in packets.iter().zip(lost) {
        if lost {
            damaged.push(packet.timestamp);
            gap = true;
            continue;
        }
        if std::mem::take(&mut gap) {
            depacketizer.gap();
        }
        prop_assert_eq!(
            depacketizer.push(packet.payload.clone(), packet.timestamp, packet.marker, &mut out),
            Ok(())
        );
    }
    let mut whole: Vec<_> = sample
        .frames
        .iter()
        .filter(|(timestamp, ..)| !damaged.contains(timestamp))
        .collect();
    for frame in &out {
        let at = whole.iter().position(|(timestamp, ..)| *timestamp == frame.timestamp);
        let Some(at) = at else {
            return Err(TestCaseError::fail(format!(
                "a damaged frame: {} of {:?}",
                frame.timestamp, sample.format
            )));
        };
        let (_, keyframe, data) = whole[at];
        prop_assert!(
            frame.data == data && frame.keyframe == *keyframe,
            "frame {} of {:?}",
            frame.timestamp,
            sample.format
        );
        // Frames between them that came whole, but could not be known to: their beginning looked like a middle.
        let skipped = at;
        prop_assert!(skipped == 0 || frame.follows_gap);
        whole.drain(..=at);
    }
    if sample.format.kind() == Kind::Audio {
        prop_assert!(whole.is_empty());
    }
    Ok(())
}

proptest! {
    #[test]
    fn no_frame_is_damaged(lost in proptest::collection::vec(proptest::bool::weighted(0.1), 2000), max in 40_usize..1200) {
        for sample in samples().into_iter().map(Sample::sendable) {
            check(&sample, &packets(&sample, max), &lost)?;
        }
    }
}

#[test]
fn one_lost_packet_costs_one_frame() {
    for sample in samples().into_iter().map(Sample::sendable) {
        let packets = packets(&sample, 300);
        for missing in 0..packets.len() {
            let (mut depacketizer, mut out) = (sample.format.depacketizer(MAX_FRAME_SIZE), VecDeque::new());
            for (index, packet) in packets.iter().enumerate() {
                if index == missing {
                    depacketizer.gap();
                    continue;
                }
                depacketizer
                    .push(packet.payload.clone(), packet.timestamp, packet.marker, &mut out)
                    .unwrap();
            }
            let after = missing + 1;
            // AV1's packets do not say that they begin a frame, but for the first of a sequence: the loss of a frame's
            // last one takes the next with it.
            let told = packets.get(after).is_none_or(|next| {
                next.timestamp == packets[missing].timestamp
                    || sample.format != Format::Av1
                    || sample.format.is_keyframe(&next.payload)
            });
            let expected = sample.frames.len() - if told { 1 } else { 2 };
            assert_eq!(out.len(), expected, "{:?}, packet {missing}", sample.format);
            assert!(out.iter().filter(|frame| frame.follows_gap).count() <= 1);
        }
    }
}

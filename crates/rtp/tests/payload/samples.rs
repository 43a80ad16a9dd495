//! Payloads that others sent, with the frames that they carry (`tests/samples/SOURCE.md`).

use bytes::Bytes;
use peerline_rtp::payload::h264::PacketizationMode;
use peerline_rtp::payload::vp9::Mode;
use peerline_rtp::payload::{Depacketizer, Format, Frame, MAX_FRAME_SIZE};
use std::collections::VecDeque;

pub(crate) struct Packet {
    pub(crate) payload: Bytes,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
}

pub(crate) struct Sample {
    pub(crate) format: Format,
    pub(crate) packets: Vec<Packet>,
    /// Timestamp, key frame, bytes.
    pub(crate) frames: Vec<(u32, bool, Bytes)>,
}

const H264: Format = Format::H264(PacketizationMode::NonInterleaved);

/// All there are.
pub(crate) fn samples() -> Vec<Sample> {
    vec![
        sample(Format::Opus, include_str!("../samples/opus.txt")),
        sample(Format::Vp8, include_str!("../samples/vp8.txt")),
        sample(H264, include_str!("../samples/h264.txt")),
        sample(Format::Av1, include_str!("../samples/av1.txt")),
        sample(Format::Vp9(Mode::NonFlexible), include_str!("../samples/vp9.txt")),
        sample(Format::H265, include_str!("../samples/h265.txt")),
    ]
}

impl Sample {
    /// The frames as we would send them. This browser's SPS ends with a zero, which Annex B does not let a NAL unit do.
    pub(crate) fn sendable(mut self) -> Self {
        if matches!(self.format, Format::H264(_)) {
            let frame = &mut self.frames[0].2;
            let at = frame
                .windows(5)
                .position(|window| window == [0, 0, 0, 0, 1])
                .expect("the zero");
            *frame = [&frame[..at], &frame[at + 1..]].concat().into();
        }
        self
    }
}

fn sample(format: Format, text: &str) -> Sample {
    let mut sample = Sample {
        format,
        packets: Vec::new(),
        frames: Vec::new(),
    };
    for line in text.lines() {
        let [what, timestamp, flag, hex] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let (timestamp, bytes) = (timestamp.parse().unwrap(), unhex(hex));
        match what {
            "packet" => sample.packets.push(Packet {
                payload: bytes,
                timestamp,
                marker: flag == "1",
            }),
            "frame" => sample.frames.push((timestamp, flag == "key", bytes)),
            other => panic!("{other}"),
        }
    }
    assert!(sample.frames.len() >= 10);
    sample
}

pub(crate) fn unhex(hex: &str) -> Bytes {
    let digits: Vec<u8> = hex
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).expect("a hexadecimal digit") as u8)
        .collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

#[test]
fn payloads_of_others_make_their_frames() {
    for Sample {
        format,
        packets,
        frames,
    } in samples()
    {
        let mut depacketizer = format.depacketizer(MAX_FRAME_SIZE);
        let mut out = VecDeque::new();
        for Packet {
            payload,
            timestamp,
            marker,
        } in packets
        {
            depacketizer.push(payload, timestamp, marker, &mut out).unwrap();
        }
        let got: Vec<_> = out
            .into_iter()
            .map(
                |Frame {
                     data,
                     timestamp,
                     keyframe,
                     ..
                 }| (timestamp, keyframe, data),
            )
            .collect();
        assert_eq!(got, frames, "{format:?}");
    }
}

#[test]
fn single_packets_tell_key_frames_and_beginnings() {
    for Sample {
        format,
        packets,
        frames,
    } in samples()
    {
        for (index, packet) in packets.iter().enumerate() {
            let first = index == 0 || packets[index - 1].timestamp != packet.timestamp;
            let (_, keyframe, _) = frames
                .iter()
                .find(|(timestamp, ..)| *timestamp == packet.timestamp)
                .unwrap();
            if first {
                assert_eq!(format.is_keyframe(&packet.payload), *keyframe, "{format:?} {index}");
                assert!(format.is_frame_start(&packet.payload), "{format:?} {index}");
            }
            // The IDR slice behind the parameter sets looks like a beginning as well.
            assert!(
                first || *keyframe || !format.is_frame_start(&packet.payload),
                "{format:?} {index}"
            );
        }
    }
}

//! What browsers send is read, means what it should, and is written again byte for byte. Where it comes from: `packets/SOURCE.md`.

use peerline_rtp::extension::*;
use peerline_rtp::rtcp::{
    Packet as Rtcp, ReceiverReport, SdesItemType, SenderReport, TransportFeedback, XrBlock, packets,
};
use peerline_rtp::{Packet, Serial16, fuzzing, pad};
use std::collections::HashMap;
use std::num::NonZeroU8;
use std::path::Path;

/// One side of a call.
struct Side {
    name: String,
    extmap: HashMap<ExtensionId, String>,
    rtp: Vec<Vec<u8>>,
    rtcp: Vec<Vec<u8>>,
}

impl Side {
    fn read(path: &Path) -> Self {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let mut side = Self {
            name,
            extmap: HashMap::new(),
            rtp: Vec::new(),
            rtcp: Vec::new(),
        };
        for line in std::fs::read_to_string(path).unwrap().lines() {
            match *line.split(' ').collect::<Vec<_>>() {
                ["extmap", id, uri] => {
                    let id = ExtensionId::new(id.parse().unwrap()).unwrap();
                    side.extmap.insert(id, uri.to_owned());
                }
                ["rtp", hex] => side.rtp.push(bytes(hex)),
                ["rtcp", hex] => side.rtcp.push(bytes(hex)),
                _ => panic!("{line}"),
            }
        }
        side
    }

    fn id<'a, T: Extension<'a>>(&self) -> Option<ExtensionId> {
        self.extmap.iter().find(|(_, uri)| *uri == T::URI).map(|(id, _)| *id)
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16));
    digits.collect::<Result<_, _>>().unwrap()
}

fn sides() -> Vec<Side> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/packets");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let sides: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|e| e == "txt"))
        .map(|path| Side::read(&path))
        .collect();
    assert_eq!(sides.len(), 7);
    sides
}

#[test]
fn rtp_packets_are_written_again_byte_for_byte() {
    for side in sides() {
        assert!(side.rtp.len() >= 14, "{}", side.name);
        for bytes in &side.rtp {
            let packet = Packet::parse(&bytes[..]).unwrap();
            let mut out = Vec::new();
            packet.header().write(&mut out, Form::OneByte, |extensions| {
                for element in packet.extensions() {
                    assert!(side.extmap.contains_key(&element.id), "{}: {element:?}", side.name);
                    assert!(extensions.add_bytes(element.id, element.value));
                }
            });
            out.extend_from_slice(packet.payload());
            if let Some(len) = NonZeroU8::new(packet.padding_len() as u8) {
                pad(&mut out, 0, len);
            }
            assert_eq!(&out, bytes, "{}", side.name);
            fuzzing::rtp(bytes);
        }
    }
}

#[test]
fn extensions_mean_what_they_should() {
    for side in sides() {
        let mut last = None;
        let mut mids = Vec::new();
        for bytes in &side.rtp {
            let packet = Packet::parse(&bytes[..]).unwrap();
            let sequence: TransportSequence = packet.get(side.id::<TransportSequence>().unwrap()).unwrap();
            assert!(
                last.is_none_or(|last: Serial16| last.precedes(sequence.0)),
                "{}",
                side.name
            );
            last = Some(sequence.0);
            if let Some(Mid(mid)) = packet.get(side.id::<Mid<'_>>().unwrap()) {
                mids.push(mid.to_owned());
            }
            let level: Option<AudioLevel> = side.id::<AudioLevel>().and_then(|id| packet.get(id));
            let time: Option<AbsSendTime> = side.id::<AbsSendTime>().and_then(|id| packet.get(id));
            assert!(time.is_some() || level.is_some(), "{}: {bytes:x?}", side.name);
            let delay = side.id::<PlayoutDelay>().and_then(|id| packet.extension(id));
            assert!(
                delay.is_none_or(|value| PlayoutDelay::parse(value).is_ok()),
                "{}",
                side.name
            );
        }
        assert!(
            !mids.is_empty() && mids.iter().all(|mid| mid == "0" || mid == "1"),
            "{}: {mids:?}",
            side.name
        );
    }
}

#[test]
fn rtcp_is_read_and_survives() {
    let mut kinds = [0; 5];
    for side in sides() {
        for bytes in &side.rtcp {
            for packet in packets(bytes) {
                match packet.unwrap() {
                    Rtcp::SenderReport(report) => {
                        kinds[0] += 1;
                        let mut out = Vec::new();
                        SenderReport::write(
                            &mut out,
                            report.ssrc,
                            &report.info,
                            &Vec::from_iter(report.reports.iter()),
                        );
                        assert!(bytes.starts_with(&out), "{}", side.name);
                    }
                    Rtcp::ReceiverReport(report) => {
                        kinds[1] += 1;
                        let mut out = Vec::new();
                        ReceiverReport::write(&mut out, report.ssrc, &Vec::from_iter(report.reports.iter()));
                        assert!(bytes.starts_with(&out), "{}", side.name);
                    }
                    Rtcp::SourceDescription(sdes) => {
                        kinds[2] += 1;
                        assert!(sdes.chunks().all(|chunk| chunk.item(SdesItemType::CNAME).is_some()));
                    }
                    Rtcp::TransportFeedback(_) => kinds[3] += 1,
                    Rtcp::ExtendedReport(report) => {
                        kinds[4] += 1;
                        let known = |block| !matches!(block, XrBlock::Unknown { .. });
                        assert!(
                            report.blocks().count() > 0 && report.blocks().all(known),
                            "{}",
                            side.name
                        );
                    }
                    other => panic!("{}: {other:?}", side.name),
                }
            }
            fuzzing::rtcp(bytes);
        }
    }
    assert!(kinds.iter().all(|count| *count > 5), "{kinds:?}");
}

#[test]
fn our_transport_feedback_is_the_browsers_or_shorter() {
    let (mut count, mut equal) = (0, 0);
    for side in sides() {
        let mut last = None;
        for bytes in &side.rtcp {
            let Some(Ok(Rtcp::TransportFeedback(feedback))) = packets(bytes).next() else {
                continue;
            };
            let TransportFeedback {
                sender,
                media,
                base_sequence_number: base,
                feedback_count,
                ..
            } = feedback;
            let all = feedback.packets().map(|(number, how)| (number, how.time()));
            let mut out = Vec::new();
            let written = TransportFeedback::write(&mut out, sender, media, feedback_count, base, 1200, all).unwrap();
            assert!(written.complete);
            assert_eq!(written.next, base.add(feedback.packet_status_count));
            // A browser may begin with an older reference time, and then a large delta.
            assert!(out.len() <= bytes.len(), "{}", side.name);
            let Some(Ok(Rtcp::TransportFeedback(again))) = packets(&out).next() else {
                panic!();
            };
            assert!(again.received().eq(feedback.received()), "{}", side.name);
            equal += usize::from(out == *bytes);
            assert!(
                last.is_none_or(|last: u8| last.wrapping_add(1) == feedback_count),
                "{}",
                side.name
            );
            last = Some(feedback_count);
            count += 1;
        }
    }
    assert!(count > 100 && equal * 10 > count * 9, "{equal} of {count}");
}

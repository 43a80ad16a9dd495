//! Bodies of the fuzz targets for packets: whatever is read is written again and reads the same. Those for payloads and files
//! are in [`payload::fuzzing`](crate::payload::fuzzing) and [`file::fuzzing`](crate::file::fuzzing).

use std::num::NonZeroU8;

use crate::extension::dependency_descriptor::{Descriptor, DescriptorReader};
use crate::extension::{
    AbsCaptureTime, AbsSendTime, AudioLevel, CsrcAudioLevels, Extension, Form, Mid, PlayoutDelay, RepairedRid, Rid,
    TransportSequence, TransportSequenceV2, VideoLayersAllocation, VideoOrientation,
};
use crate::rtcp::{
    Bye, CongestionFeedback, ExtendedReport, FullIntraRequest, Nack, Packet as Rtcp, ReceiverEstimatedMaxBitrate,
    ReceiverReport, Reception, SenderReport, SourceDescription, TransportFeedback, XrBlock, packets,
};
use crate::{Packet, PayloadType, Serial16, Ssrc};

/// Any bytes as an RTP packet: a packet written from what was read reads the same, each value of its header extension survives
/// as whatever type it may have, and setters change what they say alone.
pub fn rtp(bytes: &[u8]) {
    let Ok(packet) = Packet::parse(bytes) else { return };
    let range = packet.payload_range();
    assert_eq!(
        (range.start, range.end + packet.padding_len()),
        (packet.header_len(), bytes.len())
    );

    let mut again = Vec::new();
    packet.header().write(&mut again, Form::TwoByte, |extensions| {
        for element in packet.extensions() {
            assert!(extensions.add_bytes(element.id, element.value));
        }
    });
    again.extend_from_slice(packet.payload());
    if let Some(len) = NonZeroU8::new(packet.padding_len() as u8) {
        crate::pad(&mut again, 0, len);
    }
    let again = Packet::parse(&again[..]).expect("a packet we wrote");
    assert_eq!(again.header(), packet.header());
    assert!(again.extensions().eq(packet.extensions()));
    assert_eq!(
        (again.payload(), again.padding_len()),
        (packet.payload(), packet.padding_len())
    );

    let mut descriptors = DescriptorReader::default();
    for element in packet.extensions() {
        assert!(packet.extension(element.id).is_some());
        extension(element.value);
        descriptor(&mut descriptors, element.value);
    }
    changed(&packet);
}

/// What parses is written to something that parses the same.
fn extension(value: &[u8]) {
    macro_rules! survive {
        ($($kind:ty),* $(,)?) => {$(
            if let Ok(read) = <$kind>::parse(value) {
                let mut again = Vec::new();
                read.write(&mut again);
                assert_eq!(<$kind>::parse(&again), Ok(read));
            }
        )*};
    }
    survive!(
        AbsCaptureTime,
        AbsSendTime,
        AudioLevel,
        CsrcAudioLevels,
        Mid<'_>,
        PlayoutDelay,
        RepairedRid<'_>,
        Rid<'_>,
        TransportSequence,
        TransportSequenceV2,
        VideoLayersAllocation,
        VideoOrientation,
    );
}

fn descriptor(reader: &mut DescriptorReader, value: &[u8]) {
    let Ok(read) = reader.read(value) else { return };
    // A late structure is not kept, and only it knows the frame.
    let Some(structure) = reader.structure().cloned() else {
        return;
    };
    let mut again = Vec::new();
    if read.write(&structure, true, &mut again).is_err() {
        return;
    }
    let mut fresh = DescriptorReader::default();
    let active_decode_targets = read.active_decode_targets.or(Some(structure.all_decode_targets()));
    let resolution_minus_one = structure
        .resolutions_minus_one
        .get(usize::from(read.frame.spatial_id))
        .copied();
    let expected = Descriptor {
        active_decode_targets,
        resolution_minus_one,
        ..read
    };
    assert_eq!(fresh.read(&again), Ok(expected));
    assert_eq!(fresh.structure(), Some(&structure));
}

fn changed(packet: &Packet<&[u8]>) {
    let mut out = vec![0xee];
    let mut copy = packet.copy_to(&mut out);
    copy.set_marker(!packet.marker());
    copy.set_payload_type(PayloadType(packet.payload_type().0 ^ 0x7f));
    copy.set_sequence_number(packet.sequence_number().next());
    copy.set_timestamp(!packet.timestamp());
    copy.set_ssrc(Ssrc(!packet.ssrc().0));
    if let Some(element) = packet.extensions().next() {
        let value: Vec<u8> = element.value.iter().map(|byte| !byte).collect();
        assert!(copy.set_extension(element.id, &value));
        assert_eq!(copy.extension(element.id), Some(&value[..]));
        assert!(copy.set_extension(element.id, element.value));
    }
    assert_eq!(copy.payload(), packet.payload());
    assert!(copy.csrcs().eq(packet.csrcs()));
    let changed = Packet::parse(&out[1..]).expect("as long as before");
    assert_eq!(changed.ssrc(), Ssrc(!packet.ssrc().0));
    assert_eq!(
        (changed.timestamp(), changed.marker()),
        (!packet.timestamp(), !packet.marker())
    );
    assert_eq!(changed.payload_type().0, packet.payload_type().0 ^ 0x7f);
    assert!(changed.extensions().eq(packet.extensions()));
}

/// Any bytes as RTCP: each packet written from what was read reads the same.
pub fn rtcp(bytes: &[u8]) {
    for packet in packets(bytes).flatten() {
        let mut out = Vec::new();
        written(&packet, &mut out);
        if out.is_empty() {
            continue;
        }
        let mut again = packets(&out);
        let read = again.next().expect("a packet we wrote").expect("a good one");
        assert!(again.next().is_none());
        assert!(same(&packet, &read), "{packet:?} and {read:?}");
    }
}

fn written(packet: &Rtcp<'_>, out: &mut Vec<u8>) {
    match packet {
        Rtcp::SenderReport(SenderReport { ssrc, info, reports }) => {
            SenderReport::write(out, *ssrc, info, &Vec::from_iter(reports.iter()));
        }
        Rtcp::ReceiverReport(ReceiverReport { ssrc, reports }) => {
            ReceiverReport::write(out, *ssrc, &Vec::from_iter(reports.iter()));
        }
        Rtcp::SourceDescription(sdes) => {
            let chunks: Vec<_> = sdes.chunks().map(|c| (c.ssrc, Vec::from_iter(c.items()))).collect();
            let chunks: Vec<_> = chunks.iter().map(|(ssrc, items)| (*ssrc, &items[..])).collect();
            SourceDescription::write(out, &chunks);
        }
        Rtcp::Bye(bye) => {
            let reason = bye.reason.and_then(|reason| std::str::from_utf8(reason).ok());
            Bye::write(out, &Vec::from_iter(bye.sources.iter()), reason);
        }
        Rtcp::App(app) => app.write(out),
        Rtcp::Nack(nack) => Nack::write(out, nack.sender, nack.media, nack.lost()),
        Rtcp::PictureLossIndication(pli) => pli.write(out),
        Rtcp::FullIntraRequest(fir) => FullIntraRequest::write(out, fir.sender, &Vec::from_iter(fir.entries.iter())),
        Rtcp::ReceiverEstimatedMaxBitrate(remb) => {
            ReceiverEstimatedMaxBitrate::write(out, remb.sender, remb.bitrate, &Vec::from_iter(remb.sources.iter()));
        }
        Rtcp::TransportFeedback(feedback) => transport_feedback(feedback, out),
        Rtcp::CongestionFeedback(feedback) => {
            CongestionFeedback::write(out, feedback.sender, feedback.report_timestamp, |w| {
                for stream in feedback.streams() {
                    let metrics = stream.metrics().map(|(_, metric)| metric);
                    w.stream(stream.ssrc, stream.begin_sequence_number, metrics);
                }
            });
        }
        Rtcp::ExtendedReport(report) => ExtendedReport::write(out, report.ssrc, |w| {
            for block in report.blocks() {
                match block {
                    XrBlock::ReceiverReferenceTime(time) => w.receiver_reference_time(time),
                    XrBlock::Dlrr(replies) => w.dlrr(&Vec::from_iter(replies.iter())),
                    XrBlock::Unknown {
                        block_type,
                        type_specific,
                        contents,
                    } => w.raw(block_type, type_specific, contents),
                };
            }
        }),
        Rtcp::Unknown(raw) => raw.write(out),
    }
}

fn transport_feedback(feedback: &TransportFeedback<'_>, out: &mut Vec<u8>) {
    let TransportFeedback {
        sender,
        media,
        base_sequence_number: base,
        feedback_count,
        ..
    } = *feedback;
    let received = feedback.received().map(|(number, how)| (number, how.time()));
    let written = TransportFeedback::write(out, sender, media, feedback_count, base, usize::MAX, received);
    let Some(written) = written else { return };
    // Only a gap of half the numbers is an end.
    let timed = |number: &(Serial16, Reception)| number.1.time().is_some();
    if !written.complete {
        let mut numbers = feedback.received().filter(timed).map(|(number, _)| number);
        let mut before = base;
        assert!(numbers.any(|number| { std::mem::replace(&mut before, number.next()).distance_to(number) < 0 }));
        out.clear();
    } else if !feedback.received().all(|number| timed(&number)) {
        out.clear();
    }
}

/// Reserved bits, padding and what is not read may differ.
fn same(a: &Rtcp<'_>, b: &Rtcp<'_>) -> bool {
    match (a, b) {
        (Rtcp::SourceDescription(a), Rtcp::SourceDescription(b)) => a
            .chunks()
            .map(|chunk| (chunk.ssrc, Vec::from_iter(chunk.items())))
            .eq(b.chunks().map(|chunk| (chunk.ssrc, Vec::from_iter(chunk.items())))),
        (Rtcp::Bye(a), Rtcp::Bye(b)) => {
            let text = a.reason.is_none_or(|reason| std::str::from_utf8(reason).is_ok());
            a.sources == b.sources && (!text || a.reason == b.reason)
        }
        // A packet may be named twice.
        (Rtcp::Nack(a), Rtcp::Nack(b)) => {
            (a.sender, a.media) == (b.sender, b.media)
                && a.lost().all(|number| b.lost().any(|other| other == number))
                && b.lost().all(|number| a.lost().any(|other| other == number))
        }
        (Rtcp::FullIntraRequest(a), Rtcp::FullIntraRequest(b)) => {
            a.sender == b.sender && a.entries.iter().eq(b.entries.iter())
        }
        (Rtcp::TransportFeedback(a), Rtcp::TransportFeedback(b)) => a.received().eq(b.received()),
        (Rtcp::CongestionFeedback(a), Rtcp::CongestionFeedback(b)) => {
            let all = |feedback: &CongestionFeedback<'_>| {
                let streams = feedback
                    .streams()
                    .map(|s| (s.ssrc, s.len(), Vec::from_iter(s.metrics())));
                (feedback.report_timestamp, Vec::from_iter(streams))
            };
            a.sender == b.sender && all(a) == all(b)
        }
        // What is reserved in a block is not read.
        (Rtcp::ExtendedReport(a), Rtcp::ExtendedReport(b)) => {
            let same_block = |(a, b): (XrBlock<'_>, XrBlock<'_>)| match (a, b) {
                (XrBlock::Dlrr(a), XrBlock::Dlrr(b)) => a.iter().eq(b.iter()),
                _ => a == b,
            };
            a.ssrc == b.ssrc && a.blocks().count() == b.blocks().count() && a.blocks().zip(b.blocks()).all(same_block)
        }
        _ => a == b,
    }
}

//! Any packet survives being written and read, and any bytes at all are harmless.

use peerline_rtp::extension::dependency_descriptor::{Descriptor, DescriptorReader, Dti, Structure, Template};
use peerline_rtp::extension::*;
use peerline_rtp::rtcp::*;
use peerline_rtp::{Header, NtpShort, NtpTime, Packet as Rtp, PayloadType, Serial16, Ssrc, fuzzing, pad};
use proptest::collection::vec;
use proptest::prelude::*;
use std::num::NonZeroU8;

fn header() -> impl Strategy<Value = Header> {
    (
        any::<bool>(),
        0..128u8,
        any::<u16>(),
        any::<u32>(),
        any::<u32>(),
        vec(any::<u32>(), 0..16),
    )
        .prop_map(|(marker, payload_type, number, timestamp, ssrc, csrcs)| Header {
            marker,
            csrcs: csrcs.into_iter().map(Ssrc).collect(),
            ..Header::new(PayloadType(payload_type), Serial16(number), timestamp, Ssrc(ssrc))
        })
}

/// Ids and values that fit the one-byte form, often; others, too.
fn elements() -> impl Strategy<Value = Vec<(ExtensionId, Vec<u8>)>> {
    let id = prop_oneof![4 => 1..15u8, 1 => 1..=255u8];
    let len = prop_oneof![4 => 1..=16usize, 1 => 0..256usize];
    let id = id.prop_map(|id| ExtensionId::new(id).unwrap());
    vec((id, len.prop_flat_map(|len| vec(any::<u8>(), len))), 0..8)
}

fn form() -> impl Strategy<Value = Form> {
    prop::sample::select(vec![Form::OneByte, Form::Mixed, Form::TwoByte])
}

/// Writes the value as an element between others, and reads it back.
macro_rules! survive {
    ($($value:expr),* $(,)?) => {$(
        let id = ExtensionId::new(7).unwrap();
        let other = ExtensionId::new(200).unwrap();
        let mut out = Vec::new();
        Header::new(PayloadType(0), Serial16(0), 0, Ssrc(0)).write(&mut out, Form::Mixed, |w| {
            assert!(w.add(id, &$value) && w.add_bytes(other, &[1, 2, 3]));
        });
        let packet = Rtp::parse(&out[..]).unwrap();
        prop_assert_eq!(packet.get(id), Some($value));
        prop_assert_eq!(packet.extension(other), Some(&[1, 2, 3][..]));
    )*};
}

fn layers() -> impl Strategy<Value = VideoLayersAllocation> {
    // Two bytes each at most, or the two-byte form has no room for all.
    let layer = (vec(0..1u32 << 14, 1..5), any::<u16>(), any::<u16>(), any::<u8>());
    (0..4u8, vec(prop::option::of(layer), 16), any::<bool>()).prop_map(|(stream_index, slots, sized)| {
        let places = (0..16u8).map(|place| (place / 4, place % 4));
        let layers: Vec<_> = places
            .zip(slots)
            .filter_map(|((stream_index, spatial_id), slot)| {
                let (kbps, width_minus_one, height_minus_one, max_framerate) = slot?;
                let resolution = LayerResolution {
                    width_minus_one,
                    height_minus_one,
                    max_framerate,
                };
                let resolution = sized.then_some(resolution);
                Some(SpatialLayer {
                    stream_index,
                    spatial_id,
                    target_kbps: kbps.into_iter().collect(),
                    resolution,
                })
            })
            .collect();
        let stream_index = if layers.is_empty() { 0 } else { stream_index };
        VideoLayersAllocation {
            stream_index,
            layers: layers.into_iter().collect(),
        }
    })
}

fn dti() -> impl Strategy<Value = Dti> {
    prop::sample::select(vec![Dti::NotPresent, Dti::Discardable, Dti::Switch, Dti::Required])
}

fn template(targets: usize, chains: usize, diffs: u16, chain_diffs: u8) -> impl Strategy<Value = Template> {
    (vec(dti(), targets), vec(1..=diffs, 0..5), vec(0..=chain_diffs, chains)).prop_map(|(dtis, diffs, chains)| {
        Template {
            dtis: dtis.into_iter().collect(),
            frame_diffs: diffs.into_iter().collect(),
            chain_diffs: chains.into_iter().collect(),
            ..Template::default()
        }
    })
}

/// A structure, and a frame by one of its templates with lists of its own.
fn dependencies() -> impl Strategy<Value = (Structure, Descriptor)> {
    let sizes = (1..=32usize, 1..=64usize).prop_flat_map(|(targets, templates)| {
        (Just(targets), Just(templates), 0..=targets, vec(0..3u8, templates - 1))
    });
    let parts = sizes.prop_flat_map(|(targets, templates, chains, steps)| {
        let protected = if chains == 0 { 0 } else { targets };
        (
            (0..64u8, vec(template(targets, chains, 16, 15), templates), Just(steps)),
            (
                vec(0..chains.max(1) as u8, protected),
                any::<bool>(),
                vec(any::<(u16, u16)>(), 4),
            ),
            (
                template(targets, chains, 4096, 255),
                any::<[bool; 5]>(),
                any::<u16>(),
                any::<u32>(),
            ),
            any::<prop::sample::Index>(),
        )
    });
    parts.prop_map(
        |((offset, mut templates, steps), (protected, sized, sizes), (own, flags, number, mask), index)| {
            for (i, step) in steps.into_iter().enumerate() {
                let (spatial, temporal) = (templates[i].spatial_id, templates[i].temporal_id);
                let next = match step {
                    1 if temporal < 7 => (spatial, temporal + 1),
                    2 if spatial < 3 => (spatial + 1, 0),
                    _ => (spatial, temporal),
                };
                (templates[i + 1].spatial_id, templates[i + 1].temporal_id) = next;
            }
            let layers = usize::from(templates.last().unwrap().spatial_id) + 1;
            let structure = Structure {
                template_id_offset: offset,
                decode_targets: templates[0].dtis.len() as u8,
                protected_by: protected.into_iter().collect(),
                chains: templates[0].chain_diffs.len() as u8,
                resolutions_minus_one: sizes.into_iter().take(if sized { layers } else { 0 }).collect(),
                templates,
            };
            let mut frame =
                Descriptor::from_template(&structure, index.index(structure.templates.len()), Serial16(number));
            (frame.start_of_frame, frame.end_of_frame) = (flags[0], flags[1]);
            if flags[2] {
                let (spatial_id, temporal_id) = (frame.frame.spatial_id, frame.frame.temporal_id);
                frame.frame = Template {
                    spatial_id,
                    temporal_id,
                    ..own
                };
            }
            frame.active_decode_targets = flags[3].then_some(mask & structure.all_decode_targets());
            (structure, frame)
        },
    )
}

fn report_block() -> impl Strategy<Value = ReportBlock> {
    (any::<[u32; 5]>(), any::<u8>(), -0x80_0000..0x80_0000i32).prop_map(|(words, fraction_lost, lost)| ReportBlock {
        ssrc: Ssrc(words[0]),
        fraction_lost,
        cumulative_lost: lost,
        extended_highest_sequence_number: words[1],
        jitter: words[2],
        last_sr: NtpShort(words[3]),
        delay_since_last_sr: NtpShort(words[4]),
    })
}

fn one(bytes: &[u8]) -> Packet<'_> {
    let mut all = packets(bytes);
    let packet = all.next().expect("a packet").expect("a good one");
    assert!(all.next().is_none());
    packet
}

/// Arrivals with losses, jumps and steps back.
fn arrivals() -> impl Strategy<Value = Vec<Option<u32>>> {
    let step = prop_oneof![6 => 0..256i32, 2 => -2000..2000i32, 1 => -32_768..32_768i32];
    let status = prop_oneof![3 => step.prop_map(Some), 1 => Just(None)];
    let run = (status, prop_oneof![4 => 1..4usize, 1 => 1..40usize, 1 => 1..9000usize]);
    (any::<u32>(), vec(run, 1..12)).prop_map(|(mut time, runs)| {
        let mut arrivals = Vec::new();
        for (step, len) in runs {
            for _ in 0..len {
                arrivals.push(step.map(|step| {
                    time = time.wrapping_add_signed(step);
                    time
                }));
            }
        }
        arrivals
    })
}

proptest! {
    #[test]
    fn any_rtp_packet_survives(
        header in header(), elements in elements(), form in form(), payload in vec(any::<u8>(), 0..80), padding: Option<u8>,
        before in vec(any::<u8>(), 0..4),
    ) {
        let mut out = before.clone();
        let mut kept = Vec::new();
        header.write(&mut out, form, |w| {
            for (id, value) in &elements {
                let added = w.add_bytes(*id, value);
                let small = id.fits_one_byte() && (1..=16).contains(&value.len());
                assert_eq!(added, form != Form::OneByte || small);
                if added {
                    kept.push((*id, &value[..]));
                }
            }
        });
        out.extend_from_slice(&payload);
        let padding = padding.and_then(NonZeroU8::new);
        if let Some(padding) = padding {
            pad(&mut out, before.len(), padding);
        }
        let packet = Rtp::parse(&out[before.len()..]).unwrap();
        prop_assert_eq!(packet.header(), header);
        prop_assert_eq!(packet.extensions().map(|e| (e.id, e.value)).collect::<Vec<_>>(), kept);
        prop_assert_eq!(packet.payload(), &payload[..]);
        prop_assert_eq!(packet.padding_len(), padding.map_or(0, |padding| padding.get().into()));
        fuzzing::rtp(&out[before.len()..]);
    }

    #[test]
    fn any_extension_survives(
        text in "[a-zA-Z0-9_-]{1,40}", byte: u8, flag: bool, number: u16, count in 1..0x8000u16, time: u64, offset: Option<i64>,
        levels in vec(0..128u8, 1..16), delays in (0..4096u16, 0..4096u16), layers in layers(),
    ) {
        survive!(
            Mid(&text), Rid(&text), RepairedRid(&text),
            AudioLevel { level: byte & 0x7f, voice_activity: flag },
            CsrcAudioLevels(levels.iter().copied().collect()),
            AbsSendTime((time & 0xff_ffff) as u32),
            TransportSequence(Serial16(number)),
            TransportSequenceV2 {
                sequence_number: Serial16(number),
                feedback_request: flag.then_some(FeedbackRequest { include_timestamps: byte > 9, sequence_count: count }),
            },
            AbsCaptureTime { timestamp: NtpTime(time), clock_offset: offset },
            PlayoutDelay { min: delays.0.min(delays.1), max: delays.0.max(delays.1) },
            VideoOrientation { back_facing: flag, flipped: byte > 99, rotation: Rotation::ThreeQuarters },
            layers,
        );
    }

    #[test]
    fn any_descriptor_survives((structure, frame) in dependencies(), cut: prop::sample::Index) {
        let mut reader = DescriptorReader::default();
        let mut value = Vec::new();
        frame.write(&structure, true, &mut value).unwrap();
        let active = frame.active_decode_targets.or(Some(structure.all_decode_targets()));
        prop_assert_eq!(reader.read(&value), Ok(Descriptor { active_decode_targets: active, ..frame }));
        prop_assert_eq!(reader.structure(), Some(&structure));
        let mut short = Vec::new();
        frame.write(&structure, false, &mut short).unwrap();
        prop_assert_eq!(reader.read(&short), Ok(frame));
        prop_assert!(short.len() <= value.len());
        let cut = &value[..cut.index(value.len())];
        prop_assert!(DescriptorReader::default().read(cut).is_err());
    }

    #[test]
    fn any_report_survives(
        ssrc: u32, words: (u64, u32, u32, u32), blocks in vec(report_block(), 0..32), cname in "[ -~]{0,255}",
    ) {
        let ssrc = Ssrc(ssrc);
        let (time, rtp_timestamp, packet_count, octet_count) = words;
        let info = SenderInfo { ntp_time: NtpTime(time), rtp_timestamp, packet_count, octet_count };
        let mut out = Vec::new();
        SenderReport::write(&mut out, ssrc, &info, &blocks);
        ReceiverReport::write(&mut out, ssrc, &blocks);
        SourceDescription::write_cname(&mut out, ssrc, &cname);
        Bye::write(&mut out, &[ssrc], Some(&cname));
        let read: Vec<_> = packets(&out).map(Result::unwrap).collect();
        let [Packet::SenderReport(sr), Packet::ReceiverReport(rr), Packet::SourceDescription(sdes), Packet::Bye(bye)] =
            read[..] else { panic!("{read:?}") };
        prop_assert_eq!((sr.ssrc, sr.info, rr.ssrc), (ssrc, info, ssrc));
        prop_assert!(sr.reports.iter().eq(blocks.iter().copied()) && rr.reports.iter().eq(blocks));
        let chunk = sdes.chunks().next().unwrap();
        prop_assert_eq!((chunk.ssrc, chunk.item(SdesItemType::CNAME)), (ssrc, Some(cname.as_bytes())));
        prop_assert_eq!(bye.reason, Some(cname.as_bytes()));
        fuzzing::rtcp(&out);
    }

    #[test]
    fn any_loss_survives(base: u16, steps in vec(1..40u16, 1..200)) {
        let mut number = Serial16(base);
        let lost: Vec<_> = steps.iter().map(|step| { number = number.add(*step); number }).collect();
        let mut out = Vec::new();
        Nack::write(&mut out, Ssrc(1), Ssrc(2), lost.iter().copied());
        let Packet::Nack(nack) = one(&out) else { panic!() };
        prop_assert!(nack.lost().eq(lost.iter().copied()));
        // A block reaches 16 beyond its first: what is nearer shares it.
        let mut blocks = 0;
        let mut reach = None;
        for number in lost {
            if reach.is_none_or(|reach: Serial16| reach.precedes(number)) {
                blocks += 1;
                reach = Some(number.add(16));
            }
        }
        prop_assert_eq!(out.len(), 12 + 4 * blocks);
    }

    #[test]
    fn any_arrivals_survive(base: u16, arrivals in arrivals(), max_len in 28..1500usize) {
        // In pieces of any size, each within its bound, that together say all up to the last that came.
        let last = arrivals.iter().rposition(Option::is_some);
        let wanted = last.map_or(&[][..], |last| &arrivals[..=last]);
        let (mut at, mut got) = (0, Vec::new());
        while at < wanted.len() {
            let numbered = wanted[at..].iter().enumerate();
            let start = Serial16(base).add(at as u16);
            let numbered = numbered.map(|(i, time)| (start.add(i as u16), time.map(ArrivalTime)));
            let mut out = Vec::new();
            let written = TransportFeedback::write(&mut out, Ssrc(1), Ssrc(2), 3, start, max_len, numbered);
            // A gap that is too long for one packet: the caller of a real one would move on as well.
            let Some(written) = written else { return Ok(()) };
            prop_assert!(out.len() <= max_len);
            let Packet::TransportFeedback(feedback) = one(&out) else { panic!() };
            prop_assert_eq!(feedback.base_sequence_number, start);
            got.extend(feedback.packets().map(|(_, how)| how.time().map(|time| time.0)));
            at += usize::from(written.next.0.wrapping_sub(start.0));
            prop_assert_eq!(written.complete, at == wanted.len());
            fuzzing::rtcp(&out);
        }
        prop_assert_eq!(got, wanted);
    }

    #[test]
    fn any_congestion_feedback_survives(
        streams in vec((any::<u32>(), any::<u16>(), vec(prop::option::of((0..4u8, 0..0x2000u16)), 0..50)), 0..5), time: u32,
    ) {
        let metric = |(ecn, offset)| PacketMetric { ecn: peerline_wire::Ecn::from_bits(ecn), arrival: ArrivalOffset(offset) };
        let mut out = Vec::new();
        CongestionFeedback::write(&mut out, Ssrc(1), NtpShort(time), |w| {
            for (ssrc, begin, metrics) in &streams {
                w.stream(Ssrc(*ssrc), Serial16(*begin), metrics.iter().map(|m| m.map(metric)));
            }
        });
        let Packet::CongestionFeedback(feedback) = one(&out) else { panic!() };
        let read: Vec<_> = feedback.streams().map(|s| (s.ssrc.0, s.begin_sequence_number.0, s.len())).collect();
        prop_assert_eq!(read, streams.iter().map(|(ssrc, begin, m)| (*ssrc, *begin, m.len())).collect::<Vec<_>>());
        for (stream, (_, _, metrics)) in feedback.streams().zip(&streams) {
            prop_assert!(stream.metrics().map(|(_, m)| m).eq(metrics.iter().map(|m| m.map(metric))));
        }
        fuzzing::rtcp(&out);
    }

    #[test]
    fn any_bitrate_survives_roughly(bitrate: u64, sources in vec(any::<u32>(), 0..20)) {
        let sources: Vec<_> = sources.into_iter().map(Ssrc).collect();
        let mut out = Vec::new();
        ReceiverEstimatedMaxBitrate::write(&mut out, Ssrc(1), bitrate, &sources);
        let Packet::ReceiverEstimatedMaxBitrate(remb) = one(&out) else { panic!() };
        prop_assert!(remb.bitrate <= bitrate && bitrate - remb.bitrate <= bitrate >> 17);
        prop_assert!(remb.sources.iter().eq(sources));
    }

    #[test]
    fn any_bytes_are_harmless(bytes in vec(any::<u8>(), 0..200)) {
        fuzzing::rtp(&bytes);
        fuzzing::rtcp(&bytes);
    }

    /// The same behind a plausible beginning.
    #[test]
    fn any_contents_are_harmless(
        first in 0x80..=0xffu8, kind in 198..=208u8, words in 0..20u8, rest in vec(any::<u8>(), 80), form in 0..3usize,
    ) {
        let mut bytes = vec![first & 0xbf, kind, 0, words];
        bytes.extend_from_slice(&rest);
        fuzzing::rtcp(&bytes);
        let [a, b] = [[0xbe, 0xde], [0x10, 0], [0x10, 7]][form];
        let mut bytes = vec![0x90, 96, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, a, b, 0, words];
        bytes.extend_from_slice(&rest);
        fuzzing::rtp(&bytes);
        let _ = DescriptorReader::default().read(&rest);
    }
}

//! Media files: those that ffmpeg made are read as it says, what is written is read again, and any file is harmless.

use bytes::Bytes;
use peerline_rtp::file::annex_b::{self, FrameRate};
use peerline_rtp::file::{Error, fuzzing, ivf, ogg_opus, rtpdump, wav};
use peerline_rtp::payload::opus;
use proptest::collection::vec;
use proptest::prelude::*;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files")
}

fn file(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).expect(name)
}

fn all<T>(mut next: impl FnMut() -> Result<Option<T>, Error>) -> Vec<T> {
    std::iter::from_fn(|| next().expect("a good file")).collect()
}

#[test]
fn ivf_of_ffmpeg() {
    for (name, codec) in [
        ("vp8.ivf", ivf::FourCc::VP8),
        ("vp9.ivf", ivf::FourCc::VP9),
        ("av1.ivf", ivf::FourCc::AV1),
    ] {
        let bytes = file(name);
        let mut reader = ivf::Reader::new(&bytes[..]).expect(name);
        let header = *reader.header();
        assert_eq!((header.codec, header.width, header.height), (codec, 64, 48), "{name}");
        assert_eq!((header.numerator, header.denominator), (1, 15));
        let frames = all(|| reader.next_frame());
        assert_eq!(frames.len(), 15, "{name}");
        assert!(frames.iter().map(|frame| frame.timestamp).eq(0..15));
        assert_eq!(header.time(frames[3].timestamp), Duration::from_millis(200));

        // Byte for byte, but for the unused bytes.
        let mut writer = ivf::Writer::new(Cursor::new(Vec::new()), &header).expect("memory");
        for frame in &frames {
            writer.write_frame(frame.timestamp, &frame.data).expect("memory");
        }
        let again = writer.finish_header().expect("memory").into_inner();
        assert_eq!(again[24..28], 15_u32.to_le_bytes());
        assert_eq!((&again[..28], &again[32..]), (&bytes[..28], &bytes[32..]), "{name}");
    }
}

#[test]
fn opus_of_ffmpeg() {
    let bytes = file("opus.ogg");
    let mut reader = ogg_opus::Reader::new(&bytes[..]).expect("a good file");
    assert_eq!(
        reader.head(),
        &ogg_opus::Head {
            channels: 1,
            pre_skip: 120,
            ..ogg_opus::Head::default()
        }
    );
    assert_eq!(reader.tags().comments, ["encoder=Lavc59.37.100 libopus"]);
    let packets = all(|| reader.next_packet());
    // ffprobe counts 51 packets too: a second, and what comes out later than it went in.
    assert_eq!(packets.len(), 51);
    assert!(
        packets
            .iter()
            .enumerate()
            .all(|(index, packet)| packet.position == 960 * index as u64)
    );
    assert!(packets.iter().all(|packet| packet.samples == 960));
    assert_eq!((reader.malformed(), reader.links()), (0, 1));
}

#[test]
fn byte_streams_of_ffmpeg() {
    for (name, codec, keyframes) in [
        ("h264.h264", annex_b::Codec::H264, [0, 8]),
        ("h265.h265", annex_b::Codec::H265, [0, 8]),
    ] {
        let bytes = file(name);
        let mut reader = annex_b::Reader::new(&bytes[..]).expect(name);
        assert_eq!(reader.codec(), codec);
        let rate = reader.frame_rate().expect("a frame rate in the parameter set");
        assert_eq!(rate.time(30), Duration::from_secs(2), "{name}: {rate:?}");
        assert_eq!(FrameRate::new(15).time(30), Duration::from_secs(2));
        let units = all(|| reader.next_access_unit());
        assert_eq!(units.len(), 15, "{name}");
        let found: Vec<_> = (0..15).filter(|&index| units[index].keyframe).collect();
        assert_eq!(found, keyframes, "{name}");
    }
}

/// x264 was asked for two slices a picture: they are one access unit.
#[test]
fn slices_of_a_picture_stay_together() {
    let bytes = file("h264.h264");
    let mut reader = annex_b::Reader::new(&bytes[..]).expect("a good file");
    for unit in all(|| reader.next_access_unit()) {
        let slices = annex_b::nal_units(&unit.data).filter(|nal| matches!(nal[0] & 0x1f, 1 | 5));
        assert_eq!(slices.count(), 2);
    }
}

#[test]
fn wav_of_ffmpeg() {
    let pcm = wav::Format {
        encoding: wav::Encoding::PCM,
        bits_per_sample: 16,
        ..wav::Format::PCMU
    };
    for (name, format) in [
        ("alaw.wav", wav::Format::PCMA),
        ("mulaw.wav", wav::Format::PCMU),
        ("pcm.wav", pcm),
        ("g722.wav", wav::Format::G722),
    ] {
        let bytes = file(name);
        let mut reader = wav::Reader::new(&bytes[..]).expect(name);
        assert_eq!(reader.format(), format, "{name}");
        // 0.2 s, in pieces of 20 ms.
        let pieces = all(|| reader.read(160));
        assert_eq!(pieces.len(), 10, "{name}");
        assert!(pieces.iter().all(|piece| piece.len() == 160 * format.block_len()));
        assert!(bytes.ends_with(&pieces[9]));
        assert_eq!(format.time(1600), Duration::from_millis(200));
    }
}

/// A file that goes on after its last bitstream (`cat a.ogg b.ogg`), which RFC 3533 §4 calls chaining.
#[test]
fn chained_bitstreams_are_read_one_after_another() {
    let once = file("opus.ogg");
    let head = ogg_opus::Head {
        channels: 2,
        pre_skip: 312,
        ..ogg_opus::Head::default()
    };
    let mut writer = ogg_opus::Writer::new(once, 2, &head, &ogg_opus::Tags::default()).expect("memory");
    writer.write_packet(&[31 << 3, 1, 2, 3]).expect("a packet");
    let chained = writer.finish().expect("memory");

    let mut reader = ogg_opus::Reader::new(&chained[..]).expect("a good file");
    let packets = all(|| reader.next_packet());
    assert_eq!((packets.len(), reader.links()), (52, 2));
    assert_eq!((packets[51].position, reader.head()), (0, &head));
}

/// One byte after another is missing at the end, or is another: every reader says what is wrong, or reads on.
#[test]
fn files_cut_or_changed_anywhere() {
    type Body = fn(&[u8]);
    let dump = sample_dump();
    let cases: [(&str, Vec<u8>, Body); 6] = [
        ("vp8.ivf", file("vp8.ivf"), fuzzing::ivf),
        ("opus.ogg", file("opus.ogg"), fuzzing::ogg),
        ("h264.h264", file("h264.h264"), fuzzing::annex_b),
        ("h265.h265", file("h265.h265"), fuzzing::annex_b),
        ("alaw.wav", file("alaw.wav"), fuzzing::wav),
        ("rtpdump", dump, fuzzing::rtpdump),
    ];
    for (name, mut bytes, body) in cases {
        println!("{name}");
        for len in 0..=bytes.len() {
            body(&bytes[..len]);
        }
        for at in 0..bytes.len().min(400) {
            for change in [0xff, 0x80, 0x01] {
                bytes[at] ^= change;
                body(&bytes);
                bytes[at] ^= change;
            }
        }
    }
}

/// Sizes that no memory has are refused, or end with the file.
#[test]
fn claimed_sizes_are_not_believed() {
    let mut bytes = file("vp8.ivf");
    bytes[32..36].fill(0xff);
    let error = ivf::Reader::new(&bytes[..])
        .expect("a header")
        .next_frame()
        .expect_err("too large");
    assert_eq!(
        error.to_string(),
        "at byte 32: an IVF frame of 4294967295 bytes; the limit is 33554432"
    );

    bytes[32..36].copy_from_slice(&20_000_000_u32.to_le_bytes());
    let error = ivf::Reader::new(&bytes[..])
        .expect("a header")
        .next_frame()
        .expect_err("too short");
    assert_eq!(
        error.to_string(),
        format!("the file ends at byte {}, within an IVF frame", bytes.len())
    );

    let mut bytes = file("mulaw.wav");
    bytes[40..44].copy_from_slice(b"data");
    let Err(error) = wav::Reader::new(&bytes[..200]).map(drop) else {
        return;
    };
    assert!(error.to_string().contains("byte"), "{error}");
}

#[test]
fn errors_say_where_and_what() {
    let message = |error: Error| error.to_string();
    assert_eq!(
        ivf::Reader::new(&[b'x'; 40][..]).map(drop).map_err(message),
        Err("at byte 0: expected an IVF file: the letters DKIF".to_owned())
    );
    let mut ogg = file("opus.ogg");
    ogg[60] ^= 1;
    assert_eq!(
        ogg_opus::Reader::new(&ogg[..]).map(drop).map_err(message),
        Err("at byte 69: expected the checksum of this Ogg page".to_owned())
    );
    assert_eq!(
        annex_b::Reader::new(&b"\0\0\0\x02"[..]).map(drop).map_err(message),
        Err("at byte 0: expected a byte stream of H.264 or H.265: the start code 00 00 01".to_owned())
    );
    assert_eq!(
        wav::Reader::new(&file("pcm.wav")[..30]).map(drop).map_err(message),
        Err("the file ends at byte 30, within the chunk \"fmt \"".to_owned())
    );
    assert_eq!(
        rtpdump::Reader::new(&b"#!rtpplay2.0 1.2.3.4/5\n"[..])
            .map(drop)
            .map_err(message),
        Err("at byte 0: expected an rtpdump file: \"#!rtpplay1.0 \"".to_owned())
    );
}

fn sample_dump() -> Vec<u8> {
    let header = rtpdump::Header {
        start: Duration::new(1_700_000_000, 123_456_000),
        source: "192.0.2.1:5004".parse().expect("an address"),
    };
    let mut writer = rtpdump::Writer::new(Vec::new(), &header).expect("memory");
    writer
        .write_rtp(Duration::ZERO, &[0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0xff])
        .expect("memory");
    writer
        .write_rtcp(Duration::from_millis(20), &[0x80, 201, 0, 1, 0, 0, 0, 1])
        .expect("memory");
    writer.finish().expect("memory")
}

/// The layout of `rtpdump.h`: RD_hdr_t and RD_packet_t.
#[test]
fn rtpdump_byte_for_byte() {
    let bytes = sample_dump();
    let (line, rest) = bytes.split_at(28);
    assert_eq!(line, b"#!rtpplay1.0 192.0.2.1/5004\n");
    assert_eq!(
        rest[..16],
        [
            0x65, 0x53, 0xf1, 0x00, 0x00, 0x01, 0xe2, 0x40, 192, 0, 2, 1, 0x13, 0x8c, 0, 0
        ]
    );
    assert_eq!(rest[16..24], [0, 21, 0, 13, 0, 0, 0, 0]);
    assert_eq!(rest[37..45], [0, 16, 0, 0, 0, 0, 0, 20]);
    let mut reader = rtpdump::Reader::new(&bytes[..]).expect("a header");
    assert_eq!(reader.header().start, Duration::new(1_700_000_000, 123_456_000));
    let kinds: Vec<_> = all(|| reader.next_record())
        .into_iter()
        .map(|record| record.kind)
        .collect();
    assert_eq!(kinds, [rtpdump::Kind::Rtp { original_len: 13 }, rtpdump::Kind::Rtcp]);
}

fn bytes(max: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..max).prop_map(Bytes::from)
}

/// A packet of one frame, of a length around what laces differently.
fn opus_packet() -> impl Strategy<Value = Vec<u8>> {
    let len = prop_oneof![
        0..300_usize,
        Just(254),
        Just(255),
        Just(509),
        Just(510),
        60_000..61_440_usize
    ];
    (0..32_u8, len, any::<u8>()).prop_map(|(config, len, filler)| {
        let mut packet = vec![filler; len + 1];
        packet.truncate(ogg_opus::MAX_PACKET_LEN);
        packet[0] = config << 3;
        packet
    })
}

/// NAL units as an encoder writes them: no start codes within, no zeros at the end.
fn nal(codec: annex_b::Codec) -> impl Strategy<Value = Vec<u8>> {
    let header = match codec {
        annex_b::Codec::H264 => prop::sample::select(vec![
            [0x67, 0x42],
            [0x68, 0xce],
            [0x65, 0x88],
            [0x41, 0x9a],
            [0x41, 0x1a],
            [6, 5],
        ]),
        annex_b::Codec::H265 => {
            prop::sample::select(vec![[0x40, 1], [0x42, 1], [0x44, 1], [0x26, 1], [2, 1], [0x4e, 1]])
        }
    };
    (header, vec(prop_oneof![1..255_u8, Just(0x80)], 1..40)).prop_map(|(header, body)| [&header[..], &body].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn ivf_round_trip(
        fourcc: [u8; 4], width: u16, height: u16, numerator in 1..u32::MAX, denominator in 1..u32::MAX, length: u32,
        frames in vec((any::<u64>(), bytes(2000)), 0..20),
    ) {
        let header = ivf::Header { codec: ivf::FourCc(fourcc), width, height, numerator, denominator, length };
        let mut writer = ivf::Writer::new(Vec::new(), &header).unwrap();
        for (timestamp, data) in &frames {
            writer.write_frame(*timestamp, data).unwrap();
        }
        let file = writer.finish().unwrap();
        let mut reader = ivf::Reader::new(&file[..]).unwrap();
        prop_assert_eq!(*reader.header(), header);
        let again: Vec<_> = all(|| reader.next_frame()).into_iter().map(|frame| (frame.timestamp, frame.data)).collect();
        prop_assert_eq!(again, frames);
    }

    #[test]
    fn opus_round_trip(
        packets in vec(opus_packet(), 0..12), channels in 1..3_u8, pre_skip: u16, output_gain: i16, serial: u32,
        comments in vec("[A-Z]{1,8}=.{0,300}", 0..300),
    ) {
        let head = ogg_opus::Head { channels, pre_skip, output_gain, ..ogg_opus::Head::default() };
        let tags = ogg_opus::Tags { comments, ..ogg_opus::Tags::default() };
        let mut writer = ogg_opus::Writer::new(Vec::new(), serial, &head, &tags).unwrap();
        for packet in &packets {
            writer.write_packet(packet).unwrap();
        }
        let position = writer.position();
        let file = writer.finish().unwrap();
        let mut reader = ogg_opus::Reader::new(&file[..]).unwrap();
        prop_assert_eq!(reader.head(), &head);
        // Of a comment header as large as this only the beginning may be kept.
        prop_assert!(tags.comments.starts_with(&reader.tags().comments));
        prop_assert!(tags.comments.len() > 60 || reader.tags() == &tags);
        let again = all(|| reader.next_packet());
        prop_assert!(again.iter().map(|packet| &packet.data[..]).eq(packets.iter().map(|packet| &packet[..])));
        prop_assert_eq!(again.last().map_or(0, |last| last.position + u64::from(last.samples)), position);
        prop_assert_eq!(reader.malformed(), 0);
    }

    #[test]
    fn a_gap_keeps_what_follows_in_its_place(config in 0..32_u8, missing in 0..100_000_u64) {
        let packet = [config << 3, 1, 2];
        let mut writer = ogg_opus::Writer::new(Vec::new(), 1, &Default::default(), &Default::default()).unwrap();
        writer.write_packet(&packet).unwrap();
        writer.write_gap(missing).unwrap();
        writer.write_packet(&packet).unwrap();
        let file = writer.finish().unwrap();
        let mut reader = ogg_opus::Reader::new(&file[..]).unwrap();
        let last = all(|| reader.next_packet()).pop().unwrap();
        let frame = u64::from(opus::duration(&packet).unwrap());
        prop_assert_eq!(last.position, frame + missing / 120 * 120);
    }

    #[test]
    fn byte_streams_round_trip(
        units in prop_oneof![
            vec(nal(annex_b::Codec::H264), 1..20).prop_map(|nals| (annex_b::Codec::H264, nals)),
            vec(nal(annex_b::Codec::H265), 1..20).prop_map(|nals| (annex_b::Codec::H265, nals)),
        ],
        code_len in 3..6_usize,
    ) {
        let (codec, nals) = units;
        let mut stream = Vec::new();
        for nal in &nals {
            stream.resize(stream.len() + code_len - 1, 0);
            stream.push(1);
            stream.extend(nal);
        }
        let mut reader = annex_b::NalUnits::new(&stream[..]);
        prop_assert!(all(|| reader.next_nal()).iter().eq(nals.iter()));
        let mut reader = annex_b::Reader::with_codec(&stream[..], codec).unwrap();
        let units = all(|| reader.next_access_unit());
        // At most one picture's first slice in each.
        for unit in &units {
            let first = |nal: &&[u8]| match codec {
                annex_b::Codec::H264 => matches!(nal[0] & 0x1f, 1 | 5) && nal[1] & 0x80 != 0,
                annex_b::Codec::H265 => nal[0] >> 1 < 32 && nal[2] & 0x80 != 0,
            };
            prop_assert!(annex_b::nal_units(&unit.data).filter(first).count() <= 1);
        }
        fuzzing::annex_b(&stream);
    }

    #[test]
    fn wav_round_trip(
        encoding in prop::sample::select(vec![(1, 8), (1, 16), (1, 24), (1, 32), (6, 8), (7, 8)]),
        channels in 1..65_u16, sample_rate in 1..1_000_001_u32, blocks in 0..50_usize, finish_header: bool,
    ) {
        let format = wav::Format { encoding: wav::Encoding(encoding.0), bits_per_sample: encoding.1, channels, sample_rate };
        let samples: Vec<u8> = (0..blocks * format.block_len()).map(|index| index as u8).collect();
        let mut writer = wav::Writer::new(Cursor::new(Vec::new()), format).unwrap();
        writer.write(&samples).unwrap();
        prop_assert_eq!(writer.blocks(), blocks as u64);
        let file = if finish_header { writer.finish_header() } else { writer.finish() }.unwrap().into_inner();
        let mut reader = wav::Reader::new(&file[..]).unwrap();
        prop_assert_eq!(reader.format(), format);
        let again = all(|| reader.read(7)).concat();
        // Without a size, the byte that makes it even may be taken for a sample.
        prop_assert_eq!(&again[..samples.len()], &samples);
        prop_assert!(again.len() - samples.len() <= usize::from(!finish_header));
    }

    #[test]
    fn rtpdump_round_trip(
        start in 0..u32::MAX, micros in 0..1_000_000_u32, address: [u8; 4], port: u16,
        records in vec((any::<u32>(), 0..70_u16, bytes(60)), 0..20),
    ) {
        let source = std::net::SocketAddrV4::new(address.into(), port);
        let header = rtpdump::Header { start: Duration::new(start.into(), micros * 1000), source };
        let records: Vec<_> = records.into_iter().map(|(time, original_len, packet)| rtpdump::Record {
            time: Duration::from_millis(time.into()),
            kind: if original_len == 0 { rtpdump::Kind::Rtcp } else { rtpdump::Kind::Rtp { original_len } },
            packet,
        }).collect();
        let mut writer = rtpdump::Writer::new(Vec::new(), &header).unwrap();
        for record in &records {
            writer.write_record(record).unwrap();
        }
        let file = writer.finish().unwrap();
        let mut reader = rtpdump::Reader::new(&file[..]).unwrap();
        prop_assert_eq!(*reader.header(), header);
        prop_assert_eq!(all(|| reader.next_record()), records);
    }

    #[test]
    fn garbage_is_harmless(garbage in vec(any::<u8>(), 0..600), zeros: bool) {
        let headed = |head: &[u8]| [head, &garbage].concat();
        fuzzing::ivf(&headed(b"DKIF\0\0\x20\0VP80\x40\0\x30\0\x0f\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0"));
        fuzzing::ogg(&headed(b"OggS\0"));
        let sparse: Vec<u8> = garbage.iter().map(|byte| if zeros { byte % 4 } else { *byte }).collect();
        fuzzing::annex_b(&[&[0, 0, 1], &sparse[..]].concat());
        fuzzing::wav(&headed(b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x07\0\x01\0\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0"));
        fuzzing::rtpdump(&headed(b"#!rtpplay1.0 1.2.3.4/5\n"));
        for body in [fuzzing::ivf, fuzzing::ogg, fuzzing::annex_b, fuzzing::wav, fuzzing::rtpdump] {
            body(&garbage);
        }
    }
}

//! Files are opened by their content, and their frames come with their times.

use peerline_recorder::{Codec, PlayError, PlayedFrame, Player, PlayerOptions};
use peerline_rtp::file::annex_b::FrameRate;
use peerline_rtp::file::{ogg_opus, wav};
use std::io::Cursor;
use std::path::Path;
use std::time::Duration;

fn open(name: &str, options: PlayerOptions) -> Player {
    Player::open(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../rtp/tests/files")
            .join(name),
        options,
    )
    .expect(name)
}

fn of_bytes(bytes: &[u8], options: PlayerOptions) -> Result<Player, PlayError> {
    let bytes = bytes.to_vec();
    Player::with(move || Ok(Box::new(Cursor::new(bytes.clone()))), options)
}

fn all(player: &mut Player) -> Vec<PlayedFrame> {
    std::iter::from_fn(|| player.next_frame().expect("a good file")).collect()
}

#[test]
fn every_format_is_known_by_its_content() {
    for (name, codec, frames, ticks) in [
        ("vp8.ivf", Codec::Vp8, 15, 6000),
        ("vp9.ivf", Codec::Vp9, 15, 6000),
        ("av1.ivf", Codec::Av1, 15, 6000),
        ("h264.h264", Codec::H264, 15, 6000),
        ("h265.h265", Codec::H265, 15, 6000),
        ("opus.ogg", Codec::Opus, 51, 960),
        ("mulaw.wav", Codec::Pcmu, 10, 160),
        ("alaw.wav", Codec::Pcma, 10, 160),
        ("pcm.wav", Codec::Pcmu, 10, 160),
        ("g722.wav", Codec::G722, 10, 160),
    ] {
        let mut player = open(name, PlayerOptions::default());
        assert_eq!(
            (player.codec(), player.clock_rate()),
            (codec, codec.clock_rate()),
            "{name}"
        );
        let played = all(&mut player);
        assert_eq!(played.len(), frames, "{name}");
        for (frame, index) in played.iter().zip(0..) {
            assert_eq!(frame.timestamp, ticks * index, "{name}");
            assert!((frame.duration.as_secs_f64() - f64::from(ticks) / f64::from(codec.clock_rate())).abs() < 1e-6);
        }
        let keyframes = played.iter().filter(|frame| frame.keyframe).count();
        assert!(
            played[0].keyframe && (keyframes == 2 || keyframes == frames),
            "{name}: {keyframes} keyframes"
        );
    }
}

#[test]
fn a_repeated_file_goes_on_where_it_ended() {
    for (name, frames) in [("vp8.ivf", 15), ("h264.h264", 15), ("opus.ogg", 51), ("alaw.wav", 10)] {
        let once = all(&mut open(name, PlayerOptions::default()));
        let mut player = open(
            name,
            PlayerOptions {
                repeat: true,
                ..PlayerOptions::default()
            },
        );
        let twice: Vec<_> = (0..2 * frames)
            .map(|_| player.next_frame().expect(name).expect(name))
            .collect();
        let ticks = once[1].timestamp;
        for (index, frame) in twice.iter().enumerate() {
            assert_eq!(frame.data, once[index % frames].data);
            assert_eq!(frame.timestamp, ticks * index as u32, "{name}");
        }
        assert_eq!(twice[frames].time, once[frames - 1].time + once[frames - 1].duration);
    }
}

/// The same tone, once compressed here and once by ffmpeg, which decides otherwise where a sample lies between two values.
#[test]
fn pcm_is_sent_as_mulaw() {
    let sound = |name| -> Vec<u8> {
        let frames = all(&mut open(name, PlayerOptions::default()));
        frames.iter().flat_map(|frame| frame.data.to_vec()).collect()
    };
    let (ours, theirs) = (sound("pcm.wav"), sound("mulaw.wav"));
    assert!(
        ours.iter()
            .zip(&theirs)
            .all(|(ours, theirs)| ours.abs_diff(*theirs) <= 2),
        "another curve"
    );
    let same = ours.iter().zip(&theirs).filter(|(ours, theirs)| ours == theirs).count();
    assert!(
        same * 10 >= ours.len() * 8,
        "{same} of {} samples are the same",
        ours.len()
    );
}

#[test]
fn a_frame_rate_that_is_given_wins() {
    let options = PlayerOptions {
        frame_rate: Some(FrameRate::new(50)),
        ..PlayerOptions::default()
    };
    let frames = all(&mut open("h264.h264", options));
    assert!(frames.iter().all(|frame| frame.duration == Duration::from_millis(20)));
}

#[test]
fn what_cannot_be_sent_says_what_to_do() {
    let refused = |bytes: &[u8]| {
        of_bytes(bytes, PlayerOptions::default())
            .map(drop)
            .expect_err("no such file")
            .to_string()
    };
    assert!(refused(b"").contains("ffmpeg"));
    assert!(refused(b"\x1aE\xdf\xa3 Matroska").starts_with("neither IVF, Ogg, WAV"));

    let format = wav::Format {
        sample_rate: 44_100,
        ..wav::Format::PCMU
    };
    let file = wav::Writer::new(Vec::new(), format)
        .and_then(wav::Writer::finish)
        .expect("memory");
    assert!(refused(&file).contains("-ar 8000 -ac 1"));

    let head = ogg_opus::Head {
        channels: 6,
        mapping_family: 1,
        mapping_table: vec![4, 2, 0, 4, 1, 2, 3, 5],
        ..Default::default()
    };
    let file =
        ogg_opus::Writer::new(Vec::new(), 1, &head, &ogg_opus::Tags::default()).and_then(ogg_opus::Writer::finish);
    assert!(refused(&file.expect("memory")).contains("more than two channels"));

    assert_eq!(
        refused(b"DKIF\x01\0"),
        "the file ends at byte 6, within an IVF file header of 32 bytes"
    );
}

/// Nothing to repeat.
#[test]
fn an_empty_file_ends_even_if_repeated() {
    let file = wav::Writer::new(Cursor::new(Vec::new()), wav::Format::PCMU).and_then(wav::Writer::finish_header);
    let mut player = of_bytes(
        file.expect("memory").get_ref(),
        PlayerOptions {
            repeat: true,
            ..Default::default()
        },
    )
    .expect("WAV");
    assert_eq!(player.next_frame().expect("no fault"), None);
}

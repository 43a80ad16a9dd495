//! Header extensions of video that tell of frames and layers, as a browser writes them.

use super::{film::Clip, rust_receives, tracks};
use crate::session::{Session, Side, within};
use peerline::{Configuration, ExtensionKind, HeaderExtensionSupport, IncomingPacket, ReceiveMode, RtpTransceiver};
use peerline_browser_tests::Browser;
use peerline_rtp::extension::dependency_descriptor::DescriptorReader;
use peerline_rtp::extension::{Extension, Rotation, VideoLayersAllocation, VideoOrientation};

crate::scenarios! {
    ; only chromium: frames_and_layers_are_described
}

/// A page draws pictures of this size.
const SIZE: (u16, u16) = (160, 96);

async fn frames_and_layers_are_described(browser: Browser) {
    let all = HeaderExtensionSupport::defaults();
    let offered = all.iter().cloned().map(|support| HeaderExtensionSupport {
        offered: true,
        ..support
    });
    let configuration = Configuration {
        header_extensions: offered.collect(),
        ..Configuration::default()
    };
    let mut session = Session::open_configured(browser, "media.html", configuration).await;
    session.page.eval("media.start()");
    let clips = [Clip::VP8, Clip::VP9, Clip::AV1];
    let transceivers: Vec<RtpTransceiver> = clips.iter().map(|clip| rust_receives(&session, *clip)).collect();
    for transceiver in &transceivers {
        transceiver.receiver().set_mode(ReceiveMode::Packets);
    }
    session.connect_with(Side::Rust, "media.answerWithTracks", |_| ()).await;
    for (track, clip) in tracks(&mut session, clips.len()).await.iter().zip(clips) {
        let mut packets = Vec::new();
        within("packets of the page", async {
            while packets.len() < 60 {
                packets.push(track.receiver.recv_packet().await.expect("the track goes on"));
            }
        })
        .await;
        assert_described(clip.mime_type, &packets);
    }
}

fn assert_described(codec: &str, packets: &[IncomingPacket]) {
    let values = |kind| packets.iter().filter_map(move |packet| packet.extensions.get(kind));
    // Each packet tells of its frame (AV1's RTP payload format, Appendix A), which is whole: nothing was lost.
    let mut reader = DescriptorReader::default();
    let mut before: Option<(u32, u16)> = None;
    for packet in packets {
        let value = packet.extensions.get(ExtensionKind::DependencyDescriptor);
        let frame = reader
            .read(value.expect("each packet has it"))
            .expect("it is well-formed");
        let number = frame.frame_number.0;
        if let Some((timestamp, last)) = before {
            let is_next = packet.timestamp != timestamp;
            assert_eq!(frame.start_of_frame, is_next, "{codec}: {frame:?}");
            assert_eq!(number, last.wrapping_add(is_next.into()), "{codec}: {frame:?}");
        } else {
            assert!(frame.start_of_frame, "{codec}: {frame:?}");
            let sizes: Vec<_> = reader
                .structure()
                .expect("the first frame brings one")
                .resolutions_minus_one
                .to_vec();
            assert_eq!(sizes, [(SIZE.0 - 1, SIZE.1 - 1)], "{codec}");
        }
        assert_eq!(frame.end_of_frame, packet.marker, "{codec}: {frame:?}");
        assert_eq!(frame.frame.spatial_id, 0);
        before = Some((packet.timestamp, number));
    }
    let orientations: Vec<_> = values(ExtensionKind::VideoOrientation).collect();
    assert!(!orientations.is_empty(), "{codec}");
    for value in orientations {
        let upright = VideoOrientation {
            back_facing: false,
            flipped: false,
            rotation: Rotation::None,
        };
        assert_eq!(VideoOrientation::parse(value), Ok(upright), "{codec}");
    }
    let allocation = values(ExtensionKind::VideoLayersAllocation)
        .next()
        .expect("one at least");
    let allocation = VideoLayersAllocation::parse(allocation).expect("it is well-formed");
    let [layer] = &allocation.layers[..] else {
        panic!("{codec}: {allocation:?}")
    };
    let size = layer
        .resolution
        .map(|size| (size.width_minus_one + 1, size.height_minus_one + 1));
    assert_eq!(
        (allocation.stream_index, layer.spatial_id, size),
        (0, 0, Some(SIZE)),
        "{codec}"
    );
    assert!(
        layer.target_kbps.iter().all(|kbps| *kbps > 0),
        "{codec}: {allocation:?}"
    );
}

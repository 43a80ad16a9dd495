//! A page sends its pictures in three sizes.

use super::{open, stats, track_of};
use crate::session::{Side, within};
use peerline::{MediaKind, StatsKind};
use peerline_browser_tests::Browser;
use serde_json::json;
use std::collections::BTreeMap;

crate::scenarios! {
    three_layers_from_a_page
}

const LAYERS: [(&str, u32); 3] = [("q", 4), ("h", 2), ("f", 1)];

async fn three_layers_from_a_page(browser: Browser) {
    let mut session = open(browser).await;
    let encodings =
        LAYERS.map(|(rid, by)| json!({"rid": rid, "scaleResolutionDownBy": by, "maxBitrate": 1_200_000 / by}));
    let arguments = [
        json!("video"),
        json!("sendonly"),
        json!(["VP8"]),
        json!(encodings),
        json!(8),
    ];
    session.page.call("media.add", &arguments);
    session.connect(Side::Page).await;
    let track = track_of(&mut session, MediaKind::Video).await;

    let mut layers: BTreeMap<String, Vec<(u16, u16)>> = BTreeMap::new();
    within("ten frames and a keyframe of each layer", async {
        while layers.len() < 3 || layers.values().any(|sizes| sizes.len() < 10) {
            let frame = track.receiver.recv_frame().await.expect("the track goes on");
            let rid = frame.rid.as_deref().expect("each frame is of a layer");
            match (layers.get_mut(rid), frame.keyframe) {
                (None, false) => panic!("{rid} does not begin with a keyframe"),
                (None, true) => {
                    layers.insert(rid.to_owned(), vec![size(&frame.payload)]);
                }
                (Some(sizes), keyframe) => {
                    let size = if keyframe {
                        size(&frame.payload)
                    } else {
                        sizes[sizes.len() - 1]
                    };
                    sizes.push(size);
                }
            }
        }
    })
    .await;
    for (rid, by) in LAYERS {
        let expected = (1280 / by as u16, 768 / by as u16);
        assert_eq!(layers[rid][9], expected, "{rid}: {layers:?}");
    }

    // Browsers then make one of each layer.
    track.receiver.request_keyframe(Some("h"));
    within("a keyframe of the layer", async {
        loop {
            let frame = track.receiver.recv_frame().await.expect("the track goes on");
            if frame.keyframe && frame.rid.as_deref() == Some("h") {
                return;
            }
        }
    })
    .await;
    let inbound = stats(&session, |kind| match kind {
        StatsKind::InboundRtp(inbound) => Some(inbound.ssrc),
        _ => None,
    });
    assert_eq!(inbound.len(), 3, "{inbound:?}");
}

/// Width and height of a keyframe of VP8 (RFC 6386 §9.1).
fn size(frame: &[u8]) -> (u16, u16) {
    let side = |at: usize| u16::from_le_bytes([frame[at], frame[at + 1]]) & 0x3fff;
    (side(6), side(8))
}

//! Peers that only receive.

use std::time::Duration;

use peerline::{MediaKind, PeerConnection, RtpReceiver, SessionDescription, TransceiverDirection, TransceiverInit};

use super::{SDP, Server, complete_offer, peer, soon};

pub(crate) fn receive(pc: &PeerConnection, kind: MediaKind) -> RtpReceiver {
    let init = TransceiverInit {
        direction: TransceiverDirection::RecvOnly,
        ..TransceiverInit::default()
    };
    pc.add_transceiver(kind, init).expect("a transceiver").receiver()
}

/// A peer that plays `stream`, as soon as there is one; its sound and picture.
pub(crate) async fn view(server: &Server, stream: &str) -> (PeerConnection, [RtpReceiver; 2]) {
    let pc = peer().await;
    let receivers = [MediaKind::Audio, MediaKind::Video].map(|kind| receive(&pc, kind));
    let offer = complete_offer(&pc).await;
    let path = format!("/whep/{stream}");
    let reply = soon("a publisher", async {
        loop {
            let reply = server.request("POST", &path, &[("Content-Type", SDP)], &offer).await;
            if reply.status != 409 {
                return reply;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(reply.status, 201, "{reply:?}");
    pc.set_remote_description(SessionDescription::answer(reply.body))
        .expect("an answer");
    (pc, receivers)
}

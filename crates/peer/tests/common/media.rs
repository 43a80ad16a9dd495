//! Sources, and connections that send and receive them.

use std::time::Duration;

use peerline::{
    Bytes, IncomingFrame, MediaFrame, MediaKind, PeerConnection, PeerEvent, RtpReceiver, TrackEvent, TrackSource,
};

use super::{negotiate, noise, peer, soon};

/// A VP8 frame with its number in it; every thirtieth is a keyframe (RFC 6386 §9.1).
pub(crate) fn picture(number: u32) -> Bytes {
    let mut frame = vec![
        u8::from(!number.is_multiple_of(30)) | 0x10,
        0,
        0,
        0x9d,
        0x01,
        0x2a,
        64,
        0,
        64,
        0,
    ];
    frame.extend(number.to_be_bytes());
    frame.extend(noise(3000, number.into()));
    frame.into()
}

pub(crate) fn sound(number: u32) -> Bytes {
    noise(80, number.into()).into()
}

pub(crate) fn camera() -> TrackSource {
    TrackSource::new(MediaKind::Video).with_mime_type("video/VP8")
}

pub(crate) fn microphone() -> TrackSource {
    TrackSource::new(MediaKind::Audio).with_mime_type("audio/opus")
}

pub(crate) async fn next_track(peer: &PeerConnection) -> TrackEvent {
    let track = async {
        loop {
            match peer.next_event().await.expect("the connection lives") {
                PeerEvent::Track(track) => return track,
                _ => continue,
            }
        }
    };
    soon("a track from the other peer", track).await
}

/// Waits until somebody listens.
pub(crate) async fn listened_to(source: &TrackSource) {
    let listened_to = async {
        while source.demand().senders == 0 {
            source.next_event().await;
        }
    };
    soon("somebody listens", listened_to).await;
}

/// Sends frames until `received` of them have come, and gives those.
pub(crate) async fn play(
    source: &TrackSource,
    receiver: &RtpReceiver,
    frame: impl Fn(u32) -> Bytes,
    interval: Duration,
    count: u32,
) -> Vec<IncomingFrame> {
    let send = async {
        for number in 0..count {
            let time = source.clock().elapsed().max(interval * number);
            assert_eq!(source.write_frame(&MediaFrame::at(time, frame(number))), 1);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let receive = async {
        let mut frames = Vec::new();
        while frames.len() < count as usize {
            frames.push(receiver.recv_frame().await.expect("the track goes on"));
        }
        frames
    };
    soon("all frames", async { tokio::join!(send, receive) }).await.1
}

/// Alice sends a camera, bob receives it.
pub(crate) async fn watch(camera: &TrackSource) -> (PeerConnection, PeerConnection, TrackEvent) {
    let (alice, bob) = (peer().await, peer().await);
    alice.add_track(&camera.track(), &["home"]).unwrap();
    negotiate(&alice, &bob).await;
    let track = next_track(&bob).await;
    listened_to(camera).await;
    (alice, bob, track)
}

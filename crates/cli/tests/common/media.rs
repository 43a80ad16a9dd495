//! Sources of audio and video that need no encoder, and what is expected of a receiver.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use peerline::{Bytes, LocalTrack, MediaFrame, MediaKind, RtpReceiver, SourceEvent, TrackSource};

use super::soon;

/// A film of numbered VP8 pictures, with a keyframe when one is asked for. Dropping it ends it.
pub(crate) struct Camera {
    source: TrackSource,
    requests: Arc<AtomicU32>,
    task: tokio::task::JoinHandle<()>,
}

impl Camera {
    pub(crate) fn start() -> Self {
        let source = TrackSource::new(MediaKind::Video).with_mime_type("video/VP8");
        let requests = Arc::new(AtomicU32::new(0));
        let task = tokio::spawn({
            let (source, requests) = (source.clone(), Arc::clone(&requests));
            async move {
                let mut wanted = true;
                let mut ticks = tokio::time::interval(Duration::from_millis(20));
                ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
                for number in 0u32.. {
                    tokio::select! {
                        _ = ticks.tick() => {}
                        event = source.next_event() => if let SourceEvent::KeyframeRequest { .. } = event {
                            requests.fetch_add(1, Ordering::Relaxed);
                            wanted = true;
                            continue;
                        },
                    }
                    let sent = source.write_frame(&MediaFrame::new(picture(number, wanted)));
                    wanted &= sent == 0;
                }
            }
        });
        Self { source, requests, task }
    }

    pub(crate) fn track(&self) -> LocalTrack {
        self.source.track()
    }

    /// How often it was asked for a keyframe.
    pub(crate) fn requests(&self) -> u32 {
        self.requests.load(Ordering::Relaxed)
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Numbered packets of what could be Opus. Dropping it ends it.
pub(crate) struct Microphone {
    source: TrackSource,
    task: tokio::task::JoinHandle<()>,
}

impl Microphone {
    pub(crate) fn start() -> Self {
        let source = TrackSource::new(MediaKind::Audio).with_mime_type("audio/opus");
        let task = tokio::spawn({
            let source = source.clone();
            async move {
                let mut ticks = tokio::time::interval(Duration::from_millis(20));
                ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
                for number in 0u32.. {
                    ticks.tick().await;
                    let mut packet = vec![0xf8];
                    packet.extend(number.to_be_bytes());
                    source.write_frame(&MediaFrame::new(packet));
                }
            }
        });
        Self { source, task }
    }

    pub(crate) fn track(&self) -> LocalTrack {
        self.source.track()
    }
}

impl Drop for Microphone {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A VP8 frame (RFC 6386 §9.1) of three packets, with its number at the end.
fn picture(number: u32, keyframe: bool) -> Bytes {
    let mut frame = vec![u8::from(!keyframe) | 0x10, 0, 0, 0x9d, 0x01, 0x2a, 64, 0, 64, 0];
    frame.resize(2500, number as u8);
    frame.extend(number.to_be_bytes());
    frame.into()
}

/// Receives frames: they are whole and in order. Of video the first is a keyframe, once those have passed that were under way when
/// this began to look.
pub(crate) async fn expect_frames(receiver: &RtpReceiver, count: usize) -> Vec<peerline::IncomingFrame> {
    let mut frames: Vec<peerline::IncomingFrame> = Vec::new();
    let mut passed = 0;
    while frames.len() < count {
        let what = format!("frame {} of {}", frames.len(), receiver.kind());
        let frame = soon(&what, receiver.recv_frame()).await.expect("the track goes on");
        let number = |frame: &peerline::IncomingFrame| {
            let (_, last) = frame.payload.split_last_chunk().expect("a number");
            u32::from_be_bytes(*last)
        };
        if receiver.kind() == MediaKind::Video {
            assert_eq!(frame.payload.len(), 2504, "whole");
        }
        match frames.last() {
            None if !frame.keyframe => {
                passed += 1;
                assert!(passed < 500, "decoding can begin");
                continue;
            }
            None => {}
            Some(before) => {
                assert!(number(&frame) > number(before), "in order");
                let later = frame.timestamp.wrapping_sub(before.timestamp);
                assert!((1..90_000 * 20).contains(&later), "{later} ticks later");
            }
        }
        frames.push(frame);
    }
    frames
}

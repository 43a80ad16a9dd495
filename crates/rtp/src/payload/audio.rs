//! Audio whose frames travel one to a packet, as they are: PCMU, PCMA and G.722 (RFC 3551 §4.5.14, §4.5.2), and Opus (RFC 7587).

use super::{Depacketizer, Detail, Frame, FrameError, Packetized, Packetizer, Payload, PayloadError};
use bytes::Bytes;
use std::collections::VecDeque;

/// Frames to payloads. A frame is never split: the parts would need timestamps of their own.
#[derive(Clone, Copy, Debug)]
pub struct AudioPacketizer {
    talkspurt: bool,
}

impl AudioPacketizer {
    /// The first frame begins a talkspurt.
    #[must_use]
    pub fn new() -> Self {
        Self { talkspurt: true }
    }

    /// The next frame is the first after silence in which nothing was sent: its packet gets the marker bit (RFC 3551 §4.1).
    pub fn begin_talkspurt(&mut self) {
        self.talkspurt = true;
    }
}

impl Default for AudioPacketizer {
    fn default() -> Self {
        Self::new()
    }
}

impl Packetizer for AudioPacketizer {
    fn packetize(
        &mut self,
        frame: &Bytes,
        max_payload: usize,
        out: &mut VecDeque<Payload>,
    ) -> Result<Packetized, FrameError> {
        if frame.is_empty() {
            return Err(FrameError::Empty);
        }
        if frame.len() > max_payload {
            return Err(FrameError::TooLarge);
        }
        let marker = std::mem::take(&mut self.talkspurt);
        out.push_back(Payload::from(frame.clone()).with_marker(marker));
        Ok(Packetized {
            payloads: 1,
            keyframe: true,
        })
    }
}

/// Payloads to frames: each is one.
#[derive(Clone, Copy, Debug, Default)]
pub struct AudioDepacketizer {
    follows_gap: bool,
}

impl AudioDepacketizer {
    /// Before the first packet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Depacketizer for AudioDepacketizer {
    fn push(
        &mut self,
        payload: Bytes,
        timestamp: u32,
        marker: bool,
        out: &mut VecDeque<Frame>,
    ) -> Result<(), PayloadError> {
        if !payload.is_empty() {
            out.push_back(Frame {
                data: payload,
                timestamp,
                keyframe: true,
                follows_gap: std::mem::take(&mut self.follows_gap),
                detail: Detail::Audio { talkspurt: marker },
            });
        }
        Ok(())
    }

    fn gap(&mut self) {
        self.follows_gap = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_a_payload() {
        let (mut payloads, mut frames) = (VecDeque::new(), VecDeque::new());
        let (mut packetizer, mut depacketizer) = (AudioPacketizer::new(), AudioDepacketizer::new());
        let sound = Bytes::from(vec![0xff; 160]);
        assert_eq!(
            packetizer.packetize(&sound, 159, &mut payloads),
            Err(FrameError::TooLarge)
        );
        assert_eq!(
            packetizer.packetize(&Bytes::new(), 159, &mut payloads),
            Err(FrameError::Empty)
        );
        for _ in 0..2 {
            packetizer.packetize(&sound, 160, &mut payloads).unwrap();
        }
        packetizer.begin_talkspurt();
        packetizer.packetize(&sound, 160, &mut payloads).unwrap();
        assert_eq!(
            payloads.iter().map(Payload::marker).collect::<Vec<_>>(),
            [true, false, true]
        );

        depacketizer.gap();
        for (payload, timestamp) in payloads.iter().zip([0, 160, 8000]) {
            depacketizer
                .push(payload.to_bytes(), timestamp, payload.marker(), &mut frames)
                .unwrap();
        }
        depacketizer.push(Bytes::new(), 8160, false, &mut frames).unwrap();
        assert_eq!(frames.len(), 3);
        assert!(
            frames.iter().all(|frame| frame.data.as_ptr() == sound.as_ptr()),
            "copied"
        );
        assert_eq!(
            frames.iter().map(|frame| frame.follows_gap).collect::<Vec<_>>(),
            [true, false, false]
        );
        assert_eq!(frames[2].detail, Detail::Audio { talkspurt: true });
    }
}

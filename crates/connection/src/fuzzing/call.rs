//! A call in which the peer itself makes things up: its packets are authentic, and say what the fuzzer wants.

use std::time::Duration;

use peerline_wire::Reader;

use super::pair::Pair;
use crate::{ConnectionState, OutgoingFrame, ReceiveMode, TransceiverId};

/// Each step is a byte that says what to do, and a vector with its length in 16 bits.
///
/// Whatever the media are, the connection stays, and a message still arrives in the end.
pub fn call(bytes: &[u8]) {
    let mut pair = Pair::in_call();
    let mut stream = Stream::default();
    let ids: Vec<TransceiverId> = pair.bob.transceivers().map(|own| own.id()).collect();
    let mut input = Reader::new(bytes);
    for _ in 0..96 {
        let (Ok(kind), Ok(mut step)) = (input.u8(), input.length_u16()) else {
            break;
        };
        let step = step.rest();
        let first = step.first().copied().unwrap_or_default();
        let id = ids[usize::from(first) % ids.len()];
        match kind % 8 {
            0..=2 => {
                if let Some(packet) = stream.packet(&pair, step) {
                    pair.deliver_protected(packet, false);
                }
            }
            3 => pair.deliver_protected(step.to_vec(), true),
            4 => pair.advance(Duration::from_millis(step.len() as u64 * 8)),
            5 | 6 => {
                let frame = OutgoingFrame {
                    payload: step.to_vec().into(),
                    timestamp: u32::from(first) * 960,
                    ..OutgoingFrame::default()
                };
                let _ = pair.bob.send_frame(pair.now, id, frame);
            }
            _ => {
                let modes = [ReceiveMode::Frames, ReceiveMode::Packets, ReceiveMode::Nothing];
                match step.get(1).map(|what| what % 4) {
                    Some(0) => pair.bob.request_keyframe(pair.now, id, None),
                    Some(1) => pair.bob.set_max_receive_bitrate(pair.now, Some(u64::from(first) << 10)),
                    Some(2) => pair.bob.set_desired_bitrate(id, Some(u64::from(first) << 14)),
                    _ => pair.bob.set_receive_mode(id, modes[step.len() % modes.len()]),
                }
            }
        }
        pair.exchange();
        for id in &ids {
            while pair.bob.recv_frame(*id).is_some() {}
            while pair.bob.recv_packet(*id).is_some() {}
        }
    }
    drop(pair.bob.stats(pair.now));
    assert_eq!(
        pair.bob.connection_state(),
        ConnectionState::Connected,
        "media end nothing"
    );
    assert!(pair.still_works(), "a message arrives after all that came as media");
}

/// Where the made-up packets are, in numbers and in time.
#[derive(Default)]
struct Stream {
    number: u16,
    timestamp: u32,
}

impl Stream {
    /// A packet with a header that fits what was agreed on more often than not: which of the payload types and of the streams, how far on
    /// it is, an extension of so many words, and the payload.
    fn packet(&mut self, pair: &Pair, step: &[u8]) -> Option<Vec<u8>> {
        let (&[flags, format, source, ahead, later], rest) = step.split_first_chunk()?;
        self.number = self.number.wrapping_add_signed(i16::from(ahead as i8));
        self.timestamp = self.timestamp.wrapping_add(u32::from(later) * 960);
        let agreed = pair.bob.agreed.iter().filter_map(|section| section.receive.as_ref());
        let formats: Vec<u8> = agreed
            .flat_map(|receive| &receive.codecs)
            .map(|codec| codec.payload_type)
            .collect();
        let format = *formats.get(usize::from(format) % formats.len().max(1))?;
        let sources = sources(pair);
        let source = sources
            .get(usize::from(source) % (sources.len() + 1))
            .copied()
            .unwrap_or(7);
        let extension = rest.get(..usize::from(flags & 0x0f) * 4).unwrap_or_default();
        let mut packet = vec![0x80 | flags & 0x20, format | flags & 0x80];
        if !extension.is_empty() {
            packet[0] |= 0x10;
        }
        packet.extend_from_slice(&self.number.to_be_bytes());
        packet.extend_from_slice(&self.timestamp.to_be_bytes());
        packet.extend_from_slice(&source.to_be_bytes());
        if !extension.is_empty() {
            // One-byte and two-byte elements (RFC 8285 §4.2 and §4.3).
            packet.extend_from_slice(if flags & 0x40 == 0 {
                &[0xbe, 0xde, 0]
            } else {
                &[0x10, 0x00, 0]
            });
            packet.push(flags & 0x0f);
            packet.extend_from_slice(extension);
        }
        packet.extend_from_slice(&rest[extension.len()..]);
        Some(packet)
    }
}

/// The streams that Alice has described.
fn sources(pair: &Pair) -> Vec<u32> {
    let sdp = pair
        .alice
        .local_description()
        .map(|local| local.sdp)
        .unwrap_or_default();
    let named = sdp
        .lines()
        .filter_map(|line| line.strip_prefix("a=ssrc:")?.split(' ').next()?.parse().ok());
    let mut sources: Vec<u32> = named.collect();
    sources.dedup();
    sources
}

//! Redundant audio data (RFC 2198): each packet repeats what the packets before it carried, so that a loss costs nothing.
//!
//! A payload is a row of block headers and then the blocks, oldest first, the new one (the primary) last. Video that comes
//! as RED, for the sake of forward error correction, is a primary block alone.

use super::{Payload, PayloadError};
use crate::PayloadType;
use bytes::Bytes;
use peerline_wire::{Reader, Serial32};
use std::collections::VecDeque;

/// What one payload carries of one packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Of the payload inside.
    pub payload_type: PayloadType,
    /// True for the last one, which is the packet's own; the others repeat.
    pub primary: bool,
    /// How much earlier than the packet's its timestamp is, at most 16383; the primary block's is 0.
    pub timestamp_offset: u16,
    /// The payload inside.
    pub data: Bytes,
}

/// F: another block header follows.
const F: u8 = 0x80;
const MAX_OFFSET: u32 = (1 << 14) - 1;
const MAX_LENGTH: usize = (1 << 10) - 1;

/// The blocks of a payload, oldest first; the last is the primary one.
///
/// ```text
///  0                   1                    2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3  4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |F|   block PT  |  timestamp offset         |   block length    |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
///
/// # Errors
/// [`PayloadError::Truncated`] if headers or blocks reach past the end.
pub fn blocks(payload: &Bytes) -> Result<impl Iterator<Item = Block>, PayloadError> {
    let mut r = Reader::new(payload);
    let (mut redundant, mut len) = (0, 0);
    while r.u8()? & F != 0 {
        len += usize::from(r.u16()? & 0x03) << 8 | usize::from(r.u8()?);
        redundant += 1;
    }
    if len > r.remaining() {
        return Err(PayloadError::Truncated);
    }
    let (payload, mut header, mut at) = (payload.clone(), 0, payload.len() - r.remaining());
    let mut left = redundant + 1;
    Ok(std::iter::from_fn(move || {
        left = usize::checked_sub(left, 1)?;
        let payload_type = PayloadType(payload[header] & !F);
        if left == 0 {
            return Some(Block {
                payload_type,
                primary: true,
                timestamp_offset: 0,
                data: payload.slice(at..),
            });
        }
        let [a, b, c] = [payload[header + 1], payload[header + 2], payload[header + 3]];
        let len = usize::from(b & 0x03) << 8 | usize::from(c);
        let data = payload.slice(at..at + len);
        header += 4;
        at += len;
        Some(Block {
            payload_type,
            primary: false,
            timestamp_offset: u16::from_be_bytes([a, b]) >> 2,
            data,
        })
    }))
}

/// Payloads to payloads that repeat those before.
#[derive(Clone, Debug)]
pub struct RedPacketizer {
    payload_type: PayloadType,
    generations: usize,
    /// What was sent, newest last, with its timestamps.
    sent: VecDeque<(u32, Bytes)>,
}

impl RedPacketizer {
    /// Repeats up to `generations` payloads in each packet; what they carry has this payload type.
    #[must_use]
    pub fn new(payload_type: PayloadType, generations: usize) -> Self {
        Self {
            payload_type,
            generations,
            sent: VecDeque::new(),
        }
    }

    /// The payload for a packet with this timestamp: of `payload` and as many of those before as are recent and short
    /// enough, and leave it at `max_payload` bytes at most, newest first. (With none of them it is a byte longer than
    /// `payload`.)
    pub fn wrap(&mut self, payload: &Bytes, timestamp: u32, max_payload: usize) -> Payload {
        let mut len = 1 + payload.len();
        let mut fits = |(sent, data): &&(u32, Bytes)| {
            let fits = (1..=MAX_OFFSET).contains(&timestamp.wrapping_sub(*sent))
                && data.len() <= MAX_LENGTH
                && len + 4 + data.len() <= max_payload;
            len += if fits { 4 + data.len() } else { 0 };
            fits
        };
        let chosen: Vec<_> = self.sent.iter().rev().take_while(|sent| fits(sent)).collect();
        let headers: Vec<_> = chosen
            .iter()
            .map(|(sent, data)| {
                // Both fit, by the choice.
                let low = timestamp.wrapping_sub(*sent) << 10 | data.len() as u32;
                (u32::from(self.payload_type.0 | F) << 24 | low).to_be_bytes()
            })
            .collect();
        let primary = [self.payload_type.0 & !F];
        let mut parts: Vec<&[u8]> = headers.iter().rev().map(|header| &header[..]).collect();
        parts.push(&primary);
        parts.extend(chosen.iter().rev().map(|(_, data)| &data[..]));
        let wrapped = Payload::gather(&parts, payload.clone());

        self.sent.push_back((timestamp, payload.clone()));
        if self.sent.len() > self.generations {
            self.sent.pop_front();
        }
        wrapped
    }
}

/// Payloads with repetitions to the payloads inside, each once.
#[derive(Clone, Debug, Default)]
pub struct RedDepacketizer {
    /// The timestamp of the newest payload given out.
    newest: Option<Serial32>,
}

/// A payload that was inside another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Its own type.
    pub payload_type: PayloadType,
    /// Its own timestamp.
    pub timestamp: u32,
    /// The payload.
    pub data: Bytes,
    /// True if its own packet was lost.
    pub redundant: bool,
}

impl RedDepacketizer {
    /// Before the first packet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the payload of the next packet in sequence, and appends to `out` what is new in it, in order: what lost
    /// packets carried, if it is repeated here, and what this one carries.
    ///
    /// # Errors
    /// [`PayloadError::Truncated`] if headers or blocks reach past the end; nothing is appended.
    pub fn push(&mut self, payload: &Bytes, timestamp: u32, out: &mut VecDeque<Recovered>) -> Result<(), PayloadError> {
        for Block {
            payload_type,
            primary,
            timestamp_offset,
            data,
        } in blocks(payload)?
        {
            let at = Serial32(timestamp).sub(timestamp_offset.into());
            // Before the first packet nothing is missing; what is not newer has been given out, and what is of the packet's
            // own time says the same as the primary block.
            let missing = timestamp_offset != 0 && self.newest.is_some_and(|newest| newest.precedes(at));
            if !primary && (!missing || data.is_empty()) {
                continue;
            }
            self.newest = Some(at);
            out.push_back(Recovered {
                payload_type,
                timestamp: at.0,
                data,
                redundant: !primary,
            });
        }
        Ok(())
    }

    /// True if this payload goes on from what was given out last: it repeats that, or begins as much later as its own blocks are
    /// apart. Whatever packets are missing in between, they carried nothing (as those do that a sender tries the path with).
    /// Ask before [`push`](Self::push).
    #[must_use]
    pub fn goes_on_in(&self, payload: &Bytes, timestamp: u32) -> bool {
        let Some((newest, blocks)) = self.newest.zip(blocks(payload).ok()) else {
            return false;
        };
        let mut times = blocks.map(|block| Serial32(timestamp).sub(block.timestamp_offset.into()));
        let (Some(first), Some(second)) = (times.next(), times.next()) else {
            return false;
        };
        !newest.precedes(first) || first.0.wrapping_sub(newest.0) == second.0.wrapping_sub(first.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPUS: PayloadType = PayloadType(111);

    fn frame(byte: u8, len: usize) -> Bytes {
        vec![byte; len].into()
    }

    #[test]
    fn packets_that_carried_nothing_are_not_missed() {
        let mut red = RedPacketizer::new(OPUS, 1);
        let payloads =
            [0, 1, 2, 3, 4].map(|number| red.wrap(&frame(number, 10), u32::from(number) * 960, 100).to_bytes());
        let mut depacketizer = RedDepacketizer::new();
        assert!(!depacketizer.goes_on_in(&payloads[1], 960), "nothing was before it");
        let mut out = VecDeque::new();
        depacketizer.push(&payloads[1], 960, &mut out).unwrap();
        assert!(depacketizer.goes_on_in(&payloads[2], 1920));
        assert!(depacketizer.goes_on_in(&payloads[3], 2880), "2 is in it, as far from 1");
        assert!(!depacketizer.goes_on_in(&payloads[4], 3840), "2 is missing");
        assert!(!depacketizer.goes_on_in(&frame(OPUS.0, 1), 1920), "nothing is repeated");
        assert!(!depacketizer.goes_on_in(&Bytes::new(), 1920));
    }

    #[test]
    fn the_bits_are_those_of_the_rfc() {
        let mut red = RedPacketizer::new(OPUS, 1);
        assert_eq!(red.wrap(&frame(1, 3), 960, 100).to_bytes()[..], [111, 1, 1, 1]);
        // F and type; 960 in 14 bits, 3 in 10 bits.
        let second = red.wrap(&frame(2, 2), 1920, 100).to_bytes();
        assert_eq!(second[..], [0x80 | 111, 0x0f, 0x00, 0x03, 111, 1, 1, 1, 2, 2]);
        let read: Vec<_> = blocks(&second).unwrap().collect();
        assert_eq!(
            read[0],
            Block {
                payload_type: OPUS,
                primary: false,
                timestamp_offset: 960,
                data: frame(1, 3)
            }
        );
        assert_eq!(
            read[1],
            Block {
                payload_type: OPUS,
                primary: true,
                timestamp_offset: 0,
                data: frame(2, 2)
            }
        );
        // Only the empty primary block of the shortest payload may reach to nothing.
        for len in 0..8 {
            assert!(blocks(&second.slice(..len)).is_err(), "{len}");
        }
        assert_eq!(blocks(&Bytes::from_static(&[111])).unwrap().count(), 1);
    }

    #[test]
    fn what_is_too_old_or_too_long_is_not_repeated() {
        let mut red = RedPacketizer::new(OPUS, 2);
        red.wrap(&frame(1, 10), 0, 100);
        red.wrap(&frame(2, 10), 960, 100);
        assert_eq!(red.wrap(&frame(3, 10), 1920, 39).len(), 11 + 14 + 14);
        assert_eq!(red.wrap(&frame(4, 10), 2880, 38).len(), 11 + 14);
        assert_eq!(red.wrap(&frame(5, 10), 2880 + 16384, 100).len(), 11);
        red.wrap(&frame(6, 1024), 30_000, 2000);
        assert_eq!(red.wrap(&frame(7, 10), 30_960, 2000).len(), 11);
    }

    #[test]
    fn a_repetition_of_the_same_time_is_not_given_out() {
        let (mut depacketizer, mut out) = (RedDepacketizer::new(), VecDeque::new());
        depacketizer.push(&Bytes::from_static(&[111, 1]), 0, &mut out).unwrap();
        depacketizer
            .push(&Bytes::from_static(&[0x80 | 111, 0, 0, 1, 111, 2, 3]), 960, &mut out)
            .unwrap();
        assert_eq!(
            out.iter().map(|r| (r.data[0], r.redundant)).collect::<Vec<_>>(),
            [(1, false), (3, false)]
        );
    }

    #[test]
    fn losses_are_filled() {
        let mut red = RedPacketizer::new(OPUS, 2);
        let start = u32::MAX - 2000;
        let packets: Vec<_> = (0..12_u8)
            .map(|n| {
                let timestamp = start.wrapping_add(960 * u32::from(n));
                (timestamp, red.wrap(&frame(n, 5), timestamp, 1000).to_bytes())
            })
            .collect();
        let (mut depacketizer, mut out) = (RedDepacketizer::new(), VecDeque::new());
        let received = [1, 3, 6, 7, 11]; // One, two and three lost.
        for index in received {
            let (timestamp, payload) = &packets[index];
            depacketizer.push(payload, *timestamp, &mut out).unwrap();
        }
        let got: Vec<_> = out.iter().map(|r| (r.data[0], r.redundant)).collect();
        let expected = [
            (1, false),
            (2, true),
            (3, false),
            (4, true),
            (5, true),
            (6, false),
            (7, false),
            (9, true),
            (10, true),
            (11, false),
        ];
        assert_eq!(got, expected);
        for recovered in &out {
            assert_eq!(recovered.timestamp, packets[usize::from(recovered.data[0])].0);
        }
    }
}

//! [`Nack`]: packets that are missed (RFC 4585 §6.2.1).

use peerline_wire::{Reader, Serial16};

use super::ParseError;
use super::entries::{Entries, Entry};
use super::frame::{self, PacketType, feedback_format};
use crate::Ssrc;

/// Generic NACK: packets that are missed, each block one and which of the 16 that follow it.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |            PID                |             BLP               |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nack<'a> {
    /// Who misses them.
    pub sender: Ssrc,
    /// Of which stream.
    pub media: Ssrc,
    blocks: Entries<'a, Block>,
}

impl<'a> Nack<'a> {
    pub(super) fn parse(contents: &'a [u8]) -> Result<Self, ParseError> {
        let mut r = Reader::new(contents);
        Ok(Self {
            sender: Ssrc(r.u32()?),
            media: Ssrc(r.u32()?),
            blocks: Entries::new(r.rest()),
        })
    }

    /// What is missed, in the packet's order: up to 17 for each four bytes of the packet, so the caller bounds what it does.
    pub fn lost(&self) -> impl Iterator<Item = Serial16> + Clone + use<'a> {
        self.blocks.iter().flat_map(|Block { pid, blp }| {
            let following = (1..=16).filter(move |i| blp >> (i - 1) & 1 == 1);
            std::iter::once(pid).chain(following.map(move |i| pid.add(i)))
        })
    }

    /// Appends a packet for what is missed; none if nothing is. It is smallest for numbers in ascending order, around the wrap.
    ///
    /// # Panics
    /// If it gets longer than 262,140 bytes, for which it takes 65,534 numbers.
    pub fn write(out: &mut Vec<u8>, sender: Ssrc, media: Ssrc, lost: impl IntoIterator<Item = Serial16>) {
        let mut lost = lost.into_iter();
        let Some(pid) = lost.next() else { return };
        frame::write(out, PacketType::TRANSPORT_FEEDBACK, feedback_format::NACK, |out| {
            sender.write(out);
            media.write(out);
            let mut block = Block { pid, blp: 0 };
            for number in lost {
                match block.pid.distance_to(number) {
                    0 => {}
                    ahead @ 1..=16 => block.blp |= 1 << (ahead - 1),
                    _ => {
                        block.write(out);
                        block = Block { pid: number, blp: 0 };
                    }
                }
            }
            block.write(out);
        });
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Block {
    pid: Serial16,
    blp: u16,
}

impl Entry for Block {
    const LEN: usize = 4;

    fn read(bytes: &[u8]) -> Self {
        Self {
            pid: Serial16(u16::from_be_bytes([bytes[0], bytes[1]])),
            blp: u16::from_be_bytes([bytes[2], bytes[3]]),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.pid.0.to_be_bytes());
        out.extend_from_slice(&self.blp.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtcp::{Packet, packets};

    fn written(lost: &[u16]) -> Vec<u8> {
        let mut out = Vec::new();
        Nack::write(&mut out, Ssrc(1), Ssrc(2), lost.iter().copied().map(Serial16));
        out
    }

    fn read(bytes: &[u8]) -> Vec<u16> {
        let Some(Ok(Packet::Nack(nack))) = packets(bytes).next() else {
            panic!()
        };
        assert_eq!((nack.sender, nack.media), (Ssrc(1), Ssrc(2)));
        nack.lost().map(|number| number.0).collect()
    }

    #[test]
    fn neighbours_share_a_block_around_the_wrap() {
        let lost = [65530, 65535, 0, 10];
        let bytes = written(&lost);
        // 65530 + 5, + 6 and + 16.
        assert_eq!(bytes[12..], [0xff, 0xfa, 0x80, 0x30]);
        assert_eq!(read(&bytes), lost);
        let apart = [65530, 11, 12, 40000];
        assert_eq!(written(&apart).len(), 12 + 3 * 4);
        assert_eq!(read(&written(&apart)), apart);
    }

    #[test]
    fn any_order_is_written() {
        assert_eq!(read(&written(&[5, 5, 4, 6])), [5, 4, 6]);
        assert!(written(&[]).is_empty());
    }

    #[test]
    fn the_blocks_need_both_sources() {
        assert_eq!(
            packets(&[0x81, 205, 0, 1, 0, 0, 0, 1]).next(),
            Some(Err(ParseError::ContentsTruncated))
        );
    }
}

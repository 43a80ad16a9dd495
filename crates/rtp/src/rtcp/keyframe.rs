//! Requests for a picture that can be decoded by itself: [`PictureLossIndication`] (RFC 4585 §6.3.1) and
//! [`FullIntraRequest`] (RFC 5104 §4.3.1).

use peerline_wire::Reader;

use super::ParseError;
use super::entries::{Entries, Entry, u32_at};
use super::frame::{self, PacketType, feedback_format};
use crate::Ssrc;

/// PLI: pictures are lost, and what depends on them cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PictureLossIndication {
    /// Who lost them.
    pub sender: Ssrc,
    /// Of which stream.
    pub media: Ssrc,
}

impl PictureLossIndication {
    pub(super) fn parse(contents: &[u8]) -> Result<Self, ParseError> {
        let mut r = Reader::new(contents);
        Ok(Self {
            sender: Ssrc(r.u32()?),
            media: Ssrc(r.u32()?),
        })
    }

    /// Appends the packet.
    pub fn write(&self, out: &mut Vec<u8>) {
        frame::write(
            out,
            PacketType::PAYLOAD_FEEDBACK,
            feedback_format::PICTURE_LOSS,
            |out| {
                self.sender.write(out);
                self.media.write(out);
            },
        );
    }
}

/// FIR: someone new needs a keyframe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FullIntraRequest<'a> {
    /// Who asks.
    pub sender: Ssrc,
    /// Which streams are asked.
    pub entries: Entries<'a, FirEntry>,
}

/// One stream that a keyframe is asked of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FirEntry {
    /// Which stream.
    pub ssrc: Ssrc,
    /// One more for each new request, the same when it is repeated; it wraps.
    pub sequence_number: u8,
}

impl<'a> FullIntraRequest<'a> {
    pub(super) fn parse(contents: &'a [u8]) -> Result<Self, ParseError> {
        let mut r = Reader::new(contents);
        let sender = Ssrc(r.u32()?);
        // §4.3.1.2: the SSRC of the media source "is not used and SHALL be set to 0".
        r.u32()?;
        Ok(Self {
            sender,
            entries: Entries::new(r.rest()),
        })
    }

    /// Appends a packet.
    ///
    /// # Panics
    /// If it gets longer than 262,140 bytes, for which it takes 32,767 entries.
    pub fn write(out: &mut Vec<u8>, sender: Ssrc, entries: &[FirEntry]) {
        frame::write(
            out,
            PacketType::PAYLOAD_FEEDBACK,
            feedback_format::FULL_INTRA_REQUEST,
            |out| {
                sender.write(out);
                Ssrc(0).write(out);
                entries.iter().for_each(|entry| entry.write(out));
            },
        );
    }
}

impl Entry for FirEntry {
    const LEN: usize = 8;

    fn read(bytes: &[u8]) -> Self {
        Self {
            ssrc: Ssrc(u32_at(bytes, 0)),
            sequence_number: bytes[4],
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        self.ssrc.write(out);
        out.extend_from_slice(&[self.sequence_number, 0, 0, 0]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtcp::{Packet, packets};

    #[test]
    fn both_survive() {
        let pli = PictureLossIndication {
            sender: Ssrc(1),
            media: Ssrc(0xffff_ffff),
        };
        let entries = [(3, 7), (4, 255)].map(|(ssrc, sequence_number)| FirEntry {
            ssrc: Ssrc(ssrc),
            sequence_number,
        });
        let mut out = Vec::new();
        pli.write(&mut out);
        FullIntraRequest::write(&mut out, Ssrc(5), &entries);
        assert_eq!(out[..4], [0x81, 206, 0, 2]);
        let mut read = packets(&out);
        assert_eq!(read.next(), Some(Ok(Packet::PictureLossIndication(pli))));
        let Some(Ok(Packet::FullIntraRequest(fir))) = read.next() else {
            panic!()
        };
        assert_eq!(
            (fir.sender, fir.entries.iter().collect::<Vec<_>>()),
            (Ssrc(5), entries.to_vec())
        );
        assert!(read.next().is_none());
    }
}

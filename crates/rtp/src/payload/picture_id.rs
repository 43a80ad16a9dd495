//! The running number of VP8 and VP9 frames (RFC 7741 §4.2, RFC 9628 §4.2).

use peerline_wire::{Reader, Truncated};

/// A picture id in the width in which it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PictureId {
    /// 0 to 127.
    Short(u8),
    /// 0 to 32767.
    Long(u16),
}

/// "If M is set, the remainder of the PictureID field MUST contain 15 bits, else it MUST contain 7 bits."
const M: u8 = 0x80;

impl PictureId {
    /// Its number, in either width.
    #[must_use]
    pub fn number(self) -> u16 {
        match self {
            Self::Short(id) => id.into(),
            Self::Long(id) => id,
        }
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, Truncated> {
        let byte = r.u8()?;
        Ok(if byte & M == 0 {
            Self::Short(byte)
        } else {
            Self::Long(u16::from_be_bytes([byte & !M, r.u8()?]))
        })
    }

    /// Its bytes, and how many of them count. Bits past its range are lost.
    pub(super) fn encode(self) -> ([u8; 2], usize) {
        match self {
            Self::Short(id) => ([id & !M, 0], 1),
            Self::Long(id) => ((id | 0x8000).to_be_bytes(), 2),
        }
    }

    /// Writes `new` in the width of this one, which stands at the start of `bytes`; tells the width.
    pub(super) fn replace(self, bytes: &mut [u8], new: Option<u16>) -> usize {
        let new = match self {
            Self::Short(id) => Self::Short(new.map_or(id, |new| new as u8)),
            Self::Long(id) => Self::Long(new.unwrap_or(id)),
        };
        let (encoded, len) = new.encode();
        bytes[..len].copy_from_slice(&encoded[..len]);
        len
    }
}

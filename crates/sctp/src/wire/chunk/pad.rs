//! PAD: makes a packet larger, to find out whether the path takes it.
//!
//! [RFC 4820 §3](https://www.rfc-editor.org/rfc/rfc4820#section-3)
//!
//! ```text
//! |  Type = 0x84  |    Flags=0    |             Length            |
//! |                         Padding Data …                        |
//! ```

use super::{ChunkType, write_chunk};

/// A PAD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pad<'a> {
    /// It "MUST be ignored by the receiver".
    pub padding: &'a [u8],
}

impl Pad<'_> {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        Self::write(out, self.padding.iter().copied());
    }

    /// Appends a PAD made of what an iterator yields.
    ///
    /// # Panics
    /// If it yields more than fits a 16-bit length: the caller bounds it.
    pub fn write(out: &mut Vec<u8>, padding: impl Iterator<Item = u8>) {
        write_chunk(out, ChunkType::PAD, 0, |out| out.extend(padding));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Chunk, RawChunk};

    #[test]
    fn padding_is_what_there_is() {
        let raw = RawChunk {
            kind: ChunkType::PAD,
            flags: 0,
            value: &[0; 8],
        };
        let chunk = Chunk::decode(raw);
        assert_eq!(chunk, Ok(Chunk::Pad(Pad { padding: &[0; 8] })));
        let mut out = Vec::new();
        chunk.unwrap().encode(&mut out);
        assert_eq!(out, [0x84, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
}

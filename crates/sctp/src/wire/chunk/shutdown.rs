//! SHUTDOWN: nothing more will be sent.
//!
//! [RFC 9260 §3.3.8](https://www.rfc-editor.org/rfc/rfc9260#section-3.3.8)
//!
//! ```text
//! |   Type = 7    |  Chunk Flags  |          Length = 8           |
//! |                      Cumulative TSN Ack                       |
//! ```

use peerline_wire::{Reader, Serial32};

use super::{ChunkType, ParseError, write_chunk};

/// A SHUTDOWN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// The last TSN before the first gap.
    pub cumulative_tsn: Serial32,
}

impl Shutdown {
    pub(crate) fn decode(value: &[u8]) -> Result<Self, ParseError> {
        Ok(Self {
            cumulative_tsn: Serial32(Reader::new(value).u32()?),
        })
    }

    pub(crate) fn encode(self, out: &mut Vec<u8>) {
        write_chunk(out, ChunkType::SHUTDOWN, 0, |out| {
            out.extend_from_slice(&self.cumulative_tsn.0.to_be_bytes());
        });
    }
}

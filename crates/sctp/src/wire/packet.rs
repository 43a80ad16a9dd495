//! The SCTP packet: a common header and chunks.
//!
//! [RFC 9260 §3](https://www.rfc-editor.org/rfc/rfc9260#section-3)
//!
//! ```text
//! |     Source Port Number        |     Destination Port Number   |
//! |                      Verification Tag                         |
//! |                           Checksum                            |
//! |                           Chunk #1 …                          |
//! ```

use peerline_wire::{Reader, Writer};

use super::{Chunk, ChunkType, ParseError, RawChunk, take_tlv};

/// The common header, without its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The sender's port.
    pub source_port: u16,
    /// The receiver's port.
    pub destination_port: u16,
    /// The tag the receiver chose, or 0 with an INIT.
    pub verification_tag: u32,
}

impl Header {
    /// Bytes of the common header, checksum included.
    pub const LEN: usize = 12;
}

/// A packet whose header has been read; its chunks are read by iterating.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The common header.
    pub header: Header,
    /// What the checksum field holds; zero may mean that there is none (RFC 9653).
    pub checksum: u32,
    /// Everything behind the header.
    pub body: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads the header. The checksum is the caller's business, see [`verify_checksum`](super::verify_checksum).
    ///
    /// # Errors
    /// [`ParseError::Truncated`] if there is not even a header.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let mut r = Reader::new(bytes);
        let header = Header {
            source_port: r.u16()?,
            destination_port: r.u16()?,
            verification_tag: r.u32()?,
        };
        let checksum = u32::from_le_bytes(r.array()?);
        Ok(Self {
            header,
            checksum,
            body: r.rest(),
        })
    }

    /// The chunks, in order. Ends after the first error.
    #[must_use]
    pub fn chunks(&self) -> Chunks<'a> {
        Chunks { rest: self.body }
    }
}

/// An iterator over the chunks of a packet, not yet decoded. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Chunks<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Chunks<'a> {
    type Item = Result<RawChunk<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = take_tlv(&mut self.rest)?;
        Some(item.map(|([kind, flags], value)| RawChunk {
            kind: ChunkType(kind),
            flags,
            value,
        }))
    }
}

/// Appends a common header with a checksum of zero; [`write_checksum`](super::write_checksum) fills it in at the end.
pub fn write_header(out: &mut Vec<u8>, header: Header) {
    let mut w = Writer::new(out);
    w.u16(header.source_port);
    w.u16(header.destination_port);
    w.u32(header.verification_tag);
    w.u32(0);
}

impl Packet<'_> {
    /// Appends a packet of `chunks` with its checksum.
    pub fn encode(out: &mut Vec<u8>, header: Header, chunks: &[Chunk<'_>]) {
        let start = out.len();
        write_header(out, header);
        for chunk in chunks {
            chunk.encode(out);
        }
        super::write_checksum(&mut out[start..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncations_are_errors_or_fewer_chunks_and_never_more() {
        let whole = crate::wire::chunk::tests::CHROMIUM_INIT;
        for end in 0..whole.len() - 2 {
            match Packet::decode(&whole[..end]) {
                Err(error) => assert_eq!((error, end < 12), (ParseError::Truncated, true)),
                Ok(packet) => assert!(packet.chunks().all(|chunk| chunk.is_err()), "{end}"),
            }
        }
    }
}

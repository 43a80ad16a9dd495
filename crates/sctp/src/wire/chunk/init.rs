//! INIT and INIT ACK: what each side offers. Both have one shape.
//!
//! [RFC 9260 §3.3.2](https://www.rfc-editor.org/rfc/rfc9260#section-3.3.2),
//! [§3.3.3](https://www.rfc-editor.org/rfc/rfc9260#section-3.3.3)
//!
//! ```text
//! |   Type = 1, 2 |  Chunk Flags  |         Chunk Length          |
//! |                         Initiate Tag                          |
//! |           Advertised Receiver Window Credit (a_rwnd)          |
//! |  Number of Outbound Streams   |   Number of Inbound Streams   |
//! |                          Initial TSN                          |
//! |              Optional/Variable-Length Parameters …            |
//! ```

use peerline_wire::{Reader, Serial32, Writer};

use super::{ChunkType, ParseError, write_chunk};
use crate::wire::Parameters;

/// An INIT or an INIT ACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Init<'a> {
    /// The verification tag that the sender wants to see on every packet to it.
    pub initiate_tag: u32,
    /// The sender's receive window, in bytes.
    pub a_rwnd: u32,
    /// How many streams the sender wants towards its peer.
    pub outgoing_streams: u16,
    /// How many streams the sender accepts.
    pub incoming_streams: u16,
    /// The first TSN the sender will use.
    pub initial_tsn: Serial32,
    /// Everything optional; in an INIT ACK, also the cookie.
    pub parameters: Parameters<'a>,
}

impl<'a> Init<'a> {
    pub(crate) fn decode(value: &'a [u8]) -> Result<Self, ParseError> {
        let mut r = Reader::new(value);
        Ok(Self {
            initiate_tag: r.u32()?,
            a_rwnd: r.u32()?,
            outgoing_streams: r.u16()?,
            incoming_streams: r.u16()?,
            initial_tsn: Serial32(r.u32()?),
            parameters: Parameters::decode(r.rest())?,
        })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>, kind: ChunkType) {
        write_chunk(out, kind, 0, |out| {
            let mut w = Writer::new(out);
            w.u32(self.initiate_tag);
            w.u32(self.a_rwnd);
            w.u16(self.outgoing_streams);
            w.u16(self.incoming_streams);
            w.u32(self.initial_tsn.0);
            self.parameters.encode(out);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{CHROMIUM_INIT, one_chunk};
    use super::*;
    use crate::wire::{Chunk, Packet, ParameterType};

    #[test]
    fn a_browsers_init() {
        let packet = Packet::decode(&CHROMIUM_INIT).unwrap();
        let raw = packet.chunks().next().unwrap().unwrap();
        let Ok(Chunk::Init(init)) = Chunk::decode(raw) else {
            panic!("{raw:?}")
        };
        assert_eq!((init.initiate_tag, init.a_rwnd), (0x4549_caa9, 5 << 20));
        assert_eq!((init.outgoing_streams, init.incoming_streams), (65_535, 65_535));
        assert_eq!(init.parameters.find(ParameterType::FORWARD_TSN), Some(&[][..]));
        assert_eq!(
            init.parameters.find(ParameterType::SUPPORTED_EXTENSIONS),
            Some(&[0x82, 0xc0][..])
        );
        let mut out = Vec::new();
        init.encode(&mut out, ChunkType::INIT);
        assert_eq!(out, CHROMIUM_INIT[12..]);
    }

    /// From Firefox 153 to Chromium 156: with I-DATA and I-FORWARD-TSN.
    #[test]
    fn an_init_that_offers_interleaving() {
        let bytes = b"\x13\x88\x13\x88\x00\x00\x00\x00\x82\xf0\x27\x1f\x01\x00\x00\x20\x5f\x1c\xfb\xf0\x01\x00\x00\x00\
            \xff\xff\xff\xff\x87\x22\x1c\x7c\xc0\x00\x00\x04\x80\x08\x00\x08\x82\xc0\x40\xc2";
        let (_, chunk) = one_chunk(bytes);
        let Chunk::Init(init) = chunk else { panic!("{chunk:?}") };
        assert_eq!(init.a_rwnd, 16 << 20);
        let extensions = [
            ChunkType::RE_CONFIG,
            ChunkType::FORWARD_TSN,
            ChunkType::I_DATA,
            ChunkType::I_FORWARD_TSN,
        ];
        assert_eq!(
            init.parameters.find(ParameterType::SUPPORTED_EXTENSIONS),
            Some(&extensions.map(|kind| kind.0)[..])
        );
    }
}

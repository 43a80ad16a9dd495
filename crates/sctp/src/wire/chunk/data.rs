//! DATA: one fragment of a user message.
//!
//! [RFC 9260 §3.3.1](https://www.rfc-editor.org/rfc/rfc9260#section-3.3.1)
//!
//! ```text
//! |   Type = 0    |  Res  |I|U|B|E|            Length             |
//! |                              TSN                              |
//! |      Stream Identifier S      |   Stream Sequence Number n    |
//! |                  Payload Protocol Identifier                  |
//! |                 User Data (seq n of Stream S) …               |
//! ```

use peerline_wire::{Reader, Serial16, Serial32, Writer};

use super::{ChunkType, ParseError, write_chunk};
use crate::{Ppid, StreamId};

/// A DATA chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Data<'a> {
    /// I: acknowledge at once.
    pub immediate: bool,
    /// U: unordered; the stream sequence number means nothing.
    pub unordered: bool,
    /// B: the first fragment of its message.
    pub beginning: bool,
    /// E: the last fragment of its message.
    pub ending: bool,
    /// The transmission sequence number.
    pub tsn: Serial32,
    /// The stream.
    pub stream: StreamId,
    /// The place of the message among the ordered messages of its stream.
    pub ssn: Serial16,
    /// What the message is.
    pub ppid: Ppid,
    /// The fragment. RFC 9260 wants at least one byte; an empty one decodes, so that it can be answered.
    pub payload: &'a [u8],
}

impl<'a> Data<'a> {
    /// Bytes of a DATA chunk before its payload.
    pub const HEADER_LEN: usize = 16;

    pub(crate) fn decode(flags: u8, value: &'a [u8]) -> Result<Self, ParseError> {
        let mut r = Reader::new(value);
        Ok(Self {
            immediate: flags & 8 != 0,
            unordered: flags & 4 != 0,
            beginning: flags & 2 != 0,
            ending: flags & 1 != 0,
            tsn: Serial32(r.u32()?),
            stream: StreamId(r.u16()?),
            ssn: Serial16(r.u16()?),
            ppid: Ppid(r.u32()?),
            payload: r.rest(),
        })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let flags = u8::from(self.immediate) << 3
            | u8::from(self.unordered) << 2
            | u8::from(self.beginning) << 1
            | u8::from(self.ending);
        write_chunk(out, ChunkType::DATA, flags, |out| {
            let mut w = Writer::new(out);
            w.u32(self.tsn.0);
            w.u16(self.stream.0);
            w.u16(self.ssn.0);
            w.u32(self.ppid.0);
            w.bytes(self.payload);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::one_chunk;
    use super::*;
    use crate::wire::Chunk;

    /// "hello reliable" from Chromium 156 to Firefox 153, stream 1.
    #[test]
    fn a_browsers_message() {
        let bytes = b"\x13\x88\x13\x88\x5f\x1c\xfb\xf0\x7e\x60\x1d\xa9\x00\x03\x00\x1e\x2a\x63\x8f\x72\x00\x01\x00\x01\
            \x00\x00\x00\x33\x68\x65\x6c\x6c\x6f\x20\x72\x65\x6c\x69\x61\x62\x6c\x65\x00\x00";
        let (header, chunk) = one_chunk(bytes);
        assert_eq!(header.verification_tag, 0x5f1c_fbf0);
        let Chunk::Data(data) = chunk else { panic!("{chunk:?}") };
        assert!(data.beginning && data.ending && !data.unordered && !data.immediate);
        assert_eq!(
            (data.stream, data.ssn, data.ppid),
            (StreamId(1), Serial16(1), Ppid::STRING)
        );
        assert_eq!(data.payload, b"hello reliable");
    }

    #[test]
    fn each_flag_is_its_own_bit() {
        for flags in 0..16 {
            let data = Data::decode(flags, &[0; 13]).unwrap();
            let mut out = Vec::new();
            data.encode(&mut out);
            assert_eq!(out[..4], [0, flags, 0, 17]);
        }
        assert!(Data::decode(0, &[0; 11]).is_err());
    }
}

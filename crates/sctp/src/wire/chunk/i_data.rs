//! I-DATA: one fragment of a user message that fragments of others may come between.
//!
//! [RFC 8260 §2.1](https://www.rfc-editor.org/rfc/rfc8260#section-2.1)
//!
//! ```text
//! |   Type = 64   |  Res  |I|U|B|E|       Length = Variable       |
//! |                              TSN                              |
//! |        Stream Identifier      |           Reserved            |
//! |                      Message Identifier                       |
//! |    Payload Protocol Identifier / Fragment Sequence Number     |
//! |                           User Data …                         |
//! ```

use peerline_wire::{Reader, Serial32, Writer};

use super::{ChunkType, ParseError, write_chunk};
use crate::{Ppid, StreamId};

/// An I-DATA chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IData<'a> {
    /// I: acknowledge at once.
    pub immediate: bool,
    /// U: unordered.
    pub unordered: bool,
    /// E: the last fragment of its message.
    pub ending: bool,
    /// The transmission sequence number.
    pub tsn: Serial32,
    /// The stream.
    pub stream: StreamId,
    /// MID: the message's number among the ordered, or the unordered, messages of its stream.
    pub mid: Serial32,
    /// Which fragment of the message it is.
    pub place: FragmentPlace,
    /// The fragment. RFC 9260 wants at least one byte; an empty one decodes, so that it can be answered.
    pub payload: &'a [u8],
}

/// The field that the B bit gives its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FragmentPlace {
    /// B: the first fragment, of which the number is 0, says what the message is.
    First(Ppid),
    /// A later one says its number (FSN).
    Later(Serial32),
}

impl<'a> IData<'a> {
    /// Bytes of an I-DATA chunk before its payload.
    pub const HEADER_LEN: usize = 20;

    pub(crate) fn decode(flags: u8, value: &'a [u8]) -> Result<Self, ParseError> {
        let mut r = Reader::new(value);
        let (tsn, stream) = (Serial32(r.u32()?), StreamId(r.u16()?));
        // "It MUST be set to 0 by the sender and MUST be ignored by the receiver."
        let _reserved = r.u16()?;
        let (mid, shared) = (Serial32(r.u32()?), r.u32()?);
        Ok(Self {
            immediate: flags & 8 != 0,
            unordered: flags & 4 != 0,
            ending: flags & 1 != 0,
            tsn,
            stream,
            mid,
            place: if flags & 2 != 0 {
                FragmentPlace::First(Ppid(shared))
            } else {
                FragmentPlace::Later(Serial32(shared))
            },
            payload: r.rest(),
        })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let (beginning, shared) = match self.place {
            FragmentPlace::First(Ppid(ppid)) => (true, ppid),
            FragmentPlace::Later(Serial32(number)) => (false, number),
        };
        let flags = u8::from(self.immediate) << 3
            | u8::from(self.unordered) << 2
            | u8::from(beginning) << 1
            | u8::from(self.ending);
        write_chunk(out, ChunkType::I_DATA, flags, |out| {
            let mut w = Writer::new(out);
            w.u32(self.tsn.0);
            w.u16(self.stream.0);
            w.u16(0);
            w.u32(self.mid.0);
            w.u32(shared);
            w.bytes(self.payload);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_b_bit_tells_the_ppid_from_the_fragments_number() {
        let value = b"\0\0\0\x09\0\x05\xff\xff\0\0\0\x02\0\0\0\x33hey";
        let first = IData::decode(0b0010, value).unwrap();
        assert_eq!(
            (first.tsn, first.stream, first.mid),
            (Serial32(9), StreamId(5), Serial32(2))
        );
        assert_eq!(
            (first.place, first.payload),
            (FragmentPlace::First(Ppid::STRING), &b"hey"[..])
        );
        let later = IData::decode(0b0001, value).unwrap();
        assert_eq!((later.place, later.ending), (FragmentPlace::Later(Serial32(51)), true));
        assert!(IData::decode(0, &value[..15]).is_err());
    }

    #[test]
    fn each_flag_is_its_own_bit() {
        for flags in 0..16 {
            let data = IData::decode(flags, &[0; 17]).unwrap();
            let mut out = Vec::new();
            data.encode(&mut out);
            assert_eq!(out[..4], [64, flags, 0, 21]);
        }
    }
}

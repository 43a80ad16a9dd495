//! HEARTBEAT and HEARTBEAT ACK: a question and its echo.
//!
//! [RFC 9260 §3.3.5](https://www.rfc-editor.org/rfc/rfc9260#section-3.3.5),
//! [§3.3.6](https://www.rfc-editor.org/rfc/rfc9260#section-3.3.6)
//!
//! ```text
//! |   Type = 4, 5 |  Chunk Flags  |       Heartbeat Length        |
//! |      Heartbeat Info Type=1    |         HB Info Length        |
//! |              Sender-Specific Heartbeat Info …                 |
//! ```

use super::{ChunkType, ParseError, write_chunk};
use crate::wire::{ParameterType, Parameters, write_list};

/// A HEARTBEAT or a HEARTBEAT ACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat<'a> {
    /// Whatever the asking side wants back.
    pub info: &'a [u8],
}

impl<'a> Heartbeat<'a> {
    pub(crate) fn decode(value: &'a [u8]) -> Result<Self, ParseError> {
        let info = Parameters::decode(value)?
            .find(ParameterType::HEARTBEAT_INFO)
            .ok_or(ParseError::Truncated)?;
        Ok(Self { info })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>, kind: ChunkType) {
        write_chunk(out, kind, 0, |out| {
            write_list(out, [(ParameterType::HEARTBEAT_INFO.0.to_be_bytes(), self.info)]);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_info_comes_back() {
        let mut out = Vec::new();
        Heartbeat { info: b"12345" }.encode(&mut out, ChunkType::HEARTBEAT);
        assert_eq!(out, b"\x04\x00\x00\x0d\x00\x01\x00\x0912345\0\0\0");
        assert_eq!(Heartbeat::decode(&out[4..]), Ok(Heartbeat { info: b"12345" }));
        assert!(Heartbeat::decode(&[]).is_err());
    }
}

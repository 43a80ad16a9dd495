//! ABORT: the end, at once.
//!
//! [RFC 9260 §3.3.7](https://www.rfc-editor.org/rfc/rfc9260#section-3.3.7)
//!
//! ```text
//! |   Type = 6    |  Reserved   |T|            Length             |
//! |                   zero or more Error Causes …                 |
//! ```

use super::{ChunkType, ParseError, T_BIT, write_chunk};
use crate::wire::Causes;

/// An ABORT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abort<'a> {
    /// T: the verification tag is that of the packet answered, because the sender has no other (RFC 9260 §8.5.1).
    pub reflected_tag: bool,
    /// Why.
    pub causes: Causes<'a>,
}

impl<'a> Abort<'a> {
    pub(crate) fn decode(flags: u8, value: &'a [u8]) -> Result<Self, ParseError> {
        Ok(Self {
            reflected_tag: flags & T_BIT != 0,
            causes: Causes::decode(value)?,
        })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        write_chunk(out, ChunkType::ABORT, u8::from(self.reflected_tag) * T_BIT, |out| {
            self.causes.encode(out);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{CauseCode, write_cause};

    #[test]
    fn a_reason_survives() {
        let mut causes = Vec::new();
        write_cause(&mut causes, CauseCode::USER_INITIATED, b"Close called");
        let abort = Abort {
            reflected_tag: false,
            causes: Causes::decode(&causes).unwrap(),
        };
        let mut out = Vec::new();
        abort.encode(&mut out);
        assert_eq!(out, b"\x06\0\0\x14\0\x0c\0\x10Close called");
        assert_eq!(Abort::decode(0, &out[4..]), Ok(abort));
    }
}

//! ERROR: something was wrong, and the association goes on.
//!
//! [RFC 9260 §3.3.10](https://www.rfc-editor.org/rfc/rfc9260#section-3.3.10)
//!
//! ```text
//! |   Type = 9    |  Chunk Flags  |            Length             |
//! |                    one or more Error Causes …                 |
//! ```

use super::{ChunkType, ParseError, write_chunk};
use crate::wire::Causes;

/// An ERROR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errors<'a> {
    /// What was wrong.
    pub causes: Causes<'a>,
}

impl<'a> Errors<'a> {
    pub(crate) fn decode(value: &'a [u8]) -> Result<Self, ParseError> {
        Ok(Self {
            causes: Causes::decode(value)?,
        })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        write_chunk(out, ChunkType::ERROR, 0, |out| self.causes.encode(out));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::CauseCode;

    #[test]
    fn causes_are_listed_and_must_be_whole() {
        let value = [0, 3, 0, 8, 0, 0, 0, 9, 0, 6, 0, 4];
        let errors = Errors::decode(&value).unwrap();
        assert!(
            errors
                .causes
                .iter()
                .map(|cause| cause.code)
                .eq([CauseCode::STALE_COOKIE, CauseCode::UNRECOGNIZED_CHUNK])
        );
        assert!(Errors::decode(&value[..9]).is_err());
    }
}

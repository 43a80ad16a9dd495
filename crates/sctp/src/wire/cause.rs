//! Error causes: what ABORT and ERROR chunks carry.
//!
//! [RFC 9260 §3.3.10](https://www.rfc-editor.org/rfc/rfc9260#section-3.3.10)
//!
//! ```text
//! |           Cause Code          |          Cause Length         |
//! |                  Cause-Specific Information …                 |
//! ```

use std::fmt;

use super::{ParseError, take_tlv, write_list, write_tlv};

/// An error cause code.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CauseCode(pub u16);

impl CauseCode {
    /// Invalid Stream Identifier (RFC 9260 §3.3.10.1).
    pub const INVALID_STREAM: Self = Self(1);
    /// Missing Mandatory Parameter (RFC 9260 §3.3.10.2).
    pub const MISSING_PARAMETER: Self = Self(2);
    /// Stale Cookie (RFC 9260 §3.3.10.3).
    pub const STALE_COOKIE: Self = Self(3);
    /// Out of Resource (RFC 9260 §3.3.10.4).
    pub const OUT_OF_RESOURCE: Self = Self(4);
    /// Unresolvable Address (RFC 9260 §3.3.10.5).
    pub const UNRESOLVABLE_ADDRESS: Self = Self(5);
    /// Unrecognized Chunk Type (RFC 9260 §3.3.10.6).
    pub const UNRECOGNIZED_CHUNK: Self = Self(6);
    /// Invalid Mandatory Parameter (RFC 9260 §3.3.10.7).
    pub const INVALID_PARAMETER: Self = Self(7);
    /// Unrecognized Parameters (RFC 9260 §3.3.10.8).
    pub const UNRECOGNIZED_PARAMETERS: Self = Self(8);
    /// No User Data (RFC 9260 §3.3.10.9).
    pub const NO_USER_DATA: Self = Self(9);
    /// Cookie Received While Shutting Down (RFC 9260 §3.3.10.10).
    pub const COOKIE_WHILE_SHUTTING_DOWN: Self = Self(10);
    /// Restart of an Association with New Addresses (RFC 9260 §3.3.10.11).
    pub const RESTART_WITH_NEW_ADDRESSES: Self = Self(11);
    /// User-Initiated Abort (RFC 9260 §3.3.10.12).
    pub const USER_INITIATED: Self = Self(12);
    /// Protocol Violation (RFC 9260 §3.3.10.13).
    pub const PROTOCOL_VIOLATION: Self = Self(13);
}

impl fmt::Debug for CauseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cause {}", self.0)
    }
}

/// One error cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause<'a> {
    /// Its code.
    pub code: CauseCode,
    /// Its information, without padding.
    pub info: &'a [u8],
}

/// A list of error causes, known to be well-formed.
#[derive(Clone, Copy, Default)]
pub struct Causes<'a>(&'a [u8]);

impl<'a> Causes<'a> {
    /// The causes in `bytes`.
    ///
    /// # Errors
    /// [`ParseError`] if one of them is not whole.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let mut rest = bytes;
        while let Some(item) = take_tlv(&mut rest) {
            item?;
        }
        Ok(Self(bytes))
    }

    /// The causes, in order.
    pub fn iter(&self) -> impl Iterator<Item = Cause<'a>> + use<'a> {
        let mut rest = self.0;
        std::iter::from_fn(move || take_tlv(&mut rest)).map_while(|item| {
            let (code, info) = item.ok()?;
            Some(Cause {
                code: CauseCode(u16::from_be_bytes(code)),
                info,
            })
        })
    }

    /// Appends the list; the last cause is not padded.
    ///
    /// # Panics
    /// If a cause does not fit a 16-bit length; what was decoded does.
    pub fn encode(&self, out: &mut Vec<u8>) {
        write_list(out, self.iter().map(|cause| (cause.code.0.to_be_bytes(), cause.info)));
    }
}

/// Equal if the causes are; padding does not matter.
impl PartialEq for Causes<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Causes<'_> {}

impl fmt::Debug for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Appends one cause, padded to four bytes.
///
/// # Panics
/// If the information does not fit a 16-bit length: the caller bounds it.
pub fn write_cause(out: &mut Vec<u8>, code: CauseCode, info: &[u8]) {
    write_tlv(out, code.0.to_be_bytes(), |out| out.extend_from_slice(info));
}

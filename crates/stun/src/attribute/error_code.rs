//! ERROR-CODE (RFC 8489 §14.8) and ADDRESS-ERROR-CODE (RFC 8656 §18.12).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |   Reserved, should be 0 (or Family)     |Class|     Number    |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |      Reason Phrase (variable)                                ..
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use super::{AddressFamily, Attribute, AttributeType, MAX_TEXT, text};
use crate::{AttributeError, TransactionId};
use peerline_wire::{Reader, Writer};

/// Why a request failed: a number from 300 to 699.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ErrorCode(u16);

impl ErrorCode {
    /// The code with this number, or `None` if it is not from 300 to 699.
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        if number >= 300 && number < 700 {
            Some(Self(number))
        } else {
            None
        }
    }

    /// The number, from 300 to 699.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }
}

/// Declares the constants of [`ErrorCode`] and their phrases.
macro_rules! error_codes {
    ($($name:ident = $number:literal, $reason:literal, $rfc:literal;)*) => {
        impl ErrorCode {
            $(#[doc = concat!($number, " (", $reason, "), ", $rfc, ".")] pub const $name: Self = Self($number);)*

            /// The reason phrase its RFC recommends; empty if the code is unknown here.
            #[must_use]
            pub const fn reason(self) -> &'static str {
                match self {
                    $(Self::$name => $reason,)*
                    Self(_) => "",
                }
            }
        }
    };
}

error_codes! {
    TRY_ALTERNATE = 300, "Try Alternate", "RFC 8489 §14.8";
    BAD_REQUEST = 400, "Bad Request", "RFC 8489 §14.8";
    UNAUTHENTICATED = 401, "Unauthenticated", "RFC 8489 §14.8";
    FORBIDDEN = 403, "Forbidden", "RFC 8656 §19";
    UNKNOWN_ATTRIBUTE = 420, "Unknown Attribute", "RFC 8489 §14.8";
    ALLOCATION_MISMATCH = 437, "Allocation Mismatch", "RFC 8656 §19";
    STALE_NONCE = 438, "Stale Nonce", "RFC 8489 §14.8";
    ADDRESS_FAMILY_NOT_SUPPORTED = 440, "Address Family not Supported", "RFC 8656 §19";
    WRONG_CREDENTIALS = 441, "Wrong Credentials", "RFC 8656 §19";
    UNSUPPORTED_TRANSPORT_PROTOCOL = 442, "Unsupported Transport Protocol", "RFC 8656 §19";
    PEER_ADDRESS_FAMILY_MISMATCH = 443, "Peer Address Family Mismatch", "RFC 8656 §19";
    CONNECTION_ALREADY_EXISTS = 446, "Connection Already Exists", "RFC 6062 §6.3";
    CONNECTION_TIMEOUT_OR_FAILURE = 447, "Connection Timeout or Failure", "RFC 6062 §6.3";
    ALLOCATION_QUOTA_REACHED = 486, "Allocation Quota Reached", "RFC 8656 §19";
    ROLE_CONFLICT = 487, "Role Conflict", "RFC 8445 §16.2";
    SERVER_ERROR = 500, "Server Error", "RFC 8489 §14.8";
    INSUFFICIENT_CAPACITY = 508, "Insufficient Capacity", "RFC 8656 §19";
}

/// ERROR-CODE (RFC 8489 §14.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ErrorAttribute<'a> {
    /// What went wrong.
    pub code: ErrorCode,
    /// The same for people; fewer than 128 characters.
    pub reason: &'a str,
}

impl ErrorAttribute<'static> {
    /// This code with its recommended phrase.
    #[must_use]
    pub fn new(code: ErrorCode) -> Self {
        Self {
            code,
            reason: code.reason(),
        }
    }
}

impl<'a> Attribute<'a> for ErrorAttribute<'a> {
    const TYPE: AttributeType = AttributeType::ERROR_CODE;

    fn decode(value: &'a [u8], _: TransactionId) -> Result<Self, AttributeError> {
        let (_, code, reason) = decode(value)?;
        Ok(Self { code, reason })
    }

    fn encode(self, _: TransactionId, out: &mut Vec<u8>) {
        encode(0, self.code, self.reason, out);
    }
}

/// ADDRESS-ERROR-CODE (RFC 8656 §18.12): why an address of one family was not allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AddressErrorCode<'a> {
    /// The family that was not allocated.
    pub family: AddressFamily,
    /// 440 or 508.
    pub code: ErrorCode,
    /// The same for people; fewer than 128 characters.
    pub reason: &'a str,
}

impl<'a> Attribute<'a> for AddressErrorCode<'a> {
    const TYPE: AttributeType = AttributeType::ADDRESS_ERROR_CODE;

    fn decode(value: &'a [u8], _: TransactionId) -> Result<Self, AttributeError> {
        let (family, code, reason) = decode(value)?;
        Ok(Self {
            family: AddressFamily(family),
            code,
            reason,
        })
    }

    fn encode(self, _: TransactionId, out: &mut Vec<u8>) {
        encode(self.family.0, self.code, self.reason, out);
    }
}

fn decode(value: &[u8]) -> Result<(u8, ErrorCode, &str), AttributeError> {
    let mut r = Reader::new(value);
    let [family, _, class, number] = r.array().map_err(|_| AttributeError::WrongLength)?;
    // "The Class represents the hundreds digit of the error code. The value MUST be between 3 and 6. The Number
    // represents the binary encoding of the error code modulo 100, and its value MUST be between 0 and 99."
    let class = u16::from(class & 0x07);
    if !(3..=6).contains(&class) || number > 99 {
        return Err(AttributeError::OutOfRange);
    }
    Ok((
        family,
        ErrorCode(class * 100 + u16::from(number)),
        text(r.rest(), MAX_TEXT)?,
    ))
}

fn encode(family: u8, ErrorCode(code): ErrorCode, reason: &str, out: &mut Vec<u8>) {
    let mut w = Writer::new(out);
    w.u8(family);
    w.u8(0);
    w.u16(((code / 100) << 8) | (code % 100));
    w.bytes(reason.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: TransactionId = TransactionId([0; 12]);

    #[test]
    fn every_code_survives() {
        for code in (0..=u16::MAX).filter_map(ErrorCode::new) {
            let mut out = Vec::new();
            ErrorAttribute::new(code).encode(ID, &mut out);
            assert_eq!(ErrorAttribute::decode(&out, ID), Ok(ErrorAttribute::new(code)));
        }
        assert_eq!((ErrorCode::new(299), ErrorCode::new(700)), (None, None));
    }

    #[test]
    fn on_the_wire() {
        let mut out = Vec::new();
        ErrorAttribute::new(ErrorCode::ROLE_CONFLICT).encode(ID, &mut out);
        assert_eq!(out, b"\x00\x00\x04\x57Role Conflict");
        out.clear();
        let error = AddressErrorCode {
            family: AddressFamily::IPV6,
            code: ErrorCode::INSUFFICIENT_CAPACITY,
            reason: "",
        };
        error.encode(ID, &mut out);
        assert_eq!(out, [2, 0, 5, 8]);
        assert_eq!(AddressErrorCode::decode(&out, ID), Ok(error));
    }

    #[test]
    fn codes_out_of_range_are_refused() {
        for (value, error) in [
            (&[0, 0, 4][..], AttributeError::WrongLength),
            (&[0, 0, 2, 0], AttributeError::OutOfRange),
            (&[0, 0, 7, 0], AttributeError::OutOfRange),
            (&[0, 0, 4, 100], AttributeError::OutOfRange),
            (&[0, 0, 4, 0, 0xff], AttributeError::NotUtf8),
        ] {
            assert_eq!(ErrorAttribute::decode(value, ID), Err(error));
        }
        // The reserved bits are ignored.
        assert_eq!(
            ErrorAttribute::decode(&[1, 2, 0xfc, 1], ID).map(|e| e.code),
            Ok(ErrorCode::UNAUTHENTICATED)
        );
    }
}

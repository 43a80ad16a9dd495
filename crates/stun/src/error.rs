//! What can be wrong with a message, an attribute or a check.

use std::fmt;

/// Why bytes are not a STUN message (RFC 8489 §5, §14).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParseError {
    /// Fewer than the header's 20 bytes, or than its Length promises.
    Truncated,
    /// The two most significant bits are not zero, or the magic cookie is missing: another protocol.
    NotStun,
    /// Length is not a multiple of four.
    UnalignedLength,
    /// More bytes follow than Length says.
    TrailingBytes,
    /// An attribute, its padding included, claims more bytes than the message has.
    AttributeTruncated,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "the bytes end before the message does",
            Self::NotStun => "not a STUN message",
            Self::UnalignedLength => "the message length is not a multiple of four",
            Self::TrailingBytes => "bytes follow the end of the message",
            Self::AttributeTruncated => "an attribute reaches past the end of the message",
        })
    }
}

impl std::error::Error for ParseError {}

/// Why an attribute's value is not what its type says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttributeError {
    /// The value is shorter or longer than its type allows.
    WrongLength,
    /// A text is not UTF-8.
    NotUtf8,
    /// An address of a family other than IPv4 and IPv6.
    UnknownFamily,
    /// A number outside the range its field allows.
    OutOfRange,
}

impl fmt::Display for AttributeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WrongLength => "the attribute has the wrong length",
            Self::NotUtf8 => "the attribute's text is not UTF-8",
            Self::UnknownFamily => "the attribute's address family is unknown",
            Self::OutOfRange => "the attribute's number is out of range",
        })
    }
}

impl std::error::Error for AttributeError {}

/// Why a message is not authenticated (RFC 8489 §9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IntegrityError {
    /// The message carries no such attribute.
    Missing,
    /// The attribute's length is none the algorithm allows.
    WrongLength,
    /// Another key, or other bytes, made this HMAC.
    Mismatch,
}

impl fmt::Display for IntegrityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "the message carries no message integrity",
            Self::WrongLength => "the message integrity has the wrong length",
            Self::Mismatch => "the message integrity does not match",
        })
    }
}

impl std::error::Error for IntegrityError {}

/// Why FINGERPRINT does not confirm a message (RFC 8489 §14.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FingerprintError {
    /// The message carries none.
    Missing,
    /// It is not the last attribute.
    NotLast,
    /// Its value is not four bytes long.
    WrongLength,
    /// The CRC is another one.
    Mismatch,
}

impl fmt::Display for FingerprintError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "the message carries no fingerprint",
            Self::NotLast => "the fingerprint is not the last attribute",
            Self::WrongLength => "the fingerprint has the wrong length",
            Self::Mismatch => "the fingerprint does not match",
        })
    }
}

impl std::error::Error for FingerprintError {}

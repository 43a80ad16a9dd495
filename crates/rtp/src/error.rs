//! What can be wrong with a packet.

use std::fmt;

/// Why bytes are not an RTP packet (RFC 3550 §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParseError {
    /// Fewer bytes than the fixed header and the CSRC list that it announces.
    Truncated,
    /// The version is not 2.
    WrongVersion,
    /// The header extension reaches past the end of the packet.
    ExtensionTruncated,
    /// The padding is announced, but empty or longer than what follows the header.
    BadPadding,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "the bytes end before the header does",
            Self::WrongVersion => "the version is not 2",
            Self::ExtensionTruncated => "the header extension reaches past the end of the packet",
            Self::BadPadding => "the padding is empty, or longer than the packet",
        })
    }
}

impl std::error::Error for ParseError {}

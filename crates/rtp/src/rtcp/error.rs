//! What can be wrong with RTCP.

use std::fmt;

/// Why bytes are not RTCP. The first three are of the framing: nothing after them can be read. The others are of one packet's
/// contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParseError {
    /// Fewer bytes than a header, or than its length promises.
    Truncated,
    /// The version is not 2.
    WrongVersion,
    /// The padding is announced, but empty or longer than the packet's contents.
    BadPadding,
    /// The packet's contents end before what its header, or a count in them, announces.
    ContentsTruncated,
    /// A number that the packet's kind does not allow.
    OutOfRange,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "the bytes end before the packet does",
            Self::WrongVersion => "the version is not 2",
            Self::BadPadding => "the padding is empty, or longer than the packet",
            Self::ContentsTruncated => "the packet ends before its contents do",
            Self::OutOfRange => "a number in the packet is out of range",
        })
    }
}

impl std::error::Error for ParseError {}

impl From<peerline_wire::Truncated> for ParseError {
    fn from(peerline_wire::Truncated: peerline_wire::Truncated) -> Self {
        Self::ContentsTruncated
    }
}

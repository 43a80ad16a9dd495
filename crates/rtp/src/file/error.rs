//! What can be wrong with a file.

use std::{fmt, io};

/// Why a file cannot be read on: users bring these files, so it says where and what.
#[derive(Debug)]
pub enum Error {
    /// Reading or writing itself failed.
    Io(io::Error),
    /// The file ends in the middle of something.
    Truncated {
        /// Where the file ends, in bytes from its start.
        offset: u64,
        /// What should have been there.
        expected: &'static str,
    },
    /// The bytes are not what the format says.
    Invalid {
        /// Where these bytes begin, in bytes from the file's start.
        offset: u64,
        /// What should have been there.
        expected: &'static str,
    },
    /// Something is larger than this reader takes.
    TooLarge {
        /// Where its size is given, in bytes from the file's start.
        offset: u64,
        /// What is so large.
        what: &'static str,
        /// Its size in bytes; if nothing says it, as much as was read.
        size: u64,
        /// The most that is taken, in bytes.
        limit: u64,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::Truncated { offset, expected } => write!(f, "the file ends at byte {offset}, within {expected}"),
            Self::Invalid { offset, expected } => write!(f, "at byte {offset}: expected {expected}"),
            Self::TooLarge {
                offset,
                what,
                size,
                limit,
            } => {
                write!(f, "at byte {offset}: {what} of {size} bytes; the limit is {limit}")
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Truncated { .. } | Self::Invalid { .. } | Self::TooLarge { .. } => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// So that `?` works where all else is I/O: what is wrong with a file is [`io::ErrorKind::InvalidData`].
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Io(error) => error,
            Error::Truncated { .. } => io::Error::new(io::ErrorKind::UnexpectedEof, error),
            Error::Invalid { .. } | Error::TooLarge { .. } => io::Error::new(io::ErrorKind::InvalidData, error),
        }
    }
}

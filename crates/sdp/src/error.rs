//! What is wrong with a description, and on which line.

use std::error::Error;
use std::fmt;

/// Why a text is not a session description (or an attribute in it not what its name promises), and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ParseError {
    /// The line at fault, counted from 1. For a line that is missing, where it was expected. 0 for a line that was
    /// never parsed but added to the description later.
    pub line: usize,
    /// What is wrong there.
    pub reason: Reason,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The text is longer than [`MAX_LENGTH`](crate::MAX_LENGTH) bytes.
    TooLong,
    /// The text has more than [`MAX_LINES`](crate::MAX_LINES) lines.
    TooManyLines,
    /// The line is longer than [`MAX_LINE_LENGTH`](crate::MAX_LINE_LENGTH) bytes.
    LineTooLong,
    /// The line does not look like `x=value` (RFC 8866 §5).
    NotALine,
    /// An empty line with others after it.
    BlankLine,
    /// A NUL, or a carriage return that does not end the line: no value may hold these (RFC 8866 §9, byte-string).
    ForbiddenCharacter,
    /// A line of this type has to come here, and another came, or none (RFC 8866 §5).
    Expected(char),
    /// A line of this type cannot come after the one before it, or not in this part (RFC 8866 §5).
    OutOfOrder(char),
    /// This part has a line of this type already, and may have one only (RFC 8866 §9).
    Repeated(char),
    /// The version is not 0 (RFC 8866 §5.1).
    Version,
    /// The line is in its place, but its value is not as it should be.
    Value(ValueError),
}

/// What is wrong with one value: of a line, or of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ValueError {
    /// The part at fault, in words: `candidate port`.
    pub field: &'static str,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with one part of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// It is not there.
    Missing,
    /// It is not written as its grammar wants it.
    Malformed,
    /// It is written well, but its value is not among those allowed.
    OutOfRange,
    /// It has too few characters or bytes.
    TooShort,
    /// It has too many characters or bytes.
    TooLong,
    /// It is there, and should not be.
    Unexpected,
}

impl ValueError {
    pub(crate) const fn new(field: &'static str, fault: Fault) -> Self {
        Self { field, fault }
    }

    pub(crate) const fn missing(field: &'static str) -> Self {
        Self::new(field, Fault::Missing)
    }

    pub(crate) const fn malformed(field: &'static str) -> Self {
        Self::new(field, Fault::Malformed)
    }
}

impl ParseError {
    pub(crate) const fn value(line: usize, error: ValueError) -> Self {
        Self {
            line,
            reason: Reason::Value(error),
        }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "an added line: {}", self.reason),
            line => write!(f, "line {line}: {}", self.reason),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "the description is longer than {} bytes", crate::MAX_LENGTH),
            Self::TooManyLines => write!(f, "the description has more than {} lines", crate::MAX_LINES),
            Self::LineTooLong => write!(f, "the line is longer than {} bytes", crate::MAX_LINE_LENGTH),
            Self::NotALine => f.write_str("a line must be one letter, an equals sign and a value, like \"a=mid:0\""),
            Self::BlankLine => f.write_str("an empty line may only stand at the end"),
            Self::ForbiddenCharacter => f.write_str("the line holds a NUL or a stray carriage return"),
            Self::Expected(kind) => write!(f, "a \"{kind}=\" line is missing here"),
            Self::OutOfOrder(kind) => write!(f, "a \"{kind}=\" line may not come here"),
            Self::Repeated(kind) => write!(f, "a second \"{kind}=\" line where only one may be"),
            Self::Version => f.write_str("the version must be 0"),
            Self::Value(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fault = match self.fault {
            Fault::Missing => "is missing",
            Fault::Malformed => "is malformed",
            Fault::OutOfRange => "is out of range",
            Fault::TooShort => "is too short",
            Fault::TooLong => "is too long",
            Fault::Unexpected => "should not be there",
        };
        write!(f, "{} {fault}", self.field)
    }
}

impl Error for ParseError {}

impl Error for ValueError {}

impl From<ValueError> for Reason {
    fn from(error: ValueError) -> Self {
        Self::Value(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_line_and_the_reason_in_words() {
        let missing = ParseError {
            line: 2,
            reason: Reason::Expected('o'),
        };
        assert_eq!(missing.to_string(), "line 2: a \"o=\" line is missing here");
        let port = ParseError::value(12, ValueError::new("candidate port", Fault::OutOfRange));
        assert_eq!(port.to_string(), "line 12: candidate port is out of range");
    }

    #[test]
    fn stays_small() {
        assert!(size_of::<ParseError>() <= 40);
    }
}

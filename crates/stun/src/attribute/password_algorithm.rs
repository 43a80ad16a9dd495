//! How to make a key of a password: PASSWORD-ALGORITHMS and PASSWORD-ALGORITHM (RFC 8489 §14.11, §14.12).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |         Algorithm 1           | Algorithm 1 Parameters Length |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                    Algorithm 1 Parameters (variable)
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use super::{Attribute, AttributeType};
use crate::key::Algorithm;
use crate::message::padded;
use crate::{AttributeError, TransactionId};
use peerline_wire::{Reader, Writer};

/// PASSWORD-ALGORITHM (RFC 8489 §14.12): the one a request's key was made with. Also an entry of [`PasswordAlgorithms`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PasswordAlgorithm<'a> {
    /// Which one.
    pub algorithm: Algorithm,
    /// Its parameters, at most 65,535 bytes; MD5 and SHA-256 have none.
    pub parameters: &'a [u8],
}

impl PasswordAlgorithm<'static> {
    /// MD5 (RFC 8489 §18.5.1.1).
    pub const MD5: Self = Self {
        algorithm: Algorithm::MD5,
        parameters: &[],
    };
    /// SHA-256 (RFC 8489 §18.5.1.2).
    pub const SHA256: Self = Self {
        algorithm: Algorithm::SHA256,
        parameters: &[],
    };
}

impl<'a> PasswordAlgorithm<'a> {
    fn read(r: &mut Reader<'a>) -> Option<Self> {
        let algorithm = Algorithm(r.u16().ok()?);
        let parameters = r.length_u16().ok()?.rest();
        // The last one's padding may be left to the attribute's own.
        let padding = padded(parameters.len()) - parameters.len();
        r.bytes(padding.min(r.remaining())).ok()?;
        Some(Self { algorithm, parameters })
    }

    /// Parameters over 65,535 bytes would not fit the attribute either, and are left out.
    fn write(self, out: &mut Vec<u8>) {
        let mut w = Writer::new(out);
        w.u16(self.algorithm.0);
        let (len, parameters) = u16::try_from(self.parameters.len()).map_or((0, &[][..]), |len| (len, self.parameters));
        w.u16(len);
        w.bytes(parameters);
        w.zeros(padded(parameters.len()) - parameters.len());
    }
}

impl<'a> Attribute<'a> for PasswordAlgorithm<'a> {
    const TYPE: AttributeType = AttributeType::PASSWORD_ALGORITHM;

    fn decode(value: &'a [u8], _: TransactionId) -> Result<Self, AttributeError> {
        let mut r = Reader::new(value);
        let algorithm = Self::read(&mut r).ok_or(AttributeError::WrongLength)?;
        if !r.is_empty() {
            return Err(AttributeError::WrongLength);
        }
        Ok(algorithm)
    }

    fn encode(self, _: TransactionId, out: &mut Vec<u8>) {
        self.write(out);
    }
}

/// PASSWORD-ALGORITHMS (RFC 8489 §14.11): what the server accepts, the one it prefers first. A client echoes it, and the
/// server compares, so that nobody between can take the better ones away (§9.2.1).
#[derive(Clone, Copy, Debug)]
pub struct PasswordAlgorithms<'a>(List<'a>);

#[derive(Clone, Copy, Debug)]
enum List<'a> {
    /// As received; whole entries.
    Wire(&'a [u8]),
    /// To be sent.
    Entries(&'a [PasswordAlgorithm<'a>]),
}

impl<'a> PasswordAlgorithms<'a> {
    /// These, in order of preference.
    #[must_use]
    pub const fn new(algorithms: &'a [PasswordAlgorithm<'a>]) -> Self {
        Self(List::Entries(algorithms))
    }

    /// The algorithms, in order of preference.
    pub fn iter(&self) -> impl Iterator<Item = PasswordAlgorithm<'a>> + use<'a> {
        let (mut wire, entries) = match self.0 {
            List::Wire(bytes) => (Reader::new(bytes), &[][..]),
            List::Entries(entries) => (Reader::new(&[]), entries),
        };
        std::iter::from_fn(move || PasswordAlgorithm::read(&mut wire)).chain(entries.iter().copied())
    }
}

impl PartialEq for PasswordAlgorithms<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for PasswordAlgorithms<'_> {}

impl<'a> Attribute<'a> for PasswordAlgorithms<'a> {
    const TYPE: AttributeType = AttributeType::PASSWORD_ALGORITHMS;

    fn decode(value: &'a [u8], _: TransactionId) -> Result<Self, AttributeError> {
        let mut r = Reader::new(value);
        while !r.is_empty() {
            PasswordAlgorithm::read(&mut r).ok_or(AttributeError::WrongLength)?;
        }
        Ok(Self(List::Wire(value)))
    }

    fn encode(self, _: TransactionId, out: &mut Vec<u8>) {
        self.iter().for_each(|algorithm| algorithm.write(out));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: TransactionId = TransactionId([0; 12]);

    #[test]
    fn a_list_survives_with_unknown_algorithms_and_parameters() {
        let other = PasswordAlgorithm {
            algorithm: Algorithm(9),
            parameters: b"salty",
        };
        let list = [PasswordAlgorithm::SHA256, other, PasswordAlgorithm::MD5];
        let mut out = Vec::new();
        PasswordAlgorithms::new(&list).encode(ID, &mut out);
        assert_eq!(out, b"\x00\x02\x00\x00\x00\x09\x00\x05salty\0\0\0\x00\x01\x00\x00");
        let decoded = PasswordAlgorithms::decode(&out, ID).unwrap();
        assert_eq!(decoded, PasswordAlgorithms::new(&list));
        assert_ne!(decoded, PasswordAlgorithms::new(&list[..2]));
        assert!(decoded.iter().eq(list));
    }

    #[test]
    fn entries_past_the_end_are_refused() {
        assert_eq!(
            PasswordAlgorithm::decode(&[0, 2, 0], ID),
            Err(AttributeError::WrongLength)
        );
        assert_eq!(
            PasswordAlgorithm::decode(&[0, 2, 0, 4, 1, 2, 3], ID),
            Err(AttributeError::WrongLength)
        );
        assert_eq!(
            PasswordAlgorithm::decode(&[0, 2, 0, 0, 0, 1, 0, 0], ID),
            Err(AttributeError::WrongLength)
        );
        assert!(PasswordAlgorithms::decode(&[0, 2, 0, 0, 0, 1], ID).is_err());
    }
}

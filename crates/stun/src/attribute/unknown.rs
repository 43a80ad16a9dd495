//! UNKNOWN-ATTRIBUTES (RFC 8489 §14.13): a list of 16-bit types.

use super::{Attribute, AttributeType};
use crate::{AttributeError, TransactionId};

/// UNKNOWN-ATTRIBUTES: what the responder did not understand, with error 420.
#[derive(Clone, Copy, Debug)]
pub struct UnknownAttributes<'a>(List<'a>);

#[derive(Clone, Copy, Debug)]
enum List<'a> {
    /// As received; an even number of bytes.
    Wire(&'a [u8]),
    /// To be sent.
    Types(&'a [AttributeType]),
}

impl<'a> UnknownAttributes<'a> {
    /// These types.
    #[must_use]
    pub const fn new(types: &'a [AttributeType]) -> Self {
        Self(List::Types(types))
    }

    /// The types.
    pub fn iter(&self) -> impl Iterator<Item = AttributeType> + use<'a> {
        let (wire, types) = match self.0 {
            List::Wire(bytes) => (bytes, &[][..]),
            List::Types(types) => (&[][..], types),
        };
        let wire = wire.as_chunks::<2>().0.iter();
        wire.map(|&kind| AttributeType(u16::from_be_bytes(kind)))
            .chain(types.iter().copied())
    }
}

impl PartialEq for UnknownAttributes<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for UnknownAttributes<'_> {}

impl<'a> Attribute<'a> for UnknownAttributes<'a> {
    const TYPE: AttributeType = AttributeType::UNKNOWN_ATTRIBUTES;

    fn decode(value: &'a [u8], _: TransactionId) -> Result<Self, AttributeError> {
        if !value.len().is_multiple_of(2) {
            return Err(AttributeError::WrongLength);
        }
        Ok(Self(List::Wire(value)))
    }

    fn encode(self, _: TransactionId, out: &mut Vec<u8>) {
        self.iter()
            .for_each(|kind| out.extend_from_slice(&kind.0.to_be_bytes()));
    }
}

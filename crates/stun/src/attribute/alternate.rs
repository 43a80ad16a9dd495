//! What a server says about itself and where else to go: SOFTWARE and ALTERNATE-DOMAIN (RFC 8489 §14.14, §14.16).
//! ALTERNATE-SERVER is among the [addresses](super::AlternateServer).

use super::shapes::text_attribute;
use super::{Attribute, AttributeType, text};
use crate::{AttributeError, TransactionId};

text_attribute! {
    /// SOFTWARE (RFC 8489 §14.14): which program sent the message, for diagnosis only; fewer than 128 characters.
    Software, SOFTWARE
}

/// ALTERNATE-DOMAIN (RFC 8489 §14.16): the name to expect in the certificate of ALTERNATE-SERVER.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AlternateDomain<'a>(pub &'a str);

impl<'a> Attribute<'a> for AlternateDomain<'a> {
    const TYPE: AttributeType = AttributeType::ALTERNATE_DOMAIN;

    /// "It MUST be a valid DNS name [...] of 255 or fewer ASCII characters."
    fn decode(value: &'a [u8], _: TransactionId) -> Result<Self, AttributeError> {
        let domain = text(value, 255)?;
        if !domain.is_ascii() {
            return Err(AttributeError::OutOfRange);
        }
        Ok(Self(domain))
    }

    fn encode(self, _: TransactionId, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.as_bytes());
    }
}

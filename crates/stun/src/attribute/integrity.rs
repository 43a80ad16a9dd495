//! The attributes that vouch for the message: MESSAGE-INTEGRITY, MESSAGE-INTEGRITY-SHA256, FINGERPRINT (RFC 8489 §14.5 to
//! §14.7). These are their bare values: [`Message::verify`](crate::Message::verify) checks them,
//! [`MessageBuilder::integrity`](crate::MessageBuilder::integrity) and its siblings make them.

use super::{Attribute, AttributeType, exactly};
use crate::{AttributeError, TransactionId};

/// "XOR'ed with the 32-bit value 0x5354554e" (§14.7).
pub(crate) const FINGERPRINT_XOR: u32 = 0x5354_554e;

/// MESSAGE-INTEGRITY (RFC 8489 §14.5): an HMAC-SHA1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageIntegrity(pub [u8; 20]);

impl<'a> Attribute<'a> for MessageIntegrity {
    const TYPE: AttributeType = AttributeType::MESSAGE_INTEGRITY;

    fn decode(value: &'a [u8], _: TransactionId) -> Result<Self, AttributeError> {
        exactly(value).map(Self)
    }

    fn encode(self, _: TransactionId, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

/// MESSAGE-INTEGRITY-SHA256 (RFC 8489 §14.6): the beginning of an HMAC-SHA256, of 16, 20, 24, 28 or 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageIntegritySha256<'a>(pub &'a [u8]);

impl<'a> Attribute<'a> for MessageIntegritySha256<'a> {
    const TYPE: AttributeType = AttributeType::MESSAGE_INTEGRITY_SHA256;

    fn decode(value: &'a [u8], _: TransactionId) -> Result<Self, AttributeError> {
        if !(16..=32).contains(&value.len()) || !value.len().is_multiple_of(4) {
            return Err(AttributeError::WrongLength);
        }
        Ok(Self(value))
    }

    fn encode(self, _: TransactionId, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0);
    }
}

/// FINGERPRINT (RFC 8489 §14.7): the CRC-32 of everything before it, exclusive-or 0x5354554E.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(pub u32);

impl<'a> Attribute<'a> for Fingerprint {
    const TYPE: AttributeType = AttributeType::FINGERPRINT;

    fn decode(value: &'a [u8], _: TransactionId) -> Result<Self, AttributeError> {
        exactly(value).map(u32::from_be_bytes).map(Self)
    }

    fn encode(self, _: TransactionId, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_be_bytes());
    }
}

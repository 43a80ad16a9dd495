//! What ICE adds to a Binding request (RFC 8445 §16.1): PRIORITY, USE-CANDIDATE, ICE-CONTROLLED, ICE-CONTROLLING; and
//! libwebrtc's GOOG-NETWORK-INFO.

use super::{Attribute, AttributeType, exactly};
use crate::{AttributeError, TransactionId};

/// PRIORITY: that of the peer-reflexive candidate which this check may discover (RFC 8445 §7.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Priority(pub u32);

impl<'a> Attribute<'a> for Priority {
    const TYPE: AttributeType = AttributeType::PRIORITY;

    fn decode(value: &'a [u8], _: TransactionId) -> Result<Self, AttributeError> {
        exactly(value).map(u32::from_be_bytes).map(Self)
    }

    fn encode(self, _: TransactionId, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_be_bytes());
    }
}

/// USE-CANDIDATE: the controlling agent nominates the pair (RFC 8445 §7.1.2). It has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UseCandidate;

impl<'a> Attribute<'a> for UseCandidate {
    const TYPE: AttributeType = AttributeType::USE_CANDIDATE;

    fn decode(value: &'a [u8], _: TransactionId) -> Result<Self, AttributeError> {
        exactly::<0>(value).map(|_| Self)
    }

    fn encode(self, _: TransactionId, _: &mut Vec<u8>) {}
}

/// ICE-CONTROLLED: the sender believes to be controlled, and this is its tie-breaker (RFC 8445 §7.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IceControlled(pub u64);

impl<'a> Attribute<'a> for IceControlled {
    const TYPE: AttributeType = AttributeType::ICE_CONTROLLED;

    fn decode(value: &'a [u8], _: TransactionId) -> Result<Self, AttributeError> {
        exactly(value).map(u64::from_be_bytes).map(Self)
    }

    fn encode(self, _: TransactionId, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_be_bytes());
    }
}

/// ICE-CONTROLLING: the sender believes to be controlling, and this is its tie-breaker (RFC 8445 §7.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IceControlling(pub u64);

impl<'a> Attribute<'a> for IceControlling {
    const TYPE: AttributeType = AttributeType::ICE_CONTROLLING;

    fn decode(value: &'a [u8], _: TransactionId) -> Result<Self, AttributeError> {
        exactly(value).map(u64::from_be_bytes).map(Self)
    }

    fn encode(self, _: TransactionId, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_be_bytes());
    }
}

/// GOOG-NETWORK-INFO: libwebrtc says in each check which of its networks it leaves by, and what that costs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NetworkInfo {
    /// The sender's own number for the network.
    pub id: u16,
    /// From 0 (free) to 999; 10 for Wi-Fi, 900 for cellular.
    pub cost: u16,
}

impl<'a> Attribute<'a> for NetworkInfo {
    const TYPE: AttributeType = AttributeType::NETWORK_INFO;

    fn decode(value: &'a [u8], _: TransactionId) -> Result<Self, AttributeError> {
        let [a, b, c, d] = exactly(value)?;
        Ok(Self {
            id: u16::from_be_bytes([a, b]),
            cost: u16::from_be_bytes([c, d]),
        })
    }

    fn encode(self, _: TransactionId, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id.to_be_bytes());
        out.extend_from_slice(&self.cost.to_be_bytes());
    }
}

//! What ICE adds to a Binding request (RFC 8445 §16.1): PRIORITY, USE-CANDIDATE, ICE-CONTROLLED, ICE-CONTROLLING; libwebrtc's
//! NOMINATION and GOOG-NETWORK-INFO; and DTLS within checks (draft-hancke-webrtc-sped).

use super::shapes::{bytes_attribute, empty_attribute, number_attribute};
use super::{Attribute, AttributeType, exactly};
use crate::{AttributeError, TransactionId};

number_attribute! {
    /// PRIORITY: that of the peer-reflexive candidate which this check may discover (RFC 8445 §7.1.1).
    Priority(u32), PRIORITY
}

empty_attribute! {
    /// USE-CANDIDATE: the controlling agent nominates the pair (RFC 8445 §7.1.2). It has no value.
    UseCandidate, USE_CANDIDATE
}

number_attribute! {
    /// ICE-CONTROLLED: the sender believes to be controlled, and this is its tie-breaker (RFC 8445 §7.1.3).
    IceControlled(u64), ICE_CONTROLLED
}

number_attribute! {
    /// ICE-CONTROLLING: the sender believes to be controlling, and this is its tie-breaker (RFC 8445 §7.1.3).
    IceControlling(u64), ICE_CONTROLLING
}

number_attribute! {
    /// NOMINATION: the pair with the highest number is the one to use, whatever was nominated before
    /// (draft-thatcher-ice-renomination).
    Nomination(u32), NOMINATION
}

bytes_attribute! {
    /// META-DTLS-IN-STUN: a datagram of DTLS, in a connectivity check or the response to one (draft-hancke-webrtc-sped).
    MetaDtlsInStun, META_DTLS_IN_STUN
}

bytes_attribute! {
    /// META-DTLS-IN-STUN-ACKNOWLEDGEMENT: the CRC-32s of the datagrams that have come that way, four bytes each. Empty, it says
    /// that the sender knows of it (draft-hancke-webrtc-sped).
    MetaDtlsInStunAcknowledgement, META_DTLS_IN_STUN_ACKNOWLEDGEMENT
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

//! TURN (RFC 8656 §18) and TURN over TCP (RFC 6062 §6.2). XOR-PEER-ADDRESS and XOR-RELAYED-ADDRESS are among the
//! [addresses](super::XorPeerAddress), ADDRESS-ERROR-CODE is with [ERROR-CODE](super::AddressErrorCode).

use super::shapes::{bytes_attribute, empty_attribute, number_attribute};
use super::{AddressFamily, Attribute, AttributeType, exactly};
use crate::{AttributeError, ChannelNumber, TransactionId};

/// CHANNEL-NUMBER (RFC 8656 §18.1).
impl<'a> Attribute<'a> for ChannelNumber {
    const TYPE: AttributeType = AttributeType::CHANNEL_NUMBER;

    fn decode(value: &'a [u8], _: TransactionId) -> Result<Self, AttributeError> {
        // The last two are RFFU, which "MUST be ignored on reception".
        let [a, b, _, _] = exactly(value)?;
        Ok(Self(u16::from_be_bytes([a, b])))
    }

    fn encode(self, _: TransactionId, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_be_bytes());
        out.extend_from_slice(&[0, 0]);
    }
}

number_attribute! {
    /// LIFETIME (RFC 8656 §18.2): how long an allocation lasts without a refresh, in seconds.
    Lifetime(u32), LIFETIME
}

bytes_attribute! {
    /// DATA (RFC 8656 §18.4): the application data of a Send or Data indication.
    Data, DATA
}

/// REQUESTED-ADDRESS-FAMILY (RFC 8656 §18.6): the family to allocate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestedAddressFamily(pub AddressFamily);

impl<'a> Attribute<'a> for RequestedAddressFamily {
    const TYPE: AttributeType = AttributeType::REQUESTED_ADDRESS_FAMILY;

    fn decode(value: &'a [u8], _: TransactionId) -> Result<Self, AttributeError> {
        let [family, _, _, _] = exactly(value)?;
        Ok(Self(AddressFamily(family)))
    }

    fn encode(self, _: TransactionId, out: &mut Vec<u8>) {
        out.extend_from_slice(&[self.0.0, 0, 0, 0]);
    }
}

/// ADDITIONAL-ADDRESS-FAMILY (RFC 8656 §18.11): a second family to allocate, IPv6 beside IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AdditionalAddressFamily(pub AddressFamily);

impl<'a> Attribute<'a> for AdditionalAddressFamily {
    const TYPE: AttributeType = AttributeType::ADDITIONAL_ADDRESS_FAMILY;

    fn decode(value: &'a [u8], _: TransactionId) -> Result<Self, AttributeError> {
        let [family, _, _, _] = exactly(value)?;
        Ok(Self(AddressFamily(family)))
    }

    fn encode(self, _: TransactionId, out: &mut Vec<u8>) {
        out.extend_from_slice(&[self.0.0, 0, 0, 0]);
    }
}

/// EVEN-PORT (RFC 8656 §18.7): the relayed port must be even.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EvenPort {
    /// The server shall also set aside the next port, and name it in RESERVATION-TOKEN.
    pub reserve_next: bool,
}

impl<'a> Attribute<'a> for EvenPort {
    const TYPE: AttributeType = AttributeType::EVEN_PORT;

    fn decode(value: &'a [u8], _: TransactionId) -> Result<Self, AttributeError> {
        let [flags] = exactly(value)?;
        Ok(Self {
            reserve_next: flags & 0x80 != 0,
        })
    }

    fn encode(self, _: TransactionId, out: &mut Vec<u8>) {
        out.push(u8::from(self.reserve_next) << 7);
    }
}

/// REQUESTED-TRANSPORT (RFC 8656 §18.8): the protocol between server and peer, as the number in the IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestedTransport(pub u8);

impl RequestedTransport {
    /// UDP.
    pub const UDP: Self = Self(17);
    /// TCP (RFC 6062).
    pub const TCP: Self = Self(6);
}

impl<'a> Attribute<'a> for RequestedTransport {
    const TYPE: AttributeType = AttributeType::REQUESTED_TRANSPORT;

    fn decode(value: &'a [u8], _: TransactionId) -> Result<Self, AttributeError> {
        let [protocol, _, _, _] = exactly(value)?;
        Ok(Self(protocol))
    }

    fn encode(self, _: TransactionId, out: &mut Vec<u8>) {
        out.extend_from_slice(&[self.0, 0, 0, 0]);
    }
}

empty_attribute! {
    /// DONT-FRAGMENT (RFC 8656 §18.9): the server shall set DF towards the peer. It has no value.
    DontFragment, DONT_FRAGMENT
}

/// RESERVATION-TOKEN (RFC 8656 §18.10): names a port that the server set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReservationToken(pub [u8; 8]);

impl<'a> Attribute<'a> for ReservationToken {
    const TYPE: AttributeType = AttributeType::RESERVATION_TOKEN;

    fn decode(value: &'a [u8], _: TransactionId) -> Result<Self, AttributeError> {
        exactly(value).map(Self)
    }

    fn encode(self, _: TransactionId, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

/// ICMP (RFC 8656 §18.13): why a datagram to the peer was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Icmp {
    /// The ICMP type; the peer's address family says whether ICMPv4 or ICMPv6.
    pub kind: u8,
    /// The ICMP code.
    pub code: u8,
    /// The next hop's MTU in bytes if the datagram was too big, else 0.
    pub data: u32,
}

impl<'a> Attribute<'a> for Icmp {
    const TYPE: AttributeType = AttributeType::ICMP;

    fn decode(value: &'a [u8], _: TransactionId) -> Result<Self, AttributeError> {
        let [_, _, kind, code, a, b, c, d] = exactly(value)?;
        Ok(Self {
            kind,
            code,
            data: u32::from_be_bytes([a, b, c, d]),
        })
    }

    fn encode(self, _: TransactionId, out: &mut Vec<u8>) {
        out.extend_from_slice(&[0, 0, self.kind, self.code]);
        out.extend_from_slice(&self.data.to_be_bytes());
    }
}

number_attribute! {
    /// CONNECTION-ID (RFC 6062 §6.2.1): names a connection between server and peer.
    ConnectionId(u32), CONNECTION_ID
}

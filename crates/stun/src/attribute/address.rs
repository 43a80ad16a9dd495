//! Transport addresses, plain and behind an exclusive-or (RFC 8489 §14.1, §14.2).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |0 0 0 0 0 0 0 0|    Family     |         Port (or X-Port)      |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |    Address (or X-Address), 32 bits or 128 bits                |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use super::{Attribute, AttributeType};
use crate::header::MAGIC_COOKIE;
use crate::{AttributeError, TransactionId};
use peerline_wire::{Reader, Writer};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Declares an attribute whose value is a transport address.
macro_rules! address {
    ($name:ident, $kind:ident, $decode:ident, $encode:ident, $doc:literal) => {
        #[doc = $doc]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $name(pub SocketAddr);

        impl<'a> Attribute<'a> for $name {
            const TYPE: AttributeType = AttributeType::$kind;

            fn decode(value: &'a [u8], transaction_id: TransactionId) -> Result<Self, AttributeError> {
                $decode(value, transaction_id).map(Self)
            }

            fn encode(self, transaction_id: TransactionId, out: &mut Vec<u8>) {
                $encode(self.0, transaction_id, out);
            }
        }
    };
}

address!(
    MappedAddress,
    MAPPED_ADDRESS,
    decode_plain,
    encode_plain,
    "MAPPED-ADDRESS (RFC 8489 §14.1): the request's source, as servers from before XOR-MAPPED-ADDRESS say it."
);
address!(
    XorMappedAddress,
    XOR_MAPPED_ADDRESS,
    decode_xor,
    encode_xor,
    "XOR-MAPPED-ADDRESS (RFC 8489 §14.2): the request's source as the responder saw it."
);
address!(
    AlternateServer,
    ALTERNATE_SERVER,
    decode_plain,
    encode_plain,
    "ALTERNATE-SERVER (RFC 8489 §14.15): the server to try instead, with error 300."
);
address!(
    XorPeerAddress,
    XOR_PEER_ADDRESS,
    decode_xor,
    encode_xor,
    "XOR-PEER-ADDRESS (RFC 8656 §18.3): the peer as the TURN server sees it."
);
address!(
    XorRelayedAddress,
    XOR_RELAYED_ADDRESS,
    decode_xor,
    encode_xor,
    "XOR-RELAYED-ADDRESS (RFC 8656 §18.5): the address the TURN server allocated."
);
address!(
    ResponseOrigin,
    RESPONSE_ORIGIN,
    decode_plain,
    encode_plain,
    "RESPONSE-ORIGIN (RFC 5780 §7.3): where the response is sent from."
);
address!(
    OtherAddress,
    OTHER_ADDRESS,
    decode_plain,
    encode_plain,
    "OTHER-ADDRESS (RFC 5780 §7.4): where a response comes from if CHANGE-REQUEST asks for another address and port."
);

/// An address family's number in STUN (RFC 8489 §14.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AddressFamily(pub u8);

impl AddressFamily {
    /// IPv4.
    pub const IPV4: Self = Self(1);
    /// IPv6.
    pub const IPV6: Self = Self(2);

    /// The family of an address.
    #[must_use]
    pub fn of(ip: IpAddr) -> Self {
        if ip.is_ipv4() { Self::IPV4 } else { Self::IPV6 }
    }
}

fn decode_plain(value: &[u8], _: TransactionId) -> Result<SocketAddr, AttributeError> {
    let mut r = Reader::new(value);
    // "The first 8 bits of the MAPPED-ADDRESS MUST be set to 0 and MUST be ignored by receivers."
    let [_, family] = r.array().map_err(|_| AttributeError::WrongLength)?;
    let port = r.u16().map_err(|_| AttributeError::WrongLength)?;
    let ip = match AddressFamily(family) {
        AddressFamily::IPV4 => Ipv4Addr::from(super::exactly::<4>(r.rest())?).into(),
        AddressFamily::IPV6 => Ipv6Addr::from(super::exactly::<16>(r.rest())?).into(),
        AddressFamily(_) => return Err(AttributeError::UnknownFamily),
    };
    Ok(SocketAddr::new(ip, port))
}

fn encode_plain(address: SocketAddr, _: TransactionId, out: &mut Vec<u8>) {
    let mut w = Writer::new(out);
    w.u8(0);
    w.u8(AddressFamily::of(address.ip()).0);
    w.u16(address.port());
    match address.ip() {
        IpAddr::V4(ip) => w.bytes(&ip.octets()),
        IpAddr::V6(ip) => w.bytes(&ip.octets()),
    }
}

fn decode_xor(value: &[u8], transaction_id: TransactionId) -> Result<SocketAddr, AttributeError> {
    Ok(xor(decode_plain(value, transaction_id)?, transaction_id))
}

fn encode_xor(address: SocketAddr, transaction_id: TransactionId, out: &mut Vec<u8>) {
    encode_plain(xor(address, transaction_id), transaction_id, out);
}

/// The port with the cookie's first half, the address with the cookie and, if longer, the transaction. Its own inverse.
fn xor(address: SocketAddr, TransactionId(transaction_id): TransactionId) -> SocketAddr {
    let port = address.port() ^ (MAGIC_COOKIE >> 16) as u16;
    let ip = match address.ip() {
        IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits() ^ MAGIC_COOKIE).into(),
        IpAddr::V6(ip) => {
            let transaction_id = transaction_id
                .iter()
                .fold(0, |bits, &byte| bits << 8 | u128::from(byte));
            Ipv6Addr::from_bits(ip.to_bits() ^ (u128::from(MAGIC_COOKIE) << 96 | transaction_id)).into()
        }
    };
    SocketAddr::new(ip, port)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: TransactionId = TransactionId(*b"\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae");

    #[test]
    fn short_and_long_addresses_are_refused() {
        let mut v4 = Vec::new();
        XorMappedAddress("192.0.2.1:32853".parse().unwrap()).encode(ID, &mut v4);
        assert_eq!(v4, [0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43]);
        for len in 0..8 {
            assert_eq!(
                XorMappedAddress::decode(&v4[..len], ID),
                Err(AttributeError::WrongLength),
                "{len} bytes"
            );
        }
        v4.push(0);
        assert_eq!(XorMappedAddress::decode(&v4, ID), Err(AttributeError::WrongLength));

        let mut v6 = Vec::new();
        XorMappedAddress("[2001:db8:1234:5678:11:2233:4455:6677]:32853".parse().unwrap()).encode(ID, &mut v6);
        assert_eq!(
            v6[4..],
            *b"\x01\x13\xa9\xfa\xa5\xd3\xf1\x79\xbc\x25\xf4\xb5\xbe\xd2\xb9\xd9"
        );
        for len in 0..20 {
            assert_eq!(
                XorMappedAddress::decode(&v6[..len], ID),
                Err(AttributeError::WrongLength),
                "{len} bytes"
            );
        }
    }

    #[test]
    fn other_families_are_refused() {
        assert_eq!(
            MappedAddress::decode(&[0, 3, 0, 0, 0, 0, 0, 0], ID),
            Err(AttributeError::UnknownFamily)
        );
        assert_eq!(
            MappedAddress::decode(&[0, 0, 0, 0, 0, 0, 0, 0], ID),
            Err(AttributeError::UnknownFamily)
        );
    }
}

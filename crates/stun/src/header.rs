//! The header of a STUN message (RFC 8489 §5).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |0 0|     STUN Message Type     |         Message Length        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                         Magic Cookie                          |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                     Transaction ID (96 bits)                  |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use crate::ParseError;
use peerline_wire::{Reader, Truncated, Writer};
use std::fmt;

/// The header's length in bytes.
pub(crate) const HEADER_LEN: usize = 20;

/// The magic cookie, 0x2112A442.
pub(crate) const MAGIC_COOKIE: u32 = 0x2112_A442;

/// True if `bytes` begin like a STUN message (RFC 8489 §5): two zero bits, a length that is a multiple of four, and the
/// magic cookie. It looks at the header only; whether the rest is there is for [`Message::parse`](crate::Message::parse).
#[must_use]
pub fn is_stun(bytes: &[u8]) -> bool {
    bytes.len() >= HEADER_LEN && Header::decode(&mut Reader::new(bytes)).is_ok()
}

/// The header's fields.
#[derive(Clone, Copy)]
pub(crate) struct Header {
    pub(crate) class: Class,
    pub(crate) method: Method,
    /// Bytes after the header; a multiple of four.
    pub(crate) len: u16,
    pub(crate) transaction_id: TransactionId,
}

impl Header {
    pub(crate) fn decode(r: &mut Reader<'_>) -> Result<Self, ParseError> {
        let message_type = r.u16()?;
        let len = r.u16()?;
        let cookie = r.u32()?;
        let transaction_id = TransactionId(r.array()?);
        // "The most significant 2 bits of every STUN message MUST be zeroes." (§5)
        if message_type & 0xC000 != 0 || cookie != MAGIC_COOKIE {
            return Err(ParseError::NotStun);
        }
        // "[...] the last 2 bits of this field are always zero." (§5)
        if len % 4 != 0 {
            return Err(ParseError::UnalignedLength);
        }
        let class = Class::from_message_type(message_type);
        let method = Method::from_message_type(message_type);
        Ok(Self {
            class,
            method,
            len,
            transaction_id,
        })
    }

    pub(crate) fn encode(self, w: &mut Writer<'_>) {
        let mut bytes = [0; HEADER_LEN];
        bytes[..2].copy_from_slice(&(self.class.bits() | self.method.message_type_bits()).to_be_bytes());
        bytes[2..4].copy_from_slice(&self.len.to_be_bytes());
        bytes[4..8].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
        bytes[8..].copy_from_slice(&self.transaction_id.0);
        w.bytes(&bytes);
    }
}

impl From<Truncated> for ParseError {
    fn from(_: Truncated) -> Self {
        Self::Truncated
    }
}

/// What a message is to its transaction (RFC 8489 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Asks for a response.
    Request,
    /// Asks for none.
    Indication,
    /// The request succeeded.
    SuccessResponse,
    /// The request failed; ERROR-CODE says why.
    ErrorResponse,
}

impl Class {
    /// The bits C1 (8) and C0 (4) of the message type.
    fn from_message_type(message_type: u16) -> Self {
        match (message_type & 0x0100 != 0, message_type & 0x0010 != 0) {
            (false, false) => Self::Request,
            (false, true) => Self::Indication,
            (true, false) => Self::SuccessResponse,
            (true, true) => Self::ErrorResponse,
        }
    }

    fn bits(self) -> u16 {
        match self {
            Self::Request => 0,
            Self::Indication => 0x0010,
            Self::SuccessResponse => 0x0100,
            Self::ErrorResponse => 0x0110,
        }
    }

    /// True for both kinds of response.
    #[must_use]
    pub fn is_response(self) -> bool {
        matches!(self, Self::SuccessResponse | Self::ErrorResponse)
    }
}

/// What is asked for: a number of 12 bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Method(u16);

impl Method {
    /// Binding (RFC 8489).
    pub const BINDING: Self = Self(0x001);
    /// Allocate (RFC 8656).
    pub const ALLOCATE: Self = Self(0x003);
    /// Refresh (RFC 8656).
    pub const REFRESH: Self = Self(0x004);
    /// Send (RFC 8656; indications only).
    pub const SEND: Self = Self(0x006);
    /// Data (RFC 8656; indications only).
    pub const DATA: Self = Self(0x007);
    /// CreatePermission (RFC 8656).
    pub const CREATE_PERMISSION: Self = Self(0x008);
    /// ChannelBind (RFC 8656).
    pub const CHANNEL_BIND: Self = Self(0x009);
    /// Connect (RFC 6062).
    pub const CONNECT: Self = Self(0x00A);
    /// ConnectionBind (RFC 6062).
    pub const CONNECTION_BIND: Self = Self(0x00B);
    /// ConnectionAttempt (RFC 6062; indications only).
    pub const CONNECTION_ATTEMPT: Self = Self(0x00C);

    /// The method with this number, or `None` if it does not fit 12 bits.
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        if number < 0x1000 { Some(Self(number)) } else { None }
    }

    /// The number, below 0x1000.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }

    /// The bits M11 to M0 lie around C1 and C0 (§5, figure 3).
    fn from_message_type(message_type: u16) -> Self {
        Self(message_type & 0x000F | message_type >> 1 & 0x0070 | message_type >> 2 & 0x0F80)
    }

    fn message_type_bits(self) -> u16 {
        self.0 & 0x000F | (self.0 & 0x0070) << 1 | (self.0 & 0x0F80) << 2
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::BINDING => "Binding",
            Self::ALLOCATE => "Allocate",
            Self::REFRESH => "Refresh",
            Self::SEND => "Send",
            Self::DATA => "Data",
            Self::CREATE_PERMISSION => "CreatePermission",
            Self::CHANNEL_BIND => "ChannelBind",
            Self::CONNECT => "Connect",
            Self::CONNECTION_BIND => "ConnectionBind",
            Self::CONNECTION_ATTEMPT => "ConnectionAttempt",
            Self(number) => return write!(f, "Method({number:#05x})"),
        })
    }
}

/// Names a transaction: 96 bits, uniformly and unpredictably random for each request (RFC 8489 §5).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransactionId(pub [u8; 12]);

impl fmt::Debug for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(class: Class, method: Method) -> u16 {
        let mut out = Vec::new();
        Header {
            class,
            method,
            len: 8,
            transaction_id: TransactionId([7; 12]),
        }
        .encode(&mut Writer::new(&mut out));
        let header = Header::decode(&mut Reader::new(&out)).expect("a header we wrote");
        assert_eq!((header.class, header.method, header.len), (class, method, 8));
        assert_eq!(header.transaction_id, TransactionId([7; 12]));
        u16::from_be_bytes([out[0], out[1]])
    }

    #[test]
    fn every_message_type_survives() {
        for number in 0..0x1000 {
            let method = Method::new(number).expect("twelve bits");
            for class in [
                Class::Request,
                Class::Indication,
                Class::SuccessResponse,
                Class::ErrorResponse,
            ] {
                assert_eq!(round_trip(class, method) & 0xC000, 0);
            }
        }
        assert_eq!(Method::new(0x1000), None);
    }

    #[test]
    fn message_types_are_the_registered_ones() {
        assert_eq!(round_trip(Class::Request, Method::BINDING), 0x0001);
        assert_eq!(round_trip(Class::SuccessResponse, Method::BINDING), 0x0101);
        assert_eq!(round_trip(Class::ErrorResponse, Method::ALLOCATE), 0x0113);
        assert_eq!(round_trip(Class::Indication, Method::SEND), 0x0016);
        assert_eq!(round_trip(Class::Indication, Method::CONNECTION_ATTEMPT), 0x001C);
    }

    #[test]
    fn other_protocols_are_not_stun() {
        let stun = *b"\x00\x01\x00\x00\x21\x12\xa4\x42transaction!";
        assert!(is_stun(&stun));
        assert!(!is_stun(&stun[..19]));
        for (at, byte) in [(0, 0x40), (0, 0x80), (3, 1), (4, 0x20)] {
            let mut other = stun;
            other[at] = byte;
            assert!(!is_stun(&other));
        }
    }
}

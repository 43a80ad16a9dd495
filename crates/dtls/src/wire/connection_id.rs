//! Connection IDs (RFC 9146, RFC 9147 §9): what a record is told by that comes from another address.

use peerline_wire::{Reader, Writer};

use super::record::{ContentType, RecordHeader};
use super::unified::UnifiedHeader;
use super::{ParseError, exactly, number};

/// What a peer writes into its records so that they are known as this connection's: at most 255 bytes, chosen by who receives them.
/// An empty one asks for records without.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ConnectionId(Box<[u8]>);

impl ConnectionId {
    /// The most bytes that one has.
    pub const MAX_LEN: usize = 255;

    /// These bytes; `None` if they are more than 255.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (bytes.len() <= Self::MAX_LEN).then(|| Self(bytes.into()))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// How many bytes it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The one in a datagram's first record, if it has one, for whoever shares a socket among connections: nothing on the wire tells
    /// how long it is, so all of them have the same length. Anyone can write it: it says whom to ask, not who speaks.
    #[must_use]
    pub fn of_datagram(datagram: &[u8], len: usize) -> Option<&[u8]> {
        let first = *datagram.first()?;
        if UnifiedHeader::begins_with(first) {
            return UnifiedHeader::decode(&mut Reader::new(datagram), len)
                .ok()?
                .connection_id;
        }
        let after = RecordHeader::CONNECTION_ID_AT;
        (ContentType(first) == ContentType::TLS12_CID)
            .then(|| datagram.get(after..after + len))
            .flatten()
    }

    /// Reads the body of the extension `connection_id` (RFC 9146 §3).
    ///
    /// # Errors
    /// [`ParseError`] unless the bytes are exactly one.
    pub fn decode(data: &[u8]) -> Result<Self, ParseError> {
        exactly(data, Self::read)
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, ParseError> {
        Ok(Self(r.length_u8()?.rest().into()))
    }

    /// Appends it, behind its length.
    pub fn encode(&self, w: &mut Writer<'_>) {
        w.length_u8(|w| w.bytes(&self.0));
    }
}

number! {
    /// When connection IDs are to be used (RFC 9147 §9).
    ConnectionIdUsage(u8) {
        /// One of them from now on.
        IMMEDIATE = 0,
        /// When there is need.
        SPARE = 1,
    }
}

/// Connection IDs for the receiver to write into its records (RFC 9147 §9).
///
/// ```text
///  length (2) | { length (1) | id } … | usage (1)
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewConnectionId {
    /// The IDs, in the order in which to use them.
    pub connection_ids: Vec<ConnectionId>,
    /// When.
    pub usage: ConnectionIdUsage,
}

impl NewConnectionId {
    /// Reads the body.
    ///
    /// # Errors
    /// [`ParseError`] unless the bytes are exactly one.
    pub fn decode(body: &[u8]) -> Result<Self, ParseError> {
        exactly(body, |r| {
            let mut list = r.length_u16()?;
            let mut connection_ids = Vec::new();
            while !list.is_empty() {
                connection_ids.push(ConnectionId::read(&mut list)?);
            }
            let usage = ConnectionIdUsage(r.u8()?);
            Ok(Self { connection_ids, usage })
        })
    }

    /// Appends the body.
    pub fn encode(&self, w: &mut Writer<'_>) {
        w.length_u16(|w| self.connection_ids.iter().for_each(|id| id.encode(w)));
        w.u8(self.usage.0);
    }
}

/// The sender wants connection IDs for its records (RFC 9147 §9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestConnectionId {
    /// How many.
    pub count: u8,
}

impl RequestConnectionId {
    /// Reads the body.
    ///
    /// # Errors
    /// [`ParseError`] unless there is exactly one byte.
    pub fn decode(body: &[u8]) -> Result<Self, ParseError> {
        exactly(body, |r| Ok(Self { count: r.u8()? }))
    }

    /// Appends the body.
    pub fn encode(&self, w: &mut Writer<'_>) {
        w.u8(self.count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_read_back_what_was_written() {
        let ids = [&[1, 2, 3][..], &[], &[7; 255]].map(|bytes| ConnectionId::new(bytes).unwrap());
        assert_eq!(ConnectionId::new(&[0; 256]), None);
        let message = NewConnectionId {
            connection_ids: ids.to_vec(),
            usage: ConnectionIdUsage::SPARE,
        };
        let mut bytes = Vec::new();
        message.encode(&mut Writer::new(&mut bytes));
        assert_eq!(bytes[..6], [1, 5, 3, 1, 2, 3]);
        assert_eq!(bytes.last(), Some(&1));
        assert_eq!(NewConnectionId::decode(&bytes), Ok(message));
        bytes[1] += 1;
        assert!(NewConnectionId::decode(&bytes).is_err());
        assert_eq!(
            ConnectionId::decode(&[2, 8, 9]),
            Ok(ConnectionId::new(&[8, 9]).unwrap())
        );
        assert_eq!(ConnectionId::decode(&[2, 8]), Err(ParseError::Truncated));
        assert_eq!(ConnectionId::decode(&[0, 8]), Err(ParseError::TrailingBytes));
    }

    /// The examples of RFC 9146 §4 and RFC 9147 §4, with an ID of five bytes.
    #[test]
    fn a_datagram_says_whose_it_is() {
        let of_12 = b"\x19\xfe\xfd\0\x01\0\0\0\0\0\x07hello\0\x02xx";
        assert_eq!(ConnectionId::of_datagram(of_12, 5), Some(&b"hello"[..]));
        assert_eq!(ConnectionId::of_datagram(&of_12[..15], 5), None);
        assert_eq!(
            ConnectionId::of_datagram(b"\x3fhello\0\0\0\x02xx", 5),
            Some(&b"hello"[..])
        );
        assert_eq!(ConnectionId::of_datagram(b"\x2fhello\0\0\0\x02xx", 5), None);
        assert_eq!(
            ConnectionId::of_datagram(b"\x17\xfe\xfd\0\x01\0\0\0\0\0\x07hello", 5),
            None
        );
        assert_eq!(ConnectionId::of_datagram(b"", 5), None);
    }
}

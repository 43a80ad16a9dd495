//! Records (RFC 6347 §4.1): the envelope of everything DTLS 1.2 sends, and of plaintext in DTLS 1.3.

use bytes::{Buf, BytesMut};
use peerline_wire::{Reader, Writer};

use super::{ParseError, ProtocolVersion, number};

number! {
    /// What a record carries (RFC 5246 §6.2.1).
    ContentType(u8) {
        /// The single byte 1: the sender's next record is in the next epoch.
        CHANGE_CIPHER_SPEC = 20,
        /// An alert.
        ALERT = 21,
        /// Handshake fragments.
        HANDSHAKE = 22,
        /// The payload of the layer above.
        APPLICATION_DATA = 23,
        /// A record of DTLS 1.2 with a connection ID; what it carries is told inside (RFC 9146 §4).
        TLS12_CID = 25,
        /// Which handshake records have arrived (RFC 9147 §7).
        ACK = 26,
        /// Messages of the return routability check (RFC 9853 §4).
        RETURN_ROUTABILITY_CHECK = 27,
    }
}

/// The 13 bytes before the payload of each record of DTLS 1.2, and of each plaintext record of DTLS 1.3.
///
/// ```text
///  type (1) | version (2) | epoch (2) | sequence_number (6) | connection_id, if the type is tls12_cid | length (2)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// What the record carries.
    pub content_type: ContentType,
    /// The version the sender speaks.
    pub version: ProtocolVersion,
    /// How often the sender's keys have changed: 0 is plaintext.
    pub epoch: u16,
    /// The record's number in its epoch, 48 bits.
    pub sequence_number: u64,
    /// How many bytes of payload follow, ciphertext expansion included.
    pub length: u16,
}

impl RecordHeader {
    /// The header's length in bytes.
    pub const LEN: usize = 13;

    /// Where a connection ID stands, if there is one: before the length (RFC 9146 §4).
    pub(crate) const CONNECTION_ID_AT: usize = Self::LEN - 2;

    /// The highest sequence number: 2^48 − 1.
    pub const MAX_SEQUENCE_NUMBER: u64 = (1 << 48) - 1;

    /// The longest plaintext a record may carry, 2^14 bytes (RFC 5246 §6.2.1).
    pub const MAX_PLAINTEXT: usize = 1 << 14;

    /// The longest payload of a protected record, 2^14 + 2048 bytes (RFC 5246 §6.2.3).
    pub const MAX_CIPHERTEXT: usize = Self::MAX_PLAINTEXT + 2048;

    /// Reads a header.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] if fewer than 13 bytes are left.
    pub fn decode(r: &mut Reader<'_>) -> Result<Self, ParseError> {
        Ok(Self {
            content_type: ContentType(r.u8()?),
            version: ProtocolVersion(r.u16()?),
            epoch: r.u16()?,
            sequence_number: r.u48()?,
            length: r.u16()?,
        })
    }

    /// Appends the header, without a connection ID.
    pub fn encode(&self, w: &mut Writer<'_>) {
        let mut bytes = [0; Self::LEN];
        bytes[0] = self.content_type.0;
        bytes[1..3].copy_from_slice(&self.version.0.to_be_bytes());
        bytes[3..11].copy_from_slice(&self.sequence_u64().to_be_bytes());
        bytes[11..].copy_from_slice(&self.length.to_be_bytes());
        w.bytes(&bytes);
    }

    /// Epoch and sequence number as the 64-bit number that the AEADs know as `seq_num` (RFC 6347 §4.1.2.1).
    #[must_use]
    pub fn sequence_u64(&self) -> u64 {
        u64::from(self.epoch) << 48 | self.sequence_number
    }
}

/// One record of a datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its header.
    pub header: RecordHeader,
    /// Its connection ID, if its type is [`ContentType::TLS12_CID`]: a slice of the datagram.
    pub connection_id: BytesMut,
    /// Its payload, a slice of the datagram.
    pub payload: BytesMut,
}

impl Record {
    /// Splits the first record off a datagram, without copying.
    ///
    /// # Errors
    /// [`ParseError`] if the datagram does not begin with a whole record that keeps to the length limits. What it
    /// holds can then not be told apart, and the rest is to be discarded (RFC 6347 §4.1.2.7). Likewise if it has a connection ID.
    pub fn split_off(datagram: &mut BytesMut) -> Result<Self, ParseError> {
        Self::split_off_with(datagram, 0)
    }

    /// The same, if connection IDs have so many bytes: 0 if there are none.
    ///
    /// # Errors
    /// As [`split_off`](Self::split_off).
    pub fn split_off_with(datagram: &mut BytesMut, connection_id_len: usize) -> Result<Self, ParseError> {
        if datagram.first() == Some(&ContentType::TLS12_CID.0) {
            return Self::split_off_identified(datagram, connection_id_len);
        }
        let header = RecordHeader::decode(&mut Reader::new(datagram))?;
        let length = usize::from(header.length);
        let limit = if header.epoch == 0 {
            RecordHeader::MAX_PLAINTEXT
        } else {
            RecordHeader::MAX_CIPHERTEXT
        };
        if length > limit {
            return Err(ParseError::BadLength);
        }
        if datagram.len() < RecordHeader::LEN + length {
            return Err(ParseError::Truncated);
        }
        // Most datagrams are one record: nothing is left that would have to share their buffer.
        let mut payload = if datagram.len() == RecordHeader::LEN + length {
            std::mem::take(datagram)
        } else {
            datagram.split_to(RecordHeader::LEN + length)
        };
        payload.advance(RecordHeader::LEN);
        Ok(Self {
            header,
            connection_id: BytesMut::new(),
            payload,
        })
    }

    /// RFC 9146 §4: a record with a connection ID.
    fn split_off_identified(datagram: &mut BytesMut, connection_id_len: usize) -> Result<Self, ParseError> {
        // "The CID field is present and contains one or more bytes."
        if connection_id_len == 0 {
            return Err(ParseError::Unsupported);
        }
        let mut r = Reader::new(datagram);
        let mut header = RecordHeader {
            content_type: ContentType(r.u8()?),
            version: ProtocolVersion(r.u16()?),
            epoch: r.u16()?,
            sequence_number: r.u48()?,
            length: 0,
        };
        r.bytes(connection_id_len)?;
        header.length = r.u16()?;
        let length = usize::from(header.length);
        if length > RecordHeader::MAX_CIPHERTEXT {
            return Err(ParseError::BadLength);
        }
        if r.remaining() < length {
            return Err(ParseError::Truncated);
        }
        let mut connection_id = datagram.split_to(RecordHeader::LEN + connection_id_len);
        connection_id.truncate(RecordHeader::CONNECTION_ID_AT + connection_id_len);
        connection_id.advance(RecordHeader::CONNECTION_ID_AT);
        Ok(Self {
            header,
            connection_id,
            payload: datagram.split_to(length),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_splits_into_its_records() {
        // Two records of a DTLS 1.2 flight: a ChangeCipherSpec, and the head of an encrypted Finished.
        let mut datagram = BytesMut::from(
            &b"\x14\xfe\xfd\0\0\0\0\0\0\0\x04\0\x01\x01\x16\xfe\xfd\0\x01\0\0\0\0\0\x02\0\x02\xaa\xbb"[..],
        );
        let ccs = Record::split_off(&mut datagram).unwrap();
        assert_eq!(ccs.header.content_type, ContentType::CHANGE_CIPHER_SPEC);
        assert_eq!(
            (ccs.header.epoch, ccs.header.sequence_number, &ccs.payload[..]),
            (0, 4, &[1][..])
        );
        let finished = Record::split_off(&mut datagram).unwrap();
        assert_eq!(finished.header.sequence_u64(), 1 << 48 | 2);
        assert_eq!(&finished.payload[..], [0xaa, 0xbb]);
        assert_eq!(Record::split_off(&mut datagram), Err(ParseError::Truncated));
    }

    #[test]
    fn a_length_beyond_the_datagram_or_the_limit_is_refused() {
        let mut short = BytesMut::from(&b"\x16\xfe\xfd\0\0\0\0\0\0\0\0\0\x02\x01"[..]);
        assert_eq!(Record::split_off(&mut short), Err(ParseError::Truncated));
        let mut long = BytesMut::from(&b"\x17\xfe\xfd\0\x01\0\0\0\0\0\0\x48\x01"[..]);
        long.resize(RecordHeader::LEN + 0x4801, 0);
        assert_eq!(Record::split_off(&mut long), Err(ParseError::BadLength));
    }
}

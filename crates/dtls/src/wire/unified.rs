//! The unified header of DTLS 1.3 (RFC 9147 §4): as short as each record allows.

use bytes::BytesMut;
use peerline_wire::{Reader, Writer};

use super::ParseError;

/// The header of a protected record. On the wire its sequence number is encrypted.
///
/// ```text
///  0 0 1 C S L E E | connection id, if C | sequence number, 16 bits if S, else 8 | length (2), if L
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnifiedHeader<'a> {
    /// The low two bits of the epoch.
    pub epoch_bits: u8,
    /// The connection ID, if one was negotiated.
    pub connection_id: Option<&'a [u8]>,
    /// The low bits of the sequence number.
    pub sequence_bits: SequenceBits,
    /// How many bytes follow; without it the record fills the rest of its datagram.
    pub length: Option<u16>,
}

/// As much of a sequence number as travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SequenceBits {
    /// The low 8 bits.
    Eight(u8),
    /// The low 16 bits.
    Sixteen(u16),
}

const FIXED: u8 = 0b0010_0000;
const FIXED_MASK: u8 = 0b1110_0000;
const CONNECTION_ID: u8 = 0b0001_0000;
const SIXTEEN_BITS: u8 = 0b0000_1000;
const LENGTH: u8 = 0b0000_0100;
const EPOCH_MASK: u8 = 0b0000_0011;

impl<'a> UnifiedHeader<'a> {
    /// True if a record that begins with this byte has a unified header (RFC 9147 §4.1).
    #[must_use]
    pub fn begins_with(first: u8) -> bool {
        first & FIXED_MASK == FIXED
    }

    /// Reads a header whose connection ID, if it has one, is of the length negotiated.
    ///
    /// # Errors
    /// [`ParseError`] if it is cut short or no unified header.
    pub fn decode(r: &mut Reader<'a>, connection_id_len: usize) -> Result<Self, ParseError> {
        let first = r.u8()?;
        if !Self::begins_with(first) {
            return Err(ParseError::Unsupported);
        }
        let connection_id = match first & CONNECTION_ID {
            0 => None,
            _ => Some(r.bytes(connection_id_len)?),
        };
        let sequence_bits = match first & SIXTEEN_BITS {
            0 => SequenceBits::Eight(r.u8()?),
            _ => SequenceBits::Sixteen(r.u16()?),
        };
        let length = match first & LENGTH {
            0 => None,
            _ => Some(r.u16()?),
        };
        Ok(Self {
            epoch_bits: first & EPOCH_MASK,
            connection_id,
            sequence_bits,
            length,
        })
    }

    /// Appends the header.
    pub fn encode(&self, w: &mut Writer<'_>) {
        let mut first = FIXED | self.epoch_bits & EPOCH_MASK;
        if self.connection_id.is_some() {
            first |= CONNECTION_ID;
        }
        if matches!(self.sequence_bits, SequenceBits::Sixteen(_)) {
            first |= SIXTEEN_BITS;
        }
        if self.length.is_some() {
            first |= LENGTH;
        }
        w.u8(first);
        w.bytes(self.connection_id.unwrap_or_default());
        match self.sequence_bits {
            SequenceBits::Eight(bits) => w.u8(bits),
            SequenceBits::Sixteen(bits) => w.u16(bits),
        }
        if let Some(length) = self.length {
            w.u16(length);
        }
    }
}

impl SequenceBits {
    /// How many bits there are.
    #[must_use]
    pub fn width(self) -> u32 {
        match self {
            Self::Eight(_) => u8::BITS,
            Self::Sixteen(_) => u16::BITS,
        }
    }

    /// The whole number, of those that end with these bits the one closest to `expected` (RFC 9147 §4.2.2).
    #[must_use]
    pub fn closest_to(self, expected: u64) -> u64 {
        let bits = match self {
            Self::Eight(bits) => u64::from(bits),
            Self::Sixteen(bits) => u64::from(bits),
        };
        let size = 1u64 << self.width();
        let candidate = expected & !(size - 1) | bits;
        if candidate < expected && expected - candidate > size / 2 {
            candidate.checked_add(size).unwrap_or(candidate)
        } else if candidate > expected && candidate - expected > size / 2 {
            candidate.checked_sub(size).unwrap_or(candidate)
        } else {
            candidate
        }
    }
}

/// A protected record of a datagram, header and all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ciphertext {
    /// The low two bits of its epoch.
    pub epoch_bits: u8,
    /// Where its connection ID stands, if it has one.
    pub connection_id: Option<std::ops::Range<usize>>,
    /// Where its sequence number stands, which is encrypted, and how long it is: 1 or 2 bytes.
    pub sequence: std::ops::Range<usize>,
    /// Where its payload begins: what comes before is covered by the AEAD.
    pub payload: usize,
    /// The record, a slice of the datagram.
    pub bytes: BytesMut,
}

impl Ciphertext {
    /// The longest payload: 2^14 bytes of plaintext, and 256 for the content type, padding and tag (RFC 8446 §5.2).
    pub const MAX_LEN: usize = (1 << 14) + 256;

    /// Splits the first record off a datagram, without copying. It has no connection ID.
    ///
    /// # Errors
    /// [`ParseError`] if the datagram does not begin with a whole record that keeps to the length limit: the rest is
    /// to be discarded.
    pub fn split_off(datagram: &mut BytesMut) -> Result<Self, ParseError> {
        Self::split_off_with(datagram, 0)
    }

    /// The same, if connection IDs have so many bytes: 0 if there are none.
    ///
    /// # Errors
    /// As [`split_off`](Self::split_off).
    pub fn split_off_with(datagram: &mut BytesMut, connection_id_len: usize) -> Result<Self, ParseError> {
        let mut r = Reader::new(datagram);
        let header = UnifiedHeader::decode(&mut r, connection_id_len)?;
        let connection_id = match header.connection_id {
            Some([]) => return Err(ParseError::Unsupported),
            Some(id) => Some(1..1 + id.len()),
            None => None,
        };
        let left = r.remaining();
        let payload = datagram.len() - left;
        let length = header.length.map_or(left, usize::from);
        if length > Self::MAX_LEN {
            return Err(ParseError::BadLength);
        }
        if length > left {
            return Err(ParseError::Truncated);
        }
        let (epoch_bits, sequence_len) = (header.epoch_bits, header.sequence_bits.width() as usize / 8);
        // Most datagrams are one record: nothing is left that would have to share their buffer.
        let bytes = if length == left {
            std::mem::take(datagram)
        } else {
            datagram.split_to(payload + length)
        };
        let sequence = connection_id.as_ref().map_or(1, |id| id.end);
        Ok(Self {
            epoch_bits,
            connection_id,
            sequence: sequence..sequence + sequence_len,
            payload,
            bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_forms_of_figure_4() {
        let full = UnifiedHeader {
            epoch_bits: 3,
            connection_id: Some(b"cid"),
            sequence_bits: SequenceBits::Sixteen(0x0102),
            length: Some(7),
        };
        let minimal = UnifiedHeader {
            epoch_bits: 2,
            connection_id: None,
            sequence_bits: SequenceBits::Eight(9),
            length: None,
        };
        for (header, bytes, connection_id_len) in
            [(full, &b"\x3fcid\x01\x02\0\x07"[..], 3), (minimal, &b"\x22\x09"[..], 0)]
        {
            let mut out = Vec::new();
            header.encode(&mut Writer::new(&mut out));
            assert_eq!(out, bytes);
            assert_eq!(
                UnifiedHeader::decode(&mut Reader::new(bytes), connection_id_len),
                Ok(header)
            );
            for len in 0..bytes.len() {
                let cut = UnifiedHeader::decode(&mut Reader::new(&bytes[..len]), connection_id_len);
                assert_eq!(cut, Err(ParseError::Truncated));
            }
        }
    }

    #[test]
    fn a_datagram_splits_into_its_records() {
        // One with a length, then one that fills the rest.
        let mut datagram = BytesMut::from(&b"\x2e\0\x01\0\x02ab\x23\x05xyz"[..]);
        let first = Ciphertext::split_off(&mut datagram).unwrap();
        assert_eq!((first.epoch_bits, first.sequence, first.payload), (2, 1..3, 5));
        assert_eq!(&first.bytes[first.payload..], b"ab");
        let second = Ciphertext::split_off(&mut datagram).unwrap();
        assert_eq!((second.epoch_bits, second.sequence, second.payload), (3, 1..2, 2));
        assert_eq!(&second.bytes[second.payload..], b"xyz");
        assert!(datagram.is_empty());
        for (bad, error) in [
            (&b"\x2e\0\x01\0\x03ab"[..], ParseError::Truncated),
            (b"\x2e\0\x01\x41\x01", ParseError::BadLength),
            (b"\x3e\0\x01\0\0", ParseError::Unsupported),
            (b"\x16\0\x01\0\0", ParseError::Unsupported),
        ] {
            assert_eq!(Ciphertext::split_off(&mut BytesMut::from(bad)), Err(error));
        }
    }

    proptest! {
        #[test]
        fn the_closest_number_is_found(expected in 0u64..1 << 48, ahead in -100i64..100, long: bool) {
            let number = expected.saturating_add_signed(ahead);
            let bits = if long { SequenceBits::Sixteen(number as u16) } else { SequenceBits::Eight(number as u8) };
            prop_assert_eq!(bits.closest_to(expected), number);
        }
    }
}

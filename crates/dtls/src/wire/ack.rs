//! ACK (RFC 9147 §7): which handshake records have arrived. It is a content type of its own and no handshake message.

use peerline_wire::Writer;

use super::{ParseError, exactly};

/// A record's place among all of its sender's (RFC 9147 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordNumber {
    /// Which keys protect it: 0 for none.
    pub epoch: u64,
    /// Its number in the epoch.
    pub sequence_number: u64,
}

impl RecordNumber {
    /// How many bytes a record number takes.
    pub const LEN: usize = 16;
}

/// The handshake records that have been processed or kept.
///
/// ```text
///  length (2) | { epoch (8) | sequence_number (8) } …
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// In increasing order. An empty list says that something came that could not be decrypted yet.
    pub record_numbers: Vec<RecordNumber>,
}

impl Ack {
    /// How many bytes come before the record numbers.
    pub const LEN: usize = 2;

    /// Reads an ACK that fills `bytes`.
    ///
    /// # Errors
    /// [`ParseError`] unless the bytes are exactly one.
    pub fn decode(bytes: &[u8]) -> Result<Self, ParseError> {
        exactly(bytes, |r| {
            let mut list = r.length_u16()?;
            if !list.remaining().is_multiple_of(RecordNumber::LEN) {
                return Err(ParseError::BadLength);
            }
            let mut record_numbers = Vec::with_capacity(list.remaining() / RecordNumber::LEN);
            while !list.is_empty() {
                record_numbers.push(RecordNumber {
                    epoch: list.u64()?,
                    sequence_number: list.u64()?,
                });
            }
            Ok(Self { record_numbers })
        })
    }

    /// Appends the ACK.
    pub fn encode(&self, w: &mut Writer<'_>) {
        w.length_u16(|w| {
            for number in &self.record_numbers {
                w.u64(number.epoch);
                w.u64(number.sequence_number);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `08-ack-sap-prot` of the annotated trace: the server acknowledges the client's first protected record.
    #[test]
    fn an_ack_is_a_list_of_whole_numbers() {
        let bytes = b"\0\x10\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x00";
        let ack = Ack::decode(bytes).unwrap();
        let number = RecordNumber {
            epoch: 2,
            sequence_number: 0,
        };
        assert_eq!(ack.record_numbers, [number]);
        let mut out = Vec::new();
        ack.encode(&mut Writer::new(&mut out));
        assert_eq!(out, bytes);
        assert_eq!(Ack::decode(&[0, 0]).unwrap().record_numbers, []);
        assert_eq!(
            Ack::decode(b"\0\x0f\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0"),
            Err(ParseError::BadLength)
        );
        assert_eq!(Ack::decode(&[0, 16, 0]), Err(ParseError::Truncated));
        assert_eq!(Ack::decode(&[0, 0, 0]), Err(ParseError::TrailingBytes));
    }
}

//! The record layer (RFC 6347 §4.1): numbers records, protects what is sent and admits what is received.
//!
//! DTLS 1.2 has two epochs: plaintext, and the keys of the one handshake. Those of DTLS 1.3 are in `dtls13::epochs`.

use bytes::{Buf, BytesMut};
use peerline_wire::{ReplayWindow, Writer};

use crate::cipher::Cipher;
use crate::connection_ids::ConnectionIds;
use crate::dtls13::epochs::Epochs;
use crate::wire::ProtocolVersion;
use crate::wire::ack::RecordNumber;
use crate::wire::record::{ContentType, Record, RecordHeader};

/// The keys that protect a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Epoch(pub(crate) u64);

impl Epoch {
    /// No keys.
    pub(crate) const PLAIN: Self = Self(0);
    /// Those of the one handshake of DTLS 1.2.
    pub(crate) const PROTECTED: Self = Self(1);
    /// Those under which DTLS 1.3 completes the handshake.
    pub(crate) const HANDSHAKE: Self = Self(2);
    /// The first of DTLS 1.3 that carry data.
    pub(crate) const APPLICATION: Self = Self(3);

    /// The epoch after this one.
    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// As much of it as a unified header has.
    pub(crate) fn low_bits(self) -> u8 {
        (self.0 & 3) as u8
    }
}

/// A protected record, decrypted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    pub(crate) epoch: Epoch,
    pub(crate) number: RecordNumber,
    pub(crate) content_type: ContentType,
    pub(crate) payload: BytesMut,
}

/// Why a protected record was not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Discard {
    /// Seen before, or too old to tell.
    Replayed,
    /// Not the peer's, or not unharmed.
    Forged,
    /// The peer's, but no record.
    Malformed,
    /// With a connection ID that is not this connection's, or without one.
    Misaddressed,
}

#[derive(Default)]
pub(crate) struct RecordLayer {
    version: Option<ProtocolVersion>,
    plain_sequence: u64,
    /// Those of epoch 1 in DTLS 1.2.
    keys: Option<Box<Keys>>,
    /// Those of DTLS 1.3.
    pub(crate) epochs: Option<Box<Epochs>>,
    /// What protected records are known by, if that is negotiated.
    pub(crate) connection_ids: Option<Box<ConnectionIds>>,
}

/// The one pair of keys of DTLS 1.2.
struct Keys {
    write: Cipher,
    next: u64,
    read: Cipher,
    window: ReplayWindow,
}

impl RecordLayer {
    /// The version both sides have agreed on, for the records to come. Before, records say DTLS 1.0, which every
    /// server takes (RFC 6347 §4.2.1).
    pub(crate) fn set_version(&mut self, version: ProtocolVersion) {
        self.version = Some(version);
    }

    /// The number of the next plaintext record.
    pub(crate) fn set_plain_sequence(&mut self, number: u64) {
        self.plain_sequence = number;
    }

    /// The keys of epoch 1.
    pub(crate) fn set_keys(&mut self, write: Cipher, read: Cipher) {
        self.keys = Some(Box::new(Keys {
            write,
            next: 0,
            read,
            window: ReplayWindow::new(),
        }));
    }

    /// True once protected records can be opened.
    pub(crate) fn can_open(&self) -> bool {
        self.keys.is_some() || self.epochs.is_some()
    }

    /// By how many bytes a record outgrows what it carries.
    pub(crate) fn overhead(&self, epoch: Epoch) -> usize {
        let connection_id = self.connection_ids.as_ref().map_or(0, |ids| ids.peer().len());
        if epoch > Epoch::PROTECTED {
            return Epochs::OVERHEAD + connection_id;
        }
        let expansion = match &self.keys {
            // RFC 9146 §4: the real content type is inside.
            Some(keys) if epoch == Epoch::PROTECTED => {
                keys.write.expansion() + connection_id + usize::from(connection_id > 0)
            }
            _ => 0,
        };
        RecordHeader::LEN + expansion
    }

    /// How many records the newest keys of DTLS 1.3 have protected; 0 in 1.2, which has no others.
    pub(crate) fn written(&self) -> u64 {
        self.epochs.as_ref().map_or(0, |epochs| epochs.written())
    }

    /// The number that the next record of an epoch will have.
    pub(crate) fn next_number(&self, epoch: Epoch) -> Option<RecordNumber> {
        match &self.epochs {
            Some(epochs) if epoch > Epoch::PLAIN => epochs.next_number(epoch),
            _ => Some(RecordNumber {
                epoch: epoch.0,
                sequence_number: self.plain_sequence,
            }),
        }
    }

    /// Appends one record around what `fill` appends. `None`, and `out` as before, if `fill` appends nothing, more
    /// than a record holds, or the epoch has no keys or no numbers left.
    pub(crate) fn enclose(
        &mut self,
        epoch: Epoch,
        content_type: ContentType,
        out: &mut Vec<u8>,
        fill: impl FnOnce(&mut Vec<u8>) -> Option<usize>,
    ) -> Option<usize> {
        let start = out.len();
        let sealed = self.try_enclose(epoch, content_type, out, fill);
        if sealed.is_none() {
            out.truncate(start);
        }
        sealed
    }

    fn try_enclose(
        &mut self,
        epoch: Epoch,
        content_type: ContentType,
        out: &mut Vec<u8>,
        fill: impl FnOnce(&mut Vec<u8>) -> Option<usize>,
    ) -> Option<usize> {
        let connection_id = self.connection_ids.as_ref().map_or(&[][..], |ids| ids.peer());
        let (cipher, sequence) = match (epoch, self.keys.as_deref_mut()) {
            (Epoch::PLAIN, _) => (None, &mut self.plain_sequence),
            (Epoch::PROTECTED, Some(Keys { write, next, .. })) => (Some(&*write), next),
            _ => {
                let epochs = self.epochs.as_mut()?;
                return epochs.enclose(epoch, content_type, out, connection_id, fill);
            }
        };
        // RFC 6347 §4.1: a sequence number MUST NOT wrap.
        if *sequence > RecordHeader::MAX_SEQUENCE_NUMBER {
            return None;
        }
        let connection_id = if cipher.is_some() { connection_id } else { &[] };
        let mut header = RecordHeader {
            content_type: match connection_id {
                [] => content_type,
                _ => ContentType::TLS12_CID,
            },
            version: self.version.unwrap_or(ProtocolVersion::DTLS_1_0),
            epoch: epoch.0 as u16,
            sequence_number: *sequence,
            length: 0,
        };
        let start = out.len();
        header.encode(&mut Writer::new(out));
        if !connection_id.is_empty() {
            out.truncate(start + RecordHeader::CONNECTION_ID_AT);
            out.extend_from_slice(connection_id);
            out.extend_from_slice(&[0; 2]);
        }
        let payload = out.len();
        if cipher.is_some_and(|cipher| cipher.explicit_nonce_len() > 0) {
            Writer::new(out).u64(header.sequence_u64());
        }
        let plaintext = out.len();
        fill(out)?;
        match out.len().checked_sub(plaintext) {
            Some(1..=RecordHeader::MAX_PLAINTEXT) => {}
            _ => return None,
        }
        if let Some(cipher) = cipher {
            if !connection_id.is_empty() {
                out.push(content_type.0);
            }
            cipher.seal(&header, connection_id, out, plaintext)?;
        }
        header.length = u16::try_from(out.len() - payload).ok()?;
        out[payload - 2..payload].copy_from_slice(&header.length.to_be_bytes());
        *sequence += 1;
        Some(out.len() - start)
    }

    /// True if a record is addressed as it should be: by a connection ID, once one is negotiated. In DTLS 1.3, records after the first
    /// of a datagram need none (RFC 9147 §4).
    pub(crate) fn is_addressed(&self, connection_id: Option<&[u8]>, follows: bool) -> bool {
        match (&self.connection_ids, connection_id) {
            (Some(ids), Some(id)) => ids.identify_own() && ids.is_own(id),
            (Some(ids), None) => !ids.identify_own() || follows,
            // RFC 9147 §9.1: "If no CID is negotiated, then the receiver MUST reject any records it receives that contain a CID."
            (None, id) => id.is_none(),
        }
    }

    /// Decrypts a record of epoch 1 in place, once: what it carries, and its payload.
    pub(crate) fn open(&mut self, record: Record) -> Result<(ContentType, BytesMut), Discard> {
        let is_identified = record.header.content_type == ContentType::TLS12_CID;
        let id = is_identified.then_some(&record.connection_id[..]);
        if !self.is_addressed(id, false) {
            return Err(Discard::Misaddressed);
        }
        let Record {
            header,
            connection_id,
            mut payload,
        } = record;
        let Keys { read, window, .. } = self.keys.as_deref_mut().ok_or(Discard::Forged)?;
        if !window.is_fresh(header.sequence_number) {
            return Err(Discard::Replayed);
        }
        let plaintext = read
            .open(&header, &connection_id, &mut payload)
            .map_err(|_| Discard::Forged)?;
        // RFC 6347 §4.1.2.6: "the receive window is updated only if the MAC verification succeeds."
        window.accept(header.sequence_number);
        payload.truncate(plaintext.end);
        payload.advance(plaintext.start);
        if !is_identified {
            // RFC 5246 §6.2.3: what is inside is no longer than 2^14, however long the ciphertext may be.
            let fits = payload.len() <= RecordHeader::MAX_PLAINTEXT;
            return fits.then_some((header.content_type, payload)).ok_or(Discard::Malformed);
        }
        if payload.len() > RecordHeader::MAX_PLAINTEXT + 1 {
            return Err(Discard::Malformed);
        }
        // RFC 9146 §4: content, its type, and zeros.
        let content = payload.iter().rposition(|byte| *byte != 0).ok_or(Discard::Malformed)?;
        let content_type = ContentType(payload[content]);
        payload.truncate(content);
        Ok((content_type, payload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cipher::Bulk;

    fn pair(bulk: Bulk) -> (RecordLayer, RecordLayer) {
        let cipher = |byte: u8| Cipher::new(bulk, &vec![byte; bulk.key_len()], &vec![byte; bulk.iv_len()]).unwrap();
        let (mut a, mut b) = (RecordLayer::default(), RecordLayer::default());
        a.set_keys(cipher(1), cipher(2));
        b.set_keys(cipher(2), cipher(1));
        for layer in [&mut a, &mut b] {
            layer.set_version(ProtocolVersion::DTLS_1_2);
        }
        (a, b)
    }

    fn seal(layer: &mut RecordLayer, plaintext: &[u8]) -> Vec<u8> {
        let mut out = b"before".to_vec();
        let fill = |out: &mut Vec<u8>| {
            out.extend_from_slice(plaintext);
            Some(plaintext.len())
        };
        let len = layer
            .enclose(Epoch::PROTECTED, ContentType::APPLICATION_DATA, &mut out, fill)
            .unwrap();
        assert_eq!(len, plaintext.len() + layer.overhead(Epoch::PROTECTED));
        assert_eq!(out.len(), 6 + len);
        out.split_off(6)
    }

    fn open(layer: &mut RecordLayer, bytes: &[u8]) -> Result<BytesMut, Discard> {
        let (content_type, payload) = layer.open(record(bytes))?;
        assert_eq!(content_type, ContentType::APPLICATION_DATA);
        Ok(payload)
    }

    fn record(bytes: &[u8]) -> Record {
        Record::split_off(&mut BytesMut::from(bytes)).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_once() {
        for bulk in [Bulk::Aes128Gcm, Bulk::Aes256Gcm, Bulk::ChaCha20Poly1305] {
            let (mut a, mut b) = pair(bulk);
            let first = seal(&mut a, b"first");
            let second = seal(&mut a, b"second");
            assert_eq!(open(&mut b, &second).unwrap(), &b"second"[..]);
            assert_eq!(open(&mut b, &first).unwrap(), &b"first"[..]);
            assert_eq!(open(&mut b, &first), Err(Discard::Replayed));
        }
    }

    #[test]
    fn a_forgery_is_refused_and_does_not_move_the_window() {
        for bulk in [Bulk::Aes128Gcm, Bulk::ChaCha20Poly1305] {
            let (mut a, mut b) = pair(bulk);
            let genuine = seal(&mut a, b"genuine");
            for byte in 0..genuine.len() {
                let mut forged = genuine.clone();
                forged[byte] ^= 0x40;
                let Ok(forged) = Record::split_off(&mut BytesMut::from(&forged[..])) else {
                    continue;
                };
                if forged.header.epoch == 1 {
                    assert_eq!(b.open(forged), Err(Discard::Forged), "byte {byte}");
                }
            }
            for len in 0..genuine.len() - RecordHeader::LEN {
                let header = record(&genuine).header;
                let payload = BytesMut::from(&genuine[RecordHeader::LEN..RecordHeader::LEN + len]);
                assert_eq!(
                    b.open(Record {
                        header,
                        payload,
                        connection_id: BytesMut::new()
                    }),
                    Err(Discard::Forged)
                );
            }
            assert_eq!(open(&mut b, &genuine).unwrap(), &b"genuine"[..]);
        }
    }

    #[test]
    fn what_does_not_fit_a_record_leaves_no_trace() {
        let (mut a, _) = pair(Bulk::Aes128Gcm);
        let mut out = vec![7];
        let mut enclose = |len: usize, result: Option<usize>| {
            let fill = |out: &mut Vec<u8>| {
                out.resize(out.len() + len, 0);
                result
            };
            let sealed = a.enclose(Epoch::PROTECTED, ContentType::APPLICATION_DATA, &mut out, fill);
            assert_eq!(out.len() - 1, sealed.unwrap_or(0));
            out.truncate(1);
            sealed
        };
        assert_eq!(enclose(0, Some(0)), None);
        assert_eq!(enclose(10, None), None);
        assert_eq!(enclose(RecordHeader::MAX_PLAINTEXT + 1, Some(0)), None);
        assert_eq!(
            enclose(RecordHeader::MAX_PLAINTEXT, Some(0)),
            Some(RecordHeader::MAX_PLAINTEXT + 37)
        );
    }

    /// A peer may seal what we would not: nothing, and more than a record holds.
    #[test]
    fn empty_records_open_and_oversized_ones_do_not() {
        let (mut a, mut b) = pair(Bulk::Aes128Gcm);
        for (len, opens) in [
            (0, true),
            (RecordHeader::MAX_PLAINTEXT, true),
            (RecordHeader::MAX_PLAINTEXT + 1, false),
            (RecordHeader::MAX_CIPHERTEXT - 24, false),
        ] {
            let keys = a.keys.as_deref_mut().unwrap();
            let header = RecordHeader {
                content_type: ContentType::APPLICATION_DATA,
                version: ProtocolVersion::DTLS_1_2,
                epoch: 1,
                sequence_number: keys.next,
                length: (len + 24) as u16,
            };
            keys.next += 1;
            let mut out = Vec::new();
            header.encode(&mut Writer::new(&mut out));
            Writer::new(&mut out).u64(header.sequence_u64());
            out.resize(RecordHeader::LEN + 8 + len, 7);
            keys.write.seal(&header, &[], &mut out, RecordHeader::LEN + 8).unwrap();
            let opened = open(&mut b, &out).map(|payload| payload.len());
            assert_eq!(opened, if opens { Ok(len) } else { Err(Discard::Malformed) });
        }
        let next = seal(&mut a, b"next");
        assert_eq!(open(&mut b, &next).unwrap(), &b"next"[..]);
    }

    #[test]
    fn sequence_numbers_do_not_wrap() {
        let (mut a, _) = pair(Bulk::ChaCha20Poly1305);
        a.keys.as_mut().unwrap().next = RecordHeader::MAX_SEQUENCE_NUMBER;
        let last = record(&seal(&mut a, b"last"));
        assert_eq!(last.header.sequence_number, RecordHeader::MAX_SEQUENCE_NUMBER);
        let mut out = Vec::new();
        let fill = |out: &mut Vec<u8>| {
            out.push(1);
            Some(1)
        };
        assert_eq!(
            a.enclose(Epoch::PROTECTED, ContentType::APPLICATION_DATA, &mut out, fill),
            None
        );
        assert!(out.is_empty());
    }
}

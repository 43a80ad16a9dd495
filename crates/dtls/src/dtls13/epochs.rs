//! The protected epochs of DTLS 1.3 (RFC 9147 §4.2, §6.1): the keys under which this side writes, and those under which the
//! peer may still be writing.

use bytes::Buf;
use peerline_wire::{ReplayWindow, Writer};

use super::cipher::Cipher;
use super::key_schedule::{Keys, Secret, Suite};
use crate::cipher::TAG_LEN;
use crate::record_layer::{Discard, Epoch, Opened};
use crate::wire::ack::RecordNumber;
use crate::wire::record::{ContentType, RecordHeader};
use crate::wire::unified::{Ciphertext, SequenceBits, UnifiedHeader};

/// The keys of all epochs in use, the newest last.
pub(crate) struct Epochs {
    suite: Suite,
    write: Vec<WriteKeys>,
    read: Vec<ReadKeys>,
    /// Those under which a client may repeat its last flight. Hardly any does, and it has four minutes for it.
    repeats: Option<Box<Repeats>>,
}

struct WriteKeys {
    epoch: Epoch,
    cipher: Cipher,
    next: u64,
}

struct ReadKeys {
    epoch: Epoch,
    cipher: Cipher,
    window: ReplayWindow,
    /// How many records did not decrypt.
    failures: u64,
}

/// The keys of the handshake to read with once it is over, as small as they can be kept.
struct Repeats {
    keys: Keys,
    window: ReplayWindow,
    failures: u64,
}

impl Epochs {
    /// How long the header is that this side writes: 16 bits of sequence number and a length.
    const HEADER_LEN: usize = 5;

    /// By how many bytes a record without connection ID outgrows what it carries: header, content type, tag.
    pub(crate) const OVERHEAD: usize = Self::HEADER_LEN + 1 + TAG_LEN;

    /// RFC 9147 §4.5.3: how many records may fail to decrypt under one key.
    const INTEGRITY_LIMIT: u64 = 1 << 36;

    pub(crate) fn new(suite: Suite) -> Self {
        Self {
            suite,
            write: Vec::new(),
            read: Vec::new(),
            repeats: None,
        }
    }

    /// Installs the keys under which this side will write from now on.
    pub(crate) fn write_with(&mut self, epoch: Epoch, secret: &Secret) -> Option<()> {
        let cipher = self.suite.cipher(&self.suite.keys(secret)?)?;
        // Only handshake messages are sent again under older keys, and those of the handshake itself alone.
        self.write
            .retain(|keys| keys.epoch == Epoch::HANDSHAKE && epoch == Epoch::APPLICATION);
        self.write.reserve_exact(1);
        self.write.push(WriteKeys { epoch, cipher, next: 0 });
        Some(())
    }

    /// Installs keys under which the peer may write from now on. Those before remain, for what is late and until the peer has
    /// heard that it may use the new ones (RFC 9147 §8).
    pub(crate) fn read_with(&mut self, epoch: Epoch, secret: &Secret) -> Option<()> {
        let cipher = self.suite.cipher(&self.suite.keys(secret)?)?;
        // Two low bits tell at most four epochs apart: the last two and that of the handshake are enough.
        self.read
            .retain(|keys| keys.epoch.0 + 1 == epoch.0 || keys.epoch == Epoch::HANDSHAKE && epoch.0 < 6);
        if epoch.0 >= 6 {
            self.repeats = None;
        }
        self.read.reserve_exact(1);
        self.read.push(ReadKeys {
            epoch,
            cipher,
            window: ReplayWindow::new(),
            failures: 0,
        });
        Some(())
    }

    /// Forgets the keys of the handshake under which this side wrote: its last flight has arrived.
    pub(crate) fn retire_handshake_write(&mut self) {
        self.write.retain(|keys| keys.epoch != Epoch::HANDSHAKE);
        self.write.shrink_to_fit();
    }

    /// The handshake is over, and what the client may repeat of it was protected under this secret: the keys are kept without what
    /// they are worked with, which is made again if it does.
    pub(crate) fn expect_repeats(&mut self, secret: &Secret) {
        let handshake = self.read.iter().position(|keys| keys.epoch == Epoch::HANDSHAKE);
        let Some((index, keys)) = handshake.zip(self.suite.keys(secret)) else {
            return;
        };
        let ReadKeys { window, failures, .. } = self.read.remove(index);
        self.read.shrink_to_fit();
        self.repeats = Some(Box::new(Repeats { keys, window, failures }));
    }

    /// Forgets the keys of the handshake under which the peer wrote: it will not repeat its last flight any more.
    pub(crate) fn retire_handshake_read(&mut self) {
        self.read.retain(|keys| keys.epoch != Epoch::HANDSHAKE);
        self.read.shrink_to_fit();
        self.repeats = None;
    }

    /// The newest epoch under which the peer may write.
    pub(crate) fn read_epoch(&self) -> Epoch {
        self.read.last().map_or(Epoch::PLAIN, |keys| keys.epoch)
    }

    /// True if records of some epoch can be opened whose low bits are these.
    pub(crate) fn can_open(&self, epoch_bits: u8) -> bool {
        let mut readable = self.read.iter().map(|keys| keys.epoch);
        let repeats = self.repeats.is_some().then_some(Epoch::HANDSHAKE);
        readable.any(|epoch| epoch.low_bits() == epoch_bits) || repeats.is_some_and(|it| it.low_bits() == epoch_bits)
    }

    /// How many records have been protected by the newest keys.
    pub(crate) fn written(&self) -> u64 {
        self.write.last().map_or(0, |keys| keys.next)
    }

    /// The number that the next record of an epoch will have.
    pub(crate) fn next_number(&self, epoch: Epoch) -> Option<RecordNumber> {
        let keys = self.write.iter().find(|keys| keys.epoch == epoch)?;
        Some(RecordNumber {
            epoch: epoch.0,
            sequence_number: keys.next,
        })
    }

    /// Appends one record around what `fill` appends. `None`, with `out` in disorder, if `fill` appends nothing or more than
    /// a record holds, or the epoch has no keys or no numbers left.
    pub(crate) fn enclose(
        &mut self,
        epoch: Epoch,
        content_type: ContentType,
        out: &mut Vec<u8>,
        connection_id: &[u8],
        fill: impl FnOnce(&mut Vec<u8>) -> Option<usize>,
    ) -> Option<usize> {
        let limit = self
            .suite
            .confidentiality_limit()
            .min(RecordHeader::MAX_SEQUENCE_NUMBER);
        let keys = self.write.iter_mut().rfind(|keys| keys.epoch == epoch)?;
        if keys.next > limit {
            return None;
        }
        let record = out.len();
        let header = UnifiedHeader {
            epoch_bits: epoch.low_bits(),
            connection_id: Some(connection_id).filter(|id| !id.is_empty()),
            sequence_bits: SequenceBits::Sixteen(keys.next as u16),
            length: Some(0),
        };
        header.encode(&mut Writer::new(out));
        let plaintext = out.len();
        fill(out)?;
        let length = out.len().checked_sub(plaintext)?;
        if !(1..=RecordHeader::MAX_PLAINTEXT).contains(&length) {
            return None;
        }
        out.push(content_type.0);
        let length = u16::try_from(length + 1 + TAG_LEN).ok()?;
        out[plaintext - 2..plaintext].copy_from_slice(&length.to_be_bytes());
        let (header, sequence) = (Self::HEADER_LEN + connection_id.len(), 1 + connection_id.len());
        keys.cipher
            .seal(keys.next, out, record, header, sequence..sequence + 2)?;
        keys.next += 1;
        Some(out.len() - record)
    }

    /// Decrypts a record in place, once.
    pub(crate) fn open(&mut self, record: Ciphertext) -> Result<Opened, Discard> {
        // RFC 9147 §4.2.2: "use the most recent past epoch which has matching bits".
        let has_bits = |epoch: Epoch| epoch.low_bits() == record.epoch_bits;
        if let Some(keys) = self.read.iter_mut().rfind(|keys| has_bits(keys.epoch)) {
            return keys.open(record);
        }
        let repeats = self.repeats.as_mut().filter(|_| has_bits(Epoch::HANDSHAKE));
        let repeats = repeats.ok_or(Discard::Forged)?;
        let mut keys = ReadKeys {
            epoch: Epoch::HANDSHAKE,
            cipher: self.suite.cipher(&repeats.keys).ok_or(Discard::Forged)?,
            window: std::mem::take(&mut repeats.window),
            failures: repeats.failures,
        };
        let opened = keys.open(record);
        (repeats.window, repeats.failures) = (keys.window, keys.failures);
        opened
    }

    /// True if so many records failed to decrypt that the keys can be trusted no more (RFC 9147 §4.5.3).
    pub(crate) fn is_exhausted(&self) -> bool {
        self.read
            .last()
            .is_some_and(|keys| keys.failures >= Self::INTEGRITY_LIMIT)
    }
}

impl ReadKeys {
    fn open(&mut self, record: Ciphertext) -> Result<Opened, Discard> {
        let Ciphertext {
            sequence,
            payload,
            mut bytes,
            ..
        } = record;
        if self.failures >= Epochs::INTEGRITY_LIMIT {
            return Err(Discard::Forged);
        }
        let opened = self.decrypt(&mut bytes, sequence, payload);
        let (sequence_number, length) = opened.inspect_err(|error| {
            self.failures += u64::from(*error == Discard::Forged);
        })?;
        bytes.advance(payload);
        bytes.truncate(length);
        // RFC 8446 §5.4: "the full encoded TLSInnerPlaintext MUST NOT exceed 2^14 + 1 octets."
        if bytes.len() > RecordHeader::MAX_PLAINTEXT + 1 {
            return Err(Discard::Malformed);
        }
        // RFC 8446 §5.4: the content type is the last byte that is not zero; zeros alone are not a record.
        let content = bytes.iter().rposition(|byte| *byte != 0).ok_or(Discard::Malformed)?;
        let content_type = ContentType(bytes[content]);
        bytes.truncate(content);
        let epoch = self.epoch;
        let number = RecordNumber {
            epoch: epoch.0,
            sequence_number,
        };
        Ok(Opened {
            epoch,
            number,
            content_type,
            payload: bytes,
        })
    }

    /// The record's number, and the length of its plaintext.
    fn decrypt(
        &mut self,
        record: &mut [u8],
        sequence: std::ops::Range<usize>,
        payload: usize,
    ) -> Result<(u64, usize), Discard> {
        self.cipher
            .unmask(record, payload, sequence.clone())
            .map_err(|_| Discard::Forged)?;
        let bits = match record.get(sequence) {
            Some(&[bits]) => SequenceBits::Eight(bits),
            Some(&[high, low]) => SequenceBits::Sixteen(u16::from_be_bytes([high, low])),
            _ => return Err(Discard::Malformed),
        };
        let number = bits.closest_to(self.window.next());
        if !self.window.is_fresh(number) {
            return Err(Discard::Replayed);
        }
        let length = self.cipher.open(number, record, payload).map_err(|_| Discard::Forged)?;
        // RFC 9147 §4.5.1: "The window MUST NOT be updated due to a received record until that record has been
        // deprotected successfully."
        self.window.accept(number);
        Ok((number, length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::CipherSuite;
    use bytes::BytesMut;

    const SUITES: [CipherSuite; 3] = [
        CipherSuite::AES_128_GCM_SHA256,
        CipherSuite::AES_256_GCM_SHA384,
        CipherSuite::CHACHA20_POLY1305_SHA256,
    ];

    fn suite(id: CipherSuite) -> Suite {
        Suite::find(&rustls::crypto::ring::default_provider(), id).expect("ring has it")
    }

    /// What writes and what reads in these epochs.
    fn pair(suite: Suite, epochs: &[u64]) -> (Epochs, Epochs) {
        let (mut a, mut b) = (Epochs::new(suite), Epochs::new(suite));
        for &epoch in epochs {
            let secret = Secret::new(&[epoch as u8; 32]);
            a.write_with(Epoch(epoch), &secret).expect("keys");
            b.read_with(Epoch(epoch), &secret).expect("keys");
        }
        (a, b)
    }

    fn seal(epochs: &mut Epochs, epoch: u64, plaintext: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let fill = |out: &mut Vec<u8>| {
            out.extend_from_slice(plaintext);
            Some(plaintext.len())
        };
        let len = epochs.enclose(Epoch(epoch), ContentType::APPLICATION_DATA, &mut out, &[], fill);
        assert_eq!(len, Some(plaintext.len() + Epochs::OVERHEAD));
        out
    }

    fn open(epochs: &mut Epochs, record: &[u8]) -> Result<BytesMut, Discard> {
        let record = Ciphertext::split_off(&mut record.into()).expect("a record");
        epochs.open(record).map(|opened| opened.payload)
    }

    #[test]
    fn what_is_sealed_opens_once_and_the_number_is_hidden() {
        for id in SUITES {
            let (mut a, mut b) = pair(suite(id), &[3]);
            let records: Vec<_> = (0..100u8).map(|i| seal(&mut a, 3, &[i; 20])).collect();
            let shown: Vec<_> = records
                .iter()
                .map(|record| u16::from_be_bytes([record[1], record[2]]))
                .collect();
            assert!(
                shown.windows(2).filter(|pair| pair[0] < pair[1]).count() < 80,
                "{shown:?}"
            );
            for (i, record) in records.iter().enumerate().rev() {
                assert_eq!(open(&mut b, record).unwrap(), &[i as u8; 20][..]);
                assert_eq!(open(&mut b, record), Err(Discard::Replayed));
            }
        }
    }

    #[test]
    fn a_forgery_is_refused_and_counted() {
        for id in SUITES {
            let (mut a, mut b) = pair(suite(id), &[3]);
            let genuine = seal(&mut a, 3, b"genuine");
            for byte in 0..genuine.len() {
                let mut forged = genuine.clone();
                forged[byte] ^= 1;
                let Ok(record) = Ciphertext::split_off(&mut forged[..].into()) else {
                    continue;
                };
                assert!(b.open(record).is_err(), "byte {byte}");
            }
            for len in 0..genuine.len() - 5 {
                let mut cut = genuine[..5 + len].to_vec();
                cut[3..5].copy_from_slice(&(len as u16).to_be_bytes());
                assert_eq!(open(&mut b, &cut), Err(Discard::Forged));
            }
            assert!(b.read[0].failures > 30);
            assert_eq!(open(&mut b, &genuine).unwrap(), &b"genuine"[..]);
        }
    }

    #[test]
    fn every_form_of_the_header_is_read() {
        for id in SUITES {
            let (a, mut b) = pair(suite(id), &[3]);
            let mut number = 0;
            for sequence_len in [1, 2] {
                for has_length in [false, true] {
                    for padding in [0, 7] {
                        number += 1;
                        let header = UnifiedHeader {
                            epoch_bits: 3,
                            connection_id: None,
                            sequence_bits: match sequence_len {
                                1 => SequenceBits::Eight(number),
                                _ => SequenceBits::Sixteen(number.into()),
                            },
                            length: has_length.then_some(3 + 1 + padding + TAG_LEN as u16),
                        };
                        let mut out = vec![0xaa; 9];
                        header.encode(&mut Writer::new(&mut out));
                        let header_len = out.len() - 9;
                        out.extend_from_slice(b"abc\x17");
                        out.resize(out.len() + usize::from(padding), 0);
                        let cipher = &a.write[0].cipher;
                        cipher
                            .seal(number.into(), &mut out, 9, header_len, 1..1 + sequence_len)
                            .unwrap();
                        let opened = b.open(Ciphertext::split_off(&mut out[9..].into()).unwrap()).unwrap();
                        assert_eq!(
                            (opened.content_type, &opened.payload[..]),
                            (ContentType(0x17), &b"abc"[..])
                        );
                        assert_eq!(opened.number.sequence_number, number.into());
                    }
                }
            }
        }
    }

    #[test]
    fn zeros_alone_are_no_record() {
        let (mut a, mut b) = pair(suite(SUITES[0]), &[3]);
        let mut out = Vec::new();
        let fill = |out: &mut Vec<u8>| {
            out.push(0);
            Some(1)
        };
        a.enclose(Epoch(3), ContentType(0), &mut out, &[], fill).unwrap();
        assert_eq!(open(&mut b, &out), Err(Discard::Malformed));
    }

    /// A peer may seal what we would not: nothing but a type, padding, and more than a record holds.
    #[test]
    fn empty_and_padded_records_open_and_oversized_ones_do_not() {
        let (mut a, mut b) = pair(suite(SUITES[0]), &[3]);
        let mut send = |inner: &[u8]| {
            let mut out = Vec::new();
            let keys = a.write.last_mut().unwrap();
            let header = UnifiedHeader {
                epoch_bits: Epoch(3).low_bits(),
                connection_id: None,
                sequence_bits: SequenceBits::Sixteen(keys.next as u16),
                length: Some((inner.len() + TAG_LEN) as u16),
            };
            header.encode(&mut Writer::new(&mut out));
            out.extend_from_slice(inner);
            keys.cipher
                .seal(keys.next, &mut out, 0, Epochs::HEADER_LEN, 1..3)
                .unwrap();
            keys.next += 1;
            open(&mut b, &out).map(|payload| payload.len())
        };
        const MOST: usize = RecordHeader::MAX_PLAINTEXT;
        let data = |len: usize, padding: usize| [&vec![7; len][..], &[23], &vec![0; padding]].concat();
        for (len, padding) in [(0, 0), (0, 100), (0, MOST), (1, 100), (MOST, 0), (MOST - 9, 9)] {
            assert_eq!(send(&data(len, padding)), Ok(len), "{len} bytes, {padding} zeros");
        }
        for (len, padding) in [(MOST + 1, 0), (MOST, 1), (0, MOST + 1), (MOST + 200, 0)] {
            assert_eq!(
                send(&data(len, padding)),
                Err(Discard::Malformed),
                "{len} bytes, {padding} zeros"
            );
        }
        assert_eq!(send(&data(4, 0)), Ok(4));
    }

    #[test]
    fn the_last_two_epochs_are_read_and_that_of_the_handshake_until_its_bits_come_again() {
        let suite = suite(SUITES[0]);
        let late: Vec<_> = (2..7)
            .map(|epoch| seal(&mut pair(suite, &[epoch]).0, epoch, b"late"))
            .collect();
        let readable = |epochs: &[u64]| -> Vec<u64> {
            let (_, mut b) = pair(suite, epochs);
            (2..7)
                .filter(|epoch| open(&mut b, &late[*epoch as usize - 2]).is_ok())
                .collect()
        };
        assert_eq!(readable(&[2, 3]), [2, 3]);
        assert_eq!(readable(&[2, 3, 4]), [2, 3, 4]);
        assert_eq!(readable(&[2, 3, 4, 5]), [2, 4, 5]);
        assert_eq!(readable(&[2, 3, 4, 5, 6]), [5, 6]);
    }

    #[test]
    fn what_the_client_repeats_is_read_once_the_handshake_is_over_and_until_its_keys_go() {
        for id in SUITES {
            let (mut a, mut b) = pair(suite(id), &[2, 3]);
            let (early, late) = (seal(&mut a, 2, b"early"), seal(&mut a, 2, b"late"));
            assert_eq!(open(&mut b, &early).unwrap(), &b"early"[..]);
            b.expect_repeats(&Secret::new(&[2; 32]));
            assert_eq!((b.read.len(), b.can_open(2), b.can_open(1)), (1, true, false));
            let mut forged = late.clone();
            forged[12] ^= 1;
            assert_eq!(open(&mut b, &forged), Err(Discard::Forged));
            assert_eq!(b.repeats.as_ref().unwrap().failures, 1);
            assert_eq!(open(&mut b, &early), Err(Discard::Replayed));
            assert_eq!(open(&mut b, &late).unwrap(), &b"late"[..]);
            assert_eq!(open(&mut b, &late), Err(Discard::Replayed));
            let last = seal(&mut a, 2, b"last");
            b.retire_handshake_read();
            assert!(!b.can_open(2));
            assert_eq!(open(&mut b, &last), Err(Discard::Forged));
        }
    }

    #[test]
    fn keys_that_are_worn_protect_and_open_no_more() {
        let (mut a, mut b) = pair(suite(SUITES[0]), &[3]);
        a.write[0].next = 23_726_566;
        b.read[0].window.accept(23_726_565);
        let last = seal(&mut a, 3, b"last");
        assert_eq!(open(&mut b, &last).unwrap(), &b"last"[..]);
        let fill = |out: &mut Vec<u8>| {
            out.push(1);
            Some(1)
        };
        assert_eq!(
            a.enclose(Epoch(3), ContentType::APPLICATION_DATA, &mut Vec::new(), &[], fill),
            None
        );

        let (mut a, mut b) = pair(suite(SUITES[0]), &[3]);
        b.read[0].failures = Epochs::INTEGRITY_LIMIT - 1;
        let genuine = seal(&mut a, 3, b"genuine");
        let mut forged = genuine.clone();
        forged[10] ^= 1;
        assert!(!b.is_exhausted());
        assert!(open(&mut b, &forged).is_err());
        assert!(b.is_exhausted());
        assert_eq!(open(&mut b, &genuine), Err(Discard::Forged));
    }

    #[test]
    fn no_key_and_number_protect_twice() {
        for id in SUITES {
            let suite = suite(id);
            let mut secret = Secret::new(&[7; 32]);
            let mut epochs = Epochs::new(suite);
            let mut seen = std::collections::HashSet::new();
            for epoch in 3..12 {
                epochs.write_with(Epoch(epoch), &secret).expect("keys");
                for _ in 0..5 {
                    // Numbers begin anew with each epoch. What follows the header is the same only if key and nonce are.
                    let record = seal(&mut epochs, epoch, &[0; 40]);
                    assert!(seen.insert(record[Epochs::HEADER_LEN..].to_vec()), "{epoch}");
                }
                secret = suite.next_secret(&secret);
            }
        }
    }
}

//! [`Message`]: a received STUN message, read in place.

use crate::attribute::{ErrorAttribute, FINGERPRINT_XOR, Fingerprint};
use crate::header::{HEADER_LEN, Header};
use crate::key::{Integrity, Key};
use crate::{
    Attribute, AttributeError, AttributeType, Class, FingerprintError, IntegrityError, Method, ParseError,
    RawAttribute, TransactionId,
};
use peerline_wire::Reader;
use std::fmt;

/// A STUN message in the bytes it came in (RFC 8489 §5). Every attribute lies within the message; whether their values make
/// sense is asked one by one.
///
/// Getters: [`class`](Self::class), [`method`](Self::method), [`transaction_id`](Self::transaction_id),
/// [`bytes`](Self::bytes). Attributes: [`get`](Self::get), [`contains`](Self::contains), [`attributes`](Self::attributes),
/// [`raw_attributes`](Self::raw_attributes). Checks: [`verify`](Self::verify) and its siblings,
/// [`verify_fingerprint`](Self::verify_fingerprint), [`unknown_required`](Self::unknown_required),
/// [`answers`](Self::answers).
#[derive(Clone, Copy)]
pub struct Message<'a> {
    bytes: &'a [u8],
    class: Class,
    method: Method,
    transaction_id: TransactionId,
    /// The first of each that counts, and where in `bytes` its header begins.
    integrity: Option<Located<'a>>,
    integrity_sha256: Option<Located<'a>>,
    fingerprint: Option<Located<'a>>,
}

/// An attribute's value, and the offset of its header in the message.
#[derive(Clone, Copy)]
struct Located<'a> {
    start: usize,
    value: &'a [u8],
}

impl<'a> Message<'a> {
    /// Reads the message that `bytes` are, no more and no less.
    ///
    /// # Errors
    /// See [`ParseError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let mut r = Reader::new(bytes);
        let header = Header::decode(&mut r)?;
        if r.remaining() < header.len.into() {
            return Err(ParseError::Truncated);
        }
        if r.remaining() > header.len.into() {
            return Err(ParseError::TrailingBytes);
        }
        let Header {
            class,
            method,
            transaction_id,
            ..
        } = header;
        let mut message = Self {
            bytes,
            class,
            method,
            transaction_id,
            integrity: None,
            integrity_sha256: None,
            fingerprint: None,
        };
        message.walk(r)?;
        Ok(message)
    }

    /// Sees that each attribute lies within the message, and remembers the checks that count.
    fn walk(&mut self, mut rest: Reader<'a>) -> Result<(), ParseError> {
        let mut last_check = None;
        while !rest.is_empty() {
            let start = self.bytes.len() - rest.remaining();
            let RawAttribute { kind, value } = next_attribute(&mut rest).ok_or(ParseError::AttributeTruncated)?;
            if !kind.is_check() || !counts_behind(last_check, kind) {
                continue;
            }
            last_check = Some(kind);
            let located = Some(Located { start, value });
            match kind {
                AttributeType::MESSAGE_INTEGRITY => self.integrity = located,
                AttributeType::MESSAGE_INTEGRITY_SHA256 => self.integrity_sha256 = located,
                _ => self.fingerprint = located,
            }
        }
        Ok(())
    }

    /// Request, indication or response.
    #[must_use]
    pub fn class(&self) -> Class {
        self.class
    }

    /// The method; a response has that of its request.
    #[must_use]
    pub fn method(&self) -> Method {
        self.method
    }

    /// The transaction; a response has that of its request.
    #[must_use]
    pub fn transaction_id(&self) -> TransactionId {
        self.transaction_id
    }

    /// The whole message.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// True if this is a response to `request`: same transaction, same method.
    #[must_use]
    pub fn answers(&self, request: &Message<'_>) -> bool {
        self.class.is_response()
            && request.class == Class::Request
            && self.method == request.method
            && self.transaction_id == request.transaction_id
    }

    /// The first attribute of `T`'s type, decoded; `None` if there is none.
    ///
    /// "Any attribute type MAY appear more than once in a STUN message. Unless specified otherwise, the order of
    /// appearance is significant: only the first occurrence needs to be processed" (RFC 8489 §14).
    ///
    /// # Errors
    /// [`AttributeError`] if its value is not what the type says.
    pub fn get<T: Attribute<'a>>(&self) -> Result<Option<T>, AttributeError> {
        self.get_all::<T>().next().transpose()
    }

    /// Every attribute of `T`'s type, decoded, for those that may be repeated (XOR-PEER-ADDRESS in CreatePermission,
    /// ADDRESS-ERROR-CODE).
    pub fn get_all<T: Attribute<'a>>(&self) -> impl Iterator<Item = Result<T, AttributeError>> + use<'a, T> {
        let transaction_id = self.transaction_id;
        self.attributes()
            .filter(|attribute| attribute.kind == T::TYPE)
            .map(move |attribute| T::decode(attribute.value, transaction_id))
    }

    /// True if an attribute of this type is there.
    #[must_use]
    pub fn contains(&self, kind: AttributeType) -> bool {
        self.attributes().any(|attribute| attribute.kind == kind)
    }

    /// ERROR-CODE, of an error response; `None` if it is missing or malformed.
    #[must_use]
    pub fn error(&self) -> Option<ErrorAttribute<'a>> {
        self.get().ok().flatten()
    }

    /// The attributes that count, in order: behind MESSAGE-INTEGRITY only MESSAGE-INTEGRITY-SHA256 and FINGERPRINT do,
    /// behind MESSAGE-INTEGRITY-SHA256 only FINGERPRINT, behind FINGERPRINT nothing (RFC 8489 §9, §14.7).
    /// So whatever is read here was covered by the integrity check, if there was one.
    #[must_use]
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes {
            raw: self.raw_attributes(),
            last_check: None,
        }
    }

    /// All attributes, in order, those that must be ignored included.
    #[must_use]
    pub fn raw_attributes(&self) -> RawAttributes<'a> {
        RawAttributes {
            rest: Reader::new(self.bytes.get(HEADER_LEN..).unwrap_or_default()),
        }
    }

    /// The comprehension-required attributes whose type is not in `known`, in order; the integrity attributes and
    /// FINGERPRINT are always known. A request with any is answered with
    /// [`MessageBuilder::unknown_attributes`](crate::MessageBuilder::unknown_attributes), an indication with any is
    /// dropped, a response with any has failed (RFC 8489 §6.3.1 to §6.3.4).
    pub fn unknown_required<'k>(
        &self,
        known: &'k [AttributeType],
    ) -> impl Iterator<Item = AttributeType> + use<'a, 'k> {
        self.attributes()
            .map(|attribute| attribute.kind)
            .filter(|kind| kind.is_comprehension_required() && !kind.is_check() && !known.contains(kind))
    }

    /// Checks the strongest integrity attribute there is, and says which: MESSAGE-INTEGRITY-SHA256 in its full length if
    /// present, else MESSAGE-INTEGRITY. Answer with the same ([`MessageBuilder::integrity_as`]).
    ///
    /// [`MessageBuilder::integrity_as`]: crate::MessageBuilder::integrity_as
    ///
    /// # Errors
    /// See [`IntegrityError`].
    pub fn verify(&self, key: &Key) -> Result<Integrity, IntegrityError> {
        if self.integrity_sha256.is_some() {
            return self.verify_sha256(key, 32).map(|()| Integrity::Sha256);
        }
        self.verify_sha1(key).map(|()| Integrity::Sha1)
    }

    /// Checks MESSAGE-INTEGRITY (RFC 8489 §14.5), in time that does not depend on where it differs.
    ///
    /// # Errors
    /// See [`IntegrityError`].
    pub fn verify_sha1(&self, key: &Key) -> Result<(), IntegrityError> {
        let Located { start, value } = self.integrity.ok_or(IntegrityError::Missing)?;
        if value.len() != 20 {
            return Err(IntegrityError::WrongLength);
        }
        let (covered, length) = self.up_to(start, value.len()).ok_or(IntegrityError::WrongLength)?;
        if !key.sha1().verify(covered, length, value) {
            return Err(IntegrityError::Mismatch);
        }
        Ok(())
    }

    /// Checks MESSAGE-INTEGRITY-SHA256 (RFC 8489 §14.6), in time that does not depend on where it differs. `min_len` is
    /// the fewest bytes of it that the usage accepts: 32 unless it explicitly allows truncation, and never below 16.
    ///
    /// # Errors
    /// See [`IntegrityError`].
    pub fn verify_sha256(&self, key: &Key, min_len: usize) -> Result<(), IntegrityError> {
        let Located { start, value } = self.integrity_sha256.ok_or(IntegrityError::Missing)?;
        // "The value will be at most 32 bytes, but it MUST be at least 16 bytes and MUST be a multiple of 4 bytes."
        if !(min_len.clamp(16, 32)..=32).contains(&value.len()) || value.len() % 4 != 0 {
            return Err(IntegrityError::WrongLength);
        }
        let (covered, length) = self.up_to(start, value.len()).ok_or(IntegrityError::WrongLength)?;
        if !key.sha256().verify(covered, length, value) {
            return Err(IntegrityError::Mismatch);
        }
        Ok(())
    }

    /// What an integrity attribute at `start` covers: the bytes before it, with "the Length field in the STUN header
    /// [...] adjusted to point to the end of the MESSAGE-INTEGRITY attribute" (§14.5).
    fn up_to(&self, start: usize, value_len: usize) -> Option<(&'a [u8], u16)> {
        let length = u16::try_from(start + 4 + value_len - HEADER_LEN).ok()?;
        Some((self.bytes.get(..start)?, length))
    }

    /// Checks FINGERPRINT (RFC 8489 §14.7).
    ///
    /// # Errors
    /// See [`FingerprintError`].
    pub fn verify_fingerprint(&self) -> Result<(), FingerprintError> {
        let Located { start, value } = self.fingerprint.ok_or(FingerprintError::Missing)?;
        let Ok(Fingerprint(fingerprint)) = Fingerprint::decode(value, self.transaction_id) else {
            return Err(FingerprintError::WrongLength);
        };
        // "When present, the FINGERPRINT attribute MUST be the last attribute in the message": eight bytes are left.
        let Some((covered, &[_, _, _, _, _, _, _, _])) = self.bytes.split_at_checked(start) else {
            return Err(FingerprintError::NotLast);
        };
        if crc32fast::hash(covered) ^ FINGERPRINT_XOR != fingerprint {
            return Err(FingerprintError::Mismatch);
        }
        Ok(())
    }
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?} {:?} ", self.method, self.class, self.transaction_id)?;
        f.debug_list()
            .entries(self.attributes().map(|attribute| attribute.kind))
            .finish()
    }
}

/// The attributes of a message that count; see [`Message::attributes`].
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    raw: RawAttributes<'a>,
    /// The integrity attribute or FINGERPRINT passed last.
    last_check: Option<AttributeType>,
}

impl<'a> Iterator for Attributes<'a> {
    type Item = RawAttribute<'a>;

    fn next(&mut self) -> Option<RawAttribute<'a>> {
        let last_check = self.last_check;
        let next = self.raw.find(|attribute| counts_behind(last_check, attribute.kind))?;
        if next.kind.is_check() {
            self.last_check = Some(next.kind);
        }
        Some(next)
    }
}

/// Whether an attribute counts that stands behind this check, the last that did.
fn counts_behind(last_check: Option<AttributeType>, kind: AttributeType) -> bool {
    match last_check {
        None => true,
        Some(AttributeType::MESSAGE_INTEGRITY) => matches!(
            kind,
            AttributeType::MESSAGE_INTEGRITY_SHA256 | AttributeType::FINGERPRINT
        ),
        Some(AttributeType::MESSAGE_INTEGRITY_SHA256) => kind == AttributeType::FINGERPRINT,
        Some(_) => false,
    }
}

/// All attributes of a message; see [`Message::raw_attributes`].
#[derive(Clone, Debug)]
pub struct RawAttributes<'a> {
    rest: Reader<'a>,
}

impl<'a> Iterator for RawAttributes<'a> {
    type Item = RawAttribute<'a>;

    fn next(&mut self) -> Option<RawAttribute<'a>> {
        next_attribute(&mut self.rest)
    }
}

/// "Since STUN aligns attributes on 32-bit boundaries, attributes whose content is not a multiple of 4 bytes are padded with
/// 1, 2, or 3 bytes of padding [...]. The padding bits MUST be set to zero on sending and MUST be ignored by the receiver."
/// (RFC 8489 §14)
fn next_attribute<'a>(r: &mut Reader<'a>) -> Option<RawAttribute<'a>> {
    let kind = AttributeType(r.u16().ok()?);
    let value = r.length_u16().ok()?.rest();
    r.bytes(padded(value.len()) - value.len()).ok()?;
    Some(RawAttribute { kind, value })
}

/// `len` rounded up to whole words of four bytes.
pub(crate) fn padded(len: usize) -> usize {
    len.next_multiple_of(4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MessageBuilder;
    use crate::attribute::{MessageIntegritySha256, Priority, Software, UseCandidate, Username};

    const ID: TransactionId = TransactionId(*b"transaction!");

    /// A Binding request with these attributes.
    fn request(fill: impl FnOnce(&mut MessageBuilder<'_>)) -> Vec<u8> {
        let mut out = Vec::new();
        fill(&mut MessageBuilder::request(&mut out, Method::BINDING, ID));
        out
    }

    /// A Binding request with this body, however wrong.
    fn raw_request(body: &[u8]) -> Vec<u8> {
        let mut out = request(|_| {});
        out[2..4].copy_from_slice(&u16::try_from(body.len()).unwrap().to_be_bytes());
        out.extend_from_slice(body);
        out
    }

    #[test]
    fn attributes_past_the_end_are_refused() {
        for body in [
            &[0x80, 0x22, 0, 1][..],
            &[0x80, 0x22, 0, 5, 1, 2, 3, 4],
            &[0x80, 0x22, 0xff, 0xff, 1, 2, 3, 4],
            &[0x80, 0x22, 0xff, 0xfd, 1, 2, 3, 4],
            &[0x80, 0x22, 0, 4, 1, 2, 3, 4, 0, 6, 0, 1],
        ] {
            assert_eq!(
                Message::parse(&raw_request(body)).err(),
                Some(ParseError::AttributeTruncated),
                "{body:?}"
            );
        }
        assert!(Message::parse(&raw_request(&[0x80, 0x22, 0, 1, 1, 2, 3, 4])).is_ok());
    }

    #[test]
    fn the_length_must_be_that_of_the_datagram() {
        let whole = raw_request(&[0x80, 0x22, 0, 0]);
        assert!(Message::parse(&whole).is_ok());
        for (len, error) in [
            (0, ParseError::TrailingBytes),
            (8, ParseError::Truncated),
            (5, ParseError::UnalignedLength),
        ] {
            let mut wrong = whole.clone();
            wrong[3] = len;
            assert_eq!(Message::parse(&wrong).err(), Some(error));
        }
    }

    #[test]
    fn what_follows_the_integrity_is_ignored() {
        let key = Key::short_term("secret");
        let bytes = request(|m| {
            m.attribute(Username("a:b"))
                .integrity(&key)
                .attribute(UseCandidate)
                .attribute(Username("c:d"));
            m.integrity_sha256(&key)
                .attribute(Priority(1))
                .fingerprint()
                .attribute(Software("late"));
        });
        let message = Message::parse(&bytes).unwrap();
        assert_eq!(message.get(), Ok(Some(Username("a:b"))));
        assert!(!message.contains(AttributeType::USE_CANDIDATE));
        assert!(!message.contains(AttributeType::PRIORITY));
        assert!(!message.contains(AttributeType::SOFTWARE));
        assert_eq!(message.attributes().count(), 4);
        assert_eq!(message.raw_attributes().count(), 8);
        assert_eq!(message.unknown_required(&[AttributeType::USERNAME]).next(), None);
        assert_eq!(message.verify_sha1(&key), Ok(()));
        assert_eq!(message.verify(&key), Ok(Integrity::Sha256));
        assert_eq!(message.verify_fingerprint(), Err(FingerprintError::NotLast));
    }

    #[test]
    fn what_follows_the_sha256_integrity_is_ignored() {
        let key = Key::short_term("secret");
        let bytes = request(|m| {
            m.integrity_sha256(&key)
                .attribute(UseCandidate)
                .integrity(&Key::short_term("other"))
                .fingerprint();
        });
        let message = Message::parse(&bytes).unwrap();
        assert!(!message.contains(AttributeType::USE_CANDIDATE));
        assert_eq!(message.verify(&key), Ok(Integrity::Sha256));
        assert_eq!(message.verify_sha1(&key), Err(IntegrityError::Missing));
        assert_eq!(message.verify_fingerprint(), Ok(()));
    }

    #[test]
    fn the_stronger_integrity_decides() {
        let (key, other) = (Key::short_term("secret"), Key::short_term("other"));
        let cut = request(|m| {
            m.integrity_sha256_truncated::<20>(&key);
        });
        let cut = Message::parse(&cut).unwrap();
        assert_eq!((cut.bytes().len(), cut.verify_sha256(&key, 20)), (44, Ok(())));
        assert_eq!(cut.verify(&key), Err(IntegrityError::WrongLength));

        let bytes = request(|m| {
            m.integrity(&key).integrity_sha256(&other);
        });
        assert_eq!(
            Message::parse(&bytes).unwrap().verify(&key),
            Err(IntegrityError::Mismatch)
        );
    }

    #[test]
    fn sha256_may_be_cut_only_if_the_usage_says_so() {
        let key = Key::short_term("secret");
        for len in 0..=36 {
            // The length that the HMAC covers is that of the cut attribute.
            let mut bytes = request(|m| {
                m.attribute(Username("a:b"))
                    .attribute(MessageIntegritySha256(&vec![0; len]));
            });
            let start = 20 + 8;
            let length = u16::from_be_bytes([bytes[2], bytes[3]]);
            let mac = key.sha256().over(&bytes[..start], length);
            let kept = len.min(mac.len());
            bytes[start + 4..start + 4 + kept].copy_from_slice(&mac[..kept]);
            let message = Message::parse(&bytes).unwrap();
            let allowed = (16..=32).contains(&len) && len % 4 == 0;
            assert_eq!(message.verify_sha256(&key, 0).is_ok(), allowed, "{len} bytes");
            assert_eq!(
                message.verify_sha256(&key, 24).is_ok(),
                allowed && len >= 24,
                "{len} bytes"
            );
            assert_eq!(message.verify(&key).is_ok(), len == 32, "{len} bytes");
        }
    }

    #[test]
    fn integrity_of_another_length_is_no_integrity() {
        let key = Key::short_term("secret");
        for len in (0..40).filter(|&len| len != 20) {
            let bytes = request(|m| {
                m.raw(RawAttribute {
                    kind: AttributeType::MESSAGE_INTEGRITY,
                    value: &vec![0; len],
                });
            });
            assert_eq!(
                Message::parse(&bytes).unwrap().verify(&key),
                Err(IntegrityError::WrongLength)
            );
        }
        let bytes = request(|m| {
            m.raw(RawAttribute {
                kind: AttributeType::FINGERPRINT,
                value: &[0; 5],
            });
        });
        assert_eq!(
            Message::parse(&bytes).unwrap().verify_fingerprint(),
            Err(FingerprintError::WrongLength)
        );
        let bytes = request(|_| {});
        let bare = Message::parse(&bytes).unwrap();
        assert_eq!(bare.verify(&key), Err(IntegrityError::Missing));
        assert_eq!(bare.verify_fingerprint(), Err(FingerprintError::Missing));
    }

    #[test]
    fn the_first_of_a_kind_counts() {
        let key = Key::short_term("secret");
        let bytes = request(|m| {
            m.attribute(Priority(1))
                .attribute(Priority(2))
                .integrity(&key)
                .integrity(&Key::short_term("other"));
        });
        let message = Message::parse(&bytes).unwrap();
        assert_eq!(message.get(), Ok(Some(Priority(1))));
        assert!(message.get_all().eq([Ok(Priority(1)), Ok(Priority(2))]));
        assert_eq!(message.verify(&key), Ok(Integrity::Sha1));
    }

    #[test]
    fn malformed_values_are_errors_of_their_own() {
        let bytes = request(|m| {
            m.raw(RawAttribute {
                kind: AttributeType::PRIORITY,
                value: &[1],
            });
            m.raw(RawAttribute {
                kind: AttributeType::USERNAME,
                value: &[0xff],
            });
            m.raw(RawAttribute {
                kind: AttributeType::SOFTWARE,
                value: &[b'a'; 764],
            });
        });
        let message = Message::parse(&bytes).unwrap();
        assert_eq!(message.get::<Priority>(), Err(AttributeError::WrongLength));
        assert_eq!(message.get::<Username<'_>>(), Err(AttributeError::NotUtf8));
        assert_eq!(message.get::<Software<'_>>(), Err(AttributeError::WrongLength));
    }
}

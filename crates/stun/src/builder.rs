//! [`MessageBuilder`]: appends a STUN message to the caller's buffer.

use crate::attribute::{ErrorAttribute, ErrorCode, FINGERPRINT_XOR, UnknownAttributes};
use crate::header::{HEADER_LEN, Header};
use crate::key::{Integrity, Key};
use crate::message::padded;
use crate::{Attribute, AttributeType, Class, Message, Method, RawAttribute, TransactionId};
use peerline_wire::Writer;

/// Appends one message to a `Vec<u8>`, behind whatever is in it already. The buffer holds a whole message, with the right
/// length, after every call.
///
/// Begin with [`request`](Self::request), [`indication`](Self::indication), [`success`](Self::success),
/// [`error`](Self::error) or [`unknown_attributes`](Self::unknown_attributes); add attributes; then the integrity, then the
/// fingerprint, in this order: receivers ignore any other attribute behind them. [`finish`](Self::finish) says how long the
/// message is.
#[derive(Debug)]
pub struct MessageBuilder<'a> {
    out: &'a mut Vec<u8>,
    /// Where in `out` the message begins.
    start: usize,
    transaction_id: TransactionId,
    /// True once the message would have been longer than its Length field can say; `out` is then as it was.
    too_long: bool,
}

impl<'a> MessageBuilder<'a> {
    /// How many types [`unknown_attributes`](Self::unknown_attributes) names at most, so that no request can demand a
    /// response larger than a datagram.
    pub const MAX_UNKNOWN_ATTRIBUTES: usize = 32;

    /// Begins a message.
    pub fn new(out: &'a mut Vec<u8>, class: Class, method: Method, transaction_id: TransactionId) -> Self {
        let start = out.len();
        Header {
            class,
            method,
            len: 0,
            transaction_id,
        }
        .encode(&mut Writer::new(out));
        Self {
            out,
            start,
            transaction_id,
            too_long: false,
        }
    }

    /// Begins a request.
    pub fn request(out: &'a mut Vec<u8>, method: Method, transaction_id: TransactionId) -> Self {
        Self::new(out, Class::Request, method, transaction_id)
    }

    /// Begins an indication.
    pub fn indication(out: &'a mut Vec<u8>, method: Method, transaction_id: TransactionId) -> Self {
        Self::new(out, Class::Indication, method, transaction_id)
    }

    /// Begins the success response to `request`.
    pub fn success(out: &'a mut Vec<u8>, request: &Message<'_>) -> Self {
        Self::new(out, Class::SuccessResponse, request.method(), request.transaction_id())
    }

    /// Begins the error response to `request`, with ERROR-CODE and its recommended reason phrase.
    pub fn error(out: &'a mut Vec<u8>, request: &Message<'_>, code: ErrorCode) -> Self {
        let mut builder = Self::new(out, Class::ErrorResponse, request.method(), request.transaction_id());
        builder.attribute(ErrorAttribute::new(code));
        builder
    }

    /// Begins the 420 response to a request with attributes it takes to understand but that are not in `known`
    /// (RFC 8489 §6.3.1): ERROR-CODE and UNKNOWN-ATTRIBUTES, each type once, the first
    /// [`MAX_UNKNOWN_ATTRIBUTES`](Self::MAX_UNKNOWN_ATTRIBUTES) of them.
    pub fn unknown_attributes(out: &'a mut Vec<u8>, request: &Message<'_>, known: &[AttributeType]) -> Self {
        let mut types = [AttributeType(0); Self::MAX_UNKNOWN_ATTRIBUTES];
        let mut count = 0;
        for kind in request.unknown_required(known) {
            let (seen, free) = types.split_at_mut(count);
            let Some(slot) = free.first_mut() else { break };
            if !seen.contains(&kind) {
                *slot = kind;
                count += 1;
            }
        }
        let mut builder = Self::error(out, request, ErrorCode::UNKNOWN_ATTRIBUTE);
        builder.attribute(UnknownAttributes::new(types.get(..count).unwrap_or_default()));
        builder
    }

    /// Adds an attribute.
    pub fn attribute<'v, T: Attribute<'v>>(&mut self, attribute: T) -> &mut Self {
        let transaction_id = self.transaction_id;
        self.append(T::TYPE, |out| attribute.encode(transaction_id, out))
    }

    /// Adds an attribute of any type whose value, without padding, is what `fill` appends: for values that are best
    /// written where they belong (DATA).
    pub fn attribute_with(&mut self, kind: AttributeType, fill: impl FnOnce(&mut Vec<u8>)) -> &mut Self {
        self.append(kind, fill)
    }

    /// Adds an attribute of any type, given its bytes without padding.
    pub fn raw(&mut self, attribute: RawAttribute<'_>) -> &mut Self {
        self.append(attribute.kind, |out| out.extend_from_slice(attribute.value))
    }

    /// Adds MESSAGE-INTEGRITY (RFC 8489 §14.5): HMAC-SHA1 over everything before it.
    pub fn integrity(&mut self, key: &Key) -> &mut Self {
        self.append_check(AttributeType::MESSAGE_INTEGRITY, |covered, length| {
            key.sha1().over(covered, length)
        })
    }

    /// Adds MESSAGE-INTEGRITY-SHA256 (RFC 8489 §14.6) in full length: HMAC-SHA256 over everything before it.
    pub fn integrity_sha256(&mut self, key: &Key) -> &mut Self {
        self.integrity_sha256_truncated::<32>(key)
    }

    /// Adds the first `LEN` bytes of MESSAGE-INTEGRITY-SHA256, for usages that allow this: 16, 20, 24, 28 or 32; another
    /// number does not compile.
    pub fn integrity_sha256_truncated<const LEN: usize>(&mut self, key: &Key) -> &mut Self {
        const { assert!(LEN >= 16 && LEN <= 32 && LEN.is_multiple_of(4), "RFC 8489 §14.6") };
        self.append_check::<LEN>(AttributeType::MESSAGE_INTEGRITY_SHA256, |covered, length| {
            let mac = key.sha256().over(covered, length);
            std::array::from_fn(|i| mac[i])
        })
    }

    /// Adds the integrity attribute that [`Message::verify`] found in the request: "Any response generated by a server to
    /// a request that contains a MESSAGE-INTEGRITY-SHA256 attribute MUST include the MESSAGE-INTEGRITY-SHA256 attribute
    /// [...] only one of these attributes can appear in a response" (RFC 8489 §9.1.3).
    pub fn integrity_as(&mut self, integrity: Integrity, key: &Key) -> &mut Self {
        match integrity {
            Integrity::Sha1 => self.integrity(key),
            Integrity::Sha256 => self.integrity_sha256(key),
        }
    }

    /// Adds FINGERPRINT (RFC 8489 §14.7), which must be the last attribute.
    pub fn fingerprint(&mut self) -> &mut Self {
        self.append_check(AttributeType::FINGERPRINT, |covered, _| {
            (crc32fast::hash(covered) ^ FINGERPRINT_XOR).to_be_bytes()
        })
    }

    /// The message's length in bytes. `None` if it outgrew the 65,535 bytes its Length field can say; the buffer is then as
    /// it was before.
    pub fn finish(&mut self) -> Option<usize> {
        (!self.too_long).then(|| self.out.len() - self.start)
    }

    /// Appends type, length, what `fill` writes, and padding; then updates the header's length.
    fn append(&mut self, kind: AttributeType, fill: impl FnOnce(&mut Vec<u8>)) -> &mut Self {
        if self.too_long {
            return self;
        }
        let at = self.out.len();
        self.out.extend_from_slice(&attribute_header(kind, 0));
        fill(self.out);
        let value_len = self.out.len() - at - 4;
        let padding = padded(value_len) - value_len;
        self.out.extend_from_slice(&[0; 3][..padding]);

        let Ok(length) = u16::try_from(value_len) else {
            return self.give_up();
        };
        self.out[at..at + 4].copy_from_slice(&attribute_header(kind, length));
        match self.set_length(self.out.len()) {
            Some(_) => self,
            None => self.give_up(),
        }
    }

    /// Appends an attribute whose value is what `compute` makes of the message before it, the Length field of which (its
    /// second argument) counts the attribute already.
    fn append_check<const N: usize>(
        &mut self,
        kind: AttributeType,
        compute: impl FnOnce(&[u8], u16) -> [u8; N],
    ) -> &mut Self {
        const { assert!(N.is_multiple_of(4) && N < 1 << 16, "the value needs no padding") };
        if self.too_long {
            return self;
        }
        let Some(length) = self.set_length(self.out.len() + 4 + N) else {
            return self.give_up();
        };
        let value = compute(&self.out[self.start..], length);
        self.out.extend_from_slice(&attribute_header(kind, N as u16));
        self.out.extend_from_slice(&value);
        self
    }

    /// Sets the header's Length field for a message that ends at `end` in the buffer; `None` if that is too long for it.
    fn set_length(&mut self, end: usize) -> Option<u16> {
        let length = u16::try_from(end - self.start - HEADER_LEN).ok()?;
        self.out[self.start + 2..self.start + 4].copy_from_slice(&length.to_be_bytes());
        Some(length)
    }

    fn give_up(&mut self) -> &mut Self {
        self.out.truncate(self.start);
        self.too_long = true;
        self
    }
}

fn attribute_header(kind: AttributeType, length: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (kind.0.to_be_bytes(), length.to_be_bytes());
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::IntegrityError;
    use crate::attribute::{Data, Priority, Realm, Username};

    const ID: TransactionId = TransactionId(*b"transaction!");

    fn unknown(kind: u16) -> RawAttribute<'static> {
        RawAttribute {
            kind: AttributeType(kind),
            value: &[1, 2, 3],
        }
    }

    #[test]
    fn a_message_begins_behind_what_is_there() {
        let mut out = vec![0xee; 7];
        let key = Key::short_term("secret");
        let len = MessageBuilder::request(&mut out, Method::BINDING, ID)
            .integrity(&key)
            .fingerprint()
            .finish();
        assert_eq!((len, out.len()), (Some(52), 59));
        assert_eq!(out[..7], [0xee; 7]);
        let message = Message::parse(&out[7..]).unwrap();
        assert_eq!(message.verify(&key), Ok(Integrity::Sha1));
        assert_eq!(message.verify_fingerprint(), Ok(()));
    }

    #[test]
    fn a_value_written_in_place_is_the_same() {
        let (mut copied, mut written) = (Vec::new(), Vec::new());
        MessageBuilder::indication(&mut copied, Method::DATA, ID).attribute(Data(b"hello"));
        MessageBuilder::indication(&mut written, Method::DATA, ID)
            .attribute_with(AttributeType::DATA, |out| out.extend_from_slice(b"hello"));
        assert_eq!(copied, written);
    }

    #[test]
    fn a_length_is_never_cut_to_sixteen_bits() {
        let key = Key::short_term("secret");
        // The body's length is a multiple of four: at most 65,532, of which four are the attribute's header.
        for (data_len, fits) in [
            (65_528, true),
            (65_529, false),
            (65_535, false),
            (65_536, false),
            (70_000, false),
        ] {
            let data = vec![1; data_len];
            let mut out = b"before".to_vec();
            let mut builder = MessageBuilder::indication(&mut out, Method::DATA, ID);
            builder.attribute(Data(&data));
            assert_eq!(builder.finish(), fits.then_some(20 + 4 + data_len));
            builder
                .integrity(&key)
                .integrity_sha256(&key)
                .attribute(Priority(1))
                .fingerprint();
            assert_eq!(builder.finish(), None);
            assert_eq!(out, b"before");
        }
    }

    #[test]
    fn unknown_required_attributes_are_answered_with_420() {
        let mut request = Vec::new();
        MessageBuilder::request(&mut request, Method::ALLOCATE, ID)
            .attribute(Username("user"))
            .raw(unknown(0x7fff))
            .raw(unknown(0x8fff))
            .attribute(Realm("realm"))
            .raw(unknown(0x0002))
            .raw(unknown(0x7fff))
            .integrity(&Key::short_term("secret"))
            .raw(unknown(0x0004));
        let request = Message::parse(&request).unwrap();
        let known = [AttributeType::USERNAME, AttributeType::REALM];
        assert!(
            request
                .unknown_required(&known)
                .eq([0x7fff, 0x0002, 0x7fff].map(AttributeType))
        );

        let mut response = Vec::new();
        MessageBuilder::unknown_attributes(&mut response, &request, &known).fingerprint();
        let response = Message::parse(&response).unwrap();
        assert!(response.answers(&request));
        assert_eq!(
            (response.class(), response.method()),
            (Class::ErrorResponse, Method::ALLOCATE)
        );
        assert_eq!(
            response.error().map(|error| error.code),
            Some(ErrorCode::UNKNOWN_ATTRIBUTE)
        );
        let types = [AttributeType(0x7fff), AttributeType(0x0002)];
        assert_eq!(response.get(), Ok(Some(UnknownAttributes::new(&types))));
        assert_eq!(response.verify_fingerprint(), Ok(()));
    }

    #[test]
    fn a_request_full_of_unknown_attributes_gets_a_short_response() {
        let mut request = Vec::new();
        let mut builder = MessageBuilder::request(&mut request, Method::BINDING, ID);
        for kind in 0x1000..0x2000 {
            builder.raw(unknown(kind));
        }
        let request = Message::parse(&request).unwrap();
        let mut response = Vec::new();
        MessageBuilder::unknown_attributes(&mut response, &request, &[]);
        let response = Message::parse(&response).unwrap();
        let Ok(Some(named)) = response.get::<UnknownAttributes<'_>>() else {
            panic!("no list in {response:?}")
        };
        assert!(named.iter().eq((0x1000..0x1020).map(AttributeType)));
    }

    #[test]
    fn the_answer_is_protected_as_the_request_was() {
        let key = Key::short_term("secret");
        for integrity in [Integrity::Sha1, Integrity::Sha256] {
            let mut out = Vec::new();
            MessageBuilder::request(&mut out, Method::BINDING, ID).integrity_as(integrity, &key);
            let message = Message::parse(&out).unwrap();
            assert_eq!(message.verify(&key), Ok(integrity));
            assert_eq!(
                message.verify(&Key::short_term("Secret")),
                Err(IntegrityError::Mismatch)
            );
        }
    }
}

//! [`MessageBuilder`]: appends a STUN message to the caller's buffer.

use crate::attribute::{
    ErrorAttribute, ErrorCode, FINGERPRINT_XOR, Fingerprint, MessageIntegrity, MessageIntegritySha256,
    UnknownAttributes,
};
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

    /// Adds an attribute of any type, given its bytes without padding.
    pub fn raw(&mut self, attribute: RawAttribute<'_>) -> &mut Self {
        self.append(attribute.kind, |out| out.extend_from_slice(attribute.value))
    }

    /// Adds MESSAGE-INTEGRITY (RFC 8489 §14.5): HMAC-SHA1 over everything before it.
    pub fn integrity(&mut self, key: &Key) -> &mut Self {
        self.attribute(MessageIntegrity([0; 20]))
            .patch_value(|covered| key.sha1(&[covered]))
    }

    /// Adds MESSAGE-INTEGRITY-SHA256 (RFC 8489 §14.6) in full length: HMAC-SHA256 over everything before it.
    pub fn integrity_sha256(&mut self, key: &Key) -> &mut Self {
        self.attribute(MessageIntegritySha256(&[0; 32]))
            .patch_value(|covered| key.sha256(&[covered]))
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
        self.attribute(Fingerprint(0))
            .patch_value(|covered| (crc32fast::hash(covered) ^ FINGERPRINT_XOR).to_be_bytes())
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
        let mut w = Writer::new(self.out);
        w.u16(kind.0);
        w.u16(0);
        fill(self.out);
        let value_len = self.out.len() - at - 4;
        Writer::new(self.out).zeros(padded(value_len) - value_len);
        let body_len = self.out.len() - self.start - HEADER_LEN;

        let (Ok(value_len), Ok(body_len)) = (u16::try_from(value_len), u16::try_from(body_len)) else {
            self.out.truncate(self.start);
            self.too_long = true;
            return self;
        };
        self.out[at + 2..at + 4].copy_from_slice(&value_len.to_be_bytes());
        self.out[self.start + 2..self.start + 4].copy_from_slice(&body_len.to_be_bytes());
        self
    }

    /// Replaces the value of the attribute just added by what `compute` makes of the message before that attribute.
    fn patch_value<const N: usize>(&mut self, compute: impl FnOnce(&[u8]) -> [u8; N]) -> &mut Self {
        if self.too_long {
            return self;
        }
        let value_start = self.out.len() - N;
        let (covered, value) = self.out.split_at_mut(value_start);
        value.copy_from_slice(&compute(&covered[self.start..value_start - 4]));
        self
    }
}

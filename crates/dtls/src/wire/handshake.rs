//! Handshake messages (RFC 6347 §4.2.2, RFC 5246 §7.4): the header that lets them travel in fragments, and their bodies.

mod certificate;
pub mod dtls13;
mod hello;
mod key_exchange;

pub use certificate::{Certificate, CertificateRequest, CertificateVerify, ClientCertificateType, DigitallySigned};
pub use hello::{ClientHello, CompressionMethod, HelloVerifyRequest, Random, ServerHello};
pub use key_exchange::{ClientKeyExchange, EcdheParams, Finished, ServerKeyExchange};

use peerline_wire::{Reader, Writer};

use super::{ParseError, number};

number! {
    /// The kind of a handshake message.
    HandshakeType(u8) {
        /// The server asks for a renegotiation.
        HELLO_REQUEST = 0,
        /// The client's offer.
        CLIENT_HELLO = 1,
        /// The server's choice.
        SERVER_HELLO = 2,
        /// The server asks for the ClientHello again, with a cookie.
        HELLO_VERIFY_REQUEST = 3,
        /// A ticket to resume the session with (DTLS 1.3).
        NEW_SESSION_TICKET = 4,
        /// The server's answers that need not be in the clear (DTLS 1.3).
        ENCRYPTED_EXTENSIONS = 8,
        /// The sender wants connection IDs for its records (DTLS 1.3).
        REQUEST_CONNECTION_ID = 9,
        /// Connection IDs for the receiver's records (DTLS 1.3).
        NEW_CONNECTION_ID = 10,
        /// A certificate chain.
        CERTIFICATE = 11,
        /// The server's share of the key exchange, signed.
        SERVER_KEY_EXCHANGE = 12,
        /// The server asks for a client certificate.
        CERTIFICATE_REQUEST = 13,
        /// The end of the server's hello.
        SERVER_HELLO_DONE = 14,
        /// The client's proof that the certificate is its own.
        CERTIFICATE_VERIFY = 15,
        /// The client's share of the key exchange.
        CLIENT_KEY_EXCHANGE = 16,
        /// The proof that both sides saw the same handshake.
        FINISHED = 20,
        /// The sender's next records are protected by new keys (DTLS 1.3).
        KEY_UPDATE = 24,
        /// Never sent: stands for the first ClientHello in the transcript (RFC 8446 §4.4.1).
        MESSAGE_HASH = 254,
    }
}

/// The 12 bytes before each fragment of a handshake message.
///
/// ```text
///  msg_type (1) | length (3) | message_seq (2) | fragment_offset (3) | fragment_length (3)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandshakeHeader {
    /// The kind of message.
    pub kind: HandshakeType,
    /// The length of the whole message's body.
    pub length: u32,
    /// The message's number; each message has one more than the last, retransmissions have the same.
    pub message_seq: u16,
    /// Where in the body this fragment starts.
    pub fragment_offset: u32,
    /// How long this fragment is.
    pub fragment_length: u32,
}

impl HandshakeHeader {
    /// The header's length in bytes.
    pub const LEN: usize = 12;

    /// Appends the header.
    pub fn encode(&self, w: &mut Writer<'_>) {
        w.u8(self.kind.0);
        w.u24(self.length);
        w.u16(self.message_seq);
        w.u24(self.fragment_offset);
        w.u24(self.fragment_length);
    }
}

/// One fragment of a handshake message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// Its header.
    pub header: HandshakeHeader,
    /// Its part of the body.
    pub body: &'a [u8],
}

impl<'a> Fragment<'a> {
    /// A message in one fragment. `body` is shorter than 2^24 bytes.
    #[must_use]
    pub fn whole(kind: HandshakeType, message_seq: u16, body: &'a [u8]) -> Self {
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        let header = HandshakeHeader {
            kind,
            length,
            message_seq,
            fragment_offset: 0,
            fragment_length: length,
        };
        Self { header, body }
    }

    /// Reads a fragment.
    ///
    /// # Errors
    /// [`ParseError`] if it is cut short or reaches past the end of its message.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, ParseError> {
        let header = HandshakeHeader {
            kind: HandshakeType(r.u8()?),
            length: r.u24()?,
            message_seq: r.u16()?,
            fragment_offset: r.u24()?,
            fragment_length: r.u24()?,
        };
        // Both have 24 bits: the sum cannot overflow.
        if header.fragment_offset + header.fragment_length > header.length {
            return Err(ParseError::BadLength);
        }
        let body = r.bytes(header.fragment_length as usize)?;
        Ok(Self { header, body })
    }

    /// Appends the fragment.
    pub fn encode(&self, w: &mut Writer<'_>) {
        self.header.encode(w);
        w.bytes(self.body);
    }

    /// True if the fragment holds the last byte of its message.
    #[must_use]
    pub fn ends_message(&self) -> bool {
        self.header.fragment_offset + self.header.fragment_length == self.header.length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fragment_must_lie_within_its_message() {
        let mut bytes = Vec::new();
        let header = HandshakeHeader {
            kind: HandshakeType::CERTIFICATE,
            length: 10,
            message_seq: 3,
            fragment_offset: 8,
            fragment_length: 2,
        };
        Fragment { header, body: b"ab" }.encode(&mut Writer::new(&mut bytes));
        let fragment = Fragment::decode(&mut Reader::new(&bytes)).unwrap();
        assert_eq!((fragment.header, fragment.body), (header, &b"ab"[..]));
        assert!(fragment.ends_message());

        bytes[8] = 9; // fragment_offset: now one byte past the end
        assert_eq!(Fragment::decode(&mut Reader::new(&bytes)), Err(ParseError::BadLength));
        assert_eq!(
            Fragment::decode(&mut Reader::new(&bytes[..11])),
            Err(ParseError::Truncated)
        );
    }
}

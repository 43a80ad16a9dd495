//! ClientHello, ServerHello (RFC 5246 §7.4.1, RFC 6347 §4.2.1) and HelloVerifyRequest (RFC 6347 §4.2.1).

use peerline_wire::{Reader, Writer};

use crate::wire::extension::{Extension, ExtensionType};
use crate::wire::{CipherSuite, ParseError, ProtocolVersion, exactly, number, numbers_u16};

/// A hello's 32 random bytes.
pub type Random = [u8; 32];

number! {
    /// A compression method.
    CompressionMethod(u8) {
        /// None: the only one that is safe.
        NULL = 0,
    }
}

/// What the client offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientHello {
    /// The highest version the client speaks, or 1.2 if it offers higher ones in `supported_versions`.
    pub version: ProtocolVersion,
    /// The client's random bytes.
    pub random: Random,
    /// A session to resume, at most 32 bytes.
    pub session_id: Vec<u8>,
    /// The cookie of a HelloVerifyRequest, or nothing.
    pub cookie: Vec<u8>,
    /// Cipher suites, best first.
    pub cipher_suites: Vec<CipherSuite>,
    /// Compression methods.
    pub compression_methods: Vec<CompressionMethod>,
    /// Extensions.
    pub extensions: Vec<Extension>,
}

impl ClientHello {
    /// Reads the body of a ClientHello.
    ///
    /// # Errors
    /// [`ParseError`] unless the bytes are exactly one.
    pub fn decode(body: &[u8]) -> Result<Self, ParseError> {
        exactly(body, |r| {
            Ok(Self {
                version: ProtocolVersion(r.u16()?),
                random: r.array()?,
                session_id: session_id(r)?,
                cookie: r.length_u8()?.rest().to_vec(),
                cipher_suites: numbers_u16(r.length_u16()?, CipherSuite)?,
                compression_methods: match r.length_u8()?.rest() {
                    [] => return Err(ParseError::BadLength),
                    methods => methods.iter().copied().map(CompressionMethod).collect(),
                },
                extensions: Extension::decode_list(r)?,
            })
        })
    }

    /// Appends the body.
    pub fn encode(&self, w: &mut Writer<'_>) {
        self.encode_before_cookie(w);
        w.length_u8(|w| w.bytes(&self.cookie));
        self.encode_after_cookie(w);
    }

    /// Appends everything but the cookie: what a cookie vouches for.
    pub fn encode_without_cookie(&self, w: &mut Writer<'_>) {
        self.encode_before_cookie(w);
        self.encode_after_cookie(w);
    }

    fn encode_before_cookie(&self, w: &mut Writer<'_>) {
        w.u16(self.version.0);
        w.bytes(&self.random);
        w.length_u8(|w| w.bytes(&self.session_id));
    }

    fn encode_after_cookie(&self, w: &mut Writer<'_>) {
        w.length_u16(|w| self.cipher_suites.iter().for_each(|suite| w.u16(suite.0)));
        w.length_u8(|w| self.compression_methods.iter().for_each(|method| w.u8(method.0)));
        Extension::encode_list(&self.extensions, w);
    }

    /// The body of the first extension of a kind.
    #[must_use]
    pub fn extension(&self, extension_type: ExtensionType) -> Option<&[u8]> {
        Extension::find(&self.extensions, extension_type)
    }

    /// True if an extension comes twice, which RFC 5246 §7.4.1.4 forbids.
    #[must_use]
    pub fn has_duplicate_extensions(&self) -> bool {
        Extension::has_duplicates(&self.extensions)
    }
}

/// What the server chose. In DTLS 1.3 it may be a HelloRetryRequest: a ServerHello with a random that says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerHello {
    /// The version that will be spoken.
    pub version: ProtocolVersion,
    /// The server's random bytes.
    pub random: Random,
    /// The session's name, at most 32 bytes; empty if it cannot be resumed.
    pub session_id: Vec<u8>,
    /// The cipher suite.
    pub cipher_suite: CipherSuite,
    /// The compression method.
    pub compression_method: CompressionMethod,
    /// Answers to the client's extensions.
    pub extensions: Vec<Extension>,
}

impl ServerHello {
    /// The random of a HelloRetryRequest: the SHA-256 of that word (RFC 8446 §4.1.3).
    pub const HELLO_RETRY_REQUEST: Random = [
        0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2,
        0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
    ];

    /// How the random of a server ends that could have spoken 1.3 and speaks 1.2 (RFC 8446 §4.1.3).
    pub const DOWNGRADE: [u8; 8] = *b"DOWNGRD\x01";

    /// True if the server asks for another ClientHello.
    #[must_use]
    pub fn is_hello_retry_request(&self) -> bool {
        self.random == Self::HELLO_RETRY_REQUEST
    }

    /// Reads the body of a ServerHello.
    ///
    /// # Errors
    /// [`ParseError`] unless the bytes are exactly one.
    pub fn decode(body: &[u8]) -> Result<Self, ParseError> {
        exactly(body, |r| {
            Ok(Self {
                version: ProtocolVersion(r.u16()?),
                random: r.array()?,
                session_id: session_id(r)?,
                cipher_suite: CipherSuite(r.u16()?),
                compression_method: CompressionMethod(r.u8()?),
                extensions: Extension::decode_list(r)?,
            })
        })
    }

    /// Appends the body.
    pub fn encode(&self, w: &mut Writer<'_>) {
        w.u16(self.version.0);
        w.bytes(&self.random);
        w.length_u8(|w| w.bytes(&self.session_id));
        w.u16(self.cipher_suite.0);
        w.u8(self.compression_method.0);
        Extension::encode_list(&self.extensions, w);
    }

    /// The body of the first extension of a kind.
    #[must_use]
    pub fn extension(&self, extension_type: ExtensionType) -> Option<&[u8]> {
        Extension::find(&self.extensions, extension_type)
    }

    /// True if an extension comes twice.
    #[must_use]
    pub fn has_duplicate_extensions(&self) -> bool {
        Extension::has_duplicates(&self.extensions)
    }
}

/// The server asks the client to prove that it receives what is sent to its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HelloVerifyRequest {
    /// DTLS 1.0, whatever will be negotiated (RFC 6347 §4.2.1).
    pub version: ProtocolVersion,
    /// What the client has to repeat, at most 255 bytes.
    pub cookie: Vec<u8>,
}

impl HelloVerifyRequest {
    /// Reads the body of a HelloVerifyRequest.
    ///
    /// # Errors
    /// [`ParseError`] unless the bytes are exactly one.
    pub fn decode(body: &[u8]) -> Result<Self, ParseError> {
        exactly(body, |r| {
            Ok(Self {
                version: ProtocolVersion(r.u16()?),
                cookie: r.length_u8()?.rest().to_vec(),
            })
        })
    }

    /// Appends the body.
    pub fn encode(&self, w: &mut Writer<'_>) {
        w.u16(self.version.0);
        w.length_u8(|w| w.bytes(&self.cookie));
    }
}

fn session_id(r: &mut Reader<'_>) -> Result<Vec<u8>, ParseError> {
    match r.length_u8()?.rest() {
        id if id.len() <= 32 => Ok(id.to_vec()),
        _ => Err(ParseError::BadLength),
    }
}

//! The bytes of DTLS: records, handshake messages, extensions and alerts, as they stand on the wire and nothing more.
//!
//! Every decoder reads exactly what it is given: bytes missing or left over are a [`ParseError`]. Numbers are
//! newtypes, so values that this crate does not know survive a round trip.

pub mod ack;
pub mod alert;
pub mod connection_id;
pub mod extension;
pub mod handshake;
pub mod record;
pub mod routability;
pub mod unified;

use std::fmt;

use peerline_wire::{Reader, Truncated};

/// Why bytes are not what they claim to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// The bytes end before a field does.
    Truncated,
    /// Bytes are left over after the last field.
    TrailingBytes,
    /// A length contradicts another, or the bounds that the RFC sets.
    BadLength,
    /// A field has a value for which no layout is known (a curve type other than `named_curve`).
    Unsupported,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "the bytes end before a field does",
            Self::TrailingBytes => "bytes are left over after the last field",
            Self::BadLength => "a length is out of bounds or contradicts another",
            Self::Unsupported => "a field has a value for which no layout is known",
        })
    }
}

impl std::error::Error for ParseError {}

impl From<Truncated> for ParseError {
    fn from(Truncated: Truncated) -> Self {
        Self::Truncated
    }
}

/// Declares a protocol number: a newtype with the RFC's names as consts, and a `Debug` that shows them.
macro_rules! number {
    ($(#[$doc:meta])* $name:ident($int:ty) { $($(#[$const_doc:meta])* $constant:ident = $value:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub $int);

        #[allow(clippy::exhaustive_structs)]
        impl $name {
            $($(#[$const_doc])* pub const $constant: Self = Self($value);)*
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match *self {
                    $(Self::$constant => f.write_str(stringify!($constant)),)*
                    Self(number) => write!(f, concat!(stringify!($name), "({:#x})"), number),
                }
            }
        }
    };
}
pub(crate) use number;

number! {
    /// A protocol version as DTLS writes it: one's complement, so newer versions have smaller numbers.
    ProtocolVersion(u16) {
        /// DTLS 1.0 (RFC 4347).
        DTLS_1_0 = 0xfeff,
        /// DTLS 1.2 (RFC 6347).
        DTLS_1_2 = 0xfefd,
        /// DTLS 1.3 (RFC 9147).
        DTLS_1_3 = 0xfefc,
    }
}

number! {
    /// A cipher suite.
    CipherSuite(u16) {
        /// RFC 5289.
        ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 = 0xc02b,
        /// RFC 5289.
        ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 = 0xc02c,
        /// RFC 5289.
        ECDHE_RSA_WITH_AES_128_GCM_SHA256 = 0xc02f,
        /// RFC 5289.
        ECDHE_RSA_WITH_AES_256_GCM_SHA384 = 0xc030,
        /// DTLS 1.3 (RFC 8446 §B.4).
        AES_128_GCM_SHA256 = 0x1301,
        /// DTLS 1.3 (RFC 8446 §B.4).
        AES_256_GCM_SHA384 = 0x1302,
        /// DTLS 1.3 (RFC 8446 §B.4).
        CHACHA20_POLY1305_SHA256 = 0x1303,
        /// RFC 7905.
        ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 = 0xcca8,
        /// RFC 7905.
        ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 = 0xcca9,
        /// No suite but a signal: this client knows secure renegotiation (RFC 5746 §3.3).
        EMPTY_RENEGOTIATION_INFO_SCSV = 0x00ff,
    }
}

number! {
    /// A group for key exchange (RFC 8422 §5.1.1, RFC 8446 §4.2.7).
    NamedGroup(u16) {
        /// NIST P-256.
        SECP256R1 = 0x0017,
        /// NIST P-384.
        SECP384R1 = 0x0018,
        /// Curve25519 (RFC 7748).
        X25519 = 0x001d,
        /// The hybrid of X25519 and ML-KEM-768 (DTLS 1.3 only).
        X25519MLKEM768 = 0x11ec,
    }
}

number! {
    /// A signature scheme (RFC 8446 §4.2.3); in DTLS 1.2 it reads as a hash and a signature algorithm.
    SignatureScheme(u16) {
        /// RSASSA-PKCS1-v1_5 with SHA-256.
        RSA_PKCS1_SHA256 = 0x0401,
        /// RSASSA-PKCS1-v1_5 with SHA-384.
        RSA_PKCS1_SHA384 = 0x0501,
        /// RSASSA-PKCS1-v1_5 with SHA-512.
        RSA_PKCS1_SHA512 = 0x0601,
        /// ECDSA with SHA-256 (in DTLS 1.2 on any curve).
        ECDSA_SECP256R1_SHA256 = 0x0403,
        /// ECDSA with SHA-384 (in DTLS 1.2 on any curve).
        ECDSA_SECP384R1_SHA384 = 0x0503,
        /// RSASSA-PSS with SHA-256 and a plain RSA key.
        RSA_PSS_RSAE_SHA256 = 0x0804,
        /// RSASSA-PSS with SHA-384 and a plain RSA key.
        RSA_PSS_RSAE_SHA384 = 0x0805,
        /// RSASSA-PSS with SHA-512 and a plain RSA key.
        RSA_PSS_RSAE_SHA512 = 0x0806,
        /// Ed25519 (RFC 8422 §5.1.3).
        ED25519 = 0x0807,
    }
}

number! {
    /// An SRTP protection profile (RFC 5764 §4.1.2, RFC 7714 §14.2).
    SrtpProfile(u16) {
        /// AES-CM with 128-bit keys, HMAC-SHA1 with 80-bit tags.
        AES128_CM_HMAC_SHA1_80 = 0x0001,
        /// AES-CM with 128-bit keys, HMAC-SHA1 with 32-bit tags.
        AES128_CM_HMAC_SHA1_32 = 0x0002,
        /// AES-128-GCM.
        AEAD_AES_128_GCM = 0x0007,
        /// AES-256-GCM.
        AEAD_AES_256_GCM = 0x0008,
    }
}

/// Reads a whole buffer: what `read` leaves over is an error.
pub(crate) fn exactly<'a, T>(
    bytes: &'a [u8],
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, ParseError>,
) -> Result<T, ParseError> {
    let mut reader = Reader::new(bytes);
    let value = read(&mut reader)?;
    if reader.is_empty() {
        Ok(value)
    } else {
        Err(ParseError::TrailingBytes)
    }
}

/// The 16-bit numbers in `list`, which must hold at least one and no half.
pub(crate) fn numbers_u16<T>(mut list: Reader<'_>, wrap: impl Fn(u16) -> T) -> Result<Vec<T>, ParseError> {
    if list.is_empty() || !list.remaining().is_multiple_of(2) {
        return Err(ParseError::BadLength);
    }
    let mut numbers = Vec::with_capacity(list.remaining() / 2);
    while !list.is_empty() {
        numbers.push(wrap(list.u16()?));
    }
    Ok(numbers)
}

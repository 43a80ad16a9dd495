//! What can go wrong: with the peer ([`Fault`], which a single `match` maps to the alert sent), with a certificate that
//! the user brings ([`CertificateError`]), or with a command ([`ExportError`]).

use std::fmt;

use crate::wire::ParseError;
use crate::wire::alert::AlertDescription;

/// Why this side gave up a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A handshake message could not be decoded.
    Malformed(ParseError),
    /// A message that has no place at this point of the handshake.
    UnexpectedMessage,
    /// The peer speaks no version of DTLS that this side speaks.
    NoCommonVersion,
    /// No cipher suite that both sides have, and that fits the certificate.
    NoCommonCipherSuite,
    /// No group for the key exchange that both sides have.
    NoCommonGroup,
    /// The peer verifies no signature that the certificate's key can make.
    NoCommonSignatureScheme,
    /// The peer does not do extended master secret, and the configuration requires it.
    NoExtendedMasterSecret,
    /// An extension is missing without which nothing can be agreed on (DTLS 1.3).
    MissingExtension,
    /// The server could have spoken DTLS 1.3, and it was offered: someone has tampered with the hellos (RFC 8446 §4.1.3).
    Downgrade,
    /// The peer's `renegotiation_info` names an earlier handshake (RFC 5746 §3.4, §3.6).
    RenegotiationMismatch,
    /// The peer chose something that was not offered, or a field contradicts another.
    IllegalParameter,
    /// The server answered an extension that was not offered.
    UnofferedExtension,
    /// The peer has no certificate.
    CertificateMissing,
    /// The same of a client of DTLS 1.3.
    ClientCertificateMissing,
    /// The peer's certificate has none of the fingerprints that were signalled.
    FingerprintMismatch,
    /// The peer's certificate is not one whose public key can be read.
    CertificateUnreadable,
    /// The peer's public key is of a kind that the provider cannot verify.
    CertificateUnsupported,
    /// A signature does not verify.
    BadSignature,
    /// The peer's Finished does not match: the two sides saw different handshakes.
    BadFinished,
    /// The peer's share of the key exchange is not a valid public key.
    BadKeyShare,
    /// The peer asks for connection IDs again and again (RFC 9147 §9).
    TooManyConnectionIds,
    /// So many records failed to decrypt that one of the forgeries might come to be taken for genuine (RFC 9147 §4.5.3).
    TooManyForgeries,
    /// The crypto provider failed: no randomness, or a signature that could not be made.
    CryptoFailed,
}

impl Fault {
    /// The alert that tells the peer.
    #[must_use]
    pub fn alert(self) -> AlertDescription {
        match self {
            Self::Malformed(_) => AlertDescription::DECODE_ERROR,
            Self::UnexpectedMessage => AlertDescription::UNEXPECTED_MESSAGE,
            Self::NoCommonVersion => AlertDescription::PROTOCOL_VERSION,
            Self::NoCommonCipherSuite
            | Self::NoCommonGroup
            | Self::NoCommonSignatureScheme
            | Self::NoExtendedMasterSecret
            // RFC 5246 §7.4.6: if the client sends none, the server may "respond with a fatal handshake_failure alert".
            | Self::CertificateMissing
            | Self::RenegotiationMismatch => AlertDescription::HANDSHAKE_FAILURE,
            // RFC 8446 §4.4.2.4
            Self::ClientCertificateMissing => AlertDescription::CERTIFICATE_REQUIRED,
            Self::IllegalParameter | Self::BadKeyShare | Self::Downgrade => AlertDescription::ILLEGAL_PARAMETER,
            Self::MissingExtension => AlertDescription::MISSING_EXTENSION,
            Self::TooManyForgeries => AlertDescription::BAD_RECORD_MAC,
            Self::TooManyConnectionIds => AlertDescription::TOO_MANY_CIDS_REQUESTED,
            Self::UnofferedExtension => AlertDescription::UNSUPPORTED_EXTENSION,
            // RFC 8122 §6.2: "If the presented certificate does not match any fingerprint, the endpoint MUST
            // terminate the media connection with a bad_certificate error."
            Self::FingerprintMismatch | Self::CertificateUnreadable => AlertDescription::BAD_CERTIFICATE,
            Self::CertificateUnsupported => AlertDescription::UNSUPPORTED_CERTIFICATE,
            Self::BadSignature | Self::BadFinished => AlertDescription::DECRYPT_ERROR,
            Self::CryptoFailed => AlertDescription::INTERNAL_ERROR,
        }
    }
}

impl From<ParseError> for Fault {
    fn from(error: ParseError) -> Self {
        Self::Malformed(error)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed(error) => return write!(f, "a handshake message could not be decoded: {error}"),
            Self::UnexpectedMessage => "a handshake message has no place here",
            Self::NoCommonVersion => "no version of DTLS in common",
            Self::MissingExtension => "the peer left out an extension that is needed",
            Self::Downgrade => "the hellos were tampered with, for an older version of DTLS",
            Self::TooManyConnectionIds => "the peer asks for too many connection IDs",
            Self::TooManyForgeries => "too many records failed to decrypt",
            Self::NoCommonCipherSuite => "no cipher suite in common",
            Self::NoCommonGroup => "no key exchange group in common",
            Self::NoCommonSignatureScheme => "no signature scheme in common",
            Self::NoExtendedMasterSecret => "the peer does not support extended master secret",
            Self::RenegotiationMismatch => "the peer's renegotiation_info is not that of an initial handshake",
            Self::IllegalParameter => "the peer chose a parameter that was not offered",
            Self::UnofferedExtension => "the server answered an extension that was not offered",
            Self::CertificateMissing | Self::ClientCertificateMissing => "the peer sent no certificate",
            Self::FingerprintMismatch => "the peer's certificate has none of the signalled fingerprints",
            Self::CertificateUnreadable => "the peer's certificate is not readable",
            Self::CertificateUnsupported => "the peer's public key is of an unsupported kind",
            Self::BadSignature => "a signature of the peer does not verify",
            Self::BadFinished => "the peer's Finished does not verify",
            Self::BadKeyShare => "the peer's key share is not a valid public key",
            Self::CryptoFailed => "the crypto provider failed",
        })
    }
}

impl std::error::Error for Fault {}

/// Why a certificate cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateError {
    /// The chain is empty.
    Empty,
    /// The first certificate is not one whose public key can be read.
    UnreadableCertificate,
    /// The private key is in no format that the provider reads.
    UnreadableKey,
    /// The private key is not that of the first certificate.
    KeyMismatch,
    /// No key could be generated or no certificate made with it.
    Generation,
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the certificate chain is empty",
            Self::UnreadableCertificate => "the first certificate is not readable",
            Self::UnreadableKey => "the private key is not readable",
            Self::KeyMismatch => "the private key does not belong to the certificate",
            Self::Generation => "the certificate could not be generated",
        })
    }
}

impl std::error::Error for CertificateError {}

/// Why no keying material was exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportError {
    /// The handshake is not complete, or the connection is closed.
    NotConnected,
    /// The label is empty, longer than 249 bytes, or one that the handshake itself uses (RFC 5705 §4).
    ReservedLabel,
    /// The context is longer than 65,535 bytes.
    ContextTooLong,
    /// More bytes than 255 hashes are long (DTLS 1.3, RFC 5869 §2.3).
    TooLong,
}

impl fmt::Display for ExportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotConnected => "the handshake is not complete",
            Self::ReservedLabel => "the label is reserved for the handshake",
            Self::ContextTooLong => "the context is longer than 65,535 bytes",
            Self::TooLong => "more keying material than can be derived at once",
        })
    }
}

impl std::error::Error for ExportError {}

/// Why no connection IDs were offered or asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionIdError {
    /// The connection is not connected, or not by DTLS 1.3: in 1.2 the first ones are the last.
    NotConnected,
    /// None are negotiated for that direction.
    NotNegotiated,
    /// The peer has not acknowledged, or answered, the last time yet.
    Busy,
    /// One is not as long as the first, there are none for use at once, or more than 15.
    BadLength,
}

impl fmt::Display for ConnectionIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotConnected => "the connection is not connected by DTLS 1.3",
            Self::NotNegotiated => "no connection IDs were negotiated for that direction",
            Self::Busy => "the last time is not over",
            Self::BadLength => "connection IDs have to be as long as the first, and at most 15",
        })
    }
}

impl std::error::Error for ConnectionIdError {}

//! Certificates and the fingerprints by which WebRTC trusts them (RFC 8122, RFC 8827 §6.5).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use ring::digest;
use rustls::SignatureAlgorithm;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::SigningKey;

use crate::error::CertificateError;
use crate::spki::PublicKey;

/// A certificate and its private key. Make it once and share it: the key is loaded once.
pub struct Certificate {
    chain: Vec<Vec<u8>>,
    private_key: PrivateKeyDer<'static>,
    signing_key: Arc<dyn SigningKey>,
}

impl Certificate {
    /// A certificate chain, this side's certificate first, and its private key in PKCS #8, PKCS #1 or SEC 1, all in
    /// DER. ECDSA (P-256, P-384), RSA (2048 bits and more) and Ed25519, as far as the provider has them.
    ///
    /// # Errors
    /// [`CertificateError`] if either cannot be read or they do not belong together.
    pub fn from_der(
        provider: &CryptoProvider,
        chain: Vec<Vec<u8>>,
        private_key: Vec<u8>,
    ) -> Result<Self, CertificateError> {
        let leaf = chain.first().ok_or(CertificateError::Empty)?;
        let public_key = PublicKey::of_certificate(leaf).ok_or(CertificateError::UnreadableCertificate)?;
        let private_key = PrivateKeyDer::try_from(private_key).map_err(|_| CertificateError::UnreadableKey)?;
        let signing_key = provider
            .key_provider
            .load_private_key(private_key.clone_key())
            .map_err(|_| CertificateError::UnreadableKey)?;
        if signing_key
            .public_key()
            .is_some_and(|spki| !public_key.matches_spki(&spki))
        {
            return Err(CertificateError::KeyMismatch);
        }
        Ok(Self::from_parts(chain, private_key, signing_key))
    }

    /// Of parts that belong together.
    pub(crate) fn from_parts(
        chain: Vec<Vec<u8>>,
        private_key: PrivateKeyDer<'static>,
        signing_key: Arc<dyn SigningKey>,
    ) -> Self {
        Self {
            chain,
            private_key,
            signing_key,
        }
    }

    /// The same from PEM text that holds the chain and the key, in any order.
    ///
    /// # Errors
    /// As [`from_der`](Self::from_der).
    pub fn from_pem(provider: &CryptoProvider, pem: &[u8]) -> Result<Self, CertificateError> {
        let chain = CertificateDer::pem_slice_iter(pem)
            .map(|certificate| certificate.map(|der| der.to_vec()))
            .collect::<Result<_, _>>()
            .map_err(|_| CertificateError::UnreadableCertificate)?;
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| CertificateError::UnreadableKey)?;
        Self::from_der(provider, chain, key.secret_der().to_vec())
    }

    /// The certificate itself, in DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        self.chain.first().map_or(&[], Vec::as_slice)
    }

    /// The chain that is sent, in DER, this side's certificate first.
    #[must_use]
    pub fn chain(&self) -> &[Vec<u8>] {
        &self.chain
    }

    /// The private key in DER, so that the certificate can be kept for another day.
    #[must_use]
    pub fn private_key_der(&self) -> &[u8] {
        self.private_key.secret_der()
    }

    /// The certificate's fingerprint, to be signalled to the peer.
    #[must_use]
    pub fn fingerprint(&self, algorithm: HashAlgorithm) -> Fingerprint {
        Fingerprint::of(self.der(), algorithm)
    }

    pub(crate) fn signing_key(&self) -> &dyn SigningKey {
        &*self.signing_key
    }

    /// True if the key goes with the suites that say RSA; the others say ECDSA and mean EdDSA too (RFC 8422 §2.2).
    pub(crate) fn is_rsa(&self) -> bool {
        self.signing_key.algorithm() == SignatureAlgorithm::RSA
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the key.
        write!(f, "Certificate({})", self.fingerprint(HashAlgorithm::Sha256))
    }
}

/// The hash of a fingerprint. SHA-1 and older are not here, since RFC 8122 §5 forbids them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HashAlgorithm {
    /// `sha-256`, the one that everybody has.
    Sha256,
    /// `sha-384`.
    Sha384,
    /// `sha-512`.
    Sha512,
}

impl HashAlgorithm {
    fn digest(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        }
    }

    /// The name in SDP (RFC 8122 §5).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        }
    }
}

impl fmt::Display for HashAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for HashAlgorithm {
    type Err = FingerprintError;

    fn from_str(name: &str) -> Result<Self, FingerprintError> {
        [Self::Sha256, Self::Sha384, Self::Sha512]
            .into_iter()
            .find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
            .ok_or(FingerprintError::UnknownHash)
    }
}

/// The hash of a certificate in DER: the value of SDP's `a=fingerprint`. Reads and writes as it stands there,
/// `sha-256 4A:AD:…`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    /// The hash.
    pub algorithm: HashAlgorithm,
    /// Its value: 32, 48 or 64 bytes.
    pub value: Vec<u8>,
}

impl Fingerprint {
    /// The fingerprint of a certificate in DER.
    #[must_use]
    pub fn of(der: &[u8], algorithm: HashAlgorithm) -> Self {
        Self {
            algorithm,
            value: digest::digest(algorithm.digest(), der).as_ref().to_vec(),
        }
    }

    /// True if this is the fingerprint of that certificate.
    #[must_use]
    pub fn matches(&self, der: &[u8]) -> bool {
        *self == Self::of(der, self.algorithm)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.algorithm)?;
        for (i, byte) in self.value.iter().enumerate() {
            write!(f, "{}{byte:02X}", if i == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let (name, hex) = text.split_once(' ').ok_or(FingerprintError::BadValue)?;
        let algorithm: HashAlgorithm = name.parse()?;
        let byte = |pair: &str| match pair.as_bytes() {
            [a, b] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => {
                u8::from_str_radix(pair, 16).map_err(|_| FingerprintError::BadValue)
            }
            _ => Err(FingerprintError::BadValue),
        };
        let value = hex.split(':').map(byte).collect::<Result<Vec<_>, _>>()?;
        if value.len() != algorithm.digest().output_len() {
            return Err(FingerprintError::BadValue);
        }
        Ok(Self { algorithm, value })
    }
}

/// Why a text is no fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FingerprintError {
    /// The hash is not one of SHA-256, SHA-384 and SHA-512.
    UnknownHash,
    /// The value is not as many pairs of hexadecimal digits as the hash has bytes, with colons between them.
    BadValue,
}

impl fmt::Display for FingerprintError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownHash => "the hash is not one of SHA-256, SHA-384 and SHA-512",
            Self::BadValue => "the value is not that of the hash, in hexadecimal with colons",
        })
    }
}

impl std::error::Error for FingerprintError {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime};

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    #[test]
    fn a_fingerprint_reads_and_writes_as_in_sdp() {
        let fingerprint = Fingerprint::of(b"abc", HashAlgorithm::Sha256);
        // FIPS 180-2 §B.1.
        let text =
            "sha-256 BA:78:16:BF:8F:01:CF:EA:41:41:40:DE:5D:AE:22:23:B0:03:61:A3:96:17:7A:9C:B4:10:FF:61:F2:00:15:AD";
        assert_eq!(fingerprint.to_string(), text);
        assert_eq!(text.parse(), Ok(fingerprint.clone()));
        assert_eq!(text.to_lowercase().parse(), Ok(fingerprint.clone()));
        assert_eq!(text.replace("sha", "SHA").parse(), Ok(fingerprint));
    }

    #[test]
    fn bad_fingerprints_are_refused() {
        let parse = |text: &str| text.parse::<Fingerprint>();
        assert_eq!(parse("sha-1 00:11"), Err(FingerprintError::UnknownHash));
        for bad in [
            "sha-256",
            "sha-256 ",
            "sha-256 00:11",
            "sha-256 +1:22",
            &format!("sha-256 {}", "0:".repeat(32)),
        ] {
            assert_eq!(parse(bad), Err(FingerprintError::BadValue), "{bad}");
        }
    }

    #[test]
    fn a_certificate_survives_pem_and_der_but_not_a_foreign_key() {
        let provider = rustls::crypto::ring::default_provider();
        let ours = Certificate::generate(&provider, SystemTime::UNIX_EPOCH + 20_000 * DAY).unwrap();
        let again = Certificate::from_der(&provider, ours.chain().to_vec(), ours.private_key_der().to_vec()).unwrap();
        assert_eq!(
            again.fingerprint(HashAlgorithm::Sha512),
            ours.fingerprint(HashAlgorithm::Sha512)
        );

        let other = Certificate::generate(&provider, SystemTime::UNIX_EPOCH).unwrap();
        let mixed = Certificate::from_der(&provider, ours.chain().to_vec(), other.private_key_der().to_vec());
        assert_eq!(mixed.unwrap_err(), CertificateError::KeyMismatch);
        assert_eq!(
            Certificate::from_der(&provider, vec![], vec![]).unwrap_err(),
            CertificateError::Empty
        );
        assert!(!format!("{ours:?}").contains("key"));
    }
}

//! The public key in a certificate (RFC 5280 §4.1), found by walking just the DER that lies before it.
//!
//! WebRTC's certificates are self-signed and trusted by fingerprint alone (RFC 8827 §6.5): no chain, no name, no date
//! and no extension is looked at, so a version 1 certificate or an odd extension does no harm.

use peerline_wire::{Reader, Truncated};
use rustls::SignatureScheme as RustlsScheme;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::SignatureVerificationAlgorithm;

use crate::error::Fault;
use crate::wire::SignatureScheme;

/// A certificate's public key, where it stands in the certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PublicKey<'a> {
    /// The contents of the AlgorithmIdentifier.
    algorithm: &'a [u8],
    /// The contents of the BIT STRING.
    key: &'a [u8],
}

impl<'a> PublicKey<'a> {
    /// The public key of a certificate in DER.
    ///
    /// ```text
    /// Certificate     ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signature }
    /// TBSCertificate  ::= SEQUENCE { [0] version OPTIONAL, serialNumber INTEGER, signature SEQUENCE, issuer SEQUENCE,
    ///                                validity SEQUENCE, subject SEQUENCE, subjectPublicKeyInfo SEQUENCE, … }
    /// SubjectPublicKeyInfo ::= SEQUENCE { algorithm SEQUENCE, subjectPublicKey BIT STRING }
    /// ```
    pub(crate) fn of_certificate(der: &'a [u8]) -> Option<Self> {
        let mut certificate = Reader::new(der);
        let mut fields = element(&mut certificate, SEQUENCE)?;
        let mut tbs = element(&mut fields, SEQUENCE)?;
        if tbs.peek().first() == Some(&EXPLICIT_0) {
            element(&mut tbs, EXPLICIT_0)?;
        }
        element(&mut tbs, INTEGER)?;
        for _ in ["signature", "issuer", "validity", "subject"] {
            element(&mut tbs, SEQUENCE)?;
        }
        let mut spki = element(&mut tbs, SEQUENCE)?;
        let algorithm = element(&mut spki, SEQUENCE)?.rest();
        let mut bits = element(&mut spki, BIT_STRING)?;
        // A key fills whole bytes: the count of unused bits is 0.
        (bits.u8().ok()? == 0 && certificate.is_empty() && spki.is_empty() && !bits.is_empty()).then(|| Self {
            algorithm,
            key: bits.rest(),
        })
    }

    /// The key as a SubjectPublicKeyInfo in DER.
    pub(crate) fn matches_spki(&self, der: &[u8]) -> bool {
        let parts = || {
            let mut spki = element(&mut Reader::new(der), SEQUENCE)?;
            let algorithm = element(&mut spki, SEQUENCE)?.rest();
            let mut bits = element(&mut spki, BIT_STRING)?;
            (bits.u8() == Ok(0)).then(|| (algorithm, bits.rest()))
        };
        parts() == Some((self.algorithm, self.key))
    }

    /// Verifies a signature over `message`.
    pub(crate) fn verify(
        &self,
        provider: &CryptoProvider,
        scheme: SignatureScheme,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Fault> {
        // RFC 5246 §7.4.1.4.1: in 1.2 a scheme names a hash and an algorithm, so ECDSA with SHA-256 may be on P-384.
        // The provider lists one algorithm for each kind of key.
        self.verify_with(algorithms(provider, scheme)?, message, signature)
    }

    /// The same in DTLS 1.3, where a scheme names the curve as well (RFC 8446 §4.2.3): the provider lists its algorithm first.
    pub(crate) fn verify_strictly(
        &self,
        provider: &CryptoProvider,
        scheme: SignatureScheme,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Fault> {
        let algorithms = algorithms(provider, scheme)?;
        self.verify_with(algorithms.get(..1).unwrap_or_default(), message, signature)
    }

    fn verify_with(&self, algorithms: Algorithms, message: &[u8], signature: &[u8]) -> Result<(), Fault> {
        let algorithm = algorithms
            .iter()
            .find(|algorithm| algorithm.public_key_alg_id().as_ref() == self.algorithm)
            .ok_or(Fault::CertificateUnsupported)?;
        algorithm
            .verify_signature(self.key, message, signature)
            .map_err(|_| Fault::BadSignature)
    }
}

type Algorithms = &'static [&'static dyn SignatureVerificationAlgorithm];

/// What verifies signatures made so.
fn algorithms(provider: &CryptoProvider, scheme: SignatureScheme) -> Result<Algorithms, Fault> {
    let mut mapping = provider.signature_verification_algorithms.mapping.iter();
    let scheme = RustlsScheme::from(scheme.0);
    mapping
        .find(|(listed, _)| *listed == scheme)
        .map(|(_, algorithms)| *algorithms)
        .ok_or(Fault::IllegalParameter)
}

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const SEQUENCE: u8 = 0x30;
const EXPLICIT_0: u8 = 0xa0;

/// The contents of the next element, which must have this tag and a length in DER.
fn element<'a>(r: &mut Reader<'a>, tag: u8) -> Option<Reader<'a>> {
    let mut attempt = || -> Result<Option<Reader<'a>>, Truncated> {
        if r.u8()? != tag {
            return Ok(None);
        }
        // X.690 §8.1.3, §10.1: the short form below 128, else the long form in as few bytes as possible.
        let length = match r.u8()? {
            short @ 0..=0x7f => usize::from(short),
            0x81 => match r.u8()? {
                length @ 0x80.. => usize::from(length),
                _ => return Ok(None),
            },
            0x82 => match r.u16()? {
                length @ 0x100.. => usize::from(length),
                _ => return Ok(None),
            },
            0x83 => match r.u24()? {
                length @ 0x1_0000.. => length as usize,
                _ => return Ok(None),
            },
            _ => return Ok(None),
        };
        r.sub(length).map(Some)
    };
    attempt().ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::Certificate;
    use std::time::SystemTime;

    #[test]
    fn the_key_of_a_generated_certificate_is_found_and_nothing_shorter_is_read() {
        let provider = rustls::crypto::ring::default_provider();
        let certificate = Certificate::generate(&provider, SystemTime::UNIX_EPOCH).unwrap();
        let der = certificate.der();
        let key = PublicKey::of_certificate(der).unwrap();
        assert_eq!(key.key.len(), 65);
        assert_eq!(key.key[0], 4, "an uncompressed point");
        for len in 0..der.len() {
            assert_eq!(PublicKey::of_certificate(&der[..len]), None);
        }
        let mut trailing = der.to_vec();
        trailing.push(0);
        assert_eq!(PublicKey::of_certificate(&trailing), None);
    }

    #[test]
    fn a_version_1_certificate_is_read() {
        // Empty names and validity; a 2-byte "key"; no [0] version, which is what makes it version 1.
        let der = [
            0x30, 0x17, 0x30, 0x15, 0x02, 0x01, 0x07, 0x30, 0, 0x30, 0, 0x30, 0, 0x30, 0, // up to the subject
            0x30, 0x08, 0x30, 0x01, 0x55, 0x03, 0x03, 0x00, 0xab, 0xcd,
        ];
        let key = PublicKey::of_certificate(&der).unwrap();
        assert_eq!((key.algorithm, key.key), (&[0x55][..], &[0xab, 0xcd][..]));
    }

    #[test]
    fn lengths_that_are_not_der_are_refused() {
        for bad in [
            &[0x30, 0x80, 0, 0][..],
            &[0x30, 0x81, 0x01, 0],
            &[0x30, 0x84, 0, 0, 0, 0],
            &[0x30, 0x82, 0, 1, 0],
        ] {
            assert!(element(&mut Reader::new(bad), SEQUENCE).is_none(), "{bad:?}");
        }
    }
}

//! New certificates: a P-256 key, and a certificate that it signs itself (RFC 8827 §6.5).
//!
//! "The API MUST generate a new authentication key pair for every new call by default": so this is part of the time that a
//! connection takes to set up. The key is made, loaded by the provider and used once; nothing is computed twice.

use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DistinguishedName, DnType, PublicKeyData, SignatureAlgorithm};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use rustls::SignatureScheme;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::SigningKey;

use crate::certificate::Certificate;
use crate::error::CertificateError;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// About the year 9000: later dates do not fit a certificate.
const LATEST: Duration = Duration::from_secs(7000 * 365 * 24 * 60 * 60);

impl Certificate {
    /// Makes a P-256 key and a self-signed certificate for it, valid from a day before `now` for 31 days. It says
    /// nothing about its owner: the name is the one that browsers use.
    ///
    /// # Errors
    /// [`CertificateError::Generation`] if there is no randomness; [`CertificateError::UnreadableKey`] if the provider
    /// does not read P-256 keys.
    pub fn generate(provider: &CryptoProvider, now: SystemTime) -> Result<Self, CertificateError> {
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
            .map_err(|_| CertificateError::Generation)?;
        let private_key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.as_ref().to_vec()));
        let signing_key = provider
            .key_provider
            .load_private_key(private_key.clone_key())
            .map_err(|_| CertificateError::UnreadableKey)?;
        let own = OwnKey {
            point: point(key.as_ref()).ok_or(CertificateError::Generation)?,
            signing_key: &*signing_key,
        };
        let certificate = params(now)
            .and_then(|params| params.self_signed(&own))
            .map_err(|_| CertificateError::Generation)?;
        let chain = vec![certificate.der().to_vec()];
        Ok(Self::from_parts(chain, private_key, signing_key))
    }
}

/// What the certificate says.
fn params(now: SystemTime) -> Result<CertificateParams, rcgen::Error> {
    let since_epoch = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .min(LATEST);
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "WebRTC");
    params.not_before = epoch + since_epoch.saturating_sub(DAY);
    params.not_after = epoch + since_epoch + 30 * DAY;
    Ok(params)
}

/// The public key in a new private one, which ends with it: `publicKey`, the last field of an ECPrivateKey (RFC 5915 §3), is
/// an uncompressed point (SEC 1 §2.3.3).
fn point(pkcs8: &[u8]) -> Option<&[u8]> {
    const LEN: usize = 1 + 32 + 32;
    pkcs8
        .get(pkcs8.len().checked_sub(LEN)?..)
        .filter(|point| point.first() == Some(&4))
}

/// A key that signs the certificate which names it.
struct OwnKey<'a> {
    point: &'a [u8],
    signing_key: &'a dyn SigningKey,
}

impl PublicKeyData for OwnKey<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.point
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for OwnKey<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signer = self
            .signing_key
            .choose_scheme(&[SignatureScheme::ECDSA_NISTP256_SHA256]);
        let signature = signer.and_then(|signer| signer.sign(message).ok());
        signature.ok_or(rcgen::Error::RemoteKeyError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spki::PublicKey;

    #[test]
    fn a_new_certificate_is_signed_by_the_key_that_it_names() {
        let provider = crate::default_provider();
        let ours = Certificate::generate(&provider, SystemTime::UNIX_EPOCH + 20_000 * DAY).unwrap();
        // From its parts it is made only if the two keys belong together.
        let again = Certificate::from_der(&provider, ours.chain().to_vec(), ours.private_key_der().to_vec());
        assert!(again.is_ok());
        // Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signature BIT STRING }
        let der = ours.der();
        let [0x30, 0x82, _, _, 0x30, 0x81, tbs_len, ..] = *der else {
            panic!("two lengths, of three bytes and of two")
        };
        let (tbs, rest) = der[4..].split_at(3 + usize::from(tbs_len));
        let ecdsa_with_sha256 = [0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
        let Some([0x03, _, 0, signature @ ..]) = rest.strip_prefix(&ecdsa_with_sha256) else {
            panic!("an algorithm and a bit string")
        };
        let key = PublicKey::of_certificate(der).unwrap();
        let scheme = crate::wire::SignatureScheme(SignatureScheme::ECDSA_NISTP256_SHA256.into());
        assert_eq!(key.verify(&provider, scheme, tbs, signature), Ok(()));
    }
}

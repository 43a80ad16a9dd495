//! DTLS 1.3 (RFC 9147, RFC 8446): its key schedule and the protection of its records.

pub(crate) mod cipher;
pub(crate) mod epochs;
pub(crate) mod key_schedule;
#[cfg(test)]
mod recorded;

use rustls::crypto::CryptoProvider;
use rustls::crypto::hash::Output;

use crate::config::Role;
use crate::error::Fault;
use crate::spki::PublicKey;
use crate::wire::SignatureScheme;
use crate::wire::handshake::DigitallySigned;

/// What a CertificateVerify signs (RFC 8446 §4.4.3): so much that it is no signature of anything else.
fn signed_content(signer: Role, transcript: &Output) -> Vec<u8> {
    let context: &[u8] = match signer {
        Role::Client => b"TLS 1.3, client CertificateVerify",
        Role::Server => b"TLS 1.3, server CertificateVerify",
    };
    [&[0x20; 64], context, &[0], transcript.as_ref()].concat()
}

/// Verifies a CertificateVerify.
fn verify(
    key: &PublicKey<'_>,
    provider: &CryptoProvider,
    signed: &DigitallySigned,
    content: &[u8],
) -> Result<(), Fault> {
    if !may_sign(signed.scheme) {
        return Err(Fault::IllegalParameter);
    }
    key.verify_strictly(provider, signed.scheme, content, &signed.signature)
}

/// RFC 8446 §4.2.3: RSASSA-PKCS1-v1_5 and SHA-1 "refer solely to signatures which appear in certificates".
fn may_sign(scheme: SignatureScheme) -> bool {
    let is_pkcs1 = matches!(
        scheme,
        SignatureScheme::RSA_PKCS1_SHA256 | SignatureScheme::RSA_PKCS1_SHA384 | SignatureScheme::RSA_PKCS1_SHA512
    );
    // MD5 and SHA-1 are hashes 1 and 2 of the older numbering.
    !is_pkcs1 && scheme.0 >> 8 > 2
}

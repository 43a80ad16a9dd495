//! The handshake of DTLS 1.3 (RFC 9147 §5, RFC 8446 §4), from the ServerHello on, and what follows it.
//!
//! ```text
//! Client                                                 Server
//! ClientHello                    -------->                          flight 1, epoch 0
//!                                <--------    HelloRetryRequest     if a cookie is asked for, or another key share
//! ClientHello (cookie)           -------->
//!                                                   ServerHello     flight 2
//!                                         {EncryptedExtensions}              epoch 2
//!                                          {CertificateRequest}
//!                                                 {Certificate}
//!                                           {CertificateVerify}
//!                                <--------           {Finished}
//! {Certificate}                                                     flight 3, epoch 2
//! {CertificateVerify}
//! {Finished}                     -------->
//!                                <--------                [ACK]              epoch 3
//! [Application data]             <------->   [Application data]
//! [KeyUpdate]                    -------->
//!                                <--------                [ACK]
//! [Application data]             -------->                                   epoch 4
//! ```
//!
//! A side that does not know the peer's fingerprint yet goes as far as it can without trusting the peer, acknowledges what
//! has come, and holds: the client before flight 3, the server before it is connected.

pub(crate) mod cipher;
pub(crate) mod client;
mod cookie;
pub(crate) mod epochs;
pub(crate) mod key_schedule;
#[cfg(test)]
mod recorded;
pub(crate) mod server;
pub(crate) mod session;

use rustls::crypto::CryptoProvider;
use rustls::crypto::hash::Output;

use crate::config::Role;
use crate::context::Context;
use crate::error::Fault;
use crate::reassembly::Message;
use crate::spki::PublicKey;
use crate::wire::handshake::{
    CertificateVerify, DigitallySigned, HandshakeType, dtls13::Certificate, dtls13::CertificateEntry,
};
use crate::wire::{ParseError, ProtocolVersion, SignatureScheme};

const VERSION: ProtocolVersion = ProtocolVersion::DTLS_1_3;

/// Takes in the peer's Certificate.
fn on_certificate(cx: &mut Context, signer: Role, message: &Message) -> Result<(), Fault> {
    let certificate = Certificate::decode(&message.body)?;
    // RFC 8446 §4.4.2: what the CertificateRequest said, which during the handshake is nothing.
    if !certificate.context.is_empty() {
        return Err(Fault::IllegalParameter);
    }
    // None was asked for.
    if certificate.chain.iter().any(|entry| !entry.extensions.is_empty()) {
        return Err(Fault::UnofferedExtension);
    }
    let Some(first) = certificate.chain.into_iter().next() else {
        // RFC 8446 §4.4.2.4: "If the server supplies an empty Certificate message, the client MUST abort the handshake with a
        // "decode_error" alert."
        return Err(match signer {
            Role::Server => Fault::Malformed(ParseError::BadLength),
            Role::Client => Fault::ClientCertificateMissing,
        });
    };
    cx.receive_certificate(first.der)?;
    cx.hear(message);
    Ok(())
}

/// Verifies the peer's CertificateVerify.
fn on_certificate_verify(cx: &mut Context, signer: Role, message: &Message) -> Result<(), Fault> {
    let signed = CertificateVerify::decode(&message.body)?.signed;
    let content = signed_content(signer, &cx.transcript_hash()?);
    verify(&cx.peer_key()?, &cx.config.provider, &signed, &content)?;
    cx.hear(message);
    Ok(())
}

/// Sends this side's Certificate and the proof that it is its own.
fn say_certificate(cx: &mut Context, signer: Role, schemes: &[SignatureScheme]) -> Result<(), Fault> {
    let entry = |der: &Vec<u8>| CertificateEntry {
        der: der.clone(),
        extensions: Vec::new(),
    };
    let certificate = Certificate {
        context: Vec::new(),
        chain: cx.config.certificate.chain().iter().map(entry).collect(),
    };
    cx.say(HandshakeType::CERTIFICATE, |w| certificate.encode(w));
    let schemes: Vec<_> = schemes.iter().copied().filter(|scheme| may_sign(*scheme)).collect();
    let signed = cx.sign(&schemes, &signed_content(signer, &cx.transcript_hash()?))?;
    cx.say(HandshakeType::CERTIFICATE_VERIFY, |w| {
        CertificateVerify { signed }.encode(w);
    });
    Ok(())
}

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

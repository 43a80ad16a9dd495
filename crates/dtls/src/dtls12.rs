//! The handshake of DTLS 1.2 (RFC 6347 §4.2, RFC 5246 §7), from the ServerHello on.
//!
//! ```text
//! Client                                          Server
//! ClientHello                -------->                              flight 1
//!                            <--------   HelloVerifyRequest         flight 2, if configured
//! ClientHello (cookie)       -------->                              flight 3
//!                                               ServerHello         flight 4
//!                                               Certificate
//!                                         ServerKeyExchange
//!                                        CertificateRequest
//!                            <--------      ServerHelloDone
//! Certificate                                                       flight 5
//! ClientKeyExchange
//! CertificateVerify
//! [ChangeCipherSpec]
//! Finished                   -------->
//!                                        [ChangeCipherSpec]         flight 6
//!                            <--------             Finished
//! ```
//!
//! A side that does not know the peer's fingerprint yet goes as far as it can without trusting the peer, and holds: the
//! client before flight 5, the server before flight 6.

pub(crate) mod client;
pub(crate) mod key_schedule;
pub(crate) mod server;

use peerline_wire::Writer;

use crate::context::Context;
use crate::error::Fault;
use crate::reassembly::Message;
use crate::wire::handshake::{Certificate, DigitallySigned, Random};

/// Takes in the peer's Certificate.
fn on_certificate(cx: &mut Context, message: &Message) -> Result<(), Fault> {
    let certificate = Certificate::decode(&message.body)?;
    let first = certificate.chain.into_iter().next();
    cx.receive_certificate(first.ok_or(Fault::CertificateMissing)?)?;
    cx.hear(message);
    Ok(())
}

/// Verifies the peer's signature over `message`.
fn verify(cx: &Context, signed: &DigitallySigned, message: &[u8]) -> Result<(), Fault> {
    cx.peer_key()?
        .verify(&cx.config.provider, signed.scheme, message, &signed.signature)
}

/// What a ServerKeyExchange's signature covers (RFC 8422 §5.4).
fn signed_params(client: &Random, server: &Random, params: &crate::wire::handshake::EcdheParams) -> Vec<u8> {
    let mut message = Vec::new();
    let mut w = Writer::new(&mut message);
    w.bytes(client);
    w.bytes(server);
    params.encode(&mut w);
    message
}

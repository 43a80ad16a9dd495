//! The messages of DTLS 1.3 that have another form than in 1.2 (RFC 8446 §4.3, §4.4, §4.6), or none there.
//! CertificateVerify has the same, and Finished is as long as the hash.

use peerline_wire::Writer;

use crate::wire::extension::Extension;
use crate::wire::{ParseError, exactly, number};

/// The server's answers that need not be in the clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncryptedExtensions {
    /// The answers.
    pub extensions: Vec<Extension>,
}

impl EncryptedExtensions {
    /// Reads the body.
    ///
    /// # Errors
    /// [`ParseError`] unless the bytes are exactly one.
    pub fn decode(body: &[u8]) -> Result<Self, ParseError> {
        exactly(body, |r| {
            Ok(Self {
                extensions: Extension::decode_vector(r)?,
            })
        })
    }

    /// Appends the body.
    pub fn encode(&self, w: &mut Writer<'_>) {
        Extension::encode_vector(&self.extensions, w);
    }
}

/// The server wants a client certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRequest {
    /// What the client's Certificate has to repeat: nothing during the handshake.
    pub context: Vec<u8>,
    /// What the certificate has to be like; `signature_algorithms` must be there.
    pub extensions: Vec<Extension>,
}

impl CertificateRequest {
    /// Reads the body.
    ///
    /// # Errors
    /// [`ParseError`] unless the bytes are exactly one.
    pub fn decode(body: &[u8]) -> Result<Self, ParseError> {
        exactly(body, |r| {
            Ok(Self {
                context: r.length_u8()?.rest().to_vec(),
                extensions: Extension::decode_vector(r)?,
            })
        })
    }

    /// Appends the body.
    pub fn encode(&self, w: &mut Writer<'_>) {
        w.length_u8(|w| w.bytes(&self.context));
        Extension::encode_vector(&self.extensions, w);
    }
}

/// A certificate chain, the sender's own certificate first; empty if a client has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// That of the CertificateRequest; empty from a server.
    pub context: Vec<u8>,
    /// The chain.
    pub chain: Vec<CertificateEntry>,
}

/// A certificate and what comes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateEntry {
    /// The certificate in DER.
    pub der: Vec<u8>,
    /// Extensions.
    pub extensions: Vec<Extension>,
}

impl Certificate {
    /// Reads the body.
    ///
    /// # Errors
    /// [`ParseError`] unless the bytes are exactly one, without empty certificates.
    pub fn decode(body: &[u8]) -> Result<Self, ParseError> {
        exactly(body, |r| {
            let context = r.length_u8()?.rest().to_vec();
            let mut list = r.length_u24()?;
            let mut chain = Vec::new();
            while !list.is_empty() {
                let der = match list.length_u24()?.rest() {
                    [] => return Err(ParseError::BadLength),
                    der => der.to_vec(),
                };
                let extensions = Extension::decode_vector(&mut list)?;
                chain.push(CertificateEntry { der, extensions });
            }
            Ok(Self { context, chain })
        })
    }

    /// Appends the body.
    pub fn encode(&self, w: &mut Writer<'_>) {
        w.length_u8(|w| w.bytes(&self.context));
        w.length_u24(|w| {
            for entry in &self.chain {
                w.length_u24(|w| w.bytes(&entry.der));
                Extension::encode_vector(&entry.extensions, w);
            }
        });
    }
}

number! {
    /// Whether the receiver of a KeyUpdate has to send one too.
    KeyUpdateRequest(u8) {
        /// It need not.
        UPDATE_NOT_REQUESTED = 0,
        /// It has to.
        UPDATE_REQUESTED = 1,
    }
}

/// The sender's next records are protected by new keys (RFC 8446 §4.6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyUpdate {
    /// Whether the receiver has to do likewise.
    pub request: KeyUpdateRequest,
}

impl KeyUpdate {
    /// Reads the body.
    ///
    /// # Errors
    /// [`ParseError`] unless there is exactly one byte.
    pub fn decode(body: &[u8]) -> Result<Self, ParseError> {
        exactly(body, |r| {
            Ok(Self {
                request: KeyUpdateRequest(r.u8()?),
            })
        })
    }

    /// Appends the body.
    pub fn encode(&self, w: &mut Writer<'_>) {
        w.u8(self.request.0);
    }
}

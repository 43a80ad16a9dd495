//! Certificate, CertificateRequest and CertificateVerify (RFC 5246 §7.4.2, §7.4.4, §7.4.8).

use peerline_wire::{Reader, Writer};

use crate::wire::{ParseError, SignatureScheme, exactly, number, numbers_u16};

/// A certificate chain, the sender's own certificate first; empty if a client has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The certificates in DER.
    pub chain: Vec<Vec<u8>>,
}

impl Certificate {
    /// Reads the body of a Certificate message.
    ///
    /// # Errors
    /// [`ParseError`] unless the bytes are exactly one, without empty certificates.
    pub fn decode(body: &[u8]) -> Result<Self, ParseError> {
        exactly(body, |r| {
            let mut list = r.length_u24()?;
            let mut chain = Vec::new();
            while !list.is_empty() {
                match list.length_u24()?.rest() {
                    [] => return Err(ParseError::BadLength),
                    certificate => chain.push(certificate.to_vec()),
                }
            }
            Ok(Self { chain })
        })
    }

    /// Appends the body.
    pub fn encode(&self, w: &mut Writer<'_>) {
        w.length_u24(|w| {
            for certificate in &self.chain {
                w.length_u24(|w| w.bytes(certificate));
            }
        });
    }
}

number! {
    /// A kind of client certificate.
    ClientCertificateType(u8) {
        /// An RSA key.
        RSA_SIGN = 1,
        /// An ECDSA or EdDSA key (RFC 8422 §5.5).
        ECDSA_SIGN = 64,
    }
}

/// The server wants a client certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRequest {
    /// The kinds of certificates it takes.
    pub certificate_types: Vec<ClientCertificateType>,
    /// The signature schemes it verifies.
    pub signature_algorithms: Vec<SignatureScheme>,
    /// The distinguished names of the authorities it trusts, in DER; empty for any.
    pub certificate_authorities: Vec<Vec<u8>>,
}

impl CertificateRequest {
    /// Reads the body of a CertificateRequest.
    ///
    /// # Errors
    /// [`ParseError`] unless the bytes are exactly one.
    pub fn decode(body: &[u8]) -> Result<Self, ParseError> {
        exactly(body, |r| {
            let certificate_types = match r.length_u8()?.rest() {
                [] => return Err(ParseError::BadLength),
                types => types.iter().copied().map(ClientCertificateType).collect(),
            };
            let signature_algorithms = numbers_u16(r.length_u16()?, SignatureScheme)?;
            let mut names = r.length_u16()?;
            let mut certificate_authorities = Vec::new();
            while !names.is_empty() {
                match names.length_u16()?.rest() {
                    [] => return Err(ParseError::BadLength),
                    name => certificate_authorities.push(name.to_vec()),
                }
            }
            Ok(Self {
                certificate_types,
                signature_algorithms,
                certificate_authorities,
            })
        })
    }

    /// Appends the body.
    pub fn encode(&self, w: &mut Writer<'_>) {
        w.length_u8(|w| self.certificate_types.iter().for_each(|kind| w.u8(kind.0)));
        w.length_u16(|w| self.signature_algorithms.iter().for_each(|scheme| w.u16(scheme.0)));
        w.length_u16(|w| {
            for name in &self.certificate_authorities {
                w.length_u16(|w| w.bytes(name));
            }
        });
    }
}

/// A signature and how it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigitallySigned {
    /// The scheme.
    pub scheme: SignatureScheme,
    /// The signature.
    pub signature: Vec<u8>,
}

impl DigitallySigned {
    pub(super) fn decode_from(r: &mut Reader<'_>) -> Result<Self, ParseError> {
        Ok(Self {
            scheme: SignatureScheme(r.u16()?),
            signature: r.length_u16()?.rest().to_vec(),
        })
    }

    pub(super) fn encode(&self, w: &mut Writer<'_>) {
        w.u16(self.scheme.0);
        w.length_u16(|w| w.bytes(&self.signature));
    }
}

/// The client's signature over all messages so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateVerify {
    /// The signature.
    pub signed: DigitallySigned,
}

impl CertificateVerify {
    /// Reads the body of a CertificateVerify.
    ///
    /// # Errors
    /// [`ParseError`] unless the bytes are exactly one.
    pub fn decode(body: &[u8]) -> Result<Self, ParseError> {
        exactly(body, |r| {
            Ok(Self {
                signed: DigitallySigned::decode_from(r)?,
            })
        })
    }

    /// Appends the body.
    pub fn encode(&self, w: &mut Writer<'_>) {
        self.signed.encode(w);
    }
}

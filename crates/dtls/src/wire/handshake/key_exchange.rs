//! ServerKeyExchange and ClientKeyExchange for ECDHE (RFC 8422 §5.4, §5.7), and Finished (RFC 5246 §7.4.9).

use peerline_wire::Writer;

use super::certificate::DigitallySigned;
use crate::wire::{NamedGroup, ParseError, exactly};

/// The server's share: a named group and a public key in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EcdheParams {
    /// The group.
    pub group: NamedGroup,
    /// The server's public key, 1 to 255 bytes.
    pub public_key: Vec<u8>,
}

impl EcdheParams {
    /// Appends the parameters: what the signature covers, after both randoms.
    pub fn encode(&self, w: &mut Writer<'_>) {
        w.u8(NAMED_CURVE);
        w.u16(self.group.0);
        w.length_u8(|w| w.bytes(&self.public_key));
    }
}

/// `ECCurveType` `named_curve`; RFC 8422 deprecates the others.
const NAMED_CURVE: u8 = 3;

/// The server's share of the key exchange, signed with its certificate's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerKeyExchange {
    /// The share.
    pub params: EcdheParams,
    /// The signature over both randoms and the share.
    pub signed: DigitallySigned,
}

impl ServerKeyExchange {
    /// Reads the body of an ECDHE ServerKeyExchange.
    ///
    /// # Errors
    /// [`ParseError`] unless the bytes are exactly one with a named curve.
    pub fn decode(body: &[u8]) -> Result<Self, ParseError> {
        exactly(body, |r| {
            if r.u8()? != NAMED_CURVE {
                return Err(ParseError::Unsupported);
            }
            let group = NamedGroup(r.u16()?);
            let public_key = match r.length_u8()?.rest() {
                [] => return Err(ParseError::BadLength),
                key => key.to_vec(),
            };
            Ok(Self {
                params: EcdheParams { group, public_key },
                signed: DigitallySigned::decode_from(r)?,
            })
        })
    }

    /// Appends the body.
    pub fn encode(&self, w: &mut Writer<'_>) {
        self.params.encode(w);
        self.signed.encode(w);
    }
}

/// The client's share of the key exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientKeyExchange {
    /// The client's public key, 1 to 255 bytes.
    pub public_key: Vec<u8>,
}

impl ClientKeyExchange {
    /// Reads the body of an ECDHE ClientKeyExchange.
    ///
    /// # Errors
    /// [`ParseError`] unless the bytes are exactly one.
    pub fn decode(body: &[u8]) -> Result<Self, ParseError> {
        exactly(body, |r| match r.length_u8()?.rest() {
            [] => Err(ParseError::BadLength),
            key => Ok(Self {
                public_key: key.to_vec(),
            }),
        })
    }

    /// Appends the body.
    pub fn encode(&self, w: &mut Writer<'_>) {
        w.length_u8(|w| w.bytes(&self.public_key));
    }
}

/// The proof that both sides saw the same handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// 12 bytes of PRF output over the hash of all messages so far.
    pub verify_data: [u8; 12],
}

impl Finished {
    /// Reads the body of a Finished.
    ///
    /// # Errors
    /// [`ParseError`] unless there are exactly 12 bytes.
    pub fn decode(body: &[u8]) -> Result<Self, ParseError> {
        exactly(body, |r| {
            Ok(Self {
                verify_data: r.array()?,
            })
        })
    }

    /// Appends the body.
    pub fn encode(&self, w: &mut Writer<'_>) {
        w.bytes(&self.verify_data);
    }
}

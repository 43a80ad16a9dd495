//! RE-CONFIG: requests to reset or add streams, and their answers.
//!
//! [RFC 6525 §3.1](https://www.rfc-editor.org/rfc/rfc6525#section-3.1), parameters in
//! [§4](https://www.rfc-editor.org/rfc/rfc6525#section-4)
//!
//! ```text
//! | Type = 130    |  Chunk Flags  |      Chunk Length             |
//! |                  Re-configuration Parameter                   |
//! |             Re-configuration Parameter (optional)             |
//! ```

use std::fmt;

use peerline_wire::{Reader, Serial32, Writer};

use super::{ChunkType, ParseError, write_chunk};
use crate::StreamId;
use crate::wire::{Parameter, ParameterType, Parameters, write_list};

/// A RE-CONFIG: one or two parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReConfig<'a> {
    parameters: Parameters<'a>,
}

impl<'a> ReConfig<'a> {
    /// The parameters, in order. RFC 6525 §3.1 allows at most two; the rest is ignored.
    pub fn parameters(&self) -> impl Iterator<Item = Result<ReconfigParameter<'a>, ParseError>> + use<'a> {
        self.parameters.iter().take(2).map(ReconfigParameter::decode)
    }

    pub(crate) fn decode(value: &'a [u8]) -> Result<Self, ParseError> {
        Ok(Self {
            parameters: Parameters::decode(value)?,
        })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        write_chunk(out, ChunkType::RE_CONFIG, 0, |out| self.parameters.encode(out));
    }

    /// Appends a RE-CONFIG with one parameter.
    pub fn write(out: &mut Vec<u8>, parameter: &ReconfigParameter<'_>) {
        write_chunk(out, ChunkType::RE_CONFIG, 0, |out| {
            let (kind, value) = parameter.raw();
            write_list(out, [(kind.0.to_be_bytes(), &value[..])]);
        });
    }
}

/// What a RE-CONFIG carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReconfigParameter<'a> {
    /// Outgoing SSN Reset Request (§4.1).
    OutgoingReset(OutgoingReset<'a>),
    /// Incoming SSN Reset Request (§4.2).
    IncomingReset(IncomingReset<'a>),
    /// SSN/TSN Reset Request (§4.3); the field is its request sequence number.
    SsnTsnReset(Serial32),
    /// Re-configuration Response (§4.4).
    Response(ReconfigResponse),
    /// Add Outgoing Streams Request (§4.5).
    AddOutgoingStreams(AddStreams),
    /// Add Incoming Streams Request (§4.6).
    AddIncomingStreams(AddStreams),
    /// A type this crate does not know.
    Unknown(Parameter<'a>),
}

/// The sender resets its outgoing streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutgoingReset<'a> {
    /// The number of this request.
    pub request: Serial32,
    /// The number of the incoming request this one answers, or the peer's last one.
    pub response: Serial32,
    /// The last TSN assigned before the reset.
    pub last_tsn: Serial32,
    /// The streams; none means all.
    pub streams: StreamList<'a>,
}

/// The sender asks its peer to reset outgoing streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IncomingReset<'a> {
    /// The number of this request.
    pub request: Serial32,
    /// The streams; none means all.
    pub streams: StreamList<'a>,
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReconfigResponse {
    /// The number of the request answered.
    pub response: Serial32,
    /// What became of it.
    pub result: ReconfigResult,
    /// The TSNs from which both sides go on, after an SSN/TSN reset: the sender's, then the receiver's.
    pub next_tsns: Option<(Serial32, Serial32)>,
}

/// A request for more streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddStreams {
    /// The number of this request.
    pub request: Serial32,
    /// How many more.
    pub count: u16,
}

/// The result of a request (RFC 6525 §4.4, Table 3).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReconfigResult(pub u32);

impl ReconfigResult {
    /// Success: nothing to do.
    pub const NOTHING_TO_DO: Self = Self(0);
    /// Success: performed.
    pub const PERFORMED: Self = Self(1);
    /// Denied.
    pub const DENIED: Self = Self(2);
    /// Error: wrong SSN.
    pub const WRONG_SSN: Self = Self(3);
    /// Error: request already in progress.
    pub const ALREADY_IN_PROGRESS: Self = Self(4);
    /// Error: bad sequence number.
    pub const BAD_SEQUENCE_NUMBER: Self = Self(5);
    /// In progress: ask again.
    pub const IN_PROGRESS: Self = Self(6);
}

impl fmt::Debug for ReconfigResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "result {}", self.0)
    }
}

/// Stream numbers as they lie in the packet.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct StreamList<'a>(&'a [[u8; 2]]);

impl<'a> StreamList<'a> {
    /// The streams, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = StreamId> + use<'a> {
        self.0.iter().map(|&stream| StreamId(u16::from_be_bytes(stream)))
    }

    /// True if no stream is named, which means all of them.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The streams whose big-endian numbers are in `bytes`.
    ///
    /// # Errors
    /// [`ParseError::BadLength`] if half a number is left over.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let (streams, rest) = bytes.as_chunks();
        if rest.is_empty() {
            Ok(Self(streams))
        } else {
            Err(ParseError::BadLength)
        }
    }
}

impl fmt::Debug for StreamList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> ReconfigParameter<'a> {
    fn decode(parameter: Parameter<'a>) -> Result<Self, ParseError> {
        let mut r = Reader::new(parameter.value);
        Ok(match parameter.kind {
            ParameterType::OUTGOING_RESET => Self::OutgoingReset(OutgoingReset {
                request: Serial32(r.u32()?),
                response: Serial32(r.u32()?),
                last_tsn: Serial32(r.u32()?),
                streams: StreamList::decode(r.rest())?,
            }),
            ParameterType::INCOMING_RESET => Self::IncomingReset(IncomingReset {
                request: Serial32(r.u32()?),
                streams: StreamList::decode(r.rest())?,
            }),
            ParameterType::SSN_TSN_RESET => Self::SsnTsnReset(Serial32(r.u32()?)),
            ParameterType::RECONFIG_RESPONSE => {
                let (response, result) = (Serial32(r.u32()?), ReconfigResult(r.u32()?));
                let next_tsns = if r.remaining() >= 8 {
                    Some((Serial32(r.u32()?), Serial32(r.u32()?)))
                } else {
                    None
                };
                Self::Response(ReconfigResponse {
                    response,
                    result,
                    next_tsns,
                })
            }
            ParameterType::ADD_OUTGOING_STREAMS => Self::AddOutgoingStreams(AddStreams {
                request: Serial32(r.u32()?),
                count: r.u16()?,
            }),
            ParameterType::ADD_INCOMING_STREAMS => Self::AddIncomingStreams(AddStreams {
                request: Serial32(r.u32()?),
                count: r.u16()?,
            }),
            _ => Self::Unknown(parameter),
        })
    }

    /// Its type and value.
    fn raw(&self) -> (ParameterType, Vec<u8>) {
        let mut value = Vec::new();
        let mut w = Writer::new(&mut value);
        let kind = match self {
            Self::OutgoingReset(reset) => {
                w.u32(reset.request.0);
                w.u32(reset.response.0);
                w.u32(reset.last_tsn.0);
                w.bytes(reset.streams.0.as_flattened());
                ParameterType::OUTGOING_RESET
            }
            Self::IncomingReset(reset) => {
                w.u32(reset.request.0);
                w.bytes(reset.streams.0.as_flattened());
                ParameterType::INCOMING_RESET
            }
            Self::SsnTsnReset(request) => {
                w.u32(request.0);
                ParameterType::SSN_TSN_RESET
            }
            Self::Response(response) => {
                w.u32(response.response.0);
                w.u32(response.result.0);
                if let Some((ours, theirs)) = response.next_tsns {
                    w.u32(ours.0);
                    w.u32(theirs.0);
                }
                ParameterType::RECONFIG_RESPONSE
            }
            Self::AddOutgoingStreams(add) | Self::AddIncomingStreams(add) => {
                w.u32(add.request.0);
                w.u16(add.count);
                w.u16(0);
                match self {
                    Self::AddOutgoingStreams(_) => ParameterType::ADD_OUTGOING_STREAMS,
                    _ => ParameterType::ADD_INCOMING_STREAMS,
                }
            }
            Self::Unknown(parameter) => {
                w.bytes(parameter.value);
                parameter.kind
            }
        };
        (kind, value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_parameter_survives() {
        let streams = StreamList::decode(&[0, 1, 0, 2]).unwrap();
        let (one, two) = (Serial32(1), Serial32(2));
        for parameter in [
            ReconfigParameter::OutgoingReset(OutgoingReset {
                request: one,
                response: two,
                last_tsn: Serial32(3),
                streams,
            }),
            ReconfigParameter::IncomingReset(IncomingReset {
                request: one,
                streams: StreamList::default(),
            }),
            ReconfigParameter::SsnTsnReset(one),
            ReconfigParameter::Response(ReconfigResponse {
                response: one,
                result: ReconfigResult::IN_PROGRESS,
                next_tsns: None,
            }),
            ReconfigParameter::Response(ReconfigResponse {
                response: one,
                result: ReconfigResult::PERFORMED,
                next_tsns: Some((one, two)),
            }),
            ReconfigParameter::AddOutgoingStreams(AddStreams { request: one, count: 7 }),
            ReconfigParameter::AddIncomingStreams(AddStreams { request: one, count: 7 }),
        ] {
            let mut out = Vec::new();
            ReConfig::write(&mut out, &parameter);
            let decoded = ReConfig::decode(&out[4..]).unwrap();
            assert_eq!(decoded.parameters().next(), Some(Ok(parameter)));
        }
    }

    #[test]
    fn half_a_stream_number_is_an_error() {
        let value = [0, 14, 0, 9, 0, 0, 0, 1, 5, 0, 0, 0];
        assert_eq!(
            ReConfig::decode(&value).unwrap().parameters().next(),
            Some(Err(ParseError::BadLength))
        );
    }
}

//! A sequence number over all streams of a transport, for [feedback](crate::rtcp::TransportFeedback) on when each packet
//! came.

use peerline_wire::Serial16;

use super::{Extension, ExtensionError, exactly};

/// The packet's number among all of its transport (draft-holmer-rmcat-transport-wide-cc-extensions-01 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TransportSequence(pub Serial16);

impl Extension<'_> for TransportSequence {
    const URI: &'static str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

    fn parse(value: &[u8]) -> Result<Self, ExtensionError> {
        Ok(Self(Serial16(u16::from_be_bytes(exactly(value)?))))
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.0.to_be_bytes());
    }
}

/// The same, where feedback is sent only on request.
/// <http://www.webrtc.org/experiments/rtp-hdrext/transport-wide-cc-02>
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// | transport-wide sequence number|T| sequence count, if requested|
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TransportSequenceV2 {
    /// The packet's number among all of its transport.
    pub sequence_number: Serial16,
    /// What the receiver shall send at once.
    pub feedback_request: Option<FeedbackRequest>,
}

/// Which packets feedback is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FeedbackRequest {
    /// With the times at which they came.
    pub include_timestamps: bool,
    /// How many, this one the last: 15 bits, more is written as 32,767. A request for none is no request, and reads as such.
    pub sequence_count: u16,
}

const MAX_COUNT: u16 = 0x7fff;

impl Extension<'_> for TransportSequenceV2 {
    const URI: &'static str = "http://www.webrtc.org/experiments/rtp-hdrext/transport-wide-cc-02";

    fn parse(value: &[u8]) -> Result<Self, ExtensionError> {
        let (number, request) = value.split_first_chunk().ok_or(ExtensionError::WrongLength)?;
        let feedback_request = match request {
            [] => None,
            request => {
                let request = u16::from_be_bytes(exactly(request)?);
                (request & MAX_COUNT != 0).then_some(FeedbackRequest {
                    include_timestamps: request & !MAX_COUNT != 0,
                    sequence_count: request & MAX_COUNT,
                })
            }
        };
        let sequence_number = Serial16(u16::from_be_bytes(*number));
        Ok(Self {
            sequence_number,
            feedback_request,
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.sequence_number.0.to_be_bytes());
        if let Some(request) = self.feedback_request {
            let count = request.sequence_count.min(MAX_COUNT);
            let request = u16::from(request.include_timestamps) << 15 | count;
            out.extend_from_slice(&request.to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_optional() {
        let sequence_number = Serial16(0x1234);
        let plain = TransportSequenceV2 {
            sequence_number,
            feedback_request: None,
        };
        assert_eq!(TransportSequenceV2::parse(&[0x12, 0x34]), Ok(plain));
        assert_eq!(TransportSequenceV2::parse(&[0x12, 0x34, 0x80, 0]), Ok(plain));
        let request = FeedbackRequest {
            include_timestamps: true,
            sequence_count: 5,
        };
        let asking = TransportSequenceV2 {
            sequence_number,
            feedback_request: Some(request),
        };
        assert_eq!(TransportSequenceV2::parse(&[0x12, 0x34, 0x80, 5]), Ok(asking));
        assert_eq!(
            TransportSequenceV2::parse(&[0x12, 0x34, 0x80]),
            Err(ExtensionError::WrongLength)
        );
        assert_eq!(
            TransportSequence::parse(&[0x12, 0x34]),
            Ok(TransportSequence(sequence_number))
        );
    }
}

//! Messages of the return routability check (RFC 9853 §4): is the peer where its records seem to come from?

use peerline_wire::Writer;

use super::{ParseError, exactly, number};

number! {
    /// What a message of the check says.
    RoutabilityMessageType(u8) {
        /// Whoever gets this is to send the cookie back.
        PATH_CHALLENGE = 0,
        /// Here it is, by a path that goes on.
        PATH_RESPONSE = 1,
        /// Here it is, by a path that its sender has left.
        PATH_DROP = 2,
    }
}

/// A message of the check, which is a record of its own.
///
/// ```text
///  msg_type (1) | cookie (8)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoutabilityMessage {
    /// What it says.
    pub message_type: RoutabilityMessageType,
    /// Random bytes that are echoed.
    pub cookie: [u8; 8],
}

impl RoutabilityMessage {
    /// How many bytes a message takes.
    pub const LEN: usize = 9;

    /// Reads a message that fills `bytes`.
    ///
    /// # Errors
    /// [`ParseError`] unless the bytes are exactly one.
    pub fn decode(bytes: &[u8]) -> Result<Self, ParseError> {
        exactly(bytes, |r| {
            Ok(Self {
                message_type: RoutabilityMessageType(r.u8()?),
                cookie: r.array()?,
            })
        })
    }

    /// Appends the message.
    pub fn encode(&self, w: &mut Writer<'_>) {
        w.u8(self.message_type.0);
        w.bytes(&self.cookie);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_reads_back_what_was_written() {
        let message = RoutabilityMessage {
            message_type: RoutabilityMessageType::PATH_DROP,
            cookie: *b"crumbs!!",
        };
        let mut bytes = Vec::new();
        message.encode(&mut Writer::new(&mut bytes));
        assert_eq!(bytes, b"\x02crumbs!!");
        assert_eq!(RoutabilityMessage::decode(&bytes), Ok(message));
        assert_eq!(RoutabilityMessage::decode(&bytes[..8]), Err(ParseError::Truncated));
        bytes.push(0);
        assert_eq!(RoutabilityMessage::decode(&bytes), Err(ParseError::TrailingBytes));
    }
}

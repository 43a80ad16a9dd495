//! Messages on a stream: TURN over TCP and TLS has no other framing than the messages' own lengths (RFC 8489 §6.2.2,
//! RFC 8656 §12.5).

use std::fmt;

use bytes::BytesMut;
use peerline_stun::ChannelNumber;

/// Takes the first message, a STUN message or ChannelData with its padding, out of what was read from a stream.
///
/// `None` if it is not whole yet: read more behind it. No message is longer than 65,556 bytes, and of one that is not whole
/// no more is buffered than the driver reads at once beyond that, if it calls this after each read until `None`.
///
/// After the success of a ConnectionBind request (RFC 6062) nothing more is framed: what the buffer holds then is data.
///
/// ```
/// use bytes::BytesMut;
///
/// let mut read = BytesMut::from(&b"\x40\x00\x00\x05hello\0\0\0\x40\x00\x00\x02he"[..]);
/// assert_eq!(peerline_turn::framing::split(&mut read)?.unwrap(), b"\x40\x00\x00\x05hello\0\0\0"[..]);
/// assert_eq!(peerline_turn::framing::split(&mut read)?, None); // the padding is missing
/// # Ok::<(), peerline_turn::framing::FramingError>(())
/// ```
///
/// # Errors
/// [`FramingError`] if no message begins here: the stream is of no more use.
pub fn split(buffer: &mut BytesMut) -> Result<Option<BytesMut>, FramingError> {
    let &[a, b, c, d, ..] = &buffer[..] else {
        return match buffer.first() {
            Some(&first) if !begins_message(first) => Err(FramingError),
            _ => Ok(None),
        };
    };
    let length = usize::from(u16::from_be_bytes([c, d]));
    let whole = if a < 0x40 {
        let cookie = buffer.get(4..).unwrap_or_default();
        let expected = &MAGIC_COOKIE[..cookie.len().min(4)];
        if !begins_message(a) || !length.is_multiple_of(4) || !cookie.starts_with(expected) {
            return Err(FramingError);
        }
        20 + length
    } else {
        // Those that RFC 8656 reserves are framed as well: they are "silently discarded" (§12.6), not the stream.
        if !ChannelNumber(u16::from_be_bytes([a, b])).is_valid_in_rfc5766() {
            return Err(FramingError);
        }
        // "Over TCP and TLS-over-TCP, the ChannelData message MUST be padded to a multiple of four bytes" (RFC 8656 §12.5).
        (4 + length).next_multiple_of(4)
    };
    Ok((buffer.len() >= whole).then(|| buffer.split_to(whole)))
}

/// STUN begins with two zero bits; ChannelData with a zero and a one (RFC 5766 §11), by now only with 0x40 to 0x4F (RFC 8656 §12).
fn begins_message(first: u8) -> bool {
    first < 0x80
}

const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];

/// What was read begins no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FramingError;

impl fmt::Display for FramingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the stream carries neither STUN nor ChannelData")
    }
}

impl std::error::Error for FramingError {}

#[cfg(test)]
mod tests {
    use super::*;
    use peerline_stun::attribute::Software;
    use peerline_stun::{ChannelData, MessageBuilder, Method, TransactionId};

    #[test]
    fn messages_come_out_as_they_went_in_however_the_stream_is_cut() {
        let mut stream = Vec::new();
        let mut ends = Vec::new();
        for len in 0..9 {
            MessageBuilder::request(&mut stream, Method::BINDING, TransactionId([7; 12]))
                .attribute(Software(&"software!"[..len]));
            ends.push(stream.len());
            let data = ChannelData {
                channel: ChannelNumber::LAST,
                data: &[9; 9][..len],
            };
            data.encode_padded(&mut stream).expect("short data");
            ends.push(stream.len());
        }
        for step in [1, 2, 3, 7, 100, stream.len()] {
            let (mut buffer, mut at, mut found) = (BytesMut::new(), 0, Vec::new());
            for part in stream.chunks(step) {
                buffer.extend_from_slice(part);
                while let Some(message) = split(&mut buffer).expect("a good stream") {
                    assert_eq!(message, stream[at..at + message.len()]);
                    at += message.len();
                    found.push(at);
                }
            }
            assert_eq!(found, ends);
        }
    }

    #[test]
    fn another_protocol_is_noticed_at_once() {
        for stream in [
            &b"\x80"[..],
            b"\xff\xff\x00\x00",
            b"\x16\x03\x01\x02\x00\x01\x00\x01",
            b"\x00\x01\x00\x02\x21",
            b"\x00\x01\x00\x00\x20",
            b"\x00\x01\x00\x00\x21\x12\xa4\x43",
        ] {
            assert_eq!(split(&mut BytesMut::from(stream)), Err(FramingError), "{stream:?}");
        }
    }
}

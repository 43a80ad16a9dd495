//! Retransmission (RFC 4588): a packet of another stream, whose payload is the sequence number of the original packet
//! (OSN) and the original payload.

use super::{Payload, PayloadError};
use bytes::{Buf, Bytes};
use peerline_wire::Serial16;

/// How much longer a payload gets, in bytes.
pub const OVERHEAD: usize = 2;

/// A retransmission of `payload`, which was sent with this sequence number.
#[must_use]
pub fn wrap(original: Serial16, payload: Bytes) -> Payload {
    Payload::new(&original.0.to_be_bytes(), payload)
}

/// Appends a retransmission of `payload`, which was sent with this sequence number, to `out`.
pub fn write(original: Serial16, payload: &Payload, out: &mut Vec<u8>) {
    out.extend_from_slice(&original.0.to_be_bytes());
    payload.write(out);
}

/// The sequence number that the payload was sent with, and the payload. Timestamp and marker are those of the packet that
/// this is the payload of (RFC 4588 §4).
///
/// # Errors
/// [`PayloadError::Truncated`] without a whole sequence number: a packet of padding, with which senders probe the path.
pub fn unwrap(mut payload: Bytes) -> Result<(Serial16, Bytes), PayloadError> {
    if payload.len() < OVERHEAD {
        return Err(PayloadError::Truncated);
    }
    Ok((Serial16(payload.get_u16()), payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_survives() {
        let (original, payload) = (Serial16(0xabcd), Bytes::from_static(b"frame"));
        let wrapped = wrap(original, payload.clone());
        assert_eq!(wrapped.to_bytes(), [&[0xab, 0xcd][..], b"frame"].concat());
        assert_eq!(wrapped.len(), payload.len() + OVERHEAD);
        assert_eq!(unwrap(wrapped.to_bytes()), Ok((original, payload.clone())));
        let mut out = vec![9];
        write(original, &Payload::new(b"a ", payload), &mut out);
        assert_eq!(
            unwrap(out[1..].to_vec().into()),
            Ok((original, Bytes::from_static(b"a frame")))
        );
        assert_eq!(unwrap(Bytes::from_static(&[0, 1])), Ok((Serial16(1), Bytes::new())));
        for short in [&[][..], &[0]] {
            assert_eq!(unwrap(Bytes::copy_from_slice(short)), Err(PayloadError::Truncated));
        }
    }
}

//! Datagrams on a stream: the framing of RFC 4571, which ICE uses on every connection over TCP (RFC 6544 §7.1).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +---------------------------------------------------------------+
//! |             LENGTH            |  STUN, DTLS, RTP or RTCP ...  |
//! +---------------------------------------------------------------+
//! ```
//! (RFC 4571 §2, figure 1)

use bytes::{Buf, BytesMut};

/// The size of what precedes each datagram.
pub const HEADER_LEN: usize = 2;

/// What precedes a datagram of this length; `None` if it is too long, which is 65,536 bytes and more.
///
/// ```
/// assert_eq!(peerline_ice::framing::header(1200), Some([0x04, 0xb0]));
/// assert_eq!(peerline_ice::framing::header(65_536), None);
/// ```
#[must_use]
pub fn header(len: usize) -> Option<[u8; HEADER_LEN]> {
    u16::try_from(len).ok().map(u16::to_be_bytes)
}

/// Takes the first datagram out of what was read from a stream; `None` if it is not whole yet: read more behind it.
///
/// It is never empty: "null packets" (RFC 4571 §2 allows a LENGTH of zero) are skipped. Of a datagram that is not whole, at most
/// 65,537 bytes are buffered, and what the driver reads at once beyond that, if it calls this after each read until `None`.
///
/// ```
/// use bytes::BytesMut;
///
/// let mut read = BytesMut::from(&b"\x00\x05hello\x00\x00\x00\x02he"[..]);
/// assert_eq!(peerline_ice::framing::split(&mut read).unwrap(), b"hello"[..]);
/// assert_eq!(peerline_ice::framing::split(&mut read).unwrap(), b"he"[..]);
/// assert_eq!(peerline_ice::framing::split(&mut read), None);
/// ```
pub fn split(buffer: &mut BytesMut) -> Option<BytesMut> {
    while let &[a, b, ..] = &buffer[..] {
        let len = usize::from(u16::from_be_bytes([a, b]));
        if buffer.len() < HEADER_LEN + len {
            return None;
        }
        buffer.advance(HEADER_LEN);
        if len > 0 {
            return Some(buffer.split_to(len));
        }
    }
    None
}

/// The length of the datagram that begins here, whole or not; `None` while that is not known.
#[must_use]
pub fn announced_len(buffer: &[u8]) -> Option<usize> {
    let &[a, b] = buffer.first_chunk()?;
    Some(usize::from(u16::from_be_bytes([a, b])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_come_out_as_they_went_in_however_the_stream_is_cut() {
        let lengths = [1, 0, 2, 1200, 65_535, 0, 0, 20];
        let mut stream = Vec::new();
        for (index, len) in lengths.into_iter().enumerate() {
            stream.extend(header(len).expect("short enough"));
            stream.resize(stream.len() + len, index as u8);
        }
        for step in [1, 2, 3, 7, 1500, stream.len()] {
            let (mut buffer, mut found) = (BytesMut::new(), Vec::new());
            for part in stream.chunks(step) {
                buffer.extend_from_slice(part);
                while let Some(datagram) = split(&mut buffer) {
                    found.push((datagram[0], datagram.len()));
                }
                assert!(buffer.len() <= HEADER_LEN + 65_535);
            }
            assert_eq!(found, [(0, 1), (2, 2), (3, 1200), (4, 65_535), (7, 20)], "{step}");
            assert!(buffer.is_empty());
        }
    }
}

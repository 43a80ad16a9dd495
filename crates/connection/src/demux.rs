//! Which protocol a datagram belongs to, by its first byte (RFC 7983 §7, updated by RFC 9443).

/// The protocols that share one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Connectivity checks and consent (RFC 8489).
    Stun,
    /// Handshake, alerts and data channels (RFC 6347).
    Dtls,
    /// Media (RFC 3711).
    Rtp,
    /// Reports on media, and requests about it (RFC 3711 §3.4).
    Rtcp,
}

/// The protocol of a datagram, or `None` for those that are not spoken here.
///
/// ```text
///              [0..3]  -+--> forward to STUN
///            [16..19]  -+--> forward to ZRTP
///            [20..63]  -+--> forward to DTLS
///            [64..79]  -+--> forward to TURN Channel
///          [128..191]  -+--> forward to RTP/RTCP
/// ```
pub(crate) fn demux(payload: &[u8]) -> Option<Protocol> {
    match payload.first()? {
        0..=3 => Some(Protocol::Stun),
        20..=63 => Some(Protocol::Dtls),
        // "RTCP packet types in the ranges 192-223" stand where RTP has marker and payload type (RFC 5761 §4).
        128..=191 => match payload.get(1)? {
            192..=223 => Some(Protocol::Rtcp),
            _ => Some(Protocol::Rtp),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_decides() {
        assert_eq!(demux(&[0, 1]), Some(Protocol::Stun));
        assert_eq!(demux(&[22, 254, 253]), Some(Protocol::Dtls));
        assert_eq!(demux(&[63]), Some(Protocol::Dtls));
        for unspoken in [4, 16, 19, 64, 79, 80, 127, 128, 191, 192, 255] {
            assert_eq!(demux(&[unspoken]), None, "{unspoken}");
        }
        assert_eq!(demux(&[128, 0x80 | 111]), Some(Protocol::Rtp));
        assert_eq!(demux(&[0x80, 96]), Some(Protocol::Rtp));
        assert_eq!(demux(&[0x80, 200]), Some(Protocol::Rtcp));
        assert_eq!(demux(&[191, 223]), Some(Protocol::Rtcp));
        assert_eq!(demux(&[]), None);
    }
}

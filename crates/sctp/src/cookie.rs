//! The state cookie: everything needed to make a TCB, kept by the peer and not by us (RFC 9260 §5.1.3).

use hmac::{Hmac, KeyInit, Mac};
use peerline_wire::{Reader, Serial32, Truncated, Writer};
use sha2::Sha256;

/// What the peer's INIT or INIT ACK said it can do, and we can as well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Capabilities {
    /// Partial reliability (RFC 3758), by the chunk that goes with what carries the data: FORWARD TSN or I-FORWARD-TSN.
    pub(crate) forward_tsn: bool,
    /// Both sides interleave messages (RFC 8260): I-DATA in place of DATA.
    pub(crate) interleaving: bool,
    /// Stream reconfiguration (RFC 6525).
    pub(crate) re_config: bool,
    /// Packets without a checksum are fine (RFC 9653).
    pub(crate) zero_checksum: bool,
}

/// One direction's tag and first TSN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Side {
    pub(crate) tag: u32,
    pub(crate) initial_tsn: Serial32,
}

/// What both sides agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreement {
    pub(crate) local: Side,
    pub(crate) peer: Side,
    /// The peer's receive window at the start.
    pub(crate) peer_window: u32,
    /// Streams towards the peer.
    pub(crate) outgoing_streams: u16,
    /// Streams from the peer.
    pub(crate) incoming_streams: u16,
    pub(crate) peer_can: Capabilities,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cookie {
    /// Milliseconds since the association first heard the time.
    pub(crate) created: u64,
    pub(crate) agreement: Agreement,
    /// The tags, local and peer's, of the association that existed when the cookie was made; zero if there was none
    /// (RFC 9260 §5.2.2).
    pub(crate) tie_tags: (u32, u32),
}

/// The key with which an association signs its cookies.
#[derive(Clone)]
pub(crate) struct CookieKey(pub(crate) [u8; 32]);

impl std::fmt::Debug for CookieKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CookieKey")
    }
}

const MAC_LEN: usize = 32;

impl Cookie {
    /// The cookie, signed.
    pub(crate) fn seal(&self, key: &CookieKey) -> Vec<u8> {
        let mut out = Vec::with_capacity(80);
        let mut w = Writer::new(&mut out);
        let agreement = &self.agreement;
        w.u64(self.created);
        for side in [agreement.local, agreement.peer] {
            w.u32(side.tag);
            w.u32(side.initial_tsn.0);
        }
        w.u32(agreement.peer_window);
        w.u16(agreement.outgoing_streams);
        w.u16(agreement.incoming_streams);
        let can = agreement.peer_can;
        w.u8(u8::from(can.forward_tsn)
            | u8::from(can.re_config) << 1
            | u8::from(can.zero_checksum) << 2
            | u8::from(can.interleaving) << 3);
        w.u32(self.tie_tags.0);
        w.u32(self.tie_tags.1);
        let mac = key.mac(&out).finalize().into_bytes();
        out.extend_from_slice(&mac);
        out
    }

    /// The cookie, if it is one of ours.
    pub(crate) fn open(bytes: &[u8], key: &CookieKey) -> Option<Self> {
        let (content, mac) = bytes.split_at_checked(bytes.len().checked_sub(MAC_LEN)?)?;
        key.mac(content).verify_slice(mac).ok()?;
        Self::decode(content).ok()
    }

    fn decode(content: &[u8]) -> Result<Self, Truncated> {
        let mut r = Reader::new(content);
        let created = r.u64()?;
        let local = Side {
            tag: r.u32()?,
            initial_tsn: Serial32(r.u32()?),
        };
        let peer = Side {
            tag: r.u32()?,
            initial_tsn: Serial32(r.u32()?),
        };
        let (peer_window, outgoing_streams, incoming_streams) = (r.u32()?, r.u16()?, r.u16()?);
        let can = r.u8()?;
        let peer_can = Capabilities {
            forward_tsn: can & 1 != 0,
            re_config: can & 2 != 0,
            zero_checksum: can & 4 != 0,
            interleaving: can & 8 != 0,
        };
        let agreement = Agreement {
            local,
            peer,
            peer_window,
            outgoing_streams,
            incoming_streams,
            peer_can,
        };
        Ok(Self {
            created,
            agreement,
            tie_tags: (r.u32()?, r.u32()?),
        })
    }
}

impl CookieKey {
    fn mac(&self, content: &[u8]) -> Hmac<Sha256> {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(content);
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookie() -> Cookie {
        let side = |tag, tsn| Side {
            tag,
            initial_tsn: Serial32(tsn),
        };
        let agreement = Agreement {
            local: side(1, 2),
            peer: side(3, 4),
            peer_window: 5,
            outgoing_streams: 6,
            incoming_streams: 7,
            peer_can: Capabilities {
                forward_tsn: true,
                re_config: false,
                zero_checksum: true,
                interleaving: true,
            },
        };
        Cookie {
            created: 8,
            agreement,
            tie_tags: (9, 10),
        }
    }

    #[test]
    fn only_its_maker_opens_it() {
        let key = CookieKey([7; 32]);
        let sealed = cookie().seal(&key);
        assert_eq!(Cookie::open(&sealed, &key), Some(cookie()));
        assert_eq!(Cookie::open(&sealed, &CookieKey([8; 32])), None);
    }

    #[test]
    fn a_changed_or_shortened_cookie_is_refused() {
        let key = CookieKey([7; 32]);
        let sealed = cookie().seal(&key);
        for bit in 0..sealed.len() * 8 {
            let mut forged = sealed.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Cookie::open(&forged, &key), None);
        }
        for len in 0..sealed.len() {
            assert_eq!(Cookie::open(&sealed[..len], &key), None);
        }
    }
}

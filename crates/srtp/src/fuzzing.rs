//! Bodies of the fuzz targets.

use bytes::BytesMut;

use crate::{Config, Inbound, MasterKey, Outbound, Profile, StreamState};

/// Any bytes, taken for SRTP and then for RTP: the first is refused and changes nothing; the second, if it is a packet,
/// arrives as it was sent, and only unharmed.
pub fn rtp(bytes: &[u8]) {
    let Some((mut ends, bytes)) = Ends::new(bytes) else {
        return;
    };
    ends.forge(bytes, Inbound::unprotect_rtp);
    ends.carry(bytes, Outbound::protect_rtp, Inbound::unprotect_rtp);
}

/// The same with SRTCP and RTCP.
pub fn rtcp(bytes: &[u8]) {
    let Some((mut ends, bytes)) = Ends::new(bytes) else {
        return;
    };
    ends.forge(bytes, Inbound::unprotect_rtcp);
    ends.carry(bytes, Outbound::protect_rtcp, Inbound::unprotect_rtcp);
}

struct Ends {
    outbound: Outbound,
    inbound: Inbound,
    /// Which bit of a packet breaks on the way.
    broken: usize,
}

type Protect<E> = fn(&mut Outbound, &mut Vec<u8>, usize) -> Result<(), E>;
type Unprotect<E> = fn(&mut Inbound, &mut BytesMut) -> Result<(), E>;

impl Ends {
    /// Both ends, as the first four bytes say, and the bytes after those.
    fn new(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let ([which, ssrc, high, low], rest) = bytes.split_first_chunk()?;
        let profile = Profile::ALL[usize::from(which % 4)];
        let (key, salt) = (&[7; 32][..profile.key_len()], &[8; 14][..profile.salt_len()]);
        let key = MasterKey::new(profile, key, salt).expect("lengths of the profile");
        let config = Config {
            replay_window: 64,
            max_streams: 2,
            max_retired: 0,
            cryptex: which & 0x80 != 0,
            ..Config::default()
        };
        let mut ends = Self {
            outbound: Outbound::new(&key, config.clone()),
            inbound: Inbound::new(&key, config),
            broken: u16::from_be_bytes([*high, *low]).into(),
        };
        // One SSRC is known, in a later round.
        let known = StreamState {
            ssrc: u32::from(*ssrc),
            roc: u32::from(which / 4),
            sequence_number: Some(u16::MAX),
            rtcp_index: Some(200),
        };
        ends.outbound.resume(known).expect("it is the first");
        ends.inbound.resume(known).expect("it is the first");
        Some((ends, rest))
    }

    fn states(&self) -> Vec<StreamState> {
        self.inbound.streams().collect()
    }

    fn forge<E>(&mut self, bytes: &[u8], unprotect: Unprotect<E>) {
        let before = self.states();
        assert!(unprotect(&mut self.inbound, &mut BytesMut::from(bytes)).is_err());
        assert_eq!(self.states(), before);
    }

    fn carry<P, U>(&mut self, bytes: &[u8], protect: Protect<P>, unprotect: Unprotect<U>)
    where
        U: std::fmt::Debug,
    {
        let mut out = b"before".to_vec();
        out.extend_from_slice(bytes);
        if protect(&mut self.outbound, &mut out, 6).is_err() {
            assert_eq!(out, b"before");
            return;
        }
        let protected = &out[6..];
        let mut broken = protected.to_vec();
        let bit = self.broken % (8 * broken.len());
        broken[bit / 8] ^= 1 << (bit % 8);
        self.forge(&broken, unprotect);

        let mut packet = BytesMut::from(protected);
        unprotect(&mut self.inbound, &mut packet).expect("what was protected");
        // CSRCs that are encrypted have brought an extension.
        if packet.len() == bytes.len() {
            assert_eq!(packet, bytes);
        } else {
            assert_eq!(packet.len(), bytes.len() + 4);
        }
        self.forge(protected, unprotect);
        assert_eq!(self.states(), self.outbound.streams().collect::<Vec<_>>());
    }
}

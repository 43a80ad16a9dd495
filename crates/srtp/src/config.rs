//! [`Config`]: the limits of one direction.

/// How [`Outbound`](crate::Outbound) and [`Inbound`](crate::Inbound) behave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How far behind the newest packet of its SSRC, in packets, an SRTP packet may be; at least 64 (RFC 3711 §3.3.2) and
    /// at most 32,768, from where a sequence number counts as another round's. Default 1,024, as libwebrtc has it: what is
    /// retransmitted under its own number is a round trip late. (SRTCP: always 128.)
    pub replay_window: u16,
    /// How many SSRCs may be in use at a time, each a few hundred bytes. Default 4,096. Only packets that authenticate
    /// add one. When another comes, those that were not used for longest are retired.
    pub max_streams: usize,
    /// How many SSRCs more may have been in use and are now retired (see `retire`), each some thirty bytes. Default 65,536. Beyond,
    /// new ones are refused: to forget one would let its packets be replayed, or its keystream be used twice.
    pub max_retired: usize,
    /// [`Outbound`](crate::Outbound) only: a packet of an index that was protected before is protected again, as a
    /// retransmission under its own number needs. Its payload must be the same; its header may differ. Default false.
    /// Without effect with AES-GCM, for which a repeated nonce is fatal (RFC 7714 §8.4): there, keep what was protected.
    pub allow_repeats: bool,
    /// CSRCs and header extensions are encrypted as well (Cryptex, RFC 9335), if both sides have agreed on it with
    /// `a=cryptex`. Sending: only extensions of RFC 8285's two forms, without application bits, are possible, and CSRCs
    /// without an extension make the packet four bytes longer. Receiving: packets that are not encrypted so are taken,
    /// too. Default false.
    pub cryptex: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            replay_window: 1_024,
            max_streams: 4_096,
            max_retired: 1 << 16,
            allow_repeats: false,
            cryptex: false,
        }
    }
}

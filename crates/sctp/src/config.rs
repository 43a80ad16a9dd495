//! [`Config`]: everything an association is told once, with its defaults and where they come from.

use std::time::Duration;

/// What an [`Association`](crate::Association) is configured with. Each field says its default and its source.
///
/// The defaults suit WebRTC: both ends on port 5000, inside DTLS, over a path of which ICE watches the liveness.
#[derive(Clone, Debug)]
pub struct Config {
    /// Our port. Default 5000, what all WebRTC endpoints put in `a=sctp-port`.
    pub local_port: u16,
    /// The peer's port. Default 5000.
    pub remote_port: u16,
    /// Seeds verification tags, initial TSNs, the cookie key and jitter. Default all zero: real associations must set
    /// it, or their cookies can be forged.
    pub rng_seed: [u8; 32],
    /// The largest SCTP packet sent over a path not known to take more, in bytes, DTLS not included; rounded down to a multiple of four and never under
    /// 512. Default 1188, what both browsers send: with DTLS 1.2 and UDP it fits the IPv6 minimum MTU of 1280.
    pub mtu: usize,
    /// How large SCTP packets may become where the path is found to take them (RFC 8899), in bytes; at most 65,532. Up to
    /// [`mtu`](Self::mtu), nothing is tried. Default 1412: with 37 bytes of DTLS 1.2, 8 of UDP and 40 of IPv6 it fits the 1,500
    /// of Ethernet. Messages are cut for `mtu` all the same: larger packets carry several messages, or as many full fragments as
    /// fit.
    pub max_mtu: usize,
    /// The largest message that is reassembled; a peer that sends a larger one is aborted. Default 262,144, which is
    /// what browsers announce as `a=max-message-size`.
    pub max_message_size: usize,
    /// The largest message that `send` takes: the peer's `a=max-message-size`. Default 65,536 (RFC 8841 §6.1); change it
    /// later with [`Association::set_max_send_message_size`](crate::Association::set_max_send_message_size).
    pub max_send_message_size: usize,
    /// The receive window, in bytes allocated (payload, what it pins, and bookkeeping). What arrives beyond a gap may fill
    /// three quarters of it. Default 5 MiB (as dcSCTP).
    pub receive_window: u32,
    /// The most bytes that `send` takes before what was sent earlier has been acknowledged, bookkeeping included.
    /// Default 16 MiB (as Chromium).
    pub send_buffer: usize,
    /// What decides how much may be in flight. Default [`CongestionControl::ModelBased`].
    pub congestion_control: CongestionControl,
    /// The congestion window of a new association, in packets. Default 10 (RFC 6928; RFC 9260 §7.2.1 has about 4).
    pub initial_window: usize,
    /// Streams wanted towards the peer. Default 65,535 (RFC 8831 §6.2).
    pub outgoing_streams: u16,
    /// Streams accepted from the peer, which is the most of them that can hold state. Default 65,535.
    pub incoming_streams: u16,
    /// Ranges of TSNs kept beyond a gap. Packets that would need more are dropped and come again. Default 256.
    pub max_gap_ranges: usize,
    /// Accept packets without a checksum, and say so, and send them to a peer that does the same: DTLS detects errors
    /// better (RFC 9653). Default true.
    pub zero_checksum: bool,
    /// Offer message interleaving (RFC 8260): with a peer that offers it too, fragments of messages on different streams
    /// take turns, so that no message waits for a large one on another stream. Default true (as Firefox; RFC 8831 §6.1:
    /// it "SHOULD be supported").
    pub interleaving: bool,
    /// RTO before the first measurement. Default 500 ms (RFC 9260 §16: 1 s; dcSCTP: 500 ms). Somebody who knows the path knows better:
    /// [`Association::set_round_trip_time`](crate::Association::set_round_trip_time).
    pub rto_initial: Duration,
    /// The least RTO. Default 220 ms, a delayed acknowledgement and a bit (RFC 9260 §16: 1 s; dcSCTP: 400 ms).
    pub rto_min: Duration,
    /// The largest RTO. Default 60 s (RFC 9260 §16).
    pub rto_max: Duration,
    /// How long doubling may make a timeout: one that is longer already stays as it is. Default 60 s, that is
    /// [`rto_max`](Self::rto_max) (Chromium: 3 s).
    pub max_backoff: Duration,
    /// How long a SACK may be withheld. Default 200 ms (RFC 9260 §6.2); at most 500 ms.
    pub delayed_ack: Duration,
    /// Idle time before a HEARTBEAT; zero sends none. Default 30 s (RFC 9260 §16 HB.interval).
    pub heartbeat_interval: Duration,
    /// How long a cookie is good for. Default 60 s (RFC 9260 §16 Valid.Cookie.Life).
    pub cookie_lifetime: Duration,
    /// Retransmissions of INIT or COOKIE ECHO before giving up. Default 8 (RFC 9260 §16 Max.Init.Retransmits).
    pub max_init_retransmits: u32,
    /// Timeouts in a row before the peer counts as gone. Default 10 (RFC 9260 §16 Association.Max.Retrans).
    pub max_retransmits: u32,
}

/// A congestion controller: what decides how much may be in flight, and how fast it leaves. All are paced and find losses by
/// time (RFC 8985). The repository's `crates/sctp/tests/controllers.txt` shows what each makes of a path, and `fairness.txt`
/// there how they share one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CongestionControl {
    /// RFC 9260's own, that of TCP Reno.
    NewReno,
    /// CUBIC (RFC 9438) with HyStart++ (RFC 9406): what TCP does nowadays.
    Cubic,
    /// Sends at the rate that is seen to arrive, after BBRv3 (draft-ietf-ccwg-bbr): losses by chance, up to about two percent, do not slow
    /// it, and losses where a queue stands do.
    #[default]
    ModelBased,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            local_port: 5000,
            remote_port: 5000,
            rng_seed: [0; 32],
            mtu: 1188,
            max_mtu: 1412,
            max_message_size: 262_144,
            max_send_message_size: 65_536,
            receive_window: 5 << 20,
            send_buffer: 16 << 20,
            congestion_control: CongestionControl::default(),
            initial_window: 10,
            outgoing_streams: 65_535,
            incoming_streams: 65_535,
            max_gap_ranges: 256,
            zero_checksum: true,
            interleaving: true,
            rto_initial: Duration::from_millis(500),
            rto_min: Duration::from_millis(220),
            rto_max: Duration::from_secs(60),
            max_backoff: Duration::from_secs(60),
            delayed_ack: Duration::from_millis(200),
            heartbeat_interval: Duration::from_secs(30),
            cookie_lifetime: Duration::from_secs(60),
            max_init_retransmits: 8,
            max_retransmits: 10,
        }
    }
}

impl Config {
    /// `mtu` as it is used: a multiple of four, so that padding never crosses it, and not absurdly small or large.
    pub(crate) fn packet_size(&self) -> usize {
        self.mtu.clamp(512, 65_532) & !3
    }

    /// What a timeout becomes that has expired (RFC 9260 §6.3.3 E2, §6.3.1 C7).
    pub(crate) fn backed_off(&self, rto: Duration) -> Duration {
        rto.saturating_mul(2).min(self.max_backoff.min(self.rto_max).max(rto))
    }

    /// `max_mtu` as it is used.
    pub(crate) fn max_packet_size(&self) -> usize {
        (self.max_mtu.min(65_532) & !3).max(self.packet_size())
    }
}

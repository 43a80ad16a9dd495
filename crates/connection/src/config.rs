//! [`Config`]: what a connection is told once.

use std::fmt;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use peerline_dtls::{Certificate, CryptoProvider, KeyLog, ProtocolVersion};
use peerline_ice::{ExternalAddress, TransportPolicy};
use peerline_sctp::CongestionControl;
use peerline_srtp::Profile;

use crate::capture::Capture;
use crate::media::capabilities::{self, CodecSupport, HeaderExtensionSupport};

/// How a [`Connection`](crate::Connection) is made. [`Config::new`] gives every field its default.
#[derive(Clone)]
pub struct Config {
    /// Our certificate: its fingerprint goes into the descriptions (RFC 8842).
    pub certificate: Arc<Certificate>,
    /// The handshake's cryptography: any provider made for rustls. Default `ring`'s.
    pub provider: Arc<CryptoProvider>,
    /// Seeds all randomness but the handshake's. It has to be unpredictable outside of tests.
    pub rng_seed: [u8; 32],
    /// One instant on both clocks, for the timestamps of [`stats`](crate::Connection::stats). Without it they count from
    /// the connection's birth.
    pub wall_clock: Option<(Instant, SystemTime)>,
    /// The largest datagram sent over a path not known to take more, in bytes of UDP payload. Default 1,200, which fits every
    /// path in use (RFC 8831 §5).
    pub mtu: usize,
    /// How large datagrams with messages may become where the path is found to take them (RFC 8899), in bytes of UDP payload;
    /// up to [`mtu`](Self::mtu), nothing is tried. Default 1,452: with UDP and IPv6 it fills the 1,500 bytes of Ethernet. Where
    /// paths take more, as in a data centre or within a machine, up to 16,384 make bulk cheaper.
    pub max_mtu: usize,
    /// True to be an ICE-lite agent (RFC 8445 §2.5), for servers with a public address. Default false.
    pub ice_lite: bool,
    /// Which candidates are used (`RTCIceTransportPolicy`). Default all.
    pub ice_transport_policy: TransportPolicy,
    /// How peers know our addresses, where a translator maps each to another (1:1 NAT). Default none.
    pub external_addresses: Arc<[ExternalAddress]>,
    /// Tell names in place of this host's addresses (`….local`): whoever sets this announces
    /// [`Connection::local_names`](crate::Connection::local_names) by multicast DNS. Default false.
    pub hide_addresses: bool,
    /// The oldest version of DTLS to speak. Default DTLS 1.2 (RFC 8827 §6.5).
    pub min_dtls_version: ProtocolVersion,
    /// The newest version of DTLS to speak. Default DTLS 1.3.
    pub max_dtls_version: ProtocolVersion,
    /// After how many DTLS records under the same keys new ones are made, in DTLS 1.3. Default 2^23 (RFC 9147 §4.5.3).
    pub max_records_per_key: u64,
    /// Answer a first ClientHello with a cookie (RFC 6347 §4.2.1, RFC 9147 §5.1). Default false: ICE has verified the path already.
    pub hello_verify_request: bool,
    /// Carry DTLS in ICE's checks, so that both handshakes go at once (SPED, draft-hancke-webrtc-sped). Default true; with peers
    /// without it, and once there is a path, DTLS goes by itself.
    pub sped: bool,
    /// Who is told of the connection's secrets, as lines for Wireshark: rustls's `KeyLogFile`, for one. Default `None`: nobody.
    pub key_log: Option<Arc<dyn KeyLog>>,
    /// Where the connection's packets go, unprotected, as a file for Wireshark. Default `None`: nowhere.
    pub capture: Option<Capture>,
    /// Send SCTP's INIT with offers and answers, so that data channels open as soon as DTLS is up (SNAP,
    /// draft-hancke-tsvwg-snap). Default true; peers without it do the handshake.
    pub snap: bool,
    /// The largest message received, announced as `a=max-message-size` (RFC 8841 §6). Default 262,144, as Chromium.
    pub max_message_size: usize,
    /// The most bytes of messages that one connection holds for sending. Default 16 MiB, as Chromium.
    pub send_buffer: usize,
    /// The bytes that the peer may have us hold unread, SCTP's receive window. Default 5 MiB.
    pub receive_window: u32,
    /// What decides how fast data channels send. Default [`CongestionControl::ModelBased`].
    pub congestion_control: CongestionControl,
    /// Data channels open at once, the peer's included. Default 65,535: all that SCTP can number.
    pub max_channels: usize,
    /// Media sections in a description, and transceivers. Default 256.
    pub max_media_sections: usize,
    /// The codecs to send and receive, the preferred first. Default those of Chromium that are spoken here: Opus, RED, G.722,
    /// PCMU, PCMA, telephone events; VP8, VP9, H.264, AV1 and H.265, with retransmissions.
    pub codecs: Arc<[CodecSupport]>,
    /// The header extensions of RTP to send and receive. Default those of Chromium that are spoken here.
    pub header_extensions: Arc<[HeaderExtensionSupport]>,
    /// The profiles of SRTP to offer in DTLS and to accept, the preferred first (RFC 5764 §4.1.2). Default
    /// [`Profile::ALL`], with AES-GCM of 128 bits first.
    pub srtp_profiles: Arc<[Profile]>,
    /// Layers of simulcast that one section sends or receives (RFC 8853). Default 4; 1 refuses simulcast that is offered.
    pub max_simulcast_layers: usize,
    /// DTLS datagrams kept that arrive before the answer. Default 16: a whole flight.
    pub max_early_datagrams: usize,
}

impl Config {
    /// The defaults, with this certificate. [`rng_seed`](Self::rng_seed) still has to be set.
    #[must_use]
    pub fn new(certificate: Arc<Certificate>) -> Self {
        Self {
            certificate,
            provider: peerline_dtls::default_provider(),
            rng_seed: [0; 32],
            wall_clock: None,
            mtu: 1200,
            max_mtu: 1452,
            ice_lite: false,
            ice_transport_policy: TransportPolicy::All,
            external_addresses: Arc::default(),
            hide_addresses: false,
            min_dtls_version: ProtocolVersion::DTLS_1_2,
            max_dtls_version: ProtocolVersion::DTLS_1_3,
            max_records_per_key: 1 << 23,
            hello_verify_request: false,
            sped: true,
            key_log: None,
            capture: None,
            snap: true,
            max_message_size: 262_144,
            send_buffer: 16 << 20,
            receive_window: 5 << 20,
            congestion_control: CongestionControl::default(),
            max_channels: 65_535,
            max_media_sections: 256,
            codecs: capabilities::default_codecs(),
            header_extensions: capabilities::default_header_extensions(),
            srtp_profiles: Arc::new(Profile::ALL),
            max_simulcast_layers: 4,
            max_early_datagrams: 16,
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("mtu", &self.mtu)
            .field("ice_lite", &self.ice_lite)
            .finish_non_exhaustive()
    }
}

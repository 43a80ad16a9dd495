//! [`Config`]: what a connection is told, and the limits of what a peer can make it keep.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::crypto::CryptoProvider;

use crate::certificate::{Certificate, Fingerprint};
use crate::key_log::KeyLog;
use crate::wire::connection_id::ConnectionId;
use crate::wire::{CipherSuite, NamedGroup, ProtocolVersion, SrtpProfile};

/// Which side of the handshake a connection plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Sends the first ClientHello (`a=setup:active`).
    Client,
    /// Waits for it (`a=setup:passive`).
    Server,
}

/// The default cryptography of handshakes, made once a process: rustls's `ring` provider with X25519MLKEM768 before its own groups,
/// or, with the feature of that name, its `aws-lc-rs` provider, whose X25519 takes half the time.
#[must_use]
pub fn default_provider() -> Arc<CryptoProvider> {
    #[cfg(not(feature = "aws-lc-rs"))]
    use crate::hybrid::X25519MLKEM768;
    #[cfg(feature = "aws-lc-rs")]
    use rustls::crypto::aws_lc_rs::{self as provider, kx_group::X25519MLKEM768};
    #[cfg(not(feature = "aws-lc-rs"))]
    use rustls::crypto::ring as provider;
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    let make = || {
        let mut provider = provider::default_provider();
        provider.kx_groups.retain(|group| group.name() != X25519MLKEM768.name());
        provider.kx_groups.insert(0, X25519MLKEM768);
        Arc::new(provider)
    };
    PROVIDER.get_or_init(make).clone()
}

/// Whether the master secret is bound to the whole handshake (RFC 7627). Everyone in WebRTC can do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExtendedMasterSecret {
    /// Used if both sides have it.
    Preferred,
    /// Peers without it are refused (RFC 7627 §5.2, §5.3).
    Required,
    /// Neither offered nor accepted, as by a peer from before 2015.
    Off,
}

/// How it is proved that the peer has moved, when its records come by another path (RFC 9853 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RoutabilityCheck {
    /// Not at all: `Event::PathSeen` tells the application, which may prove it in its own way.
    Off,
    /// The peer has to answer by the new path. Whoever can copy its datagrams and deliver them faster can have them come through it.
    Basic,
    /// Before that, the old path must not work any more, or be dropped by the peer: which takes a while if the old path is dead.
    Enhanced,
}

/// What a connection is told. Start from [`Config::new`].
#[derive(Clone, Debug)]
pub struct Config {
    /// This side's certificate.
    pub certificate: Arc<Certificate>,
    /// The cryptography of the handshake. Default: [`default_provider`].
    pub provider: Arc<CryptoProvider>,
    /// Who is told of each connection's secrets, in the format of NSS: whoever has them reads the traffic, as Wireshark with
    /// the lines of rustls's `KeyLogFile`. Default: nobody.
    pub key_log: Option<Arc<dyn KeyLog>>,
    /// The fingerprints signalled for the peer's certificate, of which one must match. While there are none, the
    /// handshake holds before it trusts the peer (see `Connection::set_remote_fingerprints`). Default: none.
    pub remote_fingerprints: Vec<Fingerprint>,

    /// The oldest version to speak: DTLS 1.2 or 1.3. Default: 1.2, which RFC 8827 §6.5 requires.
    pub min_version: ProtocolVersion,
    /// The newest version to speak: DTLS 1.2 or 1.3. The best that both sides have is taken. Default: 1.3.
    pub max_version: ProtocolVersion,
    /// Cipher suites, best first; those the provider lacks are left out. Default: AES-128-GCM (which RFC 8827 §6.5
    /// requires), ChaCha20-Poly1305, AES-256-GCM, for DTLS 1.3 and for 1.2, there each with ECDSA before RSA. A server goes by
    /// its own order.
    pub cipher_suites: Vec<CipherSuite>,
    /// Key exchange groups, best first; those the provider lacks are left out. A client sends a share of the first. Default:
    /// X25519MLKEM768 (DTLS 1.3 only), X25519, P-256, P-384.
    pub groups: Vec<NamedGroup>,
    /// SRTP profiles, best first (RFC 5764); empty to leave `use_srtp` out. A server goes by its own order.
    /// Default: AEAD_AES_128_GCM, AEAD_AES_256_GCM, AES128_CM_HMAC_SHA1_80, AES128_CM_HMAC_SHA1_32.
    pub srtp_profiles: Vec<SrtpProfile>,
    /// Whether to use extended master secret. Default: [`ExtendedMasterSecret::Preferred`].
    pub extended_master_secret: ExtendedMasterSecret,
    /// As a server, make the client repeat a cookie before anything is computed for it (RFC 6347 §4.2.1; in DTLS 1.3 by a
    /// HelloRetryRequest, RFC 9147 §5.1).
    /// Default: false, since ICE has proved the path already, and it costs a round trip.
    pub hello_verify_request: bool,

    /// What the peer is to write into its records so that they are known as this connection's from whichever address they come
    /// (RFC 9146, RFC 9147 §9): empty if it need not, while this side writes what the peer wants. Nothing on the wire says how long one
    /// is: connections that share a socket have them of one length. Default: none, and none accepted; with ICE, paths are ICE's affair.
    pub connection_id: Option<ConnectionId>,
    /// How the peer's new address is proved, with connection IDs, if the peer does so too. Default:
    /// [`RoutabilityCheck::Enhanced`].
    pub routability_check: RoutabilityCheck,
    /// How long a path may take to answer that is checked. Default: 1 s; RFC 9853 §5.5 says three round trips if the time that one
    /// takes is known.
    pub routability_patience: Duration,
    /// How many of the connection IDs that the peer gives in reserve are kept. Default: 8.
    pub max_spare_connection_ids: usize,

    /// The longest datagram that the handshake sends, in bytes; at least [`Config::MIN_MTU`]. Application data is
    /// sized by the layer above, with `Connection::overhead`. Default: 1200, as browsers do.
    pub mtu: usize,
    /// How long to wait before the first retransmission. Default: 100 ms; RFC 6347 §4.2.4.1 says 1 s, and allows
    /// less where, as in WebRTC, the delay is felt (libwebrtc: 50 ms).
    pub initial_timeout: Duration,
    /// The longest wait between retransmissions; each doubles the last. Default: 60 s (RFC 6347 §4.2.4.1).
    pub max_timeout: Duration,
    /// How often a flight is retransmitted before the connection closes with `Timeout`. Default: 12, as in
    /// BoringSSL: nearly four minutes.
    pub max_retransmissions: u32,
    /// How long a handshake goes on after a fatal alert in plaintext. Anyone can forge those, so the alert counts
    /// only if the handshake is not complete by then. Default: 1 s.
    pub alert_patience: Duration,

    /// After how many records under the same keys new ones are made, in DTLS 1.3. Default: 2^23; RFC 8446 §5.5 allows 2^24.5
    /// with AES-GCM.
    pub max_records_per_key: u64,

    /// The longest handshake message accepted, in bytes. Default: 64 KiB.
    pub max_handshake_message: usize,
    /// How many handshake messages ahead of the next one are kept for reassembly. Default: 8; a flight has at most
    /// five.
    pub max_messages_ahead: u16,
    /// How many encrypted records are kept while their keys or the Finished before them are missing. Default: 32.
    pub max_early_records: usize,
    /// How many decrypted records wait for `recv` before newer ones are dropped. Default: 1024.
    pub max_unread_records: usize,
}

impl Config {
    /// The smallest [`mtu`](Self::mtu): a smaller one counts as this.
    pub const MIN_MTU: usize = 128;

    /// The defaults, with a certificate for this side.
    #[must_use]
    pub fn new(certificate: Arc<Certificate>) -> Self {
        Self {
            certificate,
            provider: default_provider(),
            key_log: None,
            remote_fingerprints: Vec::new(),
            min_version: ProtocolVersion::DTLS_1_2,
            max_version: ProtocolVersion::DTLS_1_3,
            cipher_suites: vec![
                CipherSuite::AES_128_GCM_SHA256,
                CipherSuite::CHACHA20_POLY1305_SHA256,
                CipherSuite::AES_256_GCM_SHA384,
                CipherSuite::ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
                CipherSuite::ECDHE_RSA_WITH_AES_128_GCM_SHA256,
                CipherSuite::ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
                CipherSuite::ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
                CipherSuite::ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
                CipherSuite::ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            ],
            groups: vec![
                NamedGroup::X25519MLKEM768,
                NamedGroup::X25519,
                NamedGroup::SECP256R1,
                NamedGroup::SECP384R1,
            ],
            srtp_profiles: vec![
                SrtpProfile::AEAD_AES_128_GCM,
                SrtpProfile::AEAD_AES_256_GCM,
                SrtpProfile::AES128_CM_HMAC_SHA1_80,
                SrtpProfile::AES128_CM_HMAC_SHA1_32,
            ],
            extended_master_secret: ExtendedMasterSecret::Preferred,
            hello_verify_request: false,
            connection_id: None,
            routability_check: RoutabilityCheck::Enhanced,
            routability_patience: Duration::from_secs(1),
            max_spare_connection_ids: 8,
            mtu: 1200,
            initial_timeout: Duration::from_millis(100),
            max_timeout: Duration::from_secs(60),
            max_retransmissions: 12,
            alert_patience: Duration::from_secs(1),
            max_records_per_key: 1 << 23,
            max_handshake_message: 64 * 1024,
            max_messages_ahead: 8,
            max_early_records: 32,
            max_unread_records: 1024,
        }
    }
}

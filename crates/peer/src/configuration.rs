//! How a [`PeerConnection`](crate::PeerConnection) is set up.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use peerline_connection::{
    Capture, CodecSupport, Config, CongestionControl, ExternalAddress, HeaderExtensionSupport, IceServer,
    IceServerError, SrtpProfile, TransportPolicy as IceTransportPolicy,
};
use peerline_dtls::{KeyLog, default_provider};
use rand::TryRng;
use rand::rngs::SysRng;
use rustls::ClientConfig as TlsConfig;

use crate::error::Error;
use crate::ice_servers::Named;
use crate::{Certificate, CryptoProvider, Endpoint, ProtocolVersion, driver};

/// How a [`PeerConnection`](crate::PeerConnection) is set up (`RTCConfiguration`, and what only a native peer can choose).
#[derive(Clone, Debug)]
pub struct Configuration {
    /// STUN and TURN servers that help to find a way through translators and firewalls. None by default.
    pub ice_servers: Vec<IceServer>,
    /// Which candidates are used: [`Relay`](IceTransportPolicy::Relay) hides this host's addresses from the other peer. All by
    /// default.
    pub ice_transport_policy: IceTransportPolicy,
    /// With more than 0, candidates are gathered before the first local description needs them, and told with it: a call then begins
    /// sooner (`iceCandidatePoolSize`). There is one transport, so that more than 1 is not more. Default 0.
    pub ice_candidate_pool_size: u8,
    /// Whom to trust among TURN servers with `turns:`, and how to speak TLS with them. Default `None`: certificates of the public
    /// authorities that browsers trust.
    pub turn_tls: Option<Arc<TlsConfig>>,
    /// The certificate with which this peer authenticates itself. Default `None`: a new one, for this connection alone, which
    /// no one can follow from connection to connection.
    pub certificate: Option<Arc<Certificate>>,
    /// The cryptography of the DTLS handshake: any provider made for rustls. Default `None`: `ring`'s.
    pub crypto_provider: Option<Arc<CryptoProvider>>,
    /// The oldest version of DTLS to speak. Default DTLS 1.2, which every peer in use has.
    pub min_dtls_version: ProtocolVersion,
    /// The newest version of DTLS to speak: the best that both peers have is taken. Default DTLS 1.3.
    pub max_dtls_version: ProtocolVersion,
    /// After how many DTLS records under the same keys new ones are made, in DTLS 1.3. Default 2^23, some ten gigabytes.
    pub max_records_per_key: u64,
    /// Be an ICE-lite agent (RFC 8445 §2.5): for servers with a public address, which only answer checks. Default false.
    pub ice_lite: bool,
    /// How other peers know the addresses of this host, where a translator maps each to another and leaves ports as they are: a
    /// machine in a cloud with a public address (1:1 NAT). Those are offered in place of the local ones, or beside them; no STUN
    /// server is needed then, and ICE-lite works there. Default none.
    ///
    /// ```
    /// use peerline::{Configuration, ExternalAddress};
    ///
    /// let configuration = Configuration {
    ///     external_addresses: vec![ExternalAddress::new("203.0.113.7".parse().unwrap())],
    ///     ..Configuration::default()
    /// };
    /// ```
    pub external_addresses: Vec<ExternalAddress>,
    /// Hide the addresses of this host from the other peer and from who signals, as browsers do: host candidates have names of
    /// random digits (`….local`), which multicast DNS resolves for whoever is in the same network
    /// (draft-ietf-mmusic-mdns-ice-candidates). Others then need a STUN or TURN server. Default false: it keeps pages from
    /// following their visitors, and a program has none; it costs the other peer a look-up, and a direct path where multicast
    /// does not get.
    pub hide_local_addresses: bool,
    /// Offer loopback addresses (127.0.0.1, ::1) too, for peers on the same host. Default false: they are offered only when
    /// the host has no other addresses (RFC 8445 §5.1.1.1 forbids them otherwise).
    pub loopback: bool,
    /// Offer link-local IPv6 addresses too. Default false: they rarely reach anybody whom other addresses do not reach.
    pub link_local: bool,
    /// Which addresses may be used. Default `None`: all.
    pub address_filter: Option<AddressFilter>,
    /// The UDP ports to choose from: all IPv4 addresses of a connection share one, and all IPv6 addresses one. Default `None`:
    /// the system chooses. When all are in use for a family, its addresses are left out. TCP ports to listen at are chosen from
    /// the same; those that connections are made from are the system's choice.
    pub port_range: Option<RangeInclusive<u16>>,
    /// Which candidates over TCP are gathered (RFC 6544), for networks that let no UDP pass. Default [`IceTcp::Active`], as
    /// with browsers. Addresses are those that are used over UDP.
    pub ice_tcp: IceTcp,
    /// Follow the interfaces of this host as they come and go: the addresses of new ones are offered, also when gathering was
    /// complete, and what goes over one that is gone moves to another path. Default true. An
    /// [`endpoint`](Self::endpoint) that is bound to one address keeps that in any case.
    pub continual_gathering: bool,
    /// How many local addresses are used at most. Default 16: each is paired with each of the peer's.
    pub max_local_addresses: usize,
    /// Use this endpoint's sockets, shared with other connections, in place of sockets of its own; `port_range` then
    /// is for the sockets that speak with TURN servers alone. Default `None`.
    pub endpoint: Option<Endpoint>,
    /// Who is told of the connection's secrets, as lines for Wireshark: rustls's `KeyLogFile`, for one. Default `None`: nobody.
    pub key_log: Option<Arc<dyn KeyLog>>,
    /// Where the connection's packets go, unprotected, as a pcapng file for Wireshark. Default `None`: nowhere.
    ///
    /// ```
    /// # use std::{io::Write, sync::Mutex};
    /// # use peerline::{Capture, Configuration};
    /// # fn main() -> std::io::Result<()> {
    /// let file = Mutex::new(std::fs::File::create(std::env::temp_dir().join("call.pcapng"))?);
    /// let configuration = Configuration {
    ///     capture: Some(Capture::new(move |block| {
    ///         let _ = file.lock().expect("nobody panics with it").write_all(block);
    ///     })),
    ///     ..Configuration::default()
    /// };
    /// # Ok(())
    /// # }
    /// ```
    pub capture: Option<Capture>,
    /// Carry DTLS in ICE's checks (SPED), so that both handshakes go at once: a round trip sooner, with peers that do the same.
    /// Default true.
    pub sped: bool,
    /// Send SCTP's INIT with offers and answers, so that data channels open as soon as DTLS is up (SNAP): two round trips sooner,
    /// with peers that do the same. Default true.
    pub snap: bool,
    /// The largest message to accept, in bytes (`a=max-message-size`, RFC 8841 §6). Default 256 KiB, as browsers do.
    pub max_message_size: usize,
    /// The most bytes of messages that the connection holds for sending, all channels together: beyond,
    /// [`DataChannel::try_send`](crate::DataChannel::try_send) refuses. Default 16 MiB, as Chromium.
    pub send_buffer: usize,
    /// The most bytes that the other peer may have us hold unreceived, all channels together; it waits beyond. Default 5 MiB.
    pub receive_window: u32,
    /// The codecs to send and receive, the preferred first. Default [`CodecSupport::defaults`]: those of Chromium that are spoken
    /// here.
    pub codecs: Arc<[CodecSupport]>,
    /// The header extensions of RTP to send and receive. Default [`HeaderExtensionSupport::defaults`].
    pub header_extensions: Arc<[HeaderExtensionSupport]>,
    /// How RTP may be protected, the preferred profile first; at least one. Default `SrtpProfile::ALL`: AES-128-GCM, AES-256-GCM,
    /// and AES-CM with HMAC-SHA1 in its two lengths.
    pub srtp_profiles: Arc<[SrtpProfile]>,
    /// What decides how fast data channels send. Default [`CongestionControl::ModelBased`].
    pub congestion_control: CongestionControl,
    /// [`DataChannel::send`](crate::DataChannel::send) waits while the channel buffers more than this many bytes. Default
    /// 1 MiB.
    pub buffered_amount_high_water_mark: usize,
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            ice_servers: Vec::new(),
            ice_transport_policy: IceTransportPolicy::All,
            ice_candidate_pool_size: 0,
            turn_tls: None,
            certificate: None,
            crypto_provider: None,
            min_dtls_version: ProtocolVersion::DTLS_1_2,
            max_dtls_version: ProtocolVersion::DTLS_1_3,
            max_records_per_key: 1 << 23,
            ice_lite: false,
            external_addresses: Vec::new(),
            hide_local_addresses: false,
            loopback: false,
            link_local: false,
            address_filter: None,
            port_range: None,
            ice_tcp: IceTcp::default(),
            continual_gathering: true,
            max_local_addresses: 16,
            endpoint: None,
            key_log: None,
            capture: None,
            sped: true,
            snap: true,
            max_message_size: 256 * 1024,
            send_buffer: 16 << 20,
            receive_window: 5 << 20,
            codecs: CodecSupport::defaults(),
            header_extensions: HeaderExtensionSupport::defaults(),
            srtp_profiles: Arc::new(SrtpProfile::ALL),
            congestion_control: CongestionControl::default(),
            buffered_amount_high_water_mark: 1 << 20,
        }
    }
}

impl Configuration {
    /// What the machine is told.
    pub(crate) fn connection(&self) -> Result<Config, Error> {
        let provider = self.crypto_provider.clone().unwrap_or_else(default_provider);
        let certificate = match &self.certificate {
            Some(certificate) => Arc::clone(certificate),
            None => Arc::new(driver::new_certificate(&provider)?),
        };
        let mut config = Config::new(certificate);
        SysRng
            .try_fill_bytes(&mut config.rng_seed)
            .map_err(|_| Error::Randomness)?;
        config.provider = provider;
        config.wall_clock = Some(driver::wall_clock());
        config.min_dtls_version = self.min_dtls_version;
        config.max_dtls_version = self.max_dtls_version;
        config.max_records_per_key = self.max_records_per_key;
        config.key_log = self.key_log.clone();
        config.capture = self.capture.clone();
        config.sped = self.sped;
        config.snap = self.snap;
        config.ice_lite = self.ice_lite;
        config.ice_transport_policy = self.ice_transport_policy;
        ExternalAddress::check(&self.external_addresses)?;
        config.hide_addresses = self.hide_local_addresses;
        config.external_addresses = self.external_addresses.as_slice().into();
        config.max_message_size = self.max_message_size;
        config.send_buffer = self.send_buffer;
        config.receive_window = self.receive_window;
        config.codecs = Arc::clone(&self.codecs);
        config.header_extensions = Arc::clone(&self.header_extensions);
        config.srtp_profiles = Arc::clone(&self.srtp_profiles);
        config.congestion_control = self.congestion_control;
        Ok(config)
    }
}

/// Which candidates over TCP a connection gathers (RFC 6544). UDP is preferred wherever it works.
///
/// Connections on an [`Endpoint`] offer what that [listens](Endpoint::listen_tcp) at, and make no connections: a server that did
/// so wherever its clients tell it to could be used to look around behind its firewall.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum IceTcp {
    /// None.
    Off,
    /// Connect to the other peer, if it listens. That reaches servers from networks where UDP is blocked. Candidates for it are
    /// gathered once the peer has named one to connect to.
    #[default]
    Active,
    /// Listen at a port of each address, and connect to nobody: for servers. It is not the default because open ports are what one
    /// asks for, and because between two clients behind translators nobody gets through to them.
    Passive,
    /// Both.
    ActiveAndPassive,
    /// Both, and beside them connect from ports that are listened at, as the peer does at the same time (simultaneous open): so two
    /// behind firewalls meet that let nobody in and no UDP out. On Unix; elsewhere it is [`ActiveAndPassive`](Self::ActiveAndPassive).
    All,
}

impl IceTcp {
    pub(crate) fn connects(self) -> bool {
        matches!(self, Self::Active | Self::ActiveAndPassive | Self::All)
    }

    pub(crate) fn listens(self) -> bool {
        matches!(self, Self::Passive | Self::ActiveAndPassive | Self::All)
    }

    pub(crate) fn opens_simultaneously(self) -> bool {
        self == Self::All && cfg!(unix)
    }
}

/// Decides which local addresses a connection may use.
///
/// ```
/// use peerline::{AddressFilter, Configuration};
///
/// let no_containers = AddressFilter::new(|interface, _| !interface.starts_with("docker"));
/// let one_address = AddressFilter::only(["192.0.2.7".parse().unwrap()]);
/// let configuration = Configuration { address_filter: Some(no_containers), ..Configuration::default() };
/// ```
#[derive(Clone)]
pub struct AddressFilter(Arc<Filter>);

type Filter = dyn Fn(&str, IpAddr) -> bool + Send + Sync;

impl AddressFilter {
    /// Uses the addresses for which `filter` returns true, given the interface's name and the address.
    #[must_use]
    pub fn new(filter: impl Fn(&str, IpAddr) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(filter))
    }

    /// Uses these addresses and no others.
    #[must_use]
    pub fn only(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        let addresses: Vec<IpAddr> = addresses.into_iter().collect();
        Self::new(move |_, address| addresses.contains(&address))
    }

    pub(crate) fn allows(&self, interface: &str, address: IpAddr) -> bool {
        (self.0)(interface, address)
    }
}

impl fmt::Debug for AddressFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AddressFilter").finish_non_exhaustive()
    }
}

/// What the driver needs of a configuration, to bind sockets.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    pub(crate) loopback: bool,
    pub(crate) link_local: bool,
    pub(crate) address_filter: Option<AddressFilter>,
    pub(crate) port_range: Option<RangeInclusive<u16>>,
    pub(crate) ice_tcp: IceTcp,
    pub(crate) continual_gathering: bool,
    pub(crate) max_local_addresses: usize,
    pub(crate) endpoint: Option<Endpoint>,
    /// Those to look for, or to look for again when interfaces have changed.
    pub(crate) ice_servers: Vec<Named>,
    pub(crate) turn_tls: Option<Arc<TlsConfig>>,
    pub(crate) ice_lite: bool,
}

impl Network {
    pub(crate) fn new(configuration: Configuration) -> Result<Self, IceServerError> {
        let Configuration {
            ice_servers,
            turn_tls,
            ice_lite,
            loopback,
            link_local,
            address_filter,
            port_range,
            ice_tcp,
            continual_gathering,
            max_local_addresses,
            endpoint,
            ..
        } = configuration;
        Ok(Self {
            ice_servers: Named::all(&ice_servers)?,
            ice_lite,
            turn_tls,
            loopback,
            link_local,
            address_filter,
            port_range,
            ice_tcp,
            continual_gathering,
            max_local_addresses,
            endpoint,
        })
    }

    /// Whether there are TURN servers to be spoken with over UDP.
    pub(crate) fn asks_relays_by_udp(&self) -> bool {
        !self.ice_lite && self.ice_servers.iter().any(Named::is_relay_by_udp)
    }
}

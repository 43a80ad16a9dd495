//! One whole WebRTC peer without I/O: [`Connection`] is `RTCPeerConnection` as a machine that is fed datagrams and the time,
//! and tells what to send, when to wake it, and what has happened.
//!
//! The map: `connection` is the public type and the path of a packet, with the news between layers and the states of all; `demux`
//! tells protocols apart; `jsep` is offers and answers; `embedded` carries DTLS in ICE's checks; `transceiver` what they are about in
//! audio and video, and `media` its packets; `channels` the data channels; `upper` is whether anything but ICE has to be asked;
//! `gathering` our candidates;
//! `stats` the report; `state`, `description`, `event`, `config` and `error` are the vocabulary. `router` serves a shared
//! socket: it tells which of many connections a datagram is for. A driver (the package `peerline` is one, on tokio) owns the
//! sockets and the clock.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::{Instant, SystemTime};
//! use peerline_connection::{Certificate, Config, Connection, DataChannelInit, OfferOptions, default_provider};
//!
//! # fn now() -> Instant { Instant::now() }
//! let certificate = Arc::new(Certificate::generate(&default_provider(), SystemTime::now())?);
//! let config = |seed| Config { rng_seed: [seed; 32], ..Config::new(certificate.clone()) };
//! let (mut alice, mut bob) = (Connection::new(now(), config(1)), Connection::new(now(), config(2)));
//!
//! alice.create_data_channel(now(), "chat", DataChannelInit::default())?;
//! let offer = alice.create_offer(OfferOptions::default())?;
//! alice.set_local_description(now(), offer.clone())?;
//! bob.set_remote_description(now(), offer)?;
//! let answer = bob.create_answer()?;
//! bob.set_local_description(now(), answer.clone())?;
//! alice.set_remote_description(now(), answer)?;
//! // Now carry candidates (`poll_event`) and datagrams (`poll_transmit`, `handle_datagram`) between the two.
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod candidate;
mod capture;
mod channels;
mod config;
mod connection;
mod demux;
mod description;
mod embedded;
mod error;
mod event;
#[doc(hidden)]
pub mod fuzzing;
mod gathering;
mod ice_server;
mod jsep;
mod media;
mod router;
mod state;
mod stats;
mod transceiver;
mod transports;
mod upper;

pub use capture::Capture;
pub use channels::{ChannelId, DataChannel, DataChannelInit, Message};
pub use config::Config;
pub use connection::Connection;
pub use description::{IceCandidate, SdpType, SessionDescription};
pub use error::{ChannelFault, Error, MediaFault, SdpFault};
pub use event::Event;
pub use ice_server::{IceServer, IceServerError, IceServerFault, IceServerUrl, ServerTransport};
pub use jsep::OfferOptions;
pub use media::capabilities::{CodecSupport, HeaderExtensionSupport};
pub use media::dtmf::{DtmfError, DtmfTone};
pub use media::extensions::{ExtensionKind, Extensions};
pub use media::packet::{IncomingFrame, IncomingPacket, OutgoingFrame, OutgoingPacket, ReceiveMode, SendMediaError};
pub use media::parameters::{
    MediaKind, RtcpFeedback, RtcpParameters, RtpCapabilities, RtpCodec, RtpCodecParameters, RtpEncodingParameters,
    RtpHeaderExtensionParameters, RtpReceiveParameters, RtpSendParameters,
};
pub use media::sources::RtpSource;
pub use router::{RouteId, Router, RouterDrops, may_teach};
pub use state::{
    ConnectionState, DataChannelState, DtlsTransportState, IceConnectionState, IceGatheringState, IceRole,
    SctpTransportState, SignalingState, TransceiverDirection,
};
pub use stats::{
    CandidatePairStats, CandidateStats, CertificateStats, CodecStats, DataChannelStats, FeedbackStats, InboundRtpStats,
    MediaSourceStats, OutboundRtpStats, PeerConnectionStats, RemoteInboundRtpStats, RemoteOutboundRtpStats, Stats,
    StatsKind, StatsReport, TransportStats,
};
pub use transceiver::{Track, TrackOrKind, Transceiver, TransceiverId, TransceiverInit};
pub use transports::{IceCandidatePair, IceParameters};

pub use peerline_dtls::{
    Certificate, CloseReason as DtlsCloseReason, CryptoProvider, KeyLog, NamedGroup, default_provider,
};
pub use peerline_ice::{
    Binding, Bindings, CandidateError, ExternalAddress, ExternalAddressError, Server as ResolvedServer, TcpType,
    Timings as IceTimings, TransportPolicy, TurnCredentials, framing,
};
pub use peerline_sctp::CongestionControl;
pub use peerline_srtp::Profile as SrtpProfile;

/// The README's example, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

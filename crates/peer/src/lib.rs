//! WebRTC in Rust: peer connections, audio, video and data channels on tokio, over protocols written from scratch.
//!
//! The names are the W3C's without `RTC`: who knows `RTCPeerConnection` knows [`PeerConnection`]. Signalling, the
//! exchange of [`SessionDescription`]s and [`IceCandidate`]s, is yours; here two peers in one process do it by calls:
//!
//! ```
//! use peerline::{Configuration, DataChannelInit, Message, PeerConnection, PeerEvent};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), peerline::Error> {
//! let alice = PeerConnection::new(Configuration::default()).await?;
//! let bob = PeerConnection::new(Configuration::default()).await?;
//! let chat = alice.create_data_channel("chat", DataChannelInit::default())?;
//!
//! alice.set_local_description(alice.create_offer()?)?;
//! alice.gathering_complete().await; // or send each PeerEvent::IceCandidate as it comes
//! bob.set_remote_description(alice.local_description().expect("it was set"))?;
//! bob.set_local_description(bob.create_answer()?)?;
//! bob.gathering_complete().await;
//! alice.set_remote_description(bob.local_description().expect("it was set"))?;
//!
//! chat.opened().await?;
//! chat.send("hello").await?;
//! while let Some(event) = bob.next_event().await {
//!     let PeerEvent::DataChannel(channel) = event else { continue };
//!     assert_eq!(channel.recv().await, Some(Message::from("hello")));
//!     break;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Audio and video are encoded frames, or RTP packets: a [`TrackSource`] feeds the [`RtpSender`]s of its track, on any number of
//! connections, and an [`RtpReceiver`] gives what arrives. [`PeerConnection::add_track`] and [`PeerEvent::Track`] are where to
//! begin.
//!
//! Each connection is one tokio task, which owns its sockets and timers; [`PeerConnection`], [`DataChannel`], [`RtpTransceiver`]
//! and the like are handles.
//! Many connections can share one UDP port, and one of TCP, an [`Endpoint`].
//! Not receiving messages is back-pressure, down to the other peer's `send`; of media the oldest is dropped. Dropping the last handle closes the connection and
//! frees everything it held.
//!
//! The machine without I/O is [`peerline_connection`], for other runtimes, simulations and tests.

#![forbid(unsafe_code)]

mod alarms;
mod bindings;
mod configuration;
mod data_channel;
mod driver;
mod endpoint;
mod error;
mod ice_servers;
mod ice_tcp;
mod inlet;
mod interfaces;
mod link;
mod mdns;
mod media;
mod peer_connection;
mod shared;
mod sockets;
mod transports;
mod watch;

pub use configuration::{AddressFilter, Configuration, IceTcp};
pub use data_channel::DataChannel;
pub use endpoint::{Endpoint, EndpointStats};
pub use error::Error;
pub use media::clock::{MediaClock, rtp_timestamp};
pub use media::dtmf::DtmfSender;
pub use media::methods::TrackOrKind;
pub use media::receiver::{RemoteTrack, RtpReceiver};
pub use media::sender::{RtpSender, SenderEvent};
pub use media::source::{LocalTrack, MediaFrame, SourceEvent, TrackSource};
pub use media::track::Demand;
pub use media::transceiver::RtpTransceiver;
pub use peer_connection::{PeerConnection, PeerEvent, TrackEvent};
pub use transports::{DtlsTransport, IceTransport, SctpTransport};

pub use bytes::Bytes;
pub use peerline_connection::{CandidateError as IceCandidateError, Capture, TransportPolicy as IceTransportPolicy};
pub use peerline_connection::{
    CandidatePairStats, CandidateStats, CertificateStats, ChannelFault, CodecStats, CodecSupport, CongestionControl,
    ConnectionState, DataChannelInit, DataChannelState, DataChannelStats, DtlsCloseReason, DtlsTransportState,
    DtmfError, DtmfTone, Error as Refusal, ExtensionKind, Extensions, ExternalAddress, ExternalAddressError,
    FeedbackStats, HeaderExtensionSupport, IceCandidate, IceCandidatePair, IceConnectionState, IceGatheringState,
    IceParameters, IceRole, IceServer, IceServerError, IceServerFault, IceServerUrl, InboundRtpStats, IncomingFrame,
    IncomingPacket, MediaFault, MediaKind, MediaSourceStats, Message, OfferOptions, OutboundRtpStats, OutgoingFrame,
    OutgoingPacket, PeerConnectionStats, ReceiveMode, RemoteInboundRtpStats, RemoteOutboundRtpStats, RtcpFeedback,
    RtcpParameters, RtpCapabilities, RtpCodec, RtpCodecParameters, RtpEncodingParameters, RtpHeaderExtensionParameters,
    RtpReceiveParameters, RtpSendParameters, RtpSource, SctpTransportState, SdpFault, SdpType, SendMediaError,
    ServerTransport, SessionDescription, SignalingState, SrtpProfile, Stats, StatsKind, StatsReport,
    TransceiverDirection, TransceiverId, TransceiverInit, TransportStats,
};
pub use peerline_dtls::{
    Certificate, CertificateError, CryptoProvider, KeyLog, NamedGroup, ProtocolVersion, default_provider,
};
pub use rustls::ClientConfig as TlsConfig;

/// The README's example, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// The examples of the project's README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct ProjectReadme;

//! DTLS 1.3 (RFC 9147) and 1.2 (RFC 6347) for WebRTC: a sans-IO client and server with mutual authentication by fingerprint.
//!
//! A [`Connection`] is told the time and the datagrams that arrive, and says what to send and what has happened. It
//! knows no socket and no clock, and trusts a peer by the fingerprint of its certificate alone (RFC 8827 §6.5).
//!
//! ```
//! use peerline_dtls::{Certificate, Config, Connection, Event, HashAlgorithm, Role};
//! use std::{sync::Arc, time::{Instant, SystemTime}};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # #[allow(clippy::disallowed_methods)]
//! let (now, today) = (Instant::now(), SystemTime::now());
//! let provider = rustls::crypto::ring::default_provider();
//! let alice = Arc::new(Certificate::generate(&provider, today)?);
//! let bob = Arc::new(Certificate::generate(&provider, today)?);
//! let trusting = |own: &Arc<Certificate>, peer: &Certificate| Config {
//!     remote_fingerprints: vec![peer.fingerprint(HashAlgorithm::Sha256)], // from the peer's SDP
//!     ..Config::new(own.clone())
//! };
//! let mut client = Connection::new(trusting(&alice, &bob), Role::Client);
//! let mut server = Connection::new(trusting(&bob, &alice), Role::Server);
//! let exchange = |from: &mut Connection, to: &mut Connection| {
//!     let mut datagram = Vec::new();
//!     while from.poll_transmit(now, &mut datagram).is_some() {
//!         to.handle_datagram(now, datagram.split_off(0).as_slice().into());
//!     }
//! };
//! while !(client.is_connected() && server.is_connected()) {
//!     exchange(&mut client, &mut server);
//!     exchange(&mut server, &mut client);
//! }
//! let mut datagram = Vec::new();
//! client.enclose(&mut datagram, |out| { out.extend_from_slice(b"hello"); Some(5) });
//! server.handle_datagram(now, datagram.as_slice().into());
//! assert_eq!(server.recv().as_deref(), Some(&b"hello"[..]));
//! assert_eq!(server.poll_event(), Some(Event::Connected));
//! assert_eq!(server.poll_event(), Some(Event::Readable));
//! # Ok(())
//! # }
//! ```
//!
//! # The map
//!
//! [`Connection`] gives records to the record layer and handshake fragments to the reassembly, lets the handshake of
//! its role go on with each message that is complete (`hello` up to the ServerHello, which settles the version, then `dtls12`
//! or `dtls13`), and sends what that leaves as a flight. [`wire`] holds the bytes of all of it. The cryptography of the
//! handshake is that of any rustls `CryptoProvider`; records are protected by `ring`. With the feature `aws-lc-rs` that crate
//! protects records, and is the default for handshakes.
//!
//! `key_log` tells Wireshark the secrets. `connection_ids` and `paths` follow a peer that moves, if [`Config::connection_id`] is set:
//! see [`Connection::handle_datagram_from`].
//!
//! Renegotiation, session resumption, early data and certificate chains are left out: WebRTC has no use for them.

mod acknowledgement;
mod certificate;
mod cipher;
mod config;
mod connection;
mod connection_ids;
mod context;
mod dtls12;
mod dtls13;
mod error;
mod event;
mod flight;
#[doc(hidden)]
pub mod fuzzing;
mod handshake;
mod hello;
#[cfg(not(feature = "aws-lc-rs"))]
mod hybrid;
mod key_log;
mod paths;
mod ranges;
mod reassembly;
mod record_layer;
#[cfg(test)]
mod recorded;
mod self_signed;
mod spki;
mod stats;
pub mod wire;

pub use certificate::{Certificate, Fingerprint, FingerprintError, HashAlgorithm};
pub use config::{Config, ExtendedMasterSecret, Role, RoutabilityCheck, default_provider};
pub use connection::Connection;
pub use error::{CertificateError, ConnectionIdError, ExportError, Fault};
pub use event::{CloseReason, Event};
pub use key_log::KeyLog;
pub use paths::PathId;
pub use rustls::crypto::CryptoProvider;
pub use stats::Stats;
pub use wire::alert::AlertDescription;
pub use wire::connection_id::{ConnectionId, ConnectionIdUsage};
pub use wire::{CipherSuite, NamedGroup, ProtocolVersion, SrtpProfile};

/// The README's example, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

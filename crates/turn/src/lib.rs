//! TURN (RFC 8656, with TCP to peers by RFC 6062): a client and a server without I/O.
//!
//! ```
//! use std::time::{Instant, SystemTime};
//! use bytes::BytesMut;
//! use peerline_turn::{Client, Credentials, Server, client, server};
//! use peerline_wire::{Datagram, FiveTuple};
//!
//! # #[allow(clippy::disallowed_methods)]
//! # fn now() -> Instant { Instant::now() }
//! let (alice, now) = (Credentials::new("alice", "wonderland"), now());
//! let config = server::Config::new("example.org", (now, SystemTime::UNIX_EPOCH));
//! let mut server = Server::new(config, server::StaticUsers::new([alice.clone()]));
//!
//! let path = FiveTuple::udp("198.51.100.7:5000".parse()?, "192.0.2.1:3478".parse()?);
//! let mut client = Client::new(client::Config::new(path, alice));
//! client.create_permission(now, "9.9.9.9".parse()?)?;
//!
//! let datagram = |five_tuple: FiveTuple, bytes: &[u8]| Datagram {
//!     five_tuple: five_tuple.reversed(),
//!     ecn: None,
//!     payload: BytesMut::from(bytes),
//! };
//! let mut out = Vec::new();
//! while !client.is_permitted("9.9.9.9".parse()?) {
//!     while let Some(sent) = client.poll_transmit(now, &mut out) {
//!         server.handle_datagram(now, datagram(sent.five_tuple, &out));
//!         out.clear();
//!     }
//!     while let Some(event) = server.poll_event() {
//!         if let server::Event::OpenRelay(open) = event {
//!             server.relay_opened(now, open.relay, "203.0.113.5:50000".parse()?); // a socket is bound there
//!         }
//!     }
//!     while let Some(sent) = server.poll_transmit(now, &mut out) {
//!         client.handle_datagram(now, datagram(sent.five_tuple, &out));
//!         out.clear();
//!     }
//! }
//! // What is sent to a peer leaves the server from the relayed address.
//! let sent = client.enclose(&mut out, "9.9.9.9:7".parse()?, |out| { out.extend(b"hello"); Some(5) }).unwrap();
//! server.handle_datagram(now, datagram(sent.five_tuple, &out));
//! out.clear();
//! let relayed = server.poll_relayed(now, &mut out).unwrap();
//! assert_eq!((relayed.peer, &out[..]), ("9.9.9.9:7".parse()?, &b"hello"[..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How a driver uses the client
//!
//! - What comes from the server goes to [`Client::handle_datagram`], which returns the peer's datagram if there was one in it:
//!   as if it had come to the relayed address, its payload not copied.
//! - What goes to a peer is written by [`Client::enclose`] behind a header of four bytes, in place. It needs a permission:
//!   [`Client::create_permission`] for each address that a peer may have. Channels are bound when it pays.
//! - TCP and TLS: `Transport::Tcp` in the five-tuple, and [`framing::split`] cuts what was read into messages. What is to be
//!   sent is written as it is.
//! - When it ends, [`client::CloseReason::retry`] says what RFC 8656 recommends to do.
//!
//! Servers are found by configuration, or by RFC 8155 (DNS-SD, the name of the access network, anycast), which is the driver's
//! to look up. An anycast address needs nothing here: the server that answers names its own address in
//! [`client::CloseReason::TryAlternate`].
//!
//! # How a driver uses the server
//!
//! - What clients send goes to [`Server::handle_datagram`] (from streams, message by message), what peers send to
//!   [`Server::handle_relayed`]; then [`Server::poll_transmit`] and [`Server::poll_relayed`] until `None`.
//! - [`server::Event`]s: [`OpenRelay`](server::Event::OpenRelay) is answered by [`Server::relay_opened`] or
//!   [`Server::relay_failed`]; [`CloseRelay`](server::Event::CloseRelay) closes the socket. A map from
//!   [`server::RelayId`] to the socket is all the state it needs.
//! - [`Server::client_closed`] when a client's TCP connection ends.
//! - [`server::Users`] knows who may allocate; [`PeerFilter`] what may be reached: by default, nothing that is not public.
//!
//! # Abuse
//!
//! Whoever does not prove an address is not answered with more than was asked: over UDP a challenge (some 130 bytes for a bare
//! request of 28) goes beyond, so [`server::Strangers`] bounds for each address how much may; the responses have no SOFTWARE,
//! and no phrase that does not fit. An authentic request proves the address. Nonces and challenges are kept nowhere. Everything
//! that a client makes grow has a limit in [`server::Limits`].
//!
//! | file | idea |
//! |---|---|
//! | [`Client`] | one allocation: the verbs and commands |
//! | `client/auth` | the long-term credential mechanism, and how credentials change |
//! | `client/transaction`, `client/request`, `client/response` | what is asked, when again, and what the answer changes |
//! | `client/permission`, `client/channel` | who may be heard, and at what cost |
//! | `client/data` | datagrams of peers, in and out |
//! | [`Server`] | the verbs, and which request goes where |
//! | `server/auth`, `server/nonce`, `server/users` | who asks; answers to those who do not say |
//! | `server/allocate`, `server/permission`, `server/binding`, `server/connect` | the requests |
//! | `server/allocation`, `server/slab` | what is known of an allocation, found in constant time |
//! | `server/relay`, `server/outbox` | datagrams from client to peer and back |
//! | `server/bucket` | bandwidth |
//! | [`PeerFilter`] | which addresses are relayed to |
//! | [`framing`] | messages on a stream |
//! | [`Credentials`] | names and passwords, also of limited time |

pub mod client;
mod credentials;
mod error;
mod filter;
pub mod framing;
#[doc(hidden)]
pub mod fuzzing;
pub mod server;

pub use client::Client;
pub use credentials::Credentials;
pub use error::CommandError;
pub use filter::{Cidr, CidrError, PeerFilter, Refusal};
pub use server::Server;

/// Where in `whole` its slice `part` begins.
fn offset_in(whole: &[u8], part: &[u8]) -> Option<usize> {
    let start = part.as_ptr().addr().checked_sub(whole.as_ptr().addr())?;
    (start + part.len() <= whole.len()).then_some(start)
}

/// The README's example, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

//! TURN (RFC 8656, with TCP to peers by RFC 6062): a client without I/O.
//!
//! ```
//! use std::time::Instant;
//! use peerline_stun::{Message, Method};
//! use peerline_turn::{Client, Credentials, client::Config};
//! use peerline_wire::FiveTuple;
//!
//! # #[allow(clippy::disallowed_methods)]
//! # fn now() -> Instant { Instant::now() }
//! let server = FiveTuple::udp("198.51.100.7:5000".parse()?, "192.0.2.1:3478".parse()?);
//! let mut client = Client::new(Config::new(server, Credentials::new("alice", "wonderland")));
//! client.create_permission(now(), "203.0.113.9".parse()?)?; // asked for as soon as there is an allocation
//!
//! let mut out = Vec::new();
//! let transmit = client.poll_transmit(now(), &mut out).expect("it begins at once");
//! assert_eq!(transmit.five_tuple, server);
//! assert_eq!(Message::parse(&out)?.method(), Method::ALLOCATE);
//! assert!(client.poll_timeout().is_some()); // to send it again
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How a driver uses it
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
//! | file | idea |
//! |---|---|
//! | [`Client`] | one allocation: the verbs and commands |
//! | `client/auth` | the long-term credential mechanism, and how credentials change |
//! | `client/transaction`, `client/request`, `client/response` | what is asked, when again, and what the answer changes |
//! | `client/permission`, `client/channel` | who may be heard, and at what cost |
//! | `client/data` | datagrams of peers, in and out |
//! | [`framing`] | messages on a stream |
//! | [`Credentials`] | names and passwords, also of limited time |

pub mod client;
mod credentials;
mod error;
pub mod framing;

pub use client::Client;
pub use credentials::Credentials;
pub use error::CommandError;

/// Where in `whole` its slice `part` begins.
fn offset_in(whole: &[u8], part: &[u8]) -> Option<usize> {
    let start = part.as_ptr().addr().checked_sub(whole.as_ptr().addr())?;
    (start + part.len() <= whole.len()).then_some(start)
}

/// The README's example, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

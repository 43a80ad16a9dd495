//! SCTP as WebRTC uses it: [`Association`] is RFC 9260 over DTLS (RFC 8261), [`datachannel`] puts data channels on top of
//! it (RFC 8831, RFC 8832). Both are sans-IO machines: no socket, no clock, no thread; packets, time and randomness are
//! handed in, and a run can be repeated to the byte.
//!
//! What there is: messages in order or not; partial reliability by retransmissions or lifetime (RFC 3758); resetting
//! streams in both directions (RFC 6525); packets without checksums where both sides agree (RFC 9653); flow control that
//! counts what is really allocated; streams that share by priority, in the middle of messages where both sides agree
//! (RFC 8260), so that a small message does not wait for a large one on another stream; path MTU discovery (RFC 8899).
//!
//! ```
//! use std::time::Instant;
//! use bytes::BytesMut;
//! use peerline_sctp::{Association, Config, Event, Message, Ppid, SendOptions, StreamId};
//!
//! # #[allow(clippy::disallowed_methods)]
//! let now = Instant::now(); // Time is always passed in: this is the only clock.
//! let mut a = Association::new(Config { rng_seed: [1; 32], ..Config::default() });
//! let mut b = Association::new(Config { rng_seed: [2; 32], ..Config::default() });
//! a.connect(now);
//! a.send(now, StreamId(0), Message::new(Ppid::STRING, "hello"), SendOptions::default()).unwrap();
//!
//! // In place of DTLS and a network: what one wants to send, the other receives.
//! let mut packet = Vec::new();
//! for _ in 0..4 {
//!     while a.poll_transmit(now, &mut packet).is_some() {
//!         b.handle_datagram(now, BytesMut::from(&std::mem::take(&mut packet)[..]));
//!     }
//!     while b.poll_transmit(now, &mut packet).is_some() {
//!         a.handle_datagram(now, BytesMut::from(&std::mem::take(&mut packet)[..]));
//!     }
//! }
//! assert_eq!(b.poll_event(), Some(Event::Connected));
//! assert_eq!(b.poll_event(), Some(Event::Readable(StreamId(0))));
//! assert_eq!(b.recv(StreamId(0)).unwrap().payload, "hello");
//! ```
//!
//! # The map
//!
//! | where | what |
//! |---|---|
//! | `association` | the public type, the states, the timers |
//! | `handshake`, `cookie`, `tcb` | from INIT to ESTABLISHED, and what is known then |
//! | `signalled` | the same without a packet, when the INITs go with the session descriptions |
//! | `receive`, `rx` | packets in: which TSNs have come, fragments to messages, messages in order |
//! | `transmit`, `tx` | packets out: queues, scheduling, what is in flight, finding losses (RFC 8985), the RTO |
//! | `tx::congestion` | NewReno, CUBIC (RFC 9438) and a model of the path, behind one trait; recovery, pacing, the delivery rate |
//! | `reconfig`, `heartbeat`, `pmtu`, `shutdown` | resetting streams, keeping watch, larger packets, the end |
//! | [`wire`] | the bytes, without any state |
//! | [`datachannel`] | data channels |

mod association;
mod config;
mod cookie;
pub mod datachannel;
mod error;
mod event;
mod few;
#[doc(hidden)]
pub mod fuzzing;
mod handshake;
mod heartbeat;
mod message;
mod pmtu;
mod receive;
mod reconfig;
mod rx;
mod shutdown;
mod signalled;
mod stats;
mod tcb;
mod transmit;
mod tx;
pub mod wire;

pub use association::Association;
pub use config::{Config, CongestionControl};
pub use error::{ResetError, SendError};
pub use event::{CloseReason, Event, ResetResult};
pub use message::{Message, Ppid, Reliability, SendOptions, StreamId};
pub use signalled::SignalledInit;
pub use stats::Stats;

/// The README's example, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

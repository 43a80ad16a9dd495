//! Data channels (RFC 8831, RFC 8832) with the semantics of W3C's `RTCDataChannel`, on top of the public API of
//! [`Association`](crate::Association).
//!
//! [`Channels`] owns the association and has the same five verbs. A [`Channel`] is a pair of streams with the same
//! number, one each way; [`ChannelId`] names it from its creation on, also before that number is known.
//!
//! ```text
//!    open(..) ──► Connecting ──► Open ──► Closing ──► Closed ──► remove(..)
//!                     │           ▲                     ▲
//!                     └─ close ───│─────────────────────┘
//!    the peer's OPEN ─────────────┘
//! ```
//!
//! - *Connecting* until the association is up and the stream number known, which takes the DTLS role
//!   ([`Channels::set_role`]). Then the OPEN is queued and the channel is open: RFC 8832 §6 allows data right behind it.
//! - *Open* at once for a channel that the peer opens ([`Event::Incoming`]).
//! - *Closing* while the two directions are reset, each after what was queued on it (RFC 8831 §6.7).
//! - *Closed* once both are. Only then may the stream number serve another channel.
//!
//! ```
//! # use std::time::Instant;
//! # use bytes::BytesMut;
//! use peerline_sctp::datachannel::{ChannelInit, Channels, Config, Event, Role};
//!
//! # fn exchange(now: Instant, a: &mut Channels, b: &mut Channels) {
//! #     let mut packet = Vec::new();
//! #     for _ in 0..8 {
//! #         while a.poll_transmit(now, &mut packet).is_some() {
//! #             b.handle_datagram(now, BytesMut::from(&std::mem::take(&mut packet)[..]));
//! #         }
//! #         while b.poll_transmit(now, &mut packet).is_some() {
//! #             a.handle_datagram(now, BytesMut::from(&std::mem::take(&mut packet)[..]));
//! #         }
//! #     }
//! # }
//! # #[allow(clippy::disallowed_methods)]
//! # let now = Instant::now();
//! let (mut a, mut b) = (Channels::new(Config::default()), Channels::new(Config::default()));
//! a.set_role(now, Role::Client); // the roles in DTLS
//! b.set_role(now, Role::Server);
//! let chat = a.open(now, ChannelInit::new("chat"))?;
//! a.connect(now);
//! exchange(now, &mut a, &mut b); // carries packets, in place of DTLS and a network
//! a.send(now, chat, "hello")?;
//! exchange(now, &mut a, &mut b);
//!
//! assert_eq!(b.poll_event(), Some(Event::AssociationConnected));
//! let Some(Event::Incoming(theirs)) = b.poll_event() else { panic!("the channel has arrived") };
//! assert_eq!(b.channel(theirs).map(|channel| channel.label()), Some("chat"));
//! assert_eq!(b.poll_event(), Some(Event::Readable(theirs)));
//! assert_eq!(b.recv(theirs), Some("hello".into()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod channel;
mod channels;
mod closing;
pub mod dcep;
mod error;
mod event;
mod opening;
mod reading;
mod streams;

pub use channel::{Channel, ChannelId, ChannelInit, ChannelStats, Message, State};
pub use channels::{Channels, Config, Stats};
pub use error::{OpenError, SendError};
pub use event::{ChannelError, Event};
pub use streams::Role;

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

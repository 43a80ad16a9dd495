//! UDP sockets in batches over [`quinn_udp`] on tokio: a [`Socket`], an [`Inbox`] that receives many datagrams with one
//! system call, and an [`Outbox`] that sends runs of equal size with one system call, and so what goes to many places.
//!
//! No protocol is in here. What comes in is a [`Datagram`](peerline_wire::Datagram), what goes out is what a machine's
//! `poll_transmit` appended: datagrams laid end to end *are* a batch.
//!
//! ```
//! use peerline_udp::{Inbox, Outbox, Socket};
//! use peerline_wire::{FiveTuple, Transmit};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let (alice, bob) = (Socket::bind("127.0.0.1:0".parse().unwrap())?, Socket::bind("127.0.0.1:0".parse().unwrap())?);
//! let path = FiveTuple::udp(alice.local_addr(), bob.local_addr());
//!
//! let mut outbox = Outbox::new();
//! for text in ["one", "two", "three"] {
//!     outbox.push(|out| {
//!         out.extend_from_slice(text.as_bytes());
//!         Some(Transmit { five_tuple: path, ecn: None, len: text.len() })
//!     });
//! }
//! outbox.flush(|_| Some(&alice)); // two system calls: a run of two, and the longer one
//!
//! let (mut inbox, mut got) = (Inbox::new(), Vec::new());
//! while got.len() < 3 {
//!     bob.readable().await?;
//!     if let Ok(batch) = inbox.recv(&bob) {
//!         got.extend(batch.map(|datagram| datagram.payload));
//!     }
//! }
//! assert_eq!(got, ["one", "two", "three"]);
//! # Ok(())
//! # }
//! ```

#[cfg(target_os = "linux")]
mod fan_out;
mod inbox;
mod offload;
mod outbox;
mod registration;
mod socket;

pub use inbox::{Batch, Inbox};
pub use outbox::{Counters, Outbox};
pub use socket::Socket;

/// The README's example, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

//! Networks in virtual time, and the laws that every protocol machine obeys. For tests only; never published.
//!
//! A *machine* has five verbs and does no I/O: [`Machine`] names them. [`one_path!`] wraps a machine that knows one
//! path only (DTLS, SCTP), [`many_paths!`] one that knows addresses (ICE, a connection). Then
//!
//! - [`Pair`] connects two machines with two [`Link`]s and lets virtual time run,
//! - [`Network`] does the same for any number of hosts with addresses, also behind [`Gateway`]s (translators, firewalls),
//! - [`Tcp`] gives a host of it connections that lose nothing,
//! - [`laws::Laws`] checks a machine against the laws under random calls and hostile input,
//! - [`replay`] runs the body of a fuzz target over its corpus,
//! - [`every_loss`] lists each choice of lost datagrams, [`for_each_seed`] repeats a test and names the seed that failed,
//! - [`resident_memory`] tells what the process has taken, for who may make nothing grow.
//!
//! `lab` is the exception: networks of Linux, for what only real sockets show. Else nothing sleeps and nothing is random but the seed: a run of an hour takes milliseconds and happens the same way again.
//!
//! ```
//! use std::time::{Duration, Instant};
//! use bytes::BytesMut;
//! use peerline_sim::{Link, Pair, laws::Laws, one_path};
//!
//! /// Greets every second until it is greeted back.
//! #[derive(Default)]
//! struct Greeter { newest: Option<Instant>, due: Option<Instant>, met: bool, news: bool }
//!
//! impl Greeter {
//!     fn clock(&mut self, now: Instant) -> Instant {
//!         *self.newest.insert(self.newest.map_or(now, |newest| newest.max(now)))
//!     }
//!     pub fn handle_datagram(&mut self, now: Instant, datagram: BytesMut) {
//!         self.clock(now);
//!         let greeted = &datagram[..] == b"hello";
//!         self.news |= greeted && !self.met;
//!         self.met |= greeted;
//!     }
//!     pub fn handle_timeout(&mut self, now: Instant) { self.clock(now); }
//!     pub fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<usize> {
//!         let now = self.clock(now);
//!         if self.due.is_some_and(|due| now < due) { return None; }
//!         self.due = Some(now + Duration::from_secs(1));
//!         out.extend_from_slice(b"hello");
//!         Some(5)
//!     }
//!     pub fn poll_timeout(&self) -> Option<Instant> { self.due }
//!     pub fn poll_event(&mut self) -> Option<&'static str> { std::mem::take(&mut self.news).then_some("met") }
//! }
//!
//! // In a crate's tests: a newtype that forwards the verbs and derefs to the machine.
//! one_path! { struct Peer(Greeter) -> &'static str; }
//!
//! let link = Link { delay: Duration::from_millis(20), loss: 0.5, ..Link::default() };
//! let mut pair = Pair::new(7, Peer(Greeter::default()), Peer(Greeter::default())).links(&link);
//! pair.expect("both to meet", Duration::from_secs(60), |pair| pair.a.met && pair.b.met);
//! assert_eq!(pair.take_events_a(), ["met"]);
//!
//! Laws::new(|_now, _seed| (Peer(Greeter::default()), Peer(Greeter::default())))
//!     .established(|peer| peer.met)
//!     .check();
//! ```

mod corpus;
mod gateway;
mod link;
mod machine;
mod memory;
mod network;
mod pair;
mod tcp;
mod time;

#[cfg(target_os = "linux")]
pub mod lab;
pub mod laws;

pub use corpus::{replay, replay_folder};
pub use gateway::{Dependence, Gateway};
pub use link::{Link, LinkStats, Wire};
pub use machine::{Machine, only_path};
pub use memory::resident_memory;
pub use network::{GatewayId, HostId, Network};
pub use pair::{Direction, Pair, Tapped};
pub use tcp::{Tcp, TcpEvent};
pub use time::{epoch, every_loss, for_each_seed, rng, seed_bytes};

#[doc(hidden)]
pub mod reexports {
    pub use bytes;
    pub use peerline_wire;
}

/// The README's example, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

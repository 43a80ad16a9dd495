//! What every protocol crate needs to speak to the network, and no protocol at all: [`Reader`] and [`Writer`] for
//! bytes, [`Serial32`] and [`Serial16`] for numbers that wrap (RFC 1982), a [`ReplayWindow`], and the shapes in which
//! datagrams enter and leave a machine ([`Datagram`], [`Transmit`]).
//!
//! ```
//! use peerline_wire::{Reader, Writer};
//!
//! let mut out = Vec::new();
//! let mut w = Writer::new(&mut out);
//! w.u8(7);
//! w.length_u16(|w| w.bytes(b"peer"));
//! assert_eq!(out, b"\x07\x00\x04peer");
//!
//! let mut r = Reader::new(&out);
//! assert_eq!(r.u8(), Ok(7));
//! let mut inner = r.length_u16()?;
//! assert_eq!(inner.rest(), b"peer");
//! assert!(r.is_empty());
//! # Ok::<(), peerline_wire::Truncated>(())
//! ```

mod datagram;
mod reader;
mod replay;
mod serial;
mod writer;

pub use datagram::{Datagram, Ecn, FiveTuple, Transmit, Transport};
pub use reader::{Reader, Truncated};
pub use replay::ReplayWindow;
pub use serial::{Serial16, Serial32};
pub use writer::Writer;

/// The README's example, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

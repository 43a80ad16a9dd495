//! A TURN and STUN server on tokio: UDP and TCP on one port, TLS on another.
//!
//! The protocol is [`peerline_turn::Server`]'s, a machine without I/O. This crate is its driver: sockets, time, streams and TLS.
//!
//! ```
//! use peerline_turn_server::{Config, TurnServer};
//! use peerline_turn::{Credentials, server::StaticUsers};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), peerline_turn_server::BindError> {
//! let mut config = Config::new("example.org");
//! config.listen = vec!["127.0.0.1:0".parse().unwrap()];
//! let server = TurnServer::bind(config, StaticUsers::new([Credentials::new("alice", "wonderland")]))?;
//! println!("turn:{}", server.addresses()[0]);
//! assert_eq!(server.stats().await.unwrap().turn.allocations, 0);
//! # Ok(())
//! # }
//! ```
//!
//! # How it works
//!
//! One task owns the machine, and all UDP sockets: those that clients send to, and one for each relayed address. Datagrams come and
//! leave in batches, and nothing is allocated for a single one. A socket that has something to read puts itself in a queue, so that
//! thousands of idle relays cost nothing. Each stream has a task of its own, which cuts messages out of it and writes what waits.
//!
//! # Abuse
//!
//! What the machine bounds is in [`peerline_turn::server::Limits`]; what the driver adds is in [`StreamLimits`]: connections, in all
//! and from one address; how long a TLS handshake may take, and a connection may stay without an allocation; what waits for a client
//! that does not read. A relay reaches other relays of the same server, whatever the filter says, but nothing else on its host that
//! the filter refuses.
//!
//! | file | idea |
//! |---|---|
//! | `server` | [`TurnServer`]: the handle |
//! | `config` | [`Config`]: where to listen, what peers see, how much |
//! | `driver` | the task: what comes, what leaves, what is due |
//! | `relays` | sockets for peers |
//! | `ready` | which sockets have something to read |
//! | `streams`, `admission` | TCP and TLS, and how many may come |
//! | `stats` | [`Stats`], and how Prometheus reads them |

mod admission;
mod config;
mod driver;
mod listeners;
mod ready;
mod relays;
mod server;
mod stats;
mod streams;

pub use config::{BindError, Config, StreamLimits};
pub use server::TurnServer;
pub use stats::Stats;

pub use peerline_turn as turn;
pub use rustls::ServerConfig as TlsConfig;

/// The driver lives in time, the machine is given it.
#[allow(clippy::disallowed_methods)]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

/// The README's example, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

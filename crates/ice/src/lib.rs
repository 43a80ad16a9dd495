//! Interactive Connectivity Establishment (RFC 8445): an agent without I/O that finds a path between two peers and keeps
//! it, over UDP and over TCP (RFC 6544). It trickles (RFC 8838), asks for consent (RFC 7675), restarts, is patient (RFC 8863), and may be a lite
//! implementation or talk to one.
//!
//! ```
//! use std::time::Instant;
//! use bytes::BytesMut;
//! use peerline_ice::{Agent, Config, Event, Role, State};
//! use peerline_wire::{Datagram, Transport};
//!
//! # #[allow(clippy::disallowed_methods)]
//! # fn now() -> Instant { Instant::now() }
//! let now = now();
//! let agent = |role, seed, address: &str| {
//!     let mut agent = Agent::new(Config { role, rng_seed: [seed; 32], ..Config::default() });
//!     agent.add_local_address(now, address.parse().unwrap(), Transport::Udp); // a socket is bound there
//!     agent.finish_gathering(now);
//!     agent
//! };
//! let mut agents = [agent(Role::Controlling, 1, "192.0.2.1:1000"), agent(Role::Controlled, 2, "192.0.2.2:2000")];
//!
//! // Signalling: each learns the other's credentials and candidates.
//! for (this, other) in [(0, 1), (1, 0)] {
//!     let credentials = agents[other].local_credentials().clone();
//!     agents[this].set_remote_credentials(now, credentials);
//!     while let Some(event) = agents[other].poll_event() {
//!         if let Event::LocalCandidate(candidate) = event {
//!             agents[this].add_remote_candidate(now, candidate)?;
//!         }
//!     }
//!     agents[this].end_of_candidates(now);
//! }
//! // The network: what one sends, the other receives.
//! let mut out = Vec::new();
//! while let Some((from, sent)) = (0..2).find_map(|i| Some((i, agents[i].poll_transmit(now, &mut out)?))) {
//!     let (five_tuple, payload) = (sent.five_tuple.reversed(), BytesMut::from(&out[..]));
//!     agents[1 - from].handle_datagram(now, Datagram { five_tuple, ecn: None, payload });
//!     out.clear();
//! }
//! assert!(agents.iter().all(|agent| agent.state() == State::Completed));
//! # Ok::<(), peerline_ice::AddCandidateError>(())
//! ```
//!
//! | file | idea |
//! |---|---|
//! | [`Agent`] | the verbs; sockets, pace and news that sessions share; the path of data; restarts |
//! | `session` | what a restart replaces: credentials, candidates, pairs |
//! | `gather` | local candidates and the state of gathering |
//! | [`ExternalAddress`] | addresses that a translator maps one to one |
//! | `servers` | STUN servers asked for candidates |
//! | [`Bindings`] | the same for sockets that many agents share |
//! | `relays` | allocations on TURN servers, and what goes through them |
//! | `candidate`, `remote`, `pair`, `checklist` | what can be checked, in which order |
//! | `connections`, [`framing`] | TCP: connections that pairs need, and datagrams on them |
//! | `check`, `pacer` | connectivity checks: the client's side, and its pace |
//! | `server` | connectivity checks: the server's side; role conflicts |
//! | `nomination` | which valid pair is used |
//! | `consent` | whether the peer still wants it, and whether the path still works |
//! | `roaming` | another path in place of one that does not work any more |
//! | `embedding` | DTLS inside checks (draft-hancke-webrtc-sped) |
//! | `sorted` | tables of few entries |

mod agent;
mod bindings;
mod candidate;
mod check;
mod checklist;
mod config;
mod connections;
mod consent;
mod context;
mod credentials;
mod embedding;
mod error;
mod event;
mod external;
pub mod framing;
mod gather;
mod nomination;
mod pacer;
mod pair;
mod relays;
mod remote;
mod roaming;
mod server;
mod servers;
mod session;
mod sorted;
mod stats;

pub use agent::Agent;
pub use bindings::{Binding, Bindings};
pub use candidate::{Candidate, CandidateAddress, CandidateKind, TcpType};
pub use config::{Config, Limits, Timings, TransportPolicy};
pub use credentials::Credentials;
pub use error::AddCandidateError;
pub use event::{CandidateError, Event, GatheringState, Role, State};
pub use external::{ExternalAddress, ExternalAddressError};
pub use pair::{PairId, PairState};
pub use peerline_turn::Credentials as TurnCredentials;
pub use servers::Server;
pub use stats::{CandidatePair, CandidatePairStats, DropCounters, PairCounters};

/// The README's example, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

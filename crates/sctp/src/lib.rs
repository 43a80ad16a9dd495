//! SCTP over DTLS (RFC 9260, RFC 8261) and data channels (RFC 8831, RFC 8832): sans-IO machines

mod association;
mod config;
mod cookie;
pub mod datachannel;
mod error;
mod event;
mod handshake;
mod heartbeat;
mod message;
mod receive;
mod reconfig;
mod rx;
mod shutdown;
mod stats;
mod tcb;
mod transmit;
mod tx;
pub mod wire;

pub use association::Association;
pub use config::Config;
pub use error::{ResetError, SendError};
pub use event::{CloseReason, Event, ResetResult};
pub use message::{Message, Ppid, Reliability, SendOptions, StreamId};
pub use stats::Stats;

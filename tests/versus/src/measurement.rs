//! What is measured: the rows of the table, who can be measured by them, and what is to be reached.

mod all;

pub(crate) use self::all::MEASUREMENTS;

use std::time::Duration;

use crate::dtls::{self, Handshake, Session};
use crate::machine::{self, Machine};
use crate::packets::{self, Pace};
use crate::paths::{self, Way};
use crate::rtp::Protection;
use crate::stack::{Stack, StackName};
use crate::{Result, bulk, endpoint, floor, latency, memory, messages, relay, sdp, setup, srtp, stun};

/// What one child process measures: one or several rows.
pub(crate) struct Measurement {
    /// What `--only` takes.
    pub(crate) name: &'static str,
    pub(crate) rows: &'static [Row],
    /// Who can do it, the floor included.
    pub(crate) who: &'static [StackName],
    task: Task,
}

/// A row of the table.
pub(crate) struct Row {
    /// How a child calls its figure.
    pub(crate) key: &'static str,
    pub(crate) what: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) better: Better,
    pub(crate) target: Target,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Better {
    More,
    Less,
}

/// What Peerline is to reach.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Target {
    /// Nothing was set.
    None,
    /// So many times better than the best of the others.
    TimesBest(f64),
    /// No more than so many times the floor.
    TimesFloor(f64),
    /// This value or better, in the unit of the row.
    Value(f64),
}

enum Task {
    Bulk {
        send_buffer: usize,
    },
    Messages,
    Latency,
    Setup {
        /// By DTLS 1.3 and a hybrid key exchange, as by default.
        post_quantum: bool,
    },
    Memory,
    Endpoint(endpoint::Mode),
    /// Whole peers without I/O, in memory.
    Connections {
        size: usize,
    },
    ConnectionSetup {
        /// As of [`Self::Setup`].
        post_quantum: bool,
    },
    /// RTP through a whole peer, over sockets.
    Packets {
        protection: Protection,
        pace: Pace,
    },
    /// The same in memory.
    Rtp {
        protection: Protection,
    },
    Forward,
    /// SCTP alone, in memory.
    Associations {
        size: usize,
    },
    ZeroChecksum {
        size: usize,
    },
    Goodput {
        loss: f64,
    },
    Handshake(Handshake),
    Record,
    Srtp,
    Stun,
    Sdp,
    /// Datagrams through a TURN server.
    Relay,
    /// Whole peers without I/O, on a path in virtual time.
    Connecting,
    /// The same, up to the first message.
    FirstMessage,
    /// The first of these, with what may lie between two peers.
    Ways(Way),
}

/// For how long, and how many.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    /// Not counted: slow start, page faults, caches.
    pub(crate) warm_up: Duration,
    pub(crate) window: Duration,
    /// Connections, where they are counted.
    pub(crate) connections: usize,
    /// To see that it runs.
    pub(crate) quick: bool,
}

/// A value in the unit of the row with this key.
pub(crate) type Figure = (&'static str, f64);

impl Measurement {
    pub(crate) fn by_name(name: &str) -> Option<&'static Self> {
        MEASUREMENTS.iter().find(|one| one.name == name)
    }

    /// How often each has its turn if `asked` for so many rounds.
    pub(crate) fn rounds(&self, asked: usize) -> usize {
        match self.task {
            // Nothing but its CPU time differs from one to the next.
            Task::Goodput { .. } | Task::Connecting | Task::FirstMessage | Task::Ways(_) => 1,
            // Half a minute of rest.
            Task::Endpoint(_) => asked.min(1),
            _ => asked,
        }
    }

    /// Nobody takes this long: whoever does has stalled.
    pub(crate) fn patience(&self) -> Duration {
        match self.task {
            Task::Goodput { .. } | Task::Endpoint(_) => Duration::from_secs(300),
            _ => Duration::from_secs(60),
        }
    }

    /// Measures `stack`, which is one of `who`.
    pub(crate) async fn run(&self, stack: StackName, effort: Effort) -> Result<Vec<Figure>> {
        if stack == StackName::Floor {
            return self.floor(effort).await;
        }
        match self.task {
            Task::Bulk { .. } | Task::Messages | Task::Latency | Task::Setup { .. } | Task::Memory => match stack {
                StackName::Peerline if matches!(self.task, Task::Setup { post_quantum: false }) => {
                    self.over_sockets::<crate::stack::PeerlineDtls12>(effort).await
                }
                StackName::Peerline => self.over_sockets::<crate::stack::Peerline>(effort).await,
                #[cfg(feature = "peers")]
                StackName::Str0m => self.over_sockets::<crate::stack::Str0m>(effort).await,
                #[cfg(feature = "peers")]
                StackName::Webrtc => self.over_sockets::<crate::stack::Webrtc>(effort).await,
                #[cfg(feature = "peers")]
                StackName::Rustrtc => self.over_sockets::<crate::stack::Rustrtc>(effort).await,
                #[cfg(feature = "datachannel")]
                StackName::Datachannel => self.over_sockets::<crate::stack::Datachannel>(effort).await,
                _ => Err(NOT_HERE.into()),
            },
            Task::Endpoint(mode) => endpoint::measure(effort, mode).await,
            Task::Connections { .. } | Task::ConnectionSetup { .. } | Task::Connecting => match stack {
                StackName::Peerline if matches!(self.task, Task::ConnectionSetup { post_quantum: false }) => {
                    self.in_memory::<crate::connection::Peerline<false>>(effort)
                }
                StackName::Peerline => self.in_memory::<crate::connection::Peerline>(effort),
                #[cfg(feature = "peers")]
                StackName::Str0m => self.in_memory::<crate::connection::Str0m>(effort),
                #[cfg(feature = "peers")]
                StackName::Rtc => self.in_memory::<crate::connection::Rtc>(effort),
                _ => Err(NOT_HERE.into()),
            },
            Task::FirstMessage => machine::first_message::measure(stack),
            Task::Packets { protection, pace } => match stack {
                StackName::Peerline => packets::measure::<crate::stack::Peerline>(protection, pace, effort).await,
                #[cfg(feature = "peers")]
                StackName::Str0m => packets::measure::<crate::stack::Str0m>(protection, pace, effort).await,
                #[cfg(feature = "peers")]
                StackName::Webrtc => packets::measure::<crate::stack::Webrtc>(protection, pace, effort).await,
                #[cfg(feature = "datachannel")]
                StackName::Datachannel => packets::measure::<crate::stack::Datachannel>(protection, pace, effort).await,
                _ => Err(NOT_HERE.into()),
            },
            Task::Rtp { protection } => match (stack, protection) {
                (StackName::Peerline, Protection::Gcm) => self.in_memory::<crate::rtp::Peerline>(effort),
                (StackName::Peerline, Protection::AesCm) => self.in_memory::<crate::rtp::Peerline<true>>(effort),
                #[cfg(feature = "peers")]
                (StackName::Str0m, Protection::Gcm) => self.in_memory::<crate::rtp::Str0m>(effort),
                #[cfg(feature = "peers")]
                (StackName::Rtc, Protection::Gcm) => self.in_memory::<crate::rtp::Rtc>(effort),
                #[cfg(feature = "peers")]
                (StackName::Rtc, Protection::AesCm) => self.in_memory::<crate::rtp::Rtc<true>>(effort),
                _ => Err(NOT_HERE.into()),
            },
            Task::Forward => match stack {
                StackName::Peerline => machine::forward::<crate::rtp::Peerline>(crate::rtp::PAYLOAD, effort),
                #[cfg(feature = "peers")]
                StackName::Str0m => machine::forward::<crate::rtp::Str0m>(crate::rtp::PAYLOAD, effort),
                _ => Err(NOT_HERE.into()),
            },
            Task::Associations { .. } | Task::Goodput { .. } => match stack {
                StackName::Peerline => self.in_memory::<crate::association::Peerline>(effort),
                #[cfg(feature = "peers")]
                StackName::RtcSctp => self.in_memory::<crate::association::RtcSctp>(effort),
                #[cfg(feature = "peers")]
                StackName::SctpProto => self.in_memory::<crate::association::SctpProto>(effort),
                _ => Err(NOT_HERE.into()),
            },
            Task::Handshake(_) | Task::Record => match stack {
                StackName::Peerline => self.dtls::<crate::dtls::Peerline>(effort),
                #[cfg(feature = "peers")]
                StackName::Dimpl => self.dtls::<crate::dtls::Dimpl>(effort),
                #[cfg(feature = "openssl")]
                StackName::Openssl => self.dtls::<crate::dtls::Openssl>(effort),
                _ => Err(NOT_HERE.into()),
            },
            Task::Srtp => srtp::measure(stack, effort),
            Task::Stun => stun::measure(stack, effort),
            Task::Sdp => sdp::measure(stack, effort),
            Task::Relay => relay::measure(stack, effort).await,
            Task::Ways(way) => paths::measure(way),
            Task::ZeroChecksum { .. } => self.in_memory::<crate::association::PeerlineZeroChecksum>(effort),
        }
    }

    async fn over_sockets<S: Stack>(&self, effort: Effort) -> Result<Vec<Figure>> {
        match self.task {
            Task::Bulk { send_buffer } => bulk::measure::<S>(send_buffer, effort).await,
            Task::Messages => messages::measure::<S>(effort).await,
            Task::Latency => latency::measure::<S>(effort).await,
            Task::Setup { .. } => setup::measure::<S>(effort).await,
            Task::Memory => memory::measure::<S>(effort).await,
            _ => Err(NOT_HERE.into()),
        }
    }

    fn in_memory<M: Machine>(&self, effort: Effort) -> Result<Vec<Figure>> {
        match self.task {
            Task::Connections { size } | Task::Associations { size } | Task::ZeroChecksum { size } => {
                machine::transfer::<M>(IN_MEMORY_SEND_BUFFER, size, effort)
            }
            Task::Rtp { .. } => machine::transfer::<M>(IN_MEMORY_SEND_BUFFER, crate::rtp::PAYLOAD, effort),
            Task::ConnectionSetup { .. } => machine::setup::<M>(effort),
            Task::Connecting => machine::time_to_connect::<M>(),
            Task::Goodput { loss } => machine::goodput::<M>(loss, effort.quick),
            _ => Err(NOT_HERE.into()),
        }
    }

    fn dtls<S: Session>(&self, effort: Effort) -> Result<Vec<Figure>> {
        match self.task {
            Task::Record => dtls::records::<S>(effort),
            Task::Handshake(handshake) => dtls::handshakes::<S>(handshake, effort),
            _ => Err(NOT_HERE.into()),
        }
    }

    async fn floor(&self, effort: Effort) -> Result<Vec<Figure>> {
        match self.task {
            Task::Bulk { send_buffer } => floor::bulk(send_buffer, effort).await,
            Task::Latency => floor::round_trips(effort).await,
            Task::Setup { .. } => floor::handshakes(effort),
            Task::Connections { .. } => floor::records(effort),
            Task::Endpoint(mode) => endpoint::measure_floor(effort, mode).await,
            Task::ConnectionSetup { .. } => floor::handshakes(effort),
            Task::Packets { protection, pace } => floor::packets(protection, pace, effort).await,
            Task::Rtp { protection } => floor::packet(protection, effort),
            Task::Forward => floor::packet_out(effort),
            Task::Handshake(_) => floor::key_exchange(effort),
            Task::Record => floor::record(effort),
            Task::Srtp => srtp::measure(StackName::Floor, effort),
            Task::Stun => stun::measure(StackName::Floor, effort),
            Task::Sdp => sdp::measure(StackName::Floor, effort),
            _ => Err(NOT_HERE.into()),
        }
    }
}

const IN_MEMORY_SEND_BUFFER: usize = 128 << 10;

pub(crate) const NOT_HERE: &str = "not in this program, or not a measurement of it";

impl Effort {
    pub(crate) fn new(quick: bool) -> Self {
        let (warm_up, window, connections) = if quick { (100, 500, 16) } else { (400, 1_600, 96) };
        Self {
            warm_up: Duration::from_millis(warm_up),
            window: Duration::from_millis(window),
            connections,
            quick,
        }
    }
}

impl Row {
    /// How many times better `ours` is than `other`: below 1, it is worse.
    pub(crate) fn ratio(&self, ours: f64, other: f64) -> f64 {
        match self.better {
            Better::More => ours / other,
            Better::Less => other / ours,
        }
    }
}

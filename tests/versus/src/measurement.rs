//! What is measured: the rows of the table, who can be measured by them, and what is to be reached.

use std::time::Duration;

use crate::stack::{Stack, StackName};
use crate::{Result, bulk, floor, latency, memory, messages, setup};

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
    /// This value or better, in the unit of the row.
    Value(f64),
}

enum Task {
    Bulk { send_buffer: usize },
    Messages,
    Latency,
    Setup,
    Memory,
}

/// For how long, and how many.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    /// Not counted: slow start, page faults, caches.
    pub(crate) warm_up: Duration,
    pub(crate) window: Duration,
    /// Connections, where they are counted.
    pub(crate) connections: usize,
}

/// A value in the unit of the row with this key.
pub(crate) type Figure = (&'static str, f64);

const fn row(key: &'static str, what: &'static str, unit: &'static str, better: Better, target: Target) -> Row {
    Row {
        key,
        what,
        unit,
        better,
        target,
    }
}

/// The whole stacks, over sockets.
const STACKS: &[StackName] = {
    use StackName::*;
    &[Peerline, Str0m, Webrtc, Datachannel, Rustrtc]
};
const STACKS_AND_FLOOR: &[StackName] = {
    use StackName::*;
    &[Peerline, Str0m, Webrtc, Datachannel, Rustrtc, Floor]
};

use Better::{Less, More};
use Target::{TimesBest, Value};

/// All of it, in the order of the table.
pub(crate) const MEASUREMENTS: &[Measurement] = &[
    Measurement {
        name: "bulk-128k",
        rows: &[
            row("rate", "bulk, sender buffer 128 KiB", "Mbit/s", More, TimesBest(5.0)),
            row("cpu", "bulk, sender buffer 128 KiB", "CPU s/GiB", Less, Value(1.2)),
        ],
        who: STACKS_AND_FLOOR,
        task: Task::Bulk { send_buffer: 128 << 10 },
    },
    Measurement {
        name: "bulk-1m",
        rows: &[
            row("rate", "bulk, sender buffer 1 MiB", "Mbit/s", More, TimesBest(5.0)),
            row("cpu", "bulk, sender buffer 1 MiB", "CPU s/GiB", Less, Value(1.2)),
        ],
        who: STACKS_AND_FLOOR,
        task: Task::Bulk { send_buffer: 1 << 20 },
    },
    Measurement {
        name: "bulk-8m",
        rows: &[
            row("rate", "bulk, sender buffer 8 MiB", "Mbit/s", More, TimesBest(5.0)),
            row("cpu", "bulk, sender buffer 8 MiB", "CPU s/GiB", Less, Value(1.2)),
        ],
        who: STACKS_AND_FLOOR,
        task: Task::Bulk { send_buffer: 8 << 20 },
    },
    Measurement {
        name: "messages",
        rows: &[
            row("rate", "messages of 100 bytes", "1/s", More, Value(1_500_000.0)),
            row("cpu", "messages of 100 bytes", "CPU µs each", Less, Target::None),
        ],
        who: STACKS,
        task: Task::Messages,
    },
    Measurement {
        name: "latency",
        rows: &[
            row("p50", "round trip of 64 bytes, p50", "µs", Less, Value(18.0)),
            row("p99", "round trip of 64 bytes, p99", "µs", Less, Target::None),
        ],
        who: STACKS_AND_FLOOR,
        task: Task::Latency,
    },
    Measurement {
        name: "setup",
        rows: &[
            row("p50", "set-up, wall, p50", "ms", Less, Value(2.0)),
            row("p99", "set-up, wall, p99", "ms", Less, Target::None),
            row("cpu", "set-up, both sides", "CPU ms", Less, Value(0.5)),
        ],
        who: STACKS_AND_FLOOR,
        task: Task::Setup,
    },
    Measurement {
        name: "memory",
        rows: &[row("pair", "memory of an idle pair", "KiB", Less, Value(40.0))],
        who: STACKS,
        task: Task::Memory,
    },
];

impl Measurement {
    pub(crate) fn by_name(name: &str) -> Option<&'static Self> {
        MEASUREMENTS.iter().find(|one| one.name == name)
    }

    /// How often each has its turn if `asked` for so many rounds.
    pub(crate) fn rounds(&self, asked: usize) -> usize {
        asked
    }

    /// Nobody takes this long: whoever does has stalled.
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_secs(60)
    }

    /// Measures `stack`, which is one of `who`.
    pub(crate) async fn run(&self, stack: StackName, effort: Effort) -> Result<Vec<Figure>> {
        match self.task {
            Task::Bulk { .. } | Task::Messages | Task::Latency | Task::Setup | Task::Memory => match stack {
                StackName::Peerline => self.over_sockets::<crate::stack::Peerline>(effort).await,
                #[cfg(feature = "peers")]
                StackName::Str0m => self.over_sockets::<crate::stack::Str0m>(effort).await,
                #[cfg(feature = "peers")]
                StackName::Webrtc => self.over_sockets::<crate::stack::Webrtc>(effort).await,
                #[cfg(feature = "peers")]
                StackName::Rustrtc => self.over_sockets::<crate::stack::Rustrtc>(effort).await,
                #[cfg(feature = "datachannel")]
                StackName::Datachannel => self.over_sockets::<crate::stack::Datachannel>(effort).await,
                StackName::Floor => self.floor(effort).await,
                _ => Err(NOT_HERE.into()),
            },
        }
    }

    async fn over_sockets<S: Stack>(&self, effort: Effort) -> Result<Vec<Figure>> {
        match self.task {
            Task::Bulk { send_buffer } => bulk::measure::<S>(send_buffer, effort).await,
            Task::Messages => messages::measure::<S>(effort).await,
            Task::Latency => latency::measure::<S>(effort).await,
            Task::Setup => setup::measure::<S>(effort).await,
            Task::Memory => memory::measure::<S>(effort).await,
        }
    }

    async fn floor(&self, effort: Effort) -> Result<Vec<Figure>> {
        match self.task {
            Task::Bulk { send_buffer } => floor::datagrams(send_buffer, effort).await,
            Task::Latency => floor::round_trips(effort).await,
            Task::Setup => floor::handshakes(effort),
            Task::Messages | Task::Memory => Err(NOT_HERE.into()),
        }
    }
}

const NOT_HERE: &str = "not in this program, or not a measurement of it";

impl Effort {
    pub(crate) fn new(quick: bool) -> Self {
        let (warm_up, window, connections) = if quick { (100, 500, 16) } else { (500, 3_000, 96) };
        Self {
            warm_up: Duration::from_millis(warm_up),
            window: Duration::from_millis(window),
            connections,
        }
    }
}

impl Row {
    /// How many times better `ours` is than `other`: below 1, it is worse.
    pub(crate) fn ratio(&self, ours: f64, other: f64) -> f64 {
        match self.better {
            More => ours / other,
            Less => other / ours,
        }
    }
}

//! What can be measured, and the figures that come out.

use std::time::Duration;

use crate::Result;
use crate::stack::Stack;
use crate::{bulk, latency, memory, messages, setup};

/// What one child process measures.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measurement {
    Bulk128K,
    Bulk1M,
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

/// A named value, in the unit of its row of the table.
pub(crate) type Figure = (Metric, f64);

/// The rows of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Metric {
    Bulk128K,
    Bulk128KCpu,
    Bulk1M,
    Bulk1MCpu,
    Messages,
    MessagesCpu,
    LatencyP50,
    LatencyP99,
    SetupP50,
    SetupPerCpuSecond,
    Memory,
}

impl Measurement {
    pub(crate) const ALL: [Self; 6] = [
        Self::Bulk128K,
        Self::Bulk1M,
        Self::Messages,
        Self::Latency,
        Self::Setup,
        Self::Memory,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bulk128K => "bulk-128k",
            Self::Bulk1M => "bulk-1m",
            Self::Messages => "messages",
            Self::Latency => "latency",
            Self::Setup => "setup",
            Self::Memory => "memory",
        }
    }

    /// Measures `S`.
    pub(crate) async fn run<S: Stack>(self, effort: Effort) -> Result<Vec<Figure>> {
        match self {
            Self::Bulk128K => bulk::measure::<S>(128 << 10, [Metric::Bulk128K, Metric::Bulk128KCpu], effort).await,
            Self::Bulk1M => bulk::measure::<S>(1 << 20, [Metric::Bulk1M, Metric::Bulk1MCpu], effort).await,
            Self::Messages => messages::measure::<S>(effort).await,
            Self::Latency => latency::measure::<S>(effort).await,
            Self::Setup => setup::measure::<S>(effort).await,
            Self::Memory => memory::measure::<S>(effort).await,
        }
    }
}

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

impl Metric {
    pub(crate) const ALL: [Self; 11] = [
        Self::Bulk128K,
        Self::Bulk128KCpu,
        Self::Bulk1M,
        Self::Bulk1MCpu,
        Self::Messages,
        Self::MessagesCpu,
        Self::LatencyP50,
        Self::LatencyP99,
        Self::SetupP50,
        Self::SetupPerCpuSecond,
        Self::Memory,
    ];

    /// The row's name, with the unit.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Bulk128K => "bulk, sender buffer 128 KiB: Mbit/s",
            Self::Bulk128KCpu => "bulk, sender buffer 128 KiB: CPU s/GiB",
            Self::Bulk1M => "bulk, sender buffer 1 MiB: Mbit/s",
            Self::Bulk1MCpu => "bulk, sender buffer 1 MiB: CPU s/GiB",
            Self::Messages => "messages of 100 bytes: 1/s",
            Self::MessagesCpu => "messages of 100 bytes: CPU µs each",
            Self::LatencyP50 => "round trip of 64 bytes: p50 µs",
            Self::LatencyP99 => "round trip of 64 bytes: p99 µs",
            Self::SetupP50 => "set-up: wall p50 ms",
            Self::SetupPerCpuSecond => "set-up: connections a CPU-second",
            Self::Memory => "memory of an idle pair: KiB",
        }
    }

    /// More of it is better.
    pub(crate) fn higher_is_better(self) -> bool {
        matches!(
            self,
            Self::Bulk128K | Self::Bulk1M | Self::Messages | Self::SetupPerCpuSecond
        )
    }

    /// How it is called between child and parent.
    pub(crate) fn key(self) -> String {
        format!("{self:?}")
    }

    pub(crate) fn from_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.key() == key)
    }
}

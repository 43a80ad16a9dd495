//! What is measured: the rows of the table, who can be measured by them, and what is to be reached.

use std::time::Duration;

use crate::dtls::{self, Handshake, Session};
use crate::machine::{self, Machine};
use crate::packets::{self, Pace};
use crate::paths::{self, ServerBy, Way};
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
    ConnectionSetup,
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
    /// The same, with what may lie between two peers.
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
const CONNECTIONS: &[StackName] = {
    use StackName::*;
    &[Peerline, Str0m, Rtc]
};

/// By a round trip of 50 ms and one of 200.
const fn ways(name: &'static str, rows: &'static [Row; 2], way: Way) -> Measurement {
    Measurement {
        name,
        rows,
        who: &[StackName::Peerline],
        task: Task::Ways(way),
    }
}

/// What a way takes by so many round trips, and by the pace of checks.
const fn connecting(what: [&'static str; 2], round_trips: f64) -> [Row; 2] {
    const PACE: f64 = 10.0;
    let [short, long] = what;
    [
        row("rtt-50", short, "ms", Less, Value(round_trips * 50.0 + PACE)),
        row("rtt-200", long, "ms", Less, Value(round_trips * 200.0 + PACE)),
    ]
}

const ASSOCIATIONS: &[StackName] = {
    use StackName::*;
    &[Peerline, RtcSctp, SctpProto]
};
const DTLS: &[StackName] = {
    use StackName::*;
    &[Peerline, Dimpl, Openssl, Floor]
};
const STACKS_AND_FLOOR: &[StackName] = {
    use StackName::*;
    &[Peerline, Str0m, Webrtc, Datachannel, Rustrtc, Floor]
};

/// With AES-GCM, over sockets.
const MEDIA_AND_FLOOR: &[StackName] = {
    use StackName::*;
    &[Peerline, Str0m, Webrtc, Floor]
};

use Better::{Less, More};
use Target::{TimesBest, TimesFloor, Value};

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
        // The others agree on a key by one elliptic curve; we do here as well.
        name: "setup",
        rows: &[
            row("p50", "set-up by DTLS 1.2, wall, p50", "ms", Less, Value(2.0)),
            row("p99", "set-up by DTLS 1.2, wall, p99", "ms", Less, Target::None),
            row("cpu", "set-up by DTLS 1.2, both sides", "CPU ms", Less, Value(0.5)),
        ],
        who: STACKS_AND_FLOOR,
        task: Task::Setup { post_quantum: false },
    },
    Measurement {
        name: "setup-1.3",
        rows: &[
            row(
                "p50",
                "set-up by DTLS 1.3, X25519MLKEM768, wall, p50",
                "ms",
                Less,
                Value(2.0),
            ),
            row(
                "cpu",
                "set-up by DTLS 1.3, X25519MLKEM768, both sides",
                "CPU ms",
                Less,
                Target::None,
            ),
        ],
        who: &[StackName::Peerline],
        task: Task::Setup { post_quantum: true },
    },
    Measurement {
        name: "memory",
        rows: &[row("pair", "memory of an idle pair", "KiB", Less, Value(40.0))],
        who: STACKS,
        task: Task::Memory,
    },
    Measurement {
        name: "endpoint",
        rows: &[
            row("memory", "10,000 idle connections on a port", "MB", Less, Value(250.0)),
            row(
                "cpu",
                "10,000 idle connections on a port",
                "% of a core",
                Less,
                Value(5.0),
            ),
        ],
        who: &[StackName::Peerline, StackName::Floor],
        task: Task::Endpoint(endpoint::Mode::Full),
    },
    Measurement {
        name: "endpoint-lite",
        rows: &[
            row(
                "memory",
                "10,000 idle connections on a port, ICE-lite",
                "MB",
                Less,
                Target::None,
            ),
            row(
                "cpu",
                "10,000 idle connections on a port, ICE-lite",
                "% of a core",
                Less,
                Target::None,
            ),
        ],
        who: &[StackName::Peerline, StackName::Floor],
        task: Task::Endpoint(endpoint::Mode::Lite),
    },
    Measurement {
        name: "connection-bulk",
        rows: &[row("cpu", "bulk in memory, no sockets", "CPU s/GiB", Less, Value(1.0))],
        who: &[StackName::Peerline, StackName::Str0m, StackName::Rtc, StackName::Floor],
        task: Task::Connections { size: 64 << 10 },
    },
    Measurement {
        name: "connection-messages",
        rows: &[row(
            "each",
            "messages of 100 bytes in memory, no sockets",
            "CPU µs each",
            Less,
            Target::None,
        )],
        who: CONNECTIONS,
        task: Task::Connections { size: 100 },
    },
    Measurement {
        name: "connection-setup",
        rows: &[row("cpu", "set-up in memory, both sides", "CPU ms", Less, Value(0.5))],
        who: &[StackName::Peerline, StackName::Str0m, StackName::Rtc, StackName::Floor],
        task: Task::ConnectionSetup,
    },
    Measurement {
        name: "packets",
        rows: &[
            row("rate", "RTP of 1,200 bytes", "packets/s", More, Target::None),
            row(
                "each",
                "RTP of 1,200 bytes, both sides",
                "CPU µs each",
                Less,
                Value(2.2),
            ),
        ],
        who: MEDIA_AND_FLOOR,
        task: Task::Packets {
            protection: Protection::Gcm,
            pace: Pace::FlatOut,
        },
    },
    Measurement {
        name: "packets-aes-cm",
        rows: &[
            row("rate", "RTP of 1,200 bytes, AES-CM", "packets/s", More, Target::None),
            row(
                "each",
                "RTP of 1,200 bytes, AES-CM, both sides",
                "CPU µs each",
                Less,
                Value(4.0),
            ),
        ],
        who: &[
            StackName::Peerline,
            StackName::Webrtc,
            StackName::Datachannel,
            StackName::Floor,
        ],
        task: Task::Packets {
            protection: Protection::AesCm,
            pace: Pace::FlatOut,
        },
    },
    Measurement {
        name: "packets-paced",
        rows: &[row(
            "each",
            "RTP of 1,200 bytes, 50 Mbit/s in 60 frames a second, both sides",
            "CPU µs each",
            Less,
            Target::None,
        )],
        who: MEDIA_AND_FLOOR,
        task: Task::Packets {
            protection: Protection::Gcm,
            pace: Pace::Frames,
        },
    },
    Measurement {
        name: "rtp",
        rows: &[row(
            "each",
            "RTP of 1,200 bytes in memory, both sides",
            "CPU µs each",
            Less,
            Value(1.3),
        )],
        who: &[StackName::Peerline, StackName::Str0m, StackName::Rtc, StackName::Floor],
        task: Task::Rtp {
            protection: Protection::Gcm,
        },
    },
    Measurement {
        name: "rtp-aes-cm",
        rows: &[row(
            "each",
            "RTP of 1,200 bytes in memory, AES-CM, both sides",
            "CPU µs each",
            Less,
            Target::None,
        )],
        who: &[StackName::Peerline, StackName::Rtc, StackName::Floor],
        task: Task::Rtp {
            protection: Protection::AesCm,
        },
    },
    Measurement {
        name: "forward",
        rows: &[row(
            "each",
            "RTP forwarded in memory, 1 to 50, a packet out",
            "CPU µs each",
            Less,
            TimesBest(4.0),
        )],
        who: &[StackName::Peerline, StackName::Str0m, StackName::Floor],
        task: Task::Forward,
    },
    Measurement {
        name: "sctp-bulk",
        rows: &[row("cpu", "SCTP alone in memory", "CPU s/GiB", Less, Value(0.35))],
        who: ASSOCIATIONS,
        task: Task::Associations { size: 64 << 10 },
    },
    Measurement {
        name: "sctp-bulk-zero",
        rows: &[row(
            "cpu",
            "SCTP alone in memory, zero checksum",
            "CPU s/GiB",
            Less,
            Value(0.35),
        )],
        who: &[StackName::Peerline],
        task: Task::ZeroChecksum { size: 64 << 10 },
    },
    Measurement {
        name: "sctp-messages",
        rows: &[row(
            "each",
            "SCTP alone in memory, messages of 100 bytes",
            "CPU µs each",
            Less,
            Target::None,
        )],
        who: ASSOCIATIONS,
        task: Task::Associations { size: 100 },
    },
    Measurement {
        name: "sctp-messages-zero",
        rows: &[row(
            "each",
            "SCTP alone in memory, messages of 100 bytes, zero checksum",
            "CPU µs each",
            Less,
            Target::None,
        )],
        who: &[StackName::Peerline],
        task: Task::ZeroChecksum { size: 100 },
    },
    Measurement {
        name: "dtls-handshake",
        rows: &[row(
            "handshake",
            "DTLS 1.2 handshake in memory, both sides",
            "µs",
            Less,
            Target::None,
        )],
        who: DTLS,
        task: Task::Handshake(Handshake::Dtls12),
    },
    Measurement {
        name: "dtls-1.3-handshake",
        rows: &[row(
            "handshake",
            "DTLS 1.3 handshake in memory, both sides",
            "µs",
            Less,
            Target::None,
        )],
        // OpenSSL has no DTLS 1.3.
        who: &[StackName::Peerline, StackName::Dimpl, StackName::Floor],
        task: Task::Handshake(Handshake::Dtls13),
    },
    Measurement {
        name: "dtls-1.3-hybrid-handshake",
        rows: &[row(
            "handshake",
            "the same with X25519MLKEM768",
            "µs",
            Less,
            Target::None,
        )],
        // dimpl has no such group.
        who: &[StackName::Peerline],
        task: Task::Handshake(Handshake::Dtls13Hybrid),
    },
    Measurement {
        name: "dtls-record",
        rows: &[row(
            "record",
            "DTLS record of 1,200 bytes, seal and open",
            "ns",
            Less,
            Value(550.0),
        )],
        who: DTLS,
        task: Task::Record,
    },
    Measurement {
        name: "srtp",
        rows: &[
            row(
                "gcm-128",
                "SRTP protect, 1,200 bytes, AES-128-GCM",
                "ns",
                Less,
                TimesFloor(1.2),
            ),
            row(
                "gcm-256",
                "SRTP protect, 1,200 bytes, AES-256-GCM",
                "ns",
                Less,
                TimesFloor(1.2),
            ),
            row(
                "aes-cm-80",
                "SRTP protect, 1,200 bytes, AES-CM with HMAC-SHA1-80",
                "ns",
                Less,
                TimesFloor(1.08),
            ),
            row(
                "aes-cm-32",
                "SRTP protect, 1,200 bytes, AES-CM with HMAC-SHA1-32",
                "ns",
                Less,
                TimesFloor(1.08),
            ),
        ],
        who: &[StackName::Peerline, StackName::RtcSrtp, StackName::Floor],
        task: Task::Srtp,
    },
    Measurement {
        name: "stun",
        rows: &[
            row("build", "STUN binding request, build", "ns", Less, Value(270.0)),
            row(
                "verify",
                "STUN binding request, parse and verify",
                "ns",
                Less,
                Value(270.0),
            ),
        ],
        who: &[
            StackName::Peerline,
            StackName::RtcStun,
            StackName::StunTypes,
            StackName::Floor,
        ],
        task: Task::Stun,
    },
    Measurement {
        name: "sdp",
        rows: &[
            row("parse", "SDP of a browser's offer, parse", "µs", Less, Value(13.0)),
            row("write", "SDP of a browser's offer, write", "µs", Less, Value(5.0)),
        ],
        who: &[
            StackName::Peerline,
            StackName::RtcSdp,
            StackName::SdpTypes,
            StackName::WebrtcSdp,
            StackName::Floor,
        ],
        task: Task::Sdp,
    },
    Measurement {
        name: "relay",
        rows: &[
            row(
                "rate",
                "relayed by TURN, 1,000 bytes on a channel",
                "1/s",
                More,
                Target::None,
            ),
            row(
                "cpu",
                "relayed by TURN, 1,000 bytes on a channel",
                "CPU µs each",
                Less,
                Target::None,
            ),
        ],
        who: &[StackName::Peerline, StackName::Coturn],
        task: Task::Relay,
    },
    Measurement {
        name: "connect",
        rows: &connecting(
            [
                "time to connect, both know each other, RTT 50 ms",
                "time to connect, both know each other, RTT 200 ms",
            ],
            2.0,
        ),
        who: CONNECTIONS,
        task: Task::Connecting,
    },
    ways(
        "connect-direct",
        &connecting(
            [
                "time to connect, direct, by UDP, RTT 50 ms",
                "time to connect, direct, by UDP, RTT 200 ms",
            ],
            2.0,
        ),
        Way::Direct,
    ),
    ways(
        "connect-reflexive",
        &connecting(
            [
                "time to connect, through translators, RTT 50 ms",
                "time to connect, through translators, RTT 200 ms",
            ],
            3.0,
        ),
        Way::Reflexive,
    ),
    ways(
        "connect-tcp",
        &connecting(
            [
                "time to connect, direct, by TCP alone, RTT 50 ms",
                "time to connect, direct, by TCP alone, RTT 200 ms",
            ],
            3.0,
        ),
        Way::IceTcp,
    ),
    ways(
        "connect-relay-udp",
        &connecting(
            [
                "time to connect, relayed, server by UDP, RTT 50 ms",
                "time to connect, relayed, server by UDP, RTT 200 ms",
            ],
            6.0,
        ),
        Way::Relayed(ServerBy::Udp),
    ),
    ways(
        "connect-relay-tcp",
        &connecting(
            [
                "time to connect, relayed, server by TCP, RTT 50 ms",
                "time to connect, relayed, server by TCP, RTT 200 ms",
            ],
            7.0,
        ),
        Way::Relayed(ServerBy::Tcp),
    ),
    ways(
        "connect-relay-tls",
        &connecting(
            [
                "time to connect, relayed, server by TLS, RTT 50 ms",
                "time to connect, relayed, server by TLS, RTT 200 ms",
            ],
            8.0,
        ),
        Way::Relayed(ServerBy::Tls),
    ),
    Measurement {
        name: "goodput-0",
        rows: &[
            row(
                "rate",
                "goodput on a path of 100 Mbit/s and 50 ms, no loss",
                "Mbit/s",
                More,
                Value(95.0),
            ),
            row(
                "cpu",
                "SCTP on a path of 100 Mbit/s and 50 ms, no loss",
                "CPU s/GiB",
                Less,
                Target::None,
            ),
        ],
        who: ASSOCIATIONS,
        task: Task::Goodput { loss: 0.0 },
    },
    Measurement {
        name: "goodput-0.1",
        rows: &[row(
            "rate",
            "goodput on that path, 0.1 % loss",
            "Mbit/s",
            More,
            Value(85.0),
        )],
        who: ASSOCIATIONS,
        task: Task::Goodput { loss: 0.001 },
    },
    Measurement {
        name: "goodput-1",
        rows: &[row(
            "rate",
            "goodput on that path, 1 % loss",
            "Mbit/s",
            More,
            Value(60.0),
        )],
        who: ASSOCIATIONS,
        task: Task::Goodput { loss: 0.01 },
    },
];

impl Measurement {
    pub(crate) fn by_name(name: &str) -> Option<&'static Self> {
        MEASUREMENTS.iter().find(|one| one.name == name)
    }

    /// How often each has its turn if `asked` for so many rounds.
    pub(crate) fn rounds(&self, asked: usize) -> usize {
        match self.task {
            // Nothing but its CPU time differs from one to the next.
            Task::Goodput { .. } | Task::Connecting | Task::Ways(_) => 1,
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
            Task::Connections { .. } | Task::ConnectionSetup | Task::Connecting => match stack {
                StackName::Peerline => self.in_memory::<crate::connection::Peerline>(effort),
                #[cfg(feature = "peers")]
                StackName::Str0m => self.in_memory::<crate::connection::Str0m>(effort),
                #[cfg(feature = "peers")]
                StackName::Rtc => self.in_memory::<crate::connection::Rtc>(effort),
                _ => Err(NOT_HERE.into()),
            },
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
            Task::ConnectionSetup => machine::setup::<M>(effort),
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
            Task::ConnectionSetup => floor::handshakes(effort),
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

const NOT_HERE: &str = "not in this program, or not a measurement of it";

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
            More => ours / other,
            Less => other / ours,
        }
    }
}

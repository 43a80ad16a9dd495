//! All that is measured, in the order of the table.

use super::Better::{Less, More};
use super::Target::{TimesBest, TimesFloor, Value};
use super::{Better, Measurement, Row, Target, Task};
use crate::dtls::Handshake;
use crate::endpoint;
use crate::packets::Pace;
use crate::paths::{ServerBy, Way};
use crate::rtp::Protection;
use crate::stack::StackName;

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
        rows: &[row(
            "cpu",
            "set-up by DTLS 1.2 in memory, both sides",
            "CPU ms",
            Less,
            Value(0.5),
        )],
        who: &[StackName::Peerline, StackName::Str0m, StackName::Rtc, StackName::Floor],
        task: Task::ConnectionSetup { post_quantum: false },
    },
    Measurement {
        name: "connection-setup-1.3",
        rows: &[row(
            "cpu",
            "set-up by DTLS 1.3, X25519MLKEM768, in memory, both sides",
            "CPU ms",
            Less,
            Target::None,
        )],
        who: &[StackName::Peerline],
        task: Task::ConnectionSetup { post_quantum: true },
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
    Measurement {
        name: "first-message",
        rows: &[
            round_trips("dtls-1.2", "the first message, by DTLS 1.2", Target::None),
            round_trips("dtls-1.3", "the first message, by DTLS 1.3", Target::None),
            round_trips("snap", "the first message, by DTLS 1.3 and SNAP", Target::None),
            round_trips("sped", "the first message, by DTLS 1.3, SNAP and SPED", Value(2.0)),
        ],
        who: CONNECTIONS,
        task: Task::FirstMessage,
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

const fn row(key: &'static str, what: &'static str, unit: &'static str, better: Better, target: Target) -> Row {
    Row {
        key,
        what,
        unit,
        better,
        target,
    }
}

const fn round_trips(key: &'static str, what: &'static str, target: Target) -> Row {
    row(key, what, "round trips", Less, target)
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

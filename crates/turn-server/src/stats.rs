//! [`Stats`]: what a server counts, and how Prometheus reads it.

use std::fmt::{self, Write as _};

use peerline_turn::server;

/// What a server counted from its beginning, and what there is now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// The protocol's.
    pub turn: server::Stats,
    /// Sockets for peers there are now.
    pub relays: u64,
    /// Connections by TCP and TLS there are now, handshakes included.
    pub connections: u64,
    /// Connections closed as they came, since there were too many.
    pub connections_refused: u64,
    /// Connections closed since they had no allocation for too long.
    pub connections_idle: u64,
    /// TLS handshakes that failed, or took too long.
    pub handshakes_failed: u64,
    /// Datagrams given to the system, to clients and to peers.
    pub datagrams_sent: u64,
    /// System calls that did it.
    pub send_calls: u64,
    /// Datagrams that the system refused, or whose relay was closed meanwhile.
    pub datagrams_dropped: u64,
    /// Messages lost since a client did not read what waited for it.
    pub stream_overflows: u64,
    /// Datagrams to this host that were for none of its relays.
    pub host_refused: u64,
}

/// What is told of one figure.
struct Figure {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    value: u64,
}

impl Stats {
    /// The text format of Prometheus, version 0.0.4: `text/plain; version=0.0.4`.
    #[must_use]
    pub fn prometheus(&self) -> String {
        let mut text = String::with_capacity(4096);
        self.write(&mut text).expect("a string takes all");
        text
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        for Figure {
            name,
            kind,
            help,
            value,
        } in self.figures()
        {
            writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}")?;
        }
        let relayed = &self.turn.relayed;
        for (name, help, values) in [
            (
                "peerline_turn_relayed_datagrams_total",
                "Datagrams relayed.",
                [relayed.sent, relayed.received],
            ),
            (
                "peerline_turn_relayed_bytes_total",
                "Payload relayed.",
                [relayed.sent_bytes, relayed.received_bytes],
            ),
        ] {
            writeln!(out, "# HELP {name} {help}\n# TYPE {name} counter")?;
            for (direction, value) in ["to_peers", "to_clients"].into_iter().zip(values) {
                writeln!(out, "{name}{{direction=\"{direction}\"}} {value}")?;
            }
        }
        Ok(())
    }

    fn figures(&self) -> [Figure; 23] {
        let gauge = |name, help, value| Figure {
            name,
            kind: "gauge",
            help,
            value,
        };
        let counter = |name, help, value| Figure {
            name,
            kind: "counter",
            help,
            value,
        };
        let turn = &self.turn;
        [
            gauge("peerline_turn_allocations", "Allocations there are.", turn.allocations),
            gauge("peerline_turn_relays", "Sockets for peers there are.", self.relays),
            gauge(
                "peerline_turn_connections",
                "TCP and TLS connections there are.",
                self.connections,
            ),
            counter(
                "peerline_turn_allocations_total",
                "Allocations made.",
                turn.allocations_made,
            ),
            counter(
                "peerline_turn_bindings_total",
                "Binding requests answered.",
                turn.bindings,
            ),
            counter("peerline_turn_requests_total", "Authentic requests.", turn.requests),
            counter("peerline_turn_challenges_total", "Challenges sent.", turn.challenges),
            counter(
                "peerline_turn_wrong_credentials_total",
                "Requests with wrong credentials.",
                turn.wrong_credentials,
            ),
            counter(
                "peerline_turn_refused_total",
                "Authentic requests refused.",
                turn.refused,
            ),
            counter(
                "peerline_turn_peers_refused_total",
                "Peer addresses refused by the filter.",
                turn.peers_refused,
            ),
            counter(
                "peerline_turn_over_bandwidth_total",
                "Datagrams dropped for the limit of bandwidth.",
                turn.relayed.over_bandwidth,
            ),
            counter(
                "peerline_turn_malformed_total",
                "Messages that make no sense.",
                turn.malformed,
            ),
            counter(
                "peerline_turn_unpermitted_total",
                "Datagrams without allocation, permission or channel.",
                turn.unpermitted,
            ),
            counter(
                "peerline_turn_withheld_total",
                "Responses not sent to unproved addresses.",
                turn.withheld,
            ),
            counter(
                "peerline_turn_overflowed_total",
                "Datagrams and responses dropped since too many waited.",
                turn.overflowed,
            ),
            counter(
                "peerline_turn_log_lost_total",
                "News not kept for the log.",
                turn.log_lost,
            ),
            counter(
                "peerline_turn_connections_refused_total",
                "Connections refused since there were too many.",
                self.connections_refused,
            ),
            counter(
                "peerline_turn_connections_idle_total",
                "Connections closed for lack of an allocation.",
                self.connections_idle,
            ),
            counter(
                "peerline_turn_handshakes_failed_total",
                "TLS handshakes that failed or took too long.",
                self.handshakes_failed,
            ),
            counter(
                "peerline_turn_datagrams_sent_total",
                "Datagrams sent by UDP.",
                self.datagrams_sent,
            ),
            counter(
                "peerline_turn_send_calls_total",
                "System calls that sent them.",
                self.send_calls,
            ),
            counter(
                "peerline_turn_datagrams_dropped_total",
                "Datagrams that the system refused.",
                self.datagrams_dropped,
            ),
            counter(
                "peerline_turn_stream_overflows_total",
                "Messages lost since a client did not read.",
                self.stream_overflows,
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_figure_has_a_name_a_type_and_a_number() {
        let mut stats = Stats {
            connections: 7,
            ..Stats::default()
        };
        stats.turn.relayed.received_bytes = 1234;
        let text = stats.prometheus();
        assert!(
            text.contains("# TYPE peerline_turn_connections gauge\npeerline_turn_connections 7\n"),
            "{text}"
        );
        assert!(
            text.contains("peerline_turn_relayed_bytes_total{direction=\"to_clients\"} 1234\n"),
            "{text}"
        );
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').expect("a name and a number");
            assert!(
                value.parse::<u64>().is_ok() && name.starts_with("peerline_turn_"),
                "{line}"
            );
            let family = name.split('{').next().expect("a name");
            assert_eq!(text.matches(&format!("# TYPE {family} ")).count(), 1);
            assert_eq!(
                family.ends_with("_total"),
                text.contains(&format!("# TYPE {family} counter"))
            );
        }
    }
}

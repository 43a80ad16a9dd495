//! How long it takes from the answer's arrival to the first message on a data channel, in round trips, as a table that is checked
//! in: what DTLS 1.3, SCTP's handshake in the signalling (SNAP) and DTLS in ICE's checks (SPED) each save, also where datagrams
//! are lost.
//!
//! The path takes 50 ms each way, and so does signalling. The offerer has created the channel, and sends as soon as it is open.
//!
//! The test repeats the first seeds of each row alone. Set `UPDATE_ROUND_TRIPS=1` to run them all and to write the table anew.

mod common;

use std::fmt::Write as _;
use std::time::Duration;

use common::{Lab, config};
use peerline_connection::{Config, DataChannelInit, Event, OfferOptions, SignalingState};
use peerline_dtls::ProtocolVersion;
use peerline_sim::Link;

const ONE_WAY: Duration = Duration::from_millis(50);
const LOSSES: [f64; 3] = [0.0, 0.05, 0.2];
/// What the test repeats, and what the table is about.
const SEEDS: [u64; 2] = [40, 1_000];
/// With a fifth lost, one in a thousand handshakes takes longer, since DTLS doubles its timer. It counts as this long.
const PATIENCE: Duration = Duration::from_secs(60);
const UPDATE: &str = "UPDATE_ROUND_TRIPS";

struct Way {
    name: &'static str,
    version: ProtocolVersion,
    snap: bool,
    sped: bool,
}

const WAYS: [Way; 4] = [
    Way {
        name: "DTLS 1.2",
        version: ProtocolVersion::DTLS_1_2,
        snap: false,
        sped: false,
    },
    Way {
        name: "DTLS 1.3",
        version: ProtocolVersion::DTLS_1_3,
        snap: false,
        sped: false,
    },
    Way {
        name: "DTLS 1.3, SNAP",
        version: ProtocolVersion::DTLS_1_3,
        snap: true,
        sped: false,
    },
    Way {
        name: "DTLS 1.3, SNAP, SPED",
        version: ProtocolVersion::DTLS_1_3,
        snap: true,
        sped: true,
    },
];

impl Way {
    fn config(&self, seed: u64, who: usize) -> Config {
        Config {
            max_dtls_version: self.version,
            snap: self.snap,
            sped: self.sped,
            ..config(seed, who)
        }
    }

    /// From the answer's arrival to the message's.
    fn measure(&self, seed: u64, loss: f64) -> Duration {
        let link = Link {
            loss,
            ..Link::delay(ONE_WAY)
        };
        let mut lab = Lab::with(seed, link, [self.config(seed, 0), self.config(seed, 1)]);
        lab.signalling = ONE_WAY;
        let near = lab.open(0, "chat", DataChannelInit::default());
        lab.offer(0, OfferOptions::default());
        lab.expect("the answer", |lab| {
            lab.peer(0).signaling_state() == SignalingState::Stable
        });
        let answered = lab.now();
        if !lab.run_until(PATIENCE, |lab| lab.events[0].contains(&Event::ChannelOpen(near))) {
            return PATIENCE;
        }
        lab.send(0, near, "hello");
        let far = lab.expect_incoming(1);
        lab.expect_message(1, far);
        lab.now() - answered
    }

    /// The median and the 95th percentile, in round trips.
    fn summary(&self, seeds: u64, loss: f64) -> [f64; 2] {
        // Without loss there is no luck in it.
        let seeds = if loss > 0.0 { seeds } else { 1 };
        let mut times: Vec<_> = (0..seeds).map(|seed| self.measure(seed, loss)).collect();
        times.sort_unstable();
        let of = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
        [50, 95].map(|percent| of(percent).as_secs_f64() / (2 * ONE_WAY).as_secs_f64())
    }
}

fn table(seeds: u64) -> String {
    let mut table = format!("{:<22}", format!("{seeds} seeds"));
    for loss in LOSSES {
        write!(table, " {:>13}", format!("{}% lost", loss * 100.0)).unwrap();
    }
    for way in WAYS {
        write!(table, "\n{:<22}", way.name).unwrap();
        for loss in LOSSES {
            let [median, late] = way.summary(seeds, loss);
            write!(table, " {median:>6.2} {late:>6.2}").unwrap();
        }
    }
    table + "\n"
}

#[test]
fn the_table_is_as_checked_in() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/round_trips.txt");
    if std::env::var_os(UPDATE).is_some() {
        let head = "Round trips of 100 ms from the answer's arrival to the first message on a data channel: median and 95th percentile,\n\
            by the share of datagrams lost each way.\n";
        let [some, all] = SEEDS.map(table);
        std::fs::write(path, format!("{head}\n{all}\n{some}")).unwrap();
    }
    let expected = std::fs::read_to_string(path).unwrap();
    let table = table(SEEDS[0]);
    assert!(
        expected.ends_with(&table),
        "run with {UPDATE}=1 and look at the difference:\n{table}\nin place of\n{expected}"
    );
}

#[test]
fn all_three_take_two_round_trips_or_fewer() {
    let [.., all] = WAYS;
    assert!(all.measure(1, 0.0) <= 4 * ONE_WAY);
}

//! Goodput in virtual time, as tables that are checked in, so that a change of congestion control shows what it does: over
//! loss, round trip and message size for the default, and over loss, round trip and the bottleneck's queue for each
//! controller.
//!
//! Set `UPDATE_GOODPUT=1` to write the tables anew.

mod common;
use common::*;
use peerline_sctp::CongestionControl;
use std::fmt::Write;

const LOSSES: [f64; 4] = [0.0, 0.001, 0.01, 0.05];
const RATE: u64 = 100_000_000;

struct Path {
    rtt: Duration,
    /// Each way.
    loss: f64,
    /// Bytes that wait at the bottleneck.
    queue: usize,
}

/// Mbit/s of payload over some seconds on a link of 100 Mbit/s, in the mean.
fn goodput(path: &Path, size: usize, seconds: u32, change: impl Fn(&mut Config) + Sync) -> f64 {
    // Without loss luck decides little.
    let seeds = if path.loss > 0.0 { 3 } else { 1 };
    mean(for_seeds(seeds, |seed| goodput_of(seed, path, size, seconds, &change)))
}

fn goodput_of(seed: u64, path: &Path, size: usize, seconds: u32, change: impl Fn(&mut Config)) -> f64 {
    let link = Link {
        delay: path.rtt / 2,
        loss: path.loss,
        rate: Some(RATE),
        queue: path.queue,
        ..Link::default()
    };
    // Loss in the handshake is its own business, not this table's.
    let mut pair = connected_with(seed, &Link::delay(path.rtt / 2), change);
    pair = pair.links(&link);
    let start = pair.elapsed();
    let mut received = 0;
    let payload = Bytes::from(vec![7; size]);
    while pair.elapsed() - start < seconds * SECOND {
        let now = pair.now();
        while pair.a.buffered_amount(StreamId(1)) < 1 << 20 {
            let sent = Message::new(Ppid::BINARY, payload.clone());
            if pair.a.send(now, StreamId(1), sent, SendOptions::default()).is_err() {
                break;
            }
        }
        pair.run_for(5 * MS);
        received += drain(&mut pair.b, 1)
            .iter()
            .map(|message| message.payload.len())
            .sum::<usize>();
    }
    received as f64 * 8.0 / (pair.elapsed() - start).as_secs_f64() / 1e6
}

fn heading(table: &mut String) {
    LOSSES
        .iter()
        .for_each(|loss| write!(table, " {:>7}%", loss * 100.0).unwrap());
    table.push('\n');
}

fn compare(name: &str, table: &str) {
    let path = format!("{}/tests/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_GOODPUT").is_some() {
        std::fs::write(&path, table).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    assert_eq!(table, expected, "run with UPDATE_GOODPUT=1 and look at the difference");
}

#[test]
fn the_table_is_as_checked_in() {
    let mut table = String::from(
        "Goodput in Mbit/s over a 100 Mbit/s link, by message size, round trip and loss of datagrams (each way), in the\n\
         first five seconds, in the mean of three seeds. Written by tests/goodput.rs.\n\n",
    );
    write!(table, "{:>8} {:>8}", "message", "rtt").unwrap();
    heading(&mut table);
    for size in [100, 16_384, 262_144] {
        for rtt in [2 * MS, 20 * MS, 100 * MS] {
            write!(table, "{size:>8} {:>8}", format!("{rtt:?}")).unwrap();
            for loss in LOSSES {
                let path = Path {
                    rtt,
                    loss,
                    queue: 1_250_000,
                };
                write!(table, " {:>8.2}", goodput(&path, size, 5, |_| {})).unwrap();
            }
            table.push('\n');
        }
    }
    compare("goodput.txt", &table);
}

#[test]
fn the_table_of_controllers_is_as_checked_in() {
    let mut table = String::from(
        "Goodput in Mbit/s over a 100 Mbit/s link, messages of 16 KiB, by controller, the bottleneck's queue in parts of what\n\
         fills the path, round trip and loss of datagrams (each way), in the first ten seconds, in the mean of three\n\
         seeds. Written by tests/goodput.rs.\n\n",
    );
    write!(table, "{:>10} {:>6} {:>6}", "controller", "queue", "rtt").unwrap();
    heading(&mut table);
    for control in [
        CongestionControl::NewReno,
        CongestionControl::Cubic,
        CongestionControl::ModelBased,
    ] {
        for parts in [0.2, 2.0] {
            for rtt in [20 * MS, 50 * MS, 200 * MS] {
                write!(
                    table,
                    "{:>10} {parts:>6} {:>6}",
                    format!("{control:?}"),
                    format!("{rtt:?}")
                )
                .unwrap();
                for loss in LOSSES {
                    let queue = (RATE as f64 / 8.0 * rtt.as_secs_f64() * parts) as usize;
                    let path = Path { rtt, loss, queue };
                    let goodput = goodput(&path, 16_384, 10, |config| config.congestion_control = control);
                    write!(table, " {goodput:>8.2}").unwrap();
                }
                table.push('\n');
            }
        }
    }
    compare("controllers.txt", &table);
}

/// What the default must reach on a path of 50 ms, whatever the queue and the send buffer, and wherever the loss is.
#[test]
fn the_default_fills_a_path_that_loses() {
    for (loss, least) in [(0.0, 95.0), (0.001, 94.0), (0.01, 85.0)] {
        for (queue, send_buffer) in [(312_500, 16 << 20), (5_000_000, 1 << 20)] {
            let path = Path {
                rtt: 50 * MS,
                loss,
                queue,
            };
            let goodput = goodput(&path, 65_536, 20, |config| config.send_buffer = send_buffer);
            assert!(
                goodput >= least,
                "loss {loss}, queue {queue}, buffer {send_buffer}: {goodput}"
            );
        }
    }
}

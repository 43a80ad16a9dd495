//! Goodput over loss, round trip and message size, in virtual time: a table that is checked in, so that a change of the
//! congestion controller shows what it does.
//!
//! Set `UPDATE_GOODPUT=1` to write the table anew.

mod common;
use common::*;
use std::fmt::Write;

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goodput.txt");

/// Mbit/s of payload over five seconds on a link of 100 Mbit/s with a queue of 100 ms.
fn goodput(rtt: Duration, loss: f64, size: usize) -> f64 {
    let link = Link {
        delay: rtt / 2,
        loss,
        rate: Some(100_000_000),
        queue: 1_250_000,
        ..Link::default()
    };
    let mut pair = connected_with(7, &Link::delay(rtt / 2), |_| {});
    pair = pair.links(&link);
    let start = pair.elapsed();
    let mut received = 0;
    let payload = vec![7; size];
    while pair.elapsed() - start < 5 * SECOND {
        let now = pair.now();
        while pair.a.buffered_amount(StreamId(1)) < 1 << 20 {
            let sent = Message::new(Ppid::BINARY, Bytes::from(payload.clone()));
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

#[test]
fn the_table_is_as_checked_in() {
    let losses = [0.0, 0.001, 0.01, 0.05];
    let mut table = String::from(
        "Goodput in Mbit/s over a 100 Mbit/s link, by message size, round trip and loss of datagrams (each way).\n\
         Written by tests/goodput.rs.\n\n",
    );
    write!(table, "{:>8} {:>8}", "message", "rtt").unwrap();
    losses
        .iter()
        .for_each(|loss| write!(table, " {:>7}%", loss * 100.0).unwrap());
    table.push('\n');
    for size in [100, 16_384, 262_144] {
        for rtt in [2 * MS, 20 * MS, 100 * MS] {
            write!(table, "{size:>8} {:>8}", format!("{rtt:?}")).unwrap();
            for loss in losses {
                // Loss at both ends of a connection that is being made is the handshake's business, not this table's.
                write!(table, " {:>8.2}", goodput(rtt, loss, size)).unwrap();
            }
            table.push('\n');
        }
    }
    if std::env::var_os("UPDATE_GOODPUT").is_some() {
        std::fs::write(TABLE, &table).unwrap();
    }
    let expected = std::fs::read_to_string(TABLE).unwrap();
    assert_eq!(table, expected, "run with UPDATE_GOODPUT=1 and look at the difference");
}

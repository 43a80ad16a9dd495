//! `peerline loopback`: what it prints, and how it ends.

use std::process::{Command, Output, Stdio};

fn loopback(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_peerline"))
        .arg("loopback")
        .args(arguments)
        .output()
        .expect("the program starts")
}

#[test]
fn each_step_and_a_table() {
    let output = loopback(&["--seconds", "0.3"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );

    let (trace, table) = text.split_once("\n\n").expect("a trace and a table");
    let mut last = 0.0;
    for line in trace.lines() {
        let (milliseconds, rest) = line.split_once(" ms  ").unwrap_or_else(|| panic!("no time in {line}"));
        let milliseconds: f64 = milliseconds.trim().parse().unwrap();
        assert!((last - 5.0..60_000.0).contains(&milliseconds), "{line}");
        last = milliseconds;
        assert!(rest.starts_with("offerer ") || rest.starts_with("answerer"), "{line}");
    }
    for side in ["offerer", "answerer"] {
        for step in [
            "candidate:",
            "end of candidates",
            "ICE connected",
            "DTLS connected",
            "connection connected",
            "SCTP connected",
        ] {
            let found = trace.lines().any(|line| line.contains(side) && line.contains(step));
            assert!(found, "{side}, {step}: {trace}");
        }
    }
    // One after the other. Each side tells of its connection when it gets to it, and the channel of its own opening.
    for steps in [
        ["offer created", "answer created", "ICE checking"],
        ["answer created", "data channel \"loopback\" open", "received text"],
    ] {
        let at = steps.map(|step| trace.find(step).unwrap_or_else(|| panic!("no {step}: {trace}")));
        assert!(at.is_sorted(), "{trace}");
    }

    for (row, unit) in [
        ("set-up", "ms"),
        ("median", "ms"),
        ("99 %", "ms"),
        ("throughput", "Mbit/s"),
    ] {
        let line = table
            .lines()
            .find(|line| line.contains(row))
            .unwrap_or_else(|| panic!("no {row}: {table}"));
        let mut words = line.split_whitespace().rev();
        assert_eq!(words.next(), Some(unit), "{line}");
        let figure: f64 = words.next().unwrap().parse().unwrap();
        assert!(figure > 0.0, "{line}");
    }
}

#[test]
fn seconds_that_make_no_sense() {
    for seconds in ["0", "1e9", "NaN"] {
        let output = loopback(&["--seconds", seconds]);
        assert!(!output.status.success());
        assert!(
            String::from_utf8(output.stderr).unwrap().contains("--seconds"),
            "{seconds}"
        );
    }
}

/// As in `peerline loopback | head -1`.
#[test]
fn nobody_reads() {
    let mut process = Command::new(env!("CARGO_BIN_EXE_peerline"))
        .args(["loopback", "--seconds", "0.1"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(process.stdout.take());
    assert!(process.wait().unwrap().success());
}

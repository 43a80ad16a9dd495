//! `peerline loopback`: what it prints, and how it ends.

mod common;

use std::process::{Command, Output, Stdio};

use common::Folder;

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
        assert!((last..60_000.0).contains(&milliseconds), "{line}");
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
    // Each side tells of its path, in words: they go to each other, and no server stands between.
    let paths = ["offerer ", "answerer"].map(|side| {
        let told = format!("{side}  path: UDP from ");
        let line = trace.lines().filter_map(|line| line.split_once(&told)).next_back();
        let (_, path) = line.unwrap_or_else(|| panic!("no path of {side}: {trace}"));
        let (from, to) = path.split_once(" to ").expect("two ends");
        [from, to].map(|end| {
            let (address, words) = end.split_once(" (").expect("an address, and what it is");
            let known = ["host: its own address)", "prflx: its address as a check has shown it)"];
            assert!(known.contains(&words), "{path}");
            address.to_owned()
        })
    });
    assert!(paths[0].iter().eq(paths[1].iter().rev()), "{paths:?}");

    // One after the other. Each side tells of its connection when it gets to it, and the channel of its own opening.
    for steps in [
        ["offer created", "answer created", "ICE checking"],
        ["answer created", "data channel \"loopback\" open", "received text"],
    ] {
        let at = steps.map(|step| trace.find(step).unwrap_or_else(|| panic!("no {step}: {trace}")));
        assert!(at.is_sorted(), "{trace}");
    }

    for side in ["offerer ", "answerer"] {
        for kind in ["audio", "video"] {
            let track = format!("{side}  {kind} track from the other side, section ");
            assert_eq!(trace.matches(&track).count(), 1, "{track}: {trace}");
            let row = format!("{} received {kind}", side.trim_end());
            let line = table.lines().find_map(|line| line.trim_start().strip_prefix(&row));
            let figures = line.unwrap_or_else(|| panic!("no {row}: {table}")).split_whitespace();
            let figures: Vec<i64> = figures.map(|figure| figure.parse().unwrap()).collect();
            let [packets, bytes, lost] = figures[..] else {
                panic!("{row}: {table}");
            };
            // The smallest packet is of sound.
            assert!(packets > 0 && bytes >= 80 * packets, "{row}: {table}");
            assert!(lost < packets, "{row}: {table}");
        }
    }

    // Until the other side has told what has come, which on a busy machine takes its time, there is no figure.
    for side in ["offerer", "answerer"] {
        let told = format!("  {side} believes that the path takes ");
        let line = table.lines().find_map(|line| line.strip_prefix(&told));
        let belief = line.unwrap_or_else(|| panic!("no belief of {side}: {table}"));
        let figure = belief.split_once(" Mbit/s of media so far").map(|(figure, _)| figure);
        let is_figure = figure.is_some_and(|figure| figure.parse::<f64>().is_ok_and(|figure| figure > 0.0));
        assert!(is_figure || belief.starts_with("anything"), "{table}");
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

/// What both peers say can be read in the capture, and the secrets are there in the form that Wireshark takes.
#[test]
fn what_is_said_can_be_looked_into() {
    let folder = Folder::new("insight");
    std::fs::create_dir_all(&folder.0).unwrap();
    let [capture, key_log, other] = ["all.pcapng", "keys", "others"].map(|name| folder.0.join(name));
    std::fs::write(&key_log, "# what was there before\n").unwrap();
    let run = |variable: &str, arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_peerline"))
            .args(["loopback", "--seconds", "0.1"])
            .args(arguments)
            .env("SSLKEYLOGFILE", variable)
            .output()
            .expect("the program starts");
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let [capture_name, key_log_name, other_name] = [&capture, &key_log, &other].map(|path| path.to_str().unwrap());

    let (done, warnings) = run("", &["--capture", capture_name, "--key-log", key_log_name]);
    assert!(done, "{warnings}");
    let count = |text: &str, word: &str| text.matches(word).count();
    assert_eq!(count(&warnings, "warning"), 2, "{warnings}");
    assert!(
        warnings.contains(capture_name) && warnings.contains(key_log_name),
        "{warnings}"
    );

    let packets = std::fs::read(&capture).unwrap();
    let has = |bytes: &[u8]| packets.windows(bytes.len()).any(|part| part == bytes);
    // A Section Header Block; the label of the data channel, and what was said.
    assert_eq!(packets[..4], [0x0a, 0x0d, 0x0d, 0x0a]);
    assert!(has(b"loopback") && has(b"CLIENT_TRAFFIC_SECRET_0"));
    let secrets = std::fs::read_to_string(&key_log).unwrap();
    assert!(
        secrets.starts_with("# what was there before\nCLIENT_HANDSHAKE_TRAFFIC_SECRET "),
        "{secrets}"
    );
    assert_eq!(count(&secrets, "\nEXPORTER_SECRET "), 2, "one of each peer");
    for line in secrets.lines().skip(1) {
        let words: Vec<_> = line.split(' ').collect();
        let is_hex = |word: &str| word.len().is_multiple_of(2) && word.chars().all(|c| c.is_ascii_hexdigit());
        assert!(
            words.len() == 3 && words[1].len() == 64 && words[1..].iter().all(|word| is_hex(word)),
            "{line}"
        );
    }

    // As browsers do it.
    let (done, warnings) = run(other_name, &[]);
    assert!(done && count(&warnings, "warning") == 1, "{warnings}");
    assert!(
        std::fs::read_to_string(&other)
            .unwrap()
            .contains("CLIENT_TRAFFIC_SECRET_0")
    );

    // Not unless it is asked for.
    let before = std::fs::read(&capture).unwrap().len();
    assert_eq!(run("", &[]), (true, String::new()));
    assert_eq!(std::fs::read(&capture).unwrap().len(), before);

    let nowhere = folder.0.join("there/is/no/such/folder");
    let (done, error) = run("", &["--capture", nowhere.to_str().unwrap()]);
    assert!(!done && error.contains("cannot write the capture to"), "{error}");
}

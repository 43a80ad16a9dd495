//! `cargo xtask ci`: everything that must hold before a change lands.

use crate::test::WITH_GSTREAMER;
use crate::{fuzz, shell, test};
use std::time::Duration;

/// Long enough to replay a corpus and try some hundred thousand mutations of it.
const SECONDS_PER_FUZZ_TARGET: Duration = Duration::from_secs(5);

/// With the examples, for which cargo gives dependencies the features that tests want of them: those that clippy has checked serve
/// again. Without, a quarter of them are checked once more.
const DOCUMENTED: [&str; 6] = ["doc", "--workspace", "--no-deps", "--lib", "--bins", "--examples"];

/// Runs every step even after one has failed, so that one run shows all that is wrong; the tests' closing line comes last.
pub(crate) fn run() -> Result<(), String> {
    let mut failures = Vec::new();
    let mut step = |outcome: Result<(), String>| failures.extend(outcome.err());

    step(shell::run(&mut shell::cargo(&["fmt", "--all", "--check"])));
    let clippy = ["clippy", "--workspace", "--all-targets"];
    step(shell::run(&mut shell::cargo(
        &[&clippy[..], &WITH_GSTREAMER, &["--", "-Dwarnings"]].concat(),
    )));
    step(shell::run(
        shell::cargo(&[&DOCUMENTED[..], &WITH_GSTREAMER].concat()).env("RUSTDOCFLAGS", "-Dwarnings"),
    ));
    let report = test::run();
    step(fuzz::run(None, SECONDS_PER_FUZZ_TARGET));

    let closing_line = match report {
        Ok(report) => {
            if !report.success {
                failures.push("tests failed".to_owned());
            }
            report.to_string()
        }
        Err(error) => {
            failures.push(error);
            "no tests ran".to_owned()
        }
    };
    for failure in &failures {
        eprintln!("\nFAILED: {failure}");
    }
    println!("\n{closing_line}");
    if failures.is_empty() {
        Ok(())
    } else {
        std::process::exit(1)
    }
}

//! `cargo xtask test`: every test of the workspace, with everything it needs.

use crate::summary::Summary;
use crate::{network, shell, tools};
use std::fmt;
use std::path::PathBuf;

/// Every package: of the comparison with other stacks, what needs none of them.
const TESTED: [&str; 1] = ["--workspace"];

/// Where no networks can be made: nextest counts these as skipped. (With the fallback's runner they fail, and say why.)
const WITHOUT_NAMESPACES: [&str; 2] = ["--filterset", "not binary(=namespaces)"];

/// The records of DTLS once more, protected by the other provider of AEADs.
const OTHER_AEADS: [&str; 4] = ["--package", "peerline-dtls", "--features", "aws-lc-rs"];

/// GStreamer as a client of the program: much to install, for one test.
pub(crate) const WITH_GSTREAMER: [&str; 2] = ["--features", "peerline-cli/gstreamer"];

/// What the tests said: their counts, and whether every runner was content.
pub(crate) struct Report {
    pub(crate) summary: Summary,
    pub(crate) success: bool,
    /// What could not be tried here, and what that would take.
    left_out: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for left_out in &self.left_out {
            writeln!(f, "{left_out}")?;
        }
        write!(f, "{}", self.summary)
    }
}

/// Runs the tests and prints the closing line last: an error is empty, since the output has said it all.
pub(crate) fn run_and_report() -> Result<(), String> {
    let report = run()?;
    println!("\n{report}");
    if report.success { Ok(()) } else { Err(String::new()) }
}

/// Installs what is missing, then runs unit tests, integration tests (browsers among them) and doctests.
pub(crate) fn run() -> Result<Report, String> {
    tools::ensure_for_tests()?;

    let mut report = Report {
        summary: Summary::default(),
        success: true,
        left_out: Vec::new(),
    };
    let missing = tools::missing_for_gstreamer();
    if !missing.is_empty() {
        let packages = missing.join(" ");
        report.left_out.push(format!(
            "Not run: GStreamer as a WHIP client. It takes: apt-get install {packages}"
        ));
    }
    let mut tested = TESTED.to_vec();
    if missing.is_empty() {
        tested.extend(WITH_GSTREAMER);
    }
    let mut filter = &[][..];
    if !network::translators() {
        report
            .left_out
            .push("Not run: peers behind real translators. It takes root, network namespaces and nftables.".to_owned());
        filter = &WITHOUT_NAMESPACES;
    }
    if shell::succeeds("cargo", &["nextest", "--version"]) {
        // Its configuration says that one failure does not end the run.
        report.build_and_run(&[&["nextest", "run"][..], &tested, filter].concat())?;
        report.build_and_run(&[&["nextest", "run"][..], &OTHER_AEADS].concat())?;
        // nextest leaves these out.
        report.add(&[&["test", "--doc", "--no-fail-fast"][..], &TESTED].concat())?;
    } else {
        report.build_and_run(&[&["test", "--no-fail-fast"][..], &tested].concat())?;
        report.build_and_run(&[&["test", "--no-fail-fast"][..], &OTHER_AEADS].concat())?;
    }
    Ok(report)
}

/// The program, as it is built for the tests of its own package; it lies beside this one. Those of browsers run it, too: built by
/// itself it would have other features of its dependencies, and all of them were compiled again.
fn program() -> Result<PathBuf, String> {
    let ours = std::env::current_exe().map_err(|error| format!("where xtask lies: {error}"))?;
    Ok(ours.with_file_name(format!("peerline{}", std::env::consts::EXE_SUFFIX)))
}

impl Report {
    /// Builds with the machine's network, in which cargo may fetch, and runs without it.
    fn build_and_run(&mut self, runner: &[&str]) -> Result<(), String> {
        shell::run(&mut shell::cargo(&[runner, &["--no-run"]].concat()))?;
        self.add(runner)
    }

    fn add(&mut self, runner: &[&str]) -> Result<(), String> {
        let mut closed = false;
        let mut command = shell::cargo(runner);
        command.env("PEERLINE_PROGRAM", program()?);
        let success = shell::run_lines(&mut network::isolated(command), |line| {
            eprintln!("{line}");
            if let Some(summary) = Summary::from_closing_line(line) {
                self.summary += summary;
                closed = true;
            }
        })?;
        // A runner that never came to its end (it did not compile, say) has not passed, whatever it returned.
        self.success &= success && closed;
        Ok(())
    }
}

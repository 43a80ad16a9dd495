//! How many tests passed and failed, read from the closing lines of the test runners.

use std::fmt;
use std::ops::AddAssign;

/// Tests that passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) passed: u32,
    pub(crate) failed: u32,
}

impl Summary {
    /// The counts in a closing line of `cargo test` or `cargo nextest`; `None` for any other line.
    pub(crate) fn from_closing_line(line: &str) -> Option<Self> {
        let line = without_colours(line);
        // At the start of the line only: nextest repeats, indented, what a failed test's own runner said.
        // test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
        if let Some(rest) = line.strip_prefix("test result:") {
            let (_, counts) = rest.split_once(". ")?;
            return Some(Self::sum(counts.split(';')));
        }
        // Summary [   0.003s] 4 tests run: 2 passed (1 slow), 1 failed, 1 timed out, 0 skipped
        let (_, rest) = line.trim_start().strip_prefix("Summary")?.split_once(']')?;
        let (_, counts) = rest.split_once("run:")?;
        Some(Self::sum(counts.split(',')))
    }

    fn sum<'a>(counts: impl Iterator<Item = &'a str>) -> Self {
        let mut summary = Self::default();
        for count in counts {
            let Some((number, what)) = count.trim().split_once(' ') else {
                continue;
            };
            let Ok(number) = number.parse::<u32>() else { continue };
            match what {
                _ if what.starts_with("passed") => summary.passed += number,
                _ if what.starts_with("failed") => summary.failed += number,
                _ if what.starts_with("timed out") || what.starts_with("exec failed") => summary.failed += number,
                _ => {}
            }
        }
        summary
    }
}

impl AddAssign for Summary {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// `line` without its terminal colours (`ESC [ … m`).
fn without_colours(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut pieces = line.split('\u{1b}');
    plain.extend(pieces.next());
    for piece in pieces {
        plain.push_str(piece.split_once('m').map_or("", |(_, rest)| rest));
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(line: &str) -> Option<(u32, u32)> {
        Summary::from_closing_line(line).map(|summary| (summary.passed, summary.failed))
    }

    #[test]
    fn reads_the_closing_line_of_cargo_test() {
        let line = "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        assert_eq!(counts(line), Some((3, 0)));
        let line = "test result: FAILED. 12 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(counts(line), Some((12, 2)));
    }

    #[test]
    fn reads_the_closing_line_of_nextest() {
        assert_eq!(
            counts("     Summary [   0.003s] 1 test run: 1 passed, 0 skipped"),
            Some((1, 0))
        );
        let line = "Summary [  62.1s] 9 tests run: 5 passed (2 slow, 1 leaky), 2 failed, 1 timed out, 1 exec failed, 0 skipped";
        assert_eq!(counts(line), Some((5, 4)));
        let line = "\u{1b}[32;1m     Summary\u{1b}[0m [   0.003s] \u{1b}[1m2\u{1b}[0m tests run: \u{1b}[1m2\u{1b}[0m \u{1b}[32;1mpassed\u{1b}[0m, \u{1b}[1m0\u{1b}[0m skipped";
        assert_eq!(counts(line), Some((2, 0)));
    }

    #[test]
    fn other_lines_say_nothing() {
        for line in [
            "",
            "running 3 tests",
            "test a ... ok",
            "Summary",
            "        PASS [   0.003s] x tests::passed",
            "test result",
            "    test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 11 filtered out",
        ] {
            assert_eq!(counts(line), None, "{line}");
        }
    }
}

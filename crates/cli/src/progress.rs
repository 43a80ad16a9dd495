//! Progress: lines that are rewritten on a terminal, and elsewhere a plain one now and then.

use std::collections::HashMap;
use std::io::{IsTerminal as _, Write as _};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use peerline_recorder::Report;

use crate::host::now;

/// The lines at the bottom of the terminal, if standard error is one.
static SCREEN: LazyLock<Option<MultiProgress>> =
    LazyLock::new(|| std::io::stderr().is_terminal().then(MultiProgress::new));

/// When a plain line is printed first, and how often from then on.
const FIRST: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_secs(10);

/// Prints a line above those of the progress. Whoever reads may stop reading, as `head` does: no reason to fail.
pub(crate) fn say(line: &str) {
    let print = || {
        let _ = writeln!(std::io::stdout(), "{line}");
    };
    match &*SCREEN {
        Some(screen) => screen.suspend(print),
        None => print(),
    }
}

/// A line that is rewritten; it goes when it is dropped.
pub(crate) struct Line {
    bar: Option<ProgressBar>,
    /// When a plain line is due.
    due: Mutex<Instant>,
}

impl Line {
    /// How often it is worth to be rewritten.
    pub(crate) const TICK: Duration = Duration::from_millis(500);

    pub(crate) fn new() -> Self {
        let bar = SCREEN.as_ref().map(|screen| {
            let bar = screen.add(ProgressBar::no_length());
            match ProgressStyle::with_template("{spinner} {msg}") {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            }
        });
        Self {
            bar,
            due: Mutex::new(now() + FIRST),
        }
    }

    pub(crate) fn show(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(text.to_owned());
            bar.tick();
            return;
        }
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        if now() >= *due {
            *due = now() + PAUSE;
            say(text);
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A line for each track that is recorded.
#[derive(Default)]
pub(crate) struct Board(Mutex<HashMap<(u32, usize), Line>>);

impl Board {
    /// Shows how far the tracks of one peer are.
    pub(crate) fn show<'a>(&self, peer: u32, reports: impl Iterator<Item = &'a Report>) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (index, report) in reports.enumerate() {
            let Some(file) = report.path.as_deref().and_then(|path| path.file_name()) else {
                continue;
            };
            let line = lines.entry((peer, index)).or_insert_with(Line::new);
            line.show(&format!(
                "{}: {}, {} frames of {}, {}",
                file.to_string_lossy(),
                time(report.duration),
                report.frames,
                report.codec.encoding_name(),
                size(report.bytes),
            ));
        }
    }

    /// The recording of this peer is over.
    pub(crate) fn remove(&self, peer: u32) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.retain(|(other, _), _| *other != peer);
    }
}

/// Hours, if there are any, minutes and seconds.
pub(crate) fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        hours => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

pub(crate) fn size(bytes: u64) -> String {
    match bytes as f64 {
        bytes if bytes >= 1e9 => format!("{:.2} GB", bytes / 1e9),
        bytes if bytes >= 1e6 => format!("{:.1} MB", bytes / 1e6),
        bytes => format!("{:.1} kB", bytes / 1e3),
    }
}

/// `bits` a second.
pub(crate) fn rate(bits: f64) -> String {
    if bits >= 1e9 {
        format!("{:.2} Gbit/s", bits / 1e9)
    } else if bits >= 1e6 {
        format!("{:.2} Mbit/s", bits / 1e6)
    } else {
        format!("{:.0} kbit/s", bits / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        let times = [0, 59, 61, 3599, 3661, 360_000].map(|seconds| time(Duration::from_secs(seconds)));
        assert_eq!(times, ["0:00", "0:59", "1:01", "59:59", "1:01:01", "100:00:00"]);
        assert_eq!(
            [size(0), size(999_949), size(1_250_000)],
            ["0.0 kB", "999.9 kB", "1.2 MB"]
        );
        assert_eq!(
            [rate(0.0), rate(64_000.0), rate(2_345_000.0)],
            ["0 kbit/s", "64 kbit/s", "2.35 Mbit/s"]
        );
    }
}

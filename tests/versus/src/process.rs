//! What this process costs: the clock, its CPU time, its memory.

use std::time::{Duration, Instant, SystemTime};

use nix::time::{ClockId, clock_gettime};

/// The time: measuring is what this program is for.
#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The date, for certificates.
#[expect(clippy::disallowed_methods, reason = "a certificate says from when it holds")]
pub(crate) fn today() -> SystemTime {
    SystemTime::now()
}

/// CPU time, user and system, of all threads so far.
pub(crate) fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)
        .expect("Linux has this clock")
        .into()
}

/// Memory resident now, in KiB.
pub(crate) fn resident_kib() -> f64 {
    read("/proc/self/status")
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|value| value.trim().strip_suffix("kB"))
        .and_then(|value| value.trim().parse().ok())
        .expect("status has VmRSS")
}

/// Datagrams that this process's sockets had no room for, while they are open.
pub(crate) fn datagrams_dropped() -> u64 {
    let links = std::fs::read_dir("/proc/self/fd").expect("Linux has /proc");
    let sockets: Vec<String> = links
        .filter_map(|link| std::fs::read_link(link.ok()?.path()).ok())
        .filter_map(|target| Some(target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    // The tenth column is the socket's inode, the last what was dropped.
    let dropped = |line: &str| {
        let columns: Vec<&str> = line.split_ascii_whitespace().collect();
        let inode = *columns.get(9)?;
        let ours = sockets.iter().any(|socket| socket == inode);
        columns.last().filter(|_| ours)?.parse::<u64>().ok()
    };
    let table = |path| -> u64 { read(path).lines().filter_map(dropped).sum() };
    table("/proc/self/net/udp") + table("/proc/self/net/udp6")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).expect("Linux has /proc")
}

/// Wall and CPU time since a moment.
pub(crate) struct Stopwatch {
    start: Instant,
    cpu: Duration,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self {
            start: now(),
            cpu: cpu_time(),
        }
    }

    pub(crate) fn wall(&self) -> Duration {
        now() - self.start
    }

    pub(crate) fn cpu(&self) -> Duration {
        cpu_time() - self.cpu
    }
}

/// The value below which `share` of them are (0.5: the median). They must not be empty.
pub(crate) fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * share).round() as usize]
}

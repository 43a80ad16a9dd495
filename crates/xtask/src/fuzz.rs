//! `cargo xtask fuzz`: libFuzzer on stable Rust, without cargo-fuzz.
//!
//! `libfuzzer-sys` brings libFuzzer itself; all that cargo-fuzz would add are the compiler flags for coverage, and those
//! are stable. What a run finds goes to a temporary folder, so a run leaves `fuzz/corpus` as it was; inputs that crash a
//! target go to `fuzz/artifacts`.

use crate::{shell, tools};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Coverage as libFuzzer reads it: a counter per edge, their addresses, and the operands of comparisons.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing";

/// An input this long is already more than a datagram.
const MAX_LEN: usize = 4096;
const MEMORY_LIMIT_MIB: usize = 2048;
const SECONDS_PER_INPUT: u64 = 10;

/// Fuzzes `target`, or all of them, for `time` each.
pub(crate) fn run(target: Option<&str>, time: Duration) -> Result<(), String> {
    tools::ensure_for_fuzzing()?;
    let folder = shell::root().join("fuzz");
    let all = targets(&folder)?;
    let chosen = match target {
        Some(name) if all.iter().any(|known| known == name) => vec![name.to_owned()],
        Some(name) => return Err(format!("no fuzz target {name}; there are: {}", all.join(", "))),
        None => all,
    };
    let programs = build(&folder, target)?;
    let failures = on_every_core(&chosen, |target| fuzz(&folder, &programs, target, time).err());
    if failures.is_empty() {
        Ok(())
    } else {
        Err(failures.join("\n"))
    }
}

/// What `work` has to say of each item, as many at a time as there are cores: a fuzzer uses one.
fn on_every_core<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> Option<R> + Sync) -> Vec<R> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let worker = || -> Vec<R> {
        let taken = std::iter::from_fn(|| items.get(next.fetch_add(1, Ordering::Relaxed)));
        taken.filter_map(&work).collect()
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(worker)).collect();
        let results = workers
            .into_iter()
            .map(|worker| worker.join().expect("no worker panics"));
        results.flatten().collect()
    })
}

/// The names of the files in `fuzz_targets`, sorted.
fn targets(folder: &Path) -> Result<Vec<String>, String> {
    let files = std::fs::read_dir(folder.join("fuzz_targets")).map_err(|error| format!("fuzz_targets: {error}"))?;
    let mut names: Vec<String> = files
        .filter_map(|file| file.ok().map(|file| file.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    Ok(names)
}

/// Builds `target`, or all, and returns the folder of the programs.
fn build(folder: &Path, target: Option<&str>) -> Result<PathBuf, String> {
    let host = host()?;
    let output = match std::env::var_os("CARGO_TARGET_DIR") {
        Some(shared) => PathBuf::from(shared).join("fuzz"),
        None => folder.join("target"),
    };
    // `--target` keeps the flags away from build scripts and procedural macros.
    let mut cargo = shell::cargo(&["build", "--release", "--target", &host]);
    cargo
        .arg("--manifest-path")
        .arg(folder.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&output);
    match target {
        Some(target) => cargo.args(["--bin", target]),
        None => cargo.arg("--bins"),
    };
    shell::run(cargo.env("RUSTFLAGS", COVERAGE))?;
    Ok(output.join(host).join("release"))
}

fn host() -> Result<String, String> {
    let output = Command::new("rustc")
        .arg("-vV")
        .output()
        .map_err(|error| format!("rustc: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned)
        .ok_or_else(|| "rustc -vV names no host".to_owned())
}

/// Replays the corpus of `target`, then mutates it for `time`. Quiet unless something is found.
fn fuzz(folder: &Path, programs: &Path, target: &str, time: Duration) -> Result<(), String> {
    let seeds = folder.join("corpus").join(target);
    if std::fs::read_dir(&seeds).is_ok_and(|mut files| files.next().is_none()) || !seeds.is_dir() {
        return Err(format!("fuzz target {target} has no corpus in {}", seeds.display()));
    }
    let found = std::env::temp_dir().join(format!("peerline-fuzz-{}-{target}", std::process::id()));
    let artifacts = folder.join("artifacts").join(target);
    for needed in [&found, &artifacts] {
        std::fs::create_dir_all(needed).map_err(|error| format!("{}: {error}", needed.display()))?;
    }

    let mut command = Command::new(programs.join(target));
    command
        .arg(format!("-max_total_time={}", time.as_secs()))
        .arg(format!("-max_len={MAX_LEN}"));
    command
        .arg(format!("-rss_limit_mb={MEMORY_LIMIT_MIB}"))
        .arg(format!("-timeout={SECONDS_PER_INPUT}"));
    command.arg(format!("-artifact_prefix={}/", artifacts.display()));
    // libFuzzer writes what it finds to the first folder, and only reads the others.
    command.arg(&found).arg(&seeds).current_dir(folder);
    let mut log = Vec::new();
    let success = shell::run_lines(&mut command, |line| log.push(line.to_owned()))?;
    std::fs::remove_dir_all(&found).map_err(|error| format!("{}: {error}", found.display()))?;

    if !success {
        eprintln!("{}", log.join("\n"));
        return Err(format!(
            "fuzz target {target} failed; its input lies in {}",
            artifacts.display()
        ));
    }
    if !log.iter().any(|line| line.starts_with("INFO: Loaded 1 modules")) {
        return Err(format!("fuzz target {target} was built without coverage counters"));
    }
    let last = log
        .iter()
        .rev()
        .find(|line| line.starts_with("Done") || line.starts_with('#'));
    eprintln!("{target}: {}", last.map_or("", String::as_str));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_worked_on_once() {
        let items: Vec<u32> = (0..100).collect();
        let mut odd = on_every_core(&items, |item| (item % 2 == 1).then_some(*item));
        odd.sort_unstable();
        assert_eq!(odd, (1..100).step_by(2).collect::<Vec<_>>());
    }
}

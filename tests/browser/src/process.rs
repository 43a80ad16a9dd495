//! A browser's process group and profile, both gone when their test is.

use crate::Result;
use std::io::PipeWriter;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, io, process};

/// A shell watches over each browser: it kills the browser's whole process group and removes the profile as soon as
/// file 2, a pipe that nobody writes to, ends. That is when [`Process`] is dropped, or when the test process dies of
/// anything, be it SIGKILL. The browser gets our pipes as files 3 and 4 (Chromium's `--remote-debugging-pipe`).
const WATCH: &str = r#"
profile=$1; log=$2; shift 2
exec 3<&0 4>&1 </dev/null >"$log"
setsid "$@" 2>&1 &
exec 3<&- 4>&-
read -r _ <&2
kill -s KILL -- -$!
wait
for _ in 1 2 3 4 5 6 7 8 9 10; do rm -rf "$profile" && break; sleep 0.1; done
"#;

/// A running browser.
pub(crate) struct Process {
    pub(crate) watcher: Child,
    profile: PathBuf,
    lifeline: Option<PipeWriter>,
}

/// An empty folder for a browser's profile.
pub(crate) fn new_profile() -> Result<PathBuf> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!(
        "peerline-browser-{}-{}",
        process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    );
    let folder = env::temp_dir().join(name);
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(folder)
}

impl Process {
    /// Starts the first of `programs` that is installed, with `arguments`, using `profile` (and removing it afterwards).
    pub(crate) fn start(programs: &[&str], arguments: &[&str], profile: PathBuf) -> Result<Self> {
        let program = find(programs)?;
        let (end, lifeline) = io::pipe().map_err(|error| error.to_string())?;
        let log = profile.join("stderr.log");
        let mut shell = Command::new("sh");
        shell
            .args(["-c", WATCH, "watch"])
            .arg(&profile)
            .arg(&log)
            .arg(&program)
            .args(arguments);
        // A home of its own: nothing of the user's is read or written.
        shell.env("HOME", &profile).env("MOZ_CRASHREPORTER_DISABLE", "1");
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(end);
        let watcher = shell
            .spawn()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        Ok(Self {
            watcher,
            profile,
            lifeline: Some(lifeline),
        })
    }

    pub(crate) fn profile(&self) -> &Path {
        &self.profile
    }

    /// Kills the browser as a power failure would: no goodbye reaches its peers.
    pub(crate) fn kill(&mut self) {
        self.lifeline = None;
        // The shell fails only at what it was told to end anyway.
        let _ = self.watcher.wait();
    }

    /// What the browser wrote to its standard output and errors, without the complaint that there is no desktop.
    pub(crate) fn log(&self) -> String {
        let log = fs::read(self.profile.join("stderr.log")).unwrap_or_default();
        String::from_utf8_lossy(&log)
            .lines()
            .filter(|line| !line.contains("dbus"))
            .collect::<Vec<_>>()
            .join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn find(programs: &[&str]) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = env::split_paths(&path).collect();
    let mut candidates = programs
        .iter()
        .flat_map(|program| folders.iter().map(move |folder| folder.join(program)));
    candidates.find(|file| file.is_file()).ok_or_else(|| {
        format!(
            "{} is not installed: `cargo xtask test` installs it, or says how",
            programs.join(" or ")
        )
    })
}

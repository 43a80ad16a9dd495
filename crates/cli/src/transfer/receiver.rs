//! The side that gets the file.

use std::fs::{self, File, OpenOptions};
use std::io::{IsTerminal as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use peerline::{Bytes, DataChannel, Message};
use ring::digest::{Context, SHA256};
use tokio::sync::mpsc;

use super::code::hex;
use super::name;
use super::protocol::{AHEAD, Control, Meter, Outcome, STEP, unexpected};
use super::sender::{prefix, printable};
use crate::progress::{say, size as amount};

/// How long the other side may take to hear that all is there.
const GOODBYE: Duration = Duration::from_secs(3);

/// Where the file goes.
pub(super) struct Target {
    /// A folder, or a file's name; `None` for the name that the sender gives, here.
    pub(super) output: Option<PathBuf>,
    pub(super) force: bool,
    /// What was agreed to: asked for once.
    chosen: Mutex<Option<PathBuf>>,
}

impl Target {
    pub(super) fn new(output: Option<PathBuf>, force: bool) -> Self {
        Self {
            output,
            force,
            chosen: Mutex::new(None),
        }
    }

    /// The path for a file of this name; why not, if there is something.
    fn choose(&self, name: &str) -> Result<PathBuf, String> {
        let mut chosen = self.chosen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = &*chosen {
            return Ok(path.clone());
        }
        let path = match &self.output {
            Some(folder) if folder.is_dir() => folder.join(name::safe(name)),
            Some(file) => file.clone(),
            None => PathBuf::from(name::safe(name)),
        };
        if !self.force && fs::symlink_metadata(&path).is_ok() && !may_overwrite(&path) {
            return Err(format!(
                "{} exists: --force overwrites it, --output chooses another name",
                path.display()
            ));
        }
        Ok(chosen.insert(path).clone())
    }
}

/// Asks, where there is somebody to be asked.
fn may_overwrite(path: &Path) -> bool {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return false;
    }
    eprint!("{} exists. Overwrite it? [y/N] ", path.display());
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).is_ok() && answer.trim().eq_ignore_ascii_case("y")
}

/// A file that is not whole yet, beside the place where it will be.
struct Partial {
    file: File,
    context: Context,
    length: u64,
}

impl Partial {
    /// Opens it; what lies there of an earlier transfer counts, if it is no longer than the file. Nobody else may write it.
    fn open(path: &Path, size: u64) -> Result<Self, String> {
        let path = name::partial(path);
        let wrong = |error: std::io::Error| format!("{}: {error}", path.display());
        if fs::symlink_metadata(&path).is_ok_and(|facts| !facts.is_file()) {
            return Err(format!("{} is no file: it is left alone", path.display()));
        }
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(wrong)?;
        file.try_lock()
            .map_err(|_| format!("{} is being written by another transfer", path.display()))?;
        let length = file.metadata().map_err(wrong)?.len();
        let there = if length <= size {
            prefix(&mut file, length).map_err(wrong)?
        } else {
            None
        };
        match there {
            Some(context) => Ok(Self { file, context, length }),
            None => Self::empty(file).map_err(wrong),
        }
    }

    fn empty(mut file: File) -> std::io::Result<Self> {
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        Ok(Self {
            file,
            context: Context::new(&SHA256),
            length: 0,
        })
    }

    fn hash(&self) -> String {
        hex(self.context.clone().finish().as_ref())
    }

    /// Writes what comes, until nothing more does.
    fn write(mut self, mut pieces: mpsc::Receiver<Bytes>) -> std::io::Result<Self> {
        while let Some(bytes) = pieces.blocking_recv() {
            self.file.write_all(&bytes)?;
            self.context.update(&bytes);
            self.length += bytes.len() as u64;
        }
        self.file.flush()?;
        Ok(self)
    }
}

/// Receives the file over one connection.
pub(super) async fn receive(target: Arc<Target>, channel: DataChannel) -> Outcome {
    match transfer(&target, &channel).await {
        Ok(outcome) => {
            // It was told that all is there: it ends the connection when it has heard.
            let _ = tokio::time::timeout(GOODBYE, channel.closed()).await;
            outcome
        }
        Err(Outcome::Failed(why)) => {
            let _ = Control::Refuse { why: why.clone() }.send(&channel).await;
            let _ = tokio::time::timeout(GOODBYE, channel.closed()).await;
            Outcome::Failed(why)
        }
        Err(outcome) => outcome,
    }
}

async fn transfer(target: &Arc<Target>, channel: &DataChannel) -> Result<Outcome, Outcome> {
    let Control::File { name, size } = Control::parse(channel.recv().await)? else {
        return Err(unexpected());
    };
    let (path, partial) = blocking({
        let (target, name) = (Arc::clone(target), name.clone());
        move || {
            let path = target.choose(&name)?;
            let partial = Partial::open(&path, size)?;
            Ok((path, partial))
        }
    })
    .await?;
    let want = Control::Want {
        from: partial.length,
        sha256: partial.hash(),
    };
    want.send(channel).await?;
    let shown = path.display().to_string();
    let partial = match Control::parse(channel.recv().await)? {
        Control::Begin { from } if from == partial.length => {
            if from > 0 {
                say(&format!("{shown}: {} are here already", amount(from)));
            }
            partial
        }
        Control::Begin { from: 0 } => {
            say(&format!(
                "{shown}: what lay here in part is of another file, or changed: it begins anew"
            ));
            blocking(move || Partial::empty(partial.file).map_err(|error| error.to_string())).await?
        }
        Control::Abort { why } => return Err(aborted(&why)),
        _ => return Err(unexpected()),
    };
    let mut meter = Meter::new(&shown, size, partial.length);
    let (partial, sha256) = take(channel, partial, size, &mut meter).await?;

    let hash = partial.hash();
    if hash != sha256 {
        let _ = fs::remove_file(name::partial(&path));
        return Err(Outcome::Failed(format!(
            "what came is not what was sent: its SHA-256 is {hash}, not {}",
            printable(&sha256)
        )));
    }
    let summary = meter.summary(size);
    let (target, done) = (Arc::clone(target), path.clone());
    blocking(move || keep(&target, &partial, &done)).await?;
    Control::Received { sha256: hash.clone() }.send(channel).await?;
    Ok(Outcome::Done(format!("{shown} is here: {summary}\nSHA-256 {hash}")))
}

/// Takes the rest of the file, and the hash of all of it.
async fn take(
    channel: &DataChannel,
    partial: Partial,
    size: u64,
    meter: &mut Meter,
) -> Result<(Partial, String), Outcome> {
    let mut received = partial.length;
    let mut told = received;
    let (out, pieces) = mpsc::channel(AHEAD);
    let writer = tokio::task::spawn_blocking(move || partial.write(pieces));
    let end = loop {
        match channel.recv().await {
            Some(Message::Binary(bytes)) if bytes.len() as u64 <= size - received => {
                received += bytes.len() as u64;
                meter.show(received);
                // It has ended: the disk is full, or the like.
                if out.send(bytes).await.is_err() {
                    break Ok(String::new());
                }
                if received >= told + STEP {
                    told = received;
                    if let Err(outcome) = (Control::Got { to: told }).send(channel).await {
                        break Err(outcome);
                    }
                }
            }
            Some(Message::Binary(_)) => break Err(unexpected()),
            message => match Control::parse(message) {
                Ok(Control::End { sha256 }) if received == size => break Ok(sha256),
                Ok(Control::Abort { why }) => break Err(aborted(&why)),
                Ok(_) => break Err(unexpected()),
                Err(outcome) => break Err(outcome),
            },
        }
    };
    // All that came is written, also when the connection is lost: the next one goes on there.
    drop(out);
    let written = writer.await.map_err(|error| Outcome::Failed(error.to_string()))?;
    let partial = written.map_err(|error| Outcome::Failed(format!("it cannot be written: {error}")))?;
    Ok((partial, end?))
}

/// Gives the file its name.
fn keep(target: &Target, partial: &Partial, path: &Path) -> Result<(), String> {
    let wrong = |error: std::io::Error| format!("{}: {error}", path.display());
    partial.file.sync_all().map_err(wrong)?;
    let part = name::partial(path);
    if target.force || fs::symlink_metadata(path).is_err() || may_overwrite(path) {
        return fs::rename(&part, path).map_err(wrong);
    }
    Err(format!(
        "{} has come into being meanwhile: the file is {}",
        path.display(),
        part.display()
    ))
}

fn aborted(why: &str) -> Outcome {
    Outcome::Failed(format!("the other side cannot go on: {}", printable(why)))
}

async fn blocking<T: Send + 'static>(task: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, Outcome> {
    match tokio::task::spawn_blocking(task).await {
        Ok(done) => done.map_err(Outcome::Failed),
        Err(error) => Err(Outcome::Failed(error.to_string())),
    }
}

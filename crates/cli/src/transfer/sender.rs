//! The side that has the file.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use peerline::{Bytes, DataChannel};
use ring::digest::{Context, SHA256};
use tokio::sync::mpsc;

use super::code::hex;
use super::protocol::{AHEAD, Control, Meter, Outcome, PIECE, WINDOW, unexpected};
use crate::progress::say;

/// A file to be sent.
pub(super) struct Source {
    path: PathBuf,
    pub(super) name: String,
    pub(super) size: u64,
}

/// What the disk gives.
enum Piece {
    Begin(u64),
    Data(Bytes),
    End(String),
    Failed(String),
}

impl Source {
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let wrong = |why: &str| format!("{}: {why}", path.display());
        let file = File::open(path).map_err(|error| wrong(&error.to_string()))?;
        let facts = file.metadata().map_err(|error| wrong(&error.to_string()))?;
        if !facts.is_file() {
            return Err(wrong("this is no file: pack folders into one, with tar or zip"));
        }
        let name = path.file_name().ok_or_else(|| wrong("this has no name"))?;
        Ok(Self {
            path: path.to_owned(),
            name: name.to_string_lossy().into_owned(),
            size: facts.len(),
        })
    }

    /// Reads from where the other side has as much as this, without waiting for the network any longer than `AHEAD` pieces.
    fn read(&self, from: u64, sha256: &str, out: &mpsc::Sender<Piece>) {
        if let Err(why) = self.try_read(from, sha256, out) {
            let _ = out.blocking_send(Piece::Failed(format!("{}: {why}", self.path.display())));
        }
    }

    fn try_read(&self, from: u64, sha256: &str, out: &mpsc::Sender<Piece>) -> Result<(), String> {
        let text = |error: std::io::Error| error.to_string();
        let mut file = File::open(&self.path).map_err(text)?;
        let (mut context, from) = match prefix(&mut file, from).map_err(text)? {
            Some(context) if hex(context.clone().finish().as_ref()) == sha256 => (context, from),
            Some(_) | None => {
                file.seek(SeekFrom::Start(0)).map_err(text)?;
                (Context::new(&SHA256), 0)
            }
        };
        let send = |piece| out.blocking_send(piece).is_ok();
        if !send(Piece::Begin(from)) {
            return Ok(());
        }
        let mut left = self.size - from;
        while left > 0 {
            let mut piece = vec![0; left.min(PIECE as u64) as usize];
            file.read_exact(&mut piece)
                .map_err(|error| format!("it has become shorter while it was sent ({error})"))?;
            context.update(&piece);
            left -= piece.len() as u64;
            if !send(Piece::Data(piece.into())) {
                return Ok(());
            }
        }
        send(Piece::End(hex(context.finish().as_ref())));
        Ok(())
    }
}

/// The hash of the first `length` bytes, and the file behind them; `None` if it has not so many.
pub(super) fn prefix(file: &mut File, length: u64) -> std::io::Result<Option<Context>> {
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; PIECE * 4];
    let mut left = length;
    while left > 0 {
        let part = &mut buffer[..left.min((PIECE * 4) as u64) as usize];
        let read = file.read(part)?;
        if read == 0 {
            return Ok(None);
        }
        context.update(&part[..read]);
        left -= read as u64;
    }
    Ok(Some(context))
}

/// Sends the file over one connection.
pub(super) async fn send(source: Arc<Source>, channel: DataChannel) -> Outcome {
    transfer(&source, &channel).await.unwrap_or_else(|outcome| outcome)
}

async fn transfer(source: &Arc<Source>, channel: &DataChannel) -> Result<Outcome, Outcome> {
    channel.opened().await.map_err(|_| Outcome::Lost)?;
    let Source { name, size, .. } = &**source;
    let file = Control::File {
        name: name.clone(),
        size: *size,
    };
    file.send(channel).await?;
    let (from, sha256) = match Control::parse(channel.recv().await)? {
        Control::Want { from, sha256 } if from <= *size => (from, sha256),
        Control::Refuse { why } => return Err(refused(&why)),
        _ => return Err(unexpected()),
    };
    let (out, mut pieces) = mpsc::channel(AHEAD);
    let reader = Arc::clone(source);
    tokio::task::spawn_blocking(move || reader.read(from, &sha256, &out));
    let mut meter = Meter::new(name, *size, 0);
    let (mut done, mut written) = (0, 0);
    loop {
        let piece = tokio::select! {
            piece = pieces.recv(), if done <= written + WINDOW => piece.ok_or(Outcome::Lost)?,
            message = channel.recv() => match Control::parse(message)? {
                Control::Got { to } if to <= done => {
                    written = to;
                    continue;
                }
                Control::Refuse { why } => return Err(refused(&why)),
                _ => return Err(unexpected()),
            },
        };
        match piece {
            Piece::Begin(begin) => {
                if begin > 0 {
                    say(&format!("{name}: {} are there already", crate::progress::size(begin)));
                }
                (done, written) = (begin, begin);
                meter = Meter::new(name, *size, begin);
                Control::Begin { from: begin }.send(channel).await?;
            }
            Piece::Data(bytes) => {
                let length = bytes.len() as u64;
                channel.send(bytes).await.map_err(|_| Outcome::Lost)?;
                done += length;
                meter.show(done);
            }
            Piece::End(sha256) => {
                Control::End { sha256: sha256.clone() }.send(channel).await?;
                confirm(channel, &sha256).await?;
                return Ok(Outcome::Done(format!(
                    "{name} is there: {}\nSHA-256 {sha256}",
                    meter.summary(done)
                )));
            }
            Piece::Failed(why) => {
                Control::Abort { why: why.clone() }.send(channel).await?;
                return Err(Outcome::Failed(why));
            }
        }
    }
}

/// Waits until the other side says that it has all, and the same.
async fn confirm(channel: &DataChannel, sha256: &str) -> Result<(), Outcome> {
    loop {
        match Control::parse(channel.recv().await)? {
            Control::Got { .. } => {}
            Control::Received { sha256: there } if there == sha256 => return Ok(()),
            Control::Received { .. } => return Err(Outcome::Failed("the other side has another file now".into())),
            Control::Refuse { why } => return Err(refused(&why)),
            _ => return Err(unexpected()),
        }
    }
}

/// What the other side wrote is shown on a terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .take(300)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn refused(why: &str) -> Outcome {
    Outcome::Failed(format!("the other side does not take it: {}", printable(why)))
}

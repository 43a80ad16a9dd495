//! What both sides say over their data channel: texts of JSON, and the file's bytes in binary messages in between.
//!
//! ```text
//! sender                                   receiver
//! {"file": {name, size}}            ---->
//!                                   <----  {"want": {from, sha256}}     of what is there already
//! {"begin": {from}}                 ---->                               there, if those bytes are the same here, or at 0
//! bytes …                           ---->
//!                                   <----  {"got": {to}}                now and then, when it is written
//! {"end": {sha256}}                 ---->                               of the whole file
//!                                   <----  {"received": {sha256}}
//! ```
//!
//! So a transfer goes on where an earlier one ended, whoever ended it and whenever, and never after bytes that are not the file's.

use std::time::{Duration, Instant};

use peerline::{DataChannel, Message};
use serde::{Deserialize, Serialize};

use crate::host::now;
use crate::progress::{self, Line};

/// The protocol of the data channel.
pub(super) const PROTOCOL: &str = "peerline-file";
/// The bytes of one message: what every WebRTC peer takes.
pub(super) const PIECE: usize = 64 * 1024;
/// How much may be under way that the receiver has not written: a page cannot make a data channel wait, and would hold all of it.
pub(super) const WINDOW: u64 = 32 * 1024 * 1024;
/// How often the receiver tells how far it is.
pub(super) const STEP: u64 = 4 * 1024 * 1024;
/// Messages between the network and the disk.
pub(super) const AHEAD: usize = 16;

/// A text.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Control {
    File {
        name: String,
        size: u64,
    },
    Want {
        from: u64,
        sha256: String,
    },
    Begin {
        from: u64,
    },
    Got {
        to: u64,
    },
    End {
        sha256: String,
    },
    Received {
        sha256: String,
    },
    /// The receiver does not take it, or could not write it, or what came is not what was sent.
    Refuse {
        why: String,
    },
    /// The sender cannot go on.
    Abort {
        why: String,
    },
}

/// How a transfer over one connection ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The file is there, and this is to be told.
    Done(String),
    /// The connection ended before: another one may go on.
    Lost,
    /// No other connection would change it.
    Failed(String),
}

impl Control {
    pub(super) async fn send(&self, channel: &DataChannel) -> Result<(), Outcome> {
        let text = serde_json::to_string(self).map_err(|error| Outcome::Failed(error.to_string()))?;
        channel.send(text).await.map_err(|_| Outcome::Lost)
    }

    pub(super) fn parse(message: Option<Message>) -> Result<Self, Outcome> {
        match message {
            None => Err(Outcome::Lost),
            Some(Message::Text(text)) => serde_json::from_str(&text).map_err(|error| {
                tracing::debug!("{error}: {text:.200}");
                unexpected()
            }),
            Some(Message::Binary(_)) => Err(unexpected()),
        }
    }
}

pub(super) fn unexpected() -> Outcome {
    Outcome::Failed("the other side speaks another language: is it the same version?".into())
}

/// Shows how far a transfer is.
pub(super) struct Meter {
    line: Line,
    name: String,
    size: u64,
    /// Where this connection began.
    from: u64,
    begun: Instant,
    due: Instant,
}

impl Meter {
    pub(super) fn new(name: &str, size: u64, from: u64) -> Self {
        let begun = now();
        Self {
            line: Line::new(),
            name: name.to_owned(),
            size,
            from,
            begun,
            due: begun,
        }
    }

    pub(super) fn show(&mut self, done: u64) {
        let now = now();
        if now < self.due {
            return;
        }
        self.due = now + Line::TICK;
        let rate = (done - self.from) as f64 / (now - self.begun).as_secs_f64().max(0.001);
        let left = match rate {
            rate if rate > 0.0 => {
                let left = Duration::try_from_secs_f64((self.size - done) as f64 / rate).unwrap_or(Duration::MAX);
                format!(", {} left", progress::time(left))
            }
            _ => String::new(),
        };
        let percent = if self.size == 0 {
            100.0
        } else {
            done as f64 * 100.0 / self.size as f64
        };
        self.line.show(&format!(
            "{}: {percent:.0} % of {}, {}{left}",
            self.name,
            progress::size(self.size),
            progress::rate(rate * 8.0),
        ));
    }

    /// How long it took, and how fast it was.
    pub(super) fn summary(&self, done: u64) -> String {
        let seconds = (now() - self.begun).as_secs_f64();
        let rate = (done - self.from) as f64 * 8.0 / seconds.max(0.001);
        format!(
            "{} in {seconds:.1} s, {}",
            progress::size(done - self.from),
            progress::rate(rate)
        )
    }
}

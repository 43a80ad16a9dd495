//! What both remote protocols have in common: JSON written to one stream, and read from another with a time limit.

use crate::Result;
use serde_json::Value;
use std::io::Write;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Instant;

pub(crate) struct Wire {
    output: Box<dyn Write + Send>,
    input: Receiver<Value>,
}

impl Wire {
    /// `next_frame` reads one JSON text; a thread calls it until it returns `None`.
    pub(crate) fn new(
        output: impl Write + Send + 'static,
        mut next_frame: impl FnMut() -> Option<Vec<u8>> + Send + 'static,
    ) -> Self {
        let (sender, input) = channel();
        thread::spawn(move || {
            while let Some(value) = next_frame().and_then(|frame| serde_json::from_slice(&frame).ok()) {
                if sender.send(value).is_err() {
                    break;
                }
            }
        });
        Self {
            output: Box::new(output),
            input,
        }
    }

    pub(crate) fn send(&mut self, frame: &[u8]) -> Result<()> {
        self.output
            .write_all(frame)
            .and_then(|()| self.output.flush())
            .map_err(|error| format!("browser: {error}"))
    }

    /// The next message, unless `deadline` comes first.
    pub(crate) fn receive(&self, deadline: Instant) -> Result<Value> {
        let left = deadline.saturating_duration_since(Instant::now());
        self.input.recv_timeout(left).map_err(|error| match error {
            RecvTimeoutError::Timeout => "the browser did not answer in time".to_owned(),
            RecvTimeoutError::Disconnected => "the browser is gone".to_owned(),
        })
    }
}

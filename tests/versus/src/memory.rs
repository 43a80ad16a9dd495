//! What an idle pair keeps resident: two connections with their sockets, one open channel, and whatever task it takes to
//! keep them alive and to wait for a message.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::Result;
use crate::measurement::{Effort, Figure};
use crate::process::resident_kib;
use crate::stack::{Channel, Pair, Stack};

const SEND_BUFFER: usize = 128 << 10;

/// Pairs connected at once: few, or the memory of handshakes under way would count.
const AT_ONCE: usize = 4;

/// How long after the last connection memory is read: handshakes have settled.
const SETTLE: Duration = Duration::from_secs(1);

pub(crate) async fn measure<S: Stack>(effort: Effort) -> Result<Vec<Figure>> {
    // The first ones pay for what is there once a process: providers, buffers of the runtime, the heap's arenas.
    let mut idle = Idle::default();
    idle.add::<S>(2 * AT_ONCE).await?;
    let before = resident_kib();

    idle.add::<S>(effort.connections).await?;
    if idle.waiting.try_join_next().is_some() {
        return Err("an idle connection did not stay up".into());
    }
    let grown = resident_kib() - before;
    idle.close().await;
    Ok(vec![("pair", grown / effort.connections as f64)])
}

/// Connected ends, each with a task that waits for a message.
#[derive(Default)]
struct Idle {
    waiting: JoinSet<()>,
    enough: Arc<Notify>,
}

impl Idle {
    async fn add<S: Stack>(&mut self, pairs: usize) -> Result<()> {
        for _ in 0..pairs / AT_ONCE {
            let mut batch: JoinSet<_> = (0..AT_ONCE).map(|_| S::connect(SEND_BUFFER)).collect();
            while let Some(pair) = batch.join_next().await {
                let Pair { offerer, answerer } = pair??;
                self.waiting.spawn(wait(offerer, Arc::clone(&self.enough)));
                self.waiting.spawn(wait(answerer, Arc::clone(&self.enough)));
            }
        }
        tokio::time::sleep(SETTLE).await;
        Ok(())
    }

    /// A stack with threads of its own does not survive it if the process ends around them.
    async fn close(mut self) {
        self.enough.notify_waiters();
        while self.waiting.join_next().await.is_some() {}
    }
}

async fn wait(mut end: impl Channel, enough: Arc<Notify>) {
    tokio::select! {
        () = enough.notified() => end.close().await,
        _ = end.recv() => {}
    }
}

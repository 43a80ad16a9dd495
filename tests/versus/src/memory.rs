//! What an idle pair keeps resident: two connections with their sockets, one open channel, and whatever task it takes to
//! keep them alive and to wait for a message.

use std::time::Duration;

use tokio::task::JoinSet;

use crate::Result;
use crate::measurement::{Effort, Figure, Metric};
use crate::process::resident_kib;
use crate::stack::{Channel, Pair, Stack};

const SEND_BUFFER: usize = 128 << 10;

/// Pairs connected at once: few, or the memory of handshakes under way would count.
const AT_ONCE: usize = 4;

/// How long after the last connection memory is read: handshakes have settled.
const SETTLE: Duration = Duration::from_secs(1);

pub(crate) async fn measure<S: Stack>(effort: Effort) -> Result<Vec<Figure>> {
    // The first ones pay for what is there once a process: providers, buffers of the runtime, the heap's arenas.
    let mut waiting = JoinSet::new();
    add_pairs::<S>(2 * AT_ONCE, &mut waiting).await?;
    let before = resident_kib();

    add_pairs::<S>(effort.connections, &mut waiting).await?;
    if waiting.try_join_next().is_some() {
        return Err("an idle connection did not stay up".into());
    }
    Ok(vec![(
        Metric::Memory,
        (resident_kib() - before) / effort.connections as f64,
    )])
}

async fn add_pairs<S: Stack>(count: usize, waiting: &mut JoinSet<()>) -> Result<()> {
    for _ in 0..count / AT_ONCE {
        let mut batch: JoinSet<_> = (0..AT_ONCE).map(|_| S::connect(SEND_BUFFER)).collect();
        while let Some(pair) = batch.join_next().await {
            let Pair {
                mut offerer,
                mut answerer,
            } = pair??;
            waiting.spawn(async move { drop(offerer.recv().await) });
            waiting.spawn(async move { drop(answerer.recv().await) });
        }
    }
    tokio::time::sleep(SETTLE).await;
    Ok(())
}

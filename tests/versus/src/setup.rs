//! How long it takes from nothing to an open channel, and what it costs.

use tokio::task::JoinSet;

use crate::Result;
use crate::measurement::{Effort, Figure};
use crate::process::{Stopwatch, now, quantile};
use crate::stack::{Channel, Pair, Stack};

const SEND_BUFFER: usize = 128 << 10;

/// Connections made at once where only their CPU time counts: some stacks mostly wait.
const AT_ONCE: usize = 16;

/// One after the other for the time, many at once for the CPU time (making, opening, closing). Another pair is open all the
/// while, as in any program with more than one connection: the first socket with receive offload has the kernel patch its
/// own code, and the last one undoes it.
pub(crate) async fn measure<S: Stack>(effort: Effort) -> Result<Vec<Figure>> {
    let Pair {
        mut offerer,
        mut answerer,
    } = S::connect(SEND_BUFFER).await?;
    tokio::spawn(async move { offerer.recv().await });
    tokio::spawn(async move { answerer.recv().await });

    let end = now() + effort.window;
    let mut times = Vec::new();
    while times.len() < 2 * effort.connections && (now() < end || times.len() < 3) {
        times.push(connect_and_close::<S>().await? * 1e3);
    }

    let (end, stopwatch) = (now() + effort.window, Stopwatch::start());
    let mut connections = 0;
    while now() < end {
        let mut batch: JoinSet<_> = (0..AT_ONCE).map(|_| connect_and_close::<S>()).collect();
        while let Some(connected) = batch.join_next().await {
            connected??;
            connections += 1;
        }
    }
    Ok(vec![
        ("p50", quantile(&mut times, 0.5)),
        ("p99", quantile(&mut times, 0.99)),
        ("cpu", stopwatch.cpu().as_secs_f64() * 1e3 / f64::from(connections)),
    ])
}

/// Seconds from nothing to a channel open at both ends.
async fn connect_and_close<S: Stack>() -> Result<f64> {
    let start = now();
    let Pair { offerer, answerer } = S::connect(SEND_BUFFER).await?;
    let time = now() - start;
    offerer.close().await;
    answerer.close().await;
    Ok(time.as_secs_f64())
}

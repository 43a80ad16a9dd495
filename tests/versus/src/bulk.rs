//! How much goes through one channel in one direction.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;

use crate::Result;
use crate::measurement::{Effort, Figure};
use crate::process::{Stopwatch, datagrams_dropped, now};
use crate::stack::{Channel, Pair, Stack};

/// The largest message that all stacks take.
const MESSAGE: usize = 64 << 10;

/// Mbit/s (`rate`) and CPU seconds per GiB (`cpu`).
pub(crate) async fn measure<S: Stack>(send_buffer: usize, effort: Effort) -> Result<Vec<Figure>> {
    let transfer = transfer::<S>(send_buffer, MESSAGE, effort).await?;
    Ok(rate_and_cost(
        transfer.messages * MESSAGE as f64,
        transfer.wall,
        transfer.cpu,
    ))
}

/// The two figures of `bytes` that took so long.
pub(crate) fn rate_and_cost(bytes: f64, wall: Duration, cpu: Duration) -> Vec<Figure> {
    vec![
        ("rate", bytes * 8.0 / wall.as_secs_f64() / 1e6),
        ("cpu", cpu.as_secs_f64() / (bytes / f64::from(1 << 30))),
    ]
}

/// The figure that is no row: datagrams for which there was no room in a receive buffer. What a stack with a long minimum
/// timeout gets through depends on whether there were any.
pub(crate) const DROPS: &str = "drops";

/// What arrived in a window of time, and what it cost both sides.
pub(crate) struct Transfer {
    pub(crate) drops: f64,
    pub(crate) messages: f64,
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
}

/// One task sends messages of `size` bytes as fast as it may, another receives and counts.
pub(crate) async fn transfer<S: Stack>(send_buffer: usize, size: usize, effort: Effort) -> Result<Transfer> {
    let Pair { offerer, mut answerer } = S::connect(send_buffer).await?;
    let sender = tokio::spawn(send(offerer, Bytes::from(vec![0x5a; size])));

    tokio::select! {
        biased;
        transfer = counted(&mut answerer, size, effort) => transfer,
        Ok(Err(error)) = sender => Err(error),
    }
}

async fn counted(channel: &mut impl Channel, size: usize, effort: Effort) -> Result<Transfer> {
    receive(channel, size, effort.warm_up).await?;
    let stopwatch = Stopwatch::start();
    let messages = receive(channel, size, effort.window).await? as f64;
    let (wall, cpu) = (stopwatch.wall(), stopwatch.cpu());
    Ok(Transfer {
        messages,
        wall,
        cpu,
        drops: datagrams_dropped() as f64,
    })
}

async fn send(mut channel: impl Channel, payload: Bytes) -> Result<Infallible> {
    loop {
        channel.send(&payload).await?;
    }
}

/// Counts what arrives in `window`; ends with one of the first messages after it.
async fn receive(channel: &mut impl Channel, size: usize, window: Duration) -> Result<usize> {
    // Reading the clock costs as much as a tenth of a small message.
    let between_readings = (MESSAGE / size).clamp(1, 16);
    let end = now() + window;
    let mut messages = 0;
    loop {
        if channel.recv().await? != size {
            return Err("a message of another length arrived".into());
        }
        messages += 1;
        if messages % between_readings == 0 && now() >= end {
            return Ok(messages);
        }
    }
}

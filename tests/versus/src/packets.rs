//! How RTP goes through one connection over sockets: one stream of video, packet by packet.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use crate::Result;
use crate::bulk::DROPS;
use crate::measurement::{Effort, Figure};
use crate::process::{Stopwatch, datagrams_dropped, now};
use crate::rtp::{PAYLOAD, Protection};
use crate::stack::{MediaStack, PacketReceiver, PacketSender};

/// How fast packets come.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// As fast as they are received: no more than [`WINDOW`] are under way.
    FlatOut,
    /// As a camera gives them.
    Frames,
}

/// Packets that are written at once, where as many as possible are.
pub(crate) const BURST: usize = 32;
/// Packets under way at most: more would overrun a receive buffer of the system's default size, which some stacks keep.
pub(crate) const WINDOW: usize = 2 * BURST;

/// 50 Mbit/s.
const FRAME: usize = 87;
const FRAMES_PER_SECOND: f64 = 60.0;

/// What has not come after so long is lost.
const PATIENCE: Duration = Duration::from_millis(50);

/// When how many packets are to be written.
pub(crate) struct Burst {
    size: usize,
    window: usize,
    /// With ticks, a frame each.
    ticks: Option<Interval>,
}

impl Burst {
    pub(crate) fn flat_out(size: usize, window: usize) -> Self {
        Self {
            size,
            window,
            ticks: None,
        }
    }

    pub(crate) fn frames() -> Self {
        let mut ticks = interval(Duration::from_secs_f64(FRAMES_PER_SECOND.recip()));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        Self {
            size: FRAME,
            window: FRAME,
            ticks: Some(ticks),
        }
    }

    /// Where packets that are under way have their place; whoever receives them gives it back.
    pub(crate) fn room(&self) -> Arc<Semaphore> {
        Arc::new(Semaphore::new(self.window))
    }

    /// Waits until so many packets are to be written.
    pub(crate) async fn next(&mut self, room: &Semaphore) -> Result<usize> {
        if let Some(ticks) = &mut self.ticks {
            ticks.tick().await;
            return Ok(self.size);
        }
        // What has not come by then was lost.
        if let Ok(permits) = timeout(PATIENCE, room.acquire_many(self.size as u32)).await {
            permits?.forget();
        }
        Ok(self.size)
    }
}

/// Packets a second (`rate`), and CPU µs for each (`each`), both sides.
pub(crate) async fn measure<S: MediaStack>(protection: Protection, pace: Pace, effort: Effort) -> Result<Vec<Figure>> {
    let (sender, mut receiver) = S::connect_media(protection).await?;
    let burst = match pace {
        Pace::FlatOut => Burst::flat_out(BURST, WINDOW),
        Pace::Frames => Burst::frames(),
    };
    let room = burst.room();
    let payload = Bytes::from(vec![0x5a; PAYLOAD]);
    let mut sender = tokio::spawn(send(sender, payload, burst, Arc::clone(&room)));
    let figures = tokio::select! {
        biased;
        figures = counted(&mut receiver, &room, effort) => figures,
        Ok(Err(error)) = &mut sender => return Err(error),
    };
    // It must not be sending while the process ends: threads of a library would find their memory gone.
    if !sender.is_finished() {
        sender.abort();
        let _ = sender.await;
    }
    figures
}

async fn send(
    mut sender: impl PacketSender,
    payload: Bytes,
    mut burst: Burst,
    room: Arc<Semaphore>,
) -> Result<Infallible> {
    loop {
        let count = tokio::select! {
            biased;
            count = burst.next(&room) => count?,
            end = sender.attend() => return end,
        };
        sender.send(&payload, count).await?;
    }
}

async fn counted(receiver: &mut impl PacketReceiver, room: &Semaphore, effort: Effort) -> Result<Vec<Figure>> {
    receive(receiver, room, effort.warm_up).await?;
    let stopwatch = Stopwatch::start();
    let packets = receive(receiver, room, effort.window).await? as f64;
    Ok(vec![
        ("rate", packets / stopwatch.wall().as_secs_f64()),
        ("each", stopwatch.cpu().as_secs_f64() * 1e6 / packets),
        (DROPS, datagrams_dropped() as f64),
    ])
}

/// Counts what comes in `window`; ends with what comes first after it.
async fn receive(receiver: &mut impl PacketReceiver, room: &Semaphore, window: Duration) -> Result<usize> {
    let end = now() + window;
    let mut packets = 0;
    while now() < end {
        let came = receiver.recv().await?;
        packets += came;
        room.add_permits(came);
    }
    Ok(packets)
}

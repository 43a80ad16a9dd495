//! Bare UDP with segmentation offload, and the algorithms of SRTP over each datagram.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use peerline_udp::{Inbox, Outbox, Socket};
use peerline_wire::{FiveTuple, Transmit};
use tokio::sync::Semaphore;

use super::packet::Cipher;
use super::{BATCH, DATAGRAM};
use crate::measurement::{Effort, Figure};
use crate::packets::{BURST, Burst, Pace, WINDOW};
use crate::process::{Stopwatch, now};
use crate::rtp::Protection;
use crate::srtp::Profile;
use crate::{Result, bulk};

/// More than this under way overruns the largest receive buffer.
const MOST_UNDER_WAY: usize = 1 << 20;

/// Datagrams in batches, sealed and opened with AES-128-GCM, as fast as they are received.
pub(crate) async fn bulk(send_buffer: usize, effort: Effort) -> Result<Vec<Figure>> {
    let window = send_buffer.min(MOST_UNDER_WAY) / DATAGRAM;
    let burst = Burst::flat_out(BATCH, window);
    let Run { payload, wall, cpu, .. } = run(Profile::Gcm128, burst, effort).await?;
    Ok(bulk::rate_and_cost(payload as f64, wall, cpu))
}

/// RTP packets, as the stacks get them to send: CPU µs for each (`each`).
pub(crate) async fn packets(protection: Protection, pace: Pace, effort: Effort) -> Result<Vec<Figure>> {
    let burst = match pace {
        Pace::FlatOut => Burst::flat_out(BURST, WINDOW),
        Pace::Frames => Burst::frames(),
    };
    let Run { datagrams, cpu, .. } = run(protection.profile(), burst, effort).await?;
    Ok(vec![("each", cpu.as_secs_f64() * 1e6 / datagrams as f64)])
}

struct Run {
    datagrams: usize,
    /// Bytes that were sealed and opened.
    payload: usize,
    wall: Duration,
    cpu: Duration,
}

async fn run(profile: Profile, burst: Burst, effort: Effort) -> Result<Run> {
    let any_port = (Ipv4Addr::LOCALHOST, 0).into();
    let (from, to) = (Socket::bind(any_port)?, Socket::bind(any_port)?);
    let path = FiveTuple::udp(from.local_addr(), to.local_addr());
    let room = burst.room();

    tokio::spawn(send(from, path, Cipher::new(profile)?, burst, Arc::clone(&room)));

    let (cipher, mut inbox) = (Cipher::new(profile)?, Inbox::new());
    let (warm, end) = (now() + effort.warm_up, now() + effort.warm_up + effort.window);
    let (mut datagrams, mut payload, mut stopwatch) = (0, 0, None);
    while now() < end {
        to.readable().await?;
        let Ok(batch) = inbox.recv(&to) else { continue };
        let mut count = 0;
        for mut datagram in batch {
            payload += cipher.open(&mut datagram.payload).ok_or("a datagram was altered")?;
            count += 1;
        }
        datagrams += count;
        room.add_permits(count);
        if stopwatch.is_none() && now() >= warm {
            (datagrams, payload, stopwatch) = (0, 0, Some(Stopwatch::start()));
        }
    }
    let stopwatch = stopwatch.ok_or("nothing arrived")?;
    let (wall, cpu) = (stopwatch.wall(), stopwatch.cpu());
    Ok(Run {
        datagrams,
        payload,
        wall,
        cpu,
    })
}

async fn send(
    socket: Socket,
    path: FiveTuple,
    cipher: Cipher,
    mut burst: Burst,
    room: Arc<Semaphore>,
) -> Result<Infallible> {
    let mut outbox = Outbox::new();
    loop {
        for _ in 0..burst.next(&room).await? {
            outbox.push(|out| {
                let start = out.len();
                out.resize(start + DATAGRAM - cipher.tag_len(), 0x5a);
                cipher.seal(out, start)?;
                Some(Transmit {
                    five_tuple: path,
                    ecn: None,
                    len: DATAGRAM,
                })
            });
        }
        outbox.flush(|_| Some(&socket));
    }
}

//! Stacks without I/O, two of them in memory: what is measured when the kernel is left out.
//!
//! Datagrams go from one to the other as from a driver with segmentation offload: a batch is appended to one buffer, which is
//! copied once and split. Everything runs on one thread.

pub(crate) mod first_message;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use peerline_sim::{Link, Wire};

use crate::Result;
use crate::measurement::{Effort, Figure};
use crate::process::{Stopwatch, now};

/// A machine that is fed datagrams and the time: an association of SCTP, or a whole peer with a data channel.
pub(crate) trait Machine: Sized {
    /// Two that know of each other (offer and answer are exchanged, where there are such) and are yet to connect. The first
    /// sends, and may have `send_buffer` bytes under way.
    fn pair(now: Instant, send_buffer: usize) -> Result<[Self; 2]>;

    fn handle_datagram(&mut self, now: Instant, datagram: BytesMut) -> Result<()>;
    fn handle_timeout(&mut self, now: Instant) -> Result<()>;
    /// Appends a datagram and says how long it is.
    fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<usize>;
    fn poll_timeout(&mut self) -> Option<Instant>;

    /// Whether messages can be sent, or received.
    fn is_open(&mut self) -> bool;
    /// Takes a message to send, unless there is no room.
    fn send(&mut self, now: Instant, payload: &Bytes) -> Result<bool>;
    /// The length of the next message, whose bytes are then in one piece.
    fn recv(&mut self, now: Instant) -> Option<usize>;
}

/// As many datagrams as one segmentation offload takes.
const BATCH: usize = 64;

/// As many messages as are sent before the other side has its turn: with every byte of the send buffer sent at once, those who
/// search what is in flight would search more than they ever have on a network.
const RUN: usize = 64;

/// A machine of media, whose messages are RTP packets.
pub(crate) trait Forward: Machine {
    type Packet;

    /// The next packet that came.
    fn recv_packet(&mut self) -> Option<Self::Packet>;
    /// Sends a packet on that came to another.
    fn forward(&mut self, now: Instant, packet: &Self::Packet) -> Result<()>;
}

/// As many as are fed by one publisher.
const VIEWERS: usize = 50;

/// CPU µs for each packet that leaves (`each`): a server forwards what one publisher sends to 50 viewers. The publisher's part,
/// a packet made and taken in for 50, is in it; the viewers' is not: what they would get is thrown away.
pub(crate) fn forward<M: Forward>(size: usize, effort: Effort) -> Result<Vec<Figure>> {
    let mut publisher = Pair::<M>::connected(SETUP_SEND_BUFFER)?;
    let mut viewers = Vec::with_capacity(VIEWERS);
    for _ in 0..VIEWERS {
        let [server, _] = Pair::<M>::connected(SETUP_SEND_BUFFER)?.machines;
        viewers.push(server);
    }
    let payload = Bytes::from(vec![0x5a; size]);
    let (mut out, mut packets) = (Vec::new(), Vec::new());
    let mut run_for = |window: Duration| -> Result<usize> {
        let end = now() + window;
        let mut count = 0;
        loop {
            let now = now();
            if now >= end {
                return Ok(count);
            }
            // As many as a frame has.
            for _ in 0..FRAME {
                publisher.machines[0].send(now, &payload)?;
            }
            publisher.carry(0, now)?;
            packets.extend(std::iter::from_fn(|| publisher.machines[1].recv_packet()));
            publisher.carry(1, now)?;
            // A viewer at a time, each with all of the frame: what is known of it is fetched from memory once.
            for viewer in &mut viewers {
                for packet in &packets {
                    viewer.forward(now, packet)?;
                }
                out.clear();
                while viewer.poll_transmit(now, &mut out).is_some() {
                    count += 1;
                }
                if viewer.poll_timeout().is_some_and(|at| at <= now) {
                    viewer.handle_timeout(now)?;
                }
            }
            packets.clear();
            publisher.fire(now)?;
        }
    };
    run_for(effort.warm_up)?;
    let stopwatch = Stopwatch::start();
    let packets = run_for(effort.window)? as f64;
    Ok(vec![("each", stopwatch.cpu().as_secs_f64() * 1e6 / packets)])
}

/// Packets of one frame: 3 Mbit/s at 30 frames a second.
const FRAME: usize = 10;

/// Two connected machines and what is under way between their users.
struct Pair<M> {
    machines: [M; 2],
    send_buffer: usize,
    under_way: usize,
    out: Vec<u8>,
}

/// CPU seconds per GiB (`cpu`) and µs for each message (`each`): messages of `size` bytes, one way.
pub(crate) fn transfer<M: Machine>(send_buffer: usize, size: usize, effort: Effort) -> Result<Vec<Figure>> {
    let mut pair = Pair::<M>::connected(send_buffer)?;
    let payload = Bytes::from(vec![0x5a; size]);
    pair.transfer_for(effort.warm_up, &payload)?;
    let stopwatch = Stopwatch::start();
    let messages = pair.transfer_for(effort.window, &payload)? as f64;
    let cpu = stopwatch.cpu().as_secs_f64();
    Ok(vec![
        ("cpu", cpu / (messages * size as f64 / f64::from(1 << 30))),
        ("each", cpu * 1e6 / messages),
    ])
}

/// CPU milliseconds (`cpu`) from nothing to both open, and gone again. Waiting takes no time.
pub(crate) fn setup<M: Machine>(effort: Effort) -> Result<Vec<Figure>> {
    Pair::<M>::connected(SETUP_SEND_BUFFER)?;
    let (end, stopwatch) = (now() + effort.window, Stopwatch::start());
    let mut count = 0;
    while now() < end {
        drop(Pair::<M>::connected(SETUP_SEND_BUFFER)?);
        count += 1;
    }
    Ok(vec![("cpu", stopwatch.cpu().as_secs_f64() * 1e3 / f64::from(count))])
}

const SETUP_SEND_BUFFER: usize = 128 << 10;

impl<M: Machine> Pair<M> {
    fn new(now: Instant, send_buffer: usize) -> Result<Self> {
        Ok(Self::of(M::pair(now, send_buffer)?, send_buffer))
    }

    fn of(machines: [M; 2], send_buffer: usize) -> Self {
        Self {
            machines,
            send_buffer,
            under_way: 0,
            out: Vec::new(),
        }
    }

    fn connected(send_buffer: usize) -> Result<Self> {
        let mut now = now();
        let mut pair = Self::new(now, send_buffer)?;
        // A handshake takes a dozen flights, and a timer or two.
        for _ in 0..1_000 {
            // Both are asked: some do nothing else without.
            if pair.machines.each_mut().map(M::is_open) == [true; 2] {
                return Ok(pair);
            }
            if pair.exchange(now)? == 0 {
                now = pair.next_timeout().ok_or("not connected, and no timer")?.max(now);
                pair.fire(now)?;
            }
        }
        Err("not connected".into())
    }

    /// How many messages arrived.
    fn transfer_for(&mut self, window: Duration, payload: &Bytes) -> Result<usize> {
        let end = now() + window;
        let mut messages = 0;
        loop {
            let now = now();
            if now >= end {
                return Ok(messages);
            }
            self.fill(now, payload, RUN)?;
            self.carry(0, now)?;
            messages += self.drain(now, payload.len())?;
            self.carry(1, now)?;
            self.fire(now)?;
        }
    }

    /// Sends as much as may be under way, but no more than `most` messages.
    fn fill(&mut self, now: Instant, payload: &Bytes, most: usize) -> Result<()> {
        for _ in 0..most {
            if self.under_way + payload.len() > self.send_buffer || !self.machines[0].send(now, payload)? {
                break;
            }
            self.under_way += payload.len();
        }
        Ok(())
    }

    fn drain(&mut self, now: Instant, size: usize) -> Result<usize> {
        let mut messages = 0;
        while let Some(len) = self.machines[1].recv(now) {
            if len != size {
                return Err("a message of another length arrived".into());
            }
            self.under_way -= len;
            messages += 1;
        }
        Ok(messages)
    }

    fn exchange(&mut self, now: Instant) -> Result<usize> {
        Ok(self.carry(0, now)? + self.carry(1, now)?)
    }

    /// Carries a batch; how many datagrams it was.
    fn carry(&mut self, from: usize, now: Instant) -> Result<usize> {
        let [a, b] = &mut self.machines;
        let (from, to) = if from == 0 { (a, b) } else { (b, a) };
        self.out.clear();
        let mut lengths = [0; BATCH];
        let mut count = 0;
        while count < BATCH {
            let Some(len) = from.poll_transmit(now, &mut self.out) else {
                break;
            };
            lengths[count] = len;
            count += 1;
        }
        let mut batch = BytesMut::from(&self.out[..]);
        for &len in &lengths[..count] {
            to.handle_datagram(now, batch.split_to(len))?;
        }
        Ok(count)
    }

    fn next_timeout(&mut self) -> Option<Instant> {
        self.machines.iter_mut().filter_map(Machine::poll_timeout).min()
    }

    fn fire(&mut self, now: Instant) -> Result<()> {
        for machine in &mut self.machines {
            if machine.poll_timeout().is_some_and(|at| at <= now) {
                machine.handle_timeout(now)?;
            }
        }
        Ok(())
    }
}

/// More than the path holds.
const PATH_SEND_BUFFER: usize = 2 << 20;
const PATH_MESSAGE: usize = 64 << 10;

/// Mbit/s of payload (`rate`) in virtual time: 100 Mbit/s, a round trip of 50 ms, a queue of as much, random loss each way;
/// from the first message on, so slow start counts. And the CPU time it took (`cpu`), per GiB.
pub(crate) fn goodput<M: Machine>(loss: f64, quick: bool) -> Result<Vec<Figure>> {
    let mut pair = Pair::<M>::connected(PATH_SEND_BUFFER)?;
    let link = Link {
        delay: Duration::from_millis(25),
        loss,
        rate: Some(100_000_000),
        queue: 625_000,
        ..Link::default()
    };
    let mut path = Path::new(&link);
    let payload = Bytes::from(vec![0x5a; PATH_MESSAGE]);
    let stopwatch = Stopwatch::start();
    let start = now();
    let end = start + Duration::from_secs(if quick { 5 } else { 20 });
    let (mut now, mut messages) = (start, 0);
    while now < end {
        pair.fill(now, &payload, usize::MAX)?;
        path.take(&mut pair, now)?;
        now = path.next(&mut pair, now).min(end);
        path.deliver(&mut pair, now)?;
        pair.fire(now)?;
        messages += pair.drain(now, PATH_MESSAGE)?;
    }
    let bytes = (messages * PATH_MESSAGE) as f64;
    Ok(vec![
        ("rate", bytes * 8.0 / (end - start).as_secs_f64() / 1e6),
        ("cpu", stopwatch.cpu().as_secs_f64() / (bytes / f64::from(1 << 30))),
    ])
}

/// Milliseconds in virtual time until both are open, with round trips of 50 ms (`rtt-50`) and of 200 ms (`rtt-200`).
pub(crate) fn time_to_connect<M: Machine>() -> Result<Vec<Figure>> {
    let figure = |(key, rtt): (_, u64)| {
        let link = Link::delay(Duration::from_millis(rtt) / 2);
        let start = now();
        let mut pair = Pair::<M>::new(start, SETUP_SEND_BUFFER)?;
        let mut path = Path::new(&link);
        let mut now = start;
        // Both are asked: some do nothing else without.
        while pair.machines.each_mut().map(M::is_open) != [true; 2] {
            path.take(&mut pair, now)?;
            now = path.next(&mut pair, now);
            path.deliver(&mut pair, now)?;
            pair.fire(now)?;
            if now > start + CONNECTING {
                return Err("not connected".into());
            }
        }
        Ok((key, (now - start).as_secs_f64() * 1e3))
    };
    [("rtt-50", 50), ("rtt-200", 200)].into_iter().map(figure).collect()
}

/// Nobody takes as long to connect.
const CONNECTING: Duration = Duration::from_secs(60);

/// Both directions of a path in virtual time.
struct Path {
    wires: [Wire; 2],
    /// To whom, by arrival and then the order of sending.
    arriving: BTreeMap<(Instant, u64), (usize, BytesMut)>,
    sent: u64,
}

impl Path {
    fn new(link: &Link) -> Self {
        Self {
            wires: [Wire::new(link.clone(), 1), Wire::new(link.clone(), 2)],
            arriving: BTreeMap::new(),
            sent: 0,
        }
    }

    fn take<M: Machine>(&mut self, pair: &mut Pair<M>, now: Instant) -> Result<()> {
        (0..2).try_for_each(|from| self.take_from(from, pair, now))
    }

    fn take_from<M: Machine>(&mut self, from: usize, pair: &mut Pair<M>, now: Instant) -> Result<()> {
        loop {
            pair.out.clear();
            if pair.machines[from].poll_transmit(now, &mut pair.out).is_none() {
                return Ok(());
            }
            for (at, datagram) in self.wires[from].send(now, &pair.out) {
                self.arriving.insert((at, self.sent), (1 - from, datagram));
                self.sent += 1;
            }
        }
    }

    /// When something happens next. A timer that stays in the past is looked at every millisecond.
    fn next<M: Machine>(&self, pair: &mut Pair<M>, now: Instant) -> Instant {
        let arrival = self.arriving.first_key_value().map(|((at, _), _)| *at);
        let timeout = pair
            .next_timeout()
            .map(|at| if at > now { at } else { now + Duration::from_millis(1) });
        let next = arrival.into_iter().chain(timeout).min();
        next.map_or(now + Duration::from_millis(1), |at| at.max(now))
    }

    fn deliver<M: Machine>(&mut self, pair: &mut Pair<M>, now: Instant) -> Result<()> {
        while let Some(first) = self.arriving.first_entry() {
            if first.key().0 > now {
                break;
            }
            let (to, datagram) = first.remove();
            pair.machines[to].handle_datagram(now, datagram)?;
        }
        Ok(())
    }
}

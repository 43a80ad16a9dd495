//! Sending: datagrams laid end to end in one buffer. Runs of equal size, and what goes to many places, leave with one system call.

use std::io;
use std::net::SocketAddr;

use peerline_wire::Transmit;

use crate::Socket;

/// The most that one system call may carry: the largest UDP payload, less what IPv6 headers take.
const RUN_SIZE: usize = 65_535 - 40 - 8;

/// The most datagrams that one system call may carry, where the system can segment.
const MAX_SEGMENTS: usize = 64;

/// What happened to the datagrams that were pushed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams given to the kernel.
    pub sent: u64,
    /// Datagrams dropped: the system refused them (no route, forbidden, too long) or no socket has their address. As with
    /// any loss on the way, retransmission is the business of the protocols above.
    pub dropped: u64,
    /// System calls that sent them: as many as `sent` where the system takes one at a time, far fewer where it takes more.
    pub calls: u64,
}

/// Datagrams on their way out: one `Vec` into which machines append them, and where each ends and goes.
///
/// [`push`](Self::push) until there is nothing to send or [`bytes`](Self::bytes) is enough, then
/// [`flush`](Self::flush). What a full socket did not take stays, in order, for the next flush.
#[derive(Debug, Default)]
pub struct Outbox {
    buffer: Vec<u8>,
    queue: Vec<Transmit>,
    blocked: Vec<SocketAddr>,
    counters: Counters,
}

impl Outbox {
    /// An empty outbox. It grows to what is pushed between two flushes, and keeps that memory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets `poll` append one datagram (a machine's `poll_transmit`); false if it had none.
    pub fn push(&mut self, poll: impl FnOnce(&mut Vec<u8>) -> Option<Transmit>) -> bool {
        let before = self.buffer.len();
        let Some(transmit) = poll(&mut self.buffer) else {
            debug_assert_eq!(self.buffer.len(), before, "nothing to send, yet bytes were appended");
            self.buffer.truncate(before);
            return false;
        };
        debug_assert_eq!(
            self.buffer.len(),
            before + transmit.len,
            "a transmit describes the bytes just appended"
        );
        self.queue.push(transmit);
        true
    }

    /// Bytes waiting to be sent.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.buffer.len()
    }

    /// What waits is as much as this many system calls can send, if all datagrams are as long as the last one: to take more
    /// would make a call for few.
    #[must_use]
    pub fn fills(&self, calls: usize) -> bool {
        let fit = self
            .queue
            .last()
            .map_or(MAX_SEGMENTS, |last| RUN_SIZE / last.len.max(1));
        self.queue.len() >= calls * fit.clamp(1, MAX_SEGMENTS) || self.buffer.len() >= calls * RUN_SIZE
    }

    /// Datagrams waiting to be sent.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Nothing waits to be sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The local addresses (as in the transmits) whose socket was full at the last flush; wait until those sockets can
    /// send, then flush again.
    #[must_use]
    pub fn blocked(&self) -> &[SocketAddr] {
        &self.blocked
    }

    /// What happened so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Sends what waits, without waiting; `socket` finds the socket for a datagram's local address. True if all is gone;
    /// false if a socket was full: what goes through it stays, what goes through others is sent.
    ///
    /// Neighbours with the same five-tuple, ECN codepoint and length leave with one system call where the system can
    /// segment; the last one of such a run may be shorter. Neighbours that go from one address to various ones leave with one
    /// system call on Linux.
    pub fn flush<'s>(&mut self, mut socket: impl FnMut(SocketAddr) -> Option<&'s Socket>) -> bool {
        self.drain(|first, queue, buffer, singly| {
            let Some(socket) = socket(first.five_tuple.local) else {
                let (count, len) = run(queue, usize::MAX);
                return (count, len, Outcome::Dropped);
            };
            if !singly && let Some(sent) = send_each(socket, queue, buffer) {
                return sent;
            }
            let (count, len) = run(queue, if singly { 1 } else { socket.max_segments() });
            (count, len, send(socket, first, buffer.get(..len).unwrap_or_default()))
        })
    }

    /// Hands the queue to `send`, which says how many datagrams and bytes it tried, and what came of it.
    fn drain(&mut self, mut send: impl FnMut(&Transmit, &[Transmit], &[u8], bool) -> (usize, usize, Outcome)) -> bool {
        self.blocked.clear();
        // Datagrams up to `kept` and their bytes up to `kept_bytes` stay: they move to the front as others leave.
        let (mut next, mut offset) = (0, 0);
        let (mut kept, mut kept_bytes) = (0, 0);
        // How many of the next datagrams go one by one, because together they did not go.
        let mut singles = 0_usize;
        while let Some(first) = self.queue.get(next).copied() {
            let local = first.five_tuple.local;
            let queue = self.queue.get(next..).unwrap_or_default();
            let (count, len, outcome) = if self.blocked.contains(&local) {
                (1, first.len, Outcome::Blocked)
            } else {
                send(
                    &first,
                    queue,
                    self.buffer.get(offset..).unwrap_or_default(),
                    singles > 0,
                )
            };
            match outcome {
                Outcome::Sent => {
                    self.counters.sent += count as u64;
                    self.counters.calls += 1;
                }
                Outcome::Dropped => self.counters.dropped += count as u64,
                Outcome::Unsegmented => {
                    singles = count;
                    continue;
                }
                Outcome::Blocked => {
                    if !self.blocked.contains(&local) {
                        self.blocked.push(local);
                    }
                    self.queue.copy_within(next..next + count, kept);
                    self.buffer.copy_within(offset..offset + len, kept_bytes);
                    kept += count;
                    kept_bytes += len;
                }
            }
            next += count;
            offset += len;
            singles = singles.saturating_sub(count);
        }
        self.queue.truncate(kept);
        self.buffer.truncate(kept_bytes);
        kept == 0
    }
}

enum Outcome {
    Sent,
    Dropped,
    /// The socket's buffer is full.
    Blocked,
    /// The system did not take several datagrams at once.
    Unsegmented,
}

fn send(socket: &Socket, first: &Transmit, contents: &[u8]) -> Outcome {
    let path = first.five_tuple;
    let several = contents.len() > first.len;
    match socket.send(path.local.ip(), path.remote, first.ecn, contents, first.len) {
        Ok(()) => Outcome::Sent,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Outcome::Blocked,
        Err(error) if several && may_be_segmentation(&error) => {
            // A device without checksum offload: it will never segment. Other refusals may be about this path or this size.
            if is_no_offload(&error) {
                socket.disable_segmentation();
            }
            Outcome::Unsegmented
        }
        Err(_) => Outcome::Dropped,
    }
}

/// Sends the datagrams at the front of which each goes elsewhere than the next, if they are several. `None` if that is not for
/// this call: there is only one, or the system did not take the first, and is to say of that one alone why.
#[cfg(target_os = "linux")]
fn send_each(socket: &Socket, queue: &[Transmit], mut buffer: &[u8]) -> Option<(usize, usize, Outcome)> {
    let queue = queue.get(..fan(queue)).filter(|fan| fan.len() > 1)?;
    let mut datagrams = Vec::with_capacity(queue.len());
    for transmit in queue {
        let (payload, rest) = buffer.split_at_checked(transmit.len)?;
        datagrams.push((transmit.five_tuple.remote, payload));
        buffer = rest;
    }
    let local = queue.first()?.five_tuple.local;
    let sent = socket.send_each(local.ip(), &datagrams).ok().filter(|&sent| sent > 0)?;
    let len = queue.iter().take(sent).map(|transmit| transmit.len).sum();
    Some((sent, len, Outcome::Sent))
}

#[cfg(not(target_os = "linux"))]
fn send_each(_: &Socket, _: &[Transmit], _: &[u8]) -> Option<(usize, usize, Outcome)> {
    None
}

/// How many datagrams at the front share nothing but where they leave from: none makes a [run] with the next one.
#[cfg(any(target_os = "linux", test))]
fn fan(queue: &[Transmit]) -> usize {
    /// As many as are gathered for one system call.
    const MAX: usize = 64;

    let Some(local) = queue.first().map(|first| first.five_tuple.local) else {
        return 0;
    };
    let nexts = queue.iter().skip(1).map(Some).chain([None]);
    queue
        .iter()
        .zip(nexts)
        .take(MAX)
        .take_while(|(this, next)| {
            let alone = next.is_none_or(|next| next.five_tuple != this.five_tuple);
            this.five_tuple.local == local && this.ecn.is_none() && alone
        })
        .count()
}

/// Errors with which a kernel or a network driver refuses segmentation offload (EIO, EINVAL, EMSGSIZE and what they are
/// called elsewhere), as opposed to those that each datagram would meet alone.
fn may_be_segmentation(error: &io::Error) -> bool {
    use io::ErrorKind as E;
    !matches!(
        error.kind(),
        E::PermissionDenied
            | E::ConnectionRefused
            | E::ConnectionReset
            | E::HostUnreachable
            | E::NetworkUnreachable
            | E::NetworkDown
            | E::AddrNotAvailable
    )
}

/// EIO: "Some network adapters and drivers do not support GSO", and the kernel says it with this error.
fn is_no_offload(error: &io::Error) -> bool {
    const EIO: i32 = 5;
    cfg!(unix) && error.raw_os_error() == Some(EIO)
}

/// How many datagrams at the front may leave with one system call, and their bytes.
fn run(queue: &[Transmit], max_segments: usize) -> (usize, usize) {
    let Some((first, rest)) = queue.split_first() else {
        return (0, 0);
    };
    let (mut count, mut len) = (1, first.len);
    for next in rest {
        let same_way = next.five_tuple == first.five_tuple && next.ecn == first.ecn;
        // An empty datagram would vanish at the end of a run, and cannot lead one.
        let fits = (1..=first.len).contains(&next.len) && len + next.len <= RUN_SIZE && count < max_segments;
        if !same_way || !fits {
            break;
        }
        count += 1;
        len += next.len;
        // Only the last one of a run may be shorter.
        if next.len < first.len {
            break;
        }
    }
    (count, len)
}

#[cfg(test)]
mod tests {
    use peerline_wire::{Ecn, FiveTuple};

    use super::*;

    fn transmit(port: u16, ecn: Option<Ecn>, len: usize) -> Transmit {
        let local = SocketAddr::from(([127, 0, 0, 1], 1));
        Transmit {
            five_tuple: FiveTuple::udp(local, SocketAddr::from(([127, 0, 0, 1], port))),
            ecn,
            len,
        }
    }

    fn runs(mut queue: &[Transmit], max_segments: usize) -> Vec<(usize, usize)> {
        let mut runs = Vec::new();
        while !queue.is_empty() {
            let found = run(queue, max_segments);
            runs.push(found);
            queue = &queue[found.0..];
        }
        runs
    }

    #[test]
    fn a_run_ends_with_its_first_shorter_datagram() {
        let lens = |lens: &[usize]| lens.iter().map(|&len| transmit(9, None, len)).collect::<Vec<_>>();
        assert_eq!(runs(&lens(&[100, 100, 100]), 64), [(3, 300)]);
        assert_eq!(runs(&lens(&[100, 100, 99, 100]), 64), [(3, 299), (1, 100)]);
        assert_eq!(runs(&lens(&[99, 100, 100]), 64), [(1, 99), (2, 200)]);
        assert_eq!(runs(&lens(&[10, 0, 10, 10]), 64), [(1, 10), (1, 0), (2, 20)]);
    }

    #[test]
    fn a_run_has_one_destination_and_one_codepoint() {
        let queue = [
            transmit(9, None, 5),
            transmit(8, None, 5),
            transmit(8, Some(Ecn::Ect0), 5),
            transmit(8, Some(Ecn::Ect0), 5),
        ];
        assert_eq!(runs(&queue, 64), [(1, 5), (1, 5), (2, 10)]);
    }

    #[test]
    fn a_fan_leaves_from_one_address_without_codepoints_and_takes_no_run_apart() {
        let other = |port| {
            let mut other = transmit(port, None, 5);
            other.five_tuple.local.set_port(2);
            other
        };
        let to = |port| transmit(port, None, 5);
        assert_eq!(fan(&[]), 0);
        assert_eq!(fan(&[to(9)]), 1);
        assert_eq!(fan(&[to(9), to(8), to(9)]), 3);
        assert_eq!(fan(&[to(9), to(9), to(8)]), 0);
        assert_eq!(fan(&[to(9), to(8), to(7), to(7)]), 2);
        assert_eq!(fan(&[to(9), to(8), other(7), to(6)]), 2);
        assert_eq!(fan(&[to(9), transmit(8, Some(Ecn::Ect0), 5), to(7)]), 1);
        let many: Vec<_> = (1..=100).map(to).collect();
        assert_eq!(fan(&many), 64);
    }

    #[test]
    fn a_run_is_limited_in_segments_and_bytes() {
        assert_eq!(runs(&[transmit(9, None, 1); 130], 64), [(64, 64), (64, 64), (2, 2)]);
        assert_eq!(runs(&[transmit(9, None, 1); 2], 1), [(1, 1), (1, 1)]);
        assert_eq!(runs(&[transmit(9, None, 1200); 60], 64), [(54, 64_800), (6, 7_200)]);
        assert_eq!(runs(&[transmit(9, None, 70_000)], 64), [(1, 70_000)]);
    }

    #[test]
    fn a_batch_is_full_when_its_calls_are() {
        for (len, fit) in [(1_200, 54), (700, 64), (30_000, 2), (40_000, 1), (65_487, 1), (0, 64)] {
            let mut outbox = Outbox::new();
            let mut count = 0;
            while !outbox.fills(2) {
                count += 1;
                assert!(outbox.push(|out| {
                    out.resize(out.len() + len, 0);
                    Some(transmit(9, None, len))
                }));
            }
            assert_eq!(count, 2 * fit, "{len}");
            let calls = runs(&outbox.queue, MAX_SEGMENTS);
            assert!(calls.iter().all(|&(count, _)| count == fit || len == 0), "{calls:?}");
        }
        // However their sizes differ, there are not many more bytes than those calls can carry.
        let mut outbox = Outbox::new();
        for len in [60_000, 1_000, 30_000, 40_000] {
            assert!(!outbox.fills(2));
            assert!(outbox.push(|out| {
                out.resize(out.len() + len, 0);
                Some(transmit(9, None, len))
            }));
        }
        assert!(outbox.fills(2));
    }

    /// Ten datagrams of ten bytes, alternating between two local addresses; the byte is the number.
    fn alternating() -> Outbox {
        let mut outbox = Outbox::new();
        for i in 0..10 {
            let mut transmit = transmit(9, None, 10);
            transmit.five_tuple.local.set_port(1 + i % 2);
            assert!(outbox.push(|out| {
                out.resize(out.len() + 10, i as u8);
                Some(transmit)
            }));
        }
        outbox
    }

    #[test]
    fn a_full_socket_keeps_its_datagrams_in_order_and_holds_up_nobody_else() {
        let mut outbox = alternating();
        let mut sent = Vec::new();
        let mut room = 2;
        // The first address has room for two datagrams, the second for all.
        let all = outbox.drain(|first, _, bytes, _| {
            if first.five_tuple.local.port() == 1 {
                if room == 0 {
                    return (1, 10, Outcome::Blocked);
                }
                room -= 1;
            }
            sent.push(bytes[0]);
            (1, 10, Outcome::Sent)
        });
        assert!(!all);
        assert_eq!(sent, [0, 1, 2, 3, 5, 7, 9]);
        assert_eq!(outbox.blocked(), [SocketAddr::from(([127, 0, 0, 1], 1))]);
        assert_eq!((outbox.len(), outbox.bytes()), (3, 30));
        // What stays goes first next time, together now.
        let all = outbox.drain(|_, queue, bytes, _| {
            let (count, len) = run(queue, 64);
            sent.extend(bytes[..len].chunks(10).map(|datagram| datagram[0]));
            (count, len, Outcome::Sent)
        });
        assert!(all && outbox.blocked().is_empty() && outbox.bytes() == 0);
        assert_eq!(sent, [0, 1, 2, 3, 5, 7, 9, 4, 6, 8]);
        assert_eq!(
            outbox.counters(),
            Counters {
                sent: 10,
                dropped: 0,
                calls: 8
            }
        );
    }

    #[test]
    fn datagrams_that_do_not_go_together_go_one_by_one() {
        let mut outbox = Outbox::new();
        for i in 0..5 {
            assert!(outbox.push(|out| {
                out.push(i);
                Some(transmit(if i < 3 { 9 } else { 8 }, None, 1))
            }));
        }
        let mut calls = Vec::new();
        let all = outbox.drain(|_, queue, bytes, singly| {
            let (count, len) = run(queue, if singly { 1 } else { 64 });
            calls.push(bytes[..len].to_vec());
            (
                count,
                len,
                if bytes[0] == 0 && count > 1 {
                    Outcome::Unsegmented
                } else {
                    Outcome::Sent
                },
            )
        });
        assert!(all);
        assert_eq!(calls, [&[0, 1, 2][..], &[0], &[1], &[2], &[3, 4]]);
        assert_eq!(outbox.counters().sent, 5);
    }

    #[test]
    fn a_datagram_without_a_socket_is_dropped_and_counted() {
        let mut outbox = Outbox::new();
        assert!(outbox.push(|out| {
            out.push(1);
            Some(transmit(9, None, 1))
        }));
        assert!(!outbox.push(|_| None));
        assert_eq!((outbox.len(), outbox.bytes()), (1, 1));
        assert!(outbox.flush(|_| None));
        assert!(outbox.is_empty());
        assert_eq!(
            outbox.counters(),
            Counters {
                dropped: 1,
                ..Counters::default()
            }
        );
    }
}

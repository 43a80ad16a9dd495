//! Receiving: one system call, into buffers that are used again. A large run of datagrams is handed on in the buffer that it
//! came in; small ones are copied, a sender's into one exact allocation.

use std::array;
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSliceMut};
use std::mem;
use std::net::SocketAddr;

use bytes::BytesMut;
use peerline_wire::{Datagram, Ecn, FiveTuple};
use quinn_udp::{EcnCodepoint, RecvMeta};

use crate::Socket;

/// How many messages one system call may bring; each is a run of datagrams from one sender where the kernel coalesces.
const MESSAGES: usize = 8;

/// What one message can hold: the largest UDP payload, coalesced or not.
const MESSAGE_SIZE: usize = 1 << 16;

/// Messages of at least this size leave in their buffer: what is kept of them keeps little else.
const LEND_FROM: usize = MESSAGE_SIZE / 4 * 3;

/// How many buffers may be out and still be expected back.
const LENT: usize = 2 * MESSAGES;

/// Receives batches of datagrams into buffers that it allocates once (512 KiB, of which the system provides the pages that are
/// used), and up to 1 MiB more while large batches are being read. It keeps no data between calls, so one inbox serves any
/// number of sockets.
pub struct Inbox {
    /// What to receive into; empty where the last batch took it.
    buffers: [BytesMut; MESSAGES],
    /// The ends of buffers that went out with a batch. Each can be used again once all datagrams in it are gone: memory that has
    /// just been used is in the processor's cache, and needs no pages from the system.
    lent: VecDeque<BytesMut>,
    meta: [RecvMeta; MESSAGES],
}

impl Inbox {
    /// Allocates the buffers.
    #[must_use]
    pub fn new() -> Self {
        Self {
            buffers: array::from_fn(|_| BytesMut::zeroed(MESSAGE_SIZE)),
            lent: VecDeque::new(),
            meta: Default::default(),
        }
    }

    /// Receives what is there, up to one batch, without waiting. Datagrams come in the order in which the socket got
    /// them; those that the batch's iterator is not asked for are lost.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there. Other errors concern an earlier datagram (`ConnectionReset` on some systems)
    /// or the socket as a whole; the next call may succeed.
    pub fn recv<'a>(&'a mut self, socket: &Socket) -> io::Result<Batch<'a>> {
        self.refill();
        let mut buffers = self.buffers.each_mut().map(|buffer| IoSliceMut::new(buffer));
        let count = socket.recv(&mut buffers, &mut self.meta)?;
        Ok(self.batch(count, socket.local_addr()))
    }

    /// Replaces the buffers that the last batch took.
    fn refill(&mut self) {
        for buffer in self.buffers.iter_mut().filter(|buffer| buffer.is_empty()) {
            *buffer = returned(&mut self.lent).unwrap_or_default();
            buffer.resize(MESSAGE_SIZE, 0);
        }
    }

    /// The datagrams in the first `count` buffers.
    fn batch(&mut self, count: usize, local_addr: SocketAddr) -> Batch<'_> {
        Batch {
            buffers: &mut self.buffers,
            lent: &mut self.lent,
            data: BytesMut::new(),
            loaded: 0,
            messages: self.meta.get(..count).unwrap_or(&self.meta),
            rest: 0,
            local_addr,
        }
    }
}

/// A buffer of which nothing is in use any more; the one that went out last, if there are several.
fn returned(lent: &mut VecDeque<BytesMut>) -> Option<BytesMut> {
    let index = lent.iter_mut().rposition(|buffer| buffer.try_reclaim(MESSAGE_SIZE))?;
    lent.remove(index)
}

impl Default for Inbox {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").finish_non_exhaustive()
    }
}

/// The datagrams of one [`Inbox::recv`]. Neighbours from one sender are slices of one allocation that holds little else; what
/// others send is in others, so that to keep one datagram does not keep strangers'.
#[derive(Debug)]
pub struct Batch<'a> {
    /// The buffers of the messages not yet loaded, and those that received nothing.
    buffers: &'a mut [BytesMut],
    lent: &'a mut VecDeque<BytesMut>,
    /// What is left of the messages that are loaded.
    data: BytesMut,
    messages: &'a [RecvMeta],
    /// How many of the messages `data` holds, the first included.
    loaded: usize,
    /// What is left of the first message, if some of it was taken.
    rest: usize,
    local_addr: SocketAddr,
}

impl Batch<'_> {
    /// Makes `data` of the first message, if that is large, or of the small ones that its sender has sent in a row.
    fn load(&mut self) {
        let Some(first) = self.messages.first() else { return };
        if first.len >= LEND_FROM {
            return self.lend(first.len);
        }
        let is_neighbour = |message: &&RecvMeta| message.addr == first.addr && message.len < LEND_FROM;
        let neighbours = || self.messages.iter().take_while(is_neighbour);
        let mut data = BytesMut::with_capacity(neighbours().map(|message| message.len).sum());
        let mut count = 0;
        for (message, buffer) in neighbours().zip(self.buffers.iter()) {
            data.extend_from_slice(buffer.get(..message.len).unwrap_or(buffer));
            count += 1;
        }
        self.data = data;
        self.advance(count);
    }

    /// Hands on the first buffer, of which `len` bytes are filled.
    fn lend(&mut self, len: usize) {
        let Some(buffer) = self.buffers.first_mut() else { return };
        let mut data = mem::take(buffer);
        if self.lent.len() == LENT {
            self.lent.pop_front();
        }
        let mut end = data.split_off(len.min(MESSAGE_SIZE));
        end.clear();
        self.lent.push_back(end);
        self.data = data;
        self.advance(1);
    }

    /// `data` holds what `count` buffers had received.
    fn advance(&mut self, count: usize) {
        self.buffers = mem::take(&mut self.buffers).get_mut(count..).unwrap_or_default();
        self.loaded = count;
    }
}

impl Iterator for Batch<'_> {
    type Item = Datagram;

    fn next(&mut self) -> Option<Datagram> {
        if self.loaded == 0 {
            self.load();
        }
        let (&message, later) = self.messages.split_first()?;
        let left = if self.rest > 0 { self.rest } else { message.len };
        let len = left.min(message.stride.max(1));
        self.rest = left - len;
        if self.rest == 0 {
            self.messages = later;
            self.loaded = self.loaded.saturating_sub(1);
        }
        // The last one takes the allocation as it is: a batch of one needs no shared counter.
        let payload = if len == self.data.len() {
            mem::take(&mut self.data)
        } else {
            self.data.split_to(len)
        };
        Some(Datagram {
            five_tuple: FiveTuple::udp(local_addr(self.local_addr, &message), message.addr),
            ecn: message.ecn.map(ecn),
            payload,
        })
    }
}

/// The address that the datagram was sent to, on a socket bound to `bound`.
fn local_addr(mut bound: SocketAddr, message: &RecvMeta) -> SocketAddr {
    let Some(ip) = message.dst_ip.filter(|_| bound.ip().is_unspecified()) else {
        return bound;
    };
    bound.set_ip(ip);
    // A link-local address is on the link of whoever wrote to it.
    if let (SocketAddr::V6(local), SocketAddr::V6(remote)) = (&mut bound, message.addr)
        && local.ip().is_unicast_link_local()
    {
        local.set_scope_id(remote.scope_id());
    }
    bound
}

fn ecn(codepoint: EcnCodepoint) -> Ecn {
    match codepoint {
        EcnCodepoint::Ect0 => Ecn::Ect0,
        EcnCodepoint::Ect1 => Ecn::Ect1,
        EcnCodepoint::Ce => Ecn::Ce,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An inbox that has received messages of these lengths, each of datagrams of 1,000 bytes, from one sender.
    fn received(inbox: &mut Inbox, lens: &[usize]) -> Vec<Datagram> {
        inbox.refill();
        for (i, &len) in lens.iter().enumerate() {
            for (number, datagram) in inbox.buffers[i][..len].chunks_mut(1_000).enumerate() {
                datagram.fill(number as u8);
            }
            inbox.meta[i] = RecvMeta {
                len,
                stride: 1_000,
                ..RecvMeta::default()
            };
        }
        let datagrams: Vec<_> = inbox.batch(lens.len(), SocketAddr::from(([127, 0, 0, 1], 1))).collect();
        let expected = lens
            .iter()
            .flat_map(|len| (0..len.div_ceil(1_000)).map(|number| number as u8));
        assert!(datagrams.iter().map(|datagram| datagram.payload[0]).eq(expected));
        assert_eq!(
            datagrams.iter().map(|datagram| datagram.payload.len()).sum::<usize>(),
            lens.iter().sum()
        );
        datagrams
    }

    #[test]
    fn a_large_message_is_not_copied_and_its_buffer_serves_again() {
        let mut inbox = Inbox::new();
        let buffer = inbox.buffers[0].as_ptr();
        let mut kept = received(&mut inbox, &[64_400, 64_001]);
        assert_eq!(kept[0].payload.as_ptr(), buffer);
        kept.truncate(1);
        // Of the second message nothing is left, of the first something is.
        received(&mut inbox, &[]);
        assert_eq!(inbox.lent.len(), 1);
        assert!(
            inbox
                .buffers
                .iter()
                .all(|other| other.as_ptr() != buffer && other.len() == MESSAGE_SIZE)
        );
        assert_eq!(kept[0].payload[..], [0; 1_000]);
        drop(kept);
        let kept = received(&mut inbox, &[65_507]);
        received(&mut inbox, &[]);
        drop(kept);
        assert!(inbox.buffers.iter().any(|other| other.as_ptr() == buffer));
        assert_eq!(inbox.lent.len(), 1, "the other one");
    }

    #[test]
    fn small_messages_are_copied_into_one_exact_allocation() {
        let mut inbox = Inbox::new();
        let datagrams = received(&mut inbox, &[1_500, 60_000, 300, 2_000]);
        assert!(inbox.lent.len() == 1 && inbox.buffers[1].is_empty());
        let [.., last] = &datagrams[..] else { unreachable!() };
        assert_eq!(last.payload.capacity(), 1_000);
        let (small, end) = (&datagrams[datagrams.len() - 3], last.payload.as_ptr_range().end);
        assert_eq!(end as usize - small.payload.as_ptr() as usize, 2_300);
    }

    #[test]
    fn buffers_that_never_come_back_are_forgotten() {
        let mut inbox = Inbox::new();
        let kept: Vec<_> = (0..10).map(|_| received(&mut inbox, &[65_000; MESSAGES])).collect();
        assert_eq!(inbox.lent.len(), LENT);
        drop(kept);
        inbox.refill();
        assert_eq!(inbox.lent.len(), LENT - MESSAGES);
    }
}

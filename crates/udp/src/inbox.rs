//! Receiving: one scratch buffer, one system call, one exact allocation for each sender in a batch.

use std::array;
use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;

use bytes::BytesMut;
use peerline_wire::{Datagram, Ecn, FiveTuple};
use quinn_udp::{EcnCodepoint, RecvMeta};

use crate::Socket;

/// How many messages one system call may bring; each is a run of datagrams from one sender where the kernel coalesces.
const MESSAGES: usize = 8;

/// What one message can hold: the largest UDP payload, coalesced or not.
const MESSAGE_SIZE: usize = 1 << 16;

/// Receives batches of datagrams into a scratch buffer that is allocated once (512 KiB, of which the system provides the
/// pages that are used). It keeps nothing between calls, so one inbox serves any number of sockets.
pub struct Inbox {
    scratch: Box<[u8]>,
    meta: [RecvMeta; MESSAGES],
}

impl Inbox {
    /// Allocates the scratch buffer.
    #[must_use]
    pub fn new() -> Self {
        Self {
            scratch: vec![0; MESSAGES * MESSAGE_SIZE].into_boxed_slice(),
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
        let mut chunks = self.scratch.chunks_exact_mut(MESSAGE_SIZE);
        let mut buffers: [IoSliceMut<'_>; MESSAGES] =
            array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        let count = socket.recv(&mut buffers, &mut self.meta)?;

        Ok(Batch {
            scratch: &self.scratch,
            data: BytesMut::new(),
            copied: 0,
            messages: self.meta.get(..count).unwrap_or(&self.meta),
            rest: 0,
            local_addr: socket.local_addr(),
        })
    }
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

/// The datagrams of one [`Inbox::recv`]. Neighbours from one sender are slices of one allocation that holds exactly them; what
/// others send is in others, so that to keep one datagram does not keep strangers'.
#[derive(Debug)]
pub struct Batch<'a> {
    /// What is left of the scratch buffer: the messages not yet copied.
    scratch: &'a [u8],
    /// What is left of the messages that are copied.
    data: BytesMut,
    messages: &'a [RecvMeta],
    /// How many of the messages `data` holds, the first included.
    copied: usize,
    /// What is left of the first message, if some of it was taken.
    rest: usize,
    local_addr: SocketAddr,
}

impl Batch<'_> {
    /// Copies the messages that one sender has sent in a row.
    fn copy_neighbours(&mut self) {
        let Some(first) = self.messages.first() else { return };
        let neighbours = || self.messages.iter().take_while(|message| message.addr == first.addr);
        let mut data = BytesMut::with_capacity(neighbours().map(|message| message.len).sum());
        let (mut count, chunks) = (0, self.scratch.chunks(MESSAGE_SIZE));
        for (message, chunk) in neighbours().zip(chunks) {
            data.extend_from_slice(chunk.get(..message.len).unwrap_or(chunk));
            count += 1;
        }
        self.data = data;
        self.scratch = self.scratch.get(count * MESSAGE_SIZE..).unwrap_or_default();
        self.copied = count;
    }
}

impl Iterator for Batch<'_> {
    type Item = Datagram;

    fn next(&mut self) -> Option<Datagram> {
        if self.copied == 0 {
            self.copy_neighbours();
        }
        let (&message, later) = self.messages.split_first()?;
        let left = if self.rest > 0 { self.rest } else { message.len };
        let len = left.min(message.stride.max(1));
        self.rest = left - len;
        if self.rest == 0 {
            self.messages = later;
            self.copied = self.copied.saturating_sub(1);
        }
        // The last one takes the allocation as it is: a batch of one needs no shared counter.
        let payload = if len == self.data.len() {
            std::mem::take(&mut self.data)
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

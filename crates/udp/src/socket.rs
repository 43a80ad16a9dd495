//! One UDP socket: bound, non-blocking, with large buffers and offloads enabled where the system has them.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use peerline_wire::Ecn;
use quinn_udp::{EcnCodepoint, RecvMeta};
use socket2::{Domain, Protocol, SockAddr, SockRef, Type};

#[cfg(target_os = "linux")]
use crate::fan_out;
use crate::offload::Offload;
use crate::registration::Registered;

/// What is asked for as `SO_RCVBUF` and `SO_SNDBUF`. The default of most systems, some 200 KiB, is less than two
/// milliseconds at 1 Gbit/s: bursts that arrive while the task waits for a processor would be lost.
const BUFFER_SIZE: usize = 4 << 20;

/// A bound UDP socket, registered with tokio.
///
/// Waiting: [`readable`](Self::readable), [`poll_recv_ready`](Self::poll_recv_ready),
/// [`poll_send_ready`](Self::poll_send_ready). Data moves through an [`Inbox`](crate::Inbox) and an
/// [`Outbox`](crate::Outbox), which never wait.
#[derive(Debug)]
pub struct Socket {
    registered: Registered,
    offload: Offload,
    /// How many datagrams one system call may send.
    max_segments: AtomicUsize,
    local_addr: SocketAddr,
}

impl Socket {
    /// Binds to `addr` (port 0: the system chooses). Larger buffers are asked for, not insisted on. An IPv6 socket
    /// carries IPv6 only, so that a wildcard pair for both families can share a port.
    ///
    /// # Errors
    /// What the system says: the address is not ours or in use, no descriptors are left.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    pub fn bind(addr: SocketAddr) -> io::Result<Self> {
        let socket = socket2::Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
        if addr.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.bind(&SockAddr::from(addr))?;
        Self::from_std(socket.into())
    }

    /// Takes over a socket bound elsewhere (handed down by a supervisor, or with options of its own).
    ///
    /// # Errors
    /// When the system refuses an option that the crate cannot do without.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    pub fn from_std(socket: std::net::UdpSocket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let local_addr = socket.local_addr()?;
        let offload = Offload::enable(&socket, local_addr)?;
        // Best effort: without privileges the kernel caps the request (net.core.rmem_max), some containers refuse it.
        let _ = SockRef::from(&socket).set_recv_buffer_size(BUFFER_SIZE);
        let _ = SockRef::from(&socket).set_send_buffer_size(BUFFER_SIZE);
        Ok(Self {
            registered: Registered::new(socket)?,
            max_segments: AtomicUsize::new(offload.max_segments),
            offload,
            local_addr,
        })
    }

    /// The address the socket is bound to; its IP address is unspecified if it is bound to a wildcard.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// How many datagrams one system call may send; 1 without segmentation offload.
    #[must_use]
    pub fn max_segments(&self) -> usize {
        self.max_segments.load(Ordering::Relaxed)
    }

    /// The device cannot segment: from now on datagrams leave one by one.
    pub(crate) fn disable_segmentation(&self) {
        self.max_segments.store(1, Ordering::Relaxed);
    }

    /// The size of the kernel's buffers for receiving and sending, in bytes as the kernel counts them.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn buffer_sizes(&self) -> io::Result<(usize, usize)> {
        let socket = self.registered.options();
        Ok((socket.recv_buffer_size()?, socket.send_buffer_size()?))
    }

    /// Waits until something may be sent. Any number of tasks may wait.
    ///
    /// # Errors
    /// When the runtime is shutting down.
    pub async fn writable(&self) -> io::Result<()> {
        self.registered.writable().await
    }

    /// Waits until something may be received.
    ///
    /// # Errors
    /// When the runtime is shutting down.
    pub async fn readable(&self) -> io::Result<()> {
        self.registered.readable().await
    }

    /// Ready when something may be received; else the task is woken then. One task at a time.
    ///
    /// # Errors
    /// When the runtime is shutting down.
    pub fn poll_recv_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.registered.poll_recv_ready(cx)
    }

    /// Ready when something may be sent; else the task is woken then. One task at a time.
    ///
    /// # Errors
    /// When the runtime is shutting down.
    pub fn poll_send_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.registered.poll_send_ready(cx)
    }

    /// One `recvmmsg`: fills some of the buffers, tells how many.
    pub(crate) fn recv(&self, buffers: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) -> io::Result<usize> {
        let state = self.offload.receiving();
        let (wanted, mut count) = (buffers.len(), 0);
        let result = self.registered.try_recv(|| {
            count = state.recv(self.registered.io(), buffers, meta)?;
            // recvmmsg stops early when there is no more: what comes next is told by the next event. To say so now spares a
            // system call that would find nothing. tokio ignores it if that event has come meanwhile.
            if cfg!(target_os = "linux") && count < wanted {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(())
        });
        match result {
            Err(error) if count == 0 => Err(error),
            _ => Ok(count),
        }
    }

    /// One `sendmmsg` of datagrams without ECN, each to an address of its own; how many have left. An error concerns the first;
    /// the waiting for room is left to [`send`](Self::send).
    #[cfg(target_os = "linux")]
    pub(crate) fn send_each(&self, local: IpAddr, datagrams: &[(SocketAddr, &[u8])]) -> io::Result<usize> {
        use std::os::fd::AsRawFd;

        fan_out::send(self.registered.options().as_raw_fd(), self.source(local), datagrams)
    }

    /// What has to be said of where to send from: a socket bound to one address has no choice to make.
    fn source(&self, local: IpAddr) -> Option<IpAddr> {
        (self.local_addr.ip().is_unspecified() && !local.is_unspecified()).then_some(local)
    }

    /// One `sendmsg` of datagrams of `segment_size` bytes, of which the last may be shorter.
    pub(crate) fn send(
        &self,
        local: IpAddr,
        remote: SocketAddr,
        ecn: Option<Ecn>,
        contents: &[u8],
        segment_size: usize,
    ) -> io::Result<()> {
        let transmit = quinn_udp::Transmit {
            destination: remote,
            ecn: ecn.map(codepoint),
            contents,
            segment_size: (segment_size < contents.len()).then_some(segment_size),
            src_ip: self.source(local),
        };
        let send = || self.offload.try_send(&self.registered, &transmit);
        match send() {
            // Only through tokio does it learn that it has to tell when there is room again. Asking it first would be wrong:
            // it believes a new socket to be full until its reactor ran.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.registered.retry_send(send),
            result => result,
        }
    }
}

fn codepoint(ecn: Ecn) -> EcnCodepoint {
    match ecn {
        Ecn::Ect0 => EcnCodepoint::Ect0,
        Ecn::Ect1 => EcnCodepoint::Ect1,
        Ecn::Ce => EcnCodepoint::Ce,
    }
}

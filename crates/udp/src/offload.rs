//! What the system is asked for when a socket is made: ECN and local addresses of what comes in, coalescing (GRO) and
//! segmentation (GSO), no fragmentation.
//!
//! [`UdpSocketState`] does it everywhere, but on Linux it makes and closes two more sockets each time, to find out what the
//! kernel can: that was a fifth of the CPU time of setting up a connection. There it is asked once a process, and each
//! later socket gets the same options directly.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use quinn_udp::{Transmit, UdpSocketState};

use crate::registration::Registered;

/// What moves datagrams through a socket.
#[derive(Debug)]
pub(crate) struct Offload {
    /// How many datagrams one system call may send, as far as the system knows. The devices that cannot are found out by each
    /// socket for itself.
    pub(crate) max_segments: usize,
    /// For what comes in, and for what goes out without a codepoint. Sockets share it.
    plain: Arc<UdpSocketState>,
    /// For what goes out with a codepoint, from the first of them on. A state that has met EINVAL never writes codepoints again,
    /// as old kernels demand. But a datagram on a hopeless path meets it, too, so that no other socket shares this one, and a
    /// new one takes its place after that.
    marked: Mutex<Option<Arc<UdpSocketState>>>,
}

impl Offload {
    fn new(max_segments: usize, plain: Arc<UdpSocketState>) -> Self {
        Self {
            max_segments,
            plain,
            marked: Mutex::default(),
        }
    }

    /// The state to receive with.
    pub(crate) fn receiving(&self) -> &UdpSocketState {
        &self.plain
    }

    /// Sends through the socket that this was enabled for.
    pub(crate) fn try_send(&self, socket: &Registered, transmit: &Transmit<'_>) -> io::Result<()> {
        if transmit.ecn.is_none() {
            return self.plain.try_send(socket.io(), transmit);
        }
        let marked = self.marked(socket)?;
        let result = marked.try_send(socket.io(), transmit);
        // EINVAL, after another attempt without the codepoint: that was not what the system refused.
        if let Err(error) = &result
            && error.kind() == io::ErrorKind::InvalidInput
        {
            *self.marked.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        result
    }

    fn marked(&self, socket: &Registered) -> io::Result<Arc<UdpSocketState>> {
        let mut marked = self.marked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = &*marked {
            return Ok(Arc::clone(state));
        }
        let state = Arc::new(UdpSocketState::new(socket.io())?);
        *marked = Some(Arc::clone(&state));
        Ok(state)
    }

    /// Sets the options of a socket bound to this address.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn enable(socket: &std::net::UdpSocket, _: SocketAddr) -> io::Result<Self> {
        Self::probe(socket)
    }

    /// Sets the options of a socket bound to `local`.
    #[cfg(target_os = "linux")]
    pub(crate) fn enable(socket: &std::net::UdpSocket, local: SocketAddr) -> io::Result<Self> {
        static KNOWN: std::sync::OnceLock<(usize, Arc<UdpSocketState>)> = std::sync::OnceLock::new();

        if let Some((max_segments, plain)) = KNOWN.get() {
            linux::set_options(socket, local)?;
            return Ok(Self::new(*max_segments, Arc::clone(plain)));
        }
        let new = Self::probe(socket)?;
        let (max_segments, plain) = KNOWN.get_or_init(|| (new.max_segments, new.plain));
        Ok(Self::new(*max_segments, Arc::clone(plain)))
    }

    fn probe(socket: &std::net::UdpSocket) -> io::Result<Self> {
        let plain = UdpSocketState::new(socket.into())?;
        // Remembered, for the state counts any EINVAL as a device that cannot segment.
        Ok(Self::new(plain.max_gso_segments().max(1), Arc::new(plain)))
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::mem::size_of;
    use std::net::{SocketAddr, UdpSocket};
    use std::os::fd::AsRawFd;

    use libc::c_int;
    use socket2::SockRef;

    /// The options that [`quinn_udp::UdpSocketState::new`] sets, but for the kernel's timestamps, which nobody reads here.
    pub(super) fn set_options(socket: &UdpSocket, local: SocketAddr) -> io::Result<()> {
        // Older kernels and some sandboxes know neither; then datagrams come singly, and without a codepoint.
        let _ = set(socket, libc::SOL_UDP, libc::UDP_GRO, 1);
        if local.is_ipv4() || !SockRef::from(socket).only_v6()? {
            let _ = set(socket, libc::IPPROTO_IP, libc::IP_RECVTOS, 1);
        }
        // The sender decides on sizes, not the kernel's idea of the path: nothing is fragmented (also on an IPv6 socket, which
        // may carry IPv4).
        if_known(set(
            socket,
            libc::IPPROTO_IP,
            libc::IP_MTU_DISCOVER,
            libc::IP_PMTUDISC_PROBE,
        ))?;
        if local.is_ipv4() {
            return set(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1);
        }
        if_known(set(
            socket,
            libc::IPPROTO_IPV6,
            libc::IPV6_MTU_DISCOVER,
            libc::IPV6_PMTUDISC_PROBE,
        ))?;
        if_known(set(socket, libc::IPPROTO_IPV6, libc::IPV6_DONTFRAG, 1))?;
        set(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
        set(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS, 1)
    }

    /// A system that does not know the option does without.
    fn if_known(result: io::Result<()>) -> io::Result<()> {
        match result {
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOPROTOOPT | libc::EOPNOTSUPP)) => Ok(()),
            result => result,
        }
    }

    fn set(socket: &UdpSocket, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
        // The length of an int is 4: it fits any length.
        let len = size_of::<c_int>() as libc::socklen_t;
        // SAFETY: the descriptor is open for as long as the socket is borrowed, and the kernel reads `len` bytes of `value`,
        // which has as many.
        #[allow(unsafe_code, reason = "no crate in use sets these options safely")]
        let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), len) };
        if result == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    #[cfg(test)]
    pub(super) fn get(socket: &UdpSocket, level: c_int, name: c_int) -> Option<c_int> {
        let (mut value, mut len) = (0, size_of::<c_int>() as libc::socklen_t);
        // SAFETY: as above; the kernel writes at most `len` bytes to `value`.
        #[allow(unsafe_code, reason = "as above")]
        let result =
            unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, (&raw mut value).cast(), &raw mut len) };
        (result == 0).then_some(value)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    /// Each option that quinn-udp sets is set on later sockets as well.
    #[test]
    fn options_are_those_of_the_first_socket() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let (theirs, ours) = (UdpSocket::bind(address).unwrap(), UdpSocket::bind(address).unwrap());
            UdpSocketState::new((&theirs).into()).unwrap();
            linux::set_options(&ours, ours.local_addr().unwrap()).unwrap();
            let options = |socket: &UdpSocket| -> Vec<_> {
                [
                    (libc::SOL_UDP, libc::UDP_GRO),
                    (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER),
                    (libc::IPPROTO_IP, libc::IP_PKTINFO),
                    (libc::IPPROTO_IP, libc::IP_RECVTOS),
                    (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER),
                    (libc::IPPROTO_IPV6, libc::IPV6_DONTFRAG),
                    (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
                    (libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS),
                ]
                .map(|(level, name)| linux::get(socket, level, name))
                .into()
            };
            assert_eq!(options(&ours), options(&theirs), "{address}");
        }
    }
}

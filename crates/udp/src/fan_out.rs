//! `sendmmsg`: one system call for datagrams to many places, where segmentation cannot serve.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;

use nix::libc;
use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg};

/// Sends each of these to its own address, all from `source`, or as the system chooses; how many have left. An error is that of
/// the first: what keeps a later one from leaving is told by the next call.
pub(crate) fn send(fd: RawFd, source: Option<IpAddr>, datagrams: &[(SocketAddr, &[u8])]) -> io::Result<usize> {
    let (v4, v6);
    let mut control = Vec::new();
    let mut room = None;
    match source {
        None => {}
        Some(IpAddr::V4(ip)) => {
            v4 = libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: libc::in_addr {
                    s_addr: u32::from_ne_bytes(ip.octets()),
                },
                ipi_addr: libc::in_addr { s_addr: 0 },
            };
            control.push(ControlMessage::Ipv4PacketInfo(&v4));
            room = Some(nix::cmsg_space!(libc::in_pktinfo));
        }
        Some(IpAddr::V6(ip)) => {
            v6 = libc::in6_pktinfo {
                ipi6_ifindex: 0,
                ipi6_addr: libc::in6_addr { s6_addr: ip.octets() },
            };
            control.push(ControlMessage::Ipv6PacketInfo(&v6));
            room = Some(nix::cmsg_space!(libc::in6_pktinfo));
        }
    }
    let mut headers = MultiHeaders::preallocate(datagrams.len(), room);
    let contents: Vec<_> = datagrams.iter().map(|(_, payload)| [IoSlice::new(payload)]).collect();
    let to: Vec<_> = datagrams
        .iter()
        .map(|&(to, _)| Some(SockaddrStorage::from(to)))
        .collect();
    loop {
        match sendmmsg(fd, &mut headers, &contents, &to, &control, MsgFlags::empty()) {
            Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error.into()),
            Ok(sent) => return Ok(sent.count()),
        }
    }
}

//! The sockets of one connection: one for each family of addresses, whatever the number of addresses, until interfaces come and go.
//!
//! A socket is bound to the wildcard when several addresses of its family are used; each datagram then says where it came to,
//! and is told where to leave from. That costs a host with many addresses no more descriptors, kernel memory and wake-ups
//! than one with a single address. The families have a socket each: one for both would do on Linux, but it would name
//! IPv4 addresses in IPv6, and other systems do not tell its datagrams' ECN codepoint or address.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU16, Ordering};
use std::task::Context;

use peerline_udp::Socket;
use peerline_wire::Datagram;

use crate::driver;

/// The sockets of one connection.
#[derive(Debug, Default)]
pub(crate) struct Sockets(Vec<Bound>);

#[derive(Debug)]
struct Bound {
    socket: Socket,
    /// The addresses that are used through it, with its port.
    addresses: Vec<SocketAddr>,
    patience: Patience,
}

/// What interfaces that come and go have changed.
#[derive(Debug, Default)]
pub(crate) struct Refresh {
    pub(crate) new: Vec<SocketAddr>,
    pub(crate) gone: Vec<SocketAddr>,
    /// Those that are for TURN servers alone.
    pub(crate) new_for_relays: Vec<SocketAddr>,
}

impl Sockets {
    /// Binds what these addresses need, of whose ports nothing is expected, and tells those that can be used, with their
    /// ports. A family that cannot be bound (no port free, or its only address not ready) is left out: there may be
    /// another, and ICE reports failure when there is none.
    pub(crate) fn bind(addresses: &[SocketAddr], ports: Option<&RangeInclusive<u16>>) -> (Self, Vec<SocketAddr>) {
        let (v4, v6): (Vec<_>, Vec<_>) = addresses.iter().copied().partition(SocketAddr::is_ipv4);
        let v4 = bind_family(&v4, Ipv4Addr::UNSPECIFIED.into(), ports);
        let v6 = bind_family(&v6, Ipv6Addr::UNSPECIFIED.into(), ports);
        let sockets = Self(v4.into_iter().chain(v6).collect());
        let usable = addresses.iter().filter_map(|&address| sockets.find(address)).collect();
        (sockets, usable)
    }

    /// Follows interfaces that come and go: these are the addresses from now on. What is bound to the wildcard serves new ones,
    /// too; others get a socket each. A socket without an address is closed.
    pub(crate) fn refresh(&mut self, addresses: &[SocketAddr], ports: Option<&RangeInclusive<u16>>) -> Refresh {
        let mut refresh = Refresh::default();
        for bound in &mut self.0 {
            bound.addresses.retain(|&known| {
                let stays = addresses
                    .iter()
                    .any(|&address| with_port(address, known.port()) == known);
                if !stays {
                    refresh.gone.push(known);
                }
                stays
            });
        }
        for &address in addresses {
            if self.find(address).is_some() {
                continue;
            }
            let is_wildcard = |bound: &&mut Bound| {
                let local = bound.socket.local_addr();
                local.ip().is_unspecified() && local.is_ipv4() == address.is_ipv4()
            };
            match self.0.iter_mut().find(is_wildcard) {
                Some(bound) => bound
                    .addresses
                    .push(with_port(address, bound.socket.local_addr().port())),
                None => self.0.extend(bind_family(&[address], address.ip(), ports)),
            }
            refresh.new.extend(self.find(address));
        }
        self.0.retain(|bound| !bound.addresses.is_empty());
        refresh
    }

    /// This address with the port that it is used with.
    fn find(&self, address: SocketAddr) -> Option<SocketAddr> {
        let mut used = self.0.iter().flat_map(|bound| &bound.addresses).copied();
        used.find(|&used| with_port(address, used.port()) == used)
    }

    /// The socket from which datagrams with this local address leave.
    pub(crate) fn of(&self, local: SocketAddr) -> Option<&Socket> {
        let bound = match &self.0[..] {
            // Mostly there is one a family.
            [bound] if bound.socket.local_addr().is_ipv4() == local.is_ipv4() => Some(bound),
            several => several.iter().find(|bound| bound.addresses.contains(&local)),
        };
        bound.map(|bound| &bound.socket)
    }

    /// Hands over one batch from each socket that has something; true if any had. If not, the task is woken when one has.
    pub(crate) fn receive(
        &mut self,
        cx: &mut Context<'_>,
        mut handle: impl FnMut(&mut dyn Iterator<Item = Datagram>),
    ) -> bool {
        let mut progress = false;
        self.0.retain_mut(|Bound { socket, patience, .. }| {
            if socket.poll_recv_ready(cx).is_pending() {
                return true;
            }
            let received = driver::with_inbox(|inbox| inbox.recv(socket).map(|mut batch| handle(&mut batch)));
            // Readiness may have been stale: whoever asks again is woken. A socket that is of no use any more (the interface
            // or the runtime is gone) is closed; ICE will notice that nothing comes.
            let usable = patience.endure(received).is_ok();
            progress |= usable;
            usable
        });
        progress
    }
}

/// The socket for these addresses of one family: bound to the one address, or to the wildcard for several.
fn bind_family(addresses: &[SocketAddr], wildcard: IpAddr, ports: Option<&RangeInclusive<u16>>) -> Option<Bound> {
    let address = match addresses {
        [] => return None,
        [one] => *one,
        _ => SocketAddr::new(wildcard, 0),
    };
    let socket = bind_in_range(address, ports).ok()?;
    let port = socket.local_addr().port();
    Some(Bound {
        socket,
        addresses: addresses.iter().map(|&address| with_port(address, port)).collect(),
        patience: Patience::default(),
    })
}

fn bind_in_range(address: SocketAddr, ports: Option<&RangeInclusive<u16>>) -> io::Result<Socket> {
    /// Where the next search for a port begins: ports just taken are not tried first.
    static NEXT: AtomicU16 = AtomicU16::new(0);

    let Some(range) = ports else {
        return Socket::bind(address);
    };
    let ports = range.clone().count();
    let start = usize::from(NEXT.fetch_add(1, Ordering::Relaxed)) % ports.max(1);
    for port in range.clone().cycle().skip(start).take(ports) {
        match Socket::bind(with_port(address, port)) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            result => return result,
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

/// Takes errors for passing ones, also those not known as such, until too many have come in a row: a system short of memory, or
/// an interface that goes down for a moment, is no reason to end a connection, or all those of an endpoint.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    errors: u32,
}

impl Patience {
    const MAX_ERRORS: u32 = 1_000;

    /// What a call to receive came to; an error only if the socket is of no use any more.
    pub(crate) fn endure(&mut self, received: io::Result<()>) -> io::Result<()> {
        match received {
            Err(error) if !is_transient(error.kind()) => {
                self.errors += 1;
                if self.errors > Self::MAX_ERRORS {
                    Err(error)
                } else {
                    Ok(())
                }
            }
            _ => {
                self.errors = 0;
                Ok(())
            }
        }
    }
}

/// Errors that say nothing about the socket: nothing is there, or an earlier datagram of ours met nobody.
fn is_transient(kind: io::ErrorKind) -> bool {
    use io::ErrorKind as E;
    matches!(
        kind,
        E::WouldBlock
            | E::ConnectionReset
            | E::ConnectionRefused
            | E::HostUnreachable
            | E::NetworkUnreachable
            | E::Interrupted
    )
}

fn with_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[tokio::test]
    async fn one_address_is_bound_itself() {
        let (sockets, usable) = Sockets::bind(&addresses(&["127.0.0.1:0", "[::1]:0"]), None);
        for address in usable {
            assert_eq!(sockets.of(address).unwrap().local_addr(), address);
        }
    }

    #[tokio::test]
    async fn several_addresses_share_a_socket_and_its_port() {
        let (sockets, usable) = Sockets::bind(&addresses(&["127.0.0.1:0", "127.0.0.2:0", "127.0.0.3:0"]), None);
        let socket = sockets.of(usable[0]).unwrap().local_addr();
        assert!(socket.ip().is_unspecified() && socket.port() != 0);
        let expected = ["127.0.0.1", "127.0.0.2", "127.0.0.3"].map(|ip| format!("{ip}:{}", socket.port()));
        assert_eq!(usable, addresses(&expected.each_ref().map(String::as_str)));
        assert!(sockets.of("[::1]:1".parse().unwrap()).is_none());
    }

    #[tokio::test]
    async fn addresses_come_and_go() {
        // A wildcard serves what comes.
        let (mut sockets, usable) = Sockets::bind(&addresses(&["127.0.0.1:0", "127.0.0.2:0"]), None);
        let port = usable[0].port();
        let refresh = sockets.refresh(&addresses(&["127.0.0.2:0", "127.0.0.3:0", "[::1]:0"]), None);
        assert_eq!(refresh.gone, [usable[0]]);
        assert_eq!(refresh.new[0], with_port(addresses(&["127.0.0.3:0"])[0], port));
        assert_eq!((refresh.new.len(), sockets.0.len()), (2, 2));
        assert!(sockets.of(usable[0]).is_none() && sockets.of(refresh.new[1]).is_some());
        // One that is bound to its address goes with it.
        let refresh = sockets.refresh(&addresses(&["127.0.0.2:0"]), None);
        assert_eq!((refresh.gone.len(), refresh.new.len(), sockets.0.len()), (2, 0, 1));
        let refresh = sockets.refresh(&[], None);
        assert_eq!((refresh.gone.len(), sockets.0.len()), (1, 0));
        assert_eq!(
            sockets
                .refresh(&addresses(&["127.0.0.1:0", "198.51.100.77:0"]), None)
                .new
                .len(),
            1
        );
    }

    #[tokio::test]
    async fn what_cannot_be_bound_is_left_out() {
        // An address of documentation (RFC 5737), which is nobody's.
        let (sockets, usable) = Sockets::bind(&addresses(&["198.51.100.77:0"]), None);
        assert!(usable.is_empty() && sockets.of("198.51.100.77:1".parse().unwrap()).is_none());
    }

    #[tokio::test]
    async fn ports_come_from_the_range_until_all_are_in_use() {
        // A range of one port, which is free now that its socket is gone.
        let port = Socket::bind("127.0.0.1:0".parse().unwrap())
            .unwrap()
            .local_addr()
            .port();
        let first = bind_in_range("127.0.0.1:0".parse().unwrap(), Some(&(port..=port))).unwrap();
        assert_eq!(first.local_addr().port(), port);
        let second = bind_in_range("127.0.0.1:0".parse().unwrap(), Some(&(port..=port)));
        assert_eq!(second.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_socket_is_given_up_only_when_it_fails_again_and_again() {
        use io::ErrorKind as E;
        let mut patience = Patience::default();
        let failed = |kind: E| Err(kind.into());
        for _ in 0..3 {
            for _ in 0..Patience::MAX_ERRORS {
                assert!(patience.endure(failed(E::OutOfMemory)).is_ok());
            }
            // Nothing is there any more: what failed has passed.
            assert!(patience.endure(failed(E::WouldBlock)).is_ok());
        }
        for _ in 0..Patience::MAX_ERRORS {
            assert!(patience.endure(failed(E::NetworkDown)).is_ok());
        }
        assert_eq!(
            patience.endure(failed(E::NetworkDown)).unwrap_err().kind(),
            E::NetworkDown
        );
    }
}

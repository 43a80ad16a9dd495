//! Sockets that clients send to: UDP and TCP on the same port, and TLS.

use std::io;
use std::net::SocketAddr;

use peerline_udp::Socket;
use socket2::{Domain, Protocol, Type};
use tokio::net::TcpListener;

use crate::{BindError, Config};

/// How many connections wait to be accepted.
const BACKLOG: i32 = 1024;

/// How many free ports are tried until one is free for UDP and TCP.
const ATTEMPTS: usize = 20;

/// Where clients send to.
pub(crate) struct Listeners {
    pub(crate) udp: Vec<Socket>,
    pub(crate) tcp: Vec<TcpListener>,
    pub(crate) tls: Vec<TcpListener>,
}

impl Listeners {
    pub(crate) fn bind(config: &Config) -> Result<Self, BindError> {
        if config.listen.is_empty() && config.listen_tls.is_empty() {
            return Err(BindError::NoAddress);
        }
        if !config.listen_tls.is_empty() && config.tls.is_none() {
            return Err(BindError::NoCertificate);
        }
        let (mut udp, mut tcp) = (Vec::new(), Vec::new());
        for &address in &config.listen {
            let (socket, listener) = bind_both(address)?;
            udp.push(socket);
            tcp.push(listener);
        }
        if let Some(discovery) = &config.turn.nat_discovery {
            let (one, other) = (discovery.primary, discovery.alternate);
            if one.ip() == other.ip() || one.port() == other.port() || one.is_ipv4() != other.is_ipv4() {
                return Err(BindError::NatDiscovery);
            }
            if one.ip().is_unspecified() || other.ip().is_unspecified() {
                return Err(BindError::Wildcard);
            }
            for address in discovery.addresses() {
                if find(&udp, address).is_none() {
                    udp.push(Socket::bind(address).map_err(|error| BindError::Address(address, error))?);
                }
            }
        }
        let bind_tls = |&address| listen(address).map_err(|error| BindError::Address(address, error));
        let tls = config.listen_tls.iter().map(bind_tls).collect::<Result<_, _>>()?;
        Ok(Self { udp, tcp, tls })
    }
}

/// The socket that sends from this address.
pub(crate) fn find(sockets: &[Socket], local: SocketAddr) -> Option<&Socket> {
    let is_wildcard = |socket: &&Socket| {
        let bound = socket.local_addr();
        bound.ip().is_unspecified() && bound.port() == local.port() && bound.is_ipv4() == local.is_ipv4()
    };
    let exact = sockets.iter().find(|socket| socket.local_addr() == local);
    exact.or_else(|| sockets.iter().find(is_wildcard))
}

/// UDP and TCP on one port.
fn bind_both(address: SocketAddr) -> Result<(Socket, TcpListener), BindError> {
    let refused = |error| BindError::Address(address, error);
    let mut attempts = 0;
    loop {
        let socket = Socket::bind(address).map_err(refused)?;
        let chosen = SocketAddr::new(address.ip(), socket.local_addr().port());
        match listen(chosen) {
            Ok(listener) => return Ok((socket, listener)),
            Err(error) if address.port() == 0 && error.kind() == io::ErrorKind::AddrInUse && attempts < ATTEMPTS => {
                attempts += 1;
            }
            Err(error) => return Err(refused(error)),
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // What is left of connections of the program before does not keep the port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

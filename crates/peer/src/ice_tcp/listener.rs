//! Listeners, and who connects to them.
//!
//! That is a stranger. Strangers are few, and have little time: the first thing that one of them says has to be a
//! connectivity check that names a connection. To that it is then handed over, which closes it unless the check is authentic.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use peerline_connection::{framing, may_teach};
use peerline_wire::{FiveTuple, Transport};
use socket2::{Domain, Protocol, Type};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use crate::shared::Shared;

/// How many strangers a listener hears out at a time. Of more, the one that has taken longest goes.
const MAX_STRANGERS: usize = 256;

/// How long a stranger may take to say whom it wants.
const INTRODUCTION: Duration = Duration::from_secs(5);

/// The longest check: with all that other stacks put into theirs, and a datagram of DTLS.
const MAX_CHECK: usize = 2048;

/// How many connections wait to be accepted.
const LISTEN_BACKLOG: i32 = 1024;

/// Listens at one address; of these ports, if its own is 0.
pub(crate) fn bind(mut address: SocketAddr, ports: Option<&RangeInclusive<u16>>) -> io::Result<TcpListener> {
    let Some(ports) = ports.filter(|_| address.port() == 0) else {
        return listen(address);
    };
    for port in ports.clone() {
        address.set_port(port);
        match listen(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            result => return result,
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
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
    socket.listen(LISTEN_BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Lets connections be made from the port of a listener, by who says the same. Not before it listens: two listeners would get a port.
pub(super) fn share(listener: &TcpListener) -> io::Result<()> {
    #[cfg(unix)]
    socket2::SockRef::from(listener).set_reuse_port(true)?;
    #[cfg(not(unix))]
    let _ = listener;
    Ok(())
}

/// Takes connections until it is dropped. `find` tells whose one is by the check that it begins with.
pub(crate) async fn serve(
    listener: TcpListener,
    find: impl Fn(&FiveTuple, &[u8]) -> Option<Arc<Shared>> + Clone + Send + 'static,
) {
    let mut strangers = JoinSet::new();
    let mut oldest: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let accepted = listener.accept().await;
        while strangers.try_join_next().is_some() {}
        let Ok((stream, _)) = accepted else {
            // No descriptors are left, for one: others are to be closed meanwhile.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        if strangers.is_empty() {
            oldest.clear();
        }
        while strangers.len() >= MAX_STRANGERS {
            let Some(stranger) = oldest.pop_front() else { break };
            stranger.abort();
            strangers.join_next().await;
        }
        // Those that are done are among them.
        if oldest.len() >= 2 * MAX_STRANGERS {
            oldest.retain(|stranger| !stranger.is_finished());
        }
        oldest.push_back(strangers.spawn(introduce(stream, find.clone())));
    }
}

/// Hears whom a stranger wants, and hands it over.
async fn introduce(mut stream: TcpStream, find: impl Fn(&FiveTuple, &[u8]) -> Option<Arc<Shared>>) {
    let ends = stream.local_addr().and_then(|local| Ok((local, stream.peer_addr()?)));
    let Ok((local, remote)) = ends else { return };
    let path = FiveTuple {
        local,
        remote,
        transport: Transport::Tcp,
    };
    let mut read = BytesMut::with_capacity(MAX_CHECK);
    let check = timeout(INTRODUCTION, read_check(&mut stream, &mut read)).await;
    let Ok(Some(check)) = check else { return };
    let named = read.get(framing::HEADER_LEN..framing::HEADER_LEN + check);
    let named = named
        .filter(|check| may_teach(check))
        .and_then(|check| find(&path, check));
    if let Some(shared) = named
        && stream.set_nodelay(true).is_ok()
    {
        shared.welcome_tcp(path, stream, read);
    }
}

/// Reads until the first datagram is whole, and says how long it is; `None` if it is no check.
async fn read_check(stream: &mut TcpStream, read: &mut BytesMut) -> Option<usize> {
    loop {
        if let Some(len) = framing::announced_len(read) {
            if !(20..=MAX_CHECK).contains(&len) {
                return None;
            }
            if read.len() >= framing::HEADER_LEN + len {
                return Some(len);
            }
        }
        read.reserve(MAX_CHECK);
        if stream.read_buf(read).await.ok()? == 0 {
            return None;
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::ice_tcp) async fn streams() -> (TcpStream, TcpStream) {
        let listener = bind("127.0.0.1:0".parse().unwrap(), None).unwrap();
        let (client, server) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        (client.unwrap(), server.unwrap().0)
    }

    #[tokio::test]
    async fn who_says_nothing_or_nonsense_is_nobody() {
        for bytes in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            &[0, 0],
            &[0xff, 0xff, 0, 1],
            &[0, 19, 0, 1],
            &[8, 1, 0, 1],
        ] {
            let (client, mut server) = streams().await;
            client.try_write(bytes).unwrap();
            drop(client);
            assert_eq!(read_check(&mut server, &mut BytesMut::new()).await, None, "{bytes:?}");
        }
        let (client, mut server) = streams().await;
        let mut check = vec![0, 20];
        check.resize(22, 1);
        for byte in &check {
            client.try_write(&[*byte]).unwrap();
        }
        assert_eq!(read_check(&mut server, &mut BytesMut::new()).await, Some(20));
    }

    #[tokio::test]
    async fn ports_come_from_the_range_until_all_are_in_use() {
        let any = "127.0.0.1:0".parse().unwrap();
        let port = bind(any, None).unwrap().local_addr().unwrap().port();
        let first = bind(any, Some(&(port..=port))).unwrap();
        assert_eq!(first.local_addr().unwrap().port(), port);
        let second = bind(any, Some(&(port..=port)));
        assert_eq!(second.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}

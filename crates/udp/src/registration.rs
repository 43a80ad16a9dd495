//! What tokio tells about a socket: that there is something to receive, and, only if it was ever full, that it has room.

pub(crate) use self::imp::Registered;

/// A system tells of room whenever a datagram has left, not only after the socket was full: with both asked for, each datagram
/// sent would wake a thread for nothing.
#[cfg(unix)]
mod imp {
    use std::io;
    use std::net::UdpSocket;
    use std::os::fd::{AsRawFd, OwnedFd};
    use std::sync::OnceLock;
    use std::task::{Context, Poll, ready};

    use quinn_udp::UdpSockRef;
    use socket2::SockRef;
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;
    use tokio::runtime::Handle;

    /// A socket registered with a runtime.
    #[derive(Debug)]
    pub(crate) struct Registered {
        socket: AsyncFd<UdpSocket>,
        /// Another descriptor of the socket (one cannot be registered twice), from when it was first full.
        room: OnceLock<AsyncFd<OwnedFd>>,
        runtime: Handle,
    }

    impl Registered {
        pub(crate) fn new(socket: UdpSocket) -> io::Result<Self> {
            Ok(Self {
                socket: register(socket, Interest::READABLE)?,
                room: OnceLock::new(),
                runtime: Handle::current(),
            })
        }

        pub(crate) fn options(&self) -> SockRef<'_> {
            self.socket.get_ref().into()
        }

        pub(crate) fn io(&self) -> UdpSockRef<'_> {
            self.socket.get_ref().into()
        }

        pub(crate) async fn readable(&self) -> io::Result<()> {
            self.socket.readable().await.map(drop)
        }

        pub(crate) fn poll_recv_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            let ready = ready!(self.socket.poll_read_ready(cx));
            Poll::Ready(ready.map(drop))
        }

        /// Receives if there may be something; `WouldBlock` says that there is no more.
        pub(crate) fn try_recv<T>(&self, recv: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
            self.socket.try_io(Interest::READABLE, |_| recv())
        }

        pub(crate) async fn writable(&self) -> io::Result<()> {
            self.room()?.writable().await.map(drop)
        }

        pub(crate) fn poll_send_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            let ready = ready!(self.room()?.poll_write_ready(cx));
            Poll::Ready(ready.map(drop))
        }

        /// The socket was full: sends if it may have room again, else whoever waits is told when it has.
        pub(crate) fn retry_send<T>(&self, send: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
            self.room()?.try_io(Interest::WRITABLE, |_| send())
        }

        fn room(&self) -> io::Result<&AsyncFd<OwnedFd>> {
            if let Some(room) = self.room.get() {
                return Ok(room);
            }
            let descriptor = OwnedFd::from(self.socket.get_ref().try_clone()?);
            // Whoever finds the socket full may be on no runtime, or on another.
            let _entered = self.runtime.enter();
            let room = register(descriptor, Interest::WRITABLE)?;
            Ok(self.room.get_or_init(|| room))
        }
    }

    /// Whatever owns its descriptor: that is what makes it sound.
    fn register<T: AsRawFd + Into<OwnedFd>>(owner: T, interest: Interest) -> io::Result<AsyncFd<T>> {
        // SAFETY: the types with which it is called, `UdpSocket` and `OwnedFd`, own one open descriptor until they are dropped, and
        // `AsyncFd` gives nobody the means to replace it: it is only ever lent.
        #[allow(unsafe_code, reason = "the safe way to register was found unsound for other types")]
        let registered = unsafe { AsyncFd::register_with_interest(owner, interest) };
        Ok(registered?)
    }
}

#[cfg(not(unix))]
mod imp {
    use std::io;
    use std::task::{Context, Poll};

    use quinn_udp::UdpSockRef;
    use socket2::SockRef;
    use tokio::io::Interest;
    use tokio::net::UdpSocket;

    /// A socket registered with a runtime.
    #[derive(Debug)]
    pub(crate) struct Registered(UdpSocket);

    impl Registered {
        pub(crate) fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
            UdpSocket::from_std(socket).map(Self)
        }

        pub(crate) fn options(&self) -> SockRef<'_> {
            (&self.0).into()
        }

        pub(crate) fn io(&self) -> UdpSockRef<'_> {
            (&self.0).into()
        }

        pub(crate) async fn readable(&self) -> io::Result<()> {
            self.0.readable().await
        }

        pub(crate) fn poll_recv_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.0.poll_recv_ready(cx)
        }

        /// Receives if there may be something; `WouldBlock` says that there is no more.
        pub(crate) fn try_recv<T>(&self, recv: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
            self.0.try_io(Interest::READABLE, recv)
        }

        pub(crate) async fn writable(&self) -> io::Result<()> {
            self.0.writable().await
        }

        pub(crate) fn poll_send_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.0.poll_send_ready(cx)
        }

        /// The socket was full: sends if it may have room again, else whoever waits is told when it has.
        pub(crate) fn retry_send<T>(&self, send: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
            self.0.try_io(Interest::WRITABLE, send)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::UdpSocket;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    fn registered() -> Registered {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        Registered::new(socket).unwrap()
    }

    /// A loopback socket is never full: the attempt says that it was.
    fn full() -> io::Result<()> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    #[tokio::test]
    async fn who_finds_a_socket_full_is_told_when_it_has_room() {
        let registered = Arc::new(registered());
        // Also on a thread that has no runtime.
        let elsewhere = Arc::clone(&registered);
        let result = std::thread::spawn(move || elsewhere.retry_send(full)).join().unwrap();
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let told = async {
            registered.writable().await.unwrap();
            std::future::poll_fn(|cx| registered.poll_send_ready(cx)).await.unwrap();
            registered.retry_send(|| Ok(7)).unwrap()
        };
        let told = tokio::time::timeout(Duration::from_secs(20), told).await;
        assert_eq!(told.expect("there is room"), 7);
        // Full again: nobody is told before there is room anew.
        assert!(registered.retry_send(full).is_err());
        assert!(
            registered
                .retry_send(|| -> io::Result<()> { panic!("it is full") })
                .is_err()
        );
    }

    #[tokio::test]
    async fn a_socket_is_readable_when_something_has_come() {
        let (to, from) = (registered(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let address = to.options().local_addr().unwrap();
        from.send_to(b"x", address.as_socket().unwrap()).unwrap();
        tokio::time::timeout(Duration::from_secs(20), to.readable())
            .await
            .expect("something has come")
            .unwrap();
        assert_eq!(to.try_recv(|| Ok(7)).unwrap(), 7);
        assert!(to.try_recv(full).is_err());
        assert!(
            to.try_recv(|| -> io::Result<()> { panic!("nothing has come") })
                .is_err()
        );
    }
}

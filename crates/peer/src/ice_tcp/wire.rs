//! One connection over TCP: datagrams framed (RFC 4571), and kept while they wait to be written.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::{Buf, BytesMut};
use peerline_connection::framing;
use peerline_wire::FiveTuple;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::shared::Shared;

/// How many bytes wait for a connection at most, beside those that the system holds. Datagrams beyond are lost, as they would be
/// on a path that is too slow: whoever sends them has to learn that.
const MAX_BACKLOG: usize = 256 * 1024;

/// How much is read at once.
const READ: usize = 16 * 1024;

/// How often a connection is read from before others get their turn.
const READS: usize = 8;

/// One connection, and what waits to be written to it.
#[derive(Default)]
pub(crate) struct Wire {
    /// Once it is open.
    pub(super) stream: OnceLock<TcpStream>,
    /// Whole frames, but for the first, of which some may have been written.
    backlog: Mutex<BytesMut>,
    /// More waits than the system took, or nothing will any more.
    changed: Notify,
    is_closed: AtomicBool,
}

impl Wire {
    /// A connection that is open.
    pub(super) fn over(stream: TcpStream) -> Self {
        Self {
            stream: stream.into(),
            ..Self::default()
        }
    }

    fn backlog(&self) -> MutexGuard<'_, BytesMut> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn put(&self, datagram: &[u8]) {
        let Some(header) = framing::header(datagram.len()) else {
            return;
        };
        let mut backlog = self.backlog();
        if backlog.len() + header.len() + datagram.len() <= MAX_BACKLOG {
            backlog.extend_from_slice(&header);
            backlog.extend_from_slice(datagram);
        }
    }

    /// Writes what waits, as far as the system takes it; who reads sees to the rest, and to errors.
    pub(super) fn flush(&self) {
        let Some(stream) = self.stream.get() else { return };
        let mut backlog = self.backlog();
        while !backlog.is_empty() {
            match stream.try_write(&backlog) {
                Ok(written) => backlog.advance(written),
                Err(_) => return self.changed.notify_one(),
            }
        }
        // What a burst has needed, a resting connection does not.
        if backlog.capacity() > READ {
            *backlog = BytesMut::new();
        }
    }

    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        self.changed.notify_one();
    }

    /// Waits for its end.
    pub(super) async fn closed(&self) {
        while !self.is_closed.load(Ordering::Relaxed) {
            self.changed.notified().await;
        }
    }

    /// Carries datagrams until either side ends it.
    pub(super) async fn converse(&self, shared: &Shared, path: FiveTuple, mut read: BytesMut) {
        let Some(stream) = self.stream.get() else { return };
        if !read.is_empty() {
            shared.deliver_framed(path, &mut read);
        }
        loop {
            if self.is_closed.load(Ordering::Relaxed) {
                return self.flush();
            }
            let interest = if self.backlog().is_empty() {
                Interest::READABLE
            } else {
                Interest::READABLE | Interest::WRITABLE
            };
            let ready = tokio::select! {
                ready = stream.ready(interest) => ready,
                () = self.changed.notified() => continue,
            };
            let Ok(ready) = ready else { return };
            if ready.is_writable() {
                self.flush();
            }
            if ready.is_readable() && receive(stream, &mut read, |read| shared.deliver_framed(path, read)).is_err() {
                return;
            }
            // Between two batches, or for minutes, nothing is kept.
            if read.is_empty() {
                read = BytesMut::new();
            }
            tokio::task::yield_now().await;
        }
    }
}

/// Takes what has come; an error if nothing will any more.
fn receive(stream: &TcpStream, buffer: &mut BytesMut, mut deliver: impl FnMut(&mut BytesMut)) -> io::Result<()> {
    for _ in 0..READS {
        buffer.reserve(READ);
        match stream.try_read_buf(buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => deliver(buffer),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::ice_tcp::listener::tests::streams;

    /// Nobody reads: what waits is bounded, and what comes out in the end is whole.
    #[tokio::test]
    async fn a_wire_that_takes_nothing_holds_little_and_loses_whole_datagrams() {
        let (client, mut server) = streams().await;
        let wire = Wire::over(client);
        // More than the system holds by far.
        for number in 0..40_000_u32 {
            wire.put(&[number.to_be_bytes().repeat(300), vec![7; number as usize % 9]].concat());
            wire.flush();
        }
        assert!(wire.backlog().len() <= MAX_BACKLOG);
        let (mut read, mut last, mut count) = (BytesMut::new(), None, 0);
        while count == 0 || !wire.backlog().is_empty() {
            server.read_buf(&mut read).await.unwrap();
            while let Some(datagram) = framing::split(&mut read) {
                let number = u32::from_be_bytes(datagram[..4].try_into().unwrap());
                assert_eq!(datagram.len(), 1200 + number as usize % 9);
                assert!(datagram[..1200].chunks(4).all(|chunk| chunk == number.to_be_bytes()));
                assert!(last.replace(number) < Some(number));
                count += 1;
            }
            wire.flush();
        }
        assert!(count < 40_000);
    }
}

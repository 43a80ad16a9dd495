//! Clients by TCP and TLS: accepted within limits, each carried by a task of its own.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use peerline_stun::attribute::ConnectionId;
use peerline_turn::framing;
use peerline_wire::{Datagram, FiveTuple, Transport};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::admission::{Admission, Place};
use crate::driver::Input;
use crate::{StreamLimits, now};

/// How long no connection is accepted when the system has no descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

/// What is read at once at first, and at most.
const READ: std::ops::RangeInclusive<usize> = 2 * 1024..=64 * 1024;

/// What streams need of the server.
#[derive(Clone)]
pub(crate) struct Reception {
    pub(crate) inputs: mpsc::Sender<Input>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) limits: StreamLimits,
}

/// Accepts clients as long as the task is not ended; their tasks end with it.
pub(crate) async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, reception: Reception) {
    let mut clients = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = clients.join_next() => continue,
        };
        let Ok((stream, remote)) = accepted else {
            // The connection is gone already, or there are no descriptors: others will be free.
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        if let Some(place) = reception.admission.enter(remote.ip()) {
            clients.spawn(serve(stream, remote, tls.clone(), reception.clone(), place));
        }
    }
}

async fn serve(stream: TcpStream, remote: SocketAddr, tls: Option<TlsAcceptor>, reception: Reception, place: Place) {
    let _place = place;
    let Ok(local) = stream.set_nodelay(true).and_then(|()| stream.local_addr()) else {
        return;
    };
    let five_tuple = FiveTuple {
        local,
        remote,
        transport: Transport::Tcp,
    };
    let Some(tls) = tls else {
        return converse(stream, five_tuple, &reception).await;
    };
    match timeout(reception.limits.handshake, tls.accept(stream)).await {
        // It is large: clients by TCP need not have room for it.
        Ok(Ok(stream)) => Box::pin(converse(stream, five_tuple, &reception)).await,
        Ok(Err(_)) | Err(_) => reception.admission.handshake_failed(),
    }
}

/// Carries messages between a client and the server until one of them ends it; then, if it was joined with a peer's connection, what
/// comes is theirs (RFC 6062 §5.4).
async fn converse(mut stream: impl AsyncRead + AsyncWrite + Unpin, five_tuple: FiveTuple, reception: &Reception) {
    let outlet = Arc::new(Outlet::new(reception.limits.max_waiting));
    let inputs = &reception.inputs;
    if inputs
        .send(Input::Opened(five_tuple, Arc::clone(&outlet)))
        .await
        .is_err()
    {
        return;
    }
    let joined = carry(&mut stream, five_tuple, &outlet, reception).await;
    // From here on the machine knows nothing more of it, or the driver may forget it.
    let _ = inputs.send(Input::Closed(five_tuple)).await;
    match joined {
        Some(Joined {
            connection,
            mut peer,
            read,
        }) => {
            if peer.write_all(&read).await.is_ok() {
                // Whoever closes it or breaks it: it is over.
                tokio::select! {
                    _ = copy_bidirectional(&mut stream, &mut peer) => {}
                    () = outlet.until_closed() => {}
                }
            }
            let _ = inputs.send(Input::ConnectionClosed(connection)).await;
        }
        None => drop(timeout(reception.limits.handshake, stream.shutdown()).await),
    }
}

/// A connection to or from a peer, and what the client had sent for it.
struct Joined {
    connection: ConnectionId,
    peer: TcpStream,
    read: BytesMut,
}

async fn carry(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    five_tuple: FiveTuple,
    outlet: &Outlet,
    reception: &Reception,
) -> Option<Joined> {
    let (mut read, mut writing) = (BytesMut::new(), Vec::new());
    let mut at_once = *READ.start();
    loop {
        let end = outlet.take(&mut writing);
        if !writing.is_empty() {
            let written = timeout(reception.limits.stall, write(stream, &writing)).await;
            if !matches!(written, Ok(Ok(()))) {
                return None;
            }
            writing.clear();
        }
        match end {
            Some(End::Closed) => return None,
            Some(End::Joined(connection, peer)) => return Some(Joined { connection, peer, read }),
            None => {}
        }
        read.reserve(at_once);
        tokio::select! {
            count = stream.read_buf(&mut read) => {
                let Ok(count @ 1..) = count else { return None };
                if count >= at_once {
                    at_once = (at_once * 4).min(*READ.end());
                }
                while let Some(payload) = framing::split(&mut read).ok()? {
                    let datagram = Datagram { five_tuple, ecn: None, payload };
                    reception.inputs.send(Input::Message(datagram)).await.ok()?;
                }
            }
            () = outlet.filled.notified() => {}
        }
    }
}

async fn write(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

/// What is to be written to one client.
#[derive(Debug)]
pub(crate) struct Outlet {
    waiting: Mutex<Waiting>,
    filled: Notify,
    max_waiting: usize,
}

#[derive(Debug)]
struct Waiting {
    bytes: Vec<u8>,
    end: Option<End>,
    /// When it was last of use: opened, or with an allocation.
    used: Instant,
}

#[derive(Debug)]
enum End {
    Closed,
    Joined(ConnectionId, TcpStream),
}

impl Outlet {
    fn new(max_waiting: usize) -> Self {
        Self {
            waiting: Mutex::new(Waiting {
                bytes: Vec::new(),
                end: None,
                used: now(),
            }),
            filled: Notify::new(),
            max_waiting,
        }
    }

    /// Takes one message; false, and it is lost, if too much waits.
    pub(crate) fn put(&self, message: &[u8]) -> bool {
        let mut waiting = self.lock();
        let fits = waiting.bytes.len() + message.len() <= self.max_waiting;
        if fits {
            // Whoever reads is told once.
            if waiting.bytes.is_empty() {
                self.filled.notify_one();
            }
            waiting.bytes.extend_from_slice(message);
        }
        fits
    }

    /// What waits is written, then it is closed.
    pub(crate) fn close(&self) {
        self.lock().end.get_or_insert(End::Closed);
        self.filled.notify_one();
    }

    /// What waits is written, then it is the peer's.
    pub(crate) fn join(&self, connection: ConnectionId, peer: TcpStream) {
        self.lock().end.get_or_insert(End::Joined(connection, peer));
        self.filled.notify_one();
    }

    /// Ready once it is to be closed.
    async fn until_closed(&self) {
        while !matches!(self.lock().end, Some(End::Closed)) {
            self.filled.notified().await;
        }
    }

    /// For how long it has been of no use.
    pub(crate) fn idle(&self, now: Instant, is_used: bool) -> Duration {
        let mut waiting = self.lock();
        if is_used {
            waiting.used = now;
        }
        now.saturating_duration_since(waiting.used)
    }

    /// Exchanges what waits for an empty buffer.
    fn take(&self, into: &mut Vec<u8>) -> Option<End> {
        let mut waiting = self.lock();
        std::mem::swap(&mut waiting.bytes, into);
        waiting.end.take()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_takes_nothing_holds_little() {
        let outlet = Outlet::new(2500);
        assert!(outlet.put(&[1; 1000]) && outlet.put(&[2; 1000]) && !outlet.put(&[3; 1000]));
        let mut taken = Vec::new();
        assert!(outlet.take(&mut taken).is_none());
        assert_eq!(taken.len(), 2000);
        taken.clear();
        outlet.close();
        assert!(outlet.put(b"last"));
        assert!(matches!(outlet.take(&mut taken), Some(End::Closed)));
        assert_eq!(taken, b"last");
    }
}

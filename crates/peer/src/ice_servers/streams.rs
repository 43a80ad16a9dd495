//! [`Streams`]: what is to be written to servers that are spoken with over connections.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use peerline_wire::FiveTuple;
use tokio::sync::Notify;

/// How many bytes wait for a stream at most. More are lost, as they would be on a path of datagrams.
const MAX_WAITING: usize = 1 << 20;

/// What is to be written to servers.
#[derive(Debug, Default)]
pub(crate) struct Streams(HashMap<FiveTuple, (String, Arc<Outlet>)>);

impl Streams {
    /// Takes one message for a server. Lost, if too much waits there.
    pub(crate) fn write(&self, five_tuple: &FiveTuple, message: &[u8]) {
        if let Some((_, outlet)) = self.0.get(five_tuple) {
            outlet.put(message);
        }
    }

    /// A connection to a server.
    pub(super) fn insert(&mut self, five_tuple: FiveTuple, url: String) -> Arc<Outlet> {
        let outlet = Arc::<Outlet>::default();
        self.0.insert(five_tuple, (url, Arc::clone(&outlet)));
        outlet
    }

    pub(super) fn remove(&mut self, five_tuple: &FiveTuple) {
        self.0.remove(five_tuple);
    }

    /// The server at the end of this connection names another one: the connection is closed.
    pub(crate) fn redirect(&self, five_tuple: &FiveTuple, alternate: Alternate) {
        if let Some((_, outlet)) = self.0.get(five_tuple) {
            *outlet.alternate.lock().unwrap_or_else(PoisonError::into_inner) = Some(alternate);
            outlet.close();
        }
    }

    /// The connection with a server, by its name in the configuration.
    pub(super) fn path_to(&self, url: &str) -> Option<FiveTuple> {
        let mut streams = self.0.iter().filter(|(_, (known, _))| known == url);
        streams.next().map(|(path, _)| *path)
    }

    /// Closes the connections from addresses that are gone: nobody tells them. Says with which servers there are others, by the
    /// names that the configuration has for them.
    pub(crate) fn keep(&self, gone: impl Fn(IpAddr) -> bool) -> Vec<String> {
        let mut kept = Vec::new();
        for (five_tuple, (url, outlet)) in &self.0 {
            if gone(five_tuple.local.ip()) {
                outlet.close();
            } else {
                kept.push(url.clone());
            }
        }
        kept
    }
}

/// What is to be written to one server.
#[derive(Debug, Default)]
pub(super) struct Outlet {
    waiting: Mutex<Vec<u8>>,
    /// There is something, or nothing will be any more.
    pub(super) filled: Notify,
    closed: AtomicBool,
    /// The server has named another one.
    alternate: Mutex<Option<Alternate>>,
}

/// The server to connect to in place of another, which has named it (RFC 8489 §10).
#[derive(Clone, Debug)]
pub(crate) struct Alternate {
    pub(crate) server: SocketAddr,
    /// The name in its certificate, if it is another.
    pub(crate) domain: Option<Box<str>>,
}

impl Outlet {
    /// True if nothing will be written any more.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// The server that is to be connected to instead, once closed.
    pub(super) fn take_alternate(&self) -> Option<Alternate> {
        self.alternate.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.filled.notify_one();
    }

    fn put(&self, message: &[u8]) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() + message.len() <= MAX_WAITING {
            waiting.extend_from_slice(message);
            self.filled.notify_one();
        }
    }

    pub(super) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_takes_nothing_holds_little() {
        let outlet = Outlet::default();
        for _ in 0..3000 {
            outlet.put(&[0; 1000]);
        }
        assert!(outlet.take().len() <= MAX_WAITING);
        outlet.put(b"more");
        assert_eq!(outlet.take(), b"more");
    }
}

//! Watches the interfaces of this host: who uses them is told when they come and go.
//!
//! One thread a process, begun by the first connection. On Linux the kernel tells it of each change of an interface or an address
//! (rtnetlink), so that it sleeps at all other times; elsewhere it looks every two seconds. What it then does is the same
//! everywhere: it lists the interfaces and compares.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use if_addrs::Interface;

use crate::interfaces;
use crate::shared::Shared;

/// Changes come in bursts: a link that is up, its addresses one by one.
const BURST: Duration = Duration::from_millis(20);

/// How often to look where nobody tells.
const PERIOD: Duration = Duration::from_secs(2);

/// Who is told; `None` before the thread has begun.
static WATCHERS: Mutex<Option<Watchers>> = Mutex::new(None);

/// By the address of what is shared, which is unique while there is an entry.
type Watchers = HashMap<usize, Weak<Shared>>;

/// Tells a connection of changes until [`leave`].
pub(crate) fn join(shared: &Arc<Shared>) {
    let mut watchers = WATCHERS.lock().unwrap_or_else(PoisonError::into_inner);
    let begun = watchers.is_some();
    let watchers = watchers.get_or_insert_default();
    watchers.insert(key(shared), Arc::downgrade(shared));
    if !begun {
        // Without the thread nothing is noticed, and everything else works.
        let thread = std::thread::Builder::new().name("peerline-network".into());
        let _ = thread.spawn(watch);
    }
}

/// The connection is told no more.
pub(crate) fn leave(shared: &Arc<Shared>) {
    let mut watchers = WATCHERS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(watchers) = watchers.as_mut() {
        watchers.remove(&key(shared));
    }
}

fn key(shared: &Arc<Shared>) -> usize {
    Arc::as_ptr(shared).addr()
}

fn watch() {
    // The socket comes before the list, so that no change falls between them.
    let mut changes = Changes::new();
    let mut known = list();
    loop {
        changes.wait();
        let now = list();
        if now != known {
            known = now;
            interfaces::forget();
            tell();
        }
    }
}

fn tell() {
    let watchers = WATCHERS.lock().unwrap_or_else(PoisonError::into_inner);
    let all: Vec<Arc<Shared>> = watchers
        .iter()
        .flatten()
        .filter_map(|(_, shared)| shared.upgrade())
        .collect();
    drop(watchers);
    for shared in all {
        shared.update(|state, _| state.network_changed = true);
    }
}

/// What is compared: the order does not matter, nor what counts packets.
fn list() -> Option<Vec<Interface>> {
    let mut list = if_addrs::get_if_addrs().ok()?;
    list.sort_by(|a, b| (&a.name, a.ip()).cmp(&(&b.name, b.ip())));
    Some(list)
}

/// Waits for the next change, or for when one may have been.
struct Changes {
    #[cfg(target_os = "linux")]
    socket: io::Result<std::os::fd::OwnedFd>,
}

impl Changes {
    fn new() -> Self {
        Self {
            #[cfg(target_os = "linux")]
            socket: netlink(),
        }
    }

    #[allow(clippy::disallowed_methods, reason = "a thread of its own that does nothing else")]
    fn wait(&mut self) {
        #[cfg(target_os = "linux")]
        if let Ok(socket) = &self.socket {
            use std::os::fd::AsRawFd;

            // What it says is not read: an overflow says as much as a message.
            let received =
                nix::sys::socket::recv(socket.as_raw_fd(), &mut [0; 4096], nix::sys::socket::MsgFlags::empty());
            match received {
                Ok(_) | Err(nix::Error::ENOBUFS) => return std::thread::sleep(BURST),
                Err(error) => self.socket = Err(error.into()),
            }
        }
        std::thread::sleep(PERIOD);
    }
}

/// A socket on which the kernel tells of interfaces and addresses.
#[cfg(target_os = "linux")]
fn netlink() -> io::Result<std::os::fd::OwnedFd> {
    use std::os::fd::AsRawFd;

    use nix::sys::socket::{AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, socket};

    /// RTMGRP_LINK, RTMGRP_IPV4_IFADDR and RTMGRP_IPV6_IFADDR (rtnetlink(7)).
    const GROUPS: u32 = 0x1 | 0x10 | 0x100;
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, GROUPS))?;
    Ok(socket)
}

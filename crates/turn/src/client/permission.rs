//! [`Permissions`]: the addresses whose peers may send to us, and that we may send to (RFC 8656 §9).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use super::Timings;

#[derive(Debug, Default)]
pub(super) struct Permissions {
    by_address: BTreeMap<IpAddr, Permission>,
}

#[derive(Debug)]
struct Permission {
    /// Installed at the server until then.
    until: Option<Instant>,
    /// When to ask for it next; `None` while asked.
    due: Option<Instant>,
    /// To be asked for alone, since a request for several was refused.
    alone: bool,
    announced: bool,
}

/// How many addresses one CreatePermission request names: 192 bytes of them.
const MAX_IN_REQUEST: usize = 8;

impl Permissions {
    pub(super) fn len(&self) -> usize {
        self.by_address.len()
    }

    pub(super) fn contains(&self, peer: IpAddr) -> bool {
        self.by_address.contains_key(&peer)
    }

    /// True while the server lets data pass to this address, as far as we know.
    pub(super) fn is_installed(&self, peer: IpAddr, now: Instant) -> bool {
        let until = self.by_address.get(&peer).and_then(|permission| permission.until);
        until.is_some_and(|until| now < until)
    }

    /// True while the first request for it is under way.
    pub(super) fn is_asked(&self, peer: IpAddr) -> bool {
        let permission = self.by_address.get(&peer);
        permission.is_some_and(|permission| permission.until.is_none() && permission.due.is_none())
    }

    pub(super) fn add(&mut self, peer: IpAddr, now: Instant) {
        self.by_address.entry(peer).or_insert(Permission {
            until: None,
            due: Some(now),
            alone: false,
            announced: false,
        });
    }

    pub(super) fn remove(&mut self, peer: IpAddr) {
        self.by_address.remove(&peer);
    }

    pub(super) fn clear(&mut self) {
        self.by_address.clear();
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.by_address.values().filter_map(|permission| permission.due).min()
    }

    /// The addresses to ask for now, in one request; they count as asked for.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Vec<IpAddr>> {
        let mut due: Vec<IpAddr> = Vec::new();
        for (&peer, permission) in &mut self.by_address {
            if permission.due.is_none_or(|due| now < due) || permission.alone && !due.is_empty() {
                continue;
            }
            permission.due = None;
            due.push(peer);
            if permission.alone || due.len() == MAX_IN_REQUEST {
                break;
            }
        }
        (!due.is_empty()).then_some(due)
    }

    /// The server has installed it. True the first time.
    pub(super) fn installed(&mut self, peer: IpAddr, now: Instant, timings: &Timings) -> bool {
        let Some(permission) = self.by_address.get_mut(&peer) else {
            return false;
        };
        permission.until = Some(now + timings.permission_lifetime);
        permission.due = Some(now + timings.permission_refresh);
        !std::mem::replace(&mut permission.announced, true)
    }

    /// The request for it failed together with others: it is asked for again, alone.
    pub(super) fn ask_alone(&mut self, peer: IpAddr, now: Instant) {
        if let Some(permission) = self.by_address.get_mut(&peer) {
            permission.alone = true;
            permission.due = Some(now);
        }
    }
}

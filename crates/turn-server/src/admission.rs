//! [`Admission`]: how many connections there may be, in all and from one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::StreamLimits;

/// The connections there are.
pub(crate) struct Admission {
    limits: StreamLimits,
    places: Mutex<Places>,
    refused: AtomicU64,
    handshakes_failed: AtomicU64,
}

#[derive(Default)]
struct Places {
    taken: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// The place of one connection; free again when it is dropped.
pub(crate) struct Place {
    admission: Arc<Admission>,
    address: IpAddr,
}

impl Admission {
    pub(crate) fn new(limits: StreamLimits) -> Self {
        Self {
            limits,
            places: Mutex::default(),
            refused: AtomicU64::new(0),
            handshakes_failed: AtomicU64::new(0),
        }
    }

    /// A place for one more from there, if there is one.
    pub(crate) fn enter(self: &Arc<Self>, from: IpAddr) -> Option<Place> {
        let address = subscriber(from);
        let mut places = self.lock();
        let of_address = places.by_address.get(&address).copied().unwrap_or_default();
        if places.taken >= self.limits.max_connections || of_address >= self.limits.max_connections_per_address {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        places.taken += 1;
        places.by_address.insert(address, of_address + 1);
        Some(Place {
            admission: Arc::clone(self),
            address,
        })
    }

    pub(crate) fn handshake_failed(&self) {
        self.handshakes_failed.fetch_add(1, Ordering::Relaxed);
    }

    /// How many there are, how many were refused, and how many handshakes failed.
    pub(crate) fn counts(&self) -> (u64, u64, u64) {
        let taken = self.lock().taken as u64;
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (taken, of(&self.refused), of(&self.handshakes_failed))
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.admission.lock();
        places.taken -= 1;
        match places.by_address.get_mut(&self.address) {
            Some(1) | None => drop(places.by_address.remove(&self.address)),
            Some(count) => *count -= 1,
        }
    }
}

/// Who has one address of a /64 of IPv6 has them all.
fn subscriber(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_limited_in_all_and_by_subscriber() {
        let limits = StreamLimits {
            max_connections: 5,
            max_connections_per_address: 2,
            ..StreamLimits::default()
        };
        let admission = Arc::new(Admission::new(limits));
        let mut places = Vec::new();
        for (address, admitted) in [
            ("192.0.2.1", true),
            ("::ffff:192.0.2.1", true),
            ("192.0.2.1", false),
            ("2001:db8::1", true),
            ("2001:db8::2", true),
            ("2001:db8::3", false),
            ("2001:db8:0:1::3", true),
            ("192.0.2.2", false),
        ] {
            let place = admission.enter(address.parse().unwrap());
            assert_eq!(place.is_some(), admitted, "{address}");
            places.extend(place);
        }
        assert_eq!(admission.counts(), (5, 3, 0));
        places.remove(0);
        places.push(admission.enter("192.0.2.1".parse().unwrap()).expect("a place is free"));
        places.clear();
        assert!(admission.lock().by_address.is_empty());
    }
}

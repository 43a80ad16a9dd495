//! [`Place`]: what all handles about a transceiver hold.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Instant;

use peerline_connection::{MediaKind, Transceiver, TransceiverId};

use super::slots::MediaSignals;
use crate::shared::{Anchor, State, Subject, Wakes, wake_driver};

/// A transceiver of a connection.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) anchor: Arc<Anchor>,
    pub(crate) id: TransceiverId,
    pub(crate) kind: MediaKind,
    pub(crate) signals: Arc<MediaSignals>,
}

impl Place {
    /// The place of a transceiver; `None` if there is no such any more.
    pub(crate) fn find(anchor: &Arc<Anchor>, state: &mut State, id: TransceiverId) -> Option<Self> {
        let (kind, signals) = state.transceiver_signals(id)?;
        Some(Self {
            anchor: Arc::clone(anchor),
            id,
            kind,
            signals,
        })
    }

    /// The place that news tell of.
    pub(crate) fn of(anchor: &Arc<Anchor>, subject: Subject) -> Self {
        let Subject { id, kind, signals } = subject;
        Self {
            anchor: Arc::clone(anchor),
            id,
            kind,
            signals,
        }
    }

    /// Looks at the transceiver; `None` once it is stopped for both sides.
    pub(super) fn view<T>(&self, look: impl FnOnce(Transceiver<'_>) -> T) -> Option<T> {
        self.anchor.lock().connection.transceiver(self.id).map(look)
    }

    /// Changes something about it; sources, the engine and the driver see to the consequences.
    pub(super) fn update<T>(&self, change: impl FnOnce(&mut State, Instant, TransceiverId) -> T) -> T {
        self.anchor.update_media(|state, now| change(state, now, self.id))
    }

    /// Hands media to the connection; the driver is woken if it sleeps.
    pub(super) fn send<T>(&self, send: impl FnOnce(&mut State, TransceiverId) -> T) -> T {
        let mut state = self.anchor.lock();
        let result = send(&mut state, self.id);
        wake_driver(state);
        result
    }
}

impl crate::shared::Shared {
    /// Changes something about media: what follows from it is settled at once, so that no packet falls between.
    pub(crate) fn update_media<T>(&self, change: impl FnOnce(&mut State, Instant) -> T) -> T {
        let mut wakes = Wakes::default();
        let result = self.update(|state, now| {
            let result = change(state, now);
            state.digest(&mut wakes);
            state.refresh_media(&mut wakes);
            result
        });
        wakes.wake(self);
        result
    }
}

/// The same transceiver of the same connection.
impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && Arc::ptr_eq(&self.anchor, &other.anchor)
    }
}

impl Eq for Place {}

impl Hash for Place {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

//! RTCP that we send: reports on a schedule, requests at once.

use std::time::Instant;

use rand::rngs::StdRng;

use super::Media;

/// When reports are due.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    due: Option<Instant>,
}

impl Schedule {
    pub(super) fn begin(&mut self, now: Instant, _rng: &mut StdRng) {
        self.due = Some(now);
    }
}

impl Media {
    pub(super) fn say_goodbye(&mut self, _ended: &[u32]) {}
    pub(crate) fn handle_timeout(&mut self, _now: Instant) {}
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        None
    }
    pub(crate) fn handle_rtcp(&mut self, _now: Instant, _d: bytes::BytesMut) {}
}

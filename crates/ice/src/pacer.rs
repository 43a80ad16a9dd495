//! [`Pacer`]: when the next new check may leave.

use std::time::{Duration, Instant};

/// Paces new checks by Ta (RFC 8445 §6.1.4.2). A triggered check may take its turn one Ta early, for it is likely to
/// succeed; those after it pay for that, so that the rate stays the same.
#[derive(Debug, Default)]
pub(crate) struct Pacer {
    pub(crate) triggered_from: Option<Instant>,
    pub(crate) ordinary_from: Option<Instant>,
}

impl Pacer {
    pub(crate) fn on_check_sent(&mut self, now: Instant, ta: Duration) {
        let turn = self.ordinary_from.map_or(now, |from| from.max(now));
        self.triggered_from = Some(turn);
        self.ordinary_from = Some(turn + ta);
    }
}

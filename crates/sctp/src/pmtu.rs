//! Path MTU discovery (DPLPMTUD, RFC 8899): packets larger than [`Config::mtu`] are tried, and used once one has arrived.
//!
//! ```text
//!          more to send than a packet holds            every size tried
//!   ┌──────┐ ───────────────────────────▶ ┌───────────┐ ─────────────▶ ┌──────────┐
//!   │ Base │                              │ Searching │                │ Complete │
//!   └──────┘ ◀─────────────────────────── └───────────┘                └──────────┘
//!       ▲       large packets get lost (black hole)                      │   │
//!       └────────────────────────────────────────────────────────────────┘   │ PMTU_RAISE_TIMER: Searching again, from
//!                                                                            ▼ where it is, when there is more to send
//! ```
//!
//! A probe is a packet of its own: a HEARTBEAT, and a PAD that brings it to the size in question (§6.2.1.2). It takes no
//! part in congestion control, and its loss says nothing about congestion (§3).
//!
//! *Fragments* stay at the size that fits [`Config::mtu`]; a larger packet carries several, or several messages. For RFC 9260 §6.9 has it that
//! "once a user message has been fragmented, this fragmentation cannot be re-fragmented": a fragment for which the path has
//! become too small could be sent only by IP fragmentation, which UDP sockets that probe switch off, and the association
//! would end. RFC 9260 §7.3 cuts messages for the smallest path of several for the same reason.

use std::time::{Duration, Instant};

use crate::Config;
use crate::wire::{Chunk, Header, Heartbeat, Pad};

#[derive(Debug)]
pub(crate) struct PathMtu {
    /// BASE_PLPMTU: taken for granted.
    base: usize,
    /// MAX_PLPMTU.
    max: usize,
    /// PLPMTU: the largest packet that may carry anything.
    current: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Nothing is tried before there is use for it.
    Base,
    Searching(Search),
    /// Until the PMTU_RAISE_TIMER expires.
    Complete(Option<Instant>),
}

#[derive(Debug)]
struct Search {
    /// The smallest size known not to arrive.
    too_large: usize,
    /// PROBED_SIZE.
    size: usize,
    /// PROBE_COUNT: probes of this size that went unanswered.
    unanswered: u32,
    probe: Probe,
}

#[derive(Debug)]
enum Probe {
    Due,
    /// What the answer has to say, and when it is overdue (PROBE_TIMER).
    Sent(u64, Option<Instant>),
}

/// §5.1.2: it "MUST NOT be smaller than 1 second and SHOULD be larger than 15 seconds".
const PROBE_TIMER: Duration = Duration::from_secs(16);

/// §5.1.2: "This timer has a period of 600 seconds".
const PMTU_RAISE_TIMER: Duration = Duration::from_secs(600);

/// §5.1.2: "The default value of MAX_PROBES is 3."
const MAX_PROBES: u32 = 3;

/// Sizes nearer to each other than this are one.
const RESOLUTION: usize = 32;

/// What fits 1,500 bytes of Ethernet is tried before anything larger: IPv6, UDP and DTLS 1.2 take 85.
const ETHERNET: usize = 1412;

impl PathMtu {
    pub(crate) fn new(config: &Config) -> Self {
        let base = config.packet_size();
        Self {
            base,
            max: config.max_packet_size(),
            current: base,
            state: State::Base,
        }
    }

    /// The largest packet that may carry anything, in bytes.
    pub(crate) fn current(&self) -> usize {
        self.current
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Searching(Search {
                probe: Probe::Sent(_, deadline),
                ..
            })
            | State::Complete(deadline) => *deadline,
            State::Base | State::Searching(_) => None,
        }
    }

    /// There is more to send than a packet holds.
    pub(crate) fn on_demand(&mut self) {
        if matches!(self.state, State::Base) {
            self.search(self.max + 4, None);
        }
    }

    /// Tries the next size below `too_large`, or is done.
    fn search(&mut self, too_large: usize, now: Option<Instant>) {
        let low = self.current;
        let size = if low < ETHERNET && ETHERNET < too_large.min(self.max) {
            ETHERNET
        } else if too_large > self.max {
            self.max
        } else {
            low.midpoint(too_large) & !3
        };
        let worthwhile = low + RESOLUTION < too_large || size == self.max && size > low;
        self.state = if worthwhile {
            State::Searching(Search {
                too_large,
                size,
                unanswered: 0,
                probe: Probe::Due,
            })
        } else if low < self.max {
            State::Complete(now.and_then(|now| now.checked_add(PMTU_RAISE_TIMER)))
        } else {
            State::Complete(None)
        };
    }

    /// The size of the probe that is to be sent.
    pub(crate) fn due(&self) -> Option<usize> {
        match &self.state {
            State::Searching(Search {
                size,
                probe: Probe::Due,
                ..
            }) => Some(*size),
            _ => None,
        }
    }

    /// Writes the chunks of the probe that is due, which leaves now.
    pub(crate) fn write(&mut self, now: Instant, nonce: u64, out: &mut Vec<u8>) {
        let State::Searching(search) = &mut self.state else {
            return;
        };
        let info = nonce.to_be_bytes();
        Chunk::Heartbeat(Heartbeat { info: &info }).encode(out);
        let padding = search.size - Header::LEN - (8 + info.len()) - 4;
        Pad::write(out, std::iter::repeat_n(0, padding));
        search.probe = Probe::Sent(nonce, now.checked_add(PROBE_TIMER));
    }

    /// A HEARTBEAT ACK has come. True if it answers the probe.
    pub(crate) fn on_answer(&mut self, now: Instant, info: &[u8]) -> bool {
        let State::Searching(search) = &self.state else {
            return false;
        };
        let Probe::Sent(nonce, _) = search.probe else {
            return false;
        };
        if info != nonce.to_be_bytes() {
            return false;
        }
        self.current = search.size;
        self.search(search.too_large, Some(now));
        true
    }

    pub(crate) fn on_timeout(&mut self, now: Instant) {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        match &mut self.state {
            State::Searching(search) => {
                search.unanswered += 1;
                search.probe = Probe::Due;
                // §5.3: "If the value of the PROBE_COUNT reaches MAX_PROBES, probing will stop, and the PL sender enters the
                // Search Complete state", here once smaller sizes have been tried.
                if search.unanswered >= MAX_PROBES {
                    let too_large = search.size;
                    self.search(too_large, Some(now));
                }
            }
            // Nothing is tried before there is use for it.
            State::Complete(_) => self.state = State::Base,
            State::Base => {}
        }
    }

    /// Packets have been lost repeatedly: if they were large, the path may take them no more (§4.3).
    pub(crate) fn on_black_hole(&mut self) {
        if self.current > self.base {
            self.current = self.base;
            self.state = State::Base;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path_mtu(max_mtu: usize) -> PathMtu {
        PathMtu::new(&Config {
            max_mtu,
            ..Config::default()
        })
    }

    /// Searches over a path that takes packets of `path` bytes. Returns the sizes tried.
    fn search(mtu: &mut PathMtu, now: &mut Instant, path: usize) -> Vec<usize> {
        let mut tried = Vec::new();
        mtu.on_demand();
        while let Some(size) = mtu.due() {
            tried.push(size);
            let mut out = Vec::new();
            mtu.write(*now, 7, &mut out);
            assert_eq!(out.len() + Header::LEN, size);
            assert_eq!(mtu.due(), None);
            if size <= path {
                assert!(!mtu.on_answer(*now, &8u64.to_be_bytes()));
                assert!(mtu.on_answer(*now, &7u64.to_be_bytes()));
            } else {
                *now = mtu.deadline().unwrap();
                mtu.on_timeout(*now);
            }
        }
        tried
    }

    #[test]
    fn the_largest_size_comes_first_and_is_often_the_last() {
        let mut now = peerline_sim::epoch();
        let mut mtu = path_mtu(1412);
        assert_eq!(search(&mut mtu, &mut now, 1412), [1412]);
        assert_eq!((mtu.current(), mtu.deadline()), (1412, None));
        assert_eq!(search(&mut path_mtu(9000), &mut now, 9000), [1412, 9000]);
        assert_eq!(search(&mut path_mtu(1188), &mut now, 9000), []);
        assert_eq!(search(&mut path_mtu(1200), &mut now, 9000), [1200]);
        assert_eq!(search(&mut path_mtu(100), &mut now, 9000), []);
    }

    #[test]
    fn a_size_between_is_found() {
        for (path, max) in [
            (1188, 1412),
            (1300, 1412),
            (1400, 1412),
            (2000, 9000),
            (8999, 9000),
            (1188, 65_532),
        ] {
            let mut now = peerline_sim::epoch();
            let mut mtu = path_mtu(max);
            let tried = search(&mut mtu, &mut now, path);
            let found = mtu.current();
            assert!(
                (path.saturating_sub(RESOLUTION + 4)..=path).contains(&found),
                "{path} {tried:?}"
            );
            assert!(
                tried.iter().filter(|size| **size > path).count() <= 36,
                "{path} {tried:?}"
            );
            assert!(mtu.deadline().is_some_and(|at| at == now + PMTU_RAISE_TIMER));
        }
    }

    #[test]
    fn the_search_is_taken_up_again_where_it_was() {
        let mut now = peerline_sim::epoch();
        let mut mtu = path_mtu(1412);
        search(&mut mtu, &mut now, 1300);
        let found = mtu.current();
        assert!(mtu.due().is_none());
        now = mtu.deadline().unwrap();
        mtu.on_timeout(now);
        assert_eq!((mtu.due(), mtu.deadline()), (None, None), "nothing without demand");
        search(&mut mtu, &mut now, 1412);
        assert!(found < mtu.current() && mtu.current() == 1412);
    }

    #[test]
    fn a_black_hole_leads_back_to_the_base() {
        let mut now = peerline_sim::epoch();
        let mut mtu = path_mtu(1412);
        search(&mut mtu, &mut now, 1412);
        mtu.on_black_hole();
        assert_eq!((mtu.current(), mtu.due()), (1188, None));
        assert_eq!(search(&mut mtu, &mut now, 1188)[..3], [1412; 3]);
        assert_eq!(mtu.current(), 1188);
    }
}

//! [`Pair`]: a local and a remote candidate that may reach each other (RFC 8445 §6.1.2), and the life of its checks.

use std::fmt;
use std::time::Instant;

use peerline_wire::FiveTuple;

use crate::remote::RemoteId;
use crate::{Candidate, PairCounters, Role};

/// Names a candidate pair within its agent, across restarts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PairId(pub(crate) u64);

impl fmt::Display for PairId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

impl fmt::Debug for PairId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pair {self}")
    }
}

/// Where the checks of a pair have got to (RFC 8445 §6.1.2.6).
///
/// ```text
///   Frozen ──unfreeze──> Waiting ──perform──> InProgress ──success──> Succeeded
///                           ^                     └─────failure─────> Failed
///                           └─────── a triggered check (§7.3.1.4) ──────┘
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PairState {
    /// To be checked once a pair with the same foundation has told how it fares.
    Frozen,
    /// To be checked.
    Waiting,
    /// A check has been sent.
    InProgress,
    /// A check has been answered: the pair is valid.
    Succeeded,
    /// The checks were not answered, or refused, or consent has expired.
    Failed,
}

impl PairState {
    /// The W3C name (`RTCStatsIceCandidatePairState`).
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Frozen => "frozen",
            Self::Waiting => "waiting",
            Self::InProgress => "in-progress",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }
}

/// The foundations of both candidates, as numbers that their tables gave them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Foundation {
    pub(crate) local: u32,
    pub(crate) remote: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) id: PairId,
    /// From the base of the local candidate to the remote one. No two pairs of a checklist share it (RFC 8445 §6.1.2.4).
    pub(crate) path: FiveTuple,
    /// Which of the session's local candidates.
    pub(crate) local: usize,
    pub(crate) remote: RemoteId,
    pub(crate) foundation: Foundation,
    pub(crate) local_priority: u32,
    pub(crate) remote_priority: u32,
    /// What PRIORITY says in its checks: "the priority that would be assigned [...] if the candidate were peer reflexive" (§7.1.1).
    pub(crate) reflexive_priority: u32,
    pub(crate) state: PairState,
    /// True while in the triggered-check queue.
    pub(crate) queued: bool,
    /// How often the peer's checks have caused one that was not the first, or tried again what had failed.
    pub(crate) repeated: u8,
    /// The peer-reflexive local candidate that the latest response revealed. The valid pair of RFC 8445 §7.2.5.3.2 is this
    /// candidate and the remote one; it shares the path, and so its entry, with the pair whose check found it.
    pub(crate) mapped: Option<Box<Candidate>>,
    /// The nominated flag (§7.2.5.3.4, §7.3.1.5).
    pub(crate) nominated: bool,
    /// USE-CANDIDATE came before the pair was valid: the success of our own check nominates it (§7.3.1.5).
    pub(crate) nominate_on_success: bool,
    /// When USE-CANDIDATE last came.
    pub(crate) use_candidate_at: Option<Instant>,
    /// The number of the peer's latest nomination of it (draft-thatcher-ice-renomination).
    pub(crate) nomination: u32,
    /// True once the peer has sent an authenticated check this way.
    pub(crate) peer_checked: bool,
    /// When consent was last given (RFC 7675): a response to us, or for a lite agent a request.
    pub(crate) consent_at: Option<Instant>,
    /// When the peer was last heard this way, by whatever means.
    pub(crate) alive_at: Option<Instant>,
    /// Since when data has been sent this way and nothing been heard.
    pub(crate) unanswered_since: Option<Instant>,
    /// How many datagrams of data have come since the peer was last asked whether the path works; it counts no further than
    /// what is [steady](Self::STEADY).
    pub(crate) run: u8,
    pub(crate) counters: PairCounters,
}

impl Pair {
    /// So many datagrams are a flow, whose end is worth a question.
    pub(crate) const STEADY: u8 = 16;

    /// The peer has been heard this way.
    pub(crate) fn hear(&mut self, now: Instant) {
        self.alive_at = Some(now);
        self.unanswered_since = None;
    }

    /// The priority among the pairs of the checklist.
    pub(crate) fn priority(&self, role: Role) -> u64 {
        pair_priority(role, self.local_priority, self.remote_priority)
    }

    /// The priority among the valid pairs, where the local candidate is the one that the peer sees (§7.2.5.3.2).
    pub(crate) fn valid_priority(&self, role: Role) -> u64 {
        let local = self
            .mapped
            .as_ref()
            .map_or(self.local_priority, |mapped| mapped.priority);
        pair_priority(role, local, self.remote_priority)
    }
}

/// "Let G be the priority for the candidate provided by the controlling agent. Let D be the priority for the candidate
/// provided by the controlled agent" (RFC 8445 §6.1.2.3):
///
/// ```text
/// pair priority = 2^32*MIN(G,D) + 2*MAX(G,D) + (G>D?1:0)
/// ```
pub(crate) fn pair_priority(role: Role, local: u32, remote: u32) -> u64 {
    let (g, d) = match role {
        Role::Controlling => (local, remote),
        Role::Controlled => (remote, local),
    };
    // Priorities are below 2^31 (§5.1.2), but a peer may write anything: a sum that saturates still orders right.
    (u64::from(g.min(d)) << 32)
        .saturating_add(2 * u64::from(g.max(d)))
        .saturating_add(u64::from(g > d))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_compute_the_same_priority() {
        let (ours, theirs) = (2_130_706_431, 1_694_498_815);
        let priority = pair_priority(Role::Controlling, ours, theirs);
        assert_eq!(priority, (u64::from(theirs) << 32) + 2 * u64::from(ours) + 1);
        assert_eq!(priority, pair_priority(Role::Controlled, theirs, ours));
        assert_eq!(pair_priority(Role::Controlled, ours, theirs), priority - 1);
    }

    #[test]
    fn priorities_at_the_end_of_the_range_do_not_overflow() {
        assert_eq!(pair_priority(Role::Controlling, u32::MAX, u32::MAX), u64::MAX);
        assert!(pair_priority(Role::Controlling, u32::MAX, u32::MAX - 2) < u64::MAX);
    }
}

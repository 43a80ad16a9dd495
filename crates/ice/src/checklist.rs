//! [`Checklist`]: the candidate pairs of a session, found by path and ordered by priority (RFC 8445 §6.1.2, §6.1.4).
//!
//! Every question is answered by an index, so that a peer that trickles candidates costs the logarithm of the table for
//! each, and never a walk through it.

use std::collections::VecDeque;

use peerline_wire::FiveTuple;

use crate::Role;
use crate::pair::{Foundation, Pair, PairId, PairState};
use crate::sorted::{SortedMap, SortedSet};

/// By priority, then by age.
type Ranked = (u64, PairId);

#[derive(Debug)]
pub(crate) struct Checklist {
    role: Role,
    limit: usize,
    pairs: SortedMap<PairId, Box<Pair>>,
    by_path: SortedMap<FiveTuple, PairId>,
    /// Pairs in the Waiting state, but for those in the triggered-check queue.
    waiting: SortedSet<Ranked>,
    /// Frozen, Waiting and In-Progress pairs.
    unresolved: SortedSet<Ranked>,
    /// The valid list: Succeeded pairs, by the priority of the valid pair.
    valid: SortedSet<Ranked>,
    /// All pairs, those first that go first when the list is full.
    expendable: SortedSet<(Worth, u64, PairId)>,
    foundations: SortedMap<Foundation, Group>,
    /// The triggered-check queue (§6.1.4.1).
    triggered: VecDeque<PairId>,
}

/// The pairs of one foundation.
#[derive(Debug, Default)]
struct Group {
    /// How many are Waiting or In-Progress.
    active: usize,
    succeeded: usize,
    frozen: SortedSet<Ranked>,
}

/// What keeps a pair in a full list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    Failed,
    Unchecked,
    /// In progress, or asked for by the peer.
    Promising,
    Valid,
    Nominated,
}

impl Checklist {
    pub(crate) fn new(role: Role, limit: usize) -> Self {
        Self {
            role,
            limit,
            pairs: SortedMap::default(),
            by_path: SortedMap::default(),
            waiting: SortedSet::default(),
            unresolved: SortedSet::default(),
            valid: SortedSet::default(),
            expendable: SortedSet::default(),
            foundations: SortedMap::default(),
            triggered: VecDeque::new(),
        }
    }

    pub(crate) fn get(&self, id: PairId) -> Option<&Pair> {
        self.pairs.get(&id).map(|pair| &**pair)
    }

    pub(crate) fn find(&self, path: &FiveTuple) -> Option<&Pair> {
        // A concluded checklist has one pair.
        if let Some((_, only)) = self.pairs.single() {
            return Some(&**only).filter(|pair| pair.path == *path);
        }
        self.get(*self.by_path.get(path)?)
    }

    /// For changes that no index depends on.
    pub(crate) fn find_mut(&mut self, path: &FiveTuple) -> Option<&mut Pair> {
        let id = self.find(path)?.id;
        self.get_mut(id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Pair> {
        self.pairs.values().map(|pair| &**pair)
    }

    /// For changes that no index depends on.
    pub(crate) fn get_mut(&mut self, id: PairId) -> Option<&mut Pair> {
        self.pairs.get_mut(&id).map(|pair| &mut **pair)
    }

    /// Changes what no index depends on.
    pub(crate) fn touch(&mut self, id: PairId, change: impl FnOnce(&mut Pair)) {
        if let Some(pair) = self.get_mut(id) {
            change(pair);
        }
    }

    /// Changes anything but the path.
    pub(crate) fn update(&mut self, id: PairId, change: impl FnOnce(&mut Pair)) {
        self.unindex(id);
        self.touch(id, change);
        self.index(id);
    }

    /// Adds a pair whose path is not in the list, in the state where its foundation stands. Returns the pair that had to
    /// make room, or `Err` if this one is the least useful of all.
    pub(crate) fn insert(&mut self, mut pair: Box<Pair>) -> Result<Option<Box<Pair>>, Full> {
        let evicted = self.make_room(&pair)?;
        let group = self.foundations.entry(pair.foundation);
        // "For each foundation, the agent sets the state of exactly one candidate pair to the Waiting state" (§6.1.2.6),
        // and once a pair has succeeded, those "with the same foundation" need not wait for it (§7.2.5.3.3).
        if pair.state == PairState::Frozen && (group.active == 0 || group.succeeded > 0) {
            pair.state = PairState::Waiting;
        }
        let id = pair.id;
        self.by_path.insert(pair.path, id);
        self.pairs.insert(id, pair);
        self.index(id);
        Ok(evicted)
    }

    /// "[...] an agent MUST limit the total number of connectivity checks [...] by discarding the lower-priority candidate
    /// pairs" (§6.1.2.5). Pairs that the peer has just used are kept rather than those nobody has tried.
    fn make_room(&mut self, pair: &Pair) -> Result<Option<Box<Pair>>, Full> {
        if self.pairs.len() < self.limit {
            return Ok(None);
        }
        let &(worth, priority, id) = self.expendable.first().ok_or(Full)?;
        let gives_way = match worth {
            Worth::Failed => true,
            Worth::Unchecked => pair.peer_checked || priority < pair.priority(self.role),
            Worth::Promising => pair.peer_checked,
            Worth::Valid | Worth::Nominated => false,
        };
        if gives_way { Ok(self.remove(id)) } else { Err(Full) }
    }

    pub(crate) fn remove(&mut self, id: PairId) -> Option<Box<Pair>> {
        self.unindex(id);
        let pair = self.pairs.remove(&id)?;
        self.by_path.remove(&pair.path);
        if pair.queued {
            self.triggered.retain(|&queued| queued != id);
        }
        self.thaw(pair.foundation);
        Some(pair)
    }

    /// Sets the state, and unfreezes what that unfreezes.
    pub(crate) fn set_state(&mut self, id: PairId, state: PairState) {
        self.update(id, |pair| pair.state = state);
        if let Some(pair) = self.pairs.get(&id) {
            self.thaw(pair.foundation);
        }
    }

    /// "The agent MUST set the states for all other Frozen candidate pairs [...] with the same foundation to Waiting" after
    /// a success (§7.2.5.3.3); and a foundation with "no pair [...] in the Waiting or In-Progress state" gets one (§6.1.4.2).
    fn thaw(&mut self, foundation: Foundation) {
        while let Some(group) = self.foundations.get(&foundation)
            && (group.succeeded > 0 || group.active == 0)
            && let Some(&(_, id)) = group.frozen.last()
        {
            self.update(id, |pair| pair.state = PairState::Waiting);
        }
    }

    /// Puts a pair into the triggered-check queue, if it is not there, and into the Waiting state, unless it is valid: a
    /// valid pair stays so while it is checked again.
    pub(crate) fn trigger(&mut self, id: PairId) {
        let mut newly_queued = false;
        self.update(id, |pair| {
            newly_queued = !std::mem::replace(&mut pair.queued, true);
            if pair.state != PairState::Succeeded {
                pair.state = PairState::Waiting;
            }
        });
        if newly_queued {
            self.triggered.push_back(id);
        }
    }

    /// Takes a pair out of the triggered-check queue.
    pub(crate) fn untrigger(&mut self, id: PairId) {
        if self.get(id).is_some_and(|pair| pair.queued) {
            self.triggered.retain(|&queued| queued != id);
            self.update(id, |pair| pair.queued = false);
        }
    }

    /// The first of the triggered-check queue.
    pub(crate) fn next_triggered(&self) -> Option<PairId> {
        self.triggered.front().copied()
    }

    /// "[...] the highest-priority candidate pair [...] in the Waiting state" (§6.1.4.2).
    pub(crate) fn next_ordinary(&self) -> Option<PairId> {
        self.waiting.last().map(|&(_, id)| id)
    }

    /// How many checks are to be done or being done, for the RTO (§14.3).
    pub(crate) fn unresolved(&self) -> usize {
        self.unresolved.len()
    }

    /// True if a pair that could become a better valid pair than `priority` is still to be checked.
    pub(crate) fn may_improve_on(&self, priority: u64) -> bool {
        self.unresolved.last().is_some_and(|&(best, _)| best > priority)
    }

    /// The valid list, best first.
    pub(crate) fn valid(&self) -> impl Iterator<Item = &Pair> {
        self.valid.iter().rev().filter_map(|&(_, id)| self.get(id))
    }

    pub(crate) fn best_valid(&self) -> Option<&Pair> {
        let &(_, id) = self.valid.last()?;
        self.get(id)
    }

    /// "[...] the ICE agent MUST remove all candidate pairs for the same component from the checklist and from the
    /// triggered-check queue" (§8.1.2). The valid list stays. Returns what was removed.
    pub(crate) fn conclude(&mut self) -> Vec<Pair> {
        for id in std::mem::take(&mut self.triggered) {
            self.update(id, |pair| pair.queued = false);
        }
        let settled = |pair: &&Pair| pair.state != PairState::Succeeded;
        let rest: Vec<PairId> = self.iter().filter(settled).map(|pair| pair.id).collect();
        let removed = rest
            .into_iter()
            .filter_map(|id| self.remove(id))
            .map(|pair| *pair)
            .collect();
        self.shrink();
        removed
    }

    /// Gives back the room for pairs that are gone.
    fn shrink(&mut self) {
        self.pairs.shrink();
        self.by_path.shrink();
        self.foundations.shrink();
        self.valid.shrink();
        self.expendable.shrink();
    }

    /// "A role switch requires an agent to recompute pair priorities" (§7.2.5.1).
    pub(crate) fn set_role(&mut self, role: Role) {
        if self.role == role {
            return;
        }
        let ids: Vec<PairId> = self.pairs.keys().copied().collect();
        ids.iter().for_each(|&id| self.unindex(id));
        self.role = role;
        ids.iter().for_each(|&id| self.index(id));
    }

    fn worth(pair: &Pair) -> Worth {
        match pair.state {
            _ if pair.nominated => Worth::Nominated,
            PairState::Succeeded => Worth::Valid,
            PairState::InProgress => Worth::Promising,
            PairState::Waiting | PairState::Frozen if pair.queued => Worth::Promising,
            PairState::Waiting | PairState::Frozen => Worth::Unchecked,
            PairState::Failed => Worth::Failed,
        }
    }

    fn index(&mut self, id: PairId) {
        let Some(pair) = self.pairs.get(&id) else { return };
        let ranked = (pair.priority(self.role), id);
        let group = self.foundations.entry(pair.foundation);
        match pair.state {
            PairState::Frozen => {
                group.frozen.insert(ranked);
                self.unresolved.insert(ranked);
            }
            PairState::Waiting | PairState::InProgress => {
                group.active += 1;
                self.unresolved.insert(ranked);
                if pair.state == PairState::Waiting && !pair.queued {
                    self.waiting.insert(ranked);
                }
            }
            PairState::Succeeded => {
                group.succeeded += 1;
                self.valid.insert((pair.valid_priority(self.role), id));
            }
            PairState::Failed => {}
        }
        self.expendable.insert((Self::worth(pair), ranked.0, id));
    }

    /// The reverse of [`index`](Self::index), before anything that it depends on changes.
    fn unindex(&mut self, id: PairId) {
        let Some(pair) = self.pairs.get(&id) else { return };
        let ranked = (pair.priority(self.role), id);
        if let Some(group) = self.foundations.get_mut(&pair.foundation) {
            match pair.state {
                PairState::Frozen => group.frozen.remove(&ranked),
                PairState::Waiting | PairState::InProgress => group.active -= 1,
                PairState::Succeeded => group.succeeded -= 1,
                PairState::Failed => {}
            }
            if group.active == 0 && group.succeeded == 0 && group.frozen.is_empty() {
                self.foundations.remove(&pair.foundation);
            }
        }
        self.waiting.remove(&ranked);
        self.unresolved.remove(&ranked);
        self.valid.remove(&(pair.valid_priority(self.role), id));
        self.expendable.remove(&(Self::worth(pair), ranked.0, id));
    }
}

/// The list is full of more useful pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PairCounters;
    use crate::remote::RemoteId;

    fn pair(number: u16, priority: u32, foundation: u32) -> Box<Pair> {
        let remote = std::net::SocketAddr::from(([192, 0, 2, 1], number));
        Box::new(Pair {
            id: PairId(number.into()),
            path: FiveTuple::udp(([192, 0, 2, 2], 1).into(), remote),
            local: 0,
            remote: RemoteId(number.into()),
            foundation: Foundation {
                local: 1,
                remote: foundation,
            },
            local_priority: u32::MAX,
            reflexive_priority: 0,
            remote_priority: priority,
            state: PairState::Frozen,
            queued: false,
            repeated: 0,
            mapped: None,
            nominated: false,
            nominate_on_success: false,
            use_candidate_at: None,
            nomination: 0,
            peer_checked: false,
            consent_at: None,
            alive_at: None,
            unanswered_since: None,
            run: 0,
            counters: PairCounters::default(),
        })
    }

    fn list(limit: usize, pairs: impl IntoIterator<Item = Box<Pair>>) -> Checklist {
        let mut list = Checklist::new(Role::Controlling, limit);
        pairs
            .into_iter()
            .for_each(|pair| assert_eq!(list.insert(pair).map(|evicted| evicted.map(|p| p.id)), Ok(None)));
        list
    }

    /// All indexes empty again: nothing is left behind by any change.
    fn assert_clean(mut list: Checklist) {
        let ids: Vec<PairId> = list.pairs.keys().copied().collect();
        ids.into_iter().for_each(|id| drop(list.remove(id)));
        let Checklist {
            pairs,
            by_path,
            waiting,
            unresolved,
            valid,
            expendable,
            foundations,
            triggered,
            ..
        } = list;
        assert!(pairs.is_empty() && by_path.is_empty() && waiting.is_empty() && unresolved.is_empty());
        assert!(valid.is_empty() && expendable.is_empty() && foundations.is_empty() && triggered.is_empty());
    }

    #[test]
    fn one_pair_of_a_foundation_is_checked_and_a_success_frees_the_others() {
        let mut list = list(9, [pair(1, 10, 1), pair(2, 20, 1), pair(3, 30, 1), pair(4, 5, 2)]);
        let states = |list: &Checklist| list.iter().map(|pair| pair.state).collect::<Vec<_>>();
        assert_eq!(
            states(&list),
            [
                PairState::Waiting,
                PairState::Frozen,
                PairState::Frozen,
                PairState::Waiting
            ]
        );
        list.set_state(PairId(1), PairState::InProgress);
        assert_eq!(list.next_ordinary(), Some(PairId(4)));
        // A failure frees the best of the rest, a success all of them.
        list.set_state(PairId(1), PairState::Failed);
        assert_eq!(list.next_ordinary(), Some(PairId(3)));
        assert_eq!(list.get(PairId(2)).map(|pair| pair.state), Some(PairState::Frozen));
        list.set_state(PairId(3), PairState::Succeeded);
        assert_eq!(list.next_ordinary(), Some(PairId(2)));
        assert!(
            !list.may_improve_on(
                list.best_valid()
                    .expect("a valid pair")
                    .valid_priority(Role::Controlling)
            )
        );
        assert_clean(list);
    }

    #[test]
    fn triggered_checks_come_in_order_and_once() {
        let mut list = list(9, [pair(1, 10, 1), pair(2, 20, 2), pair(3, 30, 3)]);
        list.trigger(PairId(1));
        list.trigger(PairId(3));
        list.trigger(PairId(1));
        assert_eq!(list.triggered, [PairId(1), PairId(3)]);
        assert_eq!(list.next_ordinary(), Some(PairId(2)));
        list.untrigger(PairId(1));
        assert_eq!(list.next_triggered(), Some(PairId(3)));
        assert_eq!(list.conclude().len(), 3);
        assert_clean(list);
    }

    #[test]
    fn a_full_list_drops_failed_pairs_then_the_lowest_priority() {
        let mut list = list(3, [pair(1, 10, 1), pair(2, 20, 2), pair(3, 30, 3)]);
        let evicted = |result: Result<Option<Box<Pair>>, Full>| result.map(|pair| pair.map(|pair| pair.id));
        assert_eq!(evicted(list.insert(pair(4, 5, 4))), Err(Full));
        assert_eq!(evicted(list.insert(pair(5, 15, 5))), Ok(Some(PairId(1))));
        list.set_state(PairId(3), PairState::Failed);
        assert_eq!(evicted(list.insert(pair(6, 1, 6))), Ok(Some(PairId(3))));
        // What the peer uses is worth more than what nobody has tried, but not more than what is valid.
        list.set_state(PairId(6), PairState::Succeeded);
        for (number, room) in [(7, Some(PairId(5))), (8, Some(PairId(2)))] {
            let mut used = pair(number, 0, number.into());
            used.peer_checked = true;
            assert_eq!(evicted(list.insert(used)), Ok(room));
            list.set_state(PairId(number.into()), PairState::Succeeded);
        }
        assert_eq!(evicted(list.insert(pair(9, 99, 9))), Err(Full));
        assert_clean(list);
    }

    #[test]
    fn a_role_switch_reorders() {
        let mut one = pair(1, u32::MAX - 1, 1);
        one.local_priority = 7;
        let mut other = pair(2, 7, 2);
        other.local_priority = u32::MAX - 1;
        let mut list = list(9, [one, other]);
        assert_eq!(list.next_ordinary(), Some(PairId(2)));
        list.set_role(Role::Controlled);
        assert_eq!(list.next_ordinary(), Some(PairId(1)));
        assert_clean(list);
    }
}

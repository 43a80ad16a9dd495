//! [`Routes`]: which section the packets of an SSRC are for (RFC 9143 §9.2).

use std::collections::VecDeque;
use std::sync::Arc;

use ahash::HashMap;

use super::Section;
use super::extensions::ExtensionIds;

/// Where packets go, by what they say of themselves. The numbers of extensions, and those of payload types within one
/// direction, mean the same in all sections that share a transport (RFC 9143 §9.1).
#[derive(Debug, Default)]
pub(super) struct Routes {
    by_ssrc: HashMap<u32, Route>,
    /// The SSRCs of packets that said where they go, those looked at last at the end.
    learned: VecDeque<u32>,
    /// Streams that have said goodbye, the latest last.
    ended: VecDeque<Ended>,
    pub(super) ids: ExtensionIds,
}

/// Where the packets of an SSRC go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route {
    pub(super) section: usize,
    /// It repeats another stream (RFC 4588).
    pub(super) is_rtx: bool,
    /// The peer's description names it: it is known for as long as that stands.
    is_named: bool,
}

/// A stream that has said goodbye.
#[derive(Debug)]
struct Ended {
    ssrc: u32,
    section: usize,
    /// Its layer.
    rid: Option<Arc<str>>,
    /// The stream that repeated it.
    rtx_ssrc: Option<u32>,
}

/// SSRCs that are known at a time. Then those that no stream has any more give way; packets of an SSRC that is not known go where
/// they say themselves.
const MAX_SSRCS: usize = 2048;

/// So many are looked at to find one that gives way.
const MAX_TRIES: usize = 4;

/// Streams that have ended and are still known.
const MAX_ENDED: usize = 64;

impl Routes {
    /// Learns the numbers that were agreed on, and the SSRCs that the peer's description names.
    pub(super) fn configure(&mut self, sections: &[Option<Section>]) {
        self.ids = ExtensionIds::default();
        self.by_ssrc
            .retain(|_, route| sections.get(route.section).is_some_and(Option::is_some));
        let mut named = Vec::new();
        self.by_ssrc.values_mut().for_each(|route| route.is_named = false);
        for (section, agreed) in sections.iter().enumerate() {
            let Some(receiving) = agreed.as_ref().and_then(|section| section.agreed.receive.as_ref()) else {
                continue;
            };
            for parameters in &receiving.extensions {
                self.ids.add(parameters);
            }
            let route = |is_rtx| Route {
                section,
                is_rtx,
                is_named: true,
            };
            for (ssrc, rtx) in &receiving.streams {
                named.push((*ssrc, route(false)));
                named.extend(rtx.map(|rtx| (rtx, route(true))));
            }
        }
        // What two sections name says nothing: their packets' MIDs do.
        named.sort_by_key(|(ssrc, _)| *ssrc);
        let is_of_many = |ssrcs: &[(u32, Route)]| ssrcs.iter().any(|(_, route)| route.section != ssrcs[0].1.section);
        for named in named.chunk_by(|(one, _), (other, _)| one == other) {
            if is_of_many(named) {
                self.by_ssrc.remove(&named[0].0);
            } else {
                self.insert(named[0].0, named[0].1);
            }
        }
    }

    pub(super) fn of(&self, ssrc: u32) -> Option<Route> {
        self.by_ssrc.get(&ssrc).copied()
    }

    /// A packet has said where the packets of its SSRC go. `is_live` tells those that a stream has.
    pub(super) fn learn(&mut self, ssrc: u32, section: usize, is_rtx: bool, is_live: impl Fn(usize, u32) -> bool) {
        let route = Route {
            section,
            is_rtx,
            is_named: false,
        };
        for _ in 0..MAX_TRIES {
            if self.by_ssrc.len() < MAX_SSRCS && self.learned.len() < MAX_SSRCS {
                break;
            }
            let Some(oldest) = self.learned.pop_front() else { break };
            match self.of(oldest) {
                Some(known) if !known.is_named && is_live(known.section, oldest) => self.learned.push_back(oldest),
                Some(known) if !known.is_named => {
                    self.by_ssrc.remove(&oldest);
                }
                // It is forgotten already, or the description names it by now.
                Some(_) | None => {}
            }
        }
        if self.learned.len() < MAX_SSRCS && self.insert(ssrc, route) {
            self.learned.push_back(ssrc);
        }
    }

    /// False if there is no room for it.
    fn insert(&mut self, ssrc: u32, route: Route) -> bool {
        let has_room = self.by_ssrc.len() < MAX_SSRCS || self.by_ssrc.contains_key(&ssrc);
        if has_room {
            self.by_ssrc.insert(ssrc, route);
        }
        has_room
    }

    /// The section at this index has ended; the SSRCs whose packets went there.
    pub(super) fn forget_section(&mut self, section: usize) -> Vec<u32> {
        self.ended.retain(|ended| ended.section != section);
        let ended = self.by_ssrc.extract_if(|_, route| route.section == section);
        ended.map(|(ssrc, _)| ssrc).collect()
    }

    /// A stream has given way to others.
    pub(super) fn forget(&mut self, ssrc: u32) {
        if self.of(ssrc).is_some_and(|route| !route.is_named) {
            self.by_ssrc.remove(&ssrc);
        }
    }

    /// A stream has said goodbye. "Remove the entry for that SSRC from the incoming SSRC table after an appropriate delay"
    /// (RFC 9143 §9.2): browsers say goodbye whenever a stream pauses, be it for an offer that is rolled back, and as it goes on
    /// its packets do not say again whose they are. So it is known until many others have ended.
    pub(super) fn end(&mut self, ssrc: u32, rid: Option<Arc<str>>, rtx_ssrc: Option<u32>) {
        let Some(Route { section, .. }) = self.of(ssrc) else {
            return;
        };
        // It may say so twice.
        let (before_rid, before_rtx) = self.resume(ssrc, section);
        self.ended.push_back(Ended {
            ssrc,
            section,
            rid: rid.or(before_rid),
            rtx_ssrc: rtx_ssrc.or(before_rtx),
        });
        if self.ended.len() > MAX_ENDED
            && let Some(oldest) = self.ended.pop_front()
        {
            self.forget(oldest.ssrc);
            oldest.rtx_ssrc.into_iter().for_each(|rtx| self.forget(rtx));
        }
    }

    /// A stream of this section begins; what was its layer, and what repeated it, if it had ended before.
    pub(super) fn resume(&mut self, ssrc: u32, section: usize) -> (Option<Arc<str>>, Option<u32>) {
        let index = self.ended.iter().position(|ended| ended.ssrc == ssrc);
        let ended = index.and_then(|index| self.ended.remove(index));
        let ended = ended.filter(|ended| ended.section == section);
        ended.map_or((None, None), |ended| (ended.rid, ended.rtx_ssrc))
    }
}

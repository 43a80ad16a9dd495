//! [`Gathering`]: local candidates, and how they are told.

use peerline_ice as ice;

use crate::Connection;
use crate::event::Event;
use crate::state::IceGatheringState;

/// The local side of ICE, as signalling sees it.
pub(crate) struct Gathering {
    /// Sockets have been asked for.
    pub(crate) asked: bool,
    pub(crate) state: IceGatheringState,
    /// The candidates of the agent's newest generation.
    pub(crate) newest: Generation,
    /// Those of the generation before, which a rollback brings back.
    previous: Option<Generation>,
}

/// The local candidates between one ICE restart and the next.
#[derive(Default)]
pub(crate) struct Generation {
    /// A local description with the agent's credentials is set: candidates may be told.
    pub(crate) announced: bool,
    /// How many of the agent's candidates were told.
    told: usize,
    /// The end of candidates was told.
    end_told: bool,
}

impl Gathering {
    pub(crate) fn new() -> Self {
        Self {
            asked: false,
            state: IceGatheringState::New,
            newest: Generation::default(),
            previous: None,
        }
    }

    /// A restart begins a new generation.
    pub(crate) fn restart(&mut self) {
        self.previous = Some(std::mem::take(&mut self.newest));
    }

    /// A restart is taken back.
    pub(crate) fn roll_back(&mut self) {
        self.newest = self.previous.take().unwrap_or_default();
    }
}

impl Connection {
    /// Tells the candidates that a local description has made tellable, and the end of them.
    pub(crate) fn tell_candidates(&mut self) {
        if !self.gathering.newest.announced || self.is_closed() {
            return;
        }
        let state = match self.ice.gathering_state() {
            ice::GatheringState::New => IceGatheringState::New,
            ice::GatheringState::Gathering => IceGatheringState::Gathering,
            ice::GatheringState::Complete => IceGatheringState::Complete,
        };
        if state == IceGatheringState::Gathering {
            self.set_gathering_state(state);
        }
        for candidate in self.ice.local_candidates().skip(self.gathering.newest.told) {
            let told = self.negotiation.candidate_init(candidate, self.ice.local_credentials());
            self.gathering.newest.told += 1;
            self.events.push_back(Event::IceCandidate(Some(told)));
        }
        if state == IceGatheringState::Complete {
            self.set_gathering_state(state);
            if !self.gathering.newest.end_told {
                self.gathering.newest.end_told = true;
                self.events.push_back(Event::IceCandidate(None));
            }
        }
    }

    fn set_gathering_state(&mut self, state: IceGatheringState) {
        if self.gathering.state != state {
            self.gathering.state = state;
            self.events.push_back(Event::IceGatheringStateChange(state));
        }
    }
}

//! `peerline record`: the peer behind the page records what comes.

use std::sync::Arc;

use peerline::{PeerConnection, PeerEvent};

use super::echo::serve_channel;
use super::visitors::Attendant;
use crate::recording::{Archive, Recording};

/// Records one visitor.
pub(super) struct RecordingPeer(Recording);

impl RecordingPeer {
    pub(super) fn new(archive: &Arc<Archive>) -> Self {
        Self(Recording::new(archive))
    }
}

impl Attendant for RecordingPeer {
    fn attend(&mut self, pc: &PeerConnection, event: PeerEvent) {
        match event {
            PeerEvent::DataChannel(channel) => serve_channel(pc, channel),
            PeerEvent::Track(track) => self.0.add(track),
            _ => {}
        }
    }
}

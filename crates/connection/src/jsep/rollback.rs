//! Taking back an offer under way (RFC 8829 §5.7, webrtc-pc §4.4.1.5).

use std::time::Instant;

use peerline_sdp::attribute::Direction;
use peerline_sdp::{self as sdp};

use super::Exchange;
use super::media_section::media_kind;
use super::numbers::Numbers;
use crate::Connection;
use crate::transceiver::{Encoding, Origin, TransceiverId, TransceiverSlots, Transceivers};

/// What the last stable state had.
pub(super) struct Stable {
    transceivers: Vec<(TransceiverId, StableTransceiver)>,
    numbers: Numbers,
}

struct StableTransceiver {
    mid: Option<String>,
    index: Option<usize>,
    current_direction: Option<Direction>,
    receptive: bool,
    has_sent: bool,
    streams: Vec<String>,
    encodings: Vec<Encoding>,
}

impl Stable {
    fn of(transceivers: &Transceivers, numbers: &Numbers) -> Self {
        let slots = |own: &TransceiverSlots| StableTransceiver {
            mid: own.mid.clone(),
            index: own.index,
            current_direction: own.current_direction,
            receptive: own.receptive,
            has_sent: own.has_sent,
            streams: own.receiver.streams.clone(),
            encodings: own.sender.encodings.clone(),
        };
        Self {
            transceivers: transceivers.all.iter().map(|own| (own.id, slots(own))).collect(),
            numbers: numbers.clone(),
        }
    }
}

impl Connection {
    /// Remembers the stable state that an offer is about to leave.
    pub(super) fn remember_stable(&mut self) {
        if self.negotiation.stable.is_none() {
            let stable = Stable::of(&self.transceivers, &self.negotiation.numbers);
            self.negotiation.stable = Some(Box::new(stable));
        }
    }

    /// Takes back the offer under way, ours or the peer's.
    pub(super) fn roll_back(&mut self, now: Instant) {
        self.negotiation.pending = Exchange::default();
        self.negotiation.offered = None;
        self.roll_back_restart(now);
        let Some(stable) = self.negotiation.stable.take() else {
            return;
        };
        self.negotiation.numbers = stable.numbers;
        let ids: Vec<_> = self.transceivers.all.iter().map(|own| own.id).collect();
        for id in ids {
            let before = stable.transceivers.iter().find(|(own, _)| *own == id);
            self.restore(id, before.map(|(_, before)| before));
        }
        self.transceivers.all.retain(|own| !own.was_only_offered());
    }

    /// The peer's offer is replaced by another of its own: what the new one does not name any more is as it was before.
    pub(super) fn replace_remote_offer(&mut self, now: Instant, offer: &sdp::SessionDescription) {
        self.roll_back_restart(now);
        let Some(stable) = self.negotiation.stable.take() else {
            return;
        };
        self.negotiation.numbers = stable.numbers.clone();
        let ids: Vec<_> = self.transceivers.all.iter().map(|own| own.id).collect();
        for id in ids {
            let own = self.transceivers.get(id).expect("it is one of all");
            let section = own.index.and_then(|index| offer.media.get(index));
            let is_kept = section.is_some_and(|media| {
                media_kind(media) == Some(own.kind) && media.mid().is_none_or(|mid| own.mid.as_deref() == Some(mid))
            });
            if !is_kept {
                let before = stable.transceivers.iter().find(|(own, _)| *own == id);
                self.restore(id, before.map(|(_, before)| before));
            }
        }
        self.transceivers.all.retain(|own| !own.was_only_offered());
        self.negotiation.stable = Some(stable);
    }

    fn roll_back_restart(&mut self, now: Instant) {
        self.negotiation.restart_wanted |= std::mem::take(&mut self.negotiation.restart_offered);
        if std::mem::take(&mut self.negotiation.pending_restart) {
            self.ice.rollback_restart(now);
            self.gathering.roll_back();
        }
    }

    /// One transceiver as it was; `None` if it was not there.
    fn restore(&mut self, id: TransceiverId, before: Option<&StableTransceiver>) {
        let Some(own) = self.transceivers.get_mut(id) else {
            return;
        };
        // "If transceiver was not associated with a media description prior to applying the RTCSessionDescription that is being
        // rolled back, disassociate it."
        own.mid = before.and_then(|before| before.mid.clone());
        own.index = before.and_then(|before| before.index);
        if own.stopped {
            return;
        }
        own.current_direction = before.and_then(|before| before.current_direction);
        own.receptive = before.is_some_and(|before| before.receptive) && !own.stopping;
        own.has_sent = before.is_some_and(|before| before.has_sent);
        if let Some(before) = before {
            restore_encodings(&mut own.sender.encodings, &before.encodings);
        }
        let streams = before.map(|before| before.streams.clone()).unwrap_or_default();
        let direction = own.current_direction.unwrap_or(Direction::Inactive);
        if own.fired_direction.is_some() {
            self.process_remote_track(id, direction, streams);
        }
        // "If the transceiver was created when … applied, and a track has never been attached to it via addTrack(), stop the
        // RTCRtpTransceiver …, and remove it."
        if self
            .transceivers
            .get(id)
            .is_some_and(TransceiverSlots::was_only_offered)
        {
            self.stop_for_both(id);
        }
    }
}

impl TransceiverSlots {
    /// A section that was offered and is no more was all that it was for.
    fn was_only_offered(&self) -> bool {
        self.origin == Origin::Offered && self.index.is_none() && !self.track_added
    }
}

/// Brings back the layers that were dropped or made since; what `setParameters` said of them in between stays.
fn restore_encodings(own: &mut Vec<Encoding>, before: &[Encoding]) {
    let rids = |encodings: &[Encoding]| -> Vec<String> {
        let all = encodings.iter();
        all.map(|encoding| encoding.parameters.rid.clone()).collect()
    };
    if rids(own) == rids(before) {
        return;
    }
    let mut restored = before.to_vec();
    for encoding in &mut restored {
        if let Some(kept) = own.iter().find(|kept| kept.parameters.rid == encoding.parameters.rid) {
            encoding.parameters = kept.parameters.clone();
        }
    }
    *own = restored;
}

//! The TCB: what an association knows once the handshake has told it about its peer (RFC 9260 §14).

use std::time::{Duration, Instant};

use crate::Config;
use crate::cookie::Agreement;
use crate::heartbeat::Heartbeats;
use crate::pmtu::PathMtu;
use crate::reconfig::Reconfig;
use crate::rx::tsn_tracker::TsnTracker;
use crate::tx::congestion::Congestion;
use crate::tx::outstanding::Outstanding;
use crate::tx::rto::Rto;
use crate::tx::send_queue::MESSAGE_OVERHEAD;
use crate::tx::tail::TailProbe;
use crate::wire::Header;

#[derive(Debug)]
pub(crate) struct Tcb {
    pub(crate) agreement: Agreement,

    // --- sending
    pub(crate) outstanding: Outstanding,
    pub(crate) congestion: Congestion,
    pub(crate) rto: Rto,
    /// T3-rtx: runs while something is outstanding.
    pub(crate) t3: Option<Instant>,
    pub(crate) tail: TailProbe,
    /// The a_rwnd of the newest SACK.
    pub(crate) peer_window: usize,
    /// What is in flight did not fit the peer's window (§6.1 A).
    pub(crate) probing: bool,
    pub(crate) forward_tsn: ForwardTsnState,
    /// Timeouts since the peer was last heard to acknowledge something.
    pub(crate) errors: u32,

    // --- receiving
    pub(crate) tracker: TsnTracker,
    pub(crate) ack: Ack,

    // --- both
    pub(crate) reconfig: Reconfig,
    pub(crate) heartbeats: Heartbeats,
    pub(crate) pmtu: PathMtu,
    /// Whole chunks to send ahead of everything else: answers. Bounded by the packet that they go into.
    pub(crate) control: Vec<u8>,
}

/// What is owed for DATA received (RFC 9260 §6.2).
#[derive(Debug, Default)]
pub(crate) struct Ack {
    /// Packets with DATA since the last SACK.
    pub(crate) packets: u32,
    /// A SACK is to be sent with the next packet.
    pub(crate) now: bool,
    /// When a SACK is to be sent at the latest.
    pub(crate) deadline: Option<Instant>,
    /// The a_rwnd of the last SACK.
    pub(crate) advertised: usize,
}

/// When a FORWARD TSN goes out (RFC 3758 §3.5).
#[derive(Debug, Default)]
pub(crate) struct ForwardTsnState {
    pub(crate) due: bool,
    pub(crate) sent: Option<Instant>,
}

impl Tcb {
    pub(crate) fn new(config: &Config, round_trip: Option<Duration>, agreement: Agreement, now: Instant) -> Self {
        let mut rto = Rto::new(config);
        if let Some(round_trip) = round_trip {
            rto.suppose(round_trip);
        }
        // The chunks of a full packet: what congestion control counts in (PMDCS).
        let packet = config.packet_size() - Header::LEN;
        Self {
            agreement,
            outstanding: Outstanding::new(agreement.local.initial_tsn, agreement.peer_can.forward_tsn, packet),
            congestion: Congestion::new(config, packet, agreement.local.initial_tsn.0),
            rto,
            t3: None,
            tail: TailProbe::default(),
            peer_window: agreement.peer_window as usize,
            probing: false,
            forward_tsn: ForwardTsnState::default(),
            errors: 0,
            tracker: TsnTracker::new(agreement.peer.initial_tsn, config.max_gap_ranges),
            ack: Ack {
                advertised: config.receive_window as usize,
                ..Ack::default()
            },
            reconfig: Reconfig::new(agreement.local.initial_tsn, agreement.peer.initial_tsn),
            heartbeats: Heartbeats::new(now, config.heartbeat_interval),
            pmtu: PathMtu::new(config),
            control: Vec::new(),
        }
    }

    /// Room in the peer's receive window, in bytes of DATA chunks.
    ///
    /// Peers count what they allocate (RFC 9260 §6.2: a_rwnd is "the amount of space […] in its receive buffer"): their
    /// bookkeeping is allowed for, or many small chunks would overrun a window that has room for fewer large ones.
    pub(crate) fn window_left(&self) -> usize {
        let bookkeeping = self.outstanding.chunks_in_flight() * MESSAGE_OVERHEAD;
        self.peer_window
            .saturating_sub(self.outstanding.in_flight() + bookkeeping)
    }

    /// Queues a whole chunk. Dropped if one packet could not take it with those already there: whoever asked for it will
    /// ask again.
    pub(crate) fn push_control(&mut self, limit: usize, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.control.len();
        write(&mut self.control);
        if self.control.len() > limit {
            self.control.truncate(before);
        }
    }

    /// The peer has proved that it is there.
    pub(crate) fn on_alive(&mut self, now: Instant) {
        self.errors = 0;
        self.heartbeats.postpone(now);
    }

    pub(crate) fn restart_t3(&mut self, now: Instant) {
        self.t3 = now.checked_add(self.rto.current());
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        [
            self.t3,
            self.tail.deadline,
            self.outstanding.rack.deadline,
            self.congestion.release(),
            self.ack.deadline,
            self.reconfig.deadline(),
            self.heartbeats.deadline(),
            self.pmtu.deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }
}

impl Ack {
    /// A packet with DATA has arrived.
    pub(crate) fn on_packet(&mut self, now: Instant, immediately: bool, delay: Duration) {
        self.packets += 1;
        // §6.2: "an acknowledgement SHOULD be generated for at least every second packet (not every second DATA chunk)
        // received and SHOULD be generated within 200 ms of the arrival of any unacknowledged DATA chunk."
        if immediately || self.packets >= 2 {
            self.now = true;
            self.deadline = None;
        } else if !self.now {
            self.deadline = now.checked_add(delay);
        }
    }

    pub(crate) fn is_owed(&self) -> bool {
        self.now || self.deadline.is_some()
    }

    pub(crate) fn on_sent(&mut self, advertised: usize) {
        *self = Self {
            advertised,
            ..Self::default()
        };
    }
}

//! [`Groups`]: packets that left together, and how the time between two such groups grew on the way
//! (draft-ietf-rmcat-gcc-02 §5.1 and §5.2).

/// Puts packets into groups.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups {
    before: Option<Group>,
    current: Option<Group>,
}

#[derive(Clone, Copy, Debug)]
struct Group {
    first_sent: i64,
    last_sent: i64,
    first_arrival: i64,
    last_arrival: i64,
}

/// How two groups that follow each other lie, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Variation {
    /// Between their departures.
    pub(super) sent: i64,
    /// Between their arrivals.
    pub(super) arrival: i64,
    /// When the later came, on the peer's clock.
    pub(super) at: i64,
}

impl Variation {
    /// How much longer the later group took: "d(i) = t(i) - t(i-1) - (T(i) - T(i-1))" (§5.2).
    pub(super) fn delay(self) -> i64 {
        self.arrival - self.sent
    }
}

/// "The Packets … sent within a burst_time interval constitute a group": 5 ms (§5.1).
const BURST: i64 = 5_000;

/// Groups of packets that come on the heels of each other are no longer than this.
const MAX_BURST: i64 = 100_000;

impl Groups {
    /// Takes a packet; when it begins a group, how the two before lie. Packets that were sent before the group began are of no use.
    pub(super) fn on_packet(&mut self, sent: i64, arrival: i64) -> Option<Variation> {
        let Some(current) = &mut self.current else {
            self.current = Some(Group::of(sent, arrival));
            return None;
        };
        if sent < current.first_sent {
            return None;
        }
        if current.takes(sent, arrival) {
            current.last_sent = current.last_sent.max(sent);
            current.last_arrival = current.last_arrival.max(arrival);
            return None;
        }
        let complete = *current;
        self.current = Some(Group::of(sent, arrival));
        let before = self.before.replace(complete)?;
        Some(Variation {
            sent: complete.last_sent - before.last_sent,
            arrival: complete.last_arrival.saturating_sub(before.last_arrival),
            at: complete.last_arrival,
        })
    }
}

impl Group {
    fn of(sent: i64, arrival: i64) -> Self {
        Self {
            first_sent: sent,
            last_sent: sent,
            first_arrival: arrival,
            last_arrival: arrival,
        }
    }

    /// "A Packet which has an inter-arrival time less than burst_time and an inter-group delay variation d(i) less than 0 is
    /// considered being part of the current group": a link that stood still gives out at once what it held (§5.1).
    fn takes(&self, sent: i64, arrival: i64) -> bool {
        if sent - self.first_sent <= BURST {
            return true;
        }
        let gap = arrival.saturating_sub(self.last_arrival);
        gap <= BURST && gap < sent - self.last_sent && arrival.saturating_sub(self.first_arrival) < MAX_BURST
    }
}

//! [`Departures`]: which packet had which transport-wide number, until the peer tells when it came
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01). Where the peer tells of streams and their sequence numbers (RFC 8888), packets
//! are numbered all the same, and [`StreamNumbers`] knows by which number each goes.

use std::time::{Duration, Instant};

use peerline_rtp::rtcp::ArrivalTime;
use peerline_wire::Serial16;

use super::bandwidth::PacketReport;
use stream_numbers::StreamNumbers;

mod stream_numbers;

/// Packets remembered; a power of two.
pub(super) const CAPACITY: usize = 4096;

/// What left, by its number in the transport.
#[derive(Debug, Default)]
pub(super) struct Departures {
    next: u64,
    slots: Vec<Departure>,
    /// All numbers before have been told of.
    told: u64,
    /// Those before took another path, of which nothing is to be learnt about the present one.
    path_from: u64,
    /// The peer's clock, at the latest feedback: as that has it, and without wrapping.
    clock: Option<(ArrivalTime, i64)>,
    /// Where the peer tells of streams.
    streams: Option<Box<StreamNumbers>>,
    /// What the latest feedback said first; kept for its memory.
    reports: Vec<PacketReport>,
    pub(super) totals: Totals,
}

/// It is written for each packet that leaves, to memory that no cache holds where many are sent to: it is small.
#[derive(Clone, Copy, Debug)]
struct Departure {
    at: Instant,
    bytes: u32,
    /// The peer has told of it, by its stream.
    told: bool,
}

/// What the peer tells of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    Lost,
    Untimed,
    /// When it came, in microseconds on the peer's clock.
    At(i64),
}

/// What the peer's feedback amounts to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) packets_arrived: u64,
    pub(super) bytes_arrived: u64,
    pub(super) packets_lost: u64,
    /// How much longer the latest packets took than the quickest of the same report: the queue on the way.
    pub(super) latest_queueing: Duration,
}

impl Departures {
    /// The number of the next packet that has one.
    pub(super) fn next(&self) -> u16 {
        self.next as u16
    }

    /// The packet with the next number leaves.
    pub(super) fn on_sent(&mut self, now: Instant, bytes: usize) {
        let departure = Departure {
            at: now,
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
            told: false,
        };
        let slot = (self.next % CAPACITY as u64) as usize;
        match self.slots.get_mut(slot) {
            Some(place) => *place = departure,
            None => self.slots.push(departure),
        }
        self.next += 1;
    }

    /// What leaves from now on takes another path.
    pub(super) fn path_changed(&mut self) {
        self.path_from = self.next;
    }

    /// The peer tells of the packets from `base` on: when each came, on a clock of its own, if it did.
    /// [`take_reports`](Self::take_reports) has what was not told before.
    pub(super) fn on_feedback(&mut self, base: Serial16, arrivals: impl Iterator<Item = Arrival>) {
        self.reports.clear();
        // It is near the latest sent: older and newer ones have no slot, and count for nothing.
        let newest = self.next.saturating_sub(1);
        let base = newest.saturating_add_signed(Serial16(newest as u16).distance_to(base).into());
        let mut spread = Spread::default();
        for (number, arrival) in (base..).zip(arrivals) {
            let Some(departure) = self.departure(number).copied() else {
                continue;
            };
            self.on_arrival(number, departure, arrival, number >= self.told, &mut spread);
            self.told = self.told.max(number + 1);
        }
        self.finish(spread);
    }

    /// One packet's, which is news or was told before.
    fn on_arrival(&mut self, number: u64, departure: Departure, arrival: Arrival, is_new: bool, spread: &mut Spread) {
        if is_new && arrival == Arrival::Lost {
            self.totals.packets_lost += 1;
        } else if is_new {
            self.totals.packets_arrived += 1;
            self.totals.bytes_arrived += u64::from(departure.bytes);
        }
        let told = match arrival {
            Arrival::At(arrival) => Some(Some(arrival)),
            Arrival::Lost => Some(None),
            Arrival::Untimed => None,
        };
        if let Some(arrival) = told.filter(|_| is_new && number >= self.path_from) {
            self.reports.push(PacketReport {
                sent: departure.at,
                bytes: departure.bytes as usize,
                arrival,
            });
        }
        if let Arrival::At(arrival) = arrival {
            spread.add(departure.at, arrival);
        }
    }

    fn finish(&mut self, spread: Spread) {
        if let Some(queueing) = spread.queueing() {
            self.totals.latest_queueing = queueing;
        }
    }

    /// What the peer told last, and had not told before.
    pub(super) fn take_reports(&mut self) -> std::vec::Drain<'_, PacketReport> {
        self.reports.drain(..)
    }

    fn departure(&mut self, number: u64) -> Option<&mut Departure> {
        let age = self.next.checked_sub(number)?;
        let slot = self.slots.get_mut((number % CAPACITY as u64) as usize);
        slot.filter(|_| (1..=CAPACITY as u64).contains(&age))
    }

    /// A time of the peer's clock, without wrapping.
    pub(super) fn unwrap_arrival(&mut self, time: ArrivalTime) -> i64 {
        let micros = self
            .clock
            .map_or(0, |(latest, micros)| micros.saturating_add(time.micros_since(latest)));
        self.clock = Some((time, micros));
        micros
    }
}

/// How long the packets of one report took, compared with each other: the clocks differ.
#[derive(Clone, Copy, Default)]
struct Spread {
    first: Option<Instant>,
    quickest: Option<i128>,
    latest: Option<i128>,
}

impl Spread {
    fn add(&mut self, departed: Instant, arrival: i64) {
        let origin = *self.first.get_or_insert(departed);
        let sent = departed.saturating_duration_since(origin).as_nanos() as i128;
        let took = i128::from(arrival) * 1000 - sent;
        self.quickest = Some(self.quickest.map_or(took, |other| other.min(took)));
        self.latest = Some(took);
    }

    fn queueing(&self) -> Option<Duration> {
        let longer = self.latest? - self.quickest?;
        Some(Duration::from_nanos(u64::try_from(longer).unwrap_or(0)))
    }
}

#[cfg(test)]
impl Departures {
    /// The next number is this.
    pub(super) fn skip_to(&mut self, next: u64) {
        while self.next < next {
            self.on_sent(crate::media::tests::start(), 0);
        }
        self.told = next;
    }
}

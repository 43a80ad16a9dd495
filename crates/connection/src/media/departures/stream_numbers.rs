//! [`StreamNumbers`]: by which number each packet of a stream left, and what feedback on streams (RFC 8888 §3.1) makes of that.

use std::time::Instant;

use peerline_rtp::NtpShort;
use peerline_wire::Serial16;

use super::{Arrival, Departures, Spread};

/// The numbers of the packets of each stream, by their sequence numbers.
#[derive(Debug, Default)]
pub(super) struct StreamNumbers {
    streams: Vec<Stream>,
    /// The peer's clock at the latest feedback: as that has it, and without wrapping, in the same units.
    clock: Option<(NtpShort, i64)>,
}

#[derive(Debug)]
struct Stream {
    ssrc: u32,
    /// By the low bits of the sequence number.
    slots: Box<[Slot]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    sequence_number: u16,
    is_used: bool,
    /// Its low bits.
    number: u32,
}

/// Packets of a stream that are remembered; a power of two.
const CAPACITY: usize = 2048;

/// Where SRTP leaves the sequence number and the SSRC of a packet (RFC 3550 §5.1).
const MIN_PACKET: usize = 12;

impl Departures {
    /// The peer tells of streams from now on, or does not. Of those not in `live`, it tells no more.
    pub(in crate::media) fn set_streams(&mut self, are_told: bool, live: impl Fn(u32) -> bool) {
        if !are_told {
            self.streams = None;
            return;
        }
        let streams = self.streams.get_or_insert_default();
        streams.streams.retain(|stream| live(stream.ssrc));
    }

    /// The packet leaves: where the peer tells of streams, it is remembered.
    pub(in crate::media) fn on_stream_sent(&mut self, now: Instant, packet: &[u8]) {
        let Some(streams) = &mut self.streams else { return };
        let Some(header) = packet.first_chunk::<MIN_PACKET>() else {
            return;
        };
        let sequence_number = u16::from_be_bytes([header[2], header[3]]);
        let ssrc = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
        streams.keep(ssrc, sequence_number, self.next as u32);
        self.on_sent(now, packet.len());
    }

    /// The peer tells of packets of streams: when each came, on a clock of its own, if it did. [`take_reports`](Self::take_reports)
    /// has what was not told before.
    pub(in crate::media) fn on_streams<M>(&mut self, streams: impl Iterator<Item = (u32, M)>)
    where
        M: Iterator<Item = (Serial16, Arrival)>,
    {
        self.reports.clear();
        let mut spread = Spread::default();
        // What has left since is newer than all that can be told of.
        for (ssrc, metrics) in streams {
            let own = self.streams.as_deref().and_then(|numbers| numbers.index(ssrc));
            let Some(stream) = own else { continue };
            for (sequence_number, arrival) in metrics {
                let numbers = self.streams.as_deref();
                let Some(low) = numbers.and_then(|numbers| numbers.streams[stream].number(sequence_number)) else {
                    continue;
                };
                let Some(number) = self.next.checked_sub((self.next as u32).wrapping_sub(low).into()) else {
                    continue;
                };
                let Some(departure) = self.departure(number) else {
                    continue;
                };
                // "Overlapping reports MAY be sent": what was said first counts.
                let is_new = !std::mem::replace(&mut departure.told, true);
                let departure = *departure;
                self.on_arrival(number, departure, arrival, is_new, &mut spread);
            }
        }
        self.reports.sort_unstable_by_key(|report| report.sent);
        self.finish(spread);
    }

    /// A report's timestamp without wrapping, in the same units: 1/65,536 s.
    pub(in crate::media) fn unwrap_timestamp(&mut self, time: NtpShort) -> i64 {
        let Some(streams) = &mut self.streams else { return 0 };
        let units = streams.clock.map_or(0, |(latest, units)| {
            units.saturating_add(i64::from(time.0.wrapping_sub(latest.0).cast_signed()))
        });
        streams.clock = Some((time, units));
        units
    }
}

impl StreamNumbers {
    fn keep(&mut self, ssrc: u32, sequence_number: u16, number: u32) {
        let index = self.index(ssrc).unwrap_or_else(|| {
            self.streams.push(Stream {
                ssrc,
                slots: vec![Slot::default(); CAPACITY].into(),
            });
            self.streams.len() - 1
        });
        self.streams[index].slots[usize::from(sequence_number) % CAPACITY] = Slot {
            sequence_number,
            is_used: true,
            number,
        };
    }

    fn index(&self, ssrc: u32) -> Option<usize> {
        self.streams.iter().position(|stream| stream.ssrc == ssrc)
    }
}

impl Stream {
    fn number(&self, sequence_number: Serial16) -> Option<u32> {
        let slot = self.slots[usize::from(sequence_number.0) % CAPACITY];
        (slot.is_used && slot.sequence_number == sequence_number.0).then_some(slot.number)
    }
}

//! The packets of an event: reports that grow until it ends, and its end three times.

use super::{Event, Report};
use crate::payload::Payload;
use bytes::Bytes;
use peerline_wire::Serial32;

/// Sends one event after another. Time is the RTP timestamp that audio would have, in the units of the payload type's clock.
///
/// `start` and `stop` are commands; `poll_packet` gives what is due, one packet at a time, and `poll_timeout` tells when
/// the next one is, which only these change.
#[derive(Clone, Debug)]
pub struct EventSender {
    interval: u32,
    volume: u8,
    sending: Option<Sending>,
}

/// A packet to be sent.
#[derive(Clone, Debug)]
pub struct EventPacket {
    /// "The update packets MUST have the same RTP timestamp value as the initial packet for the event."
    pub timestamp: u32,
    /// Its payload, and whether the marker bit is set: "The first packet for an event MUST have the M bit set."
    pub payload: Payload,
}

/// Another event is being sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Busy;

impl std::fmt::Display for Busy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("another event is being sent")
    }
}

impl std::error::Error for Busy {}

#[derive(Clone, Copy, Debug)]
struct Sending {
    event: Event,
    /// When the segment began: the timestamp of its packets.
    start: Serial32,
    end: Serial32,
    /// When the next report is due.
    due: Serial32,
    /// Nothing has been sent of the event.
    first: bool,
    /// How often the end has been reported.
    ends: u8,
    /// The timestamp of the segment before this one, and how often its last report is still to be sent.
    repeat: Option<(Serial32, u8)>,
    /// That report has been sent at this interval; the segment's own is next.
    repeated: bool,
}

/// "The final packet for each event and for each segment SHOULD be sent a total of three times at the interval used by the
/// source for updates." (RFC 4733 §2.5.1.4)
const FINAL_PACKETS: u8 = 3;

/// The longest event, so that its end is not mistaken for the past.
const MAX_DURATION: u32 = 1 << 30;

const MAX_SEGMENT: u32 = u16::MAX as u32;

impl EventSender {
    /// Reports every `interval` timestamp units, which should be the time between audio packets or 50 ms (RFC 4733
    /// §2.5.1.2), with tones of -`volume` dBm0.
    #[must_use]
    pub fn new(interval: u32, volume: u8) -> Self {
        Self {
            interval: interval.clamp(1, MAX_SEGMENT),
            volume,
            sending: None,
        }
    }

    /// Begins an event that began at the timestamp `now` and lasts `duration` units.
    ///
    /// # Errors
    /// If another one, its repeated end included, has not been sent.
    pub fn start(&mut self, event: Event, now: u32, duration: u32) -> Result<(), Busy> {
        if self.sending.is_some() {
            return Err(Busy);
        }
        let (start, duration) = (Serial32(now), duration.clamp(1, MAX_DURATION));
        self.sending = Some(Sending {
            event,
            start,
            end: start.add(duration),
            // "A sender MUST NOT transmit a zero duration": the first report waits until there is something to tell.
            due: start.add(duration.min(self.interval)),
            first: true,
            ends: 0,
            repeat: None,
            repeated: false,
        });
        Ok(())
    }

    /// Ends the event at `now`, if it would last longer.
    pub fn stop(&mut self, now: u32) {
        let Some(sending) = &mut self.sending else { return };
        let now = Serial32(now);
        if now.precedes(sending.end) {
            let earliest = sending.start.next();
            sending.end = if earliest.precedes(now) { now } else { earliest };
            if sending.end.precedes(sending.due) {
                sending.due = sending.end;
            }
        }
    }

    /// True if an event is being sent.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.sending.is_some()
    }

    /// The timestamp at which the next packet is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u32> {
        self.sending.map(|sending| sending.due.0)
    }

    /// A packet that is due at the timestamp `now`.
    pub fn poll_packet(&mut self, now: u32) -> Option<EventPacket> {
        let sending = self.sending.as_mut()?;
        let now = Serial32(now);
        if now.precedes(sending.due) {
            return None;
        }
        if let Some((segment, left)) = sending.repeat
            && !sending.repeated
        {
            sending.repeated = true;
            sending.repeat = (left > 1).then_some((segment, left - 1));
            let report = Report {
                event: sending.event,
                end: false,
                volume: self.volume,
                duration: u16::MAX,
            };
            return Some(packet(segment, report, false));
        }
        sending.repeated = false;
        let reached = if now.precedes(sending.end) { now } else { sending.end };
        let lasted = sending.start.distance_to(reached).max(1) as u32; // The event began before any report was due.
        let marker = std::mem::take(&mut sending.first);
        let timestamp = sending.start;
        // "If an event persists beyond the maximum duration ... the sender MUST send a packet reporting this maximum duration
        // but MUST NOT set the E bit in this packet. The sender MUST then begin reporting a new segment". §2.5.1.3
        if lasted > MAX_SEGMENT {
            sending.start = sending.start.add(MAX_SEGMENT);
            sending.repeat = Some((timestamp, FINAL_PACKETS - 1));
            let next = sending.start.add(self.interval);
            sending.due = if sending.end.precedes(next) { sending.end } else { next };
            let report = Report {
                event: sending.event,
                end: false,
                volume: self.volume,
                duration: u16::MAX,
            };
            return Some(packet(timestamp, report, marker));
        }
        let end = reached == sending.end;
        let report = Report {
            event: sending.event,
            end,
            volume: self.volume,
            duration: lasted as u16,
        };
        let next = now.add(self.interval);
        sending.due = if end || next.precedes(sending.end) {
            next
        } else {
            sending.end
        };
        sending.ends += u8::from(end);
        if sending.ends == FINAL_PACKETS {
            self.sending = None;
        }
        Some(packet(timestamp, report, marker))
    }
}

fn packet(timestamp: Serial32, report: Report, marker: bool) -> EventPacket {
    let payload = Payload::new(&report.to_bytes(), Bytes::new()).with_marker(marker);
    EventPacket {
        timestamp: timestamp.0,
        payload,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every packet when it is due: when, timestamp, marker, end, duration.
    fn run(sender: &mut EventSender) -> Vec<(u32, u32, bool, bool, u16)> {
        let mut sent = Vec::new();
        while let Some(due) = sender.poll_timeout() {
            assert!(
                sender.clone().poll_packet(due.wrapping_sub(1)).is_none(),
                "before it is due"
            );
            while let Some(EventPacket { timestamp, payload }) = sender.poll_packet(due) {
                let report = Report::parse(&payload.to_bytes()).unwrap().next().unwrap();
                sent.push((due, timestamp, payload.marker(), report.end, report.duration));
            }
            assert!(sent.len() < 10_000);
        }
        sent
    }

    #[test]
    fn a_digit_of_a_tenth_of_a_second() {
        let mut sender = EventSender::new(160, 10);
        sender.start(Event::DIGIT_0, 1000, 800).unwrap();
        assert_eq!(sender.start(Event::STAR, 1000, 800), Err(Busy));
        assert_eq!(
            run(&mut sender),
            [
                (1160, 1000, true, false, 160),
                (1320, 1000, false, false, 320),
                (1480, 1000, false, false, 480),
                (1640, 1000, false, false, 640),
                (1800, 1000, false, true, 800),
                (1960, 1000, false, true, 800),
                (2120, 1000, false, true, 800),
            ]
        );
        assert!(!sender.is_busy());
    }

    #[test]
    fn an_event_shorter_than_the_interval_and_around_the_wrap() {
        let mut sender = EventSender::new(160, 10);
        sender.start(Event::DIGIT_0, u32::MAX - 49, 100).unwrap();
        let sent = run(&mut sender);
        let ends: Vec<_> = [50, 210, 370]
            .map(|due| (due, u32::MAX - 49, due == 50, true, 100))
            .into();
        assert_eq!(sent, ends);
    }

    #[test]
    fn a_long_event_has_segments() {
        let mut sender = EventSender::new(20_000, 10);
        sender.start(Event::DIGIT_0, 0, 140_000).unwrap();
        let sent = run(&mut sender);
        let full: Vec<_> = sent.iter().filter(|packet| packet.4 == u16::MAX).collect();
        assert_eq!(full.iter().filter(|packet| packet.1 == 0).count(), 3);
        assert_eq!(full.iter().filter(|packet| packet.1 == 65_535).count(), 3);
        assert!(full.iter().all(|packet| !packet.3));
        assert_eq!(sent.iter().filter(|packet| packet.2).count(), 1, "one marker");
        let ends: Vec<_> = sent.iter().filter(|packet| packet.3).collect();
        assert_eq!(ends.len(), 3);
        assert!(ends.iter().all(|packet| (packet.1, packet.4) == (131_070, 8930)));
    }

    #[test]
    fn what_is_stopped_ends_at_once() {
        let mut sender = EventSender::new(160, 10);
        sender.start(Event::DIGIT_0, 0, 8000).unwrap();
        assert!(sender.poll_packet(160).is_some());
        sender.stop(200);
        let sent = run(&mut sender);
        assert_eq!(sent.len(), 3);
        assert_eq!(sent[0], (200, 0, false, true, 200));
    }
}

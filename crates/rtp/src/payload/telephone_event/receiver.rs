//! Events from packets that repeat themselves, and some of which are lost.

use super::{Event, Report};
use crate::payload::PayloadError;
use peerline_wire::Serial32;
use std::collections::VecDeque;

/// Tells each event's beginning and end once.
#[derive(Clone, Debug, Default)]
pub struct EventReceiver {
    current: Option<Current>,
    /// Where the last event was that has ended: its packets may still come.
    ended: Option<Serial32>,
}

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// An event has begun.
    Started {
        /// Which.
        event: Event,
        /// When: an RTP timestamp.
        timestamp: u32,
    },
    /// It has ended.
    Ended {
        /// Which.
        event: Event,
        /// How long it lasted in timestamp units; how long it is known to have lasted, if its end was lost.
        duration: u32,
    },
}

#[derive(Clone, Copy, Debug)]
struct Current {
    event: Event,
    /// The timestamp of its packets.
    segment: Serial32,
    /// How long the segments before lasted.
    before: u32,
    /// How long this one has.
    duration: u16,
}

impl Current {
    fn ended(self) -> News {
        News::Ended {
            event: self.event,
            duration: self.before.saturating_add(self.duration.into()),
        }
    }
}

impl EventReceiver {
    /// Before the first packet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the payload of a packet and its timestamp, and appends what it tells to `out`.
    ///
    /// # Errors
    /// [`PayloadError::Truncated`] if it is no row of reports.
    pub fn push(&mut self, payload: &[u8], timestamp: u32, out: &mut VecDeque<News>) -> Result<(), PayloadError> {
        let mut at = Serial32(timestamp);
        for report in Report::parse(payload)? {
            // RFC 4733 §2.3.5: "The receiver SHOULD ignore an event report with zero duration if the event is not a
            // state." No states are known here.
            if report.duration != 0 {
                self.on_report(report, at, out);
            }
            // §2.5.1.5: events in one packet are contiguous.
            at = at.add(report.duration.into());
        }
        Ok(())
    }

    /// Ends the current event, if there is one: its end was lost, as other packets show, or silence for three times the
    /// interval between reports (RFC 4733 §2.5.2.2).
    pub fn give_up(&mut self) -> Option<News> {
        let current = self.current.take()?;
        self.ended = Some(current.segment);
        Some(current.ended())
    }

    fn on_report(&mut self, report: Report, at: Serial32, out: &mut VecDeque<News>) {
        // Repetitions of what has ended, and what is older still.
        if self.ended.is_some_and(|ended| !ended.precedes(at)) {
            return;
        }
        match &mut self.current {
            Some(current) if current.segment == at && current.event == report.event => {
                current.duration = current.duration.max(report.duration);
            }
            Some(current) if !current.segment.precedes(at) => return,
            // §2.5.1.3: the next segment of a long event begins where the one before ended at its longest.
            Some(current) if current.segment.add(u16::MAX.into()) == at && current.event == report.event => {
                let before = current.before.saturating_add(u16::MAX.into());
                *current = Current {
                    event: report.event,
                    segment: at,
                    before,
                    duration: report.duration,
                };
            }
            _ => {
                out.extend(self.give_up());
                out.push_back(News::Started {
                    event: report.event,
                    timestamp: at.0,
                });
                let (event, duration) = (report.event, report.duration);
                self.current = Some(Current {
                    event,
                    segment: at,
                    before: 0,
                    duration,
                });
            }
        }
        if report.end {
            out.extend(self.give_up());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::EventSender;
    use super::*;

    /// The packets of these events, one after the other: key, start, duration.
    fn packets(events: &[(char, u32, u32)]) -> Vec<(u32, [u8; 4])> {
        let mut packets = Vec::new();
        for &(key, start, duration) in events {
            let mut sender = EventSender::new(400, 10);
            sender.start(Event::from_key(key).unwrap(), start, duration).unwrap();
            while let Some(due) = sender.poll_timeout() {
                packets.extend(
                    sender
                        .poll_packet(due)
                        .map(|packet| (packet.timestamp, packet.payload.to_bytes()[..].try_into().unwrap())),
                );
            }
        }
        packets
    }

    /// What comes of packets: key, start or none, duration or none.
    fn received(packets: impl IntoIterator<Item = (u32, [u8; 4])>) -> Vec<(char, Option<u32>, Option<u32>)> {
        let (mut receiver, mut out) = (EventReceiver::new(), VecDeque::new());
        for (timestamp, payload) in packets {
            receiver.push(&payload, timestamp, &mut out).unwrap();
        }
        out.into_iter()
            .map(|news| match news {
                News::Started { event, timestamp } => (event.key().unwrap(), Some(timestamp), None),
                News::Ended { event, duration } => (event.key().unwrap(), None, Some(duration)),
            })
            .collect()
    }

    const EVENTS: [(char, u32, u32); 3] = [('1', u32::MAX - 100, 800), ('1', 2000, 1200), ('#', 5000, 200_000)];

    #[test]
    fn each_event_is_told_once() {
        let expected: Vec<_> = EVENTS
            .iter()
            .flat_map(|&(key, start, duration)| [(key, Some(start), None), (key, None, Some(duration))])
            .collect();
        let packets = packets(&EVENTS);
        assert_eq!(received(packets.iter().copied()), expected);
        // Each packet twice.
        assert_eq!(received(packets.iter().flat_map(|&packet| [packet, packet])), expected);
        // Any one packet lost.
        for lost in 0..packets.len() {
            let rest = packets.iter().enumerate().filter(|(index, _)| *index != lost);
            assert_eq!(received(rest.map(|(_, packet)| *packet)), expected, "{lost}");
        }
    }

    #[test]
    fn an_end_that_was_lost_is_seen_at_the_next_event() {
        let packets = packets(&EVENTS[..2]);
        let without_ends = packets.iter().copied().filter(|(_, payload)| payload[1] & 0x80 == 0);
        let (first, second) = (u32::MAX - 100, 2000);
        assert_eq!(
            received(without_ends.clone()),
            [
                ('1', Some(first), None),
                ('1', None, Some(400)),
                ('1', Some(second), None)
            ]
        );
        let (mut receiver, mut out) = (EventReceiver::new(), VecDeque::new());
        for (timestamp, payload) in without_ends {
            receiver.push(&payload, timestamp, &mut out).unwrap();
        }
        assert_eq!(
            receiver.give_up(),
            Some(News::Ended {
                event: Event(1),
                duration: 800
            })
        );
        assert_eq!(receiver.give_up(), None);
    }

    #[test]
    fn events_packed_together_and_nonsense() {
        let (mut receiver, mut out) = (EventReceiver::new(), VecDeque::new());
        receiver
            .push(&[1, 0x80, 0, 100, 2, 0x80, 0, 50], 1000, &mut out)
            .unwrap();
        assert_eq!(
            out,
            [
                News::Started {
                    event: Event(1),
                    timestamp: 1000
                },
                News::Ended {
                    event: Event(1),
                    duration: 100
                },
                News::Started {
                    event: Event(2),
                    timestamp: 1100
                },
                News::Ended {
                    event: Event(2),
                    duration: 50
                },
            ]
        );
        out.clear();
        receiver.push(&[1, 0x80, 0, 0], 5000, &mut out).unwrap();
        assert!(out.is_empty(), "no time at all");
        assert_eq!(
            receiver.push(&[1, 0x80, 0], 5000, &mut out),
            Err(PayloadError::Truncated)
        );
    }
}

//! Writes feedback: once over the packets for the chunks, once more for the deltas, and no memory of its own.

use peerline_wire::Serial16;

use super::chunk::CHUNK_LEN;
use super::chunk::{Pending, Status};
use super::{ArrivalTime, FIXED_LEN, TransportFeedback};
use crate::Ssrc;
use crate::rtcp::frame::{self, HEADER_LEN, PacketType, feedback_format};

/// What a feedback packet had room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "what had no room is for the next feedback packet"]
pub struct Written {
    /// The number after the last packet that is reported on, where the next feedback packet begins.
    pub next: Serial16,
    /// True if all packets had room.
    pub complete: bool,
}

impl TransportFeedback<'_> {
    /// Appends a feedback packet of at most `max_len` bytes for packets in ascending order of their sequence numbers, from `base`
    /// on; those that are left out, or have no arrival time, were not received. `None`, and nothing appended, if none of
    /// them was received, or `max_len` is too small for one.
    ///
    /// It ends early where `max_len` does, where two arrivals lie more than 8 s apart, and before a number that does not
    /// ascend: then the caller begins another one with [`Written::next`] and one more `feedback_count`. Packets that were not
    /// received are reported on only if a later one was.
    pub fn write(
        out: &mut Vec<u8>,
        sender: Ssrc,
        media: Ssrc,
        feedback_count: u8,
        base: Serial16,
        max_len: usize,
        packets: impl IntoIterator<Item = (Serial16, Option<ArrivalTime>), IntoIter: Clone>,
    ) -> Option<Written> {
        let all = packets.into_iter();
        let received = all.filter_map(|(number, time)| Some((number, time?)));
        let (_, first) = received.clone().next()?;
        let reference = first.0 >> 8;

        let start = out.len();
        let mut plan = Plan::new(base, ArrivalTime(reference << 8));
        frame::write(
            out,
            PacketType::TRANSPORT_FEEDBACK,
            feedback_format::TRANSPORT_WIDE,
            |out| {
                out.extend_from_slice(&sender.0.to_be_bytes());
                out.extend_from_slice(&media.0.to_be_bytes());
                out.extend_from_slice(&base.0.to_be_bytes());
                let count_at = out.len();
                out.extend_from_slice(&[0, 0]);
                out.extend_from_slice(&(reference << 8 | u32::from(feedback_count)).to_be_bytes());
                plan.write_chunks(out, max_len, received.clone());
                let count = plan.next.0.wrapping_sub(base.0);
                out[count_at..count_at + 2].copy_from_slice(&count.to_be_bytes());
                write_deltas(out, ArrivalTime(reference << 8), received.clone().take(plan.received));
            },
        );
        if plan.received == 0 {
            out.truncate(start);
            return None;
        }
        let complete = { received }.nth(plan.received).is_none();
        Some(Written {
            next: plan.next,
            complete,
        })
    }
}

/// How many packets have room, found while the chunks are written.
struct Plan {
    base: Serial16,
    next: Serial16,
    time: ArrivalTime,
    received: usize,
    deltas: usize,
}

impl Plan {
    fn new(base: Serial16, time: ArrivalTime) -> Self {
        Self {
            base,
            next: base,
            time,
            received: 0,
            deltas: 0,
        }
    }

    fn write_chunks(
        &mut self,
        out: &mut Vec<u8>,
        max_len: usize,
        received: impl Iterator<Item = (Serial16, ArrivalTime)>,
    ) {
        let start = out.len();
        let mut pending = Pending::default();
        for (number, time) in received {
            let Some((missing, status)) = self.step(number, time) else {
                break;
            };
            // Both steps may complete chunks, and others are pending afterwards.
            let mut trial = pending.clone();
            let before = out.len();
            trial.add(Status::NotReceived, missing, out);
            trial.add(status, 1, out);
            let chunks = out.len() - start + trial.chunks() * CHUNK_LEN;
            let deltas = self.deltas + status.delta_len();
            if (HEADER_LEN + FIXED_LEN + chunks + deltas).next_multiple_of(4) > max_len {
                out.truncate(before);
                break;
            }
            pending = trial;
            (self.next, self.time, self.deltas) = (number.next(), time, deltas);
            self.received += 1;
        }
        pending.finish(out);
    }

    /// How many packets before this one were not received, and how it fared. `None` if it cannot be in this feedback.
    fn step(&self, number: Serial16, time: ArrivalTime) -> Option<(u16, Status)> {
        let missing = u16::try_from(self.next.distance_to(number)).ok()?;
        // The count of statuses has 16 bits.
        self.next
            .0
            .wrapping_sub(self.base.0)
            .checked_add(missing)?
            .checked_add(1)?;
        let status = match delta(self.time, time) {
            0..=0xff => Status::SmallDelta,
            -0x8000..=0x7fff => Status::LargeDelta,
            _ => return None,
        };
        Some((missing, status))
    }
}

fn write_deltas(out: &mut Vec<u8>, mut time: ArrivalTime, received: impl Iterator<Item = (Serial16, ArrivalTime)>) {
    for (_, arrival) in received {
        let delta = delta(time, arrival);
        match u8::try_from(delta) {
            Ok(small) => out.push(small),
            Err(_) => out.extend_from_slice(&(delta as i16).to_be_bytes()),
        }
        time = arrival;
    }
}

/// In units of 250 µs, around the wrap.
fn delta(from: ArrivalTime, to: ArrivalTime) -> i32 {
    to.0.wrapping_sub(from.0) as i32
}

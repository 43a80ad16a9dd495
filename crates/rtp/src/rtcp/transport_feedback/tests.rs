use super::*;
use crate::rtcp::{Packet, packets};

const BASE: u16 = 65530;

/// Arrivals in units of 250 µs, from the base on.
fn build(base: u16, max_len: usize, arrivals: &[Option<u32>]) -> (Vec<u8>, Option<Written>) {
    let mut out = vec![0xee];
    let numbered = arrivals.iter().enumerate();
    let numbered = numbered.map(|(i, time)| (Serial16(base).add(i as u16), time.map(ArrivalTime)));
    let written = TransportFeedback::write(&mut out, Ssrc(1), Ssrc(2), 9, Serial16(base), max_len, numbered);
    assert!(out.len() - 1 <= max_len);
    (out.split_off(1), written)
}

fn read(bytes: &[u8]) -> TransportFeedback<'_> {
    let mut all = packets(bytes);
    let Some(Ok(Packet::TransportFeedback(feedback))) = all.next() else {
        panic!("{bytes:?}")
    };
    assert!(all.next().is_none());
    feedback
}

fn times(feedback: &TransportFeedback<'_>) -> Vec<Option<u32>> {
    let base = feedback.base_sequence_number;
    assert!(
        feedback
            .packets()
            .enumerate()
            .all(|(i, (number, _))| number == base.add(i as u16))
    );
    assert!(
        feedback
            .received()
            .eq(feedback.packets().filter(|(_, how)| *how != Reception::NotReceived))
    );
    feedback
        .packets()
        .map(|(_, how)| how.time().map(|time| time.0))
        .collect()
}

#[track_caller]
fn survives(arrivals: &[Option<u32>]) -> Vec<u8> {
    let (bytes, written) = build(BASE, 100_000, arrivals);
    let next = Serial16(BASE).add(arrivals.len() as u16);
    assert_eq!(written, Some(Written { next, complete: true }));
    let feedback = read(&bytes);
    assert_eq!(
        (feedback.sender, feedback.media, feedback.feedback_count),
        (Ssrc(1), Ssrc(2), 9)
    );
    assert_eq!(times(&feedback), arrivals);
    bytes
}

#[test]
fn a_browsers_feedback() {
    // Chromium 156 to another: base 1, 6 packets, a run of six small deltas.
    let bytes = [
        0x8f, 0xcd, 0, 6, 0xcc, 0x36, 0x8c, 0x18, 0xd8, 0x8c, 0xdd, 0x6b, 0, 1, 0, 6, 0, 0x10, 0x68, 0, 0x20, 6, 0xcd,
        1, 0x45, 0x48, 0x11, 1,
    ];
    let feedback = read(&bytes);
    assert_eq!(
        (feedback.base_sequence_number, feedback.feedback_count),
        (Serial16(1), 0)
    );
    assert_eq!(feedback.reference_time(), ArrivalTime(0x1068 << 8));
    let deltas = [0xcd, 1, 0x45, 0x48, 0x11, 1];
    let expected: Vec<_> = deltas
        .iter()
        .scan(0x1068 << 8, |time, delta| {
            Some({
                *time += delta;
                Some(*time)
            })
        })
        .collect();
    assert_eq!(times(&feedback), expected);
    // We write the same bytes.
    let mut out = Vec::new();
    let again = feedback.packets().map(|(number, how)| (number, how.time()));
    let written = TransportFeedback::write(&mut out, feedback.sender, feedback.media, 0, Serial16(1), 1200, again);
    assert_eq!(
        written,
        Some(Written {
            next: Serial16(7),
            complete: true
        })
    );
    assert_eq!(out, bytes);
}

#[test]
fn runs_and_vectors_are_chosen_by_what_is_shorter() {
    // One run of 1,000; its contents are the fixed part, a chunk and a byte a packet, padded by two.
    let bytes = survives(&vec![Some(77); 1000]);
    assert_eq!(bytes[20..22], [0x23, 0xe8]);
    assert_eq!(bytes.len(), 4 + 16 + 2 + 1000 + 2);
    // A loss in 14 is a vector of one bit each; then a run.
    let mut arrivals = vec![Some(77); 500];
    arrivals[3] = None;
    let bytes = survives(&arrivals);
    assert_eq!(bytes[20..24], [0b1011_1011, 0xff, 0x21, 0xe6]);
    // Large deltas among small ones take two bits each.
    let bytes = survives(&[Some(0), Some(300), None, Some(300), Some(0)]);
    assert_eq!(bytes[20..22], [0b1101_1000, 0b0110_0000]);
    // Small deltas and losses, then a large delta: what a vector of one bit would leave empty is not reported on.
    survives(&[Some(0), None, None, None, None, None, None, None, Some(300)]);
    // A long gap is runs.
    let mut arrivals = vec![None; 20_000];
    arrivals.push(Some(5));
    let bytes = survives(&arrivals);
    assert_eq!(bytes[20..26], [0x1f, 0xff, 0x1f, 0xff, 0x0e, 0x22]);
}

#[test]
fn time_wraps_and_runs_backwards() {
    survives(&[Some(u32::MAX - 1), Some(3), Some(u32::MAX), Some(200), None, Some(0)]);
    survives(&[Some(100_000), Some(100_000 - 0x8000), Some(100_000 - 1)]);
    // The first has a small delta from the reference; what came before the reference has a negative one.
    let bytes = survives(&[Some(0x0100_0000), Some(0x00ff_ffff)]);
    assert_eq!(bytes[16..20], [1, 0, 0, 9]);
}

#[test]
fn what_has_no_room_is_for_the_next() {
    // Too long a silence.
    let arrivals = [Some(0), None, Some(0x8000 + 255), Some(7)];
    let (bytes, written) = build(BASE, 1200, &arrivals);
    assert_eq!(
        written,
        Some(Written {
            next: Serial16(BASE).add(1),
            complete: false
        })
    );
    assert_eq!(times(&read(&bytes)), [Some(0)]);
    // Too many packets: all of them go out, in pieces of any size, none larger than allowed.
    let arrivals: Vec<_> = (0..2000u32)
        .map(|i| (i % 7 != 3).then_some(i * (i % 3) * 100))
        .collect();
    for max_len in [28, 32, 100, 1200] {
        let (mut at, mut got) = (0, Vec::new());
        while at < arrivals.len() {
            let (bytes, written) = build(at as u16, max_len, &arrivals[at..]);
            let Some(written) = written else { break };
            got.extend(times(&read(&bytes)));
            at = written.next.0.into();
            assert_eq!(written.complete, at == arrivals.len());
        }
        assert_eq!(got, arrivals, "{max_len}");
    }
}

#[test]
fn nothing_received_writes_nothing() {
    assert_eq!(build(BASE, 1200, &[None; 3]), (vec![], None));
    assert_eq!(build(BASE, 20, &[Some(1)]), (vec![], None));
    // What is before the base cannot be reported on.
    let mut out = Vec::new();
    let early = [(Serial16(4), Some(ArrivalTime(1)))];
    assert_eq!(
        TransportFeedback::write(&mut out, Ssrc(1), Ssrc(2), 0, Serial16(5), 1200, early),
        None
    );
    assert!(out.is_empty());
}

#[test]
fn gaps_need_no_entries() {
    let arrivals = [(65535, 10), (3, 11)].map(|(number, time)| (Serial16(number), Some(ArrivalTime(time))));
    let mut out = Vec::new();
    let written = TransportFeedback::write(&mut out, Ssrc(1), Ssrc(2), 9, Serial16(65534), 1200, arrivals);
    assert_eq!(
        written,
        Some(Written {
            next: Serial16(4),
            complete: true
        })
    );
    assert_eq!(times(&read(&out)), [None, Some(10), None, None, None, Some(11)]);
}

#[test]
fn all_numbers_but_one_fit_and_twice_around_does_not() {
    let mut out = Vec::new();
    let far = [0, 32_767, 65_534, 1, 2].map(|number| (Serial16(number), Some(ArrivalTime(7))));
    let written = TransportFeedback::write(&mut out, Ssrc(1), Ssrc(2), 9, Serial16(0), 1200, far);
    assert_eq!(
        written,
        Some(Written {
            next: Serial16(65_535),
            complete: false
        })
    );
    let feedback = read(&out);
    assert_eq!(feedback.packet_status_count, 65_535);
    assert_eq!(feedback.received().count(), 3);
}

#[test]
fn feedback_without_times() {
    // Two bytes of padding, no deltas: the run says "received".
    let bytes = [
        0x8f, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2, 0, 1, 0, 3, 0, 0, 1, 0, 0x20, 3, 0, 0,
    ];
    let feedback = read(&bytes);
    assert!(feedback.packets().all(|(_, how)| how == Reception::Untimed));
    assert_eq!(feedback.received().count(), 3);
}

#[test]
fn what_is_cut_off_is_an_error() {
    // Chunks for fewer packets than the count, and deltas for fewer than the chunks.
    for (count, rest) in [(8193u16, [0x3f, 0xff]), (1, [0, 0])] {
        let mut bytes = vec![0x8f, 205, 0, 4, 0, 0, 0, 1, 0, 0, 0, 2, 0, 1];
        bytes.extend(count.to_be_bytes());
        bytes.extend([0, 0, 1, 0]);
        if count > 1 {
            bytes[3] += 1;
            bytes.extend([rest[0], rest[1], 0, 0]);
        }
        assert_eq!(
            packets(&bytes).next(),
            Some(Err(ParseError::ContentsTruncated)),
            "{count}"
        );
    }
    let bytes = [
        0x8f, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2, 0, 1, 0, 3, 0, 0, 1, 0, 0x20, 3, 1, 1,
    ];
    assert_eq!(packets(&bytes).next(), Some(Err(ParseError::ContentsTruncated)));
}

#[test]
fn arrival_times_have_a_resolution_and_a_sign() {
    let time = |micros| ArrivalTime::from_duration(Duration::from_micros(micros));
    assert_eq!(time(1_000_249), ArrivalTime(4000));
    assert_eq!(time(500).micros_since(time(1_000)), -500);
    let days = Duration::from_secs(13 * 86_400);
    assert_eq!(
        ArrivalTime::from_duration(days).micros_since(ArrivalTime(u32::MAX)) % 250,
        0
    );
}

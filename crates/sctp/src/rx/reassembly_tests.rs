//! Fragments in every order, and the account of what they occupy.

use super::*;
use crate::Ppid;
use crate::wire::{Data, FragmentPlace, IData};
use peerline_wire::{Serial16, Serial32};
use proptest::prelude::*;

struct World {
    reassembly: Reassembly,
    arrived: std::collections::BTreeSet<u64>,
    events: VecDeque<Event>,
}

impl World {
    fn new() -> Self {
        Self {
            reassembly: Reassembly::new(100_000),
            arrived: Default::default(),
            events: VecDeque::new(),
        }
    }

    /// Pushes a fragment whose TSN is new.
    fn push(&mut self, tsn: u64, flags: &str, stream: u16, ssn: u16, payload: &[u8]) -> Result<u64, Violation> {
        let datagram = Bytes::copy_from_slice(payload);
        let data = Data {
            immediate: false,
            unordered: flags.contains('U'),
            beginning: flags.contains('B'),
            ending: flags.contains('E'),
            tsn: Serial32(tsn as u32),
            stream: StreamId(stream),
            ssn: Serial16(ssn),
            ppid: Ppid::BINARY,
            payload: &datagram,
        };
        let in_order = (100..tsn).all(|tsn| self.arrived.contains(&tsn));
        self.arrived.insert(tsn);
        self.reassembly
            .push(tsn, in_order, &Fragment::from(&data), &datagram, &mut self.events)
    }

    /// Pushes a fragment in I-DATA: `number` is its MID and its FSN.
    fn push_i(&mut self, flags: &str, stream: u16, number: (u32, u32), payload: &[u8]) -> Result<u64, Violation> {
        let datagram = Bytes::copy_from_slice(payload);
        let data = IData {
            immediate: false,
            unordered: flags.contains('U'),
            ending: flags.contains('E'),
            tsn: Serial32(0),
            stream: StreamId(stream),
            mid: Serial32(number.0),
            place: if flags.contains('B') {
                FragmentPlace::First(Ppid(number.0))
            } else {
                FragmentPlace::Later(Serial32(number.1))
            },
            payload: &datagram,
        };
        // TSNs say nothing here.
        self.reassembly
            .push(7, true, &Fragment::from(&data), &datagram, &mut self.events)
    }

    fn forward_i(&mut self, stream: u16, unordered: bool, mid: u32) -> u64 {
        let skipped = Skipped {
            stream: StreamId(stream),
            unordered,
            number: Number::Mid(Serial32(mid)),
        };
        self.reassembly.forward(7, [skipped].into_iter(), &mut self.events)
    }

    fn texts(&mut self, stream: u16) -> Vec<String> {
        let messages = std::iter::from_fn(|| self.reassembly.recv(StreamId(stream), &mut self.events));
        messages
            .map(|message| String::from_utf8(message.payload.to_vec()).unwrap())
            .collect()
    }
}

#[test]
fn fragments_in_every_order_make_one_message() {
    let fragments = [
        (100, "B", "one "),
        (101, "", "two "),
        (102, "", "three "),
        (103, "E", "four"),
    ];
    for order in permutations(&[0, 1, 2, 3]) {
        let mut world = World::new();
        for index in &order {
            let (tsn, flags, text) = fragments[*index];
            world.push(tsn, flags, 1, 0, text.as_bytes()).unwrap();
        }
        assert_eq!(world.texts(1), ["one two three four"], "{order:?}");
        assert_eq!(world.reassembly.allocated(), 0, "{order:?}");
        assert_eq!(world.events, [Event::Readable(StreamId(1))]);
    }
}

fn permutations(items: &[usize]) -> Vec<Vec<usize>> {
    if items.is_empty() {
        return vec![vec![]];
    }
    let with_first = |&first: &usize| {
        let rest: Vec<_> = items.iter().copied().filter(|item| *item != first).collect();
        permutations(&rest)
            .into_iter()
            .map(move |rest| [vec![first], rest].concat())
    };
    items.iter().flat_map(with_first).collect()
}

#[test]
fn ordered_messages_wait_and_unordered_do_not() {
    let mut world = World::new();
    world.push(103, "BE", 1, 2, b"third").unwrap();
    world.push(102, "BE", 1, 1, b"second").unwrap();
    world.push(104, "BEU", 1, 0, b"unordered").unwrap();
    world.push(101, "BE", 2, 0, b"elsewhere").unwrap();
    assert_eq!(world.texts(1), ["unordered"]);
    assert_eq!(world.texts(2), ["elsewhere"]);
    world.push(100, "BE", 1, 0, b"first").unwrap();
    assert_eq!(world.texts(1), ["first", "second", "third"]);
    assert_eq!(world.reassembly.allocated(), 0);
}

#[test]
fn sequence_numbers_used_before_are_dropped() {
    let mut world = World::new();
    for (tsn, ssn) in [(100, 0), (101, 0), (102, 65_535), (103, 2), (104, 2)] {
        world.push(tsn, "BE", 1, ssn, b"x").unwrap();
    }
    assert_eq!(world.texts(1).len(), 1);
    world.push(105, "BE", 1, 1, b"x").unwrap();
    assert_eq!(world.texts(1).len(), 2);
    assert_eq!(world.reassembly.allocated(), 0);
}

#[test]
fn the_account_is_of_what_is_allocated() {
    let mut world = World::new();
    // A byte costs its bookkeeping; a large fragment its datagram.
    world.push(100, "BE", 1, 0, b"x").unwrap();
    assert_eq!(world.reassembly.allocated(), 1 + OVERHEAD);
    let datagram = Bytes::from(vec![0; 1200]);
    let data = Data {
        immediate: false,
        unordered: false,
        beginning: true,
        ending: false,
        tsn: Serial32(101),
        stream: StreamId(1),
        ssn: Serial16(1),
        ppid: Ppid::BINARY,
        payload: &datagram[28..700],
    };
    world
        .reassembly
        .push(101, true, &Fragment::from(&data), &datagram, &mut world.events)
        .unwrap();
    assert_eq!(world.reassembly.allocated(), 1 + OVERHEAD + 1200 + OVERHEAD);
    assert_eq!(world.texts(1), ["x"]);
    assert_eq!(world.reassembly.allocated(), 1200 + OVERHEAD);
}

#[test]
fn a_large_fragment_is_not_copied_and_a_small_one_is() {
    for (len, copied) in [(COPY_BELOW - 1, true), (COPY_BELOW, false)] {
        let mut world = World::new();
        let datagram = Bytes::from(vec![0; len]);
        let data = Data {
            immediate: false,
            unordered: false,
            beginning: true,
            ending: true,
            tsn: Serial32(100),
            stream: StreamId(1),
            ssn: Serial16(0),
            ppid: Ppid::BINARY,
            payload: &datagram,
        };
        world
            .reassembly
            .push(100, true, &Fragment::from(&data), &datagram, &mut world.events)
            .unwrap();
        let message = world.reassembly.recv(StreamId(1), &mut world.events).unwrap();
        assert_eq!(message.payload.as_ptr() != datagram.as_ptr(), copied, "{len}");
    }
}

proptest! {
    /// Messages of random lengths in fragments, which arrive in random order.
    #[test]
    fn any_order(lengths in proptest::collection::vec(1usize..6, 1..12), seed in any::<u64>()) {
        use rand::seq::SliceRandom;
        let mut fragments = Vec::new();
        let mut expected: [Vec<String>; 2] = Default::default();
        let mut tsn = 100;
        for (index, length) in lengths.into_iter().enumerate() {
            let stream = index % 2;
            let ssn = expected[stream].len() as u16;
            let mut whole = String::new();
            for part in 0..length {
                let flags = [if part == 0 { "B" } else { "" }, if part + 1 == length { "E" } else { "" }].concat();
                let text = format!("{index}.{part};");
                whole += &text;
                fragments.push((tsn, flags, stream as u16, ssn, text));
                tsn += 1;
            }
            expected[stream].push(whole);
        }
        fragments.shuffle(&mut peerline_sim::rng(seed));
        let mut world = World::new();
        for (tsn, flags, stream, ssn, text) in fragments {
            world.push(tsn, &flags, stream, ssn, text.as_bytes()).unwrap();
        }
        prop_assert_eq!(world.texts(0), expected[0].clone());
        prop_assert_eq!(world.texts(1), expected[1].clone());
        prop_assert_eq!(world.reassembly.allocated(), 0);
    }
}

// --- I-DATA (RFC 8260)

#[test]
fn interleaved_messages_are_told_apart_by_stream_order_and_number() {
    let mut world = World::new();
    for (flags, stream, number, text) in [
        ("B", 1, (0, 0), "a0"),
        ("B", 2, (0, 0), "b0"),
        ("BU", 1, (0, 0), "u0"),
        ("B", 1, (1, 0), "c0"),
        ("", 2, (0, 2), "b2"),
        ("EU", 1, (0, 1), "u1"),
        ("", 1, (0, 1), "a1"),
        ("E", 1, (1, 1), "c1"),
        ("E", 2, (0, 3), "b3"),
        ("", 2, (0, 1), "b1"),
        ("E", 1, (0, 2), "a2"),
    ] {
        world.push_i(flags, stream, number, text.as_bytes()).unwrap();
    }
    assert_eq!(world.texts(1), ["u0u1", "a0a1a2", "c0c1"]);
    assert_eq!(world.texts(2), ["b0b1b2b3"]);
    assert_eq!(world.reassembly.allocated(), 0);
}

#[test]
fn the_first_fragment_says_what_the_message_is() {
    let mut world = World::new();
    for number in [(0, 2), (0, 1)] {
        world
            .push_i(if number.1 == 2 { "E" } else { "" }, 1, number, b"x")
            .unwrap();
    }
    world.push_i("B", 1, (0, 0), b"x").unwrap();
    world.push_i("BE", 1, (1, 0), b"y").unwrap();
    let ppids = std::iter::from_fn(|| world.reassembly.recv(StreamId(1), &mut world.events)).map(|it| it.ppid);
    assert!(ppids.eq([Ppid(0), Ppid(1)]));
}

#[test]
fn fragments_that_contradict_each_other_are_a_violation() {
    for fragments in [
        // A number twice: in a run, at its start, the first.
        &[("B", (0, 0)), ("", (0, 1)), ("", (0, 1))][..],
        &[("", (0, 5)), ("E", (0, 5))],
        &[("B", (0, 0)), ("B", (0, 0))],
        // Beyond the last.
        &[("E", (0, 3)), ("", (0, 4))],
        &[("", (0, 4)), ("E", (0, 3))],
        // Number 0 without the B bit.
        &[("E", (0, 0))],
    ] {
        let mut world = World::new();
        let mut results = Vec::new();
        for &(flags, number) in fragments {
            results.push(world.push_i(flags, 1, number, b"x"));
        }
        assert_eq!(results.pop(), Some(Err(Violation::Inconsistent)), "{fragments:?}");
        assert!(results.iter().all(|result| *result == Ok(0)), "{fragments:?}");
    }
}

#[test]
fn numbers_wrap() {
    let mut world = World::new();
    // A quarter of the wheel at a time: an I-FORWARD-TSN cannot go further than half of it.
    for quarter in 1..4 {
        world.forward_i(1, false, quarter << 30);
        world.forward_i(1, true, quarter << 30);
    }
    world.forward_i(1, false, u32::MAX - 1);
    world.push_i("B", 1, (0, 0), b"second, ").unwrap();
    world.push_i("BU", 1, (u32::MAX, 0), b"unordered, ").unwrap();
    world.push_i("BEU", 1, (0, 0), b"unordered").unwrap();
    world.push_i("BE", 1, (u32::MAX, 0), b"first").unwrap();
    world.push_i("E", 1, (0, 1), b"whole").unwrap();
    world.push_i("EU", 1, (u32::MAX, 1), b"whole").unwrap();
    assert_eq!(
        world.texts(1),
        ["unordered", "first", "second, whole", "unordered, whole"]
    );
    // Long ago.
    world.push_i("BE", 1, (u32::MAX, 0), b"again").unwrap();
    world.push_i("B", 1, (0, 0), b"again").unwrap();
    assert_eq!((world.texts(1).len(), world.reassembly.allocated()), (0, 0));
}

#[test]
fn what_is_given_up_goes_and_what_waited_for_it_comes() {
    let mut world = World::new();
    world.push_i("B", 1, (0, 0), b"x").unwrap();
    world.push_i("", 1, (1, 3), b"x").unwrap();
    world.push_i("BU", 1, (4, 0), b"x").unwrap();
    world.push_i("BU", 1, (5, 0), b"kept ").unwrap();
    world.push_i("BE", 1, (2, 0), b"third").unwrap();
    world.push_i("B", 2, (0, 0), b"elsewhere ").unwrap();
    assert_eq!(world.forward_i(1, false, 1), 1);
    assert_eq!(world.forward_i(1, true, 4), 0);
    assert_eq!(world.texts(1), ["third"]);
    // What is still on its way of the message given up.
    world.push_i("", 1, (1, 4), b"x").unwrap();
    world.push_i("EU", 1, (4, 1), b"x").unwrap();
    world.push_i("EU", 1, (5, 1), b"whole").unwrap();
    world.push_i("E", 2, (0, 1), b"whole").unwrap();
    assert_eq!(world.texts(1), ["kept whole"]);
    assert_eq!(world.texts(2), ["elsewhere whole"]);
    assert_eq!(world.reassembly.allocated(), 0);
}

#[test]
fn a_reset_begins_both_counts_anew() {
    let mut world = World::new();
    for mid in 0..3 {
        world.push_i("BE", 1, (mid, 0), b"x").unwrap();
        world.push_i("BEU", 1, (mid, 0), b"x").unwrap();
    }
    world.push_i("B", 1, (3, 0), b"half").unwrap();
    world.push_i("BU", 1, (3, 0), b"half").unwrap();
    world.push_i("B", 2, (0, 0), b"x").unwrap();
    assert_eq!(world.texts(1).len(), 6);
    world.reassembly.reset(StreamId(1), &mut world.events);
    world.reassembly.reset_taken(StreamId(1), &mut world.events);
    world.push_i("BE", 1, (0, 0), b"anew").unwrap();
    world.push_i("BEU", 1, (0, 0), b"anew").unwrap();
    assert_eq!(world.texts(1), ["anew", "anew"]);
    assert_eq!(world.reassembly.allocated(), 1 + OVERHEAD, "stream 2 is as it was");
}

proptest! {
    /// Messages on some streams, ordered and not, whose fragments arrive in random order.
    #[test]
    fn any_interleaving(messages in proptest::collection::vec((0u16..3, any::<bool>(), 1u32..6), 1..20), seed in any::<u64>()) {
        use rand::seq::SliceRandom;
        let mut fragments = Vec::new();
        let mut expected: BTreeMap<(u16, bool), Vec<String>> = BTreeMap::new();
        for (index, (stream, unordered, length)) in messages.into_iter().enumerate() {
            let sent = expected.entry((stream, unordered)).or_default();
            let mid = sent.len() as u32;
            let mut whole = String::new();
            for fsn in 0..length {
                let flags = [
                    if fsn == 0 { "B" } else { "" },
                    if fsn + 1 == length { "E" } else { "" },
                    if unordered { "U" } else { "" },
                ]
                .concat();
                let text = format!("{}{index}.{fsn};", if unordered { "u" } else { "o" });
                whole += &text;
                fragments.push((flags, stream, (mid, fsn), text));
            }
            sent.push(whole);
        }
        fragments.shuffle(&mut peerline_sim::rng(seed));
        let mut world = World::new();
        for (flags, stream, number, text) in fragments {
            world.push_i(&flags, stream, number, text.as_bytes()).unwrap();
        }
        for stream in 0..3 {
            let mut texts = world.texts(stream);
            let ordered: Vec<String> = texts.extract_if(.., |text| text.starts_with('o')).collect();
            texts.sort();
            let mut unordered = expected.remove(&(stream, true)).unwrap_or_default();
            unordered.sort();
            prop_assert_eq!(ordered, expected.remove(&(stream, false)).unwrap_or_default());
            prop_assert_eq!(texts, unordered);
        }
        prop_assert_eq!(world.reassembly.allocated(), 0);
    }
}

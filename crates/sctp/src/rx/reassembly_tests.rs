//! Fragments in every order, and the account of what they occupy.

use super::*;
use crate::wire::Data;
use peerline_wire::Serial32;
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
        self.reassembly.push(tsn, in_order, &data, &datagram, &mut self.events)
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
        .push(101, true, &data, &datagram, &mut world.events)
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
            .push(100, true, &data, &datagram, &mut world.events)
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

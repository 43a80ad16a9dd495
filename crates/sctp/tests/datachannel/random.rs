//! Random operations at both ends of a bad network: in the end both agree.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use peerline_sctp::datachannel::{ChannelId, ChannelInit, Channels, Event, Message, State};
use peerline_sim::{Pair, for_each_seed, rng};
use rand::RngExt;
use rand::rngs::StdRng;

use crate::{Peer, bad_link, connected};

/// What one end did and saw with a channel; channels are told apart by label.
#[derive(Debug, Default)]
struct Seen {
    sent: Vec<u32>,
    received: Vec<u32>,
    closed_it: bool,
}

#[derive(Default)]
struct Model {
    /// For each end.
    seen: [BTreeMap<String, Seen>; 2],
    made: u32,
    messages: u32,
}

/// State, id, ordered, limits.
type Properties = (State, u16, bool, Option<u16>, Option<u16>);

fn ends(pair: &mut Pair<Peer>) -> [&mut Channels; 2] {
    [&mut pair.a.0, &mut pair.b.0]
}

fn label(peer: &Channels, id: ChannelId) -> String {
    peer.channel(id).expect("it exists").label().to_owned()
}

impl Model {
    fn act(&mut self, rng: &mut StdRng, pair: &mut Pair<Peer>) {
        let now = pair.now();
        let who = rng.random_range(0..2);
        if rng.random_bool(0.03) {
            return self.agree_on_one(now, pair);
        }
        let peer = &mut *ends(pair)[who];
        match rng.random_range(0..20) {
            0..2 => {
                self.made += 1;
                let limit = rng.random_range(0..4);
                let init = ChannelInit {
                    ordered: rng.random(),
                    max_retransmits: (limit == 1).then(|| rng.random_range(0..3)),
                    max_packet_life_time: (limit == 2).then(|| rng.random_range(0..300)),
                    ..ChannelInit::new(format!("{who}.{}", self.made))
                };
                peer.open(now, init).expect("a channel");
            }
            2..4 => self.close_one(rng, who, now, peer),
            4..7 => self.read(who, peer),
            _ => {
                let open: Vec<_> = peer
                    .iter()
                    .filter(|(_, channel)| channel.state() == State::Open)
                    .map(|(id, _)| id)
                    .collect();
                if open.is_empty() {
                    return;
                }
                let id = open[rng.random_range(0..open.len())];
                self.messages += 1;
                let mut payload = self.messages.to_be_bytes().to_vec();
                payload.resize(4 + rng.random_range(0..3000), 0);
                if peer.send(now, id, payload).is_ok() {
                    let seen = self.seen[who].entry(label(peer, id)).or_default();
                    seen.sent.push(self.messages);
                }
            }
        }
    }

    fn agree_on_one(&mut self, now: Instant, pair: &mut Pair<Peer>) {
        self.made += 1;
        let id = 1000 + u16::try_from(self.made).expect("a few hundred");
        for peer in ends(pair) {
            let init = ChannelInit {
                negotiated: Some(id),
                ..ChannelInit::new(format!("agreed.{}", self.made))
            };
            peer.open(now, init).expect("a channel");
        }
    }

    fn close_one(&mut self, rng: &mut StdRng, who: usize, now: Instant, peer: &mut Channels) {
        let ids: Vec<_> = peer
            .iter()
            .filter(|(_, it)| it.state() != State::Closed)
            .map(|(id, _)| id)
            .collect();
        if ids.len() < 3 {
            return;
        }
        let id = ids[rng.random_range(0..ids.len())];
        self.seen[who].entry(label(peer, id)).or_default().closed_it = true;
        peer.close(now, id);
    }

    fn read(&mut self, who: usize, peer: &mut Channels) {
        let ids: Vec<_> = peer.iter().map(|(id, _)| id).collect();
        for id in ids {
            while let Some(message) = peer.recv(id) {
                let Message::Binary(bytes) = message else {
                    panic!("only bytes were sent")
                };
                let number = u32::from_be_bytes(bytes[..4].try_into().expect("four bytes"));
                self.seen[who].entry(label(peer, id)).or_default().received.push(number);
            }
        }
    }

    /// Both ends agree about every channel.
    fn agree(&self, pair: &Pair<Peer>) {
        let properties = |peer: &Channels| -> BTreeMap<String, Properties> {
            let all = peer.iter().map(|(_, it)| {
                let id = it.id().expect("it was chosen");
                let limits = (it.max_retransmits(), it.max_packet_life_time());
                (
                    it.label().to_owned(),
                    (it.state(), id, it.ordered(), limits.0, limits.1),
                )
            });
            all.collect()
        };
        let (a, b) = (properties(&pair.a), properties(&pair.b));
        for (label, mine) in a.iter().chain(&b) {
            let (Some(one), Some(other)) = (a.get(label), b.get(label)) else {
                // Closed before its OPEN was sent.
                assert_eq!(mine.0, State::Closed, "{label} is known to one end only");
                continue;
            };
            assert_eq!(one, other, "{label}");
            self.agree_about(label, *one);
        }
    }

    fn agree_about(&self, label: &str, (state, _, ordered, ..): Properties) {
        let nothing = Seen::default();
        let [a, b] = [0, 1].map(|who| self.seen[who].get(label).unwrap_or(&nothing));
        assert!(
            state == State::Open || (state == State::Closed && (a.closed_it || b.closed_it)),
            "{label}: {state:?}"
        );
        for (from, to) in [(a, b), (b, a)] {
            let mut received = to.received.clone();
            if ordered {
                assert!(received.is_sorted(), "{label}: {received:?}");
            }
            received.sort_unstable();
            received.dedup();
            assert_eq!(received.len(), to.received.len(), "{label}: nothing arrives twice");
            assert!(
                received.iter().all(|number| from.sent.contains(number)),
                "{label}: from another channel"
            );
        }
    }

    /// What was sent on a reliable channel arrived, all of it and nothing else, unless the receiver closed the channel.
    fn everything_reliable_arrived(&self, pair: &Pair<Peer>) -> usize {
        let nothing = Seen::default();
        let mut checked = 0;
        for (_, channel) in pair.a.iter() {
            if channel.max_retransmits().is_some() || channel.max_packet_life_time().is_some() {
                continue;
            }
            let [a, b] = [0, 1].map(|who| self.seen[who].get(channel.label()).unwrap_or(&nothing));
            for (from, to) in [(a, b), (b, a)] {
                // The end that closes reads no more, and neither does one whose peer has closed send any more.
                if to.closed_it {
                    continue;
                }
                let mut received = to.received.clone();
                received.sort_unstable();
                assert_eq!(received, from.sent, "{}", channel.label());
                checked += received.len();
            }
        }
        checked
    }
}

#[test]
fn both_ends_agree_after_random_operations() {
    let mut checked = 0;
    for_each_seed(0..25, |seed| {
        let mut rng = rng(seed);
        let mut pair = connected(seed, &bad_link());
        let mut model = Model::default();
        for _ in 0..400 {
            model.act(&mut rng, &mut pair);
            pair.run_for(Duration::from_millis(rng.random_range(0..40)));
        }
        let quiet = |peer: &Channels| {
            peer.iter()
                .all(|(_, it)| matches!(it.state(), State::Open | State::Closed))
        };
        pair.expect("quiet", Duration::from_secs(600), |pair| {
            model.read(0, &mut pair.a);
            model.read(1, &mut pair.b);
            quiet(&pair.a) && quiet(&pair.b) && {
                let empty = |peer: &Channels| peer.iter().all(|(id, _)| peer.buffered_amount(id) == 0);
                empty(&pair.a) && empty(&pair.b)
            }
        });
        for _ in 0..300 {
            pair.run_for(Duration::from_millis(100));
            model.read(0, &mut pair.a);
            model.read(1, &mut pair.b);
        }
        model.agree(&pair);
        checked += model.everything_reliable_arrived(&pair);
        let errors = |events: Vec<Event>| {
            events
                .into_iter()
                .filter(|event| matches!(event, Event::Error(..)))
                .count()
        };
        assert_eq!((errors(pair.take_events_a()), errors(pair.take_events_b())), (0, 0));
        let open = |peer: &Channels| peer.iter().filter(|(_, it)| it.state() == State::Open).count();
        assert_eq!(
            (pair.a.streams_in_use(), pair.b.streams_in_use()),
            (open(&pair.a), open(&pair.b))
        );
    });
    assert!(checked > 1000, "only {checked} messages were checked");
}

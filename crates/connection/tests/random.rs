//! Two connections behind bad links agree after whatever both sides do.

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::Lab;
use peerline_connection::{
    ChannelId, ConnectionState, DataChannelInit, DataChannelState, Event, Message, OfferOptions, SessionDescription,
    SignalingState,
};
use peerline_sim::{Link, for_each_seed, rng};
use rand::RngExt;
use rand::rngs::StdRng;

/// What the test knows of one channel, by its label: who has it under which name, and what was sent and received at each end.
#[derive(Default)]
struct Known {
    ids: [Option<ChannelId>; 2],
    sent: [Vec<String>; 2],
    received: [Vec<String>; 2],
    closed: bool,
}

struct Run {
    lab: Lab,
    rng: StdRng,
    channels: BTreeMap<String, Known>,
    counter: u32,
    restarts: u32,
}

impl Run {
    /// One thing that an application might do, at either side.
    fn operate(&mut self) {
        let who = self.rng.random_range(0..2);
        self.counter += 1;
        match self.rng.random_range(0..10) {
            0 => {
                let label = format!("channel {}", self.counter);
                let id = self.lab.open(who, &label, DataChannelInit::default());
                self.channels.entry(label).or_default().ids[who] = Some(id);
            }
            1 => self.close_one(who),
            2 if self.lab.peer(who).signaling_state() == SignalingState::Stable => {
                let ice_restart = self.rng.random_bool(0.5);
                self.restarts += u32::from(ice_restart);
                self.lab.offer(who, OfferOptions { ice_restart });
            }
            3 => {
                // An offer that is never signalled, and taken back.
                self.lab.with_peer(who, |peer, now| {
                    if peer.signaling_state() == SignalingState::Stable {
                        let offer = peer.create_offer(OfferOptions { ice_restart: true }).expect("an offer");
                        peer.set_local_description(now, offer).expect("it is ours");
                        peer.set_local_description(now, SessionDescription::rollback())
                            .expect("it is taken back");
                    }
                });
            }
            4..=7 => self.send_one(who),
            _ => {}
        }
        let pause = self.rng.random_range(0..120);
        self.lab.run_for(Duration::from_millis(pause));
        self.read();
    }

    /// A channel that is open at this side.
    fn open_channel(&mut self, who: usize) -> Option<(String, ChannelId)> {
        let open: Vec<_> = self
            .channels
            .iter()
            .filter_map(|(label, known)| Some((label.clone(), known.ids[who]?)))
            .filter(|(_, id)| {
                let channel = self.lab.peer(who).channel(*id);
                channel.is_some_and(|channel| channel.ready_state() == DataChannelState::Open)
            })
            .collect();
        (!open.is_empty()).then(|| open[self.rng.random_range(0..open.len())].clone())
    }

    fn close_one(&mut self, who: usize) {
        if let Some((label, id)) = self.open_channel(who) {
            self.lab.with_peer(who, |peer, now| peer.close_channel(now, id));
            self.channels.get_mut(&label).expect("it is known").closed = true;
        }
    }

    fn send_one(&mut self, who: usize) {
        let Some((label, id)) = self.open_channel(who) else {
            return;
        };
        let text = format!("{} {}", self.counter, "x".repeat(self.rng.random_range(0..3000)));
        self.lab.send(who, id, text.as_str());
        self.channels.get_mut(&label).expect("it is known").sent[who].push(text);
    }

    /// Takes in what both sides received: channels first, then messages.
    fn read(&mut self) {
        for who in 0..2 {
            for event in std::mem::take(&mut self.lab.events[who]) {
                if let Event::DataChannel(id) = event {
                    let label = self.lab.peer(who).channel(id).expect("it is new").label().to_owned();
                    self.channels.entry(label).or_default().ids[who] = Some(id);
                }
            }
            for known in self.channels.values_mut() {
                let Some(id) = known.ids[who] else { continue };
                while let Some(message) = self.lab.recv(who, id) {
                    let Message::Text(text) = message else {
                        panic!("only text was sent")
                    };
                    known.received[who].push(text);
                }
            }
        }
    }

    fn settle(&mut self) {
        for _ in 0..200 {
            self.lab.run_for(Duration::from_millis(100));
            self.read();
        }
    }

    fn check(&self) {
        for who in 0..2 {
            assert_eq!(
                self.lab.peer(who).connection_state(),
                ConnectionState::Connected,
                "peer {who}"
            );
            assert_eq!(
                self.lab.peer(who).signaling_state(),
                SignalingState::Stable,
                "peer {who}"
            );
        }
        let mids = |who: usize| {
            let sdp = self.lab.peer(who).local_description().expect("one was set").sdp;
            sdp.lines()
                .filter(|line| line.starts_with("a=mid:") || line.starts_with("m="))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(mids(0), mids(1), "both have the same media sections");
        for (label, known) in &self.channels {
            let ends = [0, 1].map(|who| {
                let channel = known.ids[who].and_then(|id| self.lab.peer(who).channel(id));
                channel.map(|channel| (channel.id(), channel.ready_state()))
            });
            if known.closed {
                for end in ends.into_iter().flatten() {
                    assert_eq!(end.1, DataChannelState::Closed, "{label}");
                }
            } else {
                assert_eq!(ends[0], ends[1], "{label}");
                assert_eq!(ends[0].expect("both have it").1, DataChannelState::Open, "{label}");
            }
            for (from, to) in [(0, 1), (1, 0)] {
                let (sent, received) = (&known.sent[from], &known.received[to]);
                assert!(sent.starts_with(received), "{label}: in order, once, nothing else");
                assert!(
                    known.closed || sent.len() == received.len(),
                    "{label}: everything arrived"
                );
            }
        }
    }
}

#[test]
fn both_ends_agree_after_random_operations() {
    let link = Link {
        loss: 0.03,
        reorder: 0.05,
        duplicate: 0.02,
        ..Link::delay(Duration::from_millis(15))
    };
    let (mut messages, mut closed, mut restarts) = (0, 0, 0);
    for_each_seed(0..40, |seed| {
        let (lab, ids) = Lab::connected(seed, link.clone());
        let first = Known {
            ids: ids.map(Some),
            ..Known::default()
        };
        let channels = BTreeMap::from([("chat".to_owned(), first)]);
        let mut run = Run {
            lab,
            rng: rng(seed),
            channels,
            counter: 0,
            restarts: 0,
        };
        for _ in 0..80 {
            run.operate();
        }
        run.settle();
        run.check();
        messages += run
            .channels
            .values()
            .flat_map(|known| &known.received)
            .map(Vec::len)
            .sum::<usize>();
        closed += run.channels.values().filter(|known| known.closed).count();
        restarts += run.restarts;
    });
    assert!(
        messages > 500 && closed > 100 && restarts > 80,
        "{messages} messages, {closed} closed, {restarts} restarts"
    );
}

//! What waits to be sent or acknowledged always has a timer that moves it, whatever the peer says of it; and once the peer
//! is honest, everything ends.

mod common;
use common::attacked::{Attacked, attacked_in};
use common::*;
use peerline_sctp::CongestionControl;
use peerline_sctp::wire::{Chunk, Data, FragmentPlace, GapBlock, IData, Packet, Sack, Shutdown};
use peerline_wire::Serial32;
use std::collections::BTreeSet;

/// A peer that may have received anything, and may say anything.
struct Peer {
    target: Attacked,
    /// TSNs less the first, of what arrived and of all that was sent.
    received: BTreeSet<u32>,
    sent: u32,
    /// All before was received, or given up; and what the target has been told.
    cumulative: u32,
    told: u32,
    /// Something has come that is to be acknowledged.
    asked: bool,
    has_shut_down: bool,
    /// Messages sent to the target.
    messages: u32,
}

impl Peer {
    fn new(mut target: Attacked) -> Self {
        // What the target sent before is acknowledged.
        packets(&mut target.association, target.now);
        Self {
            target,
            received: BTreeSet::new(),
            sent: 0,
            cumulative: 0,
            told: 0,
            asked: false,
            has_shut_down: false,
            messages: 0,
        }
    }

    fn tsn(&self, count: u32) -> Serial32 {
        self.target.last_sent.add(count)
    }

    /// Takes what the target sends; `loses` decides which packets are lost.
    fn fetch(&mut self, mut loses: impl FnMut() -> bool) {
        for packet in packets(&mut self.target.association, self.target.now) {
            let lost = loses();
            for chunk in Packet::decode(&packet).unwrap().chunks() {
                let offset = |tsn: Serial32| self.target.last_sent.distance_to(tsn) as u32;
                match Chunk::decode(chunk.unwrap()).unwrap() {
                    Chunk::Data(data) => self.arrives(offset(data.tsn), lost),
                    Chunk::IData(data) => self.arrives(offset(data.tsn), lost),
                    Chunk::ForwardTsn(forward) => self.skips(offset(forward.new_cumulative_tsn), lost),
                    Chunk::IForwardTsn(forward) => self.skips(offset(forward.new_cumulative_tsn), lost),
                    Chunk::Shutdown(_) | Chunk::ShutdownAck => self.has_shut_down = true,
                    _ => {}
                }
            }
        }
    }

    /// Something that the target acknowledges together with what it sends.
    fn send(&mut self, interleaving: bool) {
        let data = self.target.data(self.messages, 1, b"x");
        let chunk = if interleaving {
            Chunk::IData(IData {
                immediate: false,
                unordered: false,
                ending: true,
                tsn: data.tsn,
                stream: data.stream,
                mid: Serial32(self.messages),
                place: FragmentPlace::First(data.ppid),
                payload: data.payload,
            })
        } else {
            Chunk::Data(Data {
                unordered: true,
                ..data
            })
        };
        self.target.send(&[chunk]);
        self.messages += 1;
    }

    fn arrives(&mut self, number: u32, lost: bool) {
        self.sent = self.sent.max(number);
        if !lost {
            self.asked = true;
            self.received.insert(number);
            self.advance(0);
        }
    }

    fn skips(&mut self, to: u32, lost: bool) {
        self.sent = self.sent.max(to);
        if !lost {
            self.asked = true;
            self.advance(to);
        }
    }

    fn advance(&mut self, to: u32) {
        self.cumulative = self.cumulative.max(to);
        while self.received.contains(&(self.cumulative + 1)) {
            self.cumulative += 1;
        }
    }

    fn sack(&mut self, cumulative: u32, window: u32, blocks: &[(u32, u32)], duplicates: &[u32]) {
        self.told = self.told.max(cumulative);
        let tsn = self.tsn(cumulative);
        let duplicates: Vec<_> = duplicates.iter().map(|&number| self.tsn(number)).collect();
        let blocks: Vec<_> = blocks
            .iter()
            .map(|&(start, end)| GapBlock {
                start: (start - cumulative) as u16,
                end: (end - cumulative) as u16,
            })
            .collect();
        self.target
            .write(|out| Sack::write(out, tsn, window, blocks.into_iter(), duplicates.into_iter()));
    }

    fn honest_sack(&mut self) {
        let mut blocks: Vec<(u32, u32)> = Vec::new();
        for &number in self.received.range(self.cumulative + 1..) {
            match blocks.last_mut() {
                Some((_, end)) if *end + 1 == number => *end = number,
                _ => blocks.push((number, number)),
            }
        }
        self.sack(self.cumulative, 1 << 20, &blocks, &[]);
    }

    /// Some of what has arrived, or was sent; taken back the next time.
    fn lying_sack(&mut self, rng: &mut impl Rng) {
        let cumulative = rng.random_range(self.told.saturating_sub(2)..=self.cumulative.max(self.told));
        let mut blocks = Vec::new();
        let mut at = cumulative + 2;
        while at <= self.sent && rng.random_bool(0.7) {
            let start = rng.random_range(at..=self.sent);
            let end = rng.random_range(start..=self.sent.min(start + 5));
            blocks.push((start, end));
            at = end + 2;
        }
        let window = [0, 0, 1_500, 20_000, 1 << 20][rng.random_range(0..5)];
        let duplicates = if rng.random_bool(0.2) { vec![cumulative] } else { vec![] };
        self.sack(cumulative, window, &blocks, &duplicates);
    }

    /// The cumulative TSN of a SHUTDOWN may contradict what the last SACK said behind a gap.
    fn shut_down(&mut self, rng: &mut impl Rng) {
        self.lying_sack(rng);
        let cumulative_tsn = self.tsn(rng.random_range(self.told..=self.cumulative.max(self.told)));
        self.told = self.told.max(self.target.last_sent.distance_to(cumulative_tsn) as u32);
        self.target.send(&[Chunk::Shutdown(Shutdown { cumulative_tsn })]);
    }

    /// Laws 4 and 5, and: who waits has a timer.
    fn check(&self) {
        let association = &self.target.association;
        let stats = association.stats();
        let buffered: usize = (0..4).map(|stream| association.buffered_amount(StreamId(stream))).sum();
        let timeout = association.poll_timeout();
        assert!(timeout.is_none_or(|at| at > self.target.now), "it spins");
        if stats.unacked_data > 0 || buffered > 0 || self.sent > self.told {
            assert!(
                timeout.is_some_and(|at| at <= self.target.now + 61 * SECOND),
                "{timeout:?} with {buffered} bytes buffered, {stats:?}"
            );
        }
    }

    /// Lets time pass until the next timer, or for so long.
    fn wait(&mut self, most: Duration) {
        let until = self.target.now + most;
        let timeout = self.target.association.poll_timeout();
        self.target.now = timeout.map_or(until, |at| at.min(until));
        self.target.association.handle_timeout(self.target.now);
    }
}

fn options(rng: &mut impl Rng) -> SendOptions {
    SendOptions {
        ordered: rng.random(),
        reliability: match rng.random_range(0..5) {
            0 => Reliability::MaxRetransmits(rng.random_range(0..3)),
            1 | 2 => Reliability::MaxLifetime(rng.random_range(0..2000) * MS),
            _ => Reliability::Reliable,
        },
    }
}

fn expiring(rng: &mut impl Rng) -> SendOptions {
    SendOptions {
        ordered: rng.random(),
        reliability: Reliability::MaxLifetime(rng.random_range(0..2000) * MS),
    }
}

#[test]
fn what_waits_has_a_timer_and_an_end() {
    let controllers = [
        CongestionControl::NewReno,
        CongestionControl::Cubic,
        CongestionControl::ModelBased,
    ];
    for_each_seed(0..1500, |seed| {
        let mut rng = rng(seed);
        let interleaving = seed % 2 == 0;
        let mut peer = Peer::new(attacked_in(interleaving, |config| {
            config.congestion_control = controllers[seed as usize % 3];
            config.max_retransmits = 10_000;
            // No other timers.
            config.heartbeat_interval = Duration::ZERO;
            config.max_mtu = 0;
        }));
        let busy = [0.3, 0.05][seed as usize / 2 % 2];
        let expires = seed / 4 % 2 == 0;
        for _ in 0..400 {
            if rng.random_bool(busy) {
                let (len, stream) = (rng.random_range(1..6_000), StreamId(rng.random_range(0..4)));
                let now = peer.target.now;
                let options = if expires { expiring(&mut rng) } else { options(&mut rng) };
                let _ = peer.target.association.send(now, stream, message(len, 1), options);
            }
            if rng.random_bool(0.1) {
                peer.send(interleaving);
            }
            match rng.random_range(0..4) {
                0 => peer.wait(3 * SECOND),
                1 => peer.wait(30 * MS),
                2 => peer.lying_sack(&mut rng),
                _ => peer.honest_sack(),
            }
            let loss = rng.random_range(0.0..1.0);
            peer.fetch(|| rng.random_bool(loss));
            assert!(
                !peer.target.association.is_closed(),
                "{:?}",
                events(&mut peer.target.association)
            );
            peer.check();
        }
        if rng.random() {
            peer.target.association.shutdown(peer.target.now);
        } else {
            peer.shut_down(&mut rng);
        }
        // From now on the peer is honest, and says nothing that it is not asked for.
        let start = peer.target.now;
        peer.honest_sack();
        while !peer.has_shut_down {
            peer.fetch(|| false);
            peer.check();
            if std::mem::take(&mut peer.asked) {
                peer.honest_sack();
                peer.fetch(|| false);
            }
            peer.wait(20 * MS);
            let took = peer.target.now - start;
            assert!(took < 150 * SECOND, "{:?}", peer.target.association.stats());
        }
        assert_eq!(peer.told, peer.sent);
    });
}

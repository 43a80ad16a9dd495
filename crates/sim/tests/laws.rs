//! Each law catches the machine that breaks it, and only that one.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use peerline_sim::laws::{Hostile, Laws};
use peerline_sim::{Pair, epoch, one_path};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    ReusesTheBuffer,
    ExceedsTheMtu,
    LeavesBytesBehind,
    Spins,
    PanicsOnShortInput,
    ClosesOnGarbage,
    GoesBackInTime,
    AnnouncesTwice,
    AnnouncesOnce,
    IsRandom,
    NeverConnects,
}

#[derive(Debug, PartialEq, Eq)]
enum News {
    Connected,
    Readable,
    Closed,
}

/// Sends numbered greetings every 40 ms; a check byte tells them from garbage.
struct Toy {
    fault: Fault,
    newest: Instant,
    due: Instant,
    sent: u8,
    connected: bool,
    inbox: VecDeque<u8>,
    announced: bool,
    news: VecDeque<News>,
}

impl Toy {
    fn new(fault: Fault, now: Instant) -> Self {
        let (inbox, news) = (VecDeque::new(), VecDeque::new());
        Self {
            fault,
            newest: now,
            due: now,
            sent: 0,
            connected: false,
            inbox,
            announced: false,
            news,
        }
    }

    fn clock(&mut self, now: Instant) -> Instant {
        self.newest = if self.fault == Fault::GoesBackInTime {
            now
        } else {
            self.newest.max(now)
        };
        self.newest
    }

    #[allow(clippy::needless_pass_by_value)] // The verbs take datagrams owned.
    fn handle_datagram(&mut self, now: Instant, datagram: BytesMut) {
        self.clock(now);
        if self.fault == Fault::PanicsOnShortInput {
            assert!(datagram.len() > 1);
        }
        let ([number, check] | [number, check, _]) = datagram[..] else {
            if self.fault == Fault::ClosesOnGarbage && self.connected {
                self.news.push_back(News::Closed);
            }
            return;
        };
        if check != !number {
            return;
        }
        if !self.connected && self.fault != Fault::NeverConnects {
            self.connected = true;
            self.news.push_back(News::Connected);
        }
        self.inbox.push_back(number);
        match self.fault {
            Fault::AnnouncesTwice => self.news.push_back(News::Readable),
            _ if self.announced => {}
            _ => {
                self.announced = true;
                self.news.push_back(News::Readable);
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.clock(now);
    }

    fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<usize> {
        let now = self.clock(now);
        if now < self.due || (self.fault == Fault::Spins && self.sent >= 5) {
            if self.fault == Fault::LeavesBytesBehind && self.connected {
                out.push(0);
            }
            return None;
        }
        self.due = now + Duration::from_millis(40);
        if self.fault == Fault::ReusesTheBuffer {
            out.clear();
        }
        self.sent = self.sent.wrapping_add(1);
        out.extend([self.sent, !self.sent]);
        match self.fault {
            Fault::ExceedsTheMtu if self.sent == 9 => out.resize(out.len() + 1499, 0),
            Fault::IsRandom if self.connected => {
                out.push(COUNT.fetch_add(1, Ordering::Relaxed));
                return Some(3);
            }
            _ => return Some(2),
        }
        Some(1501)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Some(self.due)
    }

    fn poll_event(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    fn recv(&mut self) -> Option<u8> {
        let message = self.inbox.pop_front();
        self.announced &= message.is_some() || self.fault == Fault::AnnouncesOnce;
        message
    }
}

/// Goes on from run to run, as randomness does.
static COUNT: AtomicU8 = AtomicU8::new(0);

one_path! { struct Peer(Toy) -> News; }

fn check(fault: Fault, hostile: Hostile) -> Result<(), String> {
    let laws = Laws::new(|now, _seed| (Peer(Toy::new(fault, now)), Peer(Toy::new(fault, now))))
        .mtu(1200)
        .seeds(0..6)
        .limit(Duration::from_secs(10))
        .established(|peer| peer.connected)
        .closed(|news| *news == News::Closed)
        .payload(
            |news| (*news == News::Readable).then_some(0),
            |peer, _| peer.recv().is_some(),
        )
        .hostile(hostile, hostile);
    catch_unwind(AssertUnwindSafe(|| laws.check())).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .expect("a message")
    })
}

#[test]
fn a_machine_without_faults_passes() {
    check(Fault::None, Hostile::ALL).expect("no law is broken");
}

#[test]
fn each_fault_is_found() {
    for (fault, law) in [
        (Fault::ReusesTheBuffer, "law 3"),
        (Fault::ExceedsTheMtu, "law 3"),
        (Fault::LeavesBytesBehind, "law 3"),
        (Fault::Spins, "law 5"),
        (Fault::PanicsOnShortInput, "assertion failed"),
        (Fault::ClosesOnGarbage, "law 2"),
        (Fault::AnnouncesTwice, "law 6"),
        (Fault::AnnouncesOnce, "law 6"),
        (Fault::GoesBackInTime, "law 4"),
        (Fault::IsRandom, "law 8"),
        (Fault::NeverConnects, "not established"),
    ] {
        let message = check(fault, Hostile::ALL).expect_err(&format!("{fault:?} is found"));
        assert!(message.contains(law), "{fault:?}: {message}");
    }
}

#[test]
fn without_an_attacker_what_only_garbage_breaks_is_not_found() {
    check(Fault::ClosesOnGarbage, Hostile::NONE).expect("nobody sends garbage");
}

#[test]
#[should_panic(expected = "law 5")]
fn a_pair_notices_a_machine_that_spins() {
    let toy = || {
        Peer(Toy {
            sent: 5,
            ..Toy::new(Fault::Spins, epoch())
        })
    };
    let mut pair = Pair::new(0, toy(), toy());
    let _ = pair.run_until(Duration::from_secs(5), |_| false);
}

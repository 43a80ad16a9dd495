//! Two peers on a network in virtual time.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::media::{Frame, MediaPlan, Settings};
use crate::peer::{Channel, ChannelPlan, Message, News, Peer};

/// Who offers, and who is the client of DTLS: peer 0 or peer 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// The one that offers.
    pub offerer: usize,
    /// The one that sends the ClientHello, and has the even stream ids.
    pub client: usize,
}

impl Way {
    /// All four.
    pub const ALL: [Self; 4] = [
        Self { offerer: 0, client: 0 },
        Self { offerer: 0, client: 1 },
        Self { offerer: 1, client: 0 },
        Self { offerer: 1, client: 1 },
    ];
}

/// What a peer has to know when it is made.
#[derive(Clone, Copy, Debug)]
pub struct Seat {
    /// The time.
    pub now: Instant,
    /// Its address.
    pub address: SocketAddr,
    /// Whether it will be the client of DTLS. The descriptions say so too; this is for a stack that has to be configured.
    pub dtls_client: bool,
    /// What it is to send and receive.
    pub media: Settings,
}

/// Makes a peer.
pub type Maker = fn(Seat) -> Box<dyn Peer>;

/// Two peers, 0 and 1, with addresses 192.0.2.1 and 192.0.2.2.
pub struct Lab {
    peers: [Box<dyn Peer>; 2],
    /// How this connection comes about.
    pub way: Way,
    /// How many of a thousand datagrams get lost. Default 0.
    pub loss: u64,
    now: Instant,
    /// What is on its way: when it arrives, at whom, and what it is; in order of arrival, as the delay is always the same.
    network: VecDeque<(Instant, usize, Vec<u8>)>,
    random: u64,
    /// All that has happened at each.
    pub news: [Vec<News>; 2],
    /// The media sections of the latest offer, in its order.
    pub mids: Vec<String>,
}

/// How long a datagram travels.
const DELAY: Duration = Duration::from_millis(5);

/// How long anything may take, in virtual time.
const PATIENCE: Duration = Duration::from_secs(120);

/// `a=mid` of each section with media.
fn mids(sdp: &str) -> Vec<String> {
    let sections = sdp.split("\r\nm=").skip(1);
    let media = sections.filter(|section| section.starts_with("audio") || section.starts_with("video"));
    media
        .map(|section| {
            let mid = section.lines().find_map(|line| line.strip_prefix("a=mid:"));
            mid.expect("sections have names").to_owned()
        })
        .collect()
}

fn address(who: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, [1, 2][who]], 5000))
}

impl Lab {
    /// Two peers that have not met.
    #[must_use]
    pub fn new(way: Way, makers: [Maker; 2]) -> Self {
        Self::with(way, makers, [Settings::default(); 2])
    }

    /// Two peers that have not met, with settings for media of their own.
    // The time has to begin somewhere; from there on it is virtual.
    #[allow(clippy::disallowed_methods)]
    #[must_use]
    pub fn with(way: Way, makers: [Maker; 2], media: [Settings; 2]) -> Self {
        let now = Instant::now();
        let seat = |who| Seat {
            now,
            address: address(who),
            dtls_client: way.client == who,
            media: media[who],
        };
        let [zero, one] = makers;
        Self {
            peers: [zero(seat(0)), one(seat(1))],
            way,
            loss: 0,
            now,
            network: VecDeque::new(),
            random: 1,
            news: [Vec::new(), Vec::new()],
            mids: Vec::new(),
        }
    }

    /// Two peers with a channel between them, created by the offerer and open.
    #[must_use]
    pub fn connected(way: Way, makers: [Maker; 2]) -> (Self, [Channel; 2]) {
        let mut lab = Self::new(way, makers);
        lab.open(way.offerer, &ChannelPlan::new("first"));
        lab.negotiate();
        lab.expect("the first channel to open", |lab| {
            (0..2).all(|who| lab.opened(who) == [Channel(0)])
        });
        (lab, [Channel(0); 2])
    }

    /// The offer and the answer.
    pub fn negotiate(&mut self) {
        let Way { offerer, client } = self.way;
        let offer = self.peers[offerer].create_offer(self.now);
        self.mids = mids(&offer);
        assert!(offer.contains("a=setup:actpass"), "{offer}");
        // The offer leaves the choice to the answerer; here it is taken from it, since everybody takes `active` and
        // `passive` in an offer too, and the offerer has to live with either answer (RFC 8842 §5.3).
        let setup = if client == offerer {
            "a=setup:active"
        } else {
            "a=setup:passive"
        };
        let answer = self.peers[1 - offerer].create_answer(self.now, &offer.replace("a=setup:actpass", setup));
        let expected = if client == offerer {
            "a=setup:passive"
        } else {
            "a=setup:active"
        };
        assert!(answer.contains(expected), "no {expected} in {answer}");
        self.peers[offerer].accept_answer(self.now, &answer);
    }

    /// Another offer and answer on a connection that is up. It gives the answer.
    pub fn renegotiate(&mut self, offerer: usize) -> String {
        self.settle();
        let offer = self.peers[offerer].create_offer(self.now);
        self.mids = mids(&offer);
        let answer = self.peers[1 - offerer].create_answer(self.now, &offer);
        self.peers[offerer].accept_answer(self.now, &answer);
        answer
    }

    /// Negotiates and waits until both can send media.
    pub fn call(&mut self) {
        self.negotiate();
        self.expect("both to be connected", |lab| {
            lab.peers.iter_mut().all(|peer| peer.is_connected())
        });
        // What the last flight of DTLS brings about at the other side takes a moment.
        self.run_for(Duration::from_millis(200));
    }

    /// Adds to what a peer has to send or wants to receive.
    pub fn add_media(&mut self, who: usize, plan: &MediaPlan) {
        self.peers[who].add_media(self.now, plan);
    }

    /// Sends a frame in the media section of that place.
    pub fn send_frame(&mut self, who: usize, section: usize, frame: &Frame) {
        let mid = self.mids[section].clone();
        self.peers[who].send_frame(self.now, &mid, frame);
    }

    /// Presses a key in the media section of that place.
    pub fn press(&mut self, who: usize, section: usize, key: char) {
        let mid = self.mids[section].clone();
        self.peers[who].press(self.now, &mid, key);
    }

    /// The frames that have come in the media section of that place.
    pub fn frames(&self, who: usize, section: usize) -> impl Iterator<Item = &Frame> {
        let mid = &self.mids[section];
        self.news[who].iter().filter_map(move |news| match news {
            News::Frame(on, frame) if on == mid => Some(frame),
            _ => None,
        })
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// One of the peers.
    pub fn peer(&mut self, who: usize) -> &mut dyn Peer {
        &mut *self.peers[who]
    }

    /// Creates a channel.
    pub fn open(&mut self, who: usize, plan: &ChannelPlan) -> Channel {
        self.peers[who].open(self.now, plan)
    }

    /// Creates a channel and waits until it is open on both sides: by index, as each peer knows it.
    pub fn open_on_both(&mut self, who: usize, plan: &ChannelPlan) -> [Channel; 2] {
        let before = self.opened(1 - who).len();
        let own = self.open(who, plan);
        self.expect(&format!("{plan:?} of {who} to open"), |lab| {
            lab.opened(who).contains(&own) && lab.opened(1 - who).len() > before
        });
        let other = self.opened(1 - who)[before];
        if who == 0 { [own, other] } else { [other, own] }
    }

    /// Sends a message, as soon as there is room for it.
    pub fn send(&mut self, who: usize, channel: Channel, message: &Message) {
        self.expect("room for a message", |lab| {
            lab.peers[who].send(lab.now, channel, message)
        });
    }

    /// Sends a message, if there is room for it.
    pub fn try_send(&mut self, who: usize, channel: Channel, message: &Message) -> bool {
        self.peers[who].send(self.now, channel, message)
    }

    /// Closes a channel.
    pub fn close_channel(&mut self, who: usize, channel: Channel) {
        self.peers[who].close_channel(self.now, channel);
    }

    /// Closes a connection.
    pub fn close(&mut self, who: usize) {
        self.peers[who].close(self.now);
    }

    /// The channels that have opened at a peer, in that order.
    #[must_use]
    pub fn opened(&self, who: usize) -> Vec<Channel> {
        let opened = |news: &News| match news {
            News::Open(channel) => Some(*channel),
            _ => None,
        };
        self.news[who].iter().filter_map(opened).collect()
    }

    /// The messages that have come on a channel.
    pub fn received(&self, who: usize, channel: Channel) -> impl Iterator<Item = &Message> {
        self.news[who].iter().filter_map(move |news| match news {
            News::Message(on, message) if *on == channel => Some(message),
            _ => None,
        })
    }

    /// Whether this has happened at a peer.
    #[must_use]
    pub fn has(&self, who: usize, news: &News) -> bool {
        self.news[who].contains(news)
    }

    /// Lets time pass until it is so.
    ///
    /// # Panics
    /// If it does not come to that in two minutes.
    pub fn expect(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let end = self.now + PATIENCE;
        while !self.run_until(end, &mut done) {
            assert!(
                self.now < end,
                "{:?}: expected {what}; {:#?}",
                self.way,
                self.short_news()
            );
        }
    }

    /// Lets so much time pass.
    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while !self.run_until(end, &mut |lab| lab.now >= end) {}
    }

    /// The last news of each.
    fn short_news(&self) -> [&[News]; 2] {
        [0, 1].map(|who| &self.news[who][self.news[who].len().saturating_sub(10)..])
    }

    /// Takes one step in time, not past `end`, unless it is `done`.
    fn run_until(&mut self, end: Instant, done: &mut impl FnMut(&mut Self) -> bool) -> bool {
        self.settle();
        if done(self) {
            self.settle();
            return true;
        }
        self.settle();
        let arrival = self.network.front().map(|(at, ..)| *at);
        // A peer that wants to be woken in the past has been woken just now: give it a moment.
        let soon = self.now + Duration::from_millis(1);
        let timers = self
            .peers
            .iter_mut()
            .filter_map(|peer| peer.poll_timeout())
            .map(|at| at.max(soon));
        self.now = timers.chain(arrival).min().unwrap_or(end).min(end).max(self.now);
        while let Some((at, who, datagram)) = self.network.pop_front() {
            if at > self.now {
                self.network.push_front((at, who, datagram));
                break;
            }
            self.peers[who].handle_datagram(self.now, address(1 - who), &datagram);
        }
        for peer in &mut self.peers {
            if peer.poll_timeout().is_some_and(|at| at <= self.now) {
                peer.handle_timeout(self.now);
            }
        }
        false
    }

    /// What the peers have to say, to each other and to us.
    fn settle(&mut self) {
        for who in 0..2 {
            while let Some(datagram) = self.peers[who].poll_transmit(self.now) {
                if self.random() % 1000 >= self.loss {
                    self.network.push_back((self.now + DELAY, 1 - who, datagram));
                }
            }
            while let Some(news) = self.peers[who].poll_news(self.now) {
                self.news[who].push(news);
            }
        }
    }

    /// SplitMix64.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

//! A page and a Rust peer, and the signalling between them.

use crate::relay::Relay;
use peerline::{
    AddressFilter, Configuration, ConnectionState, DataChannel, DataChannelInit, DtmfTone, IceCandidate,
    PeerConnection, PeerEvent, SessionDescription, TrackEvent,
};
use peerline_browser_tests::{Browser, Page, Setup, url_of};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// Who does something first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Page,
    Rust,
}

/// How candidates travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trickle {
    /// One by one, as they are found.
    Yes,
    /// All within the description, which waits for them.
    No,
}

/// A page with a connection, and the Rust peer that it is to be connected with.
pub(crate) struct Session {
    pub(crate) page: Page,
    pub(crate) pc: PeerConnection,
    trickle: Trickle,
    /// Channels that the page opened and nobody asked for yet.
    incoming: Vec<DataChannel>,
    /// Tracks of the page, in order.
    pub(crate) tracks: Vec<TrackEvent>,
    /// Keys that were pressed at the page, in order.
    pub(crate) tones: Vec<DtmfTone>,
    /// An offer of Rust's is due.
    pub(crate) negotiation_needed: bool,
    /// What all datagrams pass, if they do not go straight.
    pub(crate) relay: Option<Relay>,
    /// Neither side learns of the other's candidates over UDP.
    pub(crate) withholds_udp: bool,
    /// Neither side learns of lines with any of these in the other's description.
    pub(crate) withholds: &'static [&'static str],
    /// Connection states of the Rust peer, in order.
    pub(crate) states: Vec<ConnectionState>,
}

/// The longest wait for anything that is not meant to take long.
const PATIENCE: Duration = Duration::from_secs(15);

impl Session {
    /// Opens `name` of the folder `pages`; nothing is negotiated yet.
    pub(crate) async fn open(browser: Browser, name: &str) -> Self {
        Self::open_with(browser, Setup::OpenAddresses, Trickle::Yes, name).await
    }

    pub(crate) async fn open_with(browser: Browser, setup: Setup, trickle: Trickle, name: &str) -> Self {
        let configuration = Configuration {
            loopback: true,
            ..Configuration::default()
        };
        let page = Page::open(browser, setup, name);
        Self::open_on(page, trickle, configuration).await
    }

    /// Opens a page that reaches Rust only through `relay`.
    pub(crate) async fn open_behind(relay: Relay, browser: Browser, name: &str) -> Self {
        Self::open_set_up_behind(relay, browser, Setup::OpenAddresses, name).await
    }

    /// The same, with a browser that is set up so.
    pub(crate) async fn open_set_up_behind(relay: Relay, browser: Browser, setup: Setup, name: &str) -> Self {
        let configuration = Configuration {
            loopback: true,
            address_filter: Some(AddressFilter::only([Ipv4Addr::LOCALHOST.into()])),
            ..Configuration::default()
        };
        let page = Page::open(browser, setup, name);
        let mut session = Self::open_on(page, Trickle::Yes, configuration).await;
        session.relay = Some(relay);
        session
    }

    /// Opens a page for a Rust side that speaks no codec at all.
    pub(crate) async fn open_without_codecs(browser: Browser, name: &str) -> Self {
        let configuration = Configuration {
            loopback: true,
            codecs: Vec::new().into(),
            ..Configuration::default()
        };
        let page = Page::open(browser, Setup::OpenAddresses, name);
        Self::open_on(page, Trickle::Yes, configuration).await
    }

    /// Opens a page for a Rust side that is set up so.
    pub(crate) async fn open_configured(browser: Browser, name: &str, configuration: Configuration) -> Self {
        Self::open_both_configured(browser, Setup::OpenAddresses, name, configuration).await
    }

    /// Opens a page of a browser that is set up so for a Rust side that is, too.
    pub(crate) async fn open_both_configured(
        browser: Browser,
        setup: Setup,
        name: &str,
        configuration: Configuration,
    ) -> Self {
        let configuration = Configuration {
            loopback: true,
            ..configuration
        };
        let page = Page::open(browser, setup, name);
        Self::open_on(page, Trickle::Yes, configuration).await
    }

    /// Opens a page of a browser that hides its addresses for a Rust side that hides its own.
    pub(crate) async fn open_hidden(browser: Browser, name: &str) -> Self {
        let configuration = Configuration {
            hide_local_addresses: true,
            ..Configuration::default()
        };
        let page = Page::open(browser, Setup::AsShipped, name);
        Self::open_on(page, Trickle::Yes, configuration).await
    }

    /// Another session on the same page, which is loaded anew.
    pub(crate) async fn again(self, name: &str) -> Self {
        let Self { page, pc, trickle, .. } = self;
        pc.close();
        page.navigate(&url_of(name));
        let configuration = Configuration {
            loopback: true,
            ..Configuration::default()
        };
        Self::open_on(page, trickle, configuration).await
    }

    async fn open_on(page: Page, trickle: Trickle, configuration: Configuration) -> Self {
        page.eval("lab.start()");
        let pc = PeerConnection::new(configuration)
            .await
            .expect("this system can make keys");
        Self {
            page,
            pc,
            trickle,
            incoming: Vec::new(),
            tracks: Vec::new(),
            tones: Vec::new(),
            negotiation_needed: false,
            relay: None,
            withholds_udp: false,
            withholds: &[],
            states: Vec::new(),
        }
    }

    /// Opens a page, creates one channel on `side`, which also offers, and connects.
    pub(crate) async fn connected(browser: Browser, name: &str, label: &str, side: Side) -> (Self, DataChannel) {
        let mut session = Self::open(browser, name).await;
        let channel = session.create(side, label, DataChannelInit::default());
        session.connect(side).await;
        let channel = match channel {
            Some(channel) => channel,
            None => session.channel(label).await,
        };
        opened(&channel).await;
        (session, channel)
    }

    /// Creates a channel on `side`; the Rust side has it at once.
    pub(crate) fn create(&self, side: Side, label: &str, init: DataChannelInit) -> Option<DataChannel> {
        match side {
            Side::Rust => Some(
                self.pc
                    .create_data_channel(label, init)
                    .expect("the parameters are fine"),
            ),
            Side::Page => {
                self.page.call(
                    "(label, init) => { lab.create(label, init) }",
                    &[json!(label), init_json(&init)],
                );
                None
            }
        }
    }

    /// Negotiates, and waits until both sides say `connected`.
    pub(crate) async fn connect(&mut self, offerer: Side) {
        self.connect_with(offerer, "lab.answer", |_| ()).await;
    }

    /// [`negotiate_with`](Self::negotiate_with), and the same wait.
    pub(crate) async fn connect_with(&mut self, offerer: Side, answer: &str, before_answer: impl FnOnce(&Self)) {
        let start = Instant::now();
        self.negotiate_with(offerer, answer, before_answer).await;
        self.pump("both sides to be connected", |session| {
            session.pc.connection_state() == ConnectionState::Connected
                && session.page.eval("lab.pc.connectionState") == "connected"
        })
        .await;
        eprintln!("{:?} offers to connected: {:?}", offerer, start.elapsed());
    }

    /// One offer and one answer.
    pub(crate) async fn negotiate(&mut self, offerer: Side) {
        self.negotiate_with(offerer, "lab.answer", |_| ()).await;
    }

    /// One offer and one answer, made by the page's function `answer`, or by Rust once it has done `before_answer`.
    pub(crate) async fn negotiate_with(&mut self, offerer: Side, answer: &str, before_answer: impl FnOnce(&Self)) {
        if self.pc.remote_description().is_some() {
            // A candidate that comes after its generation has ended is rightly refused.
            self.page.eval("lab.gathered()");
            self.carry_candidates().await;
        }
        match offerer {
            Side::Page => {
                let offer = self.page_description("lab.offer()").await;
                self.apply(offer);
                before_answer(self);
                self.pc
                    .set_local_description(None)
                    .expect("there is an offer to answer");
                let answer = self.rust_description().await;
                self.page.call("lab.accept", &[answer]);
            }
            Side::Rust => {
                self.pc.set_local_description(None).expect("an offer fits");
                let offer = self.rust_description().await;
                let answer = self.page_description(&format!("{answer}({offer})")).await;
                self.apply(answer);
            }
        }
    }

    pub(crate) fn apply(&self, description: SessionDescription) {
        let text = description.sdp.clone();
        self.pc
            .set_remote_description(description)
            .unwrap_or_else(|error| panic!("{error}\n{text}"));
    }

    /// What the page's `expression` makes, or, without trickle, what has become of it when gathering is done.
    async fn page_description(&self, expression: &str) -> SessionDescription {
        let description = self.page.eval(expression);
        let mut description: SessionDescription = match self.trickle {
            Trickle::Yes => from_json(&description),
            Trickle::No => from_json(&self.page.eval("lab.gathered()")),
        };
        self.withhold(&mut description);
        description
    }

    async fn rust_description(&self) -> Value {
        if self.trickle == Trickle::No {
            within("gathering", self.pc.gathering_complete()).await;
        }
        let mut description = self.pc.local_description().expect("it was set");
        if self.relay.is_some() {
            let lines = description.sdp.split_inclusive('\n');
            description.sdp = lines.filter(|line| !line.starts_with("a=candidate:")).collect();
        }
        self.withhold(&mut description);
        to_json(description)
    }

    /// Takes out that of which the other side is not to learn.
    fn withhold(&self, description: &mut SessionDescription) {
        let lines = description.sdp.split_inclusive('\n');
        description.sdp = lines
            .filter(|line| !self.is_withheld(line) && !self.withholds.iter().any(|part| line.contains(part)))
            .collect();
    }

    fn is_withheld(&self, candidate: &str) -> bool {
        self.withholds_udp && candidate.contains("candidate:") && candidate.to_lowercase().contains(" udp ")
    }

    /// Carries candidates both ways, and notes events, until `done`.
    pub(crate) async fn pump(&mut self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        self.pump_within(PATIENCE, what, &mut done).await;
    }

    pub(crate) async fn pump_within(&mut self, limit: Duration, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + limit;
        while !done(self) {
            assert!(
                Instant::now() < deadline,
                "waited {limit:?} for {what}; states {:?}, {:?}",
                self.states,
                self.pc
            );
            self.carry_candidates().await;
        }
    }

    async fn carry_candidates(&mut self) {
        let candidates: Vec<Option<IceCandidate>> = from_json(&self.page.eval("lab.take()"));
        for candidate in candidates {
            let is_withheld = candidate
                .as_ref()
                .is_some_and(|candidate| self.is_withheld(&candidate.candidate));
            if self.trickle == Trickle::Yes && self.relay.is_none() && !is_withheld {
                match self.pc.add_ice_candidate(candidate) {
                    // Candidates and the page's goodbye take different ways here: some come after it.
                    Ok(()) | Err(peerline::Error::Refused(peerline::Refusal::Closed)) => {}
                    Err(error) => panic!("the page's candidates are fine: {error}"),
                }
            }
        }
        self.note_events(Duration::from_millis(10)).await;
    }

    /// Takes what has happened, waiting for the first event for `wait` at most.
    pub(crate) async fn note_events(&mut self, mut wait: Duration) {
        while let Ok(Some(event)) = timeout(wait, self.pc.next_event()).await {
            wait = Duration::from_millis(1);
            match event {
                PeerEvent::IceCandidate(Some(candidate)) if self.is_withheld(&candidate.candidate) => {}
                PeerEvent::IceCandidate(candidate) if self.trickle == Trickle::Yes => {
                    let mut candidate = to_json(candidate);
                    if let Some(relay) = &self.relay {
                        candidate = relay.replace(candidate).await;
                    }
                    self.page.call("lab.add", &[candidate]);
                }
                PeerEvent::DataChannel(channel) => self.incoming.push(channel),
                PeerEvent::Track(track) => self.tracks.push(track),
                PeerEvent::DtmfTone { tone, .. } => self.tones.push(tone),
                PeerEvent::NegotiationNeeded => self.negotiation_needed = true,
                PeerEvent::ConnectionState(state) => self.states.push(state),
                _ => {}
            }
        }
    }

    /// The channel that the page opened with this label.
    pub(crate) async fn channel(&mut self, label: &str) -> DataChannel {
        let mut found = None;
        let here = |session: &Self| session.incoming.iter().position(|channel| channel.label() == label);
        self.pump(&format!("the page's channel {label:?}"), |session| {
            found = here(session);
            found.is_some()
        })
        .await;
        self.incoming.swap_remove(found.expect("the wait was for it"))
    }
}

/// Waits for something that should not take long.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("waited {PATIENCE:?} for {what}"))
}

pub(crate) async fn opened(channel: &DataChannel) {
    within("the channel to open", channel.opened())
        .await
        .expect("the channel opens");
}

/// The next message, which has to come.
pub(crate) async fn receive(channel: &DataChannel) -> peerline::Message {
    within("a message", channel.recv())
        .await
        .expect("the channel is not closed")
}

pub(crate) fn to_json(value: impl serde::Serialize) -> Value {
    serde_json::to_value(value).expect("it is JSON")
}

pub(crate) fn from_json<T: DeserializeOwned>(value: &Value) -> T {
    T::deserialize(value).unwrap_or_else(|error| panic!("{error}: {value}"))
}

/// As `createDataChannel` takes it.
fn init_json(init: &DataChannelInit) -> Value {
    let mut object = json!({"ordered": init.ordered, "protocol": init.protocol, "negotiated": init.negotiated});
    let numbers = [
        ("maxRetransmits", init.max_retransmits),
        ("maxPacketLifeTime", init.max_packet_life_time),
        ("id", init.id),
    ];
    for (name, number) in numbers {
        if let Some(number) = number {
            object[name] = json!(number);
        }
    }
    object
}

//! The candidate pool: what servers have given before anybody was told of it, when there are other servers then.

mod common;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use common::config;
use peerline_connection::{
    Connection, DataChannelInit, Event, IceGatheringState, OfferOptions, ResolvedServer, TurnCredentials,
};
use peerline_sim::epoch;
use peerline_stun::attribute::{ErrorCode, Lifetime, Nonce, Realm, Username, XorMappedAddress, XorRelayedAddress};
use peerline_stun::{Key, Message, MessageBuilder, Method};
use peerline_wire::{Datagram, FiveTuple, Transport};

const BASE: &str = "192.0.2.1:1000";
const OLD: &str = "198.51.100.1:3478";
const NEW: &str = "198.51.100.2:3478";
const SECOND: Duration = Duration::from_secs(1);

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// What a server was asked with credentials: the method, and whether it was the end of an allocation.
type Asked = (Method, bool);

/// A connection, and servers: each sees it at another address, and allocates at its own.
struct World {
    peer: Connection,
    now: Instant,
    /// Of the configuration.
    servers: Vec<ResolvedServer>,
    asked: BTreeMap<SocketAddr, Vec<Asked>>,
    /// Those that take note of requests, and answer none.
    is_slow: bool,
    waiting: Vec<(FiveTuple, Vec<u8>)>,
    is_bound: bool,
    told: Vec<String>,
    state: IceGatheringState,
}

/// A STUN and a TURN server at this address.
fn servers(at: &str) -> Vec<ResolvedServer> {
    let credentials = TurnCredentials::new("alice", "wonderland");
    vec![
        ResolvedServer::stun(format!("stun:{at}"), address(at)),
        ResolvedServer::turn(format!("turn:{at}"), address(at), credentials),
    ]
}

/// Where a server sees the connection, and what it allocates.
fn given(at: SocketAddr) -> [SocketAddr; 2] {
    let [.., last] = match at.ip() {
        std::net::IpAddr::V4(ip) => ip.octets(),
        std::net::IpAddr::V6(_) => unreachable!("they have IPv4"),
    };
    [
        SocketAddr::from(([203, 0, 113, last], 999)),
        SocketAddr::new(at.ip(), 50_000),
    ]
}

impl World {
    fn new() -> Self {
        let now = epoch();
        let mut peer = Connection::new(now, config(1, 0));
        peer.create_data_channel(now, "", DataChannelInit::default())
            .expect("a channel");
        Self {
            peer,
            now,
            servers: servers(OLD),
            asked: BTreeMap::new(),
            is_slow: false,
            waiting: Vec::new(),
            is_bound: false,
            told: Vec::new(),
            state: IceGatheringState::New,
        }
    }

    /// With candidates gathered in advance from the old server.
    fn pooled() -> Self {
        let mut world = Self::new();
        world
            .peer
            .set_ice_candidate_pool_size(world.now, 1)
            .expect("it is open");
        world.run_for(SECOND);
        assert_eq!(world.asked_at(OLD), [(Method::ALLOCATE, false)]);
        assert!(world.told.is_empty() && world.state == IceGatheringState::New);
        world
    }

    fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            self.work();
            match self.peer.poll_timeout() {
                Some(next) if next <= end => self.now = next.max(self.now),
                _ => break,
            }
            self.peer.handle_timeout(self.now);
        }
        self.now = end;
    }

    /// What the driver does, and the servers.
    fn work(&mut self) {
        let mut out = Vec::new();
        loop {
            let mut quiet = true;
            while let Some(event) = self.peer.poll_event() {
                quiet = false;
                match event {
                    Event::Gather => self.gather(),
                    Event::IceCandidate(Some(candidate)) => self.told.push(candidate.candidate),
                    Event::IceGatheringStateChange(state) => self.state = state,
                    _ => {}
                }
            }
            while let Some(sent) = self.peer.poll_transmit(self.now, &mut out) {
                quiet = false;
                self.serve(sent.five_tuple, &std::mem::take(&mut out));
            }
            if quiet {
                return;
            }
        }
    }

    fn gather(&mut self) {
        if !std::mem::replace(&mut self.is_bound, true) {
            self.peer.add_local_address(self.now, address(BASE), Transport::Udp);
        }
        let named: Vec<String> = self.servers.iter().map(|server| server.url.clone()).collect();
        self.peer
            .keep_ice_servers(self.now, |url| named.iter().any(|named| named == url));
        for server in &self.servers {
            self.peer.add_ice_server(self.now, server.clone());
        }
        self.peer.finish_gathering(self.now);
    }

    fn serve(&mut self, path: FiveTuple, request: &[u8]) {
        let key = Key::long_term_md5("alice", "there", "wonderland");
        let request = Message::parse(request).expect("a request");
        let [mapped, relayed] = given(path.remote);
        let mut out = Vec::new();
        if request.method() == Method::BINDING {
            MessageBuilder::success(&mut out, &request).attribute(XorMappedAddress(mapped));
            return self.receive(path, &out);
        }
        if request.get::<Username<'_>>().expect("well formed").is_none() {
            MessageBuilder::error(&mut out, &request, ErrorCode::UNAUTHENTICATED)
                .attribute(Realm("there"))
                .attribute(Nonce(b"nonce"));
            return self.receive(path, &out);
        }
        let is_end = request.get() == Ok(Some(Lifetime(0)));
        self.asked
            .entry(path.remote)
            .or_default()
            .push((request.method(), is_end));
        let mut response = MessageBuilder::success(&mut out, &request);
        if request.method() == Method::ALLOCATE {
            response
                .attribute(XorRelayedAddress(relayed))
                .attribute(XorMappedAddress(mapped));
        }
        response
            .attribute(Lifetime(if is_end { 0 } else { 600 }))
            .integrity(&key);
        match self.is_slow {
            true => self.waiting.push((path, out)),
            false => self.receive(path, &out),
        }
    }

    fn receive(&mut self, five_tuple: FiveTuple, payload: &[u8]) {
        let datagram = Datagram {
            five_tuple,
            ecn: None,
            payload: payload.into(),
        };
        self.peer.handle_datagram(self.now, datagram);
    }

    /// Other servers are configured.
    fn configure(&mut self, servers: Vec<ResolvedServer>) -> bool {
        self.servers = servers;
        self.peer.ice_servers_changed(self.now)
    }

    fn offer(&mut self) {
        let offer = self.peer.create_offer(OfferOptions::default()).expect("an offer");
        self.peer.set_local_description(self.now, offer).expect("it is ours");
    }

    fn asked_at(&self, at: &str) -> Vec<Asked> {
        self.asked.get(&address(at)).cloned().unwrap_or_default()
    }

    /// Whether the description and what was told name what this server has given: reflexive, relayed.
    fn names(&self, at: &str) -> [bool; 2] {
        let sdp = self.peer.local_description().map(|description| description.sdp);
        let text = self.told.join("\n") + &sdp.unwrap_or_default();
        given(address(at)).map(|given| text.contains(&format!("{} {}", given.ip(), given.port())))
    }
}

#[test]
fn what_was_gathered_in_advance_is_told_with_the_description() {
    let mut world = World::pooled();
    world.offer();
    world.run_for(SECOND);
    assert_eq!(world.names(OLD), [true, true]);
    assert_eq!(world.state, IceGatheringState::Complete);
}

/// "[...] any existing pooled candidates will be discarded, and new candidates will be gathered from the new servers" (W3C webrtc-pc,
/// set a configuration).
#[test]
fn with_other_servers_the_pool_is_filled_anew() {
    let mut world = World::pooled();
    assert!(world.configure(servers(NEW)));
    world.run_for(SECOND);
    assert_eq!(
        world.asked_at(OLD),
        [(Method::ALLOCATE, false), (Method::REFRESH, true)]
    );
    assert_eq!(world.asked_at(NEW), [(Method::ALLOCATE, false)]);
    assert!(world.told.is_empty() && world.state == IceGatheringState::New);
    world.offer();
    world.run_for(SECOND);
    assert_eq!((world.names(OLD), world.names(NEW)), ([false; 2], [true; 2]));
    assert_eq!(world.state, IceGatheringState::Complete);
    // Nothing is kept alive there for the rest of the time.
    world.run_for(1000 * SECOND);
    assert_eq!(world.asked_at(OLD).len(), 2);
}

/// The driver may be slow: what is told at once is nothing of the old server's.
#[test]
fn a_description_right_behind_names_none_of_the_old() {
    let mut world = World::pooled();
    assert!(world.configure(servers(NEW)));
    world.offer();
    assert_eq!(world.names(OLD), [false; 2]);
    world.run_for(SECOND);
    assert_eq!((world.names(OLD), world.names(NEW)), ([false; 2], [true; 2]));
    assert_eq!(world.state, IceGatheringState::Complete);
}

#[test]
fn an_answer_names_none_of_the_old() {
    let mut other = World::new();
    other.offer();
    let mut world = World::pooled();
    let offer = other.peer.local_description().expect("it was set");
    world.peer.set_remote_description(world.now, offer).expect("it fits");
    assert!(world.configure(servers(NEW)));
    world.peer.set_local_description(world.now, None).expect("an answer");
    world.run_for(SECOND);
    assert_eq!((world.names(OLD), world.names(NEW)), ([false; 2], [true; 2]));
    assert_eq!(world.asked_at(OLD).last(), Some(&(Method::REFRESH, true)));
}

/// One that is named again gives anew, and no sooner than it has taken back what it gave: a path has one allocation.
#[test]
fn a_server_that_is_named_again_is_asked_anew() {
    let mut world = World::pooled();
    assert!(world.configure([servers(OLD), servers(NEW)].concat()));
    world.run_for(SECOND);
    let expected = [
        (Method::ALLOCATE, false),
        (Method::REFRESH, true),
        (Method::ALLOCATE, false),
    ];
    assert_eq!(world.asked_at(OLD), expected);
    world.offer();
    world.run_for(SECOND);
    assert_eq!((world.names(OLD), world.names(NEW)), ([true; 2], [true; 2]));
    assert_eq!(world.state, IceGatheringState::Complete);
}

/// It has been asked, and its answer is under way.
#[test]
fn what_is_only_asked_for_is_given_back_as_well() {
    let mut world = World::new();
    world.is_slow = true;
    world
        .peer
        .set_ice_candidate_pool_size(world.now, 1)
        .expect("it is open");
    world.run_for(Duration::from_millis(100));
    assert_eq!(world.asked_at(OLD), [(Method::ALLOCATE, false)]);
    assert!(world.configure(Vec::new()));
    world.is_slow = false;
    for (path, answer) in std::mem::take(&mut world.waiting) {
        world.receive(path, &answer);
    }
    world.offer();
    world.run_for(SECOND);
    assert_eq!(
        world.asked_at(OLD),
        [(Method::ALLOCATE, false), (Method::REFRESH, true)]
    );
    assert_eq!(world.names(OLD), [false; 2]);
    assert_eq!(world.state, IceGatheringState::Complete);
}

/// Then "no action will be taken until the next gathering phase": the peer knows of what there is.
#[test]
fn what_was_told_is_kept_until_ice_restarts() {
    let mut world = World::pooled();
    world.offer();
    world.run_for(SECOND);
    assert!(!world.configure(servers(NEW)));
    world.run_for(SECOND);
    assert_eq!((world.asked_at(OLD).len(), world.asked_at(NEW).len()), (1, 0));
}

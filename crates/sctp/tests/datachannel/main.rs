//! Data channels between two associations in virtual time.

mod closing;
mod corpus;
mod hostile;
mod laws;
mod lifecycle;
mod random;
mod resets;

use std::collections::BTreeSet;
use std::time::Duration;

use peerline_sctp::datachannel::{ChannelId, ChannelInit, Channels, Config, Event, Message, Role, State};
use peerline_sim::{Link, Pair, one_path, seed_bytes};

one_path! { struct Peer(Channels) -> Event; }

const LIMIT: Duration = Duration::from_secs(60);

/// With checksums: there is no DTLS here to throw away what the network damages.
fn config(seed: u64, who: u64) -> Config {
    let rng_seed = seed_bytes(seed, who);
    let sctp = peerline_sctp::Config {
        rng_seed,
        zero_checksum: false,
        ..peerline_sctp::Config::default()
    };
    Config {
        sctp,
        ..Config::default()
    }
}

fn peer(config: Config) -> Peer {
    Peer(Channels::new(config))
}

/// `a` is the DTLS client.
fn pair_with(seed: u64, a: Config, b: Config, link: &Link) -> Pair<Peer> {
    let mut pair = Pair::new(seed, peer(a), peer(b)).links(link);
    let now = pair.now();
    pair.a.set_role(now, Role::Client);
    pair.b.set_role(now, Role::Server);
    pair.a.connect(now);
    pair.b.connect(now);
    pair
}

fn pair(seed: u64, link: &Link) -> Pair<Peer> {
    pair_with(seed, config(seed, 0), config(seed, 1), link)
}

fn connected(seed: u64, link: &Link) -> Pair<Peer> {
    let mut pair = pair(seed, link);
    pair.expect("the association", LIMIT, |pair| {
        pair.a.association().is_connected() && pair.b.association().is_connected()
    });
    pair.take_events_a();
    pair.take_events_b();
    pair
}

/// Opens a channel at `a` and gives both ends' names for it.
fn open(pair: &mut Pair<Peer>, init: ChannelInit) -> (ChannelId, ChannelId) {
    let now = pair.now();
    let ours = pair.a.open(now, init).expect("a channel");
    let known: BTreeSet<_> = pair.b.iter().map(|(id, _)| id).collect();
    let mut theirs = None;
    pair.expect("the channel to open at both ends", LIMIT, |pair| {
        let here = stream(&pair.a, ours);
        let mut new = pair
            .b
            .iter()
            .filter(|(id, channel)| !known.contains(id) && channel.id() == here);
        theirs = new.next().map(|(id, _)| id);
        theirs.is_some() && state(&pair.a, ours) == Some(State::Open)
    });
    let theirs = theirs.expect("it was found");
    (ours, theirs)
}

fn state(peer: &Channels, id: ChannelId) -> Option<State> {
    peer.channel(id).map(|channel| channel.state())
}

fn stream(peer: &Channels, id: ChannelId) -> Option<u16> {
    peer.channel(id)?.id()
}

fn read_all(peer: &mut Channels, id: ChannelId) -> Vec<Message> {
    std::iter::from_fn(|| peer.recv(id)).collect()
}

/// The kinds of bad network that both directions are given.
fn bad_link() -> Link {
    Link {
        delay: Duration::from_millis(20),
        jitter: Duration::from_millis(10),
        loss: 0.1,
        reorder: 0.1,
        duplicate: 0.05,
        corrupt: 0.05,
        ..Link::default()
    }
}

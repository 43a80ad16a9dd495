//! [`Channels`]: the peers for which data have a header of four bytes (RFC 8656 §12).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use peerline_stun::ChannelNumber;

use super::Timings;

#[derive(Debug, Default)]
pub(super) struct Channels {
    peers: BTreeMap<SocketAddr, Peer>,
    /// The peer of each number that was ever bound. Numbers are never used for another peer, which spares the wait of
    /// five minutes (§12).
    numbers: Vec<SocketAddr>,
}

#[derive(Debug)]
enum Peer {
    /// Datagrams sent as indications.
    Counted(u32),
    Channel(Channel),
    /// The server will not bind one: it stays with indications.
    Refused,
}

#[derive(Debug)]
struct Channel {
    number: ChannelNumber,
    /// Bound until then.
    until: Option<Instant>,
    /// When to ask for it next; `None` while asked.
    due: Option<Instant>,
    announced: bool,
    /// No longer wanted: left to expire.
    dormant: bool,
}

impl Channels {
    /// How many there are, those asked for included.
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    pub(super) fn clear(&mut self) {
        self.peers.clear();
    }

    /// The number on which this peer is sent to.
    pub(super) fn bound(&self, peer: SocketAddr, now: Instant) -> Option<ChannelNumber> {
        match self.peers.get(&peer)? {
            Peer::Channel(channel) if channel.until.is_some_and(|until| now < until) => Some(channel.number),
            Peer::Channel(_) | Peer::Counted(_) | Peer::Refused => None,
        }
    }

    /// The peer of a number. "[...] the client SHOULD be prepared to receive ChannelData messages on the channel from the
    /// server as soon as it has sent the ChannelBind request" (§12).
    pub(super) fn peer(&self, number: ChannelNumber) -> Option<SocketAddr> {
        let index = number.0.checked_sub(ChannelNumber::FIRST.0)?;
        self.numbers.get(usize::from(index)).copied()
    }

    /// The number asked for on behalf of this peer.
    pub(super) fn number(&self, peer: SocketAddr) -> Option<ChannelNumber> {
        match self.peers.get(&peer)? {
            Peer::Channel(channel) => Some(channel.number),
            Peer::Counted(_) | Peer::Refused => None,
        }
    }

    /// Counts a datagram sent as an indication; how many there were, if a channel may yet be bound.
    pub(super) fn count(&mut self, peer: SocketAddr, max_peers: usize) -> Option<u32> {
        if self.peers.len() >= max_peers && !self.peers.contains_key(&peer) {
            return None;
        }
        match self.peers.entry(peer).or_insert(Peer::Counted(0)) {
            Peer::Counted(count) => {
                *count = count.saturating_add(1);
                Some(*count)
            }
            Peer::Channel(_) | Peer::Refused => None,
        }
    }

    /// Begins to bind a channel; false if all numbers are used.
    pub(super) fn bind(&mut self, peer: SocketAddr, now: Instant, max_channels: usize) -> bool {
        match self.peers.get_mut(&peer) {
            Some(Peer::Channel(channel)) => {
                // "Rebinding a channel to the same transport address" is always allowed (§12.1).
                if std::mem::take(&mut channel.dormant) {
                    channel.due = Some(now);
                }
                return true;
            }
            Some(Peer::Counted(_) | Peer::Refused) | None => {}
        }
        let index = self.numbers.len();
        let number = u16::try_from(index)
            .ok()
            .and_then(|index| ChannelNumber::FIRST.0.checked_add(index));
        let Some(number) = number
            .map(ChannelNumber)
            .filter(|number| number.is_valid() && index < max_channels)
        else {
            return false;
        };
        self.numbers.push(peer);
        let channel = Channel {
            number,
            until: None,
            due: Some(now),
            announced: false,
            dormant: false,
        };
        self.peers.insert(peer, Peer::Channel(channel));
        true
    }

    fn channels(&mut self) -> impl Iterator<Item = (SocketAddr, &mut Channel)> {
        self.peers.iter_mut().filter_map(|(&peer, entry)| match entry {
            Peer::Channel(channel) => Some((peer, channel)),
            Peer::Counted(_) | Peer::Refused => None,
        })
    }

    pub(super) fn due(&self) -> Option<Instant> {
        let due = |peer: &Peer| match peer {
            Peer::Channel(channel) => channel.due,
            Peer::Counted(_) | Peer::Refused => None,
        };
        self.peers.values().filter_map(due).min()
    }

    /// The peer to ask for now; it counts as asked for.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<SocketAddr> {
        let (peer, channel) = self
            .channels()
            .find(|(_, channel)| channel.due.is_some_and(|due| due <= now))?;
        channel.due = None;
        Some(peer)
    }

    /// The server has bound it. True the first time.
    pub(super) fn installed(&mut self, peer: SocketAddr, now: Instant, timings: &Timings) -> bool {
        let Some(Peer::Channel(channel)) = self.peers.get_mut(&peer) else {
            return false;
        };
        channel.until = Some(now + timings.channel_lifetime);
        channel.due = (!channel.dormant).then(|| now + timings.channel_refresh);
        !std::mem::replace(&mut channel.announced, true)
    }

    /// Lets the channels to this address expire.
    pub(super) fn forget(&mut self, address: IpAddr) {
        for (_, channel) in self.channels().filter(|(peer, _)| peer.ip() == address) {
            channel.due = None;
            channel.dormant = true;
        }
    }

    /// The server has not.
    pub(super) fn refused(&mut self, peer: SocketAddr) {
        if let Some(entry) = self.peers.get_mut(&peer) {
            *entry = Peer::Refused;
        }
    }
}

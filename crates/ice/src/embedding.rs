//! [`Embedding`]: DTLS inside connectivity checks (SPED, draft-hancke-webrtc-sped), so that both handshakes go at once.
//!
//! Requests and responses carry one datagram of the flight under way each, and tell by their CRC-32 which datagrams have come.
//! Both attributes are covered by MESSAGE-INTEGRITY: what is taken comes from who has the credentials. As soon as a path is
//! known to work, DTLS goes by itself, and so does what was not carried that way; a peer that does not know the attributes
//! ignores them and notices nothing.
//!
//! A check is larger with a datagram in it, and may go where nobody has asked for it: to an address that the peer has made up, in
//! its candidates or as the source of its own checks. [`MAX_UNASKED`] and [`MAX_UNPROVED`] bound what that is worth.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::BytesMut;
pub(crate) use crc32fast::hash;

use peerline_stun::attribute::{MetaDtlsInStun, MetaDtlsInStunAcknowledgement};
use peerline_stun::{Message, MessageBuilder};
use peerline_wire::FiveTuple;

/// Datagrams that leave by paths from which none has come.
const MAX_UNASKED: u16 = 16;

/// Datagrams that leave in checks and responses at all.
const MAX_UNPROVED: u16 = 96;

/// Datagrams of a flight, of the peer's that have not been taken, and of its that are acknowledged.
const MAX_DATAGRAMS: usize = 16;

/// Paths of which it is known what they have carried.
const MAX_PATHS: usize = 32;

/// "[...] the agent MUST NOT use a Ta smaller than 5 ms" (RFC 8445 §14.2): so far apart are the checks that carry the rest of a
/// flight.
const PACE: Duration = Duration::from_millis(5);

#[derive(Debug, Default)]
pub(crate) struct Embedding {
    /// The peer has said, in its description or in a check, that it knows the attributes.
    pub(crate) peer_speaks: bool,
    /// The handshake is done, or has a path: nothing is written any more, but what comes late is taken.
    pub(crate) ended: bool,
    /// The flight under way.
    pub(crate) flight: Vec<Datagram>,
    paths: Vec<Path>,
    /// CRC-32s of the peer's latest datagrams.
    received: VecDeque<u32>,
    pub(crate) incoming: VecDeque<BytesMut>,
    unasked: u16,
    unproved: u16,
    /// Counts what went again, so that each gets its turn.
    repeats: usize,
    /// When the peer should have answered, and how long it is waited for then.
    pub(crate) repeat_at: Option<Instant>,
    patience: Duration,
    /// When the next check may leave that only carries.
    pub(crate) carrier_from: Option<Instant>,
}

/// How long a flight waits for an answer before it is carried again; twice as long each time, up to [`MAX_PATIENCE`].
const PATIENCE: Duration = Duration::from_millis(150);

const MAX_PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Datagram {
    pub(crate) bytes: Vec<u8>,
    crc: u32,
    /// The peer has it.
    acknowledged: bool,
}

/// What one path has seen.
#[derive(Debug)]
pub(crate) struct Path {
    five_tuple: FiveTuple,
    /// Which of the flight's datagrams it has carried: one bit for each.
    pub(crate) carried: u32,
    /// The peer has sent a datagram this way.
    has_brought: bool,
}

impl Embedding {
    pub(crate) fn path(&mut self, five_tuple: FiveTuple) -> Option<&mut Path> {
        let known = self.paths.iter().position(|path| path.five_tuple == five_tuple);
        let index = known.unwrap_or(self.paths.len());
        if known.is_none() && self.paths.len() < MAX_PATHS {
            self.paths.push(Path {
                five_tuple,
                carried: 0,
                has_brought: false,
            });
        }
        self.paths.get_mut(index)
    }

    pub(crate) fn begin_flight(&mut self, flight: Vec<Vec<u8>>) {
        let datagrams = flight.into_iter().take(MAX_DATAGRAMS).map(|bytes| Datagram {
            crc: hash(&bytes),
            bytes,
            acknowledged: false,
        });
        self.flight = datagrams.collect();
        self.repeat_at = None;
        self.patience = PATIENCE;
        self.forget_carried();
    }

    fn forget_carried(&mut self) {
        for path in &mut self.paths {
            path.carried = 0;
        }
    }

    /// Carries again what the peer does not have, once it has had time to say so.
    pub(crate) fn repeat(&mut self, now: Instant) {
        if self.repeat_at.is_some_and(|at| now >= at) {
            self.patience = (self.patience * 2).min(MAX_PATIENCE);
            let lacks_some = self.flight.iter().any(|datagram| !datagram.acknowledged);
            self.repeat_at = lacks_some.then_some(now + self.patience);
            self.forget_carried();
        }
    }

    /// The flight's first datagram that this path has not carried and the peer does not have.
    pub(crate) fn next_for(&self, five_tuple: &FiveTuple) -> Option<usize> {
        let path = self.paths.iter().find(|path| path.five_tuple == *five_tuple);
        let carried = path.map_or(0, |path| path.carried);
        let lacks = |(index, datagram): (usize, &Datagram)| !datagram.acknowledged && carried & 1 << index == 0;
        self.flight.iter().enumerate().position(lacks)
    }

    pub(crate) fn may_carry(&self, five_tuple: &FiveTuple) -> bool {
        let path = self.paths.iter().find(|path| path.five_tuple == *five_tuple);
        let is_asked = path.is_some_and(|path| path.has_brought);
        self.unproved < MAX_UNPROVED && (is_asked || self.unasked < MAX_UNASKED)
    }

    /// Writes nothing any more, and keeps nothing but what has not been taken.
    pub(crate) fn end(&mut self) {
        self.incoming.shrink_to_fit();
        *self = Self {
            ended: true,
            incoming: std::mem::take(&mut self.incoming),
            ..Self::default()
        };
    }

    /// Adds to a check, or to the response to one, what it is to carry.
    pub(crate) fn write(&mut self, message: &mut MessageBuilder<'_>, now: Instant, five_tuple: FiveTuple) {
        if !self.peer_speaks || self.ended {
            return;
        }
        let acknowledged: Vec<u8> = self.received.iter().flat_map(|crc| crc.to_be_bytes()).collect();
        message.attribute(MetaDtlsInStunAcknowledgement(&acknowledged));
        let is_asked = self.path(five_tuple).is_some_and(|path| path.has_brought);
        if !self.may_carry(&five_tuple) {
            return;
        }
        let lacking = |datagram: &Datagram| !datagram.acknowledged;
        let next = self.next_for(&five_tuple).or_else(|| {
            // Each again, in turn.
            self.repeats = self.repeats.wrapping_add(1);
            let lacking: Vec<_> = (0..self.flight.len()).filter(|&i| lacking(&self.flight[i])).collect();
            lacking.get(self.repeats.checked_rem(lacking.len())?).copied()
        });
        let Some((index, datagram)) = next.and_then(|index| Some((index, self.flight.get(index)?))) else {
            return;
        };
        message.attribute(MetaDtlsInStun(&datagram.bytes));
        if let Some(path) = self.path(five_tuple) {
            path.carried |= 1 << index;
        }
        self.unproved += 1;
        self.unasked += u16::from(!is_asked);
        self.carrier_from = Some(now + PACE);
        if self.repeat_at.is_none() {
            self.repeat_at = Some(now + self.patience);
        }
    }

    /// Takes what an authenticated check of the peer, or an authenticated response, carries.
    pub(crate) fn take_in(&mut self, message: &Message<'_>, five_tuple: FiveTuple) {
        if let Ok(Some(MetaDtlsInStunAcknowledgement(list))) = message.get() {
            self.peer_speaks = true;
            let (crcs, _) = list.as_chunks::<4>();
            for crc in crcs.iter().take(MAX_DATAGRAMS).map(|crc| u32::from_be_bytes(*crc)) {
                let known = self.flight.iter_mut().filter(|datagram| datagram.crc == crc);
                known.for_each(|datagram| datagram.acknowledged = true);
            }
        }
        // RFC 7983 §7: DTLS begins with 20 to 63.
        if let Ok(Some(MetaDtlsInStun(bytes))) = message.get()
            && bytes.first().is_some_and(|first| (20..64).contains(first))
        {
            self.peer_speaks = true;
            if let Some(path) = self.path(five_tuple) {
                path.has_brought = true;
            }
            // What finds no room is not acknowledged either.
            if self.incoming.len() < MAX_DATAGRAMS {
                self.incoming.push_back(BytesMut::from(bytes));
                self.acknowledge(hash(bytes));
            }
        }
    }

    pub(crate) fn acknowledge(&mut self, crc: u32) {
        if !self.received.contains(&crc) {
            if self.received.len() == MAX_DATAGRAMS {
                self.received.pop_front();
            }
            self.received.push_back(crc);
        }
    }
}

//! [`Streams`]: which stream numbers are in use, by whom, and how far their closing has come.

use std::collections::BTreeSet;

use super::ChannelId;
use crate::few::Few;

/// Our role in DTLS, which decides whose stream numbers are even (RFC 8832 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// We opened with the ClientHello: our numbers are even.
    Client,
    /// The peer did: our numbers are odd.
    Server,
}

impl Role {
    /// True if we choose this stream number, false if the peer does.
    pub(super) fn owns(self, stream: u16) -> bool {
        stream % 2 == self.first()
    }

    fn first(self) -> u16 {
        match self {
            Self::Client => 0,
            Self::Server => 1,
        }
    }
}

/// One stream number in use. It is free again when both directions have been reset.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) user: User,
    pub(super) outgoing: Outgoing,
    /// The peer has reset its direction, and what came before that has been read.
    pub(super) incoming_reset: bool,
    /// Messages wait that were sent after the peer's reset: for the next user of the number.
    pub(super) successor_waits: bool,
}

/// Who uses a stream number.
#[derive(Debug)]
pub(super) enum User {
    /// A channel, from the choice of the number to `Closed`.
    Channel(ChannelId),
    /// Nobody yet: these messages came before any OPEN.
    Early(Vec<crate::Message>),
    /// Nobody any more: what comes is thrown away while the directions are reset.
    Refused,
}

/// Our direction of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outgoing {
    Open,
    /// We asked for a reset.
    Resetting,
    Reset,
    /// It cannot be reset, so the number is lost.
    Stuck,
}

/// All stream numbers in use.
#[derive(Debug, Default)]
pub(super) struct Streams {
    in_use: Few<u16, Stream>,
    /// Numbers below `next` that were freed.
    free: BTreeSet<u16>,
    /// Where the numbers begin that were never looked at, counted in pairs (an even one and the odd one after it).
    next: u16,
}

impl Streams {
    pub(super) fn get(&self, stream: u16) -> Option<&Stream> {
        self.in_use.get(&stream)
    }

    pub(super) fn get_mut(&mut self, stream: u16) -> Option<&mut Stream> {
        self.in_use.get_mut(&stream)
    }

    /// The channel that uses this number.
    pub(super) fn channel(&self, stream: u16) -> Option<ChannelId> {
        match self.in_use.get(&stream)?.user {
            User::Channel(id) => Some(id),
            User::Early(_) | User::Refused => None,
        }
    }

    /// The lowest free number below `limit` that `role` chooses.
    pub(super) fn allocate(&mut self, role: Role, limit: u16) -> Option<u16> {
        while let Some(stream) = self.free.pop_first() {
            if stream < limit && !self.in_use.contains_key(&stream) {
                return Some(stream);
            }
        }
        loop {
            let stream = self.next.checked_mul(2)?.checked_add(role.first())?;
            if stream >= limit {
                return None;
            }
            self.next += 1;
            if !self.in_use.contains_key(&stream) {
                return Some(stream);
            }
        }
    }

    /// Puts a number to use, whoever used it before.
    pub(super) fn claim(&mut self, stream: u16, user: User) -> &mut Stream {
        let fresh = Stream {
            user,
            outgoing: Outgoing::Open,
            incoming_reset: false,
            successor_waits: false,
        };
        self.in_use.remove(&stream);
        self.in_use.get_or_insert_with(stream, || fresh)
    }

    /// Frees a number; `role` is ours, to know whether we may choose it again.
    pub(super) fn release(&mut self, stream: u16, role: Option<Role>) -> Option<Stream> {
        if role.is_some_and(|role| role.owns(stream)) && stream / 2 < self.next {
            self.free.insert(stream);
        }
        self.in_use.remove(&stream)
    }

    /// Frees everything: the association started over.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn len(&self) -> usize {
        self.in_use.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: User = User::Refused;

    #[test]
    fn numbers_are_allocated_by_role_lowest_first_and_again_after_release() {
        for (role, expected) in [(Role::Client, [0, 2, 4, 6]), (Role::Server, [1, 3, 5, 7])] {
            let mut streams = Streams::default();
            streams.claim(expected[1], USER);
            for expected in [expected[0], expected[2], expected[3]] {
                assert_eq!(streams.allocate(role, 100), Some(expected));
                streams.claim(expected, USER);
            }
            streams.release(expected[2], Some(role));
            streams.release(expected[1], Some(role));
            streams.release(expected[0] ^ 1, Some(role));
            assert_eq!(streams.allocate(role, 100), Some(expected[1]));
            assert_eq!(streams.allocate(role, 100), Some(expected[2]));
            assert_eq!(streams.allocate(role, 100), Some(expected[3] + 2));
        }
    }

    #[test]
    fn all_numbers_can_be_used_but_65535() {
        for (role, count) in [(Role::Client, 32_768), (Role::Server, 32_767)] {
            let mut streams = Streams::default();
            let mut allocated = 0;
            while let Some(stream) = streams.allocate(role, 65_535) {
                assert!(role.owns(stream));
                streams.claim(stream, USER);
                allocated += 1;
            }
            assert_eq!(allocated, count);
            assert_eq!(streams.allocate(role, 65_535), None);
        }
    }
}

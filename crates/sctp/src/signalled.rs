//! The handshake in the signalling (SNAP, draft-hancke-tsvwg-snap): each side's INIT chunk goes with its session description, and
//! when DTLS is up the association is, too.

use std::time::Instant;

use crate::Association;
use crate::association::State;
use crate::handshake::is_acceptable;
use crate::wire::{Chunk, ChunkType, Init, RawChunk};

/// An INIT chunk that the peer has signalled, whole and well-formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalledInit(Box<[u8]>);

impl SignalledInit {
    /// Type, flags and length of a chunk.
    const HEADER: usize = 4;

    /// Reads an INIT chunk, from its type to its last parameter; padding may follow. `None` if the bytes are not that, or if no
    /// association can come of it: with a tag of 0, or without streams (RFC 9260 §3.3.2).
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let &[kind, _, high, low, ..] = bytes else { return None };
        let len = usize::from(u16::from_be_bytes([high, low]));
        let value = bytes.get(Self::HEADER..len)?;
        let signalled = Self(value.into());
        let is_whole = ChunkType(kind) == ChunkType::INIT && bytes.len() - len < 4;
        let is_usable = signalled.init().is_some_and(|init| is_acceptable(&init));
        (is_whole && is_usable).then_some(signalled)
    }

    fn init(&self) -> Option<Init<'_>> {
        let (kind, flags) = (ChunkType::INIT, 0);
        let value = &self.0;
        match Chunk::decode(RawChunk { kind, flags, value }) {
            Ok(Chunk::Init(init)) => Some(init),
            _ => None,
        }
    }
}

impl Association {
    /// Our INIT chunk, to be signalled to the peer: what [`connect`](Self::connect) would send. It is the same each time, and to
    /// ask for it changes nothing ("SHOULD NOT change the state of the SCTP association", draft-hancke-tsvwg-snap §5).
    #[must_use]
    pub fn init_chunk(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let parameters = self.parameters();
        let streams = (self.config.outgoing_streams, self.config.incoming_streams);
        Chunk::Init(self.init(self.local, streams, &parameters)).encode(&mut out);
        // "[...] generate a serialized INIT chunk": what pads it in a packet is no part of it.
        out.truncate(usize::from(u16::from_be_bytes([out[2], out[3]])));
        out
    }

    /// As [`connect`](Self::connect), with a peer that has signalled its INIT and has been signalled ours: the association is
    /// established at once, and not a packet is sent for it.
    pub fn connect_signalled(&mut self, now: Instant, peer: &SignalledInit) {
        let now = self.tick(now);
        if matches!(self.state, State::Closed)
            && let Some(init) = peer.init()
        {
            let agreement = self.agree(self.local, &init);
            self.establish(now, agreement);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Event};

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn now() -> Instant {
        Instant::now()
    }

    /// The example of draft-hancke-tsvwg-snap §3.1.
    const EXAMPLE: [u8; 30] = *b"\x01\x00\x00\x1e\x89\x6c\xdd\x1d\x00\x50\x00\x00\xff\xff\xff\xff\xe0\x79\x65\x1d\
        \xc0\x00\x00\x04\x80\x08\x00\x06\x82\xc0";

    #[test]
    fn the_drafts_example() {
        let signalled = SignalledInit::parse(&EXAMPLE).unwrap();
        let init = signalled.init().unwrap();
        assert_eq!((init.initiate_tag, init.a_rwnd), (0x896c_dd1d, 0x0050_0000));
        assert_eq!(init.initial_tsn, peerline_wire::Serial32(0xe079_651d));
        let mut association = Association::new(Config::default());
        association.connect_signalled(now(), &signalled);
        assert_eq!(association.poll_event(), Some(Event::Connected));
        let agreement = association.state.tcb().unwrap().agreement;
        let can = agreement.peer_can;
        assert!(can.forward_tsn && can.re_config && !can.interleaving && !can.zero_checksum);
        assert_eq!((agreement.peer.tag, agreement.peer_window), (0x896c_dd1d, 0x0050_0000));
    }

    #[test]
    fn what_is_no_init_is_refused() {
        for len in 0..EXAMPLE.len() {
            assert!(SignalledInit::parse(&EXAMPLE[..len]).is_none(), "{len}");
        }
        let spoilt = |at: usize, byte: u8| {
            let mut bytes = EXAMPLE;
            bytes[at] = byte;
            SignalledInit::parse(&bytes)
        };
        assert!(spoilt(0, 2).is_none(), "an INIT ACK");
        assert!(spoilt(3, 0x1d).is_none(), "a parameter cut");
        assert!(spoilt(3, 3).is_none(), "shorter than its header");
        assert!(spoilt(2, 0xff).is_none(), "longer than itself");
        assert!(spoilt(27, 0xff).is_none(), "a parameter longer than the chunk");
        let mut bytes = EXAMPLE;
        bytes[4..8].fill(0);
        assert!(SignalledInit::parse(&bytes).is_none(), "a tag of 0");
        let mut bytes = EXAMPLE;
        bytes[12..14].fill(0);
        assert!(SignalledInit::parse(&bytes).is_none(), "no streams");
        let padded = [&EXAMPLE[..], &[0, 0]].concat();
        assert_eq!(SignalledInit::parse(&padded), SignalledInit::parse(&EXAMPLE));
        assert!(
            SignalledInit::parse(&[&EXAMPLE[..], &[0; 4]].concat()).is_none(),
            "another chunk"
        );
    }

    #[test]
    fn what_we_signal_is_what_we_would_send() {
        let (mut first, second) = (Association::new(Config::default()), Association::new(Config::default()));
        let chunk = first.init_chunk();
        assert_eq!(chunk, first.init_chunk());
        first.connect(now());
        let mut out = Vec::new();
        first.poll_transmit(now(), &mut out).unwrap();
        assert_eq!(out.get(12..12 + chunk.len()), Some(&*chunk));
        assert!(SignalledInit::parse(&second.init_chunk()).is_some());
    }
}

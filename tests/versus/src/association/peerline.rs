//! `peerline-sctp`, with its CRC-32C and without (RFC 9653).

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use peerline_sctp::{Association, Config, Event, Message, Ppid, SendOptions, StreamId};

use crate::Result;
use crate::machine::Machine;

const STREAM: StreamId = StreamId(1);

/// What both kinds share.
struct Peer {
    association: Association,
    connected: bool,
}

impl Peer {
    fn pair(now: Instant, zero_checksum: bool) -> [Self; 2] {
        let mut pair = [1, 2].map(|seed| Self {
            association: Association::new(Config {
                rng_seed: [seed; 32],
                zero_checksum,
                ..Config::default()
            }),
            connected: false,
        });
        pair[0].association.connect(now);
        pair
    }

    fn attend(&mut self) {
        while let Some(event) = self.association.poll_event() {
            self.connected |= event == Event::Connected;
        }
    }
}

pub(crate) struct Peerline(Peer);
pub(crate) struct PeerlineZeroChecksum(Peer);

macro_rules! machine {
    ($name:ident, $zero_checksum:literal) => {
        impl Machine for $name {
            fn pair(now: Instant, _: usize) -> Result<[Self; 2]> {
                Ok(Peer::pair(now, $zero_checksum).map(Self))
            }

            fn handle_datagram(&mut self, now: Instant, datagram: BytesMut) -> Result<()> {
                self.0.association.handle_datagram(now, datagram);
                Ok(())
            }

            fn handle_timeout(&mut self, now: Instant) -> Result<()> {
                self.0.association.handle_timeout(now);
                Ok(())
            }

            fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<usize> {
                self.0.association.poll_transmit(now, out)
            }

            fn poll_timeout(&mut self) -> Option<Instant> {
                self.0.association.poll_timeout()
            }

            fn is_open(&mut self) -> bool {
                self.0.attend();
                self.0.connected
            }

            fn send(&mut self, now: Instant, payload: &Bytes) -> Result<bool> {
                let message = Message::new(Ppid::BINARY, payload.clone());
                let association = &mut self.0.association;
                Ok(association
                    .send(now, STREAM, message, SendOptions::default())
                    .is_ok())
            }

            fn recv(&mut self, _: Instant) -> Option<usize> {
                self.0.attend();
                Some(self.0.association.recv(STREAM)?.payload.len())
            }
        }
    };
}

machine!(Peerline, false);
machine!(PeerlineZeroChecksum, true);

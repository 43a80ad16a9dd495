//! Two that are connected, in virtual time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use peerline_wire::{Datagram, FiveTuple, Transport};

use super::{certificate, epoch};
use crate::{ChannelId, Config, Connection, DataChannelInit, MediaKind, Message, Track};

/// The largest datagram that either may send, once the path is seen to take it.
const MAX_MTU: usize = 1452;

pub(super) struct Pair {
    pub(super) now: Instant,
    pub(super) alice: Connection,
    pub(super) bob: Connection,
    pub(super) channel: ChannelId,
    /// The path between them, as Bob names it.
    path: FiveTuple,
}

impl Pair {
    /// With a channel and nothing else.
    pub(super) fn connected() -> Self {
        Self::with(|_, _| ())
    }

    /// With sound and pictures both ways, too.
    pub(super) fn in_call() -> Self {
        Self::with(|peer, now| {
            for kind in [MediaKind::Audio, MediaKind::Video] {
                let id = kind.as_str().to_owned();
                let added = peer.add_track(now, Track { id, kind }, &["stream".into()]);
                added.expect("a track of its own");
            }
        })
    }

    /// After `prepare` has made of each what it wants, the answerer after the offer.
    fn with(prepare: impl Fn(&mut Connection, Instant)) -> Self {
        let now = epoch();
        let peer = |seed| {
            Connection::new(
                now,
                Config {
                    rng_seed: [seed; 32],
                    max_mtu: MAX_MTU,
                    ..Config::new(certificate())
                },
            )
        };
        let (mut alice, mut bob) = (peer(1), peer(2));
        let channel = alice
            .create_data_channel(now, "fuzz", DataChannelInit::default())
            .expect("a channel");
        let (at_alice, at_bob) = (
            SocketAddr::from(([192, 0, 2, 1], 1)),
            SocketAddr::from(([192, 0, 2, 2], 2)),
        );
        alice.add_local_address(now, at_alice, Transport::Udp);
        bob.add_local_address(now, at_bob, Transport::Udp);
        for peer in [&mut alice, &mut bob] {
            peer.finish_gathering(now);
        }
        prepare(&mut alice, now);
        alice.set_local_description(now, None).expect("an offer");
        bob.set_remote_description(now, alice.local_description().expect("it was set"))
            .expect("it fits");
        prepare(&mut bob, now);
        bob.set_local_description(now, None).expect("an answer");
        alice
            .set_remote_description(now, bob.local_description().expect("it was set"))
            .expect("it fits");
        let mut pair = Self {
            now,
            alice,
            bob,
            channel,
            path: FiveTuple::udp(at_bob, at_alice),
        };
        for _ in 0..20 {
            pair.exchange();
            pair.advance(Duration::from_millis(20));
        }
        assert!(pair.still_works(), "the pair connects");
        pair
    }

    /// Raw bytes on the path that the pair uses.
    pub(super) fn deliver(&mut self, payload: &[u8]) {
        let datagram = Datagram {
            five_tuple: self.path,
            ecn: None,
            payload: BytesMut::from(payload),
        };
        self.bob.handle_datagram(self.now, datagram);
    }

    /// Bytes in the place of an SCTP packet, sealed as the peer would.
    pub(super) fn deliver_sealed(&mut self, packet: &[u8]) {
        let mut out = Vec::new();
        let sealed = self.alice.upper.dtls.as_mut().and_then(|dtls| {
            dtls.enclose(&mut out, |out| {
                out.extend_from_slice(&packet[..packet.len().min(1100)]);
                Some(packet.len().min(1100))
            })
        });
        if sealed.is_some() {
            self.deliver(&out);
        }
    }

    /// A packet of media that Alice has made, and protected; nothing if it cannot be.
    pub(super) fn deliver_protected(&mut self, mut packet: Vec<u8>, is_rtcp: bool) {
        let media = self.alice.upper.media.as_mut();
        if media.is_some_and(|media| media.protect(&mut packet, is_rtcp)) {
            self.deliver(&packet);
        }
    }

    pub(super) fn advance(&mut self, duration: Duration) {
        self.now += duration;
        for peer in [&mut self.alice, &mut self.bob] {
            if peer.poll_timeout().is_some_and(|at| at <= self.now) {
                peer.handle_timeout(self.now);
            }
        }
    }

    /// Carries what both want to send until they are quiet.
    pub(super) fn exchange(&mut self) {
        let mut out = Vec::new();
        for _ in 0..1000 {
            let mut quiet = true;
            for alice_sends in [true, false] {
                let (from, to) = if alice_sends {
                    (&mut self.alice, &mut self.bob)
                } else {
                    (&mut self.bob, &mut self.alice)
                };
                while from.poll_event().is_some() {}
                out.clear();
                let Some(transmit) = from.poll_transmit(self.now, &mut out) else {
                    continue;
                };
                assert!(
                    transmit.len == out.len() && out.len() <= MAX_MTU,
                    "one datagram within the MTU"
                );
                quiet = false;
                let five_tuple = transmit.five_tuple.reversed();
                let payload = BytesMut::from(&out[..]);
                to.handle_datagram(
                    self.now,
                    Datagram {
                        five_tuple,
                        ecn: None,
                        payload,
                    },
                );
            }
            if quiet {
                return;
            }
        }
    }

    /// True if a message from Alice reaches Bob.
    pub(super) fn still_works(&mut self) -> bool {
        let Ok(()) = self.alice.send(self.now, self.channel, "still here?") else {
            return false;
        };
        for _ in 0..100 {
            self.exchange();
            let ids: Vec<_> = self.bob.channels().collect();
            for id in ids {
                while let Some(message) = self.bob.recv(self.now, id) {
                    if message == Message::from("still here?") {
                        return true;
                    }
                }
            }
            self.advance(Duration::from_millis(100));
        }
        false
    }
}

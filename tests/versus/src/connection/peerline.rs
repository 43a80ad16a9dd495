//! `peerline-connection`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use peerline_connection::{
    Certificate, ChannelId, Config, Connection, DataChannelInit, DataChannelState, Event, IceCandidate, Message,
    OfferOptions, default_provider,
};
use peerline_dtls::ProtocolVersion;
use peerline_wire::{Datagram, FiveTuple, Transport};

use super::ADDRESSES;
use crate::Result;
use crate::machine::Machine;
use crate::process::today;

/// By DTLS 1.3 and a hybrid key exchange, as by default, or by DTLS 1.2 and one elliptic curve.
pub(crate) struct Peerline<const POST_QUANTUM: bool = true> {
    pub(crate) connection: Connection,
    /// Of what arrives.
    path: FiveTuple,
    channel: Option<ChannelId>,
}

impl<const POST_QUANTUM: bool> Peerline<POST_QUANTUM> {
    pub(crate) fn config(who: usize) -> Result<Config> {
        let certificate = Arc::new(Certificate::generate(&default_provider(), today())?);
        let mut config = Config {
            rng_seed: [who as u8; 32],
            ..Config::new(certificate)
        };
        if !POST_QUANTUM {
            config.max_dtls_version = ProtocolVersion::DTLS_1_2;
        }
        Ok(config)
    }

    pub(crate) fn new(now: Instant, who: usize, config: Config) -> Self {
        Self {
            connection: Connection::new(now, config),
            path: FiveTuple::udp(ADDRESSES[who], ADDRESSES[1 - who]),
            channel: None,
        }
    }

    /// Two that `change` has configured.
    pub(crate) fn pair_with(now: Instant, change: impl Fn(&mut Config)) -> Result<[Self; 2]> {
        let new = |who| -> Result<_> {
            let mut config = Self::config(who)?;
            change(&mut config);
            Ok(Self::new(now, who, config))
        };
        let (mut offerer, mut answerer) = (new(0)?, new(1)?);
        let init = DataChannelInit::default();
        offerer.channel = Some(offerer.connection.create_data_channel(now, "bench", init)?);
        Self::negotiate(now, &mut offerer, &mut answerer)?;
        Ok([offerer, answerer])
    }

    /// Offer, answer and candidates.
    pub(crate) fn negotiate(now: Instant, offerer: &mut Self, answerer: &mut Self) -> Result<()> {
        let offer = offerer.connection.create_offer(OfferOptions::default())?;
        offerer.connection.set_local_description(now, offer.clone())?;
        answerer.connection.set_remote_description(now, offer)?;
        for candidate in offerer.gather(now) {
            answerer.connection.add_ice_candidate(now, candidate)?;
        }

        let answer = answerer.connection.create_answer()?;
        answerer.connection.set_local_description(now, answer.clone())?;
        offerer.connection.set_remote_description(now, answer)?;
        for candidate in answerer.gather(now) {
            offerer.connection.add_ice_candidate(now, candidate)?;
        }
        Ok(())
    }

    /// Its candidates, all of them.
    fn gather(&mut self, now: Instant) -> Vec<Option<IceCandidate>> {
        let mut candidates = Vec::new();
        while let Some(event) = self.connection.poll_event() {
            match event {
                Event::Gather => {
                    let address: SocketAddr = self.path.local;
                    self.connection.add_local_address(now, address, Transport::Udp);
                    self.connection.finish_gathering(now);
                }
                Event::IceCandidate(candidate) => candidates.push(candidate),
                _ => {}
            }
        }
        candidates
    }
}

impl<const POST_QUANTUM: bool> Machine for Peerline<POST_QUANTUM> {
    fn pair(now: Instant, _: usize) -> Result<[Self; 2]> {
        Self::pair_with(now, |_| ())
    }

    fn handle_datagram(&mut self, now: Instant, payload: BytesMut) -> Result<()> {
        let datagram = Datagram {
            five_tuple: self.path,
            ecn: None,
            payload,
        };
        self.connection.handle_datagram(now, datagram);
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<()> {
        self.connection.handle_timeout(now);
        Ok(())
    }

    fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<usize> {
        Some(self.connection.poll_transmit(now, out)?.len)
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.connection.poll_timeout()
    }

    fn is_open(&mut self) -> bool {
        while self.connection.poll_event().is_some() {}
        self.channel = self.channel.or_else(|| self.connection.channels().next());
        let channel = self.channel.and_then(|id| self.connection.channel(id));
        channel.is_some_and(|channel| channel.ready_state() == DataChannelState::Open)
    }

    fn send(&mut self, now: Instant, payload: &Bytes) -> Result<bool> {
        let channel = self.channel.ok_or("no channel")?;
        let message = Message::Binary(payload.clone());
        Ok(self.connection.send(now, channel, message).is_ok())
    }

    fn recv(&mut self, now: Instant) -> Option<usize> {
        while self.connection.poll_event().is_some() {}
        match self.connection.recv(now, self.channel?)? {
            Message::Binary(payload) => Some(payload.len()),
            Message::Text(_) => None,
        }
    }
}

//! `str0m`: one change at a time, each followed by `poll_output` until it returns a timeout, as its contract has it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::channel::ChannelId;
use str0m::net::{DatagramSend, Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

use super::ADDRESSES;
use crate::Result;
use crate::machine::Machine;

/// A peer with a data channel.
pub(crate) struct Str0m {
    peer: Peer,
    channel: Option<ChannelId>,
    received: VecDeque<usize>,
}

impl Str0m {
    fn new(now: Instant, who: usize, config: RtcConfig) -> Result<Self> {
        Ok(Self {
            peer: Peer::new(now, who, config)?,
            channel: None,
            received: VecDeque::new(),
        })
    }

    /// Two with this configuration.
    pub(crate) fn pair_with(now: Instant, config: &RtcConfig) -> Result<[Self; 2]> {
        crate::stack::install_provider_of_str0m();
        let (mut offerer, mut answerer) = (Self::new(now, 0, config.clone())?, Self::new(now, 1, config.clone())?);
        let mut change = offerer.peer.rtc.sdp_api();
        change.add_channel("bench".to_owned());
        let offer = change.apply().ok_or("nothing to offer")?;
        offerer.drain()?;
        let answer = answerer.peer.answer(&offer.0)?;
        answerer.drain()?;
        offerer.peer.accept(offer.1, &answer)?;
        offerer.drain()?;
        Ok([offerer, answerer])
    }

    fn drain(&mut self) -> Result<()> {
        while let Some(event) = self.peer.poll()? {
            match event {
                Event::ChannelOpen(id, _) => self.channel = Some(id),
                Event::ChannelData(data) => self.received.push_back(data.data.len()),
                Event::ChannelClose(_) => return Err("closed".into()),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Machine for Str0m {
    fn pair(now: Instant, send_buffer: usize) -> Result<[Self; 2]> {
        Self::pair_with(now, &RtcConfig::new().set_sctp_max_buffered_amount(send_buffer))
    }

    fn handle_datagram(&mut self, now: Instant, datagram: BytesMut) -> Result<()> {
        self.peer.handle_datagram(now, &datagram)?;
        self.drain()
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<()> {
        self.peer.rtc.handle_input(Input::Timeout(now))?;
        self.drain()
    }

    fn poll_transmit(&mut self, _: Instant, out: &mut Vec<u8>) -> Option<usize> {
        self.peer.poll_transmit(out)
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.peer.deadline
    }

    fn is_open(&mut self) -> bool {
        self.channel.is_some()
    }

    fn send(&mut self, _: Instant, payload: &Bytes) -> Result<bool> {
        let id = self.channel.ok_or("not open")?;
        let taken = self.peer.rtc.channel(id).ok_or("closed")?.write(true, payload)?;
        self.drain()?;
        Ok(taken)
    }

    fn recv(&mut self, _: Instant) -> Option<usize> {
        self.received.pop_front()
    }
}

/// What is the same whatever goes through it.
pub(crate) struct Peer {
    pub(crate) rtc: Rtc,
    local: SocketAddr,
    remote: SocketAddr,
    pub(crate) deadline: Option<Instant>,
    out: VecDeque<DatagramSend>,
}

impl Peer {
    pub(crate) fn new(now: Instant, who: usize, config: RtcConfig) -> Result<Self> {
        let mut peer = Self {
            rtc: config.build(now),
            local: ADDRESSES[who],
            remote: ADDRESSES[1 - who],
            deadline: None,
            out: VecDeque::new(),
        };
        peer.rtc.add_local_candidate(Candidate::host(peer.local, "udp")?);
        while peer.poll()?.is_some() {}
        Ok(peer)
    }

    /// The next event after a change; all have to be read.
    pub(crate) fn poll(&mut self) -> Result<Option<Event>> {
        loop {
            match self.rtc.poll_output()? {
                Output::Timeout(deadline) => {
                    self.deadline = Some(deadline);
                    return Ok(None);
                }
                Output::Transmit(transmit) => self.out.push_back(transmit.contents),
                Output::Event(event) => return Ok(Some(event)),
            }
        }
    }

    /// The answer to an offer, as text; a change.
    pub(crate) fn answer(&mut self, offer: &SdpOffer) -> Result<String> {
        let offer = SdpOffer::from_sdp_string(&offer.to_sdp_string())?;
        Ok(self.rtc.sdp_api().accept_offer(offer)?.to_sdp_string())
    }

    /// Takes the answer; a change.
    pub(crate) fn accept(&mut self, pending: SdpPendingOffer, answer: &str) -> Result<()> {
        let answer = SdpAnswer::from_sdp_string(answer)?;
        Ok(self.rtc.sdp_api().accept_answer(pending, answer)?)
    }

    /// A change.
    pub(crate) fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) -> Result<()> {
        let received = Receive {
            proto: Protocol::Udp,
            source: self.remote,
            destination: self.local,
            contents: datagram.try_into()?,
        };
        Ok(self.rtc.handle_input(Input::Receive(now, received))?)
    }

    pub(crate) fn poll_transmit(&mut self, out: &mut Vec<u8>) -> Option<usize> {
        let datagram = self.out.pop_front()?;
        out.extend_from_slice(&datagram);
        Some(datagram.len())
    }
}

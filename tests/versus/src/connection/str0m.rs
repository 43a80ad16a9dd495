//! `str0m`: one change at a time, each followed by `poll_output` until it returns a timeout, as its contract has it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use str0m::change::{SdpAnswer, SdpOffer};
use str0m::channel::ChannelId;
use str0m::net::{DatagramSend, Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

use super::ADDRESSES;
use crate::Result;
use crate::machine::Machine;

pub(crate) struct Str0m {
    rtc: Rtc,
    local: SocketAddr,
    remote: SocketAddr,
    deadline: Option<Instant>,
    channel: Option<ChannelId>,
    out: VecDeque<DatagramSend>,
    received: VecDeque<usize>,
}

impl Str0m {
    fn new(now: Instant, who: usize, send_buffer: usize) -> Result<Self> {
        let mut peer = Self {
            rtc: RtcConfig::new().set_sctp_max_buffered_amount(send_buffer).build(now),
            local: ADDRESSES[who],
            remote: ADDRESSES[1 - who],
            deadline: None,
            channel: None,
            out: VecDeque::new(),
            received: VecDeque::new(),
        };
        peer.rtc.add_local_candidate(Candidate::host(peer.local, "udp")?);
        peer.drain()?;
        Ok(peer)
    }

    fn drain(&mut self) -> Result<()> {
        loop {
            match self.rtc.poll_output()? {
                Output::Timeout(deadline) => {
                    self.deadline = Some(deadline);
                    return Ok(());
                }
                Output::Transmit(transmit) => self.out.push_back(transmit.contents),
                Output::Event(Event::ChannelOpen(id, _)) => self.channel = Some(id),
                Output::Event(Event::ChannelData(data)) => self.received.push_back(data.data.len()),
                Output::Event(Event::ChannelClose(_)) => return Err("closed".into()),
                Output::Event(_) => {}
            }
        }
    }
}

impl Machine for Str0m {
    fn pair(now: Instant, send_buffer: usize) -> Result<[Self; 2]> {
        crate::stack::install_provider_of_str0m();
        let (mut offerer, mut answerer) = (Self::new(now, 0, send_buffer)?, Self::new(now, 1, send_buffer)?);
        let mut change = offerer.rtc.sdp_api();
        change.add_channel("bench".to_owned());
        let (offer, pending) = change.apply().ok_or("nothing to offer")?;
        offerer.drain()?;

        let offer = SdpOffer::from_sdp_string(&offer.to_sdp_string())?;
        let answer = answerer.rtc.sdp_api().accept_offer(offer)?;
        answerer.drain()?;

        let answer = SdpAnswer::from_sdp_string(&answer.to_sdp_string())?;
        offerer.rtc.sdp_api().accept_answer(pending, answer)?;
        offerer.drain()?;
        Ok([offerer, answerer])
    }

    fn handle_datagram(&mut self, now: Instant, datagram: BytesMut) -> Result<()> {
        let received = Receive {
            proto: Protocol::Udp,
            source: self.remote,
            destination: self.local,
            contents: datagram[..].try_into()?,
        };
        self.rtc.handle_input(Input::Receive(now, received))?;
        self.drain()
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<()> {
        self.rtc.handle_input(Input::Timeout(now))?;
        self.drain()
    }

    fn poll_transmit(&mut self, _: Instant, out: &mut Vec<u8>) -> Option<usize> {
        let datagram = self.out.pop_front()?;
        out.extend_from_slice(&datagram);
        Some(datagram.len())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.deadline
    }

    fn is_open(&mut self) -> bool {
        self.channel.is_some()
    }

    fn send(&mut self, _: Instant, payload: &Bytes) -> Result<bool> {
        let id = self.channel.ok_or("not open")?;
        let taken = self.rtc.channel(id).ok_or("closed")?.write(true, payload)?;
        self.drain()?;
        Ok(taken)
    }

    fn recv(&mut self, _: Instant) -> Option<usize> {
        self.received.pop_front()
    }
}

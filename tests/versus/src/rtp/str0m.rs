//! `str0m` in its RTP mode: one change at a time, each followed by `poll_output` until it returns a timeout, as its contract has it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use str0m::change::{SdpAnswer, SdpOffer};
use str0m::media::{Direction, MediaKind, Mid, Pt};
use str0m::net::{DatagramSend, Protocol, Receive};
use str0m::rtp::{RtpPacket, RtpWrite};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

use crate::Result;
use crate::connection::ADDRESSES;
use crate::machine::{Forward, Machine};

pub(crate) struct Str0m {
    rtc: Rtc,
    local: SocketAddr,
    remote: SocketAddr,
    deadline: Option<Instant>,
    media: Option<(Mid, Pt)>,
    number: u64,
    out: VecDeque<DatagramSend>,
    received: VecDeque<RtpPacket>,
}

impl Str0m {
    fn new(now: Instant, who: usize) -> Result<Self> {
        let mut peer = Self {
            rtc: RtcConfig::new().set_rtp_mode(true).build(now),
            local: ADDRESSES[who],
            remote: ADDRESSES[1 - who],
            deadline: None,
            media: None,
            number: 1,
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
                Output::Event(Event::RtpPacket(packet)) => self.received.push_back(packet),
                Output::Event(_) => {}
            }
        }
    }

    fn write(&mut self, now: Instant, payload: &[u8], marker: bool, timestamp: u32) -> Result<()> {
        let (mid, payload_type) = self.media.ok_or("not negotiated")?;
        self.number += 1;
        let write = RtpWrite::new(payload_type, self.number.into(), timestamp, now, payload)
            .marker(marker)
            .nackable(true);
        let mut api = self.rtc.direct_api();
        api.stream_tx_by_mid(mid, None).ok_or("no stream")?.write_rtp(write);
        self.drain()
    }
}

impl Machine for Str0m {
    fn pair(now: Instant, _: usize) -> Result<[Self; 2]> {
        crate::stack::install_provider_of_str0m();
        let (mut offerer, mut answerer) = (Self::new(now, 0)?, Self::new(now, 1)?);
        let mut change = offerer.rtc.sdp_api();
        let mid = change.add_media(MediaKind::Video, Direction::SendOnly, None, None, None);
        let (offer, pending) = change.apply().ok_or("nothing to offer")?;
        offerer.drain()?;

        let offer = SdpOffer::from_sdp_string(&offer.to_sdp_string())?;
        let answer = answerer.rtc.sdp_api().accept_offer(offer)?;
        answerer.drain()?;

        let answer = SdpAnswer::from_sdp_string(&answer.to_sdp_string())?;
        offerer.rtc.sdp_api().accept_answer(pending, answer)?;
        offerer.drain()?;
        let media = offerer.rtc.media(mid).ok_or("no media")?;
        offerer.media = media.remote_pts().first().map(|payload_type| (mid, *payload_type));
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
        self.rtc.is_connected()
    }

    fn send(&mut self, now: Instant, payload: &Bytes) -> Result<bool> {
        self.write(now, payload, true, (self.number as u32).wrapping_mul(3000))?;
        Ok(true)
    }

    fn recv(&mut self, _: Instant) -> Option<usize> {
        self.received.pop_front().map(|packet| packet.payload.len())
    }
}

impl Forward for Str0m {
    fn forward(&mut self, now: Instant, viewers: &mut [Self]) -> Result<()> {
        while let Some(packet) = self.received.pop_front() {
            for viewer in &mut *viewers {
                viewer.write(now, &packet.payload, packet.header.marker, packet.header.timestamp)?;
            }
        }
        Ok(())
    }
}

//! `str0m` in its RTP mode: one change at a time, each followed by `poll_output` until it returns a timeout, as its contract has it.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use str0m::media::{Direction, MediaKind, Mid, Pt};
use str0m::rtp::{RtpPacket, RtpWrite};
use str0m::{Event, Input, RtcConfig};

use crate::Result;
use crate::connection::Str0mPeer;
use crate::machine::{Forward, Machine};

pub(crate) struct Str0m {
    peer: Str0mPeer,
    media: Option<(Mid, Pt)>,
    number: u64,
    received: VecDeque<RtpPacket>,
}

impl Str0m {
    fn new(now: Instant, who: usize) -> Result<Self> {
        Ok(Self {
            peer: Str0mPeer::new(now, who, RtcConfig::new().set_rtp_mode(true))?,
            media: None,
            number: 1,
            received: VecDeque::new(),
        })
    }

    fn drain(&mut self) -> Result<()> {
        while let Some(event) = self.peer.poll()? {
            if let Event::RtpPacket(packet) = event {
                self.received.push_back(packet);
            }
        }
        Ok(())
    }

    fn write(&mut self, now: Instant, payload: &[u8], marker: bool, timestamp: u32) -> Result<()> {
        let (mid, payload_type) = self.media.ok_or("not negotiated")?;
        self.number += 1;
        let write = RtpWrite::new(payload_type, self.number.into(), timestamp, now, payload)
            .marker(marker)
            .nackable(true);
        let mut api = self.peer.rtc.direct_api();
        api.stream_tx_by_mid(mid, None).ok_or("no stream")?.write_rtp(write);
        self.drain()
    }
}

impl Machine for Str0m {
    fn pair(now: Instant, _: usize) -> Result<[Self; 2]> {
        crate::stack::install_provider_of_str0m();
        let (mut offerer, mut answerer) = (Self::new(now, 0)?, Self::new(now, 1)?);
        let mut change = offerer.peer.rtc.sdp_api();
        let mid = change.add_media(MediaKind::Video, Direction::SendOnly, None, None, None);
        let offer = change.apply().ok_or("nothing to offer")?;
        offerer.drain()?;
        let answer = answerer.peer.answer(&offer.0)?;
        answerer.drain()?;
        offerer.peer.accept(offer.1, &answer)?;
        offerer.drain()?;
        let media = offerer.peer.rtc.media(mid).ok_or("no media")?;
        offerer.media = media.remote_pts().first().map(|payload_type| (mid, *payload_type));
        Ok([offerer, answerer])
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
        self.peer.rtc.is_connected()
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
    type Packet = RtpPacket;

    fn recv_packet(&mut self) -> Option<RtpPacket> {
        self.received.pop_front()
    }

    fn forward(&mut self, now: Instant, packet: &RtpPacket) -> Result<()> {
        self.write(now, &packet.payload, packet.header.marker, packet.header.timestamp)
    }
}

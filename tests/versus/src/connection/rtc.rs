//! `rtc`, the machine inside `webrtc`.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use rtc::data_channel::RTCDataChannelId;
use rtc::peer_connection::configuration::RTCConfigurationBuilder;
use rtc::peer_connection::event::{RTCDataChannelEvent, RTCPeerConnectionEvent};
use rtc::peer_connection::message::RTCMessage;
use rtc::peer_connection::sdp::RTCSessionDescription;
use rtc::peer_connection::transport::{CandidateConfig, CandidateHostConfig, RTCIceCandidate};
use rtc::peer_connection::{RTCPeerConnection, RTCPeerConnectionBuilder};
use rtc::sansio::Protocol;
use rtc::shared::{TaggedBytesMut, TransportContext, TransportProtocol};

use super::ADDRESSES;
use crate::Result;
use crate::machine::Machine;

/// A peer with a data channel.
pub(crate) struct Rtc {
    peer: Peer,
    channel: Option<RTCDataChannelId>,
    open: bool,
    received: VecDeque<usize>,
}

impl Rtc {
    fn new(now: Instant, who: usize) -> Result<Self> {
        Ok(Self {
            peer: Peer::new(now, who, RTCPeerConnectionBuilder::new())?,
            channel: None,
            open: false,
            received: VecDeque::new(),
        })
    }

    /// Reads all it has: its layers hand on what they have only when asked.
    fn attend(&mut self) {
        while let Some(read) = self.peer.connection.poll_read() {
            if let RTCMessage::DataChannelMessage(_, message) = read.message {
                self.received.push_back(message.data.len());
            }
        }
        while let Some(event) = self.peer.connection.poll_event() {
            if let RTCPeerConnectionEvent::OnDataChannel(RTCDataChannelEvent::OnOpen(id)) = event {
                self.channel = Some(id);
                self.open = true;
            }
        }
    }
}

impl Machine for Rtc {
    fn pair(now: Instant, _: usize) -> Result<[Self; 2]> {
        let (mut offerer, mut answerer) = (Self::new(now, 0)?, Self::new(now, 1)?);
        offerer.peer.connection.create_data_channel("bench", None)?;
        Peer::negotiate(now, &mut offerer.peer, &mut answerer.peer)?;
        Ok([offerer, answerer])
    }

    fn handle_datagram(&mut self, now: Instant, datagram: BytesMut) -> Result<()> {
        self.peer.handle_datagram(now, datagram)
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<()> {
        Ok(self.peer.connection.handle_timeout(now)?)
    }

    fn poll_transmit(&mut self, _: Instant, out: &mut Vec<u8>) -> Option<usize> {
        self.peer.poll_transmit(out)
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.peer.connection.poll_timeout()
    }

    fn is_open(&mut self) -> bool {
        self.attend();
        self.open
    }

    fn send(&mut self, now: Instant, payload: &Bytes) -> Result<bool> {
        let id = self.channel.ok_or("not open")?;
        let mut channel = self.peer.connection.data_channel(id).ok_or("closed")?;
        channel.send(now, BytesMut::from(&payload[..]))?;
        Ok(true)
    }

    fn recv(&mut self, _: Instant) -> Option<usize> {
        self.attend();
        self.received.pop_front()
    }
}

/// What is the same whatever goes through it.
pub(crate) struct Peer {
    pub(crate) connection: RTCPeerConnection,
    local: SocketAddr,
    remote: SocketAddr,
}

impl Peer {
    pub(crate) fn new(now: Instant, who: usize, builder: RTCPeerConnectionBuilder) -> Result<Self> {
        let [local, remote] = [ADDRESSES[who], ADDRESSES[1 - who]];
        let mut connection = builder
            .with_configuration(RTCConfigurationBuilder::new().build())
            .build(now)?;
        let candidate = CandidateHostConfig {
            base_config: CandidateConfig {
                network: "udp".to_owned(),
                address: local.ip().to_string(),
                port: local.port(),
                component: 1,
                ..CandidateConfig::default()
            },
            ..CandidateHostConfig::default()
        };
        let candidate = RTCIceCandidate::from(&candidate.new_candidate_host()?);
        connection.add_local_candidate(candidate.to_json()?)?;
        Ok(Self {
            connection,
            local,
            remote,
        })
    }

    /// Offer and answer, with the candidates in them.
    pub(crate) fn negotiate(now: Instant, offerer: &mut Self, answerer: &mut Self) -> Result<()> {
        let offer = offerer.connection.create_offer(None)?;
        offerer.connection.set_local_description(now, offer)?;

        let offer = RTCSessionDescription::offer(offerer.description()?.sdp)?;
        answerer.connection.set_remote_description(now, offer)?;
        let answer = answerer.connection.create_answer(None)?;
        answerer.connection.set_local_description(now, answer)?;

        let answer = RTCSessionDescription::answer(answerer.description()?.sdp)?;
        Ok(offerer.connection.set_remote_description(now, answer)?)
    }

    fn description(&self) -> Result<RTCSessionDescription> {
        Ok(self.connection.local_description().ok_or("no local description")?)
    }

    pub(crate) fn handle_datagram(&mut self, now: Instant, message: BytesMut) -> Result<()> {
        let transport = TransportContext {
            local_addr: self.local,
            peer_addr: self.remote,
            transport_protocol: TransportProtocol::UDP,
            ecn: None,
        };
        let datagram = TaggedBytesMut {
            now,
            transport,
            message,
        };
        Ok(self.connection.handle_read(datagram)?)
    }

    pub(crate) fn poll_transmit(&mut self, out: &mut Vec<u8>) -> Option<usize> {
        let datagram = self.connection.poll_write()?.message;
        out.extend_from_slice(&datagram);
        Some(datagram.len())
    }
}

//! Peerline, by its asynchronous API.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bytes::Bytes;
use peerline::{
    AddressFilter, Configuration, ConnectionState, DataChannel, DataChannelInit, IncomingPacket, MediaKind, Message,
    OutgoingPacket, PeerConnection, PeerEvent, ProtocolVersion, ReceiveMode, RtpReceiver, RtpSender,
    SessionDescription, SrtpProfile, TransceiverDirection, TransceiverInit,
};

use super::{Channel, MediaStack, PacketReceiver, PacketSender, Pair, Stack};
use crate::Result;
use crate::rtp::Protection;

pub(crate) struct Peerline;

pub(crate) struct End {
    connection: PeerConnection,
    channel: DataChannel,
}

/// The same with DTLS 1.2, as the others have it.
pub(crate) struct PeerlineDtls12;

impl Stack for Peerline {
    type Channel = End;

    async fn connect(send_buffer: usize) -> Result<Pair<End>> {
        End::connect(send_buffer, ProtocolVersion::DTLS_1_3).await
    }
}

impl Stack for PeerlineDtls12 {
    type Channel = End;

    async fn connect(send_buffer: usize) -> Result<Pair<End>> {
        End::connect(send_buffer, ProtocolVersion::DTLS_1_2).await
    }
}

impl End {
    async fn connect(send_buffer: usize, max_dtls_version: ProtocolVersion) -> Result<Pair<Self>> {
        let configuration = Configuration {
            buffered_amount_high_water_mark: send_buffer,
            max_dtls_version,
            ..on_loopback()
        };
        let offerer = PeerConnection::new(configuration.clone()).await?;
        let answerer = PeerConnection::new(configuration).await?;
        let channel = offerer.create_data_channel("bench", DataChannelInit::default())?;
        negotiate(&offerer, &answerer).await?;

        channel.opened().await?;
        let accepted = accept(&answerer).await?;
        Ok(Pair {
            offerer: End {
                connection: offerer,
                channel,
            },
            answerer: End {
                connection: answerer,
                channel: accepted,
            },
        })
    }
}

fn on_loopback() -> Configuration {
    Configuration {
        loopback: true,
        address_filter: Some(AddressFilter::only([IpAddr::V4(Ipv4Addr::LOCALHOST)])),
        ..Configuration::default()
    }
}

async fn negotiate(offerer: &PeerConnection, answerer: &PeerConnection) -> Result<()> {
    offerer.set_local_description(offerer.create_offer()?)?;
    answerer.set_remote_description(gathered(offerer).await?)?;
    answerer.set_local_description(answerer.create_answer()?)?;
    Ok(offerer.set_remote_description(gathered(answerer).await?)?)
}

async fn gathered(peer: &PeerConnection) -> Result<SessionDescription> {
    peer.gathering_complete().await;
    Ok(peer.local_description().ok_or("no local description")?)
}

async fn accept(peer: &PeerConnection) -> Result<DataChannel> {
    while let Some(event) = peer.next_event().await {
        if let PeerEvent::DataChannel(channel) = event {
            channel.opened().await?;
            return Ok(channel);
        }
    }
    Err("closed before a channel came".into())
}

impl Channel for End {
    async fn send(&mut self, payload: &Bytes) -> Result<()> {
        Ok(self.channel.send(payload.clone()).await?)
    }

    async fn recv(&mut self) -> Result<usize> {
        match self.channel.recv().await {
            Some(Message::Binary(bytes)) => Ok(bytes.len()),
            Some(Message::Text(_)) => Err("text, where binary was sent".into()),
            None => Err("closed".into()),
        }
    }

    async fn close(self) {
        self.connection.close();
    }
}

pub(crate) struct Sender {
    sender: RtpSender,
    payload_type: u8,
    timestamp: u32,
    _connection: PeerConnection,
}

pub(crate) struct Receiver {
    receiver: RtpReceiver,
    packets: Vec<IncomingPacket>,
    _connection: PeerConnection,
}

impl MediaStack for Peerline {
    type Sender = Sender;
    type Receiver = Receiver;

    async fn connect_media(protection: Protection) -> Result<(Sender, Receiver)> {
        let mut configuration = on_loopback();
        if protection == Protection::AesCm {
            configuration.srtp_profiles = Arc::new([SrtpProfile::Aes128CmHmacSha1_80]);
        }
        let offerer = PeerConnection::new(configuration.clone()).await?;
        let answerer = PeerConnection::new(configuration).await?;
        let init = TransceiverInit {
            direction: TransceiverDirection::SendOnly,
            ..TransceiverInit::default()
        };
        let sender = offerer.add_transceiver(MediaKind::Video, init)?.sender();
        negotiate(&offerer, &answerer).await?;
        let codec = sender.codecs().first().ok_or("no codec")?.clone();
        let receiver = track(&answerer).await?;
        receiver.set_mode(ReceiveMode::Packets);
        connected(&offerer).await?;
        let sender = Sender {
            sender,
            payload_type: codec.payload_type,
            timestamp: 0,
            _connection: offerer,
        };
        let receiver = Receiver {
            receiver,
            packets: Vec::new(),
            _connection: answerer,
        };
        Ok((sender, receiver))
    }
}

async fn track(peer: &PeerConnection) -> Result<RtpReceiver> {
    while let Some(event) = peer.next_event().await {
        if let PeerEvent::Track(track) = event {
            return Ok(track.receiver);
        }
    }
    Err("closed before a track came".into())
}

async fn connected(peer: &PeerConnection) -> Result<()> {
    while let Some(event) = peer.next_event().await {
        if let PeerEvent::ConnectionState(ConnectionState::Connected) = event {
            return Ok(());
        }
    }
    Err("closed before it was connected".into())
}

impl PacketSender for Sender {
    async fn send(&mut self, payload: &Bytes, count: usize) -> Result<()> {
        self.timestamp = self.timestamp.wrapping_add(3000);
        let packet = |number| OutgoingPacket {
            payload: payload.clone(),
            marker: number == count,
            payload_type: self.payload_type,
            timestamp: self.timestamp,
            ..OutgoingPacket::default()
        };
        match self.sender.send_packets((1..=count).map(packet)) {
            sent if sent == count => Ok(()),
            _ => Err("packets were refused".into()),
        }
    }
}

impl PacketReceiver for Receiver {
    async fn recv(&mut self) -> Result<usize> {
        self.packets.clear();
        match self.receiver.recv_packets(&mut self.packets).await {
            0 => Err("the track has ended".into()),
            count => Ok(count),
        }
    }
}

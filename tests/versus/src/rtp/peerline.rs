//! `peerline-connection`.

use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use peerline_connection::{
    Config, ConnectionState, Event, IncomingPacket, MediaKind, OutgoingPacket, ReceiveMode, SrtpProfile,
    TransceiverDirection, TransceiverId, TransceiverInit,
};

use crate::machine::{Forward, Machine};
use crate::{Result, connection};

/// With AES-128-GCM, its default, or with AES-CM.
pub(crate) struct Peerline<const AES_CM: bool = false> {
    peer: connection::Peerline,
    transceiver: Option<TransceiverId>,
    payload_type: Option<u8>,
    timestamp: u32,
}

impl<const AES_CM: bool> Peerline<AES_CM> {
    fn new(now: Instant, who: usize) -> Result<Self> {
        let mut config: Config = <connection::Peerline>::config(who)?;
        if AES_CM {
            config.srtp_profiles = Arc::new([SrtpProfile::Aes128CmHmacSha1_80]);
        }
        Ok(Self {
            peer: connection::Peerline::new(now, who, config),
            transceiver: None,
            payload_type: None,
            timestamp: 0,
        })
    }

    fn attend(&mut self) {
        while let Some(event) = self.peer.connection.poll_event() {
            if let Event::Track { transceiver, .. } = event {
                self.transceiver = Some(transceiver);
                self.peer.connection.set_receive_mode(transceiver, ReceiveMode::Packets);
            }
        }
    }

    fn send_packet(&mut self, now: Instant, payload: Bytes, marker: bool, timestamp: u32) -> Result<bool> {
        let (Some(transceiver), Some(payload_type)) = (self.transceiver, self.payload_type) else {
            return Err("not negotiated".into());
        };
        let packet = OutgoingPacket {
            payload,
            marker,
            payload_type,
            timestamp,
            ..OutgoingPacket::default()
        };
        self.peer.connection.send_packet(now, transceiver, packet)?;
        Ok(true)
    }
}

impl<const AES_CM: bool> Machine for Peerline<AES_CM> {
    fn pair(now: Instant, _: usize) -> Result<[Self; 2]> {
        let (mut sender, mut receiver) = (Self::new(now, 0)?, Self::new(now, 1)?);
        let init = TransceiverInit {
            direction: TransceiverDirection::SendOnly,
            ..TransceiverInit::default()
        };
        let connection = &mut sender.peer.connection;
        let transceiver = connection.add_transceiver(now, MediaKind::Video, init)?;
        sender.transceiver = Some(transceiver);
        connection::Peerline::negotiate(now, &mut sender.peer, &mut receiver.peer)?;
        let parameters = sender.peer.connection.send_parameters(transceiver)?;
        sender.payload_type = parameters.codecs.first().map(|codec| codec.payload_type);
        receiver.transceiver = receiver.peer.connection.transceivers().next().map(|found| found.id());
        Ok([sender, receiver])
    }

    fn handle_datagram(&mut self, now: Instant, payload: BytesMut) -> Result<()> {
        self.peer.handle_datagram(now, payload)
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<()> {
        self.peer.handle_timeout(now)
    }

    fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<usize> {
        self.peer.poll_transmit(now, out)
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.peer.poll_timeout()
    }

    fn is_open(&mut self) -> bool {
        self.attend();
        if let (Some(transceiver), None) = (self.transceiver, self.payload_type) {
            self.peer.connection.set_receive_mode(transceiver, ReceiveMode::Packets);
        }
        self.peer.connection.connection_state() == ConnectionState::Connected
    }

    fn send(&mut self, now: Instant, payload: &Bytes) -> Result<bool> {
        self.timestamp = self.timestamp.wrapping_add(3000);
        self.send_packet(now, payload.clone(), true, self.timestamp)
    }

    fn recv(&mut self, _: Instant) -> Option<usize> {
        self.attend();
        Some(self.peer.connection.recv_packet(self.transceiver?)?.payload.len())
    }
}

impl<const AES_CM: bool> Forward for Peerline<AES_CM> {
    type Packet = IncomingPacket;

    fn recv_packet(&mut self) -> Option<IncomingPacket> {
        self.attend();
        self.peer.connection.recv_packet(self.transceiver?)
    }

    fn forward(&mut self, now: Instant, packet: &IncomingPacket) -> Result<()> {
        self.send_packet(now, packet.payload.clone(), packet.marker, packet.timestamp)?;
        Ok(())
    }
}

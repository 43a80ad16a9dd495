//! `rtc`, the machine inside `webrtc`, with its default codecs and interceptors.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use rtc::dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc::interceptor::Registry;
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::RTCPeerConnectionBuilder;
use rtc::peer_connection::configuration::interceptor_registry::register_default_interceptors;
use rtc::peer_connection::configuration::media_engine::{MIME_TYPE_VP8, MediaEngine};
use rtc::peer_connection::configuration::setting_engine::{SettingEngine, SettingEngineBuilder};
use rtc::peer_connection::event::RTCPeerConnectionEvent;
use rtc::peer_connection::message::RTCMessage;
use rtc::peer_connection::state::RTCPeerConnectionState;
use rtc::rtp_transceiver::rtp_sender::{RTCRtpCodec, RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind};
use rtc::rtp_transceiver::{RTCRtpSenderId, RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use rtc::sansio::Protocol;

use super::Protection;
use crate::Result;
use crate::connection::RtcPeer;
use crate::machine::Machine;

/// With AES-128-GCM, its default, or with AES-CM.
pub(crate) struct Rtc<const AES_CM: bool = false> {
    peer: RtcPeer,
    sender: Option<(RTCRtpSenderId, u8)>,
    number: u16,
    timestamp: u32,
    connected: bool,
    received: VecDeque<usize>,
}

const SSRC: u32 = 4242;

impl<const AES_CM: bool> Rtc<AES_CM> {
    fn new(now: Instant, who: usize) -> Result<Self> {
        let mut engine = MediaEngine::default();
        engine.register_default_codecs()?;
        let registry = register_default_interceptors(Registry::new(), &mut engine)?;
        let protection = if AES_CM { Protection::AesCm } else { Protection::Gcm };
        let builder = RTCPeerConnectionBuilder::new()
            .with_media_engine(engine)
            .with_setting_engine(settings(protection))
            .with_interceptor_registry(registry);
        Ok(Self {
            peer: RtcPeer::new(now, who, builder)?,
            sender: None,
            number: 0,
            timestamp: 0,
            connected: false,
            received: VecDeque::new(),
        })
    }

    /// Reads all it has: its layers hand on what they have only when asked.
    fn attend(&mut self) {
        while let Some(read) = self.peer.connection.poll_read() {
            if let RTCMessage::RtpPacket(_, packet) = read.message {
                self.received.push_back(packet.payload.len());
            }
        }
        while let Some(event) = self.peer.connection.poll_event() {
            if let RTCPeerConnectionEvent::OnConnectionStateChangeEvent(RTCPeerConnectionState::Connected) = event {
                self.connected = true;
            }
        }
    }
}

/// With what it negotiates by default, AES-128-GCM, or with AES-CM.
pub(crate) fn settings(protection: Protection) -> SettingEngine {
    let settings = SettingEngineBuilder::new();
    match protection {
        Protection::Gcm => settings.build(),
        Protection::AesCm => {
            let only = vec![SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80];
            settings.with_srtp_protection_profiles(only).build()
        }
    }
}

pub(crate) fn track() -> MediaStreamTrack {
    let encoding = RTCRtpEncodingParameters {
        rtp_coding_parameters: RTCRtpCodingParameters {
            ssrc: Some(SSRC),
            ..RTCRtpCodingParameters::default()
        },
        active: true,
        codec: RTCRtpCodec {
            mime_type: MIME_TYPE_VP8.to_owned(),
            clock_rate: 90_000,
            ..RTCRtpCodec::default()
        },
        ..RTCRtpEncodingParameters::default()
    };
    let name = || "bench".to_owned();
    MediaStreamTrack::new(name(), name(), name(), RtpCodecKind::Video, vec![encoding])
}

pub(crate) fn packet(payload_type: u8, marker: bool, number: u16, timestamp: u32, payload: &Bytes) -> rtc::rtp::Packet {
    rtc::rtp::Packet {
        header: rtc::rtp::Header {
            version: 2,
            marker,
            payload_type,
            sequence_number: number,
            timestamp,
            ssrc: SSRC,
            ..rtc::rtp::Header::default()
        },
        payload: payload.clone(),
    }
}

impl<const AES_CM: bool> Machine for Rtc<AES_CM> {
    fn pair(now: Instant, _: usize) -> Result<[Self; 2]> {
        let (mut offerer, mut answerer) = (Self::new(now, 0)?, Self::new(now, 1)?);
        let init = RTCRtpTransceiverInit {
            direction: RTCRtpTransceiverDirection::Sendonly,
            streams: vec![],
            send_encodings: vec![],
        };
        let transceiver = offerer
            .peer
            .connection
            .add_transceiver_from_track(track(), Some(init))?;
        RtcPeer::negotiate(now, &mut offerer.peer, &mut answerer.peer)?;

        let id = RTCRtpSenderId::from(transceiver);
        let mut sender = offerer.peer.connection.rtp_sender(id).ok_or("no sender")?;
        let codecs = &sender.get_parameters().rtp_parameters.codecs;
        let payload_type = codecs.first().ok_or("no codec")?.payload_type;
        offerer.sender = Some((id, payload_type));
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
        self.connected
    }

    fn send(&mut self, now: Instant, payload: &Bytes) -> Result<bool> {
        let (id, payload_type) = self.sender.ok_or("not negotiated")?;
        self.number = self.number.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(3000);
        let packet = packet(payload_type, true, self.number, self.timestamp, payload);
        let mut sender = self.peer.connection.rtp_sender(id).ok_or("no sender")?;
        sender.write_rtp(now, packet)?;
        Ok(true)
    }

    fn recv(&mut self, _: Instant) -> Option<usize> {
        self.attend();
        self.received.pop_front()
    }
}

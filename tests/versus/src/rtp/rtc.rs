//! `rtc`, the machine inside `webrtc`, with its default codecs and interceptors.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use rtc::dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc::interceptor::Registry;
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::configuration::RTCConfigurationBuilder;
use rtc::peer_connection::configuration::interceptor_registry::register_default_interceptors;
use rtc::peer_connection::configuration::media_engine::{MIME_TYPE_VP8, MediaEngine};
use rtc::peer_connection::configuration::setting_engine::SettingEngineBuilder;
use rtc::peer_connection::event::RTCPeerConnectionEvent;
use rtc::peer_connection::message::RTCMessage;
use rtc::peer_connection::sdp::RTCSessionDescription;
use rtc::peer_connection::state::RTCPeerConnectionState;
use rtc::peer_connection::transport::{CandidateConfig, CandidateHostConfig, RTCIceCandidate};
use rtc::peer_connection::{RTCPeerConnection, RTCPeerConnectionBuilder};
use rtc::rtp_transceiver::rtp_sender::{RTCRtpCodec, RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind};
use rtc::rtp_transceiver::{RTCRtpSenderId, RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use rtc::sansio::Protocol;
use rtc::shared::{TaggedBytesMut, TransportContext, TransportProtocol};

use crate::Result;
use crate::connection::ADDRESSES;
use crate::machine::Machine;

/// With AES-128-GCM, its default, or with AES-CM.
pub(crate) struct Rtc<const AES_CM: bool = false> {
    connection: RTCPeerConnection,
    local: SocketAddr,
    remote: SocketAddr,
    sender: Option<(RTCRtpSenderId, u8)>,
    number: u16,
    timestamp: u32,
    connected: bool,
    received: VecDeque<usize>,
}

const SSRC: u32 = 4242;

impl<const AES_CM: bool> Rtc<AES_CM> {
    fn new(now: Instant, who: usize) -> Result<Self> {
        let [local, remote] = [ADDRESSES[who], ADDRESSES[1 - who]];
        let mut engine = MediaEngine::default();
        engine.register_default_codecs()?;
        let registry = register_default_interceptors(Registry::new(), &mut engine)?;
        let mut settings = SettingEngineBuilder::new();
        if AES_CM {
            let only = vec![SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80];
            settings = settings.with_srtp_protection_profiles(only);
        }
        let mut connection = RTCPeerConnectionBuilder::new()
            .with_configuration(RTCConfigurationBuilder::new().build())
            .with_media_engine(engine)
            .with_setting_engine(settings.build())
            .with_interceptor_registry(registry)
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
            sender: None,
            number: 0,
            timestamp: 0,
            connected: false,
            received: VecDeque::new(),
        })
    }

    fn description(&self) -> Result<RTCSessionDescription> {
        Ok(self.connection.local_description().ok_or("no local description")?)
    }

    /// Reads all it has: its layers hand on what they have only when asked.
    fn attend(&mut self) {
        while let Some(read) = self.connection.poll_read() {
            if let RTCMessage::RtpPacket(_, packet) = read.message {
                self.received.push_back(packet.payload.len());
            }
        }
        while let Some(event) = self.connection.poll_event() {
            if let RTCPeerConnectionEvent::OnConnectionStateChangeEvent(RTCPeerConnectionState::Connected) = event {
                self.connected = true;
            }
        }
    }
}

fn track() -> MediaStreamTrack {
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

impl<const AES_CM: bool> Machine for Rtc<AES_CM> {
    fn pair(now: Instant, _: usize) -> Result<[Self; 2]> {
        let (mut offerer, mut answerer) = (Self::new(now, 0)?, Self::new(now, 1)?);
        let init = RTCRtpTransceiverInit {
            direction: RTCRtpTransceiverDirection::Sendonly,
            streams: vec![],
            send_encodings: vec![],
        };
        let transceiver = offerer.connection.add_transceiver_from_track(track(), Some(init))?;
        let offer = offerer.connection.create_offer(None)?;
        offerer.connection.set_local_description(now, offer)?;

        let offer = RTCSessionDescription::offer(offerer.description()?.sdp)?;
        answerer.connection.set_remote_description(now, offer)?;
        let answer = answerer.connection.create_answer(None)?;
        answerer.connection.set_local_description(now, answer)?;

        let answer = RTCSessionDescription::answer(answerer.description()?.sdp)?;
        offerer.connection.set_remote_description(now, answer)?;
        let id = RTCRtpSenderId::from(transceiver);
        let mut sender = offerer.connection.rtp_sender(id).ok_or("no sender")?;
        let codecs = &sender.get_parameters().rtp_parameters.codecs;
        let payload_type = codecs.first().ok_or("no codec")?.payload_type;
        offerer.sender = Some((id, payload_type));
        Ok([offerer, answerer])
    }

    fn handle_datagram(&mut self, now: Instant, message: BytesMut) -> Result<()> {
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

    fn handle_timeout(&mut self, now: Instant) -> Result<()> {
        Ok(self.connection.handle_timeout(now)?)
    }

    fn poll_transmit(&mut self, _: Instant, out: &mut Vec<u8>) -> Option<usize> {
        let datagram = self.connection.poll_write()?.message;
        out.extend_from_slice(&datagram);
        Some(datagram.len())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.connection.poll_timeout()
    }

    fn is_open(&mut self) -> bool {
        self.attend();
        self.connected
    }

    fn send(&mut self, now: Instant, payload: &Bytes) -> Result<bool> {
        let (id, payload_type) = self.sender.ok_or("not negotiated")?;
        self.number = self.number.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(3000);
        let packet = rtc::rtp::Packet {
            header: rtc::rtp::Header {
                version: 2,
                marker: true,
                payload_type,
                sequence_number: self.number,
                timestamp: self.timestamp,
                ssrc: SSRC,
                ..rtc::rtp::Header::default()
            },
            payload: payload.clone(),
        };
        let mut sender = self.connection.rtp_sender(id).ok_or("no sender")?;
        sender.write_rtp(now, packet)?;
        Ok(true)
    }

    fn recv(&mut self, _: Instant) -> Option<usize> {
        self.attend();
        self.received.pop_front()
    }
}

//! Data channels and media with rtc, the machine inside webrtc-rs: in memory, in virtual time, each side as offerer, as answerer, as
//! DTLS client and server.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::BytesMut;
use peerline_native::lab::Seat;
use peerline_native::peer::{Channel, ChannelPlan, Message, News, Peer, Quirks};
use rtc::data_channel::{RTCDataChannelId, RTCDataChannelInit, RTCDataChannelState};
use rtc::peer_connection::configuration::RTCConfigurationBuilder;
use rtc::peer_connection::configuration::setting_engine::{SctpMaxMessageSize, SettingEngineBuilder};
use rtc::peer_connection::event::{RTCDataChannelEvent, RTCPeerConnectionEvent};
use rtc::peer_connection::message::RTCMessage;
use rtc::peer_connection::sdp::RTCSessionDescription;
use rtc::peer_connection::state::RTCPeerConnectionState;
use rtc::peer_connection::transport::{CandidateConfig, CandidateHostConfig, RTCDtlsRole, RTCIceCandidate};
use rtc::peer_connection::{RTCPeerConnection, RTCPeerConnectionBuilder};
use rtc::sansio::Protocol;
use rtc::shared::{TaggedBytesMut, TransportContext, TransportProtocol};

mod media;

struct Rtc {
    connection: RTCPeerConnection,
    address: SocketAddr,
    channels: Vec<RTCDataChannelId>,
    news: VecDeque<News>,
    closed: bool,
    media: media::State,
}

/// What is queued on a channel before we wait: rtc itself knows no limit.
const ROOM: usize = 1 << 20;

impl Rtc {
    fn make(seat: Seat) -> Box<dyn Peer> {
        let role = if seat.dtls_client {
            RTCDtlsRole::Client
        } else {
            RTCDtlsRole::Server
        };
        let settings = SettingEngineBuilder::new()
            // It does not look at what the offer leaves it to choose from.
            .with_answering_dtls_role(role)
            .with_srtp_protection_profiles(media::profiles(seat.media.srtp))
            .with_sctp_max_message_size(SctpMaxMessageSize::Bounded(256 * 1024))
            .build();
        let (engine, registry) = media::engine(seat.media.formats);
        let mut connection = RTCPeerConnectionBuilder::new()
            .with_media_engine(engine)
            .with_interceptor_registry(registry)
            .with_configuration(RTCConfigurationBuilder::new().build())
            .with_setting_engine(settings)
            .build(seat.now)
            .expect("a connection");
        let candidate = CandidateHostConfig {
            base_config: CandidateConfig {
                network: "udp".to_owned(),
                address: seat.address.ip().to_string(),
                port: seat.address.port(),
                component: 1,
                ..CandidateConfig::default()
            },
            ..CandidateHostConfig::default()
        };
        let candidate = RTCIceCandidate::from(&candidate.new_candidate_host().expect("a candidate"));
        connection
            .add_local_candidate(candidate.to_json().expect("as in SDP"))
            .expect("its own address");
        Box::new(Self {
            connection,
            address: seat.address,
            channels: Vec::new(),
            news: VecDeque::new(),
            closed: false,
            media: media::State::default(),
        })
    }

    fn attend(&mut self) {
        while let Some(event) = self.connection.poll_event() {
            let news = match event {
                RTCPeerConnectionEvent::OnDataChannel(RTCDataChannelEvent::OnOpen(id)) => {
                    if !self.channels.contains(&id) {
                        self.channels.push(id);
                    }
                    News::Open(self.find(id))
                }
                RTCPeerConnectionEvent::OnDataChannel(RTCDataChannelEvent::OnClose(id)) => {
                    News::ChannelClosed(self.find(id))
                }
                RTCPeerConnectionEvent::OnConnectionStateChangeEvent(
                    RTCPeerConnectionState::Closed | RTCPeerConnectionState::Failed,
                ) if !self.closed => News::Closed,
                RTCPeerConnectionEvent::OnConnectionStateChangeEvent(RTCPeerConnectionState::Connected) => {
                    self.media.connected = true;
                    continue;
                }
                RTCPeerConnectionEvent::OnTrack(event) => {
                    self.on_track_event(event);
                    continue;
                }
                _ => continue,
            };
            self.news.push_back(news);
        }
        while let Some(tagged) = self.connection.poll_read() {
            let (id, message) = match tagged.message {
                RTCMessage::DataChannelMessage(id, message) => (id, message),
                RTCMessage::RtpPacket(track, packet) => {
                    self.on_rtp(tagged.now, &track, packet);
                    continue;
                }
                RTCMessage::RtcpPacket(_, packets) => {
                    self.on_rtcp(&packets);
                    continue;
                }
                _ => continue,
            };
            let channel = self.find(id);
            let message = if message.is_string {
                Message::Text(String::from_utf8(message.data.to_vec()).expect("UTF-8"))
            } else {
                Message::Binary(message.data.to_vec())
            };
            self.news.push_back(News::Message(channel, message));
        }
    }

    fn find(&self, id: RTCDataChannelId) -> Channel {
        Channel(self.channels.iter().position(|known| *known == id).expect("known"))
    }
}

impl Peer for Rtc {
    fn create_offer(&mut self, now: Instant) -> String {
        let offer = self.connection.create_offer(None).expect("an offer");
        self.connection.set_local_description(now, offer).expect("our offer");
        self.connection.local_description().expect("one was set").sdp
    }

    fn create_answer(&mut self, now: Instant, offer: &str) -> String {
        let offer = RTCSessionDescription::offer(offer.to_owned()).expect("an offer");
        self.connection
            .set_remote_description(now, offer)
            .expect("the offer fits");
        let answer = self.connection.create_answer(None).expect("an answer");
        self.connection.set_local_description(now, answer).expect("our answer");
        self.connection.local_description().expect("one was set").sdp
    }

    fn accept_answer(&mut self, now: Instant, answer: &str) {
        let answer = RTCSessionDescription::answer(answer.to_owned()).expect("an answer");
        self.connection
            .set_remote_description(now, answer)
            .expect("the answer fits");
    }

    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, payload: &[u8]) {
        let transport = TransportContext {
            local_addr: self.address,
            peer_addr: from,
            transport_protocol: TransportProtocol::UDP,
            ecn: None,
        };
        // It fails for what comes late; that is no matter.
        let _ = self.connection.handle_read(TaggedBytesMut {
            now,
            transport,
            message: BytesMut::from(payload),
        });
    }

    fn handle_timeout(&mut self, now: Instant) {
        let _ = self.connection.handle_timeout(now);
    }

    fn poll_transmit(&mut self, _: Instant) -> Option<Vec<u8>> {
        self.connection.poll_write().map(|tagged| tagged.message.to_vec())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.connection.poll_timeout()
    }

    fn poll_news(&mut self, _: Instant) -> Option<News> {
        self.attend();
        self.news.pop_front()
    }

    fn open(&mut self, _: Instant, plan: &ChannelPlan) -> Channel {
        let init = RTCDataChannelInit {
            ordered: plan.ordered,
            max_packet_life_time: plan.max_packet_life_time,
            max_retransmits: plan.max_retransmits,
            protocol: plan.protocol.clone(),
            negotiated: plan.negotiated,
        };
        let channel = self
            .connection
            .create_data_channel(&plan.label, Some(init))
            .expect("a channel");
        let (id, state) = (channel.id(), channel.ready_state());
        self.channels.push(id);
        let channel = self.find(id);
        // A channel agreed on beforehand is open at once on a connection that is up, without a word.
        if state == RTCDataChannelState::Open {
            self.news.push_back(News::Open(channel));
        }
        channel
    }

    fn properties(&mut self, channel: Channel) -> ChannelPlan {
        let channel = self.connection.data_channel(self.channels[channel.0]).expect("open");
        ChannelPlan {
            label: channel.label().to_owned(),
            protocol: channel.protocol().to_owned(),
            ordered: channel.ordered(),
            max_retransmits: channel.max_retransmits(),
            max_packet_life_time: channel.max_packet_life_time(),
            negotiated: channel.stream_id().filter(|_| channel.negotiated()),
        }
    }

    fn send(&mut self, now: Instant, channel: Channel, message: &Message) -> bool {
        let mut channel = self.connection.data_channel(self.channels[channel.0]).expect("open");
        if channel.outstanding_bytes() > ROOM {
            return false;
        }
        match message {
            Message::Text(text) => channel.send_text(now, text.as_str()),
            Message::Binary(bytes) => channel.send(now, BytesMut::from(&bytes[..])),
        }
        .expect("the message is taken");
        true
    }

    fn close_channel(&mut self, _: Instant, channel: Channel) {
        let mut channel = self.connection.data_channel(self.channels[channel.0]).expect("open");
        channel.close().expect("it can be closed");
    }

    fn close(&mut self, _: Instant) {
        self.closed = true;
        self.connection.close().expect("it can be closed");
    }

    fn quirks(&self) -> Quirks {
        Quirks {
            forgets_reliability: true,
            reuses_ids_early: true,
            one_codec_a_track: true,
            // Its depacketizer tells what is in each packet, and leaves it at that.
            no_h265: true,
            ignores_stops: true,
            measures_no_round_trip: true,
            no_news_of_closing: true,
            ..Quirks::default()
        }
    }
}

peerline_native::scenarios!(Rtc::make);

//! This stack as a [`Peer`].

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use bytes::BytesMut;
use peerline_connection::{
    Certificate, ChannelId, CodecSupport, Config, Connection, ConnectionState, DataChannelInit, Error, Event,
    IncomingFrame, MediaKind, OfferOptions, OutgoingFrame, RtpCodecParameters, RtpEncodingParameters,
    SessionDescription, SrtpProfile, StatsKind, Track, TransceiverDirection, TransceiverId, TransceiverInit,
    default_provider,
};
use peerline_wire::{Datagram, FiveTuple, Transport};

use crate::lab::Seat;
use crate::media::{self, Codec, Counts, Direction, Format, Frame, KEYS, Media, MediaPlan, RED};
use crate::peer::{Agreed, Channel, ChannelPlan, Message, News, Peer};

/// What a packet of Ethernet leaves to UDP over IPv6: no datagram may be larger (RFC 8899 finds that the path takes it).
const ETHERNET: usize = 1452;

/// A [`Connection`] with one address.
pub struct Ours {
    connection: Connection,
    address: SocketAddr,
    channels: Vec<ChannelId>,
    news: VecDeque<News>,
    closed: bool,
    tracks: usize,
}

impl Ours {
    /// A connection that has not begun.
    pub fn make(seat: Seat) -> Box<dyn Peer> {
        static CERTIFICATE: OnceLock<Arc<Certificate>> = OnceLock::new();
        let certificate = CERTIFICATE.get_or_init(|| {
            let day = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
            Arc::new(Certificate::generate(&default_provider(), day).expect("ring makes one"))
        });
        let srtp = seat.media.srtp.map(|profile| SrtpProfile::from_number(profile as u16));
        let extras = [
            CodecSupport::new("audio/red", 48_000, Some(2), "", RED),
            CodecSupport::new("audio/telephone-event", 48_000, Some(1), "0-15", KEYS),
        ];
        let extras = extras.into_iter().filter(|_| seat.media.has_extras);
        let config = Config {
            rng_seed: [7; 32],
            codecs: seat.media.formats.iter().map(to_support).chain(extras).collect(),
            srtp_profiles: match srtp {
                Some(only) => Arc::new([only.expect("we have all")]),
                None => Arc::new(SrtpProfile::ALL),
            },
            ..Config::new(certificate.clone())
        };
        Box::new(Self {
            connection: Connection::new(seat.now, config),
            address: seat.address,
            channels: Vec::new(),
            news: VecDeque::new(),
            closed: false,
            tracks: 0,
        })
    }

    /// Does what a driver does with events, and keeps those that are news.
    fn attend(&mut self, now: Instant) {
        while let Some(event) = self.connection.poll_event() {
            match event {
                Event::Gather => {
                    self.connection.add_local_address(now, self.address, Transport::Udp);
                    self.connection.finish_gathering(now);
                }
                Event::DataChannel(id) => {
                    self.channels.push(id);
                    self.news.push_back(News::Open(self.find(id)));
                }
                Event::ChannelOpen(id) => self.news.push_back(News::Open(self.find(id))),
                Event::ChannelReadable(id) => {
                    let channel = self.find(id);
                    while let Some(message) = self.connection.recv(now, id) {
                        self.news.push_back(News::Message(channel, from_ours(message)));
                    }
                }
                Event::ChannelClosed(id) => self.news.push_back(News::ChannelClosed(self.find(id))),
                Event::MediaReadable(id) => {
                    while let Some(frame) = self.connection.recv_frame(id) {
                        let news = News::Frame(self.mid(id), self.to_frame(id, frame));
                        self.news.push_back(news);
                    }
                }
                Event::KeyframeRequest(id, rid) => {
                    let news = News::KeyframeRequest(self.mid(id), rid.map(|rid| rid.to_string()));
                    self.news.push_back(news);
                }
                Event::DtmfTone(id, tone) => self.news.push_back(News::Key(self.mid(id), tone.tone)),
                Event::ChannelError(id) => panic!("the peer broke the rules of {:?}", self.find(id)),
                // Its own close is no news.
                Event::ConnectionStateChange(ConnectionState::Closed | ConnectionState::Failed) if !self.closed => {
                    self.news.push_back(News::Closed);
                }
                _ => {}
            }
        }
    }

    fn find(&self, id: ChannelId) -> Channel {
        Channel(
            self.channels
                .iter()
                .position(|known| *known == id)
                .expect("a channel that is known"),
        )
    }

    fn mid(&self, id: TransceiverId) -> String {
        let transceiver = self.connection.transceiver(id).expect("a transceiver that is known");
        transceiver.mid().expect("it is bound to a section").to_owned()
    }

    fn transceiver(&self, mid: &str) -> TransceiverId {
        let mut all = self.connection.transceivers();
        let found = all.find(|transceiver| transceiver.mid() == Some(mid));
        found.unwrap_or_else(|| panic!("no section {mid}")).id()
    }

    fn to_frame(&self, id: TransceiverId, frame: IncomingFrame) -> Frame {
        let parameters = self.connection.receive_parameters(id).expect("it receives");
        let codec = find_codec(&parameters.codecs, |codec| codec.payload_type == frame.payload_type);
        Frame {
            codec: match &codec.codec.mime_type[..] {
                "audio/red" => Codec::Opus,
                mime_type => Codec::from_mime_type(mime_type).expect("one that was negotiated"),
            },
            rid: frame.rid.map(|rid| rid.to_string()),
            timestamp: frame.timestamp,
            data: frame.payload.to_vec(),
        }
    }

    fn local_sdp(&mut self, now: Instant) -> String {
        self.attend(now);
        self.connection.local_description().expect("one was set").sdp
    }
}

fn find_codec(codecs: &[RtpCodecParameters], is_it: impl Fn(&RtpCodecParameters) -> bool) -> &RtpCodecParameters {
    let found = codecs.iter().find(|codec| is_it(codec));
    found.unwrap_or_else(|| panic!("it is not among {codecs:#?}"))
}

fn to_support(format: &Format) -> CodecSupport {
    let Format {
        codec,
        payload_type,
        rtx,
    } = *format;
    match codec {
        Codec::Opus => CodecSupport::new(codec.mime_type(), 48_000, Some(2), codec.fmtp(), payload_type),
        codec if codec.is_audio() => CodecSupport::new(
            codec.mime_type(),
            codec.clock_rate(),
            Some(1),
            codec.fmtp(),
            payload_type,
        ),
        _ => CodecSupport::video(codec.mime_type(), codec.fmtp(), payload_type, rtx),
    }
}

fn to_ours(direction: Direction) -> TransceiverDirection {
    match direction {
        Direction::SendRecv => TransceiverDirection::SendRecv,
        Direction::SendOnly => TransceiverDirection::SendOnly,
        Direction::RecvOnly => TransceiverDirection::RecvOnly,
        Direction::Inactive => TransceiverDirection::Inactive,
    }
}

fn from_ours(message: peerline_connection::Message) -> Message {
    match message {
        peerline_connection::Message::Text(text) => Message::Text(text),
        peerline_connection::Message::Binary(bytes) => Message::Binary(bytes.to_vec()),
    }
}

impl Peer for Ours {
    fn create_offer(&mut self, now: Instant) -> String {
        let offer = self.connection.create_offer(OfferOptions::default()).expect("an offer");
        self.connection.set_local_description(now, offer).expect("our offer");
        self.local_sdp(now)
    }

    fn create_answer(&mut self, now: Instant, offer: &str) -> String {
        self.connection
            .set_remote_description(now, SessionDescription::offer(offer))
            .expect("their offer");
        let answer = self.connection.create_answer().expect("an answer");
        self.connection.set_local_description(now, answer).expect("our answer");
        self.local_sdp(now)
    }

    fn accept_answer(&mut self, now: Instant, answer: &str) {
        self.connection
            .set_remote_description(now, SessionDescription::answer(answer))
            .expect("their answer");
    }

    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, payload: &[u8]) {
        let five_tuple = FiveTuple {
            local: self.address,
            remote: from,
            transport: Transport::Udp,
        };
        let datagram = Datagram {
            five_tuple,
            ecn: None,
            payload: BytesMut::from(payload),
        };
        self.connection.handle_datagram(now, datagram);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.connection.handle_timeout(now);
    }

    fn poll_transmit(&mut self, now: Instant) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let transmit = self.connection.poll_transmit(now, &mut out)?;
        assert_eq!(transmit.len, out.len());
        assert!(out.len() <= ETHERNET, "{} bytes exceed the MTU", out.len());
        Some(out)
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.connection.poll_timeout()
    }

    fn poll_news(&mut self, now: Instant) -> Option<News> {
        self.attend(now);
        self.news.pop_front()
    }

    fn open(&mut self, now: Instant, plan: &ChannelPlan) -> Channel {
        let init = DataChannelInit {
            ordered: plan.ordered,
            max_packet_life_time: plan.max_packet_life_time,
            max_retransmits: plan.max_retransmits,
            protocol: plan.protocol.clone(),
            negotiated: plan.negotiated.is_some(),
            id: plan.negotiated,
            ..DataChannelInit::default()
        };
        let id = self
            .connection
            .create_data_channel(now, &plan.label, init)
            .expect("a channel");
        self.channels.push(id);
        Channel(self.channels.len() - 1)
    }

    fn properties(&mut self, channel: Channel) -> ChannelPlan {
        let view = self
            .connection
            .channel(self.channels[channel.0])
            .expect("not forgotten");
        ChannelPlan {
            label: view.label().to_owned(),
            protocol: view.protocol().to_owned(),
            ordered: view.ordered(),
            max_retransmits: view.max_retransmits(),
            max_packet_life_time: view.max_packet_life_time(),
            negotiated: view.id().filter(|_| view.negotiated()),
        }
    }

    fn send(&mut self, now: Instant, channel: Channel, message: &Message) -> bool {
        let id = self.channels[channel.0];
        let sent = match message {
            Message::Text(text) => self.connection.send(now, id, text.as_str()),
            Message::Binary(bytes) => self.connection.send(now, id, bytes.clone()),
        };
        match sent {
            Ok(()) => true,
            Err(Error::DataChannel(peerline_connection::ChannelFault::BufferFull)) => false,
            Err(error) => panic!("{error}"),
        }
    }

    fn close_channel(&mut self, now: Instant, channel: Channel) {
        self.connection.close_channel(now, self.channels[channel.0]);
    }

    fn close(&mut self, now: Instant) {
        self.closed = true;
        self.connection.close(now);
    }

    fn agreed(&mut self, now: Instant) -> Option<Agreed> {
        let descriptions = [
            self.connection.local_description(),
            self.connection.remote_description(),
        ];
        let has_init = |description: SessionDescription| description.sdp.contains("a=sctp-init:");
        let report = self.connection.stats(now);
        let transport = report.transport().expect("it is connected");
        Some(Agreed {
            tls_version: transport.tls_version.clone(),
            srtp: transport.srtp_cipher.and_then(media::SrtpProfile::by_name),
            snap: descriptions.into_iter().flatten().all(has_init),
        })
    }
}

impl Media for Ours {
    fn add_media(&mut self, now: Instant, plan: &MediaPlan) {
        let kind = if plan.is_video {
            MediaKind::Video
        } else {
            MediaKind::Audio
        };
        self.tracks += 1;
        let track = Track {
            id: format!("track-{}", self.tracks),
            kind,
        };
        if plan.direction == Direction::SendRecv && plan.rids.is_empty() {
            // It may go into a section that is offered.
            self.connection
                .add_track(now, track, &["ours".to_owned()])
                .expect("a track");
            return;
        }
        let encoding = |rid: &&str| RtpEncodingParameters {
            rid: (*rid).to_owned(),
            ..RtpEncodingParameters::default()
        };
        let init = TransceiverInit {
            direction: to_ours(plan.direction),
            streams: vec!["ours".to_owned()],
            send_encodings: plan.rids.iter().map(encoding).collect(),
        };
        if plan.direction == Direction::RecvOnly {
            self.connection.add_transceiver(now, kind, init).expect("a transceiver");
        } else {
            self.connection
                .add_transceiver(now, track, init)
                .expect("a transceiver");
        }
    }

    fn set_direction(&mut self, now: Instant, mid: &str, direction: Direction) {
        let id = self.transceiver(mid);
        self.connection
            .set_direction(now, id, to_ours(direction))
            .expect("it runs");
    }

    fn agree(&mut self, now: Instant, mid: &str, direction: Direction) {
        self.set_direction(now, mid, direction);
    }

    fn stop(&mut self, now: Instant, mid: &str) {
        let id = self.transceiver(mid);
        self.connection.stop_transceiver(now, id).expect("it runs");
    }

    fn direction(&mut self, mid: &str) -> Direction {
        let mut all = self.connection.transceivers();
        let Some(found) = all.find(|transceiver| transceiver.mid() == Some(mid)) else {
            return Direction::Inactive;
        };
        match found.current_direction() {
            Some(TransceiverDirection::SendRecv) => Direction::SendRecv,
            Some(TransceiverDirection::SendOnly) => Direction::SendOnly,
            Some(TransceiverDirection::RecvOnly) => Direction::RecvOnly,
            Some(TransceiverDirection::Inactive | TransceiverDirection::Stopped) | None => Direction::Inactive,
        }
    }

    fn is_connected(&mut self) -> bool {
        self.connection.connection_state() == ConnectionState::Connected
    }

    fn send_frame(&mut self, now: Instant, mid: &str, frame: &Frame) {
        let id = self.transceiver(mid);
        let parameters = self.connection.send_parameters(id).expect("it sends");
        let mime_type = frame.codec.mime_type();
        let is_redundant = |codec: &&RtpCodecParameters| codec.codec.mime_type == "audio/red";
        let redundant = parameters.codecs.iter().find(is_redundant);
        let codec = match redundant.filter(|_| frame.codec == Codec::Opus) {
            Some(redundant) => redundant,
            None => find_codec(&parameters.codecs, |codec| {
                codec.codec.mime_type.eq_ignore_ascii_case(mime_type)
            }),
        };
        let frame = OutgoingFrame {
            payload: frame.data.clone().into(),
            timestamp: frame.timestamp,
            rid: frame.rid.as_deref().map(Into::into),
            payload_type: Some(codec.payload_type),
            ..OutgoingFrame::default()
        };
        self.connection.send_frame(now, id, frame).expect("it is sent");
    }

    fn press(&mut self, now: Instant, mid: &str, key: char) {
        let id = self.transceiver(mid);
        let [duration, gap] = [100, 70].map(Duration::from_millis);
        self.connection
            .insert_dtmf(now, id, &key.to_string(), duration, gap)
            .expect("keys were negotiated");
    }

    fn request_keyframe(&mut self, now: Instant, mid: &str, rid: Option<&'static str>) {
        let id = self.transceiver(mid);
        self.connection.request_keyframe(now, id, rid);
    }

    fn counts(&mut self, now: Instant, mid: &str) -> Counts {
        let report = self.connection.stats(now);
        let mut counts = Counts::default();
        let mut ssrc = None;
        for stats in &report.stats {
            match &stats.kind {
                StatsKind::OutboundRtp(stats) if stats.mid == mid => {
                    ssrc = Some(stats.ssrc);
                    counts.sent = stats.packets_sent;
                    counts.nacks_received = stats.nack_count;
                    counts.keyframe_requests_received =
                        stats.pli_count.unwrap_or_default() + stats.fir_count.unwrap_or_default();
                }
                StatsKind::InboundRtp(stats) if stats.mid == mid => {
                    counts.received = stats.packets_received;
                }
                _ => {}
            }
        }
        for stats in &report.stats {
            if let StatsKind::RemoteInboundRtp(stats) = &stats.kind
                && Some(stats.ssrc) == ssrc
            {
                counts.round_trip = stats.round_trip_time;
                counts.remote_loss = Some(stats.fraction_lost);
            }
        }
        counts
    }
}

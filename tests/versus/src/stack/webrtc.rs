//! `webrtc`, the asynchronous one over `rtc`: as its data channel examples use it, on tokio, with the send-buffer limit that
//! it offers for back-pressure.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;
use tokio::sync::mpsc;
use webrtc::data_channel::{DataChannel, DataChannelEvent};
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCConfigurationBuilder,
    RTCIceGatheringState, RTCPeerConnectionState, RTCSessionDescription, Registry, SettingEngine,
    register_default_interceptors,
};
use webrtc::runtime::default_runtime;

use super::{Channel, MediaStack, PacketReceiver, PacketSender, Pair, Stack};
use crate::Result;
use crate::rtp::{Protection, rtc as media};

pub(crate) struct Webrtc;

pub(crate) struct End {
    connection: Arc<dyn PeerConnection>,
    channel: Arc<dyn DataChannel>,
}

impl Stack for Webrtc {
    type Channel = End;

    async fn connect(send_buffer: usize) -> Result<Pair<End>> {
        let settings = SettingEngine::default;
        let offerer = Peer::new(send_buffer, settings()).await?;
        let mut answerer = Peer::new(send_buffer, settings()).await?;
        let channel = offerer.connection.create_data_channel("bench", None).await?;
        negotiate(&offerer, &answerer).await?;

        let accepted = answerer.channels.recv().await.ok_or("closed before a channel came")?;
        Ok(Pair {
            offerer: opened(offerer.connection, channel).await?,
            answerer: opened(answerer.connection, accepted).await?,
        })
    }
}

async fn negotiate(offerer: &Peer, answerer: &Peer) -> Result<()> {
    let offer = offerer.connection.create_offer(None).await?;
    answerer
        .connection
        .set_remote_description(offerer.gathered(offer).await?)
        .await?;
    let answer = answerer.connection.create_answer(None).await?;
    Ok(offerer
        .connection
        .set_remote_description(answerer.gathered(answer).await?)
        .await?)
}

struct Peer {
    connection: Arc<dyn PeerConnection>,
    gathering_complete: Arc<Notify>,
    connected: Arc<Notify>,
    channels: mpsc::UnboundedReceiver<Arc<dyn DataChannel>>,
    tracks: mpsc::UnboundedReceiver<Arc<dyn TrackRemote>>,
}

struct Handler {
    gathering_complete: Arc<Notify>,
    connected: Arc<Notify>,
    channels: mpsc::UnboundedSender<Arc<dyn DataChannel>>,
    tracks: mpsc::UnboundedSender<Arc<dyn TrackRemote>>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.gathering_complete.notify_one();
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        if state == RTCPeerConnectionState::Connected {
            self.connected.notify_one();
        }
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let _ = self.tracks.send(track);
    }

    async fn on_data_channel(&self, channel: Arc<dyn DataChannel>) {
        let _ = self.channels.send(channel);
    }
}

impl Peer {
    async fn new(send_buffer: usize, settings: SettingEngine) -> Result<Self> {
        let (gathering_complete, connected) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (channel_sender, channels) = mpsc::unbounded_channel();
        let (track_sender, tracks) = mpsc::unbounded_channel();
        let mut media = MediaEngine::default();
        media.register_default_codecs()?;
        let registry = register_default_interceptors(Registry::new(), &mut media)?;
        let connection = PeerConnectionBuilder::new()
            .with_configuration(RTCConfigurationBuilder::new().build())
            .with_media_engine(media)
            .with_setting_engine(settings)
            .with_interceptor_registry(registry)
            .with_handler(Arc::new(Handler {
                gathering_complete: Arc::clone(&gathering_complete),
                connected: Arc::clone(&connected),
                channels: channel_sender,
                tracks: track_sender,
            }))
            .with_runtime(default_runtime().ok_or("no runtime")?)
            .with_udp_addrs(vec!["127.0.0.1:0".to_owned()])
            .with_data_channel_send_buffer_limit(send_buffer)
            .build()
            .await?;
        Ok(Self {
            connection: Arc::new(connection),
            gathering_complete,
            connected,
            channels,
            tracks,
        })
    }

    /// Sets `description` and returns it with the candidates in it.
    async fn gathered(&self, description: RTCSessionDescription) -> Result<RTCSessionDescription> {
        self.connection.set_local_description(description).await?;
        self.gathering_complete.notified().await;
        Ok(self
            .connection
            .local_description()
            .await
            .ok_or("no local description")?)
    }
}

async fn opened(connection: Arc<dyn PeerConnection>, channel: Arc<dyn DataChannel>) -> Result<End> {
    while let Some(event) = channel.poll().await {
        if let DataChannelEvent::OnOpen = event {
            return Ok(End { connection, channel });
        }
    }
    Err("closed before it opened".into())
}

impl Channel for End {
    async fn send(&mut self, payload: &Bytes) -> Result<()> {
        Ok(self.channel.send(BytesMut::from(&payload[..])).await?)
    }

    async fn recv(&mut self) -> Result<usize> {
        loop {
            match self.channel.poll().await {
                Some(DataChannelEvent::OnMessage(message)) => return Ok(message.data.len()),
                Some(DataChannelEvent::OnClose) | None => return Err("closed".into()),
                Some(_) => {}
            }
        }
    }

    async fn close(self) {
        let _ = self.connection.close().await;
    }
}

pub(crate) struct Sender {
    track: Arc<TrackLocalStaticRTP>,
    payload_type: u8,
    number: u16,
    timestamp: u32,
    _connection: Arc<dyn PeerConnection>,
}

pub(crate) struct Receiver {
    /// The track, once its first packet has made it known.
    track: Option<Arc<dyn TrackRemote>>,
    tracks: mpsc::UnboundedReceiver<Arc<dyn TrackRemote>>,
    _connection: Arc<dyn PeerConnection>,
}

impl MediaStack for Webrtc {
    type Sender = Sender;
    type Receiver = Receiver;

    async fn connect_media(protection: Protection) -> Result<(Sender, Receiver)> {
        let settings = || media::settings(protection);
        let (offerer, answerer) = (Peer::new(0, settings()).await?, Peer::new(0, settings()).await?);
        let track = Arc::new(TrackLocalStaticRTP::new(media::track()));
        let sender = offerer
            .connection
            .add_track(Arc::clone(&track) as Arc<dyn TrackLocal>)
            .await?;
        negotiate(&offerer, &answerer).await?;
        let codecs = sender.get_parameters().await?.rtp_parameters.codecs;
        let payload_type = codecs.first().ok_or("no codec")?.payload_type;
        offerer.connected.notified().await;
        answerer.connected.notified().await;
        let sender = Sender {
            track,
            payload_type,
            number: 0,
            timestamp: 0,
            _connection: offerer.connection,
        };
        let receiver = Receiver {
            track: None,
            tracks: answerer.tracks,
            _connection: answerer.connection,
        };
        Ok((sender, receiver))
    }
}

impl PacketSender for Sender {
    async fn send(&mut self, payload: &Bytes, count: usize) -> Result<()> {
        self.timestamp = self.timestamp.wrapping_add(3000);
        for packet in 1..=count {
            self.number = self.number.wrapping_add(1);
            let (payload_type, marker) = (self.payload_type, packet == count);
            let packet = media::packet(payload_type, marker, self.number, self.timestamp, payload);
            self.track.write_rtp(packet).await?;
        }
        Ok(())
    }
}

impl PacketReceiver for Receiver {
    async fn recv(&mut self) -> Result<usize> {
        loop {
            let Some(track) = &self.track else {
                self.track = Some(self.tracks.recv().await.ok_or("closed before a track came")?);
                continue;
            };
            match track.poll().await {
                Some(TrackRemoteEvent::OnRtpPacket(_)) => return Ok(1),
                Some(_) => {}
                None => return Err("the track has ended".into()),
            }
        }
    }
}

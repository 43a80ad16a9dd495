//! `webrtc`, the asynchronous one over `rtc`: as its data channel examples use it, on tokio, with the send-buffer limit that
//! it offers for back-pressure.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;
use tokio::sync::mpsc;
use webrtc::data_channel::{DataChannel, DataChannelEvent};
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCConfigurationBuilder,
    RTCIceGatheringState, RTCSessionDescription, Registry, register_default_interceptors,
};
use webrtc::runtime::default_runtime;

use super::{Channel, Pair, Stack};
use crate::Result;

pub(crate) struct Webrtc;

pub(crate) struct End {
    connection: Arc<dyn PeerConnection>,
    channel: Arc<dyn DataChannel>,
}

impl Stack for Webrtc {
    type Channel = End;

    async fn connect(send_buffer: usize) -> Result<Pair<End>> {
        let (offerer, mut answerer) = (Peer::new(send_buffer).await?, Peer::new(send_buffer).await?);
        let channel = offerer.connection.create_data_channel("bench", None).await?;
        let offer = offerer.connection.create_offer(None).await?;
        answerer
            .connection
            .set_remote_description(offerer.gathered(offer).await?)
            .await?;
        let answer = answerer.connection.create_answer(None).await?;
        offerer
            .connection
            .set_remote_description(answerer.gathered(answer).await?)
            .await?;

        let accepted = answerer.channels.recv().await.ok_or("closed before a channel came")?;
        Ok(Pair {
            offerer: opened(offerer.connection, channel).await?,
            answerer: opened(answerer.connection, accepted).await?,
        })
    }
}

struct Peer {
    connection: Arc<dyn PeerConnection>,
    gathering_complete: Arc<Notify>,
    channels: mpsc::UnboundedReceiver<Arc<dyn DataChannel>>,
}

struct Handler {
    gathering_complete: Arc<Notify>,
    channels: mpsc::UnboundedSender<Arc<dyn DataChannel>>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.gathering_complete.notify_one();
        }
    }

    async fn on_data_channel(&self, channel: Arc<dyn DataChannel>) {
        let _ = self.channels.send(channel);
    }
}

impl Peer {
    async fn new(send_buffer: usize) -> Result<Self> {
        let gathering_complete = Arc::new(Notify::new());
        let (sender, channels) = mpsc::unbounded_channel();
        let mut media = MediaEngine::default();
        media.register_default_codecs()?;
        let registry = register_default_interceptors(Registry::new(), &mut media)?;
        let connection = PeerConnectionBuilder::new()
            .with_configuration(RTCConfigurationBuilder::new().build())
            .with_media_engine(media)
            .with_interceptor_registry(registry)
            .with_handler(Arc::new(Handler {
                gathering_complete: Arc::clone(&gathering_complete),
                channels: sender,
            }))
            .with_runtime(default_runtime().ok_or("no runtime")?)
            .with_udp_addrs(vec!["127.0.0.1:0".to_owned()])
            .with_data_channel_send_buffer_limit(send_buffer)
            .build()
            .await?;
        Ok(Self {
            connection: Arc::new(connection),
            gathering_complete,
            channels,
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

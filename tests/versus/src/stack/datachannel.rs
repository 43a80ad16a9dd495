//! libdatachannel, by the `datachannel` crate: callbacks on threads of its own, from which queues lead to the tasks here.

use std::sync::Arc;

use bytes::Bytes;
use datachannel::{
    DataChannelHandler, DataChannelInfo, GatheringState, PeerConnectionHandler, RtcConfig, RtcDataChannel,
    RtcPeerConnection, SessionDescription,
};
use tokio::sync::{Notify, mpsc};

use super::{Channel, Pair, Stack};
use crate::Result;

pub(crate) struct Datachannel;

pub(crate) struct End {
    channel: Box<RtcDataChannel<ChannelHandler>>,
    // Dropped after its channel.
    _connection: Box<RtcPeerConnection<Handler>>,
    messages: mpsc::UnboundedReceiver<usize>,
    low: Arc<Notify>,
    send_buffer: usize,
}

impl Stack for Datachannel {
    type Channel = End;

    async fn connect(send_buffer: usize) -> Result<Pair<End>> {
        let (mut offerer, mut answerer) = (Peer::new()?, Peer::new()?);
        let (handler, news) = ChannelHandler::new();
        // This makes the offer, too.
        let channel = offerer.connection.create_data_channel("bench", handler)?;
        answerer.connection.set_remote_description(&offerer.gathered().await?)?;
        offerer.connection.set_remote_description(&answerer.gathered().await?)?;

        let (accepted, accepted_news) = answerer.channels.recv().await.ok_or("closed before a channel came")?;
        news.open.notified().await;
        Ok(Pair {
            offerer: End::new(offerer, channel, news, send_buffer)?,
            answerer: End::new(answerer, accepted, accepted_news, send_buffer)?,
        })
    }
}

type Accepted = (Box<RtcDataChannel<ChannelHandler>>, ChannelNews);

struct Peer {
    connection: Box<RtcPeerConnection<Handler>>,
    gathering_complete: Arc<Notify>,
    channels: mpsc::UnboundedReceiver<Accepted>,
}

impl Peer {
    fn new() -> Result<Self> {
        let gathering_complete = Arc::new(Notify::new());
        let (sender, channels) = mpsc::unbounded_channel();
        let config = RtcConfig::new::<&str>(&[]).bind_address(&"127.0.0.1");
        let handler = Handler {
            gathering_complete: Arc::clone(&gathering_complete),
            channels: sender,
            accepting: None,
        };
        Ok(Self {
            connection: RtcPeerConnection::new(&config, handler)?,
            gathering_complete,
            channels,
        })
    }

    async fn gathered(&self) -> Result<SessionDescription> {
        self.gathering_complete.notified().await;
        Ok(self.connection.local_description().ok_or("no local description")?)
    }
}

struct Handler {
    gathering_complete: Arc<Notify>,
    channels: mpsc::UnboundedSender<Accepted>,
    /// What the handler of the channel that is about to come will tell.
    accepting: Option<ChannelNews>,
}

impl PeerConnectionHandler for Handler {
    type DCH = ChannelHandler;

    fn data_channel_handler(&mut self, _: DataChannelInfo) -> ChannelHandler {
        let (handler, news) = ChannelHandler::new();
        self.accepting = Some(news);
        handler
    }

    fn on_gathering_state_change(&mut self, state: GatheringState) {
        if state == GatheringState::Complete {
            self.gathering_complete.notify_one();
        }
    }

    fn on_data_channel(&mut self, channel: Box<RtcDataChannel<ChannelHandler>>) {
        if let Some(news) = self.accepting.take() {
            let _ = self.channels.send((channel, news));
        }
    }
}

struct ChannelHandler {
    open: Arc<Notify>,
    low: Arc<Notify>,
    messages: mpsc::UnboundedSender<usize>,
}

struct ChannelNews {
    open: Arc<Notify>,
    low: Arc<Notify>,
    messages: mpsc::UnboundedReceiver<usize>,
}

impl ChannelHandler {
    fn new() -> (Self, ChannelNews) {
        let (open, low) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (sender, messages) = mpsc::unbounded_channel();
        let handler = Self {
            open: Arc::clone(&open),
            low: Arc::clone(&low),
            messages: sender,
        };
        (handler, ChannelNews { open, low, messages })
    }
}

impl DataChannelHandler for ChannelHandler {
    fn on_open(&mut self) {
        self.open.notify_one();
    }

    fn on_message(&mut self, message: &[u8]) {
        let _ = self.messages.send(message.len());
    }

    fn on_buffered_amount_low(&mut self) {
        self.low.notify_one();
    }
}

impl End {
    fn new(
        peer: Peer,
        mut channel: Box<RtcDataChannel<ChannelHandler>>,
        news: ChannelNews,
        send_buffer: usize,
    ) -> Result<Self> {
        channel.set_buffered_amount_low_threshold(send_buffer / 2)?;
        Ok(Self {
            channel,
            _connection: peer.connection,
            messages: news.messages,
            low: news.low,
            send_buffer,
        })
    }
}

impl Channel for End {
    async fn send(&mut self, payload: &Bytes) -> Result<()> {
        // A permit may be left from an earlier time: look again.
        while self.channel.buffered_amount() + payload.len() > self.send_buffer {
            self.low.notified().await;
        }
        Ok(self.channel.send(payload)?)
    }

    async fn recv(&mut self) -> Result<usize> {
        Ok(self.messages.recv().await.ok_or("closed")?)
    }

    async fn close(self) {
        // Dropping waits for threads.
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
    }
}

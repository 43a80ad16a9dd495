//! libdatachannel, by the `datachannel` crate: callbacks on threads of its own, from which queues lead to the tasks here.

use std::sync::Arc;

use bytes::Bytes;
use datachannel::{
    Codec, DataChannelHandler, DataChannelInfo, Direction, GatheringState, PeerConnectionHandler, RtcConfig,
    RtcDataChannel, RtcPeerConnection, RtcTrack, SdpType, SessionDescription, TrackHandler, TrackInit,
};
use tokio::sync::{Notify, mpsc};

use super::{Channel, MediaStack, PacketReceiver, PacketSender, Pair, Stack};
use crate::Result;
use crate::rtp::Protection;

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

pub(crate) struct Sender {
    track: Box<RtcTrack<TrackNews>>,
    // Dropped after its track.
    _connection: Box<RtcPeerConnection<Handler>>,
    packet: Vec<u8>,
    number: u16,
    timestamp: u32,
}

pub(crate) struct Receiver {
    // Its packets come by a queue.
    _track: Box<RtcTrack<TrackNews>>,
    _connection: Box<RtcPeerConnection<Handler>>,
    packets: mpsc::UnboundedReceiver<usize>,
}

/// What a track calls: on threads of the library.
struct TrackNews {
    open: Arc<Notify>,
    packets: mpsc::UnboundedSender<usize>,
}

impl TrackHandler for TrackNews {
    fn on_open(&mut self) {
        self.open.notify_one();
    }

    fn on_message(&mut self, packet: &[u8]) {
        let _ = self.packets.send(packet.len());
    }
}

const PAYLOAD_TYPE: u8 = 96;
const SSRC: u32 = 4242;

impl MediaStack for Datachannel {
    type Sender = Sender;
    type Receiver = Receiver;

    /// The SRTP library that it brings knows AES-CM alone.
    async fn connect_media(_: Protection) -> Result<(Sender, Receiver)> {
        let (mut offerer, mut answerer) = (Peer::new()?, Peer::new()?);
        let open = Arc::new(Notify::new());
        let (sender, packets) = mpsc::unbounded_channel();
        let news = || TrackNews {
            open: Arc::clone(&open),
            packets: sender.clone(),
        };
        let track = offerer
            .connection
            .add_track_ex(&track_of(Direction::SendOnly), news())?;
        let received = answerer
            .connection
            .add_track_ex(&track_of(Direction::RecvOnly), news())?;
        offerer.connection.set_local_description(SdpType::Offer)?;
        answerer.connection.set_remote_description(&offerer.gathered().await?)?;
        offerer.connection.set_remote_description(&answerer.gathered().await?)?;
        // Both.
        open.notified().await;
        open.notified().await;
        let sender = Sender {
            track,
            _connection: offerer.connection,
            packet: Vec::new(),
            number: 0,
            timestamp: 0,
        };
        let receiver = Receiver {
            _track: received,
            _connection: answerer.connection,
            packets,
        };
        Ok((sender, receiver))
    }
}

fn track_of(direction: Direction) -> TrackInit {
    TrackInit {
        direction,
        codec: Codec::VP8,
        payload_type: PAYLOAD_TYPE.into(),
        ssrc: SSRC,
        mid: c"video".to_owned(),
        name: Some(c"bench".to_owned()),
        msid: None,
        track_id: None,
        profile: None,
    }
}

impl PacketSender for Sender {
    async fn send(&mut self, payload: &Bytes, count: usize) -> Result<()> {
        self.timestamp = self.timestamp.wrapping_add(3000);
        for packet in 1..=count {
            self.number = self.number.wrapping_add(1);
            let marker = if packet == count { 0x80 } else { 0 };
            self.packet.clear();
            self.packet.extend_from_slice(&[0x80, marker | PAYLOAD_TYPE]);
            self.packet.extend_from_slice(&self.number.to_be_bytes());
            self.packet.extend_from_slice(&self.timestamp.to_be_bytes());
            self.packet.extend_from_slice(&SSRC.to_be_bytes());
            self.packet.extend_from_slice(payload);
            self.track.send(&self.packet)?;
        }
        Ok(())
    }
}

impl PacketReceiver for Receiver {
    async fn recv(&mut self) -> Result<usize> {
        self.packets.recv().await.ok_or("closed")?;
        let mut count = 1;
        while self.packets.try_recv().is_ok() {
            count += 1;
        }
        Ok(count)
    }
}

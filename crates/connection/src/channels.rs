//! Data channels with their W3C names; the machine behind them is [`peerline_sctp::datachannel`].

use std::time::Instant;

use peerline_sctp::datachannel::{Channel, ChannelInit, OpenError, SendError, State};

pub use peerline_sctp::datachannel::{ChannelId, Message};

use crate::Connection;
use crate::error::{ChannelFault, Error};
use crate::state::DataChannelState;

/// How a channel is created (`RTCDataChannelInit`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataChannelInit {
    /// Messages arrive in the order in which they were sent. Default true.
    pub ordered: bool,
    /// Give a message up after this time, in milliseconds.
    pub max_packet_life_time: Option<u16>,
    /// Give a message up after this many retransmissions.
    pub max_retransmits: Option<u16>,
    /// A name for what is spoken on the channel. Default empty.
    pub protocol: String,
    /// Both sides create the channel with the same [`id`](Self::id), and nothing is announced. Default false.
    pub negotiated: bool,
    /// The channel's id; chosen by itself if not given.
    pub id: Option<u16>,
    /// How the channel shares the connection with others: 128, 256, 512 or 1,024 (RFC 8831 §6.4). Default 256.
    pub priority: u16,
}

impl Default for DataChannelInit {
    fn default() -> Self {
        Self {
            ordered: true,
            max_packet_life_time: None,
            max_retransmits: None,
            protocol: String::new(),
            negotiated: false,
            id: None,
            priority: 256,
        }
    }
}

/// A view of one channel (`RTCDataChannel`).
#[derive(Clone, Copy)]
pub struct DataChannel<'a> {
    channel: &'a Channel,
    connection: &'a Connection,
    id: ChannelId,
}

impl DataChannel<'_> {
    /// `label`.
    #[must_use]
    pub fn label(&self) -> &str {
        self.channel.label()
    }

    /// `protocol`.
    #[must_use]
    pub fn protocol(&self) -> &str {
        self.channel.protocol()
    }

    /// `ordered`.
    #[must_use]
    pub fn ordered(&self) -> bool {
        self.channel.ordered()
    }

    /// `maxRetransmits`.
    #[must_use]
    pub fn max_retransmits(&self) -> Option<u16> {
        self.channel.max_retransmits()
    }

    /// `maxPacketLifeTime`, in milliseconds.
    #[must_use]
    pub fn max_packet_life_time(&self) -> Option<u16> {
        self.channel.max_packet_life_time()
    }

    /// `negotiated`.
    #[must_use]
    pub fn negotiated(&self) -> bool {
        self.channel.negotiated()
    }

    /// `id`; `None` until DTLS has given out the roles.
    #[must_use]
    pub fn id(&self) -> Option<u16> {
        self.channel.id()
    }

    /// `readyState`.
    #[must_use]
    pub fn ready_state(&self) -> DataChannelState {
        state(self.channel.state())
    }

    /// `bufferedAmount`: bytes of messages not yet sent.
    #[must_use]
    pub fn buffered_amount(&self) -> usize {
        self.connection.upper.channels.buffered_amount(self.id)
    }

    /// `bufferedAmountLowThreshold`.
    #[must_use]
    pub fn buffered_amount_low_threshold(&self) -> usize {
        self.channel.buffered_amount_low_threshold()
    }
}

impl Connection {
    /// `createDataChannel()`: a channel that opens once the transport is up. The first one makes an offer necessary.
    ///
    /// # Errors
    /// [`Error::DataChannel`] with what contradicts or exceeds a limit; [`Error::Closed`].
    pub fn create_data_channel(
        &mut self,
        now: Instant,
        label: &str,
        init: DataChannelInit,
    ) -> Result<ChannelId, Error> {
        self.ensure_open()?;
        let id = self
            .upper
            .channels
            .open(now, to_channel_init(label, init)?)
            .map_err(open_fault)?;
        self.want_data();
        self.settle(now);
        Ok(id)
    }

    /// The channel, until [`forget_channel`](Self::forget_channel).
    #[must_use]
    pub fn channel(&self, id: ChannelId) -> Option<DataChannel<'_>> {
        self.upper.channels.channel(id).map(|channel| DataChannel {
            channel,
            connection: self,
            id,
        })
    }

    /// All channels, those closed and not yet forgotten included.
    pub fn channels(&self) -> impl Iterator<Item = ChannelId> {
        self.upper.channels.iter().map(|(id, _)| id)
    }

    /// `send()`: queues a message.
    ///
    /// # Errors
    /// [`Error::DataChannel`]: the channel is not open, the message is too large for the peer, or the buffer is full.
    pub fn send(&mut self, now: Instant, id: ChannelId, message: impl Into<Message>) -> Result<(), Error> {
        self.upper.channels.send(now, id, message.into()).map_err(send_fault)
    }

    /// The channel's next message. What is left unread closes SCTP's receive window: that is the back-pressure.
    pub fn recv(&mut self, now: Instant, id: ChannelId) -> Option<Message> {
        let message = self.upper.channels.recv(id);
        self.settle(now);
        message
    }

    /// `close()`: what was sent before is still delivered.
    pub fn close_channel(&mut self, now: Instant, id: ChannelId) {
        self.upper.channels.close(now, id);
        self.settle(now);
    }

    /// Frees what is kept of a closed channel: its properties, counters, and messages not yet read. False if it is not closed.
    pub fn forget_channel(&mut self, id: ChannelId) -> bool {
        self.upper.channels.remove(id)
    }

    /// `bufferedAmountLowThreshold`, in bytes: [`Event::BufferedAmountLow`](crate::Event::BufferedAmountLow) comes when what
    /// is buffered falls to it.
    pub fn set_buffered_amount_low_threshold(&mut self, id: ChannelId, threshold: usize) {
        self.upper.channels.set_buffered_amount_low_threshold(id, threshold);
    }
}

fn to_channel_init(label: &str, init: DataChannelInit) -> Result<ChannelInit, Error> {
    if init.negotiated && init.id.is_none() {
        return Err(Error::DataChannel(ChannelFault::NegotiatedWithoutId));
    }
    Ok(ChannelInit {
        label: label.to_owned(),
        protocol: init.protocol,
        ordered: init.ordered,
        max_retransmits: init.max_retransmits,
        max_packet_life_time: init.max_packet_life_time,
        // "If negotiated is false, ignore the id" (webrtc-pc §6.1): it would have to fit a role not yet known.
        negotiated: init.id.filter(|_| init.negotiated),
        priority: init.priority,
    })
}

pub(crate) fn state(state: State) -> DataChannelState {
    match state {
        State::Connecting => DataChannelState::Connecting,
        State::Open => DataChannelState::Open,
        State::Closing => DataChannelState::Closing,
        State::Closed => DataChannelState::Closed,
    }
}

fn open_fault(error: OpenError) -> Error {
    Error::DataChannel(match error {
        OpenError::Closed => return Error::Closed,
        OpenError::TooManyChannels | OpenError::NoFreeId => ChannelFault::TooManyChannels,
        OpenError::IdInUse => ChannelFault::IdInUse,
        OpenError::InvalidId => ChannelFault::IdOutOfRange,
        OpenError::LabelTooLong => ChannelFault::LabelTooLong,
        OpenError::ProtocolTooLong => ChannelFault::ProtocolTooLong,
        OpenError::TwoLimits => ChannelFault::BothLimits,
    })
}

fn send_fault(error: SendError) -> Error {
    Error::DataChannel(match error {
        SendError::NotOpen => ChannelFault::NotOpen,
        SendError::TooLarge => ChannelFault::MessageTooLarge,
        SendError::BufferFull => ChannelFault::BufferFull,
    })
}

//! [`DataChannel`]: a handle on one channel of a connection.

use std::fmt;
use std::sync::{Arc, MutexGuard, OnceLock};

use peerline_connection::{DataChannelState, Message};

use crate::driver::now;
use crate::error::Error;
use crate::shared::{Anchor, Facts, Phase, Signals, State, wait_for, wait_for_state, wake_driver};

/// A channel for messages (`RTCDataChannel`).
///
/// It is a handle: clones are the same channel, and several tasks may send, receive and wait at once. When the last one is
/// dropped, the channel closes after delivering what was sent; when no handle on the connection or any of its channels is
/// left, the connection closes.
#[derive(Clone)]
pub struct DataChannel(Arc<Inner>);

struct Inner {
    anchor: Arc<Anchor>,
    facts: Facts,
    signals: Arc<Signals>,
    /// The stream id, kept once it is known: the machine forgets it when the channel has closed.
    stream_id: OnceLock<u16>,
}

impl DataChannel {
    pub(crate) fn new(anchor: Arc<Anchor>, facts: Facts, signals: Arc<Signals>) -> Self {
        Self(Arc::new(Inner {
            anchor,
            facts,
            signals,
            stream_id: OnceLock::new(),
        }))
    }

    /// The name that its creator gave it; need not be unique.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.0.facts.label
    }

    /// The protocol spoken on it, as its creator named it; may be empty.
    #[must_use]
    pub fn protocol(&self) -> &str {
        &self.0.facts.protocol
    }

    /// Messages arrive in the order in which they were sent.
    #[must_use]
    pub fn ordered(&self) -> bool {
        self.0.facts.ordered
    }

    /// How often a message is retransmitted at most; `None`: until it arrives.
    #[must_use]
    pub fn max_retransmits(&self) -> Option<u16> {
        self.0.facts.max_retransmits
    }

    /// For how many milliseconds a message is transmitted at most; `None`: until it arrives.
    #[must_use]
    pub fn max_packet_life_time(&self) -> Option<u16> {
        self.0.facts.max_packet_life_time
    }

    /// Both peers created it with the same id, rather than one of them announcing it.
    #[must_use]
    pub fn negotiated(&self) -> bool {
        self.0.facts.negotiated
    }

    /// The SCTP stream it uses; `None` until it is known which of the peers takes the even ones.
    #[must_use]
    pub fn id(&self) -> Option<u16> {
        let known = self.0.stream_id.get().copied();
        known.or_else(|| {
            let id = self.lock(|state| {
                state
                    .connection
                    .channel(self.0.facts.id)
                    .and_then(|channel| channel.id())
            })?;
            Some(*self.0.stream_id.get_or_init(|| id))
        })
    }

    /// Where it is in its life.
    #[must_use]
    pub fn ready_state(&self) -> DataChannelState {
        self.lock(|state| state.ready_state(self.0.facts.id))
    }

    /// Bytes sent here that have not left for the network yet.
    #[must_use]
    pub fn buffered_amount(&self) -> usize {
        self.lock(|state| state.buffered_amount(self.0.facts.id))
    }

    /// Where [`buffered_amount_low`](Self::buffered_amount_low) becomes ready; 0 at first.
    #[must_use]
    pub fn buffered_amount_low_threshold(&self) -> usize {
        self.lock(|state| {
            state
                .connection
                .channel(self.0.facts.id)
                .map_or(0, |channel| channel.buffered_amount_low_threshold())
        })
    }

    /// Sets where [`buffered_amount_low`](Self::buffered_amount_low) becomes ready, in bytes.
    pub fn set_buffered_amount_low_threshold(&self, bytes: usize) {
        let mut state = self.0.anchor.lock();
        state
            .connection
            .set_buffered_amount_low_threshold(self.0.facts.id, bytes);
        drop(state);
        self.0.signals.changed.notify_waiters();
    }

    /// Waits until the channel is open.
    ///
    /// # Errors
    /// `InvalidStateError` if it closes, or has closed.
    pub async fn opened(&self) -> Result<(), Error> {
        self.wait(&self.0.signals.changed, |state, id| match state.ready_state(id) {
            DataChannelState::Connecting => None,
            DataChannelState::Open => Some(Ok(())),
            DataChannelState::Closing | DataChannelState::Closed => Some(Err(Error::channel_closed())),
        })
        .await
    }

    /// Waits until the channel is closed, by either side or with its connection.
    pub async fn closed(&self) {
        self.wait(&self.0.signals.changed, |state, id| {
            (state.ready_state(id) == DataChannelState::Closed).then_some(())
        })
        .await;
    }

    /// Waits until at most [`buffered_amount_low_threshold`](Self::buffered_amount_low_threshold) bytes are buffered; ready
    /// at once if that is so. Also returns when the channel closes.
    pub async fn buffered_amount_low(&self) {
        self.wait(&self.0.signals.changed, |state, id| {
            let low = state
                .connection
                .channel(id)
                .is_none_or(|channel| channel.buffered_amount() <= channel.buffered_amount_low_threshold());
            (low || state.ready_state(id) == DataChannelState::Closed).then_some(())
        })
        .await;
    }

    /// Sends a message, waiting while more is buffered than
    /// [`buffered_amount_high_water_mark`](crate::Configuration::buffered_amount_high_water_mark). Returns when the message
    /// is buffered, not when it arrived. A text is sent as text, bytes as binary.
    ///
    /// Dropping the future before it is ready sends nothing.
    ///
    /// # Errors
    /// `InvalidStateError` when the channel is not open; `TypeError` when the message is larger than the other peer accepts.
    pub async fn send(&self, message: impl Into<Message>) -> Result<(), Error> {
        let id = self.0.facts.id;
        let mut message = Some(message.into());
        wait_for(&self.0.signals.writable, || {
            let mut state = self.0.anchor.lock();
            if state.is_full(id) {
                if !state.full.contains(&id) {
                    state.full.push(id);
                }
                return None;
            }
            Some(self.send_now(state, message.take()?))
        })
        .await
    }

    /// Sends a message without ever waiting.
    ///
    /// # Errors
    /// As [`send`](Self::send), and `OperationError` when too much is buffered: wait for
    /// [`buffered_amount_low`](Self::buffered_amount_low), or use [`send`](Self::send).
    pub fn try_send(&self, message: impl Into<Message>) -> Result<(), Error> {
        self.send_now(self.0.anchor.lock(), message.into())
    }

    fn send_now(&self, mut state: MutexGuard<'_, State>, message: Message) -> Result<(), Error> {
        let now = match self.0.facts.max_packet_life_time {
            // Its time begins now.
            Some(_) => now(),
            None => state.recently(),
        };
        let result = state.connection.send(now, self.0.facts.id, message);
        wake_driver(state);
        Ok(result?)
    }

    /// The next message; `None` once the channel is closed and all messages that arrived were received.
    ///
    /// What is not received stays in the receive buffer, and when that is full the other peer has to wait. All channels of a
    /// connection share it.
    pub async fn recv(&self) -> Option<Message> {
        wait_for(&self.0.signals.readable, || {
            let mut state = self.0.anchor.lock();
            let now = state.recently();
            let Some(message) = state.connection.recv(now, self.0.facts.id) else {
                return (state.ready_state(self.0.facts.id) == DataChannelState::Closed).then_some(None);
            };
            // The peer may be waiting to hear that there is room again.
            wake_driver(state);
            Some(Some(message))
        })
        .await
    }

    /// Closes the channel, after delivering what was sent.
    pub fn close(&self) {
        self.0
            .anchor
            .update(|state, now| state.connection.close_channel(now, self.0.facts.id));
        self.0.signals.wake_all();
    }

    fn lock<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.anchor.lock())
    }

    async fn wait<T>(
        &self,
        notify: &tokio::sync::Notify,
        mut look: impl FnMut(&mut State, peerline_connection::ChannelId) -> Option<T>,
    ) -> T {
        wait_for_state(&self.0.anchor, notify, |state| look(state, self.0.facts.id)).await
    }
}

impl fmt::Debug for DataChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataChannel")
            .field("label", &self.label())
            .field("id", &self.id())
            .field("ready_state", &self.ready_state())
            .finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let id = self.facts.id;
        self.anchor.update(|state, now| {
            state.channels.remove(&id);
            state.full.retain(|full| *full != id);
            if state.phase == Phase::Running {
                state.connection.close_channel(now, id);
                // If it was closed already, this was the last to know of it; else its `ChannelClosed` frees it.
                state.connection.forget_channel(id);
            }
        });
    }
}

//! What a stack has to do to be measured.

mod peerline;
mod str0m;
mod webrtc;

pub(crate) use self::peerline::Peerline;
pub(crate) use self::str0m::Str0m;
pub(crate) use self::webrtc::Webrtc;

use bytes::Bytes;

use crate::Result;

/// The columns of the table.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum StackName {
    Peerline,
    Str0m,
    Webrtc,
    /// No stack: what the machine needs for the least that any must do.
    Floor,
}

impl StackName {
    pub(crate) const ALL: [Self; 4] = [Self::Peerline, Self::Str0m, Self::Webrtc, Self::Floor];
    pub(crate) const OTHERS: [Self; 2] = [Self::Str0m, Self::Webrtc];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Peerline => "peerline",
            Self::Str0m => "str0m",
            Self::Webrtc => "webrtc",
            Self::Floor => "floor",
        }
    }

    /// The name with the version that `Cargo.toml` asks for.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Peerline => "Peerline",
            Self::Str0m => "str0m 0.25",
            Self::Webrtc => "webrtc 0.21",
            Self::Floor => "floor",
        }
    }
}

/// A WebRTC stack, used as its own examples use it.
pub(crate) trait Stack: 'static {
    type Channel: Channel;

    /// Connects two new peers over UDP on 127.0.0.1, each with a socket and a certificate of its own, by an offer and an
    /// answer in SDP with the candidates in it. Ready when a reliable, ordered channel is open at both ends.
    ///
    /// `send_buffer` is how many bytes a sender may have under way.
    fn connect(send_buffer: usize) -> impl Future<Output = Result<Pair<Self::Channel>>> + Send;
}

/// The two ends of a channel.
pub(crate) struct Pair<C> {
    pub(crate) offerer: C,
    pub(crate) answerer: C,
}

/// One end of a channel, and the connection under it.
pub(crate) trait Channel: Send + 'static {
    /// Sends a binary message, waiting while the send buffer is full.
    fn send(&mut self, payload: &Bytes) -> impl Future<Output = Result<()>> + Send;

    /// The length of the next message; an error when there will be none.
    fn recv(&mut self) -> impl Future<Output = Result<usize>> + Send;

    /// Closes the connection and frees what it held.
    fn close(self) -> impl Future<Output = ()> + Send;
}

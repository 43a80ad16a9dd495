//! Who is measured, and what a stack has to do to be measured over sockets.

#[cfg(feature = "datachannel")]
mod datachannel;
mod peerline;
#[cfg(feature = "peers")]
mod rustrtc;
#[cfg(feature = "peers")]
mod str0m;
#[cfg(feature = "peers")]
mod webrtc;

#[cfg(feature = "datachannel")]
pub(crate) use self::datachannel::Datachannel;
pub(crate) use self::peerline::{Peerline, PeerlineDtls12};
#[cfg(feature = "peers")]
pub(crate) use self::{
    rustrtc::Rustrtc, str0m::Str0m, str0m::install_provider as install_provider_of_str0m, webrtc::Webrtc,
};

use std::convert::Infallible;

use bytes::Bytes;

use crate::Result;
use crate::rtp::Protection;

/// Who can be measured: whole stacks, and crates that are one protocol of a stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StackName {
    Peerline,
    Str0m,
    Webrtc,
    Rtc,
    Datachannel,
    Rustrtc,
    RtcSctp,
    SctpProto,
    Dimpl,
    Openssl,
    RtcSrtp,
    RtcStun,
    StunTypes,
    RtcSdp,
    SdpTypes,
    WebrtcSdp,
    /// The TURN server of that name, a program.
    Coturn,
    /// No stack: what the machine needs for the least that any must do.
    Floor,
}

impl StackName {
    pub(crate) const ALL: [Self; 18] = [
        Self::Peerline,
        Self::Str0m,
        Self::Webrtc,
        Self::Rtc,
        Self::Datachannel,
        Self::Rustrtc,
        Self::RtcSctp,
        Self::SctpProto,
        Self::Dimpl,
        Self::Openssl,
        Self::RtcSrtp,
        Self::RtcStun,
        Self::StunTypes,
        Self::RtcSdp,
        Self::SdpTypes,
        Self::WebrtcSdp,
        Self::Coturn,
        Self::Floor,
    ];

    /// The name of the crate.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Peerline => "peerline",
            Self::Str0m => "str0m",
            Self::Webrtc => "webrtc",
            Self::Rtc => "rtc",
            Self::Datachannel => "datachannel",
            Self::Rustrtc => "rustrtc",
            Self::RtcSctp => "rtc-sctp",
            Self::SctpProto => "sctp-proto",
            Self::Dimpl => "dimpl",
            Self::Openssl => "openssl",
            Self::RtcSrtp => "rtc-srtp",
            Self::RtcStun => "rtc-stun",
            Self::StunTypes => "stun-types",
            Self::RtcSdp => "rtc-sdp",
            Self::SdpTypes => "sdp-types",
            Self::WebrtcSdp => "webrtc-sdp",
            Self::Coturn => "coturn",
            Self::Floor => "floor",
        }
    }

    /// One of the others, to be compared with.
    pub(crate) fn is_peer(self) -> bool {
        !matches!(self, Self::Peerline | Self::Floor)
    }

    /// Why it is not in this program, if it is not.
    pub(crate) fn not_built(self) -> Option<&'static str> {
        match self {
            Self::Peerline | Self::Floor => None,
            Self::Coturn => {
                let path = std::env::var_os("PATH").unwrap_or_default();
                let is_there = std::env::split_paths(&path).any(|folder| folder.join("turnserver").is_file());
                (!is_there).then_some("the program `turnserver` is not installed")
            }
            Self::Datachannel => (!cfg!(feature = "datachannel")).then_some("built without the feature `datachannel`"),
            Self::Openssl => (!cfg!(feature = "openssl")).then_some("built without the feature `openssl`"),
            _ => (!cfg!(feature = "peers")).then_some("built without the feature `peers`"),
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

/// A stack that sends and receives video, packet by packet.
pub(crate) trait MediaStack: 'static {
    type Sender: PacketSender;
    type Receiver: PacketReceiver;

    /// Connects two new peers as [`Stack::connect`] does; one sends a stream of video to the other. Ready when packets can be sent.
    fn connect_media(protection: Protection) -> impl Future<Output = Result<(Self::Sender, Self::Receiver)>> + Send;
}

/// The sending end, and the connection under it.
pub(crate) trait PacketSender: Send + 'static {
    /// Sends `count` packets of video, each with this payload.
    fn send(&mut self, payload: &Bytes, count: usize) -> impl Future<Output = Result<()>> + Send;

    /// What is to be done while nothing is sent, where the application has to do that itself; never ends well.
    fn attend(&mut self) -> impl Future<Output = Result<Infallible>> + Send {
        std::future::pending()
    }
}

/// The receiving end, and the connection under it.
pub(crate) trait PacketReceiver: Send {
    /// Waits for packets, and says how many have come.
    fn recv(&mut self) -> impl Future<Output = Result<usize>> + Send;
}

//! What a [`Connection`](crate::Connection) tells its driver.

use std::net::SocketAddr;
use std::sync::Arc;

use peerline_dtls::CloseReason;
use peerline_ice::CandidateError;
use peerline_wire::FiveTuple;

use crate::channels::ChannelId;
use crate::description::IceCandidate;
use crate::media::dtmf::DtmfTone;
use crate::state::{
    ConnectionState, DtlsTransportState, IceConnectionState, IceGatheringState, SctpTransportState, SignalingState,
};
use crate::transceiver::TransceiverId;

/// News from a [`Connection`](crate::Connection), in the order in which it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An offer is needed: what is wanted is not what was agreed on (`negotiationneeded`).
    NegotiationNeeded,
    /// The signaling state changed.
    SignalingStateChange(SignalingState),
    /// The gathering state changed.
    IceGatheringStateChange(IceGatheringState),
    /// The ICE connection state changed.
    IceConnectionStateChange(IceConnectionState),
    /// The connection state changed.
    ConnectionStateChange(ConnectionState),
    /// Another path is in use, or none: [`selected_ice_candidate_pair`](crate::Connection::selected_ice_candidate_pair)
    /// (`selectedcandidatepairchange`).
    SelectedCandidatePairChange,
    /// The state of the DTLS transport changed (`statechange` of `RTCDtlsTransport`).
    DtlsTransportStateChange(DtlsTransportState),
    /// DTLS has failed (`error` of `RTCDtlsTransport`): why, with the alerts that were sent and received.
    DtlsTransportError(CloseReason),
    /// The state of the SCTP transport changed (`statechange` of `RTCSctpTransport`). Once it is connected,
    /// [`sctp_max_channels`](crate::Connection::sctp_max_channels) is known.
    SctpTransportStateChange(SctpTransportState),
    /// A local candidate to be signalled; `None` after the last one.
    IceCandidate(Option<IceCandidate>),
    /// A server has not given a candidate (`icecandidateerror`).
    IceCandidateError(CandidateError),
    /// Sockets are wanted: bind them, call [`add_local_address`](crate::Connection::add_local_address) for each and
    /// [`add_ice_server`](crate::Connection::add_ice_server) for servers that are to be asked, then
    /// [`finish_gathering`](crate::Connection::finish_gathering). Sockets serve later ICE restarts, too: it is
    /// sent again only after [`ice_servers_changed`](crate::Connection::ice_servers_changed), for the servers alone.
    Gather,
    /// A TURN server that is spoken with over a stream names another one in its place (RFC 8489 §10): close the connection on `path`,
    /// connect to that one by the same transport, unless it has been asked in the last five minutes, and call
    /// [`add_ice_stream`](crate::Connection::add_ice_stream) with the same URL, or
    /// [`ice_server_failed`](crate::Connection::ice_server_failed).
    IceServerRedirect {
        /// The connection to the server that does not serve.
        path: FiveTuple,
        /// Where the other one is.
        server: SocketAddr,
        /// The name that its certificate has to have, if that is another than this one's.
        domain: Option<Box<str>>,
    },
    /// A remote candidate has this `.local` name: resolve it by multicast DNS (RFC 6762) and pass the answer to
    /// [`handle_resolved`](crate::Connection::handle_resolved).
    ResolveName(String),
    /// The peer can be connected to over TCP: call [`add_tcp_address`](crate::Connection::add_tcp_address) for each address to connect
    /// from, then, unless gathering goes on, [`finish_gathering`](crate::Connection::finish_gathering). Sent once.
    TcpAddressesWanted,
    /// A connection over TCP is wanted from the IP address of the local side to the remote side: answer with
    /// [`tcp_connected`](crate::Connection::tcp_connected) or [`tcp_closed`](crate::Connection::tcp_closed).
    TcpConnect(FiveTuple),
    /// A connection over TCP is of no use any more, or not wanted: close it, or stop opening it.
    TcpClose(FiveTuple),
    /// The peer sends media, or says that what it sends belongs to more streams (`track`).
    Track {
        /// Which one receives it.
        transceiver: TransceiverId,
        /// The streams that it belongs to, all of them, by their ids.
        streams: Vec<String>,
    },
    /// What the peer sends no longer belongs to these streams (`removetrack`).
    TrackRemoved {
        /// Which one receives it, or did.
        transceiver: TransceiverId,
        /// The streams that it has left.
        streams: Vec<String>,
    },
    /// The peer no longer sends this transceiver's media (`mute`).
    TrackMuted(TransceiverId),
    /// The transceiver was stopped, here or by the peer: its tracks have ended (`ended`).
    TrackEnded(TransceiverId),
    /// The peer opened a data channel (`datachannel`); it is open.
    DataChannel(ChannelId),
    /// A channel created here is open.
    ChannelOpen(ChannelId),
    /// A channel has messages to [`recv`](crate::Connection::recv), after it had none.
    ChannelReadable(ChannelId),
    /// The peer is closing the channel, or we are.
    ChannelClosing(ChannelId),
    /// The channel is closed and its id free. Messages that arrived before can still be received.
    ChannelClosed(ChannelId),
    /// The peer broke the channel's rules, such as with text that is not UTF-8; the channel closes.
    ChannelError(ChannelId),
    /// What the channel buffers has fallen to its low threshold (`bufferedamountlow`).
    BufferedAmountLow(ChannelId),
    /// A receiver has frames or packets to [`recv_frame`](crate::Connection::recv_frame) or
    /// [`recv_packet`](crate::Connection::recv_packet), after it had none.
    MediaReadable(TransceiverId),
    /// The peer needs a keyframe of what this transceiver sends (RFC 4585 §6.3.1, RFC 5104 §4.3.1); of this layer of
    /// simulcast, if it has layers.
    KeyframeRequest(TransceiverId, Option<Arc<str>>),
    /// What the path to the peer takes, all streams together, in bits a second: as estimated by what the peer tells of each packet
    /// (transport-wide feedback), or as it says itself (REMB), whichever is less. Sources that send more lose packets.
    BandwidthEstimate(u64),
    /// A key was pressed at the peer (RFC 4733): it was heard to its end, or for long enough that the end must be lost.
    DtmfTone(TransceiverId, DtmfTone),
    /// A tone of [`insert_dtmf`](crate::Connection::insert_dtmf) begins to be sent; `None` after the last (`tonechange`).
    ToneChange(TransceiverId, Option<char>),
}

//! Whole peers without I/O, in memory: ICE, DTLS, SCTP and one data channel.

mod peerline;
#[cfg(feature = "peers")]
mod rtc;
#[cfg(feature = "peers")]
mod str0m;

pub(crate) use self::peerline::Peerline;
#[cfg(feature = "peers")]
pub(crate) use self::{
    rtc::{Peer as RtcPeer, Rtc},
    str0m::{Peer as Str0mPeer, Str0m},
};

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The first and the second peer's, which nobody binds.
pub(crate) const ADDRESSES: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 5000),
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)), 5000),
];

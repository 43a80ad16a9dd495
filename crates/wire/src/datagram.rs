//! How datagrams enter a machine ([`Datagram`]: owned and mutable) and leave it ([`Transmit`]: what was appended).

use std::fmt;
use std::net::SocketAddr;

use bytes::BytesMut;

/// The protocol that carries datagrams between two addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// User datagrams.
    Udp,
    /// A TCP connection; datagrams are framed by the driver (RFC 4571).
    Tcp,
}

/// Where a datagram comes from or goes to: a local address, a remote address and the protocol between them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FiveTuple {
    /// Our address: that of the socket, never unspecified.
    pub local: SocketAddr,
    /// The other side's address, as our socket sees it.
    pub remote: SocketAddr,
    /// The protocol.
    pub transport: Transport,
}

impl FiveTuple {
    /// A five-tuple over UDP.
    #[must_use]
    pub fn udp(local: SocketAddr, remote: SocketAddr) -> Self {
        Self {
            local,
            remote,
            transport: Transport::Udp,
        }
    }

    /// The same path as the other side names it.
    #[must_use]
    pub fn reversed(self) -> Self {
        Self {
            local: self.remote,
            remote: self.local,
            transport: self.transport,
        }
    }
}

impl fmt::Debug for FiveTuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {} -> {}", self.transport, self.local, self.remote)
    }
}

/// An explicit congestion notification codepoint (RFC 3168 §5). Not-ECT is `None` where an `Option<Ecn>` stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Ecn {
    /// ECT(1), `01`.
    Ect1 = 0b01,
    /// ECT(0), `10`.
    Ect0 = 0b10,
    /// Congestion experienced, `11`.
    Ce = 0b11,
}

impl Ecn {
    /// The codepoint in the two low bits of the former TOS octet; `None` for Not-ECT.
    #[must_use]
    pub fn from_bits(tos: u8) -> Option<Self> {
        match tos & 0b11 {
            0b01 => Some(Self::Ect1),
            0b10 => Some(Self::Ect0),
            0b11 => Some(Self::Ce),
            _ => None,
        }
    }
}

/// One received datagram, owned, so that a machine can decrypt it in place and keep slices of it.
#[derive(Clone, Debug)]
pub struct Datagram {
    /// The path on which it came; `local` is our side.
    pub five_tuple: FiveTuple,
    /// The ECN codepoint it carried.
    pub ecn: Option<Ecn>,
    /// Its payload.
    pub payload: BytesMut,
}

/// One datagram to send: the last `len` bytes of the buffer that was passed to `poll_transmit` or `enclose`.
#[must_use = "the bytes appended are a datagram that has to be sent"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// The path on which to send it; `local` is our side.
    pub five_tuple: FiveTuple,
    /// The ECN codepoint to send it with.
    pub ecn: Option<Ecn>,
    /// How many bytes were appended.
    pub len: usize,
}

//! What a connection tells its user.

use std::fmt;

use crate::error::Fault;
use crate::paths::PathId;
use crate::wire::alert::AlertDescription;

/// News from a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The handshake is complete and the peer's certificate has a fingerprint that was signalled.
    Connected,
    /// Decrypted data can be had from `recv`. Comes again only after `recv` returned `None`.
    Readable,
    /// The peer's newest record came by another path, and nothing proves that the peer is there: both sides have connection IDs, but no
    /// return routability check.
    PathSeen(PathId),
    /// From now on everything is sent by this path: the check has proved that the peer is there.
    PathChanged(PathId),
    /// The peer wants so many more connection IDs: see `Connection::offer_connection_ids`.
    ConnectionIdsWanted(u8),
    /// The connection has ended. This is the last event.
    Closed(CloseReason),
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// `close` was called.
    Local,
    /// The peer sent `close_notify`.
    CloseNotify,
    /// The peer sent a fatal alert.
    PeerAlert(AlertDescription),
    /// The handshake failed on this side; the peer was told by an alert.
    Failed(Fault),
    /// The peer did not answer the handshake.
    Timeout,
}

impl CloseReason {
    /// The alert that this side sent, if it sent one (W3C `RTCError.sentAlert`).
    #[must_use]
    pub fn sent_alert(self) -> Option<AlertDescription> {
        match self {
            Self::Local | Self::CloseNotify => Some(AlertDescription::CLOSE_NOTIFY),
            Self::Failed(fault) => Some(fault.alert()),
            Self::PeerAlert(_) | Self::Timeout => None,
        }
    }

    /// The alert that the peer sent, if it sent one (W3C `RTCError.receivedAlert`).
    #[must_use]
    pub fn received_alert(self) -> Option<AlertDescription> {
        match self {
            Self::CloseNotify => Some(AlertDescription::CLOSE_NOTIFY),
            Self::PeerAlert(alert) => Some(alert),
            Self::Local | Self::Failed(_) | Self::Timeout => None,
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("closed by this side"),
            Self::CloseNotify => f.write_str("closed by the peer"),
            Self::PeerAlert(alert) => write!(f, "the peer sent the alert {alert}"),
            Self::Failed(fault) => write!(f, "the handshake failed: {fault}"),
            Self::Timeout => f.write_str("the peer did not answer the handshake"),
        }
    }
}

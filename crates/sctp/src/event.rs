//! [`Event`]: what an association tells its owner.

use crate::StreamId;
use crate::wire::CauseCode;

/// News from an [`Association`](crate::Association). Payload is not news: it is pulled with
/// [`recv`](crate::Association::recv).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The handshake is done; what was queued is on its way.
    Connected,
    /// The peer started anew over the same path (RFC 9260 §5.2): all streams are back at their start, and what was
    /// queued or in flight is lost.
    Restarted,
    /// Messages wait on a stream. Comes when its queue becomes non-empty, and again only after `recv` returned `None`.
    Readable(StreamId),
    /// A stream's `buffered_amount` has fallen to its threshold or below.
    BufferedAmountLow(StreamId),
    /// The peer has reset its outgoing stream (RFC 6525 §5.2.2) and every message before the reset has been read. `recv`
    /// returns messages from after the reset only once this event has been taken, so the two can never be mixed up.
    IncomingStreamReset(StreamId),
    /// What became of a [`reset_stream`](crate::Association::reset_stream) (or of the peer's request for one).
    OutgoingStreamReset(StreamId, ResetResult),
    /// The end. Nothing comes after it.
    Closed(CloseReason),
}

/// How a reset of an outgoing stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResetResult {
    /// The stream starts over at sequence number 0 and can be used again.
    Performed,
    /// The peer denied it or could not make sense of it; the stream goes on as before.
    Failed,
}

/// Why an association ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// Both sides agreed, after everything sent had arrived (RFC 9260 §9.2).
    Shutdown,
    /// [`abort`](crate::Association::abort) was called.
    Aborted,
    /// The peer sent ABORT. `cause` is its first error cause; `reason` is the text of a user-initiated one (12).
    AbortedByPeer {
        /// The first error cause of the ABORT, if it had one.
        cause: Option<CauseCode>,
        /// The upper layer's reason, at most 256 bytes, invalid UTF-8 replaced.
        reason: String,
    },
    /// No answer to INIT or COOKIE ECHO.
    HandshakeTimeout,
    /// No answer to data, heartbeats or requests for too long.
    TooManyRetransmissions,
    /// The peer broke the protocol in a way that cannot be skipped; it was sent an ABORT with this cause.
    ProtocolViolation(CauseCode),
}

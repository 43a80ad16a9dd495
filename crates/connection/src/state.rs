//! The states that JavaScript sees, under their W3C names.

use std::fmt;

/// Declares a W3C state: an enum whose `Display` is the string that browsers give.
macro_rules! state {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// The string that browsers give.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

state! {
    /// Where the exchange of offers and answers stands (`RTCSignalingState`).
    ///
    /// ```text
    ///                    setRemote(answer) / rollback
    ///            +----------------------------------------------+
    ///            v                                              |
    ///        +--------+  setLocal(offer)              +-------------------+  setRemote(pranswer)  +-----------------------+
    ///        | stable |------------------------------>|  have-local-offer |---------------------->| have-remote-pranswer  |
    ///        +--------+                               +-------------------+                       +-----------------------+
    ///          ^    |  setRemote(offer)               +-------------------+  setLocal(pranswer)   +-----------------------+
    ///          |    +-------------------------------->| have-remote-offer |---------------------->|  have-local-pranswer  |
    ///          |                                      +-------------------+                       +-----------------------+
    ///          |     setLocal(answer) / rollback                |                                             |
    ///          +------------------------------------------------+------------- answer / rollback -------------+
    /// ```
    SignalingState {
        /// No offer is under way.
        Stable = "stable",
        /// We offered, and wait for the answer.
        HaveLocalOffer = "have-local-offer",
        /// The peer offered, and waits for our answer.
        HaveRemoteOffer = "have-remote-offer",
        /// The peer offered, and we gave a provisional answer.
        HaveLocalPranswer = "have-local-pranswer",
        /// We offered, and the peer gave a provisional answer.
        HaveRemotePranswer = "have-remote-pranswer",
        /// The connection is closed.
        Closed = "closed",
    }
}

state! {
    /// Which way media flows, or is wanted to flow (`RTCRtpTransceiverDirection`).
    #[derive(Default)]
    TransceiverDirection {
        /// Both ways.
        #[default]
        SendRecv = "sendrecv",
        /// To the peer.
        SendOnly = "sendonly",
        /// From the peer.
        RecvOnly = "recvonly",
        /// Neither way.
        Inactive = "inactive",
        /// Never again.
        Stopped = "stopped",
    }
}

state! {
    /// How far the gathering of local candidates is (`RTCIceGatheringState`).
    IceGatheringState {
        /// Not begun.
        New = "new",
        /// Under way.
        Gathering = "gathering",
        /// All candidates are known.
        Complete = "complete",
    }
}

state! {
    /// The state of ICE (`RTCIceConnectionState`).
    IceConnectionState {
        /// No checks are under way.
        New = "new",
        /// Candidate pairs are being checked.
        Checking = "checking",
        /// A pair works; better ones may still be checked.
        Connected = "connected",
        /// A pair is chosen, and nothing is left to check.
        Completed = "completed",
        /// The peer has not answered for a while; it may come back.
        Disconnected = "disconnected",
        /// No pair works, or consent has expired: an ICE restart may help.
        Failed = "failed",
        /// The connection is closed.
        Closed = "closed",
    }
}

state! {
    /// The state of the whole connection, ICE and DTLS together (`RTCPeerConnectionState`).
    ConnectionState {
        /// Nothing has begun.
        New = "new",
        /// ICE or DTLS is under way.
        Connecting = "connecting",
        /// ICE and DTLS are up.
        Connected = "connected",
        /// ICE has lost its peer for a while.
        Disconnected = "disconnected",
        /// ICE or DTLS has failed.
        Failed = "failed",
        /// Closed: by [`close`](crate::Connection::close), or by the peer's `close_notify`, after which nothing can follow.
        Closed = "closed",
    }
}

state! {
    /// The state of the DTLS transport (`RTCDtlsTransportState`).
    DtlsTransportState {
        /// The handshake has not begun.
        New = "new",
        /// The handshake is under way.
        Connecting = "connecting",
        /// The handshake is complete, and the peer's fingerprint matches.
        Connected = "connected",
        /// The transport is closed, by either side's `close_notify`.
        Closed = "closed",
        /// The handshake failed, or the peer's fingerprint does not match.
        Failed = "failed",
    }
}

state! {
    /// Who chooses the path (`RTCIceRole`).
    IceRole {
        /// We do.
        Controlling = "controlling",
        /// The peer does.
        Controlled = "controlled",
    }
}

state! {
    /// The state of SCTP (`RTCSctpTransportState`).
    SctpTransportState {
        /// The association is being set up, or waits for DTLS.
        Connecting = "connecting",
        /// Data channels can be opened.
        Connected = "connected",
        /// The association is closed.
        Closed = "closed",
    }
}

state! {
    /// The life of a data channel (`RTCDataChannelState`).
    DataChannelState {
        /// The transport is not up yet.
        Connecting = "connecting",
        /// Messages flow.
        Open = "open",
        /// Closing: what was sent before is still delivered.
        Closing = "closing",
        /// Closed, or never opened.
        Closed = "closed",
    }
}

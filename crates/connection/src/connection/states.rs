//! The states of a connection as a whole, and its end.

use std::time::Instant;

use peerline_dtls as dtls;
use peerline_ice as ice;

use super::Connection;
use crate::error::Error;
use crate::event::Event;
use crate::state::{ConnectionState, DtlsTransportState, IceConnectionState};

/// How far a close has come: each layer says goodbye before the one below it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closing {
    /// Not closing.
    Open,
    /// SCTP's ABORT is to leave first.
    Sctp,
    /// Then DTLS's `close_notify`.
    Dtls,
    /// Then nothing more.
    Done,
}

impl Connection {
    pub(super) fn on_dtls_closed(&mut self, now: Instant, reason: &dtls::CloseReason) {
        self.upper.channels.abort(now, "the DTLS transport is closed");
        match reason {
            // "closed: the transport has been closed intentionally via receipt of a close_notify alert" (webrtc-pc §5.5.1).
            dtls::CloseReason::CloseNotify => {
                // DTLS has its own `close_notify` to send in reply.
                self.closing = Closing::Dtls;
                self.end();
            }
            dtls::CloseReason::Local => self.dtls_state = DtlsTransportState::Closed,
            _ => {
                self.dtls_state = DtlsTransportState::Failed;
                self.events.push_back(Event::DtlsTransportError(*reason));
            }
        }
    }

    /// The states of a closed connection, and the last event.
    pub(super) fn end(&mut self) {
        while let Some(event) = self.upper.channels.poll_event() {
            self.on_channel_event(&event);
        }
        if let Some(media) = &mut self.upper.media {
            media.close();
        }
        self.negotiation.close();
        self.dtls_state = DtlsTransportState::Closed;
        self.ice_connection_state = IceConnectionState::Closed;
        self.connection_state = ConnectionState::Closed;
        self.early.clear();
        self.tell_transports();
        self.events
            .push_back(Event::ConnectionStateChange(ConnectionState::Closed));
    }

    /// Takes the next step of a close, once the layer before has nothing left to send; false when there is none.
    pub(super) fn close_further(&mut self, now: Instant) -> bool {
        match self.closing {
            Closing::Open | Closing::Done => false,
            Closing::Sctp => {
                self.closing = Closing::Dtls;
                if let Some(dtls) = &mut self.upper.dtls {
                    dtls.close(now);
                }
                true
            }
            Closing::Dtls => {
                self.closing = Closing::Done;
                self.ice.close(now);
                // Servers are told, if there are any.
                true
            }
        }
    }

    pub(super) fn update_states(&mut self) {
        if self.is_closed() {
            return;
        }
        if self.dtls_state == DtlsTransportState::New && self.upper.dtls.is_some() && self.ice.selected_pair().is_some()
        {
            self.dtls_state = DtlsTransportState::Connecting;
        }
        self.tell_transports();
        let ice = match self.ice.state() {
            ice::State::New => IceConnectionState::New,
            ice::State::Checking => IceConnectionState::Checking,
            ice::State::Connected => IceConnectionState::Connected,
            ice::State::Completed => IceConnectionState::Completed,
            ice::State::Disconnected => IceConnectionState::Disconnected,
            ice::State::Failed => IceConnectionState::Failed,
            ice::State::Closed => IceConnectionState::Closed,
        };
        if ice != self.ice_connection_state {
            self.ice_connection_state = ice;
            self.events.push_back(Event::IceConnectionStateChange(ice));
        }
        let connection = self.whole_state();
        if connection != self.connection_state {
            self.connection_state = connection;
            self.events.push_back(Event::ConnectionStateChange(connection));
            if connection == ConnectionState::Connected {
                self.rest();
            }
        }
    }

    /// `RTCPeerConnectionState`: the first row that holds (webrtc-pc §4.3.3).
    fn whole_state(&self) -> ConnectionState {
        use DtlsTransportState as Dtls;
        use IceConnectionState as Ice;
        match (self.ice_connection_state, self.dtls_state) {
            (Ice::Failed, _) | (_, Dtls::Failed) => ConnectionState::Failed,
            (Ice::Disconnected, _) => ConnectionState::Disconnected,
            (Ice::New | Ice::Closed, Dtls::New | Dtls::Closed) => ConnectionState::New,
            (Ice::Connected | Ice::Completed | Ice::Closed, Dtls::Connected | Dtls::Closed) => {
                ConnectionState::Connected
            }
            (Ice::New | Ice::Checking | Ice::Connected | Ice::Completed | Ice::Closed, _) => {
                ConnectionState::Connecting
            }
        }
    }

    pub(crate) fn ensure_open(&self) -> Result<(), Error> {
        if self.is_closed() { Err(Error::Closed) } else { Ok(()) }
    }
}

//! Alerts, and the end that they bring (RFC 5246 §7.2).

use std::time::Instant;

use super::{Connection, State};
use crate::event::CloseReason;
use crate::wire::alert::{Alert, AlertDescription, AlertLevel};

/// A fatal alert that may be forged.
pub(super) struct Doubt {
    pub(super) alert: AlertDescription,
    pub(super) deadline: Instant,
}

/// The last alert sent: sent again, a few times, to a peer that seems to have missed it.
pub(super) struct Farewell {
    alert: Alert,
    repeats_left: u8,
}

/// How often the last alert is repeated.
const FAREWELL_REPEATS: u8 = 8;

impl Connection {
    /// An alert under the handshake's keys: the peer's own word.
    pub(super) fn on_alert(&mut self, payload: &[u8]) {
        match Alert::decode(payload) {
            // RFC 5246 §7.2.1: "The other party MUST respond with a close_notify alert of its own and close down the
            // connection immediately".
            Ok(Alert {
                description: AlertDescription::CLOSE_NOTIFY,
                ..
            }) => {
                self.end(
                    CloseReason::CloseNotify,
                    Some(Alert::warning(AlertDescription::CLOSE_NOTIFY)),
                );
            }
            // RFC 8446 §6: "All the alerts listed in Section 6.2 MUST be sent with AlertLevel=fatal and MUST be considered as fatal
            // errors regardless of the AlertLevel in the message." Not listed there is user_canceled, after which a close_notify
            // comes.
            Ok(Alert { level, description })
                if level == AlertLevel::FATAL
                    || self.cx.records.epochs.is_some() && description != AlertDescription::USER_CANCELED =>
            {
                self.end(CloseReason::PeerAlert(description), None);
            }
            Ok(_) => self.stats.alerts_ignored += 1,
            Err(_) => self.stats.records_malformed += 1,
        }
    }

    /// An alert in plaintext, during the handshake. It may be all that a peer who refuses us can say, or forged: so
    /// it ends the handshake only if the handshake gets no further for a while.
    pub(super) fn on_doubtful_alert(&mut self, now: Instant, payload: &[u8]) {
        let Ok(alert) = Alert::decode(payload) else {
            self.stats.records_malformed += 1;
            return;
        };
        self.stats.alerts_ignored += 1;
        let held = match &self.state {
            State::Handshaking(handshake) => handshake.is_held() || handshake.awaits_client_hello(),
            State::Connected(_) | State::Closed => true,
        };
        let ends = alert.level == AlertLevel::FATAL || alert.description == AlertDescription::CLOSE_NOTIFY;
        if ends && !held && self.doubt.is_none() {
            self.doubt = now.checked_add(self.cx.config.alert_patience).map(|deadline| Doubt {
                alert: alert.description,
                deadline,
            });
        }
    }

    /// Ends the connection, freeing everything but what is still to be sent and read.
    pub(super) fn end(&mut self, reason: CloseReason, alert: Option<Alert>) {
        // A last flight that is still on its way leaves before the alert: the peer needs it to read the alert.
        if self.is_connected() {
            self.cx.flight.expect_no_answer();
        } else {
            self.cx.flight.finish();
        }
        self.state = State::Closed;
        self.cx.reassembly.clear();
        self.early.clear();
        self.doubt = None;
        self.cx.acks.clear();
        self.alert = alert;
        self.farewell = alert.map(|alert| Farewell {
            alert,
            repeats_left: FAREWELL_REPEATS,
        });
        self.news.closed = Some(reason);
    }

    /// The peer still talks: perhaps it missed the last alert.
    pub(super) fn repeat_farewell(&mut self) {
        if let Some(farewell) = &mut self.farewell
            && let Some(left) = farewell.repeats_left.checked_sub(1)
        {
            farewell.repeats_left = left;
            self.alert = Some(farewell.alert);
        }
    }
}

//! Alerts (RFC 5246 §7.2).

use std::fmt;

use peerline_wire::Writer;

use super::{ParseError, exactly, number};

number! {
    /// How grave an alert is.
    AlertLevel(u8) {
        /// The sender goes on.
        WARNING = 1,
        /// The sender has closed the connection.
        FATAL = 2,
    }
}

number! {
    /// What an alert says.
    AlertDescription(u8) {
        /// The sender will send no more data.
        CLOSE_NOTIFY = 0,
        /// A message that has no place here.
        UNEXPECTED_MESSAGE = 10,
        /// A record that does not decrypt. DTLS discards these silently.
        BAD_RECORD_MAC = 20,
        /// No acceptable set of parameters.
        HANDSHAKE_FAILURE = 40,
        /// A certificate is missing, corrupt or not the expected one.
        BAD_CERTIFICATE = 42,
        /// A certificate of an unsupported type.
        UNSUPPORTED_CERTIFICATE = 43,
        /// A certificate was revoked.
        CERTIFICATE_REVOKED = 44,
        /// A certificate has expired.
        CERTIFICATE_EXPIRED = 45,
        /// A certificate is unacceptable for another reason.
        CERTIFICATE_UNKNOWN = 46,
        /// A field is out of range or contradicts another.
        ILLEGAL_PARAMETER = 47,
        /// A certificate's issuer is not known.
        UNKNOWN_CA = 48,
        /// Access was denied.
        ACCESS_DENIED = 49,
        /// A message that could not be decoded.
        DECODE_ERROR = 50,
        /// A signature or a Finished message did not verify.
        DECRYPT_ERROR = 51,
        /// The peer asked for connection IDs too often (RFC 9147 §9).
        TOO_MANY_CIDS_REQUESTED = 52,
        /// The version offered is not supported.
        PROTOCOL_VERSION = 70,
        /// The parameters offered are not secure enough.
        INSUFFICIENT_SECURITY = 71,
        /// An error that has nothing to do with the peer.
        INTERNAL_ERROR = 80,
        /// The handshake is given up for a reason outside the protocol.
        USER_CANCELED = 90,
        /// The sender refuses to renegotiate (always a warning).
        NO_RENEGOTIATION = 100,
        /// An extension is missing without which nothing can be agreed on (RFC 8446 §6.2).
        MISSING_EXTENSION = 109,
        /// An extension in a ServerHello that the client did not offer.
        UNSUPPORTED_EXTENSION = 110,
        /// The client has no certificate, and the server requires one (RFC 8446 §6.2).
        CERTIFICATE_REQUIRED = 116,
    }
}

impl fmt::Display for AlertDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// An alert: two bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alert {
    /// How grave it is.
    pub level: AlertLevel,
    /// What it says.
    pub description: AlertDescription,
}

impl Alert {
    /// An alert that ends the connection.
    #[must_use]
    pub fn fatal(description: AlertDescription) -> Self {
        Self {
            level: AlertLevel::FATAL,
            description,
        }
    }

    /// An alert after which the connection goes on (or, for `close_notify`, ends in peace).
    #[must_use]
    pub fn warning(description: AlertDescription) -> Self {
        Self {
            level: AlertLevel::WARNING,
            description,
        }
    }

    /// Reads an alert that fills `bytes`.
    ///
    /// # Errors
    /// [`ParseError`] unless there are exactly two bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, ParseError> {
        exactly(bytes, |r| {
            Ok(Self {
                level: AlertLevel(r.u8()?),
                description: AlertDescription(r.u8()?),
            })
        })
    }

    /// Appends the alert.
    pub fn encode(&self, w: &mut Writer<'_>) {
        w.u8(self.level.0);
        w.u8(self.description.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_is_two_bytes_exactly() {
        let alert = Alert::decode(&[2, 42]).unwrap();
        assert_eq!(alert, Alert::fatal(AlertDescription::BAD_CERTIFICATE));
        let mut out = Vec::new();
        alert.encode(&mut Writer::new(&mut out));
        assert_eq!(out, [2, 42]);
        assert_eq!(Alert::decode(&[2]), Err(ParseError::Truncated));
        assert_eq!(Alert::decode(&[2, 42, 0]), Err(ParseError::TrailingBytes));
        assert_eq!(format!("{:?}", AlertDescription(200)), "AlertDescription(0xc8)");
    }
}

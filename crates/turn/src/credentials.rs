//! [`Credentials`]: a user's name and password, and those that a shared secret makes for a limited time.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// A long-term credential (RFC 8489 §9.2): a user's name and password, both already prepared with the OpaqueString profile
/// (RFC 8265); ASCII is.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Credentials {
    /// The name, of at most 508 bytes (RFC 8489 §14.3).
    pub username: String,
    /// The password.
    pub password: String,
}

impl Credentials {
    /// This name and password.
    #[must_use]
    pub fn new(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self {
            username: username.into(),
            password: password.into(),
        }
    }

    /// The credential that a web service hands out for a while (draft-uberti-behave-turn-rest-00 §2.2): the name is the Unix
    /// time of its end, a colon and `user`; the password is the base64 of the HMAC-SHA1 of that name, keyed with the
    /// `secret` that the service and the TURN server share.
    #[must_use]
    pub fn time_limited(secret: &[u8], user: &str, end: SystemTime) -> Self {
        let seconds = end.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let username = format!("{seconds}:{user}");
        let password = time_limited_password(secret, &username);
        Self { username, password }
    }

    /// When a credential of limited time ends, as its name says; `None` if it is none. Then is the time for
    /// [`Client::set_credentials`](crate::Client::set_credentials), or somewhat earlier.
    #[must_use]
    pub fn end(&self) -> Option<SystemTime> {
        parse_time_limited(&self.username).map(|(end, _)| end)
    }
}

/// The password is a secret.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// The password that goes with the name of a credential of limited time.
pub(crate) fn time_limited_password(secret: &[u8], username: &str) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(username.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// The end and the user that the name of a credential of limited time says: "timestamp:user", or the timestamp alone.
pub(crate) fn parse_time_limited(username: &str) -> Option<(SystemTime, &str)> {
    let (seconds, user) = username.split_once(':').unwrap_or((username, ""));
    if seconds.is_empty() || !seconds.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let end = UNIX_EPOCH.checked_add(Duration::from_secs(seconds.parse().ok()?))?;
    Some((end, user))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_of_limited_time() {
        let end = UNIX_EPOCH + Duration::from_secs(1_433_895_918);
        let credentials = Credentials::time_limited(b"my_secret", "john", end);
        assert_eq!(credentials.username, "1433895918:john");
        // printf 1433895918:john | openssl dgst -sha1 -hmac my_secret -binary | base64
        assert_eq!(credentials.password, "HdNkr8v0cdMtHkolobx5F9UBmBE=");
        assert_eq!(parse_time_limited(&credentials.username), Some((end, "john")));
        assert_eq!(credentials.end(), Some(end));
        assert_eq!(parse_time_limited("1433895918"), Some((end, "")));
        for other in ["", ":john", "john", "+5:john", "99999999999999999999:john"] {
            assert_eq!(parse_time_limited(other), None);
        }
        assert!(!format!("{credentials:?}").contains(&credentials.password));
    }
}

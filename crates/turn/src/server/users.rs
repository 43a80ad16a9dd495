//! [`Users`]: who may allocate.

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use crate::Credentials;
use crate::credentials::{parse_time_limited, time_limited_password};

/// Who may allocate, and who they are.
pub trait Users: Send {
    /// Who asks, if the name is known now and one of its passwords is right. `is_right` says so of each that is tried.
    ///
    /// What is returned names the user behind the name: allocations are counted by it, and a request with another name of
    /// the same user may refresh an allocation.
    fn identify(&self, username: &str, now: SystemTime, is_right: &mut dyn FnMut(&str) -> bool) -> Option<String>;
}

/// Users with passwords that do not change.
#[derive(Clone, Default)]
pub struct StaticUsers {
    passwords: BTreeMap<String, String>,
}

impl StaticUsers {
    /// These.
    #[must_use]
    pub fn new(users: impl IntoIterator<Item = Credentials>) -> Self {
        let passwords = users.into_iter().map(|user| (user.username, user.password));
        Self {
            passwords: passwords.collect(),
        }
    }
}

impl Users for StaticUsers {
    fn identify(&self, username: &str, _: SystemTime, is_right: &mut dyn FnMut(&str) -> bool) -> Option<String> {
        let password = self.passwords.get(username)?;
        is_right(password).then(|| username.to_owned())
    }
}

/// Names, not passwords.
impl fmt::Debug for StaticUsers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.passwords.keys()).finish()
    }
}

/// Whoever a web service gave a credential of limited time (draft-uberti-behave-turn-rest-00), such as
/// [`Credentials::time_limited`]. Its time is looked at when an allocation is made: that goes on until it is no longer
/// refreshed. The user is what follows the colon; without, each name is a user of its own.
#[derive(Clone)]
pub struct TimeLimitedUsers {
    secrets: Vec<Vec<u8>>,
}

impl TimeLimitedUsers {
    /// Those with one of these secrets, several while one is replaced by another.
    #[must_use]
    pub fn new(secrets: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self {
            secrets: secrets.into_iter().collect(),
        }
    }
}

impl Users for TimeLimitedUsers {
    fn identify(&self, username: &str, now: SystemTime, is_right: &mut dyn FnMut(&str) -> bool) -> Option<String> {
        let (end, user) = parse_time_limited(username)?;
        if end <= now {
            return None;
        }
        let right = |secret: &Vec<u8>| is_right(&time_limited_password(secret, username));
        let user = if user.is_empty() { username } else { user };
        self.secrets.iter().any(right).then(|| user.to_owned())
    }
}

impl fmt::Debug for TimeLimitedUsers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TimeLimitedUsers({} secrets)", self.secrets.len())
    }
}

/// Either kind: the first that knows the name and its password counts.
impl<A: Users, B: Users> Users for (A, B) {
    fn identify(&self, username: &str, now: SystemTime, is_right: &mut dyn FnMut(&str) -> bool) -> Option<String> {
        let first = self.0.identify(username, now, is_right);
        first.or_else(|| self.1.identify(username, now, is_right))
    }
}

impl Users for Box<dyn Users> {
    fn identify(&self, username: &str, now: SystemTime, is_right: &mut dyn FnMut(&str) -> bool) -> Option<String> {
        (**self).identify(username, now, is_right)
    }
}

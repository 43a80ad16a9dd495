//! Secrets for who is to read along, as Wireshark with a capture: in the format that NSS gave them
//! (draft-ietf-tls-keylogfile), by rustls's [`KeyLog`].

pub use rustls::KeyLog;

use crate::context::Context;
use crate::dtls13::key_schedule::{ApplicationSecrets, Traffic};
use crate::wire::handshake::Random;

impl Context {
    /// The master secret of DTLS 1.2.
    pub(crate) fn log_master_secret(&self, client_random: &Random, secret: &[u8]) {
        self.log("CLIENT_RANDOM", client_random, secret);
    }

    /// The secrets that protect a handshake of DTLS 1.3.
    pub(crate) fn log_handshake(&self, client_random: &Random, traffic: &Traffic) {
        self.log("CLIENT_HANDSHAKE_TRAFFIC_SECRET", client_random, traffic.client.bytes());
        self.log("SERVER_HANDSHAKE_TRAFFIC_SECRET", client_random, traffic.server.bytes());
    }

    /// The secrets that protect what follows. Those after a KeyUpdate can be computed from them.
    pub(crate) fn log_application(&self, client_random: &Random, secrets: &ApplicationSecrets) {
        self.log("CLIENT_TRAFFIC_SECRET_0", client_random, secrets.traffic.client.bytes());
        self.log("SERVER_TRAFFIC_SECRET_0", client_random, secrets.traffic.server.bytes());
        self.log("EXPORTER_SECRET", client_random, secrets.exporter.master_secret());
    }

    fn log(&self, label: &str, client_random: &Random, secret: &[u8]) {
        if let Some(log) = &self.config.key_log {
            log.log(label, client_random, secret);
        }
    }
}

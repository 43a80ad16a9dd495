//! [`Nonces`]: nonces that nothing has to be remembered for (RFC 8489 §9.2).
//!
//! A nonce is the cookie, then in base64 its end in seconds and the beginning of an HMAC of that and the client's address: "The
//! server MUST NOT choose the same NONCE for two requests unless they have the same source IP address and port" (§9.2.4).

use std::net::IpAddr;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use peerline_stun::attribute::SecurityFeatures;
use peerline_wire::{FiveTuple, Transport};
use sha1::Sha1;

pub(super) struct Nonces {
    mac: Hmac<Sha1>,
    features: SecurityFeatures,
    lifetime: Duration,
    /// From when ends are counted.
    epoch: Instant,
}

/// 13 bytes of cookie, 22 digits of base64.
pub(super) const NONCE_LEN: usize = 35;
const END_LEN: usize = 4;
const MAC_LEN: usize = 12;

impl Nonces {
    pub(super) fn new(key: [u8; 32], features: SecurityFeatures, lifetime: Duration, epoch: Instant) -> Self {
        Self {
            mac: Hmac::new_from_slice(&key).expect("HMAC takes keys of any length"),
            features,
            lifetime,
            epoch,
        }
    }

    /// The nonce for a client, from now on for a while.
    pub(super) fn issue(&self, now: Instant, client: &FiveTuple) -> [u8; NONCE_LEN] {
        let end = self
            .seconds(now)
            .saturating_add(u32::try_from(self.lifetime.as_secs()).unwrap_or(u32::MAX));
        let mut plain = [0; END_LEN + MAC_LEN];
        plain[..END_LEN].copy_from_slice(&end.to_be_bytes());
        plain[END_LEN..].copy_from_slice(&self.authenticate(end, client));

        let mut nonce = [0; NONCE_LEN];
        let (cookie, digits) = nonce.split_at_mut(13);
        cookie.copy_from_slice(&self.features.cookie());
        let written = STANDARD_NO_PAD.encode_slice(plain, digits);
        debug_assert_eq!(written, Ok(NONCE_LEN - 13));
        nonce
    }

    /// True if we gave this nonce to this client, and its time is not over.
    pub(super) fn is_valid(&self, now: Instant, client: &FiveTuple, nonce: &[u8]) -> bool {
        let Some(digits) = nonce
            .strip_prefix(&self.features.cookie())
            .filter(|_| nonce.len() == NONCE_LEN)
        else {
            return false;
        };
        // The decoder wants room for the digits' padding too.
        let mut plain = [0; 18];
        let Ok(16) = STANDARD_NO_PAD.decode_slice(digits, &mut plain) else {
            return false;
        };
        let [a, b, c, d, mac @ .., _, _] = plain;
        let end = u32::from_be_bytes([a, b, c, d]);
        // Compared in any time: who could learn the MAC of a nonce bit by bit can have one by asking.
        mac == self.authenticate(end, client) && self.seconds(now) < end
    }

    fn seconds(&self, now: Instant) -> u32 {
        let seconds = now.saturating_duration_since(self.epoch).as_secs();
        u32::try_from(seconds).unwrap_or(u32::MAX)
    }

    fn authenticate(&self, end: u32, client: &FiveTuple) -> [u8; MAC_LEN] {
        let mut mac = self.mac.clone();
        mac.update(&end.to_be_bytes());
        match client.remote.ip() {
            IpAddr::V4(address) => mac.update(&address.octets()),
            IpAddr::V6(address) => mac.update(&address.octets()),
        }
        mac.update(&client.remote.port().to_be_bytes());
        mac.update(&[match client.transport {
            Transport::Udp => 17,
            Transport::Tcp => 6,
        }]);
        let digest = mac.finalize().into_bytes();
        std::array::from_fn(|i| digest[i])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerline_sim::epoch;

    fn client(address: &str) -> FiveTuple {
        let server = "192.0.2.1:3478".parse().expect("an address");
        FiveTuple::udp(server, address.parse().expect("an address"))
    }

    #[test]
    fn a_nonce_is_good_for_its_client_and_its_time() {
        let features = SecurityFeatures::PASSWORD_ALGORITHMS;
        let nonces = Nonces::new([7; 32], features, Duration::from_secs(60), epoch());
        let (ours, now) = (client("198.51.100.7:5000"), epoch() + Duration::from_millis(1_500));
        let nonce = nonces.issue(now, &ours);
        assert!(nonce.is_ascii());
        assert!(nonces.is_valid(now, &ours, &nonce));
        assert!(nonces.is_valid(now + Duration::from_secs(59), &ours, &nonce));
        assert!(!nonces.is_valid(now + Duration::from_secs(60), &ours, &nonce));
        for other in ["198.51.100.7:5001", "198.51.100.8:5000", "[2001:db8::1]:5000"] {
            assert!(!nonces.is_valid(now, &client(other), &nonce));
        }
        let over_tcp = FiveTuple {
            transport: Transport::Tcp,
            ..ours
        };
        assert!(!nonces.is_valid(now, &over_tcp, &nonce));
        let other_key = Nonces::new([8; 32], features, Duration::from_secs(60), epoch());
        assert!(!other_key.is_valid(now, &ours, &nonce));
        for at in 0..NONCE_LEN {
            let mut changed = nonce;
            changed[at] ^= 1;
            assert!(!nonces.is_valid(now, &ours, &changed), "byte {at}");
        }
        assert!(!nonces.is_valid(now, &ours, &nonce[..34]) && !nonces.is_valid(now, &ours, b""));
    }
}

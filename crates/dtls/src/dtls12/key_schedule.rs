//! Suites, and the secrets and keys that follow from a key exchange (RFC 5246 §8.1, §6.3; RFC 7627 §4; RFC 5705).

use rustls::crypto::hash::Output;
use rustls::crypto::{ActiveKeyExchange, CryptoProvider};
use rustls::{SupportedCipherSuite, Tls12CipherSuite};
use zeroize::Zeroizing;

use crate::cipher::{Bulk, Cipher};
use crate::config::Role;
use crate::error::{ExportError, Fault};
use crate::wire::handshake::Random;
use crate::wire::{CipherSuite, SignatureScheme};

/// A cipher suite that both this crate and the provider have.
#[derive(Clone, Copy)]
pub(crate) struct Suite {
    pub(crate) id: CipherSuite,
    bulk: Bulk,
    tls: &'static Tls12CipherSuite,
}

impl Suite {
    pub(crate) fn find(provider: &CryptoProvider, id: CipherSuite) -> Option<Self> {
        let bulk = Bulk::of_suite(id)?;
        provider.cipher_suites.iter().find_map(|suite| match suite {
            SupportedCipherSuite::Tls12(tls) if u16::from(tls.common.suite) == id.0 => Some(Self { id, bulk, tls }),
            _ => None,
        })
    }

    /// True if the suite's name says that the server signs with RSA.
    pub(crate) fn is_rsa(self) -> bool {
        matches!(
            self.id,
            CipherSuite::ECDHE_RSA_WITH_AES_128_GCM_SHA256
                | CipherSuite::ECDHE_RSA_WITH_AES_256_GCM_SHA384
                | CipherSuite::ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
        )
    }

    /// True if the server may sign its key share so.
    pub(crate) fn allows(self, scheme: SignatureScheme) -> bool {
        self.tls.sign.iter().any(|allowed| u16::from(*allowed) == scheme.0)
    }

    pub(crate) fn hash(self, bytes: &[u8]) -> Output {
        self.tls.common.hash_provider.hash(bytes)
    }
}

/// Both hellos' random bytes.
#[derive(Clone, Copy)]
pub(crate) struct Randoms {
    pub(crate) client: Random,
    pub(crate) server: Random,
}

impl Randoms {
    /// The client's, then the server's: the seed of the master secret and of exported keys.
    fn client_first(&self) -> [u8; 64] {
        concat(&self.client, &self.server)
    }

    /// The server's, then the client's: the seed of the record keys (RFC 5246 §6.3).
    fn server_first(&self) -> [u8; 64] {
        concat(&self.server, &self.client)
    }
}

fn concat(first: &Random, second: &Random) -> [u8; 64] {
    let mut both = [0; 64];
    let (a, b) = both.split_at_mut(32);
    a.copy_from_slice(first);
    b.copy_from_slice(second);
    both
}

/// The master secret, and what is made from it. Neither the secret nor the block of keys stays in memory when it goes.
pub(crate) struct KeySchedule {
    pub(crate) suite: Suite,
    pub(crate) randoms: Randoms,
    master_secret: Zeroizing<[u8; 48]>,
}

impl KeySchedule {
    /// For the key log.
    pub(crate) fn master_secret(&self) -> &[u8] {
        &self.master_secret[..]
    }
}

/// Whose Finished.
#[derive(Clone, Copy)]
pub(crate) enum Sender {
    Client,
    Server,
}

impl KeySchedule {
    /// Completes the key exchange. `session_hash` is the hash of all messages up to the ClientKeyExchange if the
    /// master secret is an extended one.
    pub(crate) fn new(
        suite: Suite,
        randoms: Randoms,
        key_exchange: Box<dyn ActiveKeyExchange>,
        peer_public_key: &[u8],
        session_hash: Option<Output>,
    ) -> Result<Self, Fault> {
        let mut master_secret = Zeroizing::new([0; 48]);
        let prf = suite.tls.prf_provider;
        match session_hash {
            // RFC 7627 §4: master_secret = PRF(pre_master_secret, "extended master secret", session_hash)[0..47];
            Some(hash) => prf.for_key_exchange(
                &mut master_secret,
                key_exchange,
                peer_public_key,
                b"extended master secret",
                hash.as_ref(),
            ),
            // RFC 5246 §8.1: … "master secret", ClientHello.random + ServerHello.random
            None => prf.for_key_exchange(
                &mut master_secret,
                key_exchange,
                peer_public_key,
                b"master secret",
                &randoms.client_first(),
            ),
        }
        .map_err(|_| Fault::BadKeyShare)?;
        Ok(Self {
            suite,
            randoms,
            master_secret,
        })
    }

    /// The schedule of a session whose master secret is known from a key log.
    #[cfg(test)]
    pub(crate) fn from_key_log(suite: Suite, randoms: Randoms, master_secret: [u8; 48]) -> Self {
        Self {
            suite,
            randoms,
            master_secret: master_secret.into(),
        }
    }

    /// The two ciphers, that of the own role's writing first (RFC 5246 §6.3; an AEAD has no MAC keys).
    pub(crate) fn ciphers(&self, role: Role) -> Option<(Cipher, Cipher)> {
        let bulk = self.suite.bulk;
        let (key_len, iv_len) = (bulk.key_len(), bulk.iv_len());
        let mut block = Zeroizing::new(vec![0; 2 * (key_len + iv_len)]);
        self.prf(&mut block, b"key expansion", &self.randoms.server_first());
        let (keys, ivs) = block.split_at(2 * key_len);
        let (client_key, server_key) = keys.split_at(key_len);
        let (client_iv, server_iv) = ivs.split_at(iv_len);
        let client = Cipher::new(bulk, client_key, client_iv)?;
        let server = Cipher::new(bulk, server_key, server_iv)?;
        Some(match role {
            Role::Client => (client, server),
            Role::Server => (server, client),
        })
    }

    /// The `verify_data` of a Finished over these messages (RFC 5246 §7.4.9).
    pub(crate) fn verify_data(&self, sender: Sender, transcript: &[u8]) -> [u8; 12] {
        let label: &[u8] = match sender {
            Sender::Client => b"client finished",
            Sender::Server => b"server finished",
        };
        let mut verify_data = [0; 12];
        self.prf(&mut verify_data, label, self.suite.hash(transcript).as_ref());
        verify_data
    }

    /// Verifies a received Finished, in constant time.
    pub(crate) fn verify_finished(&self, sender: Sender, transcript: &[u8], received: &[u8; 12]) -> Result<(), Fault> {
        let expected = self.verify_data(sender, transcript);
        let difference = expected
            .iter()
            .zip(received)
            .fold(0, |difference, (a, b)| difference | (a ^ b));
        if difference == 0 {
            Ok(())
        } else {
            Err(Fault::BadFinished)
        }
    }

    /// RFC 5705 §4: PRF(master_secret, label, client_random + server_random [+ context_value_length + context_value]).
    pub(crate) fn export(&self, label: &[u8], context: Option<&[u8]>, out: &mut [u8]) -> Result<(), ExportError> {
        const RESERVED: [&[u8]; 6] = [
            b"",
            b"client finished",
            b"server finished",
            b"master secret",
            b"extended master secret",
            b"key expansion",
        ];
        if RESERVED.contains(&label) {
            return Err(ExportError::ReservedLabel);
        }
        let mut seed = self.randoms.client_first().to_vec();
        if let Some(context) = context {
            let length = u16::try_from(context.len()).map_err(|_| ExportError::ContextTooLong)?;
            seed.extend_from_slice(&length.to_be_bytes());
            seed.extend_from_slice(context);
        }
        self.prf(out, label, &seed);
        Ok(())
    }

    fn prf(&self, out: &mut [u8], label: &[u8], seed: &[u8]) {
        self.suite
            .tls
            .prf_provider
            .for_secret(out, &*self.master_secret, label, seed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zeroize::ZeroizeOnDrop;

    #[test]
    fn the_master_secret_is_wiped_when_it_goes() {
        fn is_wiped(_: &impl ZeroizeOnDrop) {}
        let provider = rustls::crypto::ring::default_provider();
        let suite = Suite::find(&provider, CipherSuite::ECDHE_ECDSA_WITH_AES_128_GCM_SHA256).expect("ring has it");
        let randoms = Randoms {
            client: [1; 32],
            server: [2; 32],
        };
        is_wiped(&KeySchedule::from_key_log(suite, randoms, [3; 48]).master_secret);
    }
}

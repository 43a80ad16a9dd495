//! Suites, and the secrets and keys of a handshake (RFC 8446 §7; RFC 9147 §5.9 has another label prefix).
//!
//! ```text
//!             0 -> HKDF-Extract = early secret                       (there are no pre-shared keys)
//! key exchange -> HKDF-Extract = handshake secret -> {client, server}_handshake_traffic_secret
//!             0 -> HKDF-Extract = master secret    -> {client, server}_application_traffic_secret_0
//!                                                  -> exporter_master_secret
//! ```

use rustls::crypto::CryptoProvider;
use rustls::crypto::hash::{Context, Output};
use rustls::crypto::tls13::{HkdfExpander, OkmBlock};
use rustls::{SupportedCipherSuite, Tls13CipherSuite};
use zeroize::Zeroizing;

use super::cipher::Cipher;
use crate::cipher::Bulk;
use crate::config::Role;
use crate::error::{ExportError, Fault};
use crate::wire::CipherSuite;

/// A cipher suite that both this crate and the provider have.
#[derive(Clone, Copy)]
pub(crate) struct Suite {
    pub(crate) id: CipherSuite,
    bulk: Bulk,
    tls: &'static Tls13CipherSuite,
}

impl Suite {
    pub(crate) fn find(provider: &CryptoProvider, id: CipherSuite) -> Option<Self> {
        let bulk = Bulk::of_suite(id)?;
        provider.cipher_suites.iter().find_map(|suite| match suite {
            SupportedCipherSuite::Tls13(tls) if u16::from(tls.common.suite) == id.0 => Some(Self { id, bulk, tls }),
            _ => None,
        })
    }

    pub(crate) fn hash(self, bytes: &[u8]) -> Output {
        self.tls.common.hash_provider.hash(bytes)
    }

    /// The hash of nothing yet.
    pub(crate) fn start_hash(self) -> Box<dyn Context> {
        self.tls.common.hash_provider.start()
    }

    /// How many records may be protected under one key (RFC 8446 §5.5): 2^24.5 with AES-GCM. ChaCha20-Poly1305 has no limit
    /// that sequence numbers would not reach first.
    pub(crate) fn confidentiality_limit(self) -> u64 {
        match self.bulk {
            Bulk::Aes128Gcm | Bulk::Aes256Gcm => 23_726_566,
            Bulk::ChaCha20Poly1305 => u64::MAX,
        }
    }

    /// The keys that follow from a traffic secret (RFC 8446 §7.3, RFC 9147 §4.2.3).
    pub(crate) fn keys(self, secret: &Secret) -> Option<Keys> {
        let expander = self.expander(secret);
        let mut keys = Keys {
            keys: Zeroizing::new([[0; Keys::MAX_LEN]; 2]),
            iv: [0; Cipher::IV_LEN],
        };
        let [key, sn_key] = &mut *keys.keys;
        expand_label(&*expander, b"key", &[], key.get_mut(..self.bulk.key_len())?)?;
        expand_label(&*expander, b"iv", &[], &mut keys.iv)?;
        expand_label(&*expander, b"sn", &[], sn_key.get_mut(..self.bulk.key_len())?)?;
        Some(keys)
    }

    /// What works with these keys. It is ten times as large as they are.
    pub(crate) fn cipher(self, keys: &Keys) -> Option<Cipher> {
        let [key, sn_key] = &*keys.keys;
        let len = self.bulk.key_len();
        Cipher::new(self.bulk, key.get(..len)?, keys.iv, sn_key.get(..len)?)
    }

    /// The traffic secret after this one (RFC 8446 §7.2).
    pub(crate) fn next_secret(self, secret: &Secret) -> Secret {
        derive(&*self.expander(secret), b"traffic upd", &[])
    }

    /// The `verify_data` of a Finished (RFC 8446 §4.4.4).
    pub(crate) fn verify_data(self, base: &Secret, transcript: &Output) -> rustls::crypto::hmac::Tag {
        let key = derive(&*self.expander(base), b"finished", &[]);
        self.tls.hkdf_provider.hmac_sign(&key.0, transcript.as_ref())
    }

    /// Verifies a received Finished, in constant time.
    pub(crate) fn verify_finished(self, base: &Secret, transcript: &Output, received: &[u8]) -> Result<(), Fault> {
        let expected = self.verify_data(base, transcript);
        let expected = expected.as_ref();
        if received.len() != expected.len() {
            return Err(Fault::Malformed(crate::wire::ParseError::BadLength));
        }
        let pairs = expected.iter().zip(received);
        match pairs.fold(0, |difference, (a, b)| difference | (a ^ b)) {
            0 => Ok(()),
            _ => Err(Fault::BadFinished),
        }
    }

    fn expander(self, secret: &Secret) -> Box<dyn HkdfExpander> {
        self.tls.hkdf_provider.expander_for_okm(&secret.0)
    }
}

/// The keys of one direction and one epoch: those for records and for their numbers, and what nonces are made of.
pub(crate) struct Keys {
    keys: Zeroizing<[[u8; Self::MAX_LEN]; 2]>,
    iv: [u8; Cipher::IV_LEN],
}

impl Keys {
    const MAX_LEN: usize = 32;
}

/// A secret as long as the hash. It does not stay in memory when it goes.
#[derive(Clone)]
pub(crate) struct Secret(OkmBlock);

impl Secret {
    /// A secret known from a key log or a trace.
    #[cfg(test)]
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self(OkmBlock::new(bytes))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_ref()
    }
}

/// The traffic secrets of both sides.
#[derive(Clone)]
pub(crate) struct Traffic {
    pub(crate) client: Secret,
    pub(crate) server: Secret,
}

impl Traffic {
    /// The secret under which this role writes, and the one under which it reads.
    pub(crate) fn of(&self, role: Role) -> (&Secret, &Secret) {
        match role {
            Role::Client => (&self.client, &self.server),
            Role::Server => (&self.server, &self.client),
        }
    }
}

/// What a handshake has once the key exchange is complete.
pub(crate) struct HandshakeSecrets {
    suite: Suite,
    pub(crate) traffic: Traffic,
    expander: Box<dyn HkdfExpander>,
}

impl HandshakeSecrets {
    /// From the shared secret, and the hash of the messages up to the ServerHello.
    pub(crate) fn new(suite: Suite, shared: &[u8], transcript: &Output) -> Self {
        let hkdf = suite.tls.hkdf_provider;
        let early = hkdf.extract_from_zero_ikm(None);
        let expander = hkdf.extract_from_secret(Some(derived(suite, &*early).0.as_ref()), shared);
        let traffic = Traffic {
            client: derive(&*expander, b"c hs traffic", transcript.as_ref()),
            server: derive(&*expander, b"s hs traffic", transcript.as_ref()),
        };
        Self {
            suite,
            traffic,
            expander,
        }
    }

    /// What follows with the hash of the messages up to the server's Finished.
    pub(crate) fn application(&self, transcript: &Output) -> ApplicationSecrets {
        let salt = derived(self.suite, &*self.expander);
        let master = self
            .suite
            .tls
            .hkdf_provider
            .extract_from_zero_ikm(Some(salt.0.as_ref()));
        ApplicationSecrets {
            traffic: Traffic {
                client: derive(&*master, b"c ap traffic", transcript.as_ref()),
                server: derive(&*master, b"s ap traffic", transcript.as_ref()),
            },
            exporter: Exporter {
                suite: self.suite,
                master: derive(&*master, b"exp master", transcript.as_ref()),
            },
        }
    }
}

/// What a handshake leaves behind.
pub(crate) struct ApplicationSecrets {
    pub(crate) traffic: Traffic,
    pub(crate) exporter: Exporter,
}

/// Keying material for others (RFC 8446 §7.5).
pub(crate) struct Exporter {
    suite: Suite,
    master: Secret,
}

impl Exporter {
    /// What everything exported comes from.
    pub(crate) fn master_secret(&self) -> &[u8] {
        self.master.bytes()
    }

    #[cfg(test)]
    pub(crate) fn from_key_log(suite: Suite, master: &[u8]) -> Self {
        let master = Secret::new(master);
        Self { suite, master }
    }

    /// No context is the same as an empty one.
    pub(crate) fn export(&self, label: &[u8], context: Option<&[u8]>, out: &mut [u8]) -> Result<(), ExportError> {
        if label.is_empty() || label.len() > MAX_LABEL {
            return Err(ExportError::ReservedLabel);
        }
        // The same limit as in 1.2, so that it does not depend on what was negotiated.
        let context = context.unwrap_or_default();
        if context.len() > usize::from(u16::MAX) {
            return Err(ExportError::ContextTooLong);
        }
        let nothing = self.suite.hash(&[]);
        let secret = derive(&*self.suite.expander(&self.master), label, nothing.as_ref());
        let context = self.suite.hash(context);
        expand_label(&*self.suite.expander(&secret), b"exporter", context.as_ref(), out).ok_or(ExportError::TooLong)
    }
}

/// The salt of the next HKDF-Extract: Derive-Secret(., "derived", "").
fn derived(suite: Suite, expander: &dyn HkdfExpander) -> Secret {
    derive(expander, b"derived", suite.hash(&[]).as_ref())
}

/// HKDF-Expand-Label with as many bytes as the hash has.
fn derive(expander: &dyn HkdfExpander, label: &[u8], context: &[u8]) -> Secret {
    let length = u16::try_from(expander.hash_len()).unwrap_or(u16::MAX).to_be_bytes();
    let parts = label_parts(label, context);
    Secret(expander.expand_block(&[&length, &parts[0], PREFIX, label, &parts[1], context]))
}

/// HKDF-Expand-Label; `None` if it cannot give as many bytes.
fn expand_label(expander: &dyn HkdfExpander, label: &[u8], context: &[u8], out: &mut [u8]) -> Option<()> {
    let length = u16::try_from(out.len()).ok()?.to_be_bytes();
    let parts = label_parts(label, context);
    let info = [&length[..], &parts[0], PREFIX, label, &parts[1], context];
    expander.expand_slice(&info, out).ok()
}

/// RFC 9147 §5.9: "For DTLS 1.3, that label SHALL be "dtls13"."
const PREFIX: &[u8] = b"dtls13";

/// The longest label that fits its length, with the prefix.
const MAX_LABEL: usize = 255 - 6;

/// RFC 8446 §7.1: `struct { uint16 length; opaque label<7..255>; opaque context<0..255>; } HkdfLabel`, the two lengths.
/// Labels are constants, or have been measured; contexts are hashes.
fn label_parts(label: &[u8], context: &[u8]) -> [[u8; 1]; 2] {
    let byte = |len: usize| [u8::try_from(len).unwrap_or(u8::MAX)];
    [byte(PREFIX.len() + label.len()), byte(context.len())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorded::unhex;

    /// The value of this name in the trace of this suite.
    fn traced(suite: &str, name: &str) -> Vec<u8> {
        let trace = include_str!("../../tests/vectors/key-schedule-dtls13.txt");
        let mut lines = trace.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let line = lines.find(|line| line[..2] == [suite, name]);
        unhex(line.expect("the trace has it")[2])
    }

    #[test]
    fn traces_of_every_suite_can_be_followed() {
        let provider = rustls::crypto::ring::default_provider();
        for (name, id) in [
            ("TLS_AES_128_GCM_SHA256", CipherSuite::AES_128_GCM_SHA256),
            ("TLS_AES_256_GCM_SHA384", CipherSuite::AES_256_GCM_SHA384),
            ("TLS_CHACHA20_POLY1305_SHA256", CipherSuite::CHACHA20_POLY1305_SHA256),
        ] {
            let suite = Suite::find(&provider, id).expect("the provider has it");
            let of = |value: &str| traced(name, value);
            let handshake = HandshakeSecrets::new(suite, &of("shared_secret"), &Output::new(&of("server_hello_hash")));
            let finished = Output::new(&of("server_finished_hash"));
            let application = handshake.application(&finished);

            let Traffic { client, server } = &application.traffic;
            for (stage, secret) in [
                ("client_handshake", &handshake.traffic.client),
                ("server_handshake", &handshake.traffic.server),
                ("client_application", client),
                ("server_application", server),
                ("client_updated", &suite.next_secret(client)),
                ("server_updated", &suite.next_secret(server)),
            ] {
                let of = |value: &str| of(&format!("{stage}_{value}"));
                let keys = suite.keys(secret).expect("it is long enough");
                let [key, sn_key] = keys.keys.each_ref().map(|key| &key[..suite.bulk.key_len()]);
                assert_eq!(secret.bytes(), of("secret"), "{name} {stage}");
                assert_eq!(
                    [key, &keys.iv, sn_key],
                    [of("key"), of("iv"), of("sn")],
                    "{name} {stage}"
                );
            }
            for (base, verify_data) in [
                (&handshake.traffic.server, of("server_finished")),
                (&handshake.traffic.client, of("client_finished")),
            ] {
                assert_eq!(suite.verify_data(base, &finished).as_ref(), verify_data, "{name}");
            }
            assert_eq!(application.exporter.master_secret(), of("exporter_secret"));
            for (label, context, value) in [
                (&b"EXTRACTOR-dtls_srtp"[..], None, of("exported")),
                (b"EXPERIMENTAL label", Some(&b"abc"[..]), of("exported_with_context")),
            ] {
                let mut out = vec![0; value.len()];
                assert_eq!(application.exporter.export(label, context, &mut out), Ok(()));
                assert_eq!(out, value, "{name}");
            }
        }
    }
}

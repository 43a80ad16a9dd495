//! A crypto provider whose every byte follows from a seed: a toy key exchange, and signatures that are not random.
//! For the laws alone; nothing else about it is sound.

use std::fmt;
use std::sync::{Arc, Mutex};

use peerline_sim::rng;
use rand::RngExt;
use rand::rngs::StdRng;
use rustls::crypto::{
    ActiveKeyExchange, CryptoProvider, GetRandomFailed, SecureRandom, SharedSecret, SupportedKxGroup,
    WebPkiSupportedAlgorithms,
};
use rustls::{Error, NamedGroup, SignatureScheme};

/// A provider for one connection. It is leaked, as providers refer to statics; tests make a few hundred.
pub(crate) fn provider(seed: u64) -> Arc<CryptoProvider> {
    let source: &'static Source = Box::leak(Box::new(Source(Mutex::new(rng(seed)))));
    let ring = rustls::crypto::ring::default_provider();
    let verify = ring.signature_verification_algorithms;
    let same_each_time = [SignatureScheme::RSA_PKCS1_SHA256, SignatureScheme::ED25519];
    let mapping = verify
        .mapping
        .iter()
        .filter(|(scheme, _)| same_each_time.contains(scheme));
    let mapping = Box::leak(mapping.copied().collect::<Vec<_>>().into_boxed_slice());
    Arc::new(CryptoProvider {
        kx_groups: vec![source],
        secure_random: source,
        signature_verification_algorithms: WebPkiSupportedAlgorithms {
            all: verify.all,
            mapping,
        },
        ..ring
    })
}

struct Source(Mutex<StdRng>);

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

impl SecureRandom for Source {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        let mut rng = self.0.lock().unwrap();
        bytes.iter_mut().for_each(|byte| *byte = rng.random());
        Ok(())
    }
}

impl SupportedKxGroup for Source {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let key: [u8; 32] = self.0.lock().unwrap().random();
        Ok(Box::new(Toy(key)))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

/// Its public key is its private one, and the secret their sum.
struct Toy([u8; 32]);

impl ActiveKeyExchange for Toy {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let secret: Vec<u8> = self.0.iter().zip(peer).map(|(a, b)| a ^ b).collect();
        Ok(SharedSecret::from(&secret[..]))
    }

    fn pub_key(&self) -> &[u8] {
        &self.0
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

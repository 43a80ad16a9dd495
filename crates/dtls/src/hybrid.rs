//! X25519MLKEM768 (draft-ietf-tls-ecdhe-mlkem §4): a key exchange that stays secret as long as either X25519 or ML-KEM-768 does,
//! for rustls's `ring` provider, which has none. X25519 is that provider's, ML-KEM the crate `ml-kem`'s.

use ml_kem::kem::{Decapsulate, KeyExport};
use ml_kem::ml_kem_768::{Ciphertext, DecapsulationKey, EncapsulationKey};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::crypto::ring::kx_group::X25519;
use rustls::crypto::{ActiveKeyExchange, CompletedKeyExchange, SharedSecret, SupportedKxGroup};
use rustls::{Error, NamedGroup, PeerMisbehaved, ProtocolVersion};
use zeroize::Zeroizing;

/// The group.
pub(crate) static X25519MLKEM768: &dyn SupportedKxGroup = &Hybrid;

#[derive(Debug)]
struct Hybrid;

/// The length of an ML-KEM-768 encapsulation key, with which a client's share begins (FIPS 203 §8).
const ENCAPSULATION_KEY_LEN: usize = 1184;

/// The length of an ML-KEM-768 ciphertext, with which a server's share begins (FIPS 203 §8).
const CIPHERTEXT_LEN: usize = 1088;

const INVALID: Error = Error::PeerMisbehaved(PeerMisbehaved::InvalidKeyShare);

impl SupportedKxGroup for Hybrid {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let x25519 = X25519.start()?;
        let mut seed = Zeroizing::new([0; 64]);
        fill(&mut *seed)?;
        let key = DecapsulationKey::from_seed((*seed).into());
        let share = [&key.encapsulation_key().to_bytes()[..], x25519.pub_key()].concat();
        Ok(Box::new(Started { x25519, key, share }))
    }

    fn start_and_complete(&self, peer: &[u8]) -> Result<CompletedKeyExchange, Error> {
        let (key, peer) = peer.split_at_checked(ENCAPSULATION_KEY_LEN).ok_or(INVALID)?;
        // FIPS 203 §7.2: a key whose coefficients are not reduced is refused.
        let key = key.try_into().map_err(|_| INVALID)?;
        let key = EncapsulationKey::new(key).map_err(|_| INVALID)?;
        let x25519 = X25519.start_and_complete(peer)?;
        let mut message = Zeroizing::new([0; 32]);
        fill(&mut *message)?;
        let (ciphertext, shared) = key.encapsulate_deterministic(&(*message).into());
        Ok(CompletedKeyExchange {
            group: self.name(),
            pub_key: [&ciphertext[..], &x25519.pub_key].concat(),
            secret: both(&shared, &x25519.secret),
        })
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }

    fn usable_for_version(&self, version: ProtocolVersion) -> bool {
        version == ProtocolVersion::TLSv1_3
    }
}

/// A client's part of it.
struct Started {
    x25519: Box<dyn ActiveKeyExchange>,
    key: DecapsulationKey,
    share: Vec<u8>,
}

impl ActiveKeyExchange for Started {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let (ciphertext, peer) = peer.split_at_checked(CIPHERTEXT_LEN).ok_or(INVALID)?;
        let ciphertext: &Ciphertext = ciphertext.try_into().map_err(|_| INVALID)?;
        let x25519 = self.x25519.complete(peer)?;
        Ok(both(&self.key.decapsulate(ciphertext), &x25519))
    }

    fn hybrid_component(&self) -> Option<(NamedGroup, &[u8])> {
        Some((self.x25519.group(), self.x25519.pub_key()))
    }

    fn complete_hybrid_component(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        self.x25519.complete(peer)
    }

    fn pub_key(&self) -> &[u8] {
        &self.share
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }
}

/// The shared secret: ML-KEM's, then X25519's.
fn both(ml_kem: &[u8], x25519: &SharedSecret) -> SharedSecret {
    SharedSecret::from([ml_kem, x25519.secret_bytes()].concat())
}

fn fill(bytes: &mut [u8]) -> Result<(), Error> {
    SystemRandom::new()
        .fill(bytes)
        .map_err(|_| Error::FailedToGetRandomBytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_come_to_the_same_secret_and_shares_have_the_lengths_of_the_draft() {
        let client = X25519MLKEM768.start().unwrap();
        assert_eq!(client.pub_key().len(), 1216);
        let server = X25519MLKEM768.start_and_complete(client.pub_key()).unwrap();
        assert_eq!(server.pub_key.len(), 1120);
        let secret = client.complete(&server.pub_key).unwrap();
        assert_eq!(secret.secret_bytes(), server.secret.secret_bytes());
        assert_eq!(secret.secret_bytes().len(), 64);
    }

    #[test]
    fn shares_of_another_length_or_out_of_range_are_refused() {
        let client = X25519MLKEM768.start().unwrap();
        let share = client.pub_key().to_vec();
        for len in [0, 32, 1184, 1215] {
            assert!(X25519MLKEM768.start_and_complete(&share[..len]).is_err());
        }
        let mut unreduced = share.clone();
        unreduced[..3].copy_from_slice(&[0xff; 3]);
        assert!(X25519MLKEM768.start_and_complete(&unreduced).is_err());
        let server = X25519MLKEM768.start_and_complete(&share).unwrap();
        assert!(client.complete(&server.pub_key[..1119]).is_err());
    }
}

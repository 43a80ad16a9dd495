//! [`Auth`]: the client's side of the long-term credential mechanism (RFC 8489 §9.2).

use peerline_stun::attribute::{
    Nonce, PasswordAlgorithm, PasswordAlgorithms, Realm, SecurityFeatures, UserHash, Username,
};
use peerline_stun::{Algorithm, AttributeType, Integrity, Key, Message, MessageBuilder, RawAttribute};

use crate::Credentials;

/// Who we are, and what the server wants to see of it.
#[derive(Debug)]
pub(super) struct Auth {
    credentials: Credentials,
    /// Those the allocation was made with, while the server has not accepted the new ones.
    previous: Option<Credentials>,
    /// Counts changes of `credentials`, so that an answer to earlier ones is told.
    generation: u32,
    challenge: Option<Challenge>,
    signer: Option<Signer>,
}

/// What the server's last 401 or 438 said.
#[derive(Debug)]
struct Challenge {
    realm: String,
    nonce: Vec<u8>,
    /// PASSWORD-ALGORITHMS as it came: to be echoed.
    algorithms: Option<Vec<u8>>,
    algorithm: Algorithm,
    /// USERHASH in place of USERNAME.
    anonymous: bool,
}

/// The key of a request, with which its response is checked too.
#[derive(Clone, Debug)]
pub(super) struct Signer {
    key: Key,
    integrity: Integrity,
}

/// The server's challenge cannot be met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadChallenge;

impl Auth {
    pub(super) fn new(credentials: Credentials) -> Self {
        Self {
            credentials,
            previous: None,
            generation: 0,
            challenge: None,
            signer: None,
        }
    }

    pub(super) fn generation(&self) -> u32 {
        self.generation
    }

    /// The key of requests from now on; `None` before the server has challenged us.
    pub(super) fn signer(&self) -> Option<&Signer> {
        self.signer.as_ref()
    }

    /// True if these are credentials that the server has not accepted yet, after others that it has.
    pub(super) fn is_on_trial(&self, generation: u32) -> bool {
        generation == self.generation && self.previous.is_some()
    }

    /// Takes other credentials, keeping those that are known to work.
    pub(super) fn replace(&mut self, credentials: Credentials) {
        let earlier = std::mem::replace(&mut self.credentials, credentials);
        self.previous.get_or_insert(earlier);
        self.change();
    }

    /// Goes back to the credentials that worked; false if there are none.
    pub(super) fn revert(&mut self) -> bool {
        let Some(previous) = self.previous.take() else {
            return false;
        };
        self.credentials = previous;
        self.change();
        true
    }

    /// The server has accepted a request with the credentials of this generation.
    pub(super) fn accepted(&mut self, generation: u32) {
        if generation == self.generation {
            self.previous = None;
        }
    }

    fn change(&mut self) {
        self.generation += 1;
        self.signer = self.make_signer();
    }

    /// Takes the realm and the nonce of a 401 or 438 (§9.2.5). True if the realm is another than before.
    pub(super) fn meet(&mut self, message: &Message<'_>, max_len: usize) -> Result<bool, BadChallenge> {
        let Ok(Some(nonce)) = message.get::<Nonce<'_>>() else {
            return Err(BadChallenge);
        };
        let realm = match (message.get::<Realm<'_>>(), &self.challenge) {
            (Ok(Some(Realm(realm))), _) => realm.to_owned(),
            // A 438 ought to have one; before RFC 8489 it need not.
            (Ok(None), Some(challenge)) => challenge.realm.clone(),
            (Ok(None), None) | (Err(_), _) => return Err(BadChallenge),
        };
        let algorithms = message
            .attributes()
            .find(|attribute| attribute.kind == AttributeType::PASSWORD_ALGORITHMS)
            .map(|attribute| attribute.value);
        let features = nonce.security_features().unwrap_or_default();
        // "If so and the 'nonce cookie' has the STUN Security Feature 'Password algorithms' bit set to 1 but no
        // PASSWORD-ALGORITHMS attribute is present, then the client MUST NOT retry the request": somebody took it away.
        if features.contains(SecurityFeatures::PASSWORD_ALGORITHMS) && algorithms.is_none() {
            return Err(BadChallenge);
        }
        let algorithm = match algorithms {
            None => Algorithm::MD5,
            // "[...] a PASSWORD-ALGORITHM attribute with the first algorithm supported on the list"; without any "the client
            // MUST NOT retry".
            Some(_) => match message.get::<PasswordAlgorithms<'_>>() {
                Ok(Some(list)) => {
                    let supported = |known: &PasswordAlgorithm<'_>| {
                        [PasswordAlgorithm::MD5, PasswordAlgorithm::SHA256].contains(known)
                    };
                    list.iter().find(supported).ok_or(BadChallenge)?.algorithm
                }
                Ok(None) | Err(_) => return Err(BadChallenge),
            },
        };
        if realm.len() + nonce.0.len() + algorithms.map_or(0, <[u8]>::len) > max_len {
            return Err(BadChallenge);
        }
        let changed = self.challenge.as_ref().is_none_or(|before| before.realm != realm);
        let same_key = !changed
            && self
                .challenge
                .as_ref()
                .is_some_and(|before| before.algorithm == algorithm);
        self.challenge = Some(Challenge {
            realm,
            nonce: nonce.0.to_vec(),
            algorithms: algorithms.map(<[u8]>::to_vec),
            algorithm,
            anonymous: features.contains(SecurityFeatures::USERNAME_ANONYMITY),
        });
        if !same_key || self.signer.is_none() {
            self.signer = self.make_signer();
        }
        // "If the response contains a PASSWORD-ALGORITHMS attribute, all the subsequent requests MUST be authenticated using
        // MESSAGE-INTEGRITY-SHA256 only."
        if let (Some(signer), Some(_)) = (&mut self.signer, algorithms) {
            signer.integrity = Integrity::Sha256;
        }
        Ok(changed)
    }

    fn make_signer(&self) -> Option<Signer> {
        let challenge = self.challenge.as_ref()?;
        let Credentials { username, password } = &self.credentials;
        let key = Key::long_term(challenge.algorithm, username, &challenge.realm, password)?;
        let integrity = match challenge.algorithms {
            Some(_) => Integrity::Sha256,
            None => Integrity::Sha1,
        };
        Some(Signer { key, integrity })
    }

    /// Adds who we are and the integrity; nothing while the server has not asked (§9.2.3.1).
    pub(super) fn sign(&self, request: &mut MessageBuilder<'_>) {
        let (Some(challenge), Some(signer)) = (&self.challenge, &self.signer) else {
            return;
        };
        // "If the 'nonce cookie' is present and has the STUN Security Feature 'Username anonymity' bit set to 1, then the
        // USERHASH attribute MUST be used; else, the USERNAME attribute MUST be used."
        if challenge.anonymous {
            request.attribute(UserHash::new(&self.credentials.username, &challenge.realm));
        } else {
            request.attribute(Username(&self.credentials.username));
        }
        request
            .attribute(Realm(&challenge.realm))
            .attribute(Nonce(&challenge.nonce));
        if let Some(algorithms) = &challenge.algorithms {
            request
                .raw(RawAttribute {
                    kind: AttributeType::PASSWORD_ALGORITHMS,
                    value: algorithms,
                })
                .attribute(PasswordAlgorithm {
                    algorithm: challenge.algorithm,
                    parameters: &[],
                });
        }
        request.integrity_as(signer.integrity, &signer.key);
    }
}

impl Signer {
    /// True if the response to a request with this key is authentic.
    pub(super) fn accepts(&self, response: &Message<'_>) -> bool {
        match self.integrity {
            Integrity::Sha1 => response.verify_sha1(&self.key).is_ok(),
            Integrity::Sha256 => response.verify_sha256(&self.key, 32).is_ok(),
        }
    }
}

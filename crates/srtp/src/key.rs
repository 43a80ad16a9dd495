//! Where the keys come from: [`KeyingMaterial`] from DTLS, a [`MasterKey`] for each direction, and the session keys that
//! are derived from it.

use std::fmt;

use aes::cipher::{InnerIvInit, KeyInit, StreamCipher, StreamCipherCoreWrapper};
use aes::{Aes128Enc, Aes256Enc};
use ctr::CtrCore;
use ctr::flavors::Ctr32BE;
use zeroize::{Zeroize, Zeroizing};

use crate::Profile;
use crate::error::KeyLengthError;

/// The master keys of both sides of a DTLS association (RFC 5764 §4.2).
#[derive(Clone, Debug)]
pub struct KeyingMaterial {
    /// Protects what the DTLS client sends.
    pub client: MasterKey,
    /// Protects what the DTLS server sends.
    pub server: MasterKey,
}

impl KeyingMaterial {
    /// The label that DTLS's exporter is given, without a context.
    pub const EXPORTER_LABEL: &str = "EXTRACTOR-dtls_srtp";

    /// Cuts what the exporter gave, [`Profile::keying_material_len`] bytes of it.
    ///
    /// # Errors
    /// [`KeyLengthError`] if it is shorter or longer.
    pub fn from_exporter(profile: Profile, exported: &[u8]) -> Result<Self, KeyLengthError> {
        if exported.len() != profile.keying_material_len() {
            return Err(KeyLengthError);
        }
        // RFC 5764 §4.2: client_write_SRTP_master_key, server_write_SRTP_master_key, client_write_SRTP_master_salt,
        // server_write_SRTP_master_salt.
        let (keys, salts) = exported.split_at(2 * profile.key_len());
        let (client_key, server_key) = keys.split_at(profile.key_len());
        let (client_salt, server_salt) = salts.split_at(profile.salt_len());
        Ok(Self {
            client: MasterKey::new(profile, client_key, client_salt)?,
            server: MasterKey::new(profile, server_key, server_salt)?,
        })
    }
}

/// The master key and master salt of one direction (RFC 3711 §3.2.1), wiped when dropped.
#[derive(Clone)]
pub struct MasterKey {
    profile: Profile,
    key: Zeroizing<[u8; 32]>,
    /// RFC 7714 §11 and RFC 3711 §4.3.1: a salt of 96 bits is followed by zeros.
    salt: Zeroizing<[u8; SALT_LEN]>,
}

/// The length of the longest salt, in bytes.
const SALT_LEN: usize = 14;

impl MasterKey {
    /// A key and a salt for this profile.
    ///
    /// # Errors
    /// [`KeyLengthError`] unless they have [`Profile::key_len`] and [`Profile::salt_len`] bytes.
    pub fn new(profile: Profile, key: &[u8], salt: &[u8]) -> Result<Self, KeyLengthError> {
        if (key.len(), salt.len()) != (profile.key_len(), profile.salt_len()) {
            return Err(KeyLengthError);
        }
        let mut own = Self {
            profile,
            key: Zeroizing::new([0; 32]),
            salt: Zeroizing::new([0; SALT_LEN]),
        };
        own.key[..key.len()].copy_from_slice(key);
        own.salt[..salt.len()].copy_from_slice(salt);
        Ok(own)
    }

    /// The profile it is for.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// Derives a session key (RFC 3711 §4.3.1) of `N` bytes, with a key derivation rate of zero.
    pub(crate) fn derive<const N: usize>(&self, label: Label) -> Zeroizing<[u8; N]> {
        // "key_id = <label> || r" and "x = key_id XOR master_salt", where the index and r are 48 bits and r is 0; the
        // keystream begins at x * 2^16 (RFC 3711 §4.3.3).
        let mut iv = [0; 16];
        iv[..SALT_LEN].copy_from_slice(&*self.salt);
        iv[SALT_LEN - 7] ^= label as u8;
        let mut derived = Zeroizing::new([0; N]);
        // RFC 7714 §11: AEAD_AES_256_GCM derives with AES-256 (RFC 6188 §3), all others with AES-128.
        if let Profile::AeadAes256Gcm = self.profile {
            let cipher = Aes256Enc::new((&*self.key).into());
            let counter = CtrCore::<&Aes256Enc, Ctr32BE>::inner_iv_init(&cipher, &iv.into());
            StreamCipherCoreWrapper::from_core(counter).apply_keystream(&mut *derived);
        } else {
            let cipher = Aes128Enc::new_from_slice(&self.key[..16]).expect("AES-128 takes 16 bytes");
            let counter = CtrCore::<&Aes128Enc, Ctr32BE>::inner_iv_init(&cipher, &iv.into());
            StreamCipherCoreWrapper::from_core(counter).apply_keystream(&mut *derived);
        }
        iv.zeroize();
        derived
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({:?}, secret)", self.profile)
    }
}

/// What a session key is for (RFC 3711 §4.3.1, §4.3.2).
#[derive(Clone, Copy, Debug)]
pub(crate) enum Label {
    RtpEncryption = 0,
    RtpAuthentication = 1,
    RtpSalt = 2,
    RtcpEncryption = 3,
    RtcpAuthentication = 4,
    RtcpSalt = 5,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::unhex;

    /// RFC 3711 §B.3.
    #[test]
    fn session_keys_of_rfc_3711() {
        let master = MasterKey::new(
            Profile::Aes128CmHmacSha1_80,
            &unhex("E1F97A0D3E018BE0D64FA32C06DE4139"),
            &unhex("0EC675AD498AFEEBB6960B3AABE6"),
        )
        .unwrap();
        assert_eq!(
            master.derive::<16>(Label::RtpEncryption)[..],
            unhex("C61E7A93744F39EE10734AFE3FF7A087")
        );
        assert_eq!(
            master.derive::<14>(Label::RtpSalt)[..],
            unhex("30CBBC08863D8C85D49DB34A9AE1")
        );
        assert_eq!(
            master.derive::<94>(Label::RtpAuthentication)[..],
            unhex(
                "CEBE321F6FF7716B6FD4AB49AF256A15 6D38BAA48F0A0ACF3C34E2359E6CDBCE E049646C43D9327AD175578EF7227098
                 6371C10C9A369AC2F94A8C5FBCDDDC25 6D6E919A48B610EF17C2041E47403576 6B68642C59BBFC2F34DB60DBDFB2"
            )
        );
    }

    #[test]
    fn keying_material_is_cut_in_the_order_of_rfc_5764() {
        for profile in Profile::ALL {
            let exported: Vec<u8> = (0..).take(profile.keying_material_len()).collect();
            let (key, salt) = (profile.key_len(), profile.salt_len());
            let KeyingMaterial { client, server } = KeyingMaterial::from_exporter(profile, &exported).unwrap();
            assert_eq!(client.key[..key], exported[..key]);
            assert_eq!(server.key[..key], exported[key..2 * key]);
            assert_eq!(client.salt[..salt], exported[2 * key..2 * key + salt]);
            assert_eq!(server.salt[..salt], exported[2 * key + salt..]);
            assert!(
                client.salt[salt..]
                    .iter()
                    .chain(&client.key[key..])
                    .all(|&byte| byte == 0)
            );
            assert!(KeyingMaterial::from_exporter(profile, &exported[1..]).is_err());
        }
    }

    #[test]
    fn keys_are_not_printed() {
        let master = MasterKey::new(Profile::AeadAes128Gcm, &[0xab; 16], &[0xab; 12]).unwrap();
        assert_eq!(format!("{master:?}"), "MasterKey(AeadAes128Gcm, secret)");
    }
}

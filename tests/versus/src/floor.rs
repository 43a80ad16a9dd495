//! What the machine needs for the least that any stack must do: the column beside the stacks.

use std::net::Ipv4Addr;

use ring::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::agreement::{EphemeralPrivateKey, UnparsedPublicKey as AgreementKey, X25519, agree_ephemeral};
use ring::error::Unspecified;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
};
use tokio::net::UdpSocket;

use crate::measurement::{Effort, Figure};
use crate::micro::nanoseconds;
use crate::process::{Stopwatch, now};
use crate::{Result, latency};

mod datagrams;
mod packet;

pub(crate) use self::datagrams::{bulk, packets};
pub(crate) use self::packet::{packet, packet_out, protect};

/// A datagram as the stacks fill it.
const DATAGRAM: usize = 1_200;
const BATCH: usize = 32;

/// What encrypting and decrypting costs in bulk, and nothing else: the figure `cpu`.
pub(crate) fn records(effort: Effort) -> Result<Vec<Figure>> {
    let key = key()?;
    let mut datagram = vec![0x5a; DATAGRAM];
    let (end, stopwatch) = (now() + effort.window, Stopwatch::start());
    let mut bytes = 0;
    while now() < end {
        for _ in 0..BATCH {
            key.seal_in_place_append_tag(nonce(), Aad::empty(), &mut datagram)
                .map_err(|_| "ring refused")?;
            bytes += key
                .open_in_place(nonce(), Aad::empty(), &mut datagram)
                .map_err(|_| "altered")?
                .len();
            datagram.truncate(DATAGRAM);
        }
    }
    Ok(vec![(
        "cpu",
        stopwatch.cpu().as_secs_f64() / (bytes as f64 / f64::from(1 << 30)),
    )])
}

fn key() -> Result<LessSafeKey> {
    let key = UnboundKey::new(&AES_128_GCM, &[7; 16]).map_err(|_| "a key has 16 bytes")?;
    Ok(LessSafeKey::new(key))
}

/// Always the same: what is sealed here is no secret.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

/// Bare UDP there and back, in two tasks.
pub(crate) async fn round_trips(effort: Effort) -> Result<Vec<Figure>> {
    let (here, there) = (
        UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?,
        UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?,
    );
    here.connect(there.local_addr()?).await?;
    there.connect(here.local_addr()?).await?;
    tokio::spawn(async move {
        let mut buffer = [0; latency::MESSAGE];
        while there.recv(&mut buffer).await.is_ok() && there.send(&buffer).await.is_ok() {}
    });

    let mut buffer = [0; latency::MESSAGE];
    let end = now() + effort.window;
    let mut times = Vec::new();
    while now() < end {
        let start = now();
        here.send(&buffer).await?;
        here.recv(&mut buffer).await?;
        times.push((now() - start).as_secs_f64() * 1e6);
    }
    Ok(latency::figures(&mut times))
}

/// One record's payload sealed and opened with its thirteen bytes of associated data, in place: the figure `record`.
pub(crate) fn record(effort: Effort) -> Result<Vec<Figure>> {
    let key = key()?;
    let mut payload = vec![0x5a; DATAGRAM - RECORD_OVERHEAD + AES_128_GCM.tag_len()];
    let aad = || Aad::from([0; 13]);
    let each = nanoseconds(effort, || -> Option<usize> {
        let (text, tag) = payload.split_at_mut(DATAGRAM - RECORD_OVERHEAD);
        tag.copy_from_slice(key.seal_in_place_separate_tag(nonce(), aad(), text).ok()?.as_ref());
        Some(key.open_in_place(nonce(), aad(), &mut payload).ok()?.len())
    });
    Ok(vec![("record", each)])
}

/// Header, explicit nonce and tag.
const RECORD_OVERHEAD: usize = 13 + 8 + 16;

/// The asymmetric cryptography of a handshake whose certificates are there already: the figure `handshake`.
pub(crate) fn key_exchange(effort: Effort) -> Result<Vec<Figure>> {
    let random = SystemRandom::new();
    let keys = [new_key(&random), new_key(&random)].map(|key| key.map_err(|_| "ring refused"));
    let [alice, bob] = keys;
    let keys = [alice?, bob?];
    let each = nanoseconds(effort, || handshake(&random, &keys).is_ok());
    Ok(vec![("handshake", each / 1e3)])
}

/// The asymmetric cryptography of two peers: each makes a certificate (a key, a signature by itself), agrees on a key, signs
/// the handshake and verifies the other's signature.
pub(crate) fn handshakes(effort: Effort) -> Result<Vec<Figure>> {
    let random = SystemRandom::new();
    let both = || -> Result<(), Unspecified> {
        let keys = [new_key(&random)?, new_key(&random)?];
        for key in &keys {
            std::hint::black_box(key.sign(&random, &TRANSCRIPT)?);
        }
        handshake(&random, &keys)
    };
    let (end, stopwatch) = (now() + effort.window, Stopwatch::start());
    let mut count = 0;
    while now() < end {
        both().map_err(|_| "ring refused")?;
        count += 1;
    }
    Ok(vec![("cpu", stopwatch.cpu().as_secs_f64() * 1e3 / f64::from(count))])
}

const TRANSCRIPT: [u8; 256] = [0x5a; 256];

fn new_key(random: &SystemRandom) -> Result<EcdsaKeyPair, Unspecified> {
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, random)?;
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), random).map_err(|_| Unspecified)
}

fn handshake(random: &SystemRandom, certificate_keys: &[EcdsaKeyPair; 2]) -> Result<(), Unspecified> {
    let ephemeral = [
        EphemeralPrivateKey::generate(&X25519, random)?,
        EphemeralPrivateKey::generate(&X25519, random)?,
    ];
    let shares = [ephemeral[0].compute_public_key()?, ephemeral[1].compute_public_key()?];
    for (key, share) in ephemeral.into_iter().zip(shares.iter().rev()) {
        agree_ephemeral(key, &AgreementKey::new(&X25519, share), |secret| {
            std::hint::black_box(secret[0])
        })?;
    }
    for key in certificate_keys {
        let signature = key.sign(random, &TRANSCRIPT)?;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.public_key()).verify(&TRANSCRIPT, signature.as_ref())?;
    }
    Ok(())
}

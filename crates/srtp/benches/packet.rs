//! A packet of 1,200 bytes, protected and unprotected by each profile, beside the algorithms alone over as many bytes:
//! AES-CTR and HMAC-SHA1, or the AEAD. `cargo bench -p peerline-srtp`, and again with `--features aws-lc-rs`.

#[cfg(feature = "aws-lc-rs")]
use aws_lc_rs::aead;
#[cfg(not(feature = "aws-lc-rs"))]
use ring::aead;

use std::hint::black_box;

use aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aes::Aes128Enc;
use aes::cipher::{InnerIvInit, KeyInit as _, StreamCipher, StreamCipherCoreWrapper};
use bytes::BytesMut;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use ctr::CtrCore;
use ctr::flavors::Ctr32BE;
use hmac::{Hmac, KeyInit as _, Mac};
use peerline_srtp::{Config, Inbound, KeyingMaterial, Outbound, Profile};
use sha1::Sha1;

const PACKET: usize = 1_200;
const HEADER: usize = 12;

fn floor(c: &mut Criterion) {
    let mut group = c.benchmark_group("floor");
    let mut packet = [7; PACKET + 4];

    let aes = Aes128Enc::new(&[7; 16].into());
    let encrypt = |text: &mut [u8]| {
        let counter = CtrCore::<&Aes128Enc, Ctr32BE>::inner_iv_init(black_box(&aes), &black_box([3; 16]).into());
        StreamCipherCoreWrapper::from_core(counter).apply_keystream(text);
    };
    let keyed = Hmac::<Sha1>::new_from_slice(&[7; 20]).expect("HMAC takes keys of any length");
    let authenticate = |text: &[u8]| black_box(&keyed).clone().chain_update(text).finalize();
    group.bench_function("AES-CTR", |b| {
        b.iter(|| encrypt(black_box(&mut packet[HEADER..PACKET])));
    });
    group.bench_function("HMAC-SHA1", |b| b.iter(|| authenticate(black_box(&packet))));
    group.bench_function("AES-CTR and HMAC-SHA1", |b| {
        b.iter(|| {
            encrypt(black_box(&mut packet[HEADER..PACKET]));
            authenticate(black_box(&packet))
        });
    });

    let mut gcm = |name, algorithm: &'static Algorithm| {
        let key = UnboundKey::new(algorithm, &[7; 32][..algorithm.key_len()]).expect("a key of its length");
        let key = LessSafeKey::new(key);
        group.bench_function(name, |b| {
            b.iter(|| {
                let (header, text) = black_box(&mut packet[..PACKET]).split_at_mut(HEADER);
                // Always the same: what is sealed here is no secret.
                let nonce = Nonce::assume_unique_for_key(black_box([3; NONCE_LEN]));
                key.seal_in_place_separate_tag(nonce, Aad::from(&*header), text)
                    .expect("it is short enough")
            });
        });
    };
    gcm("AES-128-GCM", &AES_128_GCM);
    gcm("AES-256-GCM", &AES_256_GCM);
    group.finish();
}

/// An RTP packet with this sequence number at the end of `out`.
fn rtp(out: &mut Vec<u8>, sequence_number: u16) {
    let [high, low] = sequence_number.to_be_bytes();
    out.extend_from_slice(&[0x80, 0x60, high, low, 0, 0, 0, 0, 0, 0, 0, 1]);
    out.resize(PACKET, 7);
}

fn packets(c: &mut Criterion) {
    for profile in Profile::ALL {
        let mut group = c.benchmark_group(format!("{profile:?}"));
        let keys = KeyingMaterial::from_exporter(profile, &vec![7; profile.keying_material_len()]).expect("as many");

        // The packet is written once: what its payload is, is all the same.
        let mut outbound = Outbound::new(&keys.client, Config::default());
        let mut out = Vec::with_capacity(PACKET + 20);
        rtp(&mut out, 0);
        let mut sequence_number = 0_u16;
        group.bench_function("protect", |b| {
            b.iter(|| {
                out.truncate(PACKET);
                out[2..4].copy_from_slice(&sequence_number.to_be_bytes());
                sequence_number = sequence_number.wrapping_add(1);
                outbound.protect_rtp(black_box(&mut out), 0)
            });
        });

        // Each is copied to a buffer of its own beforehand.
        let mut sender = Outbound::new(&keys.server, Config::default());
        let mut inbound = Inbound::new(&keys.server, Config::default());
        let mut sequence_number = 0_u16;
        group.bench_function("unprotect", |b| {
            b.iter_batched(
                || {
                    out.clear();
                    rtp(&mut out, sequence_number);
                    sequence_number = sequence_number.wrapping_add(1);
                    sender.protect_rtp(&mut out, 0).expect("it is new");
                    BytesMut::from(&out[..])
                },
                |mut packet| {
                    inbound.unprotect_rtp(&mut packet).expect("it was just protected");
                    packet
                },
                BatchSize::SmallInput,
            );
        });
        group.finish();
    }
}

criterion_group!(benches, floor, packets);
criterion_main!(benches);

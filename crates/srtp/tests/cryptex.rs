//! The packets of RFC 9335 Appendix A: Cryptex, with AES-CM and with AES-GCM.

use bytes::BytesMut;
use peerline_srtp::{Config, Inbound, MasterKey, Outbound, Profile, ProtectError};

fn unhex(text: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("two hexadecimal digits");
    (0..text.len()).step_by(2).map(byte).collect()
}

fn aes_cm() -> MasterKey {
    let (key, salt) = ("e1f97a0d3e018be0d64fa32c06de4139", "0ec675ad498afeebb6960b3aabe6");
    MasterKey::new(Profile::Aes128CmHmacSha1_80, &unhex(key), &unhex(salt)).unwrap()
}

fn gcm() -> MasterKey {
    let (key, salt) = ("000102030405060708090a0b0c0d0e0f", "a0a1a2a3a4a5a6a7a8a9aaab");
    MasterKey::new(Profile::AeadAes128Gcm, &unhex(key), &unhex(salt)).unwrap()
}

fn config() -> Config {
    Config {
        cryptex: true,
        ..Config::default()
    }
}

fn holds(key: &MasterKey, plain: &str, protected: &str) {
    let (plain, protected) = (unhex(plain), unhex(protected));
    let mut out = b"before".to_vec();
    out.extend_from_slice(&plain);
    Outbound::new(key, config()).protect_rtp(&mut out, 6).unwrap();
    assert_eq!(out[6..], protected);
    let mut packet = BytesMut::from(&protected[..]);
    Inbound::new(key, config()).unprotect_rtp(&mut packet).unwrap();
    assert_eq!(packet, plain);
    for at in 0..protected.len() {
        let mut forged = BytesMut::from(&protected[..]);
        forged[at] ^= 1;
        assert!(Inbound::new(key, config()).unprotect_rtp(&mut forged).is_err());
    }
}

/// §A.1.1.
#[test]
fn one_byte_extensions_aes_cm() {
    holds(
        &aes_cm(),
        "900f1235decafbadcafebabebede000151000200abababababababababababababababab",
        "900f1235decafbadcafebabec0de0001eb92365251c3e036f8de27e9c27ee3e0b4651d9fbc4218a70244522f34a5",
    );
}

/// §A.1.2.
#[test]
fn two_byte_extensions_aes_cm() {
    holds(
        &aes_cm(),
        "900f1236decafbadcafebabe1000000105020002abababababababababababababababab",
        "900f1236decafbadcafebabec2de00014ed9cc4e6a712b3096c5ca77339d4204ce0d77396cab69585fbce38194a5",
    );
}

/// §A.1.3.
#[test]
fn one_byte_extensions_and_csrcs_aes_cm() {
    holds(
        &aes_cm(),
        "920f1238decafbadcafebabe0001e2400000b26ebede000151000200abababababababababababababababab",
        "920f1238decafbadcafebabe8bb6e12b5cff16ddc0de000192838c8c09e58393e1de3a9a74734d6745671338c3acf11da2df8423bee0",
    );
}

/// §A.1.4.
#[test]
fn two_byte_extensions_and_csrcs_aes_cm() {
    holds(
        &aes_cm(),
        "920f1239decafbadcafebabe0001e2400000b26e1000000105020002abababababababababababababababab",
        "920f1239decafbadcafebabef70e513eb90b9b25c2de0001bbed4848faa644665f3d7f34125914e9f4d0ae923c6f479b95a0f7b53133",
    );
}

/// §A.1.5.
#[test]
fn empty_one_byte_extensions_and_csrcs_aes_cm() {
    holds(
        &aes_cm(),
        "920f123adecafbadcafebabe0001e2400000b26ebede0000abababababababababababababababab",
        "920f123adecafbadcafebabe7130b6abfe2ab0e3c0de0000e3d9f64b25c9e74cb4cf8e43fb92e3781c2c0ceab6b3a499a14c",
    );
}

/// §A.1.6.
#[test]
fn empty_two_byte_extensions_and_csrcs_aes_cm() {
    holds(
        &aes_cm(),
        "920f123bdecafbadcafebabe0001e2400000b26e10000000abababababababababababababababab",
        "920f123bdecafbadcafebabecbf24c124330e1c8c2de0000599dd45bc9d687b603e8b59d771fd38e88b170e0cd31e125eabe",
    );
}

/// §A.2.1.
#[test]
fn one_byte_extensions_gcm() {
    holds(
        &gcm(),
        "900f1235decafbadcafebabebede000151000200abababababababababababababababab",
        "900f1235decafbadcafebabec0de000139972dc9572c4d99e8fc355de743fb2e94f9d8ff54e72f4193bbc5c74ffab0fa9fa0fbeb",
    );
}

/// §A.2.2.
#[test]
fn two_byte_extensions_gcm() {
    holds(
        &gcm(),
        "900f1236decafbadcafebabe1000000105020002abababababababababababababababab",
        "900f1236decafbadcafebabec2de0001bb75a4c545cd1f413bdb7daa2b1e3263de313667c963249081b35a65f5cb6c88b394235f",
    );
}

/// §A.2.3.
#[test]
fn one_byte_extensions_and_csrcs_gcm() {
    holds(
        &gcm(),
        "920f1238decafbadcafebabe0001e2400000b26ebede000151000200abababababababababababababababab",
        "920f1238decafbadcafebabe63bbccc4a7f695c4c0de00018ad7c71fac70a80c92866b4c6ba98546ef913586e95ffaaffe956885bb0647a8bc094ac8",
    );
}

/// §A.2.4.
#[test]
fn two_byte_extensions_and_csrcs_gcm() {
    holds(
        &gcm(),
        "920f1239decafbadcafebabe0001e2400000b26e1000000105020002abababababababababababababababab",
        "920f1239decafbadcafebabe3680524f8d312b00c2de0001c78d120038422bc111a7187a18246f980c059cc6bc9df8b626394eca344e4b05d80fea83",
    );
}

/// §A.2.5.
#[test]
fn empty_one_byte_extensions_and_csrcs_gcm() {
    holds(
        &gcm(),
        "920f123adecafbadcafebabe0001e2400000b26ebede0000abababababababababababababababab",
        "920f123adecafbadcafebabe15b6bb4337906fffc0de0000b7b964537a2b03ab7ba5389ce93317126b5d974df30c6884dcb651c5e120c1da",
    );
}

/// §A.2.6.
#[test]
fn empty_two_byte_extensions_and_csrcs_gcm() {
    holds(
        &gcm(),
        "920f123bdecafbadcafebabe0001e2400000b26e10000000abababababababababababababababab",
        "920f123bdecafbadcafebabedcb38c9e48bf95f4c2de000061ee432cf920317076613258d3ce4236c06ac429681ad08413512dc98b5207d8",
    );
}

/// "an empty extension block": the receiver is left with it.
#[test]
fn csrcs_without_an_extension_get_an_empty_one() {
    for key in [aes_cm(), gcm()] {
        let plain = unhex("820f1238decafbadcafebabe0001e2400000b26e5061796c6f6164");
        let mut out = plain.clone();
        Outbound::new(&key, config()).protect_rtp(&mut out, 0).unwrap();
        assert_eq!(out.len(), plain.len() + 4 + key.profile().rtp_overhead());
        assert_eq!(out[..12], unhex("920f1238decafbadcafebabe"));
        assert_ne!(out[12..20], plain[12..20]);
        assert_eq!(out[20..24], unhex("c0de0000"));
        let mut packet = BytesMut::from(&out[..]);
        Inbound::new(&key, config()).unprotect_rtp(&mut packet).unwrap();
        assert_eq!(
            packet,
            unhex("920f1238decafbadcafebabe0001e2400000b26ebede00005061796c6f6164")
        );
    }
}

#[test]
fn what_has_neither_is_as_without_cryptex() {
    for key in [aes_cm(), gcm()] {
        let plain = unhex("800f1238decafbadcafebabe5061796c6f6164");
        let (mut with, mut without) = (plain.clone(), plain.clone());
        Outbound::new(&key, config()).protect_rtp(&mut with, 0).unwrap();
        Outbound::new(&key, Config::default())
            .protect_rtp(&mut without, 0)
            .unwrap();
        assert_eq!(with, without);
        let mut packet = BytesMut::from(&with[..]);
        Inbound::new(&key, config()).unprotect_rtp(&mut packet).unwrap();
        assert_eq!(packet, plain);
    }
}

#[test]
fn other_extensions_do_not_leave_in_the_clear() {
    let mut out = unhex("900f1238decafbadcafebabe1001000101020304");
    let result = Outbound::new(&gcm(), config()).protect_rtp(&mut out, 0);
    assert_eq!((result, out), (Err(ProtectError::Malformed), Vec::new()));
}

//! The test vectors of RFC 5769 §2 and RFC 8489 appendix B.1 (the latter as its verified erratum corrects it: with
//! PASSWORD-ALGORITHM, and length 0x90).

use crate::attribute::*;
use crate::{Class, FingerprintError, Integrity, IntegrityError, Key, Message, MessageBuilder, Method, TransactionId};

const ID: TransactionId = TransactionId(*b"\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae");
const LONG_TERM_ID: TransactionId = TransactionId(*b"\x78\xad\x34\x33\xc6\xad\x72\xc0\x29\xda\x41\x2e");
const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";
/// Six katakana: "Matrix".
const USERNAME: &str = "\u{30DE}\u{30C8}\u{30EA}\u{30C3}\u{30AF}\u{30B9}";
const REALM: &str = "example.org";
/// "The<U+00AD>M<U+00AA>tr<U+2168>" after SASLprep.
const LONG_TERM_PASSWORD: &str = "TheMatrIX";

/// RFC 5769 §2.1. Padding is of spaces.
const REQUEST: &str = "
    00010058 2112a442 b7e7a701 bc34d686 fa87dfae
    80220010 5354554e 20746573 7420636c 69656e74
    00240004 6e0001ff
    80290008 932ff9b1 51263b36
    00060009 6576746a 3a683676 59202020
    00080014 9aeaa70c bfd8cb56 781ef2b5 b2d3f249 c1b571a2
    80280004 e57a3bcf";

/// RFC 5769 §2.2. Padding is of spaces.
const RESPONSE_V4: &str = "
    0101003c 2112a442 b7e7a701 bc34d686 fa87dfae
    8022000b 74657374 20766563 746f7220
    00200008 0001a147 e112a643
    00080014 2b91f599 fd9e90c3 8c7489f9 2af9ba53 f06be7d7
    80280004 c07d4c96";

/// RFC 5769 §2.3. Padding is of spaces.
const RESPONSE_V6: &str = "
    01010048 2112a442 b7e7a701 bc34d686 fa87dfae
    8022000b 74657374 20766563 746f7220
    00200014 0002a147 0113a9fa a5d3f179 bc25f4b5 bed2b9d9
    00080014 a382954e 4be67bf1 1784c97c 8292c275 bfe3ed41
    80280004 c8fb0b4c";

/// RFC 5769 §2.4. Padding is of zeros.
const LONG_TERM_REQUEST: &str = "
    00010060 2112a442 78ad3433 c6ad72c0 29da412e
    00060012 e3839ee3 8388e383 aae38383 e382afe3 82b90000
    0015001c 662f2f34 39396b39 35346436 4f4c3334 6f4c3946 53547679 36347341
    0014000b 6578616d 706c652e 6f726700
    00080014 f6702465 6dd64a3e 02b8e071 2e85c9a2 8ca89666";

/// RFC 8489 appendix B.1 with its erratum. Padding is of zeros.
const SHA256_REQUEST: &str = "
    00010090 2112a442 78ad3433 c6ad72c0 29da412e
    001e0020 4a3cf38f ef6992bd a952c678 0417da0f 24819415 569e60b2 05c46e41 407f1704
    00150029 6f624d61 744a6f73 32414141 43662f2f 3439396b 39353464 364f4c33 346f4c39 46535476 79363473 41000000
    0014000b 6578616d 706c652e 6f726700
    001d0004 00020000
    001c0020 b5c7bf00 5b6c52a2 1c51c5e8 92f81924 136296cb 927c4314 9309278c c6518e65";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let digit = |c: u8| char::from(c).to_digit(16).expect("a hexadecimal digit") as u8;
    digits
        .as_chunks::<2>()
        .0
        .iter()
        .map(|&[high, low]| digit(high) << 4 | digit(low))
        .collect()
}

/// Zeroes the padding: RFC 5769's is of spaces, ours of zeros, and the checks cover it.
fn rebuilt(vector: &[u8]) -> Vec<u8> {
    let message = Message::parse(vector).unwrap();
    let mut out = b"already here".to_vec();
    let mut builder = MessageBuilder::new(&mut out, message.class(), message.method(), message.transaction_id());
    message.raw_attributes().for_each(|attribute| {
        builder.raw(attribute);
    });
    assert_eq!(builder.finish(), Some(vector.len()));
    out.split_off(12)
}

#[test]
fn sample_request() {
    let request = bytes(REQUEST);
    let request = Message::parse(&request).unwrap();
    assert_eq!((request.class(), request.method()), (Class::Request, Method::BINDING));
    assert_eq!(request.transaction_id(), ID);
    assert_eq!(request.get(), Ok(Some(Software("STUN test client"))));
    assert_eq!(request.get(), Ok(Some(Priority(0x6e00_01ff))));
    assert_eq!(request.get(), Ok(Some(IceControlled(0x932f_f9b1_5126_3b36))));
    assert_eq!(request.get(), Ok(Some(Username("evtj:h6vY"))));
    assert_eq!(request.get::<UseCandidate>(), Ok(None));
    assert_eq!(request.verify(&Key::short_term(PASSWORD)), Ok(Integrity::Sha1));
    assert_eq!(
        request.verify(&Key::short_term("VOkJxbRl1RmTxUk/WvJxBT")),
        Err(IntegrityError::Mismatch)
    );
    assert_eq!(
        request.verify_sha256(&Key::short_term(PASSWORD), 16),
        Err(IntegrityError::Missing)
    );
    assert_eq!(request.verify_fingerprint(), Ok(()));
}

#[test]
fn sample_ipv4_response() {
    let response = bytes(RESPONSE_V4);
    let response = Message::parse(&response).unwrap();
    assert_eq!(
        (response.class(), response.method()),
        (Class::SuccessResponse, Method::BINDING)
    );
    assert_eq!(response.get(), Ok(Some(Software("test vector"))));
    assert_eq!(
        response.get(),
        Ok(Some(XorMappedAddress("192.0.2.1:32853".parse().unwrap())))
    );
    assert_eq!(response.verify(&Key::short_term(PASSWORD)), Ok(Integrity::Sha1));
    assert_eq!(response.verify_fingerprint(), Ok(()));
    assert!(response.answers(&Message::parse(&bytes(REQUEST)).unwrap()));
    assert!(!response.answers(&Message::parse(&bytes(LONG_TERM_REQUEST)).unwrap()));
}

#[test]
fn sample_ipv6_response() {
    let response = bytes(RESPONSE_V6);
    let response = Message::parse(&response).unwrap();
    let mapped = "[2001:db8:1234:5678:11:2233:4455:6677]:32853".parse().unwrap();
    assert_eq!(response.get(), Ok(Some(XorMappedAddress(mapped))));
    assert_eq!(response.verify(&Key::short_term(PASSWORD)), Ok(Integrity::Sha1));
    assert_eq!(response.verify_fingerprint(), Ok(()));
}

#[test]
fn sample_request_with_long_term_authentication() {
    let vector = bytes(LONG_TERM_REQUEST);
    let request = Message::parse(&vector).unwrap();
    let key = Key::long_term_md5(USERNAME, REALM, LONG_TERM_PASSWORD);
    assert_eq!(request.get(), Ok(Some(Username(USERNAME))));
    assert_eq!(request.get(), Ok(Some(Nonce(b"f//499k954d6OL34oL9FSTvy64sA"))));
    assert_eq!(request.get(), Ok(Some(Realm(REALM))));
    assert_eq!(request.verify(&key), Ok(Integrity::Sha1));
    assert_eq!(request.verify_fingerprint(), Err(FingerprintError::Missing));
    let sha256 = Key::long_term_sha256(USERNAME, REALM, LONG_TERM_PASSWORD);
    assert_eq!(request.verify(&sha256), Err(IntegrityError::Mismatch));

    // Padded with zeros, so what we write is the vector itself.
    let mut out = Vec::new();
    MessageBuilder::request(&mut out, Method::BINDING, LONG_TERM_ID)
        .attribute(Username(USERNAME))
        .attribute(Nonce(b"f//499k954d6OL34oL9FSTvy64sA"))
        .attribute(Realm(REALM))
        .integrity(&key);
    assert_eq!(out, vector);
}

#[test]
fn sample_request_with_sha256_and_userhash() {
    let vector = bytes(SHA256_REQUEST);
    let request = Message::parse(&vector).unwrap();
    let Some(key) = Key::long_term(PasswordAlgorithm::SHA256.algorithm, USERNAME, REALM, LONG_TERM_PASSWORD) else {
        panic!("SHA-256 is known")
    };
    let nonce = Nonce(b"obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA");
    assert_eq!(request.get(), Ok(Some(UserHash::new(USERNAME, REALM))));
    assert_eq!(request.get(), Ok(Some(nonce)));
    assert_eq!(request.get(), Ok(Some(PasswordAlgorithm::SHA256)));
    assert_eq!(request.verify(&key), Ok(Integrity::Sha256));
    let md5 = Key::long_term_md5(USERNAME, REALM, LONG_TERM_PASSWORD);
    assert_eq!(request.verify(&md5), Err(IntegrityError::Mismatch));

    let mut out = b"anything".to_vec();
    let len = MessageBuilder::request(&mut out, Method::BINDING, LONG_TERM_ID)
        .attribute(UserHash::new(USERNAME, REALM))
        .attribute(nonce)
        .attribute(Realm(REALM))
        .attribute(PasswordAlgorithm::SHA256)
        .integrity_sha256(&key)
        .finish();
    assert_eq!(len, Some(vector.len()));
    assert_eq!(out[8..], vector);
}

#[test]
fn the_same_attributes_give_the_same_bytes_but_for_the_padding() {
    for vector in [REQUEST, RESPONSE_V4, RESPONSE_V6, LONG_TERM_REQUEST, SHA256_REQUEST].map(bytes) {
        let again = rebuilt(&vector);
        let differ: Vec<_> = vector.iter().zip(&again).filter(|(a, b)| a != b).collect();
        assert!(
            differ.len() <= 3 && differ.iter().all(|&(&a, &b)| (a, b) == (b' ', 0)),
            "{differ:?}"
        );
    }
}

#[test]
fn one_flipped_bit_anywhere_is_noticed() {
    let key = Key::short_term(PASSWORD);
    for vector in [REQUEST, RESPONSE_V4, RESPONSE_V6].map(bytes) {
        for bit in 0..vector.len() * 8 {
            let mut forged = vector.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            let Ok(message) = Message::parse(&forged) else { continue };
            let fingerprint_only = bit / 8 >= vector.len() - 8;
            assert!(message.verify_fingerprint().is_err(), "bit {bit}");
            assert_eq!(message.verify(&key).is_ok(), fingerprint_only, "bit {bit}");
        }
    }
}

#[test]
fn every_shorter_and_longer_one_is_refused() {
    for vector in [REQUEST, LONG_TERM_REQUEST, SHA256_REQUEST].map(bytes) {
        for len in 0..vector.len() {
            assert!(Message::parse(&vector[..len]).is_err(), "{len} bytes");
        }
        let mut longer = vector;
        longer.extend([0; 4]);
        assert!(Message::parse(&longer).is_err());
    }
}

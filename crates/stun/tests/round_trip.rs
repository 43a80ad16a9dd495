//! Any message survives being written and read, and any bytes at all are harmless.

use peerline_stun::attribute::*;
use peerline_stun::{
    Algorithm, AttributeType, ChannelNumber, Class, Integrity, Key, Message, MessageBuilder, Method, RawAttribute,
    TransactionId, fuzzing,
};
use proptest::collection::vec;
use proptest::prelude::*;
use std::net::SocketAddr;

fn class() -> impl Strategy<Value = Class> {
    prop::sample::select(vec![
        Class::Request,
        Class::Indication,
        Class::SuccessResponse,
        Class::ErrorResponse,
    ])
}

fn method() -> impl Strategy<Value = Method> {
    (0..0x1000u16).prop_map(|number| Method::new(number).expect("twelve bits"))
}

fn transaction_id() -> impl Strategy<Value = TransactionId> {
    any::<[u8; 12]>().prop_map(TransactionId)
}

/// Types that mean something, often; others, too.
fn attribute_type() -> impl Strategy<Value = AttributeType> {
    prop_oneof![0..0x30u16, 0x8000..0x8030u16, any::<u16>()].prop_map(AttributeType)
}

fn attributes() -> impl Strategy<Value = Vec<(AttributeType, Vec<u8>)>> {
    vec((attribute_type(), vec(any::<u8>(), 0..40)), 0..12)
}

/// Writes each value between other attributes, and reads it back.
macro_rules! survive {
    ($id:expr, $($value:expr),* $(,)?) => {$(
        let mut out = vec![0xee; 3];
        MessageBuilder::request(&mut out, Method::BINDING, $id)
            .raw(RawAttribute { kind: AttributeType(0xffff), value: &[1] })
            .attribute($value)
            .raw(RawAttribute { kind: AttributeType(0xfffe), value: &[2, 3] })
            .fingerprint();
        let message = Message::parse(&out[3..]).unwrap();
        prop_assert_eq!(message.verify_fingerprint(), Ok(()));
        prop_assert_eq!(message.attributes().count(), 4);
        prop_assert_eq!(message.get(), Ok(Some($value)));
    )*};
}

proptest! {
    #[test]
    fn any_message_survives(class in class(), method in method(), id in transaction_id(), attributes in attributes()) {
        let mut out = Vec::new();
        let mut builder = MessageBuilder::new(&mut out, class, method, id);
        for (kind, value) in &attributes {
            builder.raw(RawAttribute { kind: *kind, value });
        }
        prop_assert_eq!(builder.finish(), Some(out.len()));
        let message = Message::parse(&out).unwrap();
        prop_assert_eq!((message.class(), message.method(), message.transaction_id()), (class, method, id));
        let read: Vec<_> = message.raw_attributes().map(|a| (a.kind, a.value.to_vec())).collect();
        prop_assert_eq!(read, attributes);
        fuzzing::message(&out);
    }

    #[test]
    fn any_change_is_noticed(
        attributes in attributes(), sha256: bool, at: prop::sample::Index, change in 1..=255u8,
        password in "[a-zA-Z0-9+/]{22,24}",
    ) {
        let key = Key::short_term(&password);
        let integrity = if sha256 { Integrity::Sha256 } else { Integrity::Sha1 };
        let mut out = Vec::new();
        let mut builder = MessageBuilder::request(&mut out, Method::BINDING, TransactionId([7; 12]));
        for (kind, value) in &attributes {
            if ![0x0008, 0x001c, 0x8028].contains(&kind.0) {
                builder.raw(RawAttribute { kind: *kind, value });
            }
        }
        builder.integrity_as(integrity, &key).fingerprint();
        let message = Message::parse(&out).unwrap();
        prop_assert_eq!(message.verify(&key), Ok(integrity));
        prop_assert_eq!(message.verify_fingerprint(), Ok(()));

        let at = at.index(out.len());
        out[at] ^= change;
        fuzzing::message(&out);
        if let Ok(forged) = Message::parse(&out) {
            prop_assert!(forged.verify_fingerprint().is_err());
            prop_assert!(forged.verify(&key).is_err() || at >= out.len() - 8);
        }
    }

    #[test]
    fn any_attribute_survives(
        id in transaction_id(), ip: std::net::IpAddr, port: u16, long: u64, int: u32, short: u16, byte: u8, flag: bool,
        token: [u8; 8], hash: [u8; 32], bytes in vec(any::<u8>(), 0..200), text in "\\PC{0,120}", code in 300..700u16,
        types in vec(attribute_type(), 0..20), domain in "[a-z.-]{0,255}",
    ) {
        let address = SocketAddr::new(ip, port);
        let code = ErrorCode::new(code).unwrap();
        let family = AddressFamily(byte);
        let algorithm = PasswordAlgorithm { algorithm: Algorithm(short), parameters: &bytes };
        let algorithms = [PasswordAlgorithm::SHA256, algorithm, PasswordAlgorithm::MD5];
        survive!(id, MappedAddress(address), XorMappedAddress(address), AlternateServer(address));
        survive!(id, XorPeerAddress(address), XorRelayedAddress(address), ResponseOrigin(address), OtherAddress(address));
        survive!(id, Priority(int), UseCandidate, IceControlled(long), IceControlling(long), NetworkInfo { id: short, cost: port });
        survive!(id, ChannelNumber(short), Lifetime(int), RequestedAddressFamily(family), AdditionalAddressFamily(family));
        survive!(id, EvenPort { reserve_next: flag }, RequestedTransport(byte), DontFragment, ReservationToken(token));
        survive!(id, Icmp { kind: byte, code: !byte, data: int }, ConnectionId(int), ResponsePort(short), UserHash(hash));
        survive!(id, ChangeRequest { change_ip: flag, change_port: !flag }, ChangeRequest { change_ip: flag, change_port: flag });
        survive!(id, Username(&text), Realm(&text), Software(&text), Nonce(&bytes), Data(&bytes), Padding(&bytes));
        survive!(id, AlternateDomain(&domain), ErrorAttribute { code, reason: &text });
        survive!(id, AddressErrorCode { family, code, reason: &text }, UnknownAttributes::new(&types));
        survive!(id, algorithm, PasswordAlgorithms::new(&algorithms));
    }

    #[test]
    fn garbage_is_harmless(bytes in vec(any::<u8>(), 0..200)) {
        fuzzing::message(&bytes);
    }

    #[test]
    fn garbage_behind_a_header_is_harmless(mut bytes in vec(any::<u8>(), 0..200), class in class(), method in method()) {
        bytes.truncate(bytes.len() / 4 * 4);
        let mut out = Vec::new();
        MessageBuilder::new(&mut out, class, method, TransactionId([7; 12]));
        out[3] = u8::try_from(bytes.len()).unwrap();
        out.extend_from_slice(&bytes);
        fuzzing::message(&out);
    }
}

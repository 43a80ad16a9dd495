//! What encodes decodes to the same, and whatever decodes encodes to the same; garbage never panics.

use peerline_dtls::fuzzing;
use peerline_dtls::wire::ParseError;
use peerline_dtls::wire::extension::{Extension, ExtensionType};
use peerline_dtls::wire::handshake::{
    Certificate, CertificateRequest, CertificateVerify, ClientCertificateType, ClientHello, ClientKeyExchange,
    CompressionMethod, DigitallySigned, EcdheParams, Finished, HelloVerifyRequest, ServerHello, ServerKeyExchange,
};
use peerline_dtls::wire::record::{ContentType, RecordHeader};
use peerline_dtls::wire::{CipherSuite, NamedGroup, ProtocolVersion, SignatureScheme};
use peerline_wire::{Reader, Writer};
use proptest::collection::vec;
use proptest::prelude::*;

fn bytes(len: impl Into<proptest::collection::SizeRange>) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), len)
}

fn extensions() -> impl Strategy<Value = Vec<Extension>> {
    let extension = (any::<u16>(), bytes(0..40)).prop_map(|(kind, data)| Extension {
        extension_type: ExtensionType(kind),
        data,
    });
    vec(extension, 0..8)
}

fn version() -> impl Strategy<Value = ProtocolVersion> {
    any::<u16>().prop_map(ProtocolVersion)
}

fn schemes() -> impl Strategy<Value = Vec<SignatureScheme>> {
    vec(any::<u16>().prop_map(SignatureScheme), 1..20)
}

prop_compose! {
    fn client_hello()(
        version in version(),
        random in any::<[u8; 32]>(),
        session_id in bytes(0..=32),
        cookie in bytes(0..=255),
        cipher_suites in vec(any::<u16>().prop_map(CipherSuite), 1..20),
        compression_methods in vec(any::<u8>().prop_map(CompressionMethod), 1..5),
        extensions in extensions(),
    ) -> ClientHello {
        ClientHello { version, random, session_id, cookie, cipher_suites, compression_methods, extensions }
    }
}

prop_compose! {
    fn server_hello()(
        version in version(),
        random in any::<[u8; 32]>(),
        session_id in bytes(0..=32),
        cipher_suite in any::<u16>().prop_map(CipherSuite),
        compression_method in any::<u8>().prop_map(CompressionMethod),
        extensions in extensions(),
    ) -> ServerHello {
        ServerHello { version, random, session_id, cipher_suite, compression_method, extensions }
    }
}

prop_compose! {
    fn certificate_request()(
        types in vec(any::<u8>().prop_map(ClientCertificateType), 1..5),
        signature_algorithms in schemes(),
        certificate_authorities in vec(bytes(1..50), 0..5),
    ) -> CertificateRequest {
        CertificateRequest { certificate_types: types, signature_algorithms, certificate_authorities }
    }
}

prop_compose! {
    fn signed()(scheme in any::<u16>().prop_map(SignatureScheme), signature in bytes(0..300)) -> DigitallySigned {
        DigitallySigned { scheme, signature }
    }
}

prop_compose! {
    fn server_key_exchange()(group in any::<u16>(), public_key in bytes(1..=255), signed in signed()) -> ServerKeyExchange {
        ServerKeyExchange { params: EcdheParams { group: NamedGroup(group), public_key }, signed }
    }
}

/// It reads back; and neither a prefix of it nor it with a byte behind reads as the same.
fn check<T: PartialEq + std::fmt::Debug>(
    value: &T,
    encode: impl Fn(&T, &mut Writer<'_>),
    decode: impl Fn(&[u8]) -> Result<T, ParseError>,
) -> Result<(), TestCaseError> {
    let mut encoded = Vec::new();
    encode(value, &mut Writer::new(&mut encoded));
    let decoded = decode(&encoded);
    prop_assert_eq!(decoded.as_ref(), Ok(value));
    for len in 0..encoded.len() {
        let shorter = decode(&encoded[..len]);
        prop_assert_ne!(shorter.as_ref(), Ok(value));
    }
    encoded.push(0);
    prop_assert!(decode(&encoded).is_err());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn hellos(client in client_hello(), server in server_hello(), version in version(), cookie in bytes(0..=255)) {
        check(&client, |m, w| m.encode(w), ClientHello::decode)?;
        check(&server, |m, w| m.encode(w), ServerHello::decode)?;
        check(&HelloVerifyRequest { version, cookie }, |m, w| m.encode(w), HelloVerifyRequest::decode)?;
    }

    #[test]
    fn certificates(chain in vec(bytes(1..100), 0..4), request in certificate_request(), signed in signed()) {
        check(&Certificate { chain }, |m, w| m.encode(w), Certificate::decode)?;
        check(&request, |m, w| m.encode(w), CertificateRequest::decode)?;
        check(&CertificateVerify { signed }, |m, w| m.encode(w), CertificateVerify::decode)?;
    }

    #[test]
    fn key_exchanges(server in server_key_exchange(), public_key in bytes(1..=255), verify_data in any::<[u8; 12]>()) {
        check(&server, |m, w| m.encode(w), ServerKeyExchange::decode)?;
        check(&ClientKeyExchange { public_key }, |m, w| m.encode(w), ClientKeyExchange::decode)?;
        check(&Finished { verify_data }, |m, w| m.encode(w), Finished::decode)?;
    }

    #[test]
    fn record_headers(content_type: u8, version in version(), epoch: u16, number in 0u64..1 << 48, length: u16) {
        let content_type = ContentType(content_type);
        let header = RecordHeader { content_type, version, epoch, sequence_number: number, length };
        let mut encoded = Vec::new();
        header.encode(&mut Writer::new(&mut encoded));
        prop_assert_eq!(encoded.len(), RecordHeader::LEN);
        prop_assert_eq!(RecordHeader::decode(&mut Reader::new(&encoded)), Ok(header));
    }

    #[test]
    fn garbage_as_records(bytes in bytes(0..300)) {
        fuzzing::record(&bytes);
        // And behind a header that makes it a handshake message.
        for kind in 0..=24 {
            let mut datagram = Vec::new();
            let mut w = Writer::new(&mut datagram);
            w.bytes(&[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0]);
            w.length_u16(|w| {
                w.u8(kind);
                w.u24(bytes.len() as u32);
                w.bytes(&[0, 0, 0, 0, 0]);
                w.length_u24(|w| w.bytes(&bytes));
            });
            fuzzing::record(&datagram);
        }
    }

    #[test]
    fn garbage_as_a_conversation(steps in vec((any::<u8>(), bytes(0..60)), 0..30)) {
        let mut conversation = Vec::new();
        for (step, datagram) in steps {
            let mut w = Writer::new(&mut conversation);
            w.u8(step);
            if step % 4 < 2 {
                w.length_u16(|w| w.bytes(&datagram));
            }
        }
        fuzzing::handshake(&conversation);
    }
}

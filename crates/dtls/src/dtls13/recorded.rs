//! Sessions of others, followed with their key logs: every record decrypts to what it was, every signature and Finished
//! verifies, and the keys exported are those that decrypted the session's SRTP.

use std::collections::BTreeMap;

use bytes::BytesMut;
use peerline_wire::Reader;
use rustls::crypto::hash::Output;

use super::epochs::Epochs;
use super::key_schedule::{Exporter, HandshakeSecrets, Secret, Suite};
use crate::config::Role;
use crate::record_layer::{Discard, Epoch, Opened};
use crate::recorded::{asked_for, session, unhex};
use crate::wire::CipherSuite;
use crate::wire::ack::{Ack, RecordNumber};
use crate::wire::extension::{self, Extension, ExtensionType};
use crate::wire::handshake::{
    CertificateVerify, ClientHello, Fragment, HandshakeType, ServerHello,
    dtls13::{Certificate, CertificateRequest, EncryptedExtensions},
};
use crate::wire::record::{ContentType, Record};
use crate::wire::unified::{Ciphertext, UnifiedHeader};
use crate::wire::{NamedGroup, ProtocolVersion, SrtpProfile};

/// The lines of a file of vectors: words, the last of them bytes.
struct Vectors<'a>(Vec<(Vec<&'a str>, Vec<u8>)>);

impl<'a> Vectors<'a> {
    fn read(text: &'a str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let line = |line: &'a str| {
            let (words, hex) = line.rsplit_once(' ').expect("a keyword and bytes");
            (words.split(' ').collect(), unhex(hex))
        };
        Self(lines.map(line).collect())
    }

    fn secret(&self, keyword: &str) -> Secret {
        Secret::new(self.bytes(keyword))
    }

    fn bytes(&self, keyword: &str) -> &[u8] {
        let line = self.0.iter().find(|(words, _)| words[..] == [keyword]);
        &line.expect("the file has it").1
    }

    /// Who sent each datagram, and the datagrams.
    fn datagrams(&self) -> impl Iterator<Item = (Role, &[u8])> {
        self.0.iter().filter_map(|(words, bytes)| match words[..] {
            ["client"] => Some((Role::Client, &bytes[..])),
            ["server"] => Some((Role::Server, &bytes[..])),
            _ => None,
        })
    }
}

/// The records of a datagram, decrypted by the keys of those who can read what its sender writes.
fn open(datagram: &[u8], keys: &mut Epochs) -> Vec<Opened> {
    open_identified(datagram, keys, &[])
}

/// The same with a connection ID.
fn open_identified(datagram: &[u8], keys: &mut Epochs, connection_id: &[u8]) -> Vec<Opened> {
    let mut datagram = BytesMut::from(datagram);
    let mut records = Vec::new();
    while !datagram.is_empty() {
        if UnifiedHeader::begins_with(datagram[0]) {
            let record = Ciphertext::split_off_with(&mut datagram, connection_id.len()).unwrap();
            let written = record.connection_id.clone().map_or(&[][..], |at| &record.bytes[at]);
            assert_eq!(written, connection_id);
            records.push(keys.open(record.clone()).unwrap());
            assert_eq!(keys.open(record), Err(Discard::Replayed));
        } else {
            let Record { header, payload, .. } = Record::split_off(&mut datagram).unwrap();
            records.push(Opened {
                epoch: Epoch(header.epoch.into()),
                number: RecordNumber {
                    epoch: header.epoch.into(),
                    sequence_number: header.sequence_number,
                },
                content_type: header.content_type,
                payload,
            });
        }
    }
    records
}

/// What reads the records of one side, from its traffic secrets.
fn reader(suite: Suite, handshake: &Secret, application: &Secret) -> Epochs {
    let mut keys = Epochs::new(suite);
    keys.read_with(Epoch::HANDSHAKE, handshake).unwrap();
    keys.read_with(Epoch::APPLICATION, application).unwrap();
    keys
}

/// Handshake messages put together: kind and body by `message_seq`.
#[derive(Default)]
struct Messages(BTreeMap<u16, (HandshakeType, Vec<u8>)>);

impl Messages {
    fn take_in(&mut self, payload: &[u8]) {
        let mut r = Reader::new(payload);
        while !r.is_empty() {
            let fragment = Fragment::decode(&mut r).unwrap();
            let length = fragment.header.length as usize;
            let entry = self.0.entry(fragment.header.message_seq);
            let (_, body) = entry.or_insert_with(|| (fragment.header.kind, vec![0; length]));
            let start = fragment.header.fragment_offset as usize;
            body[start..start + fragment.body.len()].copy_from_slice(fragment.body);
        }
    }

    fn kinds(&self) -> Vec<HandshakeType> {
        self.0.values().map(|message| message.0).collect()
    }

    fn body(&self, kind: HandshakeType) -> &[u8] {
        &self
            .0
            .values()
            .find(|message| message.0 == kind)
            .expect("it was sent")
            .1
    }
}

/// The messages' transcript up to and with the one of that kind, in the order they were sent.
struct Transcript<'a>(Vec<&'a (HandshakeType, Vec<u8>)>);

impl<'a> Transcript<'a> {
    fn new(client: &'a Messages, server: &'a Messages) -> Self {
        let client_hello = client.0.values().take(1);
        let rest = client.0.values().skip(1);
        Self(client_hello.chain(server.0.values()).chain(rest).collect())
    }

    fn hash(&self, suite: Suite, messages: usize) -> Output {
        let mut hash = suite.start_hash();
        for (kind, body) in &self.0[..messages] {
            hash.update(&[kind.0]);
            hash.update(&(body.len() as u32).to_be_bytes()[1..]);
            hash.update(body);
        }
        hash.finish()
    }
}

#[test]
fn an_annotated_trace_can_be_followed_from_its_shared_secret() {
    let vectors = Vectors::read(include_str!("../../tests/vectors/illustrated-dtls13.txt"));
    let provider = rustls::crypto::ring::default_provider();
    let suite = Suite::find(&provider, CipherSuite::AES_128_GCM_SHA256).unwrap();

    let mut keys = [Epochs::new(suite), Epochs::new(suite)];
    let mut messages = [Messages::default(), Messages::default()];
    let mut application = None;
    let mut others = Vec::new();
    let mut handshake: Option<HandshakeSecrets> = None;
    for (from, datagram) in vectors.datagrams() {
        for record in open(datagram, &mut keys[from as usize]) {
            match record.content_type {
                ContentType::HANDSHAKE => messages[from as usize].take_in(&record.payload),
                _ => others.push((from, record)),
            }
        }
        let [client, server] = &messages;
        let (client_count, server_count) = (client.0.len(), server.0.len());
        let transcript = Transcript::new(client, server);
        match (from, server_count) {
            (Role::Server, 1) => {
                let hello = ServerHello::decode(server.body(HandshakeType::SERVER_HELLO)).unwrap();
                assert_eq!(hello.cipher_suite, suite.id);
                let secrets = HandshakeSecrets::new(suite, vectors.bytes("shared_secret"), &transcript.hash(suite, 2));
                for (secret, name) in [(&secrets.traffic.client, "client"), (&secrets.traffic.server, "server")] {
                    let expected = vectors.bytes(&format!("{name}_handshake_traffic_secret"));
                    assert_eq!(secret.bytes(), expected);
                }
                keys[0].read_with(Epoch::HANDSHAKE, &secrets.traffic.client).unwrap();
                keys[1].read_with(Epoch::HANDSHAKE, &secrets.traffic.server).unwrap();
                handshake = Some(secrets);
            }
            (Role::Server, 5) if client_count == 1 => {
                let secrets = handshake.as_ref().unwrap();
                let application = application.get_or_insert_with(|| secrets.application(&transcript.hash(suite, 6)));
                for (secret, name) in [
                    (&application.traffic.client, "client"),
                    (&application.traffic.server, "server"),
                ] {
                    assert_eq!(secret.bytes(), vectors.bytes(&format!("{name}_traffic_secret")));
                }
                keys[0]
                    .read_with(Epoch::APPLICATION, &application.traffic.client)
                    .unwrap();
                keys[1]
                    .read_with(Epoch::APPLICATION, &application.traffic.server)
                    .unwrap();
            }
            _ => {}
        }
    }
    use HandshakeType as H;
    let [client, server] = &messages;
    assert_eq!(client.kinds(), [H::CLIENT_HELLO, H::FINISHED]);
    let flight = [
        H::SERVER_HELLO,
        H::ENCRYPTED_EXTENSIONS,
        H::CERTIFICATE,
        H::CERTIFICATE_VERIFY,
        H::FINISHED,
    ];
    assert_eq!(server.kinds(), flight);
    let transcript = Transcript::new(client, server);
    let traffic = &handshake.unwrap().traffic;
    for (side, base, before) in [(server, &traffic.server, 5), (client, &traffic.client, 6)] {
        let received = side.body(H::FINISHED);
        assert_eq!(
            suite.verify_finished(base, &transcript.hash(suite, before), received),
            Ok(())
        );
        assert!(
            suite
                .verify_finished(base, &transcript.hash(suite, before - 1), received)
                .is_err()
        );
    }
    let read: Vec<_> = others
        .iter()
        .map(|(from, r)| (*from, r.content_type, &r.payload[..]))
        .collect();
    let ack = Ack {
        record_numbers: vec![RecordNumber {
            epoch: 2,
            sequence_number: 0,
        }],
    };
    assert_eq!(Ack::decode(read[0].2), Ok(ack));
    assert_eq!((read[0].0, read[0].1), (Role::Server, ContentType::ACK));
    assert_eq!(read[1], (Role::Client, ContentType::APPLICATION_DATA, &b"ping"[..]));
    assert_eq!(read[2], (Role::Server, ContentType::APPLICATION_DATA, &b"pong"[..]));
    assert_eq!(read[3], (Role::Server, ContentType::ALERT, &[1, 0][..]));
}

#[test]
fn sessions_between_two_browsers_can_be_followed() {
    let sessions = [
        (
            include_str!("../../tests/vectors/firefox-client-chromium-server-dtls13.txt"),
            133,
        ),
        (
            include_str!("../../tests/vectors/firefox-client-chromium-server-dtls13-2.txt"),
            351,
        ),
    ];
    for (text, records) in sessions {
        read_session(&Vectors::read(text), records);
    }
}

#[test]
fn sessions_with_connection_ids_of_another_stack_can_be_followed() {
    let text = include_str!("../../tests/vectors/wolfssl-connection-ids.txt");
    let provider = rustls::crypto::ring::default_provider();
    for (name, client_id, server_id, said) in [
        (
            "dtls13 wolfssl-server",
            "ourid",
            "wolfcid",
            ["hello from peerline\n", "I hear you fa shizzle!"],
        ),
        (
            "dtls13 wolfssl-client",
            "wolfcid",
            "ourid",
            ["hello wolfssl!", "hello wolfssl!"],
        ),
    ] {
        let session = session(text, name);
        let vectors = Vectors::read(session.split_once('\n').unwrap().1);
        let hello = |from: Role| {
            let all = vectors.datagrams().filter(|(role, _)| *role == from);
            // The last of each, behind a HelloRetryRequest.
            let plain = all.filter(|(_, datagram)| !UnifiedHeader::begins_with(datagram[0]));
            let record = Record::split_off(&mut plain.last().unwrap().1.into()).unwrap();
            let fragment = Fragment::decode(&mut Reader::new(&record.payload)).unwrap();
            fragment.body.to_vec()
        };
        let client_hello = ClientHello::decode(&hello(Role::Client)).unwrap();
        let server_hello = ServerHello::decode(&hello(Role::Server)).unwrap();
        assert_eq!(
            asked_for(&client_hello, &server_hello),
            [client_id, server_id].map(str::as_bytes)
        );
        let suite = Suite::find(&provider, server_hello.cipher_suite).unwrap();
        for (from, id, said) in [(Role::Client, server_id, said[0]), (Role::Server, client_id, said[1])] {
            let side = ["client", "server"][from as usize];
            let handshake = vectors.secret(&format!("{side}_handshake_traffic_secret"));
            let application = vectors.secret(&format!("{side}_traffic_secret_0"));
            let mut keys = reader(suite, &handshake, &application);
            let all = vectors.datagrams().filter(|(role, _)| *role == from);
            let records: Vec<_> = all
                .flat_map(|(_, datagram)| open_identified(datagram, &mut keys, id.as_bytes()))
                .filter(|record| record.number.epoch > 0)
                .collect();
            let of = |content_type| records.iter().filter(move |record| record.content_type == content_type);
            let data: Vec<_> = of(ContentType::APPLICATION_DATA)
                .map(|record| &record.payload[..])
                .collect();
            assert_eq!(data, [said.as_bytes()]);
            // The handshake's, and what acknowledges it.
            assert!(of(ContentType::HANDSHAKE).count() >= 2);
            assert!(of(ContentType::ACK).all(|ack| Ack::decode(&ack.payload).is_ok()));
        }
    }
}

/// Every record is what the browsers' logs say.
fn read_session(vectors: &Vectors<'_>, records: usize) {
    let provider = rustls::crypto::ring::default_provider();
    let suite = Suite::find(&provider, CipherSuite::AES_128_GCM_SHA256).unwrap();
    let traffic = |name: &str, stage: &str| vectors.secret(&format!("{name}_{stage}"));
    let mut keys = ["client", "server"].map(|name| {
        let (handshake, application) = (
            traffic(name, "handshake_traffic_secret"),
            traffic(name, "traffic_secret_0"),
        );
        reader(suite, &handshake, &application)
    });

    let mut expected = vectors
        .0
        .iter()
        .filter(|(words, _)| matches!(words[0], "record" | "sha256"));
    let mut messages = [Messages::default(), Messages::default()];
    let mut count = 0;
    for (from, datagram) in vectors.datagrams() {
        for record in open(datagram, &mut keys[from as usize]) {
            let (words, logged) = expected.next().unwrap();
            let RecordNumber { epoch, sequence_number } = record.number;
            let seen = [epoch, sequence_number, record.content_type.0.into()].map(|number| number.to_string());
            assert_eq!(words[1..], seen, "record {count}");
            if words[0] == "sha256" {
                let digest = ring::digest::digest(&ring::digest::SHA256, &record.payload);
                assert_eq!(digest.as_ref(), logged, "record {count}");
            } else {
                assert_eq!(&record.payload[..], logged, "record {count}");
            }
            match record.content_type {
                ContentType::HANDSHAKE => messages[from as usize].take_in(&record.payload),
                ContentType::ACK => assert_eq!(Ack::decode(&record.payload).unwrap().record_numbers.len(), 3),
                _ => {}
            }
            count += 1;
        }
    }
    assert!(expected.next().is_none());
    assert_eq!(count, records);
    follow(vectors, suite, &messages);
}

/// The messages of the handshake are what they should be, and prove what they should.
fn follow(vectors: &Vectors<'_>, suite: Suite, messages: &[Messages; 2]) {
    use HandshakeType as H;
    let provider = rustls::crypto::ring::default_provider();
    let [client, server] = messages;
    assert_eq!(
        client.kinds(),
        [H::CLIENT_HELLO, H::CERTIFICATE, H::CERTIFICATE_VERIFY, H::FINISHED]
    );
    let flight = [
        H::SERVER_HELLO,
        H::ENCRYPTED_EXTENSIONS,
        H::CERTIFICATE_REQUEST,
        H::CERTIFICATE,
        H::CERTIFICATE_VERIFY,
        H::FINISHED,
    ];
    assert_eq!(server.kinds(), flight);

    let client_hello = ClientHello::decode(client.body(H::CLIENT_HELLO)).unwrap();
    let shares = extension::key_shares(client_hello.extension(ExtensionType::KEY_SHARE).unwrap()).unwrap();
    let groups: Vec<_> = shares
        .iter()
        .map(|share| (share.group, share.key_exchange.len()))
        .collect();
    assert_eq!(groups, [(NamedGroup::X25519MLKEM768, 1216), (NamedGroup::X25519, 32)]);
    let hello = ServerHello::decode(server.body(H::SERVER_HELLO)).unwrap();
    assert_eq!(
        (hello.version, hello.cipher_suite),
        (ProtocolVersion::DTLS_1_2, suite.id)
    );
    let version = extension::selected_version(hello.extension(ExtensionType::SUPPORTED_VERSIONS).unwrap());
    assert_eq!(version, Ok(ProtocolVersion::DTLS_1_3));
    let share = extension::key_share(hello.extension(ExtensionType::KEY_SHARE).unwrap()).unwrap();
    assert_eq!(
        (share.group, share.key_exchange.len()),
        (NamedGroup::X25519MLKEM768, 1120)
    );
    let answers = EncryptedExtensions::decode(server.body(H::ENCRYPTED_EXTENSIONS)).unwrap();
    let srtp = Extension::find(&answers.extensions, ExtensionType::USE_SRTP).unwrap();
    let profiles = extension::UseSrtp::decode(srtp).unwrap().profiles;
    assert_eq!(profiles, [SrtpProfile::AES128_CM_HMAC_SHA1_80]);
    let request = CertificateRequest::decode(server.body(H::CERTIFICATE_REQUEST)).unwrap();
    assert!(Extension::find(&request.extensions, ExtensionType::SIGNATURE_ALGORITHMS).is_some());

    let transcript = Transcript::new(client, server);
    for (side, signer, name, certificate_verify, finished) in [
        (server, Role::Server, "server", 5, 6),
        (client, Role::Client, "client", 8, 9),
    ] {
        let certificate = Certificate::decode(side.body(H::CERTIFICATE)).unwrap();
        let signed = CertificateVerify::decode(side.body(H::CERTIFICATE_VERIFY))
            .unwrap()
            .signed;
        let key = crate::spki::PublicKey::of_certificate(&certificate.chain[0].der).unwrap();
        let content = super::signed_content(signer, &transcript.hash(suite, certificate_verify));
        assert_eq!(super::verify(&key, &provider, &signed, &content), Ok(()));
        let base = vectors.secret(&format!("{name}_handshake_traffic_secret"));
        let hash = transcript.hash(suite, finished);
        assert_eq!(suite.verify_finished(&base, &hash, side.body(H::FINISHED)), Ok(()));
    }

    let exporter = Exporter::from_key_log(suite, vectors.bytes("exporter_secret"));
    let mut keys = [0; 60];
    exporter.export(b"EXTRACTOR-dtls_srtp", None, &mut keys).unwrap();
    assert_eq!(keys, vectors.bytes("srtp_keys"));
}

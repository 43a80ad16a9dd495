//! Sessions of others, followed with their key logs. One between two browsers: every handshake message decodes, every
//! signature and both Finished verify, and the payload decrypts to what one browser's own log says it was.

use std::collections::BTreeMap;

use bytes::BytesMut;
use peerline_wire::{Reader, Writer};

use crate::config::Role;
use crate::connection_ids::ConnectionIds;
use crate::dtls12::key_schedule::{KeySchedule, Randoms, Sender, Suite};
use crate::error::ExportError;
use crate::record_layer::{Discard, RecordLayer};
use crate::spki::PublicKey;
use crate::wire::connection_id::ConnectionId;
use crate::wire::extension::ExtensionType;
use crate::wire::handshake::{
    Certificate, CertificateVerify, ClientHello, Fragment, HandshakeType, ServerHello, ServerKeyExchange,
};
use crate::wire::record::{ContentType, Record};
use crate::wire::{CipherSuite, NamedGroup};

/// A text of lines: a keyword and hexadecimal digits.
fn vector(text: &str, keyword: &str) -> Vec<Vec<u8>> {
    let lines = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter(|(key, _)| *key == keyword);
    lines.map(|(_, hex)| unhex(hex)).collect()
}

pub(crate) fn unhex(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.trim().chars().map(|c| c.to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

type Messages = BTreeMap<u16, (HandshakeType, Vec<u8>)>;

/// One session of several in a text.
pub(crate) fn session<'a>(text: &'a str, name: &str) -> &'a str {
    let mut sessions = text.split("session ").skip(1);
    sessions
        .find_map(|session| session.strip_prefix(name))
        .expect("it is in there")
}

/// One side's plaintext handshake messages by `message_seq`, and its protected records.
fn read(datagrams: Vec<Vec<u8>>) -> (Messages, Vec<Record>) {
    read_identified(datagrams, 0)
}

/// The same with connection IDs of that length.
fn read_identified(datagrams: Vec<Vec<u8>>, connection_id_len: usize) -> (Messages, Vec<Record>) {
    let (mut messages, mut protected) = (BTreeMap::new(), Vec::new());
    for datagram in datagrams {
        let mut datagram = BytesMut::from(&datagram[..]);
        while !datagram.is_empty() {
            let record = Record::split_off_with(&mut datagram, connection_id_len).unwrap();
            match (record.header.epoch, record.header.content_type) {
                (0, ContentType::HANDSHAKE) => {
                    let mut r = Reader::new(&record.payload);
                    while !r.is_empty() {
                        let fragment = Fragment::decode(&mut r).unwrap();
                        let length = fragment.header.length as usize;
                        let entry = messages
                            .entry(fragment.header.message_seq)
                            .or_insert_with(|| (fragment.header.kind, vec![0; length]));
                        let start = fragment.header.fragment_offset as usize;
                        entry.1[start..start + fragment.body.len()].copy_from_slice(fragment.body);
                    }
                }
                (0, content_type) => assert_eq!(content_type, ContentType::CHANGE_CIPHER_SPEC),
                _ => protected.push(record),
            }
        }
    }
    (messages, protected)
}

fn whole(kind: HandshakeType, message_seq: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    Fragment::whole(kind, message_seq, body).encode(&mut Writer::new(&mut bytes));
    bytes
}

#[test]
fn a_session_between_two_browsers_can_be_followed() {
    let text = include_str!("../tests/vectors/chromium-client-firefox-server.txt");
    let provider = rustls::crypto::ring::default_provider();
    let (client, client_records) = read(vector(text, "client"));
    let (server, server_records) = read(vector(text, "server"));
    let kinds = |messages: &Messages| messages.values().map(|m| m.0).collect::<Vec<_>>();
    assert_eq!(
        kinds(&client),
        [
            HandshakeType::CLIENT_HELLO,
            HandshakeType::CERTIFICATE,
            HandshakeType::CLIENT_KEY_EXCHANGE,
            HandshakeType::CERTIFICATE_VERIFY
        ]
    );
    assert_eq!(
        kinds(&server),
        [
            HandshakeType::SERVER_HELLO,
            HandshakeType::CERTIFICATE,
            HandshakeType::SERVER_KEY_EXCHANGE,
            HandshakeType::CERTIFICATE_REQUEST,
            HandshakeType::SERVER_HELLO_DONE
        ]
    );

    let client_hello = ClientHello::decode(&client[&0].1).unwrap();
    let server_hello = ServerHello::decode(&server[&0].1).unwrap();
    assert_eq!(
        server_hello.cipher_suite,
        CipherSuite::ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
    );
    let suite = Suite::find(&provider, server_hello.cipher_suite).unwrap();
    let randoms = Randoms {
        client: client_hello.random,
        server: server_hello.random,
    };

    let certificate_of = |body: &[u8]| Certificate::decode(body).unwrap().chain.remove(0);
    let exchange = ServerKeyExchange::decode(&server[&2].1).unwrap();
    assert_eq!(exchange.params.group, NamedGroup::X25519);
    let mut signed = [randoms.client, randoms.server].concat();
    exchange.params.encode(&mut Writer::new(&mut signed));
    let server_certificate = certificate_of(&server[&1].1);
    let server_key = PublicKey::of_certificate(&server_certificate).unwrap();
    assert_eq!(
        server_key.verify(&provider, exchange.signed.scheme, &signed, &exchange.signed.signature),
        Ok(())
    );

    // In the order of the flights: ClientHello, the server's five messages, the client's other three.
    let order = client.iter().take(1).chain(&server).chain(client.iter().skip(1));
    let mut transcript = Vec::new();
    let mut before_verify = Vec::new();
    for (seq, (kind, body)) in order {
        before_verify.clone_from(&transcript);
        transcript.extend(whole(*kind, *seq, body));
    }
    let verify = CertificateVerify::decode(&client[&3].1).unwrap().signed;
    assert_eq!(
        PublicKey::of_certificate(&certificate_of(&client[&1].1))
            .unwrap()
            .verify(&provider, verify.scheme, &before_verify, &verify.signature),
        Ok(())
    );

    let secret = vector(text, "master_secret")[0].as_slice().try_into().unwrap();
    let keys = KeySchedule::from_key_log(suite, randoms, secret);
    for (role, sender, records, finished_seq) in [
        (Role::Server, Sender::Client, client_records, 4),
        (Role::Client, Sender::Server, server_records, 5),
    ] {
        let (write, read) = keys.ciphers(role).unwrap();
        let mut layer = RecordLayer::default();
        layer.set_keys(write, read);
        assert_eq!(
            layer.open(records[1].clone()).map(|(_, payload)| payload.is_empty()),
            Ok(false)
        );
        assert_eq!(layer.open(records[1].clone()), Err(Discard::Replayed));
        let (_, finished) = layer.open(records[0].clone()).unwrap();
        let verify_data = keys.verify_data(sender, &transcript);
        assert_eq!(
            &finished[..],
            whole(HandshakeType::FINISHED, finished_seq, &verify_data)
        );
        transcript.extend_from_slice(&finished);

        let name = if role == Role::Server {
            "client_plaintext"
        } else {
            "server_plaintext"
        };
        let expected = vector(text, name);
        assert_eq!(expected.len(), 4);
        let mut layer = RecordLayer::default();
        let (write, read) = keys.ciphers(role).unwrap();
        layer.set_keys(write, read);
        // Every record of the session.
        let name = if role == Role::Server {
            "client_sha256"
        } else {
            "server_sha256"
        };
        let hashes = vector(text, name);
        let data = records[1..]
            .iter()
            .filter(|record| record.header.content_type == ContentType::APPLICATION_DATA);
        assert_eq!(data.clone().count(), hashes.len());
        let mut whole = RecordLayer::default();
        let (write, read) = keys.ciphers(role).unwrap();
        whole.set_keys(write, read);
        for (number, (record, hash)) in data.zip(hashes).enumerate() {
            let (_, plaintext) = whole.open(record.clone()).unwrap();
            let digest = ring::digest::digest(&ring::digest::SHA256, &plaintext);
            assert_eq!(digest.as_ref(), hash, "{name} {number}");
        }
        for (record, mut expected) in records[1..].iter().zip(expected) {
            let (_, plaintext) = layer.open(record.clone()).unwrap();
            // An SCTP packet. The log was taken before the checksum was put in.
            expected[8..12].copy_from_slice(&plaintext[8..12]);
            assert_eq!(plaintext, expected);
        }
    }
}

/// The connection IDs that the client and the server want to be known by.
pub(crate) fn asked_for(client_hello: &ClientHello, server_hello: &ServerHello) -> [Vec<u8>; 2] {
    let extensions = [
        client_hello.extension(ExtensionType::CONNECTION_ID),
        server_hello.extension(ExtensionType::CONNECTION_ID),
    ];
    extensions.map(|extension| ConnectionId::decode(extension.unwrap()).unwrap().as_bytes().to_vec())
}

#[test]
fn sessions_with_connection_ids_of_another_stack_can_be_followed() {
    let text = include_str!("../tests/vectors/wolfssl-connection-ids.txt");
    let provider = rustls::crypto::ring::default_provider();
    for (name, client_id, server_id, said) in [
        (
            "dtls12 wolfssl-server",
            "ourid",
            "wolfcid",
            ["hello from peerline\n", "I hear you fa shizzle!"],
        ),
        (
            "dtls12 wolfssl-client",
            "wolfcid",
            "ourid",
            ["hello wolfssl!", "hello wolfssl!"],
        ),
    ] {
        let session = session(text, name);
        // Each side writes the ID that the other has asked for.
        let (mut client, client_records) = read_identified(vector(session, "client"), server_id.len());
        let (mut server, server_records) = read_identified(vector(session, "server"), client_id.len());
        // RFC 6347 §4.2.1: neither the HelloVerifyRequest nor what it answers is part of the transcript.
        if server[&0].0 == HandshakeType::HELLO_VERIFY_REQUEST {
            server.pop_first();
            client.pop_first();
        }
        let client_hello = ClientHello::decode(&client.first_key_value().unwrap().1.1).unwrap();
        let server_hello = ServerHello::decode(&server.first_key_value().unwrap().1.1).unwrap();
        assert_eq!(
            asked_for(&client_hello, &server_hello),
            [client_id, server_id].map(str::as_bytes)
        );
        let order = client.iter().take(1).chain(&server).chain(client.iter().skip(1));
        let mut transcript: Vec<_> = order.flat_map(|(seq, (kind, body))| whole(*kind, *seq, body)).collect();

        let suite = Suite::find(&provider, server_hello.cipher_suite).unwrap();
        let randoms = Randoms {
            client: client_hello.random,
            server: server_hello.random,
        };
        let secret = vector(session, "master_secret")[0].as_slice().try_into().unwrap();
        let keys = KeySchedule::from_key_log(suite, randoms, secret);
        for (reader, sender, id, messages, records, said) in [
            (
                Role::Server,
                Sender::Client,
                server_id,
                &client,
                client_records,
                said[0],
            ),
            (
                Role::Client,
                Sender::Server,
                client_id,
                &server,
                server_records,
                said[1],
            ),
        ] {
            let mut layer = RecordLayer::default();
            let (write, read) = keys.ciphers(reader).unwrap();
            layer.set_keys(write, read);
            assert_eq!(
                layer.open(records[0].clone()),
                Err(Discard::Misaddressed),
                "none was negotiated"
            );
            layer.connection_ids = Some(Box::new(ConnectionIds::from_key_log(id.as_bytes())));
            let opened: Vec<_> = records.into_iter().map(|record| layer.open(record).unwrap()).collect();

            let finished_seq = messages.last_key_value().unwrap().0 + 1;
            let finished = whole(
                HandshakeType::FINISHED,
                finished_seq,
                &keys.verify_data(sender, &transcript),
            );
            assert_eq!((opened[0].0, &opened[0].1[..]), (ContentType::HANDSHAKE, &finished[..]));
            transcript.extend(finished);
            assert_eq!(
                (opened[1].0, &opened[1].1[..]),
                (ContentType::APPLICATION_DATA, said.as_bytes())
            );
            let rest = &opened[2..];
            assert!(
                rest.iter()
                    .all(|(kind, alert)| *kind == ContentType::ALERT && alert[1] == 0),
                "close_notify"
            );
        }
    }
}

/// Of a session with `openssl s_server -dtls1_2 -cipher ECDHE-ECDSA-AES256-GCM-SHA384 -keymatexport EXTRACTOR-dtls_srtp
/// -keymatexportlen 60 -keylogfile …`, OpenSSL 3.0: what it printed. The values with a context were computed with Python's
/// `hmac` from the same secrets, since `s_server` exports without one.
#[test]
fn exported_keys_are_those_that_openssl_exports() {
    let provider = rustls::crypto::ring::default_provider();
    let suite = Suite::find(&provider, CipherSuite::ECDHE_ECDSA_WITH_AES_256_GCM_SHA384).unwrap();
    let array = |hex| <[u8; 32]>::try_from(unhex(hex)).unwrap();
    let randoms = Randoms {
        client: array("ca1089ad02d1371432c5bac120d0cf07fd029046ac1b4215133d4ecaf78e1c2a"),
        server: array("905b7793a6d198dd92f0077912129d7d2b53d931f5c3dc4fbd482f2f69c673ed"),
    };
    let secret =
        unhex("e4127eb7fe959a83b21fd5decb3dfbd71d6b8445e927d587f3f66e807aea6301d1f511bb5a6a391ff1318cfec5930bf4");
    let keys = KeySchedule::from_key_log(suite, randoms, secret.try_into().unwrap());
    let export = |label: &[u8], context: Option<&[u8]>, len| {
        let mut out = vec![0; len];
        keys.export(label, context, &mut out).map(|()| out)
    };
    let expected = "5C65065772E9C7EE3CFE913DA5CB3F4903B7A47BB8E782B3D7A441145A645D11FB66F7E3438B9A49ABF49E2FAFE4F35DF8\
                    09C325B0B8E5EC022C7B53";
    assert_eq!(export(b"EXTRACTOR-dtls_srtp", None, 60), Ok(unhex(expected)));
    let label = b"EXPERIMENTAL label";
    assert_eq!(
        export(label, Some(b"abc"), 20),
        Ok(unhex("6c2aeed5f522f0524236f64100c6a564f28efe06"))
    );
    assert_eq!(
        export(label, Some(b""), 20),
        Ok(unhex("d8613cdd53a1c286f54b9a5c5f56ded41b374111"))
    );
    assert_ne!(
        export(label, None, 20),
        export(label, Some(b""), 20),
        "no context is not an empty one"
    );
    assert_eq!(export(b"master secret", None, 20), Err(ExportError::ReservedLabel));
    assert_eq!(export(label, Some(&[0; 65_536]), 20), Err(ExportError::ContextTooLong));
}

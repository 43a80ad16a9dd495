//! Hellos of DTLS 1.2 that cannot be accepted, and messages that come out of order.

mod common;

use std::time::Duration;

use common::attacked::{closed, datagrams_of, feed, only_alert, server_with_flight};
use common::plaintext::{self, fragment, message};
use common::{configs, pair};
use peerline_dtls::wire::alert::{Alert, AlertDescription};
use peerline_dtls::wire::extension::{Extension, ExtensionType};
use peerline_dtls::wire::handshake::{ClientHello, CompressionMethod, HandshakeType, HelloVerifyRequest, ServerHello};
use peerline_dtls::{
    CipherSuite, CloseReason, Connection, Event, Fault, NamedGroup, ProtocolVersion, Role, SrtpProfile,
};
use peerline_sim::epoch;
use peerline_wire::Writer;

fn client_hello() -> ClientHello {
    let [client, _] = configs();
    let mut client = Connection::new(client, Role::Client);
    let datagrams = datagrams_of(&mut client, epoch());
    ClientHello::decode(&plaintext::messages(&datagrams[0])[0].1).unwrap()
}

fn set_extension(extensions: &mut Vec<Extension>, extension_type: ExtensionType, data: &[u8]) {
    extensions.retain(|e| e.extension_type != extension_type);
    extensions.push(Extension {
        extension_type,
        data: data.to_vec(),
    });
}

#[test]
fn client_hellos_that_cannot_be_accepted() {
    use ExtensionType as E;
    type Change = fn(&mut ClientHello);
    let cases: [(Change, Fault, AlertDescription); 13] = [
        (
            |h| h.version = ProtocolVersion::DTLS_1_0,
            Fault::NoCommonVersion,
            AlertDescription::PROTOCOL_VERSION,
        ),
        (
            |h| h.version = ProtocolVersion(0x0303),
            Fault::NoCommonVersion,
            AlertDescription::PROTOCOL_VERSION,
        ),
        (
            |h| h.cipher_suites = vec![CipherSuite(0x1301), CipherSuite(0x002f)],
            Fault::NoCommonCipherSuite,
            AlertDescription::HANDSHAKE_FAILURE,
        ),
        (
            |h| h.cipher_suites = vec![CipherSuite::ECDHE_RSA_WITH_AES_128_GCM_SHA256],
            Fault::NoCommonCipherSuite,
            AlertDescription::HANDSHAKE_FAILURE,
        ),
        (
            |h| h.compression_methods = vec![CompressionMethod(1)],
            Fault::IllegalParameter,
            AlertDescription::ILLEGAL_PARAMETER,
        ),
        (
            |h| h.extensions.push(Extension::renegotiation_info()),
            Fault::IllegalParameter,
            AlertDescription::ILLEGAL_PARAMETER,
        ),
        (
            |h| set_extension(&mut h.extensions, E::RENEGOTIATION_INFO, &[1, 7]),
            Fault::RenegotiationMismatch,
            AlertDescription::HANDSHAKE_FAILURE,
        ),
        (
            |h| set_extension(&mut h.extensions, E::EXTENDED_MASTER_SECRET, &[0]),
            Fault::IllegalParameter,
            AlertDescription::ILLEGAL_PARAMETER,
        ),
        (
            |h| set_extension(&mut h.extensions, E::EC_POINT_FORMATS, &[1, 1]),
            Fault::IllegalParameter,
            AlertDescription::ILLEGAL_PARAMETER,
        ),
        (
            |h| set_extension(&mut h.extensions, E::SUPPORTED_GROUPS, &[0, 2, 0x11, 0xec]),
            Fault::NoCommonGroup,
            AlertDescription::HANDSHAKE_FAILURE,
        ),
        (
            |h| set_extension(&mut h.extensions, E::SIGNATURE_ALGORITHMS, &[0, 2, 0x02, 0x03]),
            Fault::NoCommonSignatureScheme,
            AlertDescription::HANDSHAKE_FAILURE,
        ),
        (
            |h| h.extensions.retain(|e| e.extension_type != E::SIGNATURE_ALGORITHMS),
            Fault::NoCommonSignatureScheme,
            AlertDescription::HANDSHAKE_FAILURE,
        ),
        (
            |h| set_extension(&mut h.extensions, E::USE_SRTP, &[0, 2, 0]),
            Fault::Malformed(peerline_dtls::wire::ParseError::Truncated),
            AlertDescription::DECODE_ERROR,
        ),
    ];
    for (i, (change, fault, alert)) in cases.into_iter().enumerate() {
        let [_, server] = configs();
        let mut server = Connection::new(server, Role::Server);
        let mut hello = client_hello();
        change(&mut hello);
        feed(
            &mut server,
            &message(HandshakeType::CLIENT_HELLO, 0, |w| hello.encode(w)),
        );
        assert_eq!(server.poll_event(), closed(fault), "case {i}");
        assert_eq!(only_alert(&mut server), Alert::fatal(alert), "case {i}");
        assert_eq!(CloseReason::Failed(fault).sent_alert(), Some(alert));
    }
}

#[test]
fn what_is_no_client_hello_leaves_a_server_waiting_for_one() {
    let [client, server] = configs();
    let mut client = Connection::new(client, Role::Client);
    let mut server = Connection::new(server, Role::Server);
    let hello = client_hello();
    let mut body = Vec::new();
    hello.encode(&mut Writer::new(&mut body));
    for len in 0..body.len() {
        // Cut where the extensions would begin, it is a whole ClientHello without any.
        if ClientHello::decode(&body[..len]).is_err() {
            feed(
                &mut server,
                &fragment(HandshakeType::CLIENT_HELLO, 0, len as u32, 0, &body[..len]),
            );
        }
    }
    for kind in (0..=30).filter(|kind| *kind != HandshakeType::CLIENT_HELLO.0) {
        feed(
            &mut server,
            &fragment(HandshakeType(kind), 0, body.len() as u32, 0, &body),
        );
    }
    assert_eq!(server.poll_event(), None);
    assert_eq!(datagrams_of(&mut server, epoch()), [[0u8; 0]; 0]);
    datagrams_of(&mut client, epoch())
        .iter()
        .for_each(|datagram| feed(&mut server, datagram));
    assert_eq!(datagrams_of(&mut server, epoch()).len(), 1);
}

#[test]
fn server_hellos_that_cannot_be_accepted() {
    use ExtensionType as E;
    type Change = fn(&mut ServerHello);
    let cases: [(Change, Fault); 12] = [
        (|h| h.version = ProtocolVersion::DTLS_1_0, Fault::NoCommonVersion),
        (|h| h.version = ProtocolVersion::DTLS_1_3, Fault::NoCommonVersion),
        (|h| h.cipher_suite = CipherSuite(0x1301), Fault::IllegalParameter),
        (
            |h| h.cipher_suite = CipherSuite::EMPTY_RENEGOTIATION_INFO_SCSV,
            Fault::IllegalParameter,
        ),
        (|h| h.compression_method = CompressionMethod(1), Fault::IllegalParameter),
        (
            |h| h.extensions.push(Extension::renegotiation_info()),
            Fault::IllegalParameter,
        ),
        (
            |h| set_extension(&mut h.extensions, E::KEY_SHARE, &[]),
            Fault::UnofferedExtension,
        ),
        (
            |h| set_extension(&mut h.extensions, E::RENEGOTIATION_INFO, &[1, 7]),
            Fault::RenegotiationMismatch,
        ),
        (
            |h| set_extension(&mut h.extensions, E::EC_POINT_FORMATS, &[1, 1]),
            Fault::IllegalParameter,
        ),
        (
            |h| set_extension(&mut h.extensions, E::USE_SRTP, &[0, 4, 0, 1, 0, 7, 0]),
            Fault::IllegalParameter,
        ),
        (
            |h| set_extension(&mut h.extensions, E::USE_SRTP, &[0, 2, 0, 5, 0]),
            Fault::IllegalParameter,
        ),
        (
            |h| set_extension(&mut h.extensions, E::USE_SRTP, &[0, 2, 0, 1, 1, 9]),
            Fault::IllegalParameter,
        ),
    ];
    let genuine = ServerHello {
        version: ProtocolVersion::DTLS_1_2,
        random: [3; 32],
        session_id: vec![5; 32],
        cipher_suite: CipherSuite::ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        compression_method: CompressionMethod::NULL,
        extensions: vec![
            Extension::renegotiation_info(),
            Extension::use_srtp(&[SrtpProfile::AEAD_AES_128_GCM]),
        ],
    };
    let answer = |hello: &ServerHello| {
        let [client, _] = configs();
        let mut client = Connection::new(client, Role::Client);
        datagrams_of(&mut client, epoch());
        feed(
            &mut client,
            &message(HandshakeType::SERVER_HELLO, 0, |w| hello.encode(w)),
        );
        client.poll_event()
    };
    assert_eq!(answer(&genuine), None);
    for (i, (change, fault)) in cases.into_iter().enumerate() {
        let mut hello = genuine.clone();
        change(&mut hello);
        assert_eq!(answer(&hello), closed(fault), "case {i}");
    }
}

#[test]
fn a_server_that_picks_a_group_that_was_not_offered_is_refused() {
    let [mut client, mut server] = configs();
    client.groups = vec![NamedGroup::SECP256R1];
    server.groups = vec![NamedGroup::X25519];
    let mut pair = pair([client, server]);
    pair.run_for(Duration::from_secs(2));
    assert_eq!(
        pair.take_events_b(),
        [Event::Closed(CloseReason::Failed(Fault::NoCommonGroup))]
    );
}

#[test]
fn hello_verify_requests_do_not_go_on_for_ever() {
    let [client, _] = configs();
    let mut client = Connection::new(client, Role::Client);
    for message_seq in 0..4 {
        assert_eq!(client.poll_event(), None);
        assert_eq!(datagrams_of(&mut client, epoch()).len(), 1, "a ClientHello");
        let request = HelloVerifyRequest {
            version: ProtocolVersion::DTLS_1_0,
            cookie: vec![message_seq as u8; 255],
        };
        feed(
            &mut client,
            &message(HandshakeType::HELLO_VERIFY_REQUEST, message_seq, |w| request.encode(w)),
        );
    }
    assert_eq!(client.poll_event(), closed(Fault::UnexpectedMessage));
}

#[test]
fn messages_out_of_order_are_refused() {
    // Right number, wrong kind: at each point of the client's and the server's handshake.
    let (_, flight) = server_with_flight();
    let messages = plaintext::messages(&flight[0]);
    for (wrong, (_, body)) in messages.iter().enumerate().skip(1) {
        let [client, _] = configs();
        let mut client = Connection::new(client, Role::Client);
        datagrams_of(&mut client, epoch());
        feed(&mut client, &message(messages[wrong].0, 0, |w| w.bytes(body)));
        assert_eq!(client.poll_event(), closed(Fault::UnexpectedMessage));
        assert_eq!(
            only_alert(&mut client),
            Alert::fatal(AlertDescription::UNEXPECTED_MESSAGE)
        );
    }
    let (mut server, _) = server_with_flight();
    feed(
        &mut server,
        &message(HandshakeType::CERTIFICATE_VERIFY, 1, |w| w.zeros(4)),
    );
    assert_eq!(server.poll_event(), closed(Fault::UnexpectedMessage));
}

//! Handshake messages that are wrong, under the keys they belong to: each is answered by the alert that the RFCs name, and who sent it
//! hears of it.

use std::time::Duration;

use super::*;
use crate::certificate::HashAlgorithm;
use crate::error::Fault;
use crate::wire::ParseError;
use crate::wire::handshake::HandshakeType as H;
use peerline_sim::epoch;

type Change = fn(&mut Vec<u8>);

/// A client and a server, and what each trusts.
fn pair(version: ProtocolVersion) -> [Connection; 2] {
    let provider = rustls::crypto::ring::default_provider();
    let made = || Arc::new(Certificate::generate(&provider, std::time::SystemTime::UNIX_EPOCH).expect("randomness"));
    let certificates = [made(), made()];
    let config = |own: usize| {
        let mut config = Config::new(Arc::clone(&certificates[own]));
        (config.min_version, config.max_version) = (version, version);
        config.remote_fingerprints = vec![certificates[1 - own].fingerprint(HashAlgorithm::Sha256)];
        config
    };
    [
        Connection::new(config(0), Role::Client),
        Connection::new(config(1), Role::Server),
    ]
}

fn exchange(from: &mut Connection, to: &mut Connection) {
    let mut datagram = Vec::new();
    while from.poll_transmit(epoch(), &mut datagram).is_some() {
        to.handle_datagram(epoch(), std::mem::take(&mut datagram)[..].into());
    }
}

/// Lets one side send a message otherwise than it meant to. Returns why the other side closed, and what the first heard.
fn changed(version: ProtocolVersion, sender: Role, kind: H, change: Change) -> (Option<Event>, Option<Event>) {
    let [mut client, mut server] = pair(version);
    exchange(&mut client, &mut server);
    let (from, to) = match sender {
        Role::Server => (&mut server, &mut client),
        Role::Client => {
            exchange(&mut server, &mut client);
            (&mut client, &mut server)
        }
    };
    let body = from.cx.flight.body_mut(kind);
    change(body);
    // Whoever gets a certificate that is not what it was trusts it all the same, so that the next fault shows.
    if kind == H::CERTIFICATE {
        let der = match version {
            ProtocolVersion::DTLS_1_2 => body.get(6..),
            _ => body.get(7..body.len().max(2) - 2),
        };
        let fingerprint = Fingerprint::of(der.unwrap_or_default(), HashAlgorithm::Sha256);
        to.cx.config.remote_fingerprints.push(fingerprint);
    }
    exchange(from, to);
    let closed = std::iter::from_fn(|| to.poll_event()).last();
    exchange(to, from);
    // An alert in plaintext counts when nothing follows it.
    from.handle_timeout(epoch() + Duration::from_secs(2));
    (closed, std::iter::from_fn(|| from.poll_event()).last())
}

fn cut(body: &mut Vec<u8>) {
    body.pop();
}

fn too_long(body: &mut Vec<u8>) {
    body.push(0);
}

const V12: ProtocolVersion = ProtocolVersion::DTLS_1_2;
const V13: ProtocolVersion = ProtocolVersion::DTLS_1_3;

#[test]
fn messages_that_cannot_be_decoded_are_answered_by_decode_error() {
    for (version, sender, kinds) in [
        (
            V12,
            Role::Server,
            &[
                H::SERVER_HELLO,
                H::CERTIFICATE,
                H::SERVER_KEY_EXCHANGE,
                H::CERTIFICATE_REQUEST,
                H::SERVER_HELLO_DONE,
            ][..],
        ),
        (
            V12,
            Role::Client,
            &[
                H::CERTIFICATE,
                H::CLIENT_KEY_EXCHANGE,
                H::CERTIFICATE_VERIFY,
                H::FINISHED,
            ],
        ),
        (
            V13,
            Role::Server,
            &[
                H::SERVER_HELLO,
                H::ENCRYPTED_EXTENSIONS,
                H::CERTIFICATE_REQUEST,
                H::CERTIFICATE,
                H::CERTIFICATE_VERIFY,
                H::FINISHED,
            ],
        ),
        (V13, Role::Client, &[H::CERTIFICATE, H::CERTIFICATE_VERIFY, H::FINISHED]),
    ] {
        for kind in kinds {
            // A ServerHelloDone is empty.
            let shorter = (*kind != H::SERVER_HELLO_DONE).then_some(cut as Change);
            for change in shorter.into_iter().chain([too_long as Change]) {
                let (closed, heard) = changed(version, sender, *kind, change);
                let what = format!("{version:?} {kind:?}: {closed:?}");
                let Some(Event::Closed(reason @ CloseReason::Failed(Fault::Malformed(_)))) = closed else {
                    panic!("{what}");
                };
                assert_eq!(reason.sent_alert(), Some(AlertDescription::DECODE_ERROR), "{what}");
                let told = CloseReason::PeerAlert(AlertDescription::DECODE_ERROR);
                assert_eq!(heard, Some(Event::Closed(told)), "{what}");
            }
        }
    }
}

/// Certificates, signatures and Finished that prove nothing, and what has no place, in both versions and from either side.
#[test]
fn what_proves_nothing_is_refused_with_the_alert_that_says_why() {
    let spoil: Change = |body| *body.last_mut().expect("it is not empty") ^= 1;
    // "id-ecPublicKey" becomes another.
    let other_key: Change = |body| {
        let id = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
        let at = body.windows(id.len()).position(|part| part == id).expect("a key");
        body[at + id.len() - 1] = 0x7f;
    };
    let no_der: Change = |body| body.iter_mut().skip(7).take(4).for_each(|byte| *byte = 0xff);
    let none12: Change = |body| *body = vec![0; 3];
    let none13: Change = |body| *body = vec![0; 4];
    let unasked: Change = |body| {
        body[1] += 4;
        body.extend([0xab, 0xcd, 0, 0]);
    };
    let in_context: Change = |body| *body = [&[1, 7], &body[1..]].concat();
    let (client, server) = (Role::Client, Role::Server);
    for (version, sender, kind, change, fault, alert) in [
        (V12, client, H::CERTIFICATE_VERIFY, spoil, Fault::BadSignature, 51),
        (V12, server, H::SERVER_KEY_EXCHANGE, spoil, Fault::BadSignature, 51),
        (V13, client, H::CERTIFICATE_VERIFY, spoil, Fault::BadSignature, 51),
        (V13, server, H::CERTIFICATE_VERIFY, spoil, Fault::BadSignature, 51),
        (V12, client, H::FINISHED, spoil, Fault::BadFinished, 51),
        (V13, client, H::FINISHED, spoil, Fault::BadFinished, 51),
        (V13, server, H::FINISHED, spoil, Fault::BadFinished, 51),
        (
            V12,
            client,
            H::CERTIFICATE,
            other_key,
            Fault::CertificateUnsupported,
            43,
        ),
        (
            V12,
            server,
            H::CERTIFICATE,
            other_key,
            Fault::CertificateUnsupported,
            43,
        ),
        (
            V13,
            client,
            H::CERTIFICATE,
            other_key,
            Fault::CertificateUnsupported,
            43,
        ),
        (
            V13,
            server,
            H::CERTIFICATE,
            other_key,
            Fault::CertificateUnsupported,
            43,
        ),
        (V12, client, H::CERTIFICATE, no_der, Fault::CertificateUnreadable, 42),
        (V12, server, H::CERTIFICATE, no_der, Fault::CertificateUnreadable, 42),
        (V13, client, H::CERTIFICATE, no_der, Fault::CertificateUnreadable, 42),
        (V13, server, H::CERTIFICATE, no_der, Fault::CertificateUnreadable, 42),
        (V12, client, H::CERTIFICATE, none12, Fault::CertificateMissing, 40),
        (V12, server, H::CERTIFICATE, none12, Fault::CertificateMissing, 40),
        (
            V13,
            client,
            H::CERTIFICATE,
            none13,
            Fault::ClientCertificateMissing,
            116,
        ),
        (
            V13,
            server,
            H::CERTIFICATE,
            none13,
            Fault::Malformed(ParseError::BadLength),
            50,
        ),
        (V13, server, H::CERTIFICATE, in_context, Fault::IllegalParameter, 47),
        (
            V13,
            server,
            H::ENCRYPTED_EXTENSIONS,
            unasked,
            Fault::UnofferedExtension,
            110,
        ),
    ] {
        let what = format!("{version:?} {sender:?} {kind:?}, {fault}");
        let (closed, heard) = changed(version, sender, kind, change);
        let reason = CloseReason::Failed(fault);
        assert_eq!(closed, Some(Event::Closed(reason)), "{what}");
        assert_eq!(reason.sent_alert(), Some(AlertDescription(alert)), "{what}");
        let told = CloseReason::PeerAlert(AlertDescription(alert));
        assert_eq!(heard, Some(Event::Closed(told)), "{what}");
    }
}

//! What takes a peer that breaks the rules of DTLS 1.3 under the keys of the connection.

use super::*;
use crate::certificate::HashAlgorithm;
use crate::error::Fault;
use crate::wire::handshake::{Fragment, HandshakeType};
use peerline_sim::epoch;

/// Both are connected; the server's acknowledgement of the client's last flight has not left.
fn connected() -> [Connection; 2] {
    connected_with([None, None])
}

/// The same, with a connection ID for each.
fn connected_with(ids: [Option<ConnectionId>; 2]) -> [Connection; 2] {
    let provider = rustls::crypto::ring::default_provider();
    let certificate = Certificate::generate(&provider, std::time::SystemTime::UNIX_EPOCH).expect("randomness");
    let certificate = Arc::new(certificate);
    let [client, server] = ids.map(|connection_id| Config {
        connection_id,
        remote_fingerprints: vec![certificate.fingerprint(HashAlgorithm::Sha256)],
        ..Config::new(Arc::clone(&certificate))
    });
    let mut client = Connection::new(client, Role::Client);
    let mut server = Connection::new(server, Role::Server);
    exchange(&mut client, &mut server);
    exchange(&mut server, &mut client);
    exchange(&mut client, &mut server);
    assert_eq!([client.poll_event(), server.poll_event()], [Some(Event::Connected); 2]);
    [client, server]
}

fn exchange(from: &mut Connection, to: &mut Connection) {
    let mut datagram = Vec::new();
    while from.poll_transmit(epoch(), &mut datagram).is_some() {
        to.handle_datagram(epoch(), std::mem::take(&mut datagram)[..].into());
    }
}

/// One record of any type, under the keys of any epoch.
fn send(from: &mut Connection, to: &mut Connection, epoch_of: Epoch, content_type: ContentType, payload: &[u8]) {
    let mut datagram = Vec::new();
    let fill = |out: &mut Vec<u8>| {
        out.extend_from_slice(payload);
        Some(payload.len())
    };
    let sealed = from.cx.records.enclose(epoch_of, content_type, &mut datagram, fill);
    assert!(sealed.is_some(), "it has the keys");
    to.handle_datagram(epoch(), datagram[..].into());
}

fn acknowledge(from: &mut Connection, to: &mut Connection, record_numbers: Vec<RecordNumber>) {
    let mut payload = Vec::new();
    Ack { record_numbers }.encode(&mut Writer::new(&mut payload));
    send(from, to, Epoch::APPLICATION, ContentType::ACK, &payload);
}

fn key_update(message_seq: u16) -> Vec<u8> {
    handshake_message(HandshakeType::KEY_UPDATE, message_seq, &[0])
}

fn assert_they_talk(a: &mut Connection, b: &mut Connection) {
    for _ in 0..2 {
        let mut datagram = Vec::new();
        let fill = |out: &mut Vec<u8>| {
            out.extend_from_slice(b"hello");
            Some(5)
        };
        a.enclose(&mut datagram, fill).expect("connected");
        b.handle_datagram(epoch(), datagram[..].into());
        assert_eq!(b.recv().as_deref(), Some(&b"hello"[..]));
        std::mem::swap(a, b);
    }
}

#[test]
fn acknowledgements_of_records_never_sent_mean_nothing() {
    let [mut client, mut server] = connected();
    exchange(&mut server, &mut client);
    client.update_keys();
    exchange_nowhere(&mut client);
    let before = client.cx.write_epoch;
    for epoch in [0, 1, 2, 3, 4, 5, 1 << 16, u64::MAX] {
        for sequence_number in [7, 1000, 1 << 47, u64::MAX] {
            let number = RecordNumber { epoch, sequence_number };
            acknowledge(&mut server, &mut client, vec![number; 3]);
        }
    }
    // Half a number, and none.
    send(
        &mut server,
        &mut client,
        Epoch::APPLICATION,
        ContentType::ACK,
        &[0, 8, 1, 2],
    );
    send(&mut server, &mut client, Epoch::APPLICATION, ContentType::ACK, &[0, 0]);
    assert_eq!(client.cx.write_epoch, before, "the new keys wait for the peer");
    assert!(client.is_connected() && client.poll_event().is_none());
    assert_they_talk(&mut client, &mut server);
}

/// The flight leaves, and is lost.
fn exchange_nowhere(from: &mut Connection) {
    while from.poll_transmit(epoch(), &mut Vec::new()).is_some() {}
}

#[test]
fn what_belongs_to_another_epoch_is_dropped() {
    let [mut client, mut server] = connected();
    // The client still has the keys of the handshake, for its last flight; and the server, to read it again.
    let unexpected = server.stats().records_unexpected;
    send(
        &mut client,
        &mut server,
        Epoch::HANDSHAKE,
        ContentType::APPLICATION_DATA,
        b"early",
    );
    assert_eq!(server.recv(), None);
    assert_eq!(server.stats().records_unexpected, unexpected + 1);
    let next = client.cx.next_message_seq;
    send(
        &mut client,
        &mut server,
        Epoch::HANDSHAKE,
        ContentType::HANDSHAKE,
        &key_update(next),
    );
    assert_eq!(
        server.cx.records.epochs.as_ref().map(|epochs| epochs.read_epoch()),
        Some(Epoch::APPLICATION)
    );
    assert!(server.is_connected() && server.poll_event().is_none());
    exchange(&mut server, &mut client);
    assert_they_talk(&mut client, &mut server);
}

#[test]
fn records_without_content_and_of_unknown_types_are_dropped() {
    let [mut client, mut server] = connected();
    exchange(&mut server, &mut client);
    // Of the type 0, the byte is not content but the type, and the 0 is padding (RFC 8446 §5.4): a record without content.
    for inner in [20, 21, 22, 23, 24, 26, 27, 99, 255] {
        send(&mut client, &mut server, Epoch::APPLICATION, ContentType(0), &[inner]);
        if ContentType(inner) != ContentType::APPLICATION_DATA {
            send(
                &mut client,
                &mut server,
                Epoch::APPLICATION,
                ContentType(inner),
                b"\x01",
            );
        }
    }
    assert_eq!(server.recv(), None);
    assert!(server.is_connected() && server.poll_event().is_none());
    assert_they_talk(&mut client, &mut server);
}

fn handshake_message(kind: HandshakeType, message_seq: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    Fragment::whole(kind, message_seq, body).encode(&mut Writer::new(&mut bytes));
    bytes
}

/// After the handshake a message that is wrong, or has no place, ends the connection, and both sides know why.
#[test]
fn what_is_wrong_after_the_handshake_is_answered_by_an_alert() {
    for (kind, body, alert) in [
        (HandshakeType::KEY_UPDATE, &[2][..], AlertDescription::ILLEGAL_PARAMETER),
        (HandshakeType::KEY_UPDATE, &[], AlertDescription::DECODE_ERROR),
        (HandshakeType::KEY_UPDATE, &[0, 0], AlertDescription::DECODE_ERROR),
        (HandshakeType::FINISHED, &[7; 32], AlertDescription::UNEXPECTED_MESSAGE),
        (
            HandshakeType::CERTIFICATE_REQUEST,
            &[0; 3],
            AlertDescription::UNEXPECTED_MESSAGE,
        ),
        (
            HandshakeType::CLIENT_HELLO,
            &[0; 40],
            AlertDescription::UNEXPECTED_MESSAGE,
        ),
        // None are negotiated.
        (
            HandshakeType::NEW_CONNECTION_ID,
            &[0, 0, 1],
            AlertDescription::UNEXPECTED_MESSAGE,
        ),
        (
            HandshakeType::REQUEST_CONNECTION_ID,
            &[1],
            AlertDescription::UNEXPECTED_MESSAGE,
        ),
        (HandshakeType(99), &[], AlertDescription::UNEXPECTED_MESSAGE),
    ] {
        for from_client in [true, false] {
            let [mut client, mut server] = connected();
            exchange(&mut server, &mut client);
            let (from, to) = match from_client {
                true => (&mut client, &mut server),
                false => (&mut server, &mut client),
            };
            let message = handshake_message(kind, from.cx.next_message_seq, body);
            send(from, to, Epoch::APPLICATION, ContentType::HANDSHAKE, &message);
            let Some(Event::Closed(reason)) = to.poll_event() else {
                panic!("{kind:?} {body:?}");
            };
            assert_eq!(reason.sent_alert(), Some(alert), "{kind:?} {body:?}: {reason:?}");
            exchange(to, from);
            assert_eq!(
                from.poll_event(),
                Some(Event::Closed(CloseReason::PeerAlert(alert))),
                "{kind:?}"
            );
        }
    }
}

/// A server may hand out tickets (RFC 8446 §4.6.1), which are acknowledged and thrown away; a client may not.
#[test]
fn tickets_are_passed_over() {
    let ticket = [0, 0, 1, 0, 1, 2, 3, 4, 1, 9, 0, 2, 7, 7, 0, 0];
    let [mut client, mut server] = connected();
    exchange(&mut server, &mut client);
    for _ in 0..3 {
        let message = handshake_message(HandshakeType::NEW_SESSION_TICKET, server.cx.next_message_seq, &ticket);
        server.cx.next_message_seq += 1;
        send(
            &mut server,
            &mut client,
            Epoch::APPLICATION,
            ContentType::HANDSHAKE,
            &message,
        );
        let mut acknowledgement = Vec::new();
        assert!(client.poll_transmit(epoch(), &mut acknowledgement).is_some());
    }
    assert_eq!(client.poll_event(), None);
    assert_they_talk(&mut client, &mut server);

    let message = handshake_message(HandshakeType::NEW_SESSION_TICKET, client.cx.next_message_seq, &ticket);
    send(
        &mut client,
        &mut server,
        Epoch::APPLICATION,
        ContentType::HANDSHAKE,
        &message,
    );
    let refused = CloseReason::Failed(Fault::UnexpectedMessage);
    assert_eq!(
        std::iter::from_fn(|| server.poll_event()).last(),
        Some(Event::Closed(refused))
    );
}

/// RFC 8446 §4.6.3: whoever is asked to update its keys does so before it sends anything else.
#[test]
fn keys_are_updated_where_the_peer_asks_for_it() {
    for by_client in [true, false] {
        let [mut asks, mut is_asked] = connected();
        exchange(&mut is_asked, &mut asks);
        if !by_client {
            std::mem::swap(&mut asks, &mut is_asked);
        }
        let message = handshake_message(HandshakeType::KEY_UPDATE, asks.cx.next_message_seq, &[1]);
        asks.cx.next_message_seq += 1;
        send(
            &mut asks,
            &mut is_asked,
            Epoch::APPLICATION,
            ContentType::HANDSHAKE,
            &message,
        );
        let reads = |side: &Connection| side.cx.records.epochs.as_ref().map(|epochs| epochs.read_epoch());
        assert_eq!(
            reads(&is_asked),
            Some(Epoch::APPLICATION.next()),
            "it reads by new keys"
        );
        exchange(&mut is_asked, &mut asks);
        assert_eq!(reads(&asks), Some(Epoch::APPLICATION.next()), "and writes by new ones");
    }
}

/// RFC 9147 §9: "Endpoints MUST NOT send a RequestConnectionId message when an existing request is still unfulfilled; this implies that
/// endpoints needing to request multiple CIDs need to request them" at once. Alert 52 says so.
#[test]
fn a_peer_that_asks_for_connection_ids_again_and_again_is_told_that_it_is_too_many() {
    let id = |byte| Some(ConnectionId::new(&[byte; 8]).expect("it is short enough"));
    let [mut client, mut server] = connected_with([id(1), id(2)]);
    exchange(&mut server, &mut client);
    for _ in 0..2 {
        let message = handshake_message(HandshakeType::REQUEST_CONNECTION_ID, client.cx.next_message_seq, &[1]);
        client.cx.next_message_seq += 1;
        assert!(server.is_connected());
        send(
            &mut client,
            &mut server,
            Epoch::APPLICATION,
            ContentType::HANDSHAKE,
            &message,
        );
    }
    let events: Vec<_> = std::iter::from_fn(|| server.poll_event()).collect();
    let failed = CloseReason::Failed(Fault::TooManyConnectionIds);
    assert_eq!(events.last(), Some(&Event::Closed(failed)), "{events:?}");
    exchange(&mut server, &mut client);
    let told = CloseReason::PeerAlert(AlertDescription(52));
    assert_eq!(
        std::iter::from_fn(|| client.poll_event()).last(),
        Some(Event::Closed(told))
    );
}

//! Plaintext as anyone can send it: records and handshake messages, true or not.

use peerline_dtls::wire::handshake::{Fragment, HandshakeHeader, HandshakeType};
use peerline_dtls::wire::record::{ContentType, Record, RecordHeader};
use peerline_wire::{Reader, Writer};

/// A record of epoch 0.
pub(crate) fn record(content_type: ContentType, payload: &[u8]) -> Vec<u8> {
    record_in(0, content_type, payload)
}

/// A record that says it is of some epoch.
pub(crate) fn record_in(epoch: u16, content_type: ContentType, payload: &[u8]) -> Vec<u8> {
    let header = RecordHeader {
        content_type,
        version: peerline_dtls::ProtocolVersion::DTLS_1_2,
        epoch,
        sequence_number: 77,
        length: payload.len() as u16,
    };
    let mut out = Vec::new();
    header.encode(&mut Writer::new(&mut out));
    out.extend_from_slice(payload);
    out
}

/// A fragment of a handshake message in a record.
pub(crate) fn fragment(kind: HandshakeType, message_seq: u16, length: u32, offset: u32, body: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    let header = HandshakeHeader {
        kind,
        length,
        message_seq,
        fragment_offset: offset,
        fragment_length: body.len() as u32,
    };
    Fragment { header, body }.encode(&mut Writer::new(&mut payload));
    record(ContentType::HANDSHAKE, &payload)
}

/// A whole handshake message in a record.
pub(crate) fn message(kind: HandshakeType, message_seq: u16, encode: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut body = Vec::new();
    encode(&mut Writer::new(&mut body));
    fragment(kind, message_seq, body.len() as u32, 0, &body)
}

/// The records of a datagram.
pub(crate) fn records(datagram: &[u8]) -> Vec<Record> {
    let mut datagram = bytes::BytesMut::from(datagram);
    let mut records = Vec::new();
    while !datagram.is_empty() {
        records.push(Record::split_off(&mut datagram).expect("a record"));
    }
    records
}

/// The handshake messages of a datagram of plaintext in which none is cut.
pub(crate) fn messages(datagram: &[u8]) -> Vec<(HandshakeType, Vec<u8>)> {
    let mut messages = Vec::new();
    for record in records(datagram) {
        let fragment = Fragment::decode(&mut Reader::new(&record.payload)).expect("a fragment");
        messages.push((fragment.header.kind, fragment.body.to_vec()));
    }
    messages
}

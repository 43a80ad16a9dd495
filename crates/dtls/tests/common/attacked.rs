//! A side that is told what nobody who is honest would say, and what it makes of it.

use std::time::Instant;

use peerline_dtls::wire::alert::Alert;
use peerline_dtls::wire::record::ContentType;
use peerline_dtls::{CloseReason, Connection, Event, Fault, Role};
use peerline_sim::epoch;

use super::configs;
use super::plaintext::records;

pub(crate) fn datagrams_of(connection: &mut Connection, now: Instant) -> Vec<Vec<u8>> {
    let mut datagrams = Vec::new();
    let mut out = Vec::new();
    while connection.poll_transmit(now, &mut out).is_some() {
        datagrams.push(std::mem::take(&mut out));
    }
    datagrams
}

pub(crate) fn feed(connection: &mut Connection, datagram: &[u8]) {
    connection.handle_datagram(epoch(), datagram.into());
}

pub(crate) fn closed(reason: Fault) -> Option<Event> {
    Some(Event::Closed(CloseReason::Failed(reason)))
}

pub(crate) fn only_alert(connection: &mut Connection) -> Alert {
    let datagrams = datagrams_of(connection, epoch());
    assert_eq!(datagrams.len(), 1);
    let record = records(&datagrams[0]).remove(0);
    assert_eq!(record.header.content_type, ContentType::ALERT);
    Alert::decode(&record.payload).unwrap()
}

/// A server that has sent its flight, and that flight.
pub(crate) fn server_with_flight() -> (Connection, Vec<Vec<u8>>) {
    let [client, server] = configs();
    let mut client = Connection::new(client, Role::Client);
    let mut server = Connection::new(server, Role::Server);
    for datagram in datagrams_of(&mut client, epoch()) {
        feed(&mut server, &datagram);
    }
    let flight = datagrams_of(&mut server, epoch());
    (server, flight)
}

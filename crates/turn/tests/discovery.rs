//! NAT behaviour discovery (RFC 5780): which of its addresses the server answers from, and what it says of them.

mod common;

use bytes::BytesMut;
use common::*;
use peerline_sim::epoch;
use peerline_stun::attribute::{ChangeRequest, MappedAddress, OtherAddress, ResponseOrigin, XorMappedAddress};
use peerline_stun::{AttributeType, Class, Message, MessageBuilder, Method, TransactionId};
use peerline_turn::Server;
use peerline_turn::server::{Config, NatDiscovery, StaticUsers};
use peerline_wire::{Datagram, FiveTuple};
use std::time::SystemTime;

fn server() -> Server {
    let mut config = Config::new(REALM, (epoch(), SystemTime::UNIX_EPOCH));
    config.nat_discovery = Some(NatDiscovery {
        primary: addr("192.0.2.1:3478"),
        alternate: addr("192.0.2.2:3479"),
    });
    Server::new(config, StaticUsers::default())
}

fn ask(server: &mut Server, local: &str, change: Option<(bool, bool)>) -> (FiveTuple, Vec<u8>) {
    let five_tuple = FiveTuple::udp(addr(local), addr("198.51.100.7:5000"));
    let mut payload = Vec::new();
    let mut request = MessageBuilder::request(&mut payload, Method::BINDING, TransactionId([7; 12]));
    if let Some((change_ip, change_port)) = change {
        request.attribute(ChangeRequest { change_ip, change_port });
    }
    server.handle_datagram(
        epoch(),
        Datagram {
            five_tuple,
            ecn: None,
            payload: BytesMut::from(&payload[..]),
        },
    );
    let mut out = Vec::new();
    let sent = server.poll_transmit(epoch(), &mut out).expect("an answer");
    (sent.five_tuple, out)
}

/// Table 1 of RFC 5780 §6.1, for each address that a request can come to.
#[test]
fn a_response_comes_from_where_it_is_wished_and_names_the_other_address() {
    let mut server = server();
    let (ips, ports) = (["192.0.2.1", "192.0.2.2"], [3478, 3479]);
    for (ip, port) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let at = |ip: usize, port: usize| format!("{}:{}", ips[ip], ports[port]);
        for change in [
            None,
            Some((false, false)),
            Some((false, true)),
            Some((true, false)),
            Some((true, true)),
        ] {
            let (path, answer) = ask(&mut server, &at(ip, port), change);
            let (change_ip, change_port) = change.unwrap_or_default();
            let origin = addr(&at(ip ^ usize::from(change_ip), port ^ usize::from(change_port)));
            assert_eq!(path, FiveTuple::udp(origin, addr("198.51.100.7:5000")));
            let message = Message::parse(&answer).unwrap();
            assert_eq!(message.class(), Class::SuccessResponse);
            assert_eq!(message.get(), Ok(Some(ResponseOrigin(origin))));
            assert_eq!(message.get(), Ok(Some(OtherAddress(addr(&at(ip ^ 1, port ^ 1))))));
            assert_eq!(message.get(), Ok(Some(MappedAddress(path.remote))));
            assert_eq!(message.get(), Ok(Some(XorMappedAddress(path.remote))));
        }
    }
}

#[test]
fn an_address_of_neither_kind_offers_nothing() {
    let mut server = server();
    let (path, answer) = ask(&mut server, "192.0.2.9:3478", None);
    assert_eq!(path.local, addr("192.0.2.9:3478"));
    assert!(!Message::parse(&answer).unwrap().contains(AttributeType::OTHER_ADDRESS));
    let (path, answer) = ask(&mut server, "192.0.2.9:3478", Some((true, true)));
    assert_eq!(path.local, addr("192.0.2.9:3478"));
    assert_eq!(Message::parse(&answer).unwrap().class(), Class::ErrorResponse);
}

//! Who asks, and what is missing of its credentials; servers that send elsewhere.

use peerline_stun::attribute::{
    AlternateDomain, AlternateServer, ChangeRequest, ErrorCode, Nonce, PasswordAlgorithm, PasswordAlgorithms, Realm,
    RequestedTransport, Username, XorMappedAddress,
};
use peerline_stun::{AttributeType, Integrity, Key, Message, MessageBuilder, Method, TransactionId};
use peerline_turn::server::{self};
use peerline_wire::FiveTuple;

use crate::common::*;
use crate::{Form, Lab, Who, outcome};

#[test]
fn binding_requests_are_answered() {
    let mut lab = Lab::new(server_config(1));
    for (path, mapped) in [
        (path().reversed(), "198.51.100.7:5000"),
        (
            FiveTuple::udp(addr("[2001:db8::1]:3478"), addr("[2001:db8::2]:5000")),
            "[2001:db8::2]:5000",
        ),
        (tcp_path().reversed(), "198.51.100.7:5000"),
    ] {
        let mut out = Vec::new();
        MessageBuilder::request(&mut out, Method::BINDING, TransactionId([1; 12]));
        let answer = lab.answer(path, &out).expect("an answer");
        let message = Message::parse(&answer).unwrap();
        assert!(message.answers(&Message::parse(&out).unwrap()));
        assert_eq!(message.get(), Ok(Some(XorMappedAddress(addr(mapped)))));
        assert!(!message.contains(AttributeType::FINGERPRINT));
    }
    let mut out = Vec::new();
    MessageBuilder::request(&mut out, Method::BINDING, TransactionId([1; 12])).fingerprint();
    let answer = lab.answer(path().reversed(), &out).expect("an answer");
    assert!(Message::parse(&answer).unwrap().verify_fingerprint().is_ok());
    out[24] ^= 1;
    assert_eq!(lab.answer(path().reversed(), &out), None);
    // Behaviour discovery is not offered.
    let mut out = Vec::new();
    MessageBuilder::request(&mut out, Method::BINDING, TransactionId([1; 12])).attribute(ChangeRequest {
        change_ip: true,
        change_port: false,
    });
    let answer = lab.answer(path().reversed(), &out).expect("an answer");
    let message = Message::parse(&answer).unwrap();
    assert_eq!(
        message.error().map(|error| error.code),
        Some(ErrorCode::UNKNOWN_ATTRIBUTE)
    );
    assert_eq!(lab.end.server.stats().bindings, 4);
}

#[test]
fn requests_without_all_of_a_credential_are_told_what_is_missing() {
    let mut lab = Lab::new(server_config(1));
    let who = lab.client(5000);
    let forms: [(Form<'_>, ErrorCode); 6] = [
        (&|_| (), ErrorCode::UNAUTHENTICATED),
        (
            &|m| {
                m.attribute(Username(USER)).attribute(Realm(REALM)).integrity(&who.key);
            },
            ErrorCode::BAD_REQUEST,
        ),
        (
            &|m| {
                m.attribute(Username(USER))
                    .attribute(Nonce(&who.nonce))
                    .integrity(&who.key);
            },
            ErrorCode::BAD_REQUEST,
        ),
        (
            &|m| {
                m.attribute(Realm(REALM))
                    .attribute(Nonce(&who.nonce))
                    .integrity(&who.key);
            },
            ErrorCode::BAD_REQUEST,
        ),
        (
            &|m| {
                m.attribute(Username(USER))
                    .attribute(Realm("elsewhere"))
                    .attribute(Nonce(&who.nonce))
                    .integrity(&who.key);
            },
            ErrorCode::UNAUTHENTICATED,
        ),
        (
            &|m| {
                m.attribute(Username(USER))
                    .attribute(Realm(REALM))
                    .attribute(Nonce(b"made up"))
                    .integrity(&who.key);
            },
            ErrorCode::STALE_NONCE,
        ),
    ];
    for (form, expected) in forms {
        let id = lab.id();
        let mut out = Vec::new();
        let mut request = MessageBuilder::request(&mut out, Method::ALLOCATE, id);
        request.attribute(RequestedTransport::UDP);
        form(&mut request);
        let answer = lab.answer(who.path, &out).expect("an answer");
        assert_eq!(outcome(&answer), Err(expected));
        let message = Message::parse(&answer).unwrap();
        assert_eq!(
            message.contains(AttributeType::NONCE),
            expected != ErrorCode::BAD_REQUEST
        );
        assert!(!message.contains(AttributeType::SOFTWARE) && !message.contains(AttributeType::MESSAGE_INTEGRITY));
    }
    assert_eq!(lab.end.server.stats().allocations, 0);
}

#[test]
fn clients_beyond_the_first_are_sent_to_another_server() {
    let elsewhere = addr("192.0.2.2:3478");
    let redirect = server::Redirect {
        to: vec![elsewhere, addr("[2001:db8::2]:3478")],
        domain: Some("other.example.org".to_owned()),
        from_allocations: 1,
    };
    let mut lab = Lab::new(server::Config {
        redirect: Some(redirect),
        ..server_config(1)
    });
    let (first, second) = (lab.client(5000), lab.client(5001));
    assert!(lab.allocate(&first).is_ok());
    let request = lab.request(&second, Method::ALLOCATE, |request| {
        request.attribute(RequestedTransport::UDP);
    });
    let answer = lab.answer(second.path, &request).expect("an answer");
    let message = Message::parse(&answer).unwrap();
    assert_eq!(outcome(&answer), Err(ErrorCode::TRY_ALTERNATE));
    assert!(message.verify(&second.key).is_ok());
    assert_eq!(message.get(), Ok(Some(AlternateServer(elsewhere))));
    assert_eq!(
        message.get_all::<AlternateServer>().count(),
        1,
        "of its own family alone"
    );
    assert_eq!(message.get(), Ok(Some(AlternateDomain("other.example.org"))));
    // Who is here stays.
    assert!(lab.permit(&first, "9.9.9.9:7").is_ok());
}

#[test]
fn a_nonce_of_another_client_is_stale() {
    let mut lab = Lab::new(server_config(1));
    let (one, other) = (lab.client(5000), lab.client(5001));
    let thief = Who {
        nonce: other.nonce,
        ..one
    };
    assert_eq!(lab.allocate(&thief), Err(ErrorCode::STALE_NONCE));
}

#[test]
fn algorithms_that_were_tampered_with_are_refused() {
    let mut lab = Lab::new(server_config(1));
    let who = lab.client(5000);
    let key = Key::long_term_sha256(USER, REALM, PASSWORD);
    let ours = [PasswordAlgorithm::SHA256, PasswordAlgorithm::MD5];
    let forms: [(&[PasswordAlgorithm<'_>], Option<PasswordAlgorithm<'_>>); 4] = [
        (&ours, None),
        (&ours[1..], Some(PasswordAlgorithm::MD5)),
        (
            &[PasswordAlgorithm::MD5, PasswordAlgorithm::SHA256],
            Some(PasswordAlgorithm::SHA256),
        ),
        (&ours, Some(PasswordAlgorithm::SHA256)),
    ];
    for (count, (list, chosen)) in forms.into_iter().enumerate() {
        let id = lab.id();
        let mut out = Vec::new();
        let mut request = MessageBuilder::request(&mut out, Method::ALLOCATE, id);
        request
            .attribute(RequestedTransport::UDP)
            .attribute(Username(USER))
            .attribute(Realm(REALM));
        request
            .attribute(Nonce(&who.nonce))
            .attribute(PasswordAlgorithms::new(list));
        if let Some(chosen) = chosen {
            request.attribute(chosen);
        }
        request.integrity_sha256(&key);
        let answer = lab.answer(who.path, &out).expect("an answer");
        match count {
            3 => assert_eq!(Message::parse(&answer).unwrap().verify(&key), Ok(Integrity::Sha256)),
            _ => assert_eq!(outcome(&answer), Err(ErrorCode::BAD_REQUEST)),
        }
    }
}

//! Garbage, and messages that are right in everything but some of it: no panic, no state, no answer longer than the
//! question.

mod common;

use common::*;
use peerline_ice::{Role, State};
use peerline_stun::attribute::{Priority, Username};
use peerline_stun::{Class, Key, MessageBuilder, Method, TransactionId};
use peerline_wire::FiveTuple;
use proptest::collection::vec;
use proptest::prelude::*;

/// An agent in the middle of its checks.
fn checking() -> (Puppet, Vec<Sent>) {
    let mut puppet = Puppet::new(config(Role::Controlling, 1));
    puppet.introduce();
    puppet.candidate("192.0.2.2:2000");
    let sent = puppet.sent();
    (puppet, sent)
}

/// Nothing has changed: as if `bytes` had never come. Whatever was sent is not longer.
fn assert_unmoved(puppet: &mut Puppet, bytes: &[u8]) -> Result<(), TestCaseError> {
    let sent = puppet.sent();
    prop_assert!(sent.iter().map(|sent| sent.bytes.len()).sum::<usize>() <= bytes.len());
    prop_assert!(sent.iter().all(|sent| sent.error().is_some()));
    prop_assert_eq!(puppet.agent.state(), State::Checking);
    prop_assert_eq!(puppet.agent.candidate_pairs().count(), 1);
    prop_assert_eq!(puppet.agent.remote_candidates().count(), 1);
    prop_assert!(
        !puppet
            .agent
            .accepts(&FiveTuple::udp(puppet.here, addr("192.0.2.2:2000")))
    );
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_change_nothing(bytes in vec(any::<u8>(), 0..200)) {
        let (mut puppet, _) = checking();
        puppet.receive(addr("192.0.2.2:2000"), &bytes);
        assert_unmoved(&mut puppet, &bytes)?;
        prop_assert_eq!(puppet.agent.drop_counters().malformed, 1);
    }

    #[test]
    fn any_well_formed_message_of_a_stranger_changes_nothing(
        class in prop::sample::select(vec![Class::Request, Class::Indication, Class::SuccessResponse, Class::ErrorResponse]),
        transaction in prop::option::of(any::<[u8; 12]>()),
        username in "[a-zA-Z0-9:]{0,40}",
        known_name in any::<bool>(),
        password in prop::option::of("[a-z]{1,30}"),
        attributes in vec((any::<u16>(), vec(any::<u8>(), 0..30)), 0..6),
    ) {
        let (mut puppet, sent) = checking();
        // As well as one can who has seen the agent's checks, but not its password.
        let transaction = transaction.map_or_else(|| sent[0].message().transaction_id(), TransactionId);
        let username = if known_name { puppet.username() } else { username };
        let mut bytes = Vec::new();
        let mut message = MessageBuilder::new(&mut bytes, class, Method::BINDING, transaction);
        message.attribute(Username(&username)).attribute(Priority(7));
        for (kind, value) in &attributes {
            message.raw(peerline_stun::RawAttribute { kind: peerline_stun::AttributeType(*kind), value });
        }
        if let Some(password) = password {
            message.integrity(&Key::short_term(&password));
        }
        message.fingerprint();
        puppet.receive(addr("192.0.2.2:2000"), &bytes);
        assert_unmoved(&mut puppet, &bytes)?;
    }
}

#[test]
fn a_genuine_message_with_any_bit_flipped_changes_nothing() {
    let genuine = |response: bool| {
        let (mut puppet, sent) = checking();
        let mut bytes = if response {
            puppet.success(&sent[0], puppet.here)
        } else {
            let (mut out, key) = (Vec::new(), puppet.agent_key());
            puppet
                .request(&mut out, Handmade::check("192.0.2.2:2000", Role::Controlled))
                .integrity(&key)
                .fingerprint();
            out
        };
        bytes.truncate(bytes.len() - 8);
        set_length(&mut bytes);
        (puppet, bytes)
    };
    for response in [false, true] {
        for bit in 0..8 * genuine(response).1.len() {
            // The fingerprint is no secret: a forger repairs it.
            let (mut puppet, mut bytes) = genuine(response);
            bytes[bit / 8] ^= 1 << (bit % 8);
            fingerprint(&mut bytes);
            puppet.receive(addr("192.0.2.2:2000"), &bytes);
            assert_unmoved(&mut puppet, &bytes).unwrap_or_else(|error| panic!("bit {bit} of {response}: {error}"));
        }
    }
}

/// Without the flipped bit it would have counted.
#[test]
fn a_genuine_message_with_a_repaired_fingerprint_counts() {
    let (mut puppet, sent) = checking();
    let mut bytes = puppet.success(&sent[0], puppet.here);
    bytes.truncate(bytes.len() - 8);
    set_length(&mut bytes);
    fingerprint(&mut bytes);
    puppet.receive(addr("192.0.2.2:2000"), &bytes);
    assert_eq!(puppet.agent.state(), State::Connected);
}

/// Sets the message's length, FINGERPRINT included.
fn set_length(bytes: &mut [u8]) {
    let length = u16::try_from(bytes.len() - 20 + 8).expect("a short message");
    bytes[2..4].copy_from_slice(&length.to_be_bytes());
}

/// Appends FINGERPRINT, as any forger can.
fn fingerprint(bytes: &mut Vec<u8>) {
    let value = crc32(bytes) ^ 0x5354_554e;
    bytes.extend([0x80, 0x28, 0, 4]);
    bytes.extend(value.to_be_bytes());
}

/// CRC-32 as in Ethernet, a bit at a time.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 }
        })
    })
}

//! Renomination (draft-thatcher-ice-renomination), by its bytes: what we send, and what a peer like libwebrtc does.
//!
//! libwebrtc numbers its nominations, and sends NOMINATION and USE-CANDIDATE in each check of the pair that it uses until that is
//! answered; where both come, the number counts, and a lower or equal one changes nothing (`Connection::HandleStunBindingRequest`,
//! `P2PTransportChannel::OnNominated`).

mod common;

use common::{Handmade, MS, Puppet, SECOND, Sent, addr, config};
use peerline_ice::Role;
use peerline_stun::AttributeType;
use peerline_stun::attribute::Nomination;

const HOST: &str = "192.0.2.2:2000";
const OTHER: &str = "192.0.2.2:2001";

/// An agent that knows renomination, as its peer does.
fn puppet(role: Role) -> Puppet {
    let mut puppet = Puppet::new(config(role, 1));
    puppet.agent.set_renomination(true);
    puppet.introduce();
    puppet
}

/// A check with USE-CANDIDATE and this number, as libwebrtc writes it.
fn nominate(puppet: &mut Puppet, from: &'static str, number: u32) {
    let (mut out, key) = (Vec::new(), puppet.agent_key());
    puppet
        .request(&mut out, Handmade::check(from, Role::Controlling).nominating())
        .attribute(Nomination(number))
        .integrity(&key)
        .fingerprint();
    // Type 0xC001, four bytes: a number of 32 bits.
    let [a, b, c, d] = number.to_be_bytes();
    let expected = [0xc0, 0x01, 0, 4, a, b, c, d];
    assert!(out.windows(8).any(|window| window == expected), "{out:02x?}");
    puppet.receive(addr(from), &out);
    puppet.answer_all();
}

/// Both pairs are valid.
fn controlled() -> Puppet {
    let mut puppet = puppet(Role::Controlled);
    puppet.candidate(HOST);
    puppet.candidate(OTHER);
    for from in [HOST, OTHER] {
        puppet.check(Handmade::check(from, Role::Controlling));
        puppet.answer_all();
        puppet.pass(50 * MS);
        puppet.answer_all();
    }
    puppet
}

#[test]
fn the_highest_number_is_followed_whatever_the_priorities() {
    let mut puppet = controlled();
    for (number, from, expected) in [
        (1, HOST, HOST),
        (2, OTHER, OTHER),
        // Late: it was sent before the second.
        (1, HOST, OTHER),
        (3, HOST, HOST),
        (7, OTHER, OTHER),
        (6, HOST, OTHER),
        (u32::MAX, HOST, HOST),
    ] {
        nominate(&mut puppet, from, number);
        assert_eq!(puppet.path(), Some(addr(expected)), "{number} at {from}");
        assert!(puppet.agent.selected_pair().is_some_and(|pair| pair.nominated));
    }
    // It is at once, with no wait for the other path to be left.
    puppet.pass(SECOND);
    nominate(&mut puppet, OTHER, u32::MAX - 1);
    assert_eq!(puppet.path(), Some(addr(HOST)));
}

/// The peer's USE-CANDIDATE without a number, which it leaves out once its nomination was answered, does not undo a nomination.
#[test]
fn checks_without_a_number_leave_the_nomination_alone() {
    let mut puppet = controlled();
    nominate(&mut puppet, OTHER, 2);
    for _ in 0..5 {
        puppet.pass(500 * MS);
        puppet.check(Handmade::check(HOST, Role::Controlling));
        puppet.check(Handmade::check(OTHER, Role::Controlling).nominating());
        puppet.answer_all();
        assert_eq!(puppet.path(), Some(addr(OTHER)));
    }
}

fn number(sent: &Sent) -> Option<u32> {
    let number = sent.message().get::<Nomination>().expect("four bytes");
    number.map(|Nomination(number)| number)
}

#[test]
fn our_nomination_has_a_number_beside_use_candidate() {
    let mut puppet = puppet(Role::Controlling);
    puppet.check(Handmade::check(OTHER, Role::Controlled));
    let mut nominations = Vec::new();
    let mut note = |sent: Vec<Sent>| {
        for sent in sent.iter().filter(|sent| sent.is_request()) {
            // One never comes without the other: who does not know the number follows USE-CANDIDATE.
            assert_eq!(sent.nominates(), number(sent).is_some());
            if let Some(number) = number(sent) {
                let [a, b, c, d] = number.to_be_bytes();
                let bytes = [0xc0, 0x01, 0, 4, a, b, c, d];
                assert!(sent.bytes.windows(8).any(|window| window == bytes));
                nominations.push((number, sent.to.to_string()));
            }
        }
    };
    note(puppet.answer_all());
    puppet.pass(150 * MS);
    note(puppet.answer_all());
    assert_eq!(puppet.path(), Some(addr(OTHER)));
    assert_eq!(nominations, [(1, OTHER.to_owned())]);
}

/// Who has not said that it knows it is sent none.
#[test]
fn without_it_there_are_no_numbers() {
    let mut puppet = Puppet::new(config(Role::Controlling, 1));
    puppet.introduce();
    puppet.candidate(HOST);
    let sent = puppet.answer_all();
    assert!(sent.iter().any(Sent::nominates));
    assert!(
        sent.iter()
            .all(|sent| !sent.message().contains(AttributeType::NOMINATION))
    );
}

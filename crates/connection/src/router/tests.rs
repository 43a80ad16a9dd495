//! Who gets a datagram, and who does not.

use std::collections::BTreeMap;

use peerline_stun::{MessageBuilder, Method};
use proptest::prelude::*;

use super::*;

fn path(remote: u16) -> FiveTuple {
    FiveTuple::udp(([192, 0, 2, 1], 9).into(), ([203, 0, 113, 1], remote).into())
}

fn check(ufrag: &str, transaction: u8) -> Vec<u8> {
    let (mut out, name) = (Vec::new(), format!("{ufrag}:theirs"));
    MessageBuilder::new(
        &mut out,
        Class::Request,
        Method::BINDING,
        TransactionId([transaction; 12]),
    )
    .attribute(Username(&name))
    .fingerprint();
    out
}

fn answer(transaction: u8) -> Vec<u8> {
    let (mut out, transaction) = (Vec::new(), TransactionId([transaction; 12]));
    MessageBuilder::new(&mut out, Class::SuccessResponse, Method::BINDING, transaction).fingerprint();
    out
}

const DTLS: &[u8] = &[22, 254, 253];

/// A router with connections `a`, `b`, …, each with its name as username fragment.
fn router<const N: usize>(names: [&'static str; N]) -> (Router<&'static str>, [RouteId; N]) {
    let mut router = Router::new();
    let ids = names.map(|name| {
        let id = router.insert(name);
        router.set_ufrags(id, [name].into_iter());
        id
    });
    (router, ids)
}

fn routed(router: &mut Router<&'static str>, path: FiveTuple, payload: &[u8]) -> Option<&'static str> {
    router.route(&path, payload).map(|(_, &name)| name)
}

#[test]
fn checks_are_routed_by_name_and_all_else_by_path() {
    let (mut router, [a, _]) = router(["a", "b"]);
    assert_eq!(routed(&mut router, path(1), DTLS), None);
    assert_eq!(routed(&mut router, path(1), &check("b", 0)), Some("b"));
    router.claim(a, &path(1), Standing::Proved);
    assert_eq!(routed(&mut router, path(1), DTLS), Some("a"));
    assert_eq!(routed(&mut router, path(1), &answer(0)), Some("a"));
    // The name decides even on a path that is another's.
    assert_eq!(routed(&mut router, path(1), &check("b", 0)), Some("b"));
    assert_eq!(routed(&mut router, path(1), &check("nobody", 0)), None);
    let drops = RouterDrops {
        unknown_paths: 1,
        unknown_ufrags: 1,
    };
    assert_eq!(router.drops(), drops);
}

#[test]
fn what_is_hostile_is_dropped_and_counted() {
    let (mut router, [a]) = router(["a"]);
    router.claim(a, &path(1), Standing::Proved);
    let mut nameless = Vec::new();
    MessageBuilder::new(&mut nameless, Class::Request, Method::BINDING, TransactionId([0; 12]));
    let whole = check("a", 0);
    for len in 0..whole.len() {
        let expected = (len == 0).then_some("a");
        assert_eq!(routed(&mut router, path(1), &whole[..len]), expected, "{len} bytes");
    }
    for name in ["", ":", "a", "A", "a\0", &"a".repeat(200)] {
        let without_colon = name == "a";
        let (mut out, spelled) = (Vec::new(), if without_colon { "a".into() } else { format!("{name}:x") });
        MessageBuilder::new(&mut out, Class::Request, Method::BINDING, TransactionId([0; 12]))
            .attribute(Username(&spelled))
            .fingerprint();
        assert_eq!(routed(&mut router, path(1), &out), None, "{spelled}");
    }
    assert_eq!(routed(&mut router, path(1), &nameless), None);
    assert!(router.drops().unknown_ufrags >= whole.len() as u64);
}

#[test]
fn a_claim_gives_way_to_a_better_one_only() {
    let (mut router, [a, b]) = router(["a", "b"]);
    router.claim(a, &path(1), Standing::Sent);
    router.claim(b, &path(1), Standing::Sent);
    assert_eq!(routed(&mut router, path(1), DTLS), Some("a"));
    router.claim(b, &path(1), Standing::Heard);
    assert_eq!(routed(&mut router, path(1), DTLS), Some("b"));
    router.claim(a, &path(1), Standing::Heard);
    assert_eq!(routed(&mut router, path(1), DTLS), Some("b"));
    router.claim(a, &path(1), Standing::Proved);
    router.claim(b, &path(1), Standing::Heard);
    assert_eq!(routed(&mut router, path(1), DTLS), Some("a"));
    // A client is back, from the same port.
    router.claim(b, &path(1), Standing::Proved);
    assert_eq!(routed(&mut router, path(1), DTLS), Some("b"));
    // Whoever remains may have it again.
    router.remove(b);
    assert_eq!(routed(&mut router, path(1), DTLS), None);
    router.claim(a, &path(1), Standing::Sent);
    assert_eq!(routed(&mut router, path(1), DTLS), Some("a"));
}

#[test]
fn an_answer_on_anothers_path_finds_who_asked() {
    let (mut router, [a, b]) = router(["a", "b"]);
    router.claim(a, &path(1), Standing::Proved);
    router.on_transmit(a, &path(1), &check("x", 1));
    for transaction in 2..30 {
        router.on_transmit(b, &path(1), &check("y", transaction));
        router.on_transmit(b, &path(1), &check("y", transaction));
    }
    assert_eq!(routed(&mut router, path(1), DTLS), Some("a"));
    assert_eq!(routed(&mut router, path(1), &answer(1)), Some("a"));
    assert_eq!(routed(&mut router, path(1), &answer(29)), Some("b"));
    assert_eq!(routed(&mut router, path(1), &answer(2)), Some("a"), "too long ago");
    assert_eq!(router.contested.len(), MAX_CONTESTED);
    // Only checks open paths, not answers and not data.
    router.on_transmit(b, &path(2), &answer(1));
    router.on_transmit(b, &path(2), DTLS);
    assert_eq!(routed(&mut router, path(2), DTLS), None);
    router.remove(b);
    assert!(router.contested.is_empty());
}

#[test]
fn paths_are_bounded_and_the_proved_one_stays() {
    let (mut router, [a, b]) = router(["a", "b"]);
    router.claim(a, &path(1), Standing::Proved);
    for port in 2..1000 {
        router.claim(a, &path(port), Standing::Sent);
    }
    assert_eq!(router.paths.len(), MAX_PATHS);
    for port in 1000..2000 {
        router.claim(a, &path(port), Standing::Heard);
        router.claim(a, &path(port - 500), Standing::Sent);
    }
    assert_eq!(router.paths.len(), MAX_PATHS);
    assert_eq!(routed(&mut router, path(1), DTLS), Some("a"));
    assert_eq!(routed(&mut router, path(1999), DTLS), Some("a"));
    router.retain_paths(a, |known| *known == path(1));
    assert_eq!(router.paths.len(), 1);
    router.claim(b, &path(1999), Standing::Sent);
    assert_eq!(routed(&mut router, path(1999), DTLS), Some("b"));
}

#[test]
fn names_are_found_whatever_their_length() {
    let (mut router, ids) = router(["a", "b", "c", "d", "e"]);
    let names = [1, 14, 15, 16, 256].map(|len| "n".repeat(len));
    for (id, name) in ids.iter().zip(&names) {
        router.set_ufrags(*id, [name.as_str()].into_iter());
    }
    for (name, who) in names.iter().zip(["a", "b", "c", "d", "e"]) {
        assert_eq!(routed(&mut router, path(1), &check(name, 0)), Some(who));
    }
    assert_eq!(routed(&mut router, path(1), &check(&"n".repeat(13), 0)), None);
    for id in ids {
        router.remove(id);
    }
    assert!(router.ufrags.is_empty());
}

#[test]
fn an_old_id_means_nobody() {
    let (mut router, [a]) = router(["a"]);
    assert_eq!(router.remove(a), Some("a"));
    assert_eq!((router.remove(a), router.len()), (None, 0));
    let b = router.insert("b");
    router.set_ufrags(a, ["a"].into_iter());
    router.claim(a, &path(1), Standing::Proved);
    router.on_transmit(a, &path(1), &check("x", 1));
    assert_eq!(routed(&mut router, path(1), &check("a", 0)), None);
    assert_eq!(routed(&mut router, path(1), DTLS), None);
    assert!(a != b && router.contested.is_empty());
}

#[test]
fn addresses_are_compared_without_what_does_not_count() {
    let (mut router, [a]) = router(["a"]);
    let v6 = |ip: &str, flow, scope| SocketAddr::from(SocketAddrV6::new(ip.parse().unwrap(), 9, flow, scope));
    router.claim(
        a,
        &FiveTuple::udp(v6("2001:db8::1", 0, 3), v6("2001:db8::2", 0, 0)),
        Standing::Sent,
    );
    let came = FiveTuple::udp(v6("2001:db8::1", 0, 0), v6("2001:db8::2", 7, 3));
    assert_eq!(routed(&mut router, came, DTLS), Some("a"));
    let link = |scope| FiveTuple::udp(v6("fe80::1", 0, scope), v6("fe80::2", 0, scope));
    router.claim(a, &link(3), Standing::Sent);
    assert_eq!(routed(&mut router, link(3), DTLS), Some("a"));
    assert_eq!(routed(&mut router, link(4), DTLS), None);
}

/// What the router is to do, written down without regard to time: who owns a name or a path is searched.
#[derive(Default)]
struct Model {
    connections: Vec<(RouteId, u32, Vec<Claim>)>,
    names: BTreeMap<String, u32>,
    owners: BTreeMap<FiveTuple, u32>,
}

#[derive(Clone, Debug)]
enum Operation {
    Insert,
    Remove(usize),
    Rename(usize, Vec<u8>),
    Claim(usize, u16, u8),
    Retain(usize, u16),
}

fn operation() -> impl Strategy<Value = Operation> {
    let who = || 0..8_usize;
    prop_oneof![
        2 => Just(Operation::Insert),
        1 => who().prop_map(Operation::Remove),
        3 => (who(), prop::collection::vec(0..6_u8, 0..4)).prop_map(|(who, names)| Operation::Rename(who, names)),
        6 => (who(), 0..6_u16, 0..3_u8).prop_map(|(who, path, standing)| Operation::Claim(who, path, standing)),
        1 => (who(), 0..6_u16).prop_map(|(who, path)| Operation::Retain(who, path)),
    ]
}

impl Model {
    fn claim(&mut self, index: usize, path: FiveTuple, standing: Standing) {
        let (_, number, own) = &mut self.connections[index];
        match own.iter_mut().find(|known| known.path == path) {
            Some(known) => known.standing = standing.max(known.standing),
            None => own.push(Claim { path, standing }),
        }
        let number = *number;
        let rival = self.owners.get(&path).and_then(|owner| {
            let (.., claims) = self.connections.iter().find(|known| known.1 == *owner)?;
            claims.iter().find(|known| known.path == path)
        });
        let rival = rival.map(|rival| rival.standing);
        if rival.is_none_or(|rival| standing > rival) || standing == Standing::Proved {
            self.owners.insert(path, number);
        }
    }
}

proptest! {
    #[test]
    fn it_does_what_a_search_would(operations in prop::collection::vec(operation(), 0..200)) {
        let (mut router, mut model, mut next) = (Router::new(), Model::default(), 0_u32);
        for operation in operations {
            let count = model.connections.len();
            match operation {
                Operation::Insert if count < 8 => {
                    model.connections.push((router.insert(next), next, Vec::new()));
                    next += 1;
                }
                Operation::Remove(who) if who < count => {
                    let (id, number, ..) = model.connections.remove(who);
                    prop_assert_eq!(router.remove(id), Some(number));
                    model.names.retain(|_, owner| *owner != number);
                    model.owners.retain(|_, owner| *owner != number);
                }
                Operation::Rename(who, names) if who < count => {
                    let names: Vec<String> = names.iter().map(u8::to_string).collect();
                    let number = model.connections[who].1;
                    router.set_ufrags(model.connections[who].0, names.iter().map(String::as_str));
                    model.names.retain(|name, owner| *owner != number || names.contains(name));
                    for name in names {
                        model.names.entry(name).or_insert(number);
                    }
                }
                Operation::Claim(who, port, standing) if who < count => {
                    let standing = [Standing::Sent, Standing::Heard, Standing::Proved][usize::from(standing)];
                    router.claim(model.connections[who].0, &path(port), standing);
                    model.claim(who, path(port), standing);
                }
                Operation::Retain(who, port) if who < count => {
                    let (id, number, claims) = &mut model.connections[who];
                    router.retain_paths(*id, |known| *known != path(port));
                    claims.retain(|known| known.path != path(port));
                    model.owners.retain(|known, owner| *known != path(port) || owner != number);
                }
                _ => {}
            }
            prop_assert_eq!(router.len(), model.connections.len());
            for (id, ..) in &model.connections {
                let slot = find(&mut router.slots, *id).unwrap();
                if let Some(home) = slot.home {
                    prop_assert_eq!(slot.standing(&home), Some(Standing::Proved));
                    prop_assert_eq!(router.paths.get(&home), Some(&id.slot));
                }
            }
            for port in 0..6 {
                let found = router.route(&path(port), DTLS).map(|(_, &number)| number);
                prop_assert_eq!(found, model.owners.get(&path(port)).copied());
            }
            for name in 0..6_u8 {
                let found = router.route(&path(99), &check(&name.to_string(), 0)).map(|(_, &number)| number);
                prop_assert_eq!(found, model.names.get(&name.to_string()).copied());
            }
        }
        for (id, ..) in model.connections {
            router.remove(id);
        }
        prop_assert!(router.is_empty() && router.paths.is_empty() && router.ufrags.is_empty());
    }

    #[test]
    fn no_datagram_makes_it_panic(payload in prop::collection::vec(any::<u8>(), 0..80)) {
        let (mut router, [a]) = router(["a"]);
        router.on_transmit(a, &path(1), &payload);
        router.route(&path(1), &payload);
    }
}

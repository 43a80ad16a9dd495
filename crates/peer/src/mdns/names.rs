//! [`Names`]: what is said to whom about names of ours (RFC 6762 §6), without sockets.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use simple_dns::rdata::{A, AAAA, NSEC, NsecTypeBitMap, RData};
use simple_dns::{CLASS, Name, OPCODE, Packet, PacketFlag, QCLASS, QTYPE, Question, ResourceRecord, TYPE};

/// The port of multicast DNS. Who asks from another is no such resolver, and is answered like a client of DNS (§6.7).
pub(crate) const PORT: u16 = 5353;

/// "120 seconds" for records with a host's name (§10), in seconds.
const TTL: u32 = 120;

/// "[...] no greater than ten seconds" for who does not listen to what is announced (§6.7).
const LEGACY_TTL: u32 = 10;

/// "A Multicast DNS responder MUST NOT [...] multicast a record on a given interface until at least one second has elapsed since
/// the last time" (§6).
const PAUSE: Duration = Duration::from_secs(1);

/// Answers to single askers in a second, all together: real ones ask once, and later know.
const MAX_ANSWERS: u32 = 100;

/// The names of this process, each of one address, and told on one interface alone.
#[derive(Debug, Default)]
pub(crate) struct Names {
    known: HashMap<String, Known>,
    /// When the second began in which so many single askers were answered.
    answered: Option<(Instant, u32)>,
}

#[derive(Debug)]
struct Known {
    address: IpAddr,
    interface: u32,
    /// When it was told to everybody last.
    told_at: Option<Instant>,
}

/// A packet that came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Query<'q> {
    pub(crate) payload: &'q [u8],
    pub(crate) interface: u32,
    pub(crate) from: SocketAddr,
}

/// What is to be sent on the interface that the query came by.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) payload: Vec<u8>,
    /// `None`: to everybody.
    pub(crate) to: Option<SocketAddr>,
}

impl Names {
    /// Takes a name: of letters, digits and hyphens, in lower case, that ends in `.local`. What announces it.
    pub(crate) fn insert(&mut self, now: Instant, name: &str, address: IpAddr, interface: u32) -> Option<Vec<u8>> {
        let announcement = message(&[record(name, address, TTL)?.with_cache_flush(true)], None)?;
        let known = Known {
            address,
            interface,
            told_at: Some(now),
        };
        self.known.insert(name.to_owned(), known);
        Some(announcement)
    }

    /// What announces a name that is still there once more: "at least two unsolicited responses, one second apart" (§8.3).
    pub(crate) fn announce(&mut self, now: Instant, name: &str) -> Option<Vec<u8>> {
        let known = self.known.get_mut(name)?;
        known.told_at = Some(now);
        message(&[record(name, known.address, TTL)?.with_cache_flush(true)], None)
    }

    /// Forgets a name. What takes it back: "a resource record TTL of zero" (§10.1).
    pub(crate) fn remove(&mut self, name: &str) -> Option<Vec<u8>> {
        let known = self.known.remove(name)?;
        message(&[record(name, known.address, 0)?.with_cache_flush(true)], None)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// What is to be said to whoever has sent this.
    pub(crate) fn answer(&mut self, now: Instant, query: Query<'_>) -> Option<Answer> {
        let packet = Packet::parse(query.payload).ok()?;
        if packet.has_flags(PacketFlag::RESPONSE) || packet.opcode() != OPCODE::StandardQuery {
            return None;
        }
        let is_legacy = query.from.port() != PORT;
        let mut asked: Vec<(String, QTYPE)> = Vec::new();
        let (mut questions, mut wants_unicast) = (Vec::new(), true);
        for question in &packet.questions {
            let name = question.qname.to_string().to_ascii_lowercase();
            let is_ours = self
                .known
                .get(&name)
                .is_some_and(|known| known.interface == query.interface);
            let is_of_addresses = matches!(question.qtype, QTYPE::ANY | QTYPE::TYPE(TYPE::A | TYPE::AAAA));
            let is_of_internet = matches!(question.qclass, QCLASS::ANY | QCLASS::CLASS(CLASS::IN));
            let entry = (name, question.qtype);
            if is_ours && is_of_addresses && is_of_internet && !asked.contains(&entry) && asked.len() < MAX_QUESTIONS {
                wants_unicast &= question.unicast_response;
                questions.push(question);
                asked.push(entry);
            }
        }
        if asked.is_empty() {
            return None;
        }
        // Who asks for a unicast response shares its port with others on its host, who may get that instead: a multicast one is
        // as good, and only too soon after the last is it not to be.
        let to_one = is_legacy || wants_unicast && asked.iter().all(|(name, _)| self.was_just_told(now, name));
        let mut records = Vec::new();
        for (name, kind) in &asked {
            let known = self.known.get_mut(name)?;
            if !to_one && known.told_at.is_some_and(|at| now < at + PAUSE) {
                continue;
            }
            let ttl = if is_legacy { LEGACY_TTL } else { TTL };
            let positive = record(name, known.address, ttl)?;
            // "A Multicast DNS responder MUST NOT answer [...] if the answer it would give is already included in the Answer
            // Section with an RR TTL at least half the correct value" (§7.1).
            let is_known = |answer: &ResourceRecord<'_>| {
                answer.ttl >= TTL / 2
                    && answer.rdata == positive.rdata
                    && answer.name.to_string().eq_ignore_ascii_case(name)
            };
            if !is_legacy && packet.answers.iter().any(is_known) {
                continue;
            }
            let has_it = positive.match_qtype(*kind);
            let answer = if has_it {
                positive
            } else {
                nothing_else(name, known.address, ttl)?
            };
            if !to_one {
                known.told_at = Some(now);
            }
            // "The cache-flush bit MUST NOT be set in [...] legacy unicast responses" (§10.2).
            records.push(answer.with_cache_flush(!is_legacy));
        }
        if records.is_empty() || to_one && !self.may_answer(now) {
            return None;
        }
        // "[...] the same query ID" and the question again (§6.7).
        let legacy = is_legacy.then(|| (packet.id(), questions));
        Some(Answer {
            payload: message(&records, legacy)?,
            to: to_one.then_some(query.from),
        })
    }

    fn was_just_told(&self, now: Instant, name: &str) -> bool {
        let told_at = self.known.get(name).and_then(|known| known.told_at);
        told_at.is_some_and(|at| now < at + PAUSE)
    }

    fn may_answer(&mut self, now: Instant) -> bool {
        let (since, count) = self.answered.get_or_insert((now, 0));
        if now >= *since + Duration::from_secs(1) {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        *count <= MAX_ANSWERS
    }
}

/// Questions of one packet that are answered; what a resolver wants to know of one peer is far less.
const MAX_QUESTIONS: usize = 32;

fn record(name: &str, address: IpAddr, ttl: u32) -> Option<ResourceRecord<'_>> {
    let data = match address {
        IpAddr::V4(address) => RData::A(A {
            address: address.to_bits(),
        }),
        IpAddr::V6(address) => RData::AAAA(AAAA {
            address: address.to_bits(),
        }),
    };
    Some(ResourceRecord::new(Name::new(name).ok()?, CLASS::IN, ttl, data))
}

/// "[...] asserting the nonexistence of that record using a DNS NSEC record" (§6.1): the name has but the one of its address.
fn nothing_else(name: &str, address: IpAddr, ttl: u32) -> Option<ResourceRecord<'_>> {
    // The types 0 to 31, the first in the highest bit: 1 is A, and 28 is AAAA.
    const A: &[u8] = &[0x40];
    const AAAA: &[u8] = &[0, 0, 0, 0x08];
    let map = NsecTypeBitMap {
        window_block: 0,
        bitmap: if address.is_ipv4() { A } else { AAAA }.into(),
    };
    let data = RData::NSEC(NSEC {
        next_name: Name::new(name).ok()?,
        type_bit_maps: vec![map],
    });
    Some(ResourceRecord::new(Name::new(name).ok()?, CLASS::IN, ttl, data))
}

fn message(records: &[ResourceRecord<'_>], legacy: Option<(u16, Vec<&Question<'_>>)>) -> Option<Vec<u8>> {
    let mut packet = Packet::new_reply(0);
    packet.set_flags(PacketFlag::AUTHORITATIVE_ANSWER);
    packet.answers.extend_from_slice(records);
    if let Some((id, questions)) = legacy {
        packet.set_id(id);
        packet.questions.extend(questions.into_iter().cloned());
    }
    packet.build_bytes_vec().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "0d1c1d5e-4b0f-4a2e-8f5e-0c9a6b1f3a77.local";
    const ADDRESS: &str = "192.0.2.55";
    const INTERFACE: u32 = 3;

    fn names(now: Instant) -> Names {
        let mut names = Names::default();
        let announcement = names.insert(now, NAME, ADDRESS.parse().unwrap(), INTERFACE).unwrap();
        assert_eq!(said(&announcement), [(format!("A {ADDRESS}"), TTL, true)]);
        names
    }

    /// What a response says: each record, for how long, and whether it replaces what is known.
    fn said(payload: &[u8]) -> Vec<(String, u32, bool)> {
        let packet = Packet::parse(payload).unwrap();
        assert!(packet.has_flags(PacketFlag::RESPONSE | PacketFlag::AUTHORITATIVE_ANSWER));
        let records = packet.answers.iter().map(|record| {
            assert_eq!(record.name.to_string(), NAME);
            let text = match &record.rdata {
                RData::A(a) => format!("A {}", std::net::Ipv4Addr::from_bits(a.address)),
                RData::NSEC(nsec) => format!("NSEC {:?}", nsec.type_bit_maps[0].bitmap),
                other => panic!("{other:?}"),
            };
            (text, record.ttl, record.cache_flush)
        });
        records.collect()
    }

    fn question(name: &str, kind: TYPE, unicast: bool) -> Vec<u8> {
        let mut packet = Packet::new_query(0x1234);
        let name = Name::new_unchecked(name);
        let question = Question::new(name, QTYPE::TYPE(kind), QCLASS::CLASS(CLASS::IN), unicast);
        packet.questions.push(question);
        packet.build_bytes_vec().unwrap()
    }

    fn ask(names: &mut Names, now: Instant, payload: &[u8], port: u16) -> Option<Answer> {
        let query = Query {
            payload,
            interface: INTERFACE,
            from: SocketAddr::from(([192, 0, 2, 9], port)),
        };
        names.answer(now, query)
    }

    #[test]
    fn a_name_is_announced_answered_and_taken_back() {
        let start = crate::driver::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut names = names(start);
        let query = question(&NAME.to_uppercase(), TYPE::A, false);
        // Just announced.
        assert_eq!(ask(&mut names, at(500), &query, PORT), None);
        assert_eq!(said(&names.announce(at(1000), NAME).unwrap()).len(), 1);
        let answer = ask(&mut names, at(2000), &query, PORT).unwrap();
        assert_eq!(
            (said(&answer.payload), answer.to),
            (vec![(format!("A {ADDRESS}"), TTL, true)], None)
        );
        assert_eq!(ask(&mut names, at(2500), &query, PORT), None, "once a second");
        let goodbye = names.remove(NAME).unwrap();
        assert_eq!(said(&goodbye), [(format!("A {ADDRESS}"), 0, true)]);
        assert!(names.is_empty() && names.remove(NAME).is_none());
        assert_eq!(ask(&mut names, at(9000), &query, PORT), None);
    }

    #[test]
    fn who_asks_for_itself_is_answered_alone() {
        let start = crate::driver::now();
        let later = start + Duration::from_secs(2);
        let mut names = names(start);
        let query = question(NAME, TYPE::A, true);
        assert_eq!(ask(&mut names, later, &query, PORT).unwrap().to, None);
        // Too soon for all to be told again.
        let answer = ask(&mut names, later, &query, PORT).unwrap();
        assert_eq!(answer.to, Some("192.0.2.9:5353".parse().unwrap()));
        // A client of DNS, such as dig.
        let answer = ask(&mut names, later, &question(NAME, TYPE::A, false), 40_000).unwrap();
        assert_eq!(said(&answer.payload), [(format!("A {ADDRESS}"), LEGACY_TTL, false)]);
        let packet = Packet::parse(&answer.payload).unwrap();
        assert_eq!((packet.id(), packet.questions.len()), (0x1234, 1));
        // No more than so many.
        let answered = (0..1000)
            .filter(|_| ask(&mut names, later, &query, 40_000).is_some())
            .count();
        assert!(answered < MAX_ANSWERS as usize, "{answered}");
    }

    #[test]
    fn what_a_name_has_not_is_denied_and_what_is_not_ours_is_not_answered() {
        let start = crate::driver::now();
        let mut names = names(start);
        let later = start + Duration::from_secs(2);
        let answer = ask(&mut names, later, &question(NAME, TYPE::AAAA, false), PORT).unwrap();
        assert_eq!(said(&answer.payload), [("NSEC [64]".to_owned(), TTL, true)]);
        let later = later + Duration::from_secs(2);
        for query in [
            question("another.local", TYPE::A, false),
            question(NAME, TYPE::SRV, false),
            question("local", TYPE::A, false),
            names.announce(start, NAME).unwrap(),
            Vec::new(),
        ] {
            assert_eq!(ask(&mut names, later, &query, PORT), None);
        }
        // Another interface.
        let query = question(NAME, TYPE::A, false);
        let elsewhere = Query {
            payload: &query,
            interface: INTERFACE + 1,
            from: SocketAddr::from(([192, 0, 2, 9], PORT)),
        };
        assert_eq!(names.answer(later, elsewhere), None);
        // Who knows it.
        let mut packet = Packet::parse(&query).unwrap();
        packet
            .answers
            .push(record(NAME, ADDRESS.parse().unwrap(), TTL / 2).unwrap());
        let knows = packet.build_bytes_vec().unwrap();
        assert_eq!(ask(&mut names, later, &knows, PORT), None);
        assert!(ask(&mut names, later, &query, PORT).is_some());
    }

    #[test]
    fn no_packet_makes_it_panic_and_none_gets_much() {
        let start = crate::driver::now();
        let mut names = names(start);
        let mut packet = Packet::new_query(0);
        for _ in 0..500 {
            let name = Name::new_unchecked(NAME);
            let question = Question::new(name, QTYPE::ANY, QCLASS::ANY, true);
            packet.questions.push(question);
        }
        let many = packet.build_bytes_vec().unwrap();
        let later = start + Duration::from_secs(2);
        let answer = ask(&mut names, later, &many, PORT).unwrap();
        assert_eq!(said(&answer.payload).len(), 1);
        let whole = question(NAME, TYPE::A, false);
        for cut in 0..whole.len() {
            assert_eq!(ask(&mut names, later, &whole[..cut], PORT), None);
            for flip in 0..8 {
                let mut other = whole.clone();
                other[cut] ^= 1 << flip;
                ask(&mut names, later, &other, PORT);
            }
        }
    }
}

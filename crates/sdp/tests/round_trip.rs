//! For all descriptions: what is built comes back, what parses is written as it was, and nothing panics.

use peerline_sdp::attribute::{
    Attribute, AttributeValue, Candidate, CandidateAddress, CandidateKind, Direction, ExtMap, Fingerprint, Fmtp, Group,
    HashFunction, IceOptions, IcePwd, IceUfrag, MaxMessageSize, Mid, Msid, PayloadType, Rid, RidDirection,
    RidRestriction, Rtcp, RtcpFb, RtpMap, SctpInit, SctpPort, Setup, Simulcast, SimulcastStream, Ssrc, SsrcGroup,
    TcpType,
};
use peerline_sdp::{
    Bandwidth, Connection, Fragment, LineEnding, MediaDescription, MediaLine, Origin, Section, SessionDescription,
    fuzzing,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::Index;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

fn token() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9!#$%&'*+.^_`{|}~-]{1,12}"
}

fn ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| Ipv4Addr::from_bits(bits).into()),
        any::<u128>().prop_map(|bits| Ipv6Addr::from_bits(bits).into()),
    ]
}

fn address() -> impl Strategy<Value = CandidateAddress> {
    let name = "[a-z][a-z0-9-]{0,20}\\.local";
    prop_oneof![
        ip().prop_map(CandidateAddress::Ip),
        name.prop_map(CandidateAddress::Name)
    ]
}

fn candidate() -> impl Strategy<Value = Candidate> {
    let kind = prop_oneof![
        Just(CandidateKind::Host),
        Just(CandidateKind::ServerReflexive),
        Just(CandidateKind::PeerReflexive),
        Just(CandidateKind::Relayed),
        "x-[a-z]{1,5}".prop_map(CandidateKind::Other),
    ];
    let tcp_type = prop_oneof![Just(TcpType::Active), Just(TcpType::Passive), Just(TcpType::So)];
    let required = (
        "[a-zA-Z0-9+/]{1,32}",
        1..=256u16,
        "udp|UDP|tcp|x-quic",
        any::<u32>(),
        address(),
        any::<u16>(),
        kind,
    );
    let optional = (
        option::of((address(), any::<u16>())),
        option::of(tcp_type),
        vec(("x-[a-z]{1,8}", "[!-~]{0,8}"), 0..4),
    );
    (required, optional).prop_map(|(required, (related, tcp_type, extensions))| {
        let (foundation, component, transport, priority, address, port, kind) = required;
        let (related_address, related_port) = related.unzip();
        Candidate {
            foundation,
            component,
            transport,
            priority,
            address,
            port,
            kind,
            related_address,
            related_port,
            tcp_type,
            extensions,
        }
    })
}

fn payload_type() -> impl Strategy<Value = PayloadType> {
    (0..128u8).prop_map(|number| PayloadType::new(number).expect("7 bits"))
}

fn direction() -> impl Strategy<Value = Direction> {
    any::<(bool, bool)>().prop_map(|(sends, receives)| Direction::new(sends, receives))
}

fn fingerprint() -> impl Strategy<Value = Fingerprint> {
    prop_oneof![
        vec(any::<u8>(), 32).prop_map(|digest| Fingerprint::new(HashFunction::Sha256, digest)),
        vec(any::<u8>(), 64).prop_map(|digest| Fingerprint::new(HashFunction::Sha512, digest)),
        ("x-[a-z]{1,5}", vec(any::<u8>(), 1..9))
            .prop_map(|(f, digest)| Fingerprint::new(HashFunction::Other(f), digest)),
    ]
}

fn rid() -> impl Strategy<Value = Rid> {
    let restriction = ("max-[a-z]{1,6}", option::of("[0-9,]{1,6}"));
    let restriction = restriction.prop_map(|(name, value)| RidRestriction { name, value });
    (
        "[a-zA-Z0-9_-]{1,8}",
        any::<bool>(),
        vec(token(), 0..3),
        vec(restriction, 0..3),
    )
        .prop_map(|(id, sends, formats, restrictions)| {
            let direction = if sends { RidDirection::Send } else { RidDirection::Recv };
            Rid {
                id,
                direction,
                formats,
                restrictions,
            }
        })
}

fn simulcast() -> impl Strategy<Value = Simulcast> {
    let stream = ("[a-zA-Z0-9_-]{1,4}", any::<bool>()).prop_map(|(rid, paused)| SimulcastStream { rid, paused });
    let streams = || vec(vec(stream.clone(), 1..3), 0..4);
    (vec(vec(stream.clone(), 1..3), 1..4), streams(), any::<bool>()).prop_map(|(some, more, sends)| match sends {
        true => Simulcast { send: some, recv: more },
        false => Simulcast { send: more, recv: some },
    })
}

fn setup() -> impl Strategy<Value = Setup> {
    prop_oneof![
        Just(Setup::Active),
        Just(Setup::Passive),
        Just(Setup::ActPass),
        Just(Setup::HoldConn)
    ]
}

/// Most families of attributes; each is a value that its grammar allows.
fn attribute() -> impl Strategy<Value = Attribute> {
    let ice = prop_oneof![
        candidate().prop_map(Attribute::from),
        "[a-zA-Z0-9+/]{4,32}".prop_map(|text| IceUfrag(text).into()),
        "[a-zA-Z0-9+/]{22,32}".prop_map(|text| IcePwd(text).into()),
        vec(token(), 1..4).prop_map(|options| IceOptions(options).into()),
    ];
    let transport = prop_oneof![
        fingerprint().prop_map(Attribute::from),
        setup().prop_map(Attribute::from),
        any::<u16>().prop_map(|port| SctpPort(port).into()),
        any::<u64>().prop_map(|size| MaxMessageSize(size).into()),
        vec(any::<u8>(), 1..40).prop_map(|chunk| SctpInit(chunk).into()),
        (any::<u16>(), ip()).prop_map(|(port, address)| Rtcp::new(port, address).into()),
    ];
    let rtp = prop_oneof![
        (payload_type(), token(), 1..200_000u32, option::of(1..9u32)).prop_map(
            |(payload_type, encoding, clock_rate, channels)| {
                RtpMap {
                    payload_type,
                    encoding,
                    clock_rate,
                    channels,
                }
                .into()
            }
        ),
        (token(), "[ -~]{0,30}").prop_map(|(format, text)| Fmtp { format, text }.into()),
        (option::of(payload_type()), token(), option::of("[!-~][ -~]{0,9}")).prop_map(
            |(payload_type, kind, parameter)| {
                RtcpFb {
                    payload_type,
                    kind,
                    parameter,
                }
                .into()
            }
        ),
        (
            1..=u16::MAX,
            option::of(direction()),
            "[a-z:/.]{1,20}",
            option::of("[!-~]{1,9}")
        )
            .prop_map(|(id, direction, uri, attributes)| ExtMap {
                id,
                direction,
                uri,
                attributes
            }
            .into()),
        (any::<u32>(), token(), option::of("[ -~]{0,20}"))
            .prop_map(|(ssrc, n, v)| Ssrc::new(ssrc, &n, v.as_deref()).into()),
        (token(), vec(any::<u32>(), 0..4)).prop_map(|(semantics, ssrcs)| SsrcGroup { semantics, ssrcs }.into()),
        rid().prop_map(Attribute::from),
        simulcast().prop_map(Attribute::from),
        direction().prop_map(Attribute::from),
    ];
    let grouping = prop_oneof![
        token().prop_map(|mid| Mid(mid).into()),
        vec(token(), 0..4).prop_map(|mids| Group::bundle(mids).into()),
        (token(), option::of(token())).prop_map(|(stream, track)| Msid { stream, track }.into()),
        ("x-[a-z]{1,9}", option::of("[^\0\r\n]{0,20}")).prop_map(|(name, value)| Attribute::Other { name, value }),
    ];
    prop_oneof![ice, transport, rtp, grouping]
}

fn media() -> impl Strategy<Value = MediaDescription> {
    let line = (
        token(),
        any::<u16>(),
        option::of(1..100u32),
        "UDP/TLS/RTP/SAVPF|UDP/DTLS/SCTP",
        vec(token(), 1..5),
    );
    (line, option::of(ip()), vec(attribute(), 0..12)).prop_map(|(line, address, attributes)| {
        let (kind, port, port_count, protocol, formats) = line;
        let mut media = MediaDescription::new(&MediaLine {
            kind,
            port,
            port_count,
            protocol,
            formats,
        });
        push_all(&mut media, &attributes);
        if let Some(address) = address {
            media.set_connection(&Connection::new(address));
        }
        media
    })
}

/// Pushes what `Attribute` holds, as text.
fn push_all(section: &mut impl Section, attributes: &[Attribute]) {
    for attribute in attributes {
        let text = attribute.to_string();
        match text.split_once(':') {
            Some((name, value)) => section.push_raw(name, Some(value)),
            None => section.push_raw(&text, None),
        };
    }
}

fn session() -> impl Strategy<Value = SessionDescription> {
    (
        any::<(u64, u64)>(),
        "[^\0\r\n]{0,20}",
        option::of(any::<u64>()),
        vec(attribute(), 0..8),
        vec(media(), 0..4),
    )
        .prop_map(|((id, version), name, bandwidth, attributes, media)| {
            let mut session = SessionDescription::new(&Origin::new(id, version));
            push_all(&mut session, &attributes);
            session.set_name(&name);
            if let Some(bandwidth) = bandwidth {
                session.set_line('b', Bandwidth::new(Bandwidth::TIAS, bandwidth));
            }
            session.set_line('i', "set late, to be put in its place");
            session.media = media;
            session
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn attributes_are_what_they_are_written_as(attribute in attribute()) {
        prop_assert_eq!(attribute.to_string().parse(), Ok(attribute));
    }

    #[test]
    fn candidates_are_what_they_are_written_as(candidate in candidate()) {
        prop_assert_eq!(candidate.to_string().parse(), Ok(candidate.clone()));
        prop_assert_eq!(candidate.to_attribute().parse(), Ok(candidate));
    }

    #[test]
    fn what_is_built_comes_back(session in session()) {
        let text = session.to_string();
        let parsed = SessionDescription::parse(&text).unwrap();
        prop_assert_eq!(parsed.check(), Ok(()));
        prop_assert_eq!(parsed.to_string(), text);
        prop_assert_eq!(parsed, session);
    }

    /// Endings of any kind survive, and a change touches nothing else.
    #[test]
    fn endings_survive(session in session(), lf in vec(any::<bool>(), 64), ended: bool, blank in 0..3usize) {
        let mut text = String::new();
        for (line, lf) in session.to_string().lines().zip(lf.iter().cycle()) {
            text.push_str(line);
            text.push_str(if *lf { "\n" } else { "\r\n" });
        }
        text.push_str(&"\r\n".repeat(blank));
        if !ended {
            text.truncate(text.trim_end_matches(['\r', '\n']).len());
        }
        let mut parsed = SessionDescription::parse(&text).unwrap();
        prop_assert_eq!(parsed.to_string(), text.as_str());
        let ends_so = |ending| parsed.lines().iter().any(|line| line.ending() == ending);
        prop_assert!(ended || session.media.is_empty() == ends_so(LineEnding::None));

        parsed.push(&Mid::new("added"));
        parsed.set_origin(&Origin::new(7, 7));
        let again = SessionDescription::parse(&parsed.to_string()).unwrap();
        prop_assert_eq!(again.to_string(), parsed.to_string());
        prop_assert_eq!(again.lines().len(), session.lines().len() + 1);
        prop_assert_eq!(again.media.len(), session.media.len());
    }

    #[test]
    fn fragments_come_back(attributes in vec(attribute(), 0..5), media in vec(media(), 0..3)) {
        let mut fragment = Fragment::new();
        push_all(&mut fragment, &attributes);
        fragment.media = media;
        prop_assert_eq!(Fragment::parse(&fragment.to_string()), Ok(fragment));
    }

    #[test]
    fn garbage_never_panics(
        bytes in vec(any::<u8>(), 0..300),
        text in "([a-z]=[ -~]{0,12}\r?\n){0,12}",
        line in "\\PC{0,60}",
    ) {
        fuzzing::description(&bytes);
        fuzzing::description(text.as_bytes());
        fuzzing::candidate(line.as_bytes());
        let _ = line.parse::<Attribute>();
        for name in ["candidate", "fingerprint", "rid", "simulcast", "sctp-init", "rtpmap", "extmap", "identity"] {
            let _ = Attribute::parse(name, Some(&line));
        }
    }

    /// Real descriptions with bytes changed, cut out and doubled.
    #[test]
    fn mutated_samples_never_panic(which in 0..3usize, edits in vec((any::<Index>(), any::<u8>(), 0..3u8), 1..8)) {
        let mut bytes = SAMPLES[which].as_bytes().to_vec();
        for (place, byte, edit) in edits {
            let place = place.index(bytes.len());
            match edit {
                0 => bytes[place] = byte & 0x7F,
                1 => drop(bytes.drain(place..bytes.len().min(place + usize::from(byte)))),
                _ => bytes.extend_from_within(place..),
            }
            if bytes.is_empty() {
                break;
            }
        }
        fuzzing::description(&bytes);
    }

    #[test]
    fn mutated_candidates_never_panic(candidate in candidate(), place in any::<Index>(), byte in 0..128u8) {
        let mut bytes = candidate.to_attribute().into_bytes();
        let place = place.index(bytes.len());
        bytes[place] = byte;
        fuzzing::candidate(&bytes);
        fuzzing::candidate(&bytes[..place]);
    }
}

const SAMPLES: [&str; 3] = [
    include_str!("samples/chromium-156.0.8078.79-avdc-offer.sdp"),
    include_str!("samples/firefox-153.7.0-simulcast3-offer.sdp"),
    include_str!("samples/firefox-153.7.0-dc-answer.sdp"),
];

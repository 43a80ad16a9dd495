//! SCTP's handshake in the descriptions (SNAP, draft-hancke-tsvwg-snap), and DTLS inside ICE's checks (SPED): who says what, and
//! what comes of it.

mod common;

use std::time::Duration;

use common::{Lab, config};
use peerline_connection::{
    Config, Connection, DataChannelInit, Error, Event, OfferOptions, SdpFault, SessionDescription,
};
use peerline_dtls::ProtocolVersion;
use peerline_sim::{Link, epoch};

fn lab(change: impl Fn(usize, &mut Config)) -> Lab {
    let configs = [0, 1].map(|who| {
        let mut config = config(3, who);
        change(who, &mut config);
        config
    });
    Lab::with(3, Link::delay(Duration::from_millis(10)), configs)
}

fn inits(lab: &Lab) -> [Option<String>; 2] {
    [0, 1].map(|who| {
        let sdp = lab.peer(who).local_description().expect("it was set").sdp;
        let mut lines = sdp.lines();
        lines.find(|line| line.starts_with("a=sctp-init:")).map(str::to_owned)
    })
}

/// Connects, and sends a message each way.
fn talk(lab: &mut Lab) {
    let near = lab.open(0, "chat", DataChannelInit::default());
    lab.offer(0, OfferOptions::default());
    let far = lab.expect_incoming(1);
    lab.expect_event(0, &Event::ChannelOpen(near));
    lab.send(0, near, "there");
    lab.expect_message(1, far);
    lab.send(1, far, "and back");
    lab.expect_message(0, near);
}

#[test]
fn each_description_repeats_its_init() {
    let mut lab = lab(|_, _| {});
    talk(&mut lab);
    let first = inits(&lab);
    assert!(first.iter().all(Option::is_some));
    assert_ne!(first[0], first[1]);
    for (who, ice_restart) in [(0, false), (1, false), (0, true), (1, true)] {
        lab.offer(who, OfferOptions { ice_restart });
        lab.run_for(Duration::from_secs(2));
        assert_eq!(inits(&lab), first);
    }
}

#[test]
fn whoever_lacks_either_is_spoken_to_without() {
    for (snap, sped) in [(false, true), (true, false), (false, false)] {
        for without in 0..2 {
            let mut lab = lab(|who, config| {
                if who == without {
                    (config.snap, config.sped) = (snap, sped);
                }
            });
            talk(&mut lab);
            // An answer has what the offer has; an offer says what it could.
            let [offered, answered] = inits(&lab).map(|init| init.is_some());
            assert_eq!(
                (offered, answered),
                (snap || without == 1, snap),
                "{snap} {sped} {without}"
            );
        }
    }
}

/// One side, or both, have DTLS 1.2 alone, with each choice of what else they have.
#[test]
fn whoever_lacks_dtls_1_3_is_spoken_to_by_1_2() {
    let [v12, v13] = [ProtocolVersion::DTLS_1_2, ProtocolVersion::DTLS_1_3];
    for (snap, sped) in [(true, true), (false, true), (true, false), (false, false)] {
        for (versions, expected) in [
            ([v12, v13], "FEFD"),
            ([v13, v12], "FEFD"),
            ([v12; 2], "FEFD"),
            ([v13; 2], "FEFC"),
        ] {
            let mut lab = lab(|who, config| {
                config.max_dtls_version = versions[who];
                (config.snap, config.sped) = (snap, sped);
            });
            talk(&mut lab);
            for who in 0..2 {
                let report = lab.with_peer(who, |peer, now| peer.stats(now));
                let transport = report.transport().expect("it is connected");
                assert_eq!(
                    transport.tls_version.as_deref(),
                    Some(expected),
                    "{versions:?} {snap} {sped}"
                );
            }
        }
    }
}

#[test]
fn channels_that_come_with_a_later_offer_open_at_once() {
    let mut lab = lab(|_, _| {});
    let track = peerline_connection::TrackOrKind::Kind(peerline_connection::MediaKind::Audio);
    lab.with_peer(0, |peer, now| peer.add_transceiver(now, track, Default::default()))
        .expect("a transceiver");
    lab.offer(0, OfferOptions::default());
    lab.run_for(Duration::from_secs(2));
    assert_eq!(inits(&lab), [None, None]);
    talk(&mut lab);
    assert!(inits(&lab).iter().all(Option::is_some));
}

#[test]
fn an_init_that_is_none_is_refused() {
    let mut lab = lab(|_, _| {});
    lab.open(0, "chat", DataChannelInit::default());
    let offer = lab
        .with_peer(0, |peer, _| peer.create_offer(OfferOptions::default()))
        .expect("an offer")
        .sdp;
    let line = offer
        .lines()
        .find(|line| line.starts_with("a=sctp-init:"))
        .expect("it is there");
    let apply = |init: &str| {
        let mut peer = Connection::new(epoch(), config(4, 1));
        let offer = offer.replace(line, &format!("a=sctp-init:{init}"));
        peer.set_remote_description(epoch(), SessionDescription::offer(offer))
    };
    // An INIT ACK; an INIT whose tag is 0; one that ends early; one that has a parameter cut.
    for init in [
        "AgAAHols3R0AUAAA/////+B5ZR3AAAAEgAgABoLA",
        "AQAAHgAAAAAAUAAA/////+B5ZR3AAAAEgAgABoLA",
        "AQAAHols3R0AUAAA",
        "AQAAHYls3R0AUAAA/////+B5ZR3AAAAEgAgABoI=",
    ] {
        let refused = apply(init);
        assert!(
            matches!(refused, Err(Error::SdpSemantics(SdpFault::BadSctpInit))),
            "{init}: {refused:?}"
        );
    }
    for init in ["", "AQ", "no base64"] {
        assert!(matches!(apply(init), Err(Error::SdpSyntax(_))), "{init}");
    }
    // The example of the draft is a good one.
    assert!(apply("AQAAHols3R0AUAAA/////+B5ZR3AAAAEgAgABoLA").is_ok());
}

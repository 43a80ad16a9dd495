//! Setting up: with and without trickle, again, anew, and wrongly.

mod common;

use std::future::Future;

use common::announcer::Announcer;
use common::{configuration, have_answered, negotiate, next_channel, pair, peer, soon};
use peerline::{
    Configuration, ConnectionState, DataChannelInit, Error, IceCandidate, IceConnectionState, IceGatheringState,
    Message, OfferOptions, PeerConnection, PeerEvent, SdpType, SessionDescription, SignalingState,
};

#[tokio::test]
async fn without_trickle() {
    let pair = pair().await;
    assert_eq!(pair.alice.signaling_state(), SignalingState::Stable);
    assert_eq!(pair.alice.ice_gathering_state(), IceGatheringState::Complete);
    assert_eq!(pair.alice.connection_state(), ConnectionState::Connected);
    assert_eq!(pair.bob.connection_state(), ConnectionState::Connected);
    assert!(matches!(
        pair.alice.ice_connection_state(),
        IceConnectionState::Connected | IceConnectionState::Completed
    ));
    let offer = pair.alice.current_local_description().unwrap();
    assert_eq!(
        (offer.kind, pair.bob.current_local_description().unwrap().kind),
        (SdpType::Offer, SdpType::Answer)
    );
    assert!(
        offer.sdp.contains("a=candidate:") && offer.sdp.contains("a=end-of-candidates"),
        "{}",
        offer.sdp
    );
    assert_eq!(pair.alice.remote_description().unwrap().kind, SdpType::Answer);
    assert_eq!(pair.alice.pending_local_description(), None);
}

#[tokio::test]
async fn with_default_configuration() {
    let alice = PeerConnection::new(Configuration::default()).await.unwrap();
    let bob = PeerConnection::new(Configuration::default()).await.unwrap();
    let channel = alice
        .create_data_channel("default", DataChannelInit::default())
        .unwrap();
    negotiate(&alice, &bob).await;
    soon("the channel opens", channel.opened()).await.unwrap();
}

/// Everything that happens to `peer`, candidates passed on to `other` as they come, until both ends have what they want.
async fn trickle(peer: &PeerConnection, other: &PeerConnection) -> Vec<PeerEvent> {
    let mut seen = Vec::new();
    loop {
        let event = soon("an event", peer.next_event()).await.expect("the connection lives");
        if let PeerEvent::IceCandidate(candidate) = &event {
            other.add_ice_candidate(candidate.clone()).unwrap();
        }
        let connected = matches!(event, PeerEvent::ConnectionState(ConnectionState::Connected));
        seen.push(event);
        if connected {
            return seen;
        }
    }
}

#[tokio::test]
async fn with_trickle() {
    let (alice, bob) = (peer().await, peer().await);
    let chat = alice.create_data_channel("chat", DataChannelInit::default()).unwrap();
    assert!(matches!(
        soon("negotiation is needed", alice.next_event()).await,
        Some(PeerEvent::NegotiationNeeded)
    ));
    let offer = alice.create_offer().unwrap();
    assert!(!offer.sdp.contains("a=candidate:"), "no candidate is known yet");
    alice.set_local_description(offer.clone()).unwrap();
    bob.set_remote_description(offer).unwrap();
    let answer = bob.create_answer().unwrap();
    bob.set_local_description(answer.clone()).unwrap();
    alice.set_remote_description(answer).unwrap();

    let (seen_by_alice, seen_by_bob) = tokio::join!(trickle(&alice, &bob), trickle(&bob, &alice));
    for seen in [&seen_by_alice, &seen_by_bob] {
        let has = |wanted: &dyn Fn(&PeerEvent) -> bool| seen.iter().any(wanted);
        assert!(has(
            &|event| matches!(event, PeerEvent::IceCandidate(Some(c)) if c.candidate.contains("127.0.0.1"))
        ));
        assert!(has(&|event| matches!(
            event,
            PeerEvent::IceGatheringState(IceGatheringState::Complete)
        )));
        assert!(has(&|event| matches!(
            event,
            PeerEvent::IceConnectionState(IceConnectionState::Checking)
        )));
        assert!(has(&|event| matches!(
            event,
            PeerEvent::ConnectionState(ConnectionState::Connecting)
        )));
        assert!(has(&|event| matches!(
            event,
            PeerEvent::SignalingState(SignalingState::Stable)
        )));
        let end = seen
            .iter()
            .position(|event| matches!(event, PeerEvent::IceCandidate(None)));
        let last = seen
            .iter()
            .rposition(|event| matches!(event, PeerEvent::IceCandidate(Some(_))));
        assert!(
            end.is_some() && last < end,
            "the end of candidates follows the last one: {seen:?}"
        );
    }
    soon("the channel opens", chat.opened()).await.unwrap();
    assert_eq!(next_channel(&bob).await.label(), "chat");
}

#[tokio::test]
async fn several_tasks_may_wait_for_the_same() {
    let (alice, bob) = (peer().await, peer().await);
    let channel = alice
        .create_data_channel("popular", DataChannelInit::default())
        .unwrap();
    let waiting: Vec<_> = (0..5)
        .map(|_| {
            let (channel, alice) = (channel.clone(), alice.clone());
            tokio::spawn(async move {
                alice.gathering_complete().await;
                channel.opened().await
            })
        })
        .collect();
    negotiate(&alice, &bob).await;
    for task in waiting {
        soon("each sees it open", task).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn renegotiation_keeps_what_runs() {
    let pair = pair().await;
    let before = pair.alice.stats();
    negotiate(&pair.bob, &pair.alice).await;
    negotiate(&pair.alice, &pair.bob).await;
    pair.a.send("still here").await.unwrap();
    assert_eq!(
        soon("a message", pair.b.recv()).await,
        Some(Message::from("still here"))
    );
    let transport = |report: &peerline::StatsReport| report.transport().unwrap().selected_candidate_pair_changes;
    assert_eq!(transport(&before), transport(&pair.alice.stats()));
}

#[tokio::test]
async fn ice_restarts_while_data_flows() {
    let pair = pair().await;
    let ufrag = |description: Option<SessionDescription>| {
        let sdp = description.unwrap().sdp;
        sdp.lines()
            .find_map(|line| line.strip_prefix("a=ice-ufrag:"))
            .unwrap()
            .to_owned()
    };
    let old = (
        ufrag(pair.alice.local_description()),
        ufrag(pair.bob.local_description()),
    );
    let (a, b) = (pair.a.clone(), pair.b.clone());
    let flow = tokio::spawn(async move {
        for i in 0..2000_u32 {
            a.send(i.to_be_bytes().to_vec()).await.unwrap();
            assert_eq!(
                soon("an echo", a.recv()).await,
                Some(Message::from(i.to_be_bytes().to_vec()))
            );
        }
    });
    let echo = tokio::spawn(async move {
        while let Some(message) = b.recv().await {
            b.send(message).await.unwrap();
        }
    });
    // Once by the option, once by the method, the second from the other side.
    let offer = pair
        .alice
        .create_offer_with(OfferOptions { ice_restart: true })
        .unwrap();
    pair.alice.set_local_description(offer).unwrap();
    have_answered(&pair.alice, &pair.bob).await;
    pair.bob.restart_ice();
    negotiate(&pair.bob, &pair.alice).await;

    let new = (
        ufrag(pair.alice.local_description()),
        ufrag(pair.bob.local_description()),
    );
    assert!(old.0 != new.0 && old.1 != new.1);
    soon("all echoes", flow).await.unwrap();
    assert_eq!(pair.alice.connection_state(), ConnectionState::Connected);
    pair.a.close();
    soon("the echo ends", echo).await.unwrap();
}

#[tokio::test]
async fn what_is_wrong_is_refused_by_name_and_changes_nothing() {
    let pair = pair().await;
    let name = |result: Result<(), Error>| result.unwrap_err().name();
    assert_eq!(
        name(pair.alice.set_remote_description(SessionDescription::offer("nonsense"))),
        "OperationError"
    );
    assert_eq!(
        name(pair.alice.set_remote_description(SessionDescription::answer("v=0\r\n"))),
        "InvalidStateError"
    );
    let candidate = IceCandidate {
        candidate: "candidate:".into(),
        sdp_mid: Some("0".into()),
        ..IceCandidate::default()
    };
    assert_eq!(name(pair.alice.add_ice_candidate(candidate)), "OperationError");
    assert_eq!(
        name(peer().await.add_ice_candidate(IceCandidate::default())),
        "InvalidStateError"
    );
    assert_eq!(name(pair.alice.create_answer().map(drop)), "InvalidStateError");
    let error = pair.alice.create_answer().unwrap_err();
    assert!(error.to_string().starts_with("InvalidStateError: "), "{error}");

    pair.a.send("unharmed").await.unwrap();
    assert_eq!(soon("a message", pair.b.recv()).await, Some(Message::from("unharmed")));
}

/// A browser's page does not learn addresses: its candidates have names, which multicast DNS resolves (RFC 6762).
#[tokio::test]
async fn a_candidate_with_a_local_name_connects() {
    let name = format!("peerline-{}", std::process::id());
    let _announcer = Announcer::start(&name, "127.0.0.1".parse().unwrap());

    let (alice, bob) = (peer().await, peer().await);
    let channel = alice.create_data_channel("named", DataChannelInit::default()).unwrap();
    let offer = alice.create_offer().unwrap();
    alice.set_local_description(offer.clone()).unwrap();
    bob.set_remote_description(offer).unwrap();
    let answer = bob.create_answer().unwrap();
    bob.set_local_description(answer.clone()).unwrap();
    alice.set_remote_description(answer).unwrap();
    // Bob hears names only and alice hears nothing: no check leaves before a name is resolved. One that nobody answers to
    // is in the way.
    loop {
        let event = soon("a candidate", alice.next_event()).await;
        if let Some(PeerEvent::IceCandidate(Some(candidate))) = event {
            for name in ["peerline-nobody.local", &format!("{name}.local")] {
                let candidate = candidate.candidate.replace("127.0.0.1", name);
                bob.add_ice_candidate(IceCandidate {
                    candidate,
                    sdp_mid: Some("0".into()),
                    ..IceCandidate::default()
                })
                .unwrap();
            }
            break;
        }
    }
    soon("the channel opens", channel.opened()).await.unwrap();
}

#[tokio::test]
async fn statistics_count() {
    let pair = pair().await;
    pair.a.send(vec![7; 1000]).await.unwrap();
    soon("a message", pair.b.recv()).await.unwrap();
    let report = pair.bob.stats();
    let channel = report.data_channels().next().unwrap();
    assert_eq!(
        (
            channel.label.as_str(),
            channel.messages_received,
            channel.bytes_received
        ),
        ("test", 1, 1000)
    );
    assert!(report.transport().unwrap().bytes_received > 1000);
    assert!(report.selected_candidate_pair().is_some());
}

#[test]
fn outside_of_a_runtime_nothing_is_created() {
    let mut creation = Box::pin(PeerConnection::new(configuration()));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(result) = creation.as_mut().poll(&mut context) else {
        panic!("it does not wait")
    };
    assert_eq!(result.unwrap_err(), Error::NoRuntime);
}

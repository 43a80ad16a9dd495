//! Fatal alerts that come at odd moments, from the peer or from anybody.

mod common;

use std::time::Duration;

use common::attacked::{datagrams_of, feed};
use common::{Dtls, assert_healthy, configs, configs13, connect, connected, pair, plaintext, seal};
use peerline_dtls::wire::alert::{Alert, AlertDescription};
use peerline_dtls::wire::record::ContentType;
use peerline_dtls::{CloseReason, Connection, Event, Role};
use peerline_sim::{Link, Pair, epoch};

/// `bad_certificate`, `unsupported_certificate`, `decode_error`, `too_many_cids_requested`, and numbers that are nobody's or no alert's.
const DESCRIPTIONS: [u8; 7] = [42, 43, 50, 52, 0, 99, 255];

/// Halves of the time that a datagram takes: the handshakes are over before the last.
const MOMENTS: u32 = 16;
const STEP: Duration = Duration::from_millis(5);

/// A handshake up to a moment, in which one side then gets an alert that anybody can send.
fn alerted(is_13: bool, moment: u32, at_client: bool, alert: &[u8]) -> Pair<Dtls> {
    let mut pair = pair(if is_13 { configs13() } else { configs() });
    pair.run_for(STEP * moment);
    let now = pair.now();
    let side = if at_client { &mut pair.a } else { &mut pair.b };
    Connection::handle_datagram(side, now, plaintext::record(ContentType::ALERT, alert)[..].into());
    pair
}

/// Whoever sends it, the handshake goes on if the peer does.
#[test]
fn alerts_that_anybody_can_send_stop_no_handshake() {
    for is_13 in [false, true] {
        for (moment, at_client) in (0..MOMENTS).flat_map(|moment| [(moment, true), (moment, false)]) {
            for description in DESCRIPTIONS {
                for alert in [
                    &[2, description][..],
                    &[1, description],
                    &[2],
                    &[2, description, 0],
                    &[],
                ] {
                    let mut pair = alerted(is_13, moment, at_client, alert);
                    pair.run_for(Duration::from_secs(3));
                    let what = format!("{is_13} {moment} {at_client} {alert:?}");
                    assert!(pair.a.is_connected() && pair.b.is_connected(), "{what}");
                    assert_healthy(&mut pair);
                }
            }
        }
    }
}

/// Where the peer is never heard again, it may have been the peer's last word: whoever waits for an answer ends with it. Who has
/// connected, or has heard of nobody yet, stays.
#[test]
fn an_alert_that_silence_follows_ends_a_handshake_and_no_connection() {
    for is_13 in [false, true] {
        let mut ended = 0;
        for (moment, at_client) in (0..MOMENTS).flat_map(|moment| [(moment, true), (moment, false)]) {
            for description in DESCRIPTIONS {
                let mut pair = alerted(is_13, moment, at_client, &[2, description]);
                let dead = Link::default().dropping(|_| true);
                (pair.a_to_b.link, pair.b_to_a.link) = (dead.clone(), dead);
                // What is under way arrives.
                pair.run_for(Duration::from_millis(10));
                let was_connected = match at_client {
                    true => pair.a.is_connected(),
                    false => pair.b.is_connected(),
                };
                // A server that has heard of nobody, and one that has heard something since, do not believe it.
                pair.run_for(Duration::from_millis(1500));
                let (events, is_closed) = match at_client {
                    true => (pair.take_events_a(), pair.a.is_closed()),
                    false => (pair.take_events_b(), pair.b.is_closed()),
                };
                let what = format!("{is_13} {moment} {at_client} {description}: {events:?}");
                let told = Event::Closed(CloseReason::PeerAlert(AlertDescription(description)));
                assert_eq!(is_closed, events.contains(&told), "{what}");
                assert!(!(is_closed && was_connected), "{what}");
                if at_client && moment < 2 {
                    assert!(is_closed, "{what}");
                }
                ended += usize::from(is_closed);
            }
        }
        assert!(ended >= 3 * DESCRIPTIONS.len(), "{ended}");
    }
}

/// Neither side trusts the other: each refuses with an alert, and none connects.
#[test]
fn two_that_do_not_trust_each_other_do_not_connect() {
    for configs in [configs(), configs13()] {
        let own = configs
            .each_ref()
            .map(|config| config.certificate.fingerprint(peerline_dtls::HashAlgorithm::Sha256));
        let [mut client, mut server] = configs;
        // Each expects itself.
        client.remote_fingerprints = vec![own[0].clone()];
        server.remote_fingerprints = vec![own[1].clone()];
        let mut pair = pair([client, server]);
        pair.run_for(Duration::from_secs(5));
        assert!(pair.a.is_closed() && pair.b.is_closed());
        let refused = Event::Closed(CloseReason::Failed(peerline_dtls::Fault::FingerprintMismatch));
        let told = Event::Closed(CloseReason::PeerAlert(AlertDescription::BAD_CERTIFICATE));
        // The client sees the other's certificate first, and shows none to whom it does not trust.
        assert_eq!([pair.take_events_a(), pair.take_events_b()], [[refused], [told]]);
    }
}

#[test]
fn forged_alerts_do_not_end_a_handshake() {
    for description in [AlertDescription::HANDSHAKE_FAILURE, AlertDescription::CLOSE_NOTIFY] {
        let alert = Alert::fatal(description);
        let forged = plaintext::record(ContentType::ALERT, &[alert.level.0, alert.description.0]);
        let [client, server] = configs();
        // A slow network: the handshake takes longer than the patience that a doubtful alert is met with.
        let mut pair = pair([client, server]).links(&Link::delay(Duration::from_millis(400)));
        pair.exchange();
        while !(pair.a.is_connected() && pair.b.is_connected()) {
            let now = pair.now();
            for connection in [&mut pair.a, &mut pair.b] {
                Connection::handle_datagram(connection, now, forged[..].into());
            }
            assert!(pair.step(now + Duration::from_secs(2)), "something happens");
        }
        connect(&mut pair, Duration::ZERO);
        assert_healthy(&mut pair);
    }
}

#[test]
fn an_alert_that_is_followed_by_silence_counts() {
    let [client, _] = configs();
    let mut client = Connection::new(client, Role::Client);
    datagrams_of(&mut client, epoch());
    feed(&mut client, &plaintext::record(ContentType::ALERT, &[2, 40]));
    assert_eq!(client.poll_event(), None);
    let mut now = epoch();
    while let Some(next) = client.poll_timeout() {
        now = next;
        client.handle_timeout(now);
        datagrams_of(&mut client, now);
    }
    assert_eq!(now - epoch(), Duration::from_secs(1));
    let reason = CloseReason::PeerAlert(AlertDescription::HANDSHAKE_FAILURE);
    assert_eq!(client.poll_event(), Some(Event::Closed(reason)));
    assert_eq!(reason.received_alert(), Some(AlertDescription::HANDSHAKE_FAILURE));
}

#[test]
fn a_lost_farewell_is_repeated_but_not_for_ever() {
    let mut pair = connected(configs());
    let now = pair.now();
    pair.a.close(now);
    assert_eq!(datagrams_of(&mut pair.a, now).len(), 1, "lost");
    let mut repeats = 0;
    for _ in 0..100 {
        let data = seal(&mut pair.b, b"are you there?");
        feed(&mut pair.a, &data);
        repeats += datagrams_of(&mut pair.a, now).len();
    }
    assert_eq!(repeats, 8);
    assert_eq!(pair.a.recv(), None);
}

//! The bodies of the fuzz targets: a connected pair, one side of which meets what the fuzzer makes up; and descriptions alone.

mod answers;
mod call;
mod pair;

pub use self::answers::answers;
pub use self::call::call;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use peerline_wire::Reader;

use self::pair::Pair;
use crate::{
    Certificate, Config, Connection, ConnectionState, DataChannelInit, IceCandidate, MediaKind, RtpEncodingParameters,
    SdpType, SessionDescription, SignalingState, Track, TransceiverDirection, TransceiverInit, default_provider,
};

/// Each step is a byte that says what to do, and a vector with its length in 16 bits.
///
/// Whatever came from outside DTLS must not have ended the connection: a message still arrives in the end.
pub fn connection(bytes: &[u8]) {
    let mut pair = Pair::connected();
    let mut outside_only = true;
    let mut input = Reader::new(bytes);
    for _ in 0..64 {
        let (Ok(kind), Ok(mut step)) = (input.u8(), input.length_u16()) else {
            break;
        };
        let step = step.rest();
        match kind % 6 {
            0 => pair.deliver(step),
            1 => {
                outside_only = false;
                pair.deliver_sealed(step);
            }
            2 => {
                outside_only = false;
                let offer = SessionDescription::offer(String::from_utf8_lossy(step));
                drop(pair.bob.set_remote_description(pair.now, offer));
                drop(pair.bob.set_local_description(pair.now, None));
                // What was set can be read again from its text.
                pair.bob.negotiation.rest();
                drop(pair.bob.local_description());
            }
            3 => {
                let candidate = String::from_utf8_lossy(step).into_owned();
                let candidate = IceCandidate {
                    candidate,
                    sdp_mid: Some("0".into()),
                    ..IceCandidate::default()
                };
                drop(pair.bob.add_ice_candidate(pair.now, Some(candidate)));
            }
            4 => pair.advance(Duration::from_millis(step.len() as u64)),
            _ => drop(pair.alice.send(pair.now, pair.channel, step.to_vec())),
        }
        pair.exchange();
    }
    if outside_only {
        assert_ne!(
            pair.bob.connection_state(),
            ConnectionState::Closed,
            "nobody outside DTLS closes a connection"
        );
        assert!(pair.still_works(), "a message arrives after all that came from outside");
    }
}

/// Offers and answers of audio, video and data at one live connection, between calls of its media model. Each step is as above.
///
/// What is refused changes nothing, what is answered is answered whole, and all that we write can be read.
pub fn negotiation(bytes: &[u8]) {
    let now = epoch();
    let mut peer = Connection::new(
        now,
        Config {
            rng_seed: [3; 32],
            ..Config::new(certificate())
        },
    );
    let mut input = Reader::new(bytes);
    for _ in 0..32 {
        let (Ok(kind), Ok(mut step)) = (input.u8(), input.length_u16()) else {
            break;
        };
        let step = step.rest();
        let before = visible(&peer);
        let text = || String::from_utf8_lossy(step).into_owned();
        let description = |kind| SessionDescription { kind, sdp: text() };
        let taken = match kind % 8 {
            0 => peer.set_remote_description(now, description(SdpType::Offer)),
            1 => peer.set_remote_description(now, description(SdpType::Answer)),
            2 => peer.set_remote_description(now, description(SdpType::Pranswer)),
            3 => peer.set_local_description(now, None),
            4 if step.is_empty() => peer.set_local_description(now, SessionDescription::rollback()),
            4 => peer.set_remote_description(now, SessionDescription::rollback()),
            5 => {
                let provisional = peer.create_answer().map(|answer| SessionDescription {
                    kind: SdpType::Pranswer,
                    ..answer
                });
                provisional.and_then(|provisional| peer.set_local_description(now, provisional))
            }
            _ => {
                change_media(&mut peer, now, step);
                Ok(())
            }
        };
        if taken.is_err() {
            assert_eq!(visible(&peer), before, "what is refused changes nothing");
        }
        check_descriptions(&peer);
        peer.negotiation.rest();
        while peer.poll_event().is_some() {}
    }
}

/// What an application sees of the media model.
fn visible(peer: &Connection) -> (SignalingState, [Option<SessionDescription>; 4], Vec<String>) {
    let transceivers = peer.transceivers().map(|own| {
        let directions = (own.direction(), own.current_direction());
        format!(
            "{:?} {:?} {directions:?} {:?}",
            own.id(),
            own.mid(),
            own.receiver_streams()
        )
    });
    (
        peer.signaling_state(),
        [
            peer.current_local_description(),
            peer.pending_local_description(),
            peer.current_remote_description(),
            peer.pending_remote_description(),
        ],
        transceivers.collect(),
    )
}

/// Some calls of the media model, as the bytes say: what is called, and of which transceiver.
fn change_media(peer: &mut Connection, now: Instant, bytes: &[u8]) {
    for pair in bytes.chunks_exact(2).take(8) {
        let ids: Vec<_> = peer.transceivers().map(|own| own.id()).collect();
        let id = ids.get(usize::from(pair[1] >> 3) % ids.len().max(1)).copied();
        let kind = [MediaKind::Audio, MediaKind::Video][usize::from(pair[1] & 1)];
        let direction = [
            TransceiverDirection::SendRecv,
            TransceiverDirection::SendOnly,
            TransceiverDirection::RecvOnly,
            TransceiverDirection::Inactive,
        ][usize::from(pair[1] >> 1 & 3)];
        let encoding = |rid: &str| RtpEncodingParameters {
            rid: rid.into(),
            ..RtpEncodingParameters::default()
        };
        match (pair[0] % 8, id) {
            (0, _) => {
                let track = Track {
                    id: format!("{}-{}", ids.len(), pair[1]),
                    kind,
                };
                drop(peer.add_track(now, track, &["stream".into()]));
            }
            (1, _) => {
                let init = TransceiverInit {
                    direction,
                    send_encodings: vec![encoding("h"), encoding("l")],
                    ..TransceiverInit::default()
                };
                drop(peer.add_transceiver(now, kind, init));
            }
            (2, Some(id)) => drop(peer.stop_transceiver(now, id)),
            (3, Some(id)) => drop(peer.remove_track(now, id)),
            (4 | 5, Some(id)) => drop(peer.set_direction(now, id, direction)),
            (6, Some(id)) => {
                let own = peer.transceiver(id).map(|own| own.kind());
                let mut codecs = own.map(|kind| peer.capabilities(kind).codecs).unwrap_or_default();
                codecs.truncate(usize::from(pair[1] >> 1));
                drop(peer.set_codec_preferences(id, &codecs));
            }
            _ => drop(peer.create_data_channel(now, "fuzz", DataChannelInit::default())),
        }
    }
}

/// Our descriptions can be read, and answer what they answer.
fn check_descriptions(peer: &Connection) {
    let parse = |description: SessionDescription| {
        let parsed = peerline_sdp::SessionDescription::parse(&description.sdp).expect("what is set can be read");
        (description.kind, parsed)
    };
    for (local, remote) in [
        (peer.current_local_description(), peer.current_remote_description()),
        (peer.pending_local_description(), peer.pending_remote_description()),
    ] {
        let Some((kind, local)) = local.map(parse) else {
            continue;
        };
        if let Some((_, remote)) = remote.map(parse) {
            assert_eq!(local.media.len(), remote.media.len(), "one section for each");
            for (ours, theirs) in local.media.iter().zip(&remote.media) {
                assert_eq!(ours.kind(), theirs.kind(), "of the same kind");
                let is_accepted = kind == SdpType::Answer && !ours.is_rejected();
                assert!(!is_accepted || !theirs.is_rejected(), "what was rejected stays so");
            }
        }
        for agreed in &peer.agreed {
            let section = local.media_by_mid(&agreed.mid);
            assert!(
                section.is_none_or(|(_, media)| media.kind() == agreed.kind.as_str()),
                "what is in force is described"
            );
        }
    }
}

fn certificate() -> Arc<Certificate> {
    static CERTIFICATE: OnceLock<Arc<Certificate>> = OnceLock::new();
    let make = || {
        let day = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        Arc::new(Certificate::generate(&default_provider(), day).expect("a certificate"))
    };
    CERTIFICATE.get_or_init(make).clone()
}

/// Some instant: the clock is not asked, only its type is needed.
fn epoch() -> Instant {
    #[allow(clippy::disallowed_methods)]
    static EPOCH: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    *EPOCH
}

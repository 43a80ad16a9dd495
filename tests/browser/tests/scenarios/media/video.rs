//! Pictures each way and both ways, in each codec that both sides have.

use super::film::{Clip, Film};
use super::{open, page_adds, page_sum, rust_adds, rust_receives, shown, tracks, watch};
use crate::session::{Session, Side, opened, receive};
use peerline::{
    DataChannelInit, MediaKind, Message, OutgoingFrame, RtpTransceiver, SenderEvent, TrackEvent, TransceiverDirection,
};
use peerline_browser_tests::Browser;
use serde_json::json;
use tokio::task::JoinHandle;

crate::scenarios! {
    each_codec_from_a_page_that_offers
    each_codec_from_a_page_that_answers
    each_codec_to_a_page_that_offers
    each_codec_to_a_page_that_answers
    pictures_sound_and_data_both_ways_when_the_page_offers
    pictures_sound_and_data_both_ways_when_rust_offers
    a_page_sees_its_own_pictures_again
}

/// The codecs for pictures that a browser has.
pub(crate) fn codecs(browser: Browser) -> &'static [Clip] {
    match browser {
        Browser::Chromium => &[Clip::VP8, Clip::VP9, Clip::H264, Clip::AV1],
        // Its H.264 is a download.
        Browser::Firefox => &[Clip::VP8, Clip::VP9, Clip::AV1],
    }
}

async fn each_codec_from_a_page_that_offers(browser: Browser) {
    let mut session = open(browser).await;
    for clip in codecs(browser) {
        page_adds(&session, *clip, "sendonly");
    }
    session.connect(Side::Page).await;
    for (track, clip) in tracks(&mut session, codecs(browser).len())
        .await
        .iter()
        .zip(codecs(browser))
    {
        assert_whole(track, *clip).await;
    }
}

async fn each_codec_from_a_page_that_answers(browser: Browser) {
    let mut session = open(browser).await;
    let transceivers = codecs(browser).iter().map(|clip| rust_receives(&session, *clip));
    let _transceivers: Vec<RtpTransceiver> = transceivers.collect();
    session.connect_with(Side::Rust, "media.answerWithTracks", |_| ()).await;
    for (track, clip) in tracks(&mut session, codecs(browser).len())
        .await
        .iter()
        .zip(codecs(browser))
    {
        assert_whole(track, *clip).await;
    }
}

/// What comes are whole frames without a gap, and the pictures in them are those that the page drew.
async fn assert_whole(track: &TrackEvent, clip: Clip) {
    let frames = watch::frames(&track.receiver, 30).await;
    watch::assert_gapless(&frames);
    assert_eq!(watch::codec_of(&track.receiver, &frames[0]), clip.mime_type);
    let folder = watch::Folder::new();
    let numbers = watch::numbers(&watch::record(&folder, clip.mime_type, &frames));
    assert_eq!(numbers.len(), frames.len(), "each frame is a picture");
    // A busy page draws more often than it sends.
    let in_order = |pair: &[u8]| pair[1].wrapping_sub(pair[0]) & 31 <= 16;
    assert!(numbers.windows(2).all(in_order), "{clip:?}: {numbers:?}");
}

async fn each_codec_to_a_page_that_offers(browser: Browser) {
    let mut session = open(browser).await;
    for clip in codecs(browser) {
        page_adds(&session, *clip, "recvonly");
    }
    let films: Vec<Film> = codecs(browser).iter().map(|clip| Film::play(*clip)).collect();
    let add_tracks = |session: &Session| {
        for (film, transceiver) in films.iter().zip(session.pc.transceivers()) {
            let sender = session.pc.add_track(&film.source.track(), &[]).expect("it is added");
            assert_eq!(sender, transceiver.sender());
        }
    };
    session.connect_with(Side::Page, "", add_tracks).await;
    assert_decoded(&mut session, films.len()).await;
}

async fn each_codec_to_a_page_that_answers(browser: Browser) {
    let mut session = open(browser).await;
    let films: Vec<Film> = codecs(browser).iter().map(|clip| Film::play(*clip)).collect();
    for film in &films {
        rust_adds(&session, film, TransceiverDirection::SendOnly);
    }
    session.connect(Side::Rust).await;
    assert_decoded(&mut session, films.len()).await;
}

/// The page shows what the films show, each of them.
async fn assert_decoded(session: &mut Session, films: usize) {
    shown(session, films, 30, 16).await;
    assert!(page_sum(session, "inbound-rtp", MediaKind::Video, "framesDecoded") >= 30 * films as u64);
}

async fn pictures_sound_and_data_both_ways_when_the_page_offers(browser: Browser) {
    both_ways(browser, Side::Page).await;
}

async fn pictures_sound_and_data_both_ways_when_rust_offers(browser: Browser) {
    both_ways(browser, Side::Rust).await;
}

async fn both_ways(browser: Browser, offerer: Side) {
    let mut session = open(browser).await;
    let films = [Film::play(Clip::VP8), Film::play(Clip::OPUS)];
    let add_tracks = |session: &Session| {
        for film in &films {
            session
                .pc
                .add_track(&film.source.track(), &["films"])
                .expect("it is added");
        }
    };
    let channel = session.create(Side::Rust, "beside", DataChannelInit::default());
    let channel = match (offerer, channel) {
        (Side::Page, channel) => {
            // What Rust creates before the offer comes would need one of its own.
            page_adds(&session, Clip::VP8, "sendrecv");
            page_adds(&session, Clip::OPUS, "sendrecv");
            session.create(Side::Page, "section", DataChannelInit::default());
            session.connect_with(Side::Page, "", add_tracks).await;
            channel
        }
        (Side::Rust, channel) => {
            add_tracks(&session);
            session.connect_with(Side::Rust, "media.answerWithTracks", |_| ()).await;
            channel
        }
    };
    let channel = channel.expect("Rust has it at once");
    opened(&channel).await;
    session
        .page
        .eval("(async () => (await lab.channel('beside')).echo())()");
    channel.send("beside pictures").await.expect("the channel is open");
    assert_eq!(receive(&channel).await, Message::from("beside pictures"));

    let seen = shown(&mut session, 1, 30, 16).await;
    for arrival in seen.as_object().expect("it is one").values() {
        assert_eq!(arrival["streams"], json!(["films"]));
    }
    for track in tracks(&mut session, 2).await {
        let frames = watch::frames(&track.receiver, 30).await;
        watch::assert_gapless(&frames);
    }
    session
        .pump("the page to hear something", |session| {
            let energy = session
                .page
                .eval("media.sum('inbound-rtp', 'audio', 'totalAudioEnergy')");
            energy.as_f64() > Some(0.0)
        })
        .await;
}

async fn a_page_sees_its_own_pictures_again(browser: Browser) {
    let mut session = open(browser).await;
    for clip in codecs(browser) {
        page_adds(&session, *clip, "sendrecv");
    }
    let set_direction = |session: &Session| {
        for transceiver in session.pc.transceivers() {
            transceiver
                .set_direction(TransceiverDirection::SendRecv)
                .expect("it is not stopped");
        }
    };
    session.connect_with(Side::Page, "", set_direction).await;
    let tracks = tracks(&mut session, codecs(browser).len()).await;
    let echoes: Vec<_> = tracks.into_iter().map(echo).collect();
    assert_decoded(&mut session, echoes.len()).await;
    echoes.iter().for_each(JoinHandle::abort);
}

/// Sends what comes back as it came, and asks for the keyframes that it is asked for.
pub(crate) fn echo(track: TrackEvent) -> JoinHandle<()> {
    let sender = track.transceiver.sender();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                frame = track.receiver.recv_frame() => {
                    let Some(frame) = frame else { return };
                    let frame = OutgoingFrame {
                        payload: frame.payload,
                        timestamp: frame.timestamp,
                        ..OutgoingFrame::default()
                    };
                    // Not before it is agreed on, nor after.
                    let _ = sender.send_frame(frame);
                }
                event = sender.next_event() => match event {
                    Some(SenderEvent::KeyframeRequest { rid }) => track.receiver.request_keyframe(rid.as_deref()),
                    None => return,
                },
            }
        }
    })
}

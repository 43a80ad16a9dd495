//! Pictures in each codec, and sound, over a path that loses packets: they go on, because what is lost is sent again.

use super::film::{Clip, Film};
use super::{page_adds, shown, tracks, video, watch};
use crate::relay::Relay;
use crate::session::{Session, Side};
use peerline::{MediaKind, RtpReceiver, StatsKind};
use peerline_browser_tests::Browser;
use serde_json::json;
use std::time::Duration;

crate::scenarios! {
    pictures_go_on_at_five_percent_loss
    pictures_go_on_at_fifteen_percent_loss
}

async fn pictures_go_on_at_five_percent_loss(browser: Browser) {
    lossy(browser, 50).await;
}

async fn pictures_go_on_at_fifteen_percent_loss(browser: Browser) {
    lossy(browser, 150).await;
}

async fn lossy(browser: Browser, per_mille: u32) {
    let codecs = video::codecs(browser);
    let clips = || codecs.iter().copied().chain([Clip::OPUS]);
    let relay = Relay::new(Duration::from_millis(10));
    let mut session = Session::open_behind(relay, browser, "media.html").await;
    session.page.eval("media.start()");
    clips().for_each(|clip| page_adds(&session, clip, "sendrecv"));
    let films: Vec<Film> = clips().map(Film::play).collect();
    let add_tracks = |session: &Session| {
        for (film, transceiver) in films.iter().zip(session.pc.transceivers()) {
            let sender = session.pc.add_track(&film.source.track(), &[]).expect("it is added");
            assert_eq!(sender, transceiver.sender());
        }
    };
    session.connect_with(Side::Page, "", add_tracks).await;
    shown(&mut session, codecs.len(), 10, 8).await;
    let mut pictures = tracks(&mut session, codecs.len() + 1).await;
    pictures.retain(|track| track.receiver.kind() == MediaKind::Video);
    for track in &pictures {
        watch::frames(&track.receiver, 30).await;
    }

    session.relay.as_ref().expect("it was given").lose(per_mille);
    let films = &films[..codecs.len()];
    let so_far = |session: &Session| {
        films
            .iter()
            .map(|film| (film.taken(), decoded(session, film.clip)))
            .collect()
    };
    let before: Vec<(u64, u64)> = so_far(&session);
    let coming = pictures
        .iter()
        .zip(codecs)
        .map(|(track, clip)| tokio::spawn(count_gaps(track.receiver.clone(), *clip)));
    for coming in coming.collect::<Vec<_>>() {
        let (clip, gaps) = coming.await.expect("frames come");
        // From the page: hardly a frame is lost for good.
        eprintln!("{clip:?} at {per_mille} ‰: {gaps} gaps in {FRAMES} frames");
        assert!(gaps <= 2, "{clip:?}: {gaps} gaps");
    }
    let after: Vec<(u64, u64)> = so_far(&session);
    for ((film, before), after) in films.iter().zip(before).zip(after) {
        let (taken, decoded) = (after.0 - before.0, after.1 - before.1);
        // To the page: it shows most, and what it shows is right.
        eprintln!(
            "{:?} at {per_mille} ‰: {taken} pictures sent, {decoded} decoded",
            film.clip
        );
        assert!(decoded * 10 >= taken * 7, "{:?}: {decoded} of {taken}", film.clip);
    }
    shown(&mut session, codecs.len(), 10, 8).await;

    let come_again = |session: &Session| codecs.iter().all(|clip| came_again(session, *clip));
    session
        .pump("packets of each codec to come again, each way", come_again)
        .await;
    eprintln!(
        "{} datagrams lost",
        session.relay.as_ref().expect("it was given").lost()
    );
}

const FRAMES: usize = 120;

async fn count_gaps(receiver: RtpReceiver, clip: Clip) -> (Clip, usize) {
    let frames = watch::frames(&receiver, FRAMES).await;
    assert_eq!(watch::codec_of(&receiver, &frames[0]), clip.mime_type);
    (clip, frames.iter().filter(|frame| frame.follows_gap).count())
}

fn decoded(session: &Session, clip: Clip) -> u64 {
    page_sum(session, "inbound-rtp", clip, "framesDecoded")
}

/// Each side has asked for packets of that codec, and got them; by the page's word and by ours.
fn came_again(session: &Session, clip: Clip) -> bool {
    let report = session.pc.stats();
    let is_of = |codec: &Option<String>| {
        let codec = codec.as_deref().and_then(|id| report.get(id));
        matches!(codec.map(|stats| &stats.kind), Some(StatsKind::Codec(codec)) if codec.mime_type == clip.mime_type)
    };
    let ours = |(asked, again): (u64, u64)| asked > 0 && again > 0;
    let sent = report.stats.iter().any(|stats| match &stats.kind {
        StatsKind::OutboundRtp(stream) if is_of(&stream.codec_id) => {
            ours((stream.nack_count, stream.retransmitted_packets_sent))
        }
        _ => false,
    });
    let received = report.stats.iter().any(|stats| match &stats.kind {
        StatsKind::InboundRtp(stream) if is_of(&stream.codec_id) => {
            ours((stream.nack_count, stream.retransmitted_packets_received.unwrap_or(0)))
        }
        _ => false,
    });
    let pages = [
        ("inbound-rtp", "nackCount"),
        ("outbound-rtp", "nackCount"),
        ("outbound-rtp", "retransmittedPacketsSent"),
    ];
    sent && received
        && pages
            .iter()
            .all(|(kind, member)| page_sum(session, kind, clip, member) > 0)
}

/// The sum of a member over the page's statistics of pictures in that codec.
fn page_sum(session: &Session, kind_of_stats: &str, clip: Clip, member: &str) -> u64 {
    let arguments = [
        json!(kind_of_stats),
        json!("video"),
        json!(member),
        json!(clip.mime_type),
    ];
    let sum = session.page.call("media.sum", &arguments);
    sum.as_f64().expect("a number") as u64
}

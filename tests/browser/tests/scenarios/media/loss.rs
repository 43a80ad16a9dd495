//! Pictures and sound over a path that loses packets: they go on, because what is lost is sent again.

use super::film::{Clip, Film};
use super::{page_adds, page_sum, shown, stats, track_of, watch};
use crate::relay::Relay;
use crate::session::{Session, Side};
use peerline::{MediaKind, StatsKind};
use peerline_browser_tests::Browser;
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
    let relay = Relay::new(Duration::from_millis(10));
    let mut session = Session::open_behind(relay, browser, "media.html").await;
    session.page.eval("media.start()");
    page_adds(&session, Clip::VP8, "sendrecv");
    page_adds(&session, Clip::OPUS, "sendrecv");
    let films = [Film::play(Clip::VP8), Film::play(Clip::OPUS)];
    let add_tracks = |session: &Session| {
        for film in &films {
            session.pc.add_track(&film.source.track(), &[]).expect("it is added");
        }
    };
    session.connect_with(Side::Page, "", add_tracks).await;
    shown(&mut session, 1, 10, 8).await;
    let pictures = track_of(&mut session, MediaKind::Video).await;
    watch::frames(&pictures.receiver, 30).await;

    session.relay.as_ref().expect("it was given").lose(per_mille);
    let taken = films[0].taken();
    let decoded = page_sum(&session, "inbound-rtp", MediaKind::Video, "framesDecoded");
    let frames = watch::frames(&pictures.receiver, 180).await;
    let gaps = frames.iter().filter(|frame| frame.follows_gap).count();
    let taken = films[0].taken() - taken;
    let decoded = page_sum(&session, "inbound-rtp", MediaKind::Video, "framesDecoded") - decoded;
    eprintln!(
        "{per_mille} ‰: {taken} pictures sent, {decoded} decoded; {gaps} gaps in {} frames; {} datagrams lost",
        frames.len(),
        session.relay.as_ref().expect("it was given").lost()
    );
    // From the page: hardly a frame is lost for good.
    assert!(gaps <= 2, "{gaps} gaps");
    // To the page: it shows nearly all, and what it shows is right.
    assert!(decoded * 10 >= taken * 8, "{decoded} of {taken}");
    shown(&mut session, 1, 10, 8).await;

    assert!(page_sum(&session, "inbound-rtp", MediaKind::Video, "nackCount") > 0);
    assert!(page_sum(&session, "outbound-rtp", MediaKind::Video, "nackCount") > 0);
    assert!(page_sum(&session, "outbound-rtp", MediaKind::Video, "retransmittedPacketsSent") > 0);
    let again = stats(&session, |kind| match kind {
        StatsKind::OutboundRtp(outbound) => Some(outbound.retransmitted_packets_sent),
        StatsKind::InboundRtp(inbound) if inbound.kind == MediaKind::Video => {
            Some(inbound.retransmitted_packets_received)
        }
        _ => None,
    });
    assert_eq!(
        again.iter().filter(|count| **count > 0).count(),
        2,
        "each way: {again:?}"
    );
}

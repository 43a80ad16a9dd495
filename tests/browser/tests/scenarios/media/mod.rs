//! Audio and video between a page and Rust. The pages' side is `pages/media.js`.

mod bandwidth;
mod changes;
mod extensions;
pub(crate) mod film;
mod keyframes;
mod layers;
mod loss;
mod parameters;
mod recording;
mod simulcast;
mod sound;
mod statistics;
mod streams_told;
mod tones;
mod video;
pub(crate) mod watch;

use crate::session::Session;
use film::{Clip, Film};
use peerline::{MediaKind, RtpTransceiver, StatsKind, TrackEvent, TransceiverDirection, TransceiverInit};
use peerline_browser_tests::Browser;
use serde_json::{Value, json};

/// A session on the page for media.
pub(crate) async fn open(browser: Browser) -> Session {
    let session = Session::open(browser, "media.html").await;
    session.page.eval("media.start()");
    session
}

/// A new session on the same page.
pub(crate) async fn again(session: Session) -> Session {
    let session = session.again("media.html").await;
    session.page.eval("media.start()");
    session
}

/// The page adds a transceiver for the codec of `clip` that goes this way, as the page sees it.
pub(crate) fn page_adds(session: &Session, clip: Clip, direction: &str) {
    let arguments = [json!(clip.kind()), json!(direction), json!([clip.codec()])];
    session.page.call("media.add", &arguments);
}

/// Rust adds a transceiver for what `film` plays, in its codec only.
pub(crate) fn rust_adds(session: &Session, film: &Film, direction: TransceiverDirection) -> RtpTransceiver {
    let init = TransceiverInit {
        direction,
        ..TransceiverInit::default()
    };
    let transceiver = session
        .pc
        .add_transceiver(film.source.track(), init)
        .expect("it is added");
    match film.clip.codec() {
        // It carries the other.
        "red" => film::prefer(&session.pc, &transceiver, &["red", "opus"]),
        codec => film::prefer(&session.pc, &transceiver, &[codec]),
    }
    transceiver
}

/// Rust adds a transceiver that receives this codec.
pub(crate) fn rust_receives(session: &Session, clip: Clip) -> RtpTransceiver {
    let init = TransceiverInit {
        direction: TransceiverDirection::RecvOnly,
        ..TransceiverInit::default()
    };
    let transceiver = session.pc.add_transceiver(clip.kind(), init).expect("it is added");
    film::prefer(&session.pc, &transceiver, &[clip.codec()]);
    transceiver
}

/// The tracks of the page, once there are so many.
pub(crate) async fn tracks(session: &mut Session, count: usize) -> Vec<TrackEvent> {
    let what = format!("{count} tracks of the page");
    session.pump(&what, |session| session.tracks.len() >= count).await;
    session.tracks.clone()
}

/// The first track of that kind that has come from the page.
pub(crate) async fn track_of(session: &mut Session, kind: MediaKind) -> TrackEvent {
    let find = |session: &Session| {
        session
            .tracks
            .iter()
            .find(|track| track.receiver.kind() == kind)
            .cloned()
    };
    session
        .pump("a track of the page", |session| find(session).is_some())
        .await;
    find(session).expect("the wait was for it")
}

/// Waits until the page has shown `count` more pictures in each of `sections` sections, and as it began of those `distinct`
/// different ones; what it has seen.
pub(crate) async fn shown(session: &mut Session, sections: usize, count: u64, distinct: u64) -> Value {
    let before = session.page.eval("media.seen()");
    let mut seen = Value::Null;
    session
        .pump("the page to show pictures", |session| {
            seen = session.page.eval("media.seen()");
            let seen = seen.as_object().expect("it is one");
            let shown = seen.iter().filter(|(mid, seen)| {
                let before = before[mid.as_str()]["shown"].as_u64().unwrap_or(0);
                seen["shown"].as_u64() >= Some(before + count) && seen["distinct"].as_u64() >= Some(distinct)
            });
            shown.count() >= sections
        })
        .await;
    for seen in seen.as_object().expect("it is one").values() {
        assert_eq!(seen["wrong"], 0, "{seen}");
    }
    seen
}

/// The sum of a member over the page's statistics of this type and kind.
pub(crate) fn page_sum(session: &Session, kind_of_stats: &str, kind: MediaKind, member: &str) -> u64 {
    let sum = session
        .page
        .call("media.sum", &[json!(kind_of_stats), json!(kind), json!(member)]);
    sum.as_f64().expect("a number") as u64
}

/// Rust's statistics of one kind.
pub(crate) fn stats<T>(session: &Session, pick: impl FnMut(StatsKind) -> Option<T>) -> Vec<T> {
    let report = session.pc.stats();
    report
        .stats
        .into_iter()
        .map(|stats| stats.kind)
        .filter_map(pick)
        .collect()
}

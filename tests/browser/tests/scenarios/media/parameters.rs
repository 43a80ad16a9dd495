//! What `setParameters` asks of an encoding is what the page gets, without an offer.

use super::film::{self, Clip};
use super::{open, page_sum, shown, stats};
use crate::session::{Session, Side};
use peerline::{
    Demand, MediaFrame, MediaKind, RtpEncodingParameters, RtpSender, SourceEvent, StatsKind, TrackSource,
    TransceiverDirection, TransceiverInit,
};
use peerline_browser_tests::Browser;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

crate::scenarios! {
    parameters_of_an_encoding_take_effect
}

async fn parameters_of_an_encoding_take_effect(browser: Browser) {
    let mut session = open(browser).await;
    let source = TrackSource::new(MediaKind::Video);
    let encoder = tokio::spawn(encode(source.clone()));
    let init = TransceiverInit {
        direction: TransceiverDirection::SendOnly,
        ..TransceiverInit::default()
    };
    let transceiver = session.pc.add_transceiver(source.track(), init).expect("it is added");
    film::prefer(&session.pc, &transceiver, &["VP8", "VP9"]);
    session.connect(Side::Rust).await;
    let sender = transceiver.sender();
    comes(&mut session, "video/VP8", 160).await;

    // Another codec of those that were agreed on.
    let parameters = sender.parameters().expect("it lives");
    let vp9 = parameters
        .codecs
        .iter()
        .find(|codec| codec.codec.mime_type == "video/VP9");
    let vp9 = vp9.expect("it was agreed on").codec.clone();
    set(&sender, |encoding| encoding.codec = Some(vp9));
    comes(&mut session, "video/VP9", 160).await;
    set(&sender, |encoding| encoding.codec = None);
    comes(&mut session, "video/VP8", 160).await;

    // Another size, which is the source's to make.
    set(&sender, |encoding| encoding.scale_resolution_down_by = Some(2.0));
    comes(&mut session, "video/VP8", 80).await;
    set(&sender, |encoding| encoding.scale_resolution_down_by = Some(1.0));
    comes(&mut session, "video/VP8", 160).await;

    // Nothing, and something again.
    set(&sender, |encoding| encoding.active = false);
    let active = stats(&session, |kind| match kind {
        StatsKind::OutboundRtp(outbound) => Some(outbound.active),
        _ => None,
    });
    assert_eq!(active, [false]);
    sleep(Duration::from_millis(300)).await;
    let received = |session: &Session| page_sum(session, "inbound-rtp", MediaKind::Video, "framesReceived");
    let before = received(&session);
    sleep(Duration::from_millis(700)).await;
    assert_eq!(received(&session), before, "it does not send");
    set(&sender, |encoding| encoding.active = true);
    comes(&mut session, "video/VP8", 160).await;

    // Less than the path takes, for all that the page knows of it.
    session
        .pump("an estimate", |_| source.demand().bitrate > Some(100_000))
        .await;
    set(&sender, |encoding| encoding.max_bitrate = Some(80_000));
    session
        .pump("what is less", |_| {
            let Demand { bitrate, encodings, .. } = source.demand();
            encodings[0].max_bitrate == Some(80_000) && bitrate == Some(80_000)
        })
        .await;
    comes(&mut session, "video/VP8", 160).await;
    encoder.abort();
}

fn set(sender: &RtpSender, change: impl FnOnce(&mut RtpEncodingParameters)) {
    let mut parameters = sender.parameters().expect("it lives");
    change(&mut parameters.encodings[0]);
    sender.set_parameters(parameters).expect("they are in order");
}

/// Waits until the page shows what has this codec and width.
async fn comes(session: &mut Session, mime_type: &str, width: u64) {
    session
        .pump(&format!("{mime_type}, {width} wide"), |session| {
            let inbound = session.page.eval("media.stats('inbound-rtp', 'video')");
            let streams = inbound.as_array().expect("a list");
            let [stream] = &streams[..] else { return false };
            stream["codec"] == mime_type && stream["frameWidth"] == width
        })
        .await;
    shown(session, 1, 10, 8).await;
}

/// Plays films that were encoded before, as an encoder does that makes what is wanted.
async fn encode(source: TrackSource) {
    let films = [
        ("video/VP8", 1.0, Clip::VP8.frames()),
        ("video/VP8", 2.0, Clip::VP8_HALF.frames()),
        ("video/VP9", 1.0, Clip::VP9.frames()),
    ];
    let (mut playing, mut next) = (0, 0);
    let mut due = Instant::now();
    loop {
        tokio::select! {
            event = source.next_event() => match event {
                // All begin with one.
                SourceEvent::KeyframeRequest { .. } => next = 0,
                SourceEvent::Demand(demand) => {
                    let Some(encoding) = demand.encodings.first() else { continue };
                    let codec = encoding.codec.as_ref().map_or("video/VP8", |codec| &codec.mime_type);
                    let scale = encoding.scale_resolution_down_by.unwrap_or(1.0);
                    let wanted = films.iter().position(|(own, by, _)| *own == codec && *by == scale);
                    let wanted = wanted.expect("there is such a film");
                    if wanted != playing {
                        (playing, next) = (wanted, 0);
                    }
                }
            },
            () = sleep_until(due) => {
                let (.., frames) = &films[playing];
                source.write_frame(&MediaFrame::new(frames[next].data.clone()));
                due = (due + frames[next].duration).max(Instant::now() - Duration::from_millis(50));
                next = (next + 1) % frames.len();
            }
        }
    }
}

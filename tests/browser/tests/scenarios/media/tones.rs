//! Keys that are pressed (DTMF), both ways.

use super::film::{Clip, Film};
use super::{open, page_adds, rust_adds};
use crate::session::{Side, within};
use peerline::TransceiverDirection;
use peerline_browser_tests::Browser;
use serde_json::json;

crate::scenarios! {
    tones_from_a_page
    ; only chromium:
    tones_to_a_page
}

async fn tones_from_a_page(browser: Browser) {
    let mut session = open(browser).await;
    page_adds(&session, Clip::OPUS, "sendonly");
    session.connect(Side::Page).await;
    session
        .page
        .eval("(async () => { while (!lab.pc.getSenders()[0].dtmf.canInsertDTMF) await new Promise(done => setTimeout(done, 10)); })()");
    session
        .page
        .eval("lab.pc.getSenders()[0].dtmf.insertDTMF('1A#5', 100, 70)");
    session.pump("four tones", |session| session.tones.len() >= 4).await;
    let tones: String = session.tones.iter().map(|tone| tone.tone).collect();
    assert_eq!(tones, "1A#5");
    for tone in &session.tones {
        let milliseconds = tone.duration.as_millis();
        assert!((80..=130).contains(&milliseconds), "{tone:?}");
    }
}

/// The page hears the two frequencies of the key.
async fn tones_to_a_page(browser: Browser) {
    let mut session = open(browser).await;
    let film = Film::play(Clip::OPUS);
    let transceiver = rust_adds(&session, &film, TransceiverDirection::SendOnly);
    session.connect(Side::Rust).await;
    session
        .pump("the page to hear the sound", |session| {
            session.page.eval("media.spectrum([440])")[0].as_f64() > Some(-50.0)
        })
        .await;
    let dtmf = transceiver.sender().dtmf().expect("it is audio");
    assert!(dtmf.can_insert_dtmf());
    for (tone, low, high) in [('5', 770, 1336), ('#', 941, 1477)] {
        let two_seconds = std::time::Duration::from_secs(2);
        dtmf.insert_dtmf_with(&tone.to_string(), two_seconds, two_seconds)
            .expect("it can");
        assert_eq!(within("the tone", dtmf.next_tone()).await, Some(tone));
        session
            .pump("the page to hear it", |session| {
                let levels = session.page.call("media.spectrum", &[json!([low, high, 600, 1150])]);
                let level = |at: usize| levels[at].as_f64().unwrap_or(-200.0);
                level(0).min(level(1)) > level(2).max(level(3)) + 20.0 && level(0) > -60.0
            })
            .await;
        while within("its end", dtmf.next_tone()).await.is_some() {}
    }
}

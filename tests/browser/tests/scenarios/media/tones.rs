//! Keys that are pressed (DTMF), both ways.

use super::film::Clip;
use super::{open, page_adds};
use crate::session::Side;
use peerline_browser_tests::Browser;

crate::scenarios! {
    tones_from_a_page
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

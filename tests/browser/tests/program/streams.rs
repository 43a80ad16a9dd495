//! One browser publishes by WHIP, others play by WHEP.

use crate::Program;
use crate::narrow::Narrow;
use peerline_browser_tests::{Browser, Page, Setup};
use serde_json::{Value, json};

fn open(browser: Browser) -> Page {
    Page::open(browser, Setup::OpenAddresses, "streams.html")
}

fn publish(page: &Page, program: &Program) {
    let arguments = [json!("me"), program.endpoint("whip/film")];
    assert_eq!(page.call("streams.publish", &arguments), 201);
}

fn play(page: &Page, name: &str, program: &Program) {
    assert_eq!(
        page.call("streams.play", &[json!(name), program.endpoint("whep/film")]),
        201
    );
}

/// Plays what comes through a relay, and by no other way.
fn play_behind(page: &Page, name: &str, program: &Program) -> Narrow {
    let narrow = Narrow::new();
    let arguments = [
        json!(name),
        program.endpoint("whep/film"),
        json!(["audio", "video"]),
        json!(narrow.port),
    ];
    page.call("(...all) => { streams.begun = streams.play(...all); }", &arguments);
    page.wait_for(&format!("streams.get('{name}').behind"));
    let behind = page.eval(&format!("streams.get('{name}').behind"));
    let behind = behind.as_str().and_then(|address| address.parse().ok());
    narrow.lead_to(behind.expect("an address"));
    assert_eq!(page.eval("streams.begun"), 201);
    narrow
}

pub(crate) fn seen(page: &Page, name: &str) -> Value {
    page.eval(&format!("streams.get('{name}').seen()"))
}

/// Waits until `count` more pictures were shown and sound came, all in order; what was seen.
pub(crate) fn watch(page: &Page, name: &str, count: u64) -> Value {
    let before = seen(page, name);
    let [shown, heard] = ["shown", "heard"].map(|member| before[member].as_u64().unwrap_or(0));
    page.wait_for(&format!(
        "await streams.get('{name}').seen().then(({{ shown, heard }}) => shown >= {} && heard >= {})",
        shown + count,
        heard + 10
    ));
    let seen = seen(page, name);
    assert_eq!(seen["wrong"], 0, "each picture is whole: {seen}");
    seen
}

/// One publisher, three viewers, one who comes late, and the publisher once more.
#[test]
fn one_chromium_publisher_and_viewers_in_both_browsers() {
    let program = Program::start();
    let publisher = open(Browser::Chromium);
    publish(&publisher, &program);
    let (chromium, firefox) = (open(Browser::Chromium), open(Browser::Firefox));
    let viewers = [(&chromium, "one"), (&chromium, "two"), (&firefox, "three")];
    for (page, name) in viewers {
        play(page, name, &program);
    }
    let first = viewers.map(|(page, name)| watch(page, name, 20));
    for seen in &first {
        assert!(seen["distinct"].as_u64() >= Some(8), "{seen}");
    }

    // Chromium makes keyframes when it is asked, and else hardly ever: who comes late sees something because of that.
    play(&firefox, "late", &program);
    watch(&firefox, "late", 10);

    // The publisher goes and comes back: the same tracks go on in the same streams.
    assert_eq!(publisher.eval("streams.get('me').end()"), 200);
    publish(&publisher, &program);
    for ((page, name), before) in viewers.into_iter().zip(&first) {
        let after = watch(page, name, 20);
        assert_eq!(after["ssrc"], before["ssrc"], "the same stream");
        let lost = |seen: &Value| seen["packetsLost"].as_i64().unwrap_or(0);
        assert!(lost(&after) - lost(before) <= 2, "{before} {after}");
    }
    for page in [&chromium, &firefox] {
        page.eval("Promise.all([...streams.sessions.values()].map((session) => session.end()))");
    }
}

/// Each viewer has the layer of simulcast that it chose.
#[test]
fn layers_are_chosen_per_viewer() {
    let program = Program::start();
    let publisher = open(Browser::Chromium);
    let encodings = json!([
        {"rid": "low", "scaleResolutionDownBy": 2, "maxBitrate": 150_000},
        {"rid": "high", "maxBitrate": 600_000},
    ]);
    let arguments = [json!("me"), program.endpoint("whip/film"), encodings, json!(4)];
    assert_eq!(publisher.call("streams.publish", &arguments), 201);
    // One of the viewers is the publisher's own page.
    let (chromium, firefox) = (&publisher, &open(Browser::Firefox));
    let viewers = [(chromium, "one"), (firefox, "two")];
    for (page, name) in viewers {
        play(page, name, &program);
        // Of 640 × 384, the best.
        page.wait_for(&format!("streams.get('{name}').width === 640"));
    }
    assert_eq!(firefox.eval("streams.get('two').layers('low')"), 200);
    firefox.wait_for("streams.get('two').width === 320");
    watch(chromium, "one", 10);
    watch(firefox, "two", 10);
    assert_eq!(chromium.eval("streams.get('one').width"), 640);
    let layers = firefox.eval("streams.get('two').layers()");
    assert_eq!(layers, json!({"layers": ["high", "low"], "present": "low"}));
    assert_eq!(firefox.eval("streams.get('two').layers(null)"), 200);
    firefox.wait_for("streams.get('two').width === 640");
    watch(firefox, "two", 10);
}

/// Who does not choose a layer has the best that its path takes: less when it narrows, and more again when it has widened. What is
/// lost on it comes again, from the program.
#[test]
fn layers_follow_a_viewers_path() {
    let program = Program::start();
    let publisher = open(Browser::Chromium);
    let encodings = json!([
        {"rid": "low", "scaleResolutionDownBy": 4, "maxBitrate": 100_000},
        {"rid": "high", "maxBitrate": 1_200_000},
    ]);
    let arguments = [json!("me"), program.endpoint("whip/film"), encodings, json!(4)];
    assert_eq!(publisher.call("streams.publish", &arguments), 201);
    // It watches itself: a browser less.
    let viewer = &publisher;
    let narrow = play_behind(viewer, "one", &program);
    viewer.wait_for("streams.get('one').width === 640");
    watch(viewer, "one", 10);

    // Between the two, and sound beside them.
    let rates = publisher.eval("streams.get('me').rates()");
    let [low, high] = ["low", "high"].map(|rid| rates[rid].as_f64().expect("a rate"));
    let between = (low * high).sqrt() + 80_000.0;
    assert!(high > 3.0 * low && high > 2.0 * between, "{rates}");
    narrow.limit(Some(between as u64));
    viewer.wait_for("streams.get('one').width === 160");
    watch(viewer, "one", 10);

    narrow.limit(None);
    viewer.wait_for("streams.get('one').width === 640");
    watch(viewer, "one", 10);

    // Another viewer, whose path is good, and one in twenty datagrams lost on this one.
    play(viewer, "two", &program);
    let asked = publisher.eval("streams.get('me').asked()");
    narrow.lose(50);
    viewer.wait_for("await streams.get('one').seen().then(({ nackCount, again }) => nackCount >= 3 && again >= 3)");
    let before = seen(viewer, "one");
    watch(viewer, "one", 40);
    let [decoded, kept] = ["framesDecoded", "keyFramesDecoded"].map(|member| {
        let after = seen(viewer, "one");
        after[member].as_u64().unwrap_or(0) - before[member].as_u64().unwrap_or(0)
    });
    eprintln!(
        "{decoded} pictures at 5 % loss, {kept} of them whole scenes: {}",
        seen(viewer, "one")
    );
    // Neither is the publisher asked for what a viewer lacks, nor does another viewer get it.
    watch(viewer, "two", 10);
    assert_eq!(seen(viewer, "two")["again"], 0);
    assert_eq!(publisher.eval("streams.get('me').asked()"), asked);
}

/// What a viewer in Firefox loses comes again, from the program and to that viewer alone: its pictures go on.
#[test]
fn a_viewer_in_firefox_goes_on_though_packets_are_lost() {
    let program = Program::start();
    let publisher = open(Browser::Chromium);
    let arguments = [json!("me"), program.endpoint("whip/film"), Value::Null, json!(4)];
    assert_eq!(publisher.call("streams.publish", &arguments), 201);
    let viewer = &open(Browser::Firefox);
    let lossy = play_behind(viewer, "lossy", &program);
    play(viewer, "whole", &program);
    for name in ["lossy", "whole"] {
        watch(viewer, name, 10);
    }
    let asked = publisher.eval("streams.get('me').asked()");
    for per_mille in [50, 150] {
        lossy.lose(per_mille);
        let names = ["lossy", "whole"];
        let before = names.map(|name| seen(viewer, name));
        watch(viewer, "lossy", 100);
        let after = names.map(|name| seen(viewer, name));
        let grown = |index: usize, member: &str| {
            let [before, after] = [&before, &after].map(|seen: &[Value; 2]| seen[index][member].as_u64().unwrap_or(0));
            after - before
        };
        let [lossy, whole] = [0, 1].map(|index| grown(index, "framesDecoded"));
        eprintln!(
            "{per_mille} ‰: {lossy} pictures of {whole}, {} of them whole scenes; asked {} times: {}",
            grown(0, "keyFramesDecoded"),
            grown(0, "nackCount"),
            after[0],
        );
        // Firefox does not tell what came again; but without it, of the pictures that depend on each other few could be shown.
        assert!(grown(0, "nackCount") > 0, "{}", after[0]);
        assert!(lossy * 10 >= whole * 7, "{lossy} of {whole}");
        assert_eq!(grown(1, "nackCount"), 0, "{}", after[1]);
    }
    assert_eq!(publisher.eval("streams.get('me').asked()"), asked);
}

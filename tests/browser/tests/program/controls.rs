//! The page's controls: what is sent, how it is muted and switched, keys, and the plots of both sides.

use crate::{Program, text};
use peerline_browser_tests::{Browser, Page, Setup};
use serde_json::json;

fn click(page: &Page, selector: &str) {
    page.wait_for(&format!("!document.querySelector('{selector}').disabled"));
    page.eval(&format!("document.querySelector('{selector}').click()"));
}

fn choose(page: &Page, source: &str) {
    page.call(
        "source => { const select = document.querySelector('#source'); select.value = source; \
                     select.dispatchEvent(new Event('change')); }",
        &[json!(source)],
    );
}

/// Waits until the peer has sent back so many more pictures, and the page has shown them.
fn wait_for_pictures(page: &Page, count: u64) {
    let before = page.eval("window.shown").as_u64().expect("a number");
    page.wait_for(&format!("window.shown >= {}", before + count));
}

fn is_pressed(page: &Page, selector: &str) -> bool {
    page.eval(&format!(
        "document.querySelector('{selector}').getAttribute('aria-pressed')"
    )) == "true"
}

/// Gives the page `sounds()`, whether the peer sends back any sound within a second, and `light()`, how bright its picture is, 0 to 255.
const LISTEN: &str = "() => { \
    const get = RTCPeerConnection.prototype.getStats; let pc; \
    RTCPeerConnection.prototype.getStats = function (...all) { pc = this; return get.apply(this, all); }; \
    const heard = async () => [...(await get.call(pc)).values()].find(({ type, kind }) => type === 'inbound-rtp' && kind === 'audio'); \
    window.sounds = async () => { if (!pc) return false; const before = await heard(); let after = before; \
        while (!(after?.packetsReceived >= (before?.packetsReceived ?? 0) + 60)) { \
            await new Promise((done) => setTimeout(done, 100)); after = await heard(); } \
        return after.totalAudioEnergy - before.totalAudioEnergy > 1e-5; }; \
    const canvas = new OffscreenCanvas(16, 16); const context = canvas.getContext('2d', { willReadFrequently: true }); \
    window.light = () => { context.drawImage(document.querySelector('#remote'), 0, 0, 16, 16); \
        const { data } = context.getImageData(0, 0, 16, 16); \
        return data.reduce((sum, part, index) => sum + (index % 4 < 3 ? part : 0), 0) / (16 * 16 * 3); }; }";

fn controls(browser: Browser) {
    let program = Program::start();
    let page = Page::open_url(browser, Setup::OpenAddresses, &program.url);
    page.wait_for("document.querySelector('#status').textContent === 'connected'");
    assert_eq!(text(&page, "#start"), "Start");
    page.call(
        "() => { window.shown = 0; const remote = document.querySelector('#remote'); \
         const look = () => { window.shown++; remote.requestVideoFrameCallback(look); }; look(); }",
        &[],
    );
    let track = |kind: &str| format!("document.querySelector('#local').srcObject.get{kind}Tracks()[0]");

    // Start in a call that is under way, where there is no camera and no microphone: the page says so, and sends what it draws.
    page.call(
        "() => { const devices = navigator.mediaDevices; window.open = devices.getUserMedia.bind(devices); \
         devices.getUserMedia = async () => { throw new DOMException('Requested device not found', 'NotFoundError'); }; }",
        &[],
    );
    assert_eq!(page.eval("document.querySelector('#source').value"), "camera");
    click(&page, "#start");
    page.wait_for("document.querySelector('#local').videoWidth === 640");
    page.wait_for("document.querySelector('#source').value === 'synthetic'");
    let told = text(&page, "#media-status");
    assert!(told.starts_with("no camera or microphone"), "{told}");
    page.eval("navigator.mediaDevices.getUserMedia = window.open");
    page.wait_for("document.querySelector('#remote').videoWidth > 0");
    wait_for_pictures(&page, 20);
    assert_eq!(text(&page, "#start"), "Stop");

    // Bitrate, loss and round-trip time, measured by both sides, as lines that grow.
    for plot in ["bitrate", "loss", "rtt"] {
        for side in ["browser", "rust"] {
            let of = |element: &str| format!("document.querySelector('#plot-{plot} {element}.{side}')");
            page.wait_for(&format!("/\\d/.test({}.textContent)", of("span")));
            page.wait_for(&format!(
                "{}.getAttribute('points').split(' ').length >= 3",
                of("polyline")
            ));
        }
    }
    assert!(text(&page, "#plot-bitrate span.rust").contains("bit/s"));
    page.wait_for("/×.*VP8/.test(document.querySelector('#remote-info').textContent)");

    click(&page, "#sound");
    assert!(is_pressed(&page, "#sound"));
    assert_eq!(page.eval("document.querySelector('#remote').muted"), false);

    // A key's tone is played to its end.
    page.call(
        "() => { window.tones = []; const insert = RTCDTMFSender.prototype.insertDTMF; \
         RTCDTMFSender.prototype.insertDTMF = function (tones) { \
           this.ontonechange = ({ tone }) => window.tones.push(tone); return insert.call(this, tones); }; }",
        &[],
    );
    assert_eq!(
        page.eval("[...document.querySelectorAll('#keys button')].map((key) => key.textContent).join('')"),
        "123456789*0#"
    );
    click(&page, "#keys button:nth-child(5)");
    page.wait_for("window.tones.join() === '5,'");

    // A camera in its place, and another one, once the machine has two.
    choose(&page, "camera");
    page.wait_for("!document.querySelector('#switch').disabled");
    let device = format!("{}.getSettings().deviceId", track("Video"));
    let first = page.eval(&device);
    assert_eq!(text(&page, "#media-status"), "", "there is a camera");
    wait_for_pictures(&page, 10);
    // Muted, it sends silence and black, as what comes back shows.
    page.call(LISTEN, &[]);
    for (button, kind, there, gone) in [
        ("#mute", "Audio", "await window.sounds()", "!(await window.sounds())"),
        ("#picture", "Video", "window.light() > 20", "window.light() < 5"),
    ] {
        page.wait_for(there);
        for (pressed, condition) in [(true, gone), (false, there)] {
            click(&page, button);
            assert_eq!(is_pressed(&page, button), pressed, "{button}");
            assert_eq!(page.eval(&format!("{}.enabled", track(kind))), !pressed, "{button}");
            page.wait_for(condition);
        }
    }
    click(&page, "#switch");
    page.wait_for("document.querySelector('#media-status').textContent.includes('there is no other camera')");
    assert_eq!(page.eval(&device), first);
    page.call(
        "() => { const devices = navigator.mediaDevices; const [list, open] = [devices.enumerateDevices(), devices.getUserMedia.bind(devices)]; \
         devices.enumerateDevices = async () => [...await list, { kind: 'videoinput', deviceId: 'second' }]; \
         devices.getUserMedia = async (wish) => { if (wish.video?.deviceId?.exact !== 'second') return open(wish); \
           const canvas = Object.assign(document.createElement('canvas'), { width: 480, height: 270 }); \
           const context = canvas.getContext('2d'); let turn = 0; \
           setInterval(() => { context.fillStyle = `hsl(${turn += 9} 80% 50%)`; context.fillRect(0, 0, 480, 270); }, 33); \
           return canvas.captureStream(30); }; }",
        &[],
    );
    click(&page, "#switch");
    page.wait_for("document.querySelector('#local').videoWidth === 480");
    page.wait_for("document.querySelector('#remote').videoWidth === 480");
    wait_for_pictures(&page, 10);

    // A screen; without one, the page says so and sends what it draws.
    if !page
        .eval("document.querySelector('#source [value=screen]').disabled")
        .as_bool()
        .unwrap_or_default()
    {
        choose(&page, "screen");
        page.wait_for("!document.querySelector('#start').disabled");
        let told = text(&page, "#media-status");
        let chosen = page.eval("document.querySelector('#source').value");
        assert!(
            chosen == "screen" || told.starts_with("no screen") && chosen == "synthetic",
            "{chosen}: {told}"
        );
        eprintln!("{browser:?}: {chosen} {told}");
    }

    click(&page, "#start");
    page.wait_for("document.querySelector('#local').srcObject === null");
    assert_eq!(text(&page, "#start"), "Start");
    choose(&page, "synthetic");
    click(&page, "#start");
    page.wait_for("document.querySelector('#local').videoWidth === 640");
    click(&page, "#hangup");
    page.wait_for("document.querySelector('#status').textContent === 'closed'");
    assert_eq!(page.eval("document.querySelector('#remote').srcObject"), json!(null));
    // The next call sends from its beginning.
    click(&page, "#call");
    page.wait_for("document.querySelector('#status').textContent === 'connected'");
    page.wait_for("document.querySelector('#remote').videoWidth > 0");
    wait_for_pictures(&page, 10);
}

#[test]
fn chromium_uses_the_controls() {
    controls(Browser::Chromium);
}

#[test]
fn firefox_uses_the_controls() {
    controls(Browser::Firefox);
}

//! GStreamer publishes by WHIP, and viewers of ours see it. Needs its plugins, and its bindings for the system's Python: `cargo xtask test`
//! installs them, and says so where it cannot.

mod common;

use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::viewer::view;
use common::{Server, soon};
use peerline::StatsKind;

struct Publisher(Child);

impl Publisher {
    fn start(endpoint: &str, more: &[&str]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gstreamer.py");
        let mut python = Command::new("/usr/bin/python3");
        python
            .arg(script)
            .arg(endpoint)
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        Self(
            python
                .spawn()
                .expect("Debian's Python: apt-get install python3-gst-1.0"),
        )
    }

    /// Ends its session; what it said.
    fn end(mut self) -> String {
        drop(self.0.stdin.take());
        let mut said = String::new();
        let mut stdout = self.0.stdout.take().expect("it is piped");
        stdout.read_to_string(&mut said).expect("text");
        assert!(self.0.wait().expect("it ends").success(), "{said}");
        said
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn gstreamer_publishes_and_viewers_see_it() {
    let server = Server::start();
    let publisher = Publisher::start(&format!("http://{}/whip/gst", server.address), &[]);
    // The second one comes late: GStreamer makes a keyframe when it is asked for one, and hardly any else.
    let mut viewers = Vec::new();
    for _ in 0..2 {
        let (pc, [audio, video]) = view(&server, "gst").await;
        for (receiver, clock_rate) in [(audio, 48_000), (video, 90_000)] {
            let mut last: Option<u32> = None;
            for number in 0..60 {
                let frame = soon("frames", receiver.recv_frame()).await.expect("the track goes on");
                assert!(number > 0 || frame.keyframe, "decoding can begin");
                assert!(number == 0 || !frame.follows_gap, "frame {number}: nothing is missing");
                let step = last.map_or(1, |last| frame.timestamp.wrapping_sub(last));
                assert!((1..clock_rate).contains(&step), "frame {number}: {step} ticks");
                last = Some(frame.timestamp);
            }
        }
        viewers.push(pc);
    }
    // Reports come both ways: the sound and the pictures of a viewer have the publisher's time.
    for pc in &viewers {
        let report = pc.stats();
        let lost = report.stats.iter().filter_map(|stats| match &stats.kind {
            StatsKind::InboundRtp(inbound) => Some(inbound.packets_lost),
            _ => None,
        });
        assert_eq!(lost.sum::<i64>(), 0);
    }
    let said = publisher.end();
    assert!(said.contains("connected\n") && said.ends_with("ended: 200\n"), "{said}");
}

/// libnice listens, and we connect: browsers never do, so that nobody else among those here is there to be connected to.
#[tokio::test]
async fn a_listener_of_gstreamer_is_connected_to() {
    let server = Server::start();
    let publisher = Publisher::start(&format!("http://{}/whip/gst", server.address), &["tcp"]);
    let (_pc, [_, video]) = view(&server, "gst").await;
    for _ in 0..30 {
        soon("frames", video.recv_frame()).await.expect("the track goes on");
    }
    let said = publisher.end();
    // The connection is closed, and libnice says at once that it is.
    assert!(said.contains("connected\n") && said.contains("ended: 200\n"), "{said}");
}

//! Over TCP alone (RFC 6544): candidates over UDP are withheld from both sides. Browsers connect, and never listen.

use crate::media::film::{Clip, Film};
use crate::media::{page_adds, shown, tracks, watch};
use crate::renegotiation::echo;
use crate::session::{Session, Side, opened};
use peerline::{CandidateStats, Configuration, DataChannel, DataChannelInit, Endpoint, IceTcp, StatsKind};
use peerline_browser_tests::Browser;
use serde_json::json;
use std::net::Ipv4Addr;

crate::scenarios! {
    a_page_connects_to_us
    a_page_connects_to_the_port_of_many
    pictures_both_ways
}

async fn a_page_connects_to_us(browser: Browser) {
    for side in [Side::Page, Side::Rust] {
        let session = connected(browser, side, listening()).await;
        assert_over_tcp(&session);
    }
}

async fn a_page_connects_to_the_port_of_many(browser: Browser) {
    let at = (Ipv4Addr::UNSPECIFIED, 0).into();
    let endpoint = Endpoint::bind(at).expect("a free port");
    endpoint.listen_tcp(at).expect("a free port");
    let configuration = Configuration {
        endpoint: Some(endpoint),
        ..Configuration::default()
    };
    let session = connected(browser, Side::Page, configuration).await;
    assert_over_tcp(&session);
}

async fn pictures_both_ways(browser: Browser) {
    let mut session = Session::open_configured(browser, "media.html", listening()).await;
    session.withholds_udp = true;
    session.page.eval("media.start()");
    page_adds(&session, Clip::VP8, "sendrecv");
    let film = Film::play(Clip::VP8);
    let add_track = |session: &Session| {
        session.pc.add_track(&film.source.track(), &[]).expect("it is added");
    };
    session.connect_with(Side::Page, "", add_track).await;
    let received = tracks(&mut session, 1).await;
    watch::assert_gapless(&watch::frames(&received[0].receiver, 30).await);
    shown(&mut session, 1, 20, 10).await;
    assert_over_tcp(&session);
}

fn listening() -> Configuration {
    Configuration {
        ice_tcp: IceTcp::Passive,
        ..Configuration::default()
    }
}

/// A session with a channel, over which a word and a hundred thousand bytes have gone and come back.
async fn connected(browser: Browser, side: Side, configuration: Configuration) -> Session {
    let mut session = Session::open_configured(browser, "renegotiation.html", configuration).await;
    session.withholds_udp = true;
    let channel = session.create(side, "words", DataChannelInit::default());
    session.connect(side).await;
    let channel: DataChannel = match channel {
        Some(channel) => channel,
        None => session.channel("words").await,
    };
    opened(&channel).await;
    session.page.call("startEcho", &[json!("words")]);
    echo(&channel, "over TCP").await;
    echo(&channel, &"many".repeat(25_000)).await;
    session
}

/// The path in use is one over TCP, which the page has made.
fn assert_over_tcp(session: &Session) {
    let report = session.pc.stats();
    let pair = report.selected_candidate_pair().expect("data has a path");
    let find = |id: &str| -> CandidateStats {
        match report.get(id).expect("it is in the report").kind.clone() {
            StatsKind::LocalCandidate(candidate) | StatsKind::RemoteCandidate(candidate) => candidate,
            other => panic!("{other:?} is no candidate"),
        }
    };
    let (local, remote) = (find(&pair.local_candidate_id), find(&pair.remote_candidate_id));
    assert_eq!((local.protocol, local.tcp_type), ("tcp", Some("passive")), "{local:?}");
    assert_eq!(remote.protocol, "tcp", "{remote:?}");
}

//! `peerline serve` as others drive it: the real program, over its documented interfaces, with a Rust peer as visitor.

mod common;

use common::{SDP, SDP_FRAGMENT, Server, WhipCall, WsCall, caller, complete_offer, error_of, expect_echo, soon, until};
use futures_util::StreamExt as _;
use peerline::{ConnectionState, OfferOptions, PeerConnection, SessionDescription, StatsKind};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::Message as Frame;

/// Larger than any request may be.
const TOO_LARGE: usize = 300 * 1024;

#[tokio::test]
async fn the_page() {
    let server = Server::start();
    for (path, content_type, content) in [
        ("/", "text/html; charset=utf-8", "<!doctype html>"),
        ("/style.css", "text/css; charset=utf-8", ":root"),
        ("/app.js", "text/javascript; charset=utf-8", "RTCPeerConnection"),
        ("/sha256.js", "text/javascript; charset=utf-8", "class Sha256"),
    ] {
        let reply = server.request("GET", path, &[], "").await;
        assert_eq!(
            (reply.status, reply.header("content-type")),
            (200, Some(content_type)),
            "{path}"
        );
        assert!(reply.body.contains(content), "{path}");
        let reply = server.request("HEAD", path, &[], "").await;
        assert_eq!((reply.status, reply.body.as_str()), (200, ""), "{path}");
    }
    let reply = server.request("GET", "/nothing-here", &[], "").await;
    assert_eq!(reply.status, 404);
    assert!(reply.error().contains("/nothing-here"), "{}", reply.body);
}

/// "The origin server MUST generate an Allow header field in a 405 response" (RFC 9110 §15.5.6).
#[tokio::test]
async fn what_is_only_to_be_read_takes_no_other_method() {
    let server = Server::start();
    for path in [
        "/",
        "/about.json",
        "/style.css",
        "/app.js",
        "/ice-servers",
        "/r/",
        "/r/kitchen",
        "/room.js",
        "/send",
        "/receive",
        "/transfer.css",
        "/ws",
    ] {
        for method in ["POST", "DELETE"] {
            let reply = server.request(method, path, &[], "").await;
            assert_eq!(
                (reply.status, reply.header("allow")),
                (405, Some("GET,HEAD")),
                "{method} {path}"
            );
            let error = reply.error();
            assert!(error.contains(method) && error.contains(path), "{error}");
        }
    }
}

#[tokio::test]
async fn all_peers_share_the_udp_port_that_was_asked_for() {
    let server = Server::start_with(&["--udp-port", "0"]);
    let before = server.open_files();
    let mut ports = std::collections::BTreeSet::new();
    let mut calls = Vec::new();
    for _ in 0..5 {
        let call = WsCall::start(&server).await;
        expect_echo(&call.channel).await;
        let stats = call.pc.stats();
        let pair = stats.selected_candidate_pair().unwrap();
        let StatsKind::RemoteCandidate(candidate) = &stats.get(&pair.remote_candidate_id).unwrap().kind else {
            panic!("{stats:?}")
        };
        ports.insert(candidate.port);
        calls.push(call);
    }
    // Any free port was asked for: IPv4 and IPv6 have one each.
    assert!(ports.len() <= 2, "{ports:?}");
    until(
        "no descriptors but a WebSocket for each, and the one that tells of interfaces",
        || {
            let more = server.open_files() - before;
            if more <= calls.len() + 1 {
                Ok(())
            } else {
                Err(format!("{more} more"))
            }
        },
    )
    .await;
}

#[tokio::test]
async fn the_external_address_is_told_in_place_of_the_local_one() {
    let server = Server::start_with(&["--udp-port", "0", "--external-address", "127.0.0.1=203.0.113.7"]);
    let reply = server.post_offer(&complete_offer(&caller().await.0).await).await;
    assert_eq!(reply.status, 201, "{}", reply.body);
    assert!(reply.body.contains(" 203.0.113.7 "), "{}", reply.body);
    assert!(!reply.body.contains(" 127.0.0.1 "), "{}", reply.body);
}

#[tokio::test]
async fn a_tcp_port_is_offered_to_all_peers_if_it_was_asked_for() {
    for (option, is_offered) in [("--tcp-port", true), ("--udp-port", false)] {
        let server = Server::start_with(&[option, "0"]);
        let call = WhipCall::start(&server).await;
        assert_eq!(call.answer.contains("tcptype passive"), is_offered, "{}", call.answer);
        assert!(!call.answer.contains("tcptype active"), "{}", call.answer);
        expect_echo(&call.channel).await;
    }
}

#[tokio::test]
async fn echo_over_websocket_signalling() {
    let server = Server::start();
    let mut call = WsCall::start(&server).await;
    expect_echo(&call.channel).await;

    // A second offer on the same connection restarts ICE; messages go on.
    let offer = call.pc.create_offer_with(OfferOptions { ice_restart: true }).unwrap();
    call.pc.set_local_description(offer).unwrap();
    let offer = call.pc.local_description().unwrap();
    call.say(&json!({ "description": offer })).await;
    let answer = loop {
        let message = call.hear().await;
        if message.get("description").is_some() {
            break message;
        }
    };
    assert_eq!(answer["description"]["type"], "answer");
    let answer = serde_json::from_value(answer["description"].clone()).unwrap();
    call.pc.set_remote_description(answer).unwrap();
    expect_echo(&call.channel).await;

    // The peer outlives its signalling.
    drop(call.socket);
    expect_echo(&call.channel).await;
}

#[tokio::test]
async fn echo_over_whip() {
    let server = Server::start();
    let call = WhipCall::start(&server).await;
    assert!(call.location.starts_with("/whip/echo/"), "{}", call.location);
    assert!(call.answer.contains("a=candidate:"), "{}", call.answer);
    expect_echo(&call.channel).await;

    // "WHIP endpoints and sessions MUST return a 2XX … response with no content when a GET request is received".
    for path in ["/whip/echo", &call.location] {
        let reply = server.request("GET", path, &[], "").await;
        assert_eq!((reply.status, reply.body.as_str()), (204, ""), "{path}");
    }

    // "MUST ignore any entity-tag value sent by the WHIP client … as in the HTTP DELETE request".
    let reply = server
        .request("DELETE", &call.location, &[("If-Match", "\"x\"")], "")
        .await;
    assert_eq!(reply.status, 200, "{reply:?}");
    soon("the goodbye", call.channel.closed()).await;
    soon("the goodbye", call.pc.closed()).await;
    for method in ["DELETE", "GET", "PATCH"] {
        let reply = server.request(method, &call.location, &[], "").await;
        assert_eq!(reply.status, 404, "{method}");
        assert!(
            method == "GET" && reply.body.is_empty() || reply.error().contains("session"),
            "{reply:?}"
        );
    }
}

#[tokio::test]
async fn whip_trickle() {
    let server = Server::start();
    let (pc, channel) = caller().await;
    pc.set_local_description(None).unwrap();
    let bare: String = lines_without(
        &pc.local_description().unwrap().sdp,
        &["a=candidate:", "a=end-of-candidates"],
    );
    let reply = server.post_offer(&bare).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    // A client that does not know the server's candidates cannot send a check: only what is trickled connects the two.
    let answer = lines_without(&reply.body, &["a=candidate:", "a=end-of-candidates"]);
    pc.set_remote_description(SessionDescription::answer(answer)).unwrap();

    let (location, etag) = (reply.header("location").unwrap(), reply.header("etag").unwrap());
    soon("gathering", pc.gathering_complete()).await;
    let reply = server.patch(location, etag, &fragment(&pc)).await;
    assert_eq!((reply.status, reply.body.as_str()), (204, ""), "{reply:?}");
    assert_eq!(reply.header("etag"), None, "it stays the same");
    soon("connecting", channel.opened()).await.unwrap();
    expect_echo(&channel).await;

    // A list of tags, of which one matches; a transport that nobody supports is passed over.
    let more = fragment(&pc).replace(" udp ", " carrier-pigeon ");
    let reply = server.patch(location, &format!("\"another\", {etag}"), &more).await;
    assert_eq!(reply.status, 204, "{reply:?}");
    // The same credentials are no restart, whatever the tag.
    let reply = server.patch(location, "*", &fragment(&pc)).await;
    assert_eq!(reply.status, 204, "{reply:?}");
    expect_echo(&channel).await;
}

#[tokio::test]
async fn whip_restart() {
    let server = Server::start();
    let call = WhipCall::start(&server).await;
    let before = call.pc.local_description().unwrap().sdp;

    // What cannot be done changes nothing.
    let lacking = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:0\r\na=ice-ufrag:newnew\r\n";
    for (fragment, reason) in [
        (lacking.to_owned(), "ice-pwd"),
        (format!("{lacking}a=ice-pwd:short\r\n"), "ice-pwd"),
        (
            lacking.replace("ice-ufrag:newnew", "ice-pwd:abcdefghijklmnopqrstuvwx"),
            "ice-ufrag",
        ),
    ] {
        let reply = server.patch(&call.location, "*", &fragment).await;
        assert_eq!(reply.status, 400, "{reply:?}");
        assert!(reply.error().contains(reason), "{}", reply.body);
    }
    expect_echo(&call.channel).await;

    let offer = call.pc.create_offer_with(OfferOptions { ice_restart: true }).unwrap();
    call.pc.set_local_description(offer).unwrap();
    soon("gathering", call.pc.gathering_complete()).await;
    let update = fragment(&call.pc);
    assert_ne!(value(&before, "a=ice-ufrag:"), value(&update, "a=ice-ufrag:"));
    let reply = server.patch(&call.location, "*", &update).await;
    assert_eq!(
        (reply.status, reply.header("content-type")),
        (200, Some(SDP_FRAGMENT)),
        "{reply:?}"
    );
    let etag = reply.header("etag").unwrap().to_owned();
    assert_ne!(etag, call.etag);
    assert!(
        reply.body.contains("a=candidate:") && reply.body.contains("a=end-of-candidates"),
        "{}",
        reply.body
    );

    let mut answer = lines_without(
        &call.answer,
        &["a=candidate:", "a=end-of-candidates", "a=ice-ufrag:", "a=ice-pwd:"],
    );
    let renewed = reply.body.lines().filter(|line| {
        ["a=candidate:", "a=ice-ufrag:", "a=ice-pwd:"]
            .iter()
            .any(|name| line.starts_with(name))
    });
    for line in renewed {
        answer.push_str(line);
        answer.push_str("\r\n");
    }
    call.pc
        .set_remote_description(SessionDescription::answer(answer))
        .unwrap();
    expect_echo(&call.channel).await;

    let reply = server.patch(&call.location, &call.etag, &fragment(&call.pc)).await;
    assert_eq!(reply.status, 412, "the former tag: {reply:?}");
    assert!(reply.error().contains("ETag"), "{}", reply.body);
    let reply = server.patch(&call.location, &etag, &fragment(&call.pc)).await;
    assert_eq!(reply.status, 204, "the present tag: {reply:?}");
    expect_echo(&call.channel).await;
}

#[tokio::test]
async fn whip_errors() {
    let server = Server::start();
    let (caller, _channel) = caller().await;
    let offer = complete_offer(&caller).await;
    let broken = offer.replacen("s=-", "nonsense", 1);
    let media = offer.find("m=").unwrap();
    let audio = format!(
        "{}m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=rtcp-mux\r\na=sendonly\r\n\
         a=rtpmap:111 unheard-of/48000\r\na=setup:actpass\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n\
         a=fingerprint:{}\r\n",
        &offer[..media],
        value(&offer, "a=fingerprint:")
    );
    let large = "x".repeat(TOO_LARGE);
    let sdp = ("Content-Type", SDP);
    for (status, headers, body, reason) in [
        (415, vec![], offer.as_bytes(), SDP),
        (
            415,
            vec![("Content-Type", "application/json")],
            offer.as_bytes(),
            "application/json",
        ),
        (400, vec![sdp], b"", "line 1"),
        (400, vec![sdp], broken.as_bytes(), "line 3"),
        (400, vec![sdp], b"{\"type\":\"offer\"}", "line 1"),
        (400, vec![sdp], b"v=0\r\n\xff\xfe", "UTF-8"),
        (
            400,
            vec![sdp],
            lines_without(&offer, &["a=ice-pwd:"]).leak().as_bytes(),
            "ice-pwd",
        ),
        (
            400,
            vec![sdp],
            lines_without(&offer, &["a=fingerprint:"]).leak().as_bytes(),
            "fingerprint",
        ),
        (413, vec![sdp], large.as_bytes(), "262144"),
        (422, vec![sdp], audio.as_bytes(), "nothing in the offer"),
    ] {
        let reply = server.request("POST", "/whip/echo", &headers, body).await;
        assert_eq!(reply.status, status, "{reply:?}");
        assert!(reply.error().contains(reason), "{reason} is not in {}", reply.body);
        assert_eq!(
            reply.header("access-control-allow-origin"),
            Some("*"),
            "pages may read errors"
        );
    }
    let reply = server.request("PUT", "/whip/echo", &[sdp], &offer).await;
    assert_eq!(
        (reply.status, reply.header("allow")),
        (405, Some("GET,HEAD,POST")),
        "{reply:?}"
    );
    assert!(reply.error().contains("PUT"), "{}", reply.body);
    // Parameters and capitals are fine.
    let headers = [("Content-Type", "Application/SDP; charset=utf-8")];
    let reply = server.request("POST", "/whip/echo", &headers, &offer).await;
    assert_eq!(reply.status, 201, "{reply:?}");

    let call = WhipCall::start(&server).await;
    let good = fragment(&call.pc);
    let frag = ("Content-Type", SDP_FRAGMENT);
    let tag = ("If-Match", call.etag.as_str());
    let garbled = good.replace(" udp ", " ");
    let elsewhere = good.replace("a=mid:0", "a=mid:elsewhere");
    for (status, headers, body, reason) in [
        (415, vec![tag], good.as_bytes(), SDP_FRAGMENT),
        (415, vec![("Content-Type", SDP), tag], good.as_bytes(), SDP_FRAGMENT),
        (428, vec![frag], good.as_bytes(), "If-Match"),
        (412, vec![frag, ("If-Match", "\"outdated\"")], good.as_bytes(), "ETag"),
        (400, vec![frag, tag], b"nonsense", "line 1"),
        (400, vec![frag, tag], b"\xff\xfe", "UTF-8"),
        (400, vec![frag, tag], garbled.as_bytes(), "candidate"),
        (400, vec![frag, tag], elsewhere.as_bytes(), "elsewhere"),
        (413, vec![frag, tag], large.as_bytes(), "262144"),
    ] {
        let reply = server.request("PATCH", &call.location, &headers, body).await;
        assert_eq!(reply.status, status, "{reply:?}");
        assert!(reply.error().contains(reason), "{reason} is not in {}", reply.body);
        let unknown = server
            .request("PATCH", "/whip/echo/00000000000000000000000000000000", &headers, "")
            .await;
        assert_eq!(unknown.status, 404, "{unknown:?}");
    }
    let reply = server.request("POST", &call.location, &[sdp], &offer).await;
    assert_eq!(
        (reply.status, reply.header("allow")),
        (405, Some("GET,HEAD,PATCH,DELETE")),
        "{reply:?}"
    );
    let reply = server.request("DELETE", "/whip/echo/unknown", &[], "").await;
    assert_eq!(reply.status, 404);

    expect_echo(&call.channel).await;
    expect_echo(&WsCall::start(&server).await.channel).await;
}

#[tokio::test]
async fn other_origins_are_welcome() {
    let server = Server::start();
    let call = WhipCall::start(&server).await;
    let origin = ("Origin", "https://elsewhere.example");
    for (path, method) in [
        ("/whip/echo", "POST"),
        (call.location.as_str(), "PATCH"),
        (call.location.as_str(), "DELETE"),
        ("/whip/echo/unknown", "DELETE"),
    ] {
        let headers = [
            origin,
            ("Access-Control-Request-Method", method),
            ("Access-Control-Request-Headers", "content-type,if-match,authorization"),
        ];
        let reply = server.request("OPTIONS", path, &headers, "").await;
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
        assert!(reply.header("access-control-allow-methods").unwrap().contains(method));
        let allowed = reply.header("access-control-allow-headers").unwrap();
        assert_eq!(allowed, "content-type,if-match,authorization");
        assert_eq!(reply.header("accept-post"), Some(SDP));
        assert_eq!(reply.header("accept-patch"), Some(SDP_FRAGMENT));
    }
    let (pc, _channel) = caller().await;
    let headers = [origin, ("Content-Type", SDP)];
    let reply = server
        .request("POST", "/whip/echo", &headers, complete_offer(&pc).await)
        .await;
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    let exposed = reply.header("access-control-expose-headers").unwrap();
    assert!(exposed.contains("location") && exposed.contains("etag"), "{exposed}");
}

#[tokio::test]
async fn websocket_errors() {
    let server = Server::start();
    let mut call = WsCall::new(&server).await;
    for (message, reason) in [
        ("", "JSON"),
        ("{", "JSON"),
        ("[]", "object"),
        ("{}", "description"),
        (r#"{"hello":1}"#, "description"),
        (r#"{"description":null}"#, "RTCSessionDescriptionInit"),
        (r#"{"description":{"type":"nonsense","sdp":""}}"#, "nonsense"),
        (r#"{"description":{"type":"offer"}}"#, "line 1"),
        (r#"{"description":{"type":"offer","sdp":"v=0\r\nnonsense"}}"#, "line 2"),
        (r#"{"description":{"type":"answer","sdp":"v=0"}}"#, "InvalidStateError"),
        (
            r#"{"description":{"type":"offer"},"candidate":null}"#,
            "one after the other",
        ),
        (r#"{"candidate":null}"#, "InvalidStateError"),
        (r#"{"candidate":7}"#, "RTCIceCandidateInit"),
        (
            r#"{"candidate":{"candidate":"candidate:1 1 udp 1 127.0.0.1 9 typ host","sdpMid":"0"}}"#,
            "InvalidStateError",
        ),
    ] {
        call.send(Frame::text(message)).await;
        let error = error_of(&call.hear().await);
        assert!(error.contains(reason), "{message}: {error}");
    }
    call.send(Frame::binary(vec![1, 2, 3])).await;
    assert!(error_of(&call.hear().await).contains("binary"));
    call.send(Frame::text("x".repeat(TOO_LARGE))).await;
    assert!(error_of(&call.hear().await).contains("262144"));
    call.send(Frame::Ping("?".into())).await;
    let pong = soon("a pong", call.socket.next()).await.unwrap().unwrap();
    assert_eq!(pong, Frame::Pong("?".into()));

    // After all that the same conversation leads to a connection.
    call.connect().await;
    expect_echo(&call.channel).await;
    call.say(&json!({ "candidate": { "candidate": "candidate:nonsense", "sdpMid": "0" } }))
        .await;
    let error = loop {
        let message = call.hear().await;
        if message.get("candidate").is_none() {
            break error_of(&message);
        }
    };
    assert!(error.contains("candidate"), "{error}");
    expect_echo(&call.channel).await;

    // Whoever sends much more than anybody needs loses the WebSocket, and nothing else.
    let mut greedy = WsCall::start(&server).await;
    let _ = futures_util::SinkExt::send(&mut greedy.socket, Frame::text("x".repeat(2 << 20))).await;
    soon("the end", async {
        while let Some(Ok(_)) = greedy.socket.next().await {}
    })
    .await;
    expect_echo(&greedy.channel).await;

    let reply = server.request("GET", "/ws", &[], "").await;
    assert!((400..500).contains(&reply.status), "{reply:?}");
    assert!(reply.error().contains("WebSocket"), "{}", reply.body);
    expect_echo(&call.channel).await;
}

/// What is not HTTP at all.
#[tokio::test]
async fn garbage_on_the_socket() {
    let server = Server::start();
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00"[..],
        b"\r\n\r\n\r\n",
        b"GET /ws",
        &[0xff; 100_000],
    ] {
        let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
        // It may hang up before everything is written.
        let _ = stream.write_all(garbage).await;
        let _ = stream.shutdown().await;
        let mut reply = Vec::new();
        let _ = soon("the end", stream.read_to_end(&mut reply)).await;
    }
    expect_echo(&WhipCall::start(&server).await.channel).await;
}

/// However visitors leave, nothing of them stays.
#[tokio::test]
async fn fifty_sessions_come_and_go() {
    let server = Server::start();
    assert_eq!(server.request("GET", "/", &[], "").await.status, 200);
    // The first connection starts the thread that watches the host's interfaces, by a socket: both stay, for all that follow.
    let (baseline, threads) = (server.open_files() + 1, server.threads() + 1);

    for _ in 0..10 {
        let one = WhipCall::start(&server).await;
        let two = WhipCall::start(&server).await;
        let three = WsCall::start(&server).await;
        let four = WsCall::start(&server).await;
        assert!(server.open_files() > baseline);
        // Each in its way: DELETE, closing the connection, closing both, closing the WebSocket and then the connection.
        let reply = server.request("DELETE", &one.location, &[], "").await;
        assert_eq!(reply.status, 200);
        two.pc.close();
        drop(three);
        drop(four.socket);
        expect_echo(&four.channel).await;
        four.pc.close();
        soon("leaving", four.pc.closed()).await;
        // And some who never connect.
        drop(WsCall::new(&server).await);
        let reply = server.post_offer(&complete_offer(&caller().await.0).await).await;
        let reply = server
            .request("DELETE", reply.header("location").unwrap(), &[], "")
            .await;
        assert_eq!(reply.status, 200);
    }
    until("everything is freed", || {
        let now = (server.open_files(), server.threads());
        (now.0 <= baseline && now.1 <= threads)
            .then_some(())
            .ok_or(format!("{now:?} files and threads, at first ({baseline}, {threads})"))
    })
    .await;
    expect_echo(&WhipCall::start(&server).await.channel).await;
}

/// A program that is asked to end does so, whoever is connected, and says goodbye.
#[tokio::test]
async fn ends_when_asked_to() {
    for signal in ["TERM", "INT"] {
        let mut server = Server::start();
        let whip = WhipCall::start(&server).await;
        let mut ws = WsCall::start(&server).await;
        let mut idle = WsCall::new(&server).await;
        let mut half = tokio::net::TcpStream::connect(server.address).await.unwrap();
        half.write_all(b"POST /whip/echo HTTP/1.1\r\nContent-Length: 1000\r\n")
            .await
            .unwrap();

        server.signal(signal);
        soon("the goodbye", whip.pc.closed()).await;
        soon("the goodbye", ws.pc.closed()).await;
        assert_eq!(whip.pc.connection_state(), ConnectionState::Closed);
        for socket in [&mut ws.socket, &mut idle.socket] {
            soon("the end", async { while let Some(Ok(_)) = socket.next().await {} }).await;
        }
        until("the program ends", || match server.process.try_wait() {
            Ok(Some(status)) => {
                assert!(status.success(), "{status}");
                Ok(())
            }
            other => Err(format!("{other:?}")),
        })
        .await;
    }
}

#[tokio::test]
async fn a_port_in_use() {
    let server = Server::start();
    let second = tokio::task::spawn_blocking(move || {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_peerline"))
            .args(["serve", "--listen", &server.address.to_string()])
            .output();
        (server, output)
    });
    let (server, output) = soon("the refusal", second).await.unwrap();
    let output = output.unwrap();
    assert!(!output.status.success());
    assert!(output.stdout.is_empty(), "no URL where nothing is served");
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        error.contains(&server.address.to_string()) && error.contains("--listen 127.0.0.1:0"),
        "{error}"
    );
}

/// A fragment with this peer's credentials and candidates.
fn fragment(pc: &PeerConnection) -> String {
    let sdp = pc.local_description().expect("it was set").sdp;
    let session = peerline_sdp::SessionDescription::parse(&sdp).expect("it is ours");
    let mut fragment = peerline_sdp::Fragment::about(&session, &session.media[0]);
    for candidate in session.media[0].candidates() {
        peerline_sdp::Section::push(&mut fragment.media[0], &candidate.expect("it is ours"));
    }
    peerline_sdp::Section::push(&mut fragment.media[0], &peerline_sdp::attribute::EndOfCandidates);
    fragment.to_string()
}

fn lines_without(sdp: &str, prefixes: &[&str]) -> String {
    let kept = sdp
        .lines()
        .filter(|line| !prefixes.iter().any(|prefix| line.starts_with(prefix)));
    kept.flat_map(|line| [line, "\r\n"]).collect()
}

fn value<'a>(sdp: &'a str, prefix: &str) -> &'a str {
    sdp.lines()
        .find_map(|line| line.strip_prefix(prefix))
        .expect("it has one")
}

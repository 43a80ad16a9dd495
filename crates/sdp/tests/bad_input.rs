//! Every kind of error, on the line it names; and what is let pass.

use peerline_sdp::attribute::{Candidate, Fingerprint, Setup};
use peerline_sdp::{
    Fault, Fragment, MAX_LENGTH, MAX_LINE_LENGTH, MAX_LINES, ParseError, Reason, Section, SessionDescription,
    ValueError,
};

const START: &str = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\n";
const AUDIO: &str = "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n";

fn error(text: &str) -> (usize, Reason) {
    let ParseError { line, reason } = SessionDescription::parse(text).expect_err(text);
    (line, reason)
}

/// The error of a description that goes on like this after `v=`, `o=` and `s=`; lines are separated by `|`.
fn after_start(rest: &str) -> (usize, Reason) {
    error(&format!("{START}{}\r\n", rest.replace('|', "\r\n")))
}

fn value(line: usize, field: &'static str, fault: Fault) -> (usize, Reason) {
    (line, Reason::Value(ValueError { field, fault }))
}

#[test]
fn the_first_three_lines_are_fixed() {
    assert_eq!(error(""), (1, Reason::Expected('v')));
    assert_eq!(error("\r\n\r\n"), (1, Reason::Expected('v')));
    assert_eq!(error("s=-\r\n"), (1, Reason::Expected('v')));
    assert_eq!(error("v=0\r\n"), (2, Reason::Expected('o')));
    assert_eq!(error("v=0\r\ns=-\r\n"), (2, Reason::Expected('o')));
    assert_eq!(
        error("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\nt=0 0\r\n"),
        (3, Reason::Expected('s'))
    );
    assert_eq!(error(AUDIO), (1, Reason::Expected('v')));
    assert_eq!(error("v=1\r\n"), (1, Reason::Version));
    assert_eq!(error("v=\r\n"), (1, Reason::Version));
}

#[test]
fn a_time_is_needed_before_attributes_and_media() {
    assert_eq!(error(START), (4, Reason::Expected('t')));
    assert_eq!(after_start("a=ice-lite|t=0 0"), (4, Reason::Expected('t')));
    assert_eq!(
        after_start("c=IN IP4 0.0.0.0|m=audio 9 RTP/AVP 0"),
        (5, Reason::Expected('t'))
    );
    assert_eq!(after_start("r=7d 1h 0"), (4, Reason::Expected('t')));
}

#[test]
fn session_lines_have_an_order() {
    assert_eq!(after_start("t=0 0|c=IN IP4 0.0.0.0"), (5, Reason::OutOfOrder('c')));
    assert_eq!(after_start("b=AS:1|i=x"), (5, Reason::OutOfOrder('i')));
    assert_eq!(after_start("t=0 0|a=x|k=prompt"), (6, Reason::OutOfOrder('k')));
    assert_eq!(after_start("t=0 0|a=x|t=0 0"), (6, Reason::OutOfOrder('t')));
    assert_eq!(after_start("t=0 0|z=0 0|r=7d 1h 0"), (6, Reason::OutOfOrder('r')));
    let full = "i=x|u=x|e=x|e=y|p=x|c=IN IP4 0.0.0.0|b=AS:1|b=CT:1|t=0 0|r=7d 1h 0|z=0 0|t=0 0|k=prompt|a=x";
    let full = format!("{START}{}\r\n{AUDIO}", full.replace('|', "\r\n"));
    assert_eq!(SessionDescription::parse(&full).unwrap().to_string(), full);
}

#[test]
fn some_lines_come_once() {
    assert_eq!(after_start("v=0"), (4, Reason::Repeated('v')));
    assert_eq!(after_start("i=x|i=y"), (5, Reason::Repeated('i')));
    assert_eq!(
        after_start("c=IN IP4 0.0.0.0|c=IN IP4 0.0.0.0"),
        (5, Reason::Repeated('c'))
    );
    assert_eq!(
        after_start("t=0 0|m=audio 9 RTP/AVP 0|i=x|a=x|i=y"),
        (8, Reason::Repeated('i'))
    );
    assert_eq!(
        after_start("t=0 0|m=audio 9 RTP/AVP 0|k=prompt|k=prompt"),
        (7, Reason::Repeated('k'))
    );
}

#[test]
fn media_descriptions_have_no_lines_of_the_session() {
    assert_eq!(
        after_start("t=0 0|m=audio 9 RTP/AVP 0|t=0 0"),
        (6, Reason::OutOfOrder('t'))
    );
    // Two descriptions, one after the other.
    let twice = format!("{START}t=0 0\r\n{AUDIO}").repeat(2);
    assert_eq!(error(&twice), (6, Reason::OutOfOrder('v')));
}

#[test]
fn lines_look_like_lines() {
    assert_eq!(error("hello\r\n"), (1, Reason::NotALine));
    assert_eq!(error("{\"type\":\"offer\"}"), (1, Reason::NotALine));
    assert_eq!(error(" v=0\r\n"), (1, Reason::NotALine));
    assert_eq!(error("\u{feff}v=0\r\n"), (1, Reason::NotALine));
    assert_eq!(after_start("t=0 0|A=x"), (5, Reason::NotALine));
    assert_eq!(after_start("t=0 0|a"), (5, Reason::NotALine));
    assert_eq!(after_start("t=0 0|é=x"), (5, Reason::NotALine));
    assert_eq!(after_start("t=0 0||a=x"), (5, Reason::BlankLine));
    assert_eq!(error("\r\nv=0\r\n"), (1, Reason::BlankLine));
    assert_eq!(after_start("t=0 0|a=x\0"), (5, Reason::ForbiddenCharacter));
    assert_eq!(after_start("t=0 0|a=x\ry"), (5, Reason::ForbiddenCharacter));
    assert_eq!(error(&START.replace("\r\n", "\r")), (1, Reason::ForbiddenCharacter));
    assert_eq!(error(&START.replace("\r\n", "\r\r\n")), (1, Reason::ForbiddenCharacter));
    assert_eq!(after_start("t=0 0|\r"), (5, Reason::ForbiddenCharacter));
}

#[test]
fn values_of_the_structure_are_looked_at() {
    assert_eq!(error("v=0\r\no=-\r\n"), value(2, "session id", Fault::Missing));
    assert_eq!(after_start("t=0"), value(4, "stop time", Fault::Missing));
    assert_eq!(after_start("c=IN IP4"), value(4, "connection address", Fault::Missing));
    assert_eq!(after_start("t=0 0|a="), value(5, "attribute name", Fault::Missing));
    assert_eq!(after_start("t=0 0|a=:x"), value(5, "attribute name", Fault::Missing));
    assert_eq!(
        after_start("t=0 0|m=audio 70000 RTP/AVP 0"),
        value(5, "media port", Fault::OutOfRange)
    );
    assert_eq!(
        after_start("t=0 0|m=audio 9 RTP/AVP"),
        value(5, "media format", Fault::Missing)
    );
    assert_eq!(
        after_start("t=0 0|m=audio 9 RTP/AVP 0|c=x"),
        value(6, "address type", Fault::Missing)
    );
}

#[test]
fn sizes_are_bounded() {
    let long_line = format!("{START}t=0 0\r\na={}\r\n", "x".repeat(MAX_LINE_LENGTH));
    assert_eq!(error(&long_line), (5, Reason::LineTooLong));
    let many = format!("{START}t=0 0\r\n{}", "a=x\n".repeat(MAX_LINES));
    assert_eq!(error(&many), (MAX_LINES + 1, Reason::TooManyLines));
    assert_eq!(error(&"x".repeat(MAX_LENGTH + 1)), (1, Reason::TooLong));
    let most = format!("{START}t=0 0\r\n{}", "a=x\n".repeat(MAX_LINES - 4));
    assert_eq!(SessionDescription::parse(&most).unwrap().to_string(), most);
}

/// Attributes fail when they are asked for, on the line they had.
#[test]
fn attributes_fail_where_they_are_used() {
    let text = format!(
        "{START}t=0 0\r\na=fingerprint:sha-256 00\r\n{AUDIO}a=setup:perhaps\r\n\
         a=candidate:1 1 udp 1 192.0.2.1 5 typ host\r\na=candidate:1 1 udp 1 192.0.2.1 99999 typ host\r\na=ice-ufrag:x\r\n"
    );
    let mut session = SessionDescription::parse(&text).unwrap();
    let line = |result: Result<(), ParseError>| result.expect_err("an error").line;
    assert_eq!(
        session.check().unwrap_err().to_string(),
        "line 5: fingerprint is too short"
    );
    assert_eq!(line(session.attribute::<Fingerprint>().map(drop)), 5);
    let media = &session.media[0];
    assert_eq!(line(media.attribute::<Setup>().map(drop)), 7);
    assert_eq!(line(session.dtls_parameters(media).map(drop)), 5);
    assert_eq!(line(session.ice_parameters(media).map(drop)), 10);
    let candidates: Vec<_> = media
        .candidates()
        .map(|candidate| candidate.map_err(|error| error.line))
        .collect();
    assert!(matches!(candidates[..], [Ok(Candidate { port: 5, .. }), Err(9)]));

    // What was added has no number, and what stood there keeps its own.
    session.retain_attributes(|_| false);
    session.media[0].push_raw("mid", Some("a b"));
    assert_eq!(session.check().unwrap_err().to_string(), "line 7: setup is malformed");
    session.media[0].retain_attributes(|attribute| attribute.is("mid"));
    assert_eq!(
        session.check().unwrap_err().to_string(),
        "an added line: mid is malformed"
    );
}

#[test]
fn what_peers_get_wrong_without_harm_is_let_pass() {
    for rest in [
        // No name, unknown lines, attributes nobody knows.
        "t=0 0|x=y|a=x-google-flag:conference|a=x",
        // Bandwidth written into the attributes by an application.
        "t=0 0|m=audio 9 RTP/AVP 0|a=mid:0|b=AS:-1|a=x|c=IN IP4 0.0.0.0",
        // Spaces at the end and in between.
        "c=IN  IP4 0.0.0.0 |t=0  0|m=audio 0 RTP/AVP 0 ",
        // A session id longer than any number.
        "t=0 0|a=mid:0",
    ] {
        let text = format!("{START}{}\r\n", rest.replace('|', "\r\n"))
            .replace("s=-", "s=")
            .replace("o=- 1 ", "o=- 123456789012345678901234567890 ");
        assert_eq!(SessionDescription::parse(&text).unwrap().to_string(), text);
    }
}

#[test]
fn fragments_have_attributes_and_media_only() {
    let error = |text: &str| {
        Fragment::parse(text)
            .map_err(|error| (error.line, error.reason))
            .expect_err(text)
    };
    assert_eq!(error("v=0\r\n"), (1, Reason::OutOfOrder('v')));
    assert_eq!(
        error("a=ice-lite\r\nc=IN IP4 0.0.0.0\r\n"),
        (2, Reason::OutOfOrder('c'))
    );
    assert_eq!(
        error("a=ice-lite\r\nm=audio\r\n"),
        value(2, "media port", Fault::Missing)
    );
    assert_eq!(error(&format!("{AUDIO}t=0 0\r\n")), (2, Reason::OutOfOrder('t')));
    assert_eq!(error("candidate:1"), (1, Reason::NotALine));
}

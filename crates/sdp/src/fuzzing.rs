//! Bodies of the fuzz targets, also run over the corpus by tests.

use crate::attribute::{Attribute, AttributeValue, Candidate, Mid};
use crate::{Fragment, MAX_LINES, ParseError, Section, SessionDescription};

/// Whatever parses is written as it was, and its attributes are inverses of what they are written as. An error names
/// a line of the text, or the one after it.
pub fn description(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let lines = text.split('\n').count();
    let names_a_line = |error: &ParseError| (1..=lines + 1).contains(&error.line) && error.line <= MAX_LINES + 1;

    match Fragment::parse(text) {
        Ok(fragment) => {
            assert_eq!(fragment.to_string(), text);
            fragment.candidates().for_each(drop);
        }
        Err(error) => assert!(names_a_line(&error), "{error}"),
    }
    let mut session = match SessionDescription::parse(text) {
        Ok(session) => session,
        Err(error) => return assert!(names_a_line(&error), "{error}"),
    };
    assert_eq!(session.to_string(), text);
    if let Err(error) = session.check() {
        assert!(names_a_line(&error), "{error}");
    }
    let attributes = session
        .raw_attributes()
        .chain(session.media.iter().flat_map(Section::raw_attributes));
    for attribute in attributes.filter_map(|attribute| attribute.typed().ok()) {
        assert_eq!(attribute.to_string().parse(), Ok(attribute));
    }
    for media in &session.media {
        assert_eq!(media.media_line().to_string().parse(), Ok(media.media_line()));
        let _ = (
            session.ice_parameters(media),
            session.dtls_parameters(media),
            media.sctp_port(),
            media.is_rejected(),
        );
    }
    // Changed descriptions parse, too.
    let origin = session.origin();
    session.set_origin(&origin).push(&Mid::new("x\r\nv=0"));
    for media in &mut session.media {
        media.set_port(0).set(&Mid::new("y"));
    }
    let again = SessionDescription::parse(&session.to_string()).expect("a changed description still parses");
    assert_eq!(again.to_string(), session.to_string());
    assert!(
        again
            .media
            .iter()
            .all(|media| media.mid() == Some("y") && media.port() == 0)
    );
}

/// Whatever parses as a candidate is the same after being written and parsed again.
pub fn candidate(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(candidate) = text.parse::<Candidate>() else {
        return;
    };
    assert_eq!(candidate.to_string().parse(), Ok(candidate.clone()));
    assert_eq!(candidate.to_attribute().parse(), Ok(Attribute::from(candidate)));
}

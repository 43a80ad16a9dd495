//! Browsers' offers: parsed, written, and read as JSEP reads them; beside the bare split of the text into lines, each copied.
//! `cargo bench -p peerline-sdp`.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use peerline_sdp::attribute::EndOfCandidates;
use peerline_sdp::{ParseError, Section, SessionDescription};

/// A data channel; audio, video and a data channel; six sections in one BUNDLE group.
const OFFERS: [(&str, &str); 6] = [
    (
        "Chromium, data",
        include_str!("../tests/samples/chromium-156.0.8078.79-dc-offer.sdp"),
    ),
    (
        "Chromium, audio, video and data",
        include_str!("../tests/samples/chromium-156.0.8078.79-avdc-offer.sdp"),
    ),
    (
        "Chromium, many sections",
        include_str!("../tests/samples/chromium-156.0.8078.79-bundle_many-offer.sdp"),
    ),
    (
        "Firefox, data",
        include_str!("../tests/samples/firefox-153.7.0-dc-offer.sdp"),
    ),
    (
        "Firefox, audio, video and data",
        include_str!("../tests/samples/firefox-153.7.0-avdc-offer.sdp"),
    ),
    (
        "Firefox, many sections",
        include_str!("../tests/samples/firefox-153.7.0-bundle_many-offer.sdp"),
    ),
];

fn offers(c: &mut Criterion) {
    over_each(c, "floor: split into lines", |text, _| {
        text.split_inclusive('\n').map(Box::from).collect::<Vec<Box<str>>>()
    });
    over_each(c, "parse", |text, _| SessionDescription::parse(text));
    over_each(c, "write", |_, offer| offer.to_string());
    over_each(c, "read the transport", |_, offer| transport(offer));
    over_each(c, "parse every attribute", |_, offer| offer.check());
}

fn over_each<R>(c: &mut Criterion, name: &str, measured: impl Fn(&str, &SessionDescription) -> R) {
    let mut group = c.benchmark_group(name);
    for (browser, text) in OFFERS {
        let offer = SessionDescription::parse(text).expect("browsers write what can be parsed");
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(browser), |b| {
            b.iter(|| measured(black_box(text), black_box(&offer)));
        });
    }
    group.finish();
}

/// What is asked of the last section when a description is applied; returns the lengths of what was found.
fn transport(offer: &SessionDescription) -> Result<(usize, usize, u64, Option<u16>), ParseError> {
    let media = offer.media.last().expect("offers have sections");
    let ice = offer.ice_parameters(media)?.expect("browsers give credentials");
    let dtls = offer.dtls_parameters(media)?;
    let mut candidates = 0;
    for candidate in media.candidates() {
        candidates += usize::from(candidate?.port > 0);
    }
    let ended = media.has::<EndOfCandidates>() || offer.has::<EndOfCandidates>();
    Ok((
        ice.ufrag.len() + dtls.fingerprints.len(),
        candidates + usize::from(ended),
        media.max_message_size()?,
        media.sctp_port()?,
    ))
}

criterion_group!(benches, offers);
criterion_main!(benches);

//! A browser's offer: parsing it, and writing it from what was parsed.

use crate::Result;
use crate::measurement::{Effort, Figure};
use crate::micro::nanoseconds;
use crate::stack::StackName;

/// Audio, video and data.
const OFFER: &str = include_str!("../../../crates/sdp/tests/samples/chromium-156.0.8078.79-avdc-offer.sdp");

/// Microseconds for `parse` and for `write`.
pub(crate) fn measure(stack: StackName, effort: Effort) -> Result<Vec<Figure>> {
    match stack {
        StackName::Peerline => peerline(effort),
        #[cfg(feature = "peers")]
        StackName::SdpTypes => sdp_types(effort),
        #[cfg(feature = "peers")]
        StackName::RtcSdp => rtc_sdp(effort),
        #[cfg(feature = "peers")]
        StackName::WebrtcSdp => webrtc_sdp(effort),
        StackName::Floor => Ok(vec![(
            "parse",
            micros(effort, || OFFER.split("\r\n").map(kind).sum::<usize>()),
        )]),
        _ => Err("no SDP of its own".into()),
    }
}

fn micros<T>(effort: Effort, operation: impl FnMut() -> T) -> f64 {
    nanoseconds(effort, operation) / 1e3
}

/// The least that can be asked of a line: what it is, and where its value begins.
fn kind(line: &str) -> usize {
    line.split_once('=').map_or(0, |(kind, value)| kind.len() + value.len())
}

/// Something like what was read came out again: nothing is measured that gave up half-way.
fn figures(written: usize, parse: f64, write: f64) -> Result<Vec<Figure>> {
    if written < OFFER.len() / 2 {
        return Err(format!("{written} bytes written of {}", OFFER.len()).into());
    }
    Ok(vec![("parse", parse), ("write", write)])
}

fn peerline(effort: Effort) -> Result<Vec<Figure>> {
    use peerline_sdp::SessionDescription;
    let offer = SessionDescription::parse(OFFER)?;
    let parse = micros(effort, || SessionDescription::parse(OFFER));
    let write = micros(effort, || offer.to_string());
    figures(offer.to_string().len(), parse, write)
}

#[cfg(feature = "peers")]
fn sdp_types(effort: Effort) -> Result<Vec<Figure>> {
    use sdp_types::Session;
    let offer = Session::parse(OFFER.as_bytes())?;
    let write = || {
        let mut out = Vec::new();
        offer.write(&mut out).map(|()| out)
    };
    let parse = micros(effort, || Session::parse(OFFER.as_bytes()));
    figures(write()?.len(), parse, micros(effort, write))
}

#[cfg(feature = "peers")]
fn rtc_sdp(effort: Effort) -> Result<Vec<Figure>> {
    use rtc_sdp::description::session::SessionDescription;
    let parse = || SessionDescription::unmarshal(&mut std::io::Cursor::new(OFFER));
    let offer = parse()?;
    let write = micros(effort, || offer.marshal());
    figures(offer.marshal().len(), micros(effort, parse), write)
}

#[cfg(feature = "peers")]
fn webrtc_sdp(effort: Effort) -> Result<Vec<Figure>> {
    use webrtc_sdp::parse_sdp;
    let offer = parse_sdp(OFFER, false).map_err(|error| error.to_string())?;
    let parse = micros(effort, || parse_sdp(OFFER, false));
    let write = micros(effort, || offer.to_string());
    figures(offer.to_string().len(), parse, write)
}

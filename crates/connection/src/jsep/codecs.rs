//! The codecs of a media section: read from it, written to it, and which of two descriptions are the same (RFC 3264 §6.1).

use std::collections::HashMap;

use peerline_sdp::attribute::{Fmtp, PayloadType, RtcpFb, RtpMap};
use peerline_sdp::{MediaDescription, Section as _};

use super::h264;
use crate::media::parameters::{MediaKind, RtcpFeedback, RtpCodec, RtpCodecParameters};

/// The payload types that RTCP takes where both share a port (RFC 5761 §4).
const RTCP: std::ops::RangeInclusive<u8> = 64..=95;

/// The codecs of a section, the preferred first. What cannot be understood is left out: "it MUST be ignored" (RFC 8829 §5.10).
pub(super) fn read(media: &MediaDescription, kind: MediaKind) -> Vec<RtpCodecParameters> {
    let maps: HashMap<u8, RtpMap> = first_of(media.attributes::<RtpMap>().filter_map(Result::ok).map(|map| {
        let number = map.payload_type.get();
        (number, map)
    }));
    let fmtps: HashMap<u8, String> = first_of(
        media
            .attributes::<Fmtp>()
            .filter_map(Result::ok)
            .filter_map(|fmtp| Some((fmtp.format.parse().ok()?, fmtp.text.trim_ascii().to_owned()))),
    );
    let mut feedback: HashMap<u8, Vec<RtcpFeedback>> = HashMap::new();
    let mut for_all = Vec::new();
    for line in media.attributes::<RtcpFb>().filter_map(Result::ok) {
        let Some(known) = feedback_from_sdp(&line) else {
            continue;
        };
        let list = match line.payload_type {
            Some(number) => feedback.entry(number.get()).or_default(),
            None => &mut for_all,
        };
        if !list.contains(&known) {
            list.push(known);
        }
    }
    let mut seen = [false; 128];
    let mut codecs = Vec::new();
    for format in media.formats() {
        let Some(number) = format.parse().ok().and_then(PayloadType::new).map(PayloadType::get) else {
            continue;
        };
        if RTCP.contains(&number) || std::mem::replace(&mut seen[usize::from(number)], true) {
            continue;
        }
        let Some(mut codec) = maps
            .get(&number)
            .map(|map| from_map(map, kind))
            .or_else(|| fixed(number, kind))
        else {
            continue;
        };
        codec.sdp_fmtp_line = fmtps.get(&number).cloned().unwrap_or_default();
        let mut rtcp_feedback = feedback.remove(&number).unwrap_or_default();
        rtcp_feedback.extend(
            for_all
                .iter()
                .copied()
                .filter(|kind| !rtcp_feedback.contains(kind))
                .collect::<Vec<_>>(),
        );
        codecs.push(RtpCodecParameters {
            payload_type: number,
            codec,
            rtcp_feedback,
        });
    }
    codecs
}

fn first_of<T>(items: impl Iterator<Item = (u8, T)>) -> HashMap<u8, T> {
    let mut map = HashMap::new();
    for (number, item) in items {
        map.entry(number).or_insert(item);
    }
    map
}

fn from_map(map: &RtpMap, kind: MediaKind) -> RtpCodec {
    RtpCodec {
        mime_type: format!("{kind}/{}", map.encoding),
        clock_rate: map.clock_rate,
        channels: map.channels.and_then(|channels| u16::try_from(channels).ok()),
        sdp_fmtp_line: String::new(),
    }
}

/// What a payload type stands for without `a=rtpmap` (RFC 3551 §6).
fn fixed(number: u8, kind: MediaKind) -> Option<RtpCodec> {
    let encoding = match (number, kind) {
        (0, MediaKind::Audio) => "PCMU",
        (8, MediaKind::Audio) => "PCMA",
        (9, MediaKind::Audio) => "G722",
        _ => return None,
    };
    Some(RtpCodec {
        mime_type: format!("{kind}/{encoding}"),
        clock_rate: 8000,
        channels: None,
        sdp_fmtp_line: String::new(),
    })
}

/// Adds the `a=rtpmap`, `a=rtcp-fb` and `a=fmtp` lines.
pub(super) fn write(media: &mut MediaDescription, codecs: &[RtpCodecParameters]) {
    for RtpCodecParameters {
        payload_type,
        codec,
        rtcp_feedback,
    } in codecs
    {
        let Some(number) = PayloadType::new(*payload_type) else {
            continue;
        };
        media.push(&RtpMap {
            payload_type: number,
            encoding: codec.encoding().to_owned(),
            clock_rate: codec.clock_rate,
            channels: codec.channels.filter(|channels| *channels > 1).map(u32::from),
        });
        for feedback in rtcp_feedback.iter().filter(|kind| **kind != RtcpFeedback::AckCcfb) {
            let (kind, parameter) = feedback_to_sdp(*feedback);
            media.push(&RtcpFb::new(Some(number), kind, parameter));
        }
        if !codec.sdp_fmtp_line.is_empty() {
            media.push(&Fmtp {
                format: number.to_string(),
                text: codec.sdp_fmtp_line.clone(),
            });
        }
    }
    // "The payload type used with "ccfb" feedback MUST be the wildcard type ("*")" (RFC 8888 §6).
    if speaks(codecs, RtcpFeedback::AckCcfb) {
        let (kind, parameter) = feedback_to_sdp(RtcpFeedback::AckCcfb);
        media.push(&RtcpFb::new(None, kind, parameter));
    }
}

/// True if a codec of these has that feedback.
pub(crate) fn speaks(codecs: &[RtpCodecParameters], kind: RtcpFeedback) -> bool {
    codecs.iter().any(|codec| codec.rtcp_feedback.contains(&kind))
}

fn feedback_from_sdp(line: &RtcpFb) -> Option<RtcpFeedback> {
    match (line.kind.as_str(), line.parameter.as_deref()) {
        ("nack", None) => Some(RtcpFeedback::Nack),
        ("nack", Some("pli")) => Some(RtcpFeedback::NackPli),
        ("ccm", Some("fir")) => Some(RtcpFeedback::CcmFir),
        ("goog-remb", None) => Some(RtcpFeedback::GoogRemb),
        ("transport-cc", None) => Some(RtcpFeedback::TransportCc),
        ("ack", Some("ccfb")) => Some(RtcpFeedback::AckCcfb),
        _ => None,
    }
}

fn feedback_to_sdp(feedback: RtcpFeedback) -> (&'static str, Option<&'static str>) {
    match feedback {
        RtcpFeedback::Nack => ("nack", None),
        RtcpFeedback::NackPli => ("nack", Some("pli")),
        RtcpFeedback::CcmFir => ("ccm", Some("fir")),
        RtcpFeedback::GoogRemb => ("goog-remb", None),
        RtcpFeedback::TransportCc => ("transport-cc", None),
        RtcpFeedback::AckCcfb => ("ack", Some("ccfb")),
    }
}

/// A parameter of a format, by its name without regard to case (RFC 8866 §6.6).
pub(super) fn parameter<'a>(codec: &'a RtpCodec, name: &str) -> Option<&'a str> {
    codec.sdp_fmtp_line.split(';').find_map(|pair| {
        let (own, value) = pair.split_once('=')?;
        own.trim_ascii().eq_ignore_ascii_case(name).then(|| value.trim_ascii())
    })
}

/// The payload type that `rtx` repeats (RFC 4588 §8.1).
pub(super) fn apt(codec: &RtpCodec) -> Option<u8> {
    codec.is("rtx").then(|| parameter(codec, "apt")?.parse().ok()).flatten()
}

/// The payload types that RED carries: `a=fmtp:63 111/111` (RFC 2198 §5).
pub(crate) fn redundant(codec: &RtpCodec) -> Option<u8> {
    codec
        .is("red")
        .then(|| codec.sdp_fmtp_line.split('/').next()?.trim_ascii().parse().ok())
        .flatten()
}

/// What a codec is, as far as two ends must agree on it: its name, its clock, its channels, and those parameters that its
/// payload format forbids to differ. Levels and sizes are each receiver's own.
///
/// Of `rtx` and RED it is which payload type they are of, so that it means something within one description only.
pub(crate) fn meaning(codec: &RtpCodec) -> String {
    let mut meaning = format!(
        "{}/{}/{}",
        codec.mime_type.to_ascii_lowercase(),
        codec.clock_rate,
        codec.channels.unwrap_or(1)
    );
    let mut add = |text: &str| {
        meaning.push(' ');
        meaning.push_str(text);
    };
    let value = |name: &str, default: &'static str| parameter(codec, name).unwrap_or(default).to_ascii_lowercase();
    if codec.is("H264") {
        // "The parameters identifying a media format configuration for H.264 are profile-level-id and packetization-mode"
        // (RFC 6184 §8.2.2), without the level where it may be asymmetric.
        add(&h264::Profile::of(codec).to_string());
        add(&value("packetization-mode", "0"));
    } else if codec.is("VP9") {
        add(&value("profile-id", "0"));
    } else if codec.is("AV1") {
        add(&value("profile", "0"));
    } else if codec.is("H265") {
        add(&value("profile-id", "1"));
        add(&value("tier-flag", "0"));
        add(&value("tx-mode", "srst"));
    } else if codec.is("rtx") {
        add(parameter(codec, "apt").unwrap_or_default());
    } else if let Some(number) = redundant(codec) {
        add(&number.to_string());
    }
    meaning
}

/// For each codec of `ours` the one of `theirs` that is the same, if there is one. `rtx` is the same where what it repeats is,
/// and so is RED.
pub(super) fn matches(ours: &[RtpCodecParameters], theirs: &[RtpCodecParameters]) -> Vec<Option<usize>> {
    let bound = |codec: &RtpCodec| apt(codec).or_else(|| redundant(codec));
    let meanings: Vec<_> = theirs.iter().map(|their| meaning(&their.codec)).collect();
    let mut found: Vec<Option<usize>> = ours
        .iter()
        .map(|our| {
            if bound(&our.codec).is_some() {
                return None;
            }
            let meaning = meaning(&our.codec);
            // One that has the same number comes first: a description may name a codec twice.
            let same = |(_, (their, other)): &(usize, (&RtpCodecParameters, &String))| {
                **other == meaning && their.payload_type == our.payload_type
            };
            let mut all = theirs.iter().zip(&meanings).enumerate();
            all.clone()
                .find(same)
                .or_else(|| all.find(|(_, (_, other))| **other == meaning))
                .map(|(index, _)| index)
        })
        .collect();
    for (index, our) in ours.iter().enumerate() {
        let Some(number) = bound(&our.codec) else { continue };
        let primary = ours.iter().position(|other| other.payload_type == number);
        let Some(their_primary) = primary.and_then(|primary| found[primary]) else {
            continue;
        };
        let their_number = theirs[their_primary].payload_type;
        found[index] = theirs.iter().position(|their| {
            bound(&their.codec) == Some(their_number)
                && their.codec.encoding().eq_ignore_ascii_case(our.codec.encoding())
        });
    }
    found
}

/// The codecs that both have, as `ours` numbers and orders them, with the feedback that both speak.
pub(super) fn common(ours: &[RtpCodecParameters], theirs: &[RtpCodecParameters]) -> Vec<RtpCodecParameters> {
    let found = matches(ours, theirs);
    ours.iter()
        .zip(found)
        .filter_map(|(our, their)| {
            let their = &theirs[their?];
            let mut common = our.clone();
            common
                .rtcp_feedback
                .retain(|feedback| their.rtcp_feedback.contains(feedback));
            Some(common)
        })
        .collect()
}

/// True if something in the list is media of its own, and not only repeats, protects or accompanies other media.
pub(super) fn has_primary(codecs: &[RtpCodecParameters]) -> bool {
    codecs.iter().any(|codec| !codec.codec.is_auxiliary())
}

/// The codec dictionary match of webrtc-pc §5.3: the same codec for `setCodecPreferences` and `setParameters`.
pub(crate) fn is_same(one: &RtpCodec, other: &RtpCodec) -> bool {
    let parameters = |codec: &RtpCodec| {
        let mut all: Vec<_> = codec
            .sdp_fmtp_line
            .split(';')
            .map(|pair| pair.trim_ascii().to_ascii_lowercase())
            .filter(|pair| !pair.is_empty())
            .collect();
        all.sort();
        all
    };
    one.mime_type.eq_ignore_ascii_case(&other.mime_type)
        && one.clock_rate == other.clock_rate
        && one.channels.unwrap_or(1) == other.channels.unwrap_or(1)
        // The parameters of these name payload types, which are the negotiation's to choose.
        && (one.is("rtx") || one.is("red") || parameters(one) == parameters(other))
}

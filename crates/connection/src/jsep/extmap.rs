//! The header extensions of a media section (RFC 8285 §5 and §6).

use peerline_sdp as sdp;
use peerline_sdp::attribute::{Direction, ExtMap, ExtMapAllowMixed};
use peerline_sdp::{MediaDescription, Section as _};

use super::codecs::speaks;
use super::numbers::Numbers;
use crate::media::capabilities::HeaderExtensionSupport;
use crate::media::extensions::TRANSPORT_NUMBER;
use crate::media::parameters::{MediaKind, RtcpFeedback, RtpCodecParameters, RtpHeaderExtensionParameters};

/// One extension of a section, as the writer of the description sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Extension {
    pub(super) id: u8,
    pub(super) uri: String,
    pub(super) direction: Direction,
}

/// More than a section could use.
const MOST: usize = 64;

/// The extensions of a section, those of the session level included. Ids that no header can carry are left out.
pub(super) fn read(description: &sdp::SessionDescription, media: &MediaDescription) -> Vec<Extension> {
    let mut extensions: Vec<Extension> = Vec::new();
    let lines = media.attributes::<ExtMap>().chain(description.attributes::<ExtMap>());
    for line in lines.filter_map(Result::ok).take(MOST) {
        let Ok(id) = u8::try_from(line.id) else { continue };
        let is_known = |own: &Extension| own.id == id || own.uri == line.uri;
        if id != 15 && !extensions.iter().any(is_known) {
            extensions.push(Extension {
                id,
                direction: line.direction.unwrap_or_default(),
                uri: line.uri,
            });
        }
    }
    extensions
}

/// True if headers of one byte and of two may be mixed in the streams of a section: "This attribute can be used at the session
/// level or the media level" (RFC 8285 §6).
pub(super) fn allow_mixed(description: &sdp::SessionDescription, media: &MediaDescription) -> bool {
    media.has::<ExtMapAllowMixed>() || description.has::<ExtMapAllowMixed>()
}

pub(super) fn write(media: &mut MediaDescription, extensions: &[Extension]) {
    for Extension { id, uri, direction } in extensions {
        media.push(&ExtMap {
            direction: (*direction != Direction::SendRecv).then_some(*direction),
            ..ExtMap::new(u16::from(*id), uri)
        });
    }
}

/// True if an extension is of use beside these codecs. Numbers in the transport are for who tells of them: where no codec has
/// `transport-cc`, because another kind of feedback was agreed on or REMB alone is known, they would be carried for nothing.
fn is_of_use(uri: &str, codecs: &[RtpCodecParameters]) -> bool {
    uri != TRANSPORT_NUMBER || speaks(codecs, RtcpFeedback::TransportCc)
}

/// What we offer beside `codecs`. "The RTP header extensions MUST only include those that are present in the most recent answer" (RFC 8829
/// §5.2.2), if there was one.
pub(super) fn offered(
    supported: &[HeaderExtensionSupport],
    kind: MediaKind,
    codecs: &[RtpCodecParameters],
    answered: Option<&[Extension]>,
    numbers: &mut Numbers,
) -> Vec<Extension> {
    if let Some(answered) = answered {
        let known =
            |extension: &&Extension| is_supported(supported, kind, &extension.uri) && is_of_use(&extension.uri, codecs);
        let both_ways = |extension: &Extension| Extension {
            direction: Direction::SendRecv,
            ..extension.clone()
        };
        return answered.iter().filter(known).map(both_ways).collect();
    }
    supported
        .iter()
        .filter(|support| support.offered && support.kind.is_none_or(|own| own == kind))
        .filter(|support| is_of_use(&support.uri, codecs))
        .filter_map(|support| {
            Some(Extension {
                id: numbers.assign_extension(&support.uri, kind, false)?,
                uri: support.uri.clone(),
                direction: Direction::SendRecv,
            })
        })
        .collect()
}

/// What we answer beside `codecs`: those offered that are known here, under the same ids (RFC 8285 §6).
pub(super) fn answered(
    supported: &[HeaderExtensionSupport],
    kind: MediaKind,
    codecs: &[RtpCodecParameters],
    offered: &[Extension],
    numbers: &mut Numbers,
) -> Vec<Extension> {
    offered
        .iter()
        .filter(|extension| is_supported(supported, kind, &extension.uri) && is_of_use(&extension.uri, codecs))
        .filter(|extension| numbers.assign_offered_extension(&extension.uri, extension.id))
        .map(|extension| Extension {
            direction: extension.direction.reversed(),
            ..extension.clone()
        })
        .collect()
}

fn is_supported(supported: &[HeaderExtensionSupport], kind: MediaKind, uri: &str) -> bool {
    supported
        .iter()
        .any(|support| support.uri == uri && support.kind.is_none_or(|own| own == kind))
}

/// The extensions of `ours` that `theirs` has too and that may be sent by us beside `codecs`.
pub(super) fn to_send(
    ours: &[Extension],
    theirs: &[Extension],
    codecs: &[RtpCodecParameters],
) -> Vec<RtpHeaderExtensionParameters> {
    // The numbers are the peer's.
    let may = |their: &&Extension| {
        their.direction.receives()
            && is_of_use(&their.uri, codecs)
            && ours.iter().any(|our| our.uri == their.uri && our.direction.sends())
    };
    theirs.iter().filter(may).map(parameters).collect()
}

/// The extensions of `ours` that the peer may send beside `codecs`; all of them before it has answered.
pub(super) fn to_receive(
    ours: &[Extension],
    theirs: Option<&[Extension]>,
    codecs: &[RtpCodecParameters],
) -> Vec<RtpHeaderExtensionParameters> {
    let may = |our: &&Extension| {
        our.direction.receives()
            && is_of_use(&our.uri, codecs)
            && theirs.is_none_or(|theirs| {
                theirs
                    .iter()
                    .any(|their| our.uri == their.uri && their.direction.sends())
            })
    };
    ours.iter().filter(may).map(parameters).collect()
}

fn parameters(extension: &Extension) -> RtpHeaderExtensionParameters {
    RtpHeaderExtensionParameters {
        uri: extension.uri.clone(),
        id: extension.id,
    }
}

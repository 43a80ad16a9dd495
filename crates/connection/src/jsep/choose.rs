//! Which codecs our offers and answers name, in which order and under which numbers (RFC 8829 §5.2 and §5.3).

use super::codecs::{apt, common, matches, meaning, redundant, speaks};
use super::h264;
use super::numbers::Numbers;
use crate::media::capabilities::CodecSupport;
use crate::media::parameters::{MediaKind, RtcpFeedback, RtpCodec, RtpCodecParameters};

/// The codecs that may be named, the preferred first.
pub(super) struct Choice<'a> {
    supports: Vec<&'a CodecSupport>,
    /// Retransmissions may be named.
    rtx: bool,
    /// Their order was set by `setCodecPreferences`.
    ordered: bool,
}

impl<'a> Choice<'a> {
    /// "media formats MUST be generated in the corresponding order and MUST exclude any codecs not present in the codec
    /// preferences" (RFC 8829 §5.2.1).
    pub(super) fn new(supported: &'a [CodecSupport], kind: MediaKind, preferences: &[RtpCodec]) -> Self {
        let own = supported.iter().filter(|support| support.is_of(kind));
        if preferences.is_empty() {
            return Self {
                supports: own.collect(),
                rtx: true,
                ordered: false,
            };
        }
        Self {
            supports: preferences
                .iter()
                .filter_map(|codec| own.clone().find(|support| support.codec == *codec))
                .collect(),
            rtx: preferences.iter().any(|codec| codec.is("rtx")),
            ordered: true,
        }
    }

    /// The codecs of an offer. Where a section was answered before, "the media formats … MUST be generated in the same order as
    /// in the most recent answer. Any … not present in the most recent answer MUST be added after", and their feedback is what
    /// was answered (RFC 8829 §5.2.2).
    pub(super) fn offer(
        mut self,
        answered: Option<&[RtpCodecParameters]>,
        numbers: &mut Numbers,
    ) -> Vec<RtpCodecParameters> {
        if let Some(answered) = answered.filter(|_| !self.ordered) {
            let meanings: Vec<_> = answered.iter().map(|codec| plain_meaning(&codec.codec)).collect();
            self.supports.sort_by_key(|support| {
                let own = plain_meaning(&support.codec);
                meanings.iter().position(|other| *other == own).unwrap_or(usize::MAX)
            });
        }
        let mut codecs = self.number(numbers, answered.unwrap_or_default());
        if let Some(answered) = answered {
            let found = matches(&codecs, answered);
            for (codec, found) in codecs.iter_mut().zip(found) {
                if let Some(found) = found {
                    let spoken = &answered[found].rtcp_feedback;
                    codec.rtcp_feedback.retain(|feedback| spoken.contains(feedback));
                }
            }
        }
        codecs
    }

    fn number(&self, numbers: &mut Numbers, answered: &[RtpCodecParameters]) -> Vec<RtpCodecParameters> {
        let mut assign = |codec: RtpCodec, proposed, support: &CodecSupport| {
            Some(RtpCodecParameters {
                payload_type: numbers.assign(&codec, proposed, answered)?,
                rtcp_feedback: if codec.is("rtx") {
                    Vec::new()
                } else {
                    support.rtcp_feedback.clone()
                },
                codec,
            })
        };
        // RED is numbered after what it carries.
        let mut places: Vec<Vec<RtpCodecParameters>> = Vec::new();
        for support in &self.supports {
            let mut place = Vec::new();
            if !support.codec.is("red")
                && let Some(primary) = assign(support.codec.clone(), support.payload_type, support)
            {
                let number = primary.payload_type;
                place.push(primary);
                if let Some(proposed) = support.rtx.filter(|_| self.rtx) {
                    place.extend(assign(rtx_of(&support.codec, number), proposed, support));
                }
            }
            places.push(place);
        }
        for (index, support) in self.supports.iter().enumerate() {
            if support.codec.is("red") {
                let carried = places
                    .iter()
                    .flatten()
                    .find(|other| carries(&support.codec, &other.codec));
                if let Some(codec) = carried.map(|other| red_of(&support.codec, other.payload_type)) {
                    places[index].extend(assign(codec, support.payload_type, support));
                }
            }
        }
        places.into_iter().flatten().collect()
    }

    /// The codecs of an answer: "in the same order as those offered", unless another was set, under the numbers offered.
    pub(super) fn answer(&self, offered: &[RtpCodecParameters], numbers: &mut Numbers) -> Vec<RtpCodecParameters> {
        // Those of the offer that carry media, with our own side of each.
        let mut accepted: Vec<(usize, usize, RtpCodecParameters)> = Vec::new();
        for (place, support) in self.supports.iter().enumerate() {
            let own = meaning(&support.codec);
            let is_own = |codec: &RtpCodecParameters| !codec.codec.is("red") && meaning(&codec.codec) == own;
            let Some(index) = offered.iter().position(is_own) else {
                continue;
            };
            let their = &offered[index];
            let mut codec = support.codec.clone();
            if codec.is("H264") {
                codec.sdp_fmtp_line = h264::answer(&codec, &their.codec);
            }
            let rtcp_feedback = support.rtcp_feedback.iter().copied();
            accepted.push((
                place,
                index,
                RtpCodecParameters {
                    payload_type: their.payload_type,
                    codec,
                    rtcp_feedback: rtcp_feedback
                        .filter(|kind| their.rtcp_feedback.contains(kind))
                        .collect(),
                },
            ));
        }
        accepted.sort_by_key(|(place, index, _)| if self.ordered { *place } else { *index });

        let mut answer: Vec<(usize, usize, RtpCodecParameters)> = Vec::new();
        for (place, index, mut codec) in accepted {
            let theirs = codec.payload_type;
            let Some(number) = numbers.assign_answer(&codec.codec, theirs) else {
                continue;
            };
            codec.payload_type = number;
            let primary = codec.codec.clone();
            answer.push((place, index, codec));
            let repeats = |codec: &RtpCodecParameters| apt(&codec.codec) == Some(theirs);
            if let Some(index) = offered.iter().position(repeats)
                && self.rtx
                && self.supports[place].rtx.is_some()
            {
                let codec = rtx_of(&primary, number);
                answer.extend(bound(codec, offered, index, numbers).map(|codec| (place, index, codec)));
            }
        }
        for (place, support) in self
            .supports
            .iter()
            .enumerate()
            .filter(|(_, support)| support.codec.is("red"))
        {
            let red = answer.iter().find_map(|(_, index, carried)| {
                let theirs = offered[*index].payload_type;
                let is_red = |codec: &RtpCodecParameters| redundant(&codec.codec) == Some(theirs);
                let place = offered.iter().position(is_red)?;
                carries(&support.codec, &carried.codec).then_some((place, carried.payload_type))
            });
            if let Some((index, number)) = red {
                let codec = red_of(&support.codec, number);
                answer.extend(bound(codec, offered, index, numbers).map(|codec| (place, index, codec)));
            }
        }
        answer.sort_by_key(|(place, index, _)| if self.ordered { *place } else { *index });
        let mut answer: Vec<_> = answer.into_iter().map(|(_, _, codec)| codec).collect();
        // "The answering party SHOULD include only one of the offered congestion control feedback mechanisms" (RFC 8888 §6): the one
        // whose times are finer, 250 µs rather than a 1,024th of a second, and which all browsers speak.
        if speaks(&answer, RtcpFeedback::TransportCc) {
            for codec in &mut answer {
                codec.rtcp_feedback.retain(|kind| *kind != RtcpFeedback::AckCcfb);
            }
        }
        answer
    }

    /// True if something of the offer can be answered.
    pub(super) fn accepts(&self, offered: &[RtpCodecParameters]) -> bool {
        let theirs: Vec<_> = offered.iter().map(|codec| meaning(&codec.codec)).collect();
        self.supports
            .iter()
            .any(|support| !support.codec.is_auxiliary() && theirs.contains(&meaning(&support.codec)))
    }
}

/// A codec of ours that is bound to another, as the answer to the one offered.
fn bound(
    codec: RtpCodec,
    offered: &[RtpCodecParameters],
    index: usize,
    numbers: &mut Numbers,
) -> Option<RtpCodecParameters> {
    Some(RtpCodecParameters {
        payload_type: numbers.assign_answer(&codec, offered[index].payload_type)?,
        codec,
        rtcp_feedback: Vec::new(),
    })
}

fn rtx_of(primary: &RtpCodec, number: u8) -> RtpCodec {
    let (kind, _) = primary.mime_type.split_once('/').unwrap_or_default();
    RtpCodec {
        mime_type: format!("{kind}/rtx"),
        clock_rate: primary.clock_rate,
        channels: None,
        sdp_fmtp_line: format!("apt={number}"),
    }
}

/// Two blocks of one codec: the packet before, and this one (RFC 2198 §5).
fn red_of(red: &RtpCodec, number: u8) -> RtpCodec {
    RtpCodec {
        sdp_fmtp_line: format!("{number}/{number}"),
        ..red.clone()
    }
}

fn carries(red: &RtpCodec, other: &RtpCodec) -> bool {
    !other.is_auxiliary()
        && other.clock_rate == red.clock_rate
        && other.channels.unwrap_or(1) == red.channels.unwrap_or(1)
}

/// What a codec is when payload types do not count.
fn plain_meaning(codec: &RtpCodec) -> String {
    if codec.is("red") {
        let bare = RtpCodec {
            sdp_fmtp_line: String::new(),
            ..codec.clone()
        };
        meaning(&bare)
    } else {
        meaning(codec)
    }
}

/// What may be sent: the codecs of the peer's section that ours has too, under the peer's numbers and with what it wants to
/// know, named as we name them.
pub(super) fn to_send(ours: &[RtpCodecParameters], theirs: &[RtpCodecParameters]) -> Vec<RtpCodecParameters> {
    let found = matches(theirs, ours);
    let mut codecs = common(theirs, ours);
    for (codec, our) in codecs.iter_mut().zip(found.into_iter().flatten()) {
        codec.codec.mime_type.clone_from(&ours[our].codec.mime_type);
        codec.codec.channels = ours[our].codec.channels;
    }
    codecs
}

//! Which payload types and extension ids stand for what: for the life of the connection, in both directions, in all sections.
//!
//! "the mapping from a particular dynamic payload type number to a particular codec within that media stream MUST NOT change
//! for the duration of a session" (RFC 3264 §8.3.2), and sections in one BUNDLE group share the numbers (RFC 9143 §9.1).

use std::collections::BTreeMap;

use super::codecs::meaning;
use crate::media::capabilities;
use crate::media::parameters::{MediaKind, RtpCodec, RtpCodecParameters};

/// What was said, by us and by the peer. A rollback takes back what was said since.
#[derive(Clone, Default)]
pub(super) struct Numbers {
    /// What the peer may send to us, under the numbers of our descriptions.
    local: BTreeMap<u8, Box<str>>,
    /// What we may send to the peer, under the numbers of its descriptions.
    remote: BTreeMap<u8, Box<str>>,
    /// Extension ids have one meaning in both directions: "the answer … MUST use the ids of the offer" (RFC 8285 §6).
    extensions: BTreeMap<u8, Box<str>>,
}

/// Stands for what is too long to be anything known here.
const UNKNOWN: &str = "?";
const LONGEST: usize = 200;

/// Where payload types are found that nothing is bound to: those of RFC 3551 §6 first, then those it leaves unassigned.
fn dynamic() -> impl Iterator<Item = u8> {
    (96..=127).chain(35..=63)
}

/// The ids that Chromium gives in its first offer, for sound and for pictures. Where offers cross, it compares the ids of ours
/// with those of the offer that it is about to take back, and refuses ours if an id has another meaning.
fn usual_extension_id(uri: &str, kind: MediaKind) -> Option<u8> {
    const ABS_SEND_TIME: &str = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time";
    const TRANSPORT_CC: &str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
    let usual: &[(u8, &str)] = match kind {
        MediaKind::Audio => &[
            (1, capabilities::AUDIO_LEVEL),
            (2, ABS_SEND_TIME),
            (3, TRANSPORT_CC),
            (4, capabilities::MID),
        ],
        MediaKind::Video => &[
            (2, ABS_SEND_TIME),
            (3, "urn:3gpp:video-orientation"),
            (4, TRANSPORT_CC),
            (5, "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"),
            (9, capabilities::MID),
            (10, capabilities::RID),
            (11, capabilities::REPAIRED_RID),
        ],
    };
    let mut usual = usual.iter();
    usual.find(|(_, own)| *own == uri).map(|(id, _)| *id)
}

fn short(text: &str) -> Box<str> {
    if text.len() > LONGEST { UNKNOWN } else { text }.into()
}

impl Numbers {
    /// The number under which the peer is to send `codec`: the one it has (of several the one that `answered` has, what was last
    /// agreed on for the section), or else the proposed, or else a free one.
    pub(super) fn assign(&mut self, codec: &RtpCodec, proposed: u8, answered: &[RtpCodecParameters]) -> Option<u8> {
        let meaning = short(&meaning(codec));
        let stays = |own: &&RtpCodecParameters| {
            self.local.get(&own.payload_type) == Some(&meaning) && short(&self::meaning(&own.codec)) == meaning
        };
        if let Some(own) = answered.iter().find(stays) {
            return Some(own.payload_type);
        }
        let has = |map: &BTreeMap<u8, Box<str>>, number: u8| map.get(&number) == Some(&meaning);
        let known = |map: &BTreeMap<u8, Box<str>>| {
            let mut numbers = map
                .iter()
                .filter(|(_, own)| **own == meaning)
                .map(|(number, _)| *number);
            numbers.next()
        };
        let both = self
            .local
            .keys()
            .copied()
            .find(|number| has(&self.local, *number) && has(&self.remote, *number));
        let free = |number: &u8| !self.local.contains_key(number) && !self.remote.contains_key(number);
        let number = both
            .or_else(|| known(&self.local))
            .or_else(|| known(&self.remote).filter(|number| !self.local.contains_key(number)))
            .or_else(|| Some(proposed).filter(free))
            .or_else(|| dynamic().find(free))
            // The peer has taken all there are, so that a number has to mean one thing here and another there.
            .or_else(|| dynamic().find(|number| !self.local.contains_key(number)))?;
        self.local.insert(number, meaning);
        Some(number)
    }

    /// The number under which the peer is to send `codec`, which it called `theirs`: "the payload type numbers … SHOULD be the
    /// same" (RFC 3264 §6.1), unless that number has stood for something else.
    pub(super) fn assign_answer(&mut self, codec: &RtpCodec, theirs: u8) -> Option<u8> {
        let meaning = short(&meaning(codec));
        if self.local.get(&theirs).is_none_or(|own| *own == meaning) {
            self.local.insert(theirs, meaning);
            return Some(theirs);
        }
        self.assign(codec, theirs, &[])
    }

    /// The id for an extension: the one it has, or else the usual, or else a free one. Ids above 14 need headers of two bytes
    /// (RFC 8285 §4.3).
    pub(super) fn assign_extension(&mut self, uri: &str, kind: MediaKind, allow_mixed: bool) -> Option<u8> {
        let known = self
            .extensions
            .iter()
            .find(|(_, own)| &***own == uri)
            .map(|(id, _)| *id);
        let last = if allow_mixed { 255 } else { 14 };
        let free = |id: &u8| *id != 15 && !self.extensions.contains_key(id);
        // Like Chromium, from above: below lie the usual ids.
        let id = known
            .or_else(|| usual_extension_id(uri, kind).filter(free))
            .or_else(|| (1..15).rev().find(free))
            .or_else(|| (16..=last).find(free))?;
        self.extensions.insert(id, short(uri));
        Some(id)
    }

    /// True if `id` may stand for `uri`, and from now on it does: an id means one thing, and one thing has one id.
    pub(super) fn assign_offered_extension(&mut self, uri: &str, id: u8) -> bool {
        let uri = short(uri);
        let fits = match self.extensions.get(&id) {
            Some(own) => *own == uri,
            None => true,
        };
        if fits {
            self.extensions.insert(id, uri);
        }
        fits
    }

    /// A description of ours was set.
    pub(super) fn learn_local(&mut self, codecs: &[RtpCodecParameters]) {
        learn(&mut self.local, codecs);
    }

    /// A description of the peer's was set.
    pub(super) fn learn_remote(&mut self, codecs: &[RtpCodecParameters]) {
        learn(&mut self.remote, codecs);
    }

    /// A description of either was set.
    pub(super) fn learn_extensions<'a>(&mut self, extensions: impl IntoIterator<Item = (u16, &'a str)>) {
        for (id, uri) in extensions {
            if let Ok(id) = u8::try_from(id) {
                self.extensions.entry(id).or_insert_with(|| short(uri));
            }
        }
    }
}

fn learn(map: &mut BTreeMap<u8, Box<str>>, codecs: &[RtpCodecParameters]) {
    for codec in codecs {
        map.entry(codec.payload_type)
            .or_insert_with(|| short(&meaning(&codec.codec)));
    }
}

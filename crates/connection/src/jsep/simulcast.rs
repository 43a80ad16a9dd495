//! The encodings that a section names: `a=rid` and `a=simulcast` (RFC 8851, RFC 8853).

use peerline_sdp::attribute::{Rid, RidDirection, RidRestriction, Simulcast, SimulcastStream};
use peerline_sdp::{MediaDescription, Section as _};

/// The layers of simulcast that a section names, as the writer of the description sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Layers {
    pub(super) send: Vec<Layer>,
    pub(super) receive: Vec<Layer>,
}

/// One layer: its name in `a=simulcast`, and what its `a=rid` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Layer {
    pub(super) rid: String,
    /// `~`: it is not sent at present.
    pub(super) paused: bool,
    /// The payload types that it may have (`pt=`); all if empty.
    pub(super) formats: Vec<u8>,
    pub(super) restrictions: Vec<RidRestriction>,
}

impl Layer {
    /// A layer that may be anything.
    pub(super) fn plain(rid: &str, paused: bool) -> Self {
        Self {
            rid: rid.to_owned(),
            paused,
            ..Self::default()
        }
    }

    /// True if it may be anything.
    pub(super) fn is_plain(&self) -> bool {
        self.formats.is_empty() && self.restrictions.is_empty()
    }

    /// The limit called `name`, if it has one that is a number.
    pub(super) fn limit(&self, name: &str) -> Option<f64> {
        let restriction = self.restrictions.iter().find(|own| own.name == name)?;
        restriction.value.as_deref()?.parse().ok()
    }
}

/// The restrictions that a sender here obeys (RFC 8851 §5): its source is told of them.
const OBEYED: [&str; 2] = [MAX_BITRATE, MAX_FRAME_RATE];
pub(super) const MAX_BITRATE: &str = "max-br";
pub(super) const MAX_FRAME_RATE: &str = "max-fps";

/// Whose description it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    Ours,
    Theirs,
}

/// Reads up to `most` layers each way. Of alternatives the first counts; a layer without `a=rid` is none: "an SCID … that is
/// not also listed as an rid-id … MUST be … discarded" (RFC 8853 §5.1).
pub(super) fn read(whose: Whose, media: &MediaDescription, most: usize) -> Layers {
    let Ok(Some(simulcast)) = media.attribute::<Simulcast>() else {
        return Layers::default();
    };
    let rids: Vec<Rid> = media.attributes::<Rid>().filter_map(Result::ok).take(64).collect();
    let known = |streams: Vec<Vec<SimulcastStream>>, direction| {
        let mut layers: Vec<Layer> = Vec::new();
        for alternatives in streams.into_iter().take(64) {
            let named = |stream: SimulcastStream| {
                let mut same = rids.iter().filter(|rid| rid.id == stream.rid);
                // "In the case of a duplicate, the entire "a=rid" line, and all "a=rid" lines with rid-ids that duplicate this
                // line, are discarded" (RFC 8851 §6.2.2).
                let rid = same.next().filter(|_| same.next().is_none())?;
                (rid.direction == direction)
                    .then(|| layer(whose, media, rid, stream.paused))
                    .flatten()
            };
            let Some(layer) = alternatives.into_iter().find_map(named) else {
                continue;
            };
            if layers.len() < most && !layers.iter().any(|own| own.rid == layer.rid) {
                layers.push(layer);
            }
        }
        layers
    };
    Layers {
        send: known(simulcast.send, RidDirection::Send),
        receive: known(simulcast.recv, RidDirection::Recv),
    }
}

/// What a line says of a layer, if it can be obeyed (RFC 8851 §6.2.2).
fn layer(whose: Whose, media: &MediaDescription, rid: &Rid, paused: bool) -> Option<Layer> {
    // "Any PT missing from the "m=" line is discarded from the set of values in the "pt=". If no values are left … the "a=rid"
    // line is discarded."
    let is_listed = |format: &&String| media.formats().any(|listed| listed == format.as_str());
    let listed = rid.formats.iter().filter(is_listed);
    let formats: Vec<u8> = listed.filter_map(|format| format.parse().ok()).collect();
    if formats.is_empty() && !rid.formats.is_empty() {
        return None;
    }
    // "If the "direction" field is "recv", the answerer ensures that the specified "a=rid" restrictions are supported. In the
    // case of an unsupported restriction, the "a=rid" line is discarded."
    let is_obeyed = |restriction: &RidRestriction| OBEYED.contains(&&*restriction.name);
    let is_asked = whose == Whose::Theirs && rid.direction == RidDirection::Recv;
    if is_asked && !rid.restrictions.iter().all(is_obeyed) {
        return None;
    }
    Some(Layer {
        rid: rid.id.clone(),
        paused,
        formats,
        restrictions: rid.restrictions.clone(),
    })
}

pub(super) fn write(media: &mut MediaDescription, layers: &Layers) {
    let both = [
        (&layers.send, RidDirection::Send),
        (&layers.receive, RidDirection::Recv),
    ];
    for (layers, direction) in both {
        for layer in layers {
            media.push(&Rid {
                formats: layer.formats.iter().map(u8::to_string).collect(),
                restrictions: layer.restrictions.clone(),
                ..Rid::new(&*layer.rid, direction)
            });
        }
    }
    if *layers != Layers::default() {
        let alone = |layers: &[Layer]| layers.iter().map(|layer| vec![layer.stream()]).collect();
        media.push(&Simulcast {
            send: alone(&layers.send),
            recv: alone(&layers.receive),
        });
    }
}

impl Layer {
    fn stream(&self) -> SimulcastStream {
        SimulcastStream {
            rid: self.rid.clone(),
            paused: self.paused,
        }
    }

    /// The layer in an answer with these payload types; `None` if it may have none of them. "If the "a=rid" line contains a "pt=",
    /// the answerer is allowed to discard one or more media formats" (RFC 8851 §6.3).
    pub(super) fn answered(mut self, payload_types: &[u8]) -> Option<Self> {
        let is_plain = self.formats.is_empty();
        self.formats.retain(|format| payload_types.contains(format));
        (is_plain || !self.formats.is_empty()).then_some(self)
    }
}

/// The layers that one side sends and the other takes; the taker's word on pausing counts too (RFC 8853 §5.3.3), and its alone on
/// what they may be.
pub(super) fn agreed(sent: &[Layer], taken: &[Layer]) -> Vec<Layer> {
    sent.iter()
        .filter_map(|layer| {
            let other = taken.iter().find(|other| other.rid == layer.rid)?;
            Some(Layer {
                paused: layer.paused || other.paused,
                ..other.clone()
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use crate::media::parameters::MediaKind;
    use crate::{Connection, SessionDescription, Track};

    /// What is answered to a section with VP8 (96) and VP9 (98) and these lines, and the connection that does.
    fn answered(lines: &[&str]) -> (Connection, Vec<String>) {
        let now = crate::media::tests::start();
        let mut connection = Connection::new(now, crate::media::tests::config());
        let track = Track {
            id: "camera".into(),
            kind: MediaKind::Video,
        };
        connection.add_track(now, track, &[]).unwrap();
        let mut offer = format!(
            "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\na=ice-ufrag:abcd\r\n\
             a=ice-pwd:0123456789abcdefghijkl\r\na=fingerprint:sha-256 {}0F\r\na=setup:actpass\r\n\
             m=video 9 UDP/TLS/RTP/SAVPF 96 98\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=rtcp-mux\r\n\
             a=rtpmap:96 VP8/90000\r\na=rtpmap:98 VP9/90000\r\na=fmtp:98 profile-id=0\r\n\
             a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n",
            "0F:".repeat(31)
        );
        lines.iter().for_each(|line| offer += &format!("a={line}\r\n"));
        let offer = SessionDescription::offer(offer);
        connection.set_remote_description(now, offer).unwrap();
        let answer = connection.create_answer().unwrap();
        connection.set_local_description(now, answer.clone()).unwrap();
        let is_about_layers = |line: &&str| line.starts_with("a=rid") || line.starts_with("a=simulcast");
        let lines = answer.sdp.lines().filter(is_about_layers).map(str::to_owned);
        (connection, lines.collect())
    }

    #[test]
    fn lines_that_cannot_be_obeyed_are_discarded_and_the_others_are_obeyed() {
        let (connection, lines) = answered(&[
            "recvonly",
            "rid:a recv pt=98,55;max-br=500000;max-fps=15",
            "rid:b recv pt=96",
            "rid:c recv max-width=100",
            "rid:d recv pt=55",
            "rid:e recv",
            "rid:e recv pt=96",
            "simulcast:recv a;~b;c;d;e",
        ]);
        let expected = [
            "a=rid:a send pt=98;max-br=500000;max-fps=15",
            "a=rid:b send pt=96",
            "a=simulcast:send a;~b",
        ];
        assert_eq!(lines, expected);
        let sending = connection.agreed[0].send.as_ref().unwrap();
        let encodings: Vec<_> = sending
            .encodings
            .iter()
            .map(|own| {
                (
                    own.rid.as_deref(),
                    own.payload_type,
                    own.max_bitrate,
                    own.max_framerate,
                    own.active,
                )
            })
            .collect();
        let expected = [
            (Some("a"), Some(98), Some(500_000), Some(15.0), true),
            (Some("b"), Some(96), None, None, false),
        ];
        assert_eq!(encodings, expected);
    }

    /// "The answerer does not need to understand every restriction present in a "send" line" (RFC 8851 §6.2.2).
    #[test]
    fn what_is_sent_may_be_restricted_in_any_way() {
        let (connection, lines) = answered(&[
            "sendonly",
            "rid:h send pt=96,98;max-width=1280;depend=l",
            "rid:l send",
            "simulcast:send h;~l",
        ]);
        let expected = [
            "a=rid:h recv pt=96,98;max-width=1280;depend=l",
            "a=rid:l recv",
            "a=simulcast:recv h;l",
        ];
        assert_eq!(lines, expected);
        assert_eq!(connection.agreed[0].receive.as_ref().unwrap().rids, ["h", "l"]);
    }
}

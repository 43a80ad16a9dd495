//! A section of audio or video: what ours say, and what is read from the peer's.

use peerline_sdp as sdp;
use peerline_sdp::attribute::{
    Direction, ExtMapAllowMixed, Msid, Rtcp, RtcpMux, RtcpMuxOnly, RtcpRsize, Setup, Ssrc, SsrcGroup,
};
use peerline_sdp::{Bandwidth, MediaDescription, MediaLine, Section as _, protocol};

use super::Negotiation;
use super::codecs;
use super::extmap::{self, Extension};
use super::simulcast::{self, Layers};
use crate::media::parameters::{MediaKind, RtpCodecParameters};
use crate::transceiver::Sender;
use peerline_ice as ice;

/// What a section of ours says about its media.
pub(super) struct Content<'a> {
    pub(super) kind: MediaKind,
    pub(super) protocol: &'a str,
    pub(super) mid: Option<&'a str>,
    pub(super) direction: Direction,
    pub(super) codecs: Vec<RtpCodecParameters>,
    pub(super) extensions: Vec<Extension>,
    /// The section itself says that headers of one byte and of two may be mixed, as the offer's does.
    pub(super) allow_mixed: bool,
    pub(super) layers: Layers,
    /// The sender, if the transceiver is to send, or has been.
    pub(super) sender: Option<&'a Sender>,
    pub(super) cname: &'a str,
    pub(super) reduced_size: bool,
    /// An offer for a section that was never answered says more about RTCP.
    pub(super) is_first_offer: bool,
}

impl Negotiation {
    pub(super) fn media_section(
        &self,
        content: &Content<'_>,
        credentials: &ice::Credentials,
        setup: Setup,
    ) -> MediaDescription {
        let formats = content.codecs.iter().map(|codec| codec.payload_type.to_string());
        let mut media = MediaDescription::new(&MediaLine::new(content.kind.as_str(), 9, content.protocol, formats));
        media.set_connection(&sdp::Connection::unspecified());
        if content.is_first_offer {
            media.push(&Rtcp::new(9, std::net::Ipv4Addr::UNSPECIFIED.into()));
        }
        self.fill_transport(&mut media, content.mid, credentials, setup);
        if content.allow_mixed {
            media.push(&ExtMapAllowMixed);
        }
        extmap::write(&mut media, &content.extensions);
        media.push(&content.direction);
        if let Some(sender) = content.sender {
            for msid in msids(sender) {
                media.push(&msid);
            }
        }
        media.push(&RtcpMux);
        if content.is_first_offer {
            media.push(&RtcpMuxOnly);
        }
        if content.reduced_size {
            media.push(&RtcpRsize);
        }
        codecs::write(&mut media, &content.codecs);
        simulcast::write(&mut media, &content.layers);
        if let Some(sender) = content.sender
            && content.layers.send.is_empty()
            // Layers have other names, also while they are not sent.
            && (content.direction.sends() || sender.encodings.len() < 2)
        {
            let has_rtx = content.codecs.iter().any(|codec| codec.codec.is("rtx"));
            write_sources(&mut media, sender, content.cname, has_rtx);
        }
        media
    }
}

/// The `a=msid` lines of a sender (RFC 8830 §2). RFC 8829 leaves the track out; browsers write it, and others need it.
fn msids(sender: &Sender) -> Vec<Msid> {
    let msid = |stream: &str| Msid {
        stream: stream.to_owned(),
        track: Some(sender.track_id.clone()),
    };
    if sender.streams.is_empty() {
        return vec![msid(Msid::NO_STREAM)];
    }
    sender.streams.iter().map(|stream| msid(stream)).collect()
}

/// The streams of packets, as Chromium names them where there is one encoding (RFC 5576).
fn write_sources(media: &mut MediaDescription, sender: &Sender, cname: &str, has_rtx: bool) {
    let Some(encoding) = sender.encodings.first() else {
        return;
    };
    let mut ssrcs = vec![encoding.ssrc];
    if has_rtx {
        ssrcs.push(encoding.rtx_ssrc);
        media.push(&SsrcGroup {
            semantics: "FID".into(),
            ssrcs: ssrcs.clone(),
        });
    }
    let stream = sender.streams.first().map_or(Msid::NO_STREAM, |stream| stream);
    let msid = format!("{stream} {}", sender.track_id);
    for ssrc in ssrcs {
        media.push(&Ssrc::cname(ssrc, cname));
        media.push(&Ssrc::new(ssrc, "msid", Some(&msid)));
    }
}

/// What a section carries, if it is audio or video over RTP in a profile that is spoken here.
pub(super) fn media_kind(media: &MediaDescription) -> Option<MediaKind> {
    let kind = [MediaKind::Audio, MediaKind::Video]
        .into_iter()
        .find(|kind| media.kind() == kind.as_str())?;
    // "any profile in the offer matching … RTP/[S]AVP[F] and (UDP|TCP)/TLS/RTP/SAVP[F] MUST be accepted" (RFC 8829 §5.1.2).
    let profile = media.protocol();
    let profile = ["UDP/TLS/", "TCP/TLS/", "TCP/DTLS/"]
        .iter()
        .find_map(|transport| profile.strip_prefix(transport))
        .unwrap_or(profile);
    ["RTP/AVP", "RTP/SAVP", "RTP/AVPF", "RTP/SAVPF"]
        .contains(&profile)
        .then_some(kind)
}

/// True if a section is one that could be spoken here at all.
pub(super) fn is_spoken(media: &MediaDescription) -> bool {
    media.is_data_channel() || media_kind(media).is_some()
}

pub(super) const PROTOCOL: &str = protocol::UDP_TLS_RTP_SAVPF;

/// More streams than a track would be in.
const MOST_STREAMS: usize = 64;

/// The streams that the peer's track belongs to; none for `-` (RFC 8830 §2).
pub(super) fn streams(media: &MediaDescription) -> Vec<String> {
    let mut streams = Vec::new();
    for msid in media.attributes::<Msid>().filter_map(Result::ok).take(MOST_STREAMS) {
        if msid.stream != Msid::NO_STREAM && !streams.contains(&msid.stream) {
            streams.push(msid.stream);
        }
    }
    streams
}

/// What the peer calls its track, if it says so.
pub(super) fn track_id(media: &MediaDescription) -> Option<String> {
    media
        .attributes::<Msid>()
        .filter_map(Result::ok)
        .find_map(|msid| msid.track)
}

/// More streams of packets than a section would name.
const MOST_SOURCES: usize = 64;

/// The streams of packets that the peer names, each with that of its retransmissions (RFC 5576 §4.1, §4.2).
pub(super) fn sources(media: &MediaDescription) -> Vec<(u32, Option<u32>)> {
    let mut named: Vec<u32> = Vec::new();
    for line in media.attributes::<Ssrc>().filter_map(Result::ok) {
        if named.last() != Some(&line.ssrc) && !named.contains(&line.ssrc) && named.len() < MOST_SOURCES {
            named.push(line.ssrc);
        }
    }
    let mut repeats: Vec<(u32, u32)> = Vec::new();
    for group in media
        .attributes::<SsrcGroup>()
        .filter_map(Result::ok)
        .take(MOST_SOURCES)
    {
        if let ("FID", [primary, repeat]) = (&*group.semantics, &group.ssrcs[..]) {
            repeats.push((*primary, *repeat));
        }
    }
    named
        .iter()
        .filter(|ssrc| !repeats.iter().any(|(_, repeat)| repeat == *ssrc))
        .map(|ssrc| {
            let repeat = repeats.iter().find(|(primary, _)| primary == ssrc);
            (*ssrc, repeat.map(|(_, repeat)| *repeat))
        })
        .collect()
}

/// What a section takes at most, in bits a second: `TIAS` (RFC 3890 §6.2), or else `AS`, which is in kilobits and counts headers
/// (RFC 8866 §5.8); they are few beside what video needs.
pub(super) fn max_bitrate(media: &MediaDescription) -> Option<u64> {
    let of_kind = |kind: &str| media.bandwidths().find(|bandwidth| bandwidth.kind == kind);
    let exact = of_kind(Bandwidth::TIAS).map(|bandwidth| bandwidth.value);
    exact.or_else(|| Some(of_kind(Bandwidth::AS)?.value.saturating_mul(1000)))
}

/// Whether a section, or the one that speaks for its BUNDLE group, has an attribute of the transport (RFC 9143 §7.1.3).
pub(super) fn has_bundled<T: sdp::attribute::AttributeValue>(
    description: &sdp::SessionDescription,
    media: &MediaDescription,
) -> bool {
    media.has::<T>() || super::remote::tagged_section(description, media).is_some_and(|tagged| tagged.has::<T>())
}

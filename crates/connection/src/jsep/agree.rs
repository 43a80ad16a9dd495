//! What the descriptions in force agree on about media, in the words of the packets: the list that the engine obeys.

use std::time::Instant;

use peerline_sdp as sdp;
use peerline_sdp::attribute::RtcpRsize;
use peerline_sdp::{MediaDescription, Section as _};

use super::applied::Applied;
use super::codecs::{self, apt, is_same};
use super::extmap;
use super::media_section::{max_bitrate, sources};
use super::simulcast::{self, Whose};
use super::{Negotiation, choose};
use crate::Connection;
use crate::media::agreed::{Agreed, Receiving, SendEncoding, Sending};
use crate::media::capabilities;
use crate::transceiver::TransceiverSlots;

/// A section of one description.
#[derive(Clone, Copy)]
struct Said<'a> {
    description: &'a sdp::SessionDescription,
    media: &'a MediaDescription,
}

impl<'a> Said<'a> {
    /// What a description says of a transceiver, unless it rejects it.
    fn of(applied: &'a Option<Applied>, transceiver: &TransceiverSlots) -> Option<Self> {
        let applied = applied.as_ref()?;
        let media = applied.section_of(transceiver).filter(|media| !media.is_rejected())?;
        Some(Self {
            description: applied.parsed(),
            media,
        })
    }
}

impl Connection {
    /// Brings what is in force to the engine, if it has changed.
    pub(crate) fn agree_on_media(&mut self, now: Instant) {
        self.forget_lost_codecs();
        let agreed = self.agree();
        if agreed != self.agreed {
            self.agreed = agreed;
            self.configure_media(now);
        }
    }

    fn agree(&self) -> Vec<Agreed> {
        let Negotiation { current, pending, .. } = &self.negotiation;
        let all = self.transceivers.all.iter().filter(|transceiver| !transceiver.stopping);
        all.filter_map(|transceiver| {
            // A provisional answer is in force as a final one is.
            let (local, remote) = match (&pending.local, &pending.remote) {
                (Some(_), Some(_)) => (&pending.local, &pending.remote),
                _ => (&current.local, &current.remote),
            };
            let both = Said::of(local, transceiver).zip(Said::of(remote, transceiver));
            let offered = Said::of(&pending.local, transceiver).filter(|_| pending.remote.is_none());
            match (both, offered) {
                (None, None) => None,
                (Some((local, remote)), offered) => {
                    let mut agreed = self.agree_on(transceiver, local, Some(remote));
                    if let Some(receive) = offered.and_then(|offered| self.agree_on(transceiver, offered, None).receive)
                    {
                        agreed.receive = Some(merged(agreed.receive.take(), receive));
                    }
                    Some(agreed)
                }
                // "Packets may come before the answer" (RFC 8829 §5.10 enables receipt with the local description).
                (None, Some(offered)) => Some(self.agree_on(transceiver, offered, None)),
            }
        })
        .collect()
    }

    /// One section, by our description of it and the peer's, if that has come.
    fn agree_on(&self, transceiver: &TransceiverSlots, local: Said<'_>, remote: Option<Said<'_>>) -> Agreed {
        let kind = transceiver.kind;
        let sides = Sides {
            our_codecs: codecs::read(local.media, kind),
            our_extensions: extmap::read(local.description, local.media),
            their_codecs: remote.map(|remote| codecs::read(remote.media, kind)),
            their_extensions: remote.map(|remote| extmap::read(remote.description, remote.media)),
            mixed_extensions: [Some(local), remote]
                .into_iter()
                .all(|said| said.is_some_and(|said| extmap::allow_mixed(said.description, said.media))),
            our_layers: simulcast::read(Whose::Ours, local.media, usize::MAX),
            their_layers: remote.map(|remote| simulcast::read(Whose::Theirs, remote.media, usize::MAX)),
            max_bitrate: remote.and_then(|remote| max_bitrate(remote.media)),
        };
        let sends = remote.is_some() && transceiver.current_direction.is_some_and(|direction| direction.sends());
        Agreed {
            transceiver: transceiver.id,
            kind,
            mid: transceiver.mid.clone().unwrap_or_default(),
            send: sends
                .then(|| self.sending(transceiver, &sides))
                .filter(|sending| codecs::has_primary(&sending.codecs)),
            receive: transceiver.receptive.then(|| sides.receiving(remote)),
            reduced_size: local.media.has::<RtcpRsize>() && remote.is_none_or(|remote| remote.media.has::<RtcpRsize>()),
        }
    }

    fn sending(&self, transceiver: &TransceiverSlots, sides: &Sides) -> Sending {
        let codecs = choose::to_send(&sides.our_codecs, sides.their_codecs.as_deref().unwrap_or_default());
        let extensions = extmap::to_send(
            &sides.our_extensions,
            sides.their_extensions.as_deref().unwrap_or_default(),
            &codecs,
        );
        let has_rid = extensions.iter().any(|extension| extension.uri == capabilities::RID);
        let layers = match &sides.their_layers {
            Some(theirs) if has_rid => simulcast::agreed(&sides.our_layers.send, &theirs.receive),
            _ => Vec::new(),
        };
        let is_paused = |rid: &str| {
            let mut taken = sides.their_layers.iter().flat_map(|theirs| &theirs.receive);
            taken.any(|layer| layer.rid == rid && layer.paused)
        };
        let all = &transceiver.sender.encodings;
        let encodings = all
            .iter()
            .filter_map(|own| {
                let layer = layers.iter().find(|layer| layer.rid == own.parameters.rid)?;
                Some((own, Some(layer)))
            })
            .chain(all.first().filter(|_| layers.is_empty()).map(|own| (own, None)));
        Sending {
            encodings: encodings
                .map(|(own, layer)| {
                    let chosen = own.parameters.codec.as_ref();
                    // The peer may take only some formats in this layer (RFC 8851 §6.2.2).
                    let takes = |payload_type| {
                        layer.is_none_or(|layer| layer.formats.is_empty() || layer.formats.contains(&payload_type))
                    };
                    let chosen = chosen.and_then(|chosen| {
                        let mut all = codecs.iter();
                        all.find(|codec| is_same(&codec.codec, chosen))
                            .or_else(|| self.renamed(&codecs, chosen))
                            .filter(|codec| takes(codec.payload_type))
                    });
                    let mut primary = codecs.iter().filter(|codec| !codec.codec.is_auxiliary());
                    let first = primary.find(|codec| takes(codec.payload_type));
                    let chosen =
                        chosen.or_else(|| first.filter(|_| layer.is_some_and(|layer| !layer.formats.is_empty())));
                    let used = chosen.or(first).map(|codec| codec.payload_type);
                    let has_rtx = codecs.iter().any(|codec| used.is_some() && apt(&codec.codec) == used);
                    SendEncoding {
                        rid: layer.map(|layer| layer.rid.clone()),
                        ssrc: own.ssrc,
                        rtx_ssrc: has_rtx.then_some(own.rtx_ssrc),
                        active: own.parameters.active && !own.paused && !is_paused(&own.parameters.rid),
                        payload_type: chosen.map(|codec| codec.payload_type),
                        max_bitrate: layer
                            .and_then(|layer| layer.limit(simulcast::MAX_BITRATE))
                            .map(|most| most as u64)
                            .into_iter()
                            .chain(own.parameters.max_bitrate)
                            .min(),
                        max_framerate: layer.and_then(|layer| layer.limit(simulcast::MAX_FRAME_RATE)),
                    }
                })
                .collect(),
            codecs,
            extensions,
            mixed_extensions: sides.mixed_extensions,
            cname: self.transceivers.cname().to_owned(),
            max_bitrate: sides.max_bitrate,
        }
    }

    /// The codec that a capability of ours became under the peer's parameters.
    fn renamed<'a>(
        &self,
        codecs: &'a [crate::media::parameters::RtpCodecParameters],
        chosen: &crate::media::parameters::RtpCodec,
    ) -> Option<&'a crate::media::parameters::RtpCodecParameters> {
        let meaning = codecs::meaning(chosen);
        codecs.iter().find(|codec| codecs::meaning(&codec.codec) == meaning)
    }

    /// An encoding whose codec was negotiated away chooses none (webrtc-pc §4.4.1.5).
    fn forget_lost_codecs(&mut self) {
        let agreed = self.agree();
        for section in agreed {
            let Some(sending) = section.send else { continue };
            let Some(transceiver) = self.transceivers.get_mut(section.transceiver) else {
                continue;
            };
            for encoding in &mut transceiver.sender.encodings {
                let is_lost = |chosen: &crate::media::parameters::RtpCodec| {
                    let meaning = codecs::meaning(chosen);
                    !sending
                        .codecs
                        .iter()
                        .any(|codec| codecs::meaning(&codec.codec) == meaning)
                };
                if encoding.parameters.codec.as_ref().is_some_and(is_lost) {
                    encoding.parameters.codec = None;
                }
            }
        }
    }
}

/// Both descriptions of one section, read once.
struct Sides {
    our_codecs: Vec<crate::media::parameters::RtpCodecParameters>,
    our_extensions: Vec<extmap::Extension>,
    their_codecs: Option<Vec<crate::media::parameters::RtpCodecParameters>>,
    their_extensions: Option<Vec<extmap::Extension>>,
    mixed_extensions: bool,
    our_layers: simulcast::Layers,
    their_layers: Option<simulcast::Layers>,
    max_bitrate: Option<u64>,
}

impl Sides {
    fn receiving(&self, remote: Option<Said<'_>>) -> Receiving {
        let codecs = match &self.their_codecs {
            Some(theirs) => codecs::common(&self.our_codecs, theirs),
            None => self.our_codecs.clone(),
        };
        Receiving {
            extensions: extmap::to_receive(&self.our_extensions, self.their_extensions.as_deref(), &codecs),
            codecs,
            streams: remote.map(|remote| sources(remote.media)).unwrap_or_default(),
            rids: match &self.their_layers {
                Some(theirs) => {
                    let agreed = simulcast::agreed(&theirs.send, &self.our_layers.receive);
                    agreed.into_iter().map(|layer| layer.rid).collect()
                }
                None => Vec::new(),
            },
        }
    }
}

/// What was agreed on, and what an offer under way allows beyond it.
fn merged(agreed: Option<Receiving>, offered: Receiving) -> Receiving {
    let Some(mut agreed) = agreed else { return offered };
    for codec in offered.codecs {
        if !agreed.codecs.iter().any(|own| own.payload_type == codec.payload_type) {
            agreed.codecs.push(codec);
        }
    }
    for extension in offered.extensions {
        if !agreed.extensions.iter().any(|own| own.id == extension.id) {
            agreed.extensions.push(extension);
        }
    }
    agreed
}

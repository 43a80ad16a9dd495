//! Forwarding of packets without decoding: an [`Intake`] is what comes from one receiver, an [`Outlet`] is one sender that sends
//! one layer of it on, as one continuous stream.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use peerline::{
    ConnectionState, IncomingPacket, MediaKind, OutgoingPacket, PeerConnection, RtpCodec, RtpCodecParameters,
    RtpReceiver, RtpSender,
};
use peerline_rtp::Serial16;
use peerline_rtp::forward::{PictureRewriter, Rewriter};
use peerline_rtp::payload::Format;

use super::fit::Fit;
use crate::recording::codecs_of;

/// What comes from a receiver: which codecs, and which layers of simulcast.
pub(super) struct Intake {
    kind: MediaKind,
    codecs: Vec<RtpCodecParameters>,
    layers: Vec<Layer>,
    /// The format that came last.
    payload_type: Option<u8>,
    /// When a packet came last.
    pub(super) latest: Option<Instant>,
}

/// One layer of simulcast, or all there is.
struct Layer {
    rid: Option<Arc<str>>,
    /// The stream that it comes in now.
    ssrc: u32,
    latest: Instant,
    window: Instant,
    /// Bytes in this window, and in the whole one before.
    bytes: usize,
    before: usize,
}

/// A layer that brings nothing for so long is not there; cameras may make one picture a second.
const SILENCE: Duration = Duration::from_millis(1500);
/// How long bytes are counted, to tell which layer is the best.
const WINDOW: Duration = Duration::from_secs(1);
/// Who waits for a keyframe asks again after this.
const IMPATIENCE: Duration = Duration::from_millis(500);
/// Codecs of the other side are looked up again after this, if one was not found.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl Intake {
    pub(super) fn new(receiver: &RtpReceiver) -> Self {
        Self {
            kind: receiver.kind(),
            codecs: codecs_of(receiver),
            layers: Vec::new(),
            payload_type: None,
            latest: None,
        }
    }

    /// Counts what came.
    pub(super) fn receive(&mut self, now: Instant, packets: &[IncomingPacket]) {
        for packet in packets {
            self.payload_type = Some(packet.payload_type);
            let layer = match self.layers.iter_mut().find(|layer| layer.rid == packet.rid) {
                Some(layer) => layer,
                None => {
                    self.layers.push(Layer::new(now, packet));
                    let last = self.layers.len() - 1;
                    &mut self.layers[last]
                }
            };
            layer.receive(now, packet);
        }
        self.latest = Some(now);
        self.layers
            .retain(|layer| now.saturating_duration_since(layer.latest) < SILENCE);
    }

    /// The codec of what comes, or before anything has come, of what probably will.
    pub(super) fn codec(&self) -> Option<&RtpCodec> {
        let codec = match self.payload_type {
            Some(payload_type) => self.find(payload_type),
            None => self.codecs.first(),
        };
        codec.map(|codec| &codec.codec)
    }

    fn find(&self, payload_type: u8) -> Option<&RtpCodecParameters> {
        self.codecs.iter().find(|codec| codec.payload_type == payload_type)
    }

    /// The names of the layers that come, the best first.
    pub(super) fn rids(&self) -> Vec<Arc<str>> {
        self.ranking()
            .into_iter()
            .filter_map(|layer| layer.rid.clone())
            .collect()
    }

    /// The layers that come, the best first.
    fn ranking(&self) -> Vec<&Layer> {
        let mut layers: Vec<_> = self.layers.iter().collect();
        layers.sort_by_key(|layer| std::cmp::Reverse(layer.rate()));
        layers
    }

    /// The layer of this name, if it comes.
    fn named(&self, rid: &str) -> Option<&Layer> {
        self.layers.iter().find(|layer| layer.rid.as_deref() == Some(rid))
    }

    /// The layer to be sent that `fit` says. The present one stays while the other has hardly more, or hardly less.
    fn choose(&self, present: Option<u32>, fit: impl FnOnce(&[u64]) -> usize) -> Option<&Layer> {
        // Most have one layer, and each packet comes by here.
        if let [only] = &self.layers[..] {
            return Some(only);
        }
        let ranking = self.ranking();
        let rates: Vec<_> = ranking.iter().map(|layer| layer.bitrate()).collect();
        let layer = *ranking.get(fit(&rates))?;
        let is_close = |one: &Layer, other: &Layer| one.rate() * 4 < other.rate() * 5;
        let present = ranking.into_iter().find(|layer| Some(layer.ssrc) == present);
        Some(match present {
            Some(present) if is_close(layer, present) && is_close(present, layer) => present,
            _ => layer,
        })
    }
}

impl Layer {
    fn new(now: Instant, packet: &IncomingPacket) -> Self {
        Self {
            rid: packet.rid.clone(),
            ssrc: packet.ssrc,
            latest: now,
            window: now,
            bytes: 0,
            before: 0,
        }
    }

    fn receive(&mut self, now: Instant, packet: &IncomingPacket) {
        self.ssrc = packet.ssrc;
        self.latest = now;
        if now.saturating_duration_since(self.window) >= WINDOW {
            self.before = std::mem::take(&mut self.bytes);
            self.window = now;
        }
        self.bytes += packet.payload.len();
    }

    fn rate(&self) -> usize {
        self.before.max(self.bytes)
    }

    /// In bits a second, without headers.
    fn bitrate(&self) -> u64 {
        self.rate() as u64 * 8 * 1000 / WINDOW.as_millis() as u64
    }
}

/// One sender, which sends one layer of an intake on.
pub(super) struct Outlet {
    pc: PeerConnection,
    sender: RtpSender,
    /// The layer that its viewer asked for; `None` for the best that its path takes.
    wanted: Option<Arc<str>>,
    fit: Fit,
    /// What the sender was told to probe for.
    desired: Option<u64>,
    /// The stream that is sent on now.
    present: Option<Present>,
    rewriter: Rewriter,
    pictures: PictureRewriter,
    /// The last packet did not end its picture.
    within_picture: bool,
    /// The intake's payload types, and what the viewer calls them.
    routes: HashMap<u8, Option<Route>>,
    looked: Option<Instant>,
    /// When a keyframe was last asked for.
    asked: Option<Instant>,
    outgoing: Vec<OutgoingPacket>,
}

struct Present {
    ssrc: u32,
    rid: Option<Arc<str>>,
}

#[derive(Clone, Copy)]
struct Route {
    payload_type: u8,
    /// `None` for what only accompanies others, such as telephone events.
    format: Option<Format>,
    clock_rate: u32,
}

/// A keyframe is wanted, of this layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) rid: Option<Arc<str>>,
}

impl Outlet {
    pub(super) fn new(pc: &PeerConnection, sender: RtpSender) -> Self {
        Self {
            pc: pc.clone(),
            sender,
            wanted: None,
            fit: Fit::default(),
            desired: None,
            present: None,
            // In the lower half, so that the first wrap is far away.
            rewriter: Rewriter::new(Serial16(rand::random::<u16>() >> 1), rand::random()),
            pictures: PictureRewriter::default(),
            within_picture: false,
            routes: HashMap::new(),
            looked: None,
            asked: None,
            outgoing: Vec::new(),
        }
    }

    /// Which layer is sent on.
    pub(super) fn rid(&self) -> Option<&str> {
        self.present.as_ref().and_then(|present| present.rid.as_deref())
    }

    /// The layer that is wanted from now on; `None` for the best that its path takes.
    pub(super) fn want(&mut self, rid: Option<Arc<str>>) {
        self.wanted = rid;
        self.fit = Fit::default();
        self.asked = None;
    }

    /// Another intake takes the place of the one before.
    pub(super) fn restart(&mut self) {
        self.present = None;
        self.asked = None;
        self.routes.clear();
        self.looked = None;
    }

    /// True if the viewer can take what comes.
    pub(super) fn takes(&self, intake: &Intake) -> bool {
        let codecs = self.sender.codecs();
        intake
            .codec()
            .is_none_or(|codec| codecs.iter().any(|other| other.codec.is_compatible(codec)))
    }

    /// Sends packets of the intake on, those of one layer. Another layer takes its place where it has a keyframe: what is returned
    /// is to be asked for.
    pub(super) fn forward(&mut self, now: Instant, intake: &Intake, packets: &[IncomingPacket]) -> Option<Wish> {
        let present = self.present.as_ref().map(|present| present.ssrc);
        // What cannot be sent yet would be missing, and nobody is to be troubled for who may never come.
        if present.is_none() && self.pc.connection_state() != ConnectionState::Connected {
            return None;
        }
        let named = self.wanted.as_deref().and_then(|rid| intake.named(rid));
        let (fit, sender) = (&mut self.fit, &self.sender);
        let target =
            named.or_else(|| intake.choose(present, |rates| fit.step(now, rates, || sender.target_bitrate())))?;
        if self.fit.desired() != self.desired {
            self.desired = self.fit.desired();
            self.sender.set_desired_bitrate(self.desired);
        }
        for packet in packets {
            self.take(now, intake, target.ssrc, packet);
        }
        if !self.outgoing.is_empty() {
            self.sender.send_packets(self.outgoing.drain(..));
        }
        let arrived = self.present.as_ref().is_some_and(|present| present.ssrc == target.ssrc);
        let patient = |asked| now.saturating_duration_since(asked) < IMPATIENCE;
        if arrived || intake.kind == MediaKind::Audio || self.asked.is_some_and(patient) {
            return None;
        }
        self.asked = Some(now);
        Some(Wish {
            rid: target.rid.clone(),
        })
    }

    fn take(&mut self, now: Instant, intake: &Intake, target: u32, packet: &IncomingPacket) {
        let is_present = self.present.as_ref().is_some_and(|present| present.ssrc == packet.ssrc);
        if !is_present && packet.ssrc != target {
            return;
        }
        let Some(route) = self.route(now, intake, packet.payload_type) else {
            return;
        };
        if !is_present {
            let begins = |format: Format| format.is_keyframe(&packet.payload) && format.is_frame_start(&packet.payload);
            if !route.format.is_some_and(begins) {
                return;
            }
            self.present = Some(Present {
                ssrc: packet.ssrc,
                rid: packet.rid.clone(),
            });
            if self.within_picture {
                self.rewriter.leave_gap();
            }
            self.rewriter.switch(route.clock_rate);
            self.pictures.switch();
        }
        let Some(numbers) = self.rewriter.rewrite(now, packet.sequence_number, packet.timestamp) else {
            return;
        };
        self.within_picture = intake.kind == MediaKind::Video && !packet.marker;
        let payload = match route.format {
            Some(format) => self.pictures.rewrite(format, &packet.payload),
            None => packet.payload.clone(),
        };
        self.outgoing.push(OutgoingPacket {
            payload,
            marker: packet.marker,
            payload_type: route.payload_type,
            sequence_number: Some(numbers.sequence_number.0),
            timestamp: numbers.timestamp,
            csrcs: packet.csrcs.clone(),
            rid: None,
            extensions: packet.extensions.clone(),
        });
    }

    /// What the viewer calls the format; `None` if it cannot take it.
    fn route(&mut self, now: Instant, intake: &Intake, payload_type: u8) -> Option<Route> {
        match self.routes.get(&payload_type) {
            Some(Some(route)) => return Some(*route),
            Some(None)
                if self
                    .looked
                    .is_some_and(|looked| now.saturating_duration_since(looked) < LOOK_AGAIN) =>
            {
                return None;
            }
            Some(None) | None => {}
        }
        self.looked = Some(now);
        let route = intake.find(payload_type).and_then(|codec| {
            let codecs = self.sender.codecs();
            let same = codecs.iter().find(|other| other.codec.is_compatible(&codec.codec))?;
            let name = codec.codec.mime_type.split('/').nth(1).unwrap_or_default();
            Some(Route {
                payload_type: same.payload_type,
                format: Format::from_encoding_name(name),
                clock_rate: codec.codec.clock_rate,
            })
        });
        self.routes.insert(payload_type, route);
        route
    }
}

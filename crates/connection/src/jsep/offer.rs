//! `createOffer` (RFC 8829 §5.2).

use std::collections::VecDeque;

use peerline_ice as ice;
use peerline_sdp as sdp;
use peerline_sdp::attribute::{Direction, ExtMapAllowMixed, Group, Msid, RtcpRsize, SctpPort, Setup};
use peerline_sdp::{MediaDescription, Section as _};

use super::choose::Choice;
use super::media_section::{Content, PROTOCOL};
use super::numbers::Numbers;
use super::simulcast::{self, Layer, Layers, Whose};
use super::{Applied, Created, LOCAL_SCTP_PORT, Negotiation, codecs, extmap, rejected};
use crate::Connection;
use crate::description::{SdpType, SessionDescription};
use crate::error::Error;
use crate::state::SignalingState;
use crate::transceiver::{Sender, TransceiverId, TransceiverSlots};

/// What `createOffer` is asked (`RTCOfferOptions`).
#[derive(Clone, Copy, Debug, Default)]
pub struct OfferOptions {
    /// Begin a new ICE generation with new credentials (RFC 8829 §5.2.3.3).
    pub ice_restart: bool,
}

impl Connection {
    /// `createOffer()`: an offer for everything wanted now, to be passed unchanged to
    /// [`set_local_description`](Self::set_local_description).
    ///
    /// # Errors
    /// [`Error::WrongSignalingState`] while the peer's offer waits for an answer, [`Error::Closed`].
    pub fn create_offer(&mut self, options: OfferOptions) -> Result<SessionDescription, Error> {
        self.ensure_open()?;
        let state = self.negotiation.state;
        if !matches!(state, SignalingState::Stable | SignalingState::HaveLocalOffer) {
            return Err(Error::WrongSignalingState {
                operation: "createOffer",
                state,
            });
        }
        let wanted = options.ice_restart || self.negotiation.restart_wanted || self.gathering.needs_restart;
        // There is nothing to restart before the first exchange, nor twice in one offer.
        let restart = (wanted && self.negotiation.current.local.is_some() && !self.negotiation.pending_restart)
            .then(|| self.ice.new_credentials());
        let credentials = restart.as_ref().unwrap_or(self.ice.local_credentials()).clone();
        let (description, owners) = self.offer(&credentials);
        let applied = Applied::written(SdpType::Offer, description);
        let description = applied.description();
        self.negotiation.last_offer = Some(Created {
            applied,
            restart,
            owners,
        });
        Ok(description)
    }

    /// An offer, and whose its sections are.
    fn offer(&mut self, credentials: &ice::Credentials) -> (sdp::SessionDescription, Vec<Option<TransceiverId>>) {
        let mut description = self.negotiation.new_description();
        let connection = &*self;
        let mut draft = Draft {
            connection,
            credentials,
            numbers: connection.negotiation.numbers.clone(),
            next_mid: connection.negotiation.next_mid,
            media: Vec::new(),
            owners: Vec::new(),
        };
        draft.write();
        let Draft { media, owners, .. } = draft;
        if owners.iter().any(Option::is_some) {
            description.push(&ExtMapAllowMixed);
        }
        let mids = connection.negotiation.bundled_mids(&media);
        if !mids.is_empty() {
            description.push(&Group::bundle(mids));
        }
        description.media = media;
        (description, owners)
    }
}

/// An offer that is being written, section by section.
struct Draft<'a> {
    connection: &'a Connection,
    credentials: &'a ice::Credentials,
    numbers: Numbers,
    next_mid: u32,
    media: Vec<MediaDescription>,
    owners: Vec<Option<TransceiverId>>,
}

impl Draft<'_> {
    fn write(&mut self) {
        let negotiation = &self.connection.negotiation;
        let all = &self.connection.transceivers.all;
        // The order of the sections stays, and none is ever dropped (RFC 8829 §5.2.2).
        let previous = match negotiation.state {
            SignalingState::HaveLocalOffer => negotiation.pending.local.as_ref(),
            _ => negotiation.current.local.as_ref(),
        };
        let previous = previous.map(|applied| &*applied.parsed().media).unwrap_or_default();
        let is_waiting = |transceiver: &&TransceiverSlots| transceiver.index.is_none() && !transceiver.stopping;
        let mut waiting: VecDeque<_> = all.iter().filter(is_waiting).collect();
        let mut has_data = false;
        for (index, section) in previous.iter().enumerate() {
            let owner = self.connection.transceivers.at(index);
            let is_data = section.is_data_channel() && (negotiation.wants_data || !section.is_rejected());
            match owner {
                Some(owner) if !owner.stopping => {
                    let mid = owner.mid.clone().unwrap_or_else(|| self.unused_mid(previous));
                    self.push_media(owner, &mid);
                }
                None if is_data && !has_data => {
                    let mid = section.mid().map_or_else(|| self.unused_mid(previous), str::to_owned);
                    self.push_data(&mid);
                    has_data = true;
                }
                // "that "m=" section MUST be recycled by generating an "m=" section for the added RtpTransceiver as if the "m="
                // section were being added to the session description (including a new MID value)" (RFC 8829 §5.2.2).
                None if !waiting.is_empty() && negotiation.is_recyclable(index) => {
                    let mid = self.unused_mid(previous);
                    self.push_media(waiting.pop_front().expect("some wait"), &mid);
                }
                _ => self.push(rejected(section), None),
            }
        }
        for transceiver in waiting {
            if self.media.len() >= self.connection.config.max_media_sections {
                break;
            }
            let mid = self.unused_mid(previous);
            self.push_media(transceiver, &mid);
        }
        if !has_data && negotiation.wants_data {
            let mid = self.unused_mid(previous);
            self.push_data(&mid);
        }
    }

    fn push(&mut self, media: MediaDescription, owner: Option<TransceiverId>) {
        self.media.push(media);
        self.owners.push(owner);
    }

    fn push_data(&mut self, mid: &str) {
        let media = self.connection.negotiation.data_offer(mid, self.credentials);
        self.push(media, None);
    }

    fn push_media(&mut self, transceiver: &TransceiverSlots, mid: &str) {
        let connection = self.connection;
        let config = &connection.config;
        let negotiation = &connection.negotiation;
        let answered = negotiation.answered_section(transceiver);
        let kind = transceiver.kind;
        let answered_codecs = answered.map(|(_, media)| codecs::read(media, kind));
        let answered_extensions = answered.map(|(description, media)| extmap::read(description, media));
        let codecs = Choice::new(&config.codecs, kind, &transceiver.preferences)
            .offer(answered_codecs.as_deref(), &mut self.numbers);
        let extensions = extmap::offered(
            &config.header_extensions,
            kind,
            &codecs,
            answered_extensions.as_deref(),
            &mut self.numbers,
        );
        let direction = transceiver.wanted();
        let content = Content {
            kind,
            protocol: PROTOCOL,
            mid: Some(mid),
            direction,
            codecs,
            extensions,
            // The session's level says it for all.
            allow_mixed: false,
            layers: Layers {
                send: offered_layers(&transceiver.sender, direction),
                receive: negotiation.received_layers(transceiver, direction, config.max_simulcast_layers),
            },
            sender: negotiation.names_sender(transceiver).then_some(&transceiver.sender),
            cname: connection.transceivers.cname(),
            // "The "a=rtcp-rsize" line MUST NOT be added unless present in the most recent answer" (RFC 8829 §5.2.2).
            reduced_size: answered.is_none_or(|(_, media)| media.has::<RtcpRsize>()),
            is_first_offer: answered.is_none(),
        };
        let media = negotiation.media_section(&content, self.credentials, Setup::ActPass);
        self.push(media, Some(transceiver.id));
    }

    /// A number that no section has, or had not long ago, as its `a=mid`.
    fn unused_mid(&mut self, previous: &[MediaDescription]) -> String {
        loop {
            let mid = self.next_mid.to_string();
            self.next_mid = self.next_mid.wrapping_add(1);
            let is_used = |media: &MediaDescription| media.mid() == Some(&*mid);
            let all = &self.connection.transceivers.all;
            if !previous.iter().any(is_used)
                && !self.media.iter().any(is_used)
                && !all.iter().any(|transceiver| transceiver.mid.as_deref() == Some(&*mid))
            {
                return mid;
            }
        }
    }
}

/// Simulcast is for several encodings: "If … only one encoding is specified but without a rid-id, then no "a=rid" lines are
/// generated" (RFC 8829 §5.2.1).
pub(super) fn offered_layers(sender: &Sender, direction: Direction) -> Vec<Layer> {
    if sender.encodings.len() < 2 || !direction.sends() {
        return Vec::new();
    }
    let layer = |encoding: &crate::transceiver::Encoding| {
        let parameters = &encoding.parameters;
        Layer::plain(&parameters.rid, !parameters.active)
    };
    sender.encodings.iter().map(layer).collect()
}

impl Negotiation {
    fn data_offer(&self, mid: &str, credentials: &ice::Credentials) -> MediaDescription {
        let mut media = MediaDescription::data_channel();
        self.fill_data_section(&mut media, Some(mid), credentials, Setup::ActPass);
        media.push(&SctpPort(LOCAL_SCTP_PORT));
        // Whether the peer speaks it is not known yet, or has been learnt.
        if let Some(init) = self.signalled_init(true) {
            media.push(init);
        }
        media
    }

    /// "there exists an "m=" section with a zero port in the current local description or the current remote description"
    /// (RFC 8829 §5.2.2).
    pub(super) fn is_recyclable(&self, index: usize) -> bool {
        [&self.current.local, &self.current.remote]
            .into_iter()
            .flatten()
            .any(|applied| {
                applied
                    .parsed()
                    .media
                    .get(index)
                    .is_some_and(MediaDescription::is_rejected)
            })
    }

    /// The transceiver's section in the most recent answer, ours or the peer's.
    fn answered_section(
        &self,
        transceiver: &TransceiverSlots,
    ) -> Option<(&sdp::SessionDescription, &MediaDescription)> {
        let local = self.current.local.as_ref()?;
        let answer = match local.kind() {
            SdpType::Offer => self.current.remote.as_ref()?,
            SdpType::Pranswer | SdpType::Answer | SdpType::Rollback => local,
        };
        let media = answer.section_of(transceiver).filter(|media| !media.is_rejected())?;
        Some((answer.parsed(), media))
    }

    /// True if a description is to say what the transceiver sends, or has sent: "the "a=msid" line or lines MUST stay the same if
    /// they are present in the current description, regardless of changes to the transceiver's direction or track" (RFC 8829
    /// §5.2.2, §5.3.2). So do the names of its streams: Chromium ends those that are not named, and shows nothing of one that
    /// is named again.
    pub(super) fn names_sender(&self, transceiver: &TransceiverSlots) -> bool {
        let current = || self.current.local.as_ref()?.section_of(transceiver);
        transceiver.wanted().sends() || current().is_some_and(|media| media.has::<Msid>())
    }

    /// The layers that the peer sends now: an offer that did not name them would end its simulcast.
    fn received_layers(&self, transceiver: &TransceiverSlots, direction: Direction, most: usize) -> Vec<Layer> {
        let section = |whose, applied: &Option<Applied>| {
            let media = applied.as_ref()?.section_of(transceiver)?;
            Some(simulcast::read(whose, media, most))
        };
        let local = section(Whose::Ours, &self.current.local);
        match (local, section(Whose::Theirs, &self.current.remote)) {
            (Some(local), Some(remote)) if direction.receives() => {
                let layers = simulcast::agreed(&local.receive, &remote.send);
                let plain = layers.iter().map(|layer| Layer::plain(&layer.rid, layer.paused));
                plain.collect()
            }
            _ => Vec::new(),
        }
    }

    /// The mids of our BUNDLE group: those "specified in the bundle group in the most recent answer, minus any "m=" sections
    /// that have been marked as rejected, plus any newly added" (RFC 8829 §5.2.2), so that the first stays the first.
    fn bundled_mids(&self, media: &[MediaDescription]) -> Vec<String> {
        let alive: Vec<&str> = media
            .iter()
            .filter(|media| !media.is_rejected())
            .filter_map(MediaDescription::mid)
            .collect();
        let before = self.current.local.as_ref().and_then(|local| {
            let mut groups = local.parsed().bundle_groups();
            groups.next()
        });
        let mut mids: Vec<String> = before.map(|group| group.mids).unwrap_or_default();
        mids.retain(|mid| alive.contains(&&**mid));
        for mid in alive {
            if !mids.iter().any(|own| own == mid) {
                mids.push(mid.to_owned());
            }
        }
        mids
    }
}

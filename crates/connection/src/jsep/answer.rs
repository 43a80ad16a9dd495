//! `createAnswer` (RFC 8829 §5.3).

use peerline_dtls as dtls;
use peerline_ice as ice;
use peerline_sdp as sdp;
use peerline_sdp::attribute::{ExtMapAllowMixed, Group, RtcpRsize, SctpMap, SctpPort, Setup};
use peerline_sdp::{MediaDescription, MediaLine, Section as _, protocol};

use super::choose::Choice;
use super::media_section::{Content, media_kind};
use super::numbers::Numbers;
use super::offer::offered_layers;
use super::remote::{RemoteParameters, share_transport};
use super::simulcast::{self, Layer, Layers, Whose};
use super::{Applied, Created, LOCAL_SCTP_PORT, Negotiation, codecs, data_section, extmap, rejected};
use crate::Connection;
use crate::description::{SdpType, SessionDescription};
use crate::error::{Error, SdpFault};
use crate::media::capabilities;
use crate::state::SignalingState;
use crate::transceiver::TransceiverSlots;

impl Connection {
    /// `createAnswer()`: the answer to the peer's offer, to be passed unchanged to
    /// [`set_local_description`](Self::set_local_description).
    ///
    /// # Errors
    /// [`Error::WrongSignalingState`] if no offer waits for an answer, [`Error::Closed`].
    pub fn create_answer(&mut self) -> Result<SessionDescription, Error> {
        self.ensure_open()?;
        let state = self.negotiation.state;
        if !matches!(
            state,
            SignalingState::HaveRemoteOffer | SignalingState::HaveLocalPranswer
        ) {
            return Err(Error::WrongSignalingState {
                operation: "createAnswer",
                state,
            });
        }
        let applied = Applied::written(SdpType::Answer, self.answer()?);
        let description = applied.description();
        self.negotiation.last_answer = Some(Created {
            applied,
            restart: None,
            owners: Vec::new(),
        });
        Ok(description)
    }

    fn answer(&mut self) -> Result<sdp::SessionDescription, Error> {
        let mut description = self.negotiation.new_description();
        let offer = self
            .negotiation
            .pending
            .remote
            .as_ref()
            .expect("the state says that an offer is pending");
        let offer = offer.parsed();
        description.media = offer.media.iter().map(rejected).collect();
        let Some(parameters) = &self.negotiation.offered else {
            return Ok(description);
        };
        let transport = &offer.media[parameters.index];
        let credentials = self.ice.local_credentials();
        let setup = self.negotiation.answered_setup(parameters)?;
        let data = data_section(offer).map(|(index, _)| index);
        let mut numbers = self.negotiation.numbers.clone();
        for (index, section) in offer.media.iter().enumerate() {
            // "The bundle policy is "max-bundle", and this is not the first "m=" section or in the same bundle group as the
            // first": rejected (RFC 8829 §5.3.1).
            if section.is_rejected() || !share_transport(offer, transport, section) {
                continue;
            }
            let answered = if data == Some(index) {
                Some(self.negotiation.data_answer(section, parameters, credentials, setup))
            } else if self.accepts_offered(offer, index, section) {
                let transceiver = self.transceivers.at(index).filter(|transceiver| !transceiver.stopped);
                transceiver.and_then(|owner| self.media_answer(offer, section, owner, setup, &mut numbers))
            } else {
                None
            };
            if let Some(answered) = answered {
                description.media[index] = answered;
            }
        }
        let has_media = description
            .media
            .iter()
            .any(|media| !media.is_rejected() && media.is_rtp());
        if has_media && offer.has::<ExtMapAllowMixed>() {
            description.push(&ExtMapAllowMixed);
        }
        // "MUST include all mid identifiers from the offered bundle groups that have not been rejected."
        let group = transport
            .mid()
            .and_then(|mid| offer.bundle_groups().find(|group| group.contains(mid)));
        if let Some(mut group) = group {
            group.mids.retain(|mid| {
                let section = description.media_by_mid(mid);
                section.is_some_and(|(_, media)| !media.is_rejected())
            });
            if !group.mids.is_empty() {
                description.push(&Group::bundle(group.mids));
            }
        }
        Ok(description)
    }

    /// True if an offered section can be accepted, as far as it goes by itself.
    pub(super) fn accepts_offered(
        &self,
        offer: &sdp::SessionDescription,
        index: usize,
        section: &MediaDescription,
    ) -> bool {
        if section.is_data_channel() {
            return data_section(offer).is_some_and(|(data, _)| data == index);
        }
        let Some(kind) = media_kind(section) else { return false };
        let owner = self.transceivers.at(index).filter(|owner| owner.kind == kind);
        if owner.is_some_and(|owner| owner.stopped) {
            return false;
        }
        let preferences = owner.map(|owner| &*owner.preferences).unwrap_or_default();
        super::media_section::has_bundled::<sdp::attribute::RtcpMux>(offer, section)
            && Choice::new(&self.config.codecs, kind, preferences).accepts(&codecs::read(section, kind))
    }

    fn media_answer(
        &self,
        offer: &sdp::SessionDescription,
        section: &MediaDescription,
        transceiver: &TransceiverSlots,
        setup: Setup,
        numbers: &mut Numbers,
    ) -> Option<MediaDescription> {
        let kind = transceiver.kind;
        let offered = codecs::read(section, kind);
        let codecs = Choice::new(&self.config.codecs, kind, &transceiver.preferences).answer(&offered, numbers);
        if !codecs::has_primary(&codecs) {
            return None;
        }
        let extensions = extmap::answered(
            &self.config.header_extensions,
            kind,
            &codecs,
            &extmap::read(offer, section),
            numbers,
        );
        let wanted = transceiver.wanted();
        let direction = offer.direction(section).reversed().intersection(wanted);
        // Packets tell their layer by an extension alone.
        let layers = if extensions.iter().any(|extension| extension.uri == capabilities::RID) {
            let payload_types: Vec<_> = codecs.iter().map(|codec| codec.payload_type).collect();
            self.answered_layers(section, transceiver, direction, &payload_types)
        } else {
            Layers::default()
        };
        let content = Content {
            kind,
            protocol: section.protocol(),
            mid: section.mid(),
            direction,
            codecs,
            extensions,
            // "If … present in the SDP offer, the answerer that supports this mode … SHALL include the … attribute in the
            // answer" (RFC 8285 §6): where it was.
            allow_mixed: section.has::<ExtMapAllowMixed>(),
            layers,
            sender: self
                .negotiation
                .names_sender(transceiver)
                .then_some(&transceiver.sender),
            cname: self.transceivers.cname(),
            reduced_size: section.has::<RtcpRsize>(),
            is_first_offer: false,
        };
        let credentials = self.ice.local_credentials();
        Some(self.negotiation.media_section(&content, credentials, setup))
    }

    /// The layers of simulcast that both want (RFC 8853 §5.3.2).
    fn answered_layers(
        &self,
        section: &MediaDescription,
        transceiver: &TransceiverSlots,
        direction: peerline_sdp::attribute::Direction,
        payload_types: &[u8],
    ) -> Layers {
        let most = self.config.max_simulcast_layers;
        let offered = simulcast::read(Whose::Theirs, section, most);
        let receives = direction.receives() && most > 1;
        let receive = offered
            .send
            .into_iter()
            .filter(|_| receives)
            .map(|layer| Layer { paused: false, ..layer });
        let send = simulcast::agreed(&offered_layers(&transceiver.sender, direction), &offered.receive);
        let answered = |layer: Layer| layer.answered(payload_types);
        Layers {
            send: send.into_iter().filter_map(answered).collect(),
            receive: receive.filter_map(answered).collect(),
        }
    }
}

impl Negotiation {
    fn answered_setup(&self, offered: &RemoteParameters) -> Result<Setup, Error> {
        Ok(match &self.dtls {
            // Where the association stays, so do the roles (RFC 8842 §5.3).
            Some((dtls::Role::Client, _)) => Setup::Active,
            Some((dtls::Role::Server, _)) => Setup::Passive,
            None => match offered.setup {
                // "the answerer … SHOULD use active" to save half a round trip (RFC 8842 §5.3).
                Setup::ActPass | Setup::Passive => Setup::Active,
                Setup::Active => Setup::Passive,
                Setup::HoldConn => return Err(Error::SdpSemantics(SdpFault::BadSetup)),
            },
        })
    }

    /// The data section accepted, in the form in which it was offered.
    fn data_answer(
        &self,
        section: &MediaDescription,
        offered: &RemoteParameters,
        credentials: &ice::Credentials,
        setup: Setup,
    ) -> MediaDescription {
        let is_draft = section.protocol() == protocol::DTLS_SCTP;
        let mut line = MediaLine {
            port: 9,
            port_count: None,
            ..section.media_line()
        };
        if is_draft {
            // As it was written before RFC 8841: the format is our SCTP port.
            line.formats = vec![LOCAL_SCTP_PORT.to_string()];
        }
        let mut media = MediaDescription::new(&line);
        media.set_connection(&sdp::Connection::unspecified());
        self.fill_data_section(&mut media, section.mid(), credentials, setup);
        if is_draft {
            let application = "webrtc-datachannel".into();
            media.push(&SctpMap {
                port: LOCAL_SCTP_PORT,
                application,
                streams: Some(65_535),
            });
        } else {
            media.push(&SctpPort(LOCAL_SCTP_PORT));
            let has_init = offered.data.as_ref().is_some_and(|data| data.init.is_some());
            if let Some(init) = self.signalled_init(has_init) {
                media.push(init);
            }
        }
        media
    }
}

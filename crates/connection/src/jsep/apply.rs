//! `setLocalDescription`, `setRemoteDescription` and `addIceCandidate` (RFC 8829 §5.5 to §5.11): what was described is
//! carried to the layers. Everything is checked before anything is changed.

use std::time::Instant;

use peerline_dtls as dtls;
use peerline_ice as ice;
use peerline_sdp as sdp;
use peerline_sdp::attribute::{Candidate, Direction, EndOfCandidates, IceOptions, Setup};
use peerline_sdp::{MediaDescription, Section as _};

use super::applied::transport_section;
use super::media_section::is_spoken;
use super::remote::{DataParameters, RemoteParameters, share_transport};
use super::signaling_state::{Side, transition};
use super::{Applied, Created, Exchange, Negotiation};
use crate::description::{IceCandidate, SdpType, SessionDescription};
use crate::error::Error;
use crate::event::Event;
use crate::jsep::offer::OfferOptions;
use crate::state::SignalingState;
use crate::{Connection, candidate};

impl Connection {
    /// `setLocalDescription()`: applies what [`create_offer`](Self::create_offer) or
    /// [`create_answer`](Self::create_answer) returned last, or takes back the offer under way
    /// ([`SessionDescription::rollback`]). `None` creates the description that fits the state, and applies it.
    ///
    /// # Errors
    /// [`Error::WrongSignalingState`]; [`Error::ModifiedDescription`] if the SDP is not the one created last.
    pub fn set_local_description(
        &mut self,
        now: Instant,
        description: impl Into<Option<SessionDescription>>,
    ) -> Result<(), Error> {
        self.ensure_open()?;
        let (kind, text) = match description.into() {
            Some(description) => (description.kind, description.sdp),
            None => (self.fitting_kind(), String::new()),
        };
        let state = transition(self.negotiation.state, Side::Local, kind)?;
        match kind {
            SdpType::Rollback => self.roll_back(now),
            SdpType::Offer => {
                if text.is_empty() {
                    self.create_offer(OfferOptions::default())?;
                }
                let offer = take_created(&self.negotiation.last_offer, kind, &text)?;
                self.apply_local_offer(now, offer);
            }
            SdpType::Answer | SdpType::Pranswer => {
                if text.is_empty() {
                    self.create_answer()?;
                }
                let answer = take_created(&self.negotiation.last_answer, kind, &text)?;
                self.apply_local_answer(now, kind, answer.applied);
            }
        }
        self.enter(now, state);
        Ok(())
    }

    /// `setRemoteDescription()`: applies the peer's offer or answer. An offer that meets one of ours takes ours back first.
    ///
    /// # Errors
    /// [`Error::WrongSignalingState`]; [`Error::SdpSyntax`] with the line; [`Error::SdpSemantics`].
    pub fn set_remote_description(&mut self, now: Instant, description: SessionDescription) -> Result<(), Error> {
        self.ensure_open()?;
        let SessionDescription { kind, sdp: text } = description;
        let state = transition(self.negotiation.state, Side::Remote, kind)?;
        if kind == SdpType::Rollback {
            self.roll_back(now);
        } else {
            let parsed = sdp::SessionDescription::parse(&text).map_err(Error::SdpSyntax)?;
            let parameters = self.check_remote(kind, &parsed)?;
            let applied = Applied::read(kind, text, parsed);
            if kind == SdpType::Offer {
                self.apply_remote_offer(now, applied, parameters);
            } else {
                self.apply_remote_answer(now, kind, applied, parameters);
            }
        }
        self.enter(now, state);
        Ok(())
    }

    /// `addIceCandidate()`: a candidate that the peer trickled; `None` is the end of them all.
    ///
    /// # Errors
    /// [`Error::NoRemoteDescription`]; [`Error::CandidateSyntax`]; [`Error::UnknownMediaSection`];
    /// [`Error::UnknownUsernameFragment`]. Candidates that are of no use here, such as over an unknown transport, are
    /// taken and ignored.
    pub fn add_ice_candidate(&mut self, now: Instant, candidate: Option<IceCandidate>) -> Result<(), Error> {
        self.ensure_open()?;
        let remote = self.negotiation.remote().ok_or(Error::NoRemoteDescription)?;
        let Some(candidate) = candidate else {
            self.ice.end_of_candidates(now);
            self.settle(now);
            return Ok(());
        };
        let media = &remote.parsed().media;
        let section = match (&candidate.sdp_mid, candidate.sdp_m_line_index) {
            (Some(mid), _) => media.iter().find(|media| media.mid() == Some(mid)),
            (None, Some(index)) => media.get(usize::from(index)),
            (None, None) if candidate.candidate.is_empty() => media.first(),
            (None, None) => None,
        };
        let section = section.ok_or(Error::UnknownMediaSection)?;
        let has_our_transport = self
            .negotiation
            .remote_transport(remote)
            .is_some_and(|(_, transport)| share_transport(remote.parsed(), transport, section));
        let parsed = match candidate.candidate.as_str() {
            "" => None,
            text => {
                let text = text.strip_prefix("a=").unwrap_or(text);
                let text = text.strip_prefix("candidate:").unwrap_or(text);
                Some(text.parse::<Candidate>().map_err(Error::CandidateSyntax)?)
            }
        };
        let ufrag = candidate
            .username_fragment
            .as_deref()
            .or(parsed.as_ref().and_then(Candidate::ufrag));
        match ufrag.map(|ufrag| self.negotiation.generation_of(ufrag)).transpose()? {
            // "Candidates of the generation that is being replaced" are of no use any more.
            Some(Generation::Old) => return Ok(()),
            Some(Generation::Newest) | None => {}
        }
        // Sections with a transport of their own are rejected.
        if !has_our_transport {
            return Ok(());
        }
        match parsed {
            None => self.ice.end_of_candidates(now),
            Some(parsed) => self.add_remote_candidates(now, candidate::from_sdp(&parsed)),
        }
        self.settle(now);
        Ok(())
    }

    /// `restartIce()`: the next offer begins a new ICE generation.
    pub fn restart_ice(&mut self) {
        if !self.is_closed() {
            self.negotiation.restart_wanted = true;
            self.update_negotiation_needed();
        }
    }

    // --- getters

    /// `signalingState`.
    #[must_use]
    pub fn signaling_state(&self) -> SignalingState {
        self.negotiation.state
    }

    /// `currentLocalDescription`, with the candidates gathered so far.
    #[must_use]
    pub fn current_local_description(&self) -> Option<SessionDescription> {
        let pending = self.negotiation.pending.local.is_some();
        let current = self.negotiation.current.local.as_ref()?;
        // Candidates belong to the generation that the latest description began.
        Some(if pending {
            current.description()
        } else {
            self.with_candidates(current)
        })
    }

    /// `pendingLocalDescription`, with the candidates gathered so far.
    #[must_use]
    pub fn pending_local_description(&self) -> Option<SessionDescription> {
        self.negotiation
            .pending
            .local
            .as_ref()
            .map(|pending| self.with_candidates(pending))
    }

    /// `localDescription`: the pending one before the current one.
    #[must_use]
    pub fn local_description(&self) -> Option<SessionDescription> {
        self.pending_local_description()
            .or_else(|| self.current_local_description())
    }

    /// `currentRemoteDescription`.
    #[must_use]
    pub fn current_remote_description(&self) -> Option<SessionDescription> {
        self.negotiation.current.remote.as_ref().map(Applied::description)
    }

    /// `pendingRemoteDescription`.
    #[must_use]
    pub fn pending_remote_description(&self) -> Option<SessionDescription> {
        self.negotiation.pending.remote.as_ref().map(Applied::description)
    }

    /// `remoteDescription`: the pending one before the current one.
    #[must_use]
    pub fn remote_description(&self) -> Option<SessionDescription> {
        self.negotiation.remote().map(Applied::description)
    }

    /// `canTrickleIceCandidates`: true if the peer's description says that it takes candidates one by one, `a=ice-options:trickle` for
    /// all sections or for one (RFC 8829 §4.1.17). If not, it is to get a description that has them all: the local one, once they are
    /// gathered. `None` without a remote description.
    #[must_use]
    pub fn can_trickle_ice_candidates(&self) -> Option<bool> {
        let remote = self.negotiation.remote()?.parsed();
        let trickles = |options: IceOptions| options.contains(IceOptions::TRICKLE);
        // What cannot be read says nothing.
        let of_session = remote.attribute().ok().flatten();
        let of_media = remote.media.iter().filter_map(|media| media.attribute().ok()?);
        Some(of_session.into_iter().chain(of_media).any(trickles))
    }

    /// A description of ours with the candidates known so far, for peers that do not trickle (RFC 8829 §4.1.13).
    fn with_candidates(&self, applied: &Applied) -> SessionDescription {
        let mut description = applied.description();
        let Some((index, _)) = applied.transport_section() else {
            return description;
        };
        if !self.gathering.newest.announced {
            return description;
        }
        let mut parsed = applied.parsed().clone();
        if let Some(media) = parsed.media.get_mut(index) {
            let ufrag = &self.ice.local_credentials().ufrag;
            for candidate in self.ice.local_candidates() {
                media.push(&candidate::to_sdp(candidate, ufrag));
            }
            if self.gathering.state == crate::state::IceGatheringState::Complete {
                media.push(&EndOfCandidates);
            }
        }
        description.sdp = parsed.to_string();
        description
    }

    // --- one description

    fn fitting_kind(&self) -> SdpType {
        match self.negotiation.state {
            SignalingState::HaveRemoteOffer | SignalingState::HaveLocalPranswer => SdpType::Answer,
            _ => SdpType::Offer,
        }
    }

    fn apply_local_offer(&mut self, now: Instant, offer: Created) {
        self.remember_stable();
        self.associate_local(&offer);
        let parsed = offer.applied.parsed();
        self.apply_local_media(SdpType::Offer, parsed);
        self.learn_numbers(parsed, Side::Local);
        self.negotiation.next_mid = self.negotiation.next_mid.max(mids_after(parsed));
        if let Some(credentials) = offer.restart {
            self.ice.restart(now, Some(credentials));
            self.gathering.restart();
            self.negotiation.pending_restart = true;
            self.negotiation.restart_offered |= std::mem::take(&mut self.negotiation.restart_wanted);
        } else if self.negotiation.current.local.is_none() {
            // "The agent that generated the offer … MUST take the controlling role" (RFC 8445 §6.1.1); a lite one does so
            // only if the answerer turns out to be lite too.
            self.ice.set_role(ice::Role::Controlling);
        }
        let has_transport = offer.applied.transport_section().is_some();
        self.negotiation.pending = Exchange {
            local: Some(offer.applied),
            remote: None,
        };
        if has_transport {
            self.start_gathering(now);
        }
    }

    fn apply_remote_offer(&mut self, now: Instant, offer: Applied, parameters: Option<Box<RemoteParameters>>) {
        // An offer that takes the place of one before takes its effects as well.
        if self.negotiation.state == SignalingState::HaveRemoteOffer {
            self.replace_remote_offer(now, offer.parsed());
        } else {
            self.roll_back(now);
        }
        self.remember_stable();
        self.negotiation.last_answer = None;
        self.negotiation.offered = None;
        if let Some(mut parameters) = parameters {
            if self.negotiation.restarts_ice(&parameters) {
                self.ice.restart(now, None);
                self.gathering.restart();
                self.negotiation.pending_restart = true;
            } else if self.negotiation.current.remote.is_none() {
                let controlling = parameters.ice_lite && !self.config.ice_lite;
                self.ice.set_role(if controlling {
                    ice::Role::Controlling
                } else {
                    ice::Role::Controlled
                });
            }
            self.apply_ice(now, &mut parameters);
            self.negotiation.offered = Some(parameters);
        }
        self.apply_remote_media(SdpType::Offer, offer.parsed());
        self.learn_numbers(offer.parsed(), Side::Remote);
        self.negotiation.pending = Exchange {
            local: None,
            remote: Some(offer),
        };
    }

    fn apply_local_answer(&mut self, now: Instant, kind: SdpType, answer: Applied) {
        let offered = self.negotiation.offered.take();
        self.apply_local_media(kind, answer.parsed());
        self.learn_numbers(answer.parsed(), Side::Local);
        if let (Some(parameters), Some((_, ours))) = (&offered, answer.transport_section()) {
            let role = match ours.attribute::<Setup>() {
                Ok(Some(Setup::Passive)) => dtls::Role::Server,
                _ => dtls::Role::Client,
            };
            self.apply_transport(now, role, parameters);
            let data = parameters.data.clone().filter(|_| answer.data_section().is_some());
            self.apply_data(now, kind, data);
            self.negotiation.pending.local = Some(answer);
            self.start_gathering(now);
        } else {
            self.apply_data(now, kind, None);
            self.negotiation.pending.local = Some(answer);
        }
        // A provisional answer may be followed by another.
        self.negotiation.offered = offered;
    }

    fn apply_remote_answer(
        &mut self,
        now: Instant,
        kind: SdpType,
        answer: Applied,
        parameters: Option<Box<RemoteParameters>>,
    ) {
        self.apply_remote_media(kind, answer.parsed());
        self.learn_numbers(answer.parsed(), Side::Remote);
        let mut data = None;
        if let Some(mut parameters) = parameters {
            if self.negotiation.current.local.is_none() && self.config.ice_lite && !parameters.ice_lite {
                self.ice.set_role(ice::Role::Controlled);
            }
            let role = match parameters.setup {
                Setup::Passive => dtls::Role::Client,
                _ => dtls::Role::Server,
            };
            self.apply_ice(now, &mut parameters);
            self.apply_transport(now, role, &parameters);
            data = parameters.data.take();
        }
        let has_offered = self
            .negotiation
            .local()
            .is_some_and(|offer| offer.data_section().is_some());
        let has_data = data.is_some();
        self.apply_data(now, kind, data.filter(|_| has_offered));
        if has_offered && !has_data && kind == SdpType::Answer {
            // What was to travel there cannot.
            self.upper.channels.abort(now, "the peer rejected data channels");
        }
        self.negotiation.pending.remote = Some(answer);
    }

    /// Credentials and candidates of the peer's current generation.
    fn apply_ice(&mut self, now: Instant, parameters: &mut RemoteParameters) {
        self.ice.set_remote_lite(parameters.ice_lite);
        self.ice.set_renomination(parameters.renomination);
        self.ice.set_remote_pacing(parameters.pacing);
        if parameters.sped {
            self.ice.set_remote_embedding();
        }
        self.ice.set_remote_credentials(now, parameters.credentials.clone());
        self.add_remote_candidates(now, std::mem::take(&mut parameters.candidates));
        if parameters.end_of_candidates {
            self.ice.end_of_candidates(now);
        }
    }

    /// Candidates that ICE has no use for (to nowhere, or too many) are no fault of the caller: they are left out.
    fn add_remote_candidates(&mut self, now: Instant, candidates: impl IntoIterator<Item = ice::Candidate>) {
        for candidate in candidates {
            let _ = self.ice.add_remote_candidate(now, candidate);
        }
    }

    /// DTLS, once both descriptions are there.
    fn apply_transport(&mut self, now: Instant, role: dtls::Role, parameters: &RemoteParameters) {
        if self.negotiation.dtls.is_none() {
            self.negotiation.dtls = Some((role, parameters.fingerprints.clone()));
            self.start_dtls(now, role, parameters.fingerprints.clone());
        }
    }

    /// SCTP, once both descriptions have a section for it; and its end when one has none any more.
    fn apply_data(&mut self, now: Instant, kind: SdpType, data: Option<DataParameters>) {
        match data {
            Some(parameters) => {
                self.upper
                    .channels
                    .set_max_send_message_size(parameters.max_message_size);
                if !self.negotiation.has_data {
                    self.upper.channels.set_remote_port(parameters.sctp_port);
                    self.negotiation.agree_on_data(parameters.init);
                    self.connect_channels(now);
                }
            }
            None if self.negotiation.has_data && kind == SdpType::Answer => {
                self.negotiation.has_data = false;
                self.upper.channels.abort(now, "data channels were rejected");
            }
            None => {}
        }
    }

    /// Enters the state that a description led to.
    fn enter(&mut self, now: Instant, state: SignalingState) {
        if state == SignalingState::Stable && self.negotiation.pending.remote.is_some() {
            // An exchange is whole once it is stable: whoever answered saw the other's offer.
            self.negotiation.current = std::mem::take(&mut self.negotiation.pending);
            self.negotiation.pending_restart = false;
            self.negotiation.restart_offered = false;
            self.negotiation.last_offer = None;
            self.negotiation.last_answer = None;
            self.negotiation.offered = None;
            self.negotiation.stable = None;
            self.stop_unbound();
        }
        if state == SignalingState::Stable {
            self.remove_stopped();
        }
        self.agree_on_media(now);
        if self.negotiation.state != state {
            self.negotiation.state = state;
            self.events.push_back(Event::SignalingStateChange(state));
        }
        self.settle(now);
        if state == SignalingState::Stable {
            // "the flag is … cleared, and the check made again" once stable (webrtc-pc §4.7.3).
            self.negotiation.negotiation_needed = false;
            self.update_negotiation_needed();
        }
    }

    /// A data channel was created: from now on offers carry a data section.
    pub(crate) fn want_data(&mut self) {
        self.negotiation.wants_data = true;
        self.update_negotiation_needed();
    }
}

/// The generation that a username fragment of the peer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Generation {
    Old,
    Newest,
}

impl Negotiation {
    fn generation_of(&self, ufrag: &str) -> Result<Generation, Error> {
        let is_in = |applied: Option<&Applied>| {
            applied.is_some_and(|applied| {
                let mut levels = applied
                    .parsed()
                    .media
                    .iter()
                    .map(|media| media.attribute_value("ice-ufrag"));
                applied.parsed().attribute_value("ice-ufrag") == Some(ufrag) || levels.any(|value| value == Some(ufrag))
            })
        };
        if is_in(self.remote()) {
            Ok(Generation::Newest)
        } else if is_in(self.current.remote.as_ref()) {
            Ok(Generation::Old)
        } else {
            Err(Error::UnknownUsernameFragment)
        }
    }

    /// True if these are other credentials than the peer had: it restarts ICE (RFC 8839 §4.4.3.1.1).
    fn restarts_ice(&self, parameters: &RemoteParameters) -> bool {
        let previous = self.current.remote.as_ref().and_then(|remote| {
            let section = self.remote_transport(remote)?;
            RemoteParameters::read(remote.parsed(), section).ok()
        });
        previous.is_some_and(|previous| previous.credentials != parameters.credentials)
    }

    /// The section of the peer's description that speaks for the transport: of those that ours, if it has come, does not reject.
    fn remote_transport<'a>(&self, remote: &'a Applied) -> Option<(usize, &'a MediaDescription)> {
        let ours = self.local().map(|local| &*local.parsed().media).unwrap_or_default();
        let is_alive = |index: usize| ours.get(index).is_none_or(|media| !media.is_rejected());
        let parsed = remote.parsed();
        transport_section(parsed, |index, media| is_spoken(media) && is_alive(index))
            .or_else(|| transport_section(parsed, |_, media| is_spoken(media)))
    }

    /// Which way the offer under way lets media flow, as its writer, we, sees it.
    pub(super) fn offered_direction(&self, index: usize) -> Direction {
        let offer = self.pending.local.as_ref().map(Applied::parsed);
        let section = offer.and_then(|offer| Some((offer, offer.media.get(index)?)));
        match section {
            Some((offer, media)) if !media.is_rejected() => offer.direction(media),
            _ => Direction::Inactive,
        }
    }

    /// True if the offer under way, ours, gives a section up.
    pub(super) fn has_rejected(&self, index: usize) -> bool {
        let offer = self.pending.local.as_ref().map(Applied::parsed);
        offer.is_some_and(|offer| offer.media.get(index).is_some_and(MediaDescription::is_rejected))
    }
}

/// The first number above all mids that are numbers: they are never proposed again.
fn mids_after(parsed: &sdp::SessionDescription) -> u32 {
    let numbers = parsed.media.iter().filter_map(|media| media.mid()?.parse::<u32>().ok());
    numbers.max().map_or(0, |last| last.wrapping_add(1))
}

/// The description created last, if `text` is it (or empty, which stands for it).
fn take_created(created: &Option<Created>, kind: SdpType, text: &str) -> Result<Created, Error> {
    let created = created
        .as_ref()
        .filter(|created| text.is_empty() || created.applied.text() == text);
    let created = created.ok_or(Error::ModifiedDescription(kind))?.clone();
    Ok(Created {
        applied: created.applied.with_kind(kind),
        ..created
    })
}

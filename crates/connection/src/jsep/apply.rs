//! `setLocalDescription`, `setRemoteDescription` and `addIceCandidate` (RFC 8829 §5.5 to §5.11): what was described is
//! carried to the layers. Everything is checked before anything is changed.

use std::time::Instant;

use peerline_dtls as dtls;
use peerline_ice as ice;
use peerline_sdp as sdp;
use peerline_sdp::attribute::{Candidate, EndOfCandidates, Setup};
use peerline_sdp::{MediaDescription, Section as _};

use super::remote::{RemoteParameters, share_transport};
use super::signaling_state::{Side, transition};
use super::{Applied, Created, Exchange, Negotiation, data_section};
use crate::description::{IceCandidate, SdpType, SessionDescription};
use crate::error::{Error, SdpFault};
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
                self.apply_local_answer(now, answer.applied);
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
            let parameters = self.negotiation.check_remote(kind, &parsed)?;
            let applied = Applied::read(kind, text, parsed);
            if kind == SdpType::Offer {
                self.apply_remote_offer(now, applied, parameters);
            } else {
                self.apply_remote_answer(now, applied, parameters);
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
        let has_our_transport = remote
            .data_section()
            .is_some_and(|(_, data)| share_transport(remote.parsed(), data, section));
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
        // Other sections are rejected, and so are their transports, unless they share that of the data section.
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

    /// A description of ours with the candidates known so far, for peers that do not trickle (RFC 8829 §4.1.13).
    fn with_candidates(&self, applied: &Applied) -> SessionDescription {
        let mut description = applied.description();
        let Some((index, _)) = applied.data_section() else {
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
        if let Some(credentials) = offer.restart {
            self.ice.restart(now, Some(credentials));
            self.gathering.restart();
            self.negotiation.pending_restart = true;
            self.negotiation.restart_wanted = false;
        } else if self.negotiation.current.local.is_none() {
            // "The agent that generated the offer … MUST take the controlling role" (RFC 8445 §6.1.1); a lite one does so
            // only if the answerer turns out to be lite too.
            self.ice.set_role(ice::Role::Controlling);
        }
        let has_transport = offer.applied.data_section().is_some();
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
        self.roll_back(now);
        self.negotiation.last_answer = None;
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
        self.negotiation.pending = Exchange {
            local: None,
            remote: Some(offer),
        };
    }

    fn apply_local_answer(&mut self, now: Instant, answer: Applied) {
        let offered = self.negotiation.offered.take();
        if let (Some(parameters), Some((_, ours))) = (&offered, answer.data_section()) {
            let role = match ours.attribute::<Setup>() {
                Ok(Some(Setup::Passive)) => dtls::Role::Server,
                _ => dtls::Role::Client,
            };
            self.apply_data(now, role, parameters);
            self.negotiation.pending.local = Some(answer);
            self.start_gathering(now);
        } else {
            self.negotiation.pending.local = Some(answer);
        }
        // A provisional answer may be followed by another.
        self.negotiation.offered = offered;
    }

    fn apply_remote_answer(&mut self, now: Instant, answer: Applied, parameters: Option<Box<RemoteParameters>>) {
        match parameters {
            Some(mut parameters) => {
                if self.negotiation.current.local.is_none() && self.config.ice_lite && !parameters.ice_lite {
                    self.ice.set_role(ice::Role::Controlled);
                }
                let role = match parameters.setup {
                    Setup::Passive => dtls::Role::Client,
                    _ => dtls::Role::Server,
                };
                self.apply_ice(now, &mut parameters);
                self.apply_data(now, role, &parameters);
            }
            // The peer rejected the data section: what was to travel there cannot.
            None if self
                .negotiation
                .local()
                .is_some_and(|offer| offer.data_section().is_some()) =>
            {
                self.upper.channels.abort(now, "the peer rejected data channels");
            }
            None => {}
        }
        self.negotiation.pending.remote = Some(answer);
    }

    /// Credentials and candidates of the peer's current generation.
    fn apply_ice(&mut self, now: Instant, parameters: &mut RemoteParameters) {
        self.ice.set_remote_lite(parameters.ice_lite);
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

    /// DTLS and SCTP, once both descriptions are there.
    fn apply_data(&mut self, now: Instant, role: dtls::Role, parameters: &RemoteParameters) {
        self.upper
            .channels
            .set_max_send_message_size(parameters.max_message_size);
        if self.negotiation.dtls.is_none() {
            self.upper.channels.set_remote_port(parameters.sctp_port);
            self.negotiation.dtls = Some((role, parameters.fingerprints.clone()));
            self.start_dtls(now, role, parameters.fingerprints.clone());
        }
    }

    fn start_gathering(&mut self, now: Instant) {
        self.gathering.newest.announced = true;
        if !self.gathering.asked {
            self.gathering.asked = true;
            self.events.push_back(Event::Gather);
        }
        self.ice.gather(now);
    }

    /// Takes back the offer under way, ours or the peer's.
    fn roll_back(&mut self, now: Instant) {
        self.negotiation.pending = Exchange::default();
        self.negotiation.offered = None;
        if std::mem::take(&mut self.negotiation.pending_restart) {
            self.ice.rollback_restart(now);
            self.gathering.roll_back();
        }
    }

    /// Enters the state that a description led to.
    fn enter(&mut self, now: Instant, state: SignalingState) {
        if state == SignalingState::Stable && self.negotiation.pending.remote.is_some() {
            // An exchange is whole once it is stable: whoever answered saw the other's offer.
            self.negotiation.current = std::mem::take(&mut self.negotiation.pending);
            self.negotiation.pending_restart = false;
            self.negotiation.last_offer = None;
            self.negotiation.last_answer = None;
            self.negotiation.offered = None;
        }
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

    /// `negotiationneeded`, once for each time that it becomes so in the stable state (webrtc-pc §4.7.3).
    fn update_negotiation_needed(&mut self) {
        if self.negotiation.state != SignalingState::Stable {
            return;
        }
        let needed = self.negotiation.is_needed();
        if needed && !self.negotiation.negotiation_needed {
            self.events.push_back(Event::NegotiationNeeded);
        }
        self.negotiation.negotiation_needed = needed;
    }
}

/// The generation that a username fragment of the peer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Generation {
    Old,
    Newest,
}

impl Negotiation {
    fn is_needed(&self) -> bool {
        let has_data = self
            .current
            .local
            .as_ref()
            .is_some_and(|local| local.data_section().is_some());
        (self.wants_data && !has_data) || (self.restart_wanted && self.current.local.is_some())
    }

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
            let (_, section) = remote.data_section()?;
            RemoteParameters::read(remote.parsed(), section).ok()
        });
        previous.is_some_and(|previous| previous.credentials != parameters.credentials)
    }

    /// Checks a remote description against what was agreed on before; the parameters of its data section, if it has one.
    fn check_remote(
        &self,
        kind: SdpType,
        parsed: &sdp::SessionDescription,
    ) -> Result<Option<Box<RemoteParameters>>, Error> {
        let fault = |fault| Err(Error::SdpSemantics(fault));
        let media = &parsed.media;
        if media.len() > self.local.max_media_sections {
            return fault(SdpFault::TooManyMediaSections);
        }
        let mids: Vec<_> = media.iter().filter_map(|media| media.mid()).collect();
        let distinct: std::collections::HashSet<_> = mids.iter().collect();
        if distinct.len() != mids.len() {
            return fault(SdpFault::DuplicateMid);
        }
        let names = |mid: &String| distinct.contains(&mid.as_str());
        if !parsed.bundle_groups().all(|group| group.mids.iter().all(names)) {
            return fault(SdpFault::BadBundleGroup);
        }
        if kind == SdpType::Offer {
            let agreed = self
                .current
                .remote
                .as_ref()
                .map(|remote| &*remote.parsed().media)
                .unwrap_or_default();
            let kept =
                agreed.len() <= media.len() && agreed.iter().zip(media).all(|(old, new)| is_same_section(old, new));
            if !kept {
                return fault(SdpFault::ReorderedMediaSections);
            }
        } else {
            let offered = self
                .pending
                .local
                .as_ref()
                .map(|offer| &*offer.parsed().media)
                .unwrap_or_default();
            let matches =
                offered.len() == media.len() && offered.iter().zip(media).all(|(old, new)| is_same_section(old, new));
            if !matches {
                return fault(SdpFault::MismatchedMediaSections);
            }
        }
        let Some((_, section)) = data_section(parsed) else {
            return Ok(None);
        };
        let parameters = RemoteParameters::read(parsed, section)?;
        match (kind, parameters.setup) {
            (_, Setup::HoldConn) | (SdpType::Answer | SdpType::Pranswer, Setup::ActPass) => {
                return fault(SdpFault::BadSetup);
            }
            _ => {}
        }
        // RFC 8842 §5.3 forbids an answer that keeps the DTLS association to change its roles, but Firefox 153, when it is
        // the server, answers our ICE restart with `a=setup:active` and means nothing by it: the fingerprints alone decide.
        if let Some((_, fingerprints)) = &self.dtls
            && *fingerprints != parameters.fingerprints
        {
            return fault(SdpFault::ChangedFingerprint);
        }
        Ok(Some(Box::new(parameters)))
    }
}

/// True if both sections are the same one: of one kind, and of one `a=mid` unless a rejected section was put to new use.
fn is_same_section(old: &MediaDescription, new: &MediaDescription) -> bool {
    let recycled = old.is_rejected();
    recycled || (old.kind() == new.kind() && (old.mid() == new.mid() || new.mid().is_none()))
}

/// The description created last, if `text` is it (or empty, which stands for it).
fn take_created(created: &Option<Created>, kind: SdpType, text: &str) -> Result<Created, Error> {
    let created = created
        .as_ref()
        .filter(|created| text.is_empty() || created.applied.text() == text);
    let Created { applied, restart } = created.ok_or(Error::ModifiedDescription(kind))?.clone();
    Ok(Created {
        applied: applied.with_kind(kind),
        restart,
    })
}

//! `createAnswer` (RFC 8829 §5.3).

use peerline_dtls as dtls;
use peerline_ice as ice;
use peerline_sdp as sdp;
use peerline_sdp::attribute::{Group, SctpMap, SctpPort, Setup};
use peerline_sdp::{MediaDescription, MediaLine, Section as _, protocol};

use super::remote::RemoteParameters;
use super::{Applied, Created, LOCAL_SCTP_PORT, Negotiation, data_section, rejected};
use crate::Connection;
use crate::description::{SdpType, SessionDescription};
use crate::error::{Error, SdpFault};
use crate::state::SignalingState;

impl Connection {
    /// `createAnswer()`: the answer to the peer's offer, to be passed unchanged to
    /// [`set_local_description`](Self::set_local_description). The data section is accepted, all others are rejected.
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
        let applied = Applied::written(SdpType::Answer, self.negotiation.answer(self.ice.local_credentials())?);
        let description = applied.description();
        self.negotiation.last_answer = Some(Created { applied, restart: None });
        Ok(description)
    }
}

impl Negotiation {
    /// What the offer that waits for an answer says of its data section.
    fn offered_parameters(&self) -> &RemoteParameters {
        self.offered
            .as_ref()
            .expect("a data section was read when the offer was set")
    }

    fn answer(&mut self, credentials: &ice::Credentials) -> Result<sdp::SessionDescription, Error> {
        let mut description = self.new_description();
        let offer = self
            .pending
            .remote
            .as_ref()
            .expect("the state says that an offer is pending")
            .clone();
        let offer = offer.parsed();
        description.media = offer.media.iter().map(rejected).collect();
        if let Some((index, section)) = data_section(offer) {
            description.media[index] = self.data_answer(section, credentials)?;
            let bundled = |mid: &&str| offer.bundle_groups().any(|group| group.contains(mid));
            if let Some(mid) = section.mid().filter(bundled) {
                description.push(&Group::bundle([mid]));
            }
        }
        Ok(description)
    }

    /// The data section accepted, in the form in which it was offered.
    fn data_answer(
        &self,
        section: &MediaDescription,
        credentials: &ice::Credentials,
    ) -> Result<MediaDescription, Error> {
        let setup = match &self.dtls {
            // Where the association stays, so do the roles (RFC 8842 §5.3).
            Some((dtls::Role::Client, _)) => Setup::Active,
            Some((dtls::Role::Server, _)) => Setup::Passive,
            None => match self.offered_parameters().setup {
                // "the answerer … SHOULD use active" to save half a round trip (RFC 8842 §5.3).
                Setup::ActPass | Setup::Passive => Setup::Active,
                Setup::Active => Setup::Passive,
                Setup::HoldConn => return Err(Error::SdpSemantics(SdpFault::BadSetup)),
            },
        };
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
        }
        Ok(media)
    }
}

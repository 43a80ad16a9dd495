//! Offers and answers (RFC 8829): they configure the layers, and no packet passes through here.
//!
//! [`Negotiation`] is what has been agreed on and what is being proposed; [`offer`] and [`answer`] write descriptions,
//! [`applied`] keeps them, [`remote`] reads the peer's, [`check`] refuses what it must not say, and [`apply`] carries both to
//! the layers.
//!
//! Of audio and video, [`media_section`] is what a section says, [`codecs`], [`h264`], [`extmap`] and [`simulcast`] are parts of
//! it, [`choose`] and [`numbers`] decide which codecs are named and how; [`associate`] binds transceivers to sections,
//! [`rollback`] takes that back, [`agree`] makes the list that the engine obeys, and [`negotiation_needed`] compares it with what
//! is wanted.

use std::time::Duration;

use peerline_dtls as dtls;
use peerline_ice as ice;
use peerline_sctp::SignalledInit;
use peerline_sdp as sdp;
use peerline_sdp::attribute::{
    Direction, Fingerprint, HashFunction, IceLite, IceOptions, IcePacing, IcePwd, IceUfrag, MaxMessageSize, Mid,
    RtpMap, SctpInit, Setup,
};
use peerline_sdp::{MediaDescription, Origin, Section as _};

use crate::candidate;
use crate::config::Config;
use crate::description::IceCandidate;
use crate::state::SignalingState;

mod agree;
mod answer;
mod applied;
mod apply;
mod associate;
mod check;
mod choose;
mod codecs;
mod extmap;
mod h264;
mod media_section;
mod negotiation_needed;
mod numbers;
mod offer;
mod remote;
mod rollback;
mod signaling_state;
mod simulcast;

use applied::{Applied, Created, Exchange, data_section};
pub(crate) use codecs::{is_same as is_same_codec, meaning as codec_meaning, redundant, speaks};
use numbers::Numbers;
pub use offer::OfferOptions;
use remote::RemoteParameters;
use rollback::Stable;

/// The port of our SCTP endpoint: what everyone uses (RFC 8841 §5 leaves it open).
const LOCAL_SCTP_PORT: u16 = 5000;

/// What both sides have agreed on, and what one of them is proposing.
pub(crate) struct Negotiation {
    pub(crate) state: SignalingState,
    /// What every description of ours says.
    local: LocalParameters,
    /// The number in our `o=` line, and that of the next description.
    session_id: u64,
    version: u64,
    current: Exchange,
    pending: Exchange,
    /// The last that `createOffer` and `createAnswer` returned, which `setLocalDescription` may apply.
    last_offer: Option<Created>,
    last_answer: Option<Created>,
    /// What the pending offer of the peer says of the transport.
    offered: Option<Box<RemoteParameters>>,
    /// A data channel has been created: offers carry a data section from now on.
    wants_data: bool,
    /// Both descriptions have a data section.
    pub(crate) has_data: bool,
    snap: Snap,
    numbers: Numbers,
    /// The number to be proposed as the next `a=mid`.
    next_mid: u32,
    /// The stable state that the offer under way has left.
    stable: Option<Box<Stable>>,
    /// `restartIce()` was called, and no offer has carried it yet.
    restart_wanted: bool,
    /// The offer under way does so: taken back, that is wanted again.
    restart_offered: bool,
    /// The pending offer began a new ICE generation, which a rollback takes back.
    pending_restart: bool,
    negotiation_needed: bool,
    /// The DTLS role and the peer's fingerprints, once agreed: they stay for the life of the connection.
    dtls: Option<(dtls::Role, Vec<dtls::Fingerprint>)>,
}

/// What every description of ours says.
struct LocalParameters {
    fingerprint: Fingerprint,
    max_message_size: usize,
    /// SCTP's INIT, if it is signalled.
    sctp_init: Option<SctpInit>,
    ice_lite: bool,
    /// The pace of checks, if they are made.
    pacing: Option<IcePacing>,
    sped: bool,
    max_media_sections: usize,
}

/// Whether SCTP's handshake was in the descriptions (draft-hancke-tsvwg-snap).
#[derive(Debug)]
enum Snap {
    /// Data channels have not been agreed on yet.
    Open,
    /// Both sides signalled their INITs. The peer's is kept until DTLS is up.
    Agreed(Option<SignalledInit>),
    /// One of them did not.
    Handshake,
}

impl Negotiation {
    pub(crate) fn new(config: &Config, ice: &ice::Agent, session_id: u64, sctp_init: Vec<u8>) -> Self {
        let milliseconds = |pacing: Duration| u32::try_from(pacing.as_millis()).unwrap_or(u32::MAX);
        Self {
            state: SignalingState::Stable,
            local: LocalParameters {
                fingerprint: fingerprint_to_sdp(config.certificate.fingerprint(dtls::HashAlgorithm::Sha256)),
                max_message_size: config.max_message_size,
                sctp_init: config.snap.then_some(SctpInit(sctp_init)),
                ice_lite: config.ice_lite,
                pacing: ice.pacing().map(|pacing| IcePacing(milliseconds(pacing))),
                sped: config.sped,
                max_media_sections: config.max_media_sections,
            },
            // "the <sess-id> … a 64-bit random number with the highest bit set to zero" (RFC 8829 §5.2.1).
            session_id: session_id >> 1,
            version: 0,
            current: Exchange::default(),
            pending: Exchange::default(),
            last_offer: None,
            last_answer: None,
            offered: None,
            wants_data: false,
            has_data: false,
            snap: Snap::Open,
            numbers: Numbers::default(),
            next_mid: 0,
            stable: None,
            restart_wanted: false,
            restart_offered: false,
            pending_restart: false,
            negotiation_needed: false,
            dtls: None,
        }
    }

    pub(crate) fn close(&mut self) {
        self.state = SignalingState::Closed;
    }

    /// Both sides want data channels, and the peer has signalled its INIT or not. "Attempting to add an sctp-init attribute to an
    /// existing SCTP association" changes nothing (draft-hancke-tsvwg-snap §4.6).
    fn agree_on_data(&mut self, peer: Option<SignalledInit>) {
        self.has_data = true;
        if matches!(self.snap, Snap::Open) {
            self.snap = match peer.filter(|_| self.local.sctp_init.is_some()) {
                Some(init) => Snap::Agreed(Some(init)),
                None => Snap::Handshake,
            };
        }
    }

    /// The INIT with which SCTP begins, if it has been signalled.
    pub(crate) fn take_signalled_init(&mut self) -> Option<SignalledInit> {
        match &mut self.snap {
            Snap::Agreed(init) => init.take(),
            Snap::Open | Snap::Handshake => None,
        }
    }

    /// Our INIT, for a description of ours: an answer has it if the offer has.
    fn signalled_init(&self, peer_speaks: bool) -> Option<&SctpInit> {
        match self.snap {
            Snap::Open => self.local.sctp_init.as_ref().filter(|_| peer_speaks),
            // "Subsequent offers and answers MUST include the "a=sctp-init" line in the negotiated SDP with the same value as in the
            // initial negotiation."
            Snap::Agreed(_) => self.local.sctp_init.as_ref(),
            Snap::Handshake => None,
        }
    }

    /// Gives back what only the next exchange would need.
    pub(crate) fn rest(&mut self) {
        self.current.rest();
    }

    /// The local description that counts now: the one under way before the one in use.
    fn local(&self) -> Option<&Applied> {
        self.pending.local.as_ref().or(self.current.local.as_ref())
    }

    fn remote(&self) -> Option<&Applied> {
        self.pending.remote.as_ref().or(self.current.remote.as_ref())
    }

    /// A local candidate as it is signalled.
    pub(crate) fn candidate_init(&self, candidate: &ice::Candidate, credentials: &ice::Credentials) -> IceCandidate {
        let section = self.local().and_then(Applied::transport_section);
        IceCandidate {
            candidate: format!("candidate:{}", candidate::to_sdp(candidate, &credentials.ufrag)),
            sdp_mid: section.and_then(|(_, media)| media.mid()).map(str::to_owned),
            sdp_m_line_index: section.and_then(|(index, _)| u16::try_from(index).ok()),
            username_fragment: Some(credentials.ufrag.clone()),
        }
    }

    /// The session level of a description of ours (RFC 8829 §5.2.1).
    fn new_description(&mut self) -> sdp::SessionDescription {
        let mut description = sdp::SessionDescription::new(&Origin::new(self.session_id, self.version));
        self.version += 1;
        if self.local.ice_lite {
            description.push(&IceLite);
        }
        // "If the offerer is a full ICE implementation, it SHOULD include an "ice-pacing" attribute" (RFC 8839 §4.3.1), and so the
        // answerer (§4.3.2).
        if let Some(pacing) = &self.local.pacing {
            description.push(pacing);
        }
        let options = [IceOptions::TRICKLE, IceOptions::ICE2, IceOptions::RENOMINATION];
        let sped = [IceOptions::SPED, IceOptions::GOOG_SPED_V1];
        let sped = sped.into_iter().filter(|_| self.local.sped);
        description.push(&IceOptions::new(options.into_iter().chain(sped)));
        description
    }

    /// Adds what our sections say of the transport: who they are, ICE and DTLS. Each says it, as browsers write it: not all peers
    /// look for it in the section that speaks for the BUNDLE group alone.
    fn fill_transport(
        &self,
        media: &mut MediaDescription,
        mid: Option<&str>,
        credentials: &ice::Credentials,
        setup: Setup,
    ) {
        if let Some(mid) = mid {
            media.push(&Mid::new(mid));
        }
        media
            .push(&IceUfrag::new(&credentials.ufrag))
            .push(&IcePwd::new(&credentials.pwd));
        media.push(&self.local.fingerprint).push(&setup);
    }

    /// Adds what our data sections say: the transport, and the messages we take.
    fn fill_data_section(
        &self,
        media: &mut MediaDescription,
        mid: Option<&str>,
        credentials: &ice::Credentials,
        setup: Setup,
    ) {
        self.fill_transport(media, mid, credentials, setup);
        media.push(&MaxMessageSize(self.local.max_message_size as u64));
    }
}

/// A fingerprint as SDP's own type has it.
fn fingerprint_to_sdp(fingerprint: dtls::Fingerprint) -> Fingerprint {
    let function = match fingerprint.algorithm {
        dtls::HashAlgorithm::Sha256 => HashFunction::Sha256,
        dtls::HashAlgorithm::Sha384 => HashFunction::Sha384,
        dtls::HashAlgorithm::Sha512 => HashFunction::Sha512,
    };
    Fingerprint::new(function, fingerprint.value)
}

/// A media section that says no, in the words of the one that asked (RFC 3264 §6).
fn rejected(media: &MediaDescription) -> MediaDescription {
    let mut line = sdp::MediaLine {
        port: 0,
        port_count: None,
        ..media.media_line()
    };
    // "It MAY list just a single media format" (RFC 3264 §8.2).
    line.formats.truncate(1);
    let mut rejected = MediaDescription::new(&line);
    rejected.set_connection(&sdp::Connection::unspecified());
    if media.is_rtp() {
        // No direction would mean `sendrecv` (RFC 8866 §6.7), and a format without a map says nothing. It is no matter here, but
        // there are stacks that refuse such a section; browsers write both.
        rejected.push(&Direction::Inactive);
        let map = media.attributes::<RtpMap>().filter_map(Result::ok);
        for map in map.filter(|map| {
            line.formats
                .iter()
                .any(|format| *format == map.payload_type.to_string())
        }) {
            rejected.push(&map);
        }
    }
    if let Some(mid) = media.mid() {
        rejected.push(&Mid::new(mid));
    }
    rejected
}

//! [`StatsReport`]: what `getStats()` gives, under the W3C's names (webrtc-stats).

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use peerline_dtls::{Fingerprint, HashAlgorithm};
use peerline_ice as ice;

use crate::Connection;
use crate::state::{DataChannelState, DtlsTransportState, IceConnectionState};

mod rtp;

pub use rtp::{
    CertificateStats, CodecStats, InboundRtpStats, MediaSourceStats, OutboundRtpStats, RemoteInboundRtpStats,
    RemoteOutboundRtpStats,
};

/// A snapshot of everything counted, one [`Stats`] an object, each with an id that others refer to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StatsReport {
    /// The objects, in no particular order.
    pub stats: Vec<Stats>,
}

impl StatsReport {
    /// The object with this id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Stats> {
        self.stats.iter().find(|stats| stats.id == id)
    }

    /// The objects of the pair that carries data, if there is one.
    #[must_use]
    pub fn selected_candidate_pair(&self) -> Option<&CandidatePairStats> {
        self.stats.iter().find_map(|stats| match &stats.kind {
            StatsKind::CandidatePair(pair) if pair.selected => Some(pair),
            _ => None,
        })
    }

    /// The transport's object; every report has one.
    #[must_use]
    pub fn transport(&self) -> Option<&TransportStats> {
        self.stats.iter().find_map(|stats| match &stats.kind {
            StatsKind::Transport(transport) => Some(transport),
            _ => None,
        })
    }

    /// The data channels' objects.
    pub fn data_channels(&self) -> impl Iterator<Item = &DataChannelStats> {
        self.stats.iter().filter_map(|stats| match &stats.kind {
            StatsKind::DataChannel(channel) => Some(channel),
            _ => None,
        })
    }
}

/// One object of a report (`RTCStats`).
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Stats {
    /// Names the object in this and later reports.
    pub id: String,
    /// Milliseconds since 1970, or since the connection's birth without [`Config::wall_clock`](crate::Config::wall_clock).
    pub timestamp: f64,
    /// What is counted, by type.
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub kind: StatsKind,
}

/// What an object of a report counts (`RTCStatsType`).
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(tag = "type", rename_all = "kebab-case")
)]
pub enum StatsKind {
    /// `RTCPeerConnectionStats`.
    PeerConnection(PeerConnectionStats),
    /// `RTCTransportStats`.
    Transport(TransportStats),
    /// `RTCIceCandidatePairStats`.
    CandidatePair(CandidatePairStats),
    /// `RTCIceCandidateStats` of ours.
    LocalCandidate(CandidateStats),
    /// `RTCIceCandidateStats` of the peer's.
    RemoteCandidate(CandidateStats),
    /// `RTCDataChannelStats`.
    DataChannel(DataChannelStats),
    /// `RTCCodecStats`.
    Codec(CodecStats),
    /// `RTCInboundRtpStreamStats`.
    InboundRtp(InboundRtpStats),
    /// `RTCOutboundRtpStreamStats`.
    OutboundRtp(OutboundRtpStats),
    /// `RTCRemoteInboundRtpStreamStats`.
    RemoteInboundRtp(RemoteInboundRtpStats),
    /// `RTCRemoteOutboundRtpStreamStats`.
    RemoteOutboundRtp(RemoteOutboundRtpStats),
    /// `RTCMediaSourceStats`.
    MediaSource(MediaSourceStats),
    /// `RTCCertificateStats`.
    Certificate(CertificateStats),
}

/// `RTCPeerConnectionStats`.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "camelCase"))]
pub struct PeerConnectionStats {
    /// Channels that have ever been open.
    pub data_channels_opened: u64,
    /// Of those, the ones that are closed.
    pub data_channels_closed: u64,
}

/// `RTCTransportStats`: the one transport that everything shares.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "camelCase"))]
pub struct TransportStats {
    /// Datagrams sent, ICE's own included.
    pub packets_sent: u64,
    /// Datagrams received.
    pub packets_received: u64,
    /// Bytes sent, without UDP and IP headers.
    pub bytes_sent: u64,
    /// Bytes received, likewise.
    pub bytes_received: u64,
    /// Who nominates: `controlling` or `controlled`.
    pub ice_role: &'static str,
    /// Our username fragment.
    pub ice_local_username_fragment: String,
    /// The state of DTLS.
    #[cfg_attr(feature = "serde", serde(serialize_with = "as_display"))]
    pub dtls_state: DtlsTransportState,
    /// The state of ICE.
    #[cfg_attr(feature = "serde", serde(serialize_with = "as_display"))]
    pub ice_state: IceConnectionState,
    /// The id of the pair that carries data.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub selected_candidate_pair_id: Option<String>,
    /// The version negotiated, as four hexadecimal digits: `FEFC` is DTLS 1.3, `FEFD` 1.2.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub tls_version: Option<String>,
    /// The cipher suite negotiated, by its IANA name.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub dtls_cipher: Option<String>,
    /// The SRTP profile negotiated, by its name in RFC 5764 or RFC 7714.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub srtp_cipher: Option<&'static str>,
    /// The id of our certificate's object.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub local_certificate_id: Option<&'static str>,
    /// The id of the peer's certificate's object.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub remote_certificate_id: Option<&'static str>,
    /// `client` or `server`, once known.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub dtls_role: Option<&'static str>,
    /// How often the selected pair changed.
    pub selected_candidate_pair_changes: u64,
    /// Datagrams received and dropped: of no protocol that is spoken here, or from where ICE has not verified a path; and RTP and
    /// RTCP before there were keys. (Neither this nor what follows is in the W3C's dictionary.)
    pub packets_discarded: u64,
    /// RTP and RTCP dropped because it was not authentic, had come before, or was none behind its protection.
    pub srtp_packets_discarded: u64,
    /// RTP dropped because it was of no stream that was agreed on.
    pub unknown_stream_packets: u64,
    /// Congestion control feedback packets sent (RFC 8888).
    pub ccfb_messages_sent: u64,
    /// Congestion control feedback packets received.
    pub ccfb_messages_received: u64,
    /// What the peer's feedback has told of the packets sent; none before there was any.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub feedback: Option<FeedbackStats>,
}

/// What feedback on packets amounts to: the peer tells of each RTP packet whether it has come, and when, whatever its stream
/// (draft-holmer-rmcat-transport-wide-cc-extensions-01) or by its stream (RFC 8888). Not in the W3C's dictionaries.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "camelCase"))]
pub struct FeedbackStats {
    /// Packets of ours that the peer has received.
    pub packets_received: u64,
    /// Their bytes, without UDP and IP headers.
    pub bytes_received: u64,
    /// Packets of ours that had not come when the peer told of those after them.
    pub packets_lost: u64,
    /// How much longer the latest packet took than the quickest that was told of with it, in seconds: the queue on the way, as it
    /// grows or shrinks.
    pub queueing_delay: f64,
}

/// `RTCIceCandidatePairStats`.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "camelCase"))]
pub struct CandidatePairStats {
    /// The id of the transport's object.
    pub transport_id: &'static str,
    /// The id of our candidate's object.
    pub local_candidate_id: String,
    /// The id of the peer's candidate's object.
    pub remote_candidate_id: String,
    /// `frozen`, `waiting`, `in-progress`, `succeeded` or `failed`.
    pub state: &'static str,
    /// True if the controlling side settled on it.
    pub nominated: bool,
    /// True for the pair that carries data (not in the W3C's dictionary; the transport names it too).
    #[cfg_attr(feature = "serde", serde(skip))]
    pub selected: bool,
    /// Datagrams of data sent.
    pub packets_sent: u64,
    /// Datagrams of data received.
    pub packets_received: u64,
    /// Bytes of data sent.
    pub bytes_sent: u64,
    /// Bytes of data received.
    pub bytes_received: u64,
    /// The sum of all round-trip times, in seconds.
    pub total_round_trip_time: f64,
    /// The latest round-trip time, in seconds.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub current_round_trip_time: Option<f64>,
    /// What the path takes, in bits a second, by the peer's feedback or its own word: of the pair that carries data.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub available_outgoing_bitrate: Option<f64>,
    /// Checks received.
    pub requests_received: u64,
    /// Checks sent.
    pub requests_sent: u64,
    /// Responses received.
    pub responses_received: u64,
    /// Responses sent.
    pub responses_sent: u64,
    /// Checks for consent sent.
    pub consent_requests_sent: u64,
}

/// `RTCIceCandidateStats`.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "camelCase"))]
pub struct CandidateStats {
    /// The id of the transport's object.
    pub transport_id: &'static str,
    /// The IP address; none if it hides behind a name.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub address: Option<String>,
    /// The port.
    pub port: u16,
    /// `udp` or `tcp`.
    pub protocol: &'static str,
    /// Who opens the connection, over TCP: `active`, `passive` or `so`.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub tcp_type: Option<&'static str>,
    /// `host`, `srflx`, `prflx` or `relay`.
    pub candidate_type: &'static str,
    /// The candidate's priority (RFC 8445 §5.1.2).
    pub priority: u32,
    /// The candidate's foundation.
    pub foundation: String,
    /// The username fragment of its side's credentials (RFC 8445 §5.3).
    pub username_fragment: String,
}

/// `RTCDataChannelStats`.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "camelCase"))]
pub struct DataChannelStats {
    /// The channel's label.
    pub label: String,
    /// The channel's protocol.
    pub protocol: String,
    /// The channel's id, once known.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub data_channel_identifier: Option<u16>,
    /// The channel's state.
    #[cfg_attr(feature = "serde", serde(serialize_with = "as_display"))]
    pub state: DataChannelState,
    /// Messages sent.
    pub messages_sent: u64,
    /// Bytes of messages sent.
    pub bytes_sent: u64,
    /// Messages received.
    pub messages_received: u64,
    /// Bytes of messages received.
    pub bytes_received: u64,
}

#[cfg(feature = "serde")]
fn as_display<T: std::fmt::Display, S: serde::Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// A report is the array of its objects; browsers' maps have the same objects as values.
#[cfg(feature = "serde")]
impl serde::Serialize for StatsReport {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.stats.serialize(serializer)
    }
}

pub(crate) const TRANSPORT_ID: &str = "T01";
const LOCAL_CERTIFICATE_ID: &str = "CFL";
const REMOTE_CERTIFICATE_ID: &str = "CFR";

impl Connection {
    /// `getStats()`: everything counted so far.
    #[must_use]
    pub fn stats(&self, now: Instant) -> StatsReport {
        let timestamp = self.timestamp(now);
        let ours = &self.ice.local_credentials().ufrag;
        let mut report = Report {
            timestamp,
            ufrags: [Some(ours), self.ice.remote_credentials().map(|theirs| &theirs.ufrag)]
                .map(|ufrag| ufrag.cloned().unwrap_or_default()),
            available_outgoing_bitrate: self
                .upper
                .media
                .as_ref()
                .and_then(|media| media.available_outgoing_bitrate())
                .map(|bitrate| bitrate as f64),
            stats: Vec::new(),
        };
        report.add(
            "P".into(),
            StatsKind::PeerConnection(PeerConnectionStats {
                data_channels_opened: self.counters.channels_opened,
                data_channels_closed: self.counters.channels_closed,
            }),
        );
        let mut selected = None;
        for pair in self.ice.candidate_pairs() {
            let id = format!("CP{:?}", pair.pair.id).replace(|c: char| !c.is_ascii_alphanumeric(), "");
            if pair.selected {
                selected = Some(id.clone());
            }
            report.add_pair(id, &pair);
        }
        report.add(
            TRANSPORT_ID.into(),
            StatsKind::Transport(self.transport_stats(selected)),
        );
        for (id, channel) in self.upper.channels.iter() {
            let counters = channel.stats();
            report.add(
                format!("D{}", id.as_u32()),
                StatsKind::DataChannel(DataChannelStats {
                    label: channel.label().to_owned(),
                    protocol: channel.protocol().to_owned(),
                    data_channel_identifier: channel.id(),
                    state: crate::channels::state(channel.state()),
                    messages_sent: counters.messages_sent,
                    bytes_sent: counters.bytes_sent,
                    messages_received: counters.messages_received,
                    bytes_received: counters.bytes_received,
                }),
            );
        }
        self.add_media(now, &mut report);
        self.add_certificates(&mut report);
        StatsReport { stats: report.stats }
    }

    fn add_media(&self, now: Instant, report: &mut Report) {
        let Some(media) = &self.upper.media else {
            return;
        };
        let tracks = |transceiver| self.track_ids(transceiver);
        let timestamp = |at| self.timestamp(at);
        media.stats(now, tracks, timestamp, |id, kind| report.add_once(id, kind));
    }

    fn add_certificates(&self, report: &mut Report) {
        let Some(dtls) = &self.upper.dtls else {
            return;
        };
        let ders = [
            (LOCAL_CERTIFICATE_ID, Some(dtls.local_certificate().der())),
            (REMOTE_CERTIFICATE_ID, dtls.peer_certificate_der()),
        ];
        for (id, der) in ders {
            let Some(der) = der else { continue };
            let fingerprint = Fingerprint::of(der, HashAlgorithm::Sha256);
            let hex: Vec<_> = fingerprint.value.iter().map(|byte| format!("{byte:02X}")).collect();
            let stats = CertificateStats {
                fingerprint: hex.join(":"),
                fingerprint_algorithm: "sha-256".to_owned(),
                base64_certificate: BASE64_STANDARD.encode(der),
            };
            report.add(id.to_owned(), StatsKind::Certificate(stats));
        }
    }

    fn transport_stats(&self, selected_candidate_pair_id: Option<String>) -> TransportStats {
        let connected = self.upper.dtls.as_ref().filter(|dtls| dtls.is_connected());
        let media = self.upper.media.as_ref();
        let counted = media.map(|media| media.counters()).unwrap_or_default();
        TransportStats {
            packets_sent: self.counters.packets_sent,
            packets_received: self.counters.packets_received,
            bytes_sent: self.counters.bytes_sent,
            bytes_received: self.counters.bytes_received,
            ice_role: match self.ice.role() {
                ice::Role::Controlling => "controlling",
                ice::Role::Controlled => "controlled",
            },
            ice_local_username_fragment: self.ice.local_credentials().ufrag.clone(),
            dtls_state: self.dtls_transport_state(),
            ice_state: self.ice_connection_state(),
            selected_candidate_pair_id,
            tls_version: connected
                .and_then(|dtls| dtls.version())
                .map(|version| format!("{:04X}", version.0)),
            dtls_cipher: connected
                .and_then(|dtls| dtls.cipher_suite())
                .map(|suite| format!("TLS_{suite:?}")),
            srtp_cipher: connected
                .and_then(|dtls| dtls.srtp_profile())
                .and_then(|profile| peerline_srtp::Profile::from_number(profile.0))
                .map(peerline_srtp::Profile::name),
            local_certificate_id: self.upper.dtls.as_ref().map(|_| LOCAL_CERTIFICATE_ID),
            remote_certificate_id: self
                .upper
                .dtls
                .as_ref()
                .and_then(|dtls| dtls.peer_certificate_der())
                .map(|_| REMOTE_CERTIFICATE_ID),
            dtls_role: self.upper.dtls.as_ref().map(|dtls| match dtls.role() {
                peerline_dtls::Role::Client => "client",
                peerline_dtls::Role::Server => "server",
            }),
            selected_candidate_pair_changes: self.counters.selected_pair_changes,
            packets_discarded: self.counters.dropped + counted.without_keys,
            srtp_packets_discarded: counted.unprotect_failures,
            unknown_stream_packets: counted.unknown_streams,
            ccfb_messages_sent: counted.ccfb_sent,
            ccfb_messages_received: counted.ccfb_received,
            feedback: media.and_then(|media| media.feedback()),
        }
    }

    pub(crate) fn timestamp(&self, now: Instant) -> f64 {
        let since_birth = match self.config.wall_clock {
            Some((instant, wall)) => {
                let at_instant = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                at_instant + now.saturating_duration_since(instant)
            }
            None => now.saturating_duration_since(self.born),
        };
        milliseconds(since_birth)
    }
}

/// A report in the making: candidates are added once, however many pairs they are in.
struct Report {
    timestamp: f64,
    /// Ours and the peer's.
    ufrags: [String; 2],
    available_outgoing_bitrate: Option<f64>,
    stats: Vec<Stats>,
}

impl Report {
    fn add(&mut self, id: String, kind: StatsKind) {
        self.stats.push(Stats {
            id,
            timestamp: self.timestamp,
            kind,
        });
    }

    /// Adds an object that others refer to, unless it is there.
    fn add_once(&mut self, id: String, kind: StatsKind) {
        if !self.stats.iter().any(|stats| stats.id == id) {
            self.add(id, kind);
        }
    }

    fn add_pair(&mut self, id: String, pair: &ice::CandidatePairStats) {
        let local_candidate_id = self.add_candidate("L", 0, &pair.pair.local, StatsKind::LocalCandidate);
        let remote_candidate_id = self.add_candidate("R", 1, &pair.pair.remote, StatsKind::RemoteCandidate);
        let counters = &pair.counters;
        self.add(
            id,
            StatsKind::CandidatePair(CandidatePairStats {
                transport_id: TRANSPORT_ID,
                local_candidate_id,
                remote_candidate_id,
                state: match pair.state {
                    ice::PairState::Frozen => "frozen",
                    ice::PairState::Waiting => "waiting",
                    ice::PairState::InProgress => "in-progress",
                    ice::PairState::Succeeded => "succeeded",
                    ice::PairState::Failed => "failed",
                },
                nominated: pair.pair.nominated,
                selected: pair.selected,
                packets_sent: counters.packets_sent,
                packets_received: counters.packets_received,
                bytes_sent: counters.bytes_sent,
                bytes_received: counters.bytes_received,
                total_round_trip_time: counters.total_round_trip_time.as_secs_f64(),
                current_round_trip_time: counters.current_round_trip_time.map(|time| time.as_secs_f64()),
                available_outgoing_bitrate: self.available_outgoing_bitrate.filter(|_| pair.selected),
                requests_received: counters.requests_received,
                requests_sent: counters.requests_sent,
                responses_received: counters.responses_received,
                responses_sent: counters.responses_sent,
                consent_requests_sent: counters.consent_requests_sent,
            }),
        );
    }

    fn add_candidate(
        &mut self,
        prefix: &str,
        side: usize,
        candidate: &ice::Candidate,
        kind: impl FnOnce(CandidateStats) -> StatsKind,
    ) -> String {
        let transport = match candidate.transport {
            peerline_wire::Transport::Udp => "udp",
            peerline_wire::Transport::Tcp => "tcp",
        };
        let id = format!("{prefix}{}{transport}{}", candidate.kind, candidate.address);
        if self.stats.iter().any(|stats| stats.id == id) {
            return id;
        }
        let (address, port) = match &candidate.address {
            ice::CandidateAddress::Ip(address) => (Some(SocketAddr::ip(address).to_string()), address.port()),
            ice::CandidateAddress::Name(_, port) => (None, *port),
        };
        let stats = CandidateStats {
            transport_id: TRANSPORT_ID,
            address,
            port,
            protocol: transport,
            tcp_type: candidate.tcp_type.map(ice::TcpType::as_str),
            candidate_type: candidate.kind.as_str(),
            priority: candidate.priority,
            foundation: candidate.foundation.clone(),
            username_fragment: self.ufrags[side].clone(),
        };
        self.add(id.clone(), kind(stats));
        id
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

//! Candidates between their two shapes: SDP's attribute (RFC 8839 §5.1) and ICE's.

use std::net::SocketAddr;

use peerline_ice as ice;
use peerline_sdp::attribute as sdp;
use peerline_wire::Transport;

/// A candidate as it is signalled, with the username fragment that tells its generation (RFC 8838 §15).
pub(crate) fn to_sdp(candidate: &ice::Candidate, ufrag: &str) -> sdp::Candidate {
    let (address, port) = match &candidate.address {
        ice::CandidateAddress::Ip(address) => (sdp::CandidateAddress::Ip(address.ip()), address.port()),
        ice::CandidateAddress::Name(name, port) => (sdp::CandidateAddress::Name(name.clone()), *port),
    };
    sdp::Candidate {
        foundation: candidate.foundation.clone(),
        component: candidate.component,
        transport: match candidate.transport {
            Transport::Udp => "udp".into(),
            Transport::Tcp => "tcp".into(),
        },
        priority: candidate.priority,
        address,
        port,
        kind: match candidate.kind {
            ice::CandidateKind::Host => sdp::CandidateKind::Host,
            ice::CandidateKind::ServerReflexive => sdp::CandidateKind::ServerReflexive,
            ice::CandidateKind::PeerReflexive => sdp::CandidateKind::PeerReflexive,
            ice::CandidateKind::Relayed => sdp::CandidateKind::Relayed,
        },
        related_address: candidate.related.map(|related| sdp::CandidateAddress::Ip(related.ip())),
        related_port: candidate.related.map(|related| related.port()),
        tcp_type: candidate.tcp_type.map(|tcp_type| match tcp_type {
            ice::TcpType::Active => sdp::TcpType::Active,
            ice::TcpType::Passive => sdp::TcpType::Passive,
            ice::TcpType::SimultaneousOpen => sdp::TcpType::So,
        }),
        extensions: vec![("ufrag".into(), ufrag.into())],
    }
}

/// A signalled candidate as ICE takes it, or `None` for one that is of no use here: of a component of its own for RTCP, of an
/// unknown transport or kind.
pub(crate) fn from_sdp(candidate: &sdp::Candidate) -> Option<ice::Candidate> {
    if candidate.component != 1 {
        return None;
    }
    Some(ice::Candidate {
        foundation: candidate.foundation.clone(),
        component: candidate.component,
        transport: if candidate.is_udp() {
            Transport::Udp
        } else if candidate.is_tcp() {
            Transport::Tcp
        } else {
            return None;
        },
        priority: candidate.priority,
        address: match &candidate.address {
            sdp::CandidateAddress::Ip(ip) => ice::CandidateAddress::Ip(SocketAddr::new(*ip, candidate.port)),
            sdp::CandidateAddress::Name(name) => ice::CandidateAddress::Name(name.clone(), candidate.port),
        },
        kind: match &candidate.kind {
            sdp::CandidateKind::Host => ice::CandidateKind::Host,
            sdp::CandidateKind::ServerReflexive => ice::CandidateKind::ServerReflexive,
            sdp::CandidateKind::PeerReflexive => ice::CandidateKind::PeerReflexive,
            sdp::CandidateKind::Relayed => ice::CandidateKind::Relayed,
            sdp::CandidateKind::Other(_) => return None,
        },
        related: candidate.related(),
        tcp_type: candidate.tcp_type.map(|tcp_type| match tcp_type {
            sdp::TcpType::Active => ice::TcpType::Active,
            sdp::TcpType::Passive => ice::TcpType::Passive,
            sdp::TcpType::So => ice::TcpType::SimultaneousOpen,
        }),
    })
}

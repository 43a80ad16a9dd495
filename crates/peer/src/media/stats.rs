//! The statistics of one sender or receiver: the "stats selection algorithm" (webrtc-pc §8.5).

use peerline_connection::{Stats, StatsKind, StatsReport};

use super::place::Place;
use crate::driver;

/// The objects for which `is_own` holds, given the transceiver's `mid`, "and all stats objects referenced directly or indirectly by"
/// them.
pub(super) fn of(place: &Place, is_own: impl Fn(&StatsKind, &str) -> bool) -> StatsReport {
    let (report, mid) = {
        let state = place.anchor.lock();
        let transceiver = state.connection.transceiver(place.id);
        let mid = transceiver.and_then(|transceiver| transceiver.mid().map(str::to_owned));
        (state.connection.stats(driver::now()), mid)
    };
    let Some(mid) = mid else {
        return StatsReport::default();
    };
    let mut rest = report.stats;
    let mut wanted: Vec<Stats> = rest.extract_if(.., |stats| is_own(&stats.kind, &mid)).collect();
    let mut seen = 0;
    while seen < wanted.len() {
        let named: Vec<String> = references(&wanted[seen].kind).into_iter().map(str::to_owned).collect();
        wanted.extend(rest.extract_if(.., |stats| named.contains(&stats.id)));
        seen += 1;
    }
    StatsReport { stats: wanted }
}

/// The ids of the objects that an object refers to.
fn references(kind: &StatsKind) -> Vec<&str> {
    let mut ids: Vec<&str> = Vec::new();
    match kind {
        StatsKind::OutboundRtp(stats) => {
            ids.push(stats.transport_id);
            ids.extend(stats.codec_id.as_deref());
            ids.extend(stats.media_source_id.as_deref());
            ids.extend(stats.remote_id.as_deref());
        }
        StatsKind::InboundRtp(stats) => {
            ids.push(stats.transport_id);
            ids.extend(stats.codec_id.as_deref());
            ids.extend(stats.remote_id.as_deref());
        }
        StatsKind::RemoteInboundRtp(stats) => {
            ids.push(stats.transport_id);
            ids.extend(stats.codec_id.as_deref());
        }
        StatsKind::RemoteOutboundRtp(stats) => {
            ids.push(stats.transport_id);
            ids.extend(stats.codec_id.as_deref());
        }
        StatsKind::Codec(stats) => ids.push(stats.transport_id),
        StatsKind::Transport(stats) => {
            ids.extend(stats.selected_candidate_pair_id.as_deref());
            ids.extend(stats.local_certificate_id);
            ids.extend(stats.remote_certificate_id);
        }
        StatsKind::CandidatePair(stats) => {
            ids.extend([&*stats.local_candidate_id, &*stats.remote_candidate_id]);
        }
        StatsKind::PeerConnection(_)
        | StatsKind::LocalCandidate(_)
        | StatsKind::RemoteCandidate(_)
        | StatsKind::DataChannel(_)
        | StatsKind::MediaSource(_)
        | StatsKind::Certificate(_) => {}
    }
    ids
}

//! What fuzzing of packets has found interesting, replayed.

use peerline_rtp::fuzzing;
use peerline_sim::replay;

#[test]
fn rtp() {
    replay("rtp", fuzzing::rtp);
}

#[test]
fn rtcp() {
    replay("rtcp", fuzzing::rtcp);
}

//! What fuzzing has found interesting, replayed.

use peerline_sim::replay;
use peerline_srtp::fuzzing;

#[test]
fn srtp() {
    replay("srtp", fuzzing::rtp);
}

#[test]
fn srtcp() {
    replay("srtcp", fuzzing::rtcp);
}

//! What fuzzing has found interesting, replayed.

use peerline_sctp::fuzzing;
use peerline_sim::replay;

#[test]
fn sctp_packet() {
    replay("sctp_packet", fuzzing::packet);
}

#[test]
fn sctp_association() {
    replay("sctp_association", fuzzing::association);
}

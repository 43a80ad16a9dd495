//! What fuzzing has found interesting, replayed.

use peerline_dtls::fuzzing;
use peerline_sim::replay;

#[test]
fn dtls_record() {
    replay("dtls_record", fuzzing::record);
}

#[test]
fn dtls_handshake() {
    replay("dtls_handshake", fuzzing::handshake);
}

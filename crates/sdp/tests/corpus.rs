//! What fuzzing has found interesting, and the samples, replayed.

use peerline_sdp::fuzzing;
use peerline_sim::{replay, replay_folder};
use std::path::Path;

#[test]
fn sdp() {
    replay("sdp", fuzzing::description);
    replay_folder(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples"),
        fuzzing::description,
    );
}

#[test]
fn sdp_candidate() {
    replay("sdp_candidate", fuzzing::candidate);
}

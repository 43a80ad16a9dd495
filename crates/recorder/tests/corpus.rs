//! What fuzzing has found interesting, and the samples, replayed.

use peerline_recorder::fuzzing;
use peerline_sim::{replay, replay_folder};
use std::path::Path;

#[test]
fn player() {
    replay("player", fuzzing::player);
    replay_folder(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("../rtp/tests/files"),
        fuzzing::player,
    );
}

#[test]
fn recorded_frame() {
    replay("recorded_frame", fuzzing::frame);
}

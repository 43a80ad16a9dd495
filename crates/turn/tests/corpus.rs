//! What fuzzing starts from and has found interesting, replayed.

use peerline_sim::replay;
use peerline_turn::fuzzing;

#[test]
fn streams() {
    replay("turn_stream", fuzzing::stream);
}

#[test]
fn clients() {
    replay("turn_client", fuzzing::client);
}

#[test]
fn servers() {
    replay("turn_server", fuzzing::server);
}

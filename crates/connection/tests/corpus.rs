//! What fuzzing has found interesting, replayed.

use peerline_connection::fuzzing;
use peerline_sim::replay;

#[test]
fn connection() {
    replay("connection", fuzzing::connection);
}

#[test]
fn negotiation() {
    replay("negotiation", fuzzing::negotiation);
}

#[test]
fn answers() {
    replay("answers", fuzzing::answers);
}

#[test]
fn call() {
    replay("call", fuzzing::call);
}

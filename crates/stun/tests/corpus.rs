//! What fuzzing has found interesting, replayed.

use peerline_sim::replay;
use peerline_stun::fuzzing;

#[test]
fn stun() {
    replay("stun", fuzzing::message);
}

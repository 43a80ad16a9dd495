//! What fuzzing of the payload formats has found interesting, replayed.

use peerline_rtp::payload::fuzzing;
use peerline_sim::replay;

#[test]
fn payload_audio() {
    replay("payload_audio", fuzzing::audio);
}

#[test]
fn payload_vp8() {
    replay("payload_vp8", fuzzing::vp8);
}

#[test]
fn payload_vp9() {
    replay("payload_vp9", fuzzing::vp9);
}

#[test]
fn payload_h264() {
    replay("payload_h264", fuzzing::h264);
}

#[test]
fn payload_h265() {
    replay("payload_h265", fuzzing::h265);
}

#[test]
fn payload_av1() {
    replay("payload_av1", fuzzing::av1);
}

#[test]
fn payload_wrapped() {
    replay("payload_wrapped", fuzzing::wrapped);
}

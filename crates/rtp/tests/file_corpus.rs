//! What fuzzing of the file readers has found interesting, replayed.

use peerline_rtp::file::fuzzing;
use peerline_sim::replay;

#[test]
fn file_ivf() {
    replay("file_ivf", fuzzing::ivf);
}

#[test]
fn file_ogg() {
    replay("file_ogg", fuzzing::ogg);
}

#[test]
fn file_annex_b() {
    replay("file_annex_b", fuzzing::annex_b);
}

#[test]
fn file_wav() {
    replay("file_wav", fuzzing::wav);
}

#[test]
fn file_rtpdump() {
    replay("file_rtpdump", fuzzing::rtpdump);
}

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

#[test]
fn sctp_interleaving() {
    replay("sctp_interleaving", fuzzing::interleaving);
    // What makes an association in DATA go deep does the same to one in I-DATA, if the chunks are those of I-DATA.
    replay("sctp_association", |bytes| {
        let bytes: Vec<u8> = bytes.iter().map(|&byte| if byte == 192 { 194 } else { byte }).collect();
        fuzzing::interleaving(&bytes);
    });
}

//! The fuzzers' corpora, replayed.

use peerline_sctp::fuzzing;

fn replay(target: &str, body: fn(&[u8])) {
    let folder = format!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/{}"), target);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect(&folder)
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{folder} is empty");
    for file in files {
        println!("{}", file.display());
        body(&std::fs::read(&file).unwrap());
    }
}

#[test]
fn sctp_packet() {
    replay("sctp_packet", fuzzing::packet);
}

#[test]
fn sctp_association() {
    replay("sctp_association", fuzzing::association);
}

//! The fuzzers' corpora, replayed.

use peerline_dtls::fuzzing;

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
fn dtls_record() {
    replay("dtls_record", fuzzing::record);
}

#[test]
fn dtls_handshake() {
    replay("dtls_handshake", fuzzing::handshake);
}

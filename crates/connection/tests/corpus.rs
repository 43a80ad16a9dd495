//! What fuzzing has found interesting, replayed.

#[test]
fn connection() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/connection");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("the corpus is there") {
        let path = entry.expect("an entry").path();
        peerline_connection::fuzzing::connection(&std::fs::read(&path).expect("a file"));
        count += 1;
    }
    assert!(count > 0, "{folder} is empty");
}

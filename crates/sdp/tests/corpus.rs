//! Runs the bodies of the fuzz targets over the corpus, and over the samples.

use peerline_sdp::fuzzing;
use std::fs;
use std::path::Path;

fn replay(folder: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let count = files
        .map(|file| file.expect("an entry").path())
        .filter(|path| path.is_file())
        .map(|path| target(&fs::read(path).expect("a file that can be read")))
        .count();
    assert!(count > 0, "{} is empty", folder.display());
}

#[test]
fn sdp() {
    replay("../../fuzz/corpus/sdp", fuzzing::description);
    replay("tests/samples", fuzzing::description);
}

#[test]
fn sdp_candidate() {
    replay("../../fuzz/corpus/sdp_candidate", fuzzing::candidate);
}

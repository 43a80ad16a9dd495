//! The fuzzers' corpora, for stable tests to replay.

use std::path::Path;

/// Runs the body of a fuzz target over each file of its corpus in `fuzz/corpus`, and prints the file's name before.
///
/// # Panics
/// If the corpus is missing or empty, and wherever `body` does.
pub fn replay(target: &str, body: fn(&[u8])) {
    replay_folder(
        &Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../fuzz/corpus")
            .join(target),
        body,
    );
}

/// The same for all files of another folder.
///
/// # Panics
/// As [`replay`].
pub fn replay_folder(folder: &Path, body: fn(&[u8])) {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    for file in files {
        println!("{}", file.display());
        body(&std::fs::read(&file).expect("a file that can be read"));
    }
}

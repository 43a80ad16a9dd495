//! Names of files, from names that a remote peer chose.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

const MAX_LEN: usize = 64;
const MAX_TRIES: u32 = 10_000;

/// Creates `NAME.EXTENSION` in `folder`, or `NAME-2.EXTENSION` and so on, where that is taken: no file is overwritten.
pub(crate) fn create(folder: &Path, name: &str, extension: &str) -> io::Result<(PathBuf, File)> {
    let name = safe(name);
    for number in 1..=MAX_TRIES {
        let file = match number {
            1 => format!("{name}.{extension}"),
            number => format!("{name}-{number}.{extension}"),
        };
        let path = folder.join(file);
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Letters, digits, `-` and `_` of ASCII, and dots but at the beginning; anything else becomes `_`: no path, no device, no option.
fn safe(name: &str) -> String {
    let allowed = |(at, letter): (usize, char)| match letter {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '_' => letter,
        '-' | '.' if at > 0 => letter,
        _ => '_',
    };
    let safe: String = name.chars().take(MAX_LEN).enumerate().map(allowed).collect();
    if safe.is_empty() { "track".to_owned() } else { safe }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_their_folder() {
        assert_eq!(safe("../../etc/passwd"), "_._.._etc_passwd");
        assert_eq!(safe("{5f0c-é} 1"), "_5f0c-___1");
        assert_eq!(safe("-rf"), "_rf");
        assert_eq!(safe(""), "track");
        assert_eq!(safe(&"x".repeat(1000)).len(), MAX_LEN);
    }
}

//! Names of files that another one chose.

use std::path::{Path, PathBuf};

/// File systems take 255 bytes, and `.part` has to fit as well.
const MAX_NAME: usize = 200;

/// A name that is one file in the folder where it is used, on every system, whatever the other side has sent.
pub(super) fn safe(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    // Control characters, and those which change the direction of text, make one name look like another.
    let is_odd = |c: char| {
        c.is_control() || matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let fit = |c: char| if is_odd(c) || "<>:\"|?*".contains(c) { '_' } else { c };
    let mut safe: String = last.chars().map(fit).collect();
    while safe.len() > MAX_NAME {
        // The extension is worth more than the middle.
        let middle = safe.char_indices().nth(safe.chars().count() / 2);
        safe.remove(middle.map_or(0, |(at, _)| at));
    }
    // Hidden files are read by programs that nobody started, and Windows drops dots and spaces at the end.
    let safe = safe.trim().trim_start_matches('.').trim_end_matches(['.', ' ']);
    let stem = safe.split('.').next().unwrap_or_default().to_ascii_uppercase();
    let is_device = matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL")
        || (stem.len() == 4
            && (stem.starts_with("COM") || stem.starts_with("LPT"))
            && stem.as_bytes()[3].is_ascii_digit());
    match safe {
        "" => "file".to_owned(),
        safe if is_device => format!("_{safe}"),
        safe => safe.to_owned(),
    }
}

/// Where a file lies that is not whole yet.
pub(super) fn partial(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_in_its_folder() {
        for (given, made) in [
            ("report.pdf", "report.pdf"),
            ("Grüße 🦀.txt", "Grüße 🦀.txt"),
            ("../../etc/passwd", "passwd"),
            ("/etc/passwd", "passwd"),
            ("C:\\Windows\\system.ini", "system.ini"),
            ("..", "file"),
            ("a/..", "file"),
            ("", "file"),
            ("folder/", "file"),
            (".bashrc", "bashrc"),
            ("a\0b\nc\u{1b}[31m", "a_b_c_[31m"),
            ("nul.txt", "_nul.txt"),
            ("COM1", "_COM1"),
            ("a:b?", "a_b_"),
            ("evil\u{202e}fdp.exe", "evil_fdp.exe"),
            ("end. . ", "end"),
        ] {
            assert_eq!(safe(given), made, "{given:?}");
        }
        let long = safe(&format!("{}.pdf", "ä".repeat(400)));
        assert!(long.len() <= MAX_NAME && long.ends_with("ä.pdf"), "{long}");
        assert_eq!(partial(Path::new("d/a.b")), Path::new("d/a.b.part"));
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_sent(name in "\\PC*|[./\\\\ ]*") {
            let name = safe(&name);
            let mut parts = Path::new(&name).components();
            proptest::prop_assert!(matches!(parts.next(), Some(std::path::Component::Normal(_))));
            proptest::prop_assert!(parts.next().is_none());
            proptest::prop_assert!(name.len() <= MAX_NAME + 1);
        }
    }
}

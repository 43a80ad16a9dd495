//! What a test takes of the machine.

/// The resident memory of this process, in bytes; 0 where the system does not tell it, so that who compares two of them there learns
/// nothing.
///
/// # Panics
/// If Linux tells no number.
#[must_use]
pub fn resident_memory() -> u64 {
    if !cfg!(target_os = "linux") {
        return 0;
    }
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux tells it");
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.expect("a number of pages") * 4096
}

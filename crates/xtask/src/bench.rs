//! `cargo xtask bench` (or `versus`): this stack beside others, in one run.

use crate::shell;

/// Builds and runs `tests/versus` in release mode, handing `arguments` on.
pub(crate) fn run(arguments: &[&str]) -> Result<(), String> {
    shell::run(shell::cargo(&["run", "--release", "--package", "peerline-versus", "--"]).args(arguments))
}

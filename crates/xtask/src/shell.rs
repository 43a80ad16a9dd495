//! Running other programs, always from the root of the repository.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Command;

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .canonicalize()
        .expect("the sources are where they were")
}

/// The cargo that runs us, with `arguments`.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    // What cargo has told us of our own package. The build script of `ring` runs again when these change, and all that depends
    // on it: a build by us and one by hand would forever undo each other.
    let ours = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(ours)) {
        command.env_remove(name);
    }
    command
}

/// Runs `command` with our own output; an error names the command.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    announce(command);
    let status = command.status().map_err(|error| failed(command, &error))?;
    if status.success() {
        Ok(())
    } else {
        Err(failed(command, &status))
    }
}

/// Runs `command`, handing each line of its output and errors to `line`; `Ok(false)` if it ran and failed.
pub(crate) fn run_lines(command: &mut Command, mut line: impl FnMut(&str)) -> Result<bool, String> {
    announce(command);
    let (reader, writer) = std::io::pipe().map_err(|error| failed(command, &error))?;
    let errors = writer.try_clone().map_err(|error| failed(command, &error))?;
    let mut child = command
        .stdout(writer)
        .stderr(errors)
        .spawn()
        .map_err(|error| failed(command, &error))?;
    // The command holds copies of the writing end: the pipe ends only when they are gone.
    command
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    for bytes in BufReader::new(reader).split(b'\n').map_while(Result::ok) {
        line(&String::from_utf8_lossy(&bytes));
    }
    let status = child.wait().map_err(|error| failed(command, &error))?;
    Ok(status.success())
}

/// Whether `program` runs at all with `arguments`, quietly.
pub(crate) fn succeeds(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .output()
        .is_ok_and(|output| output.status.success())
}

fn announce(command: &Command) {
    eprintln!("\n$ {}", describe(command));
}

fn failed(command: &Command, why: &dyn std::fmt::Display) -> String {
    format!("{}: {why}", describe(command))
}

fn describe(command: &Command) -> String {
    let program = PathBuf::from(command.get_program());
    let program = program
        .file_name()
        .unwrap_or(program.as_os_str())
        .to_string_lossy()
        .into_owned();
    let words = command.get_args().map(|word| word.to_string_lossy().into_owned());
    std::iter::once(program).chain(words).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_both_streams_arrive_and_failure_is_told() {
        let mut lines = Vec::new();
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; echo err >&2; exit 3"]);
        let success = run_lines(&mut command, |line| lines.push(line.to_owned()));
        assert_eq!(success, Ok(false));
        lines.sort();
        assert_eq!(lines, ["err", "out"]);
    }

    #[test]
    fn a_failing_command_is_named() {
        let error = run(Command::new("sh").args(["-c", "exit 3"])).unwrap_err();
        assert!(error.starts_with("sh -c exit 3: "), "{error}");
        assert!(run(&mut Command::new("a-program-nobody-has")).is_err());
    }
}

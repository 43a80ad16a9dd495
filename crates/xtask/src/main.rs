//! The project's chores, as `cargo xtask <command>`: one module per command, nothing but `std`.
//!
//! | command | what it does |
//! |---|---|
//! | `test` | installs what tests need (or says what is missing), then runs every test of the workspace |
//! | `ci` | format, clippy, docs, `test`, and every fuzz target for a few seconds |
//! | `fuzz [target] [--seconds N]` | fuzzes one target, or each, on stable Rust |
//! | `bench`, `versus` | installs what the others need, then measures this stack beside them: one table |

mod bench;
mod ci;
mod fuzz;
mod network;
mod shell;
mod summary;
mod test;
mod tools;

use std::process::ExitCode;
use std::time::Duration;

const USAGE: &str = "\
usage: cargo xtask <command>

  test                         install what the tests need (apt, as root; else say what is missing), then run all tests
  ci                           format, clippy, docs, test, each fuzz target for a few seconds
  fuzz [target] [--seconds N]  fuzz one target, or each of them, for N seconds (default 60)
  bench | versus [arguments]   this stack beside others, in release mode: one table (--list names its rows)";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["test"] => test::run_and_report(),
        ["ci"] => ci::run(),
        ["fuzz", rest @ ..] => fuzz_arguments(rest).and_then(|(target, time)| fuzz::run(target, time)),
        ["bench" | "versus", rest @ ..] => bench::run(rest),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            if !message.is_empty() {
                eprintln!("{message}");
            }
            ExitCode::FAILURE
        }
    }
}

/// `[target] [--seconds N]`, in either order.
fn fuzz_arguments<'a>(words: &[&'a str]) -> Result<(Option<&'a str>, Duration), String> {
    let (mut target, mut seconds) = (None, 60);
    let mut words = words.iter();
    while let Some(&word) = words.next() {
        match word {
            "--seconds" => {
                let number = words.next().and_then(|number| number.parse().ok());
                seconds = number.ok_or("--seconds wants a number")?;
            }
            _ if word.starts_with('-') || target.is_some() => return Err(USAGE.to_owned()),
            _ => target = Some(word),
        }
    }
    Ok((target, Duration::from_secs(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fuzz_arguments_come_in_either_order() {
        let minute = Duration::from_secs(60);
        assert_eq!(fuzz_arguments(&[]), Ok((None, minute)));
        assert_eq!(fuzz_arguments(&["sdp"]), Ok((Some("sdp"), minute)));
        let expected = Ok((Some("sdp"), Duration::from_secs(5)));
        assert_eq!(fuzz_arguments(&["sdp", "--seconds", "5"]), expected);
        assert_eq!(fuzz_arguments(&["--seconds", "5", "sdp"]), expected);
        assert!(fuzz_arguments(&["--seconds"]).is_err());
        assert!(fuzz_arguments(&["--seconds", "x"]).is_err());
        assert!(fuzz_arguments(&["sdp", "stun"]).is_err());
    }
}

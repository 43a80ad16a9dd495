//! `cargo xtask bench` (or `versus`): this stack beside others, in one run.

use crate::{shell, tools};

/// Builds `tests/versus` in release mode with every other stack that can be built here, and runs it with `arguments`.
pub(crate) fn run(arguments: &[&str]) -> Result<(), String> {
    let mut features = Features::default();
    if !ours_alone(arguments) {
        features.add("peers", &[]);
        features.add("openssl", &tools::missing_for_openssl());
        features.add("datachannel", &tools::missing_for_datachannel());
        while let Err(error) = shell::run(&mut features.cargo("build")) {
            // Those that are not Rust alone come last, and fail first.
            features.drop_last(&error)?;
        }
    }
    shell::run(features.cargo("run").arg("--").args(arguments).args(features.notes()))
}

/// Whether only this stack, the machine, and what is a program of its own are asked for, by `--stack`: then the others need not be built.
fn ours_alone(arguments: &[&str]) -> bool {
    let mut asked = arguments.windows(2).filter(|pair| pair[0] == "--stack").peekable();
    asked.peek().is_some() && asked.all(|pair| ["peerline", "floor", "coturn"].contains(&pair[1]))
}

/// What to build with, and why not with what.
#[derive(Default)]
struct Features {
    on: Vec<&'static str>,
    off: Vec<(&'static str, String)>,
}

impl Features {
    fn add(&mut self, feature: &'static str, missing: &[String]) {
        if missing.is_empty() {
            self.on.push(feature);
        } else {
            self.off
                .push((feature, format!("missing here: {}", missing.join(", "))));
        }
    }

    /// Goes on without the last one, unless there is none left that could be to blame.
    fn drop_last(&mut self, error: &str) -> Result<(), String> {
        match self.on.pop() {
            Some(feature) if feature != "peers" => {
                self.off.push((feature, "it does not compile here".to_owned()));
                Ok(())
            }
            _ => Err(error.to_owned()),
        }
    }

    fn cargo(&self, command: &str) -> std::process::Command {
        let features = self.on.join(",");
        let package = ["--release", "--package", "peerline-versus", "--features", &features];
        shell::cargo(&[&[command][..], &package].concat())
    }

    fn notes(&self) -> Vec<String> {
        let note = |(stack, why): &(&str, String)| ["--not-built".to_owned(), format!("{stack}={why}")];
        self.off.iter().flat_map(note).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_built_unless_only_we_are_asked_for() {
        assert!(!ours_alone(&[]));
        assert!(!ours_alone(&["--quick", "--only", "bulk"]));
        assert!(ours_alone(&["--stack", "peerline"]));
        assert!(ours_alone(&["--stack", "peerline", "--quick", "--stack", "floor"]));
        assert!(!ours_alone(&["--stack", "peerline", "--stack", "webrtc"]));
    }

    #[test]
    fn what_cannot_be_built_is_left_out_and_named() {
        let mut features = Features::default();
        features.add("peers", &[]);
        features.add("openssl", &["libssl-dev".to_owned()]);
        features.add("datachannel", &[]);
        assert_eq!(features.on, ["peers", "datachannel"]);
        assert_eq!(features.drop_last("failed"), Ok(()));
        assert_eq!(
            features.notes(),
            [
                "--not-built",
                "openssl=missing here: libssl-dev",
                "--not-built",
                "datachannel=it does not compile here"
            ]
        );
        assert_eq!(features.drop_last("failed"), Err("failed".to_owned()));
    }
}

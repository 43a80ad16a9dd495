//! This stack beside others in one run.
//!
//! ```text
//! cargo run --release -p peerline-versus -- [--quick] [--only <measurement>]… [--stack <stack>]… [--rounds <n>]
//! cargo run --release -p peerline-versus -- --list
//! ```
//!
//! Each measurement of each stack is a child process of its own, so that its memory and CPU time are its own; the stacks
//! take turns, so that a drift of the machine meets all alike. The README says what each row means.

#![forbid(unsafe_code)]

mod arguments;
mod association;
mod bulk;
mod connection;
mod dtls;
mod endpoint;
mod floor;
mod latency;
mod machine;
mod measurement;
mod memory;
mod messages;
mod micro;
mod packets;
mod paths;
mod process;
mod relay;
mod rtp;
mod run;
mod sdp;
mod setup;
mod srtp;
mod stack;
mod stun;
mod table;

use std::io::{self, stdout};
use std::process::ExitCode;

use crate::arguments::Request;

/// Whatever went wrong: it is printed, never handled.
type Error = Box<dyn std::error::Error + Send + Sync>;
type Result<T, E = Error> = std::result::Result<T, E>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.split_first() {
        Some((first, rest)) if first == run::CHILD => run::child(rest),
        Some((first, rest)) if first == endpoint::CLIENT => endpoint::client(rest),
        Some((first, rest)) if first == endpoint::FLOOR_CLIENT => endpoint::floor_client(rest),
        Some((first, _)) if first == relay::SERVER => relay::serve(),
        _ => arguments::parse(&arguments).and_then(|request| match request {
            Request::List => Ok(arguments::list(&mut stdout().lock())?),
            Request::Measure(plan) => run::parent(&plan),
        }),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads it has seen enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

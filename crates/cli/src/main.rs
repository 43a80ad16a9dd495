//! The `peerline` program: see WebRTC in Rust work, in a browser or in a terminal.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

mod loopback;
mod serve;

/// WebRTC in Rust, to be seen working: every protocol written from scratch.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve a page that connects a browser to an echo peer in this process.
    Serve(serve::Options),
    /// Connect two peers in this process over real UDP sockets, with a trace of each step.
    Loopback {
        /// How long to measure throughput, in seconds.
        #[arg(long, default_value_t = 2.0)]
        seconds: f64,
    },
}

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("peerline=info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_writer(std::io::stderr)
        .init();
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("peerline: cannot start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(async {
        match arguments.command {
            Command::Serve(options) => serve::run(options).await,
            Command::Loopback { seconds } => loopback::run(seconds).await,
        }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peerline: {error}");
            ExitCode::FAILURE
        }
    }
}

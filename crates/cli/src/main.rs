//! The `peerline` program: see WebRTC in Rust work, in a browser or in a terminal.

use std::net::SocketAddr;
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
    Serve {
        /// The address to listen on for HTTP.
        #[arg(long, default_value = "127.0.0.1:8080")]
        listen: SocketAddr,
        /// One UDP port for all peers, as for a firewall; 0 takes any free one. Without it each peer has sockets of its own.
        #[arg(long, value_name = "PORT")]
        udp_port: Option<u16>,
    },
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
            Command::Serve { listen, udp_port } => serve::run(listen, udp_port).await,
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

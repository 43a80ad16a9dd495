//! The `peerline` program: see WebRTC in Rust work, in a browser or in a terminal.

use std::path::PathBuf;
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
        #[command(flatten)]
        options: serve::Options,
        /// What publishing and playing streams takes: `Authorization: Bearer TOKEN`. Without it anybody may.
        #[arg(long, env = "PEERLINE_TOKEN", hide_env_values = true)]
        token: Option<String>,
    },
    /// Play a file to whoever connects, by the page or by WHEP (`/whep/play`): IVF, Ogg/Opus, WAV, H.264 or H.265 byte streams.
    Play {
        /// One file with pictures, one with sound, or both.
        #[arg(required = true, num_args = 1..=2)]
        files: Vec<PathBuf>,
        /// Begin again at the end.
        #[arg(long)]
        repeat: bool,
        #[command(flatten)]
        options: serve::Options,
    },
    /// Record each track of whoever connects, by the page or by WHIP (`/whip/record`), to a file.
    Record {
        /// The folder for the files; it is made if it is not there.
        folder: PathBuf,
        #[command(flatten)]
        options: serve::Options,
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
            Command::Serve { options, token } => serve::run(options, token).await,
            Command::Play { files, repeat, options } => {
                let program = serve::Program::new(files, repeat)?;
                serve::play(options, program).await
            }
            Command::Record { folder, options } => {
                let archive = serve::Archive::new(&folder)?;
                serve::record(options, archive).await
            }
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

//! The `peerline` program: see WebRTC in Rust work, in a browser or in a terminal.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use film::Program;
use recording::Archive;
use tracing_subscriber::EnvFilter;
use whip::Endpoint;

mod check;
mod film;
mod host;
mod ice_servers;
mod insight;
mod loopback;
mod progress;
mod recording;
mod serve;
mod transfer;
mod turn;
mod whip;

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
        #[arg(long, visible_alias = "loop")]
        repeat: bool,
        /// Publish it by WHIP to this endpoint, such as `http://127.0.0.1:8080/whip/film`, instead of serving it.
        #[arg(long, value_name = "URL", conflicts_with_all = ["listen", "udp_port", "ice_server", "turn"])]
        to: Option<String>,
        /// What the endpoint asks for: `Authorization: Bearer TOKEN`.
        #[arg(long, env = "PEERLINE_TOKEN", hide_env_values = true)]
        token: Option<String>,
        #[command(flatten)]
        options: serve::Options,
    },
    /// Record whoever connects, by the page or by WHIP (`/whip/record`): sound and pictures to one WebM, or to files of their own.
    Record {
        /// The folder for the files; it is made if it is not there.
        folder: PathBuf,
        /// Each track to a file of its own, also where one file can have sound and pictures.
        #[arg(long)]
        separate: bool,
        /// Record what this endpoint plays by WHEP, such as `http://127.0.0.1:8080/whep/film`, instead of serving.
        #[arg(long, value_name = "URL", conflicts_with_all = ["listen", "udp_port", "ice_server", "turn"])]
        from: Option<String>,
        /// What the endpoint asks for: `Authorization: Bearer TOKEN`.
        #[arg(long, env = "PEERLINE_TOKEN", hide_env_values = true)]
        token: Option<String>,
        #[command(flatten)]
        options: serve::Options,
    },
    /// Say what the network of this machine allows: candidates, servers, how its NAT behaves.
    Check {
        #[command(flatten)]
        options: check::Options,
    },
    /// Run a STUN and TURN server, by UDP and TCP on one port, and by TLS.
    Turn {
        #[command(flatten)]
        options: Box<turn::Options>,
        /// A file in TOML with the same names; what the command line says comes first.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Send a file directly to who has the code that is shown: to `peerline receive`, or to a browser. Encrypted from end to end.
    Send(transfer::SendOptions),
    /// Receive a file from `peerline send`, or from a browser.
    Receive(transfer::ReceiveOptions),
    /// Connect two peers in this process over real UDP sockets, with a trace of each step.
    Loopback {
        /// How long to measure throughput, in seconds.
        #[arg(long, default_value_t = 2.0)]
        seconds: f64,
        #[command(flatten)]
        insight: insight::Options,
    },
}

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("peerline=info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
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
            Command::Play {
                files,
                repeat,
                to,
                token,
                options,
            } => {
                let program = Program::new(files, repeat)?;
                match to {
                    Some(url) => {
                        whip::publish::run(&program, &Endpoint::new(&url, token)?, &options.insight.open()?).await
                    }
                    None => serve::play(options, program).await,
                }
            }
            Command::Record {
                folder,
                separate,
                from,
                token,
                options,
            } => {
                let endpoint = from.map(|url| Endpoint::new(&url, token)).transpose()?;
                let archive = Arc::new(Archive::new(&folder, separate)?);
                match endpoint {
                    Some(endpoint) => whip::watch::run(&archive, &endpoint, &options.insight.open()?).await,
                    None => serve::record(options, archive).await,
                }
            }
            Command::Check { options } => check::run(options).await,
            Command::Turn { options, config } => turn::run(*options, config.as_deref()).await,
            Command::Send(options) => transfer::send(options).await,
            Command::Receive(options) => transfer::receive(options).await,
            Command::Loopback { seconds, insight } => loopback::run(seconds, insight).await,
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

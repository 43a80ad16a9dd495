//! `peerline send` and `peerline receive`: a file goes from one program, or browser, directly to another, encrypted.
//!
//! [`code`] what both sides know; [`room`] where they meet; [`link`] how they connect; [`protocol`] what they say then; [`sender`] and
//! [`receiver`] what they do with files.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use code::{Code, Invitation, Side};
use link::Meeting;
use receiver::Target;
use room::Room;
use sender::Source;

use crate::host::Interruption;
use crate::insight;
use crate::progress::{say, size};
use crate::serve;

mod code;
mod link;
mod name;
mod protocol;
mod receiver;
mod room;
mod sender;

/// Where both sides meet.
#[derive(clap::Args)]
pub(crate) struct Place {
    /// Meet at this running `peerline serve`, such as `https://example.org`, instead of at a small server of this program.
    #[arg(long, value_name = "URL", env = "PEERLINE_VIA", conflicts_with = "listen")]
    via: Option<String>,
    /// Where that small server listens; by default on all addresses, with any free port.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    #[command(flatten)]
    insight: insight::Options,
}

#[derive(clap::Args)]
pub(crate) struct SendOptions {
    /// The file.
    file: PathBuf,
    /// The code or the link that a waiting `peerline receive` has shown. Without it, this side shows them.
    #[arg(long, value_name = "CODE", conflicts_with = "listen")]
    to: Option<String>,
    #[command(flatten)]
    place: Place,
}

#[derive(clap::Args)]
pub(crate) struct ReceiveOptions {
    /// The code or the link that the other side has shown. Without it, this side shows them, and a browser or `peerline send --to` follows.
    code: Option<String>,
    /// The file's name here, or the folder for it; by default the sender's name for it, in this folder.
    #[arg(long, short)]
    output: Option<PathBuf>,
    /// Overwrite what has this name.
    #[arg(long, short)]
    force: bool,
    #[command(flatten)]
    place: Place,
}

type Failure = Box<dyn std::error::Error>;

/// Sends a file to whoever has the code.
pub(crate) async fn send(options: SendOptions) -> Result<(), Failure> {
    let source = Arc::new(Source::open(&options.file)?);
    let what = format!("{} ({}) waits for who has this:", source.name, size(source.size));
    let meeting = options.place.meet(Side::Sender, options.to.as_deref(), &what).await?;
    until_interrupted(meeting.run(move |channel| sender::send(Arc::clone(&source), channel))).await
}

/// Receives a file from whoever has the code.
pub(crate) async fn receive(options: ReceiveOptions) -> Result<(), Failure> {
    let target = Arc::new(Target::new(options.output, options.force));
    let what = "Waiting for a file from who has this:";
    let meeting = options
        .place
        .meet(Side::Receiver, options.code.as_deref(), what)
        .await?;
    until_interrupted(meeting.run(move |channel| receiver::receive(Arc::clone(&target), channel))).await
}

async fn until_interrupted(transfer: impl Future<Output = Result<String, String>>) -> Result<(), Failure> {
    let interruption = Interruption::listen();
    tokio::select! {
        outcome = transfer => {
            say(&outcome?);
            Ok(())
        }
        () = interruption.happened() => Err("interrupted: what has arrived is kept, and the next transfer goes on there".into()),
    }
}

/// A server to meet at.
struct Server {
    /// Its URL for this program, and for others.
    ours: String,
    theirs: String,
}

impl Place {
    /// Joins who has shown `code`; without one, shows a new one, under the line `what`.
    async fn meet(&self, side: Side, code: Option<&str>, what: &str) -> Result<Meeting, Failure> {
        let insight = self.insight.open()?;
        let Some(text) = code else {
            let code = Code::random();
            let server = self.server(&code).await?;
            let room = Room::join(&server.ours, &code.room(), true).await?;
            say(what);
            server.invite(side, &code);
            return Ok(Meeting::new(side, code, server.ours, room, insight));
        };
        let Invitation { code, server } = Invitation::parse(text)?;
        let via = self.via.as_deref().map(code::server).transpose()?;
        let server = server.or(via).ok_or(
            "this code does not say where to meet: take all of what the other side shows, or say it with --via URL",
        )?;
        let room = Room::join(&server, &code.room(), false).await?;
        Ok(Meeting::new(side, code, server, room, insight))
    }

    /// The server that was named, or a small one here, which has only the room of this code.
    async fn server(&self, code: &Code) -> Result<Server, Failure> {
        if let Some(via) = &self.via {
            let url = code::server(via)?;
            return Ok(Server {
                ours: url.clone(),
                theirs: url,
            });
        }
        let listen = self.listen.unwrap_or(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
        let address = serve::meeting_place(listen, &code.room()).await?;
        let (ours, theirs) = match address.ip() {
            ip if !ip.is_unspecified() => (ip, ip),
            IpAddr::V4(_) => (
                Ipv4Addr::LOCALHOST.into(),
                outward(false).unwrap_or(Ipv4Addr::LOCALHOST.into()),
            ),
            IpAddr::V6(_) => (
                Ipv6Addr::LOCALHOST.into(),
                outward(true).unwrap_or(Ipv6Addr::LOCALHOST.into()),
            ),
        };
        let url = |ip| format!("http://{}", SocketAddr::new(ip, address.port()));
        Ok(Server {
            ours: url(ours),
            theirs: url(theirs),
        })
    }
}

impl Server {
    /// Shows how the other side gets here.
    fn invite(&self, side: Side, code: &Code) {
        let server = &self.theirs;
        let address = server.strip_prefix("http://").unwrap_or(server);
        let (page, command) = match side {
            Side::Sender => ("receive", format!("peerline receive {code}@{address}")),
            Side::Receiver => ("send", format!("peerline send FILE --to {code}@{address}")),
        };
        say(&format!("  in a terminal   {command}"));
        say(&format!("  in a browser    {server}/{page}#{code}"));
    }
}

/// The address of this machine from which it would speak to the world. Nothing is sent.
fn outward(is_v6: bool) -> Option<IpAddr> {
    // Addresses for documentation (RFC 5737, RFC 3849), which take the default route.
    let (from, to): (IpAddr, IpAddr) = if is_v6 {
        (Ipv6Addr::UNSPECIFIED.into(), "2001:db8::1".parse().ok()?)
    } else {
        (Ipv4Addr::UNSPECIFIED.into(), "198.51.100.1".parse().ok()?)
    };
    let socket = std::net::UdpSocket::bind((from, 0)).ok()?;
    socket.connect((to, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

//! `peerline serve`: the page, and two ways to reach the echo peer behind it.

use std::io::{ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::get;
use peerline::{Endpoint, Error, ExternalAddress};
use tokio::net::TcpListener;

use crate::film::Program;
use crate::host::Interruption;
use crate::insight;
use crate::recording::Archive;
use ice_servers::IceServers;
use rooms::Rooms;
use visitors::{Role, Visitors};

mod echo;
mod film;
mod fit;
mod forward;
mod ice_servers;
mod page;
mod recording;
mod reply;
pub(crate) mod rooms;
mod stream;
mod visitors;
mod whip;
mod ws;

/// What a client may send in one request or message: a description with hundreds of candidates fits many times.
const MAX_BODY: usize = 256 * 1024;
/// What is read nevertheless: a client that is still sending would not see the error.
const MAX_READ: usize = 1024 * 1024;

/// How long requests under way may take when the program ends.
const FAREWELL: Duration = Duration::from_secs(1);

/// Where and for whom to serve.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The address to listen on for HTTP.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// One UDP port for all peers, as for a firewall; 0 takes any free one. Without it each peer has sockets of its own.
    #[arg(long, value_name = "PORT")]
    udp_port: Option<u16>,
    /// One TCP port for all peers as well, for those in networks that let no UDP pass; 0 takes any free one. They then share a UDP
    /// port, too.
    #[arg(long, value_name = "PORT")]
    tcp_port: Option<u16>,
    /// The address by which peers reach this host, where a NAT maps that to a local one, port by port, as for a machine in a cloud:
    /// `203.0.113.7`, or `10.0.0.5=203.0.113.7` for one of several local addresses. May be repeated.
    #[arg(long, value_name = "ADDRESS")]
    external_address: Vec<ExternalAddress>,
    #[command(flatten)]
    ice_servers: ice_servers::Options,
    #[command(flatten)]
    pub(crate) insight: insight::Options,
}

/// Serves the echo peer until interrupted.
pub(crate) async fn run(options: Options, token: Option<String>) -> Result<(), Box<dyn std::error::Error>> {
    serve(options, token, Role::Echo).await
}

/// Plays files to whoever connects until interrupted.
pub(crate) async fn play(options: Options, program: Program) -> Result<(), Box<dyn std::error::Error>> {
    let program = Arc::new(program);
    let progress = tokio::spawn({
        let program = Arc::clone(&program);
        async move { program.show_progress().await }
    });
    let outcome = serve(options, None, Role::Play(program)).await;
    progress.abort();
    outcome
}

/// Records whoever connects until interrupted.
pub(crate) async fn record(options: Options, archive: Arc<Archive>) -> Result<(), Box<dyn std::error::Error>> {
    serve(options, None, Role::Record(archive)).await
}

async fn serve(options: Options, token: Option<String>, role: Role) -> Result<(), Box<dyn std::error::Error>> {
    ExternalAddress::check(&options.external_address)?;
    let insight = options.insight.open()?;
    let interruption = Interruption::listen();
    let endpoint = endpoint(options.udp_port, options.tcp_port)?;
    let (listener, address) = bind(options.listen).await?;
    let ice_servers = IceServers::new(&options.ice_servers, address, &options.external_address)?;
    announce(address, &ice_servers);
    let visitors = Visitors::new(endpoint, options.external_address, ice_servers.clone(), insight, role);
    let (over, is_over) = tokio::sync::oneshot::channel();
    let rooms = matches!(visitors.role(), Role::Echo).then(|| Rooms::new(None));
    let router = router(&visitors, &ice_servers, token.as_deref(), rooms.as_ref());
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(listener, service).with_graceful_shutdown({
        let visitors = visitors.clone();
        async move {
            interruption.happened().await;
            if let Some(rooms) = rooms {
                rooms.end();
            }
            visitors.dismiss().await;
            let _ = over.send(());
        }
    });
    tokio::select! {
        outcome = server => outcome?,
        () = ice_servers.log() => {}
        // A client that began a request and never ended it does not hold the program.
        () = async { let _ = is_over.await; tokio::time::sleep(FAREWELL).await } => {}
    }
    Ok(())
}

/// A small server for one transfer of a file: its room, and the page for browsers. It serves as long as the program runs.
pub(crate) async fn meeting_place(listen: SocketAddr, room: &str) -> Result<SocketAddr, Box<dyn std::error::Error>> {
    let (listener, address) = bind(listen).await?;
    let rooms = Rooms::new(rooms::RoomName::new(room));
    let router = rooms
        .router()
        .merge(page::transfer())
        .merge(IceServers::default().router())
        .method_not_allowed_fallback(reply::method_not_allowed)
        .fallback(reply::not_found)
        .layer(DefaultBodyLimit::max(MAX_BODY));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

/// Listens for HTTP there; the real address, with the port that was free.
async fn bind(listen: SocketAddr) -> Result<(TcpListener, SocketAddr), String> {
    let bound = TcpListener::bind(listen)
        .await
        .and_then(|listener| listener.local_addr().map(|address| (listener, address)));
    bound.map_err(|error| cannot_listen(listen, &error))
}

/// The ports for all peers, if they are to share any.
fn endpoint(udp_port: Option<u16>, tcp_port: Option<u16>) -> Result<Option<Endpoint>, Error> {
    if udp_port.or(tcp_port).is_none() {
        return Ok(None);
    }
    let [v4, v6] = everywhere(udp_port.unwrap_or(0));
    let endpoint = match Endpoint::bind_all(&[v4, v6]) {
        Err(error) if is_no_ipv6(&error, v6) => Endpoint::bind(v4)?,
        result => result?,
    };
    if let Some(port) = tcp_port {
        let [v4, v6] = everywhere(port);
        endpoint.listen_tcp(v4)?;
        match endpoint.listen_tcp(v6) {
            Err(error) if is_no_ipv6(&error, v6) => {}
            result => drop(result?),
        }
    }
    Ok(Some(endpoint))
}

/// A port on every address of this host.
fn everywhere(port: u16) -> [SocketAddr; 2] {
    [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()].map(|ip: IpAddr| SocketAddr::new(ip, port))
}

/// There is no IPv6 here: IPv4 alone will do.
fn is_no_ipv6(error: &Error, v6: SocketAddr) -> bool {
    matches!(error, Error::Bind { address, kind } if *address == v6 && *kind != ErrorKind::AddrInUse)
}

/// Every interface of the program, as documented in the README.
fn router(visitors: &Visitors, ice_servers: &IceServers, token: Option<&str>, rooms: Option<&Rooms>) -> Router {
    let (role, text) = visitors.role().about();
    let meeting = rooms.map(|rooms| rooms.router().merge(page::rooms()).merge(page::transfer_pages()));
    page::router(role, text)
        .route("/ws", get(ws::upgrade).with_state(visitors.clone()))
        .merge(ice_servers.router())
        .merge(whip::router(visitors.clone(), token))
        .merge(meeting.unwrap_or_default())
        // It is for what the router has already: last.
        .method_not_allowed_fallback(reply::method_not_allowed)
        .fallback(reply::not_found)
        .layer(DefaultBodyLimit::max(MAX_READ))
}

/// Prints the URL, at once also into a pipe. Whoever waits for it may stop reading then, so a failure is none.
fn announce(address: SocketAddr, ice_servers: &IceServers) {
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    let url = format!("http://{}/", SocketAddr::new(ip, address.port()));
    let turn = ice_servers.describe();
    let turn = turn.map_or(String::new(), |urls| {
        format!("It is a STUN and TURN server, too: {urls}\n")
    });
    let text = format!(
        "Peerline is at {url}\n\
         Open it in a browser: the page connects to the peer in this process. Ctrl-C ends it.\n\
         {turn}"
    );
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

fn cannot_listen(listen: SocketAddr, error: &std::io::Error) -> String {
    let advice = match error.kind() {
        ErrorKind::AddrInUse => {
            "another program, perhaps another peerline, listens there: end it, \
             or choose another address, such as --listen 127.0.0.1:0 for any free port"
        }
        ErrorKind::AddrNotAvailable => "this machine has no such address: choose one of its own with --listen",
        ErrorKind::PermissionDenied => "the system reserves this port: choose one from 1024 with --listen",
        _ => "choose another address with --listen",
    };
    format!("cannot listen on {listen}: {error}\n  {advice}")
}

//! A running `peerline serve`, an HTTP client for it, and peers that connect to it.

#![allow(dead_code)] // Each test uses some of it.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use peerline::{Configuration, DataChannel, DataChannelInit, Message, PeerConnection, PeerEvent, SessionDescription};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

pub(crate) mod media;
pub(crate) mod viewer;

pub(crate) const SDP: &str = "application/sdp";
pub(crate) const SDP_FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// Starts the program; what it prints goes to a file.
pub(crate) fn start_into(command: &mut std::process::Command, arguments: &[&str], output: &Path) -> Child {
    let file = File::create(output).expect("a file");
    let process = command
        .args(arguments)
        .env_remove("PEERLINE_VIA")
        .stdin(Stdio::null())
        .stdout(file.try_clone().expect("a handle"))
        .stderr(file)
        .spawn();
    process.expect("the program starts")
}

/// Fails instead of waiting forever.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let Ok(result) = tokio::time::timeout(Duration::from_secs(20), future).await else {
        panic!("too late: {what}");
    };
    result
}

/// Looks again and again until `look` is satisfied. Another process cannot be awaited.
pub(crate) async fn until(what: &str, mut look: impl FnMut() -> Result<(), String>) {
    let mut last = String::new();
    for _ in 0..400 {
        match look() {
            Ok(()) => return,
            Err(error) => last = error,
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what}: {last}");
}

/// A file of the tests of `peerline-rtp`.
pub(crate) fn fixture(name: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../rtp/tests/files")
        .join(name);
    path.to_str().expect("UTF-8").to_owned()
}

/// A folder of a test, removed at its end.
pub(crate) struct Folder(pub(crate) std::path::PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("peerline-{name}-{}", std::process::id())))
    }

    pub(crate) fn text(&self) -> &str {
        self.0.to_str().expect("UTF-8")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Another command of the program, which ends by itself or by a signal. Dropping it ends it.
pub(crate) struct Run(pub(crate) Child);

impl Run {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let process = std::process::Command::new(env!("CARGO_BIN_EXE_peerline"))
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        Self(process.expect("the program starts"))
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(&self.0, name);
    }

    /// Waits for its end: whether it succeeded, and what it printed.
    pub(crate) async fn ended(mut self) -> (bool, String) {
        let mut status = None;
        until("the program ends", || {
            status = self.0.try_wait().expect("it was started");
            status.map(|_| ()).ok_or_else(|| "it runs".into())
        })
        .await;
        let mut text = String::new();
        let (mut stdout, mut stderr) = (
            self.0.stdout.take().expect("piped"),
            self.0.stderr.take().expect("piped"),
        );
        std::io::Read::read_to_string(&mut stdout, &mut text).expect("text");
        std::io::Read::read_to_string(&mut stderr, &mut text).expect("text");
        (status.expect("it ended").success(), text)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn signal(process: &Child, name: &str) {
    let status = std::process::Command::new("kill")
        .args([format!("-{name}"), process.id().to_string()])
        .status();
    assert!(status.expect("kill runs").success());
}

/// The program, serving on a free port. Dropping it ends it.
pub(crate) struct Server {
    pub(crate) process: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(options: &[&str]) -> Self {
        Self::run(&[&["serve"], options].concat())
    }

    /// Another command that serves.
    pub(crate) fn run(arguments: &[&str]) -> Self {
        use std::io::BufRead as _;
        let mut process = std::process::Command::new(env!("CARGO_BIN_EXE_peerline"))
            .args(arguments)
            .args(["--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        // Only the first line is read, and the pipe is closed: the program has to live with that.
        let mut line = String::new();
        let stdout = process.stdout.take().expect("it is piped");
        std::io::BufReader::new(stdout)
            .read_line(&mut line)
            .expect("it is text");
        let url = line.split_whitespace().last().expect("the first line has the URL");
        let address = url.trim_start_matches("http://").trim_end_matches('/');
        let address: SocketAddr = address.parse().expect("the URL has an address");
        assert_ne!(address.port(), 0, "{line}");
        Self { process, address }
    }

    /// Sockets and other files that it has open.
    pub(crate) fn open_files(&self) -> usize {
        let files = std::fs::read_dir(format!("/proc/{}/fd", self.process.id())).expect("it runs");
        files.count()
    }

    pub(crate) fn threads(&self) -> usize {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.process.id())).expect("it runs");
        threads.count()
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(&self.process, name);
    }

    pub(crate) async fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> Reply {
        let body = body.as_ref();
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n",
            self.address
        );
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        let mut stream = TcpStream::connect(self.address).await.expect("the program listens");
        stream.write_all(request.as_bytes()).await.expect("it reads the head");
        stream.write_all(body).await.expect("it reads the body");
        let mut reply = Vec::new();
        soon(path, stream.read_to_end(&mut reply)).await.expect("it answers");
        Reply::parse(&String::from_utf8(reply).expect("it answers in text"))
    }

    pub(crate) async fn post_offer(&self, offer: &str) -> Reply {
        self.request("POST", "/whip/echo", &[("Content-Type", SDP)], offer)
            .await
    }

    pub(crate) async fn patch(&self, location: &str, if_match: &str, fragment: &str) -> Reply {
        let headers = [("Content-Type", SDP_FRAGMENT), ("If-Match", if_match)];
        self.request("PATCH", location, &headers, fragment).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An HTTP response.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Reply {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        let mut lines = head.lines();
        let status = lines
            .next()
            .expect("a status line")
            .split(' ')
            .nth(1)
            .expect("a status");
        let headers = lines.filter_map(|line| line.split_once(": "));
        Self {
            status: status.parse().expect("a number"),
            headers: headers
                .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
                .collect(),
            body: body.to_owned(),
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(given, _)| given == name);
        found.map(|(_, value)| value.as_str())
    }

    /// What was wrong, if this is an error as all interfaces give them.
    pub(crate) fn error(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        error_of(&serde_json::from_str(&self.body).expect("JSON"))
    }
}

pub(crate) fn error_of(message: &Value) -> String {
    message["error"]
        .as_str()
        .unwrap_or_else(|| panic!("no error: {message}"))
        .to_owned()
}

pub(crate) async fn peer() -> PeerConnection {
    let configuration = Configuration {
        loopback: true,
        ..Configuration::default()
    };
    PeerConnection::new(configuration).await.expect("a peer")
}

/// A peer and its channel, not connected yet.
pub(crate) async fn caller() -> (PeerConnection, DataChannel) {
    let pc = peer().await;
    let channel = pc
        .create_data_channel("chat", DataChannelInit::default())
        .expect("a channel");
    (pc, channel)
}

/// An offer with all candidates, set as local description.
pub(crate) async fn complete_offer(pc: &PeerConnection) -> String {
    pc.set_local_description(None).expect("an offer");
    soon("gathering", pc.gathering_complete()).await;
    pc.local_description().expect("it was set").sdp
}

/// A peer connected through WHIP.
pub(crate) struct WhipCall {
    pub(crate) pc: PeerConnection,
    pub(crate) channel: DataChannel,
    pub(crate) location: String,
    pub(crate) etag: String,
    pub(crate) answer: String,
}

impl WhipCall {
    pub(crate) async fn start(server: &Server) -> Self {
        let (pc, channel) = caller().await;
        let reply = server.post_offer(&complete_offer(&pc).await).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        assert_eq!(reply.header("content-type"), Some(SDP));
        pc.set_remote_description(SessionDescription::answer(reply.body.clone()))
            .expect("an answer");
        soon("connecting", channel.opened()).await.expect("an open channel");
        Self {
            pc,
            channel,
            location: reply.header("location").expect("a location").to_owned(),
            etag: reply.header("etag").expect("an entity tag").to_owned(),
            answer: reply.body,
        }
    }
}

/// A peer and its WebSocket.
pub(crate) struct WsCall {
    pub(crate) pc: PeerConnection,
    pub(crate) channel: DataChannel,
    pub(crate) socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl WsCall {
    /// Nothing is said yet.
    pub(crate) async fn new(server: &Server) -> Self {
        let (pc, channel) = caller().await;
        let url = format!("ws://{}/ws", server.address);
        let (socket, _) = soon("upgrading", connect_async(url)).await.expect("a WebSocket");
        Self { pc, channel, socket }
    }

    pub(crate) async fn start(server: &Server) -> Self {
        let mut call = Self::new(server).await;
        call.connect().await;
        call
    }

    /// Offers and trickles both ways until the channel is open.
    pub(crate) async fn connect(&mut self) {
        self.pc.set_local_description(None).expect("an offer");
        let offer = self.pc.local_description().expect("it was set");
        self.say(&json!({ "description": offer })).await;
        let channel = self.channel.clone();
        let opened = channel.opened();
        tokio::pin!(opened);
        soon("connecting", async {
            loop {
                tokio::select! {
                    opened = &mut opened => return opened.expect("an open channel"),
                    event = self.pc.next_event() => {
                        if let Some(PeerEvent::IceCandidate(candidate)) = event {
                            self.say(&json!({ "candidate": candidate })).await;
                        }
                    }
                    message = self.socket.next() => {
                        let message = message.expect("the conversation goes on").expect("a frame");
                        self.take(&serde_json::from_str(message.to_text().expect("text")).expect("JSON"));
                    }
                }
            }
        })
        .await;
    }

    fn take(&self, message: &Value) {
        if let Some(description) = message.get("description") {
            let description = serde_json::from_value(description.clone()).expect("RTCSessionDescriptionInit");
            self.pc.set_remote_description(description).expect("an answer");
        } else if let Some(candidate) = message.get("candidate") {
            let candidate: Option<peerline::IceCandidate> =
                serde_json::from_value(candidate.clone()).expect("RTCIceCandidateInit");
            self.pc.add_ice_candidate(candidate).expect("a candidate");
        } else {
            panic!("unexpected: {message}");
        }
    }

    pub(crate) async fn say(&mut self, message: &Value) {
        self.send(Frame::text(message.to_string())).await;
    }

    pub(crate) async fn send(&mut self, frame: Frame) {
        self.socket.send(frame).await.expect("the program reads");
    }

    pub(crate) async fn hear(&mut self) -> Value {
        let message = soon("a message", self.socket.next()).await.expect("an open WebSocket");
        serde_json::from_str(message.expect("a frame").to_text().expect("text")).expect("JSON")
    }
}

/// Sends messages of every kind, and expects each back as it was.
pub(crate) async fn expect_echo(channel: &DataChannel) {
    let messages = [
        Message::from("hello"),
        Message::from("grüß dich, 世界 🦀"),
        Message::from(""),
        Message::from(vec![0, 1, 2, 255]),
        Message::from(Vec::new()),
        Message::from(vec![0xa5; 16 * 1024]),
        Message::from((0..256 * 1024).map(|n| (n % 251) as u8).collect::<Vec<u8>>()),
        Message::from("ä".repeat(128 * 1024)),
    ];
    for message in messages {
        channel.send(message.clone()).await.expect("an open channel");
        let back = soon("an echo", channel.recv()).await.expect("an open channel");
        assert!(back == message, "another message came back");
    }
}

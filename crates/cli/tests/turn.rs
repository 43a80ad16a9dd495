//! `peerline turn`: coturn's client and our peers are served, on all transports; what a user gets wrong is said.

// Clients are given the time.
#![allow(clippy::disallowed_methods)]

mod common;

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{Folder, Run, soon, until};
use peerline::{
    AddressFilter, Configuration, DataChannelInit, IceServer, IceTransportPolicy, Message, PeerConnection, PeerEvent,
    TlsConfig, default_provider,
};
use peerline_stun::attribute::{ErrorCode, RequestedTransport};
use peerline_turn::client::{self, CloseReason, Event, Failure};
use peerline_turn::{Client, Credentials};
use peerline_wire::{Datagram, FiveTuple};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const REALM: &str = "example.org";

/// A running `peerline turn`. Dropping it ends it.
struct Turn {
    process: Child,
    output: Arc<Mutex<String>>,
    _folder: Folder,
    trusted: Arc<TlsConfig>,
}

impl Turn {
    /// With a user, TLS, and these arguments; `name` is that of the test.
    fn start(name: &str, arguments: &[&str]) -> Self {
        let folder = Folder::new(name);
        std::fs::create_dir_all(&folder.0).expect("a folder");
        let (certificate, key, trusted) = certificate(&folder);
        let given = [
            "--realm",
            REALM,
            "--user",
            "alice:wonderland",
            "--tls-cert",
            &certificate,
            "--tls-key",
            &key,
        ];
        let listen = ["--listen", "127.0.0.1:0", "--listen-tls", "127.0.0.1:0"];
        Self::run(folder, trusted, &[&given[..], &listen, arguments].concat())
    }

    fn run(folder: Folder, trusted: Arc<TlsConfig>, arguments: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_peerline"))
            .arg("turn")
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let output = Arc::new(Mutex::new(String::new()));
        let streams: [Box<dyn Read + Send>; 2] = [
            Box::new(process.stdout.take().expect("piped")),
            Box::new(process.stderr.take().expect("piped")),
        ];
        for stream in streams {
            let output = Arc::clone(&output);
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    *output.lock().expect("the output") += &(line + "\n");
                }
            });
        }
        Self {
            process,
            output,
            _folder: folder,
            trusted,
        }
    }

    fn output(&self) -> String {
        self.output.lock().expect("the output").clone()
    }

    /// What follows this in its output, up to white space, a comma or a query.
    async fn says(&self, text: &str) -> String {
        let mut found = String::new();
        until(text, || {
            let output = self.output();
            let rest = output.split_once(text).map(|(_, rest)| rest.to_owned());
            let end = |c: char| c.is_whitespace() || c == ',' || c == '?';
            let said = rest.as_deref().and_then(|rest| rest.split_once(end));
            found = said.map(|(said, _)| said.to_owned()).ok_or(output)?;
            Ok(())
        })
        .await;
        found
    }

    fn interrupt(&self, name: &str) {
        let id = self.process.id().to_string();
        let status = Command::new("kill").args([format!("-{name}"), id]).status();
        assert!(status.expect("kill runs").success());
    }

    async fn address(&self, scheme: &str) -> SocketAddr {
        self.says(scheme).await.parse().expect("an address")
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The files of a certificate for `localhost` and its key, and whom to trust for it.
fn certificate(folder: &Folder) -> (String, String, Arc<TlsConfig>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let write = |name: &str, text: String| {
        let file = folder.0.join(name);
        std::fs::write(&file, text).expect("a file");
        file.to_str().expect("UTF-8").to_owned()
    };
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("a root");
    let tls = TlsConfig::builder_with_provider(default_provider());
    let tls = tls.with_safe_default_protocol_versions().expect("versions");
    let tls = Arc::new(tls.with_root_certificates(roots).with_no_client_auth());
    let certificate = write("certificate.pem", pem("CERTIFICATE", made.cert.der()));
    let key = write("key.pem", pem("PRIVATE KEY", &made.signing_key.serialize_der()));
    (certificate, key, tls)
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines = text.as_bytes().chunks(64).map(String::from_utf8_lossy);
    let body: String = lines.map(|line| format!("{line}\n")).collect();
    format!("-----BEGIN {label}-----\n{body}-----END {label}-----\n")
}

/// A peer that sends everything back, on a port and the next: the port, and how much has come to both.
fn echo() -> (u16, Arc<AtomicU64>) {
    let count = Arc::<AtomicU64>::default();
    loop {
        let first = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let port = first.local_addr().expect("an address").port();
        let Some(Ok(second)) = port.checked_add(1).map(|next| UdpSocket::bind(("127.0.0.1", next))) else {
            continue;
        };
        for socket in [first, second] {
            let count = Arc::clone(&count);
            std::thread::spawn(move || {
                let mut buffer = [0; 2048];
                while let Ok((len, from)) = socket.recv_from(&mut buffer) {
                    let _ = socket.send_to(&buffer[..len], from);
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        return (port, count);
    }
}

/// A value among the server's counters.
fn counter(metrics: &str, name: &str) -> u64 {
    let lines = metrics
        .lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let value = lines.filter_map(|value| value.parse().ok()).next();
    value.unwrap_or_else(|| panic!("{name}: {metrics}"))
}

/// How many messages coturn's client says it has sent and got back.
fn exchanged(printed: &str) -> Option<(u64, u64)> {
    let line = printed
        .lines()
        .rfind(|line| line.contains("start_mclient: tot_send_msgs="))?;
    let (_, counts) = line.split_once("tot_send_msgs=")?;
    let (sent, received) = counts.split_once(", tot_recv_msgs=")?;
    Some((sent.trim().parse().ok()?, received.trim().parse().ok()?))
}

/// It does not wait long for what is late, and calls that lost: on a busy machine its own count says little. So the server's and the
/// peer's are compared: all that was sent is relayed, and all that comes back as well, while there is a client to take it.
#[tokio::test]
async fn coturns_client_is_served_by_udp_tcp_and_tls_and_has_tcp_to_peers() {
    let metrics = ["--metrics", "127.0.0.1:0"];
    let turn = Turn::start(
        "uclient",
        &[&["--allow-peer", "127.0.0.0/8", "--tcp-relays"], &metrics[..]].concat(),
    );
    let (address, tls) = (turn.address("turn:").await, turn.address("turns:").await);
    let (peer, echoed) = echo();
    let peer = peer.to_string();
    let runs = [
        (address, &["-c"][..]),
        (address, &["-s"]),
        (address, &["-t", "-c"]),
        (address, &["-T"]),
        (tls, &["-t", "-S", "-c"]),
    ];
    // Side by side: each mostly waits. 20 messages of two users each, one every 20 ms.
    let common = "-v -u alice -w wonderland -e 127.0.0.1 -n 20 -m 2 -z 20 -l 170";
    let clients = runs.map(|(address, arguments)| {
        Command::new("turnutils_uclient")
            .args(common.split(' '))
            .args(["-r", &peer, "-p", &address.port().to_string()])
            .args(arguments)
            .arg(address.ip().to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("turnutils_uclient, of coturn, has to be installed for this test")
    });
    let (mut sent, mut lost) = (0, 0);
    for ((_, arguments), client) in runs.iter().zip(clients) {
        let (success, printed) = soon("coturn's client", Run(client).ended()).await;
        let counts = exchanged(&printed);
        // Each user has sent all that it was to, and some of it has come back.
        let Some((its_sent, its_received)) = counts.filter(|(sent, received)| success && *sent >= 40 && *received > 0)
        else {
            panic!("{arguments:?}: {printed}\n{}", turn.output());
        };
        // Over TCP to peers nothing is a datagram.
        if *arguments != ["-T"] {
            sent += its_sent;
            lost += its_sent.saturating_sub(its_received);
        }
    }
    let url = turn.says("http://").await;
    let told = || {
        let mut answer = ureq::get(format!("http://{url}")).call().expect("an answer");
        answer.body_mut().read_to_string().expect("text")
    };
    let relayed = |text: &str, direction: &str| {
        let name = format!("peerline_turn_relayed_datagrams_total{{direction=\"{direction}\"}}");
        counter(text, &name)
    };
    until("all that was sent to reach the peer", || {
        let text = told();
        let counts = (relayed(&text, "to_peers"), echoed.load(Ordering::Relaxed));
        match counts == (sent, sent) {
            true => Ok(()),
            false => Err(format!("{counts:?} of {sent}: {text}")),
        }
    })
    .await;
    let text = told();
    let back = relayed(&text, "to_clients");
    assert!(
        back <= sent && sent - back <= lost,
        "{back} of {sent}, {lost} lost: {text}"
    );
    for name in [
        "overflowed",
        "unpermitted",
        "datagrams_dropped",
        "stream_overflows",
        "wrong_credentials",
    ] {
        assert_eq!(
            counter(&text, &format!("peerline_turn_{name}_total")),
            0,
            "{name}: {text}"
        );
    }
    assert!(text.contains("# TYPE peerline_turn_allocations gauge"), "{text}");
    assert!(counter(&text, "peerline_turn_allocations_total") >= 10, "{text}");
}

/// Two peers that may use nothing but the server.
async fn meet_through(url: &str, trusted: &Arc<TlsConfig>) {
    meet_with(IceServer::turn(url, "alice", "wonderland"), trusted).await;
}

async fn meet_with(server: IceServer, trusted: &Arc<TlsConfig>) {
    let url = server.urls.concat();
    let configuration = || Configuration {
        ice_servers: vec![server.clone()],
        ice_transport_policy: IceTransportPolicy::Relay,
        turn_tls: Some(Arc::clone(trusted)),
        loopback: true,
        address_filter: Some(AddressFilter::only(["127.0.0.1".parse().expect("an address")])),
        ..Configuration::default()
    };
    let alice = PeerConnection::new(configuration()).await.expect("a connection");
    let bob = PeerConnection::new(configuration()).await.expect("a connection");
    let channel = alice
        .create_data_channel("", DataChannelInit::default())
        .expect("a channel");
    alice
        .set_local_description(alice.create_offer().expect("an offer"))
        .expect("it is set");
    alice.gathering_complete().await;
    bob.set_remote_description(alice.local_description().expect("an offer"))
        .expect("it is taken");
    bob.set_local_description(bob.create_answer().expect("an answer"))
        .expect("it is set");
    bob.gathering_complete().await;
    alice
        .set_remote_description(bob.local_description().expect("an answer"))
        .expect("it is taken");
    channel.opened().await.expect("it opens");
    let message: Vec<u8> = (0..200_000_u32).map(|index| index as u8).collect();
    channel.send(message.clone()).await.expect("it is sent");
    let received = loop {
        if let PeerEvent::DataChannel(channel) = bob.next_event().await.expect("news") {
            break channel.recv().await.expect("a message");
        }
    };
    assert!(matches!(received, Message::Binary(bytes) if bytes == message), "{url}");
    let sctp = alice.sctp();
    let pair = sctp.and_then(|sctp| sctp.transport().ice_transport().selected_candidate_pair());
    assert!(
        pair.is_some_and(|pair| pair.local.candidate.contains(" typ relay ")),
        "{url}"
    );
}

/// Their relayed addresses are on the loopback interface: the filter lets them reach each other, and nothing else there.
#[tokio::test]
async fn our_peers_meet_by_udp_tcp_and_tls() {
    let turn = Turn::start("meet", &[]);
    let (address, tls) = (turn.address("turn:").await, turn.address("turns:").await);
    for url in [
        format!("turn:{address}"),
        format!("turn:{address}?transport=tcp"),
        format!("turns:localhost:{}", tls.port()),
    ] {
        soon(&url, meet_through(&url, &turn.trusted)).await;
    }
}

#[tokio::test]
async fn a_file_says_what_the_command_line_does_not_and_signals_end_it() {
    let folder = Folder::new("turn-file");
    std::fs::create_dir_all(&folder.0).expect("a folder");
    let file = folder.0.join("turn.toml");
    let text =
        "listen = [\"127.0.0.1:0\"]\nrealm = \"example.org\"\nuser = \"alice:wonderland\"\nuser-quota = 1\ngrace = 0\n";
    std::fs::write(&file, text).expect("a file");
    let path = file.to_str().expect("UTF-8").to_owned();
    let (_, _, trusted) = certificate(&folder);
    let mut turn = Turn::run(folder, trusted, &["--config", &path, "--realm", "other.example"]);
    let address = turn.address("turn:").await;
    // The realm of the command line, told to whoever asks; the port is open by TCP, too.
    let mut request = b"\x00\x03\x00\x08\x21\x12\xa4\x42".to_vec();
    request.extend_from_slice(&[7; 12]);
    request.extend_from_slice(b"\x00\x19\x00\x04\x11\0\0\0");
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.write_all(&request).expect("an open stream");
    let mut answer = [0; 100];
    stream.read_exact(&mut answer).expect("a challenge");
    assert!(answer.windows(13).any(|part| part == b"other.example"), "{answer:?}");
    turn.interrupt("TERM");
    let mut status = None;
    until("the program ends", || {
        status = turn.process.try_wait().expect("it was started");
        status.map(|_| ()).ok_or_else(|| turn.output())
    })
    .await;
    assert!(status.is_some_and(|status| status.success()), "{}", turn.output());

    std::fs::write(&file, "relm = \"example.org\"\n").expect("a file");
    let (success, printed) = soon("the error", Run::start(&["turn", "--config", &path]).ended()).await;
    assert!(
        !success && printed.contains("relm") && printed.contains("realm"),
        "{printed}"
    );
}

/// A client of the machine, on a socket: one allocation.
struct Caller {
    client: Client,
    socket: tokio::net::UdpSocket,
    events: VecDeque<Event>,
    received: Vec<Vec<u8>>,
}

impl Caller {
    async fn new(server: SocketAddr, credentials: Credentials, adjust: impl FnOnce(&mut client::Config)) -> Self {
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        socket.connect(server).await.expect("a path");
        let path = FiveTuple::udp(socket.local_addr().expect("an address"), server);
        let mut config = client::Config::new(path, credentials);
        config.rng_seed = rand::random();
        adjust(&mut config);
        Self {
            client: Client::new(config),
            socket,
            events: VecDeque::new(),
            received: Vec::new(),
        }
    }

    async fn next(&mut self) -> Event {
        let next = async {
            loop {
                if let Some(event) = self.events.pop_front() {
                    return event;
                }
                self.work(Duration::from_millis(100)).await;
            }
        };
        soon("an event", next).await
    }

    /// Sends what is due, and takes what comes within this time.
    async fn work(&mut self, patience: Duration) {
        let now = Instant::now();
        self.client.handle_timeout(now);
        let mut out = Vec::new();
        while self.client.poll_transmit(now, &mut out).is_some() {
            self.socket.send(&out).await.expect("it is sent");
            out.clear();
        }
        let mut buffer = [0; 2048];
        if let Ok(Ok(len)) = tokio::time::timeout(patience, self.socket.recv(&mut buffer)).await {
            let datagram = Datagram {
                five_tuple: self.client.five_tuple(),
                ecn: None,
                payload: buffer[..len].into(),
            };
            let received = self.client.handle_datagram(Instant::now(), datagram);
            self.received.extend(received.map(|datagram| datagram.payload.to_vec()));
        }
        self.events.extend(std::iter::from_fn(|| self.client.poll_event()));
    }

    /// The relayed address, or why there is none.
    async fn allocate(&mut self) -> Result<SocketAddr, CloseReason> {
        match self.next().await {
            Event::Allocated(allocated) => Ok(allocated.relayed[0]),
            Event::Closed(reason) => Err(reason),
            event => panic!("{event:?}"),
        }
    }

    /// Whether this peer may be reached.
    async fn may_reach(&mut self, peer: &str) -> Result<(), Failure> {
        let peer = peer.parse().expect("an address");
        self.client.create_permission(Instant::now(), peer).expect("it is open");
        match self.next().await {
            Event::PermissionCreated(_) => Ok(()),
            Event::PermissionRefused { failure, .. } => Err(failure),
            event => panic!("{event:?}"),
        }
    }
}

fn alice() -> Credentials {
    Credentials::new("alice", "wonderland")
}

/// The code with which the server refuses.
async fn refusal(server: SocketAddr, user: Credentials, adjust: impl FnOnce(&mut client::Config)) -> u16 {
    match Caller::new(server, user, adjust).await.allocate().await {
        Err(CloseReason::Refused { code, .. }) => code.number(),
        other => panic!("{other:?}"),
    }
}

/// What a server is told, on its command line or by a file.
async fn told(name: &str, options: &[(&str, &str)], by_file: bool) -> (Turn, SocketAddr) {
    let folder = Folder::new(&format!("turn-{name}-{by_file}"));
    std::fs::create_dir_all(&folder.0).expect("a folder");
    let (_, _, trusted) = certificate(&folder);
    let basics = [
        ("realm", REALM),
        ("listen", "127.0.0.1:0"),
        ("user", "alice:wonderland"),
    ];
    let options: Vec<(&str, &str)> = basics.iter().chain(options).copied().collect();
    let mut arguments = Vec::new();
    if by_file {
        let mut text = String::new();
        for &(option, value) in &options {
            match value {
                "" => text += &format!("{option} = true\n"),
                number if number.parse::<u64>().is_ok() => text += &format!("{option} = {number}\n"),
                other => text += &format!("{option} = \"{other}\"\n"),
            }
        }
        let file = folder.0.join("turn.toml");
        std::fs::write(&file, text).expect("a file");
        arguments.extend(["--config".to_owned(), file.to_str().expect("UTF-8").to_owned()]);
    } else {
        for &(option, value) in &options {
            arguments.push(format!("--{option}"));
            arguments.extend((!value.is_empty()).then(|| value.to_owned()));
        }
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let turn = Turn::run(folder, trusted, &arguments);
    let address = turn.address("turn:").await;
    (turn, address)
}

#[tokio::test]
async fn who_may_be_reached_is_what_the_options_say() {
    let forbidden = Err(Failure::Refused(ErrorCode::FORBIDDEN));
    for by_file in [false, true] {
        let (_turn, address) = told("plain", &[], by_file).await;
        let mut caller = Caller::new(address, alice(), |_| ()).await;
        let relayed = caller.allocate().await.expect("an address");
        assert!(relayed.ip().is_loopback() && relayed.port() >= 49_152, "{relayed}");
        for (peer, expected) in [("127.0.0.2", forbidden), ("10.0.0.1", forbidden), ("9.9.9.9", Ok(()))] {
            assert_eq!(caller.may_reach(peer).await, expected, "{peer}");
        }
        let peers = [
            ("allow-peer", "127.0.0.0/8"),
            ("deny-peer", "127.0.0.3/32"),
            ("external-address", "192.0.2.7"),
            ("relay-address", "127.0.0.2"),
            ("relay-ports", "41000-41999"),
        ];
        let (_turn, address) = told("peers", &peers, by_file).await;
        let mut caller = Caller::new(address, alice(), |_| ()).await;
        let relayed = caller.allocate().await.expect("an address");
        assert_eq!(relayed.ip().to_string(), "192.0.2.7");
        assert!((41_000..=41_999).contains(&relayed.port()), "{relayed}");
        let socket = tokio::net::UdpSocket::bind("127.0.0.4:0").await.expect("a socket");
        let peer = socket.local_addr().expect("an address");
        for (peer, expected) in [("127.0.0.4", Ok(())), ("127.0.0.3", forbidden), ("10.0.0.1", forbidden)] {
            assert_eq!(caller.may_reach(peer).await, expected, "{peer}");
        }
        // What a peer sees in truth is the address of this machine that was named.
        let mut out = Vec::new();
        let fill = |out: &mut Vec<u8>| {
            out.extend_from_slice(b"hello");
            Some(5)
        };
        assert!(caller.client.enclose(&mut out, peer, fill).is_some());
        caller.socket.send(&out).await.expect("it is sent");
        let mut buffer = [0; 100];
        let (len, from) = soon("a datagram", socket.recv_from(&mut buffer))
            .await
            .expect("it came");
        assert_eq!(
            (&buffer[..len], from.ip().to_string()),
            (&b"hello"[..], "127.0.0.2".to_owned())
        );
        assert_eq!(from.port(), relayed.port());
    }
}

#[tokio::test]
async fn how_much_there_may_be_is_what_the_options_say() {
    for by_file in [false, true] {
        let limits = [
            ("user-quota", "1"),
            ("total-quota", "2"),
            ("rest-secret", "shared"),
            ("bandwidth", "1000"),
        ];
        let limits = [
            &limits[..],
            &[("allow-peer", "127.0.0.0/8"), ("metrics", "127.0.0.1:0")],
        ]
        .concat();
        let (turn, address) = told("limits", &limits, by_file).await;
        let mut caller = Caller::new(address, alice(), |_| ()).await;
        caller.allocate().await.expect("an address");
        assert_eq!(refusal(address, alice(), |_| ()).await, 486);
        assert_eq!(refusal(address, Credentials::new("alice", "wrong"), |_| ()).await, 401);
        // Whoever has the secret makes credentials; each name has its own quota.
        let limited =
            |name: &str| Credentials::time_limited(b"shared", name, SystemTime::now() + Duration::from_secs(600));
        let mut bob = Caller::new(address, limited("bob"), |_| ()).await;
        bob.allocate().await.expect("an address");
        assert_eq!(refusal(address, limited("carol"), |_| ()).await, 508, "there are two");

        // 64 KiB at once, and then a thousand bytes a second.
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let peer = socket.local_addr().expect("an address");
        caller.may_reach("127.0.0.1").await.expect("it is allowed");
        let mut out = Vec::new();
        for _ in 0..200 {
            let fill = |out: &mut Vec<u8>| {
                out.resize(out.len() + 1000, 7);
                Some(1000)
            };
            assert!(caller.client.enclose(&mut out, peer, fill).is_some(), "it is permitted");
            caller.socket.send(&out).await.expect("it is sent");
            out.clear();
            tokio::task::yield_now().await;
        }
        let mut buffer = [0; 2000];
        let mut came = 0;
        while let Ok(Ok(_)) = tokio::time::timeout(Duration::from_millis(300), socket.recv(&mut buffer)).await {
            came += 1;
        }
        assert!((1..=80).contains(&came), "{came} of 200");

        let url = turn.says("http://").await;
        let text = ureq::get(format!("http://{url}")).call().expect("an answer");
        let text = text.into_body().read_to_string().expect("text");
        for line in [
            "peerline_turn_allocations 2",
            "peerline_turn_allocations_total 2",
            "peerline_turn_wrong_credentials_total 1",
        ] {
            assert!(text.lines().any(|told| told == line), "{line}: {text}");
        }
    }
}

#[tokio::test]
async fn where_else_clients_are_sent_and_what_else_they_get_is_what_the_options_say() {
    for by_file in [false, true] {
        let elsewhere = [
            ("redirect", "127.0.0.9:3478"),
            ("redirect-from", "1"),
            ("redirect-domain", "turn.example.org"),
            ("connections-per-address", "1"),
        ];
        let (_turn, address) = told("elsewhere", &elsewhere, by_file).await;
        let mut first = Caller::new(address, alice(), |_| ()).await;
        first.allocate().await.expect("an address");
        let second = Caller::new(address, alice(), |_| ()).await.allocate().await;
        let named = CloseReason::TryAlternate {
            server: "127.0.0.9:3478".parse().expect("an address"),
            domain: Some("turn.example.org".into()),
        };
        assert_eq!(second, Err(named));
        // One stays open, and another is closed.
        let mut streams = Vec::new();
        for _ in 0..2 {
            streams.push(tokio::net::TcpStream::connect(address).await.expect("a connection"));
        }
        let mut byte = [0];
        let ended = soon("the end of a connection", streams[1].read(&mut byte)).await;
        assert!(!matches!(ended, Ok(1..)), "{ended:?}");
        let mut request = b"\x00\x01\x00\x00\x21\x12\xa4\x42".to_vec();
        request.extend_from_slice(&[7; 12]);
        streams[0].write_all(&request).await.expect("it is open");
        assert_eq!(
            soon("an answer", streams[0].read(&mut byte)).await.expect("it is open"),
            1
        );

        // TCP to peers is for those who come by TCP, if at all.
        for (options, code) in [(&[][..], 442), (&[("tcp-relays", "")], 400)] {
            let (_turn, address) = told("tcp-relays", options, by_file).await;
            let asks = |config: &mut client::Config| config.requested_transport = RequestedTransport::TCP;
            assert_eq!(refusal(address, alice(), asks).await, code);
        }
    }
}

#[tokio::test]
async fn what_a_user_gets_wrong_is_said_with_what_to_do() {
    let occupied = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = occupied.local_addr().expect("an address").to_string();
    let full = |more: &[&'static str]| [&["--realm", "r", "--user", "a:b"], more].concat();
    for (arguments, expected) in [
        (vec!["--user", "a:b"], "--realm"),
        (vec!["--realm", "r"], "--user NAME:SECRET"),
        (vec!["--realm", "r", "--user", "ab"], "NAME:SECRET"),
        (full(&["--allow-peer", "10.0.0.0/33"]), "192.0.2.0/24"),
        (full(&["--tls-cert", "nowhere.pem"]), "--tls-key"),
        (
            full(&["--tls-cert", "/nowhere.pem", "--tls-key", "/nowhere.pem"]),
            "/nowhere.pem cannot be read",
        ),
        (full(&["--listen", "198.51.100.77:3478"]), "ip address"),
        (full(&["--relay-ports", "5-3"]), "FIRST-LAST"),
        (
            full(&["--listen-tls", "127.0.0.1:0", "--listen", "127.0.0.1:0"]),
            "--tls-cert",
        ),
        (full(&["--config", "/nowhere.toml"]), "/nowhere.toml cannot be read"),
    ] {
        let (success, printed) = soon("the error", Run::start(&[&["turn"], &arguments[..]].concat()).ended()).await;
        assert!(!success && printed.contains(expected), "{arguments:?}: {printed}");
        assert!(!printed.contains("panicked"), "{printed}");
    }
    let listen = ["turn", "--realm", "r", "--user", "a:b", "--listen", &address];
    let (success, printed) = soon("the error", Run::start(&listen).ended()).await;
    assert!(
        !success && printed.contains("end it, or choose another port"),
        "{printed}"
    );
}

/// Two ports of the loopback interface that are free by UDP and TCP at this moment, and none that sockets are given by themselves.
fn two_ports() -> [u16; 2] {
    let is_free = |port: &u16| {
        let at = |ip: &str| UdpSocket::bind((ip, *port)).is_ok() && std::net::TcpListener::bind((ip, *port)).is_ok();
        at("127.0.0.1") && at("127.0.0.2")
    };
    let from = 10_000 + std::process::id() as u16 % 20_000;
    let mut free = (from..32_000).filter(is_free);
    [(); 2].map(|()| free.next().expect("a port"))
}

/// What a NAT does is told by our client, at our server as at coturn's, and by coturn's client at ours.
#[tokio::test]
async fn how_a_nat_behaves_is_told() {
    let [primary, alternate] = two_ports();
    let (listen, other) = (format!("127.0.0.1:{primary}"), format!("127.0.0.2:{alternate}"));
    let arguments = [
        "--realm",
        REALM,
        "--user",
        "alice:wonderland",
        "--listen",
        &listen,
        "--alternate-address",
        &other,
    ];
    let folder = Folder::new("discovery");
    std::fs::create_dir_all(&folder.0).expect("a folder");
    let (_, _, trusted) = certificate(&folder);
    let turn = Turn::run(folder, trusted, &arguments);
    turn.address("turn:").await;

    let server = format!("stun:{listen}");
    let relay = format!("turn:alice:wonderland@{listen}?transport=tcp");
    let check = Run::start(&["check", "--json", "--ice-server", &server, "--ice-server", &relay]);
    let (success, printed) = soon("the check", check.ended()).await;
    let findings: serde_json::Value =
        serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"));
    let nat = &findings["nat"][0];
    assert!(success && nat["mapping"] == "endpoint-independent", "{printed}");
    assert!(
        nat["filtering"] == "endpoint-independent" && nat["is_translated"] == false,
        "{printed}"
    );
    assert!(findings["servers"][1]["candidate"]["type"] == "relay", "{printed}");
    assert!(
        findings["servers"][1]["milliseconds"]
            .as_f64()
            .is_some_and(|time| time < 5_000.0),
        "{printed}"
    );

    let output = Command::new("turnutils_natdiscovery")
        .args(["-m", "-f", "-p", &primary.to_string(), "-L", "127.0.0.1", "127.0.0.1"])
        .output()
        .expect("turnutils_natdiscovery, of coturn, has to be installed for this test");
    let printed = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    for told in ["Endpoint Independent Filtering", "no NAT"] {
        assert!(printed.to_lowercase().contains(&told.to_lowercase()), "{printed}");
    }
}

/// A server that is not there is told of, and so is one whose secret is another.
#[tokio::test]
async fn servers_that_give_nothing_are_told_with_the_reason() {
    let turn = Turn::start("check", &[]);
    let address = turn.address("turn:").await;
    let server = format!("turn:alice:wrong@{address}");
    let (success, printed) = soon("the check", Run::start(&["check", "--ice-server", &server]).ended()).await;
    assert!(
        !success && printed.contains("401") && printed.contains("1 of 1 servers"),
        "{printed}"
    );
    // The server knows as well.
    until("the log", || match turn.output() {
        output if output.contains("refused with 401") => Ok(()),
        output => Err(output),
    })
    .await;
}

/// The server that is built into `serve` lets two peers meet who may use nothing else, with what it gives to pages.
#[tokio::test]
async fn a_page_is_given_credentials_with_which_it_is_served() {
    let server = common::Server::start_with(&["--turn=127.0.0.1:0"]);
    let url = format!("http://{}/ice-servers", server.address);
    let text = ureq::get(&url)
        .call()
        .expect("an answer")
        .body_mut()
        .read_to_string()
        .expect("text");
    let servers: Vec<IceServer> = serde_json::from_str(&text).expect("servers");
    let [given] = &servers[..] else { panic!("{text}") };
    let (name, secret) = (
        given.username.clone().expect("a name"),
        given.credential.clone().expect("a secret"),
    );
    assert_eq!(given.urls.len(), 2);
    let folder = Folder::new("page");
    std::fs::create_dir_all(&folder.0).expect("a folder");
    let (_, _, trusted) = certificate(&folder);
    for url in &given.urls {
        soon(url, meet_with(IceServer::turn(url, &name, &secret), &trusted)).await;
    }
}

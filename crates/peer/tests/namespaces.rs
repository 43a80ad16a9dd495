//! Real sockets through real translators: each peer is a process in a network namespace of its own, and between them are Linux's
//! own NAT and firewall, and coturn. It takes root, `ip`, `nft`, `turnserver` and `dig`: where they are missing, these tests fail, and
//! `cargo xtask test` leaves them out and says so.

// Processes of others are waited for, and networks change in real time.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods)]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, Stdio};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use peerline::{
    Configuration, DataChannel, DataChannelInit, Endpoint, IceCandidate, IceServer, IceTcp, IceTransportPolicy,
    PeerConnection, PeerEvent, SessionDescription,
};
use peerline_sim::lab::{HUB, Lab, Running};
use rustls::pki_types::CertificateDer;

/// How long a connection may take: far longer than any does.
const PATIENCE: Duration = Duration::from_secs(20);

// --- the networks

/// A public network. In a process that was begun as a [`Peer`], it is that and ends with it.
///
/// # Panics
/// Where none can be made: a test that does not run has not passed.
fn lab() -> Lab {
    if let Ok(role) = std::env::var("PEERLINE_ROLE") {
        a_peer(&role);
        std::process::exit(0);
    }
    Lab::new(&["turnserver", "dig"])
}

/// What there is in it of ours.
trait Place {
    fn coturn(&self, tls: &Tls) -> Running;
    fn coturn_at(&self, address: &str, tls: &Tls) -> Running;
    fn peer(&self, short: &str, role: &str, plan: &Plan) -> Peer;
}

impl Place for Lab {
    /// coturn in the hub, with TLS.
    fn coturn(&self, tls: &Tls) -> Running {
        self.coturn_at(HUB, tls)
    }

    /// The same at another address of the hub.
    fn coturn_at(&self, address: &str, tls: &Tls) -> Running {
        let file = |name: &str| self.folder().join(name).into_os_string().into_string().expect("a path");
        std::fs::write(file("certificate.pem"), &tls.certificate_pem).expect("a file");
        std::fs::write(file("key.pem"), &tls.key_pem).expect("a file");
        let mut command = self.command("hub", "turnserver");
        command.args([
            "-n",
            "--no-cli",
            "--no-dtls",
            "--fingerprint",
            "--lt-cred-mech",
            "--cli-password",
            "none",
        ]);
        command.args([
            "--user",
            "alice:wonderland",
            "--realm",
            "example.org",
            "--log-file",
            "stdout",
        ]);
        // Without addresses of IPv4 it refuses whoever asks for both families.
        command.args(["--relay-ip", address]);
        command.args(["--listening-ip", address, "--listening-port", "3478"]);
        command.args([
            "--tls-listening-port",
            "5349",
            "--cert",
            &file("certificate.pem"),
            "--pkey",
            &file("key.pem"),
        ]);
        command.args(["--userdb", &file("turndb"), "--pidfile", &file("pid")]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = Running(command.spawn().expect("ip"));
        // 5349, as the kernel writes it: it comes last.
        let begin = Instant::now();
        while self
            .within("hub", "grep -q :14E5 /proc/net/tcp /proc/net/tcp6")
            .is_err()
        {
            assert!(begin.elapsed() < PATIENCE, "coturn does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    /// A peer in a namespace: this very program, at any of its tests.
    fn peer(&self, short: &str, role: &str, plan: &Plan) -> Peer {
        let mut command = self.command(short, std::env::current_exe().expect("this program"));
        command.args(["public_hosts_meet_directly", "--exact", "--nocapture"]);
        command
            .env("PEERLINE_ROLE", role)
            .env("PEERLINE_SERVERS", plan.servers.join(" "));
        command.env("PEERLINE_CERTIFICATE", &plan.certificate);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("ip");
        let (stdin, stdout) = (
            child.stdin.take().expect("a pipe"),
            child.stdout.take().expect("a pipe"),
        );
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // The test harness has its own to say.
                if let Some(line) = line.strip_prefix("> ")
                    && sender.send(line.to_owned()).is_err()
                {
                    break;
                }
            }
        });
        Peer {
            _child: Running(child),
            stdin,
            lines,
            received: 0,
            path: String::new(),
            said: Vec::new(),
        }
    }
}

struct Tls {
    certificate: Vec<u8>,
    certificate_pem: String,
    key_pem: String,
}

impl Tls {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed([HUB.to_owned()]).expect("a certificate");
        let pem = |kind: &str, der: &[u8]| {
            format!(
                "-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n",
                BASE64_STANDARD.encode(der)
            )
        };
        Self {
            certificate: made.cert.der().to_vec(),
            certificate_pem: pem("CERTIFICATE", made.cert.der()),
            key_pem: pem("PRIVATE KEY", &made.signing_key.serialize_der()),
        }
    }
}

// --- what the test knows of its peers

/// Which servers peers have.
#[derive(Default)]
struct Plan {
    /// And `relay`, to use relays alone; `listen`, to listen for connections; `so`, to open them from both sides as well; `endpoint`, to use a port that others could share,
    /// `endpoint6`, the same of IPv6; `lite`; `hidden`, to hide addresses; and `external=` with an external address.
    servers: Vec<&'static str>,
    /// In base64.
    certificate: String,
}

struct Peer {
    _child: Running,
    stdin: ChildStdin,
    lines: mpsc::Receiver<String>,
    /// How many messages have come there.
    received: u64,
    /// The kinds of both candidates, such as `host srflx`.
    path: String,
    /// What it has signalled.
    said: Vec<String>,
}

/// Two of them, and the signalling.
struct Call([Peer; 2]);

impl Call {
    fn new(lab: &Lab, places: [&str; 2], plan: &Plan) -> Self {
        Self([lab.peer(places[0], "offer", plan), lab.peer(places[1], "answer", plan)])
    }

    /// Passes on what they have to say to each other.
    fn signal(&mut self) {
        for who in [0, 1] {
            while let Ok(line) = self.0[who].lines.try_recv() {
                match line.split_once(' ') {
                    Some(("received", count)) => self.0[who].received = count.parse().expect("a number"),
                    Some(("path", path)) => self.0[who].path = path.to_owned(),
                    _ => {
                        writeln!(self.0[1 - who].stdin, "{line}").expect("the peer runs");
                        self.0[who].said.push(line);
                    }
                }
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }

    fn wait(&mut self, limit: Duration, done: impl Fn(&[Peer; 2]) -> bool) -> Option<Duration> {
        let begin = Instant::now();
        while begin.elapsed() < limit {
            self.signal();
            if done(&self.0) {
                return Some(begin.elapsed());
            }
        }
        None
    }

    /// Waits for messages to go both ways, and tells the paths.
    fn connect(&mut self) -> [String; 2] {
        let connected = self.wait(PATIENCE, |peers| {
            peers.iter().all(|peer| peer.received > 20 && !peer.path.is_empty())
        });
        let paths = [self.0[0].path.clone(), self.0[1].path.clone()];
        assert!(connected.is_some(), "no connection: {paths:?}");
        paths
    }

    /// How long it takes until twenty more messages have come to each.
    fn go_on(&mut self) -> Duration {
        self.signal();
        let before = [0, 1].map(|who| self.0[who].received);
        let went_on = self.wait(PATIENCE, |peers| {
            (0..2).all(|who| peers[who].received > before[who] + 20)
        });
        went_on.expect("it goes on")
    }
}

// --- the peer itself

/// Signals on its standard streams, sends a message every five milliseconds, and says how many have come.
fn a_peer(role: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(live(role == "offer"));
}

fn configuration() -> Configuration {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let servers = variable("PEERLINE_SERVERS");
    let mut urls = servers.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let mut is_told = |word: &str| {
        let before = urls.len();
        urls.retain(|url| url != word);
        urls.len() < before
    };
    let (relay_only, ice_lite) = (is_told("relay"), is_told("lite"));
    let shared = [("endpoint", "0.0.0.0:0"), ("endpoint6", "[::]:0")]
        .into_iter()
        .find_map(|(word, address)| is_told(word).then_some(address));
    let (listens, opens) = (is_told("listen"), is_told("so"));
    let hide_local_addresses = is_told("hidden");
    let mut external_addresses = Vec::new();
    urls.retain(|url| match url.strip_prefix("external=") {
        Some(external) => {
            external_addresses.push(external.parse().expect("an address"));
            false
        }
        None => true,
    });
    let mut roots = rustls::RootCertStore::empty();
    let certificate = BASE64_STANDARD
        .decode(variable("PEERLINE_CERTIFICATE"))
        .expect("base64");
    if !certificate.is_empty() {
        roots.add(CertificateDer::from(certificate)).expect("a certificate");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let tls = tls.expect("TLS").with_root_certificates(roots).with_no_client_auth();
    let ice_servers = urls.into_iter().map(|url| match url.starts_with("stun") {
        true => IceServer::stun(url),
        false => IceServer::turn(url, "alice", "wonderland"),
    });
    Configuration {
        ice_servers: ice_servers.collect(),
        ice_transport_policy: if relay_only {
            IceTransportPolicy::Relay
        } else {
            IceTransportPolicy::All
        },
        turn_tls: Some(Arc::new(tls)),
        ice_lite,
        external_addresses,
        hide_local_addresses,
        endpoint: shared.map(|address| Endpoint::bind(address.parse().expect("an address")).expect("an endpoint")),
        ice_tcp: match (listens, opens) {
            (_, true) => IceTcp::All,
            (true, false) => IceTcp::ActiveAndPassive,
            (false, false) => IceTcp::default(),
        },
        ..Configuration::default()
    }
}

async fn live(offers: bool) {
    let pc = PeerConnection::new(configuration()).await.expect("a connection");
    let (sender, mut lines) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
        // The test is over.
        std::process::exit(0);
    });
    if offers {
        let channel = pc
            .create_data_channel("data", DataChannelInit::default())
            .expect("a channel");
        tokio::spawn(talk(channel, pc.clone()));
        pc.set_local_description(pc.create_offer().expect("an offer"))
            .expect("it is set");
        tell_description(&pc);
    }
    loop {
        tokio::select! {
            Some(line) = lines.recv() => hear(&pc, offers, &line),
            event = pc.next_event() => match event {
                Some(PeerEvent::IceCandidate(Some(candidate))) => {
                    let IceCandidate { candidate, sdp_mid, username_fragment, .. } = candidate;
                    let (mid, ufrag) = (sdp_mid.unwrap_or_default(), username_fragment.unwrap_or_default());
                    println!("> candidate {mid}|{ufrag}|{candidate}");
                }
                Some(PeerEvent::DataChannel(channel)) => drop(tokio::spawn(talk(channel, pc.clone()))),
                Some(_) => {}
                None => return,
            },
        }
    }
}

fn tell_description(pc: &PeerConnection) {
    let description = pc.local_description().expect("it was set");
    println!("> description {}", description.sdp.replace("\r\n", "\\"));
}

fn hear(pc: &PeerConnection, offers: bool, line: &str) {
    match line.split_once(' ').expect("two words") {
        ("description", sdp) => {
            let sdp = sdp.replace('\\', "\r\n");
            if offers {
                return pc
                    .set_remote_description(SessionDescription::answer(sdp))
                    .expect("an answer");
            }
            pc.set_remote_description(SessionDescription::offer(sdp))
                .expect("an offer");
            pc.set_local_description(pc.create_answer().expect("an answer"))
                .expect("it is set");
            tell_description(pc);
        }
        (_, candidate) => {
            let mut words = candidate.splitn(3, '|').map(str::to_owned);
            let mut next = || words.next().expect("three words");
            let (mid, ufrag, candidate) = (next(), next(), next());
            let candidate = IceCandidate {
                candidate,
                sdp_mid: Some(mid),
                username_fragment: Some(ufrag),
                ..IceCandidate::default()
            };
            pc.add_ice_candidate(candidate).expect("a candidate");
        }
    }
}

/// Sends and receives for ever.
async fn talk(channel: DataChannel, pc: PeerConnection) {
    channel.opened().await.expect("it opens");
    let (mut received, mut told) = (0_u64, 0);
    let mut clock = tokio::time::interval(Duration::from_millis(5));
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = clock.tick() => {
                let _ = channel.try_send(Bytes::from_static(&[7; 4000]));
                if received > told {
                    told = received;
                    println!("> received {received}");
                    tell_path(&pc);
                }
            }
            Some(_) = channel.recv() => received += 1,
        }
    }
}

fn tell_path(pc: &PeerConnection) {
    let ice = pc.sctp().map(|sctp| sctp.transport().ice_transport());
    let Some(pair) = ice.and_then(|ice| ice.selected_candidate_pair()) else {
        return;
    };
    let kind = |candidate: &str| candidate.split(' ').nth(7).unwrap_or_default().to_owned();
    println!(
        "> path {} {}",
        kind(&pair.local.candidate),
        kind(&pair.remote.candidate)
    );
}

// --- the tests

const STUN: &str = "stun:203.0.113.1:3478";

#[test]
fn public_hosts_meet_directly() {
    let mut lab = lab();
    lab.public("a", "203.0.113.21");
    lab.public("b", "203.0.113.22");
    assert_eq!(
        Call::new(&lab, ["a", "b"], &Plan::default()).connect(),
        ["host host"; 2]
    );
}

#[test]
fn hosts_with_ipv6_alone_meet_directly_and_by_a_relay() {
    let mut lab = lab();
    // None of these addresses is anybody else's: nobody need wait until that is found out.
    for (host, address) in [("a", "2001:db8::21/64 nodad"), ("b", "2001:db8::22/64 nodad")] {
        lab.public_at(host, address);
    }
    lab.must("hub", "ip address add 2001:db8::1/64 nodad dev br0");
    let _coturn = lab.coturn_at("2001:db8::1", &Tls::new());
    assert_eq!(
        Call::new(&lab, ["a", "b"], &Plan::default()).connect(),
        ["host host"; 2]
    );
    for server in ["turn:[2001:db8::1]:3478", "turn:[2001:db8::1]:3478?transport=tcp"] {
        let plan = Plan {
            servers: vec!["relay", server],
            ..Plan::default()
        };
        let paths = Call::new(&lab, ["a", "b"], &plan).connect();
        assert!(paths.iter().all(|path| path.contains("relay")), "{server} {paths:?}");
    }
}

#[test]
fn hosts_behind_translators_meet_at_what_a_server_sees() {
    let mut lab = lab();
    let _coturn = lab.coturn(&Tls::new());
    lab.at_home("a", "203.0.113.11", "masquerade", "");
    lab.at_home("b", "203.0.113.12", "masquerade", "");
    for servers in [vec![STUN], vec!["endpoint", STUN]] {
        let plan = Plan {
            servers,
            ..Plan::default()
        };
        for path in Call::new(&lab, ["a", "b"], &plan).connect() {
            assert!(!path.contains("host") && !path.contains("relay"), "{path}");
        }
    }
}

/// A machine in a cloud: its public address is mapped to a private one, port by port. No server tells it so, and it may be lite.
#[test]
fn who_is_told_its_external_address_is_reached_there() {
    let mut lab = lab();
    lab.at_home("a", "203.0.113.11", "snat to 203.0.113.11", "");
    lab.must(
        "agw",
        "nft add chain ip t forth \"{ type nat hook prerouting priority -100; }\"
        nft add rule ip t forth iifname eth0 meta l4proto udp dnat to 192.168.7.2
        nft add rule ip t through iifname eth0 accept",
    );
    lab.at_home("b", "203.0.113.12", "masquerade fully-random", "");
    for servers in [
        vec!["external=203.0.113.11"],
        vec!["external=192.168.7.2=203.0.113.11", "endpoint"],
        vec!["external=203.0.113.11", "endpoint", "lite"],
    ] {
        let here = Plan {
            servers: servers.clone(),
            ..Plan::default()
        };
        let there = lab.peer("b", "answer", &Plan::default());
        let mut call = Call([lab.peer("a", "offer", &here), there]);
        // Each knows the other by what it says of itself, or by its checks alone.
        let paths = call.connect();
        assert_eq!(paths, ["host prflx", "prflx host"], "{servers:?}");
    }
}

/// No datagram leaves the house, and no server helps.
#[test]
fn a_connection_reaches_who_listens() {
    let mut lab = lab();
    lab.at_home("home", "203.0.113.11", "masquerade fully-random", "meta l4proto tcp");
    lab.public("office", "203.0.113.12");
    let plan = Plan {
        servers: vec!["listen"],
        ..Plan::default()
    };
    for places in [["home", "office"], ["office", "home"]] {
        let mut paths = Call::new(&lab, places, &plan).connect();
        paths.sort();
        assert_eq!(paths, ["host prflx", "prflx host"], "{places:?}");
    }
}

/// Two firewalls let nobody in and no UDP out: what one side's first segment opens, the other's passes.
#[test]
fn both_open_a_connection_that_neither_may_take() {
    let mut lab = lab();
    for (host, address) in [("a", "203.0.113.21"), ("b", "203.0.113.22")] {
        lab.public(host, address);
        lab.must(
            host,
            "nft add table ip t
            nft add chain ip t in \"{ type filter hook input priority 0; policy drop; }\"
            nft add rule ip t in ct state established,related accept
            nft add chain ip t out \"{ type filter hook output priority 0; }\"
            nft add rule ip t out meta l4proto udp drop",
        );
    }
    let plan = Plan {
        servers: vec!["so"],
        ..Plan::default()
    };
    assert_eq!(Call::new(&lab, ["a", "b"], &plan).connect(), ["host host"; 2]);
}

/// Nobody tells an address, and both find each other by multicast DNS; a client of DNS that asks them directly is answered as well.
#[test]
fn hidden_hosts_meet_by_their_names() {
    let mut lab = lab();
    lab.public("a", "203.0.113.21");
    lab.public("b", "203.0.113.22");
    meet_by_names(&lab, "endpoint", "203.0.113.2");
    ask_for_its_name(&lab, "203.0.113.21", &[("A", "203.0.113.21"), ("AAAA", "{name}. A")]);
}

/// By the group ff02::fb alone (RFC 6762 §3): there is no IPv4 to ask over.
#[test]
fn hidden_hosts_with_ipv6_alone_meet_by_their_names() {
    let mut lab = lab();
    for (host, address) in [("a", "2001:db8::21/64 nodad"), ("b", "2001:db8::22/64 nodad")] {
        lab.public_at(host, address);
    }
    lab.must("hub", "ip address add 2001:db8::1/64 nodad dev br0");
    // The group is of the link: it is spoken to from its addresses, and these have yet to be found to be nobody else's.
    for host in ["a", "b"] {
        lab.must(
            host,
            "while ip -6 address show tentative | grep -q inet6; do sleep 0.05; done",
        );
    }
    meet_by_names(&lab, "endpoint6", "2001:db8::2");
    ask_for_its_name(&lab, "2001:db8::21", &[("AAAA", "2001:db8::21")]);
}

/// Two that hide their addresses, which begin like this, and tell names; with sockets of their own, and with an endpoint's.
fn meet_by_names(lab: &Lab, endpoint: &'static str, addresses: &str) {
    for words in [vec!["hidden"], vec!["hidden", endpoint]] {
        let plan = Plan {
            servers: words.clone(),
            ..Plan::default()
        };
        let mut call = Call::new(lab, ["a", "b"], &plan);
        let paths = call.connect();
        assert!(
            paths.iter().all(|path| path.starts_with("host ")),
            "{words:?}: {paths:?}"
        );
        let [one, other] = &call.0;
        for line in one.said.iter().chain(&other.said) {
            assert!(!line.contains(addresses), "{line}");
        }
    }
}

/// A client of DNS asks a host for records of the name by which it hides, and is answered so. It takes no answer but from where it
/// has asked, so that it cannot ask the group; and who resolves names as well has another socket at that port, which may get the
/// question: the host is alone.
fn ask_for_its_name(lab: &Lab, address: &str, records: &[(&str, &str)]) {
    let plan = Plan {
        servers: vec!["hidden"],
        ..Plan::default()
    };
    let alone = lab.peer("a", "offer", &plan);
    let name = name_of(&alone);
    for (kind, answer) in records {
        let answer = answer.replace("{name}", &name);
        let dig = format!("dig +short +tries=3 +time=3 @{address} -p 5353 {name} {kind}");
        lab.must("hub", &format!("{dig} | grep -qx \"{answer}\""));
    }
}

/// The name in the first candidate that it tells.
fn name_of(peer: &Peer) -> String {
    let candidate =
        std::iter::from_fn(|| peer.lines.recv_timeout(PATIENCE).ok()).find(|line| line.contains(" typ host"));
    let candidate = candidate.expect("a candidate");
    let mut words = candidate.split(' ');
    words.find(|word| word.ends_with(".local")).expect("a name").to_owned()
}

/// A lite agent checks nothing, and needs no name: it is asked, and answers (RFC 8445 §2.5).
#[test]
fn a_lite_host_is_reached_by_one_that_hides() {
    let mut lab = lab();
    lab.public("a", "203.0.113.21");
    lab.public("b", "203.0.113.22");
    let [lite, hidden] = [vec!["endpoint", "lite"], vec!["hidden"]].map(|servers| Plan {
        servers,
        ..Plan::default()
    });
    for (plans, hides, expected) in [
        ([&lite, &hidden], 1, ["host prflx", "host host"]),
        ([&hidden, &lite], 0, ["host host", "host prflx"]),
    ] {
        let [one, other] = plans;
        let mut call = Call([lab.peer("a", "offer", one), lab.peer("b", "answer", other)]);
        assert_eq!(call.connect(), expected);
        for line in &call.0[hides].said {
            assert!(!line.contains("203.0.113.2"), "{line}");
        }
    }
}

#[test]
fn relays_serve_where_nothing_else_does() {
    let mut lab = lab();
    let tls = Tls::new();
    let _coturn = lab.coturn(&tls);
    // Each destination sees another port.
    lab.at_home("a", "203.0.113.11", "masquerade fully-random", "");
    lab.at_home("b", "203.0.113.12", "masquerade fully-random", "");
    lab.at_home("c", "203.0.113.13", "masquerade", "meta l4proto tcp");
    lab.at_home("d", "203.0.113.14", "masquerade", "tcp dport 5349");
    for (places, servers) in [
        (["a", "b"], vec![STUN, "turn:203.0.113.1:3478"]),
        (["a", "b"], vec!["endpoint", STUN, "turn:203.0.113.1:3478"]),
        (
            ["c", "a"],
            vec![STUN, "turn:203.0.113.1:3478", "turn:203.0.113.1:3478?transport=tcp"],
        ),
        (["b", "d"], vec!["turns:203.0.113.1:5349?transport=tcp"]),
    ] {
        let certificate = BASE64_STANDARD.encode(&tls.certificate);
        let paths = Call::new(&lab, places, &Plan { servers, certificate }).connect();
        assert!(paths.iter().all(|path| path.contains("relay")), "{places:?} {paths:?}");
    }
}

#[test]
fn the_other_interface_takes_over_in_mid_transfer() {
    let mut lab = lab();
    lab.public("a", "203.0.113.21");
    lab.public("b", "203.0.113.22");
    // A second network for both.
    for (host, address) in [("a", "198.51.100.21/24"), ("b", "198.51.100.22/24")] {
        let port = format!("q{host}");
        lab.cable((host, "eth1", address), ("hub", &port, None));
    }
    let mut call = Call::new(&lab, ["a", "b"], &Plan::default());
    call.connect();
    // Whichever they use, each goes once, at one end and at the other.
    for (host, interface) in [("a", "eth0"), ("b", "eth1")] {
        within_a_second(|_| {
            lab.must(host, &format!("ip link set {interface} down"));
            let took = call.go_on();
            lab.must(host, &format!("ip link set {interface} up"));
            std::thread::sleep(Duration::from_millis(300));
            call.go_on();
            took
        });
    }
}

#[test]
fn a_host_that_moves_to_another_network_takes_its_call_along() {
    let lab = lab();
    from_home_to_the_street(lab, &Plan::default());
}

#[test]
fn an_endpoint_that_moves_takes_its_calls_along() {
    let lab = lab();
    let plan = Plan {
        servers: vec!["endpoint"],
        ..Plan::default()
    };
    from_home_to_the_street(lab, &plan);
}

#[test]
fn a_host_that_moves_connects_to_its_relay_anew() {
    let lab = lab();
    let _coturn = lab.coturn(&Tls::new());
    let plan = Plan {
        servers: vec!["relay", "turn:203.0.113.1:3478?transport=tcp"],
        ..Plan::default()
    };
    let paths = from_home_to_the_street(lab, &plan);
    assert!(paths.iter().all(|path| path.contains("relay")), "{paths:?}");
}

#[test]
fn an_endpoint_that_moves_asks_its_relay_from_new_sockets() {
    let lab = lab();
    let _coturn = lab.coturn(&Tls::new());
    let plan = Plan {
        servers: vec!["endpoint", "relay", "turn:203.0.113.1:3478"],
        ..Plan::default()
    };
    let paths = from_home_to_the_street(lab, &plan);
    assert!(paths.iter().all(|path| path.contains("relay")), "{paths:?}");
}

/// Another address, another translator, and nothing between for a while. Tells the paths before.
fn from_home_to_the_street(mut lab: Lab, plan: &Plan) -> [String; 2] {
    lab.at_home("a", "203.0.113.11", "masquerade", "");
    lab.public("b", "203.0.113.22");
    let mut call = Call::new(&lab, ["a", "b"], plan);
    let paths = call.connect();
    within_a_second(|attempt| {
        // Out, and home again, and out.
        let (old, new) = if attempt % 2 == 0 {
            ("eth0", "eth1")
        } else {
            ("eth1", "eth0")
        };
        lab.must("a", &format!("ip link set {old} down"));
        std::thread::sleep(Duration::from_millis(1500));
        match attempt {
            0 => lab.cable(("a", "eth1", "203.0.113.23/24"), ("hub", "street", None)),
            1 => lab.must("a", "ip link set eth0 up && ip route add default via 192.168.7.1"),
            _ => lab.must("a", &format!("ip link set {new} up")),
        }
        // From here on the new path is usable.
        call.go_on()
    });
    paths
}

/// It goes on within a second of the new path's being usable. On a busy machine a process may not run for as long, so that one of
/// three attempts is enough here, and none may take much longer: what takes a second by itself, such as a time-out or a period of
/// looking, takes it each time. In virtual time it is so each time (`tests/roaming.rs` of ICE and of the connection).
fn within_a_second(mut attempt: impl FnMut(u32) -> Duration) {
    let mut all = Vec::new();
    while all.len() < 3 {
        let took = attempt(all.len() as u32);
        assert!(took < Duration::from_secs(5), "{took:?}");
        all.push(took);
        if took < Duration::from_secs(1) {
            return;
        }
    }
    panic!("{all:?}");
}

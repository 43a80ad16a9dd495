//! coturn's programs: `turnserver` for our client, `turnutils_uclient` for our server.

// A test of another program waits for it.
#![allow(clippy::disallowed_methods)]

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::openssl::Folder;

/// The realm of both servers.
pub const REALM: &str = "example.org";
/// The user that both servers know.
pub const USER: &str = "alice";
/// Their password.
pub const PASSWORD: &str = "wonderland";
/// What coturn and the tests share for credentials of limited time.
pub const SECRET: &str = "shared";

/// A running `turnserver` on the loopback interface, over UDP and TCP; killed when dropped.
pub struct Turnserver {
    child: Child,
    command: Command,
    /// Where it listens.
    pub address: SocketAddr,
    output: Arc<Mutex<String>>,
    _folder: Folder,
}

impl Turnserver {
    /// One that knows [`USER`] and [`PASSWORD`].
    pub fn with_user(arguments: &[&str]) -> Self {
        let user = format!("{USER}:{PASSWORD}");
        Self::start(&[&["--lt-cred-mech", "--user", &user], arguments].concat())
    }

    /// One for credentials of limited time.
    pub fn with_secret(arguments: &[&str]) -> Self {
        Self::start(&[&["--use-auth-secret", "--static-auth-secret", SECRET], arguments].concat())
    }

    /// One that knows [`USER`] and [`PASSWORD`], and speaks TLS at this port of the same address, with a certificate and its key
    /// in PEM.
    pub fn with_tls(port: u16, certificate: &str, key: &str, arguments: &[&str]) -> Self {
        let folder = Folder::new();
        let [certificate, key] = [("certificate.pem", certificate), ("key.pem", key)].map(|(name, pem)| {
            let file = folder.file(name);
            std::fs::write(&file, pem).expect("a file");
            file.into_os_string().into_string().expect("a path in UTF-8")
        });
        let (user, port) = (format!("{USER}:{PASSWORD}"), port.to_string());
        let tls = ["--tls-listening-port", &port, "--cert", &certificate, "--pkey", &key];
        Self::start_in(
            folder,
            &[&["--lt-cred-mech", "--user", &user], &tls[..], arguments].concat(),
        )
    }

    fn start(arguments: &[&str]) -> Self {
        Self::start_in(Folder::new(), &[&["--no-tls"], arguments].concat())
    }

    fn start_in(folder: Folder, arguments: &[&str]) -> Self {
        let address = free_address();
        let mut command = Command::new("turnserver");
        command
            .args([
                "-n",
                "--no-cli",
                "--no-dtls",
                "--fingerprint",
                "--log-file",
                "stdout",
                "--verbose",
            ])
            .args([
                "--listening-ip",
                "127.0.0.1",
                "--relay-ip",
                "127.0.0.1",
                "--allow-loopback-peers",
            ])
            .args(["--realm", REALM, "--listening-port", &address.port().to_string()])
            .arg("--userdb")
            .arg(folder.file("turndb"))
            .arg("--pidfile")
            .arg(folder.file("pid"))
            // It asks for a password of its command line, which is off, before it lets peers be on the loopback interface.
            .args(["--cli-password", "none"])
            .args(arguments);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let output = Arc::new(Mutex::new(String::new()));
        let server = Self {
            child: run(&mut command, &output),
            command,
            address,
            output,
            _folder: folder,
        };
        server.wait();
        server
    }

    /// Kills it, and starts it anew at the same port: it knows nothing of what it gave.
    pub fn start_anew(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.child = run(&mut self.command, &self.output);
        self.wait();
    }

    /// Until it listens.
    fn wait(&self) {
        let end = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect_timeout(&self.address, Duration::from_secs(1)).is_err() {
            assert!(Instant::now() < end, "turnserver does not listen:\n{}", self.output());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// What it printed.
    pub fn output(&self) -> String {
        self.output.lock().expect("the output").clone()
    }
}

/// Runs a server whose output goes there.
fn run(command: &mut Command, output: &Arc<Mutex<String>>) -> Child {
    let mut child = command.spawn().unwrap_or_else(|error| missing("turnserver", &error));
    let streams: [Box<dyn std::io::Read + Send>; 2] = [
        Box::new(child.stdout.take().expect("a pipe")),
        Box::new(child.stderr.take().expect("a pipe")),
    ];
    for stream in streams {
        let output = Arc::clone(output);
        thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                *output.lock().expect("the output") += &(line + "\n");
            }
        });
    }
    child
}

impl Drop for Turnserver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `turnutils_uclient` against a server, with these arguments besides, and a peer that sends everything back. What it
/// printed.
///
/// # Panics
/// If it fails.
pub fn uclient(server: SocketAddr, arguments: &[&str]) -> String {
    let echo = Echo::start();
    let output = Command::new("turnutils_uclient")
        .args(["-v", "-u", USER, "-w", PASSWORD, "-e", "127.0.0.1"])
        .args(["-r", &echo.address.port().to_string(), "-p", &server.port().to_string()])
        .args(arguments)
        .arg(server.ip().to_string())
        .output()
        .unwrap_or_else(|error| missing("turnutils_uclient", &error));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "turnutils_uclient {arguments:?}: {}\n{printed}",
        output.status
    );
    printed
}

/// A UDP peer that sends everything back, on a port and on the next, where RTCP goes.
pub struct Echo {
    /// The first.
    pub address: SocketAddr,
    sockets: [UdpSocket; 2],
}

impl Echo {
    /// One on the loopback interface.
    pub fn start() -> Self {
        let sockets = loop {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
            let port = socket.local_addr().expect("an address").port();
            if let Some(Ok(next)) = port
                .checked_add(1)
                .map(|next| UdpSocket::bind((Ipv4Addr::LOCALHOST, next)))
            {
                break [socket, next];
            }
        };
        for socket in &sockets {
            let socket = socket.try_clone().expect("a socket");
            thread::spawn(move || send_back(&socket));
        }
        let [first, _] = &sockets;
        let address = first.local_addr().expect("an address");
        Self { address, sockets }
    }
}

fn send_back(socket: &UdpSocket) {
    let ours = socket.local_addr().expect("an address");
    let mut buffer = [0; 65_536];
    while let Ok((len, from)) = socket.recv_from(&mut buffer) {
        // A datagram from itself says that it is over.
        if from == ours {
            return;
        }
        let _ = socket.send_to(&buffer[..len], from);
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        for socket in &self.sockets {
            let _ = socket.send_to(&[], socket.local_addr().expect("an address"));
        }
    }
}

/// A port that nobody uses for TCP or UDP, and none that sockets are given by themselves: other tests open many.
fn free_address() -> SocketAddr {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    loop {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let offset = process::id().wrapping_mul(7).wrapping_add(count.wrapping_mul(101)) % 20_000;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 10_000 + offset as u16));
        if TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok() {
            return address;
        }
    }
}

fn missing(program: &str, error: &std::io::Error) -> ! {
    panic!("the program `{program}` (of coturn) has to be installed for this test, and cannot be run: {error}")
}

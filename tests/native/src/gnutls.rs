//! The `gnutls-serv` and `gnutls-cli` programs as DTLS peers.

// A test of another program waits for it.
#![allow(clippy::disallowed_methods)]

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::openssl::{Folder, Identity, collect};

/// A running program, killed when dropped.
pub struct GnuTls {
    child: Child,
    stdin: ChildStdin,
    outputs: [Arc<Mutex<String>>; 2],
    _folder: Folder,
}

impl GnuTls {
    /// A server that sends back what it gets, and its address. `priority` is what it may negotiate.
    #[must_use]
    pub fn server(identity: &Identity, priority: &str) -> (Self, SocketAddr) {
        // It wants to be told a port.
        let free = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr());
        let address = free.expect("the loopback interface");
        let port = address.port().to_string();
        let arguments = ["--port", &port, "--echo", "--require-client-cert"];
        let server = Self::start("gnutls-serv", &arguments, identity, priority);
        for _ in 0..2_000 {
            if server.output().contains("listening on IPv4") {
                return (server, address);
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("gnutls-serv did not begin: {}", server.output());
    }

    /// A client of that address, which believes it whatever certificate it has.
    #[must_use]
    pub fn client(identity: &Identity, address: SocketAddr, priority: &str) -> Self {
        let (ip, port) = (address.ip().to_string(), address.port().to_string());
        let arguments = ["--port", &port, "--insecure", &ip];
        Self::start("gnutls-cli", &arguments, identity, priority)
    }

    fn start(program: &str, arguments: &[&str], identity: &Identity, priority: &str) -> Self {
        let folder = Folder::new();
        let pem = folder.write("identity.pem", &identity.pem);
        let mut child = Command::new(program)
            .args(["--udp", "--priority", priority])
            .args(["--srtp-profiles", "SRTP_AES128_CM_HMAC_SHA1_80"])
            .args(["--keymatexport", "EXTRACTOR-dtls_srtp", "--keymatexportsize", "60"])
            .arg("--x509certfile")
            .arg(&pem)
            .arg("--x509keyfile")
            .arg(&pem)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("the program `{program}` (Debian: gnutls-bin) has to be installed for this test: {error}")
            });
        let outputs = [
            collect(child.stdout.take().expect("piped")),
            collect(child.stderr.take().expect("piped")),
        ];
        Self {
            stdin: child.stdin.take().expect("piped"),
            child,
            outputs,
            _folder: folder,
        }
    }

    /// Both its outputs so far, one behind the other.
    #[must_use]
    pub fn output(&self) -> String {
        let [output, errors] = &self.outputs;
        let text = |of: &Mutex<String>| of.lock().expect("no reader panics").clone();
        text(output) + &text(errors)
    }

    /// What the client exported, once its handshake is complete.
    #[must_use]
    pub fn keying_material(&self) -> Option<String> {
        let output = self.output();
        let (_, rest) = output.split_once("- Key material: ")?;
        let (hex, _) = rest.split_once('\n')?;
        Some(hex.to_owned())
    }

    /// A line for the client to send.
    pub fn type_line(&mut self, line: &str) {
        writeln!(self.stdin, "{line}").expect("gnutls-cli reads its input");
    }
}

impl Drop for GnuTls {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

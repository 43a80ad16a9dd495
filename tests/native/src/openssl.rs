//! The `openssl` program as a DTLS peer: certificates, `s_server`, `s_client`.

// A test of another program waits for it.
#![allow(clippy::disallowed_methods)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use std::{env, fs, process, thread};

/// A kind of key, and with it of certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// ECDSA on P-256.
    P256,
    /// ECDSA on P-384.
    P384,
    /// RSA with 2048 bits.
    Rsa,
}

impl Key {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::P256, Self::P384, Self::Rsa];

    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::P256 => &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
            Self::P384 => &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"],
            Self::Rsa => &["-newkey", "rsa:2048"],
        }
    }
}

/// A self-signed certificate with its key, made by `openssl req`.
#[derive(Debug)]
pub struct Identity {
    /// Certificate and key.
    pub pem: String,
    /// The certificate alone.
    pub certificate_pem: String,
    /// As in SDP: `sha-256 4A:AD:…`, computed by `openssl x509`.
    pub fingerprint: String,
}

impl Identity {
    /// The one identity of tests for this kind of key and this side (0 or 1).
    pub fn get(key: Key, side: usize) -> &'static Self {
        static ALL: [OnceLock<Identity>; 6] = [const { OnceLock::new() }; 6];
        ALL[side * 3 + key as usize].get_or_init(|| Self::make(key))
    }

    fn make(key: Key) -> Self {
        let folder = Folder::new();
        let (key_file, certificate_file) = (folder.file("key.pem"), folder.file("certificate.pem"));
        run(Command::new("openssl")
            .args(["req", "-x509", "-nodes", "-subj", "/CN=native"])
            .args(key.arguments())
            .arg("-keyout")
            .arg(&key_file)
            .arg("-out")
            .arg(&certificate_file));
        let fingerprint = run(Command::new("openssl")
            .args(["x509", "-noout", "-sha256", "-fingerprint", "-in"])
            .arg(&certificate_file));
        let (_, value) = fingerprint.trim().split_once('=').expect("sha256 Fingerprint=4A:AD:…");
        let certificate_pem = fs::read_to_string(&certificate_file).expect("openssl wrote the certificate");
        let key_pem = fs::read_to_string(&key_file).expect("openssl wrote the key");
        Self {
            pem: certificate_pem.clone() + &key_pem,
            certificate_pem,
            fingerprint: format!("sha-256 {value}"),
        }
    }
}

/// What a command printed, if it succeeded.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| missing(&error));
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("text")
}

fn missing(error: &std::io::Error) -> ! {
    panic!("the program `openssl` (3.0 or newer) has to be installed for this test, and cannot be run: {error}")
}

/// A temporary folder, removed with everything in it when dropped.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "peerline-native-{}-{}",
            process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let path = env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.file(name);
        fs::write(&path, content).expect("a temporary file");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// How `s_server` or `s_client` is to behave.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings<'a> {
    /// More arguments of the command.
    pub arguments: &'a [&'a str],
    /// What has no argument: a line such as `Options = -ExtendedMasterSecret` (SSL_CONF_cmd(3)).
    pub configuration: &'a str,
}

/// A running `openssl s_server` or `s_client`, killed when dropped.
pub struct OpenSsl {
    child: Child,
    stdin: Option<ChildStdin>,
    /// Standard output and errors, apart: their lines come in any order, and a certificate takes many.
    outputs: [Arc<Mutex<String>>; 2],
    _folder: Folder,
}

/// What both commands are given: DTLS 1.2, the key material that SRTP would use, and no prompt.
const COMMON: [&str; 5] = [
    "-dtls1_2",
    "-keymatexport",
    "EXTRACTOR-dtls_srtp",
    "-keymatexportlen",
    "60",
];

impl OpenSsl {
    /// A server on a port of its own choice, which wants a certificate of its client, and that address.
    pub fn server(identity: &Identity, settings: Settings<'_>) -> (Self, SocketAddr) {
        let arguments = ["-accept", "127.0.0.1:0", "-naccept", "1", "-Verify", "1"];
        let server = Self::start("s_server", &arguments, identity, settings);
        let mut address = None;
        server.wait_for(|output| {
            let line = output.lines().find(|line| line.starts_with("ACCEPT "));
            address = line.and_then(|line| line["ACCEPT ".len()..].parse().ok());
            address.is_some()
        });
        (server, address.expect("just read"))
    }

    /// A client of that address.
    pub fn client(identity: &Identity, address: SocketAddr, settings: Settings<'_>) -> Self {
        Self::start("s_client", &["-connect", &address.to_string()], identity, settings)
    }

    fn start(what: &str, arguments: &[&str], identity: &Identity, settings: Settings<'_>) -> Self {
        let folder = Folder::new();
        let pem = folder.write("identity.pem", &identity.pem);
        // A file of our own keeps that of the system out, too.
        let configuration = folder.write(
            "openssl.cnf",
            &format!(
                "openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\n{}\n",
                settings.configuration
            ),
        );
        let mut command = Command::new("openssl");
        command
            .arg(what)
            .args(COMMON)
            .arg("-cert")
            .arg(&pem)
            .arg("-key")
            .arg(&pem);
        command.args(arguments).args(settings.arguments);
        let mut child = command
            .env("OPENSSL_CONF", configuration)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| missing(&error));
        let outputs = [
            collect(child.stdout.take().expect("piped")),
            collect(child.stderr.take().expect("piped")),
        ];
        Self {
            stdin: child.stdin.take(),
            child,
            outputs,
            _folder: folder,
        }
    }

    /// Both its outputs so far, one behind the other.
    pub fn output(&self) -> String {
        let [output, errors] = &self.outputs;
        let text = |of: &Mutex<String>| of.lock().expect("no reader panics").clone();
        text(output) + &text(errors)
    }

    fn wait_for(&self, mut done: impl FnMut(&str) -> bool) {
        for _ in 0..2_000 {
            if done(&self.output()) {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("openssl did not say what was expected: {}", self.output());
    }

    /// The handshake is complete as openssl sees it: what it exported.
    pub fn keying_material(&self) -> Option<String> {
        let output = self.output();
        let (_, rest) = output.split_once("    Keying material: ")?;
        let (hex, _) = rest.split_once('\n')?;
        Some(hex.to_owned())
    }

    /// A line of input: application data, or a command such as `Q`.
    pub fn type_line(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("not yet closed");
        writeln!(stdin, "{line}").expect("openssl reads its input");
        stdin.flush().expect("openssl reads its input");
    }

    /// True once the process has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("our child").is_some()
    }
}

impl Drop for OpenSsl {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn collect(from: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let into = text.clone();
    thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|len| len > 0) {
            into.lock()
                .expect("no reader panics")
                .push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
    text
}

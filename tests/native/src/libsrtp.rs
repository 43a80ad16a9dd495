//! libsrtp as an SRTP peer: a small program in C, `libsrtp.c`, that does as it is told.

// A test of another program waits for it.
#![allow(clippy::disallowed_methods)]

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::openssl::Folder;

/// One key of libsrtp, for both directions.
#[derive(Debug)]
pub struct Libsrtp {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    _folder: Folder,
}

/// Whether SRTCP packets are encrypted, or authenticated only: their E flag is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rtcp {
    /// As DTLS's profiles have it.
    Encrypted,
    /// As a policy can have it.
    Clear,
}

/// Why libsrtp refused a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u32);

impl Status {
    /// `srtp_err_status_auth_fail`.
    pub const AUTH_FAIL: Self = Self(7);
    /// `srtp_err_status_replay_fail`.
    pub const REPLAY_FAIL: Self = Self(9);
    /// `srtp_err_status_replay_old`.
    pub const REPLAY_OLD: Self = Self(10);
    /// `srtp_err_status_cant_check`.
    pub const CANT_CHECK: Self = Self(14);
}

impl Libsrtp {
    /// A session with this profile, by its number in DTLS, this master key and salt, and this replay window.
    #[must_use]
    pub fn new(profile: u16, key: &[u8], salt: &[u8], replay_window: u16, rtcp: Rtcp) -> Self {
        let folder = Folder::new();
        let mut child = Command::new(build(&folder))
            .arg(profile.to_string())
            .arg(hex(key) + &hex(salt))
            .arg(replay_window.to_string())
            .arg(match rtcp {
                Rtcp::Encrypted => "encrypted",
                Rtcp::Clear => "clear",
            })
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("what was just built can be run");
        let input = child.stdin.take().expect("it is piped");
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        Self {
            child,
            input,
            output,
            _folder: folder,
        }
    }

    /// `srtp_protect`.
    ///
    /// # Errors
    /// What libsrtp says.
    pub fn protect(&mut self, packet: &[u8]) -> Result<Vec<u8>, Status> {
        self.call("protect", packet)
    }

    /// `srtp_unprotect`.
    ///
    /// # Errors
    /// What libsrtp says.
    pub fn unprotect(&mut self, packet: &[u8]) -> Result<Vec<u8>, Status> {
        self.call("unprotect", packet)
    }

    /// `srtp_protect_rtcp`.
    ///
    /// # Errors
    /// What libsrtp says.
    pub fn protect_rtcp(&mut self, packet: &[u8]) -> Result<Vec<u8>, Status> {
        self.call("protect_rtcp", packet)
    }

    /// `srtp_unprotect_rtcp`.
    ///
    /// # Errors
    /// What libsrtp says.
    pub fn unprotect_rtcp(&mut self, packet: &[u8]) -> Result<Vec<u8>, Status> {
        self.call("unprotect_rtcp", packet)
    }

    fn call(&mut self, command: &str, packet: &[u8]) -> Result<Vec<u8>, Status> {
        writeln!(self.input, "{command} {}", hex(packet)).expect("it reads");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it answers");
        match line.trim_end().split_once(' ') {
            Some(("ok", packet)) => Ok(unhex(packet)),
            Some(("error", status)) => Err(Status(status.parse().expect("a number"))),
            _ => panic!("{command} {}: libsrtp says {line:?}", hex(packet)),
        }
    }
}

impl Drop for Libsrtp {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Builds the program.
fn build(folder: &Folder) -> PathBuf {
    let (source, program) = (
        folder.write("libsrtp.c", include_str!("libsrtp.c")),
        folder.file("libsrtp"),
    );
    let built = Command::new("cc")
        .args(["-std=c11", "-Wall", "-o"])
        .args([&program, &source])
        .arg("-lsrtp2")
        .output()
        .unwrap_or_else(|error| panic!("a C compiler, `cc`, has to be installed for this test: {error}"));
    assert!(
        built.status.success(),
        "libsrtp 2 with its headers (Debian: libsrtp2-dev) has to be installed for this test:\n{}",
        String::from_utf8_lossy(&built.stderr)
    );
    program
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes all");
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("two hexadecimal digits");
    (0..text.len()).step_by(2).map(byte).collect()
}

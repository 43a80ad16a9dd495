//! DTLS over a UDP socket: `echo server ADDRESS FINGERPRINT` echoes what one client sends until it closes;
//! `echo client ADDRESS FINGERPRINT` says hello, prints what comes back and closes. The fingerprint is the peer's, as in SDP:
//! `"sha-256 4A:AD:…"`. Both print their own; with a PEM file as last argument, they use the certificate in it.
//!
//! ```sh
//! openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k.pem -out c.pem -subj /CN=x
//! openssl s_server -dtls1_2 -accept 4433 -cert c.pem -key k.pem -verify 1 -use_srtp SRTP_AES128_CM_SHA1_80
//! cargo run -p peerline-dtls --example echo -- client 127.0.0.1:4433 \
//!     "sha-256 $(openssl x509 -in c.pem -noout -sha256 -fingerprint | cut -d= -f2)"
//! ```

// An example is a driver: it may ask for the time.
#![allow(clippy::disallowed_methods)]

use std::error::Error;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::BytesMut;
use peerline_dtls::{Certificate, Config, Connection, Event, HashAlgorithm, Role};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (role, address, fingerprint, pem) = match &arguments[..] {
        [role, address, fingerprint, pem @ ..] => (role.as_str(), address, fingerprint, pem.first()),
        _ => return Err("usage: echo client|server ADDRESS FINGERPRINT [PEM]".into()),
    };
    let provider = rustls::crypto::ring::default_provider();
    let certificate = match pem {
        Some(path) => Certificate::from_pem(&provider, &std::fs::read(path)?)?,
        None => Certificate::generate(&provider, SystemTime::now())?,
    };
    println!("own fingerprint: {}", certificate.fingerprint(HashAlgorithm::Sha256));
    let config = Config {
        remote_fingerprints: vec![fingerprint.parse()?],
        hello_verify_request: true,
        ..Config::new(Arc::new(certificate))
    };
    let (role, socket) = if role == "client" {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect(address)?;
        (Role::Client, socket)
    } else {
        let socket = UdpSocket::bind(address)?;
        // The first to speak is the client.
        let (_, peer) = socket.peek_from(&mut [0; 1])?;
        socket.connect(peer)?;
        (Role::Server, socket)
    };
    converse(Connection::new(config, role), &socket)
}

fn converse(mut dtls: Connection, socket: &UdpSocket) -> Result<(), Box<dyn Error>> {
    let (mut out, mut scratch) = (Vec::new(), vec![0; 65_536]);
    loop {
        while let Some(event) = dtls.poll_event() {
            match event {
                Event::Connected => greet(&mut dtls, &mut out),
                // It asks for no connection IDs.
                Event::Readable | Event::PathSeen(_) | Event::PathChanged(_) | Event::ConnectionIdsWanted(_) => {}
                Event::Closed(reason) => {
                    while dtls.poll_transmit(Instant::now(), &mut out).is_some() {
                        socket.send(&std::mem::take(&mut out))?;
                    }
                    println!("closed: {reason}; {:?}", dtls.stats());
                    return Ok(());
                }
            }
        }
        if !out.is_empty() {
            socket.send(&std::mem::take(&mut out))?;
        }
        while dtls.poll_transmit(Instant::now(), &mut out).is_some() {
            socket.send(&std::mem::take(&mut out))?;
        }
        let wait = dtls
            .poll_timeout()
            .map(|at| at.saturating_duration_since(Instant::now()));
        socket.set_read_timeout(Some(
            wait.unwrap_or(Duration::from_secs(30)).max(Duration::from_millis(1)),
        ))?;
        match socket.recv(&mut scratch) {
            Ok(len) => dtls.handle_datagram(Instant::now(), BytesMut::from(&scratch[..len])),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                dtls.handle_timeout(Instant::now());
            }
            Err(error) => return Err(error.into()),
        }
        while let Some(payload) = dtls.recv() {
            println!("received: {:?}", String::from_utf8_lossy(&payload));
            match dtls.role() {
                Role::Server => {
                    say(&mut dtls, &payload, &mut out);
                    socket.send(&std::mem::take(&mut out))?;
                }
                Role::Client => dtls.close(Instant::now()),
            }
        }
    }
}

fn greet(dtls: &mut Connection, out: &mut Vec<u8>) {
    let mut keys = [0; 20];
    let exported = dtls.export_keying_material("EXTRACTOR-dtls_srtp", None, &mut keys);
    println!(
        "connected: {:?}, {:?}, {:?}",
        dtls.version(),
        dtls.cipher_suite(),
        dtls.srtp_profile()
    );
    println!(
        "exported: {exported:?} {}",
        keys.map(|byte| format!("{byte:02X}")).concat()
    );
    if dtls.role() == Role::Client {
        say(dtls, b"hello from peerline\n", out);
    }
}

fn say(dtls: &mut Connection, payload: &[u8], out: &mut Vec<u8>) {
    dtls.enclose(out, |out| {
        out.extend_from_slice(payload);
        Some(payload.len())
    });
}

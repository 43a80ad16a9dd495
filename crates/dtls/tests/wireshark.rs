//! Connection IDs as another implementation reads them: Wireshark, which decrypts with the key log.

// Another program is waited for.
#![allow(clippy::disallowed_methods)]

mod common;

use std::fmt::Write as _;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{configs, connect, pair, seal};
use peerline_dtls::{Config, ConnectionId, KeyLog};
use peerline_sim::Direction;

/// The lines of a key log.
#[derive(Debug, Default)]
struct Lines(Mutex<String>);

impl KeyLog for Lines {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let mut lines = self.0.lock().expect("nobody panics with it");
        writeln!(lines, "{label} {} {}", hex(client_random), hex(secret)).expect("memory");
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A file of datagrams between 192.0.2.1, port 4433, and 192.0.2.2, port 4433: the classic format, packets of LINKTYPE_RAW.
fn pcap(datagrams: &[(Direction, Vec<u8>)]) -> Vec<u8> {
    let mut file = Vec::new();
    for number in [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 0xffff, 101] {
        file.extend_from_slice(&number.to_le_bytes());
    }
    for (i, (direction, datagram)) in datagrams.iter().enumerate() {
        let hosts = match direction {
            Direction::AToB => [1, 2],
            Direction::BToA => [2, 1],
        };
        let udp = datagram.len() as u16 + 8;
        let mut packet = vec![0x45, 0];
        packet.extend_from_slice(&(udp + 20).to_be_bytes());
        packet.extend_from_slice(&[0, 0, 0, 0, 64, 17, 0, 0]);
        hosts
            .iter()
            .for_each(|host| packet.extend_from_slice(&[192, 0, 2, *host]));
        for number in [4433, 4433, udp, 0] {
            packet.extend_from_slice(&number.to_be_bytes());
        }
        packet.extend_from_slice(datagram);
        for number in [i as u32, 0, packet.len() as u32, packet.len() as u32] {
            file.extend_from_slice(&number.to_le_bytes());
        }
        file.extend_from_slice(&packet);
    }
    file
}

/// What AEAD and additional data are is proved by that it opens.
#[test]
fn wireshark_opens_records_with_connection_ids() {
    let keys = Arc::new(Lines::default());
    let ids = [&b"client's"[..], b"srv"];
    let [client, server] = configs();
    let with = |config: Config, id: &[u8]| Config {
        connection_id: ConnectionId::new(id),
        key_log: Some(keys.clone()),
        ..config
    };
    let seen = Arc::new(Mutex::new(Vec::new()));
    let tapped = Arc::clone(&seen);
    let mut pair = pair([with(client, ids[0]), with(server, ids[1])]).tap(move |datagram| {
        let datagram = (datagram.direction, datagram.payload.to_vec());
        tapped.lock().expect("nobody panics with it").push(datagram);
    });
    connect(&mut pair, Duration::from_secs(1));
    let mut datagrams = std::mem::take(&mut *seen.lock().expect("nobody panics with it"));
    datagrams.push((Direction::AToB, seal(&mut pair.a, b"from the client")));
    datagrams.push((Direction::BToA, seal(&mut pair.b, b"from the server")));

    let folder = std::env::temp_dir().join(format!("peerline-dtls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    let (capture, log) = (folder.join("capture.pcap"), folder.join("keys"));
    std::fs::write(&capture, pcap(&datagrams)).expect("a file");
    std::fs::write(&log, &*keys.0.lock().expect("nobody panics with it")).expect("a file");
    let mut tshark = Command::new("tshark");
    tshark
        .arg("-r")
        .arg(&capture)
        .args(["-d", "udp.port==4433,dtls", "-T", "fields", "-E", "separator=;"]);
    tshark.arg("-o").arg(format!("tls.keylog_file:{}", log.display()));
    for field in [
        "ip.src",
        "dtls.record.connection_id",
        "data.data",
        "dtls.app_data",
        "_ws.malformed",
    ] {
        tshark.args(["-e", field]);
    }
    let output = tshark.output();
    std::fs::remove_dir_all(&folder).expect("it is there");
    let output = output
        .expect("tshark is needed: `cargo xtask test` installs it, and Debian has it in the package of that name");
    let text = String::from_utf8(output.stdout).expect("it is text");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let last: Vec<&str> = text.lines().rev().take(2).collect();
    for (line, [host, id, payload]) in last.into_iter().zip([
        ["192.0.2.2", "client's", "from the server"],
        ["192.0.2.1", "srv", "from the client"],
    ]) {
        let fields: Vec<_> = line.split(';').collect();
        assert_eq!(fields[..2], [host, &hex(id.as_bytes())], "{text}");
        assert!(line.contains(&hex(payload.as_bytes())), "{text}");
    }
}

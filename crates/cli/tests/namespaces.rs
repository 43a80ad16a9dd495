//! The program in networks of Linux: behind its translators, and where the path breaks. It takes root, `ip`, `nft` and `tc`: where they
//! are missing, these tests fail, and `cargo xtask test` leaves them out and says so.

// Programs are waited for.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use std::time::{Duration, Instant};

use common::start_into;
use peerline_sim::lab::{HUB, Lab, Running};

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(150);

/// The program in a namespace; what it prints goes to a file.
struct Program {
    process: Running,
    output: PathBuf,
}

impl Program {
    fn start(lab: &Lab, place: &str, arguments: &[&str]) -> Self {
        let output = lab.folder().join(format!("{place}.log"));
        let mut command = lab.command(place, env!("CARGO_BIN_EXE_peerline"));
        let process = Running(start_into(&mut command, arguments, &output));
        Self { process, output }
    }

    fn output(&self) -> String {
        fs::read_to_string(&self.output).expect("text")
    }

    fn is_running(&mut self) -> bool {
        self.process.0.try_wait().expect("it was started").is_none()
    }

    /// What it printed, if it succeeded.
    fn succeeded(&mut self) -> String {
        until("the program ends", || !self.is_running());
        let status = self.process.0.wait().expect("it has ended");
        assert!(status.success(), "{}", self.output());
        self.output()
    }

    fn word_after(&self, marker: &str) -> String {
        let word = || {
            let output = self.output();
            let (_, rest) = output.split_once(marker)?;
            let (line, _) = rest.split_once('\n')?;
            line.split_whitespace().next().map(str::to_owned)
        };
        until(marker, || word().is_some());
        word().expect("it is there")
    }
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < PATIENCE, "waited too long: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Both programs live through it: the path is gone for longer than consent lasts (30 s, RFC 7675 §5.1), so that it takes another
/// connection; with that, the file goes on where it was.
#[test]
fn a_transfer_whose_path_breaks_goes_on_with_another_connection() {
    const MIB: u64 = 1024 * 1024;
    let mut lab = Lab::new(&["tc"]);
    lab.public("a", "203.0.113.21");
    lab.public("b", "203.0.113.22");
    // Slow enough to be interrupted: 48 MiB take four seconds.
    lab.must(
        "a",
        "tc qdisc add dev eth0 root tbf rate 100mbit burst 256kb latency 50ms",
    );
    let (file, copy) = (lab.folder().join("some.bin"), lab.folder().join("copy.bin"));
    let part = lab.folder().join("copy.bin.part");
    let words = (0..48 * MIB / 8).flat_map(|index| index.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    fs::write(&file, words.collect::<Vec<u8>>()).expect("room");
    let arguments = ["send", text(&file), "--listen", "203.0.113.21:7000"];
    let mut sender = Program::start(&lab, "a", &arguments);
    let code = sender.word_after("peerline receive ");
    let mut receiver = Program::start(&lab, "b", &["receive", &code, "--output", text(&copy)]);
    let length = || fs::metadata(&part).map_or(0, |facts| facts.len());
    until("some of it is there", || length() > 4 * MIB);

    lab.plug("b", false);
    let lost = "The connection is lost";
    until("both have noticed", || {
        assert!(sender.is_running() && receiver.is_running(), "{}", receiver.output());
        sender.output().contains(lost) && receiver.output().contains(lost)
    });
    let kept = length();
    assert!(kept < 48 * MIB && !copy.exists(), "{kept}");
    lab.plug("b", true);

    let (said, heard) = (sender.succeeded(), receiver.succeeded());
    assert!(
        heard.contains("are here already") && said.contains("are there already"),
        "{said}\n{heard}"
    );
    let hash = |text: &str| text.split_once("SHA-256 ").map(|(_, hash)| hash.trim().to_owned());
    assert!(hash(&said).is_some_and(|hash| hash.len() == 64), "{said}");
    assert_eq!(hash(&said), hash(&heard));
    assert!(fs::read(&file).expect("a file") == fs::read(&copy).expect("a file"));
}

/// Each kind of translator that nftables makes, and what is said of it.
#[test]
fn what_a_translator_does_is_told_in_words() {
    /// One public address for each address that it speaks with: of the servers' two, each sees another.
    const BY_ADDRESS: &str = "ip daddr 203.0.113.1 snat to 203.0.113.100";
    /// Whoever sends to the translator's address gets through.
    const FULL_CONE: &str = "nft add chain ip t forth \"{ type nat hook prerouting priority -100; }\"
        nft add rule ip t forth iifname eth0 meta l4proto udp dnat to 192.168.7.2
        nft add rule ip t through iifname eth0 accept";
    /// Whoever a port has sent to gets through to it, from whatever port: the translator keeps those of the inside.
    const RESTRICTED_CONE: &str =
        "nft add set ip t seen \"{ type ipv4_addr . inet_service; flags dynamic,timeout; timeout 60s; }\"
        nft insert rule ip t through iifname lan meta l4proto udp add @seen \"{ ip daddr . udp sport }\"
        nft add chain ip t forth \"{ type nat hook prerouting priority -100; }\"
        nft add rule ip t forth iifname eth0 meta l4proto udp ip saddr . udp dport @seen dnat to 192.168.7.2
        nft add rule ip t through iifname eth0 accept";
    const SECOND_ADDRESS: &str = "ip address add 203.0.113.100/24 dev eth0
        ip address add 203.0.113.101/24 dev eth0
        nft add rule ip t out oifname eth0 snat to 203.0.113.101";
    let [independent, by_address, by_both] = [
        "endpoint-independent",
        "address-dependent",
        "address- and port-dependent",
    ];
    let homes = [
        ("full", "masquerade", FULL_CONE, independent, independent),
        ("restricted", "masquerade", RESTRICTED_CONE, independent, by_address),
        ("port", "masquerade", "", independent, by_both),
        ("pool", BY_ADDRESS, SECOND_ADDRESS, by_address, by_both),
        ("symmetric", "masquerade fully-random", "", by_both, by_both),
    ];
    let mut lab = Lab::new(&[]);
    lab.must("hub", "ip address add 203.0.113.2/24 dev br0");
    let listen = format!("{HUB}:3478");
    let mut turn = Program::start(
        &lab,
        "hub",
        &[
            "turn",
            "--realm",
            "example.org",
            "--user",
            "alice:wonderland",
            "--listen",
            &listen,
            "--alternate-address",
            "203.0.113.2:3479",
        ],
    );
    turn.word_after("turn:");
    let (stun, relay) = (
        format!("stun:{listen}"),
        format!("turn:alice:wonderland@{listen}?transport=tcp"),
    );
    let check = ["check", "--ice-server", &stun, "--ice-server", &relay];
    for (index, (name, masquerade, more, ..)) in homes.iter().enumerate() {
        lab.at_home(name, &format!("203.0.113.{}", 11 + index), masquerade, "");
        lab.must(&format!("{name}gw"), more);
    }
    // And who has none, and one whose firewall lets no datagram out.
    lab.public("street", "203.0.113.30");
    lab.at_home("walled", "203.0.113.31", "masquerade", "meta l4proto tcp");
    let mut programs: Vec<Program> = homes
        .iter()
        .map(|(name, ..)| Program::start(&lab, name, &check))
        .collect();
    let mut street = Program::start(&lab, "street", &check);
    let mut walled = Program::start(&lab, "walled", &check);
    for (program, (name, _, _, mapping, filtering)) in programs.iter_mut().zip(homes) {
        let table = program.succeeded();
        let is_told = |row: &str, told: &str| table.lines().any(|line| line == format!("    {row:<10} {told}"));
        assert!(is_told("mapping", mapping), "{name}: {table}");
        assert!(is_told("filtering", filtering), "{name}: {table}");
        assert!(
            table.contains("    address    192.168.7.2:") && table.contains(" becomes 203.0.113.1"),
            "{table}"
        );
        assert!(
            table.contains(" srflx  udp ") && table.contains(" relay  udp "),
            "{table}"
        );
        let advice = match mapping == independent {
            true => "Direct connections come up with most peers.",
            false => "are reached through the relay",
        };
        assert!(table.contains(advice), "{name}: {table}");
    }
    let table = street.succeeded();
    for told in [
        "stays 203.0.113.30:",
        "mapping    endpoint-independent",
        "filtering  endpoint-independent",
    ] {
        assert!(table.contains(told), "{told}: {table}");
    }
    until("the one behind a wall ends", || !walled.is_running());
    let table = walled.output();
    for told in [
        "no server answered by UDP",
        "The relay reaches every peer.",
        "1 of 2 servers gave nothing",
    ] {
        assert!(table.contains(told), "{told}: {table}");
    }
    assert!(turn.is_running());
}

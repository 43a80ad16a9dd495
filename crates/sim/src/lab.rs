//! [`Lab`]: networks of Linux, where virtual ones prove nothing: real sockets through the kernel's own translators and firewalls.
//!
//! It takes root, `ip` and `nft`. Tests that use it are in binaries named `namespaces`, which `cargo xtask test` leaves out, and says so,
//! where they cannot run.

// Processes of others are waited for.
#![allow(clippy::disallowed_methods)]

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};

/// What everybody else is behind: where the servers are.
pub const HUB: &str = "203.0.113.1";

/// Namespaces and what joins them, gone when dropped: `hub` with a bridge, and on it who is public.
pub struct Lab {
    name: String,
    folder: PathBuf,
    /// Those that there are.
    namespaces: Vec<String>,
    /// Where each public one is plugged in.
    ports: HashMap<String, String>,
    links: u32,
}

/// A process of a test, killed when dropped.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs commands, one a line, as they would be typed.
fn run(script: &str) -> Result<(), String> {
    let output = Command::new("sh").args(["-ec", script]).env("PATH", path()).output();
    let output = output.map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{script}\n{}", String::from_utf8_lossy(&output.stderr)))
}

fn path() -> String {
    std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin"
}

impl Lab {
    /// A public network. `programs` are what the test needs besides.
    ///
    /// # Panics
    /// Where none can be made: a test that does not run has not passed.
    #[must_use]
    pub fn new(programs: &[&str]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("pl{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(&name);
        let mut lab = Self {
            name,
            folder,
            namespaces: Vec::new(),
            ports: HashMap::new(),
            links: 0,
        };
        let present: Vec<String> = programs.iter().map(|program| format!("command -v {program}")).collect();
        let possible = run(&present.join("\n"))
            .and_then(|()| std::fs::create_dir_all(&lab.folder).map_err(|error| error.to_string()))
            .and_then(|()| lab.add_namespace("hub"))
            .and_then(|()| lab.within("hub", "nft add table ip t && nft delete table ip t"));
        if let Err(error) = possible {
            panic!(
                "this takes root, iproute2, nftables and {programs:?}; without them, leave it out as `cargo xtask test` does: \
                 --filterset 'not binary(=namespaces)'\n{error}"
            );
        }
        // What has no home is lost beyond the hub, as on the Internet: without a route, coturn ends a session that sends there.
        lab.must(
            "hub",
            &format!(
                "ip link add br0 type bridge && ip link set br0 up && ip address add {HUB}/24 dev br0
                ip link add beyond arp off type veth peer name lost && ip link set lost up && ip link set beyond up
                ip route add default dev beyond"
            ),
        );
        lab
    }

    /// A folder that goes with it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A command to be run in a namespace.
    #[must_use]
    pub fn command(&self, short: &str, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.full(short)]).env("PATH", path());
        command.arg(program);
        command
    }

    fn add_namespace(&mut self, short: &str) -> Result<(), String> {
        let full = self.full(short);
        run(&format!("ip netns add {full}"))?;
        self.namespaces.push(full);
        self.within(short, "ip link set lo up")
    }

    fn full(&self, short: &str) -> String {
        format!("{}-{short}", self.name)
    }

    /// Runs commands in a namespace, one a line.
    ///
    /// # Errors
    /// What they say if one fails.
    pub fn within(&self, short: &str, script: &str) -> Result<(), String> {
        let full = self.full(short);
        run(&format!("ip netns exec {full} sh -ec '{script}'"))
    }

    /// The same, where none may fail.
    ///
    /// # Panics
    /// With what they say if one does.
    pub fn must(&self, short: &str, script: &str) {
        self.within(short, script).expect("the network is made");
    }

    /// A cable between an interface of `short` and one of `other`, or the hub's bridge. Both get an address, if they want one.
    ///
    /// # Panics
    /// If it cannot be made, as all that follow.
    pub fn cable(&mut self, (short, interface, address): (&str, &str, &str), other: (&str, &str, Option<&str>)) {
        self.links += 1;
        let (here, there) = (self.full(short), self.full(other.0));
        let (a, b) = (format!("{}a", self.name), format!("{}b", self.name));
        let mut script = format!(
            "ip link add {a} type veth peer name {b}
            ip link set {a} netns {here} name {interface}
            ip link set {b} netns {there} name {}
            ip -n {here} address add {address} dev {interface}
            ip -n {here} link set {interface} up
            ip -n {there} link set {} up",
            other.1, other.1
        );
        match other.2 {
            Some(address) => write!(script, "\nip -n {there} address add {address} dev {}", other.1),
            None => write!(script, "\nip -n {there} link set {} master br0", other.1),
        }
        .expect("it is text");
        run(&script).expect("a cable");
    }

    /// A host with an address in the public network.
    pub fn public(&mut self, short: &str, address: &str) {
        self.public_at(short, &format!("{address}/24"));
    }

    /// The same, with the length of the network's prefix.
    pub fn public_at(&mut self, short: &str, address: &str) {
        self.add_namespace(short).expect("a namespace");
        let port = format!("p{}", self.links);
        self.cable((short, "eth0", address), ("hub", &port, None));
        self.ports.insert(short.to_owned(), port);
    }

    /// Cuts a public host off, or connects it again. It does not see that by itself: its cable ends at a switch.
    ///
    /// # Panics
    /// If there is none of this name.
    pub fn plug(&self, short: &str, is_in: bool) {
        let port = self.ports.get(short).expect("a public host");
        let bridge = if is_in { "master br0" } else { "nomaster" };
        self.must("hub", &format!("ip link set {port} {bridge}"));
    }

    /// A host at home, behind a translator with this public address. `masquerade` is how nftables translates there, and
    /// `firewall` what it lets out.
    pub fn at_home(&mut self, short: &str, public: &str, masquerade: &str, firewall: &str) {
        let gateway = format!("{short}gw");
        self.public(&gateway, public);
        self.add_namespace(short).expect("a namespace");
        self.cable(
            (short, "eth0", "192.168.7.2/24"),
            (&gateway, "lan", Some("192.168.7.1/24")),
        );
        self.must(short, "ip route add default via 192.168.7.1");
        self.must(
            &gateway,
            &format!(
                "echo 1 > /proc/sys/net/ipv4/ip_forward
                nft add table ip t
                nft add chain ip t out \"{{ type nat hook postrouting priority 100; }}\"
                nft add rule ip t out oifname eth0 {masquerade}
                nft add chain ip t in \"{{ type filter hook input priority 0; policy drop; }}\"
                nft add chain ip t through \"{{ type filter hook forward priority 0; policy drop; }}\"
                nft add rule ip t through ct state established,related accept
                nft add rule ip t through iifname lan {firewall} accept"
            ),
        );
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for namespace in &self.namespaces {
            let _ = run(&format!("ip netns del {namespace}"));
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

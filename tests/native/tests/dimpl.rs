//! DTLS 1.2 and 1.3 with `dimpl`, in memory: either side as client and as server, with loss, cookies and new keys.

// What is given in as time is not what passes.
#![allow(clippy::disallowed_methods)]

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use dimpl::crypto::{Dtls13CipherSuite, NamedGroup as Group};
use dimpl::{Dtls, DtlsCertificate, Output, certificate};
use peerline_dtls::{
    Certificate, CipherSuite, CloseReason, Config, Connection, Event, Fingerprint, HashAlgorithm, NamedGroup,
    ProtocolVersion, Role, default_provider,
};

/// A handshake, and what both ends have come to.
struct Session {
    ours: Connection,
    theirs: Dtls,
    now: Instant,
    their_timeout: Option<Instant>,
    /// How many datagrams have been sent, both ways, and which are lost.
    sent: usize,
    lost: Vec<usize>,
    connected: bool,
    closed: bool,
    certificate: Vec<u8>,
    keying_material: Vec<u8>,
    received: Vec<Vec<u8>>,
}

struct Plan {
    role: Role,
    config: Config,
    theirs: dimpl::ConfigBuilder,
    lost: Vec<usize>,
}

impl Plan {
    fn new(role: Role) -> Self {
        let certificate = Certificate::generate(&default_provider(), SystemTime::now()).expect("a certificate");
        Self {
            role,
            config: Config {
                max_version: ProtocolVersion::DTLS_1_3,
                ..Config::new(Arc::new(certificate))
            },
            theirs: dimpl::Config::builder(),
            lost: Vec::new(),
        }
    }

    fn start(mut self) -> Session {
        let now = Instant::now();
        let DtlsCertificate {
            certificate,
            private_key,
        } = certificate::generate_self_signed_certificate().expect("a certificate");
        self.config.remote_fingerprints = vec![Fingerprint::of(&certificate, HashAlgorithm::Sha256)];
        let own = DtlsCertificate {
            certificate,
            private_key,
        };
        let config = Arc::new(self.theirs.build().expect("it is consistent"));
        let mut theirs = match self.config.max_version {
            ProtocolVersion::DTLS_1_3 => Dtls::new_13(config, own, now),
            _ => Dtls::new_12(config, own, now),
        };
        theirs.set_active(self.role == Role::Server);
        theirs.handle_timeout(now).expect("it starts");
        Session {
            ours: Connection::new(self.config, self.role),
            theirs,
            now,
            their_timeout: None,
            sent: 0,
            lost: self.lost,
            connected: false,
            closed: false,
            certificate: Vec::new(),
            keying_material: Vec::new(),
            received: Vec::new(),
        }
    }

    fn connect(self) -> Session {
        let mut session = self.start();
        session.run_until("both to be connected", |session| {
            session.connected && session.ours.is_connected()
        });
        assert_eq!(session.ours.poll_event(), Some(Event::Connected));
        assert_eq!(session.certificate, session.ours.local_certificate().der());
        session.lost.clear();
        session
    }
}

impl Session {
    fn run_until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        for _ in 0..200 {
            while self.exchange() {}
            if done(self) {
                return;
            }
            let next = [self.ours.poll_timeout(), self.their_timeout]
                .into_iter()
                .flatten()
                .min();
            self.now = next.unwrap_or(self.now).max(self.now) + Duration::from_millis(1);
            self.ours.handle_timeout(self.now);
            self.theirs.handle_timeout(self.now).expect("it goes on");
        }
        panic!("waited in vain for {what}; ours: {:?}", self.ours.stats());
    }

    /// Carries what both have to say; false if they are silent.
    fn exchange(&mut self) -> bool {
        let (mut out, mut any) = (Vec::new(), false);
        while self.ours.poll_transmit(self.now, &mut out).is_some() {
            any = true;
            let datagram = std::mem::take(&mut out);
            if self.arrives() {
                // What it does not understand it says in an error, and goes on.
                let taken = self.theirs.handle_packet(&datagram);
                assert!(taken.is_ok(), "{taken:?}");
            }
        }
        let mut buffer = vec![0; 2048];
        let mut packets = Vec::new();
        loop {
            match self.theirs.poll_output(&mut buffer) {
                Output::Packet(packet) => packets.push(packet.to_vec()),
                Output::BufferTooSmall { needed } => buffer.resize(needed, 0),
                Output::Connected => self.connected = true,
                Output::PeerCert(der) => self.certificate = der.to_vec(),
                Output::KeyingMaterial(keys, _) => self.keying_material = keys.to_vec(),
                Output::ApplicationData(data) => self.received.push(data.to_vec()),
                Output::CloseNotify => self.closed = true,
                Output::Timeout(at) => {
                    self.their_timeout = Some(at);
                    break;
                }
                _ => {}
            }
        }
        for packet in packets {
            any = true;
            if self.arrives() {
                self.ours.handle_datagram(self.now, packet[..].into());
            }
        }
        any
    }

    fn arrives(&mut self) -> bool {
        self.sent += 1;
        !self.lost.contains(&(self.sent - 1))
    }

    /// A message each way.
    fn assert_healthy(&mut self, i: usize) {
        let text = format!("message {i}");
        let mut out = Vec::new();
        let fill = |out: &mut Vec<u8>| {
            out.extend_from_slice(text.as_bytes());
            Some(text.len())
        };
        self.ours.enclose(&mut out, fill).expect("it is connected");
        self.theirs.handle_packet(&out).expect("it is genuine");
        self.theirs
            .send_application_data(text.as_bytes())
            .expect("it is connected");
        while self.exchange() {}
        assert_eq!(self.received.pop().as_deref(), Some(text.as_bytes()));
        assert_eq!(
            self.ours.recv().as_deref(),
            Some(text.as_bytes()),
            "{:?}",
            self.ours.stats()
        );
        assert_eq!(self.ours.stats().records_forged, 0);
    }
}

const ROLES: [Role; 2] = [Role::Client, Role::Server];

#[test]
fn every_suite_and_group() {
    for role in ROLES {
        for suite in [
            (CipherSuite::AES_128_GCM_SHA256, Dtls13CipherSuite::AES_128_GCM_SHA256),
            (CipherSuite::AES_256_GCM_SHA384, Dtls13CipherSuite::AES_256_GCM_SHA384),
            (
                CipherSuite::CHACHA20_POLY1305_SHA256,
                Dtls13CipherSuite::CHACHA20_POLY1305_SHA256,
            ),
        ] {
            for group in [
                (NamedGroup::X25519, Group::X25519),
                (NamedGroup::SECP256R1, Group::Secp256r1),
                (NamedGroup::SECP384R1, Group::Secp384r1),
            ] {
                let mut plan = Plan::new(role);
                plan.theirs = plan.theirs.dtls13_cipher_suites(&[suite.1]).kx_groups(&[group.1]);
                let mut session = plan.connect();
                assert_eq!(session.ours.version(), Some(ProtocolVersion::DTLS_1_3));
                assert_eq!(session.ours.cipher_suite(), Some(suite.0));
                let mut keys = vec![0; session.keying_material.len()];
                let exported = session
                    .ours
                    .export_keying_material("EXTRACTOR-dtls_srtp", None, &mut keys);
                assert_eq!(exported, Ok(()));
                assert!(keys.len() >= 56 && keys == session.keying_material);
                session.assert_healthy(0);
            }
        }
    }
}

#[test]
fn the_older_version() {
    for role in ROLES {
        let mut plan = Plan::new(role);
        plan.config.max_version = ProtocolVersion::DTLS_1_2;
        let mut session = plan.connect();
        assert_eq!(session.ours.version(), Some(ProtocolVersion::DTLS_1_2));
        session.assert_healthy(0);
    }
}

/// A HelloVerifyRequest, or a HelloRetryRequest, and the hello that answers it are two datagrams more.
#[test]
fn cookies() {
    for role in ROLES {
        for version in [ProtocolVersion::DTLS_1_2, ProtocolVersion::DTLS_1_3] {
            let [without, with] = [false, true].map(|cookie| {
                let mut plan = Plan::new(role);
                plan.config.max_version = version;
                // Hellos that fit a datagram.
                plan.config.groups = vec![NamedGroup::X25519, NamedGroup::SECP256R1];
                plan.config.hello_verify_request = cookie;
                plan.theirs = plan.theirs.use_server_cookie(cookie);
                let mut session = plan.connect();
                let sent = session.sent;
                session.assert_healthy(0);
                sent
            });
            assert_eq!(with, without + 2, "{role:?} {version:?}");
        }
    }
}

/// The server has nothing that the client has sent a share of, and asks for another (HelloRetryRequest), with a cookie and without.
#[test]
fn another_group_is_asked_for() {
    for role in ROLES {
        for cookie in [false, true] {
            let mut plan = Plan::new(role);
            plan.config.hello_verify_request = cookie;
            plan.theirs = plan.theirs.use_server_cookie(cookie);
            if role == Role::Client {
                plan.theirs = plan.theirs.kx_groups(&[Group::Secp384r1]);
            } else {
                plan.config.groups = vec![NamedGroup::SECP384R1];
                plan.theirs = plan.theirs.kx_groups(&[Group::X25519, Group::Secp384r1]);
            }
            let mut session = plan.connect();
            assert_eq!(session.ours.key_exchange_group(), Some(NamedGroup::SECP384R1));
            session.assert_healthy(0);
        }
    }
}

#[test]
fn every_choice_of_up_to_two_lost_datagrams() {
    for role in ROLES {
        for version in [ProtocolVersion::DTLS_1_2, ProtocolVersion::DTLS_1_3] {
            for first in 0..12 {
                for second in first..12 {
                    let mut plan = Plan::new(role);
                    plan.config.max_version = version;
                    plan.lost = vec![first, second];
                    plan.connect().assert_healthy(0);
                }
            }
        }
    }
}

#[test]
fn new_keys_on_either_side() {
    for role in ROLES {
        let mut plan = Plan::new(role);
        plan.config.max_records_per_key = 5;
        plan.theirs = plan.theirs.aead_encryption_limit(7);
        let mut session = plan.connect();
        for i in 0..200 {
            session.assert_healthy(i);
        }
    }
}

#[test]
fn close_notify_in_either_direction() {
    for role in ROLES {
        for we_close in [false, true] {
            let mut session = Plan::new(role).connect();
            if we_close {
                session.ours.close(session.now);
                session.run_until("it to hear of the end", |session| session.closed);
            } else {
                session.theirs.close().expect("it is open");
                session.run_until("us to hear of the end", |session| session.ours.is_closed());
                let end = Event::Closed(CloseReason::CloseNotify);
                assert_eq!(session.ours.poll_event(), Some(end));
            }
        }
    }
}

//! DTLS 1.2 with GnuTLS, over UDP: either side as client and as server. What we offer of 1.3 it does not know.

use std::sync::Arc;

use peerline_dtls::{
    AlertDescription, Certificate, CipherSuite, CloseReason, Config, Event, Fault, NamedGroup, ProtocolVersion, Role,
    default_provider,
};
use peerline_native::dtls_over_udp::{DtlsOverUdp, Loss};
use peerline_native::gnutls::GnuTls;
use peerline_native::openssl::{Identity, Key};

struct Session {
    ours: DtlsOverUdp,
    gnutls: GnuTls,
}

const ROLES: [Role; 2] = [Role::Client, Role::Server];

fn config(ours: Key, theirs: Key) -> Config {
    let certificate = Certificate::from_pem(&default_provider(), Identity::get(ours, 0).pem.as_bytes());
    let fingerprint = &Identity::get(theirs, 1).fingerprint;
    Config {
        remote_fingerprints: vec![fingerprint.parse().expect("as in SDP")],
        ..Config::new(Arc::new(certificate.expect("openssl made it")))
    }
}

impl Session {
    fn start(role: Role, config: Config, theirs: Key, priority: &str, loss: Option<Loss>) -> Self {
        let identity = Identity::get(theirs, 1);
        let (mut ours, gnutls) = if role == Role::Client {
            let (gnutls, address) = GnuTls::server(identity, priority);
            (DtlsOverUdp::client(config, address), gnutls)
        } else {
            let ours = DtlsOverUdp::server(config);
            let gnutls = GnuTls::client(identity, ours.address(), priority);
            (ours, gnutls)
        };
        ours.loss = loss;
        Self { ours, gnutls }
    }

    fn expect(&mut self, what: &str, mut done: impl FnMut(&DtlsOverUdp, &GnuTls) -> bool) {
        let gnutls = &self.gnutls;
        let reached = self.ours.run_until(|ours| done(ours, gnutls));
        assert!(
            reached,
            "expected {what}; ours: {:?} {:?}; gnutls:\n{}",
            self.ours.events,
            self.ours.dtls.stats(),
            self.gnutls.output()
        );
    }

    /// Both are connected and have the same keys, and a line goes both ways.
    fn prove(&mut self, role: Role) {
        self.expect("us to be connected", |ours, _| ours.dtls.is_connected());
        assert_eq!(self.ours.dtls.version(), Some(ProtocolVersion::DTLS_1_2));
        if role == Role::Server {
            self.expect("gnutls to be connected", |_, gnutls| gnutls.keying_material().is_some());
            let mut exported = [0; 60];
            let label = "EXTRACTOR-dtls_srtp";
            let dtls = &self.ours.dtls;
            dtls.export_keying_material(label, None, &mut exported)
                .expect("connected");
            let exported = exported.map(|byte| format!("{byte:02x}")).concat();
            assert_eq!(self.gnutls.keying_material(), Some(exported));
            self.gnutls.type_line("from gnutls");
            self.expect("a line from gnutls", |ours, _| {
                ours.received.concat() == b"from gnutls\n"
            });
        }
        self.ours.received.clear();
        self.ours.send(b"from peerline\n");
        match role {
            Role::Client => self.expect("the echo", |ours, _| ours.received.concat() == b"from peerline\n"),
            Role::Server => self.expect("our line", |_, gnutls| gnutls.output().contains("from peerline\n")),
        }
    }

    fn closed(&self) -> Option<CloseReason> {
        match self.ours.events.last() {
            Some(Event::Closed(reason)) => Some(*reason),
            _ => None,
        }
    }
}

const NORMAL: &str = "NORMAL";

#[test]
fn every_cipher_group_and_certificate() {
    for role in ROLES {
        for (key, suites) in [
            (
                Key::P256,
                [
                    CipherSuite::ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
                    CipherSuite::ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
                    CipherSuite::ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
                ],
            ),
            (
                Key::Rsa,
                [
                    CipherSuite::ECDHE_RSA_WITH_AES_128_GCM_SHA256,
                    CipherSuite::ECDHE_RSA_WITH_AES_256_GCM_SHA384,
                    CipherSuite::ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
                ],
            ),
        ] {
            let ciphers = ["AES-128-GCM", "AES-256-GCM", "CHACHA20-POLY1305"];
            let groups = [
                ("X25519", NamedGroup::X25519),
                ("SECP256R1", NamedGroup::SECP256R1),
                ("SECP384R1", NamedGroup::SECP384R1),
            ];
            for ((suite, cipher), (name, group)) in suites.into_iter().zip(ciphers).zip(groups) {
                let priority = format!("NORMAL:-CIPHER-ALL:+{cipher}:-GROUP-ALL:+GROUP-{name}");
                let mut session = Session::start(role, config(key, key), key, &priority, None);
                session.prove(role);
                assert_eq!(session.ours.dtls.cipher_suite(), Some(suite), "{role:?}");
                assert_eq!(session.ours.dtls.key_exchange_group(), Some(group), "{role:?}");
            }
        }
    }
}

#[test]
fn every_single_loss_of_the_handshake() {
    // At once, as GnuTLS waits for a second before it sends again.
    std::thread::scope(|scope| {
        for role in ROLES {
            for loss in (0..4).flat_map(|i| [Loss::Sent(i), Loss::Received(i)]) {
                scope.spawn(move || {
                    let config = config(Key::P256, Key::P256);
                    let mut session = Session::start(role, config, Key::P256, NORMAL, Some(loss));
                    session.expect("us to be connected", |ours, _| ours.dtls.is_connected());
                    if role == Role::Server {
                        session.expect("gnutls to be connected", |_, gnutls| gnutls.keying_material().is_some());
                    }
                    session.ours.loss = None;
                    session.prove(role);
                });
            }
        }
    });
}

#[test]
fn the_wrong_certificate_is_refused() {
    for role in ROLES {
        let mut config = config(Key::P256, Key::P256);
        config.remote_fingerprints = vec![Identity::get(Key::P384, 1).fingerprint.parse().expect("as in SDP")];
        let mut session = Session::start(role, config, Key::P256, NORMAL, None);
        session.expect("us to refuse", |ours, gnutls| {
            ours.dtls.is_closed() && (role == Role::Client || gnutls.output().contains("Certificate is bad"))
        });
        let reason = CloseReason::Failed(Fault::FingerprintMismatch);
        assert_eq!(session.closed(), Some(reason));
        assert_eq!(reason.sent_alert(), Some(AlertDescription::BAD_CERTIFICATE));
    }
}

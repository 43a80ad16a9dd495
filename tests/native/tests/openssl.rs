//! DTLS 1.2 with OpenSSL, over UDP: either side as client and as server.

use std::sync::Arc;

use peerline_dtls::wire::SrtpProfile as Srtp;
use peerline_dtls::{
    AlertDescription, Certificate, CipherSuite, CloseReason, Config, Event, ExtendedMasterSecret, Fault, HashAlgorithm,
    NamedGroup, Role, default_provider,
};
use peerline_native::dtls_over_udp::{DtlsOverUdp, Loss};
use peerline_native::openssl::{Identity, Key, OpenSsl, Settings};

/// Both ends of one connection.
struct Session {
    ours: DtlsOverUdp,
    openssl: OpenSsl,
}

/// What a test asks of both ends.
#[derive(Clone)]
struct Plan<'a> {
    role: Role,
    our_key: Key,
    their_key: Key,
    config: Config,
    arguments: Vec<&'a str>,
    configuration: &'a str,
    loss: Option<Loss>,
}

const ROLES: [Role; 2] = [Role::Client, Role::Server];

impl<'a> Plan<'a> {
    fn new(role: Role) -> Self {
        Self::with_keys(role, Key::P256, Key::P256)
    }

    fn with_keys(role: Role, our_key: Key, their_key: Key) -> Self {
        let certificate = Certificate::from_pem(&default_provider(), Identity::get(our_key, 0).pem.as_bytes());
        let fingerprint = &Identity::get(their_key, 1).fingerprint;
        Self {
            role,
            our_key,
            their_key,
            config: Config {
                remote_fingerprints: vec![fingerprint.parse().expect("as in SDP")],
                ..Config::new(Arc::new(certificate.expect("openssl made it")))
            },
            arguments: Vec::new(),
            configuration: "",
            loss: None,
        }
    }

    fn arguments(mut self, arguments: &[&'a str]) -> Self {
        self.arguments.extend(arguments);
        self
    }

    fn start(self) -> Session {
        let identity = Identity::get(self.their_key, 1);
        let settings = Settings {
            arguments: &self.arguments,
            configuration: self.configuration,
        };
        let (mut ours, openssl) = if self.role == Role::Client {
            let (openssl, address) = OpenSsl::server(identity, settings);
            (DtlsOverUdp::client(self.config, address), openssl)
        } else {
            let ours = DtlsOverUdp::server(self.config);
            let openssl = OpenSsl::client(identity, ours.address(), settings);
            (ours, openssl)
        };
        ours.loss = self.loss;
        Session { ours, openssl }
    }

    /// A connection that has been proved: keys, certificates, data both ways.
    fn connect(self) -> Session {
        let our_key = self.our_key;
        let mut session = self.start();
        session.expect_connected(our_key);
        session.exchange();
        session
    }
}

impl Session {
    fn expect(&mut self, what: &str, mut done: impl FnMut(&DtlsOverUdp, &mut OpenSsl) -> bool) {
        let openssl = &mut self.openssl;
        let reached = self.ours.run_until(|ours| done(ours, openssl));
        assert!(
            reached,
            "expected {what}; ours: {:?} {:?}; sent {:?}, received {:?}; openssl:\n{}",
            self.ours.events,
            self.ours.dtls.stats(),
            self.ours.sent_sizes,
            self.ours.received_sizes,
            self.openssl.output()
        );
    }

    fn expect_connected(&mut self, our_key: Key) {
        self.expect("both to be connected", |ours, openssl| {
            ours.dtls.is_connected() && openssl.keying_material().is_some()
        });
        assert_eq!(self.ours.events, [Event::Connected]);
        // 60 bytes: two keys and two salts of SRTP_AES128_CM (RFC 5764 §4.2).
        let mut exported = [0; 60];
        let label = "EXTRACTOR-dtls_srtp";
        self.ours
            .dtls
            .export_keying_material(label, None, &mut exported)
            .expect("connected");
        let exported = exported.map(|byte| format!("{byte:02X}")).concat();
        assert_eq!(self.openssl.keying_material(), Some(exported));
        // Each has seen the other's certificate.
        let own = Identity::get(our_key, 0);
        assert!(
            self.openssl.output().contains(&own.certificate_pem),
            "{}",
            self.openssl.output()
        );
        let local = self.ours.dtls.local_certificate().fingerprint(HashAlgorithm::Sha256);
        assert_eq!(local.to_string(), own.fingerprint);
        assert!(self.ours.dtls.peer_certificate_der().is_some());
    }

    /// A line each way.
    fn exchange(&mut self) {
        self.openssl.type_line("from openssl");
        self.expect("a line from openssl", |ours, _| {
            ours.received.concat() == b"from openssl\n"
        });
        self.ours.received.clear();
        self.ours.send(b"from peerline\n");
        self.expect("our line at openssl", |_, openssl| {
            openssl.output().contains("from peerline\n")
        });
    }

    fn output_has(&self, line: &str) {
        let output = self.openssl.output();
        assert!(output.contains(line), "no {line:?} in:\n{output}");
    }

    fn closed(&self) -> Option<CloseReason> {
        match self.ours.events.last() {
            Some(Event::Closed(reason)) => Some(*reason),
            _ => None,
        }
    }
}

#[test]
fn every_cipher_suite() {
    for (suite, name, key) in [
        (
            CipherSuite::ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            "ECDHE-ECDSA-AES128-GCM-SHA256",
            Key::P256,
        ),
        (
            CipherSuite::ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            "ECDHE-ECDSA-AES256-GCM-SHA384",
            Key::P256,
        ),
        (
            CipherSuite::ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
            "ECDHE-ECDSA-CHACHA20-POLY1305",
            Key::P256,
        ),
        (
            CipherSuite::ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            "ECDHE-RSA-AES128-GCM-SHA256",
            Key::Rsa,
        ),
        (
            CipherSuite::ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            "ECDHE-RSA-AES256-GCM-SHA384",
            Key::Rsa,
        ),
        (
            CipherSuite::ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
            "ECDHE-RSA-CHACHA20-POLY1305",
            Key::Rsa,
        ),
    ] {
        for role in ROLES {
            let session = Plan::with_keys(role, key, key).arguments(&["-cipher", name]).connect();
            assert_eq!(session.ours.dtls.cipher_suite(), Some(suite));
            session.output_has(name);
        }
        // The other way round: we have but this one.
        let mut plan = Plan::with_keys(Role::Client, key, key);
        plan.config.cipher_suites = vec![suite];
        plan.connect().output_has(&format!("CIPHER is {name}"));
    }
}

#[test]
fn every_group() {
    for (group, name, shown) in [
        (NamedGroup::X25519, "X25519", "Server Temp Key: X25519, 253 bits"),
        (
            NamedGroup::SECP256R1,
            "P-256",
            "Server Temp Key: ECDH, prime256v1, 256 bits",
        ),
        (
            NamedGroup::SECP384R1,
            "P-384",
            "Server Temp Key: ECDH, secp384r1, 384 bits",
        ),
    ] {
        // Theirs, then ours. With RSA, as ECDSA's curve would have to be among the groups too (RFC 8422 §5.1).
        for role in ROLES {
            let plan = Plan::with_keys(role, Key::Rsa, Key::Rsa).arguments(&["-groups", name]);
            let theirs = plan.connect();
            let mut plan = Plan::with_keys(role, Key::Rsa, Key::Rsa);
            plan.config.groups = vec![group];
            let ours = plan.connect();
            // Only the client shows it.
            if role == Role::Server {
                theirs.output_has(shown);
                ours.output_has(shown);
            }
        }
    }
}

#[test]
fn every_pair_of_certificates() {
    for role in ROLES {
        for our_key in Key::ALL {
            for their_key in Key::ALL {
                Plan::with_keys(role, our_key, their_key).connect();
            }
        }
    }
}

#[test]
fn with_and_without_extended_master_secret() {
    Plan::new(Role::Server)
        .connect()
        .output_has("Extended master secret: yes");
    for role in ROLES {
        let mut plan = Plan::new(role);
        plan.config.extended_master_secret = ExtendedMasterSecret::Off;
        let session = plan.connect();
        if role == Role::Server {
            session.output_has("Extended master secret: no");
        }
        let mut plan = Plan::new(role);
        plan.configuration = "Options = -ExtendedMasterSecret";
        let session = plan.clone().connect();
        if role == Role::Server {
            session.output_has("Extended master secret: no");
        }
        plan.config.extended_master_secret = ExtendedMasterSecret::Required;
        let mut session = plan.start();
        session.expect("us to refuse", |ours, _| ours.dtls.is_closed());
        assert_eq!(
            session.closed(),
            Some(CloseReason::Failed(Fault::NoExtendedMasterSecret))
        );
    }
}

#[test]
fn cookies_both_ways() {
    let session = Plan::new(Role::Client).arguments(&["-listen"]).connect();
    // A HelloVerifyRequest came first, and the next hello carried its cookie.
    assert!(
        session.ours.received_sizes[0] < 100,
        "{:?}",
        session.ours.received_sizes
    );

    let mut plan = Plan::new(Role::Server);
    plan.config.hello_verify_request = true;
    let session = plan.connect();
    assert!(session.ours.sent_sizes[0] < 100, "{:?}", session.ours.sent_sizes);
}

#[test]
fn small_datagrams() {
    for role in ROLES {
        let mut plan = Plan::with_keys(role, Key::Rsa, Key::Rsa).arguments(&["-mtu", "300"]);
        plan.config.mtu = 200;
        let session = plan.connect();
        // OpenSSL's number is that of the link: less the headers of IP and UDP.
        assert!(session.ours.received_sizes.iter().all(|size| *size <= 300 - 28));
        assert!(session.ours.sent_sizes.iter().all(|size| *size <= 200));
        assert!(session.ours.sent_sizes.len() > 6, "{:?}", session.ours.sent_sizes);
    }
}

#[test]
fn srtp_profiles() {
    let profiles = [
        (Srtp::AEAD_AES_128_GCM, "SRTP_AEAD_AES_128_GCM"),
        (Srtp::AEAD_AES_256_GCM, "SRTP_AEAD_AES_256_GCM"),
        (Srtp::AES128_CM_HMAC_SHA1_80, "SRTP_AES128_CM_SHA1_80"),
        (Srtp::AES128_CM_HMAC_SHA1_32, "SRTP_AES128_CM_SHA1_32"),
    ];
    for role in ROLES {
        for (profile, name) in profiles {
            let session = Plan::new(role).arguments(&["-use_srtp", name]).connect();
            assert_eq!(session.ours.dtls.srtp_profile(), Some(profile));
            session.output_has(&format!("SRTP Extension negotiated, profile={name}"));
        }
        // Several: the server's order decides, whoever the server is.
        let theirs = "SRTP_AES128_CM_SHA1_32:SRTP_AES128_CM_SHA1_80";
        let mut plan = Plan::new(role).arguments(&["-use_srtp", theirs]);
        plan.config.srtp_profiles = vec![Srtp::AES128_CM_HMAC_SHA1_80, Srtp::AES128_CM_HMAC_SHA1_32];
        let first_of_server = match role {
            Role::Client => Srtp::AES128_CM_HMAC_SHA1_32,
            Role::Server => Srtp::AES128_CM_HMAC_SHA1_80,
        };
        assert_eq!(plan.connect().ours.dtls.srtp_profile(), Some(first_of_server));
        // None in common, or none at all: the connection stands without.
        let mut plan = Plan::new(role).arguments(&["-use_srtp", "SRTP_AES128_CM_SHA1_80"]);
        plan.config.srtp_profiles = vec![Srtp::AEAD_AES_128_GCM];
        assert_eq!(plan.connect().ours.dtls.srtp_profile(), None);
        assert_eq!(Plan::new(role).connect().ours.dtls.srtp_profile(), None);
    }
}

#[test]
fn closing_from_either_side() {
    // s_client says goodbye; s_server, told to quit, closes its socket before it could, so it can only answer ours.
    let mut session = Plan::new(Role::Server).connect();
    session.openssl.type_line("Q");
    session.expect("openssl's close_notify", |ours, _| ours.dtls.is_closed());
    assert_eq!(session.closed(), Some(CloseReason::CloseNotify));
    for role in ROLES {
        let mut session = Plan::new(role).connect();
        let before = session.ours.received_sizes.len();
        session.ours.close();
        session.expect("openssl to end and to answer", |ours, openssl| {
            openssl.has_ended() && ours.received_sizes.len() > before
        });
        assert_eq!(session.closed(), Some(CloseReason::Local));
    }
}

#[test]
fn data_of_every_size() {
    for role in ROLES {
        let mut session = Plan::new(role).connect();
        for len in [1, 2, 100, 1200, 8000, 16_000] {
            let mut line = vec![b'x'; len];
            line.push(b'\n');
            session.ours.send(&line);
            let text = format!("\n{}\n", "x".repeat(len));
            session.expect("our line at openssl", |_, openssl| openssl.output().contains(&text));
        }
        session.openssl.type_line(&"y".repeat(8000));
        session.expect("their line", |ours, _| ours.received.concat().len() == 8001);
    }
}

#[test]
fn every_single_loss_of_the_handshake() {
    // At once, as OpenSSL waits for a second before it sends again.
    std::thread::scope(|scope| {
        for role in ROLES {
            for loss in (0..5).flat_map(|i| [Loss::Sent(i), Loss::Received(i)]) {
                scope.spawn(move || {
                    let mut plan = Plan::new(role).arguments(&["-timeout"]);
                    plan.loss = Some(loss);
                    let mut session = plan.start();
                    session.expect_connected(Key::P256);
                    session.ours.loss = None;
                    session.exchange();
                });
            }
        }
    });
}

#[test]
fn a_hello_request_is_harmless() {
    let mut session = Plan::new(Role::Client).connect();
    let before = session.ours.received_sizes.len();
    session.openssl.type_line("r");
    session.expect("a HelloRequest", |ours, _| ours.received_sizes.len() > before);
    session.ours.send(b"still here\n");
    session.expect("our line at openssl", |_, openssl| {
        openssl.output().contains("still here\n")
    });
    assert!(session.ours.dtls.is_connected());
}

#[test]
fn the_wrong_certificate_is_refused() {
    for role in ROLES {
        let mut plan = Plan::new(role);
        plan.config.remote_fingerprints = vec![Identity::get(Key::P384, 1).fingerprint.parse().expect("as in SDP")];
        let mut session = plan.start();
        session.expect("us to refuse", |ours, openssl| {
            ours.dtls.is_closed() && openssl.output().contains("alert bad certificate")
        });
        assert_eq!(session.closed(), Some(CloseReason::Failed(Fault::FingerprintMismatch)));
        assert!(session.ours.dtls.peer_certificate_der().is_none());

        let mut session = Plan::new(role)
            .arguments(&["-verify_return_error", "-verify", "1"])
            .start();
        session.expect("openssl to refuse", |ours, _| ours.dtls.is_closed());
        assert_eq!(
            session.closed(),
            Some(CloseReason::PeerAlert(AlertDescription::UNKNOWN_CA))
        );
    }
}

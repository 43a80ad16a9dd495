//! The handshake of DTLS 1.2 (RFC 6347 §4.2, RFC 5246 §7): what client and server share.
//!
//! ```text
//! Client                                          Server
//! ClientHello                -------->                              flight 1
//!                            <--------   HelloVerifyRequest         flight 2, if configured
//! ClientHello (cookie)       -------->                              flight 3
//!                                               ServerHello         flight 4
//!                                               Certificate
//!                                         ServerKeyExchange
//!                                        CertificateRequest
//!                            <--------      ServerHelloDone
//! Certificate                                                       flight 5
//! ClientKeyExchange
//! CertificateVerify
//! [ChangeCipherSpec]
//! Finished                   -------->
//!                                        [ChangeCipherSpec]         flight 6
//!                            <--------             Finished
//! ```
//!
//! A side that does not know the peer's fingerprint yet goes as far as it can without trusting the peer, and holds: the
//! client before flight 5, the server before flight 6.

pub(crate) mod client;
pub(crate) mod key_schedule;
pub(crate) mod server;

use peerline_wire::Writer;
use rustls::SignatureScheme as RustlsScheme;
use rustls::crypto::SupportedKxGroup;

use crate::config::Config;
use crate::error::Fault;
use crate::flight::{Answer, Flight};
use crate::reassembly::{Message, Reassembly};
use crate::record_layer::{Epoch, RecordLayer};
use crate::spki::PublicKey;
use crate::wire::handshake::{Certificate, DigitallySigned, Fragment, HandshakeHeader, HandshakeType, Random};
use crate::wire::{NamedGroup, SignatureScheme, SrtpProfile};
use key_schedule::{KeySchedule, Suite};

/// What a handshake works on.
pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) records: RecordLayer,
    pub(crate) reassembly: Reassembly,
    pub(crate) flight: Flight,
    /// The keys under which this side writes by now.
    pub(crate) write_epoch: Epoch,
    /// All handshake messages that Finished covers, unfragmented.
    transcript: Vec<u8>,
    next_message_seq: u16,
    /// The last message of the peer's flight that the current flight answers: its retransmission asks for ours.
    pub(crate) answers: Option<u16>,
    /// The sequence number of the latest record with a plaintext handshake message.
    pub(crate) heard_in: u64,
    /// The peer's certificate in DER, once its public key could be read.
    peer_certificate: Option<Box<[u8]>>,
}

/// Where a message has brought the handshake.
pub(crate) enum Progress<State> {
    /// To another state.
    Next(State),
    /// To its end.
    Connected(Session),
}

/// What remains of a handshake that is complete.
pub(crate) struct Session {
    pub(crate) keys: KeySchedule,
    pub(crate) srtp_profile: Option<SrtpProfile>,
}

/// Whether the peer's certificate has been vouched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// One of its fingerprints was signalled.
    Vouched,
    /// No fingerprint has been signalled yet.
    Unknown,
}

impl Context {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            records: RecordLayer::default(),
            reassembly: Reassembly::new(&config),
            flight: Flight::new(&config),
            write_epoch: Epoch::PLAIN,
            transcript: Vec::new(),
            next_message_seq: 0,
            answers: None,
            heard_in: 0,
            peer_certificate: None,
            config,
        }
    }

    pub(crate) fn peer_certificate(&self) -> Option<&[u8]> {
        self.peer_certificate.as_deref()
    }

    /// Randomness from the provider.
    fn random<const N: usize>(&self) -> Result<[u8; N], Fault> {
        let mut bytes = [0; N];
        self.config
            .provider
            .secure_random
            .fill(&mut bytes)
            .map_err(|_| Fault::CryptoFailed)?;
        Ok(bytes)
    }

    /// Starts a flight.
    fn begin_flight(&mut self, answer: Answer) {
        self.flight.begin(answer, &self.config);
        self.answers = self.reassembly.last_delivered();
    }

    /// Adds a message to the flight and to the transcript.
    fn say(&mut self, kind: HandshakeType, encode: impl FnOnce(&mut Writer<'_>)) {
        let mut body = Vec::new();
        encode(&mut Writer::new(&mut body));
        let message_seq = self.next_message_seq;
        self.next_message_seq = message_seq.saturating_add(1);
        self.remember(kind, message_seq, &body);
        self.flight.push_message(self.write_epoch, kind, message_seq, body);
    }

    /// Adds a ChangeCipherSpec to the flight: what follows is protected.
    fn change_cipher_spec(&mut self) {
        self.flight.push_change_cipher_spec();
        self.write_epoch = Epoch::PROTECTED;
    }

    fn hear(&mut self, message: &Message) {
        self.remember(message.kind, message.message_seq, &message.body);
    }

    /// RFC 6347 §4.2.6: Finished covers each message "as if each handshake message had been sent as a single
    /// fragment", its header included.
    fn remember(&mut self, kind: HandshakeType, message_seq: u16, body: &[u8]) {
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        let header = HandshakeHeader {
            kind,
            length,
            message_seq,
            fragment_offset: 0,
            fragment_length: length,
        };
        Fragment { header, body }.encode(&mut Writer::new(&mut self.transcript));
    }

    /// Takes in the peer's certificate. Whether it is the right one is decided at once if that is known.
    fn receive_certificate(&mut self, message: &Message) -> Result<(), Fault> {
        let certificate = Certificate::decode(&message.body)?;
        let der = certificate.chain.into_iter().next().ok_or(Fault::CertificateMissing)?;
        vouch(&self.config, &der)?;
        PublicKey::of_certificate(&der).ok_or(Fault::CertificateUnreadable)?;
        self.peer_certificate = Some(der.into());
        Ok(())
    }

    /// Whether the peer's certificate has been vouched for.
    pub(crate) fn trust(&self) -> Result<Trust, Fault> {
        let certificate = self.peer_certificate().ok_or(Fault::CertificateMissing)?;
        vouch(&self.config, certificate)
    }

    /// Verifies the peer's signature over `message`.
    fn verify(&self, signed: &DigitallySigned, message: &[u8]) -> Result<(), Fault> {
        let certificate = self.peer_certificate().ok_or(Fault::CertificateMissing)?;
        let key = PublicKey::of_certificate(certificate).ok_or(Fault::CertificateUnreadable)?;
        key.verify(&self.config.provider, signed.scheme, message, &signed.signature)
    }

    /// Signs `message` with one of the schemes that the peer verifies.
    fn sign(&self, schemes: &[SignatureScheme], message: &[u8]) -> Result<DigitallySigned, Fault> {
        let schemes: Vec<_> = schemes.iter().map(|scheme| RustlsScheme::from(scheme.0)).collect();
        let key = self.config.certificate.signing_key();
        let signer = key.choose_scheme(&schemes).ok_or(Fault::NoCommonSignatureScheme)?;
        let signature = signer.sign(message).map_err(|_| Fault::CryptoFailed)?;
        Ok(DigitallySigned {
            scheme: SignatureScheme(signer.scheme().into()),
            signature,
        })
    }

    /// The signature schemes that the provider verifies, best first.
    fn schemes(&self) -> Vec<SignatureScheme> {
        let mapping = self.config.provider.signature_verification_algorithms.mapping;
        mapping
            .iter()
            .map(|(scheme, _)| SignatureScheme(u16::from(*scheme)))
            .collect()
    }

    /// The suites that are configured and that the provider has, best first.
    fn suites(&self) -> impl Iterator<Item = Suite> {
        self.config
            .cipher_suites
            .iter()
            .filter_map(|id| Suite::find(&self.config.provider, *id))
    }

    /// The groups that are configured and that the provider has, best first.
    fn groups(&self) -> impl Iterator<Item = NamedGroup> {
        self.config
            .groups
            .iter()
            .copied()
            .filter(|group| self.group(*group).is_some())
    }

    fn group(&self, group: NamedGroup) -> Option<&'static dyn SupportedKxGroup> {
        // ECDHE in TLS 1.2 has named curves only: no finite fields and no hybrids.
        let ecdhe = matches!(
            group,
            NamedGroup::X25519 | NamedGroup::SECP256R1 | NamedGroup::SECP384R1
        );
        let named = |kx: &&&'static dyn SupportedKxGroup| u16::from(kx.name()) == group.0;
        if !ecdhe || !self.config.groups.contains(&group) {
            return None;
        }
        self.config.provider.kx_groups.iter().find(named).copied()
    }

    /// Installs the keys of epoch 1, this side writing with the first.
    fn set_keys(&mut self, keys: Option<(crate::cipher::Cipher, crate::cipher::Cipher)>) -> Result<(), Fault> {
        let (write, read) = keys.ok_or(Fault::CryptoFailed)?;
        self.records.set_keys(write, read);
        Ok(())
    }

    /// Frees what only the handshake needed; the last flight stays, in case the peer lacks it.
    fn conclude(&mut self) {
        self.transcript = Vec::new();
        self.reassembly.clear();
        self.flight.shrink();
        self.config.cipher_suites = Vec::new();
        self.config.groups = Vec::new();
        self.config.srtp_profiles = Vec::new();
    }
}

/// RFC 8122 §5: one fingerprint that matches is enough, whatever its hash.
fn vouch(config: &Config, der: &[u8]) -> Result<Trust, Fault> {
    if config.remote_fingerprints.is_empty() {
        return Ok(Trust::Unknown);
    }
    if config
        .remote_fingerprints
        .iter()
        .any(|fingerprint| fingerprint.matches(der))
    {
        Ok(Trust::Vouched)
    } else {
        Err(Fault::FingerprintMismatch)
    }
}

/// What a ServerKeyExchange's signature covers (RFC 8422 §5.4).
fn signed_params(client: &Random, server: &Random, params: &crate::wire::handshake::EcdheParams) -> Vec<u8> {
    let mut message = Vec::new();
    let mut w = Writer::new(&mut message);
    w.bytes(client);
    w.bytes(server);
    params.encode(&mut w);
    message
}

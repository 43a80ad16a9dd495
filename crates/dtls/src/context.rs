//! What a handshake works on, and what it comes to, whatever its version.

use peerline_wire::Writer;
use rustls::SignatureScheme as RustlsScheme;
use rustls::crypto::{SupportedKxGroup, hash};

use crate::acknowledgement::Acks;
use crate::config::{Config, Role};
use crate::dtls12::key_schedule::{KeySchedule, Suite as Suite12};
use crate::dtls13::epochs::Epochs;
use crate::dtls13::key_schedule::{Suite as Suite13, Traffic};
use crate::dtls13::session::Session13;
use crate::error::{ExportError, Fault};
use crate::flight::{Answer, Flight};
use crate::reassembly::{Message, Reassembly};
use crate::record_layer::{Epoch, RecordLayer};
use crate::spki::PublicKey;
use crate::wire::handshake::{DigitallySigned, Fragment, HandshakeHeader, HandshakeType};
use crate::wire::{CipherSuite, NamedGroup, ProtocolVersion, SignatureScheme, SrtpProfile};

/// What a handshake works on.
pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) records: RecordLayer,
    pub(crate) reassembly: Reassembly,
    pub(crate) flight: Flight,
    /// What is to be acknowledged, in DTLS 1.3.
    pub(crate) acks: Acks,
    /// The keys under which this side writes by now.
    pub(crate) write_epoch: Epoch,
    /// All handshake messages that Finished covers, unfragmented, while the version is not 1.3.
    pub(crate) transcript: Vec<u8>,
    /// Their hash once it is.
    hash: Option<Box<dyn hash::Context>>,
    pub(crate) next_message_seq: u16,
    /// The last message of the peer's flight that the current flight answers: its retransmission asks for ours.
    pub(crate) answers: Option<u16>,
    /// The sequence number of the latest record with a plaintext handshake message.
    pub(crate) heard_in: u64,
    /// The peer's certificate in DER, once its public key could be read.
    peer_certificate: Option<Box<[u8]>>,
    /// The group of the key exchange.
    pub(crate) key_exchange_group: Option<NamedGroup>,
    /// Both sides know the return routability check.
    pub(crate) checks_paths: bool,
}

/// Where a message has brought the handshake.
pub(crate) enum Progress<State> {
    /// To another state.
    Next(State),
    /// To its end.
    Connected(Session),
}

impl<S> Progress<S> {
    pub(crate) fn map<T>(self, wrap: impl FnOnce(S) -> T) -> Progress<T> {
        match self {
            Self::Next(state) => Progress::Next(wrap(state)),
            Self::Connected(session) => Progress::Connected(session),
        }
    }
}

/// What remains of a handshake that is complete.
pub(crate) struct Session {
    pub(crate) keys: Keys,
    pub(crate) srtp_profile: Option<SrtpProfile>,
}

/// What a session's keys come from.
pub(crate) enum Keys {
    Dtls12(KeySchedule),
    Dtls13(Box<Session13>),
}

impl Session {
    pub(crate) fn version(&self) -> ProtocolVersion {
        match self.keys {
            Keys::Dtls12(_) => ProtocolVersion::DTLS_1_2,
            Keys::Dtls13(_) => ProtocolVersion::DTLS_1_3,
        }
    }

    pub(crate) fn cipher_suite(&self) -> CipherSuite {
        match &self.keys {
            Keys::Dtls12(keys) => keys.suite.id,
            Keys::Dtls13(session) => session.suite.id,
        }
    }

    pub(crate) fn export(&self, label: &[u8], context: Option<&[u8]>, out: &mut [u8]) -> Result<(), ExportError> {
        match &self.keys {
            Keys::Dtls12(keys) => keys.export(label, context, out),
            Keys::Dtls13(session) => session.exporter.export(label, context, out),
        }
    }
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
            acks: Acks::default(),
            write_epoch: Epoch::PLAIN,
            transcript: Vec::new(),
            hash: None,
            next_message_seq: 0,
            answers: None,
            heard_in: 0,
            peer_certificate: None,
            key_exchange_group: None,
            checks_paths: false,
            config,
        }
    }

    pub(crate) fn peer_certificate(&self) -> Option<&[u8]> {
        self.peer_certificate.as_deref()
    }

    /// Randomness from the provider.
    pub(crate) fn random<const N: usize>(&self) -> Result<[u8; N], Fault> {
        let mut bytes = [0; N];
        self.config
            .provider
            .secure_random
            .fill(&mut bytes)
            .map_err(|_| Fault::CryptoFailed)?;
        Ok(bytes)
    }

    /// Starts a flight.
    pub(crate) fn begin_flight(&mut self, answer: Answer) {
        self.flight.begin(answer, &self.config);
        // RFC 9147 §7: a flight acknowledges the one that it answers.
        self.acks.clear();
        self.answers = self.reassembly.last_delivered();
    }

    /// Adds a message to the flight and to the transcript.
    pub(crate) fn say(&mut self, kind: HandshakeType, encode: impl FnOnce(&mut Writer<'_>)) {
        let mut body = Vec::new();
        encode(&mut Writer::new(&mut body));
        let message_seq = self.next_message_seq;
        self.next_message_seq = message_seq.saturating_add(1);
        self.remember(kind, message_seq, &body);
        self.flight.push_message(self.write_epoch, kind, message_seq, body);
    }

    /// Adds a ChangeCipherSpec to the flight: what follows is protected.
    pub(crate) fn change_cipher_spec(&mut self) {
        self.flight.push_change_cipher_spec();
        self.write_epoch = Epoch::PROTECTED;
    }

    pub(crate) fn hear(&mut self, message: &Message) {
        self.remember(message.kind, message.message_seq, &message.body);
    }

    /// RFC 6347 §4.2.6: Finished covers each message "as if each handshake message had been sent as a single
    /// fragment", its header included. RFC 9147 §5.2: in 1.3, without `message_seq`, offset and length of the fragment.
    fn remember(&mut self, kind: HandshakeType, message_seq: u16, body: &[u8]) {
        let message = Fragment::whole(kind, message_seq, body);
        if let Some(hash) = &mut self.hash {
            let [_, length @ ..] = message.header.length.to_be_bytes();
            hash.update(&[kind.0]);
            hash.update(&length);
            hash.update(body);
            return;
        }
        message.encode(&mut Writer::new(&mut self.transcript));
    }

    /// The version is 1.3: hashes what has been said so far as 1.3 does, and what is to come.
    pub(crate) fn start_hash(&mut self, suite: Suite13) {
        let transcript = std::mem::take(&mut self.transcript);
        let mut hash = suite.start_hash();
        // One ClientHello or nothing. The header of DTLS begins with that of TLS.
        if let Some((header, body)) = transcript.split_at_checked(HandshakeHeader::LEN) {
            hash.update(&header[..4]);
            hash.update(body);
        }
        self.hash = Some(hash);
    }

    /// RFC 8446 §4.4.1: after a HelloRetryRequest the first ClientHello is replaced by its hash.
    pub(crate) fn start_hash_with_retry(&mut self, suite: Suite13, client_hello: &[u8]) {
        self.transcript = Vec::new();
        self.hash = Some(suite.start_hash());
        self.remember(HandshakeType::MESSAGE_HASH, 0, client_hello);
    }

    /// Adds a message to the transcript of 1.3 that is neither said nor heard now.
    pub(crate) fn recall(&mut self, kind: HandshakeType, body: &[u8]) {
        self.remember(kind, 0, body);
    }

    /// The hash of the messages so far, in 1.3.
    pub(crate) fn transcript_hash(&self) -> Result<hash::Output, Fault> {
        let hash = self.hash.as_ref().ok_or(Fault::UnexpectedMessage)?;
        Ok(hash.fork_finish())
    }

    /// Takes in the peer's certificate. Whether it is the right one is decided at once if that is known.
    pub(crate) fn receive_certificate(&mut self, der: Vec<u8>) -> Result<(), Fault> {
        vouch(&self.config, &der)?;
        PublicKey::of_certificate(&der).ok_or(Fault::CertificateUnreadable)?;
        self.peer_certificate = Some(der.into());
        Ok(())
    }

    /// The public key of the peer's certificate.
    pub(crate) fn peer_key(&self) -> Result<PublicKey<'_>, Fault> {
        let certificate = self.peer_certificate().ok_or(Fault::CertificateMissing)?;
        PublicKey::of_certificate(certificate).ok_or(Fault::CertificateUnreadable)
    }

    /// Whether the peer's certificate has been vouched for.
    pub(crate) fn trust(&self) -> Result<Trust, Fault> {
        let certificate = self.peer_certificate().ok_or(Fault::CertificateMissing)?;
        vouch(&self.config, certificate)
    }

    /// Signs `message` with one of the schemes that the peer verifies.
    pub(crate) fn sign(&self, schemes: &[SignatureScheme], message: &[u8]) -> Result<DigitallySigned, Fault> {
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
    pub(crate) fn schemes(&self) -> Vec<SignatureScheme> {
        let mapping = self.config.provider.signature_verification_algorithms.mapping;
        mapping
            .iter()
            .map(|(scheme, _)| SignatureScheme(u16::from(*scheme)))
            .collect()
    }

    /// True if this side speaks a version: it is configured, and the provider has a suite for it.
    pub(crate) fn speaks(&self, version: ProtocolVersion) -> bool {
        let has_suite = match version {
            ProtocolVersion::DTLS_1_2 => self.suites12().next().is_some(),
            ProtocolVersion::DTLS_1_3 => self.suites13().next().is_some(),
            _ => false,
        };
        // Newer versions have smaller numbers.
        has_suite && version <= self.config.min_version && version >= self.config.max_version
    }

    /// The suites of DTLS 1.2 that are configured and that the provider has, best first.
    pub(crate) fn suites12(&self) -> impl Iterator<Item = Suite12> {
        let ids = self.config.cipher_suites.iter();
        ids.filter_map(|id| Suite12::find(&self.config.provider, *id))
    }

    /// The same of DTLS 1.3.
    pub(crate) fn suites13(&self) -> impl Iterator<Item = Suite13> {
        let ids = self.config.cipher_suites.iter();
        ids.filter_map(|id| Suite13::find(&self.config.provider, *id))
    }

    /// The groups for a version that are configured and that the provider has, best first.
    pub(crate) fn groups(&self, version: ProtocolVersion) -> impl Iterator<Item = NamedGroup> {
        let groups = self.config.groups.iter().copied();
        groups.filter(move |group| self.group(version, *group).is_some())
    }

    pub(crate) fn group(&self, version: ProtocolVersion, group: NamedGroup) -> Option<&'static dyn SupportedKxGroup> {
        // ECDHE in TLS 1.2 has named curves only: no finite fields and no hybrids.
        let fits = match group {
            NamedGroup::X25519 | NamedGroup::SECP256R1 | NamedGroup::SECP384R1 => true,
            NamedGroup::X25519MLKEM768 => version == ProtocolVersion::DTLS_1_3,
            _ => false,
        };
        let named = |kx: &&&'static dyn SupportedKxGroup| u16::from(kx.name()) == group.0;
        if !fits || !self.config.groups.contains(&group) {
            return None;
        }
        self.config.provider.kx_groups.iter().find(named).copied()
    }

    /// Installs the keys of epoch 1, this side writing with the first.
    pub(crate) fn set_keys(
        &mut self,
        keys: Option<(crate::cipher::Cipher, crate::cipher::Cipher)>,
    ) -> Result<(), Fault> {
        let (write, read) = keys.ok_or(Fault::CryptoFailed)?;
        self.records.set_keys(write, read);
        Ok(())
    }

    /// Installs the keys of an epoch of DTLS 1.3 in both directions, and writes with them from now on.
    pub(crate) fn set_epoch(
        &mut self,
        suite: Suite13,
        role: Role,
        epoch: Epoch,
        traffic: &Traffic,
    ) -> Result<(), Fault> {
        let epochs = self.records.epochs.get_or_insert_with(|| Box::new(Epochs::new(suite)));
        let (write, read) = traffic.of(role);
        epochs
            .write_with(epoch, write)
            .and_then(|()| epochs.read_with(epoch, read))
            .ok_or(Fault::CryptoFailed)?;
        self.write_epoch = epoch;
        Ok(())
    }

    /// Frees what only the handshake needed; the last flight stays, in case the peer lacks it.
    pub(crate) fn conclude(&mut self) {
        self.transcript = Vec::new();
        self.hash = None;
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

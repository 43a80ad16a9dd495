//! The client's side of the handshake.

use rustls::crypto::{ActiveKeyExchange, SharedSecret};

use super::key_schedule::{ApplicationSecrets, HandshakeSecrets, Suite};
use super::session::Session13;
use super::{VERSION, on_certificate, on_certificate_verify, say_certificate};
use crate::config::Role;
use crate::connection_ids::ConnectionIds;
use crate::context::{Context, Keys, Progress, Session, Trust};
use crate::error::Fault;
use crate::flight::Answer;
use crate::handshake::Handshake;
use crate::hello::client::{AwaitServerHello, srtp_profile};
use crate::reassembly::Message;
use crate::record_layer::Epoch;
use crate::wire::extension::{self, Extension, ExtensionType, KeyShare};
use crate::wire::handshake::dtls13::{CertificateRequest, EncryptedExtensions};
use crate::wire::handshake::{CompressionMethod, HandshakeType, Random, ServerHello};
use crate::wire::{NamedGroup, ProtocolVersion, SignatureScheme, SrtpProfile};

/// Where the client stands: what it waits for.
pub(crate) enum Client {
    EncryptedExtensions(Box<Chosen>),
    /// Or for the Certificate: a server need not ask for one.
    CertificateRequest(Box<Chosen>),
    Certificate(Box<Chosen>),
    CertificateVerify(Box<Chosen>),
    Finished(Box<Chosen>),
    /// The server's flight is complete, but nobody has vouched for its certificate yet.
    Fingerprint(Box<Chosen>, Box<ApplicationSecrets>),
}

/// What the server has said so far.
pub(crate) struct Chosen {
    suite: Suite,
    /// What a key log names the connection by.
    client_random: Random,
    secrets: HandshakeSecrets,
    offered: Vec<ExtensionType>,
    srtp_profile: Option<SrtpProfile>,
    /// With what the server verifies a signature, if it wants one.
    request: Option<Vec<SignatureScheme>>,
}

impl Client {
    /// A ServerHello of 1.3 has come, or a HelloRetryRequest.
    pub(crate) fn on_server_hello(
        offer: Box<AwaitServerHello>,
        hello: &ServerHello,
        cx: &mut Context,
        message: &Message,
    ) -> Result<Handshake, Fault> {
        // RFC 9147 §5: "DTLS servers MUST NOT echo the "legacy_session_id" value from the client", and this one sent none.
        if hello.has_duplicate_extensions()
            || hello.compression_method != CompressionMethod::NULL
            || !hello.session_id.is_empty()
            || !offer.hello.cipher_suites.contains(&hello.cipher_suite)
        {
            return Err(Fault::IllegalParameter);
        }
        let suite = Suite::find(&cx.config.provider, hello.cipher_suite).ok_or(Fault::IllegalParameter)?;
        if hello.is_hello_retry_request() {
            return on_retry_request(offer, hello, suite, cx, message);
        }
        let mut expected = vec![ExtensionType::SUPPORTED_VERSIONS, ExtensionType::KEY_SHARE];
        expected.extend(ConnectionIds::extensions(&cx.config).map(|offered| offered.extension_type));
        expect_only(&hello.extensions, &expected)?;
        // RFC 8446 §4.1.4: the suite must be that of the HelloRetryRequest.
        if offer.retry.is_some_and(|suite| suite != hello.cipher_suite) {
            return Err(Fault::IllegalParameter);
        }
        let share = hello
            .extension(ExtensionType::KEY_SHARE)
            .ok_or(Fault::MissingExtension)?;
        let share = extension::key_share(share)?;
        let group = share.group;
        let shared = complete(offer.exchanges, share)?;
        cx.key_exchange_group = Some(group);
        if offer.retry.is_none() {
            cx.start_hash(suite);
        }
        cx.hear(message);
        ConnectionIds::negotiate(&hello.extensions, cx)?;
        let secrets = HandshakeSecrets::new(suite, shared.secret_bytes(), &cx.transcript_hash()?);
        let client_random = offer.hello.random;
        cx.log_handshake(&client_random, &secrets.traffic);
        cx.records.set_version(ProtocolVersion::DTLS_1_2);
        cx.set_epoch(suite, Role::Client, Epoch::HANDSHAKE, &secrets.traffic)?;
        cx.reassembly.require(Epoch::HANDSHAKE);
        // RFC 9147 §7.2: "the receipt of any record responding to a given flight MUST be taken as an implicit acknowledgement
        // for the entire flight".
        cx.flight.finish();
        Ok(Handshake::Client13(Self::EncryptedExtensions(Box::new(Chosen {
            suite,
            client_random,
            secrets,
            offered: offer
                .hello
                .extensions
                .iter()
                .map(|offered| offered.extension_type)
                .collect(),
            srtp_profile: None,
            request: None,
        }))))
    }

    pub(crate) fn handle(self, cx: &mut Context, message: &Message) -> Result<Progress<Self>, Fault> {
        let next = match (self, message.kind) {
            (Self::EncryptedExtensions(mut chosen), HandshakeType::ENCRYPTED_EXTENSIONS) => {
                chosen.on_encrypted_extensions(cx, message)?;
                Self::CertificateRequest(chosen)
            }
            (Self::CertificateRequest(mut chosen), HandshakeType::CERTIFICATE_REQUEST) => {
                chosen.on_certificate_request(cx, message)?;
                Self::Certificate(chosen)
            }
            (Self::CertificateRequest(chosen) | Self::Certificate(chosen), HandshakeType::CERTIFICATE) => {
                on_certificate(cx, Role::Server, message)?;
                Self::CertificateVerify(chosen)
            }
            (Self::CertificateVerify(chosen), HandshakeType::CERTIFICATE_VERIFY) => {
                on_certificate_verify(cx, Role::Server, message)?;
                Self::Finished(chosen)
            }
            (Self::Finished(chosen), HandshakeType::FINISHED) => {
                let base = &chosen.secrets.traffic.server;
                chosen
                    .suite
                    .verify_finished(base, &cx.transcript_hash()?, &message.body)?;
                cx.hear(message);
                let application = Box::new(chosen.secrets.application(&cx.transcript_hash()?));
                cx.log_application(&chosen.client_random, &application);
                return go_on_if_trusted(chosen, application, cx);
            }
            _ => return Err(Fault::UnexpectedMessage),
        };
        Ok(Progress::Next(next))
    }

    /// The peer's certificate may be vouched for by now.
    pub(crate) fn on_fingerprints(self, cx: &mut Context) -> Result<Progress<Self>, Fault> {
        match self {
            Self::Fingerprint(chosen, application) => go_on_if_trusted(chosen, application, cx),
            Self::EncryptedExtensions(_) | Self::CertificateRequest(_) | Self::Certificate(_) => {
                Ok(Progress::Next(self))
            }
            Self::CertificateVerify(_) | Self::Finished(_) => cx.trust().map(|_| Progress::Next(self)),
        }
    }

    /// True while the handshake waits for fingerprints and nothing else.
    pub(crate) fn is_held(&self) -> bool {
        matches!(self, Self::Fingerprint(..))
    }
}

/// RFC 8446 §4.1.4: the ClientHello is sent again with what the server asks for, and nothing else changed.
fn on_retry_request(
    mut offer: Box<AwaitServerHello>,
    request: &ServerHello,
    suite: Suite,
    cx: &mut Context,
    message: &Message,
) -> Result<Handshake, Fault> {
    // RFC 9147 §5.1: "clients MUST abort the handshake with an "unexpected_message" alert in response to any second
    // HelloRetryRequest".
    if offer.retry.is_some() {
        return Err(Fault::UnexpectedMessage);
    }
    let expected = [
        ExtensionType::SUPPORTED_VERSIONS,
        ExtensionType::KEY_SHARE,
        ExtensionType::COOKIE,
    ];
    expect_only(&request.extensions, &expected)?;
    let group = request
        .extension(ExtensionType::KEY_SHARE)
        .map(extension::selected_group)
        .transpose()?;
    let cookie = request
        .extension(ExtensionType::COOKIE)
        .map(extension::cookie)
        .transpose()?;
    // "Clients MUST abort the handshake with an "illegal_parameter" alert if the HelloRetryRequest would not result in any
    // change in the ClientHello."
    if group.is_none() && cookie.is_none() {
        return Err(Fault::IllegalParameter);
    }
    let extensions = &mut offer.hello.extensions;
    if let Some(group) = group {
        let exchange = start_other(cx, group, &offer.exchanges)?;
        let share = KeyShare {
            group,
            key_exchange: exchange.pub_key(),
        };
        extensions.retain(|extension| extension.extension_type != ExtensionType::KEY_SHARE);
        extensions.push(Extension::key_shares(&[share]));
        offer.exchanges = vec![exchange];
    }
    extensions.extend(cookie.map(Extension::cookie));
    offer.retry = Some(request.cipher_suite);

    cx.start_hash(suite);
    let first = cx.transcript_hash()?;
    cx.start_hash_with_retry(suite, first.as_ref());
    cx.hear(message);
    offer.say(cx);
    Ok(Handshake::ServerHello(offer))
}

/// RFC 8446 §4.2.8: a group that was offered, and of which no share was sent.
fn start_other(
    cx: &Context,
    group: NamedGroup,
    sent: &[Box<dyn ActiveKeyExchange>],
) -> Result<Box<dyn ActiveKeyExchange>, Fault> {
    let shares = sent.iter().flat_map(|exchange| {
        let component = exchange.hybrid_component().map(|(group, _)| group);
        [Some(exchange.group()), component].into_iter().flatten()
    });
    if shares.map(u16::from).any(|sent| sent == group.0) {
        return Err(Fault::IllegalParameter);
    }
    let group = cx.group(VERSION, group).ok_or(Fault::IllegalParameter)?;
    group.start().map_err(|_| Fault::CryptoFailed)
}

/// Completes the key exchange that the server chose.
fn complete(exchanges: Vec<Box<dyn ActiveKeyExchange>>, share: KeyShare<'_>) -> Result<SharedSecret, Fault> {
    for exchange in exchanges {
        if u16::from(exchange.group()) == share.group.0 {
            return exchange.complete(share.key_exchange).map_err(|_| Fault::BadKeyShare);
        }
        let component = exchange.hybrid_component().map(|(group, _)| u16::from(group));
        if component == Some(share.group.0) {
            let shared = exchange.complete_hybrid_component(share.key_exchange);
            return shared.map_err(|_| Fault::BadKeyShare);
        }
    }
    Err(Fault::IllegalParameter)
}

/// RFC 8446 §4.2: an extension that has no place in a message ends the handshake.
fn expect_only(extensions: &[Extension], expected: &[ExtensionType]) -> Result<(), Fault> {
    let expected = |extension: &Extension| expected.contains(&extension.extension_type);
    match extensions.iter().all(expected) {
        true => Ok(()),
        false => Err(Fault::UnofferedExtension),
    }
}

impl Chosen {
    fn on_encrypted_extensions(&mut self, cx: &mut Context, message: &Message) -> Result<(), Fault> {
        let answers = EncryptedExtensions::decode(&message.body)?.extensions;
        expect_only(&answers, &self.offered)?;
        // RFC 8446 §4.2: these are answered elsewhere, or not at all.
        let misplaced = [
            ExtensionType::SUPPORTED_VERSIONS,
            ExtensionType::KEY_SHARE,
            ExtensionType::COOKIE,
            ExtensionType::SIGNATURE_ALGORITHMS,
            ExtensionType::CONNECTION_ID,
            ExtensionType::RETURN_ROUTABILITY_CHECK,
        ];
        let is_misplaced = |answer: &Extension| misplaced.contains(&answer.extension_type);
        if Extension::has_duplicates(&answers) || answers.iter().any(is_misplaced) {
            return Err(Fault::IllegalParameter);
        }
        self.srtp_profile = srtp_profile(Extension::find(&answers, ExtensionType::USE_SRTP), cx)?;
        cx.hear(message);
        Ok(())
    }

    fn on_certificate_request(&mut self, cx: &mut Context, message: &Message) -> Result<(), Fault> {
        let request = CertificateRequest::decode(&message.body)?;
        // RFC 8446 §4.3.2: the context "SHALL be zero length unless used for the post-handshake authentication exchanges".
        if !request.context.is_empty() || Extension::has_duplicates(&request.extensions) {
            return Err(Fault::IllegalParameter);
        }
        let schemes = Extension::find(&request.extensions, ExtensionType::SIGNATURE_ALGORITHMS);
        self.request = Some(extension::signature_algorithms(
            schemes.ok_or(Fault::MissingExtension)?,
        )?);
        cx.hear(message);
        Ok(())
    }
}

fn go_on_if_trusted(
    chosen: Box<Chosen>,
    application: Box<ApplicationSecrets>,
    cx: &mut Context,
) -> Result<Progress<Client>, Fault> {
    match cx.trust()? {
        Trust::Unknown => Ok(Progress::Next(Client::Fingerprint(chosen, application))),
        Trust::Vouched => say_second_flight(&chosen, *application, cx).map(Progress::Connected),
    }
}

/// Certificate, CertificateVerify, Finished. The server will acknowledge them, and may be written to at once.
fn say_second_flight(chosen: &Chosen, application: ApplicationSecrets, cx: &mut Context) -> Result<Session, Fault> {
    let Chosen { suite, secrets, .. } = chosen;
    cx.begin_flight(Answer::Expected);
    cx.flight.track_records();
    if let Some(schemes) = &chosen.request {
        say_certificate(cx, Role::Client, schemes)?;
    }
    let verify_data = suite.verify_data(&secrets.traffic.client, &cx.transcript_hash()?);
    cx.say(HandshakeType::FINISHED, |w| w.bytes(verify_data.as_ref()));
    cx.set_epoch(*suite, Role::Client, Epoch::APPLICATION, &application.traffic)?;
    cx.reassembly.require(Epoch::APPLICATION);
    cx.conclude();
    Ok(Session {
        keys: Keys::Dtls13(Box::new(Session13::new(*suite, Role::Client, application))),
        srtp_profile: chosen.srtp_profile,
    })
}

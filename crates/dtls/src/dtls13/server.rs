//! The server's side of the handshake.

use ring::hmac;
use rustls::crypto::CompletedKeyExchange;

use super::cookie::Retry;
use super::key_schedule::{ApplicationSecrets, HandshakeSecrets, Suite};
use super::session::Session13;
use super::{VERSION, on_certificate, on_certificate_verify, say_certificate};
use crate::config::Role;
use crate::connection_ids::ConnectionIds;
use crate::context::{Context, Keys, Progress, Session, Trust};
use crate::error::Fault;
use crate::flight::Answer;
use crate::hello::server::{cookie_key, srtp_profile};
use crate::reassembly::Message;
use crate::record_layer::Epoch;
use crate::wire::extension::{self, Extension, ExtensionType, KeyShare};
use crate::wire::handshake::dtls13::{CertificateRequest, EncryptedExtensions};
use crate::wire::handshake::{ClientHello, CompressionMethod, HandshakeType, Random, ServerHello};
use crate::wire::{NamedGroup, ProtocolVersion, SignatureScheme, SrtpProfile};

/// Where the server stands: what it waits for.
pub(crate) enum Server {
    Certificate(Box<Accepted>),
    CertificateVerify(Box<Accepted>),
    Finished(Box<Accepted>),
    /// The client has proved everything, but nobody has vouched for its certificate yet.
    Fingerprint(Box<Accepted>),
}

/// What the server's flight settled.
pub(crate) struct Accepted {
    suite: Suite,
    secrets: HandshakeSecrets,
    application: ApplicationSecrets,
    srtp_profile: Option<SrtpProfile>,
}

/// What client and server have in common.
struct Terms<'a> {
    suite: Suite,
    group: NamedGroup,
    /// The client's share of that group, if it brought one.
    share: Option<&'a [u8]>,
    schemes: Vec<SignatureScheme>,
    srtp_profile: Option<SrtpProfile>,
}

impl Server {
    /// A ClientHello has come that is to be answered with 1.3. `None` if it has been asked for again.
    pub(crate) fn on_client_hello(
        hello: &ClientHello,
        cookies: &mut Option<hmac::Key>,
        cx: &mut Context,
        message: &Message,
    ) -> Result<Option<Self>, Fault> {
        let terms = Terms::find(hello, cx)?;
        let retry = retry(&terms, hello, cookies.as_ref())?;
        let share = match (terms.share, &retry) {
            (Some(share), Some(_)) => share,
            (Some(share), None) if !cx.config.hello_verify_request => share,
            // RFC 8446 §4.1.4: it has been asked for this very share.
            (None, Some(_)) => return Err(Fault::IllegalParameter),
            (share, None) => {
                let group = share.is_none().then_some(terms.group);
                if cookies.is_none() {
                    *cookies = Some(cookie_key(cx)?);
                }
                if let Some(key) = cookies {
                    say_retry(&Retry::new(terms.suite, group, &message.body), key, hello, cx, message);
                }
                return Ok(None);
            }
        };
        let group = cx.group(VERSION, terms.group).ok_or(Fault::NoCommonGroup)?;
        let exchange = group.start_and_complete(share).map_err(|_| Fault::BadKeyShare)?;
        cx.key_exchange_group = Some(terms.group);
        cx.reassembly.skip_to_after(message.message_seq);
        cx.next_message_seq = message.message_seq;
        match &retry {
            Some(retry) => {
                cx.start_hash_with_retry(terms.suite, &retry.client_hello);
                let cookie = hello.extension(ExtensionType::COOKIE).unwrap_or_default();
                cx.recall(HandshakeType::SERVER_HELLO, &retry.message(extension::cookie(cookie)?));
            }
            None => {
                cx.transcript.clear();
                cx.start_hash(terms.suite);
            }
        }
        cx.hear(message);
        ConnectionIds::negotiate(&hello.extensions, cx)?;
        say_flight(&terms, &exchange, &hello.random, cx).map(Some)
    }

    pub(crate) fn handle(self, cx: &mut Context, message: &Message) -> Result<Progress<Self>, Fault> {
        let next = match (self, message.kind) {
            (Self::Certificate(accepted), HandshakeType::CERTIFICATE) => {
                on_certificate(cx, Role::Client, message)?;
                Self::CertificateVerify(accepted)
            }
            (Self::CertificateVerify(accepted), HandshakeType::CERTIFICATE_VERIFY) => {
                on_certificate_verify(cx, Role::Client, message)?;
                Self::Finished(accepted)
            }
            (Self::Finished(accepted), HandshakeType::FINISHED) => {
                let base = &accepted.secrets.traffic.client;
                accepted
                    .suite
                    .verify_finished(base, &cx.transcript_hash()?, &message.body)?;
                // This side's flight has been answered, whatever comes of it.
                cx.flight.finish();
                return finish_if_trusted(accepted, cx);
            }
            _ => return Err(Fault::UnexpectedMessage),
        };
        Ok(Progress::Next(next))
    }

    /// The peer's certificate may be vouched for by now.
    pub(crate) fn on_fingerprints(self, cx: &mut Context) -> Result<Progress<Self>, Fault> {
        match self {
            Self::Fingerprint(accepted) => finish_if_trusted(accepted, cx),
            Self::Certificate(_) => Ok(Progress::Next(self)),
            Self::CertificateVerify(_) | Self::Finished(_) => cx.trust().map(|_| Progress::Next(self)),
        }
    }

    /// True while the handshake waits for fingerprints and nothing else.
    pub(crate) fn is_held(&self) -> bool {
        matches!(self, Self::Fingerprint(_))
    }
}

impl<'a> Terms<'a> {
    fn find(hello: &'a ClientHello, cx: &Context) -> Result<Self, Fault> {
        // RFC 9147 §5.3: "If a DTLS 1.3 ClientHello is received with any other value in this field, the server MUST abort the
        // handshake with an "illegal_parameter" alert." RFC 8446 §4.1.2 says the same of compression.
        if !hello.cookie.is_empty()
            || hello.compression_methods != [CompressionMethod::NULL]
            || hello.has_duplicate_extensions()
        {
            return Err(Fault::IllegalParameter);
        }
        let mandatory = |kind| hello.extension(kind).ok_or(Fault::MissingExtension);
        let suite = cx
            .suites13()
            .find(|suite| hello.cipher_suites.contains(&suite.id))
            .ok_or(Fault::NoCommonCipherSuite)?;
        let offered = extension::supported_groups(mandatory(ExtensionType::SUPPORTED_GROUPS)?)?;
        let shares = extension::key_shares(mandatory(ExtensionType::KEY_SHARE)?)?;
        check_shares(&shares, &offered)?;
        let share_of = |group| shares.iter().find(|share| share.group == group);
        // A share that is there saves a round trip: it is for the client to say what it prefers.
        let common: Vec<_> = cx.groups(VERSION).filter(|group| offered.contains(group)).collect();
        let at_hand = common.iter().copied().find(|group| share_of(*group).is_some());
        let group = at_hand.or(common.first().copied()).ok_or(Fault::NoCommonGroup)?;
        Ok(Self {
            suite,
            group,
            share: share_of(group).map(|share| share.key_exchange),
            schemes: extension::signature_algorithms(mandatory(ExtensionType::SIGNATURE_ALGORITHMS)?)?,
            srtp_profile: srtp_profile(hello, cx)?,
        })
    }
}

/// RFC 8446 §4.2.8: no two shares of a group, and none of a group that is not in `supported_groups`.
fn check_shares(shares: &[KeyShare<'_>], offered: &[NamedGroup]) -> Result<(), Fault> {
    let mut groups: Vec<_> = shares.iter().map(|share| share.group).collect();
    groups.sort_unstable();
    let twice = groups.windows(2).any(|pair| pair[0] == pair[1]);
    match twice || groups.iter().any(|group| !offered.contains(group)) {
        true => Err(Fault::IllegalParameter),
        false => Ok(()),
    }
}

/// What this server has asked for before, if the hello brings a cookie.
fn retry(terms: &Terms<'_>, hello: &ClientHello, key: Option<&hmac::Key>) -> Result<Option<Retry>, Fault> {
    let Some(cookie) = hello.extension(ExtensionType::COOKIE) else {
        return Ok(None);
    };
    let key = key.ok_or(Fault::IllegalParameter)?;
    let retry = Retry::of_cookie(extension::cookie(cookie)?, key, hello)?;
    let as_told = retry.suite == terms.suite.id && retry.group.is_none_or(|group| group == terms.group);
    as_told.then_some(Some(retry)).ok_or(Fault::IllegalParameter)
}

/// Leaves no state behind: the cookie has it, and the next ClientHello may be answered likewise.
fn say_retry(retry: &Retry, key: &hmac::Key, hello: &ClientHello, cx: &mut Context, message: &Message) {
    let body = retry.message(&retry.cookie(key, hello));
    cx.records.set_version(ProtocolVersion::DTLS_1_2);
    cx.begin_flight(Answer::None);
    cx.flight
        .push_message(Epoch::PLAIN, HandshakeType::SERVER_HELLO, message.message_seq, body);
}

/// ServerHello, EncryptedExtensions, CertificateRequest, Certificate, CertificateVerify, Finished.
fn say_flight(
    terms: &Terms<'_>,
    exchange: &CompletedKeyExchange,
    client_random: &Random,
    cx: &mut Context,
) -> Result<Server, Fault> {
    let share = KeyShare {
        group: terms.group,
        key_exchange: &exchange.pub_key,
    };
    let hello = ServerHello {
        version: ProtocolVersion::DTLS_1_2,
        random: cx.random()?,
        session_id: Vec::new(),
        cipher_suite: terms.suite.id,
        compression_method: CompressionMethod::NULL,
        extensions: [Extension::selected_version(VERSION), Extension::key_share(&share)]
            .into_iter()
            .chain(ConnectionIds::answers(cx))
            .collect(),
    };
    // RFC 9147 §4: `legacy_record_version`.
    cx.records.set_version(ProtocolVersion::DTLS_1_2);
    cx.begin_flight(Answer::Expected);
    cx.flight.track_records();
    cx.say(HandshakeType::SERVER_HELLO, |w| hello.encode(w));

    let secrets = HandshakeSecrets::new(terms.suite, exchange.secret.secret_bytes(), &cx.transcript_hash()?);
    cx.log_handshake(client_random, &secrets.traffic);
    cx.set_epoch(terms.suite, Role::Server, Epoch::HANDSHAKE, &secrets.traffic)?;
    cx.reassembly.require(Epoch::HANDSHAKE);
    let answers = EncryptedExtensions {
        extensions: terms
            .srtp_profile
            .iter()
            .map(|profile| Extension::use_srtp(&[*profile]))
            .collect(),
    };
    cx.say(HandshakeType::ENCRYPTED_EXTENSIONS, |w| answers.encode(w));
    let request = CertificateRequest {
        context: Vec::new(),
        extensions: vec![Extension::signature_algorithms(&cx.schemes())],
    };
    cx.say(HandshakeType::CERTIFICATE_REQUEST, |w| request.encode(w));
    say_certificate(cx, Role::Server, &terms.schemes)?;
    let verify_data = terms.suite.verify_data(&secrets.traffic.server, &cx.transcript_hash()?);
    cx.say(HandshakeType::FINISHED, |w| w.bytes(verify_data.as_ref()));
    let application = secrets.application(&cx.transcript_hash()?);
    cx.log_application(client_random, &application);
    Ok(Server::Certificate(Box::new(Accepted {
        suite: terms.suite,
        secrets,
        application,
        srtp_profile: terms.srtp_profile,
    })))
}

fn finish_if_trusted(accepted: Box<Accepted>, cx: &mut Context) -> Result<Progress<Server>, Fault> {
    if cx.trust()? == Trust::Unknown {
        return Ok(Progress::Next(Server::Fingerprint(accepted)));
    }
    let Accepted {
        suite,
        secrets,
        application,
        srtp_profile,
    } = *accepted;
    cx.set_epoch(suite, Role::Server, Epoch::APPLICATION, &application.traffic)?;
    // What is acknowledged is acknowledged under the new keys; what the client repeats comes under the old ones.
    if let Some(epochs) = &mut cx.records.epochs {
        epochs.retire_handshake_write();
        epochs.expect_repeats(&secrets.traffic.client);
    }
    cx.reassembly.require(Epoch::APPLICATION);
    cx.conclude();
    Ok(Progress::Connected(Session {
        keys: Keys::Dtls13(Box::new(Session13::new(suite, Role::Server, application))),
        srtp_profile,
    }))
}

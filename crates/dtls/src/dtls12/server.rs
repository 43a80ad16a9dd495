//! The server's side of the handshake.

use ring::hmac;
use rustls::crypto::ActiveKeyExchange;

use super::key_schedule::{KeySchedule, Randoms, Sender, Suite};
use super::{on_certificate, signed_params, verify};
use crate::config::{ExtendedMasterSecret, Role};
use crate::connection_ids::ConnectionIds;
use crate::context::{Context, Keys, Progress, Session, Trust};
use crate::error::Fault;
use crate::flight::Answer;
use crate::hello::server::srtp_profile;
use crate::reassembly::Message;
use crate::record_layer::Epoch;
use crate::wire::extension::{self, Extension, ExtensionType};
use crate::wire::handshake::{
    Certificate, CertificateRequest, CertificateVerify, ClientCertificateType, ClientHello, ClientKeyExchange,
    CompressionMethod, EcdheParams, Finished, HandshakeType, HelloVerifyRequest, Random, ServerHello,
    ServerKeyExchange,
};
use crate::wire::record::RecordHeader;
use crate::wire::{CipherSuite, NamedGroup, ProtocolVersion, SignatureScheme, SrtpProfile};
use peerline_wire::Writer;

const VERSION: ProtocolVersion = ProtocolVersion::DTLS_1_2;

/// Where the server stands: what it waits for.
pub(crate) enum Server {
    ClientCertificate(Offered),
    ClientKeyExchange(Offered),
    CertificateVerify(Exchanged),
    ClientFinished(Exchanged),
    /// The client has proved everything, but nobody has vouched for its certificate yet.
    Fingerprint(Exchanged),
}

/// What the ServerHello settled, and this side's key share.
pub(crate) struct Offered {
    terms: Terms,
    randoms: Randoms,
    key_exchange: Box<dyn ActiveKeyExchange>,
}

/// The keys, which await the proof that they are the client's too.
pub(crate) struct Exchanged {
    keys: KeySchedule,
    srtp_profile: Option<SrtpProfile>,
}

/// What client and server have in common.
struct Terms {
    suite: Suite,
    group: NamedGroup,
    schemes: Vec<SignatureScheme>,
    extended_master_secret: bool,
    srtp_profile: Option<SrtpProfile>,
}

impl Server {
    pub(crate) fn handle(self, cx: &mut Context, message: &Message) -> Result<Progress<Self>, Fault> {
        let next = match (self, message.kind) {
            (Self::ClientCertificate(offered), HandshakeType::CERTIFICATE) => {
                on_certificate(cx, message)?;
                Self::ClientKeyExchange(offered)
            }
            (Self::ClientCertificate(_), HandshakeType::CLIENT_KEY_EXCHANGE) => return Err(Fault::CertificateMissing),
            (Self::ClientKeyExchange(offered), HandshakeType::CLIENT_KEY_EXCHANGE) => {
                on_client_key_exchange(offered, cx, message)?
            }
            (Self::CertificateVerify(exchanged), HandshakeType::CERTIFICATE_VERIFY) => {
                let signed = CertificateVerify::decode(&message.body)?.signed;
                verify(cx, &signed, &cx.transcript)?;
                cx.hear(message);
                cx.reassembly.require(Epoch::PROTECTED);
                Self::ClientFinished(exchanged)
            }
            (Self::ClientFinished(exchanged), HandshakeType::FINISHED) => {
                return on_client_finished(exchanged, cx, message);
            }
            _ => return Err(Fault::UnexpectedMessage),
        };
        Ok(Progress::Next(next))
    }

    /// The peer's certificate may be vouched for by now.
    pub(crate) fn on_fingerprints(self, cx: &mut Context) -> Result<Progress<Self>, Fault> {
        match self {
            Self::Fingerprint(exchanged) => finish_if_trusted(exchanged, cx),
            Self::ClientCertificate(_) => Ok(Progress::Next(self)),
            Self::ClientKeyExchange(_) | Self::CertificateVerify(_) | Self::ClientFinished(_) => {
                cx.trust().map(|_| Progress::Next(self))
            }
        }
    }

    /// True while the handshake waits for fingerprints and nothing else.
    pub(crate) fn is_held(&self) -> bool {
        matches!(self, Self::Fingerprint(_))
    }
}

impl Server {
    /// A ClientHello has come that is to be answered with 1.2. `None` if it first has to show a cookie.
    pub(crate) fn on_client_hello(
        hello: &ClientHello,
        cookies: Option<&hmac::Key>,
        cx: &mut Context,
        message: &Message,
    ) -> Result<Option<Self>, Fault> {
        if let Some(key) = cookies {
            // From a number at the end of the range there is no counting on: no client has come so far.
            if cx.heard_in > RecordHeader::MAX_SEQUENCE_NUMBER / 2 {
                return Ok(None);
            }
            // RFC 6347 §4.2.1: "In order to avoid sequence number duplication in case of multiple HelloVerifyRequests, the
            // server MUST use the record sequence number in the ClientHello as the record sequence number in the
            // HelloVerifyRequest." And, once the cookie is valid, "in its initial ServerHello."
            cx.records.set_plain_sequence(cx.heard_in);
            let mut offer = Vec::new();
            hello.encode_without_cookie(&mut Writer::new(&mut offer));
            if hmac::verify(key, &offer, &hello.cookie).is_err() {
                send_verify_request(hmac::sign(key, &offer).as_ref(), cx, message.message_seq);
                return Ok(None);
            }
        }
        let terms = Terms::find(hello, cx)?;
        ConnectionIds::negotiate(&hello.extensions, cx)?;
        cx.reassembly.skip_to_after(message.message_seq);
        cx.next_message_seq = message.message_seq;
        cx.transcript.clear();
        cx.hear(message);
        send_hello(terms, hello, cx).map(Some)
    }
}

/// Leaves no state behind: the cookie vouches for what the ClientHello said, and the next one may be answered likewise.
fn send_verify_request(cookie: &[u8], cx: &mut Context, message_seq: u16) {
    // RFC 6347 §4.2.1: "DTLS 1.2 server implementations SHOULD use DTLS version 1.0 regardless of the version of TLS
    // that is expected to be negotiated."
    let request = HelloVerifyRequest {
        version: ProtocolVersion::DTLS_1_0,
        cookie: cookie.to_vec(),
    };
    let mut body = Vec::new();
    request.encode(&mut Writer::new(&mut body));
    cx.begin_flight(Answer::None);
    cx.flight
        .push_message(Epoch::PLAIN, HandshakeType::HELLO_VERIFY_REQUEST, message_seq, body);
}

impl Terms {
    fn find(hello: &ClientHello, cx: &Context) -> Result<Self, Fault> {
        if hello.has_duplicate_extensions() || !hello.compression_methods.contains(&CompressionMethod::NULL) {
            return Err(Fault::IllegalParameter);
        }
        // RFC 5746 §3.6: the field must be empty in an initial handshake.
        if let Some(info) = hello.extension(ExtensionType::RENEGOTIATION_INFO)
            && !extension::renegotiation_info(info)?.is_empty()
        {
            return Err(Fault::RenegotiationMismatch);
        }
        if let Some(formats) = hello.extension(ExtensionType::EC_POINT_FORMATS)
            && !extension::offers_uncompressed_points(formats)?
        {
            return Err(Fault::IllegalParameter);
        }
        let is_rsa = cx.config.certificate.is_rsa();
        let suite = cx
            .suites12()
            .find(|suite| suite.is_rsa() == is_rsa && hello.cipher_suites.contains(&suite.id))
            .ok_or(Fault::NoCommonCipherSuite)?;
        Ok(Self {
            suite,
            group: group(hello, cx)?,
            schemes: schemes(hello, suite)?,
            extended_master_secret: extended_master_secret(hello, cx)?,
            srtp_profile: srtp_profile(hello, cx)?,
        })
    }
}

/// RFC 8422 §4: a client without `supported_groups` takes any group.
fn group(hello: &ClientHello, cx: &Context) -> Result<NamedGroup, Fault> {
    let chosen = match hello.extension(ExtensionType::SUPPORTED_GROUPS) {
        Some(offered) => {
            let offered = extension::supported_groups(offered)?;
            cx.groups(VERSION).find(|group| offered.contains(group))
        }
        None => cx.groups(VERSION).find(|group| *group == NamedGroup::SECP256R1),
    };
    chosen.ok_or(Fault::NoCommonGroup)
}

/// The schemes with which the key share may be signed. A client that lists none means SHA-1 (RFC 5246 §7.4.1.4.1).
fn schemes(hello: &ClientHello, suite: Suite) -> Result<Vec<SignatureScheme>, Fault> {
    let Some(offered) = hello.extension(ExtensionType::SIGNATURE_ALGORITHMS) else {
        return Err(Fault::NoCommonSignatureScheme);
    };
    let offered = extension::signature_algorithms(offered)?;
    Ok(offered.into_iter().filter(|scheme| suite.allows(*scheme)).collect())
}

fn extended_master_secret(hello: &ClientHello, cx: &Context) -> Result<bool, Fault> {
    match (
        hello.extension(ExtensionType::EXTENDED_MASTER_SECRET),
        cx.config.extended_master_secret,
    ) {
        (Some(body), _) if !body.is_empty() => Err(Fault::IllegalParameter),
        (None, ExtendedMasterSecret::Required) => Err(Fault::NoExtendedMasterSecret),
        (None, _) | (Some(_), ExtendedMasterSecret::Off) => Ok(false),
        (Some(_), ExtendedMasterSecret::Preferred | ExtendedMasterSecret::Required) => Ok(true),
    }
}

/// ServerHello, Certificate, ServerKeyExchange, CertificateRequest, ServerHelloDone.
fn send_hello(terms: Terms, hello: &ClientHello, cx: &mut Context) -> Result<Server, Fault> {
    let randoms = Randoms {
        client: hello.random,
        server: random(cx)?,
    };
    let key_exchange = cx
        .group(VERSION, terms.group)
        .ok_or(Fault::NoCommonGroup)?
        .start()
        .map_err(|_| Fault::CryptoFailed)?;
    cx.key_exchange_group = Some(terms.group);
    let params = EcdheParams {
        group: terms.group,
        public_key: key_exchange.pub_key().to_vec(),
    };
    let signed = cx.sign(
        &terms.schemes,
        &signed_params(&randoms.client, &randoms.server, &params),
    )?;

    cx.records.set_version(ProtocolVersion::DTLS_1_2);
    cx.begin_flight(Answer::Expected);
    let answer = ServerHello {
        version: ProtocolVersion::DTLS_1_2,
        random: randoms.server,
        session_id: Vec::new(),
        cipher_suite: terms.suite.id,
        compression_method: CompressionMethod::NULL,
        extensions: answers(&terms, hello)
            .into_iter()
            .chain(ConnectionIds::answers(cx))
            .collect(),
    };
    cx.say(HandshakeType::SERVER_HELLO, |w| answer.encode(w));
    let certificate = Certificate {
        chain: cx.config.certificate.chain().to_vec(),
    };
    cx.say(HandshakeType::CERTIFICATE, |w| certificate.encode(w));
    cx.say(HandshakeType::SERVER_KEY_EXCHANGE, |w| {
        ServerKeyExchange { params, signed }.encode(w);
    });
    let request = CertificateRequest {
        certificate_types: vec![ClientCertificateType::ECDSA_SIGN, ClientCertificateType::RSA_SIGN],
        signature_algorithms: cx.schemes(),
        certificate_authorities: Vec::new(),
    };
    cx.say(HandshakeType::CERTIFICATE_REQUEST, |w| request.encode(w));
    cx.say(HandshakeType::SERVER_HELLO_DONE, |_| ());
    Ok(Server::ClientCertificate(Offered {
        terms,
        randoms,
        key_exchange,
    }))
}

/// RFC 8446 §4.1.3: a server that speaks 1.3 as well says so here, where an attacker cannot take it out.
fn random(cx: &Context) -> Result<Random, Fault> {
    let mut random: Random = cx.random()?;
    if cx.speaks(ProtocolVersion::DTLS_1_3)
        && let Some(end) = random.last_chunk_mut()
    {
        *end = ServerHello::DOWNGRADE;
    }
    Ok(random)
}

/// An extension is answered only if it was offered.
fn answers(terms: &Terms, hello: &ClientHello) -> Vec<Extension> {
    let offers = |extension_type| hello.extension(extension_type).is_some();
    let mut answers = Vec::new();
    let signalled = hello
        .cipher_suites
        .contains(&CipherSuite::EMPTY_RENEGOTIATION_INFO_SCSV);
    if signalled || offers(ExtensionType::RENEGOTIATION_INFO) {
        answers.push(Extension::renegotiation_info());
    }
    if terms.extended_master_secret {
        answers.push(Extension::extended_master_secret());
    }
    if offers(ExtensionType::EC_POINT_FORMATS) {
        answers.push(Extension::ec_point_formats());
    }
    if let Some(profile) = terms.srtp_profile {
        answers.push(Extension::use_srtp(&[profile]));
    }
    answers
}

fn on_client_key_exchange(offered: Offered, cx: &mut Context, message: &Message) -> Result<Server, Fault> {
    let Offered {
        terms,
        randoms,
        key_exchange,
    } = offered;
    let share = ClientKeyExchange::decode(&message.body)?;
    cx.hear(message);
    let session_hash = terms.extended_master_secret.then(|| terms.suite.hash(&cx.transcript));
    let keys = KeySchedule::new(terms.suite, randoms, key_exchange, &share.public_key, session_hash)?;
    cx.log_master_secret(&randoms.client, keys.master_secret());
    cx.set_keys(keys.ciphers(Role::Server))?;
    Ok(Server::CertificateVerify(Exchanged {
        keys,
        srtp_profile: terms.srtp_profile,
    }))
}

fn on_client_finished(exchanged: Exchanged, cx: &mut Context, message: &Message) -> Result<Progress<Server>, Fault> {
    let finished = Finished::decode(&message.body)?;
    exchanged
        .keys
        .verify_finished(Sender::Client, &cx.transcript, &finished.verify_data)?;
    cx.hear(message);
    // This side's flight has been answered, whatever comes of it.
    cx.flight.finish();
    finish_if_trusted(exchanged, cx)
}

/// ChangeCipherSpec, Finished.
fn finish_if_trusted(exchanged: Exchanged, cx: &mut Context) -> Result<Progress<Server>, Fault> {
    if cx.trust()? == Trust::Unknown {
        return Ok(Progress::Next(Server::Fingerprint(exchanged)));
    }
    cx.begin_flight(Answer::None);
    cx.change_cipher_spec();
    let verify_data = exchanged.keys.verify_data(Sender::Server, &cx.transcript);
    cx.say(HandshakeType::FINISHED, |w| Finished { verify_data }.encode(w));
    cx.conclude();
    Ok(Progress::Connected(Session {
        keys: Keys::Dtls12(exchanged.keys),
        srtp_profile: exchanged.srtp_profile,
    }))
}

//! The client's side of the handshake.

use super::key_schedule::{KeySchedule, Randoms, Sender, Suite};
use super::{on_certificate, signed_params, verify};
use crate::config::{ExtendedMasterSecret, Role};
use crate::connection_ids::ConnectionIds;
use crate::context::{Context, Keys, Progress, Session, Trust};
use crate::error::Fault;
use crate::flight::Answer;
use crate::hello::client::srtp_profile;
use crate::reassembly::Message;
use crate::record_layer::Epoch;
use crate::wire::extension::{self, ExtensionType};
use crate::wire::handshake::{
    Certificate, CertificateRequest, CertificateVerify, ClientHello, ClientKeyExchange, CompressionMethod, EcdheParams,
    Finished, HandshakeType, ServerHello, ServerKeyExchange,
};
use crate::wire::{ProtocolVersion, SignatureScheme, SrtpProfile};

const VERSION: ProtocolVersion = ProtocolVersion::DTLS_1_2;

/// Where the client stands: what it waits for.
pub(crate) enum Client {
    ServerCertificate(Chosen),
    ServerKeyExchange(Chosen),
    CertificateRequest(Exchanged),
    ServerHelloDone(Exchanged, Option<CertificateRequest>),
    /// The server's flight is complete, but nobody has vouched for its certificate yet.
    Fingerprint(Exchanged, Option<CertificateRequest>),
    ServerFinished(Finishing),
}

/// What the ServerHello settled.
pub(crate) struct Chosen {
    suite: Suite,
    randoms: Randoms,
    extended_master_secret: bool,
    srtp_profile: Option<SrtpProfile>,
}

/// That, and the server's key share.
pub(crate) struct Exchanged {
    chosen: Chosen,
    params: EcdheParams,
}

/// The keys, which await the proof that they are the server's too.
pub(crate) struct Finishing {
    keys: KeySchedule,
    srtp_profile: Option<SrtpProfile>,
}

impl Client {
    pub(crate) fn handle(self, cx: &mut Context, message: &Message) -> Result<Progress<Self>, Fault> {
        let next = match (self, message.kind) {
            (Self::ServerCertificate(chosen), HandshakeType::CERTIFICATE) => {
                on_certificate(cx, message)?;
                Self::ServerKeyExchange(chosen)
            }
            (Self::ServerKeyExchange(chosen), HandshakeType::SERVER_KEY_EXCHANGE) => {
                on_server_key_exchange(chosen, cx, message)?
            }
            (Self::CertificateRequest(exchanged), HandshakeType::CERTIFICATE_REQUEST) => {
                let request = CertificateRequest::decode(&message.body)?;
                cx.hear(message);
                Self::ServerHelloDone(exchanged, Some(request))
            }
            // A server need not ask for a certificate: one outside WebRTC may not.
            (Self::CertificateRequest(exchanged), HandshakeType::SERVER_HELLO_DONE) => {
                on_server_hello_done(exchanged, None, cx, message)?
            }
            (Self::ServerHelloDone(exchanged, request), HandshakeType::SERVER_HELLO_DONE) => {
                on_server_hello_done(exchanged, request, cx, message)?
            }
            (Self::ServerFinished(finishing), HandshakeType::FINISHED) => {
                return on_server_finished(finishing, cx, message);
            }
            _ => return Err(Fault::UnexpectedMessage),
        };
        Ok(Progress::Next(next))
    }

    /// The peer's certificate may be vouched for by now.
    pub(crate) fn on_fingerprints(self, cx: &mut Context) -> Result<Self, Fault> {
        match self {
            Self::Fingerprint(exchanged, request) => go_on_if_trusted(exchanged, request, cx),
            Self::ServerCertificate(_) => Ok(self),
            Self::ServerKeyExchange(_)
            | Self::CertificateRequest(_)
            | Self::ServerHelloDone(..)
            | Self::ServerFinished(_) => cx.trust().map(|_| self),
        }
    }

    /// True while the handshake waits for fingerprints and nothing else.
    pub(crate) fn is_held(&self) -> bool {
        matches!(self, Self::Fingerprint(..))
    }
}

impl Client {
    /// A ServerHello of 1.2 has come in answer to `offer`.
    pub(crate) fn on_server_hello(
        offer: &ClientHello,
        hello: &ServerHello,
        cx: &mut Context,
        message: &Message,
    ) -> Result<Self, Fault> {
        if hello.has_duplicate_extensions()
            || hello.compression_method != CompressionMethod::NULL
            || !offer.cipher_suites.contains(&hello.cipher_suite)
        {
            return Err(Fault::IllegalParameter);
        }
        // RFC 5246 §7.4.1.4: "If a client receives an extension type in ServerHello that it did not request in the
        // associated ClientHello, it MUST abort the handshake with an unsupported_extension fatal alert."
        if hello
            .extensions
            .iter()
            .any(|answer| offer.extension(answer.extension_type).is_none())
        {
            return Err(Fault::UnofferedExtension);
        }
        let suite = Suite::find(&cx.config.provider, hello.cipher_suite).ok_or(Fault::IllegalParameter)?;
        let chosen = Chosen {
            suite,
            randoms: Randoms {
                client: offer.random,
                server: hello.random,
            },
            extended_master_secret: extended_master_secret(hello, cx)?,
            srtp_profile: srtp_profile(hello.extension(ExtensionType::USE_SRTP), cx)?,
        };
        // RFC 5746 §3.4: "The client MUST then verify that the length of the "renegotiated_connection" field is zero,
        // and if it is not, MUST abort the handshake". Its absence is suffered, since nothing is ever renegotiated.
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
        ConnectionIds::negotiate(&hello.extensions, cx)?;
        cx.records.set_version(VERSION);
        cx.hear(message);
        Ok(Self::ServerCertificate(chosen))
    }
}

fn extended_master_secret(hello: &ServerHello, cx: &Context) -> Result<bool, Fault> {
    match hello.extension(ExtensionType::EXTENDED_MASTER_SECRET) {
        Some([]) => Ok(true),
        Some(_) => Err(Fault::IllegalParameter),
        None if cx.config.extended_master_secret == ExtendedMasterSecret::Required => {
            Err(Fault::NoExtendedMasterSecret)
        }
        None => Ok(false),
    }
}

fn on_server_key_exchange(chosen: Chosen, cx: &mut Context, message: &Message) -> Result<Client, Fault> {
    let exchange = ServerKeyExchange::decode(&message.body)?;
    if cx.group(VERSION, exchange.params.group).is_none() || !chosen.suite.allows(exchange.signed.scheme) {
        return Err(Fault::IllegalParameter);
    }
    let signed = signed_params(&chosen.randoms.client, &chosen.randoms.server, &exchange.params);
    verify(cx, &exchange.signed, &signed)?;
    cx.hear(message);
    Ok(Client::CertificateRequest(Exchanged {
        chosen,
        params: exchange.params,
    }))
}

fn on_server_hello_done(
    exchanged: Exchanged,
    request: Option<CertificateRequest>,
    cx: &mut Context,
    message: &Message,
) -> Result<Client, Fault> {
    if !message.body.is_empty() {
        return Err(Fault::Malformed(crate::wire::ParseError::TrailingBytes));
    }
    cx.hear(message);
    // The first flight has been answered, whatever comes of it.
    cx.flight.finish();
    go_on_if_trusted(exchanged, request, cx)
}

fn go_on_if_trusted(
    exchanged: Exchanged,
    request: Option<CertificateRequest>,
    cx: &mut Context,
) -> Result<Client, Fault> {
    match cx.trust()? {
        Trust::Unknown => Ok(Client::Fingerprint(exchanged, request)),
        Trust::Vouched => send_second_flight(exchanged, request.as_ref(), cx),
    }
}

/// Certificate, ClientKeyExchange, CertificateVerify, ChangeCipherSpec, Finished.
fn send_second_flight(
    exchanged: Exchanged,
    request: Option<&CertificateRequest>,
    cx: &mut Context,
) -> Result<Client, Fault> {
    let Exchanged { chosen, params } = exchanged;
    let group = cx.group(VERSION, params.group).ok_or(Fault::IllegalParameter)?;
    let key_exchange = group.start().map_err(|_| Fault::CryptoFailed)?;
    cx.key_exchange_group = Some(params.group);

    cx.begin_flight(Answer::Expected);
    if request.is_some() {
        let certificate = Certificate {
            chain: cx.config.certificate.chain().to_vec(),
        };
        cx.say(HandshakeType::CERTIFICATE, |w| certificate.encode(w));
    }
    let share = ClientKeyExchange {
        public_key: key_exchange.pub_key().to_vec(),
    };
    cx.say(HandshakeType::CLIENT_KEY_EXCHANGE, |w| share.encode(w));
    let session_hash = chosen.extended_master_secret.then(|| chosen.suite.hash(&cx.transcript));
    let keys = KeySchedule::new(
        chosen.suite,
        chosen.randoms,
        key_exchange,
        &params.public_key,
        session_hash,
    )?;
    cx.log_master_secret(&chosen.randoms.client, keys.master_secret());
    if let Some(request) = request {
        let signed = cx.sign(&verifiable(&request.signature_algorithms), &cx.transcript)?;
        cx.say(HandshakeType::CERTIFICATE_VERIFY, |w| {
            CertificateVerify { signed }.encode(w);
        });
    }
    cx.set_keys(keys.ciphers(Role::Client))?;
    cx.change_cipher_spec();
    let verify_data = keys.verify_data(Sender::Client, &cx.transcript);
    cx.say(HandshakeType::FINISHED, |w| Finished { verify_data }.encode(w));
    cx.reassembly.require(Epoch::PROTECTED);
    Ok(Client::ServerFinished(Finishing {
        keys,
        srtp_profile: chosen.srtp_profile,
    }))
}

/// SHA-1 and MD5 are never signed with, even if a server lists them: their numbers are those of hash 1 and 2.
fn verifiable(schemes: &[SignatureScheme]) -> Vec<SignatureScheme> {
    schemes.iter().copied().filter(|scheme| scheme.0 >> 8 > 2).collect()
}

fn on_server_finished(finishing: Finishing, cx: &mut Context, message: &Message) -> Result<Progress<Client>, Fault> {
    let finished = Finished::decode(&message.body)?;
    finishing
        .keys
        .verify_finished(Sender::Server, &cx.transcript, &finished.verify_data)?;
    cx.flight.finish();
    cx.conclude();
    Ok(Progress::Connected(Session {
        keys: Keys::Dtls12(finishing.keys),
        srtp_profile: finishing.srtp_profile,
    }))
}

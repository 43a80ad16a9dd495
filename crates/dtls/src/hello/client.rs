//! The client's ClientHello, and what becomes of the server's answers.

use rustls::crypto::ActiveKeyExchange;

use crate::config::ExtendedMasterSecret;
use crate::connection_ids::ConnectionIds;
use crate::context::Context;
use crate::error::Fault;
use crate::flight::Answer;
use crate::handshake::Handshake;
use crate::reassembly::Message;
use crate::wire::extension::{self, Extension, ExtensionType, KeyShare, UseSrtp};
use crate::wire::handshake::{ClientHello, CompressionMethod, HandshakeType, HelloVerifyRequest, ServerHello};
use crate::wire::{CipherSuite, NamedGroup, ProtocolVersion, SrtpProfile};
use crate::{dtls12, dtls13};

/// What has been offered.
pub(crate) struct AwaitServerHello {
    pub(crate) hello: ClientHello,
    /// The key exchanges of which the hello has a share.
    pub(crate) exchanges: Vec<Box<dyn ActiveKeyExchange>>,
    /// The suite of the HelloRetryRequest, if one has come.
    pub(crate) retry: Option<CipherSuite>,
    verify_requests: u8,
}

/// A server that asks again and again is not one (one is usual; a second comes if its secret changed).
const MAX_VERIFY_REQUESTS: u8 = 3;

impl AwaitServerHello {
    /// Sends the first flight.
    pub(crate) fn start(cx: &mut Context) -> Result<Self, Fault> {
        let exchanges = start_exchanges(cx)?;
        let hello = ClientHello {
            version: ProtocolVersion::DTLS_1_2,
            random: cx.random()?,
            session_id: Vec::new(),
            cookie: Vec::new(),
            cipher_suites: cipher_suites(cx),
            compression_methods: vec![CompressionMethod::NULL],
            extensions: extensions(cx, &exchanges),
        };
        if hello.cipher_suites.is_empty() {
            return Err(Fault::NoCommonCipherSuite);
        }
        if groups(cx).is_empty() {
            return Err(Fault::NoCommonGroup);
        }
        let state = Self {
            hello,
            exchanges,
            retry: None,
            verify_requests: 0,
        };
        state.say(cx);
        Ok(state)
    }

    /// Sends the ClientHello, as a flight of its own.
    pub(crate) fn say(&self, cx: &mut Context) {
        cx.begin_flight(Answer::Expected);
        cx.say(HandshakeType::CLIENT_HELLO, |w| self.hello.encode(w));
    }

    pub(crate) fn offers_13(&self) -> bool {
        !self.exchanges.is_empty()
    }

    pub(crate) fn handle(self: Box<Self>, cx: &mut Context, message: &Message) -> Result<Handshake, Fault> {
        match message.kind {
            HandshakeType::HELLO_VERIFY_REQUEST => self.on_verify_request(cx, message),
            HandshakeType::SERVER_HELLO => self.on_server_hello(cx, message),
            _ => Err(Fault::UnexpectedMessage),
        }
    }

    /// RFC 6347 §4.2.1: "the client MUST retransmit the ClientHello with the cookie added."
    fn on_verify_request(mut self: Box<Self>, cx: &mut Context, message: &Message) -> Result<Handshake, Fault> {
        if self.verify_requests == MAX_VERIFY_REQUESTS || self.retry.is_some() || !cx.speaks(ProtocolVersion::DTLS_1_2)
        {
            return Err(Fault::UnexpectedMessage);
        }
        self.verify_requests += 1;
        self.hello.cookie = HelloVerifyRequest::decode(&message.body)?.cookie;
        // RFC 6347 §4.2.6: "the initial ClientHello and HelloVerifyRequest are not included" in what Finished covers.
        cx.transcript.clear();
        self.say(cx);
        Ok(Handshake::ServerHello(self))
    }

    fn on_server_hello(self: Box<Self>, cx: &mut Context, message: &Message) -> Result<Handshake, Fault> {
        let hello = ServerHello::decode(&message.body)?;
        if hello.version != ProtocolVersion::DTLS_1_2 {
            return Err(Fault::NoCommonVersion);
        }
        if let Some(selected) = hello.extension(ExtensionType::SUPPORTED_VERSIONS) {
            // RFC 8446 §4.2.1: "If the "supported_versions" extension in the ServerHello contains a version not offered by
            // the client or contains a version prior to TLS 1.3, the client MUST abort the handshake with an
            // "illegal_parameter" alert." A HelloVerifyRequest is of 1.2 alone (RFC 9147 §5.2).
            let selected = extension::selected_version(selected)?;
            if selected != ProtocolVersion::DTLS_1_3 || !self.offers_13() || self.verify_requests > 0 {
                return Err(Fault::IllegalParameter);
            }
            return dtls13::client::Client::on_server_hello(self, &hello, cx, message);
        }
        if !cx.speaks(ProtocolVersion::DTLS_1_2) || self.retry.is_some() {
            return Err(Fault::NoCommonVersion);
        }
        // RFC 8446 §4.1.3: clients that offer 1.3 and receive a ServerHello of an older version "MUST check that the last
        // 8 bytes are not equal to either of these values".
        if self.offers_13() && is_downgrade(&hello) {
            return Err(Fault::Downgrade);
        }
        dtls12::client::Client::on_server_hello(&self.hello, &hello, cx, message).map(Handshake::Client12)
    }
}

/// The sentinels for servers of 1.3 that speak 1.2, or 1.0 and 1.1.
fn is_downgrade(hello: &ServerHello) -> bool {
    let (&end, older) = match hello.random.last_chunk::<8>() {
        Some(end) => (end, *b"DOWNGRD\x00"),
        None => return false,
    };
    end == ServerHello::DOWNGRADE || end == older
}

/// A key exchange for the first group, and for what many servers have if that is a hybrid one: none if 1.3 is not offered.
fn start_exchanges(cx: &Context) -> Result<Vec<Box<dyn ActiveKeyExchange>>, Fault> {
    let version = ProtocolVersion::DTLS_1_3;
    if !cx.speaks(version) {
        return Ok(Vec::new());
    }
    let mut exchanges = Vec::new();
    for group in cx.groups(version) {
        let exchange = cx.group(version, group).ok_or(Fault::NoCommonGroup)?.start();
        exchanges.push(exchange.map_err(|_| Fault::CryptoFailed)?);
        // The share of a hybrid's classical part costs nothing more.
        let hybrid = exchanges.iter().any(|exchange| exchange.hybrid_component().is_some());
        if group != NamedGroup::X25519MLKEM768 || hybrid {
            break;
        }
    }
    if exchanges.is_empty() {
        return Err(Fault::NoCommonGroup);
    }
    Ok(exchanges)
}

/// The shares of these key exchanges.
fn key_shares<'a>(cx: &Context, exchanges: &'a [Box<dyn ActiveKeyExchange>]) -> Vec<KeyShare<'a>> {
    let mut shares: Vec<KeyShare<'a>> = Vec::new();
    for exchange in exchanges {
        let whole = (exchange.group(), exchange.pub_key());
        for (group, key_exchange) in [whole].into_iter().chain(exchange.hybrid_component()) {
            let group = NamedGroup(group.into());
            let known = cx.group(ProtocolVersion::DTLS_1_3, group).is_some();
            if known && shares.iter().all(|share| share.group != group) {
                shares.push(KeyShare { group, key_exchange });
            }
        }
    }
    shares
}

fn cipher_suites(cx: &Context) -> Vec<CipherSuite> {
    let of_13 = cx
        .speaks(ProtocolVersion::DTLS_1_3)
        .then(|| cx.suites13().map(|suite| suite.id));
    let of_12 = cx
        .speaks(ProtocolVersion::DTLS_1_2)
        .then(|| cx.suites12().map(|suite| suite.id));
    of_13.into_iter().flatten().chain(of_12.into_iter().flatten()).collect()
}

/// The groups of the best version, which has all of the other's.
fn groups(cx: &Context) -> Vec<NamedGroup> {
    let versions = [ProtocolVersion::DTLS_1_3, ProtocolVersion::DTLS_1_2];
    let best = versions.into_iter().find(|version| cx.speaks(*version));
    best.map(|version| cx.groups(version).collect()).unwrap_or_default()
}

fn extensions(cx: &Context, exchanges: &[Box<dyn ActiveKeyExchange>]) -> Vec<Extension> {
    let mut extensions = Vec::new();
    let speaks_12 = cx.speaks(ProtocolVersion::DTLS_1_2);
    if speaks_12 {
        extensions.push(Extension::renegotiation_info());
    }
    extensions.push(Extension::supported_groups(&groups(cx)));
    if speaks_12 {
        extensions.push(Extension::ec_point_formats());
    }
    extensions.push(Extension::signature_algorithms(&cx.schemes()));
    if speaks_12 && cx.config.extended_master_secret != ExtendedMasterSecret::Off {
        extensions.push(Extension::extended_master_secret());
    }
    if !cx.config.srtp_profiles.is_empty() {
        extensions.push(Extension::use_srtp(&cx.config.srtp_profiles));
    }
    extensions.extend(ConnectionIds::extensions(&cx.config));
    if !exchanges.is_empty() {
        let versions = [ProtocolVersion::DTLS_1_3, ProtocolVersion::DTLS_1_2];
        let spoken = if speaks_12 { &versions[..] } else { &versions[..1] };
        extensions.push(Extension::supported_versions(spoken));
        extensions.push(Extension::key_shares(&key_shares(cx, exchanges)));
    }
    extensions
}

/// What the server has answered to `use_srtp`. RFC 5764 §4.1.1: one of the profiles offered; §4.1.3: and the client's MKI or
/// none.
pub(crate) fn srtp_profile(answer: Option<&[u8]>, cx: &Context) -> Result<Option<SrtpProfile>, Fault> {
    let Some(answer) = answer else {
        return Ok(None);
    };
    let answer = UseSrtp::decode(answer)?;
    match &answer.profiles[..] {
        [profile] if cx.config.srtp_profiles.contains(profile) && answer.mki.is_empty() => Ok(Some(*profile)),
        _ => Err(Fault::IllegalParameter),
    }
}

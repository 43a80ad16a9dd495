//! The server waits for a ClientHello that it can accept.

use ring::hmac;

use crate::context::Context;
use crate::error::Fault;
use crate::handshake::Handshake;
use crate::reassembly::Message;
use crate::wire::extension::{self, ExtensionType, UseSrtp};
use crate::wire::handshake::{ClientHello, HandshakeType};
use crate::wire::{ProtocolVersion, SrtpProfile};
use crate::{dtls12, dtls13};

/// How cookies are made: from the start if they are asked for, else once a HelloRetryRequest needs one.
pub(crate) struct AwaitClientHello {
    pub(crate) cookies: Option<hmac::Key>,
}

impl AwaitClientHello {
    pub(crate) fn start(cx: &Context) -> Result<Self, Fault> {
        let cookies = match cx.config.hello_verify_request {
            true => Some(cookie_key(cx)?),
            false => None,
        };
        Ok(Self { cookies })
    }

    pub(crate) fn handle(mut self, cx: &mut Context, message: &Message) -> Result<Handshake, Fault> {
        // What is no ClientHello at all may come from anyone, and is dropped: nobody has said anything worth an answer yet.
        let hello = match message.kind {
            HandshakeType::CLIENT_HELLO => ClientHello::decode(&message.body),
            _ => return Ok(Handshake::ClientHello(self)),
        };
        let Ok(hello) = hello else {
            return Ok(Handshake::ClientHello(self));
        };
        let accepted = match version(&hello, cx)? {
            ProtocolVersion::DTLS_1_3 => {
                let server = dtls13::server::Server::on_client_hello(&hello, &mut self.cookies, cx, message)?;
                server.map(Handshake::Server13)
            }
            _ => {
                let server = dtls12::server::Server::on_client_hello(&hello, self.cookies.as_ref(), cx, message)?;
                server.map(Handshake::Server12)
            }
        };
        Ok(accepted.unwrap_or(Handshake::ClientHello(self)))
    }
}

/// A key for cookies: no one else has it, and it goes with the connection.
pub(crate) fn cookie_key(cx: &Context) -> Result<hmac::Key, Fault> {
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &cx.random::<32>()?))
}

/// The best version that both speak. Newer versions have smaller numbers. A client that offers 1.3 says 1.2 in the old field,
/// and the whole truth in `supported_versions`, which alone counts if it is there (RFC 8446 §4.2.1).
fn version(hello: &ClientHello, cx: &Context) -> Result<ProtocolVersion, Fault> {
    let is_dtls = hello.version.0 >> 8 == 0xfe;
    let offered = match hello.extension(ExtensionType::SUPPORTED_VERSIONS) {
        Some(versions) => extension::supported_versions(versions)?,
        None if hello.version <= ProtocolVersion::DTLS_1_2 => vec![ProtocolVersion::DTLS_1_2],
        None => Vec::new(),
    };
    let versions = [ProtocolVersion::DTLS_1_3, ProtocolVersion::DTLS_1_2];
    versions
        .into_iter()
        .find(|version| is_dtls && offered.contains(version) && cx.speaks(*version))
        .filter(|_| hello.version <= ProtocolVersion::DTLS_1_2)
        .ok_or(Fault::NoCommonVersion)
}

/// The first of this side's profiles that the client has too (RFC 5764 §4.1.1).
pub(crate) fn srtp_profile(hello: &ClientHello, cx: &Context) -> Result<Option<SrtpProfile>, Fault> {
    let Some(offered) = hello.extension(ExtensionType::USE_SRTP) else {
        return Ok(None);
    };
    let offered = UseSrtp::decode(offered)?.profiles;
    let mut profiles = cx.config.srtp_profiles.iter().copied();
    Ok(profiles.find(|profile| offered.contains(profile)))
}

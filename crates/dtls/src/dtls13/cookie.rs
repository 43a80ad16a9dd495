//! HelloRetryRequest and its cookie (RFC 8446 §4.1.4, §4.2.2; RFC 9147 §5.1): all that the server has to remember of the first
//! ClientHello travels in the cookie.

use peerline_wire::{Reader, Writer};
use ring::hmac;

use super::VERSION;
use super::key_schedule::Suite;
use crate::error::Fault;
use crate::wire::extension::Extension;
use crate::wire::handshake::{ClientHello, CompressionMethod, ServerHello};
use crate::wire::{CipherSuite, NamedGroup, ProtocolVersion};

/// What a HelloRetryRequest said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Retry {
    pub(super) suite: CipherSuite,
    /// The group of which a share is wanted, if that is why.
    pub(super) group: Option<NamedGroup>,
    /// The hash of the first ClientHello, as it stands in the transcript.
    pub(super) client_hello: Vec<u8>,
}

/// In place of a group: the shares are well. No group has this number.
const NO_GROUP: NamedGroup = NamedGroup(0);

impl Retry {
    pub(super) fn new(suite: Suite, group: Option<NamedGroup>, client_hello_body: &[u8]) -> Self {
        let length = u32::try_from(client_hello_body.len()).unwrap_or(u32::MAX).to_be_bytes();
        let mut hash = suite.start_hash();
        hash.update(&[crate::wire::handshake::HandshakeType::CLIENT_HELLO.0]);
        hash.update(&length[1..]);
        hash.update(client_hello_body);
        Self {
            suite: suite.id,
            group,
            client_hello: hash.finish().as_ref().to_vec(),
        }
    }

    /// The body of the HelloRetryRequest: it follows from the cookie alone, and so it can be repeated.
    pub(super) fn message(&self, cookie: &[u8]) -> Vec<u8> {
        let mut extensions = vec![Extension::selected_version(VERSION)];
        extensions.extend(self.group.map(Extension::selected_group));
        extensions.push(Extension::cookie(cookie));
        let hello = ServerHello {
            version: ProtocolVersion::DTLS_1_2,
            random: ServerHello::HELLO_RETRY_REQUEST,
            session_id: Vec::new(),
            cipher_suite: self.suite,
            compression_method: CompressionMethod::NULL,
            extensions,
        };
        let mut body = Vec::new();
        hello.encode(&mut Writer::new(&mut body));
        body
    }

    /// The cookie: what has been said, and that this server said it to the client of that hello.
    pub(super) fn cookie(&self, key: &hmac::Key, hello: &ClientHello) -> Vec<u8> {
        let mut cookie = Vec::new();
        let mut w = Writer::new(&mut cookie);
        w.u16(self.suite.0);
        w.u16(self.group.unwrap_or(NO_GROUP).0);
        w.bytes(&self.client_hello);
        let tag = sign(key, hello, &cookie);
        cookie.extend_from_slice(tag.as_ref());
        cookie
    }

    /// Reads a cookie that a client brings. RFC 9147 §5.1: an invalid one ends the handshake.
    pub(super) fn of_cookie(cookie: &[u8], key: &hmac::Key, hello: &ClientHello) -> Result<Self, Fault> {
        const TAG_LEN: usize = 32;
        let signed = cookie.len().checked_sub(TAG_LEN).ok_or(Fault::IllegalParameter)?;
        let (said, tag) = cookie.split_at(signed);
        let covered = [&hello.random[..], said].concat();
        hmac::verify(key, &covered, tag).map_err(|_| Fault::IllegalParameter)?;
        let mut r = Reader::new(said);
        let mut number = || r.u16().map_err(|_| Fault::IllegalParameter);
        let (suite, group) = (CipherSuite(number()?), NamedGroup(number()?));
        Ok(Self {
            suite,
            group: Some(group).filter(|group| *group != NO_GROUP),
            client_hello: r.rest().to_vec(),
        })
    }
}

/// The client's random ties the cookie to it: another's is of no use.
fn sign(key: &hmac::Key, hello: &ClientHello, said: &[u8]) -> hmac::Tag {
    hmac::sign(key, &[&hello.random[..], said].concat())
}

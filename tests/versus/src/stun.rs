//! A Binding request as ICE sends it: USERNAME, PRIORITY, ICE-CONTROLLING, MESSAGE-INTEGRITY, FINGERPRINT.
//!
//! The key of the credential is made beforehand where there is such a thing, as for a connection that goes on.

use crate::Result;
use crate::measurement::{Effort, Figure};
use crate::micro::nanoseconds;
use crate::stack::StackName;

const USERNAME: &str = "evtjh6vY:gZ3kq0Lm";
const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";
const TRANSACTION: [u8; 12] = *b"random bytes";
const PRIORITY: u32 = 1_845_494_271;
const TIE_BREAKER: u64 = 0x932f_f9b1_5126_3b36;

/// Nanoseconds to `build` one, and to `verify` it: parse, check the fingerprint, check the integrity.
pub(crate) fn measure(stack: StackName, effort: Effort) -> Result<Vec<Figure>> {
    match stack {
        StackName::Peerline => peerline(effort),
        #[cfg(feature = "peers")]
        StackName::RtcStun => rtc_stun(effort),
        #[cfg(feature = "peers")]
        StackName::StunTypes => stun_types(effort),
        StackName::Floor => floor(effort),
        _ => Err("no STUN of its own".into()),
    }
}

fn build(out: &mut Vec<u8>, key: &peerline_stun::Key) -> Option<usize> {
    use peerline_stun::attribute::{IceControlling, Priority, Username};
    use peerline_stun::{MessageBuilder, Method, TransactionId};
    MessageBuilder::request(out, Method::BINDING, TransactionId(TRANSACTION))
        .attribute(Username(USERNAME))
        .attribute(Priority(PRIORITY))
        .attribute(IceControlling(TIE_BREAKER))
        .integrity(key)
        .fingerprint()
        .finish()
}

/// The same for all who verify.
fn request() -> Vec<u8> {
    let mut out = Vec::new();
    build(&mut out, &peerline_stun::Key::short_term(PASSWORD));
    out
}

fn peerline(effort: Effort) -> Result<Vec<Figure>> {
    let key = peerline_stun::Key::short_term(PASSWORD);
    let (request, mut out) = (request(), Vec::with_capacity(256));
    let verify = || {
        let message = peerline_stun::Message::parse(&request).ok()?;
        (message.verify_fingerprint().is_ok() && message.verify(&key).is_ok()).then_some(())
    };
    verify().ok_or("not verified")?;
    Ok(vec![
        (
            "build",
            nanoseconds(effort, || {
                out.clear();
                build(&mut out, &key)
            }),
        ),
        ("verify", nanoseconds(effort, verify)),
    ])
}

/// HMAC-SHA1 with its key at hand, over what the integrity covers.
fn floor(effort: Effort) -> Result<Vec<Figure>> {
    use hmac::{Hmac, KeyInit, Mac};
    let keyed = Hmac::<sha1::Sha1>::new_from_slice(PASSWORD.as_bytes())?;
    let request = request();
    let covered = &request[..request.len() - 32];
    let hmac = nanoseconds(effort, || keyed.clone().chain_update(covered).finalize());
    Ok(vec![("build", hmac), ("verify", hmac)])
}

#[cfg(feature = "peers")]
fn rtc_stun(effort: Effort) -> Result<Vec<Figure>> {
    use rtc_stun::attributes::{ATTR_ICE_CONTROLLING, ATTR_PRIORITY, ATTR_USERNAME};
    use rtc_stun::fingerprint::FINGERPRINT;
    use rtc_stun::integrity::MessageIntegrity;
    use rtc_stun::message::{BINDING_REQUEST, Message, Setter, TransactionId};

    let provider = rtc_crypto::default_provider()?;
    let integrity = MessageIntegrity::new_short_term_integrity_with_provider(PASSWORD.to_owned(), provider.crypto());
    let mut message = Message::new();
    let mut build = || -> Option<usize> {
        message.reset();
        message.write_header();
        message.set_type(BINDING_REQUEST);
        TransactionId(TRANSACTION).add_to(&mut message).ok()?;
        message.add(ATTR_USERNAME, USERNAME.as_bytes());
        message.add(ATTR_PRIORITY, &PRIORITY.to_be_bytes());
        message.add(ATTR_ICE_CONTROLLING, &TIE_BREAKER.to_be_bytes());
        integrity.add_to(&mut message).ok()?;
        FINGERPRINT.add_to(&mut message).ok()?;
        Some(message.raw.len())
    };
    build().ok_or("not built")?;
    let built = nanoseconds(effort, build);
    let ours = request();
    if message.raw != ours {
        return Err("another request was built".into());
    }

    let mut received = Message::new();
    let mut verify = || -> Option<()> {
        received.unmarshal_binary(&ours).ok()?;
        FINGERPRINT.check(&received).ok()?;
        MessageIntegrity::check(&mut received, PASSWORD.as_bytes(), provider.crypto()).ok()
    };
    verify().ok_or("not verified")?;
    Ok(vec![("build", built), ("verify", nanoseconds(effort, verify))])
}

#[cfg(feature = "peers")]
fn stun_types(effort: Effort) -> Result<Vec<Figure>> {
    use stun_types::attribute::{AttributeType, RawAttribute, Username};
    use stun_types::message::{
        BINDING, IntegrityAlgorithm, Message, MessageIntegrityCredentials, MessageWriteVec, ShortTermCredentials,
    };
    use stun_types::prelude::*;

    let credentials = MessageIntegrityCredentials::ShortTerm(ShortTermCredentials::new(PASSWORD.to_owned()));
    let key = credentials.make_key(IntegrityAlgorithm::Sha1);
    let build = || -> Option<Vec<u8>> {
        let mut message = Message::builder_request(BINDING, MessageWriteVec::with_capacity(128));
        message.add_attribute(&Username::new(USERNAME).ok()?).ok()?;
        message
            .add_attribute(&RawAttribute::new(AttributeType::new(0x0024), &PRIORITY.to_be_bytes()))
            .ok()?;
        message
            .add_attribute(&RawAttribute::new(
                AttributeType::new(0x802a),
                &TIE_BREAKER.to_be_bytes(),
            ))
            .ok()?;
        message
            .add_message_integrity_with_key(&key, IntegrityAlgorithm::Sha1)
            .ok()?;
        message.add_fingerprint().ok()?;
        Some(message.finish())
    };
    let ours = request();
    if build().ok_or("not built")?.len() != ours.len() {
        return Err("another request was built".into());
    }
    let verify = || {
        // This checks the fingerprint.
        let message = Message::from_bytes(&ours).ok()?;
        message.validate_integrity_with_key(&key).ok()
    };
    verify().ok_or("not verified")?;
    Ok(vec![
        ("build", nanoseconds(effort, build)),
        ("verify", nanoseconds(effort, verify)),
    ])
}

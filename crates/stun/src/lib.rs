//! STUN messages (RFC 8489) with the attributes of ICE (RFC 8445), TURN (RFC 8656, RFC 6062) and NAT behaviour
//! discovery (RFC 5780). Nothing here allocates: [`Message`] is a view over received bytes, and [`MessageBuilder`] appends
//! to the caller's buffer.
//!
//! ```
//! use peerline_stun::attribute::{Priority, Username, XorMappedAddress};
//! use peerline_stun::{Key, Message, MessageBuilder, Method, TransactionId};
//!
//! let key = Key::short_term("VOkJxbRl1RmTxUk/WvJxBt");
//! let mut request = Vec::new();
//! MessageBuilder::request(&mut request, Method::BINDING, TransactionId(*b"random bytes"))
//!     .attribute(Username("evtj:h6vY"))
//!     .attribute(Priority(1_845_494_271))
//!     .integrity(&key)
//!     .fingerprint();
//!
//! let request = Message::parse(&request)?;
//! assert!(request.verify_fingerprint().is_ok() && request.verify(&key).is_ok());
//! assert_eq!(request.get::<Priority>()?, Some(Priority(1_845_494_271)));
//!
//! let mut response = Vec::new();
//! MessageBuilder::success(&mut response, &request)
//!     .attribute(XorMappedAddress("192.0.2.1:32853".parse()?))
//!     .integrity(&key)
//!     .fingerprint();
//! assert!(Message::parse(&response)?.answers(&request));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | file | idea |
//! |---|---|
//! | [`Message`] | the view: header, attributes, checks |
//! | [`MessageBuilder`] | appends one message |
//! | [`Key`] | a credential, made ready for both integrity algorithms |
//! | `hmac` | HMAC with the key's blocks hashed beforehand |
//! | [`attribute`] | every attribute, typed, one file a family |
//! | [`ChannelData`] | TURN's four-byte header (RFC 8656 §12.4) |

pub mod attribute;
mod builder;
mod channel_data;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod header;
mod hmac;
mod key;
mod message;
#[cfg(test)]
mod vectors;

pub use attribute::{Attribute, AttributeType, RawAttribute};
pub use builder::MessageBuilder;
pub use channel_data::{ChannelData, ChannelNumber};
pub use error::{AttributeError, FingerprintError, IntegrityError, ParseError};
pub use header::{Class, Method, TransactionId, is_stun};
pub use key::{Algorithm, Integrity, Key};
pub use message::{Attributes, Message, RawAttributes};

/// The README's example, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

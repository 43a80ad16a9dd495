//! SRTP and SRTCP (RFC 3711, RFC 7714, RFC 9335): a transform that protects RTP and RTCP packets in place. It has state, but no time
//! and no I/O, and needs nothing else of a WebRTC stack.
//!
//! ```
//! use peerline_srtp::{Config, Inbound, KeyingMaterial, Outbound, Profile, UnprotectError};
//!
//! // What DTLS negotiated, and what its exporter gives for `KeyingMaterial::EXPORTER_LABEL`.
//! let profile = Profile::from_number(0x0007).expect("AEAD_AES_128_GCM");
//! let keys = KeyingMaterial::from_exporter(profile, &[7; 56])?;
//! let mut client = Outbound::new(&keys.client, Config::default());
//! let mut server = Inbound::new(&keys.client, Config::default());
//!
//! let rtp = *b"\x80\x60\x12\x34\0\0\0\0\0\0\0\x01payload";
//! let mut out = rtp.to_vec();
//! client.protect_rtp(&mut out, 0)?;
//! assert_eq!(out.len(), rtp.len() + profile.rtp_overhead());
//!
//! let mut received = out.as_slice().into();
//! server.unprotect_rtp(&mut received)?;
//! assert_eq!(received, rtp[..]);
//! assert_eq!(server.unprotect_rtp(&mut out.as_slice().into()), Err(UnprotectError::Replayed));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | file | idea |
//! |---|---|
//! | [`Profile`] | which algorithms |
//! | [`KeyingMaterial`], [`MasterKey`] | keys from DTLS's exporter, and those derived from them |
//! | [`Outbound`] | protects, a direction's all SSRCs |
//! | [`Inbound`] | unprotects |
//! | [`StreamState`] | how far an SSRC has come, to set and to export |
//! | `index`, `replay` | rollover counter and replay list |
//! | `cipher` | AES-CM with HMAC-SHA1, and AES-GCM |
//! | `cryptex` | which part of a packet is encrypted (RFC 9335) |
//! | `streams` | what is known by SSRC |

mod cipher;
mod config;
mod cryptex;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod inbound;
mod index;
mod key;
mod outbound;
mod packet;
mod profile;
mod replay;
mod state;
mod streams;
#[cfg(test)]
mod vectors;

pub use config::Config;
pub use error::{KeyLengthError, ProtectError, ResumeError, UnprotectError};
pub use inbound::Inbound;
pub use key::{KeyingMaterial, MasterKey};
pub use outbound::Outbound;
pub use profile::Profile;
pub use state::StreamState;

/// The README's example, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

//! Session descriptions (RFC 8866) for WebRTC: parsing and writing without loss, and every attribute that JSEP, ICE,
//! DTLS, SCTP, BUNDLE and simulcast need as a type.
//!
//! A [`SessionDescription`] is lines. All of them are kept as they came, so that what was not touched is written byte
//! for byte as it was read, known or not. Meaning is parsed from the lines when it is asked for: [`Section`] has the
//! ways to read and change the attributes of the session and of each [`MediaDescription`], by the types in
//! [`attribute`].
//!
//! ```
//! use peerline_sdp::attribute::{Candidate, Group, Mid, SctpPort, Setup};
//! use peerline_sdp::{MediaDescription, Origin, Section, SessionDescription};
//!
//! // Writing.
//! let mut offer = SessionDescription::new(&Origin::new(4962303333179871722, 1));
//! offer.push(&Group::bundle(["0"]));
//! let mut media = MediaDescription::data_channel();
//! media.push(&Mid::new("0")).push(&Setup::ActPass).push(&SctpPort(5000));
//! media.push(&"1 1 udp 2130706431 192.0.2.1 50000 typ host".parse::<Candidate>()?);
//! offer.media.push(media);
//!
//! // Reading.
//! let offer = SessionDescription::parse(&offer.to_string())?;
//! let media = &offer.media[0];
//! assert_eq!(media.mid(), Some("0"));
//! assert_eq!(media.attribute::<Setup>()?, Some(Setup::ActPass));
//! for candidate in media.candidates() {
//!     assert_eq!(candidate?.port, 50000);
//! }
//!
//! // Errors name the line.
//! let error = SessionDescription::parse("v=0\r\ns=-\r\n").unwrap_err();
//! assert_eq!(error.to_string(), "line 2: a \"o=\" line is missing here");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The map: `parse` splits text and enforces order, `line` is one line, `section` what sessions and media have in
//! common, `field` the lines with a structure of their own, [`attribute`] the attributes, a file each family,
//! `parameters` what is resolved between session and media, `fragment` what trickle ICE sends.

pub mod attribute;
mod base64;
mod error;
mod field;
mod fragment;
#[doc(hidden)]
pub mod fuzzing;
mod line;
mod media;
mod parameters;
mod parse;
mod section;
mod session;
mod token;

pub use error::{Fault, ParseError, Reason, ValueError};
pub use field::{
    Bandwidth, Connection, MediaLine, Origin, Repeat, TimeUnit, Timing, TypedTime, Zone, ZoneAdjustment, protocol,
};
pub use fragment::Fragment;
pub use line::{Line, LineEnding, RawAttribute};
pub use media::MediaDescription;
pub use parameters::{DtlsParameters, IceParameters};
pub use parse::{MAX_LENGTH, MAX_LINE_LENGTH, MAX_LINES};
pub use section::Section;
pub use session::SessionDescription;

/// The README's example, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

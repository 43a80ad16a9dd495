//! RTP and RTCP (RFC 3550): packets and their header extensions (RFC 8285), reports and feedback, payload formats and media
//! files. A codec: no clock, no sockets. [`Packet`] is a view over received bytes; [`Header::write`] appends to the caller's
//! buffer, without allocation.
//!
//! ```
//! use peerline_rtp::extension::{AudioLevel, ExtensionId, Form};
//! use peerline_rtp::{Header, Packet, PayloadType, Serial16, Ssrc};
//!
//! const AUDIO_LEVEL: ExtensionId = ExtensionId::new(1).unwrap();
//! let header = Header::new(PayloadType(111), Serial16(17), 960, Ssrc(0xdecafbad));
//! let mut out = Vec::new();
//! header.write(&mut out, Form::OneByte, |extensions| {
//!     extensions.add(AUDIO_LEVEL, &AudioLevel { level: 30, voice_activity: true });
//! });
//! out.extend_from_slice(b"one Opus packet");
//!
//! let packet = Packet::parse(&out)?;
//! assert_eq!(packet.header(), header);
//! assert_eq!(packet.get(AUDIO_LEVEL), Some(AudioLevel { level: 30, voice_activity: true }));
//! assert_eq!(packet.payload(), b"one Opus packet");
//! # Ok::<(), peerline_rtp::ParseError>(())
//! ```
//!
//! | file | idea |
//! |---|---|
//! | [`Packet`] | the view: fixed header, extensions, payload; changes in place |
//! | [`Header`] | the fixed header, and how it is written |
//! | [`extension`] | header extensions of both forms, and their typed values |
//! | [`NtpTime`] | wallclock time, and the round-trip time |
//! | [`InlineList`] | a short list without allocation |
//! | [`rtcp`] | reports and feedback, a module a kind |
//! | [`payload`] | payload formats: frames to payloads and back |
//! | [`mod@file`] | media files, read and written |
//! | [`forward`] | one continuous stream of several, for forwarders |

mod bits;
mod error;
pub mod extension;
pub mod file;
pub mod forward;
#[doc(hidden)]
pub mod fuzzing;
mod header;
mod inline_list;
mod ntp;
mod number;
mod packet;
pub mod payload;
pub mod rtcp;

pub use error::ParseError;
pub use header::{Csrcs, Header, pad};
pub use inline_list::InlineList;
pub use ntp::{NtpShort, NtpTime, round_trip_time};
pub use number::{PayloadType, Ssrc};
pub use packet::Packet;
pub use peerline_wire::Serial16;

/// The README's example, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

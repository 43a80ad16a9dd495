//! RTCP (RFC 3550 §6): reports and feedback. [`packets`] reads a datagram, compound or of reduced size (RFC 5506); each kind
//! of packet is a view, and has a `write` that appends one to the caller's buffer, so that packets written end to end are a
//! compound.
//!
//! ```
//! use peerline_rtp::rtcp::{Nack, Packet, PictureLossIndication, ReceiverReport, packets};
//! use peerline_rtp::{Serial16, Ssrc};
//!
//! let (us, them) = (Ssrc(1), Ssrc(2));
//! let mut out = Vec::new();
//! ReceiverReport::write(&mut out, us, &[]);
//! Nack::write(&mut out, us, them, [65534, 65535, 3].map(Serial16));
//! PictureLossIndication { sender: us, media: them }.write(&mut out);
//!
//! for packet in packets(&out) {
//!     match packet? {
//!         Packet::Nack(nack) => assert!(nack.lost().eq([65534, 65535, 3].map(Serial16))),
//!         Packet::PictureLossIndication(pli) => assert_eq!(pli.media, them),
//!         other => assert!(matches!(other, Packet::ReceiverReport(_))),
//!     }
//! }
//! # Ok::<(), peerline_rtp::rtcp::ParseError>(())
//! ```
//!
//! | file | packets |
//! |---|---|
//! | [`packets`], [`Packet`] | a datagram's packets, one after the other |
//! | `frame` | the header that all have in common; [`RawPacket`] |
//! | `report` | [`SenderReport`], [`ReceiverReport`] |
//! | `sdes`, `bye`, `app` | [`SourceDescription`], [`Bye`], [`App`] |
//! | `nack` | [`Nack`] (RFC 4585 §6.2.1) |
//! | `keyframe` | [`PictureLossIndication`] (RFC 4585 §6.3.1), [`FullIntraRequest`] (RFC 5104 §4.3.1) |
//! | `remb` | [`ReceiverEstimatedMaxBitrate`] |
//! | `transport_feedback` | [`TransportFeedback`]: when each packet of a transport came |
//! | `congestion_feedback` | [`CongestionFeedback`] (RFC 8888) |
//! | `extended_report` | [`ExtendedReport`] (RFC 3611) |

mod app;
mod bye;
mod congestion_feedback;
mod entries;
mod error;
mod extended_report;
mod frame;
mod keyframe;
mod nack;
mod packet;
mod remb;
mod report;
mod sdes;
mod transport_feedback;

pub use app::App;
pub use bye::Bye;
pub use congestion_feedback::{
    ArrivalOffset, CongestionFeedback, CongestionFeedbackWriter, PacketMetric, StreamFeedback,
};
pub use entries::{Entries, Entry};
pub use error::ParseError;
pub use extended_report::{DelaySinceLastRr, ExtendedReport, ExtendedReportWriter, ReportBlockType, XrBlock, XrBlocks};
pub use frame::{PacketType, RawPacket, feedback_format, is_rtcp};
pub use keyframe::{FirEntry, FullIntraRequest, PictureLossIndication};
pub use nack::Nack;
pub use packet::{Packet, Packets, packets};
pub use remb::ReceiverEstimatedMaxBitrate;
pub use report::{ReceiverReport, ReportBlock, SenderInfo, SenderReport};
pub use sdes::{SdesChunk, SdesItem, SdesItemType, SourceDescription};
pub use transport_feedback::{ArrivalTime, Reception, TransportFeedback, Written};

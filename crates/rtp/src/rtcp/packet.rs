//! [`packets`]: a datagram's packets, one after the other.

use super::frame::{PacketType, RawPacket, feedback_format};
use super::{
    App, Bye, CongestionFeedback, ExtendedReport, FullIntraRequest, Nack, ParseError, PictureLossIndication,
    ReceiverEstimatedMaxBitrate, ReceiverReport, SenderReport, SourceDescription, TransportFeedback,
};

/// The packets of a datagram, of a compound (RFC 3550 §6.1) or of reduced size (RFC 5506). A packet whose contents are
/// malformed is an error, and the next one follows; an error of the framing is the last.
#[must_use]
pub fn packets(datagram: &[u8]) -> Packets<'_> {
    Packets { rest: datagram }
}

/// Iterates over the packets of a datagram; made by [`packets`].
#[derive(Clone, Debug)]
pub struct Packets<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Packets<'a> {
    type Item = Result<Packet<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        match RawPacket::split(self.rest) {
            Ok((raw, rest)) => {
                self.rest = rest;
                Some(Packet::parse(raw))
            }
            Err(error) => {
                self.rest = &[];
                Some(Err(error))
            }
        }
    }
}

impl std::iter::FusedIterator for Packets<'_> {}

/// An RTCP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// SR
    SenderReport(SenderReport<'a>),
    /// RR
    ReceiverReport(ReceiverReport<'a>),
    /// SDES
    SourceDescription(SourceDescription<'a>),
    /// BYE
    Bye(Bye<'a>),
    /// APP
    App(App<'a>),
    /// Generic NACK
    Nack(Nack<'a>),
    /// PLI
    PictureLossIndication(PictureLossIndication),
    /// FIR
    FullIntraRequest(FullIntraRequest<'a>),
    /// REMB
    ReceiverEstimatedMaxBitrate(ReceiverEstimatedMaxBitrate<'a>),
    /// Transport-wide congestion control feedback
    TransportFeedback(TransportFeedback<'a>),
    /// Congestion control feedback (RFC 8888)
    CongestionFeedback(CongestionFeedback<'a>),
    /// XR
    ExtendedReport(ExtendedReport<'a>),
    /// Any other.
    Unknown(RawPacket<'a>),
}

impl<'a> Packet<'a> {
    /// Reads a packet's contents.
    ///
    /// # Errors
    /// [`ParseError`] if they are not what its kind says.
    pub fn parse(raw: RawPacket<'a>) -> Result<Self, ParseError> {
        let RawPacket {
            packet_type,
            count,
            contents,
        } = raw;
        Ok(match packet_type {
            PacketType::SENDER_REPORT => Self::SenderReport(SenderReport::parse(count, contents)?),
            PacketType::RECEIVER_REPORT => Self::ReceiverReport(ReceiverReport::parse(count, contents)?),
            PacketType::SOURCE_DESCRIPTION => Self::SourceDescription(SourceDescription::parse(count, contents)?),
            PacketType::BYE => Self::Bye(Bye::parse(count, contents)?),
            PacketType::APP => Self::App(App::parse(count, contents)?),
            PacketType::TRANSPORT_FEEDBACK => match count {
                feedback_format::NACK => Self::Nack(Nack::parse(contents)?),
                feedback_format::TRANSPORT_WIDE => Self::TransportFeedback(TransportFeedback::parse(contents)?),
                feedback_format::CONGESTION_FEEDBACK => Self::CongestionFeedback(CongestionFeedback::parse(contents)?),
                _ => Self::Unknown(raw),
            },
            PacketType::PAYLOAD_FEEDBACK => match count {
                feedback_format::PICTURE_LOSS => Self::PictureLossIndication(PictureLossIndication::parse(contents)?),
                feedback_format::FULL_INTRA_REQUEST => Self::FullIntraRequest(FullIntraRequest::parse(contents)?),
                feedback_format::APPLICATION_LAYER if ReceiverEstimatedMaxBitrate::has_name(contents) => {
                    Self::ReceiverEstimatedMaxBitrate(ReceiverEstimatedMaxBitrate::parse(contents)?)
                }
                _ => Self::Unknown(raw),
            },
            PacketType::EXTENDED_REPORT => Self::ExtendedReport(ExtendedReport::parse(contents)?),
            _ => Self::Unknown(raw),
        })
    }
}

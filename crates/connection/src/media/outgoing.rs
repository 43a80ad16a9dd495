//! [`Outgoing`]: one RTP packet on its way out, and how it is written.

use bytes::Bytes;
use peerline_rtp::extension::{ExtensionId, Form, Writer};
use peerline_rtp::payload::Payload;
use peerline_rtp::{Csrcs, Header, PayloadType, Serial16, Ssrc};

use super::extensions::{ExtensionIds, Extensions};

/// One packet that is to be sent, or was. Clones share the payload.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub(super) payload_type: u8,
    pub(super) sequence_number: Serial16,
    pub(super) timestamp: u32,
    /// The contributing sources. Few packets have any, and each packet is kept for a while: it is to be small.
    pub(super) csrcs: Option<Box<Csrcs>>,
    pub(super) payload: Payload,
    /// What belongs to the media.
    pub(super) extensions: Extensions,
}

/// Header extensions about the packet's way, not about its media.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hop {
    /// The stream is named by its media section, and its layer, until the peer has reported on it.
    pub(super) named: bool,
    /// 6.18 fixed point seconds.
    pub(super) abs_send_time: u32,
    /// Its number among all packets of the transport.
    pub(super) transport_number: u16,
}

/// Who sends a packet, as header extensions say it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names<'a> {
    pub(super) mid: &'a str,
    pub(super) rid: Option<&'a str>,
}

/// What a retransmission is wrapped in (RFC 4588 §4).
#[derive(Clone, Copy, Debug)]
pub(super) struct Rtx {
    pub(super) ssrc: u32,
    pub(super) payload_type: u8,
    pub(super) sequence_number: Serial16,
}

/// The most bytes in front of a payload: the header, and an extension with names, the hop's values and `extensions`.
pub(super) fn header_len(ids: &ExtensionIds, names: Names<'_>, extensions: &Extensions) -> usize {
    // An element's length and id are one byte, or two where forms are mixed.
    let around = match ids.form {
        Form::OneByte => 1,
        Form::Mixed | Form::TwoByte => 2,
    };
    let element = |id: Option<ExtensionId>, len: usize| id.map_or(0, |_| around + len);
    let rid = names
        .rid
        .map_or(0, |rid| element(ids.rid.or(ids.repaired_rid), rid.len()));
    let elements = element(ids.mid, names.mid.len())
        + rid
        + element(ids.abs_send_time, 3)
        + element(ids.transport_number, 2)
        + extensions.max_len();
    12 + 4 + elements.next_multiple_of(4)
}

impl Outgoing {
    /// True for the most of them: their headers are alike, but for their numbers.
    pub(super) fn is_plain(&self) -> bool {
        self.csrcs.is_none() && self.extensions.is_empty()
    }

    /// Appends the header of the packet as it is sent first.
    pub(super) fn write_header(&self, out: &mut Vec<u8>, ssrc: u32, ids: &ExtensionIds, names: Names<'_>, hop: Hop) {
        let header = self.header(PayloadType(self.payload_type), self.sequence_number, Ssrc(ssrc));
        header.write(out, ids.form, |writer| {
            write_names(writer, ids, names, hop);
            write_hop(writer, ids, hop);
            self.extensions.write(writer, ids);
        });
    }

    /// Appends the packet as its stream of retransmissions sends it: "the OSN … MUST be set to the sequence number of the
    /// associated original RTP packet" (RFC 4588 §4).
    pub(super) fn write_rtx(&self, out: &mut Vec<u8>, rtx: Rtx, ids: &ExtensionIds, names: Names<'_>, hop: Hop) {
        self.write_rtx_header(out, rtx, ids, names, hop);
        out.extend_from_slice(&self.sequence_number.0.to_be_bytes());
        self.payload.write(out);
    }

    fn write_rtx_header(&self, out: &mut Vec<u8>, rtx: Rtx, ids: &ExtensionIds, names: Names<'_>, hop: Hop) {
        let header = self.header(PayloadType(rtx.payload_type), rtx.sequence_number, Ssrc(rtx.ssrc));
        header.write(out, ids.form, |writer| {
            // Nobody reports on this stream: it always says whose it is.
            add(writer, ids.mid, names.mid.as_bytes());
            if let Some(rid) = names.rid {
                add(writer, ids.repaired_rid, rid.as_bytes());
            }
            write_hop(writer, ids, hop);
            self.extensions.write(writer, ids);
        });
    }

    fn header(&self, payload_type: PayloadType, sequence_number: Serial16, ssrc: Ssrc) -> Header {
        Header {
            marker: self.payload.marker(),
            csrcs: self.csrcs.as_deref().copied().unwrap_or_default(),
            ..Header::new(payload_type, sequence_number, self.timestamp, ssrc)
        }
    }
}

pub(super) fn write_names(writer: &mut Writer<'_>, ids: &ExtensionIds, names: Names<'_>, hop: Hop) {
    if hop.named {
        add(writer, ids.mid, names.mid.as_bytes());
        if let Some(rid) = names.rid {
            add(writer, ids.rid, rid.as_bytes());
        }
    }
}

pub(super) fn write_hop(writer: &mut Writer<'_>, ids: &ExtensionIds, hop: Hop) {
    add(writer, ids.abs_send_time, &hop.abs_send_time.to_be_bytes()[1..]);
    add(writer, ids.transport_number, &hop.transport_number.to_be_bytes());
}

/// Appends a packet of padding and nothing else, in a stream of retransmissions: all that the last byte can count (RFC 3550 §5.1).
pub(super) fn write_padding(
    out: &mut Vec<u8>,
    rtx: Rtx,
    timestamp: u32,
    ids: &ExtensionIds,
    names: Names<'_>,
    hop: Hop,
) {
    const PADDING: u8 = 255;
    const HAS_PADDING: u8 = 1 << 5;
    let start = out.len();
    let packet = Outgoing {
        payload_type: rtx.payload_type,
        sequence_number: rtx.sequence_number,
        timestamp,
        csrcs: None,
        payload: Payload::new(&[], Bytes::new()),
        extensions: Extensions::new(),
    };
    packet.write_rtx_header(out, rtx, ids, names, hop);
    out[start] |= HAS_PADDING;
    out.resize(out.len() + usize::from(PADDING) - 1, 0);
    out.push(PADDING);
}

/// Adds a value if its extension was agreed on.
fn add(writer: &mut Writer<'_>, id: Option<ExtensionId>, value: &[u8]) {
    if let Some(id) = id {
        writer.add_bytes(id, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::extensions::{ExtensionKind, MID};
    use crate::media::parameters::RtpHeaderExtensionParameters;

    /// The profile of a packet's header extension, and whether it has the level and the descriptor.
    fn written(ids: [u8; 3], allow_mixed: bool, descriptor: usize) -> (u16, bool, bool) {
        let uris = [
            MID,
            ExtensionKind::AudioLevel.uri(),
            ExtensionKind::DependencyDescriptor.uri(),
        ];
        let parameters: Vec<_> = uris
            .iter()
            .zip(ids)
            .map(|(uri, id)| RtpHeaderExtensionParameters { uri: (*uri).into(), id })
            .collect();
        let ids = ExtensionIds::to_send(&parameters, allow_mixed);
        let mut extensions = Extensions::new();
        extensions.set(ExtensionKind::AudioLevel, &[7_u8][..]);
        extensions.set(ExtensionKind::DependencyDescriptor, vec![1; descriptor]);
        let names = Names { mid: "0", rid: None };
        let most = header_len(&ids, names, &extensions);
        let packet = Outgoing {
            payload_type: 96,
            sequence_number: Serial16(1),
            timestamp: 0,
            csrcs: None,
            payload: Payload::new(&[], vec![0; 10].into()),
            extensions,
        };
        let hop = Hop {
            named: true,
            abs_send_time: 0,
            transport_number: 0,
        };
        let mut out = Vec::new();
        packet.write_header(&mut out, 1, &ids, names, hop);
        packet.payload.write(&mut out);
        assert!(out.len() <= most + 10);
        let parsed = peerline_rtp::Packet::parse(&*out).unwrap();
        assert_eq!(ExtensionIds::read_name(&parsed, ids.mid), Some("0"));
        let has = |kind| {
            let (_, id) = ids.media.iter().find(|(own, _)| *own == kind).unwrap();
            parsed.extension(*id).is_some()
        };
        let profile = u16::from_be_bytes([out[12], out[13]]);
        (
            profile,
            has(ExtensionKind::AudioLevel),
            has(ExtensionKind::DependencyDescriptor),
        )
    }

    /// RFC 8285 §6: forms are mixed where both allow it, and never else.
    #[test]
    fn extensions_have_the_form_that_was_agreed_on() {
        const ONE_BYTE: u16 = 0xbede;
        const TWO_BYTE: u16 = 0x1000;
        for descriptor in [1, 16] {
            assert_eq!(written([1, 2, 14], false, descriptor), (ONE_BYTE, true, true));
            assert_eq!(written([1, 2, 14], true, descriptor), (ONE_BYTE, true, true));
        }
        assert_eq!(written([1, 2, 14], true, 17), (TWO_BYTE, true, true));
        assert_eq!(
            written([1, 2, 14], false, 17),
            (ONE_BYTE, true, false),
            "it has no place"
        );
        for allow_mixed in [false, true] {
            assert_eq!(written([1, 2, 16], allow_mixed, 3), (TWO_BYTE, true, true));
            assert_eq!(written([1, 255, 3], allow_mixed, 17), (TWO_BYTE, true, true));
        }
    }
}

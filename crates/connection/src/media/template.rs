//! [`Template`]: the header that the packets of a stream have in common, written once.

use peerline_rtp::{Header, Packet, PayloadType, Serial16, Ssrc};

use super::extensions::ExtensionIds;
use super::outgoing::{Hop, Names, Outgoing, write_hop, write_names};

/// A header with the extensions about the packet's way, into which each packet puts what is its own. One that has sources or
/// extensions of its own does not fit.
#[derive(Debug)]
pub(super) struct Template {
    /// It names the stream.
    pub(super) named: bool,
    header: Box<[u8]>,
    /// Where the values lie that differ from packet to packet, if they were agreed on.
    abs_send_time: Option<usize>,
    transport_number: Option<usize>,
}

impl Template {
    pub(super) fn new(ssrc: u32, ids: &ExtensionIds, names: Names<'_>, named: bool) -> Self {
        let header = Header::new(PayloadType(0), Serial16(0), 0, Ssrc(ssrc));
        let hop = Hop {
            named,
            ..Hop::default()
        };
        let mut bytes = Vec::new();
        header.write(&mut bytes, ids.form, |writer| {
            write_names(writer, ids, names, hop);
            write_hop(writer, ids, hop);
        });
        let packet = Packet::parse(&*bytes).ok();
        let place = |id: Option<_>| Some(packet.as_ref()?.extension_range(id?)?.start);
        Self {
            named,
            abs_send_time: place(ids.abs_send_time),
            transport_number: place(ids.transport_number),
            header: bytes.as_slice().into(),
        }
    }

    /// Appends the header of `packet`.
    pub(super) fn write(&self, out: &mut Vec<u8>, packet: &Outgoing, hop: Hop) {
        debug_assert!(packet.is_plain() && hop.named == self.named);
        let start = out.len();
        out.extend_from_slice(&self.header);
        let header = &mut out[start..];
        header[1] = u8::from(packet.payload.marker()) << 7 | packet.payload_type & 0x7f;
        header[2..4].copy_from_slice(&packet.sequence_number.0.to_be_bytes());
        header[4..8].copy_from_slice(&packet.timestamp.to_be_bytes());
        if let Some(at) = self.abs_send_time {
            header[at..at + 3].copy_from_slice(&hop.abs_send_time.to_be_bytes()[1..]);
        }
        if let Some(at) = self.transport_number {
            header[at..at + 2].copy_from_slice(&hop.transport_number.to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use peerline_rtp::payload::Payload;

    use super::*;
    use crate::media::extensions::{ABS_SEND_TIME, Extensions, MID, RID, TRANSPORT_NUMBER};
    use crate::media::parameters::RtpHeaderExtensionParameters;

    #[test]
    fn packets_are_as_if_each_were_written_anew() {
        let packet = Outgoing {
            payload_type: 96,
            sequence_number: Serial16(0x1234),
            timestamp: 0x5678_9abc,
            csrcs: None,
            payload: Payload::new(&[], vec![0; 10].into()).with_marker(true),
            extensions: Extensions::new(),
        };
        let all = [MID, RID, ABS_SEND_TIME, TRANSPORT_NUMBER];
        for (agreed, first_id, named) in [
            (&all[..], 1, true),
            (&all, 1, false),
            (&all, 14, true),
            (&all[..2], 3, false),
        ] {
            let extension = |(uri, id): (&&str, u8)| RtpHeaderExtensionParameters { uri: (*uri).into(), id };
            let agreed: Vec<_> = agreed.iter().zip(first_id..).map(extension).collect();
            for allow_mixed in [false, true] {
                let ids = ExtensionIds::to_send(&agreed, allow_mixed);
                let names = Names {
                    mid: "0",
                    rid: Some("high"),
                };
                let hop = Hop {
                    named,
                    abs_send_time: 0x00de_f012,
                    transport_number: 0x3456,
                };
                let [mut by_template, mut anew] = [vec![0xee], vec![0xee]];
                Template::new(7, &ids, names, named).write(&mut by_template, &packet, hop);
                packet.write_header(&mut anew, 7, &ids, names, hop);
                assert_eq!(by_template, anew, "{agreed:?}, named: {named}");
            }
        }
    }
}

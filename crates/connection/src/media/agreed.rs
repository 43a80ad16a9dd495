//! What offers and answers have agreed on about media, in the words of the packets: JSEP writes it, the engine obeys.

use super::outgoing::Names;
use super::parameters::{MediaKind, RtpCodecParameters, RtpHeaderExtensionParameters};
use crate::transceiver::TransceiverId;

/// One media section in force. Sections that are rejected, stopped or not yet answered have none.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Agreed {
    pub(crate) transceiver: TransceiverId,
    pub(crate) kind: MediaKind,
    /// `a=mid`, which packets may carry (RFC 9143 §14).
    pub(crate) mid: String,
    /// The section is to send: `currentDirection` has it.
    pub(crate) send: Option<Sending>,
    /// The section is to receive. Packets that come before the answer count already (RFC 8829 §5.10).
    pub(crate) receive: Option<Receiving>,
    /// Both sides speak RTCP of reduced size (RFC 5506).
    pub(crate) reduced_size: bool,
}

/// What we send: the numbers are the peer's, as its description has them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sending {
    /// The preferred first. `rtx`, `red` and `telephone-event` are among them, each bound by its own parameters.
    pub(crate) codecs: Vec<RtpCodecParameters>,
    pub(crate) extensions: Vec<RtpHeaderExtensionParameters>,
    /// Both descriptions allow headers of one byte and of two in one stream (RFC 8285 §6).
    pub(crate) mixed_extensions: bool,
    /// One, or one for each layer of simulcast that the peer takes.
    pub(crate) encodings: Vec<SendEncoding>,
    pub(crate) cname: String,
    /// What the peer takes in this section at most, in bits a second (`b=`).
    pub(crate) max_bitrate: Option<u64>,
}

impl Sending {
    /// What all encodings together may take at most, in bits a second.
    pub(super) fn most(&self) -> Option<u64> {
        let mut active = self.encodings.iter().filter(|encoding| encoding.active);
        let own = active.try_fold(0_u64, |sum, encoding| Some(sum.saturating_add(encoding.max_bitrate?)));
        own.into_iter().chain(self.max_bitrate).min()
    }
}

/// One stream of packets that we send, and that which repeats it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SendEncoding {
    /// `a=rid` of simulcast; `None` if it is the only encoding.
    pub(crate) rid: Option<String>,
    pub(crate) ssrc: u32,
    /// The stream of retransmissions (RFC 4588), if `rtx` was agreed on.
    pub(crate) rtx_ssrc: Option<u32>,
    /// `setParameters` lets it send, and the peer has not paused it (`~` in `a=simulcast`).
    pub(crate) active: bool,
    /// The payload type of the codec chosen by `setParameters`; else the first codec's.
    pub(crate) payload_type: Option<u8>,
    /// What it is to take at most, in bits a second: by `setParameters`, and by `max-br` in the peer's `a=rid`.
    pub(crate) max_bitrate: Option<u64>,
    /// What the peer takes of this layer at most, in frames a second (`max-fps` in `a=rid`).
    pub(crate) max_framerate: Option<f64>,
}

impl SendEncoding {
    /// What its packets are known by, in the section with this `mid`.
    pub(super) fn names<'a>(&'a self, mid: &'a str) -> Names<'a> {
        Names {
            mid,
            rid: self.rid.as_deref(),
        }
    }
}

/// What we take: the numbers are ours, as our description has them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Receiving {
    pub(crate) codecs: Vec<RtpCodecParameters>,
    pub(crate) extensions: Vec<RtpHeaderExtensionParameters>,
    /// Streams that the peer's description names (`a=ssrc`, RFC 5576), each with the one that repeats it (`a=ssrc-group:FID`).
    pub(crate) streams: Vec<(u32, Option<u32>)>,
    /// The layers of simulcast that the peer sends (`a=rid:… send`).
    pub(crate) rids: Vec<String>,
}

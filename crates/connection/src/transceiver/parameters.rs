//! Encodings: what `addTransceiver` may ask, `getParameters` and `setParameters` (webrtc-pc §5.1 and §5.2).

use std::time::Instant;

use super::TransceiverId;
use crate::Connection;
use crate::error::{Error, MediaFault};
use crate::jsep::is_same_codec;
use crate::media::agreed::Agreed;
use crate::media::parameters::{
    MediaKind, RtcpParameters, RtpEncodingParameters, RtpReceiveParameters, RtpSendParameters,
};

impl Connection {
    /// `sender.getParameters()`, to be changed and given to [`set_send_parameters`](Self::set_send_parameters).
    ///
    /// # Errors
    /// [`Error::Media`] if there is no such transceiver.
    pub fn send_parameters(&mut self, id: TransceiverId) -> Result<RtpSendParameters, Error> {
        let next = self.transceivers.next_transaction;
        let transceiver = self.known_transceiver(id)?;
        let transaction_id = *transceiver.sender.read.get_or_insert(next);
        if transaction_id == next {
            self.transceivers.next_transaction += 1;
        }
        Ok(self.parameters_of(id, transaction_id))
    }

    /// `sender.setParameters()`: takes effect at once, without an exchange.
    ///
    /// # Errors
    /// [`Error::Media`]: the parameters were not read since they were last set or negotiated, something but the encodings'
    /// own members was changed, a number is out of range, or a codec is not among those negotiated; [`Error::Closed`].
    pub fn set_send_parameters(
        &mut self,
        now: Instant,
        id: TransceiverId,
        parameters: RtpSendParameters,
    ) -> Result<(), Error> {
        self.ensure_open()?;
        let fault = |fault| Err(Error::Media(fault));
        let transceiver = self.running_transceiver(id)?;
        let kind = transceiver.kind;
        let Some(transaction_id) = transceiver.sender.read else {
            return fault(MediaFault::ParametersNotRead);
        };
        // "Any of the members … marked as a Read-only parameter" (webrtc-pc §5.2).
        let own = self.parameters_of(id, transaction_id);
        let rids = |parameters: &RtpSendParameters| -> Vec<String> {
            let encodings = parameters.encodings.iter();
            encodings.map(|encoding| encoding.rid.clone()).collect()
        };
        if parameters.transaction_id != own.transaction_id
            || rids(&parameters) != rids(&own)
            || parameters.codecs != own.codecs
            || parameters.header_extensions != own.header_extensions
            || parameters.rtcp != own.rtcp
        {
            return fault(MediaFault::ParametersChanged);
        }
        let choosable: Vec<_> = if own.codecs.is_empty() {
            self.capabilities(kind).codecs
        } else {
            own.codecs.into_iter().map(|codec| codec.codec).collect()
        };
        let mut encodings = Vec::new();
        for mut encoding in parameters.encodings {
            check_numbers(kind, &mut encoding)?;
            if let Some(codec) = &encoding.codec {
                let is_choosable = |own| is_same_codec(own, codec) && !codec.is_auxiliary();
                if !choosable.iter().any(is_choosable) {
                    return fault(MediaFault::UnknownCodec);
                }
            }
            encodings.push(encoding);
        }
        let sender = &mut self.running_transceiver(id)?.sender;
        for (own, new) in sender.encodings.iter_mut().zip(encodings) {
            own.parameters = new;
        }
        sender.read = None;
        self.agree_on_media(now);
        self.settle(now);
        Ok(())
    }

    /// `receiver.getParameters()`.
    ///
    /// # Errors
    /// [`Error::Media`] if there is no such transceiver.
    pub fn receive_parameters(&self, id: TransceiverId) -> Result<RtpReceiveParameters, Error> {
        self.transceivers
            .get(id)
            .ok_or(Error::Media(MediaFault::UnknownTransceiver))?;
        let agreed = self.agreed.iter().find(|agreed| agreed.transceiver == id);
        let Some((agreed, receiving)) = agreed.and_then(|agreed| Some((agreed, agreed.receive.as_ref()?))) else {
            return Ok(RtpReceiveParameters::default());
        };
        Ok(RtpReceiveParameters {
            codecs: receiving.codecs.clone(),
            header_extensions: receiving.extensions.clone(),
            // "cname … is not present in RTCRtpReceiver parameters" (webrtc-pc §5.2).
            rtcp: RtcpParameters {
                cname: String::new(),
                reduced_size: agreed.reduced_size,
            },
        })
    }

    /// What `getParameters` of a sender gives under this transaction.
    fn parameters_of(&self, id: TransceiverId, transaction_id: u64) -> RtpSendParameters {
        let encodings = self
            .transceivers
            .get(id)
            .map(|transceiver| &transceiver.sender.encodings);
        let agreed = self.agreed.iter().find(|agreed| agreed.transceiver == id);
        let sending = agreed.and_then(|agreed| agreed.send.as_ref());
        RtpSendParameters {
            transaction_id,
            encodings: encodings
                .into_iter()
                .flatten()
                .map(|encoding| encoding.parameters.clone())
                .collect(),
            codecs: sending.map(|sending| sending.codecs.clone()).unwrap_or_default(),
            header_extensions: sending.map(|sending| sending.extensions.clone()).unwrap_or_default(),
            rtcp: RtcpParameters {
                cname: self.transceivers.cname().to_owned(),
                reduced_size: agreed.is_some_and(|agreed: &Agreed| agreed.reduced_size),
            },
        }
    }

    /// The encodings that `addTransceiver` makes of those asked for (webrtc-pc §5.1).
    pub(super) fn checked_encodings(
        &self,
        kind: MediaKind,
        mut encodings: Vec<RtpEncodingParameters>,
    ) -> Result<Vec<RtpEncodingParameters>, Error> {
        let fault = |fault| Err(Error::Media(fault));
        if encodings.iter().any(|encoding| !encoding.rid.is_empty()) {
            if encodings.iter().any(|encoding| encoding.rid.is_empty()) {
                return fault(MediaFault::MissingRid);
            }
            if !encodings.iter().all(|encoding| is_rid(&encoding.rid)) {
                return fault(MediaFault::BadRid);
            }
            let is_repeated = |(index, encoding): (usize, &RtpEncodingParameters)| {
                encodings[..index].iter().any(|other| other.rid == encoding.rid)
            };
            if encodings.iter().enumerate().any(is_repeated) {
                return fault(MediaFault::DuplicateRid);
            }
        }
        let capable = self.capabilities(kind).codecs;
        for encoding in &mut encodings {
            check_numbers(kind, encoding)?;
            if let Some(codec) = &encoding.codec
                && (codec.is_auxiliary() || !capable.iter().any(|own| is_same_codec(own, codec)))
            {
                return fault(MediaFault::UnsupportedCodec);
            }
        }
        // "If the number of RTCRtpEncodingParameters … exceeds the maximum supported, … trimmed from the tail"; audio has no
        // simulcast.
        let most = match kind {
            MediaKind::Audio => 1,
            MediaKind::Video => self.config.max_simulcast_layers.max(1),
        };
        encodings.truncate(most);
        if encodings.is_empty() {
            encodings.push(RtpEncodingParameters::default());
        }
        if let [only] = &mut encodings[..] {
            // "If sendEncodings … contains one, remove its rid": one stream needs no name.
            only.rid.clear();
        }
        // "a rid-id MUST be generated by the implementation" (RFC 8829 §5.2.1).
        if encodings.len() > 1 && encodings[0].rid.is_empty() {
            for (index, encoding) in encodings.iter_mut().enumerate() {
                encoding.rid = index.to_string();
            }
        }
        set_scales(kind, &mut encodings);
        Ok(encodings)
    }
}

/// "If kind is "video" and none of the encodings contain a scaleResolutionDownBy member, … 2^(length of sendEncodings - encoding
/// index - 1)"; with one in some, 1.0 in the others (webrtc-pc §5.1).
fn set_scales(kind: MediaKind, encodings: &mut [RtpEncodingParameters]) {
    if kind == MediaKind::Audio {
        return;
    }
    let any = encodings
        .iter()
        .any(|encoding| encoding.scale_resolution_down_by.is_some());
    let mut scale = 1.0;
    for encoding in encodings.iter_mut().rev() {
        if encoding.scale_resolution_down_by.is_none() {
            encoding.scale_resolution_down_by = Some(if any { 1.0 } else { scale });
        }
        scale *= 2.0;
    }
}

fn check_numbers(kind: MediaKind, encoding: &mut RtpEncodingParameters) -> Result<(), Error> {
    if kind == MediaKind::Audio {
        // "If … kind is "audio", remove the scaleResolutionDownBy and maxFramerate members" (webrtc-pc §5.1).
        encoding.scale_resolution_down_by = None;
        encoding.max_framerate = None;
    }
    // What is not a number is not in range either.
    let in_range = |value: Option<f64>, least: f64| value.is_none_or(|value| value >= least);
    if !in_range(encoding.scale_resolution_down_by, 1.0) || !in_range(encoding.max_framerate, 0.0) {
        return Err(Error::Media(MediaFault::OutOfRange));
    }
    Ok(())
}

/// A name that RTP packets can carry (RFC 8852 §3) in headers of one byte: 1 to 16 letters and digits.
pub(crate) fn is_rid(rid: &str) -> bool {
    (1..=16).contains(&rid.len()) && rid.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

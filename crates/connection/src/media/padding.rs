//! Padding that probes for more bandwidth: when it is wanted, and in which stream it goes.

use std::time::Instant;

use super::agreed::Sending;
use super::bandwidth::Prober;
use super::parameters::MediaKind;
use super::statistics::VOICE;
use super::{Media, Queued, Section, What};
use crate::transceiver::TransceiverId;

impl Media {
    /// What a transceiver would send if the path took it, in bits a second.
    pub(super) fn set_desired_bitrate(&mut self, transceiver: TransceiverId, desired: Option<u64>) {
        if let Some((_, section)) = self.section_of(transceiver) {
            section.desired = desired;
        }
        self.choose_probes();
    }

    /// Probes for what all want together; for nothing if nobody wants more.
    pub(super) fn choose_probes(&mut self) {
        let sending = || {
            let sections = self.sections.iter().flatten();
            sections.filter(|section| section.agreed.send.is_some())
        };
        if !sending().any(|section| section.desired.is_some()) {
            self.prober = None;
            return;
        }
        let wants = |section: &Section| {
            let voice = (section.agreed.kind == MediaKind::Audio).then_some(VOICE);
            let most = section.agreed.send.as_ref().and_then(Sending::most);
            let desired = section.desired.or(voice).unwrap_or(0);
            most.map_or(desired, |most| most.min(desired))
        };
        let desired = sending().map(wants).fold(0_u64, u64::saturating_add);
        self.prober
            .get_or_insert_with(Box::<Prober>::default)
            .set_desired(desired);
    }

    /// Appends a packet of padding, if a probe is under way.
    pub(super) fn transmit_padding(&mut self, now: Instant, out: &mut Vec<u8>, start: usize) -> Option<usize> {
        if !self.prober.as_ref()?.is_due() {
            return None;
        }
        let queued = self.padding();
        let has_left = queued.is_some_and(|queued| self.transmit(now, queued, out, start));
        let len = out.len() - start;
        let prober = self.prober.as_mut()?;
        match has_left {
            true => prober.on_sent(now, len),
            false => prober.give_up(now),
        }
        has_left.then_some(len)
    }

    /// A packet of padding for the first stream of retransmissions whose stream has sent something: where there is none, padding would
    /// take the place of media in the order of its packets, and there are no probes.
    fn padding(&self) -> Option<Queued> {
        let sections = self.sections.iter().enumerate();
        sections
            .filter_map(|(index, section)| Some((index, section.as_ref()?)))
            .filter(|(_, section)| section.agreed.send.is_some())
            .find_map(|(index, section)| {
                let codecs = &section.sender.codecs;
                let stream = section.sender.streams.iter().position(|stream| {
                    let repeats = stream
                        .latest
                        .is_some_and(|latest| codecs.rtx_of(latest.payload_type).is_some());
                    stream.encoding.active && stream.encoding.rtx_ssrc.is_some() && repeats
                })?;
                Some(Queued {
                    section: index,
                    stream,
                    paced: false,
                    what: What::Padding,
                })
            })
    }
}

//! Who is heard: the streams that a receiver receives, and those that were mixed into them (webrtc-pc §5.3, RFC 3550 §5.1).

use std::time::{Duration, Instant};

use peerline_rtp::extension::{AudioLevel, CsrcAudioLevels, Extension as _};

use super::extensions::{ExtensionKind, Extensions};
use super::receiver::Receiver;
use crate::Connection;
use crate::transceiver::TransceiverId;

/// A stream, or what was mixed into one (`RTCRtpContributingSource`, `RTCRtpSynchronizationSource`).
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "camelCase"))]
pub struct RtpSource {
    /// Its SSRC, or CSRC.
    pub source: u32,
    /// When the latest packet came, in milliseconds since 1970.
    pub timestamp: f64,
    /// The timestamp of that packet.
    pub rtp_timestamp: u32,
    /// How loud that packet was, from 0 for silence to 1, if it said so (RFC 6464, RFC 6465).
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub audio_level: Option<f64>,
}

/// The contributing sources of a receiver.
#[derive(Debug, Default)]
pub(super) struct Contributors(Vec<Heard>);

/// A source, and the latest packet of it.
#[derive(Clone, Copy, Debug)]
struct Heard {
    source: u32,
    at: Instant,
    timestamp: u32,
    /// In -dBov.
    level: Option<u8>,
}

/// "for each unique CSRC identifier received by this RTCRtpReceiver in the last 10 seconds" (webrtc-pc §5.3).
const SPAN: Duration = Duration::from_secs(10);

/// Contributors that are remembered at a time, the latest.
const MOST: usize = 64;

impl Contributors {
    /// A packet has come that was mixed from these.
    pub(super) fn on_packet(
        &mut self,
        now: Instant,
        timestamp: u32,
        sources: impl Iterator<Item = u32>,
        extensions: &Extensions,
    ) {
        let levels = extensions.get(ExtensionKind::CsrcAudioLevel);
        let levels = levels.and_then(|value| CsrcAudioLevels::parse(value).ok());
        for (index, source) in sources.enumerate() {
            let heard = Heard {
                source,
                at: now,
                timestamp,
                level: levels.as_ref().and_then(|levels| levels.0.get(index).copied()),
            };
            let known = self.0.iter().position(|known| known.source == source);
            let oldest = || (0..self.0.len()).min_by_key(|index| self.0[*index].at);
            match known.or_else(|| oldest().filter(|_| self.0.len() >= MOST)) {
                Some(place) => self.0[place] = heard,
                None => self.0.push(heard),
            }
        }
    }
}

#[cfg(test)]
impl Contributors {
    pub(super) fn latest(&self) -> Vec<(u32, Option<u8>)> {
        self.0.iter().map(|heard| (heard.source, heard.level)).collect()
    }
}

/// How loud a packet says that it is, in -dBov.
pub(super) fn level(extensions: &Extensions) -> Option<u8> {
    let value = extensions.get(ExtensionKind::AudioLevel)?;
    AudioLevel::parse(value).ok().map(|level| level.level)
}

impl Receiver {
    fn heard(&self) -> Vec<Heard> {
        let streams = self.streams.iter();
        streams
            .filter_map(|stream| {
                let (at, timestamp) = stream.reception.latest_packet()?;
                Some(Heard {
                    source: stream.ssrc,
                    at,
                    timestamp,
                    level: stream.level,
                })
            })
            .collect()
    }
}

impl Connection {
    /// `getSynchronizationSources()`: the streams that a transceiver has received in the last ten seconds, the latest first.
    #[must_use]
    pub fn synchronization_sources(&self, now: Instant, id: TransceiverId) -> Vec<RtpSource> {
        let receiver = self.receiver(id);
        self.sources(now, receiver.map(Receiver::heard).unwrap_or_default())
    }

    /// `getContributingSources()`: what was mixed into them, as their packets say it.
    #[must_use]
    pub fn contributing_sources(&self, now: Instant, id: TransceiverId) -> Vec<RtpSource> {
        let receiver = self.receiver(id);
        self.sources(now, receiver.map(|own| own.contributors.0.clone()).unwrap_or_default())
    }

    fn receiver(&self, id: TransceiverId) -> Option<&Receiver> {
        let mut sections = self.upper.media.as_ref()?.sections.iter().flatten();
        let section = sections.find(|section| section.agreed.transceiver == id)?;
        Some(&section.receiver)
    }

    fn sources(&self, now: Instant, mut heard: Vec<Heard>) -> Vec<RtpSource> {
        heard.retain(|heard| now.saturating_duration_since(heard.at) <= SPAN);
        heard.sort_by_key(|heard| std::cmp::Reverse(heard.at));
        let told = heard.into_iter().map(|heard| RtpSource {
            source: heard.source,
            timestamp: self.timestamp(heard.at),
            rtp_timestamp: heard.timestamp,
            audio_level: heard.level.map(linear),
        });
        told.collect()
    }
}

/// -dBov as a share of the loudest; 127 is silence.
fn linear(level: u8) -> f64 {
    if level >= 127 {
        0.0
    } else {
        10f64.powf(f64::from(level) / -20.0)
    }
}

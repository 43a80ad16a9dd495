//! [`Outbound`]: protects what is sent.

use std::fmt;

use crate::Profile;
use crate::cipher::SessionKeys;
use crate::config::Config;
use crate::cryptex::Coverage;
use crate::error::{ProtectError, ResumeError};
use crate::index::{Estimate, PacketIndex};
use crate::key::MasterKey;
use crate::packet::{Malformed, RtcpTrailer, RtpHeader, rtcp_ssrc};
use crate::state::StreamState;
use crate::streams::{Full, Streams, Summary};

/// The sending direction of an SRTP session: one master key, any number of SSRCs.
///
/// - Per packet: [`protect_rtp`](Self::protect_rtp), [`protect_rtcp`](Self::protect_rtcp).
/// - Getters: [`profile`](Self::profile), [`stream`](Self::stream), [`streams`](Self::streams).
/// - Commands: [`set_roc`](Self::set_roc), [`resume`](Self::resume), [`retire`](Self::retire),
///   [`remove`](Self::remove).
pub struct Outbound {
    profile: Profile,
    keys: SessionKeys,
    config: Config,
    streams: Streams<Stream>,
}

struct Stream {
    rtp: PacketIndex,
    /// The index of the next SRTCP packet.
    rtcp_next: u32,
}

impl Outbound {
    /// A session that has sent nothing.
    #[must_use]
    pub fn new(key: &MasterKey, config: Config) -> Self {
        Self {
            profile: key.profile(),
            keys: SessionKeys::derive(key),
            streams: Streams::new(config.max_streams, config.max_retired),
            config,
        }
    }

    /// Protects the RTP packet `out[start..]`: its payload is encrypted in place and the tag is appended
    /// ([`Profile::rtp_overhead`]). Sequence numbers may go back, but for those that were used.
    ///
    /// # Errors
    /// [`ProtectError`]; then `out` is cut back to `start`, so that nothing leaves in the clear.
    ///
    /// # Panics
    /// If `start` is beyond the end of `out`.
    pub fn protect_rtp(&mut self, out: &mut Vec<u8>, start: usize) -> Result<(), ProtectError> {
        self.try_protect_rtp(out, start).inspect_err(|_| out.truncate(start))
    }

    fn try_protect_rtp(&mut self, out: &mut Vec<u8>, start: usize) -> Result<(), ProtectError> {
        let packet = checked_len(&out[start..])?;
        let header = RtpHeader::parse(packet)?;
        let stream = self
            .streams
            .find_or_insert(header.ssrc, |before| Stream::new(&self.config, before))?;
        let index = match stream.rtp.estimate(header.sequence_number) {
            Estimate::Fresh(index) => index,
            Estimate::Seen(index) if self.config.allow_repeats && !self.profile.is_aead() => index,
            Estimate::Seen(_) => return Err(ProtectError::Repeated),
            Estimate::TooOld => return Err(ProtectError::TooOld),
            Estimate::Exhausted => return Err(ProtectError::KeyExpired),
        };
        let coverage = if self.config.cryptex {
            Coverage::mark(&header, out, start)?
        } else {
            Coverage::payload(&header)
        };
        stream.rtp.accept(index);
        self.keys.seal_rtp(header.ssrc, index, out, start, coverage);
        Ok(())
    }

    /// Protects the compound RTCP packet `out[start..]`: all but its first eight bytes is encrypted in place, and E flag,
    /// SRTCP index and tag are added ([`Profile::rtcp_overhead`]). The stream is that of the first packet's sender.
    ///
    /// # Errors
    /// [`ProtectError`]; then `out` is cut back to `start`, so that nothing leaves in the clear.
    ///
    /// # Panics
    /// If `start` is beyond the end of `out`.
    pub fn protect_rtcp(&mut self, out: &mut Vec<u8>, start: usize) -> Result<(), ProtectError> {
        self.try_protect_rtcp(out, start).inspect_err(|_| out.truncate(start))
    }

    fn try_protect_rtcp(&mut self, out: &mut Vec<u8>, start: usize) -> Result<(), ProtectError> {
        let packet = checked_len(&out[start..])?;
        let ssrc = rtcp_ssrc(packet)?;
        let stream = self
            .streams
            .find_or_insert(ssrc, |before| Stream::new(&self.config, before))?;
        // RFC 3711 §3.4: "The SRTCP index MUST be set to zero before the first SRTCP packet is sent, and MUST be
        // incremented by one, modulo 2^31, after each SRTCP packet is sent" - but not over the life of the key (§9.2).
        if stream.rtcp_next > RtcpTrailer::MAX_INDEX {
            return Err(ProtectError::KeyExpired);
        }
        let trailer = RtcpTrailer {
            encrypted: true,
            index: stream.rtcp_next,
        };
        stream.rtcp_next += 1;
        self.keys.seal_rtcp(ssrc, trailer, out, start);
        Ok(())
    }

    /// The profile of the key.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// Where this SSRC is, if it has sent.
    #[must_use]
    pub fn stream(&self, ssrc: u32) -> Option<StreamState> {
        self.streams.peek(ssrc)
    }

    /// Where each SSRC is.
    pub fn streams(&self) -> impl Iterator<Item = StreamState> {
        self.streams.iter()
    }

    /// The next packet of this SSRC has this rollover counter, whatever its sequence number. Nothing changes if it has
    /// that already.
    ///
    /// # Errors
    /// [`ResumeError`] if the stream is beyond, or there are too many.
    pub fn set_roc(&mut self, ssrc: u32, roc: u32) -> Result<(), ResumeError> {
        self.resume(StreamState {
            ssrc,
            roc,
            ..StreamState::default()
        })
    }

    /// Goes on where another process stopped: what that has sent counts as sent. Unless both members that may be missing
    /// are there, this side could encrypt two packets alike.
    ///
    /// # Errors
    /// [`ResumeError`] if the stream is beyond, or there are too many.
    pub fn resume(&mut self, state: StreamState) -> Result<(), ResumeError> {
        let stream = self
            .streams
            .find_or_insert(state.ssrc, |before| Stream::new(&self.config, before))
            .map_err(|Full| ResumeError::TooManyStreams)?;
        if stream.resume(&state) {
            Ok(())
        } else {
            Err(ResumeError::Behind)
        }
    }

    /// An SSRC is not used at present: of its state only [`StreamState`] is kept. Should it come back, only packets beyond its
    /// newest are protected, so that none is encrypted as another was.
    pub fn retire(&mut self, ssrc: u32) {
        self.streams.retire(ssrc);
    }

    /// Forgets an SSRC that will never be used again with this key: its packets would be encrypted as others were.
    /// Returns where it was. [`retire`](Self::retire) has no such danger.
    pub fn remove(&mut self, ssrc: u32) -> Option<StreamState> {
        self.streams.remove(ssrc)
    }
}

impl Stream {
    /// A stream that has sent nothing, or what was kept of it.
    fn new(config: &Config, before: Option<StreamState>) -> Self {
        let mut stream = Self {
            rtp: PacketIndex::new(config.replay_window),
            rtcp_next: 0,
        };
        if let Some(before) = before {
            stream.resume(&before);
        }
        stream
    }

    /// Goes on as told; `false`, and nothing changed, if it is beyond.
    fn resume(&mut self, state: &StreamState) -> bool {
        let rtcp_next = state.rtcp_index.map_or(0, |index| index.saturating_add(1));
        if state.rtcp_index.is_some() && rtcp_next < self.rtcp_next || !self.rtp.resume(state) {
            return false;
        }
        self.rtcp_next = self.rtcp_next.max(rtcp_next);
        true
    }
}

impl Summary for Stream {
    fn summary(&self, ssrc: u32) -> StreamState {
        StreamState {
            ssrc,
            roc: self.rtp.roc(),
            sequence_number: self.rtp.newest_sequence_number(),
            rtcp_index: self.rtcp_next.checked_sub(1),
        }
    }
}

/// The packet, if it is no longer than any datagram: far shorter than the keystream of one index.
fn checked_len(packet: &[u8]) -> Result<&[u8], ProtectError> {
    if packet.len() > usize::from(u16::MAX) {
        return Err(ProtectError::TooLong);
    }
    Ok(packet)
}

impl From<Malformed> for ProtectError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl From<Full> for ProtectError {
    fn from(_: Full) -> Self {
        Self::TooManyStreams
    }
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound")
            .field("profile", &self.profile)
            .field("streams", &self.streams().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

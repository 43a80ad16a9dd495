//! [`Inbound`]: checks and decrypts what arrives.

use std::fmt;

use bytes::BytesMut;
use peerline_wire::ReplayWindow;

use crate::Profile;
use crate::cipher::{Forged, SessionKeys};
use crate::config::Config;
use crate::cryptex::{self, Coverage};
use crate::error::{ResumeError, UnprotectError};
use crate::index::{Estimate, PacketIndex};
use crate::key::MasterKey;
use crate::packet::{Malformed, RTCP_CLEAR_LEN, RtpHeader, rtcp_ssrc};
use crate::state::StreamState;
use crate::streams::{Full, Streams, Summary};

/// The receiving direction of an SRTP session: one master key, any number of SSRCs.
///
/// A packet changes nothing here, and makes no state for its SSRC, unless it is authentic.
///
/// - Per packet: [`unprotect_rtp`](Self::unprotect_rtp), [`unprotect_rtcp`](Self::unprotect_rtcp).
/// - Getters: [`profile`](Self::profile), [`stream`](Self::stream), [`streams`](Self::streams).
/// - Commands: [`set_roc`](Self::set_roc), [`resume`](Self::resume), [`retire`](Self::retire),
///   [`remove`](Self::remove).
pub struct Inbound {
    profile: Profile,
    keys: SessionKeys,
    config: Config,
    streams: Streams<Stream>,
}

struct Stream {
    rtp: PacketIndex,
    rtcp: ReplayWindow,
    rtcp_newest: Option<u32>,
}

impl Inbound {
    /// A session that has received nothing.
    #[must_use]
    pub fn new(key: &MasterKey, config: Config) -> Self {
        Self {
            profile: key.profile(),
            keys: SessionKeys::derive(key),
            streams: Streams::new(config.max_streams, config.max_retired),
            config,
        }
    }

    /// Checks an SRTP packet, decrypts its payload in place, and cuts off the tag: what is left is the RTP packet.
    ///
    /// # Errors
    /// [`UnprotectError`]; then the bytes may have changed and are good for nothing.
    pub fn unprotect_rtp(&mut self, packet: &mut BytesMut) -> Result<(), UnprotectError> {
        let header = RtpHeader::parse(packet)?;
        if packet.len() < header.len + self.profile.rtp_overhead() {
            return Err(UnprotectError::Malformed);
        }
        let mut newcomer = None;
        let stream = match self.streams.find(header.ssrc) {
            Some(stream) => stream,
            None => newcomer.insert(Stream::newcomer(header.ssrc, &self.streams, &self.config)?),
        };
        let estimate = stream.rtp.estimate(header.sequence_number);
        let index = match estimate {
            Estimate::Fresh(index) => index,
            Estimate::Seen(_) => return Err(UnprotectError::Replayed),
            Estimate::TooOld => return Err(UnprotectError::TooOld),
            Estimate::Exhausted => return Err(UnprotectError::KeyExpired),
        };
        let coverage = if self.config.cryptex {
            Coverage::of_received(&header)
        } else {
            Coverage::payload(&header)
        };
        let len = self.keys.open_rtp(header.ssrc, index, packet, coverage)?;
        if self.config.cryptex {
            cryptex::unmark(&header, packet);
        }
        stream.rtp.accept(index);
        if let Some(stream) = newcomer {
            self.streams.find_or_insert(header.ssrc, |_| stream)?;
        }
        packet.truncate(len);
        Ok(())
    }

    /// Checks an SRTCP packet, decrypts it in place if its E flag is set, and cuts off E flag, index and tag: what is left
    /// is the compound RTCP packet.
    ///
    /// # Errors
    /// [`UnprotectError`]; then the bytes may have changed and are good for nothing.
    pub fn unprotect_rtcp(&mut self, packet: &mut BytesMut) -> Result<(), UnprotectError> {
        let ssrc = rtcp_ssrc(packet)?;
        if packet.len() < RTCP_CLEAR_LEN + self.profile.rtcp_overhead() {
            return Err(UnprotectError::Malformed);
        }
        let trailer = self.keys.rtcp_trailer(packet).ok_or(UnprotectError::Malformed)?;
        let mut newcomer = None;
        let stream = match self.streams.find(ssrc) {
            Some(stream) => stream,
            None => newcomer.insert(Stream::newcomer(ssrc, &self.streams, &self.config)?),
        };
        if !stream.rtcp.is_fresh(trailer.index.into()) {
            let oldest = u64::from(stream.rtcp_newest.unwrap_or(0)).saturating_sub(ReplayWindow::WIDTH - 1);
            return Err(if u64::from(trailer.index) < oldest {
                UnprotectError::TooOld
            } else {
                UnprotectError::Replayed
            });
        }
        let len = self.keys.open_rtcp(ssrc, trailer, packet)?;
        stream.accept_rtcp(trailer.index);
        if let Some(stream) = newcomer {
            self.streams.find_or_insert(ssrc, |_| stream)?;
        }
        packet.truncate(len);
        Ok(())
    }

    /// The profile of the key.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// Where this SSRC is, if anything authentic came from it.
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

    /// Goes on where another process stopped: what came up to there counts as received, also what was missing.
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
    /// newest are taken, so that none can be replayed.
    pub fn retire(&mut self, ssrc: u32) {
        self.streams.retire(ssrc);
    }

    /// Forgets an SSRC that has ended, and returns where it was. From then on somebody on the path could replay its
    /// packets; [`resume`](Self::resume) with what this returned, should the SSRC come back.
    /// [`retire`](Self::retire) has no such danger.
    pub fn remove(&mut self, ssrc: u32) -> Option<StreamState> {
        self.streams.remove(ssrc)
    }
}

impl Stream {
    /// A stream of which nothing has come, or what was kept of it.
    fn new(config: &Config, before: Option<StreamState>) -> Self {
        let mut stream = Self {
            rtp: PacketIndex::new(config.replay_window),
            rtcp: ReplayWindow::new(),
            rtcp_newest: None,
        };
        if let Some(before) = before {
            stream.resume(&before);
        }
        stream
    }

    /// What an SSRC that is not in use would begin with; an error if there is no room for it.
    fn newcomer(ssrc: u32, streams: &Streams<Self>, config: &Config) -> Result<Self, Full> {
        let before = streams.retired(ssrc);
        if before.is_none() && !streams.has_room() {
            return Err(Full);
        }
        Ok(Self::new(config, before))
    }

    /// Goes on as told; `false`, and nothing changed, if it is beyond.
    fn resume(&mut self, state: &StreamState) -> bool {
        if state.rtcp_index.is_some_and(|index| self.rtcp_newest > Some(index)) || !self.rtp.resume(state) {
            return false;
        }
        if let Some(index) = state.rtcp_index {
            let oldest = u64::from(index).saturating_sub(ReplayWindow::WIDTH - 1);
            (oldest..=index.into()).for_each(|index| self.rtcp.accept(index));
            self.rtcp_newest = Some(index);
        }
        true
    }

    fn accept_rtcp(&mut self, index: u32) {
        self.rtcp.accept(index.into());
        self.rtcp_newest = self.rtcp_newest.max(Some(index));
    }
}

impl Summary for Stream {
    fn summary(&self, ssrc: u32) -> StreamState {
        StreamState {
            ssrc,
            roc: self.rtp.roc(),
            sequence_number: self.rtp.newest_sequence_number(),
            rtcp_index: self.rtcp_newest,
        }
    }
}

impl From<Malformed> for UnprotectError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl From<Forged> for UnprotectError {
    fn from(_: Forged) -> Self {
        Self::Forged
    }
}

impl From<Full> for UnprotectError {
    fn from(_: Full) -> Self {
        Self::TooManyStreams
    }
}

impl fmt::Debug for Inbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbound")
            .field("profile", &self.profile)
            .field("streams", &self.streams().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Outbound;
    use crate::packet::RtcpTrailer;

    const RTCP: [u8; 20] = *b"\x80\xc9\0\x01\0\0\0\x01\x81\xce\0\x02\0\0\0\x01\0\0\0\x02";

    /// RFC 3711 §3.4: "In case the E-flag is 0, the payload is simply left unmodified."
    #[test]
    fn rtcp_that_is_not_encrypted_is_authenticated() {
        for profile in Profile::ALL {
            let (key, salt) = (&[7; 32][..profile.key_len()], &[8; 14][..profile.salt_len()]);
            let master = MasterKey::new(profile, key, salt).unwrap();
            let mut inbound = Inbound::new(&master, Config::default());
            let mut out = RTCP.to_vec();
            let trailer = RtcpTrailer {
                encrypted: false,
                index: 5,
            };
            SessionKeys::derive(&master).seal_rtcp(1, trailer, &mut out, 0);
            assert_eq!(out[..RTCP.len()], RTCP);
            assert_eq!(out.len(), RTCP.len() + profile.rtcp_overhead());

            let mut forged = BytesMut::from(&out[..]);
            forged[12] ^= 1;
            assert_eq!(inbound.unprotect_rtcp(&mut forged), Err(UnprotectError::Forged));
            for len in 0..out.len() {
                assert!(inbound.unprotect_rtcp(&mut BytesMut::from(&out[..len])).is_err());
            }
            assert_eq!(inbound.streams().count(), 0);
            let mut packet = BytesMut::from(&out[..]);
            assert_eq!(inbound.unprotect_rtcp(&mut packet), Ok(()));
            assert_eq!(packet, RTCP[..]);

            // To clear the flag of one that is encrypted is forgery.
            let mut outbound = Outbound::new(&master, Config::default());
            let mut out = RTCP.to_vec();
            outbound.protect_rtcp(&mut out, 0).unwrap();
            let flag = out.len() - profile.rtcp_overhead() + if profile.is_aead() { 16 } else { 0 };
            assert_eq!(out[flag], 0x80);
            out[flag] = 0;
            let mut forged = BytesMut::from(&out[..]);
            assert_eq!(inbound.unprotect_rtcp(&mut forged), Err(UnprotectError::Forged));
        }
    }
}

//! What happened, until somebody asks for it.

use std::collections::VecDeque;
use std::sync::Arc;

use peerline_connection::{
    CandidateError, ConnectionState, DtlsCloseReason, DtlsTransportState, DtmfTone, IceCandidate, IceConnectionState,
    IceGatheringState, MediaKind, SctpTransportState, SignalingState, TransceiverId,
};

use super::{Facts, State, Wakes};
use crate::media::slots::MediaSignals;

/// Unread news beyond this number replace older ones of their kind: only an application that never calls `next_event`
/// gets there.
const MAX_UNREAD: usize = 1024;

/// By how many the room for them grows at least.
const NEWS_STEP: usize = 4;

/// What `next_event` will tell. A new channel stands here as facts, not as a handle: handles keep the connection alive. The
/// large ones are boxed, since states, which are small, are what is left unread.
pub(crate) enum News {
    NegotiationNeeded,
    SignalingState(SignalingState),
    IceGatheringState(IceGatheringState),
    IceConnectionState(IceConnectionState),
    ConnectionState(ConnectionState),
    SelectedCandidatePair,
    DtlsTransportState(DtlsTransportState),
    DtlsTransportError(DtlsCloseReason),
    SctpTransportState(SctpTransportState),
    IceCandidate(Option<Box<IceCandidate>>),
    IceCandidateError(Box<CandidateError>),
    DataChannel(Box<Facts>),
    Media(Box<(Subject, MediaNews)>),
    BandwidthEstimate(u64),
}

/// Which transceiver news is of. It may be gone when they are read.
pub(crate) struct Subject {
    pub(crate) id: TransceiverId,
    pub(crate) kind: MediaKind,
    pub(crate) signals: Arc<MediaSignals>,
}

/// News of one transceiver.
pub(crate) enum MediaNews {
    /// It counts as a reader of what is received.
    Track(Vec<String>),
    TrackRemoved(Vec<String>),
    Muted,
    Unmuted,
    Ended,
    DtmfTone(DtmfTone),
}

impl State {
    /// The oldest news that nobody has read.
    pub(crate) fn next_news(&mut self) -> Option<News> {
        let news = self.news.pop_front()?;
        if self.news.is_empty() {
            // There is little to tell of a connection that is up, perhaps for hours.
            self.news = VecDeque::new();
        }
        Some(news)
    }

    pub(super) fn tell(&mut self, news: News, wakes: &mut Wakes) {
        if !self.listening {
            return;
        }
        // Of an estimate only the latest counts.
        if self.news.len() >= MAX_UNREAD || matches!(news, News::BandwidthEstimate(_)) {
            self.forget_older(&news);
        }
        // Those that nobody reads stay.
        if self.news.len() == self.news.capacity() {
            self.news.reserve_exact(NEWS_STEP.max(self.news.len() / 4));
        }
        self.news.push_back(news);
        wakes.news = true;
    }

    /// A state that was never read is history once another follows. Candidates, channels and
    /// tracks are limited by the machine.
    fn forget_older(&mut self, news: &News) {
        let is_track = |news: &(Subject, MediaNews)| matches!(news.1, MediaNews::Track(_));
        match news {
            News::IceCandidate(_) | News::DataChannel(_) => return,
            News::Media(media) if is_track(media) => return,
            _ => {}
        }
        let older = self.news.iter().position(|unread| match (unread, news) {
            // Of tones, and of tracks that come and go, any is as old as another.
            (News::Media(unread), News::Media(_)) => !is_track(unread),
            _ => std::mem::discriminant(unread) == std::mem::discriminant(news),
        });
        older.map(|older| self.news.remove(older));
    }
}

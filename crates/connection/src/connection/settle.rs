//! How the layers of a connection hear of each other.

use std::time::Instant;

use peerline_dtls as dtls;
use peerline_ice as ice;
use peerline_sctp::datachannel;

use super::Connection;
use crate::capture::{self, Tap};
use crate::channels::ChannelId;
use crate::event::Event;
use crate::state::DtlsTransportState;
use crate::upper::News;

/// Events beyond which keyframe requests and tones are not told.
const MAX_REQUESTS: usize = 1024;

/// What the news of the layers above ICE may have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Change {
    /// What there is to read, or to write.
    Data,
    /// The connection's states, too.
    States,
}

impl Connection {
    /// Starts DTLS in the negotiated role; what came early is handed over.
    pub(crate) fn start_dtls(&mut self, now: Instant, role: dtls::Role, fingerprints: Vec<dtls::Fingerprint>) {
        debug_assert!(self.upper.dtls.is_none(), "DTLS is started once");
        let profiles = self.config.srtp_profiles.iter();
        let config = dtls::Config {
            remote_fingerprints: fingerprints,
            srtp_profiles: profiles.map(|profile| dtls::SrtpProfile(profile.number())).collect(),
            min_version: self.config.min_dtls_version,
            max_version: self.config.max_dtls_version,
            max_records_per_key: self.config.max_records_per_key,
            hello_verify_request: self.config.hello_verify_request,
            mtu: self.handshake_mtu(),
            provider: self.config.provider.clone(),
            key_log: capture::key_log(self.config.key_log.as_ref(), self.config.capture.as_ref()),
            ..dtls::Config::new(self.config.certificate.clone())
        };
        let mut dtls = dtls::Connection::new(config, role);
        for datagram in std::mem::take(&mut self.early) {
            dtls.handle_datagram(now, datagram);
        }
        self.upper.dtls = Some(dtls);
        self.tell_round_trip();
        let role = match role {
            dtls::Role::Client => datachannel::Role::Client,
            dtls::Role::Server => datachannel::Role::Server,
        };
        self.upper.channels.set_role(now, role);
    }

    /// Carries news between the layers until all are quiet.
    pub(crate) fn settle(&mut self, now: Instant) {
        self.stirred = true;
        while let Some(event) = self.ice.poll_event() {
            self.on_ice_event(now, event);
        }
        self.settle_upper(now);
        self.tell_candidates();
        self.update_states();
    }

    /// The same after what concerned ICE alone: if that has no news, nothing else has changed.
    pub(super) fn settle_ice(&mut self, now: Instant) {
        let news = self.ice.poll_event();
        if news.is_some() || !self.upper.rests(now) {
            news.into_iter().for_each(|event| self.on_ice_event(now, event));
            self.settle(now);
        }
    }

    /// The same after what concerned the layers above ICE alone. Most of that is data and media, after which all states are as they
    /// were.
    pub(super) fn settle_data(&mut self, now: Instant) {
        if let Some(event) = self.ice.poll_event() {
            self.on_ice_event(now, event);
            return self.settle(now);
        }
        self.stirred = true;
        if self.settle_upper(now) == Some(Change::States) {
            self.settle(now);
        }
    }

    /// Takes the news of the layers above ICE that do not rest; `None` if there were none.
    pub(super) fn settle_upper(&mut self, now: Instant) -> Option<Change> {
        let mut change = None;
        while let Some(news) = self.upper.poll_event(now) {
            change = change.max(Some(if news.changes_states() {
                Change::States
            } else {
                Change::Data
            }));
            match news {
                News::Dtls(event) => self.on_dtls_event(now, event),
                News::Media(event) => self.on_media_event(event),
                News::Channels(event) => self.on_channel_event(&event),
            }
        }
        change
    }

    fn on_dtls_event(&mut self, now: Instant, event: dtls::Event) {
        match event {
            dtls::Event::Connected => {
                self.dtls_state = DtlsTransportState::Connected;
                // Channels may open at once.
                self.update_states();
                self.connect_media(now);
                self.connect_channels(now);
            }
            dtls::Event::Readable => self.feed_channels(now),
            // Paths are ICE's affair: connection IDs are neither offered nor accepted.
            dtls::Event::PathSeen(_) | dtls::Event::PathChanged(_) | dtls::Event::ConnectionIdsWanted(_) => {}
            dtls::Event::Closed(reason) => {
                // What was decrypted before the end still counts: SCTP's own goodbye above all.
                self.feed_channels(now);
                self.on_dtls_closed(now, &reason);
            }
        }
    }

    /// Begins SCTP, once DTLS is up and both sides want data channels.
    pub(crate) fn connect_channels(&mut self, now: Instant) {
        if self.negotiation.has_data && self.dtls_state == DtlsTransportState::Connected && !self.sctp_begun {
            self.sctp_begun = true;
            match self.negotiation.take_signalled_init() {
                Some(init) => self.upper.channels.connect_signalled(now, &init),
                None => self.upper.channels.connect(now),
            }
        }
    }

    fn feed_channels(&mut self, now: Instant) {
        while let Some(packet) = self.upper.dtls.as_mut().and_then(dtls::Connection::recv) {
            if self.negotiation.has_data {
                self.upper.tap.see(Tap::SCTP, &packet);
                self.upper.channels.handle_datagram(now, packet);
            } else {
                self.counters.dropped += 1;
            }
        }
    }

    /// What ICE's checks have measured of the path, DTLS and SCTP need not guess.
    fn tell_round_trip(&mut self) {
        let Some(round_trip) = self
            .ice
            .candidate_pairs()
            .find(|pair| pair.selected)
            .and_then(|pair| pair.counters.current_round_trip_time)
        else {
            return;
        };
        if let Some(dtls) = &mut self.upper.dtls
            && !dtls.is_connected()
        {
            dtls.set_round_trip_time(round_trip);
        }
        self.upper.channels.set_round_trip_time(round_trip);
    }

    pub(super) fn on_ice_event(&mut self, now: Instant, event: ice::Event) {
        match event {
            ice::Event::LocalCandidate(_)
            | ice::Event::GatheringStateChange(_)
            | ice::Event::StateChange(_)
            | ice::Event::RoleChange(_) => {}
            ice::Event::SelectedPairChange(path) => {
                self.tell_round_trip();
                self.counters.selected_pair_changes += 1;
                // What waits for the old path's time-outs need not.
                if path.is_some() && self.sctp_begun {
                    self.upper.channels.path_changed(now);
                }
                let before = path.and_then(|path| self.path.replace(path));
                if before != path
                    && before.is_some()
                    && let Some(media) = self.upper.media_mut()
                {
                    media.path_changed(now);
                }
                // Of those that were not read, one says it.
                if !self.is_closed() && self.events.back() != Some(&Event::SelectedCandidatePairChange) {
                    self.events.push_back(Event::SelectedCandidatePairChange);
                }
            }
            ice::Event::CandidateError(error) => self.events.push_back(Event::IceCandidateError(error)),
            ice::Event::ServerRedirect { path, server, domain } => {
                self.events.push_back(Event::IceServerRedirect { path, server, domain });
            }
            ice::Event::ResolveName(name) => self.events.push_back(Event::ResolveName(name)),
            ice::Event::TcpAddressesWanted => self.events.push_back(Event::TcpAddressesWanted),
            ice::Event::TcpConnect(path) => self.events.push_back(Event::TcpConnect(path)),
            ice::Event::TcpClose(path) => self.events.push_back(Event::TcpClose(path)),
            // A kind of news that this version does not know changes nothing here.
            _ => {}
        }
    }

    pub(super) fn on_channel_event(&mut self, event: &datachannel::Event) {
        if self.is_closed() {
            return;
        }
        let event = match *event {
            datachannel::Event::Incoming(id) => {
                self.on_channel_open(id);
                Event::DataChannel(id)
            }
            datachannel::Event::Opened(id) => {
                self.on_channel_open(id);
                Event::ChannelOpen(id)
            }
            datachannel::Event::Readable(id) => Event::ChannelReadable(id),
            datachannel::Event::BufferedAmountLow(id) => Event::BufferedAmountLow(id),
            datachannel::Event::Closing(id) => Event::ChannelClosing(id),
            datachannel::Event::Closed(id) => {
                if self.open_channels.remove(&id) {
                    self.counters.channels_closed += 1;
                }
                Event::ChannelClosed(id)
            }
            datachannel::Event::Error(id, _) => Event::ChannelError(id),
            datachannel::Event::AssociationConnected | datachannel::Event::AssociationClosed(_) => return,
        };
        self.events.push_back(event);
    }

    /// Tells the application what media tell. What the peer can repeat as often as it likes is no more than so much.
    fn on_media_event(&mut self, event: Event) {
        if matches!(event, Event::BandwidthEstimate(_)) {
            // It says what the one before said, and better.
            self.events
                .retain(|before| !matches!(before, Event::BandwidthEstimate(_)));
        }
        let is_request = matches!(event, Event::KeyframeRequest(..) | Event::DtmfTone(..));
        if !is_request || self.events.len() < MAX_REQUESTS {
            self.events.push_back(event);
        }
    }

    fn on_channel_open(&mut self, id: ChannelId) {
        self.counters.channels_opened += 1;
        self.open_channels.insert(id);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Config;

    #[test]
    fn what_the_peer_repeats_is_bounded() {
        let certificate = dtls::Certificate::generate(
            &dtls::default_provider(),
            std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 30),
        );
        let config = Config::new(std::sync::Arc::new(certificate.unwrap()));
        let mut connection = Connection::new(crate::media::tests::start(), config);
        let camera = crate::transceiver::TransceiverId(1);
        for estimate in 0..5_000 {
            connection.on_media_event(Event::BandwidthEstimate(estimate));
            connection.on_media_event(Event::KeyframeRequest(camera, None));
        }
        connection.on_media_event(Event::MediaReadable(camera));
        let events: Vec<_> = std::iter::from_fn(|| connection.poll_event()).collect();
        assert!(events.len() <= MAX_REQUESTS + 2, "{}", events.len());
        assert!(events.contains(&Event::BandwidthEstimate(4_999)));
        assert!(events.contains(&Event::MediaReadable(camera)));
    }
}

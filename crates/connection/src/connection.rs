//! [`Connection`]: one whole peer, without I/O.

use std::collections::{BTreeSet, VecDeque};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::BytesMut;
use peerline_dtls as dtls;
use peerline_ice as ice;
use peerline_sctp::datachannel::{self, Channels};
use peerline_wire::{Datagram, FiveTuple, Transmit};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::capture::{self, Direction, Tap};
use crate::channels::ChannelId;
use crate::config::Config;
use crate::demux::{Protocol, demux};
use crate::event::Event;
use crate::gathering::Gathering;
use crate::jsep::Negotiation;
use crate::media::agreed::Agreed;
use crate::state::{ConnectionState, DtlsTransportState, IceConnectionState, IceGatheringState};
use crate::transceiver::Transceivers;
use crate::transports::Told;
use crate::upper::Upper;
use states::Closing;

mod settle;
mod states;

/// One peer: `RTCPeerConnection` without I/O.
///
/// * **The five verbs** — [`handle_datagram`](Self::handle_datagram), [`handle_timeout`](Self::handle_timeout),
///   [`poll_transmit`](Self::poll_transmit), [`poll_timeout`](Self::poll_timeout), [`poll_event`](Self::poll_event) — carry
///   datagrams, time and news. After any call that takes `&mut self`, poll again: what a poll returns may have changed.
/// * **The local network** — [`add_local_address`](Self::add_local_address), [`finish_gathering`](Self::finish_gathering),
///   [`handle_resolved`](Self::handle_resolved) — is the driver's to tell.
/// * **The W3C's methods** — descriptions, candidates, channels, statistics — have their W3C names in snake case. A call
///   that is refused changes nothing.
pub struct Connection {
    pub(crate) config: Config,
    pub(crate) ice: ice::Agent,
    pub(crate) upper: Upper,
    pub(crate) media_seed: [u8; 32],
    /// What JSEP has agreed on about media.
    pub(crate) agreed: Vec<Agreed>,
    pub(crate) negotiation: Negotiation,
    pub(crate) transceivers: Transceivers,
    pub(crate) events: VecDeque<Event>,
    pub(crate) gathering: Gathering,
    pub(crate) counters: Counters,
    /// Those that count as closed once they are.
    open_channels: BTreeSet<ChannelId>,
    /// DTLS that came before its role was known: the answer is on its way, and the peer already has ours or sent its own.
    early: VecDeque<BytesMut>,
    dtls_state: DtlsTransportState,
    /// Where what is sent goes, or went last.
    path: Option<FiveTuple>,
    pub(crate) told: Told,
    ice_connection_state: IceConnectionState,
    connection_state: ConnectionState,
    closing: Closing,
    pub(crate) born: Instant,
    /// When the rests that it has taken are paid for, one each [`REST`].
    rests_paid: Instant,
    /// SCTP was told that its transport is up.
    sctp_begun: bool,
    /// Something other than consent has happened since.
    stirred: bool,
}

/// How often a connection rests in the long run: one that is busy need not take up again all the time what it has given back. What
/// a burst leaves behind goes when nothing is left to send, or else with the next timer.
const REST: Duration = Duration::from_millis(100);

/// How many rests may follow each other at once, so that nothing of a handshake stays until a timer, seconds later.
const RESTS_AT_ONCE: u32 = 8;

/// What is counted for [`stats`](Connection::stats).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counters {
    /// Datagrams of no protocol spoken here, or on a path that ICE has not verified.
    pub(crate) dropped: u64,
    pub(crate) packets_sent: u64,
    pub(crate) packets_received: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
    pub(crate) selected_pair_changes: u64,
    pub(crate) channels_opened: u64,
    pub(crate) channels_closed: u64,
}

/// How long doubling makes SCTP's timeouts at most, and how many in a row end the association: it lasts some three minutes, as with
/// RFC 9260's own values.
const MAX_SCTP_BACKOFF: Duration = Duration::from_secs(3);
const SCTP_ATTEMPTS: u32 = 60;
const SCTP_HANDSHAKE_ATTEMPTS: u32 = 180;

/// One DTLS record holds a packet: 2^14 bytes of it (RFC 6347 §4.1).
const MAX_RECORD: usize = 1 << 14;

/// How long a silent SCTP waits before it asks whether its peer is there, in seconds; each connection has an interval of its own, so
/// that those that were made together do not all ask at once. "The upper layer can [...] change the 'HB.interval'" (RFC 9260 §8.3):
/// that there is a way to the peer, ICE finds out every 5 seconds (RFC 7675), and sooner than SCTP would even at the 30 seconds of
/// §16. What is left for SCTP to find out is that the peer has lost the association and nothing else.
const HEARTBEATS: RangeInclusive<u64> = 240..=360;

/// The largest SCTP packet in a datagram of `mtu` bytes: what a record leaves of it, in whole blocks of AES. The part of a block
/// at the end of each record would cost as much as several whole ones, to seal it and to open it.
fn packet_size(mtu: usize) -> usize {
    const BLOCK: usize = 16;

    mtu.saturating_sub(dtls::Connection::MAX_OVERHEAD) / BLOCK * BLOCK
}

impl Connection {
    /// A connection that has not begun, at `now`.
    #[must_use]
    pub fn new(now: Instant, config: Config) -> Self {
        // Each layer has a seed of its own.
        let mut rng = StdRng::from_seed(config.rng_seed);
        let ice = ice::Agent::new(ice::Config {
            lite: config.ice_lite,
            transport_policy: config.ice_transport_policy,
            external_addresses: Arc::clone(&config.external_addresses),
            hide_addresses: config.hide_addresses,
            embedding: config.sped,
            rng_seed: rng.random(),
            ..ice::Config::default()
        });
        let channels = Channels::new(datachannel::Config {
            max_channels: config.max_channels,
            sctp: peerline_sctp::Config {
                rng_seed: rng.random(),
                mtu: packet_size(config.mtu),
                max_mtu: packet_size(config.max_mtu.min(MAX_RECORD)),
                max_message_size: config.max_message_size,
                heartbeat_interval: Duration::from_secs(rng.random_range(HEARTBEATS)),
                send_buffer: config.send_buffer,
                receive_window: config.receive_window,
                congestion_control: config.congestion_control,
                // As Chromium. ICE sees to it that nobody sends for long to a peer who is gone.
                max_backoff: MAX_SCTP_BACKOFF,
                max_init_retransmits: SCTP_HANDSHAKE_ATTEMPTS,
                max_retransmits: SCTP_ATTEMPTS,
                ..peerline_sctp::Config::default()
            },
            ..datachannel::Config::default()
        });
        let negotiation = Negotiation::new(&config, &ice, rng.random(), channels.association().init_chunk());
        let transceivers = Transceivers::new(rng.random());
        Self {
            ice,
            upper: Upper::new(channels, Tap::new(config.capture.as_ref())),
            media_seed: rng.random(),
            agreed: Vec::new(),
            negotiation,
            transceivers,
            sctp_begun: false,
            events: VecDeque::new(),
            gathering: Gathering::new(),
            counters: Counters::default(),
            open_channels: BTreeSet::new(),
            early: VecDeque::new(),
            dtls_state: DtlsTransportState::New,
            path: None,
            told: Told::NOTHING,
            ice_connection_state: IceConnectionState::New,
            connection_state: ConnectionState::New,
            closing: Closing::Open,
            born: now,
            rests_paid: now,
            stirred: false,
            config,
        }
    }

    // --- the verbs

    /// Takes one datagram. Whatever is wrong with it is counted, and it is dropped.
    pub fn handle_datagram(&mut self, now: Instant, datagram: Datagram) {
        self.counters.packets_received += 1;
        self.counters.bytes_received += datagram.payload.len() as u64;
        if self.config.capture.is_none() {
            return self.on_datagram(now, datagram);
        }
        let (path, payload) = (datagram.five_tuple, datagram.payload.clone());
        self.on_datagram(now, datagram);
        self.capture(now, &path, Direction::In, &payload);
    }

    /// Writes down what has passed, if that is wanted.
    fn capture(&mut self, now: Instant, path: &FiveTuple, direction: Direction, datagram: &[u8]) {
        let Some(capture) = &self.config.capture else { return };
        let at = match self.config.wall_clock {
            Some((instant, time)) => {
                let then = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                then + now.saturating_duration_since(instant)
            }
            None => now.saturating_duration_since(self.born),
        };
        capture::write(capture, at, path, direction, datagram, self.upper.taps());
    }

    fn on_datagram(&mut self, now: Instant, datagram: Datagram) {
        let Some(datagram) = self.ice.unwrap_relayed(now, datagram) else {
            return self.settle_ice(now);
        };
        match demux(&datagram.payload) {
            Some(Protocol::Stun) => {
                self.ice.handle_datagram(now, datagram);
                if self.take_embedded(now) {
                    return self.settle(now);
                }
                return self.settle_ice(now);
            }
            // What DTLS sees came over a path that ICE has verified: nobody else's packet reaches the handshake.
            Some(Protocol::Dtls) if self.ice.handle_data(now, &datagram.five_tuple, datagram.payload.len()) => {
                if self.ice.embeds() {
                    self.ice.acknowledge_embedded(&datagram.payload);
                }
                self.handle_dtls(now, datagram.payload);
                if self.dtls_state == DtlsTransportState::Connected {
                    return self.settle_data(now);
                }
            }
            Some(Protocol::Rtp) if self.ice.handle_data(now, &datagram.five_tuple, datagram.payload.len()) => {
                match self.upper.media_mut() {
                    Some(media) => media.handle_rtp(now, datagram.payload),
                    None => self.counters.dropped += 1,
                }
                return self.settle_data(now);
            }
            Some(Protocol::Rtcp) if self.ice.handle_data(now, &datagram.five_tuple, datagram.payload.len()) => {
                match self.upper.media_mut() {
                    Some(media) => media.handle_rtcp(now, datagram.payload),
                    None => self.counters.dropped += 1,
                }
                return self.settle_data(now);
            }
            _ => self.counters.dropped += 1,
        }
        self.settle(now);
    }

    /// Takes a datagram of DTLS from the peer, whichever way it came.
    pub(crate) fn handle_dtls(&mut self, now: Instant, datagram: BytesMut) {
        match &mut self.upper.dtls {
            Some(dtls) => dtls.handle_datagram(now, datagram),
            None if self.early.len() < self.config.max_early_datagrams => self.early.push_back(datagram),
            None => self.counters.dropped += 1,
        }
    }

    /// Lets the timers that are due expire.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.ice.handle_timeout(now);
        if self.upper.rests(now) {
            self.settle_ice(now);
        } else {
            self.upper.handle_timeout(now);
            self.settle(now);
        }
        self.rest_if_due(now);
    }

    /// Unless it has rested too often of late.
    fn rest_if_due(&mut self, now: Instant) {
        if self.stirred && self.rests_paid.saturating_duration_since(now) < RESTS_AT_ONCE * REST {
            self.rests_paid = self.rests_paid.max(now) + REST;
            self.rest();
        }
    }

    /// Gives back what a connection that carries nothing does not need. It takes up again what it needs then.
    fn rest(&mut self) {
        self.stirred = false;
        self.events.shrink_to_fit();
        self.negotiation.rest();
        self.upper.shrink_to_fit();
    }

    /// Appends one datagram to `out` and says where it goes, or `None` and leaves `out` as it is.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        let start = out.len();
        let mut transmit = self.transmit(now, out);
        while transmit.is_none() && self.close_further(now) {
            transmit = self.transmit(now, out);
        }
        if let Some(transmit) = &transmit {
            self.counters.packets_sent += 1;
            self.counters.bytes_sent += transmit.len as u64;
            if self.config.capture.is_some() {
                self.capture(now, &transmit.five_tuple, Direction::Out, &out[start..]);
            }
        }
        transmit
    }

    /// What answers the peer's handshake goes ahead of ICE's messages: it is longer, and of what one system call sends only the
    /// last may be shorter. A first ClientHello follows them: some peers listen to DTLS only once a response of ours has told them
    /// that the path works.
    fn transmit_handshake(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        if self.upper.data_rests(now) {
            return None;
        }
        let dtls = self.upper.dtls.as_ref()?;
        if !dtls.has_flight_to_send() || dtls.stats().datagrams_received == 0 {
            return None;
        }
        let Self { ice, upper, .. } = self;
        let dtls = upper.dtls.as_mut()?;
        ice.enclose(out, |out| dtls.poll_transmit(now, out))
    }

    /// The path of a packet: each layer encloses what the one above appends.
    fn transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        // Who forwards media sends nothing else, but for a few datagrams a second.
        if self.upper.data_rests(now) && self.ice.is_quiet(now) {
            let Self { ice, upper, .. } = self;
            if let Some(media) = upper.media_awake(now)
                && let Some(transmit) = ice.enclose(out, |out| media.poll_transmit(now, out))
            {
                return Some(transmit);
            }
        }
        self.transmit_any(now, out)
    }

    fn transmit_any(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        let embeds = self.ice.embeds();
        if embeds {
            self.embed_flight(now);
        }
        let first = self.transmit_handshake(now, out);
        let first = first.or_else(|| self.ice.poll_transmit(now, out));
        // A check may need a connection over TCP.
        while let Some(event) = self.ice.poll_event() {
            self.on_ice_event(now, event);
        }
        // Of a flight that checks could not carry to its end, the rest.
        let first = first.or_else(|| embeds.then(|| self.ice.poll_embedded(out))?);
        if first.is_some() {
            return first;
        }
        while !self.upper.rests(now) {
            let Self { ice, upper, .. } = self;
            let mut silent = false;
            let transmit = ice.enclose(out, |out| {
                let len = upper.poll_transmit(now, out);
                silent = len.is_none();
                len
            });
            if transmit.is_some() {
                return transmit;
            }
            // What was sent before may be news, and after them there may be more to send.
            if self.settle_upper(now).is_some() {
                self.settle(now);
                continue;
            }
            if silent {
                self.rest_if_due(now);
                self.upper.begin_rest();
            }
            break;
        }
        None
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.ice
            .poll_timeout()
            .into_iter()
            .chain(self.upper.poll_timeout())
            .min()
    }

    /// The next piece of news.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    // --- the connection

    /// `close()`: ends everything at once. What [`poll_transmit`](Self::poll_transmit) still gives tells the peer; the
    /// driver sends it and may then drop the connection. No event follows but the last
    /// [`ConnectionStateChange`](Event::ConnectionStateChange).
    pub fn close(&mut self, now: Instant) {
        if self.is_closed() {
            return;
        }
        self.closing = Closing::Sctp;
        self.upper.channels.abort(now, "Close called");
        self.end();
    }

    /// True once [`close`](Self::close) was called, or the peer closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.connection_state == ConnectionState::Closed
    }

    /// True when a closed connection has nothing left to send: it can be dropped.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.closing == Closing::Done
    }

    /// `connectionState`.
    #[must_use]
    pub fn connection_state(&self) -> ConnectionState {
        self.connection_state
    }

    /// `iceConnectionState`.
    #[must_use]
    pub fn ice_connection_state(&self) -> IceConnectionState {
        self.ice_connection_state
    }

    /// `iceGatheringState`.
    #[must_use]
    pub fn ice_gathering_state(&self) -> IceGatheringState {
        self.gathering.state
    }

    /// `RTCDtlsTransport.state`.
    #[must_use]
    pub fn dtls_transport_state(&self) -> DtlsTransportState {
        self.dtls_state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_whole_blocks_and_fit_their_datagram() {
        assert_eq!([1200, 1452, MAX_RECORD, 10].map(packet_size), [1152, 1408, 16_336, 0]);
        for mtu in 512..2_000 {
            let (size, overhead) = (packet_size(mtu), dtls::Connection::MAX_OVERHEAD);
            assert!(size % 16 == 0 && (mtu - 15..=mtu).contains(&(size + overhead)), "{mtu}");
        }
    }
}

//! Data channels and media with str0m: in memory, in virtual time, each side as offerer, as answerer, as DTLS client and server.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use peerline_native::lab::Seat;
use peerline_native::media::Counts;
use peerline_native::peer::{Channel, ChannelPlan, Message, News, Peer, Quirks};
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::channel::{ChannelConfig, ChannelId, Reliability};
use str0m::config::DtlsVersion;
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

mod media;

struct Str0m {
    rtc: Rtc,
    address: SocketAddr,
    /// None while the channel waits for the offer or the answer.
    channels: Vec<Option<ChannelId>>,
    waiting: Vec<(usize, ChannelConfig)>,
    negotiated: bool,
    pending: Option<SdpPendingOffer>,
    timeout: Option<Instant>,
    transmits: VecDeque<Vec<u8>>,
    news: VecDeque<News>,
    changes: Vec<media::Change>,
    counts: HashMap<String, Counts>,
    voice: media::Voice,
}

impl Str0m {
    fn make(seat: Seat) -> Box<dyn Peer> {
        Self::with(seat, Rtc::builder())
    }

    /// With what it has and does not use by default.
    fn make_newer(seat: Seat) -> Box<dyn Peer> {
        let config = Rtc::builder().set_dtls_version(DtlsVersion::Dtls13);
        Self::with(seat, config.set_snap_enabled(true))
    }

    fn with(seat: Seat, config: RtcConfig) -> Box<dyn Peer> {
        let config = config
            .set_sctp_max_buffered_amount(4 << 20)
            .set_stats_interval(Some(Duration::from_secs(1)));
        let mut rtc = media::configure(config, &seat.media).build(seat.now);
        rtc.add_local_candidate(Candidate::host(seat.address, "udp").expect("an address"));
        Box::new(Self {
            rtc,
            address: seat.address,
            channels: Vec::new(),
            waiting: Vec::new(),
            negotiated: false,
            pending: None,
            timeout: Some(seat.now),
            transmits: VecDeque::new(),
            news: VecDeque::new(),
            changes: Vec::new(),
            counts: HashMap::new(),
            voice: media::Voice::default(),
        })
    }

    /// Takes all that str0m has to say.
    fn pump(&mut self, now: Instant) {
        if !self.rtc.is_alive() {
            return;
        }
        self.rtc.handle_input(Input::Timeout(now)).expect("time is no error");
        while self.rtc.is_alive() {
            match self.rtc.poll_output().expect("polling is no error") {
                Output::Timeout(at) => {
                    self.timeout = Some(at);
                    break;
                }
                Output::Transmit(transmit) => self.transmits.push_back(transmit.contents.to_vec()),
                Output::Event(event) => self.on_event(event),
            }
        }
    }

    fn on_event(&mut self, event: Event) {
        let news = match event {
            Event::ChannelOpen(id, _) => {
                if !self.channels.contains(&Some(id)) {
                    self.channels.push(Some(id));
                }
                News::Open(self.find(id))
            }
            Event::ChannelData(data) => {
                let message = if data.binary {
                    Message::Binary(data.data)
                } else {
                    Message::Text(String::from_utf8(data.data).expect("UTF-8"))
                };
                News::Message(self.find(data.id), message)
            }
            Event::ChannelClose(id) => News::ChannelClosed(self.find(id)),
            Event::Closed => News::Closed,
            event => return self.on_media_event(event),
        };
        self.news.push_back(news);
    }

    fn find(&self, id: ChannelId) -> Channel {
        Channel(
            self.channels
                .iter()
                .position(|known| *known == Some(id))
                .expect("known"),
        )
    }

    fn id(&self, channel: Channel) -> ChannelId {
        self.channels[channel.0].expect("negotiated")
    }
}

fn to_config(plan: &ChannelPlan) -> ChannelConfig {
    ChannelConfig {
        label: plan.label.clone(),
        ordered: plan.ordered,
        reliability: match (plan.max_retransmits, plan.max_packet_life_time) {
            (Some(retransmits), _) => Reliability::MaxRetransmits { retransmits },
            (None, Some(lifetime)) => Reliability::MaxPacketLifetime { lifetime },
            (None, None) => Reliability::Reliable,
        },
        negotiated: plan.negotiated,
        protocol: plan.protocol.clone(),
    }
}

impl Peer for Str0m {
    fn create_offer(&mut self, now: Instant) -> String {
        let mut change = self.rtc.sdp_api();
        for (index, config) in self.waiting.drain(..) {
            self.channels[index] = Some(change.add_channel_with_config(config));
        }
        for wanted in self.changes.drain(..) {
            wanted.make(&mut change);
        }
        let (offer, pending) = change.apply().expect("something has changed");
        self.pending = Some(pending);
        self.pump(now);
        offer.to_sdp_string()
    }

    fn create_answer(&mut self, now: Instant, offer: &str) -> String {
        let offer = SdpOffer::from_sdp_string(offer).expect("an offer");
        let answer = self.rtc.sdp_api().accept_offer(offer).expect("the offer fits");
        for (index, config) in std::mem::take(&mut self.waiting) {
            self.channels[index] = Some(self.rtc.direct_api().create_data_channel(config));
        }
        self.negotiated = true;
        self.pump(now);
        answer.to_sdp_string()
    }

    fn accept_answer(&mut self, now: Instant, answer: &str) {
        let answer = SdpAnswer::from_sdp_string(answer).expect("an answer");
        let pending = self.pending.take().expect("an offer");
        self.rtc
            .sdp_api()
            .accept_answer(pending, answer)
            .expect("the answer fits");
        self.negotiated = true;
        self.pump(now);
    }

    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, payload: &[u8]) {
        // What has closed is deaf, and what it cannot make out is no datagram for it.
        let Ok(contents) = payload.try_into() else { return };
        if self.rtc.is_alive() {
            let receive = Receive {
                proto: Protocol::Udp,
                source: from,
                destination: self.address,
                contents,
            };
            self.rtc
                .handle_input(Input::Receive(now, receive))
                .expect("a datagram is no error");
            self.pump(now);
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.pump(now);
    }

    fn poll_transmit(&mut self, now: Instant) -> Option<Vec<u8>> {
        if self.transmits.is_empty() {
            self.pump(now);
        }
        self.transmits.pop_front()
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.timeout.filter(|_| self.rtc.is_alive())
    }

    fn poll_news(&mut self, _: Instant) -> Option<News> {
        self.news.pop_front()
    }

    fn open(&mut self, now: Instant, plan: &ChannelPlan) -> Channel {
        let config = to_config(plan);
        if self.negotiated {
            self.channels
                .push(Some(self.rtc.direct_api().create_data_channel(config)));
            self.pump(now);
        } else {
            self.waiting.push((self.channels.len(), config));
            self.channels.push(None);
        }
        Channel(self.channels.len() - 1)
    }

    fn properties(&mut self, channel: Channel) -> ChannelPlan {
        let id = self.id(channel);
        let channel = self.rtc.channel(id).expect("open");
        let config = channel.config().expect("known");
        let (max_retransmits, max_packet_life_time) = match config.reliability {
            Reliability::Reliable => (None, None),
            Reliability::MaxPacketLifetime { lifetime } => (None, Some(lifetime)),
            Reliability::MaxRetransmits { retransmits } => (Some(retransmits), None),
        };
        ChannelPlan {
            label: config.label.clone(),
            protocol: config.protocol.clone(),
            ordered: config.ordered,
            max_retransmits,
            max_packet_life_time,
            negotiated: config.negotiated,
        }
    }

    fn send(&mut self, now: Instant, channel: Channel, message: &Message) -> bool {
        let id = self.id(channel);
        let mut channel = self.rtc.channel(id).expect("open");
        let sent = channel
            .write(matches!(message, Message::Binary(_)), message.bytes())
            .expect("the message is taken");
        self.pump(now);
        sent
    }

    fn close_channel(&mut self, now: Instant, channel: Channel) {
        let id = self.id(channel);
        self.rtc.direct_api().close_data_channel(id);
        self.pump(now);
    }

    fn close(&mut self, now: Instant) {
        self.rtc.close().expect("it can be closed");
        self.pump(now);
    }

    fn quirks(&self) -> Quirks {
        Quirks {
            // It gives SCTP the identifier of an empty message, but no byte, and so no message at all.
            no_empty_messages: true,
            // AES_CM_128_HMAC_SHA1_32 is proved with `rtc`, which has all four profiles.
            no_short_tags: true,
            closes_channels_silently: true,
            ..Quirks::default()
        }
    }
}

peerline_native::scenarios!(Str0m::make);
peerline_native::scenarios! { Str0m::make,
    keys_beside_sound: peerline_native::calls::keys,
    sound_in_redundant_packets: peerline_native::calls::redundant_sound,
}
peerline_native::scenarios! { Str0m::make_newer,
    dtls13_and_snap: peerline_native::scenarios::dtls13_and_snap,
    much_on_a_lossy_path_by_dtls13_and_snap: peerline_native::scenarios::bulk_with_losses,
    the_connection_closes_from_either_side_by_dtls13: peerline_native::scenarios::closing_the_connection,
    calls_with_sound_and_pictures_by_dtls13: peerline_native::calls::both_ways,
}

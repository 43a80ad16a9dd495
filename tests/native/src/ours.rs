//! This stack as a [`Peer`].

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use bytes::BytesMut;
use peerline_connection::{
    Certificate, ChannelId, Config, Connection, ConnectionState, DataChannelInit, Error, Event, OfferOptions,
    SessionDescription, default_provider,
};
use peerline_wire::{Datagram, FiveTuple, Transport};

use crate::lab::Seat;
use crate::peer::{Channel, ChannelPlan, Message, News, Peer};

/// What a packet of Ethernet leaves to UDP over IPv6: no datagram may be larger (RFC 8899 finds that the path takes it).
const ETHERNET: usize = 1452;

/// A [`Connection`] with one address.
pub struct Ours {
    connection: Connection,
    address: SocketAddr,
    channels: Vec<ChannelId>,
    news: VecDeque<News>,
    closed: bool,
}

impl Ours {
    /// A connection that has not begun.
    pub fn make(seat: Seat) -> Box<dyn Peer> {
        static CERTIFICATE: OnceLock<Arc<Certificate>> = OnceLock::new();
        let certificate = CERTIFICATE.get_or_init(|| {
            let day = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
            Arc::new(Certificate::generate(&default_provider(), day).expect("ring makes one"))
        });
        let config = Config {
            rng_seed: [7; 32],
            ..Config::new(certificate.clone())
        };
        Box::new(Self {
            connection: Connection::new(seat.now, config),
            address: seat.address,
            channels: Vec::new(),
            news: VecDeque::new(),
            closed: false,
        })
    }

    /// Does what a driver does with events, and keeps those that are news.
    fn attend(&mut self, now: Instant) {
        while let Some(event) = self.connection.poll_event() {
            match event {
                Event::Gather => {
                    self.connection.add_local_address(now, self.address, Transport::Udp);
                    self.connection.finish_gathering(now);
                }
                Event::DataChannel(id) => {
                    self.channels.push(id);
                    self.news.push_back(News::Open(self.find(id)));
                }
                Event::ChannelOpen(id) => self.news.push_back(News::Open(self.find(id))),
                Event::ChannelReadable(id) => {
                    let channel = self.find(id);
                    while let Some(message) = self.connection.recv(now, id) {
                        self.news.push_back(News::Message(channel, from_ours(message)));
                    }
                }
                Event::ChannelClosed(id) => self.news.push_back(News::ChannelClosed(self.find(id))),
                Event::ChannelError(id) => panic!("the peer broke the rules of {:?}", self.find(id)),
                // Its own close is no news.
                Event::ConnectionStateChange(ConnectionState::Closed | ConnectionState::Failed) if !self.closed => {
                    self.news.push_back(News::Closed);
                }
                _ => {}
            }
        }
    }

    fn find(&self, id: ChannelId) -> Channel {
        Channel(
            self.channels
                .iter()
                .position(|known| *known == id)
                .expect("a channel that is known"),
        )
    }

    fn local_sdp(&mut self, now: Instant) -> String {
        self.attend(now);
        self.connection.local_description().expect("one was set").sdp
    }
}

fn from_ours(message: peerline_connection::Message) -> Message {
    match message {
        peerline_connection::Message::Text(text) => Message::Text(text),
        peerline_connection::Message::Binary(bytes) => Message::Binary(bytes.to_vec()),
    }
}

impl Peer for Ours {
    fn create_offer(&mut self, now: Instant) -> String {
        let offer = self.connection.create_offer(OfferOptions::default()).expect("an offer");
        self.connection.set_local_description(now, offer).expect("our offer");
        self.local_sdp(now)
    }

    fn create_answer(&mut self, now: Instant, offer: &str) -> String {
        self.connection
            .set_remote_description(now, SessionDescription::offer(offer))
            .expect("their offer");
        let answer = self.connection.create_answer().expect("an answer");
        self.connection.set_local_description(now, answer).expect("our answer");
        self.local_sdp(now)
    }

    fn accept_answer(&mut self, now: Instant, answer: &str) {
        self.connection
            .set_remote_description(now, SessionDescription::answer(answer))
            .expect("their answer");
    }

    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, payload: &[u8]) {
        let five_tuple = FiveTuple {
            local: self.address,
            remote: from,
            transport: Transport::Udp,
        };
        let datagram = Datagram {
            five_tuple,
            ecn: None,
            payload: BytesMut::from(payload),
        };
        self.connection.handle_datagram(now, datagram);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.connection.handle_timeout(now);
    }

    fn poll_transmit(&mut self, now: Instant) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let transmit = self.connection.poll_transmit(now, &mut out)?;
        assert_eq!(transmit.len, out.len());
        assert!(out.len() <= ETHERNET, "{} bytes exceed the MTU", out.len());
        Some(out)
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.connection.poll_timeout()
    }

    fn poll_news(&mut self, now: Instant) -> Option<News> {
        self.attend(now);
        self.news.pop_front()
    }

    fn open(&mut self, now: Instant, plan: &ChannelPlan) -> Channel {
        let init = DataChannelInit {
            ordered: plan.ordered,
            max_packet_life_time: plan.max_packet_life_time,
            max_retransmits: plan.max_retransmits,
            protocol: plan.protocol.clone(),
            negotiated: plan.negotiated.is_some(),
            id: plan.negotiated,
            ..DataChannelInit::default()
        };
        let id = self
            .connection
            .create_data_channel(now, &plan.label, init)
            .expect("a channel");
        self.channels.push(id);
        Channel(self.channels.len() - 1)
    }

    fn properties(&mut self, channel: Channel) -> ChannelPlan {
        let view = self
            .connection
            .channel(self.channels[channel.0])
            .expect("not forgotten");
        ChannelPlan {
            label: view.label().to_owned(),
            protocol: view.protocol().to_owned(),
            ordered: view.ordered(),
            max_retransmits: view.max_retransmits(),
            max_packet_life_time: view.max_packet_life_time(),
            negotiated: view.id().filter(|_| view.negotiated()),
        }
    }

    fn send(&mut self, now: Instant, channel: Channel, message: &Message) -> bool {
        let id = self.channels[channel.0];
        let sent = match message {
            Message::Text(text) => self.connection.send(now, id, text.as_str()),
            Message::Binary(bytes) => self.connection.send(now, id, bytes.clone()),
        };
        match sent {
            Ok(()) => true,
            Err(Error::DataChannel(peerline_connection::ChannelFault::BufferFull)) => false,
            Err(error) => panic!("{error}"),
        }
    }

    fn close_channel(&mut self, now: Instant, channel: Channel) {
        self.connection.close_channel(now, self.channels[channel.0]);
    }

    fn close(&mut self, now: Instant) {
        self.closed = true;
        self.connection.close(now);
    }
}

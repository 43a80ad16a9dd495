//! What a WebRTC stack can do, in the least words that all of them share.

use std::net::SocketAddr;
use std::time::Instant;

use crate::media::{Codec, Frame, Media, SrtpProfile};

/// One end of a connection in virtual time. It is driven as our machines are: it is told the time and the datagrams, and asked
/// for what it has to send and to say. It has one UDP address, known from the start.
pub trait Peer: Media {
    /// Creates an offer, with all candidates, and sets it as the local description.
    fn create_offer(&mut self, now: Instant) -> String;
    /// Takes an offer, and creates and sets the answer, with all candidates.
    fn create_answer(&mut self, now: Instant, offer: &str) -> String;
    /// Takes the answer.
    fn accept_answer(&mut self, now: Instant, answer: &str);

    /// Takes a datagram that was sent to this peer's address.
    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, payload: &[u8]);
    /// Lets the timers that are due expire.
    fn handle_timeout(&mut self, now: Instant);
    /// The next datagram.
    fn poll_transmit(&mut self, now: Instant) -> Option<Vec<u8>>;
    /// When the next timer expires.
    fn poll_timeout(&mut self) -> Option<Instant>;
    /// What has happened.
    fn poll_news(&mut self, now: Instant) -> Option<News>;

    /// Creates a channel, before or after the connection is up.
    fn open(&mut self, now: Instant, plan: &ChannelPlan) -> Channel;
    /// The channel's properties, as this side knows them.
    fn properties(&mut self, channel: Channel) -> ChannelPlan;
    /// Sends a message; false if there is no room for it at present.
    fn send(&mut self, now: Instant, channel: Channel, message: &Message) -> bool;
    /// Closes the channel.
    fn close_channel(&mut self, now: Instant, channel: Channel);
    /// Closes the connection.
    fn close(&mut self, now: Instant);

    /// What was negotiated; `None` from a stack that does not say, never from ours.
    fn agreed(&mut self, _: Instant) -> Option<Agreed> {
        None
    }

    /// Where it falls short.
    fn quirks(&self) -> Quirks {
        Quirks::default()
    }
}

/// What two peers have agreed on below channels and media.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The version of DTLS, in hexadecimal digits as on the wire.
    pub tls_version: Option<String>,
    /// The profile of SRTP.
    pub srtp: Option<SrtpProfile>,
    /// Both descriptions have SCTP's handshake in them (SNAP).
    pub snap: bool,
}

/// What a stack does not do as others do, so that a test must not ask it to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quirks {
    /// It sends nothing when told to send an empty message.
    pub no_empty_messages: bool,
    /// It forgets `max_retransmits` and `max_packet_life_time` of channels that the other side created.
    pub forgets_reliability: bool,
    /// It gives out the id of a channel that it has closed before the other side has closed its direction too.
    pub reuses_ids_early: bool,
    /// It closes the channels when the other side closes the connection, but says nothing about the connection.
    pub no_news_of_closing: bool,
    /// It can send only what a track was added with.
    pub one_codec_a_track: bool,
    /// It does not put frames of H.265 together.
    pub no_h265: bool,
    /// A section that either side has stopped goes on in its offers and answers.
    pub ignores_stops: bool,
    /// Its statistics have no round trip.
    pub measures_no_round_trip: bool,
    /// It lacks AES-CM with tags of 32 bits.
    pub no_short_tags: bool,
    /// The other way round: when the other side closes the connection, it says nothing about the channels.
    pub closes_channels_silently: bool,
}

impl Quirks {
    /// The codecs for pictures that it has.
    #[must_use]
    pub fn video_codecs(&self) -> Vec<Codec> {
        let has = |codec: &Codec| *codec != Codec::H265 || !self.no_h265;
        Codec::VIDEO.into_iter().filter(has).collect()
    }

    /// The profiles of SRTP that it has.
    #[must_use]
    pub fn srtp_profiles(&self) -> Vec<SrtpProfile> {
        let mut all = vec![
            SrtpProfile::AeadAes128Gcm,
            SrtpProfile::AeadAes256Gcm,
            SrtpProfile::Aes128CmHmacSha1_80,
        ];
        if !self.no_short_tags {
            all.push(SrtpProfile::Aes128CmHmacSha1_32);
        }
        all
    }
}

/// A channel of one peer: the how manieth it came to know, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Channel(pub usize);

/// The properties of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of RTCDataChannel")]
pub struct ChannelPlan {
    pub label: String,
    pub protocol: String,
    pub ordered: bool,
    pub max_retransmits: Option<u16>,
    pub max_packet_life_time: Option<u16>,
    /// The id that both sides have agreed on, if they have.
    pub negotiated: Option<u16>,
}

impl ChannelPlan {
    /// Reliable, in order, announced.
    #[must_use]
    pub fn new(label: &str) -> Self {
        Self {
            label: label.to_owned(),
            protocol: String::new(),
            ordered: true,
            max_retransmits: None,
            max_packet_life_time: None,
            negotiated: None,
        }
    }
}

/// A message.
#[derive(Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "there are these two kinds")]
pub enum Message {
    Text(String),
    Binary(Vec<u8>),
}

impl Message {
    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self {
            Self::Text(_) => "Text",
            Self::Binary(_) => "Binary",
        };
        write!(f, "{kind}({} bytes)", self.bytes().len())
    }
}

/// What has happened at a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A channel is open, whoever created it.
    Open(Channel),
    /// A message has come.
    Message(Channel, Message),
    /// A channel is closed.
    ChannelClosed(Channel),
    /// A frame has come in a media section.
    Frame(String, Frame),
    /// A key that was pressed has come in a media section.
    Key(String, char),
    /// The other side wants a keyframe, of one layer or of the only stream.
    KeyframeRequest(String, Option<String>),
    /// The other side has closed the connection, or it has failed.
    Closed,
}

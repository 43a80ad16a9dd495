//! Transceivers: a sender and a receiver that share a media section (webrtc-pc §5).
//!
//! [`TransceiverSlots`] holds what the W3C calls internal slots; `commands` are the methods that JavaScript has, `parameters`
//! those about encodings. JSEP binds transceivers to sections and tells what both sides agreed on.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use peerline_sdp::attribute::Direction;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::media::packet::ReceiveMode;
use crate::media::parameters::{MediaKind, RtpCodec, RtpEncodingParameters};
use crate::state::TransceiverDirection;

mod commands;
mod negotiated;
mod parameters;

/// A transceiver of a connection: a sender and a receiver that share a media section (`RTCRtpTransceiver`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransceiverId(pub(crate) u32);

/// A source of media, as far as signalling knows it (`MediaStreamTrack`). The media itself is handed to the sender.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Track {
    /// Its name, unique among the tracks that are sent.
    pub id: String,
    /// What it carries.
    pub kind: MediaKind,
}

/// What a transceiver is added for: a track to be sent, or a kind of media whose track may come later.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TrackOrKind {
    /// A track.
    Track(Track),
    /// No track yet.
    Kind(MediaKind),
}

impl From<Track> for TrackOrKind {
    fn from(track: Track) -> Self {
        Self::Track(track)
    }
}

impl From<MediaKind> for TrackOrKind {
    fn from(kind: MediaKind) -> Self {
        Self::Kind(kind)
    }
}

/// How a transceiver is added (`RTCRtpTransceiverInit`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TransceiverInit {
    /// Which way media is to flow. Default both.
    pub direction: TransceiverDirection,
    /// The streams that the track belongs to, by their ids: the other side puts its track into streams of these ids.
    pub streams: Vec<String>,
    /// The encodings to be sent, several for simulcast. Default one.
    pub send_encodings: Vec<RtpEncodingParameters>,
}

/// A view of one transceiver (`RTCRtpTransceiver`, with its sender and its receiver).
#[derive(Clone, Copy)]
pub struct Transceiver<'a>(&'a TransceiverSlots);

impl<'a> Transceiver<'a> {
    /// Which one it is.
    #[must_use]
    pub fn id(&self) -> TransceiverId {
        self.0.id
    }

    /// What it sends and receives.
    #[must_use]
    pub fn kind(&self) -> MediaKind {
        self.0.kind
    }

    /// `mid`: the media section it is bound to.
    #[must_use]
    pub fn mid(&self) -> Option<&'a str> {
        self.0.mid.as_deref()
    }

    /// `direction`: which way media is wanted to flow.
    #[must_use]
    pub fn direction(&self) -> TransceiverDirection {
        if self.0.stopping {
            TransceiverDirection::Stopped
        } else {
            self.0.direction.into()
        }
    }

    /// `currentDirection`: which way media was agreed to flow; `None` before the first answer.
    #[must_use]
    pub fn current_direction(&self) -> Option<TransceiverDirection> {
        if self.0.stopped {
            Some(TransceiverDirection::Stopped)
        } else {
            self.0.current_direction.map(Into::into)
        }
    }

    /// `stop()` was called, or the other side rejected the section: nothing flows any more.
    #[must_use]
    pub fn stopping(&self) -> bool {
        self.0.stopping
    }

    /// Both sides know that it is stopped. It is gone once the exchange is over.
    #[must_use]
    pub fn stopped(&self) -> bool {
        self.0.stopped
    }

    /// `sender.track`.
    #[must_use]
    pub fn sender_track(&self) -> Option<&'a Track> {
        self.0.sender.track.as_ref()
    }

    /// The streams that the sender's track belongs to.
    #[must_use]
    pub fn sender_streams(&self) -> &'a [String] {
        &self.0.sender.streams
    }

    /// `receiver.track.id`.
    #[must_use]
    pub fn receiver_track_id(&self) -> &'a str {
        &self.0.receiver.track_id
    }

    /// The streams that the peer says its track belongs to; empty while it sends none.
    #[must_use]
    pub fn receiver_streams(&self) -> &'a [String] {
        &self.0.receiver.streams
    }
}

/// All transceivers of a connection, in the order in which they were added.
pub(crate) struct Transceivers {
    pub(crate) all: Vec<TransceiverSlots>,
    next_id: u32,
    seed: [u8; 32],
    /// Made with the first transceiver: most connections of a server carry data alone, and wait.
    identity: Option<Box<Identity>>,
    /// The number of the next `transactionId`.
    next_transaction: u64,
}

/// What names and numbers are made of.
struct Identity {
    rng: StdRng,
    /// Our name in RTCP (RFC 3550 §6.5.1), new for each connection (RFC 7022 §4.2).
    cname: String,
    /// How often SSRCs were chosen anew because the peer has them, too.
    collisions: u32,
}

/// A peer cannot have us choose SSRCs for ever.
const MOST_COLLISIONS: u32 = 64;

/// One transceiver: the W3C's internal slots, and its association with a media section.
#[derive(Clone)]
pub(crate) struct TransceiverSlots {
    pub(crate) id: TransceiverId,
    pub(crate) kind: MediaKind,
    pub(crate) mid: Option<String>,
    /// Which section of the descriptions is its; set with `mid`.
    pub(crate) index: Option<usize>,
    pub(crate) direction: Direction,
    pub(crate) current_direction: Option<Direction>,
    /// What the last events about the remote track have told.
    pub(crate) fired_direction: Option<Direction>,
    /// Packets are taken.
    pub(crate) receptive: bool,
    pub(crate) stopping: bool,
    pub(crate) stopped: bool,
    /// `setCodecPreferences`; empty for none.
    pub(crate) preferences: Vec<RtpCodec>,
    pub(crate) origin: Origin,
    /// `addTrack` has put a track into it.
    pub(crate) track_added: bool,
    /// It was agreed at some time that it sends.
    pub(crate) has_sent: bool,
    pub(crate) sender: Sender,
    pub(crate) receiver: Receiver,
}

/// Who made a transceiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    AddTransceiver,
    /// Sections that the peer offers may bind to it (RFC 8829 §5.10).
    AddTrack,
    /// A section that the peer offered. A rollback removes it.
    Offered,
}

#[derive(Clone)]
pub(crate) struct Sender {
    pub(crate) track: Option<Track>,
    /// What `a=msid` calls the track.
    pub(crate) track_id: String,
    pub(crate) streams: Vec<String>,
    /// At least one.
    pub(crate) encodings: Vec<Encoding>,
    /// What it would send if the path took it, in bits a second.
    pub(crate) desired_bitrate: Option<u64>,
    /// The `transactionId` of the parameters that were read and may be set.
    pub(crate) read: Option<u64>,
}

/// One of a sender's encodings.
#[derive(Clone)]
pub(crate) struct Encoding {
    pub(crate) parameters: RtpEncodingParameters,
    pub(crate) ssrc: u32,
    pub(crate) rtx_ssrc: u32,
    /// The peer has paused it: `~` in `a=simulcast` (RFC 8853 §5.2).
    pub(crate) paused: bool,
}

#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) track_id: String,
    pub(crate) streams: Vec<String>,
    /// How the application wants what is received.
    pub(crate) mode: ReceiveMode,
}

impl Transceivers {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self {
            all: Vec::new(),
            next_id: 0,
            seed,
            identity: None,
            next_transaction: 0,
        }
    }

    /// Our name in RTCP; empty while there is no transceiver.
    pub(crate) fn cname(&self) -> &str {
        self.identity.as_ref().map_or("", |identity| &identity.cname)
    }

    fn rng(&mut self) -> &mut StdRng {
        &mut self.identity().rng
    }

    fn identity(&mut self) -> &mut Identity {
        self.identity.get_or_insert_with(|| {
            let mut rng = StdRng::from_seed(self.seed);
            let cname = random_id(&mut rng);
            Box::new(Identity {
                rng,
                cname,
                collisions: 0,
            })
        })
    }

    pub(crate) fn get(&self, id: TransceiverId) -> Option<&TransceiverSlots> {
        self.all.iter().find(|transceiver| transceiver.id == id)
    }

    pub(crate) fn get_mut(&mut self, id: TransceiverId) -> Option<&mut TransceiverSlots> {
        self.all.iter_mut().find(|transceiver| transceiver.id == id)
    }

    /// The one that is bound to the section of this index.
    pub(crate) fn at(&self, index: usize) -> Option<&TransceiverSlots> {
        self.all.iter().find(|transceiver| transceiver.index == Some(index))
    }

    pub(crate) fn at_mut(&mut self, index: usize) -> Option<&mut TransceiverSlots> {
        self.all.iter_mut().find(|transceiver| transceiver.index == Some(index))
    }

    /// Makes one that is bound to no section yet.
    pub(crate) fn add(&mut self, kind: MediaKind, direction: Direction, origin: Origin) -> &mut TransceiverSlots {
        let id = TransceiverId(self.next_id);
        self.next_id += 1;
        let encoding = self.encoding(RtpEncodingParameters::default());
        let sender = Sender {
            track: None,
            track_id: random_id(self.rng()),
            streams: Vec::new(),
            encodings: vec![encoding],
            desired_bitrate: None,
            read: None,
        };
        let receiver = Receiver {
            mode: ReceiveMode::default(),
            track_id: random_id(self.rng()),
            streams: Vec::new(),
        };
        self.all.push(TransceiverSlots {
            id,
            kind,
            mid: None,
            index: None,
            direction,
            current_direction: None,
            fired_direction: None,
            receptive: false,
            stopping: false,
            stopped: false,
            preferences: Vec::new(),
            origin,
            track_added: false,
            has_sent: false,
            sender,
            receiver,
        });
        self.all.last_mut().expect("it was just added")
    }

    /// An encoding with SSRCs that no other has (RFC 3550 §8).
    pub(crate) fn encoding(&mut self, parameters: RtpEncodingParameters) -> Encoding {
        let (ssrc, rtx_ssrc) = self.ssrcs();
        Encoding {
            parameters,
            ssrc,
            rtx_ssrc,
            paused: false,
        }
    }

    fn ssrcs(&mut self) -> (u32, u32) {
        let ssrc = self.unused_ssrc(0);
        (ssrc, self.unused_ssrc(ssrc))
    }

    /// The peer names these SSRCs as its own: encodings of ours that have one get others. "If a source discovers at any time
    /// that another source is using the same SSRC identifier …, it MUST send an RTCP BYE packet for the old identifier and
    /// choose another random one" (RFC 3550 §8.2).
    pub(crate) fn avoid_ssrcs(&mut self, theirs: &BTreeSet<u32>) {
        let collides = |encoding: &Encoding| theirs.contains(&encoding.ssrc) || theirs.contains(&encoding.rtx_ssrc);
        for index in 0..self.all.len() {
            for place in 0..self.all[index].sender.encodings.len() {
                if !collides(&self.all[index].sender.encodings[place]) || self.identity().collisions >= MOST_COLLISIONS
                {
                    continue;
                }
                self.identity().collisions += 1;
                let (ssrc, rtx_ssrc) = self.ssrcs();
                let encoding = &mut self.all[index].sender.encodings[place];
                (encoding.ssrc, encoding.rtx_ssrc) = (ssrc, rtx_ssrc);
            }
        }
    }

    fn unused_ssrc(&mut self, other: u32) -> u32 {
        loop {
            let ssrc: u32 = self.rng().random();
            let mut encodings = self.all.iter().flat_map(|transceiver| &transceiver.sender.encodings);
            let is_used = encodings.any(|encoding| encoding.ssrc == ssrc || encoding.rtx_ssrc == ssrc);
            if ssrc != 0 && ssrc != other && !is_used {
                return ssrc;
            }
        }
    }
}

impl TransceiverSlots {
    pub(crate) fn view(&self) -> Transceiver<'_> {
        Transceiver(self)
    }

    /// "Stop sending and receiving" (webrtc-pc §5.4).
    pub(crate) fn begin_stop(&mut self) {
        self.stopping = true;
        self.receptive = false;
        self.direction = Direction::Inactive;
    }

    /// "Stop the RTCRtpTransceiver" (webrtc-pc §5.4).
    pub(crate) fn stop(&mut self) {
        self.begin_stop();
        self.stopped = true;
        self.current_direction = None;
    }

    /// Which way media may flow for our part.
    pub(crate) fn wanted(&self) -> Direction {
        if self.stopping {
            Direction::Inactive
        } else {
            self.direction
        }
    }
}

/// A random name in the form of a UUID (RFC 9562 §5.4), as browsers give to tracks and streams.
fn random_id(rng: &mut StdRng) -> String {
    let mut bytes: [u8; 16] = rng.random();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut id = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            id.push('-');
        }
        write!(id, "{byte:02x}").expect("a String takes all");
    }
    id
}

/// `token-char` of RFC 8866 §9, at most 64 of them: what `a=msid` can name (RFC 8830 §2).
pub(crate) fn is_msid(id: &str) -> bool {
    let is_token_char =
        |c: char| matches!(c, '!' | '#'..='\'' | '*' | '+' | '-' | '.' | '0'..='9' | 'A'..='Z' | '^'..='~');
    (1..=64).contains(&id.len()) && id.chars().all(is_token_char)
}

impl From<Direction> for TransceiverDirection {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::SendRecv => Self::SendRecv,
            Direction::SendOnly => Self::SendOnly,
            Direction::RecvOnly => Self::RecvOnly,
            Direction::Inactive => Self::Inactive,
        }
    }
}

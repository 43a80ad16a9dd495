//! What a WebRTC stack with media can do, in the least words that all of them share: a part of [`Peer`](crate::peer::Peer).

use std::time::Instant;

/// Media of one end of a connection. Sections are known by their `a=mid`, which both ends share.
pub trait Media {
    /// Has something to send, or wants to receive, from the next offer or answer on: in a section that is offered and has room
    /// for it, or in one of its own.
    fn add_media(&mut self, now: Instant, plan: &MediaPlan);
    /// Changes which way a section flows; the next offer says so.
    fn set_direction(&mut self, now: Instant, mid: &str, direction: Direction);
    /// The other end is about to ask for this direction: to be agreed to in the answer. Stacks that agree to all need nothing.
    fn agree(&mut self, now: Instant, mid: &str, direction: Direction) {
        let _ = (now, mid, direction);
    }
    /// Gives a section up; the next offer says so.
    fn stop(&mut self, now: Instant, mid: &str);
    /// Which way a section flows, as this end knows it.
    fn direction(&mut self, mid: &str) -> Direction;
    /// True once media can be sent.
    fn is_connected(&mut self) -> bool;
    /// Sends a frame.
    fn send_frame(&mut self, now: Instant, mid: &str, frame: &Frame);
    /// Presses a key for 100 ms, of `0` to `9`, `*` and `#`; only stacks that know keys (RFC 4733) are asked to.
    fn press(&mut self, now: Instant, mid: &str, key: char) {
        panic!("{now:?}: {mid} knows no key {key}");
    }
    /// Asks for a keyframe, of one layer or of the only stream.
    fn request_keyframe(&mut self, now: Instant, mid: &str, rid: Option<&'static str>);
    /// What has been counted of a section without layers.
    fn counts(&mut self, now: Instant, mid: &str) -> Counts;
}

/// What a peer has to send, or wants to receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaPlan {
    /// Sound or pictures.
    pub is_video: bool,
    /// Which way it is to flow.
    pub direction: Direction,
    /// What it will be sent with, for stacks that have to know it beforehand.
    pub codec: Codec,
    /// The layers of simulcast to be sent; empty for a single stream.
    pub rids: &'static [&'static str],
}

impl MediaPlan {
    /// Sound both ways.
    pub const AUDIO: Self = Self {
        is_video: false,
        direction: Direction::SendRecv,
        codec: Codec::Opus,
        rids: &[],
    };

    /// Pictures both ways.
    pub const VIDEO: Self = Self {
        is_video: true,
        codec: Codec::Vp8,
        ..Self::AUDIO
    };

    /// The same in another direction.
    #[must_use]
    pub const fn with(self, direction: Direction) -> Self {
        Self { direction, ..self }
    }
}

/// Which way media flows, as this end sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of SDP")]
pub enum Direction {
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

impl Direction {
    /// How the other end sees it.
    #[must_use]
    pub fn reversed(self) -> Self {
        match self {
            Self::SendOnly => Self::RecvOnly,
            Self::RecvOnly => Self::SendOnly,
            same => same,
        }
    }
}

/// A codec that several stacks have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "their names say all")]
pub enum Codec {
    Opus,
    Pcmu,
    Pcma,
    G722,
    Vp8,
    Vp9,
    H264,
    H265,
    Av1,
}

impl Codec {
    /// Those of sound.
    pub const AUDIO: [Self; 4] = [Self::Opus, Self::Pcmu, Self::Pcma, Self::G722];
    /// Those of pictures.
    pub const VIDEO: [Self; 5] = [Self::Vp8, Self::Vp9, Self::H264, Self::Av1, Self::H265];

    /// Whether it is one of sound.
    #[must_use]
    pub fn is_audio(self) -> bool {
        Self::AUDIO.contains(&self)
    }

    /// Such as `video/VP8`.
    #[must_use]
    pub fn mime_type(self) -> &'static str {
        match self {
            Self::Opus => "audio/opus",
            Self::Pcmu => "audio/PCMU",
            Self::Pcma => "audio/PCMA",
            Self::G722 => "audio/G722",
            Self::Vp8 => "video/VP8",
            Self::Vp9 => "video/VP9",
            Self::H264 => "video/H264",
            Self::H265 => "video/H265",
            Self::Av1 => "video/AV1",
        }
    }

    /// The one with this MIME type.
    #[must_use]
    pub fn from_mime_type(mime_type: &str) -> Option<Self> {
        let mut all = Self::AUDIO.into_iter().chain(Self::VIDEO);
        all.find(|codec| codec.mime_type().eq_ignore_ascii_case(mime_type))
    }

    /// Ticks of RTP timestamps a second.
    #[must_use]
    pub fn clock_rate(self) -> u32 {
        match self {
            Self::Opus => 48_000,
            // G.722 samples at twice that (RFC 3551 §4.5.2).
            Self::Pcmu | Self::Pcma | Self::G722 => 8_000,
            Self::Vp8 | Self::Vp9 | Self::H264 | Self::H265 | Self::Av1 => 90_000,
        }
    }

    /// `a=fmtp`, without the payload type.
    #[must_use]
    pub fn fmtp(self) -> &'static str {
        match self {
            Self::Opus => "minptime=10;useinbandfec=1",
            Self::Pcmu | Self::Pcma | Self::G722 | Self::Vp8 => "",
            Self::Vp9 => "profile-id=0",
            Self::H265 => "level-id=93;profile-id=1;tier-flag=0;tx-mode=SRST",
            Self::Av1 => "profile=0",
            Self::H264 => "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
        }
    }

    /// Ticks between one frame and the next: 20 ms of sound, a thirtieth of a second of pictures.
    #[must_use]
    pub fn ticks(self) -> u32 {
        match self {
            Self::Opus => 960,
            Self::Pcmu | Self::Pcma | Self::G722 => 160,
            Self::Vp8 | Self::Vp9 | Self::H264 | Self::H265 | Self::Av1 => 3000,
        }
    }
}

/// A codec and the numbers that a peer proposes for it.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    /// The codec.
    pub codec: Codec,
    /// Its payload type.
    pub payload_type: u8,
    /// The payload type of its retransmissions.
    pub rtx: Option<u8>,
}

impl Format {
    const fn new(codec: Codec, payload_type: u8, rtx: Option<u8>) -> Self {
        Self {
            codec,
            payload_type,
            rtx,
        }
    }
}

/// A profile of SRTP, by its number in DTLS's registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the registry")]
#[repr(u16)]
pub enum SrtpProfile {
    Aes128CmHmacSha1_80 = 1,
    Aes128CmHmacSha1_32 = 2,
    AeadAes128Gcm = 7,
    AeadAes256Gcm = 8,
}

impl SrtpProfile {
    /// The one of this name, as statistics have it.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        match name {
            "AES_CM_128_HMAC_SHA1_80" => Some(Self::Aes128CmHmacSha1_80),
            "AES_CM_128_HMAC_SHA1_32" => Some(Self::Aes128CmHmacSha1_32),
            "AEAD_AES_128_GCM" => Some(Self::AeadAes128Gcm),
            "AEAD_AES_256_GCM" => Some(Self::AeadAes256Gcm),
            _ => None,
        }
    }
}

/// How a peer is to be made for media.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// What it sends and receives, the preferred first.
    pub formats: &'static [Format],
    /// The only profile of SRTP that it takes; `None` for all that it has.
    pub srtp: Option<SrtpProfile>,
    /// Opus comes in redundant packets (RFC 2198), and with keys that are pressed (RFC 4733).
    pub has_extras: bool,
}

/// The payload types of Opus in redundant packets, and of keys with its clock.
pub const RED: u8 = 63;
#[allow(missing_docs, reason = "the line above has it")]
pub const KEYS: u8 = 110;

impl Default for Settings {
    fn default() -> Self {
        const FORMATS: [Format; 9] = [
            Format::new(Codec::Opus, 111, None),
            Format::new(Codec::Pcmu, 0, None),
            Format::new(Codec::Pcma, 8, None),
            Format::new(Codec::G722, 9, None),
            Format::new(Codec::Vp8, 96, Some(97)),
            Format::new(Codec::Vp9, 98, Some(99)),
            Format::new(Codec::H264, 106, Some(107)),
            Format::new(Codec::Av1, 45, Some(46)),
            Format::new(Codec::H265, 102, Some(103)),
        ];
        Self {
            formats: &FORMATS,
            srtp: None,
            has_extras: false,
        }
    }
}

impl Settings {
    /// With redundant sound and keys.
    #[must_use]
    pub fn with_extras() -> Self {
        Self {
            has_extras: true,
            ..Self::default()
        }
    }

    /// Another order, and numbers that elsewhere stand for other codecs.
    #[must_use]
    pub fn renumbered() -> Self {
        const FORMATS: [Format; 9] = [
            Format::new(Codec::G722, 9, None),
            Format::new(Codec::Opus, 96, None),
            Format::new(Codec::Pcma, 8, None),
            Format::new(Codec::Pcmu, 0, None),
            Format::new(Codec::Av1, 102, Some(45)),
            Format::new(Codec::H265, 46, Some(103)),
            Format::new(Codec::H264, 98, Some(111)),
            Format::new(Codec::Vp9, 107, Some(106)),
            Format::new(Codec::Vp8, 121, Some(122)),
        ];
        Self {
            formats: &FORMATS,
            ..Self::default()
        }
    }
}

/// An encoded frame.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is encoded with.
    pub codec: Codec,
    /// Its layer of simulcast.
    pub rid: Option<String>,
    /// When it was sampled, in ticks.
    pub timestamp: u32,
    /// Its bytes: H.264 and H.265 as Annex B, with start codes of four bytes; AV1 as OBUs with sizes.
    pub data: Vec<u8>,
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (start, rest) = self.data.split_at(self.data.len().min(12));
        write!(
            f,
            "{:?} {:?} at {}: {start:02x?} and {} more",
            self.codec,
            self.rid,
            self.timestamp,
            rest.len()
        )
    }
}

impl Frame {
    /// One in a sequence: the first, and every thirtieth, is a keyframe. Its bytes tell it from all others.
    #[must_use]
    pub fn new(codec: Codec, number: u32, len: usize) -> Self {
        let is_key = number.is_multiple_of(30);
        let data = match codec {
            // TOC: 20 ms of CELT, fullband, mono (RFC 6716 §3.1).
            Codec::Opus => with_body(vec![0xf8], number, len.min(160)),
            Codec::Pcmu | Codec::Pcma | Codec::G722 => with_body(vec![], number, 160),
            Codec::Vp8 if is_key => with_body(vec![0x10, 0, 0, 0x9d, 0x01, 0x2a, 64, 0, 64, 0], number, len),
            Codec::Vp8 => with_body(vec![0x11, 0, 0], number, len),
            // VP9 bitstream specification §6.2: the frame marker, profile 0, then for a keyframe the sync code, the color
            // config, and 64 times 64 pixels.
            Codec::Vp9 if is_key => with_body(
                vec![0x82, 0x49, 0x83, 0x42, 0x20, 0x03, 0xf0, 0x03, 0xf0, 0],
                number,
                len,
            ),
            Codec::Vp9 => with_body(vec![0x86, 0, 0], number, len),
            Codec::H264 => h264(is_key, number, len),
            Codec::H265 => h265(is_key, number, len),
            Codec::Av1 => av1(is_key, number, len),
        };
        Self {
            codec,
            rid: None,
            timestamp: number.wrapping_mul(codec.ticks()),
            data,
        }
    }

    /// The same in a layer of simulcast.
    #[must_use]
    pub fn with_rid(mut self, rid: &str) -> Self {
        self.rid = Some(rid.to_owned());
        self
    }
}

fn with_body(mut start: Vec<u8>, number: u32, len: usize) -> Vec<u8> {
    start.extend_from_slice(&number.to_be_bytes());
    let from = start.len();
    // No byte is zero: H.264 would take it for part of a start code.
    start.extend((from..len.max(from)).map(|i| (i as u8).wrapping_mul(7).wrapping_add(number as u8) | 1));
    start
}

fn h264(is_key: bool, number: u32, len: usize) -> Vec<u8> {
    let units: &[&[u8]] = if is_key {
        // SPS and PPS, as from an encoder of 64 times 64 pixels.
        &[
            &[0x67, 0x42, 0xe0, 0x1f, 0xda, 0x02, 0x10, 0x80, 0x6d, 0x0a, 0x13, 0x50],
            &[0x68, 0xce, 0x3c, 0x80],
            &[0x65],
        ]
    } else {
        &[&[0x41]]
    };
    annex_b(units, number, len)
}

fn h265(is_key: bool, number: u32, len: usize) -> Vec<u8> {
    let units: &[&[u8]] = if is_key {
        // VPS, SPS and PPS in name, and the beginning of an IDR picture (ITU-T H.265, table 7-1).
        &[
            &[0x40, 0x01, 0x0c, 0x01, 0xff],
            &[0x42, 0x01, 0x01, 0x01, 0x60],
            &[0x44, 0x01, 0xc1, 0x72],
            &[0x26, 0x01],
        ]
    } else {
        &[&[0x02, 0x01]]
    };
    annex_b(units, number, len)
}

/// NAL units behind start codes; the last goes on to `len` bytes in all.
fn annex_b(units: &[&[u8]], number: u32, len: usize) -> Vec<u8> {
    const START: [u8; 4] = [0, 0, 0, 1];
    let data = units.iter().flat_map(|unit| [&START[..], unit].concat()).collect();
    with_body(data, number | 0x8080_8080, len)
}

fn av1(is_key: bool, number: u32, len: usize) -> Vec<u8> {
    // A sequence header in name, then a frame (AV1 bitstream specification, §6.2.2), each with its size in front.
    let mut data = if is_key {
        vec![0x0a, 4, 0x08, 0x19, 0x51, 0x7f]
    } else {
        vec![]
    };
    let body = with_body(vec![if is_key { 0x10 } else { 0x30 }], number, len.max(128));
    data.extend([0x32, body.len() as u8 | 0x80, (body.len() >> 7) as u8]);
    data.extend(body);
    data
}

/// What has been counted of a section.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// RTP packets sent.
    pub sent: u64,
    /// RTP packets received.
    pub received: u64,
    /// Requests for packets that came.
    pub nacks_received: u64,
    /// Requests for keyframes that came.
    pub keyframe_requests_received: u64,
    /// The round trip, in seconds, as the peer's reports tell it.
    pub round_trip: Option<f64>,
    /// What part of the packets sent the peer's latest report calls lost.
    pub remote_loss: Option<f64>,
}

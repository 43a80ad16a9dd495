//! Media of str0m.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use peerline_native::media::{Codec, Counts, Direction, Frame, KEYS, Media, MediaPlan, Settings};
use peerline_native::peer::News;
use str0m::change::SdpApi;
use str0m::format::{Codec as TheirCodec, CodecExtra, FormatParams};
use str0m::media::{
    Direction as TheirDirection, Frequency, KeyframeRequestKind, MediaKind, MediaTime, Mid, Rid, Simulcast,
    SimulcastLayer, TelephoneEvent,
};
use str0m::{Event, RtcConfig};

use super::Str0m;

/// What the next offer is to say.
pub(crate) enum Change {
    Add(MediaPlan),
    Direct(String, Direction),
    Stop(String),
}

impl Change {
    pub(crate) fn make(&self, api: &mut SdpApi<'_>) {
        match self {
            Self::Add(plan) => {
                let kind = if plan.is_video {
                    MediaKind::Video
                } else {
                    MediaKind::Audio
                };
                let mut simulcast = Simulcast::new();
                for rid in plan.rids {
                    simulcast.add_send_layer(SimulcastLayer::new(rid));
                }
                let simulcast = Some(simulcast).filter(|simulcast| !simulcast.send.is_empty());
                api.add_media(kind, to_theirs(plan.direction), None, None, simulcast);
            }
            Self::Direct(mid, direction) => api.set_direction(mid[..].into(), to_theirs(*direction)),
            Self::Stop(mid) => api.stop_media(mid[..].into()),
        }
    }
}

/// What is known of the sound of a section.
#[derive(Default)]
pub(crate) struct Voice {
    /// The timestamp of the latest frame that was sent.
    sent: u32,
    /// When the latest key began that came: all its reports say so.
    key: Option<u64>,
}

const KEY_NAMES: [char; 12] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '*', '#'];

pub(crate) fn configure(mut config: RtcConfig, settings: &Settings) -> RtcConfig {
    config = config.clear_codecs();
    if settings.has_extras {
        let codecs = config.codec_config();
        codecs.enable_opus(true, true);
        let (codec, clock) = (TheirCodec::Tele, Frequency::FORTY_EIGHT_KHZ);
        codecs.add_config(KEYS.into(), None, codec, clock, None, FormatParams::parse_line("0-15"));
    }
    for format in settings.formats {
        if settings.has_extras && format.codec == Codec::Opus {
            continue;
        }
        let (codec, channels) = match format.codec {
            Codec::Opus => (TheirCodec::Opus, Some(2)),
            Codec::Pcmu => (TheirCodec::PCMU, None),
            Codec::Pcma => (TheirCodec::PCMA, None),
            Codec::G722 => (TheirCodec::G722, None),
            Codec::Vp8 => (TheirCodec::Vp8, None),
            Codec::Vp9 => (TheirCodec::Vp9, None),
            Codec::H264 => (TheirCodec::H264, None),
            Codec::H265 => (TheirCodec::H265, None),
            Codec::Av1 => (TheirCodec::Av1, None),
        };
        config.codec_config().add_config(
            format.payload_type.into(),
            format.rtx.map(Into::into),
            codec,
            sampling(format.codec),
            channels,
            FormatParams::parse_line(format.codec.fmtp()),
        );
    }
    config
}

fn frequency(codec: Codec) -> Frequency {
    Frequency::from_nonzero(NonZeroU32::new(codec.clock_rate()).expect("not zero"))
}

/// G.722 is sampled at 16 kHz, though its RTP clock is slower (RFC 3551 §4.5.2): that is the frequency str0m wants to be told.
fn sampling(codec: Codec) -> Frequency {
    match codec {
        Codec::G722 => Frequency::SIXTEEN_KHZ,
        other => frequency(other),
    }
}

fn from_theirs(codec: TheirCodec) -> Codec {
    match codec {
        TheirCodec::Opus => Codec::Opus,
        TheirCodec::PCMU => Codec::Pcmu,
        TheirCodec::PCMA => Codec::Pcma,
        TheirCodec::G722 => Codec::G722,
        TheirCodec::Vp8 => Codec::Vp8,
        TheirCodec::Vp9 => Codec::Vp9,
        TheirCodec::H264 => Codec::H264,
        TheirCodec::H265 => Codec::H265,
        TheirCodec::Av1 => Codec::Av1,
        other => panic!("{other:?} was not negotiated"),
    }
}

fn to_theirs(direction: Direction) -> TheirDirection {
    match direction {
        Direction::SendRecv => TheirDirection::SendRecv,
        Direction::SendOnly => TheirDirection::SendOnly,
        Direction::RecvOnly => TheirDirection::RecvOnly,
        Direction::Inactive => TheirDirection::Inactive,
    }
}

impl Str0m {
    pub(crate) fn on_media_event(&mut self, event: Event) {
        match event {
            // An offered section takes what waits for one.
            Event::MediaAdded(added) => {
                let is_it = |change: &Change| match change {
                    Change::Add(plan) => plan.is_video == (added.kind == MediaKind::Video),
                    Change::Direct(..) | Change::Stop(_) => false,
                };
                if let Some(index) = self.changes.iter().position(is_it) {
                    self.changes.remove(index);
                }
            }
            Event::MediaData(data) => {
                if let CodecExtra::Tele(report) = data.codec_extra {
                    // The last report comes three times.
                    if report.end && self.voice.key.replace(data.time.numer()) != Some(data.time.numer()) {
                        let key = KEY_NAMES[usize::from(report.event)];
                        self.news.push_back(News::Key(data.mid.to_string(), key));
                    }
                    return;
                }
                let codec = from_theirs(data.params.spec().codec);
                let frame = Frame {
                    codec,
                    rid: data.rid.map(|rid| rid.to_string()),
                    timestamp: data.time.rebase(frequency(codec)).numer() as u32,
                    data: data.data.to_vec(),
                };
                self.news.push_back(News::Frame(data.mid.to_string(), frame));
            }
            Event::KeyframeRequest(request) => {
                let rid = request.rid.map(|rid| rid.to_string());
                self.news.push_back(News::KeyframeRequest(request.mid.to_string(), rid));
            }
            Event::MediaEgressStats(stats) => {
                let counts = self.counts.entry(stats.mid.to_string()).or_default();
                counts.sent = stats.packets;
                counts.nacks_received = stats.nacks;
                counts.keyframe_requests_received = stats.plis + stats.firs;
                counts.round_trip = stats.rtt.map(|rtt| rtt.as_secs_f64()).or(counts.round_trip);
                counts.remote_loss = stats.loss.map(f64::from).or(counts.remote_loss);
            }
            Event::MediaIngressStats(stats) => {
                self.counts.entry(stats.mid.to_string()).or_default().received = stats.packets;
            }
            _ => {}
        }
    }
}

impl Media for Str0m {
    fn add_media(&mut self, _: Instant, plan: &MediaPlan) {
        self.changes.push(Change::Add(*plan));
    }

    fn set_direction(&mut self, _: Instant, mid: &str, direction: Direction) {
        self.changes.push(Change::Direct(mid.to_owned(), direction));
    }

    fn stop(&mut self, _: Instant, mid: &str) {
        self.changes.push(Change::Stop(mid.to_owned()));
    }

    fn direction(&mut self, mid: &str) -> Direction {
        match self.rtc.media(mid.into()).map(str0m::media::Media::direction) {
            Some(TheirDirection::SendRecv) => Direction::SendRecv,
            Some(TheirDirection::SendOnly) => Direction::SendOnly,
            Some(TheirDirection::RecvOnly) => Direction::RecvOnly,
            Some(TheirDirection::Inactive) | None => Direction::Inactive,
        }
    }

    fn is_connected(&mut self) -> bool {
        self.rtc.is_connected()
    }

    fn send_frame(&mut self, now: Instant, mid: &str, frame: &Frame) {
        let mid = Mid::from(mid);
        let mut writer = self.rtc.writer(mid).expect("a section that sends");
        let payload_type = writer
            .payload_params()
            .filter(|params| params.spec().codec != TheirCodec::Tele)
            .find(|params| from_theirs(params.spec().codec) == frame.codec)
            .expect("it was negotiated")
            .pt();
        if let Some(rid) = &frame.rid {
            writer = writer.rid(rid[..].into());
        }
        if frame.codec.is_audio() {
            self.voice.sent = frame.timestamp;
        }
        let time = MediaTime::new(frame.timestamp.into(), frequency(frame.codec));
        writer
            .write(payload_type, now, time, frame.data.clone())
            .expect("it is sent");
        self.pump(now);
    }

    fn press(&mut self, now: Instant, mid: &str, key: char) {
        let writer = self.rtc.writer(Mid::from(mid)).expect("a section that sends");
        let opus = writer
            .payload_params()
            .find(|params| params.spec().codec == TheirCodec::Opus)
            .expect("it was negotiated")
            .pt();
        let event = TelephoneEvent {
            event: KEY_NAMES.iter().position(|name| *name == key).expect("a key") as u8,
            end: true,
            volume: 10,
            duration: Duration::from_millis(100),
        };
        let time = MediaTime::new(self.voice.sent.into(), frequency(Codec::Opus));
        writer
            .telephone_event(event)
            .write(opus, now, time, Vec::new())
            .expect("it is sent");
        self.pump(now);
    }

    fn request_keyframe(&mut self, now: Instant, mid: &str, rid: Option<&'static str>) {
        self.rtc
            .writer(mid.into())
            .expect("a section that receives")
            .request_keyframe(rid.map(Rid::from), KeyframeRequestKind::Pli)
            .expect("it can be asked for");
        self.pump(now);
    }

    fn counts(&mut self, _: Instant, mid: &str) -> Counts {
        self.counts.get(mid).copied().unwrap_or_default()
    }
}

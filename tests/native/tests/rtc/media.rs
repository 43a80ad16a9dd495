//! Media of rtc. It sends and receives packets; its packetizers and its sample builder make them of frames, and frames of them.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Instant;

use bytes::Bytes;
use peerline_native::media::{Codec, Counts, Direction, Format, Frame, Media, MediaPlan, SrtpProfile};
use peerline_native::peer::News;
use rtc::dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc::interceptor::{Attribute, Interceptor, Packet, Registry, Slot, StreamInfo, TaggedPacket};
use rtc::media::io::sample_builder::SampleBuilder;
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::configuration::interceptor_registry::register_default_interceptors;
use rtc::peer_connection::configuration::media_engine::MediaEngine;
use rtc::peer_connection::event::RTCTrackEvent;
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::receiver_report::ReceiverReport;
use rtc::rtcp::reception_report::ReceptionReport;
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;
use rtc::rtp::codec::{av1, h264, h265, opus, vp8, vp9};
use rtc::rtp::packetizer::{Depacketizer, Payloader};
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters,
    RTCRtpHeaderExtensionCapability, RTCRtpRtxParameters, RtpCodecKind,
};
use rtc::rtp_transceiver::{
    RTCRtpReceiverId, RTCRtpSenderId, RTCRtpTransceiverDirection, RTCRtpTransceiverId, RTCRtpTransceiverInit,
};
use rtc::sansio::Protocol;
use rtc::shared::error::Result;
use rtc::statistics::StatsSelector;

use super::Rtc;

const MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
const RID: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";

/// What media needs beside the connection.
#[derive(Default)]
pub(crate) struct State {
    senders: HashMap<(String, Option<String>), SendStream>,
    receivers: HashMap<(u32, Codec), SampleBuilder<AnyDepacketizer>>,
    tracks: HashMap<String, RTCRtpReceiverId>,
    pub(crate) connected: bool,
    added: usize,
    /// Requests for keyframes that came: by media section.
    keyframe_requests: HashMap<String, u64>,
    /// Requests for packets that came: by stream.
    nacks: HashMap<u32, u64>,
    /// What the peer's latest report says is lost: by stream.
    remote_losses: HashMap<u32, f64>,
}

/// Has the RTCP that comes delivered: rtc keeps it to itself unless an interceptor asks for it.
#[derive(Default)]
struct Deliver {
    read: VecDeque<TaggedPacket>,
    written: VecDeque<TaggedPacket>,
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Deliver {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = rtc::shared::error::Error;
    type Time = Instant;

    fn handle_read(&mut self, mut packet: TaggedPacket) -> Result<()> {
        if let Packet::Rtcp(packets) = &mut packet.message.packet {
            // The first is looked at for the track that it is about.
            packets.retain(|packet| !packet.destination_ssrc().is_empty());
            packet.message.add(Attribute::DeliverToApplication);
        }
        self.read.push_back(packet);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.read.pop_front()
    }

    fn handle_write(&mut self, packet: TaggedPacket) -> Result<()> {
        self.written.push_back(packet);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.written.pop_front()
    }

    fn handle_timeout(&mut self, _: Instant) -> Result<()> {
        Ok(())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        None
    }
}

impl Interceptor for Deliver {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}

/// One stream of packets that is sent: rtc leaves the numbers to its user.
struct SendStream {
    payloaders: HashMap<Codec, Box<dyn Payloader>>,
    next: u16,
}

struct AnyDepacketizer(Box<dyn Depacketizer>);

impl AnyDepacketizer {
    fn new(codec: Codec) -> Self {
        let inner: Box<dyn Depacketizer> = match codec {
            // Their payloads are frames as they are; rtc has a depacketizer for one of them.
            Codec::Opus | Codec::Pcmu | Codec::Pcma | Codec::G722 => Box::new(opus::OpusPacket),
            Codec::Vp8 => Box::new(vp8::Vp8Packet::default()),
            Codec::Vp9 => Box::new(vp9::Vp9Packet::default()),
            Codec::H264 => Box::new(h264::H264Packet::default()),
            Codec::H265 => Box::new(h265::H265Packet::default()),
            Codec::Av1 => Box::new(av1::Av1Depacketizer::default()),
        };
        Self(inner)
    }
}

impl Depacketizer for AnyDepacketizer {
    fn depacketize(&mut self, payload: &Bytes) -> Result<Bytes> {
        self.0.depacketize(payload)
    }

    fn is_partition_head(&self, payload: &Bytes) -> bool {
        self.0.is_partition_head(payload)
    }

    fn is_partition_tail(&self, marker: bool, payload: &Bytes) -> bool {
        self.0.is_partition_tail(marker, payload)
    }
}

pub(crate) fn engine(formats: &[Format]) -> (MediaEngine, Registry) {
    let mut engine = MediaEngine::default();
    for format in formats {
        let kind = kind(!format.codec.is_audio());
        let register = |engine: &mut MediaEngine, rtp_codec, payload_type| {
            let parameters = RTCRtpCodecParameters {
                rtp_codec,
                payload_type,
            };
            engine.register_codec(parameters, kind).expect("a codec");
        };
        register(&mut engine, codec(format.codec), format.payload_type);
        if let Some(rtx) = format.rtx {
            let codec = RTCRtpCodec {
                mime_type: "video/rtx".to_owned(),
                clock_rate: 90_000,
                channels: 0,
                sdp_fmtp_line: format!("apt={}", format.payload_type),
                rtcp_feedback: vec![],
            };
            register(&mut engine, codec, rtx);
        }
    }
    let mid = RTCRtpHeaderExtensionCapability { uri: MID.to_owned() };
    engine
        .register_header_extension(mid, RtpCodecKind::Audio, None)
        .expect("an extension");
    let registry = register_default_interceptors(Registry::new(), &mut engine).expect("interceptors");
    // After all others.
    (engine, registry.with(Slot::from(14_000), Deliver::default()))
}

pub(crate) fn profiles(only: Option<SrtpProfile>) -> Vec<SrtpProtectionProfile> {
    match only {
        Some(profile) => vec![SrtpProtectionProfile::from(profile as u16)],
        None => [7, 8, 1, 2].map(SrtpProtectionProfile::from).into(),
    }
}

fn codec(codec: Codec) -> RTCRtpCodec {
    let feedback = |typ: &str, parameter: &str| RTCPFeedback {
        typ: typ.to_owned(),
        parameter: parameter.to_owned(),
    };
    RTCRtpCodec {
        mime_type: codec.mime_type().to_owned(),
        clock_rate: codec.clock_rate(),
        channels: match codec {
            Codec::Opus => 2,
            codec => u16::from(codec.is_audio()),
        },
        sdp_fmtp_line: codec.fmtp().to_owned(),
        rtcp_feedback: match codec {
            codec if codec.is_audio() => vec![],
            _ => vec![
                feedback("goog-remb", ""),
                feedback("ccm", "fir"),
                feedback("nack", ""),
                feedback("nack", "pli"),
            ],
        },
    }
}

fn kind(is_video: bool) -> RtpCodecKind {
    if is_video {
        RtpCodecKind::Video
    } else {
        RtpCodecKind::Audio
    }
}

fn to_theirs(direction: Direction) -> RTCRtpTransceiverDirection {
    match direction {
        Direction::SendRecv => RTCRtpTransceiverDirection::Sendrecv,
        Direction::SendOnly => RTCRtpTransceiverDirection::Sendonly,
        Direction::RecvOnly => RTCRtpTransceiverDirection::Recvonly,
        Direction::Inactive => RTCRtpTransceiverDirection::Inactive,
    }
}

impl Rtc {
    fn transceiver(&mut self, mid: &str) -> RTCRtpTransceiverId {
        let all: Vec<_> = self.connection.get_transceivers().collect();
        let is_it = |id: &RTCRtpTransceiverId| {
            let transceiver = self.connection.rtp_transceiver(*id);
            transceiver.is_some_and(|transceiver| transceiver.mid().as_deref() == Some(mid))
        };
        let found = all.into_iter().find(is_it);
        found.unwrap_or_else(|| panic!("no section {mid}"))
    }

    fn mid_of(&mut self, id: RTCRtpTransceiverId) -> String {
        let transceiver = self.connection.rtp_transceiver(id).expect("it is known");
        transceiver.mid().clone().expect("it is bound to a section")
    }

    pub(crate) fn on_track_event(&mut self, event: RTCTrackEvent) {
        if let RTCTrackEvent::OnOpen(init) = event {
            self.media.tracks.insert(init.track_id, init.receiver_id);
        }
    }

    pub(crate) fn on_rtp(&mut self, now: Instant, track: &str, packet: rtc::rtp::Packet) {
        let Some(receiver_id) = self.media.tracks.get(track).copied() else {
            panic!("a packet of no track: {track}");
        };
        let mid = self.mid_of(receiver_id.into());
        let (ssrc, payload_type) = (packet.header.ssrc, packet.header.payload_type);
        let mut receiver = self.connection.rtp_receiver(receiver_id).expect("it is known");
        let rid = receiver.track().rid(ssrc).cloned().filter(|rid| !rid.is_empty());
        let parameters = receiver.get_parameters();
        let codecs = &parameters.rtp_parameters.codecs;
        let found = codecs.iter().find(|codec| codec.payload_type == payload_type);
        let Some(codec) = found.and_then(|codec| Codec::from_mime_type(&codec.rtp_codec.mime_type)) else {
            panic!("payload type {payload_type} was not negotiated: {codecs:#?}");
        };
        let builder = self.media.receivers.entry((ssrc, codec)).or_insert_with(|| {
            SampleBuilder::new(
                if codec.is_audio() { 10 } else { 200 },
                AnyDepacketizer::new(codec),
                codec.clock_rate(),
            )
        });
        builder.push(now, packet);
        while let Some(sample) = builder.pop(now) {
            let frame = Frame {
                codec,
                rid: rid.clone(),
                timestamp: sample.packet_timestamp,
                data: sample.data.to_vec(),
            };
            self.news.push_back(News::Frame(mid.clone(), frame));
        }
    }

    pub(crate) fn on_rtcp(&mut self, packets: &[Box<dyn rtc::rtcp::Packet>]) {
        for packet in packets {
            let packet = packet.as_any();
            if let Some(pli) = packet.downcast_ref::<PictureLossIndication>() {
                self.on_keyframe_request(pli.media_ssrc);
            } else if let Some(fir) = packet.downcast_ref::<FullIntraRequest>() {
                fir.fir.iter().for_each(|entry| self.on_keyframe_request(entry.ssrc));
            } else if let Some(nack) = packet.downcast_ref::<TransportLayerNack>() {
                *self.media.nacks.entry(nack.media_ssrc).or_default() += 1;
            } else if let Some(report) = packet.downcast_ref::<ReceiverReport>() {
                self.on_reports(&report.reports);
            } else if let Some(report) = packet.downcast_ref::<SenderReport>() {
                self.on_reports(&report.reports);
            }
        }
    }

    fn on_reports(&mut self, reports: &[ReceptionReport]) {
        for report in reports {
            let lost = f64::from(report.fraction_lost) / 256.0;
            self.media.remote_losses.insert(report.ssrc, lost);
        }
    }

    fn on_keyframe_request(&mut self, ssrc: u32) {
        let all: Vec<_> = self.connection.get_transceivers().collect();
        for id in all {
            let Some(sender) = self.connection.rtp_sender(id.into()) else {
                continue;
            };
            let track = sender.track();
            if track.ssrcs().any(|own| own == ssrc) {
                let rid = track.rid(ssrc).cloned().filter(|rid| !rid.is_empty());
                let mid = self.mid_of(id);
                *self.media.keyframe_requests.entry(mid.clone()).or_default() += 1;
                self.news.push_back(News::KeyframeRequest(mid, rid));
            }
        }
    }
}

impl Media for Rtc {
    fn add_media(&mut self, _: Instant, plan: &MediaPlan) {
        let kind = kind(plan.is_video);
        if plan.direction == Direction::RecvOnly {
            let init = RTCRtpTransceiverInit {
                direction: RTCRtpTransceiverDirection::Recvonly,
                streams: vec![],
                send_encodings: vec![],
            };
            self.connection
                .add_transceiver_from_kind(kind, Some(init))
                .expect("a transceiver");
            return;
        }
        let rids = if plan.rids.is_empty() { &[""][..] } else { plan.rids };
        self.media.added += 1;
        let number = self.media.added;
        // Other streams for each peer: rtc looks for a stream among what it receives and what it sends alike.
        let IpAddr::V4(address) = self.address.ip() else {
            unreachable!("addresses of the lab are of IPv4");
        };
        let base = u32::from(address).rotate_left(16) + 10 * number as u32;
        let codings = rids
            .iter()
            .zip((base..).step_by(2))
            .map(|(rid, ssrc)| RTCRtpEncodingParameters {
                rtp_coding_parameters: RTCRtpCodingParameters {
                    rid: (*rid).to_owned(),
                    ssrc: Some(ssrc),
                    rtx: plan.is_video.then_some(RTCRtpRtxParameters { ssrc: ssrc + 1 }),
                    fec: None,
                },
                active: true,
                codec: codec(plan.codec),
                ..RTCRtpEncodingParameters::default()
            });
        let track = MediaStreamTrack::new(
            "theirs".to_owned(),
            format!("track-{number}"),
            format!("track-{number}"),
            kind,
            codings.collect(),
        );
        if plan.direction == Direction::SendRecv {
            self.connection.add_track(track).expect("a track");
        } else {
            let init = RTCRtpTransceiverInit {
                direction: to_theirs(plan.direction),
                streams: vec![],
                send_encodings: vec![],
            };
            self.connection
                .add_transceiver_from_track(track, Some(init))
                .expect("a transceiver");
        }
    }

    fn set_direction(&mut self, _: Instant, mid: &str, direction: Direction) {
        let id = self.transceiver(mid);
        let mut transceiver = self.connection.rtp_transceiver(id).expect("it is known");
        transceiver.set_direction(to_theirs(direction));
    }

    fn agree(&mut self, now: Instant, mid: &str, direction: Direction) {
        self.set_direction(now, mid, direction);
    }

    fn stop(&mut self, _: Instant, mid: &str) {
        let id = self.transceiver(mid);
        let mut transceiver = self.connection.rtp_transceiver(id).expect("it is known");
        transceiver.stop().expect("it can be stopped");
    }

    fn direction(&mut self, mid: &str) -> Direction {
        let id = self.transceiver(mid);
        let transceiver = self.connection.rtp_transceiver(id).expect("it is known");
        match transceiver.current_direction() {
            RTCRtpTransceiverDirection::Sendrecv => Direction::SendRecv,
            RTCRtpTransceiverDirection::Sendonly => Direction::SendOnly,
            RTCRtpTransceiverDirection::Recvonly => Direction::RecvOnly,
            RTCRtpTransceiverDirection::Inactive | RTCRtpTransceiverDirection::Unspecified => Direction::Inactive,
            other => panic!("{other:?}"),
        }
    }

    fn is_connected(&mut self) -> bool {
        self.media.connected
    }

    fn send_frame(&mut self, now: Instant, mid: &str, frame: &Frame) {
        let id = RTCRtpSenderId::from(self.transceiver(mid));
        let mut sender = self.connection.rtp_sender(id).expect("it sends");
        let parameters = sender.get_parameters().clone();
        let encoding = parameters
            .encodings
            .iter()
            .map(|encoding| &encoding.rtp_coding_parameters)
            .find(|encoding| encoding.rid == frame.rid.as_deref().unwrap_or_default())
            .expect("a layer that was negotiated");
        let codecs = &parameters.rtp_parameters.codecs;
        let codec = codecs
            .iter()
            .find(|codec| Codec::from_mime_type(&codec.rtp_codec.mime_type) == Some(frame.codec))
            .unwrap_or_else(|| panic!("{:?} is not among {codecs:#?}", frame.codec));
        let stream = self
            .media
            .senders
            .entry((mid.to_owned(), frame.rid.clone()))
            .or_insert_with(|| SendStream {
                payloaders: HashMap::new(),
                next: 65_500,
            });
        let payloader = stream
            .payloaders
            .entry(frame.codec)
            .or_insert_with(|| codec.rtp_codec.payloader().expect("it has one"));
        let payloads = payloader
            .payload(1150, &Bytes::from(frame.data.clone()))
            .expect("a frame of the codec");
        let count = payloads.len();
        for (index, payload) in payloads.into_iter().enumerate() {
            let mut packet = rtc::rtp::Packet {
                header: rtc::rtp::Header {
                    version: 2,
                    marker: !frame.codec.is_audio() && index + 1 == count,
                    payload_type: codec.payload_type,
                    sequence_number: stream.next,
                    timestamp: frame.timestamp,
                    ssrc: encoding.ssrc.expect("it has one"),
                    ..Default::default()
                },
                payload,
            };
            stream.next = stream.next.wrapping_add(1);
            for extension in &parameters.rtp_parameters.header_extensions {
                let value = match &extension.uri[..] {
                    MID => Some(mid),
                    RID => frame.rid.as_deref(),
                    _ => None,
                };
                if let Some(value) = value {
                    packet
                        .header
                        .set_extension(extension.id as u8, Bytes::copy_from_slice(value.as_bytes()))
                        .expect("there is room");
                }
            }
            let mut sender = self.connection.rtp_sender(id).expect("it sends");
            sender.write_rtp(now, packet).expect("it is sent");
        }
    }

    fn request_keyframe(&mut self, now: Instant, mid: &str, rid: Option<&'static str>) {
        let id = RTCRtpReceiverId::from(self.transceiver(mid));
        let mut receiver = self.connection.rtp_receiver(id).expect("it receives");
        let track = receiver.track();
        let media_ssrc = track
            .ssrcs()
            .find(|ssrc| rid.is_none() || track.rid(*ssrc).map(|rid| &rid[..]) == rid)
            .expect("a stream that has come");
        let pli = PictureLossIndication {
            sender_ssrc: 0,
            media_ssrc,
        };
        receiver.write_rtcp(now, vec![Box::new(pli)]).expect("it is sent");
    }

    fn counts(&mut self, now: Instant, mid: &str) -> Counts {
        let report = self.connection.get_stats(now, StatsSelector::None);
        let mut counts = Counts {
            keyframe_requests_received: self.media.keyframe_requests.get(mid).copied().unwrap_or_default(),
            ..Counts::default()
        };
        for stats in report.outbound_rtp_streams().filter(|stats| stats.mid == mid) {
            let ssrc = stats.sent_rtp_stream_stats.rtp_stream_stats.ssrc;
            // What the report itself says of the peer's RTCP is always zero.
            counts.sent = stats.sent_rtp_stream_stats.packets_sent;
            counts.nacks_received = self.media.nacks.get(&ssrc).copied().unwrap_or_default();
            counts.remote_loss = self.media.remote_losses.get(&ssrc).copied();
        }
        for stats in report.inbound_rtp_streams().filter(|stats| stats.mid == mid) {
            counts.received = stats.received_rtp_stream_stats.packets_received;
        }
        counts
    }
}

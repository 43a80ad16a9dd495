//! What the engine tells for [`stats`](crate::Connection::stats).

use std::time::Instant;

use super::agreed::Sending;
use super::departures::Totals;
use super::parameters::{MediaKind, RtpCodecParameters};
use super::receive_stream::{ReceiveStream, SenderReport};
use super::send_stream::SendStream;
use super::{Counters, Media, RoundTrips, Section};
use crate::stats::{
    CodecStats, FeedbackStats, InboundRtpStats, MediaSourceStats, OutboundRtpStats, RemoteInboundRtpStats,
    RemoteOutboundRtpStats, StatsKind, TRANSPORT_ID,
};
use crate::transceiver::TransceiverId;

/// The tracks of a transceiver, by their ids.
pub(crate) struct TrackIds {
    pub(crate) sent: Option<String>,
    pub(crate) received: String,
}

/// What sound takes at most where there are pictures, in bits a second: Opus in stereo, redundant.
pub(super) const VOICE: u64 = 128_000;

impl Media {
    /// What can be sent to the peer, in bits a second: by what it tells of packets, or says itself, whichever is less.
    pub(crate) fn available_outgoing_bitrate(&self) -> Option<u64> {
        let estimate = self.estimator.as_ref().map(|estimator| estimator.target());
        estimate.into_iter().chain(self.remb).min()
    }

    /// The part of that for what a transceiver sends: pictures get in equal parts what sound leaves.
    pub(crate) fn target_bitrate(&self, transceiver: TransceiverId) -> Option<u64> {
        let available = self.available_outgoing_bitrate()?;
        let sends = |section: &&Section| section.sender.streams.iter().any(|stream| stream.encoding.active);
        let sending = || {
            let sections = self.sections.iter().flatten();
            sections.filter(|section| section.agreed.send.is_some()).filter(sends)
        };
        let own = sending().find(|section| section.agreed.transceiver == transceiver)?;
        let count = |kind| sending().filter(|section| section.agreed.kind == kind).count() as u64;
        let (voices, pictures) = (count(MediaKind::Audio), count(MediaKind::Video));
        let mut voice = available / (voices + pictures);
        if pictures > 0 {
            voice = voice.min(VOICE);
        }
        let share = match own.agreed.kind {
            MediaKind::Audio => voice,
            MediaKind::Video => (available - voices * voice) / pictures,
        };
        let most = own.agreed.send.as_ref().and_then(Sending::most);
        Some(most.map_or(share, |most| most.min(share)))
    }

    /// Gives an object at a time to `add`, with its id. `timestamp` is an instant in a report's milliseconds.
    pub(crate) fn stats(
        &self,
        now: Instant,
        tracks: impl Fn(TransceiverId) -> TrackIds,
        timestamp: impl Fn(Instant) -> f64,
        mut add: impl FnMut(String, StatsKind),
    ) {
        for section in self.sections.iter().flatten() {
            let tracks = tracks(section.agreed.transceiver);
            let source = tracks.sent.map(|id| (format!("S{}", section.agreed.mid), id));
            if let Some((id, track)) = &source {
                let stats = MediaSourceStats {
                    track_identifier: track.clone(),
                    kind: section.agreed.kind,
                };
                add(id.clone(), StatsKind::MediaSource(stats));
            }
            let source_id = source.map(|(id, _)| id);
            for (index, stream) in section.sender.streams.iter().enumerate() {
                section.outbound(now, index, stream, source_id.as_deref(), &mut add);
            }
            for stream in &section.receiver.streams {
                section.inbound(now, stream, &tracks.received, &timestamp, &mut add);
                if let Some(report) = &stream.sender_report {
                    section.remote_outbound(stream, report, self.round_trips, &mut add);
                }
            }
        }
    }
}

impl Media {
    /// What was dropped, and why, and what else is counted of no stream.
    pub(crate) fn counters(&self) -> Counters {
        self.counters
    }

    /// What the peer has told of all packets that were sent, once it has.
    pub(crate) fn feedback(&self) -> Option<FeedbackStats> {
        let totals = self.departures.totals;
        (totals != Totals::default()).then_some(FeedbackStats {
            packets_received: totals.packets_arrived,
            bytes_received: totals.bytes_arrived,
            packets_lost: totals.packets_lost,
            queueing_delay: totals.latest_queueing.as_secs_f64(),
        })
    }
}

impl Section {
    fn outbound(
        &self,
        now: Instant,
        index: usize,
        stream: &SendStream,
        source_id: Option<&str>,
        add: &mut impl FnMut(String, StatsKind),
    ) {
        let ssrc = stream.encoding.ssrc;
        let id = format!("OT01{ssrc}");
        let remote_id = stream.remote.at.map(|_| format!("RI{ssrc}"));
        let codecs = self.agreed.send.as_ref().map(|sending| &*sending.codecs);
        let latest = stream.latest;
        let codec = codecs.and_then(|codecs| used(codecs, latest?.payload_type));
        let codec_id = codec.map(|codec| self.codec("CO", codec, add));
        let is_video = self.agreed.kind == MediaKind::Video;
        let sent = &stream.sent;
        let stats = OutboundRtpStats {
            ssrc,
            kind: self.agreed.kind,
            transport_id: TRANSPORT_ID,
            codec_id: codec_id.clone(),
            media_source_id: source_id.map(str::to_owned),
            mid: self.agreed.mid.clone(),
            remote_id: remote_id.clone(),
            rid: stream.encoding.rid.clone(),
            encoding_index: index,
            packets_sent: sent.packets,
            bytes_sent: sent.bytes,
            header_bytes_sent: sent.header_bytes,
            retransmitted_packets_sent: sent.retransmitted_packets,
            retransmitted_bytes_sent: sent.retransmitted_bytes,
            rtx_ssrc: stream.encoding.rtx_ssrc,
            frames_sent: is_video.then_some(sent.frames),
            frames_per_second: sent.rate.frames_per_second(now).filter(|_| is_video),
            key_frames_sent: is_video.then_some(sent.keyframes),
            nack_count: sent.nacks,
            pli_count: is_video.then_some(sent.plis),
            fir_count: is_video.then_some(sent.firs),
            active: stream.encoding.active && self.agreed.send.is_some(),
        };
        add(id.clone(), StatsKind::OutboundRtp(stats));
        let Some(remote_id) = remote_id else {
            return;
        };
        let remote = &stream.remote;
        let stats = RemoteInboundRtpStats {
            ssrc,
            kind: self.agreed.kind,
            transport_id: TRANSPORT_ID,
            codec_id,
            local_id: id,
            packets_received: stream.received_by_peer(),
            packets_lost: remote.packets_lost,
            jitter: seconds(remote.jitter, codec),
            fraction_lost: remote.fraction_lost,
            round_trip_time: remote.round_trip.map(|time| time.as_secs_f64()),
            total_round_trip_time: remote.total_round_trip.as_secs_f64(),
            round_trip_time_measurements: remote.measurements,
        };
        add(remote_id, StatsKind::RemoteInboundRtp(stats));
    }

    fn inbound(
        &self,
        now: Instant,
        stream: &ReceiveStream,
        track: &str,
        timestamp: &impl Fn(Instant) -> f64,
        add: &mut impl FnMut(String, StatsKind),
    ) {
        let ssrc = stream.ssrc;
        let id = format!("IT01{ssrc}");
        let remote_id = stream.sender_report.map(|_| format!("RO{ssrc}"));
        let codec = used(&self.receiver.agreed.codecs, stream.payload_type);
        let codec_id = codec.map(|codec| self.codec("CI", codec, add));
        let is_video = self.agreed.kind == MediaKind::Video;
        // "If RTX is not negotiated, retransmitted packets can not be identified and this member MUST NOT exist" (webrtc-stats).
        let has_rtx = self.receiver.agreed.codecs.iter().any(|codec| codec.codec.is("rtx"));
        let (reception, got) = (&stream.reception, &stream.got);
        let stats = InboundRtpStats {
            ssrc,
            kind: self.agreed.kind,
            transport_id: TRANSPORT_ID,
            codec_id,
            track_identifier: track.to_owned(),
            mid: self.agreed.mid.clone(),
            remote_id,
            packets_received: reception.received() + got.retransmitted_packets,
            packets_lost: reception.lost(),
            jitter: seconds(reception.jitter(), codec),
            packets_discarded: got.discarded,
            last_packet_received_timestamp: reception.latest().map(timestamp),
            bytes_received: got.bytes,
            header_bytes_received: got.header_bytes,
            retransmitted_packets_received: has_rtx.then_some(got.retransmitted_packets),
            retransmitted_bytes_received: has_rtx.then_some(got.retransmitted_bytes),
            rtx_ssrc: stream.rtx_ssrc,
            frames_received: is_video.then_some(got.frames),
            key_frames_received: is_video.then_some(got.keyframes),
            frames_per_second: got.rate.frames_per_second(now).filter(|_| is_video),
            frames_assembled_from_multiple_packets: is_video.then_some(got.assembled),
            total_assembly_time: is_video.then_some(got.assembly_time.as_secs_f64()),
            frames_dropped: is_video.then_some(got.frames_dropped),
            nack_count: got.nacks,
            pli_count: is_video.then_some(got.plis),
            fir_count: is_video.then_some(got.firs),
        };
        add(id, StatsKind::InboundRtp(stats));
    }

    fn remote_outbound(
        &self,
        stream: &ReceiveStream,
        report: &SenderReport,
        round_trips: RoundTrips,
        add: &mut impl FnMut(String, StatsKind),
    ) {
        let ssrc = stream.ssrc;
        let codec = used(&self.receiver.agreed.codecs, stream.payload_type);
        let codec_id = codec.map(|codec| self.codec("CI", codec, add));
        let stats = RemoteOutboundRtpStats {
            ssrc,
            kind: self.agreed.kind,
            transport_id: TRANSPORT_ID,
            codec_id,
            local_id: format!("IT01{ssrc}"),
            packets_sent: report.packets.into(),
            bytes_sent: report.bytes.into(),
            remote_timestamp: report.ntp.to_unix().as_secs_f64() * 1e3,
            reports_sent: report.count,
            round_trip_time: round_trips.latest.map(|time| time.as_secs_f64()),
            total_round_trip_time: round_trips.total.as_secs_f64(),
            round_trip_time_measurements: round_trips.count,
        };
        add(format!("RO{ssrc}"), StatsKind::RemoteOutboundRtp(stats));
    }

    /// Adds a codec's object; its id.
    fn codec(&self, prefix: &str, parameters: &RtpCodecParameters, add: &mut impl FnMut(String, StatsKind)) -> String {
        let RtpCodecParameters {
            payload_type, codec, ..
        } = parameters;
        let id = format!("{prefix}{TRANSPORT_ID}_{payload_type}");
        let stats = CodecStats {
            payload_type: *payload_type,
            transport_id: TRANSPORT_ID,
            mime_type: codec.mime_type.clone(),
            clock_rate: codec.clock_rate,
            channels: codec.channels,
            sdp_fmtp_line: (!codec.sdp_fmtp_line.is_empty()).then(|| codec.sdp_fmtp_line.clone()),
        };
        add(id.clone(), StatsKind::Codec(stats));
        id
    }
}

fn used(codecs: &[RtpCodecParameters], payload_type: u8) -> Option<&RtpCodecParameters> {
    codecs.iter().find(|codec| codec.payload_type == payload_type)
}

/// Ticks of a codec's clock in seconds.
fn seconds(ticks: u32, codec: Option<&RtpCodecParameters>) -> f64 {
    codec.map_or(0.0, |codec| f64::from(ticks) / f64::from(codec.codec.clock_rate.max(1)))
}

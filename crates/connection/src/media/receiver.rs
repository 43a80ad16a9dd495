//! [`Receiver`]: what a transceiver receives: one stream of packets, or one a layer of simulcast.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::agreed::Receiving;
use super::codecs::Codecs;
use super::packet::{IncomingFrame, IncomingPacket, ReceiveMode};
use super::parameters::MediaKind;
use super::receive_stream::ReceiveStream;
use super::sources::Contributors;

/// One transceiver's receiver.
#[derive(Debug)]
pub(super) struct Receiver {
    kind: MediaKind,
    pub(super) agreed: Receiving,
    pub(super) codecs: Codecs,
    pub(super) streams: Vec<ReceiveStream>,
    pub(super) contributors: Contributors,
    pub(super) mode: ReceiveMode,
    frames: VecDeque<IncomingFrame>,
    packets: VecDeque<IncomingPacket>,
    /// Bytes of payload in both.
    held: usize,
    /// It was agreed that nothing comes.
    paused: bool,
    /// The application has been told that there is something to receive, and has not seen the end of it.
    told: bool,
}

/// Streams of one receiver: layers of simulcast, and those before and after a change of SSRC.
pub(super) const MAX_STREAMS: usize = 16;

/// What is received and not fetched is dropped beyond this, the oldest first.
const MAX_HELD: usize = 16 << 20;
const MAX_FRAMES: usize = 1024;
const MAX_PACKETS: usize = 4096;

impl Receiver {
    pub(super) fn new(kind: MediaKind) -> Self {
        Self {
            kind,
            agreed: Receiving::default(),
            codecs: Codecs::default(),
            streams: Vec::new(),
            contributors: Contributors::default(),
            mode: ReceiveMode::default(),
            frames: VecDeque::new(),
            packets: VecDeque::new(),
            held: 0,
            paused: false,
            told: false,
        }
    }

    pub(super) fn configure(&mut self, agreed: &Receiving) {
        if std::mem::take(&mut self.paused) {
            self.streams.iter_mut().for_each(ReceiveStream::want_keyframe);
        }
        self.codecs = Codecs::new(&agreed.codecs);
        self.agreed = agreed.clone();
    }

    /// Nothing is received any more, or not yet again: nothing is asked for. What has come can still be fetched.
    pub(super) fn pause(&mut self) {
        self.paused = true;
        for stream in &mut self.streams {
            stream.restart();
            stream.keyframe_request.settle();
        }
    }

    /// The stream `ssrc`, by its index.
    pub(super) fn find(&self, ssrc: u32) -> Option<usize> {
        self.streams.iter().position(|stream| stream.ssrc == ssrc)
    }

    /// The stream that the stream `ssrc` repeats, by its index.
    pub(super) fn find_repeated(&self, ssrc: u32) -> Option<usize> {
        self.streams.iter().position(|stream| stream.rtx_ssrc == Some(ssrc))
    }

    /// Begins the stream `ssrc`. If there are too many, that which has been silent for longest gives way, and is returned.
    pub(super) fn begin_stream(&mut self, now: Instant, ssrc: u32, rid: Option<Arc<str>>) -> Option<ReceiveStream> {
        let gives_way = (self.streams.len() >= MAX_STREAMS)
            .then(|| (0..self.streams.len()).min_by_key(|index| self.streams[*index].reception.latest()))
            .flatten()
            .map(|index| self.streams.swap_remove(index));
        self.streams.push(ReceiveStream::new(now, ssrc, rid, self.kind));
        gives_way
    }

    /// The stream `ssrc` has ended; what it completed can still be fetched.
    pub(super) fn end_stream(&mut self, ssrc: u32) -> Option<ReceiveStream> {
        let index = self.find(ssrc)?;
        Some(self.streams.remove(index))
    }

    /// Takes a packet of the stream at `index`; true if the application is to be told of what came of it.
    pub(super) fn on_packet(&mut self, now: Instant, index: usize, packet: IncomingPacket, repeated: bool) -> bool {
        let stream = &mut self.streams[index];
        if !stream.admit(now, &packet, &self.codecs, repeated) {
            return false;
        }
        match self.mode {
            ReceiveMode::Nothing => {}
            ReceiveMode::Packets => {
                stream.pass(&packet, &self.codecs);
                self.held += packet.payload.len();
                self.packets.push_back(packet);
            }
            ReceiveMode::Frames => {
                let before = self.frames.len();
                stream.push(now, packet, &self.codecs, &mut self.frames);
                self.hold_frames(before);
            }
        }
        self.bound();
        self.tell()
    }

    /// Gives up what has been waited for long enough; true if the application is to be told of what came of it.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> bool {
        if self.mode == ReceiveMode::Frames {
            let before = self.frames.len();
            for stream in &mut self.streams {
                stream.drain(now, &self.codecs, &mut self.frames);
            }
            self.hold_frames(before);
            self.bound();
        }
        self.tell()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        if self.mode == ReceiveMode::Nothing {
            return None;
        }
        self.streams
            .iter()
            .filter_map(|stream| stream.poll_timeout(&self.codecs))
            .min()
    }

    /// How it gives what it receives from now on; what waits in another form is dropped.
    pub(super) fn set_mode(&mut self, mode: ReceiveMode) {
        if self.mode != mode {
            self.mode = mode;
            for stream in &mut self.streams {
                stream.restart();
                if mode == ReceiveMode::Frames {
                    stream.want_keyframe();
                }
            }
            self.frames.clear();
            self.packets.clear();
            self.held = 0;
            self.told = false;
        }
    }

    pub(super) fn recv_frame(&mut self) -> Option<IncomingFrame> {
        let frame = self.frames.pop_front();
        self.on_fetched(frame.as_ref().map(|frame| frame.payload.len()));
        frame
    }

    pub(super) fn recv_packet(&mut self) -> Option<IncomingPacket> {
        let packet = self.packets.pop_front();
        self.on_fetched(packet.as_ref().map(|packet| packet.payload.len()));
        packet
    }

    fn on_fetched(&mut self, len: Option<usize>) {
        match len {
            Some(len) => self.held -= len,
            None => self.told = false,
        }
    }

    /// Counts the frames from `first` on as held.
    fn hold_frames(&mut self, first: usize) {
        let new = self.frames.iter().skip(first);
        self.held += new.map(|frame| frame.payload.len()).sum::<usize>();
    }

    fn tell(&mut self) -> bool {
        let has_some = !self.frames.is_empty() || !self.packets.is_empty();
        let has_news = has_some && !self.told;
        self.told |= has_news;
        has_news
    }

    /// Drops the oldest of what nobody fetches.
    fn bound(&mut self) {
        while self.frames.len() > MAX_FRAMES || (self.held > MAX_HELD && !self.frames.is_empty()) {
            let Some(dropped) = self.frames.pop_front() else { break };
            self.held -= dropped.payload.len();
            let next = self.frames.iter_mut().find(|frame| frame.ssrc == dropped.ssrc);
            if let Some(next) = next {
                next.follows_gap = true;
            } else if let Some(stream) = self.streams.iter_mut().find(|stream| stream.ssrc == dropped.ssrc) {
                stream.dropped = true;
            }
        }
        while self.packets.len() > MAX_PACKETS || (self.held > MAX_HELD && !self.packets.is_empty()) {
            let dropped = self.packets.pop_front().map_or(0, |packet| packet.payload.len());
            self.held -= dropped;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_missed_in_its_own_stream() {
        let now = crate::media::tests::start();
        let frame = |ssrc| IncomingFrame {
            payload: vec![0; 10].into(),
            timestamp: 0,
            ssrc,
            rid: None,
            payload_type: 96,
            keyframe: false,
            follows_gap: false,
            extensions: super::super::extensions::Extensions::new(),
            received: now,
            sampled: None,
        };
        let mut receiver = Receiver::new(MediaKind::Video);
        receiver.begin_stream(now, 1, None);
        receiver.begin_stream(now, 2, None);
        receiver.frames.push_back(frame(1));
        receiver.frames.push_back(frame(2));
        receiver.frames.extend((0..MAX_FRAMES - 1).map(|_| frame(2)));
        receiver.held = receiver.frames.len() * 10;
        receiver.bound();
        assert!(receiver.streams[0].dropped && !receiver.streams[1].dropped);
        assert!(receiver.frames.iter().all(|frame| !frame.follows_gap));
        receiver.frames.push_back(frame(2));
        receiver.held += 10;
        receiver.bound();
        assert!(receiver.frames[0].follows_gap);
        assert_eq!(receiver.held, MAX_FRAMES * 10);
    }
}
